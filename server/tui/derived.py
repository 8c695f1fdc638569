"""Figures that are counted over all rounds and devices, and only when rounds, runs or the fleet's names have moved."""

from collections.abc import Sequence
from dataclasses import dataclass

from server.records import Device, Run
from server.spending import Charges, Spending, charges, price
from server.tui.figures import Participation, participation
from shared.rounds import RoundResult
from shared.tasks import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Each device's part in the rounds; by task what its plans may have charged each, what that comes to, and to at most."""

    participation: dict[str, Participation]
    charges: dict[str, tuple[Charges, ...]]
    spent: dict[str, tuple[Spending, ...]]
    dearest: dict[str, float]


class Derived:
    """The last figures, with what they were made from."""

    def __init__(self) -> None:
        """Nothing was counted yet."""
        self._of: tuple[object, ...] = ()
        self._figures: Figures | None = None

    def figures(
        self, tasks: tuple[Task, ...], devices: Sequence[Device], runs: tuple[Run, ...], rounds: Sequence[RoundResult]
    ) -> Figures:
        """The figures, counted again only where they would come out otherwise."""
        fleet = [(device.name, device.state, device.enrolled_at) for device in devices]
        of = (tasks, fleet, runs, [id(result) for result in rounds])
        if self._figures is None or of != self._of:
            found = {task.name: charges(task, devices, rounds, runs) for task in tasks}
            spent = {task.name: tuple(price(each, task) for each in found[task.name]) for task in tasks}
            dearest = {name: max((each.epsilon for each in those), default=0.0) for name, those in spent.items()}
            taken = participation(devices, rounds)
            self._figures = Figures(participation=taken, charges=found, spent=spent, dearest=dearest)
            self._of = of
        return self._figures
