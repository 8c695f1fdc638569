"""Every command that changes something writes down who did it and by which command line; a new command must say which it is."""

import os
import shlex
import signal
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
from acting import ACTING_BY_THEIR_WORDS, READING, STORY, TASK, commands
from coordinator import ROOT, Coordinator, covey, free_port
from releasing import some_weights

from server import __main__ as covey_main
from server.cli.program import ACTING, app
from server.config import Federation
from server.records import AuditEntry, Decision
from server.store import Store

ACTS = {"evaluate": "start", "survey": "start", "rollout pause": "pause", "rollout resume": "resume"}
ACTS |= {"rollout advance": "advance", "rollout halt": "halt", "models gc": "gc", "retrain --decline": "retrain"}
"""Where the act that is written down is called other than the command."""


@dataclass(frozen=True)
class Told:
    """One line of the story: what was typed, how it ended, and what it wrote down."""

    typed: tuple[str, ...]
    status: int
    wrote: tuple[AuditEntry, ...]


def test_every_command_says_whether_it_changes_something() -> None:
    known = {words for words, _ in commands(typer.main.get_command(app))}
    told = READING | ACTING | {"models gc"}
    assert known - told == set(), "say whether these change something, and let them write it down if so"
    assert told - known == set(), "these are no commands any more"
    assert not READING & ACTING


def test_the_story_has_every_command_that_changes_something() -> None:
    assert {command for command, _ in STORY} | {"serve"} == ACTING | ACTING_BY_THEIR_WORDS


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Told]:
    """The story told once; what each line wrote is kept."""
    aside = tmp_path_factory.mktemp("story")
    (aside / TASK).write_text((ROOT / "tasks" / TASK).read_text() + "\n[retraining]\nask_first = true\n")
    return {name: _tell(aside, words.format(aside=aside)) for name, words in STORY}


def _tell(aside: Path, words: str) -> Told:
    typed = shlex.split(words) if "--home" in words else [*shlex.split(words), "--home", str(aside / "federation")]
    federation = Federation(Path(typed[typed.index("--home") + 1]))
    before = len(_entries(federation))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["covey", *typed])
        with pytest.raises(SystemExit) as left:
            covey_main.main()
    wrote = _entries(federation)
    _prepare(federation, words)
    return Told(typed=tuple(typed), status=int(left.value.code or 0), wrote=tuple(wrote[: len(wrote) - before]))


def _entries(federation: Federation) -> list[AuditEntry]:
    """The newest first; none where there is no store yet."""
    if not federation.database.exists():
        return []
    with closing(Store(federation.database)) as store:
        return store.audit_log(1000)


def _prepare(federation: Federation, words: str) -> None:
    """What devices and the coordinator do between two lines."""
    with closing(Store(federation.database)) as store:
        if words.startswith("invite"):
            store.add_invitation("t", 4e9)
            store.enrol("t", "ada", _public_key())
        elif words.startswith("stop"):
            store.set_run_state(store.runs()[-1].id, "stopped")
        elif words.startswith("task"):
            task = store.task("flights")
            for seed in (2, 3, 4):
                store.add_initial_version("flights", task.revision, some_weights(task, seed=seed).tobytes())
        elif words == "promote 4 --all":
            store.add_decision(Decision(task="flights", at=1.0, act="ask", why="scores moved", alarms=("psi",)))


def _public_key() -> bytes:
    from cryptography.hazmat.primitives.asymmetric import ec

    from shared.signing import public_key_bytes

    return public_key_bytes(ec.generate_private_key(ec.SECP256R1()).public_key())


@pytest.mark.parametrize("command", sorted({name for name, _ in STORY}))
def test_what_was_done_is_written_down_with_its_command_line(story: dict[str, Told], command: str) -> None:
    told = story[command]
    # A gate that does not pass is told by the exit status, and was tested all the same.
    assert told.status == 0 or command == "gate"
    act = ACTS.get(command, command)
    mine = [entry for entry in told.wrote if entry.act == act and entry.actor == "operator"]
    assert [entry.command for entry in mine] == [shlex.join(["covey", *told.typed])]
    assert mine[0].detail


def test_serving_is_written_down_too(tmp_path: Path) -> None:
    home = tmp_path / "federation"
    assert covey(home, "init", "--port", str(free_port()), "--admin-port", str(free_port())).returncode == 0
    running = Coordinator(Federation(home))
    assert running.end(signal.SIGTERM) == (0, "")
    with closing(Store(home / "covey.db")) as store:
        acts = {entry.act: entry for entry in store.audit_log()}
    assert acts["serve"].command.endswith("serve")
    assert f"--home {home}" in acts["serve"].command
    assert os.fspath(home) in acts["init"].command


def test_the_log_is_asked_for_by_actor_and_time(story: dict[str, Told], capsys: pytest.CaptureFixture[str]) -> None:
    home = story["task"].typed[-1]
    for words, lines in (
        ("--actor operator", True),
        ("--actor nobody", False),
        ("--since 1h", True),
        ("--since 2099-01-01", False),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", ["covey", "audit", *words.split(), "--home", home])
            with pytest.raises(SystemExit):
                covey_main.main()
        assert ("covey approve ada" in capsys.readouterr().out) is lines, words
