"""What is known of one device in a few lines, the most urgent first; and what is to be done where it waits for the operator."""

from textual.content import Content

from server.records import Device
from server.tui.charts import bar
from server.tui.devicerows import Known, Strip, spend_tone
from server.tui.figures import Part, device_state
from server.tui.words import (
    DEVICE_MARKS,
    HEALTH_MARKS,
    PARTS,
    ago,
    line,
    micros,
    muted,
    plain,
    plural,
    size,
    stamp,
    strong,
    tally,
    toned,
)
from shared.enrolment import Bucket
from shared.signing import key_fingerprint

MARGIN = 9
"""Cells left of what is known, for its name."""
BAR = 30
BUCKETS: dict[Bucket, str] = {"0": "no further campaign", "1": "1 more campaign", "2-4": "2 to 4 more campaigns", "5+": "5 or more campaigns"}  # fmt: skip


def facts(known: Known, now: float, width: int, *, acts: bool) -> Content:
    """A device's panel, `width` cells wide, of which as many lines are seen as there is room for.

    `acts` says that its reader may let devices in.
    """
    pending = known.device.state == "pending"
    found = waiting(known.device, now, acts=acts) if pending else taking_part(known, now, width)
    return lines_of(found, width)


def lines_of(found: list[Content], width: int) -> Content:
    """Lines that are cut rather than broken."""
    return Content("\n").join(each.truncate(width, ellipsis=True) for each in found)


def fact(name: str, *parts: Content | str) -> Content:
    """One line: a name, and what is known."""
    return line(muted(f"{name:<{MARGIN}}"), *parts)


# -- one that waits -----------------------------------------------------------------------------------


def waiting(device: Device, now: float, *, acts: bool) -> list[Content]:
    """What an operator looks at before letting a device in."""
    keys = line("  waits for you: ", key("a"), " lets it take part, ", key("X"), " shuts it out")
    return [
        line(DEVICE_MARKS["pending"].content(), keys if acts else "  waits for an operator"),
        fact("key", strong(key_fingerprint(device.public_key)), muted("  the device printed the same as it joined")),
        fact("joined", stamp(device.enrolled_at), muted(f" UTC, {ago(device.enrolled_at, now)}")),
        fact("owner", device.owner or muted("not named by its invitation")),
        fact("then", muted("it gets the newest release, and is asked in rounds")),
    ]  # fmt: skip


def key(name: str) -> Content:
    """A key to press."""
    return toned(name, "bold $text-primary")


# -- one that takes part ------------------------------------------------------------------------------


def taking_part(known: Known, now: float, width: int) -> list[Content]:
    """What an operator looks at in a device that was let in, or shut out."""
    device, part, room = known.device, known.part, max(8, width - MARGIN)
    return [
        line(DEVICE_MARKS[device_state(device, now)].content(), muted(f"  {situation(device, now)}")),
        fact("rounds", rounds(known, room)),
        fact("privacy", spent(known, room)),
        fact("health", health(known, now)),
        fact("refused", tally(part.refusals) or muted("nothing")),
        fact("affords", affords(known)),
        fact("runs", runs(known)),
        fact("marks", legend(part.recent[-room:])) if part.asked else fact("owner", device.owner or muted("-")),
        fact("traffic", f"{size(device.bytes_up)} sent, {size(device.bytes_down)} fetched"),
        *([fact("owner", device.owner or muted("-"))] if part.asked else []),
        fact("joined", stamp(device.enrolled_at), muted(f" UTC, {ago(device.enrolled_at, now)}")),
        fact("key", key_fingerprint(device.public_key)),
    ]


def situation(device: Device, now: float) -> str:
    """What the state means for the operator."""
    if device.state == "revoked":
        return "its requests are refused, for good"
    seen = f"seen {ago(device.last_seen, now)}"
    if device_state(device, now) == "away":
        return f"{seen}; rounds go on without it" if device.last_seen else "let in, and not heard of since"
    return seen


def rounds(known: Known, room: int) -> Content:
    """How often a device answered, and its last rounds."""
    part = known.part
    if not part.asked:
        return muted("not asked yet")
    said = f"{part.returned} of {part.asked} answered  "
    return line(said, Strip(part.recent)(max(4, room - len(said))))


def spent(known: Known, room: int) -> Content:
    """What our plans cost a device at most, against its ceiling."""
    if known.spent is None or not known.ceiling:
        return muted("nothing spent")
    figure = f"ε {known.spent.epsilon:.2f} of {plain(known.ceiling)} "
    left = muted(f"  at most; room for {plural(known.spent.campaigns_left, 'campaign')}")
    wide = room - len(figure) - left.cell_length
    return line(figure, bar(known.share, max(6, min(BAR, wide)), spend_tone(known.share)), left)


def health(known: Known, now: float) -> Content:
    """What a device last said of the release that it runs."""
    if known.health is None:
        return muted("not told yet" if known.device.release else "runs no release")
    said = known.health.health
    took = f"  95 % of made-up records within {micros(said.p95_us)}" if said.p95_us else ""
    return line(HEALTH_MARKS[said.verdict].content(), took, muted(f"  {ago(known.health.at, now)}"))


def affords(known: Known) -> Content:
    """How much more a device can pay for, if its owner lets it tell."""
    if known.afford is None:
        return muted("its owner does not tell")
    words = f"{BUCKETS[known.afford]}, its owner lets us know"
    return toned(words, "$text-warning") if known.afford == "0" else Content(words)


def runs(known: Known) -> Content:
    """Which release, which model, and what the device said as it took it."""
    if not known.device.release:
        return muted("no release yet")
    which = f"release {known.device.release}" + (f", version {known.version}" if known.version else "")
    return line(which, muted(f"  {known.device.detail}"))


def legend(parts: tuple[Part, ...]) -> Content:
    """The marks that occur, in words."""
    shown = [PARTS[part] for part in PARTS if part in parts]
    return line(*(line(toned(glyph, tone), muted(f" {word}")) for glyph, tone, word in shown), gap="  ")
