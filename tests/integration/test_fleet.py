"""Virtual devices under the coordinator that ships: the same result, the same charges, the same to the bit again."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from machines import machine_rows, small_task
from numpy.typing import NDArray

from client.settings import AgentSettings, TaskGrant
from client.store import AgentStore
from server.planfile import PlanFile, fingerprint
from server.plans import plan_round
from server.rounds import read_weights
from server.store import Store
from shared.errors import InputError
from shared.privacy import PrivacyBudget, SampledGaussian
from shared.tasks import Task, Window
from simulations.agents import conduct_agents
from simulations.campaign import Campaign
from simulations.fleet.behaviour import PRESETS, Behaviour
from simulations.fleet.engine import Noise
from simulations.fleet.ledgers import Ledgers
from simulations.rehearsal import Settings, conduct_all, keep_settings
from simulations.scene import Scene
from simulations.scenes import Fleet

NAMES = ("ada", "ben", "cyd", "dot", "eve")
SILENT = 1e-7


def rows_of(folder: Path) -> tuple[Path, ...]:
    """Devices of different sizes; one has no row in the window."""
    files = [folder / f"{name}.parquet" for name in NAMES]
    for seed, path in enumerate(files):
        machine_rows(60 + 40 * seed, seed=seed).write_parquet(path)
    return tuple(files)


def plan_of(task: Task, *, rounds: int = 3, cohort: int = 5, quorum: int = 2, **changes: object) -> PlanFile:
    training = replace(task.training, rounds=rounds, **changes)
    return PlanFile(
        task=task.name, revision=task.revision, fingerprint=fingerprint(task), mode="local", cohort=cohort,
        quorum=quorum, deadline_seconds=60.0, reserve=False, window=Window(), training=training,
    )  # fmt: skip


def settings_of(
    task: Task, plan: PlanFile, *, block: int = 1, noise: Noise = "exact", seeds: Sequence[int] = (1,),
    behaviour: Behaviour = PRESETS["ideal"], epsilon: float = 50.0, engine: str = "fast",
) -> Settings:  # fmt: skip
    return Settings(
        task=task, plan=plan, scene="machines", devices=5, seeds=tuple(seeds), behaviour=behaviour, block=block, noise=noise,
        epsilon=epsilon, engine=engine,
    )  # fmt: skip


def states(campaigns: Iterable[Campaign]) -> Iterator[tuple[int, str]]:
    """How many rounds each campaign has, and its run's state, while its store is open."""
    for campaign in campaigns:
        yield len(campaign.rounds), campaign.run.state


def last_weights(campaign: Campaign) -> NDArray[np.float32]:
    return read_weights(campaign.store, campaign.store.versions()[-1].number).copy()


class Place:
    """A folder with rows, in which rehearsals are conducted."""

    def __init__(self, folder: Path, task: Task) -> None:
        self.folder, self.task = folder, task
        self.fleet = Fleet(files=rows_of(folder))
        self.scene: Scene = self.fleet.build(task, folder / "packed" / "rows")
        self._times = 0

    def conduct(self, settings: Settings, *, workers: int = 1) -> NDArray[np.float32]:
        """The last weights of the only seed, rehearsed in a folder of its own."""
        self._times += 1
        folder = self.folder / f"run-{self._times}"
        keep_settings(folder, settings)
        (weights,) = [
            last_weights(each)
            for each in conduct_all(settings, self.scene, folder, workers=workers, say=lambda _: None)
        ]
        return weights


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("fleet"), small_task())


def quiet(task: Task) -> Task:
    """The task, allowing what nobody should: no noise to speak of, all rows in each step."""
    privacy = replace(task.privacy, min_noise_multiplier=SILENT, max_sample_rate=1.0, epsilon=1e18)
    return replace(task, privacy=privacy, training=replace(task.training, noise_multiplier=SILENT, sample_rate=1.0))


def test_blocks_of_devices_come_to_what_the_agents_that_ship_come_to_and_pay_the_same(tmp_path: Path) -> None:
    task = quiet(small_task())
    place, plan = Place(tmp_path, task), plan_of(task, rounds=2)
    fast = settings_of(task, plan, epsilon=1e18)
    weights = place.conduct(fast)
    slow = settings_of(task, plan, epsilon=1e18, engine="agents")
    found: list[NDArray[np.float32]] = []
    for campaign in conduct_agents(slow, place.fleet.named, tmp_path / "agents", say=lambda _: None):
        found.append(last_weights(campaign))
        assert list(campaign.paid.rounds) == [2] * len(NAMES)
    np.testing.assert_allclose(weights, found[0], atol=1e-6, rtol=0)
    assert np.abs(weights - read_start(place)).max() > 0.01, "nothing was learned, so nothing was compared"
    ledgers = replayed(place, next((tmp_path / "run-1").glob("seed-*.db")), epsilon=1e18)
    for device, name in enumerate(sorted(NAMES)):
        store = AgentStore(tmp_path / "agents" / "seed-1" / name / "agent.db")
        rows = store.db.execute(
            "SELECT noise_multiplier, sample_rate, steps FROM events WHERE level = 'record' ORDER BY rowid"
        )
        assert [SampledGaussian(**dict(row)) for row in rows] == list(ledgers.events(device)), name
        store.close()


def replayed(place: Place, database: Path, *, epsilon: float) -> Ledgers:
    """What the engine's devices paid in a rehearsal whose rounds all of them took part in."""
    ledgers, store = Ledgers(len(NAMES), place.task, owner_of(place.task, epsilon)), Store(database)
    for result in store.rounds():
        assert ledgers.charge(result.plan, np.arange(len(NAMES))) == [None] * len(NAMES)
    store.close()
    return ledgers


def owner_of(task: Task, epsilon: float) -> AgentSettings:
    return AgentSettings(
        name="x", coordinator="127.0.0.1:0", federation="x", budget=PrivacyBudget(epsilon=epsilon, delta=1e-5),
        tasks={task.name: TaskGrant(data="x")},
    )  # fmt: skip


def read_start(place: Place) -> NDArray[np.float32]:
    from shared.architecture import initial_weights

    return initial_weights(place.task)


def test_the_same_seed_gives_the_same_bits_whatever_the_number_of_workers(place: Place) -> None:
    settings = settings_of(place.task, plan_of(place.task))
    one, two = place.conduct(settings), place.conduct(settings, workers=2)
    assert one.tobytes() == two.tobytes()
    other = place.conduct(settings_of(place.task, plan_of(place.task), seeds=(2,)))
    assert one.tobytes() != other.tobytes()


@pytest.mark.parametrize("block", [2, 3, 5])
def test_a_message_may_carry_the_sum_of_several_devices(place: Place, block: int) -> None:
    one = place.conduct(settings_of(place.task, plan_of(place.task)))
    many = place.conduct(settings_of(place.task, plan_of(place.task), block=block))
    np.testing.assert_allclose(one, many, atol=2e-6, rtol=0)


def test_blocks_weigh_devices_alike_when_some_do_not_return(place: Place) -> None:
    behaviour = Behaviour(fails=0.4)
    one = place.conduct(settings_of(place.task, plan_of(place.task, quorum=1), behaviour=behaviour))
    many = place.conduct(settings_of(place.task, plan_of(place.task, quorum=1), behaviour=behaviour, block=2))
    np.testing.assert_allclose(one, many, atol=2e-6, rtol=0)


def test_a_rehearsal_goes_on_where_it_was_interrupted(place: Place, tmp_path: Path) -> None:
    settings = settings_of(place.task, plan_of(place.task, rounds=4))
    whole = place.conduct(settings)

    def interrupt(done: float) -> None:
        if done >= 2.5:
            raise KeyboardInterrupt

    keep_settings(tmp_path / "cut", settings)
    stood: list[tuple[int, str]] = []
    with pytest.raises(KeyboardInterrupt):
        stood.extend(states(conduct_all(settings, place.scene, tmp_path / "cut", workers=1, say=interrupt)))
    assert stood == [(2, "running")]
    keep_settings(tmp_path / "cut", settings)
    for campaign in conduct_all(settings, place.scene, tmp_path / "cut", workers=1, say=lambda _: None):
        assert [result.plan.number for result in campaign.rounds] == [1, 2, 3, 4]
        assert list(campaign.paid.rounds) == [4] * len(NAMES)
        assert last_weights(campaign).tobytes() == whole.tobytes()


def test_another_rehearsal_does_not_go_into_the_same_folder(place: Place, tmp_path: Path) -> None:
    keep_settings(tmp_path / "mine", settings_of(place.task, plan_of(place.task)))
    with pytest.raises(InputError, match="another rehearsal"):
        keep_settings(tmp_path / "mine", settings_of(place.task, plan_of(place.task, rounds=9)))


def test_owners_with_little_budget_refuse_as_agents_do(place: Place, tmp_path: Path) -> None:
    plan = plan_of(place.task, rounds=6, quorum=1)
    settings = settings_of(place.task, plan, epsilon=2.0)
    keep_settings(tmp_path / "fast", settings)
    with pytest.raises(InputError, match="abandoned"):
        list(conduct_all(settings, place.scene, tmp_path / "fast", workers=1, say=lambda _: None))
    slow = settings_of(place.task, plan, epsilon=2.0, engine="agents")
    with pytest.raises(InputError, match="abandoned"):
        list(conduct_agents(slow, place.fleet.named, tmp_path / "slow", say=lambda _: None))
    assert refusals(tmp_path / "fast" / "seed-1.db") == refusals(tmp_path / "slow" / "seed-1.db")


def refusals(database: Path) -> list[tuple[int, str, dict[str, str]]]:
    store = Store(database)
    found = [(each.plan.number, each.outcome, dict(each.refusals)) for each in store.rounds()]
    store.close()
    return found


def test_events_are_those_of_a_ledger(place: Place) -> None:
    plan = plan_of(place.task)
    ledgers = Ledgers(3, place.task, owner_of(place.task, 50.0))
    asked = plan_round(1, 1, place.task, 1, plan.request(base_version=1))
    assert ledgers.charge(asked, np.array([0, 2])) == [None, None]
    assert ledgers.charge(asked, np.array([2])) == [None]
    event = SampledGaussian(
        noise_multiplier=plan.training.noise_multiplier,
        sample_rate=plan.training.sample_rate,
        steps=plan.training.steps,
    )
    assert [list(ledgers.events(device)) for device in range(3)] == [[event], [], [event, event]]
    assert list(ledgers.rounds) == [1, 0, 2]
