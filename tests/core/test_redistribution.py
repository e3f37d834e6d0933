"""Which models are handed on to others only by name."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.artifact import Artifact, ModelCard
from synapse_sync.core.lockfile import LockedModel, Lockfile, parse_lockfile
from synapse_sync.core.lockfile_text import format_lockfile
from synapse_sync.core.redistribution import GATED, LOCAL, withheld
from synapse_sync.core.reference import Reference


def model(name: str, url: str = "https://example.org/a.safetensors", gated: str | None = None) -> LockedModel:
    place = Reference.parse(url)
    file = Artifact(filename="a.safetensors", size=1, sha256="a" * 64, url=place)
    return LockedModel(
        name=name, requirement=url, reference=place, card=ModelCard(gated=gated, nsfw=1), artifacts=(file,)
    )


MODELS = (model("free"), model("mine@2", "./a.safetensors"), model("closed", gated="manual"))


def test_local_files_and_gated_models_stay() -> None:
    assert withheld(MODELS) == {"mine@2": LOCAL, "closed": GATED}


def test_a_site_may_say_more() -> None:
    assert withheld(MODELS, closed={"free": "a reason", "mine@2": "another"})["free"] == "a reason"
    assert withheld(MODELS[:1]) == {}


@given(st.sampled_from([None, "auto", "manual", 'a "word" \\ of the future']))
def test_the_lockfile_keeps_the_gate(gated: str | None) -> None:
    lockfile = Lockfile(models=(model("one", gated=gated),))
    assert parse_lockfile(format_lockfile(lockfile)) == lockfile
