"""Cases 38 to 47: the APIs lie, redirects mislead, and what servers say is not fit to be shown."""

from __future__ import annotations

import copy
import json
import os
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from authority import Authority
from cases import case
from liar import File, Liar, Talk
from stage import Stage
from stand_ins import bounded
from workbench import CHECKPOINT
from world import surroundings

from synapse_sync.demo import catalogue
from synapse_sync.demo.exchange import Fault, Reply
from synapse_sync.demo.weights import safetensors_bytes

REMARKS = {
    38: "the cap is 64 MB: a list of a hundred models may have tens; Hugging Face is read by its own library",
    39: "lock believes a digest that the site gives, so a wrong one is found by the first sync",
    41: "an older version is taken with a warning: an author may withdraw a bad one",
    43: "ten hops, as curl and browsers allow more",
    44: "exit code 5: the design has none of its own for this",
    45: "exit code 5, as 44",
}
MODEL = safetensors_bytes("a model", size=20_000)
PATH, PLACE = "/m.safetensors", "models/checkpoints/m.safetensors"
PORTRAIT = f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\n'
VAE = f'[models]\nvae = {{ source = "hf://{catalogue.VAE_REPO}/portrait_vae.safetensors", type = "vae" }}\n'
MODELS, REPO = "/api/v1/models", "/api/models/"

Change = Callable[[Any], Any]


@pytest.fixture
def twist(stage: Stage) -> Callable[[str, Change], None]:
    """Have Civitai's JSON for paths that begin like this changed before it is sent."""
    door = next(door for door in stage.hub._doors if door.origin == "civitai")
    honest = door.answer
    stage.healers.append(lambda: setattr(door, "answer", honest))

    def apply(prefix: str, change: Change) -> None:
        before = door.answer

        def lie(request: Any) -> Reply:
            reply = before(request)
            if not request.path.startswith(prefix) or reply.status != 200:
                return reply
            value = json.loads(reply.body)
            value = change(copy.deepcopy(value))
            return Reply(status=200, headers=reply.headers, body=json.dumps(value, ensure_ascii=False).encode())

        door.answer = lie

    return apply


def each_file(change: Callable[[dict[str, Any]], object]) -> Change:
    """A change of every file of every version in an answer."""

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            for key, inner in value.items():
                if key == "files" and isinstance(inner, list):
                    for file in inner:
                        change(file)
                else:
                    walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)
        return value

    return walk


# -- answers that make no sense ----------------------------------------------------------------------

_DEEP = b"[" * 100_000 + b"]" * 100_000
_ODD = {
    "nothing": b"",
    "no JSON": b"<!doctype html><title>Hello</title>",
    "half": b'{"items": [{"id": 900001, "name": "Port',
    "deep": _DEEP,
    "deep inside": b'{"items": ' + _DEEP + b"}",
    "null": b"null",
    "a number": b"17",
    "a huge number": b'{"items": [{"id": ' + b"9" * 100_000 + b"}]}",
    "NaN": b'{"items": [{"id": NaN, "name": Infinity}], "id": NaN}',
    "a list": b"[]",
    "doubled keys": b'{"items": null, "items": [], "items": 3}',
    "wrong types": b'{"items": [null, 3, "x", {"id": "x", "modelVersions": {"a": 1}, "name": []}], "siblings": 4}',
    "no UTF-8": b'{"items": [{"id": 900001, "name": "\xff\xfe"}]}',
    "surrogates": b'{"items": [{"id": 900001, "name": "\\ud800"}], "sha": "\\udfff"}',
    "UTF-16": '{"items": []}'.encode("utf-16"),
    "NUL": b'{"items": [{"id": 900001, "name": "a\\u0000b"}]}\0',
}


@case(38)
@pytest.mark.parametrize("manifest, prefix", [(PORTRAIT, MODELS), (VAE, REPO)], ids=["civitai", "huggingface"])
def test_answer_that_makes_no_sense(stage: Stage, manifest: str, prefix: str) -> None:
    stage.manifest(manifest)
    for name, body in _ODD.items():
        stage.hub.faults.clear()
        stage.hub.faults.add(prefix, Fault(status=200, body=body))
        said = stage("lock", code=None)
        assert said.code in (4, 5) and "error" in said.err, (name, said)
        assert not (stage.path / "synapse.lock").exists(), name


@case(38)
def test_commands_that_look_take_it_calmly(stage: Stage) -> None:
    stage.locked(PORTRAIT)
    for name in "deep", "null", "wrong types", "nothing":
        stage.hub.faults.clear()
        stage.hub.faults.add("/api/", Fault(status=200, body=_ODD[name]))
        for words in ("search", "portrait"), ("info", f"civitai:{catalogue.PORTRAIT}"), ("outdated",):
            assert isinstance(stage(*words, "--json", code=None).json, dict | list), (name, words)


@case(38)
@pytest.mark.parametrize("length", [None, 10**12])
def test_answer_that_is_too_long(stage: Stage, liar: Liar, length: int | None) -> None:
    """A gigabyte is announced or just sent; it is left at the limit, which is smaller here."""

    def endless(talk: Talk) -> None:
        talk.head(200, Content_Type="application/json", **({} if length is None else {"Content_Length": length}))
        while not talk.wait(0):
            talk.send(b" " * 65_536)

    liar.always(MODELS, endless)
    stage.manifest(PORTRAIT)
    with surroundings(), bounded(body=1 << 20):
        os.environ["CIVITAI_ENDPOINT"] = liar.url
        assert "more than 1048576 bytes" in stage("lock", code=5).err
    assert liar.count() == 1


# -- hashes, lists, versions -------------------------------------------------------------------------


@case(39)
def test_missing_digest_is_computed_and_marked(stage: Stage, twist: Callable[[str, Change], None]) -> None:
    twist("/api/", each_file(lambda file: file.pop("hashes", None)))
    stage.manifest(PORTRAIT)
    stage("lock")
    assert 'trust = "first-use"' in stage.lock_text
    stage("sync", "--locked")
    assert [*stage.tree()] == [CHECKPOINT]


@case(39)
@pytest.mark.parametrize("value", ["", "deadbeef", "x" * 64, None, 17, ["a"]])
def test_digest_that_is_none_counts_as_missing(
    stage: Stage, twist: Callable[[str, Change], None], value: object
) -> None:
    twist("/api/", each_file(lambda file: file.update(hashes={"SHA256": value})))
    stage.manifest(PORTRAIT)
    stage("lock")
    assert 'trust = "first-use"' in stage.lock_text


@case(39)
@pytest.mark.parametrize("form", [str.lower, str.upper])
def test_digests_in_any_case(
    stage: Stage, twist: Callable[[str, Change], None], form: Callable[[str], str]
) -> None:
    def change(file: dict[str, Any]) -> None:
        file["hashes"] = {form(name): form(value) for name, value in file["hashes"].items()}

    twist("/api/", each_file(change))
    stage.manifest(PORTRAIT)
    stage("sync")
    assert "first-use" not in stage.lock_text and [*stage.tree()] == [CHECKPOINT]


@case(39)
def test_wrong_digest_is_never_placed(stage: Stage, twist: Callable[[str, Change], None]) -> None:
    twist("/api/", each_file(lambda file: file.update(hashes={"SHA256": "AB" * 32})))
    stage.manifest(PORTRAIT)
    stage("sync", code=6)
    assert stage.tree() == {} and stage.blobs() == []
    stage.healers.append(lambda: stage("lock", "--upgrade"))


@case(39)
def test_two_models_with_the_same_bytes(stage: Stage) -> None:
    """One hash for two files is no mistake: the bytes are fetched once and placed twice."""
    civitai = stage.hub.civitai
    model = civitai.models[catalogue.PORTRAIT]
    version = model.versions[0]
    again = replace(version, id=77_001, files=(replace(version.files[0], id=77_002, name="twin.safetensors"),))
    civitai.add(replace(model, id=77_000, name="Twin", versions=(again,)))
    stage.locked(PORTRAIT + 'twin = "civitai:77000"\n')
    stage("sync")
    content = version.files[0].content
    assert stage.tree() == {CHECKPOINT: content, "models/checkpoints/twin.safetensors": content}
    assert len(stage.hub.requests("storage")) == 1


_MIXED = f'[models]\ntwo = {{ source = "civitai:{catalogue.AMBIGUOUS}", file = {{ precision = "fp16" }} }}\n'


@case(40)
@pytest.mark.parametrize("what", ["reversed", "renamed", "another primary"])
def test_files_in_another_order_are_still_the_locked_ones(
    stage: Stage, twist: Callable[[str, Change], None], what: str
) -> None:
    def shuffle(value: Any) -> Any:
        if isinstance(value, dict):
            if what == "reversed" and isinstance(value.get("files"), list):
                value["files"].reverse()
            for inner in value.values():
                shuffle(inner)
        elif isinstance(value, list):
            for inner in value:
                shuffle(inner)
        return value

    stage.locked(_MIXED)
    before = stage.lock_text
    twist("/api/", shuffle)
    if what == "renamed":
        twist("/api/", each_file(lambda file: file.update(name=f"new-{file['name']}")))
    elif what == "another primary":
        twist("/api/", each_file(lambda file: file.update(primary=not file.get("primary"))))
    stage("sync", "--locked")
    placed = stage.tree()
    assert len(placed) == 1 and stage.lock_text == before
    stage("lock", "--upgrade")
    digests = [line for line in stage.lock_text.splitlines() if line.startswith("sha256")]
    assert digests == [line for line in before.splitlines() if line.startswith("sha256")]


@case(41)
def test_older_version_than_the_locked_one_is_told(stage: Stage) -> None:
    civitai = stage.hub.civitai
    old = civitai.models[catalogue.PORTRAIT]
    catalogue.publish_upgrade(stage.hub)
    stage.manifest(PORTRAIT)
    stage("sync")
    assert f"@{catalogue.PORTRAIT_V2}" in stage.lock_text
    civitai.add(old)
    said = stage("lock", "--upgrade")
    assert "older" in said.err and "2026-05-01" in said.err and "2026-01-15" in said.err


@case(41)
def test_frozen_answer_changes_nothing(stage: Stage) -> None:
    catalogue.publish_upgrade(stage.hub)
    stage.manifest(PORTRAIT)
    stage("sync")
    before = stage.lock_text
    assert "older" not in stage("lock", "--upgrade").err
    assert stage.lock_text == before


# -- redirects ---------------------------------------------------------------------------------------


@pytest.fixture
def url(stage: Stage, liar: Liar) -> str:
    """A locked model whose bytes are not here yet."""
    url = liar.offer(PATH, MODEL)
    stage.locked(f'[models.m]\nsource = "{url}"\ntype = "checkpoint"\n')
    liar.asked.clear()
    return url


@case(43)
@pytest.mark.parametrize(
    "location, most",
    [
        (PATH, 11),
        ("?again", 11),
        ("", 1),
        (" ", 1),
        ("http://", 11),
        ("http://[::1", 1),
        ("http://127.0.0.1:99999/x", 1),
        ("//", 11),
        ("http://a b/\x01", 1),
        ("http://user:pass@127.0.0.1/x", 1),
        ("\x1b]8;;http://evil\x07", 1),
        (None, 1),
    ],
)
def test_redirect_that_leads_nowhere(stage: Stage, liar: Liar, url: str, location: str | None, most: int) -> None:
    named = {} if location is None else {"Location": location}
    liar.always(PATH, lambda talk: talk.head(302, **named, Content_Length=0))
    said = stage("sync", code=5)
    assert "redirect" in said.err or "URL" in said.err
    assert liar.count() == most and stage.tree() == {} and "pass@" not in said.err


@case(43)
def test_relative_redirects_are_followed_up_to_ten(stage: Stage, liar: Liar, url: str) -> None:
    for hop in range(1, 11):
        liar.always(f"/hop/{hop}", lambda talk, hop=hop: talk.head(302, Location=f"{hop + 1}", Content_Length=0))
    liar.files["/hop/11"] = File(MODEL)
    for begin, code in (2, 0), (1, 5):
        stage.empty_store()
        for path in stage.path.glob("models/checkpoints/m.*"):
            path.unlink()
        liar.always(PATH, lambda talk, begin=begin: talk.head(302, Location=f"hop/{begin}", Content_Length=0))
        stage("sync", code=code)


@case(44)
@pytest.mark.parametrize("prefix", [PATH, MODELS])
def test_redirect_to_another_scheme(stage: Stage, liar: Liar, url: str, prefix: str) -> None:
    for location in (
        "file:///etc/passwd",
        "FILE:/etc/passwd",
        "ftp://127.0.0.1/x",
        "data:text/plain,x",
        "javascript:alert(1)",
        "blob:x",
    ):
        liar.asked.clear()
        for path in prefix, f"{prefix}/{catalogue.PORTRAIT}":
            liar.always(path, lambda talk, to=location: talk.head(302, Location=to, Content_Length=0))
        with surroundings():
            if prefix == MODELS:
                os.environ["CIVITAI_ENDPOINT"] = liar.url
                said = stage("info", f"civitai:{catalogue.PORTRAIT}", code=5)
            else:
                said = stage("sync", code=5)
        assert ("refused" in said.err or "URL" in said.err) and "/etc" not in said.err
        assert liar.count() == 1, location


@case(45)
@pytest.mark.parametrize("token", [False, True])
@pytest.mark.parametrize("prefix", [PATH, MODELS])
def test_redirect_from_https_to_http(
    stage: Stage,
    liar: Liar,
    url: str,
    authority: Authority,
    token: bool,
    prefix: str,
) -> None:
    """Even to this very machine, and even without a token."""
    secure = stage.cleanup.enter_context(Liar(authority.context()))
    stage.healers.append(secure.repent)
    os.environ["SSL_CERT_FILE"] = str(authority.bundle)
    if token:
        stage.secrets.append("a-token-of-its-own")
        config = stage.store.parent / "config.toml"
        config.write_text(f'[tokens]\n"127.0.0.1:{secure.port}" = "a-token-of-its-own"\n')
    stage.locked(f'[models.m]\nsource = "{secure.offer(PATH, MODEL)}"\ntype = "checkpoint"\n')
    if token:
        assert secure.asked[-1].headers["authorization"] == "Bearer a-token-of-its-own"
        # The canary lies in the settings, where it belongs.
        assert config.is_file()
    liar.asked.clear()
    for path in prefix, f"{prefix}/{catalogue.PORTRAIT}":
        secure.always(path, lambda talk: talk.head(307, Location=url, Content_Length=0))
    with surroundings():
        if prefix == MODELS:
            os.environ["CIVITAI_ENDPOINT"] = secure.url
            said = stage("info", f"civitai:{catalogue.PORTRAIT}", code=5)
        else:
            said = stage("sync", code=5)
    assert "from https to http" in said.err and liar.asked == [] and stage.tree() == {}


# -- headers and words -------------------------------------------------------------------------------

_LENGTH = b"Content-Length: %d" % len(MODEL)
_HEADERS = {
    "a long line": (_LENGTH + b"\r\nX-Long: " + b"x" * 70_000, 0),
    "many": (_LENGTH + b"".join(b"\r\nX-%d: y" % number for number in range(10_000)), 0),
    "a MiB": (_LENGTH + (b"\r\nX-Long: " + b"x" * 60_000) * 20, 5),
    "NUL": (_LENGTH + b'\r\nETag: "a\0b"', 0),
    "folded": (_LENGTH + b'\r\nETag: "a\r\n b"', 0),
    "no colon": (_LENGTH + b"\r\nthis is no header", 0),
    "bytes": (_LENGTH + b"\r\nETag: \xff\xfe\r\nLast-Modified: \xff", 0),
    "empty ETag": (_LENGTH + b"\r\nETag:\r\nLast-Modified:", 0),
    "sequences": (_LENGTH + b"\r\nETag: \x1b[2J\r\nContent-Type: \x1b]0;x\x07", 0),
}


@case(46)
@pytest.mark.parametrize("lines, code", _HEADERS.values(), ids=_HEADERS)
def test_headers_that_no_one_should_send(stage: Stage, liar: Liar, url: str, lines: bytes, code: int) -> None:
    """Nor are they sent back: the second request goes on from the first, whose answer had them."""
    head = b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n\r\n"
    liar.lie(PATH, head + MODEL[:10_000])
    if code:
        liar.always(PATH, head + MODEL)
    said = stage("sync", code=code)
    assert stage.tree() == ({} if code else {PLACE: MODEL})
    if code:
        assert "headers of more than 1024 KiB" in " ".join(said.err.split())
        assert liar.count() == 1, "it cannot change, so it is not asked again"
    else:
        assert 2 <= liar.count() <= 3


@case(46)
@pytest.mark.parametrize("lines", [_HEADERS[key][0] for key in ("a long line", "many", "NUL", "bytes", "no colon")])
def test_headers_of_an_api(stage: Stage, liar: Liar, lines: bytes) -> None:
    liar.always(MODELS, b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n\r\n" + b" " * len(MODEL))
    stage.manifest(PORTRAIT)
    with surroundings():
        os.environ["CIVITAI_ENDPOINT"] = liar.url
        stage("lock", code=5)


_EVIL = "\x1b[2J\x1b]8;;http://evil\x07click\x1b]8;;\x07\r\n\x9b31m\u202egnp.exe\u200b\u2066\u0007"


def clean(text: str) -> bool:
    """Whether nothing in it moves a cursor, hides or reorders text."""
    return all(char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cf", "Zl", "Zp") for char in text)


@case(47, 127)
@pytest.mark.parametrize("status", [400, 403, 404, 429, 500])
def test_error_text_is_made_harmless(stage: Stage, status: int) -> None:
    body = json.dumps({"error": _EVIL, "message": _EVIL}).encode()
    stage.locked(PORTRAIT)
    stage.hub.faults.add("/api/", Fault(status=status, body=body, headers={"Retry-After": "7200"}))
    for words in ("sync",), ("info", f"civitai:{catalogue.DETAIL}"), ("search", "x"), ("sync", "--json"):
        said = stage(*words, code=None)
        assert said.code and clean(said.out) and clean(said.err), said


@case(47, 127)
def test_names_of_a_site_are_made_harmless(stage: Stage, twist: Callable[[str, Change], None]) -> None:
    """Titles, versions, words and file names of Civitai, in every command that shows them, and in the lockfile."""

    def poison(value: Any) -> Any:
        if isinstance(value, dict):
            for key, inner in value.items():
                if isinstance(inner, str) and key in ("name", "baseModel", "username", "description", "type"):
                    # Under the ending `.exe` it would be refused as code.
                    value[key] = f"{inner}{_EVIL}.safetensors" if inner.endswith(".safetensors") else inner + _EVIL
                else:
                    poison(inner)
            if isinstance(value.get("trainedWords"), list):
                value["trainedWords"] = [_EVIL]
        elif isinstance(value, list):
            for inner in value:
                poison(inner)
        return value

    twist("/api/", poison)
    stage.manifest(f'[models]\nportrait = {{ source = "civitai:{catalogue.PORTRAIT}", type = "checkpoint" }}\n')
    stage("lock")
    assert clean(stage.lock_text)
    for words in (
        ("sync",),
        ("list",),
        ("show", "portrait"),
        ("status",),
        ("outdated",),
        ("search", "portrait"),
        ("info", f"civitai:{catalogue.PORTRAIT}"),
        ("creators",),
        ("tags",),
        ("images",),
    ):
        for more in (), ("--json",):
            said = stage(*words, *more)
            assert clean(said.out) and clean(said.err), (words, said)
            assert not more or said.json is not None
    assert all(clean(path) for path in stage.tree())
