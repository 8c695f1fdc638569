"""What a device learns from: the owner's rows, and the predictions whose outcome is known; and which rows taught what."""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

from client.config import TaskHome
from client.dataset import Extra, read_examples
from client.inputs import Examples
from client.settings import AgentSettings
from client.snapshots import Snapshots
from client.vault import Vault
from shared.errors import CoveyError
from shared.rounds import RoundPlan
from shared.tasks import Task, Window

log = logging.getLogger(__name__)


def gather(place: TaskHome, task: Task, plan: RoundPlan, settings: AgentSettings, *, request: str) -> Examples:
    """The examples of a round, noted on this device as what taught it.

    Raise `InputError` or `ContractError` where the rows cannot be read. A row of the owner's file and a prediction's
    outcome are two rows, even where they speak of one event: let one or the other teach.
    """
    data = Path(settings.tasks[task.name].data) if settings.tasks[task.name].data else None
    outcomes = outcomes_of(place, task, plan.window)
    _remember(place, task, plan, data, outcomes, request=request)
    return read_examples(
        data, task, plan.window, extra=outcomes, scratch=place.home.scratch, ceiling=settings.ceilings.disk_mb * 2**20
    )


def _remember(
    place: TaskHome, task: Task, plan: RoundPlan, data: Path | None, outcomes: Extra | None, *, request: str
) -> None:
    """Keep on this device which rows a round is about to learn from; what cannot be kept is said in the log."""
    try:
        place.path.mkdir(parents=True, exist_ok=True)
        with closing(Snapshots(place.snapshots, Vault.open(place.home))) as snapshots:
            snapshots.record(
                data, task, outcomes=outcomes, window=plan.window, request=request, run=plan.run_id,
                round_number=plan.number, version=plan.base_version,
            )  # fmt: skip
    except (CoveyError, OSError, sqlite3.Error) as error:
        log.warning("which rows taught round %d of run %d is not on record: %s", plan.number, plan.run_id, error)


def outcomes_of(place: TaskHome, task: Task, window: Window) -> Extra | None:
    """The window's predictions whose outcome came, or None where nothing was ever predicted."""
    if not place.predictions.exists():
        return None
    from client.housekeeping import open_log

    with closing(open_log(place)) as log:
        return log.labelled(task, window)
