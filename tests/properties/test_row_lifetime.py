"""Rule 9: whatever is asked, whenever, and however the clock jumps, no row ever pays more than the budget."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from machines import small_task

from client.campaigns import Part
from client.dataset import count_rules, read_columns
from client.ledger import Ledger
from client.lifetimes import DAY, Alive, Lifetime
from client.policy import limits
from client.settings import AgentSettings, TaskGrant
from client.store import AgentStore
from shared import accounting
from shared.contract import Contract, NumberRule
from shared.errors import Refusal
from shared.privacy import Cost, PrivacyBudget, SampledGaussian
from shared.tasks import Window

DELTA, BUDGET = 1e-5, 3.0
START = 1_767_225_600.0
ROUNDS = 3
EVENTS = (
    SampledGaussian(noise_multiplier=4.0, sample_rate=1.0, steps=1),
    SampledGaussian(noise_multiplier=1.5, sample_rate=1 / 32, steps=60),
    SampledGaussian(noise_multiplier=20.0, sample_rate=1.0, steps=8),
)
TASKS = {
    ("a", "at"): small_task(name="a"),
    ("a", "then"): small_task(name="a", timestamp="then"),
    ("b", "at"): small_task(name="b"),
    ("c", None): small_task(name="c", timestamp=None),
}

Asked = tuple[float, tuple[str, str | None], float | None, int, bool]
"""Days since the last request, which task, the owner's lifetime then, what it costs, and whether it is of a campaign."""

asked = st.tuples(
    st.sampled_from([-45.0, -9.5, -1.0, 0.0, 0.25, 2.0, 3.0, 9.5, 10.0, 31.0]), st.sampled_from(list(TASKS)),
    st.sampled_from([None, 10.0, 10.0, 10.0, 10.0, 25.0]), st.integers(0, len(EVENTS) - 1), st.booleans(),
)  # fmt: skip


def owner(days: float | None) -> AgentSettings:
    return AgentSettings(
        name="ada", coordinator="", federation="", budget=PrivacyBudget(epsilon=BUDGET, delta=DELTA),
        tasks={name: TaskGrant(data="rows.csv") for name in "abc"}, row_lifetime_days=days,
    )  # fmt: skip


def taught(requests: list[Asked]) -> list[tuple[tuple[str, str | None], Alive | None, SampledGaussian]]:
    """What really came to be computed: of which task, from which rows, and what that one round costs."""
    found, now, parts = [], [START], 0
    with closing(AgentStore(":memory:")) as store:
        ledger = Ledger(store, clock=lambda: now[0])
        for number, (days, which, lifetime, event, whole) in enumerate(requests):
            now[0] += days * DAY
            task, cost = TASKS[which], Cost(record=(EVENTS[event],))
            part, request = None, str(number)
            if whole:
                parts += 1
                part = Part(campaign=f"{which} {event}", number=parts, rounds=ROUNDS, separation=1)
            try:
                ledger.charge(
                    request, task=task.name, purpose="", cost=cost.times(ROUNDS) if part else cost,
                    limits=limits(owner(lifetime), task), part=part,
                )  # fmt: skip
            except Refusal:
                continue
            alive = ledger.alive(request)
            if lifetime is not None and task.timestamp:
                assert alive is not None, "with a lifetime only rows that are alive may take part"
            if alive is not None and alive.column != task.timestamp:
                continue  # `client.desk` refuses it
            found.append((which if alive else (which[0], None), alive, EVENTS[event]))
    return found


def most_exposed(found: list[tuple[tuple[str, str | None], Alive | None, SampledGaussian]]) -> float:
    """The most that one row of each task pays together, whatever their timestamps are: by trying all that matter."""
    births: dict[tuple[str, str | None], set[int]] = {}
    for which, alive, _ in found:
        births.setdefault(which, set()).add(alive.start if alive else 0)
    worst = 0.0
    for times in product(*births.values()):
        at = dict(zip(births, times, strict=True))
        paid = [e for which, alive, e in found if alive is None or alive.start <= at[which] < alive.end]
        worst = max(worst, accounting.epsilon(paid, delta=DELTA))
    return worst


AT, THEN, OTHER, UNDATED = TASKS


@settings(max_examples=60, deadline=None)
@given(st.lists(asked, min_size=6, max_size=20))
@example([(0.75, AT, 10.0, 0, False)] * 40)
@example([(2.5, which, 10.0, 0, False) for which in (AT, OTHER) * 8])  # each task alone would be within the budget
@example([(3.0, AT, 10.0, 0, False)] * 4 + [(30.0, THEN, 10.0, 0, False)] + [(3.0, THEN, 10.0, 0, False)] * 3)
@example([(0.0, AT, 10.0, 0, True), (12.0, AT, 10.0, 0, True), *[(0.0, AT, 10.0, 0, False)] * 8])
@example([(3.0, AT, None, 0, False)] * 4 + [(11.0, AT, 10.0, 0, False)] + [(3.0, AT, 10.0, 0, False)] * 4)
@example([(3.0, UNDATED, 10.0, 0, False)] * 2 + [(30.0, AT, 10.0, 0, False)] * 4)
@example([(0.0, AT, 10.0, 0, False)] * 4 + [(-9.5, AT, 10.0, 0, False)] * 8)
@example([(1.0, AT, 10.0, 0, False)] * 4 + [(8.5, AT, 25.0, 0, False)] * 4)
def test_no_row_pays_more_than_the_budget(requests: list[Asked]) -> None:
    assert most_exposed(taught(requests)) <= BUDGET + 1e-9


def test_the_budget_renews_for_new_rows_and_only_by_the_owners_word() -> None:
    """The property above would hold for a device that refuses everything."""
    asked: list[Asked] = [(4.0, ("a", "at"), 10.0, 0, False)] * 60
    renewing = taught(asked)
    for_ever = taught([(days, which, None, event, whole) for days, which, _, event, whole in asked])
    undated = taught([(days, ("c", None), lifetime, event, whole) for days, _, lifetime, event, whole in asked])
    assert len(renewing) == 60
    assert len(for_ever) == len(undated) < 12
    assert accounting.epsilon([event for *_, event in renewing], delta=DELTA) > 2 * BUDGET


# -- which rows take part ---------------------------------------------------------------------


CONTRACT = Contract(columns=(NumberRule(name="load", low=0.0, high=1.0),), noise_multiplier=20.0)
TASK = small_task(contract=CONTRACT)
ALIVE = Lifetime(task="machines", column="at", days=10.0).at(START)
assert ALIVE is not None
WINDOWS = (Window(), Window(start="2025-12-25"), Window(end="2025-12-28T00:00:00+02:00"), Window(start="2026-02-01"))
stamps = st.one_of(
    st.integers(int(START) - 30 * DAY, int(START) + 5 * DAY).map(lambda t: f"{datetime.fromtimestamp(t, UTC):%Y-%m-%dT%H:%M:%S}"),
    st.sampled_from(["", "soon", "2025-12-22T00:00:00", "2025-12-21T23:59:59.999999", "2026-01-01T00:00:00", "2025-12-31"]),
)  # fmt: skip


def takes_part(stamp: str, window: Window) -> bool:
    """What the rule says of one row."""
    try:
        at = datetime.fromisoformat(stamp).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return False
    inside = [
        not text or compare(at, (bound if bound.tzinfo else bound.replace(tzinfo=UTC)).timestamp())
        for text, compare in ((window.start, float.__ge__), (window.end, float.__lt__))
        for bound in [datetime.fromisoformat(text or "2000-01-01")]
    ]
    return START - 10 * DAY <= at < START and all(inside)


def written(folder: Path, rows: list[str]) -> Path:
    lines = [f"0.{number + 1},3,north,1,{stamp}" for number, stamp in enumerate(rows)]
    (folder / "rows.csv").write_text("\n".join(["load,hour,site,stops,at", *lines]) + "\n")
    return folder / "rows.csv"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(stamps, min_size=1, max_size=8), st.sampled_from(WINDOWS))
def test_a_row_takes_part_by_its_own_timestamp_alone(tmp_path: Path, rows: list[str], window: Window) -> None:
    """Each row's part is what the rule says of that row, so no other row changes it (rule 3)."""
    file = written(tmp_path, rows)
    both = ALIVE.within(window)
    loads = read_columns(file, TASK, both)[0]["load"]
    expected = [float(f"0.{number + 1}") for number, stamp in enumerate(rows) if takes_part(stamp, window)]
    assert loads.tolist() == np.float32(expected).tolist()
    assert count_rules(file, TASK, both).sum() == len(expected)


def windows() -> Iterator[Window]:
    days = [f"2025-12-{day:02}" for day in range(1, 32, 3)] + ["0001-01-01T00:00:00+14:00", "9999-12-31T23:00:00-14:00"]
    for start, end in product(["", *days], ["", *days]):
        try:
            yield Window(start=start, end=end)
        except ValueError:
            continue


def test_no_window_reaches_beyond_the_rows_that_are_alive() -> None:
    """Not an empty one either: it becomes a moment of theirs."""
    quarters = [datetime.fromtimestamp(START - hours * 3600, UTC).replace(tzinfo=None) for hours in range(6, 241, 6)]
    for window in windows():
        both = ALIVE.within(window)
        assert "2025-12-22T00:00:00" <= both.start < both.end <= "2026-01-01T00:00:00"
        inside = {at for at in quarters if both.start <= at.isoformat() < both.end}
        assert inside == {at for at in quarters if takes_part(at.isoformat(), window)}
