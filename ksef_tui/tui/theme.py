"""The theme: dark, quiet, with a colour for each environment. Styles use its variables only.

The shades are chosen so that their nearest neighbours among 256 colours look alike: greys are nearly neutral (a bluish
one would become black), and no two tones fall on the same neighbour. Terminals with 16 colours get exactly those.
"""

from __future__ import annotations

from textual.theme import Theme

NIGHT = Theme(
    name="ksef-night",
    primary="#61afef",
    secondary="#3d6a96",
    accent="#e5be6a",
    foreground="#dfe3ea",
    background="#191b1f",
    surface="#212429",
    panel="#2c3037",
    success="#87c97c",
    warning="#e5be6a",
    error="#ef6b6b",
    dark=True,
    variables={
        "quiet": "#858d9b",
        "busy": "#61afef",
        "frame": "#4a5059",
        "cursor-row": "#2b527c",
        "resting-row": "#353a41",
        "env-sandbox": "#1d4e5f",
        "env-test": "#1f3f9e",
        "env-preprod": "#6a2f8f",
        "env-production": "#8f1d2c",
        "env-badge": "#ffffff",
        "on-env-good": "#9be08f",
        "on-env-wait": "#ffd98a",
        "on-env-bad": "#ffb3b8",
        "input-cursor-background": "#dfe3ea",
        "input-selection-background": "#3d6a96 60%",
    },
)

SIXTEEN = Theme(
    name="ksef-sixteen",
    primary="#55ffff",
    secondary="#00aaaa",
    accent="#ffff55",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#555555",
    success="#55ff55",
    warning="#ffff55",
    error="#ff5555",
    dark=True,
    variables={
        **NIGHT.variables,
        "quiet": "#aaaaaa",
        "busy": "#55ffff",
        "frame": "#aaaaaa",
        "cursor-row": "#0000aa",
        "resting-row": "#555555",
        "env-sandbox": "#00aaaa",
        "env-test": "#0000aa",
        "env-preprod": "#aa00aa",
        "env-production": "#aa0000",
        "on-env-good": "#ffffff",
        "on-env-wait": "#ffff55",
        "on-env-bad": "#ffff55",
        "input-cursor-background": "#ffffff",
        "input-selection-background": "#0000aa",
    },
)
