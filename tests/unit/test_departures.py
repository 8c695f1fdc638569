"""What leaves is noted before it leaves; a paid reply only leaves once its charge was countersigned."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from flwr.app import Error, Message, RecordDict
from flwr.common.serde import message_to_proto
from sequencing import Device

from client import audit, contacts
from client.audit import AuditLog
from client.departures import Departures
from client.ledger import Ledger
from client.store import AgentStore
from shared import messages
from shared.errors import InputError, NotEligible
from shared.rounds import RefusalReport
from shared.sequence import PATH


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    made = Device(tmp_path)
    yield made
    made.peer.store.close()


@pytest.fixture
def departures(device: Device) -> Iterator[Departures]:
    made = Departures(device.home, key=device.key)
    yield made
    made.close()


def reply(request: str, content: RecordDict | Error, *, kind: str = "train") -> Message:
    from flwr.supercore.task_identity import TaskIdentity

    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
    message = Message(RecordDict(), 7, kind)
    vars(message.metadata)["_message_id"] = request
    return Message(content, reply_to=message)


def told(device: Device) -> list[tuple[str, str, str]]:
    return [(line.kind, line.task, line.purpose) for line in audit.listing(device.home)]


def test_a_paid_reply_is_noted_with_its_bytes_and_countersigned(device: Device, departures: Departures) -> None:
    departures.reconcile(lambda path, body: device.peer(body) if path == PATH else None)
    device.charge("round")
    update = reply("round", RecordDict())
    departures.clear(update)
    body = message_to_proto(update).SerializeToString()
    line = next(line for line in audit.listing(device.home) if line.kind == "training update")
    assert (line.task, line.purpose, line.size) == ("machines", "training", len(body))
    assert line.epsilon == device.spent()
    receipt = device.peer.latest().receipt
    assert receipt is not None
    assert receipt.number == 1
    assert audit.verify(device.home).anchored > line.id, "the countersigned head covers the update"


def test_the_same_bytes_sent_again_need_no_other_line(device: Device, departures: Departures) -> None:
    device.charge("round")
    update = reply("round", RecordDict())
    for _ in range(3):
        departures.clear(update)
    assert told(device) == [("training update", "machines", "training")]


def test_a_refusal_and_a_failure_are_noted_by_their_fixed_words(device: Device, departures: Departures) -> None:
    departures.clear(reply("a", messages.pack("refusal", RefusalReport(category="budget")), kind="query.drift"))
    departures.clear(reply("b", Error(code=2, reason="failed")))
    assert told(device) == [("refusal", "", "declined: budget"), ("refusal", "", "declined: failed")]
    assert device.peer.heard == []


def test_a_paid_reply_stays_while_the_sequence_is_not_settled(device: Device, departures: Departures) -> None:
    departures.reconcile(lambda _path, _body: b"nonsense")
    device.charge("survey")
    with pytest.raises(NotEligible):
        departures.clear(reply("survey", RecordDict(), kind="query.drift"))
    departures.clear(reply("other", Error(code=2, reason="failed")))


def test_nothing_leaves_while_the_vault_is_locked(device: Device, departures: Departures) -> None:
    device.home.vault_key.parent.mkdir(exist_ok=True)
    device.home.vault_key.write_bytes(b"keyring 00 some.keyring")
    departures.reconcile(lambda _path, body: device.peer(body))
    with pytest.raises(InputError, match="keyring"):
        departures.clear(reply("a", Error(code=2, reason="failed")))
    with pytest.raises(InputError, match="keyring"):
        device.charge("round")
    assert device.spent() == 0.0


def test_requests_without_content_are_summed_up_by_the_hour(
    device: Device, departures: Departures, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(contacts.time, "monotonic", lambda: clock[0])
    departures.contacts._since = 0.0
    for number in range(100):
        clock[0] = number * 60.0
        departures.note("/v1/fleet/pull-messages", 10)
        departures.note("/v1/fleet/send-node-heartbeat", 1)
        departures.note("/v1/fleet/push-object", 1_000_000)
        departures.note(PATH, 5000)
    assert told(device) == [("contact", "", "61 pull-messages, 60 send-node-heartbeat")]
    departures.contacts.flush()
    departures.contacts.flush()
    lines = audit.listing(device.home)
    assert [line.purpose for line in lines][1:] == ["39 pull-messages, 40 send-node-heartbeat"]
    assert sum(line.size for line in lines) == 1100


def test_what_could_not_be_written_is_counted_on(device: Device, departures: Departures) -> None:
    key = device.home.vault_key
    departures.contacts._audit.add("refusal", purpose="declined")
    whole = key.read_bytes()
    departures.note("/v1/fleet/pull-messages", 10)
    with closing(AuditLog(device.home)) as locked:
        key.write_bytes(b"keyring 00 some.keyring")
        waiting = contacts.Contacts(locked)
        waiting.add("pull-messages", 3)
        waiting.flush()
        assert sum(waiting._counts.values()) == 1
    key.write_bytes(whole)


def test_what_an_earlier_covey_kept_in_clear_is_sealed_at_the_next_start(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).parents[1] / "fixtures" / "0.1.0" / "agent.db", tmp_path / "agent.db")
    with closing(AgentStore(tmp_path / "agent.db")) as store:
        before = Ledger(store).unsent()
        store.db.execute(
            "INSERT INTO refusals (at, task, category, detail) VALUES (1.5, 'machines', 'budget', 'of ada')"
        )
        assert len(before) == 4
        assert all(reply in (tmp_path / "agent.db").read_bytes() for _, reply in before if len(reply) < 200)
        store.seal_clear()
        store.seal_clear()
        assert Ledger(store).unsent() == before
        assert [row["detail"] for row in store.refusals()] == ["of ada"]
        assert store.db.execute("SELECT number FROM sequence").fetchone()[0] == 4
    files = b"".join(file.read_bytes() for file in tmp_path.glob("agent.db*"))
    assert b"of ada" not in files
    assert not any(reply in files for _, reply in before)


def test_the_last_thousand_refusals_are_kept(tmp_path: Path) -> None:
    with closing(AgentStore(tmp_path / "agent.db")) as store:
        store.db.execute("PRAGMA synchronous = OFF")
        for number in range(1010):
            store.add_refusal("machines", "budget", f"number {number}")
        kept = store.refusals()
    assert len(kept) == 1000
    assert (kept[0]["detail"], kept[-1]["detail"]) == ("number 10", "number 1009")


def test_a_reply_whose_key_is_gone_is_burnt_and_not_sent(device: Device) -> None:
    device.charge("round")
    with closing(AgentStore(device.home.database)) as store:
        Ledger(store).seal("round", b"the update")
        assert Ledger(store).unsent() == [("round", b"the update")]
    assert b"the update" not in b"".join(file.read_bytes() for file in device.home.path.glob("agent.db*"))
    device.home.vault_key.unlink()
    with closing(AgentStore(device.home.database)) as store:
        assert Ledger(store).unsent() == []
    with pytest.raises(NotEligible, match="charged before"):
        device.charge("round")
