"""What a load came to, as rows: what was measured, and what was to be reached."""

from collections.abc import Iterator, Sequence
from typing import Any

from simulations.load.measure import Load
from simulations.load.stock import Stock

Row = dict[str, Any]

IDLE_SHARE, TIMES_STOCK, MOST_GROWTH = 0.10, 3.0, 16.0
"""Of a core for 1,000 idle devices; our messages a second over stock's; megabytes over the second half of 200 rounds."""


def rows_of(loads: Sequence[Load], stock: Stock | None) -> list[Row]:
    """Every row, load by load, and stock Flower's last."""
    rows = [row for load in loads for row in _of(load)]
    return rows + (list(_beside(stock, loads)) if stock else [])


def _of(load: Load) -> Iterator[Row]:
    wanted, messages = load.wanted, max(1, load.messages)
    name = f"coordinator.{wanted.devices} devices, {wanted.rounds} rounds of {wanted.cohort}"
    if load.wanted.idle_seconds:
        most = IDLE_SHARE if wanted.devices >= 1000 else None
        yield _row(f"{name}: idle, share of a core", load.idle_share, "core", most, at_most=True)
        yield _row(f"{name}: idle, requests a second", load.idle_requests, "1/s")
    yield _row(f"{name}: idle to the first device asked", load.asked_after[0], "s")
    yield _row(f"{name}: idle to the last device asked", load.asked_after[1], "s")
    yield _row(f"{name}: messages a second", load.messages / load.seconds, "1/s")
    if load.rounds:
        median, late = load.round_seconds()
        yield _row(f"{name}: a round, median", median, "s")
        yield _row(f"{name}: a round, 95th percentile", late, "s")
    yield _row(f"{name}: requests a message", load.requests / messages, "")
    yield _row(f"{name}: coordinator CPU a message", 1000 * load.coordinator_cpu / messages, "ms")
    yield _row(f"{name}: the run's own process, CPU a message", 1000 * load.run_cpu / messages, "ms")
    yield _row(f"{name}: coordinator memory", max(load.memory.values()), "MB")
    if wanted.rounds >= 200:
        yield _row(f"{name}: growth from half-way on", load.growth, "MB", MOST_GROWTH, at_most=True)
    yield _row(f"{name}: failed rounds", load.failed_rounds, "", 0, at_most=True)
    yield _row(f"{name}: lost replies", load.lost, "", 0, at_most=True)
    yield _row(f"{name}: replies sent again", load.again, "")


def _beside(stock: Stock, loads: Sequence[Load]) -> Iterator[Row]:
    name = f"coordinator.stock Flower, {stock.devices} nodes, {len(stock.rounds)} rounds"
    theirs = stock.messages / stock.seconds
    yield _row(f"{name}: messages a second", theirs, "1/s")
    yield _row(f"{name}: SuperLink CPU a message", 1000 * stock.cpu / max(1, stock.messages), "ms")
    yield _row(f"{name}: SuperLink memory", stock.megabytes, "MB")
    yield _row(f"{name}: lost replies", stock.lost, "")
    yield _row(f"{name}: polls and pushes given up by nodes", stock.dropped, "")
    yield _row(f"{name}: `database is locked` in its log", stock.locked, "")
    ours = next((load for load in loads if load.wanted.devices == stock.devices), None)
    if ours and theirs:
        times = ours.messages / ours.seconds / theirs
        yield _row(f"coordinator.{stock.devices} devices: messages a second over stock's", times, "x", TIMES_STOCK)


def _row(
    name: str, value: float, unit: str, target: float | None = None, *, at_most: bool = False
) -> Row:  # fmt: skip
    meets = None if target is None else bool(value <= target if at_most else value >= target)
    shown = None if target is None else f"{'<=' if at_most else '>='} {target:g}"
    return {"name": name, "value": value, "unit": unit, "target": shown, "meets": meets}
