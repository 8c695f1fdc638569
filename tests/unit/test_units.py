"""Service definitions are valid for the tools that read them, whatever the directory is called."""

import plistlib
import shutil
import subprocess
from pathlib import Path

import pytest

from client.config import AgentHome
from client.policyfile import render as render_policy
from client.settings import AgentSettings, TaskGrant
from client.units import render
from shared.errors import InputError
from shared.privacy import PrivacyBudget

NAMES = ("agent", "my agent", "100% $HOME", 'so "called"')


def agent_in(path: Path) -> AgentHome:
    path.mkdir(parents=True)
    settings = AgentSettings(
        name="ada", coordinator="127.0.0.1:8443", federation="works", budget=PrivacyBudget(epsilon=1, delta=1e-5),
        tasks={"machines": TaskGrant(data=str(path / "rows.csv"))},
    )  # fmt: skip
    home = AgentHome(path)
    home.settings_file.write_text(render_policy(settings), encoding="utf-8")
    return home


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="this machine has no systemd to ask")
@pytest.mark.parametrize("name", NAMES)
def test_systemd_finds_no_fault_in_the_unit(tmp_path: Path, name: str) -> None:
    home, units = agent_in(tmp_path / name), tmp_path / "units"
    units.mkdir()
    (units / "covey-agent.service").write_text(render("systemd", home), encoding="utf-8")
    (units / "covey-agent.socket").write_text(render("systemd-socket", home), encoding="utf-8")
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(units / "covey-agent.service"), str(units / "covey-agent.socket")]  # fmt: skip
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    ours = [line for line in (said.stdout + said.stderr).splitlines() if "covey-agent" in line]
    assert (said.returncode, ours) == (0, [])


def test_the_unit_takes_every_privilege_away(tmp_path: Path) -> None:
    unit = render("systemd", agent_in(tmp_path / "agent")).splitlines()
    wanted = {"NoNewPrivileges=yes", "PrivateTmp=yes", "ProtectSystem=strict", "CapabilityBoundingSet=", "UMask=0077"}
    assert wanted <= set(unit)
    assert f"ReadWritePaths={tmp_path / 'agent'} {tmp_path / 'agent'}" in unit


@pytest.mark.parametrize("name", NAMES)
def test_the_property_list_starts_this_agent(tmp_path: Path, name: str) -> None:
    home = agent_in(tmp_path / name)
    document = plistlib.loads(render("launchd", home).encode())
    assert document["ProgramArguments"][1:] == ["-m", "client", "run", "--home", str(home.path)]
    assert document["KeepAlive"] is True


def test_another_kind_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no unit for 'upstart'"):
        render("upstart", agent_in(tmp_path / "agent"))
