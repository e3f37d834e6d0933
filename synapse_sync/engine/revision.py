"""Revision: the two files as a commit of the project's git repository has them. git itself reads them."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.lockfile import Lockfile, parse_lockfile
from synapse_sync.core.lockfile_repair import repair_lockfile
from synapse_sync.core.toml import toml_text
from synapse_sync.core.toml_error import TomlError
from synapse_sync.errors import InputError, InvalidLockfile
from synapse_sync.project import Project
from synapse_sync.user.places import LOCKFILE, MANIFEST

if TYPE_CHECKING:
    from synapse_sync.core.manifest.values import Manifest

#: Bytes of a lockfile, at most: thousands of models.
_MOST = 64 << 20
_HINT = f"`git log -- {LOCKFILE}` lists the commits that changed it"
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
    commit = commit_of(project, revision)
    data = _content(project, commit, LOCKFILE, revision)
    if data is None:
        warning = f"{LOCKFILE} is not in {revision}, so every model counts as added"
        return Committed(commit=commit, lockfile=Lockfile(), warnings=(warning,))
    where = f"{LOCKFILE} of {revision}"
    try:
        text = toml_text(data)
    except TomlError as error:
        raise InvalidLockfile(f"{where}: {error.what}", hint="choose another commit") from error
    if not text.strip():
        return Committed(commit=commit, lockfile=Lockfile())
    try:
        return Committed(commit=commit, lockfile=parse_lockfile(text, where))
    except InvalidLockfile:
        repaired = repair_lockfile(text, where)
        names = ", ".join(f"`{each}`" for each in repaired.damaged)
        warning = f"{where} is damaged; left out: {names or 'no model'}"
        return Committed(commit=commit, lockfile=repaired.lockfile, warnings=(warning,))


class CommittedProject(Project):
    """A project with the two files of a commit. Everything else is that of the directory; no file is written."""

    def __init__(self, project: Project, revision: str) -> None:
        super().__init__(project.directory, project.store, project.preferred)
        self.revision: str = revision
        self.commit: str = commit_of(project, revision)
        found = {name: _content(project, self.commit, name, revision) for name in (MANIFEST, LOCKFILE)}
        self._files = {name: data for name, data in found.items() if data is not None}
        if missing := [name for name in found if name not in self._files]:
            raise InputError(f"{missing[0]} is not in {revision}", hint=_HINT)

    def read(self, name: str) -> bytes:
        """The content of a file in the commit."""
        if name not in self._files and (data := _content(self, self.commit, name, self.revision)) is not None:
            self._files[name] = data
        return self._files.get(name, b"")

    def exists(self, name: str) -> bool:
        """Whether the commit has this file."""
        return name in self._files or bool(self.read(name))

    def digests(self) -> tuple[bytes, bytes]:
        """The SHA-256 of the two files in the commit."""
        manifest, lockfile = (hashlib.sha256(self.read(name)).digest() for name in (MANIFEST, LOCKFILE))
        return manifest, lockfile

    def write(self, name: str, text: str, values: Manifest | None = None) -> bool:
        """Refuse: what is committed stays as it is."""
        raise InputError(f"{name} of {self.revision} is committed, and cannot be changed")


def commit_of(project: Project, revision: str) -> str:
    """The hash of the commit that a revision names; raises `InputError`."""
    if not revision or revision.startswith("-") or not revision.isprintable():
        raise InputError(f"`{revision}` is not the name of a commit", hint="for example `HEAD~1`, or a tag")
    name = f"{revision}^{{commit}}"
    return git(project.directory, "rev-parse", "--verify", "--quiet", name, about=revision).decode().strip()


def _content(project: Project, commit: str, name: str, revision: str) -> bytes | None:
    """The content of a file of the project in a commit; None if it is not there."""
    if not git(project.directory, "ls-tree", "--name-only", commit, f"./{name}", about=revision).strip():
        return None
    size = int(git(project.directory, "cat-file", "-s", f"{commit}:./{name}", about=revision))
    if size > _MOST:
        raise InputError(f"{name} of {revision} has {size:,} bytes; the most is {_MOST:,}")
    return git(project.directory, "cat-file", "blob", f"{commit}:./{name}", about=revision)


def git(directory: Path, *words: str, about: str) -> bytes:
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
    if not said and not _has_commits([found, "-C", str(directory)]):
        raise InputError(
            f"no commit is in the repository of {directory} yet", hint="`git commit` makes the first one"
        )
    if not said:
        raise InputError(f"`{about}` is no commit of this repository", hint=_HINT)
    raise InputError(f"git cannot read `{about}`: {said[0].removeprefix('fatal: ')}")


def _has_commits(git_here: Sequence[str]) -> bool:
    """Whether a branch or a tag of the repository has a commit, or HEAD."""
    command = [*git_here, "rev-list", "--max-count=1", "HEAD", "--all", "--"]
    done = subprocess.run(command, capture_output=True, env={**os.environ, **_QUIETLY}, check=False)
    if done.returncode:  # HEAD is on a branch without commits; others may have some
        command.remove("HEAD")
        done = subprocess.run(command, capture_output=True, env={**os.environ, **_QUIETLY}, check=False)
    return bool(done.stdout.strip())
