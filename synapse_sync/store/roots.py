"""Roots: the directory of a target on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from synapse_sync.user.places import expanded


def root_of(text: str, project: Path) -> Path:
    """A target's directory: relative to the project, `~` is the user's home. Links in it are left as they are.

    Raises `InputError` for a root that cannot be meant as it is, see `expanded`.
    """
    path = Path(expanded(text, "root"))
    return Path(os.path.normpath(path if path.is_absolute() else project / path))
