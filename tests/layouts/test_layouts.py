"""The tables of the UIs: every row is a safe path of a known type, and the traps are not stepped into."""

from __future__ import annotations

import pytest

from synapse_sync.core.artifact import MODEL_TYPES
from synapse_sync.core.names import SafePath
from synapse_sync.layouts import LAYOUTS, folders_of, guess, guess_named, ui_folders

UIS = [layout for layout in LAYOUTS.values() if layout.folders]


def test_the_register() -> None:
    assert set(LAYOUTS) == {
        "comfyui", "a1111", "forge", "forge-neo", "sdnext", "stabilitymatrix", "swarmui", "fooocus", "flat",
        "hf-cache",
    }  # fmt: skip
    assert all(name == layout.name and layout.title for name, layout in LAYOUTS.items())


@pytest.mark.parametrize("layout", UIS, ids=lambda layout: layout.name)
def test_every_row_is_a_known_type_with_safe_folders(layout: object) -> None:
    assert layout.folders  # type: ignore[attr-defined]
    for kind, folders in layout.folders.items():  # type: ignore[attr-defined]
        assert kind in MODEL_TYPES
        assert folders
        assert len(set(folders)) == len(folders)
        assert [str(SafePath(folder)) for folder in folders] == list(folders)


@pytest.mark.parametrize("layout", UIS, ids=lambda layout: layout.name)
def test_every_ui_takes_the_common_types_and_no_unknown_one(layout: object) -> None:
    for kind in ("checkpoint", "lora", "vae", "embedding", "controlnet", "upscaler"):
        assert layout.folder(kind)  # type: ignore[attr-defined]
    for kind in ("something_new", "other", "workflow", ""):
        assert layout.folder(kind) is None  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", [*MODEL_TYPES, "something_new"])
def test_flat_takes_everything_at_its_root(kind: str) -> None:
    assert LAYOUTS["flat"].folder(kind) == ""


@pytest.mark.parametrize(
    ("name", "kind", "folder"),
    [
        # Embeddings lie beside models/ in A1111 and Forge, below it everywhere else.
        ("a1111", "embedding", "embeddings"),
        ("forge", "embedding", "embeddings"),
        ("forge-neo", "embedding", "models/embeddings"),
        ("comfyui", "embedding", "models/embeddings"),
        ("sdnext", "embedding", "models/embeddings"),
        ("swarmui", "embedding", "Models/Embeddings"),
        ("fooocus", "embedding", "models/embeddings"),
        # UNet-only files are checkpoints to Forge.
        ("forge", "diffusion_model", "models/Stable-diffusion"),
        ("forge-neo", "diffusion_model", "models/Stable-diffusion"),
        ("sdnext", "diffusion_model", "models/UNET"),
        ("comfyui", "diffusion_model", "models/diffusion_models"),
        ("swarmui", "diffusion_model", "Models/diffusion_models"),
        ("a1111", "diffusion_model", None),
        # Case matters on Linux.
        ("a1111", "checkpoint", "models/Stable-diffusion"),
        ("sdnext", "checkpoint", "models/Stable-diffusion"),
        ("swarmui", "checkpoint", "Models/Stable-Diffusion"),
        ("comfyui", "text_encoder", "models/text_encoders"),
        ("sdnext", "text_encoder", "models/Text-encoder"),
        ("comfyui", "lora", "models/loras"),
        # Folders of ComfyUI's own for a few kinds, and of node packs for those of Ultralytics.
        ("comfyui", "background_removal", "models/background_removal"),
        ("comfyui", "classifier", "models/classifiers"),
        ("comfyui", "detection", "models/detection"),
        ("comfyui", "frame_interpolation", "models/frame_interpolation"),
        ("comfyui", "geometry_estimation", "models/geometry_estimation"),
        ("comfyui", "gligen", "models/gligen"),
        ("comfyui", "optical_flow", "models/optical_flow"),
        ("comfyui", "photomaker", "models/photomaker"),
        ("comfyui", "ultralytics_bbox", "models/ultralytics/bbox"),
        ("comfyui", "ultralytics_segm", "models/ultralytics/segm"),
        ("a1111", "ultralytics_segm", "models/adetailer"),
        ("stabilitymatrix", "checkpoint", "Models/StableDiffusion"),
        ("stabilitymatrix", "diffusion_model", "Models/DiffusionModels"),
        ("stabilitymatrix", "text_encoder", "Models/TextEncoders"),
        ("fooocus", "ip_adapter", "models/controlnet"),
        # What a UI does not have.
        ("forge-neo", "hypernetwork", None),
        ("sdnext", "hypernetwork", None),
        ("a1111", "text_encoder", None),
        ("comfyui", "wildcards", None),
    ],
)
def test_the_folder_that_is_written(name: str, kind: str, folder: str | None) -> None:
    assert LAYOUTS[name].folder(kind) == folder


@pytest.mark.parametrize(
    ("name", "kind", "folder"),
    [
        ("comfyui", "diffusion_model", "models/unet"),
        ("comfyui", "text_encoder", "models/clip"),
        ("comfyui", "controlnet", "models/t2i_adapter"),
        ("a1111", "lora", "models/LyCORIS"),
        ("a1111", "upscaler", "models/ScuNET"),
        ("sdnext", "upscaler", "models/SCUNet"),
        ("swarmui", "text_encoder", "Models/clip"),
    ],
)
def test_older_folders_are_recognised_but_not_written(name: str, kind: str, folder: str) -> None:
    assert folder in LAYOUTS[name].folders[kind]
    assert LAYOUTS[name].folder(kind) != folder


@pytest.mark.parametrize("layout", UIS, ids=lambda layout: layout.name)
def test_a_directory_with_all_its_markers_is_recognised(layout: object) -> None:
    assert guess({*layout.markers, "README.md", "models"}) is layout  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("names", "name"),
    [
        ({"comfy", "folder_paths.py", "main.py"}, "comfyui"),  # a clone without models yet
        ({"webui.py", "modules_forge", "embeddings", "models", "models/Stable-diffusion"}, "forge"),
        ({"webui.py", "modules_forge", "models", "models/embeddings", "models/Stable-diffusion"}, "forge-neo"),
        ({"webui.py", "modules", "embeddings", "models", "models/Stable-diffusion"}, "a1111"),
        ({"webui.py", "models/Stable-diffusion", "models/UNET", "models/Diffusers", "models/embeddings"}, "sdnext"),
        ({"fooocus_version.py", "webui.py", "models/checkpoints", "models/prompt_expansion"}, "fooocus"),
        ({"SwarmUI.sln", "src", "src/BuiltinExtensions"}, "swarmui"),
        ({"models/checkpoints"}, None),
        ({"webui.py"}, None),
        ({"README.md", "src"}, None),
        (set(), None),
    ],
)
def test_what_a_directory_is_guessed_to_be(names: set[str], name: str | None) -> None:
    found = guess(names)
    assert (found.name if found else None) == name


@pytest.mark.parametrize(
    ("name", "names", "layout"),
    [
        ("ComfyUI", {"models", "models/loras"}, "comfyui"),
        ("comfyui", {"models"}, "comfyui"),
        ("ComfyUI", {"README.md"}, None),
        ("models", {"models"}, None),
        ("flat", {"models"}, None),
    ],
)
def test_a_directory_may_be_known_by_its_own_name(name: str, names: set[str], layout: str | None) -> None:
    found = guess_named(name, names)
    assert (found.name if found else None) == layout


def test_the_folder_of_an_extension_receives_its_type_and_is_no_sign_of_the_ui() -> None:
    """A directory `extensions` may belong to any program: a root with it alone is asked about as before."""
    folder = LAYOUTS["a1111"].folder("aesthetic_gradient")
    assert folder == "extensions/stable-diffusion-webui-aesthetic-gradients/aesthetic_embeddings"
    assert not [name for name in (*folders_of("a1111"), *ui_folders()) if name.startswith("extensions")]
    assert {name for name, layout in LAYOUTS.items() if layout.extensions} == {"a1111"}
    assert (
        LAYOUTS["forge"].folder("aesthetic_gradient") is None and LAYOUTS["forge"].folder("poses") == "models/Poses"
    )
