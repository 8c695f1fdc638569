"""The stages of a rollout as a row of steps, each with a bar of how many of its devices run the release."""

from collections.abc import Sequence

from textual.content import Content

from server.tui.charts import bar
from server.tui.releasestate import Phase
from server.tui.rolling import Stage, StageState
from server.tui.words import Mark, age, line, lines, muted, plural, strong, toned

GAP = 2
LEAST = 6
"""Cells below which a step says nothing; steps further on are left out then."""

STAGE_STATES: dict[StageState, Mark] = {
    "done": Mark("✓", "done", "$text-success"),
    "open": Mark("●", "open", "$text-primary"),
    "ahead": Mark("○", "ahead", "$foreground 60%"),
    "halted": Mark("✕", "halted", "$text-error"),
}
TONES: dict[StageState, str] = {
    "done": "$success", "open": "$primary", "ahead": "$foreground 60%", "halted": "$error",
}  # fmt: skip
PHASES: dict[Phase, Mark] = {
    "rolling": Mark("●", "rolling", "$text-primary"),
    "paused": Mark("◑", "paused", "$text-warning"),
    "halted": Mark("✕", "halted", "$text-error"),
    "complete": Mark("✓", "complete", "$text-success"),
    "waiting": Mark("◌", "waiting", "$text-warning"),
    "whole": Mark("✓", "everyone at once", "$text-success"),
}


def stage_row(stages: Sequence[Stage], width: int, now: float) -> Content:
    """Three lines, none wider than `width`: share and state, bar, and who it is about."""
    shown = stages[: max(1, (width + GAP) // (LEAST + GAP))]
    wide = max(1, (width + GAP) // len(shown) - GAP)
    steps = [step(stage, wide, now) for stage in shown]
    return lines(*(line(*row, gap=" " * GAP) for row in zip(*steps, strict=True)))


def step(stage: Stage, width: int, now: float) -> tuple[Content, ...]:
    """One stage as lines of exactly `width` cells."""
    mark = STAGE_STATES[stage.state]
    head = line(toned(f"{mark.glyph} ", mark.tone), strong(f"{stage.percent:g} %"), toned(f"  {mark.word}", mark.tone))
    share = stage.running / stage.devices if stage.devices else 0.0
    drawn = bar(share, width, TONES[stage.state])
    return tuple(_cut(each, width) for each in (head, drawn, muted(about(stage, now))))


def about(stage: Stage, now: float) -> str:
    """How many devices run the release, and since when the stage is open."""
    if stage.state == "ahead":
        return f"would reach {plural(stage.devices, 'device')}"
    since = f" · {age(now - stage.since)}" if stage.state == "open" and stage.since else ""
    return f"{stage.running} of {stage.devices} run it{since}"


def _cut(content: Content, width: int) -> Content:
    short = content.truncate(width, ellipsis=True)
    return short.pad_right(width - short.cell_length)
