"""A byte a value, rounded up or down at random so that its mean is right, then Huffman coding by zstd.

On the wire: a float32 scale, then the bytes themselves, or a zstd frame of them where that is shorter.
"""

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from shared.compression.spec import Update, Words
from shared.errors import WireError

if TYPE_CHECKING:
    from zstandard import ZstdCompressor

_TOP = 127


def encode(values: Update, words: Words) -> bytes:
    """Encode shape `(size,)`; unbiased over the words."""
    scale = np.nextafter(np.float32(np.abs(values).max() / _TOP), np.float32(np.inf), dtype=np.float32)
    levels = values / np.float64(scale)
    low = np.floor(levels)
    up = (words(len(values)) >> np.uint64(11)).astype(np.float64) * 2.0**-53 < levels - low
    flat = np.clip(low + up, -_TOP, _TOP).astype(np.int8).tobytes()
    frame = _compressor().compress(flat)
    return scale.astype("<f4").tobytes() + min(flat, frame, key=len)


def decode(data: bytes, *, size: int) -> Update:
    """Read what `encode` wrote, shape `(size,)`; raise `WireError` for anything else."""
    if not 4 < len(data) <= 4 + size:
        raise WireError(f"int8 of {size} values has 5 to {4 + size} bytes, got {len(data)}")
    scale = np.frombuffer(data, "<f4", count=1)[0]
    if not 0 <= scale < np.inf:
        raise WireError("int8 has a scale that is negative or not finite")
    flat = data[4:] if len(data) == 4 + size else _unpacked(data[4:], size)
    levels: NDArray[np.int8] = np.frombuffer(flat, np.int8)
    if levels.min() < -_TOP:
        raise WireError("int8 has a byte that no encoder writes")
    with np.errstate(over="ignore"):
        values = levels * np.float32(scale)
    if not np.isfinite(values).all():
        raise WireError("int8 has a scale beyond what float32 holds")
    return values


@cache
def _compressor() -> "ZstdCompressor":
    """Frames that say how much they hold, without four bytes that would say what both sides know."""
    from zstandard import FORMAT_ZSTD1_MAGICLESS, ZstdCompressionParameters, ZstdCompressor

    form = ZstdCompressionParameters.from_level(
        3, format=FORMAT_ZSTD1_MAGICLESS, write_content_size=1, write_checksum=0
    )
    return ZstdCompressor(compression_params=form)


def _unpacked(frame: bytes, size: int) -> bytes:
    """Read a frame that says it holds `size` bytes, does, and ends there: no more memory is ever asked for."""
    from zstandard import FORMAT_ZSTD1_MAGICLESS, ZstdDecompressor, ZstdError, get_frame_parameters

    try:
        said = get_frame_parameters(frame, format=FORMAT_ZSTD1_MAGICLESS)
        if said.content_size != size or said.dict_id or said.has_checksum:
            raise WireError(f"int8 has a zstd frame that is not of {size} bytes")
        flat = ZstdDecompressor(format=FORMAT_ZSTD1_MAGICLESS).decompress(frame, allow_extra_data=False)
    except ZstdError as error:
        raise WireError(f"int8 has a zstd frame that cannot be read: {error}") from None
    if len(flat) != size:
        raise WireError(f"int8 has a zstd frame of {len(flat)} bytes, not of {size}")
    return flat
