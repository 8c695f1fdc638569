"""Plans to rehearse: of a file, or as the options of a command describe them; refused where no device would take part."""

from pathlib import Path

from server import planning
from server.planfile import PlanFile, fingerprint, read_plan
from shared.errors import InputError
from shared.modes import Mode
from shared.tasks import Task, Window
from shared.training import Training


def plan_in(file: Path, task: Task, *, devices: int) -> PlanFile:
    """A file's plan; raise `InputError` if it is of another task, or asks more devices than there are."""
    found = read_plan(file)
    if found.fingerprint != fingerprint(task):
        raise InputError(f"plan file {file} is of another task file than {task.name!r}; rehearse it with its own")
    if found.cohort > devices:
        raise InputError(f"the plan asks {found.cohort} devices in a round, and there are {devices}")
    return found


def plan_of(
    task: Task,
    training: Training,
    *,
    mode: Mode,
    cohort: int,
    deadline: float,
    window: Window,
    quorum: int | None = None,
) -> PlanFile:
    """A plan of a training; two thirds of the cohort are enough unless `quorum` says otherwise."""
    planning.check_terms(task, training, mode)
    try:
        return PlanFile(
            task=task.name, revision=task.revision, fingerprint=fingerprint(task), mode=mode, cohort=cohort,
            quorum=quorum or max(1, -(-2 * cohort // 3)), deadline_seconds=deadline, reserve=False, window=window,
            training=training,
        )  # fmt: skip
    except ValueError as error:
        raise InputError(str(error)) from None
