"""`covey invite`, `approve`, `revoke`, `roster`, `fleet`: who takes part."""

import time
from typing import Annotated

import typer

from server.cli.base import AsJson, ago, command_line, opened, print_json, print_table, size
from shared.signing import key_fingerprint

Name = Annotated[str, typer.Argument(help="The device's name; `covey fleet` lists them.")]


def invite(
    context: typer.Context,
    hours: Annotated[float, typer.Option(help="How long the invitation is good for.", min=0.01, max=8760)] = 24.0,
    owner: Annotated[
        str, typer.Option(metavar="NAME", help="Whose device it is for: an owner's devices can be given one vote.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Print an invitation: one line, good for one device."""
    from server import enroll

    with opened(context) as (federation, store):
        invitation = enroll.invite(federation, store, hours=hours, owner=owner, command=command_line(context))
    if as_json:
        print_json(invitation)
    else:
        typer.echo(str(invitation))


def approve(context: typer.Context, name: Name) -> None:
    """Let a pending device take part in rounds; `covey roster` then lets it be part of a sum."""
    from server import enroll

    with opened(context) as (federation, store):
        enroll.approve(federation, store, name, command=command_line(context))
        typer.echo(f"{name} is approved; its key starts with {key_fingerprint(store.device(name).public_key)}.")


def revoke(context: typer.Context, name: Name) -> None:
    """Shut a device out, from its next request on and for good."""
    from server import enroll

    with opened(context) as (_, store):
        enroll.revoke(store, name, command=command_line(context))
    typer.echo(f"{name} is revoked; its next request is refused.")


def roster(context: typer.Context, as_json: AsJson = False) -> None:
    """Sign who may be part of a sum: every approved device, by its key."""
    with opened(context) as (federation, store):
        from server import releases

        command = command_line(context)
        approved = {device.name: device.public_key for device in store.devices() if device.state == "approved"}
        signed = releases.publish_roster(federation, approved)
        store.keep_roster(signed)
        store.audit("operator", "roster", f"number {signed.number}: {len(signed.devices)} devices", command=command)
    if as_json:
        print_json(signed)
    else:
        count = len(signed.devices)
        typer.echo(f"Roster {signed.number} names {count} devices; secure aggregation sums over these and no others.")


def fleet(context: typer.Context, as_json: AsJson = False) -> None:
    """Show every device, what it runs, when it last spoke."""
    with opened(context) as (_, store):
        devices = store.devices()
    if as_json:
        print_json(devices)
        return
    now = time.time()
    print_table(
        ("DEVICE", "STATE", "SEEN", "RELEASE", "UP", "DOWN", "DETAIL"),
        [
            (d.name, d.state, ago(d.last_seen, now), d.release or "-", size(d.bytes_up), size(d.bytes_down), d.detail)
            for d in devices
        ],
        empty="No device has enrolled yet; `covey invite` prints an invitation.",
    )
