"""`sha256sums`: the list that `sha256sum -c` checks, from the directory of the project. Pure."""

from __future__ import annotations

import re

from synapse_sync.interop.writers.values import Export, Written


def write(export: Export) -> Written:
    """Write a line for each file, sorted by path: its SHA-256, two spaces, its path (GNU coreutils' format).

    A file below `~` has its path from there, which `sha256sum` reads in the home directory only: a warning says so.
    """
    lines = sorted((path, file.artifact.sha256) for path, file in export.placed())
    homes = sorted({target.name for target in export.targets if target.root.startswith("~/")})
    text = "".join(f"{sha256}  {path.removeprefix('~/')}\n" for path, sha256 in lines)
    notes = tuple(f"the paths of target `{name}` begin at your home directory: check them there" for name in homes)
    return Written(text, notes)


def is_one(text: str) -> bool:
    """Whether a text is such a list."""
    return all(re.match(r"[0-9a-f]{64}  .", line) for line in text.splitlines())
