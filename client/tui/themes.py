"""The owner's colours, dark and light; green where the operator's are blue, so that nobody mistakes one for the other."""

from textual.theme import Theme

DARK = Theme(
    name="agent-dark",
    primary="#6cc7a4",
    secondary="#4f8f7d",
    accent="#d7a65f",
    warning="#e0af68",
    error="#f7768e",
    success="#8fce6f",
    foreground="#d7dfdc",
    background="#121716",
    surface="#171d1c",
    panel="#22302c",
    dark=True,
)
LIGHT = Theme(
    name="agent-light",
    primary="#1c7457",
    secondary="#5d9a86",
    accent="#97611a",
    warning="#8f5d10",
    error="#b3293f",
    success="#3d7522",
    foreground="#20292a",
    background="#f6f8f5",
    surface="#eef2ee",
    panel="#dbe4de",
    dark=False,
)
THEMES = (DARK, LIGHT)
