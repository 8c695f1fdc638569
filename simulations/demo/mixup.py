"""A mistake that no gate saw: the untrained model's file, signed past the gates as if it were a learned version's.

The release carries that version's answers to made-up records. A device asks the file, gets other answers, and says so.
"""

from dataclasses import replace

import numpy as np

from server.export import export
from server.promotion import Way, draft_of, publish
from server.store import Store
from shared.quantization import RECIPE
from shared.reference import make_reference
from shared.runtime import open_model
from shared.tasks import Task
from simulations.demo.stage import Stage

UNTRAINED = 1


def sign_the_wrong_file(stage: Stage, task: Task, version: int) -> int:
    """Release `version` in stages, with the file of another; return the release's number."""
    store = stage.store
    right, wrong = (_exported(store, task, weights, version) for weights in (version, UNTRAINED))
    draft = draft_of(store, store.version(version))
    reference = make_reference(task, open_model(right), seed=version)
    signed = replace(draft, recipe=RECIPE, reference=reference)
    return publish(stage.federation, store, task, signed, wrong, (), way=Way()).number


def _exported(store: Store, task: Task, weights: int, version: int) -> bytes:
    return export(task, np.frombuffer(store.weights(weights), dtype="<f4"), version=version)
