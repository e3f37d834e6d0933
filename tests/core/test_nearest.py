from __future__ import annotations

from synapse_sync.core.nearest import nearest


def test_the_nearest_word() -> None:
    assert nearest("chekpoint", iter(["lora", "checkpoint", "vae"])) == "checkpoint"
    assert nearest("zzz", ["lora", "vae"]) is None
    assert nearest("lora", []) is None
    assert nearest("ComfyUI", ["a1111", "comfyui"]) == "comfyui"
    assert nearest("LORA", ["Lora", "vae"]) == "Lora"
