"""Files of weights are told by their headers: kinds, families, all bases with the same header, variants."""

from __future__ import annotations

import model_headers as samples
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_headers import MODULES, Tensors, header, prefixed

from synapse_sync.core.weights.header import Header
from synapse_sync.core.weights.identify import ADAPTER_KINDS, identify

SDXL_DEPTHS = (0, 2, 10)

MODELS: dict[str, tuple[Tensors, str, str, set[str]]] = {
    "sd15": (samples.unet(768), "diffusion_model", "SD1.x", {"Stable Diffusion 1.5"}),
    "sd15-inpaint": (samples.unet(768, inputs=9), "diffusion_model", "SD1.x", {"Stable Diffusion 1.5 inpainting"}),
    "sd15-diffusers": (samples.diffusers_unet(768), "diffusion_model", "SD1.x", {"Stable Diffusion 1.5"}),
    "sd21": (samples.unet(1024), "diffusion_model", "SD2.x", {"Stable Diffusion 2.1"}),
    "sd2-depth": (samples.unet(1024, inputs=5), "diffusion_model", "SD2.x", {"Stable Diffusion 2 depth"}),
    "sdxl": (samples.unet(2048, SDXL_DEPTHS, extra=2816), "diffusion_model", "SDXL", {"SDXL 1.0 base"}),
    "sdxl-refiner": (samples.unet(1280, (0, 4, 4, 0), extra=2560, width=384), "diffusion_model", "SDXL",
    {"SDXL 1.0 refiner"}),
    "ssd-1b": (samples.unet(2048, (0, 2, 4), extra=2816), "diffusion_model", "SDXL", {"SSD-1B"}),
    "kolors": (samples.unet(2048, SDXL_DEPTHS, extra=5632), "diffusion_model", "Kolors", {"Kolors"}),
    "flux": (samples.flux(), "diffusion_model", "Flux.1", {"Flux.1 dev", "Flux.1 Kontext dev", "Flux.1 Krea dev"}),
    "flux-schnell": (samples.flux(guided=False), "diffusion_model", "Flux.1", {"Flux.1 schnell"}),
    "flux-fill": (samples.flux(inputs=384), "diffusion_model", "Flux.1", {"Flux.1 Fill dev"}),
    "flux-control": (samples.flux(inputs=128), "diffusion_model", "Flux.1", {"Flux.1 Canny dev",
    "Flux.1 Depth dev"}),
    "wan-t2v": (samples.wan(5120, 16), "diffusion_model", "Wan2.1/2.2", {"Wan2.1 T2V 14B",
    "Wan2.2 T2V A14B low noise"}),
    "wan21-i2v": (samples.wan(5120, 36, image=True), "diffusion_model", "Wan2.1", {"Wan2.1 I2V 14B 720P"}),
    "wan22-i2v": (samples.wan(5120, 36), "diffusion_model", "Wan2.2", {"Wan2.2 I2V A14B high noise"}),
    "wan22-5b": (samples.wan(3072, 48, 48, blocks=30), "diffusion_model", "Wan2.2", {"Wan2.2 TI2V 5B"}),
    "vae": (samples.autoencoder(4), "vae", "kl-f8", {"SD1.x", "SD2.x", "SDXL"}),
    "vae-flux": (samples.autoencoder(16, quantised=False), "vae", "kl-f8-16ch", {"Flux.1", "SD3"}),
    "clip-l": (samples.clip_text(768, 12), "text_encoder", "CLIP-L", {"SD1.x", "Flux.1"}),
    "clip-h": (samples.clip_text(1024, 23), "text_encoder", "OpenCLIP-H text", {"SD2.x"}),
    "clip-g": (samples.clip_text(1280, 32), "text_encoder", "OpenCLIP-bigG text", {"SDXL"}),
    "t5xxl": (samples.t5(4096, 32128), "text_encoder", "T5-XXL v1.1", {"Flux.1", "SD3"}),
    "umt5xxl": (samples.t5(4096, 256384, everywhere=True), "text_encoder", "UMT5-XXL", {"Wan"}),
    "t5-base": (samples.t5(768, 32128, 12, gated=False), "text_encoder", "T5-base v1.0", {"Stable Audio"}),
    "llama": (samples.llama(4096, 32, 128256), "text_encoder", "Llama-3.1-8B", {"HiDream"}),
    "llava": (samples.llama(4096, 32, 128320), "text_encoder", "LLaVA-Llama-3-8B (text part)", {"HunyuanVideo"}),
    "vit-h": (samples.vision(1280, 32), "clip_vision", "CLIP vision", {"CLIP ViT-H/14"}),
    "vit-l-336": (samples.vision(1024, 24, 577), "clip_vision", "CLIP vision", {"CLIP ViT-L/14 336"}),
}  # fmt: skip
DIFFUSION = [name for name, row in MODELS.items() if row[1] == "diffusion_model"]


def families(name: str) -> set[str]:
    return {"Wan2.1", "Wan2.2"} if name == "Wan2.1/2.2" else {name}


@pytest.mark.parametrize("name", MODELS)
def test_models(name: str) -> None:
    tensors, kind, family, bases = MODELS[name]
    found = identify(header(tensors))
    assert (found.kind, found.family) == (kind, family)
    assert bases <= set(found.bases)
    assert found.type == kind
    assert found.evidence


@pytest.mark.parametrize("name", DIFFUSION)
@pytest.mark.parametrize("prefix", ["model.diffusion_model.", "model.model.", "net.", "module.", "transformer."])
def test_wrapped_names_are_the_same_model(name: str, prefix: str) -> None:
    tensors, _, family, bases = MODELS[name]
    found = identify(header(prefixed(prefix, tensors)))
    assert (found.kind, found.family) == ("diffusion_model", family)
    assert bases <= set(found.bases)


@pytest.mark.parametrize("name", DIFFUSION)
def test_a_model_with_its_autoencoder_is_a_checkpoint(name: str) -> None:
    tensors, _, family, bases = MODELS[name]
    vae = samples.autoencoder(4)
    for parts in (
        prefixed("model.diffusion_model.", tensors) | prefixed("first_stage_model.", vae),
        prefixed("model.diffusion_model.", tensors)
        | prefixed("text_encoders.clip_l.transformer.", samples.clip_text(768, 12)),
    ):
        found = identify(header(parts))
        assert (found.kind, found.family) == ("checkpoint", family)
        assert bases <= set(found.bases)
        assert found.parts[0] == "diffusion_model"


@pytest.mark.parametrize("name", DIFFUSION)
def test_parts_of_a_sharded_file_are_of_its_family_or_unknown(name: str) -> None:
    tensors, _, family, _ = MODELS[name]
    names = sorted(tensors)
    told = 0
    for first in range(0, len(names), len(names) // 3 + 1):
        part = {one: tensors[one] for one in names[first : first + len(names) // 3 + 1]}
        found = identify(header(part))
        assert found.family is None or families(family) & families(found.family)
        told += found.family is not None
    assert told >= 1


def test_parts_of_a_checkpoint_alone_are_what_they_are() -> None:
    assert identify(header(prefixed("first_stage_model.", samples.autoencoder(4)))).kind == "vae"
    assert identify(header(prefixed("vae.", samples.autoencoder(16, quantised=False)))).bases == ("Flux.1", "SD3")
    clip = prefixed("text_encoders.clip_l.transformer.", samples.clip_text(768, 12))
    assert identify(header(clip)).family == "CLIP-L"


@pytest.mark.parametrize("family", MODULES)
@pytest.mark.parametrize(
    ("form", "kind"),
    [
        ("kohya", "lora"), ("peft", "lora"), ("peft-unet", "lora"), ("generic", "lora"), ("loha", "loha"),
        ("lokr", "lokr"),
        ("dora", "dora"),
    ],
)  # fmt: skip
def test_adapters_in_all_forms(family: str, form: str, kind: str) -> None:
    modules = MODULES[family]
    tensors = {
        "kohya": samples.kohya(modules),
        "peft": samples.peft(modules),
        "peft-unet": samples.peft(modules, "base_model.model."),
        "generic": samples.peft(modules, "diffusion_model."),
        "loha": samples.loha(modules),
        "lokr": samples.lokr(modules),
        "dora": samples.kohya(modules)
        | {
            f"lora_unet_{name.replace('.', '_')}.dora_scale": ("F16", (out, 1))
            for name, (out, _) in modules.items()
        },
    }[form]
    found = identify(header(tensors))
    assert found.kind == kind
    assert found.family == family
    assert found.type == "lora"


def test_a_lora_without_modulation_may_be_for_flux_or_chroma() -> None:
    modules = {name: size for name, size in MODULES["Flux.1"].items() if "norm" not in name}
    found = identify(header(samples.peft(modules)))
    assert found.family == "Flux.1"
    assert {"Flux.1 dev", "Chroma1"} <= set(found.bases)


def test_metadata_chooses_among_what_the_tensors_allow() -> None:
    wan = samples.kohya(MODULES["Wan2.1/2.2"])
    assert identify(header(wan, {"ss_base_model_version": "wan2.1"})).family == "Wan2.1"
    found = identify(header(samples.kohya(MODULES["SD1.x"]), {"ss_base_model_version": "sdxl_base_v1-0"}))
    assert found.family == "SD1.x"
    assert "contradict" in found.evidence[-1]
    alone = {
        "lora_unet_something.lora_down.weight": ("F16", (4, 9)),
        "lora_unet_something.lora_up.weight": ("F16", (9, 4)),
    }
    assert identify(header(alone)).family is None
    assert identify(header(alone, {"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"})).family == "SDXL"


@pytest.mark.parametrize(
    ("names", "kind", "family", "base"),
    [
        ({"double_blocks.0.processor.qkv_lora1.down.weight": ("F16", (16, 3072)),
          "double_blocks.0.processor.qkv_lora1.up.weight": ("F16", (9216, 16))}, "lora", "Flux.1", "Flux.1 dev"),
        ({"img_in.lora_A.weight": ("F16", (16, 128)), "img_in.lora_B.weight": ("F16", (3072, 16))},
         "lora", "Flux.1", "Flux.1 Canny dev"),
        ({"lora_unet_blocks_0_cross_attn_output_proj.lora_down.weight": ("F16", (8, 2048))},
         "lora", "Cosmos-Predict2", "Anima"),
        ({"lllite_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.down.0.weight": ("F16", (16, 640))},
         "controlnet", "SDXL", "SDXL ControlNet-LLLite"),
        ({"768.0.linear.0.weight": ("F32", (1536, 768)), "320.0.linear.0.weight": ("F32", (640, 320))},
         "hypernetwork", "SD1.x", "Stable Diffusion 1.5"),
        ({"redux_down.weight": ("BF16", (4096, 12288)), "redux_up.weight": ("BF16", (12288, 1152))},
         "style_model", "Flux.1", "Flux.1 Redux dev"),
        ({"conv_first.weight": ("F32", (64, 3, 3, 3)), "body.0.rdb1.conv1.weight": ("F32", (32, 64, 3, 3)),
          "conv_last.weight": ("F32", (3, 64, 3, 3))}, "upscaler", "upscaler", "ESRGAN"),
    ],
)  # fmt: skip
def test_single_forms(names: Tensors, kind: str, family: str, base: str) -> None:
    found = identify(header(names))
    assert (found.kind, found.family) == (kind, family)
    assert base in found.bases


def test_packed_u_nets_are_known_by_their_blocks() -> None:
    for tensors, family in ((samples.unet(2048, SDXL_DEPTHS, extra=2816), "SDXL"), (samples.unet(768), "SD1.x")):
        packed: Tensors = {name: ("U8", (shape[0] * 9, 1)) if len(shape) == 2 else (dtype, shape)
                           for name, (dtype, shape) in tensors.items()}  # fmt: skip
        packed["input_blocks.1.1.proj_in.weight"] = ("F16", (320, 320, 1, 1))
        assert identify(header(packed)).family == family


@pytest.mark.parametrize("inputs", [5, 6, 12, 7])
@pytest.mark.parametrize(("text", "depths", "extra", "family"), [
    (768, (1, 1, 1, 0), None, "SD1.x"), (1024, (1, 1, 1, 0), None, "SD2.x"), (2048, SDXL_DEPTHS, 2816, "SDXL"),
])  # fmt: skip
def test_a_u_net_with_other_inputs_is_not_the_plain_model(
    inputs: int, text: int, depths: tuple[int, ...], extra: int | None, family: str
) -> None:
    """Its images come in by other channels: the plain model cannot be what it is."""
    found = identify(header(samples.unet(text, depths, inputs=inputs, extra=extra)))
    plain = identify(header(samples.unet(text, depths, extra=extra)))
    assert (found.kind, found.family) == ("diffusion_model", family)
    assert plain.bases and not {*found.bases} & {*plain.bases}


def test_relighting_models_are_in_the_set_of_their_inputs() -> None:
    assert "IC-Light fc" in identify(header(samples.unet(768, inputs=8))).bases
    assert identify(header(samples.unet(768, inputs=12))).bases == ("IC-Light fbc",)


def test_a_u_net_that_attends_to_an_unknown_text_is_of_no_family() -> None:
    found = identify(header(samples.unet(4096, SDXL_DEPTHS, extra=2816)))
    assert (found.kind, found.family, found.bases) == ("diffusion_model", None, ())


@pytest.mark.parametrize("inputs", [64, 128, 384])
def test_a_whole_flux_with_fewer_blocks_is_none_of_the_known_ones(inputs: int) -> None:
    whole = samples.flux(inputs=inputs)
    pruned = {name: tensor for name, tensor in whole.items() if not name.startswith("double_blocks.1")}
    assert identify(header(whole)).bases
    found = identify(header(pruned))
    assert (found.kind, found.family, found.bases) == ("diffusion_model", "Flux.1", ())


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
@pytest.mark.parametrize("parts", [{}, samples.prefixed("first_stage_model.", samples.autoencoder(4))])
def test_a_file_with_two_models_is_neither(prefix: str, parts: Tensors) -> None:
    both = samples.prefixed(prefix, samples.flux()) | samples.prefixed(
        "model.diffusion_model.", samples.unet(2048, SDXL_DEPTHS, extra=2816)
    )
    found = identify(header(both | parts))
    assert (found.family, found.bases) == (None, ())
    assert found.kind == ("checkpoint" if parts else "diffusion_model")


@pytest.mark.parametrize("prefix", ["", "first_stage_model.", "vae."])
@pytest.mark.parametrize("half", ["decoder", "encoder"])
def test_half_an_autoencoder_says_so(prefix: str, half: str) -> None:
    whole = samples.autoencoder(4)
    part = {name: tensor for name, tensor in whole.items() if name.split(".")[0] in (half, "post_quant_conv")}
    found = identify(header(samples.prefixed(prefix, part)))
    assert (found.kind, found.variants) == ("vae", (f"{half} only",))
    assert identify(header(samples.prefixed(prefix, whole))).variants == ()


def test_encoders_under_the_names_of_other_versions() -> None:
    clip = {name.removeprefix("text_model."): tensor for name, tensor in samples.clip_text(768, 12).items()}
    assert identify(header(clip)).family == "CLIP-L"
    eyes = {name.removeprefix("vision_model."): tensor for name, tensor in samples.vision(1280, 32).items()}
    eyes["embeddings.patch_embedding.weight"] = ("F16", (1280, 3, 14, 14))
    assert identify(header(eyes)).bases == ("CLIP ViT-H/14",)
    words = samples.llama(4096, 32, 128256)
    for new in ("", "model.language_model.", "language_model.model."):
        renamed = {new + name.removeprefix("model."): tensor for name, tensor in words.items()}
        assert identify(header(renamed)).family == "Llama-3.1-8B"


@pytest.mark.parametrize(
    ("tensors", "family"),
    [
        ({"emb_params": ("F32", (8, 768))}, "SD1.x"),
        ({"*": ("F32", (1, 1024))}, "SD2.x"),
        ({"clip_l": ("F32", (4, 768)), "clip_g": ("F32", (4, 1280))}, "SDXL"),
        ({"clip_l": ("F32", (4, 768)), "clip_g": ("F32", (4, 1280)), "t5xxl": ("F32", (4, 4096))}, "SD3"),
        ({"<cat-toy>": ("F32", (768,))}, "SD1.x"),
    ],
)
def test_embeddings(tensors: Tensors, family: str) -> None:
    found = identify(header(tensors))
    assert (found.kind, found.family) == ("embedding", family)


def test_control_models_are_none_of_those_they_extend() -> None:
    blocks = {name: tensor for name, tensor in samples.unet(768).items() if not name.startswith("output")}
    nets = blocks | samples.conv("zero_convs.0.0", 320, 320, 1) | samples.conv("input_hint_block.0", 16, 3)
    for tensors in (nets, prefixed("control_model.", nets)):
        found = identify(header(tensors))
        assert (found.kind, found.family) == ("controlnet", "SD1.x")
    lora = {
        "lora_controlnet": ("F16", ()),
        "input_blocks.4.1.transformer_blocks.0.attn2.to_k.down": ("F16", (128, 2048)),
    }
    found = identify(header(lora))
    assert (found.kind, found.family) == ("controlnet", "SDXL")


def test_image_prompts_and_motion() -> None:
    adapter = {"ip_adapter.1.to_k_ip.weight": ("F16", (320, 768)), "image_proj.proj.weight": ("F16", (3072, 1024))}
    assert identify(header(adapter)).kind == "ip_adapter"
    motion = {"down_blocks.0.motion_modules.0.temporal_transformer.norm.weight": ("F16", (320,))}
    assert identify(header(motion)).kind == "motion_module"


@pytest.mark.parametrize(
    "tensors",
    [
        {},
        {"weight": ("F32", (10, 10))},
        {
            "encoder.layer.0.attention.self.query.weight": ("F32", (768, 768)),
            "pooler.dense.weight": ("F32", (768, 768)),
        },
        {f"h.{block}.attn.c_attn.weight": ("F32", (768, 2304)) for block in range(12)},
        samples.llama(2048, 16, 128256),
        samples.clip_text(512, 12),
        samples.t5(512, 32128, 6),
        samples.vision(384, 12),
        samples.wan(640, 16, blocks=4) | {},
        {"model.0.weight": ("F32", (64, 3, 3, 3)), "model.1.weight": ("F32", (64,))},
    ],
    ids=["nothing", "one", "bert", "gpt2", "small-llama", "clip-b", "t5-small", "small-vit", "odd-wan", "net"],
)
def test_unknown_stays_unknown(tensors: Tensors) -> None:
    found = identify(header(tensors))
    assert not found.bases or found.family == "Wan2.1/2.2"
    assert found.kind is None or found.family == "Wan2.1/2.2"


def _blocks(before: str, *names: tuple[str, tuple[int, ...]], count: int = 3) -> Tensors:
    return {f"{before}.{number}.{name}": ("BF16", shape) for number in range(count) for name, shape in names}


_QWEN3 = samples.llama(1024, 28, 151936) | _blocks("model.layers", ("self_attn.q_norm.weight", (128,)), count=28)
_KIN: dict[str, tuple[Tensors, str | None]] = {
    "joy-image": (_blocks("double_blocks", ("attn.img_attn_qkv.weight", (9216, 3072)),
                          ("img_mod.modulate_table", (1, 6, 3072)), count=20), "JoyImage"),
    "motif-video": ({"x_embedder.proj.weight": ("BF16", (3072, 33, 1, 2, 2)),
                     "context_embedder.linear_1.weight": ("BF16", (3072, 4096))}
                    | _blocks("single_transformer_blocks", ("proj_mlp.weight", (12288, 3072)), count=40),
                    "Motif-Video"),
    "nucleus": (_blocks("transformer_blocks", ("img_mod.1.weight", (8192, 2048)),
                        ("encoder_proj.weight", (2048, 3584))) | {"txt_norm.weight": ("BF16", (3584,))},
                "Nucleus-Image"),
    "helios": ({"patch_short.weight": ("BF16", (5120, 16, 1, 2, 2)),
                "patch_mid.weight": ("BF16", (5120, 16, 2, 4, 4)),
                "patch_embedding.weight": ("BF16", (5120, 16, 1, 2, 2))}
               | _blocks("blocks", ("attn1.to_q.weight", (5120, 5120)), ("scale_shift_table", (1, 6, 5120))),
               "Helios"),
    "ltx-2": (_blocks("transformer_blocks", ("attn1.to_q.weight", (4096, 4096)), ("attn1.norm_q.weight", (4096,)),
                      ("audio_attn1.to_q.weight", (2048, 2048)), ("scale_shift_table", (6, 4096))), "LTXV"),
    "a wider wan": (_blocks("blocks", ("attn1.to_q.weight", (2048, 2048)), ("attn2.norm_k.weight", (2048,)),
                            ("scale_shift_table", (1, 6, 2048)), ("ffn.net.0.proj.weight", (8192, 2048))), None),
    "qwen3": (_QWEN3, "Qwen3-0.6B"),
    "a language model that hears": (
        {name.replace("model.", "model.language_model.", 1): tensor for name, tensor in _QWEN3.items()}
        | _blocks("model.audio_tower.layers", ("fc1.weight", (4096, 1024)), count=24), None),
    "a model with a text encoder": (
        prefixed("text_encoder.", samples.clip_text(1024, 23))
        | _blocks("vision_encoder.layers", *((f"{part}.weight", (1024, 1024)) for part in "abcd"), count=32), None),
    "a codec": (_blocks("encoder.block", ("res_unit1.snake1.alpha", (1, 64, 1)), ("conv1.weight", (128, 64, 4)))
                | _blocks("decoder.block", ("res_unit1.snake1.alpha", (1, 64, 1))), None),
    "an unusual u-net": (samples.diffusers_unet(1280), None),
    "a u-net of films": (
        samples.diffusers_unet(1024) | _blocks("down_blocks", ("temp_convs.0.conv1.0.weight", (320,))),
        "ModelScope T2V"),
    "latte": (_blocks("temporal_transformer_blocks", ("attn1.to_q.weight", (1152, 1152)))
              | _blocks("transformer_blocks", ("attn1.to_q.weight", (1152, 1152)), ("attn1.norm_q.weight", (72,)))
              | {"adaln_single.linear.weight": ("BF16", (6912, 1152)),
                 "pos_embed.proj.weight": ("BF16", (1152, 4, 2, 2)),
                 "caption_projection.linear_1.weight": ("BF16", (1152, 4096))}, "Latte"),
    "predict2": (_blocks("transformer_blocks", ("attn1.to_q.weight", (5120, 5120)),
                         ("norm1.linear_1.weight", (256, 5120)), ("norm3.linear_2.weight", (15360, 256)),
                         ("attn1.norm_q.weight", (128,)), ("attn2.norm_k.weight", (128,)))
                 | {"patch_embed.proj.weight": ("BF16", (5120, 68))}, "Cosmos-Predict2"),
    "an autoencoder with a mask": (
        samples.autoencoder(4) | samples.conv("decoder.condition_encoder.layers.0", 192, 3), "kl-f8-asymmetric"),
    "a quantised autoencoder": (
        samples.autoencoder(4) | {"quantize.embedding.weight": ("F32", (8192, 4))}, "vq"),
    "a film autoencoder": (
        {"encoder.temp_conv_in.weight": ("F16", (128, 128, 3, 1, 1))} | samples.autoencoder(4), "allegro-vae"),
}  # fmt: skip


@pytest.mark.parametrize("name", _KIN)
def test_kin_that_share_most_names_are_not_mistaken(name: str) -> None:
    tensors, family = _KIN[name]
    assert identify(header(tensors)).family == family


@pytest.mark.parametrize("name", MODELS)
def test_the_same_numbers_under_other_names_are_unknown(name: str) -> None:
    tensors = {".".join(f"x{part}" if part.isalpha() else part for part in key.split(".")): tensor
               for key, tensor in MODELS[name][0].items()}  # fmt: skip
    found = identify(header(tensors))
    assert (found.kind, found.family) == (None, None)


_unrelated = st.lists(
    st.sampled_from(["layers", "features", "0", "1", "7", "conv1", "fc", "bn", "stem", "stage", "query", "key",
                     "value", "dense", "gru", "cell", "head", "norm", "running_mean", "weight", "bias", "embed"]),
    min_size=1, max_size=5,
).map(".".join)  # fmt: skip


_any_sizes = st.lists(st.integers(1, 700), min_size=1, max_size=4).map(tuple)


@given(st.dictionaries(_unrelated, st.tuples(st.just("F32"), _any_sizes), min_size=5, max_size=40))
def test_unrelated_names_are_unknown(tensors: Tensors) -> None:
    found = identify(header(tensors))
    assert (found.kind, found.family, found.bases) == (None, None, ())


@pytest.mark.parametrize("family", MODULES)
@pytest.mark.parametrize("scale", [3, 7])
def test_an_adapter_for_a_model_of_other_sizes_is_of_no_family_that_sizes_tell(family: str, scale: int) -> None:
    modules = {name: (out * scale // 2 + 1, into * scale // 2 + 1) for name, (out, into) in MODULES[family].items()}
    found = identify(header(samples.peft(modules)))
    assert found.kind == "lora"
    assert found.family in (None, family)


def test_gguf_by_its_tensors_and_by_its_architecture() -> None:
    found = identify(header(samples.flux("Q4_K"), {"general.architecture": "flux"}, "gguf"))
    assert (found.kind, found.family, found.precision) == ("diffusion_model", "Flux.1", "gguf Q4_K")
    found = identify(header({}, {"general.architecture": "qwen_image"}, "gguf"))
    assert (found.kind, found.family) == ("diffusion_model", "Qwen-Image")
    assert identify(header({}, {"general.architecture": "mamba"}, "gguf")).kind is None


def test_original_shapes_of_convolutions_in_gguf() -> None:
    tensors = samples.unet(768, inputs=9)
    name = "input_blocks.0.0.weight"
    flat = {**tensors, name: ("F16", (320, 81))}
    found = identify(header(flat, {f"comfy.gguf.orig_shape.{name}": "[320, 9, 3, 3]"}, "gguf"))
    assert found.variants == ("inpainting",)


def test_packed_sizes_are_not_believed() -> None:
    tensors = {name: ("U8", (shape[0] * 32, 1)) if len(shape) == 2 else (dtype, shape)
               for name, (dtype, shape) in samples.flux().items()}  # fmt: skip
    marks: Tensors = {
        "img_in.weight.quant_state.bitsandbytes__nf4": ("U8", (70,)),
        "img_in.weight.absmax": ("F32", (3,)),
    }
    found = identify(header(tensors | marks))
    assert (found.family, found.precision) == ("Flux.1", "nf4")
    assert {"Flux.1 dev", "Flux.1 Fill dev"} <= set(found.bases)


_names = st.lists(
    st.sampled_from(["model", "diffusion_model", "double_blocks", "0", "19", "img_attn", "qkv", "weight", "lora_A",
                     "lora_unet_blocks_0", "alpha", "encoder", "conv_in", "decoder", "", "²", "blocks", "block0"]),
    max_size=6,
).map(".".join)  # fmt: skip
_tensors = st.tuples(
    st.sampled_from(["F16", "U8", "Q4_K", "?"]), st.lists(st.integers(0, 9000), max_size=5).map(tuple)
)


@given(st.dictionaries(_names, _tensors, max_size=12), st.dictionaries(st.text(max_size=9), st.text(max_size=9)))
def test_any_header_has_an_answer(tensors: Tensors, metadata: dict[str, str]) -> None:
    for format in ("safetensors", "gguf"):
        found = identify(Header(format, tensors, metadata))
        assert found.type is None or found.type not in ADAPTER_KINDS or found.type == "lora"


def test_files_with_the_same_tensors_differ_by_their_metadata_alone() -> None:
    tensors = samples.flux()
    first = identify(Header("safetensors", tensors, {"ss_output_name": "one", "modelspec.title": "A"}))
    again = identify(Header("safetensors", dict(tensors), {"ss_output_name": "two"}))
    assert (first.kind, first.bases, first.precision) == (again.kind, again.bases, again.precision)
    assert dict(first.training) == {"modelspec.title": "A", "ss_output_name": "one"}
    assert dict(again.training) == {"ss_output_name": "two"}
    assert identify(Header("safetensors", tensors)).training == ()


def test_what_the_metadata_decides_is_never_that_of_another_file() -> None:
    tensors = {"unknown": ("F16", (1, 1))}
    found = [
        identify(Header("gguf", tensors, {"general.architecture": name, "general.file_type": number}))
        for name, number in (("flux", "1"), ("sdxl", "1"), ("sdxl", "14"), ("nobody", "14"))
    ]
    assert [each.family for each in found] == ["Flux.1", "SDXL", "SDXL", None]
    assert [each.precision for each in found] == ["gguf F16", "gguf F16", "gguf Q4_K_S", "gguf Q4_K_S"]
    shape = {"comfy.gguf.orig_shape.emb": "[1, 768]"}
    assert identify(Header("gguf", {"emb": ("F16", (7,))}, shape)).kind == "embedding"
    assert identify(Header("gguf", {"emb": ("F16", (7,))})).kind is None


def test_a_claim_counts_where_the_tensors_are_the_same() -> None:
    wan = samples.kohya(MODULES["Wan2.1/2.2"])
    words = ("wan2.1", "wan2.2", "", "wan2.1")
    found = [identify(Header("safetensors", wan, {"ss_base_model_version": word})).family for word in words]
    assert found == ["Wan2.1", "Wan2.2", "Wan2.1/2.2", "Wan2.1"]
