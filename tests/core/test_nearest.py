from __future__ import annotations

import difflib
import time

from synapse_sync.core.nearest import alike, nearest


def test_the_nearest_word() -> None:
    assert nearest("chekpoint", iter(["lora", "checkpoint", "vae"])) == "checkpoint"
    assert nearest("zzz", ["lora", "vae"]) is None
    assert nearest("lora", []) is None
    assert nearest("ComfyUI", ["a1111", "comfyui"]) == "comfyui"
    assert nearest("LORA", ["Lora", "vae"]) == "Lora"


def test_like_words_are_those_of_difflib() -> None:
    words = ["model.safetensors", "model.fp16.safetensors", "vae.safetensors", "readme.md", "modle.safetensors"]
    for word in ("model.safetensor", "modl.fp16.safetensors", "README.MD", "zzz"):
        assert alike(word, words) == difflib.get_close_matches(word, words)
        assert alike(word, words, count=1, cutoff=0.3) == difflib.get_close_matches(word, words, n=1, cutoff=0.3)


def test_many_long_names_cost_little() -> None:
    names = [f"{number:06d}" + "abcdefghij" * 100 + ".dat" for number in range(50_000)]
    start = time.process_time()
    assert alike("zabcdefghij" * 100, ["ab" * 500, *names], count=5, cutoff=0.3)
    assert alike("x" * 1_000_000, ["x" * 1_000_000], count=5) == ["x" * 1_000_000]
    assert time.process_time() - start < 3
