"""What a coordinator tells of itself: figures on loopback as Prometheus reads them, and where a round's time goes."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coordinator import Coordinator, covey, free_port, until
from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from machines import small_task
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families
from releasing import Works, build_works
from trained import campaign as committed

from server import planning, tracing
from server.app import conduct
from server.cli.founding import publish
from server.config import Federation, Settings
from server.exposition import text
from server.figures import figures
from server.founding import found
from server.store import Store
from shared import messages
from shared.architecture import size
from shared.errors import InputError
from shared.health import Health
from shared.rounds import RefusalReport, RoundPlan, TrainReport
from shared.tasks import Window
from simulations.loopback import LoopbackGrid

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(body: str) -> Samples:
    """Every sample by its name and labels, as Prometheus' own parser reads them."""
    families = list(text_string_to_metric_families(body))
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, tuple(sorted(labels.items()))]


# -- figures --------------------------------------------------------------------------------------


@pytest.fixture
def works(tmp_path: Path) -> Works:
    """Two campaigns without a fleet; three devices, of which one boasts."""
    works = build_works(tmp_path)
    works.add_version(seed=1)
    for name in ("ada", "ben", "cyd"):
        works.store.add_invitation(name, 4e9)
        works.store.enrol(name, name, name.encode())
        works.store.set_device_state(name, "approved")
    committed(works, base=1, rounds=3)
    works.store.add_release(works.publish(seed=2), ())
    return works


def told(works: Works) -> Samples:
    return samples(text(figures(works.store, now=1000.0), {("fleet", "served"): 7, ("other", "unknown"): 2}).decode())


def test_every_figure_is_what_the_store_says(works: Works) -> None:
    works.store.touch_device("ada", at=900.0, bytes_up=5, bytes_down=7)
    found = told(works)
    assert value(found, "covey_rounds_total", task="machines", outcome="committed") == 3
    assert value(found, "covey_replies_total", task="machines", became="returned") == 6
    assert value(found, "covey_refusals_total", task="machines", reason="budget") == 3
    assert value(found, "covey_round_seconds_bucket", task="machines", le="1.0") == 3
    assert value(found, "covey_round_seconds_count", task="machines") == 3
    assert value(found, "covey_runs", kind="train", state="finished") == 1
    assert value(found, "covey_devices", state="approved") == 3
    assert value(found, "covey_devices_seen", within="5m") == 1
    assert value(found, "covey_release_reach", release="none") == 3
    assert value(found, "covey_bytes_total", direction="down") == 7
    assert value(found, "covey_requests_total", kind="other", outcome="unknown") == 2
    assert value(found, "covey_epsilon_max", task="machines") > 0


def test_what_a_device_can_choose_becomes_no_label(works: Works) -> None:
    """A hostile device could otherwise make as many series as it likes, or write a neighbour's name into them."""
    works.store.set_installed("ada", 1, "")
    works.store.set_installed("ben", 4242, "")
    works.store.put_health("ada", [Health(task="machines", release=777, verdict="crashed")], at=1.0)
    works.store.put_health("ben", [Health(task="machines", release=1, verdict="serves")], at=1.0)
    body = text(figures(works.store), {}).decode()
    found = samples(body)
    assert value(found, "covey_release_reach", release="1") == 1
    assert value(found, "covey_release_reach", release="other") == 1
    assert value(found, "covey_release_health", task="machines", release="1", verdict="serves") == 1
    assert "4242" not in body
    assert "777" not in body
    assert not any(name in body for name in ("ada", "ben", "cyd"))


@pytest.fixture
def coordinator(tmp_path: Path) -> Iterator[Coordinator]:
    federation = found(tmp_path / "federation", Settings(name="test", port=free_port(), admin_port=free_port()))
    running = Coordinator(federation)
    yield running
    assert running.end() == (0, "")


def test_figures_are_read_on_loopback_and_nowhere_else(coordinator: Coordinator) -> None:
    assert covey(coordinator.federation.home, "invite").returncode == 0
    with coordinator.client() as client:
        assert client.get("/metrics").status_code == 404
    with coordinator.client(coordinator.settings.admin_port) as client:
        answered = client.get("/metrics")
        assert (answered.status_code, answered.headers["content-type"]) == (
            200,
            "text/plain; version=0.0.4; charset=utf-8",
        )
        assert value(samples(answered.text), "covey_requests_total", kind="other", outcome="unknown") == 1
        assert client.post("/metrics").status_code == 404


# -- traces ---------------------------------------------------------------------------------------


devices = ClientApp()


@devices.train()
def answer(message: Message, context: Context) -> Message:
    """The first device sends an update, the second refuses."""
    plan = messages.unpack(message.content, "plan", RoundPlan)
    if context.node_id == 2:
        return Message(messages.pack("refusal", RefusalReport(category="budget")), reply_to=message)
    report = TrainReport(run_id=plan.run_id, round_number=plan.number, base_version=plan.base_version)
    update = np.full(size(small_task()), 0.01, "<f4")
    return Message(messages.pack("report", report, array=update), reply_to=message)


def queue(store: Store) -> int:
    """A campaign of two rounds, over two devices that are online."""
    for node, name in enumerate(("heron", "otter"), start=1):
        store.add_invitation(name, 4e9)
        store.enrol(name, name, name.encode())
        store.set_device_state(name, "approved")
        store.set_node(name, node)
    task = store.task("machines")
    request = planning.campaign(
        store, task, window=Window(), training=task.training, base_version=None, quorum=1, cohort=2,
        deadline_seconds=10.0,
    )  # fmt: skip
    return store.queue_run("machines", "train", request)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "covey.db")) as store:
        store.add_task(small_task())
        store.add_initial_version("machines", 1, np.zeros(size(small_task()), "<f4").tobytes())
        yield store


def trains(store: Store) -> None:
    conduct(LoopbackGrid(devices, dict.fromkeys((1, 2), Path())), store, store.run(queue(store)))


def tree(spans: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Each span under its parent's name, in the order in which they began."""
    names = {span["span"]: span["name"] for span in spans}
    ordered = sorted(spans, key=lambda span: span["start"])
    return [(names.get(span["parent"], ""), span["name"]) for span in ordered]


ROUND = [
    ("campaign", "round"), ("round", "select"), ("round", "ask"), ("round", "wait"), ("round", "aggregate"),
    ("round", "commit"),
]  # fmt: skip


def test_a_campaign_is_traced_from_select_to_commit(store: Store) -> None:
    memory = InMemorySpanExporter()
    with tracing.to(tracing.Traces(memory, batched=False)):
        trains(store)
        spans = [tracing.line(span) for span in memory.get_finished_spans()]
    assert tree(spans) == [("", "campaign"), *ROUND, *ROUND]
    assert len({span["trace"] for span in spans}) == 1
    wait = next(span for span in spans if span["name"] == "wait")
    assert wait["attributes"] == {"covey.devices": 2, "covey.answered": 1, "covey.refused": 1, "covey.failed": 0}
    last = [span for span in spans if span["name"] == "round"][-1]
    assert last["attributes"] == {
        "covey.number": 2, "covey.outcome": "committed", "covey.cohort": 2, "covey.returned": 1
    }  # fmt: skip


def test_no_span_names_a_device_or_says_what_it_answered(store: Store) -> None:
    memory = InMemorySpanExporter()
    with tracing.to(tracing.Traces(memory, batched=False)):
        trains(store)
        body = json.dumps([json.loads(span.to_json()) for span in memory.get_finished_spans()])
    assert "heron" not in body
    assert "otter" not in body
    assert "budget" not in body


def test_an_error_ends_its_span_as_failed_and_is_not_told(store: Store) -> None:
    memory = InMemorySpanExporter()
    run = queue(store)
    with tracing.to(tracing.Traces(memory, batched=False)):
        with pytest.raises(ZeroDivisionError):
            conduct(LoopbackGrid(devices, {}), Broken(store), store.run(run))
        spans = memory.get_finished_spans()
    assert [tracing.line(span)["failed"] for span in spans] == [True] * len(spans)
    assert "of heron" not in "".join(span.to_json() for span in spans)
    assert spans


class Broken:
    """A store that fails as soon as a round asks who is there, naming a device."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def devices(self) -> None:
        raise ZeroDivisionError("of heron")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_spans_are_lines_of_a_file_that_its_owner_alone_reads(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "spans.jsonl"
    with tracing.tracing({tracing.FILE: str(file)}):
        trains(store)
    spans = [json.loads(line) for line in file.read_text().splitlines()]
    assert tree(spans) == [("", "campaign"), *ROUND, *ROUND]
    assert file.stat().st_mode & 0o777 == 0o600
    assert all(span["seconds"] >= 0 for span in spans)


def test_without_being_asked_nothing_is_traced(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "Traces", None)
    with tracing.tracing({}):
        trains(store)
    assert len(store.rounds()) == 2


def test_a_place_that_no_spans_fit_is_said_before_serving(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere is no directory, so spans\.jsonl cannot be written there"):
        tracing.check_file(tmp_path / "nowhere" / "spans.jsonl")
    with pytest.raises(InputError, match="is a directory; name a file in it"):
        tracing.check_file(tmp_path)


# -- a collector on loopback ------------------------------------------------------------------------


class Collector(ThreadingHTTPServer):
    """Takes traces over OTLP/HTTP, and keeps them; `status` is what it answers."""

    def __init__(self, status: int = 200) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.status, self.heard = status, list[tuple[str, bytes]]()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def spans(self) -> list[str]:
        """The names of all spans that arrived."""
        requests = [ExportTraceServiceRequest.FromString(body) for path, body in self.heard if path == "/v1/traces"]
        found = [
            scope.spans for request in requests for resource in request.resource_spans for scope in resource.scope_spans
        ]
        return [span.name for spans in found for span in spans]


class Receiver(BaseHTTPRequestHandler):
    """One request of an exporter's."""

    def do_POST(self) -> None:
        collector: Any = self.server
        collector.heard.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(collector.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """A test says nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_spans_reach_a_collector_over_http(store: Store, collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tracing.COLLECTOR, collector.address)
    with tracing.tracing():
        trains(store)
    assert sorted(collector.spans()) == sorted(["campaign", *[name for _, name in [*ROUND, *ROUND]]])


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning"
)  # of the exporter's connection pool, to an address without a server
def test_a_collector_that_is_away_costs_no_round(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tracing.COLLECTOR, f"http://127.0.0.1:{free_port()}")
    with tracing.tracing():
        trains(store)
    assert [result.outcome for result in store.rounds()] == ["committed"] * 2


@pytest.mark.proof
def test_a_served_run_is_traced_by_its_own_process(tmp_path: Path) -> None:
    federation = found(tmp_path / "federation", Settings(name="test", port=free_port(), admin_port=free_port()))
    with closing(Store(federation.database)) as store:
        publish(federation, store, small_task())
        queue(store)
    file = tmp_path / "spans.jsonl"
    running = Coordinator(Federation(federation.home), "--traces", os.fspath(file))
    with closing(Store(federation.database)) as store:
        until(lambda: store.progress(1) is not None)
        assert covey(federation.home, "stop", "1").returncode == 0
        until(lambda: store.run(1).state == "stopped")
    assert running.end() == (0, "")
    names = [json.loads(line)["name"] for line in file.read_text().splitlines()]
    assert names[-1] == "campaign"
    assert "select" in names
