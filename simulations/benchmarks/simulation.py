"""The simulator beside its peers: the rows of issue 5's table, from turns on one fixed workload.

Each contender has a process of its own and one thread; they take turns, and what is compared is the median over turns
of one's rate over the other's in the same turn: a machine that slows down slows both.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from itertools import chain
from typing import Any

from shared.errors import InputError
from simulations.benchmarks.peers.arena import Scores, environment, meet
from simulations.benchmarks.peers.lineup import FULL, GROUPS, RACES, Clock, Group, Race
from simulations.benchmarks.peers.turns import Turn

DEVICES, MILLION = 20_000, 1_000_000
MOST_MEGABYTES = 400.0
MOST_SECONDS: Mapping[str, float] = {"none": 120.0, "quick": 240.0, "exact": 240.0}
FLEET: Mapping[str, str] = {
    "none": "without noise",
    "quick": "DP-SGD, a rehearsal's noise",
    "exact": "DP-SGD, the noise that ships",
}

PARTS = (*dict.fromkeys(race.name.partition(".")[0] for race in RACES), "fleet", "flights")
"""What can be asked for alone."""

Row = dict[str, Any]
Say = Callable[[str], object]


def measure(only: Sequence[str] = (), *, million: bool = False, say: Say = lambda _: None) -> list[Row]:
    """All rows, or those of the named parts; raise `InputError` for a part that there is not."""
    if unknown := set(only) - set(PARTS):
        raise InputError(f"there is nothing called {sorted(unknown)} to measure; choose from {list(PARTS)}")
    wanted = [race for race in RACES if not only or race.name.partition(".")[0] in only]
    names = set(chain.from_iterable((race.ours, race.theirs) for race in wanted))
    scores = Scores()
    for group in GROUPS:
        found = meet(group, [each.name for each in group.contenders if each.name in names], say=say)
        scores = Scores(turns=scores.turns | found.turns, absent=scores.absent | found.absent)
    rows = [*races(wanted, scores), *rates(GROUPS, wanted, scores)]
    if not only or "fleet" in only:
        rows += _or_why("fleet", lambda: fleet(MILLION if million else DEVICES, say=say))
    if not only or "flights" in only:
        rows += _or_why("flights", lambda: _flights(say))
    return rows


def _or_why(part: str, act: Callable[[], list[Row]]) -> list[Row]:
    """A part's rows; if it cannot run, one that says why, so that the others' are not lost."""
    try:
        return act()
    except InputError as error:
        return [{"name": f"simulation.{part}", "value": None, "unit": "", "why": str(error)}]


def races(wanted: Sequence[Race], scores: Scores) -> list[Row]:
    """How many times the other's rate ours is; no figure, but the reason, where one of the two is absent."""
    return [_race(race, scores) for race in wanted]


def _race(race: Race, scores: Scores) -> Row:
    row: Row = {"name": f"simulation.against.{race.name}", "title": race.title, "value": None, "unit": "x"}
    goal = {} if race.target is None else {"target": f">= {race.target:g}", "meets": None, "moonshot": race.moonshot}
    if reasons := {name: scores.absent[name] for name in (race.ours, race.theirs) if name in scores.absent}:
        return row | goal | {"why": "; ".join(f"{name}: {reason}" for name, reason in reasons.items())}
    pairs = zip(scores.turns[race.ours], scores.turns[race.theirs], strict=True)
    value = statistics.median(rate(one, race.clock) / rate(other, race.clock) for one, other in pairs)
    if race.target is not None:
        goal["meets"] = value >= race.target
    return row | {"value": value} | goal


def rates(groups: Sequence[Group], wanted: Sequence[Race], scores: Scores) -> list[Row]:
    """Each contender's median rate by the clock by which it is compared."""
    clocks: dict[str, Clock] = {name: race.clock for race in wanted for name in (race.ours, race.theirs)}
    units = {"cpu": "updates/core-s", "wall": "updates/s"}
    return [
        {
            "name": f"simulation.rate.{each.name}", "title": each.title, "unit": units[clocks[each.name]],
            "value": statistics.median(rate(turn, clocks[each.name]) for turn in scores.turns[each.name]),
        }
        for group in groups for each in group.contenders if each.name in scores.turns
    ]  # fmt: skip


def rate(turn: Turn, clock: Clock) -> float:
    """Updates a second of a clock."""
    return turn.updates / (turn.wall if clock == "wall" else turn.cpu)


def fleet(devices: int, *, say: Say) -> list[Row]:
    """A round over so many devices on all cores: seconds and memory. Only a million is held against the targets.

    The noise that ships is never drawn for a million: it takes a quarter of an hour, and a rehearsal has a quicker one.
    """
    found: list[Row] = []
    for noise, title in FLEET.items():
        count = min(devices, DEVICES) if noise == "exact" else devices
        say(f"fleet: {count:,} devices, {title}")
        found += fleet_rows(count, noise, _round(count, noise))
    return found


def fleet_rows(devices: int, noise: str, measured: Mapping[str, float]) -> list[Row]:
    """The two rows of one round; what was measured is not stretched to another number of devices."""
    name = f"simulation.fleet.{devices}.{noise}"
    about = f"{devices:,} devices x 5 steps, {FLEET[noise]}"
    rows: list[Row] = []
    for what, unit, most in (("seconds", "s", MOST_SECONDS[noise]), ("megabytes", "MB", MOST_MEGABYTES)):
        title = about if what == "seconds" else f"{about}: memory of all processes"
        row: Row = {"name": f"{name}.{what}", "title": title, "value": measured[what], "unit": unit}
        judged = {"target": f"<= {most:g}", "meets": measured[what] <= most} if devices >= MILLION else {}
        rows.append(row | judged)
    return rows


def _round(devices: int, noise: str) -> dict[str, float]:
    command = [sys.executable, "-m", "simulations.benchmarks.peers.fleet", str(devices), noise]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, env=environment())  # noqa: S603 - this very interpreter
    marked = [line for line in done.stdout.splitlines() if line.startswith("@")]
    if done.returncode or not marked:
        raise InputError(f"the round over {devices:,} devices ended early, with status {done.returncode}")
    return json.loads(marked[-1][1:])


def _flights(say: Say) -> list[Row]:
    if find_spec("torch") is None:
        raise InputError(f"torch is not installed: {FULL}")
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    from simulations.benchmarks.flights_accuracy import flights_rows

    return flights_rows(say=say)
