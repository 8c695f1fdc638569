"""Asks an accepted release anew how it fares, on made-up records: in the update's child, never in what answers apps."""

import time

from client import health
from client.config import TaskHome
from client.health import Finding
from client.installed import current_release, read_release
from client.selftest import try_again
from shared.errors import ReleaseError
from shared.failpoints import reached
from shared.lifecycle import RolloutTerms

_HOUR = 3600.0


def ask_anew(place: TaskHome) -> None:
    """Find out how the release fares that this device was told to run, where that is due.

    One that was refused cannot be asked until it is tried again; what was found then is said again.
    """
    known = health.read(place)
    found = known.of(known.run)
    if not known.run or not _is_due(place, found):
        return
    if known.run == current_release(place):
        _ask(place, known.run)
    elif found is not None:
        health.find(place, known.run, found.health.verdict, p95_us=found.health.p95_us)


def _is_due(place: TaskHome, found: Finding | None) -> bool:
    """After half a reporting period, so that one look which does not come about costs no report; also where a clock jumped."""
    every = (place.signed_task().rollout or RolloutTerms()).period_hours * _HOUR
    return found is None or not 0 <= time.time() - found.at < every / 2


def _ask(place: TaskHome, number: int) -> None:
    health.begin(place, number)
    reached("health.asking")
    try:
        p95_us = try_again(read_release(place.releases / str(number)))
    except ReleaseError as error:
        health.find_failing(place, number, error)
    else:
        health.find(place, number, "serves", p95_us=p95_us)
