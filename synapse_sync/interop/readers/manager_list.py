"""ComfyUI-Manager's `model-list.json`. Pure.

`{"models": [{name, type, base, save_path, description, reference, filename, url, size}]}`, all texts. `save_path`
is below `models/`; `default` means the folder of `type`, see `model_dir_name_map` in the manager's `constants.py`.
An entry whose `filename` is `<huggingface>` means a whole repository, which `url` names. Facts: PyPI
`comfyui-manager` 4.3, 509 entries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from synapse_sync.interop.readers.listed import Listed, below_models, listed, mappings, text_of

_KEYS = {"save_path", "filename", "url"}
_REPOSITORY = "<huggingface>"
_DEFAULTS = {
    "checkpoint": "checkpoints", "checkpoints": "checkpoints", "clip": "text_encoders",
    "clip_vision": "clip_vision",
    "controlnet": "controlnet", "diffusion_model": "diffusion_models", "embedding": "embeddings",
    "embeddings": "embeddings", "gligen": "gligen", "lora": "loras", "t2i-adapter": "controlnet",
    "t2i-style": "controlnet", "text_encoders": "text_encoders", "unclip": "checkpoints",
    "unet": "diffusion_models", "upscale": "upscale_models", "vae": "vae",
}  # fmt: skip
_OUTSIDE = "custom_nodes/"


def read_manager_list(value: Any) -> Iterator[Listed] | None:
    """The models of the list; None for any other document."""
    models = value.get("models") if isinstance(value, Mapping) else None
    first = next(mappings(models), None)
    if first is None or not first.keys() >= _KEYS:
        return None
    return (_model(entry, number) for number, entry in enumerate(mappings(models), start=1))


def _model(entry: Mapping[str, Any], number: int) -> Listed:
    filename, url = text_of(entry.get("filename")), text_of(entry.get("url"))
    path, kind = text_of(entry.get("save_path")), text_of(entry.get("type"))
    if path == "default":
        path = _DEFAULTS.get(kind.casefold(), "etc")
    is_repository = filename == _REPOSITORY
    return listed(
        entry.get("name"),
        locations=[f"hf://{url}" if is_repository else url],
        filename=None if is_repository else filename,
        folder=path if path.startswith(_OUTSIDE) else below_models(path),
        at=f"entry {number}",
    )
