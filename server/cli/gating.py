"""`covey gate`, `covey scorecard`: a version's tests without its release, and several versions side by side."""

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from server.cli.base import AsJson, command_line, opened, print_json, print_table
from server.cli.releasing import Probe
from server.records import GateVerdict
from server.scorecard import CRITERIA, ROLES, Criterion, Entrant, Role, Scorecard, score, weights_of
from shared.errors import CoveyError, InputError

UNITS: dict[Criterion, tuple[str, Callable[[float], str]]] = {
    "accuracy": ("AUC", lambda value: f"{value:.3f}"),
    "latency": ("LATENCY", lambda value: f"{value:.1f} us"),
    "size": ("SIZE", lambda value: f"{value:,.0f} B"),
    "fairness": ("AUC GAP", lambda value: f"{value:.3f}"),
    "privacy": ("EPSILON", lambda value: f"{value:.3f}"),
    "freshness": ("AGE", lambda value: f"{value:.1f} d"),
}


def gate(
    context: typer.Context,
    version: Annotated[int, typer.Argument(help="The version; `covey models` lists them.")],
    probe: Probe = None,
    as_json: AsJson = False,
) -> None:
    """Test a version against every gate of its task; exit 1 unless all are passed."""
    with opened(context) as (federation, store):
        from server import gating

        found = gating.gate(federation, store, version, probe=probe)
        said = "passed" if found.passed else _failing(found.verdicts)
        store.audit("operator", "gate", f"version {version}: {said}", command=command_line(context))
    if as_json:
        print_json(found.verdicts)
    else:
        rows = [(verdict.state, verdict.name, verdict.expected, verdict.found) for verdict in found.verdicts]
        print_table(("VERDICT", "GATE", "EXPECTED", "FOUND"), rows, empty="The task declares no gate.")
    if not found.passed:
        raise CoveyError(f"version {version} does not pass: {_failing(found.verdicts)}")
    if not as_json:
        typer.echo(f"Version {version} passes; `covey promote {version}` tests it again and signs it.")


def scorecard(
    context: typer.Context,
    versions: Annotated[
        list[int] | None, typer.Argument(help="The versions.", show_default="released ones and the newest")
    ] = None,
    roles: Annotated[
        list[str] | None,
        typer.Option("--role", metavar="ROLE", help=f"Whose weights: {', '.join(ROLES)}; may be repeated."),
    ] = None,
    weights: Annotated[
        str, typer.Option(metavar="LIST", help="Weights of your own, such as accuracy=3,privacy=2; the others are 0.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Compare versions in accuracy, latency, size, fairness, privacy and freshness; a simple one wins ties."""
    weighed = weights_of([_role(name) for name in roles or ()], _given(weights))
    with opened(context) as (_, store):
        from server import comparing

        numbers = list(dict.fromkeys(versions)) if versions else comparing.chosen(store)
        entrants = comparing.entrants(store, numbers, say=_silent if as_json else _say)
    found = score(entrants, weighed)
    if as_json:
        print_json({"scorecard": found, "entrants": entrants})
    else:
        _show(found, {each.version: each for each in entrants})


def _show(found: Scorecard, entrants: dict[int, Entrant]) -> None:
    headers = ("VERSION", *(UNITS[name][0] for name in CRITERIA), "PARAMETERS", "SCORE", "PARETO FRONT")
    rows = [
        (
            place.version,
            *(_figure(entrants[place.version], name) for name in CRITERIA),
            f"{entrants[place.version].parameters:,}",
            f"{place.score:.3f}",
            "on it" if place.front else f"dominated by {', '.join(map(str, place.dominated_by))}",
        )
        for place in found.places
    ]
    print_table(headers, rows, empty="There is no version to compare.")
    told = ", ".join(f"{name} {weight:.3g}" for name, weight in found.weights.items() if weight)
    typer.echo(f"Weights: {told}.")
    typer.echo(f"{found.why[0].upper()}{found.why[1:]}.")


def _figure(entrant: Entrant, name: Criterion) -> str:
    """A figure with the reach of its bounds, where it has some."""
    figure, write = entrant.figures[name], UNITS[name][1]
    if figure is None:
        return "-"
    return write(figure.value) if figure.low == figure.high else f"{write(figure.value)} ± {write(figure.band)}"


def _failing(verdicts: tuple[GateVerdict, ...]) -> str:
    return ", ".join(f"{verdict.name} {verdict.state}" for verdict in verdicts if not verdict.passed)


def _role(name: str) -> Role:
    for role in ROLES:
        if role == name:
            return role
    raise InputError(f"no role is called {name!r}; there are {', '.join(ROLES)}")


def _given(text: str) -> dict[Criterion, float]:
    """`accuracy=3,privacy=2` as weights."""
    found: dict[Criterion, float] = {}
    known: dict[str, Criterion] = {name: name for name in CRITERIA}
    for part in filter(None, text.split(",")):
        name, _, number = part.partition("=")
        criterion = known.get(name.strip())
        try:
            weight = float(number)
        except ValueError:
            raise InputError(f"weights are NAME=NUMBER with commas between, got {part!r}") from None
        if criterion is None or not 0 <= weight < float("inf"):
            raise InputError(f"weights are of {', '.join(CRITERIA)} and not negative, got {part!r}")
        found[criterion] = weight
    return found


def _say(what: str) -> None:
    if sys.stderr.isatty():
        typer.echo(f"measuring {what} …", err=True)


def _silent(_what: str) -> None:
    """A program that reads JSON wants nothing beside it."""
