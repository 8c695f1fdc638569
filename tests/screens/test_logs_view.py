"""Logs as they are written: nothing twice and nothing lost as files turn over, bounded memory, and a tail that stays or holds."""

import os
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from screens import story
from screens.conftest import Open, settled, text_of, until
from textual.events import MouseScrollUp
from textual.pilot import Pilot

from server.config import Federation
from server.tui.app import CoveyApp
from server.tui.lazy import Fields
from server.tui.listing import plain
from server.tui.logbook import ENTRIES, FOLLOWING, TOGETHER, Entry, LogBook, printable, take
from server.tui.logrows import FIELDS, clock, entry_cells, entry_page, grave_enough, moment, whole_text
from server.tui.logs import LogsView
from server.tui.logtail import LONGEST, Tail
from server.tui.query import matches, parse
from server.tui.table import Table

TEXTS = st.lists(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=40), max_size=20)


def line(number: int, level: str = "INFO", said: str = "", *, minute: int = 0, logger: str = "server.rounds") -> str:
    """One line as `server.logs` writes it."""
    return f"2025-12-31 22:{minute:02d}:{number % 60:02d},{number % 1000:03d} {level:<7} 4121 {logger}: {said or f'line {number}'}\n"  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "coordinator.log"
    path.write_text("first\n")
    return path


def append(path: Path, text: str) -> None:
    """Write on, as a logger does."""
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


# -- one file -----------------------------------------------------------------------------------------


def test_only_what_is_new_is_read_and_only_whole_lines(file: Path) -> None:
    tail = Tail(file)
    assert (tail.read(), tail.read()) == (["first"], [])
    append(file, "sec")
    assert tail.read() == []
    append(file, "ond\nthird\n")
    assert tail.read() == ["second", "third"]
    tail.close()


def test_the_rest_of_a_file_that_turned_over_comes_before_the_new_one(file: Path) -> None:
    tail = Tail(file)
    tail.read()
    append(file, "last of the old\nunfinished")
    file.rename(file.with_suffix(".log.1"))
    file.write_text("first of the new\n")
    assert tail.read() == ["last of the old", "unfinished", "first of the new"]
    tail.close()


def test_a_file_that_was_cut_is_read_from_its_beginning(file: Path) -> None:
    append(file, "a long second line\n")
    tail = Tail(file)
    tail.read()
    with file.open("w", encoding="utf-8") as emptied:
        emptied.write("anew\n")
    assert tail.read() == ["anew"]
    tail.close()


def test_of_a_burst_only_the_end_is_read(file: Path) -> None:
    tail = Tail(file, most=100)
    tail.read()
    append(file, "".join(f"line {number:03d}\n" for number in range(100)))
    assert tail.read() == [f"line {number:03d}" for number in range(89, 100)]
    tail.close()


def test_a_line_without_end_does_not_grow_without_end(file: Path) -> None:
    tail = Tail(file)
    tail.read()
    append(file, "x" * (3 * LONGEST))
    assert [len(text) for text in tail.read()] == [LONGEST] * 3
    assert tail._begun == b""
    tail.close()


def test_what_is_no_text_is_replaced(file: Path) -> None:
    file.write_bytes(b"caf\xe9\n")
    tail = Tail(file)
    assert tail.read() == ["caf\ufffd"]
    tail.close()


def test_a_file_that_is_gone_says_so_and_may_come_back(file: Path) -> None:
    tail = Tail(file)
    tail.read()
    file.unlink()
    with pytest.raises(FileNotFoundError):
        tail.read()
    file.write_text("back\n")
    assert tail.read() == ["back"]
    tail.close()


@given(texts=TEXTS, cuts=st.lists(st.integers(0, 500), max_size=6))
def test_however_a_file_is_written_each_line_is_read_once(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], cuts: list[int]
) -> None:
    path = tmp_path_factory.mktemp("tail") / "one.log"
    whole = "".join(f"{text}\n" for text in texts).encode()
    tail, found, at = Tail(path), [], 0
    for cut in (*sorted(min(cut, len(whole)) for cut in cuts), len(whole)):
        with path.open("ab") as file:
            file.write(whole[at:cut])
        at = cut
        found += tail.read()
    tail.close()
    assert found == texts


# -- several files ------------------------------------------------------------------------------------


def test_lines_become_entries_and_a_trace_belongs_to_its_own() -> None:
    kept: deque[Entry] = deque(maxlen=10)
    count = take(
        ["stray", line(1, "ERROR").strip(), "Traceback (most recent call last):", "  in look"],
        kept,
        file="run-5",
        count=0,
    )
    assert count == 2
    assert [(entry.key, entry.level, entry.text) for entry in kept] == [
        ("run-5/1", "", "stray"),
        ("run-5/2", "error", "line 1"),
    ]
    assert kept[1].following == ("Traceback (most recent call last):", "  in look")
    take([f"  deeper {number}" for number in range(2 * FOLLOWING)], kept, file="run-5", count=count)
    assert len(kept[1].following) == FOLLOWING


def test_a_trace_that_comes_later_belongs_to_its_entry_too() -> None:
    kept: deque[Entry] = deque(maxlen=10)
    count = take([line(1, "ERROR").strip()], kept, file="run-5", count=0)
    assert take(["  in look"], kept, file="run-5", count=count) == count
    assert kept[0].following == ("  in look",)


def test_files_are_put_together_in_the_order_of_time(tmp_path: Path) -> None:
    append(tmp_path / "coordinator.log", line(1) + line(4))
    append(tmp_path / "run-5.log", line(2) + line(3))
    book = LogBook(tmp_path)
    assert [entry.text for entry in book.look().entries] == ["line 1", "line 2", "line 3", "line 4"]
    before = book.look().entries
    assert book.look().entries is before
    append(tmp_path / "run-5.log", line(5))
    assert [entry.text for entry in book.look().entries][-1] == "line 5"
    assert [entry.file for entry in book.look("run-5.log").entries] == ["run-5"] * 3
    assert [entry.text for entry in book.look().entries] == [f"line {number}" for number in range(1, 6)]
    book.close()


def test_no_more_is_kept_than_a_bounded_number_of_entries_of_a_few_files(tmp_path: Path) -> None:
    for number in range(TOGETHER + 3):
        append(tmp_path / f"run-{number}.log", "".join(line(each) for each in range(ENTRIES // 10)))
        os.utime(tmp_path / f"run-{number}.log", (number, number))
    book = LogBook(tmp_path)
    found = book.look()
    assert len(found.files) == TOGETHER + 3
    assert {entry.file for entry in found.entries} == {f"run-{number}" for number in range(3, TOGETHER + 3)}
    append(tmp_path / "run-8.log", "".join(line(each) for each in range(2 * ENTRIES)))
    assert len(book.look("run-8.log").entries) == ENTRIES
    assert set(book._tails) == {"run-8.log"}
    book.close()


def test_a_file_that_cannot_be_read_says_why_beside_the_others(tmp_path: Path) -> None:
    append(tmp_path / "coordinator.log", line(1))
    (tmp_path / "run-1.log").mkdir()
    book = LogBook(tmp_path)
    found = book.look()
    assert {file.name: file.trouble for file in found.files} == {"coordinator.log": "", "run-1.log": "Is a directory"}
    assert [entry.text for entry in found.entries] == ["line 1"]
    book.close()


def test_what_a_terminal_would_obey_is_never_shown() -> None:
    assert printable("a\x1b[31mb\tc\u202ed\x9be") == "a·[31mb    c·d·e"


# -- rows ---------------------------------------------------------------------------------------------


def one(level: str = "WARNING") -> Entry:
    kept: deque[Entry] = deque(maxlen=1)
    take([line(7, level, "it took long").strip(), "  a", "  b"], kept, file="run-5", count=0)
    return kept[0]


def test_a_row_and_a_page_say_all_of_an_entry() -> None:
    time, level, file, logger, what = (plain(cell) for cell in entry_cells(one(), moment(one().at).timestamp()))
    assert (time, level, file, logger) == (clock("2025-12-31 22:00:07,007", "%H:%M:%S"), "▲ warning", "run-5", "rounds")
    assert what == "it took long  +2 lines"
    assert plain(entry_cells(one(), story.NOW + 5 * story.DAY)[0]) == clock(one().at, "%d %b")
    page = entry_page(one()).plain
    assert page.endswith("run-5.log, process 4121, server.rounds\n\nit took long\n  a\n  b")
    assert whole_text(one()) == line(7, "WARNING", "it took long") + "  a\n  b"


@pytest.mark.parametrize(("level", "shown"), [("DEBUG", 1), ("INFO", 1), ("WARNING", 2), ("ERROR", 3), ("CRITICAL", 3)])
def test_each_level_is_shown_by_its_word(level: str, shown: int) -> None:
    assert [grave_enough(one(level), least) for least in ("everything", "warnings", "errors")] == [
        number < shown for number in range(3)
    ]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("level:warning", True),
        ("level:error", False),
        ("file:run-5", True),
        ("what~a", True),
        ("logger~rounds", True),
        ("since:1min", False),
    ],
)
def test_queries_find_entries(query: str, found: bool) -> None:
    asked = parse(query, tuple(FIELDS))
    assert matches(asked, Fields(FIELDS, one(), story.NOW + 10_000_000)) == found


# -- on screen ----------------------------------------------------------------------------------------


@pytest.fixture
def logs(told: Path) -> Path:
    """The folder of the story's logs, with two files."""
    folder = Federation(told).logs
    folder.mkdir(exist_ok=True)
    append(folder / "coordinator.log", "".join(line(number, logger="server.gateway") for number in range(50)))
    append(folder / "run-5.log", line(50, "WARNING", "a device was late") + line(51, "ERROR", "a round was abandoned"))
    return folder


async def looking(pilot: Pilot[None]) -> tuple[CoveyApp, LogsView, Table]:
    """The Logs view, once it has entries."""
    app = await settled(pilot)
    await pilot.press("8")
    await until(pilot, lambda: app.query_one(LogsView)._entries)
    return app, app.query_one(LogsView), app.query_one("#entries", Table)


async def test_what_is_written_comes_into_sight_until_a_person_goes_up(opened: Open, told: Path, logs: Path) -> None:
    async with opened(told).run_test(size=(120, 24)) as pilot:
        app, view, table = await looking(pilot)
        assert "a round was abandoned" in text_of(app)
        append(logs / "run-5.log", line(52, said="a new round begins"))
        await until(pilot, lambda: "a new round begins" in text_of(app))
        assert "● following" in text_of(app)
        await pilot.press("k")
        await until(pilot, lambda: not view.following)
        stays = table.key
        append(logs / "run-5.log", line(53, said="nobody sees this yet"))
        await until(pilot, lambda: len(view._entries) == 54)
        assert (table.key, "■ held" in text_of(app)) == (stays, True)
        await pilot.press("f")
        await until(pilot, lambda: "nobody sees this yet" in text_of(app) and view.following)


async def test_the_last_row_takes_the_following_up_and_f_holds(opened: Open, told: Path, logs: Path) -> None:
    async with opened(told).run_test(size=(120, 24)) as pilot:
        _, view, table = await looking(pilot)
        await pilot.press("g")
        await until(pilot, lambda: not view.following)
        await pilot.press("G")
        await until(pilot, lambda: view.following)
        await pilot.press("f")
        append(logs / "run-5.log", line(52))
        await until(pilot, lambda: len(view._entries) == 53)
        assert (view.following, table.cursor) == (False, 51)


async def test_the_wheel_holds_too(opened: Open, told: Path, logs: Path) -> None:
    async with opened(told).run_test(size=(120, 24)) as pilot:
        _, view, table = await looking(pilot)
        table.post_message(_wheel_up(table))
        await until(pilot, lambda: not view.following)
        append(logs / "run-5.log", line(52))
        await until(pilot, lambda: len(view._entries) == 53)
        assert table.scroll_offset.y < table.max_scroll_y


def _wheel_up(table: Table) -> MouseScrollUp:
    return MouseScrollUp(table, 5, 5, 0, -1, 0, shift=False, meta=False, ctrl=False)


async def test_l_leaves_warnings_and_then_errors(opened: Open, told: Path, logs: Path) -> None:
    async with opened(told).run_test(size=(120, 24)) as pilot:
        app, view, _ = await looking(pilot)
        for words, left in (("warnings only", 2), ("errors only", 1), ("following", 52)):
            await pilot.press("l")
            await until(pilot, lambda words=words: words in text_of(app))
            assert len(view._entries) == left


async def test_a_query_and_a_page_and_a_copy(opened: Open, told: Path, logs: Path) -> None:
    append(logs / "run-5.log", "Traceback (most recent call last):\n  ValueError\n")
    async with opened(told).run_test(size=(120, 24)) as pilot:
        app, _, table = await looking(pilot)
        await pilot.press("slash", *"level:error", "enter")
        await until(pilot, lambda: len(table.keys) == 1)
        await pilot.press("y")
        assert app.clipboard.endswith("a round was abandoned\nTraceback (most recent call last):\n  ValueError")
        await pilot.press("enter")
        await until(pilot, lambda: "Logs ▸ run-5/2" in text_of(app))
        assert "ValueError" in text_of(app)


async def test_one_file_alone_is_shown_where_it_is_chosen(opened: Open, told: Path, logs: Path) -> None:
    async with opened(told).run_test(size=(120, 24)) as pilot:
        app, view, _ = await looking(pilot)
        files = app.query_one("#files", Table)
        files.focus()
        files.select("run-5.log")
        await until(pilot, lambda: len(view._entries) == 2)
        assert "Entries of run-5.log" in text_of(app)
        await pilot.press("enter")
        await until(pilot, lambda: app.focused is app.query_one("#entries", Table))


async def test_a_run_leads_to_its_log_and_escape_back_to_the_run(opened: Open, told: Path, logs: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("2", "l")
        await until(pilot, lambda: "Entries of run-5.log" in text_of(app))
        assert "Rounds 5 ▸ Logs" in text_of(app)
        await pilot.press("escape")
        await until(pilot, lambda: app.current == "Rounds")


async def test_a_run_that_wrote_nothing_says_so(opened: Open, told: Path, logs: Path) -> None:
    (logs / "run-5.log").unlink()
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("2", "l")
        await until(pilot, lambda: any("run-5.log is not there" in each.message for each in app._notifications))


@pytest.mark.parametrize("change", ["rotate", "truncate"])
async def test_a_file_that_turns_over_goes_on(opened: Open, told: Path, logs: Path, change: str) -> None:
    file = logs / "coordinator.log"
    changes: dict[str, Callable[[], object]] = {
        "rotate": lambda: file.rename(logs / "coordinator.log.1"),
        "truncate": lambda: os.truncate(file, 0),
    }
    async with opened(told).run_test(size=(120, 24)) as pilot:
        app, view, _ = await looking(pilot)
        changes[change]()
        append(file, line(59, said="the first of the new file", minute=1))
        await until(pilot, lambda: "the first of the new file" in text_of(app))
        assert len(view._entries) == 53


@pytest.mark.parametrize("size", [(80, 24), (40, 12)], ids=str)
async def test_a_small_terminal_does_no_harm(opened: Open, told: Path, logs: Path, size: tuple[int, int]) -> None:
    async with opened(told).run_test(size=size) as pilot:
        app, _, _ = await looking(pilot)
        assert app.is_running


async def test_a_federation_that_never_served_says_what_writes_here(opened: Open, empty: Path) -> None:
    async with opened(empty).run_test(size=(80, 24)) as pilot:
        app = await settled(pilot)
        await pilot.press("8")
        await until(pilot, lambda: "covey serve -v" in text_of(app))
