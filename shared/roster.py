"""The roster: which devices there are, by name and key, as the federation's targets role signed it.

Secure aggregation rests on it: a coordinator that could add devices of its own would subtract their updates from a
sum. So the key that signs it belongs on a machine that is not the coordinator's (privacy rule 16).
"""

from dataclasses import dataclass

from shared.errors import WireError
from shared.sequence import device_fingerprint
from shared.signing import load_public_key, public_key_bytes

PATH = "roster.json"
"""The roster's name among the signed targets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """Every device that may be part of a sum: its public key in PEM, by name. A higher `number` is newer."""

    number: int
    devices: dict[str, str]

    def __post_init__(self) -> None:
        """Refuse keys that nobody can verify with, and one key under two names."""
        if self.number < 1:
            raise ValueError(f"number must be at least 1, got {self.number}")
        try:
            keys = [public_key_bytes(load_public_key(key.encode())) for key in self.devices.values()]
        except WireError as error:
            raise ValueError(str(error)) from None
        if len(set(keys)) != len(keys):
            raise ValueError("a key stands under two names")

    @property
    def keys(self) -> dict[str, bytes]:
        """Public keys in PEM, by the fingerprint that a device goes by in a sum."""
        return {device_fingerprint(key.encode()): key.encode() for key in self.devices.values()}
