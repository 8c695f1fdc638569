"""Countersigning: each device's newest charge is kept, signed, and never replaced by an older one.

What the coordinator keeps tells it nothing that its own plans do not: a number, a hash, and totals under the device's
own key, always of one size (privacy rules 10 and 11).
"""

import logging
import time
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from server.pki import create_sequence_certificate
from server.records import Device
from server.store import Store
from shared import wire
from shared.errors import InputError
from shared.sequence import SequenceAnswer, SequenceRequest, countersign, device_fingerprint

log = logging.getLogger(__name__)

KEY_FILE = "sequence.key"


class Sequences:
    """Answers devices with the key of this federation that may countersign."""

    def __init__(self, store: Store, directory: Path) -> None:
        """Read the key in `directory`, or make one; raise `InputError` if it is damaged and cannot be made."""
        self._store = store
        file = directory / KEY_FILE
        if not file.exists():
            create_sequence_certificate(directory)
        self._key, self._certificate = _read(file)

    def answer(self, device: Device, body: bytes) -> SequenceAnswer:
        """The latest for a device, after its report, if it sent one; raise `WireError` for a malformed body."""
        report = wire.from_json(SequenceRequest, body, what="sequence request").report
        if report is not None:
            whose = device_fingerprint(device.public_key)
            receipt = countersign(report, device=whose, key=self._key, certificate=self._certificate)
            self._store.keep_sequence(device.name, receipt, report.blob, at=time.time())
        return self._store.sequence(device.name)


def open_sequences(store: Store, directory: Path) -> Sequences | None:
    """As `Sequences`; None, which is logged, where there is no key and the authority's is not here to certify one."""
    try:
        return Sequences(store, directory)
    except InputError as error:
        log.warning("charges are not countersigned, so a device's old ledger goes unnoticed: %s", error)
        return None


def _read(file: Path) -> tuple[ec.EllipticCurvePrivateKey, bytes]:
    """The key, and its certificate in PEM, which stand in one file."""
    data = file.read_bytes()
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except ValueError:
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise InputError(f"key {file} is damaged; delete it, and a new one is made")
    return key, data[data.index(b"-----BEGIN CERTIFICATE") :]
