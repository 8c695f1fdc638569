"""Every input that ever broke something, and a few new ones for each parser: none may break a promise (`make fuzz` tries more)."""

import pytest

from simulations.fuzz.corpus import FOLDER, read_corpus
from simulations.fuzz.engine import fuzz
from simulations.fuzz.registry import targets

TARGETS = {target.name: target for target in targets()}
CHANGED = 150
"""Inputs made by change, besides seeds and corpus; the same ones each time."""


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_breaks_a_promise(name: str) -> None:
    target = TARGETS[name]
    corpus = read_corpus(target)
    inputs = len(target.seeds()) + len(corpus) + CHANGED
    tally = fuzz(target, inputs=inputs, seed="test", corpus=corpus)
    assert tally.inputs == inputs
    assert not [f"{one.kind}: {one.text}\n{one.data.hex()}" for one in tally.findings]


def test_each_kept_input_belongs_to_a_target() -> None:
    folders = {folder.name for folder in FOLDER.iterdir()}
    assert folders
    assert folders <= TARGETS.keys()
    assert all(read_corpus(TARGETS[name]) for name in folders)
