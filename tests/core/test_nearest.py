from __future__ import annotations

import difflib
from pathlib import Path

import pytest
from world import costing

import synapse_sync
from synapse_sync.core.nearest import alike, meant, nearest, suggestion


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
    with costing(3):
        assert alike("zabcdefghij" * 100, ["ab" * 500, *names], count=5, cutoff=0.3)
        assert alike("x" * 1_000_000, ["x" * 1_000_000], count=5) == ["x" * 1_000_000]


@pytest.mark.parametrize(
    ("word", "known", "found"),
    [
        ("comfy", ["a1111", "comfyui"], "comfyui"),
        ("Hugging-Face", ["civitai", "huggingface"], "huggingface"),
        ("allow_pickle", ["allow-code", "allow-pickle"], "allow-pickle"),
        ("sdxl1.0", ["SD 1.5", "SDXL 1.0"], "SDXL 1.0"),
        ("ドリーム", ["ドリームv1", "other"], "ドリームv1"),
        ("x", ["xyz"], None),
        ("zzz", ["lora", "vae"], None),
    ],
)
def test_the_word_that_is_meant(word: str, known: list[str], found: str | None) -> None:
    assert meant(word, known) == found


def test_a_suggestion_is_a_question_or_a_list() -> None:
    assert suggestion("potrait", ["portrait", "detail"]) == "did you mean `portrait`?"
    assert suggestion("zzz", ["portrait", "detail"]) == "available: portrait, detail"
    assert suggestion("zzz", ["portrait", "detail"], what="keys") == "known keys: portrait, detail"
    assert suggestion("zzz", ["portrait"], "`synapse list` lists all") == "`synapse list` lists all"
    assert suggestion("zzz", []) is None
    assert suggestion("sdxl", ["SDXL 1.0", "SDXL", "SD"], most=2) == "did you mean `SDXL`?"
    assert suggestion("sd", ["SDXL 1.0", "SDXL", "SD 1"], most=2) == "did you mean `SD 1` or `SDXL`?"
    assert (suggestion("zzz", map(str, range(1000))) or "").endswith(" …")


def test_all_suggestions_come_from_here() -> None:
    """Commands, options, keys, names, types, layouts, sites and values: one home for the words of the question."""
    package = Path(synapse_sync.__file__).parent
    homes = [
        path.name
        for path in sorted(package.rglob("*.py"))
        if "did you mean {" in path.read_text("utf-8") or "did you mean `" in path.read_text("utf-8")
    ]
    assert homes == ["nearest.py"]
