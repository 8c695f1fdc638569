"""Arrays and documents from strangers: what is not exactly as agreed is a `WireError`."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from shared import messages
from shared.errors import WireError
from shared.rounds import TrainReport

SIZE = 300
REPORT = TrainReport(run_id=1, round_number=2, base_version=3)
VALUES = np.linspace(-1, 1, SIZE, dtype=np.float32)


def carrying(array: Array) -> RecordDict:
    return RecordDict({"array": ArrayRecord({"flat": array})})


def honest() -> Array:
    return Array(VALUES)


def saved(values: np.ndarray, **changes: object) -> Array:
    """An array whose description claims to be honest, whatever its payload is."""
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=True)
    fields = {"dtype": "float32", "shape": (SIZE,), "stype": "numpy.ndarray", "data": buffer.getvalue()}
    return Array(**(fields | changes))  # pyright: ignore[reportArgumentType, reportCallIssue]


def lying_header(shape: str) -> Array:
    body = honest().data
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + text.ljust(117) + b"\n"
    return Array("float32", (SIZE,), "numpy.ndarray", header + body[-4 * SIZE :])


HOSTILE: dict[str, Callable[[], RecordDict]] = {
    "empty": RecordDict,
    "a document instead": lambda: RecordDict({"array": ConfigRecord({"flat": b"x"})}),
    "another name": lambda: RecordDict({"array": ArrayRecord({"weights": honest()})}),
    "claims float64": lambda: carrying(Array(VALUES.astype(np.float64))),
    "claims another shape": lambda: carrying(Array(VALUES[:-1])),
    "claims two dimensions": lambda: carrying(Array(VALUES.reshape(3, 100))),
    "holds float64": lambda: carrying(saved(VALUES.astype(np.float64))),
    "holds float16": lambda: carrying(saved(VALUES.astype(np.float16))),
    "holds big-endian": lambda: carrying(saved(VALUES.astype(">f4"))),
    "holds integers": lambda: carrying(saved(VALUES.astype(np.int32))),
    "holds fewer": lambda: carrying(saved(VALUES[:-1])),
    "holds more": lambda: carrying(saved(np.append(VALUES, VALUES))),
    "holds another shape": lambda: carrying(saved(VALUES.reshape(3, 100))),
    "holds a pickle": lambda: carrying(saved(np.array([{"a": 1}], dtype=object))),
    "header asks for a terabyte": lambda: carrying(lying_header("(274877906944,)")),
    "header asks for less": lambda: carrying(lying_header("(3,)")),
    "header asks for a negative size": lambda: carrying(lying_header("(-1,)")),
    "header is deep": lambda: carrying(lying_header("(" * 40 + ")" * 40)),
    "no header": lambda: carrying(saved(VALUES, data=VALUES.tobytes())),
    "no bytes": lambda: carrying(saved(VALUES, data=b"")),
    "cut short": lambda: carrying(saved(VALUES, data=honest().data[:-1])),
    "oversized": lambda: carrying(saved(VALUES, data=honest().data + b"\x00")),
    "another serialisation": lambda: carrying(saved(VALUES, stype="pickle")),
    "NaN": lambda: carrying(Array(np.where(VALUES > 0.5, np.float32("nan"), VALUES))),
    "infinite": lambda: carrying(Array(np.where(VALUES > 0.5, np.float32("inf"), VALUES))),
    "minus infinite": lambda: carrying(Array(np.where(VALUES > 0.5, -np.float32("inf"), VALUES))),
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_a_hostile_array_is_refused(attack: str) -> None:
    with pytest.raises(WireError, match="array"):
        messages.unpack_array(HOSTILE[attack](), size=SIZE)


@pytest.mark.parametrize("size", [1, 7, SIZE, 1000, 100_000])
def test_an_array_arrives_as_it_was_sent(size: int) -> None:
    values = np.random.default_rng(size).standard_normal(size, dtype=np.float32)
    found = messages.unpack_array(messages.pack("report", REPORT, array=values), size=size)
    assert found.dtype == np.float32
    assert np.array_equal(found, values)
    assert found.flags.writeable


def test_a_strided_array_arrives_as_it_was_sent() -> None:
    found = messages.unpack_array(messages.pack("report", REPORT, array=VALUES[::2]), size=SIZE // 2)
    assert np.array_equal(found, VALUES[::2])


def test_a_document_arrives_as_it_was_sent() -> None:
    content = messages.pack("report", REPORT, array=VALUES)
    assert messages.unpack(content, "report", TrainReport) == REPORT
    assert messages.names(content) == {"report", "array"}


@pytest.mark.parametrize(
    "content",
    [
        RecordDict(),
        RecordDict({"report": ConfigRecord({"text": b"{}"})}),
        RecordDict({"report": ConfigRecord({"json": "{}"})}),
        RecordDict({"report": ConfigRecord({"json": b"{}"})}),
        RecordDict({"report": ConfigRecord({"json": b'{"run_id":1,"round_number":2,"base_version":3,"loss":0.1}'})}),
        RecordDict({"report": ConfigRecord({"json": b" " * (messages.MAX_JSON + 1)})}),
        RecordDict({"report": ArrayRecord({"json": honest()})}),
        messages.pack("refusal", REPORT),
    ],
)
def test_a_hostile_document_is_refused(content: RecordDict) -> None:
    with pytest.raises(WireError, match="report"):
        messages.unpack(content, "report", TrainReport)
