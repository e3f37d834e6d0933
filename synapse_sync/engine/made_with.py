"""Made with: the models that made some images of Civitai, as references for the manifest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.image_meta import ImageMeta, Resource
from synapse_sync.core.reference import Reference
from synapse_sync.errors import StatusError

if TYPE_CHECKING:
    from synapse_sync.sources.civitai.client import Client


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeWith:
    """The versions that made some images, each once, and the models with a name or an unknown hash alone.

    `names` are the resources with a version, as the images name them, each with its reference.
    """

    references: tuple[Reference, ...]
    unknown: tuple[Resource, ...] = ()
    names: tuple[tuple[Resource, Reference], ...] = ()


def made_with(images: Sequence[int], client: Client) -> MadeWith:
    """Read the settings of images, by their numbers on Civitai, and look up the models in them.

    It costs a request an image, one for a hundred versions, and one for each hash without a version
    or version that no list has. Raises
    `NotFound` for an image that does not exist, and `StatusError` for a refused request.
    """
    resources: list[Resource] = []
    for number in images:
        image = client.image(number)
        resources += (image.meta or ImageMeta({})).models(image.version_ids)
    return looked_up(resources, client)


def looked_up(resources: Iterable[Resource], client: Client) -> MadeWith:
    """Look up models that images name: by version, else by hash; those that Civitai does not know are unknown."""
    named = [(resource, _by_hash(resource, client)) for resource in resources]
    models = _models({each.version_id for _, each in named if each.version_id is not None}, client)
    found: dict[int, Reference] = {}
    unknown: dict[Resource, None] = {}
    names: list[tuple[Resource, Reference]] = []
    for original, resource in named:
        version = resource.version_id
        if version is None or version not in models:
            unknown.setdefault(resource)
            continue
        model = models[version]
        found.setdefault(version, Reference("civitai", "" if model is None else str(model), str(version)))
        names.append((original, found[version]))
    return MadeWith(references=tuple(found.values()), unknown=tuple(unknown), names=tuple(names))


def _models(versions: set[int], client: Client) -> dict[int, int | None]:
    """The models of versions, without versions that Civitai no longer has. A list may lag behind: those that it
    lacks are asked for one by one."""
    listed = client.models_by_version_ids(versions) if versions else {}
    found: dict[int, int | None] = {version: model.id for version, model in listed.items()}
    for version in sorted(versions - found.keys()):
        try:
            found[version] = client.model_version(version).model_id
        except StatusError as error:
            if error.status != 404:
                raise
    return found


def _by_hash(resource: Resource, client: Client) -> Resource:
    """The resource with the numbers of its version, if only its hash is known and Civitai knows that."""
    if resource.version_id is not None or resource.reference is None or resource.hash is None:
        return resource
    try:
        version = client.by_hash(resource.hash)
    except StatusError as error:
        if error.status != 404:
            raise
        return resource
    return replace(resource, version_id=version.id, model_id=version.model_id)
