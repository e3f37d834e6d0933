"""Files that extend a diffusion model (ControlNets, adapters, motion modules), and upscalers and the like."""

from __future__ import annotations

from synapse_sync.core.weights.rule import rows

_CONTROL = "ComfyUI comfy/controlnet.py"
_IPADAPTER = "ComfyUI_IPAdapter_plus"
_ANIMATE = "ComfyUI-AnimateDiff-Evolved"
_SPANDREL = "spandrel architectures"
_COMFY = "ComfyUI nodes and comfy/sd.py"

_PLACES = ("input_blocks.#.#", "middle_block.#", "down_blocks.#.attentions.#", "mid_block.attentions.#")
_TEXT = "|".join(
    f"{place}.transformer_blocks.#.attn2.to_k.{end}[1]" for place in _PLACES for end in ("weight", "down")
)
_NETS = "zero_convs.#|controlnet_down_blocks.#|input_hint_block|controlnet_cond_embedding"
_EXTRA = "label_emb.0.0.weight[1]|add_embedding.linear_1.weight[1]|label_emb.0.0.down[1]"
_FLUX = "Flux.1 dev"

CONTROLNETS = rows(
    _CONTROL,
    ("SDXL", "SDXL Control-LoRA", f"lora_controlnet {_TEXT}=2048", "control-lora"),
    ("SD1.x", "SD 1.5 Control-LoRA", f"lora_controlnet {_TEXT}=768", "control-lora"),
    (None, "", "lora_controlnet", "control-lora"),
    ("SD1.x", "SparseCtrl",
     "down_blocks.#.motion_modules controlnet_down_blocks.#|controlnet_cond_embedding", "sparse"),
    ("HunyuanDiT", "HunyuanDiT ControlNet", "after_proj_list.#"),
    ("Flux.1", "XLabs Flux ControlNet",
     "controlnet_blocks.# double_blocks.#.img_attn input_hint_block|pos_embed_input"),
    ("Flux.1", "MistoLine Flux ControlNet", "controlnet_blocks.#.linear|single_controlnet_blocks.#"),
    ("Flux.1", "Flux ControlNet", "controlnet_blocks.# double_blocks.#.img_attn"),
    ("SD3", "SD3.5 large ControlNet",
     "controlnet_blocks.# pos_embed_input.proj transformer_blocks.#.adaLN_modulation"),
    ("SD3", "SD3 ControlNet", "controlnet_blocks.# pos_embed_input.proj"),
    ("Qwen-Image", "InstantX Qwen-Image inpainting ControlNet",
     "controlnet_blocks.# transformer_blocks.#.img_mlp controlnet_x_embedder.weight[1]=68", "inpainting"),
    ("Qwen-Image", "InstantX Qwen-Image ControlNet Union", "controlnet_blocks.# transformer_blocks.#.img_mlp"),
    ("Flux.1", "InstantX Flux inpainting ControlNet",
     "controlnet_blocks.# controlnet_x_embedder.weight[1]=68", "inpainting"),
    ("Flux.1", "InstantX Flux ControlNet Union",
     "controlnet_blocks.#|controlnet_single_blocks.# controlnet_mode_embedder", "union"),
    ("Flux.1", "InstantX Flux ControlNet", "controlnet_blocks.#|controlnet_single_blocks.# controlnet_x_embedder"),
    ("Qwen-Image", "Qwen-Image Fun ControlNet", "control_blocks.#.after_proj control_img_in"),
    ("Sana", "Sana ControlNet", "controlnet_blocks.# transformer_blocks.#.ff.conv_inverted"),
    ("HunyuanDiT", "HunyuanDiT ControlNet", "controlnet_blocks.# blocks.#.attn1 text_embedding_padding"),
    ("Wan2.1/2.2", "Wan ControlNet", "controlnet_blocks.# blocks.#.attn1 control_encoder"),
    (None, "", "controlnet_blocks.#.weight controlnet_blocks.#.bias !controlnet_blocks.#.x_rms"),
    ("SDXL", "ControlNet Union SDXL", f"{_NETS} task_embedding control_add_embedding", "union"),
    ("SDXL", "ControlNet SDXL", f"{_NETS} {_TEXT}=2048"),
    ("SDXL", "ControlNet SDXL", f"{_NETS} {_EXTRA}=2816"),
    ("SD2.x", "ControlNet SD2.x", f"{_NETS} {_TEXT}=1024"),
    ("SD1.x", "ControlNet SD1.5", f"{_NETS} {_TEXT}=768"),
    (None, "", _NETS),
    kind="controlnet",
) + rows(
    _CONTROL,
    ("SD1.x", "T2I-Adapter SD1.5 light",
     "body.0.in_conv|adapter.body.0.in_conv body.#.out_conv|adapter.body.#.out_conv"),
    ("SDXL", "T2I-Adapter SDXL",
     "body.#.block1|adapter.body.#.resnets conv_in.weight[1]|adapter.conv_in.weight[1]=256,768"),
    ("SD1.x", "T2I-Adapter SD1.5",
     "body.#.block1|adapter.body.#.resnets conv_in.weight[1]|adapter.conv_in.weight[1]=64,192"),
    (None, "", "body.#.block1.weight body.#.block2.weight conv_in"),
    ("Stable Cascade", "Stable Cascade ControlNet", "backbone.0.0.weight projections.#|backbone.10.blocks.0"),
    kind="t2i_adapter",
) + rows(
    _IPADAPTER,
    ("SDXL", "IP-Adapter FaceID SDXL", "ip_adapter.#.to_k_ip.weight[1]=2048 ip_adapter.#.to_k_lora", "faceid"),
    ("SD1.x", "IP-Adapter FaceID SD1.5", "ip_adapter.#.to_k_ip.weight[1]=768 ip_adapter.#.to_k_lora", "faceid"),
    ("SDXL", "IP-Adapter Plus SDXL", "ip_adapter.#.to_k_ip.weight[1]=2048 image_proj.latents", "plus"),
    ("SD1.x", "IP-Adapter Plus SD1.5", "ip_adapter.#.to_k_ip.weight[1]=768 image_proj.latents", "plus"),
    ("SDXL", "IP-Adapter SDXL", "ip_adapter.#.to_k_ip.weight[1]=2048"),
    ("SD1.x", "IP-Adapter SD1.5", "ip_adapter.#.to_k_ip.weight[1]=768"),
    ("Flux.1", "InstantX Flux IP-Adapter",
     "ip_adapter.#.to_k_ip.weight[1]=4096 ip_adapter.#.to_k_ip.weight[0]=3072"),
    ("SD3", "InstantX SD3.5 IP-Adapter",
     "ip_adapter.#.to_k_ip|ip_adapter.#.norm_ip_k image_proj.time_proj|image_proj.time_embedding"),
    ("Flux.1", "XLabs Flux IP-Adapter", "double_blocks.#.processor.ip_adapter_double_stream_k_proj"),
    (None, "", "ip_adapter.#.to_k_ip"),
    ("SDXL", "PuLID SDXL", "id_adapter id_adapter_attn_layers", "pulid"),
    ("Flux.1", "PuLID Flux", "pulid_ca.#|pulid_encoder", "pulid"),
    kind="ip_adapter",
) + rows(
    _ANIMATE,
    ("SDXL", "Hotshot-XL",
     "!down_blocks.#.resnets down_blocks.#.temporal_attentions|up_blocks.#.temporal_attentions"),
    ("SDXL", "AnimateDiff SDXL",
     "!down_blocks.#.resnets down_blocks.#.motion_modules|up_blocks.#.motion_modules n(down_blocks)=3"),
    ("SD1.x", "AnimateDiff v2 SD1.5",
     "!down_blocks.#.resnets down_blocks.#.motion_modules mid_block.motion_modules "
     "down_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.0.pos_encoder.pe[1]=32"),
    ("SD1.x", "AnimateDiff v3 SD1.5",
     "!down_blocks.#.resnets down_blocks.#.motion_modules "
     "down_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.0.pos_encoder.pe[1]=32"),
    ("SD1.x", "AnimateDiff v1 SD1.5",
     "!down_blocks.#.resnets down_blocks.#.motion_modules "
     "down_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.0.pos_encoder.pe[1]=24"),
    ("SD1.x", "AnimateDiff SD1.5",
     "!down_blocks.#.resnets down_blocks.#.motion_modules|up_blocks.#.motion_modules"),
    ("SD1.x", "AnimateLCM", "!down_blocks.#.resnets down_blocks.#.motion_modules motion_modules"),
    kind="motion_module",
)  # fmt: skip

BESIDE = rows(
    "A1111 modules/hypernetworks/hypernetwork.py",
    ("SD1.x", "Stable Diffusion 1.4 | Stable Diffusion 1.5", "768.0.linear.0.weight"),
    ("SD2.x", "Stable Diffusion 2.0 | Stable Diffusion 2.1", "1024.0.linear.0.weight"),
    kind="hypernetwork",
) + rows(
    _COMFY,
    ("Flux.1", "Flux.1 Redux dev", "redux_down redux_up"),
    ("SD1.x", "T2I style adapter", "style_embedding transformer_layes|ln_post|proj"),
    kind="style_model",
) + rows(
    _COMFY,
    ("SD1.x", "GLIGEN",
     "position_net.linears input_blocks.#.#.transformer_blocks.#.fuser|position_net.null_positive_feature"),
    kind="gligen",
) + rows(
    _COMFY,
    ("SDXL", "PhotoMaker", "id_encoder.visual_projection|id_encoder.vision_model id_encoder"),
    kind="photomaker",
) + rows(
    _COMFY,
    ("SAM", "Segment Anything",
     "mask_decoder|sam_mask_decoder prompt_encoder|sam_prompt_encoder|memory_encoder"),
    kind="sam",
) + rows(
    _COMFY,
    ("GFPGAN", "GFPGAN", "stylegan_decoder.style_conv1|stylegan_decoder.final_linear"),
    ("CodeFormer", "CodeFormer", "ft_layers.#.self_attn quantize.embedding"),
    ("RestoreFormer", "RestoreFormer", "encoder.down.#.block quantize.embedding decoder.mid.attn_1.norm2"),
    kind="face_restore",
) + rows(
    _COMFY,
    ("LTXV", "LTX-Video latent upscaler", "post_upsample_res_blocks.# initial_conv"),
    kind="latent_upscaler",
) + rows(
    _COMFY,
    ("Qwen-Image", "Qwen-Image DiffSynth ControlNet", "controlnet_blocks.#.x_rms|controlnet_blocks.#.y_rms"),
    ("Z-Image", "Z-Image Fun ControlNet", "control_all_x_embedder|control_layers.#"),
    kind="model_patch",
) + rows(
    _COMFY,
    ("wav2vec2", "wav2vec2-large",
     "encoder.layers.#.attention.q_proj.weight[0]=1024 feature_extractor.conv_layers|feature_projection"),
    ("wav2vec2", "wav2vec2-large", "wav2vec2.encoder.layers.#.attention.q_proj.weight[0]=1024"),
    ("Whisper", "whisper-large-v3",
     "model.encoder.layers.#.self_attn.q_proj.weight[0]|encoder.layers.#.self_attn.q_proj.weight[0]=1280 "
     "model.encoder.conv1|encoder.conv1"),
    kind="audio_encoder",
)  # fmt: skip

UPSCALERS = rows(
    _SPANDREL,
    ("upscaler", "ESRGAN", "model.0.weight model.#.sub.#.RDB1"),
    ("upscaler", "MMRealSR", "conv_first body.#.rdb1.conv1 am_list.#"),
    ("upscaler", "ESRGAN", "conv_first body.#.rdb1.conv1|RRDB_trunk.#.RDB1.conv1 conv_last"),
    ("upscaler", "SRFormer", "conv_first layers.#.residual_group.blocks.#.attn.aligned_relative_position_index"),
    ("upscaler", "HAT", "conv_first layers.#.residual_group.overlap_attn"),
    ("upscaler", "ATD", "conv_first layers.#.residual_group.layers.#.attn_win"),
    ("upscaler", "CRAFT", "conv_first layers.#.residual_group.hf_blocks"),
    ("upscaler", "DRCT", "conv_first layers.#.swin1.attn layers.#.adjust1"),
    ("upscaler", "Swin2SR", "conv_first layers.#.residual_group.blocks.#.attn.logit_scale"),
    ("upscaler", "SwinIR", "conv_first layers.#.residual_group.blocks.#.attn.relative_position_bias_table"),
    ("upscaler", "GRL",
     "conv_first|model.conv_first layers.#.blocks.#.attn.window_attn|model.layers.#.blocks.#.attn.window_attn"),
    ("upscaler", "DAT", "conv_first before_RG layers.#.blocks.#.attn.spatial_interaction"),
    ("upscaler", "RGT", "conv_first before_RG layers.#.blocks.#.gamma"),
    ("upscaler", "FDAT", "conv_first groups.#.blocks.#.attn"),
    ("upscaler", "AuraSR", "mid_attn.layers.#.#.to_out mid_block2.block1 style_network"),
    ("upscaler", "DCTLSA", "fea_conv B1.body.#.transformer_body"),
    ("upscaler", "DITN", "sft.weight UFONE.#"),
    ("upscaler", "SCUNet", "m_head.0 m_body.0.trans_block m_tail.0"),
    ("upscaler", "DRUNet | FBCNN", "m_head m_down1.#.res m_tail"),
    ("upscaler", "SPAN", "block_1.c1_r conv_cat upsampler.0"),
    ("upscaler", "PLKSR", "feats.#.lk feats.#.channe_mixer|feats.#.channel_mixer"),
    ("upscaler", "MoSR", "gblocks.#.norm gblocks.#.fc1 gblocks.#.fc2"),
    ("upscaler", "MoESR", "in_to_dim blocks.#.blocks.#.gamma blocks.#.blocks.#.fc1"),
    ("upscaler", "OmniSR", "input.weight residual_layer.#.residual_layer up.0"),
    ("upscaler", "SAFMN", "to_feat feats.#.safm|feats.#.layers.#.safm to_img"),
    ("upscaler", "SeemoRe", "conv_1 conv_2 body.#.local_block"),
    ("upscaler", "RCAN", "head.0 body.#.body.#.body tail.0 sub_mean|add_mean"),
    ("upscaler", "IPT", "head.0.0 body.encoder.layers.#.self_attn tail.0"),
    ("upscaler", "NAFNet | KBNet", "intro.weight ending.weight middle_blks.#"),
    ("upscaler", "KBNet | FFTformer | Restormer", "patch_embed.proj encoder_level1.# refinement.#"),
    ("upscaler", "Real-CUGAN", "unet1.conv1.conv unet2.conv1.conv"),
    ("upscaler", "SwiftSRGAN", "initial.cnn.depthwise final_conv.pointwise"),
    ("upscaler", "HVI-CIDNet", "HVE_block0 IE_block0 HVD_block0"),
    ("upscaler", "MixDehazeNet", "layer1.blocks.#.conv3_19 layer1.blocks.#.Wv"),
    ("upscaler", "Retinexformer", "body.#.estimator body.#.denoiser"),
    ("upscaler", "LaMa", "model.model.1.bn_l|generator.model.1.bn_l|model.1.bn_l"),
    ("upscaler", "Uformer", "input_proj.proj output_proj.proj encoderlayer_0.blocks.#"),
    ("upscaler", "Real-ESRGAN compact",
     "body.0.weight:axes=4 body.1.weight:axes=1 body.2.weight:axes=4 body.0.weight[1]=3,1,4 !conv_first "
     "!conv_in"),
    kind="upscaler",
)  # fmt: skip
