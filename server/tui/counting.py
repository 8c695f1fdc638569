"""The survey that its dialog describes: priced, and put as a command."""

from server.spending import all_of, epsilon, merged
from server.tui.acts import Act
from server.tui.campaign import dated, fleet_size
from server.tui.watcher import Snapshot
from server.tui.words import plural
from shared.tasks import Task, Window

ROLES = {"current · what devices see now": "current", "reference · what the model was trained on": "reference"}


def surveyable(snapshot: Snapshot) -> tuple[Task, ...]:
    """The tasks that have a release to survey."""
    released = {release.task for release in snapshot.releases}
    return tuple(task for task in snapshot.tasks if task.name in released)


def survey(task: Task, role: str, start: str, end: str, snapshot: Snapshot) -> Act:
    """Count what devices see, or saw."""
    purpose = "Later surveys are compared with it." if role == "reference" else "They are compared with the reference."
    return Act(
        title="Take a survey",
        verb="Survey",
        words=("survey", task.name, "--role", role, *dated(start, end), "--detach"),
        consequences=(
            f"{plural(fleet_size(snapshot), 'device')} asked for noisy counts over {Window(start=start, end=end)}.",
            purpose,
            f"By itself that costs a device at most ε {epsilon(merged(all_of(task)), task.privacy.delta):.2f}.",
        ),
    )
