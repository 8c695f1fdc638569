"""What an operator sees of modes: a campaign under secure aggregation beside local ones, in the terminal and in commands."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from screens import story
from screens.conftest import Commands, Open, settled, text_of, until
from textual.widgets import Input, Select
from textual.widgets.select import InvalidSelectValueError
from typer.testing import CliRunner

from server.cli.program import app as covey
from server.config import Federation
from server.modewords import NOISE, TRUST_OF, explained, least, mode_of
from server.records import CampaignRequest, Progress
from server.secure_rounds import noise_for
from server.store import Store
from server.tui.forms import StartDialog
from shared.accounting import epsilon
from shared.architecture import size
from shared.lock import only_one
from shared.modes import Mode
from shared.privacy import TRUST, TRUSTS, Cost, SampledGaussian
from shared.rounds import RoundPlan
from shared.secure import SecureRound
from shared.tasks import Task, read_task

PHASE = "agreeing on who stayed"


def summed(task: Task, run: int, number: int) -> RoundPlan:
    """The plan of a round of eight devices under secure aggregation."""
    assert task.distributed is not None
    training = task.distributed.training
    noise = noise_for(training, task.distributed, size=size(task), devices=8)
    local = story.round_of(task, run, number, 0, story.SECOND, 0.0).plan
    return replace(
        local, mode="distributed", secure=SecureRound(noise=noise, seed="0" * 64, roster=1), sample_rate=1.0, steps=1,
        normalizer=training.normalizer, learning_rate=training.learning_rate, max_grad_norm=training.max_grad_norm,
        noise_multiplier=training.noise_multiplier, max_update_norm=training.max_update_norm,
    )  # fmt: skip


def tell(home: Path) -> Store:
    """The story, and then a campaign under secure aggregation that is in its fourth round."""
    store, task = story.without_run(home), read_task(story.TASK)
    training = task.training_in("distributed")
    assert training is not None
    request = CampaignRequest(
        task=task.name, window=story.SECOND, training=training, base_version=27, quorum=6, cohort=8,
        deadline_seconds=120.0, mode="distributed",
    )  # fmt: skip
    with story.at(story.NOW - 60):
        run = store.queue_run(task.name, "train", request)
        store.set_run_state(run, "running")
    for number in (1, 2, 3):
        result = replace(
            story.round_of(task, run, number, 27, story.SECOND, story.NOW - 60 + 14 * number),
            plan=summed(task, run, number), cohort=story.FLEET, returned=story.FLEET[:7], refusals={},
            failures={"LGA-MQ": "agree: no answer in time"},
        )  # fmt: skip
        with story.at(result.finished_at):
            store.commit_round(result, weights=story.weights(60 + number), momentum=b"", revision=task.revision)
    progress = Progress(
        run_id=run, round_number=4, rounds=30, phase=PHASE, cohort=8, returned=5, refused=0, at=story.NOW - 1
    )
    with story.at(story.NOW - 1):
        store.set_progress(progress)
    return store


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sums") / "home"
    tell(folder).close()
    return folder


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_rounds_view_says_who_adds_the_noise_and_what_the_round_is_at(
    opened: Open, home: Path, size: tuple[int, int]
) -> None:
    with only_one(Federation(home).lock, what="a coordinator"):
        async with opened(home).run_test(size=size) as pilot:
            app = await settled(pilot)
            await pilot.press("2")
            await until(pilot, lambda: "· distributed · flights" in text_of(app))
            said = text_of(app)
    assert PHASE in said
    assert f"each device, a share, {bits()} bits" in said
    assert "against one who sees only sums" in said


async def test_the_privacy_view_says_against_whom_its_bounds_hold(opened: Open, home: Path) -> None:
    async with opened(home).run_test(size=(80, 24)) as pilot:
        app = await settled(pilot)
        await pilot.press("6")
        await until(pilot, lambda: "Upper bounds for single rows, against one who sees only sums." in text_of(app))


def test_covey_rounds_shows_the_mode_of_each_round(home: Path) -> None:
    said = CliRunner().invoke(covey, ["--home", str(home), "rounds"]).stdout
    assert f"distributed, {bits()} bits" in said
    assert (
        "  distributed: noise by each device, a share; epsilon holds against the coordinator that sees only sums"
        in said
    )
    local = CliRunner().invoke(covey, ["--home", str(home), "rounds", "1"]).stdout
    assert "MODE" in local
    assert "holds" not in local


def test_covey_privacy_says_for_whom_and_against_whom(home: Path) -> None:
    said = CliRunner().invoke(covey, ["--home", str(home), "privacy"]).stdout
    assert "Epsilon is for single rows, and holds:\n" in said
    assert f"  {TRUST['sums']}: 8 of 8" in said
    found = json.loads(CliRunner().invoke(covey, ["--home", str(home), "privacy", "--json"]).stdout)
    assert {each["trust"] for each in found} == {"sums"}


def test_a_fleet_of_local_rounds_needs_no_such_word(stories: Path) -> None:
    assert "holds" not in CliRunner().invoke(covey, ["--home", str(stories / "idle"), "privacy"]).stdout


async def test_the_start_dialog_offers_the_tasks_modes_and_prices_the_one_chosen(
    opened: Open, idle: Path, commands: Commands
) -> None:
    async with opened(idle).run_test(size=(80, 24)) as pilot:
        app = await settled(pilot)
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, StartDialog))
        app.screen.query_one("#mode", Select).value = "distributed"
        await until(pilot, lambda: app.screen.query_one("#rounds", Input).value == "30")
        await pilot.pause()
        said = text_of(app)
        cost = epsilon([SampledGaussian(noise_multiplier=7.2, sample_rate=1.0, steps=30)], delta=1e-5)
        assert f"Costs each device at most ε {cost:.2f} by itself" in said
        assert "That is for each row, against one who sees only sums." in said
        app.screen.query_one("#cohort", Input).value = "4"
        await until(pilot, lambda: "at least 5, for a sum" in text_of(app))
        app.screen.query_one("#cohort", Input).value = "8"
        await pilot.pause()
        await pilot.press("enter")
        await until(pilot, lambda: commands)
    words = "start flights --rounds 30 --quorum 6 --mode distributed --detach"
    assert list(commands[0][2:]) == words.split()


async def test_rounds_that_a_person_wrote_stay_when_the_mode_changes(opened: Open, idle: Path) -> None:
    async with opened(idle).run_test(size=(80, 24)) as pilot:
        app = await settled(pilot)
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, StartDialog))
        app.screen.query_one("#rounds", Input).value = "7"
        app.screen.query_one("#mode", Select).value = "central"
        await until(pilot, lambda: "for each row, not against the coordinator" in text_of(app))
        assert app.screen.query_one("#rounds", Input).value == "7"


async def test_a_task_without_other_modes_offers_none(opened: Open, idle: Path) -> None:
    store, task = Store(Federation(idle).database), read_task(story.TASK)
    store.add_task(replace(task, name="gates", distributed=None, central=None))
    store.close()
    async with opened(idle).run_test(size=(80, 24)) as pilot:
        app = await settled(pilot)
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, StartDialog))
        tasks, modes = app.screen.query_one("#task", Select), app.screen.query_one("#mode", Select)
        tasks.value = "flights"
        await pilot.pause()
        modes.value = "distributed"
        await until(pilot, lambda: "--mode distributed" in text_of(app))
        tasks.value = "gates"
        await until(pilot, lambda: modes.value == "local")
        await until(pilot, lambda: "start gates --rounds 20" in text_of(app))
        with pytest.raises(InvalidSelectValueError):
            modes.value = "distributed"


@pytest.mark.parametrize(
    ("trusts", "weakest"),
    [((), "everyone"), (("sums", "everyone"), "sums"), (("everyone", "coordinator", "sums"), "coordinator")],
)
def test_epsilons_together_hold_against_no_more_than_the_weakest(trusts: tuple[str, ...], weakest: str) -> None:
    assert least(trusts) == weakest  # type: ignore[arg-type]


def test_every_mode_has_words_for_what_its_plans_cost() -> None:
    task = read_task(story.TASK)
    assert summed(task, 1, 1).cost.trust == TRUST_OF["distributed"]
    assert Cost(record=()).trust == TRUST_OF["local"]
    assert set(NOISE) == set(TRUST_OF) == set(Mode.__args__)
    assert set(TRUST_OF.values()) == set(TRUSTS)
    assert mode_of(story.round_of(task, 1, 1, 0, story.FIRST, 0.0).plan) == "local"
    assert explained([story.round_of(task, 1, 1, 0, story.FIRST, 0.0).plan]) == []


def bits() -> int:
    plan = summed(read_task(story.TASK), 1, 1)
    assert plan.secure is not None
    return plan.secure.noise.encoding.bits
