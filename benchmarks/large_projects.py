"""Large projects for the measurements of growth: both files and a store, written without a network.

`python -m benchmarks.large_projects DIR COUNT` makes one. It is a process of its own, since the memory of a process
counts for those that it starts.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from synapse_sync.core.artifact import Artifact, ModelCard
from synapse_sync.core.lockfile import LockedModel, Lockfile
from synapse_sync.core.lockfile_text import format_lockfile
from synapse_sync.core.reference import Reference
from synapse_sync.project import read_manifest
from synapse_sync.store.blobs import BlobStore

_HEAD = '[targets.comfy]\nlayout = "comfyui"\nroot = "ui"\n\n[models]\n'
_TYPES = ("lora", "checkpoint", "vae", "embedding", "controlnet")


def content(number: int) -> bytes:
    """The bytes of a model: a safetensors file without tensors, 64 bytes long."""
    header = f'{{"__metadata__":{{"n":"{number:07}"}}}}'.encode().ljust(56)
    return len(header).to_bytes(8, "little") + header


def name(number: int) -> str:
    """The name of a model, sorted like its number."""
    return f"model-{number:07}"


def manifest_text(numbers: range, prefix: str = "") -> str:
    """A manifest with one line a model: a third each from Civitai, Hugging Face and a plain URL."""
    lines = (f"{prefix}{name(number)} = {_value(number)}\n" for number in numbers)
    return _HEAD + "".join(lines)


def _value(number: int) -> str:
    if number % 3 == 0:
        return f'"civitai:{number + 1}@{number + 1_000_000}"'
    if number % 3 == 1:
        return f'"hf://owner/repository-{number}@{number:040x}/weights-{number}.safetensors"'
    sha256 = hashlib.sha256(content(number)).hexdigest()
    return (
        f'{{ source = "https://files.example/{number}/weights-{number}.safetensors", '
        f'sha256 = "{sha256}", type = "{_TYPES[number % len(_TYPES)]}" }}'
    )


def lockfile_text(manifest: str) -> str:
    """The lockfile that answers a manifest of `manifest_text`."""
    models = []
    for entry in read_manifest(manifest).entries():
        number = int(entry.name[-7:])
        sha256 = hashlib.sha256(content(number)).hexdigest()
        kind = _TYPES[number % len(_TYPES)]
        card = ModelCard(
            title=f"Weights {number}",
            version_name=f"v{number % 9}",
            type=kind,
            base_model="SDXL 1.0",
            published="2026-01-31T12:00:00Z",
            trained_words=(f"word{number}", f"style{number}"),
            license=(("allow-commercial-use", "Sell"), ("allow-no-credit", True)),
            nsfw=1,
        )
        url = entry.reference
        if url.source == "civitai":
            url = Reference.parse(f"civitai:{number + 1}@{number + 1_000_000}+{number + 5_000_000}")
        artifact = Artifact(
            filename=f"weights-{number}.safetensors",
            size=len(content(number)),
            sha256=sha256,
            url=url,
            format="safetensors",
            precision="fp16",
            scan="success",
        )
        models.append(
            LockedModel(
                name=entry.name, requirement=entry.text, reference=url.canonical(), card=card, artifacts=(artifact,)
            )
        )
    return format_lockfile(Lockfile(models=tuple(models)))


def write(folder: Path, count: int) -> None:
    """Write a project with that many models, and the blobs of all of them into its store."""
    project = folder / "project"
    project.mkdir(parents=True)
    text = manifest_text(range(count))
    (project / "synapse.toml").write_text(text)
    (project / "synapse.lock").write_text(lockfile_text(text))
    store = BlobStore(folder / "store")
    for number in range(count):
        temp, data = store.temporary(), content(number)
        temp.write_bytes(data)
        sha256 = hashlib.sha256(data).hexdigest()
        store.publish(temp, sha256=sha256, size=len(data))


if __name__ == "__main__":
    os.umask(0o022)
    write(Path(sys.argv[1]), int(sys.argv[2]))
