"""What the coordinator signed, fetched and verified by The Update Framework from the root pinned when joining."""

# pyright: reportPrivateImportUsage=false
# TUF documents these names here, though its modules do not mark them as exported.

import logging
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
from tuf.api import exceptions as tuf
from tuf.api.metadata import Metadata, TargetFile, Targets
from tuf.ngclient import FetcherInterface, Updater

from client import clock
from client.config import AgentHome
from client.coordinator import trust_only
from shared import wire
from shared.errors import InputError, ReleaseError, Unreachable, WireError
from shared.files import write_whole
from shared.models import Artifact, Release
from shared.rollout import PATH as ROLLOUT
from shared.rollout import Rollout
from shared.roster import PATH as ROSTER
from shared.tasks import Task

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 10.0
PATIENCE_SECONDS = 120.0
MOST_OF_A_ROLLOUT = 4096
"""Bytes; a document has some 150."""


class HttpsFetcher(FetcherInterface):
    """Fetches over TLS, trusting the federation's own certificate authority and no other."""

    def __init__(self, ca: bytes) -> None:
        """`ca` is the authority's certificate in PEM; `sent` counts the bytes of requests, for the owner's audit log."""
        context = trust_only(ca)
        plain = {"accept-encoding": "identity"}  # what is hashed is what travels
        self._client = httpx.Client(verify=context, timeout=TIMEOUT_SECONDS, trust_env=False, headers=plain)
        self.sent = 0

    def _fetch(self, url: str) -> Iterator[bytes]:
        """Stream the body, in chunks that TUF counts against the signed length."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        try:
            request = self._client.build_request("GET", url)
            self.sent += len(str(request.url)) + sum(len(name) + len(value) for name, value in request.headers.raw)
            with closing(self._client.send(request, stream=True)) as response:
                if not response.is_success:
                    raise tuf.DownloadHTTPError(f"{url} answered {response.status_code}", response.status_code)
                for chunk in response.iter_raw():
                    if time.monotonic() > deadline:
                        raise tuf.SlowRetrievalError(f"{url} took longer than {PATIENCE_SECONDS:.0f} s")
                    yield chunk
        except httpx.HTTPError as error:
            raise tuf.DownloadError(f"{url}: {error}") from error


class Trust:
    """The signed repository as it is now: refreshed once, then listed, read and downloaded from."""

    def __init__(self, home: AgentHome, *, base_url: str, fetcher: FetcherInterface) -> None:
        """Refresh root, timestamp, snapshot and targets, or raise `Unreachable` or `ReleaseError`.

        `base_url` is the coordinator's; the trust is rooted in `home.root_file`.
        """
        self._home, self._fetcher = home, fetcher
        root = _pinned_root(home)
        _check_clock(home)
        with _in_plain_words():
            self._updater = Updater(
                metadata_dir=str(home.metadata),
                metadata_base_url=f"{base_url}/tuf/metadata/",
                target_dir=str(home.staging),
                target_base_url=f"{base_url}/tuf/targets/",
                fetcher=fetcher,
                bootstrap=root,
            )
            self._updater.refresh()
            clock.note(home)

    @property
    def sent(self) -> int:
        """Bytes of requests so far, where they travelled over a network."""
        return self._fetcher.sent if isinstance(self._fetcher, HttpsFetcher) else 0

    def task(self, name: str | None = None) -> Task:
        """The signed task called `name`, or the only one there is; kept as `keep_task` keeps it."""
        file = self.keep_task(name)
        return wire.from_json(Task, file.read_bytes(), what=f"tasks/{file.name}")

    def keep_task(self, name: str | None = None) -> Path:
        """Bring the signed task called `name`, or the only one, up to date: the `signed` file of its `TaskHome`."""
        with _in_plain_words():
            target = self._target(f"tasks/{name}.json" if name else self._only_task())
            file = self._home.task(Path(target.path).stem).signed
            if not self._updater.find_cached_target(target, str(file)):
                draft = Path(self._updater.download_target(target, str(self._home.staging / "task.json")))
                file.parent.mkdir(parents=True, exist_ok=True)
                write_whole(file, draft.read_bytes())
        return file

    def keep_roster(self) -> None:
        """Bring the signed roster up to date, if there is one: `AgentHome.roster`."""
        with _in_plain_words():
            target = self._updater.get_targetinfo(ROSTER)
            if target is None or self._updater.find_cached_target(target, str(self._home.roster)):
                return
            draft = Path(self._updater.download_target(target, str(self._home.staging / ROSTER)))
            write_whole(self._home.roster, draft.read_bytes())

    def releases(self, task: str) -> Iterator[Release]:
        """The releases signed for `task`, newest first, each read as it is asked for."""
        with _in_plain_words():
            paths = [path for path in self._paths() if path.startswith(f"releases/{task}/")]
        for path in sorted((path for path in paths if path.endswith("/fp32.onnx")), key=_number, reverse=True):
            with _in_plain_words():
                custom = _custom(self._target(path))
            yield _in_its_place(wire.decode(Release, custom, what=path), task, path)

    def rollout(self, task: str) -> Rollout | None:
        """What the online rollout role says of `task` now; kept, so that it is fetched once.

        None where it says nothing, or nothing that can be understood: whoever holds the role's key may halt a release, and
        must not keep a device from what targets sign.

        No number is remembered here, because that would protect from nobody: without the role's key nothing older comes
        back, since the version of what the role signs never falls here, and with the key any number can be signed.
        """
        path, file = f"{ROLLOUT}/{task}.json", self._home.task(task).rollout
        with _in_plain_words():
            target = self._updater.get_targetinfo(path)
            if target is None:
                return None
            if target.length > MOST_OF_A_ROLLOUT:
                log.warning("%s says nothing: it is %d bytes long", path, target.length)
                return None
            if not self._updater.find_cached_target(target, str(file)):
                draft = Path(self._updater.download_target(target, str(self._home.staging / "rollout.json")))
                file.parent.mkdir(parents=True, exist_ok=True)
                write_whole(file, draft.read_bytes())
        return _understood(file.read_bytes(), task, path)

    def download(self, artifact: Artifact, file: Path) -> None:
        """Fetch an artifact to `file`, with the signed length and hash; whoever gives it a name makes it durable."""
        with _in_plain_words():
            self._updater.download_target(self._target(artifact.path), str(file))

    def keep(self, artifact: Artifact, body: bytes, file: Path) -> None:
        """Write what was made here to `file` if it has the signed length and hash; else `ReleaseError`."""
        with _in_plain_words():
            self._target(artifact.path).verify_length_and_hashes(body)
            file.write_bytes(body)

    def _paths(self) -> list[str]:
        """Every path that is signed: the updater lists none, but keeps what it has just verified."""
        return list(Metadata[Targets].from_file(str(self._home.metadata / "targets.json")).signed.targets)

    def _only_task(self) -> str:
        tasks = [path for path in self._paths() if path.startswith("tasks/")]
        if len(tasks) != 1:
            names = sorted(Path(path).stem for path in tasks)
            raise InputError(f"the federation has {len(tasks)} tasks {names}; name one with --task")
        return tasks[0]

    def _target(self, path: str) -> TargetFile:
        target = self._updater.get_targetinfo(path)
        if target is None:
            raise ReleaseError(f"the federation has not signed {path}; ask its operator whether the name is right")
        return target


def _number(path: str) -> int:
    """A release's number, from `releases/TASK/NUMBER/FILE`."""
    number = path.split("/")[2]
    return int(number) if number.isascii() and number.isdigit() else 0


def _in_its_place(release: Release, task: str, path: str) -> Release:
    """The release that `path` promises, which gives way to an older one or to none."""
    if (release.task, release.number) != (task, _number(path)):
        raise ReleaseError(f"{path} speaks of release {release.number} of {release.task!r}; it changes nothing")
    if release.fallback >= release.number:
        raise ReleaseError(
            f"release {release.number} gives way to release {release.fallback}, which is not an older one"
        )
    return release


def _understood(body: bytes, task: str, path: str) -> Rollout | None:
    try:
        rollout = wire.from_json(Rollout, body, what=path)
    except WireError as error:
        log.warning("%s says nothing: %s", path, error)
        return None
    if rollout.task != task:
        log.warning("%s says nothing: it speaks of task %r", path, rollout.task)
        return None
    return rollout


def _custom(target: TargetFile) -> dict[str, Any]:
    custom: Any = target.unrecognized_fields.get("custom")
    return custom if isinstance(custom, dict) else {}


def _pinned_root(home: AgentHome) -> bytes:
    try:
        return home.root_file.read_bytes()
    except OSError:
        raise InputError(f"{home.root_file}, by which releases are trusted, is missing; leave and join again") from None


def _check_clock(home: AgentHome) -> None:
    if behind := clock.went_back(home, time.time()):
        raise ReleaseError(f"this device's clock went back by {behind / 3600:.1f} h; set it right, then updates go on")


@contextmanager
def _in_plain_words() -> Generator[None]:
    """Turn TUF's errors into Covey's, each with what it means and what to do."""
    try:
        yield
    except tuf.ExpiredMetadataError as error:
        raise ReleaseError(f"{error}: the coordinator stopped signing, or this device's clock is wrong") from None
    except tuf.UnsignedMetadataError as error:
        raise ReleaseError(f"{error}: signed by nobody whom this device trusts; it changes nothing") from None
    except tuf.DownloadLengthMismatchError as error:
        raise ReleaseError(f"a file is longer than what was signed ({error}); it was thrown away") from None
    except tuf.DownloadError as error:
        raise Unreachable(f"the coordinator's releases cannot be fetched: {error.__cause__ or error}") from None
    except (tuf.RepositoryError, tuf.StorageError) as error:
        raise ReleaseError(f"the signed metadata does not hold together: {error}; nothing was changed") from None
    except OSError as error:
        raise ReleaseError(f"the release cannot be stored: {error.strerror} ({error.filename})") from None
