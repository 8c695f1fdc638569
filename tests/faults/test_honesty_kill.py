"""A device's process is killed at each step of an erasure and of countersigning, and starts again."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from held import full_device, hidden
from sequencing import Device, cost

from client import audit, erasure, sequence
from client.ledger import Ledger
from client.store import AgentStore

ROOT = Path(__file__).parents[2]

KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [{root!r}, {root!r} + "/tests"]
from shared import failpoints

def die(name):
    if name == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

failpoints.hook = die
"""

ERASE = """
from client.config import AgentHome
from client.erasure import erase
erase(AgentHome(Path(sys.argv[1])), with_data=True)
"""

COUNTERSIGN = """
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from client.audit import AuditLog
from client.config import AgentHome
from client.sequence import Sequence
from sequencing import Countersigner
from shared.sequence import fingerprint_of

home = AgentHome(Path(sys.argv[1]))
key = load_pem_private_key(home.key.read_bytes(), password=None)
audit = AuditLog(home)
Sequence(home, audit, device=fingerprint_of(key), post=Countersigner(home.path.parent / "coordinator", key)).reconcile()
"""


def kill(device: Device, script: str, moment: str) -> None:
    code = KILLED.format(root=str(ROOT)) + script
    command = [sys.executable, "-c", code, str(device.home.path), moment]
    done = subprocess.run(command, cwd=ROOT, env=os.environ.copy(), capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    made = full_device(tmp_path)
    yield made
    made.peer.store.close()


@pytest.mark.parametrize(
    "moment",
    [
        "erase.marked", "erase.keys-gone", "erase.ledger-condensed", "erase.data-gone", "erase.files-gone", "erase.done",
    ],
)  # fmt: skip
def test_an_erasure_that_was_killed_is_finished_by_the_next_start(device: Device, tmp_path: Path, moment: str) -> None:
    spent = device.spent()
    kill(device, ERASE, moment)
    assert device.spent() == spent
    assert device.home.key.exists() == (moment == "erase.marked")
    assert erasure.finish(device.home) == (moment != "erase.done")
    assert {file.name for file in device.home.path.iterdir()} - {"agent.db-wal", "agent.db-shm"} <= {
        "agent.db", "agent.lock", "update.lock",
    }  # fmt: skip
    assert device.spent() == spent
    assert hidden(device.home.path)
    assert not (tmp_path / "rows.parquet").exists()
    assert not (tmp_path / "rows.parquet.machines.quarantine.parquet").exists()
    assert not erasure.finish(device.home)
    assert audit.verify(device.home).wrong == 0


@pytest.mark.parametrize("moment", ["sequence.reported", "sequence.countersigned"])
def test_a_countersigning_that_was_killed_is_taken_up_and_charges_nothing_twice(device: Device, moment: str) -> None:
    device.charge("one more")
    kill(device, COUNTERSIGN, moment)
    with device.session() as session:
        session.reconcile()
    assert device.spent() == pytest.approx(cost(3, 2), rel=1e-12)
    stands = sequence.standing(device.home)
    assert (stands.number, stands.countersigned, stands.declines) == (4, 4, "")
    assert audit.verify(device.home).wrong == 0


def test_an_answer_that_was_lost_is_found_again(device: Device) -> None:
    """The coordinator has countersigned, and the device never heard of it."""
    device.charge("one more")
    with device.session() as session:
        report = session._report()
        assert report is not None
        device.peer(sequence.wire.to_json(sequence.SequenceRequest(report=report)))
    assert sequence.standing(device.home).countersigned == 3
    with device.session() as session:
        session.reconcile()
    assert sequence.standing(device.home).countersigned == 4
    with closing(AgentStore(device.home.database)) as store:
        assert Ledger(store).spent(1e-5).releases == 4
