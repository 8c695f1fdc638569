"""What devices and coordinator say to each other in one secure aggregation, in the order in which they say it.

    keys      device -> KeyOffer             coordinator -> KeyList
    shares    device -> Shares               coordinator -> Incoming
    masked    device -> Masked and a vector  coordinator -> Roll
    agree     device -> Agreement            coordinator -> UnmaskRequest
    unmask    device -> Reveal

Bytes travel as base64 text. A member's *position* is its place in the list of fingerprints in ascending order; a *map*
is one bit for each position. Whatever goes to or from one device about its neighbours is in the order of their
positions and names nobody: both sides draw the same graph.
"""

import hashlib
from dataclasses import dataclass

from shared import wire
from shared.secagg.text import decoded, short, sized
from shared.sequence import is_digest

KEY_BYTES = 32
"""An X25519 public key, a secret, a share of one, a digest."""

PREFIX_BYTES = 8
"""How much of a fingerprint a list of members gives; the roster that a device holds gives the rest."""

SEALED_BYTES = 2 * KEY_BYTES + 16
"""Two shares and the tag of AES-GCM."""

MARK_BYTES = 8
"""The commitment to one share. Forging one costs 2**64 hashes and wins a place among the shares that are ignored."""

MOST_MEMBERS = 2**16
MOST_VALUES = 2**28


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The public parameters of one attempt at one round; every key and signature is bound to all of them.

    Vectors have `length` values modulo 2**`bits`. Every cohort, and every sum, is of `minimum_cohort` devices or more.
    `colluders` is the largest fraction of a cohort that may work for the coordinator, `dropouts` the fraction that may
    vanish without spoiling the round.
    """

    run_id: int
    round_number: int
    task: str
    attempt: int
    bits: int
    length: int
    minimum_cohort: int
    colluders: float
    dropouts: float

    def __post_init__(self) -> None:
        """Refuse what no round can have."""
        if not (0 <= self.run_id < 2**64 and 0 <= self.round_number < 2**53 and 0 <= self.attempt < 2**16):
            raise ValueError("run_id, round_number and attempt must lie in [0, 2**64), [0, 2**53) and [0, 2**16)")
        if not 0 < len(self.task) <= 1024:
            raise ValueError("task must be 1 to 1024 characters")
        if not (1 <= self.bits <= 64 and 1 <= self.length <= MOST_VALUES):
            raise ValueError("bits must lie in 1 to 64 and length in 1 to 2**28")
        if not 3 <= self.minimum_cohort <= MOST_MEMBERS:
            raise ValueError("minimum_cohort must lie in 3 to 2**16: with two, each would know the other's vector")
        if not (0.0 <= self.colluders < 1 / 3 and 0.0 <= self.dropouts < 1 / 3):
            raise ValueError("colluders and dropouts must lie in [0, 1/3)")

    def digest(self) -> bytes:
        """The SHA-256 that stands for this setting wherever something is bound to it."""
        return hashlib.sha256(b"covey secagg setting v1\n" + wire.to_json(self)).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyOffer:
    """A device's two keys for this attempt only, signed by its long-term key (`statements.offer_statement`).

    Under `cipher_key` others encrypt to it; from `mask_key` pairs derive their masks. Both are X25519.
    """

    device: str
    cipher_key: str
    mask_key: str
    signature: str

    def __post_init__(self) -> None:
        """Refuse wrong sizes."""
        if not is_digest(self.device):
            raise ValueError("device must be a fingerprint of 64 hexadecimal digits")
        sized(self.cipher_key, KEY_BYTES, "cipher_key")
        sized(self.mask_key, KEY_BYTES, "mask_key")
        short(self.signature, "signature")

    def keys(self) -> bytes:
        """Both keys, 64 bytes."""
        return decoded(self.cipher_key) + decoded(self.mask_key)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyList:
    """The cohort, as the coordinator shows it to one device.

    Of every member the first bytes of the fingerprint (`prefixes`) and the SHA-256 of its keys (`leaves`); of this
    device's neighbours also the keys and signatures. `threshold`, `degree` and `shares` are a `graph.Shape`.
    """

    threshold: int
    degree: int
    shares: int
    prefixes: str
    leaves: str
    keys: str
    signatures: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse lists that do not fit each other."""
        count = len(decoded(self.prefixes)) // PREFIX_BYTES
        if not 3 <= count <= MOST_MEMBERS:
            raise ValueError("a cohort has 3 to 2**16 members")
        sized(self.prefixes, count * PREFIX_BYTES, "prefixes")
        sized(self.leaves, count * KEY_BYTES, "leaves")
        sized(self.keys, len(self.signatures) * 2 * KEY_BYTES, "keys")
        for signature in self.signatures:
            short(signature, "signatures")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """A device's two secrets, shared out: sealed for each neighbour, and committed to.

    `sealed` has 80 bytes for each neighbour; `marks` 16 for each holder (the neighbours and the device itself): the
    commitments to its share of the mask key and of the seed; `seed_mark` commits to the seed.
    """

    sealed: str
    marks: str
    seed_mark: str

    def __post_init__(self) -> None:
        """Refuse lists that do not fit each other."""
        neighbours = len(decoded(self.sealed)) // SEALED_BYTES
        sized(self.sealed, neighbours * SEALED_BYTES, "sealed")
        sized(self.marks, (neighbours + 1) * 2 * MARK_BYTES, "marks")
        sized(self.seed_mark, KEY_BYTES, "seed_mark")


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """Who in the cohort dealt shares (a map), and what those of them that are neighbours sealed for this device."""

    dealers: str
    sealed: str

    def __post_init__(self) -> None:
        """Refuse broken text."""
        decoded(self.dealers)
        sized(self.sealed, len(decoded(self.sealed)) // SEALED_BYTES * SEALED_BYTES, "sealed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Masked:
    """Goes with a masked vector (bytes of `packing.pack`): a signature under the dealers that it was masked with."""

    signature: str

    def __post_init__(self) -> None:
        """Refuse what no signature is."""
        short(self.signature, "signature")


@dataclass(frozen=True, slots=True, kw_only=True)
class Survivors:
    """Whose masked vectors arrived, and who dealt shares but then vanished: two maps over the cohort."""

    survivors: str
    dropped: str

    def __post_init__(self) -> None:
        """Refuse broken text."""
        if len(decoded(self.survivors)) != len(decoded(self.dropped)):
            raise ValueError("survivors and dropped must be maps of the same cohort")


@dataclass(frozen=True, slots=True, kw_only=True)
class Roll:
    """The survivors, with the signature (see `Masked`) of each that is a neighbour of this device."""

    survivors: Survivors
    signatures: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse broken text."""
        for signature in self.signatures:
            short(signature, "signatures")


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """A survivor's signature under the one survivor set that it will ever sign in this attempt."""

    signature: str

    def __post_init__(self) -> None:
        """Refuse what no signature is."""
        short(self.signature, "signature")


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmaskRequest:
    """Proof that enough survivors signed the same set: `signers` is a map over the cohort."""

    survivors: Survivors
    signers: str
    signatures: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse broken text."""
        decoded(self.signers)
        for signature in self.signatures:
            short(signature, "signatures")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reveal:
    """One share for each neighbour that dealt, and for the device itself, in the order of their positions.

    A survivor's is of its seed, a dropped one's of its mask key; 32 zeros where the share did not arrive intact.
    """

    shares: str

    def __post_init__(self) -> None:
        """Refuse broken text."""
        sized(self.shares, len(decoded(self.shares)) // KEY_BYTES * KEY_BYTES, "shares")
