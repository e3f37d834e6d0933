"""Switches: words in an environment variable that mean yes or no. Pure."""

from __future__ import annotations

_WORDS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


def read_switch(text: str) -> bool | None:
    """Return the meaning of a word in any capitals: False also for an empty one, None for an unknown one."""
    word = text.strip().casefold()
    return False if not word else _WORDS.get(word)
