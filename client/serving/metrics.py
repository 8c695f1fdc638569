"""Counts about the endpoint, and their Prometheus text; nothing in them says what was predicted."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from client.serving.pool import Pool

TEXT = "text/plain; version=0.0.4; charset=utf-8"

BUCKETS_US = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)


@dataclass(slots=True)
class Counts:
    """Requests by task and status, and how long single records took; counted on the endpoint's own thread."""

    requests: Counter[tuple[str, int]] = field(default_factory=Counter[tuple[str, int]])
    slots: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    total_us: Counter[str] = field(default_factory=Counter[str])

    def answered(self, task: str, latency_us: float) -> None:
        """Count one record's answer."""
        slots = self.slots.setdefault(task, [0] * (len(BUCKETS_US) + 1))
        slots[sum(latency_us > bound for bound in BUCKETS_US)] += 1
        self.total_us[task] += latency_us  # type: ignore[assignment]


def text(counts: Counts, pool: Pool) -> bytes:
    """All counts in Prometheus' text format."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(counts, pool))  # type: ignore[arg-type]
    return generate_latest(registry)


class _Families:
    """What `prometheus_client` asks a collector for."""

    def __init__(self, counts: Counts, pool: Pool) -> None:
        self._counts, self._pool = counts, pool

    def collect(self) -> Iterator[Any]:
        """Every family once."""
        yield self._requests()
        yield self._latency()
        yield from self._tasks()

    def _requests(self) -> Any:
        from prometheus_client.core import CounterMetricFamily

        family = CounterMetricFamily("covey_requests", "Requests to the local endpoint", labels=["task", "status"])
        for (task, status), number in self._counts.requests.items():
            family.add_metric([task, str(status)], number)
        return family

    def _latency(self) -> Any:
        from prometheus_client.core import HistogramMetricFamily

        family = HistogramMetricFamily("covey_prediction_microseconds", "Time of one record", labels=["task"])
        for task, slots in self._counts.slots.items():
            bounds = [*(str(bound) for bound in BUCKETS_US), "+Inf"]
            sums = [sum(slots[: index + 1]) for index in range(len(slots))]
            family.add_metric([task], list(zip(bounds, sums, strict=True)), self._counts.total_us[task])
        return family

    def _tasks(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        release = GaugeMetricFamily("covey_release", "The release that answers, 0 for none", labels=["task"])
        dropped = CounterMetricFamily("covey_unrecorded", "Predictions that were not recorded", labels=["task"])
        for seat in self._pool.seats.values():
            release.add_metric([seat.name], seat.answering[0].release if seat.answering else 0)
            dropped.add_metric([seat.name], seat.recorder.dropped if seat.recorder else 0)
        yield release
        yield dropped
        yield CounterMetricFamily(
            "covey_swaps", "Releases that took over while requests went on", value=self._pool.swaps
        )
