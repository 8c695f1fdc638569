"""`covey-sim audit`: estimate epsilon from below on the code that ships, and let mutants of it be caught: `make audit`."""

import json as json_format
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shared.endings import one_line
from shared.errors import InputError
from shared.files import write_whole

if TYPE_CHECKING:
    from simulations.audit.findings import Case

REPORT = Path("reports/audit.json")
NEEDED = ("torch", "opacus", "scipy", "dp_accounting")


def audit(
    only: Annotated[list[str] | None, typer.Option(help="A target, such as light; repeat it. All by default.")] = None,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Four times the canaries, in about four times as long.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Other canaries and other noise.")] = 0,
    jobs: Annotated[int, typer.Option(help="How many targets at a time.", min=1)] = 2,
    report: Annotated[Path, typer.Option(help="Where the rows go, as JSON.")] = REPORT,
    json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
) -> None:
    """Audit training, surveys and sums: what canaries tell of epsilon, and which mutants of the code are caught."""
    if missing := [name for name in NEEDED if not find_spec(name)]:
        raise InputError(f"the audit needs {', '.join(missing)}; install what developers have: pip install '.[dev]'")
    from simulations.audit.canaries import Effort
    from simulations.audit.report import lines, rows
    from simulations.audit.targets import NAMES, THOROUGH
    from simulations.audit.targets import audit as look

    if unknown := set(only or ()) - set(NAMES):
        raise InputError(f"there is nothing called {sorted(unknown)} to audit; choose from {list(NAMES)}")
    names = [name for name in NAMES if not only or name in only]
    started = time.monotonic()

    def tell(name: str, count: int, seconds: float) -> None:
        typer.echo(f"{name}: {count} cases in {seconds:.0f} s", err=True)

    typer.echo(f"auditing {', '.join(names)} ...", err=True)
    cases = look(names, replace(THOROUGH if thorough else Effort(), seed=seed), jobs=jobs, tell=tell)
    found = rows(cases)
    report.parent.mkdir(parents=True, exist_ok=True)
    write_whole(report, json_format.dumps(found, indent=2).encode() + b"\n")
    if json:
        typer.echo(json_format.dumps(found, indent=2))
        return
    for line in lines(cases):
        typer.echo(line)
    typer.echo(_summary(cases, time.monotonic() - started))


def _summary(cases: "list[Case]", seconds: float) -> str:
    shipped = [finding for case in cases if not case.mutant for finding in case.findings]
    mutants = [case for case in cases if case.mutant]
    return (
        f"\n{sum(one.holds for one in shipped)} of {len(shipped)} checks hold; "
        f"{sum(case.as_it_should for case in mutants)} of {len(mutants)} mutants caught ({seconds:.0f} s). "
        "A lower bound is no proof: docs/audit.md."
    )


if __name__ == "__main__":
    with one_line("covey-sim audit"):
        typer.run(audit)
