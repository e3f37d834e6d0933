"""Gallery: one static page of what is locked and installed, written beside the project. Sends no request."""

from __future__ import annotations

import importlib.resources
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from synapse_sync.core.artifact import format_of
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.licenses import terms_of
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.manifest.values import Requirement
from synapse_sync.core.names import SafePath
from synapse_sync.core.plan import Placement, State
from synapse_sync.core.rating import rating_name
from synapse_sync.engine.gallery_media import Found, Page, Previews, shown
from synapse_sync.engine.outdated import Standing
from synapse_sync.engine.part import entries_in
from synapse_sync.engine.scope import Scope
from synapse_sync.engine.survey import Survey
from synapse_sync.engine.unmanaged import Unmanaged
from synapse_sync.errors import Conflict, InputError, UnsafeName
from synapse_sync.gallery.page import MARKER, is_page, page
from synapse_sync.gallery.values import Card, File, Gallery, Pieces, Place
from synapse_sync.layouts.adopt import kinds_at
from synapse_sync.layouts.arrange import kind_of
from synapse_sync.project import Project
from synapse_sync.store.durable import about_project, make_dirs, write_atomic
from synapse_sync.store.preview_cache import PreviewCache
from synapse_sync.version import __version__

#: The name of the page beside synapse.toml, and that of a portable one.
_PAGE, _INDEX = "gallery.html", "index.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A written page: its path, its size in bytes, and how many cards it has, with and without a preview."""

    output: Path
    size: int
    models: int
    unmanaged: int
    previewed: int
    thumbnails: int

    def to_dict(self) -> dict[str, Any]:
        """Return the page as `synapse gallery --json` prints it."""
        return {
            "output": str(self.output), "size": self.size, "models": self.models, "unmanaged": self.unmanaged,
            "previewed": self.previewed, "thumbnails": self.thumbnails,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The page to write.

    It goes to `output`, by default beside the manifest; a `portable` one goes with copies of its previews into that
    directory. `most` is the most explicit rating that is shown without a veil. `force` replaces files of others.
    """

    output: Path | None = None
    portable: bool = False
    most: str
    force: bool = False


def gallery(
    project: Project,
    scope: Scope,
    survey: Survey,
    unmanaged: Sequence[Unmanaged],
    standings: Sequence[Standing] | None,
    wanted: Wanted,
) -> Made:
    """Write the page of a project's models.

    `survey` and `unmanaged` are of the same scope. `standings` is what the sites said about newer versions, None
    if they were not asked. Raises `InputError`, `Conflict` for a file that is no such page, and `StorageError`.
    """
    output = _checked(wanted, project)
    previews = Previews(survey=survey)
    cards = _cards(project, scope, survey, previews, unmanaged, standings or ())
    media = shown(
        [found for _, found in cards],
        Page(output.parent, portable=wanted.portable),
        PreviewCache(project.store),
        force=wanted.force,
    )
    filled = tuple(replace(card, media=its) for (card, _), its in zip(cards, media, strict=True))
    name = project.manifest.workspace.name or project.directory.resolve().name or "models"
    values = Gallery(title=name, cards=filled, most=wanted.most, asked=standings is not None, version=__version__)
    content = page(values, _pieces()).encode()
    with about_project():
        if not output.is_file() or output.read_bytes() != content:
            write_atomic(output, content)
    return Made(
        output=output,
        size=len(content),
        models=sum(card.state != "unmanaged" for card in filled),
        unmanaged=sum(card.state == "unmanaged" for card in filled),
        previewed=sum(bool(card.media) for card in filled),
        thumbnails=sum(bool(each.thumbnail) for card in filled for each in card.media),
    )


def _pieces() -> Pieces:
    """The pieces of the template, which the package ships."""
    room = importlib.resources.files("synapse_sync.gallery")
    html, css, js = ((room / f"page.{ending}").read_text("utf-8") for ending in ("html", "css", "js"))
    return Pieces(html=html, css=css, js=js)


def _checked(wanted: Wanted, project: Project) -> Path:
    """The file to write; raises `InputError` and `Conflict` for one that is surely not meant."""
    place = wanted.output or project.directory / _PAGE
    if wanted.portable:
        if place.exists() and not place.is_dir():
            raise InputError(f"{place} is not a directory", hint="name a directory, which may be a new one")
        with about_project():
            make_dirs(place, durable=False)
        place = place / _INDEX
    place = project.output_file(place)
    if place.is_dir():
        raise InputError(f"{place} is a directory", hint="name a file in it")
    if place.exists() and not wanted.force and not _is_ours(place):
        other = "name another directory" if wanted.portable else "give `-o` another name"
        raise Conflict(
            f"{place} exists, and is no gallery of synapse; it was not replaced",
            hint=f"{other}, or replace it with `--force`",
        )
    return place


def _is_ours(place: Path) -> bool:
    if not place.is_file():
        return False
    try:
        with place.open("rb") as file:
            return is_page(file.read(len(MARKER)))
    except OSError as error:
        raise InputError(f"cannot read {place}: {error.strerror}") from error


# -- the cards ------------------------------------------------------------------------------------


def _cards(
    project: Project,
    scope: Scope,
    survey: Survey,
    previews: Previews,
    unmanaged: Sequence[Unmanaged],
    standings: Iterable[Standing],
) -> list[tuple[Card, tuple[Found, ...]]]:
    """The cards, each with its previews on disk: models by name, then the files that synapse does not manage."""
    entries = {entry.name: entry for entry in entries_in(project.manifest, scope)}
    locked = {model.name: model for model in project.lockfile.models}
    newer = {each.name: each for each in standings}
    places: dict[str, list[Placement]] = {}
    for placement in survey.arrangement.placements:
        if placement.known_as is None:  # else the path by which programs find it is listed
            places.setdefault(placement.model, []).append(placement)
    unanswered = {*survey.not_locked}
    found: list[tuple[Card, tuple[Found, ...]]] = []
    for name, entry in sorted(entries.items()):
        model = locked.get(name)
        if model is None or name in unanswered:
            found.append((Card(name=name, state="unlocked", kind=entry.type, groups=entry.groups), ()))
            continue
        its = places.get(name, [])
        weights = [p.key for p in its if format_of(p.artifact.filename) != "config"]
        media = previews.of_model(name, weights, model.card.nsfw)
        found.append((_model_card(entry, model, its, survey, newer.get(name)), media))
    found += (_unmanaged_card(each, survey, previews) for each in unmanaged)
    return found


def _model_card(
    entry: Requirement,
    model: LockedModel,
    placements: Sequence[Placement],
    survey: Survey,
    standing: Standing | None,
) -> Card:
    card, terms = model.card, terms_of(model)
    places = tuple(
        Place(target=each.target, path=each.path.text, placed=_is_placed(each, survey)) for each in placements
    )
    newer, held = _newer(standing)
    return Card(
        name=model.name,
        state=_state(places),
        title=card.title,
        version=card.version_name,
        kind=_kind(entry, model),
        base=card.base_model,
        precision=tuple(dict.fromkeys(file.precision for file in model.artifacts if file.precision)),
        words=card.trained_words,
        size=sum(file.size for file in model.artifacts),
        published=card.published,
        licence=terms.licence,
        commercial=terms.commercial,
        creator=terms.creator,
        page=terms.page,
        reference=model.reference.text,
        rating=None if card.nsfw is None else rating_name(0, card.nsfw),
        groups=entry.groups,
        files=tuple(
            File(name=f.filename, size=f.size, sha256=f.sha256, precision=f.precision) for f in model.artifacts
        ),
        places=places,
        newer=newer,
        held=held,
    )


def _kind(entry: Requirement, model: LockedModel) -> str | None:
    """The type of the model: of its largest file, which is the model where others accompany it."""
    return kind_of(entry, model, max(model.artifacts, key=lambda file: file.size))


def _is_placed(placement: Placement, survey: Survey) -> bool:
    found = survey.observed[placement.key]
    return found.state is State.PLACED and found.sha256 == placement.artifact.sha256


def _state(places: Collection[Place]) -> str:
    placed = sum(place.placed for place in places)
    return "placed" if placed == len(places) else "partly" if placed else "missing"


def _newer(standing: Standing | None) -> tuple[str | None, str | None]:
    """The newer version of a model, and the reason why an upgrade does not lock it; None where there is none."""
    if standing is None or standing.error is not None:
        return None, None
    if standing.held is not None and standing.newest is not None:
        return standing.newest.version or standing.newest.reference.revision, standing.held
    if standing.outdated and standing.allowed is not None:
        return standing.allowed.version or standing.allowed.reference.revision or "changed files", None
    return None, None


def _unmanaged_card(file: Unmanaged, survey: Survey, previews: Previews) -> tuple[Card, tuple[Found, ...]]:
    try:
        kinds = kinds_at(SafePath(file.path), survey.trees[file.target].target)
        preview = previews.beside(file.target, file.path, None)
    except UnsafeName:  # a name that synapse would not give: such a file has a card all the same
        kinds, preview = (), None
    card = Card(
        name=file.path.rpartition("/")[2],
        state="unmanaged",
        kind=kinds[0] if kinds else None,
        size=file.size,
        places=(Place(target=file.target, path=file.path, placed=True),),
    )
    return card, () if preview is None else (preview,)
