"""Arrow streams from anybody: read exactly, or refused; never a crash, whatever is damaged."""

import io
import random

import nanoarrow
import numpy as np
import pytest
from nanoarrow.ipc import InputStream, StreamWriter

from client.serving.arrow import read_columns
from shared.errors import ContractError

KINDS = {
    "small": nanoarrow.int8(),
    "whole": nanoarrow.uint32(),
    "large": nanoarrow.int64(),
    "half": nanoarrow.float16(),
    "single": nanoarrow.float32(),
    "double": nanoarrow.float64(),
}
VALUES = [1, None, 3, 4, None, 6, 7, 8, 9, None]
WORDS = ["north", None, "", "süd", "x", None, "y", "z", "\N{BIRD}", "w"]
KNOWN = {*KINDS, "words", "many", "none"}


def stream(batches: int = 1) -> bytes:
    children = {name: nanoarrow.c_array(VALUES, kind) for name, kind in KINDS.items()}
    children["words"] = nanoarrow.c_array(WORDS, nanoarrow.string())
    children["many"] = nanoarrow.c_array(WORDS, nanoarrow.large_string())
    children["none"] = nanoarrow.c_array_from_buffers(nanoarrow.null(), len(VALUES), buffers=[])
    kinds = nanoarrow.struct({name: child.schema for name, child in children.items()})
    table = nanoarrow.c_array_from_buffers(kinds, len(VALUES), buffers=[None], children=list(children.values()))
    out = io.BytesIO()
    with StreamWriter.from_writable(out) as writer:
        for _ in range(batches):
            writer.write_array(table)
    return out.getvalue()


def test_every_kind_of_column_is_read_as_it_was_written() -> None:
    found = read_columns(stream(batches=3), known=KNOWN, limit=100)
    for name in KINDS:
        np.testing.assert_array_equal(found[name], np.array(VALUES * 3, dtype=np.float64))
    for name in ("words", "many"):
        assert found[name].tolist() == WORDS * 3
    assert found["none"].tolist() == [None] * 30


def test_rows_and_columns_are_bounded() -> None:
    with pytest.raises(ContractError, match="20 rows"):
        read_columns(stream(batches=3), known=KNOWN, limit=20)
    with pytest.raises(ContractError, match="words"):
        read_columns(stream(), known=KNOWN - {"words"}, limit=20)


@pytest.mark.parametrize("keep", [4, 7, 8, 60, 200, 900])
def test_a_stream_that_was_cut_off_is_refused_or_has_no_rows(keep: int) -> None:
    try:
        found = read_columns(stream()[:keep], known=KNOWN, limit=100)
    except ContractError:
        return
    assert all(len(column) == 0 for column in found.values())


def test_a_damaged_stream_is_read_or_refused_and_nothing_else() -> None:
    """Both of another writer and of ours; nanoarrow's own reader ends the process on a few of these."""
    chance = random.Random(1)
    whole = (stream(batches=2), InputStream.example_bytes())
    outcomes = {True: 0, False: 0}
    for _ in range(4000):
        damaged = bytearray(chance.choice(whole))
        for _ in range(chance.randint(1, 6)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            read_columns(bytes(damaged), known={*KNOWN, "some_col"}, limit=100)
            outcomes[True] += 1
        except ContractError:
            outcomes[False] += 1
    assert min(outcomes.values()) > 100
