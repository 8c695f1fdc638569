# ruff: noqa: RUF001 - glyphs that look like letters are what this table is about
"""Screens for terminals that know no more than ASCII, and for people who want no colour."""

import re
from collections.abc import Mapping
from functools import lru_cache

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter

PAIRS = {
    "●": "*", "○": "o", "◌": ".", "◐": "%", "◑": "%", "◆": "*", "◇": "o", "■": "#", "□": "o", "▪": "#", "▫": ".",
    "✓": "+", "✔": "+", "✕": "x", "✗": "x", "✖": "x", "▲": "^", "△": "~", "▼": "v", "▽": "v", "▶": ">", "▸": ">",
    "▹": ">", "◀": "<", "◂": "<", "▚": "#", "▞": "/", "▌": "|", "▐": "|", "▎": "|", "▏": "|", "▕": "|", "│": "|", "┃": "|",
    "║": "|", "╷": "|", "╵": "|", "╎": ":", "╏": ":", "┆": ":", "┊": ":", "─": "-", "━": "=", "═": "=", "╌": "-",
    "╍": "~", "┄": "-", "┅": "~", "┈": "-", "╸": "=", "╺": "=", "╴": "-", "╶": "-", "▁": "_", "▂": "_", "▃": "_",
    "▄": "=", "▅": "=", "▆": "=", "▇": "#", "█": "#", "▀": "'", "▔": "-", "▉": "#", "▊": "#", "▋": "#", "▍": "|",
    "░": ".", "▒": ":", "▓": "#", "╭": "+", "╮": "+", "╰": "+", "╯": "+", "┌": "+", "┐": "+", "└": "+", "┘": "+",
    "├": "+", "┤": "+", "┬": "+", "┴": "+", "┼": "+", "┏": "+", "┓": "+", "┗": "+", "┛": "+", "┠": "+", "┨": "+",
    "╔": "+", "╗": "+", "╚": "+", "╝": "+", "·": "-", "•": "*", "…": ".", "–": "-", "—": "-", "→": ">", "←": "<",
    "↑": "^", "↓": "v", "↳": ">", "›": ">", "‹": "<", "»": ">", "«": "<", "≤": "<", "≥": ">", "≈": "~", "≠": "/",
    "±": "~", "×": "x", "÷": "/", "−": "-", "ε": "e", "δ": "d", "σ": "s", "µ": "u", "μ": "u", "Δ": "D", "∞": "8",
    "’": "'", "‘": "'", "“": '"', "”": '"', "\u00a0": " ", "⭘": "o", "⏎": "<", "⌕": "/",
}  # fmt: skip
"""Each glyph's stand-in, as wide as itself: one cell."""
_TABLE = str.maketrans(PAIRS)
DOUBLE = {"→": "->", "≤": "<=", "≥": ">=", "±": "+-"}
"""What one cell cannot say without being read as something else, together with a blank beside it."""
_AFTER = re.compile(f"(?<=\\S) ([{''.join(DOUBLE)}])")
_BEFORE = re.compile(r"([≤≥±]) ")


def in_ascii(text: str) -> str:
    """A text of the same width without anything but ASCII; what nobody thought of becomes `?`."""
    if text.isascii():
        return text
    for beside in (_AFTER, _BEFORE):
        text = beside.sub(lambda found: DOUBLE[found[1]], text)
    return text.translate(_TABLE).encode("ascii", "replace").decode()


class Ascii(LineFilter):
    """Puts every glyph's stand-in on screen, whoever drew it: borders, marks, charts and scrollbars alike."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002 - Textual's
        """One line with its stand-ins."""
        return [segment if segment.control else Segment(in_ascii(segment.text), segment.style) for segment in segments]


class Colourless(LineFilter):
    """Leaves bold, reverse and underline, and takes every colour away."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002 - Textual's
        """One line without colours."""
        return [
            segment if segment.control else Segment(segment.text, without_colour(segment.style)) for segment in segments
        ]


@lru_cache(1024)
def without_colour(style: Style | None) -> Style | None:
    """The same style without its colours."""
    return style.without_color if style else None


def speaks_utf8(environment: Mapping[str, str]) -> bool:
    """Whether the locale that a person named, if any, is one of UTF-8."""
    named = next((environment[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if environment.get(name)), "")
    return not named or "utf8" in named.lower().replace("-", "")


def wants_ascii(environment: Mapping[str, str]) -> bool:
    """Whether the screen is to be drawn in ASCII: `COVEY_ASCII=1`, or a locale without UTF-8 (`COVEY_ASCII=0`: never)."""
    said = environment.get("COVEY_ASCII", "")
    return said not in {"", "0"} or (said != "0" and not speaks_utf8(environment))
