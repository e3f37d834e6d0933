from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from asking import refuse, resolve

from synapse_sync.core.digest import Digest
from synapse_sync.core.reference import Reference
from synapse_sync.errors import (
    AccessDenied,
    InputError,
    NetworkError,
    NotFound,
    Offline,
    RegionRefused,
    StatusError,
)
from synapse_sync.net.api import Api
from synapse_sync.net.credentials import Credentials, Grant, Secret
from synapse_sync.net.retries import Retry
from synapse_sync.sources.base import Ask, Resolved
from synapse_sync.sources.civitai.source import CivitaiSource

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SHA_A, SHA_B = "aa" * 32, "bb" * 32
KEY = "s3cret-key"


def file(number: int | None = 1, **changes: object) -> dict[str, object]:
    base: dict[str, object] = {
        "id": number,
        "name": "model.safetensors",
        "type": "Model",
        "sizeKB": 2.5,
        "metadata": {"format": "SafeTensor", "size": "pruned", "fp": "fp16"},
        "hashes": {"SHA256": SHA_A.upper(), "AutoV2": SHA_A[:10].upper()},
        "pickleScanResult": "Success",
        "virusScanResult": "Success",
    }
    return {**base, **changes}


def version(number: int, *files: dict[str, object], **changes: object) -> dict[str, object]:
    base: dict[str, object] = {
        "id": number,
        "name": f"v{number}",
        "baseModel": "SD 1.5",
        "publishedAt": "2024-01-01T00:00:00.000Z",
        "status": "Published",
        "trainedWords": ["word"],
        "files": list(files) or [file(number * 10, primary=True)],
        "images": [
            {"url": "https://image.example/x.jpeg", "type": "video", "nsfwLevel": 4, "width": 5, "height": 6}
        ],
    }
    return {**base, **changes}


def model(number: int, *versions: dict[str, object], **changes: object) -> dict[str, object]:
    base: dict[str, object] = {
        "id": number,
        "name": f"Model {number}",
        "type": "Checkpoint",
        "nsfwLevel": 3,
        "allowNoCredit": True,
        "allowCommercialUse": ["Image", "Sell"],
        "creator": {"username": "author"},
        "modelVersions": list(versions),
    }
    return {**base, **changes}


@pytest.fixture
def publish(site) -> Callable[..., None]:
    """Put models on the site: in the list, by themselves, and each version by itself."""

    def put(*models: dict[str, object]) -> None:
        def listed(seen):
            if "ids" in seen.query:
                wanted = set(seen.query["ids"][0].split(","))
                return {"items": [m for m in models if str(m["id"]) in wanted]}
            wanted = set(seen.query["modelVersionIds"][0].split(","))
            return {"items": [m for m in models if wanted & {str(v["id"]) for v in m["modelVersions"]}]}

        site.routes["/api/v1/models"] = listed
        for one in models:
            site.routes[f"/api/v1/models/{one['id']}"] = one
            for inner in one["modelVersions"]:
                site.routes[f"/api/v1/model-versions/{inner['id']}"] = {
                    **inner, "modelId": one["id"], "model": {"name": one["name"], "type": one["type"]}
                }  # fmt: skip

    return put


@pytest.fixture
def source(site) -> Iterator[CivitaiSource]:
    credentials = Credentials([Grant(site.url, Secret(KEY), "/api/")])
    with Api(credentials, retry=Retry(attempts=1), sleep=lambda seconds: None) as api:
        yield CivitaiSource(api, site.url, clock=lambda: NOW)


def civitai(id_: str = "", revision: str | None = None, **more) -> Reference:
    return Reference("civitai", id_, revision, **more)


def test_the_first_version_of_the_site_is_the_default(source, publish) -> None:
    publish(model(4, version(42), version(99)))
    answer = resolve(source, civitai("4"))
    assert str(answer.reference) == "civitai:4@42"
    assert not answer.take_all
    (candidate,) = answer.candidates
    assert candidate.url.text == "https://civitai.com/api/download/models/42?fileId=420"
    assert (candidate.filename, candidate.size, candidate.sha256) == ("model.safetensors", 2560, SHA_A)
    assert (candidate.format, candidate.precision, candidate.size_class) == ("safetensors", "fp16", "pruned")
    assert (candidate.kind, candidate.role, candidate.primary, candidate.scan) == (
        "model",
        "model",
        True,
        "success",
    )
    assert candidate.file_id == "420"


def test_the_card_has_the_words_of_model_and_version(source, publish) -> None:
    publish(model(4, version(42)))
    card = resolve(source, civitai("4")).card
    assert (card.title, card.version_name, card.type, card.base_model) == ("Model 4", "v42", "checkpoint", "SD 1.5")
    assert (card.published, card.trained_words, card.nsfw) == ("2024-01-01T00:00:00.000Z", ("word",), 3)
    assert card.license == (
        ("allow-commercial-use", "Image,Sell"),
        ("allow-no-credit", True),
        ("creator", "author"),
    )
    assert [(p.type, p.nsfw, p.width) for p in card.previews] == [("video", 4, 5)]


@pytest.mark.parametrize(
    ("model_says", "version_says", "nsfw"),
    [
        ({"nsfwLevel": 3}, {}, 3),
        ({"nsfwLevel": 3}, {"nsfwLevel": 4}, 4),
        ({"nsfwLevel": 1, "nsfw": True}, {}, 9),
        ({"nsfwLevel": None, "nsfw": True}, {}, 8),
        ({"nsfwLevel": None, "nsfw": False}, {}, 1),
        ({"nsfwLevel": 0, "nsfw": False}, {"nsfwLevel": 0}, 1),
        ({"nsfwLevel": 0}, {}, None),
        ({"nsfwLevel": None}, {}, None),
    ],
)
def test_the_stricter_word_of_level_and_flag_counts(source, publish, model_says, version_says, nsfw) -> None:
    publish(model(4, version(42, **version_says), **model_says))
    assert resolve(source, civitai("4")).card.nsfw == nsfw


@pytest.mark.parametrize(
    ("word", "role"),
    [
        ("Model", "model"), ("Pruned Model", "model"), ("Training Data", "model"), ("Archive", "model"),
        ("Diffusion Model", "diffusion_model"), ("UNet", "diffusion_model"), ("VAE", "vae"), ("Config", "config"),
        ("Text Encoder", "text_encoder"), ("CLIPVision", "clip_vision"), ("ControlNet", "controlnet"),
        ("Negative", "embedding"), ("Something New", "model"),
    ],
)  # fmt: skip
def test_a_file_may_have_a_kind_of_its_own(source, publish, word: str, role: str) -> None:
    publish(model(4, version(42, file(1, type=word, primary=True))))
    assert resolve(source, civitai("4")).candidates[0].role == role


def test_an_image_without_a_usable_address_is_left_out(source, publish) -> None:
    """It would be written into the lockfile, which then could not be read."""
    images = [
        {"url": url, "nsfwLevel": 1} for url in ("https:///x.jpeg", "no address", "https://image.example/y.jpeg")
    ]
    publish(model(4, version(42, images=images)))
    found = resolve(source, civitai("4")).card.previews
    assert [preview.url.text for preview in found] == ["https://image.example/y.jpeg"]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("LoCon", "lora"),
        ("DoRA", "lora"),
        ("TextualInversion", "embedding"),
        ("MotionModule", "motion_module"),
        ("CLIPVision", "clip_vision"),
        ("Upscaler", "upscaler"),
        ("StyleModel", "style_model"),
        ("SomethingOfTomorrow", "other"),
    ],
)
def test_types_are_ours_and_unknown_ones_are_other(source, publish, word, expected) -> None:
    publish(model(4, version(42), type=word))
    assert resolve(source, civitai("4")).card.type == expected


def test_two_hundred_models_cost_two_requests_and_their_usage(source, publish, site) -> None:
    publish(*(model(number, version(number + 1000)) for number in range(1, 201)))
    answers = source.resolve([Ask(key=f"m{n}", reference=civitai(str(n), str(n + 1000))) for n in range(1, 201)])
    assert all(isinstance(answer, Resolved) for answer in answers.values())
    assert len(answers) == 200
    assert len(site.log) == 2 + 1, "all their files have one digest"


def test_versions_without_a_model_and_hashes_come_in_batches_too(source, publish, site) -> None:
    publish(*(model(number, version(number + 1000)) for number in range(1, 51)))
    site.routes["/api/v1/model-versions/by-hash/ids"] = [
        {"modelVersionId": 1007, "modelId": 7, "hash": SHA_A.upper()}
    ]
    asks = [Ask(key=f"m{n}", reference=civitai("", str(n + 1000))) for n in range(1, 51)]
    answers = source.resolve([*asks, Ask(key="h", reference=Reference("hash", f"sha256:{SHA_A}"))])
    assert str(answers["m9"].reference) == "civitai:9@1009"
    assert str(answers["h"].reference) == "civitai:7@1007"
    assert len(site.log) == 3 + 1


def test_a_short_hash_is_looked_up_and_leaves_its_own_file(source, publish, site) -> None:
    publish(model(4, version(42, file(1), file(2, hashes={"SHA256": SHA_B.upper()}))))
    single = site.routes["/api/v1/model-versions/42"]
    site.routes[f"/api/v1/model-versions/by-hash/{SHA_B[:10]}"] = single
    answer = resolve(source, Reference("hash", f"autov2:{SHA_B[:10]}"))
    assert [candidate.file_id for candidate in answer.candidates] == ["2"]


def test_an_unknown_hash_is_not_found(source, site) -> None:
    site.routes["/api/v1/model-versions/by-hash/ids"] = []
    assert isinstance(refuse(source, Reference("hash", f"sha256:{SHA_A}")), NotFound)
    assert isinstance(refuse(source, Reference("hash", "autov2:" + SHA_A[:10])), NotFound)


def test_a_hash_that_cannot_be_looked_up_now_is_not_called_unknown(source, site) -> None:
    site.routes["/api/v1/model-versions/by-hash/" + SHA_A[:10]] = (500, {"error": "boom"})
    assert type(refuse(source, Reference("hash", "autov2:" + SHA_A[:10]))) is NetworkError
    with pytest.raises(StatusError):
        source.identify([Digest("autov2", SHA_A[:10])])


def test_a_version_that_does_not_have_the_hash_is_not_taken(source, publish, site) -> None:
    publish(model(4, version(42)))
    site.routes["/api/v1/model-versions/by-hash/ids"] = [
        {"modelVersionId": 42, "modelId": 4, "hash": SHA_B.upper()}
    ]
    error = refuse(source, Reference("hash", f"sha256:{SHA_B}"))
    assert isinstance(error, NotFound)
    assert SHA_B in error.message


def test_a_version_that_the_model_does_not_list_is_asked_for_by_itself(source, publish, site) -> None:
    publish(model(4, version(42)))
    site.routes["/api/v1/model-versions/41"] = {**version(41), "modelId": 4, "model": {"name": "M", "type": "LORA"}}
    answer = resolve(source, civitai("4", "41"))
    assert str(answer.reference) == "civitai:4@41"
    assert answer.card.title == "Model 4"


def test_a_version_outlives_the_listing_of_its_model(source, publish, site) -> None:
    publish()
    site.routes["/api/v1/model-versions/42"] = {
        **version(42),
        "modelId": 4,
        "model": {"name": "Gone", "type": "VAE"},
    }
    answer = resolve(source, civitai("4", "42"))
    assert (answer.card.title, answer.card.type, answer.card.license) == ("Gone", "vae", ())


def test_a_version_that_is_listed_without_files_is_asked_why(source, publish, site) -> None:
    publish(model(4, version(42, files=[])))
    site.routes["/api/v1/model-versions/42"] = {**version(42, usageControl="Generation"), "modelId": 4}
    assert "disabled downloads" in refuse(source, civitai("4", "42")).message


def test_a_version_that_the_site_cannot_give_now_is_not_called_missing(source, publish, site) -> None:
    publish()
    site.routes["/api/v1/model-versions/42"] = (500, {"error": "Failed to fetch"})
    assert type(refuse(source, civitai("", "42"))) is NetworkError


def test_a_list_that_does_not_take_versions_is_done_without(source, publish, site) -> None:
    publish(model(4, version(42)))
    site.routes["/api/v1/models"] = (400, {"error": "bad parameter"})
    assert str(resolve(source, civitai("", "42")).reference) == "civitai:4@42"
    site.routes["/api/v1/models"] = (500, {"error": "boom"})
    assert type(refuse(source, civitai("", "42"))) is NetworkError


def test_a_version_of_another_model_is_refused_with_what_there_is(source, publish) -> None:
    publish(model(4, version(42)), model(5, version(51)))
    error = refuse(source, civitai("4", "51"))
    assert isinstance(error, InputError)
    assert "belongs to model 5" in error.message
    assert error.hint is not None
    assert "civitai:4@42" in error.hint
    assert "v42" in error.hint


def test_a_version_that_does_not_exist_is_refused_with_what_there_is(source, publish) -> None:
    publish(model(4, version(42), version(43)))
    error = refuse(source, civitai("4", "7"))
    assert isinstance(error, NotFound)
    assert "no version 7" in error.message
    assert "civitai:4@43" in (error.hint or "")


def test_a_deleted_model_is_not_found(source, publish) -> None:
    publish()
    error = refuse(source, civitai("4"))
    assert isinstance(error, NotFound)
    assert "model 4" in error.message


@pytest.mark.parametrize(
    ("changes", "kind", "word"),
    [
        ({"status": "Unpublished"}, NotFound, "not published"),
        ({"usageControl": "Generation"}, AccessDenied, "disabled downloads"),
        ({"paidAccess": {"permanent": False, "endsAt": "2026-07-01T00:00:00Z"}}, AccessDenied, "until 2026-07-01"),
        ({"paidAccess": {"permanent": True}}, AccessDenied, "paid"),
        ({"files": []}, NotFound, "no file"),
    ],
)
def test_versions_that_cannot_be_had_say_why(source, publish, changes, kind, word) -> None:
    publish(model(4, version(42, **changes)))
    for reference in (civitai("4"), civitai("4", "42"), civitai("", "42")):
        error = refuse(source, reference)
        assert isinstance(error, kind)
        assert word in error.message
        assert error.hint


@pytest.mark.parametrize(("mode", "word"), [("Archived", "archived"), ("TakenDown", "taken down")])
def test_models_that_were_put_away_say_so(source, publish, mode, word) -> None:
    publish(model(4, version(42), mode=mode))
    for reference in (civitai("4"), civitai("4", "42")):
        error = refuse(source, reference)
        assert isinstance(error, NotFound)
        assert word in error.message


def test_the_default_passes_over_early_access_with_a_word(source, publish) -> None:
    early = version(43, earlyAccessEndsAt="2026-06-02T00:00:00Z")
    publish(model(4, early, version(42)))
    answer = resolve(source, civitai("4"))
    assert answer.reference.revision == "42"
    assert "until 2026-06-02" in answer.warnings[0]


def test_early_access_that_is_over_is_no_obstacle(source, publish) -> None:
    publish(model(4, version(43, earlyAccessEndsAt="2026-05-31T00:00:00Z"), version(42)))
    answer = resolve(source, civitai("4"))
    assert (answer.reference.revision, answer.warnings) == ("43", ())


def test_exclude_newer_chooses_as_of_then(source, publish) -> None:
    publish(model(4, version(43, publishedAt="2025-01-01T00:00:00Z"), version(42)))
    assert resolve(source, civitai("4"), exclude_newer=datetime(2024, 6, 1, tzinfo=UTC)).reference.revision == "42"
    assert resolve(source, civitai("4"), exclude_newer=datetime(2025, 6, 1, tzinfo=UTC)).reference.revision == "43"
    assert isinstance(refuse(source, civitai("4"), exclude_newer=datetime(2023, 1, 1, tzinfo=UTC)), NotFound)
    assert (
        "newer" in resolve(source, civitai("4", "43"), exclude_newer=datetime(2024, 6, 1, tzinfo=UTC)).warnings[0]
    )


def test_a_file_id_leaves_that_file_and_a_missing_one_lists_the_others(source, publish) -> None:
    publish(model(4, version(42, file(1), file(2, name="other.ckpt"))))
    answer = resolve(source, civitai("4", "42", file="2"))
    assert [candidate.file_id for candidate in answer.candidates] == ["2"]
    assert str(answer.reference) == "civitai:4@42+2"
    error = refuse(source, civitai("4", "42", file="3"))
    assert isinstance(error, NotFound)
    assert "other.ckpt" in (error.hint or "")


def test_selectors_of_a_download_url_narrow_the_choice(source, publish) -> None:
    files = [
        file(1, metadata={"format": "SafeTensor", "size": "full", "fp": "fp32"}),
        file(2, metadata={"format": "SafeTensor", "size": "pruned", "fp": "fp16"}),
    ]
    publish(model(4, version(42, *files)))
    wanted = civitai("", "42", query=(("format", "SafeTensor"), ("fp", "FP16")))
    assert [candidate.file_id for candidate in resolve(source, wanted).candidates] == ["2"]
    assert isinstance(refuse(source, civitai("", "42", query=(("fp", "nf4"),))), NotFound)


def test_a_linked_vae_keeps_the_sites_selectors(source, publish) -> None:
    own = file(1, downloadUrl="https://civitai.com/api/download/models/42?fileId=1")
    linked = file(77, type="VAE", downloadUrl="https://civitai.com/api/download/models/42?type=VAE")
    publish(model(4, version(42, own, linked)))
    vae = resolve(source, civitai("4")).candidates[1]
    assert vae.url.text == "https://civitai.com/api/download/models/42?type=VAE"
    assert (vae.role, vae.kind, vae.file_id) == ("vae", "vae", "77")
    answer = resolve(source, civitai("4", "42", file="77"))
    assert [candidate.url for candidate in answer.candidates] == [vae.url]


@pytest.mark.parametrize(
    ("name", "word", "expected"),
    [
        ("x.safetensors", "SafeTensor", "safetensors"),
        ("x.pt", "PickleTensor", "pickle"),
        ("x.pt", "SafeTensor", "pickle"),
        ("x", "GGUF", "gguf"),
        ("x", "Diffusers", "diffusers"),
        ("x.zip", "Other", "archive"),
        ("x", None, "other"),
    ],
)
def test_formats(source, publish, name, word, expected) -> None:
    publish(model(4, version(42, file(1, name=name, metadata={"format": word}))))
    assert resolve(source, civitai("4")).candidates[0].format == expected


@pytest.mark.parametrize(
    ("pickle", "virus", "expected"),
    [
        ("Danger", "Success", "danger"),
        ("Success", "Danger", "danger"),
        ("Pending", "Success", "pending"),
        (None, None, None),
    ],
)
def test_the_worst_scan_counts(source, publish, pickle, virus, expected) -> None:
    publish(model(4, version(42, file(1, pickleScanResult=pickle, virusScanResult=virus))))
    assert resolve(source, civitai("4")).candidates[0].scan == expected


def test_names_of_files_become_safe(source, publish) -> None:
    publish(model(4, version(42, file(1, name="../../etc/pass:wd.safetensors"))))
    assert resolve(source, civitai("4")).candidates[0].filename == "pass_wd.safetensors"


def test_an_air_that_says_otherwise_is_a_warning(source, publish) -> None:
    publish(model(4, version(42)))
    wrong = resolve(source, civitai("4", "42", ecosystem="sdxl", kind="lora")).warnings
    assert len(wrong) == 2
    assert resolve(source, civitai("4", "42", ecosystem="sd1", kind="checkpoint")).warnings == ()


def test_one_bad_question_does_not_spoil_the_others(source, publish) -> None:
    publish(model(4, version(42)))
    answers = source.resolve([Ask(key="good", reference=civitai("4")), Ask(key="bad", reference=civitai("5"))])
    assert isinstance(answers["good"], Resolved)
    assert isinstance(answers["bad"], NotFound)


def test_a_site_in_trouble_is_told_to_each_question_by_itself(source, site) -> None:
    site.routes["/api/v1/models"] = (500, {"error": "boom"})
    answers = source.resolve([Ask(key="a", reference=civitai("4")), Ask(key="b", reference=civitai("5"))])
    assert [answer.exit_code for answer in answers.values()] == [5, 5]
    assert answers["a"] is not answers["b"]
    assert "civitai:5" in answers["b"].message


def test_offline_is_told_and_asks_nothing(site) -> None:
    with Api(Credentials(), offline=True) as api:
        source = CivitaiSource(api, site.url)
        assert isinstance(refuse(source, civitai("4")), Offline)
        assert isinstance(refuse(source, civitai("", "42")), Offline)
        assert isinstance(refuse(source, Reference("hash", f"sha256:{SHA_A}")), Offline)
    assert site.log == []


def test_locate_asks_nothing_and_uses_the_endpoint(source, site) -> None:
    url = f"{site.url}/api/download/models/42"
    assert source.locate(civitai("4", "42", file="7")).url == f"{url}?fileId=7"
    assert source.locate(civitai("", "42", query=(("type", "Pruned Model"),))).url == f"{url}?type=Pruned+Model"
    assert source.locate(civitai("4", "42")).url == url
    with pytest.raises(InputError):
        source.locate(civitai("4"))
    assert site.log == []


def test_what_is_locked_can_be_read_and_located_again(source, publish, site) -> None:
    publish(model(4, version(42)))
    url = resolve(source, civitai("4")).candidates[0].url.text
    assert source.locate(Reference.parse(url)).url == f"{site.url}/api/download/models/42?fileId=420"


def test_identify_leaves_out_what_the_site_does_not_know(source, publish, site) -> None:
    publish(model(4, version(42)))
    site.routes["/api/v1/model-versions/by-hash/ids"] = [
        {"modelVersionId": 42, "modelId": 4, "hash": SHA_A.upper()}
    ]
    site.routes["/api/v1/model-versions/by-hash/" + "c" * 12] = site.routes["/api/v1/model-versions/42"]
    digests = [
        Digest("sha256", SHA_A),
        Digest("sha256", SHA_B),
        Digest("autov3", "c" * 12),
        Digest("crc32", "d" * 8),
    ]
    found = source.identify([*digests, Digest("git-sha1", "e" * 40)])
    assert {str(digest): str(reference) for digest, reference in found.items()} == {
        f"sha256:{SHA_A}": "civitai:4@42",
        "autov3:" + "c" * 12: "civitai:4@42",
    }
    assert not any("e" * 40 in path for path in site.paths)


def test_a_token_is_asked_for_only_where_there_is_none(source, site) -> None:
    assert source.needs_token(civitai("4", "42")) is None
    with Api(Credentials()) as api:
        assert "CIVITAI_API_KEY" in (CivitaiSource(api, site.url).needs_token(civitai("4", "42")) or "")


@pytest.mark.parametrize(
    ("status", "body", "kind", "word"),
    [
        (
            401,
            '{"error":"Unauthorized","message":"The creator requires you to be logged in"}',
            AccessDenied,
            "API key",
        ),
        (
            401,
            '{"message":"The creator of this asset has disabled downloads on this file"}',
            AccessDenied,
            "disabled",
        ),
        (403, '{"error":"Early Access","deadline":"2026-07-01T00:00:00Z"}', AccessDenied, "until 2026-07-01"),
        (403, '{"error":"Early Access","deadline":"2026-07-01T00:00:00Z","mess…', AccessDenied, "until 2026-07-01"),
        (403, '{"error":"You do not have access to download this file"}', AccessDenied, "do not have access"),
        (404, '{"error":"File not found"}', NotFound, "no file"),
        (410, '{"error":"Model archived, not available for download"}', NotFound, "archived"),
        (429, '{"error":"unusual amount of downloading"}', NetworkError, "unusual amount"),
        (451, '{"code":"REGION_BLOCKED"}', RegionRefused, "region"),
        (502, "<html>bad gateway</html>", NetworkError, "returned a server error (502)"),
        (418, "teapot", NetworkError, "418"),
    ],
)
def test_statuses_in_words(source, status, body, kind, word) -> None:
    error = StatusError("raw", status=status, url="https://civitai.com/api/download/models/42", body=body)
    told = source.explain(civitai("4", "42"), error)
    assert type(told) is kind
    assert word in told.message
    assert ("civitai:4@42" in told.message) is (status != 451), "a region is refused whatever the file"


def test_a_missing_token_and_a_wrong_one_are_told_apart(site) -> None:
    error = StatusError("raw", status=401, url="https://civitai.com/api/download/models/42", body="{}")
    with Api(Credentials()) as api:
        told = CivitaiSource(api, site.url).explain(civitai("4", "42"), error)
    assert "requires an API key" in told.message
    assert "CIVITAI_API_KEY" in (told.hint or "")


def test_a_refusal_of_the_storage_is_not_the_sites(source) -> None:
    error = StatusError(
        "raw", status=403, url="https://storage.example/bucket/x", body="<Error>AccessDenied</Error>"
    )
    assert type(source.explain(civitai("4", "42"), error)) is NetworkError


# -- requests that need nothing of each other ----------------------------------------------------------


def meet(count: int, answer: object) -> Callable[[object], object]:
    """An answer that is given once so many requests wait for one."""
    barrier = threading.Barrier(count)

    def wait(seen: object) -> object:
        barrier.wait(10)
        return answer(seen) if callable(answer) else answer

    return wait


def test_versions_in_no_list_are_asked_side_by_side(source, site) -> None:
    site.routes["/api/v1/models"] = {"items": []}
    alone = threading.Barrier(4)

    def one(seen):
        alone.wait(10)
        number = int(seen.path.rpartition("/")[2])
        return {**version(number), "modelId": 5, "model": {"name": "m", "type": "LORA"}}

    site.routes |= {f"/api/v1/model-versions/{number}": one for number in range(1, 5)}
    asks = [Ask(key=str(number), reference=civitai("", str(number))) for number in range(1, 5)]
    assert all(isinstance(answer, Resolved) for answer in source.resolve(asks).values())
    assert len(site.log) == 5


def test_models_and_the_models_of_versions_are_listed_side_by_side(source, site, publish) -> None:
    publish(model(4, version(42)), model(6, version(99)))
    site.routes["/api/v1/models"] = meet(2, site.routes["/api/v1/models"])
    answers = source.resolve([Ask(key="a", reference=civitai("4")), Ask(key="b", reference=civitai("", "99"))])
    assert [str(answer.reference) for answer in answers.values()] == ["civitai:4@42", "civitai:6@99"]
    assert site.paths.count("/api/v1/models") == 2


def test_the_lists_of_many_models_are_asked_side_by_side(source, site, publish) -> None:
    publish(*(model(number, version(number + 1000)) for number in range(1, 301)))
    site.routes["/api/v1/models"] = meet(3, site.routes["/api/v1/models"])
    asks = [Ask(key=str(number), reference=civitai(str(number))) for number in range(1, 301)]
    assert all(isinstance(answer, Resolved) for answer in source.resolve(asks).values())
    assert site.paths.count("/api/v1/models") == 3


def test_hashes_of_both_kinds_are_looked_up_side_by_side(source, site) -> None:
    site.routes["/api/v1/model-versions/by-hash/ids"] = ids = meet(2, [])
    site.routes["/api/v1/model-versions/by-hash/0123456789"] = lambda seen: (404, ids(seen))
    asks = [Ask(key="a", reference=Reference("hash", f"sha256:{SHA_A}"))]
    asks += [Ask(key="b", reference=Reference("hash", "autov2:0123456789"))]
    assert all(isinstance(answer, NotFound) for answer in source.resolve(asks).values())


def test_hashes_of_files_are_identified_side_by_side(source, site) -> None:
    answer = meet(2, {**version(42), "modelId": 4, "model": {"name": "m", "type": "LORA"}})
    digests = [Digest("autov2", value) for value in ("0123456789", "abcdef0123")]
    site.routes |= {f"/api/v1/model-versions/by-hash/{digest.value}": answer for digest in digests}
    assert source.identify(digests) == dict.fromkeys(digests, civitai("4", "42"))


def test_a_description_waits_once_for_the_model_and_the_version_that_are_named(source, site, publish) -> None:
    publish(model(4, version(42, images=[])))
    first = threading.Barrier(2)
    for path in ("/api/v1/models/4", "/api/v1/model-versions/42"):
        site.routes[path] = (lambda answer: lambda seen: first.wait(10) * 0 or answer)(site.routes[path])
    assert source.describe(civitai("4", "42")).title == "Model 4"
    assert len(site.log) == 2


def test_the_version_that_a_model_has_by_default_comes_with_its_previews(source, site, publish) -> None:
    publish(model(4, version(42)))
    second = threading.Barrier(2)
    one = site.routes["/api/v1/model-versions/42"]
    site.routes["/api/v1/model-versions/42"] = lambda seen: second.wait(10) * 0 or one
    site.routes["/api/v1/images"] = lambda seen: second.wait(10) * 0 or {"items": [], "metadata": {}}
    assert source.describe(civitai("4")).title == "Model 4"
    assert sorted(site.paths) == ["/api/v1/images", "/api/v1/model-versions/42", "/api/v1/models/4"]


def test_documents_of_versions_are_asked_side_by_side(source, site, publish) -> None:
    publish(model(4, version(42)), model(6, version(99)))
    all_three = threading.Barrier(3)
    for path in ("/api/v1/models", "/api/v1/model-versions/42", "/api/v1/model-versions/99"):

        def answer(seen, was=site.routes[path]):
            all_three.wait(10)
            return was(seen) if callable(was) else was

        site.routes[path] = answer
    found = source.documents([civitai("4", "42"), civitai("6", "99")])
    assert all(isinstance(text, bytes) for text in found.values()) and len(found) == 2
