"""All that is known of one device: every refusal with its time, what it spent by task, and how each release fared on it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from textual.content import Content

from server.records import DeviceHealth
from server.spending import Spending
from server.tui.budgets import allowed, over
from server.tui.charts import bar
from server.tui.devicefacts import BUCKETS, fact, legend, lines_of, situation, waiting
from server.tui.devicerows import Known, Strip, spend_tone
from server.tui.figures import device_state
from server.tui.watcher import Snapshot
from server.tui.words import (
    DEVICE_MARKS,
    HEALTH_MARKS,
    age,
    ago,
    line,
    micros,
    muted,
    plain,
    plural,
    size,
    stamp,
    strong,
    toned,
)
from shared.enrolment import Bucket
from shared.rounds import RoundResult
from shared.signing import key_fingerprint
from shared.tasks import Task

MEANS = {
    "budget": "its owner's budget does not cover the plan",
    "consent": "its owner has not agreed to the task, or has paused it",
    "not-now": "its owner's conditions do not hold: power, network or hours",
    "plan": "the plan protects less than the task or its owner demands",
    "not-eligible": "it cannot take part now, such as with expired metadata",
    "secure-aggregation": "it was asked for more than the cohort's sum",
}
"""What a reason for a refusal says; more is its owner's business."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """One round that a device was asked in and gave nothing to: it refused, or it failed."""

    reason: str
    run: int
    number: int
    at: float


def device_page(known: Known, snapshot: Snapshot, now: float, width: int, *, acts: bool) -> Content:
    """A device's page, `width` cells wide; `acts` says that its reader may let devices in."""
    rounds, name = [result for run in snapshot.runs for result in snapshot.rounds[run.id]], known.device.name
    refused = misses(name, ((result, result.refusals) for result in rounds))
    failed = misses(name, ((result, result.failures) for result in rounds))
    parts = [
        head(known, now, width, acts=acts),
        section("Refused", missed(refused, now, "$text-warning"), "it never refused"),
        section("Failed", missed(failed, now, "$text-error"), ""),
        section("Spent by our plans, at most", spent(known, snapshot, width), "nothing"),
        section("Health on made-up records", health(known, snapshot, now), "it has told nothing yet"),
        section("About", about(known, now), ""),
    ]  # fmt: skip
    return lines_of([each for part in parts for each in part], width)


def section(title: str, found: Sequence[Content], empty: str) -> list[Content]:
    """A title with what belongs under it; nothing at all where there is nothing to say."""
    if not found and not empty:
        return []
    return [Content(""), strong(title), *(found or [muted(empty)])]


def head(known: Known, now: float, width: int, *, acts: bool) -> list[Content]:
    """The state, and its part in the last rounds over the whole width."""
    device, part = known.device, known.part
    if device.state == "pending":
        return waiting(device, now, acts=acts)
    state = line(DEVICE_MARKS[device_state(device, now)].content(), muted(f"  {situation(device, now)}"))
    if not part.asked:
        return [state, muted("not asked yet")]
    asked = f"answered {part.returned} of {plural(part.asked, 'round')} that it was asked in; the last ones:"
    return [state, muted(asked), Strip(part.recent)(width), legend(part.recent[-width:])]


# -- refusals and failures ----------------------------------------------------------------------------


def misses(name: str, found: Iterable[tuple[RoundResult, Mapping[str, str]]]) -> list[Miss]:
    """The rounds in which a mapping of devices to reasons names this one, oldest first."""
    return [
        Miss(reason=reasons[name], run=result.plan.run_id, number=result.plan.number, at=result.finished_at)
        for result, reasons in found
        if name in reasons
    ]


def missed(found: Sequence[Miss], now: float, tone: str) -> list[Content]:
    """Each reason, the last one first: how often, what it means, and in which rounds of which run."""
    last = {each.reason: each.at for each in found}
    rows: list[Content] = []
    for reason in sorted(last, key=lambda reason: -last[reason]):
        own = [each for each in found if each.reason == reason]
        rows.append(line(toned(reason, tone), f"  {plural(len(own), 'time')}, the last {ago(last[reason], now)}"))
        rows += [muted(f"  {MEANS[reason]}")] if reason in MEANS else []
        runs = dict.fromkeys(each.run for each in reversed(own))
        rows += [in_run([each for each in own if each.run == run]) for run in runs]
    return rows


def in_run(found: Sequence[Miss]) -> Content:
    """The rounds of one run, and from when to when."""
    first, last = stamp(found[0].at), stamp(found[-1].at)
    when = first if first == last else f"{first} to {last[-5:] if last[:10] == first[:10] else last}"
    return line(
        muted(f"  {when} UTC  "),
        f"run {found[0].run}, {'round' if len(found) == 1 else 'rounds'} {ranges([each.number for each in found])}",
    )


def ranges(numbers: Sequence[int]) -> str:
    """Rising numbers, with neighbours put together: `3, 17 to 20`."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][-1] + 1:
            spans[-1][1:] = [number]
        else:
            spans.append([number])
    return ", ".join(" to ".join(map(str, span)) for span in spans)


# -- spend, health, the rest --------------------------------------------------------------------------


def spent(known: Known, snapshot: Snapshot, width: int) -> list[Content]:
    """What each task's plans cost the device, where they did."""
    own = ((task, each) for task in snapshot.tasks for each in snapshot.spending(task))
    found = [(task, each) for task, each in own if each.device == known.device.name]
    return [
        row
        for task, each in found
        for row in spent_on(
            task, each, known.device.affords.get(task.name), width,
            short=known.device.name in over(allowed(task, snapshot)),
        )
    ]  # fmt: skip


def spent_on(task: Task, each: Spending, told: Bucket | None, width: int, *, short: bool) -> tuple[Content, ...]:
    """One task's spend against its ceiling; below it from what, and what is left by both sides' account.

    `short` says that the device's own word is that its budget does not cover another campaign.
    """
    share = each.epsilon / task.privacy.epsilon
    figure = f"  ε {each.epsilon:.2f} of {plain(task.privacy.epsilon)}  "
    came = f"{plural(each.rounds, 'round')}, {plural(each.surveys, 'survey')}"
    room = f"room for {plural(each.campaigns_left, 'campaign')}"
    return (
        line(strong(task.name), figure, bar(share, max(8, min(30, width // 3)), spend_tone(share))),
        muted(f"  from {came}; " + (f"only our ceiling leaves {room}" if short else f"by our plans there is {room}")),
        left(told, short=short),
    )


def left(told: Bucket | None, *, short: bool) -> Content:
    """What the device's own word is."""
    if told is not None:
        words = f"  its owner lets us know: {BUCKETS[told]}"
    else:
        words = (
            "  its budget does not cover the plan, as it last said"
            if short
            else "  what is left its owner does not tell"
        )
    return toned(words, "$text-warning") if short else muted(words)


def health(known: Known, snapshot: Snapshot, now: float) -> list[Content]:
    """What the device said of each release, the newest first."""
    found = [each for each in snapshot.health if each.device == known.device.name]
    versions = {release.number: release.version for release in snapshot.releases}
    return [
        said_of(each, known, versions.get(each.health.release, 0), now)
        for each in sorted(found, key=lambda each: -each.health.release)
    ]


def said_of(each: DeviceHealth, known: Known, version: int, now: float) -> Content:
    """What it said of one release."""
    said, mark = each.health, HEALTH_MARKS[each.health.verdict]
    which = line(strong(f"r{said.release}"), muted(f" v{version}" if version else "")).pad_right(2)
    took = f"95 % within {micros(said.p95_us)}" if said.p95_us else "no time measured"
    since = f", so for {age(each.at - each.since)}" if each.since and each.at - each.since >= 1 else ""
    runs = "  runs it" if said.release == known.device.release else ""
    return line(
        which, "  ", mark.content().pad_right(10 - len(mark.glyph + mark.word)), took,
        muted(f"  told {ago(each.at, now)}{since}"), toned(runs, "$text-primary"),
    )  # fmt: skip


def about(known: Known, now: float) -> list[Content]:
    """Whose it is, since when, and by which key it is known."""
    device = known.device
    return [
        fact("owner", device.owner or muted("not named by its invitation")),
        fact("runs", f"release {device.release}" if device.release else muted("no release yet"), muted(f"  {device.detail}")),
        fact("traffic", f"{size(device.bytes_up)} sent, {size(device.bytes_down)} fetched"),
        fact("joined", stamp(device.enrolled_at), muted(f" UTC, {ago(device.enrolled_at, now)}")),
        fact("key", key_fingerprint(device.public_key), muted("  the first 16 digits of its SHA-256")),
    ]  # fmt: skip
