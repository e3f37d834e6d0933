"""Models of a lockfile that have the same file."""

from __future__ import annotations

from dataclasses import replace

from synapse_sync.core.artifact import Archive, Artifact, ModelCard
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.reference import Reference
from synapse_sync.core.shared_files import shared_files


def model(name: str, *places: str, digest: str = "a") -> LockedModel:
    files = tuple(
        Artifact(filename=place.rpartition("/")[2], size=9, sha256=digest * 64, url=Reference.parse(place))
        for place in places
    )
    return LockedModel(
        name=name, requirement=name, reference=Reference.parse(places[0]), card=ModelCard(), artifacts=files
    )


ONE, TWO = f"hf://o/r@{'1' * 40}/a.safetensors", f"hf://o/r@{'2' * 40}/a.safetensors"


def test_the_same_file_of_a_repository_at_two_commits_is_noticed() -> None:
    assert shared_files([model("a", ONE), model("b", TWO)], {"b"}) == [
        "`b` and `a` both have `a.safetensors`: remove one of them, unless you want it twice"
    ]


def test_several_files_are_counted() -> None:
    other = f"hf://o/r@{'1' * 40}/b.safetensors"
    (said,) = shared_files([model("a", ONE, other), model("b", ONE, other)], {"a"})
    assert "2 files (`a.safetensors` …)" in said


def test_other_bytes_other_files_and_old_models_are_not() -> None:
    assert shared_files([model("a", ONE), model("b", TWO, digest="b")], {"a", "b"}) == []
    assert shared_files([model("a", ONE), model("b", f"hf://o/r@{'1' * 40}/b.safetensors")], {"a", "b"}) == []
    assert shared_files([model("a", ONE), model("b", ONE)], {"c"}) == []
    assert shared_files([model("a@1", ONE), model("a@2", ONE)], {"a@1", "a@2"}) == []


def test_the_members_of_an_archive_are_files_of_their_own() -> None:
    packed = model("a", "https://example.org/a.zip")

    def member(name: str) -> LockedModel:
        (file,) = packed.artifacts
        inner = replace(file, archive=Archive(member=name, sha256="c" * 64, size=99))
        return replace(packed, name=name, artifacts=(inner,))

    assert shared_files([member("x"), member("y")], {"x", "y"}) == []
