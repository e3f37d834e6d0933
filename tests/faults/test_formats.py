"""Cases 125, 126, 183 and 194: files that are not what they are called."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from cases import case
from stage import Stage
from world import costing

from synapse_sync.demo.weights import gguf_bytes, pickle_bytes, safetensors_bytes

GOOD = safetensors_bytes("good", tensors={"a": ("F16", (2,))})
DATA = 4


def header(value: Any, data: int = DATA, *, length: int | None = None) -> bytes:
    """A safetensors file with this header, as text, bytes or value."""
    raw = (
        value
        if isinstance(value, bytes)
        else value.encode()
        if isinstance(value, str)
        else json.dumps(value).encode()
    )
    return struct.pack("<Q", len(raw) if length is None else length) + raw + bytes(data)


def tensor(dtype: object = "F16", shape: object = (2,), offsets: object = (0, DATA)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


MALFORMED = {
    "empty": b"",
    "length-only": b"<" + bytes(7),
    "huge-length": b"\xff" * 7 + b"\0",
    "one-byte-ff": header(b"\xff"),
    "one-brace": header(b"{"),
    "overlaps": header({f"t{i}": tensor() for i in range(10)}),
    "polyglot": header({"a": tensor()}) + b"extra_bogus_data_for_polyglot_file",
    "two-bytes-missing": header({"a": tensor()})[:-2],
    "too-few-bytes-for-shape": header({"a": tensor("F32", [2, 2], [0, 4])}),
    "shape-overflows": header({"a": tensor("F32", [2, 2**64 - 2], [0, 4])}),
    "shape-overflows-signed": header({"a": tensor("F32", [2, 2**63 - 1], [0, 4])}),
    "f4-misaligned": header({"a": tensor("F4", [1], [0, 1])}, 1),
    "length-beyond-file": header({"a": tensor()}, length=1 << 20),
    "header-of-100-MB": header({"a": tensor()}, length=100_000_001),
    "hole": header({"a": tensor("U8", [1], [0, 1]), "b": tensor("U8", [1], [2, 3])}, 3),
    "does-not-begin-at-zero": header({"a": tensor("U8", [3], [1, 4])}),
    "name-twice": header('{"a": X, "a": X}'.replace("X", json.dumps(tensor()))),
    "key-twice": header('{"a": {"dtype": "F16", "dtype": "U8", "shape": [2], "data_offsets": [0, 4]}}'),
    "nan-offset": header('{"a": {"dtype": "F16", "shape": [2], "data_offsets": [0, NaN]}}'),
    "negative-offset": header({"a": tensor("F16", [2], [-4, 0])}),
    "float-offset": header({"a": tensor("F16", [2], [0.0, 4.0])}),
    "offsets-backwards": header({"a": tensor("F16", [2], [4, 0])}),
    "one-offset": header({"a": tensor("F16", [2], [4])}),
    "bool-shape": header({"a": tensor("U8", [True], [0, 1])}, 1),
    "negative-shape": header({"a": tensor("F16", [-2], [0, 4])}),
    "text-shape": header({"a": tensor("F16", "2", [0, 4])}),
    "dtype-is-a-number": header({"a": tensor(16)}),
    "no-dtype": header({"a": {"shape": [2], "data_offsets": [0, 4]}}),
    "digits": header('{"a": {"dtype": "F16", "shape": [X], "data_offsets": [0, 4]}}'.replace("X", "9" * 5000)),
    "deep": header("{" + '"a":{' * 100_000 + "}" * 100_000 + "}"),
    "metadata-of-numbers": header({"__metadata__": {"a": 1}, "a": tensor()}),
    "metadata-is-a-list": header({"__metadata__": [], "a": tensor()}),
    "a-list": header([tensor()]),
    "leading-space": header(" " + json.dumps({"a": tensor()})),
    "not-utf8": header(b'{"\xff": {}}'),
    "utf16": header('{"a": {}}'.encode("utf-16")),
    "trailing-junk": header(json.dumps({"a": tensor()}) + "x"),
    "bad-magic-of-another": b"GGUX" + gguf_bytes("x")[4:],
    "gguf-in-disguise": gguf_bytes("x"),
}
ACCEPTED = {
    "padded": header(json.dumps({"a": tensor()}) + "   "),
    "no-tensors": header({}, 0),
    "zero-size": header({"a": tensor("F32", [0], [0, 0])}, 0),
    "unknown-dtype": header({"a": tensor("F128", [1], [0, 4])}),
    "metadata": header({"__metadata__": {"k": "v"}, "a": tensor()}),
    "f4": header({"a": tensor("F4", [2], [0, 1])}, 1),
}


def offered(stage: Stage, files: dict[str, bytes], ending: str, **more: str) -> str:
    """A manifest of plain files with these contents."""
    extra = "".join(f"{key} = {value}\n" for key, value in more.items())
    return "".join(
        f'[models."{name}"]\nsource = "{stage.hub.files.put(f"{name}{ending}", content)}"\ntype = "lora"\n{extra}'
        for name, content in files.items()
    )


@case(125)
def test_malformed_safetensors_are_refused_at_lock_time(stage: Stage) -> None:
    stage.manifest(offered(stage, MALFORMED, ".safetensors"))
    said = stage("lock", "--json", code=None)
    text = said.out + said.err
    assert said.code == 6, text
    assert [name for name in MALFORMED if name not in text] == [], "each is told"
    assert "Traceback" not in text and stage.blobs() == []
    assert not (stage.path / "synapse.lock").exists()
    stage.manifest(offered(stage, ACCEPTED, ".safetensors"))


@case(125)
def test_a_malformed_file_that_was_locked_before_is_not_placed(stage: Stage) -> None:
    """The digest of the lockfile is right; the file is none that anybody could use."""
    stage.manifest(offered(stage, {"m": GOOD}, ".safetensors"))
    stage("lock")
    stage.empty_store()
    bad = MALFORMED["polyglot"]
    good_text = stage.lock_text
    text = good_text.replace(hashlib.sha256(GOOD).hexdigest(), hashlib.sha256(bad).hexdigest())
    text = text.replace(f"size = {len(GOOD)}", f"size = {len(bad)}")
    text = "\n".join(line for line in text.split("\n") if not line.startswith("blake3"))
    stage.hub.files.put("m.safetensors", bad)
    (stage.path / "synapse.lock").write_text(text)
    assert "safetensors" in stage("sync", code=6).err
    assert stage.tree() == {} and stage.blobs() == []
    stage.hub.files.put("m.safetensors", GOOD)
    (stage.path / "synapse.lock").write_text(good_text)


class Evil:
    """What a pickle may be: a call."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return eval, ("1/0",)


def tar_of(content: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("pickle")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def zip_of(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return out.getvalue()


PICKLES = {
    **{f"protocol-{number}": pickle.dumps(Evil(), protocol=number) for number in range(6)},
    **{f"dictionary-{number}": pickle.dumps({"a": [1, 2]}, protocol=number) for number in range(6)},
    "torch": pickle_bytes("x"),
    "zip": zip_of(x=b"y", archive__weights=pickle.dumps(Evil())),
    "zip-at-the-end": GOOD + zip_of(x=pickle.dumps(Evil())),
    "tar": tar_of(pickle.dumps(Evil())),
    "numpy": b"\x93NUMPY\x01\x00",
}


@case(126)
@pytest.mark.parametrize("ending", [".safetensors", ".sft", ".gguf"])
def test_pickles_in_disguise(stage: Stage, ending: str) -> None:
    """Zip, tar and pickle under a name that promises otherwise: none gets into the store or the tree."""
    stage.manifest(offered(stage, PICKLES, ending))
    said = stage("lock", "--json", code=None)
    text = said.out + said.err
    assert said.code in (1, 2, 6), text
    assert [name for name in PICKLES if name not in text] == []
    assert stage.tree() == {} and stage.blobs() == []
    stage.manifest("[models]\n")


@case(126)
@pytest.mark.parametrize("ending", [".ckpt", ".pt", ".PTH", ".bin", ".pkl"])
def test_pickles_by_name(stage: Stage, ending: str) -> None:
    stage.manifest(offered(stage, {"m": PICKLES["torch"], "n": GOOD}, ending))
    assert "allow-pickle" in stage("lock", code=2).err
    assert stage.blobs() == []
    stage.manifest(offered(stage, {"m": PICKLES["torch"]}, ending, **{"allow-pickle": "true"}))


@case(126)
@pytest.mark.parametrize("ending", ["", ".dat", ".onnx", ".txt", ".zip"])
@pytest.mark.parametrize("name", ["torch", "protocol-4", "protocol-0"])
def test_pickles_under_names_that_promise_nothing(stage: Stage, ending: str, name: str) -> None:
    stage.manifest(offered(stage, {"m": PICKLES[name]}, ending))
    assert "pickle" in stage("lock", code=2).err
    assert stage.blobs() == []
    stage.manifest("[models]\n")


@case(126)
def test_a_name_of_the_manifest_makes_no_pickle(stage: Stage) -> None:
    """What a UI loads as a pickle is one, whatever the site called it and whatever its first bytes say."""
    stage.manifest(offered(stage, {"m": PICKLES["zip"]}, ".dat", filename='"m.ckpt"'))
    assert "allow-pickle" in stage("sync", code=2).err
    assert stage.tree() == {}
    stage.manifest("[models]\n")


@case(126)
def test_a_lockfile_that_calls_a_pickle_something_else(stage: Stage) -> None:
    stage.locked(offered(stage, {"m": PICKLES["torch"]}, ".pt", **{"allow-pickle": "true"}))
    stage.manifest(offered(stage, {"m": PICKLES["torch"]}, ".pt"))
    text = stage.lock_text.replace("; allow-pickle", "")
    for lie in ("other", "safetensors", "config"):
        (stage.path / "synapse.lock").write_text(text.replace('format = "pickle"', f'format = "{lie}"'))
        assert "pickle" in stage("sync", "--locked", code=2).err
        assert stage.tree() == {}
    stage.manifest("[models]\n")
    (stage.path / "synapse.lock").unlink()  # what is locked and no longer declared is never called in sync


@case(126)
def test_a_blob_that_another_project_allowed(stage: Stage) -> None:
    """One store, two projects: what the other one allowed is not allowed here."""
    stage.manifest(offered(stage, {"m": PICKLES["torch"]}, ".pt", **{"allow-pickle": "true"}))
    stage("lock")
    assert len(stage.blobs()) == 1
    stage.manifest(offered(stage, {"m": PICKLES["torch"]}, ".pt"))
    text = stage.lock_text.replace("; allow-pickle", "").replace("m.pt", "m.safetensors")
    (stage.path / "synapse.lock").write_text(text.replace('format = "pickle"', 'format = "safetensors"'))
    assert "pickle" in stage("sync", "--frozen", code=2).err
    assert stage.tree() == {}
    stage.manifest("[models]\n")
    (stage.path / "synapse.lock").unlink()  # what is locked and no longer declared is never called in sync


@case(126)
@pytest.mark.parametrize("content", [GOOD, b"GGU", b"", b"GGUX" + bytes(100), b"gguf" + bytes(100)])
def test_a_gguf_without_its_magic(stage: Stage, content: bytes) -> None:
    stage.manifest(offered(stage, {"m": content}, ".gguf"))
    assert "GGUF" in stage("lock", code=6).err
    stage.manifest(offered(stage, {"m": gguf_bytes("good")}, ".gguf"))


@case(183)
def test_what_costs_more_than_it_holds_is_refused_by_name(stage: Stage) -> None:
    """Case 183: a name too many in a header, members at 4 EB and of negative size, 9,000 names like a pattern."""
    names = header("{" + ",".join(f'"{n}":{{}}' for n in range(500_001)) + "}", 0)
    at = struct.pack("<HHQ", 1, 8, 1 << 62)
    sizes = 0, DATA, DATA, 1, len(at), 0, 0, 0, 0, 0xFFFFFFFF
    directory = struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 45, 45, 0, 0, 0, 0, *sizes) + b"m" + at
    local = struct.pack("<IHHHHHIIIHH", 0x04034B50, 45, 0, 0, 0, 0, 0, DATA, DATA, 1, 0) + b"m" + bytes(DATA)
    elsewhere = local + directory + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 1, 1, len(directory), len(local), 0)
    member = tarfile.TarInfo("m")
    member.size = -512
    backwards = member.tobuf(tarfile.GNU_FORMAT) + bytes(1024)
    for content, ending, words in (
        (names, ".safetensors", "more than 500,000 names"),
        (elsewhere, ".zip", "would begin at byte"),
        (backwards, ".tar", "negative size"),
    ):
        keys = {} if ending == ".safetensors" else {"extract": '["*"]'}
        stage.manifest(offered(stage, {"m": content}, ending, **keys))
        error = stage("sync", code=6).err
        assert words in error and "`m" in error, error
        assert stage.tree() == {}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(9000):
            archive.writestr(f"{number:05d}" + "abcdefghij" * 16, b"")
    stage.manifest(offered(stage, {"m": packed.getvalue()}, ".zip", extract=f'["{"zabcdefghij" * 15}"]'))
    with costing(5):
        assert "nothing in the archive matches" in stage("sync", code=4).err
    stage.manifest("[models]\n")


def zip_of(*members: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in members:
            archive.writestr(name, b"bytes")
    return out.getvalue()


CODE = {
    "program": (b"MZ" + bytes(90), ".dat"), "script": (b"#!/bin/sh\ntrue\n", ".txt"),
    "elf": (b"\x7fELF" + bytes(90), ".so"), "macho": (b"\xcf\xfa\xed\xfe" + bytes(90), ".yaml"),
    "python": (b"import os\n", ".py"), "page": (b"<svg/>", ".svg"),
}  # fmt: skip


@case(194)
@pytest.mark.parametrize("kind", CODE)
def test_code_needs_to_be_allowed(stage: Stage, kind: str) -> None:
    """By its name or by its content; the user's settings win over the manifest."""
    content, ending = CODE[kind]
    stage.manifest(offered(stage, {"m": content}, ending))
    assert "allow-code" in stage("sync", code=2).err
    assert stage.tree() == {}
    stage.manifest(offered(stage, {"m": content}, ending, **{"allow-code": "true"}))
    del os.environ["SYNAPSE_TRUST"]
    assert "synapse trust" in stage("sync", code=2).err
    assert stage.tree() == {}
    os.environ["SYNAPSE_TRUST"] = "1"
    stage("sync")
    assert len(stage.tree()) == 1


@case(194)
def test_code_of_a_repository_is_left_out_unless_it_is_named(stage: Stage) -> None:
    files = {"unet/model.safetensors": GOOD, "unet/config.json": b"{}", "merges.txt": b"a b\n"}
    code = {"pipeline.py": b"import os\n", "run.sh": b"#!/bin/sh\n", "m.pkl": b"\x80\x04N.", "web/a.css": b"a {}\n"}
    stage.hub.huggingface.add_repo("somebody/pipe", files | code)
    entry = '[models.p]\nsource = "hf://somebody/pipe"\ntype = "diffusers"\n'
    for include in ("", 'include = ["*"]\n'):
        stage.manifest(entry + include)
        said = stage("sync").err
        assert all(name in said for name in code), said
        assert {path.rpartition("/")[2] for path in stage.tree()} == {name.rpartition("/")[2] for name in files}
    stage.manifest(entry + 'include = ["*.safetensors", "*.py"]\n')
    del os.environ["SYNAPSE_TRUST"]
    assert "synapse trust" in stage("sync", code=2).err
    os.environ["SYNAPSE_TRUST"] = "1"
    stage("sync")
    assert {path.rpartition("/")[2] for path in stage.tree()} == {"model.safetensors", "pipeline.py"}


@case(183)
@pytest.mark.parametrize("ending", [".dat", ".json", ".txt", ".zip", ""])
def test_a_pickle_under_any_name_is_refused(stage: Stage, ending: str) -> None:
    call = b"cos\nsystem\n(S'true'\ntR."
    content = {
        "call": call, "padded": b"V" + b"a" * 9000 + b"\n0" + call, "packed": gzip.compress(b"\x80\x04N."),
        "array": b"\x93NUMPY\1\0\x15\0{'descr': '|O', 1: 1}" + call, "archive": zip_of("x.npy"),
        "script": zip_of("m/code/__torch__.py", "m/constants.pkl"),
    }  # fmt: skip
    stage.manifest(offered(stage, content, ending).replace('"lora"', '"other"'))
    said = stage("lock", code=2).err
    assert said.count("can run code") == len(content) and "allow-pickle" in said, said
    stage.manifest("[models]\n")


@case(194)
def test_a_configuration_that_names_code_comes_with_a_note(stage: Stage) -> None:
    files = {
        "config.json": b'{"auto_map": {"AutoModel": "modeling_x.X"}}',
        "a/v.yaml": b"model:\n  target: ldm.models.V\n  params: {target: elsewhere.Thing}\n",
        "b/v.yaml": b"model:\n  target: cldm.cldm.ControlLDM\n", "model.safetensors": GOOD,
    }  # fmt: skip
    stage.hub.huggingface.add_repo("somebody/pipe", files)
    stage.manifest('[models.p]\nsource = "hf://somebody/pipe"\ntype = "diffusers"\n')
    said = stage("lock", "--json").json["warnings"]
    assert [line for line in said if "names code that is no part of a UI: `auto_map`" in line], said
    assert [line for line in said if "`elsewhere.Thing`" in line], said
    assert sum("no part of a UI" in line for line in said) == 2
    stage("sync")
    assert {path.rpartition("/p/")[2] for path in stage.tree()} == set(files)


@case(194)
def test_a_path_file_of_python_is_code_outside_of_the_folders_of_weights(stage: Stage) -> None:
    url = stage.hub.files.put("m.pth", PICKLES["torch"])
    entry = f'[models.m]\nsource = "{url}"\ntype = "upscaler"\nallow-pickle = true\n'
    stage.manifest(f'[targets.here]\nlayout = "flat"\nroot = "here"\n{entry}')
    assert "allow-code" in stage("sync", code=2).err
    stage.manifest(f'[targets.here]\nlayout = "comfyui"\nroot = "here"\n{entry}')
    stage("sync")
    assert list(stage.tree()) == ["here/models/upscale_models/m.pth"]


@case(194)
def test_add_allows_code_and_keeps_the_consent(stage: Stage) -> None:
    url = stage.hub.files.put("n.py", b"import os\n")
    stage.manifest('[targets.here]\nlayout = "flat"\nroot = "here"\n[models]\n')
    del os.environ["SYNAPSE_TRUST"]
    assert "`--allow-code`" in stage("add", url, "--type", "other", code=2).err
    stage("add", url, "--type", "other", "--name", "n", "--allow-code")
    assert "allow-code = true" in (stage.path / "synapse.toml").read_text()
    stage("sync")
    assert list(stage.tree()) == ["here/n.py"]
    stage.hub.huggingface.add_repo("somebody/pipe", {"a.safetensors": GOOD, "a.py": b"1\n", "b.json": b"{}"})
    stage(
        "add",
        "hf://somebody/pipe",
        "--type",
        "diffusers",
        "--name",
        "p",
        "--include",
        "*.py",
        "--include",
        "*.json",
    )
    stage("sync")
    assert "here/p/a.py" in stage.tree()


@case(194)
def test_code_that_an_earlier_version_locked_is_left_out_of_a_new_tree_and_stays_in_an_old_one(
    stage: Stage,
) -> None:
    data = {"unet/model.safetensors": GOOD, "unet/config.json": b"{}"}
    files = data | {"pipeline.py": b"import os\n", "web/a.css": b"a {}\n"}
    stage.hub.huggingface.add_repo("somebody/pipe", files)
    entry = '[models.p]\nsource = "hf://somebody/pipe"\ntype = "diffusers"\n'
    stage.manifest(entry + "allow-code = true\nallow-pickle = true\n")
    stage("sync")
    lockfile = stage.path / "synapse.lock"
    lockfile.write_text(lockfile.read_text().replace("; allow-pickle; allow-code", ""))
    stage.manifest(entry)
    del os.environ["SYNAPSE_TRUST"]
    placed = stage.tree()
    assert len(placed) == 4
    for words in ("sync --locked", "sync", "sync --check", "verify"):
        assert "left out" not in stage(*words.split()).err
        assert stage.tree() == placed
    weights = [path for path in placed if path.endswith(tuple(data))]
    for path in placed:
        (stage.path / path).unlink()
    assert "`p`: left out, since it is code: `pipeline.py`, `web/a.css`" in stage("sync", "--locked").err
    assert list(stage.tree()) == weights
    stage("sync", "--check")
    assert "pipeline.py" in stage("lock", "--upgrade-model", "p").err
    assert "pipeline.py" not in lockfile.read_text()
    assert "left out" not in stage("sync").err
    assert list(stage.tree()) == weights


@case(194)
@pytest.mark.parametrize(
    ("key", "ending", "content"),
    [
        ("allow-code", ".py", b"import os\n"), ("allow-code", ".dat", b"#!/bin/sh\n"),
        ("allow-pickle", ".ckpt", PICKLES["torch"]), ("allow-pickle", ".dat", PICKLES["torch"]),
    ],
)  # fmt: skip
def test_the_settings_of_the_user_win_over_every_manifest(
    stage: Stage, key: str, ending: str, content: bytes
) -> None:
    settings = Path(os.environ["SYNAPSE_CONFIG"])
    before = settings.read_text() if settings.exists() else ""
    stage.manifest(offered(stage, {"m": content}, ending, **{key: "true"}))
    settings.write_text(f"{key} = false\n{before}")
    assert f"`{key} = false` in {settings}" in stage("sync", code=2).err
    assert stage.tree() == {}
    settings.write_text(before)
    stage("sync")
    assert len(stage.tree()) == 1
