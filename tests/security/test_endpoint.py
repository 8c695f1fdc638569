"""The local endpoint under hostile callers: who may ask, and what a bad request gets."""

import re
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from asking import Asker, connect, make_home, put_release, say

from client.config import AgentHome
from client.serving import sockets
from client.serving.app import MOST_BYTES
from client.serving.headers import MOST_HEADER_BYTES
from client.serving.service import PredictionService
from shared.errors import InputError

ARROW = "application/vnd.apache.arrow.stream"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PredictionService]:
    with PredictionService(make_home(tmp_path_factory.mktemp("a") / "h"), port=0, record=False) as service:
        yield service


@pytest.fixture
def path(service: PredictionService) -> Path:
    return service.home.socket


@pytest.fixture
def port(service: PredictionService) -> int:
    return int(service.listening[1].getsockname()[1])


BAD: dict[str, tuple[str, bytes | None, dict[str, str], int, str]] = {
    "no JSON": ("/v1/predict", b"{", {}, 400, "not JSON"),
    "no object": ("/v1/predict", b"[1]", {}, 400, "must be a JSON object"),
    "no UTF-8": ("/v1/predict", b"\xff\xfe", {}, 400, "not JSON"),
    "deep": ("/v1/predict", b'{"load":' + b"[" * 200_000, {}, 400, "nests too deeply"),
    "deep objects": ("/v1/predict", b'{"load":' * 200_000, {}, 400, "nests too deeply"),
    "NaN": ("/v1/predict", b'{"load": NaN}', {}, 400, "NaN is no number"),
    "twice": ("/v1/predict", b'{"load": 1, "load": 2}', {}, 400, "comes twice"),
    "endless number": ("/v1/predict", b'{"load": 1e999}', {}, 422, "finite"),
    "endless integer": ("/v1/predict", b'{"load": ' + b"9" * 5000 + b"}", {}, 400, "not JSON"),
    "large integer": ("/v1/predict", b'{"load": ' + b"9" * 4000 + b"}", {}, 422, "takes a number"),
    "nothing": ("/v1/predict", b"", {}, 400, "not JSON"),
    "wrong type": ("/v1/predict", b"{}", {"content_type": "text/plain"}, 415, "content-type must be"),
    "Arrow for one": ("/v1/predict", b"{}", {"content_type": ARROW}, 415, "content-type must be"),
    "no Arrow": ("/v1/predict-many", b"{}\n\n\n\n\n\n", {"content_type": ARROW}, 422, "no Arrow"),
    "empty Arrow": ("/v1/predict-many", b"", {"content_type": ARROW}, 422, "empty"),
    "no columns": ("/v1/predict-many", b"{}", {}, 400, '"columns"'),
    "ragged": ("/v1/predict-many", b'{"columns": {"load": [1], "hour": []}}', {}, 400, "differ in length"),
    "a table in a column": ("/v1/predict-many", b'{"columns": {"load": [[1], [1, 2]]}}', {}, 422, "takes a number"),
    "GET": ("/v1/predict", None, {}, 405, "takes POST"),
    "POST": ("/v1/health", b"{}", {}, 405, "takes GET"),
    "no route": ("/v1/train", b"{}", {}, 404, "nothing at"),
    "no task": ("/v1/tasks/x%0ay/predict", b"{}", {}, 404, "no task 'x\\ny'"),
    "up and away": ("/v1/tasks/../../etc/passwd", None, {}, 404, "no task"),
    "health of a task": ("/v1/tasks/machines/health", None, {}, 404, "nothing at"),
    "no words": ("/v1/outcome", b'{"id": 1, "label": "stops"}', {}, 400, "both words"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_gets_a_sentence(case: str, path: Path) -> None:
    where, body, headers, status, words = BAD[case]
    found = Asker(path).ask(where, body, **headers)
    assert (found.status, found.media_type) == (status, "application/json")
    assert words in found.json["error"]
    assert "Traceback" not in found.json["error"]
    assert Asker(path).ask("/v1/predict", {}).status == 200


def test_a_body_over_the_cap_is_refused_before_it_is_read(path: Path) -> None:
    head = b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    assert b" 413 " in say(path, head + b"content-length: 99999999999\r\n\r\n{")
    with connect(path) as one, pytest.raises((BrokenPipeError, ConnectionResetError)):
        pour(one, head + b"transfer-encoding: chunked\r\n\r\n")
    assert Asker(path).ask("/v1/predict", {}).status == 200


def pour(one: socket.socket, head: bytes) -> None:
    """Ten times as much as a body may hold."""
    one.sendall(head)
    for _ in range(10 * MOST_BYTES // 65536):
        one.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")


GARBAGE = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20,
    "two lengths": b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
    "length and chunks": b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}",
    "negative length": b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-length: -2\r\n\r\n{}",
    "headers without end": b"GET /v1/health HTTP/1.1\r\n" + b"x: " + b"y" * 2 * MOST_HEADER_BYTES,
    "a path without end": b"GET /" + b"y" * 2 * MOST_HEADER_BYTES,
}


@pytest.mark.parametrize("case", GARBAGE)
def test_garbage_is_refused_and_hung_up_on(case: str, path: Path) -> None:
    assert say(path, GARBAGE[case]).startswith(b"HTTP/1.1 400 ")
    assert Asker(path).ask("/v1/predict", {}).status == 200


def test_garbage_behind_a_good_request_spoils_only_itself(path: Path) -> None:
    good = b"GET /v1/health HTTP/1.1\r\nhost: x\r\n\r\n"
    found = say(path, good + good + b"\x00garbage\r\n\r\n")
    assert b" 500 " not in found
    assert b" 400 " in found
    assert Asker(path).ask("/v1/predict", {}).status == 200


def test_pipelined_requests_are_answered_in_order(path: Path) -> None:
    good = b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
    bad = good.replace(b"{}", b"[]")
    last = good.replace(b"host: x", b"host: x\r\nconnection: close")
    assert re.findall(rb"HTTP/1.1 (\d+)", say(path, good + bad + last)) == [b"200", b"400", b"200"]


def test_the_socket_is_its_owners_alone(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("shown", [{}, {"authorization": "Bearer"}, {"authorization": "Bearer wrong"}])
def test_loopback_asks_for_the_token(shown: dict[str, str], port: int) -> None:
    for where, body in (("/v1/predict", {}), ("/v1/health", None), ("/v1/metrics", None), ("/v1/nothing", None)):
        found = Asker(port).ask(where, body, **shown)
        assert found.status == 401
        assert "agent.token" in found.json["error"]


def test_the_token_opens_loopback(service: PredictionService, port: int) -> None:
    file = service.home.path / "agent.token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert Asker(port).ask("/v1/predict", {}, authorization=f"Bearer {file.read_text()}").status == 200


def test_loopback_is_not_the_network(service: PredictionService) -> None:
    assert service.listening[1].getsockname()[0] == "127.0.0.1"


def test_a_token_that_others_could_read_is_closed_and_a_short_one_refused(tmp_path: Path) -> None:
    file = tmp_path / "agent.token"
    file.write_text("x" * 43)
    file.chmod(0o644)
    assert sockets.token(file) == "x" * 43
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_text("")
    with pytest.raises(InputError, match="holds no token"):
        sockets.token(file)


def test_a_live_socket_is_never_taken_over(service: PredictionService, path: Path) -> None:
    with pytest.raises(InputError, match="another process answers"):
        PredictionService(service.home).start()
    assert Asker(path).ask("/v1/predict", {}).status == 200


def test_a_stale_socket_is_replaced_and_anything_else_is_not(tmp_path: Path) -> None:
    home = make_home(tmp_path / "h")
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(home.socket))
    with PredictionService(home):
        assert Asker(home.socket).ask("/v1/predict", {}).status == 200
    assert not home.socket.exists()
    home.socket.write_text("mine")
    with pytest.raises(InputError, match="in the way"):
        PredictionService(home).start()
    assert home.socket.read_text() == "mine"


def test_a_path_too_long_for_a_socket_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="too long"):
        sockets.listen_at(tmp_path / ("x" * 120))


def test_errors_name_no_path_of_another_task(tmp_path: Path) -> None:
    home: AgentHome = make_home(tmp_path / "h", releases=0)
    put_release(home.task("machines"), 1)
    (home.task("machines").releases / "1" / "fp32.onnx").write_bytes(b"damaged")
    with PredictionService(home):
        found = Asker(home.socket).ask("/v1/predict", {})
    assert found.status == 503
    assert str(tmp_path) not in found.json["error"]
