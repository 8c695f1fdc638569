"""Settings that a person wrote are read strictly; what is wrong is named with its file and field."""

from pathlib import Path

import pytest

from client.config import AgentHome
from server.config import Federation
from shared.errors import InputError

AGENT = """
name = "ada"
coordinator = "127.0.0.1:8443"
federation = "works"
task = "machines"
data = "rows.csv"
budget = { epsilon = 4.0, delta = 1e-5 }
"""

SPOILT_AGENTS = {
    "budget": (AGENT.replace("budget = { epsilon = 4.0, delta = 1e-5 }", ""), "lacks the fields ['budget']"),
    "no epsilon": (AGENT.replace("epsilon = 4.0, ", ""), "agent.toml.budget lacks the fields ['epsilon']"),
    "negative epsilon": (AGENT.replace("4.0", "-1.0"), "epsilon must be positive"),
    "unknown": (AGENT + "seed = 7\n", "unknown fields ['seed']"),
    "words for a flag": (AGENT + 'paused = "yes"\n', "agent.toml.paused must be bool"),
    "not TOML": ("name = ", "is not TOML"),
    "not text": ("\udcff", "is not TOML"),
}


@pytest.mark.parametrize("case", SPOILT_AGENTS)
def test_a_spoilt_agent_file_is_refused_by_name_and_field(tmp_path: Path, case: str) -> None:
    text, says = SPOILT_AGENTS[case]
    (tmp_path / "agent.toml").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InputError) as refused:
        AgentHome(tmp_path).settings()
    assert str(tmp_path / "agent.toml") in str(refused.value)
    assert says in str(refused.value)


def test_a_good_agent_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text(AGENT)
    settings = AgentHome(tmp_path).settings()
    assert (settings.name, settings.budget.epsilon, settings.paused) == ("ada", 4.0, False)


def test_directories_that_hold_nothing_say_how_to_begin(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no agent; make one with `covey-agent join`"):
        AgentHome(tmp_path).settings()
    with pytest.raises(InputError, match="holds no federation; make one with `covey init"):
        Federation(tmp_path).settings()


def test_a_directory_in_the_files_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").mkdir()
    with pytest.raises(InputError, match=r"agent\.toml cannot be read"):
        AgentHome(tmp_path).settings()


def test_a_spoilt_federation_file_is_refused_by_name_and_field(tmp_path: Path) -> None:
    (tmp_path / "federation.toml").write_text('name = "works"\nport = "eighty"\n')
    with pytest.raises(InputError, match=r"federation\.toml\.port must be int"):
        Federation(tmp_path).settings()


@pytest.mark.parametrize("host", ["bad host", "höst", "", "a/b", "-x", "a" * 300])
def test_a_host_that_no_certificate_can_name_is_refused(tmp_path: Path, host: str) -> None:
    (tmp_path / "federation.toml").write_text(f'name = "works"\nhost = "{host}"\n', encoding="utf-8")
    with pytest.raises(InputError, match="host must be a DNS name or an IP address"):
        Federation(tmp_path).settings()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "covey.example.org"])
def test_a_host_that_can_be_named_is_taken(tmp_path: Path, host: str) -> None:
    (tmp_path / "federation.toml").write_text(f'name = "works"\nhost = "{host}"\n', encoding="utf-8")
    assert Federation(tmp_path).settings().host == host
