"""Disk use: bytes that models share, copies, files of the user's own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.artifact import Artifact, ModelCard
from synapse_sync.core.disk_use import HeldFile, ModelUse, duplicates, uses_by_model
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.reference import Reference

URL = Reference.parse("https://files.example/w.safetensors")
A, B, C = ("a" * 64, "b" * 64, "c" * 64)
SIZES = {A: 10, B: 200, C: 3000}


def model(name: str, *digests: str) -> LockedModel:
    files = [Artifact(filename=f"{sha[0]}.safetensors", size=SIZES[sha], sha256=sha, url=URL) for sha in digests]
    return LockedModel(name=name, requirement="x", reference=URL, card=ModelCard(), artifacts=tuple(files))


def held(sha256: str, place: str | None = None, **facts: bool) -> HeldFile:
    return HeldFile(sha256=sha256, size=SIZES[sha256], key=None if place is None else ("comfy", place), **facts)


def test_shared_bytes_count_for_each_model_and_are_freed_by_none() -> None:
    one, two = uses_by_model([model("one", A, B), model("two", B)], [held(A), held(B)], set())
    assert one == ModelUse(name="one", size=210, on_disk=210, alone=10)
    assert two == ModelUse(name="two", size=200, on_disk=200, alone=0)


def test_bytes_of_another_project_are_not_freed() -> None:
    (use,) = uses_by_model([model("one", A, B)], [held(A), held(B)], {A})
    assert use.alone == 200


def test_a_file_that_is_not_here_takes_nothing() -> None:
    (use,) = uses_by_model([model("one", C)], [], set())
    assert (use.size, use.on_disk, use.alone) == (3000, 0, 0)


def test_a_file_of_the_user_is_on_disk_and_not_freed() -> None:
    (use,) = uses_by_model([model("one", B)], [held(B), held(B, "mine", was_there=True, is_yours=True)], set())
    assert (use.on_disk, use.alone) == (400, 200)


def test_one_file_of_a_model_under_two_names_counts_once() -> None:
    twin = model("one", A, A)
    assert uses_by_model([twin], [held(A)], set())[0] == ModelUse(name="one", size=10, on_disk=10, alone=10)


def test_duplicates_are_sorted_by_what_they_free() -> None:
    found = duplicates([held(A), held(A, "x"), held(A, "y"), held(B), held(B, "x"), held(C)])
    assert [(each.sha256, each.spare, len(each.files)) for each in found] == [(B, 200, 2), (A, 20, 3)]


@given(st.lists(st.sampled_from([A, B, C])), st.lists(st.lists(st.sampled_from([A, B, C]), min_size=1), max_size=4))
def test_no_more_is_freed_than_is_there(blobs: list[str], files: list[list[str]]) -> None:
    found = [held(sha, str(number)) for number, sha in enumerate(blobs)]
    uses = uses_by_model([model(str(n), *each) for n, each in enumerate(files)], found, set())
    there = sum(file.size for file in found)
    assert sum(use.alone for use in uses) <= there
    assert sum(each.spare for each in duplicates(found)) == there - sum({f.sha256: f.size for f in found}.values())
