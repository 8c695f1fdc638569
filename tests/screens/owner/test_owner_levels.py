"""The Budget view says what a charge cost at each level, and how a budget for rows that retire renews."""

from contextlib import closing
from pathlib import Path

import pytest
from screens.owner import story
from screens.owner.conftest import Open, settled, text_of, until

from client.config import AgentHome
from client.lifetimes import Lifetime
from client.store import AgentStore
from shared.privacy import ADJACENCY, TRUST, Cost, SampledGaussian

SIGMA = "\N{GREEK SMALL LETTER SIGMA}"
SUM, WHOLE, OWN = (SampledGaussian(noise_multiplier=n, sample_rate=1.0, steps=1) for n in (7.2, 3.1, 2.2))
LIVES = Lifetime(task="flights", column="scheduled_departure", days=90.0)


@pytest.fixture
def retiring(tmp_path: Path) -> AgentHome:
    """An agent whose rows retire after 90 days, and that took part in one sum."""
    home = story.found(tmp_path / "agent", row_lifetime_days=90.0)
    at = story.NOW - 600
    with closing(AgentStore(home.database)) as store, story.at(at), store.transaction():
        cost = Cost(record=(SUM,), device=(WHOLE,), alone=(OWN,), trust="sums")
        store.add_charge("a", "flights", "training, round 1", cost, at=at, alive=LIVES.at(at))
    return home


async def test_a_sum_shows_its_three_levels_and_its_rows(opened: Open, retiring: AgentHome) -> None:
    async with opened(retiring).run_test(size=(130, 40)) as pilot:
        app = await settled(pilot)
        await until(pilot, lambda: f"{SIGMA} 7.2, q 1, 1 step" in text_of(app))
        shown = text_of(app)
        for words in (
            f"{SIGMA} 7.2, q 1, 1 step  {ADJACENCY['record']}, {TRUST['sums']}", f"{SIGMA} 3.1, q 1, 1 step  {ADJACENCY['device']}",
            f"{SIGMA} 2.2, q 1, 1 step  {ADJACENCY['alone']}", "for rows dated 2025-10-02 to 2025-12-31",
            "Rows retire after 90 days; the next charge stops counting on 2026-03-31.", "in all, for the device",
        ):  # fmt: skip
            assert words in shown


async def test_the_charge_on_show_follows_the_cursor(opened: Open, told: AgentHome) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        assert f"{SIGMA} 20, q 1, 1 step" in text_of(app)
        assert "a release protects single rows only" in text_of(app)
        await pilot.press("j")
        await until(pilot, lambda: f"{SIGMA} 1.2, q 0.03125, 16 steps" in text_of(app))
        assert "for any row" in text_of(app)


async def test_a_round_that_was_paid_with_its_campaign_says_so(opened: Open, fresh: AgentHome) -> None:
    with closing(AgentStore(fresh.database)) as store, story.at(story.NOW - 5), store.transaction():
        store.add_charge("b", "flights", "training, round 2", Cost(record=()))
    async with opened(fresh).run_test(size=(80, 24)) as pilot:
        app = await settled(pilot)
        await until(pilot, lambda: "Paid for with the first round of its campaign." in text_of(app))
