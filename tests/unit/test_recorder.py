"""What keeps predictions for their outcome: bounded, off the path, and never in the way."""

from contextlib import closing
from pathlib import Path

import pytest
from asking import make_home

from client import recorder as recording
from client.config import AgentHome
from client.inference import Predictor
from client.predictions import PredictionLog
from client.recorder import Recorder
from client.served import Served
from client.vault import Vault
from shared.errors import ContractError, InputError

RECORD = {"load": 0.9, "hour": 12.0, "site": "north"}
NEVER = 3600.0


@pytest.fixture
def home(tmp_path: Path) -> AgentHome:
    return make_home(tmp_path / "h")


def kept(home: AgentHome) -> list[Served]:
    with closing(PredictionLog(home.task("machines").predictions, Vault.open(home))) as log:
        return log.recent(100)


def test_what_was_predicted_is_written_at_the_close(home: AgentHome) -> None:
    with Recorder(home.task("machines"), every=NEVER) as recorder:
        predictor = Predictor(home, recorder=recorder)
        answers = [predictor.predict(RECORD | {"hour": hour}) for hour in range(3)]
        assert kept(home) == []
    found = kept(home)[::-1]
    assert [one.id for one in found] == [answer.id for answer in answers]
    assert [one.record["hour"] for one in found] == [0, 1, 2]
    assert [one.scores for one in found] == [tuple(answer.scores.values()) for answer in answers]


def test_an_outcome_finds_a_prediction_that_was_not_written_yet(home: AgentHome) -> None:
    with Recorder(home.task("machines"), every=NEVER) as recorder:
        predictor = Predictor(home, recorder=recorder)
        assert predictor.outcome(predictor.predict(RECORD).id, "stops") is True
        assert predictor.outcome("unheard", "stops") is False
        with pytest.raises(ContractError, match="one of"):
            predictor.outcome("unheard", "flies")
    assert [one.label for one in kept(home)] == ["stops"]


def test_a_record_that_its_owner_changes_later_is_kept_as_it_was(home: AgentHome) -> None:
    with Recorder(home.task("machines"), every=NEVER) as recorder:
        record = dict(RECORD)
        Predictor(home, recorder=recorder).predict(record)
        record["load"] = 0.0
    assert kept(home)[0].record == RECORD


def test_nothing_is_kept_without_a_recorder(home: AgentHome) -> None:
    predictor = Predictor(home)
    with pytest.raises(InputError, match="without a recorder"):
        predictor.outcome(predictor.predict(RECORD).id, "stops")
    assert not home.task("machines").predictions.exists()


def test_memory_is_bounded_and_what_is_dropped_is_counted(home: AgentHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "CAPACITY", 5)
    with Recorder(home.task("machines"), every=NEVER) as recorder:
        predictor = Predictor(home, recorder=recorder)
        for _ in range(8):
            predictor.predict(RECORD)
        assert recorder.dropped == 3
    assert len(kept(home)) == 5


def test_what_could_not_be_written_is_written_once_it_can_be(home: AgentHome) -> None:
    place = home.task("machines")
    place.predictions.mkdir()
    with Recorder(place, every=NEVER) as recorder:
        Predictor(home, recorder=recorder).predict(RECORD)
        recorder.flush()
        place.predictions.rmdir()
    assert len(kept(home)) == 1


def test_ids_differ_after_a_fork_and_between_predictions(home: AgentHome) -> None:
    import os

    predictor = Predictor(home)
    mine = {predictor.predict(RECORD).id for _ in range(100)}
    ready, told = os.pipe()
    if (child := os.fork()) == 0:
        os.write(told, predictor.predict(RECORD).id.encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(told)
    theirs = os.read(ready, 100).decode()
    os.close(ready)
    assert len(mine) == 100
    assert theirs.partition("-")[0] not in {one.partition("-")[0] for one in mine}
