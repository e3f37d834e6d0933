"""Cases 168 to 172: labels, sizes and names that say something else than the bytes."""

from __future__ import annotations

import hashlib
import re

import pytest
from cases import case
from liar import File, Liar, Talk
from stage import Stage

from synapse_sync.demo import catalogue
from synapse_sync.demo.weights import gguf_bytes, noise, safetensors_bytes

MODEL = safetensors_bytes("labelled", size=150_000)
SHA = hashlib.sha256(MODEL).hexdigest()
PATH, PLACE = "/m.safetensors", "models/loras/m.safetensors"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0f" * 32 + b"\nsize 4321\n"
ZIP = b"PK\x03\x04" + bytes(26) + noise("z", 2000) + b"PK\x05\x06" + bytes(18)
#: Bytes that are no model, and a word that says what they are.
STUMPS = {
    "pointer": (POINTER, "Git LFS"), "words": (b"Too Many Requests\n", "plain text"), "nothing": (b"", "empty"),
    "a cut GGUF": (gguf_bytes("c")[:-8], "GGUF"), "a cut zip": (ZIP[:-30], "not a whole file"),
}  # fmt: skip


def entry(source: str, more: str = "") -> str:
    return f'[models.m]\nsource = "{source}"\ntype = "lora"\n{more}'


@case(168)
@pytest.mark.parametrize(
    "labels",
    [{"Content-Type": "text/html"}, {"Content-Type": "application/json"}, {"Content-Encoding": "aws-chunked"}],
    ids=str,
)
def test_a_wrong_label_on_the_right_bytes(stage: Stage, liar: Liar, labels: dict[str, str]) -> None:
    url = liar.offer(PATH, MODEL, **labels)
    stage.manifest(entry(url, f'sha256 = "{SHA}"\n'))
    assert "its digest is right" in stage("sync").err
    assert stage.tree() == {PLACE: MODEL}


@case(168)
def test_a_label_decides_where_no_digest_does(stage: Stage, liar: Liar) -> None:
    url = liar.offer(PATH, MODEL, Content_Encoding="aws-chunked")
    stage.manifest(entry(url))
    assert "pin `sha256`" in stage("lock", code=6).err
    assert stage.blobs() == []
    stage.manifest(entry(url, f'sha256 = "{SHA}"\n'))
    stage("sync")
    assert stage.tree() == {PLACE: MODEL}


@case(170)
@pytest.mark.parametrize("factor", [0.5, 2])
def test_a_size_that_is_said_wrongly_of_the_right_bytes(stage: Stage, factor: float) -> None:
    stage.locked(f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\n')
    said = re.search(r"^size = (\d+)", stage.lock_text, re.MULTILINE)
    assert said is not None
    true = int(said[1])
    wrong = stage.lock_text.replace(f"size = {true}", f"size = {int(true * factor)}")
    (stage.path / "synapse.lock").write_text(wrong, encoding="utf-8")
    stage.excuse("I8", reason="more is written than the lockfile says, since it says too little")
    assert f"it has {true} bytes" in stage("sync").err
    assert f"size = {true}\n" in stage.lock_text and len(stage.tree()) == 1


@case(169)
@pytest.mark.parametrize("named", [True, False], ids=["with its range", "without a word"])
@pytest.mark.parametrize("pinned", [True, False])
def test_the_rest_of_a_file_with_the_status_of_the_whole(
    stage: Stage, liar: Liar, named: bool, pinned: bool
) -> None:
    def rest(talk: Talk) -> None:
        start = talk.part()[0]
        body = MODEL[start:]
        span = {"Content_Range": f"bytes {start}-{len(MODEL) - 1}/{len(MODEL)}"} if named and start else {}
        talk.head(200, ETag='"one"', Accept_Ranges="bytes", Content_Length=len(body), **span)
        talk.send(body)

    url = liar.offer("/m.onnx", MODEL)  # under a name whose content nobody checks to the end
    liar.lie("/m.onnx", lambda talk: talk.serve(File(MODEL), limit=60_000), rest, rest)
    stage.manifest(entry(url, f'sha256 = "{SHA}"\n' if pinned else ""))
    stage("sync")
    assert stage.tree() == {"models/loras/m.onnx": MODEL}
    assert f"size = {len(MODEL)}\n" in stage.lock_text


@case(171)
@pytest.mark.parametrize("ending", ["safetensors", "gguf", "onnx", "ckpt", "pth", "bin", "zip"])
@pytest.mark.parametrize("stump", STUMPS)
def test_what_comes_instead_of_a_model(stage: Stage, liar: Liar, stump: str, ending: str) -> None:
    content, word = STUMPS[stump]
    url = liar.offer(f"/m.{ending}", content, Content_Type="text/plain")
    stage.manifest(entry(url, "allow-pickle = true\n"))
    said = stage("sync", code=6).err
    assert stage.tree() == {} and stage.blobs() == []
    if stump in ("pointer", "words", "nothing"):
        assert word in said
    liar.offer(f"/m.{ending}", MODEL)
    stage.manifest(entry(liar.offer(PATH, MODEL)))


@case(172)
@pytest.mark.parametrize("kept", [True, False], ids=["in the store", "new"])
@pytest.mark.parametrize("ending", ["safetensors", "gguf", "onnx", "pth"])
def test_a_document_under_a_name_of_weights(stage: Stage, liar: Liar, ending: str, kept: bool) -> None:
    url = liar.offer("/notes.txt", b"red hair\n" * 40, Content_Type="text/plain")
    if kept:
        stage.manifest(entry(url))
        stage("sync")
        assert list(stage.tree()) == ["models/loras/notes.txt"]
    stage.manifest(entry(url, f'filename = "m.{ending}"\nallow-pickle = true\n'))
    assert "plain text" in stage("sync", code=6).err
    assert not [path for path in stage.tree() if path.endswith(ending)]
    stage.manifest(entry(url))


@case(171, 172)
@pytest.mark.parametrize("name", ["notes.txt", "m.dat", "m.json"])
@pytest.mark.parametrize("stump", STUMPS)
def test_the_users_own_file_under_a_name_for_no_weights(stage: Stage, stump: str, name: str) -> None:
    content = STUMPS[stump][0]
    own = stage.foreign(f"own/{name}", content)
    stage.manifest(entry(f"./own/{own.name}"))
    assert "no UI loads" in stage("sync").err
    assert stage.tree()[f"models/loras/{name}"] == content
