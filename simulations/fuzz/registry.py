"""All that is fuzzed, and how inputs are spread over it."""

import math

from simulations.fuzz import coordinator, device, documents, endpoint, files, secagg
from simulations.fuzz.target import Target


def targets() -> tuple[Target, ...]:
    """Every target, by name."""
    found = (
        *documents.targets(), *files.targets(), *device.targets(), *coordinator.targets(), *endpoint.targets(), *secagg.targets(),
    )  # fmt: skip
    return tuple(sorted(found, key=lambda target: target.name))


def spread(chosen: tuple[Target, ...], inputs: int) -> dict[str, int]:
    """How many inputs each target gets: by its share, at least one hundred."""
    whole = sum(target.share for target in chosen)
    return {target.name: max(100, math.ceil(inputs * target.share / whole)) for target in chosen}
