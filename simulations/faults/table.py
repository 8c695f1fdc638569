"""Runs the cases, two at a time, and judges what came of each by what is known outside the device."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from client.installed import accepted, serving
from shared import accounting
from shared.errors import CoveyError, InputError
from simulations.faults import cases, disks
from simulations.faults.cases import LIVES, Case, Life
from simulations.faults.seams import price
from simulations.faults.world import BUDGET, Place, found_federation, join
from simulations.faults.zygote import ERRORS, Zygote
from simulations.machines import TASK, Press

TOLERANCE = 1e-9
AT_ONCE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a case; each of the four is empty where it held, else what was wrong."""

    case: Case
    starts: str
    serves: str
    epsilon: str
    files: str
    how: str = ""

    @property
    def holds(self) -> bool:
        """Whether all four did."""
        return not (self.starts or self.serves or self.epsilon or self.files)


class World:
    """The federation, the devices that cases begin with, and the children that live their lives."""

    def __init__(self, folder: Path, zygotes: list[Zygote]) -> None:
        """Make everything in `folder`."""
        self.folder = folder
        self._zygotes: SimpleQueue[tuple[int, Zygote]] = SimpleQueue()
        for number, zygote in enumerate(zygotes):
            self._zygotes.put((number, zygote))
        self.federation, self.press = found_federation(folder / "works")
        self.begins: dict[str, Place] = {}
        self.full = ""
        self._found()

    def _found(self) -> None:
        number, zygote = self._zygotes.get()
        fresh = Place(self.folder / "fresh", self.federation)
        fresh.folder.mkdir()
        self.press.publish()
        join(fresh)
        running = fresh.copy(self.folder / "running")
        self._lived(zygote, running, life="first update")
        self.press.publish()
        for life, asks in (("update", []), ("round", [("before", "train")]), ("predictions", [])):
            self._lived(zygote, running, life=life, asks=asks)
        self.press.publish()
        killed = running.copy(self.folder / "killed")
        self.live(zygote, killed, life="round", asks=[("killed", "train")], kill="ledger.sent")
        self.begins = {"fresh": fresh, "running": running, "killed": killed}
        self._zygotes.put((number, zygote))

    def _lived(self, zygote: Zygote, place: Place, **spec: Any) -> None:
        status, found = self.live(zygote, place, **spec)
        if status or found.get("ended") != "done":
            raise InputError(f"the world could not be made: {spec}: {found.get(ERRORS) or found or status}")

    def live(self, zygote: Zygote, place: Place, **spec: Any) -> tuple[int, dict[str, Any]]:
        """One life of a device."""
        return zygote.run("live", self._spec(place) | spec, self._out(place))

    def start(self, zygote: Zygote, place: Place) -> tuple[int, dict[str, Any]]:
        """The start that comes after."""
        return zygote.run("start", self._spec(place), self._out(place))

    def _spec(self, place: Place) -> dict[str, Any]:
        return {"folder": str(place.folder), "federation": str(self.federation.home), "disk": str(place.folder.parent)}

    def _out(self, place: Place) -> Path:
        return self.folder / f"{place.folder.parent.name}.json"

    def all_cases(self) -> list[Case]:
        """Every case, as the lives' own operations give them."""
        found = [*cases.special()]
        for life in LIVES:
            heard = self._overhear(life)
            found += [*cases.kills(life, heard), *cases.full_disks(life, heard), cases.read_only(life)]
            found += cases.power_cuts(life, heard)
        for begin in ("running", "killed"):
            found += cases.damaged(self.begins[begin], begin)
        return found

    def _overhear(self, life: Life) -> list[str]:
        """Live a life undisturbed, to hear its operations."""
        number, zygote = self._zygotes.get()
        place = self.begins[life.begin].copy(self.folder / "overheard" / life.life.replace(" ", "-"))
        status, found = self.live(zygote, place, life=life.life, asks=life.asks)
        self._zygotes.put((number, zygote))
        if status or found.get("ended") != "done":
            raise InputError(f"the life {life.life!r} did not go well: {found.get(ERRORS) or found or status}")
        return found["operations"]

    def run(self, wanted: list[Case], done: Callable[[Outcome], None]) -> None:
        """Run cases, and tell of each as it ends."""
        with ExitStack() as stack, ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            roots = [self.folder / f"d{number}" for number in range(AT_ONCE)]
            (self.full,) = {stack.enter_context(disks.small_disk(root)) for root in roots}
            for outcome in pool.map(self._play, wanted):
                done(outcome)

    def _play(self, case: Case) -> Outcome:
        number, zygote = self._zygotes.get()
        place = self.begins[case.begin].copy(self.folder / f"d{number}" / "case")
        try:
            return self._judged(case, place, zygote)
        finally:
            disks.empty(place.folder.parent)
            shutil.rmtree(place.folder)
            self._zygotes.put((number, zygote))

    def _judged(self, case: Case, place: Place, zygote: Zygote) -> Outcome:
        if case.prepare is not None:
            case.prepare(place)
        lived: dict[str, Any] = {}
        if case.life:
            spec = {
                "life": case.life,
                "asks": case.asks,
                "kill": case.kill,
                "fill": case.fill,
                "read_only": case.read_only,
            }
            status, lived = self.live(zygote, place, **spec)
            if case.kill and status != -9:
                return _failed(case, f"it was not killed there: {status} {lived}")
            disks.empty(place.folder.parent)
        if case.after is not None:
            case.after(place)
        _, found = self.start(zygote, place)
        return _Judge(self.press, case, place, lived, found).outcome()


def _failed(case: Case, why: str) -> Outcome:
    return Outcome(case=case, starts=why, serves="", epsilon="", files="")


@dataclass(frozen=True, slots=True)
class _Judge:
    press: Press
    case: Case
    place: Place
    lived: dict[str, Any]
    found: dict[str, Any]

    def outcome(self) -> Outcome:
        """Hold what was found against the truth."""
        return Outcome(
            case=self.case, starts=self._starts(), serves=self._serves(), epsilon=self._epsilon(), files=self._files(),
            how=str(self.found.get("text", "")),
        )  # fmt: skip

    def _starts(self) -> str:
        found = self.found
        if ERRORS in found or not found:
            return str(found.get(ERRORS, "the start hung or died"))
        if self.lived.get("ended") == "trace" or found["ended"] == "trace":
            return str(self.lived.get("text") or found["text"])
        if found["traces"]:
            return str(found["traces"][0]).strip().splitlines()[-1]
        if found["ended"] == "done" and (self._goes_on() or self._explained()):
            return ""
        gone = self.case.gone and "holds no agent" in found["text"]
        return "" if gone or self._explained() else f"without a sentence about it: {found['text']} {found['log']}"

    def _goes_on(self) -> bool:
        """Whether training and updates go on as if nothing had been."""
        trained = any((request, kind) == ("after", "train") for request, kind, _ in self.place.departed())
        return trained and all(answer is not None and answer[0] in self.case.last for answer in self.found["last"])

    def _explained(self) -> bool:
        """Whether a sentence names what is wrong, where something is allowed to be."""
        sentences = [self.found["text"], *self.found["log"]]
        return any(name in sentence for name in self.case.names for sentence in sentences)

    def _serves(self) -> str:
        if self.case.gone and self.found.get("ended") == "sentence":
            return ""
        if self.case.names and self.found.get("ended") == "sentence":
            return ""
        allowed = [(answer, self.case.first) for answer in self.found.get("first") or [None]]
        allowed += [(answer, self.case.last) for answer in self.found.get("last") or [None]]
        allowed += [(answer, self.case.first | self.case.last) for answer in self.lived.get("meanwhile", [])]
        return next(filter(None, (self._wrong(number % 3, *one) for number, one in enumerate(allowed))), "")

    def _wrong(self, record: int, answer: list[Any] | None, allowed: frozenset[int]) -> str:
        """Why an answer is not the one that an allowed release gives; empty if it is."""
        if answer is None:
            return "" if 0 in allowed else "no answer"
        release, version, score = answer
        if release not in allowed:
            return f"release {release} answered, expected one of {sorted(allowed)}"
        right = version == release and abs(self.press.answers[release][record] - score) < TASK.gates.max_int8_loss
        return "" if right else f"an answer in the name of release {release} is not its own"

    def _epsilon(self) -> str:
        departed = self.place.departed()
        if len({request for request, kind, _ in departed if kind != "refusal"}) != len(
            {(request, sha256) for request, kind, sha256 in departed if kind != "refusal"}
        ):
            return "two different answers left under one charge"
        spent = self.found.get("spent")
        if spent is None:
            return (
                ""
                if not any(request == "after" and kind == "train" for request, kind, _ in departed)
                else "it trained on a ledger that cannot be read"
            )
        paid = {request: kind for request, kind, _ in departed}
        truth = accounting.epsilon([event for kind in paid.values() for event in price(kind)], delta=BUDGET.delta)
        return "" if spent >= truth - TOLERANCE else f"the ledger says {spent:.3f}, and {truth:.3f} was spent"

    def _files(self) -> str:
        """Whether what is installed afterwards is whole."""
        task = self.place.home.task(TASK.name)
        if self.case.gone:
            return ""
        try:
            ours, here = accepted(task), serving(task)
        except CoveyError as error:
            return str(error)
        if ours is None or here is None:
            return "" if self.case.names or 0 in self.case.last else "there is no whole release"
        return (
            "" if here.model == here.model_file.read_bytes() else "another file answers than the one that was checked"
        )
