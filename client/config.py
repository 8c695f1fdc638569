"""Where an agent keeps its files; what each file holds is said here, once."""

from dataclasses import dataclass
from pathlib import Path

from client.settings import AgentSettings, read_settings
from shared import wire
from shared.errors import InputError, NotEligible
from shared.tasks import Task


@dataclass(frozen=True, slots=True)
class AgentHome:
    """An agent's directory; every path that the client side uses is named here or in `TaskHome`."""

    path: Path

    @property
    def settings_file(self) -> Path:
        """The owner's policy."""
        return self.path / "agent.toml"

    @property
    def database(self) -> Path:
        """The ledger, consents, replies and the audit log."""
        return self.path / "agent.db"

    @property
    def key(self) -> Path:
        """The device's private key, 0600."""
        return self.path / "keys" / "device.key"

    @property
    def vault_key(self) -> Path:
        """What encrypts state at rest where the operating system has no keyring, 0600."""
        return self.path / "keys" / "vault.key"

    @property
    def authority(self) -> Path:
        """The federation's certificate authority, pinned when joining."""
        return self.path / "trust" / "ca.crt"

    @property
    def root_file(self) -> Path:
        """The first TUF root, pinned when joining: what every release is trusted by."""
        return self.path / "trust" / "root.json"

    @property
    def metadata(self) -> Path:
        """Trusted TUF metadata, as last refreshed."""
        return self.path / "trust" / "metadata"

    @property
    def clock_file(self) -> Path:
        """When the metadata was last refreshed; a clock before that is not to be trusted."""
        return self.path / "trust" / "clock"

    @property
    def signed_tasks(self) -> Path:
        """One verified JSON file a task."""
        return self.path / "trust" / "tasks"

    @property
    def staging(self) -> Path:
        """Downloads that nobody trusts yet."""
        return self.path / "staging"

    @property
    def scratch(self) -> Path:
        """Where a training may put what does not fit into memory; emptied at each start."""
        return self.path / "scratch"

    @property
    def socket(self) -> Path:
        """Where predictions are asked for."""
        return self.path / "agent.sock"

    @property
    def lock(self) -> Path:
        """Held by the one running agent; names its process."""
        return self.path / "agent.lock"

    @property
    def update_lock(self) -> Path:
        """Held while an update is fetched and installed; names its process."""
        return self.path / "update.lock"

    @property
    def link_file(self) -> Path:
        """How the running agent stands with the coordinator, in one word."""
        return self.path / "agent.link"

    @property
    def roster(self) -> Path:
        """Who may be part of a sum, as it was signed; verified JSON."""
        return self.path / "roster.json"

    @property
    def log(self) -> Path:
        """Structured log lines."""
        return self.path / "agent.log"

    def task(self, name: str) -> "TaskHome":
        """What belongs to one task."""
        return TaskHome(self, name)

    def tasks(self) -> tuple["TaskHome", ...]:
        """The tasks that the owner's policy names, in its order."""
        return tuple(self.task(name) for name in self.settings().tasks)

    def only_task(self, name: str | None = None) -> "TaskHome":
        """The task called `name`, or the only one; raise `InputError` that lists what there is."""
        known = list(self.settings().tasks)
        if name is None and len(known) == 1:
            return self.task(known[0])
        if name is None:
            raise InputError(f"this agent has {len(known)} tasks, {known}; name one with --task")
        if name not in known:
            raise InputError(f"this agent has no task {name!r}; it has {known}")
        return self.task(name)

    def settings(self) -> AgentSettings:
        """Read `agent.toml`, or raise `InputError` naming the field."""
        return read_settings(self.settings_file)


@dataclass(frozen=True, slots=True)
class TaskHome:
    """What an agent keeps for one task."""

    home: AgentHome
    name: str

    @property
    def path(self) -> Path:
        """The task's own directory."""
        return self.home.path / "tasks" / self.name

    @property
    def signed(self) -> Path:
        """The task as it was signed, verified JSON."""
        return self.home.signed_tasks / f"{self.name}.json"

    @property
    def releases(self) -> Path:
        """One directory a release, and `current`, which names the one that serves."""
        return self.path / "releases"

    @property
    def beside(self) -> Path:
        """A release that is tried beside the one that answers, in a directory of its number."""
        return self.path / "beside"

    @property
    def rollout(self) -> Path:
        """What the online role said last of the newest release, verified JSON."""
        return self.path / "rollout.json"

    @property
    def predictions(self) -> Path:
        """What was predicted here and what came of it, sealed."""
        return self.path / "predictions.db"

    @property
    def snapshots(self) -> Path:
        """Which rows taught which version, sealed."""
        return self.path / "snapshots.db"

    @property
    def feedback(self) -> Path:
        """What compression cut from the last update, for the next one."""
        return self.path / "feedback.bin"

    def signed_task(self) -> Task:
        """The task as it was last verified; raise `NotEligible` before it was, `InputError` if it cannot be read."""
        try:
            return wire.from_json(Task, self.signed.read_bytes(), what="signed task")
        except FileNotFoundError:
            raise NotEligible(f"this device holds no signed task {self.name!r} yet") from None
        except OSError as error:
            raise InputError(f"{self.signed} cannot be read ({error.strerror}); leave and join again") from None
