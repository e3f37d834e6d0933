"""The catalogue of the hub: invented models for the demo, and the public ids that the examples name.

The public ids have the names, types and file names of the real models; their contents are small and invented.
"""

from __future__ import annotations

import functools

from synapse_sync.demo.civitai.things import File, Image, Model, Version
from synapse_sync.demo.hub import Hub
from synapse_sync.demo.huggingface import HuggingFace, Repo
from synapse_sync.demo.storage import Storage
from synapse_sync.demo.weights import gguf_bytes, pickle_bytes, png_bytes, safetensors_bytes

PORTRAIT, PORTRAIT_V1, PORTRAIT_V2 = 900_001, 910_001, 910_002
DETAIL, DETAIL_V1, DETAIL_V2 = 900_002, 910_011, 910_012
EYES = 900_003
SHARPEN = 900_004
EARLY, EARLY_FREE, EARLY_PAID = 900_005, 910_041, 910_042
MATURE = 900_006
AMBIGUOUS, AMBIGUOUS_V1 = 900_007, 910_061
PICKLE = 900_008
DANGER = 900_009
ARCHIVED, ARCHIVED_V1 = 900_010, 910_091
VAE_REPO = "studio/portrait-vae"
TREE_REPO = "studio/portrait-diffusers"
GATED_REPO = "studio/gated"
PLAIN_LORA = "loras/film-grain.safetensors"
#: The commit of the real madebyollin/sdxl-vae-fp16-fix that the examples pin.
SDXL_VAE_COMMIT = "207b116dae70ace3637169f1ddd2434b91b3a8cd"


def populate(hub: Hub) -> None:
    """Fill the hub with the whole catalogue."""
    models, repositories, grain = _made()
    hub.civitai.add(*models)
    hub.huggingface.repos |= {name: repo.copy() for name, repo in repositories.items()}
    hub.files.put(PLAIN_LORA, grain)


@functools.cache
def _made() -> tuple[tuple[Model, ...], dict[str, Repo], bytes]:
    """The models, the repositories and a plain file, made once: a process may fill many hubs."""
    shelf = HuggingFace(storage=Storage(), token="")
    _repositories(shelf)
    _public_repositories(shelf)
    models = (*_invented(), *_small(), *_refused(), *_public())
    return models, shelf.repos, safetensors_bytes("film-grain", size=20_000)


def _file(
    number: int,
    name: str,
    *,
    size: int = 30_000,
    primary: bool = True,
    type: str = "Model",
    fp: str | None = None,
    size_class: str | None = None,
    pickle_scan: str = "Success",
) -> File:
    return File(
        id=number,
        name=name,
        content=safetensors_bytes(f"{number} {name}", size=size, dtype="F32" if fp == "fp32" else "F16"),
        primary=primary,
        type=type,
        fp=fp,
        size=size_class,
        pickle_scan=pickle_scan,
    )


def _images(version: int) -> tuple[Image, ...]:
    """Return two previews of a version: the cover, and one that is not for all ages."""
    return (
        Image(id=version * 10 + 1, content=png_bytes(f"cover of {version}")),
        Image(id=version * 10 + 2, content=png_bytes(f"other of {version}"), nsfw_level=8),
    )


def publish_upgrade(hub: Hub) -> None:
    """Publish a newer version of the portrait checkpoint, for the demo's upgrade."""
    file = _file(920_002, "portrait_v2.safetensors", size=400_000, size_class="pruned")
    hub.civitai.add_version(
        PORTRAIT,
        Version(
            id=PORTRAIT_V2,
            name="v2",
            files=(file,),
            published="2026-05-01T10:00:00.000Z",
            images=_images(PORTRAIT_V2),
        ),
    )


def _invented() -> tuple[Model, ...]:
    """Return the models with versions to choose from."""
    return (
        Model(
            id=PORTRAIT,
            name="Portrait Studio",
            tags=("portrait", "photo"),
            versions=(
                Version(
                    id=PORTRAIT_V1,
                    name="v1",
                    files=(_file(920_001, "portrait_v1.safetensors", size=400_000),),
                    images=_images(PORTRAIT_V1),
                ),
            ),
        ),
        Model(
            id=DETAIL,
            name="Detail Slider",
            type="LORA",
            versions=(
                Version(
                    id=DETAIL_V2,
                    name="v2",
                    files=(_file(920_012, "detail_v2.safetensors"),),
                    trained_words=("detailed",),
                    images=_images(DETAIL_V2),
                ),
                Version(id=DETAIL_V1, name="v1", files=(_file(920_011, "detail_v1.safetensors"),)),
            ),
        ),
    )


def _small() -> tuple[Model, ...]:
    """Return models with one version each: small ones, a mature one, and one whose files are ambiguous."""
    return (
        Model(
            id=EYES,
            name="Clear Eyes",
            type="TextualInversion",
            versions=(
                Version(id=910_021, name="1.0", files=(_file(920_021, "clear-eyes.safetensors", size=3_000),)),
            ),
        ),
        Model(
            id=SHARPEN,
            name="4x Sharpen",
            type="Upscaler",
            versions=(Version(id=910_031, name="1.0", files=(_file(920_031, "4x-sharpen.safetensors"),)),),
        ),
        Model(
            id=MATURE,
            name="Mature Model",
            nsfw_level=28,  # no PG bit
            versions=(Version(id=910_051, name="1.0", files=(_file(920_051, "mature.safetensors"),)),),
        ),
        Model(
            id=AMBIGUOUS,
            name="Two Of A Kind",
            versions=(
                Version(
                    id=AMBIGUOUS_V1,
                    name="1.0",
                    files=(
                        _file(920_061, "two.safetensors", primary=False, fp="fp32", size=60_000),
                        _file(920_062, "two.safetensors", primary=False, fp="fp16"),
                        _file(920_063, "two_training.safetensors", primary=False, type="Training Data"),
                    ),
                ),
            ),
        ),
    )


def _refused() -> tuple[Model, ...]:
    """Return models that can be downloaded under conditions, or not at all."""
    pickle = File(id=920_071, name="old.ckpt", content=pickle_bytes("old"), format="PickleTensor", primary=True)
    danger = _file(920_081, "danger.safetensors", pickle_scan="Danger")
    return (
        Model(
            id=EARLY,
            name="Early Bird",
            type="LORA",
            versions=(
                Version(
                    id=EARLY_PAID,
                    name="v2",
                    files=(_file(920_042, "early_v2.safetensors"),),
                    early_access="2099-01-01T00:00:00.000Z",
                ),
                Version(id=EARLY_FREE, name="v1", files=(_file(920_041, "early_v1.safetensors"),)),
            ),
        ),
        Model(id=PICKLE, name="Old Pickle", versions=(Version(id=910_071, name="1.0", files=(pickle,)),)),
        Model(id=DANGER, name="Danger", versions=(Version(id=910_081, name="1.0", files=(danger,)),)),
        Model(
            id=ARCHIVED,
            name="Archived",
            mode="Archived",
            versions=(Version(id=ARCHIVED_V1, name="1.0", files=(_file(920_091, "archived.safetensors"),)),),
        ),
    )


def _repositories(shelf: HuggingFace) -> None:
    shelf.add_repo(
        VAE_REPO,
        {
            "README.md": b"# A VAE\n",
            ".gitattributes": b"*.safetensors filter=lfs\n",
            "portrait_vae.safetensors": safetensors_bytes("portrait-vae", size=80_000),
        },
    )
    shelf.add_repo(
        TREE_REPO,
        {
            "README.md": b"# Many files\n",
            "model_index.json": b'{"_class_name": "Pipeline"}\n',
            "unet/config.json": b'{"layers": 2}\n',
            "unet/model.safetensors": safetensors_bytes("unet", size=50_000),
            "vae/config.json": b'{"layers": 1}\n',
            "vae/model.safetensors": safetensors_bytes("vae", size=30_000),
            "unet/model.gguf": gguf_bytes("unet"),
        },
    )
    shelf.add_repo(GATED_REPO, {"model.safetensors": safetensors_bytes("gated")}, gated="manual")


def _public() -> tuple[Model, ...]:
    """Return the models of the examples, with the ids, names, types and file names of the real sites.

    The file ids of the models 4384 and 58390 are invented: no recorded answer of the site has them.
    """
    storybook = _file(1_289_799, "pp-storybook_rank2_bf16.safetensors")
    return (
        Model(
            id=4384,
            name="DreamShaper",
            versions=(
                Version(
                    id=128_713,
                    name="8",
                    files=(_file(93_602, "dreamshaper_8.safetensors", size_class="pruned", fp="fp16"),),
                    published="2023-07-29T05:39:27.000Z",
                ),
            ),
        ),
        _counterfeit(),
        Model(
            id=58_390,
            name="Detail Tweaker LoRA (细节调整LoRA)",
            type="LORA",
            versions=(
                Version(id=62_833, name="v1.0", files=(_file(46_846, "add_detail.safetensors"),)),
                Version(id=62_834, name="weight slider", files=(_file(46_847, "add_detail_slider.safetensors"),)),
            ),
        ),
        Model(
            id=1_231_067,
            name="Vivid Impressions Storybook Style",
            type="LORA",
            versions=(
                Version(
                    id=1_387_174,
                    name="v1.0",
                    base_model="Flux.1 D",
                    files=(storybook,),
                    published="2025-02-08T11:29:04.487Z",
                    trained_words=("ppstorybook",),
                ),
            ),
        ),
    )


def _counterfeit() -> Model:
    """Return a model with several versions, several files and a pickle, as it is on the site."""
    old_counterfeit = File(
        id=5_077,
        name="counterfeitV30_20.ckpt",
        content=pickle_bytes("counterfeit 2.0"),
        format="PickleTensor",
        size="full",
        fp="fp16",
        primary=True,
    )
    counterfeit = (
        _file(41_074, "counterfeitV30_v30.safetensors", primary=False, size_class="pruned", fp="fp32", size=60_000),
        _file(41_079, "counterfeitV30_v30.safetensors", size_class="pruned", fp="fp16"),
    )
    return Model(
        id=4468,
        name="Counterfeit-V3.0",
        nsfw_level=7,
        versions=(
            Version(
                id=57_618,
                name="v3.0",
                files=counterfeit,
                published="2023-04-28T19:32:30.819Z",
                trained_words=("girl",),
            ),
            # The site has this order, which is neither that of the ids nor that of the dates.
            Version(id=5_057, name="2.0", files=(old_counterfeit,), published="2023-01-13T12:20:13.947Z"),
            Version(
                id=7_425,
                name="2.5",
                files=(_file(7_496, "counterfeitV30_25.safetensors", size_class="full", fp="fp16"),),
                published="2023-02-02T20:23:47.224Z",
            ),
        ),
    )


def _public_repositories(shelf: HuggingFace) -> None:
    """Add the repositories of the examples."""
    shelf.add_repo(
        "madebyollin/sdxl-vae-fp16-fix",
        {
            ".gitattributes": b"*.safetensors filter=lfs\n",
            "README.md": b"# SDXL-VAE-FP16-Fix\n",
            "config.json": b'{"_class_name": "AutoencoderKL"}\n',
            "diffusion_pytorch_model.safetensors": safetensors_bytes("sdxl-vae diffusers", size=60_000),
            "sdxl_vae.safetensors": safetensors_bytes("sdxl-vae", size=60_000),
        },
        license="mit",
    )
    _name_commit(shelf, "madebyollin/sdxl-vae-fp16-fix", SDXL_VAE_COMMIT)
    shelf.add_repo(
        "comfyanonymous/flux_text_encoders",
        {
            "README.md": b"# Flux text encoders\n",
            "clip_l.safetensors": safetensors_bytes("clip_l", size=20_000),
            "t5xxl_fp16.safetensors": safetensors_bytes("t5xxl", size=90_000),
            "t5xxl_fp8_e4m3fn.safetensors": safetensors_bytes("t5xxl8", size=45_000, dtype="F8_E4M3"),
        },
    )


def _name_commit(shelf: HuggingFace, name: str, commit: str) -> None:
    """Name the only commit of a repository as the real repository names it."""
    repo = shelf.repos[name]
    ((_, files),) = repo.commits.items()
    ((_, date),) = repo.dates.items()
    repo.commits, repo.dates, repo.refs = {commit: files}, {commit: date}, {"main": commit}
