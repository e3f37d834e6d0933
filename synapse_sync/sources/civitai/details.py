"""All facts of Civitai's answers under the names that `--json` prints; those that an answer lacks are None."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from synapse_sync.core.image_meta import ImageMeta, Resource
from synapse_sync.sources.civitai.schema import Model, ModelFile, ModelImage, ModelVersion

Details = dict[str, Any]


def model_details(model: Model) -> Details:
    """Return the facts about a model as a whole; its description is the site's HTML."""
    commercial = model.allow_commercial_use
    return {
        "id": model.id,
        "description": model.description,
        "nsfw": model.nsfw,
        "nsfw_level": model.nsfw_level,
        "poi": model.poi,
        "minor": model.minor,
        "sfw_only": model.sfw_only,
        "mode": model.mode,
        "availability": model.availability,
        "supports_generation": model.supports_generation,
        "allow_no_credit": model.allow_no_credit,
        "allow_commercial_use": None if commercial is None else list(commercial),
        "allow_derivatives": model.allow_derivatives,
        "allow_different_license": model.allow_different_license,
        "creator_image": model.creator.image if model.creator is not None else None,
        "creator_link": model.creator.link if model.creator is not None else None,
        "stats": asdict(model.stats),
    }


def version_details(version: ModelVersion) -> Details:
    """Return the facts about a version, without its files and images; its description is the site's HTML."""
    return {
        "id": version.id,
        "model_id": version.model_id,
        "description": version.description,
        "base_model_type": version.base_model_type,
        "created": version.created_at,
        "updated": version.updated_at,
        "status": version.status,
        "availability": version.availability,
        "usage_control": version.usage_control,
        "nsfw_level": version.nsfw_level,
        "poi": version.model.poi,
        "stats": asdict(version.stats),
        "download_url": version.download_url,
    }


def file_details(file: ModelFile) -> Details:
    """Return the facts about a file that no other key has: above all, the results of both scans."""
    return {
        "type": file.type,
        "size_kb": file.size_kb,
        "pickle_scan": file.pickle_scan,
        "pickle_message": file.pickle_message,
        "virus_scan": file.virus_scan,
        "virus_message": file.virus_message,
        "scanned": file.scanned_at,
        "download_url": file.download_url,
    }


def image_details(image: ModelImage) -> Details:
    """Return the facts about a preview that no other key has."""
    return {
        "hash": image.hash,
        "nsfw_flag": image.nsfw,
        "nsfw_level": image.nsfw_level,
        "meta": None if image.meta is None else dict(image.meta),
        "resources": [resource_value(each) for each in made_with(image.meta)],
    }


def made_with(meta: ImageMeta | None, version_ids: tuple[int, ...] = ()) -> tuple[Resource, ...]:
    """Return the models that made an image, by its settings and the versions beside them; each once."""
    return (meta or ImageMeta({})).models(version_ids)


def resource_value(resource: Resource) -> Details:
    """Return a model that made an image; its `reference` is for `synapse add`, None if only a name is known."""
    reference = resource.reference
    return {**asdict(resource), "reference": None if reference is None else str(reference)}
