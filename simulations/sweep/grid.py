"""The points of a sweep: every combination of clips, noises, cohorts and rounds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from shared.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One plan of the grid: `clip` is its `max_grad_norm`, `noise` its `noise_multiplier`."""

    clip: float
    noise: float
    cohort: int
    rounds: int

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"clip-{self.clip:g}_noise-{self.noise:g}_cohort-{self.cohort}_rounds-{self.rounds}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PointResult:
    """What a point came to.

    `auc` is the mean over seeds, from `auc_low` to `auc_high`; None without test rows. `epsilon` is the most that any
    device spent, `bytes_up` what all devices sent in a run, `seconds` what a run took on this machine; means over seeds.
    """

    auc: float | None
    epsilon: float
    bytes_up: float
    seconds: float
    auc_low: float | None = None
    auc_high: float | None = None
    plan_sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A point with its result."""

    point: Point
    result: PointResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """All that the points of a sweep have in common: another sweep in the same folder is refused.

    `task` is the fingerprint of the task's content, `settings` whatever else decides what a point comes to.
    """

    title: str
    task: str
    devices: int
    seeds: tuple[int, ...]
    mode: str
    delta: float
    settings: tuple[str, ...] = ()


def grid(
    *, clips: Sequence[float], noises: Sequence[float], cohorts: Sequence[int], rounds: Sequence[int]
) -> tuple[Point, ...]:
    """Every combination, each once; those that cost least come first, so that an interrupted sweep has shown most."""
    points = {
        Point(clip=clip, noise=noise, cohort=cohort, rounds=number)
        for clip, noise, cohort, number in product(clips, noises, cohorts, rounds)
    }
    return tuple(sorted(points, key=lambda each: (each.rounds * each.cohort, each.rounds, each.clip, each.noise)))


def numbers(text: str, option: str, *, default: float) -> tuple[float, ...]:
    """Read `0.5,1,2`; raise `InputError` that names the option. The default stands for no text."""
    if not text:
        return (default,)
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or not all(0 < each < math.inf for each in found):
        raise InputError(f"{option} takes positive numbers with commas between them, such as 0.5,1; got {text!r}")
    return found


def counts(text: str, option: str, *, default: int) -> tuple[int, ...]:
    """Read `10,20`; raise `InputError` that names the option. The default stands for no text."""
    found = numbers(text, option, default=default)
    if any(each != int(each) for each in found):
        raise InputError(f"{option} takes whole numbers with commas between them, such as 10,20; got {text!r}")
    return tuple(int(each) for each in found)
