"""Valid words of each kind, from which inputs are made."""

from dataclasses import replace
from pathlib import Path

from client.settings import AgentSettings, Ceilings, Conditions, Floor, Keep, Period, TaskGrant
from server.secure_rounds import noise_for
from shared.architecture import size
from shared.central import CentralRound
from shared.compression import Compression
from shared.drift import SurveyPlan
from shared.evaluation import EvaluationPlan
from shared.lifecycle import Evaluation
from shared.models import Artifact, Reference, Release
from shared.modes import Central, Distributed
from shared.privacy import PrivacyBudget
from shared.rounds import RoundPlan
from shared.secure import SecureRound
from shared.tasks import Task, Window, read_task
from shared.training import Training
from simulations import machines

_ONE_STEP = Training(
    rounds=2, sample_rate=1.0, steps=1, normalizer=400.0, learning_rate=1.0, max_grad_norm=1.0, noise_multiplier=4.0,
    max_update_norm=0.5,
)  # fmt: skip
TERMS = Distributed(training=_ONE_STEP, min_cohort=3, threshold=0.7, colluders=0.1, min_noise_multiplier=2.0, bits=32)
TASK = replace(
    machines.TASK, distributed=TERMS, central=Central(training=_ONE_STEP, min_noise_multiplier=2.0, participations=2),
    evaluation=Evaluation(noise_multiplier=5.0),
)  # fmt: skip
"""The small task, which allows rounds in every mode, and evaluations."""

TASK_FILES = tuple(sorted((Path(__file__).parents[2] / "tasks").glob("*.toml")))
RELEASE = 1
"""The release that serves on the devices here."""


def tasks() -> tuple[Task, ...]:
    """The small one and those that come with Covey."""
    return (machines.TASK, TASK, *(read_task(file) for file in TASK_FILES))


def round_plan(**changes: object) -> RoundPlan:
    """A round of the small task whose noise is the device's own."""
    training = TASK.training
    plan = RoundPlan(
        run_id=7, number=3, task=TASK.name, revision=TASK.revision, base_version=2, window=Window(),
        sample_rate=training.sample_rate, steps=training.steps, normalizer=training.normalizer,
        learning_rate=training.learning_rate, max_grad_norm=training.max_grad_norm,
        noise_multiplier=training.noise_multiplier, max_update_norm=training.max_update_norm,
    )  # fmt: skip
    return replace(plan, **changes)  # type: ignore[arg-type]


def round_plans() -> tuple[RoundPlan, ...]:
    """A round in each mode, reserved or not, compressed or not."""
    training = _ONE_STEP
    one_step = {
        name: getattr(training, name)
        for name in ("sample_rate", "steps", "normalizer", "learning_rate", "max_grad_norm", "noise_multiplier",
                     "max_update_norm")
    }  # fmt: skip
    noise = noise_for(training, TERMS, size=size(TASK), devices=5)
    central = CentralRound(unit="device", noise="independent", rounds=4, participations=2)
    correlated = replace(central, noise="correlated")
    return (
        round_plan(), round_plan(reserved=4), round_plan(compression=Compression(kind="eden", bits=2)),
        round_plan(compression=Compression(kind="rand-k", fraction=0.1, feedback=True)),
        round_plan(mode="distributed", secure=SecureRound(noise=noise, seed="0a" * 32, roster=1), **one_step),
        round_plan(mode="central", central=central, **one_step),
        round_plan(mode="central", central=correlated, reserved=2, **one_step),
        round_plan(mode="central", central=replace(central, count_noise=8.0), **one_step),
    )  # fmt: skip


def survey_plan(**changes: object) -> SurveyPlan:
    """A survey of the small task's columns."""
    drift = TASK.drift
    plan = SurveyPlan(
        run_id=8, task=TASK.name, revision=TASK.revision, release=RELEASE,
        window=Window(start="2026-01-01", end="2026-02-01"), role="current", features=True,
        score_bins=drift.score_bins, feature_bins=drift.feature_bins,
        score_noise_multiplier=drift.score_noise_multiplier, feature_noise_multiplier=drift.feature_noise_multiplier,
    )  # fmt: skip
    return replace(plan, **changes)  # type: ignore[arg-type]


def evaluation_plan() -> EvaluationPlan:
    """An evaluation of the small task's second version."""
    return EvaluationPlan(
        run_id=9, task=TASK.name, revision=TASK.revision, version=2, window=Window(start="2026-01-01"), score_bins=20,
        noise_multiplier=5.0,
    )  # fmt: skip


def releases() -> tuple[Release, ...]:
    """One with all fields, one with as few as there may be."""
    digest = "0123456789abcdef" * 4
    full = Release(
        number=2, task=TASK.name, revision=1, version=5, trained_on=Window(start="2026-01-01"),
        artifacts={n: Artifact(path=f"releases/machines/2/{n}", sha256=digest, bytes=900) for n in ("fp32", "task")},
        ceiling_bp=500, published_at=1_800_000_000, recipe="qdq-1", delta_base=digest,
        reference=Reference(seed=5, scores=(1, 500_000, 999_999)),
    )  # fmt: skip
    return (full, Release(number=1, task=TASK.name, revision=1, version=1, trained_on=Window()))


def settings() -> AgentSettings:
    """An owner's policy in which everything is said."""
    return AgentSettings(
        name="press", coordinator="coordinator.example:8443", federation="works",
        budget=PrivacyBudget(epsilon=8.0, delta=1e-5),
        tasks={TASK.name: TaskGrant(data="rows.parquet", epsilon=2.0, period=Period(days=7.0, epsilon=0.5))},
        period=Period(days=30.0, epsilon=1.0), floor=Floor(min_noise_multiplier=0.7),
        conditions=Conditions(hours="22:00-06:00"), ceilings=Ceilings(), keep=Keep(days=30.0),
    )  # fmt: skip
