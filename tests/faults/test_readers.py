"""Cases 144 to 151: files that are right byte for byte, and what the programs that read them make of them."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from typing import Any

import pytest
from cases import case
from stage import Stage

from synapse_sync.demo.civitai.things import File, Image, Model, Version
from synapse_sync.demo.weights import gguf_bytes, jpeg_bytes, mp4_bytes, png_bytes, safetensors_bytes

CONTENT = safetensors_bytes("read by others", size=20_000)


def publish(stage: Stage, *images: Image, file: File | None = None, kind: str = "LORA", **words: Any) -> None:
    """A model of one version and one file, `m.safetensors` unless `file` is another."""
    about = {name: words.pop(name) for name in ("base_model", "trained_words") if name in words}
    file = file or File(id=1, name="m.safetensors", content=CONTENT)
    version = Version(id=711, name="v1", files=(file,), images=images, **about)
    stage.hub.civitai.add(Model(id=71, name="Read", type=kind, versions=(version,), **words))


def zipped(name: str, content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(name, content)
    return packed.getvalue()


def image(number: int, *, level: int = 1, kind: str = "image") -> Image:
    return Image(id=number, content=png_bytes(f"{number}"), nsfw_level=level, type=kind)


def placed(stage: Stage) -> dict[str, bytes]:
    """The files in the tree by their names alone."""
    return {path.rpartition("/")[2]: content for path, content in stage.tree().items() if "models/" in path}


@case(144)
@pytest.mark.parametrize(("level", "rating", "shown"), [(1, "pg", True), (12, "pg13", False), (12, "x", True)])
def test_an_unrated_image_of_a_model(stage: Stage, level: int, rating: str, shown: bool) -> None:
    publish(stage, image(1, level=0), nsfw_level=level)
    stage.manifest(f'[models.m]\nsource = "civitai:71"\npreviews = true\npreview-rating = "{rating}"\n')
    stage("sync")
    assert ("m.preview.jpeg" in placed(stage)) == shown


@case(145)
@pytest.mark.parametrize(
    ("layout", "base", "version"),
    [("a1111", "Flux.1 D", "Unknown"), ("forge", "Flux.1 D", "Flux"), ("forge", "SD 3.5", "Unknown")],
)
def test_a_card_that_its_ui_can_use(stage: Stage, layout: str, base: str, version: str) -> None:
    publish(stage, base_model=base, trained_words=("one,, two", "three\nfour", " "))
    stage.manifest(f'[workspace]\nsidecars = true\n[targets.ui]\nlayout = "{layout}"\n[models]\nm = "civitai:71"\n')
    stage("sync")
    card = json.loads(placed(stage)["m.json"])
    assert (card["sd version"], card["activation text"]) == (version, "one, two, three four")


@case(146)
def test_a_film_has_a_still_beside_it(stage: Stage) -> None:
    publish(stage, image(1, kind="video"))
    stage.manifest('[models.m]\nsource = "civitai:71"\npreviews = true\nsidecars = ["lora-manager"]\n')
    stage("sync")
    found = placed(stage)
    assert (found["m.preview.mp4"], found["m.preview.jpeg"]) == (mp4_bytes("film of 1"), jpeg_bytes("still of 1"))


@case(147)
def test_the_licence_reaches_its_reader(stage: Stage) -> None:
    publish(stage)
    stage.manifest('[models.m]\nsource = "civitai:71"\nsidecars = ["lora-manager"]\n')
    stage("sync")
    model = json.loads(placed(stage)["m.metadata.json"])["civitai"]["model"]
    assert model["allowCommercialUse"] == ["Image", "RentCivit"]
    assert model["allowNoCredit"] and model["allowDerivatives"] and model["allowDifferentLicense"]


@case(148)
@pytest.mark.parametrize("stem", ["x" * 250, "長" * 80])
def test_a_long_name_leaves_room_for_what_belongs_beside_it(stage: Stage, stem: str) -> None:
    publish(stage, image(1), file=File(id=1, name=f"{stem}.safetensors", content=CONTENT))
    stage.manifest('[models.m]\nsource = "civitai:71"\npreviews = true\nsidecars = ["civitai-info"]\n')
    stage("sync")
    names = sorted(placed(stage))
    stems = {name.removesuffix(end) for name in names for end in (".safetensors", ".preview.jpeg", ".civitai.info")}
    assert len(names) == 3 and any(all(name.startswith(stem) for name in names) for stem in stems)


@case(149)
@pytest.mark.parametrize("name", ["m.png", "m.webp", "m.preview.gif"])
def test_a_preview_of_the_users_own_is_the_only_one(stage: Stage, name: str) -> None:
    publish(stage, image(1))
    stage.foreign(f"models/loras/{name}", png_bytes("mine"))
    stage.manifest('[models.m]\nsource = "civitai:71"\npreviews = true\n')
    stage("sync")
    there = {path.name for path in (stage.path / "models/loras").iterdir()}
    assert there == {name, "m.safetensors"}


@case(150)
@pytest.mark.parametrize(
    ("file", "folder"),
    [
        (File(id=1, name="m.safetensors", content=CONTENT, type="UNet"), "diffusion_models"),
        (File(id=1, name="m.gguf", content=gguf_bytes("m"), format="GGUF"), "diffusion_models"),
        (File(id=1, name="m.safetensors", content=CONTENT, type="VAE"), "vae"),
        (File(id=1, name="m.safetensors", content=CONTENT, type="Text Encoder"), "text_encoders"),
    ],
)
def test_a_file_of_another_kind_than_its_model(stage: Stage, file: File, folder: str) -> None:
    publish(stage, file=file, kind="Checkpoint")
    stage.manifest('[models.m]\nsource = "civitai:71"\nfile = { id = 1 }\n')
    stage("sync")
    assert stage.tree() == {f"models/{folder}/{file.name}": file.content}


@case(151)
@pytest.mark.parametrize(("content", "name"), [(CONTENT, "12345.safetensors"), (gguf_bytes("g"), "12345.gguf")])
def test_a_download_without_an_ending_is_named_by_its_content(stage: Stage, content: bytes, name: str) -> None:
    url = stage.hub.files.put("get/12345", content)
    stage.manifest(f'[models.m]\nsource = "{url}"\ntype = "diffusion_model"\n')
    stage("sync")
    assert stage.tree() == {f"models/diffusion_models/{name}": content}
    locked = stage.lock_text
    stage.manifest(f'[models.m]\nsource = "{url}"\ntype = "diffusion_model"\nprefer = {{ format = "gguf" }}\n')
    stage("lock")  # the file is not looked at again, and keeps its name
    assert f'filename = "{name}"' in locked and f'filename = "{name}"' in stage.lock_text


@case(151)
def test_a_file_that_no_ui_lists_is_named(stage: Stage) -> None:
    publish(stage, file=File(id=1, name="pack.zip", content=zipped("a.safetensors", CONTENT), format="Other"))
    number = stage.hub.files.put("get/12345", CONTENT)
    digest = hashlib.sha256(CONTENT).hexdigest()  # nothing is downloaded to lock it, so its content is not known
    stage.manifest(
        '[models.pack]\nsource = "civitai:71"\nfile = { id = 1 }\n'
        f'[models.number]\nsource = "{number}"\ntype = "lora"\nsha256 = "{digest}"\n'
        f'[models.mine]\nsource = "{stage.hub.files.put("a.safetensors", CONTENT)}"\ntype = "vae"\n'
        'filename = "v3.2"\n'
    )
    said = " ".join(stage("sync").err.split())
    assert "`extract = " in said and "endings" in said and "placed as `v3.2.safetensors`" in said
    assert "models/vae/v3.2.safetensors" in stage.tree()


@case(151)
def test_the_advice_about_such_a_file_is_true(stage: Stage) -> None:
    publish(stage, file=File(id=1, name="pack.zip", content=zipped("a.safetensors", CONTENT), format="Other"))
    number = stage.hub.files.put("get/12345", CONTENT)
    digest = hashlib.sha256(CONTENT).hexdigest()
    stage.manifest(
        '[models.pack]\nsource = "civitai:71"\nextract = ["*.safetensors"]\n'
        f'[models.number]\nsource = "{number}"\ntype = "lora"\nsha256 = "{digest}"\nfilename = "b.safetensors"\n'
    )
    said = stage("sync").err
    assert stage.tree() == {"models/loras/a.safetensors": CONTENT, "models/loras/b.safetensors": CONTENT}
    assert "endings" not in said and "archives" not in said
