"""Covey's own colours, dark and light; every built-in theme of Textual works as well."""

from textual.theme import Theme

DARK = Theme(
    name="covey-dark",
    primary="#7aa2f7",
    secondary="#5b78b8",
    accent="#d7a65f",
    warning="#e0af68",
    error="#f7768e",
    success="#8fce6f",
    foreground="#d5d9e6",
    background="#14161d",
    surface="#191c25",
    panel="#252a37",
    dark=True,
)
LIGHT = Theme(
    name="covey-light",
    primary="#2f5fb3",
    secondary="#6b88bd",
    accent="#97611a",
    warning="#8f5d10",
    error="#b3293f",
    success="#3d7522",
    foreground="#23262f",
    background="#f7f7f4",
    surface="#f0f0ec",
    panel="#e0e1dd",
    dark=False,
)
THEMES = (DARK, LIGHT)
