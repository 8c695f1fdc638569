"""What the soak saw, as rows and as a table."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from simulations.machines import TASK
from simulations.soak.asking import Asked
from simulations.soak.story import CALM_SECONDS, Seen

AVAILABILITY = 99.9
MEGABYTES = 150.0

Row = dict[str, str | float | bool]


def rows(seen: Seen) -> list[Row]:
    """One row a figure; `meets` where it has a target."""
    answered = [one for one in seen.asked if not one.cause]
    mixed = sum(is_mixed(one, seen.answers) for one in answered)
    milliseconds = [one.seconds * 1000 for one in answered] or [float("inf")]
    calm = [one.megabytes for one in seen.samples if CALM_SECONDS <= one.since_round < float("inf")]
    share = 100.0 * (len(answered) - mixed) / max(len(seen.asked), 1)
    return [
        _row("availability", share, "%", AVAILABILITY, meets=share >= AVAILABILITY),
        _row("asked", len(seen.asked), "questions"),
        _row("mixed", mixed, "answers", 0, meets=mixed == 0),
        *(_row(f"failed.{cause}", number, "questions") for cause, number in causes(seen.asked)),
        *(_row(f"latency.p{p}", float(np.percentile(milliseconds, p)), "ms") for p in (50, 99)),
        _row("releases_that_answered", len({one.release for one in answered}), "releases"),
        *(_row(act, number, "times") for act, number in sorted(seen.done.items())),
        _row(
            "memory.ten_seconds_after_a_round",
            max(calm, default=0.0),
            "MB",
            MEGABYTES,
            meets=max(calm, default=0.0) < MEGABYTES,
        ),
        _row("memory.largest", max((one.megabytes for one in seen.samples), default=0.0), "MB"),
        _row("epsilon.owed", seen.owed, "epsilon"),
        _row("epsilon.ledger", seen.spent, "epsilon", round(seen.owed, 6), meets=seen.spent >= seen.owed - 1e-9),
        _row("restarts", seen.restarts, "times"),
        _row("rounds_returned", seen.returned, "rounds"),
        _row("seconds", seen.seconds, "s"),
    ]


def is_mixed(one: Asked, answers: dict[int, tuple[float, ...]]) -> bool:
    """Whether an answer is not what the release that it names gives to this record."""
    expected = answers.get(one.release)
    return expected is None or abs(expected[one.record] - one.score) > TASK.gates.max_int8_loss


def causes(asked: Sequence[Asked]) -> list[tuple[str, int]]:
    """How many questions failed, by cause, the most frequent first."""
    return Counter(one.cause for one in asked if one.cause).most_common()


def show(found: Sequence[Row], seen: Seen, console: Console) -> None:
    """Print the figures, and the agent's memory over time."""
    table = Table("figure", "value", "unit", "target", "", title="Soak: an agent that is asked all the time")
    for row in found:
        met = "" if "meets" not in row else ("met" if row["meets"] else "MISSED")
        name = str(row["name"]).removeprefix("device.soak.")
        table.add_row(
            name,
            f"{row['value']:,.4g}" if name != "availability" else f"{row['value']:.4f}",
            str(row["unit"]),
            str(row.get("target", "")),
            met,
        )
    console.print(table)
    console.print("memory (MB), in tenths of the soak: " + " ".join(f"{one:.0f}" for one in _tenths(seen)))


def _tenths(seen: Seen) -> list[float]:
    """The median memory in each tenth of the time."""
    parts = np.array_split([one.megabytes for one in seen.samples], 10)
    return [float(np.median(part)) for part in parts if len(part)]


def _row(name: str, value: float, unit: str, target: float | None = None, *, meets: bool = True) -> Row:
    row: Row = {"name": f"device.soak.{name}", "value": value, "unit": unit}
    return row if target is None else row | {"target": target, "meets": meets}
