"""`covey promote` and `covey rollout`: what a person reads, what a program reads, what the audit log keeps."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rolling import Fleet, build_fleet

from server import __main__ as covey_main
from server import rollout_acts
from server.promotion import Way
from server.store import Store
from shared.lifecycle import RolloutTerms

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    fleet = build_fleet(tmp_path)
    fleet.promote(1, Way(everyone=True))
    return fleet


@pytest.fixture
def run(fleet: Fleet, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `covey` in process; its exit status, and what it wrote to stdout and stderr."""

    def covey(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["covey", *words, "--home", str(fleet.federation.home)])
        with pytest.raises(SystemExit) as left:
            covey_main.main()
        return (int(left.value.code or 0), *capsys.readouterr())

    return covey


def test_promoting_says_who_gets_it_first_and_the_view_shows_how_it_fares(fleet: Fleet, run: Run) -> None:
    version = str(fleet.version(2))
    status, said, _ = run("promote", version)
    assert status == 0
    assert "is release 2 of machines: 2 of 20 devices first; `covey rollout machines` shows how it fares" in said
    fleet.say(fleet.inside)
    status, said, _ = run("rollout")
    assert status == 0
    lines = [line.split() for line in said.splitlines()]
    assert lines[0][:3] == ["Release", "2", "of"]
    assert ["10", "%", "2", "0", "s", "ago"] in lines
    assert ["2", "3", "2", "2", "2", "serves"] in lines
    assert any(line[:2] == ["Waits:", "the"] for line in lines)


def test_the_first_stage_is_kept_with_the_command_that_opened_it(fleet: Fleet, run: Run) -> None:
    version = str(fleet.version(2))
    run("promote", version)
    opened = fleet.store.audit_log(1, act="open")[0]
    assert opened.command == fleet.store.audit_log(1, act="promote")[0].command
    assert f"promote {version}" in opened.command


def test_a_program_reads_the_same(fleet: Fleet, run: Run) -> None:
    fleet.promote(2)
    shown = json.loads(run("rollout", "machines", "--json")[1])
    assert (shown["state"], shown["devices"], shown["share_bp"]) == ("rolling", 20, fleet.document.share_bp)
    assert [stage["devices"] for stage in shown["stages"]] == [2, 10, 20]
    assert [(each["release"], each["meant"]) for each in shown["serving"]] == [(2, 2), (1, 18)]
    assert shown["next"]["act"] == "wait"


def test_what_was_not_staged_is_shown_too(run: Run) -> None:
    assert "Release 1 of machines (version 2) went to everyone at once: 20 of 20 devices" in run("rollout")[1]


@pytest.mark.parametrize("act", ["pause", "advance", "halt"])
def test_an_act_is_signed_said_and_kept_with_its_command(act: str, fleet: Fleet, run: Run) -> None:
    fleet.promote(2)
    status, said, _ = run("rollout", act, "machines")
    assert status == 0
    assert said.startswith("Release 2 of machines ")
    entry = fleet.store.audit_log()[0]
    assert (entry.actor, entry.act) == ("operator", act)
    assert f"rollout {act} machines" in entry.command


def test_advancing_a_paused_rollout_says_that_the_pause_is_lifted(fleet: Fleet, run: Run) -> None:
    fleet.promote(2)
    run("rollout", "pause")
    assert run("rollout", "advance")[1].rstrip().endswith("of the fleet; its pause is lifted.")
    assert run("rollout", "advance")[1].rstrip().endswith("of the fleet.")


def test_devices_speak_for_the_release_that_they_run(fleet: Fleet, run: Run) -> None:
    everyone = [device.name for device in fleet.store.devices()]
    fleet.say(everyone)
    fleet.promote(2)
    served, failed = fleet.inside
    fleet.now += 60
    fleet.say([served])
    fleet.say([failed], "refused")
    serving = json.loads(run("rollout", "machines", "--json")[1])["serving"]
    assert [(each["release"], each["said"]) for each in serving] == [
        (2, {"serves": 1, "refused": 1}),
        (1, {"serves": 18}),
    ]


def test_promoting_warns_where_charged_counts_can_never_alarm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = build_fleet(tmp_path / "few", terms=RolloutTerms(stages=(5.0, 100.0), charged=True))
    few.promote(1, Way(everyone=True))
    monkeypatch.setattr("sys.argv", ["covey", "promote", str(few.version(2)), "--home", str(few.federation.home)])
    with pytest.raises(SystemExit):
        covey_main.main()
    assert capsys.readouterr().err == (
        "warning: 1 of 20 devices can never show harm in charged counts: 2 or more can, a stage of at least 10 %; "
        "`covey rollout advance` must open the next stage by hand\n"
    )


def test_a_paused_rollout_is_resumed_in_json(fleet: Fleet, run: Run) -> None:
    fleet.promote(2)
    assert run("rollout", "pause")[0] == 0
    assert json.loads(run("rollout", "resume", "--json")[1])["state"] == "rolling"


@pytest.mark.parametrize("act", ["advance", "halt"])
def test_a_rollout_is_followed_to_its_end(act: str, fleet: Fleet, run: Run) -> None:
    """It is steered from elsewhere meanwhile; a halt is told by the exit status too."""
    fleet.promote(2)

    def steer() -> None:
        elsewhere = Store(fleet.federation.database)
        for state in ("rolling", "rolling", "complete") if act == "advance" else ("halted",):
            time.sleep(0.5)
            assert getattr(rollout_acts, act)(fleet.federation, elsewhere, fleet.task).state == state
        elsewhere.close()

    hand = threading.Thread(target=steer)
    hand.start()
    status, said, wrong = run("rollout", "--follow")
    hand.join()
    lines = said.splitlines()
    assert lines[0] == "The rollout waits for the coordinator; start it with `covey serve`."
    assert "release 2 is rolling, 2 of 20 devices; waits: " in lines[1]
    if act == "advance":
        assert [words for words in ("10 of 20", "20 of 20") if any(words in line for line in lines)] == [
            "10 of 20",
            "20 of 20",
        ]
        assert (status, lines[-1].partition(":")[0]) == (0, "Release 2 of machines is complete")
    else:
        assert status == 1
        assert "release 2 of machines is halted: " in wrong


def test_what_went_to_everyone_at_once_is_not_waited_for(run: Run) -> None:
    assert run("rollout", "--follow")[1].endswith("Release 1 of machines went to everyone at once.\n")


@pytest.mark.parametrize("words", [("halt", "--follow"), ("--follow", "--json")], ids=" ".join)
def test_following_only_shows(words: tuple[str, ...], fleet: Fleet, run: Run) -> None:
    fleet.promote(2)
    status, _, wrong = run("rollout", *words)
    assert status == 2
    assert "leave the act and --json out" in " ".join(wrong.replace("│", "").split())
    assert fleet.document.state == "rolling"


def test_a_word_that_is_no_act_is_refused(run: Run) -> None:
    status, _, said = run("rollout", "stop", "machines")
    assert status != 0
    assert "none of pause, resume, advance, halt" in said


@pytest.mark.parametrize(("words", "stages"), [(("--all",), 0), (("--percent", "25"), 5), (("--shadow",), 2)], ids=str)
def test_an_operator_chooses_how_far_a_release_goes_first(
    words: tuple[str, ...], stages: int, fleet: Fleet, run: Run
) -> None:
    assert run("promote", str(fleet.version(2)), *words)[0] == 0
    assert len(fleet.inside if fleet.release.staged else ()) == stages


def test_a_percent_beside_all_is_refused_in_one_line(fleet: Fleet, run: Run) -> None:
    status, _, said = run("promote", str(fleet.version(2)), "--all", "--percent", "10")
    assert status == 1
    assert said.startswith("covey: a release for everyone has no canary")


def test_withdrawing_what_is_on_its_way_halts_it(fleet: Fleet, run: Run) -> None:
    fleet.promote(2)
    assert "Release 2 is withdrawn; version 2 is in force as release 1" in run("withdraw", "2")[1]
    assert fleet.document.state == "halted"
    status, _, said = run("withdraw", "2")
    assert (status, said) == (1, "covey: release 2 was withdrawn already; release 1 is in force\n")
