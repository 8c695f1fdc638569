"""Looks at a campaign again: what its rounds were at any moment between its start and its end; and the scrubber that moves it.

A round's record says when each phase began and when each device answered, so nothing is made up between two moments. What
an older record does not say appears at its round's end.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from server.records import Progress
from server.tui.charts import joined
from server.tui.words import FAINT, lasting, line, muted, strong, toned
from shared.rounds import RoundResult

SPEEDS = (1.0, 4.0, 16.0, 64.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A campaign at one moment: the rounds that had ended, and the one under way."""

    rounds: tuple[RoundResult, ...]
    progress: Progress | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tape:
    """What is replayed, where it stands, and how: `at` is in seconds after the first round's start."""

    rounds: tuple[RoundResult, ...]
    total: int
    at: float = 0.0
    playing: bool = False
    speed: float = SPEEDS[1]

    @property
    def begins(self) -> float:
        """When the first round began, as a time of day in seconds since 1970."""
        return self.rounds[0].started_at

    @property
    def length(self) -> float:
        """From the first round's start to the last one's end, in seconds."""
        return max(result.finished_at for result in self.rounds) - self.begins

    def moved(self, at: float) -> "Tape":
        """The same at another moment, within the tape; it stops at its end."""
        place = min(max(0.0, at), self.length)
        return replace(self, at=place, playing=self.playing and place < self.length)

    def ticked(self, seconds: float) -> "Tape":
        """The same after so long, if it plays."""
        return self.moved(self.at + seconds * self.speed) if self.playing else self

    def toggled(self) -> "Tape":
        """Play or pause; at the end it begins anew."""
        ended = self.at >= self.length
        return replace(self, playing=not self.playing, at=0.0 if ended and not self.playing else self.at)

    def faster(self, step: int) -> "Tape":
        """The next speed, or the one before."""
        place = SPEEDS.index(self.speed) + step
        return replace(self, speed=SPEEDS[min(max(0, place), len(SPEEDS) - 1)])

    def stepped(self, step: int) -> "Tape":
        """To the next round's start, or this round's, or the one before."""
        starts = [result.started_at - self.begins for result in self.rounds]
        if step > 0:
            return self.moved(next((start for start in starts if start > self.at + 1e-6), self.length))
        return self.moved(next((start for start in reversed(starts) if start < self.at - 1e-6), 0.0))

    @property
    def moment(self) -> Moment:
        """What the campaign was at then."""
        return moment(self.rounds, self.begins + self.at, total=self.total)


def moment(rounds: Sequence[RoundResult], at: float, *, total: int) -> Moment:
    """The rounds that had ended `at` a time (seconds since 1970), and how far the one under way was."""
    ended = tuple(result for result in rounds if result.finished_at <= at)
    under_way = next((result for result in rounds if result.started_at <= at < result.finished_at), None)
    return Moment(rounds=ended, progress=_progress(under_way, at, total) if under_way else None)


def _progress(result: RoundResult, at: float, total: int) -> Progress:
    since = at - result.started_at
    there = {name for name, seconds in result.answered.items() if seconds <= since}
    refused = {name: why for name, why in result.refusals.items() if name in there}
    phase = next((phase.name for phase in reversed(result.phases) if phase.at <= since), "")
    return Progress(
        run_id=result.plan.run_id, round_number=result.plan.number, rounds=total, phase=phase,
        cohort=len(result.cohort), returned=len(there & set(result.returned)), refused=len(refused),
        reasons=dict(Counter(refused.values())), at=at,
    )  # fmt: skip


class Scrubber(Static, can_focus=True):
    """One line: where the tape stands, each round's end as a tick, and how fast it plays."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "play", "Play or pause"),
        Binding("left,h", "step(-1)", "Round before", key_display="←"),
        Binding("right,l", "step(1)", "Next round", key_display="→"),
        Binding("shift+left,H", "slide(-0.05)", "Back", show=False),
        Binding("shift+right,L", "slide(0.05)", "On", show=False),
        Binding("home,g", "slide(-1)", "Start", show=False),
        Binding("end,G", "slide(1)", "End", show=False),
        Binding("plus", "pace(1)", "Faster", key_display="+"),
        Binding("minus", "pace(-1)", "Slower", key_display="-"),
        Binding("escape,r", "leave", "End the replay", key_display="esc"),
    ]

    @dataclass
    class Moved(Message):
        """The tape is to be moved."""

        move: Callable[[Tape], Tape]

    class Left(Message):
        """The replay is over."""

    def action_play(self) -> None:
        """Play or pause."""
        self.post_message(self.Moved(Tape.toggled))

    def action_step(self, step: int) -> None:
        """To the round before, or the next one."""
        self.post_message(self.Moved(lambda tape: tape.stepped(step)))

    def action_slide(self, share: float) -> None:
        """By a share of the whole tape."""
        self.post_message(self.Moved(lambda tape: tape.moved(tape.at + share * tape.length)))

    def action_pace(self, step: int) -> None:
        """Faster or slower."""
        self.post_message(self.Moved(lambda tape: tape.faster(step)))

    def action_leave(self) -> None:
        """Back to what is now."""
        self.post_message(self.Left())

    def show(self, tape: Tape) -> None:
        """Draw the tape as wide as there is room."""
        self.update(scrubber(tape, self.size.width))


def scrubber(tape: Tape, width: int) -> Content:
    """The line of a scrubber, exactly as wide as there is room, or the words alone where that is little."""
    state = toned("▶ playing" if tape.playing else "‖ paused ", "$text-accent")
    words = line(" ", state, strong(f" {tape.speed:g}x "))
    clock = muted(f" {lasting(tape.at)} of {lasting(tape.length)} ")
    room = width - words.cell_length - clock.cell_length
    if room < 8:
        return line(words, clock).truncate(max(0, width), ellipsis=True)
    return line(words, joined(_cells(tape, room)), clock)


def _cells(tape: Tape, room: int) -> list[tuple[str, str]]:
    length = max(tape.length, 1e-9)
    here = round(tape.at / length * (room - 1))
    cells = [("━", "$primary") if cell < here else ("─", FAINT) for cell in range(room)]
    for result in tape.rounds:
        cell = round((result.finished_at - tape.begins) / length * (room - 1))
        cells[min(room - 1, cell)] = ("┿" if cell <= here else "┼", cells[min(room - 1, cell)][1])
    cells[here] = ("●", "$text-accent")
    return cells
