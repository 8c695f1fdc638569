"""What a Flower message carries: one JSON document by name, and at most one flat array of float32, or packed bytes.

The one file of `shared` that knows Flower. One array a message keeps a round at about sixteen requests
a device instead of twenty-six.
"""

from io import BytesIO
from typing import TypeVar

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from numpy.lib import format as npy
from numpy.typing import NDArray

from shared import wire
from shared.errors import WireError
from shared.secagg import envelope

T = TypeVar("T")

MAX_JSON = 1_000_000
"""Bytes; no plan or report of Covey comes near it."""


def pack(
    name: str, document: object, *, array: NDArray[np.float32] | None = None, data: bytes | None = None
) -> RecordDict:
    """A message's content: `document` under `name`, and the array or the bytes if there are any."""
    content = RecordDict({name: ConfigRecord({"json": wire.to_json(document)})})
    if data is not None:
        content["data"] = packed(data)
    if array is not None:
        content["array"] = ArrayRecord({"flat": Array(np.ascontiguousarray(array, dtype=np.float32))})
    return content


def fold(content: RecordDict, name: str, document: object) -> RecordDict:
    """The same content with one more document, deflated: what a step of secure aggregation says."""
    return RecordDict({**content, name: ConfigRecord({"folded": envelope.folded(document)})})


def unfold(content: RecordDict, name: str, cls: type[T]) -> T:
    """Read the deflated document called `name`, or raise `WireError`."""
    record = content.config_records.get(name)
    body = record.get("folded") if record is not None else None
    if not isinstance(body, bytes) or len(body) > envelope.MOST_BYTES:
        raise WireError(f"message carries no {name!r} document")
    return envelope.unfolded(cls, body)


def names(content: RecordDict) -> frozenset[str]:
    """Which documents and arrays a content holds."""
    return frozenset(content.keys())


def unpack(content: RecordDict, name: str, cls: type[T]) -> T:
    """Read the document called `name`, or raise `WireError`."""
    record = content.config_records.get(name)
    body = record.get("json") if record is not None else None
    if not isinstance(body, bytes) or len(body) > MAX_JSON:
        raise WireError(f"message carries no {name!r} document")
    return wire.from_json(cls, body, what=name)


def unpack_array(content: RecordDict, *, size: int) -> NDArray[np.float32]:
    """Read the flat array, shape `(size,)`, finite; or raise `WireError`.

    The payload must open with the very header that NumPy writes for this shape, so no header that a stranger
    wrote is ever parsed: a lying one asks for any amount of memory.
    """
    record = content.array_records.get("array")
    array = record.get("flat") if record is not None else None
    if array is None or (array.dtype, tuple(array.shape), array.stype) != ("float32", (size,), "numpy.ndarray"):
        raise WireError(f"message carries no float32 array of shape ({size},)")
    header = _header(size)
    if len(array.data) != len(header) + 4 * size or not array.data.startswith(header):
        raise WireError(f"array of {len(array.data)} bytes does not hold {size} float32 values")
    values = np.frombuffer(array.data, dtype="<f4", offset=len(header)).astype(np.float32)
    if not np.isfinite(values).all():
        raise WireError("array holds NaN or infinite values")
    return values


def packed(data: bytes) -> ConfigRecord:
    """Bytes as `unpack_data` reads them."""
    return ConfigRecord({"bytes": data})


def unpack_data(content: RecordDict, *, most: int) -> bytes:
    """Read the packed bytes, at most `most` of them, or raise `WireError`."""
    record = content.config_records.get("data")
    data = record.get("bytes") if record is not None else None
    if not isinstance(data, bytes) or len(data) > most:
        raise WireError(f"message carries no packed bytes, or more than {most} of them")
    return data


def _header(size: int) -> bytes:
    """What `numpy.save` writes before the values of a float32 array of shape `(size,)`."""
    buffer = BytesIO()
    npy.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": (size,)})
    return buffer.getvalue()
