"""A sweep's way through its grid: what is finished stays finished, whatever moment the machine stops at."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared import wire
from shared.errors import InputError, WireError
from shared.files import write_whole
from simulations.report.tables import frame, write_parquet
from simulations.sweep.grid import Done, Point, PointResult, Sweep
from simulations.sweep.page import write_page
from simulations.sweep.pareto import best

RESULT, SWEEP, TABLE = "point.json", "sweep.json", "sweep.parquet"

Rehearse = Callable[[Point, Path, Callable[[float], None]], PointResult | None]
"""Rehearse a point in a folder of its own, from where it stands there, telling which share is done; None if a person
interrupted it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRow:
    """One finished point; `on_front` says that no other beats it in AUC, epsilon and bytes together."""

    clip: float
    noise: float
    cohort: int
    rounds: int
    auc: float | None
    auc_low: float | None
    auc_high: float | None
    epsilon: float
    bytes_up: float
    seconds: float
    on_front: int
    plan_sha256: str
    folder: str


def conduct(
    sweep: Sweep, points: Sequence[Point], folder: Path, rehearse: Rehearse, *, say: Callable[[float], None]
) -> tuple[Done, ...]:
    """Rehearse what is left of a grid, and write `sweep.parquet` and `sweep.html` after each point.

    `say` is told how many points are done. Ctrl-C ends it, and leaves what was finished. Raise `InputError` if the
    folder holds another sweep.
    """
    _keep(folder, sweep)
    found = {point: result for point in points if (result := _kept(folder / point.name, point))}
    _write(folder, sweep, points, found)
    for point in points:
        if point in found:
            continue
        done = len(found)
        say(done)
        try:
            result = rehearse(point, folder / point.name, lambda share, done=done: say(done + share))
        except KeyboardInterrupt:
            result = None
        if result is None:
            break
        found[point] = result
        (folder / point.name).mkdir(exist_ok=True)
        write_whole(folder / point.name / RESULT, wire.to_json(Done(point=point, result=result)) + b"\n")
        _write(folder, sweep, points, found)
        say(len(found))
    return _done(points, found)


def rows(found: Sequence[Done]) -> Iterator[SweepRow]:
    """The finished points as the rows of a table."""
    for each, on in zip(found, best(found), strict=True):
        point, result = each.point, each.result
        yield SweepRow(
            clip=point.clip, noise=point.noise, cohort=point.cohort, rounds=point.rounds, auc=result.auc,
            auc_low=result.auc_low, auc_high=result.auc_high, epsilon=result.epsilon, bytes_up=result.bytes_up,
            seconds=result.seconds, on_front=int(on), plan_sha256=result.plan_sha256, folder=point.name,
        )  # fmt: skip


def _keep(folder: Path, sweep: Sweep) -> None:
    path, body = folder / SWEEP, wire.to_json(sweep)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.read_bytes() != body:
            raise InputError(f"{folder} holds another sweep; name another folder with --out, or remove it")
        write_whole(path, body)
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror or error}") from error


def _kept(folder: Path, point: Point) -> PointResult | None:
    """What a point came to earlier; None where it is not finished, or what stands there is no result of it."""
    try:
        done = wire.from_json(Done, (folder / RESULT).read_bytes())
    except (OSError, WireError):
        return None
    return done.result if done.point == point else None


def _write(folder: Path, sweep: Sweep, points: Sequence[Point], found: dict[Point, PointResult]) -> None:
    done = _done(points, found)
    write_parquet(folder / TABLE, frame(SweepRow, rows(done)))
    write_page(folder, sweep, done, asked=len(points))


def _done(points: Sequence[Point], found: dict[Point, PointResult]) -> tuple[Done, ...]:
    return tuple(Done(point=point, result=found[point]) for point in points if point in found)
