"""Writing `agent.toml`: commented for its owner, whole or not at all, and never losing the owner's own words."""

import json
import re

from client.config import AgentHome, AgentSettings
from shared.errors import InputError
from shared.files import write_whole

_PAUSED = re.compile(r"^paused[ \t]*=[ \t]*(?:true|false)", re.MULTILINE)


def render(settings: AgentSettings) -> str:
    """A new `agent.toml`, with a line for the owner beside each choice."""
    return f"""\
# What this device's owner decided. Edit it freely: it is read again for every request.

name = {_text(settings.name)}  # how the operator sees this device
coordinator = {_text(settings.coordinator)}
federation = {_text(settings.federation)}
task = {_text(settings.task)}
data = {_text(settings.data)}  # Parquet or CSV; its rows never leave this machine
paused = {_flag(settings.paused)}  # true: decline every request; predictions go on
health = {_flag(settings.health)}  # false: do not tell the coordinator how a release's self-test went

# The most privacy that this device may ever spend; the task's own limit holds beside it.
[budget]
epsilon = {settings.budget.epsilon!r}
delta = {settings.budget.delta!r}

# The weakest plan that you accept, beside the signed task's own limits.
[floor]
min_noise_multiplier = {settings.floor.min_noise_multiplier!r}
max_sample_rate = {settings.floor.max_sample_rate!r}
max_steps = {settings.floor.max_steps}
"""


def set_paused(home: AgentHome, *, paused: bool) -> None:
    """Pause or resume, and change nothing else; raise `InputError` if the file cannot be edited safely."""
    home.settings()
    text = home.settings_file.read_text(encoding="utf-8")
    write_whole(home.settings_file, with_paused(text, paused=paused).encode())
    if home.settings().paused != paused:
        write_whole(home.settings_file, text.encode())
        raise InputError(f"{home.settings_file} cannot be edited safely; set `paused = {_flag(paused)}` there yourself")


def with_paused(text: str, *, paused: bool) -> str:
    """The same TOML with `paused` set; the line is added at the top where it was left out."""
    line = f"paused = {_flag(paused)}"
    changed, found = _PAUSED.subn(line, text, count=1)
    return changed if found else f"{line}\n{text}"


def _text(value: str) -> str:
    """A TOML basic string; JSON writes the same."""
    return json.dumps(value, ensure_ascii=False)


def _flag(value: bool) -> str:
    return "true" if value else "false"
