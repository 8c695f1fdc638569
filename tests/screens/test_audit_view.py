"""The audit log: newest first, found by who, what and since when, and each command line as a shell takes it."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from screens import story
from screens.conftest import Open, settled, text_of, until
from screens.lifecycle_story import ACTS

from server.config import Federation
from server.records import AuditEntry
from server.store import Store
from server.tui.audit import summary
from server.tui.auditrows import entry_page, fields_of, folded, mark_of, written
from server.tui.query import matches, parse
from server.tui.table import Table
from server.tui.watcher import AUDIT_SHOWN

ENTRY = AuditEntry(at=story.NOW - 3600, actor="operator", act="promote", detail="flights: version 21", command="covey promote 21")  # fmt: skip
WORDS = st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30), min_size=1, max_size=12)


def found(query: str, entries: list[AuditEntry]) -> list[str]:
    """The acts that a query finds."""
    asked = parse(query, tuple(fields_of(ENTRY, story.NOW)))
    return [entry.act for entry in entries if matches(asked, fields_of(entry, story.NOW))]


def told_entries() -> list[AuditEntry]:
    return [
        AuditEntry(at=story.NOW - hours * 3600, actor=actor, act=act, detail=detail, command=command)
        for hours, actor, act, detail, command in ACTS
    ]


@pytest.mark.parametrize(
    ("query", "acts"),
    [
        ("who:operator act:promote since:2d", ["promote", "promote"]),
        ("who:operator act:promote since:1d", ["promote"]),
        ("who:coordinator since:5h", ["advance", "retrain"]),
        ("severity:grave", ["revoke"]),
        ("when:2025-12-31 act:start", ["start"]),
        ("since:>70h act:init,task", ["init", "task"]),
        ("command~base-version", ["start"]),
    ],
)
def test_acts_are_found_by_who_what_and_since_when(query: str, acts: list[str]) -> None:
    assert found(query, told_entries()) == acts


def test_what_takes_something_away_has_a_mark_of_its_own() -> None:
    assert [mark_of(act).plain for act in ("halt", "revoke", "withdraw", "start")] == [
        "■ halt", "✕ revoke", "✕ withdraw", "· start",
    ]  # fmt: skip
    assert str(mark_of("halt").spans[0].style) == "$text-error"
    assert "grave: it took something away" in entry_page(replace(ENTRY, act="halt"), story.NOW, 80).plain


def test_the_newest_comes_first_under_keys_that_stay() -> None:
    entries = [replace(ENTRY, at=float(number // 2), detail=str(number)) for number in range(6)]
    before = {each.entry.detail: each.key for each in written(entries)}
    assert [each.entry.detail for each in written(entries)] == ["5", "4", "3", "2", "1", "0"]
    assert len(set(before.values())) == 6
    after = {each.entry.detail: each.key for each in written([*entries[2:], replace(ENTRY, detail="6")])}
    assert all(after[detail] == before[detail] for detail in "2345")


def test_the_frame_says_by_whom_and_what_was_grave() -> None:
    assert summary(told_entries()).plain == "4 by coordinator  10 by operator  ■ 1 grave"
    assert summary([ENTRY] * AUDIT_SHOWN).plain.endswith("older: covey audit --limit")


@given(words=WORDS, width=st.integers(10, 120))
def test_a_folded_command_is_the_same_command_to_a_shell(words: list[str], width: int) -> None:
    rows = folded(shlex.join(words), width)
    assert shlex.split("\n".join(rows).replace(" \\\n", " ")) == words
    assert all(len(row) <= width or len(shlex.split(row.removesuffix(" \\"))) == 1 for row in rows)


def test_a_command_that_no_shell_reads_is_shown_as_it_is() -> None:
    assert folded("covey promote 'x", 80) == ["covey promote 'x"]


async def test_an_act_has_a_page_and_its_command_is_copied(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(80, 24)) as pilot:
        app = await settled(pilot)
        await pilot.press("7", "enter")
        await until(pilot, lambda: "Audit ▸ start" in text_of(app))
        said = text_of(app)
        assert "--base-version 21" in said
        assert "y copies it" in said
        await pilot.press("y")
        assert app.clipboard == ACTS[-1][4]


async def test_several_commands_are_copied_in_the_order_in_which_they_were_given(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("7", "slash", *"act:promote", "enter", "asterisk", "y")
        await until(pilot, lambda: app.clipboard == "covey promote 12\ncovey promote 21")


async def test_what_no_command_did_is_not_copied(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("7", "slash", *"act:retrain", "enter", "y")
        await until(pilot, lambda: any("acted by itself" in each.message for each in app._notifications))
        assert app.clipboard == ""


async def test_a_new_act_appears_on_top_and_the_cursor_stays_with_its_own(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("7", "j")
        table = app.query_one("#audit", Table)
        before = table.key
        store = Store(Federation(told).database)
        store.audit(
            "operator", "halt", "flights: release 2, 0 % of the fleet: crashes", command="covey rollout halt flights"
        )
        store.close()
        await until(pilot, lambda: "■ halt" in text_of(app))
        assert (table.key, table.cursor) == (before, 2)
        assert "■ 2 grave" in text_of(app)


async def test_a_federation_in_which_nothing_was_done_says_so(opened: Open, empty: Path) -> None:
    async with opened(empty).run_test(size=(80, 24)) as pilot:
        app = await settled(pilot)
        await pilot.press("7")
        assert "Nobody has done anything yet." in text_of(app)
