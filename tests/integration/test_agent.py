"""An agent as its owner meets it: joins a real coordinator, waits, trains, stops."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from coordinator import PATIENCE, ROOT, Coordinator, covey, free_port, until

from server.config import Settings
from server.founding import found

TASK = """
name = "machines"
revision = 1
title = "Will this machine stop within the hour?"
timestamp = "at"
[[features]]
kind = "number"
name = "load"
low = 0.0
high = 1.0
missing = 0.5
[label]
kind = "threshold"
column = "stops"
above = 0.5
classes = ["runs", "stops"]
[architecture]
kind = "linear"
[training]
rounds = 2
sample_rate = 0.25
steps = 4
normalizer = 16.0
learning_rate = 0.5
max_grad_norm = 1.0
noise_multiplier = 1.0
max_update_norm = 10.0
[privacy]
epsilon = 50.0
delta = 1e-5
min_noise_multiplier = 0.5
max_sample_rate = 0.5
max_steps = 16
max_grad_norm = 1.0
[drift]
score_bins = 10
feature_bins = 5
score_noise_multiplier = 5.0
feature_noise_multiplier = 5.0
alarm_psi = 0.2
"""


@pytest.fixture
def coordinator(tmp_path: Path) -> Iterator[Coordinator]:
    settings = Settings(name="test", port=free_port(), admin_port=free_port())
    federation = found(tmp_path / "federation", settings)
    task = tmp_path / "machines.toml"
    task.write_text(TASK)
    assert covey(federation.home, "task", str(task)).returncode == 0
    running = Coordinator(federation)
    yield running
    running.end()


def agent(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "client", *words, "--home", str(home)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)


def start(home: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "client", "run", "--home", str(home)]
    return subprocess.Popen(command, cwd=ROOT, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


def status(home: Path) -> dict[str, Any]:
    return json.loads(agent(home, "status", "--json").stdout)


def test_a_device_joins_waits_trains_and_stops(coordinator: Coordinator, data_file: Path, tmp_path: Path) -> None:
    federation, home = coordinator.federation, tmp_path / "agent"
    (line,) = re.findall(r"covey://\S+", covey(federation.home, "invite").stdout)
    joined = agent(home, "join", line, "--data", str(data_file), "--epsilon", "9", "--name", "kestrel", "--yes")
    assert joined.returncode == 0, joined.stderr
    assert "covey approve kestrel" in joined.stdout

    running = start(home)
    try:
        until(lambda: status(home)["link"] == "pending")
        assert covey(federation.home, "approve", "kestrel").returncode == 0
        until(lambda: status(home)["link"] == "online")

        second = agent(home, "run")
        assert (second.returncode, str(running.pid) in second.stderr) == (1, True), second.stderr

        started = covey(federation.home, "start", "machines", "--rounds", "2", "--quorum", "1", "--detach")
        assert started.returncode == 0, started.stderr
        until(lambda: [line["state"] for line in json.loads(agent(home, "ledger", "--json").stdout)] == ["sent"] * 2)
        assert 0 < status(home)["epsilon_spent"] <= 9
    finally:
        running.send_signal(signal.SIGTERM)
        assert running.wait(PATIENCE) == 0
    assert status(home)["link"] == "stopped"


def test_what_goes_wrong_is_one_line_and_no_trace(tmp_path: Path) -> None:
    for words in (["status"], ["run"], ["ledger"], ["pause"], ["leave", "--yes"], ["predict", "--record", "{}"]):
        done = agent(tmp_path / "nothing", *words)
        assert done.returncode == 1, words
        assert re.fullmatch(r"covey: .+\n", done.stderr), (words, done.stderr)
