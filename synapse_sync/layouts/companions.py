"""Which previews and sidecars belong beside the arranged weights, and under which names. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from synapse_sync.core.artifact import Artifact, Preview, stem_of
from synapse_sync.core.companion import FILMS, STILLS, Companion, chosen, made_from
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.manifest.values import Requirement, Target, WorkspaceOptions
from synapse_sync.core.names import SafePath, clash_key
from synapse_sync.core.plan import Placement
from synapse_sync.errors import UnsafeName
from synapse_sync.layouts import LAYOUTS
from synapse_sync.layouts.arrange import kind_of, layout_of
from synapse_sync.layouts.hub_cache import branch_notes

#: Turns the address of a preview into that of a small still, or film, of it.
PreviewUrl = Callable[..., str]
#: Finds the user's own preview beside some weights, a file that a UI would show; None if they have none.
OwnPreview = Callable[[Placement], SafePath | None]
_WEIGHTS = frozenset({"safetensors", "gguf", "pickle", "onnx", "other"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Accompaniment:
    """The wanted companions, and notes about those that cannot be placed."""

    companions: tuple[Companion, ...]
    notes: tuple[str, ...] = ()


def arrange_companions(
    entries: Sequence[Requirement],
    locked: Mapping[str, LockedModel],
    placements: Sequence[Placement],
    targets: Sequence[Target],
    workspace: WorkspaceOptions,
    *,
    preview_url: PreviewUrl,
    own_preview: OwnPreview = lambda placement: None,
) -> Accompaniment:
    """Give every placed model its previews and sidecars, as manifest, target and layout want them.

    A model with several files of weights has none, since no single file is the model. If two models want a
    companion of one name, the first one gets it; paths of weights are never used. `preview_url` turns the address
    of an image into that of a small still or film; `own_preview` finds the user's own preview beside some weights.
    """
    by_name = {entry.name: entry for entry in entries}
    by_target = {target.name: target for target in targets}
    if not _are_wanted(entries, targets, workspace):
        return Accompaniment(companions=())
    taken: dict[tuple[str, str], str | None] = {(p.target, clash_key(p.path.text)): None for p in placements}
    found: list[Companion] = []
    notes: dict[str, None] = {}
    beside_files = [p for p in placements if not LAYOUTS[by_target[p.target].layout].repositories]
    alone = list(_weights(beside_files))
    notes |= dict.fromkeys(_without_one_file(by_name, alone, beside_files))
    for placement in alone:
        entry, target = by_name[placement.model], by_target[placement.target]
        beside = _Beside(
            entry=entry,
            model=locked[entry.name],
            placement=placement,
            kinds=_kinds(entry, target, workspace),
            layout=target.layout,
            preview_url=preview_url,
            own=own_preview(placement) if entry.preview_count else None,
            notes=notes,
        )
        for companion in beside.companions():
            key = (companion.target, clash_key(companion.path.text))
            if key not in taken:
                taken[key] = companion.made
                found.append(companion)
            elif taken[key] != companion.made:
                notes[f"`{entry.name}`: `{companion.path}` belongs to another model; not placed"] = None
    for companion in _branch_notes(entries, locked, placements, by_target):
        if taken.setdefault((companion.target, clash_key(companion.path.text)), companion.made) != companion.made:
            notes[f"`{companion.model.name}`: `{companion.path}` belongs to another model; not placed"] = None
        else:
            found.append(companion)
    return Accompaniment(companions=tuple(found), notes=tuple(notes))


def _are_wanted(entries: Sequence[Requirement], targets: Sequence[Target], workspace: WorkspaceOptions) -> bool:
    """Whether any model may have a companion: in most projects none has."""
    if workspace.sidecars or any(target.sidecars or LAYOUTS[target.layout].repositories for target in targets):
        return True
    return any(entry.sidecars or entry.preview_count for entry in entries)


def _branch_notes(
    entries: Sequence[Requirement],
    locked: Mapping[str, LockedModel],
    placements: Sequence[Placement],
    targets: Mapping[str, Target],
) -> Iterator[Companion]:
    """The notes of branches in targets that are a cache of the hub."""
    if not any(LAYOUTS[target.layout].repositories for target in targets.values()):
        return
    by_model: dict[str, list[Placement]] = {}
    for placement in placements:
        if LAYOUTS[targets[placement.target].layout].repositories:
            by_model.setdefault(placement.model, []).append(placement)
    for entry in entries:
        if entry.name in by_model:
            yield from branch_notes(entry, locked[entry.name], by_model[entry.name])


def _weights(placements: Sequence[Placement]) -> Iterator[Placement]:
    """Those placements whose file is the only one with weights of its model, in its target."""
    several: dict[tuple[str, str], list[Placement]] = {}
    for placement in placements:
        if _is_weights(placement.artifact):
            several.setdefault((placement.target, placement.model), []).append(placement)
    return (group[0] for group in several.values() if len(group) == 1)


def _without_one_file(
    entries: Mapping[str, Requirement], alone: Sequence[Placement], placements: Sequence[Placement]
) -> Iterator[str]:
    """Notes about models that ask for companions themselves, and have no single file to place them beside."""
    beside = {(placement.target, placement.model) for placement in alone}
    for placement in placements:
        entry = entries[placement.model]
        if (entry.cover or entry.sidecars) and (placement.target, placement.model) not in beside:
            yield (
                f"`{entry.name}`: previews and sidecars belong beside one file of weights, and it has several; "
                "none are placed"
            )


def _is_weights(artifact: Artifact) -> bool:
    return artifact.role not in ("config", "workflow") and artifact.format in _WEIGHTS


def _kinds(entry: Requirement, target: Target, workspace: WorkspaceOptions) -> tuple[str, ...]:
    """Which sidecars: what the model says goes before what its target and the workspace say."""
    said = next((s for s in (entry.sidecars, target.sidecars) if s is not None), workspace.sidecars)
    if isinstance(said, bool):
        return layout_of(target).sidecars if said else ()
    return said


@dataclass(frozen=True, slots=True, kw_only=True)
class _Beside:
    """The weights of one model in one target, and all that decides about the files beside them."""

    entry: Requirement
    model: LockedModel
    placement: Placement
    kinds: tuple[str, ...]
    layout: str
    preview_url: PreviewUrl
    own: SafePath | None
    notes: dict[str, None]

    def companions(self) -> Iterator[Companion]:
        """The previews first: a sidecar may name the one that is shown."""
        previews = [*self._previews()]
        yield from previews
        shown = next((p for p in previews if p.shown is not None), None) if self.own is None else None
        for kind in self.kinds:
            sidecar = self._sidecar(
                kind,
                path=self.own if shown is None else shown.path,
                shown=None if shown is None else shown.shown,
            )
            if sidecar is not None:
                yield sidecar

    def _previews(self) -> Iterator[Companion]:
        entry = self.entry
        wanted = chosen(self.model.card, cover=entry.cover, rating=entry.preview_rating, count=entry.preview_count)
        for number, preview in enumerate(wanted, start=1):
            if preview.url.source != "url":
                self._note(f"its cover `{preview.url}` is not placed: only an `https://` address is downloaded")
                continue
            if number == 1 and self.own is not None:
                continue  # a UI shows one of several previews: it must go on showing the user's
            for film in self._forms(preview):
                companion = self._preview(preview, number, film=film)
                if companion is not None:
                    yield companion

    def _forms(self, preview: Preview) -> Iterator[bool]:
        """Whether a preview is placed as a film, as a still, or as both.

        LoRA-Manager alone plays films. All others look for the still, so it is there in any case.
        """
        moving = preview.type == "video" or _ending(preview.url.text) in FILMS
        if moving and "lora-manager" in self.kinds:
            yield True
        if _ending(self.preview_url(preview.url.text, film=False)) not in FILMS:
            yield False
        elif "lora-manager" not in self.kinds:
            self._note("a film is its preview, and its host has no still of it; not placed")

    def _preview(self, preview: Preview, number: int, *, film: bool) -> Companion | None:
        sizes = {"width": self.entry.preview_width, "quality": self.entry.preview_quality}
        asked = {name: number for name, number in sizes.items() if number is not None}
        url = self.preview_url(preview.url.text, film=film, **asked)
        known = FILMS if film else STILLS
        ending = _ending(url) if _ending(url) in known else "mp4" if film else "jpeg"
        if not film and number == 1 and ending not in LAYOUTS[self.layout].stills:
            self._note(f"{LAYOUTS[self.layout].title} does not show previews that end in `.{ending}`")
        path = self._path(f".preview.{ending}" if number == 1 else f".preview-{number}.{ending}")
        if path is None:
            return None
        return Companion(
            target=self.placement.target,
            path=path,
            beside=self.placement.path,
            kind="preview",
            # Films of earlier versions were asked for without `anim`; those that are placed stay.
            made=made_from(
                "preview", url.replace("/anim=true,transcode=true,width=450/", "/transcode=true,width=450/")
            ),
            model=self.model,
            artifact=self.placement.artifact,
            url=url,
            film=film,
            layout=self.layout,
            shown=preview if number == 1 else None,
            depicts=preview,
        )

    def _sidecar(self, kind: str, *, path: SafePath | None, shown: Preview | None) -> Companion | None:
        """One sidecar; `path` is that of the preview that a UI shows, `shown` what is locked about it."""
        from synapse_sync.layouts.sidecars import SIDECARS, About  # most projects have none

        sidecar = SIDECARS[kind]
        about = About(
            model=self.model,
            artifact=self.placement.artifact,
            type=kind_of(self.entry, self.model, self.placement.artifact),
            path=self.placement.path.text,
            layout=self.layout,
            preview=None if path is None else path.text,
            shown=shown,
        )
        if sidecar.types is not None and about.type not in sidecar.types:
            return None
        if sidecar.only_civitai and not about.is_civitai:
            return None
        layout = LAYOUTS[self.layout]
        if about.type in layout.lists_json and sidecar.suffix.endswith(".json"):
            self._note(f"{layout.title} would list its `{sidecar.suffix}` as a model; not placed")
            return None
        place = self._path(sidecar.suffix)
        if place is None:
            return None
        words = sidecar.words(about) if sidecar.words is not None else self.model.reference.text
        return Companion(
            target=self.placement.target,
            path=place,
            beside=self.placement.path,
            kind=kind,
            made=made_from(kind, words),
            model=self.model,
            artifact=self.placement.artifact,
            preview=path,
            layout=self.layout,
            type=about.type,
            shown=shown,
            facts=sidecar.facts,
        )

    def _path(self, suffix: str) -> SafePath | None:
        """The weights' path with another ending; None, and a note, where that name is too long."""
        folder, slash, name = self.placement.path.text.rpartition("/")
        try:
            return SafePath(f"{folder}{slash}{stem_of(name)}{suffix}")
        except UnsafeName:
            self._note(
                f"the name of `{name}` is too long for previews and sidecars beside it; "
                'they need a shorter one: `filename = "…"`'
            )
            return None

    def _note(self, words: str) -> None:
        """Say it once, however many companions it is about."""
        self.notes[f"`{self.entry.name}`: {words}"] = None


def _ending(url: str) -> str:
    """The ending of the file that an address names, in lower case."""
    return url.partition("?")[0].rpartition("/")[2].rpartition(".")[2].lower()
