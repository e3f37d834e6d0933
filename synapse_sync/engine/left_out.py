"""Left out: why an import leaves a file as it is. The import and `status` decide by these functions. Looks only."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path

from synapse_sync.core.content import WEIGHTS, Content
from synapse_sync.core.names import SafePath
from synapse_sync.core.policy import Facts, Permissions, objection
from synapse_sync.engine.declared_bytes import DeclaredBytes
from synapse_sync.engine.unmanaged import Unmanaged
from synapse_sync.errors import StorageError, UnsafeName
from synapse_sync.store.known_digests import KnownDigests
from synapse_sync.store.ownership import Tree
from synapse_sync.store.reach import way_to
from synapse_sync.transfer.inspect import content_of

#: `status` reads the beginnings of that many files; of a folder with more, an import says it of all.
_MOST_READ = 1000
#: The words for content under the name of a model that is none.
_NOT_A_MODEL = {
    "empty": "it is empty",
    "lfs-pointer": "it is a pointer of Git LFS, not the file itself",
    "html": "it is a web page",
    "json": "it is a JSON document",
    "text": "it is a text",
    "image": "it is an image",
    "zip": "it is a zip archive",
    "archive": "it is an archive",
    "program": "it is a program",
}


def fault_of_name(path: str) -> str | None:
    """Why a path below a root cannot be in a manifest, or None."""
    try:
        SafePath(path)
    except UnsafeName as error:
        return f"its name cannot be in a manifest: {error.message.partition(': ')[2]}"
    return None


def fault_of_link(place: str) -> str | None:
    """Why a file is not declared at this place, if it is a link to one."""
    if not os.path.islink(place):  # noqa: PTH114 - a path costs more, and there are thousands
        return None
    return f"it is a link to {os.path.realpath(place)}; to declare it, put the file itself there"


def obstacles(root: Path, barred: Mapping[str, str]) -> Callable[[SafePath], str | None]:
    """Returns why synapse does not follow the way to a file, or None; a sync decides by the same words."""
    by_folder: dict[tuple[str, ...], str | None] = {}

    def obstacle(path: SafePath) -> str | None:
        folder = path.parts[:-1]
        if folder not in by_folder:
            by_folder[folder] = way_to(root, path, barred).obstacle
        return by_folder[folder]

    return obstacle


def fault_of_content(content: Content) -> str | None:
    """Why content under the name of a model is none, or is a damaged one."""
    if content.kind in WEIGHTS and content.fault is None:
        return None
    return content.fault or _NOT_A_MODEL.get(content.kind, "synapse does not recognise its content")


def left_out(
    files: Iterable[Unmanaged],
    trees: Mapping[str, Tree],
    forbidden: Mapping[str, str],
    declared: DeclaredBytes,
    known: KnownDigests,
) -> dict[Unmanaged, str]:
    """The unmanaged files that an import of their trees would leave as they are, each with the reason.

    The beginnings of the first thousand are read; whole files only if that takes no time, or `known` knows them.
    `forbidden` are the permissions that the user's settings withhold.
    """
    found: dict[Unmanaged, str] = {}
    ways = {name: obstacles(tree.root, tree.barred) for name, tree in trees.items()}
    for file in islice(files, _MOST_READ):
        place = trees[file.target].root / file.path
        try:
            why = _fault(file.path, place, ways[file.target], forbidden)
            if why is None and declared.has_size(file.target, file.size) and known.has(place):
                why = declared.moved(file.target, known.of(place))
        except StorageError as error:
            why = error.message
        except OSError as error:
            why = f"it cannot be read: {error.strerror or error}"
        if why is not None:
            found[file] = why
    return found


def _fault(
    path: str, place: Path, obstacle_to: Callable[[SafePath], str | None], forbidden: Mapping[str, str]
) -> str | None:
    """Why a file cannot be declared where it is, whatever its bytes are; raises `OSError` and `StorageError`."""
    why = fault_of_name(path) or fault_of_link(str(place)) or obstacle_to(SafePath(path))
    if why is not None:
        return why
    content = content_of(place)
    return fault_of_content(content) or _refusal(path, content, forbidden)


def _refusal(path: str, content: Content, forbidden: Mapping[str, str]) -> str | None:
    """Why the user's settings refuse a file, or None: an import allows pickles that are here, unless they do."""
    name = path.rpartition("/")[2]
    facts = Facts(subject=name, names=(name,), format=content.kind)
    refused = objection(facts, Permissions(pickles=content.kind == "pickle", forbidden=forbidden))
    return None if refused is None else refused.message
