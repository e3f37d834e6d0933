"""Import a part: hash some of the files that an import will declare, as one of several jobs. Declares nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from synapse_sync.core.frozen import dataclass
from synapse_sync.engine.find_files import learn_digests
from synapse_sync.engine.import_places import with_targets
from synapse_sync.engine.new_project import manifest_so_far
from synapse_sync.engine.parallel import Part
from synapse_sync.engine.tools import Tools
from synapse_sync.project import Project
from synapse_sync.store.durable import make_dirs, storage_error
from synapse_sync.store.known_digests import KnownDigests


@dataclass(frozen=True, slots=True, kw_only=True)
class HashedPart:
    """The `files` of a part, and the `size` in bytes of those that had to be read."""

    files: int
    size: int


def hash_part(project: Project, directories: Sequence[Path], tools: Tools, part: Part) -> HashedPart:
    """Hash the large files of a part in some directories, and remember their digests in the store.

    When all parts are done, an import of the same directories reads none of these files again. Raises `InputError`
    for a directory that cannot be meant, and `StorageError`.
    """
    text, manifest = manifest_so_far(project)
    _, _, places, _ = with_targets(text, manifest, project, directories)
    tools.trust.check_roots(place.target for place in places)
    try:
        make_dirs(project.store)
    except OSError as error:
        raise storage_error(error, f"making the store {project.store}") from error
    files, size = learn_digests(places, KnownDigests(project.store), part)
    return HashedPart(files=files, size=size)
