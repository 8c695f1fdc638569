"""Keeps a running agent's releases current, and tells the coordinator which ones were accepted."""

import logging
from threading import Event

from client import affordability, audit, coordinator, health
from client.audit import AuditLog
from client.config import AgentHome, TaskHome
from client.contacts import Contacts
from client.installed import SelfTest, accepted
from client.membership import identity
from client.updating import TaskUpdate, UpdateReport, run_update
from shared import wire
from shared.enrolment import MOST_HEALTH, InstalledReport
from shared.errors import InputError

log = logging.getLogger(__name__)

_LONGEST_DETAIL = 200


class Upkeep:
    """Looks for releases, in a child process, and remembers what was told."""

    def __init__(self, home: AgentHome, *, stopping: Event) -> None:
        """Nothing is looked for yet."""
        self._home, self._stopping = home, stopping
        self._told: InstalledReport | None = None
        self._contacts: Contacts | None = None

    def look(self, *, online: bool) -> bool:
        """Look once and, if the coordinator is there, tell it; whether any task has a newer release than before.

        Raises `Unreachable`, `ReleaseError` and `InputError` as an update does; what served goes on serving.
        """
        found = run_update(self._home, stopping=self._stopping)
        self._count(found.sent)
        for one in found.tasks:
            if one.reason:
                log.warning("task %s stays at release %d: %s", one.task, one.release, one.reason)
        if any(one.asked_anew for one in found.tasks):
            self._told = None  # an answer that is the same as the last one is told too, and the one that nobody heard
        if online:
            self._tell(report_of(self._home, found))
        return found.installed

    def close(self) -> None:
        """Write down what was asked since the last line of the audit log."""
        if self._contacts is not None:
            self._contacts.flush()

    def _count(self, sent: int) -> None:
        """Note a look for the audit log; what cannot be noted now is said, and does not stop the look's work."""
        try:
            self._contacts = self._contacts or Contacts(AuditLog(self._home))
            self._contacts.add("look for releases", sent)
        except InputError as error:
            log.warning("a look for releases is not in the audit log: %s", error)

    def _tell(self, report: InstalledReport) -> None:
        """Report once, and only if the owner allows it; a report that gets lost is made up for by the next look."""
        if report == self._told or not self._home.settings().health:
            return
        key, trust = identity(self._home)
        purpose = f"release {report.release}: {report.detail}"
        audit.note(self._home, "health report", purpose=purpose, content=wire.to_json(report))
        coordinator.report_installed(self._home.settings().coordinator, report, key=key, trust=trust)
        self._told = report


def report_of(home: AgentHome, found: UpdateReport) -> InstalledReport:
    """Which releases were accepted, and how they fare on made-up records; in fixed words, never an error's text.

    It speaks of the accepted release, whichever answers: a release that was put aside because of the owner's rows
    must not show (privacy rule 14). What the device can still afford is in it where its owner wants that (rule 10).
    """
    several = len(found.tasks) > 1
    words = [_words(home.task(one.task), one, named=several) for one in found.tasks]
    newest = max((one.release for one in found.tasks), default=0)
    fares = [each for one in found.tasks for each in health.told(home.task(one.task))]
    return InstalledReport(
        release=newest, detail="; ".join(filter(None, words))[:_LONGEST_DETAIL], affords=affordability.told(home),
        health=tuple(fares[:MOST_HEALTH]),
    )  # fmt: skip


def _words(place: TaskHome, found: TaskUpdate, *, named: bool) -> str:
    installed = accepted(place)
    refused = ["newer one refused" if installed else "refused"] if found.refused else []
    speed = [_speed(installed.tried)] if installed else []
    text = ", ".join(speed + refused)
    return f"{place.name} {found.release}: {text}" if named and text else text


def _speed(tried: SelfTest) -> str:
    return f"{tried.precision}, {tried.fp32_us if tried.precision == 'fp32' else tried.int8_us:.0f} us"
