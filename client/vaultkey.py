"""Where the vault's key is kept: in the operating system's keyring where there is a real one, else in a 0600 file.

The file `keys/vault.key` holds the key itself, or says in which keyring it is and under which name, so that a start
looks in one place only and imports `keyring`, which is slow, only where that holds the key.
"""

import fcntl
import logging
import os
import queue
import secrets
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from shared.errors import InputError
from shared.files import sync, write_secret

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

log = logging.getLogger(__name__)

KEY_BYTES = 32
SERVICE = "covey"
"""Under which name a keyring shows the agent's keys to its owner."""

ANSWER_SECONDS = 5.0
"""How long a keyring may take: one that waits for somebody to type a password must not hold the agent."""

_IN_KEYRING = b"keyring "
T = TypeVar("T")


def find(file: Path) -> bytes | None:
    """The key, of 32 bytes; None if there is none, or none any more.

    Raise `InputError` where the key may still exist but cannot be read now: the keyring is locked or does not answer.
    """
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"the vault's key {file} cannot be read ({error.strerror}); let its owner read it") from None
    if data.startswith(_IN_KEYRING):
        return _from_keyring(file, data)
    if len(data) == KEY_BYTES:
        return data
    log.warning("the vault's key %s is damaged: what it sealed is gone", file)
    return None


def find_or_make(file: Path) -> bytes:
    """The key, made if there is none; what an earlier, lost one sealed stays sealed. Raises as `find`."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(file.parent):
            return find(file) or _make(file)
    except OSError as error:
        raise InputError(f"the vault's key {file} cannot be written: {error.strerror}") from None


def destroy(file: Path) -> None:
    """Remove the key from wherever it is. Raise `InputError`, with nothing changed, if the keyring does not answer."""
    with suppress(FileNotFoundError), _alone(file.parent):
        with suppress(FileNotFoundError):
            data = file.read_bytes()
            if data.startswith(_IN_KEYRING):
                _remove_from_keyring(file, data)
        for one in (file, _aside(file)):
            one.unlink(missing_ok=True)
        sync(file.parent)


@contextmanager
def _alone(folder: Path) -> Generator[None]:
    """Only one process at a time makes or removes a key."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _make(file: Path) -> bytes:
    key = secrets.token_bytes(KEY_BYTES)
    with suppress(FileNotFoundError):
        file.rename(_aside(file))
    write_secret(file, _into_keyring(key) or key)
    return key


def _aside(file: Path) -> Path:
    return file.with_name(f"{file.name}.lost")


def _into_keyring(key: bytes) -> bytes | None:
    """Keep the key in a real keyring and return the note that finds it; None where there is none that answers."""
    name = secrets.token_hex(8)
    try:
        kept = _ask(lambda: _offer(name, key.hex()))
    except InputError as error:
        log.warning("the vault's key is kept in a file: %s", error)
        return None
    return _IN_KEYRING + f"{name} {kept}".encode() if kept else None


def _offer(name: str, secret: str) -> str | None:
    """Store a secret and read it back; returns the keyring's own name."""
    keyring = _real_keyring()
    if keyring is None:
        return None
    keyring.set_password(SERVICE, name, secret)
    return _name_of(keyring) if keyring.get_password(SERVICE, name) == secret else None


def _from_keyring(file: Path, note: bytes) -> bytes | None:
    name, kind = _read_note(note)
    found = _ask(lambda: _same_keyring(file, kind).get_password(SERVICE, name))
    with suppress(ValueError):
        if found and len(key := bytes.fromhex(found)) == KEY_BYTES:
            return key
    log.warning("the vault's key is gone from the operating system's keyring: what it sealed is gone")
    return None


def _remove_from_keyring(file: Path, note: bytes) -> None:
    name, kind = _read_note(note)

    def remove() -> None:
        keyring = _same_keyring(file, kind)
        if keyring.get_password(SERVICE, name) is not None:
            keyring.delete_password(SERVICE, name)

    _ask(remove)


def _read_note(note: bytes) -> tuple[str, str]:
    name, _, kind = note.removeprefix(_IN_KEYRING).decode(errors="replace").partition(" ")
    return name, kind


def _same_keyring(file: Path, kind: str) -> "KeyringBackend":
    """The keyring that took the key; another one, as before anybody logs in, knows nothing of it."""
    keyring = _real_keyring()
    if keyring is None or _name_of(keyring) != kind:
        raise InputError(f"the keyring {kind} that holds the key of {file} is not there; log in, or unlock it")
    return keyring


def _real_keyring() -> "KeyringBackend | None":
    """The keyring that protects what it is given: `keyring` gives such a priority of 1 or more, and plain files less."""
    import keyring
    from keyring.backends import chainer, fail, null

    chosen: Any = keyring.get_keyring()
    unreal = (chainer.ChainerBackend, fail.Keyring, null.Keyring)
    offered = chosen.backends if isinstance(chosen, chainer.ChainerBackend) else [chosen]
    return next((one for one in offered if not isinstance(one, unreal) and one.priority >= 1), None)


def _name_of(keyring: "KeyringBackend") -> str:
    return f"{type(keyring).__module__}.{type(keyring).__qualname__}"


def _ask(question: Callable[[], T]) -> T:
    """Put a question to the keyring on a thread of its own; raise `InputError` if it fails or takes too long."""
    answers: queue.SimpleQueue[tuple[T, None] | tuple[None, Exception]] = queue.SimpleQueue()

    def answer() -> None:
        try:
            answers.put((question(), None))
        except Exception as error:  # noqa: BLE001 - each keyring fails in its own way
            answers.put((None, error))

    threading.Thread(target=answer, name="keyring", daemon=True).start()
    try:
        found, error = answers.get(timeout=ANSWER_SECONDS)
    except queue.Empty:
        raise InputError(f"the operating system's keyring did not answer within {ANSWER_SECONDS:g} s") from None
    if isinstance(error, InputError):
        raise error
    if error is not None:
        raise InputError(f"the operating system's keyring cannot be used: {error or type(error).__name__}")
    return found  # type: ignore[return-value]
