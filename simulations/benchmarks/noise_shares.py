"""What a device's share of distributed noise costs: nanoseconds a draw, and seconds for a whole contribution.

python -m simulations.benchmarks.noise_shares
"""

import sys
import time
from typing import Any

import numpy as np

from client.contribution import contribution
from client.discrete import discrete_gaussian
from client.discrete_table import DiscreteGaussianTable
from shared.noise import CipherStream
from shared.secagg.choosing import Demand, choose

_DRAWS = 1 << 20
_REPEATS = 5
_TARGET_NS = 100.0

Row = dict[str, Any]


def main() -> None:
    """Print the table."""
    for row in measure():
        sys.stdout.write(f"{row['name']:<58} {row['value']:>12.3f} {row['unit']}\n")


def measure() -> list[Row]:
    """Medians of five runs in processor time, after one that is not counted."""
    stream = CipherStream(bytes(32))
    rows: list[Row] = []
    for scale in (1.0, 30.0, 1_000.0, 10_000.0):
        table = DiscreteGaussianTable(scale)
        seconds = _median(lambda table=table: table.draw(_DRAWS, stream))
        name = f"discrete Gaussian by table, scale {scale:g}"
        rows.append(_row(name, seconds / _DRAWS * 1e9, "ns a draw", _TARGET_NS))
    seconds = _median(lambda: discrete_gaussian(2_000, scale=1_000.0))
    rows.append(_row("discrete Gaussian without a table, scale 1000", seconds / 2_000 * 1e9, "ns a draw", None))
    demand = Demand(
        length=10**6,
        bound=32.0,
        record_clip=1.0,
        devices=1_000,
        threshold=700,
        colluders=100,
        noise_multiplier=1.2,
    )
    noise = choose(demand)
    update = CipherStream(bytes(32)).normals(demand.length) / 50
    seconds = _median(lambda: contribution(update, noise, seed=bytes(32), stream=stream))
    rows.append(_row("a contribution of 10^6 values: rotated, rounded, noised", seconds, "s", None))
    return rows


def _row(name: str, value: float, unit: str, target: float | None) -> Row:
    meets = None if target is None else value <= target
    return {"name": name, "value": value, "unit": unit, "target": target, "meets": meets}


def _median(work: Any) -> float:
    work()
    taken: list[float] = []
    for _ in range(_REPEATS):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return float(np.median(taken))


if __name__ == "__main__":
    main()
