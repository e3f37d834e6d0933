"""Lock diff: each kind of difference, its facts, and texts of sites that stay texts in markdown."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.artifact import Artifact, ModelCard
from synapse_sync.core.lock_diff import KINDS, Shift, diff_lockfiles, markdown
from synapse_sync.core.lockfile import LockedModel, Lockfile
from synapse_sync.core.reference import Reference


def model(name: str, revision: int = 1, *, digit: str = "a", size: int = 2_000_000, **card: object) -> LockedModel:
    reference = Reference.parse(f"civitai:7@{revision}")
    artifact = Artifact(filename="w.safetensors", size=size, sha256=digit * 64, url=reference)
    facts = ModelCard(version_name=f"v{revision}", **card)  # type: ignore[arg-type]
    return LockedModel(name=name, requirement="civitai:7", reference=reference, card=facts, artifacts=(artifact,))


def lockfile(*models: LockedModel) -> Lockfile:
    return Lockfile(models=models)


OLD = model("face", base_model="SD 1.5", trained_words=("smile", "wink"), license=(("allow-sell", True),))


def test_equal_lockfiles_have_no_difference() -> None:
    diff = diff_lockfiles(lockfile(OLD), lockfile(OLD))
    assert diff.models == () and diff.summary() == "no model differs"
    assert markdown(diff) == "**synapse.lock**: no model differs\n"


def test_a_moved_model_says_from_and_to() -> None:
    new = model(
        "face", 2, digit="b", size=3_500_000, base_model="SDXL", trained_words=("smile", "frown"),
        license=(("allow-sell", False),),
    )  # fmt: skip
    diff = diff_lockfiles(lockfile(OLD), lockfile(new))
    (moved,) = diff.of("moved")
    texts = {shift.fact: shift.text for shift in moved.shifts}
    assert texts == {
        "version": "v1 (1) → v2 (2)",
        "reference": "civitai:7@1 → civitai:7@2",
        "base model": "SD 1.5 → SDXL",
        "size": "2.0 MB → 3.5 MB",
        "licence": "− allow-sell: yes, + allow-sell: no",
        "trigger words": "− wink, + frown",
        "files": f"− w.safetensors (sha256 {'a' * 12}), + w.safetensors (sha256 {'b' * 12})",
    }
    assert diff.summary() == "1 model moved"
    (value,) = diff.to_dict()["moved"]
    assert (value["from"]["size"], value["to"]["size"]) == (2_000_000, 3_500_000)
    assert value["to"]["trained_words"] == ["smile", "frown"] and "base model" in value["facts"]
    row = markdown(diff).splitlines()[-1]
    assert "`v1 (1)` → `v2 (2)`" in row and "− `wink`<br>+ `frown`<br>`smile`" in row


def test_the_same_version_with_other_bytes_has_moved() -> None:
    diff = diff_lockfiles(lockfile(OLD), lockfile(replace(OLD, artifacts=model("x", digit="c").artifacts)))
    assert [each.kind for each in diff.models] == ["moved"]


def test_only_facts_that_differ_are_a_change() -> None:
    diff = diff_lockfiles(lockfile(OLD), lockfile(replace(OLD, card=replace(OLD.card, license=()))))
    (changed,) = diff.models
    assert changed.kind == "changed" and [shift.fact for shift in changed.shifts] == ["licence"]


def test_another_name_for_the_same_bytes_is_a_renaming() -> None:
    other = model("other", 5)
    diff = diff_lockfiles(lockfile(OLD, other), lockfile(replace(OLD, name="portrait"), other))
    (renamed,) = diff.models
    assert (renamed.kind, renamed.name) == ("renamed", "portrait")
    assert renamed.to_dict()["old_name"] == "face" and "`face` → `portrait`" in markdown(diff)


def test_added_removed_and_many_are_counted() -> None:
    diff = diff_lockfiles(lockfile(OLD, model("b", 3)), lockfile(OLD, model("c", 4), model("d", 5)))
    assert diff.summary() == "2 models added, 1 removed"
    assert [(each.kind, each.name) for each in diff.models] == [("added", "c"), ("added", "d"), ("removed", "b")]
    assert set(diff.to_dict()) == set(KINDS) and len(diff.to_dict()["added"]) == 2
    assert diff.to_dict()["removed"][0]["to"] is None
    assert len(repr(diff)) < 100


@pytest.mark.parametrize(("fact", "text"), [("mirrors", "1 → 0"), ("size", "x → unknown"), ("files", "− x")])
def test_a_fact_that_is_gone(fact: str, text: str) -> None:
    assert Shift(fact=fact, before=("x",)).text == text
    assert Shift(fact="trigger words", before=("a", "b"), after=("b", "a")).text == "in another order"


@given(st.text(min_size=1, max_size=40))
def test_no_text_of_a_site_leaves_its_code_span(text: str) -> None:
    """A title with pipes, backticks, mentions or HTML adds no cell, no link and no line."""
    hostile = model("m", 2, trained_words=(text,), base_model=text)
    lines = markdown(diff_lockfiles(lockfile(), lockfile(replace(hostile, name=f"m{text}")))).splitlines()
    assert len(lines) == 5
    outside = "".join(lines[4].split("`")[::2])
    assert outside.count("|") == lines[4].count("|") == lines[2].count("|")
    assert not set(outside) - set("| addedbr<>,")
