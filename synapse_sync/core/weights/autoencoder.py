"""Autoencoders (VAE) of images, films, sound and shapes."""

from __future__ import annotations

from synapse_sync.core.weights.rule import rows

_COMFY = "ComfyUI comfy/sd.py (VAE)"
_DIFFUSERS = "diffusers models/autoencoders"
_SD = "SD1.x | SD2.x | SDXL"
_KL = "decoder.mid.block_1|decoder.up.#.block|encoder.down.#.block|encoder.mid.block_1"
_KL_DIFFUSERS = "decoder.up_blocks.#.resnets|encoder.down_blocks.#.resnets"
_IN = "decoder.conv_in.weight"
_LATENT = "decoder.conv_in.weight[1]|post_quant_conv.weight[0]"

#: Autoencoders that share most names with one of the others, by what they alone have.
_KIN = rows(
    _DIFFUSERS,
    ("allegro-vae", "Allegro", "encoder.temp_conv_in|decoder.temp_conv_in"),
    ("kvae", "Kandinsky 6",
     "encoder.down.#.downsample.spatial_conv|decoder.up.#.upsample.spatial_conv|"
     "decoder.mid.block_1.norm1.conv_y"),
    ("ltx-audio-vae", "LTX-2", "decoder.conv_in.conv.weight:axes|encoder.conv_in.conv.weight:axes=4", "audio"),
    ("vq", "", f"quantize.embedding {_KL}|{_KL_DIFFUSERS} decoder.conv_in|encoder.conv_in"),
    ("kl-f8-asymmetric", "SD1.x", "decoder.condition_encoder"),
    ("cogview4-vae", "CogView4", f"{_IN}[1]=16 {_IN}[0]=1024 {_KL_DIFFUSERS} !decoder.conv_in.conv !quant_conv"),
    ("vidtok", "VidTok", "encoder.down_temporal|decoder.up_temporal"),
    ("qwen-image-2.1-vae", "Qwen-Image-2.1",
     "decoder.mid_block.resnets.#.norm1.gamma decoder.conv_in.weight[1]=64"),
    ("hunyuan-video-vae", "HunyuanVideo 1.5 | HunyuanImage-2.1 refiner",
     "decoder.conv_in.conv.weight[1]=32 decoder.mid_block.resnets.#.norm1.gamma"),
    ("ltxv-vae", "LTX-2",
     "decoder.up_blocks.#.resnets.#.conv1.conv encoder.mid_block.resnets.0.conv1.conv.weight[0]=2048"),
    ("minimax-vae", "MiniMax H3", "decoder.register_tokens decoder.transformer_blocks.#"),
)  # fmt: skip

AUTOENCODERS = _KIN + rows(
    _COMFY,
    ("oobleck", "Stable Audio", "decoder.layers.#.layers.#.beta|encoder.layers.#.layers.#.beta", "audio"),
    ("ace-dcae", "ACE-Step", "vocoder.backbone.channel_layers dcae", "audio"),
    ("ltx-audio-vae", "LTX-2",
     "vocoder.resblocks.#.convs1|vocoder.vocoder.resblocks audio_vae|autoencoder|decoder", "audio"),
    ("mmaudio-vae", "MMAudio", "vocoder.activation_post.downsample", "audio"),
    ("stable-audio-3-vae", "Stable Audio 3", "decoder.layers.#.transformers.#.pre_norm.alpha", "audio"),
    ("taesd", "SD3 | Flux.1", "taesd_decoder|taesd_encoder taesd_decoder.1.weight[1]=16", "approximate"),
    ("taesd", _SD, "taesd_decoder|taesd_encoder taesd_decoder.1.weight[1]=4", "approximate"),
    ("taesd", "", "taesd_decoder|taesd_encoder", "approximate"),
    ("taehv", "Wan2.2", "decoder.22.bias decoder.1.weight[1]=48", "approximate"),
    ("taehv", "LTX-2", "decoder.22.bias decoder.1.weight[1]=128", "approximate"),
    ("taehv", "HunyuanVideo 1.5", "decoder.22.bias decoder.1.weight[1]=32", "approximate"),
    ("taehv", "HunyuanVideo | Wan2.1 | Qwen-Image", "decoder.22.bias decoder.1.weight[1]=16", "approximate"),
    ("stage-a", "Stable Cascade", "vquantizer.codebook"),
    ("stage-c-previewer", "Stable Cascade",
     "backbone.1.0.block.0.1|blocks.11.num_batches_tracked|encoder.backbone.1.0.block|previewer.blocks"),
    ("shape-vae", "Hunyuan3D-2 | Hunyuan3D-2.1", "geo_decoder|post_kl transformer.resblocks.#.attn"),
    ("trellis-vae", "TRELLIS.2", "shape_dec.blocks|txt_dec.blocks"),
    ("wan-vae", "Wan2.2 TI2V 5B",
     "decoder.upsamples.#.upsamples|encoder.downsamples.#.downsamples conv2.weight[0]=48"),
    ("wan-vae", "Qwen-Image-2.1",
     "decoder.upsamples.#.upsamples|encoder.downsamples.#.downsamples conv2.weight[0]=64"),
    ("wan-vae", "Wan2.2 TI2V 5B", "decoder.upsamples.#.upsamples|encoder.downsamples.#.downsamples"),
    ("wan-vae", "Wan2.1 | Wan2.2 | Qwen-Image",
     "decoder.middle.0.residual.0.gamma|encoder.middle.0.residual.0.gamma"),
    ("mochi-vae", "Mochi 1",
     "decoder.blocks.#.#.stack|encoder.layers.#.layers.#.stack|layers.#.layers.#.attn_block|"
     "blocks.#.blocks.#.stack"),
    ("ltxv-vae", "LTX-Video 0.9 | LTX-Video 0.9.1",
     "decoder.up_blocks.#.res_blocks.#.conv1.conv decoder.up_blocks.0.res_blocks.0.conv1.conv.weight[0]=512"),
    ("ltxv-vae", "LTX-Video 0.9.1",
     "decoder.up_blocks.#.res_blocks.#.conv1.conv decoder.up_blocks.0.res_blocks.0.conv1.conv.weight[0]=1024 "
     "!encoder.down_blocks.1.conv"),
    ("ltxv-vae", "LTX-Video 0.9.5 | LTX-Video 0.9.6 | LTX-Video 0.9.7 | LTX-Video 0.9.8",
     "decoder.up_blocks.#.res_blocks.#.conv1.conv encoder.down_blocks.1.conv"),
    ("ltxv-vae", "LTX-Video",
     "decoder.up_blocks.#.res_blocks.#.conv1.conv|encoder.down_blocks.#.res_blocks.#.conv1.conv"),
    ("ltxv-vae", "LTX-2", "decoder.conv_in_x_t"),
    ("seedvr2-vae", "SeedVR2", "decoder.up_blocks.#.upsamplers.#.upscale_conv"),
    ("mage-vae", "Mage-Flow", "student.dconv_encoder"),
    ("cosmos-vae", "Cosmos | Cosmos-Predict1",
     "decoder.unpatcher3d|encoder.patcher3d|decoder.conv_in.0.conv3d|encoder.conv_in.0.conv3d"),
    ("hunyuan-video-vae", "HunyuanVideo 1.5", "decoder.conv_in.conv.weight[1]=32"),
    ("cogvideox-vae", "CogVideoX", "decoder.conv_in.conv decoder.mid_block.resnets.0.norm1.norm_layer"),
    ("hunyuan-video-vae", "HunyuanVideo", f"decoder.conv_in.conv|encoder.conv_in.conv {_KL}"),
    ("hunyuan-image-vae", "HunyuanImage-2.1 refiner", f"{_IN}[1]=32 {_IN}:axes=5"),
    ("hunyuan-image-vae", "HunyuanImage-2.1", f"{_IN}[1]=64"),
    ("kl-f8", "SVD",
     "decoder.mid.block_1.mix_factor|decoder.mid.block_1.time_stack|decoder.time_conv_out", "video"),
    ("kl-f8-32ch", "Flux.2", f"{_LATENT}=32 bn.running_mean"),
    ("kl-f8-32ch", "Flux.2", f"{_LATENT}=32 {_KL}|{_KL_DIFFUSERS}"),
    ("kl-f8-16ch", "Flux.1 | SD3", f"{_LATENT}=16 {_KL}"),
    ("kl-f4", "SD x4 upscaler", f"{_LATENT}=4 {_KL} !encoder.down.2.downsample !decoder.up.3"),
    ("kl-f8", _SD, f"{_LATENT}=4 {_KL}"),
) + rows(
    _DIFFUSERS,
    ("dc-ae", "Sana",
     "decoder.stages.#.op_list|encoder.stages.#.op_list|decoder.up_blocks.#.#.conv_out|"
     "encoder.down_blocks.#.#.conv_out"),
    ("wan-vae", "Wan2.2 TI2V 5B",
     "decoder.mid_block.resnets.#.norm1.gamma|encoder.mid_block.resnets.#.norm1.gamma "
     "post_quant_conv.weight[0]=48"),
    ("wan-vae", "Wan2.1 | Wan2.2 | Qwen-Image",
     "decoder.mid_block.resnets.#.norm1.gamma|encoder.mid_block.resnets.#.norm1.gamma"),
    ("hunyuan-video-vae", "HunyuanVideo",
     "decoder.mid_block.resnets.#.conv1.conv decoder.up_blocks.#.resnets post_quant_conv.weight[0]=16"),
    ("cogvideox-vae", "CogVideoX",
     "decoder.mid_block.resnets.#.conv1.conv decoder.mid_block.resnets.#.norm1.conv_y"),
    ("ltxv-vae", "LTX-Video", "decoder.up_blocks.#.resnets.#.conv1.conv decoder.conv_in.conv.weight[1]=128"),
    ("kl-f8", "SVD",
     "decoder.up_blocks.#.resnets.#.spatial_res_block|decoder.mid_block.resnets.#.temporal_res_block", "video"),
    ("taesd", "SD3 | Flux.1",
     "decoder.layers.#.conv encoder.layers.#.conv decoder.layers.0.weight[1]=16", "approximate"),
    ("taesd", _SD, "decoder.layers.#.conv encoder.layers.#.conv decoder.layers.0.weight[1]=4", "approximate"),
    ("oobleck", "Stable Audio",
     "decoder.block.#.res_unit1.snake1.beta encoder.block.#.res_unit1.snake1.beta", "audio"),
    ("mochi-vae", "Mochi 1", "decoder.block_in.resnets.#.conv1.conv|encoder.block_in.resnets.#.conv1.conv"),
    ("cosmos-vae", "Cosmos | Cosmos-Predict1", "decoder.conv_in.conv_s|encoder.conv_in.conv_s"),
    ("dc-ae", "Sana", "decoder.up_blocks.#.#.conv1 encoder.down_blocks.#.#.conv1 decoder.norm_out"),
    ("kl-f8-16ch", "Flux.1 | SD3", f"{_IN}[1]=16 {_IN}:axes=4 {_KL_DIFFUSERS}"),
    ("kl-f4", "SD x4 upscaler", f"{_IN}[1]=4 {_KL_DIFFUSERS} n(decoder.up_blocks)=3"),
    ("kl-f8", _SD, f"{_IN}[1]=4 {_KL_DIFFUSERS} n(decoder.up_blocks)=4"),
    ("kl-f8", _SD, f"post_quant_conv.weight[0]=4 {_KL_DIFFUSERS} n(encoder.down_blocks)=4 !decoder"),
    (None, "", f"{_KL_DIFFUSERS} decoder.conv_in|encoder.conv_in decoder.conv_out|encoder.conv_out"),
    (None, "", f"{_KL} decoder.conv_in|encoder.conv_in decoder.conv_out|encoder.conv_out"),
)  # fmt: skip
