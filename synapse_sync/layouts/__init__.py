"""Layouts: the folders of each UI. A new UI is one table in `tables.py` and one entry here."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from dataclasses import field

from synapse_sync.core.companion import STILLS
from synapse_sync.core.frozen import dataclass
from synapse_sync.layouts import tables


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One UI's folders by model type, relative to the UI's directory; `markers` are paths that identify it.

    `extensions` are the folders in which extensions of the UI look for types of their own.
    With `catch_all`, types without a row go there ("" is the root itself). `sidecars` are those that the UI, or a
    manager that many use with it, reads. `stills` are the endings of the previews that it shows. `generations` are
    the base models that its cards have a word for. `endings` are those of the files that it lists, by type.
    `desktop` are the UI's folders in a place where its program is not, as ComfyUI Desktop has them.
    With `checkpoint_versions`, the card of a checkpoint has the version once more, as `sd_version_str`.
    `lists_json` are the types in whose folders it takes every `.json` for a model. With `repositories`, it is a
    cache of the hub, which has a place for every file of a repository and for nothing else.
    """

    name: str
    title: str
    folders: Mapping[str, tuple[str, ...]]
    markers: tuple[str, ...] = ()
    desktop: tuple[str, ...] = ()
    catch_all: str | None = None
    sidecars: tuple[str, ...] = ()
    generations: tuple[str, ...] = ("SD1", "SD2", "SDXL")
    extensions: Mapping[str, str] = field(default_factory=dict)
    stills: tuple[str, ...] = STILLS
    lists_json: tuple[str, ...] = ()
    repositories: bool = False
    checkpoint_versions: bool = False
    endings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def folder(self, kind: str) -> str | None:
        """The folder for new models of this type, or None if the UI has none."""
        names = self.folders.get(kind)
        return names[0] if names else self.extensions.get(kind, self.catch_all)

    def lists(self, kind: str, filename: str) -> bool:
        """Whether the UI lists a file of this name in its folder for a type; True if that is not known."""
        return kind not in self.endings or filename.rpartition(".")[2].casefold() in self.endings[kind]


LAYOUTS: Mapping[str, Layout] = {
    layout.name: layout
    for layout in (
        Layout(
            name="a1111",
            title="A1111",
            folders=tables.A1111,
            extensions=tables.A1111_EXTENSIONS,
            endings=tables.A1111_ENDINGS,
            markers=("webui.py", "embeddings", "models/Stable-diffusion"),
            sidecars=("a1111",),
        ),
        Layout(
            name="comfyui",
            title="ComfyUI",
            folders=tables.COMFYUI,
            endings=tables.COMFYUI_ENDINGS,
            markers=("comfy", "folder_paths.py", "models/checkpoints"),
            desktop=("models", "custom_nodes", "user", "input", "output", "temp"),
            sidecars=("lora-manager",),
        ),
        Layout(
            name="flat",
            title="flat",
            folders={},
            catch_all="",
        ),
        Layout(
            name="fooocus",
            title="Fooocus",
            folders=tables.FOOOCUS,
            endings=tables.FOOOCUS_ENDINGS,
            markers=("fooocus_version.py", "models/checkpoints", "models/prompt_expansion"),
        ),
        Layout(
            name="forge",
            title="Forge",
            folders=tables.FORGE,
            endings=tables.FORGE_ENDINGS,
            markers=("webui.py", "modules_forge", "embeddings", "models/Stable-diffusion"),
            sidecars=("a1111",),
            generations=("SD1", "SD2", "SDXL", "Flux"),
            checkpoint_versions=True,
        ),
        Layout(
            name="forge-neo",
            title="Forge Neo",
            folders=tables.FORGE_NEO,
            endings=tables.FORGE_NEO_ENDINGS,
            markers=("webui.py", "modules_forge", "models/embeddings", "models/Stable-diffusion"),
            sidecars=("a1111",),
            generations=("SD1", "SD2", "SDXL", "Flux"),
            checkpoint_versions=True,
        ),
        Layout(
            name="hf-cache",
            title="the cache of Hugging Face",
            folders={},
            repositories=True,
        ),
        Layout(
            name="sdnext",
            title="SD.Next",
            folders=tables.SDNEXT,
            endings=tables.SDNEXT_ENDINGS,
            lists_json=("vae",),
            sidecars=("sdnext",),
            markers=("webui.py", "models/Diffusers", "models/UNET", "models/Stable-diffusion"),
        ),
        Layout(
            name="stabilitymatrix",
            title="StabilityMatrix",
            folders=tables.STABILITY_MATRIX,
            endings=tables.STABILITY_MATRIX_ENDINGS,
            markers=("Models/StableDiffusion", "Models/DiffusionModels", "Packages", "settings.json"),
            stills=("png", "jpg", "jpeg", "webp"),
            sidecars=("stability-matrix",),
        ),
        Layout(
            name="swarmui",
            title="SwarmUI",
            folders=tables.SWARMUI,
            endings=tables.SWARMUI_ENDINGS,
            stills=("png", "jpg", "jpeg"),
            markers=("SwarmUI.sln", "Models/Stable-Diffusion", "src/BuiltinExtensions"),
            sidecars=("stability-matrix",),
        ),
    )
}


def guess(names: Collection[str]) -> Layout | None:
    """Guess the layout of a directory from the paths in it (`webui.py`, `models/Lora`, …); None if none fits.

    At least half of a layout's markers must be there; of several the one with most, then the largest share.
    """
    scores = []
    for layout in LAYOUTS.values():
        hits = sum(marker in names for marker in layout.markers)
        if layout.markers and hits * 2 >= len(layout.markers):
            scores.append((hits, hits / len(layout.markers), layout.name))
    return LAYOUTS[max(scores)[2]] if scores else None


def guess_named(name: str, names: Collection[str]) -> Layout | None:
    """Guess the layout of a directory by its own name, where it has the UI's folder for models; None if none fits.

    A volume of a pod has `ComfyUI/models` and nothing of the program.
    """
    for layout in LAYOUTS.values():
        above = {folder.partition("/")[0] for folders in layout.folders.values() for folder in folders}
        if layout.markers and name.casefold() in (layout.name, layout.title.casefold()) and above & {*names}:
            return layout
    return None


@functools.cache
def folders_of(layout: str) -> frozenset[str]:
    """The folders of one UI for models, relative to the UI's directory; "" is that directory itself."""
    known = LAYOUTS[layout]
    names = {name for folders in known.folders.values() for name in folders}
    return frozenset(names if known.catch_all is None else names | {known.catch_all})


@functools.cache
def ui_folders() -> frozenset[str]:
    """Every folder that any UI has for models, with the folders above it, relative to the UI's directory."""
    folders = {name for layout in LAYOUTS.values() for names in layout.folders.values() for name in names}
    return frozenset(
        "/".join(parts[: count + 1]) for parts in (f.split("/") for f in folders) for count in range(len(parts))
    )
