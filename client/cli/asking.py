"""Commands about predictions: predict, score, and what became of them: outcome, outcomes, quality."""

import dataclasses
import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from client.cli.base import DEFAULT_HOME, AsJson, Home, OfTask, print_json
from client.config import AgentHome
from client.records import Record

if TYPE_CHECKING:
    from client.inference import Predictor

OfWindow = Annotated[str, typer.Option("--window", help="Only rows dated START..END, ISO dates.  [default: all]")]


def predict(
    record: Annotated[str | None, typer.Option(help='One record, as JSON: \'{"hour": 17, "carrier": "UA"}\'.')] = None,
    file: Annotated[Path | None, typer.Option(help="Many records: one JSON object a line.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say how much each column moved the score.")] = False,
    task: OfTask = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Ask the release that serves on this device; nothing leaves it."""
    from client.records import read_records

    records = read_records(record, file)
    from client.inference import Predictor
    from client.recorder import Recorder

    place = AgentHome(home).only_task(task)
    with closing(Recorder(place)) as recorder:
        _answer(Predictor(place, recorder=recorder), records, explain=explain, as_json=as_json)


def _answer(predictor: "Predictor", records: list[Record], *, explain: bool, as_json: bool) -> None:
    for one in records:
        answer = predictor.predict(one)
        shares = predictor.explain(one) if explain else {}
        if as_json:
            print(json.dumps(dataclasses.asdict(answer) | ({"explanation": shares} if explain else {})))
        else:
            scores = ", ".join(f"{name} {score:.3f}" for name, score in answer.scores.items())
            about = f"release {answer.release}, {answer.latency_us:.0f} us, id {answer.id}"
            print(f"{answer.label}  ({scores}; {about})")
            for name, share in sorted(shares.items(), key=lambda item: -abs(item[1])):
                print(f"  {share:+.4f}  {name}")


def score(
    window: OfWindow = "..",
    out: Annotated[Path, typer.Option(help="Where the scores go.")] = Path("scores.parquet"),
    task: OfTask = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Predict your own rows offline, and keep the scores in a Parquet file."""
    from client.scoring import score as predict_rows
    from shared.tasks import parse_window

    found = predict_rows(AgentHome(home).only_task(task), parse_window(window), out)
    if as_json:
        print_json(found)
        return
    print(f"{found.rows} rows scored by release {found.release} into {found.file}")
    print(f"one raw record takes {found.p50_us:.0f} us (p50), {found.p99_us:.0f} us (p99)")


def outcome(
    prediction: Annotated[str, typer.Argument(help="The prediction's id, as the answer gave it.")],
    label: Annotated[str, typer.Argument(help="What came true: one of the task's classes, or the number.")],
    task: OfTask = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Say what came of a prediction; it stays on this device and may teach."""
    from client.housekeeping import open_log
    from client.outcomes import check_label

    place = AgentHome(home).only_task(task)
    told = check_label(place.signed_task(), label)
    with closing(open_log(place)) as log:
        joined = log.outcome(prediction, told)
    days = place.home.settings().keep.days
    print("joined to its prediction" if joined else f"waits for its prediction; gone after {days:g} days")


def outcomes(
    file: Annotated[Path, typer.Argument(help="Many: columns id and label, in .csv, .parquet or .jsonl.")],
    task: OfTask = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Say what came of many predictions."""
    from client.housekeeping import open_log
    from client.outcomes import import_outcomes

    place = AgentHome(home).only_task(task)
    with closing(open_log(place)) as log:
        found = import_outcomes(log, place.signed_task(), file)
    if as_json:
        print_json(found)
        return
    print(f"{found.joined} joined, {found.waiting} waiting for their predictions, {found.bad} bad")
    for reason in found.reasons[:20]:
        print(f"  {reason}")


def quality(window: OfWindow = "..", task: OfTask = None, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Show how well predictions did once their outcomes came, by day and by group; nobody else sees it."""
    from client.housekeeping import open_log
    from client.quality import report
    from shared.tasks import parse_window

    place = AgentHome(home).only_task(task)
    with closing(open_log(place)) as log:
        found = report(log, place.signed_task(), parse_window(window))
    if as_json:
        print_json(found)
        return
    print(f"{'day':<12}{'rows':>7}{'log loss':>10}{'Brier':>8}{'right':>8}")
    for day in found.days:
        print(f"{day.day:<12}{day.rows:>7}{day.log_loss:>10.3f}{day.brier:>8.3f}{day.accuracy:>8.1%}")
    for group in found.groups:
        rates = f"found {_rate(group.true_positive_rate)}, false alarms {_rate(group.false_positive_rate)}"
        print(f"{group.column} = {group.value}: {group.rows} rows, {group.positives} positive, {rates}")


def _rate(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:.1%}"
