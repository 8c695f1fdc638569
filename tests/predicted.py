"""Predictions as a service would have made them for the small task."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from client.predictions import PredictionLog, Retention
from client.served import Served
from client.vault import Vault

NOON = 1_767_960_000.0
"""2026-01-09, 12:00 UTC."""


def served(number: int, **changes: Any) -> Served:
    """A prediction, each different, a second apart."""
    one = Served(
        id=f"prediction-{number}",
        at=NOON + number,
        release=3,
        version=7,
        record={"load": number / 16, "hour": float(number % 24), "site": ("north", "south")[number % 2]},
        scores=(0.75, 0.25),
    )
    return replace(one, **changes)


@contextmanager
def prediction_log(folder: Path, **retention: Any) -> Iterator[PredictionLog]:
    """The log under `folder`, with its vault."""
    log = PredictionLog(folder / "predictions.db", Vault(folder / "keys" / "vault.key"), Retention(**retention))
    try:
        yield log
    finally:
        log.close()
