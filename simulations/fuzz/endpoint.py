"""Targets: what an app beside the agent may ask the prediction endpoint: records, rows as JSON and as Arrow, requests."""

import asyncio
import json
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from client.config import AgentHome
from client.inference import Predictor
from client.serving import questions
from client.serving.app import Endpoint
from client.serving.arrow import MEDIA_TYPE
from client.serving.metrics import Counts
from client.serving.pool import Pool
from client.serving.routes import Routes
from simulations.benchmarks.endpoint import make_home
from simulations.fuzz import asgi
from simulations.fuzz.files import tmpfs
from simulations.fuzz.target import Run, Target, pack
from simulations.machines import RECORDS, TASK

_NAME = TASK.name


def targets() -> tuple[Target, ...]:
    """All of them."""
    return (
        Target(name="endpoint.record", parts=("json",), share=50, seeds=_records, open=_one),
        Target(name="endpoint.rows", parts=("json",), share=30, seeds=_rows, open=_many),
        Target(name="endpoint.arrow", parts=("bytes",), share=45, seeds=_streams, open=_arrow),
        Target(name="endpoint.request", parts=asgi.PARTS, share=20, seeds=_requests, open=_asgi),
    )


@contextmanager
def _home() -> Generator[AgentHome]:
    with tempfile.TemporaryDirectory(prefix="covey-", dir=tmpfs()) as folder:
        yield make_home(Path(folder) / "agent", TASK, names=[_NAME], releases=1)


@contextmanager
def _one() -> Generator[Run]:
    with _home() as home:
        predictor = Predictor(home)

        def run(data: bytes) -> str:
            record = questions.read_record(data)
            prediction = predictor.predict(record)
            if not 0.999 < sum(prediction.scores.values()) < 1.001:
                raise ValueError(f"the scores of a prediction are {prediction.scores}")
            return prediction.label

        yield run


@contextmanager
def _many() -> Generator[Run]:
    with _home() as home:
        predictor = Predictor(home)
        yield lambda data: f"{len(predictor.predict_rows(questions.read_rows(data, TASK, as_arrow=False))) > 0}"


@contextmanager
def _arrow() -> Generator[Run]:
    with _home() as home:
        predictor = Predictor(home)
        yield lambda data: f"{len(predictor.predict_rows(questions.read_rows(data, TASK, as_arrow=True))) > 0}"


@contextmanager
def _asgi() -> Generator[Run]:
    """The whole app behind the socket; no answer may be the one for what nobody foresaw."""
    with _home() as home, asyncio.Runner() as runner:
        pool, counts = Pool(home, record=False), Counts()
        endpoint = Endpoint(pool, counts, Routes(pool, counts).table(), token="token")  # noqa: S106 - nothing listens
        yield lambda data: runner.run(asgi.ask(endpoint, data))


def _records() -> Sequence[bytes]:
    return [*(json.dumps(record).encode() for record in RECORDS), b"{}", b'{"load": null, "site": "nowhere"}']


def _rows() -> Sequence[bytes]:
    columns = {name: [record[name] for record in RECORDS] for name in RECORDS[0]}
    some = {"columns": {"load": [0.5, None]}}
    return [json.dumps({"columns": columns}).encode(), json.dumps(some).encode(), b'{"columns": {}}']


def _streams() -> Sequence[bytes]:
    """Arrow as its own library writes it: numbers of several widths, words of both kinds, one batch and more."""
    import io

    import nanoarrow
    from nanoarrow.ipc import InputStream, StreamWriter

    found = [InputStream.example_bytes()]
    for number, word in ((nanoarrow.float64(), nanoarrow.string()), (nanoarrow.float16(), nanoarrow.large_string())):
        columns = {
            "load": nanoarrow.c_array([record["load"] for record in RECORDS], number),
            "hour": nanoarrow.c_array([1, None, 3], nanoarrow.int8()),
            "site": nanoarrow.c_array(["north", None, "süd"], word),
        }
        kinds = nanoarrow.struct({name: column.schema for name, column in columns.items()})
        table = nanoarrow.c_array_from_buffers(kinds, len(RECORDS), buffers=[None], children=list(columns.values()))
        out = io.BytesIO()
        with StreamWriter.from_writable(out) as writer:
            for _ in range(2):
                writer.write_array(table)
        found.append(out.getvalue())
    return found


def _requests() -> Sequence[bytes]:
    token = {"authorization": "Bearer token"}
    head = json.dumps(token | {"content-type": "application/json"}).encode()
    arrow = json.dumps(token | {"content-type": MEDIA_TYPE}).encode()
    lengths = json.dumps(token | {"content-type": "application/json; charset=utf-8", "content-length": "2"}).encode()
    record, rows = json.dumps(RECORDS[0]).encode(), _rows()[0]
    told = json.dumps({"id": "0" * 32, "label": "stops"}).encode()
    posts = (
        ("/v1/predict", head, record), ("/v1/predict", lengths, b"{}"), ("/v1/predict-many", head, rows),
        ("/v1/predict-many", arrow, _streams()[1]), ("/v1/explain", head, record), ("/v1/outcome", head, told),
        (f"/v1/tasks/{_NAME}/predict", head, record), (f"/v1/tasks/{_NAME}/predict-many", head, rows),
    )  # fmt: skip
    gets = ("/v1/health", "/v1/tasks", "/v1/metrics", "/", "/v1/tasks/")
    return [
        *(pack(b"POST", path.encode(), said, body) for path, said, body in posts),
        *(pack(b"GET", path.encode(), json.dumps(token).encode(), b"") for path in gets),
        pack(b"POST", b"/v1/predict", b"{}", b"{}"),
    ]
