"""The lists of the demo's Civitai besides models: images, creators, tags and the site's words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from synapse_sync.demo.civitai.things import Image, Model, Version
from synapse_sync.demo.exchange import Reply, Request, json_reply

_MOST = 200
_LEVELS = {1: "None", 2: "Soft", 4: "Mature", 8: "X", 16: "X"}
_HIGHEST = {"None": 1, "false": 1, "Soft": 2, "Mature": 4, "X": 31, "true": 31}
#: Some of the site's words; the real lists are longer, and grow.
ENUMS: Mapping[str, Sequence[str]] = {
    "ModelType": ("Checkpoint", "TextualInversion", "Hypernetwork", "LORA", "LoCon", "DoRA", "Controlnet",
                  "Upscaler", "MotionModule", "VAE", "Wildcards", "Workflows", "Other"),
    "ModelFileType": ("Model", "Text Encoder", "Pruned Model", "Negative", "Training Data", "VAE", "Config",
                      "Archive"),
    "ActiveBaseModel": ("SD 1.5", "SDXL 1.0", "Pony", "Illustrious", "Flux.1 D"),
    "BaseModel": ("SD 1.4", "SD 1.5", "SDXL 1.0", "Pony", "Illustrious", "Flux.1 D"),
    "BaseModelType": ("Standard", "Inpainting", "Refiner", "Pix2Pix"),
}  # fmt: skip


def enums() -> Reply:
    """Answer `/enums`."""
    return json_reply({name: list(words) for name, words in ENUMS.items()})


def images(request: Request, shown: Iterable[tuple[Model, Version, Image, str]]) -> Reply:
    """Answer `/images`: newest first, filtered by the query, with levels in words."""
    limit = request.number("limit", 50)
    if limit is None or not 0 <= limit <= _MOST:  # here, and for models, 0 is a page without items
        return json_reply({"error": {"name": "ZodError", "message": "limit"}, "code": "BAD_REQUEST"}, 400)
    highest = _HIGHEST.get(request.first("nsfw") or "true", 31)
    items = [
        _image_json(request, *row)
        for row in shown
        if row[2].nsfw_level <= highest and _is_wanted(request, *row[:3])
    ]
    items.sort(key=lambda item: -item["id"])
    cursor, page = request.first("cursor"), request.number("page", 1)
    start = int(cursor) if cursor and cursor.isdigit() else ((page or 1) - 1) * limit
    metadata: dict[str, Any] = {"currentPage": page, "pageSize": limit} if request.first("page") else {}
    if limit and items[start + limit :]:
        kept = [(key, value) for key, value in request.pairs if key not in ("cursor", "page")]
        query = urlencode([*kept, ("cursor", str(start + limit))])
        host = request.headers.get("host", "")
        metadata |= {
            "nextCursor": str(start + limit),
            "nextPage": f"http://{host}/api/v1/images?{query}",
        }
    return json_reply({"items": items[start : start + limit], "metadata": metadata})


def _is_wanted(request: Request, model: Model, version: Version, image: Image) -> bool:
    of = {"modelId": model.id, "modelVersionId": version.id, "postId": version.id, "username": model.creator,
          "imageId": image.id, "type": image.type}  # fmt: skip
    return all(request.first(name) in (None, str(value)) for name, value in of.items())


def _image_json(request: Request, model: Model, version: Version, image: Image, url: str) -> dict[str, Any]:
    meta = {
        "prompt": f"an image of {model.name}",
        "seed": image.id,
        "steps": 20,
        "sampler": "Euler a",
        **image.meta,
    }
    return {
        "id": image.id,
        "url": url,
        "hash": image.hash,
        "width": image.width,
        "height": image.height,
        "nsfwLevel": _LEVELS.get(image.nsfw_level, "X"),
        "type": image.type,
        "nsfw": image.nsfw_level > 1,
        "browsingLevel": image.nsfw_level,
        "createdAt": version.published,
        "postId": version.id,
        "stats": {"cryCount": 0, "laughCount": 0, "likeCount": 3, "heartCount": 1, "commentCount": 0},
        "meta": meta if request.first("withMeta") == "true" else None,
        "username": model.creator,
        "baseModel": version.base_model,
        "modelVersionIds": [version.id],
    }


def creators(request: Request, models: Iterable[Model]) -> Reply:
    """Answer `/creators`."""
    counts: dict[str, int] = {}
    for model in models:
        counts[model.creator] = counts.get(model.creator, 0) + 1
    host = request.headers.get("host", "")
    items = [
        {"username": name, "modelCount": count, "link": f"http://{host}/api/v1/models?username={name}"}
        for name, count in sorted(counts.items())
        if (request.first("query") or "").lower() in name.lower()
    ]
    return _page(request, "creators", items)


def tags(request: Request, models: Iterable[Model]) -> Reply:
    """Answer `/tags`; the site no longer says how many models have one."""
    host = request.headers.get("host", "")
    items = [
        {"name": name, "link": f"http://{host}/api/v1/models?tag={name}"}
        for name in sorted({tag for model in models for tag in model.tags})
        if (request.first("query") or "").lower() in name.lower()
    ]
    return _page(request, "tags", items)


def _page(request: Request, path: str, items: Sequence[dict[str, Any]]) -> Reply:
    """Return one page of a list that has a length but no cursors."""
    limit, page = request.number("limit", 20), request.number("page", 1)
    if limit is None or page is None or not 0 < limit <= _MOST or page < 1:
        return json_reply({"error": {"name": "ZodError", "message": "limit, page"}}, 400)
    pages = -(-len(items) // limit)
    metadata: dict[str, Any] = {
        "totalItems": len(items),
        "currentPage": page,
        "pageSize": limit,
        "totalPages": pages,
    }
    kept = [(key, value) for key, value in request.pairs if key != "page"]
    for name, number in (("nextPage", page + 1), ("prevPage", page - 1)):
        if 0 < number <= pages:
            query = urlencode([*kept, ("page", str(number))])
            metadata[name] = f"http://{request.headers.get('host', '')}/api/v1/{path}?{query}"
    start = (page - 1) * limit
    return json_reply({"items": items[start : start + limit], "metadata": metadata})
