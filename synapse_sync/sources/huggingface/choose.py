"""Which files of a repository are meant."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from fnmatch import fnmatchcase

from synapse_sync.core.artifact import WEIGHT_FORMATS, format_of
from synapse_sync.errors import NotFound
from synapse_sync.sources.base import Ask
from synapse_sync.sources.huggingface.client import RepoFile, Repository

_DEFAULT_EXCLUDE = (".gitattributes",)


def one_file(repository: Repository, ask: Ask) -> tuple[RepoFile, ...]:
    """The file that the reference names; empty if it names a folder or no file at all. Raises `NotFound`."""
    path = ask.reference.file
    if not path or path.endswith("/"):
        return ()
    found = tuple(file for file in repository.files if file.path == path)
    if found:
        return found
    names = [file.path for file in repository.files]
    near = difflib.get_close_matches(path, names, n=3) or [n for n in names if format_of(n) in WEIGHT_FORMATS][:8]
    raise NotFound(
        f"`hf://{repository.id}` has no file `{path}` at commit {repository.commit[:12]}",
        hint="its files include:\n" + "\n".join(near) if near else "it holds no weights",
    )


def several_files(repository: Repository, ask: Ask) -> tuple[RepoFile, ...]:
    """The files that include and exclude leave, by the hub's own rules for patterns."""
    folder = ask.reference.file or ""
    below = [file for file in repository.files if file.path.startswith(folder)]
    if not below:
        what = f"folder `{folder}`" if folder else "files"
        raise NotFound(f"`hf://{repository.id}` has no {what} at commit {repository.commit[:12]}")
    exclude = ask.exclude if ask.include else (*ask.exclude, *_DEFAULT_EXCLUDE)
    left = (
        file
        for file in below
        if (not ask.include or matches(file.path, ask.include)) and not matches(file.path, exclude)
    )
    return tuple(sorted(left, key=lambda file: file.path))


def matches(path: str, patterns: Sequence[str]) -> bool:
    """Whether one of the patterns fits, as the hub's library has it.

    Case counts, `*` also means `/`, what ends in `/` means all that is below, and a backslash is a slash.
    """
    plain = [pattern.replace("\\", "/") for pattern in patterns]
    return any(fnmatchcase(path, f"{pattern}*" if pattern.endswith("/") else pattern) for pattern in plain)
