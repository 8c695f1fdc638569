"""Rule 3: one prediction more, at any place, changes nothing about which others are kept, teach or are counted."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from machines import small_task
from predicted import NOON

from client.predictions import PredictionLog, Retention
from client.quality import judged, outcome_cells
from client.served import Served, Value
from client.vault import Vault
from shared.tasks import Window

TASK = small_task(groups=("site",))
WINDOW = Window(start="2026-01-08", end="2026-01-10")

values: st.SearchStrategy[Value] = st.one_of(st.none(), st.floats(), st.text(max_size=5))
ids = st.uuids().map(str)
predictions = st.builds(
    Served,
    id=ids,
    at=st.floats(NOON - 4 * 86_400, NOON + 86_400),
    release=st.integers(1, 3),
    version=st.integers(1, 3),
    record=st.dictionaries(st.sampled_from(["load", "hour", "site", "more"]), values),
    scores=st.tuples(st.floats(), st.floats()),
    label=st.none() | st.sampled_from(["runs", "stops", "0.75", "walks"]),
)
retentions = st.builds(Retention, days=st.just(5.0) | st.floats(0.0, 5.0), share=st.just(1.0) | st.floats(0.01, 1.0))


def kept(vault: Vault, retention: Retention, served: Sequence[Served], *, batch: int) -> tuple[list[str], list[str]]:
    """The ids that are kept, and those that teach, once a log has taken the predictions and let old ones go."""
    with tempfile.TemporaryDirectory() as folder:
        log = PredictionLog(Path(folder) / "a.db", vault, retention)
        for start in range(0, len(served), batch):
            log.add(served[start : start + batch])
        log.expire(NOON)
        teaching = [one.id for one in log.judged(WINDOW)]
        assert len(log.labelled(TASK, WINDOW)[1]) == len(teaching)
        found = sorted(one.id for one in log.recent(100)), sorted(teaching)
        log.close()
    return found


@settings(max_examples=60, deadline=None)
@given(
    st.lists(predictions, min_size=6, max_size=12, unique_by=lambda one: one.id),
    predictions,
    st.integers(0, 12),
    st.integers(1, 5),
    retentions,
)
def test_one_prediction_more_moves_no_other(
    others: list[Served], more: Served, place: int, batch: int, retention: Retention
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        vault = Vault(Path(folder) / "vault.key")
        without = kept(vault, retention, others, batch=batch)
        with_one = kept(vault, retention, [*others[:place], more, *others[place:]], batch=batch)
    assert tuple([name for name in names if name != more.id] for names in with_one) == without


@settings(max_examples=60, deadline=None)
@given(st.lists(predictions, max_size=8, unique_by=lambda one: one.id), predictions)
def test_one_prediction_more_adds_one_to_one_cell_at_most(others: list[Served], more: Served) -> None:
    counts: list[np.ndarray] = []
    with tempfile.TemporaryDirectory() as folder:
        for number, served in enumerate((others, [*others, more])):
            log = PredictionLog(Path(folder) / f"{number}.db", Vault(Path(folder) / "vault.key"))
            log.add(served)
            rows = list(judged(log, TASK, WINDOW))
            counts.append(outcome_cells(TASK, rows, np.array([one.scores[-1] for one, _ in rows]), bins=10))
            log.close()
    change = counts[1] - counts[0]
    assert change.min() >= 0
    assert change.sum() in (0, 1)


events = st.lists(
    st.tuples(st.just("add"), st.sets(st.integers(0, 3)))
    | st.tuples(st.just("outcome"), st.integers(0, 3), st.sampled_from(["runs", "stops"])),
    max_size=15,
)


@settings(max_examples=80, deadline=None)
@given(events)
def test_in_whatever_order_things_come_the_last_outcome_of_each_is_joined(happened: list[tuple[object, ...]]) -> None:
    known: set[int] = set()
    last: dict[int, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        log = PredictionLog(Path(folder) / "a.db", Vault(Path(folder) / "vault.key"))
        for event in happened:
            match event:
                case ("add", set(numbers)):
                    known |= numbers
                    log.add([Served(id=f"{n}", at=NOON, release=1, version=1, record={}, scores=()) for n in numbers])
                case ("outcome", int(number), str(label)):
                    last[number] = label
                    assert log.outcome(f"{number}", label) is (number in known)
                case _:
                    raise AssertionError(event)
        assert {int(one.id): one.label for one in log.recent(9)} == {number: last.get(number) for number in known}
        log.close()


@settings(max_examples=100, deadline=None)
@given(predictions)
def test_any_prediction_comes_back_as_it_went(one: Served) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = PredictionLog(Path(folder) / "a.db", Vault(Path(folder) / "vault.key"))
        log.add([one])
        (found,) = log.recent(1)
        log.close()
    assert repr((found.id, found.at, found.record, found.scores, found.label)) == repr(
        (one.id, one.at, one.record, one.scores, one.label)
    )
