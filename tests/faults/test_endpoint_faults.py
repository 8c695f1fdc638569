"""The local endpoint while releases change, do badly, or the process dies: no request fails or mixes releases."""

import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from asking import Asker, connect, make_home, put_release
from coordinator import ROOT, until
from machines import small_task
from onnx import TensorProto, helper

from client.config import AgentHome
from client.inference import Predictor
from client.installed import point_to
from client.serving.service import PredictionService
from client.serving.watch import ERRORS, WINDOW, Watch
from client.standing import marks
from shared.lifecycle import Gates

RECORD = {"load": 0.9, "hour": 12.0, "site": "north"}


def test_no_request_fails_or_mixes_releases_while_they_change(tmp_path: Path) -> None:
    home = make_home(tmp_path / "h", releases=2)
    place = home.task("machines")
    expected = {n: Predictor(place.releases / str(n)).predict(RECORD).scores for n in (1, 2)}
    assert expected[1] != expected[2]
    found: list[tuple[int, Any]] = []
    with PredictionService(home, record=False) as service:
        askers = [threading.Thread(target=lambda: found.extend(ask_often(home, 400))) for _ in range(3)]
        for one in askers:
            one.start()
        for swap in range(60):
            point_to(place, 2 - swap % 2)
            service.reload()
        for one in askers:
            one.join()
        assert service.pool.swaps == 60
    assert [status for status, _ in found] == [200] * 1200
    for _, answer in found:
        assert answer["scores"] == expected[answer["release"]]
        assert answer["model_version"] == answer["release"]


def ask_often(home: AgentHome, times: int) -> list[tuple[int, Any]]:
    asker = Asker(home.socket)
    replies = [asker.ask("/v1/predict", RECORD) for _ in range(times)]
    return [(reply.status, reply.json) for reply in replies]


def test_a_moved_pointer_is_noticed_without_being_told(tmp_path: Path) -> None:
    home = make_home(tmp_path / "h", releases=2)
    with PredictionService(home, record=False):
        asker = Asker(home.socket)
        point_to(home.task("machines"), 2)
        until(lambda: asker.ask("/v1/predict", {}).json["release"] == 2)


def test_a_release_that_does_not_load_leaves_the_one_before(tmp_path: Path) -> None:
    home = make_home(tmp_path / "h")
    place = home.task("machines")
    with PredictionService(home, record=False) as service:
        (place.releases / "1" / "fp32.onnx").write_bytes(b"damaged")
        put_release(place, 2, model=b"no model at all")
        point_to(place, 2)
        service.reload()
        assert Asker(home.socket).ask("/v1/predict", {}).json["release"] == 1


def raises(task_numbers: int) -> bytes:
    """A model that opens and then fails on every record: it reshapes to what does not fit."""
    return tiny(task_numbers, [helper.make_node("Reshape", ["numbers", "shape"], ["scores"])], shape=[7, 7])


def answers_nan(task_numbers: int) -> bytes:
    """A model whose scores are not finite."""
    nodes = [helper.make_node("Sub", ["numbers", "numbers"], ["zero"]), helper.make_node("Log", ["zero"], ["scores"])]
    return tiny(task_numbers, nodes, shape=[1])


def tiny(numbers: int, nodes: list[Any], *, shape: list[int]) -> bytes:
    inputs = [helper.make_tensor_value_info("numbers", TensorProto.FLOAT, ["rows", numbers])]
    inputs.append(helper.make_tensor_value_info("texts", TensorProto.STRING, ["rows", 1]))
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", "classes"])]
    constants = [onnx.numpy_helper.from_array(np.array(shape, np.int64), "shape")]
    graph = helper.make_graph(nodes, "bad", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9).SerializeToString()


@pytest.mark.parametrize("model", [raises, answers_nan])
def test_a_release_that_has_no_answers_is_put_aside_and_the_one_before_answers(
    model: Callable[[int], bytes], tmp_path: Path
) -> None:
    home = make_home(tmp_path / "h")
    place = home.task("machines")
    put_release(place, 2, model=model(2))
    point_to(place, 2)
    with PredictionService(home, record=False):
        asker = Asker(home.socket)
        statuses = [asker.ask("/v1/predict", RECORD).status for _ in range(ERRORS)]
        assert statuses == [500] * ERRORS
        until(lambda: asker.ask("/v1/predict", RECORD).status == 200)
        assert asker.ask("/v1/predict", RECORD).json["release"] == 1
    assert [mark.release for mark in marks(place)] == [2]
    assert (place.releases / "current").read_text() == "2\n", "what was accepted, and so is reported, stays"


def test_a_release_that_is_too_slow_is_put_aside_and_two_do_not_take_turns(tmp_path: Path) -> None:
    task = replace(small_task(), gates=Gates(max_latency_us=0.001))
    home = make_home(tmp_path / "h", task, releases=2)
    place = home.task("machines")
    point_to(place, 2)
    with PredictionService(home, record=False) as service:
        asker = Asker(home.socket)
        for _ in range(WINDOW):
            asker.ask("/v1/predict", RECORD)
        until(lambda: asker.ask("/v1/predict", RECORD).json["release"] == 1)
        for _ in range(2 * WINDOW):
            asker.ask("/v1/predict", RECORD)
        service.reload()
        settled, swaps = asker.ask("/v1/predict", RECORD).json["release"], service.pool.swaps
        for _ in range(2 * WINDOW):
            assert asker.ask("/v1/predict", RECORD).json["release"] == settled
        service.reload()
        assert service.pool.swaps == swaps
    assert sorted(mark.release for mark in marks(place)) == [1, 2]


def test_a_watch_speaks_once_and_not_of_a_single_mishap() -> None:
    watch = Watch(limit_us=100.0)
    assert [watch.had_none() for _ in range(ERRORS - 1)] == [None] * (ERRORS - 1)
    assert [watch.answered(50.0) for _ in range(WINDOW)] == [None] * WINDOW
    spoken = [watch.answered(500.0) for _ in range(3 * WINDOW)]
    assert len([reason for reason in spoken if reason]) == 1


def test_requests_wait_on_a_passed_socket_while_the_service_restarts(tmp_path: Path) -> None:
    """As systemd does it: the listening socket outlives the process, so a caller only waits."""
    from client.serving.sockets import listen_at

    home = make_home(tmp_path / "h")
    with listen_at(home.socket) as held, connect(home.socket) as half:
        first = serve(home, held.fileno())
        assert Asker(home.socket).ask("/v1/predict", RECORD).status == 200
        half.sendall(b"POST /v1/predict HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: 40\r\n\r\n{")
        first.send_signal(signal.SIGKILL)
        first.wait()
        half.settimeout(10)
        # The kernel resets the connection where the killed process had not read all of the request.
        with suppress(ConnectionResetError):
            assert half.recv(100) == b"", "a request that was cut off gets no answer, not a wrong one"
        waiting = connect(home.socket)
        with waiting:
            body = json.dumps(RECORD).encode()
            head = (
                f"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
            )
            waiting.sendall(head.encode() + b"\r\n\r\n" + body)
            second = serve(home, held.fileno())
            assert waiting.recv(65536).startswith(b"HTTP/1.1 200")
        second.send_signal(signal.SIGTERM)
        assert second.wait(10) == 0
    assert home.socket.exists(), "a passed socket is not ours to remove"


def serve(home: AgentHome, descriptor: int) -> subprocess.Popen[bytes]:
    code = (
        "import os, signal, sys; from pathlib import Path; from threading import Event;"
        f"os.dup2({descriptor}, 3); os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1');"
        "from client.config import AgentHome; from client.serving.service import PredictionService;"
        "done = Event(); signal.signal(signal.SIGTERM, lambda *_: done.set());"
        f"service = PredictionService(AgentHome(Path({str(home.path)!r})), record=False);"
        "service.start(); done.wait(); service.stop()"
    )
    passed = (descriptor,) if descriptor != 3 else ()
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, pass_fds=passed, env=dict(os.environ))


def test_stop_finishes_what_is_in_flight(tmp_path: Path) -> None:
    home = make_home(tmp_path / "h")
    service = PredictionService(home, record=False)
    service.start()
    rows = 20_000
    found: list[int] = []
    columns = {"load": [0.5] * rows, "hour": [1.0] * rows}
    asked = threading.Thread(
        target=lambda: found.append(
            len(Asker(home.socket).ask("/v1/predict-many", {"columns": columns}).json["predictions"])
        )
    )
    asked.start()
    until(lambda: service._servers[0].server_state.tasks, every=0.001)
    service.stop()
    asked.join()
    assert found == [rows]
    assert not home.socket.exists()


def test_a_full_disk_fails_no_prediction(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    home = make_home(tmp_path / "h")
    home.task("machines").predictions.mkdir()
    with PredictionService(home) as service:
        asker = Asker(home.socket)
        answers = [asker.ask("/v1/predict", RECORD) for _ in range(20)]
        recorder = service.pool.seats["machines"].recorder
        assert recorder is not None
        recorder.flush()
        recorder.flush()
        told = asker.ask("/v1/outcome", {"id": answers[0].json["id"], "label": "stops"})
    assert [one.status for one in answers] == [200] * 20
    assert told.status == 503
    assert "not kept" in told.json["error"]
    assert caplog.text.count("are not recorded now") == 1
    assert all(math.isfinite(score) for one in answers for score in one.json["scores"].values())
