from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from cases import case
from workbench import downloads
from world import Project

from synapse_sync.core.policy import Facts, Permissions
from synapse_sync.demo import catalogue
from synapse_sync.demo.civitai.things import File, Model, Version
from synapse_sync.demo.exchange import PAGE
from synapse_sync.demo.weights import gguf_bytes, pickle_bytes, png_bytes, safetensors_bytes
from synapse_sync.errors import IntegrityError, RefusedFormat, SynapseError, WrongContent
from synapse_sync.transfer.inspect import inspect_file

RAW_PICKLE = pickle.dumps({"a": list(range(100))}, protocol=2)
GOOD = safetensors_bytes("good")
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0f" * 32 + b"\nsize 4321\n"
WORDS = b"a sentence of an error page\n"
#: What comes in place of a model, and what must not be taken for one under any ending that programs load.
STUMPS = {
    "pointer": POINTER, "empty": b"", "words": WORDS, "page": PAGE, "json": b'{"error": "no"}',
    "image": png_bytes("p"), "gguf": b"GGUF", "cut gguf": gguf_bytes("good")[:-9],
    "cut zip": pickle_bytes("x")[:-30], "zip": b"PK\x03\x04",
}  # fmt: skip
ENDINGS = ("safetensors", "sft", "gguf", "onnx", "ckpt", "pt", "pth", "bin", "zip", "tar", "")


def look(
    tmp_path: Path, content: bytes, format: str, *names: str, allow_pickle: bool = False, local: bool = False
) -> type[SynapseError] | str | None:
    """The class of the refusal, the warning, or None."""
    path = tmp_path / "file"
    path.write_bytes(content)
    facts = Facts(subject="file", format=format, names=names, local=local)
    try:
        return inspect_file(path, facts, Permissions(pickles=allow_pickle))
    except SynapseError as error:
        return type(error)


@pytest.mark.parametrize(
    ("content", "format", "verdict"),
    [
        (GOOD, "safetensors", None),
        (gguf_bytes("good"), "gguf", None),
        (b'{"a": 1}', "config", None),
        (b"some words", "text", None),
        (b"\x08\x07onnx", "onnx", None),
        (PAGE, "safetensors", WrongContent),
        (PAGE, "gguf", WrongContent),
        (PAGE, "pickle", WrongContent),
        (b'{"error": "no"}', "safetensors", WrongContent),
        (b"<?xml version='1.0'?><Error/>", "safetensors", WrongContent),
        (pickle_bytes("x"), "safetensors", RefusedFormat),
        (RAW_PICKLE, "safetensors", RefusedFormat),
        (pickle_bytes("x"), "gguf", RefusedFormat),
        (RAW_PICKLE, "onnx", RefusedFormat),
        (RAW_PICKLE, "other", RefusedFormat),
        (GOOD[:-1], "safetensors", IntegrityError),
        (GOOD + b"\0", "safetensors", IntegrityError),
        (GOOD[:5], "safetensors", IntegrityError),
        (b"", "safetensors", IntegrityError),
        (bytes(4096), "safetensors", IntegrityError),
        (b"\xff" * 4096, "safetensors", IntegrityError),
        (b"not GGUF at all", "gguf", IntegrityError),
        (b"", "gguf", IntegrityError),
    ],
)
def test_the_content_decides(
    tmp_path: Path, content: bytes, format: str, verdict: type[SynapseError] | None
) -> None:
    assert look(tmp_path, content, format) is verdict


def test_a_pickle_that_is_allowed_must_still_be_no_safetensors(tmp_path: Path) -> None:
    assert look(tmp_path, pickle_bytes("x"), "pickle", allow_pickle=True) is None
    assert look(tmp_path, RAW_PICKLE, "other", allow_pickle=True) is None
    assert look(tmp_path, pickle_bytes("x"), "safetensors", allow_pickle=True) is IntegrityError


@case(171)
@pytest.mark.parametrize("local", [False, True], ids=["remote", "local"])
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("stump", STUMPS)
def test_what_is_no_model_is_refused_under_every_ending_of_weights_and_without_one(
    tmp_path: Path, stump: str, ending: str, local: bool
) -> None:
    name = f"models/loras/m.{ending}".rstrip(".")
    # The source's own name, and so its format, is one for documents: the name in the tree decides.
    verdict = look(tmp_path, STUMPS[stump], "other", "notes.txt", name, allow_pickle=True, local=local)
    assert isinstance(verdict, type) and issubclass(verdict, IntegrityError)
    assert issubclass(verdict, WrongContent) == (stump in ("page", "json"))


@pytest.mark.parametrize("name", ["notes.txt", "weights.dat", "models/x.json", "LICENSE", "a.yaml"])
@pytest.mark.parametrize("stump", STUMPS)
def test_the_users_own_file_is_placed_under_a_name_that_is_for_no_weights(
    tmp_path: Path, stump: str, name: str
) -> None:
    said = look(tmp_path, STUMPS[stump], "safetensors", "m.safetensors", name, allow_pickle=True, local=True)
    assert isinstance(said, str) and f"`{name}`" in said and "no UI loads" in said


def test_a_file_of_weights_is_placed_without_a_warning(tmp_path: Path) -> None:
    for name in ("m.safetensors", "m", "Model_v3.2"):
        assert look(tmp_path, GOOD, "other", name, local=True) is None
        assert look(tmp_path, GOOD, "other", name) is None


@pytest.mark.parametrize(
    ("content", "format", "names", "verdict"),
    [
        (WORDS, "text", ("LICENSE",), None),
        (WORDS, "other", ("licenses/LICENSE",), None),
        (WORDS, "text", ("vocab",), None),  # a document of a repository, as its source knows
        (WORDS, "other", ("vocab",), IntegrityError),
        (WORDS, "other", ("spiece.model",), None),
        (b"", "config", ("added_tokens.json",), None),
        (b"", "other", ("x.dat",), IntegrityError),
        (POINTER, "config", ("tokenizer.json",), IntegrityError),
        (POINTER, "other", ("spiece.model",), IntegrityError),
        (b'{"a": 1}', "other", ("x.dat",), None),
        (PAGE, "other", ("x.dat",), WrongContent),
        (PAGE, "config", ("config.json",), WrongContent),
        (PAGE, "text", ("notes.html",), RefusedFormat),  # a page may have a script in it
        (PAGE, "text", ("notes.md",), None),
        (WORDS, "text", ("words.txt", "loras/words.safetensors"), IntegrityError),
        (GOOD, "other", ("dl", "loras/m.safetensors"), None),
        (GOOD, "other", ("dl", "unet/m.gguf"), IntegrityError),
        (GOOD[:-1], "other", ("dl", "loras/m.safetensors"), IntegrityError),
        (GOOD[:-1], "other", ("dl", "loras/m"), IntegrityError),
    ],
)
def test_content_and_names_decide_together(
    tmp_path: Path, content: bytes, format: str, names: tuple[str, ...], verdict: type[SynapseError] | None
) -> None:
    assert look(tmp_path, content, format, *names) is verdict


@case(171)
def test_a_pointer_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(POINTER)
    with pytest.raises(IntegrityError, match="a pointer of Git LFS"):
        inspect_file(tmp_path / "file", Facts(subject="m", format="onnx", names=("m.onnx",)), Permissions())


def offer(project: Project, content: bytes, name: str = "disguised.safetensors") -> str:
    file = File(id=77_001, name=name, content=content, primary=True)
    version = Version(id=77_010, name="1.0", files=(file,))
    project.hub.civitai.add(Model(id=77, name="Disguise", versions=(version,)))
    project.manifest('[models]\nit = "civitai:77"\n')
    return name


def test_a_disguised_pickle_with_the_right_digest_is_refused(project: Project) -> None:
    offer(project, pickle_bytes("evil"))
    assert "calls itself safetensors" in project("sync", code=2).err
    assert project.tree() == {} and project.blobs() == []
    assert len(downloads(project.hub)) == 1
    project("sync", code=2)
    assert len(downloads(project.hub)) == 1, "the bytes are there, they need not come again to be refused"


def test_a_web_page_is_no_model_even_with_the_right_digest(project: Project) -> None:
    offer(project, PAGE * 40)
    assert "not a model" in project("sync", code=6).err
    assert project.tree() == {} and project.blobs() == []


def test_a_pickle_is_refused_before_it_is_downloaded(project: Project) -> None:
    project.manifest(f'[models]\nold = "civitai:{catalogue.PICKLE}"\n')
    assert "allow-pickle" in project("lock", code=2).err
    assert downloads(project.hub) == []


def test_a_pickle_under_any_name_needs_the_word(project: Project) -> None:
    name = offer(project, RAW_PICKLE, "net.onnx")
    assert "is a pickle" in project("sync", code=2).err
    assert project.tree() == {}
    project.manifest('[models.it]\nsource = "civitai:77"\nallow-pickle = true\n')
    project("sync")
    assert project.tree() == {f"models/checkpoints/{name}": RAW_PICKLE}
