"""The shapes of the demo's Civitai: how the site writes models, versions, files and images as JSON.

The same version looks different in the three places where it is found: in the list, below its model, and alone.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urlencode

from synapse_sync.demo.civitai.things import SITE, File, Image, Model, Version
from synapse_sync.demo.exchange import Reply, Request, json_reply
from synapse_sync.demo.storage import Storage, Stored
from synapse_sync.demo.weights import jpeg_bytes, mp4_bytes

_AIR_TYPES = {
    "TextualInversion": "embedding",
    "LoCon": "lycoris",
    "Hypernetwork": "hypernet",
    "MotionModule": "motion",
}
#: Beginnings of base models, and the ecosystem that an AIR has for them.
_ECOSYSTEMS = (("SD 1.", "sd1"), ("SD 2.", "sd2"), ("SDXL", "sdxl"), ("Pony", "sdxl"), ("Illustrious", "sdxl"),
               ("NoobAI", "sdxl"), ("Flux.1", "flux1"))  # fmt: skip
Shape = Literal["list", "model", "alone"]


@dataclass(frozen=True, slots=True)
class Shapes:
    """Writes the site's JSON: images are published on `storage`, `pinned_urls` chooses the form of file URLs."""

    storage: Storage
    pinned_urls: bool

    def model(self, model: Model, *, listed: bool = False) -> dict[str, Any]:
        shape: Shape = "list" if listed else "model"
        shown = (v for v in model.versions if v.status == "Published" and v.files and not v.unlisted)
        versions = [self.version(model, v, shape) | {"index": n} for n, v in enumerate(shown)]
        about: dict[str, Any] = {
            "id": model.id,
            "name": model.name,
            "description": model.description or f"<p>{model.name}</p>",
            "allowNoCredit": model.credit,
            "allowCommercialUse": list(model.commercial_use),
            "allowDerivatives": model.derivatives,
            "allowDifferentLicense": model.relicense,
            "type": model.type,
            "minor": False,
            "sfwOnly": False,
            "poi": model.poi,
            "nsfw": _is_nsfw(model),
            "nsfwLevel": model.nsfw_level,
            "availability": "Public",
            "cosmetic": None,
            "supportsGeneration": model.generation,
            "stats": {
                "downloadCount": model.downloads,
                "thumbsUpCount": 0,
                "thumbsDownCount": 0,
                "commentCount": 0,
            },
            "creator": {"username": model.creator, "image": None},
            "tags": list(model.tags),
            "modelVersions": versions,
        }
        return about | ({"mode": model.mode} if model.mode else {})

    def version(self, model: Model, version: Version, shape: Shape, *, site: str = SITE) -> dict[str, Any]:
        archived = model.mode == "Archived"
        url = f"{site}/api/download/models/{version.id}"
        files = [] if archived else version.files
        bare = next((file for file in files if file.primary), next(iter(files), None))
        images = [] if model.mode == "TakenDown" else version.images
        said: dict[str, Any] = {
            "id": version.id,
            "name": version.name,
            "baseModel": version.base_model,
            "baseModelType": "Standard",
            "publishedAt": version.published,
            "nsfwLevel": model.nsfw_level,
            "description": version.description,
            "trainedWords": list(version.trained_words),
            "stats": {"downloadCount": 0, "thumbsUpCount": 0},
            "paidAccess": _paid_access(version),
            "files": [
                _file_json(version, file, self._file_url(url, file, bare=file is bare, shape=shape), shape)
                for file in files
            ],
            "images": [self.image(image, shape) for image in images],
        }
        said |= {} if archived else {"downloadUrl": url}
        if shape == "list":
            return said | {"modelId": model.id, "availability": "Public", "supportsGeneration": True}
        said |= {"createdAt": version.published, "status": version.status}
        if shape == "model":
            said |= {"availability": "Public", "covered": bool(images)}
            # Only in this shape the site omits nulls and empty lists.
            return {key: value for key, value in said.items() if value is not None and value != []}
        about = {"name": model.name, "type": model.type, "nsfw": _is_nsfw(model), "poi": model.poi}
        return said | {
            "modelId": model.id,
            "updatedAt": version.published,
            "uploadType": "Created",
            "usageControl": version.usage_control,
            "air": air(model, version),
            "model": about | ({"mode": model.mode} if model.mode else {}),
        }

    def _file_url(self, url: str, file: File, *, bare: bool, shape: Shape) -> str:
        """Return the site's address of a file: by its id of late, by its properties before that and in lists."""
        if self.pinned_urls and shape != "list" and not file.linked:
            return f"{url}?{urlencode({'fileId': file.id})}"
        if file.linked:
            return f"{url}?{urlencode({'type': file.type})}"
        known = {"format": file.format, "size": file.size, "fp": file.fp, "quantType": file.quant}
        chosen = {"type": file.type} | {key: value for key, value in known.items() if value is not None}
        return url if bare else f"{url}?{urlencode(chosen)}"

    def image(self, image: Image, shape: Shape) -> dict[str, Any]:
        """Return an image, and publish its content on the storage origin, as on the site's image host.

        Smaller stills and films of it are published too; the address of a film has the ending of an image.
        """
        base = f"/demo/{uuid.uuid5(uuid.NAMESPACE_OID, str(image.id))}"
        still = image.still or jpeg_bytes(f"still of {image.id}")
        shapes = {f"anim=false,transcode=true,width=450/{image.id}.jpeg": ("image/jpeg", still)}
        if image.type == "video":
            film = image.film or mp4_bytes(f"film of {image.id}")
            shapes[f"anim=true,transcode=true,width=450/{image.id}.mp4"] = ("video/mp4", film)
        for form, (kind, content) in shapes.items():
            self.storage.publish(f"{base}/{form}", Stored(content=content, content_type=kind))
        stored = Stored(content=image.content, content_type="image/png")
        shown: dict[str, Any] = {
            "url": self.storage.publish(f"{base}/original=true/{image.id}.jpeg", stored),
            "nsfwLevel": image.nsfw_level,
            "width": image.width,
            "height": image.height,
            "hash": image.hash,
            "type": image.type,
        }
        if shape == "alone" and image.meta:
            shown["meta"] = dict(image.meta)
        return {"id": image.id, **shown} if shape == "list" else shown


def _is_nsfw(model: Model) -> bool:
    return not model.nsfw_level & 1


def air(model: Model, version: Version) -> str:
    base = version.base_model
    ecosystem = next((word for start, word in _ECOSYSTEMS if base.startswith(start)), base.lower())
    kind = _AIR_TYPES.get(model.type, model.type.lower())
    return f"urn:air:{ecosystem}:{kind}:civitai:{model.id}@{version.id}"


def is_early(version: Version) -> bool:
    if version.permanent_access:
        return True
    return version.early_access is not None and datetime.fromisoformat(version.early_access) > datetime.now(UTC)


def _paid_access(version: Version) -> dict[str, Any] | None:
    if not is_early(version):
        return None
    return {"permanent": version.permanent_access, "endsAt": version.early_access}


def _file_json(version: Version, file: File, url: str, shape: Shape) -> dict[str, Any]:
    metadata = {"format": file.format, "size": file.size, "fp": file.fp}
    known = {key: value for key, value in (metadata | {"quantType": file.quant}).items() if value is not None}
    said: dict[str, Any] = {
        "id": file.id,
        "sizeKB": len(file.content) / 1024,
        "name": file.name,
        "type": file.type,
        "pickleScanResult": file.pickle_scan,
        "pickleScanMessage": "No Pickle imports" if file.format == "SafeTensor" else None,
        "virusScanResult": file.virus_scan,
        "virusScanMessage": None,
        "scannedAt": version.published,
        "metadata": metadata if shape == "alone" else known,
        "hashes": file.hashes,
        "downloadUrl": url,
    }
    if shape == "alone":
        return said | {"primary": file.primary}
    return said | (
        {"primary": True} if file.primary else {}
    )  # in the other shapes the site omits it for all other files


def choose(files: Sequence[File], request: Request | None) -> File | None:
    """Return the file that a download URL means: by id, else the first that fits its selectors, primary first."""
    wanted = request.first("fileId") if request else None
    if wanted is not None:
        return next((file for file in files if str(file.id) == wanted and not file.linked), None)
    names = (("type", "type"), ("format", "format"), ("size", "size"), ("fp", "fp"), ("quantType", "quant"))
    asked = {name: value for key, name in names if request and (value := request.first(key))}
    fitting = [file for file in files if all(getattr(file, name) == value for name, value in asked.items())]
    return next((file for file in fitting if file.primary), fitting[0] if fitting else None)


def not_found(message: str) -> Reply:
    return json_reply({"error": message}, 404)
