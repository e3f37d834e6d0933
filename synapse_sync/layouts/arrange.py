"""Give every locked artifact its path in every target that wants it. Pure."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import NamedTuple

from synapse_sync.core.artifact import (
    MODEL_TYPES,
    ONCE_OTHER,
    WEIGHT_FORMATS,
    Artifact,
    format_of,
    has_ending,
    stem_of,
    type_for,
)
from synapse_sync.core.findings import listed
from synapse_sync.core.frozen import dataclass, maker
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.manifest.values import Requirement, Target
from synapse_sync.core.names import SafePath, clash_key, visible_name
from synapse_sync.core.nearest import did_you_mean, nearest, suggestion
from synapse_sync.core.plan import Placement
from synapse_sync.errors import InputError, InvalidManifest, MissingType, NameClash, SynapseError, raise_all
from synapse_sync.layouts import LAYOUTS, Layout
from synapse_sync.layouts.hub_cache import cached

#: How many models a note names.
_KEEPS = "keeps only files of repositories at a commit"


class _Home(NamedTuple):
    """The folder of a target for models that are alike; `kind` is the type to which the folder belongs."""

    target: Target
    layout: Layout
    kind: str
    folder: str


#: It takes the fields of a placement by their places.
_make_placement = maker(Placement)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrangement:
    """Every wanted path, and notes about models that a UI has no folder for, or will not list."""

    placements: tuple[Placement, ...]
    notes: tuple[str, ...] = ()


def layout_of(target: Target) -> Layout:
    """The layout of a target; raises `InvalidManifest`, with the nearest known name as hint."""
    if target.layout in LAYOUTS:
        return LAYOUTS[target.layout]
    raise InvalidManifest(
        f"synapse.toml: targets.{target.name}.layout: unknown layout `{target.layout}`",
        hint=suggestion(target.layout, LAYOUTS, what="layouts"),
    )


def arrange(
    entries: Sequence[Requirement], locked: Mapping[str, LockedModel], targets: Sequence[Target]
) -> Arrangement:
    """Give every artifact of every locked entry its path in each target that wants it.

    Requirements without a pin are skipped. Raises `InputError` (or `Several`) for a model without a type, and for a
    target without a folder for it. Raises `NameClash` for two models that want one path.
    """
    placements: list[Placement] = []
    notes: list[str] = []
    outside: dict[str, list[str]] = {}
    errors: list[SynapseError] = []
    layouts = {target.name: layout_of(target) for target in targets}
    homes: dict[Hashable, list[_Home]] = {}
    for entry in entries:
        model = locked.get(entry.name)
        if model is None:
            continue
        try:
            found, missing = _arrange_one(entry, model, targets, layouts, outside, homes)
        except SynapseError as error:
            errors.append(error.of(entry.name))
            continue
        placements += found
        notes += missing
    merged = _merge(placements, errors)
    raise_all(errors)
    notes += (_not_cached(names, layouts[target].title, target) for target, names in outside.items())
    return Arrangement(placements=merged, notes=tuple(notes))


def _not_cached(names: Sequence[str], title: str, target: str) -> str:
    """The note about all models that a cache of repositories has no place for; `title` is that of its layout."""
    return (
        f"{listed(names)}: {title} {_KEEPS}; not placed in target `{target}`\n"
        "`targets` or `groups` of a model, and `types` of the target, choose what it is to have"
    )


def _wants(target: Target, entry: Requirement) -> bool:
    if entry.targets is not None and target.name not in entry.targets:
        return False
    return target.groups is None or bool(set(target.groups) & set(entry.groups))


def folders_differ(entry: Requirement, targets: Sequence[Target], kinds: Sequence[str]) -> bool:
    """Whether a target that wants a model would keep these types of it in different folders, or not all of them."""
    try:
        layouts = {target.name: layout_of(target) for target in targets if _wants(target, entry)}
    except InvalidManifest:
        return False  # reported where files are placed
    for target in targets:
        if target.name not in layouts or layouts[target.name].repositories:
            continue
        found = {kind: _folder(entry, target, (kind,), layouts) for kind in kinds if target.wants_type(kind)}
        if 0 < len(found) < len(kinds) or len({place and place[1] for place in found.values()}) > 1:
            return True
    return False


def kind_of(entry: Requirement, model: LockedModel, artifact: Artifact) -> str | None:
    """The type of a file: the manifest's word, else that of the file itself, else its model's; None if unknown.

    A Civitai checkpoint may be the diffusion model alone, and so is every GGUF that is called a checkpoint.
    """
    if entry.type is not None or not model.is_alone:
        kind = entry.type or model.card.type
    elif artifact.role in MODEL_TYPES:
        kind = artifact.role
    elif model.card.type == "checkpoint" and artifact.format == "gguf":
        kind = "diffusion_model"
    else:
        kind = model.card.type
    return _ultralytics(artifact.filename) if kind == "detection" and artifact.format == "pickle" else kind


def _ultralytics(filename: str) -> str:
    """The type of a pickled detection model: Ultralytics names those that make masks `yolov8n-seg.pt`."""
    words = re.split(r"[^a-z0-9]+", stem_of(filename.rpartition("/")[2]).casefold())
    return "ultralytics_segm" if {"seg", "segm"} & set(words) else "ultralytics_bbox"


def _arrange_one(
    entry: Requirement,
    model: LockedModel,
    targets: Sequence[Target],
    layouts: Mapping[str, Layout],
    outside: dict[str, list[str]],
    homes: dict[Hashable, list[_Home]],
) -> tuple[list[Placement], list[str]]:
    """The placements of one model, and notes.

    `outside` receives its name by targets that are caches without it, `homes` its homes for all models like it.
    """
    kind = kind_of(entry, model, model.artifacts[0])
    alike = (kind, model.card.type, entry.type, entry.groups, entry.targets, entry.folder, entry.folders)
    if (known := homes.get(alike)) is not None:  # nearly always
        return _in_homes(known, entry, model)
    named = [target for target in targets if _wants(target, entry)]
    wanting = [target for target in named if target.wants_type(kind)]
    if named and not wanting:
        return [], [f"`{entry.name}`: no target of this model accepts type `{kind}`; not placed"]
    typed = [target for target in wanting if not layouts[target.name].repositories]
    if kind is None and any(_folder(entry, target, ("other",), layouts) is None for target in typed):
        raise _untyped(entry, model)
    placements: list[Placement] = []
    found: list[_Home] = []
    apart: list[Target] = []
    missing: list[str] = []
    notes: list[str] = []
    for target in wanting:
        layout = layouts[target.name]
        if layout.repositories:
            cache = _in_cache(entry, model, target)
            placements += cache
            if not cache:
                apart.append(target)
            continue
        # A UI without a folder for the file's own type has one for its model's, which is better than none.
        kinds = (kind or "other", model.card.type) if entry.type is None else (kind or entry.type,)
        kinds = (*kinds, "other") if kind in ONCE_OTHER else kinds
        place = _folder(entry, target, kinds, layouts)
        if place is None:
            missing.append(f"`{entry.name}`: {layout.title} has no folder for type `{kind}`; "
                           f"not placed in target `{target.name}`")  # fmt: skip
            continue
        found.append(_Home(target, layout, *place))
        here, remarks = _in_homes(found[-1:], entry, model)
        placements += here
        notes += remarks
    if (apart or missing) and (not placements or entry.targets is not None):
        raise _homeless(entry, kind, apart, missing, wanting, layouts)
    for target in apart:
        outside.setdefault(target.name, []).append(entry.name)
    if len(found) == len(wanting):
        homes[alike] = found
    return placements, missing + notes


def _untyped(entry: Requirement, model: LockedModel) -> MissingType:
    """The error for a model whose type nobody named, so that it has no folder."""
    archive = all(artifact.format == "archive" for artifact in model.artifacts)
    extract = '`extract = ["*.safetensors"]` places the files in it; or '
    return MissingType(
        f"`{entry.name}`: neither the site nor the file says which type of model this is",
        hint=(extract if archive else "") + 'add for example `type = "lora"` to the model in synapse.toml',
        archive=archive,
    )


def _in_homes(homes: Sequence[_Home], entry: Requirement, model: LockedModel) -> tuple[list[Placement], list[str]]:
    """The placements of a model in its homes, and notes about the names of its files."""
    placements: list[Placement] = []
    notes: list[str] = []
    alone, several = model.is_alone, len(model.artifacts) > 1
    for target, layout, kind, folder in homes:
        for artifact in model.artifacts:
            path = _path(folder, entry, artifact, layout, several=several, alone=alone)
            placements.append(_make_placement(target.name, path, entry.name, artifact, target.link_mode))
        plain = entry.filename is None and path.name == model.artifacts[0].filename
        if alone and not (plain and layout.lists(kind, path.name)):  # nearly never
            notes += _name_notes(entry, model.artifacts[0], path, kind, layout)
    return placements, notes


def _in_cache(entry: Requirement, model: LockedModel, target: Target) -> list[Placement]:
    """The placements of a model in a cache of the hub; none if it is no repository of it."""
    return [
        place
        for artifact in model.artifacts
        for place in cached(target.name, entry.name, artifact, target.link_mode, links=target.links)
    ]


def _homeless(
    entry: Requirement,
    kind: str | None,
    apart: Sequence[Target],
    missing: Sequence[str],
    wanting: Sequence[Target],
    layouts: Mapping[str, Layout],
) -> InputError:
    """The error for a model without any place, or without one in a target that it names."""
    lines = [
        f"`{entry.name}`: {layouts[target.name].title} {_KEEPS}; not placed in target `{target.name}`"
        for target in apart
    ]
    return InputError([*lines, *missing][0], hint=_type_hint(kind or "", wanting, layouts))


def _name_notes(entry: Requirement, artifact: Artifact, path: SafePath, kind: str, layout: Layout) -> Iterator[str]:
    """Notes about a name that differs from the manifest's, and about one that the UI does not list."""
    given = artifact.filename.rpartition("/")[2] if entry.filename is None else entry.filename.name
    if path.name != given and path.name.startswith(f"{given}."):
        yield f"`{entry.name}`: `{given}` has no ending that a UI knows; placed as `{path.name}`"
    from synapse_sync.core.policy import facts_of, remark  # with the readers of all formats

    if layout.lists(kind, path.name) or remark(facts_of(artifact, entry.name, path.text)) is not None:
        return
    if format_of(path.name) == "archive":
        yield (
            f"`{entry.name}`: {layout.title} does not open archives such as `{path}`; "
            'write `extract = ["*.safetensors"]` to place the files in it'
        )
        return
    endings = ", ".join(f"`.{ending}`" for ending in layout.endings[kind])
    yield (
        f"`{entry.name}`: {layout.title} does not list `{path}`; the endings of its `{kind}` files are {endings}. "
        'If it is one of these, give it a `filename = "…"`'
    )


def _folder(
    entry: Requirement, target: Target, kinds: Sequence[str | None], layouts: Mapping[str, Layout]
) -> tuple[str, str] | None:
    """The first type with a folder in a target, and that folder; None if the target has none.

    The model's own folder goes before the target's, and that before the layout's.
    """
    own = entry.folder_in(target.name)
    if own is not None:
        return kinds[0] or "other", own.text
    for kind in kinds:
        if kind is None:
            continue
        named = target.folder(kind)
        folder = named.text if named is not None else layouts[target.name].folder(kind)
        if folder is not None:
            return kind, folder
    return None


def _type_hint(kind: str, targets: Sequence[Target], layouts: Mapping[str, Layout]) -> str:
    known = sorted({name for target in targets for name in (*layouts[target.name].folders, *dict(target.folders))})
    usual = type_for(kind)
    if near := usual if usual in known else nearest(kind, known):
        return did_you_mean(near)
    key = kind if re.fullmatch(r"[A-Za-z0-9_-]+", kind) else f'"{kind}"'
    line = f'`{key} = "models/{kind}"` below `[targets.{targets[0].name}.folders]`'
    return f"name its folder: write {line}, or give the model a `folder`"


def _path(
    folder: str, entry: Requirement, artifact: Artifact, layout: Layout, *, several: bool, alone: bool
) -> SafePath:
    """Folder of the type, subfolder, name.

    A model of `several` files keeps its tree below a directory of its own, unless it is to be flattened. Only a
    file that was always `alone` has none. If it is of weights, and without an ending that UIs know, it gets one.
    """
    if entry.filename is not None and several:
        raise InputError(f"`{entry.name}`: `filename` is given, but this model has several files",
                         hint="use `subfolder`, or `include` to choose one file")  # fmt: skip
    name = artifact.filename
    if entry.filename is not None:
        name = entry.filename.text
    elif alone or entry.flatten:
        # UIs pass over hidden files; a tree of its own keeps its names
        name = visible_name(name.rpartition("/")[2])
    else:
        name = f"{entry.name}/{name}"
    if alone and layout.endings and format_of(name) == "other" and (ending := _ending_of(artifact)):
        # The user's own file may be anything, whatever it is called: an ending that they chose is meant.
        chosen = entry.filename is not None and artifact.url.source == "path" and has_ending(name)
        name = name if chosen else f"{name}.{ending}"
    if entry.subfolder is not None:
        name = f"{entry.subfolder}/{name}"
    return SafePath(f"{folder}/{name}" if folder else name)  # once, for all parts: every path passes here


def _ending_of(artifact: Artifact) -> str | None:
    """The ending of a file of weights: its own, else the one of its format; None for other files."""
    if artifact.format not in WEIGHT_FORMATS:
        return None
    if format_of(artifact.filename) in WEIGHT_FORMATS:
        return artifact.filename.rpartition(".")[2]
    return artifact.format if artifact.format != "pickle" else None  # a pickle may have any of six


def _merge(placements: Sequence[Placement], errors: list[SynapseError]) -> tuple[Placement, ...]:
    """One placement for each path. Paths of two models must differ by more than case or Unicode form."""
    by_path: dict[tuple[str, str], Placement] = {}
    for placement in placements:
        key = (placement.target, clash_key(placement.path.text))
        other = by_path.setdefault(key, placement)
        if other is placement:  # nearly always
            continue
        if other.artifact.sha256 != placement.artifact.sha256 or other.path != placement.path:
            hint = 'give one of them another `filename = "…"` or `subfolder = "…"`'
            if other.model == placement.model:
                hint = "leave one of its files out with `exclude`, or keep the folders: remove `flatten`"
            errors.append(
                NameClash(
                    f"`{other.model}` and `{placement.model}` both want `{placement.path}` "
                    f"in target `{placement.target}`",
                    hint=hint,
                    subject=placement.model,
                )
            )
    folders = {(target, path.rpartition("/")[0]) for target, path in by_path}  # many files share one
    above = {(target, parent) for target, folder in folders for parent in (*_parents(folder), folder)}
    for (target, path), placement in by_path.items() if above & by_path.keys() else ():
        for parent in _parents(path):
            if (blocking := by_path.get((target, parent))) is not None:
                errors.append(
                    NameClash(
                        f"`{blocking.model}` wants the file `{blocking.path}` "
                        f"where `{placement.model}` needs a directory",
                        hint='give one of them another `filename = "…"` or `subfolder = "…"`',
                        subject=placement.model,
                    )
                )
    return tuple(by_path.values())


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]
