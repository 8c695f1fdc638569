"""What a test asks of a page of HTML that must stand alone."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET


def plots(page: str) -> list[ET.Element]:
    return [ET.fromstring(each) for each in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]


def stands_alone(page: str) -> bool:
    """Nothing is fetched from elsewhere: no script, import, link, picture, frame or URL."""
    fetched = re.search(r"https?:|//[a-z]|\bsrc=|\bhref=|url\(|@import|<script|<link|<iframe|<object|<img", page)
    return fetched is None


class Nesting(HTMLParser):
    """Every element that is opened is closed, in order."""

    VOID = ("meta",)

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, _attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
