"""Selection: the one file that is meant, or a refusal that says how to name it."""

from __future__ import annotations

import tomllib

import pytest

from synapse_sync.core.artifact import Candidate
from synapse_sync.core.manifest.values import FileWish
from synapse_sync.core.reference import Reference
from synapse_sync.core.selection import select
from synapse_sync.errors import AmbiguousFile, NotFound


def offer(file_id: str, **words: object) -> Candidate:
    given = {
        "filename": f"{file_id}.safetensors",
        "format": "safetensors",
        "url": Reference.parse(f"https://example.org/{file_id}"),
    }
    return Candidate(file_id=file_id, **{**given, **words})  # type: ignore[arg-type]


FULL = offer("1", precision="fp32", size_class="full", primary=True)
PRUNED = offer("2", precision="fp16", size_class="pruned")
PICKLE = offer("3", filename="3.ckpt", format="pickle", precision="fp16", size_class="full")
TRAINING = offer("4", filename="4.zip", format="archive", kind="training data")
VAE = offer("5", kind="vae")
QUANT = offer("6", filename="m-Q8_0.gguf", format="gguf", quant="q8_0")
ALL = (TRAINING, PICKLE, VAE, QUANT, PRUNED, FULL)


@pytest.mark.parametrize(
    ("wish", "prefer", "chosen"),
    [
        ({}, {}, "1"),  # safetensors, and of those the primary one
        ({}, {"precision": "fp16", "size": "pruned"}, "2"),
        ({"size": "pruned"}, {"size": "full"}, "2"),
        ({"format": "pickle"}, {}, "3"),
        ({}, {"format": "gguf"}, "6"),
        ({}, {"format": "onnx"}, "1"),  # a preference that nothing meets is none
        ({"type": "training data"}, {}, "4"),
        ({"type": "VAE"}, {}, "5"),
        ({"quant": "Q8_0"}, {}, "6"),
        ({"name": "*q8*"}, {}, "6"),
        ({"name": "4.zip"}, {}, "4"),
        ({"id": "5"}, {"format": "gguf"}, "5"),
        ({"precision": "fp16"}, {}, "2"),
        ({"format": "SafeTensors", "precision": "FP32"}, {}, "1"),
    ],
)
def test_which_file_is_meant(wish: dict[str, str], prefer: dict[str, str], chosen: str) -> None:
    for candidates in (ALL, ALL[::-1]):
        assert select(candidates, FileWish(**wish), FileWish(**prefer), subject="m").file_id == chosen


def test_safetensors_goes_before_the_primary_pickle() -> None:
    primary = offer("9", filename="9.ckpt", format="pickle", primary=True)
    assert select([primary, PRUNED], FileWish(), FileWish(), subject="m") is PRUNED


@pytest.mark.parametrize("kind", ["model", "pruned model", "unet", "diffusion model"])
def test_weights_go_before_whatever_else_the_site_lists_first(kind: str) -> None:
    weights = offer("7", filename="7.ckpt", format="pickle", kind=kind)
    others = [
        offer(str(n), kind=other, primary=True) for n, other in enumerate(("training data", "vae", "config"), 20)
    ]
    assert select([*others, weights], FileWish(), FileWish(), subject="m") is weights


def test_an_archive_is_taken_where_there_is_nothing_else() -> None:
    archive = offer("8", filename="w.zip", format="archive", kind="archive")
    assert select([TRAINING, archive], FileWish(), FileWish(), subject="m") is archive


def test_training_data_alone_is_refused_with_the_line_that_would_take_it() -> None:
    with pytest.raises(NotFound, match="`m`: it has training data only") as caught:
        select([TRAINING], FileWish(), FileWish(), subject="m")
    assert "file = { id = 4 }" in (caught.value.hint or "")


def test_nothing_fits_says_what_was_asked_and_what_there_is() -> None:
    with pytest.raises(NotFound, match=r'no file fits file = \{ format = "onnx" \}') as caught:
        select(ALL, FileWish(format="onnx"), FileWish(), subject="m")
    hint = caught.value.hint or ""
    assert all(f"id = {candidate.file_id} " in hint for candidate in ALL)


def test_several_primaries_are_ambiguous_and_every_line_on_offer_is_toml_that_settles_it() -> None:
    candidates = [offer("a/b", filename="x.safetensors"), offer("2"), offer("3", size=2_500_000), TRAINING]
    with pytest.raises(AmbiguousFile, match="`m`: 3 files fit") as caught:
        select(candidates, FileWish(), FileWish(), subject="m")
    lines = (caught.value.hint or "").splitlines()[1:]
    assert caught.value.candidates == tuple(lines)
    assert "2.5 MB" in lines[2]
    chosen = [_follow(line, candidates) for line in lines]
    assert chosen == candidates[:3]


def test_names_that_look_like_patterns_can_be_chosen_by_the_line_on_offer() -> None:
    candidates = [
        Candidate(filename=name, url=Reference.parse(f"https://example.com/{number}"), format="safetensors")
        for number, name in enumerate(['a[v2] "x".safetensors', "b\\c.safetensors"])
    ]
    with pytest.raises(AmbiguousFile) as caught:
        select(candidates, FileWish(), FileWish(), subject="m")
    lines = (caught.value.hint or "").splitlines()[1:]
    assert [_follow(line, candidates) for line in lines] == candidates


def _follow(line: str, candidates: list[Candidate]) -> Candidate:
    wish = {key: str(value) for key, value in tomllib.loads(line)["file"].items()}
    return select(candidates, FileWish(**wish), FileWish(), subject="m")


def test_one_file_under_two_names_is_no_question() -> None:
    first, second = offer("1", sha256="0" * 64), offer("2", sha256="0" * 64)
    assert select([first, second], FileWish(), FileWish(), subject="m") is first


@pytest.mark.parametrize("digest", [None, "1" * 64])
def test_unknown_or_different_digests_are_a_question(digest: str | None) -> None:
    other = None if digest is None else "2" * 64
    with pytest.raises(AmbiguousFile):
        select([offer("1", sha256=digest), offer("2", sha256=other)], FileWish(), FileWish(), subject="m")


def test_a_version_without_files_is_not_found() -> None:
    with pytest.raises(NotFound):
        select([], FileWish(), FileWish(), subject="m")
