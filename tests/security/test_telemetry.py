"""Nothing that Covey stands on tells its maker of this machine, its runs or its rows."""

import os
import subprocess
import sys
from pathlib import Path

from coordinator import ROOT

ASK = """
import socket, sys
looked_up = []
socket.getaddrinfo = lambda *words, **_: looked_up.append(words) or []
sys.path[:0] = [{root!r}, {tests!r}]
import numpy as np
from machines import small_task
from server.export import export
from shared.architecture import size
from shared.feeds import to_feeds
from shared.runtime import ask, open_model
from shared.synthetic import make_columns
task = small_task()
model = export(task, np.zeros(size(task), np.float32), version=1)
ask(open_model(model), to_feeds(task, make_columns(task, 64, seed=1)))
assert not looked_up, looked_up
"""


def test_a_model_that_answers_writes_nothing_home_and_asks_for_no_address(tmp_path: Path) -> None:
    """ONNX Runtime queues device ids, run counts and error texts for its maker's collector, unless it is told not to."""
    environment = {name: value for name, value in os.environ.items() if name not in {"CI", "ORT_DISABLE_TELEMETRY"}}
    done = subprocess.run(
        [sys.executable, "-c", ASK.format(root=str(ROOT), tests=str(ROOT / "tests"))],
        env=environment | {"HOME": str(tmp_path)}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [str(path) for path in tmp_path.rglob("*") if path.is_file()] == []
