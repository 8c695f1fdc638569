"""The charge sequence: each charge is countersigned once, and an old copy of the ledger takes over what it lacks."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sequencing import COUNT, ROUND, Device, cost

from client import audit, sequence
from client.store import AgentStore
from shared.errors import InputError, NotEligible
from shared.sequence import SEALED_BYTES, decoded


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    made = Device(tmp_path)
    yield made
    made.peer.store.close()


def charged(device: Device, *requests: str) -> None:
    """One session in which some requests are paid for and countersigned."""
    with device.session() as session:
        session.reconcile()
        for request in requests:
            device.charge(request)
            session.countersign()


def purposes(device: Device) -> list[str]:
    with closing(AgentStore(device.home.database)) as store:
        return [charge.purpose for charge in store.charges()]


def test_each_charge_is_countersigned_once(device: Device) -> None:
    charged(device, "a", "b")
    receipt = device.peer.latest().receipt
    assert receipt is not None
    assert receipt.number == 2
    assert sequence.standing(device.home) == sequence.Standing(number=2, countersigned=2, declines="", note="")
    asked = len(device.peer.heard)
    with device.session() as session:
        session.reconcile()
        session.countersign()
    assert len(device.peer.heard) == asked + 1, "a session that charges nothing asks once and reports nothing"


def test_a_new_device_reports_that_it_charged_nothing(device: Device) -> None:
    charged(device)
    assert sequence.standing(device.home).countersigned == 0


def test_an_old_copy_takes_over_what_it_lacks_before_anything_else(device: Device, tmp_path: Path) -> None:
    charged(device, "a")
    copy = device.copy(tmp_path / "copy.db")
    with device.session() as session:
        session.reconcile()
        device.charge("b")
        session.countersign()
        device.charge("c", COUNT)
        session.countersign()
    device.restore(copy)
    assert device.spent() == cost(1)

    charged(device)
    assert device.spent() == pytest.approx(cost(2, 1), rel=1e-12)
    assert purposes(device) == ["training", "recovered: this ledger lacked it"]
    stands = sequence.standing(device.home)
    assert (stands.number, stands.countersigned) == (4, 4)
    charged(device, "d")
    assert device.spent() == pytest.approx(cost(3, 1), rel=1e-12)
    assert audit.verify(device.home).wrong == 0


def test_a_copy_restored_twice_is_mended_twice(device: Device, tmp_path: Path) -> None:
    charged(device, "a")
    copy = device.copy(tmp_path / "copy.db")
    charged(device, "b", "c")
    for _ in range(2):
        device.restore(copy)
        charged(device)
        assert device.spent() == pytest.approx(cost(3), rel=1e-12)


def test_a_copy_restored_while_a_session_lasts_is_noticed_before_the_next_reply(device: Device, tmp_path: Path) -> None:
    charged(device, "a")
    copy = device.copy(tmp_path / "copy.db")
    charged(device, "b", "c")
    device.restore(copy)
    with device.session() as session:
        device.charge("x")
        session.countersign()
    # What was charged here and what is charged again are two things: they add up.
    assert device.spent() == pytest.approx(cost(4), rel=1e-12)


def test_the_same_number_over_another_log_is_a_copy_too(device: Device, tmp_path: Path) -> None:
    charged(device, "a")
    copy = device.copy(tmp_path / "copy.db")
    charged(device, "b")
    device.restore(copy)
    device.charge("x")
    charged(device)
    assert device.spent() == pytest.approx(cost(3), rel=1e-12)


def test_a_coordinator_that_does_not_know_the_route_is_lived_with(device: Device) -> None:
    device.peer.away = True
    charged(device, "a")
    assert sequence.standing(device.home) == sequence.Standing(number=1, countersigned=None, declines="", note="")
    device.peer.away = False
    charged(device)
    assert sequence.standing(device.home).countersigned == 1
    assert device.spent() == cost(1)


def test_a_coordinator_that_stops_countersigning_gets_nothing_more(device: Device) -> None:
    charged(device, "a")
    device.peer.away = True
    with device.session() as session, pytest.raises(NotEligible, match="does not now"):
        session.reconcile()
    with closing(AgentStore(device.home.database)) as store, pytest.raises(NotEligible):
        sequence.check(store)
    device.peer.away = False
    charged(device, "b")
    assert sequence.standing(device.home).declines == ""


def test_totals_that_cannot_be_opened_end_everything_until_the_owner_accepts_the_loss(
    device: Device, tmp_path: Path
) -> None:
    charged(device, "a")
    copy = device.copy(tmp_path / "copy.db")
    charged(device, "b")
    device.restore(copy)
    device.home.vault_key.unlink()
    for _ in range(2):
        with device.session() as session, pytest.raises(NotEligible, match="old copy"):
            session.reconcile()
        with closing(AgentStore(device.home.database)) as store, pytest.raises(NotEligible, match="--accept-loss"):
            sequence.check(store)
    assert "old copy" in sequence.standing(device.home).declines

    assert sequence.accept_loss(device.home) == 2
    charged(device, "c")
    assert sequence.standing(device.home).countersigned == 4
    assert device.spent() == cost(2)
    with pytest.raises(InputError, match="no loss to accept"):
        sequence.accept_loss(device.home)


def test_a_lost_vault_key_alone_costs_nothing(device: Device) -> None:
    charged(device, "a")
    device.home.vault_key.unlink()
    charged(device, "b")
    assert device.spent() == cost(2)
    assert audit.listing(device.home)[0].purpose == audit.LOST


def test_what_travels_has_one_size_whatever_was_spent(device: Device) -> None:
    charged(device)
    empty = decoded(device.peer.latest().blob)
    with device.session() as session:
        session.reconcile()
        for number in range(60):
            device.charge(f"{number}", *(ROUND, COUNT)[: 1 + number % 2])
        session.countersign()
    full = decoded(device.peer.latest().blob)
    assert len(empty) == len(full) == SEALED_BYTES
    reports = [json.loads(body)["report"] for body in device.peer.heard if b"report" in body]
    assert {tuple(sorted(report)) for report in reports} == {("blob", "head", "number")}


def test_each_report_stands_in_the_audit_log_before_it_leaves(device: Device) -> None:
    charged(device, "a", "b")
    lines = [line for line in audit.listing(device.home) if line.kind == "charge sequence"]
    assert [line.size for line in lines] == [len(body) for body in device.peer.heard if b"report" in body]
    assert [line.purpose for line in lines] == [f"charge {n}, to be countersigned" for n in (0, 1, 2)]


def test_charges_that_somebody_took_out_of_the_ledger_are_charged_again(device: Device) -> None:
    """The log is whole, and so is the number: only the totals that were countersigned tell."""
    with device.session() as sequence:
        for request in ("a", "b"):
            device.charge(request)
            sequence.countersign()
    before = device.spent()
    with sqlite3.connect(device.home.database) as db:
        db.execute("DELETE FROM events WHERE charge = (SELECT id FROM charges WHERE request = 'b')")
        db.execute("DELETE FROM charges WHERE request = 'b'")
    db.close()
    assert device.spent() < before
    with device.session() as sequence:
        sequence.reconcile()
        assert device.spent() == pytest.approx(before)
        sequence.reconcile()
    with device.session() as sequence:
        sequence.reconcile()
    assert device.spent() == pytest.approx(before), "what was mended once is not charged again"
