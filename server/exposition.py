"""The coordinator's figures as Prometheus reads them: `GET /metrics` on the loopback port, over TLS, without a token.

Whoever can reach loopback may read them, so they are counts: no device's name, no text that a device wrote. What a device
can choose, a reason or a release, counts under one of the words that are known here, or under `other`.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from server.asgi import App, Receive, Scope, Send, send_bytes
from server.figures import Figures, figures
from server.store import Store

TEXT = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600)
"""Bounds of the histogram of rounds' durations."""


class MetricsGate:
    """Answers `GET /metrics`, and hands everything else on."""

    def __init__(self, app: App, store: Store, requests: Mapping[tuple[str, str], int]) -> None:
        """`store` is this gate's own; `requests` counts what the gateway was asked, by kind and outcome."""
        self._app, self._store, self._requests = app, store, requests
        self._one = asyncio.Lock()
        store.remember()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http" and (scope["method"], scope["path"]) == ("GET", "/metrics"):
            async with self._one:
                body = await asyncio.to_thread(self._text)
            await send_bytes(send, 200, body, content_type=TEXT)
        else:
            await self._app(scope, receive, send)

    def close(self) -> None:
        """Release the store."""
        self._store.close()

    def _text(self) -> bytes:
        return text(figures(self._store), self._requests)


def text(found: Figures, requests: Mapping[tuple[str, str], int]) -> bytes:
    """All figures in Prometheus' text format."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(lambda: _families(found, requests)))  # type: ignore[arg-type]
    return generate_latest(registry)


class _Families:
    """What `prometheus_client` asks a collector for."""

    def __init__(self, collect: Callable[[], Iterator[Any]]) -> None:
        self.collect = collect


def _families(found: Figures, requests: Mapping[tuple[str, str], int]) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily as Count
    from prometheus_client.core import GaugeMetricFamily as Gauge

    yield _family(Count("covey_rounds", "Rounds that ended", labels=["task", "outcome"]), found.rounds)
    yield _family(
        Count("covey_replies", "What became of devices asked in rounds", labels=["task", "became"]), found.replies
    )
    yield _family(
        Count("covey_refusals", "Refusals of devices, by category", labels=["task", "reason"]), found.refusals
    )
    yield _durations(found)
    yield _family(Gauge("covey_runs", "Runs, by kind and state", labels=["kind", "state"]), found.runs)
    yield _family(Gauge("covey_devices", "Devices, by state", labels=["state"]), found.devices)
    yield _family(
        Gauge("covey_devices_seen", "Approved devices that spoke, by how long ago", labels=["within"]), found.seen
    )
    yield _family(Gauge("covey_release_reach", "Devices that say they run a release", labels=["release"]), found.reach)
    yield _family(
        Gauge("covey_release_health", "What devices say of a release", labels=["task", "release", "verdict"]),
        found.health,
    )
    yield _family(
        Gauge(
            "covey_rollout_share",
            "Share of the fleet of each task's newest rollout",
            labels=["task", "release", "state"],
        ),
        found.rollouts,
    )
    yield _family(
        Gauge("covey_epsilon_max", "Most that plans can have cost one device", labels=["task"]), found.epsilon
    )
    yield _family(Count("covey_bytes", "Bytes of devices, by direction", labels=["direction"]), found.traffic)
    yield _family(Count("covey_requests", "Requests at the public port", labels=["kind", "outcome"]), requests)


def _family(family: Any, values: Mapping[Any, float]) -> Any:
    """One sample a key; a key is a label's value, or several."""
    for key, value in sorted(values.items()):
        family.add_metric([*map(str, key)] if isinstance(key, tuple) else [str(key)], value)
    return family


def _durations(found: Figures) -> Any:
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily("covey_round_seconds", "How long rounds took", labels=["task"])
    for task, seconds in sorted(found.seconds.items()):
        slots = Counter(sum(each > bound for bound in SECONDS) for each in seconds)
        sums = [sum(slots[slot] for slot in range(index + 1)) for index in range(len(SECONDS) + 1)]
        bounds = [*(str(float(bound)) for bound in SECONDS), "+Inf"]
        family.add_metric([task], list(zip(bounds, sums, strict=True)), sum(seconds))
    return family
