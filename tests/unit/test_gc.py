"""What is dropped is referred to by nothing, whatever else there is; what was dropped says so."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from releasing import Works, build_works
from trained import JANUARY, campaign, commit, evaluate

from server.collecting import collect, plan
from server.history import read_history
from server.promotion import promote, withdraw
from server.records import ACTIVE, CampaignRequest
from server.store import Store
from shared import wire
from shared.errors import InputError


@pytest.fixture
def works(tmp_path: Path) -> Works:
    return build_works(tmp_path)


def there(store: Store) -> set[int]:
    """The versions whose weights are still there."""
    history = read_history(store)
    return set(history.versions) - history.collected


def test_what_is_referred_to_stays_and_all_else_goes(works: Works) -> None:
    first = works.add_version(1)
    one = campaign(works, first, 6)
    promote(works.federation, works.store, works.task, one[2])
    evaluate(works, one[0])
    two = campaign(works, one[3], 2)
    found = collect(works.store)
    assert there(works.store) == {first, one[0], one[2], one[3], two[-1]}
    assert found.versions == (one[1], one[4], one[5], two[0])
    assert found.kept == {
        first: "run 1 starts from it",
        one[0]: f"evaluation {100 + one[0]}",
        one[2]: "release 1",
        one[3]: "run 2 starts from it",
        two[-1]: "the newest of machines, revision 1",
    }


def test_the_rows_of_what_was_dropped_stay(works: Works) -> None:
    made = campaign(works, works.add_version(1), 4)
    before = works.store.versions(), works.store.rounds(), works.store.lineages()
    collect(works.store)
    assert (works.store.versions(), works.store.rounds(), works.store.lineages()) == before
    with pytest.raises(InputError, match=f"the weights of version {made[0]} were collected"):
        works.store.weights(made[0])


def test_a_withdrawn_release_stays(works: Works) -> None:
    first, second = works.promote(seed=1), works.promote(seed=2)
    withdraw(works.federation, works.store, works.task, second.number)
    for seed in range(3, 6):
        works.add_version(seed)
    collect(works.store)
    assert there(works.store) == {first.version, second.version, 5}


def test_a_run_under_way_keeps_all_that_it_needs(works: Works) -> None:
    request = CampaignRequest(
        task="machines", window=JANUARY, training=works.task.training, base_version=works.add_version(1), quorum=1,
        cohort=3, deadline_seconds=1.0,
    )  # fmt: skip
    run = works.store.queue_run("machines", "train", request)
    made = [commit(works, run, 1, 1)]
    made.append(commit(works, run, 2, made[0]))
    newest = works.add_version(2)
    assert collect(works.store).kept[made[-1]] == f"run {run} goes on from it"
    assert there(works.store) == {1, made[-1], newest}
    assert works.store.momentum(run)
    works.store.set_run_state(run, "finished")
    collect(works.store)
    assert works.store.momentum(run) == b"", "an optimizer's state is of no use once its run has ended"


def test_weights_that_come_again_are_whole_again(works: Works) -> None:
    first = works.add_version(1)
    works.add_version(2)
    weights = works.store.weights(first)
    assert collect(works.store).versions == (first,)
    again = works.add_version(1)
    assert works.store.weights(again) == weights == works.store.weights(first)


def test_a_file_gets_smaller_and_a_second_look_finds_nothing(works: Works) -> None:
    works.add_version(1)
    for number in range(40):
        works.store.add_initial_version("machines", 1, bytes([number]) * 100_000)
    found = plan(works.store)
    assert found.bytes == 39 * 100_000 + len(works.store.weights(1))
    before = works.federation.database.stat().st_size
    assert collect(works.store) == found
    works.store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert works.federation.database.stat().st_size < before / 4
    assert plan(works.store).addresses == ()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("campaign"), st.integers(0, 20), st.integers(1, 4)),
        st.tuples(st.just("running"), st.integers(0, 20), st.integers(1, 3)),
        st.tuples(st.just("begin"), st.just(0), st.integers(2, 4)),
        st.tuples(st.just("promote"), st.integers(0, 20), st.just(0)),
        st.tuples(st.just("evaluate"), st.integers(0, 20), st.just(0)),
        st.tuples(st.just("collect"), st.just(0), st.just(0)),
    ),
    max_size=8,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS)
def test_nothing_that_is_referred_to_is_ever_dropped(steps: list[tuple[str, int, int]]) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        works = build_works(folder)
        works.add_version(1)
        for act, at, length in steps:
            take(works, act, at, length)
        weights = {number: works.store.weights(number) for number in there(works.store)}
        collect(works.store)
        needed = referred_to(works.store) & set(weights)
        assert needed <= there(works.store)
        assert {number: works.store.weights(number) for number in needed} == {n: weights[n] for n in needed}
    finally:
        shutil.rmtree(folder)


def take(works: Works, act: str, at: int, length: int) -> None:
    """One step of a federation's life, from a version whose weights are there."""
    whole = sorted(there(works.store))
    version = whole[at % len(whole)]
    if act == "collect":
        collect(works.store)
    elif act == "evaluate" and not works.store.evaluations(version=version):
        evaluate(works, version)
    elif act == "begin":
        works.add_version(length)
    elif act == "promote" and not works.store.releases():
        works.store.add_release(works.draft(version), ())
    elif act in ("campaign", "running") and not works.store.runs(*ACTIVE):
        campaign(works, version, length)
        if act == "running":
            works.store.set_run_state(works.store.runs()[-1].id, "running")


def referred_to(store: Store) -> set[int]:
    """Said once more, straight from the rows: what anything names."""
    versions = store.versions()
    named = {release.version for release in store.releases()} | {result.version for result in store.evaluations()}
    for run in store.runs():
        named.add(wire.from_json(CampaignRequest, run.request.encode()).base_version)
        if run.state in ACTIVE:
            named.add(max((v.number for v in versions if v.run_id == run.id), default=1))
    return named | {max(v.number for v in versions)}
