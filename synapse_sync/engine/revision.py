"""Revision: the lockfile as a commit of the project's git repository has it. git itself reads it."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from synapse_sync.core.lockfile import Lockfile, parse_lockfile
from synapse_sync.core.lockfile_repair import repair_lockfile
from synapse_sync.core.toml import toml_text
from synapse_sync.core.toml_error import TomlError
from synapse_sync.errors import InputError, InvalidLockfile
from synapse_sync.project import Project
from synapse_sync.user.places import LOCKFILE

#: Bytes of a lockfile, at most: thousands of models.
_MOST = 64 << 20
#: git asks nobody, fetches nothing, and speaks the language in which its words are recognised here.
_QUIETLY = {"GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """The lockfile of a commit: the commit's hash, the models, and warnings about what could not be read."""

    commit: str
    lockfile: Lockfile
    warnings: tuple[str, ...] = ()


def lockfile_at(project: Project, revision: str) -> Committed:
    """Read the lockfile of a commit; without one there, it has no models.

    `revision` is any name that git knows for a commit: `HEAD~1`, a branch, a tag, a hash. Raises `InputError` for a
    name that it does not know, and outside a repository; `InvalidLockfile` for a lockfile of a newer synapse.
    """
    if not revision or revision.startswith("-") or not revision.isprintable():
        raise InputError(f"`{revision}` is not the name of a commit", hint="for example `HEAD~1`, or a tag")
    commit = _git(project.directory, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", about=revision)
    name = f"{commit.decode().strip()}:./{LOCKFILE}"
    commit_text = name.partition(":")[0]
    if not _git(project.directory, "ls-tree", "--name-only", commit_text, f"./{LOCKFILE}", about=revision).strip():
        warning = f"{LOCKFILE} is not in {revision}, so every model counts as added"
        return Committed(commit=commit_text, lockfile=Lockfile(), warnings=(warning,))
    size = int(_git(project.directory, "cat-file", "-s", name, about=revision))
    if size > _MOST:
        raise InvalidLockfile(f"{LOCKFILE} of {revision} has {size:,} bytes; the most is {_MOST:,}")
    where = f"{LOCKFILE} of {revision}"
    try:
        text = toml_text(_git(project.directory, "cat-file", "blob", name, about=revision))
    except TomlError as error:
        raise InvalidLockfile(f"{where}: {error.what}", hint="choose another commit") from error
    if not text.strip():
        return Committed(commit=commit_text, lockfile=Lockfile())
    try:
        return Committed(commit=commit_text, lockfile=parse_lockfile(text, where))
    except InvalidLockfile:
        repaired = repair_lockfile(text, where)
        names = ", ".join(f"`{each}`" for each in repaired.damaged)
        warning = f"{where} is damaged; left out: {names or 'no model'}"
        return Committed(commit=commit_text, lockfile=repaired.lockfile, warnings=(warning,))


def _git(directory: Path, *words: str, about: str) -> bytes:
    """The output of git; raises `InputError` in words about the revision `about`."""
    found = shutil.which("git")
    # Windows looks for a program in the working directory first, where a cloned repository may have put one.
    if found is None or Path(found).resolve().is_relative_to(directory):
        raise InputError("git is not installed, and only git can read a commit")
    command = [found, "-C", str(directory), *words]
    done = subprocess.run(command, capture_output=True, env={**os.environ, **_QUIETLY}, check=False)
    if done.returncode == 0:
        return done.stdout
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    if any("not a git repository" in line for line in said):
        raise InputError(f"{directory} is not in a git repository", hint="`git init` makes it one")
    if not said:
        hint = f"`git log -- {LOCKFILE}` lists the commits that changed it"
        raise InputError(f"`{about}` is no commit of this repository", hint=hint)
    raise InputError(f"git cannot read `{about}`: {said[0].removeprefix('fatal: ')}")
