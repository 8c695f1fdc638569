"""Invitations and devices."""

import json
import sqlite3
import time
from collections.abc import Mapping

from server.records import Device, DeviceState
from server.store.rows import Rows, fields
from shared import wire
from shared.database import transaction
from shared.enrolment import Bucket
from shared.errors import InputError
from shared.roster import Roster


class DeviceRows(Rows):
    """Who was invited, who enrolled, and what each device last said."""

    def add_invitation(self, token_sha256: str, expires_at: float, *, owner: str = "") -> None:
        """Remember a single-use invitation by its token's hash, and whose device it is for."""
        self._do(
            "INSERT INTO invitations (token_sha256, expires_at, owner) VALUES (?, ?, ?)",
            token_sha256,
            expires_at,
            owner,
        )

    def enrol(self, token_sha256: str, name: str, public_key: bytes) -> None:
        """Spend an invitation on a pending device; raise `InputError` if either is not usable."""
        with transaction(self._db):
            used = self._do(
                "UPDATE invitations SET used_by = ? WHERE token_sha256 = ? AND used_by IS NULL AND expires_at > ?",
                name, token_sha256, time.time(),
            )  # fmt: skip
            if not used:
                raise InputError("this invitation is unknown, used or expired; ask the operator for a new one")
            if self._one("SELECT 1 FROM devices WHERE name = ? OR public_key = ?", name, public_key):
                raise InputError(f"a device named {name!r}, or with this key, is enrolled already; choose another name")
            self._do(
                "INSERT INTO devices (name, public_key, state, enrolled_at, owner) "
                "SELECT ?, ?, 'pending', ?, owner FROM invitations WHERE token_sha256 = ?",
                name, public_key, time.time(), token_sha256,
            )  # fmt: skip

    def keep_roster(self, roster: Roster) -> None:
        """Keep a roster that was signed."""
        self._do("INSERT OR REPLACE INTO rosters VALUES (?, ?)", roster.number, wire.to_json(roster).decode())

    def roster(self) -> Roster | None:
        """The newest roster that was signed; None before the first."""
        row = self._one("SELECT body FROM rosters ORDER BY number DESC LIMIT 1")
        return wire.from_json(Roster, row["body"]) if row else None

    def owners(self) -> dict[str, str]:
        """Whose each device is, as its invitation said; devices of nobody in particular are left out."""
        return {row["name"]: row["owner"] for row in self._all("SELECT name, owner FROM devices WHERE owner != ''")}

    def devices(self) -> list[Device]:
        """Every device, by name."""
        return self._moved("devices", "SELECT * FROM devices WHERE moved > ?", ("name",), _device)

    def device(self, name: str) -> Device:
        """The device called `name`, or `InputError`."""
        row = self._one("SELECT * FROM devices WHERE name = ?", name)
        if row is None:
            raise InputError(f"no device is called {name!r}; `covey fleet` lists them")
        return _device(row)

    def device_by_key(self, public_key: bytes) -> Device | None:
        """The device that holds `public_key`, if it is enrolled."""
        row = self._one("SELECT * FROM devices WHERE public_key = ?", public_key)
        return _device(row) if row else None

    def set_device_state(self, name: str, state: DeviceState, *, roster_signature: bytes | None = None) -> None:
        """Approve or revoke; an approval carries the roster key's signature over the device's key."""
        self._do(
            "UPDATE devices SET state = ?, roster_signature = coalesce(?, roster_signature) WHERE name = ?",
            state, roster_signature, name,
        )  # fmt: skip

    def set_node(self, name: str, node_id: int) -> None:
        """Record the node that Flower knows this device by."""
        # Flower counts to 2**64 and SQLite to 2**63: stored as the signed number of the same bits.
        self._do("UPDATE devices SET node_id = ? WHERE name = ?", _signed(node_id), name)

    def touch_device(self, name: str, *, at: float, bytes_up: int, bytes_down: int) -> None:
        """Record that a device spoke, and how many bytes went each way since the last call."""
        self._do(
            "UPDATE devices SET last_seen = ?, bytes_up = bytes_up + ?, bytes_down = bytes_down + ? WHERE name = ?",
            at, bytes_up, bytes_down, name,
        )  # fmt: skip

    def touch_devices(self, counted: Mapping[str, tuple[int, int]], *, at: float) -> None:
        """As `touch_device` for several: bytes up and down by name, in one transaction."""
        if counted:
            with transaction(self._db):
                for name, (up, down) in counted.items():
                    self.touch_device(name, at=at, bytes_up=up, bytes_down=down)

    def device_states(self) -> list[tuple[str, DeviceState, bool]]:
        """Each device's name and state, and whether it has a node: what a coordinator of thousands asks often."""
        rows = self._all("SELECT name, state, node_id IS NOT NULL AS placed FROM devices ORDER BY name")
        return [(row["name"], row["state"], bool(row["placed"])) for row in rows]

    def set_installed(
        self, name: str, release: int, detail: str, *, affords: Mapping[str, Bucket] | None = None
    ) -> None:
        """Record the release that a device says it runs, its self-test's words, and what it can afford, if it tells."""
        told = json.dumps(affords, sort_keys=True) if affords else ""
        self._do("UPDATE devices SET release = ?, detail = ?, affords = ? WHERE name = ?", release, detail, told, name)


def _signed(node_id: int) -> int:
    return node_id - 2**64 if node_id >= 2**63 else node_id


def _device(row: sqlite3.Row) -> Device:
    values = fields(row)
    del values["roster_signature"], values["moved"]
    values["affords"] = json.loads(values["affords"] or "{}")
    if values["node_id"] is not None:
        values["node_id"] %= 2**64
    return Device(**values)
