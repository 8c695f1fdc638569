"""`covey doctor`: whether all is well with a coordinator, and what to do where it is not."""

import typer

from server.cli.base import AsJson, print_json, print_table, session
from server.cli.progress import teller
from shared.errors import CoveyError


def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Look at clock, certificates, disk, ports, versions, store, runs and keys, and say what to do; exit 1 on a failure."""
    from server.doctor import examine, most_urgent, worst
    from server.probes import look

    findings = examine(look(session(context).federation, say=teller("looking at", quiet=as_json)))
    if as_json:
        print_json(findings)
    else:
        rows = [(each.state, each.name, each.what, each.do or "-") for each in most_urgent(findings)]
        print_table(("STATE", "WHAT", "FOUND", "DO"), rows, empty="")
    if worst(findings) == "fail":
        failing = [finding.name for finding in findings if finding.state == "fail"]
        raise CoveyError(f"{len(failing)} of {len(findings)} checks fail: {', '.join(failing)}")
