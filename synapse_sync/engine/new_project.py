"""New project: the manifest so far, or the first one of a directory, for verbs that add models to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from synapse_sync.core.lockfile import Lockfile
from synapse_sync.core.manifest.values import Manifest
from synapse_sync.engine.git_rules import IGNORED, ignore_rule, merge_rule
from synapse_sync.engine.init import first_text, write_schema
from synapse_sync.project import Project
from synapse_sync.user.places import MANIFEST


def manifest_so_far(project: Project, targets: Sequence[tuple[str, str]] = ()) -> tuple[str, Manifest]:
    """The manifest as text and as values; without one, the first one, with `targets` by layout and root."""
    if project.exists(MANIFEST):
        return project.text(MANIFEST), project.manifest
    text = first_text(project.directory, targets)
    return text, project.as_manifest(text)


def write_both(
    project: Project, text: str, lockfile: Lockfile, manifest: Manifest, note: Callable[[str], None]
) -> None:
    """Write the manifest and then the lockfile; a new project also gets its schema and git's rules.

    `manifest` are the values of `text`. Of a new target, git ignores the weights; `note` hears of that. After a
    crash in between, a lock renews the lockfile.
    """
    is_new = not project.exists(MANIFEST)
    before = () if is_new else project.manifest.targets
    if is_new:
        merge_rule(project.directory)
        write_schema(project.directory)
    # First: a `git add` must never see the weights without it.
    if ignore_rule(project.directory, [target for target in manifest.targets if target not in before]):
        note(IGNORED)
    project.write(MANIFEST, text, manifest)
    project.write_lockfile(lockfile)
