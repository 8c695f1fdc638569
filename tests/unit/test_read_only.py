"""A read-only session shows everything and changes nothing: by name, by the store itself, and without the right to write."""

import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import pytest
import typer
from acting import ACTING_BY_THEIR_WORDS, READING, STORY, commands
from machines import small_task

from server import __main__ as covey_main
from server.cli.founding import publish
from server.cli.program import ACTING, app
from server.config import Settings
from server.founding import found
from server.schema import MIGRATIONS
from server.store import Store
from shared.errors import InputError
from shared.lock import holder, only_one

NOBODY = 65534


@pytest.fixture
def home(tmp_path: Path) -> Path:
    federation = found(tmp_path / "federation", Settings(name="works"))
    with closing(Store(federation.database)) as store:
        publish(federation, store, small_task())
    return federation.home


def run(capsys: pytest.CaptureFixture[str], home: Path, *words: str) -> tuple[int, str, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["covey", *words, "--home", str(home)])
        with pytest.raises(SystemExit) as left:
            covey_main.main()
    out, err = capsys.readouterr()
    return int(left.value.code or 0), out, err


def everything(home: Path) -> dict[str, bytes]:
    """The federation's files, without what SQLite keeps beside a store that is open."""
    files = [path for path in home.rglob("*") if path.is_file() and not path.name.endswith(("-wal", "-shm"))]
    return {path.relative_to(home).as_posix(): path.read_bytes() for path in files}


ACTS = sorted(
    {words.format(aside="elsewhere") for _, words in STORY if not words.startswith("init")}
    | {"init"}
    | {"serve", "retrain --accept"}
)


@pytest.mark.parametrize("words", ACTS)
def test_what_changes_something_is_refused_by_name(home: Path, capsys: pytest.CaptureFixture[str], words: str) -> None:
    before = everything(home)
    typed = words.replace("--home elsewhere/again", "").split()
    status, out, err = run(capsys, home, "--read-only", *typed)
    assert (status, out) == (1, "")
    assert err.startswith(f"covey: `covey {typed[0]}")
    assert "changes something, and this session is read-only" in err
    assert err.count("\n") == 1
    assert everything(home) == before


SHOWN = ("fleet", "audit", "rounds", "models", "models log", "drift", "rollout", "privacy", "doctor", "unit", "retrain")


@pytest.mark.parametrize("words", SHOWN)
def test_what_shows_something_works(home: Path, capsys: pytest.CaptureFixture[str], words: str) -> None:
    _, usual, said = run(capsys, home, *words.split())
    before = everything(home)
    status, out, err = run(capsys, home, "--read-only", *words.split())
    assert status == 0 or "no release" in err
    assert out.splitlines()[:1] == usual.splitlines()[:1]
    assert err == said
    assert everything(home) == before


def test_the_environment_makes_every_session_one(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COVEY_READ_ONLY", "1")
    assert run(capsys, home, "invite")[0] == 1
    assert run(capsys, home, "fleet")[0] == 0


def test_commands_that_act_are_known_by_the_names_that_are_refused() -> None:
    known = {words for words, _ in commands(typer.main.get_command(app))}
    assert known >= ACTING
    assert not READING & ACTING
    assert {words.split()[0] for words in ACTING_BY_THEIR_WORDS} <= {"rollout", "retrain", "models"}


def test_the_store_itself_takes_nothing(home: Path) -> None:
    with closing(Store(home / "covey.db", read_only=True)) as store:
        assert store.task("machines").revision == 1
        with pytest.raises(sqlite3.OperationalError, match="readonly database"):
            store.audit("somebody", "wrote")
    with closing(Store(home / "covey.db")) as store:
        assert "wrote" not in {entry.act for entry in store.audit_log()}


def test_a_reader_sees_what_a_writer_commits_meanwhile(home: Path) -> None:
    with closing(Store(home / "covey.db", read_only=True)) as reader, closing(Store(home / "covey.db")) as writer:
        before = reader.changes()
        writer.audit("operator", "note")
        assert reader.changes() != before
        assert reader.audit_log(1)[0].act == "note"


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"covey\.db cannot be read"):
        Store(tmp_path / "covey.db", read_only=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("schema", "does"), [(1, "a command that may write"), (99, "upgrade Covey")])
def test_a_store_of_another_schema_is_left_as_it_is(tmp_path: Path, schema: int, does: str) -> None:
    with closing(sqlite3.connect(tmp_path / "covey.db")) as file:
        file.execute(f"PRAGMA user_version = {schema}")
    with pytest.raises(InputError, match=f"has schema {schema}, and this Covey reads {len(MIGRATIONS)}: {does}"):
        Store(tmp_path / "covey.db", read_only=True)


# -- somebody who may read and nothing more ---------------------------------------------------------


@pytest.fixture
def shared_home() -> Iterator[Path]:
    """A federation outside pytest's own directory, which only its owner enters."""
    folder = Path(tempfile.mkdtemp(prefix="covey-shared-"))
    folder.chmod(0o755)
    federation = found(folder / "federation", Settings(name="works"))
    with closing(Store(federation.database)) as store:
        publish(federation, store, small_task())
    federation.lock.touch()
    yield federation.home
    federation.home.chmod(0o755)
    shutil.rmtree(folder)


def let_all_read(home: Path) -> None:
    """As `docs/operations.md` says, with nobody's right to write left: root has other means, and becomes another user."""
    for path in home.glob("covey.db*"):
        path.chmod(0o444)
    (home / "coordinator.lock").chmod(0o444)
    (home / "tuf").chmod(0o755)
    home.chmod(0o555)


def as_a_reader(home: Path, *words: str) -> tuple[int, str]:
    """Run `covey` in a process that may not write to `home`; its exit status, and all that it said."""
    with tempfile.TemporaryFile("w+") as said:
        child = os.fork()
        if child == 0:
            _be_a_reader(said.fileno(), ["covey", "--home", str(home), *words])
        _, status = os.waitpid(child, 0)
        said.seek(0)
        return os.waitstatus_to_exitcode(status), said.read()


def _be_a_reader(said: int, typed: list[str]) -> NoReturn:
    """In the forked child: what it imports was imported before, since another user may not read our interpreter."""
    code = 99
    try:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        sys.argv, sys.stdout, sys.stderr = typed, os.fdopen(os.dup(said), "w"), os.fdopen(os.dup(said), "w")
        covey_main.main()
    except SystemExit as left:
        code = int(left.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


@pytest.mark.parametrize("running", [True, False], ids=["while it is open", "while nobody has it open"])
def test_a_reader_needs_no_right_to_write(shared_home: Path, capsys: pytest.CaptureFixture[str], running: bool) -> None:
    run(capsys, shared_home, "models")
    keeper = Store(shared_home / "covey.db") if running else None
    let_all_read(shared_home)
    status, said = as_a_reader(shared_home, "--read-only", "models")
    assert status == 0, said
    assert "machines" in said
    status, said = as_a_reader(shared_home, "--read-only", "invite")
    assert (status, "this session is read-only" in said) == (1, True)
    if keeper is not None:
        keeper.close()


def test_a_reader_who_leaves_the_option_out_writes_nothing_either(
    shared_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, shared_home, "invite")
    let_all_read(shared_home)
    status, said = as_a_reader(shared_home, "invite")
    assert (status, said.count("\n")) == (1, 1), said
    with closing(Store(shared_home / "covey.db", read_only=True)) as store:
        assert [entry.act for entry in store.audit_log()].count("invite") == 1


def test_whoever_may_not_write_still_learns_who_holds_the_lock(home: Path) -> None:
    lock = home / "coordinator.lock"
    with only_one(lock, what="the coordinator"):
        lock.chmod(0o444)
        assert holder(lock) == os.getpid()
