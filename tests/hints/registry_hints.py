"""The scenarios of `synapse push`, for `test_hints.py`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from advice import helps
from registry_double import RegistryDouble

from synapse_sync.core import oci
from synapse_sync.demo import catalogue
from synapse_sync.demo.weights import safetensors_bytes

#: Advice without a scenario, and why.
UNREACHED = {"core: --format": "no manifest, site or lockfile brings a name with `.wh.` into a tree of a UI"}
TWO = f'[models]\none = "civitai:{catalogue.PORTRAIT}"\ntwo = "civitai:{catalogue.EYES}"\n'


def registry(bench: Any) -> RegistryDouble:
    double: RegistryDouble = bench.stack.enter_context(RegistryDouble())
    return double


def damage(bench: Any) -> None:
    """Change a byte of a blob, and nothing that its stat says."""
    blob = next(path for path in (bench.project.store / "blobs").rglob("*") if path.is_file())
    found = blob.stat()
    blob.chmod(0o600)
    data = bytearray(blob.read_bytes())
    data[-1] ^= 1
    blob.write_bytes(data)
    os.utime(blob, ns=(found.st_atime_ns, found.st_mtime_ns))


@helps("engine: synapse sync")
def files_that_are_not_here_to_push(bench: Any) -> None:
    address = registry(bench).address("m:v1")
    bench.project.manifest(TWO)
    bench("lock")
    bench.advised("synapse sync", "push", address, code=8)
    bench("sync")
    bench("push", address)


@helps("engine: --include")
def only_a_local_file_to_push(bench: Any) -> None:
    address = registry(bench).address("m:v1")
    (Path(bench.project.path) / "own.safetensors").write_bytes(safetensors_bytes("own"))
    bench.project.manifest('[models.own]\nsource = "./own.safetensors"\ntype = "lora"\n')
    bench("sync")
    bench.advised("--include NAME", "push", address, code=2)
    bench("push", address, "--include", "own")


@helps("engine: synapse list")
def nothing_to_push(bench: Any) -> None:
    address = registry(bench).address("m:v1")
    bench.project.manifest("[models]\n")
    bench("lock")
    bench.advised("synapse list", "push", address, code=2)
    bench("list")


@helps("engine: synapse store push")
def a_push_to_a_directory(bench: Any) -> None:
    shelf = bench.project.path.parent / "shelf"
    shelf.mkdir()
    bench.project.manifest(TWO)
    bench("sync")
    bench.advised("synapse store push", "push", str(shelf), code=2)
    os.environ["SYNAPSE_REMOTE"] = str(shelf)
    bench("store", "push", "--all")
    assert [path for path in shelf.rglob("*") if path.is_file()]


@helps("core: --group --only")
def a_list_that_is_too_long_to_push(bench: Any) -> None:
    address = registry(bench).address("m:v1")
    bench.project.manifest(TWO)
    bench("sync")
    bench.patch.setattr(oci, "LARGEST_DOCUMENT", 900)
    bench.advised("--only", "push", address, code=2)
    bench("push", address, "--only", "one")


@helps("suppliers: synapse verify --repair")
def a_damaged_file_to_push(bench: Any) -> None:
    address = registry(bench).address("m:v1")
    bench.project.manifest(TWO)
    bench("sync")
    damage(bench)
    bench.advised("synapse verify --repair", "push", address, code=6)
    bench("verify", "--repair", code=None)
    bench("push", address)


@helps("transfer: synapse verify --repair")
def a_damaged_file_in_an_image(bench: Any) -> None:
    address = registry(bench).address("m:v1")
    bench.project.manifest(TWO)
    bench("sync")
    damage(bench)
    bench.advised("synapse verify --repair", "push", address, "--format", "image", code=6)
    bench("verify", "--repair", code=None)
    bench("push", address, "--format", "image")
