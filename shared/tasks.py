"""A task: what the federation learns, written by a person in TOML, signed, and obeyed by every device."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Literal, get_args

from shared import wire
from shared.contract import Contract
from shared.errors import InputError, WireError
from shared.features import Feature, width
from shared.images import Image
from shared.labelling import Labelling
from shared.lifecycle import Evaluation, Gates, Retraining, Revision, RolloutTerms
from shared.modes import Central, Distributed, Mode
from shared.training import PrivacyCeiling, Training


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """The label is the second class where a numeric column is above a fixed value."""

    kind: Literal["threshold"] = "threshold"
    column: str
    above: float
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse anything but two classes."""
        if len(set(self.classes)) != 2:
            raise ValueError(f"classes must name two outcomes, got {list(self.classes)}")

    @property
    def cuts(self) -> tuple[float, ...]:
        """The one cut between its classes."""
        return (self.above,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """The label is how many of the rising `cuts` a numeric column is above: the first class where it is above none."""

    kind: Literal["levels"] = "levels"
    column: str
    cuts: tuple[float, ...]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse cuts that do not rise, and classes that do not lie between them."""
        if not self.cuts or any(low >= high for low, high in pairwise(self.cuts)):
            raise ValueError(f"cuts must rise, got {list(self.cuts)}")
        if len(set(self.classes)) != len(self.cuts) + 1:
            raise ValueError(
                f"{len(self.cuts)} cuts part as many different classes and one more, got {list(self.classes)}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Classes:
    """The label is the word in a column; a row with another word breaks the contract."""

    kind: Literal["classes"] = "classes"
    column: str
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse fewer than two classes."""
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes must be two or more different words, got {list(self.classes)}")


Measured = Threshold | Levels
"""Labels that a number decides."""

Label = Threshold | Levels | Classes


NetworkKind = Literal["linear", "mlp", "cnn"]
"""The networks that ship; what each is made of stands in `shared.architecture`, `shared.network` and `client.light`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """The network: `linear`, or `mlp` with one tanh layer per entry of `hidden`, or `cnn` with an `image` before them.

    A rehearsal may know other kinds, which use `hidden` and `image` as they like.
    """

    kind: NetworkKind
    hidden: tuple[int, ...] = ()
    image: Image | None = None

    def __post_init__(self) -> None:
        """Refuse layers that the kind does not have."""
        if (self.kind == "linear" and self.hidden) or (self.kind == "mlp" and not self.hidden):
            raise ValueError(f"a linear network has no hidden layers and an mlp has some, got {list(self.hidden)}")
        if self.kind in get_args(NetworkKind) and (self.kind == "cnn") != (self.image is not None):
            raise ValueError("a cnn has an image, and no other network has")
        if any(not 1 <= units <= 4096 for units in self.hidden):
            raise ValueError(f"each hidden layer has 1 to 4096 units, got {list(self.hidden)}")

    def check(self, features: tuple[Feature, ...]) -> None:
        """Raise `ValueError` unless an image's pixels are the features: one number each, row by row."""
        numbers = [feature for feature in features if feature.kind == "number"]
        if self.image and not len(numbers) == len(features) == self.image.pixels:
            raise ValueError(f"an image of {self.image.pixels} pixels takes that many features, each of kind number")


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftSettings:
    """How a survey counts: noise over sensitivity for the score and for the features, and when to alarm."""

    score_bins: int
    feature_bins: int
    score_noise_multiplier: float
    feature_noise_multiplier: float
    alarm_psi: float
    outcome_noise_multiplier: float | None = None

    def __post_init__(self) -> None:
        """Refuse bins that cannot show a shift."""
        if not (2 <= self.score_bins <= 100 and 2 <= self.feature_bins <= 100):
            raise ValueError("score_bins and feature_bins must lie between 2 and 100")
        if not (self.score_noise_multiplier > 0 and self.feature_noise_multiplier > 0 and self.alarm_psi > 0):
            raise ValueError("noise multipliers and alarm_psi must be positive")
        if self.outcome_noise_multiplier is not None and not self.outcome_noise_multiplier > 0:
            raise ValueError("outcome_noise_multiplier must be positive, or left out where outcomes are not counted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is learned, from which columns, within which limits."""

    name: str
    revision: int
    title: str
    features: tuple[Feature, ...]
    label: Label
    architecture: Architecture
    training: Training
    privacy: PrivacyCeiling
    drift: DriftSettings
    gates: Gates = field(default_factory=Gates)
    contract: Contract = field(default_factory=Contract, metadata=wire.LEFT_OUT_WHEN_EMPTY)
    labelling: Labelling | None = None
    timestamp: str | None = None
    groups: tuple[str, ...] = ()
    distributed: Distributed | None = None
    central: Central | None = None
    evaluation: Evaluation | None = None
    rollout: RolloutTerms | None = None
    retraining: Retraining | None = None
    revises: Revision | None = None

    def __post_init__(self) -> None:
        """Refuse a task that contradicts itself."""
        if not re.fullmatch("[a-z0-9][a-z0-9-]*", self.name):
            raise ValueError(f"name must be lower-case letters, digits and hyphens, got {self.name!r}")
        if self.revision < 1 or not self.features:
            raise ValueError("a task has a revision of at least 1 and one feature or more")
        names = [(feature.name, feature.kind) for feature in self.features]
        if len(set(names)) != len(names):
            raise ValueError(
                f"features repeat: {sorted({name for name, kind in names if names.count((name, kind)) > 1})}"
            )
        texts = {feature.name for feature in self.features if feature.kind == "category"}
        if mixed := texts & {feature.name for feature in self.features if feature.kind != "category"}:
            raise ValueError(f"a column is words or numbers, not both: {sorted(mixed)}")
        if reserved := [
            name for name in (*dict(names), self.label.column, self.timestamp or "") if name.startswith("@")
        ]:
            raise ValueError(f"a column's name cannot begin with @, which is kept for counts: {reserved}")
        if self.label.column in {feature.name for feature in self.features}:
            raise ValueError(f"the label's column {self.label.column!r} cannot also be a feature")
        self.architecture.check(self.features)
        self.contract.check(numbers=self.numbers, texts=self.texts, timestamp=self.timestamp)
        if self.labelling:
            self.labelling.check(numbers=self.numbers, texts=self.texts, classes=self.label.classes)
        if self.rollout and self.rollout.charged and self.drift.outcome_noise_multiplier is None:
            raise ValueError("rollout.charged counts outcomes, which needs drift.outcome_noise_multiplier")
        self._check_revision()
        self._check_lifecycle()
        self._check_training()

    def _check_lifecycle(self) -> None:
        """Refuse alarms that nothing is counted for."""
        by_loss = {"cusum", "adwin"} & set(self.retraining.alarms if self.retraining else ())
        if by_loss and self.drift.outcome_noise_multiplier is None:
            raise ValueError(
                f"retraining.alarms {sorted(by_loss)} look at outcomes: say drift.outcome_noise_multiplier, so that they are counted"
            )

    def _check_revision(self) -> None:
        """Refuse a map from a later revision, to classes that there are none of, or of words whose meaning changed at no time."""
        if (map_ := self.revises) is None:
            return
        if map_.revision >= self.revision:
            raise ValueError(f"revision {self.revision} cannot revise revision {map_.revision}, only an earlier one")
        became = {name for names in map_.classes.values() for name in names}
        if strange := sorted(became - set(self.label.classes)):
            raise ValueError(f"revises.classes leads to classes that the label does not have: {strange}")
        if strange := sorted(set(map_.columns) - {*self.numbers, *self.texts, self.label.column}):
            raise ValueError(f"revises.columns names columns that the task does not read: {strange}")
        reused = sorted(old for old, new in map_.classes.items() if old in self.label.classes and new != (old,))
        if reused and isinstance(self.label, Classes) and not (map_.since and self.timestamp):
            raise ValueError(
                f"the words {reused} mean something else now: say `since` when, and `timestamp` by which column, or use new words"
            )

    def _check_training(self) -> None:
        if setting := self.privacy.weakened_by(self.training):
            raise ValueError(f"training.{setting} lies outside the task's own limits under privacy")
        for mode in (self.distributed, self.central):
            if mode and mode.training.max_grad_norm > self.privacy.max_grad_norm:
                raise ValueError("max_grad_norm of a mode lies outside the task's own limits under privacy")

    def training_in(self, mode: Mode) -> Training | None:
        """How a campaign of `mode` trains, or None where the task does not offer that mode."""
        terms = self.terms_of(mode)
        return self.training if mode == "local" else terms and terms.training

    def terms_of(self, mode: Mode) -> Distributed | Central | None:
        """What the task demands of a mode; None where it does not offer it, and for `local`, whose terms are `privacy`."""
        return {"distributed": self.distributed, "central": self.central, "local": None}[mode]

    @property
    def inputs(self) -> int:
        """The width of the network's input."""
        return width(self.features)

    @property
    def numbers(self) -> tuple[str, ...]:
        """The numeric raw columns, each once, in the order in which a model takes them."""
        return tuple(dict.fromkeys(f.name for f in self.features if f.kind != "category"))

    @property
    def texts(self) -> tuple[str, ...]:
        """The text raw columns, each once, in the order in which a model takes them."""
        return tuple(dict.fromkeys(f.name for f in self.features if f.kind == "category"))


def read_task(path: Path) -> Task:
    """Read a task file; raise `InputError` naming the file and the field."""
    try:
        return wire.from_toml(Task, path.read_bytes(), what="task")
    except OSError as error:
        raise InputError(f"task file {path} cannot be read: {error.strerror}") from None
    except WireError as error:
        raise InputError(f"task file {path}: {error}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The rows whose timestamp lies in `[start, end)`; ISO 8601 dates. Empty text means unbounded."""

    start: str = ""
    end: str = ""

    def __post_init__(self) -> None:
        """Refuse what is not a date, and an end before the start."""
        bounds = [datetime.fromisoformat(text) for text in (self.start, self.end) if text]
        if len({bound.tzinfo is None for bound in bounds}) == 2:
            raise ValueError(f"window has a time zone at one end only: {self.start} to {self.end}")
        if len(bounds) == 2 and bounds[0] >= bounds[1]:
            raise ValueError(f"window ends before it starts: {self.start} to {self.end}")

    def __str__(self) -> str:
        """The window as a person reads it."""
        return f"{self.start or 'the beginning'} to {self.end or 'now'}" if self.start or self.end else "all rows"


def parse_window(text: str) -> Window:
    """Read `START..END` in ISO dates, either side may be empty; raise `InputError`."""
    start, dots, end = text.partition("..")
    if text and not dots:
        raise InputError(f"window must be START..END, such as 2013-01-01..2013-07-01, got {text!r}")
    try:
        return Window(start=start, end=end)
    except (ValueError, TypeError) as error:
        raise InputError(f"window {text!r} is not two ISO dates such as 2013-01-01..2013-07-01 ({error})") from None
