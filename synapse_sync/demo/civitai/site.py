"""The parts of Civitai's API that synapse uses, with the site's habits: shapes as in answers of 2025 and 2026.

The same version looks different in the three places where it is found: in the list, below its model, and alone.
"""

from __future__ import annotations

import hashlib
import json
import uuid
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urlencode

from blake3 import blake3

from synapse_sync.demo.civitai import lists as civitai_lists
from synapse_sync.demo.exchange import Reply, Request, html_reply, json_reply, redirect
from synapse_sync.demo.storage import Storage, Stored
from synapse_sync.demo.weights import jpeg_bytes, mp4_bytes, safetensors_bytes

SITE = "https://civitai.com"
_LIMIT = 100
_HASHES_AT_ONCE = 10_000
_BROWSERS = ("mozilla", "chrome", "safari", "firefox", "opera", "edge")
_LOG_IN = "The creator of this asset requires you to be logged in to download it"
_DISABLED = "The creator of this asset has disabled downloads on this file"
_EARLY = "This asset is in Early Access. You can use Buzz access it now!"  # the site's own words
_TOO_MUCH = (
    "We've noticed an unusual amount of downloading from your account. "
    "Contact support@civitai.com or come back later."
)
_REGION = "Access to this service is not available in your region due to legal restrictions."
_NO_ARRAY = "Request must include an array of SHA256 Hashes."
_NO_PAGES = "Cannot use page param with query search. Use cursor-based pagination."
_TOO_MANY_PAGES = "You've requested too many pages, please use cursors instead"
_AIR_TYPES = {
    "TextualInversion": "embedding",
    "LoCon": "lycoris",
    "Hypernetwork": "hypernet",
    "MotionModule": "motion",
}
#: Beginnings of base models, and the ecosystem that an AIR calls them by.
_ECOSYSTEMS = (("SD 1.", "sd1"), ("SD 2.", "sd2"), ("SDXL", "sdxl"), ("Pony", "sdxl"), ("Illustrious", "sdxl"),
               ("NoobAI", "sdxl"), ("Flux.1", "flux1"))  # fmt: skip
_Shape = Literal["list", "model", "alone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One picture of a version; `nsfw_level` is the bitmask (1 PG, 2 PG13, 4 R, 8 X, 16 XXX)."""

    id: int
    content: bytes
    width: int = 64
    height: int = 96
    type: str = "image"
    nsfw_level: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file of a version; a `linked` one belongs to another version, and only its type finds it here."""

    id: int
    name: str
    content: bytes
    type: str = "Model"
    format: str | None = "SafeTensor"
    size: str | None = None
    fp: str | None = None
    quant: str | None = None
    primary: bool = False
    pickle_scan: str = "Success"
    virus_scan: str = "Success"
    hashed: bool = True
    linked: bool = False

    @property
    def hashes(self) -> dict[str, str]:
        """All digests, in the site's spelling."""
        if not self.hashed:
            return {}
        sha256 = hashlib.sha256(self.content).hexdigest().upper()
        found = {
            "AutoV2": sha256[:10],
            "SHA256": sha256,
            "CRC32": f"{zlib.crc32(self.content):08X}",
            "BLAKE3": blake3(self.content).hexdigest().upper(),
        }
        if len(self.content) >= 0x200000:  # it reads 64 KiB at 1 MiB; the site has none for files below 2 MiB
            found["AutoV1"] = hashlib.sha256(self.content[0x100000:0x110000]).hexdigest()[:8].upper()
        if self.format == "SafeTensor":
            start = 8 + int.from_bytes(self.content[:8], "little")
            found["AutoV3"] = hashlib.sha256(self.content[start:]).hexdigest()[:12].upper()
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version; `early_access` is the instant at which it becomes free (`permanent_access`: never).

    An `unlisted` one is missing where its model lists the others, as long as the site has not caught up.
    """

    id: int
    name: str
    files: tuple[File, ...]
    base_model: str = "SD 1.5"
    published: str = "2026-01-15T10:00:00.000Z"
    trained_words: tuple[str, ...] = ()
    early_access: str | None = None
    permanent_access: bool = False
    private: bool = False
    images: tuple[Image, ...] = ()
    status: str = "Published"
    usage_control: str = "Download"
    unlisted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model; the first version is its default version, and without the PG bit lists pass it over.

    A `hidden` one cannot be found by its own id, while its versions can by theirs.
    """

    id: int
    name: str
    versions: tuple[Version, ...]
    type: str = "Checkpoint"
    nsfw_level: int = 1
    mode: str | None = None
    creator: str = "ada"
    tags: tuple[str, ...] = ()
    hidden: bool = False


@dataclass(slots=True)
class Civitai:
    """The site: its models, and what it answers.

    With `pinned_urls` it writes download URLs as it has since August 2026. After `quota` redirects to the storage
    it gives out no more of them; from a blocked region it answers nothing.
    """

    storage: Storage
    token: str
    models: dict[int, Model] = field(default_factory=dict)
    pinned_urls: bool = False
    quota: int | None = None
    redirects: int = 0
    region_blocked: bool = False

    # -- filling it --------------------------------------------------------------------------------

    def add(self, *models: Model) -> None:
        """Publish models, in place of what had their ids."""
        for model in models:
            self.models[model.id] = model

    def add_version(self, model_id: int, version: Version) -> None:
        """Publish a new version on top of the others: it is the default version from now on."""
        model = self.models[model_id]
        self.models[model_id] = replace(model, versions=(version, *model.versions))

    def add_many(self, count: int, first_id: int) -> None:
        """Publish many small models at once."""
        for number in range(first_id, first_id + count):
            file = File(
                id=number * 10 + 1,
                name=f"many-{number}.safetensors",
                content=safetensors_bytes(f"many-{number}", tensors=1, size=256),
                primary=True,
            )
            version = Version(id=number * 10, name="v1", files=(file,))
            self.add(Model(id=number, name=f"Many {number}", versions=(version,)))

    def replace_content(self, version_id: int, content: bytes) -> None:
        """Change the bytes of a version's first file behind its id, as an upload of a corrected file does."""
        model, version = self._version(version_id) or _missing(version_id)
        files = (replace(version.files[0], content=content), *version.files[1:])
        versions = tuple(replace(v, files=files) if v.id == version_id else v for v in model.versions)
        self.models[model.id] = replace(model, versions=versions)

    # -- answering ---------------------------------------------------------------------------------

    def answer(self, request: Request) -> Reply:
        """Answer one request."""
        if self.region_blocked and request.path.startswith("/api/"):
            return json_reply({"error": _REGION, "code": "REGION_BLOCKED"}, 451)
        match request.segments:
            case ("api", "v1", "model-versions", "by-hash", "ids"):
                return self._by_hashes_ids(request)
            case ("api", "v1", "model-versions", "by-hash"):
                return self._by_hashes(request)
            case ("api", "v1", "model-versions", "by-hash", value):
                return self._by_hash(value)
            case ("api", "download", "models", number) if number.isdigit():
                return self._download(request, int(number))
            case ("login",):
                return html_reply()
            case _ if request.method != "GET":
                return json_reply({"error": "Method not allowed"}, 405)
            case ("api", "v1", "models"):
                return self._list(request)
            case ("api", "v1", "models", number) if number.isdigit():
                model = self.models.get(int(number))
                if model is None or model.hidden:
                    return _not_found(f"No model with id {number}")
                return json_reply(self._model_json(model))
            case ("api", "v1", "model-versions", "mini", number) if number.isdigit():
                return self._mini(int(number))
            case ("api", "v1", "model-versions", number) if number.isdigit():
                return self._one_version(int(number))
            case ("api", "v1", "images"):
                return civitai_lists.images(request, self._pictures())
            case ("api", "v1", "creators"):
                return civitai_lists.creators(request, list(self.models.values()))
            case ("api", "v1", "tags"):
                return civitai_lists.tags(request, list(self.models.values()))
            case ("api", "v1", "enums"):
                return civitai_lists.enums()
            case ("api", "v1", "me") if self._knows(request):
                return json_reply({"id": 7, "username": "newcomer", "tier": "free", "status": "active"})
            case ("api", "v1", "me"):
                return json_reply({"error": "Unauthorized"}, 401)
            case _:
                return _not_found("Not found")

    def _knows(self, request: Request) -> bool:
        """Whether the token is ours; one in the query counts only where there is no header, as on the site."""
        given = request.bearer if "authorization" in request.headers else request.first("token")
        return given == self.token

    def _version(self, version_id: int) -> tuple[Model, Version] | None:
        for model in list(self.models.values()):  # a copy: tests publish while others are asking
            for version in model.versions:
                if version.id == version_id:
                    return model, version
        return None

    def _one_version(self, version_id: int) -> Reply:
        found = self._version(version_id)
        if found is None or found[1].status != "Published":
            return _not_found("Model not found")
        if not found[1].files:
            return _not_found("Missing model file")
        return json_reply(self._version_json(*found, "alone"))

    def _mini(self, version_id: int) -> Reply:
        """One version with one file: the only place with the name of the upload, and whether to log in."""
        found = self._version(version_id)
        if found is None or found[1].status != "Published":
            return _not_found("Model not found")
        model, version = found
        file = _choose(version.files, None)
        if file is None:
            return _not_found("Missing model file")
        return json_reply(
            {
                "air": _air(model, version),
                "versionName": version.name,
                "modelName": model.name,
                "baseModel": version.base_model,
                "availability": "Public",
                "publishedAt": version.published,
                "size": len(file.content) / 1024,
                "fileType": file.type,
                "fileName": file.name,
                "hashes": file.hashes,
                "downloadUrls": [f"{SITE}/api/download/models/{version.id}"],
                "format": file.format,
                "canGenerate": True,
                "requireAuth": True,
                "checkPermission": _is_early(version),
                "earlyAccessEndsAt": version.early_access,
                "minor": False,
                "sfwOnly": False,
            }
        )

    def _pictures(self) -> list[tuple[Model, Version, Image, str]]:
        rows = [(model, version, image) for model, version in self._all() for image in version.images]
        return [(*row, self._image_json(row[2], "alone")["url"]) for row in rows]

    # -- the list ----------------------------------------------------------------------------------

    def _list(self, request: Request) -> Reply:
        limit, page, start = _number(request, "limit", _LIMIT), _number(request, "page", 1), 0
        if limit is None or page is None or not 0 < limit <= _LIMIT or page < 1:
            return json_reply({"error": {"name": "ZodError", "message": "limit, page"}}, 400)
        if request.first("page") is not None and request.first("query") is not None:
            return json_reply({"error": _NO_PAGES}, 400)
        if page * limit > 1000:
            return json_reply({"error": _TOO_MANY_PAGES}, 429)
        if {"favorites", "hidden"} & {key for key, _ in request.pairs} and not self._knows(request):
            return json_reply({"error": "Unauthorized"}, 401)
        if (cursor := request.first("cursor")) is not None:
            offset = cursor.partition("|")[0]
            if not offset.isdigit():
                return json_reply({"message": f"Invalid cursor: {cursor}"}, 400)
            start = int(offset)
        elif request.first("page") is not None:
            start = (page - 1) * limit
        found = self._search(request)
        items = [self._model_json(model, listed=True) for model in found[start : start + limit]]
        more = found[start + limit :]
        return json_reply({"items": items, "metadata": _paging(request, page, limit, start + limit, more)})

    def _search(self, request: Request) -> list[Model]:
        """The models that the query asks for, without those that it forgot to ask for."""
        models: Iterable[Model] = [model for model in list(self.models.values()) if not model.hidden]
        if request.all("ids"):
            known = {model.id: model for model in models}
            models = [known[number] for number in request.ids("ids") if number in known]
        if request.all("modelVersionIds"):
            versions = set(request.ids("modelVersionIds"))
            models = [model for model in models if versions & {version.id for version in model.versions}]
        wishes = (
            ("query", lambda model, value: value.lower() in model.name.lower()),
            ("username", lambda model, value: value == model.creator),
            ("tag", lambda model, value: value in model.tags),
        )
        for name, fits in wishes:
            if (value := request.first(name)) is not None:
                models = [model for model in models if fits(model, value)]
        if types := request.all("types"):
            models = [model for model in models if model.type in types]
        if bases := set(request.all("baseModels")):
            models = [model for model in models if bases & {version.base_model for version in model.versions}]
        if (order := request.first("sort")) in ("Newest", "Oldest"):
            newest = order == "Newest"
            models = sorted(models, key=lambda model: max(v.published for v in model.versions), reverse=newest)
        if request.first("nsfw") != "true":
            models = [model for model in models if model.nsfw_level & 1]  # the silent omission
        return list(models)

    # -- hashes ------------------------------------------------------------------------------------

    def _by_hash(self, value: str) -> Reply:
        """The version that has held these bytes the longest."""
        holders = [
            (version.published, version.id, model, version)
            for model, version in self._all()
            if any(value.upper() in file.hashes.values() for file in version.files)
        ]
        if not holders:
            return _not_found("Model not found")
        _, _, model, version = min(holders, key=lambda holder: holder[:2])
        return json_reply(self._version_json(model, version, "alone"))

    def _by_hashes(self, request: Request) -> Reply:
        """Whole versions, with the site's own bug: their URLs lead nowhere."""
        asked = _hashes(request, _LIMIT)
        if asked is None:
            return json_reply({"error": _NO_ARRAY}, 400)
        found = [
            self._version_json(model, version, "alone", site="https://undefined")
            for model, version in self._all()
            if any(file.hashes.get("SHA256") in asked for file in version.files)
        ]
        # Its other bugs: nulls among the versions, and some that come twice.
        return json_reply([*found, None, *found[:1]] if found else [])

    def _by_hashes_ids(self, request: Request) -> Reply:
        asked = _hashes(request, _HASHES_AT_ONCE)
        if asked is None:
            return json_reply({"error": _NO_ARRAY}, 400)
        rows = [
            {"modelVersionId": version.id, "modelId": model.id, "hash": file.hashes["SHA256"]}
            for model, version in self._all()
            for file in version.files
            if file.hashes.get("SHA256") in asked
        ]
        return json_reply(rows)

    def _all(self) -> list[tuple[Model, Version]]:
        models = list(self.models.values())
        return [(model, v) for model in models for v in model.versions if v.status == "Published"]

    # -- downloads ---------------------------------------------------------------------------------

    def _download(self, request: Request, version_id: int) -> Reply:
        if request.method == "HEAD":
            return json_reply({}, 405)
        wanted = request.first("fileId")
        if wanted is not None and not wanted.isdigit():
            return json_reply({"error": "Invalid input: expected number, received NaN at fileId"}, 400)
        found = self._version(version_id)
        if found is None:
            return _not_found("File not found")
        model, version = found
        if (refused := self._refusal(request, model, version)) is not None:
            return refused
        file = _choose(version.files, request)
        if file is None:
            return _not_found("File not found")
        if self.quota is not None and self.redirects >= self.quota:
            return json_reply({"error": _TOO_MUCH}, 429)
        self.redirects += 1
        stored = Stored(content=file.content, filename=file.name, head=False)
        where = self.storage.sign(f"model/{version.id}/{file.id}/{file.name}", stored)
        return redirect(307, where, Cache_Control="no-store")

    def _refusal(self, request: Request, model: Model, version: Version) -> Reply | None:
        """Why a version is not given out, in the order in which the site asks."""
        if model.mode == "Archived":
            return json_reply({"error": "Model archived, not available for download"}, 410)
        if version.status != "Published":
            return _not_found("File not found")
        if version.usage_control != "Download":
            return json_reply({"error": "Unauthorized", "message": _DISABLED}, 401)
        if not self._knows(request):
            if any(name in request.headers.get("user-agent", "").lower() for name in _BROWSERS):
                query = urlencode({"returnUrl": f"/model-versions/{version.id}", "reason": "download-auth"})
                return redirect(307, f"/login?{query}")
            return json_reply({"error": "Unauthorized", "message": _LOG_IN}, 401)
        if _is_early(version):
            when = {"deadline": version.early_access} if version.early_access else {}
            return json_reply({"error": "Early Access", **when, "message": _EARLY}, 403)
        if version.private:
            return json_reply({"error": "You do not have access to download this file"}, 403)
        return None

    # -- shapes ------------------------------------------------------------------------------------

    def _model_json(self, model: Model, *, listed: bool = False) -> dict[str, Any]:
        shape: _Shape = "list" if listed else "model"
        shown = (v for v in model.versions if v.status == "Published" and v.files and not v.unlisted)
        versions = [self._version_json(model, v, shape) | {"index": n} for n, v in enumerate(shown)]
        about: dict[str, Any] = {
            "id": model.id,
            "name": model.name,
            "description": f"<p>{model.name}</p>",
            "allowNoCredit": True,
            "allowCommercialUse": ["Image", "RentCivit"],
            "allowDerivatives": True,
            "allowDifferentLicense": True,
            "type": model.type,
            "minor": False,
            "sfwOnly": False,
            "poi": False,
            "nsfw": _is_nsfw(model),
            "nsfwLevel": model.nsfw_level,
            "availability": "Public",
            "cosmetic": None,
            "supportsGeneration": True,
            "stats": {"downloadCount": 0, "thumbsUpCount": 0, "thumbsDownCount": 0, "commentCount": 0},
            "creator": {"username": model.creator, "image": None},
            "tags": list(model.tags),
            "modelVersions": versions,
        }
        return about | ({"mode": model.mode} if model.mode else {})

    def _version_json(self, model: Model, version: Version, shape: _Shape, *, site: str = SITE) -> dict[str, Any]:
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
            "description": None,
            "trainedWords": list(version.trained_words),
            "stats": {"downloadCount": 0, "thumbsUpCount": 0},
            "paidAccess": _paid_access(version),
            "files": [
                _file_json(version, file, self._file_url(url, file, bare=file is bare, shape=shape), shape)
                for file in files
            ],
            "images": [self._image_json(image, shape) for image in images],
        }
        said |= {} if archived else {"downloadUrl": url}
        if shape == "list":
            return said | {"modelId": model.id, "availability": "Public", "supportsGeneration": True}
        said |= {"createdAt": version.published, "status": version.status}
        if shape == "model":
            said |= {"availability": "Public", "covered": bool(images)}
            # Here alone the site drops what is null, and empty lists with it.
            return {key: value for key, value in said.items() if value is not None and value != []}
        about = {"name": model.name, "type": model.type, "nsfw": _is_nsfw(model), "poi": False}
        return said | {
            "modelId": model.id,
            "updatedAt": version.published,
            "uploadType": "Created",
            "usageControl": version.usage_control,
            "air": _air(model, version),
            "model": about | ({"mode": model.mode} if model.mode else {}),
        }

    def _file_url(self, url: str, file: File, *, bare: bool, shape: _Shape) -> str:
        """The address that the site gives for a file: by its id of late, by its properties before and in lists."""
        if self.pinned_urls and shape != "list" and not file.linked:
            return f"{url}?{urlencode({'fileId': file.id})}"
        if file.linked:
            return f"{url}?{urlencode({'type': file.type})}"
        known = {"format": file.format, "size": file.size, "fp": file.fp, "quantType": file.quant}
        chosen = {"type": file.type} | {key: value for key, value in known.items() if value is not None}
        return url if bare else f"{url}?{urlencode(chosen)}"

    def _image_json(self, image: Image, shape: _Shape) -> dict[str, Any]:
        """A picture: it lies on the storage origin, open to everybody, as on the site's image host.

        Small stills and films are made of it, too; the address of a film has the ending of a picture.
        """
        base = f"/demo/{uuid.uuid5(uuid.NAMESPACE_OID, str(image.id))}"
        still = jpeg_bytes(f"still of {image.id}")
        shapes = {f"anim=false,transcode=true,width=450/{image.id}.jpeg": ("image/jpeg", still)}
        if image.type == "video":
            shapes[f"transcode=true,width=450/{image.id}.mp4"] = ("video/mp4", mp4_bytes(f"film of {image.id}"))
        for form, (kind, content) in shapes.items():
            self.storage.publish(f"{base}/{form}", Stored(content=content, content_type=kind))
        stored = Stored(content=image.content, content_type="image/png")
        shown: dict[str, Any] = {
            "url": self.storage.publish(f"{base}/original=true/{image.id}.jpeg", stored),
            "nsfwLevel": image.nsfw_level,
            "width": image.width,
            "height": image.height,
            "hash": None,
            "type": image.type,
        }
        return {"id": image.id, **shown} if shape == "list" else shown


def _is_nsfw(model: Model) -> bool:
    return not model.nsfw_level & 1


def _air(model: Model, version: Version) -> str:
    base = version.base_model
    ecosystem = next((word for start, word in _ECOSYSTEMS if base.startswith(start)), base.lower())
    kind = _AIR_TYPES.get(model.type, model.type.lower())
    return f"urn:air:{ecosystem}:{kind}:civitai:{model.id}@{version.id}"


def _number(request: Request, name: str, default: int) -> int | None:
    text = request.first(name)
    if text is None:
        return default
    return int(text) if text.isascii() and text.isdigit() else None


def _paging(request: Request, page: int, limit: int, start: int, more: Sequence[Model]) -> dict[str, Any]:
    """How to go on; where nothing is left, there is no cursor."""
    metadata: dict[str, Any] = {"pageSize": limit}
    if request.first("page") is not None:
        metadata["currentPage"] = page
    if more:
        metadata["nextCursor"] = f"{start}|{more[0].id}"
        kept = [(key, value) for key, value in request.pairs if key != "cursor"]
        query = urlencode([*kept, ("cursor", metadata["nextCursor"])])
        metadata["nextPage"] = f"http://{request.headers.get('host', '')}/api/v1/models?{query}"
    return metadata


def _hashes(request: Request, most: int) -> set[str] | None:
    """The SHA-256s of a body, or None where it is not a list of them."""
    try:
        values = json.loads(request.body)
    except ValueError:
        return None
    if not isinstance(values, list) or len(values) > most or not all(isinstance(v, str) for v in values):
        return None
    return {value.upper() for value in values}


def _missing(version_id: int) -> tuple[Model, Version]:
    raise KeyError(version_id)


def _is_early(version: Version) -> bool:
    if version.permanent_access:
        return True
    return version.early_access is not None and datetime.fromisoformat(version.early_access) > datetime.now(UTC)


def _paid_access(version: Version) -> dict[str, Any] | None:
    if not _is_early(version):
        return None
    return {"permanent": version.permanent_access, "endsAt": version.early_access}


def _file_json(version: Version, file: File, url: str, shape: _Shape) -> dict[str, Any]:
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
    return said | ({"primary": True} if file.primary else {})  # elsewhere the site leaves it out of all others


def _choose(files: Sequence[File], request: Request | None) -> File | None:
    """The file that a download URL means: by id, else the first that fits the selectors, the primary one first."""
    wanted = request.first("fileId") if request else None
    if wanted is not None:
        return next((file for file in files if str(file.id) == wanted and not file.linked), None)
    names = (("type", "type"), ("format", "format"), ("size", "size"), ("fp", "fp"), ("quantType", "quant"))
    asked = {name: value for key, name in names if request and (value := request.first(key))}
    fitting = [file for file in files if all(getattr(file, name) == value for name, value in asked.items())]
    return next((file for file in fitting if file.primary), fitting[0] if fitting else None)


def _not_found(message: str) -> Reply:
    return json_reply({"error": message}, 404)
