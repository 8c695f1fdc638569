"""Colours that everyone can read, none where none is wanted, and nothing but ASCII where nothing else is known."""

import re
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.segment import Segment
from rich.style import Style
from screens import story
from screens.conftest import Open, settled, text_of, until
from textual.color import Color
from textual.theme import Theme

from server.tui.app import CoveyApp
from server.tui.faring import GLYPHS
from server.tui.glyphs import PAIRS, Ascii, Colourless, in_ascii, speaks_utf8, wants_ascii
from server.tui.roundchart import FAILED, REASONS, RETURNED, UNUSED
from server.tui.themes import SAFE_DARK, SAFE_LIGHT, THEMES
from server.tui.words import DEVICE_MARKS, HEALTH_MARKS, RUN_MARKS, SHIFT_MARKS, STAGE_MARKS

BLACK = Color(0, 0, 0)
SIGHT = {
    "deuteranopia": ((0.367, 0.861, -0.228), (0.280, 0.673, 0.047), (-0.012, 0.043, 0.969)),
    "protanopia": ((0.152, 1.053, -0.205), (0.115, 0.786, 0.099), (-0.004, -0.048, 1.052)),
    "tritanopia": ((1.256, -0.077, -0.179), (-0.078, 0.931, 0.148), (0.005, 0.691, 0.304)),
}
"""What three kinds of eyes make of linear red, green and blue: Machado, Oliveira and Fernandes (2009), severity 1."""
STATES = ("success", "warning", "error")


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
@pytest.mark.parametrize("tone", ["foreground", "primary", *STATES])
def test_text_stands_out_from_its_ground(theme: Theme, tone: str) -> None:
    """4.5 to 1 is what WCAG 2 asks of text."""
    assert theme.background
    ground, colour = Color.parse(theme.background), Color.parse(getattr(theme, tone))
    assert ratio(colour, ground) >= 4.5


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("theme", [SAFE_DARK, SAFE_LIGHT], ids=lambda theme: theme.name)
def test_states_stay_apart_for_colour_blind_eyes(theme: Theme, sight: str) -> None:
    """Differences of 10 in Lab are seen at a glance."""
    seen = [seen_as(Color.parse(getattr(theme, tone)), sight) for tone in STATES]
    for one, other in combinations(seen, 2):
        assert distance(one, other) >= 10


@pytest.mark.parametrize(
    "marks",
    [DEVICE_MARKS, RUN_MARKS, STAGE_MARKS, SHIFT_MARKS, HEALTH_MARKS],
    ids=["device", "run", "stage", "shift", "health"],
)
def test_no_two_states_differ_by_colour_alone(marks: dict[str, object]) -> None:
    said = [str(mark.content().plain) for mark in marks.values()]  # type: ignore[attr-defined]
    assert len(set(said)) == len(said)
    assert len({in_ascii(each) for each in said}) == len(said)
    assert all(re.search("[a-z]{3}", each) for each in said)


async def test_without_colours_no_colour_is_sent(opened: Open, told: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await until(pilot, lambda: "EWR-UA" in text_of(app))
        styles = [s.style for strip in app.screen._compositor.render_strips() for s in strip if s.style]
        assert all(style.color is None and style.bgcolor is None for style in styles)
        assert any(style.reverse for style in styles)
        assert "● online" in text_of(app)


KEYS = ["1", "2", "3", "4", "5", "6", "7", "8", "s", "question_mark", "x"]


@pytest.mark.parametrize("keys", KEYS)
async def test_in_ascii_nothing_else_is_on_screen(told: Path, keys: str) -> None:
    app = CoveyApp(told, clock=lambda: story.NOW, ascii_only=True)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        await pilot.press(keys)
        await pilot.pause(0.1)
        assert text_of(app).isascii()
        assert "+-" in text_of(app)


@pytest.mark.parametrize("keys", KEYS)
async def test_every_glyph_has_a_stand_in(told: Path, keys: str) -> None:
    app = CoveyApp(told, clock=lambda: story.NOW, ascii_only=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        await pilot.press(keys)
        await pilot.pause(0.1)
        assert {glyph for glyph in text_of(app) if not glyph.isascii()} <= PAIRS.keys()


def test_glyphs_are_as_wide_as_their_stand_ins() -> None:
    assert all(len(glyph) == len(instead) == 1 and instead.isascii() for glyph, instead in PAIRS.items())


@pytest.mark.parametrize(
    "glyphs",
    ["".join(GLYPHS[word][0] for word in GLYPHS), "".join(look[0] for look in (RETURNED, *REASONS, FAILED, UNUSED)), "▲△", "━╍"],
    ids=["health", "answers", "shifts", "lines"],
)  # fmt: skip
def test_glyphs_that_stand_together_have_stand_ins_of_their_own(glyphs: str) -> None:
    assert len(set(in_ascii(glyphs))) == len(glyphs)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (" 70 → ", " 70-> "),
        ("promote 27 → 4 devices", "promote 27-> 4 devices"),
        ("ε ≤", "e<="),
        ("≤ 1,000 B", "<=1,000 B"),
        ("gate  ≥ 0.62", "gate  >=0.62"),
        ("0.71 ± 0.02", "0.71+- 0.02"),
        (" → Next round", " > Next round"),
    ],
)
def test_an_arrow_is_no_comparison_and_a_bound_is_no_less(text: str, said: str) -> None:
    assert in_ascii(text) == said


@given(st.text(alphabet=[*PAIRS, " ", "a", "é"]) | st.text())
def test_a_text_in_ascii_is_as_long_as_before(text: str) -> None:
    assert in_ascii(text).isascii()
    assert len(in_ascii(text)) == len(text)


def test_filters_change_nothing_but_what_they_are_for() -> None:
    bold = Style(bold=True, color="red", bgcolor="blue")
    line = [Segment("● on", bold), Segment("off", None)]
    assert Ascii().apply(line, BLACK) == [Segment("* on", bold), Segment("off", None)]
    assert Colourless().apply(line, BLACK) == [Segment("● on", Style(bold=True)), Segment("off", None)]


@pytest.mark.parametrize(
    ("environment", "ascii_only"),
    [
        ({}, False),
        ({"LANG": "C.UTF-8"}, False),
        ({"LANG": "en_US.utf8"}, False),
        ({"LANG": "de_DE.ISO-8859-1"}, True),
        ({"LC_ALL": "C", "LANG": "en_US.UTF-8"}, True),
        ({"LC_ALL": "", "LC_CTYPE": "C.UTF-8", "LANG": "C"}, False),
        ({"COVEY_ASCII": "1", "LANG": "C.UTF-8"}, True),
        ({"COVEY_ASCII": "0", "LC_ALL": "POSIX"}, False),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else str(value),
)
def test_the_locale_decides_unless_a_person_does(environment: dict[str, str], ascii_only: bool) -> None:
    assert wants_ascii(environment) is ascii_only
    assert speaks_utf8({"LANG": "C.UTF-8"})


def ratio(one: Color, other: Color) -> float:
    """The contrast of two colours as WCAG 2 has it."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour: Color) -> float:
    red, green, blue = linear(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def linear(colour: Color) -> tuple[float, float, float]:
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour.normalized
    )
    return red, green, blue


def seen_as(colour: Color, sight: str) -> tuple[float, float, float]:
    """The colour's Lab coordinates after a kind of sight."""
    rgb = linear(colour)
    mixed = [
        min(1.0, max(0.0, sum(weight * part for weight, part in zip(row, rgb, strict=True)))) for row in SIGHT[sight]
    ]
    return lab(*mixed)


def lab(red: float, green: float, blue: float) -> tuple[float, float, float]:
    """CIE Lab under D65 of linear sRGB."""
    x = (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.9505
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    z = (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.089
    fx, fy, fz = (part ** (1 / 3) if part > 0.008856 else 7.787 * part + 16 / 116 for part in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def distance(one: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5
