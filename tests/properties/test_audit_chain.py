"""Whatever single thing is done to a chained log, the first line that does not fit is named."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client.audit import AuditLog
from client.config import AgentHome

LINES = 8
COLUMNS = ("at", "kind", "task", "size", "epsilon", "sha256", "purpose", "hash")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> AgentHome:
    made = AgentHome(tmp_path_factory.mktemp("agent"))
    with closing(AuditLog(made)) as log:
        for number in range(LINES):
            log.add("contact", task=f"task {number}", purpose=f"{number} polls", content=bytes([number]) * number)
    return made


@given(
    line=st.integers(1, LINES), column=st.sampled_from(COLUMNS), value=st.one_of(st.integers(), st.text(), st.binary())
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_edit_of_any_field_is_found_at_its_line(home: AgentHome, line: int, column: str, value: object) -> None:
    if isinstance(value, int):
        value = value % 2**62
    with closing(AuditLog(home)) as log:
        db = log.store.db
        db.execute("BEGIN")
        before = db.execute("SELECT * FROM audit").fetchall()
        try:
            db.execute(f"UPDATE audit SET {column} = ? WHERE id = ?", (value, line))
            changed = [tuple(row) for row in before] != [tuple(row) for row in db.execute("SELECT * FROM audit")]
            assert log.verify().wrong == (line if changed else 0)
        finally:
            db.execute("ROLLBACK")


@given(order=st.permutations(range(1, LINES + 1)))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_other_order_is_found_where_it_begins(home: AgentHome, order: list[int]) -> None:
    first = next((place for place, number in enumerate(order, start=1) if place != number), 0)
    with closing(AuditLog(home)) as log:
        db: sqlite3.Connection = log.store.db
        db.execute("BEGIN")
        try:
            db.execute("UPDATE audit SET id = -id")
            for place, number in enumerate(order, start=1):
                db.execute("UPDATE audit SET id = ? WHERE id = ?", (place, -number))
            assert log.verify().wrong == first
        finally:
            db.execute("ROLLBACK")


@given(gone=st.sets(st.integers(1, LINES - 1), min_size=1))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_lines_taken_out_before_the_last_are_missed(home: AgentHome, gone: set[int]) -> None:
    with closing(AuditLog(home)) as log:
        db = log.store.db
        db.execute("BEGIN")
        try:
            db.executemany("DELETE FROM audit WHERE id = ?", [(number,) for number in gone])
            first_gap = min(gone)
            expected = next(number for number in range(first_gap, LINES + 1) if number not in gone)
            assert log.verify().wrong == expected
        finally:
            db.execute("ROLLBACK")


def test_two_writers_make_one_chain(home: AgentHome, tmp_path: Path) -> None:
    place = AgentHome(tmp_path)
    with closing(AuditLog(place)) as one, closing(AuditLog(place)) as other:
        for number in range(6):
            (one, other)[number % 2].add("contact", purpose=f"{number} polls")
        assert one.verify() == other.verify()
        assert (one.verify().entries, one.verify().wrong) == (6, 0)
