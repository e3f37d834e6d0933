"""Previews and sidecars beside the weights: as a user asks for them, edits them, and is rid of them."""

from __future__ import annotations

import hashlib
import json
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from world import Project

from synapse_sync.demo.civitai.things import File, Image, Model, Version
from synapse_sync.demo.exchange import Fault
from synapse_sync.demo.storage import Stored
from synapse_sync.demo.weights import jpeg_bytes, mp4_bytes, png_bytes, safetensors_bytes

MODEL, VERSION, NEWER = 71, 710, 720
WEIGHTS = safetensors_bytes("portrait", size=512)
LORA = "models/Lora"


pytestmark = pytest.mark.usefixtures("impatient")


def image(number: int, *, kind: str = "image", level: int = 1) -> Image:
    return Image(id=number, content=png_bytes(f"{number}"), type=kind, nsfw_level=level)


def version(number: int, *, images: tuple[Image, ...] = (), words: tuple[str, ...] = ("a portrait",)) -> Version:
    file = File(id=number * 10, name="portrait.safetensors", content=safetensors_bytes(f"portrait {number}"))
    return Version(
        id=number, name=f"v{number}", files=(file,), images=images, trained_words=words, base_model="SDXL 1.0"
    )


def publish(project: Project, *images: Image, **more: Any) -> None:
    versions = (version(VERSION, images=images, **more),)
    project.hub.civitai.add(Model(id=MODEL, name="Portrait", type="LORA", versions=versions))


def put(project: Project, path: str, content: bytes) -> str:
    """Lay an image on some host; returns its address."""
    return project.hub.storage.publish(path, Stored(content=content, content_type="image/png"))


def asked(project: Project, path: str) -> Any:
    """What the site itself says."""
    request = urllib.request.Request(
        project.hub.civitai_url + path, headers={"Authorization": f"Bearer {project.hub.civitai_token}"}
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def manifest(project: Project, *, layout: str = "a1111", workspace: str = "", model: str = "") -> None:
    project.manifest(
        f'[workspace]\n{workspace}\n[targets.ui]\nlayout = "{layout}"\n[models.portrait]\n'
        f'source = "civitai:{MODEL}"\n{model}\n'
    )


def names(project: Project) -> list[str]:
    return sorted(path.rpartition("/")[2] for path in project.tree())


def file(project: Project, name: str) -> Path:
    return project.path / LORA / name


def settled(project: Project) -> None:
    """Nothing is left to do, by the careful way, too, and nothing is asked of anybody."""
    project.hub.clear_log()
    assert project("sync", "--json").json["actions"] == []
    assert project("sync", "--check", "--no-prune").code == 0
    assert project.hub.requests() == []


# -- previews ---------------------------------------------------------------------------------------


def test_nobody_who_does_not_ask_gets_any(project: Project) -> None:
    publish(project, image(1))
    manifest(project)
    project("sync")
    assert names(project) == ["portrait.safetensors"]
    assert "preview" not in project.lock_text


def test_the_cover_lies_beside_the_weights_as_a_small_still(project: Project) -> None:
    publish(project, image(1), image(2))
    manifest(project, workspace="previews = true")
    project("sync")
    assert names(project) == ["portrait.preview.jpeg", "portrait.safetensors"]
    assert file(project, "portrait.preview.jpeg").read_bytes() == jpeg_bytes("still of 1")
    assert "/original=true/1.jpeg" in project.lock_text, "the lockfile has the site's own address"
    settled(project)


@pytest.mark.parametrize(("model_level", "placed"), [(1, 1), (2, 0), (28, 0)])
def test_an_unrated_image_is_as_explicit_as_its_model(project: Project, model_level: int, placed: int) -> None:
    """Of a model with any rating above `pg`, only images that are rated themselves are placed."""
    versions = (version(VERSION, images=(image(1, level=0), image(2))),)
    project.hub.civitai.add(
        Model(id=MODEL, name="Portrait", type="LORA", versions=versions, nsfw_level=model_level)
    )
    manifest(project, model='previews = 2\npreview-rating = "pg"')
    project("sync")
    shown = {path.read_bytes() for path in (project.path / LORA).glob("*.jpeg")}
    assert shown == {jpeg_bytes("still of 2"), *([jpeg_bytes("still of 1")] * placed)}
    settled(project)


def test_several_previews(project: Project) -> None:
    publish(project, image(1), image(2), image(3))
    manifest(project, model="previews = 2")
    project("sync")
    assert names(project) == ["portrait.preview-2.jpeg", "portrait.preview.jpeg", "portrait.safetensors"]
    settled(project)


def test_a_film_is_a_still_for_most_and_plays_where_it_can(project: Project) -> None:
    publish(project, image(1, kind="video"))
    manifest(project, workspace="previews = true")
    project("sync")
    assert file(project, "portrait.preview.jpeg").read_bytes() == jpeg_bytes("still of 1")
    manifest(project, workspace='previews = true\nsidecars = ["lora-manager"]')
    project("sync")
    assert names(project) == [
        "portrait.metadata.json",
        "portrait.preview.jpeg",
        "portrait.preview.mp4",
        "portrait.safetensors",
    ]
    assert file(project, "portrait.preview.mp4").read_bytes() == mp4_bytes("film of 1")
    assert file(project, "portrait.preview.jpeg").read_bytes() == jpeg_bytes("still of 1")
    sidecar = json.loads(file(project, "portrait.metadata.json").read_text("utf-8"))
    assert sidecar["preview_url"].endswith("/portrait.preview.mp4")
    settled(project)


def test_what_is_too_explicit_is_passed_over(project: Project) -> None:
    publish(project, image(1, level=8), image(2, level=2), image(3, level=4))
    manifest(project, model="previews = 3")
    project("sync")
    assert file(project, "portrait.preview.jpeg").read_bytes() == jpeg_bytes("still of 2")
    assert len(names(project)) == 2
    manifest(project, model='previews = 3\npreview-rating = "x"')
    project("sync")
    assert file(project, "portrait.preview.jpeg").read_bytes() == jpeg_bytes("still of 1")
    assert len(names(project)) == 4
    settled(project)


def test_a_cover_of_ones_own(project: Project) -> None:
    publish(project, image(1), image(2, level=8))
    manifest(project)
    cover = put(project, "/mine/face.png", png_bytes("mine"))
    manifest(project, model=f'cover = "{cover}"')
    project("sync")
    assert file(project, "portrait.preview.png").read_bytes() == png_bytes("mine")
    assert len(names(project)) == 2
    settled(project)


def test_a_cover_that_the_site_shows_too_is_known_by_its_address(project: Project) -> None:
    """Its type and size come from the site; that it is explicit is the user's own choice."""
    publish(project, image(1), image(2, level=8, kind="video"))
    manifest(project, model='previews = 2\npreview-rating = "x"')
    project("lock")
    cover = next(line for line in project.lock_text.splitlines() if "/2.jpeg" in line).split('"')[1]
    manifest(project, model=f'cover = "{cover}"')
    project("sync")
    assert project.lock_text.count("[[model.preview]]") == 1
    assert 'type = "video"' in project.lock_text
    assert file(project, "portrait.preview.jpeg").read_bytes() == jpeg_bytes("still of 2")


def test_add_asks_for_them(project: Project) -> None:
    publish(project, image(1))
    cover = put(project, "/mine/face.png", png_bytes("mine"))
    project("init")
    project("add", f"civitai:{MODEL}", "--version-id", str(VERSION), "--previews", "--cover", cover)
    project("sync")
    assert names(project) == ["portrait.preview.png", "portrait.safetensors"]


def test_models_that_are_locked_again_for_their_previews_are_one_line(project: Project) -> None:
    """Their versions are what they were: a line for each would look like thirty updates."""
    publish(project, image(1))
    models = "".join(f'm{number} = {{ {{source}}, filename = "{number}.safetensors" }}\n' for number in range(5))
    text = models.replace("{source}", f'source = "civitai:{MODEL}"')
    project.manifest(f'[targets.ui]\nlayout = "a1111"\n[models]\n{text}')
    assert "locked m0" in project("sync", code=0).err
    project.manifest(f'[workspace]\npreviews = true\n[targets.ui]\nlayout = "a1111"\n[models]\n{text}')
    said = project("sync", code=0).err
    assert "locked again in the same versions: 5 models" in said and "locked m0" not in said
    settled(project)


def test_each_address_is_asked_for_once(project: Project) -> None:
    publish(project, image(1))
    text = "".join(f'[targets.t{n}]\nlayout = "a1111"\nroot = "t{n}"\n' for n in range(3))
    project.manifest(f'[workspace]\npreviews = true\n{text}[models]\nportrait = "civitai:{MODEL}"\n')
    project("sync")
    assert names(project).count("portrait.preview.jpeg") == 3
    assert sum("width=450" in request.path for request in project.hub.requests()) == 1
    project.hub.clear_log()
    project.manifest(project.path.joinpath("synapse.toml").read_text().replace('root = "t2"', 'root = "elsewhere"'))
    project("sync")
    assert project.hub.requests() == [], "another target takes it from the cache"


@pytest.mark.parametrize("status", [404, 410, 416, 403])
def test_a_preview_that_is_gone_fails_nothing_and_is_not_asked_for_again(project: Project, status: int) -> None:
    publish(project, image(1))
    project.hub.faults.add("/demo/", Fault(status=status))
    manifest(project, workspace="previews = true")
    result = project("sync", "--json", code=0).json
    assert "no preview" in result["warnings"][0]
    assert names(project) == ["portrait.safetensors"]
    project.hub.faults.clear()
    settled(project)


@pytest.mark.parametrize(
    "fault", [Fault(status=429), Fault(status=503), Fault(cut_after=20), Fault(drop=True)], ids=str
)
def test_a_passing_failure_is_made_good_by_the_next_sync(project: Project, fault: Fault) -> None:
    publish(project, image(1))
    project.hub.faults.add("/demo/", fault)
    manifest(project, workspace="previews = true")
    project("sync", code=0)
    assert names(project) == ["portrait.safetensors"]
    project.hub.faults.clear()
    project("sync")
    assert names(project) == ["portrait.preview.jpeg", "portrait.safetensors"]
    settled(project)


def test_a_web_page_is_no_preview(project: Project) -> None:
    publish(project, image(1))
    project.hub.faults.add("/demo/", Fault(html=True))
    manifest(project, workspace="previews = true")
    project("sync", code=0)
    assert names(project) == ["portrait.safetensors"]


def test_bytes_that_are_no_image_are_no_preview(project: Project) -> None:
    publish(project)
    cover = put(project, "/mine/face.png", b"MZ not an image")
    manifest(project, model=f'cover = "{cover}"')
    project("sync", code=0)
    assert names(project) == ["portrait.safetensors"]


def test_offline_leaves_them_out_for_now(project: Project) -> None:
    publish(project, image(1))
    manifest(project)
    project("sync")
    manifest(project, workspace="previews = true")
    project("lock")
    project("sync", "--offline", code=0)
    assert names(project) == ["portrait.safetensors"]
    project("sync")
    assert len(names(project)) == 2


def test_what_a_power_loss_left_of_a_cached_preview_is_not_placed(project: Project) -> None:
    publish(project, image(1))
    manifest(project, workspace="previews = true")
    project("sync")
    for kept in (project.store / "pictures").iterdir():
        kept.write_bytes(bytes(kept.stat().st_size))
    file(project, "portrait.preview.jpeg").unlink()
    project("sync", "--offline", code=0)
    assert names(project) == ["portrait.safetensors"]
    project("sync")
    assert file(project, "portrait.preview.jpeg").read_bytes() == jpeg_bytes("still of 1")


def test_a_preview_of_the_users_own_is_left(project: Project) -> None:
    publish(project, image(1))
    file(project, "").mkdir(parents=True)
    file(project, "portrait.preview.jpeg").write_bytes(b"mine")
    manifest(project, workspace="previews = true")
    project("sync", code=0)
    assert file(project, "portrait.preview.jpeg").read_bytes() == b"mine"
    settled(project)
    manifest(project)
    project("sync")
    assert file(project, "portrait.preview.jpeg").read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["portrait.webp", "portrait.png", "portrait.preview.gif"])
def test_a_users_own_preview_stays_the_one_that_is_shown(project: Project, name: str) -> None:
    """Also one that comes later: ours goes again, and comes back when theirs is gone."""
    publish(project, image(1))
    manifest(project, workspace='previews = true\nsidecars = ["lora-manager"]')
    project("sync")
    assert "portrait.preview.jpeg" in names(project)
    file(project, name).write_bytes(b"mine")
    file(project, "portrait.metadata.json").unlink()  # a change, so that the trees are looked at
    project("sync")
    assert names(project) == sorted([name, "portrait.metadata.json", "portrait.safetensors"])
    sidecar = json.loads(file(project, "portrait.metadata.json").read_text("utf-8"))
    assert sidecar["preview_url"].endswith(f"/{name}")
    assert file(project, name).read_bytes() == b"mine"
    settled(project)
    file(project, name).unlink()
    file(project, "portrait.metadata.json").unlink()
    project("sync")
    assert names(project) == ["portrait.metadata.json", "portrait.preview.jpeg", "portrait.safetensors"]


def test_a_renamed_target_knows_its_previews_as_its_own(project: Project) -> None:
    publish(project, image(1))
    manifest(project, workspace="previews = true")
    project("sync")
    before = names(project)
    text = (project.path / "synapse.toml").read_text("utf-8")
    project.manifest(text.replace("targets.ui", "targets.renamed"))
    project("sync")
    assert names(project) == before
    settled(project)
    assert names(project) == before


def test_a_preview_that_the_ui_replaced_is_kept_for_ever(project: Project) -> None:
    publish(project, image(1))
    manifest(project, workspace="previews = true")
    project("sync")
    file(project, "portrait.preview.jpeg").write_bytes(jpeg_bytes("the user's best image"))
    project("sync", code=0)
    settled(project)
    project.manifest('[targets.ui]\nlayout = "a1111"\n[models]\n')
    assert file(project, "portrait.preview.jpeg").read_bytes() == jpeg_bytes("the user's best image")


def test_they_go_with_the_weights(project: Project) -> None:
    publish(project, image(1))
    other = File(id=99, name="other.safetensors", content=WEIGHTS)
    project.hub.civitai.add(
        Model(id=9, name="o", type="LORA", versions=(Version(id=90, name="1", files=(other,)),))
    )
    manifest(project, workspace="previews = true\nsidecars = true")
    project("sync")
    assert len(names(project)) == 3
    project.manifest('[targets.ui]\nlayout = "a1111"\n[models]\nother = "civitai:9"\n')
    project("sync")
    assert names(project) == ["other.safetensors"]
    assert not list((project.path / ".synapse" / "sidecars").iterdir())


def test_a_foreign_file_in_the_weights_place_gets_no_companions(project: Project) -> None:
    publish(project, image(1))
    file(project, "").mkdir(parents=True)
    file(project, "portrait.safetensors").write_bytes(b"something else")
    manifest(project, workspace="previews = true\nsidecars = true")
    project("sync", code=7)
    assert names(project) == ["portrait.safetensors"]


def test_weights_that_cannot_be_had_get_none_either(project: Project) -> None:
    publish(project, image(1))
    manifest(project, workspace="previews = true\nsidecars = true")
    project("lock")
    project.hub.faults.add("/api/download", Fault(status=403))
    project("sync", code=3)
    assert project.tree() == {}


# -- sidecars ---------------------------------------------------------------------------------------


def read(project: Project, name: str) -> Any:
    return json.loads(file(project, name).read_text("utf-8"))


def test_each_layout_has_those_that_its_ui_reads(project: Project) -> None:
    publish(project)
    told = {}
    for layout in ("a1111", "comfyui", "fooocus", "flat", "forge", "forge-neo", "sdnext", "swarmui"):
        manifest(project, layout=layout, workspace="sidecars = true")
        project("sync")
        told[layout] = [name for name in names(project) if not name.endswith(".safetensors")]
    assert told == {
        "a1111": ["portrait.json"], "comfyui": ["portrait.metadata.json"], "flat": [], "fooocus": [],
        "forge": ["portrait.json"], "forge-neo": ["portrait.json"], "sdnext": ["portrait.json"],
        "swarmui": ["portrait.cm-info.json"],
    }  # fmt: skip


def test_model_goes_before_target_before_workspace(project: Project) -> None:
    publish(project)
    project.manifest(
        '[workspace]\nsidecars = ["a1111"]\n[targets.ui]\nlayout = "a1111"\nsidecars = ["stability-matrix"]\n'
        f'[models.portrait]\nsource = "civitai:{MODEL}"\n'
    )
    project("sync")
    assert names(project) == ["portrait.cm-info.json", "portrait.safetensors"]
    with (project.path / "synapse.toml").open("a") as file_:
        file_.write("sidecars = false\n")
    project("sync")
    assert names(project) == ["portrait.safetensors"]


def test_a_kind_that_nobody_knows(project: Project) -> None:
    publish(project)
    manifest(project, workspace='sidecars = ["a111"]')
    result = project("sync", code=2)
    assert "`a111`" in result.err
    assert "`a1111`" in result.err


def test_an_edited_card_is_merged_into(project: Project) -> None:
    publish(project)
    manifest(project, workspace="sidecars = true")
    project("sync")
    card = read(project, "portrait.json")
    assert card["activation text"] == "a portrait"
    card |= {"notes": "my notes", "preferred weight": 0.7, "my key": [1]}
    file(project, "portrait.json").write_text(json.dumps(card))
    project.hub.civitai.add_version(MODEL, version(NEWER, words=("new words",)))
    project("lock", "--upgrade")
    project("sync", code=0)
    merged = read(project, "portrait.json")
    assert merged["notes"] == "my notes"
    assert merged["preferred weight"] == 0.7
    assert merged["my key"] == [1]
    assert merged["activation text"] == "new words", "untouched by the user, so it follows the model"
    assert merged["modelVersionId"] == NEWER
    settled(project)
    journal = (project.path / ".synapse" / "journal.jsonl").read_text()
    assert "portrait.json" in journal


def test_what_the_user_took_out_stays_out(project: Project) -> None:
    publish(project)
    manifest(project, workspace="sidecars = true")
    project("sync")
    card = read(project, "portrait.json")
    del card["description"]
    file(project, "portrait.json").write_text(json.dumps(card))
    project("sync")
    assert "description" not in read(project, "portrait.json")
    settled(project)


def test_a_card_that_was_there_is_completed_and_outlives_the_model(project: Project) -> None:
    publish(project)
    file(project, "").mkdir(parents=True)
    file(project, "portrait.json").write_text('{"activation text": "mine", "vae": "x.vae.pt", "notes": ""}')
    manifest(project, workspace="sidecars = true")
    project("sync", code=0)
    card = read(project, "portrait.json")
    assert (card["activation text"], card["vae"], card["modelId"]) == ("mine", "x.vae.pt", MODEL)
    settled(project)
    manifest(project)
    project("sync")
    assert read(project, "portrait.json")["activation text"] == "mine"
    settled(project)


@pytest.mark.parametrize("text", ["not json", "[1, 2]", "", '{"a": '])
def test_what_cannot_be_merged_is_left(project: Project, text: str) -> None:
    publish(project)
    file(project, "").mkdir(parents=True)
    file(project, "portrait.json").write_text(text)
    manifest(project, workspace="sidecars = true")
    project("sync", code=0)
    assert file(project, "portrait.json").read_text() == text
    settled(project)


def test_a_sidecar_follows_its_model(project: Project) -> None:
    publish(project)
    manifest(project, workspace="sidecars = true")
    project("sync")
    project.hub.civitai.add_version(MODEL, version(NEWER, words=("new words",)))
    project("lock", "--upgrade")
    project("sync")
    assert read(project, "portrait.json")["activation text"] == "new words"
    settled(project)


def test_the_users_words_follow_a_renamed_file(project: Project) -> None:
    """And stay in the old card as well: what somebody changed is never removed."""
    publish(project)
    manifest(project, workspace="sidecars = true")
    project("sync")
    card = read(project, "portrait.json") | {"notes": "my notes", "my key": 1}
    file(project, "portrait.json").write_text(json.dumps(card))
    project("sync")
    manifest(project, workspace="sidecars = true", model='filename = "ada.safetensors"')
    project("sync")
    assert read(project, "ada.json") == card
    assert names(project) == ["ada.json", "ada.safetensors", "portrait.json"]
    settled(project)
    project.hub.civitai.add_version(MODEL, version(NEWER, words=("new words",)))
    project("lock", "--upgrade")
    project("sync")
    assert read(project, "ada.json") == card | {
        "activation text": "new words", "modelVersionId": NEWER, "description": "Portrait v720",
        "sha256": read(project, "ada.json")["sha256"],
    }  # fmt: skip
    manifest(project)
    project("sync")
    assert read(project, "ada.json")["notes"] == "my notes"


def test_one_that_was_removed_comes_back(project: Project) -> None:
    publish(project, image(1))
    manifest(project, workspace="sidecars = true\npreviews = true")
    project("sync")
    for name in ("portrait.json", "portrait.preview.jpeg"):
        file(project, name).unlink()
    plan = project("status", "--json").json
    assert [action["verb"] for action in plan["actions"]] == ["write", "write"]
    project("sync")
    assert len(names(project)) == 3
    settled(project)


def test_the_sites_document_is_kept_word_for_word(project: Project) -> None:
    publish(project, image(1))
    manifest(project, workspace='sidecars = ["civitai-info"]')
    project("sync")
    kept = read(project, "portrait.civitai.info")
    said = asked(project, f"/api/v1/model-versions/{VERSION}")
    description = asked(project, f"/api/v1/models/{MODEL}")["description"]
    assert kept["model"].pop("description") == description
    assert kept == said
    settled(project)


RICH = {"type": "LoCon", "tags": ("style", "1girl"), "description": "<p>a <b>style</b></p>"}


def test_managers_get_what_the_site_says_of_a_model(project: Project) -> None:
    """LoRA-Manager and StabilityMatrix: the site's word for the type, tags and the description."""
    project.hub.civitai.add(Model(id=MODEL, name="Portrait", versions=(version(VERSION),), **RICH))
    manifest(project, layout="comfyui", workspace='sidecars = ["lora-manager", "stability-matrix"]')
    project("sync")
    folder = project.path / "models/loras"
    found = json.loads((folder / "portrait.metadata.json").read_text())
    assert (found["sub_type"], found["tags"], found["modelDescription"]) == (
        "locon", ["style", "1girl"], "<p>a <b>style</b></p>",
    )  # fmt: skip
    assert found["civitai"]["model"]["type"] == "LoCon"
    (file,) = asked(project, f"/api/v1/model-versions/{VERSION}")["files"]
    assert found["autov3"] == file["hashes"]["AutoV3"][:12].lower()
    found = json.loads((folder / "portrait.cm-info.json").read_text())
    assert (found["ModelType"], found["Tags"], found["ModelDescription"]) == (
        "LoCon", ["style", "1girl"], "<p>a <b>style</b></p>",
    )  # fmt: skip
    assert found["RemoteFileName"] == "portrait.safetensors" and found["RemoteFileId"] == VERSION * 10
    settled(project)


def test_without_an_answer_the_managers_get_the_locked_facts(project: Project) -> None:
    project.hub.civitai.add(Model(id=MODEL, name="Portrait", versions=(version(VERSION),), **RICH))
    manifest(project, layout="comfyui", workspace="sidecars = true")
    project("lock")
    project.hub.faults.add("/api/v1/models", Fault(status=404))
    project("sync", code=0)
    found = json.loads((project.path / "models/loras/portrait.metadata.json").read_text())
    assert found["civitai"]["modelId"] == MODEL and found["tags"] == [] and "sub_type" not in found
    settled(project)


def test_sdnext_gets_the_model_document_and_none_beside_a_vae(project: Project) -> None:
    project.hub.civitai.add(Model(id=MODEL, name="Portrait", versions=(version(VERSION),), **RICH))
    project.hub.civitai.add(Model(id=MODEL + 1, name="Vae", type="VAE", versions=(version(NEWER),)))
    project.manifest(
        '[workspace]\nsidecars = true\n[targets.ui]\nlayout = "sdnext"\n[models]\n'
        f'portrait = "civitai:{MODEL}"\nvae = "civitai:{MODEL + 1}"\n'
    )
    assert "would list" not in project("sync").err
    assert json.loads((project.path / "models/Lora/portrait.json").read_text()) == asked(
        project, f"/api/v1/models/{MODEL}"
    )
    assert [path.name for path in (project.path / "models/VAE").iterdir()] == ["portrait.safetensors"]
    settled(project)


def test_a_document_that_cannot_be_had_fails_nothing(project: Project) -> None:
    publish(project)
    manifest(project, workspace='sidecars = ["civitai-info"]')
    project("lock")
    project.hub.faults.add("/api/v1/model-versions", Fault(status=404))
    project("sync", code=0)
    assert names(project) == ["portrait.safetensors"]
    project.hub.faults.clear()
    project("lock")
    file(project, "portrait.safetensors").touch()
    project("sync", code=0)
    assert names(project) == ["portrait.civitai.info", "portrait.safetensors"]


def test_the_manager_finds_its_file_and_preview(project: Project) -> None:
    publish(project, image(1))
    manifest(project, workspace='previews = true\nsidecars = ["lora-manager"]')
    project("sync")
    words = read(project, "portrait.metadata.json")
    weights = file(project, "portrait.safetensors")
    # Relative, so that every machine writes the same: the manager puts the paths of its own in their place.
    assert project.path / words["file_path"] == weights
    assert project.path / words["preview_url"] == file(project, "portrait.preview.jpeg")
    assert time.gmtime(words["modified"])[:3] == (2026, 1, 15), "the day of its publication"
    assert words["sha256"] == words["sha256"].lower()


def test_one_that_the_manager_filled_up_is_left_to_it(project: Project) -> None:
    """LoRA-Manager writes into its file all the time; no sync undoes that."""
    publish(project)
    manifest(project, workspace='sidecars = ["lora-manager"]')
    project("sync")
    words = read(project, "portrait.metadata.json") | {
        "favorite": True,
        "usage_tips": '{"strength": 1}',
        "tags": ["x"],
    }
    file(project, "portrait.metadata.json").write_text(json.dumps(words))
    project("sync")
    assert read(project, "portrait.metadata.json") == words
    settled(project)


@pytest.mark.parametrize("digest", ["of the old version", "0" * 64])
def test_a_managers_file_about_other_bytes_gets_all_facts_of_the_new_ones(project: Project, digest: str) -> None:
    """The digest of one version beside the number of another misleads the manager; the user's words stay."""
    publish(project)
    manifest(project, workspace='sidecars = ["lora-manager"]')
    project("sync")
    before = read(project, "portrait.metadata.json")
    document = {**before["civitai"], "files": [{"id": VERSION * 10}], "customImages": [{"id": "mine"}]}
    words = {"civitai": document, "autov3": "0123456789ab", "notes": "my notes", "tags": ["x"], "favorite": True}
    sha256 = before["sha256"] if digest == "of the old version" else digest
    file(project, "portrait.metadata.json").write_text(json.dumps({**before, **words, "sha256": sha256, "size": 3}))
    project.hub.civitai.add_version(MODEL, version(NEWER, words=("new words",)))
    project("lock", "--upgrade")
    project("sync")
    after, weights = read(project, "portrait.metadata.json"), file(project, "portrait.safetensors")
    assert (after["notes"], after["tags"], after["favorite"]) == ("my notes", ["x"], True)
    content = weights.read_bytes()
    assert (after["sha256"], after["size"]) == (hashlib.sha256(content).hexdigest(), len(content))
    assert (after["civitai"]["id"], after["civitai"]["trainedWords"]) == (NEWER, ["new words"])
    assert "files" not in after["civitai"] and after["civitai"]["customImages"] == [{"id": "mine"}]
    assert after.get("autov3") != "0123456789ab", "a digest of the old bytes"
    settled(project)


def test_two_targets_with_one_root_share_them(project: Project) -> None:
    publish(project, image(1))
    project.manifest(
        '[workspace]\npreviews = true\nsidecars = true\n[targets.a]\nlayout = "a1111"\n'
        f'[targets.b]\nlayout = "a1111"\n[models]\nportrait = "civitai:{MODEL}"\n'
    )
    project("sync")
    assert names(project) == ["portrait.json", "portrait.preview.jpeg", "portrait.safetensors"]
    settled(project)
    project.manifest(
        '[workspace]\npreviews = true\nsidecars = true\n[targets.a]\nlayout = "a1111"\n'
        f'[models]\nportrait = "civitai:{MODEL}"\n'
    )
    project("sync")
    assert names(project) == ["portrait.json", "portrait.preview.jpeg", "portrait.safetensors"]


def test_a_link_in_a_sidecars_place_is_not_followed(project: Project) -> None:
    publish(project)
    file(project, "").mkdir(parents=True)
    precious = project.path / ".precious.json"
    precious.write_text('{"mine": 1}')
    file(project, "portrait.json").symlink_to(precious)
    manifest(project, workspace="sidecars = true")
    project("sync", code=0)
    assert precious.read_text() == '{"mine": 1}'
    assert file(project, "portrait.json").is_symlink()
    project.manifest('[targets.ui]\nlayout = "a1111"\n[models]\nx = "civitai:71@710"\n')
    project("sync")
    assert precious.read_text() == '{"mine": 1}'
