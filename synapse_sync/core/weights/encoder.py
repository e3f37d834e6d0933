"""Encoders of text and of images: CLIP, T5 and its kin, language models used as encoders, CLIP vision."""

from __future__ import annotations

from synapse_sync.core.weights.rule import rows

_COMFY = "ComfyUI comfy/sd.py (detect_te_model) and comfy/text_encoders"
_VISION = "ComfyUI comfy/clip_vision.py"
_GGUF = "ComfyUI-GGUF loader.py"
_OPENCLIP = "ComfyUI comfy/utils.py (clip_text_transformers_convert)"

#: The vocabulary of CLIP, perhaps with more words; SigLIP has another one.
_CLIP = "text_model.encoder.layers.#.mlp.fc1 text_model.embeddings.token_embedding.weight[0]>=49408"
_CLIP_WIDTH = "text_model.encoder.layers.#.layer_norm1.weight[0]"
_OPEN = "transformer.resblocks.#.attn token_embedding|positional_embedding|ln_final"
_OPEN_WIDTH = "transformer.resblocks.#.ln_1.weight[0]"
_T5 = "encoder.block.#.layer.0.SelfAttention"
_T5_WIDTH = "encoder.block.#.layer.0.layer_norm.weight[0]"
_WORDS = "shared.weight[0]|encoder.embed_tokens.weight[0]"
_GATED = "encoder.block.#.layer.1.DenseReluDense.wi_1"
#: T5 has the table of relative positions in its first block only, UMT5 in each.
_EACH = "|".join(
    f"encoder.block.{number}.layer.0.SelfAttention.relative_attention_bias.weight" for number in (3, 10)
)
#: A language model, without what makes it a part of another model, or a kin of its own.
_LLM = (
    "model.layers.#.self_attn.q_proj !model.audio_tower !audio_tower !protein_encoder "
    "!model.layers.#.linear_attn !model.layers.#.mlp.experts"
)
_WIDTH = "model.layers.#.input_layernorm.weight[0]"
_NORMED = "model.layers.#.self_attn.q_norm"
_QWEN3 = "model.embed_tokens.weight[0]"
_GEMMA = "model.layers.#.post_feedforward_layernorm"
_K_BIAS = "model.layers.#.self_attn.k_proj.bias"
_BLK = "blk.#.attn_q"
_BLK_WIDTH = "blk.#.attn_norm.weight[0]"
_T5XXL = "SD3 | Flux.1 | PixArt | LTXV | Mochi | HiDream | Chroma | CogVideoX"

TEXT_ENCODERS = rows(
    _COMFY,
    ("CLIP-L", "SD1.x | SDXL | SD3 | Flux.1 | HunyuanVideo | HiDream",
     f"{_CLIP} {_CLIP_WIDTH}=768 n(text_model.encoder.layers)=12"),
    ("OpenCLIP-H text", "SD2.x", f"{_CLIP} {_CLIP_WIDTH}=1024 n(text_model.encoder.layers)>=20"),
    ("OpenCLIP-bigG text", "SDXL | SD3 | Stable Cascade | HiDream",
     f"{_CLIP} {_CLIP_WIDTH}=1280 n(text_model.encoder.layers)>=25"),
    ("ByT5-small glyph", "HunyuanImage-2.1 | HunyuanVideo 1.5", f"{_T5} {_T5_WIDTH}=1472"),
    ("UMT5-XXL", "Wan", f"{_T5} {_T5_WIDTH}=4096 {_WORDS}=256384"),
    ("UMT5-XXL", "Wan", f"{_T5} {_T5_WIDTH}=4096 {_EACH}"),
    ("T5-XXL v1.1", _T5XXL, f"{_T5} {_T5_WIDTH}=4096 {_GATED}"),
    ("T5-XXL v1.1", _T5XXL, f"{_T5} {_T5_WIDTH}=4096 {_WORDS}=32128 {_GATED}"),
    ("T5-11B v1.0", "Cosmos",
     f"{_T5} encoder.block.#.layer.1.DenseReluDense.wi {_T5_WIDTH}=1024 n(encoder.block)=24 "
     "encoder.block.#.layer.0.SelfAttention.q.weight[0]=16384"),
    ("mT5-XL", "HunyuanDiT", f"{_T5} {_T5_WIDTH}=2048 {_WORDS}=250112"),
    ("Pile-T5-XL", "AuraFlow", f"{_T5} {_T5_WIDTH}=2048 {_EACH}"),
    ("T5-XL v1.1", "", f"{_T5} {_T5_WIDTH}=2048 {_WORDS}=32128 {_GATED}"),
    ("UMT5-base", "ACE-Step", f"{_T5} {_T5_WIDTH}=768 {_WORDS}=256384"),
    ("UMT5-base", "ACE-Step", f"{_T5} {_T5_WIDTH}=768 {_EACH}"),
    ("T5-base v1.0", "Stable Audio",
     f"{_T5} encoder.block.#.layer.1.DenseReluDense.wi.weight {_T5_WIDTH}=768 {_WORDS}=32128"),
    ("T5-Gemma", "Stable Audio 3", "model.encoder.layers.0.pre_self_attn_layernorm"),
    ("Jina CLIP v2", "NewBie", "model.encoder.layers.0.mixer.Wqkv"),
    ("Gemma-3-12B", "LTX-2", f"{_LLM} {_GEMMA} {_NORMED} {_WIDTH}=3840"),
    ("Gemma-3-4B", "NewBie | Lumina2", f"{_LLM} {_GEMMA} {_NORMED} {_WIDTH}=2560"),
    ("Gemma-2-2B", "Lumina-Image-2.0 | Sana", f"{_LLM} {_GEMMA} !{_NORMED} {_WIDTH}=2304"),
    ("GPT-OSS-20B", "Lens",
     "layers.0.self_attn.sinks layers.0.mlp.experts.gate_up_proj layers.0.input_layernorm.weight[0]=2880"),
    ("Qwen2.5-VL-7B", "Qwen-Image | HunyuanImage-2.1 | HunyuanVideo 1.5 | Kandinsky 5 | LongCat-Image",
     f"{_LLM} {_K_BIAS}[0]=512 {_WIDTH}=3584"),
    ("Qwen2.5-VL-3B", "OmniGen2", f"{_LLM} {_K_BIAS}[0]=256 {_WIDTH}=2048"),
    ("Qwen3-VL-4B", "Krea 2",
     "model.visual.deepstack_merger_list.0|visual.deepstack_merger_list.0 "
     "model.visual.merger.linear_fc2.weight[0]|visual.merger.linear_fc2.weight[0]=2560"),
    ("Qwen3-VL-8B", "",
     "model.visual.deepstack_merger_list.0|visual.deepstack_merger_list.0 "
     "model.visual.merger.linear_fc2.weight[0]|visual.merger.linear_fc2.weight[0]=4096"),
    ("Qwen3-4B", "Z-Image | Flux.2 klein 4B",
     f"{_LLM} {_NORMED} !{_GEMMA} {_WIDTH}=2560 n(model.layers)=36 {_QWEN3}=151936"),
    ("Qwen3-4B", "Z-Image | Flux.2 klein 4B",
     f"{_LLM} {_NORMED} !{_GEMMA} {_WIDTH}=2560 n(model.layers)=36 !model.embed_tokens"),
    ("Qwen3-8B", "Flux.2 klein 9B",
     f"{_LLM} {_NORMED} !{_GEMMA} {_WIDTH}=4096 n(model.layers)=36 {_QWEN3}=151936"),
    ("Qwen3-8B", "Flux.2 klein 9B",
     f"{_LLM} {_NORMED} !{_GEMMA} {_WIDTH}=4096 n(model.layers)=36 !model.embed_tokens"),
    ("Qwen3-1.7B", "",
     f"{_LLM} {_NORMED} !{_GEMMA} {_WIDTH}=2048 n(model.layers)=28 {_QWEN3}=151936"),
    ("Qwen3-1.7B", "",
     f"{_LLM} {_NORMED} !{_GEMMA} {_WIDTH}=2048 n(model.layers)=28 !model.embed_tokens"),
    ("Qwen3-0.6B", "Anima | ACE-Step 1.5",
     f"{_LLM} {_NORMED} !{_GEMMA} {_WIDTH}=1024 n(model.layers)=28 {_QWEN3}=151936"),
    ("Qwen3-0.6B", "Anima | ACE-Step 1.5",
     f"{_LLM} {_NORMED} !{_GEMMA} {_WIDTH}=1024 n(model.layers)=28 !model.embed_tokens"),
    ("Mistral-Small-3.1-24B", "Flux.2 dev",
     f"{_LLM} !{_NORMED} {_WIDTH}=5120 model.layers.#.self_attn.q_proj.weight[0]=4096 n(model.layers)>=30"),
    ("LLaVA-Llama-3-8B (text part)", "HunyuanVideo",
     f"{_LLM} !{_NORMED} !{_K_BIAS} {_WIDTH}=4096 model.embed_tokens.weight[0]=128320"),
    ("Llama-3.1-8B", "HiDream",
     f"{_LLM} !{_NORMED} !{_K_BIAS} {_WIDTH}=4096 model.embed_tokens.weight[0]=128256 n(model.layers)=32"),
    ("ChatGLM3-6B", "Kolors",
     "encoder.layers.#.self_attention.query_key_value embedding.word_embeddings.weight[0]=65024"),
    ("Chinese BERT (HunyuanDiT)", "HunyuanDiT",
     "bert.embeddings.word_embeddings.weight[0]|embeddings.word_embeddings.weight[0]=47020"),
    kind="text_encoder",
) + rows(
    _OPENCLIP,
    ("CLIP-L", "SD1.x | SDXL | SD3 | Flux.1 | HunyuanVideo | HiDream",
     f"{_OPEN} {_OPEN_WIDTH}=768 n(transformer.resblocks)=12"),
    ("OpenCLIP-H text", "SD2.x", f"{_OPEN} {_OPEN_WIDTH}=1024 n(transformer.resblocks)>=20"),
    ("OpenCLIP-bigG text", "SDXL | SD3 | Stable Cascade | HiDream",
     f"{_OPEN} {_OPEN_WIDTH}=1280 n(transformer.resblocks)>=25"),
    kind="text_encoder",
) + rows(
    _GGUF,
    ("UMT5-XXL", "Wan", "enc.blk.#.attn_q enc.blk.#.attn_norm.weight[0]=4096 token_embd.weight[0]=256384"),
    ("UMT5-XXL", "Wan", "enc.blk.#.attn_q enc.blk.#.attn_norm.weight[0]=4096 enc.blk.3.attn_rel_b"),
    ("T5-XXL v1.1", _T5XXL, "enc.blk.#.attn_q enc.blk.#.attn_norm.weight[0]=4096 enc.blk.#.ffn_gate"),
    ("Pile-T5-XL", "AuraFlow", "enc.blk.#.attn_q enc.blk.#.attn_norm.weight[0]=2048 enc.blk.3.attn_rel_b"),
    ("Gemma-3-12B", "LTX-2", f"{_BLK} blk.#.post_ffw_norm blk.#.attn_q_norm {_BLK_WIDTH}=3840"),
    ("Gemma-3-4B", "NewBie | Lumina2", f"{_BLK} blk.#.post_ffw_norm blk.#.attn_q_norm {_BLK_WIDTH}=2560"),
    ("Gemma-2-2B", "Lumina-Image-2.0 | Sana", f"{_BLK} blk.#.post_ffw_norm !blk.#.attn_q_norm {_BLK_WIDTH}=2304"),
    ("Qwen2.5-VL-7B", "Qwen-Image | HunyuanImage-2.1 | HunyuanVideo 1.5 | Kandinsky 5 | LongCat-Image",
     f"{_BLK} blk.#.attn_k.bias[0]=512 {_BLK_WIDTH}=3584"),
    ("Qwen2.5-VL-3B", "OmniGen2", f"{_BLK} blk.#.attn_k.bias[0]=256 {_BLK_WIDTH}=2048"),
    ("Qwen3-4B", "Z-Image | Flux.2 klein 4B",
     f"{_BLK} blk.#.attn_q_norm !blk.#.post_ffw_norm {_BLK_WIDTH}=2560 n(blk)=36"),
    ("Qwen3-8B", "Flux.2 klein 9B", f"{_BLK} blk.#.attn_q_norm !blk.#.post_ffw_norm {_BLK_WIDTH}=4096 n(blk)=36"),
    ("Mistral-Small-3.1-24B", "Flux.2 dev", f"{_BLK} {_BLK_WIDTH}=5120 blk.#.attn_q.weight[0]=4096 n(blk)=40"),
    ("LLaVA-Llama-3-8B (text part)", "HunyuanVideo", f"{_BLK} {_BLK_WIDTH}=4096 token_embd.weight[0]=128320"),
    ("Llama-3.1-8B", "HiDream", f"{_BLK} {_BLK_WIDTH}=4096 token_embd.weight[0]=128256 n(blk)=32"),
    kind="text_encoder",
)  # fmt: skip

#: The vision part of a larger language model is no encoder that a program loads.
_ALONE = "!language_model !text_model.layers !connector !aligner !class_pos_emb"
_EYES = "vision_model.encoder.layers.#.layer_norm1.weight[0]"
_EYE_LAYERS = "n(vision_model.encoder.layers)"
_PLACES = "vision_model.embeddings.position_embedding.weight[0]"
_OPEN_EYES = "visual.transformer.resblocks.#.ln_1.weight[0]"
_DINO2 = "encoder.layer.#.layer_scale2.lambda1 embeddings.cls_token !embeddings.register_tokens"

IMAGE_ENCODERS = rows(
    _VISION,
    ("CLIP vision", "CLIP ViT-bigG/14", f"{_ALONE} {_EYES}=1664"),
    ("CLIP vision", "CLIP ViT-H/14", f"{_ALONE} {_EYES}=1280 {_EYE_LAYERS}>=31"),
    ("CLIP vision", "SigLIP so400m 384", f"{_ALONE} {_EYES}=1152 {_PLACES}=729"),
    ("CLIP vision", "SigLIP so400m 512", f"{_ALONE} {_EYES}=1152 {_PLACES}=1024"),
    ("CLIP vision", "SigLIP2 so400m", f"{_ALONE} {_EYES}=1152"),
    ("CLIP vision", "LLaVA vision (HunyuanVideo I2V)",
     f"{_ALONE} {_EYES}=1024 {_PLACES}=577 multi_modal_projector"),
    ("CLIP vision", "CLIP ViT-L/14 336", f"{_ALONE} {_EYES}=1024 {_PLACES}=577"),
    ("CLIP vision", "CLIP ViT-L/14", f"{_ALONE} {_EYES}=1024 {_EYE_LAYERS}>=23"),
    ("CLIP vision", "CLIP ViT-bigG/14", f"{_OPEN_EYES}=1664"),
    ("CLIP vision", "CLIP ViT-H/14", f"{_OPEN_EYES}=1280"),
    ("CLIP vision", "CLIP ViT-L/14", f"{_OPEN_EYES}=1024"),
    ("DINOv2", "dinov2-giant", f"{_DINO2} n(encoder.layer)=40"),
    ("DINOv2", "dinov2-large", f"{_DINO2} n(encoder.layer)=24"),
    ("DINOv2", "dinov2-base | dinov2-small",
     f"{_DINO2} n(encoder.layer)=12"),
    ("DINOv3", "dinov3-large",
     "layer.23.attention.o_proj layer.#.layer_scale1|layer.#.norm1 embeddings.register_tokens|"
     "embeddings.cls_token"),
    ("DINOv3", "dinov3-h16+", "layer.31.norm1 layer.0.mlp.gate_proj"),
    kind="clip_vision",
)  # fmt: skip
