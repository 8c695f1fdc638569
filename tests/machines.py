"""A small task about machines, and rows that it can learn from."""

import numpy as np
import polars as pl

from shared.features import Category, Cycle, Number
from shared.tasks import Architecture, DriftSettings, Task, Threshold
from shared.training import PrivacyCeiling, Training


def small_task(**changes: object) -> Task:
    """A task over three columns that trains in a blink."""
    settings: dict[str, object] = {
        "name": "machines",
        "revision": 1,
        "title": "Will this machine stop within the hour?",
        "features": (
            Number(name="load", low=0.0, high=1.0, missing=0.5),
            Cycle(name="hour", period=24.0),
            Category(name="site", values=("north", "south")),
        ),
        "label": Threshold(column="stops", above=0.5, classes=("runs", "stops")),
        "architecture": Architecture(kind="linear"),
        "training": Training(
            rounds=2, sample_rate=0.25, steps=4, normalizer=16.0, learning_rate=0.5, max_grad_norm=1.0,
            noise_multiplier=1.0, max_update_norm=10.0,
        ),
        "privacy": PrivacyCeiling(
            epsilon=50.0, delta=1e-5, min_noise_multiplier=0.5, max_sample_rate=0.5, max_steps=16, max_grad_norm=1.0
        ),
        "drift": DriftSettings(
            score_bins=10, feature_bins=5, score_noise_multiplier=5.0, feature_noise_multiplier=5.0, alarm_psi=0.2
        ),
        "timestamp": "at",
    }  # fmt: skip
    return Task(**(settings | changes))  # type: ignore[arg-type]


def machine_rows(rows: int, *, seed: int = 0) -> pl.DataFrame:
    """Rows in which load and hour decide the label, dated through January 2026."""
    random = np.random.default_rng(seed)
    load, hour = random.random(rows), random.uniform(0, 24, rows)
    stops = (load + 0.3 * np.sin(hour / 24 * 2 * np.pi) + random.normal(0, 0.1, rows) > 0.5).astype(float)
    start = np.datetime64("2026-01-01")
    return pl.DataFrame(
        {
            "load": load,
            "hour": hour,
            "site": random.choice(["north", "south"], rows),
            "stops": stops,
            "at": (start + (np.arange(rows) % 31).astype("timedelta64[D]")).astype("datetime64[us]"),
        }
    )
