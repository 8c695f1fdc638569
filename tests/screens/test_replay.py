"""Rounds looked at again: the tape says what the record says and makes up nothing between, and keys move it."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from screens import story
from screens.conftest import Open, settled, text_of, until

from server.config import Federation
from server.store import Store
from server.tui.learning import spend_by_round
from server.tui.phases import answers, phase_track, sentence, straggler_bars, stragglers
from server.tui.replay import SPEEDS, Scrubber, Tape, moment, scrubber
from server.tui.rounds import RoundsView
from shared import accounting
from shared.rounds import RoundResult


@pytest.fixture(scope="module")
def rounds(tmp_path_factory: pytest.TempPathFactory) -> tuple[RoundResult, ...]:
    """The story's first campaign, 20 rounds."""
    home = tmp_path_factory.mktemp("story") / "home"
    story.tell(home).close()
    store = Store(Federation(home).database)
    found = tuple(store.rounds(1))
    store.close()
    return found


# -- one round ----------------------------------------------------------------------------------------


def test_a_round_in_one_sentence(rounds: tuple[RoundResult, ...]) -> None:
    assert sentence(rounds[0]).plain == "8 of 8 returned"
    assert sentence(rounds[18]).plain == "7 of 8 returned, 1 refused: budget"
    assert sentence(rounds[8]).plain == "7 of 8 returned, 1 failed: no answer in time"


def test_who_never_answered_leads_and_the_latest_follow(rounds: tuple[RoundResult, ...]) -> None:
    found = answers(rounds[8])
    assert (found[0].device, found[0].fate, found[0].seconds) == ("EWR-DL", "silent", None)
    times = [each.seconds for each in found[1:]]
    assert times == sorted(times, reverse=True)
    bars = straggler_bars(rounds[8], 80, 20).plain.splitlines()
    assert bars[0].startswith("EWR-DL")
    assert "no answer" in bars[0]
    assert len(bars) == 8


def test_neighbouring_phases_are_told_apart_without_colours(rounds: tuple[RoundResult, ...]) -> None:
    track, legend = phase_track(rounds[0], 60).plain.split("\n")[:2]
    assert {"━", "╍"} <= set(track)
    assert {"━", "╍"} <= set(legend)


def test_those_that_a_round_waited_for_took_twice_the_median(rounds: tuple[RoundResult, ...]) -> None:
    late = stragglers(rounds[0])
    times = sorted(rounds[0].answered.values())
    assert late
    assert all(rounds[0].answered[name] >= 2 * times[len(times) // 2] for name in late)


def test_an_older_record_says_that_it_has_no_times(rounds: tuple[RoundResult, ...]) -> None:
    bare = replace(rounds[0], phases=(), answered={})
    assert "were not recorded" in phase_track(bare, 60).plain
    assert "was not recorded" in straggler_bars(bare, 60, 8).plain
    assert stragglers(bare) == []


@given(width=st.integers(2, 200), height=st.integers(1, 30), number=st.integers(0, 19))
def test_nothing_is_wider_or_higher_than_its_room(
    rounds: tuple[RoundResult, ...], width: int, height: int, number: int
) -> None:
    track = phase_track(rounds[number], width).split("\n")[0]
    assert track.cell_length == width
    bars = straggler_bars(rounds[number], max(40, width), height).split("\n")
    assert len(bars) <= max(2, height)
    assert all(each.cell_length <= max(40, width) for each in bars)
    tape = Tape(rounds=rounds, total=20, at=float(number))
    assert scrubber(tape, width).cell_length <= max(width, 0)


# -- the tape -----------------------------------------------------------------------------------------


@given(share=st.floats(0, 1))
def test_every_moment_is_what_the_record_says(rounds: tuple[RoundResult, ...], share: float) -> None:
    tape = Tape(rounds=rounds, total=20)
    at = tape.begins + share * tape.length
    found = moment(rounds, at, total=20)
    assert found.rounds == tuple(result for result in rounds if result.finished_at <= at)
    if found.progress:
        under_way = rounds[found.progress.round_number - 1]
        since = at - under_way.started_at
        back = [name for name in under_way.returned if under_way.answered.get(name, 1e9) <= since]
        assert found.progress.returned == len(back)
        assert 0 <= found.progress.refused <= len(under_way.refusals)


def test_the_end_of_the_tape_is_all_of_it_and_it_stops_there(rounds: tuple[RoundResult, ...]) -> None:
    tape = Tape(rounds=rounds, total=20, playing=True).ticked(1e6)
    assert (tape.at, tape.playing) == (tape.length, False)
    assert tape.moment.rounds == rounds
    assert tape.moment.progress is None
    assert tape.toggled().at == 0.0


def test_steps_go_from_round_to_round_and_back(rounds: tuple[RoundResult, ...]) -> None:
    tape = Tape(rounds=rounds, total=20)
    second = tape.stepped(1)
    assert second.at == pytest.approx(rounds[1].started_at - rounds[0].started_at)
    assert second.stepped(-1).at == 0.0
    assert tape.stepped(-1).at == 0.0
    assert [tape.faster(1).speed, tape.faster(9).speed, tape.faster(-9).speed] == [SPEEDS[2], SPEEDS[-1], SPEEDS[0]]


def test_the_spend_by_round_is_the_ledgers(rounds: tuple[RoundResult, ...]) -> None:
    spent = spend_by_round(rounds, delta=1e-5)
    assert list(spent) == sorted(spent)
    paid = [event for result in rounds for event in result.plan.cost.record]
    assert spent[-1] == pytest.approx(accounting.epsilon(paid, delta=1e-5))


# -- on screen ----------------------------------------------------------------------------------------


async def test_a_campaign_is_played_again_by_keys_and_left(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("2")
        view = app.query_one(RoundsView)
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.focused, Scrubber))
        await pilot.press("space", "home")
        await until(pilot, lambda: view.tape is not None and not view.tape.playing and view.tape.at == 0.0)
        assert "Replay of run 5" in text_of(app)
        assert "18 rounds to come" not in text_of(app)
        await pilot.press("right", "right")
        await until(pilot, lambda: view.tape is not None and view.tape.at > 0 and len(view.tape.moment.rounds) == 2)
        await until(pilot, lambda: "18 rounds to come" in text_of(app))
        await pilot.press("end")
        await until(pilot, lambda: view.tape is not None and len(view.tape.moment.rounds) == 6)
        await pilot.press("escape")
        await until(pilot, lambda: view.tape is None)
        assert "Replay" not in text_of(app).replace("r Replay", "")


@pytest.mark.parametrize("way", [("3", "2"), ("tab",), ("3", "2", "tab", "tab")], ids=["view", "table", "both"])
async def test_a_replay_that_was_left_is_ended_by_one_key(opened: Open, told: Path, way: tuple[str, ...]) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("2")
        view = app.query_one(RoundsView)
        await until(pilot, lambda: app.focused is not None)
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.focused, Scrubber))
        await pilot.press("space", *way)
        await until(pilot, lambda: "Replay of run 5" in text_of(app))
        assert "r  Replay" not in text_of(app)
        assert "r Replay" not in text_of(app)
        await pilot.press("escape")
        await until(pilot, lambda: view.tape is None and "Replay of run 5" not in text_of(app))
        assert app.current == "Rounds"
        await pilot.press("r")
        await until(pilot, lambda: view.tape is not None)
        await pilot.press("3", "2", "r")
        await until(pilot, lambda: view.tape is None)


async def test_enter_on_a_round_shows_its_phases_and_its_late_answers(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("2", "tab", "enter")
        await until(pilot, lambda: "Round 6 of run 5" in text_of(app))
        said = text_of(app)
        assert "6 of 7 returned, 1 refused: consent" in said
        assert "waiting for devices" in said
        assert "LGA-DL" in said
        await pilot.press("escape")
        await until(pilot, lambda: "Answers by round" in text_of(app))


async def test_the_other_chart_shows_what_was_spent(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("2", "c")
        await until(pilot, lambda: "ε of a row so far" in text_of(app))
        await pilot.press("c")
        await until(pilot, lambda: "returned" in text_of(app))
