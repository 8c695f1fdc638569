"""A picture's lines and blocks are shapes of the right colour and size; its words stay words."""

from pathlib import Path
from xml.etree import ElementTree as ET

from simulations.outlines import DRAWN, outlined
from simulations.screenshots import draw

STYLE = "<style>.covey-r1 { fill: #102030 }</style>"


def picture(text: str) -> str:
    return f'{STYLE}<text class="covey-r1" x="12.2" y="20" textLength="61">{text}</text>'


async def test_pictures_are_well_formed_and_hold_no_character_that_fonts_draw_apart(told: Path) -> None:
    for svg in (await draw(told, size=(100, 36), theme="covey-light")).values():
        words = "".join(ET.fromstring(svg).itertext())
        assert not DRAWN & set(words)
        assert svg.count("<rect") > 100
        assert str(told) not in svg


def test_a_stretch_of_blocks_is_one_box() -> None:
    drawn = outlined(picture("█████"))
    assert "<text" not in drawn
    assert '<rect x="12.2" y="1.5" width="61" height="24.4" fill="#102030" shape-rendering="crispEdges"/>' in drawn


def test_words_beside_a_line_stay_where_they_were() -> None:
    drawn = outlined(picture("─&#160;a&lt;b"))
    assert drawn.count("<rect") == 1
    assert ">&#160;&#160;a&lt;b</text>" in drawn


def test_text_without_lines_is_left_alone() -> None:
    assert outlined(picture("round&#160;7")) == picture("round&#160;7")
