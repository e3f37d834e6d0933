"""The rest of the rows of `test_documents.py`: the points of the documents that every client of the site needs.

A row quotes one point of the documents 000 to 004; each function shows that its rows hold.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from world import Project

from synapse_sync.core.reference import Reference
from synapse_sync.demo import catalogue
from synapse_sync.demo.civitai.things import File, Image, Model, Version
from synapse_sync.demo.exchange import Fault, Seen
from synapse_sync.demo.hub import Hub
from synapse_sync.demo.weights import mp4_bytes, png_bytes, safetensors_bytes
from synapse_sync.errors import StatusError
from synapse_sync.net.agent import USER_AGENT
from synapse_sync.net.api import Api
from synapse_sync.net.credentials import Credentials, Grant, Secret
from synapse_sync.sites import named
from synapse_sync.sources.civitai import schema, schema_lists
from synapse_sync.sources.civitai.client import ENDPOINT, Client
from synapse_sync.sources.civitai.fields import Fields
from synapse_sync.sources.civitai.files import offered
from synapse_sync.sources.civitai.image_urls import ImageIds, address, identity, numbered
from synapse_sync.sources.civitai.vocabulary import model_type

API = "/api/v1"
DETAIL, V1, V2 = catalogue.DETAIL, catalogue.DETAIL_V1, catalogue.DETAIL_V2
KEY = "https://image.civitai.com/xG1nkqKTMzGDvpLrqFT7WA"
ONE = "42b875cf-c62b-41fa-a349-383b7f074351"


@dataclass(frozen=True)
class Stage:
    """The hub, a client of it, and a project on the command line."""

    hub: Hub
    client: Client
    project: Project
    waits: list[float]

    def asked(self) -> list[Seen]:
        """The requests to the site so far, and forget them."""
        found = self.hub.requests("civitai")
        self.hub.clear_log()
        return found

    def query(self, *words: str) -> list[str]:
        """The parameters of the only request of a command."""
        self.hub.clear_log()
        self.project(*words)
        (seen,) = self.asked()
        return seen.query.split("&")

    def publish(self, content: bytes, *images: Image, **file: Any) -> None:
        """Publish model 100 with one version of one file, and forget the requests."""
        known = {"id": 10_000, "name": "f.safetensors", "content": content, "primary": True, **file}
        version = Version(id=1000, name="v1", files=(File(**known),), images=images)
        self.hub.civitai.add(Model(id=100, name="M", versions=(version,), type="LORA"))

    def sync(self, source: str = "civitai:100", *words: str, more: str = "", code: int = 0) -> dict[str, bytes]:
        """Sync one model; returns the tree."""
        self.project.manifest(f'[models.m]\nsource = "{source}"\n{more}\n')
        self.project("sync", *words, code=code)
        return self.project.tree()


@pytest.fixture
def stage(hub: Hub, project: Project, impatient: None) -> Iterator[Stage]:
    waits: list[float] = []
    grants = [Grant(hub.civitai_url, Secret(hub.civitai_token), "/api/")]
    with Api(Credentials(grants), sleep=waits.append, jitter=lambda: 1.0) as api:
        yield Stage(hub, Client(api, hub.civitai_url), project, waits)


Check = Callable[[Stage], None]
CHECKS: list[tuple[tuple[str, ...], Check]] = []


def rows(*words: str) -> Callable[[Check], Check]:
    """Register what shows that rows of the documents hold."""

    def register(check: Check) -> Check:
        CHECKS.append((words, check))
        return check

    return register


# -- endpoints ---------------------------------------------------------------------------------------


@rows("000 Base URL https://civitai.com/api/v1", "004 host spelled civitAI.com")
def _(stage: Stage) -> None:
    assert ENDPOINT == "https://civitai.com"
    stage.client.model(DETAIL)
    assert stage.asked()[0].path == f"{API}/models/{DETAIL}"
    for host in ("civitai.com", "civitAI.com", "www.CIVITAI.com"):
        assert Reference.parse(f"https://{host}/models/4384").id == "4384"


@rows(
    "000 GET /models/{id}", "004 Entity Model + attributes", "004 Model -> creator, tags, versions",
    "002 modelVersions.id/name/createdAt/downloadUrl/trainedWords", "001 downloadUrl per version",
    "004 Entity Creator incl. image", "003 model.mode",
)  # fmt: skip
def _(stage: Stage) -> None:
    model = stage.client.model(DETAIL)
    assert (model.id, model.name, model.type, model.mode) == (DETAIL, "Detail Slider", "LORA", None)
    assert model.creator == schema.Creator(username="ada")
    assert [version.id for version in model.versions] == [V2, V1]
    version = model.versions[0]
    assert (version.name, version.trained_words) == ("v2", ("detailed",)) and version.created_at is not None
    assert version.download_url is not None and version.download_url.endswith(f"/api/download/models/{V2}")
    assert stage.client.model(catalogue.ARCHIVED).mode == "Archived"
    assert schema.Creator.decode(Fields({"username": "a", "image": "i"}, "c")).image == "i"


@rows(
    "000 GET /model-versions/{id}", "002 models-versions: model.name,type,nsfw",
    "002 modelId, createdAt, updatedAt", "000 trainedWords[]", "004 Entity ModelVersion (baseModel, stats, model)",
)  # fmt: skip
def _(stage: Stage) -> None:
    version = stage.client.model_version(V2)
    assert (version.id, version.model_id, version.base_model) == (V2, DETAIL, "SD 1.5")
    assert (version.model.name, version.model.type, version.model.nsfw) == ("Detail Slider", "LORA", False)
    assert version.created_at is not None and version.updated_at is not None
    assert version.stats.download_count == 0 and version.trained_words == ("detailed",)
    value = stage.project("info", f"civitai:@{V2}", "--json").json
    assert value["versions"][0]["trained_words"] == ["detailed"]


@rows(
    "000 GET /model-versions/by-hash/{hash}", "003 by-hash with SHA256 or AutoV2", "001 Hash AutoV1",
    "001 Hash AutoV2", "001 Hash SHA256", "001 Hash CRC32", "001 Hash Blake3",
)  # fmt: skip
def _(stage: Stage) -> None:
    stage.publish(safetensors_bytes("large", size=0x200000))
    file = stage.hub.civitai.models[100].versions[0].files[0]
    assert set(file.hashes) == {"AutoV1", "AutoV2", "AutoV3", "SHA256", "CRC32", "BLAKE3"}
    for name, value in file.hashes.items():
        assert stage.client.by_hash(value).id == stage.client.by_hash(value.lower()).id == 1000
        chosen = stage.project("info", f"{name.lower()}:{value}", "--json").json["chosen"]
        assert chosen == "civitai:100@1000", name


@rows(
    "000 files[]: id,name,downloadUrl,sizeKB,hashes.SHA256/AutoV2",
    "001 file metadata: hashes, sizes, scan results", "002 files.sizeKb", "002 files.format",
    "002 files.pickleScanResult, virusScanResult", "003 files.primary", "003 files.metadata fp/size/format",
    "004 Entity ModelFile",
)  # fmt: skip
def _(stage: Stage) -> None:
    content = safetensors_bytes("f", size=99)
    stage.publish(content, fp="fp16", size="pruned")
    (file,) = stage.client.model_version(1000).files
    assert (file.id, file.name, file.bytes, file.primary) == (10_000, "f.safetensors", len(content), True)
    assert (file.format, file.fp, file.size) == ("SafeTensor", "fp16", "pruned")
    assert (file.pickle_scan, file.virus_scan) == ("Success", "Success")
    digest = hashlib.sha256(content).hexdigest()
    assert (file.hashes.sha256, file.hashes.autov2) == (digest, digest[:10])
    assert file.download_url is not None
    old = schema.ModelFile.decode(Fields({"name": "x", "sizeKb": 2, "format": "PickleTensor"}, "file"))
    assert (old.bytes, old.format) == (2048, "PickleTensor")
    (value,) = stage.project("info", "civitai:100", "--json").json["versions"][0]["files"]
    assert (value["size"], value["precision"], value["size_class"], value["scan"]) == (
        len(content), "fp16", "pruned", "success",
    )  # fmt: skip


# -- lists -------------------------------------------------------------------------------------------


@rows(
    "000 GET /models?query=", "001 GET /models (list)", "001 models query", "001 models tag", "001 models username",
    "001 models types", "002 type= (singular) in example",
    "001 models sort (Newest, Most Downloaded, Most Liked ...)", "001 models period", "001 Type filtering",
)  # fmt: skip
def _(stage: Stage) -> None:
    said = stage.query(
        "search", "dream", "--tag", "photo", "--creator", "ada", "--type", "lora", "--type", "checkpoint", "--sort",
        "most liked", "--period", "month",
    )  # fmt: skip
    wanted = ("query=dream", "tag=photo", "username=ada", "types=LORA", "types=Checkpoint", "sort=Most+Liked")
    assert {*wanted, "period=Month"} <= set(said) and not any(word.startswith("type=") for word in said)
    assert {model.type for model in stage.client.models(types=["LORA"], limit=3)} == {"LORA"}
    assert {model.name for model in stage.client.models(query="detail slider")} == {"Detail Slider"}


@rows(
    "001 Query search: cursor, never page", "001 Non-query: page",
    '001 Exact error "Cannot use page param with query search..."',
)  # fmt: skip
def _(stage: Stage) -> None:
    stage.hub.civitai.models.clear()
    stage.hub.civitai.add_many(210, 500)
    assert len(list(stage.client.models(query="many"))) == 210
    assert all("page=" not in seen.query for seen in stage.asked())
    assert len(list(stage.client.models())) == 210
    assert all("page=" in seen.query for seen in stage.asked())
    with pytest.raises(StatusError, match="400") as caught:
        stage.client.api.get_json(f"{stage.hub.civitai_url}{API}/models?query=x&page=2")
    assert "Cannot use page param with query search. Use cursor-based pagination." in caught.value.body


@rows("001 GET /creators", "002 creators query", "002 creators.username", "002 creators.modelCount")
def _(stage: Stage) -> None:
    assert "query=ad" in stage.query("creators", "ad")
    count = len(stage.hub.civitai.models)
    assert [(one.username, one.model_count) for one in stage.client.creators()] == [("ada", count)]
    assert stage.project("creators", "--json").json["creators"][0]["models"] == count
    assert schema.Creator.decode(Fields({"username": 123}, "creator")).username == "123"


@rows("001 GET /tags", "002 tags.name, modelCount")
def _(stage: Stage) -> None:
    assert "query=port" in stage.query("tags", "port")
    assert [tag.name for tag in stage.client.tags(query="port")] == ["portrait"]
    body = b'{"items": [{"name": "comic", "modelCount": "7"}], "metadata": {}}'
    stage.hub.faults.add(f"{API}/tags", Fault(status=200, body=body))
    (value,) = stage.project("tags", "--json").json["tags"]
    assert (value["name"], value["models"]) == ("comic", 7)


@rows(
    "001 GET /images", "003 images limit/postId/modelId/modelVersionId/username", "003 images sort, period",
    "003 images nsfw None/Soft/Mature/X",
)  # fmt: skip
def _(stage: Stage) -> None:
    said = stage.query(
        "images", "--limit", "7", "--post", "5", "--model", f"civitai:{DETAIL}@{V2}", "--username", "ada", "--sort",
        "most comments", "--period", "year", "--nsfw", "mature",
    )  # fmt: skip
    wanted = ("limit=7", "postId=5", f"modelId={DETAIL}", f"modelVersionId={V2}", "username=ada", "nsfw=Mature")
    assert {*wanted, "sort=Most+Comments", "period=Year"} <= set(said)
    for level in ("None", "Soft", "Mature", "X"):
        assert f"nsfw={level}" in stage.query("images", "--nsfw", level.lower())


@rows(
    "003 image fields id,url,hash,w,h,nsfwLevel,createdAt,postId,stats,meta,username", "004 Entity Image",
    "003 images cursor metadata (nextCursor number)", "004 Image username -> creator",
    "000 images[]: url,width,height",
)  # fmt: skip
def _(stage: Stage) -> None:
    stage.publish(safetensors_bytes("f"), Image(id=7, content=png_bytes("7"), width=3, height=4, hash="blur"))
    (image,) = stage.client.images(model_id=100, with_meta=True)
    assert (image.id, image.width, image.height, image.hash, image.nsfw_level) == (7, 3, 4, "blur", "None")
    assert (image.post_id, image.username, image.stats["likeCount"]) == (1000, "ada", 3)
    assert image.created_at is not None and image.meta is not None and image.meta["seed"] == 7
    (preview,) = stage.client.model_version(1000).images
    assert (preview.url, preview.width, preview.height) == (image.url, 3, 4)
    (value,) = stage.project("images", "--model", "100", "--json").json["images"]
    assert (value["meta"]["steps"], value["stats"]["heartCount"], value["post"]) == (20, 1, 1000)
    assert schema_lists.CursorMetadata.decode(Fields({"nextCursor": 101}, "m")).next_cursor == "101"


# -- tokens ------------------------------------------------------------------------------------------


@rows(
    "000 Bearer header preferred", "001 Authorization header", "001 Key for higher limits: sent on every API call",
    "003 download token via header", "003 redirect to signed storage, no token there",
    "003 User-Agent fit for the site",
)  # fmt: skip
def _(stage: Stage) -> None:
    stage.publish(safetensors_bytes("f"))
    stage.sync()
    storage = stage.hub.requests("storage")
    assert storage and not any("authorization" in seen.headers for seen in storage)
    requests = stage.asked()
    assert {seen.path.split("/")[2] for seen in requests} == {"v1", "download"}
    assert {seen.headers.get("authorization") for seen in requests} == {f"Bearer {stage.hub.civitai_token}"}
    assert {seen.headers["user-agent"] for seen in requests} == {USER_AGENT}
    assert not any(
        word in USER_AGENT.lower() for word in ("mozilla", "chrome", "safari", "firefox", "opera", "edge")
    )


@rows(
    "000 ?token= works but discouraged", "001 ?token={api_key}", "001 API key from account settings named",
    "001 Key needed for restricted resources",
)  # fmt: skip
def _(stage: Stage) -> None:
    stage.publish(safetensors_bytes("f"))
    said = stage.project("info", "https://civitai.com/api/download/models/1000?token=s3cret", code=2).err
    assert "s3cret" not in said and "CIVITAI_API_KEY" in said
    assert "https://civitai.com/user/account" in named("civitai").token_hint
    del os.environ["CIVITAI_API_KEY"]
    stage.project.manifest('[models]\nm = "civitai:100"\n')
    stage.hub.clear_log()
    assert "civitai.com/user/account" in stage.project("sync", code=3).err
    assert not any("/download/" in seen.path for seen in stage.asked())


# -- downloads ---------------------------------------------------------------------------------------


@rows(
    "000 Download URL ?type=Model&format=SafeTensor(&size&fp)",
    "003 fp fp16|fp32; size full|pruned; format SafeTensor|PickleTensor|Other",
)  # fmt: skip
def _(stage: Stage) -> None:
    files = tuple(
        File(id=n, name=f"{n}.safetensors", content=safetensors_bytes(str(n)), fp=fp, size=size, primary=n == 1)
        for n, (fp, size) in enumerate((("fp16", "pruned"), ("fp32", "full"), ("fp16", "full")), start=1)
    )  # fmt: skip
    version = Version(id=1000, name="v", files=files)
    stage.hub.civitai.add(Model(id=100, name="M", versions=(version,), type="LORA"))
    url = "https://civitai.com/api/download/models/1000?type=Model&format=SafeTensor&size=full&fp=fp32"
    assert list(stage.sync(url)) == ["models/loras/2.safetensors"]
    tree = stage.sync("civitai:100", more='file = { precision = "fp16", size = "full" }')
    assert list(tree) == ["models/loras/3.safetensors"]
    words = {"SafeTensor": "safetensors", "PickleTensor": "pickle", "Other": "other"}
    for word, known in words.items():
        said = schema.ModelVersion.decode(
            {"id": 1, "files": [{"id": 2, "name": "x", "metadata": {"format": word}}]}
        )
        assert [candidate.format for _, candidate in offered(said)] == [known]


@rows(
    "003 resume with Range after interruption", "003 resume within a run", "003 progress total",
    "003 429 -> exponential backoff",
)  # fmt: skip
def _(stage: Stage) -> None:
    content = safetensors_bytes("large", size=3_000_000)
    stage.publish(content)
    stage.hub.faults.add("/signed/", Fault(cut_after=1_000_000, times=1))
    stage.project.manifest('[models]\nm = "civitai:100"\n')
    assert "3.0 MB" in stage.project("sync").err
    assert stage.project.tree() == {"models/loras/f.safetensors": content}
    ranges = [seen.headers.get("range") for seen in stage.hub.requests("storage")]
    assert ranges[0] is None and ranges[1] is not None and ranges[1].startswith("bytes=")
    stage.hub.faults.add(f"{API}/models/100", Fault(status=429, times=3))
    assert stage.client.model(100).id == 100
    assert len(stage.waits) == 3 and stage.waits == sorted(stage.waits) and stage.waits[0] < stage.waits[-1]


@rows(
    "000 Checkpoint -> checkpoint", "000 LORA -> lora", "000 TextualInversion -> embedding", "000 VAE -> vae",
    "000 ControlNet -> controlnet", "000 Upscaler -> upscaler", "003 types Hypernetwork",
)  # fmt: skip
def _(stage: Stage) -> None:
    folders = {
        "Checkpoint": "checkpoints", "LORA": "loras", "TextualInversion": "embeddings", "VAE": "vae",
        "Controlnet": "controlnet", "Upscaler": "upscale_models", "Hypernetwork": "hypernetworks",
    }  # fmt: skip
    assert model_type("ControlNet") == model_type("Controlnet") == "controlnet"
    models = []
    for number, word in enumerate(folders, start=1):
        file = File(id=number, name=f"{word}.safetensors", content=safetensors_bytes(word, size=99), primary=True)
        version = Version(id=number * 10, name="v", files=(file,))
        stage.hub.civitai.add(Model(id=number, name=word, versions=(version,), type=word))
        models.append(f'{word} = "civitai:{number}"')
    stage.project.manifest("[models]\n" + "\n".join(models))
    stage.project("sync")
    assert set(stage.project.tree()) == {f"models/{name}/{word}.safetensors" for word, name in folders.items()}


@rows("000 HF resolve/{revision}/{subfolder}/{file}", "000 HF for models not on Civitai")
def _(stage: Stage) -> None:
    stage.publish(safetensors_bytes("f"))
    url = f"https://huggingface.co/{catalogue.TREE_REPO}/resolve/main/unet/model.safetensors"
    stage.project.manifest(f'[models]\nm = "civitai:100"\n[models.u]\nsource = "{url}"\ntype = "diffusion_model"\n')
    stage.project("sync")
    assert set(stage.project.tree()) == {"models/diffusion_models/model.safetensors", "models/loras/f.safetensors"}
    assert "@main" not in stage.project.lock_text.split("reference = ")[2].splitlines()[0]


# -- images ------------------------------------------------------------------------------------------


@rows(
    "000 CDN URL pattern key/uuid/transforms/name", "000 Thumbnail anim=false,transcode=true,width=450",
    "000 .jpeg video -> .mp4",
)  # fmt: skip
def _(stage: Stage) -> None:
    assert address(f"{KEY}/{ONE}/width=832/1.jpeg") == f"{KEY}/{ONE}/anim=false,transcode=true,width=450/1.jpeg"
    assert address(f"{KEY}/{ONE}/width=832/1.jpeg", film=True).endswith("/1.mp4")
    stage.publish(safetensors_bytes("f"), Image(id=1, content=b"", type="video"))
    tree = stage.sync(more='previews = true\nsidecars = ["lora-manager"]')
    assert tree["models/loras/f.preview.mp4"] == mp4_bytes("film of 1")


@rows("004 ModelImage <-> Image by URL", "004 URL -> image id map")
def _(stage: Stage) -> None:
    preview = schema.ModelImage(url=f"{KEY}/{ONE}/original=true/1.jpeg")
    image = schema_lists.Image(id=7, url=f"{KEY}/{ONE}/width=450/other.jpeg")
    assert [one.id for one in numbered([preview], [image])] == [7]
    assert ImageIds([image]).find(preview.url) == 7
    assert identity(preview.url) == identity(image.url)
    stage.publish(safetensors_bytes("f"), Image(id=7, content=png_bytes("7")))
    alone = stage.client.model_version(1000)
    assert [one.id for one in alone.images] == [None] and [one.id for one in stage.client.previews(alone)] == [7]


# -- adding ------------------------------------------------------------------------------------------


@rows("000 import url", "000 import selected_version_ids", "000 import download_previews", "000 import cover_url")
def _(stage: Stage) -> None:
    stage.project.manifest("")
    cover = f"{stage.hub.files.url}/files/mine.png"
    stage.hub.files.put("mine.png", png_bytes("mine"))
    page = f"https://civitai.com/models/{DETAIL}/slider"
    stage.project("add", page, "--version-id", str(V1), "--version-id", str(V2), "--previews", "--cover", cover)
    text = (stage.project.path / "synapse.toml").read_text("utf-8")
    assert f"versions = [{V1}, {V2}]" in text.replace(f"[{V2}, {V1}]", f"[{V1}, {V2}]")
    assert "previews = true" in text and cover in text
    stage.project("sync")
    tree = stage.project.tree()
    assert len([name for name in tree if name.endswith(".safetensors")]) == 2
    assert [content for name, content in tree.items() if ".preview." in name] == [png_bytes("mine")] * 2


@pytest.mark.parametrize(("words", "check"), CHECKS, ids=["; ".join(words) for words, _ in CHECKS])
def test_the_rows_hold(words: tuple[str, ...], check: Check, stage: Stage) -> None:
    check(stage)


def test_no_row_is_quoted_twice() -> None:
    quoted = [word for words, _ in CHECKS for word in words]
    assert len(quoted) == len(set(quoted))
