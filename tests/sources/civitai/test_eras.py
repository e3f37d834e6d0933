"""Answers as the site gave them over the years, each cut down to what was peculiar to its time."""

from __future__ import annotations

from synapse_sync.sources.civitai.fields import Fields
from synapse_sync.sources.civitai.files import card_of, offered
from synapse_sync.sources.civitai.schema import Creator, Model, ModelVersion
from synapse_sync.sources.civitai.schema_lists import CursorMetadata, Image, PageMetadata, Tag

SHA = "AB" * 32


def test_a_model_of_2023() -> None:
    """Tags are objects, the commercial use a word, early access a number of days; no publishedAt, no nsfwLevel."""
    model = Model.decode(
        {
            "id": 11,
            "name": "Punk",
            "type": "Checkpoint",
            "nsfw": False,
            "allowCommercialUse": "Sell",
            "stats": {"downloadCount": 15, "favoriteCount": 4, "ratingCount": 2, "rating": 4.93},
            "creator": {"username": "ada", "image": "https://imagecache.civitai.com/k/u/width=96/ada.jpeg"},
            "tags": [{"name": "punk"}, {"name": "style"}],
            "modelVersions": [
                {
                    "id": 12,
                    "modelId": 11,
                    "name": "V2",
                    "createdAt": "2022-11-30T01:14:36.498Z",
                    "trainedWords": ["snthwve style"],
                    "baseModel": "SD 1.5",
                    "earlyAccessTimeFrame": 0,
                    "files": [
                        {
                            "name": "punk_v2.ckpt",
                            "id": 13,
                            "sizeKB": 2048,
                            "type": "Model",
                            "metadata": {"fp": "fp16", "size": "pruned", "format": "PickleTensor"},
                            "hashes": {"AutoV1": "27EA8C02", "AutoV2": SHA[:10], "SHA256": SHA},
                            "downloadUrl": "https://civitai.com/api/download/models/12",
                            "primary": True,
                        }
                    ],
                    "images": [{"url": "https://imagecache.civitai.com/k/u/width=450/1.jpeg", "nsfw": "Soft"}],
                }
            ],
        }
    )
    (version,) = model.versions
    assert (model.tags, model.allow_commercial_use) == (("punk", "style"), ("Sell",))
    assert (model.stats.download_count, model.stats.thumbs_up_count, model.stats.rating) == (15, 4, 4.93)
    assert (version.early_access, version.published_at, version.images[0].nsfw_level) == (None, None, 2)
    ((_, candidate),) = offered(version)
    assert (candidate.size, candidate.format, candidate.sha256) == (2_097_152, "pickle", SHA.lower())
    assert card_of(version, model).license[-1] == ("creator", "ada")


def test_early_access_of_2023() -> None:
    """A number of days after the publication."""
    version = ModelVersion.decode({"id": 1, "earlyAccessTimeFrame": 5, "publishedAt": "2023-03-01T00:00:00"})
    assert version.early_access is not None and version.early_access.ends_at == "2023-03-06T00:00:00+00:00"


def test_lists_of_2023() -> None:
    """The cursor is a number; creators and tags count their models."""
    images = Fields({"nextCursor": 101, "currentPage": 1, "nextPage": "https://civitai.com/x?page=2"}, "m")
    assert CursorMetadata.decode(images).next_cursor == "101"
    raw = {"id": 5, "url": "https://imagecache.civitai.com/x", "nsfw": False, "nsfwLevel": "None", "meta": {"a": 1}}
    image = Image.decode(raw)
    assert (image.nsfw_level, image.browsing_level, image.meta, image.type) == ("None", 1, {"a": 1}, "image")
    pages = {"totalItems": 46, "currentPage": 1, "pageSize": 3, "totalPages": 16, "nextPage": "https://x"}
    assert PageMetadata.decode(Fields(pages, "m")).total_pages == 16
    row = {"username": "Ada", "modelCount": 848, "link": "https://civitai.com/api/v1/models?username=Ada"}
    assert Creator.decode(Fields(row, "c")).model_count == 848
    assert Tag.decode(Fields({"name": "comic book", "modelCount": 7}, "t")).model_count == 7


def test_a_list_of_2024() -> None:
    """Times lack their zone, the cursor has several parts, and the next page lies on another host of theirs."""
    metadata = {
        "nextCursor": "22138|364671|25494",
        "nextPage": "https://api.civitai.com/api/v1/models?limit=10&page=1&cursor=22138%7C364671%7C25494",
    }
    assert CursorMetadata.decode(Fields(metadata, "m")).next_cursor == "22138|364671|25494"
    files = [
        {"id": 1, "name": "c.safetensors", "sizeKB": 5539838.646484375, "type": "Model",
         "metadata": {"format": "SafeTensor", "size": "pruned", "fp": "fp32"}, "hashes": {},
         "downloadUrl": "https://api.civitai.com/api/download/models/9?type=Model&format=SafeTensor&size=pruned&fp=fp32"},
        {"id": 2, "name": "c.safetensors", "sizeKB": 4144652.37109375, "type": "Model", "primary": True,
         "metadata": {"format": "SafeTensor", "size": "pruned", "fp": "fp16"}, "hashes": {},
         "downloadUrl": "https://api.civitai.com/api/download/models/9"},
    ]  # fmt: skip
    image = {"url": "https://image.civitai.com/k/u/width=450/4755487.jpeg", "type": "video", "nsfwLevel": 4}
    version = ModelVersion.decode(
        {"id": 9, "publishedAt": "2023-04-28T19:32:30.819", "files": files, "images": [image]}
    )
    assert [candidate.size for _, candidate in offered(version)] == [5_672_794_774, 4_244_124_028]
    urls = [candidate.url.text for _, candidate in offered(version)]
    assert all(url.startswith("https://civitai.com/api/download/models/9?fileId=") for url in urls)
    assert card_of(version, None).published == "2023-04-28T19:32:30.819Z"
    assert (version.images[0].type, version.images[0].nsfw_level) == ("video", 4)


def test_a_version_of_2025() -> None:
    """With an AIR, and with early access in two fields that are no more."""
    version = ModelVersion.decode(
        {
            "id": 1_387_174,
            "modelId": 1_231_067,
            "air": "urn:air:flux1:lora:civitai:1231067@1387174",
            "usageControl": "Download",
            "earlyAccessEndsAt": None,
            "earlyAccessConfig": None,
            "baseModelType": None,
            "files": [{"id": 7, "name": "s.safetensors", "sizeKB": 18829.1484375, "metadata": {"size": None}}],
            "model": {"name": "Story", "type": "LORA", "nsfw": False, "poi": False},
        }
    )
    assert (version.model_id, version.usage_control, version.early_access) == (1_231_067, "Download", None)
    assert (version.model.name, version.files[0].bytes) == ("Story", 19_281_048)


def test_a_version_of_2026() -> None:
    """URLs name their file; that of a linked VAE does not, and its id does not lead to it from here."""
    site = "https://civitai.com/api/download/models/2983680"
    version = ModelVersion.decode(
        {
            "id": 2983680,
            "modelId": 2544636,
            "paidAccess": None,
            "files": [
                {"name": "txt.safetensors", "type": "Text Encoder", "downloadUrl": f"{site}?fileId=2863150"},
                {
                    "name": "m.safetensors",
                    "type": "Model",
                    "primary": True,
                    "downloadUrl": f"{site}?fileId=2863158",
                },
                {"name": "vae.safetensors", "type": "VAE", "id": 55, "downloadUrl": f"{site}?type=VAE"},
            ],
        }
    )
    candidates = [candidate for _, candidate in offered(version)]
    assert [candidate.file_id for candidate in candidates] == ["2863150", "2863158", "55"]
    assert [candidate.role for candidate in candidates] == ["text_encoder", "model", "vae"]
    assert candidates[2].url.text == f"{site}?type=VAE"


def test_a_mini_of_2025() -> None:
    """One file, the size rounded by the documentation, the hashes cut short."""
    mini = ModelVersion.decode_mini(
        {
            "air": "urn:air:sdxl:checkpoint:civitai:827184@2514310",
            "versionName": "v16.0",
            "modelName": "WAI",
            "size": 6775430.35,
            "fileType": "Model",
            "fileName": "wai.safetensors",
            "hashes": {"AutoV2": "A5F58EB1C3", "SHA256": "A5F58EB1C33616..."},
            "downloadUrls": ["https://civitai.com/api/download/models/2514310"],
            "format": "SafeTensor",
            "requireAuth": False,
        },
        2514310,
    )
    ((file, candidate),) = offered(mini)
    assert (mini.model_id, mini.require_auth, file.hashes.autov2) == (827184, False, "a5f58eb1c3")
    assert (candidate.size, candidate.sha256, candidate.format) == (None, None, "safetensors")
