"""Draws the block and line characters of a terminal's SVG as shapes, so that no font leaves seams between them."""

import html
import re
from itertools import groupby

CELL_WIDTH, CELL_HEIGHT, BASELINE = 12.2, 24.4, 18.5
"""Of a character as Textual exports it, in pixels; the baseline is measured from the cell's top."""
THIN, THICK = 1.6, 3.2
MIDDLE_X, MIDDLE_Y = CELL_WIDTH / 2, CELL_HEIGHT / 2
BLANK = "\u00a0"

Box = tuple[float, float, float, float]
"""Left, top, width and height within a cell, in pixels."""


def _share(left: float, top: float, right: float, bottom: float) -> Box:
    return left * CELL_WIDTH, top * CELL_HEIGHT, (right - left) * CELL_WIDTH, (bottom - top) * CELL_HEIGHT


def _across(left: float, right: float, thick: float) -> Box:
    return left * CELL_WIDTH, MIDDLE_Y - thick / 2, (right - left) * CELL_WIDTH, thick


def _down(thick: float) -> Box:
    return MIDDLE_X - thick / 2, 0.0, thick, CELL_HEIGHT


BOXES: dict[str, tuple[Box, ...]] = {
    **{"▁▂▃▄▅▆▇█"[level - 1]: (_share(0, 1 - level / 8, 1, 1),) for level in range(1, 9)},
    "▀": (_share(0, 0, 1, 0.5),),
    "▔": (_share(0, 0, 1, 0.125),),
    "▏": (_share(0, 0, 0.125, 1),),
    "▚": (_share(0, 0, 0.5, 0.5), _share(0.5, 0.5, 1, 1)),
    "■": (_share(0.06, 0.24, 0.94, 0.76),),
    "▒": (_share(0, 0.3, 1, 0.7),),
    "─": (_across(0, 1, THIN),),
    "━": (_across(0, 1, THICK),),
    "╸": (_across(0, 0.5, THICK),),
    "╍": (_across(0.05, 0.4, THICK), _across(0.6, 0.95, THICK)),
    "│": (_down(THIN),),
    "┃": (_down(THICK),),
}
CORNERS = {
    "╭": f"M{MIDDLE_X} {CELL_HEIGHT}V{MIDDLE_Y + 5}Q{MIDDLE_X} {MIDDLE_Y} {CELL_WIDTH} {MIDDLE_Y}",
    "╮": f"M0 {MIDDLE_Y}Q{MIDDLE_X} {MIDDLE_Y} {MIDDLE_X} {MIDDLE_Y + 5}V{CELL_HEIGHT}",
    "╰": f"M{MIDDLE_X} 0V{MIDDLE_Y - 5}Q{MIDDLE_X} {MIDDLE_Y} {CELL_WIDTH} {MIDDLE_Y}",
    "╯": f"M0 {MIDDLE_Y}Q{MIDDLE_X} {MIDDLE_Y} {MIDDLE_X} {MIDDLE_Y - 5}V0",
}
DRAWN = BOXES.keys() | CORNERS.keys()
TEXT = re.compile(
    r'<text class="(?P<tone>[\w-]+)" x="(?P<x>[\d.]+)" y="(?P<y>[\d.]+)"(?P<rest>[^>]*)>(?P<text>[^<]*)</text>'
)


def outlined(svg: str) -> str:
    """The picture with each block and line character as a shape of the same colour."""
    tones = dict(re.findall(r"\.([\w-]+) \{ fill: (#\w+)", svg))
    return TEXT.sub(lambda found: _redrawn(found, tones), svg)


def _redrawn(found: re.Match[str], tones: dict[str, str]) -> str:
    text, tone = html.unescape(found["text"]), tones.get(found["tone"])
    if tone is None or not DRAWN & set(text):
        return found[0]
    left, top = float(found["x"]), float(found["y"]) - BASELINE
    shapes: list[str] = []
    for glyph, stretch in groupby(range(len(text)), key=text.__getitem__):
        places = list(stretch)
        shapes += _shapes(glyph, len(places), left + places[0] * CELL_WIDTH, top, tone)
    words = "".join(BLANK if glyph in DRAWN else glyph for glyph in text)
    if words.strip(BLANK + " "):
        escaped = html.escape(words).replace(BLANK, "&#160;")
        shapes.append(
            f'<text class="{found["tone"]}" x="{found["x"]}" y="{found["y"]}"{found["rest"]}>{escaped}</text>'
        )
    return "".join(shapes)


def _shapes(glyph: str, count: int, left: float, top: float, tone: str) -> list[str]:
    """`count` times the same glyph in a row; what fills its cell from side to side becomes one box."""
    if glyph in CORNERS:
        move = f"translate({left:g} {top:g})"
        return [f'<path d="{CORNERS[glyph]}" transform="{move}" fill="none" stroke="{tone}" stroke-width="{THIN}"/>']
    shapes: list[str] = []
    for x, y, width, height in BOXES.get(glyph, ()):
        whole = x == 0 and width == CELL_WIDTH
        for place in range(1 if whole else count):
            at, wide = left + x + place * CELL_WIDTH, width * (count if whole else 1)
            shapes.append(
                f'<rect x="{at:g}" y="{top + y:g}" width="{wide:g}" height="{height:g}" fill="{tone}"'
                ' shape-rendering="crispEdges"/>'
            )
    return shapes
