"""The scenarios of advice about remotes: a directory is the remote of a synced project."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import time
from pathlib import Path
from typing import Any

from advice import helps
from second_machine import emptied, path_of
from workbench import declare

from synapse_sync.demo.exchange import Fault


def drive_of(bench: Any) -> Path:
    """An empty directory that is the remote; the project is synced."""
    place: Path = bench.project.path.parent / "drive"
    place.mkdir()
    os.environ["SYNAPSE_REMOTE"] = str(place)
    bench.project.manifest(declare("eyes", "sharpen"))
    bench("sync")
    return place


def spoilt(drive: Path) -> Path:
    """The first file of a remote, which has another size now."""
    bad = sorted(path for path in (drive / "blobs").rglob("*") if path.is_file())[0]
    bad.chmod(0o644)
    bad.write_bytes(b"other bytes")
    return bad


def typed_from(result: Any, near: str) -> list[str]:
    """The words of the command that a message names before or after some words, exactly as it is printed."""
    said = " ".join(f"{result.out}{result.err}".split())
    (command,) = {
        each
        for each in re.findall(r"`synapse ([^`]+)`", said)
        if near in each or f"`synapse {each}` {near}" in said
    }
    return shlex.split(command)


@helps("cli: --dry-run --yes")
def _(bench: Any) -> None:
    drive = drive_of(bench)
    bench("store", "publish")
    unused = drive / path_of("ab" * 32)
    unused.parent.mkdir(parents=True)
    unused.write_bytes(b"unused")
    os.utime(unused, (time.time() - 9e6,) * 2)
    bench.advised("--yes", "store", "gc", "--remote", code=2)
    bench("store", "gc", "--remote", "--dry-run")
    assert unused.exists()
    bench("store", "gc", "--remote", "--yes")
    assert not unused.exists()


@helps("engine: synapse list")
def _(bench: Any) -> None:
    drive_of(bench)
    bench.advised("synapse list", "store", "push", "zzzzzzzz", code=2)
    assert "eyes" in bench("list").out


@helps("engine: synapse lock")
def _(bench: Any) -> None:
    drive_of(bench)
    lockfile = bench.project.path / "synapse.lock"
    lockfile.unlink()
    bench.advised("synapse lock", "store", "publish", code=2)
    bench("lock")
    bench("store", "publish")


@helps("engine: synapse store publish")
def _(bench: Any) -> None:
    drive_of(bench)
    bench.advised("synapse store publish", "store", "gc", "--remote", "--yes", code=2)
    bench("store", "publish")
    bench("store", "gc", "--remote", "--yes")


@helps("engine: synapse store gc")
def _(bench: Any) -> None:
    """The store of this machine is its own remote."""
    drive_of(bench)
    os.environ["SYNAPSE_REMOTE"] = str(bench.project.store)
    bench("store", "publish")
    bench.advised("synapse store gc", "store", "gc", "--remote", "--yes", code=7)
    bench("store", "gc", "--yes")


@helps("engine: synapse store publish")
def _(bench: Any) -> None:
    drive = drive_of(bench)
    bench("store", "publish")
    (lockfile,) = (path for path in (drive / "lockfiles").rglob("*") if path.is_file())
    lockfile.chmod(0o644)
    lockfile.write_bytes(b"version = 1\n")
    bench.advised("synapse store publish", "store", "gc", "--remote", "--yes", code=6)
    bench("store", "publish")
    bench("store", "gc", "--remote", "--yes")


@helps("engine: synapse store push --repair")
def _(bench: Any) -> None:
    drive = drive_of(bench)
    bench("store", "push", "--all")
    bad = spoilt(drive)
    bench(*typed_from(bench.advised("synapse store push", "store", "push", "--all", code=6), "--repair"))
    assert bad.read_bytes() != b"other bytes"


@helps("engine: synapse store push --repair")
def _(bench: Any) -> None:
    """The remote is another one than the usual: the command names it."""
    drive_of(bench)
    other = bench.project.path.parent / "other drive"
    other.mkdir()
    bench("store", "push", "--all", "--to", str(other))
    bad = spoilt(other)
    said = bench.advised("synapse store push", "store", "push", "--all", "--to", str(other), code=6)
    bench(*typed_from(said, "--repair"))
    assert bad.read_bytes() != b"other bytes"


@helps("suppliers: synapse store push --repair")
def _(bench: Any) -> None:
    drive = drive_of(bench)
    bench("store", "push", "--all")
    bad = spoilt(drive)
    emptied(bench.project)
    command = typed_from(bench.advised("synapse store push", "sync", code=0), "--repair")
    bench(*command)
    assert bad.read_bytes() != b"other bytes"


@helps("suppliers: synapse sync")
def _(bench: Any) -> None:
    drive = drive_of(bench)
    bench("store", "push", "--all")
    bad = spoilt(drive)
    emptied(bench.project)
    pulled = bench.advised("synapse sync", "store", "pull", code=6)
    bench("sync")
    bench(*typed_from(pulled, "--repair"))
    shutil.rmtree(bench.project.store)
    bench("store", "pull")
    assert bad.read_bytes() != b"other bytes"


@helps("engine: synapse sync")
def _(bench: Any) -> None:
    drive = drive_of(bench)
    emptied(bench.project)
    bench.advised("synapse sync", "store", "push", "--all", code=4)
    bench("sync")
    bench("store", "push", "--all")
    assert list(drive.rglob("*"))


@helps("suppliers: synapse store push", "suppliers: synapse sync")
def _(bench: Any) -> None:
    drive_of(bench)
    emptied(bench.project)
    pulled = bench.advised("synapse sync", "store", "pull", "eyes", code=4)
    bench("sync")
    bench(*typed_from(pulled, "uploads it"))
    shutil.rmtree(bench.project.store)
    bench("store", "pull", "eyes")


@helps("engine: synapse verify --repair")
def _(bench: Any) -> None:
    drive_of(bench)
    blob = sorted(path for path in (bench.project.store / "blobs").rglob("*") if path.is_file())[0]
    found = blob.stat()
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes()[:-1] + b"\x01")
    os.utime(blob, ns=(found.st_atime_ns, found.st_mtime_ns))
    bench.advised("synapse verify --repair", "store", "push", "--all", code=6)
    bench("verify", "--repair", code=None)
    bench("store", "push", "--all")


@helps("suppliers: synapse login", "suppliers: synapse login")
def _(bench: Any) -> None:
    drive_of(bench)
    emptied(bench.project)
    os.environ["SYNAPSE_REMOTE"] = f"{bench.project.hub.files.url}/rem"
    for status in (401, 403):
        bench.project.hub.faults.add("/rem", Fault(status=status, origin="files"))
        said = bench.advised("synapse login", "store", "status", code=3).err
        host = re.search(r"`synapse login (\S+)`", said)
        assert host is not None
        bench.log_in(host[1], "a-token-for-that-host")
        bench.project.hub.faults.clear()
        bench.project.hub.clear_log()
        bench("store", "status")
        assert {seen.headers.get("authorization") for seen in bench.project.hub.requests("files")} == {
            "Bearer a-token-for-that-host"
        }
        bench("logout", host[1])


@helps("suppliers: --to")
def _(bench: Any) -> None:
    drive = drive_of(bench)
    bench.advised("--to", "store", "push", "--all", "--to", "https://models.example/store", code=2)
    bench("store", "push", "--all", "--to", str(drive))


@helps("core: --trust")
def _(bench: Any) -> None:
    drive = drive_of(bench)
    del os.environ["SYNAPSE_REMOTE"]
    bench.project.manifest(declare("eyes", "sharpen", head=f'[workspace]\nremote = "{drive.as_posix()}"\n'))
    bench.advised("--trust", "store", "push", "--all", code=2)
    bench("store", "push", "--all", "--trust")
    assert list((drive / "blobs").iterdir())


def changed(project: Any) -> Path:
    """A path of a synced project through whose link somebody changed the bytes."""
    shutil.rmtree(project.path / "models")
    project("sync", "--link-mode", "symlink")
    place: Path = next(path for path in (project.path / "models").rglob("*") if path.is_symlink())
    place.resolve().chmod(0o644)
    place.write_bytes(b"mine")
    return place


@helps("store: synapse store verify")
def _(bench: Any) -> None:
    drive_of(bench)
    bench("store", "push", "--all")
    place = changed(bench.project)
    bench.advised("synapse store verify", "store", "pull", code=7)
    assert place.read_bytes() == b"mine"
    bench("store", "verify", code=6)
    bench("store", "pull")


@helps("store: synapse store verify")
def _(bench: Any) -> None:
    drive_of(bench)
    bundle = bench.project.path.parent / "one.tar"
    bench("bundle", str(bundle))
    changed(bench.project)
    bench.advised("synapse store verify", "unbundle", str(bundle), "new", code=7)
    bench("store", "verify", code=6)
    bench("unbundle", str(bundle), "new")
