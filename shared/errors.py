"""Everything that can go wrong, in one tree.

CoveyError
├── Refusal               this device declines; nothing went wrong
│   ├── BudgetExhausted   the owner's privacy budget does not cover the request
│   ├── PlanTooWeak       the plan protects less than the task or the owner demands
│   ├── NotEligible       not this device: wrong task, stale metadata, interrupted earlier
│   ├── NotNow            the owner's conditions: power, network, hours, an idle machine
│   └── ConsentWithheld   the owner has not agreed, or has paused
├── WireError             the other side sent a record of the wrong shape
├── ReleaseError          a release is not what its signed metadata promises
│   ├── TooSlow           it takes longer for a record than its task allows
│   └── WrongAnswers      it answers made-up records otherwise than was signed, or with no number
├── ContractError         data breaks the task's contract
├── InputError            something a person wrote (a file, an option, a key) cannot be used
└── Unreachable           the other side did not answer; trying again later may help
"""

from typing import ClassVar


class CoveyError(Exception):
    """Base of every error that Covey raises on purpose; its text is written for a person."""


class Refusal(CoveyError):
    """This device declines. Only `category` may travel: it never depends on examples."""

    category: ClassVar[str] = "refused"


class BudgetExhausted(Refusal):
    """The owner's privacy budget does not cover the request."""

    category: ClassVar[str] = "budget"


class PlanTooWeak(Refusal):
    """The plan protects less than the signed task or the owner's floor demands."""

    category: ClassVar[str] = "plan"


class NotEligible(Refusal):
    """This device cannot take part now, for a reason that no example decides."""

    category: ClassVar[str] = "not-eligible"


class NotNow(Refusal):
    """The owner's conditions do not hold at this moment; which of them is nobody else's business."""

    category: ClassVar[str] = "not-now"


class UnsafeAggregation(Refusal):
    """The coordinator asked for something that would show it more than the cohort's sum."""

    category: ClassVar[str] = "secure-aggregation"


class ConsentWithheld(Refusal):
    """The owner has not agreed to this task, or has paused the agent."""

    category: ClassVar[str] = "consent"


class WireError(CoveyError):
    """A record that crossed a boundary does not have the agreed shape."""


class ReleaseError(CoveyError):
    """A release is not what its signed metadata promises."""


class TooSlow(ReleaseError):
    """A release takes longer for a record than its task allows: 95 % of those that it was tried on took at most `p95_us`."""

    def __init__(self, text: str, *, p95_us: float = 0.0) -> None:
        """`text` is for a person."""
        super().__init__(text)
        self.p95_us = p95_us


class WrongAnswers(ReleaseError):
    """A release answers made-up records otherwise than was signed, or with no number."""


class ContractError(CoveyError):
    """Data breaks the task's contract."""


class InputError(CoveyError):
    """Something that a person wrote cannot be used; the text names it and says what to do."""


class Unreachable(CoveyError):
    """The other side did not answer."""
