"""A terminal in a browser is a process of what serves the page, and goes with it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from coordinator import ROOT, lives, until

SERVER = """
import os, subprocess, sys, time
child = subprocess.Popen(
    [sys.executable, "-m", "server", "--home", sys.argv[1], "--read-only"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL, env=dict(os.environ, TEXTUAL_DRIVER="textual.drivers.web_driver:WebDriver"),
)
child.stdout.read(100)
time.sleep(2)
print(child.pid, flush=True)
os._exit(0)
"""


@pytest.mark.proof
def test_it_ends_when_its_server_does(told: Path) -> None:
    served = subprocess.run(
        [sys.executable, "-c", SERVER, str(told)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    child = int(served.stdout)
    assert child != os.getpid()
    until(lambda: not lives(child))
