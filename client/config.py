"""Where an agent keeps its files, and what its owner decided."""

import os
from dataclasses import dataclass
from pathlib import Path

from shared import wire
from shared.errors import InputError, WireError
from shared.privacy import PrivacyBudget


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """The weakest plan that the owner accepts, beside the signed task's own limits."""

    min_noise_multiplier: float = 0.0
    max_sample_rate: float = 1.0
    max_steps: int = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """What `agent.toml` holds; the owner may edit it, and it is read again for every request.

    `coordinator` is `host:port`; `data` is a Parquet or CSV file; `health` allows plain self-test reports.
    """

    name: str
    coordinator: str
    federation: str
    task: str
    data: str
    budget: PrivacyBudget
    floor: Floor = Floor()
    paused: bool = False
    health: bool = True


@dataclass(frozen=True, slots=True)
class AgentHome:
    """An agent's directory; every path that the client side uses is named here."""

    path: Path

    @property
    def settings_file(self) -> Path:
        """The owner's decisions."""
        return self.path / "agent.toml"

    @property
    def database(self) -> Path:
        """The ledger, consents and replies."""
        return self.path / "agent.db"

    @property
    def key(self) -> Path:
        """The device's private key, 0600."""
        return self.path / "keys" / "device.key"

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
    def task_file(self) -> Path:
        """The signed task, as verified JSON."""
        return self.path / "trust" / "task.json"

    @property
    def staging(self) -> Path:
        """Downloads that nobody trusts yet."""
        return self.path / "staging"

    @property
    def releases(self) -> Path:
        """One directory a release, and `current`, which names the one that serves."""
        return self.path / "releases"

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
    def log(self) -> Path:
        """Structured log lines."""
        return self.path / "agent.log"

    def settings(self) -> AgentSettings:
        """Read `agent.toml`, or raise `InputError` naming the field."""
        try:
            return wire.from_toml(AgentSettings, self.settings_file.read_bytes(), what="agent.toml")
        except FileNotFoundError:
            raise InputError(f"{self.path} holds no agent; make one with `covey-agent join`") from None
        except OSError as error:
            raise InputError(f"{self.settings_file} cannot be read: {error.strerror}") from None
        except WireError as error:
            raise InputError(f"{self.settings_file} cannot be used: {error}") from None


def default_home() -> Path:
    """`$COVEY_AGENT_HOME`, or `./agent`."""
    return Path(os.environ.get("COVEY_AGENT_HOME", "agent"))
