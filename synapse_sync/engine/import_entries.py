"""Import, what: an entry of the manifest and a locked model for each file, that lead to where it is."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from itertools import count
from pathlib import Path
from typing import NoReturn

from synapse_sync.core.artifact import Artifact, Candidate, ModelCard
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.lockfile import LockedModel, Lockfile
from synapse_sync.core.manifest.edit import add_models
from synapse_sync.core.manifest.values import FileWish, Manifest, Requirement, Target
from synapse_sync.core.names import SafePath, clash_key, safe_filename, slug
from synapse_sync.core.plan import Placement
from synapse_sync.core.reference import Reference
from synapse_sync.core.selection import select
from synapse_sync.core.weights.agreement import base_of
from synapse_sync.engine.choose import Chosen, check_policy
from synapse_sync.engine.declared_bytes import DeclaredBytes
from synapse_sync.engine.find_files import FoundFile, Left
from synapse_sync.engine.import_places import path_text
from synapse_sync.engine.origins import Origin
from synapse_sync.engine.pin import pin
from synapse_sync.engine.tools import Tools
from synapse_sync.errors import Several, SynapseError
from synapse_sync.layouts.adopt import keys_at, kinds_at
from synapse_sync.layouts.arrange import arrange, kind_of
from synapse_sync.project import Project
from synapse_sync.sources.base import Resolved
from synapse_sync.store.roots import root_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """One file that the project manages from now on; `origin` is None for a file of this machine only."""

    name: str
    file: FoundFile
    value: str | dict[str, object]
    type: str | None
    origin: Reference | None
    title: str | None = None


@dataclass(slots=True)
class Drafts:
    """The entries so far: a name and a value for each, and the files that they are about."""

    taken: set[str]
    values: dict[str, dict[str, object]] = field(default_factory=dict)
    files: dict[str, list[FoundFile]] = field(default_factory=dict)
    origins: dict[str, Origin | None] = field(default_factory=dict)
    by_file: dict[tuple[str, str], str] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)

    def put(
        self, file: FoundFile, value: dict[str, object], origin: Origin | None, *, several: bool, name: str | None
    ) -> None:
        """Add an entry for a file, or its target to the entry that has the same file in another target."""
        key = (file.sha256, repr(sorted(value.items(), key=lambda item: item[0])))
        same = self.by_file.get(key)
        if same is not None and file.target not in {other.target for other in self.files[same]}:
            self.files[same].append(file)
            self.values[same]["targets"] = [each.target for each in self.files[same]]
            return
        name = name or self._name(file, origin)
        self.by_file.setdefault(key, name)
        self.values[name] = {**value, **({"targets": [file.target]} if several else {})}
        self.files[name], self.origins[name] = [file], origin

    def _name(self, file: FoundFile, origin: Origin | None) -> str:
        card = None if origin is None else origin.resolved.card
        names = [name_of(file.path) if card is None or not card.title else slug(card.title.rpartition("/")[2])]
        if card is not None and card.version_name and file.sha256 not in self.named:
            names.append(f"{names[0]}-{slug(card.version_name)}")
        self.named.add(file.sha256)
        name = next((n for n in names if n not in self.taken), None)
        name = name or next(n for i in count(2) if (n := f"{names[0]}-{i}") not in self.taken)
        self.taken.add(name)
        return name


#: Names that say nothing: those by which libraries save whatever it is, and the pieces of a larger file.
_SAYS_NOTHING = re.compile(
    r"(?:open-|pytorch-|tf-|flax-)?(?:model|diffusion-pytorch-model|adapter-model|lora-weights|weights|checkpoint)"
    r"(?:-fp16|-fp32|-bf16|-non-ema)?(?P<piece>-\d{5}-of-\d{5})?"
)
#: The directories of a diffusers model, which say little themselves.
_PARTS = re.compile(r"(unet|vae|transformer|text-encoder|image-encoder|prior|decoder|safety-checker)(-\d)?")
_LONGEST = 48


def name_of(path: SafePath) -> str:
    """A name for the file at a path: its own, or that of its directory where its own says nothing.

    Letters of all scripts are kept where a name has no others: a manifest has them in quotes.
    """
    stem = path.name.rpartition(".")[0]
    name, piece = slug(stem), ""
    if name == "model" and not stem.isascii():
        words = re.sub(r"[\W_]+", "-", unicodedata.normalize("NFC", stem).lower()).strip("-")
        return words[:_LONGEST].strip("-") or name
    if (match := _SAYS_NOTHING.fullmatch(name)) is None or len(path.parts) < 2:
        return name
    piece = match["piece"] or ""
    above = [slug(part) for part in path.parts[-3:-1]]
    home = "-".join(above if _PARTS.fullmatch(above[-1]) else above[-1:])
    return f"{home[: _LONGEST - len(piece)].strip('-')}{piece}"


def _shortest(value: dict[str, object]) -> str | dict[str, object]:
    """A value of the manifest in its short form, if a reference is all that it says."""
    return str(value["source"]) if value.keys() == {"source"} else value


def declare_all(
    text: str,
    manifest: Manifest,
    files: Sequence[FoundFile],
    origins: Mapping[str, Origin],
    project: Project,
    tools: Tools,
    *,
    name: str | None = None,
    more: Mapping[str, object] | None = None,
) -> tuple[str, Manifest, list[Adopted], Lockfile, list[Left]]:
    """The manifest with an entry for each file, the entries, the lockfile, and the files that no entry can name.

    `text` and `manifest` are the manifest so far; it is returned likewise.
    """
    if not files:
        return text, manifest, [], project.lockfile, []
    wanted = _wanted_paths(manifest, project)
    roots = {target.name: root_of(target.root, project.directory) for target in manifest.targets}
    declared = DeclaredBytes(wanted.values(), roots)
    left: list[Left] = []
    again: list[Adopted] = []
    drafts = Drafts({model.name for model in manifest.models})
    targets = {target.name: target for target in manifest.targets}
    versions = Counter(str(origin.reference.floating()) for origin in origins.values())
    for file in files:
        if (known := wanted.get((file.target, clash_key(file.path.text)))) is not None:
            if known.artifact.sha256 == file.sha256:
                again.append(Adopted(name=known.model, file=file, value="", type=None, origin=None))
            else:
                left.append(Left(place=file.place, why=f"`{known.model}` has other bytes at this path"))
            continue
        if (moved := declared.moved(file.target, file.sha256)) is not None:
            left.append(Left(place=file.place, why=moved))
            continue
        origin = origins.get(file.sha256)
        try:
            said = dict(more or {})
            value = _value(
                file,
                origin,
                targets[file.target],
                project,
                alone=lambda key: versions[key] == 1,
                said=said.pop("type", None),
            )
            value |= said
        except ValueError as error:
            left.append(Left(place=file.place, why=str(error)))
            continue
        drafts.put(file, value, origin, several=len(targets) > 1, name=name)
    text, manifest, locked, refused = _without_refused(text, drafts, project, tools)
    return text, manifest, [*again, *_adopted(drafts, locked)], locked, [*left, *refused]


def _without_refused(
    text: str, drafts: Drafts, project: Project, tools: Tools
) -> tuple[str, Manifest, Lockfile, list[Left]]:
    """The manifest and the lockfile with all drafts that can be, and the files of the others, which are dropped."""
    left: list[Left] = []
    while True:
        entries = sorted((clash_key(key), key, _shortest(value)) for key, value in drafts.values.items())
        added = add_models(text, [entry[1:] for entry in entries]) if entries else text
        manifest = project.as_manifest(added)
        refused, locked = _locked(manifest, drafts, project, tools)
        if not refused:
            return added, manifest, locked, left
        for name, why in refused.items():
            left += [Left(place=file.place, why=why) for file in drafts.files[name]]
            del drafts.values[name], drafts.files[name], drafts.origins[name]


def _adopted(drafts: Drafts, locked: Lockfile) -> Iterator[Adopted]:
    """One answer for each file of the drafts."""
    models = {model.name: model for model in locked.models}
    for name, files in drafts.files.items():
        card, origin = models[name].card, drafts.origins[name]
        for file in files:
            yield Adopted(
                name=name,
                file=file,
                value=drafts.values[name],
                type=card.type,
                origin=None if origin is None else origin.resolved.reference,
                title=card.title,
            )


def _wanted_paths(manifest: Manifest, project: Project) -> dict[tuple[str, str], Placement]:
    """The placements that the two files have already, by target and by the path as any file system compares it."""
    locked = {model.name: model for model in project.lockfile.models}
    found = arrange(manifest.here(), locked, manifest.targets).placements
    return {(each.target, clash_key(each.path.text)): each for each in found}


def _value(
    file: FoundFile,
    origin: Origin | None,
    target: Target,
    project: Project,
    *,
    alone: Callable[[str], bool],
    said: object = None,
) -> dict[str, object]:
    """The manifest's value for a file where it is; raises `ValueError` for a path that no entry leads to.

    `alone` says whether a model, by its reference, is there in one version only: then it follows its site. `said`
    is the user's own word for its type.
    """
    kinds = kinds_at(file.path, target) if said is None else (str(said),)
    seen = file.weights.type
    kind = seen if seen in kinds or (seen is not None and not kinds) else kinds[0] if kinds else "other"
    value: dict[str, object] = {}
    if origin is None:
        value["source"] = _source_text(file.place, project)
        filename, own = safe_filename(file.place.name), None
    else:
        value |= origin_value(origin, follows=alone(str(origin.reference.floating())))
        filename = origin.candidate.filename.rpartition("/")[2]
        own = _own_kind(origin)
        if own is not None and (own in kinds or not kinds):
            kind = own
    if own != kind:
        value["type"] = kind
    value |= dict(keys_at(file.path, kind, filename, target))
    if file.format == "pickle":
        value["allow-pickle"] = True
    return value


def origin_value(origin: Origin, *, follows: bool) -> dict[str, object]:
    """The keys that name a file at its site; it `follows` the site's versions, or stays at its own."""
    reference = origin.reference
    model = reference.floating()
    value: dict[str, object] = {"source": str(model if follows and model.id else reference)}
    if not _is_chosen(origin):
        number = origin.candidate.file_id or ""
        value["file"] = {"id": int(number)} if number.isdigit() else {"name": origin.candidate.filename}
    return value


def _own_kind(origin: Origin) -> str | None:
    """The type that an entry without `type` would have."""
    card, file = origin.resolved.card, origin.candidate
    locked = LockedModel(
        name="",
        requirement="",
        reference=origin.resolved.reference,
        card=card,
        artifacts=(_artifact(file),),
    )
    return kind_of(Requirement(name="", reference=origin.resolved.reference), locked, locked.artifacts[0])


def _artifact(file: Candidate) -> Artifact:
    return Artifact(
        filename=file.filename, size=file.size or 0, sha256=file.sha256 or "", url=file.url, format=file.format,
        role=file.role,
    )  # fmt: skip


def _is_chosen(origin: Origin) -> bool:
    """Whether a lock without any wish chooses this very file of the version."""
    if origin.resolved.take_all or origin.reference.file is not None:
        return True
    try:
        return select(origin.resolved.candidates, FileWish(), FileWish(), subject="").url == origin.candidate.url
    except SynapseError:
        return False


def _source_text(place: Path, project: Project) -> str:
    text = path_text(place, project)
    return text if text.startswith(("~", "/")) else f"./{text}"


# -- locking -------------------------------------------------------------------------------------------


def _locked(manifest: Manifest, drafts: Drafts, project: Project, tools: Tools) -> tuple[dict[str, str], Lockfile]:
    """The names of entries that cannot be, with reasons, and the lockfile with all others."""
    options = replace(manifest.workspace, forbidden=tools.forbidden)
    entries = {entry.name: entry for entry in manifest.entries()}
    refused: dict[str, str] = {}
    chosen: list[Chosen] = []
    for name in drafts.values:
        item = _chosen(entries[name], drafts.files[name][0], drafts.origins[name])
        try:
            check_policy(item.entry, item.candidates[0], options)
        except SynapseError as error:
            refused[name] = error.message.removeprefix(f"`{name}`: ")
            continue
        chosen.append(item)
    before = {model.name: model for model in project.lockfile.models}
    pinned, _ = pin(chosen, {}, frozenset(), options, never, never, never)
    pinned = {name: model if drafts.origins[name] else _first_seen(model) for name, model in pinned.items()}
    models = {**before, **pinned}
    refused |= _misplaced(manifest, models, drafts)
    return refused, replace(project.lockfile, models=tuple(models[name] for name in sorted(models)))


def _first_seen(model: LockedModel) -> LockedModel:
    """The model of a file that no site knows, locked as any later lock of that file would: nobody promises it."""
    return replace(model, artifacts=tuple(replace(each, trust="first-use") for each in model.artifacts))


def _chosen(entry: Requirement, file: FoundFile, origin: Origin | None) -> Chosen:
    if origin is not None:
        return Chosen(entry, origin.resolved, (origin.candidate,))
    candidate = Candidate(
        filename=safe_filename(file.place.name),
        url=entry.reference,
        size=file.size,
        sha256=file.sha256,
        blake3=file.blake3,
        format=file.format,
        precision=file.weights.precision,
        primary=True,
    )
    base = base_of(file.weights)
    card = ModelCard(title=candidate.filename, type=entry.type, base_model=base)
    return Chosen(
        entry, Resolved(key="", reference=entry.reference, card=card, candidates=(candidate,)), (candidate,)
    )


def never(*asked: object) -> NoReturn:
    raise AssertionError(f"a file on this machine needs no download: {asked}")


def _misplaced(manifest: Manifest, models: Mapping[str, LockedModel], drafts: Drafts) -> dict[str, str]:
    """The entries that lead to another path than that of their file, with reasons."""
    entries = [entry for entry in manifest.entries() if entry.name in models]
    try:
        placements = arrange(entries, models, manifest.targets).placements
    except SynapseError as error:
        errors = error.errors if isinstance(error, Several) else (error,)
        subjects = {each.model: each.message for each in errors}
        own = {name: why for name, why in subjects.items() if name in drafts.values}
        if not own:
            raise
        return {str(name): why for name, why in own.items()}
    where = {(each.model, each.target): each.path for each in placements}
    return {
        name: f"its entry would place it at {where.get((name, file.target), 'no path')}"
        for name, files in drafts.files.items()
        for file in files
        if where.get((name, file.target)) != file.path
    }
