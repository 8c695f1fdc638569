"""A coordinator that forges, forgets or swaps what it countersigned, and a device that sends what no device sends."""

import base64
import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from sequencing import COUNT, Countersigner, Device, cost

from client import sequence, totals
from client.sequence import Post
from client.store import AgentStore
from server.pki import create_authority, create_sequence_certificate, create_server_certificate
from server.sequences import open_sequences
from shared import wire
from shared.errors import InputError, NotEligible, WireError
from shared.sequence import PURPOSE, SEALED_BYTES, Receipt, SequenceAnswer, SequenceReport, countersign, decoded


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    made = Device(tmp_path)
    with made.session() as session:
        made.charge("a")
        session.reconcile()
    yield made
    made.peer.store.close()


class Liar:
    """Answers with what it was given, whatever it is asked."""

    def __init__(self, *answers: SequenceAnswer) -> None:
        self.answers = list(answers)

    def __call__(self, _: bytes) -> bytes:
        return wire.to_json(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])


def refused(device: Device, post: Post) -> str:
    """Why the device takes no part with such a coordinator; nothing is charged for it."""
    spent, device.post = device.spent(), post
    with device.session() as session, pytest.raises(NotEligible) as reason:
        session.reconcile()
    with closing(AgentStore(device.home.database)) as store, pytest.raises(NotEligible):
        sequence.check(store)
    assert device.spent() == spent
    return str(reason.value)


def latest(device: Device) -> tuple[Receipt, str]:
    answer = device.peer.latest()
    assert answer.receipt is not None
    return answer.receipt, answer.blob


@pytest.mark.parametrize("field", ["device", "number", "head", "blob_sha256", "signature", "certificate"])
def test_a_receipt_with_another_word_in_it_does_not_hold(device: Device, field: str) -> None:
    receipt, blob = latest(device)
    other: dict[str, object] = {"number": 9, "signature": base64.b64encode(b"x" * 70).decode(), "certificate": "none"}
    forged = replace(receipt, **{field: other.get(field, "0" * 64)})  # type: ignore[arg-type]
    assert "does not hold" in refused(device, Liar(SequenceAnswer(receipt=forged, blob=blob)))


def forged_by(device: Device, folder: Path, key_file: str) -> Receipt:
    data = (folder / key_file).read_bytes()
    key = load_pem_private_key(data, password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    receipt, blob = latest(device)
    report = SequenceReport(number=1, head=receipt.head, blob=blob)
    return countersign(report, device=receipt.device, key=key, certificate=data[data.index(b"-----BEGIN CERT") :])


def test_another_authority_certifies_nobody_here(device: Device, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    create_authority(other, name="test")
    create_sequence_certificate(other)
    _, blob = latest(device)
    forged = forged_by(device, other, "sequence.key")
    assert "not certified by the federation's authority" in refused(
        device, Liar(SequenceAnswer(receipt=forged, blob=blob))
    )  # fmt: skip


def test_the_servers_own_key_may_not_countersign(device: Device) -> None:
    create_server_certificate(device.peer.folder, hosts=[])
    _, blob = latest(device)
    forged = forged_by(device, device.peer.folder, "server.key")
    assert "certified for something else" in refused(device, Liar(SequenceAnswer(receipt=forged, blob=blob)))


def test_the_countersigning_key_may_do_nothing_else(device: Device) -> None:
    certificate = x509.load_pem_x509_certificate((device.peer.folder / "sequence.key").read_bytes())
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [PURPOSE]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_totals_of_another_number_cannot_be_passed_off(device: Device, tmp_path: Path) -> None:
    """The sealed totals of charge 1 under a receipt for charge 3: the blob is bound to its number."""
    _, blob = latest(device)
    copy = device.copy(tmp_path / "copy.db")
    for request in ("b", "c"):
        device.charge(request)
        with device.session() as session:
            session.reconcile()
    receipt, _ = latest(device)
    device.restore(copy)
    key = device.peer.sequences._key
    report = SequenceReport(number=3, head=receipt.head, blob=blob)
    forged = countersign(report, device=receipt.device, key=key, certificate=receipt.certificate.encode())
    assert "cannot be read" in refused(device, Liar(SequenceAnswer(receipt=forged, blob=blob)))


def test_other_totals_than_were_countersigned_are_refused(device: Device) -> None:
    receipt, _ = latest(device)
    other = base64.b64encode(b"\0" * SEALED_BYTES).decode()
    assert "not those that were countersigned" in refused(device, Liar(SequenceAnswer(receipt=receipt, blob=other)))


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"receipt": {}}', b"\xff"])
def test_an_answer_of_no_shape_is_refused(device: Device, body: bytes) -> None:
    assert "does not hold" in refused(device, lambda _: body)


def test_a_coordinator_that_goes_back_is_said_and_brought_up_to_date(device: Device) -> None:
    old = latest(device)
    with device.session() as session:
        device.charge("b")
        session.reconcile()
    device.peer.forget()
    device.peer.store.keep_sequence("ada", old[0], old[1], at=0.0)
    with device.session() as session:
        session.reconcile()
    assert latest(device)[0].number == 2
    assert device.spent() == cost(2)
    assert "went back from charge 2 to 1" in sequence.standing(device.home).note


def test_a_coordinator_that_stays_behind_gets_nothing_more(device: Device) -> None:
    old = device.peer.latest()
    with device.session() as session:
        device.charge("b")
        session.reconcile()
    assert "another sequence each time" in refused(device, Liar(old))


@pytest.mark.parametrize(("number", "head"), [(2**52, "0" * 64), (2**70, "0" * 64), (-1, "0" * 64), (5, "z" * 64)])
def test_a_countersignature_over_nonsense_is_refused(device: Device, number: int, head: str) -> None:
    """The coordinator holds the key, so it can sign anything."""
    receipt, blob = latest(device)
    report = SequenceReport(number=1, head=receipt.head, blob=blob)
    for name, value in (("number", number), ("head", head)):
        object.__setattr__(report, name, value)
    key = device.peer.sequences._key
    signed = countersign(report, device=receipt.device, key=key, certificate=receipt.certificate.encode())
    assert "what no device reports" in refused(device, Liar(SequenceAnswer(receipt=signed, blob=blob)))


def test_a_coordinator_that_lost_everything_is_brought_up_to_date(device: Device) -> None:
    device.peer.forget()
    with device.session() as session:
        session.reconcile()
    assert latest(device)[0].number == 1
    assert device.spent() == cost(1)


def test_the_coordinator_never_goes_back(device: Device) -> None:
    receipt, blob = latest(device)
    for number in (0, 1):
        older = SequenceReport(number=number, head="1" * 64, blob=blob)
        answer = device.peer.sequences.answer(device.peer.device, wire.to_json(sequence.SequenceRequest(report=older)))
        assert answer.receipt == receipt


@pytest.mark.parametrize(
    "change",
    [{"number": -1}, {"number": 2**53}, {"head": "x" * 64}, {"head": "0" * 63}, {"blob": "AAAA"}, {"blob": "no"}],
)
def test_a_report_that_no_device_sends_is_refused(device: Device, change: dict[str, object]) -> None:
    receipt, blob = latest(device)
    report = {"number": 2, "head": receipt.head, "blob": blob} | change
    with pytest.raises(WireError):
        device.peer.sequences.answer(device.peer.device, json.dumps({"report": report}).encode())
    assert latest(device)[0].number == 1


def test_the_coordinator_learns_nothing_of_what_is_left(tmp_path: Path) -> None:
    """Two devices that spent differently send reports that differ in number, hash and random bytes only."""
    sent: list[dict[str, object]] = []
    for name, events in (("little", (COUNT,)), ("much", (COUNT,) * 40)):
        device = Device(tmp_path / name)
        device.charge("a", *events)
        with device.session() as session:
            session.reconcile()
        sent.append(json.loads(device.peer.heard[-1])["report"])
        plain = totals.pack([], size=64)
        assert plain not in decoded(str(sent[-1]["blob"]))
        device.peer.store.close()
    assert {len(json.dumps(report)) for report in sent} == {len(json.dumps(sent[0]))}
    assert [report["number"] for report in sent] == [1, 1]


def test_a_damaged_key_of_the_coordinator_is_named(device: Device, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(device.peer.folder, folder)
    (folder / "sequence.key").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"sequence\.key is damaged"):
        Countersigner(folder, device.key)


def test_a_coordinator_without_its_authoritys_key_goes_on_without_countersigning(
    device: Device, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert open_sequences(device.peer.store, tmp_path) is None
    assert "charges are not countersigned" in caplog.text
    assert open_sequences(device.peer.store, device.peer.folder) is not None
