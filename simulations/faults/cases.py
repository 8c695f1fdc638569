"""The cases: which life is cut short, where and how, and what the next start must make of it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from simulations.faults import damage
from simulations.faults.world import NEWEST, Place
from simulations.machines import TASK

Begin = str
"""Which device a case begins with: `fresh`, `running`, or `killed` in the middle of a round."""

Prepare = Callable[[Place], None]

SERVES = f"tasks/{TASK.name}/releases"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of the table.

    `life` is lived first, if there is one, and cut short at `kill`, or on a disk that is full from `fill` on. `first`
    are the releases that may answer before anything is fetched, 0 for none; `last` those after. `names` are words of
    which a sentence must hold one wherever something does not go on as before; without it, everything must go on.
    """

    name: str
    at: str
    begin: Begin = "running"
    life: str = ""
    asks: tuple[tuple[str, str], ...] = ()
    kill: str = ""
    fill: str = ""
    read_only: bool = False
    prepare: Prepare | None = None
    after: Prepare | None = None
    first: frozenset[int] = frozenset({2})
    last: frozenset[int] = frozenset({NEWEST})
    names: tuple[str, ...] = ()
    gone: bool = False
    """Afterwards there is no agent any more, only its ledger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """A scripted life, and which releases may answer once it was cut short anywhere."""

    life: str
    begin: Begin = "running"
    asks: tuple[tuple[str, str], ...] = ()
    first: frozenset[int] = frozenset({2})
    gone: bool = False


LIVES = (
    Life(life="first update", begin="fresh", first=frozenset({0, NEWEST})),
    Life(life="update", first=frozenset({2, NEWEST})),
    Life(life="retune", first=frozenset({2, NEWEST})),
    Life(life="round", asks=(("during", "train"),)),
    Life(life="survey", asks=(("during", "survey 2"),)),
    Life(life="rollback", first=frozenset({1, 2})),
    Life(life="both bad", first=frozenset({1, 2})),
    Life(life="predictions"),
    Life(life="audit"),
    Life(life="erase", first=frozenset({1, 2}), gone=True),
    Life(life="leave", first=frozenset({1, 2}), gone=True),
)

EACH = ("rename to ", "link ", "SQL COMMIT", "SQL VACUUM")
"""Operations that a reader of the directory or the database can see, besides the named moments."""

REMOVALS = 4
"""Of the files that an erasure removes one by one, every so many."""


def kills(life: Life, heard: list[str]) -> Iterator[Case]:
    """Killed at each named moment, and before each change that somebody else could see."""
    removals = [moment for moment in heard if moment.startswith("remove ")]
    for moment in heard:
        named = " " not in moment
        if named or moment.startswith(EACH) or moment in removals[::REMOVALS]:
            yield _cut(life, f"killed: {life.life}", moment, kill=moment)


def full_disks(life: Life, heard: list[str]) -> Iterator[Case]:
    """The disk full from each write on; SQLite writes when it commits."""
    for moment in heard:
        if moment.startswith(("write ", "SQL COMMIT", "SQL VACUUM")):
            yield _cut(life, f"disk full: {life.life}", moment, fill=moment)


def read_only(life: Life) -> Case:
    """The whole life on a read-only directory."""
    return Case(
        name=f"read-only: {life.life}", at="all of it", begin=life.begin, life=life.life, asks=life.asks,
        read_only=True, first=life.first, gone=life.gone,
    )  # fmt: skip


def _cut(life: Life, name: str, moment: str, *, kill: str = "", fill: str = "") -> Case:
    return Case(
        name=name, at=moment, begin=life.begin, life=life.life, asks=life.asks, kill=kill, fill=fill,
        first=life.first, gone=life.gone,
    )  # fmt: skip


def power_cuts(life: Life, heard: list[str]) -> Iterator[Case]:
    """The power goes just after each rename: its name is lost, or there but nothing that was written under it.

    A rename that is lost with its new name is the kill before it. What was synced before its rename cannot be empty on
    a disk that keeps its word; here it is all the same.
    """
    for moment, following in pairwise(heard):
        if moment.startswith("rename to "):
            name = moment.removeprefix("rename to ").partition(" #")[0]
            for what, harm in (("content lost", damage.drain_all), ("name lost", damage.remove)):
                yield Case(
                    name=f"power cut: {life.life}", at=f"{moment}: {what}", begin=life.begin, life=life.life,
                    asks=life.asks, kill=following, first=life.first | {0 if life.begin == "fresh" else 1}, gone=life.gone,
                    after=lambda place, name=name, harm=harm: damage.each(place.home.path, name, harm),
                    names=(name, "metadata"),
                )  # fmt: skip


def damaged(place: Place, begin: Begin) -> Iterator[Case]:
    """Each file of the device's directory, harmed in each way."""
    home = place.home.path
    for file in sorted(path for path in home.rglob("*") if path.is_file() and not path.is_symlink()):
        relative = file.relative_to(home)
        if begin == "killed" and not file.name.endswith("-wal"):
            continue
        for way, harm in damage.WAYS.items():
            yield _harmed(relative, way, harm, begin)


OTHER_WORDS = {
    "machines.json": ("signed task",),
    "agent.db": ("ledger",), "agent.db-wal": ("ledger", "database"), "agent.db-shm": ("database",),
    "ca.crt": ("the federation's authority",), "agent.toml": ("holds no agent",), "targets.json": ("metadata",),
    "timestamp.json": ("metadata",), "snapshot.json": ("metadata",), "root.json": ("metadata",),
    "1.root.json": ("metadata", "release cannot be stored"),
}  # fmt: skip
"""What a sentence may call a file that no owner knows by its name."""


def _harmed(relative: Path, way: str, harm: Callable[[Path], None], begin: Begin) -> Case:
    inside = relative.as_posix().startswith(SERVES)
    return Case(
        name=f"{way}: {relative.name}", at=relative.parent.as_posix(), begin=begin,
        prepare=lambda place: harm(place.home.path / relative),
        first=frozenset({0, 1, 2}) if relative.name == "agent.toml" else frozenset({1, 2} if inside else {2}),
        last=frozenset({0, 1, 2, NEWEST}), names=(relative.name, *OTHER_WORDS.get(relative.name, ())),
    )  # fmt: skip


def special() -> Iterator[Case]:
    """What no single file tells."""
    releases = Path(SERVES)
    both = ("1", "2")

    def spoil(place: Place) -> None:
        for number in both:
            damage.flip(place.home.path / releases / number / "fp32.onnx")

    def remove(place: Place) -> None:
        damage.remove(place.home.path / releases)

    def stale(place: Place) -> None:
        damage.stale_socket(place.home.socket)

    yield Case(name="both releases bad: marked", at="", life="both bad", first=frozenset({1, 2}))
    yield Case(name="both releases bad: damaged", at="", prepare=spoil, first=frozenset({0}))
    yield Case(name="all releases gone", at="", prepare=remove, first=frozenset({0}))
    yield Case(name="stale socket", at="", prepare=stale)
