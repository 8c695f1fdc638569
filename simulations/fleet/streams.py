"""The randomness of a rehearsal: each device, round and purpose has a stream of its own, whoever draws from it when.

Seeded, so that a rehearsal can be had again to the bit; nothing that ships draws from here.
"""

import hashlib

import numpy as np

from shared.noise import CipherStream


def device_stream(seed: int, round_number: int, device: int) -> CipherStream:
    """What a device draws its samples and its noise from in a round."""
    return CipherStream(_key(seed, "device", round_number, device))


def generator(seed: int, purpose: str, *numbers: int) -> np.random.Generator:
    """A generator for what protects nobody: who is asked, who is online, how long a device takes."""
    return np.random.Generator(np.random.PCG64(int.from_bytes(_key(seed, purpose, *numbers), "little")))


def _key(seed: int, purpose: str, *numbers: int) -> bytes:
    words = "/".join(["covey rehearsal", str(seed), purpose, *map(str, numbers)])
    return hashlib.sha256(words.encode()).digest()
