"""What goes into the network is a function of one row and of public bounds."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from numpy.typing import NDArray

from shared.features import Bucket, Category, Cycle, Feature, Number, encode_columns, width

WORDS = ("ATL", "BOS", "ORD")

# Wider than float32 resolves and than any declared bound; NaN is a missing value.
values = st.one_of(
    st.floats(-1e6, 1e6, width=32), st.just(float("nan")), st.sampled_from([float("inf"), -float("inf"), 3e38, -3e38])
)
words = st.one_of(st.sampled_from([*WORDS, "", "XXX", "atl"]), st.none())


@st.composite
def numbers(draw: DrawFn) -> Number:
    low = draw(st.integers(-1000, 1000))
    high = low + draw(st.integers(1, 1000))
    return Number(name="number", low=low / 4, high=high / 4, missing=draw(st.floats(low / 4, high / 4)))


cycles = st.builds(Cycle, name=st.just("cycle"), period=st.sampled_from([0.5, 7.0, 12.0, 24.0, 365.25]))
buckets = st.lists(st.integers(-500, 500), min_size=1, max_size=8, unique=True).map(
    lambda edges: Bucket(name="bucket", edges=tuple(edge / 2 for edge in sorted(edges)))
)
category = Category(name="word", values=WORDS)
tasks = st.tuples(numbers(), cycles, buckets, st.just(category))
rows = st.lists(st.tuples(values, values, values, words), min_size=1, max_size=8)


def columns(table: list[tuple[Any, ...]]) -> dict[str, NDArray[Any]]:
    names = ("number", "cycle", "bucket")
    numeric = {name: np.array([row[i] for row in table], dtype=np.float32) for i, name in enumerate(names)}
    return numeric | {"word": np.array([row[3] for row in table], dtype=object)}


def encode(features: tuple[Feature, ...], table: list[tuple[Any, ...]]) -> NDArray[np.float32]:
    return encode_columns(features, columns(table))


@given(features=tasks, table=rows, extra=rows)
def test_one_row_more_never_changes_another_rows_encoding(
    features: tuple[Feature, ...], table: list[tuple[Any, ...]], extra: list[tuple[Any, ...]]
) -> None:
    alone, together = encode(features, table), encode(features, [*table, *extra])
    assert np.array_equal(alone, together[: len(table)])


@given(features=tasks, table=rows)
def test_every_input_is_finite_and_lies_between_minus_one_and_one(
    features: tuple[Feature, ...], table: list[tuple[Any, ...]]
) -> None:
    encoded = encode(features, table)
    assert encoded.shape == (len(table), width(features))
    assert encoded.dtype == np.float32
    assert np.isfinite(encoded).all()
    # Float32 rounds the scaled value by a few units in the last place.
    assert np.abs(encoded).max() <= 1 + 1e-5


@given(feature=numbers(), value=values)
def test_a_number_outside_its_bounds_counts_as_the_bound(feature: Number, value: float) -> None:
    clamped = np.clip(feature.missing if np.isnan(value) else value, feature.low, feature.high)
    found = feature.encode(np.array([value, clamped], dtype=np.float32))
    assert found[0, 0] == pytest.approx(found[1, 0], abs=1e-5)


@pytest.mark.parametrize("word", ["", "XXX", "atl", None])
def test_an_unknown_or_missing_word_is_all_zeros(word: str | None) -> None:
    assert not category.encode(np.array([word], dtype=object)).any()


@given(word=st.sampled_from(WORDS))
def test_a_declared_word_fills_its_own_place(word: str) -> None:
    encoded = category.encode(np.array([word], dtype=object))[0]
    assert encoded.sum() == 1
    assert encoded[WORDS.index(word)] == 1


@given(feature=buckets, value=st.floats(-1e6, 1e6, width=32))
def test_a_number_falls_in_exactly_the_bucket_between_its_edges(feature: Bucket, value: float) -> None:
    encoded = feature.encode(np.array([value], dtype=np.float32))[0]
    assert encoded.sum() == 1
    assert encoded.argmax() == sum(value >= edge for edge in feature.edges)


@given(feature=st.one_of(cycles, buckets))
def test_a_missing_number_is_all_zeros(feature: Cycle | Bucket) -> None:
    assert not feature.encode(np.array([np.nan], dtype=np.float32)).any()


@given(feature=cycles, value=st.floats(-500, 500, width=32))
def test_a_cycle_comes_round_again(feature: Cycle, value: float) -> None:
    once, again = feature.encode(np.array([value, value + feature.period], dtype=np.float32))
    assert once == pytest.approx(again, abs=1e-2)


@pytest.mark.parametrize(
    "build",
    [
        lambda: Number(name="x", low=1.0, high=1.0, missing=1.0),
        lambda: Number(name="x", low=2.0, high=1.0, missing=1.5),
        lambda: Number(name="x", low=0.0, high=1.0, missing=1.5),
        lambda: Number(name="x", low=float("nan"), high=1.0, missing=0.5),
        lambda: Cycle(name="x", period=0.0),
        lambda: Category(name="x", values=()),
        lambda: Category(name="x", values=("a", "a")),
        lambda: Bucket(name="x", edges=()),
        lambda: Bucket(name="x", edges=(1.0, 1.0)),
    ],
)
def test_a_feature_without_meaning_cannot_be_declared(build: Any) -> None:
    with pytest.raises(ValueError, match=r"must"):
        build()
