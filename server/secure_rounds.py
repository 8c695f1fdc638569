"""Rounds under secure aggregation: five steps, each with its deadline, of which the coordinator learns one noisy sum.

Who does not answer a step has dropped out; the round goes on while as many are left as the noise is shared out over.
"""

import secrets
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, partial
from typing import Protocol, TypeVar

import numpy as np
from flwr.app import RecordDict
from flwr.serverapp import Grid
from numpy.typing import NDArray

from server.exchange import Replies, exchange
from server.plain import Answer, invite
from server.records import CampaignRequest
from server.secagg import Aggregation, AggregationFailed
from server.tracing import span
from shared import messages
from shared.distributed import DistributedNoise
from shared.errors import InputError, WireError
from shared.modes import Distributed
from shared.roster import Roster
from shared.rounds import RoundPlan
from shared.secagg.choosing import Demand, choose
from shared.secagg.encoding import decode
from shared.secagg.packing import packed_size
from shared.secagg.words import Agreement, KeyOffer, Masked, Reveal, Shares
from shared.secure import SecureRound, fewest, no_help, setting_of
from shared.sequence import device_fingerprint
from shared.training import Training

STEP_SECONDS = 60.0
"""How long a step may take that computes nothing from rows."""

Document = TypeVar("Document")
Watch = Callable[[str, Replies], bool]
Take = Callable[[str, RecordDict], None]
"""Takes what a device, by its fingerprint, answered to a step; raises `WireError` for what cannot be used."""


class Planned(Protocol):
    """Writes the plan once it is known how the round is summed."""

    def __call__(self, *, secure: SecureRound) -> RoundPlan:
        """The plan of the round."""
        ...


class Steps:
    """One round's aggregation over a grid: who is still in it, and why others are not."""

    def __init__(
        self,
        grid: Grid,
        plan: RoundPlan,
        terms: Distributed,
        cohort: Mapping[str, int],
        roster: Roster,
        *,
        watch: Watch,
    ) -> None:
        """`cohort` is nodes by name, all of them on the roster."""
        self._grid, self._plan, self._left, self._watch = grid, plan, dict(cohort), watch
        self.replies = Replies()
        self._device = {name: device_fingerprint(roster.devices[name].encode()) for name in cohort}
        self._setting = setting_of(plan, terms)
        self._sum = Aggregation(setting=self._setting, roster=roster.keys)

    def run(self, weights: NDArray[np.float32], *, deadline_seconds: float) -> tuple[NDArray[np.float64], list[str]]:
        """The decoded sum, shape `(size,)`, and whose updates are in it; raise `AggregationFailed` by the step's name."""
        total, short = self._sum, min(STEP_SECONDS, deadline_seconds)
        plain = messages.pack("plan", self._plan)
        self._step("keys", lambda _: plain, _reading("offer", KeyOffer, total.take_offer), short)
        total.close_keys()
        dealt = _reading("shares", Shares, total.take_shares)
        self._step("shares", self._with(plain, "list", total.key_list), dealt, short)
        total.close_shares()
        heavy = messages.pack("plan", self._plan, array=weights)
        self._step("train", self._with(heavy, "incoming", total.incoming), self._take_masked, deadline_seconds)
        total.close_masked()
        agreed = _reading("agreement", Agreement, total.take_agreement)
        self._step("agree", self._with(plain, "roll", total.roll), agreed, short)
        total.close_agree()
        asked = messages.fold(plain, "request", total.unmask_request())
        self._step("unmask", lambda _: asked, _reading("reveal", Reveal, total.take_reveal), short)
        assert self._plan.secure is not None
        with span("aggregate", answers=len(self._left)):
            found = total.finish()
            values = found.values.astype(np.uint64)
            update = decode(values, self._plan.secure.noise.encoding, seed=bytes.fromhex(self._plan.secure.seed))
        names = {device: name for name, device in self._device.items()}
        return update, sorted(names[device] for device in found.contributors)

    def _with(self, base: RecordDict, name: str, of: Callable[[str], object]) -> Callable[[str], RecordDict]:
        """Each device's own document beside what all of them get."""
        return lambda device: messages.fold(base, name, of(device))

    def _take_masked(self, device: str, content: RecordDict) -> None:
        masked = messages.unfold(content, "masked", Masked)
        most = packed_size(self._setting.length, self._setting.bits)
        self._sum.take_masked(device, masked, messages.unpack_data(content, most=most))

    def _step(self, step: str, content: Callable[[str], RecordDict], take: Take, seconds: float) -> None:
        """Ask everybody who is left; whoever does not answer as agreed is left no more."""
        group, kind = str(self._plan.number), step if step == "train" else f"query.{step}"
        asked = {
            name: message
            for name, node in self._left.items()
            for message in invite({name: node}, content(self._device[name]), kind, group=group).values()
        }
        replies = exchange(
            self._grid, asked, goal=len(asked), deadline_seconds=seconds, watch=partial(self._watch, _PHASE[step])
        )
        for name, body in replies.contents.items():
            try:
                take(self._device[name], body)
            except WireError as error:
                replies.failures[name] = f"{step}: {error}"[:200]
        self._left = {name: self._left[name] for name in replies.contents if name not in replies.failures}
        self.replies.refusals.update(replies.refusals)
        self.replies.failures.update({name: _at(step, why) for name, why in replies.failures.items()})


_PHASE = {
    "keys": "exchanging keys", "shares": "sharing secrets", "train": "training", "agree": "agreeing on who stayed",
    "unmask": "unmasking the sum",
}  # fmt: skip


def ask(
    grid: Grid, request: CampaignRequest, terms: Distributed, cohort: Mapping[str, int], weights: NDArray[np.float32], *,
    roster: Roster, plan: Planned, watch: Watch,
) -> tuple[RoundPlan, Answer]:  # fmt: skip
    """Ask a cohort of nodes, by name, to train from `weights` of shape `(size,)` under secure aggregation."""
    noise = noise_for(request.training, terms, size=len(weights), devices=max(len(cohort), terms.min_cohort))
    planned = plan(secure=SecureRound(noise=noise, seed=secrets.token_hex(32), roster=roster.number))
    steps = Steps(grid, planned, terms, cohort, roster, watch=watch)
    try:
        update, names = steps.run(weights, deadline_seconds=request.deadline_seconds)
    except AggregationFailed as failed:
        steps.replies.failures["(the round)"] = str(failed)[:200]
        return planned, Answer(returned=(), replies=steps.replies, update=None)
    mean = update / len(names) if len(names) >= request.quorum else None
    return planned, Answer(returned=tuple(names), replies=steps.replies, update=mean)


@lru_cache(maxsize=64)
def noise_for(training: Training, terms: Distributed, *, size: int, devices: int) -> DistributedNoise:
    """The noise in shares of a cohort's round; raise `InputError` where no encoding of the task's bits carries it."""
    noise = choose(
        Demand(
            length=size, bound=training.max_update_norm,
            record_clip=training.max_grad_norm * training.learning_rate / training.normalizer, devices=devices,
            threshold=fewest(terms, devices), colluders=no_help(terms, devices),
            noise_multiplier=training.noise_multiplier,
        )
    )  # fmt: skip
    if noise.encoding.bits > terms.bits:
        raise InputError(
            f"a sum of {devices} devices needs {noise.encoding.bits} bits a value, and the task allows {terms.bits}; "
            "lower max_update_norm or the noise, or sign a revision with more"
        )
    return noise


def on_roster(names: Iterable[str], keys: Mapping[str, bytes], roster: Roster) -> frozenset[str]:
    """Which of `names` the roster has with the very keys that they were approved with."""
    return frozenset(name for name in names if roster.devices.get(name, "").encode() == keys[name])


def _reading(name: str, cls: type[Document], take: Callable[[str, Document], None]) -> Take:
    """Read the one document that a step is answered with, and hand it on."""
    return lambda device, content: take(device, messages.unfold(content, name, cls))


def _at(step: str, why: str) -> str:
    return why if why.startswith(f"{step}:") else f"{step}: {why}"
