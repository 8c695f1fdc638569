"""Writing `agent.toml`: commented for its owner, whole or not at all, and never losing the owner's own words."""

import json
import re
from collections.abc import Callable

from client.config import AgentHome
from client.settings import AgentSettings, TaskGrant
from shared.errors import InputError
from shared.files import write_whole

_PAUSED = re.compile(r"^paused[ \t]*=[ \t]*(?:true|false)", re.MULTILINE)


def render(settings: AgentSettings) -> str:
    """A new `agent.toml`, with a line for the owner beside each choice."""
    floor, conditions, ceilings = settings.floor, settings.conditions, settings.ceilings
    tasks = "\n".join(render_task(name, grant) for name, grant in settings.tasks.items())
    return f"""\
# What this device's owner decided. Edit it freely: it is read again for every request, and a running agent
# notices. Whatever the coordinator plans, the stricter of its plan and this file holds.

name = {_text(settings.name)}  # how the operator sees this device
coordinator = {_text(settings.coordinator)}
federation = {_text(settings.federation)}
paused = {_flag(settings.paused)}  # true: decline every request; predictions go on
health = {_flag(settings.health)}  # false: do not tell the coordinator how a release's self-test went
tell_affordability = {_flag(settings.tell_affordability)}  # true: tell it there too how many more campaigns your budgets cover: 0, 1, 2-4, 5+
trainer = {_text(settings.trainer)}  # "opacus" (needs PyTorch), "light" (NumPy), or "auto": Opacus where it is installed

# A row takes part for so many days from its own timestamp on, and then never again: what rows that have retired paid no
# longer counts against the budget, which so renews for new rows. The timestamp must be when a row came to be; one that moves
# when the row is edited keeps it alive. Tasks without timestamps keep what they spent for ever. Left out, no row retires.
{_row_lifetime(settings)}

# The most privacy that any row may ever pay, on all tasks together; each task's own limit holds beside it.
[budget]
epsilon = {settings.budget.epsilon!r}
delta = {settings.budget.delta!r}

# The same for all rows of this device at once: then it takes part only where whole devices are protected.
{_device_budget(settings)}

# At most so much of it in any so many days. Old spending is never forgotten: the budget above goes on counting.
{_period("period", settings)}

# The weakest plan that you accept, beside the signed task's own limits.
[floor]
min_noise_multiplier = {floor.min_noise_multiplier!r}
max_sample_rate = {floor.max_sample_rate!r}
max_steps = {floor.max_steps}
max_grad_norm = {floor.max_grad_norm!r}
min_normalizer = {floor.min_normalizer!r}
trust = {_text(floor.trust)}  # "everyone": noise from this device alone; "sums": secure aggregation too; "coordinator": its noise too
min_cohort = {floor.min_cohort}  # devices that one sum must be of, at least

# When this device takes part; predictions never wait for it.
[conditions]
idle_only = {_flag(conditions.idle_only)}  # only while nobody else keeps the processors busy
mains_only = {_flag(conditions.mains_only)}  # not on battery
unmetered_only = {_flag(conditions.unmetered_only)}  # not over a connection that is paid by volume
hours = {_text(conditions.hours)}  # such as "22:00-06:00", local time; empty means always

# What one training may use. One that reaches a ceiling is stopped, stays charged, and answers with noise alone.
[ceilings]
cpu_seconds = {ceilings.cpu_seconds!r}
memory_mb = {ceilings.memory_mb}
disk_mb = {ceilings.disk_mb}

# Predictions wait here, encrypted, for their outcome: how many days, which share of them, and in how much space.
[keep]
days = {settings.keep.days!r}
share = {settings.keep.share!r}
megabytes = {settings.keep.megabytes}

# One table a task. `data` is a Parquet or CSV file, or a directory of them; its rows never leave this machine.
# Beside it may stand `enabled = false`, `epsilon = 2.0` (its share of the budget), `period = {{ days = 30, epsilon = 1.0 }}`.
{tasks}"""


def render_task(name: str, grant: TaskGrant) -> str:
    """One task's table."""
    lines = [f"[tasks.{name}]", f"data = {_text(grant.data)}"]
    if not grant.enabled:
        lines.append("enabled = false")
    if grant.epsilon is not None:
        lines.append(f"epsilon = {grant.epsilon!r}")
    if grant.period is not None:
        lines.append(f"period = {{ days = {grant.period.days!r}, epsilon = {grant.period.epsilon!r} }}")
    return "\n".join(lines) + "\n"


def set_paused(home: AgentHome, *, paused: bool) -> None:
    """Pause or resume, and change nothing else; raise `InputError` if the file cannot be edited safely."""
    _edit(
        home,
        lambda text: with_paused(text, paused=paused),
        lambda settings: settings.paused == paused,
        f"set `paused = {_flag(paused)}` there yourself",
    )


def with_paused(text: str, *, paused: bool) -> str:
    """The same TOML with `paused` set; the line is added at the top where it was left out."""
    line = f"paused = {_flag(paused)}"
    changed, found = _PAUSED.subn(line, text, count=1)
    return changed if found else f"{line}\n{text}"


def add_task(home: AgentHome, name: str, grant: TaskGrant) -> None:
    """Append a task's table; raise `InputError` if there is one already or the file cannot be edited safely."""
    if name in home.settings().tasks:
        raise InputError(f"{home.settings_file} has a task {name!r} already; edit its table there")
    table = render_task(name, grant)
    _edit(
        home,
        lambda text: f"{text.rstrip()}\n\n{table}",
        lambda settings: settings.tasks.get(name) == grant,
        f"add this there yourself:\n{table}",
    )


def _edit(home: AgentHome, change: Callable[[str], str], holds: Callable[[AgentSettings], bool], instead: str) -> None:
    """Change the text of `agent.toml`; take it back unless the file then says what was meant."""
    home.settings()
    text = home.settings_file.read_text(encoding="utf-8")
    write_whole(home.settings_file, change(text).encode())
    try:
        meant = holds(home.settings())
    except InputError:
        meant = False
    if not meant:
        write_whole(home.settings_file, text.encode())
        raise InputError(f"{home.settings_file} cannot be edited safely; {instead}")


def _row_lifetime(settings: AgentSettings) -> str:
    days = settings.row_lifetime_days
    return "# row_lifetime_days = 365.0" if days is None else f"row_lifetime_days = {days!r}"


def _device_budget(settings: AgentSettings) -> str:
    budget = settings.device_budget
    if budget is None:
        return "# [device_budget]\n# epsilon = 8.0\n# delta = 1e-5"
    return f"[device_budget]\nepsilon = {budget.epsilon!r}\ndelta = {budget.delta!r}"


def _period(name: str, settings: AgentSettings) -> str:
    period = settings.period
    if period is None:
        return f"# [{name}]\n# days = 30.0\n# epsilon = 1.0"
    return f"[{name}]\ndays = {period.days!r}\nepsilon = {period.epsilon!r}"


def _text(value: str) -> str:
    """A TOML basic string; JSON writes the same."""
    return json.dumps(value, ensure_ascii=False)


def _flag(value: bool) -> str:
    return "true" if value else "false"
