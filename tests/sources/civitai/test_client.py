from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from synapse_sync.errors import NetworkError, NotFound, Offline, StatusError
from synapse_sync.net.api import Api
from synapse_sync.net.credentials import Credentials, Grant, Secret
from synapse_sync.net.retries import Retry
from synapse_sync.sources.civitai.client import Client
from synapse_sync.sources.civitai.fields import Fields
from synapse_sync.sources.civitai.schema import EarlyAccess, Model, ModelFile, ModelVersion


@pytest.fixture
def client(site) -> Iterator[Client]:
    credentials = Credentials([Grant(site.url, Secret("s3cret-key"), "/api/")])
    with Api(credentials, retry=Retry(attempts=2), sleep=lambda seconds: None) as api:
        yield Client(api, site.url)


def listed(seen) -> dict[str, object]:
    """The list as the site gives it, without the models whose ids are too high."""
    ids = [int(text) for text in seen.query["ids"][0].split(",")]
    return {
        "items": [
            {"id": number, "name": f"m{number}", "modelVersions": [{"id": number}]}
            for number in reversed(ids)
            if number < 1000
        ],
        "metadata": {},
    }


def test_many_models_come_a_hundred_to_a_request(site, client) -> None:
    site.routes["/api/v1/models"] = listed
    found = client.models_by_ids([*range(1, 201), 7, 7])
    assert sorted(found) == list(range(1, 201))
    assert all(isinstance(model, Model) for model in found.values())
    assert len(site.log) == 2
    assert all(seen.query["nsfw"] == ["true"] and seen.query["limit"] == ["100"] for seen in site.log)


def test_a_model_that_the_list_hides_is_asked_for_by_itself(site, client) -> None:
    site.routes["/api/v1/models"] = listed
    site.routes["/api/v1/models/1001"] = {"id": 1001, "name": "hidden"}
    site.routes["/api/v1/models/1002"] = (404, {"error": "No model with id 1002"})
    found = client.models_by_ids([1, 1001, 1002])
    assert isinstance(found[1001], Model)
    assert found[1001].name == "hidden"
    assert isinstance(found[1002], NotFound)
    assert "1002" in found[1002].message


def test_a_failed_batch_is_a_value_for_each_of_its_models(site, client) -> None:
    site.routes["/api/v1/models"] = (503, {"error": "Model search is temporarily overloaded"})
    found = client.models_by_ids([1, 2])
    assert [type(error) for error in found.values()] == [StatusError, StatusError]


def test_models_of_versions_are_found_by_their_versions(site, client) -> None:
    site.routes["/api/v1/models"] = {"items": [{"id": 5, "modelVersions": [{"id": 51}, {"id": 52}]}]}
    found = client.models_by_version_ids([52, 99])
    assert {number: model.id for number, model in found.items()} == {52: 5}
    assert site.log[0].query["modelVersionIds"] == ["52,99"]


def test_hashes_are_posted_in_upper_case_and_the_first_version_wins(site, client) -> None:
    sha256 = "ab" * 32
    site.routes["/api/v1/model-versions/by-hash/ids"] = [
        {"modelVersionId": 9, "modelId": 3, "hash": sha256.upper()},
        {"modelVersionId": 4, "modelId": 3, "hash": sha256.upper()},
        {"modelVersionId": None, "hash": "CD" * 32},
        None,
    ]
    found = client.by_hashes_ids([sha256, "cd" * 32])
    assert {value: match.version_id for value, match in found.items()} == {sha256: 4}
    assert sorted(json.loads(site.log[0].body)) == [sha256.upper(), "CD" * 32]


def test_the_key_goes_to_the_api_as_a_bearer_and_not_in_the_query(site, client) -> None:
    site.routes["/api/v1/me"] = {"id": 1, "username": "someone"}
    assert client.me().username == "someone"
    assert site.log[0].headers["authorization"] == "Bearer s3cret-key"
    assert site.log[0].query == {}


def test_offline_asks_nothing(site) -> None:
    with Api(Credentials(), offline=True) as api:
        found = Client(api, site.url).models_by_ids([1])
        with pytest.raises(Offline):
            Client(api, site.url).model(1)
    assert isinstance(found[1], Offline)
    assert site.log == []


@pytest.mark.parametrize(
    ("size_kb", "size"),
    [
        (2082642.474609375, 2132625894),
        (5539838.646484375, 5672794774),
        ("144.5", 147968),
        (10.01, None),  # rounded by the site: no whole number of bytes
        (0, None),
        (None, None),
    ],
)
def test_sizes_are_whole_bytes_or_unknown(size_kb, size) -> None:
    assert ModelFile.decode(Fields({"sizeKB": size_kb, "name": "x"}, "file")).bytes == size


def test_versions_survive_missing_and_odd_fields() -> None:
    version = ModelVersion.decode({"id": "12", "files": None, "trainedWords": None, "images": [None, {"url": ""}]})
    assert (version.id, version.files, version.trained_words, version.images) == (12, (), (), ())


def test_an_answer_without_an_id_names_what_is_missing() -> None:
    with pytest.raises(NetworkError, match=r"version\.id"):
        ModelVersion.decode({"name": "x"})


@pytest.mark.parametrize(
    ("raw", "commercial"),
    [
        ("{Image,RentCivit}", ("Image", "RentCivit")),
        (["Sell"], ("Sell",)),
        ("None", ("None",)),
        ([], ()),
        (None, None),
    ],
)
def test_commercial_use_is_read_in_all_its_forms(raw, commercial) -> None:
    assert Model.decode({"id": 1, "allowCommercialUse": raw}).allow_commercial_use == commercial


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"paidAccess": {"permanent": True, "endsAt": None}}, EarlyAccess(permanent=True)),
        ({"paidAccess": {"permanent": False, "endsAt": "2030-01-01"}}, EarlyAccess(ends_at="2030-01-01")),
        ({"earlyAccessEndsAt": "2030-01-01T00:00:00Z"}, EarlyAccess(ends_at="2030-01-01T00:00:00Z")),
        ({"availability": "EarlyAccess"}, EarlyAccess()),
        ({"paidAccess": None, "availability": "Public"}, None),
    ],
)
def test_early_access_is_read_in_its_old_and_new_forms(raw, expected) -> None:
    assert ModelVersion.decode({"id": 1, **raw}).early_access == expected


def test_the_package_loads_no_http_client() -> None:
    code = "import sys, synapse_sync.sources.civitai as c; c.Client; sys.exit('httpx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
