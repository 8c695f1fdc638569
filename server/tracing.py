"""Where a round's time goes, as OpenTelemetry spans: campaign, round, and in it select, ask, wait, aggregate, commit.

It is off unless `OTEL_EXPORTER_OTLP_ENDPOINT` names a collector (OTLP over HTTP), or `covey serve --traces FILE` a file of
JSON lines. Spans carry names of tasks, outcomes and counts: no device's name, no text of an error, nothing of an update.
"""

import json
import logging
import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from shared.errors import InputError

log = logging.getLogger(__name__)

COLLECTOR, FILE = "OTEL_EXPORTER_OTLP_ENDPOINT", "COVEY_TRACES"
"""What the environment of a run's process says: where a collector listens, and which file gets a line a span."""

EXPORT_SECONDS, LEAVE_MILLISECONDS = 2, 1000
"""A collector that is away holds up no run for longer than that."""

Value = int | float | bool | str


class Span:
    """One span under way; off, it is nobody."""

    def __init__(self, span: Any = None) -> None:
        """`span` is OpenTelemetry's, if tracing is on."""
        self._span = span

    def note(self, **found: Value) -> None:
        """Add what is known only later, such as how many answered."""
        if self._span is not None:
            self._span.set_attributes({f"covey.{name}": value for name, value in found.items()})


class Traces:
    """Makes spans and hands them on; one process has one."""

    def __init__(self, *exporters: Any, batched: bool = True) -> None:
        """`exporters` are OpenTelemetry's; without `batched` each span is handed on at its end."""
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

        self._provider = TracerProvider(resource=Resource.create({"service.name": "covey-coordinator"}))
        for exporter in exporters:
            processor = BatchSpanProcessor if batched else SimpleSpanProcessor
            self._provider.add_span_processor(processor(exporter))
        self._tracer = self._provider.get_tracer("covey")

    @contextmanager
    def span(self, name: str, attributes: Mapping[str, Value]) -> Generator[Span]:
        """A span below the one that is under way; an error ends it as failed, without its text."""
        from opentelemetry.trace import Status, StatusCode

        with self._tracer.start_as_current_span(
            name, attributes={f"covey.{key}": value for key, value in attributes.items()},
            record_exception=False, set_status_on_exception=False,
        ) as span:  # fmt: skip
            try:
                yield Span(span)
            except BaseException:
                span.set_status(Status(StatusCode.ERROR))
                raise

    def close(self) -> None:
        """Hand on what is left, for a moment."""
        self._provider.force_flush(LEAVE_MILLISECONDS)
        self._provider.shutdown()


_on: list[Traces] = []


@contextmanager
def tracing(environment: Mapping[str, str] | None = None) -> Generator[None]:
    """Trace this process while the block runs, if its environment says where to."""
    exporters = list(_exporters(os.environ if environment is None else environment))
    if not exporters:
        yield
        return
    with to(Traces(*exporters)):
        yield


@contextmanager
def to(traces: Traces) -> Generator[None]:
    """Trace to these while the block runs."""
    _on.append(traces)
    try:
        yield
    finally:
        _on.remove(traces)
        traces.close()


@contextmanager
def span(name: str, **attributes: Value) -> Generator[Span]:
    """A span around a block; where tracing is off, nothing."""
    if not _on:
        yield Span()
        return
    with _on[-1].span(name, attributes) as under_way:
        yield under_way


def check_file(file: Path) -> Path:
    """The absolute path of a file that spans can be written to; raise `InputError` where they cannot."""
    path = file.absolute()
    if path.is_dir():
        raise InputError(f"{path} is a directory; name a file in it, such as {path / 'spans.jsonl'}")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is no directory, so {path.name} cannot be written there")
    _require_installed()
    return path


def _require_installed() -> None:
    with suppress(ModuleNotFoundError):
        if find_spec("opentelemetry.sdk") and find_spec("opentelemetry.exporter.otlp.proto.http"):
            return
    raise InputError("tracing needs OpenTelemetry; `pip install '.[telemetry]'` in Covey's checkout adds it")


def _exporters(environment: Mapping[str, str]) -> Generator[Any]:
    """What the environment asks for; a collector without the package to speak to it is said once, and not traced."""
    wanted = [name for name in (FILE, COLLECTOR) if environment.get(name)]
    if not wanted:
        return
    try:
        _require_installed()
    except InputError as error:
        log.warning("%s is set, and %s", wanted[0], error)
        return
    if file := environment.get(FILE):
        yield JsonLines(Path(file))
    if environment.get(COLLECTOR):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        yield OTLPSpanExporter(timeout=EXPORT_SECONDS)


class JsonLines:
    """Appends one line a span to a file; what OpenTelemetry asks of an exporter, without its base class."""

    def __init__(self, file: Path) -> None:
        """`file` need not be there."""
        self._file = file

    def export(self, spans: Sequence[Any]) -> Any:
        """Write the spans that ended."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        lines = "".join(f"{json.dumps(line(span))}\n" for span in spans)
        descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            # One write, because several runs' processes append to the same file.
            os.write(descriptor, lines.encode())
        finally:
            os.close(descriptor)
        return SpanExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 0) -> bool:
        """Nothing is held back."""
        return timeout_millis >= 0

    def shutdown(self) -> None:
        """Nothing is held open."""


def line(span: Any) -> dict[str, Any]:
    """A span that ended as one line says it: ids in hexadecimal, times in seconds."""
    return {
        "name": span.name,
        "trace": f"{span.context.trace_id:032x}",
        "span": f"{span.context.span_id:016x}",
        "parent": f"{span.parent.span_id:016x}" if span.parent else None,
        "start": span.start_time / 1e9,
        "seconds": (span.end_time - span.start_time) / 1e9,
        "failed": span.status.status_code.name == "ERROR",
        "attributes": dict(span.attributes),
    }
