"""How a coordinator makes one update of many: by which rule, and how many hostile ones it must withstand."""

import math
from dataclasses import dataclass
from typing import Literal

Rule = Literal["mean", "norm-bound", "trimmed-mean", "median", "geometric-median", "krum", "multi-krum"]

_PAIRWISE: tuple[Rule, ...] = ("krum", "multi-krum")


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregation:
    """The rule of `server.robust`, and what it assumes; public, and only about updates that the coordinator may see.

    `assumed_byzantine` is how many of a round's votes may be anything at all; it stays the same when fewer return.
    A vote is a device, or an owner with all of their devices where `by_owner` says so.
    `trim` is for the trimmed mean: how many values are cut at each end, `assumed_byzantine` unless said.
    `max_norm` is for the norm bound: what longer votes are scaled down to, their median norm unless said.
    """

    kind: Rule = "mean"
    assumed_byzantine: int = 0
    trim: int | None = None
    max_norm: float | None = None
    by_owner: bool = False

    def __post_init__(self) -> None:
        """Refuse what contradicts itself, or promises what the rule cannot keep."""
        if self.assumed_byzantine < 0:
            raise ValueError(f"assumed_byzantine must not be negative, got {self.assumed_byzantine}")
        if self.kind == "mean" and self.assumed_byzantine:
            raise ValueError("a mean withstands no hostile update; choose another kind or assumed_byzantine = 0")
        if self.trim is not None and (self.kind != "trimmed-mean" or self.trim < self.assumed_byzantine):
            raise ValueError("trim is for the trimmed-mean alone, and at least assumed_byzantine")
        if self.max_norm is not None and not (self.kind == "norm-bound" and 0 < self.max_norm < math.inf):
            raise ValueError("max_norm is for the norm-bound alone, and a positive number")

    @property
    def cut(self) -> int:
        """How many values the trimmed mean leaves out at each end of a coordinate."""
        return self.assumed_byzantine if self.trim is None else self.trim

    @property
    def fewest(self) -> int:
        """The fewest votes for which the rule is defined: below, a round is abandoned and nothing else is tried.

        Krum needs 2f + 2 < n (Blanchard et al., 2017), the others an honest majority.
        """
        if self.kind in _PAIRWISE:
            return 2 * self.assumed_byzantine + 3
        return 2 * max(self.assumed_byzantine, self.cut) + 1

    @property
    def smallest_cohort(self) -> int:
        """The fewest votes to ask for: so many that the hostile ones cannot end a round by staying away.

        What they send may also be refused on arrival, which comes to the same.
        """
        return self.fewest + self.assumed_byzantine

    @property
    def sees_each(self) -> bool:
        """Whether the rule must see updates one by one, which secure aggregation makes impossible."""
        return self.kind != "mean" or self.by_owner

    def __str__(self) -> str:
        """The rule as a person reads it."""
        against = f", {self.assumed_byzantine} assumed hostile" if self.assumed_byzantine else ""
        return f"{self.kind}{against}{', one vote an owner' if self.by_owner else ''}"
