"""Changes to bytes, whatever they mean: bits, lengths, numbers at a boundary, pieces that are lost, doubled or borrowed."""

from collections.abc import Callable
from random import Random

MOST_BYTES = 200_000
"""No changed input is longer; what is longer by itself is a seed."""

_NUMBERS = (0, 1, 2, 7, 8, 15, 16, 63, 64, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63, -1)
_WORDS = (
    b"\0",
    b"\xff",
    b"\xff" * 4,
    b"\0" * 8,
    b"\n",
    b"\r\n",
    b"%00",
    b"\xed\xa0\x80",
    b"\xf0\x9f\x90\xa6",
    b"\xe2\x80\xae",
)

Change = Callable[[bytearray, Random], None]


def change_bytes(data: bytes, random: Random, others: Callable[[], bytes]) -> bytes:
    """Change a few things at random places; `others` gives another input to borrow from."""
    changed = bytearray(data)
    for _ in range(1 + min(7, int(random.expovariate(0.7)))):
        if random.random() < 0.1:
            _borrow(changed, random, others())
        else:
            random.choice(_CHANGES)(changed, random)
    return bytes(changed[:MOST_BYTES])


def _place(data: bytearray, random: Random) -> int:
    return random.randrange(len(data) + 1)


def _span(data: bytearray, random: Random) -> slice:
    start = _place(data, random)
    return slice(start, start + 1 + int(random.expovariate(0.1)))


def _flip(data: bytearray, random: Random) -> None:
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _set(data: bytearray, random: Random) -> None:
    if data:
        data[random.randrange(len(data))] = random.randrange(256)


def _add(data: bytearray, random: Random) -> None:
    if data:
        at = random.randrange(len(data))
        data[at] = (data[at] + random.choice((-1, 1, 16, -16))) % 256


def _number(data: bytearray, random: Random) -> None:
    """Write a number at a boundary over what is there, in either order of bytes."""
    size = random.choice((1, 2, 4, 8))
    value = random.choice(_NUMBERS) % 2 ** (8 * size)
    at = _place(data, random)
    data[at : at + size] = value.to_bytes(size, random.choice(("little", "big")))


def _insert(data: bytearray, random: Random) -> None:
    at = _place(data, random)
    data[at:at] = random.choice(_WORDS) if random.random() < 0.5 else random.randbytes(1 + random.randrange(8))


def _remove(data: bytearray, random: Random) -> None:
    del data[_span(data, random)]


def _double(data: bytearray, random: Random) -> None:
    span = _span(data, random)
    data[span.start : span.start] = data[span] * random.choice((1, 1, 2, 8))


def _cut(data: bytearray, random: Random) -> None:
    del data[_place(data, random) :]


def _swap(data: bytearray, random: Random) -> None:
    one, other = _span(data, random), _span(data, random)
    data[one], data[other] = data[other], data[one]


def _borrow(data: bytearray, random: Random, other: bytes) -> None:
    """Take over a piece of another input, or all of it from some place on."""
    start = random.randrange(len(other) + 1)
    at = _place(data, random)
    if random.random() < 0.5:
        data[at:] = other[start:]
    else:
        data[at:at] = other[start : start + 1 + int(random.expovariate(0.05))]


_CHANGES: tuple[Change, ...] = (_flip, _flip, _set, _add, _number, _number, _insert, _remove, _double, _cut, _swap)
