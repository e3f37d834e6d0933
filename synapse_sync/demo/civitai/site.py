"""The parts of Civitai's API that synapse uses, with the site's habits: shapes as in answers of 2025 and 2026.

The same version looks different in the three places where it is found: in the list, below its model, and alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from synapse_sync.demo.civitai.lists import creators, enums, images, tags
from synapse_sync.demo.civitai.shapes import Shapes, air, choose, is_early, not_found
from synapse_sync.demo.civitai.things import SITE, File, Image, Model, Version
from synapse_sync.demo.exchange import Reply, Request, html_reply, json_reply, redirect
from synapse_sync.demo.storage import Storage, Stored
from synapse_sync.demo.weights import safetensors_bytes

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


@dataclass(slots=True)
class Civitai:
    """The site: its models, and its answers.

    With `pinned_urls` it writes download URLs in the form that it has since August 2026. After `quota` redirects to
    the storage it refuses more. To a blocked region it refuses everything. `favorites` and `hidden` are models of
    the account that its token belongs to.
    """

    storage: Storage
    token: str
    models: dict[int, Model] = field(default_factory=dict)
    pinned_urls: bool = False
    quota: int | None = None
    redirects: int = 0
    region_blocked: bool = False
    favorites: set[int] = field(default_factory=set)
    hidden: set[int] = field(default_factory=set)

    @property
    def _shapes(self) -> Shapes:
        return Shapes(self.storage, self.pinned_urls)

    # -- filling it --------------------------------------------------------------------------------

    def add(self, *models: Model) -> None:
        """Publish models; they replace those with the same ids."""
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
        """Change the bytes of a version's first file without a new id, as the upload of a corrected file does."""
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
                    return not_found(f"No model with id {number}")
                return json_reply(self._shapes.model(model))
            case ("api", "v1", "model-versions", "mini", number) if number.isdigit():
                return self._mini(int(number))
            case ("api", "v1", "model-versions", number) if number.isdigit():
                return self._one_version(int(number))
            case ("api", "v1", "images"):
                return images(request, self._images())
            case ("api", "v1", "creators"):
                return creators(request, list(self.models.values()))
            case ("api", "v1", "tags"):
                return tags(request, list(self.models.values()))
            case ("api", "v1", "enums"):
                return enums()
            case ("api", "v1", "me") if self._knows(request):
                return json_reply({"id": 7, "username": "newcomer", "tier": "free", "status": "active"})
            case ("api", "v1", "me"):
                return json_reply({"error": "Unauthorized"}, 401)
            case _:
                return not_found("Not found")

    def _knows(self, request: Request) -> bool:
        """Whether a request has the right token; one in the query counts only without a header, as on the site."""
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
            return not_found("Model not found")
        if not found[1].files:
            return not_found("Missing model file")
        return json_reply(self._shapes.version(*found, "alone"))

    def _mini(self, version_id: int) -> Reply:
        """Answer `/model-versions/mini`: only this has the name of the upload, and whether to log in."""
        found = self._version(version_id)
        if found is None or found[1].status != "Published":
            return not_found("Model not found")
        model, version = found
        file = choose(version.files, None)
        if file is None:
            return not_found("Missing model file")
        return json_reply(
            {
                "air": air(model, version),
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
                "checkPermission": is_early(version),
                "earlyAccessEndsAt": version.early_access,
                "minor": False,
                "sfwOnly": False,
            }
        )

    def _images(self) -> list[tuple[Model, Version, Image, str]]:
        rows = [(model, version, image) for model, version in self._all() for image in version.images]
        return [(*row, self._shapes.image(row[2], "alone")["url"]) for row in rows]

    # -- the list ----------------------------------------------------------------------------------

    def _list(self, request: Request) -> Reply:
        limit, page, start = request.number("limit", _LIMIT), request.number("page", 1), 0
        if limit is None or page is None or not 0 <= limit <= _LIMIT or page < 1:
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
        items = [self._shapes.model(model, listed=True) for model in found[start : start + limit]]
        more = found[start + limit :] if limit else []
        return json_reply({"items": items, "metadata": _paging(request, page, limit, start + limit, more)})

    def _search(self, request: Request) -> list[Model]:
        """Return the models that fit the query; without `nsfw=true` the site omits some silently."""
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
        models = [model for model in models if self._is_allowed(request, model)]
        if request.first("primaryFileOnly") == "true":
            models = [_with_primary_files(model) for model in models]
        if types := request.all("types"):
            models = [model for model in models if model.type in types]
        if bases := set(request.all("baseModels")):
            models = [model for model in models if bases & {version.base_model for version in model.versions}]
        if (order := request.first("sort")) in ("Newest", "Oldest"):
            newest = order == "Newest"
            models = sorted(models, key=lambda model: max(v.published for v in model.versions), reverse=newest)
        if request.first("nsfw") != "true":
            models = [model for model in models if model.nsfw_level & 1]  # without a word about it
        return list(models)

    def _is_allowed(self, request: Request, model: Model) -> bool:
        """Whether a model passes the flags of a question; some of them are true whatever their text says."""
        flags = (("allowNoCredit", model.credit), ("allowDerivatives", model.derivatives),
                 ("allowDifferentLicenses", model.relicense))  # fmt: skip
        for name, allowed in flags:
            if (said := request.first(name)) is not None and (said == "true") is not allowed:
                return False
        for name, ids in (("favorites", self.favorites), ("hidden", self.hidden)):
            if request.first(name) is not None and model.id not in ids:
                return False
        uses = set(request.all("allowCommercialUse"))
        if uses and not uses & set(model.commercial_use or ("None",)):
            return False
        return model.generation or request.first("supportsGeneration") is None

    # -- hashes ------------------------------------------------------------------------------------

    def _by_hash(self, value: str) -> Reply:
        """Answer with the oldest version that holds these bytes."""
        holders = [
            (version.published, version.id, model, version)
            for model, version in self._all()
            if any(value.upper() in file.hashes.values() for file in version.files)
        ]
        if not holders:
            return not_found("Model not found")
        _, _, model, version = min(holders, key=lambda holder: holder[:2])
        return json_reply(self._shapes.version(model, version, "alone"))

    def _by_hashes(self, request: Request) -> Reply:
        """Answer with whole versions, with the site's own bug: their URLs lead nowhere."""
        asked = _hashes(request, _LIMIT)
        if asked is None:
            return json_reply({"error": _NO_ARRAY}, 400)
        found = [
            self._shapes.version(model, version, "alone", site="https://undefined")
            for model, version in self._all()
            if any(file.hashes.get("SHA256") in asked for file in version.files)
        ]
        # Its other bugs: nulls among the versions, and versions that appear twice.
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
            return not_found("File not found")
        model, version = found
        if (refused := self._refusal(request, model, version)) is not None:
            return refused
        file = choose(version.files, request)
        if file is None:
            return not_found("File not found")
        if self.quota is not None and self.redirects >= self.quota:
            return json_reply({"error": _TOO_MUCH}, 429)
        self.redirects += 1
        stored = Stored(content=file.content, filename=file.name, head=False)
        where = self.storage.sign(f"model/{version.id}/{file.id}/{file.name}", stored)
        return redirect(307, where, Cache_Control="no-store")

    def _refusal(self, request: Request, model: Model, version: Version) -> Reply | None:
        """Return the refusal of a download, checked in the site's order; None if it is allowed."""
        if model.mode == "Archived":
            return json_reply({"error": "Model archived, not available for download"}, 410)
        if version.status != "Published":
            return not_found("File not found")
        if version.usage_control != "Download":
            return json_reply({"error": "Unauthorized", "message": _DISABLED}, 401)
        if not self._knows(request):
            if any(name in request.headers.get("user-agent", "").lower() for name in _BROWSERS):
                query = urlencode({"returnUrl": f"/model-versions/{version.id}", "reason": "download-auth"})
                return redirect(307, f"/login?{query}")
            return json_reply({"error": "Unauthorized", "message": _LOG_IN}, 401)
        if is_early(version):
            when = {"deadline": version.early_access} if version.early_access else {}
            return json_reply({"error": "Early Access", **when, "message": _EARLY}, 403)
        if version.private:
            return json_reply({"error": "You do not have access to download this file"}, 403)
        return None


def _with_primary_files(model: Model) -> Model:
    """Return a model whose versions have their primary files alone."""
    versions = (replace(v, files=tuple(file for file in v.files if file.primary)) for v in model.versions)
    return replace(model, versions=tuple(versions))


def _paging(request: Request, page: int, limit: int, start: int, more: Sequence[Model]) -> dict[str, Any]:
    """Return the metadata of a page; `more` are the models after it, and without any there is no cursor."""
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
    """Return the SHA-256s in a body of at most `most`; None if it is not a list of texts."""
    try:
        values = json.loads(request.body)
    except ValueError:
        return None
    if not isinstance(values, list) or len(values) > most or not all(isinstance(v, str) for v in values):
        return None
    return {value.upper() for value in values}


def _missing(version_id: int) -> tuple[Model, Version]:
    raise KeyError(version_id)
