"""Rollback: the two files of an earlier commit, and the commit that had the lockfile before."""

from __future__ import annotations

from synapse_sync.engine.revision import git
from synapse_sync.engine.tools import Tools
from synapse_sync.errors import Conflict, InputError
from synapse_sync.project import Project
from synapse_sync.user.places import LOCKFILE, MANIFEST


def commit_before(project: Project) -> str:
    """The hash of the last commit whose lockfile was another one; raises `InputError` if there is none.

    Raises `Conflict` for changes that are in no commit: a rollback would overwrite them.
    """
    # No helper of the repository's settings runs for a look.
    status = ("-c", "core.fsmonitor=false", "status", "--porcelain", "--untracked-files=all")
    changed = git(project.directory, *status, "--", f"./{MANIFEST}", f"./{LOCKFILE}", about=LOCKFILE)
    if changed.strip():
        names = [name for name in (MANIFEST, LOCKFILE) if f"{name}\n".encode() in changed]
        raise Conflict(
            f"{' and '.join(names) or LOCKFILE} changed since the last commit, and a rollback would overwrite that",
            hint="commit the change first, or name a commit: `synapse sync --at HEAD~1` changes neither file",
        )
    log = git(project.directory, "log", "--format=%H", "-n", "2", "--", f"./{LOCKFILE}", about=LOCKFILE)
    commits = log.decode().split()
    if len(commits) < 2:
        raise InputError(f"no commit has another {LOCKFILE} before the present one")
    return commits[1]


def restore(project: Project, then: Project, tools: Tools) -> None:
    """Write the two files of a commit into the project; raises `Conflict` and `StorageError`.

    The lockfile first: a crash in between leaves pins that do not answer the manifest, and git shows both.
    """
    with project.hold(tools.reporter.note):
        for name in (LOCKFILE, MANIFEST):
            project.write(name, then.text(name))
