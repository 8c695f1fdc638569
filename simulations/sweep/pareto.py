"""Which points of a sweep no other point beats."""

from collections.abc import Sequence

from simulations.sweep.grid import Done


def front(costs: Sequence[tuple[float, ...]]) -> list[bool]:
    """For each tuple of costs: that no other is at most as high in every place and lower in one. Equals stay both."""
    return [not any(_beats(other, own) for other in costs) for own in costs]


def best(found: Sequence[Done]) -> list[bool]:
    """For each point: that none has an AUC as high, an epsilon and bytes as low, and is better in one of the three.

    A point without an AUC is never among them.
    """
    costs = [
        (-each.result.auc, each.result.epsilon, each.result.bytes_up) if each.result.auc is not None else None
        for each in found
    ]
    kept = iter(front([cost for cost in costs if cost is not None]))
    return [cost is not None and next(kept) for cost in costs]


def edge(found: Sequence[Done]) -> list[Done]:
    """The points that none beats in AUC and epsilon alone, by epsilon: the line of a plot of those two."""
    judged = [each for each in found if each.result.auc is not None]
    kept = front([(-(each.result.auc or 0.0), each.result.epsilon) for each in judged])
    return sorted((each for each, on in zip(judged, kept, strict=True) if on), key=lambda each: each.result.epsilon)


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))
