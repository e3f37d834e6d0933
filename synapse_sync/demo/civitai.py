"""The parts of Civitai's API that synapse uses, with the site's habits: shapes as in answers of 2025 and 2026."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from blake3 import blake3

from synapse_sync.demo.exchange import Reply, Request, json_reply, redirect
from synapse_sync.demo.storage import Storage, Stored
from synapse_sync.demo.weights import safetensors_bytes

SITE = "https://civitai.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file of a version."""

    id: int
    name: str
    content: bytes
    type: str = "Model"
    format: str | None = "SafeTensor"
    size: str | None = None
    fp: str | None = None
    primary: bool = False
    pickle_scan: str = "Success"
    virus_scan: str = "Success"
    hashed: bool = True

    @property
    def hashes(self) -> dict[str, str]:
        """All digests, in the site's spelling."""
        if not self.hashed:
            return {}
        sha256 = hashlib.sha256(self.content).hexdigest().upper()
        found = {
            "AutoV1": hashlib.sha256(self.content[0x100000:0x110000]).hexdigest()[:8].upper(),
            "AutoV2": sha256[:10],
            "SHA256": sha256,
            "CRC32": f"{zlib.crc32(self.content):08X}",
            "BLAKE3": blake3(self.content).hexdigest().upper(),
        }
        if self.format == "SafeTensor":
            start = 8 + int.from_bytes(self.content[:8], "little")
            found["AutoV3"] = hashlib.sha256(self.content[start:]).hexdigest()[:12].upper()
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version; `early_access` is the instant at which it becomes free."""

    id: int
    name: str
    files: tuple[File, ...]
    base_model: str = "SD 1.5"
    published: str = "2026-01-15T10:00:00.000Z"
    trained_words: tuple[str, ...] = ()
    early_access: str | None = None
    status: str = "Published"
    usage_control: str = "Download"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model; the first version is its default version."""

    id: int
    name: str
    versions: tuple[Version, ...]
    type: str = "Checkpoint"
    nsfw_level: int = 1
    mode: str | None = None
    creator: str = "ada"
    tags: tuple[str, ...] = ()


@dataclass(slots=True)
class Civitai:
    """The site: its models, and what it answers."""

    storage: Storage
    token: str
    models: dict[int, Model] = field(default_factory=dict)

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
        match request.segments:
            case ("api", "v1", "models"):
                return self._list(request)
            case ("api", "v1", "models", number) if number.isdigit():
                model = self.models.get(int(number))
                return json_reply(self._model_json(model)) if model else _not_found(f"No model with id {number}")
            case ("api", "v1", "model-versions", "by-hash", "ids"):
                return self._by_hashes(request)
            case ("api", "v1", "model-versions", "by-hash", value):
                return self._by_hash(value)
            case ("api", "v1", "model-versions", number) if number.isdigit():
                found = self._version(int(number))
                return (
                    json_reply(self._version_json(*found, alone=True)) if found else _not_found("Model not found")
                )
            case ("api", "v1", "me"):
                if request.bearer != self.token:
                    return json_reply({"error": "Unauthorized"}, 401)
                return json_reply({"id": 7, "username": "newcomer"})
            case ("api", "download", "models", number) if number.isdigit():
                return self._download(request, int(number))
            case _:
                return _not_found("Not found")

    def _version(self, version_id: int) -> tuple[Model, Version] | None:
        for model in self.models.values():
            for version in model.versions:
                if version.id == version_id:
                    return model, version
        return None

    def _list(self, request: Request) -> Reply:
        limit = int(request.first("limit") or "100")
        if not 0 < limit <= 100:
            return json_reply({"error": "limit must be at most 100"}, 400)
        models: Iterable[Model] = self.models.values()
        if ids := request.ids("ids"):
            models = [self.models[number] for number in ids if number in self.models]
        if versions := set(request.ids("modelVersionIds")):
            models = [model for model in models if versions & {version.id for version in model.versions}]
        if query := request.first("query"):
            models = [model for model in models if query.lower() in model.name.lower()]
        if request.first("nsfw") != "true":
            models = [model for model in models if model.nsfw_level <= 1]  # the silent omission
        items = [self._model_json(model) for model in models][:limit]
        return json_reply({"items": items, "metadata": {"pageSize": limit}})

    def _by_hash(self, value: str) -> Reply:
        for model, version in self._all():
            if any(value.upper() in file.hashes.values() for file in version.files):
                return json_reply(self._version_json(model, version, alone=True))
        return _not_found("Model not found")

    def _by_hashes(self, request: Request) -> Reply:
        try:
            asked = {str(value).upper() for value in json.loads(request.body)}
        except ValueError:
            return json_reply({"error": "Invalid input"}, 400)
        rows = [
            {"modelVersionId": version.id, "modelId": model.id, "hash": file.hashes["SHA256"]}
            for model, version in self._all()
            for file in version.files
            if file.hashes.get("SHA256") in asked
        ]
        return json_reply(rows)

    def _all(self) -> list[tuple[Model, Version]]:
        return [(model, version) for model in self.models.values() for version in model.versions]

    def _download(self, request: Request, version_id: int) -> Reply:
        if request.method == "HEAD":
            return json_reply({}, 405)
        found = self._version(version_id)
        if found is None:
            return json_reply({"error": "File not found"}, 404)
        if request.bearer != self.token:
            message = "The creator of this asset requires you to be logged in to download it"
            return json_reply({"error": "Unauthorized", "message": message}, 401)
        _, version = found
        if _is_early(version):
            message = "The creator of this asset has set this version to be in Early Access."
            return json_reply({"error": "Early Access", "deadline": version.early_access, "message": message}, 403)
        file = _choose(version.files, request)
        if file is None:
            return json_reply({"error": "File not found"}, 404)
        stored = Stored(content=file.content, filename=file.name, head=False)
        return redirect(307, self.storage.sign(f"model/{version.id}/{file.id}/{file.name}", stored))

    # -- shapes ------------------------------------------------------------------------------------

    def _model_json(self, model: Model) -> dict[str, Any]:
        versions = [self._version_json(model, v, index=n) for n, v in enumerate(model.versions)]
        return {
            "id": model.id,
            "name": model.name,
            "description": f"<p>{model.name}</p>",
            "allowNoCredit": True,
            "allowCommercialUse": ["Image", "RentCivit"],
            "allowDerivatives": True,
            "allowDifferentLicense": True,
            "type": model.type,
            "minor": False,
            "poi": False,
            "nsfw": model.nsfw_level > 1,
            "nsfwLevel": model.nsfw_level,
            "availability": "Public",
            "mode": model.mode,
            "creator": {"username": model.creator, "image": None},
            "tags": list(model.tags),
            "modelVersions": versions,
        }

    def _version_json(
        self, model: Model, version: Version, *, alone: bool = False, index: int | None = None
    ) -> dict[str, Any]:
        primary = next(
            (file for file in version.files if file.primary), version.files[0] if version.files else None
        )
        shape: dict[str, Any] = {
            "id": version.id,
            "name": version.name,
            "baseModel": version.base_model,
            "baseModelType": "Standard",
            "createdAt": version.published,
            "publishedAt": version.published,
            "status": version.status,
            "availability": "EarlyAccess" if _is_early(version) else "Public",
            "nsfwLevel": model.nsfw_level,
            "description": None,
            "trainedWords": list(version.trained_words),
            "earlyAccessEndsAt": version.early_access,
            "files": [_file_json(version, file, primary) for file in version.files],
            "images": [
                {
                    "id": version.id + 1,
                    "url": f"https://image.civitai.com/x/{version.id}/original=true/{version.id}.jpeg",
                    "nsfwLevel": model.nsfw_level,
                    "width": 512,
                    "height": 768,
                    "type": "image",
                }
            ],
            "downloadUrl": f"{SITE}/api/download/models/{version.id}",
        }
        if index is not None:
            shape["index"] = index
        if alone:
            air = f"urn:air:sd1:{model.type.lower()}:civitai:{model.id}@{version.id}"
            about = {"name": model.name, "type": model.type, "nsfw": model.nsfw_level > 1, "poi": False}
            shape |= {"modelId": model.id, "air": air, "usageControl": version.usage_control, "model": about}
            if model.mode:
                shape["model"]["mode"] = model.mode
        return shape


def _missing(version_id: int) -> tuple[Model, Version]:
    raise KeyError(version_id)


def _is_early(version: Version) -> bool:
    return version.early_access is not None and datetime.fromisoformat(version.early_access) > datetime.now(UTC)


def _file_json(version: Version, file: File, primary: File | None) -> dict[str, Any]:
    selectors = {"type": file.type, "format": file.format, "size": file.size, "fp": file.fp}
    query = urlencode({key: value for key, value in selectors.items() if value})
    metadata = {
        key: value for key, value in (("format", file.format), ("size", file.size), ("fp", file.fp)) if value
    }
    url = f"{SITE}/api/download/models/{version.id}"
    shape: dict[str, Any] = {
        "id": file.id,
        "sizeKB": len(file.content) / 1024,
        "name": file.name,
        "type": file.type,
        "pickleScanResult": file.pickle_scan,
        "pickleScanMessage": None,
        "virusScanResult": file.virus_scan,
        "virusScanMessage": None,
        "scannedAt": version.published,
        "metadata": metadata,
        "hashes": file.hashes,
        "downloadUrl": url if file is primary else f"{url}?{query}",
    }
    if file.primary:
        shape["primary"] = True  # the site leaves the key out of all others
    return shape


def _choose(files: Sequence[File], request: Request) -> File | None:
    """The file that a download URL means: by id, else the first that fits the selectors, the primary one first."""
    wanted = request.first("fileId")
    if wanted is not None:
        return next((file for file in files if str(file.id) == wanted), None)
    names = (("type", "type"), ("format", "format"), ("size", "size"), ("fp", "fp"))
    asked = {name: value for key, name in names if (value := request.first(key))}
    fitting = [file for file in files if all(getattr(file, name) == value for name, value in asked.items())]
    return next((file for file in fitting if file.primary), fitting[0] if fitting else None)


def _not_found(message: str) -> Reply:
    return json_reply({"error": message}, 404)
