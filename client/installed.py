"""Which release answers: one directory each, a pointer to the one that was accepted, and marks on those that did badly.

A directory appears whole, by a rename, after its files were verified and tried; the pointer moves by a rename too.
`accepted` is what the coordinator sees and what the next release is measured by; `serving` is what answers here. They
differ only on a device where a release did badly, and nobody but its owner can tell (privacy rule 14).
"""

import hashlib
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from client import hardware
from client.config import TaskHome
from client.pointer import before, point_to, pointed, remember
from client.standing import is_bad, mark_bad
from shared import wire
from shared.errors import ReleaseError, WireError
from shared.failpoints import reached
from shared.models import Precision, Release
from shared.runtime import CPU
from shared.tasks import Task

log = logging.getLogger(__name__)

EXPLANATION = "explain.onnx"
KEPT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTest:
    """How a release did on made-up records here: median times in microseconds, 0 for what was not measured.

    `precision` and `provider` answer fastest and well enough; `int8_loss` is the largest difference of a score.
    """

    precision: Precision
    fp32_us: float
    int8_us: float
    fp32_batch_us: float = 0.0
    int8_batch_us: float = 0.0
    int8_loss: float = 0.0
    provider: str = CPU


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """What was made of a verified file here, and from what: it counts only while all of that holds.

    `file` answers and has the hash `sha256`; `explanation` is the hash of `explain.onnx`, empty where there is none.
    """

    source: str
    runtime: str
    processor: str
    tried: SelfTest
    file: str
    sha256: str
    optimized: bool = False
    explanation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A whole release on this device: what was signed, the task it answers, how it was tried, and the file that answers.

    `optimized` says that ONNX Runtime has optimized the graph already; `explanation` is the hash of `explain.onnx`,
    empty where there is none.
    """

    release: Release
    task: Task
    tried: SelfTest
    model: bytes
    model_file: Path
    optimized: bool = False
    explanation: str = ""


def file_of(directory: Path, artifact: str) -> Path:
    """Where a release's directory keeps an artifact: `fp32`, `int8` or `task`."""
    return directory / (f"{artifact}.json" if artifact == "task" else f"{artifact}.onnx")


def serving(place: TaskHome) -> Installed | None:
    """The release that answers on this device, or None before the first.

    The accepted one unless it did badly here, else the newest whole one that did not; if all did, the accepted one.
    """
    return next(_good_first(place), None)


def accepted(place: TaskHome) -> Installed | None:
    """The release that this device was last told to run and that was tried here: to speak of, whichever answers."""
    return next(_whole(place), None)


def current_release(place: TaskHome) -> int:
    """The accepted release's number, 0 before the first."""
    for number in _in_order(place):
        try:
            return verified(place.releases / str(number))[0].number
        except ReleaseError as error:
            log.warning("release %d cannot be used: %s", number, error)
    return 0


def fall_back(place: TaskHome, number: int, reason: str) -> int:
    """Put release `number` aside on this device; return the one that answers from now on, 0 if there is no other.

    With no other, the bad one goes on answering. A model that was put aside is never served again by itself, so a
    device moves at most once for each release that it accepts.
    """
    release, _ = verified(place.releases / str(number))
    mark_bad(place, release.artifacts["fp32"].sha256, release=number, reason=reason)
    answers = serving(place)
    if answers is None or is_bad(place, _hash(answers)):
        log.warning(
            "release %d did badly here (%s), but no other can take its place; it goes on answering", number, reason
        )
        return 0
    log.warning("release %d did badly here (%s); release %d answers", number, reason, answers.release.number)
    return answers.release.number


def read_release(directory: Path) -> Installed:
    """Read a release's directory; raise `ReleaseError` unless every signed file is as it was signed."""
    release, files = verified(directory)
    try:
        task = wire.from_json(Task, files["task"], what="task.json")
        tried = wire.from_json(SelfTest, (directory / "selftest.json").read_bytes(), what="selftest.json")
    except (OSError, WireError) as error:
        raise _not_whole(directory, error) from None
    precision = tried.precision if tried.precision in files else "fp32"
    original = Installed(
        release=release, task=task, tried=tried, model=files[precision], model_file=file_of(directory, precision)
    )
    return _as_tuned(directory, original)


def read_explanation(installed: Installed) -> bytes | None:
    """The graph that attributes this release's answers, or None if none was built here or it is damaged."""
    graph = _body(installed.model_file.with_name(EXPLANATION))
    return graph if hashlib.sha256(graph).hexdigest() == installed.explanation else None


def read_tuned(directory: Path, release: Release) -> Tuned | None:
    """What was made of this very release by this runtime on this processor, or None."""
    try:
        tuned = wire.from_json(Tuned, (directory / "tuned.json").read_bytes(), what="tuned.json")
    except (OSError, WireError):
        return None
    made_from = tuned.source, tuned.runtime, tuned.processor
    stamp = release.artifacts["fp32"].sha256, hardware.runtime_version(), hardware.processor()
    return tuned if made_from == stamp else None


def install(place: TaskHome, staged: Path, number: int) -> None:
    """Move a verified, tried and durable directory into place, and let it serve."""
    place.releases.mkdir(parents=True, exist_ok=True)
    _put_in_place(staged, place.releases / str(number))
    reached("update.renamed")
    remember(place, leaving_for=number)
    point_to(place, number)
    reached("update.pointed")
    _discard_old(place)


def go_back(place: TaskHome, release: Release) -> bool:
    """Let the release before be the accepted one again; whether `release` is that one, and whole here.

    What it was left for goes: nothing but the pointer may ever let that answer again.
    """
    if release.number != before(place) or not is_whole(place.releases / str(release.number), release):
        return False
    remember(place, leaving_for=release.number)
    point_to(place, release.number)
    reached("update.pointed")
    _discard_old(place)
    return True


def is_whole(directory: Path, release: Release) -> bool:
    """Whether exactly this release lies here, every signed file as it was signed."""
    try:
        return verified(directory)[0] == release
    except ReleaseError:
        return False


def verified(directory: Path) -> tuple[Release, dict[str, bytes]]:
    """The release and its signed files by artifact, or `ReleaseError`."""
    try:
        release = wire.from_json(Release, (directory / "release.json").read_bytes(), what="release.json")
        files = {name: file_of(directory, name).read_bytes() for name in release.artifacts if name != "delta"}
    except (OSError, WireError) as error:
        raise _not_whole(directory, error) from None
    for name, body in files.items():
        if hashlib.sha256(body).hexdigest() != release.artifacts[name].sha256:
            raise ReleaseError(f"{file_of(directory, name)} is damaged; `covey-agent update` fetches it again")
    if not {"fp32", "task"} <= files.keys():
        raise _not_whole(directory, f"it holds {sorted(files)}")
    return release, files


def _as_tuned(directory: Path, original: Installed) -> Installed:
    """Let the tuned file answer, if it is what was made here; the verified original answers otherwise."""
    tuned = read_tuned(directory, original.release)
    if tuned is None:
        return original
    file = directory / tuned.file
    model = _body(file)
    if hashlib.sha256(model).hexdigest() != tuned.sha256:
        log.warning("%s is damaged; the verified original answers until the next look rebuilds it", file)
        return original
    return Installed(
        release=original.release, task=original.task, tried=tuned.tried, model=model, model_file=file,
        optimized=tuned.optimized, explanation=tuned.explanation,
    )  # fmt: skip


def _body(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def _not_whole(directory: Path, why: object) -> ReleaseError:
    return ReleaseError(f"{directory} is not a whole release ({why}); `covey-agent update` fetches it")


def _whole(place: TaskHome) -> Iterator[Installed]:
    """Every release here that is as it was signed, the accepted one first, then the newest."""
    for number in _in_order(place):
        try:
            yield read_release(place.releases / str(number))
        except ReleaseError as error:
            log.warning("release %d does not serve: %s", number, error)


def _good_first(place: TaskHome) -> Iterator[Installed]:
    aside: list[Installed] = []
    for found in _whole(place):
        if is_bad(place, _hash(found)):
            aside.append(found)
        else:
            yield found
    yield from aside


def _put_in_place(staged: Path, directory: Path) -> None:
    """A directory of that name was left by a crash, or is damaged: what is staged is verified, so it wins."""
    shutil.rmtree(directory, ignore_errors=True)
    staged.rename(directory)


def _discard_old(place: TaskHome) -> None:
    """Keep the accepted release and the one before, and at least two that did well here; nothing newer is kept."""
    well = [found.release.number for found in _whole(place) if not is_bad(place, _hash(found))]
    for number in set(_here(place)) - {*_in_order(place)[:KEPT], *well[:KEPT]}:
        shutil.rmtree(place.releases / str(number), ignore_errors=True)


def _hash(found: Installed) -> str:
    return found.release.artifacts["fp32"].sha256


def _in_order(place: TaskHome) -> list[int]:
    """The releases that may answer: the pointer's first, then older ones, newest first.

    A newer one is left aside: this device went back from it, or never got to accept it.
    """
    here, chosen = _here(place), pointed(place)
    return [number for number in here if number <= chosen] or here


def _here(place: TaskHome) -> list[int]:
    if not place.releases.is_dir():
        return []
    return sorted((int(d.name) for d in place.releases.iterdir() if d.name.isdigit()), reverse=True)
