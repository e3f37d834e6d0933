"""Searching repositories: the answer is read leniently."""

from __future__ import annotations

from typing import Any

import pytest

from synapse_sync.errors import NetworkError
from synapse_sync.sources.huggingface.search import SORTS, FoundRepository, search


class Api:
    """An API that always answers the same."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[tuple[str, list[tuple[str, str]]]] = []

    def get_json(self, url: str, params: list[tuple[str, str]]) -> Any:
        self.asked.append((url, params))
        return self.answer


def found(answer: Any, **more: Any) -> list[FoundRepository]:
    return search(Api(answer), "https://hub.example", query="x", **more)  # type: ignore[arg-type]


def test_a_whole_result() -> None:
    (one,) = found([{
        "id": "ada/flux-lora", "pipeline_tag": "text-to-image", "library_name": "diffusers", "gated": "manual",
        "downloads": 12, "likes": 3, "lastModified": "2026-01-01T00:00:00.000Z",
        "tags": ["diffusers", "lora", "base_model:black-forest-labs/FLUX.1-dev",
                 "base_model:adapter:black-forest-labs/FLUX.1-dev"],
    }])  # fmt: skip
    assert (one.task, one.base_model, one.gated) == ("lora", "black-forest-labs/FLUX.1-dev", True)
    assert (one.downloads, one.likes, one.updated) == (12, 3, "2026-01-01T00:00:00.000Z")
    assert one.page == "https://huggingface.co/ada/flux-lora"


@pytest.mark.parametrize(
    "item",
    [
        {"id": "a/b"},
        {"modelId": "a/b", "tags": None, "downloads": "many", "likes": True, "gated": False},
        {"id": "a/b", "tags": [1, None], "pipeline_tag": 3, "lastModified": {}},
    ],
)
def test_all_but_the_name_may_be_missing(item: dict[str, Any]) -> None:
    assert found([item]) == [FoundRepository(id="a/b")]


@pytest.mark.parametrize("item", [None, 3, "x", {}, {"id": ""}, {"id": 4}])
def test_an_item_without_a_name_is_left_out(item: Any) -> None:
    assert found([item, {"id": "a/b"}]) == [FoundRepository(id="a/b")]


@pytest.mark.parametrize("answer", [None, {}, "x", 3])
def test_another_answer_is_an_error(answer: Any) -> None:
    with pytest.raises(NetworkError, match="not its API"):
        found(answer)


def test_the_limit_is_kept_whatever_comes() -> None:
    assert len(found([{"id": f"a/{n}"} for n in range(9)], limit=4)) == 4


@pytest.mark.parametrize(("sort", "asked"), [(None, "downloads"), *SORTS.items()])
def test_orders(sort: str | None, asked: str) -> None:
    api = Api([])
    search(api, "https://hub.example", query=None, sort=sort)  # type: ignore[arg-type]
    ((url, params),) = api.asked
    assert url == "https://hub.example/api/models"
    assert ("sort", asked) in params and "search" not in dict(params)
