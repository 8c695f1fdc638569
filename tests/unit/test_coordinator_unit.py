"""The coordinator's service definition is valid for systemd, whatever the directory is called, and gives up every privilege."""

import shutil
import subprocess
from pathlib import Path

import pytest
from coordinator import covey

from server.units import systemd

NAMES = ("federation", "my federation", "100% $HOME", 'so "called"')
NEEDED = shutil.which("systemd-analyze")


@pytest.mark.skipif(not NEEDED, reason="this machine has no systemd to ask")
@pytest.mark.parametrize("user", ["daemon", ""], ids=["of the machine", "of one user"])
@pytest.mark.parametrize("name", NAMES)
def test_systemd_finds_no_fault_in_the_unit(tmp_path: Path, name: str, user: str) -> None:
    file = tmp_path / "covey.service"
    file.write_text(systemd(tmp_path / name, user=user), encoding="utf-8")
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(file)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    ours = [line for line in (said.stdout + said.stderr).splitlines() if "covey" in line]
    assert (said.returncode, ours) == (0, [])


@pytest.mark.skipif(not NEEDED, reason="this machine has no systemd to ask")
def test_systemd_calls_what_is_left_exposed_little(tmp_path: Path) -> None:
    """2.0 is what systemd calls OK; what is left is the network that it is for, and a user of its own."""
    file = tmp_path / "covey.service"
    file.write_text(systemd(tmp_path / "federation", user="nobody"), encoding="utf-8")
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=25", "--no-pager", str(file)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == 0, said.stdout


def test_the_unit_takes_every_privilege_away(tmp_path: Path) -> None:
    unit = systemd(tmp_path / "federation", user="covey").splitlines()
    wanted = {"NoNewPrivileges=yes", "PrivateTmp=yes", "ProtectSystem=strict", "CapabilityBoundingSet=", "UMask=0077"}
    assert wanted | {"User=covey", f"ReadWritePaths={tmp_path / 'federation'}"} <= set(unit)


def test_the_command_prints_the_unit_of_this_federation(tmp_path: Path) -> None:
    home = tmp_path / "federation"
    assert covey(home, "init").returncode == 0
    shown = covey(home, "unit", "--user", "covey")
    assert shown.stdout == systemd(home.resolve(), user="covey")
    assert "WantedBy=default.target" in covey(home, "unit", "--user-unit").stdout
    forged = covey(home, "unit", "--user", "covey\nExecStartPre=/bin/sh")
    assert (forged.returncode, forged.stdout, "no user's name" in forged.stderr) == (1, "", True)
    refused = covey(home, "unit", "--user-unit", "--user", "covey")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
