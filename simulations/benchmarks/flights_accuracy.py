"""All 35 stations of the flights, twenty rounds at epsilon 3.5 a campaign: what is left of the lift over chance.

Each run goes through the functions that ship, one after another (`simulations.modes.numerics`), with fresh noise. The
yardstick is the generous one of the demo: pooled rows, no privacy, the best epoch of ten networks on the test rows.
"""

import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from client.dataset import read_examples
from client.inputs import Examples
from shared.tasks import Task, Window, read_task
from shared.training import Training
from simulations.modes.settings import MARCH, TRAINING, WINTER, Kind, mode_of, noise_for, offering

TASK_FILE = Path("tasks/flights.toml")
EPSILON, ROUNDS, REPEATS = 3.5, 20, 5
TARGET, MOONSHOT = 0.90, 0.97

SETTINGS: dict[Kind, tuple[float, float]] = {"distributed": (800.0, 0.8), "local": (800.0, 0.8)}
"""Normalizer and server momentum, one for all stations, chosen by `choose` on rows that are not scored."""

NORMALIZERS, MOMENTA = (100.0, 200.0, 400.0, 800.0, 1600.0), (0.5, 0.7, 0.8)
UNSCORED = (
    (Window(start="2013-04-01", end="2013-06-01"), Window(start="2013-06-01", end="2013-07-01")),
    (Window(start="2013-09-01", end="2013-11-01"), Window(start="2013-11-01", end="2013-12-01")),
)
"""Months to learn from and to test on when choosing settings; no row of January to March is among them."""

Row = dict[str, Any]
Say = Callable[[str], object]


def flights_rows(*, say: Say, repeats: int = REPEATS) -> list[Row]:
    """The share of central training's lift over chance that each mode keeps: mean and worst of several draws of noise."""
    from simulations.demo.central import best_central, pool

    task = read_task(TASK_FILE)
    say("flights: reading 35 stations")
    devices, tested = stations(task, WINTER), stations(task, MARCH)
    say("flights: central training")
    test = pool(tested)
    central = best_central(task, pool(devices), test).auc
    found: list[Row] = [{"name": "simulation.flights.central", "value": central, "unit": "AUC"}]
    for kind in SETTINGS:
        say(f"flights: {repeats} campaigns, {kind} noise")
        aucs = [score(task, kind, training(task, kind), devices, test) for _ in range(repeats)]
        found += rows(kind, aucs, central)
    return found


def rows(kind: str, aucs: Sequence[float], central: float) -> list[Row]:
    """A mode's AUC and share of the lift; the target is for the mean."""
    shares = [(auc - 0.5) / (central - 0.5) for auc in aucs]
    name, mean = f"simulation.flights.{kind}", statistics.mean(shares)
    return [
        {"name": f"{name}.auc", "value": statistics.mean(aucs), "unit": "AUC"},
        {
            "name": name, "value": mean, "unit": "of the lift", "target": f">= {TARGET:g}", "meets": mean >= TARGET,
            "moonshot": MOONSHOT,
        },
        {"name": f"{name}.worst", "value": min(shares), "unit": "of the lift"},
    ]  # fmt: skip


def training(task: Task, kind: Kind, setting: tuple[float, float] | None = None) -> Training:
    """Twenty rounds of one step over all rows, with the noise with which they cost a row the whole epsilon."""
    normalizer, momentum = setting or SETTINGS[kind]
    noise = noise_for(EPSILON, steps=ROUNDS, sample_rate=1.0, delta=task.privacy.delta)
    return replace(TRAINING, rounds=ROUNDS, normalizer=normalizer, server_momentum=momentum, noise_multiplier=noise)


def score(task: Task, kind: Kind, how: Training, devices: Sequence[Examples], test: Examples) -> float:
    """The AUC of one campaign over all devices."""
    from simulations.modes.numerics import auc_of, campaign

    offered = offering(task, kind, how)
    weights, _ = campaign(offered, mode_of(kind), devices)
    return auc_of(offered, weights, test)


def stations(task: Task, window: Window) -> list[Examples]:
    """Each station's rows of a window, the largest station first; some have none."""
    from simulations import flights

    months = range(int(window.start[5:7]), int(window.end[5:7]))
    with tempfile.TemporaryDirectory(prefix="covey-bench-") as folder:
        path = Path(folder) / "station.parquet"
        found: list[Examples] = []
        for name in flights.stations():
            flights.write_station(name, months, path)
            found.append(read_examples(path, task, Window()))
        return found


def choose(*, say: Say, repeats: int = 2) -> dict[Kind, tuple[float, float]]:
    """The setting of each mode with the highest mean share over the unscored windows: how `SETTINGS` was chosen."""
    from simulations.demo.central import best_central, pool

    task = read_task(TASK_FILE)
    windows = [(stations(task, learn), pool(stations(task, test))) for learn, test in UNSCORED]
    central = [best_central(task, pool(devices), test).auc for devices, test in windows]

    def share(kind: Kind, setting: tuple[float, float]) -> float:
        how = training(task, kind, setting)
        shares = [
            (score(task, kind, how, devices, test) - 0.5) / (best - 0.5)
            for (devices, test), best in zip(windows, central, strict=True)
            for _ in range(repeats)
        ]
        say(f"{kind}, normalizer {setting[0]:g}, momentum {setting[1]:g}: {statistics.mean(shares):.4f}")
        return statistics.mean(shares)

    grid = [(normalizer, momentum) for normalizer in NORMALIZERS for momentum in MOMENTA]
    return {kind: max(grid, key=lambda setting, kind=kind: share(kind, setting)) for kind in SETTINGS}
