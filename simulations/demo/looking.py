"""What the demo may look at and the coordinator may not: exact scores on its own copy of the rows, and devices' ledgers."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from client.dataset import read_columns, read_examples
from client.inputs import Examples
from client.ledger import Ledger
from client.store import AgentStore
from shared.revisions import UNKNOWN
from shared.tasks import Task, Window
from simulations.demo.central import auc, pool
from simulations.demo.stage import Stage

DATA, SCORES = "flights.parquet", "scores.parquet"


class Looker:
    """Reads what each device holds; `latencies` are those of every record that an agent scored, in microseconds."""

    def __init__(self, stage: Stage, devices: Sequence[str]) -> None:
        """Nothing is looked at yet."""
        self.latencies: list[float] = []
        self._stage, self._devices = stage, devices

    def data(self, device: str) -> Path:
        """Where a device keeps its rows."""
        return self._stage.agent(device).path / DATA

    def auc(self, task: Task, window: Window) -> float:
        """Let every agent score its own rows offline, then hold the scores against the demo's copy of the labels."""
        self._stage.side_by_side([partial(self._score, device, window) for device in self._devices])
        truth = np.concatenate([self._labels(device, task, window) for device in self._devices])
        scores = np.concatenate(
            [pl.read_parquet(self._scores_of(device))["late"].to_numpy() for device in self._devices]
        )
        return auc(scores[truth != UNKNOWN], truth[truth != UNKNOWN])

    def pooled(self, task: Task, window: Window) -> Examples:
        """All devices' rows in one heap."""
        return pool([read_examples(self.data(device), task, window) for device in self._devices])

    def spent(self, device: str) -> float:
        """What a device's own ledger says it spent, at a delta of 1e-5."""
        store = AgentStore(self._stage.agent(device).database)
        try:
            return Ledger(store).spent(1e-5).epsilon
        finally:
            store.close()

    def _score(self, device: str, window: Window) -> None:
        home, out = str(self._stage.agent(device).path), str(self._scores_of(device))
        span = f"{window.start}..{window.end}"
        said = self._stage.covey_agent("score", "--home", home, "--window", span, "--out", out, "--json")
        self.latencies += json.loads(said)["latencies_us"]

    def _scores_of(self, device: str) -> Path:
        return self._stage.agent(device).path / SCORES

    def _labels(self, device: str, task: Task, window: Window) -> NDArray[np.int64]:
        return read_columns(self.data(device), task, window)[1]
