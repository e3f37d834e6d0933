"""Cases 5, 21 to 25 again, where a large file comes over several connections: each of them may lie."""

from __future__ import annotations

import functools
import random

import pytest
from cases import case
from liar import File, Liar, Lie, Talk
from stage import Stage

from synapse_sync.demo.weights import safetensors_bytes
from synapse_sync.transfer import want

MODEL = safetensors_bytes("a model", size=600_000)
TWIN = bytes([*MODEL[:-300_000], *reversed(MODEL[-300_000:])])
SIZE = len(MODEL)
PATH, PLACE = "/m.safetensors", "models/checkpoints/m.safetensors"


@pytest.fixture
def url(stage: Stage, liar: Liar, monkeypatch: pytest.MonkeyPatch) -> str:
    """A locked model that comes in pieces of 32 KiB."""
    url = liar.offer(PATH, MODEL)
    stage.locked(f'[models.m]\nsource = "{url}"\ntype = "checkpoint"\n')
    liar.asked.clear()
    # As from a far host, which is asked over several at once: from a near one not while all cores are busy.
    pieces = functools.partial(
        want.Limits, split_from=65_536, piece=32_768, fast_enough=float("inf"), look_every=0.0, far_from=0.0
    )
    monkeypatch.setattr(want, "Limits", pieces)
    return url


def slowly(talk: Talk, content: bytes, etag: str | None = '"one"') -> None:
    """The honest answer, slow enough for others to be asked for meanwhile."""
    begin, end = talk.part()
    body = content[begin:end]
    named = {} if etag is None else {"ETag": etag}
    if "range" in talk.asked.headers:
        named["Content-Range"] = f"bytes {begin}-{begin + len(body) - 1}/{len(content)}"
    status = 206 if "range" in talk.asked.headers else 200
    talk.head(status, **named, Accept_Ranges="bytes", Content_Length=len(body))
    for at in range(0, len(body), 16_384):
        talk.send(body[at : at + 16_384])
        if talk.wait(0.005):
            return


def begun_in_the_middle(talk: Talk) -> bool:
    return talk.part()[0] > 0


def test_it_does_come_over_several_connections(stage: Stage, liar: Liar, url: str) -> None:
    liar.always(PATH, lambda talk: slowly(talk, MODEL))
    stage("sync")
    assert stage.tree() == {PLACE: MODEL} and liar.count() > 2


@case(24)
def test_each_edge_has_its_own_etag_for_the_same_bytes(stage: Stage, liar: Liar, url: str) -> None:
    liar.always(PATH, lambda talk: slowly(talk, MODEL, f'"{random.random()}"'))
    stage("sync")
    assert stage.tree() == {PLACE: MODEL}


@case(21)
@pytest.mark.parametrize("etag", ['"one"', '"two"', None])
def test_one_edge_has_another_file(stage: Stage, liar: Liar, url: str, etag: str | None) -> None:
    """Put together wrongly, it gets a second chance in one piece."""

    def edge(talk: Talk) -> None:
        if begun_in_the_middle(talk):
            slowly(talk, TWIN, etag)
        else:
            slowly(talk, MODEL, '"one"' if etag is not None else None)

    liar.always(PATH, edge)
    stage("sync")
    assert stage.tree() == {PLACE: MODEL}
    # Not of the last request: one for a part that was on its way is not waited for, and may arrive after that.
    assert sum("range" not in asked.headers for asked in liar.asked) > 1


def _other(status: int, **headers: object) -> Lie:
    return lambda talk: talk.head(status, **headers, Content_Length=0)


def _torn(talk: Talk) -> None:
    talk.head(206, Content_Range=f"bytes {talk.part()[0]}-{SIZE - 1}/{SIZE}", Content_Length=SIZE - talk.part()[0])
    talk.reset()


@case(5, 22, 23, 25)
@pytest.mark.parametrize(
    "lie",
    [
        pytest.param(_torn, id="reset"),
        pytest.param(_other(416), id="416"),
        pytest.param(_other(403), id="403"),
        pytest.param(_other(404), id="404"),
        pytest.param(_other(429, Retry_After="1"), id="429"),
        pytest.param(_other(503), id="503"),
        pytest.param(_other(206, Content_Range=f"bytes 0-9/{SIZE}"), id="another part"),
        pytest.param(_other(206), id="no range"),
        pytest.param(_other(302, Location="ftp://evil/"), id="elsewhere"),
        pytest.param(lambda talk: talk.serve(File(MODEL), ranges=False), id="the whole"),
        pytest.param(lambda talk: talk.head(200, Content_Type="text/html", Content_Length=5), id="a page"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"\0" * 100, id="no HTTP"),
    ],
)
def test_further_connections_only_fail(stage: Stage, liar: Liar, url: str, lie: Lie) -> None:
    """The first one alone still brings it all, or a single one does that is begun anew."""

    def first_only(talk: Talk) -> None:
        if not begun_in_the_middle(talk):
            slowly(talk, MODEL)
        elif isinstance(lie, bytes):
            talk.send(lie)
        else:
            lie(talk)

    liar.always(PATH, first_only)
    stage("sync")
    assert stage.tree() == {PLACE: MODEL}
