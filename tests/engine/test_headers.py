"""At lock, headers say what files are where nothing else does: one small request, and never twice."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from typing import Any

import pytest
from model_headers import Tensors, beginning, prefixed
from world import Project

from synapse_sync.core.size_text import size_text
from synapse_sync.core.weights import agreement
from synapse_sync.demo import catalogue
from synapse_sync.demo.civitai.things import File, Model, Version
from synapse_sync.demo.exchange import Fault
from synapse_sync.engine import headers

UNET: Tensors = {
    "input_blocks.0.0.weight": ("F16", (320, 4, 3, 3)),
    "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": ("F16", (320, 768)),
    "middle_block.1.transformer_blocks.0.attn2.to_k.weight": ("F16", (1280, 768)),
}
FLUX: Tensors = {
    f"double_blocks.{block}.img_attn.{part}": ("F8_E4M3", shape)
    for block in range(2)
    for part, shape in (("norm.key_norm.scale", (128,)), ("norm.query_norm.scale", (128,)), ("proj.weight", (3, 3)))
} | {"img_in.weight": ("BF16", (3072, 64)), "guidance_in.in_layer.weight": ("BF16", (3072, 256))}
VAE: Tensors = {"vae.decoder.conv_in.weight": ("F16", (8, 16, 3, 3))}
LORA: Tensors = {
    f"lora_unet_input_blocks_4_1_transformer_blocks_{block}_attn2_to_k.{part}": ("F16", shape)
    for block in range(2)
    for part, shape in (("lora_down.weight", (4, 2048)), ("lora_up.weight", (640, 4)), ("alpha", ()))
}
WHOLE = prefixed("model.diffusion_model.", UNET) | {
    "first_stage_model.decoder.conv_in.weight": ("F16", (8, 4, 3, 3)),
    "cond_stage_model.transformer.text_model.final_layer_norm.weight": ("F16", (768,)),
}


def whole(tensors: Tensors, more: int = 0) -> bytes:
    """A whole file; `more` adds a tensor of that many bytes."""
    data, size = beginning({**tensors, "zz_more": ("U8", (more,))} if more else tensors)
    return data + bytes(size - len(data))


def civitai(project: Project, number: int, kind: str, data: bytes, base: str, **words: Any) -> str:
    file = replace(File(id=number * 10, name=f"m{number}.safetensors", content=data, primary=True), **words)
    version = Version(id=number, name="v1", files=(file,), base_model=base)
    project.hub.civitai.add(Model(id=number * 100, name=f"M{number}", type=kind, versions=(version,)))
    return f"civitai:{number * 100}"


def usual(patch: pytest.MonkeyPatch, kind: str, least: int, most: int = 1 << 62) -> None:
    """Have files of one type be usual from `least` to `most` bytes: real ones are larger than those of tests."""
    patch.setitem(headers.USUAL_SIZES, kind, (least, most))


def types(project: Project) -> dict[str, str]:
    return {model["name"]: model["type"] for model in project.locked()}


def test_a_plain_url_needs_no_type(project: Project) -> None:
    project.hub.files.put("x.safetensors", whole(LORA))
    project.manifest(f'[models]\nx = "{project.hub.files.url}/files/x.safetensors"\n')
    project("lock")
    assert types(project) == {"x": "lora"}
    assert len(project.hub.requests("files")) == 1, "what was downloaded to be hashed is not requested again"
    project("sync")
    assert list(project.tree()) == ["models/loras/x.safetensors"]


def test_one_ranged_request_says_what_a_file_of_a_repository_is(project: Project) -> None:
    project.hub.huggingface.add_repo("o/r", {"x.safetensors": whole(FLUX, 4 << 20)})
    project.manifest('[models]\nx = "hf://o/r/x.safetensors"\n')
    project("lock")
    assert types(project) == {"x": "diffusion_model"}
    first = [seen for seen in project.hub.requests() if "x.safetensors" in seen.path and seen.method == "GET"]
    assert len([seen for seen in first if seen.headers.get("range")]) >= 1
    text = project.lock_text
    (project.path / "synapse.lock").unlink()
    project.hub.clear_log()
    project("lock")
    assert project.lock_text == text
    assert [seen for seen in project.hub.requests() if "x.safetensors" in seen.path] == [], "cached by digest"


@pytest.mark.parametrize(
    ("tensors", "folder"),
    [(FLUX, "diffusion_models"), (prefixed("model.diffusion_model.", FLUX) | VAE, "checkpoints")],
)
def test_a_checkpoint_may_be_a_diffusion_model_alone(project: Project, tensors: Tensors, folder: str) -> None:
    source = civitai(project, 7001, "Checkpoint", whole(tensors), "Flux.1 D")
    project.manifest(f'[models]\nx = "{source}"\n')
    project("sync")
    assert list(project.tree()) == [f"models/{folder}/m7001.safetensors"]


def test_the_manifest_goes_before_the_header(project: Project) -> None:
    source = civitai(project, 7001, "Checkpoint", whole(FLUX), "Flux.1 D")
    project.manifest(f'[models]\nx = {{ source = "{source}", type = "checkpoint" }}\n')
    project("sync")
    assert list(project.tree()) == ["models/checkpoints/m7001.safetensors"]


def test_no_header_is_needed_where_words_settle_the_type(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    usual(monkeypatch, "checkpoint", 0)
    usual(monkeypatch, "lora", 0)
    one = civitai(project, 7001, "Checkpoint", whole(WHOLE), "SD 1.5")
    two = civitai(project, 7002, "LORA", whole(LORA), "SDXL 1.0")
    three = civitai(project, 7003, "Checkpoint", whole(FLUX), "Flux.1 D", type="Diffusion Model")
    project.manifest(f'[models]\none = "{one}"\ntwo = "{two}"\nthree = "{three}"\n')
    assert "the site says" not in project("lock").err
    assert not project.hub.requests("storage"), "each request counts against the downloads that the site allows"
    text = project.lock_text
    (project.path / "synapse.lock").unlink()
    project.hub.clear_log()
    project("sync")
    assert project.lock_text == text
    assert len(project.hub.requests("storage")) == 3, "a sync has the bytes"


def test_a_lora_that_is_a_checkpoint_is_a_warning_with_both_facts(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(agreement.LARGEST, "lora", 100_000)  # no LoRA is as large as the site says of this one
    source = civitai(project, 7001, "LORA", whole(WHOLE), "SD 1.5")
    project.manifest(f'[models]\nx = "{source}"\n')
    said = project("lock").err
    assert "the site says LoRA" in said and "is a checkpoint (SD1.x)" in said
    assert "type = 'checkpoint'" in said
    project.manifest(f"[models]\nx = {{ source = \"{source}\", type = 'checkpoint' }}\n")
    assert "warning" not in project("lock").err


@pytest.mark.parametrize("sizes", [(0, 1000), (3_000_000, 1 << 62)], ids=["too large", "too small"])
def test_a_lora_that_is_a_checkpoint_is_a_warning_of_lock_sync_and_verify(
    project: Project, monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, int]
) -> None:
    usual(monkeypatch, "lora", *sizes)
    source = civitai(project, 7001, "LORA", whole(WHOLE), "SD 1.5")
    project.manifest(f'[models]\nx = "{source}"\n')
    both = "the site says LoRA, but `m7001.safetensors` (7.9 kB) is a checkpoint (SD1.x)"
    both = both.replace("7.9 kB", size_text(len(whole(WHOLE))))
    assert both in " ".join(project("lock").err.split())
    assert types(project) == {"x": "lora"}, "the site's word is followed until the user decides"
    (project.path / "synapse.lock").unlink()
    shutil.rmtree(project.store)
    assert both in " ".join(project("sync").err.split())
    assert both in " ".join(project("verify").err.split())
    assert project("verify", "--json").json["warnings"]
    assert "warning" not in project("sync").err


def test_one_request_says_it_and_none_says_it_again(project: Project) -> None:
    """Smaller than any LoRA of rank 8, so its header is requested, once."""
    source = civitai(project, 7001, "LORA", whole(WHOLE), "SD 1.5")
    project.manifest(f'[models]\nx = "{source}"\n')
    assert "the site says LoRA, but" in " ".join(project("lock").err.split())
    assert [seen.headers["range"] for seen in project.hub.requests("storage")] == ["bytes=0-1048575"]
    (project.path / "synapse.lock").unlink()
    project.hub.clear_log()
    assert "the site says LoRA, but" in " ".join(project("lock").err.split())
    assert project.hub.requests("storage") == [], "remembered by digest"


def test_a_checkpoint_that_is_a_lora_is_a_warning_at_lock(project: Project) -> None:
    source = civitai(project, 7001, "Checkpoint", whole(LORA), "SDXL 1.0")
    project.manifest(f'[models]\nx = "{source}"\n')
    assert "the site says checkpoint, but" in " ".join(project("lock").err.split())


def test_many_files_are_not_asked_for_at_lock(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    usual(monkeypatch, "lora", 0, 100)
    lines = [
        f'm{n} = "{civitai(project, 7000 + n, "LORA", whole(LORA, n), "SDXL 1.0")}"\n'
        for n in range(headers._CHECKED + 1)
    ]
    project.manifest("[models]\n" + "".join(lines))
    project("lock")
    assert project.hub.requests("storage") == []


def test_a_server_that_does_not_answer_delays_no_lock(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headers, "PATIENCE", 0.2)
    usual(monkeypatch, "lora", 0, 1000)
    source = civitai(project, 7001, "LORA", whole(WHOLE), "SD 1.5")
    project.manifest(f'[models]\nx = "{source}"\n')
    project.hub.faults.add("/signed/", Fault(delay=60.0))
    began = time.monotonic()
    said = project("lock").err
    assert time.monotonic() - began < 30 and "the site says" not in said


def test_a_file_for_another_base_than_its_site_says(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    usual(monkeypatch, "lora", 0, 100)
    source = civitai(project, 7001, "LORA", whole(LORA), "SD 1.5")
    project.manifest(f'[models]\nx = "{source}"\n')
    said = " ".join(project("lock").err.split())
    assert "the site says that it is for SD 1.5" in said and "is for SDXL" in said


def test_a_header_fills_in_what_no_site_says(project: Project) -> None:
    project.hub.files.put("x.safetensors", whole(LORA))
    project.manifest(f'[models]\nx = "{project.hub.files.url}/files/x.safetensors"\n')
    project("lock")
    (model,) = project.locked()
    assert (model["type"], model["base-model"], model["artifact"][0]["precision"]) == ("lora", "SDXL 1.0", "fp16")
    text = project.lock_text
    project("lock")
    assert project.lock_text == text


@pytest.mark.parametrize("layout", ["flat", "forge"])
def test_no_header_is_needed_where_the_folder_is_the_same(project: Project, layout: str) -> None:
    checkpoint = civitai(project, 7001, "Checkpoint", whole(FLUX), "Flux.1 D")
    project.manifest(f'[targets.t]\nlayout = "{layout}"\nroot = "t"\n[models]\nx = "{checkpoint}"\n')
    project("sync")
    assert len(project.hub.requests("storage")) == 1, "the download"


def test_the_manifest_may_contradict_the_file_as_well(project: Project) -> None:
    project.hub.files.put("x.safetensors", whole(WHOLE))
    project.manifest(f'[models]\nx = {{ source = "{project.hub.files.url}/files/x.safetensors", type = "lora" }}\n')
    assert "synapse.toml says LoRA" in project("lock").err
    assert types(project) == {"x": "lora"}


def test_a_lora_without_a_checkpoint_for_it(project: Project) -> None:
    checkpoint = civitai(project, 7001, "Checkpoint", whole(WHOLE), "SD 1.5")
    lora = civitai(project, 7002, "LORA", whole(LORA), "SDXL 1.0")
    project.manifest(f'[models]\nbase = "{checkpoint}"\nstyle = "{lora}"\n')
    assert "`style` is for SDXL 1.0, but `base` is for SD 1.5" in project("lock").err
    assert "is for" not in project("lock").err
    unet = {name: (kind, (shape[0], 2048) if shape[-1] == 768 else shape) for name, (kind, shape) in WHOLE.items()}
    other = civitai(project, 7003, "Checkpoint", whole(unet), "Pony")
    project.manifest(f'[models]\nbase = "{checkpoint}"\nstyle = "{lora}"\npony = "{other}"\n')
    assert "is for" not in project("lock").err


def test_a_header_that_cannot_be_had_does_not_stop_a_lock(project: Project) -> None:
    source = civitai(project, 7001, "Checkpoint", whole(FLUX), "Flux.1 D")
    project.hub.faults.add("/api/download/", Fault(status=403))
    project.manifest(f'[models]\nx = "{source}"\n')
    project("lock")
    assert types(project) == {"x": "checkpoint"}


def test_a_file_that_says_nothing_still_needs_a_type(project: Project) -> None:
    project.hub.files.put("x.safetensors", whole({"w": ("F32", (3, 3))}))
    project.manifest(f'[models]\nx = "{project.hub.files.url}/files/x.safetensors"\n')
    assert "neither the site nor the file says" in project("sync", code=2).err


def test_the_demo_has_no_contradictions(project: Project) -> None:
    project.manifest(
        f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\ndetail = "civitai:{catalogue.DETAIL}"\n'
    )
    assert "is for" not in project("lock").err


def test_a_file_that_is_here_already_is_judged_whatever_its_size(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No request is needed for it."""
    usual(monkeypatch, "lora", 0)
    source = civitai(project, 7001, "LORA", whole(WHOLE), "SD 1.5")
    project.manifest(f'[models]\nx = "{source}"\n')
    assert "the site says" not in project("lock").err
    project("sync")
    (project.path / "synapse.lock").unlink()
    project.hub.clear_log()
    assert "the site says LoRA, but" in " ".join(project("lock").err.split())
    assert project.hub.requests("storage") == []
