"""What lies on the disk: no word of an example, and nothing that opens in another place or after a change."""

import sqlite3
import struct
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from predicted import NOON, prediction_log, served

from client.vault import SealError, Vault

SECRETS = (
    "Zürichberg",
    "north-harbour",
    "stops-for-good",
    "0.123456789",
    "0.987654321",
    "customer-4711",
    "1767960042.25",
)


def on_disk(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("predictions.db*")}


def hidden(data: bytes) -> bool:
    """Whether none of the secrets is in some bytes, as text in two encodings or as a binary number."""
    forms = [form for word in SECRETS for form in (word.encode(), word.encode("utf-16-le"))]
    forms += [
        struct.pack(order, float(word)) for word in SECRETS if word[0] in "01" for order in ("<d", ">d", "<f", ">f")
    ]
    return not any(form in data for form in forms)


def test_neither_the_database_nor_its_wal_holds_a_word_of_a_prediction(tmp_path: Path) -> None:
    record = {"load": 0.123456789, "hour": None, "site": "Zürichberg", "place": "north-harbour"}
    assert not hidden(repr(record).encode())
    with prediction_log(tmp_path) as log:
        log.outcome("customer-4711", "stops-for-good")
        log.outcome("customer-4711 who never came", "stops-for-good")
        log.add(
            [served(0, id="customer-4711", at=1_767_960_042.25, record=record, scores=(0.987654321, 1 - 0.987654321))]
        )
        log.outcome("customer-4711", "stops-for-good")
        assert log.recent(1)[0].label == "stops-for-good"
        files = on_disk(tmp_path)
        assert files["predictions.db-wal"]
        assert any(b"served_by_hour" in data for data in files.values())
        assert all(hidden(data) for data in files.values())
    files = on_disk(tmp_path)
    assert b"served_by_hour" in files["predictions.db"]
    assert all(hidden(data) for data in files.values())


def test_lengths_do_not_tell_one_outcome_from_another(tmp_path: Path) -> None:
    with prediction_log(tmp_path) as log:
        log.outcome("a", "no")
        log.outcome("b", "a much longer word")
    with closing(sqlite3.connect(tmp_path / "predictions.db")) as db:
        assert len({len(row[0]) for row in db.execute("SELECT outcome FROM waiting")}) == 1


@pytest.mark.parametrize("column", ["sealed", "outcome", "name"])
def test_what_was_moved_to_another_prediction_is_refused(
    tmp_path: Path, column: str, caplog: pytest.LogCaptureFixture
) -> None:
    with prediction_log(tmp_path) as log:
        log.add([replace(served(n), label=("runs", "stops")[n % 2]) for n in range(3)])
        with closing(sqlite3.connect(tmp_path / "predictions.db")) as db:
            kept = [row[0] for row in db.execute(f"SELECT {column} FROM served ORDER BY id")]
            db.execute(f"UPDATE served SET {column} = x'00' WHERE id = 1")
            for number, value in ((2, kept[0]), (1, kept[1])):
                db.execute(f"UPDATE served SET {column} = ? WHERE id = ?", (value, number))
            db.commit()
        assert [one.id for one in log.recent(9)] == ["prediction-2"]
        assert "2 predictions cannot be read: they are damaged, or their key is gone" in caplog.text


def test_an_outcome_is_no_prediction(tmp_path: Path) -> None:
    with prediction_log(tmp_path) as log:
        log.add([served(0, label="runs")])
        with closing(sqlite3.connect(tmp_path / "predictions.db")) as db:
            db.execute("UPDATE served SET sealed = outcome")
            db.commit()
        assert log.recent(9) == []


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "vault.key")
    sealed = vault.seal(b"stops", about="predictions/outcome/1")
    for place in range(len(sealed) * 8):
        flipped = bytearray(sealed)
        flipped[place // 8] ^= 1 << place % 8
        with pytest.raises(SealError, match="predictions/outcome/1"):
            vault.unseal(bytes(flipped), about="predictions/outcome/1")


def test_every_shortened_message_is_noticed(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "vault.key")
    sealed = vault.seal(b"stops", about="a/1")
    for message in (*(sealed[:length] for length in range(len(sealed))), sealed + b"\0"):
        with pytest.raises(SealError):
            vault.unseal(message, about="a/1")


@pytest.mark.parametrize("about", ["a/2", "a", "b/1", "a/1 ", "", "/a/1"])
def test_a_message_opens_under_the_words_it_was_sealed_with_only(tmp_path: Path, about: str) -> None:
    vault = Vault(tmp_path / "vault.key")
    with pytest.raises(SealError, match="is damaged, or was sealed as something else"):
        vault.unseal(vault.seal(b"x", about="a/1"), about=about)


def test_another_key_opens_nothing_and_its_loss_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    key = tmp_path / "keys" / "vault.key"
    with prediction_log(tmp_path) as log:
        log.add([served(0), served(1, label="runs")])
    key.unlink()
    with prediction_log(tmp_path) as log:
        assert log.recent(9) == []
        assert "2 predictions cannot be read" in caplog.text
        assert log.outcome("prediction-0", "runs") is False
        log.add([served(2)])
        assert log.recent(9) == [served(2)]
        assert log.expire(NOON + 91 * 86_400) == 3
    other = Vault(tmp_path / "other.key").seal(b"x", about="a")
    with pytest.raises(SealError, match="has another key, which is gone"):
        Vault(key).unseal(other, about="a")


def test_the_database_is_its_owners_alone(tmp_path: Path) -> None:
    with prediction_log(tmp_path) as log:
        log.add([served(0)])
        assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("predictions.db*")} == {0o600}
