"""The small task with labelling rules, and rules drawn at random."""

from typing import Any

import numpy as np
from machines import small_task

from shared.labelling import Condition, Labelling, LabelRule
from shared.tasks import Task

CLASSES = ("runs", "stops")


def confusion(vote: str, *, right: float = 0.6, wrong: float = 0.05) -> tuple[tuple[float, ...], ...]:
    """A rule that votes for `vote` on a share `right` of that class and on a share `wrong` of the other."""
    chances = [right if true == vote else wrong for true in CLASSES]
    return tuple((*(chance * (name == vote) for name in CLASSES), 1 - chance) for chance in chances)


def rule(name: str, vote: str, *when: Condition, **changes: Any) -> LabelRule:
    return LabelRule(**({"name": name, "vote": vote, "when": when, "confusion": confusion(vote)} | changes))


def heavy() -> LabelRule:
    return rule("heavy", "stops", Condition(column="load", operator=">", value=0.75))


def light() -> LabelRule:
    return rule("light", "runs", Condition(column="load", operator="<=", value=0.25))


def small_labelling(**changes: Any) -> Labelling:
    """Two rules about the load, one of them helped by the hour."""
    settings: dict[str, Any] = {
        "classes": CLASSES,
        "prior": (0.5, 0.5),
        "threshold": 0.9,
        "rules": (
            heavy(),
            light(),
            rule(
                "night in the north",
                "runs",
                Condition(column="hour", operator=">=", value=18.0),
                Condition(column="site", operator="in", values=("north",)),
            ),
        ),
    }
    return Labelling(**(settings | changes))


def labelled_task(**changes: Any) -> Task:
    return small_task(**({"labelling": small_labelling()} | changes))


def machine_columns(load: list[float], hour: list[float], site: list[str | None]) -> dict[str, Any]:
    return {
        "load": np.array(load, np.float32),
        "hour": np.array(hour, np.float32),
        "site": np.array(site, dtype=object),
    }
