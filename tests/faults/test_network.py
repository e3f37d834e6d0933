"""Cases 1 to 19: the network fails."""

from __future__ import annotations

import pytest
from cases import case
from liar import Liar, Talk
from stage import Stage

from synapse_sync.demo.weights import safetensors_bytes

MODEL = safetensors_bytes("a model", size=200_000)
PLACE = "models/checkpoints/m.safetensors"


@pytest.fixture
def url(stage: Stage, liar: Liar) -> str:
    """A locked model whose bytes are not here yet."""
    url = liar.offer("/m.safetensors", MODEL)
    stage.locked(f'[models.m]\nsource = "{url}"\ntype = "checkpoint"\n')
    liar.asked.clear()
    return url


@case(5)
@pytest.mark.parametrize("after", [0, 1, 100_000, len(MODEL) - 1])
def test_a_reset_in_the_middle_is_gone_on_with(stage: Stage, liar: Liar, url: str, after: int) -> None:
    def torn(talk: Talk) -> None:
        talk.serve(liar.files["/m.safetensors"], limit=after)
        talk.reset()

    liar.lie("/m.safetensors", torn)
    stage("sync")
    assert stage.tree() == {PLACE: MODEL}
