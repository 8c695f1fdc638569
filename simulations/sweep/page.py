"""A sweep's page: accuracy against epsilon and bytes, the plans that no other beats, and the command that starts each."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from shared.files import write_whole
from simulations.report.page import document, footer, header, section, table
from simulations.report.plots import Words
from simulations.report.scatter import Dot, scatter
from simulations.report.svg import tag, words
from simulations.report.words import at_delta, count, duration, fixed, number, percent, size
from simulations.sweep.grid import Done, Sweep
from simulations.sweep.pareto import best, edge

PAGE = "sweep.html"
KEPT = 0.95
"""How much of the best lift over guessing a cheaper plan should keep to be recommended."""

HEADERS = ("plan", "clip", "noise", "cohort", "rounds", "AUC", "over seeds", "ε", "sent in a run", "time")


def write_page(folder: Path, about: Sweep, found: Sequence[Done], *, asked: int) -> Path:
    """Write `sweep.html` into a sweep's folder, whole, and say where."""
    path = folder / PAGE
    write_whole(path, page(folder, about, found, asked=asked).encode())
    return path


def page(folder: Path, about: Sweep, found: Sequence[Done], *, asked: int) -> str:
    """The whole page; of an unfinished sweep, what is there, and a notice that says so."""
    labels = _labels(found)
    note = None if len(found) == asked else (
        f"This sweep is not finished: {len(found)} of {count(asked, 'plan')} were rehearsed. The same command goes on "
        "where it stopped."
    )  # fmt: skip
    return document(
        f"{about.title}: a sweep",
        header("Covey sweep", _headline(about, found), note, list(_abstract(about, found))),
        tag("main", *_sections(folder, about, found, labels)),
        footer([
            ("start one", "covey start --plan FOLDER/plan.toml"),
            ("tables", "sweep.parquet beside this page; each plan's own report in its folder"),
        ]),
    )  # fmt: skip


def command(folder: Path, done: Done) -> str:
    """What starts a point's plan in deployment."""
    return shlex.join(["covey", "start", "--plan", str(folder / done.point.name / "plan.toml")])


def recommended(found: Sequence[Done]) -> Done | None:
    """The least epsilon that keeps most of the best lift over guessing; None where no point has an AUC above 0.5."""
    line = edge(found)
    lift = max(((each.result.auc or 0.0) - 0.5 for each in line), default=0.0)
    return next((each for each in line if (each.result.auc or 0.0) - 0.5 >= KEPT * lift), None) if lift > 0 else None


def _labels(found: Sequence[Done]) -> dict[str, str]:
    """The plans of the front by number, the least epsilon first; others have none."""
    kept = [each for each, on in zip(found, best(found), strict=True) if on]
    kept.sort(key=lambda each: (each.result.epsilon, each.result.bytes_up))
    return {each.point.name: str(index) for index, each in enumerate(kept, start=1)}


def _headline(about: Sweep, found: Sequence[Done]) -> str:
    top = max((each.result.auc for each in found if each.result.auc is not None), default=None)
    reached = f", up to an AUC of {fixed(top)}" if top is not None else ""
    return f"{about.title}: {count(len(found), 'plan')} rehearsed{reached}"


def _abstract(about: Sweep, found: Sequence[Done]) -> Iterator[str]:
    yield (
        f"Each plan was rehearsed over {count(about.devices, 'virtual device')} from {count(len(about.seeds), 'seed')}, "
        f"in mode {about.mode}, with the code that ships. ε is the most that any device's ledger says{at_delta(about.delta)}."
    )
    if advised := recommended(found):
        point, result = advised.point, advised.result
        yield (
            f"The least ε that keeps {percent(KEPT)} of the best lift over guessing is {fixed(result.epsilon, 2)}, with an "
            f"AUC of {fixed(result.auc)}: clip {point.clip:g}, noise {point.noise:g}, cohort {point.cohort:,}, "
            f"{count(point.rounds, 'round')}."
        )
    yield "Choosing by these test rows uses them up: judge the plan that you choose on others, none of your devices' own."


def _sections(folder: Path, about: Sweep, found: Sequence[Done], labels: dict[str, str]) -> Iterator[str]:
    judged = [each for each in found if each.result.auc is not None]
    chosen = sorted(
        (each for each in found if each.point.name in labels), key=lambda each: int(labels[each.point.name])
    )
    rows = [_row(each, labels) for each in found]
    if judged:
        yield section(
            "pareto", f"{len(labels)} of {count(len(judged), 'plan')} {'is' if len(labels) == 1 else 'are'} beaten by no other",
            f"A point a plan, its area by the bytes that devices send in a run. Numbered ones are beaten by none in AUC, ε "
            f"and bytes together; the line follows AUC and ε alone.{_whiskers(about)}",
            _plot(judged, labels), table(HEADERS, rows, "All plans"),
        )  # fmt: skip
        yield tag(
            "section",
            tag("h2", "What starts each"),
            tag("p", words("The plans of the front, the least ε first. The hash is what reports in deployment call it by."), class_="note"),
            table(
                ("plan", "AUC", "ε", "plan's hash", "in deployment"),
                [_start(folder, each, labels) for each in chosen],
                "Plans that no other beats", code=True,
            ),
        )  # fmt: skip
    elif found:
        yield tag("section", tag("h2", "No plan was tested"), table(HEADERS, rows, "All plans"))


def _whiskers(about: Sweep) -> str:
    seeds = len(about.seeds)
    return f" The strokes reach from the lowest to the highest of {seeds} seeds." if seeds > 1 else ""


def _plot(judged: Sequence[Done], labels: dict[str, str]) -> str:
    dots = [
        Dot(
            name=each.point.name.replace("_", ", ").replace("-", " "), label=labels.get(each.point.name, ""),
            x=each.result.epsilon, y=_auc(each), low=_end(each.result.auc_low, each), high=_end(each.result.auc_high, each),
            weight=each.result.bytes_up, front=each.point.name in labels,
        )
        for each in judged
    ]  # fmt: skip
    line = [(each.result.epsilon, _auc(each)) for each in edge(judged)]
    ends = f"from {fixed(line[0][1])} at ε {number(line[0][0])} to {fixed(line[-1][1])} at ε {number(line[-1][0])}"
    return scatter(
        Words(
            name="pareto", title="AUC against epsilon", x="ε of the device that paid most", y="AUC",
            description=f"{len(dots)} points; the best of them run {ends}.",
        ),
        dots, line,
    )  # fmt: skip


def _auc(done: Done) -> float:
    return done.result.auc or 0.0


def _end(value: float | None, done: Done) -> float:
    return _auc(done) if value is None else value


def _start(folder: Path, done: Done, labels: dict[str, str]) -> tuple[str, ...]:
    result = done.result
    return (
        labels[done.point.name], fixed(result.auc), fixed(result.epsilon, 2), result.plan_sha256[:12], command(folder, done),
    )  # fmt: skip


def _row(done: Done, labels: dict[str, str]) -> tuple[str, ...]:
    point, result = done.point, done.result
    spread = f"{fixed(result.auc_low)} to {fixed(result.auc_high)}"
    return (
        labels.get(point.name, "·"), f"{point.clip:g}", f"{point.noise:g}", f"{point.cohort:,}", f"{point.rounds:,}",
        fixed(result.auc), spread, fixed(result.epsilon, 2), size(result.bytes_up), duration(result.seconds),
    )  # fmt: skip
