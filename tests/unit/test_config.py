"""Settings that a person wrote are read strictly; what is wrong is named with its file and field."""

from pathlib import Path

import pytest

from client.config import AgentHome
from client.policyfile import add_task, render
from client.settings import AgentSettings, Ceilings, Conditions, Floor, Keep, Period, TaskGrant
from server.config import Federation
from shared.errors import InputError
from shared.privacy import PrivacyBudget

MONTH = Period(days=30.0, epsilon=0.5)

AGENT = """
name = "ada"
coordinator = "127.0.0.1:8443"
federation = "works"
budget = { epsilon = 4.0, delta = 1e-5 }
tasks.machines.data = "rows.csv"
"""

SPOILT_AGENTS = {
    "budget": (AGENT.replace("budget = { epsilon = 4.0, delta = 1e-5 }", ""), "lacks the fields ['budget']"),
    "no epsilon": (AGENT.replace("epsilon = 4.0, ", ""), "agent.toml.budget lacks the fields ['epsilon']"),
    "negative epsilon": (AGENT.replace("4.0", "-1.0"), "epsilon must be positive"),
    "unknown": (AGENT + "seed = 7\n", "unknown fields ['seed']"),
    "a task without data": (
        AGENT.replace('data = "rows.csv"', "enabled = true"),
        "tasks.machines lacks the fields ['data']",
    ),
    "a share of nothing": (AGENT + "tasks.machines.epsilon = 0.0\n", "epsilon must be positive"),
    "hours": (AGENT + 'conditions.hours = "late"\n', "hours must be two times such as 22:00-06:00"),
    "a ceiling on the floor": (AGENT + "ceilings.memory_mb = 1\n", "memory_mb at least 64"),
    "another trainer": (AGENT + 'trainer = "heavy"\n', "agent.toml.trainer must be one of"),
    "an endless period": (AGENT + "period = { days = 0.0, epsilon = 1.0 }\n", "days and epsilon must be positive"),
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
    assert AgentHome(tmp_path).only_task().name == "machines"


def test_what_is_written_for_an_owner_is_read_back_as_it_was_meant(tmp_path: Path) -> None:
    settings = AgentSettings(
        name="ada", coordinator="127.0.0.1:1", federation='Größe "7"', budget=PrivacyBudget(epsilon=2.5, delta=1e-6),
        tasks={"one": TaskGrant(data="/r \\ x.csv"), "two": TaskGrant(data="", enabled=False, epsilon=1.0, period=MONTH)},
        period=MONTH, floor=Floor(max_steps=9, min_normalizer=4.0), conditions=Conditions(idle_only=True, hours="22:00-06:00"),
        ceilings=Ceilings(memory_mb=99), keep=Keep(days=7.0), trainer="light", paused=True, health=False,
    )  # fmt: skip
    home = AgentHome(tmp_path)
    home.settings_file.write_text(render(settings), encoding="utf-8")
    assert home.settings() == settings
    add_task(home, "three", TaskGrant(data="more.csv", epsilon=0.5))
    assert home.settings().tasks["three"] == TaskGrant(data="more.csv", epsilon=0.5)
    assert [place.name for place in home.tasks()] == ["one", "two", "three"]
    with pytest.raises(InputError, match="has a task 'one' already"):
        add_task(home, "one", TaskGrant(data=""))
    with pytest.raises(InputError, match="has 3 tasks"):
        home.only_task()
    with pytest.raises(InputError, match="has no task 'four'"):
        home.only_task("four")


def test_a_file_that_cannot_be_edited_safely_is_left_as_it_was(tmp_path: Path) -> None:
    home = AgentHome(tmp_path)
    home.settings_file.write_text(
        AGENT.replace('tasks.machines.data = "rows.csv"', 'tasks = { machines = { data = "rows.csv" } }')
    )
    before = home.settings_file.read_text()
    with pytest.raises(InputError, match="cannot be edited safely; add this there yourself"):
        add_task(home, "more", TaskGrant(data=""))
    assert home.settings_file.read_text() == before


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
