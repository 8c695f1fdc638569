"""What is written can be read again, and whatever else arrives is refused with a `WireError` and nothing worse."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import wire
from shared.drift import DriftReport, SurveyPlan
from shared.errors import WireError
from shared.models import Artifact, Release
from shared.rounds import RoundPlan, RoundResult, TrainReport
from shared.tasks import Task, Window

DOCUMENTS = (RoundPlan, RoundResult, TrainReport, SurveyPlan, DriftReport, Release, Task, Window)

numbers = st.integers(0, 2**40)
positive = st.floats(1e-6, 1e6)
texts = st.text(st.characters(codec="utf-8"), max_size=20)
windows = st.sampled_from([Window(), Window(start="2013-01-01"), Window(start="2013-01-01", end="2013-03-01T12:00")])
plans = st.builds(
    RoundPlan,
    run_id=numbers,
    number=numbers,
    task=texts,
    revision=numbers,
    base_version=numbers,
    window=windows,
    sample_rate=st.floats(1e-6, 1.0),
    steps=st.integers(1, 10_000),
    normalizer=positive,
    learning_rate=positive,
    max_grad_norm=positive,
    noise_multiplier=positive,
    max_update_norm=positive,
)
results = st.builds(
    RoundResult,
    plan=plans,
    cohort=st.lists(texts, max_size=4).map(tuple),
    returned=st.lists(texts, max_size=4).map(tuple),
    refusals=st.dictionaries(texts, texts, max_size=3),
    failures=st.dictionaries(texts, texts, max_size=3),
    started_at=positive,
    finished_at=positive,
    outcome=st.sampled_from(["committed", "abandoned"]),
)
releases = st.builds(
    Release,
    number=numbers,
    task=texts,
    revision=numbers,
    version=numbers,
    trained_on=windows,
    artifacts=st.dictionaries(
        st.sampled_from(["fp32", "int8"]), st.builds(Artifact, path=texts, sha256=texts, bytes=numbers)
    ),
)

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.just(10**400), st.floats(), texts, st.just("\ud800"), st.binary()
)
names = st.one_of(texts, st.sampled_from(["plan", "window", "kind", "start", "run_id", "features", "label", "counts"]))
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=6), max_leaves=20
)


@given(value=st.one_of(plans, results, releases, windows))
def test_what_is_written_reads_back_equal(value: Any) -> None:
    assert wire.from_json(type(value), wire.to_json(value)) == value


@given(value=st.one_of(plans, results, releases))
def test_equal_values_give_equal_bytes(value: Any) -> None:
    again = wire.from_json(type(value), wire.to_json(value))
    assert wire.to_json(again) == wire.to_json(value)


@settings(max_examples=300)
@given(cls=st.sampled_from(DOCUMENTS), data=anything)
def test_any_other_value_is_refused_politely(cls: type, data: Any) -> None:
    found = reading(lambda: wire.decode(cls, data))
    assert isinstance(found, cls | str)
    assert not isinstance(found, str) or len(found) < 2000


@settings(max_examples=300)
@given(cls=st.sampled_from(DOCUMENTS), data=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_any_bytes_are_refused_politely(cls: type, data: bytes) -> None:
    for read in (wire.from_json, wire.from_toml):
        found = reading(lambda read=read: read(cls, data))
        assert isinstance(found, cls) or any(word in found for word in ("is not", "fields", "table"))


def reading(read: Callable[[], Any]) -> Any:
    """What was read, or the refusal's text; any other exception fails the test."""
    try:
        return read()
    except WireError as error:
        return str(error)


@given(plan=plans, data=st.data())
def test_one_field_turned_into_something_else_is_refused_by_name(plan: RoundPlan, data: st.DataObject) -> None:
    document = wire.encode(plan)
    name = data.draw(st.sampled_from(sorted(document)))
    wrong = data.draw(st.sampled_from([[], True, "\ud800", float("nan"), 10**400 if name != "steps" else -1, {"a": 1}]))
    if isinstance(wrong, int) and not isinstance(wrong, bool) and isinstance(document[name], int):
        wrong = 0.5
    with pytest.raises(WireError, match=name):
        wire.decode(RoundPlan, document | {name: wrong}, what="plan")


@given(plan=plans, data=st.data())
def test_a_missing_field_is_refused_by_name(plan: RoundPlan, data: st.DataObject) -> None:
    document = wire.encode(plan)
    name = data.draw(st.sampled_from(sorted(document)))
    del document[name]
    with pytest.raises(WireError, match=rf"lacks the fields \['{name}'\]"):
        wire.decode(RoundPlan, document, what="plan")


def test_an_unknown_field_is_refused_by_name() -> None:
    document = {"run_id": 1, "round_number": 1, "base_version": 1, "loss": 0.3}
    with pytest.raises(WireError, match="loss"):
        wire.decode(TrainReport, document)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe{", "not JSON"),
        (b'{"run_id": 1, "run_id": 2, "round_number": 1, "base_version": 1}', "twice"),
        (b'{"run_id": NaN, "round_number": 1, "base_version": 1}', "run_id"),
        (b'{"run_id": 1e400, "round_number": 1, "base_version": 1}', "run_id"),
        (b'{"run_id": ' + b"9" * 5000 + b', "round_number": 1, "base_version": 1}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"run_id": ' + b"[" * 900 + b"]" * 900 + b', "round_number": 1, "base_version": 1}', "run_id"),
        (b'{"run_id": "' + b"x" * 10**6 + b'", "round_number": 1, "base_version": 1}', "run_id"),
        (b"[1]", "table"),
    ],
)
def test_hostile_json_is_refused_in_one_short_line(body: bytes, reason: str) -> None:
    with pytest.raises(WireError, match=reason) as caught:
        wire.from_json(TrainReport, body)
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)


def test_a_record_told_apart_by_kind_refuses_a_kind_that_is_no_word() -> None:
    document = json.loads('{"features": [{"kind": ["number"], "name": "x"}]}')
    with pytest.raises(WireError):
        wire.decode(Task, document, what="task")
    from shared.features import Feature

    hints: Any = Feature
    for kind in (["number"], {"a": 1}, 3, None, "other"):
        with pytest.raises(WireError, match="kind"):
            wire._value(hints, {"kind": kind, "name": "x"}, "feature")


@pytest.mark.parametrize(
    ("start", "end"), [("2013-02-01", "2013-01-01"), ("nonsense", ""), ("2013-01-01", "2013-02-01T00:00+00:00")]
)
def test_a_window_that_is_none_is_refused(start: str, end: str) -> None:
    with pytest.raises(WireError, match="window"):
        wire.decode(Window, {"start": start, "end": end}, what="window")
