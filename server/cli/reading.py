"""`covey drift`, `covey privacy`: how the data moves, and what the plans have cost each device."""

import time

import typer

from server.cli.base import AsJson, TaskName, ago, opened, print_json, print_table, the_task
from server.records import SurveyResult
from shared.privacy import TRUST, TRUSTS, Trust


def drift(context: typer.Context, task: TaskName = None, as_json: AsJson = False) -> None:
    """Show every survey and how far it found the data to have moved."""
    with opened(context) as (_, store):
        surveys = store.surveys(task)
    if as_json:
        print_json(surveys)
        return
    now = time.time()
    headers = ("RUN", "RELEASE", "ROLE", "WINDOW", "DEVICES", "PSI", "NOISE", "", "WHEN")
    rows = [(s.run_id, s.release, s.role, s.window, s.devices, *_score(s), ago(s.at, now)) for s in surveys]
    print_table(headers, rows, empty="No survey has run yet; `covey survey --role reference` comes first.")
    for shift in surveys[-1].shifts if surveys else ():
        if shift.evident:
            typer.echo(f"  {shift.name} moved: PSI {shift.psi:.3f}, noise alone reaches {shift.noise:.3f}")
    for count in surveys[-1].rules if surveys else ():
        typer.echo(f"  rows: {count}")


def privacy(context: typer.Context, task: TaskName = None, as_json: AsJson = False) -> None:
    """Show the most that the plans can have cost each device."""
    from server.spending import spending

    with opened(context) as (_, store):
        read = the_task(store, task)
        spent = spending(read, store.devices(), store.rounds(), store.runs())
    if as_json:
        print_json(spent)
        return
    headers = ("DEVICE", "ROUNDS", "SURVEYS", "EPSILON AT MOST", "AFTER ANOTHER CAMPAIGN", "CAMPAIGNS LEFT")
    rows = [(s.device, s.rounds, s.surveys, f"{s.epsilon:.3f}", f"{s.after:.3f}", s.campaigns_left) for s in spent]
    print_table(headers, rows, empty="No device is approved yet; `covey approve NAME` lets one in.")
    ceiling = read.privacy
    typer.echo(f"At delta {ceiling.delta:g}; the signed ceiling of {read.name} is epsilon {ceiling.epsilon:g}.")
    for line in _held_against([each.trust for each in spent]):
        typer.echo(line)


def _held_against(trusts: list[Trust]) -> list[str]:
    """Against whom the epsilons hold, once rounds are among them whose noise was not each device's own."""
    if set(trusts) <= {"everyone"}:
        return []
    found = [(TRUST[trust], trusts.count(trust)) for trust in TRUSTS if trust in trusts]
    return [
        "Epsilon is for single rows, and holds:",
        *(f"  {words}: {count} of {len(trusts)}" for words, count in found),
    ]


def _score(survey: SurveyResult) -> tuple[str, str, str]:
    """The score's PSI, its noise band, and a word if it alarms."""
    for shift in survey.shifts:
        if shift.name == "score":
            return f"{shift.psi:.3f}", f"{shift.noise:.3f}", "ALARM" if survey.alarm else ""
    return "-", "-", ""
