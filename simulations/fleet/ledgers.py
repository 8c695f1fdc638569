"""The ledgers of many devices as counts: what each has paid for, held to the same limits by the same accountant.

A device's own ledger is a table of events (`client/ledger.py`); in a rehearsal most devices share a history, so what
they paid is how often they paid each of a few costs, and each history is judged once.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from client import policy
from client.settings import AgentSettings
from shared import accounting
from shared.errors import Refusal
from shared.privacy import Cost, Level, SampledGaussian
from shared.rounds import RoundPlan
from shared.tasks import Task

Devices = NDArray[np.int64]
History = tuple[int, ...]
"""How often each of the known costs was paid."""


class Ledgers:
    """What `devices` owners of one mind have let their devices pay."""

    def __init__(self, devices: int, task: Task, settings: AgentSettings) -> None:
        """Start with nothing paid; the limits are those of a device with these settings."""
        self._task, self._settings = task, settings
        self._limits = policy.limits(settings, task)
        self._costs: list[Cost] = []
        self._paid = np.zeros((0, devices), np.int32)
        self._reserved: dict[str, NDArray[np.bool_]] = {}
        self._judge = lru_cache(maxsize=65536)(self._refusal)

    def charge(self, plan: RoundPlan, devices: Devices) -> list[str | None]:
        """Charge each of some devices once for a round; None where it paid, else the category under which it refuses."""
        try:
            policy.check_round(plan, self._task, self._settings)
        except Refusal as refusal:
            return [refusal.category] * len(devices)
        kind, words = self._kind(plan.cost), np.full(len(devices), None, object)
        owing = np.flatnonzero(self._owing(plan, devices))
        histories, which = np.unique(self._paid[:, devices[owing]], axis=1, return_inverse=True)
        verdicts = [self._judge(tuple(map(int, history)), kind) for history in histories.T]
        words[owing] = np.array([*verdicts, None], object)[which.reshape(-1)]
        admitted = np.array([word is None for word in words], bool)
        self._paid[kind, devices[owing][admitted[owing]]] += 1
        if plan.campaign:
            self._reserved[plan.campaign][devices[admitted]] = True
        return list(words)

    def events(self, device: int, level: Level = "record") -> Iterator[SampledGaussian]:
        """What a device paid at a level, as a device's own ledger lists it: one event a charge."""
        for cost, times in zip(self._costs, self._history(device), strict=True):
            for _ in range(times):
                yield from cost.at(level)

    def epsilons(self, *, delta: float, level: Level = "record") -> NDArray[np.float64]:
        """What each device has spent at `delta`, shape `(devices,)`."""
        histories, which = np.unique(self._paid, axis=1, return_inverse=True)
        spent = [self._epsilon(tuple(map(int, history)), level, delta) for history in histories.T]
        return np.array(spent)[which.reshape(-1)]

    @property
    def rounds(self) -> NDArray[np.int64]:
        """How many charges each device has paid, shape `(devices,)`."""
        return self._paid.sum(axis=0, dtype=np.int64)

    def _kind(self, cost: Cost) -> int:
        if cost not in self._costs:
            self._costs.append(cost)
            self._paid = np.vstack([self._paid, np.zeros((1, self._paid.shape[1]), np.int32)])
        return self._costs.index(cost)

    def _owing(self, plan: RoundPlan, devices: Devices) -> NDArray[np.bool_]:
        """Who has not paid for this round with an earlier one of a campaign that is paid whole."""
        if plan.campaign is None:
            return np.ones(len(devices), bool)
        return ~self._reserved.setdefault(plan.campaign, np.zeros(self._paid.shape[1], bool))[devices]

    def _history(self, device: int) -> History:
        return tuple(map(int, self._paid[:, device]))

    def _refusal(self, history: History, kind: int) -> str | None:
        """The category under which a device with this history refuses one more of a cost, or None."""
        cost = self._costs[kind]
        for limit in self._limits:
            if due := cost.at(limit.level):
                before = [event for event in self._composed(history, limit.level) if event]
                try:
                    accounting.admit([*before, *due], limit.budget, what=limit.what)
                except Refusal as refusal:
                    return refusal.category
        return None

    def _epsilon(self, history: History, level: Level, delta: float) -> float:
        return accounting.epsilon(self._composed(history, level), delta=delta)

    def _composed(self, history: History, level: Level) -> Sequence[SampledGaussian]:
        """A history with each cost's events written once, with all their steps."""
        paid = [(cost, times) for cost, times in zip(self._costs, history, strict=False) if times]
        return [event for cost, times in paid for event in cost.times(times).at(level)]
