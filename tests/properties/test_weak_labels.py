"""Rule 3: a weak label is a function of its own row and of the task, to the last bit."""

from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled import CLASSES, machine_columns, small_labelling

from shared.labelling import Condition, Labelling, LabelRule, votes, weak_labels
from shared.labelmodel import posterior

chances = st.floats(0.001, 0.999)
numbers = st.floats(width=32)
words = st.one_of(st.none(), st.sampled_from(["", "north", "south", "west"]))
rows = st.lists(st.tuples(numbers, numbers, words), min_size=1, max_size=40)
conditions = st.one_of(
    st.builds(
        Condition,
        column=st.sampled_from(["load", "hour"]),
        operator=st.sampled_from(["<", "<=", ">", ">=", "=="]),
        value=st.floats(allow_nan=False, allow_infinity=False),
    ),
    st.builds(
        Condition,
        column=st.just("site"),
        operator=st.sampled_from(["in", "not in"]),
        values=st.lists(st.sampled_from(["north", "south", "east"]), min_size=1, max_size=2).map(tuple),
    ),
    st.builds(
        Condition, column=st.sampled_from(["load", "hour", "site"]), operator=st.sampled_from(["missing", "known"])
    ),
)


@st.composite
def labellings(draw: st.DrawFn) -> Labelling:
    """One to nine rules with parameters of their own."""
    rules: list[LabelRule] = []
    for number in range(draw(st.integers(1, 9))):
        vote = draw(st.integers(0, 1))
        votes_so = [draw(chances) for _ in CLASSES]
        rules.append(
            LabelRule(
                name=str(number),
                vote=CLASSES[vote],
                when=tuple(draw(st.lists(conditions, min_size=1, max_size=3))),
                match=draw(st.sampled_from(["all", "any"])),
                confusion=tuple((*(each * (index == vote) for index in range(2)), 1 - each) for each in votes_so),
            )
        )
    prior = draw(chances)
    return small_labelling(prior=(prior, 1 - prior), rules=tuple(rules), threshold=draw(st.floats(0.51, 0.99)))


def table(values: list[tuple[Any, ...]]) -> dict[str, Any]:
    load, hour, site = ([row[column] for row in values] for column in range(3))
    return machine_columns(load, hour, site)


@settings(max_examples=200, deadline=None)
@given(labelling=labellings(), values=rows, extra=st.tuples(numbers, numbers, words), where=st.integers(0, 40))
def test_one_row_more_changes_no_other_rows_label(
    labelling: Labelling, values: list[tuple[Any, ...]], extra: tuple[Any, ...], where: int
) -> None:
    where = min(where, len(values))
    more, less = table([*values[:where], extra, *values[where:]]), table(values)
    without = np.delete(weak_labels(labelling, more), where)
    assert np.array_equal(without, weak_labels(labelling, less))
    alone = [weak_labels(labelling, table([row]))[0] for row in values]
    assert np.array_equal(alone, weak_labels(labelling, less))


@settings(max_examples=100, deadline=None)
@given(labelling=labellings(), values=rows)
def test_a_rows_chances_do_not_move_by_a_bit_with_its_neighbours(
    labelling: Labelling, values: list[tuple[Any, ...]]
) -> None:
    together = posterior(labelling.model, votes(labelling, table(values)))
    alone = [posterior(labelling.model, votes(labelling, table([row])))[0] for row in values]
    assert np.array_equal(together, np.array(alone))
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-12)


def test_no_device_fits_a_label_model() -> None:
    """Fitting looks across rows; parameters come with the task."""
    files = list((Path(__file__).parents[2] / "client").rglob("*.py"))
    assert files
    assert not [file.name for file in files if "labelmodel" in file.read_text(encoding="utf-8")]
