"""Accompany: which previews and sidecars belong beside the arranged weights, and under which names. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from synapse_sync.core.artifact import Artifact
from synapse_sync.core.companion import Companion, chosen, made_from
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.manifest.values import Requirement, Target, WorkspaceOptions
from synapse_sync.core.names import SafePath, clash_key
from synapse_sync.core.plan import Placement
from synapse_sync.errors import UnsafeName
from synapse_sync.layouts.arrange import layout_of

#: Turns the address of a preview into that of a small still, or film, of it.
PreviewUrl = Callable[..., str]
_WEIGHTS = frozenset({"safetensors", "gguf", "pickle", "onnx", "other"})
_STILLS = ("png", "jpg", "jpeg", "webp", "gif")
_FILMS = ("mp4", "webm")


def arrange_companions(
    entries: Sequence[Requirement],
    locked: Mapping[str, LockedModel],
    placements: Sequence[Placement],
    targets: Sequence[Target],
    workspace: WorkspaceOptions,
    preview_url: PreviewUrl,
) -> tuple[Companion, ...]:
    """Give every placed model its previews and sidecars, as manifest, target and layout want them.

    Models of several weights files have none, since it could not be said which file is meant. Where two models want
    a companion of one name the first has it; a path that weights want is theirs.
    """
    by_name = {entry.name: entry for entry in entries}
    by_target = {target.name: target for target in targets}
    taken = {(p.target, clash_key(p.path.text)) for p in placements}
    found: list[Companion] = []
    for placement in _weights(placements):
        entry, target = by_name[placement.model], by_target[placement.target]
        for companion in _of_one(
            entry, locked[entry.name], placement, _kinds(entry, target, workspace), preview_url
        ):
            key = (companion.target, clash_key(companion.path.text))
            if key not in taken:
                taken.add(key)
                found.append(companion)
    return tuple(found)


def _weights(placements: Sequence[Placement]) -> Iterator[Placement]:
    """Those placements whose file is the only one with weights of its model, in its target."""
    several: dict[tuple[str, str], list[Placement]] = {}
    for placement in placements:
        if _is_weights(placement.artifact):
            several.setdefault((placement.target, placement.model), []).append(placement)
    return (group[0] for group in several.values() if len(group) == 1)


def _is_weights(artifact: Artifact) -> bool:
    return artifact.role == "model" and artifact.format in _WEIGHTS


def _kinds(entry: Requirement, target: Target, workspace: WorkspaceOptions) -> tuple[str, ...]:
    """Which sidecars: what the model says goes before what its target and the workspace say."""
    said = next((s for s in (entry.sidecars, target.sidecars) if s is not None), workspace.sidecars)
    if isinstance(said, bool):
        return layout_of(target).sidecars if said else ()
    return said


def _of_one(
    entry: Requirement, model: LockedModel, placement: Placement, kinds: Sequence[str], preview_url: PreviewUrl
) -> Iterator[Companion]:
    # LoRA-Manager alone plays films; the others would show nothing.
    previews = list(_previews(entry, model, placement, preview_url, films="lora-manager" in kinds))
    yield from previews
    cover = previews[0].path if previews else None
    for kind in kinds:
        if (sidecar := _sidecar(kind, model, placement, cover)) is not None:
            yield sidecar


def _previews(
    entry: Requirement, model: LockedModel, placement: Placement, preview_url: PreviewUrl, *, films: bool
) -> Iterator[Companion]:
    wanted = chosen(model.card, cover=entry.cover, rating=entry.preview_rating, count=entry.preview_count)
    for number, preview in enumerate(wanted, start=1):
        if preview.url.source != "url":
            continue  # a cover on this machine or in a repository is not fetched
        film = films and preview.type == "video"
        url = preview_url(preview.url.text, film=film)
        ending = _ending(url, film=film)
        path = _beside(placement.path, f".preview.{ending}" if number == 1 else f".preview-{number}.{ending}")
        if path is not None:
            yield Companion(
                target=placement.target,
                path=path,
                beside=placement.path,
                kind="preview",
                made=made_from("preview", url),
                model=model,
                artifact=placement.artifact,
                url=url,
                film=film,
            )


def _ending(url: str, *, film: bool) -> str:
    """The ending of the preview's name: that of its address, if it is one that UIs look for."""
    known = _FILMS if film else _STILLS
    given = url.partition("?")[0].rpartition("/")[2].rpartition(".")[2].lower()
    return given if given in known else "mp4" if film else "jpeg"


def _sidecar(kind: str, model: LockedModel, placement: Placement, preview: SafePath | None) -> Companion | None:
    from synapse_sync.layouts.sidecars import SIDECARS, About  # most projects have none

    sidecar = SIDECARS[kind]
    path = _beside(placement.path, sidecar.suffix)
    about = About(
        model=model,
        artifact=placement.artifact,
        path=placement.path.text,
        preview=None if preview is None else preview.text,
    )
    if path is None or (sidecar.types is not None and model.card.type not in sidecar.types):
        return None
    if sidecar.only_civitai and not about.is_civitai:
        return None
    words = sidecar.words(about) if sidecar.words is not None else model.reference.text
    return Companion(
        target=placement.target,
        path=path,
        beside=placement.path,
        kind=kind,
        made=made_from(kind, words),
        model=model,
        artifact=placement.artifact,
        preview=preview,
    )


def _beside(weights: SafePath, suffix: str) -> SafePath | None:
    """The weights' path with another ending, or None where that name would be too long."""
    folder, slash, name = weights.text.rpartition("/")
    stem = name.rpartition(".")[0] or name
    try:
        return SafePath(f"{folder}{slash}{stem}{suffix}")
    except UnsafeName:
        return None
