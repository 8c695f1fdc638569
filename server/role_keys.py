"""The private keys of the repository's roles: Ed25519, one file each, readable by their owner only."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from shared.errors import InputError
from shared.files import sync, write_secret

ROOT_KEYS = ("root1", "root2", "root3")
"""Who may say which keys count. Two of the three sign; the third may lie in a safe."""

ROLE_KEYS = ("targets", "snapshot", "timestamp")

ROLLOUT_KEY = "rollout"
"""Who may say, of releases that `targets` signed, how many devices run the newest one."""

NEXT = ".next"
"""Added to a key's name, the key that takes its place once a rotation is through."""


def make_keys(folder: Path, *names: str) -> None:
    """Make the keys called `names`, by default all, that `folder` lacks; a key that exists is kept."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in names or (*ROOT_KEYS, *ROLE_KEYS, ROLLOUT_KEY):
        if not _file(folder, name).exists():
            key = Ed25519PrivateKey.generate()
            write_secret(_file(folder, name), key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def signing(folder: Path, *names: str) -> tuple[str, ...]:
    """The keys of these names that are here; while one is rotated, the key that follows it signs beside it."""
    both = [one for name in names for one in (name, f"{name}{NEXT}")]
    found = tuple(one for one in both if _file(folder, one).exists())
    return found or names


def put_next_in_place(folder: Path, name: str) -> None:
    """Let the key that follows `name` be the one called so; the one before is gone."""
    _file(folder, f"{name}{NEXT}").replace(_file(folder, name))
    sync(folder)


def read_key(folder: Path, name: str) -> Ed25519PrivateKey:
    """The private key called `name`, or `InputError` that says where it was looked for."""
    file = _file(folder, name)
    try:
        key = load_pem_private_key(file.read_bytes(), password=None)
    except OSError as error:
        raise InputError(f"key {file} cannot be read ({error.strerror}); put it back to sign as {name}") from None
    except ValueError:
        raise InputError(f"key {file} is damaged; restore it from a backup to sign as {name}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"key {file} is not an Ed25519 key; restore it from a backup to sign as {name}")
    return key


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.key"
