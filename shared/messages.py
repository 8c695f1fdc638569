"""What a Flower message carries: one JSON document by name, and at most one flat array of float32.

The one file of `shared` that knows Flower. One array a message keeps a round at about sixteen requests
a device instead of twenty-six.
"""

from typing import TypeVar, cast

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from numpy.typing import NDArray

from shared import wire
from shared.errors import WireError

T = TypeVar("T")

MAX_JSON = 1_000_000
"""Bytes; no plan or report of Covey comes near it."""


def pack(name: str, document: object, *, array: NDArray[np.float32] | None = None) -> RecordDict:
    """A message's content: `document` under `name`, and the array if there is one."""
    content = RecordDict({name: ConfigRecord({"json": wire.to_json(document)})})
    if array is not None:
        content["array"] = ArrayRecord({"flat": Array(np.ascontiguousarray(array, dtype=np.float32))})
    return content


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

    The header is compared with the payload before NumPy parses it, because a lying header asks for
    any amount of memory.
    """
    record = content.array_records.get("array")
    array = record.get("flat") if record is not None else None
    if array is None or array.dtype != "float32" or tuple(array.shape) != (size,):
        raise WireError(f"message carries no float32 array of shape ({size},)")
    if not 4 * size <= len(array.data) <= 4 * size + 1024:
        raise WireError(f"array of {len(array.data)} bytes does not hold {size} float32 values")
    try:
        values = array.numpy()
    except Exception as error:  # noqa: BLE001 - NumPy raises many kinds on a hostile header
        raise WireError(f"array cannot be read: {type(error).__name__}") from None
    if values.dtype != np.float32 or values.shape != (size,):
        raise WireError(f"array holds {values.dtype} of shape {values.shape}, not float32 of shape ({size},)")
    if not np.isfinite(values).all():
        raise WireError("array holds NaN or infinite values")
    return cast(NDArray[np.float32], values)
