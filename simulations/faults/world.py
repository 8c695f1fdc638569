"""What each case begins with: a federation that signs, and a device that joined it, trained once and serves.

A case's folder holds `agent`, the device; `coordinator.db`, what the coordinator knows; and `left`, which notes outside
the device every answer that left it. Nothing here needs a network.
"""

import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tuf.api import exceptions
from tuf.ngclient import FetcherInterface

from client.config import AgentHome
from client.policy import fingerprint
from client.policyfile import render
from client.settings import AgentSettings, TaskGrant
from client.store import AgentStore
from client.updates import fetch_task
from server.cli.founding import publish
from server.config import Federation, Settings
from server.founding import found
from server.store import Store
from shared.privacy import PrivacyBudget
from shared.signing import public_key_bytes
from simulations.machines import TASK, Press, write_rows

NAME = "press"
URL = "https://127.0.0.1:1"
BUDGET = PrivacyBudget(epsilon=8.0, delta=1e-5)
NEWEST = 3
"""The release that is signed and not yet installed where a case begins; 1 and 2 are installed."""


class Local(FetcherInterface):
    """Serves a repository directory, as a web server would."""

    def __init__(self, repository: Path) -> None:
        """Of a federation."""
        self._repository = repository

    def _fetch(self, url: str) -> Iterator[bytes]:
        file = self._repository / url.removeprefix(f"{URL}/tuf/")
        if not file.is_file():
            raise exceptions.DownloadHTTPError("not found", 404)
        yield file.read_bytes()


@dataclass(frozen=True, slots=True)
class Place:
    """A case's folder, and the federation that all cases share."""

    folder: Path
    federation: Federation

    @property
    def home(self) -> AgentHome:
        """The device."""
        return AgentHome(self.folder / "agent")

    @property
    def left(self) -> Path:
        """One line an answer that left the device: request, kind, SHA-256."""
        return self.folder / "left"

    @property
    def database(self) -> Path:
        """The coordinator's store, as this case sees it."""
        return self.folder / "coordinator.db"

    def departed(self) -> list[tuple[str, str, str]]:
        """Every answer that left: request, kind and SHA-256."""
        if not self.left.exists():
            return []
        lines = self.left.read_text(encoding="ascii").splitlines()
        return [(request, kind, sha256) for request, kind, sha256 in (line.split(" ") for line in lines)]

    def copy(self, folder: Path) -> "Place":
        """The same again, elsewhere."""
        shutil.copytree(self.folder, folder, symlinks=True, dirs_exist_ok=True)
        return Place(folder, self.federation)


def found_federation(folder: Path) -> tuple[Federation, Press]:
    """Keys, repository, store, and the signed task; its first two releases are signed too."""
    federation = found(folder, Settings(name="works", port=1, admin_port=2))
    with closing(Store(federation.database)) as store:
        publish(federation, store, TASK)
    return federation, Press(federation)


def join(place: Place) -> None:
    """Make the device as `covey-agent join` leaves it: key, trust, the signed task, the owner's consent."""
    home = place.home
    home.key.parent.mkdir(parents=True, mode=0o700)
    key = ec.generate_private_key(ec.SECP384R1())
    form = serialization.PrivateFormat.PKCS8
    home.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    home.key.chmod(0o600)
    home.authority.parent.mkdir(parents=True)
    home.authority.write_bytes((place.federation.tls / "ca.crt").read_bytes())
    repository = place.federation.repository
    root = (repository / "metadata" / "1.root.json").read_bytes()
    fetch_task(home, base_url=URL, root=root, ca=b"", fetcher=Local(repository))
    write_rows(place.folder / "rows.parquet")
    settings = AgentSettings(
        name=NAME, coordinator=URL.removeprefix("https://"), federation="works", budget=BUDGET, trainer="light",
        tasks={TASK.name: TaskGrant(data=str(place.folder / "rows.parquet"))},
    )  # fmt: skip
    home.settings_file.write_text(render(settings), encoding="utf-8")
    with closing(AgentStore(home.database)) as store:
        store.agree(TASK.name, fingerprint(TASK))
    with closing(Store(place.federation.database)) as store:
        store.add_invitation("token", 4e9)
        store.enrol("token", NAME, public_key_bytes(key.public_key()))
        store.set_device_state(NAME, "approved")
    shutil.copy(place.federation.database, place.database)
