"""Arrange: a path for every file in every target that wants it, and clashes told before anything is downloaded."""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import replace

import pytest

from synapse_sync.core.artifact import ONCE_OTHER, Artifact, ModelCard, format_of
from synapse_sync.core.link_mode import LinkMode
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.manifest.values import Requirement, Target
from synapse_sync.core.names import SafePath
from synapse_sync.core.reference import Reference
from synapse_sync.errors import InputError, InvalidManifest, MissingType, NameClash, Several
from synapse_sync.layouts import LAYOUTS
from synapse_sync.layouts.arrange import Arrangement, arrange, layout_of

COMFY = Target(name="comfy", layout="comfyui")
FORGE = Target(name="forge", layout="forge", link_mode=LinkMode.SYMLINK)
FLAT = Target(name="flat", layout="flat")


def entry(name: str, **words: object) -> Requirement:
    return Requirement(name=name, reference=Reference.parse("civitai:1"), **words)  # type: ignore[arg-type]


def locked(name: str, *filenames: str, kind: str | None = "lora", content: str | None = None) -> LockedModel:
    files = tuple(
        Artifact(
            filename=filename,
            size=1,
            sha256=hashlib.sha256((content or name + filename).encode()).hexdigest(),
            url=Reference.parse("civitai:@2"),
        )
        for filename in filenames or (f"{name}.safetensors",)
    )
    card = ModelCard(type=kind)
    return LockedModel(
        name=name, requirement="civitai:1", reference=Reference.parse("civitai:1@2"), card=card, artifacts=files
    )


def one_file(
    name: str, filename: str, *, kind: str | None = "checkpoint", role: str = "model", format: str | None = None
) -> LockedModel:
    """A model of one file, whose own kind may differ from its model's."""
    model = locked(name, filename, kind=kind)
    file = replace(model.artifacts[0], role=role, format=format or format_of(filename))
    return replace(model, artifacts=(file,))


def arranged(entries: list[Requirement], models: list[LockedModel], *targets: Target) -> Arrangement:
    return arrange(entries, {model.name: model for model in models}, targets or (COMFY,))


def paths(found: Arrangement) -> list[tuple[str, str]]:
    return [placement.key for placement in found.placements]


def test_every_target_gets_the_file_in_its_own_folder() -> None:
    found = arranged([entry("a")], [locked("a")], COMFY, FORGE, FLAT)
    assert paths(found) == [
        ("comfy", "models/loras/a.safetensors"),
        ("forge", "models/Lora/a.safetensors"),
        ("flat", "a.safetensors"),
    ]
    assert [placement.link_mode for placement in found.placements] == ["auto", "symlink", "auto"]
    assert {placement.model for placement in found.placements} == {"a"}
    assert found.notes == ()


@pytest.mark.parametrize(
    ("groups", "targets", "expected"),
    [
        ((), None, ["comfy"]),
        (("portrait",), None, ["comfy", "some"]),
        (("other", "portrait"), None, ["comfy", "some"]),
        (("other",), None, ["comfy"]),
        (("portrait",), ("some",), ["some"]),
        ((), ("some",), []),  # its groups keep it out
        (("portrait",), (), []),
    ],
)
def test_groups_and_targets_choose(
    groups: tuple[str, ...], targets: tuple[str, ...] | None, expected: list[str]
) -> None:
    some = Target(name="some", groups=("portrait",))
    found = arranged([entry("a", groups=groups, targets=targets)], [locked("a")], COMFY, some)
    assert [placement.target for placement in found.placements] == expected


def test_an_entry_that_is_not_locked_is_passed_over() -> None:
    assert paths(arranged([entry("a"), entry("b")], [locked("b")])) == [("comfy", "models/loras/b.safetensors")]


@pytest.mark.parametrize(
    ("words", "path"),
    [
        ({}, "models/loras/a.safetensors"),
        ({"filename": SafePath("mine.safetensors")}, "models/loras/mine.safetensors"),
        ({"subfolder": SafePath("x/y")}, "models/loras/x/y/a.safetensors"),
        ({"subfolder": SafePath("x"), "filename": SafePath("m.bin")}, "models/loras/x/m.bin"),
        ({"type": "vae"}, "models/vae/a.safetensors"),
    ],
)
def test_filename_subfolder_and_type(words: dict[str, object], path: str) -> None:
    assert paths(arranged([entry("a", **words)], [locked("a")])) == [("comfy", path)]


def test_a_single_file_leaves_the_folders_of_its_repository_behind() -> None:
    assert paths(arranged([entry("a")], [locked("a", "sub/dir/f.bin")])) == [("comfy", "models/loras/f.bin")]


def test_a_repository_keeps_its_tree_below_a_directory_of_its_own() -> None:
    model = locked("repo", "model_index.json", "vae/m.safetensors", "unet/m.safetensors", kind="diffusers")
    assert paths(arranged([entry("repo", subfolder=SafePath("s"))], [model])) == [
        ("comfy", "models/diffusers/s/repo/model_index.json"),
        ("comfy", "models/diffusers/s/repo/vae/m.safetensors"),
        ("comfy", "models/diffusers/s/repo/unet/m.safetensors"),
    ]


def test_a_filename_for_several_files_is_refused() -> None:
    with pytest.raises(InputError, match="`filename` is given, but this model has several files") as caught:
        arranged([entry("a", filename=SafePath("x"))], [locked("a", "1.bin", "2.bin")])
    assert caught.value.subject == "a"


def test_a_model_without_a_type_needs_one_except_where_everything_goes() -> None:
    with pytest.raises(InputError, match="which type of model") as caught:
        arranged([entry("a")], [locked("a", kind=None)])
    assert 'type = "lora"' in (caught.value.hint or "")
    assert paths(arranged([entry("a")], [locked("a", kind=None)], FLAT)) == [("flat", "a.safetensors")]
    assert paths(arranged([entry("a", type="vae")], [locked("a", kind=None)])) == [
        ("comfy", "models/vae/a.safetensors")
    ]


def test_a_target_without_a_folder_is_a_note_while_another_takes_it() -> None:
    found = arranged([entry("a")], [locked("a", kind="style_model")], COMFY, FORGE)
    assert [placement.target for placement in found.placements] == ["comfy"]
    (note,) = found.notes
    assert "Forge has no folder for type `style_model`" in note
    assert "`a`" in note


@pytest.mark.parametrize("targets", [None, ("comfy", "forge")])
def test_no_folder_anywhere_or_in_a_target_that_was_named_is_an_error(targets: tuple[str, ...] | None) -> None:
    kind = "something_new" if targets is None else "style_model"
    with pytest.raises(InputError, match="has no folder for type"):
        arranged([entry("a", targets=targets)], [locked("a", kind=kind)], COMFY, FORGE)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("x.safetensors", "x.safetensors"),
        ("x.safetensors", "X.SafeTensors"),
        ("é.safetensors", unicodedata.normalize("NFC", "É.safetensors")),
        ("file.bin", "ﬁle.bin"),
        ("Ｘ.bin", "x.bin"),
        ("straße.bin", "STRASSE.bin"),
    ],
)
def test_two_models_for_one_path_clash_also_by_case_and_unicode_form(one: str, two: str) -> None:
    with pytest.raises(NameClash, match="`a` and `b` both want") as caught:
        arranged([entry("a"), entry("b")], [locked("a", one), locked("b", two)])
    assert caught.value.subject == "b"
    assert "filename" in (caught.value.hint or "")


def test_the_same_name_in_two_targets_or_of_two_types_is_no_clash() -> None:
    one, two = entry("a", targets=("comfy",)), entry("b", targets=("forge",))
    models = [locked("a", "x.bin"), locked("b", "x.bin")]
    assert len(paths(arranged([one, two], models, COMFY, FORGE))) == 2
    assert len(paths(arranged([entry("a", type="vae"), entry("b")], models))) == 2


def test_two_models_with_the_same_bytes_at_one_path_are_one_placement() -> None:
    models = [locked(name, "x.bin", content="same") for name in "ab"]
    assert paths(arranged([entry("a"), entry("b")], models)) == [("comfy", "models/loras/x.bin")]


def test_the_same_bytes_under_names_that_differ_by_case_still_clash() -> None:
    models = [locked("a", "x.bin", content="same"), locked("b", "X.bin", content="same")]
    with pytest.raises(NameClash):
        arranged([entry("a"), entry("b")], models)


@pytest.mark.parametrize("folder", ["x.bin", "X.BIN"])
def test_a_file_where_another_model_needs_a_directory_clashes(folder: str) -> None:
    entries = [entry("a"), entry("b", subfolder=SafePath(folder))]
    with pytest.raises(NameClash, match=r"`a` wants the file `models/loras/x\.bin` where `b` needs a directory"):
        arranged(entries, [locked("a", "x.bin"), locked("b")])


def test_all_errors_are_told_together() -> None:
    entries = [entry(name) for name in "abcd"]
    models = [locked("a", "x.bin"), locked("b", "x.bin"), locked("c", kind=None), locked("d", kind="something_new")]
    with pytest.raises(Several) as caught:
        arranged(entries, models)
    assert [type(error) for error in caught.value.errors] == [MissingType, InputError, NameClash]
    assert [error.subject for error in caught.value.errors] == ["c", "d", "b"]


def test_an_unknown_layout_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InvalidManifest, match=r"targets\.t\.layout: unknown layout `comfy-ui`") as caught:
        layout_of(Target(name="t", layout="comfy-ui"))
    assert caught.value.hint == "did you mean `comfyui`?"
    with pytest.raises(InvalidManifest) as caught:
        layout_of(Target(name="t", layout="zzz"))
    assert "swarmui" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("word", "type"),
    [("LORA", "lora"), ("LoCon", "lora"), ("TextualInversion", "embedding"), ("unet", "diffusion_model"),
     ("clip", "text_encoder"), ("CLIPVision", "clip_vision"), ("loras", "lora"), ("Checkpoint", "checkpoint")],
)  # fmt: skip
def test_a_word_of_a_site_or_a_ui_leads_to_the_type(word: str, type: str) -> None:
    with pytest.raises(InputError) as caught:
        arranged([entry("a")], [locked("a", "x.safetensors", kind=word)])
    assert caught.value.hint == f"did you mean `{type}`?"


# -- the file's own kind -----------------------------------------------------------------------------

OWN_FOLDERS = [
    # role, file, ComfyUI, SD.Next, A1111, Forge
    ("diffusion_model", "a.safetensors", "diffusion_models", "UNET", "Stable-diffusion", "Stable-diffusion"),
    ("model", "a.gguf", "diffusion_models", "UNET", "Stable-diffusion", "Stable-diffusion"),
    ("vae", "a.safetensors", "vae", "VAE", "VAE", "VAE"),
    ("text_encoder", "a.safetensors", "text_encoders", "Text-encoder", "Stable-diffusion", "text_encoder"),
    ("config", "a.yaml", "configs", "Stable-diffusion", "Stable-diffusion", "Stable-diffusion"),
    ("model", "a.safetensors", "checkpoints", "Stable-diffusion", "Stable-diffusion", "Stable-diffusion"),
]


@pytest.mark.parametrize(("role", "filename", "comfyui", "sdnext", "a1111", "forge"), OWN_FOLDERS)
def test_the_kind_of_the_file_goes_before_that_of_its_model(
    role: str, filename: str, comfyui: str, sdnext: str, a1111: str, forge: str
) -> None:
    """A UI without a folder for it has it where its model goes."""
    layouts = {"comfyui": comfyui, "sdnext": sdnext, "a1111": a1111, "forge": forge}
    targets = [Target(name=name, layout=name) for name in layouts]
    found = arranged([entry("a")], [one_file("a", filename, role=role)], *targets)
    assert paths(found) == [(name, f"models/{folder}/{filename}") for name, folder in layouts.items()]


def test_a_type_in_the_manifest_goes_before_the_files_own() -> None:
    for role, filename in (("diffusion_model", "a.safetensors"), ("model", "a.gguf"), ("vae", "a.safetensors")):
        found = arranged([entry("a", type="checkpoint")], [one_file("a", filename, role=role)])
        assert paths(found) == [("comfy", f"models/checkpoints/{filename}")]


def test_a_file_with_a_kind_of_its_own_needs_no_type() -> None:
    assert paths(arranged([entry("a")], [one_file("a", "a.pt", kind=None, role="vae")])) == [
        ("comfy", "models/vae/a.pt")
    ]


def test_the_files_of_a_repository_stay_together() -> None:
    model = locked("a", "transformer/x.gguf", "vae/y.safetensors", kind="checkpoint")
    files = tuple(
        replace(a, role="vae" if "vae" in a.filename else "model", format="gguf") for a in model.artifacts
    )
    found = arranged([entry("a")], [replace(model, artifacts=files)])
    assert {path.rpartition("/a/")[0] for _, path in paths(found)} == {"models/checkpoints"}


# -- endings that a UI lists -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layout", "kind", "filename", "listed"),
    [
        ("comfyui", "lora", "12345", False),
        ("comfyui", "lora", "a.safetensors", True),
        ("comfyui", "lora", "A.SAFETENSORS", True),
        ("comfyui", "checkpoint", "a.gguf", False),
        ("comfyui", "diffusion_model", "a.gguf", True),
        ("comfyui", "sam", "get", False),
        ("comfyui", "lora", "v3.2", False),
        ("a1111", "checkpoint", "a.gguf", False),
        ("a1111", "lora", "a.bin", False),
        ("a1111", "embedding", "a.png", True),
        ("forge", "checkpoint", "a.gguf", True),
        ("forge-neo", "text_encoder", "a.gguf", True),
        ("sdnext", "upscaler", "a.safetensors", False),
        ("sdnext", "upscaler", "a.pth", True),
        ("swarmui", "diffusion_model", "a.sft", True),
        ("fooocus", "lora", "a.gguf", False),
        ("comfyui", "config", "a.yaml", True),
        ("flat", "lora", "12345", True),
    ],
)
def test_a_file_that_its_ui_will_not_list_is_reported(layout: str, kind: str, filename: str, listed: bool) -> None:
    target = Target(name="ui", layout=layout)
    found = arranged([entry("a", type=kind)], [one_file("a", filename, kind=kind)], target)
    assert len(found.placements) == 1
    assert (found.notes == ()) == listed
    assert all("endings" in note and "`filename = " in note for note in found.notes)


@pytest.mark.parametrize("kind", ["lora", "checkpoint", "vae"])
def test_an_archive_is_not_placed_without_a_word_about_extract(kind: str) -> None:
    (note,) = arranged([entry("a")], [one_file("a", "pack.zip", kind=kind)]).notes
    assert "archives" in note and "`extract = " in note


@pytest.mark.parametrize(
    ("wish", "placed"),
    [
        ("mine", "mine.safetensors"), ("v3.2", "v3.2.safetensors"), ("x.safetensor", "x.safetensor.safetensors"),
        ("mine.safetensors", "mine.safetensors"), ("mine.pt", "mine.pt"), ("mine.SFT", "mine.SFT"),
    ],
)  # fmt: skip
def test_a_filename_without_an_ending_gets_that_of_the_file(wish: str, placed: str) -> None:
    model = one_file("a", "theirs.safetensors", kind="lora")
    found = arranged([entry("a", filename=SafePath(wish))], [model])
    assert paths(found) == [("comfy", f"models/loras/{placed}")]
    assert any("no ending" in note for note in found.notes) == (wish != placed)
    flat = arranged([entry("a", filename=SafePath(wish))], [model], FLAT)
    assert paths(flat) == [("flat", wish)]  # no UI looks there


@pytest.mark.parametrize(
    ("filename", "format", "placed"),
    [
        ("theirs_v2", "safetensors", "theirs_v2.safetensors"), ("theirs 1.5", "gguf", "theirs 1.5.gguf"),
        ("theirs", "pickle", "theirs"), ("theirs", "other", "theirs"), ("theirs.pt", "safetensors", "theirs.pt"),
    ],
)  # fmt: skip
def test_a_site_may_know_the_format_of_a_name_without_an_ending(filename: str, format: str, placed: str) -> None:
    model = one_file("a", filename, kind="diffusion_model", format=format)
    for words in ({}, {"filename": SafePath("mine")}):
        found = arranged([entry("a", **words)], [model])
        name = f"mine{placed.removeprefix(filename)}" if words else placed
        if words and filename == "theirs.pt":
            name = "mine.pt"
        assert paths(found) == [("comfy", f"models/diffusion_models/{name}")]


def test_every_layout_knows_the_endings_of_its_weights() -> None:
    for layout in LAYOUTS.values():
        assert set(layout.endings) <= set(layout.folders)
        if layout.folders:
            assert layout.lists("lora", "a.safetensors") and not layout.lists("lora", "a.txt")


# -- the manifest's own folders ---------------------------------------------------------------------------


def test_a_models_own_folder_replaces_that_of_its_type_and_keeps_the_subfolder() -> None:
    own = entry("a", folder=SafePath("models/anything"), subfolder=SafePath("details"))
    found = arranged([own], [locked("a", kind="something_new")], COMFY, FORGE)
    assert paths(found) == [
        ("comfy", "models/anything/details/a.safetensors"),
        ("forge", "models/anything/details/a.safetensors"),
    ]
    assert not found.notes


def test_a_folder_for_one_target_leaves_the_others_to_their_layout() -> None:
    own = entry("a", folders=(("forge", SafePath("models/Other")),))
    assert paths(arranged([own], [locked("a")], COMFY, FORGE)) == [
        ("comfy", "models/loras/a.safetensors"),
        ("forge", "models/Other/a.safetensors"),
    ]


def test_a_targets_own_folders_are_open_and_go_before_the_layouts() -> None:
    target = replace(
        COMFY, folders=(("insightface", SafePath("models/insightface/models")), ("lora", SafePath("models/mine")))
    )
    found = arranged([entry("a"), entry("b")], [locked("a", kind="insightface"), locked("b")], target)
    assert paths(found) == [
        ("comfy", "models/insightface/models/a.safetensors"),
        ("comfy", "models/mine/b.safetensors"),
    ]


def test_a_type_without_a_folder_names_the_line_to_write() -> None:
    with pytest.raises(InputError) as caught:
        arranged([entry("a")], [locked("a", kind="insightface")])
    hint = caught.value.hint or ""
    assert '`insightface = "models/insightface"` below `[targets.comfy.folders]`' in hint


def test_targets_choose_types() -> None:
    loras, rest = replace(COMFY, types=("lora",)), replace(FORGE, exclude_types=("lora",))
    found = arranged([entry("a"), entry("b")], [locked("a"), locked("b", kind="vae")], loras, rest)
    assert paths(found) == [("comfy", "models/loras/a.safetensors"), ("forge", "models/VAE/b.safetensors")]
    assert not found.notes


def test_a_type_that_no_target_accepts_is_a_note() -> None:
    found = arranged([entry("a")], [locked("a")], replace(COMFY, exclude_types=("lora",)))
    assert not found.placements
    (note,) = found.notes
    assert "`a`: no target of this model accepts type `lora`" in note


@pytest.mark.parametrize(
    ("filename", "folder"),
    [
        ("face_yolov8n.pt", "models/ultralytics/bbox"),
        ("person_yolov8m-seg.pt", "models/ultralytics/segm"),
        ("hand_segm.pth", "models/ultralytics/segm"),
        ("segway.pt", "models/ultralytics/bbox"),  # a word within a word says nothing
        ("rt_detr.safetensors", "models/detection"),
    ],
)
@pytest.mark.parametrize("said", [None, "detection"])
def test_pickled_detection_models_are_those_of_ultralytics(filename: str, folder: str, said: str | None) -> None:
    model = one_file("a", filename, kind="detection")
    assert paths(arranged([entry("a", type=said)], [model])) == [("comfy", f"{folder}/{filename}")]


@pytest.mark.parametrize("kind", sorted(ONCE_OTHER))
def test_a_type_that_was_other_goes_where_other_goes(kind: str) -> None:
    """A manifest of an earlier version places these below `other`, which was their type then."""
    other = replace(COMFY, folders=(("other", SafePath("models/misc")),))
    assert paths(arranged([entry("a")], [locked("a", kind=kind)], other)) == [
        ("comfy", "models/misc/a.safetensors")
    ]
    own = replace(COMFY, folders=(("other", SafePath("models/misc")), (kind, SafePath("models/own"))))
    assert paths(arranged([entry("a")], [locked("a", kind=kind)], own)) == [("comfy", "models/own/a.safetensors")]
    for types in (("other",), (kind,)):
        assert len(arranged([entry("a")], [locked("a", kind=kind)], replace(other, types=types)).placements) == 1
        assert (
            arranged([entry("a")], [locked("a", kind=kind)], replace(other, exclude_types=types)).placements == ()
        )
    assert paths(arranged([entry("a")], [locked("a", kind=kind)], FLAT)) == [("flat", "a.safetensors")]
    with pytest.raises(InputError, match=f"no folder for type `{kind}`"):
        arranged([entry("a")], [locked("a", kind=kind)])
