"""One file of each format, from its bytes to values; and files that are hostile, damaged or of no format."""

from __future__ import annotations

import json

import pytest
from lists import (
    ADDRESSES,
    CIVITAI_PARAMETERS,
    COMFY_CLI_LOCK,
    FILES,
    FORK_PARAMETERS,
    PARAMETERS,
    WORKFLOW,
    digest,
    exif,
    jpeg,
    node,
    png,
    webp,
    workflow,
)

from synapse_sync.errors import InputError
from synapse_sync.interop.readers import FORMATS, IMAGE, Reading, read_file
from synapse_sync.interop.readers.document import LARGEST
from synapse_sync.interop.readers.listed import MOST, Listed
from synapse_sync.interop.readers.workflow import NODES

REPO = "hf://some/repo@main"


def facts(model: Listed) -> tuple[str | None, ...]:
    """The name, first location, path or type, and SHA-256 of a model."""
    place = f"{model.folder or model.type}/{model.filename}"
    location = str(model.references[0]) if model.references else None
    return model.name, location, place, model.sha256


def found(reading: Reading) -> list[tuple[str | None, ...]]:
    return [facts(model) for model in reading.models]


def test_every_format_has_a_file_here() -> None:
    assert {*FORMATS, IMAGE} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_the_content_decides_which_format_it_is(name: str) -> None:
    assert read_file("file", FILES[name]).format == name
    assert read_file("file", FILES[name]).models


@pytest.mark.parametrize(
    ("name", "models"),
    [
        (
            "workflow",
            [
                ("tiny_unet.safetensors", f"{REPO}/unet/tiny_unet.safetensors",
                 "models/diffusion_models/flux/tiny_unet.safetensors", digest(1)),
                ("tiny_vae.safetensors", f"{REPO}/tiny_vae.safetensors", "models/vae/tiny_vae.safetensors", None),
                ("ink.safetensors", f"{REPO}/ink.safetensors", "models/loras/styles/ink.safetensors", None),
                ("lost.safetensors", None, "models/checkpoints/lost.safetensors", None),
            ],
        ),
        (
            "workflow-api",
            [
                ("lost.safetensors", None, "models/checkpoints/lost.safetensors", None),
                ("ink.safetensors", None, "models/loras/styles/ink.safetensors", None),
                ("easy", None, "models/embeddings/easy", None),
                ("urn:air:sdxl:vae:civitai:5@6", "civitai:5@6", "models/vae/None", None),
            ],
        ),
        (
            "manager-list",
            [
                ("Tiny LoRA", f"{REPO}/tiny.safetensors", "models/loras/Tiny/tiny.safetensors", None),
                ("Tiny checkpoint", "civitai:@2", "models/checkpoints/tiny.pt", None),
                ("Tiny snapshot", "hf://some/llm", "models/LLM/None", None),
            ],
        ),
        (
            "comfyfetch",
            [
                ("tiny_vae.safetensors", f"{REPO}/split_files/vae/tiny_vae.safetensors",
                 "models/vae/tiny_vae.safetensors", None),
                ("dreamy.safetensors", "civitai:@128713", "models/checkpoints/dreamy.safetensors", None),
                ("x4.pth", "gh:some/upscaler@v0.1.0/x4.pth", "models/upscale_models/x4.pth", digest(3)),
            ],
        ),
        (
            "comfy-lock",
            [
                ("tiny_vae.safetensors", f"hf://some/repo@{'0123456789' * 4}/tiny_vae.safetensors",
                 f"models/vae{folder}/tiny_vae.safetensors", digest(1))
                for folder in ("", "/again")
            ],
        ),
        (
            "comfy-build",
            [
                ("tiny.safetensors", f"{REPO}/tiny.safetensors", "models/loras/tiny.safetensors", digest(1)),
                ("model.safetensors", f"sha256:{digest(2)}", "models/text_encoders/gemma_tiny/model.safetensors",
                 digest(2)),
            ],
        ),
        (
            "kulai",
            [
                ("Tiny UNet", f"{REPO}/tiny-fp16.safetensors", "models/diffusion_models/tiny-fp16.safetensors",
                 digest(1)),
                ("Tiny LoRA", "civitai:@128713", "models/loras/tiny.safetensors", None),
            ],
        ),
        ("cm-info", [("Tiny", "civitai:4384@128713", "lora/None", digest(7))]),
        ("lora-manager", [("Ink", "civitai:4384@128713", "lora/ink.safetensors", digest(7))]),
        ("civitai-info", [("Tiny", "civitai:4384@128713", "checkpoint/tiny.safetensors", digest(7))]),
        (
            "aria2",
            [
                ("tiny.safetensors", f"{REPO}/tiny.safetensors", "models/loras/tiny.safetensors", digest(1)),
                ("dreamy.safetensors", "civitai:@128713", "models/checkpoints/dreamy.safetensors", None),
            ],
        ),
        (
            "addresses",
            [
                ("https://huggingface.co/some/repo/resolve/main/tiny.safetensors", f"{REPO}/tiny.safetensors",
                 "None/None", None),
                ("civitai:4384@128713", "civitai:4384@128713", "None/None", None),
                ("not an address", None, "None/None", None),
            ],
        ),
    ],
)  # fmt: skip
def test_each_model_has_its_facts(name: str, models: list[tuple[str | None, ...]]) -> None:
    assert found(read_file("file", FILES[name])) == models


def test_comfy_cli_needs_no_hashes() -> None:
    (model,) = read_file("comfy-lock.yaml", COMFY_CLI_LOCK.encode()).models
    assert (model.references[0].text, model.sha256) == (f"{REPO}/tiny_vae.safetensors", None)


def test_what_is_lacking_is_said() -> None:
    problems = {m.name: m.problem for name in FILES for m in read_file("file", FILES[name]).models if m.problem}
    assert problems == {
        "lost.safetensors": "no location is known",
        "ink.safetensors": "no location is known",
        "easy": "no location is known",
        "not an address": "`not an address` is not a reference",
        "tiny.vae.pt": "only its name is known",
        "unhashed": "only its name is known",
    }


def test_groups_and_mirrors_stay() -> None:
    assert [m.groups for m in read_file("comfy.yaml", FILES["comfyfetch"]).models] == [
        ("base",), ("base",), ("extras",),
    ]  # fmt: skip
    first = read_file("downloads.txt", FILES["aria2"]).models[0]
    assert [str(reference) for reference in first.references[1:]] == ["https://mirror.example/tiny.safetensors"]


def test_no_credential_is_read() -> None:
    for name in ("aria2", "comfyfetch", "comfy-lock"):
        assert "Bearer" not in repr(read_file("file", FILES[name])) and "${" not in repr(
            read_file("f", FILES[name])
        )
    (model,) = read_file("list.txt", b"https://a.example/x.safetensors?token=abc\nhf://a/b").models[:1]
    assert model.problem is not None and "abc" not in repr(model)


# -- images -------------------------------------------------------------------------------------------

IN_IMAGES = [
    ("ink", "autov3:0123456789ab"), ("tiny", "autov2:0123456789"), ("tiny.vae.pt", None), ("unhashed", None),
]  # fmt: skip


@pytest.mark.parametrize(
    "data",
    [
        png(parameters=PARAMETERS),
        png(parameters=f"猫 {PARAMETERS}"),
        jpeg(exif(PARAMETERS)),
        jpeg(exif(PARAMETERS, order="<", make="a camera")),
        webp(exif(f"猫 {PARAMETERS}")),
    ],
    ids=["png", "png of other letters", "jpeg", "jpeg of the other order", "webp"],
)
def test_the_settings_in_an_image_name_its_models(data: bytes) -> None:
    models = read_file("cat", data).models
    assert [(m.name, m.resource and str(m.resource.reference)) for m in models] == IN_IMAGES


def test_forks_write_all_hashes_in_one_table() -> None:
    models = read_file("cat.jpg", jpeg(exif(FORK_PARAMETERS))).models
    assert [(m.name, m.resource and str(m.resource.reference)) for m in models] == [
        ("tiny", "autov2:0123456789"), ("ink", "autov3:0123456789ab"),
    ]  # fmt: skip


def test_civitai_writes_the_versions() -> None:
    models = read_file("cat.png", png(parameters=CIVITAI_PARAMETERS)).models
    assert [str(m.resource.reference) for m in models if m.resource] == ["civitai:@128713", "civitai:@62833"]


@pytest.mark.parametrize(
    "data",
    [
        png(workflow=json.dumps(WORKFLOW), prompt=json.dumps({})),
        webp(exif(make=f"Workflow:{json.dumps(WORKFLOW)}")),
    ],
    ids=["png", "webp"],
)
def test_an_image_has_the_workflow_that_made_it(data: bytes) -> None:
    assert found(read_file("cat", data)) == found(read_file("wf.json", FILES["workflow"]))


def test_a_workflow_and_settings_are_put_together() -> None:
    """A saver node of ComfyUI writes both: the workflow has the names, the settings have the hashes."""
    text = json.dumps(workflow(node(1, "LoraLoader", widgets=["x/ink.safetensors"])))
    models = read_file("cat.png", png(prompt="{}", workflow=text, parameters=PARAMETERS)).models
    assert [m.name for m in models] == ["ink.safetensors", "tiny", "tiny.vae.pt", "unhashed"]
    assert models[0].resource is not None and models[0].problem is None
    assert str(models[0].folder) == "models/loras/x"


def test_an_image_without_texts_lists_nothing() -> None:
    assert [read_file("x", data).models for data in (png(), jpeg(exif()), webp(b""), jpeg(b"II*\0"))] == [()] * 4


# -- hostile and damaged ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"\x80\x81", "neither text nor an image"),
        (b"some words", "not a list of models"),
        (b"{}", "not a list of models"),
        (b"a: b", "not a list of models"),
        (b'{"nodes": [', "not valid JSON: line 1, column"),
        (b"[" * 100_000, "digits or levels"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "digits or levels"),
        (b"models: " + b"[" * 40 + b"]" * 40, "levels or values"),
        (b"models: &a [x]\nb: *a", "anchor or alias"),
        (b"models: !!python/object:os.system {}", "YAML tag"),
        (b"a: 1\na: 2", "defined twice"),
        (b"a: [", "not valid YAML"),
        (b"[[resource]]\na = ", "not valid TOML"),
        (bytes(LARGEST + 1), "more than 64 MB"),
        (b'{"nodes": [' + b" " * (16 << 20), "of text"),
        (png(parameters="猫" * (17 << 20)), "of text"),
        (png(workflow='{"nodes": ['), "not valid JSON"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_that_cannot_be_read_is_an_error(data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_file("file", data)


def test_a_list_has_an_end() -> None:
    line = "hf://some/repo/{}.safetensors\n"
    many = "".join(line.format(number) for number in range(10_000))
    assert len(read_file("list.txt", many.encode()).models) == 10_000
    too_many = "".join(line.format(number) for number in range(MOST + 1))
    with pytest.raises(InputError, match="more than 20,000 models"):
        read_file("list.txt", too_many.encode())
    with pytest.raises(InputError, match="more than 50,000 nodes"):
        read_file("wf.json", json.dumps({"nodes": [{}] * (NODES + 1)}).encode())


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"name": "x.safetensors", "url": "hf://a/b/x", "directory": "../../etc"}, "its folder `models"),
        ({"name": "../../x.safetensors", "url": "hf://a/b/x", "directory": "vae"}, "its folder `models"),
        ({"name": "x.safetensors", "url": "file:///etc/passwd", "directory": "vae"}, "a path on another machine"),
        ({"name": "x.safetensors", "url": "/etc/passwd", "directory": "vae"}, "a path on another machine"),
        ({"name": "x.safetensors", "url": "javascript:alert(1)", "directory": "vae"}, "is not a reference"),
        ({"name": "x.safetensors", "url": "hf://a/b/x", "directory": "vae", "hash": "zz"}, "64 hexadecimal digits"),
        ({"name": "x.safetensors", "url": ["hf://a/b"], "directory": {"a": 1}}, "no location is known"),
    ],
)  # fmt: skip
def test_a_hostile_entry_becomes_no_requirement(entry: dict[str, str], problem: str) -> None:
    (model,) = read_file("wf.json", json.dumps(workflow(node(1, "VAELoader", entry))).encode()).models
    assert model.problem is not None and problem in model.problem
    assert model.folder is None or ".." not in str(model.folder)


def test_a_name_from_outside_is_made_safe() -> None:
    entry = {"name": "a\u202e:b\x1b[31m.safetensors", "url": "hf://a/b/x", "directory": "vae"}
    (model,) = read_file("wf.json", json.dumps(workflow(node(1, "VAELoader", entry))).encode()).models
    assert (model.name, model.filename) == ("a:b[31m.safetensors", "a_b[31m.safetensors")


def test_addresses_on_windows_have_other_line_ends() -> None:
    data = b"\xef\xbb\xbf" + ADDRESSES.replace("\n", "\r\n").encode()
    assert found(read_file("list.txt", data)) == found(read_file("list.txt", ADDRESSES.encode()))
