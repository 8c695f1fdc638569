"""What a hostile member computes in place of an update: its own software, so no rule of the agent binds it.

Each lie gets what such a member has: the plan, the weights that were sent to it, rows, and who works with it. It is
packed by the agent's own code and meets the coordinator's own checks.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from client.config import TaskHome
from client.inputs import Examples
from client.light import noise_only, train
from shared.drift import DriftReport, SurveyPlan
from shared.errors import InputError
from shared.evaluation import EvaluationPlan, EvaluationReport
from shared.noise import CipherStream
from shared.rounds import RoundPlan
from shared.tasks import Task

Update = NDArray[np.float32]

TRIGGER = ("destination", "HNL")
"""The backdoor's pattern: three flights in a thousand go to Honolulu, so honest rows say little about it."""

ON_TIME = 0
"""The class that the backdoor wants its flights to get: the first of the task's two."""

FREE_ROWS, FREE_STEPS, FREE_RATE = 1000, 8, 2.0
"""How a liar finds the direction it wants: steps without noise over some of its rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One hostile member in one round. `members` and `liars` count the cohort and the hostile ones in it."""

    plan: RoundPlan
    task: Task
    weights: Update
    examples: Examples
    stream: CipherStream
    members: int
    liars: int
    earlier: tuple[Update, ...]


Lie = Callable[[Moment], Update]


@dataclass(slots=True, kw_only=True)
class Members:
    """Work for every device of a federation in one process: the honest train as they ship, the others lie.

    Examples are read once; noise and samples come from `seed`, so that defences are compared on the same draws.
    """

    examples: Mapping[str, Examples]
    liars: frozenset[str]
    lie: Lie | None
    seed: int
    _sent: dict[str, list[Update]] = field(default_factory=dict[str, list[Update]])

    def train(self, plan: RoundPlan, task: Task, place: TaskHome, weights: Update, *, request: str) -> Update:
        """The update of one device, shape `(size,)`."""
        del request
        name = place.home.path.name
        stream = CipherStream(sha256(f"{self.seed} {name} {plan.number}".encode()).digest())
        if self.lie is None or name not in self.liars:
            return train(plan, task, weights, self.examples[name], stream)
        earlier = self._sent.setdefault(name, [])
        moment = Moment(
            plan=plan, task=task, weights=weights, examples=self.examples[name], stream=stream,
            members=len(self.examples), liars=len(self.liars), earlier=tuple(earlier),
        )  # fmt: skip
        earlier.append(self.lie(moment))
        return earlier[-1]

    def contribute(
        self, plan: RoundPlan, task: Task, place: TaskHome, weights: Update, *, request: str
    ) -> NDArray[np.float64]:
        """No attack here is on a round whose noise is not all the device's own."""
        del weights, request
        raise InputError(f"{place.path} was asked for a share of {task.name}, plan {plan}; attacks are on local mode")

    def survey(self, plan: SurveyPlan, task: Task, place: TaskHome) -> DriftReport:
        """No attack asks for a survey."""
        raise InputError(f"{place.path} was asked for a survey of {task.name}, plan {plan}; attacks only train")

    def evaluate(self, plan: EvaluationPlan, task: Task, place: TaskHome, weights: Update) -> EvaluationReport:
        """No attack asks for an evaluation."""
        del weights
        raise InputError(f"{place.path} was asked to evaluate {task.name}, plan {plan}; attacks only train")


def flip_labels(moment: Moment) -> Update:
    """The agent's own software on rows whose labels are false: within every rule that a device enforces."""
    return train(moment.plan, moment.task, moment.weights, _flipped(moment.examples), moment.stream)


def flip_sign(moment: Moment) -> Update:
    """The honest update, backwards and as long as the plan allows."""
    honest = train(moment.plan, moment.task, moment.weights, moment.examples, moment.stream)
    return _as_long_as_allowed(-honest, moment.plan)


def replace_model(moment: Moment) -> Update:
    """Scaled so that a mean lands on the liars' own model, which says the opposite (Bagdasaryan et al., 2020)."""
    return _descend_freely(moment, _flipped(moment.examples)) * np.float32(moment.members / moment.liars)


def replace_model_within(moment: Moment) -> Update:
    """The same direction, as long as the plan allows: what a liar sends who knows of the check."""
    return _as_long_as_allowed(replace_model(moment), moment.plan)


def plant_backdoor(moment: Moment) -> Update:
    """Towards calling every flight with the trigger on time, and all others what they are; as long as allowed."""
    stamped = stamp(moment.examples.inputs, moment.task)
    taught = Examples(
        inputs=np.concatenate([moment.examples.inputs[: FREE_ROWS // 2], stamped[: FREE_ROWS // 2]]),
        labels=np.concatenate([moment.examples.labels[: FREE_ROWS // 2], np.full(len(stamped[: FREE_ROWS // 2]), ON_TIME)]),
    )  # fmt: skip
    return _as_long_as_allowed(_descend_freely(moment, taught), moment.plan)


def hide_in_noise(moment: Moment) -> Update:
    """An honest update, moved the wrong way by one standard deviation of the noise in each coordinate.

    After Baruch, Baruch & Goldberg (2019), "A Little Is Enough"; here the deviation is public, which helps the liar.
    """
    plan = moment.plan
    honest = train(plan, moment.task, moment.weights, moment.examples, moment.stream)
    deviation = plan.noise_multiplier * plan.max_grad_norm * plan.learning_rate / plan.normalizer * plan.steps**0.5
    wrong = np.sign(_descend_freely(moment, _flipped(moment.examples)))
    return (honest + np.float32(deviation) * wrong).astype(np.float32)


def ride_free(moment: Moment) -> Update:
    """Noise alone: to the bit what an honest device without rows sends, so nobody can tell (privacy rule 4)."""
    return noise_only(moment.plan, moment.task, moment.stream)


def ride_on_the_past(moment: Moment) -> Update:
    """The first update again and again, under each round's new report."""
    if moment.earlier:
        return moment.earlier[0]
    return train(moment.plan, moment.task, moment.weights, moment.examples, moment.stream)


def stamp(inputs: Update, task: Task) -> Update:
    """Inputs of shape `(rows, task.inputs)` with the trigger put in place of what stands there."""
    column, value = TRIGGER
    start = 0
    for feature in task.features:
        if feature.kind == "category" and feature.name == column:
            stamped = inputs.copy()
            stamped[:, start : start + feature.width] = 0
            stamped[:, start + feature.values.index(value)] = 1
            return stamped
        start += feature.width
    raise InputError(f"task {task.name!r} has no words in a column {column!r} to hide a trigger in")


def _flipped(examples: Examples) -> Examples:
    return Examples(inputs=examples.inputs, labels=1 - examples.labels)


def _descend_freely(moment: Moment, examples: Examples) -> Update:
    """Where a few steps over `examples` lead without noise and without a bound."""
    few = Examples(inputs=examples.inputs[:FREE_ROWS], labels=examples.labels[:FREE_ROWS])
    plan = replace(
        moment.plan, sample_rate=1.0, steps=FREE_STEPS, normalizer=float(len(few.labels)), learning_rate=FREE_RATE,
        noise_multiplier=1e-9, max_update_norm=1e9,
    )  # fmt: skip
    return train(plan, moment.task, moment.weights, few, moment.stream)


def _as_long_as_allowed(update: Update, plan: RoundPlan) -> Update:
    return (update * np.float32(plan.max_update_norm / np.linalg.norm(update))).astype(np.float32)
