"""A rehearsal's report: its tables, the figures that are read off them, and a page that stands alone."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import Nesting, plots, stands_alone

from shared.errors import InputError
from simulations.report import scales, write
from simulations.report.figures import figures
from simulations.report.page import rehearsal
from simulations.report.plots import Change, Level, Line, Words, changes, lines
from simulations.report.prose import abstract, headline, notice
from simulations.report.summary import STILL, gains, over_seeds, summarise
from simulations.report.tables import (
    About,
    Baseline,
    Baselines,
    DeviceRow,
    GroupRow,
    RoundRow,
    Tables,
    frame,
    read_about,
    read_tables,
    schema,
    write_about,
    write_tables,
)
from simulations.report.words import at_delta, count, duration, fixed, number, percent, signed, size

CENTRAL = Baseline(auc=0.8, loss=0.4, accuracy=0.8, about="mlp")
LOCAL = Baseline(auc=0.6, loss=0.6, accuracy=0.7, about="linear")
ABOUT = About(
    task="flights", title="Late arrivals", revision=2, plan_sha256="ab" * 32, seeds=(1, 2), devices=40, rounds=4,
    mode="local", engine="fast", complete=True, baselines=Baselines(central=CENTRAL, local=LOCAL), delta=1e-5,
    trained_on="January", tested_on="February", command="covey-sim run x", start="covey start --plan plan.toml",
)  # fmt: skip


def rounds(seeds: tuple[int, ...] = (1, 2), last: int = 4, *, worth: float = 0.5) -> list[RoundRow]:
    return [
        RoundRow(
            seed=seed, round=number, outcome="abandoned" if number == 2 else "committed", cohort=10, returned=8, refused=1,
            failed=1, epsilon=0.5 * number, bytes_up=800, bytes_down=2000, virtual_seconds=60.0, seconds=0.5,
            auc=None if number == 2 else worth + 0.05 * number + 0.01 * seed, loss=0.7 - 0.05 * number,
        )
        for seed in seeds
        for number in range(1, last + 1)
    ]  # fmt: skip


def devices(changes: list[float], *, seed: int = 1, epsilon: float = 2.0) -> list[DeviceRow]:
    return [
        DeviceRow(
            seed=seed, device=f"d{index}", rows=20, rounds_paid=4, epsilon=epsilon, refusals=0, test_rows=5,
            loss_before=0.7, loss_after=0.7 - change, accuracy_before=0.5, accuracy_after=0.6,
        )
        for index, change in enumerate(changes)
    ]  # fmt: skip


GROUPS = [
    GroupRow(seed=1, column="carrier", group="UA", rows=50, auc=0.7, loss_before=0.7, loss_after=0.6),
    GroupRow(seed=1, column="carrier", group="B6", rows=40, auc=None, loss_before=0.7, loss_after=0.75),
    GroupRow(seed=1, column="devices", group="worst 10 %", rows=9, auc=0.6, loss_before=0.9, loss_after=1.0),
    GroupRow(seed=1, column="devices", group="all", rows=90, auc=0.7, loss_before=0.7, loss_after=0.65),
]


def tables(
    found: list[RoundRow] | None = None, devices_: list[DeviceRow] | None = None, groups: list[GroupRow] | None = None
) -> Tables:
    return Tables(
        rounds=frame(RoundRow, rounds() if found is None else found),
        devices=frame(DeviceRow, devices([0.1, 0.2, -0.1, 0.0]) if devices_ is None else devices_),
        groups=frame(GroupRow, GROUPS if groups is None else groups),
    )


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    write_about(tmp_path, ABOUT)
    write_tables(tmp_path, rounds(), devices([0.1]), GROUPS)
    found = read_tables(tmp_path)
    assert read_about(tmp_path) == ABOUT
    assert [RoundRow(**row) for row in found.rounds.to_dicts()] == rounds()
    assert [DeviceRow(**row) for row in found.devices.to_dicts()] == devices([0.1])
    assert [GroupRow(**row) for row in found.groups.to_dicts()] == GROUPS
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "about.json", "devices.parquet", "groups.parquet", "rounds.parquet",
    ]  # fmt: skip


def test_a_figure_that_is_no_number_becomes_null(tmp_path: Path) -> None:
    columns = {name: [getattr(devices([0.1])[0], name)] for name in schema(DeviceRow)}
    write_tables(tmp_path, [], pl.DataFrame(columns | {"loss_after": [np.nan], "test_rows": np.array([0])}), [])
    assert read_tables(tmp_path).devices["loss_after"].to_list() == [None]


def test_tables_that_are_not_there_yet_are_empty(tmp_path: Path) -> None:
    found = read_tables(tmp_path)
    assert [len(found.rounds), len(found.devices), len(found.groups)] == [0, 0, 0]
    assert found.rounds.columns == list(schema(RoundRow))


@pytest.mark.parametrize("body", [b"no parquet", None])
def test_a_table_of_another_shape_is_refused_by_name(tmp_path: Path, body: bytes | str | None) -> None:
    path = tmp_path / "rounds.parquet"
    if body is None:
        pl.DataFrame({"seed": [1]}).write_parquet(path)
    else:
        path.write_bytes(body)
    with pytest.raises(InputError, match=r"rounds\.parquet"):
        read_tables(tmp_path)


@pytest.mark.parametrize("body", [None, "{", '{"task": "x"}'])
def test_a_folder_that_holds_no_rehearsal_is_refused(tmp_path: Path, body: bytes | str | None) -> None:
    if body is not None:
        (tmp_path / "about.json").write_text(body)
    with pytest.raises(InputError, match="not the result of a rehearsal"):
        write(tmp_path)


def test_the_page_stands_alone_and_is_whole(tmp_path: Path) -> None:
    write_about(tmp_path, ABOUT)
    write_tables(tmp_path, rounds(), devices([0.1, -0.1, 0.0]), GROUPS)
    path = write(tmp_path)
    page = path.read_text(encoding="utf-8")
    assert path == tmp_path / "report.html"
    assert stands_alone(page)
    parser = Nesting()
    parser.feed(page)
    assert parser.open == []
    assert parser.seen.count("svg") == 9
    assert "prefers-color-scheme: dark" in page


def test_the_check_for_what_is_fetched_finds_it() -> None:
    assert not stands_alone('<img src="x.png">')
    assert not stands_alone("<style>@import 'x'</style>")
    assert not stands_alone('<a href="https://example.org">')


def test_each_plot_has_words_of_its_own_and_a_table_beside_it() -> None:
    page = rehearsal(ABOUT, tables())
    found = plots(page)
    names = [each.attrib["aria-labelledby"] for each in found]
    assert len(set(names)) == len(names) == page.count("<table>") == page.count("<summary>")
    for each in found:
        title, description = each[0], each[1]
        assert (title.tag, description.tag, each.attrib["role"]) == ("title", "desc", "img")
        assert each.attrib["aria-labelledby"] == f"{title.attrib['id']} {description.attrib['id']}"
        assert title.text
        assert description.text


def test_the_abstract_says_what_was_run_what_came_of_it_and_at_what_price() -> None:
    words = " ".join(abstract(ABOUT, summarise(ABOUT, tables())))
    for each in (
        "40 virtual devices", "flights, revision 2", "4 rounds were asked of each of 2 seeds", "8 were run, and 6 of them committed", "abababababab",
        "AUC of 0.715 (0.710 to 0.720 over seeds)", "give 0.800 (mlp)", "72 % of what that adds", "give 0.600 (linear)",
        "worth +0.115", "ε = 2.00 at δ = 1e-5", "one row added or removed", "against everyone",
        "50 % of devices gain, 25 % lose, and 25 % see nothing",
    ):  # fmt: skip
        assert each in words.replace("\N{NO-BREAK SPACE}", " "), each


def test_a_federation_that_is_worse_than_devices_alone_is_told_so() -> None:
    poor = tables(rounds(worth=0.35))
    words = " ".join(abstract(ABOUT, summarise(ABOUT, poor)))
    assert "learning together is NOT worth it" in words


def test_an_unfinished_rehearsal_says_so_first_and_judges_finished_seeds_alone() -> None:
    about = replace(ABOUT, complete=False)
    found = tables([*rounds((1,)), *rounds((2,), last=1)])
    summary = summarise(about, found)
    assert summary.auc is not None
    assert (summary.auc.low, summary.auc.high) == (pytest.approx(0.71), pytest.approx(0.71))
    assert "5 of 8 rounds were run over all seeds" in (notice(about, summary) or "")
    page = rehearsal(about, found)
    assert page.index("not finished") < page.index("<dl")
    assert "over the 1 seed that finished" in page
    assert notice(ABOUT, summary) is None


@pytest.mark.parametrize("last", [0, 1, 2])
def test_whatever_is_there_has_a_report(last: int) -> None:
    about = replace(ABOUT, complete=False, baselines=Baselines(), title="", delta=None)
    found = tables(rounds((1,), last=last), [], [])
    page = rehearsal(about, found)
    assert stands_alone(page)
    assert len(plots(page)) == len(list(figures(about, found, summarise(about, found)))) == (6 if last else 0)
    assert headline(about, summarise(about, found)).startswith("flights:")


def test_names_from_data_are_words_and_nothing_else() -> None:
    wild = '<script>alert("x")</script>&'
    about = replace(ABOUT, title=wild, command=wild, engine=wild)
    group = replace(GROUPS[0], column='"><script>', group=wild)
    page = rehearsal(about, tables(groups=[group]))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert len(plots(page)) == 9


def test_gains_tell_the_mean_from_the_many() -> None:
    found = gains(frame(DeviceRow, devices([2.0] + [0.0] * 6 + [-0.01] * 2 + [STILL / 2])))
    assert found is not None
    assert (found.gain, found.lose, found.still) == (0.1, 0.2, pytest.approx(0.7))
    assert found.mean > 0
    assert found.trap
    assert found.worst_after == pytest.approx(0.71)
    assert "Beware of the mean" in rehearsal(ABOUT, tables(devices_=devices([2.0] + [0.0] * 9)))
    assert "Beware" not in rehearsal(ABOUT, tables(devices_=devices([0.2] * 9)))


def test_devices_without_test_rows_gain_nothing_and_lose_nothing() -> None:
    blank = replace(devices([0.1])[0], test_rows=0, loss_before=None, loss_after=None)
    assert gains(frame(DeviceRow, [blank])) is None


def test_epsilon_is_of_those_that_paid() -> None:
    some = [replace(each, epsilon=paid) for each, paid in zip(devices([0.1] * 4), (0.0, 1.0, 2.0, 3.0), strict=True)]
    found = summarise(ABOUT, tables(devices_=some)).epsilons
    assert (found.untouched, found.most, found.median) == (1, 3.0, 2.0)


def test_traffic_and_time_are_those_of_one_run() -> None:
    found = summarise(ABOUT, tables())
    assert (found.traffic.up, found.traffic.down, found.traffic.total) == (100.0, 200.0, 4 * 2800.0)
    assert (found.virtual_seconds, found.seconds) == (240.0, 2.0)


def test_a_band_reaches_from_the_lowest_to_the_highest_seed() -> None:
    found = over_seeds(tables().rounds, "auc")
    assert [row[0] for row in found] == [1, 3, 4], "a round without the figure has no point"
    assert found[-1][1:] == (pytest.approx(0.715), pytest.approx(0.71), pytest.approx(0.72))


def test_lines_that_end_together_have_names_apart() -> None:
    words = Words(name="x", title="x", description="x", x="round", y="y")
    found = ET.fromstring(
        lines(
            words,
            [Line(name=f"line {n}", style="a", points=[(1, 0.0), (2, 0.5)]) for n in range(4)],
            [Level(name="same", value=0.5)],
        )
    )
    places = sorted(float(each.attrib["y"]) for each in found.iter("text") if "name" in each.attrib["class"])
    assert len(places) == 5
    assert min(b - a for a, b in pairwise(places)) >= 15


def test_a_group_that_loses_is_drawn_as_one_and_what_is_missing_is_left_out() -> None:
    words = Words(name="x", title="x", description="x", x="loss", y="")
    found = ET.fromstring(
        changes(words, [Change(name="good", before=1.0, after=0.5), Change(name="bad", before=1.0, after=1.5),
                        Change(name="new", before=None, after=0.7), Change(name="none", before=None, after=None)])
    )  # fmt: skip
    styles = [each.attrib["class"] for each in found.iter("circle")]
    assert styles == ["ring", "point a", "ring", "point b", "point a"]


@given(low=st.floats(-1e4, 1e4), span=st.floats(1e-2, 1e6), wanted=st.integers(2, 10))
def test_ticks_are_round_even_and_within(low: float, span: float, wanted: int) -> None:
    found = scales.even(low, low + span, wanted)
    assert len(found) <= 3 * wanted
    assert all(low - span * 1e-6 <= each <= low + span * (1 + 1e-6) for each in found)
    steps = np.diff(found)
    assert np.allclose(steps, steps[0] if len(steps) else 0, rtol=1e-3)


@given(values=st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=6))
def test_a_scale_has_room_for_all(values: list[float]) -> None:
    scale = scales.around(values, 0.0, 100.0)
    assert all(0 <= scale(value) <= 100 for value in values)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (number(0.123456), "0.123"), (number(4037), "4,037"), (number(-0.5), "\N{MINUS SIGN}0.5"), (number(0), "0"),
        (number(None), "\N{EN DASH}"), (number(float("nan")), "\N{EN DASH}"), (number(1e-9), "1.00e\N{MINUS SIGN}09"),
        (fixed(0.5), "0.500"), (signed(0.5, 2), "+0.50"), (signed(-0.5, 2), "\N{MINUS SIGN}0.50"), (signed(0.0), "0.000"),
        (signed(None), "\N{EN DASH}"), (percent(0.255, 1), "25.5\N{NO-BREAK SPACE}%"), (size(0), "0\N{NO-BREAK SPACE}B"),
        (size(412), "412\N{NO-BREAK SPACE}B"), (size(26_300_000), "26.3\N{NO-BREAK SPACE}MB"), (count(1, "round"), "1 round"),
        (duration(90), "90\N{NO-BREAK SPACE}s"), (duration(7500), "2.08\N{NO-BREAK SPACE}h"), (duration(864_000), "10\N{NO-BREAK SPACE}days"),
        (count(2000, "round"), "2,000 rounds"), (at_delta(1e-5), " at δ = 1e-5"), (at_delta(None), ""),
    ],
)  # fmt: skip
def test_figures_read_well(found: str, expected: str) -> None:
    assert found == expected
