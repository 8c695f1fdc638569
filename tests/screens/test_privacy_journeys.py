"""What an operator reads of the fleet's spend, and what the calculator says to each key."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from screens import story
from screens.conftest import Open, settled, text_of, until
from textual.pilot import Pilot
from textual.widgets import Input
from typer.testing import CliRunner

from server.cli.program import app as covey
from server.config import Federation
from server.store import Store
from server.tui.app import CoveyApp
from server.tui.budgets import allowed, out_of_budget, over
from server.tui.reckoning import Typed, reckon, usual
from server.tui.watcher import Reader
from shared.accounting import epsilon
from shared.privacy import SampledGaussian
from shared.tasks import read_task


async def at_privacy(pilot: Pilot[None]) -> CoveyApp:
    app = await settled(pilot)
    await pilot.press("6")
    return await until(pilot, lambda: "Campaigns left" in text_of(app))


def cost(noise: float, rounds: int, rate: float = 1 / 32) -> float:
    return epsilon([SampledGaussian(noise_multiplier=noise, sample_rate=rate, steps=16 * rounds)], delta=1e-5)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_the_fleets_spend_and_what_it_can_still_afford(opened: Open, told: Path, size: tuple[int, int]) -> None:
    async with opened(told).run_test(size=size) as pilot:
        app = await at_privacy(pilot)
        said = text_of(app)
        assert "ε 8 at δ 1e-05, signed" in said
        assert "ε 2.73 to 3.37, half at most 3.37" in said
        assert "6 of 8 devices could join one more" in said
        assert "2 over budget by their own word" in said
        assert "✕ over budget" in said or size == (120, 40)
        assert "2 of 8 owners tell nothing" in said
        assert "LGA-MQ" in said
        assert "✓ 5 campaigns" in said or size == (120, 40)


async def test_the_spread_stands_beside_the_course_where_there_is_room(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await at_privacy(pilot)
        assert "devices by ε, at most 7 in a column" in text_of(app)
        assert "EWR-B6 · ε after each charge" in text_of(app)
        await pilot.press("G")
        await until(pilot, lambda: "LGA-MQ · ε after each charge" in text_of(app))


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_calculator_answers_to_each_key(opened: Open, told: Path, size: tuple[int, int]) -> None:
    async with opened(told).run_test(size=size) as pilot:
        app = await at_privacy(pilot)
        await pilot.press("c")
        await until(pilot, lambda: f"ε {cost(1.2, 20):.3f}" in text_of(app))
        assert "or one of 144 rounds" in text_of(app)
        await pilot.press("tab", "end", "backspace", "backspace", *"60")
        await until(pilot, lambda: f"ε {cost(1.2, 60):.3f}" in text_of(app))
        await pilot.press("shift+tab", "end", "backspace", "backspace", "backspace", *"2.5")
        await until(pilot, lambda: f"ε {cost(2.5, 60):.3f}" in text_of(app))
        assert app.current == "Privacy", "a number typed into a field is no key of a view"
        assert "--noise 2.5 --rounds 60" in " ".join(text_of(app).replace("│", " ").split())
        await pilot.press("escape")
        await until(pilot, lambda: app.focused is app.query_one("#spending"))
        assert "LGA-MQ" in text_of(app)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"noise": "none"}, "✕ a number above 0"),
        ({"noise": "-1"}, "✕ a number above 0"),
        ({"rounds": "1.5"}, "✕ 1 to 10000"),
        ({"rate": "2"}, "✕ above 0, at most 1"),
        ({"rate": "nan"}, "✕ above 0, at most 1"),
        ({"noise": "0.6"}, "✕ devices would refuse: the noise is outside"),
        ({"rounds": "200"}, "✕ 0 of 8 devices could pay"),
    ],
    ids=lambda value: "-".join(f"{k}{v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
async def test_the_calculator_says_what_is_wrong(opened: Open, told: Path, values: dict[str, str], said: str) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await at_privacy(pilot)
        for name, value in values.items():
            app.query_one(f"#calculate-{name}", Input).value = value
        await until(pilot, lambda: said in text_of(app))


async def test_the_calculator_follows_the_task(opened: Open, told: Path) -> None:
    store = Store(Federation(told).database)
    task = read_task(story.TASK)
    store.add_task(replace(task, name="gates", training=replace(task.training, rounds=7)))
    store.close()
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await at_privacy(pilot)
        await until(pilot, lambda: "t Next task" in text_of(app))
        await pilot.press("t")
        await until(pilot, lambda: app.query_one("#calculate-rounds", Input).value == "7")
        assert f"ε {cost(1.2, 7):.3f}" in text_of(app)


async def test_the_calculator_takes_devices_at_their_word(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await at_privacy(pilot)
        await until(pilot, lambda: "▲ 6 of 8 devices could pay" in text_of(app))
        assert "▲ 2 over budget by their own word" in text_of(app)


def test_what_an_owner_lets_us_know_goes_before_an_older_answer(told: Path) -> None:
    store = Store(Federation(told).database)
    task = store.task("flights")
    results = store.rounds(1)
    assert out_of_budget(reversed(results), {"LGA-MQ", "EWR-UA"}) == {"LGA-MQ"}
    assert out_of_budget(reversed(results[:16]), {"LGA-MQ"}) == set()
    store.set_installed("LGA-MQ", 1, "said", affords={"flights": "2-4"})
    store.close()
    reader = Reader(Federation(told))
    found = allowed(task, reader.read())
    reader.close()
    assert found["LGA-MQ"] == 4.0
    assert "LGA-MQ" not in over(found)
    assert "LGA-MQ" in over(found, 5)
    assert reckon(usual(task), task, (), {"LGA-MQ": 0.0}).short == 1


def test_the_calculator_and_covey_plan_say_the_same(idle: Path) -> None:
    store = Store(Federation(idle).database)
    task = store.task("flights")
    store.close()
    found = reckon(Typed(noise="1.5", rounds="40", rate="0.03"), task, ())
    words = ["plan", "--json", "--noise", "1.5", "--rounds", "40", "--sample-rate", "0.03", "--solve", "steps"]
    said = json.loads(CliRunner().invoke(covey, ["--home", str(idle), *words]).stdout)
    assert found.epsilon == pytest.approx(said["epsilon"])
    assert found.campaigns == said["campaigns"]
    assert found.fleet == found.able == 0


def test_the_most_rounds_fit_and_one_more_does_not() -> None:
    task = read_task(story.TASK)
    found = reckon(usual(task), task, ())
    assert cost(1.2, found.most_rounds) <= task.privacy.epsilon < cost(1.2, found.most_rounds + 1)
    assert (1.2, 20, found.epsilon) in [(noise, rounds, pytest.approx(eps)) for noise, rounds, eps in found.grid]
