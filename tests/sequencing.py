"""A device and the coordinator's countersigning side, joined without a network; either may be set back."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from machines import machine_rows, small_task

from client.audit import AuditLog
from client.config import AgentHome
from client.ledger import Ledger
from client.policy import Limit
from client.sequence import Post, Sequence
from client.store import AgentStore
from server.pki import create_authority
from server.sequences import Sequences
from server.store import Store
from shared import accounting, signing, wire
from shared.files import write_whole
from shared.privacy import Cost, PrivacyBudget, SampledGaussian
from shared.sequence import SequenceAnswer, fingerprint_of
from simulations.cohort import found_agent

DELTA = 1e-5
ROUND = SampledGaussian(noise_multiplier=1.2, sample_rate=1 / 32, steps=16)
COUNT = SampledGaussian(noise_multiplier=10.0, sample_rate=1.0, steps=1)
GENEROUS = [Limit(what="the budget", budget=PrivacyBudget(epsilon=50.0, delta=DELTA))]


class Countersigner:
    """The coordinator's side: a real store, a real key; what it was sent is kept in `heard`."""

    def __init__(self, folder: Path, key: ec.EllipticCurvePrivateKey) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "ca.crt").exists():
            create_authority(folder, name="test")
        self.folder, self.store = folder, Store(folder / "covey.db")
        public = signing.public_key_bytes(key.public_key())
        if self.store.device_by_key(public) is None:
            self.store.add_invitation("token", 2e10)
            self.store.enrol("token", "ada", public)
        self.device = self.store.device("ada")
        self.sequences = Sequences(self.store, folder)
        self.heard: list[bytes] = []
        self.away = False

    def __call__(self, body: bytes) -> bytes | None:
        self.heard.append(body)
        return None if self.away else wire.to_json(self.sequences.answer(self.device, body))

    def latest(self) -> SequenceAnswer:
        return self.store.sequence("ada")

    def forget(self) -> None:
        self.store._do("DELETE FROM sequences")


class Device:
    """An agent's directory, its ledger and its sequence."""

    def __init__(self, folder: Path) -> None:
        self.home = AgentHome(folder / "agent")
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.peer = Countersigner(folder / "coordinator", self.key)
        self.post: Post = self.peer
        data = folder / "rows.parquet"
        machine_rows(20).write_parquet(data)
        found_agent(
            self.home, small_task(), name="ada", data=data, budget=PrivacyBudget(epsilon=50.0, delta=DELTA)
        )  # fmt: skip
        write_whole(self.home.authority, (self.peer.folder / "ca.crt").read_bytes())

    def pem(self) -> bytes:
        pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return self.key.private_bytes(serialization.Encoding.PEM, pkcs8, plain)

    def session(self) -> "Session":
        return Session(self)

    def charge(self, request: str, *events: SampledGaussian) -> None:
        with closing(AgentStore(self.home.database)) as store:
            Ledger(store).charge(
                request, task="machines", purpose="training", cost=Cost(record=events or (ROUND,)), limits=GENEROUS
            )

    def spent(self) -> float:
        with closing(AgentStore(self.home.database)) as store:
            return Ledger(store).spent(DELTA).epsilon

    def copy(self, aside: Path) -> Path:
        return backup(self.home.database, aside)

    def restore(self, aside: Path) -> None:
        restore(aside, self.home.database)


class Session:
    """What the agent's process does with its sequence, from one connection to the next."""

    def __init__(self, device: Device) -> None:
        self.audit = AuditLog(device.home)
        self.sequence = Sequence(device.home, self.audit, device=fingerprint_of(device.key), post=device.post)

    def __enter__(self) -> Sequence:
        return self.sequence

    def __exit__(self, *_: object) -> None:
        self.audit.close()


def cost(rounds: int, counts: int = 0) -> float:
    history = [SampledGaussian(noise_multiplier=1.2, sample_rate=1 / 32, steps=16 * rounds)] if rounds else []
    return accounting.epsilon([*history, *[COUNT] * counts], delta=DELTA)


def backup(database: Path, aside: Path) -> Path:
    """A copy of a database as it is now, as a backup makes it."""
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(aside)) as target:
        source.backup(target)
    return aside


def restore(aside: Path, database: Path) -> None:
    for suffix in ("-wal", "-shm"):
        database.with_name(f"{database.name}{suffix}").unlink(missing_ok=True)
    shutil.copy(aside, database)
