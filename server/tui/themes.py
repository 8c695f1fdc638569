"""Covey's own colours; every built-in theme of Textual works as well.

The two for colour-blind people take their hues from Okabe and Ito, "Color Universal Design" (2008), as dark or light as
their ground asks: sky blue, yellow and vermilion; blue, brown and reddish purple. No state is red against green.
"""

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
SAFE_DARK = Theme(
    name="covey-safe-dark",
    primary="#cc79a7",
    secondary="#a8628a",
    accent="#f0e442",
    warning="#f0c000",
    error="#e8604a",
    success="#56b4e9",
    foreground="#e6e6e6",
    background="#101216",
    surface="#171a20",
    panel="#272c36",
    dark=True,
)
SAFE_LIGHT = Theme(
    name="covey-safe-light",
    primary="#5b4a8a",
    secondary="#8a7cb0",
    accent="#8a6200",
    warning="#8a6200",
    error="#a0005a",
    success="#0072b2",
    foreground="#1d1f24",
    background="#fbfbf9",
    surface="#f1f1ee",
    panel="#dfe0dd",
    dark=False,
)
THEMES = (DARK, LIGHT, SAFE_DARK, SAFE_LIGHT)
