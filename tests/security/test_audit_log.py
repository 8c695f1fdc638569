"""Whoever edits the audit log is found out, line by line; what was countersigned cannot be cut off or written anew."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sequencing import Device

from client import audit
from client.audit import AuditLog, Verdict
from shared.errors import InputError

Attack = Callable[[sqlite3.Connection], object]


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    made = Device(tmp_path)
    yield made
    made.peer.store.close()


def write(device: Device, lines: int) -> None:
    with closing(AuditLog(device.home)) as log:
        for number in range(lines):
            log.add("refusal", task="machines", purpose=f"declined: number {number}", content=b"x" * number)


def after(device: Device, *statements: str) -> Verdict:
    with closing(sqlite3.connect(device.home.database)) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()
    return audit.verify(device.home)


def test_the_owner_reads_every_line_and_nobody_else_does(device: Device) -> None:
    write(device, 3)
    assert [(line.id, line.kind, line.size, line.purpose) for line in audit.listing(device.home)] == [
        (1, "refusal", 0, "declined: number 0"),
        (2, "refusal", 1, "declined: number 1"),
        (3, "refusal", 2, "declined: number 2"),
    ]
    files = [file.read_bytes() for file in device.home.path.glob("agent.db*")]
    assert not any(b"declined: number" in data for data in files)
    assert audit.verify(device.home) == Verdict(entries=3, begins=1, anchored=0)


@pytest.mark.parametrize(
    ("attack", "wrong", "says"),
    [
        ("UPDATE audit SET size = size + 1 WHERE id = 3", 3, "line 3 was changed"),
        ("UPDATE audit SET at = at + 1 WHERE id = 1", 1, "line 1 was changed"),
        ("UPDATE audit SET kind = 'contact' WHERE id = 4", 4, "line 4 was changed"),
        ("UPDATE audit SET task = 'other' WHERE id = 4", 4, "line 4 was changed"),
        ("UPDATE audit SET epsilon = 0.5 WHERE id = 2", 2, "line 2 was changed"),
        ("UPDATE audit SET sha256 = '' WHERE id = 5", 5, "line 5 was changed"),
        ("UPDATE audit SET purpose = x'00' WHERE id = 2", 2, "line 2 was changed"),
        ("UPDATE audit SET hash = x'00' WHERE id = 2", 2, "line 2 was changed"),
        ("DELETE FROM audit WHERE id = 3", 4, "lines 3 to 3 are missing"),
        ("DELETE FROM audit WHERE id < 3", 3, "lines 1 to 2 are missing"),
    ],
)
def test_a_line_that_was_changed_or_removed_is_named(device: Device, attack: str, wrong: int, says: str) -> None:
    write(device, 5)
    verdict = after(device, attack)
    assert (verdict.wrong, says in verdict.why) == (wrong, True), verdict.why


def test_lines_that_changed_places_are_named(device: Device) -> None:
    write(device, 5)
    swapped = after(
        device, "UPDATE audit SET id = 9 WHERE id = 2", "UPDATE audit SET id = 2 WHERE id = 3",
        "UPDATE audit SET id = 3 WHERE id = 9",
    )  # fmt: skip
    assert swapped.wrong == 2


def test_a_gap_that_was_closed_is_named(device: Device) -> None:
    write(device, 5)
    closed = after(device, "DELETE FROM audit WHERE id = 2", "UPDATE audit SET id = id - 1 WHERE id > 2")
    assert closed.wrong == 2


def test_a_purpose_moved_to_another_line_does_not_open(device: Device) -> None:
    write(device, 2)
    after(device, "UPDATE audit SET purpose = (SELECT purpose FROM audit WHERE id = 1) WHERE id = 2")
    assert [line.purpose for line in audit.listing(device.home)] == ["declined: number 0", audit.LOST]


def test_a_line_whose_hash_was_made_to_fit_does_not_fit_the_next(device: Device) -> None:
    write(device, 5)
    with closing(AuditLog(device.home)) as log:
        second, third = list(log.entries())[1:3]
        forged = audit._digest(second.hash, replace(third, size=0))
        log.store.db.execute("UPDATE audit SET size = 0, hash = ? WHERE id = 3", (forged,))
        verdict = log.verify()
    assert (verdict.wrong, verdict.why) == (4, "line 4 was changed, or the one before it is another")


def countersigned(device: Device) -> None:
    """Three lines, a countersigned charge, and one line that nobody has countersigned yet."""
    write(device, 3)
    device.charge("a")
    with device.session() as session:
        session.reconcile()
    write(device, 1)


def test_a_cut_below_a_countersigned_head_is_seen_and_one_above_it_is_not(device: Device) -> None:
    countersigned(device)
    assert audit.verify(device.home) == Verdict(entries=5, begins=1, anchored=4)
    assert after(device, "DELETE FROM audit WHERE id = 5").wrong == 0
    cut = after(device, "DELETE FROM audit WHERE id > 1")
    assert (cut.wrong, cut.why) == (2, "lines 2 to 4 were removed: line 4 was countersigned")


def test_a_log_written_anew_is_not_the_one_that_was_countersigned(device: Device) -> None:
    countersigned(device)
    after(device, "DELETE FROM audit")
    write(device, 5)
    verdict = audit.verify(device.home)
    assert (verdict.wrong, "written anew" in verdict.why) == (4, True)


def test_a_log_written_anew_without_its_receipts_is_noticed_at_the_next_session(device: Device) -> None:
    """The coordinator still has the head: the ledger counts as an old copy, and pays again."""
    countersigned(device)
    spent = device.spent()
    after(device, "DELETE FROM audit", "DELETE FROM receipts")
    assert audit.verify(device.home).wrong == 0
    with device.session() as session:
        session.reconcile()
    assert device.spent() == spent
    assert [line.purpose for line in audit.listing(device.home) if line.kind == "ledger"] == [
        "the ledger lacked what was charged up to 1, and took it over"
    ]


@pytest.mark.parametrize("field", ["device", "number", "head", "blob_sha256", "signature"])
def test_a_receipt_that_was_edited_is_named(device: Device, field: str) -> None:
    countersigned(device)
    with closing(sqlite3.connect(device.home.database)) as db:
        body = db.execute("SELECT body FROM receipts ORDER BY number DESC LIMIT 1").fetchone()[0]
    receipt = device.peer.latest().receipt
    assert receipt is not None
    other = {"device": "0" * 64, "number": 7, "head": "0" * 64, "blob_sha256": "0" * 64, "signature": "AAAA"}[field]
    edited = body.replace(f'"{field}":"{getattr(receipt, field)}"', f'"{field}":"{other}"')
    edited = edited.replace(f'"{field}":{receipt.number}', f'"{field}":{other}')
    assert edited != body
    verdict = after(device, f"UPDATE receipts SET body = '{edited}'")
    assert (verdict.wrong, verdict.why) == (4, "the countersignature over line 4 does not hold")


def test_what_no_check_can_show_is_said(device: Device) -> None:
    assert "no countersigned head covers" in audit.verify(device.home).unseen


def test_a_locked_vault_writes_no_line(device: Device) -> None:
    device.home.vault_key.parent.mkdir(exist_ok=True)
    device.home.vault_key.write_bytes(b"keyring 00 some.keyring")
    with closing(AuditLog(device.home)) as log:
        with pytest.raises(InputError, match="keyring"):
            log.add("refusal", purpose="declined")
        assert list(log.entries()) == []
