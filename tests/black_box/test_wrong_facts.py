"""Wrong sizes and labels are warned of, since the digest decides; content that is no model is refused anyhow."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
from cases import case
from world import Project

from synapse_sync.demo import catalogue
from synapse_sync.demo.exchange import Fault
from synapse_sync.demo.weights import gguf_bytes, jpeg_bytes, safetensors_bytes
from synapse_sync.engine import headers

MODEL = safetensors_bytes("facts", size=9000)
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0f" * 32 + b"\nsize 4321\n"
PORTRAIT = f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\n'


def lock_text(project: Project) -> str:
    return (project.path / "synapse.lock").read_text("utf-8")


def lied_about(project: Project, factor: float) -> int:
    """Lock a model of a site that says a wrong size; returns the true one."""
    project.manifest(PORTRAIT)
    project("lock")
    size = int(re.search(r"^size = (\d+)", lock_text(project), re.MULTILINE)[1])  # type: ignore[index]
    (project.path / "synapse.lock").write_text(
        lock_text(project).replace(f"size = {size}", f"size = {int(size * factor)}"), encoding="utf-8"
    )
    return size


@case(170)
@pytest.mark.parametrize("factor", [0.5, 2])
def test_a_size_that_the_site_says_wrongly_is_corrected_by_a_sync(project: Project, factor: float) -> None:
    size = lied_about(project, factor)
    said = project("sync").err
    assert f"it has {size} bytes, not {int(size * factor)} as was locked" in said
    assert f"size = {size}\n" in lock_text(project) and len(project.tree()) == 1
    again = project("sync")
    assert "in sync" in again.out and "as was locked" not in again.err


@case(170)
@pytest.mark.parametrize("flag", ["--locked", "--frozen"])
def test_a_wrong_size_is_corrected_by_what_the_warning_says(project: Project, flag: str) -> None:
    size = lied_about(project, 2)
    before = lock_text(project)
    said = project("sync", flag).err
    assert "`synapse lock` corrects the size" in said
    assert lock_text(project) == before and len(project.tree()) == 1
    project("lock")
    assert f"size = {size}\n" in lock_text(project)
    assert "in sync" in project("sync", flag).out


def test_an_upgrade_does_not_bring_the_wrong_size_back(project: Project) -> None:
    """The site still says it, on a machine that has the lockfile and not the bytes."""
    lied_about(project, 2)
    wrong = lock_text(project)
    project("lock", "--upgrade")
    assert lock_text(project) == wrong, "the digest is the same: what is locked is not changed without the bytes"


LABELS = [
    {"Content-Type": "text/html; charset=utf-8"}, {"Content-Type": "application/json"},
    {"Content-Encoding": "aws-chunked"}, {"Content-Encoding": "utf-8"},
]  # fmt: skip


@case(168)
@pytest.mark.parametrize("labels", LABELS, ids=str)
def test_wrong_labels_are_outvoted_by_a_pinned_digest(project: Project, labels: dict[str, str]) -> None:
    url = project.hub.files.put("m.safetensors", MODEL)
    project.hub.faults.add("/files/m.safetensors", Fault(headers=labels))
    pinned = hashlib.sha256(MODEL).hexdigest()
    project.manifest(f'[models.m]\nsource = "{url}"\ntype = "lora"\nsha256 = "{pinned}"\n')
    said = project("sync").err
    assert "digest is right" in said
    assert project.tree() == {"models/loras/m.safetensors": MODEL}
    (project.path / "synapse.lock").unlink()
    project.manifest(f'[models.m]\nsource = "{url}"\ntype = "lora"\n')
    project("lock", code=6)  # without a digest there is only the label to go by


@case(168)
@pytest.mark.parametrize("labels", LABELS, ids=str)
def test_a_mirror_with_wrong_labels_helps(project: Project, labels: dict[str, str]) -> None:
    first = project.hub.files.put("first/m.safetensors", MODEL)
    mirror = project.hub.files.put("second.safetensors", MODEL)
    project.manifest(f'[models.m]\nsource = "{first}"\ntype = "lora"\nmirrors = ["{mirror}"]\n')
    project("lock")
    for blob in (project.store / "blobs").rglob("*"):
        if blob.is_file():
            blob.unlink()
    project.hub.files.remove("first/m.safetensors")
    project.hub.faults.add("/files/second.safetensors", Fault(headers=labels))
    project("sync")
    assert project.tree() == {"models/loras/m.safetensors": MODEL}


def test_a_preview_with_a_wrong_label_is_one(project: Project) -> None:
    cover = project.hub.files.put("cover.jpg", jpeg_bytes("c"), content_type="text/html")
    url = project.hub.files.put("m.safetensors", MODEL)
    project.manifest(f'[models.m]\nsource = "{url}"\ntype = "lora"\npreviews = true\ncover = "{cover}"\n')
    project("sync")
    assert sorted(project.tree()) == ["models/loras/m.preview.jpg", "models/loras/m.safetensors"]


# -- content that is no model, from every source -----------------------------------------------------------

STUMPS = {"pointer": POINTER, "words": b"Too Many Requests", "empty": b"", "cut": gguf_bytes("c")[:-8]}


def from_a_file(project: Project, content: bytes, name: str) -> str:
    (project.path / "words").mkdir()
    (project.path / "words" / "notes.txt").write_bytes(content)
    return f'[models.m]\nsource = "./words/notes.txt"\nfilename = "{name}"\ntype = "lora"\nallow-pickle = true\n'


def from_an_address(project: Project, content: bytes, name: str) -> str:
    url = project.hub.files.put("notes.txt", content, content_type="text/plain")
    return f'[models.m]\nsource = "{url}"\nfilename = "{name}"\ntype = "lora"\nallow-pickle = true\n'


@case(172)
@pytest.mark.parametrize("name", ["m.safetensors", "m.onnx", "m.bin", "m.pth", "m.gguf", "m"])
@pytest.mark.parametrize("stump", STUMPS)
@pytest.mark.parametrize("source", [from_a_file, from_an_address])
def test_the_name_in_the_tree_decides_whatever_the_source_calls_it(
    project: Project, source, stump: str, name: str
) -> None:
    project.manifest(source(project, STUMPS[stump], name))
    said = project("sync", code=6).err
    assert not any(path.startswith("models/") for path in project.tree())
    assert ("Git LFS" in said) == (stump == "pointer")


@case(172)
@pytest.mark.parametrize("name", ["words.txt", "words.dat", "words.json"])
@pytest.mark.parametrize("stump", STUMPS)
def test_a_local_file_under_a_name_for_no_weights_is_placed_with_a_warning(
    project: Project, stump: str, name: str
) -> None:
    project.manifest(from_a_file(project, STUMPS[stump], name))
    said = project("sync").err
    assert "no UI loads" in said and f"{name}`" in said
    assert project.tree()[f"models/loras/{name}"] == STUMPS[stump]
    assert "in sync" in project("sync").out


@pytest.mark.parametrize("name", ["words.txt", "words.dat", "words.json"])
def test_the_source_of_a_local_file_may_be_called_weights(project: Project, name: str) -> None:
    (project.path / "own.safetensors").write_bytes(b"red hair\n" * 30)
    project.manifest(f'[models.m]\nsource = "./own.safetensors"\nfilename = "{name}"\ntype = "lora"\n')
    assert "no UI loads" in project("sync").err
    assert project.tree()[f"models/loras/{name}"] == b"red hair\n" * 30


def test_what_the_store_has_is_judged_by_its_new_name(project: Project) -> None:
    """Bytes that were fine as a text come under an ending of weights."""
    url = project.hub.files.put("notes.txt", b"red hair\n" * 30, content_type="text/plain")
    project.manifest(f'[models.m]\nsource = "{url}"\ntype = "lora"\n')
    project("sync")
    assert list(project.tree()) == ["models/loras/notes.txt"]
    project.manifest(f'[models.m]\nsource = "{url}"\nfilename = "notes.safetensors"\ntype = "lora"\n')
    said = project("sync", code=6).err
    assert "plain text" in said
    assert list(project.tree()) == ["models/loras/notes.txt"]


def test_what_a_tree_has_is_judged_when_it_is_taken_from_there(project: Project) -> None:
    """The store lost the blob, and a file of the tree has the bytes: no way around the door."""
    url = project.hub.files.put("notes.txt", b"red hair\n" * 30, content_type="text/plain")
    project.manifest(f'[models.m]\nsource = "{url}"\ntype = "lora"\n')
    project("sync", "--link-mode", "copy")
    for blob in (project.store / "blobs").rglob("*"):
        if blob.is_file():
            blob.unlink()
    project.manifest(f'[models.m]\nsource = "{url}"\nfilename = "notes.safetensors"\ntype = "lora"\n')
    report = project("sync", "--link-mode", "copy", "--json", code=6)
    assert "plain text" in report.err or "plain text" in json.dumps(report.json)
    assert list(project.tree()) == ["models/loras/notes.txt"]


def test_members_of_an_archive_pass_the_same_door(project: Project, tmp_path: Path) -> None:
    import io
    import zipfile

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("good.safetensors", MODEL)
        archive.writestr("bad.onnx", POINTER)
        archive.writestr("LICENSE", "some words")
    url = project.hub.files.put("pack.zip", out.getvalue())
    entry = f'[models.m]\nsource = "{url}"\ntype = "lora"\nextract = ["PATTERN"]\n'
    project.manifest(entry.replace("PATTERN", "*.onnx"))
    assert "Git LFS" in project("sync", code=6).err and project.tree() == {}
    project.manifest(entry.replace("PATTERN", "good.safetensors"))
    project("sync")
    assert project.tree() == {"models/loras/good.safetensors": MODEL}
    project.manifest(entry.replace('["PATTERN"]', '["good.safetensors", "LICENSE"]'))
    project("sync")
    assert sorted(Path(path).name for path in project.tree()) == ["LICENSE", "good.safetensors"]


def test_memory_that_lacks_for_a_last_look_takes_nothing_back(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rules for families of models take megabytes. They are needed last, when all files are in place."""

    def full(*about: object) -> list[str]:
        raise MemoryError

    project.manifest(PORTRAIT)
    with monkeypatch.context() as patch:
        patch.setattr(headers, "contradictions", full)
        said = project("sync")
        assert "no memory is left to compare" in project("verify").err
    assert said.code == 0 and "no memory is left to compare" in said.err
    assert len(project.tree()) == 1 and "in sync" in project("sync").out
