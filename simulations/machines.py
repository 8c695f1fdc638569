"""A small task about machines, rows it can learn from, and releases of it: what the fault table and the soak play with."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from server.config import Federation
from server.export import export
from server.releases import publish_release
from shared import wire
from shared.architecture import size
from shared.features import Category, Cycle, Number
from shared.feeds import to_feeds
from shared.models import Release
from shared.quantization import RECIPE
from shared.reference import make_reference
from shared.runtime import ask, open_model
from shared.synthetic import make_columns
from shared.tasks import Architecture, DriftSettings, Task, Threshold, Window
from shared.training import PrivacyCeiling, Training

RECORDS: tuple[dict[str, float | str], ...] = (
    {"load": 0.9, "hour": 12.0, "site": "north"},
    {"load": 0.1, "hour": 3.0, "site": "south"},
    {"load": 0.5, "hour": 21.0, "site": "north"},
)
"""What is asked about; the columns are public inventions."""

APART = 0.2
"""By how much two releases' answers to each of `RECORDS` differ at least: no rounding hides which one answered."""

TASK = Task(
    name="machines",
    revision=1,
    title="Will this machine stop within the hour?",
    features=(
        Number(name="load", low=0.0, high=1.0, missing=0.5),
        Cycle(name="hour", period=24.0),
        Category(name="site", values=("north", "south")),
    ),
    label=Threshold(column="stops", above=0.5, classes=("runs", "stops")),
    architecture=Architecture(kind="linear"),
    training=Training(
        rounds=1, sample_rate=0.25, steps=4, normalizer=16.0, learning_rate=0.5, max_grad_norm=1.0,
        noise_multiplier=4.0, max_update_norm=10.0,
    ),
    privacy=PrivacyCeiling(
        epsilon=50.0, delta=1e-5, min_noise_multiplier=0.5, max_sample_rate=0.5, max_steps=16, max_grad_norm=1.0
    ),
    drift=DriftSettings(
        score_bins=10, feature_bins=5, score_noise_multiplier=5.0, feature_noise_multiplier=5.0, alarm_psi=0.2
    ),
    timestamp="at",
)  # fmt: skip


def write_rows(file: Path, *, rows: int = 400, seed: int = 0) -> None:
    """Rows in which the load decides the label, dated through January 2026, as Parquet."""
    random = np.random.default_rng(seed)
    load, start = random.random(rows), np.datetime64("2026-01-01")
    pl.DataFrame(
        {
            "load": load,
            "hour": random.uniform(0, 24, rows),
            "site": random.choice(["north", "south"], rows),
            "stops": (load + random.normal(0, 0.1, rows) > 0.5).astype(float),
            "at": (start + (np.arange(rows) % 31).astype("timedelta64[D]")).astype("datetime64[us]"),
        }
    ).write_parquet(file)


class Press:
    """Signs one release of the task after another, each far from all before, and remembers what each answers."""

    def __init__(self, federation: Federation, *, task: Task = TASK, seed: int = 1) -> None:
        """Sign for `federation`, whose repository has the task already."""
        self._federation, self._task, self._random = federation, task, np.random.default_rng(seed)
        self.answers: dict[int, tuple[float, ...]] = {}

    def publish(self) -> Release:
        """Sign the next release."""
        version = len(self.answers) + 1
        model, answers = self._draw(version)
        draft = Release(
            number=0, task=self._task.name, revision=self._task.revision, version=version, trained_on=Window(),
            recipe=RECIPE, reference=make_reference(self._task, open_model(model), seed=version),
        )  # fmt: skip
        release = publish_release(self._federation, draft, {"fp32.onnx": model, "task.json": wire.to_json(self._task)})
        self.answers[release.number] = answers
        return release

    def publish_broken(self) -> Release:
        """Sign a release that no device can accept: its reference answers are another model's."""
        version = len(self.answers) + 1
        model, _ = self._draw(version)
        other = make_reference(self._task, open_model(model), seed=version)
        wrong = replace(other, scores=tuple(reversed(other.scores)))
        draft = Release(
            number=0, task=self._task.name, revision=self._task.revision, version=version, trained_on=Window(),
            recipe=RECIPE, reference=wrong,
        )  # fmt: skip
        return publish_release(self._federation, draft, {"fp32.onnx": model, "task.json": wire.to_json(self._task)})

    def _draw(self, version: int) -> tuple[bytes, tuple[float, ...]]:
        while True:
            model = export(self._task, self._weights(), version=version)
            answers = answers_of(self._task, model)
            if all(_far(answers, known) for known in list(self.answers.values())[-2:]):
                return model, answers

    def _weights(self) -> NDArray[np.float32]:
        return self._random.normal(0, 2, size(self._task)).astype(np.float32)


def answers_of(task: Task, model: bytes) -> tuple[float, ...]:
    """What a model gives the second class for each of `RECORDS`."""
    names = RECORDS[0].keys()
    columns = {name: np.array([record[name] for record in RECORDS], dtype=object if name == "site" else np.float64)
               for name in names}  # fmt: skip
    template = make_columns(task, 1, seed=0)
    raw = {name: column.astype(template[name].dtype) for name, column in columns.items()}
    return tuple(float(score) for score in ask(open_model(model), to_feeds(task, raw))[:, 1])


def _far(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return all(abs(a - b) > APART for a, b in zip(one, other, strict=True))
