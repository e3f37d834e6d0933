"""Files of other programs that list models, one of each format, with made-up names and hashes."""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any

HUB = "https://huggingface.co/some/repo/resolve/main"


def digest(number: int) -> str:
    """A made-up SHA-256."""
    return f"{number:064x}"


def node(number: int, kind: str, *models: dict[str, str], widgets: Any = ()) -> dict[str, Any]:
    """A node of ComfyUI's editor."""
    table = {"id": number, "type": kind, "properties": {"Node name for S&R": kind}, "widgets_values": widgets}
    if models:
        table["properties"]["models"] = list(models)
    return table


def workflow(*nodes: dict[str, Any], inner: list[dict[str, Any]] | None = None, **more: Any) -> dict[str, Any]:
    """A workflow as the editor saves it; `inner` are the nodes of a subgraph."""
    subgraphs = [{"id": "0a0a0a0a-0000-4000-8000-000000000002", "nodes": inner or []}]
    return {"nodes": list(nodes), "links": [], "definitions": {"subgraphs": subgraphs}, "version": 0.4, **more}


WORKFLOW = workflow(
    node(
        1,
        "UNETLoader",
        {
            "name": "tiny_unet.safetensors", "url": f"{HUB}/unet/tiny_unet.safetensors?download=true",
            "hash": digest(1), "hash_type": "SHA256", "directory": "diffusion_models",
        },
        widgets=["flux/tiny_unet.safetensors", "default"],
    ),
    node(2, "0a0a0a0a-0000-4000-8000-000000000002", widgets=["tiny_vae.safetensors"]),
    node(5, "LoraLoader", widgets=["styles\\ink.safetensors", 1.0, 0.5]),
    node(6, "MarkdownNote", widgets=[f"ink: [here]({HUB}/ink.safetensors) and unused.safetensors"]),
    node(7, "CheckpointLoaderSimple", widgets=["lost.safetensors"]),
    inner=[
        node(3, "VAELoader",
             {"name": "tiny_vae.safetensors", "url": f"{HUB}/tiny_vae.safetensors", "directory": "vae"},
             widgets=["tiny_vae.safetensors"]),
    ],
)  # fmt: skip
API = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "lost.safetensors"}},
    "2": {"class_type": "LoraLoader", "inputs": {"lora_name": "styles/ink.safetensors", "model": ["1", 0]}},
    "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat, embedding:easy, (x:1.2)", "clip": ["1", 1]}},
    "4": {
        "class_type": "Some Pack's Loader",
        "inputs": {"vae_name": "urn:air:sdxl:vae:civitai:5@6", "n": float("nan")},
    },
}
PARAMETERS = (
    "a cat <lora:ink:0.8> <lora:unhashed:1>\nNegative prompt: bad\n"
    "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 512x768, Model hash: 0123456789, Model: tiny, "
    'VAE: tiny.vae.pt, Lora hashes: "ink: 0123456789ab", Hires upscaler: Latent, Version: v1.10'
)
CIVITAI_PARAMETERS = (
    "a cat\nSteps: 20, Sampler: Euler a, Seed: 5, Civitai resources: "
    '[{"type":"checkpoint","modelVersionId":128713,"modelName":"Tiny","modelVersionName":"8"},'
    '{"type":"lora","weight":0.5,"modelVersionId":62833,"modelName":"Ink"}], Civitai metadata: {}'
)
FORK_PARAMETERS = 'a cat\nSteps: 20, Hashes: {"model": "0123456789", "lora:ink": "0123456789ab"}, Model: tiny'
MANAGER_LIST = {
    "models": [
        {
            "name": "Tiny LoRA", "type": "lora", "base": "SDXL", "save_path": "loras/Tiny", "description": "words",
            "reference": HUB, "filename": "tiny.safetensors", "url": f"{HUB}/tiny.safetensors", "size": "4.71MB",
        },
        {
            "name": "Tiny checkpoint", "type": "checkpoint", "base": "SD1.5", "save_path": "default",
            "description": "words", "reference": "https://civitai.com/models/1", "filename": "tiny.pt",
            "url": "https://civitai.com/api/download/models/2", "size": "2.0GB",
        },
        {
            "name": "Tiny snapshot", "type": "LLM", "base": "LLM", "save_path": "LLM", "description": "all of it",
            "reference": HUB, "filename": "<huggingface>", "url": "some/llm", "size": "2.8GB",
        },
    ]
}  # fmt: skip
COMFYFETCH = f"""\
name: tiny
auth:
  civitai.com: ${{CIVITAI_TOKEN}}
models:
  - name: base
    files:
      - source: hf:some/repo
        file: split_files/vae/tiny_vae.safetensors
        revision: main
        install: models/vae/
        type: vae
      - source: civitai:128713
        as: dreamy.safetensors
        install: models/checkpoints/
  - name: extras
    files:
      - source: gh:some/upscaler@v0.1.0
        file: x4.pth
        install: models/upscale_models/
        sha256: "{digest(3)}"
profiles:
  small: [base]
"""
COMFY_LOCK = f"""\
auth:
  huggingface.co: ${{HF_TOKEN}}
models:
  - model: tiny_vae.safetensors
    url: https://huggingface.co/some/repo/resolve/{"0123456789" * 4}/tiny_vae.safetensors
    paths:
      - path: models/vae/tiny_vae.safetensors
      - path: models/vae/again/tiny_vae.safetensors
    hashes:
      - hash: "{digest(1)}"
        type: SHA256
    size_bytes: 6360
"""
COMFY_CLI_LOCK = """\
custom_nodes:
  comfyui: 8f40b43e00000000000000000000000000000000
  git_custom_nodes:
    https://github.com/some/nodes:
      disabled: false
models:
  - model: tiny_vae.safetensors
    url: https://huggingface.co/some/repo/resolve/main/tiny_vae.safetensors
    paths:
      - path: models/vae/tiny_vae.safetensors
"""
COMFY_BUILD = f"""\
schema: comfy-build/1
id: null
name: tiny
definition:
  schema: distribution-definition/0
  models:
    - filename: tiny.safetensors
      sha256: '{digest(1)}'
      sourceUri: {HUB}/tiny.safetensors
      type: loras
    - filename: model.safetensors
      sha256: '{digest(2)}'
      source: local
      localPath: /home/ada/model.safetensors
      type: text_encoders/gemma_tiny
  customNodes: []
"""
KULA = f"""\
# written by kulai
[meta]
name = "Tiny flow"

[[resource]]
display_name = "Tiny UNet"
type = "unet"
default_variant = "fp16"
destination = "models/diffusion_models"

[resource.variants.q8]
file_name = "tiny-q8.gguf"
[resource.variants.q8.sources]
huggingface = "{HUB}/tiny-q8.gguf"

[resource.variants.fp16]
file_name = "tiny-fp16.safetensors"
sha256 = "{digest(1)}"
[resource.variants.fp16.sources]
huggingface = "{HUB}/tiny-fp16.safetensors"

[[resource]]
display_name = "Tiny LoRA"
type = "loras"
file_name = "tiny.safetensors"
[resource.sources]
civitai = "https://civitai.com/api/download/models/128713"
"""
CM_INFO = {
    "ModelId": 4384, "ModelName": "Tiny", "ModelType": "LORA", "VersionId": 128713,
    "Hashes": {"SHA256": digest(7).upper()}, "FileMetadata": {"format": "SafeTensor"},
}  # fmt: skip
LORA_MANAGER = {
    "file_name": "ink", "model_name": "Ink", "file_path": "/home/ada/ComfyUI/models/loras/ink.safetensors",
    "size": 5, "sha256": digest(7),
    "civitai": {"id": 128713, "modelId": 4384, "model": {"name": "Ink", "type": "LORA"}},
}  # fmt: skip
CIVITAI_INFO = {
    "id": 128713, "modelId": 4384, "name": "8", "model": {"name": "Tiny", "type": "Checkpoint"},
    "files": [{"name": "tiny.safetensors", "primary": True, "hashes": {"SHA256": digest(7).upper()}}],
}  # fmt: skip
ARIA2 = f"""\
# a comment
{HUB}/tiny.safetensors\thttps://mirror.example/tiny.safetensors
  out=tiny.safetensors
  dir=/workspace/ComfyUI/models/loras
  checksum=sha-256={digest(1)}
  header=Authorization: Bearer abc
https://civitai.com/api/download/models/128713
  dir=models/checkpoints
  out=dreamy.safetensors
"""
ADDRESSES = f"""\
# what the studio needs

{HUB}/tiny.safetensors
civitai:4384@128713
not an address
"""


def png(**texts: str) -> bytes:
    """A PNG of one pixel with texts: those that Latin-1 has as `tEXt`, others as compressed `iTXt`."""
    chunks = [_chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))]
    for key, text in texts.items():
        try:
            chunks.append(_chunk(b"tEXt", key.encode() + b"\0" + text.encode("latin-1")))
        except UnicodeEncodeError:
            body = zlib.compress(text.encode())
            chunks.append(_chunk(b"iTXt", key.encode() + b"\0\1\0\0\0" + body))
    chunks += [_chunk(b"IDAT", zlib.compress(b"\0\0")), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def exif(comment: str = "", *, order: str = ">", make: str = "") -> bytes:
    """An Exif block with a UserComment in UTF-16 of the same order, and the text of Make."""
    mark = b"MM\0*" if order == ">" else b"II*\0"
    value = b"UNICODE\0" + comment.encode("utf-16-be" if order == ">" else "utf-16-le")
    made = make.encode() + b"\0"
    # The header, the main table with Make and the pointer, the Exif table with the comment, then both texts.
    main, second = 8, 8 + 2 + 2 * 12 + 4
    texts = second + 2 + 12 + 4
    entries = struct.pack(f"{order}HHII", 0x010F, 2, len(made), texts)
    entries += struct.pack(f"{order}HHII", 0x8769, 4, 1, second)
    block = mark + struct.pack(f"{order}I", main) + struct.pack(f"{order}H", 2) + entries + bytes(4)
    block += struct.pack(f"{order}H", 1) + struct.pack(f"{order}HHII", 0x9286, 7, len(value), texts + len(made))
    return block + bytes(4) + made + value


def jpeg(block: bytes) -> bytes:
    """A JPEG with an Exif block, and no pixel."""
    body = b"Exif\0\0" + block
    return b"\xff\xd8\xff\xe0\0\x04ab\xff\xe1" + struct.pack(">H", len(body) + 2) + body + b"\xff\xda\0\x02\xff\xd9"


def webp(block: bytes) -> bytes:
    """A WebP with an Exif block, and no pixel."""
    parts = b"VP8 " + struct.pack("<I", 3) + b"abc\0" + b"EXIF" + struct.pack("<I", len(block)) + block
    return b"RIFF" + struct.pack("<I", len(parts) + 4) + b"WEBP" + parts


#: One file of each format, by the name of the format.
FILES: dict[str, bytes] = {
    "workflow": json.dumps(WORKFLOW).encode(),
    "workflow-api": json.dumps(API).encode(),
    "manager-list": json.dumps(MANAGER_LIST).encode(),
    "comfyfetch": COMFYFETCH.encode(),
    "comfy-lock": COMFY_LOCK.encode(),
    "comfy-build": COMFY_BUILD.encode(),
    "kulai": KULA.encode(),
    "cm-info": json.dumps(CM_INFO).encode(),
    "lora-manager": json.dumps(LORA_MANAGER).encode(),
    "civitai-info": json.dumps(CIVITAI_INFO).encode(),
    "aria2": ARIA2.encode(),
    "addresses": ADDRESSES.encode(),
    "image": png(parameters=PARAMETERS),
}
