"""A crawl of Civitai: everything once, in steps from which it can go on, and politely."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from synapse_sync.demo.civitai.things import File, Image, Model, Version
from synapse_sync.demo.exchange import Fault
from synapse_sync.demo.hub import Hub
from synapse_sync.demo.weights import png_bytes, safetensors_bytes
from synapse_sync.errors import InputError, StatusError
from synapse_sync.net.api import Api
from synapse_sync.net.credentials import Credentials
from synapse_sync.sources.civitai.client import Client
from synapse_sync.sources.civitai.crawl import LISTS, Kind, Link, Progress, Relation, Thing, crawl

Item = Thing | Relation | Progress
CREATORS = ("ada", "ben", "cleo")


@pytest.fixture
def client(hub: Hub) -> Iterator[Client]:
    hub.civitai.models.clear()
    for number in range(1, 6):
        files = (
            File(id=number * 100, name=f"{number}.safetensors", content=safetensors_bytes(str(number), size=99)),
        )
        meta = {"civitaiResources": [{"type": "lora", "modelVersionId": 10, "weight": 0.5}]}
        images = (
            Image(id=number * 1000, content=png_bytes("a"), meta=meta),
            Image(id=number * 1000 + 1, content=b"b", nsfw_level=8),
        )
        version = Version(id=number * 10, name="v1", files=files, images=images)
        hub.civitai.add(
            Model(
                id=number,
                name=f"m{number}",
                versions=(version,),
                creator=CREATORS[number % 3],
                tags=("x", f"t{number}"),
            )
        )
    with Api(Credentials(), sleep=lambda seconds: None) as api:
        yield Client(api, hub.civitai_url)


def counted(items: list[Item]) -> dict[str, int]:
    """How many there are of each kind of thing."""
    return dict(Counter(item.kind.value for item in items if isinstance(item, Thing)))


def related(items: list[Item], link: Link) -> set[tuple[Any, Any]]:
    return {(item.first[1], item.second[1]) for item in items if isinstance(item, Relation) and item.link is link}


def states(items: list[Item]) -> list[Progress]:
    return [item for item in items if isinstance(item, Progress)]


def test_a_crawl_finds_every_thing_and_relation_once(client: Client) -> None:
    found = list(crawl(client, nsfw=True, pause=0))
    assert counted(found) == {"model": 5, "version": 5, "file": 5, "image": 10, "creator": 3, "tag": 6}
    keys = [item.key for item in found if isinstance(item, Thing)]
    assert len(keys) == len(set(keys))
    assert related(found, Link.CREATED_BY) == {(number, CREATORS[number % 3]) for number in range(1, 6)}
    assert related(found, Link.HAS_VERSION) == {(number, number * 10) for number in range(1, 6)}
    assert related(found, Link.HAS_FILE) == {(number * 10, number * 100) for number in range(1, 6)}
    assert related(found, Link.SHOWN_BY) >= {(number * 10, number * 1000) for number in range(1, 6)}
    assert {(3, "x"), (3, "t3")} <= related(found, Link.TAGGED)
    assert isinstance(found[-1], Progress)


def test_galleries_have_settings_creators_and_the_versions_that_made_them(client: Client, hub: Hub) -> None:
    found = list(crawl(client, nsfw=True, galleries=10, pause=0))
    images = {item.id: item.value for item in found if isinstance(item, Thing) and item.kind is Kind.IMAGE}
    assert set(images) == {number * 1000 + n for number in range(1, 6) for n in (0, 1)}
    weights = {item.first[1]: item.weight for item in found
               if isinstance(item, Relation) and item.link is Link.MADE_WITH and item.second[1] == 10}  # fmt: skip
    assert weights[3000] == 0.5 and 3001 not in weights
    assert (3000, "ada") in related(found, Link.CREATED_BY)
    assert len([seen for seen in hub.requests() if seen.path.endswith("/images")]) == 5


def test_a_crawl_goes_on_from_every_point(client: Client) -> None:
    options: dict[str, Any] = {"lists": LISTS, "nsfw": True, "galleries": 5, "pause": 0}
    whole = list(crawl(client, **options))
    keys = {item.key for item in whole if isinstance(item, Thing)}
    relations = {item for item in whole if isinstance(item, Relation)}
    places = [place for place, item in enumerate(whole) if isinstance(item, Progress)]
    assert len(places) >= 9
    for place in places:
        state = json.loads(json.dumps(whole[place].state))  # type: ignore[union-attr]
        rest = list(crawl(client, state=state, **options))
        both = [*whole[: place + 1], *rest]
        assert {item.key for item in both if isinstance(item, Thing)} == keys
        assert {item for item in both if isinstance(item, Relation)} == relations
    assert [item for item in rest if not isinstance(item, Progress)] == [], "after the end nothing is asked again"


def test_a_finished_model_is_not_read_again(client: Client) -> None:
    found = list(crawl(client, nsfw=True, pause=0))
    third = [place for place, item in enumerate(found) if isinstance(item, Progress)][2]
    state = found[third].state  # type: ignore[union-attr]
    rest = list(crawl(client, nsfw=True, state=state, pause=0))
    assert [item.id for item in rest if isinstance(item, Thing) and item.kind is Kind.MODEL] == [4, 5]


def test_a_failure_leaves_a_point_to_go_on_from(client: Client, hub: Hub) -> None:
    hub.civitai.add_many(150, 7000)
    hub.faults.add("/api/v1/models", Fault(status=404, skip=1))
    items: list[Item] = []
    with pytest.raises(StatusError):
        items.extend(crawl(client, nsfw=True, pause=0))
    hub.faults.clear()
    items.clear()
    for item in crawl(client, nsfw=True, pause=0):
        items.append(item)
        if len(states(items)) == 120:
            break
    rest = list(crawl(client, nsfw=True, pause=0, state=states(items)[-1].state))
    models = [item.id for item in (*items, *rest) if isinstance(item, Thing) and item.kind is Kind.MODEL]
    assert len(models) == len(set(models)) == 155


def test_known_things_are_left_out_and_their_relations_are_not(client: Client) -> None:
    known = {(Kind.MODEL, 1), (Kind.TAG, "x")}
    found = list(crawl(client, nsfw=True, pause=0, known=lambda kind, id: (kind, id) in known))
    assert not known & {item.key for item in found if isinstance(item, Thing)}
    assert (1, 10) in related(found, Link.HAS_VERSION) and (3, "x") in related(found, Link.TAGGED)


def test_requests_are_a_pause_apart(client: Client, hub: Hub) -> None:
    waits: list[float] = []
    list(crawl(client, nsfw=True, galleries=1, pause=0.25, sleep=waits.append))
    assert waits == [0.25] * (len(hub.requests()) - 1)


def test_a_creator_of_the_list_has_more_facts_than_that_of_a_model(client: Client) -> None:
    found = list(crawl(client, lists=("models", "creators"), nsfw=True, pause=0))
    kinds = [item.kind for item in found if isinstance(item, Thing)]
    assert kinds.index(Kind.CREATOR) < kinds.index(Kind.MODEL), "the lists have an order of their own"
    ada = [item.value for item in found if isinstance(item, Thing) and item.key == (Kind.CREATOR, "ada")]
    assert [value.model_count for value in ada] == [1]  # type: ignore[union-attr]


def test_the_state_of_another_crawl_is_refused(client: Client, hub: Hub) -> None:
    state = states(list(crawl(client, nsfw=True, pause=0)))[0].state
    hub.clear_log()
    for options in ({"nsfw": True, "tag": "x"}, {}, {"nsfw": True, "lists": ("models", "tags")}):
        with pytest.raises(InputError, match="other lists or filters"):
            crawl(client, state=state, **options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no list to crawl"):
        crawl(client, lists=("modles",))
    assert hub.requests() == []
