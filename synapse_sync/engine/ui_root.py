"""The root of a UI: whether a directory is the UI's own, or a folder in it that was named by mistake."""

from __future__ import annotations

import os
from pathlib import Path

from synapse_sync.layouts import LAYOUTS


def folder_of_the_ui(layout: str, root: Path, written: str) -> str | None:
    """The name that a layout has for a root, where it is a folder of the UI (`models`) and not the UI's own.

    Files would go to `models/models/…`, where no UI looks. The text `written` for the root decides, or folders of
    models in it; a directory that has the UI's folders is the UI's own, whatever its name is.
    """
    known = LAYOUTS[layout].folders.values()
    folders = [folder for names in known for folder in names if "/" in folder]
    name, base = written.rstrip("/").casefold(), str(root)
    for first in dict.fromkeys(folder.partition("/")[0] for folder in folders):
        if os.path.exists(os.path.join(base, first)):
            continue
        below = [folder for folder in folders if folder.startswith(f"{first}/")]
        for folder in (first, *below):
            if f"/{name}".endswith(f"/{folder.casefold()}"):
                return folder
        if sum(os.path.isdir(os.path.join(base, folder.removeprefix(f"{first}/"))) for folder in below) > 1:
            return first
    return None


def root_above(written: str, folder: str) -> str:
    """The text of the root that is meant: the directory that holds this folder of the UI."""
    return Path(os.path.normpath(Path(written) / "/".join([".."] * (folder.count("/") + 1)))).as_posix()
