"""A prediction: what it takes, what it refuses by name, and what it loads."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from asking import make_home
from machines import small_task
from numpy.typing import NDArray
from releasing import Works, build_works, some_weights

from client.inference import Predictor
from client.selftest import try_release
from server.export import export
from shared.architecture import size
from shared.errors import ContractError, ReleaseError
from shared.features import Cycle, Number
from shared.lifecycle import Gates
from shared.synthetic import make_columns, to_records
from shared.tasks import Task


@pytest.fixture(scope="module")
def works(tmp_path_factory: pytest.TempPathFactory) -> Works:
    works = build_works(tmp_path_factory.mktemp("works"))
    works.publish(seed=1)
    works.check()
    return works


@pytest.fixture
def predictor(works: Works) -> Predictor:
    return Predictor(works.home)


def test_a_prediction_names_the_likeliest_class_and_its_source(predictor: Predictor) -> None:
    prediction = predictor.predict({"load": 0.9, "hour": 12, "site": "north"})
    assert prediction.scores[prediction.label] == max(prediction.scores.values())
    assert sum(prediction.scores.values()) == pytest.approx(1)
    assert (prediction.release, prediction.model_version) == (1, 1)


def test_one_record_and_many_agree(works: Works, predictor: Predictor) -> None:
    columns = make_columns(works.task, 200, seed=4, wild=True)
    many = predictor.predict_many(columns)
    assert np.allclose(predictor.predict_alone(columns), many, atol=1e-6)
    one = [list(predictor.predict(record).scores.values()) for record in to_records(columns)]
    np.testing.assert_allclose(many, one, atol=1e-6)


def test_missing_fields_and_none_are_the_same(predictor: Predictor) -> None:
    assert predictor.predict({}).scores == predictor.predict({"load": None, "hour": None, "site": None}).scores


REFUSED = {
    "unknown": ({"lode": 0.5}, r"no field \['lode'\]"),
    "words for a number": ({"load": "0.5"}, "'load' takes a number, got str"),
    "a truth for a number": ({"load": True}, "'load' takes a number, got bool"),
    "a list for a number": ({"load": [0.5]}, "'load' takes a number, got list"),
    "a number too large": ({"load": 10**400}, "'load' takes a number, got int"),
    "a number for words": ({"site": 3.0}, "'site' takes words, got float"),
    "bytes for words": ({"site": b"north"}, "'site' takes words, got bytes"),
    "half a character": ({"site": "\ud800"}, "'site' takes words, got str"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_field_that_breaks_the_contract_is_named(case: str, predictor: Predictor) -> None:
    record, words = REFUSED[case]
    with pytest.raises(ContractError, match=words):
        predictor.predict(record)  # type: ignore[arg-type]
    with pytest.raises(ContractError):
        predictor.predict_many({name: np.array([value], dtype=object) for name, value in record.items()})


@pytest.mark.parametrize("value", [1e300, -1e300, float("inf"), float("nan"), 7, np.float32(0.5), np.int64(3)])
def test_any_number_is_answered(value: float, predictor: Predictor) -> None:
    assert sum(predictor.predict({"load": value, "hour": value}).scores.values()) == pytest.approx(1)


def test_columns_of_different_lengths_are_refused(predictor: Predictor) -> None:
    with pytest.raises(ContractError, match="differ in length"):
        predictor.predict_many({"load": [0.5], "hour": [1.0, 2.0]})


def test_no_rows_give_no_answers(predictor: Predictor) -> None:
    assert predictor.predict_many({"load": []}).shape == (0, 2)
    assert predictor.predict_many({}).shape == (0, 2)


def test_columns_may_hold_none_and_library_strings(predictor: Predictor) -> None:
    scores = predictor.predict_many({"load": [0.5, None], "site": np.array(["north", "south"])})
    assert scores[0].tolist() == pytest.approx(
        list(predictor.predict({"load": 0.5, "site": "north"}).scores.values()), abs=1e-6
    )
    assert scores[1].tolist() == pytest.approx(list(predictor.predict({"site": "south"}).scores.values()), abs=1e-6)


def test_threads_may_share_a_predictor(works: Works, predictor: Predictor) -> None:
    records = to_records(make_columns(works.task, 200, seed=1))
    alone = [predictor.predict(record).scores for record in records]
    with ThreadPoolExecutor(4) as pool:
        assert [found.scores for found in pool.map(predictor.predict, records)] == alone


def test_a_release_directory_answers_by_itself(works: Works, predictor: Predictor) -> None:
    alone = Predictor(works.place.releases / "1")
    assert alone.predict({"load": 0.2}).scores == predictor.predict({"load": 0.2}).scores


def test_a_prediction_loads_no_training_and_no_trust(works: Works) -> None:
    heavy = ("onnx", "torch", "tuf", "httpx", "flwr", "polars", "opacus", "cryptography")
    code = (
        "import sys; from pathlib import Path; from client.inference import Predictor;"
        f"Predictor(Path({str(works.home.path)!r})).predict({{}});"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_prepared_record_is_answered_as_a_record(tmp_path: Path) -> None:
    task = small_task(features=(Number(name="load", low=0.0, high=1.0, missing=0.5), Cycle(name="hour", period=24.0)))
    predictor = Predictor(make_home(tmp_path / "h", task))
    for record in ({"load": 0.3, "hour": 7.0}, {"load": None, "hour": 8.0}):
        numbers = np.array([[np.nan if value is None else value for value in record.values()]], dtype=np.float32)
        assert predictor.predict_prepared(numbers).scores == predictor.predict(record).scores
    for wrong in (numbers[0], numbers.astype(np.float64), np.zeros((1, 3), np.float32), np.zeros((2, 2), np.float32)):
        with pytest.raises(ContractError, match="float32 of shape"):
            predictor.predict_prepared(wrong)


def test_a_task_with_words_takes_no_prepared_numbers_alone(predictor: Predictor) -> None:
    with pytest.raises(ContractError, match="1 words"):
        predictor.predict_prepared(np.zeros((1, 2), np.float32))


def test_threads_may_share_a_predictor_of_numbers(tmp_path: Path) -> None:
    """Numbers lie in memory that is bound once: each thread must have its own."""
    task = small_task(features=(Number(name="load", low=0.0, high=1.0, missing=0.5),))
    predictor = Predictor(make_home(tmp_path / "h", task))
    records = [{"load": row / 500} for row in range(500)]
    alone = [predictor.predict(record).scores for record in records]
    assert len({tuple(scores.values()) for scores in alone}) > 400
    with ThreadPoolExecutor(4) as pool:
        assert [found.scores for found in pool.map(predictor.predict, records)] == alone


def test_rows_are_named_each(predictor: Predictor) -> None:
    found = predictor.predict_rows({"load": [0.1, 0.9], "site": ["north", None]})
    assert len({one.id for one in found}) == 2
    assert found[1].scores == pytest.approx(predictor.predict({"load": 0.9}).scores, abs=1e-6)
    assert predictor.predict_rows({}) == []


def test_a_prediction_is_explained_by_the_columns_that_moved_it(predictor: Predictor) -> None:
    found = predictor.explain({"load": 0.9, "site": "north"})
    assert found.keys() == {"load", "hour", "site"}
    assert any(found.values())
    assert predictor.explain({}).keys() == found.keys()


def trial(works: Works, task: Task, weights: NDArray[np.float32]) -> None:
    try_release(task, works.draft(1), export(task, weights, version=1))


def test_a_release_that_is_slow_here_is_refused(works: Works) -> None:
    slow = replace(works.task, gates=Gates(max_latency_us=0.001))
    with pytest.raises(ReleaseError, match="a record takes"):
        trial(works, slow, some_weights(slow, seed=1))


def test_a_model_that_answers_no_probabilities_is_refused(works: Works) -> None:
    with pytest.raises(ReleaseError, match="not probabilities"):
        trial(works, works.task, np.full(size(works.task), 3e38, np.float32))


def test_a_model_of_another_task_is_refused(works: Works) -> None:
    other = replace(works.task, features=works.task.features[:2])
    model = export(other, some_weights(other, seed=1), version=1)
    with pytest.raises(ReleaseError, match="does not answer"):
        try_release(works.task, works.draft(1), model)
