"""The local endpoint with real models: what it answers, in JSON and in Arrow, and what comes of a prediction."""

import io
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import nanoarrow
import numpy as np
import pytest
from asking import Asker, make_home
from coordinator import ROOT
from machines import small_task
from nanoarrow.ipc import StreamWriter

from client.config import AgentHome
from client.inference import Predictor
from client.predictions import PredictionLog
from client.serving.service import PredictionService
from client.vault import Vault
from shared.contract import Contract, NumberRule, WordRule

ARROW = "application/vnd.apache.arrow.stream"
RECORD = {"load": 0.9, "hour": 12, "site": "north"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentHome]:
    task = small_task(contract=Contract(columns=(NumberRule(name="load", low=0.0, high=2.0), WordRule(name="site"))))
    home = make_home(tmp_path_factory.mktemp("a") / "h", task)
    with PredictionService(home):
        yield home


@pytest.fixture
def asker(home: AgentHome) -> Asker:
    return Asker(home.socket)


def to_arrow(columns: dict[str, tuple[Any, Any]]) -> bytes:
    children = [nanoarrow.c_array(values, kind) for values, kind in columns.values()]
    kinds = nanoarrow.struct({name: kind for name, (_, kind) in columns.items()})
    rows = len(next(iter(columns.values()))[0])
    out = io.BytesIO()
    with StreamWriter.from_writable(out) as writer:
        writer.write_stream(nanoarrow.c_array_from_buffers(kinds, length=rows, buffers=[None], children=children))
    return out.getvalue()


def test_one_record_is_answered_as_in_process(home: AgentHome, asker: Asker) -> None:
    found = asker.ask("/v1/predict", RECORD)
    expected = Predictor(home).predict(RECORD)
    assert found.status == 200
    assert found.json["scores"] == expected.scores
    assert (found.json["label"], found.json["release"], found.json["model_version"]) == (expected.label, 1, 1)
    assert found.json["id"]


def test_a_task_may_be_named(asker: Asker) -> None:
    assert asker.ask("/v1/tasks/machines/predict", RECORD).json["release"] == 1
    assert "it has ['machines']" in asker.ask("/v1/tasks/engines/predict", RECORD).json["error"]


def test_many_rows_in_json_and_arrow_agree_with_one_by_one(home: AgentHome, asker: Asker) -> None:
    rows = [{"load": 0.1, "hour": 3.0, "site": "north"}, {"load": None, "hour": 7.0, "site": None}]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    found = asker.ask("/v1/predict-many", {"columns": columns}).json["predictions"]
    stream = to_arrow(
        {
            "load": (columns["load"], nanoarrow.float64()),
            "hour": (columns["hour"], nanoarrow.float32()),
            "site": (columns["site"], nanoarrow.string()),
        }
    )
    reply = asker.ask("/v1/predict-many", stream, content_type=ARROW)
    assert reply.media_type == ARROW
    table = nanoarrow.ArrayStream.from_readable(reply.body).read_all()
    names = [field.name for field in table.schema.fields]
    assert names == ["id", "label", "score.runs", "score.stops"]
    expected = [list(Predictor(home).predict(row).scores.values()) for row in rows]
    assert np.allclose([list(one["scores"].values()) for one in found], expected, atol=1e-6)
    assert np.allclose(np.array([table.child(2).to_pylist(), table.child(3).to_pylist()]).T, expected, atol=1e-6)
    assert len({one["id"] for one in found} | set(table.child(0).to_pylist())) == 4


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "unknown": ({"lode": 1}, "lode", "knows no field"),
    "wrong type": ({"load": "much"}, "load", "must be a number"),
    "truth": ({"hour": True}, "hour", "takes a number"),
    "out of range": ({"load": 7}, "load", "must lie between 0 and 2"),
    "nested": ({"hour": [1]}, "hour", "takes a number"),
    "too large": ({"hour": 10**400}, "hour", "takes a number"),
    "half a letter": ({"site": "\ud800"}, "site", "takes words"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_row_that_breaks_the_contract_is_named(case: str, asker: Asker) -> None:
    record, field, words = REFUSED[case]
    alone = asker.ask("/v1/predict", record)
    assert (alone.status, alone.json["field"]) == (422, field)
    assert words in alone.json["error"]
    ((name, value),) = record.items()
    many = asker.ask("/v1/predict-many", {"columns": {name: [None, value]}})
    assert (many.status, many.json["field"]) == (422, field)
    assert many.json.get("row", 1) == 1
    assert ("row" in many.json) == (case != "unknown")


def test_health_and_tasks_and_metrics_tell_what_serves(asker: Asker) -> None:
    assert asker.ask("/v1/health").json == {"ready": True, "waiting": []}
    (one,) = asker.ask("/v1/tasks").json["tasks"]
    assert (one["task"], one["release"], one["classes"]) == ("machines", 1, ["runs", "stops"])
    asker.ask("/v1/predict", RECORD)
    metrics = asker.ask("/v1/metrics").body.decode()
    assert 'covey_release{task="machines"} 1.0' in metrics
    assert 'covey_requests_total{status="200",task="machines"}' in metrics


def test_a_release_without_a_graph_for_it_cannot_explain_and_says_so(asker: Asker) -> None:
    found = asker.ask("/v1/explain", RECORD)
    assert found.status == 503
    assert "cannot be explained here yet" in found.json["error"]


def test_an_outcome_finds_its_prediction(tmp_path: Path) -> None:
    home = make_home(tmp_path / "h")
    with PredictionService(home):
        asker = Asker(home.socket)
        prediction = asker.ask("/v1/predict", RECORD).json["id"]
        assert asker.ask("/v1/outcome", {"id": prediction, "label": "stops"}).json["joined"] is True
        assert asker.ask("/v1/outcome", {"id": "unheard", "label": "stops"}).json["joined"] is False
        assert asker.ask("/v1/outcome", {"id": prediction, "label": "flies"}).json["field"] == "label"
        assert asker.ask("/v1/outcome", {"id": prediction}).status == 400
        asker.ask("/v1/predict-many", {"columns": {"load": [0.25, 0.5]}})
    with closing(PredictionLog(home.task("machines").predictions, Vault.open(home))) as log:
        (second, first, kept) = log.recent(10)
    assert (kept.id, kept.label, kept.release, kept.record) == (prediction, "stops", 1, RECORD)
    assert [one.record for one in (first, second)] == [{"load": 0.25}, {"load": 0.5}]


def test_several_tasks_answer_each_by_its_own_release(tmp_path: Path) -> None:
    home = make_home(tmp_path / "h")
    with PredictionService(home) as service:
        asker = Asker(home.socket)
        with home.settings_file.open("a") as policy:
            policy.write('\n[tasks.engines]\ndata = ""\n')
        service.reload()
        assert asker.ask("/v1/predict", RECORD).status == 404
        assert asker.ask("/v1/tasks/machines/predict", RECORD).status == 200
        waiting = asker.ask("/v1/tasks/engines/predict", RECORD)
        assert (waiting.status, asker.ask("/v1/health").status) == (503, 503)
        assert "'engines' has no release" in waiting.json["error"]


def test_a_service_loads_no_training_no_trust_and_no_framework(tmp_path: Path) -> None:
    home = make_home(tmp_path / "h")
    heavy = ("onnx", "torch", "tuf", "httpx", "flwr", "polars", "opacus", "opendp", "fastapi", "pydantic", "nanoarrow")
    code = (
        "import sys; from pathlib import Path; from client.config import AgentHome;"
        "from client.serving.service import PredictionService; import socket;"
        f"home = AgentHome(Path({str(home.path)!r})); service = PredictionService(home); service.start();"
        "one = socket.socket(socket.AF_UNIX); one.connect(str(home.socket)); one.sendall(b'POST /v1/predict HTTP/1.1\\r\\ncontent-type: application/json"
        "\\r\\ncontent-length: 2\\r\\n\\r\\n{}'); assert b' 200 ' in one.recv(9999); one.close(); service.stop();"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
