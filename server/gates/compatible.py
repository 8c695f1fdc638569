"""Whether what applications and devices send today still fits: columns, words and classes of the release in force."""

from collections.abc import Iterator, Mapping

from server.records import GateVerdict
from server.revising import check_path
from shared.errors import InputError
from shared.models import Release
from shared.tasks import Task

NAME, EXPECTED = "contract compatibility", "what the release in force reads, or a declared [revises] map"


def hold(task: Task, in_force: tuple[Release, Task] | None, revisions: Mapping[int, Task]) -> Iterator[GateVerdict]:
    """One verdict once there is a release to be compatible with; `revisions` are the task's, by number."""
    if in_force is None:
        return
    release, old = in_force
    passed, found = _compare(task, old, revisions)
    yield GateVerdict(name=NAME, expected=EXPECTED, found=f"{found} (release {release.number})", passed=passed)


def _compare(task: Task, old: Task, revisions: Mapping[int, Task]) -> tuple[bool, str]:
    """Whether the newer task reads what the older one did, and in words how."""
    changed = [name for name, before, now in _parts(old, task) if before != now]
    if not changed:
        return True, "the same columns, contract and classes"
    words = f"another {' and '.join(changed)} than revision {old.revision}"
    try:
        check_path(old, task, revisions)
    except InputError as error:
        return False, f"{words}: {error}"
    return True, f"{words}, by the declared map"


def _parts(old: Task, task: Task) -> Iterator[tuple[str, object, object]]:
    yield "features", old.features, task.features
    yield "contract", old.contract, task.contract
    yield "label", old.label, task.label
