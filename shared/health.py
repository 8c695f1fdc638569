"""How a release fares on a device, on made-up records alone: plain telemetry, which its owner may switch off (privacy rule 14)."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["serves", "slow", "wrong", "refused", "crashed"]
"""`serves`: as it should; `slow`: the median time of one record here, as of the
latency gate before a promotion, is above the task's limit; `wrong`: other answers than were signed, or none that is a
number; `refused`: it did not load, is too large, or failed its self-test; `crashed`: the process that tried it ended."""

FAILING: tuple[Verdict, ...] = ("slow", "wrong", "refused", "crashed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """One task's release on one device, since its last report: 95 % of made-up records took at most `p95_us`, 0 if none was answered."""

    task: str
    release: int
    verdict: Verdict
    p95_us: int = 0

    def __post_init__(self) -> None:
        """Refuse what no device measures."""
        if self.release < 1 or not 0 <= self.p95_us < 2**53:
            raise ValueError("health speaks of a release from 1 on and a time in whole microseconds")
