"""The demo's task: `tasks/flights.toml`, and beside it what a version needs after training, at the pace of a story.

Carriers are told apart, which the file advises against at its own noise of 20: seventeen groups share the noise of eight
devices. At 4 an evaluation costs a row 0.16 more, and its bars show the larger carriers. Forty bins, for a model that
learned with so much noise gives low scores, which twenty would crowd into two.
"""

from datetime import UTC, date, datetime
from pathlib import Path

from shared.errors import InputError
from simulations.demo.months import SPRING

TASK_FILE = Path("tasks/flights.toml")

CHANGES = {
    'timestamp = "scheduled_departure"\n': 'timestamp = "scheduled_departure"\ngroups = ["carrier"]\n',
    "[evaluation]\nnoise_multiplier = 20.0\nscore_bins = 20\n": (
        "[evaluation]\n# The demo tells carriers apart after all, at a fifth of the noise.\n"
        "noise_multiplier = 4.0\nscore_bins = 40\n"
    ),
}
"""What is put in place of what in the file."""

TERMS = """
# Beyond tasks/flights.toml, for the demo: a period of seconds, so that a rollout fits into a story.

[gates]
min_auc = 0.58
max_epsilon = 5.0
alert_rate = 0.2

[rollout]
stages = [25, 100]
period_hours = 0.001
min_reporting = 1.0

# The story's year is long over, so "the last days whose outcomes are known" end {label_days:,} days ago.

[retraining]
alarms = ["psi"]
window_days = {window_days}
label_days = {label_days}
pause_days = 0
max_epsilon = 6.0
"""


def write_task(path: Path, *, today: date | None = None) -> None:
    """Write the demo's task file; raise `InputError` if the flights' own no longer says what is replaced here."""
    text = TASK_FILE.read_text(encoding="utf-8")
    for before, after in CHANGES.items():
        if text.count(before) != 1:
            raise InputError(f"{TASK_FILE} does not say {before.strip()!r} once, which the demo changes")
        text = text.replace(before, after)
    path.write_text(text + _terms(today or datetime.now(UTC).date()), encoding="utf-8")


def _terms(today: date) -> str:
    """The tables beside the file's own; the policy's last days are those of the second campaign, seen from `today`."""
    start, end = (date.fromisoformat(text) for text in (SPRING.start, SPRING.end))
    return TERMS.format(window_days=(end - start).days, label_days=(today - end).days)
