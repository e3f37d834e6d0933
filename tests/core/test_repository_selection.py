from __future__ import annotations

import pytest

from synapse_sync.core.artifact import Candidate, format_of
from synapse_sync.core.manifest.values import FileWish
from synapse_sync.core.reference import Reference
from synapse_sync.core.repository_selection import narrow, precision_of, quant_of
from synapse_sync.errors import NotFound


def candidates(*paths: str) -> list[Candidate]:
    return [
        Candidate(
            filename=path,
            url=Reference.parse(f"hf://o/r@{'1' * 40}/{path}"),
            format=format_of(path),
            precision=precision_of(path.rpartition("/")[2]),
            quant=quant_of(path),
        )
        for path in paths
    ]


NOTHING = FileWish()


def left(paths: list[str], wish: FileWish = NOTHING, prefer: FileWish = NOTHING) -> list[str]:
    return [candidate.filename for candidate in narrow(candidates(*paths), wish, prefer, subject="it")]


@pytest.mark.parametrize(
    ("name", "precision", "quant"),
    [
        ("model.fp16.safetensors", "fp16", None),
        ("x_fp8_e4m3fn_scaled.safetensors", "fp8_e4m3fn_scaled", None),
        ("model.fp16-00001-of-00002.safetensors", "fp16", None),
        ("flux1-dev-Q4_K_S.gguf", None, "q4_k_s"),
        ("t5-v1_1-xxl-encoder-Q8_0.gguf", None, "q8_0"),
        ("m-IQ2_XXS-00001-of-00002.gguf", None, "iq2_xxs"),
        ("model-q4_0.safetensors", None, None),
        ("elaborate.safetensors", None, None),
    ],
)
def test_names_tell_precision_and_quantisation(name: str, precision: str | None, quant: str | None) -> None:
    assert (precision_of(name), quant_of(name)) == (precision, quant)


def test_without_a_wish_all_is_taken() -> None:
    paths = ["a.safetensors", "a.fp16.safetensors", "a.bin", "README.md"]
    assert left(paths) == paths
    assert left(["README.md"]) == ["README.md"]


def test_shards_and_indexes_go_with_their_precision() -> None:
    plain = ["t/m-00001-of-00002.safetensors", "t/m-00002-of-00002.safetensors", "t/m.safetensors.index.json"]
    half = ["t/m.fp16-00001-of-00002.safetensors", "t/m.fp16-00002-of-00002.safetensors",
            "t/m.safetensors.index.fp16.json"]  # fmt: skip
    assert left([*plain, *half, "t/config.json"], FileWish(precision="fp16")) == [*half, "t/config.json"]
    assert left([*plain, "t/config.json", "u/m.fp16.safetensors"], FileWish(precision="fp16")) == [
        *plain, "t/config.json", "u/m.fp16.safetensors"]  # fmt: skip


def test_weights_that_exist_in_other_precisions_only_are_not_wished_for() -> None:
    paths = ["x_fp16.safetensors", "x_bf16.safetensors", "y_bf16.safetensors", "z.safetensors"]
    assert left(paths, FileWish(precision="fp16")) == ["x_fp16.safetensors", "z.safetensors"]
    assert left(paths, prefer=FileWish(precision="fp16")) == [
        "x_fp16.safetensors", "y_bf16.safetensors", "z.safetensors"]  # fmt: skip


def test_a_quantisation_is_one_of_many_files() -> None:
    paths = ["m-Q4_K_M.gguf", "m-Q8_0.gguf", "README.md"]
    assert left(paths, FileWish(quant="q8_0")) == ["m-Q8_0.gguf", "README.md"]
    assert left(paths, prefer=FileWish(quant="Q4_K_M")) == ["m-Q4_K_M.gguf", "README.md"]


def test_a_format_goes_folder_by_folder_when_it_is_only_preferred() -> None:
    paths = ["unet/a.safetensors", "unet/b.bin", "unet/b.bin.index.json", "vae/c.bin", "vae/config.json"]
    assert left(paths, FileWish(format="safetensors")) == [
        "unet/a.safetensors", "vae/config.json"]  # fmt: skip
    assert left(paths, prefer=FileWish(format="safetensors")) == [
        "unet/a.safetensors", "vae/c.bin", "vae/config.json"]  # fmt: skip


def test_a_name_is_that_of_the_file_and_an_index_follows_its_weights() -> None:
    paths = ["t/m-00001-of-00001.safetensors", "t/m.safetensors.index.json", "t/n.gguf"]
    assert left(paths, FileWish(name="m*.safetensors")) == paths[:2]


@pytest.mark.parametrize("wish", [FileWish(format="onnx"), FileWish(precision="fp8"), FileWish(size="pruned")])
def test_a_wish_that_no_weights_meet_is_refused_with_what_there_is(wish: FileWish) -> None:
    with pytest.raises(NotFound) as refused:
        left(["a/b.safetensors", "a/c.fp16.safetensors"], wish)
    assert "a/c.fp16.safetensors" in (refused.value.hint or "")
