"""Rule 3: one row more, whatever bytes it is made of, changes no other row of a CSV file."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from machines import small_task

from client.dataset import read_examples
from shared.tasks import Window

HEADER = b"load,hour,site,stops,at\n"
WINDOW = Window(start="2026-01-01", end="2026-02-01")
BEFORE = b"".join(b"0.%d,%d,north,%d,2026-01-%02d\n" % (i, i, i % 2, i + 1) for i in range(4))
AFTER = b"".join(b'0.%d,%d,"south",%d,"2026-01-%02d"\n' % (i, i, i % 2, i + 11) for i in range(4))

lines = st.one_of(
    st.binary(max_size=40),
    st.text(alphabet="\",\r north019.-\x00\\'#", max_size=40).map(str.encode),
    st.tuples(st.sampled_from(['"', '"x', 'x"', '""', '"a"b', '"a""', '"a,b"', "\\"])).map(
        lambda word: f"0.5,3,{word[0]},1,2026-01-02".encode()
    ),
).map(lambda line: line.replace(b"\n", b""))


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(line=lines, last=st.booleans())
@example(line=b'0.1,2,"north,1,2026-01-02', last=False)
@example(line=b'0.1,2,"north"x,1,2026-01-02', last=False)
@example(line=b'0.1,2,no"rth,1,2026-01-02', last=False)
@example(line=b'"', last=True)
def test_one_row_more_changes_no_other_row_of_a_csv_file(tmp_path: Path, line: bytes, last: bool) -> None:
    rows = BEFORE + AFTER + line if last else BEFORE + line + b"\n" + AFTER
    (tmp_path / "more.csv").write_bytes(HEADER + rows)
    (tmp_path / "less.csv").write_bytes(HEADER + BEFORE + AFTER)
    more, less = (read_examples(tmp_path / name, small_task(), WINDOW) for name in ("more.csv", "less.csv"))
    assert len(less.labels) == 8
    assert 0 <= len(more.labels) - len(less.labels) <= 1
    head, tail = (less.inputs, less.inputs[:0]) if last else (less.inputs[:4], less.inputs[4:])
    assert np.array_equal(more.inputs[: len(head)], head)
    assert np.array_equal(more.inputs[len(more.inputs) - len(tail) :], tail)


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_quoted_words_are_read_as_a_spreadsheet_writes_them(tmp_path: Path, ending: bytes) -> None:
    lines = [b'"load",hour,"site",stops,at', b'"0.5","3","north","1","2026-01-02"', b'0.5,3,"so, ""th""",0,2026-01-02']
    (tmp_path / "a.csv").write_bytes(ending.join(lines) + ending)
    found = read_examples(tmp_path / "a.csv", small_task(), WINDOW)
    assert found.labels.tolist() == [1, 0]
    assert found.inputs[:, -2:].tolist() == [[1, 0], [0, 0]]
