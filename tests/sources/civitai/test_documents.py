"""The documents about Civitai's API, row by row: each endpoint, parameter, field, pattern and rule that they name.

The documents are five descriptions of the API that this project was given, numbered 000 to 004. A row quotes one
point of one of them, and its function shows that the point holds: in the client, and on the command line where a
person would want it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from world import Project

from synapse_sync.core.rating import may_be_shown
from synapse_sync.demo import catalogue
from synapse_sync.demo.civitai.things import File, Image, Model, Version
from synapse_sync.demo.exchange import Fault
from synapse_sync.demo.hub import Hub
from synapse_sync.demo.weights import png_bytes, safetensors_bytes
from synapse_sync.errors import InputError, StatusError
from synapse_sync.net.api import Api
from synapse_sync.net.credentials import Credentials, Grant, Secret
from synapse_sync.sources.civitai import filters, schema, schema_lists
from synapse_sync.sources.civitai.client import Client
from synapse_sync.sources.civitai.crawl import Kind, Link, Progress, Relation, Thing, crawl
from synapse_sync.sources.civitai.fields import Fields
from synapse_sync.sources.civitai.files import card_of
from synapse_sync.sources.civitai.image_urls import ImageIds, ImageUrl, address, identity, numbered
from synapse_sync.sources.civitai.vocabulary import model_type

API = "/api/v1"
MODEL, VERSION, FILE = 100, 1000, 10_000
KEY = "https://image.civitai.com/xG1nkqKTMzGDvpLrqFT7WA"
OLD = "https://imagecache.civitai.com/xG1nkqKTMzGDvpLrqFT7WA"
ONE, TWO = "42b875cf-c62b-41fa-a349-383b7f074351", "f3a1aa7c-0159-4dd8-884a-1e7ceb350f96"
BLUR = "UKHU@6H?_ND*_3M{t84o^+%MD%xuXSxasAt7"
META = {
    "prompt": "a fox", "negativePrompt": "blur", "sampler": "DPM++ 2M Karras", "seed": 234871805, "cfgScale": 7,
    "steps": 35, "Clip skip": "2", "Size": "512x768", "Model": "mix", "Model hash": "27EA8C02",
    "resources": [
        {"name": "mix", "type": "model", "hash": "27EA8C02"}, {"name": "detail", "type": "lora", "weight": 0.6},
    ],
    "civitaiResources": [{"type": "lora", "weight": 0.8, "modelVersionId": 62833, "modelVersionName": "v2"}],
}  # fmt: skip


@dataclass(frozen=True)
class Stage:
    """The hub, a client of it, and a project on the command line."""

    hub: Hub
    client: Client
    project: Project

    def publish(self, *images: Image, version: dict[str, Any] | None = None, **model: Any) -> Model:
        """Publish model 100 with one version of one file."""
        file = File(id=FILE, name="f.safetensors", content=safetensors_bytes("f", size=300), primary=True)
        only = Version(**{"id": VERSION, "name": "v1", "files": (file,), "images": images, **(version or {})})
        made = Model(**{"id": MODEL, "name": "M", "versions": (only,), "type": "LORA", **model})
        self.hub.civitai.add(made)
        return made

    def queries(self) -> list[str]:
        """The queries so far, and forget them."""
        found = [seen.query for seen in self.hub.requests("civitai")]
        self.hub.clear_log()
        return found

    def query(self) -> list[str]:
        """The parameters of the only request so far."""
        (query,) = self.queries()
        return query.split("&")

    def names(self, **filters: Any) -> set[str | None]:
        """The names of the models that a question finds."""
        return {model.name for model in self.client.models(**filters)}


@pytest.fixture
def stage(hub: Hub, project: Project) -> Iterator[Stage]:
    grants = [Grant(hub.civitai_url, Secret(hub.civitai_token), "/api/")]
    with Api(Credentials(grants), sleep=lambda seconds: None) as api:
        yield Stage(hub, Client(api, hub.civitai_url), project)


Check = Callable[[Stage], None]
ROWS: dict[str, Check] = {}


def row(*words: str) -> Callable[[Check], Check]:
    """Register what shows that rows of the documents hold."""

    def register(check: Check) -> Check:
        for quoted in words:
            assert quoted not in ROWS, quoted
            ROWS[quoted] = check
        return check

    return register


def image(number: int = 1, **more: Any) -> Image:
    return Image(**{"id": number, "content": png_bytes(str(number)), **more})


def preview(**raw: Any) -> schema.ModelImage:
    return schema.ModelImage.decode(Fields({"url": f"{KEY}/{ONE}/width=450/1.jpeg", **raw}, "image"))


# -- 1. the parameters of lists ----------------------------------------------------------------------


@row("001 models limit 0-200, default 20")
def _(stage: Stage) -> None:
    assert stage.client.models_page(limit=0).items == ()
    assert stage.query() == ["limit=0"]
    assert stage.project("search", "--limit", "0", "--json").json["results"] == []
    assert len(stage.client.models_page(limit=3).items) == 3
    with pytest.raises(InputError, match="at most 100"):
        stage.client.models_page(limit=101)
    stage.queries()
    stage.project("search", "portrait")
    assert "limit=20" in stage.query()


@row("001 models nsfw true/false/undefined")
def _(stage: Stage) -> None:
    for option, sent in (("--nsfw", "nsfw=true"), ("--no-nsfw", "nsfw=false"), (None, None)):
        stage.project("search", "mature", *([option] if option else []))
        assert [word for word in stage.query() if word.startswith("nsfw")] == ([sent] if sent else [])
    assert stage.names(query="mature", nsfw=True) == {"Mature Model"}
    assert stage.names(query="mature", nsfw=False) == stage.names(query="mature") == set()


@row("002 models.rating parameter")
def _(stage: Stage) -> None:
    list(stage.client.models(rating=4, limit=1))
    assert "rating=4" in stage.query()
    stage.project("search", "--rating", "4")
    assert "rating=4" in stage.query()


@row("003 models favorites (auth)", "003 models hidden (auth)")
def _(stage: Stage) -> None:
    stage.publish()
    for name, ids in (("favorites", stage.hub.civitai.favorites), ("hidden", stage.hub.civitai.hidden)):
        ids.add(MODEL)
        assert [model.id for model in stage.client.models(**{name: True})] == [MODEL]
        stage.queries()
        found = stage.project("search", f"--{name}", "--json").json["results"]
        assert [one["id"] for one in found] == [MODEL]
        assert f"{name}=true" in stage.query()
        list(stage.client.models(**{name: False, "limit": 1}))
        assert not any(word.startswith(name) for word in stage.query()), "its presence alone is a question"
    anonymous = Client(Api(Credentials()), stage.hub.civitai_url)
    with anonymous, pytest.raises(StatusError) as caught:
        list(anonymous.models(favorites=True))
    assert caught.value.status == 401


@row("003 models primaryFileOnly")
def _(stage: Stage) -> None:
    files = tuple(
        File(id=FILE + n, name=f"{n}.safetensors", content=safetensors_bytes(str(n), size=99), primary=n == 0)
        for n in range(2)
    )
    stage.publish(version={"files": files}, creator="eve")
    found = {
        flag: next(stage.client.models(username="eve", primary_file_only=flag)) for flag in (True, False, None)
    }
    assert {flag: len(model.versions[0].files) for flag, model in found.items()} == {True: 1, False: 2, None: 2}
    stage.queries()
    stage.project("search", "--primary-file-only")
    assert "primaryFileOnly=true" in stage.query()


@row("003 models allowNoCredit", "003 models allowDerivatives")
def _(stage: Stage) -> None:
    stage.publish(credit=False, derivatives=False, relicense=False)
    for key, option, sent in (
        ("allow_no_credit", "allow-no-credit", "allowNoCredit"),
        ("allow_derivatives", "allow-derivatives", "allowDerivatives"),
        ("allow_different_licenses", "allow-different-licenses", "allowDifferentLicenses"),
    ):
        assert stage.names(**{key: False}) == {"M"}
        assert "M" not in stage.names(**{key: True})
        stage.queries()
        stage.project("search", f"--{option}")
        assert f"{sent}=true" in stage.query()
        stage.project("search", f"--no-{option}")
        assert f"{sent}=false" in stage.query()


@row("003 models allowCommercialUse")
def _(stage: Stage) -> None:
    stage.publish(commercial_use=("Sell",))
    assert stage.names(allow_commercial_use="Sell") == {"M"}
    assert "M" in stage.names(allow_commercial_use=["Sell", "Image"])
    stage.queries()
    stage.project("search", "--allow-commercial-use", "sell", "--allow-commercial-use", "rentcivit")
    assert {"allowCommercialUse=Sell", "allowCommercialUse=RentCivit"} <= set(stage.query())


@row("003 models supportsGeneration")
def _(stage: Stage) -> None:
    stage.publish(generation=False)
    assert "M" not in stage.names(supports_generation=True)
    stage.queries()
    assert "M" in stage.names(supports_generation=False)
    assert "supportsGeneration" not in stage.queries()[0], "the site would read `false` as true"
    stage.project("search", "--supports-generation")
    assert "supportsGeneration=true" in stage.query()


@row("003 images nsfw boolean")
def _(stage: Stage) -> None:
    stage.publish(image(1), image(2, nsfw_level=8))
    assert [one.id for one in stage.client.images(model_id=MODEL, nsfw=False)] == [1]
    assert [one.id for one in stage.client.images(model_id=MODEL, nsfw=True)] == [2, 1]
    stage.queries()
    for words, sent in (
        (["--nsfw"], "nsfw=true"), (["--no-nsfw"], "nsfw=false"), (["--nsfw", "soft"], "nsfw=Soft"),
        (["--nsfw", "false"], "nsfw=false"), ([], None),
    ):  # fmt: skip
        stage.project("images", *words, "--model", str(MODEL))
        assert [word for word in stage.query() if word.startswith("nsfw")] == ([sent] if sent else [])


# -- 2. pages ----------------------------------------------------------------------------------------


@row("001 models page")
def _(stage: Stage) -> None:
    stage.hub.civitai.models.clear()
    stage.hub.civitai.add_many(7, 500)
    second = stage.client.models_page(page=2, limit=3)
    assert [model.id for model in second.items] == [503, 504, 505]
    assert (second.metadata.current_page, second.metadata.page_size) == (2, 3)
    value = stage.project("search", "--page", "3", "--limit", "3", "--json").json
    assert [found["id"] for found in value["results"]] == [506]
    assert value["metadata"]["current_page"] == 3 and value["metadata"]["next_cursor"] is None
    stage.queries()
    with pytest.raises(InputError, match="Cannot use page param with query search"):
        stage.client.models_page(query="many", page=2)
    with pytest.raises(InputError, match="too many pages"):
        stage.client.models_page(page=11)
    said = stage.project("search", "many", "--page", "2", code=2).err
    assert "Cannot use page param with query search" in said and "--cursor" in said
    assert stage.queries() == [], "refused before anything is asked"


@row("001 items[] + metadata typed", "004 CursorMetadata")
def _(stage: Stage) -> None:
    stage.hub.civitai.models.clear()
    stage.hub.civitai.add_many(5, 500)
    first = stage.client.models_page(query="many", limit=3)
    assert first.metadata.next_cursor is not None and first.metadata.next_page is not None
    rest = stage.client.models_page(query="many", limit=3, cursor=first.metadata.next_cursor)
    assert [model.id for model in (*first.items, *rest.items)] == [500, 501, 502, 503, 504]
    assert rest.metadata.next_cursor is None
    listing = stage.client.models(query="many", limit=3)
    assert [model.id for model in listing] == [500, 501, 502]
    assert listing.metadata is not None and listing.metadata.next_cursor == first.metadata.next_cursor
    value = stage.project("search", "many", "--limit", "3", "--json").json
    cursor = value["metadata"]["next_cursor"]
    value = stage.project("search", "many", "--limit", "3", "--cursor", cursor, "--json").json
    assert [found["id"] for found in value["results"]] == [503, 504]


@row("002 creators limit (0 = all)", "002 creators page", "004 PaginationMetadata")
def _(stage: Stage) -> None:
    stage.hub.civitai.models.clear()
    for number in range(45):
        stage.hub.civitai.add(Model(id=number + 1, name="x", versions=(), creator=f"c{number:02}"))
    everyone = [f"c{number:02}" for number in range(45)]
    assert [one.username for one in stage.client.creators(limit=0)] == everyone
    whole = stage.client.creators_page(limit=0)
    assert [one.username for one in whole.items] == everyone and whole.metadata.total_items == 45
    assert len(stage.project("creators", "--limit", "0", "--json").json["creators"]) == 45
    third = stage.client.creators_page(page=3, limit=20)
    assert [one.username for one in third.items] == everyone[40:]
    assert (third.metadata.total_items, third.metadata.total_pages, third.metadata.current_page) == (45, 3, 3)
    value = stage.project("creators", "--page", "2", "--json").json
    assert [one["username"] for one in value["creators"]] == everyone[20:40]
    assert value["metadata"]["total_items"] == 45 and value["metadata"]["prev_page"].endswith("page=1")


@row("002 metadata totalItems..prevPage (strings)")
def _(stage: Stage) -> None:
    raw = {
        "totalItems": "46",
        "currentPage": "2",
        "pageSize": "3",
        "totalPages": "16",
        "prevPage": "p",
        "nextPage": "n",
    }
    body = json.dumps({"items": [{"name": "a"}], "metadata": raw}).encode()
    for verb, path in (("tags", "tags"), ("images", "images"), ("search", "models")):
        stage.hub.faults.add(
            f"{API}/{path}", Fault(status=200, body=body.replace(b'[{"name": "a"}]', b"[]"), times=1)
        )
        told = stage.project(verb, "--json").json["metadata"]
        known = ("total_items", "current_page", "page_size", "total_pages", "prev_page", "next_page")
        assert [told[name] for name in known] == [46, 2, 3, 16, "p", "n"]
    stage.hub.faults.add(f"{API}/tags", Fault(status=200, body=body, times=1))
    page = stage.client.tags_page(page=2, limit=3)
    assert page.items == (schema_lists.Tag(name="a"),)
    assert (page.metadata.total_items, page.metadata.prev_page) == (46, "p")


@row("002 tags limit/page/query")
def _(stage: Stage) -> None:
    stage.hub.civitai.models.clear()
    names = [f"t{number:03}" for number in range(230)]
    stage.publish(tags=tuple(names))
    assert [tag.name for tag in stage.client.tags(limit=0)] == names
    assert len(stage.client.tags_page(limit=0).items) == 230
    assert [tag.name for tag in stage.client.tags_page(page=2, limit=200).items] == names[200:]
    assert [tag.name for tag in stage.client.tags_page(query="22", page=1, limit=3).items] == names[22:23] + names[
        122:123
    ] + names[220:221]
    value = stage.project("tags", "--page", "12", "--limit", "20", "--json").json
    assert [tag["name"] for tag in value["tags"]] == names[220:]
    assert value["metadata"]["total_items"] == 230
    assert len(stage.project("tags", "--limit", "0", "--json").json["tags"]) == 230


@row("003 images page")
def _(stage: Stage) -> None:
    stage.publish(*(image(number) for number in range(1, 6)))
    second = stage.client.images_page(model_id=MODEL, page=2, limit=2)
    assert [one.id for one in second.items] == [3, 2] and second.metadata.current_page == 2
    third = stage.client.images_page(model_id=MODEL, cursor=second.metadata.next_cursor, limit=2)
    assert [one.id for one in third.items] == [1] and third.metadata.next_cursor is None
    model = ("--model", str(MODEL), "--json")
    value = stage.project("images", "--page", "2", "--limit", "2", *model).json
    assert [one["id"] for one in value["images"]] == [3, 2]
    value = stage.project("images", "--cursor", value["metadata"]["next_cursor"], "--limit", "2", *model).json
    assert [one["id"] for one in value["images"]] == [1]
    assert stage.project("images", "--limit", "0", *model).json["images"] == []


# -- 3. fields ---------------------------------------------------------------------------------------


@row("000 images[]: nsfw, nsfwLevel", "003 image.nsfw boolean")
def _(stage: Stage) -> None:
    said = [{"nsfw": True}, {"nsfw": False}, {"nsfw": "Soft"}, {"nsfw": "None"}, {"nsfwLevel": 4}, {}]
    found = [preview(**raw) for raw in said]
    assert [(one.nsfw, one.nsfw_level) for one in found] == [
        (True, 8), (False, 1), (True, 2), (False, 1), (None, 4), (None, 0),
    ]  # fmt: skip
    decoded = schema_lists.Image.decode(
        {"id": 1, "url": "https://e.com/x.png", "nsfw": True, "nsfwLevel": "Mature"}
    )
    assert (decoded.nsfw, decoded.nsfw_level, decoded.browsing_level) == (True, "Mature", 4)
    stage.publish(image(1, nsfw_level=4))
    (value,) = stage.project("images", "--model", str(MODEL), "--json").json["images"]
    assert (value["nsfw"], value["nsfw_level"], value["browsing_level"]) == (True, "Mature", 4)


@row("000 images[]: meta", "004 Entity ModelImage")
def _(stage: Stage) -> None:
    meta = preview(meta=META).meta
    assert meta is not None
    assert (meta.prompt, meta.negative_prompt, meta.sampler) == ("a fox", "blur", "DPM++ 2M Karras")
    assert (meta.seed, meta.steps, meta.cfg_scale, meta.clip_skip, meta.size) == (234871805, 35, 7.0, 2, (512, 768))
    assert [(one.kind, one.name, one.hash, one.weight) for one in meta.resources] == [
        ("model", "mix", "27ea8c02", None), ("lora", "detail", None, 0.6),
    ]  # fmt: skip
    assert [(one.type, one.version_id, one.weight) for one in meta.civitai_resources] == [("lora", 62833, 0.8)]
    assert meta["Clip skip"] == "2" and dict(meta) == META
    assert preview(meta=None).meta is None
    stage.publish(image(1, meta=META))
    (version,) = stage.project("info", f"civitai:{MODEL}", "--json").json["versions"]
    assert version["previews"][0]["meta"] == META
    assert version["previews"][0]["resources"][0]["reference"] == "civitai:@62833"


@row("002 models fields id,name,description,type,nsfw,tags", "003 version.description (changelog)")
def _(stage: Stage) -> None:
    html = "<h2>About</h2><p>Uses &lt;lora&gt;</p><ul><li>one</li></ul><script>alert(1)</script>\x1b[31m&#27;[2J"
    stage.publish(description=html, version={"description": "<p>Now <b>better</b></p>"})
    value = stage.project("info", f"civitai:{MODEL}", "--json").json
    assert value["description"] == html and value["versions"][0]["description"] == "<p>Now <b>better</b></p>"
    said = stage.project("info", f"civitai:{MODEL}").out
    for words in ("About", "Uses <lora>", "- one", "Now better"):
        assert words in said
    assert "alert" not in said and "\x1b" not in said and "<p>" not in said
    (found,) = stage.project(
        "search", "M", "--creator", "ada", "--type", "lora", "--tag", "", "--json", code=0
    ).json["results"] or [None]
    assert found is None or found["description"] == html


@row("002 models.creator.username/.image", "002 creators.link")
def _(stage: Stage) -> None:
    raw = {"id": 5, "creator": {"username": "Ada", "image": "https://e.com/ada.jpeg"}, "modelVersions": []}
    stage.hub.faults.add(f"{API}/models/5", Fault(status=200, body=json.dumps(raw).encode(), times=1))
    assert stage.project("info", "civitai:5", "--json").json["creator_image"] == "https://e.com/ada.jpeg"
    (found,) = stage.project("creators", "ada", "--json").json["creators"]
    assert found["link"].endswith(f"{API}/models?username=ada") and "image" in found


@row("002 files.scannedAt", "002 pickleScanMessage")
def _(stage: Stage) -> None:
    stage.publish(version={"published": "2026-02-03T04:05:06.000Z"})
    (file,) = stage.client.model_version(VERSION).files
    assert (file.scanned_at, file.pickle_message) == ("2026-02-03T04:05:06.000Z", "No Pickle imports")
    value = stage.project("info", f"civitai:{MODEL}", "--json").json["versions"][0]["files"][0]
    assert value["scanned"] == "2026-02-03T04:05:06.000Z"
    assert (value["pickle_scan"], value["pickle_message"]) == ("Success", "No Pickle imports")
    said = stage.project("info", f"civitai:{MODEL}").out
    assert "2026-02-03" in said and "No Pickle imports" in said


@row("002 images.hash (blurhash)")
def _(stage: Stage) -> None:
    stage.publish(image(1, hash=BLUR))
    assert stage.client.model_version(VERSION).images[0].hash == BLUR
    assert stage.project("images", "--model", str(MODEL), "--json").json["images"][0]["hash"] == BLUR
    version = stage.project("info", f"civitai:{MODEL}", "--json").json["versions"][0]
    assert version["previews"][0]["hash"] == BLUR


@row("002 model.poi")
def _(stage: Stage) -> None:
    stage.publish(poi=True)
    assert stage.client.model_version(VERSION).model.poi is True
    assert stage.client.model(MODEL).poi is True
    assert stage.project("info", f"civitai:{MODEL}", "--json").json["poi"] is True
    assert "shows a real person" in stage.project("info", f"civitai:{MODEL}").out


@row("002 modelName (legacy top level)")
def _(stage: Stage) -> None:
    version = schema.ModelVersion.decode({"id": 1, "modelId": 2, "modelName": "Old One"})
    assert version.model.name == "Old One" and card_of(version, None).title == "Old One"
    newer = schema.ModelVersion.decode({"id": 1, "modelName": "Old One", "model": {"name": "New One"}})
    assert newer.model.name == "New One"


@row("003 stats downloadCount,favoriteCount,commentCount,ratingCount,rating")
def _(stage: Stage) -> None:
    stats = {"downloadCount": 15000, "favoriteCount": 4, "commentCount": 3, "ratingCount": 2, "rating": 4.93}
    raw = {"id": 5, "stats": stats, "modelVersions": [{"id": 6, "stats": stats}]}
    body = json.dumps(raw).encode()
    stage.hub.faults.add(f"{API}/models/5", Fault(status=200, body=body, times=2))
    value = stage.project("info", "civitai:5", "--json").json
    for told in (value["stats"], value["versions"][0]["stats"]):
        known = ("download_count", "favorite_count", "comment_count", "rating_count", "rating")
        assert [told[name] for name in known] == [15000, 4, 3, 2, 4.93]
    said = stage.project("info", "civitai:5").out
    assert "15k downloads" in said and "3 comments" in said and "rated 4.93" in said


@row("002 tags.link", "004 Entity Tag incl. type")
def _(stage: Stage) -> None:
    tag = schema_lists.Tag.decode(Fields({"name": "comic", "link": "https://e.com/t", "type": "Label"}, "tag"))
    assert (tag.link, tag.type) == ("https://e.com/t", "Label")
    (value,) = stage.project("tags", "port", "--json").json["tags"]
    assert value["link"].endswith(f"{API}/models?tag=portrait") and value["type"] is None


# -- 4. images ---------------------------------------------------------------------------------------


@row('002 images.nsfw: "if the model is NSFW treat all images as NSFW"')
def _(stage: Stage) -> None:
    brief = {"name": "M", "nsfw": True}
    said = [{"nsfw": False}, {}, {"nsfw": True}, {"nsfwLevel": 1}]
    images = [{"url": f"{KEY}/{ONE}/width=450/{n}.jpeg", **raw} for n, raw in enumerate(said)]

    def shown(nsfw: bool, most: str) -> list[bool]:
        version = schema.ModelVersion.decode({"id": 1, "images": images, "model": {**brief, "nsfw": nsfw}})
        card = card_of(version, None)
        return [may_be_shown(each.nsfw, card.nsfw, most) for each in card.previews]

    assert shown(True, "pg") == [False, False, False, True], "a rating of the image itself stands"
    assert shown(True, "x") == [True, True, True, True]
    assert shown(False, "pg") == [True, True, False, True]


@row("004 ModelImage <-> Image by hash")
def _(stage: Stage) -> None:
    previews = [preview(hash=BLUR, width=8, height=9), preview(url="https://e.com/other.png", hash="L" + BLUR)]
    images = [
        schema_lists.Image(id=7, url=f"{KEY}/{TWO}/original=true/7.jpeg", hash=BLUR, width=8, height=9),
        schema_lists.Image(id=8, url=f"{KEY}/{TWO}/original=true/8.jpeg", hash="none"),
    ]
    assert [one.id for one in numbered(previews, images)] == [7, None]
    twin = replace(images[0], id=9, url="https://e.com/twin.png")
    assert [one.id for one in numbered(previews[:1], [*images, twin])] == [None], "two images look alike"
    assert [one.id for one in numbered(previews[:1], [*images, replace(twin, width=80)])] == [7]
    stage.publish(image(1, hash=BLUR))
    version = stage.client.model_version(VERSION)
    moved = replace(version, images=tuple(replace(one, url="https://e.com/moved.png") for one in version.images))
    assert [one.id for one in stage.client.previews(moved)] == [1]


@row("004 Image.meta.resources / civitaiResources -> models")
def _(stage: Stage) -> None:
    v2 = stage.hub.civitai.models[catalogue.DETAIL].versions[0]
    portrait = stage.hub.civitai.models[catalogue.PORTRAIT].versions[0].files[0]
    resources = [
        {"name": "portrait", "type": "model", "hash": portrait.hashes["AutoV2"]},
        {"name": "nobody knows", "type": "lora", "weight": 0.5},
    ]
    made = [{"type": "lora", "modelVersionId": v2.id, "weight": 0.8}]
    stage.publish(image(7, meta={"resources": resources, "civitaiResources": made}))
    said = stage.project("images", "--image", "7", "--resources").out
    assert f"civitai:@{v2.id}" in said and "nobody knows" in said and "only its name is known" in said
    (value,) = stage.project("images", "--image", "https://civitai.com/images/7", "--json").json["images"]
    assert [one["weight"] for one in value["resources"]][:1] == [0.8]
    stage.project.manifest("")
    added = stage.project("add", "--from-image", "https://civitai.com/images/7", "--json")
    assert {one["reference"].partition("+")[0] for one in added.json["added"]} == {
        f"civitai:{catalogue.DETAIL}@{v2.id}", f"civitai:{catalogue.PORTRAIT}@{catalogue.PORTRAIT_V1}",
        f"civitai:{MODEL}@{VERSION}",
    }  # fmt: skip
    assert "nobody knows" in added.err
    again = stage.project("add", "--from-image", "7")
    assert "already" in again.err and "nothing to add" in again.err
    stage.project("add", "--from-image", "8", code=4)
    stage.project("add", "--from-image", "https://civitai.com/models/7", code=2)
    stage.project("add", code=2)


@row("004 Dedupe images by URL when crawling")
def _(stage: Stage) -> None:
    items = [
        {"id": 1, "url": f"{KEY}/{ONE}/original=true/1.jpeg"},
        {"id": 2, "url": f"{KEY}/{ONE}/width=450/2.jpeg"},
        {"id": 3, "url": f"{KEY}/{TWO}/width=450/3.jpeg"},
        {"id": 1, "url": f"{KEY}/{ONE}/original=true/1.jpeg"},
    ]
    body = json.dumps({"items": items, "metadata": {}}).encode()
    stage.hub.faults.add(f"{API}/images", Fault(status=200, body=body, times=1))
    assert [one.id for one in stage.client.images()] == [1, 3]
    ids = ImageIds([schema_lists.Image(id=1, url=str(items[0]["url"]))])
    assert ids.find(str(items[1]["url"])) == 1 and ids.find(str(items[2]["url"])) is None
    stage.hub.civitai.models.clear()
    stage.publish(image(1), image(2))
    found = list(crawl(stage.client, galleries=10, pause=0))
    images = [item for item in found if isinstance(item, Thing) and item.kind is Kind.IMAGE]
    assert {item.id for item in images} == {1, 2}
    assert len({identity(item.value.url) for item in images if hasattr(item.value, "url")}) == 2
    made = {item for item in found if isinstance(item, Relation) and item.link is Link.SHOWN_BY}
    assert {relation.second for relation in made} == {(Kind.IMAGE, 1), (Kind.IMAGE, 2)}
    assert isinstance(found[-1], Progress)


# -- 5. addresses of images --------------------------------------------------------------------------


@row("000 CDN params anim, transcode, width, quality")
def _(stage: Stage) -> None:
    forms = "anim=false,transcode=true,width=450,height=600,original=true,fit=cover,quality=90,optimized=true"
    text = f"{KEY}/{ONE}/{forms}/1.jpeg"
    url = ImageUrl.parse(text)
    assert url is not None and str(url) == text
    assert (url.anim, url.transcode, url.width, url.height, url.quality) == (False, True, 450, 600, 90)
    assert (url.original, url.optimized, url.fit) == (True, True, "cover")
    smaller = url.change(width=96, height=None, original=None, fit=None, optimized=None)
    assert str(smaller) == f"{KEY}/{ONE}/anim=false,transcode=true,width=96,quality=90/1.jpeg"
    bare = ImageUrl.parse(f"{KEY}/{ONE}/1.jpeg")
    assert bare is not None
    assert (
        str(bare.change(quality=80, width=320, anim=False)) == f"{KEY}/{ONE}/anim=false,width=320,quality=80/1.jpeg"
    )
    strange = f"{KEY}/{ONE}/width=320,unknown=7/1.jpeg"
    assert str(ImageUrl.parse(strange)) == strange
    stage.publish(image(1))
    stage.project.manifest(
        "[workspace]\npreviews = true\npreview-width = 320\npreview-quality = 80\n"
        f'[models]\nm = "civitai:{MODEL}"\n'
    )
    published = stage.client.model_version(VERSION).images[0].url
    path = address(published, width=320, quality=80).removeprefix(stage.hub.storage.url)
    stage.project("sync")
    assert any(seen.path == path for seen in stage.hub.requests("storage"))
    assert "models/loras/f.preview.jpeg" in stage.project.tree()


@row("000 Video anim=true,transcode=true,width=450 + .mp4")
def _(stage: Stage) -> None:
    film = address(f"{KEY}/{ONE}/width=1024/1.jpeg", film=True)
    assert film == f"{KEY}/{ONE}/anim=true,transcode=true,width=450/1.mp4"


@row("000 Old address without file name (imagecache .../width=450)")
def _(stage: Stage) -> None:
    old = f"{OLD}/{ONE}/width=450"
    url = ImageUrl.parse(old)
    assert url is not None and (str(url), url.name, url.width) == (old, None, 450)
    assert str(url.change(width=1024)) == f"{OLD}/{ONE}/width=1024"
    assert address(old) == f"{OLD}/{ONE}/anim=false,transcode=true,width=450/{ONE}.jpeg"
    assert identity(old) == identity(f"{KEY}/{ONE}/original=true/1.jpeg")


# -- 6. types ----------------------------------------------------------------------------------------


@row("003 types AestheticGradient", "003 types Poses")
def _(stage: Stage) -> None:
    for word, kind, folder in (
        ("AestheticGradient", "aesthetic_gradient",
         "extensions/stable-diffusion-webui-aesthetic-gradients/aesthetic_embeddings"),
        ("Poses", "poses", "models/Poses"),
    ):  # fmt: skip
        number = stage.publish(type=word, id=MODEL + (word == "Poses")).id
        assert model_type(word) == kind
        stage.project.manifest(f'[targets.ui]\nlayout = "a1111"\n[models]\nm = "civitai:{number}"\n')
        stage.project("sync", "--yes")
        assert list(stage.project.tree()) == [f"{folder}/f.safetensors"]
        models = f'[models.m]\nsource = "civitai:{number}"\n'
        stage.project.manifest(f'[targets.ui]\nlayout = "comfyui"\n{models}')
        assert "folder" in stage.project("sync", "--yes", code=2).err
        stage.project.manifest(f'[targets.ui]\nlayout = "comfyui"\n{models}folder = "models/{kind}"\n')
        stage.project("sync", "--yes")
        assert list(stage.project.tree()) == [f"models/{kind}/f.safetensors"]


@row("every documented type maps")
def _(stage: Stage) -> None:
    assert {word for word in filters.TYPES if model_type(word) in (None, "other")} == {"Other"}


# -- 7. names ----------------------------------------------------------------------------------------


@row("002 content-disposition sets the file name")
def _(stage: Stage) -> None:
    """A site's own name goes before; at an address without one, the server's header names the file."""
    project, content = stage.project, safetensors_bytes("named by its server", size=9_000)
    url = project.hub.files.put("download", content)
    says = "attachment; filename=\"plain.safetensors\"; filename*=UTF-8''..%2F%E6%B2%B9%20paint.safetensors"
    project.hub.faults.add("/files/download", Fault(headers={"Content-Disposition": says}))
    project.manifest(f'[models.m]\nsource = "{url}?id=77"\ntype = "lora"\n')
    project("sync")
    assert project.tree() == {"models/loras/油 paint.safetensors": content}
    stage.publish()
    project.manifest(f'[models]\nm = "civitai:{MODEL}"\n')
    project("sync")
    assert [path.rpartition("/")[2] for path in project.tree()] == ["f.safetensors"]


@pytest.mark.parametrize("words", ROWS)
def test_the_row_holds(words: str, stage: Stage) -> None:
    ROWS[words](stage)
