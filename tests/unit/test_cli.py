"""`covey` in process: what a person reads, what a program reads, and one line when something is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from server import __main__ as covey_main
from server.cli.founding import publish
from server.config import Federation
from server.store import Store
from shared.errors import InputError
from shared.tasks import Task

READERS = ("fleet", "audit", "rounds", "models", "drift")


@pytest.fixture
def home(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert run(str(tmp_path / "federation"), "init") == 0
    capsys.readouterr()
    return tmp_path / "federation"


def run(home: str, *words: str) -> int:
    """Run `covey`, return its exit status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["covey", *words, "--home", home])
        with pytest.raises(SystemExit) as left:
            covey_main.main()
    return int(left.value.code or 0)


@pytest.mark.parametrize("command", READERS)
def test_every_table_is_there_for_programs_too(home: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert run(str(home), command, "--json") == 0
    assert isinstance(json.loads(capsys.readouterr().out), list)
    assert run(str(home), command) == 0
    assert capsys.readouterr().out.strip()


def test_an_error_is_one_line_without_a_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(tmp_path / "nowhere"), "fleet") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("covey: ")
    assert err.count("\n") == 1


def test_without_a_terminal_the_terminal_ui_says_so_and_ends(home: Path) -> None:
    command = [sys.executable, "-m", "server", "--home", str(home)]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("covey: the terminal UI needs a terminal")


def test_a_federation_is_never_founded_twice(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (home / "tls" / "ca.crt").read_bytes()
    assert run(str(home), "init") == 1
    assert "holds a federation already" in capsys.readouterr().err
    assert (home / "tls" / "ca.crt").read_bytes() == before


def test_a_founding_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_federation: Federation) -> None:
        raise InputError("no disk left")

    monkeypatch.setattr("server.releases.create_repository", fail)
    assert run(str(tmp_path / "federation"), "init") == 1
    assert not list(tmp_path.iterdir())


def test_publishing_a_task_goes_on_after_a_crash(home: Path, task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    federation, store = Federation(home), Store(home / "covey.db")
    with monkeypatch.context() as crash:
        crash.setattr(store, "add_initial_version", lambda *_, **__: (_ for _ in ()).throw(OSError("power")))
        with pytest.raises(OSError, match="power"):
            publish(federation, store, task)
    assert publish(federation, store, task) == 1
    with pytest.raises(InputError, match="raise `revision`"):
        publish(federation, store, task)
    store.close()


def test_options_of_covey_may_stand_after_the_command() -> None:
    assert covey_main.home_first(["fleet", "--home", "x", "--json"]) == (["--home", "x"], ["fleet", "--json"])
    assert covey_main.home_first(["serve", "-v", "--home=x"]) == (["-v", "--home=x"], ["serve"])
