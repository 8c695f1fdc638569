"""`covey backup`, `covey restore`: a federation in one file, and back."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from server.archive import Manifest
from server.cli.base import AsJson, ago, command_line, opened, print_json, session, size
from server.cli.progress import teller
from server.config import Federation
from shared.errors import InputError


def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The backup: a name that ends in .tar, or in .tar.zst to pack it.")],
    without_keys: Annotated[
        bool, typer.Option("--without-keys", help="Leave the private keys out; keep copies of them elsewhere.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Save everything in one file, while the coordinator runs."""
    from server import backups

    target = file.absolute()
    if not target.name.endswith((".tar", ".tar.zst")):
        raise InputError(f"{file} must end in .tar or .tar.zst")
    with opened(context) as (federation, store):
        what = f"{target}, {'without' if without_keys else 'with'} keys"
        store.audit("operator", "backup", what, command=command_line(context))
        kept = backups.back_up(federation, target, with_keys=not without_keys, say=teller("copying", quiet=as_json))
        store.audit("operator", "backed up", what, command=command_line(context))
    if as_json:
        print_json(kept)
        return
    packed = size(target.stat().st_size)
    typer.echo(f"{kept.federation} is saved in {target}: {kept.files} files, {size(kept.bytes)}, packed to {packed}.")
    if kept.with_keys:
        every = (
            "every private key"
            if not kept.keys_away
            else f"the private keys that are here, not {', '.join(kept.keys_away)}"
        )
        typer.echo(f"It holds {every}: whoever reads it can sign as this federation. Keep it where keys are kept.")
    else:
        typer.echo("It holds no private key: without copies of keys/ and tls/*.key it cannot be brought back to life.")


def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The backup.")],
    lift: Annotated[
        bool,
        typer.Option(help="Sign anew above all that devices may have seen since the backup was made."),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Bring a backup back to life in an empty directory (`--home`)."""
    from server import backups
    from server.lifting import keys_away

    command, home = command_line(context), session(context).federation.home
    manifest = backups.restore(file.absolute(), home, say=teller("checking", quiet=as_json))
    away = keys_away(Federation(home)) if manifest.with_keys else ()
    raised = _begin(Federation(home), manifest, lift=lift and manifest.with_keys and not away, command=command)
    if as_json:
        print_json({"manifest": manifest, "lifted": raised})
    else:
        _tell(home, manifest, raised, away)


def _begin(federation: Federation, manifest: Manifest, *, lift: bool, command: str) -> Any:
    """End what was under way, write the restoration down, and lift the numbers."""
    from contextlib import closing

    from server.backups import end_runs
    from server.lifting import lift as raise_all
    from server.store import Store

    with closing(Store(federation.database)) as store:
        made = f"{datetime.fromtimestamp(manifest.made_at, UTC):%Y-%m-%d %H:%M:%S}Z"
        ended = end_runs(store)
        stopped = f"; runs {', '.join(map(str, ended))} end here" if ended else ""
        store.audit("operator", "restore", f"the backup of {made}{stopped}", command=command)
        return raise_all(federation, store, command=command) if lift else None


def _tell(home: Path, manifest: Manifest, raised: Any, away: Sequence[str]) -> None:
    typer.echo(
        f"{manifest.federation} is restored in {home}, as it was {ago(manifest.made_at, time.time())}; "
        f"{len(manifest.files)} files are what was backed up."
    )
    if not manifest.with_keys:
        typer.echo(f"Its private keys are not in it: put them into {home}/keys and {home}/tls first.")
        typer.echo("Then, before it serves: covey renew --lift signs above what devices have seen.")
    elif away:
        typer.echo(f"{', '.join(away)} was kept elsewhere: put it back into {home}/keys, then `covey renew --lift`,")
        typer.echo("which signs above what devices have seen; until then they refuse it.")
    elif raised is None:
        typer.echo("Devices that saw newer signatures refuse it until `covey renew --lift` has signed above those.")
    else:
        typer.echo(f"It signs above what devices have seen: timestamp {raised.timestamp}, root {raised.root}.")
        if not raised.roots_lifted:
            typer.echo(
                "Too few root keys are here: if a root was signed since, put them back and `covey renew --lift`."
            )
    typer.echo(
        "What happened since the backup is not in it: devices that joined since join again, rounds since are lost, runs under way ended."
    )
    typer.echo(f"Next: stop the old coordinator for good, covey --home {home} doctor, then covey --home {home} serve")
