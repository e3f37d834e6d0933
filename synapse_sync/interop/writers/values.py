"""Export: the values that every writer turns into a file of another program. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field

from synapse_sync.core.artifact import Artifact
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.names import SafePath
from synapse_sync.sites import named


@dataclass(frozen=True, slots=True)
class Address:
    """A URL of some bytes: without a signature or a token. `site` names the site whose token may be sent there."""

    url: str
    site: str = ""

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables that may hold the token for this URL, the usual one first."""
        return named(self.site).token_variables if self.site else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedFile:
    """One file of a target, by its path below the target's root.

    `kind` is its model type, None if unknown. `addresses` are those of the bytes (of the archive, for a member of
    one), best first; none for a file that only this machine has. With `link`, the path is a relative symbolic link
    of this text to another file of the same target.
    """

    target: str
    path: SafePath
    model: LockedModel
    kind: str | None
    artifact: Artifact
    addresses: tuple[Address, ...] = ()
    link: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedNote:
    """A small file of a target that is no model: the note of a branch in a cache of Hugging Face."""

    target: str
    path: SafePath
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedTarget:
    """One target: its layout by name, and its root as it is written in files for other machines.

    `root` is relative to the project, begins with `~/`, or is absolute; with forward slashes. `folders` has the
    folders of each model type, relative to the root.
    """

    name: str
    layout: str
    root: str
    folders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """All that a writer knows: the targets in the order of the manifest, and their files, sorted by path.

    `comfyui` has the folder of each model type below ComfyUI's `models`, for formats that use its words. `given` is
    the text of the file that the format completes, None if there is none; `version` is that of synapse. `included`
    are the manifests in the project that its own includes, by path; `downloaded` are those from elsewhere.
    `linked` has the sources in the project, by path, that are behind a link out of it.
    """

    name: str | None
    targets: tuple[ExportedTarget, ...]
    files: tuple[ExportedFile, ...]
    notes: tuple[ExportedNote, ...] = ()
    comfyui: Mapping[str, str] = field(default_factory=dict)
    given: str | None = None
    version: str = ""
    included: tuple[str, ...] = ()
    downloaded: tuple[str, ...] = ()
    linked: frozenset[str] = frozenset()

    @property
    def roots(self) -> dict[str, str]:
        """The root of each target, by the target's name."""
        return {target.name: target.root for target in self.targets}

    def placed(self) -> Iterator[tuple[str, ExportedFile]]:
        """Every file that is no link, with its path as `below` makes it."""
        roots = self.roots
        for file in self.files:
            if not file.link:
                yield below(roots[file.target], file.path), file

    def models(self) -> tuple[LockedModel, ...]:
        """The locked models of the files, each once, sorted by name."""
        found = {file.model.name: file.model for file in self.files}
        return tuple(found[name] for name in sorted(found))


@dataclass(frozen=True, slots=True)
class Written:
    """The text of a file, and the warnings about what it cannot say.

    `left_out` is the number of placed files that the text does without. `files` is the number of those in it; None
    for all the others.
    """

    text: str
    notes: tuple[str, ...] = ()
    left_out: int = 0
    files: int | None = None


def below(root: str, path: SafePath) -> str:
    """The path of a file of a target whose root has this text; below the root `.` it is the path itself."""
    return path.text if root in (".", "") else f"{root.rstrip('/')}/{path}"


def without_address(export: Export, *, by_content: bool = False) -> tuple[ExportedFile, ...]:
    """The placed files that exist on this machine only.

    With `by_content`, another file with the same bytes may have the address.
    """
    known = {file.artifact.sha256 for file in export.files if file.addresses and by_content}
    lacking = (file for _, file in export.placed() if not file.addresses)
    return tuple(file for file in lacking if file.artifact.sha256 not in known)


def local_notes(files: Iterable[ExportedFile]) -> tuple[str, ...]:
    """A warning for each model of which one of these files exists on this machine only."""
    found = dict.fromkeys(file.model.name for file in files)
    return tuple(f"`{name}`: its file has no URL, only a path of this machine; left out" for name in found)


def in_comfyui(export: Export, file: ExportedFile) -> str | None:
    """The path of a file below the directory of ComfyUI; None if ComfyUI has no folder for its type.

    In a target of another UI, that is the folder of its type and its name.
    """
    layouts = {target.name: target.layout for target in export.targets}
    if layouts[file.target] == "comfyui":
        return file.path.text
    folder = export.comfyui.get(file.kind or "")
    return None if folder is None or file.link else f"models/{folder}/{file.path.name}"
