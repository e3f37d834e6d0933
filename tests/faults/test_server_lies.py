"""Cases 20 to 37: the server of the files lies."""

from __future__ import annotations

import gzip
import os

import pytest
from cases import case
from liar import File, Liar, Lie, Talk
from stage import Stage
from stand_ins import bounded
from world import surroundings

from synapse_sync.demo.weights import safetensors_bytes

REMARKS = {
    29: "wrong bytes that came in one piece are not asked for again at the same place: its mirrors are tried",
    34: "what no reader can agree on counts as not said; the pinned size and digest decide",
}
MODEL = safetensors_bytes("a model", size=200_000)
TWIN = bytes([*MODEL[:-60_000], *reversed(MODEL[-60_000:])])  # as long, and the same at the beginning
SIZE, CUT = len(MODEL), 50_000
PATH, PLACE = "/m.safetensors", "models/checkpoints/m.safetensors"
PAGE = b"<!doctype html><html><head><title>Log in</title></head><body>Please log in</body></html>"


def declared(url: str, more: str = "") -> str:
    return f'[models.m]\nsource = "{url}"\ntype = "checkpoint"\n{more}'


@pytest.fixture
def url(stage: Stage, liar: Liar) -> str:
    """A locked model whose bytes are not here yet."""
    url = liar.offer(PATH, MODEL)
    stage.locked(declared(url))
    liar.asked.clear()
    return url


def arrives(stage: Stage) -> None:
    stage("sync")
    assert stage.tree() == {PLACE: MODEL}


def refused(stage: Stage, code: int) -> str:
    """What is said when a sync ends with this code, and with nothing placed."""
    said = stage("sync", code=code)
    assert stage.tree() == {} and stage.blobs() == []
    return said.err


def first(content: bytes = MODEL, etag: str | None = '"one"') -> Lie:
    """The beginning of a file, and then the connection ends."""
    return lambda talk: talk.serve(File(content, etag), limit=CUT)


def whole(content: bytes = MODEL, etag: str | None = '"one"') -> Lie:
    """All of a file, whatever part is asked for."""
    return lambda talk: talk.serve(File(content, etag), ranges=False)


def part(content: bytes = MODEL, etag: str | None = '"one"', start: int = 0, **headers: object) -> Lie:
    """The part of this file that is asked for, whatever `If-Range` says; the headers may lie about it."""

    def lie(talk: Talk) -> None:
        begin = talk.part()[0]
        body = content[begin + start :]
        named = {
            "Content-Range": f"bytes {begin + start}-{len(content) - 1}/{len(content)}",
            "Content-Length": len(body),
        }
        named |= {"ETag": etag} if etag else {}
        named |= {key.replace("_", "-"): value for key, value in headers.items()}
        talk.head(206, **{key: value for key, value in named.items() if value is not None})
        talk.send(body)

    return lie


def said(body: bytes, **headers: object) -> Lie:
    """A plain answer with this body."""

    def lie(talk: Talk) -> None:
        talk.head(200, **headers)
        talk.send(body)

    return lie


# -- going on with another file ----------------------------------------------------------------------


@case(20)
def test_file_that_changed_between_attempts_is_begun_anew(stage: Stage, liar: Liar, url: str) -> None:
    liar.lie(PATH, first(TWIN, '"two"'))
    arrives(stage)
    assert liar.asked[1].headers["if-range"] == '"two"'


@case(20)
def test_file_that_changed_for_good_is_refused(stage: Stage, liar: Liar, url: str) -> None:
    liar.lie(PATH, first())
    liar.files[PATH] = File(TWIN, '"two"')
    stage.healers.append(lambda: liar.offer(PATH, MODEL))
    assert "sha256" in refused(stage, 6)
    assert liar.count() == 2


@case(21, 24)
@pytest.mark.parametrize("etag", ['"one"', '"two"', None])
def test_part_of_another_file_is_noticed(stage: Stage, liar: Liar, url: str, etag: str | None) -> None:
    """By its ETag, or else by the digest: then it gets a second chance from the beginning."""
    liar.lie(PATH, first(), part(TWIN, etag))
    arrives(stage)
    assert liar.count() == 3


@case(21)
@pytest.mark.parametrize("etag, code", [('"one"', 6), ('"two"', 5), (None, 6)])
def test_server_that_always_mixes_is_given_up(
    stage: Stage, liar: Liar, url: str, etag: str | None, code: int
) -> None:
    def mixing(talk: Talk) -> None:
        (first() if talk.part()[0] == 0 else part(TWIN, etag))(talk)

    liar.always(PATH, mixing)
    refused(stage, code)
    assert liar.count() <= 8


@case(22)
@pytest.mark.parametrize(
    "lie",
    [
        pytest.param(part(start=7), id="another start"),
        pytest.param(part(TWIN, start=-7), id="an earlier start"),
        pytest.param(part(Content_Range=f"bytes {CUT}-{SIZE - 1}/{SIZE + 9}"), id="another total"),
        pytest.param(part(Content_Range=f"bytes {CUT}-{SIZE - 1}/*"), id="no total"),
        pytest.param(part(TWIN, Content_Range=f"bytes {CUT}-{SIZE - 1}/*"), id="no total, another file"),
        pytest.param(part(Content_Range=None), id="no range"),
        pytest.param(part(TWIN, Content_Range=f"bytes 0-{SIZE - 1}/{SIZE}"), id="another range"),
        pytest.param(part(Content_Range="bytes 50000-1/200262"), id="a range that ends before it begins"),
        pytest.param(part(Content_Range=f"bytes {'9' * 400}-{'9' * 400}/{'9' * 400}"), id="astronomical"),
        pytest.param(part(Content_Range=f"lines {CUT}-{SIZE - 1}/{SIZE}"), id="another unit"),
        pytest.param(part(Content_Range=None, Content_Type="multipart/byteranges; boundary=x"), id="multipart"),
        pytest.param(part(Content_Length=SIZE), id="length of the whole"),
    ],
)
def test_wrong_part_is_never_written(stage: Stage, liar: Liar, url: str, lie: Lie) -> None:
    liar.lie(PATH, first(), lie)
    arrives(stage)
    assert liar.count() <= 3


@case(23)
def test_whole_file_instead_of_a_part_is_begun_anew(stage: Stage, liar: Liar, url: str) -> None:
    liar.lie(PATH, first(), whole(etag=None))
    arrives(stage)
    assert liar.count() == 2


@case(24)
def test_network_that_does_not_understand_if_range_is_asked_without(stage: Stage, liar: Liar, url: str) -> None:
    def dull(talk: Talk) -> None:
        talk.serve(File(MODEL), ranges="if-range" not in talk.asked.headers)

    liar.lie(PATH, first(), dull, dull)
    arrives(stage)
    assert ["range" in asked.headers for asked in liar.asked] == [False, True, True]
    assert "if-range" not in liar.asked[2].headers


@case(24)
def test_each_edge_has_its_own_etag(stage: Stage, liar: Liar, url: str) -> None:
    liar.lie(PATH, first(etag='"a"'), first(etag='"b"'), whole(etag='"c"'))
    arrives(stage)
    assert liar.count() == 3


@case(25)
@pytest.mark.parametrize("headers", [{"Content_Range": "bytes */12"}, {"Content_Range": f"bytes */{SIZE}"}, {}])
def test_range_that_cannot_be_had_begins_anew(
    stage: Stage, liar: Liar, url: str, headers: dict[str, object]
) -> None:
    liar.lie(PATH, first(), lambda talk: talk.head(416, Content_Length=0, **headers))
    arrives(stage)
    assert "range" not in liar.asked[2].headers


@case(25)
def test_range_that_can_never_be_had(stage: Stage, liar: Liar, url: str) -> None:
    liar.lie(PATH, first())
    liar.always(PATH, lambda talk: talk.head(416, Content_Length=0))
    refused(stage, 5)
    assert liar.count() <= 4


@case(26)
def test_weak_etag_is_no_validator(stage: Stage, liar: Liar, url: str) -> None:
    liar.lie(PATH, first(etag='W/"one"'), part(etag='W/"one"'))
    arrives(stage)
    assert "if-range" not in liar.asked[1].headers


# -- other things than the file ----------------------------------------------------------------------


@case(27, 28)
@pytest.mark.parametrize(
    "kind, word",
    [
        ("text/html; charset=utf-8", "a web page"),
        ("TEXT/HTML", "a web page"),
        ("application/json", "a JSON document"),
        ("application/problem+json", "an error document"),
    ],
)
def test_document_is_named(stage: Stage, liar: Liar, url: str, kind: str, word: str) -> None:
    liar.always(PATH, said(PAGE, Content_Type=kind, Content_Length=len(PAGE)))
    told = refused(stage, 6)
    assert f"127.0.0.1:{liar.port}" in told and word in told and liar.count() == 1


@case(27, 28, 125)
def test_document_in_disguise_is_not_even_locked(stage: Stage, liar: Liar) -> None:
    """Where nobody has promised anything yet, the format has to be right."""
    stage.manifest(declared(liar.offer(PATH, MODEL)))
    for body in PAGE, b'{"error":"Unauthorized"}', b"", b"PK\3\4 a zip", MODEL[:-1], MODEL + b"\0":
        for headers in {"Content_Length": len(body)}, {}:
            liar.always(PATH, said(body, Content_Type="application/octet-stream", **headers))
            stage("lock", code=2 if body.startswith(b"PK") else 6)  # a zip is refused as what it is
            assert not (stage.path / "synapse.lock").exists() and stage.blobs() == []


@case(29)
@pytest.mark.parametrize("at", [0, 8, SIZE // 2, SIZE - 1])
def test_one_bit_is_flipped(stage: Stage, liar: Liar, url: str, at: int) -> None:
    wrong = MODEL[:at] + bytes([MODEL[at] ^ 1]) + MODEL[at + 1 :]
    liar.always(PATH, whole(wrong))
    told = refused(stage, 6)
    assert told.count("…") == 2 and "quarantine" in told and "sha256" in told
    aside = [path for path in (stage.store / "quarantine").iterdir() if path.suffix != ".why"]
    assert [path.read_bytes() for path in aside] == [wrong]
    assert not stage("status", "--json").json["in_sync"]


@case(30)
@pytest.mark.parametrize("length", [0, 1, SIZE - 1, SIZE + 1, 10**15, 10**18 - 1])
def test_another_length_is_refused_by_the_headers(stage: Stage, liar: Liar, url: str, length: int) -> None:
    liar.always(PATH, lambda talk: talk.head(200, Content_Length=length))
    told = refused(stage, 6)
    assert str(length) in told and str(SIZE) in told and liar.count() == 1


@case(31)
@pytest.mark.parametrize("size", [0, 1, CUT, SIZE - 1])
def test_no_length_and_an_early_end(stage: Stage, liar: Liar, url: str, size: int) -> None:
    liar.always(PATH, said(MODEL[:size], Connection="close"))
    refused(stage, 5)
    liar.repent()
    liar.lie(PATH, said(MODEL[:size], Connection="close"), said(MODEL, Connection="close"))
    arrives(stage)


@case(31)
@pytest.mark.parametrize("how", ["chunked", "no length"])
def test_no_length_and_no_end_costs_a_moment(stage: Stage, liar: Liar, url: str, how: str) -> None:
    def silent(talk: Talk) -> None:
        talk.head(200, **({"Transfer_Encoding": "chunked"} if how == "chunked" else {}))
        talk.send(b"%x\r\n" % SIZE + MODEL + b"\r\n" if how == "chunked" else MODEL)
        talk.wait(20)

    liar.always(PATH, silent)
    with bounded(silence=0.1):
        arrives(stage)
    assert liar.count() == 1, "what was promised had come"


@case(32)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"c350\r\n" + MODEL[:CUT],
        b"c350\r\n" + MODEL[:CUT] + b"\r\n",
        b"c350\r\n" + MODEL[:CUT] + b"\r\n0\r\n\r\n",
        b"no number\r\n" + MODEL,
        b"-5\r\n" + MODEL,
        b"de0b6b3a7640000\r\n" + MODEL,
        b"%x\r\n" % SIZE + MODEL,
        b"f" * 70_000,
    ],
    ids=["nothing", "cut", "no end", "short", "words", "negative", "astronomical", "no last chunk", "endless size"],
)
def test_broken_chunks(stage: Stage, liar: Liar, url: str, body: bytes) -> None:
    liar.always(PATH, said(body, Transfer_Encoding="chunked"))
    refused(stage, 5)
    assert liar.count() == 4


@case(33)
@pytest.mark.parametrize("how", ["chunked", "no length"])
def test_data_without_end_is_left_one_byte_after_the_promise(stage: Stage, liar: Liar, url: str, how: str) -> None:
    sent = [0]

    def endless(talk: Talk) -> None:
        talk.head(200, **({"Transfer_Encoding": "chunked"} if how == "chunked" else {"Connection": "close"}))
        block = b"\0" * 65_536
        while not talk.wait(0):
            talk.send(b"10000\r\n" + block + b"\r\n" if how != "no length" else block)
            sent[0] += len(block)

    liar.always(PATH, endless)
    assert str(SIZE) in refused(stage, 6)
    assert sent[0] < SIZE + (16 << 20), "what the sockets hold, and no more"
    assert liar.count() == 1


@case(34)
@pytest.mark.parametrize(
    "lines, code",
    [
        (b"Content-Length: -5", 0),
        (b"Content-Length: five", 0),
        (b"Content-Length: 0x30E46", 0),
        (b"Content-Length: " + b"9" * 5000, 0),
        (b"Content-Length: %d, %d" % (SIZE, SIZE), 0),
        (b"Content-Length: %d\r\nContent-Length: 7" % SIZE, 5),
        (b"Content-Length: 7\r\nContent-Length: %d" % SIZE, 5),
        (b"Content-Length: %d\rX" % SIZE, 0),
        ("Content-Length: ٣".encode(), 0),
        (b"Content-Length: 7\r\nTransfer-Encoding: chunked", 5),
    ],
)
def test_lengths_that_make_no_sense(stage: Stage, liar: Liar, url: str, lines: bytes, code: int) -> None:
    liar.always(PATH, b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n\r\n" + MODEL)
    stage("sync", code=code)
    assert stage.tree() == ({} if code else {PLACE: MODEL})


@case(35)
@pytest.mark.parametrize(
    "extra",
    [
        b"\0" * 70_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        b"HTTP/1.1 302 F\r\nLocation: /evil\r\n\r\n",
    ],
)
def test_what_comes_after_the_body_answers_nothing(
    stage: Stage, liar: Liar, url: str, extra: bytes, sandbox: object
) -> None:
    """The connection stays open, and the next request may not take the extra bytes for its answer."""
    other = safetensors_bytes("another", size=2_000)
    liar.offer("/other.safetensors", other)
    (stage.store.parent / "config.toml").write_text("downloads = 1\nconnections = 1\n")
    stage.locked(declared(url) + f'[models.other]\nsource = "{liar.url}/other.safetensors"\ntype = "vae"\n')

    def more(talk: Talk) -> None:
        talk.head(200, Content_Type="application/octet-stream", Content_Length=SIZE, Connection="keep-alive")
        # Together: bytes that come after the next request are its answer, by all that anybody can know.
        talk.send(MODEL + extra)
        talk.wait(0.3)

    liar.always(PATH, more)
    stage("sync")
    assert stage.tree() == {PLACE: MODEL, "models/vae/other.safetensors": other}
    assert liar.count("/evil") == 0


@case(36, 37)
@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "deflate", "GZIP", "identity, gzip", "\x1b[31m"])
def test_encoded_body_is_refused(stage: Stage, liar: Liar, url: str, encoding: str) -> None:
    body = gzip.compress(MODEL)
    liar.always(PATH, said(body, Content_Encoding=encoding, Content_Length=len(body)))
    assert "encoded" in refused(stage, 6)
    assert liar.count() == 1 and liar.asked[0].headers["accept-encoding"] == "identity"


@case(37)
@pytest.mark.parametrize("status", [302, 404, 503])
def test_bomb_beside_the_file_is_not_unpacked(stage: Stage, liar: Liar, url: str, status: int) -> None:
    bomb = gzip.compress(b"\0" * (50 << 20))

    def lie(talk: Talk) -> None:
        talk.head(status, Location=PATH + "?again", Content_Encoding="gzip", Content_Length=len(bomb))
        talk.send(bomb)

    liar.lie(PATH, lie)
    if status == 404:
        assert "\0" not in refused(stage, 4)
    else:
        arrives(stage)


@case(37, 38)
@pytest.mark.parametrize("verb", ["lock", "search"])
def test_bomb_in_an_api_answer_is_bounded(stage: Stage, liar: Liar, verb: str) -> None:
    bomb = gzip.compress(b'{"items": [' + b" " * (100 << 20), 1)
    liar.always("/api/v1/models", said(bomb, Content_Encoding="gzip", Content_Type="application/json"))
    stage.manifest('[models]\nportrait = "civitai:910010"\n')
    stage.excuse("I4", reason="nothing of the kind is locked")
    with surroundings():
        os.environ["CIVITAI_ENDPOINT"] = liar.url
        told = stage(*((verb, "portrait") if verb == "search" else (verb,)), code=5)
    assert "more than" in told.err and liar.count() == 1


@case(27, 42)
@pytest.mark.parametrize(
    "lie", [whole(TWIN), said(PAGE, Content_Type="text/html"), said(b"")], ids=["twin", "page", "none"]
)
def test_mirror_with_the_right_bytes_helps(stage: Stage, liar: Liar, url: str, lie: Lie) -> None:
    """Places that disagree are held to the same digest; the bad one is told."""
    mirror = liar.offer("/mirror.safetensors", MODEL)
    stage.locked(declared(url, f'mirrors = ["{mirror}"]\n'))
    liar.always(PATH, lie)
    told = stage("sync")
    assert stage.tree() == {PLACE: MODEL} and "trying" in told.err and "/mirror.safetensors" in told.err


@case(42)
def test_wrong_mirror_is_never_believed(stage: Stage, liar: Liar, url: str) -> None:
    mirror = liar.offer("/mirror.safetensors", TWIN, etag='"one"')
    stage.locked(declared(url, f'mirrors = ["{mirror}"]\n'))
    liar.asked.clear()
    liar.lie(PATH, first())
    liar.always(PATH, lambda talk: talk.head(404, Content_Length=0))
    refused(stage, 4)
    assert {asked.path for asked in liar.asked} == {PATH, "/mirror.safetensors"}
