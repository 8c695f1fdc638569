"""Many inputs for one parser: seeds first, then changes of what is known; whatever ended in a new place is kept to change.

There is no instrumentation: the lines that an error came through, and the word that a parser gives what it accepted, tell
which part of it an input reached.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from shared.endings import one_line as _one_line  # noqa: F401 - placeholder removed below
from simulations.fuzz.mutation import mutate
from simulations.fuzz.target import Kind, Target
from simulations.fuzz.trial import Came, Trials

MOST_KEPT = 600
"""Inputs that are kept to change; further ones take the place of others."""

MOST_FINDINGS = 20
"""Different findings that are told of one parser."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """An input that broke a promise, and what was seen."""

    target: str
    kind: Kind
    text: str
    seed: str
    data: bytes
