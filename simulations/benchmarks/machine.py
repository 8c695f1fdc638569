"""The machine that figures were seen on, and how busy it was: no name, no address, nobody's path."""

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from simulations.benchmarks.peers.lineup import versions

GB = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Its processor, cores that may be used, memory in GB, load average as it began, and the versions of what ran."""

    date: str
    processor: str
    cores: int
    memory: float
    load: float
    python: str
    versions: dict[str, str]


def machine() -> Machine:
    """This one, now."""
    return Machine(
        date=datetime.now(UTC).date().isoformat(),
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory=psutil.virtual_memory().total / GB,
        load=os.getloadavg()[0],
        python=platform.python_version(),
        versions=versions(),
    )


def _processor() -> str:
    """The processor's name, as Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def sentence(about: Machine) -> str:
    """The machine in one sentence."""
    installed = ", ".join(f"{name} {version}" for name, version in about.versions.items() if version)
    lacking = [name for name, version in about.versions.items() if not version]
    without = f"; without {', '.join(lacking)}" if lacking else ""
    return (
        f"{about.date}: {about.processor}, {about.cores} cores, {about.memory:.0f} GB, load {about.load:.2f} at the start; "
        f"Python {about.python}, {installed}{without}."
    )
