"""Encryption at rest: AES-256-GCM under a key that the operating system's keyring, or a 0600 file, keeps.

One sealed message: a version, which key it is, a salt, a nonce, the ciphertext with its tag. The salt and the purpose
derive the key that encrypts (HKDF-SHA256), so that purposes never share one, and a process draws a new salt at its
start and after `MESSAGES_PER_KEY` messages. With random nonces of 96 bits a key may seal 2^32 messages (NIST SP 800-38D,
8.3): no counter has to survive a crash for that to hold.
"""

import os
import threading
import time
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Self, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from client import vaultkey
from client.config import AgentHome
from shared.errors import InputError

MESSAGES_PER_KEY = 2**20
KEYS_AT_HAND = 1024
"""How many derived keys are remembered for reading."""

RETRY_SECONDS = 60.0
"""How long a keyring that did not answer is left alone."""

T = TypeVar("T")
_VERSION = b"\x01"
_ID, _SALT, _NONCE, _TAG = 8, 16, 12, 16
_HEADER = 1 + _ID + _SALT


class SealError(InputError):
    """What was sealed cannot be opened, and never will be: it is damaged, moved, or its key is gone."""


class Vault:
    """Seals and opens what this device keeps; the key is fetched, or made, when it is first needed.

    `about` says what a message is and where it belongs, as in `predictions/served/17`; up to the first slash it is the
    purpose. It is not stored, and a message opens under the same words only. Safe to use from several threads.
    """

    def __init__(self, file: Path) -> None:
        """`file` keeps the key, or says which keyring does."""
        self._file = file
        self._lock = threading.Lock()
        self._master: bytes | None = None
        self._id = b""
        self._look_again = 0.0
        self._trouble = ""
        self._writing: dict[str, tuple[bytes, AESGCM, int]] = {}
        self._reading: dict[tuple[str, bytes], AESGCM] = {}
        self._digests: dict[str, bytes] = {}

    @classmethod
    def open(cls, home: AgentHome) -> Self:
        """The vault of an agent; nothing is read yet, so a locked keyring delays no start."""
        return cls(home.vault_key)

    def seal(self, data: bytes, *, about: str) -> bytes:
        """Encrypt; raise `InputError` while the keyring that holds the key is locked or does not answer."""
        with self._lock:
            header, cipher = self._writer(about.partition("/")[0])
        nonce = os.urandom(_NONCE)
        return header + nonce + cipher.encrypt(nonce, data, header + _encode(about))

    def unseal(self, sealed: bytes, *, about: str) -> bytes:
        """Decrypt and verify; raise `SealError` for what cannot be opened, and `InputError` as `seal` does."""
        if len(sealed) < _HEADER + _NONCE + _TAG or sealed[:1] != _VERSION:
            raise SealError(f"what was sealed as {about} is damaged; it is lost")
        with self._lock:
            cipher = self._reader(
                about.partition("/")[0], sealed[1 : _HEADER - _SALT], sealed[_HEADER - _SALT : _HEADER]
            )
        if cipher is None:
            raise SealError(f"what was sealed as {about} has another key, which is gone; so is what it sealed")
        nonce, rest = sealed[_HEADER : _HEADER + _NONCE], sealed[_HEADER + _NONCE :]
        try:
            return cipher.decrypt(nonce, rest, sealed[:_HEADER] + _encode(about))
        except InvalidTag:
            raise SealError(f"what was sealed as {about} is damaged, or was sealed as something else") from None

    def digest(self, text: str, *, about: str) -> bytes:
        """A name of 16 bytes that tells nothing of `text` without the key, and that no other purpose shares."""
        with self._lock:
            if about not in self._digests:
                self._digests[about] = self._derive(f"digest {about}", b"")
        return blake2b(_encode(text), key=self._digests[about], digest_size=16).digest()

    def destroy(self) -> None:
        """Forget the key and remove it: what it sealed can never be read again. Raises as `seal` does."""
        with self._lock:
            vaultkey.destroy(self._file)
            self._forget()

    def _writer(self, purpose: str) -> tuple[bytes, AESGCM]:
        salt, cipher, left = self._writing.get(purpose) or self._fresh(purpose)
        self._writing[purpose] = (salt, cipher, left - 1)
        if left <= 1:
            del self._writing[purpose]
        return _VERSION + self._id + salt, cipher

    def _fresh(self, purpose: str) -> tuple[bytes, AESGCM, int]:
        salt = os.urandom(_SALT)
        return salt, AESGCM(self._derive(f"seal {purpose}", salt)), MESSAGES_PER_KEY

    def _reader(self, purpose: str, key_id: bytes, salt: bytes) -> AESGCM | None:
        """The cipher that opens a message, or None if its key is not ours. Reading never makes a key."""
        if self._master is None:
            self._find()
        if self._master is None or key_id != self._id:
            return None
        if (purpose, salt) not in self._reading:
            if len(self._reading) >= KEYS_AT_HAND:
                self._reading.clear()
            self._reading[purpose, salt] = AESGCM(self._derive(f"seal {purpose}", salt))
        return self._reading[purpose, salt]

    def _find(self) -> None:
        """Look for the key, but not for each row of a table whose key is gone."""
        known_gone = not self._trouble and time.monotonic() < self._look_again
        if not known_gone and (found := self._look(vaultkey.find)):
            self._take(found)

    def _derive(self, info: str, salt: bytes) -> bytes:
        if self._master is None:
            self._take(self._look(vaultkey.find_or_make))
        assert self._master is not None
        return _hkdf(self._master, info, salt, 32)

    def _take(self, master: bytes) -> None:
        self._master, self._id = master, _hkdf(master, "id", b"", _ID)

    def _look(self, way: Callable[[Path], T]) -> T:
        """Look for the key, but leave a keyring that did not answer alone for a while."""
        if self._trouble and time.monotonic() < self._look_again:
            raise InputError(self._trouble)
        self._look_again, self._trouble = time.monotonic() + RETRY_SECONDS, ""
        try:
            return way(self._file)
        except InputError as error:
            self._trouble = str(error)
            raise

    def _forget(self) -> None:
        self._master, self._id, self._trouble, self._look_again = None, b"", "", 0.0
        for keys in (self._writing, self._reading, self._digests):
            keys.clear()


def _hkdf(master: bytes, info: str, salt: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=b"covey vault " + _encode(info)).derive(master)


def _encode(text: str) -> bytes:
    return text.encode(errors="surrogatepass")
