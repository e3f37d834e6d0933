"""The description of one model on Civitai: every version, and which of them can be downloaded."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from synapse_sync.core.digest import Digest
from synapse_sync.core.reference import Reference
from synapse_sync.errors import InputError, NotFound, StatusError, SynapseError
from synapse_sync.net.at_once import both
from synapse_sync.sources.base import Description, Edition
from synapse_sync.sources.civitai.client import ENDPOINT, Client
from synapse_sync.sources.civitai.details import file_details, image_details, model_details, version_details
from synapse_sync.sources.civitai.files import card_of, offered
from synapse_sync.sources.civitai.image_urls import identity
from synapse_sync.sources.civitai.schema import Model, ModelImage, ModelVersion
from synapse_sync.sources.civitai.statuses import no_version, unusable

#: The digests of a file, by the names that `Digest` uses; those that identify it come first.
_ALGORITHMS = ("sha256", "blake3", "autov1", "autov2", "autov3", "crc32")


def describe(client: Client, reference: Reference, now: datetime) -> Description:
    """Ask for the model and for the version that is meant: only its own answer has its `usage_control`."""
    model_id = int(reference.id) if reference.source == "civitai" and reference.id else None
    alone: ModelVersion | None = None
    if reference.source == "hash":
        alone = _by_hash(client, Digest.parse(reference.id))
    elif model_id is None:
        alone = _version(client, int(reference.revision or 0))
    wanted = alone.id if alone is not None else int(reference.revision) if reference.revision else None
    if alone is not None:
        model_id = alone.model_id
    model, answer = _model_and_version(client, model_id, wanted if alone is None else None)
    if wanted is None:
        assert model is not None
        wanted = _default(model, now)
    versions = list(model.versions) if model is not None else []
    place = next((place for place, version in enumerate(versions) if version.id == wanted), None)
    images: tuple[ModelImage, ...] | None = None
    if wanted is not None and alone is None:
        listed = None if place is None else versions[place]
        answer, images = _version_and_previews(client, wanted, answer, listed)
        alone = _shown(answer, needed=place is None)
    if alone is not None and model is not None and alone.model_id not in (None, model.id):
        raise InputError(
            f"`{reference}`: version {alone.id} belongs to model {alone.model_id}, not to {model.id}",
            hint=f"write `civitai:{alone.model_id}@{alone.id}`",
        )
    if alone is not None and place is None:
        versions.insert(0, alone)
        place = 0
    elif alone is not None and place is not None:
        versions[place] = _both(versions[place], alone)
    if versions:
        shown = versions[place or 0]
        images = _numbered_previews(client, shown) if images is None else images
        settings = () if alone is None else alone.images
        versions[place or 0] = replace(shown, images=_with_meta(images, settings))
    return _told(model, tuple(versions), place or 0, alone, now)


def _model_and_version(
    client: Client, model_id: int | None, number: int | None
) -> tuple[Model | None, ModelVersion | SynapseError | None]:
    """Ask for a model and for the version with this number at the same time, where both are known."""
    if model_id is None or number is None:
        return _model(client, model_id, needed=number is None), None
    return both(lambda: _model(client, model_id, needed=False), lambda: _asked(client, number))


def _version_and_previews(
    client: Client, number: int, answer: ModelVersion | SynapseError | None, listed: ModelVersion | None
) -> tuple[ModelVersion | SynapseError, tuple[ModelImage, ...] | None]:
    """Return a version's own answer, asked for unless it is known, and the previews if they are `listed`."""
    if listed is None or not listed.images:
        return answer or _asked(client, number), None
    if answer is not None:
        return answer, _numbered_previews(client, listed)
    return both(lambda: _asked(client, number), lambda: _numbered_previews(client, listed))


def _numbered_previews(client: Client, version: ModelVersion) -> tuple[ModelImage, ...]:
    """Return previews with their ids; these are worth a request, but a failure is ignored."""
    try:
        return client.previews(version)
    except SynapseError:
        return version.images


def _told(
    model: Model | None, versions: tuple[ModelVersion, ...], place: int, alone: ModelVersion | None, now: datetime
) -> Description:
    model_id = model.id if model is not None else alone.model_id if alone is not None else None
    notes: list[str] = []
    if model is None:
        notes.append("Civitai does not show the model of this version (any more)")
    elif not versions:
        notes.append("Civitai lists no published version of this model")
    return Description(
        title=model.name if model is not None else alone.model.name if alone is not None else None,
        editions=tuple(_edition(version, model, now) for version in versions),
        chosen=place,
        page=None if model_id is None else f"{ENDPOINT}/models/{model_id}",
        creator=model.creator.username if model is not None and model.creator is not None else None,
        tags=model.tags if model is not None else (),
        air=alone.air if alone is not None else None,
        notes=tuple(notes),
        details={} if model is None else model_details(model),
    )


def _edition(version: ModelVersion, model: Model | None, now: datetime) -> Edition:
    files = offered(version)
    model_id = version.model_id or (model.id if model is not None else None)
    return Edition(
        reference=Reference("civitai", "" if model_id is None else str(model_id), str(version.id)),
        card=card_of(version, model),
        files=tuple(candidate for _, candidate in files),
        hashes=tuple(
            tuple((name, value) for name in _ALGORITHMS if (value := file.hashes.get(name)) is not None)
            for file, _ in files
        ),
        refusal=unusable(version, model, now),
        details=version_details(version),
        file_details=tuple(file_details(file) for file, _ in files),
        preview_details={image.url: image_details(image) for image in version.images},
    )


def _both(listed: ModelVersion, alone: ModelVersion) -> ModelVersion:
    """Return a version as its model lists it, with the facts that only its own answer has."""
    return replace(
        listed,
        files=listed.files or alone.files,
        images=_with_meta(listed.images, alone.images),
        description=listed.description or alone.description,
        created_at=listed.created_at or alone.created_at,
        updated_at=listed.updated_at or alone.updated_at,
        model=alone.model,
        usage_control=alone.usage_control,
        status=alone.status or listed.status,
        early_access=listed.early_access or alone.early_access,
    )


def _with_meta(listed: tuple[ModelImage, ...], alone: tuple[ModelImage, ...]) -> tuple[ModelImage, ...]:
    """Return the images that a model lists, with the settings that only the version's own answer has."""
    known = {identity(image.url): image.meta for image in alone}
    with_settings = (replace(image, meta=image.meta or known.get(identity(image.url))) for image in listed)
    return tuple(with_settings) or alone


def _default(model: Model, now: datetime) -> int | None:
    """Return the id of the version that a lock would pin: the first that can be downloaded, else the first."""
    fine = (version for version in model.versions if unusable(version, model, now) is None)
    first = next(fine, model.versions[0] if model.versions else None)
    return None if first is None else first.id


def _model(client: Client, model_id: int | None, *, needed: bool) -> Model | None:
    if model_id is None:
        return None
    try:
        return client.model(model_id)
    except StatusError as error:
        if error.status != 404:
            raise
        if needed:
            raise _no_model(model_id) from None
        return None


def _no_model(model_id: int) -> SynapseError:
    return NotFound(
        f"Civitai has no model {model_id}",
        hint="it was deleted, unpublished or never there; a version of it may still be found by its id",
    )


def _version(client: Client, number: int) -> ModelVersion:
    try:
        return client.model_version(number)
    except StatusError as error:
        if error.status == 404:
            raise no_version(number) from None
        raise


def _asked(client: Client, number: int) -> ModelVersion | SynapseError:
    """Return the version's own answer, or why it has none."""
    try:
        return _version(client, number)
    except SynapseError as error:
        return error


def _shown(answer: ModelVersion | SynapseError, *, needed: bool) -> ModelVersion | None:
    """Return a version's own answer; if its model lists it, a refusal to show it alone is ignored."""
    if not isinstance(answer, SynapseError):
        return answer
    if needed:
        raise answer
    return None


def _by_hash(client: Client, digest: Digest) -> ModelVersion:
    try:
        return client.by_hash(digest.value)
    except StatusError as error:
        if error.status != 404:
            raise
        raise NotFound(
            f"Civitai knows no file with {digest}", hint="it may have been deleted, or never been there"
        ) from None
