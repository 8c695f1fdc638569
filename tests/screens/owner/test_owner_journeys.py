"""What an owner does with the keyboard, on a real agent's files."""

from contextlib import closing

import pytest
from screens.owner import story
from screens.owner.conftest import Open, settled, text_of, until
from textual.widgets import Button

from client.audit import AuditLog
from client.config import AgentHome
from client.policy import fingerprint
from client.store import AgentStore
from client.tui import ending
from client.tui.app import run
from client.tui.dialogs import Confirm, Help
from client.tui.header import VIEWS
from shared.errors import InputError
from shared.lock import only_one
from shared.privacy import Cost, SampledGaussian


def agreed(home: AgentHome) -> bool:
    with closing(AgentStore(home.database)) as store:
        return store.agreed("flights", fingerprint(home.task("flights").signed_task()))


async def test_arrows_tab_and_numbers_lead_through_the_views(opened: Open, told: AgentHome) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        for name in (*list(VIEWS)[1:], "Budget"):
            await pilot.press("right")
            assert app.current == name
            shown = [view.id for view in app.query("View") if view.display]
            assert shown == [name]
        for key, name in (("left", "Predictions"), ("tab", "Budget"), ("shift+tab", "Predictions"), ("2", "Consent")):
            await pilot.press(key)
            assert app.current == name
        await pilot.click("#tabs", offset=(30, 0))
        assert app.current == "Left"


async def test_the_header_tells_whether_the_agent_runs(opened: Open, told: AgentHome) -> None:
    async with opened(told).run_test(size=(80, 24)) as pilot:
        app = await settled(pilot)
        assert "○ not running" in text_of(app)
        with only_one(told.lock, what="an agent"):
            told.link_file.write_text("connected", encoding="ascii")
            await until(pilot, lambda: "● running, connected" in text_of(app))
        await until(pilot, lambda: "○ not running" in text_of(app))


async def test_a_charge_shows_while_the_window_is_open(opened: Open, told: AgentHome) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        assert "room for 6 more rounds" in text_of(app)
        with closing(AgentStore(told.database)) as store, story.at(story.NOW - 5), store.transaction():
            event = SampledGaussian(noise_multiplier=0.7, sample_rate=1.0, steps=1)
            store.add_charge("another", "flights", "run 9, round 1", Cost(record=(event,)))
        await until(pilot, lambda: "run 9, round 1" in text_of(app))
        assert "✕ flights has no room for another round" in text_of(app)
        assert "5 s ago" in text_of(app)


async def test_digits_label_the_prediction_on_show_and_u_takes_it_back(opened: Open, told: AgentHome) -> None:
    place = told.task("flights")
    before, waiting = story.labels(place), list(story.waiting(place))
    async with opened(told, view="Labels").run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        assert f"{len(waiting)} predictions left" in text_of(app)
        await pilot.press("2")
        await until(pilot, lambda: story.labels(place).keys() - before.keys())
        assert story.labels(place) == before | {waiting[0]: "late"}
        assert f"{len(waiting) - 1} predictions left" in text_of(app)
        assert "✓ late" in text_of(app)
        await pilot.press("1")
        await until(pilot, lambda: waiting[1] in story.labels(place))
        assert story.labels(place)[waiting[1]] == "on time"
        await pilot.press("u", "u")
        await until(pilot, lambda: story.labels(place) == before)
        assert f"{len(waiting)} predictions left" in text_of(app)


async def test_skipping_labels_nothing_and_comes_to_an_end(opened: Open, told: AgentHome) -> None:
    place = told.task("flights")
    before, waiting = story.labels(place), len(story.waiting(place))
    async with opened(told, view="Labels").run_test(size=(80, 24)) as pilot:
        app = await settled(pilot)
        await pilot.press(*["s"] * waiting)
        await until(pilot, lambda: "waits for a label" in text_of(app))
        assert f"skipped {waiting}" in text_of(app)
        await pilot.press("2", "s")
        await pilot.press("u")
        await until(pilot, lambda: "1 prediction left" in text_of(app))
    assert story.labels(place) == before


async def test_a_digit_beyond_the_classes_labels_nothing(opened: Open, told: AgentHome) -> None:
    place = told.task("flights")
    before = story.labels(place)
    async with opened(told, view="Labels").run_test(size=(80, 24)) as pilot:
        app = await settled(pilot)
        await pilot.press("3", "9")
        assert app.current == "Labels"
    assert story.labels(place) == before


async def test_labels_given_just_before_leaving_are_kept(opened: Open, told: AgentHome) -> None:
    place = told.task("flights")
    first, second = story.waiting(place)[:2]
    async with opened(told, view="Labels").run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        await pilot.press("2", "1", "q")
    assert {first: "late", second: "on time"}.items() <= story.labels(place).items()


async def test_a_label_that_cannot_be_kept_is_said_and_asked_again(opened: Open, told: AgentHome) -> None:
    place = told.task("flights")
    async with opened(told, view="Labels").run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        with story.predictions(place) as log:
            log.erase()
        await pilot.press("2")
        await until(pilot, lambda: app._notifications)
        assert [note.severity for note in app._notifications] == ["error"]
        assert "not kept any more" in next(iter(app._notifications)).message


async def test_withdrawing_needs_a_second_thought_and_agreeing_shows_the_words(opened: Open, told: AgentHome) -> None:
    async with opened(told, view="Consent").run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        assert "✓ you agreed" in text_of(app)
        await pilot.press("w")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(app.screen, Confirm))
        assert agreed(told), "the way out has the keyboard first"
        await pilot.press("w")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        app.screen.query_one("#go", Button).press()
        await until(pilot, lambda: "you have not agreed" in text_of(app))
        assert not agreed(told)
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        assert "It learns to tell 'on time' or 'late'" in text_of(app)
        await pilot.press("enter")
        assert isinstance(app.screen, Confirm), "reading is not agreeing"
        await pilot.press("tab", "enter")
        await until(pilot, lambda: "✓ you agreed" in text_of(app))
    assert agreed(told)
    with closing(AgentStore(told.database)) as store:
        assert "It costs at most epsilon" in store.consents()[-1].words


async def test_escape_agrees_to_nothing(opened: Open, told: AgentHome) -> None:
    with closing(AgentStore(told.database)) as store:
        store.withdraw("flights")
    async with opened(told, view="Consent").run_test(size=(80, 24)) as pilot:
        app = await settled(pilot)
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, Confirm))
    assert not agreed(told)


async def test_p_pauses_and_takes_part_again(opened: Open, told: AgentHome) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("p")
        await until(pilot, lambda: "▮▮ paused" in text_of(app))
        assert told.settings().paused
        assert "flights is paused: it spends nothing." in text_of(app)
        await pilot.press("p")
        await until(pilot, lambda: "▮▮ paused" not in text_of(app))
        assert not told.settings().paused


async def test_predictions_follow_the_cursor_with_their_explanation(opened: Open, told: AgentHome) -> None:
    async with opened(told, view="Predictions").run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        first = text_of(app)
        assert "what spoke against and for 'late'" in first
        await pilot.press("j")
        await until(pilot, lambda: "what spoke against and for 'on time'" in text_of(app))
        assert "nobody told what came of it" in text_of(app)


async def test_a_prediction_of_a_release_that_is_gone_says_so(opened: Open, told: AgentHome) -> None:
    place = told.task("flights")
    (place.releases / "2").rename(place.releases / "1")
    async with opened(told, view="Predictions").run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        assert "release 2, which answered this, is not kept here any more" in text_of(app)


async def test_a_line_that_was_changed_is_shown(opened: Open, told: AgentHome) -> None:
    with closing(AuditLog(told)) as log:
        log.store.db.execute("UPDATE audit SET task = 'another' WHERE id = 5")
    async with opened(told, view="Left").run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        assert "✕ The record does not hold from line 5 on" in text_of(app)


async def test_the_next_task_is_one_key_away(opened: Open, told: AgentHome) -> None:
    text = told.settings_file.read_text(encoding="utf-8")
    told.settings_file.write_text(text + '\n[tasks.gates]\ndata = ""\n', encoding="utf-8")
    async with opened(told, view="Consent").run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        assert "Consent to flights" in text_of(app)
        await pilot.press("t")
        await until(pilot, lambda: "Consent to gates" in text_of(app))
        assert "this device holds no signed task 'gates' yet" in text_of(app)
        await pilot.press("1")
        assert "flights has room for" in text_of(app)


async def test_policy_that_cannot_be_read_is_said_and_what_is_shown_stays(opened: Open, told: AgentHome) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        good = told.settings_file.read_text(encoding="utf-8")
        told.settings_file.write_text("budget = 3\n", encoding="utf-8")
        await until(pilot, lambda: "unreadable, figures are old" in text_of(app))
        assert "run 4, round 24" in text_of(app)
        told.settings_file.write_text(good, encoding="utf-8")
        await until(pilot, lambda: "unreadable" not in text_of(app).splitlines()[0])


async def test_help_explains_the_words(opened: Open, told: AgentHome) -> None:
    async with opened(told).run_test(size=(80, 24)) as pilot:
        app = await settled(pilot)
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, Help))
        await pilot.press("p", "right")
        assert not told.settings().paused
        assert app.current == "Budget"
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, Help))


def test_a_directory_without_an_agent_is_refused_before_anything_opens(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("nobody")
    with pytest.raises(InputError, match="holds no agent"):
        run(AgentHome(folder))
    assert not list(folder.iterdir())


def test_an_unforeseen_error_ends_in_one_line_that_tells_no_record(told: AgentHome) -> None:
    row = "a row of mine"
    try:
        int(row)
    except ValueError:
        said = ending.keep(told).plain
    kept = (told.path / "agent.log.tui").read_text(encoding="utf-8")
    assert "ended on ValueError" in said
    assert "test_owner_journeys.py" in kept
    assert row not in said + kept
