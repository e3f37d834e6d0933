"""Git rules of a project: how git merges its two files, and which placed files it ignores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from synapse_sync.core.manifest.values import Target
from synapse_sync.layouts import folders_of
from synapse_sync.store.durable import write_atomic
from synapse_sync.user.places import LOCKFILE, MANIFEST
from synapse_sync.user.small_files import read_small

#: How git merges the two files of two branches: it keeps the additions of both.
_ATTRIBUTES = (f"{MANIFEST} merge=union", f"{LOCKFILE} merge=union")
_WEIGHTS = ("safetensors", "sft", "gguf", "ckpt", "pt", "pth", "bin", "onnx")
#: The line about a changed `.gitignore`.
IGNORED = "wrote .gitignore: git leaves out the placed weights"
_COMMENT = "# weights that synapse places"


def in_repository(directory: Path) -> bool:
    """Whether a directory is in a working tree of git; git itself is not needed."""
    here = directory.resolve()
    return any((place / ".git").exists() for place in (here, *here.parents))


def merge_rule(directory: Path) -> bool:
    """Add the merge rules that `.gitattributes` lacks; True if the file was changed.

    Outside a repository no such file is made, and one that exists is for git all the same.
    """
    path = directory / ".gitattributes"
    if not path.exists() and not in_repository(directory):
        return False
    return _append(path, lambda known: [line for line in _ATTRIBUTES if line.split()[0] not in known])


def ignore_rule(directory: Path, targets: Sequence[Target]) -> bool:
    """Add the lines that `.gitignore` lacks for weights below these targets; True if the file was changed.

    Only targets below the directory count, and only inside a repository. A folder that git ignores already needs
    no line, nor does a UI that is a repository of its own.
    """
    if not in_repository(directory):
        return False
    folders = [folder for target in targets for folder in _folders(directory, target)]

    def missing(known: set[str]) -> list[str]:
        plain = {line.strip("/*") for line in known}
        lines = [
            f"{folder}/**/*.{ending}"
            for folder in folders
            if not {folder.strip("/"), folder.rpartition("/")[2]} & plain
            for ending in _WEIGHTS
        ]
        new = [line for line in dict.fromkeys(lines) if line not in known]
        return [_COMMENT, *new] if new else []

    return _append(directory / ".gitignore", missing)


def _folders(directory: Path, target: Target) -> Iterable[str]:
    """The first folders below a target for weights, as patterns of git without their ends."""
    root = os.path.normpath(target.root).replace(os.sep, "/")
    if Path(root).is_absolute() or root.startswith(("..", "~", "$")):
        return ()
    if root != "." and (directory / root / ".git").exists():
        return ()
    base = "" if root == "." else f"/{root}"
    tops = sorted({folder.partition("/")[0] for folder in folders_of(target.layout)})
    return tuple(f"{base}/{top}".rstrip("/") for top in tops)


def _append(path: Path, missing_of: Callable[[set[str]], list[str]]) -> bool:
    """Add lines to a file of git; `missing_of` returns them for the patterns that it has. Links are left alone."""
    if path.is_symlink():
        return False
    try:
        text = read_small(path).decode()  # with the line ends that it has
    except FileNotFoundError:
        text = ""
    except (OSError, UnicodeDecodeError):
        return False
    # git passes over a byte order mark, which Windows' Notepad writes.
    known = {line.split()[0] for line in text.removeprefix("\ufeff").splitlines() if line.strip()}
    missing = missing_of(known)
    if not missing:
        return False
    end = "\r\n" if "\r\n" in text else "\n"
    if text and not text.endswith("\n"):
        text += end
    write_atomic(path, (text + "".join(f"{line}{end}" for line in missing)).encode())
    return True
