"""The hub's Civitai: its three shapes of a version, its refusals, and where a download ends."""

from __future__ import annotations

import hashlib
import http.client
import json
import threading
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from blake3 import blake3

from synapse_sync.demo import catalogue
from synapse_sync.demo.civitai.things import File, Model, Version
from synapse_sync.demo.exchange import Fault
from synapse_sync.demo.hub import Hub
from synapse_sync.demo.weights import safetensors_bytes

Answer = tuple[int, dict[str, str], bytes]


def call(url: str, *, method: str = "GET", body: Any = None, token: str | None = None, **headers: str) -> Answer:
    """One request, and no redirect followed; header names in lower case."""
    parts = urlsplit(url)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if token is not None:
        named["Authorization"] = f"Bearer {token}"
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, f"{parts.path}?{parts.query}", body=data, headers=named)
        answer = connection.getresponse()
        return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def site(hub: Hub, path: str, **more: Any) -> tuple[int, Any]:
    status, _, body = call(f"{hub.civitai_url}/api/v1/{path}", **more)
    return status, json.loads(body)


def download(hub: Hub, version: int, query: str = "", **more: Any) -> Answer:
    more.setdefault("token", hub.civitai_token)
    return call(f"{hub.civitai_url}/api/download/models/{version}?{query}", **more)


def one_file(number: int, **changes: Any) -> File:
    content = safetensors_bytes(f"{number}", size=600)
    return File(**{"id": number, "name": f"{number}.safetensors", "content": content, "primary": True, **changes})


def publish(hub: Hub, number: int, *, files: tuple[File, ...] | None = None, mode: str | None = None,
            type: str = "LORA", nsfw_level: int = 1, **version: Any) -> None:  # fmt: skip
    """A model with one version, whose ids are all the same number."""
    held = (one_file(number),) if files is None else files
    only = Version(id=number, name="v1", files=held, **version)
    hub.civitai.add(
        Model(id=number, name=f"Model {number}", type=type, versions=(only,), mode=mode, nsfw_level=nsfw_level)
    )


# -- shapes -----------------------------------------------------------------------------------------


def test_below_its_model_a_version_says_nothing_that_is_empty(hub: Hub) -> None:
    status, model = site(hub, f"models/{catalogue.PORTRAIT}")
    version = model["modelVersions"][0]
    assert (status, model["id"], model["type"], "mode" in model) == (200, catalogue.PORTRAIT, "Checkpoint", False)
    assert version["index"] == 0
    assert not {"trainedWords", "description", "paidAccess", "modelId", "air", "usageControl"} & version.keys()
    assert all("id" not in image for image in version["images"])


def test_alone_a_version_knows_its_model_and_says_what_is_empty(hub: Hub) -> None:
    status, version = site(hub, f"model-versions/{catalogue.PORTRAIT_V1}")
    assert (status, version["modelId"], version["usageControl"]) == (200, catalogue.PORTRAIT, "Download")
    assert (version["trainedWords"], version["paidAccess"], version["description"]) == ([], None, None)
    assert version["model"] == {"name": "Portrait Studio", "type": "Checkpoint", "nsfw": False, "poi": False}
    assert version["files"][0]["primary"] is True
    assert version["files"][0]["metadata"] == {"format": "SafeTensor", "size": None, "fp": None}
    assert "availability" not in version


def test_in_the_list_a_version_names_its_model(hub: Hub) -> None:
    _, answer = site(hub, f"models?ids={catalogue.PORTRAIT}")
    version = answer["items"][0]["modelVersions"][0]
    assert version["modelId"] == catalogue.PORTRAIT
    assert (version["trainedWords"], version["description"]) == ([], None)
    assert not {"status", "createdAt", "air"} & version.keys()
    assert [image["id"] for image in version["images"]] == [9_100_011, 9_100_012]


@pytest.mark.parametrize(
    "number, air",
    [
        (catalogue.PORTRAIT_V1, "urn:air:sd1:checkpoint:civitai:900001@910001"),
        (910_021, "urn:air:sd1:embedding:civitai:900003@910021"),
        (1_387_174, "urn:air:flux1:lora:civitai:1231067@1387174"),
    ],
)
def test_the_air_names_ecosystem_and_type(hub: Hub, number: int, air: str) -> None:
    assert site(hub, f"model-versions/{number}")[1]["air"] == air


def test_of_two_files_the_primary_has_the_bare_url(hub: Hub) -> None:
    _, version = site(hub, "model-versions/57618")
    urls = {file["id"]: file["downloadUrl"] for file in version["files"]}
    assert urls == {
        41_079: "https://civitai.com/api/download/models/57618",
        41_074: "https://civitai.com/api/download/models/57618?type=Model&format=SafeTensor&size=pruned&fp=fp32",
    }
    assert [file["primary"] for file in version["files"]] == [False, True]
    _, model = site(hub, "models/4468")
    assert ["primary" in file for file in model["modelVersions"][0]["files"]] == [False, True]
    assert [v["id"] for v in model["modelVersions"]] == [57_618, 5_057, 7_425]


def test_hashes_and_size_are_those_of_the_content(hub: Hub) -> None:
    content = safetensors_bytes("long", size=0x210000)
    publish(hub, 70, files=(one_file(70, content=content),))
    _, version = site(hub, "model-versions/70")
    (file,) = version["files"]
    sha256 = hashlib.sha256(content).hexdigest().upper()
    tensors = content[8 + int.from_bytes(content[:8], "little") :]
    assert file["sizeKB"] * 1024 == len(content)
    assert file["hashes"] | {"CRC32": ""} == {
        "SHA256": sha256,
        "AutoV1": hashlib.sha256(content[0x100000:0x110000]).hexdigest()[:8].upper(),
        "AutoV2": sha256[:10],
        "AutoV3": hashlib.sha256(tensors).hexdigest()[:12].upper(),
        "BLAKE3": blake3(content).hexdigest().upper(),
        "CRC32": "",
    }


def test_a_small_file_has_no_autov1(hub: Hub) -> None:
    hashes = site(hub, f"model-versions/{catalogue.PORTRAIT_V1}")[1]["files"][0]["hashes"]
    assert set(hashes) == {"SHA256", "AutoV2", "AutoV3", "BLAKE3", "CRC32"}


def test_previews_are_there_for_everybody(hub: Hub) -> None:
    _, version = site(hub, f"model-versions/{catalogue.PORTRAIT_V1}")
    cover, other = version["images"]
    status, headers, body = call(cover["url"])
    assert (status, headers["content-type"], body[:4]) == (200, "image/png", b"\x89PNG")
    assert (cover["nsfwLevel"], other["nsfwLevel"]) == (1, 8)


def test_only_published_versions_with_files_are_shown(hub: Hub) -> None:
    publish(hub, 71, status="Unpublished")
    publish(hub, 72, files=())
    for number in (71, 72):
        assert site(hub, f"models/{number}")[1]["modelVersions"] == []
    assert site(hub, "model-versions/71") == (404, {"error": "Model not found"})
    assert site(hub, "model-versions/72") == (404, {"error": "Missing model file"})
    assert download(hub, 71)[0] == 404


def test_a_new_version_comes_first(hub: Hub) -> None:
    catalogue.publish_upgrade(hub)
    _, model = site(hub, f"models/{catalogue.PORTRAIT}")
    assert [v["id"] for v in model["modelVersions"]] == [catalogue.PORTRAIT_V2, catalogue.PORTRAIT_V1]


def test_what_is_not_there_is_refused_in_the_sites_words(hub: Hub) -> None:
    assert site(hub, "models/1") == (404, {"error": "No model with id 1"})
    assert site(hub, "model-versions/1") == (404, {"error": "Model not found"})
    assert site(hub, "models", method="POST", body={}) == (405, {"error": "Method not allowed"})
    assert call(f"{hub.civitai_url}/api/v1/models", method="HEAD")[0] == 405


# -- the list ---------------------------------------------------------------------------------------


def listed(hub: Hub, **query: Any) -> list[int]:
    status, answer = site(hub, f"models?{urlencode(query, doseq=True)}")
    assert status == 200, answer
    return [item["id"] for item in answer["items"]]


def test_the_list_by_ids_versions_and_words(hub: Hub) -> None:
    assert listed(hub, ids="4468,4384,1") == [4468, 4384]
    assert listed(hub, ids="x") == []
    assert listed(hub, modelVersionIds="62833,62834,128713") == [4384, 58_390]
    assert listed(hub, query="STOR") == [1_231_067]
    assert listed(hub, types=["Upscaler", "TextualInversion"]) == [catalogue.EYES, catalogue.SHARPEN]
    assert listed(hub, baseModels="Flux.1 D") == [1_231_067]
    assert listed(hub, tag="portrait") == [catalogue.PORTRAIT]
    assert listed(hub, username="nobody") == []


def test_without_the_pg_bit_a_model_is_left_out_silently(hub: Hub) -> None:
    publish(hub, 73, nsfw_level=31)
    ids = f"73,{catalogue.MATURE}"
    assert listed(hub, ids=ids) == [73]
    assert listed(hub, ids=ids, nsfw="false") == [73]
    assert listed(hub, ids=ids, nsfw="true") == [73, catalogue.MATURE]


def test_the_cursor_leads_through_all_models_once(hub: Hub) -> None:
    hub.civitai.add_many(250, 5_000_000)
    seen: list[int] = []
    url: str | None = f"{hub.civitai_url}/api/v1/models?query=Many&limit=100"
    sizes = []
    while url is not None:
        answer = json.loads(call(url)[2])
        sizes.append(len(answer["items"]))
        seen += [item["id"] for item in answer["items"]]
        url = answer["metadata"].get("nextPage")
        assert (url is None) is ("nextCursor" not in answer["metadata"])
    assert sizes == [100, 100, 50]
    assert sorted(seen) == list(range(5_000_000, 5_000_250))


def test_pages_and_their_end(hub: Hub) -> None:
    hub.civitai.add_many(12, 5_000_000)
    ids = ",".join(str(number) for number in range(5_000_000, 5_000_012))
    assert listed(hub, ids=ids, limit=5, page=3) == [5_000_010, 5_000_011]
    ends = ["nextCursor" in site(hub, f"models?ids={ids}&limit={limit}")[1]["metadata"] for limit in (11, 12)]
    assert ends == [True, False]
    _, answer = site(hub, f"models?ids={ids}&limit=5&page=2")
    assert answer["metadata"]["currentPage"] == 2
    assert parse_qs(urlsplit(answer["metadata"]["nextPage"]).query)["cursor"] == [answer["metadata"]["nextCursor"]]


@pytest.mark.parametrize(
    "query, status, says",
    [
        ("limit=101", 400, "ZodError"),
        ("limit=many", 400, "ZodError"),
        ("page=0", 400, "ZodError"),
        ("query=x&page=2", 400, "Cannot use page param"),
        ("limit=100&page=11", 429, "too many pages"),
        ("favorites=false", 401, "Unauthorized"),
        ("cursor=nonsense", 400, "Invalid cursor"),
    ],
)
def test_what_the_list_refuses(hub: Hub, query: str, status: int, says: str) -> None:
    got, answer = site(hub, f"models?{query}")
    assert got == status
    assert says in json.dumps(answer)


# -- hashes and tokens ------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["SHA256", "AutoV2", "AutoV3", "BLAKE3", "CRC32"])
def test_every_hash_finds_its_version_in_any_case(hub: Hub, algorithm: str) -> None:
    value = hub.civitai.models[4384].versions[0].files[0].hashes[algorithm]
    for text in (value, value.lower()):
        status, version = site(hub, f"model-versions/by-hash/{text}")
        assert (status, version["id"], version["modelId"]) == (200, 128_713, 4384)
    assert site(hub, "model-versions/by-hash/0000000000")[0] == 404


def test_of_several_holders_the_oldest_is_found(hub: Hub) -> None:
    same = one_file(80)
    publish(hub, 80, files=(same,), published="2026-02-01T00:00:00.000Z")
    publish(hub, 82, files=(same,), published="2026-01-01T00:00:00.000Z")
    publish(hub, 81, files=(same,), published="2026-01-01T00:00:00.000Z")
    publish(hub, 79, files=(same,), published="2025-01-01T00:00:00.000Z", status="Unpublished")
    assert site(hub, f"model-versions/by-hash/{same.hashes['SHA256']}")[1]["id"] == 81


def test_many_hashes_at_once(hub: Hub) -> None:
    sha256 = hub.civitai.models[58_390].versions[0].files[0].hashes["SHA256"]
    status, rows = site(hub, "model-versions/by-hash/ids", method="POST", body=[sha256.lower(), "0" * 64])
    assert (status, rows) == (200, [{"modelVersionId": 62_833, "modelId": 58_390, "hash": sha256}])
    status, versions = site(hub, "model-versions/by-hash", method="POST", body=[sha256])
    assert (status, [version and version["id"] for version in versions]) == (200, [62_833, None, 62_833])
    assert versions[0]["downloadUrl"].startswith("https://undefined/"), "the site's own bug"


@pytest.mark.parametrize("body", [5, {"a": 1}, [1], None, ["0" * 64] * 10_001])
def test_a_body_that_is_no_list_of_hashes(hub: Hub, body: Any) -> None:
    assert site(hub, "model-versions/by-hash/ids", method="POST", body=body)[0] == 400
    assert site(hub, "model-versions/by-hash", method="POST", body=body)[0] == 400


def test_me_is_the_only_place_that_refuses_a_wrong_token(hub: Hub) -> None:
    assert site(hub, "me", token=hub.civitai_token)[1]["username"] == "newcomer"
    for token in (None, "wrong", hub.huggingface_token):
        assert site(hub, "me", token=token) == (401, {"error": "Unauthorized"})
    assert site(hub, "models/4384", token="wrong")[0] == 200


# -- downloads --------------------------------------------------------------------------------------


def test_a_download_is_sent_on_to_storage_with_the_files_name(hub: Hub) -> None:
    status, headers, _ = download(hub, catalogue.PORTRAIT_V1)
    assert (status, headers["cache-control"]) == (307, "no-store")
    assert headers["location"].startswith(f"{hub.storage.url}/signed/")
    assert hub.civitai_token not in headers["location"]
    status, headers, body = call(headers["location"])
    assert status == 200
    assert body == hub.civitai.models[catalogue.PORTRAIT].versions[0].files[0].content
    assert headers["content-disposition"] == 'attachment; filename="portrait_v1.safetensors"'


def test_a_signed_url_refuses_head_and_is_for_one_object(hub: Hub) -> None:
    where = download(hub, catalogue.PORTRAIT_V1)[1]["location"]
    assert call(where, method="HEAD")[0] == 403
    assert call(where.replace("portrait_v1", "portrait_v2"))[0] == 403
    assert call(where, token=hub.civitai_token)[0] == 400
    hub.storage.expire()
    assert call(where)[0] == 403


@pytest.mark.parametrize(
    "query, file",
    [
        ("", 41_079),
        ("fileId=41074", 41_074),
        ("type=Model&format=SafeTensor&size=pruned&fp=fp32", 41_074),
        ("type=Model&format=SafeTensor", 41_079),
    ],
)
def test_the_query_chooses_the_file(hub: Hub, query: str, file: int) -> None:
    location = download(hub, 57_618, query)[1]["location"]
    assert urlsplit(location).path.startswith(f"/signed/model/57618/{file}/")


@pytest.mark.parametrize("query, status", [("fileId=1", 404), ("fp=fp8", 404), ("fileId=x", 400)])
def test_a_query_that_fits_no_file(hub: Hub, query: str, status: int) -> None:
    assert download(hub, 57_618, query)[0] == status


def test_a_token_in_the_query_counts_only_without_a_header(hub: Hub) -> None:
    query = f"token={hub.civitai_token}"
    assert download(hub, 57_618, query, token=None)[0] == 307
    assert download(hub, 57_618, query, token="wrong")[0] == 401
    assert download(hub, 57_618, query, token="")[0] == 401, "an empty header is one, too"


def test_who_is_refused_and_why(hub: Hub) -> None:
    publish(hub, 90, usage_control="Generation")
    publish(hub, 91, private=True)
    publish(hub, 92, permanent_access=True)
    refusals = {
        1: (404, {"error": "File not found"}),
        catalogue.ARCHIVED_V1: (410, {"error": "Model archived, not available for download"}),
        91: (403, {"error": "You do not have access to download this file"}),
    }
    for version, expected in refusals.items():
        status, _, body = download(hub, version)
        assert (status, json.loads(body)) == expected
    status, _, body = download(hub, 90)
    assert (status, "disabled downloads" in body.decode()) == (401, True), "a token does not help here"
    status, _, body = download(hub, catalogue.EARLY_PAID)
    said = json.loads(body)
    assert (status, said["error"], said["deadline"]) == (403, "Early Access", "2099-01-01T00:00:00.000Z")
    status, _, body = download(hub, 92)
    assert (status, json.loads(body).keys()) == (403, {"error", "message"}), "a permanent one has no deadline"
    assert download(hub, catalogue.EARLY_FREE)[0] == 307
    assert download(hub, 57_618, method="HEAD")[0] == 405


def test_early_access_is_said_before_the_download(hub: Hub) -> None:
    _, version = site(hub, f"model-versions/{catalogue.EARLY_PAID}")
    assert version["paidAccess"] == {"permanent": False, "endsAt": "2099-01-01T00:00:00.000Z"}


def test_an_archived_model_says_so_and_lists_no_files(hub: Hub) -> None:
    _, model = site(hub, f"models/{catalogue.ARCHIVED}")
    assert model["mode"] == "Archived"
    assert not {"files", "downloadUrl"} & model["modelVersions"][0].keys()
    _, version = site(hub, f"model-versions/{catalogue.ARCHIVED_V1}")
    assert (version["files"], version["model"]["mode"], "downloadUrl" in version) == ([], "Archived", False)


def test_a_browser_without_a_token_is_sent_to_the_login_page(hub: Hub) -> None:
    agent = "Mozilla/5.0 (X11; Linux x86_64)"
    status, headers, _ = download(hub, 57_618, token=None, User_Agent=agent)
    assert (status, urlsplit(headers["location"]).path) == (307, "/login")
    status, headers, body = call(hub.civitai_url + headers["location"])
    assert (status, headers["content-type"][:9], body[:9]) == (200, "text/html", b"<!DOCTYPE")
    assert download(hub, 57_618, token=None, User_Agent="synapse")[0] == 401


# -- the hub itself ---------------------------------------------------------------------------------


def test_faults_are_played_and_stop(hub: Hub) -> None:
    hub.faults.add("/api/v1/models/4384", Fault(status=503, retry_after=2, times=2))
    first = call(f"{hub.civitai_url}/api/v1/models/4384")
    assert (first[0], first[1]["retry-after"]) == (503, "2")
    assert [site(hub, "models/4384")[0] for _ in range(2)] == [503, 200]
    hub.faults.add("/signed/model/128713", Fault(cut_after=100, times=1))
    hub.faults.add("/signed/model/128713", Fault(corrupt=True, times=1))
    content = hub.civitai.models[4384].versions[0].files[0].content
    where = download(hub, 128_713)[1]["location"]
    with pytest.raises(http.client.IncompleteRead) as cut:
        call(where)
    assert cut.value.partial == content[:100]
    damaged = call(where)[2]
    assert (len(damaged), damaged == content) == (len(content), False)
    assert call(where)[2] == content
    hub.faults.add("/", Fault(drop=True))
    with pytest.raises((http.client.HTTPException, OSError)):
        call(where)
    hub.faults.clear()
    assert call(where)[0] == 200


def test_the_log_holds_every_request_of_many_threads(hub: Hub) -> None:
    hub.clear_log()
    threads = [threading.Thread(target=lambda: [site(hub, "models/4384") for _ in range(5)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(hub.requests("civitai")) == 40
    assert {(seen.method, seen.path, seen.status) for seen in hub.log} == {("GET", "/api/v1/models/4384", 200)}
    hub.clear_log()
    assert hub.requests() == []


def test_each_site_has_an_origin_and_a_token_of_its_own(hub: Hub) -> None:
    environment = hub.environment()
    urls = {environment["CIVITAI_ENDPOINT"], environment["HF_ENDPOINT"], hub.files.url, hub.storage.url}
    assert len(urls) == 4
    assert environment["CIVITAI_API_KEY"] != environment["HF_TOKEN"]
    assert not {"CIVITAI_API_KEY", "HF_TOKEN"} & hub.environment(tokens=False).keys()


def test_a_bug_of_the_hub_is_told_as_one() -> None:
    with Hub() as hub:
        hub.civitai.models = {1: None}  # type: ignore[dict-item]
        assert call(f"{hub.civitai_url}/api/v1/models?nsfw=true")[0] == 500
        assert len(hub.crashes) == 1


# -- what it plays on demand ------------------------------------------------------------------------


def test_a_quota_counts_redirects_and_nothing_else(hub: Hub) -> None:
    publish(hub, 90)
    hub.civitai.quota = 1
    assert download(hub, 90, token="wrong")[0] == 401
    assert [download(hub, 90)[0] for _ in range(2)] == [307, 429]
    assert hub.civitai.redirects == 1


def test_a_blocked_region_gets_nothing(hub: Hub) -> None:
    hub.civitai.region_blocked = True
    status, answer = site(hub, "models")
    assert (status, answer["code"]) == (451, "REGION_BLOCKED")
    assert download(hub, catalogue.PORTRAIT_V1)[0] == 451


def test_pinned_urls_and_a_linked_file(hub: Hub) -> None:
    linked = one_file(77, type="VAE", primary=False, linked=True)
    publish(hub, 91, files=(one_file(91), linked))
    hub.civitai.pinned_urls = True
    base = "https://civitai.com/api/download/models/91"
    for path in ("models/91", "model-versions/91"):
        version = site(hub, path)[1]
        version = version.get("modelVersions", [version])[0]
        assert [file["downloadUrl"] for file in version["files"]] == [f"{base}?fileId=91", f"{base}?type=VAE"]
    assert [download(hub, 91, query)[0] for query in ("fileId=91", "fileId=77", "type=VAE")] == [307, 404, 307]


def test_lists_that_are_behind(hub: Hub) -> None:
    publish(hub, 92, unlisted=True)
    assert site(hub, "models/92")[1].get("modelVersions") == []
    assert site(hub, "model-versions/92")[0] == 200
    hub.civitai.add(
        Model(id=93, name="H", versions=(Version(id=93, name="v", files=(one_file(93),)),), hidden=True)
    )
    assert (site(hub, "models/93")[0], listed(hub, ids="93"), site(hub, "model-versions/93")[0]) == (404, [], 200)


def test_images_creators_tags_and_words(hub: Hub) -> None:
    _, answer = site(hub, f"images?modelId={catalogue.PORTRAIT}&limit=1")
    (image,) = answer["items"]
    assert (image["nsfwLevel"], image["nsfw"], image["meta"]) == ("X", True, None)
    _, rest = site(hub, f"images?modelId={catalogue.PORTRAIT}&limit=1&cursor={answer['metadata']['nextCursor']}")
    assert [one["nsfwLevel"] for one in rest["items"]] == ["None"]
    assert "nextCursor" not in rest["metadata"]
    _, made = site(hub, f"images?modelId={catalogue.PORTRAIT}&nsfw=None&withMeta=true")
    assert made["items"][0]["meta"]["prompt"] and len(made["items"]) == 1
    _, tags = site(hub, "tags?limit=1&page=2")
    assert (tags["items"][0]["name"], tags["metadata"]["totalPages"]) == ("portrait", 2)
    assert "prevPage" in tags["metadata"] and "nextPage" not in tags["metadata"]
    assert site(hub, "creators")[1]["items"][0]["username"] == "ada"
    assert site(hub, "creators?limit=0")[0] == 400
    assert "LORA" in site(hub, "enums")[1]["ModelType"]


def test_mini_has_one_file(hub: Hub) -> None:
    status, mini = site(hub, "model-versions/mini/57618")
    assert (status, mini["fileName"], mini["requireAuth"]) == (200, "counterfeitV30_v30.safetensors", True)
    assert "id" not in mini and mini["air"].endswith(":4468@57618")
    assert site(hub, "model-versions/mini/1")[0] == 404
