"""Importing what is there already: a few large files beside `sha256sum` of the same, and many small ones twice."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

from benchmarks import ours, peers
from benchmarks.measure import Command, Contender, compare, run
from benchmarks.report import Table, Target

_IMPORT = "synapse import"
_AGAIN = "synapse import, again"
_SUMS = "sha256sum"
_CHUNK = 4 << 20
#: The share of `sha256sum`'s time for large files, and the seconds for 10,000 small ones, at first and again.
_LARGE, _FIRST, _AGAIN_MOST = 0.35, 10.0, 2.0
#: The files of the large tree, and the size of a small file in bytes.
_FILES, _SMALL = 20, 20_000


def measure(work: Path, size: int, small: int, runs: int) -> Iterator[Table]:
    """Three tables: `size` bytes in twenty files, and `small` files imported at first and again.

    The trees are made once and kept. Nothing is removed but the projects, the stores and the receipts of the runs.
    """
    print("import", flush=True)
    large = make_tree(work / f"import-{_FILES}-{size}", _FILES, size // _FILES)
    paths = sorted(str(path) for path in large.rglob("*.safetensors"))
    contenders = (
        Contender(name=_IMPORT, command=lambda folder: _command(folder, large), check=lambda _: _forget(large)),
        Contender(name=_SUMS, command=lambda folder: Command(argv=("sha256sum", *paths), folder=folder)),
        Contender(name="b3sum", command=lambda folder: Command(argv=("b3sum", *paths), folder=folder)),
    )
    yield Table(
        title=f"Importing {_FILES} files, {size / 1e9:g} GB",
        ours=_IMPORT,
        runs=compare(peers.installed(contenders), runs=runs, folder=work / "run", warm_up=True),
        targets=(Target(of="seconds", most=_LARGE, peer=_SUMS),),
        size=size,
        notes=(
            f"two digests of each file, {os.cpu_count()} cores; with more memory than files, from the page cache",
        ),
    )
    tree = make_tree(work / f"import-{small}-small", small, _SMALL)
    first = Contender(name=_IMPORT, command=lambda folder: _command(folder, tree), check=lambda _: _forget(tree))
    yield Table(
        title=f"Importing {small:,} small files",
        ours=_IMPORT,
        runs=compare((first,), runs=runs, folder=work / "run", warm_up=True),
        targets=(Target(of="seconds", most=_FIRST),),
    )
    again = Contender(name=_AGAIN, command=lambda folder: _imported(folder, tree), check=lambda _: _forget(tree))
    yield Table(
        title=f"Importing {small:,} small files a second time",
        ours=_AGAIN,
        runs=compare((again,), runs=runs, folder=work / "run"),
        targets=(Target(of="seconds", most=_AGAIN_MOST),),
    )


def _command(folder: Path, tree: Path) -> Command:
    """An import into a new project with a store of its own; no site is asked."""
    argv = (ours.SYNAPSE, "import", "--offline", "-q", str(tree))
    return Command(argv=argv, folder=folder, env=ours.environment(folder))


def _imported(folder: Path, tree: Path) -> Command:
    """The same import once more, after one that does not count."""
    command = _command(folder, tree)
    run(command)
    return command


def _forget(tree: Path) -> None:
    shutil.rmtree(tree / ".synapse", ignore_errors=True)


def make_tree(place: Path, count: int, size: int) -> Path:
    """Make a ComfyUI with `count` checkpoints and LoRAs of `size` bytes each; one that exists is kept."""
    tree = place / "ComfyUI"
    if not (place / "ready").exists():
        shutil.rmtree(place, ignore_errors=True)
        folders = [tree / "models" / name for name in ("checkpoints", "loras", "vae")]
        for folder in (*folders, tree / "comfy"):
            folder.mkdir(parents=True)
        (tree / "folder_paths.py").touch()
        for number in range(count):
            folder = folders[0] if number % 2 == 0 else folders[1]
            _write(folder / f"model-{number:05}.safetensors", size, whole=number % 2 == 0)
        (place / "ready").touch()
    return tree


def _write(path: Path, size: int, *, whole: bool) -> None:
    """A file with the header of a model, and random bytes behind it, so that no two files are alike."""
    head = _header(size, whole=whole)
    with path.open("wb") as file:
        file.write(head)
        left = size - len(head)
        while left > 0:
            file.write(os.urandom(min(left, _CHUNK)))
            left -= _CHUNK


def _header(size: int, *, whole: bool) -> bytes:
    """The header of a file of `size` bytes: blocks of SDXL's U-Net or of a LoRA for it, and a filler."""
    tensors: dict[str, tuple[int, ...]] = (
        {"first_stage_model.decoder.conv_in.weight": (4, 4, 3, 3)} if whole else {}
    )
    for block in range(10):
        one = f"input_blocks.7.1.transformer_blocks.{block}.attn2.to_k"
        if whole:
            tensors[f"model.diffusion_model.{one}.weight"] = (1, 2048)
        else:
            tensors[f"lora_unet_{one.replace('.', '_')}.lora_down.weight"] = (4, 2048)
            tensors[f"lora_unet_{one.replace('.', '_')}.lora_up.weight"] = (16, 4)
    table: dict[str, object] = {}
    at, room = 0, max(0, size - 4096)
    for name, shape in tensors.items():
        end = at + 2 * _values(shape)
        if end > room:
            break
        table[name] = {"dtype": "F16", "shape": shape, "data_offsets": [at, end]}
        at = end
    length = 4096 - 8
    rest = size - 4096 - at
    table["zz_rest"] = {"dtype": "U8", "shape": [rest], "data_offsets": [at, at + rest]}
    return struct.pack("<Q", length) + json.dumps(table).encode().ljust(length)


def _values(shape: tuple[int, ...]) -> int:
    found = 1
    for size in shape:
        found *= size
    return found
