"""`synapse gallery`: the page of a project, written by the command."""

from __future__ import annotations

import json
import os
import re
import webbrowser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from world import Project

from synapse_sync.demo import catalogue
from synapse_sync.demo.weights import png_bytes, safetensors_bytes

MANIFEST = f"""
[workspace]
name = "studio"
previews = 2
preview-rating = "xxx"
[targets.comfy]
layout = "comfyui"
root = "Comfy UI"
[targets.forge]
layout = "forge"
root = "forge"
groups = ["portrait"]
[models]
portrait = {{ source = "civitai:{catalogue.PORTRAIT}", groups = ["portrait"] }}
detail = "civitai:{catalogue.DETAIL}@{catalogue.DETAIL_V1}"
vae = "hf://{catalogue.VAE_REPO}/portrait_vae.safetensors"
"""


@pytest.fixture
def synced(project: Project) -> Project:
    project.manifest(MANIFEST)
    project("sync")
    project.hub.clear_log()
    return project


def values(page: Path) -> Any:
    """The values that the page's script gets."""
    text = page.read_text("utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]


def cards(page: Path) -> dict[str, Any]:
    return {card["name"]: card for card in values(page)["cards"]}


def linked(page: Path, url: str) -> Path:
    """The file that a relative URL of the page leads to."""
    assert url.startswith("./")
    return page.parent / unquote(url)


def test_the_page_has_every_model_with_its_facts_and_nothing_is_asked(synced: Project) -> None:
    said = synced("gallery")
    page = synced.path / "gallery.html"
    assert said.out.strip() == str(page)
    assert synced.hub.requests() == []
    found = cards(page)
    assert list(found) == ["detail", "portrait", "vae"]
    portrait = found["portrait"]
    assert portrait["title"] == "Portrait Studio" and portrait["version"] == "v1"
    assert (portrait["kind"], portrait["base"], portrait["state"]) == ("checkpoint", "SD 1.5", "placed")
    assert portrait["groups"] == ["portrait"] and portrait["commercial"] is True
    assert [place[0] for place in portrait["places"]] == ["comfy", "forge"]
    assert portrait["page"].startswith("https://civitai.com/models/")
    assert found["vae"]["kind"] == "vae" and "media" not in found["vae"]


def test_previews_are_the_placed_ones_with_their_ratings(synced: Project) -> None:
    synced("gallery")
    page = synced.path / "gallery.html"
    cover, other = cards(page)["portrait"]["media"]
    assert linked(page, cover["still"]).read_bytes().startswith(b"\xff\xd8")
    assert values(page)["ratings"][cover["rating"]] == "pg"
    assert values(page)["ratings"][other["rating"]] == "x"
    assert values(page)["ratings"][values(page)["most"]] == "pg13"
    synced("gallery", "--rating", "xxx")
    assert values(page)["ratings"][values(page)["most"]] == "xxx"


def test_an_own_preview_goes_first_and_counts_as_explicit_as_its_model(synced: Project) -> None:
    lora = synced.path / "Comfy UI/models/loras"
    (lora / "detail_v1.png").write_bytes(png_bytes("mine", width=30, height=20))
    (lora / "loose.safetensors").write_bytes(safetensors_bytes("loose"))
    (lora / "loose.png").write_bytes(png_bytes("loose"))
    synced("gallery")
    page = synced.path / "gallery.html"
    own = cards(page)["detail"]["media"][0]
    assert linked(page, own["still"]).name == "detail_v1.png" and own["size"] == [30, 20] and own["unrated"]
    assert values(page)["ratings"][own["rating"]] == "pg"
    loose = cards(page)["loose.safetensors"]
    assert (loose["state"], loose["kind"]) == ("unmanaged", "lora")
    assert values(page)["ratings"][loose["media"][0]["rating"]] == "xxx", "nobody rated it"


def test_missing_and_unlocked_models_are_on_the_page(synced: Project) -> None:
    (synced.path / "forge/models/Stable-diffusion/portrait_v1.safetensors").unlink()
    (synced.path / "Comfy UI/models/loras/detail_v1.safetensors").unlink()
    synced.manifest(MANIFEST + f'eyes = {{ source = "civitai:{catalogue.EYES}", type = "embedding" }}\n')
    synced("gallery")
    found = cards(synced.path / "gallery.html")
    assert found["portrait"]["state"] == "partly" and found["detail"]["state"] == "missing"
    assert found["eyes"] == {"name": "eyes", "state": "unlocked", "kind": "embedding"}


def test_the_same_project_has_the_same_page_and_it_is_not_written_again(synced: Project) -> None:
    synced("gallery")
    page = synced.path / "gallery.html"
    before = page.stat()
    synced("gallery")
    assert page.stat().st_mtime_ns == before.st_mtime_ns and page.stat().st_ino == before.st_ino
    assert synced("sync", "--check").code == 0


def test_only_a_page_of_synapse_is_replaced(synced: Project) -> None:
    page = synced.path / "notes.html"
    page.write_text("<!doctype html>\n<p>mine</p>")
    said = synced("gallery", "-o", "notes.html", code=7)
    assert "no gallery of synapse" in said.err and "--force" in said.err
    assert page.read_text().endswith("mine</p>")
    synced("gallery", "-o", "notes.html", "--force")
    assert set(cards(page)) == {"portrait", "detail", "vae"}
    synced("gallery", "-o", "notes.html", "--rating", "x")


def test_a_file_of_the_project_or_no_place_at_all_is_refused(synced: Project) -> None:
    synced("gallery", "-o", "synapse.lock", "--force", code=2)
    synced("gallery", "-o", "nowhere/page.html", code=2)
    synced("gallery", "-o", "forge", "--force", code=2)
    synced("gallery", "--portable", "synapse.toml", code=2)
    synced("gallery", "--portable", "out", "-o", "page.html", code=2)
    assert not (synced.path / "nowhere").exists()


def test_the_hint_of_a_portable_page_names_no_option_that_it_refuses(synced: Project) -> None:
    (synced.path / "web").mkdir()
    (synced.path / "web/index.html").write_text("mine")
    refused = " ".join(synced("gallery", "--portable", "web", code=7).err.split())
    assert "name another directory, or replace it with `--force`" in refused and "`-o`" not in refused


def test_a_page_is_not_written_to_a_pipe(synced: Project) -> None:
    for option in ("-o", "--portable"):
        assert "`-` is not stdout here" in synced("gallery", option, "-", code=2).err
    assert not (synced.path / "-").exists()


def test_a_portable_page_has_its_previews_beside_it(synced: Project, tmp_path: Path) -> None:
    (synced.path / "Comfy UI/models/loras/detail_v1.png").write_bytes(png_bytes("mine"))
    synced("gallery", "--portable", "out")
    moved = tmp_path / "moved"
    (synced.path / "out").rename(moved)
    urls = [media["still"] for card in cards(moved / "index.html").values() for media in card.get("media", ())]
    assert len(urls) == 3
    for url in urls:
        assert linked(moved / "index.html", url).parent == moved / "media"
        assert linked(moved / "index.html", url).is_file()
    assert linked(moved / "index.html", urls[0]).read_bytes() == png_bytes("mine")


def test_a_portable_page_replaces_no_other_file(synced: Project) -> None:
    synced("gallery", "--portable", "out")
    synced("gallery", "--portable", "out")
    media = next((synced.path / "out/media").iterdir())
    media.write_bytes(b"somebody's")
    synced("gallery", "--portable", "out", code=7)
    assert media.read_bytes() == b"somebody's"
    synced("gallery", "--portable", "out", "--force")
    assert media.read_bytes() != b"somebody's"


def test_newer_versions_are_known_when_the_sites_are_asked(synced: Project) -> None:
    synced.manifest(MANIFEST.replace(f"@{catalogue.DETAIL_V1}", ""))
    synced("lock")
    catalogue.publish_upgrade(synced.hub)
    synced("gallery")
    assert not any("newer" in card for card in cards(synced.path / "gallery.html").values())
    synced("gallery", "--outdated")
    found = cards(synced.path / "gallery.html")
    assert found["portrait"]["newer"] == "v2" and "newer" not in found["vae"]
    assert values(synced.path / "gallery.html")["asked"] is True


def test_a_part_of_the_project_has_a_page(synced: Project) -> None:
    synced("gallery", "--group", "portrait", "-o", "part.html")
    assert list(cards(synced.path / "part.html")) == ["portrait"]
    synced("gallery", "--target", "forge", "-o", "part.html")
    assert [place[0] for place in cards(synced.path / "part.html")["portrait"]["places"]] == ["forge"]


def test_json_says_what_was_written(synced: Project) -> None:
    said = synced("gallery", "--json").json
    page = synced.path / "gallery.html"
    assert said["output"] == str(page) and said["size"] == page.stat().st_size
    assert (said["models"], said["unmanaged"], said["previewed"]) == (3, 0, 1)


def test_the_browser_is_opened_only_where_it_can_be_shown(synced: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: bool(opened.append(url)) or True)
    os.environ.pop("WAYLAND_DISPLAY", None)
    os.environ["DISPLAY"] = ""
    assert "no browser can be shown" in synced("gallery", "--open").err
    assert opened == []
    os.environ["DISPLAY"] = ":0"
    synced("gallery", "--open")
    assert opened == [(synced.path / "gallery.html").resolve().as_uri()]


def test_a_project_without_previews_says_how_to_get_some(project: Project) -> None:
    project.manifest(MANIFEST.replace("previews = 2", "previews = false"))
    project("sync")
    assert "previews = true" in project("gallery").err
