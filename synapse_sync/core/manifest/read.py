"""Read the manifest: from text to typed values. All mistakes are reported at once, each with its line."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from synapse_sync.core.artifact import MODEL_TYPES, type_for
from synapse_sync.core.digest import is_sha256
from synapse_sync.core.instant import parse_cutoff
from synapse_sync.core.manifest.alike import Alike
from synapse_sync.core.manifest.convert import converted
from synapse_sync.core.manifest.gather import Gathered, Part, ReadPart
from synapse_sync.core.manifest.include import Load, no_includes
from synapse_sync.core.manifest.kinds import (
    NOTHING,
    kind_of,
    patterns_of,
    wish_of,
)
from synapse_sync.core.manifest.lines import manifest_tables
from synapse_sync.core.manifest.mistakes import Mistakes
from synapse_sync.core.manifest.remotes import read_remotes
from synapse_sync.core.manifest.roots import read_root
from synapse_sync.core.manifest.rules import read_rules
from synapse_sync.core.manifest.several import check_versions, known_variants, variants_of
from synapse_sync.core.manifest.shape import (
    IncludedTable,
    ManifestTable,
    ModelTable,
    PolicyTable,
    RootTable,
    TargetTable,
    WorkspaceTable,
)
from synapse_sync.core.manifest.values import SIDECARS, Manifest, Requirement, Rules, Target, WorkspaceOptions
from synapse_sync.core.names import SafePath, clash_key, is_plain_name, safe_path
from synapse_sync.core.nearest import did_you_mean, nearest, suggestion
from synapse_sync.core.paths import mistake_in_path
from synapse_sync.core.reference import Reference
from synapse_sync.core.toml_error import TomlError, bare_name
from synapse_sync.errors import InvalidManifest, InvalidReference, UnsafeName, raise_all


def parse_manifest(
    text: str,
    filename: str = "synapse.toml",
    *,
    layouts: Collection[str] | None = None,
    system: str = "linux",
    environ: Mapping[str, str] | None = None,
    load: Load = no_includes,
) -> Manifest:
    """Read a manifest; raises `InvalidManifest`, or `Several` of them, that name file, line and key.

    `layouts` are the names of the layouts that exist; None accepts any name. `system` is the one that the paths are
    for, "linux", "macos" or "windows"; `environ` are the variables that a root may name. `load`
    returns the texts of included manifests, and raises `InputError`.
    """
    data = read_tables(text, filename)
    return _Reader(text, filename, layouts, system, environ or {}).manifest(data, load)


def read_tables(text: str, filename: str) -> Mapping[str, Any]:
    """The tables of a manifest, which nobody may change; raises `InvalidManifest`."""
    try:
        return manifest_tables(text)
    except TomlError as error:
        raise InvalidManifest(error.in_file(filename), hint=error.hint) from error


#: The keys with names that a manifest chooses for files and folders.
_VISIBLE = frozenset({"filename", "folder", "folders", "subfolder"})


class _Reader:
    """Reads one manifest and collects all mistakes."""

    def __init__(
        self, text: str, filename: str, layouts: Collection[str] | None, system: str, environ: Mapping[str, str]
    ) -> None:
        self._layouts = layouts
        self._system = system
        self._environ = environ
        self._mistakes = Mistakes(text, filename)

    def manifest(self, data: Mapping[str, Any], load: Load) -> Manifest:
        """The manifest; raises all mistakes together."""
        self._mistakes.known_keys((), data, ManifestTable)
        workspace = self._workspace(self._as_table((), data, "workspace"))
        targets = self._targets(self._as_table((), data, "targets"))
        models = self._models(self._as_table((), data, "models"), workspace, targets)
        names = [model.name for model in models]
        found = Gathered(load, self._part(workspace, targets), names, self._mistakes)
        found.gather(self._lines(data))
        models += tuple(found.models)
        rules = self._rules(self._as_table((), data, "policy"), models)
        raise_all(self._mistakes.errors)
        return Manifest(
            workspace=workspace,
            targets=targets,
            models=models,
            rules=rules,
            included=tuple(found.paths),
            pinned=tuple(found.digests),
        )

    def _lines(self, data: Mapping[str, Any]) -> list[str]:
        """The lines of `include`."""
        lines = data.get("include", [])
        if isinstance(lines, list) and all(isinstance(line, str) for line in lines):
            return lines
        self._mistakes.bad(("include",), "expected a list of strings", 'like `["./shared.toml"]`')
        return []

    def _part(self, workspace: WorkspaceOptions, targets: tuple[Target, ...]) -> ReadPart:
        """The reader of included manifests, which have the defaults and the targets of this one."""

        def read(text: str, name: str) -> Part:
            data = read_tables(text, name)
            reader = _Reader(text, name, self._layouts, self._system, self._environ)
            reader._mistakes.known_keys((), data, IncludedTable)
            tables = reader._as_table((), data, "models")
            models = reader._models(tables, workspace, targets)
            return Part(models, reader._lines(data), tables, reader._mistakes)

        return read

    def _as_table(self, path: tuple[str, ...], data: Mapping[str, Any], key: str) -> dict[str, Any]:
        value = data.get(key, {})
        if isinstance(value, dict):
            return value
        self._mistakes.bad(
            (*path, key), f"expected a table, got {kind_of(value)}", f"write `[{'.'.join((*path, key))}]`"
        )
        return {}

    # -- tables ------------------------------------------------------------------------------------

    def _workspace(self, table: dict[str, Any]) -> WorkspaceOptions:
        path = ("workspace",)
        raw: WorkspaceTable | None = converted(path, table, WorkspaceTable, self._mistakes)
        if raw is None:
            return WorkspaceOptions()
        digests = [digest.lower() for digest in raw.allow_dangerous]
        for digest in digests:
            if not is_sha256(digest):
                self._mistakes.bad((*path, "allow-dangerous"), "expected SHA-256 digests of 64 hexadecimal digits")
        return WorkspaceOptions(
            name=raw.name,
            previews=self._previews(path, raw.previews),
            prefer=wish_of(raw.prefer),
            allow_pickle=raw.allow_pickle,
            exclude_newer=self._instant(path, raw.exclude_newer),
            preview_rating=raw.preview_rating,
            preview_width=raw.preview_width,
            preview_quality=raw.preview_quality,
            sidecars=self._sidecars(path, raw.sidecars) or False,
            allow_dangerous=frozenset(digests),
            reproducible=raw.reproducible,
            remotes=read_remotes((*path, "remote"), raw.remote, self._mistakes),
        )

    def _rules(self, table: dict[str, Any], models: Sequence[Requirement]) -> Rules:
        raw: PolicyTable | None = converted(("policy",), table, PolicyTable, self._mistakes)
        return Rules() if raw is None else read_rules(raw, [model.name for model in models], self._mistakes)

    def _targets(self, tables: dict[str, Any]) -> tuple[Target, ...]:
        found: list[Target] = []
        for name, table in tables.items():
            path = ("targets", name)
            self._name(path, name)
            if not isinstance(table, dict):
                self._mistakes.bad(
                    path,
                    f"expected a table, got {kind_of(table)}",
                    f'write `[targets.{name}]`, then `layout = "…"`',
                )
                continue
            raw: TargetTable | None = None
            if not self._mistakes.dot_in_name(path, table, TargetTable):
                raw = converted(path, table, TargetTable, self._mistakes)
            if raw is None:
                found.append(Target(name=name))
                continue
            root = read_root((*path, "root"), raw.root, self._system, self._environ, self._mistakes)
            if self._layouts is not None and raw.layout not in self._layouts:
                hint = suggestion(raw.layout, self._layouts, what="layouts")
                self._mistakes.bad((*path, "layout"), f"unknown layout `{raw.layout}`", hint)
            groups = None if raw.groups is None else tuple(raw.groups)
            for key, words in (("types", raw.types or ()), ("exclude-types", raw.exclude_types)):
                self._model_types((*path, key), words)
            found.append(
                Target(
                    name=name,
                    layout=raw.layout,
                    root=root,
                    variable=raw.root.env if isinstance(raw.root, RootTable) else None,
                    groups=groups,
                    link_mode=raw.link_mode,
                    sidecars=self._sidecars(path, raw.sidecars),
                    folders=self._folders((*path, "folders"), raw.folders),
                    types=None if raw.types is None else tuple(raw.types),
                    exclude_types=tuple(raw.exclude_types),
                )
            )
        return tuple(found) or (Target(name="default"),)

    def _models(
        self, tables: dict[str, Any], workspace: WorkspaceOptions, targets: tuple[Target, ...]
    ) -> tuple[Requirement, ...]:
        found: list[Requirement] = []
        seen: dict[str, str] = {}
        alike = Alike()
        for name, value in tables.items():
            path = ("models", name)
            self._name(path, name)
            if (other := seen.setdefault(clash_key(name), name)) != name:
                self._mistakes.bad(
                    path, f"the same name as `{other}`, apart from case", "give one of them another name"
                )
            if (model := alike.made(name, value)) is None:
                before = len(self._mistakes.errors)
                model = self._read_model(path, name, value, workspace, targets)
                if model is not None and len(self._mistakes.errors) == before:
                    alike.note(value, model)
            if model is not None:
                found.append(model)
        return tuple(found)

    def _read_model(
        self,
        path: tuple[str, ...],
        name: str,
        value: Any,
        workspace: WorkspaceOptions,
        targets: tuple[Target, ...],
    ) -> Requirement | None:
        """Read a model thoroughly: a reference, or a table of values."""
        if isinstance(value, str):
            return self._model(path, name, ModelTable(source=value), workspace, targets)
        if not isinstance(value, dict):
            self._mistakes.bad(
                path, f"expected a reference or a table, got {kind_of(value)}", 'like `"civitai:4384"`'
            )
            return None
        if "source" not in value and self._mistakes.dot_in_name(path, value, ModelTable):
            return None
        if not known_variants(path, value, self._mistakes):
            return None
        raw: ModelTable | None = converted(path, value, ModelTable, self._mistakes)
        return None if raw is None else self._model(path, name, raw, workspace, targets)

    def _model(
        self,
        path: tuple[str, ...],
        name: str,
        raw: ModelTable,
        workspace: WorkspaceOptions,
        targets: tuple[Target, ...],
    ) -> Requirement | None:
        reference = self._reference((*path, "source"), raw.source)
        mirrors = [self._reference((*path, "mirrors"), text) for text in raw.mirrors]
        check_versions(path, raw, reference, self._mistakes)
        for target in raw.targets or ():
            self._known_target((*path, "targets"), target, targets)
        for target in raw.folder if isinstance(raw.folder, dict) else ():
            self._known_target((*path, "folder"), target, targets)
        sha256 = raw.sha256.lower().removeprefix("sha256:") if raw.sha256 is not None else None
        if sha256 is not None and not is_sha256(sha256):
            self._mistakes.bad((*path, "sha256"), "expected 64 hexadecimal digits")
        variants = [
            self._model((*path, "variants", variant), f"{name}@{variant}", table, workspace, targets)
            for variant, table in variants_of(path, raw, self._mistakes)
        ]
        if reference is None:
            return None
        return Requirement(
            name=name,
            reference=reference,
            versions=tuple(dict.fromkeys(raw.versions)),
            type=raw.type,
            wish=wish_of(raw.file),
            prefer=workspace.prefer if raw.prefer == NOTHING else wish_of(raw.prefer).over(workspace.prefer),
            include=patterns_of(raw.include),
            exclude=patterns_of(raw.exclude),
            extract=patterns_of(raw.extract),
            groups=tuple(raw.groups),
            targets=None if raw.targets is None else tuple(raw.targets),
            policy=raw.policy,
            ignore=tuple(raw.ignore),
            folder=self._safe((*path, "folder"), raw.folder, single=False) if isinstance(raw.folder, str) else None,
            folders=self._folders((*path, "folder"), raw.folder) if isinstance(raw.folder, dict) else (),
            subfolder=self._safe((*path, "subfolder"), raw.subfolder, single=False),
            filename=self._safe((*path, "filename"), raw.filename, single=True),
            flatten=raw.flatten,
            previews=self._previews(path, workspace.previews if raw.previews is None else raw.previews),
            preview_rating=raw.preview_rating or workspace.preview_rating,
            preview_width=raw.preview_width or workspace.preview_width,
            preview_quality=raw.preview_quality or workspace.preview_quality,
            cover=self._cover((*path, "cover"), raw.cover),
            sidecars=self._sidecars(path, raw.sidecars),
            mirrors=tuple(mirror for mirror in mirrors if mirror is not None),
            sha256=sha256,
            allow_pickle=workspace.allow_pickle if raw.allow_pickle is None else raw.allow_pickle,
            allow_code=raw.allow_code,
            exclude_newer=self._instant(path, raw.exclude_newer) or workspace.exclude_newer,
            optional=raw.optional,
            variants=tuple(variant for variant in variants if variant is not None),
            origin=raw.origin,
        )

    def _known_target(self, path: tuple[str, ...], name: str, targets: Sequence[Target]) -> None:
        """Report the name of a target that this manifest does not have."""
        known = [target.name for target in targets]
        if name not in known:
            self._mistakes.bad(path, f"no target `{name}`", suggestion(name, known))

    def _folders(self, path: tuple[str, ...], folders: Mapping[str, str]) -> tuple[tuple[str, SafePath], ...]:
        """Folders by type, or by target; a mistake in one is reported."""
        found = ((name, self._safe((*path, name), text, single=False)) for name, text in folders.items())
        return tuple((name, folder) for name, folder in found if folder is not None)

    def _model_types(self, path: tuple[str, ...], words: Sequence[str]) -> None:
        """Report a type that is nearly a known one: the list of types is open, so any other word is fine."""
        for word in words:
            near = type_for(word) or nearest(word, MODEL_TYPES)
            if word not in MODEL_TYPES and near is not None:
                self._mistakes.bad(path, f"unknown type `{word}`", did_you_mean(near))

    # -- values ------------------------------------------------------------------------------------

    def _name(self, path: tuple[str, ...], name: str) -> None:
        if is_plain_name(name):
            return
        if not name:
            self._mistakes.bad(path, "the name is empty", 'write a name of your own instead of `""`')
            return
        if "@" in name or "/" in name or any(char.isspace() for char in name) or name.startswith("-"):
            hint = f"write `{bare_name(name)}`"
            self._mistakes.bad(path, "a name must not contain `@`, `/` or spaces, nor begin with `-`", hint)
            return
        self._safe(path, name, single=True)

    def _safe(self, path: tuple[str, ...], text: str | None, *, single: bool) -> SafePath | None:
        if text is None:
            return None
        if not single and text:
            mistake = mistake_in_path(text, windows=False)
            if mistake is None and text.startswith("~"):
                above = "the folder of its type" if path[-1] == "subfolder" else "the target's root"
                mistake = f"it is below {above}, not in your home directory", "write a folder's name"
            if mistake is not None:
                self._mistakes.bad(path, f"`{text}`: {mistake[0]}", mistake[1])
                return None
        try:
            safe = safe_path(text if single else text.rstrip("/"))
        except UnsafeName as error:
            self._mistakes.bad(path, error.message)
            return None
        if single and len(safe.parts) > 1:
            self._mistakes.bad(path, "expected a name without directories", "directories go into `subfolder`")
        if not _VISIBLE.isdisjoint(path[2:]) and any(part.startswith(".") for part in safe.parts):
            # Programs run hidden files of a home directory at their start, and people do not see them.
            self._mistakes.bad(path, f"`{text}`: a name must not begin with a dot", "choose a visible name")
        return safe

    def _reference(self, path: tuple[str, ...], text: str) -> Reference | None:
        try:
            return Reference.parse(text)
        except InvalidReference as error:
            self._mistakes.bad(path, error.message, error.hint)
            return None

    def _cover(self, path: tuple[str, ...], text: str | None) -> Reference | None:
        """The address of an image: it goes into the lockfile as it is."""
        reference = None if text is None else self._reference(path, text)
        if reference is not None and reference.source in ("civitai", "hash"):
            self._mistakes.bad(path, "expected the address of an image", 'like `"https://example.org/cover.png"`')
        return None if text is None or reference is None else Reference.verbatim(text)

    def _sidecars(self, path: tuple[str, ...], value: bool | list[str] | None) -> bool | tuple[str, ...] | None:
        """The wanted sidecars: all that the UI reads, none, or the named ones."""
        if value is None or isinstance(value, bool):
            return value
        for name in value:
            if name not in SIDECARS:
                self._mistakes.choice((*path, "sidecars"), name, SIDECARS)
        return tuple(dict.fromkeys(value))

    def _previews(self, path: tuple[str, ...], value: bool | int) -> bool | int:
        if not isinstance(value, bool) and not 0 <= value <= 100:
            self._mistakes.bad((*path, "previews"), "expected true, false or a whole number from 0 to 100")
            return True
        return value

    def _instant(self, path: tuple[str, ...], value: str | None) -> datetime.datetime | None:
        """A day (with all its hours) or a time, in UTC."""
        if value is None:
            return None
        try:
            return parse_cutoff(value)
        except ValueError as error:
            self._mistakes.bad((*path, "exclude-newer"), str(error))
            return None
