"""Targets: what is in files and arrays: the flat array of a message, a delta, a model's graph, signed metadata."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from flwr.app import Array, ArrayRecord, RecordDict

from shared import messages
from shared.architecture import initial_weights, size
from shared.compression import Compression, Noised, decode, encode, public_seed
from shared.delta import apply_delta, make_delta
from shared.hostile import check_model_file
from shared.models import Precision
from shared.noise import CipherStream
from simulations.fuzz import samples
from simulations.fuzz.documents import simple
from simulations.fuzz.target import Run, Target, pack, unpack

_SIZE = size(samples.TASK)


def targets() -> tuple[Target, ...]:
    """All of them."""
    return (
        simple("message.array", ("json", "bytes"), 60, _arrays, _array),
        simple("message.compressed", ("text", "bytes"), 40, _compressed, _decompressed),
        simple("file.delta", ("bytes", "bytes"), 40, _deltas, _delta),
        simple("file.model", ("proto",), 10, _models, _model),
        Target(
            name="file.signed-metadata", parts=("json", "json", "json", "json"), share=4, seeds=_metadata, open=_updater
        ),
    )  # fmt: skip


def tmpfs() -> str | None:
    """A place in memory for what is written over and over, if this machine has one."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a fresh folder is made in it


def array_parts() -> tuple[bytes, bytes]:
    """The words about an array and its bytes, as Flower sends them."""
    array = Array(initial_weights(samples.TASK))
    words = {"dtype": array.dtype, "shape": array.shape, "stype": array.stype}
    return json.dumps(words).encode(), array.data


def make_array(words: bytes, data: bytes) -> Array | None:
    """An array that says anything of itself, as far as Flower's own form can hold it."""
    try:
        said: Any = json.loads(words)
        return Array(dtype=said["dtype"], shape=tuple(said["shape"]), stype=said["stype"], data=data)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _arrays() -> Sequence[bytes]:
    words, data = array_parts()
    odd = np.array([np.nan, np.inf] + [0.0] * (_SIZE - 2), dtype=np.float32)
    double = Array(np.zeros(_SIZE))
    said = json.dumps({"dtype": double.dtype, "shape": double.shape, "stype": double.stype}).encode()
    return [pack(words, data), pack(words, Array(odd).data), pack(said, double.data)]


def _array(data: bytes) -> str:
    words, payload = unpack(data, 2)
    array = make_array(words, payload)
    content = RecordDict({"array": ArrayRecord({"flat": array})}) if array is not None else RecordDict()
    found = messages.unpack_array(content, size=_SIZE)
    if found.shape != (_SIZE,) or not np.isfinite(found).all():
        raise ValueError("an array came through that is not what was asked for")
    return "read"


_SCHEMES = {
    "int8": Compression(kind="int8"), "eden": Compression(kind="eden", bits=3),
    "rand-k": Compression(kind="rand-k", fraction=0.3), "feedback": Compression(kind="eden", bits=1, feedback=True),
}  # fmt: skip
_LONG = 3000
"""Values of an update that is long enough for every way of packing."""


def _compressed() -> Sequence[bytes]:
    values, stream = np.linspace(-1, 1, _LONG, dtype=np.float32), CipherStream(bytes(32))
    update = Noised(values=values, cost=samples.round_plan().cost)
    seed = public_seed(7, 3, "ada")
    return [
        pack(name.encode(), encode(update, scheme, seed=seed, words=stream.words)) for name, scheme in _SCHEMES.items()
    ]  # fmt: skip


def _decompressed(data: bytes) -> str:
    """What a coordinator unpacks of a device's update."""
    name, packed = unpack(data, 2)
    scheme = _SCHEMES.get(name.decode("utf-8", "replace"))
    if scheme is None:
        return "no scheme"
    found = decode(packed, scheme, size=_LONG, seed=public_seed(7, 3, "ada"))
    if found.shape != (_LONG,) or not np.isfinite(found).all():
        raise ValueError("what was unpacked is no update")
    return str(scheme)


def _deltas() -> Sequence[bytes]:
    old, new = bytes(range(256)) * 4, bytes(range(255, -1, -1)) * 4
    return [
        pack(old, make_delta(old, new)), pack(old, make_delta(old, old)), pack(b"", make_delta(b"", new)),
        pack(old, make_delta(old, bytes(2_000_000))),
    ]  # fmt: skip


def _delta(data: bytes) -> str:
    old, delta = unpack(data, 2)
    if len(apply_delta(old, delta, size=1024)) != 1024:
        raise ValueError("a delta made something of another size")
    return "applied"


def _models() -> Sequence[bytes]:
    from server.export import export

    forms: tuple[Precision, ...] = ("fp32", "int8")
    models = (
        export(task, initial_weights(task), version=1, precision=precision)
        for task in samples.tasks()
        for precision in forms
    )
    return [model for model in models if len(model) < 60_000]


def _model(data: bytes) -> str:
    check_model_file(data, what="model")
    return "accepted"


_FILES = ("timestamp.json", "2.snapshot.json", "2.targets.json", "2.root.json")


@lru_cache(maxsize=1)
def _signed() -> dict[str, bytes]:
    """A federation's signed metadata, with one task and a second root; its keys are the same each time."""
    from server.config import Federation
    from server.releases import create_repository, publish_task
    from server.repository import Repository
    from server.role_keys import ROLE_KEYS, ROOT_KEYS

    with tempfile.TemporaryDirectory(prefix="covey-", dir=tmpfs()) as folder:
        federation = Federation(Path(folder) / "federation")
        federation.keys.mkdir(parents=True)
        for name in (*ROOT_KEYS, *ROLE_KEYS):
            key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())
            pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            (federation.keys / f"{name}.key").write_bytes(pem)
        create_repository(federation)
        publish_task(federation, samples.TASK)
        Repository(federation).renew_root()
        return {file.name: file.read_bytes() for file in (federation.repository / "metadata").iterdir()}


def _metadata() -> Sequence[bytes]:
    return [pack(*(_signed()[name] for name in _FILES))]


@contextmanager
def _updater() -> Generator[Run]:
    """A device that refreshes from what an input says the repository holds; it may trust what was signed, and no more."""
    from tuf.api import exceptions
    from tuf.api.metadata import Metadata
    from tuf.ngclient import FetcherInterface

    from client.config import AgentHome
    from client.trust import Trust

    document = Metadata[Any]

    class Served(FetcherInterface):
        """Serves an input's parts as the files of a repository."""

        files: dict[str, bytes]

        def _fetch(self, url: str) -> Iterator[bytes]:
            body = self.files.get(url.rpartition("/")[2])
            if body is None:
                raise exceptions.DownloadHTTPError("not found", 404)
            yield body

    # TUF verifies what it understood of a file: what it leaves unread, a stranger may add, and it changes nothing.
    known = [document.from_bytes(body).signed for body in _signed().values()]
    with tempfile.TemporaryDirectory(prefix="covey-", dir=tmpfs()) as folder:
        home, served = AgentHome(Path(folder)), Served()

        def run(data: bytes) -> str:
            served.files = dict(zip(_FILES, unpack(data, len(_FILES)), strict=True))
            for needed in (home.metadata, home.staging):
                shutil.rmtree(needed, ignore_errors=True)
                needed.mkdir(parents=True)
            home.root_file.write_bytes(_signed()["1.root.json"])
            Trust(home, base_url="https://coordinator", fetcher=served)
            for name in ("timestamp", "snapshot", "targets", "root"):
                if document.from_file(str(home.metadata / f"{name}.json")).signed not in known:
                    raise ValueError(f"{name} was trusted, and nobody signed it")
            return "trusted"

        yield run
