"""From a candidate to a release, and back."""

import json
from pathlib import Path

import numpy as np
import pytest
from machines import small_task
from releasing import Works, build_works

from client.inference import Predictor
from server.promotion import promote, withdraw
from server.records import CampaignRequest
from server.releases import current_release_number, published_releases, signed_files
from shared.errors import InputError, ReleaseError
from shared.lifecycle import Gates
from shared.rounds import RoundPlan, RoundResult
from shared.tasks import Window

FEBRUARY = Window(start="2026-02-01", end="2026-03-01")


@pytest.fixture
def works(tmp_path: Path) -> Works:
    return build_works(tmp_path)


def commit_round(works: Works) -> int:
    """A version that a run over February made."""
    training, weights = works.task.training, np.zeros(0, np.float32)
    request = CampaignRequest(
        task="machines", window=FEBRUARY, training=training, base_version=1, quorum=1, cohort=1, deadline_seconds=1.0
    )
    run = works.store.queue_run("machines", "train", request)
    plan = RoundPlan(
        run_id=run, number=1, task="machines", revision=1, base_version=works.add_version(1), window=FEBRUARY,
        sample_rate=0.1, steps=1, normalizer=1.0, learning_rate=0.1, max_grad_norm=1.0, noise_multiplier=1.0,
        max_update_norm=1.0,
    )  # fmt: skip
    result = RoundResult(
        plan=plan, cohort=("a",), returned=("a",), started_at=0.0, finished_at=1.0, outcome="committed"
    )
    body = works.store.weights(plan.base_version)
    return works.store.commit_round(result, weights=body, momentum=weights.tobytes(), revision=1).number


def test_a_promoted_version_is_signed_recorded_and_audited(works: Works) -> None:
    release = works.promote(seed=1)
    assert works.store.releases() == published_releases(works.federation, "machines") == [release]
    assert works.store.version(release.version).stage == "released"
    assert set(release.artifacts) == {"fp32", "task"}
    assert all(verdict["passed"] for verdict in json.loads(works.store.gates(release.number)))
    assert works.store.audit_log()[0].act == "promote"


def test_a_release_says_which_rows_its_run_asked_for(works: Works) -> None:
    assert promote(works.federation, works.store, works.task, commit_round(works)).trained_on == FEBRUARY


GATES = {
    "size: expected at most 100 bytes": Gates(max_bytes=100),
    "int8 loss: expected at most 1e-09": Gates(max_int8_loss=1e-9),
    "parity with torch: expected at most 0": Gates(max_parity_error=0.0),
    "latency: expected at most 0.001 us": Gates(max_latency_us=0.001),
}


@pytest.mark.parametrize("figure", GATES)
def test_a_failing_gate_names_its_figure_and_nothing_is_signed(figure: str, tmp_path: Path) -> None:
    works = build_works(tmp_path, small_task(gates=GATES[figure]))
    with pytest.raises(ReleaseError, match=f"{figure}, found "):
        works.promote(seed=1)
    assert current_release_number(works.federation) == 0
    assert works.store.releases() == []
    assert works.store.versions()[0].stage == "candidate"


def test_a_version_of_another_revision_is_refused(works: Works) -> None:
    version = works.add_version(1)
    with pytest.raises(InputError, match="trained for revision 1"):
        promote(works.federation, works.store, small_task(revision=2), version)


def test_a_version_of_another_task_is_refused(works: Works) -> None:
    version = works.add_version(1)
    with pytest.raises(InputError, match="belongs to task 'machines'"):
        promote(works.federation, works.store, small_task(name="others"), version)


def test_withdrawing_signs_the_older_weights_as_a_newer_release(works: Works) -> None:
    first, second = works.promote(seed=1), works.promote(seed=2)
    works.check()
    third = withdraw(works.federation, works.store, works.task, second.number)
    assert (third.number, third.version) == (3, first.version)
    assert signed_files(works.federation, third) == signed_files(works.federation, first)
    assert works.store.version(second.version).stage == "withdrawn"
    assert json.loads(works.store.gates(3)) == json.loads(works.store.gates(1))
    assert works.check() == 3
    assert Predictor(works.home).predict({}).model_version == first.version


def test_withdrawing_what_no_longer_serves_only_marks_it(works: Works) -> None:
    first, second = works.promote(seed=1), works.promote(seed=2)
    assert withdraw(works.federation, works.store, works.task, first.number) == second
    assert works.store.version(first.version).stage == "withdrawn"
    assert current_release_number(works.federation) == 2


def test_the_only_release_cannot_be_withdrawn(works: Works) -> None:
    release = works.promote(seed=1)
    with pytest.raises(ReleaseError, match="no earlier one"):
        withdraw(works.federation, works.store, works.task, release.number)
    assert works.store.version(release.version).stage == "released"


def test_a_withdrawn_version_is_not_gone_back_to(works: Works) -> None:
    for seed in (1, 2, 3):
        works.promote(seed=seed)
    withdraw(works.federation, works.store, works.task, 2)
    assert withdraw(works.federation, works.store, works.task, 3).version == works.store.releases()[0].version


def test_a_withdrawn_version_is_not_promoted_again(works: Works) -> None:
    works.promote(seed=1)
    second = works.promote(seed=2)
    withdraw(works.federation, works.store, works.task, second.number)
    with pytest.raises(InputError, match="was withdrawn"):
        promote(works.federation, works.store, works.task, second.version)


def test_a_release_nobody_made_cannot_be_withdrawn(works: Works) -> None:
    with pytest.raises(InputError, match="no release 7"):
        withdraw(works.federation, works.store, works.task, 7)
