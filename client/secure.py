"""Rounds under secure aggregation, on the device: five steps, whose secrets live in this process's memory alone.

A process that ends in the middle has dropped out, which the protocol allows for. Nothing is computed from a row before
the third step, which is also when the round is charged: an abandoned round that was never masked costs nothing.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TypeVar

import numpy as np
from flwr.app import Message, RecordDict
from numpy.typing import NDArray

from client.contribution import contribution
from client.desk import Desk
from client.enrol import load_key
from client.secagg import Member
from client.secagg_checks import Floor
from shared import messages, wire
from shared.errors import InputError, NotEligible, UnsafeAggregation
from shared.noise import system_stream
from shared.roster import Roster
from shared.rounds import RoundPlan
from shared.secagg.packing import lane
from shared.secagg.words import Incoming, KeyList, Roll, UnmaskRequest
from shared.secure import setting_of

MOST_OPEN = 16
"""Rounds that are under way at a time; the oldest is let go, as a device that dropped out of it."""

LIFETIME_SECONDS = 7200.0
"""No round takes longer."""

Document = TypeVar("Document")
Contribute = Callable[[NDArray[np.float32]], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Open:
    """A round that this device is a member of."""

    member: Member
    plan: RoundPlan
    since: float


class SecureRounds:
    """The rounds that are under way, by agent, run and number; for one process, and safe to share between threads."""

    def __init__(self) -> None:
        """Begin with none."""
        self._open: OrderedDict[tuple[Path, int, int], Open] = OrderedDict()
        self._lock = Lock()

    def keys(self, desk: Desk, _: Message, plan: RoundPlan) -> RecordDict:
        """Offer keys for a round that the policy accepts; asked again, the same."""
        place = self._place(desk, plan)
        with self._lock:
            known = self._open.get(place)
        if known is None or known.plan != plan:
            if known is not None:
                raise UnsafeAggregation("the same round was planned twice, with different terms")
            known = Open(self._join(desk, plan), plan, time.monotonic())
            self._keep(place, known)
        return messages.fold(RecordDict(), "offer", known.member.advertise())

    def shares(self, desk: Desk, message: Message, plan: RoundPlan) -> RecordDict:
        """Deal shares to the neighbours on the coordinator's list, if it is large enough for the noise."""
        member = self._find(desk, plan).member
        shown = messages.unfold(message.content, "list", KeyList)
        assert plan.secure is not None
        if shown.threshold < plan.secure.noise.threshold:
            raise UnsafeAggregation(
                f"the sum may be of {shown.threshold} devices; the noise is shared out over {plan.secure.noise.threshold}"
            )
        return messages.fold(RecordDict(), "shares", member.share(shown))

    def expect(self, desk: Desk, plan: RoundPlan, message: Message) -> None:
        """Refuse, before anything is charged, a round that this process cannot mask an update in.

        What was masked before is sealed in the ledger, and answered from there.
        """
        if desk.store.charge(message.metadata.message_id) is None:
            messages.unfold(message.content, "incoming", Incoming)
            if (step := self._find(desk, plan).member.step) != "mask":
                raise UnsafeAggregation(f"an update was asked for when the next step was {step}")

    def masked(self, desk: Desk, message: Message, plan: RoundPlan, update: NDArray[np.float64]) -> RecordDict:
        """The update as integers, with this device's share of the noise, under all masks; charged before."""
        member = self._find(desk, plan).member
        incoming = messages.unfold(message.content, "incoming", Incoming)
        assert plan.secure is not None
        noise = plan.secure.noise
        residues = contribution(update, noise, seed=bytes.fromhex(plan.secure.seed), stream=system_stream())
        masked, data = member.mask(residues.astype(lane(noise.encoding.bits)), incoming)
        return messages.fold(RecordDict({"data": messages.packed(data)}), "masked", masked)

    def agree(self, desk: Desk, message: Message, plan: RoundPlan) -> RecordDict:
        """Sign the one set of survivors."""
        member = self._find(desk, plan).member
        return messages.fold(RecordDict(), "agreement", member.agree(messages.unfold(message.content, "roll", Roll)))

    def unmask(self, desk: Desk, message: Message, plan: RoundPlan) -> RecordDict:
        """Reveal one share of each neighbour's, never of both secrets."""
        member = self._find(desk, plan).member
        return messages.fold(
            RecordDict(), "reveal", member.unmask(messages.unfold(message.content, "request", UnmaskRequest))
        )

    def _join(self, desk: Desk, plan: RoundPlan) -> Member:
        floor, held = Floor(minimum_cohort=desk.settings.floor.min_cohort), roster(desk)
        assert desk.task.distributed is not None
        assert plan.secure is not None
        if held.number < plan.secure.roster:
            raise NotEligible(f"this device waits for roster {plan.secure.roster}; it holds {held.number}")
        setting = setting_of(plan, desk.task.distributed)
        return Member(setting=setting, identity=load_key(desk.place.home), roster=held.keys, floor=floor)

    def _find(self, desk: Desk, plan: RoundPlan) -> Open:
        with self._lock:
            known = self._open.get(self._place(desk, plan))
        if known is None:
            raise NotEligible("this device is no member of that round, or was started anew since")
        if known.plan != plan:
            raise UnsafeAggregation("the plan changed in the middle of a round")
        return known

    def _keep(self, place: tuple[Path, int, int], opened: Open) -> None:
        with self._lock:
            self._open[place] = opened
            old = [key for key, each in self._open.items() if opened.since - each.since > LIFETIME_SECONDS]
            mine = [key for key in self._open if key[0] == place[0]]
            for key in {*old, *mine[:-MOST_OPEN]}:
                self._open.pop(key).member.forget()

    @staticmethod
    def _place(desk: Desk, plan: RoundPlan) -> tuple[Path, int, int]:
        return desk.place.home.path.resolve(), plan.run_id, plan.number


def roster(desk: Desk) -> Roster:
    """The signed roster that this device holds; raise `NotEligible` before it has one."""
    file = desk.place.home.roster
    try:
        return wire.from_json(Roster, file.read_bytes(), what="the roster")
    except FileNotFoundError:
        raise NotEligible("this device holds no signed roster yet; `covey roster` signs one") from None
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}); leave and join again") from None
