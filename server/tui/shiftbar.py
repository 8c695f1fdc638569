"""A shift as a bar: how far it went, the noise band behind it, and the alarm as a line across."""

import math
from dataclasses import dataclass

from textual.content import Content

from server.tui.charts import joined
from server.tui.figures import Verdict

LARGEST = 10.0
TONES: dict[Verdict, str] = {
    "large": "$warning", "small": "$primary", "steady": "$success", "unknown": "$foreground 60%",
}  # fmt: skip
TICKS = {0.1: "0.1", 0.3: "0.3", 1.0: "1", 3.0: "3", 10.0: "10"}


@dataclass(frozen=True, slots=True)
class ShiftBar:
    """A PSI on a logarithmic scale from 0 to 10: its noise band shaded, the alarm as a line."""

    psi: float
    noise: float
    tone: str
    alarm: float
    alarming: bool = False

    def __call__(self, width: int) -> Content:
        """Draw the band, the shift over it, and the alarm over both."""
        cells = [("─", "$foreground 22%")] * width
        _paint(cells, position(self.noise, width), "▒", "$foreground 30%")
        _paint(cells, position(self.psi, width), "━", self.tone)
        tone = "$text-error" if self.alarming else "$foreground 45%"
        cells[min(width - 1, position(self.alarm, width))] = ("┃" if self.alarming else "│", tone)
        return joined(cells)


def _paint(cells: list[tuple[str, str]], until: int, glyph: str, tone: str) -> None:
    cells[:until] = [(glyph, tone)] * until


def position(psi: float, width: int) -> int:
    """Where a PSI lies on a bar of `width` cells; whatever is above zero takes at least one."""
    if psi <= 0:
        return 0
    return min(width, max(1, round(width * math.log1p(psi / 0.1) / math.log1p(LARGEST / 0.1))))


def scale(width: int) -> Content:
    """The bar's scale as a heading: each tick where its value lies, as far as they do not touch."""
    text = "0"
    for psi, label in TICKS.items():
        start = min(width, position(psi, width)) - len(label)
        if start > len(text):
            text = text.ljust(start) + label
    return Content(text)
