"""Words for base models, and the families that share adapters."""

from __future__ import annotations

import pytest

from synapse_sync.core.weights.families import family_group, is_whole_by_custom


@pytest.mark.parametrize(
    ("word", "group"),
    [
        ("SD 1.5", "SD 1.x"), ("SD 1.5 LCM", "SD 1.x"), ("SD1.x", "SD 1.x"), ("SD 2.1 768", "SD 2.x"),
        ("SDXL 1.0", "SDXL"),
        ("SDXL", "SDXL"), ("Pony", "SDXL"), ("Pony V7", "AuraFlow"), ("Illustrious", "SDXL"), ("NoobAI", "SDXL"),
        ("SD 3.5 Large", "SD3"), ("Flux.1 D", "Flux.1"), ("Flux.2 D", "Flux.2"), ("Wan Video 2.2 T2V-A14B", "Wan"),
        ("Wan2.1/2.2", "Wan"), ("Qwen", "Qwen-Image"), ("Hunyuan Video", "HunyuanVideo"), ("Chroma", "Flux.1"),
        ("Other", None), ("", None), (None, None), ("Base of tomorrow", None),
    ],
)  # fmt: skip
def test_groups(word: str | None, group: str | None) -> None:
    assert family_group(word) == group


def test_which_checkpoints_are_whole() -> None:
    assert is_whole_by_custom("Illustrious")
    assert not is_whole_by_custom("Flux.1 D")
    assert not is_whole_by_custom(None)
