"""A device without PyTorch: the wheel in an environment of its own joins, trains, predicts, on one core and in 256 MB."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import psutil
import pytest
from coordinator import PATIENCE, ROOT, Coordinator, covey, free_port, until
from machines import machine_rows, small_task

from server.cli.founding import publish
from server.config import Settings
from server.founding import found
from server.store import Store

HEAVY = ("torch", "opacus", "ray", "opendp", "scipy", "pandas", "pyarrow")
MEGABYTE = 2**20
CEILING_MB = 256


class Light:
    """An environment with the wheel and the extra `light`, and the agent that lives in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder / "venv", folder / "agent"
        venv.create(self.folder, with_pip=True)
        wheels = folder / "wheels"
        pip(sys.executable, "wheel", "--no-deps", "--wheel-dir", str(wheels), str(ROOT))
        (wheel,) = wheels.glob("covey-*.whl")
        pip(self.python, "install", "-c", str(ROOT / "constraints.txt"), f"{wheel}[light]")

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    def agent(self, *words: str) -> str:
        done = subprocess.run(
            self.command(*words), cwd=self.folder, env=environment(), capture_output=True, text=True,
            timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def command(self, *words: str) -> list[str]:
        one_core = ["taskset", "-c", str(min(os.sched_getaffinity(0)))]
        return [*one_core, str(self.folder / "bin" / "covey-agent"), *words, "--home", str(self.home)]

    def start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.command("run"), cwd=self.folder, env=environment(), stderr=subprocess.DEVNULL)

    def packages(self) -> set[str]:
        listed = subprocess.run(
            [self.python, "-m", "pip", "list", "--format", "json"], capture_output=True, text=True, check=True
        )
        return {package["name"].lower() for package in json.loads(listed.stdout)}

    def megabytes(self) -> float:
        """On disk, without pip itself."""
        files = [file for file in self.folder.rglob("*") if file.is_file() and not file.is_symlink()]
        return sum(file.stat().st_size for file in files if "/pip/" not in str(file)) / MEGABYTE


def pip(python: str, *words: str) -> None:
    command = [python, "-m", "pip", "--disable-pip-version-check", "--quiet", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr


def environment() -> dict[str, str]:
    """Nothing of the environment that the tests run in."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return kept | {"OMP_NUM_THREADS": "1"}


class Peak:
    """The most memory that a process and its children ever held at once, by their own pages (PSS)."""

    def __init__(self, pid: int) -> None:
        self.megabytes, self._process, self._done = 0.0, psutil.Process(pid), Event()
        self._thread = Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._done.wait(0.05):
            self.megabytes = max(self.megabytes, self._now())

    def _now(self) -> float:
        total = 0.0
        for process in [self._process, *self._process.children(recursive=True)]:
            try:
                total += process.memory_full_info().pss
            except psutil.Error:
                continue
        return total / MEGABYTE

    def end(self) -> float:
        self._done.set()
        self._thread.join()
        return self.megabytes


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Light:
    return Light(tmp_path_factory.mktemp("light"))


@pytest.fixture
def coordinator(tmp_path: Path) -> Iterator[Coordinator]:
    federation = found(tmp_path / "federation", Settings(name="test", port=free_port(), admin_port=free_port()))
    store = Store(federation.database)
    publish(federation, store, small_task())
    store.close()
    running = Coordinator(federation)
    yield running
    running.end()


@pytest.mark.proof
def test_a_light_device_joins_trains_and_predicts(
    light: Light, coordinator: Coordinator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not light.packages() & set(HEAVY)
    data, federation = tmp_path / "rows.csv", coordinator.federation.home
    machine_rows(2000).write_csv(data)
    invitation = covey(federation, "invite").stdout.strip()
    light.agent("join", invitation, "--data", str(data), "--epsilon", "9", "--name", "edge", "--yes")
    assert covey(federation, "approve", "edge").returncode == 0

    agent = light.start()
    try:
        peak = Peak(agent.pid)
        until(lambda: json.loads(light.agent("status", "--json"))["link"] == "online", every=0.5)
        started = covey(federation, "start", "machines", "--rounds", "3", "--quorum", "1", "--follow")
        assert started.returncode == 0, started.stdout + started.stderr
        status = json.loads(light.agent("status", "--json"))
        assert (status["trainer"], status["charges"]) == ("light", 3)
        version = re.findall(r"version (\d+)", covey(federation, "models").stdout)
        assert covey(federation, "promote", version[-1] if version else "4").returncode == 0
        until(lambda: json.loads(light.agent("status", "--json"))["tasks"][0]["release"] > 0, every=0.5)
        time.sleep(1.0)
        megabytes = peak.end()
    finally:
        agent.send_signal(signal.SIGTERM)
        agent.wait(PATIENCE)
    answer = json.loads(light.agent("predict", "--record", '{"load": 0.9, "hour": 3.0, "site": "north"}', "--json"))
    assert answer["label"] in ("runs", "stops")
    with capsys.disabled():
        print(f"\nlight install: {light.megabytes():.0f} MB on disk; at most {megabytes:.0f} MB of memory, one core")  # noqa: T201
    assert megabytes <= CEILING_MB


@pytest.mark.proof
def test_it_resolves_for_aarch64_from_wheels_only(tmp_path: Path) -> None:
    platforms = [f"manylinux_2_{minor}_aarch64" for minor in (17, 24, 26, 27, 28, 34)] + ["manylinux2014_aarch64"]
    options = [word for platform in platforms for word in ("--platform", platform)]
    wheels = tmp_path / "wheels"
    pip(sys.executable, "wheel", "--no-deps", "--wheel-dir", str(wheels), str(ROOT))
    (wheel,) = wheels.glob("covey-*.whl")
    pip(
        sys.executable, "install", "--dry-run", "--ignore-installed", "--only-binary", ":all:", "--python-version", "3.11",
        "--implementation", "cp", "--abi", "cp311", "--abi", "abi3", "--abi", "none", *options,
        "--target", str(tmp_path / "target"), "-c", str(ROOT / "constraints.txt"), f"{wheel}[light]",
    )  # fmt: skip
