"""Whatever ends a command, a person sees one line."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from server.store import Store
from shared.endings import TRACE, one_line
from shared.errors import InputError


def _raise(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (InputError("the file x is empty"), "covey: the file x is empty\n"),
        (PermissionError(13, "Permission denied", "keys/targets"), "covey: keys/targets: Permission denied\n"),
        (
            OSError(28, "No space left on device", "b.tar"),
            "covey: b.tar: No space left on device; make room on its disk, then ask again\n",
        ),
        (KeyError("x"), "covey: KeyError ('x'), which nobody foresaw; COVEY_TRACE=1 in the environment shows where\n"),
    ],
)
def test_an_error_is_one_line_and_exit_status_1(
    error: Exception, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended, one_line("covey"):
        _raise(error)
    assert ended.value.code == 1
    assert capsys.readouterr().err == says


def test_whoever_asks_sees_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRACE, "1")
    with pytest.raises(KeyError), one_line("covey"):
        _raise(KeyError("x"))


def test_a_command_that_ends_well_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with one_line("covey"):
        pass
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("leave", [lambda: _raise(SystemExit(3)), lambda: _raise(KeyboardInterrupt())])
def test_a_way_out_that_was_chosen_is_kept(leave: Callable[[], None]) -> None:
    with pytest.raises((SystemExit, KeyboardInterrupt)) as ended, one_line("covey"):
        leave()
    assert getattr(ended.value, "code", 3) == 3


def test_a_full_disk_asks_for_room_and_names_the_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(Store(tmp_path / "covey.db")) as store:
        store._db.execute("PRAGMA max_page_count = 1")  # pyright: ignore[reportPrivateUsage] - a disk that is full
        with pytest.raises(SystemExit), one_line("covey"):
            store.audit("operator", "note", "x" * 4096)
    said = capsys.readouterr().err
    assert said.startswith(
        f"covey: {tmp_path}/covey.db: a database could not be written, for its disk is full; make room"
    )


def test_a_damaged_database_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), one_line("covey-agent"):
        raise sqlite3.DatabaseError("database disk image is malformed")
    assert capsys.readouterr().err.startswith("covey-agent: one of its databases cannot be read (database disk image")
