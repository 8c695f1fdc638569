"""A federation of its own for a load: founded in a temporary directory, its devices written straight into the store."""

import socket
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from server.cli.founding import publish
from server.config import Federation, Settings
from server.founding import found
from server.store import Store
from shared.files import write_secret
from shared.signing import public_key_bytes
from shared.tasks import Task
from simulations.machines import TASK

_HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Where a load is played: the federation, its open store, and the file with all devices' keys."""

    federation: Federation
    store: Store
    keys: Path
    devices: int


def lay_out(folder: Path, *, devices: int, task: Task = TASK) -> Ground:
    """Found a federation in `folder`, publish `task`, and let `devices` in without a request each."""
    port, admin_port = free_ports(2)
    federation = found(folder / "federation", Settings(name="load", port=port, admin_port=admin_port))
    store = Store(federation.database)
    publish(federation, store, task)
    keys = write_keys(folder / "keys.pem", count=devices)
    for number, key in enumerate(keys):
        _let_in(store, f"device-{number:04d}", public_key_bytes(key.public_key()))
    return Ground(federation=federation, store=store, keys=folder / "keys.pem", devices=devices)


def write_keys(file: Path, *, count: int) -> list[ec.EllipticCurvePrivateKey]:
    """Make `count` device keys and keep them in one file, one PEM block after another, readable by its owner alone."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(count)]
    pem, pkcs8, plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    write_secret(file, b"".join(key.private_bytes(pem, pkcs8, plain) for key in keys))
    return keys


def read_keys(file: Path) -> list[ec.EllipticCurvePrivateKey]:
    """The keys that `write_keys` wrote, in order."""
    end = b"-----END PRIVATE KEY-----\n"
    blocks = file.read_bytes().split(end)[:-1]
    found_ones = [serialization.load_pem_private_key(block + end, password=None) for block in blocks]
    return [key for key in found_ones if isinstance(key, ec.EllipticCurvePrivateKey)]


def free_ports(count: int) -> list[int]:
    """Find ports on loopback that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _let_in(store: Store, name: str, key: bytes) -> None:
    token = f"load-{name}"
    store.add_invitation(token, 4e9)
    store.enrol(token, name, key)
    store.set_device_state(name, "approved")
