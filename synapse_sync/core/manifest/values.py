"""The manifest as typed values: the models that a project wants, and how."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import field
from datetime import datetime

from synapse_sync.core.artifact import DEFAULT_RATING, ONCE_OTHER
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.instant import instant_text
from synapse_sync.core.link_mode import LinkMode
from synapse_sync.core.names import SafePath, declared_name
from synapse_sync.core.reference import Reference
from synapse_sync.core.remote import Remote

#: The kinds of sidecars; `layouts/sidecars.py` has their content.
SIDECARS = ("a1111", "civitai-info", "lora-manager", "sdnext", "stability-matrix")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileWish:
    """The wanted or preferred file of a version; None means any. `name` is a glob pattern, `id` the site's id."""

    format: str | None = None
    precision: str | None = None
    size: str | None = None
    quant: str | None = None
    name: str | None = None
    type: str | None = None
    id: str | None = None

    def over(self, other: FileWish) -> FileWish:
        """This wish; keys that it leaves open are those of `other`."""
        own = dict(_said(self))
        return dataclasses.replace(other, **own)


#: No wish at all, which nearly every model has.
ANY_FILE = FileWish()


def _said(wish: FileWish) -> Iterable[tuple[str, str]]:
    if wish is ANY_FILE or wish == ANY_FILE:
        return ()
    return ((name, value) for name in FileWish.__dataclass_fields__ if (value := getattr(wish, name)) is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceOptions:
    """Defaults and policy for all models; `exclude_newer` is in UTC.

    `reproducible` says that nothing of a machine may get into its trees, for images. `remotes` are used only with
    the user's consent.
    """

    name: str | None = None
    previews: bool | int = False
    prefer: FileWish = ANY_FILE
    allow_pickle: bool = False
    exclude_newer: datetime | None = None
    preview_rating: str = DEFAULT_RATING
    preview_width: int | None = None
    preview_quality: int | None = None
    sidecars: bool | tuple[str, ...] = False
    allow_dangerous: frozenset[str] = frozenset()
    forbidden: Mapping[str, str] = field(default_factory=dict)  # by the user's settings, see `policy.Permissions`
    reproducible: bool = False
    remotes: tuple[Remote, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules of `[policy]`; by default everything is allowed.

    `formats` are the allowed formats of weights, and `hosts` the allowed hosts; None allows any. `max_size` is in
    bytes, for all files of one model. With `commercial_use`, a licence must permit it. With `nsfw` of False, no
    model may be rated above `pg13`. `exempt` are the names of models that need not follow them.
    """

    formats: tuple[str, ...] | None = None
    commercial_use: bool = False
    nsfw: bool = True
    max_size: int | None = None
    hosts: tuple[str, ...] | None = None
    exempt: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A directory tree that a sync updates.

    With `groups` of None, every model belongs to it; with `types` of None, every type. `folders` are the manifest's
    own, by type, relative to the root; they go before those of the layout. `root` is the one for this machine,
    `variable` the environment variable that it depends on. `links` says whether symbolic links can be made there.
    """

    name: str
    layout: str = "comfyui"
    root: str = "."
    groups: tuple[str, ...] | None = None
    link_mode: LinkMode = LinkMode.AUTO
    sidecars: bool | tuple[str, ...] | None = None
    folders: tuple[tuple[str, SafePath], ...] = ()
    types: tuple[str, ...] | None = None
    exclude_types: tuple[str, ...] = ()
    variable: str | None = None
    links: bool = True

    def wants_type(self, kind: str | None) -> bool:
        """Whether models of a type belong into this target; None is an unknown type."""
        if self.types is None and not self.exclude_types:
            return True
        words = {kind, "other"} if kind in ONCE_OTHER else {kind}
        return (self.types is None or bool(words & {*self.types})) and not words & {*self.exclude_types}

    def folder(self, kind: str) -> SafePath | None:
        """The manifest's own folder for a type in this target; None if it names none."""
        return dict(self.folders).get(kind) if self.folders else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One wanted model, as the manifest describes it.

    `folder` replaces the folder of its type, relative to the root of every target; `folders` do so in single
    targets, by the target's name. `preview_width` is in pixels and `preview_quality` in percent, for hosts that
    make smaller images; None leaves both to the host. The failure of an `optional` model is a warning.
    `variants` are named `NAME@VARIANT`; a machine has one of them, or the model itself. `origin` names the file of
    another program that the model was imported from; it has no effect. `declared_in` is the
    name of the included manifest that declares the model, empty for the project's own.
    """

    name: str
    reference: Reference
    versions: tuple[int, ...] = ()
    type: str | None = None
    wish: FileWish = ANY_FILE
    prefer: FileWish = ANY_FILE
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    extract: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    targets: tuple[str, ...] | None = None
    policy: str = "same-base"
    ignore: tuple[int, ...] = ()
    folder: SafePath | None = None
    folders: tuple[tuple[str, SafePath], ...] = ()
    subfolder: SafePath | None = None
    filename: SafePath | None = None
    flatten: bool = False
    previews: bool | int = False
    preview_rating: str = DEFAULT_RATING
    preview_width: int | None = None
    preview_quality: int | None = None
    cover: Reference | None = None
    sidecars: bool | tuple[str, ...] | None = None
    mirrors: tuple[Reference, ...] = ()
    sha256: str | None = None
    allow_pickle: bool = False
    allow_code: bool = False
    exclude_newer: datetime | None = None
    optional: bool = False
    variants: tuple[Requirement, ...] = ()
    origin: str | None = None
    declared_in: str = ""
    #: The canonical line, once it was asked for.
    _line: str | None = field(default=None, init=False, compare=False, repr=False)

    @property
    def model(self) -> str:
        """The name under `[models]`; several versions of one model share it."""
        return declared_name(self.name)

    def folder_in(self, target: str) -> SafePath | None:
        """The manifest's own folder for this model in a target; None if it names none."""
        return dict(self.folders).get(target, self.folder) if self.folders else self.folder

    @property
    def preview_count(self) -> int:
        """The number of wanted previews. `true` means the cover alone, and a named cover is wanted by itself."""
        return max(int(self.previews), 1 if self.cover else 0)

    @property
    def text(self) -> str:
        """The requirement as one canonical line. A pin is up to date as long as the line is the same.

        It has only what matters for locking: a change of paths or placement needs no new lock.
        """
        if self._line is None:
            object.__setattr__(self, "_line", self._written_out())
        return self._line  # type: ignore[return-value]  # set above

    def _written_out(self) -> str:
        words = [str(self.reference)]
        words += [f"file.{key}={value}" for key, value in _said(self.wish)]
        words += [f"prefer.{key}={value}" for key, value in _said(self.prefer)]
        words += [f"include={pattern}" for pattern in self.include]
        words += [f"exclude={pattern}" for pattern in self.exclude]
        words += [f"extract={pattern}" for pattern in self.extract]
        words += [f"type={self.type}"] if self.type else []
        words += [f"mirror={mirror}" for mirror in self.mirrors]
        words += [f"sha256={self.sha256}"] if self.sha256 else []
        words += ["allow-pickle"] if self.allow_pickle else []
        words += ["allow-code"] if self.allow_code else []
        words += [f"exclude-newer={instant_text(self.exclude_newer)}"] if self.exclude_newer else []
        words += [f"previews={int(self.previews)}"] if self.previews else []
        words += [f"preview-rating={self.preview_rating}"] if self.preview_rating != DEFAULT_RATING else []
        words += [f"cover={self.cover.text}"] if self.cover else []
        return "; ".join(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A whole `synapse.toml`; `preferred` are the variants that this machine prefers by name, the best first.

    `included` are the files of the project whose models are among `models`, `pinned` the SHA-256 of the included
    manifests from elsewhere.
    """

    workspace: WorkspaceOptions = WorkspaceOptions()
    targets: tuple[Target, ...] = (Target(name="default"),)
    models: tuple[Requirement, ...] = ()
    rules: Rules = Rules()
    preferred: tuple[str, ...] = ()
    included: tuple[SafePath, ...] = ()
    pinned: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<Manifest: {len(self.models):,} models, {len(self.targets):,} targets>"

    def entries(self) -> tuple[Requirement, ...]:
        """The requirements to lock: each of the `versions` of a model (`NAME@VERSION`) and each variant is one."""
        found: list[Requirement] = []
        for model in self.models:
            if not model.versions:
                found += (model, *model.variants)
            for version in model.versions:
                reference = dataclasses.replace(model.reference, revision=str(version))
                name = f"{model.name}@{version}"
                found.append(dataclasses.replace(model, name=name, reference=reference, versions=()))
        return tuple(found)

    def here(self) -> tuple[Requirement, ...]:
        """The requirements to place on this machine: of each model with variants, only the preferred one."""
        best = {model.name: self._best(model) for model in self.models if model.variants}
        if not best:
            return self.entries()
        return tuple(entry for entry in self.entries() if best.get(entry.model, entry.name) == entry.name)

    def elsewhere(self) -> tuple[Requirement, ...]:
        """The variants that only other machines place; the model itself counts as one of its variants."""
        if not any(model.variants for model in self.models):
            return ()
        here = {entry.name for entry in self.here()}
        return tuple(entry for entry in self.entries() if entry.name not in here)

    def _best(self, model: Requirement) -> str:
        """The name of the variant that this machine prefers; that of the model itself if it prefers none."""
        names = {variant.name for variant in model.variants}
        return next((name for word in self.preferred if (name := f"{model.name}@{word}") in names), model.name)
