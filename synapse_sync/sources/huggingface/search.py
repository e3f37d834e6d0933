"""Search on Hugging Face: the repositories of models whose names contain some words, in one request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from synapse_sync.core.frozen import dataclass
from synapse_sync.errors import NetworkError
from synapse_sync.sources.huggingface.statuses import page_of

if TYPE_CHECKING:
    from synapse_sync.net.api import Api

#: The fields of an answer; without `expand`, `gated` is left out (the hub's own JavaScript library asks alike).
_FIELDS = ("pipeline_tag", "library_name", "gated", "downloads", "likes", "lastModified", "tags")
#: Orders, in Civitai's words, and the hub's own; each is the largest or newest first.
SORTS = {"Most Downloaded": "downloads", "Most Liked": "likes", "Highest Rated": "likes", "Newest": "createdAt"}
#: The most results that one answer has.
_MOST = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRepository:
    """A repository of models that a search found.

    `task` is the hub's word for what it does, `base_model` the repository that it was made from. `gated` says that
    its files need access.
    """

    id: str
    task: str | None = None
    base_model: str | None = None
    downloads: int | None = None
    likes: int | None = None
    updated: str | None = None
    gated: bool = False
    tags: tuple[str, ...] = ()

    @property
    def page(self) -> str:
        """The address of its page."""
        return page_of(self.id)


def search(
    api: Api,
    endpoint: str,
    *,
    query: str | None,
    author: str | None = None,
    tag: str | None = None,
    sort: str | None = None,
    limit: int = 20,
) -> list[FoundRepository]:
    """Return the repositories that the hub at `endpoint` finds, at most `limit`, the best first.

    `sort` is one of `SORTS`, by default the most downloaded ones come first. Raises `NetworkError`.
    """
    asked = {"search": query, "author": author, "filter": tag, "sort": SORTS.get(sort or "", "downloads")}
    params = [(name, value) for name, value in asked.items() if value]
    params += [("limit", str(min(limit, _MOST))), *(("expand", field) for field in _FIELDS)]
    answer = api.get_json(f"{endpoint}/api/models", params)
    if not isinstance(answer, list):
        raise NetworkError(f"{endpoint} answered with something that is not its API")
    found = (_read(item) for item in answer if isinstance(item, Mapping))
    return [each for each in found if each is not None][:limit]


def _read(item: Mapping[str, object]) -> FoundRepository | None:
    """Read one result leniently: all but its name may be missing."""
    id_ = item.get("id") or item.get("modelId")
    if not isinstance(id_, str) or not id_:
        return None
    tags = item.get("tags")
    words = tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else ()
    return FoundRepository(
        id=id_,
        task="lora" if "lora" in words else _text(item.get("pipeline_tag")) or _text(item.get("library_name")),
        base_model=next((tag.rpartition(":")[2] for tag in words if tag.startswith("base_model:")), None),
        downloads=_number(item.get("downloads")),
        likes=_number(item.get("likes")),
        updated=_text(item.get("lastModified")),
        gated=bool(item.get("gated")),
        tags=words,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
