"""`covey audit`: who did what, and by which command line."""

import time
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from server.cli.base import AsJson, opened, print_json, print_table
from server.records import AuditEntry
from shared.errors import InputError


def audit(
    context: typer.Context,
    limit: Annotated[int, typer.Option(help="How many acts, the newest first.", min=1)] = 50,
    since: Annotated[
        str, typer.Option(metavar="WHEN", help="Only from then on: a day such as 2026-11-28, or 36h, or 7d.")
    ] = "",
    actor: Annotated[str, typer.Option(metavar="NAME", help="Only what this one did: operator, coordinator.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show who did what, and by which command line."""
    begin = moment(since, now=time.time()) if since else 0.0
    with opened(context) as (_, store):
        entries = store.audit_log(limit, since=begin, actor=actor)
    if as_json:
        print_json(entries)
        return
    empty = "Nothing like that has happened." if since or actor else "Nothing has happened yet."
    print_table(("AT", "ACTOR", "ACT", "DETAIL", "COMMAND"), [_row(entry) for entry in entries], empty=empty)


def moment(text: str, *, now: float) -> float:
    """A day in UTC, or so many hours or days before `now`, in Unix time; raise `InputError` for anything else."""
    number, unit = text[:-1], text[-1:]
    if unit in _HOURS and number.isascii() and number.isdigit() and len(number) < 7:
        return now - int(number) * _HOURS[unit] * 3600
    try:
        day = datetime.fromisoformat(text)
        return (day if day.tzinfo else day.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise InputError(f"--since takes a day such as 2026-11-28, or a span such as 36h or 7d, got {text!r}") from None


_HOURS = {"h": 1, "d": timedelta(days=1) // timedelta(hours=1)}


def _row(entry: AuditEntry) -> tuple[str, ...]:
    at = f"{datetime.fromtimestamp(entry.at, UTC):%Y-%m-%d %H:%M:%S}Z"
    return at, entry.actor, entry.act, entry.detail, entry.command or "-"
