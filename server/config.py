"""Where a federation keeps its files, and the few settings it has."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from shared import wire
from shared.errors import InputError, WireError

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:]{2,39}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What `federation.toml` holds: the name, and where the coordinator listens."""

    name: str
    host: str = "127.0.0.1"
    port: int = 8443
    admin_port: int = 8444

    def __post_init__(self) -> None:
        """Refuse a host that no certificate can name."""
        if not _HOST.fullmatch(self.host):
            raise ValueError(f"host must be a DNS name or an IP address, got {self.host!r}")


@dataclass(frozen=True, slots=True)
class Federation:
    """A federation's directory; every path that the server side uses is named here."""

    home: Path

    @property
    def settings_file(self) -> Path:
        """Name and addresses."""
        return self.home / "federation.toml"

    @property
    def database(self) -> Path:
        """The coordinator's store."""
        return self.home / "covey.db"

    @property
    def lock(self) -> Path:
        """Held by the one running coordinator; names its process."""
        return self.home / "coordinator.lock"

    @property
    def rollout_lock(self) -> Path:
        """Held while a rollout's next step is decided and signed."""
        return self.home / "rollout.lock"

    @property
    def tls(self) -> Path:
        """The certificate authority and the server's certificate: `ca.crt`, `ca.key`, `server.crt`, `server.key`."""
        return self.home / "tls"

    @property
    def keys(self) -> Path:
        """Private keys of the TUF roles and of the roster, 0600."""
        return self.home / "keys"

    @property
    def repository(self) -> Path:
        """The TUF repository: `metadata/` and `targets/`."""
        return self.home / "tuf"

    @property
    def superexec_secret(self) -> Path:
        """What a run's child process proves itself with on loopback, 0600."""
        return self.home / "keys" / "superexec.secret"

    @property
    def control_token(self) -> Path:
        """What opens Flower's Control API on loopback, 0600."""
        return self.home / "keys" / "control.token"

    @property
    def logs(self) -> Path:
        """One log file a process."""
        return self.home / "logs"

    def settings(self) -> Settings:
        """Read `federation.toml`, or raise `InputError`."""
        try:
            return wire.from_toml(Settings, self.settings_file.read_bytes(), what="federation.toml")
        except FileNotFoundError:
            raise InputError(f"{self.home} holds no federation; make one with `covey init {self.home}`") from None
        except OSError as error:
            raise InputError(f"{self.settings_file} cannot be read: {error.strerror}") from None
        except WireError as error:
            raise InputError(f"{self.settings_file} cannot be used: {error}") from None


READ_ONLY = "COVEY_READ_ONLY"
"""Set to 1 in the environment, it makes every session one that only reads."""


def only_reads() -> bool:
    """Whether the environment says that this session only reads."""
    return os.environ.get(READ_ONLY, "").lower() not in {"", "0", "false", "no", "off"}


def default_home() -> Path:
    """`$COVEY_HOME`, or `./federation`."""
    return Path(os.environ.get("COVEY_HOME", "federation"))
