"""Many models of one kind, each taught by the light trainer on half of a few flights; and the attack on all of them."""

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from client.dataset import read_examples
from client.inputs import Examples
from client.light import train
from shared.accounting import ORDERS, renyi
from shared.architecture import initial_weights
from shared.network import build, load
from shared.rounds import RoundPlan
from shared.tasks import Architecture, Task, Window, read_task
from simulations import flights
from simulations.attacks.membership import Members, Rates, Scores, likelihood_ratios, rates
from simulations.attacks.odds import most
from simulations.attacks.plans import DELTA, SILENCE, noise_for, plan_for, stream
from simulations.demo.central import auc

TASK_FILE = Path("tasks/flights.toml")

EPSILONS = (math.inf, 8.0, 2.0)
FALSE_RATES = (0.001, 0.01)

ROWS, MODELS = 300, 240
"""About half of the rows teach a model: so few that one without privacy learns them by heart."""

SAMPLE_RATE, STEPS = 0.25, 400
LEARNING_RATES = {math.inf: 2.0, 8.0: 0.25, 2.0: 0.25}
"""Of those that were tried (0.25 to 2), the ones under which the attack finds most."""

_NO_CLIP = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """What the attack found at one epsilon: a `Rates` for each of `FALSE_RATES`, and what privacy allows beside it.

    `inside` and `outside` are how often models are right on their own rows and on others. Bounds are for the upper end of
    the false rate's interval: by epsilon and delta as charged, and by the Renyi divergence that was charged.
    """

    epsilon: float
    inside: float
    outside: float
    auc: float
    rates: tuple[Rates, ...]
    by_epsilon: tuple[float, ...]
    by_renyi: tuple[float, ...]


def attack(tell: Callable[[str], None], *, rows: int = ROWS, models: int = MODELS, seed: int = 0) -> list[Membership]:
    """Teach `models` models at each epsilon, and ask of each about each of `rows` rows."""
    task = replace(read_task(TASK_FILE), architecture=Architecture(kind="mlp", hidden=(32,)))
    pool = some_flights(task, rows, seed=seed)
    members = coins(models, len(pool.labels), seed=seed)
    found: list[Membership] = []
    for epsilon in EPSILONS:
        plan = plan_at(task, epsilon, rows=len(pool.labels))
        sureness = teach(
            task,
            plan,
            pool,
            members,
            lambda done, at=epsilon: tell(f"membership: epsilon {at}, {done} of {models} models"),
        )
        found.append(judge(epsilon, plan, sureness, members))
    return found


def judge(epsilon: float, plan: RoundPlan, sureness: Scores, members: Members) -> Membership:
    """Run the attack on half of the models, the others its shadows, and set what `plan` was charged beside it."""
    half = len(members) // 2
    ratios, asked = likelihood_ratios(sureness[half:], sureness[:half], members[:half]), members[half:]
    found = tuple(rates(ratios, asked, false_rate=rate) for rate in FALSE_RATES)
    highest = [one.false.interval[1] for one in found]
    told = math.exp(epsilon) if epsilon < 700 else math.inf
    charged = renyi([plan.event])
    return Membership(
        epsilon=epsilon, inside=float((sureness > 0)[members].mean()), outside=float((sureness > 0)[~members].mean()),
        auc=auc(ratios.ravel(), asked.ravel().astype(np.int64)), rates=found,
        by_epsilon=tuple(min(1.0, told * high + DELTA) for high in highest),
        by_renyi=tuple(most(high, ORDERS, charged) for high in highest),
    )  # fmt: skip


def some_flights(task: Task, rows: int, *, seed: int) -> Examples:
    """Rows of the year at random, read as a device reads its own file."""
    with tempfile.TemporaryDirectory(prefix="covey-flights-") as folder:
        file = Path(folder) / "flights.parquet"
        flights.table().sample(rows, seed=seed).write_parquet(file)
        return read_examples(file, task, Window())


def coins(models: int, rows: int, *, seed: int) -> Members:
    """Which rows teach which models, by a fair coin for each pair; shape `(models, rows)`.

    So whether a row taught one model says nothing of any other model.
    """
    return np.random.default_rng(seed).random((models, rows)) < 0.5


def plan_at(task: Task, epsilon: float, *, rows: int) -> RoundPlan:
    """One round that spends `epsilon`; the same for every model, whatever rows it has."""
    silent = math.isinf(epsilon)
    return plan_for(
        task, sample_rate=SAMPLE_RATE, steps=STEPS, normalizer=rows / 2 * SAMPLE_RATE,
        learning_rate=LEARNING_RATES[epsilon], max_grad_norm=_NO_CLIP if silent else 1.0, max_update_norm=1e6,
        noise_multiplier=SILENCE if silent else noise_for(epsilon, sample_rate=SAMPLE_RATE, steps=STEPS),
    )  # fmt: skip


def teach(task: Task, plan: RoundPlan, pool: Examples, members: Members, done: Callable[[int], None]) -> Scores:
    """Teach one model by each row of `members`, and return the logit of each row's true label, `(models, rows)`."""
    torch.set_num_threads(1)
    weights, network = initial_weights(task), build(task)
    sureness = np.empty(members.shape)
    for model, learned in enumerate(members):
        if model % 64 == 0:
            done(model)
        own = Examples(inputs=pool.inputs[learned], labels=pool.labels[learned])
        update = train(plan, task, weights, own, stream("model", plan.noise_multiplier, model))
        load(network, weights + update, task)
        sureness[model] = _sureness(network, pool)
    return sureness


def _sureness(network: nn.Module, rows: Examples) -> NDArray[np.float64]:
    """The true class's logit less the other's: two classes."""
    with torch.no_grad():
        logits = network(torch.from_numpy(rows.inputs)).numpy().astype(np.float64)
    here = np.arange(len(logits))
    return logits[here, rows.labels] - logits[here, 1 - rows.labels]
