"""What a task means for the person who is asked to join it, in plain words."""

import textwrap
from collections.abc import Sequence

from shared import accounting
from shared.architecture import size
from shared.privacy import PrivacyBudget, SampledGaussian
from shared.tasks import Measured, Task


def explain(task: Task, *, budget: PrivacyBudget, data: str, history: Sequence[SampledGaussian] = ()) -> str:
    """What the task learns, what leaves the device, and what it costs; `history` is what was spent here already."""
    paragraphs = (
        f"Task: {task.title} ({task.name!r}, revision {task.revision})",
        f"It learns {_goal(task)} from {_columns(task)}.",
        *_revision(task),
        f"Your data stays: no row of {data} ever leaves this machine.",
        _sends(task),
        *_own_labels(task),
        _costs(task, budget, history),
        "Epsilon bounds how much anyone, the coordinator included, can learn about any single row; smaller is safer.",
    )
    return "\n\n".join(textwrap.fill(_shown(paragraph), width=88) for paragraph in paragraphs)


def _revision(task: Task) -> tuple[str, ...]:
    """How rows of an earlier revision are read under this one, where the task says so."""
    if task.revises is None:
        return ()
    classes = [f"{old!r} became {' or '.join(map(repr, new))}" for old, new in task.revises.classes.items()]
    columns = [
        f"{new!r} is read from {', '.join(map(repr, olds))}" if olds else f"{new!r} is new"
        for new, olds in task.revises.columns.items()
    ]
    said = "; ".join([*classes, *columns]) or "its words and columns stay"
    return (f"It follows revision {task.revises.revision}, and reads your older rows so: {said}.",)


def campaign(task: Task, *, rounds: int | None = None) -> SampledGaussian:
    """What a number of rounds of the task costs, all of a campaign's unless said."""
    training = task.training
    steps = training.steps * (rounds or training.rounds)
    return SampledGaussian(noise_multiplier=training.noise_multiplier, sample_rate=training.sample_rate, steps=steps)


def affordable_rounds(task: Task, budget: PrivacyBudget, history: Sequence[SampledGaussian] = ()) -> int:
    """How many rounds of a campaign the budget covers after what was spent already."""
    covered = 0
    while covered < task.training.rounds:
        event = campaign(task, rounds=covered + 1)
        if accounting.epsilon([*history, event], delta=budget.delta) > budget.epsilon:
            break
        covered += 1
    return covered


def _shown(text: str) -> str:
    """Replace what a terminal would obey: a task's words are the coordinator's, the consent is the owner's."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _goal(task: Task) -> str:
    likely = " or ".join(repr(name) for name in task.label.classes)
    if isinstance(task.label, Measured):
        cuts = ", ".join(f"{cut:g}" for cut in task.label.cuts)
        return f"to tell {likely} (whether {task.label.column!r} is above {cuts})"
    return f"to tell {likely} (the column {task.label.column!r})"


def _columns(task: Task) -> str:
    names = (*task.numbers, *task.texts)
    return f"{len(names)} columns: {', '.join(names)}"


def _sends(task: Task) -> str:
    numbers = size(task)
    return (
        f"It sends, each round, {numbers:,} numbers ({numbers * 4:,} bytes) that were learned on all rows "
        "together, limited in size and blurred with random noise on this machine; and, when the operator asks about "
        "drift, blurred counts of how the model's scores and the columns are distributed, how many rows break which of "
        "the task's rules, and how predictions and what came of them agree."
    )


def _own_labels(task: Task) -> tuple[str, ...]:
    if task.labelling is None:
        return ()
    return (
        "It brings rules that label, on this machine, rows whose outcome is not known; you see them as any other row.",
    )


def _costs(task: Task, budget: PrivacyBudget, history: Sequence[SampledGaussian]) -> str:
    whole = accounting.epsilon([campaign(task)], delta=budget.delta)
    covered = affordable_rounds(task, budget, history)
    spent = accounting.epsilon(history, delta=budget.delta)
    before = f" Of it, {spent:.2f} is spent already." if spent else ""
    enough = (
        "Your budget covers it."
        if covered == task.training.rounds
        else f"Your budget covers {covered} of them, then this device declines."
    )
    return (
        f"It costs at most epsilon {whole:.2f} for a campaign of {task.training.rounds} rounds (delta {budget.delta:g}). "
        f"You grant epsilon {budget.epsilon:g} in all; the signed task forbids more than {task.privacy.epsilon:g}."
        f"{before} {enough}"
    )
