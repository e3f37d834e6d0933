"""A project as people have them: two UIs, many kinds of models, films, files of their own, and hostile names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.gallery_art import art
from synapse_sync.demo.civitai.things import File, Image, Model, Version
from synapse_sync.demo.hub import Hub
from synapse_sync.demo.serve import own_places
from synapse_sync.demo.weights import safetensors_bytes

SYNAPSE = Path(sys.executable).with_name("synapse")
HOSTILE = '</script><script>window.pwned=1</script><img src=x onerror="window.pwned=1">'


@dataclass(frozen=True, kw_only=True)
class Row:
    """One model of the studio; `images` are ratings of previews, a negative one for a film."""

    name: str
    title: str
    type: str
    base: str
    version: str = "v1.0"
    words: tuple[str, ...] = ()
    size: int = 9_000
    published: str = "2026-01-15T10:00:00.000Z"
    images: tuple[int, ...] = (1,)
    shape: tuple[int, int] = (450, 675)
    group: str = ""
    creator: str = "ada"
    commercial: tuple[str, ...] = ("Image", "RentCivit")
    nsfw: int = 1


ROWS = (
    Row(name="aurora", title="Aurora XL", type="Checkpoint", base="SDXL 1.0", version="v4.2 Northern",
        size=620_000, published="2026-03-02T09:00:00.000Z", images=(1, 1, 2), group="landscape", creator="lumen"),
    Row(name="portrait-studio", title="Portrait Studio", type="Checkpoint", base="SD 1.5", version="v8",
        size=210_000, images=(1, 4), shape=(450, 600), group="portrait"),
    Row(name="paper-cut", title="Paper Cut Layers", type="LORA", base="SDXL 1.0",
        words=("papercut", "layered paper"), size=22_000, published="2025-11-20T09:00:00.000Z",
        shape=(450, 450), creator="mika"),
    Row(name="film-grain", title="Film Grain 35mm", type="LORA", base="Flux.1 D",
        words=("35mm film", "grain", "halation"), size=33_000, images=(1, -1),
        shape=(450, 300), group="portrait", creator="noor"),
    Row(name="ink-wash", title="Ink Wash", type="LORA", base="Illustrious", words=("sumi-e", "ink wash painting"),
        size=19_000, published="2026-02-11T09:00:00.000Z", shape=(450, 800), creator="mika", commercial=()),
    Row(name="neon-rain", title="Neon Rain", type="LORA", base="SDXL 1.0", words=("neon rain", "wet street"),
        size=27_000, images=(-1,), shape=(450, 675), group="landscape"),
    Row(name="soft-light", title="Soft Light Slider", type="LORA", base="SD 1.5", size=4_000, shape=(450, 600),
        group="portrait", commercial=("Image", "Rent", "Sell")),
    Row(name="glass", title="Glass & Water", type="LORA", base="Flux.1 D", words=("made of glass",), size=31_000,
        published="2026-04-01T09:00:00.000Z", images=(1, 1), shape=(450, 675), creator="noor"),
    Row(name="dunes", title="Dunes at Dusk", type="LORA", base="SDXL 1.0", words=("dunes",), size=18_000,
        shape=(450, 300), group="landscape", creator="lumen"),
    Row(name="figure", title="Figure Study", type="LORA", base="Illustrious", words=("figure study",), size=17_000,
        images=(8,), shape=(450, 675), nsfw=31),
    Row(name="flat-color", title="Flat Color", type="LORA", base="Illustrious", words=("flat color", "no lineart"),
        size=14_000, shape=(450, 600), published="2025-08-02T09:00:00.000Z"),
    Row(name="botanica", title="Botanica", type="LORA", base="Flux.1 D", words=("botanical plate",), size=29_000,
        shape=(450, 675), creator="noor", commercial=()),
    Row(name="clear-eyes", title="Clear Eyes", type="TextualInversion", base="SD 1.5",
        words=("clear-eyes",), size=300, shape=(450, 450), group="portrait"),
    Row(name="depth", title="Depth for SDXL", type="Controlnet", base="SDXL 1.0", size=90_000, images=(1,),
        shape=(450, 450), creator="lumen"),
    Row(name="sharpen", title="4x Sharpen", type="Upscaler", base="Other", size=6_000, images=()),
    Row(name="vae", title="Portrait VAE", type="VAE", base="SD 1.5", size=12_000, images=()),
    Row(name="mosaic", title="Mosaic Tiles", type="LORA", base="SDXL 1.0", words=("mosaic",), size=21_000,
        shape=(450, 450), creator="mika"),
    Row(name="skyline", title="Skyline at Six", type="LORA", base="Flux.1 D", words=("skyline",), size=24_000,
        shape=(450, 675), group="landscape", published="2026-05-09T09:00:00.000Z", images=(1, 1)),
)  # fmt: skip


@dataclass(frozen=True)
class Studio:
    """The project on disk, its hub and the variables of its commands."""

    path: Path
    hub: Hub
    variables: dict[str, str] = field(default_factory=dict)

    def run(self, *words: str, code: int = 0) -> str:
        """Run the real command in the project; returns what it printed on stdout."""
        found = subprocess.run(
            [SYNAPSE, *words, "-C", str(self.path)], env=os.environ | self.variables, capture_output=True, text=True
        )
        assert found.returncode == code, f"{words}: {found.returncode}\n{found.stdout}\n{found.stderr}"
        return found.stdout


def _model(number: int, row: Row, film: bytes) -> Model:
    images = tuple(
        Image(
            id=number * 10 + each, content=b"original", nsfw_level=abs(rating), width=row.shape[0] * 2,
            height=row.shape[1] * 2, type="video" if rating < 0 else "image",
            still=art(f"{row.name} {each}", row.shape), film=film,
        )
        for each, rating in enumerate(row.images)
    )  # fmt: skip
    content = safetensors_bytes(f"{row.name} weights", size=max(row.size, 2_000))
    file = File(id=number * 10 + 9, name=f"{row.name}.safetensors", content=content, primary=True, fp="fp16")
    version = Version(
        id=number * 10, name=row.version, files=(file,), base_model=row.base, published=row.published,
        trained_words=row.words, images=images,
    )  # fmt: skip
    return Model(
        id=number, name=row.title, type=row.type, versions=(version,), creator=row.creator, nsfw_level=row.nsfw,
        commercial_use=row.commercial,
    )  # fmt: skip


def _entry(number: int, row: Row) -> str:
    group = f', groups = ["{row.group}"]' if row.group else ""
    return f'{json.dumps(row.name)} = {{ source = "civitai:{number}"{group} }}\n'


_HEAD = """[workspace]
name = "Northlight"
previews = 3
preview-rating = "xxx"
sidecars = ["lora-manager"]

[targets.comfy]
layout = "comfyui"
root = "ComfyUI"

[targets.forge]
layout = "forge"
root = "forge"
groups = ["portrait"]

[models]
"""


@contextmanager
def studio(place: Path, film: bytes, rows: tuple[Row, ...] = ROWS) -> Iterator[Studio]:
    """A synced project in an empty directory: one model's file is missing, and one file is unmanaged."""
    with Hub() as hub:
        numbered = list(enumerate(rows, start=801))
        hub.civitai.add(*(_model(number, row, film) for number, row in numbered))
        project = place / "northlight"
        project.mkdir()
        (project / "synapse.toml").write_text(_HEAD + "".join(_entry(*each) for each in numbered), "utf-8")
        found = Studio(project, hub, {**hub.environment(), **own_places(place / "home"), "SYNAPSE_TRUST": "1"})
        found.run("sync", "--yes")
        loras = project / "ComfyUI/models/loras"
        (loras / "my-own-style.safetensors").write_bytes(safetensors_bytes("mine", size=40_000))
        (loras / "my-own-style.png").write_bytes(art("mine", (450, 600)))
        (loras / "old-experiment.safetensors").write_bytes(safetensors_bytes("old", size=20_000))
        (project / "ComfyUI/models/loras/mosaic.safetensors").unlink(missing_ok=True)
        yield found
