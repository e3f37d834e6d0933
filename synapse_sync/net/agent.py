"""How synapse names itself to servers, and how the text of a server may be shown."""

from __future__ import annotations

from synapse_sync.version import __version__

#: Honest, and without any word by which sites recognise a browser and send it to a login page.
USER_AGENT = f"synapse-sync/{__version__} (+python)"
#: Characters of a server's text that are shown at most.
MAX_EXCERPT = 600


def clean(text: str, limit: int = MAX_EXCERPT) -> str:
    """Return a server's text as one line of at most `limit` characters, without control or invisible ones."""
    shown = "".join(char if char.isprintable() else " " if char.isspace() else "" for char in text[: limit * 8])
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"
