"""The numbered facts about Civitai (F1 to F46 of our research), each held to against the hub over real sockets.

What surrounds the previews and sidecars of F39 to F44 is tested in `black_box/test_companions.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from workbench import sha256
from world import Project

from synapse_sync.core.digest import Digest
from synapse_sync.core.instant import utc_text
from synapse_sync.core.reference import Reference
from synapse_sync.demo import catalogue
from synapse_sync.demo.civitai.things import File, Image, Model, Version
from synapse_sync.demo.exchange import Fault
from synapse_sync.demo.hub import Hub
from synapse_sync.demo.weights import safetensors_bytes
from synapse_sync.errors import (
    AccessDenied,
    InputError,
    InvalidReference,
    NetworkError,
    NotFound,
    StatusError,
    SynapseError,
)
from synapse_sync.net.agent import USER_AGENT
from synapse_sync.net.api import Api
from synapse_sync.net.credentials import Credentials, Grant, Secret
from synapse_sync.sources.base import Ask, Resolved
from synapse_sync.sources.civitai import schema
from synapse_sync.sources.civitai.client import Client
from synapse_sync.sources.civitai.fields import Fields
from synapse_sync.sources.civitai.hashes import digests_of, file_hashes
from synapse_sync.sources.civitai.source import CivitaiSource

API = "/api/v1"
DOWNLOAD = "/api/download/models"
MODEL, VERSION, FILE = 100, 1000, 10_000


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def api(hub: Hub, waits: list[float]) -> Iterator[Api]:
    grants = [Grant(hub.civitai_url, Secret(hub.civitai_token), "/api/")]
    with Api(Credentials(grants), sleep=waits.append, jitter=lambda: 1.0) as ready:
        yield ready


@pytest.fixture
def client(hub: Hub, api: Api) -> Client:
    return Client(api, hub.civitai_url)


@pytest.fixture
def source(hub: Hub, api: Api) -> CivitaiSource:
    return CivitaiSource(api, hub.civitai_url, clock=lambda: datetime(2026, 6, 1, tzinfo=UTC))


def weights(seed: str = "w", size: int = 3000) -> bytes:
    return safetensors_bytes(seed, size=size)


def a_file(number: int = FILE, **changes: Any) -> File:
    base: dict[str, Any] = {"id": number, "name": f"f{number}.safetensors", "content": weights(str(number))}
    return File(**{**base, "primary": True, **changes})


def publish(hub: Hub, *files: File, model: dict[str, Any] | None = None, **version: Any) -> Model:
    only = Version(**{"id": VERSION, "name": "v1", "files": files or (a_file(),), **version})
    made = Model(**{"id": MODEL, "name": "M", "versions": (only,), "type": "LORA", **(model or {})})
    hub.civitai.add(made)
    return made


def resolve(source: CivitaiSource, text: str) -> Resolved:
    answer = source.resolve([Ask(key="it", reference=Reference.parse(text))])["it"]
    assert isinstance(answer, Resolved), answer
    return answer


def refused(source: CivitaiSource, text: str) -> SynapseError:
    answer = source.resolve([Ask(key="it", reference=Reference.parse(text))])["it"]
    assert isinstance(answer, SynapseError), answer
    return answer


def asked(hub: Hub, start: str = "/") -> list[str]:
    return [seen.path for seen in hub.requests("civitai") if seen.path.startswith(start)]


def sync(project: Project, reference: str = f"civitai:{MODEL}", *words: str, code: int = 0) -> Any:
    project.manifest(f'[models]\nm = "{reference}"\n')
    return project("sync", *words, code=code)


# -- resolving --------------------------------------------------------------------------------------


def test_f01_the_version_endpoint_knows_all_about_a_pin(client: Client) -> None:
    """F1: /model-versions/{id} alone gives modelId, air, usageControl, paidAccess and the files together."""
    alone = client.model_version(catalogue.EARLY_PAID)
    assert (alone.model_id, alone.usage_control) == (catalogue.EARLY, "Download")
    assert alone.air == f"urn:air:sd1:lora:civitai:{catalogue.EARLY}@{catalogue.EARLY_PAID}"
    assert alone.early_access is not None and alone.files
    below = client.model(catalogue.EARLY).versions[0]
    assert (below.air, below.usage_control) == (None, None)


def test_f02_missing_keys_are_empty(client: Client, hub: Hub) -> None:
    """F2: below a model, null values and empty arrays of a version are missing keys."""
    publish(hub)
    (version,) = client.model(MODEL).versions
    assert (version.trained_words, version.images, version.description) == ((), (), None)
    assert (version.model_id, version.files[0].id) == (MODEL, FILE)


def test_f03_the_default_is_the_first_version_and_not_the_highest_id(source: CivitaiSource) -> None:
    """F3: "latest" is modelVersions[0], never the highest id."""
    assert resolve(source, "civitai:58390").reference.revision == "62833"  # the other one is 62834
    assert resolve(source, "civitai:4468").reference.revision == "57618"


def test_f04_stale_lists_and_hidden_models_fall_back_to_the_version(source: CivitaiSource, hub: Hub) -> None:
    """F4: modelVersions can be stale, and a model 404 while its version is 200."""
    publish(hub, unlisted=True)
    assert resolve(source, f"civitai:{MODEL}@{VERSION}").candidates[0].file_id == str(FILE)
    publish(hub, model={"hidden": True})
    for text in (f"civitai:{MODEL}@{VERSION}", f"civitai:@{VERSION}"):
        assert resolve(source, text).reference == Reference("civitai", str(MODEL), str(VERSION))
    assert isinstance(refused(source, f"civitai:{MODEL}"), NotFound)


def test_f05_a_bare_number_is_refused_and_a_version_is_checked_against_its_model(source: CivitaiSource) -> None:
    """F5: a bare integer may be both ids; the version of ?modelVersionId= must belong to the model."""
    with pytest.raises(InvalidReference) as caught:
        Reference.parse("4384")
    assert "civitai:4384" in (caught.value.hint or "") and "civitai:@4384" in (caught.value.hint or "")
    assert resolve(source, "https://civitai.com/models/4384/x?modelVersionId=128713").reference.id == "4384"
    wrong = refused(source, "https://civitai.com/models/4384?modelVersionId=62833")
    assert isinstance(wrong, InputError) and "belongs to model 58390" in wrong.message


def test_f06_batches_ask_with_nsfw(source: CivitaiSource, hub: Hub) -> None:
    """F6: without nsfw=true, models without the PG bit vanish silently from ids= answers."""
    assert resolve(source, f"civitai:{catalogue.MATURE}").card.title == "Mature Model"
    assert asked(hub) == [f"{API}/models", f"{API}/model-versions/by-hash"], "found in the batch; and its usage"
    assert "nsfw=true" in hub.requests("civitai")[0].query


def test_f07_what_is_coerced_is_never_sent(client: Client, hub: Hub) -> None:
    """F7: archived, earlyAccess, … are true whatever they say, favorites and hidden want a login: none is sent."""
    list(client.models(query="portrait", types=["LORA"], nsfw=False, limit=1))
    list(client.models(limit=1))
    client.models_by_ids([1, 4384])
    list(client.images(nsfw=True, limit=1))
    sent = " ".join(seen.query for seen in hub.requests())
    for word in ("archived", "earlyAccess", "fromPlatform", "supportsGeneration", "favorites", "hidden"):
        assert word not in sent


def test_f08_cursors_pages_and_their_ends(client: Client, hub: Hub, waits: list[float]) -> None:
    """F8: opaque cursors, none at the end; page*limit > 1000 is a final 429; no page beside query."""
    hub.civitai.models.clear()
    hub.civitai.add_many(1250, 5_000_000)
    found = [model.id for model in client.models()]
    assert found == list(range(5_000_000, 5_001_250))
    queries = [seen.query for seen in hub.requests()]
    assert ["page=" in query for query in queries] == [True] * 10 + [False] * 3
    hub.clear_log()
    assert len(list(client.models(query="many", limit=150))) == 150
    assert all("page=" not in seen.query for seen in hub.requests())
    assert len(hub.requests()) == 2
    hub.clear_log()
    with pytest.raises(StatusError) as caught:
        client.api.get_json(f"{hub.civitai_url}{API}/models?page=11&limit=100")
    assert (caught.value.status, len(hub.requests()), waits) == (429, 1, [])


def test_f08_creators_and_tags_have_pages_only(client: Client, hub: Hub) -> None:
    """F8: creators and tags are page-only."""
    hub.civitai.models.clear()
    tags = tuple(f"tag-{n:03}" for n in range(450))
    publish(hub, model={"tags": tags, "creator": "7"})
    assert [tag.name for tag in client.tags()] == list(tags)
    assert [tag.name for tag in client.tags(query="44", limit=3)] == ["tag-044", "tag-144", "tag-244"]
    assert [(one.username, one.model_count) for one in client.creators()] == [("7", 1)]
    assert not any("cursor" in seen.query for seen in hub.requests())


def test_f09_by_hash_in_any_case_and_in_bulk(client: Client, hub: Hub) -> None:
    """F9: any hash, any case, oldest version; POST by-hash has undefined URLs, duplicates and nulls."""
    file = a_file()
    publish(hub, file, published="2026-02-01T00:00:00.000Z")
    older = Version(id=VERSION + 1, name="v0", files=(file,), published="2025-02-01T00:00:00.000Z")
    hub.civitai.add_version(MODEL, older)
    for name in ("SHA256", "AutoV2", "AutoV3", "BLAKE3", "CRC32"):
        for value in (file.hashes[name], file.hashes[name].lower()):
            assert client.by_hash(value).id == VERSION + 1
    digest = sha256(file.content)
    full = client.by_hashes([digest.upper(), "0" * 64])
    assert {value: version.id for value, version in full.items()} == {digest: VERSION + 1}
    urls = [full[digest].download_url, *(one.download_url for one in full[digest].files)]
    assert all(url is not None and url.startswith(f"{hub.civitai_url}/api/") for url in urls)
    assert client.by_hashes_ids([digest.upper()])[digest].model_id == MODEL


def test_f09_bulk_sizes(client: Client, hub: Hub) -> None:
    """F9: by-hash/ids takes 10,000 at once, by-hash 100: 5,000 files are 1 request for ids, 50 for records."""
    digests = [f"{n:064x}" for n in range(5000)]
    assert client.by_hashes_ids(digests) == {}
    assert len(hub.requests()) == 1
    hub.clear_log()
    assert client.by_hashes(digests) == {}
    assert len(hub.requests()) == 50
    hub.clear_log()
    client.by_hashes_ids([f"{n:064x}" for n in range(10_001)])
    assert len(hub.requests()) == 2


def test_f10_enums_are_open(client: Client, source: CivitaiSource, hub: Hub) -> None:
    """F10: every enum is an open string."""
    strange = a_file(type="Quantum Weights", format="QuantumTensor", name="q.qt")
    publish(hub, strange, model={"type": "Hologram"}, base_model="SD 9")
    answer = resolve(source, f"civitai:{MODEL}")
    assert (answer.card.type, answer.card.base_model) == ("other", "SD 9")
    assert (answer.candidates[0].kind, answer.candidates[0].format) == ("quantum weights", "other")
    assert "LORA" in client.enums()["ModelType"]


def test_f11_odd_forms_are_read(client: Client, hub: Hub) -> None:
    """F11: control characters, numeric names, three forms of allowCommercialUse, tags as objects, no Z."""
    body = (
        b'{"id": 5, "name": "a\x01b", "allowCommercialUse": "{Image,Sell}", "creator": {"username": 123},'
        b'"tags": [{"name": "x"}, "y"], "modelVersions": [{"id": 6, "baseModelType": null,'
        b'"publishedAt": "2023-04-28T19:32:30.819"}]}'
    )
    hub.faults.add(f"{API}/models/5", Fault(status=200, body=body))
    model = client.model(5)
    assert (model.name, model.allow_commercial_use, model.tags) == ("a\x01b", ("Image", "Sell"), ("x", "y"))
    assert model.creator is not None and model.creator.username == "123"
    assert utc_text(model.versions[0].published_at) == "2023-04-28T19:32:30.819Z"


def test_f11_what_is_needed_is_named(client: Client, hub: Hub) -> None:
    """F11: lenient, but what nothing can be done without is an error that names the field."""
    hub.faults.add(f"{API}/models/5", Fault(status=200, body=b'{"id": 5, "modelVersions": [{"name": "x"}]}'))
    with pytest.raises(NetworkError, match=r"model\.modelVersions\[0\]\.id"):
        client.model(5)
    hub.faults.add(f"{API}/images", Fault(status=200, body=b'{"metadata": {}}'))
    with pytest.raises(NetworkError, match=r"images\.items"):
        list(client.images())


def test_f12_nsfw_levels(client: Client, hub: Hub) -> None:
    """F12: a bitmask in models and versions, a word in /images, a bool or a word before 2024."""
    publish(hub, images=(Image(id=1, content=b"1"), Image(id=2, content=b"2", nsfw_level=8, type="video")))
    assert [image.nsfw_level for image in client.model_version(VERSION).images] == [1, 8]
    images = {image.id: image for image in client.images(model_id=MODEL)}
    assert {number: (one.nsfw_level, one.browsing_level) for number, one in images.items()} == {
        1: ("None", 1),
        2: ("X", 8),
    }
    assert images[2].type == "video" and images[2].version_ids == (VERSION,)
    assert [image.id for image in client.images(version_id=VERSION, nsfw="None")] == [1]
    old = [{"nsfw": "Mature"}, {"nsfw": True}, {"nsfw": False}, {"nsfwLevel": "Soft"}]
    levels = [schema.ModelImage.decode(Fields({"url": "u", **raw}, "image")).nsfw_level for raw in old]
    assert levels == [4, 8, 1, 2]


def test_f13_what_lists_do_not_show_yet_can_be_had_by_its_number(source: CivitaiSource, hub: Hub) -> None:
    """F13: anonymous answers may be ~7 minutes stale at the edge: a pin does not depend on them."""
    publish(hub)
    file = File(id=FILE + 1, name="new.safetensors", content=safetensors_bytes("new"))
    hub.civitai.add_version(MODEL, Version(id=VERSION + 1, name="new", files=(file,), unlisted=True))
    assert str(resolve(source, f"civitai:{MODEL}").reference).endswith(f"@{VERSION}")
    assert str(resolve(source, f"civitai:{MODEL}@{VERSION + 1}").reference).endswith(f"@{VERSION + 1}")


# -- tokens -----------------------------------------------------------------------------------------


def test_f14_the_token_is_a_bearer_and_only_me_tells_a_wrong_one(client: Client, hub: Hub) -> None:
    """F14: Authorization: Bearer; a bad token is silently anonymous on public endpoints."""
    assert client.me().username == "newcomer"
    assert hub.requests()[0].headers["authorization"] == f"Bearer {hub.civitai_token}"
    wrong = Credentials([Grant(hub.civitai_url, Secret("wrong"), "/api/")])
    with Api(wrong) as other:
        assert Client(other, hub.civitai_url).model(4384).id == 4384
        with pytest.raises(StatusError) as caught:
            Client(other, hub.civitai_url).me()
    assert caught.value.status == 401
    assert all("token" not in seen.query for seen in hub.requests())


def test_f15_without_a_token_nothing_is_asked_for(project: Project) -> None:
    """F15: assume that every download needs a token."""
    publish(project.hub)
    del os.environ["CIVITAI_API_KEY"]
    result = sync(project, code=3)
    assert "CIVITAI_API_KEY" in result.err
    assert asked(project.hub, DOWNLOAD) == []


# -- files ------------------------------------------------------------------------------------------


def test_f16_a_renamed_model_is_still_the_same(project: Project) -> None:
    """F16, F17: ids and SHA-256 are stable; names, slugs and types are not, and nothing is keyed on them."""
    made = publish(project.hub)
    sync(project)
    before = project.lock_text
    file = replace(made.versions[0].files[0], name="renamed.safetensors", type="Pruned Model")
    project.hub.civitai.add(replace(made, name="Other", versions=(replace(made.versions[0], files=(file,)),)))
    project.hub.clear_log()
    project("sync")
    assert project.lock_text == before
    assert project.hub.requests() == []
    project("lock", "--upgrade")
    for same in (f"civitai:{MODEL}@{VERSION}+{FILE}", sha256(file.content)):
        assert same in before and same in project.lock_text
    project("sync")
    assert project.hub.civitai.redirects == 1, "the bytes are here already, whatever they are called"


def test_f17_files_with_one_name_are_told_apart_by_id(source: CivitaiSource) -> None:
    """F17: several files of one version share one name."""
    answer = resolve(source, f"civitai:{catalogue.AMBIGUOUS}")
    names = [candidate.filename for candidate in answer.candidates]
    assert names.count("two.safetensors") == 2
    assert len({candidate.file_id for candidate in answer.candidates}) == 3
    assert len({candidate.url for candidate in answer.candidates}) == 3


def test_f18_no_primary_and_training_data_first(project: Project) -> None:
    """F18: perhaps no file is primary; order means nothing, and training data can come first."""
    training = a_file(1, type="Training Data", name="data.zip", content=b"PK\x03\x04" + b"0" * 99, primary=False)
    weight = a_file(2, primary=False)
    publish(project.hub, training, weight)
    sync(project)
    assert f"civitai:{MODEL}@{VERSION}+2" in project.lock_text
    result = sync(project, f"civitai:{catalogue.AMBIGUOUS}", code=2)
    assert "id = 920061" in result.err and "id = 920062" in result.err


def test_f19_selectors_of_urls_narrow_the_choice(source: CivitaiSource, client: Client, hub: Hub) -> None:
    """F19: downloadUrl is bare, has selectors (quantType among them), or a fileId."""
    main = a_file(1, format="GGUF", name="m.gguf", quant="Q8_0")
    small = a_file(2, format="GGUF", name="m.gguf", quant="Q4_K_M", primary=False)
    publish(hub, main, small)
    quants = [file.quant_type for file in client.model_version(VERSION).files]
    assert quants == [None, "Q4_K_M"], "alone a version says it in the URL only"
    page = f"https://civitai.com{DOWNLOAD}/{VERSION}?type=Model&format=GGUF&quantType=Q4_K_M"
    assert [candidate.file_id for candidate in resolve(source, page).candidates] == ["2"]
    hub.civitai.pinned_urls = True
    assert [file.id for file in client.model_version(VERSION).files] == [1, 2]


@pytest.mark.parametrize("pinned", [False, True])
def test_f19_a_linked_vae_of_another_version_is_had(project: Project, impatient: None, pinned: bool) -> None:
    """F19, F20: a linked VAE's id belongs to another version, where fileId is 404: the API's own URL is taken."""
    project.hub.civitai.pinned_urls = pinned
    vae = a_file(77, type="VAE", name="vae.safetensors", primary=False, linked=True)
    publish(project.hub, a_file(1), vae)
    project.manifest(f'[models.m]\nsource = "civitai:{MODEL}"\ntype = "vae"\nfile = {{ type = "vae" }}\n')
    project("sync")
    assert vae.content in project.tree().values()
    assert project.hub.civitai.redirects == 1


@pytest.mark.parametrize("pinned", [False, True])
def test_f19_the_id_of_a_linked_file_names_it(project: Project, impatient: None, pinned: bool) -> None:
    """F19, F20: the id that the site shows, and that `info` prints, can be written after `+`."""
    project.hub.civitai.pinned_urls = pinned
    vae = a_file(77, type="VAE", name="vae.safetensors", primary=False, linked=True)
    publish(project.hub, a_file(1), vae)
    shown = project("info", f"civitai:{MODEL}@{VERSION}", "--json").json
    assert "77" in json.dumps(shown)
    project.manifest(f'[models]\nm = "civitai:{MODEL}@{VERSION}+77"\n')
    project("sync")
    assert project.tree() == {"models/vae/vae.safetensors": vae.content}
    assert f'reference = "civitai:{MODEL}@{VERSION}+77"' in project.lock_text
    (project.path / "synapse.lock").unlink()
    project("sync")
    assert project("sync", "--check").code == 0


def test_f19_a_text_encoder_alone_is_placed_as_one(project: Project) -> None:
    """F19: the type of a single chosen file is that of the file, not that of the model beside it."""
    encoder = a_file(78, type="Text Encoder", name="encoder.safetensors", primary=False)
    publish(project.hub, a_file(1), encoder)
    project.manifest(f'[models]\nm = "civitai:{MODEL}@{VERSION}+78"\n')
    project("sync")
    assert project.tree() == {"models/text_encoders/encoder.safetensors": encoder.content}
    project.manifest(f'[models.m]\nsource = "civitai:{MODEL}@{VERSION}+78"\ntype = "vae"\n')
    project("sync")
    assert list(project.tree()) == ["models/vae/encoder.safetensors"]


def test_f20_the_host_of_an_answer_is_not_locked(project: Project) -> None:
    """F20: by file id, on the site's own host, whatever host or mirror has answered."""
    publish(project.hub)
    sync(project)
    assert f"https://civitai.com{DOWNLOAD}/{VERSION}?fileId={FILE}" in project.lock_text
    assert "127.0.0.1" not in project.lock_text


def test_f21_a_pinned_file_that_is_gone_is_found_by_its_bytes(project: Project, impatient: None) -> None:
    """F21: on 404 of a pinned fileId re-read the version, match by SHA-256, then ask by hash."""
    made = publish(project.hub)
    project.manifest(f'[models]\nm = "civitai:{MODEL}"\n')
    project("lock")
    before, read = project.lock_text, project.hub.civitai.redirects  # the lock compares the header of a new file
    (version,) = made.versions
    moved = replace(version.files[0], id=FILE + 5)
    project.hub.civitai.add(replace(made, versions=(replace(version, files=(moved,)),)))
    project("sync")
    assert moved.content in project.tree().values()
    assert project.lock_text == before
    assert project.hub.civitai.redirects == read + 1


def test_f21_and_by_hash_where_the_whole_version_is_gone(project: Project, impatient: None) -> None:
    """F21: then by-hash: the same bytes in another version of another model."""
    made = publish(project.hub)
    project.manifest(f'[models]\nm = "civitai:{MODEL}"\n')
    project("lock")
    content = made.versions[0].files[0].content
    project.hub.civitai.models.pop(MODEL)
    elsewhere = Version(id=4242, name="copy", files=(a_file(4243, content=content),))
    project.hub.civitai.add(Model(id=4241, name="Copy", versions=(elsewhere,)))
    project("sync")
    assert content in project.tree().values()
    project.hub.civitai.models.pop(4241)


def test_f21_gone_for_good_is_told(project: Project, impatient: None) -> None:
    """F21: else fail, with the next step."""
    publish(project.hub)
    project.manifest(f'[models]\nm = "civitai:{MODEL}"\n')
    project("lock")
    project.hub.civitai.models.pop(MODEL)
    result = project("sync", code=None)
    assert result.code != 0
    assert "no file" in result.err and "lock --upgrade-model" in result.err


@pytest.mark.parametrize("size", [3000, 3100])
def test_f22_changed_bytes_under_one_id_are_refused(project: Project, impatient: None, size: int) -> None:
    """F22: bytes can change under one file id: "upstream changed", refused until an explicit re-lock."""
    publish(project.hub)
    project.manifest(f'[models]\nm = "civitai:{MODEL}"\n')
    project("lock")
    project.hub.civitai.replace_content(VERSION, weights("changed", size))
    result = project("sync", code=None)
    assert result.code != 0 and project.tree() == {}
    assert "upstream" in result.err
    project("lock", "--upgrade")
    project("sync")
    assert weights("changed", size) in project.tree().values()


def test_f23_bytes_are_rounded_kilobytes() -> None:
    """F23: bytes = round(sizeKB*1024), advisory."""
    for size in (1, 5_672_794_774, 2_132_625_894, 7_103_293_235):
        for size_kb in (size / 1024, size / 1024 - 1e-9 * (size > 1)):
            file = schema.ModelFile.decode(Fields({"sizeKB": size_kb, "name": "x"}, "file"))
            assert file.bytes == size
    assert schema.ModelFile.decode(Fields({"sizeKB": 6775430.35, "name": "x"}, "file")).bytes is None


@pytest.mark.parametrize("size", [700, 0x1FFFFF, 0x200000, 0x240000])
def test_f24_the_short_hashes_of_local_files(hub: Hub, source: CivitaiSource, tmp_path: Path, size: int) -> None:
    """F24: AutoV2 = SHA256[:10]; AutoV1 = 64 KiB at 0x100000; AutoV3 = after the safetensors header."""
    file = a_file(content=weights("local", size))
    publish(hub, file)
    path = tmp_path / "local.bin"
    path.write_bytes(file.content)
    own = digests_of(file_hashes(path))
    assert {one.algorithm: one.value for one in own} == {k.lower(): v.lower() for k, v in file.hashes.items()}
    found = source.identify(own)
    assert {str(reference) for reference in found.values()} == {f"civitai:{MODEL}@{VERSION}"}
    assert len(found) == len(own)


def test_f24_short_hashes_are_keys_and_no_promise(source: CivitaiSource, hub: Hub, tmp_path: Path) -> None:
    """F24: any hash may be missing; short ones are look-up keys only; case does not matter."""
    publish(hub, a_file(hashed=False))
    (candidate,) = resolve(source, f"civitai:{MODEL}").candidates
    assert (candidate.sha256, candidate.blake3) == (None, None)
    text = a_file().hashes["AutoV2"]
    publish(hub)
    assert resolve(source, f"AutoV2:{text}").candidates[0].sha256 == sha256(a_file().content)
    pickle = tmp_path / "x.ckpt"
    pickle.write_bytes(b"\x80\x02" + b"0" * 50)
    assert (file_hashes(pickle).autov1, file_hashes(pickle).autov3) == (None, None)


def test_f25_scans(project: Project) -> None:
    """F25: Pending|Success|Danger|Error; what is dangerous is refused."""
    result = sync(project, f"civitai:{catalogue.DANGER}", code=None)
    assert result.code != 0 and "dangerous" in result.err
    publish(project.hub, a_file(virus_scan="Pending"))
    sync(project)
    assert "pending" in project.lock_text


# -- access -----------------------------------------------------------------------------------------


def test_f26_every_state_is_told_at_lock_time_and_all_at_once(source: CivitaiSource, hub: Hub) -> None:
    """F26: early access, archived, taken down, generation only and deleted each have their own sentence."""
    states: dict[int, tuple[dict[str, Any], dict[str, Any], str]] = {
        1: ({"early_access": "2099-01-01T00:00:00.000Z"}, {}, "early access until 2099-01-01"),
        2: ({"permanent_access": True}, {}, "paid for it"),
        3: ({}, {"mode": "Archived"}, "archived"),
        4: ({}, {"mode": "TakenDown"}, "taken down"),
        5: ({"usage_control": "Generation", "unlisted": True}, {}, "disabled downloads"),
        6: ({"status": "Unpublished"}, {}, "no version"),
    }
    for number, (version, model, _) in states.items():
        publish(hub, a_file(number), id=number, model={"id": number, **model}, **version)
    asks = [Ask(key=str(n), reference=Reference.parse(f"civitai:{n}@{n}")) for n in (*states, 7)]
    answers = source.resolve(asks)
    words = {**{n: state[2] for n, state in states.items()}, 7: "no version"}
    for number, says in words.items():
        error = answers[str(number)]
        assert isinstance(error, SynapseError) and says in error.message, error
        assert error.hint
    assert len({answers[str(n)].message for n in (1, 2, 3, 4, 5, 6)}) == 6  # type: ignore[union-attr]


@pytest.mark.parametrize("by_hash", [True, False])
def test_f26_a_version_for_the_site_alone_is_refused_at_lock(project: Project, by_hash: bool) -> None:
    """F26: "disabled downloads" is not cured by a token; the lock knows it, and without an answer the download."""
    publish(project.hub, usage_control="Generation")
    if not by_hash:
        project.hub.faults.add(f"{API}/model-versions/by-hash", Fault(status=404))
    result = sync(project, code=3)
    assert "an API key does not help" in result.err
    assert len(asked(project.hub, DOWNLOAD)) == (0 if by_hash else 1), "terminal, so not tried again"
    assert (project.path / "synapse.lock").exists() is not by_hash


def test_f26_what_only_the_download_says(project: Project) -> None:
    """F26: 403 is told as the site tells it."""
    publish(project.hub, private=True)
    assert "do not have access" in sync(project, code=3).err
    assert len(asked(project.hub, DOWNLOAD)) == 1, "terminal, so not tried again"


def test_f26_the_quota_and_the_region_in_the_sites_words(project: Project) -> None:
    """F26: 429 is a quota of 24 hours, 451 the region; both are passed on as they are, and not retried."""
    publish(project.hub)
    project.hub.civitai.quota = 0
    result = sync(project, code=None)
    assert "unusual amount of downloading from your account" in " ".join(result.err.split())
    assert len(asked(project.hub, DOWNLOAD)) == 1
    project.hub.civitai.quota, project.hub.civitai.region_blocked = None, True
    result = project("sync", code=3)
    assert "due to legal restrictions" in " ".join(result.err.split())


def test_f27_one_redirect_for_each_file(project: Project) -> None:
    """F27: every redirect counts against the quota: none to probe, none for ranges."""
    project.hub.civitai.add_many(20, 6_000_000)
    lines = "\n".join(f'm{n} = "civitai:{6_000_000 + n}"' for n in range(20))
    project.manifest(f"[models]\n{lines}\n")
    project("lock")
    assert project.hub.civitai.redirects == 0
    project("sync")
    project("sync")
    project("verify")
    assert project.hub.civitai.redirects == 20


# -- transfer ---------------------------------------------------------------------------------------


def test_f28_an_honest_user_agent_that_is_no_browser(project: Project) -> None:
    """F28: browsers are sent to a login page; empty agents and Python-urllib are blocked."""
    publish(project.hub)
    sync(project)
    agents = {seen.headers.get("user-agent", "") for seen in project.hub.requests()}
    assert agents == {USER_AGENT}
    assert "synapse-sync/" in USER_AGENT
    for word in ("mozilla", "chrome", "safari", "firefox", "opera", "edge", "urllib"):
        assert word not in USER_AGENT.lower()


def test_f28_a_login_page_is_no_model(project: Project, impatient: None) -> None:
    """F28, F34: a page that comes in place of the file is refused, with status 200 as well."""
    publish(project.hub)
    project.hub.faults.add(DOWNLOAD, Fault(html=True))
    assert sync(project, code=None).code != 0
    assert project.tree() == {} and project.blobs() == []


@pytest.mark.parametrize("location", ["http://civitai.com/x", "ftp://127.0.0.1/x", "file:///etc/passwd", ""])
def test_f29_redirects_are_judged(project: Project, impatient: None, location: str) -> None:
    """F29: redirects by hand: https only, few hops."""
    publish(project.hub)
    project.hub.faults.add(DOWNLOAD, Fault(status=307, headers={"Location": location}))
    result = sync(project, code=None)
    assert result.code != 0 and project.blobs() == []


def test_f30_the_storage_never_sees_the_token(project: Project) -> None:
    """F30: the storage is a subdomain of the site and answers 400 to a token: exact hosts only, no netrc."""
    publish(project.hub)
    netrc = Path.home() / ".netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    netrc.chmod(0o600)
    sync(project)
    assert project.hub.requests("storage")
    assert all("authorization" not in seen.headers for seen in project.hub.requests("storage"))
    token = project.hub.civitai_token
    assert all(seen.headers.get("authorization") == f"Bearer {token}" for seen in project.hub.requests("civitai"))
    assert all(token not in seen.query for seen in project.hub.requests())
    exact = Credentials([Grant("https://civitai.com", Secret("t"), "/api/")])
    for url in ("https://b2.civitai.com/api/x", "https://civitai.com.evil.example/api/x", "https://civitai.com/x"):
        assert exact.headers_for(url) == {}


def test_f31_an_expired_url_is_asked_for_again_and_gone_on_with(project: Project, impatient: None) -> None:
    """F31: signed URLs die; a storage 403 in the middle is answered by resolving again, and resuming."""
    publish(project.hub, a_file(content=weights("long", 600_000)))
    project.hub.faults.add("/signed", Fault(cut_after=200_000, times=1))
    project.hub.faults.add("/signed", Fault(status=403, body=b"<Error>expired</Error>", times=1))
    sync(project)
    storage = project.hub.requests("storage")
    assert [seen.status for seen in storage] == [200, 403, 206]
    assert project.hub.civitai.redirects == 2
    assert "bytes=" in storage[2].headers["range"] and "bytes=0-" not in storage[2].headers["range"]


def test_f32_never_head(project: Project) -> None:
    """F32: 405 on the API, 403 on signed URLs: HEAD is never sent."""
    publish(project.hub, a_file(hashed=False))
    sync(project)
    project("status")
    project("verify")
    assert {seen.method for seen in project.hub.requests()} <= {"GET", "POST"}


def test_f33_ranges_go_to_the_resolved_url(project: Project, impatient: None) -> None:
    """F33: Range to the storage only; 200 means from the start; the ETag is no hash."""
    content = weights("cut", 500_000)
    publish(project.hub, a_file(content=content))
    project.hub.faults.add("/signed", Fault(cut_after=100_000, times=1))
    project.hub.faults.add("/signed", Fault(ignore_range=True, times=1))
    sync(project)
    assert content in project.tree().values()
    assert all("range" not in seen.headers for seen in project.hub.requests("civitai"))


@pytest.mark.parametrize("kind", ["text/html", "application/json", "application/octet-stream"])
def test_f34_documents_are_rejected(project: Project, impatient: None, kind: str) -> None:
    """F34: text/html, application/json and bodies that begin like them are no models."""
    publish(project.hub, a_file(hashed=False))
    body = b'{"error": "no"}' if kind.endswith("json") else b"<!DOCTYPE html><p>no</p>"
    project.hub.faults.add("/signed", Fault(status=200, body=body, headers={"Content-Type": kind}))
    assert sync(project, code=None).code != 0
    assert project.blobs() == []


@pytest.mark.parametrize(
    "status, count", [(400, 1), (401, 1), (403, 1), (405, 1), (410, 1), (451, 1), (500, 4), (503, 4), (524, 4)]
)
def test_f35_what_may_pass_is_tried_again_and_nothing_else(
    client: Client, hub: Hub, status: int, count: int
) -> None:
    """F35: retry network errors, 5xx and 429; nothing else."""
    hub.faults.add(API, Fault(status=status))
    with pytest.raises(StatusError):
        client.model(4384)
    assert len(hub.requests()) == count


def test_f35_a_404_of_a_download_is_tried_once_more(project: Project, impatient: None) -> None:
    """F35: one delayed retry of 404, which is also what a passing failure looks like."""
    publish(project.hub)
    project.hub.faults.add(DOWNLOAD, Fault(status=404, body=b'{"error":"File not found"}', times=1))
    sync(project)
    assert len(asked(project.hub, DOWNLOAD)) == 2
    assert a_file().content in project.tree().values()


def test_f36_patience(client: Client, hub: Hub, waits: list[float]) -> None:
    """F36: back off from 1 s to 30 s, with jitter and Retry-After, at most 4 attempts."""
    hub.faults.add(API, Fault(status=503, times=4))
    with pytest.raises(StatusError):
        client.model(4384)
    assert waits == [1.0, 2.0, 4.0]
    waits.clear()
    hub.faults.clear()
    busy = b'{"error":"Model search is temporarily overloaded"}'
    hub.faults.add(f"{API}/models", Fault(status=503, body=busy, retry_after=2, times=1))
    assert [model.id for model in client.models(query="dreamshaper")] == [4384]
    assert waits == [3.0], "two seconds as asked, and a bit"


@pytest.mark.parametrize(
    "body, says",
    [
        (b'{"error": "plain words"}', "plain words"),
        (b'{"error": {"name": "ZodError", "issues": []}}', "ZodError"),
        (b'{"error": "E", "message": "the message"}', "the message"),
        (b'{"message": "only a message"}', "only a message"),
        (b'{"error": "x", "code": "SOME_CODE"}', "x"),
        (b"bare text", "bare text"),
        (b"<html><h1>gateway</h1></html>", "400"),
    ],
)
def test_f37_error_bodies_of_all_shapes(source: CivitaiSource, hub: Hub, body: bytes, says: str) -> None:
    """F37: {error: str|object}, {error,message}, {message}, {error,code}, plain text, HTML."""
    error = StatusError("raw", status=400, url=f"{hub.civitai_url}{DOWNLOAD}/1", body=body.decode())
    told = source.explain(Reference.parse("civitai:1@1"), error)
    assert says in told.message
    assert "\n" not in told.message


# -- addresses --------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["civitai.com", "www.civitai.com", "civitai.red", "civitai.green"])
def test_f38_hosts(host: str) -> None:
    """F38: accept civitai.com, www, .red, .green."""
    page = Reference.parse(f"https://{host}/models/4384/dreamshaper?modelVersionId=128713")
    assert page == Reference("civitai", "4384", "128713")


def test_f39_previews_never_fail_a_sync(project: Project, impatient: None) -> None:
    """F39: old video URLs end in .jpeg: trust `type`; previews may 429 or 416."""
    publish(project.hub, images=(Image(id=1, content=b"v", type="video"),))
    source_url = "https://image.civitai.com/key/uuid/width=450/1.jpeg"
    image = schema.ModelImage.decode(Fields({"url": source_url, "type": "video"}, "image"))
    assert image.type == "video"
    project.hub.faults.add("/images", Fault(status=429))
    project.manifest(f'[models.m]\nsource = "civitai:{MODEL}"\npreviews = true\n')
    project("sync")
    assert a_file().content in project.tree().values()


def test_previews_get_their_ids_from_the_full_images(client: Client, hub: Hub) -> None:
    """A version by itself gives its previews no id (§1.4); the list of images, found by address, does."""
    publish(hub, images=tuple(Image(id=n, content=b"p", nsfw_level=n) for n in (4, 8, 1)))
    alone = client.model_version(VERSION)
    assert [image.id for image in alone.images] == [None, None, None]
    hub.clear_log()
    assert [image.id for image in client.previews(alone)] == [4, 8, 1]
    assert len(hub.requests()) == 1


def test_f40_the_sites_document_is_the_version_word_for_word(project: Project) -> None:
    """F40: .civitai.info = the version's JSON verbatim + model.description."""
    publish(project.hub)
    text = f'[workspace]\nsidecars = ["civitai-info"]\n[models]\nm = "civitai:{MODEL}"\n'
    project.manifest(text)
    project("sync")
    name = next(name for name in project.tree() if name.endswith(".civitai.info"))
    kept = json.loads(project.tree()[name])
    with Api(Credentials([Grant(project.hub.civitai_url, Secret(project.hub.civitai_token), "/api/")])) as api:
        client = Client(api, project.hub.civitai_url)
        said = dict(client.version_words(VERSION))
        description = client.model(MODEL).description
    assert description
    assert kept == said | {"model": said["model"] | {"description": description}}


def test_f42_previews_have_the_name_that_uis_look_for(project: Project) -> None:
    """F42: `<stem>.<ext>`, then `<stem>.preview.<ext>`."""
    publish(project.hub, images=(Image(id=1, content=b"p"),))
    project.manifest(f'[models.m]\nsource = "civitai:{MODEL}"\npreviews = true\n')
    project("sync")
    weights, preview = sorted(project.tree(), key=lambda name: ".preview." in name)
    assert preview == weights.rpartition(".")[0] + ".preview.jpeg"


def test_f44_only_sidecars_that_we_wrote_are_pruned(project: Project) -> None:
    """F44: prune only sidecars we wrote."""
    publish(project.hub)
    project.manifest(f'[workspace]\nsidecars = ["a1111"]\n[models.m]\nsource = "civitai:{MODEL}"\ntype = "lora"\n')
    project("sync")
    ours = next(project.path / name for name in project.tree() if name.endswith(".json"))
    foreign = ours.with_name(ours.stem + ".cm-info.json")
    foreign.write_text("{}")
    project.manifest(f'[models.m]\nsource = "civitai:{MODEL}"\ntype = "lora"\n')
    project("sync")
    assert not ours.exists()
    assert foreign.read_text() == "{}"


def test_f45_airs() -> None:
    """F45: urn:air:{ecosystem}:{type}:{source}:{id}[@version][+fileId][.format], most parts optional."""
    for text in (
        "urn:air:sd1:checkpoint:civitai:4384@128713+93602.safetensors",
        "air:sd1:checkpoint:civitai:4384@128713+93602",
        "civitai:4384@128713+93602",
    ):
        assert Reference.parse(text) == Reference("civitai", "4384", "128713", "93602")
    assert Reference.parse("urn:air:sd1:lora:civitai:1@2.safetensor").revision == "2"


def test_f46_an_air_that_drifted_is_a_warning(source: CivitaiSource) -> None:
    """F46: ecosystem and type drift: identity is source + id + version (+ fileId)."""
    answer = resolve(source, "urn:air:pony:lora:civitai:4384@128713")
    assert str(answer.reference) == "civitai:4384@128713"
    assert len(answer.warnings) == 2
    assert resolve(source, "urn:air:sd15:checkpoint:civitai:4384@128713").warnings == ()


# -- numbers ----------------------------------------------------------------------------------------


def test_a_thousand_models_are_locked_with_fifteen_requests(source: CivitaiSource, hub: Hub) -> None:
    """At most 15 requests for 1,000 models."""
    hub.civitai.add_many(1000, 5_000_000)
    asks = [Ask(key=str(n), reference=Reference.parse(f"civitai:{n}")) for n in range(5_000_000, 5_001_000)]
    answers = source.resolve(asks)
    assert all(isinstance(answer, Resolved) for answer in answers.values())
    assert len(hub.requests()) == 15


def test_five_thousand_files_are_identified_with_one_request(source: CivitaiSource, hub: Hub) -> None:
    """At most 1 request for the ids of 5,000 digests."""
    hub.civitai.add_many(50, 5_000_000)
    known = [file.content for model in hub.civitai.models.values() for v in model.versions for file in v.files]
    digests = [Digest("sha256", sha256(content)) for content in known]
    digests += [Digest("sha256", f"{n:064x}") for n in range(5000 - len(digests))]
    found = source.identify(digests)
    assert len(hub.requests()) == 1
    assert len(found) >= 50


@pytest.mark.parametrize(
    "wish, number",
    [
        ('type = "pruned model"', 2),
        ('format = "gguf", quant = "q4_k_m"', 3),
        ('format = "gguf", quant = "Q8_0"', 4),
        ('precision = "fp32"', 5),
        ('size = "pruned", type = "model"', 6),
        ('name = "f7.*"', 7),
        ("id = 5", 5),
        ('type = "training data"', 8),
    ],
)
def test_files_are_chosen_by_any_of_their_properties(project: Project, wish: str, number: int) -> None:
    """F17, F18: type, format, precision, size, quantisation, name and file id choose."""
    files = (
        a_file(8, type="Training Data", primary=False, format="Other"),
        a_file(1, size="full", fp="fp16"),
        a_file(2, type="Pruned Model", size="pruned", primary=False),
        a_file(3, format="GGUF", quant="Q4_K_M", name="m.gguf", primary=False),
        a_file(4, format="GGUF", quant="Q8_0", name="m.gguf", primary=False),
        a_file(5, fp="fp32", primary=False),
        a_file(6, size="pruned", primary=False),
        a_file(7, primary=False),
    )
    publish(project.hub, *files)
    project.manifest(f'[models.m]\nsource = "civitai:{MODEL}"\nfile = {{ {wish} }}\n')
    project("lock")
    assert f"civitai:{MODEL}@{VERSION}+{number}" in project.lock_text


def test_the_client_can_be_used_by_itself(hub: Hub) -> None:
    """Imported from the package, with a token or without one."""
    from synapse_sync.sources import civitai

    with civitai.Client(endpoint=hub.civitai_url, token=hub.civitai_token) as client:
        assert client.me().username == "newcomer"
        assert isinstance(client.model(4384), civitai.Model)
    with civitai.Client(endpoint=hub.civitai_url) as client:
        assert client.model_version(128_713).model_id == 4384
    assert "authorization" not in hub.requests()[-1].headers


def test_mini_says_what_is_needed(client: Client) -> None:
    """The mini endpoint: the model's id from the AIR, one file, and whether a login is needed."""
    mini = client.version_mini(128_713)
    assert (mini.id, mini.model_id, mini.require_auth, mini.model.name) == (128_713, 4384, True, "DreamShaper")
    assert (mini.files[0].name, mini.files[0].type) == ("dreamshaper_8.safetensors", "Model")
    assert mini.files[0].hashes.sha256 and mini.files[0].bytes


Row = dict[str, Any]


def _lists(hub: Hub, *pages: Callable[[], Row]) -> None:
    """Answers of `/models`, one after the other; the last one for ever."""
    for number, page in enumerate(pages):
        last = number == len(pages) - 1
        hub.faults.add(
            f"{API}/models", Fault(status=200, body=json.dumps(page()).encode(), times=None if last else 1)
        )


def test_lists_end_whatever_they_promise(client: Client, hub: Hub) -> None:
    """A cursor that comes again, cursors without end, and a next page on another host are not followed."""
    row = {"id": 1, "modelVersions": []}
    _lists(hub, lambda: {"items": [row], "metadata": {"nextCursor": "same"}})
    assert len(list(client.models(query="x"))) == 1
    assert len(hub.requests()) == 2
    hub.faults.clear()
    hub.clear_log()
    _lists(hub, *(lambda n=n: {"items": [row], "metadata": {"nextCursor": f"c{n}"}} for n in range(40)))
    assert len(list(client.models(query="x"))) == 1
    assert len(hub.requests()) == 6
    hub.faults.clear()
    hub.clear_log()
    _lists(hub, lambda: {"items": [row], "metadata": {"nextPage": "https://evil.example/api/v1/models?cursor=2"}})
    assert len(list(client.models(query="x"))) == 1
    assert len(hub.requests()) == 1


def test_what_moved_onto_the_next_page_is_not_repeated(client: Client, hub: Hub) -> None:
    """Ids are not repeated across pages."""
    one, two, three = ({"id": n, "modelVersions": []} for n in (1, 2, 3))
    _lists(
        hub,
        lambda: {"items": [one, two], "metadata": {"nextCursor": "a"}},
        lambda: {"items": [two, three], "metadata": {}},
    )
    assert [model.id for model in client.models(query="x")] == [1, 2, 3]


def test_access_errors_are_their_own_kind(source: CivitaiSource) -> None:
    """Early access is a refusal, an archived model is not there."""
    assert isinstance(refused(source, f"civitai:{catalogue.EARLY}@{catalogue.EARLY_PAID}"), AccessDenied)
    assert isinstance(refused(source, f"civitai:{catalogue.ARCHIVED}"), NotFound)
