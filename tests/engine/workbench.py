"""Words that the engine's tests use again and again: manifests, paths, the hub's contents."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from needs import other_volume
from world import Project

from synapse_sync.demo import catalogue
from synapse_sync.demo.hub import Hub
from synapse_sync.user.settings import load_settings
from synapse_sync.workspace import Workspace

CHECKPOINT = "models/checkpoints/portrait_v1.safetensors"
EYES = "models/embeddings/clear-eyes.safetensors"
SHARPEN = "models/upscale_models/4x-sharpen.safetensors"
MODELS = {
    "portrait": f"civitai:{catalogue.PORTRAIT}@{catalogue.PORTRAIT_V1}",
    "eyes": f"civitai:{catalogue.EYES}",
    "sharpen": f"civitai:{catalogue.SHARPEN}",
}


def declare(*names: str, head: str = "") -> str:
    """A manifest with these models of the catalogue."""
    return head + "\n[models]\n" + "".join(f'{name} = "{MODELS[name]}"\n' for name in names)


def target(name: str, root: str, mode: str = "auto") -> str:
    root = root.replace(os.sep, "/")  # a path of Windows would need its backslashes twice
    return f'[targets.{name}]\nroot = "{root}"\nlink-mode = "{mode}"\n'


def content_of(hub: Hub, version: int) -> bytes:
    """The bytes of a version's first file."""
    return next(v.files[0].content for m in hub.civitai.models.values() for v in m.versions if v.id == version)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def blob(project: Project, content: bytes) -> Path:
    digest = sha256(content)
    return project.store / "blobs" / "sha256" / digest[:2] / digest


def downloads(hub: Hub) -> list[str]:
    """The paths of the files that were asked for at the storage."""
    return [seen.path for seen in hub.requests("storage")]


def workspace(path: Path) -> Workspace:
    return Workspace(path, load_settings(os.environ, Path.home()))


def write_over(path: Path, content: bytes) -> None:
    """What a careless program does: it makes the file writable and changes it where it lies."""
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.write(content)
        file.truncate()


def leftovers(root: Path) -> list[str]:
    """Files of ours that should not be seen after a command: temporary names, and partial downloads."""
    return sorted(
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.name.startswith(".synapse-tmp-") or path.name.endswith(".tmp")
    )


@contextmanager
def another_device(path: Path) -> Iterator[Path]:
    """A directory on another file system than this path's."""
    if (volume := other_volume(path)) is not None:
        with tempfile.TemporaryDirectory(dir=volume) as directory:
            yield Path(directory)
            return
    pytest.skip("one file system only")
