"""An owner's rights: a copy of everything, whole or not at all; erasing; what was agreed to, and taking it back."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest
from held import SECRET, data_of, full_device, hidden
from sequencing import COUNT, ROUND, Device, cost

from client import audit, consent, erasure, gdpr, sequence
from client.store import AgentStore
from shared.errors import InputError
from shared.lock import only_one


@pytest.fixture
def device(tmp_path: Path) -> Device:
    made = full_device(tmp_path)
    made.peer.store.close()
    return made


def read(folder: Path, name: str) -> list[dict[str, object]]:
    return json.loads((folder / name).read_text())


def test_the_copy_holds_everything_readable_and_says_what_each_file_is(device: Device, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    made = gdpr.export(device.home, folder)
    files = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert files == {name for name, _ in made.files} | {"README.md"}
    text = (folder / "README.md").read_text()
    assert all(f"| {name} | {what} |" in text for name, what in made.files)

    assert [line["request"] for line in read(folder, "ledger.json")] == [f"{SECRET} request {n}" for n in range(3)]
    assert read(folder, "ledger.json")[1]["events"] == [
        {
            "level": "record", "noise_multiplier": noise, "sample_rate": rate, "steps": steps,
            "adjacency": "one row added or removed", "trust": "against everyone",
        }
        for noise, rate, steps in ((1.2, 1 / 32, 16), (10.0, 1.0, 1))
    ]  # fmt: skip
    assert f"You agree to {SECRET}." in {line["words"] for line in read(folder, "consents.json")}
    assert [line["purpose"] for line in read(folder, "audit.json")] == [
        f"{SECRET} round 1", "charge 3, to be countersigned",
    ]  # fmt: skip
    assert read(folder, "refusals.json")[0]["detail"] == f"too much for {SECRET}"
    assert read(folder, "machines/snapshots.json")[0]["request"] == SECRET
    rows = pl.read_parquet(folder / "machines" / "predictions.parquet")
    assert sorted(rows["id"]) == [f"{SECRET}-{n}" for n in range(6)]
    assert rows.filter(pl.col("label") == "runs").height == 3
    assert (folder / "machines" / "aside-1.parquet").read_bytes() == SECRET.encode()
    assert json.loads((folder / "coordinator.json").read_text())["countersigned_up_to"] == 3


def test_keys_are_named_and_not_copied(device: Device, tmp_path: Path) -> None:
    gdpr.export(device.home, tmp_path / "mine")
    assert str(device.home.key) in (tmp_path / "mine" / "README.md").read_text()
    keys = (device.home.key.read_bytes(), device.home.vault_key.read_bytes())
    copied = [file.read_bytes() for file in (tmp_path / "mine").rglob("*") if file.is_file()]
    assert not any(key in data or b"PRIVATE KEY" in data for key in keys for data in copied)


def test_the_copy_is_its_owners_alone(device: Device, tmp_path: Path) -> None:
    gdpr.export(device.home, tmp_path / "mine")
    for path in (tmp_path / "mine", *(tmp_path / "mine").rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_a_copy_that_cannot_be_finished_leaves_nothing(device: Device, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="exists already"):
        gdpr.export(device.home, tmp_path / "there")
    key = device.home.vault_key.read_bytes()
    device.home.vault_key.write_bytes(b"keyring 00 a.keyring.that.is.locked")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match="keyring"):
        gdpr.export(device.home, tmp_path / "mine")
    assert sorted(tmp_path.iterdir()) == before
    device.home.vault_key.write_bytes(key)


def test_erasing_keeps_what_was_spent_and_nothing_else(device: Device, tmp_path: Path) -> None:
    spent = device.spent()
    assert spent == cost(2, 2)
    with closing(AgentStore(device.home.database)) as store:
        times = [charge.charged_at for charge in store.charges()]
    rows = data_of(device).read_bytes()
    assert not hidden(device.home.path)
    erased = erasure.erase(device.home, with_data=False)
    assert "do not unlearn" in erased.said

    assert {file.name for file in device.home.path.iterdir()} <= {"agent.db", "agent.db-wal", "agent.db-shm"}
    assert device.spent() == spent
    with closing(AgentStore(device.home.database)) as store:
        (charge,) = store.charges()
        assert (charge.state, charge.reply, charge.purpose) == ("void", None, "before erasing")
        assert charge.charged_at % 86_400 == 0
        assert charge.charged_at >= max(times), "a period would forget what was spent too early"
        assert store.consents() == []
        assert store.refusals() == []
        assert [(e.noise_multiplier, e.steps) for e in store.events()] == [
            (ROUND.noise_multiplier, 32), (COUNT.noise_multiplier, 2),
        ]  # fmt: skip
    assert hidden(device.home.path)
    assert not (tmp_path / "rows.parquet.machines.quarantine.parquet").exists()
    assert (tmp_path / "rows.parquet").read_bytes() == rows


def test_erasing_reaches_what_an_earlier_covey_only_unlinked(device: Device) -> None:
    """Rows that were deleted without overwriting stay in free pages until the file is written anew."""
    with closing(sqlite3.connect(device.home.database)) as db:
        db.execute("PRAGMA secure_delete = OFF")
        db.execute("UPDATE charges SET reply = ? WHERE id = 1", (SECRET.encode() * 2000,))
        db.execute("UPDATE charges SET reply = NULL WHERE id = 1")
        db.execute("UPDATE charges SET request = hex(id), purpose = ''")
        db.execute("DELETE FROM consents")
        db.commit()
    assert SECRET.encode() in device.home.database.read_bytes()
    erasure.erase(device.home, with_data=False)
    assert hidden(device.home.path)


def test_the_owners_own_rows_go_only_by_name(device: Device, tmp_path: Path) -> None:
    (tmp_path / "beside.parquet").write_bytes(b"another file")
    assert erasure.own_data(device.home) == ((tmp_path / "rows.parquet"),)
    assert erasure.erase(device.home, with_data=True).own_data == ((tmp_path / "rows.parquet"),)
    assert not (tmp_path / "rows.parquet").exists()
    assert (tmp_path / "beside.parquet").exists()


def test_a_policy_that_cannot_be_read_keeps_nothing_from_being_erased(device: Device) -> None:
    device.home.settings_file.write_text("name = ")
    with pytest.raises(InputError, match=r"agent\.toml"):
        erasure.erase(device.home, with_data=True)
    assert device.home.key.exists()
    erasure.erase(device.home, with_data=False)
    assert not device.home.key.exists()
    with pytest.raises(InputError, match="holds no agent"):
        erasure.erase(device.home, with_data=False)


def test_the_log_goes_on_from_its_head_after_erasing(device: Device) -> None:
    with closing(audit.AuditLog(device.home)) as log:
        number, head = log.head()
    erasure.erase(device.home, with_data=False)
    audit.note(device.home, "enrolment", purpose="joined again")
    with closing(audit.AuditLog(device.home)) as log:
        assert log.find(head) == number
        assert log.verify() == audit.Verdict(entries=1, begins=number + 1, anchored=0)


def test_the_sequence_goes_on_after_erasing(device: Device) -> None:
    erasure.erase(device.home, with_data=False)
    assert sequence.standing(device.home).number == 3


def test_a_running_agent_is_named_and_nothing_is_erased(device: Device) -> None:
    home = str(device.home.lock)
    code = f"import time\nfrom pathlib import Path\nfrom shared.lock import only_one\nwith only_one(Path({home!r}), what='x'):\n print('held', flush=True)\n time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as agent:
        assert agent.stdout is not None
        assert agent.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=rf"process {agent.pid}"):
            erasure.erase(device.home, with_data=False)
        agent.kill()
    assert device.home.key.exists()
    assert not erasure.finish(device.home)


def test_a_running_update_is_waited_for_by_its_owner(device: Device) -> None:
    with only_one(device.home.update_lock, what="an update"), pytest.raises(InputError, match="an update"):
        erasure.erase(device.home, with_data=False)
    assert device.home.key.exists()


def test_consents_are_listed_as_they_read_and_withdrawn_by_task(device: Device) -> None:
    listed = consent.consents(device.home)
    assert [(one.task, one.withdrawn_at) for one in listed] == [("machines", None)] * 2
    assert listed[-1].words == f"You agree to {SECRET}."
    assert consent.withdraw(device.home, "machines").ended == 2
    assert all(one.withdrawn_at for one in consent.consents(device.home))
    with closing(AgentStore(device.home.database)) as store:
        assert not store.agreed("machines", "0" * 64)
        store.agree("machines", "0" * 64)
        assert store.agreed("machines", "0" * 64)
    with pytest.raises(InputError, match="no consent to 'other'"):
        consent.withdraw(device.home, "other")
