"""How figures read on screen, and the glyph, word and colour of each state."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime

from textual.content import Content

MINUTE, HOUR, DAY = 60, 3600, 86_400
FAINT = "$foreground 22%"


@dataclass(frozen=True, slots=True)
class Mark:
    """A state as it is shown: never a colour without its word."""

    glyph: str
    word: str
    tone: str

    def content(self) -> Content:
        """The glyph and the word, in the state's colour."""
        return toned(f"{self.glyph} {self.word}", self.tone)


DEVICE_MARKS = {
    "online": Mark("●", "online", "$text-success"),
    "away": Mark("○", "away", "$foreground 60%"),
    "pending": Mark("◌", "pending", "$text-warning"),
    "revoked": Mark("✕", "revoked", "$text-error"),
}
HEALTH_MARKS = {
    "serves": Mark("✓", "serves", "$text-success"),
    "slow": Mark("△", "slow", "$text-warning"),
    "wrong": Mark("≠", "wrong", "$text-error"),
    "refused": Mark("✕", "refused", "$text-error"),
    "crashed": Mark("!", "crashed", "$text-error"),
    "not told": Mark("·", "not told", "$foreground 60%"),
}
"""What a device says of a release, the best first."""
RUN_MARKS = {
    "queued": Mark("◌", "queued", "$text-warning"),
    "running": Mark("●", "running", "$text-success"),
    "stopping": Mark("◐", "stopping", "$text-warning"),
    "finished": Mark("✓", "finished", "$text-primary"),
    "stopped": Mark("■", "stopped", "$foreground 60%"),
    "failed": Mark("✕", "failed", "$text-error"),
}
STAGE_MARKS = {
    "candidate": Mark("○", "candidate", "$foreground 60%"),
    "canary": Mark("◐", "canary", "$text-warning"),
    "released": Mark("●", "released", "$text-success"),
    "halted": Mark("■", "halted", "$text-error"),
    "withdrawn": Mark("✕", "withdrawn", "$text-error"),
}
PARTS = {
    "returned": ("■", "$text-success", "returned"),
    "refused": ("✕", "$text-warning", "refused"),
    "failed": ("!", "$text-error", "failed"),
    "idle": ("·", "$foreground 22%", "not asked"),
}
SHIFT_MARKS = {
    "large": Mark("▲", "large", "$text-warning"),
    "small": Mark("△", "small", "$text-primary"),
    "steady": Mark("✓", "steady", "$text-success"),
    "unknown": Mark("?", "cannot tell", "$foreground 60%"),
}
ALARM = Mark("▲", "alarm", "$text-error")


def toned(text: str, tone: str) -> Content:
    """Text in one of the theme's colours."""
    return Content.styled(text, tone)


def muted(text: str) -> Content:
    """Text that may be overlooked."""
    return toned(text, "$foreground 60%")


def strong(text: str) -> Content:
    """Text that leads its line."""
    return toned(text, "bold")


def lines(*parts: Content | str) -> Content:
    """Parts, one below the other."""
    return Content("\n").join(parts)


def line(*parts: Content | str, gap: str = "") -> Content:
    """Parts, one after the other."""
    return Content(gap).join(parts)


def age(seconds: float) -> str:
    """How long ago, in one unit: `<10 s`, `40 s`, `7 min`, `30 min`, `3 h`, `5 d`.

    Seconds, and minutes from ten on, are told in tens, so that a screen on which nothing happens sends next to nothing.
    """
    if seconds < 10:
        return "<10 s"
    for unit, length, step in (("d", DAY, 1), ("h", HOUR, 1), ("min", 10 * MINUTE, 10), ("min", MINUTE, 1)):
        if seconds >= length:
            return f"{int(seconds // length) * step} {unit}"
    return f"{int(seconds // 10) * 10} s"


def ago(then: float | None, now: float) -> str:
    """When something last happened."""
    return "never" if then is None else f"{age(now - then)} ago"


def lasting(seconds: float) -> str:
    """A length of time: `8.2 s`, `2 min 05 s`, `1 h 10 min`."""
    if seconds < MINUTE:
        return f"{seconds:.1f} s"
    if seconds < HOUR:
        return f"{int(seconds // MINUTE)} min" + (f" {int(seconds % MINUTE):02d} s" if int(seconds % MINUTE) else "")
    return f"{int(seconds // HOUR)} h {int(seconds % HOUR // MINUTE):02d} min"


def brief(seconds: float) -> str:
    """A length of time in six cells: `0.05 s`, `8.2 s`, `120 s`, `35 min`, `2.5 h`."""
    for unit, length, below in (("s", 1, 1000), ("min", MINUTE, 100)):
        if round(seconds / length) < below:
            return f"{plain(round(seconds / length, 2), 2)} {unit}"
    return f"{plain(seconds / HOUR, 2)} h"


def within(seconds: float, cells: int) -> str:
    """A length of time, to the second where so many cells hold that."""
    exact = lasting(seconds)
    return exact if len(exact) <= cells else brief(seconds)


def plain(value: float, digits: int = 6) -> str:
    """A figure to so many digits, its whole part never shortened nor put as a power of ten: `0.052`, `8.2`, `120`."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    shown = f"{value:.{places}f}"
    return shown.rstrip("0").rstrip(".") if places else shown


def stamp(then: float) -> str:
    """A moment as UTC date and minute."""
    return datetime.fromtimestamp(then, UTC).strftime("%Y-%m-%d %H:%M")


def size(count: float) -> str:
    """A number of bytes, in three digits and a decimal unit."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def micros(microseconds: float) -> str:
    """A length of time that a device measures of a record: `12 µs`, `1.8 ms`, `240 ms`, `3.1 s`."""
    for unit, length in (("s", 1e6), ("ms", 1e3)):
        if microseconds >= length:
            found = microseconds / length
            return f"{found:.1f} {unit}" if found < 10 else f"{found:.0f} {unit}"
    return f"{microseconds:.0f} µs"


def plural(count: int, noun: str, nouns: str = "") -> str:
    """A count with its noun: `1 device`, `8 devices`."""
    return f"{count} {noun if count == 1 else nouns or noun + 's'}"


def tally(words: dict[str, int]) -> str:
    """Counted words, most frequent first: `budget 2, consent 1`; one alone needs no count."""
    ranked = sorted(words.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(word if count == 1 else f"{word} {count}" for word, count in ranked)
