"""The client of the Python API: ids in any form, the errors of synapse, tokens from the environment."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from synapse_sync import (
    AccessDenied,
    CivitaiClient,
    InputError,
    InvalidReference,
    NetworkError,
    NotFound,
    Offline,
    Reference,
)
from synapse_sync.demo import catalogue
from synapse_sync.demo.exchange import Fault
from synapse_sync.demo.hub import Hub

MODEL = catalogue.PORTRAIT


@pytest.fixture
def client(hub: Hub, impatient: None) -> Iterator[CivitaiClient]:
    os.environ |= hub.environment()
    with CivitaiClient.from_env() as client:
        yield client


def test_a_model_by_number_text_reference_and_page(client: CivitaiClient) -> None:
    found = client.model(MODEL)
    version = found.versions[0].id
    page = f"https://civitai.com/models/{MODEL}/name?modelVersionId={version}"
    for value in (str(MODEL), f"civitai:{MODEL}", f"civitai:@{version}", page, Reference.parse(f"civitai:{MODEL}")):
        assert client.model(value) == found
    for value in (version, str(version), f"civitai:{MODEL}@{version}", page):
        assert client.model_version(value).id == version


def test_what_is_missing_is_not_found(client: CivitaiClient) -> None:
    for ask in (client.model, client.model_version):
        with pytest.raises(NotFound, match="Civitai has no") as caught:
            ask(999_999_999)
        assert caught.value.hint is not None and caught.value.exit_code == 4
    with pytest.raises(NotFound, match="hash"):
        client.by_hash("sha256:" + "0" * 64)
    assert client.by_hashes(["sha256:" + "0" * 64]) == {}


def test_what_is_not_on_civitai_is_refused_without_a_request(client: CivitaiClient, hub: Hub) -> None:
    hub.clear_log()
    with pytest.raises(InvalidReference, match="not on Civitai"):
        client.model("hf://studio/portrait-vae")
    with pytest.raises(InvalidReference):
        client.model("portrait")
    with pytest.raises(InputError, match="names no version"):
        client.model_version(f"civitai:{MODEL}")
    assert hub.requests() == []


def test_a_version_by_its_hash_with_or_without_the_algorithm(client: CivitaiClient) -> None:
    version = client.model(MODEL).versions[0]
    sha256 = version.files[0].hashes.sha256
    assert sha256 is not None
    assert client.by_hash(sha256).id == client.by_hash(f"sha256:{sha256.upper()}").id == version.id
    assert client.by_hashes([f"sha256:{sha256}"])[sha256].id == version.id
    assert len(client.previews(version)) == len(version.images) > 0


def test_lists_are_iterators_with_the_filters_of_the_site(client: CivitaiClient) -> None:
    found = list(client.models("portrait", types="Checkpoint", limit=3))
    assert MODEL in {model.id for model in found} and len(found) <= 3
    assert [model.id for model in client.models("portrait", types=["LORA"])] != [model.id for model in found]
    version = client.model(MODEL).versions[0]
    assert list(client.images(model=f"civitai:{MODEL}", limit=1)) == list(
        client.images(version=version.id, limit=1)
    )
    assert next(client.creators(limit=1)).username and next(client.tags(limit=1)).name


def test_the_token_of_the_environment_is_used(client: CivitaiClient) -> None:
    assert client.me().username
    os.environ["CIVITAI_API_KEY"] = "not-the-right-key-at-all"
    with CivitaiClient.from_env() as wrong, pytest.raises(AccessDenied) as caught:
        wrong.me()
    assert "not-the-right-key" not in f"{caught.value} {caught.value.hint} {wrong!r}"


def test_a_token_by_hand_and_none_at_all(client: CivitaiClient, hub: Hub) -> None:
    endpoint = os.environ["CIVITAI_ENDPOINT"]
    with CivitaiClient(hub.civitai_token, endpoint=endpoint) as mine:
        assert mine.me() == client.me()
        assert hub.civitai_token not in repr(mine) and endpoint in repr(mine)
    with CivitaiClient(endpoint=endpoint) as nobody, pytest.raises(AccessDenied):
        nobody.me()


def test_variables_may_be_passed(hub: Hub) -> None:
    with CivitaiClient.from_env(hub.environment() | {"HOME": os.environ["HOME"]}) as client:
        assert client.model(MODEL).id == MODEL


def test_offline_and_out_of_reach(impatient: None) -> None:
    with CivitaiClient(offline=True) as client, pytest.raises(Offline):
        client.model(MODEL)
    os.environ["CIVITAI_ENDPOINT"] = "http://127.0.0.1:9"
    with CivitaiClient.from_env() as client, pytest.raises(NetworkError):
        list(client.models(limit=1))
    with CivitaiClient.from_env({"HOME": os.environ["HOME"]}, offline=True) as client, pytest.raises(Offline):
        client.enums()


def test_one_page_with_its_metadata(client: CivitaiClient) -> None:
    first = client.models_page(types="LORA", limit=1)
    assert len(first.items) == 1 and first.metadata.next_cursor is not None
    second = client.models_page(types="LORA", limit=1, cursor=first.metadata.next_cursor)
    assert second.items == client.models_page(types="LORA", limit=1, page=2).items != first.items
    assert client.creators_page().metadata.total_items == 1
    assert client.tags_page("port", limit=0).items == tuple(client.tags("port"))
    version = client.model(MODEL).versions[0].id
    assert client.images_page(version=version, limit=1).items == tuple(client.images(version=version, limit=1))
    for question in ({"page": 2}, {"page": 1, "cursor": "1"}, {"limit": 101}):
        with pytest.raises(InputError):
            client.models_page("portrait", **question)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="does not accept"):
        client.models_page(cursor="nonsense")
    with pytest.raises(TypeError, match="no filter `colour`"):
        client.models(colour="red")  # type: ignore[call-arg]


def test_an_image_and_the_settings_that_made_it(client: CivitaiClient) -> None:
    number = next(client.images(model=MODEL)).id
    for value in (number, str(number), f"https://civitai.com/images/{number}"):
        found = client.image(value)
        assert found.id == number and found.meta is not None and found.meta.sampler == "Euler a"
    with pytest.raises(NotFound):
        client.image(1)
    for odd in ("civitai:1", f"https://civitai.com/models/{MODEL}", "https://e.com/images/1", 0, "x" * 500):
        with pytest.raises(InvalidReference):
            client.image(odd)


def test_a_crawl_has_the_errors_of_synapse(client: CivitaiClient, hub: Hub) -> None:
    kinds = {getattr(item, "kind", None) for item in client.crawl(query="portrait", pause=0)}
    assert {"model", "version", "file", "creator", "tag"} <= kinds
    hub.faults.add("/api/v1/models", Fault(status=403, body=b"{}"))
    with pytest.raises(AccessDenied):
        list(client.crawl(pause=0))
