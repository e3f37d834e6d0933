"""Pipelines as diffusers has them: a folder a component, shards and variants, one directory in each tree."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest
from world import Project

from synapse_sync.demo.weights import safetensors_bytes

REPO = "studio/diffusion-3"


def index(names: Iterable[str]) -> bytes:
    weights = {f"layer.{number}.weight": name for number, name in enumerate(names)}
    return json.dumps({"metadata": {"total_size": 1}, "weight_map": weights}).encode()


def shards(stem: str) -> list[str]:
    return [f"{stem}-{number:05}-of-00002.safetensors" for number in (1, 2)]


#: The names that Stable Diffusion 3 has; of the variants, the encoder's are in shards.
ENCODER = {
    "text_encoder_3/config.json": b'{"model_type": "t5"}',
    "text_encoder_3/model.safetensors.index.json": index(shards("model")),
    "text_encoder_3/model.safetensors.index.fp16.json": index(shards("model.fp16")),
    **{f"text_encoder_3/{name}": safetensors_bytes(name) for name in (*shards("model"), *shards("model.fp16"))},
}
TREE = {
    "model_index.json": b'{"_class_name": "StableDiffusion3Pipeline"}',
    "README.md": b"# A pipeline\n",
    "all_in_one.safetensors": safetensors_bytes("all in one"),
    "scheduler/scheduler_config.json": b"{}",
    "tokenizer/merges.txt": b"a b\n",
    "transformer/config.json": b'{"layers": 24}',
    "transformer/diffusion_pytorch_model.safetensors": safetensors_bytes("transformer"),
    "transformer/diffusion_pytorch_model.fp16.safetensors": safetensors_bytes("transformer fp16"),
    "vae/config.json": b'{"scale": 8}',
    "vae/diffusion_pytorch_model.safetensors": safetensors_bytes("vae"),
    **ENCODER,
}
INCLUDE = ["transformer/*", "vae/*", "text_encoder_3/", "scheduler/*", "tokenizer/*", "model_index.json"]


@pytest.fixture
def served(project: Project) -> Project:
    project.hub.huggingface.add_repo(REPO, TREE)
    return project


def declare(project: Project, more: str, *layouts: str) -> None:
    targets = "".join(f'[targets.{n}]\nlayout = "{n}"\nroot = "{n}"\n' for n in layouts or ("flat",))
    project.manifest(f'{targets}[models.sd3]\nsource = "hf://{REPO}"\n{more}\n')


def placed(project: Project, root: str = "flat/sd3") -> set[str]:
    project("sync")
    return set(project.tree(root=root))


def test_one_directory_in_each_layout_with_what_was_included_inside(served: Project) -> None:
    from synapse_sync.layouts import LAYOUTS

    layouts = [name for name, layout in LAYOUTS.items() if layout.folder("diffusers") is not None]
    declare(served, f"include = {json.dumps(INCLUDE)}", *layouts)
    served("sync")
    wanted = {
        path: content for path, content in TREE.items() if path not in ("README.md", "all_in_one.safetensors")
    }
    for name in layouts:
        folder = LAYOUTS[name].folder("diffusers") or ""
        root = "/".join(part for part in (name, folder, "sd3") if part)
        assert served.tree(root=root) == wanted, name
        assert len(served.tree(root=name)) == len(wanted), "and nothing beside it"
    assert {"comfyui", "flat"} <= set(layouts)


def test_a_layout_without_a_place_for_it_is_told(served: Project) -> None:
    declare(served, f"include = {json.dumps(INCLUDE)}", "fooocus", "comfyui")
    assert "no folder for type `diffusers`" in " ".join(served("lock").err.split())


def test_a_precision_takes_its_own_shards_and_their_index(served: Project) -> None:
    declare(served, f'include = {json.dumps(INCLUDE)}\nfile = {{ precision = "fp16" }}')
    assert {
        path for path in placed(served) if path.partition("/")[0] in ("transformer", "vae", "text_encoder_3")
    } == {
        "text_encoder_3/config.json",
        "text_encoder_3/model.safetensors.index.fp16.json",
        *(f"text_encoder_3/{name}" for name in shards("model.fp16")),
        "transformer/config.json",
        "transformer/diffusion_pytorch_model.fp16.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
    }


@pytest.mark.parametrize("stem", ["model.fp16-{}-of-00002.safetensors", "model-{}-of-00002.fp16.safetensors"])
def test_both_ways_to_name_the_shards_of_a_variant(project: Project, stem: str) -> None:
    names = [stem.format(f"{number:05}") for number in (1, 2)]
    files = {f"t/{name}": safetensors_bytes(name) for name in (*names, *shards("model"))}
    indexes = {
        "t/model.safetensors.index.json": index(shards("model")),
        "t/model.safetensors.index.fp16.json": index(names),
    }
    project.hub.huggingface.add_repo(REPO, {**files, **indexes})
    declare(project, 'file = { precision = "fp16" }\ntype = "diffusers"')
    assert placed(project) == {"t/model.safetensors.index.fp16.json", *(f"t/{name}" for name in names)}


def test_patterns_for_a_variant_and_for_all_json_bring_no_other_shards(served: Project) -> None:
    """The index of the other shards comes along, as it is a JSON file; they would be many gigabytes."""
    declare(served, 'include = ["*.fp16*", "*.json"]')
    weights = {path for path in placed(served) if path.endswith(".safetensors")}
    assert weights == {
        "transformer/diffusion_pytorch_model.fp16.safetensors",
        *(f"text_encoder_3/{name}" for name in shards("model.fp16")),
    }
    declare(served, 'include = ["*.json"]\ntype = "config"')
    assert not [path for path in placed(served) if path.endswith(".safetensors")]
    declare(served, 'include = ["text_encoder_3/model.safetensors.index.json"]\ntype = "text_encoder"')
    assert len(placed(served)) == 3, "named outright, it means its set"


def test_flattened_components_clash_and_that_is_told_at_lock(served: Project) -> None:
    declare(served, f"include = {json.dumps(INCLUDE)}\nflatten = true")
    said = served("lock", code=2).err
    assert "`text_encoder_3/config.json` and `transformer/config.json`" in " ".join(said.split())
    assert not (served.path / "synapse.lock").exists()
    declare(served, 'include = ["vae/*"]\nflatten = true')
    assert placed(served, "flat") == {"config.json", "diffusion_pytorch_model.safetensors"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('variant = "fp16"', 'file = { precision = "fp16" }'),
        ('file = { variant = "fp16" }', 'file = { precision = "fp16" }'),
        ('revision = "main"', "hf://owner/name@revision"),
        ('allow_patterns = ["*.json"]', "write `include`"),
        ('ignore_patterns = ["*.bin"]', "write `exclude`"),
    ],
)
def test_the_words_of_the_hubs_libraries_are_answered_with_ours(project: Project, line: str, words: str) -> None:
    declare(project, line)
    said = " ".join(project("lock", code=2).err.split())
    assert words in said and said.count("error:") == 1


def test_a_folder_needs_its_slash_and_that_is_said(served: Project) -> None:
    declare(served, 'include = ["vae"]')
    assert "`vae/` or `vae/*`" in " ".join(served("lock", code=4).err.split())
