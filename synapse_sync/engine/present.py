"""Present: the files of models that exist in the trees of a project, and which of them a listed model means."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from pathlib import Path

from synapse_sync.core.artifact import format_of, stem_of
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.manifest.values import Target
from synapse_sync.core.names import clash_key
from synapse_sync.core.reference import Reference
from synapse_sync.engine.scope import Scope
from synapse_sync.engine.survey import trees_in
from synapse_sync.engine.tools import Tools
from synapse_sync.interop.readers.listed import Listed
from synapse_sync.layouts.adopt import folders_for, top_folders, type_in
from synapse_sync.project import Project
from synapse_sync.store.ownership import Tree
from synapse_sync.suppliers.tree_files import files_below

#: More entries of directories than any tree of models has.
_MOST = 5_000_000
#: Lists name folders in the words of this layout.
LISTS = Target(name="", layout="comfyui")


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentFile:
    """A file in a target: its path there, its size in bytes; its model and SHA-256 if a receipt lists it."""

    target: str
    path: str
    size: int
    model: str | None = None
    sha256: str | None = None

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]

    @property
    def folder(self) -> str:
        """The folders of its path."""
        return self.path.rpartition("/")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """All such files, by name, by name without ending, and by SHA-256; `targets` by name, `locked` by model."""

    files: tuple[PresentFile, ...]
    targets: Mapping[str, Target]
    locked: Mapping[str, LockedModel] = field(default_factory=dict)
    _by_name: dict[str, list[PresentFile]] = field(default_factory=dict)
    _by_stem: dict[str, list[PresentFile]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for file in self.files:
            name = clash_key(file.name)
            self._by_name.setdefault(name, []).append(file)
            self._by_stem.setdefault(stem_of(name), []).append(file)

    def find(self, model: Listed) -> tuple[PresentFile, ...]:
        """The files that a listed model means: by its name and folder, else by its version or hash.

        A program that looks for a name in a folder finds no other one, whatever its bytes are. A file whose SHA-256
        is known to be another one than the list promises is not meant.
        """
        found = self._named(model) if model.filename or model.resource else []
        if not found and (model.filename is None or model.folder is None):
            found = self._of_versions(model)
        return tuple(file for file in found if not (model.sha256 and file.sha256 and model.sha256 != file.sha256))

    def _named(self, model: Listed) -> list[PresentFile]:
        """The files of a name in the folders of its type; without an ending, whatever the ending is."""
        name = clash_key(model.filename or model.name)
        whole = format_of(name) != "other"
        files = (self._by_name if whole else self._by_stem).get(name, [])
        return [file for file in files if self._fits(file, model)]

    def _fits(self, file: PresentFile, model: Listed) -> bool:
        if model.folder is None:
            return model.type is None or self._is_of_type(file, model.type)
        kind = type_in(model.folder, LISTS)
        if kind is None:
            return clash_key(file.folder) == clash_key(model.folder.text)
        folders = folders_for(kind[0], self.targets[file.target])
        wanted = {clash_key(f"{folder}/{kind[1]}".strip("/")) for folder in folders}
        return clash_key(file.folder) in wanted

    def _is_of_type(self, file: PresentFile, kind: str) -> bool:
        """Whether a file is in a folder for a type; images name files of any folder below it."""
        folders = folders_for(kind, self.targets[file.target])
        return any(f"{file.folder}/".startswith(f"{folder}/") for folder in folders)

    def _of_versions(self, model: Listed) -> list[PresentFile]:
        """The files of the locked models that a reference or a hash means."""
        names = locked_as(model, self.locked.values())
        return [file for file in self.files if file.model in names]


def locked_as(model: Listed, locked: Iterable[LockedModel]) -> frozenset[str]:
    """The names of the locked models that a listed model means, by its references or its hash."""
    references = set(model.references)
    if model.resource is not None and model.resource.reference is not None:
        references.add(model.resource.reference)
    return frozenset(each.name for each in locked if any(_is_for(reference, each) for reference in references))


def _is_for(reference: Reference, locked: LockedModel) -> bool:
    """Whether a reference means a locked version: by its number, by a hash, or by its place."""
    if reference.source == "hash":
        algorithm, _, value = reference.id.partition(":")
        return any(
            artifact.sha256.startswith(value) if algorithm in ("sha256", "autov2") else artifact.blake3 == value
            for artifact in locked.artifacts
        )
    at = locked.reference
    if reference.source != at.source or not _has_file(reference, locked):
        return False
    if reference.pinned and reference.revision is not None:
        return reference.revision == at.revision
    return reference.id == at.id


def _has_file(reference: Reference, locked: LockedModel) -> bool:
    """Whether a locked model has the file that a reference names; one that names none may mean a single file."""
    own = locked.reference.file
    if reference.file is None:
        # Where a site numbers its files, a page or a version means the one that was chosen at lock.
        return own is None or own.isdigit()
    return own == reference.file or any(
        own is None and reference.file in (artifact.filename, artifact.url.file) for artifact in locked.artifacts
    )


def present_in(project: Project, tools: Tools) -> Present:
    """The files of models in all targets of a project; nothing is hashed."""
    return present_files(trees_in(project, Scope(), tools.link_mode), project.lockfile.models)


def present_files(trees: Mapping[str, Tree], locked: Iterable[LockedModel]) -> Present:
    """Look at the folders for models of some trees, by name; nothing is hashed."""
    files = tuple(file for tree in trees.values() for file in _files(tree))
    targets = {name: tree.target for name, tree in trees.items()}
    return Present(files=files, targets=targets, locked={model.name: model for model in locked})


def _files(tree: Tree) -> Iterator[PresentFile]:
    folders = {tree.root / folder: True for folder in top_folders(tree.target)}
    listed = {Path(path).parts[0] for path in tree.receipt.entries}  # a model may have a `folder` of its own
    folders |= {tree.root / folder: True for folder in listed if (tree.root / folder).is_dir()}
    for place, size in files_below(folders, _MOST):
        path = Path(place)
        if format_of(path.name) in _NO_MODELS or not path.is_relative_to(tree.root):
            continue
        inside = path.relative_to(tree.root).as_posix()
        entry = tree.receipt.entries.get(inside)
        yield PresentFile(
            target=tree.target.name,
            path=inside,
            size=size,
            model=None if entry is None else entry.model,
            sha256=None if entry is None else entry.sha256,
        )


#: The formats of files that accompany models.
_NO_MODELS = frozenset({"config", "text", "other"})
