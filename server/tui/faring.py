"""How releases fare, as rows: who serves what, what each device says, and the steps that brought it about."""

from textual.content import Content

from server.records import RolloutStep
from server.tui.charts import Stack
from server.tui.query import Value
from server.tui.rolling import NOT_TOLD, Fares, Rolling, Serving
from server.tui.stagebar import PHASES
from server.tui.table import Cell, Column, Listing, Row
from server.tui.words import HEALTH_MARKS, STAGE_MARKS, ago, line, micros, muted, strong, toned

GLYPHS: dict[str, tuple[str, str]] = {
    "serves": ("━", "$success"), "slow": ("╍", "$warning"), "wrong": ("≠", "$error"), "refused": ("✕", "$error"),
    "crashed": ("!", "$error"), NOT_TOLD: ("·", "$foreground 60%"),
}  # fmt: skip
SERVING = (
    Column("Release", 7, right=True),
    Column("Version", 7, right=True),
    Column("Role", 9, rank=2),
    Column("Meant", 5, right=True),
    Column("Run it", 6, right=True),
    Column("What devices say of it", 28, grow=True),
    Column("", 16, rank=1),
)
STEPS = (
    Column("When", 10),
    Column("Release", 7, right=True),
    Column("Stage", 6, right=True),
    Column("State", 10, rank=1),
    Column("Why", 12, grow=True),
)
DEVICES = (
    Column("Device", 8, grow=True),
    Column("Runs", 7, right=True),
    Column("Says", 10),
    Column("Answers in", 10, right=True, rank=1),
    Column("Said", 10, right=True, rank=2),
)


def serving_row(each: Serving, found: Rolling) -> Row:
    """One release: the newest first, then what it replaces."""
    number = each.release.number
    parts = [line(mark.content(), f" {each.said[word]}") for word, mark in HEALTH_MARKS.items() if each.said.get(word)]
    total = max(1, sum(each.said.values()))
    drawn = Stack(tuple((each.said.get(word, 0) / total, *GLYPHS[word]) for word in HEALTH_MARKS))
    return Row(str(number), (
        strong(f"r{number}"),
        f"v{each.release.version}",
        role(each, found),
        str(each.meant),
        str(each.running),
        line(*parts, gap="  ") if parts else muted("nobody runs it" if not each.running else "nobody said anything"),
        drawn,
    ))  # fmt: skip


def role(each: Serving, found: Rolling) -> Content:
    """What a release is to the fleet now; one that was taken away was not replaced."""
    number = each.release.number
    if each.aside is not None:
        return toned(each.aside, STAGE_MARKS[each.aside].tone)
    if number == found.release.number:
        return toned("newest", "$text-primary")
    return Content("fallback") if number == found.release.fallback else muted("replaced")


def step_row(step: RolloutStep, now: float) -> Row:
    """One signed document."""
    rollout = step.rollout
    return Row(str(rollout.number), (
        muted(ago(step.at, now)),
        f"r{rollout.release}",
        f"{rollout.percent:g} %",
        PHASES[rollout.state].content(),
        step.why,
    ))  # fmt: skip


def device_listing(found: Rolling, now: float) -> Listing:
    """Every approved device: those that fail first, then those on their way, then the silent."""
    return Listing(
        items=found.fleet,
        key=lambda each: each.device,
        cells=lambda each: device_cells(each, now),
        fields=device_fields,
    )


def device_fields(each: Fares) -> dict[str, Value]:
    """What queries and exports know of a device."""
    said = each.health
    return {
        "device": each.device, "runs": float(each.running), "meant": float(each.meant),
        "says": said.verdict if said else NOT_TOLD, "answers-in": float(said.p95_us) if said else None,
    }  # fmt: skip


def device_cells(each: Fares, now: float) -> tuple[Cell, ...]:
    """One device."""
    runs = f"r{each.running}" if each.running else "-"
    said = HEALTH_MARKS[each.health.verdict if each.health else NOT_TOLD].content()
    return (
        strong(each.device),
        runs if each.running == each.meant else line(muted(f"{runs} → "), toned(f"r{each.meant}", "$text-warning")),
        said,
        micros(each.health.p95_us) if each.health and each.health.p95_us else muted("-"),
        muted(ago(each.at, now) if each.at else "-"),
    )
