"""How a fleet's epsilon is spread below its ceiling, and how many campaigns its devices can still afford."""

from collections import Counter
from collections.abc import Iterable, Sequence

from textual.content import Content

from server.records import Device
from server.spending import Spending
from server.tui.charts import bar, columns
from server.tui.words import line, lines, muted, plain, strong, toned
from shared.enrolment import BUCKETS, Bucket

CELL, GAP = 2, 1
WORDS: dict[Bucket, str] = {"0": "none", "1": "1", "2-4": "2 to 4", "5+": "5 or more"}
TONES: dict[Bucket, str] = {"0": "$error", "1": "$warning", "2-4": "$primary", "5+": "$success"}


def bucket_of(campaigns: int) -> Bucket:
    """As coarsely as owners tell."""
    return next(bucket for bucket in reversed(list(BUCKETS)) if campaigns >= BUCKETS[bucket])


def spread(values: Sequence[float], limit: float, width: int, height: int) -> Content:
    """How many devices stand at each epsilon, from 0 to the ceiling or the most spent; never wider than `width`."""
    bins, rows = (width + GAP) // (CELL + GAP), height - 2
    if not values or bins < 2 or rows < 1:
        return Content("")
    top = max(limit, *values)
    counts = Counter(min(bins - 1, int(value / top * bins)) for value in values)
    most, ceiling = max(counts.values()), min(bins - 1, int(limit / top * bins))
    below, above = (
        [counts[place] if (place <= ceiling) == side else 0 for place in range(bins)] for side in (True, False)
    )
    drawn = columns(below, height=rows, top=most, tone="$primary", cell=CELL, gap=GAP)
    if any(above):
        over = columns(above, height=rows, top=most, tone="$error", cell=CELL, gap=GAP)
        cut = (ceiling + 1) * (CELL + GAP)
        drawn = [line(under[:cut], beyond[cut:]) for under, beyond in zip(drawn, over, strict=True)]
    foot = min(width, bins * (CELL + GAP) - GAP)
    end = f"ε {plain(top, 3)}"
    axis = line(
        muted("0"), " " * max(1, foot - 1 - len(end)), toned(end, "$text-error" if top > limit else "$foreground 60%")
    )
    head = muted(f"devices by ε, at most {most} in a column")
    return lines(*(row.truncate(width) for row in (head, *drawn, axis)))


def affordable(rows: Sequence[Spending], devices: Iterable[Device], task: str, width: int) -> Content:
    """How many devices can pay for how many more campaigns: by our own plans, and as far as their owners tell."""
    ours = Counter(bucket_of(each.campaigns_left) for each in rows)
    approved = [device for device in devices if device.state == "approved"]
    told = Counter(device.affords[task] for device in approved if task in device.affords)
    silent = len(approved) - sum(told.values())
    room = max(3, width - 10 - 5 - 8)
    head = muted(f"{'can pay':<{10 + room}}{'plans':>5}{'owners':>8}")
    found = [
        line(
            muted(f"{WORDS[bucket]:<10}"), bar(ours[bucket] / max(1, len(rows)), room, TONES[bucket]),
            strong(f"{ours[bucket]:>5}"), f"{told[bucket] or '-':>8}",
        )
        for bucket in WORDS
    ]  # fmt: skip
    tail = muted(f"{silent} of {len(approved)} owners tell nothing") if silent else muted("every owner tells")
    return lines(*(row.truncate(width, ellipsis=True) for row in (head, *found, tail)))
