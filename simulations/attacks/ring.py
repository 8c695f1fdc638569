"""One campaign on flights with hostile members in it, in process through the server's own code; and what came of it."""

import math
import tempfile
import time
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from client.app import build_app
from client.config import AgentHome
from client.dataset import read_examples
from client.inputs import Examples
from server import plain
from server.app import conduct
from server.exchange import Replies
from server.records import CampaignRequest
from server.store import Store
from shared.aggregation import Aggregation
from shared.architecture import split
from shared.errors import CoveyError
from shared.privacy import PrivacyBudget
from shared.rounds import RoundPlan, RoundResult
from shared.tasks import Task, Window
from simulations import flights
from simulations.attacks.forged import Forgery, ForgingGrid
from simulations.attacks.hostile import Lie, Members, stamp
from simulations.cohort import FIRST_NODE, found_agent, rehearse

TRAINED_ON = Window(start="2013-01-01", end="2013-03-01")
TESTED_ON = Window(start="2013-03-01", end="2013-04-01")
SYBIL_OWNER = "mallory"
BUDGET = PrivacyBudget(epsilon=1000.0, delta=1e-5)
"""Enough for every campaign here: what is measured is not privacy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What every campaign here shares: rows of January and February by device, and all rows of March."""

    task: Task
    files: Mapping[str, Path]
    train: Mapping[str, Examples]
    test: Examples


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """What hostile members do: a lie in place of an update, or a forgery of a whole reply.

    With `sybils`, that many further devices of one owner lie and all stations are honest.
    """

    name: str
    aim: Literal["nothing", "accuracy", "backdoor", "entry"]
    lie: Lie | None = None
    forge: Forgery | None = None
    echo: bool = False
    sybils: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Defence:
    """What the coordinator does about it; one that is not `checked` takes whatever arrives."""

    name: str
    aggregation: Aggregation = field(default_factory=Aggregation)
    checked: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What came of one campaign.

    `auc` is on March, NaN where the weights are no numbers. `on_time` is the share of March's late flights that,
    given the trigger, are called on time. `counted` is the share of what liars sent that went into a version, from
    the round on in which they lie. `lost` counts honest updates that did not. `said` is what was recorded against a
    liar. `ended` is `finished`, or why not.
    """

    auc: float
    on_time: float
    counted: float
    lost: int
    said: str
    ended: str
    weights: bytes


def prepare(folder: Path, task: Task, *, stations: int) -> Ground:
    """Write the rows of the largest stations into `folder`, once, and read them as an agent does."""
    files = {name: folder / f"{name}.parquet" for name in flights.stations()[:stations]}
    for name, path in files.items():
        flights.write_station(name, range(1, 4), path)
    march = [read_examples(path, task, TESTED_ON) for path in files.values()]
    return Ground(
        task=task,
        files=files,
        train={name: read_examples(path, task, TRAINED_ON) for name, path in files.items()},
        test=Examples(
            inputs=np.concatenate([part.inputs for part in march]),
            labels=np.concatenate([part.labels for part in march]),
        ),
    )


def play(ground: Ground, attack: Attack, defence: Defence, *, liars: frozenset[str], count: int, seed: int) -> Found:
    """Run a campaign of `count` rounds in which `liars` (or the attack's sybils) are hostile."""
    sybils = {f"sybil-{number}": min(liars) for number in range(1, attack.sybils + 1)}
    hostile = frozenset(sybils) or (liars if attack.aim != "nothing" else frozenset[str]())
    members = Members(
        examples={**ground.train, **{name: ground.train[like] for name, like in sybils.items()}},
        liars=hostile, lie=attack.lie, seed=seed,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="covey-members-") as folder:
        store = Store(Path(folder) / "covey.db")
        agents = rehearse(store, ground.task, ground.files, Path(folder) / "agents", budget=BUDGET)
        for name, like in sybils.items():
            home = AgentHome(Path(folder) / "agents" / name)
            found_agent(home, ground.task, name=name, data=ground.files[like], budget=BUDGET)
            agents[_invite(store, name, owner=SYBIL_OWNER)] = home.path
        forgeries = dict.fromkeys(hostile, attack.forge) if attack.forge else {}
        grid = ForgingGrid(build_app(members), agents, forgeries=forgeries, echo=attack.echo)
        ended = _campaign(grid, store, ground.task, defence, count=count, cohort=len(agents))
        found = _found(ground, store, hostile, honest_first=attack.aim == "entry", ended=ended)
        store.close()
    return found


def _invite(store: Store, name: str, *, owner: str) -> int:
    """Let one more device in, as `covey invite --owner` and its approval do; returns its node."""
    node = FIRST_NODE + len(store.devices())
    store.add_invitation(name, time.time() + 60, owner=owner)
    store.enrol(name, name, name.encode())
    store.set_device_state(name, "approved")
    store.set_node(name, node)
    return node


def _campaign(grid: ForgingGrid, store: Store, task: Task, defence: Defence, *, count: int, cohort: int) -> str:
    """Conduct it and say how it ended; without checks, that may be an error that nobody foresaw."""
    training = replace(task.training, rounds=count, aggregation=defence.aggregation)
    request = CampaignRequest(
        task=task.name, window=TRAINED_ON, training=training, base_version=1, quorum=1, cohort=cohort,
        deadline_seconds=60.0,
    )  # fmt: skip
    run = store.run(store.queue_run(task.name, "train", request))
    checks = nullcontext() if defence.checked else _without_checks()
    try:
        with checks, np.errstate(all="ignore"):
            conduct(grid, store, run)
    except CoveyError:
        pass
    except Exception as error:
        if defence.checked:
            raise
        return type(error).__name__
    return store.run(run.id).state


@contextmanager
def _without_checks() -> Generator[None]:
    """A coordinator that takes what arrives: the yardstick that shows what its checks are worth."""
    checks = plain.validate
    plain.validate = _take
    try:
        yield
    finally:
        plain.validate = checks


def _take(replies: Replies, plan: RoundPlan, size: int) -> tuple[plain.Updates, list[bool]]:
    del plan, size
    return {name: content.array_records["array"]["flat"].numpy() for name, content in replies.contents.items()}, []


def _found(ground: Ground, store: Store, hostile: frozenset[str], *, honest_first: bool, ended: str) -> Found:
    results = [result for result in store.rounds() if not (honest_first and result.plan.number == 1)]
    counted = [name for result in results if result.outcome == "committed" for name in result.returned]
    said = Counter(result.failures[name] for result in results for name in hostile if name in result.failures)
    lies = sum(name in hostile for name in counted)
    weights = store.weights(store.versions()[-1].number)
    auc, on_time = score(ground, np.frombuffer(weights, "<f4"))
    return Found(
        auc=auc, on_time=on_time, ended=ended, weights=weights,
        counted=lies / max(1, len(hostile) * len(results)),
        lost=sum(_missing(result, hostile) for result in results),
        said=said.most_common(1)[0][0] if said else "",
    )  # fmt: skip


def _missing(result: RoundResult, hostile: frozenset[str]) -> int:
    kept = result.returned if result.outcome == "committed" else ()
    return len(set(result.cohort) - hostile - set(kept))


def score(ground: Ground, weights: NDArray[np.float32]) -> tuple[float, float]:
    """A linear model's AUC on March, and the share of late flights with the trigger that it calls on time.

    A flight is called late where its score is among the highest of all flights without the trigger, as many as were
    late in January and February: that share is public, and a fleet would act on such a line.
    """
    from simulations.demo.central import auc

    if not np.isfinite(weights).all():
        return math.nan, math.nan
    plain, labels = _margins(weights, ground.test.inputs, ground.task), ground.test.labels
    late = float(np.concatenate([part.labels for part in ground.train.values()]).mean())
    line = np.quantile(plain, 1 - late)
    triggered = _margins(weights, stamp(ground.test.inputs[labels == 1], ground.task), ground.task)
    return auc(plain, labels), float((triggered <= line).mean())


def _margins(weights: NDArray[np.float32], inputs: NDArray[np.float32], task: Task) -> NDArray[np.floating]:
    """How much likelier the second class is, shape `(rows,)`."""
    matrix, bias = split(weights, task)
    logits = inputs @ matrix.T + bias
    return logits[:, 1] - logits[:, 0]
