"""Agents on disk for a rehearsal: directories as `covey-agent join` leaves them, without a coordinator to join."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from client.config import AgentHome
from client.enrol import new_key
from client.policy import ROLES, fingerprint
from client.policyfile import render
from client.settings import AgentSettings, Floor, TaskGrant
from client.store import AgentStore
from server.store import Store
from shared import wire
from shared.architecture import initial_weights
from shared.privacy import PrivacyBudget, Trust
from shared.roster import Roster
from shared.signing import public_key_bytes
from shared.tasks import Task

FIRST_NODE = 1000


def rehearse(
    store: Store, task: Task, data: Mapping[str, Path], folder: Path, *, budget: PrivacyBudget, trust: Trust = "sums"
) -> dict[int, Path]:
    """Publish `task` in `store` and enrol one agent a data file; returns each node's agent directory."""
    store.add_task(task)
    store.add_initial_version(task.name, task.revision, initial_weights(task).tobytes())
    nodes: dict[int, Path] = {}
    keys: dict[str, str] = {}
    for node, (name, path) in enumerate(sorted(data.items()), start=FIRST_NODE):
        home = AgentHome(folder / name)
        found_agent(home, task, name=name, data=path, budget=budget, trust=trust)
        keys[name] = public_key_bytes(new_key(home).public_key()).decode()
        enrol(store, name, node, keys[name].encode())
        nodes[node] = home.path
    roster = Roster(number=1, devices=keys)
    store.keep_roster(roster)
    for path in nodes.values():
        AgentHome(path).roster.write_bytes(wire.to_json(roster))
    return nodes


def found_agent(
    home: AgentHome, task: Task, *, name: str, data: Path, budget: PrivacyBudget, trust: Trust = "sums"
) -> None:
    """Make an agent directory whose owner has agreed to `task`, with metadata that is fresh for a day."""
    home.metadata.mkdir(parents=True)
    home.signed_tasks.mkdir()
    home.key.parent.mkdir()
    home.task(task.name).signed.write_bytes(wire.to_json(task))
    settings = AgentSettings(
        name=name, coordinator="127.0.0.1:0", federation="rehearsal", budget=budget,
        tasks={task.name: TaskGrant(data=str(data))}, floor=Floor(trust=trust),
    )  # fmt: skip
    home.settings_file.write_text(render(settings), encoding="utf-8")
    expires = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    for role in ROLES:
        (home.metadata / f"{role}.json").write_text(f'{{"signed": {{"expires": "{expires}"}}}}', encoding="utf-8")
    store = AgentStore(home.database)
    store.agree(task.name, fingerprint(task))
    store.close()


def enrol(store: Store, name: str, node: int, key: bytes) -> None:
    """Let a device in under a node's number, as an operator's invitation and approval do."""
    token = f"rehearsal-{name}"
    store.add_invitation(token, datetime.now(UTC).timestamp() + 60)
    store.enrol(token, name, key)
    store.set_device_state(name, "approved")
    store.set_node(name, node)
