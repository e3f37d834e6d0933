"""Cases 48 to 71: the file system is full, broken, read-only, of another kind, or somebody else was there."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat as mode_of
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cases import case
from stage import Stage
from stand_ins import free_space, placing_by, refusing
from sweep import disk
from workbench import CHECKPOINT, EYES

from synapse_sync.demo import catalogue
from synapse_sync.demo.weights import safetensors_bytes
from synapse_sync.store.durable import RESERVE

REMARKS = {
    49: "at single writes here, at every call in `make torture`",
    54: "the exit code of a conflict is 7, and `--force` moves the file aside",
    56: "the exit code of a conflict is 7",
    57: "`auto` uses the next way that works; a way that was named is refused, with the ways that work",
    60: "no file system of that kind can be made here: that names clash is decided without one, on every system",
    62: "names may have 180 bytes; a path that is too long for the system is an error of storage (9)",
    63: "the sweep stops one process at a call and runs another, with locks that always succeed",
    64: "refused with advice; there is no lock of another kind to fall back to, but where `flock` does not exist",
    66: "sync trusts size and time, as it says; `verify` finds it",
    69: "an empty directory where a complete sync placed files is refused",
}
MODELS = (
    f'portrait = "civitai:{catalogue.PORTRAIT}@{catalogue.PORTRAIT_V1}"\n',
    f'eyes = "civitai:{catalogue.EYES}"\n',
)


def declared(root: Path | str = ".", mode: str = "auto", models: str = "".join(MODELS)) -> str:
    return f'[targets.t]\nroot = "{root}"\nlink-mode = "{mode}"\n[models]\n{models}'


def fail(patch: pytest.MonkeyPatch, name: str, number: int, concerns: str = "", times: int = 10**9) -> None:
    """Have a call of `os` fail with this error for paths with these words in them, the first few times."""
    left, real = times, getattr(os, name)

    def call(*arguments: Any, **more: Any) -> Any:
        nonlocal left
        path = arguments[0]
        if isinstance(path, int):
            path = Path(f"/proc/self/fd/{path}").readlink()
        opened = arguments[1] if name == "open" else os.O_WRONLY
        reads = number == errno.ENOSPC and not opened & (os.O_WRONLY | os.O_RDWR)  # a full disk can be read
        if concerns in os.fspath(path) and left > 0 and not reads:
            left -= 1
            raise OSError(number, os.strerror(number), os.fspath(path))
        return real(*arguments, **more)

    patch.setattr(os, name, call)


@pytest.fixture
def mount(stage: Stage, tmp_path: Path) -> Callable[..., Path]:
    """Mount something and give its path; skips where that is not allowed. The case ends with unmounting."""

    def do(*words: str, at: Path | None = None) -> Path:
        place = at or tmp_path / "mounted"
        place.mkdir(parents=True, exist_ok=True)
        tool = shutil.which("mount")
        if tool is None or os.name == "nt":
            pytest.skip("there is no `mount` here")
        try:
            disk.private()
        except disk.NotPossible as why:
            pytest.skip(str(why))
        done = subprocess.run([tool, *words, str(place)], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"mounting needs root: {done.stderr.strip()}")
        stage.cleanup.callback(subprocess.run, ["umount", "--lazy", str(place)], check=True)
        return place

    return do


def tmpfs(mount: Callable[..., Path], size: str, at: Path | None = None) -> Path:
    return mount("-t", "tmpfs", "-o", size, "synapse-test", at=at)


def remount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)


# -- no room -----------------------------------------------------------------------------------------


@case(48)
def test_too_little_room_is_told_before_the_first_byte(stage: Stage, mount: Callable[..., Path]) -> None:
    stage.locked(declared())
    tmpfs(mount, "size=1m", at=stage.store)
    said = stage("sync", code=9).err
    assert "not enough space" in said and "needed" in said and "free" in said
    assert not [seen for seen in stage.hub.requests() if "download" in seen.path]
    assert stage.tree() == {}
    stage.healers.append(lambda: remount(stage.store, "size=200m"))


@case(49)
@pytest.mark.parametrize("room", ["150k", "320k"])
def test_a_disk_that_fills_up_meanwhile(stage: Stage, mount: Callable[..., Path], room: str) -> None:
    stage.locked(declared())
    tmpfs(mount, f"size={room}", at=stage.store)
    with free_space(10**12):
        said = stage("sync", code=9).err
    assert "full" in said and "free some space" in said
    stage.holds()
    stage.healers.append(lambda: remount(stage.store, "size=200m"))


@case(49)
def test_a_tree_that_is_full(stage: Stage, mount: Callable[..., Path]) -> None:
    root = tmpfs(mount, "size=200k")
    stage.roots.append(root)
    stage.locked(declared(root, "copy"))
    with free_space(10**12):
        assert "full" in stage("sync", code=9).err
    assert not (root / CHECKPOINT).exists() and (root / EYES).exists()
    stage.healers.append(lambda: remount(root, "size=200m"))


@case(50)
@pytest.mark.parametrize("what", ["synapse.lock", "receipt-"])
@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
def test_no_room_for_the_lockfile_or_the_receipt(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, what: str, call: str
) -> None:
    stage.manifest(declared(models=MODELS[0]))
    stage("sync")
    before = stage.lock_text
    stage.manifest(declared())
    with monkeypatch.context() as patch:
        fail(patch, call, errno.ENOSPC, what)
        said = stage("sync", code=9).err
    assert "full" in said
    if what == "synapse.lock":
        assert stage.lock_text == before
    stage.holds()
    stage("sync")
    assert len(stage.hub.requests("storage")) == 2, "what was downloaded was not asked for again"


@case(51)
def test_no_inodes_left(stage: Stage, mount: Callable[..., Path]) -> None:
    stage.locked(declared())
    tmpfs(mount, "size=200m,nr_inodes=6", at=stage.store)
    assert "inodes" in stage("sync", code=9).err
    stage.healers.append(lambda: remount(stage.store, "nr_inodes=10000"))


# -- errors ------------------------------------------------------------------------------------------


@case(52)
@pytest.mark.parametrize("number", [errno.EIO, errno.EDQUOT], ids=["EIO", "EDQUOT"])
@pytest.mark.parametrize("call", ["pwrite", "fsync", "ftruncate", "replace", "mkdir"])
def test_the_disk_refuses(stage: Stage, monkeypatch: pytest.MonkeyPatch, call: str, number: int) -> None:
    # A small file arrives in one pass, without `pwrite` and `ftruncate`.
    stage.hub.huggingface.add_repo("big/one", {"big.safetensors": safetensors_bytes("big", size=3_000_000)})
    big = '[models.big]\nsource = "hf://big/one/big.safetensors"\ntype = "vae"\n'
    stage.locked(declared() + big)
    with monkeypatch.context() as patch:
        fail(patch, call, number, str(stage.store))
        said = stage("sync", code=None)
    assert said.code in (1, 9), said
    assert ("full" if number == errno.EDQUOT else "the disk reports an error") in said.err
    stage.holds()


@case(52)
def test_after_a_failed_fsync_the_bytes_are_not_used(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel may have dropped them, although a second fsync says that all is well."""
    stage.locked(declared(models=MODELS[1]))
    with monkeypatch.context() as patch:
        fail(patch, "fsync", errno.EIO, f"{stage.store}/partials", times=1)
        stage("sync", code=9)
    assert stage.blobs() == [] and not [*(stage.store / "partials").glob("*")]
    stage.hub.clear_log()
    stage("sync")
    assert len(stage.hub.requests("storage")) == 1, "fetched anew"


@case(52)
def test_a_blob_that_cannot_be_read(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.manifest(declared(mode="copy"))
    stage("sync")
    (stage.path / EYES).unlink()
    (blob,) = [path for path in (stage.store / "blobs").rglob("*") if path.is_file() and path.stat().st_size < 9000]
    real = Path.open

    def refuse(self: Path, *arguments: Any, **more: Any) -> Any:
        if self == blob:
            raise OSError(errno.EIO, "Input/output error", str(blob))
        return real(self, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        assert "the disk reports an error" in stage("sync", code=9).err
    assert not (stage.path / EYES).exists()


# -- read-only ---------------------------------------------------------------------------------------


def synced_elsewhere(stage: Stage, directory: Path, link_mode: str) -> Path:
    """Sync a project into a tree outside of it; returns the root of that tree."""
    root = directory / "elsewhere"
    root.mkdir()
    stage.target(root)
    stage.manifest(declared(root, link_mode))
    stage("sync")
    return root


@case(53)
@pytest.mark.parametrize("which", ["tree", "store", "project"])
def test_read_only(stage: Stage, mount: Callable[..., Path], tmp_path: Path, which: str) -> None:
    root = tmp_path / "elsewhere"
    root.mkdir()
    stage.target(root)
    stage.manifest(declared(root, "copy", MODELS[0]))
    stage("sync")
    stage.manifest(declared(root, "copy"))
    if which != "project":
        stage("lock")
    place = {"tree": root, "store": stage.store, "project": stage.path}[which]
    mount("--bind", str(place), at=place)
    remount(place, "bind,ro")
    said = stage("sync", code=None)
    assert said.code in (1, 9) and "read-only" in said.err, said
    if which != "project":
        assert "clear-eyes" in stage("status").out
    else:
        assert "not locked yet" in stage("status").out
    assert "portrait" in stage("list").out
    stage.healers.append(lambda: remount(place, "bind,rw"))


@case(53)
@pytest.mark.parametrize("verb", ["lock", "sync", "add", "remove"])
def test_a_project_that_is_read_only_is_found_before_a_lock_downloads(
    stage: Stage, mount: Callable[..., Path], verb: str
) -> None:
    url = stage.hub.files.put("loras/first-use.safetensors", safetensors_bytes("first use", size=4_000))
    stage.manifest("[models]\n" if verb == "add" else f'[models.a]\nsource = "{url}"\ntype = "lora"\n')
    words = {"add": [url, "--type", "lora"], "remove": ["a"]}.get(verb, [])
    mount("--bind", str(stage.path), at=stage.path)
    remount(stage.path, "bind,ro")
    stage.hub.clear_log()
    said = stage(verb, *words, code=9).err
    assert "read-only" in said and "make the project's directory writable" in said
    assert "SYNAPSE_STORE" not in said, "the store is not the cause"
    assert stage.hub.requests("files") == []
    stage.healers.append(lambda: remount(stage.path, "bind,rw"))


@case(53)
@pytest.mark.parametrize("which", ["tree", "folder", "store"])
def test_a_place_that_is_read_only_is_found_before_the_first_byte(
    stage: Stage, mount: Callable[..., Path], tmp_path: Path, which: str
) -> None:
    root = tmp_path / "elsewhere"
    (root / "models" / "embeddings").mkdir(parents=True)
    stage.target(root)
    stage.locked(declared(root))
    place = {"tree": root, "folder": root / "models" / "embeddings", "store": stage.store}[which]
    place.mkdir(parents=True, exist_ok=True)
    mount("--bind", str(place), at=place)
    remount(place, "bind,ro")
    stage.hub.clear_log()
    said = stage("sync", code=9).err
    assert "read-only" in said and ("target" in said) == (which != "store")
    assert ("SYNAPSE_STORE" in said) == (which == "store"), "another store does not help a target"
    assert stage.hub.requests("storage") == []
    stage.healers.append(lambda: remount(place, "bind,rw"))


@case(53)
def test_a_store_that_is_read_only_is_enough_for_a_bundle(stage: Stage, mount: Callable[..., Path]) -> None:
    """As where a cluster mounts one store in every pod. Only the bundle itself is left beside it."""
    stage.locked(declared(stage.path))
    stage("sync")
    out = stage.path.parent / "out"
    out.mkdir()
    stage("bundle", str(out / "before.tar"))
    mount("--bind", str(stage.store), at=stage.store)
    remount(stage.store, "bind,ro")
    for _ in range(2):
        stage("bundle", str(out / "after.tar"))
    assert (out / "after.tar").read_bytes() == (out / "before.tar").read_bytes()
    assert sorted(each.name for each in out.iterdir()) == ["after.tar", "before.tar"]
    mount("--bind", str(out), at=out)
    remount(out, "bind,ro")
    said = stage("bundle", str(out / "third.tar"), code=9).err
    assert "read-only" in said and "SYNAPSE_STORE" not in said, "the store is not the cause"
    stage.healers.append(lambda: remount(stage.store, "bind,rw"))


@case(53)
@pytest.mark.parametrize("words", [("doctor",), ("detach", "--copy"), ("detach",)])
def test_another_store_is_no_remedy_for_a_target_that_is_read_only(
    stage: Stage, mount: Callable[..., Path], tmp_path: Path, words: tuple[str, ...]
) -> None:
    root = synced_elsewhere(stage, tmp_path, "symlink")
    mount("--bind", str(root), at=root)
    remount(root, "bind,ro")
    done = stage(*words, code=9)
    said = " ".join(f"{done.out}{done.err}".split())
    assert "read-only" in said and "put the store" not in said and "make the target's directory writable" in said
    stage.healers.append(lambda: remount(root, "bind,rw"))


@case(53)
@pytest.mark.skipif(os.name == "nt", reason="paths of Unix")
@pytest.mark.parametrize("place", ["/dev/null", "/dev/null/store", "file"])
def test_a_store_at_a_path_that_is_none_is_named(stage: Stage, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    stage.manifest(declared(stage.path))
    (stage.path.parent / "file").write_bytes(b"mine")
    store = place if place.startswith("/") else str(stage.path.parent / place)
    with monkeypatch.context() as patch:
        patch.setenv("SYNAPSE_STORE", store)
        said = " ".join(stage("sync", code=9).err.split())
    assert f"{store} cannot be the store" in said and "name a directory with SYNAPSE_STORE" in said
    assert (stage.path.parent / "file").read_bytes() == b"mine"


@case(49, 180)
def test_a_target_without_links_needs_room_for_every_file(stage: Stage, mount: Callable[..., Path]) -> None:
    """exFAT has neither hard nor symbolic links, so `auto` copies."""
    root = exfat(mount, stage)
    stage.roots.append(root / "ui")
    stage.locked(declared(root / "ui"))
    stage.hub.clear_log()
    said = stage("sync", code=9).err
    assert f"not enough space on the file system of {root}" in said
    assert "SYNAPSE_STORE" not in said and "store gc" not in said, "neither frees the target"
    assert stage.hub.requests("storage") == []


def exfat(mount: Callable[..., Path], stage: Stage) -> Path:
    """A small exFAT file system that is nearly full."""
    if not (shutil.which("mkfs.exfat") and shutil.which("mount.exfat-fuse")):
        pytest.skip("needs exfatprogs and exfat-fuse")
    image = stage.path.parent / "disk.img"
    with image.open("wb") as file:
        file.truncate(128 << 20)
    subprocess.run(["mkfs.exfat", str(image)], check=True, capture_output=True)
    root: Path = mount("-t", "exfat-fuse", "-o", "loop", str(image))
    with (root / "fill").open("wb") as file:
        file.truncate(shutil.disk_usage(root).free - RESERVE)
    stage.healers.append((root / "fill").unlink)
    return root


@case(53)
@pytest.mark.parametrize("which", ["tree", "store"])
def test_verify_reads_what_is_read_only(
    stage: Stage, mount: Callable[..., Path], tmp_path: Path, which: str
) -> None:
    root = synced_elsewhere(stage, tmp_path, "copy")
    place = root if which == "tree" else stage.store
    mount("--bind", str(place), at=place)
    remount(place, "bind,ro")
    assert "all good" in stage("verify").err
    stage.healers.append(lambda: remount(place, "bind,rw"))


# -- something is there ------------------------------------------------------------------------------


@case(54)
def test_another_file_is_in_the_way(stage: Stage) -> None:
    stage.locked(declared())
    mine = stage.foreign(CHECKPOINT, b"trained for weeks")
    said = stage("sync", code=7).err
    assert CHECKPOINT in said and "--force" in said
    assert mine.read_bytes() == b"trained for weeks"
    assert (stage.path / EYES).exists(), "the others were placed"
    stage.excuse("I4", reason="the user has to decide")


@case(55)
def test_the_same_file_is_there_already(stage: Stage) -> None:
    stage.manifest(declared())
    stage("sync")
    (stage.path / CHECKPOINT).chmod(0o600)
    content = {path: (stage.path / path).read_bytes() for path in (CHECKPOINT, EYES)}
    shutil.rmtree(stage.path / ".synapse")
    for path, data in content.items():
        (stage.path / path).unlink()
        (stage.path / path).write_bytes(data)
    stage.empty_store()
    before = {path: (stage.path / path).stat() for path in content}
    assert "2 adopted" in stage("sync").out
    for path, was in before.items():
        now = (stage.path / path).stat()
        assert (now.st_ino, now.st_mtime_ns, now.st_mode) == (was.st_ino, was.st_mtime_ns, was.st_mode)
    assert stage.hub.requests("storage") == []


def _socket(place: Path) -> None:
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(place.parent)  # the name of a socket must be short
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(place.name)
    finally:
        os.fchdir(here)
        os.close(here)


OBSTACLES: dict[str, Callable[[Path], None]] = {
    "directory": lambda place: place.mkdir(),
    "fifo": lambda place: os.mkfifo(place),
    "socket": _socket,
    "dangling link": lambda place: place.symlink_to("nowhere"),
    "looping link": lambda place: place.symlink_to(place.name),
    "link to a directory": lambda place: place.symlink_to("/etc"),  # not to all: synapse looks there for the bytes
    "link to a device": lambda place: place.symlink_to("/dev/zero"),
}


@case(56)
@pytest.mark.parametrize("kind", OBSTACLES)
def test_something_else_is_in_the_way(stage: Stage, kind: str) -> None:
    stage.locked(declared())
    place = stage.path / CHECKPOINT
    place.parent.mkdir(parents=True, exist_ok=True)
    OBSTACLES[kind](place)
    before = place.lstat()
    for words in (("sync",), ("sync", "--force")):
        assert CHECKPOINT in stage(*words, code=7).err
        assert os.path.lexists(place) and place.lstat().st_ino == before.st_ino
    assert "Conflict" not in stage("status").out
    stage.excuse("I4", "I1", reason="the user has to decide; what is in the way may not be readable")


# -- what a file system cannot do ----------------------------------------------------------------------


@case(57)
@pytest.mark.parametrize("number", [errno.EPERM, errno.EMLINK, errno.ENOTSUP], ids=["EPERM", "EMLINK", "ENOTSUP"])
def test_no_hard_links(stage: Stage, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    stage.locked(declared())
    with monkeypatch.context() as patch:
        fail(patch, "link", number)
        stage("sync")
        assert (stage.path / CHECKPOINT).is_symlink()
        stage.manifest(declared(mode="copy"))
        stage("sync")
        assert not (stage.path / CHECKPOINT).is_symlink()
        (stage.path / EYES).unlink()
        stage.manifest(declared(mode="hardlink"))
        assert "`symlink` and `copy` work" in stage("sync", code=9).err
    stage.holds()


@case(58)
@pytest.mark.parametrize("way", ["auto", "copy", "move", "symlink"])
def test_store_and_tree_on_two_file_systems(stage: Stage, mount: Callable[..., Path], way: str) -> None:
    tmpfs(mount, "size=200m", at=stage.store)
    root = tmpfs(mount, "size=200m")
    stage.roots.append(root)
    stage.manifest(declared(root, way))
    stage("sync")
    assert (root / CHECKPOINT).is_symlink() is (way in ("auto", "symlink"))
    assert (root / CHECKPOINT).stat().st_size > 400_000
    stage.manifest(declared(root, way, MODELS[1]))
    stage("sync")
    assert not os.path.lexists(root / CHECKPOINT)
    assert len(stage.blobs()) >= 1, "the only copy moved into the store, across file systems"


@case(58)
def test_a_hard_link_across_file_systems_is_refused_with_what_helps(
    stage: Stage, mount: Callable[..., Path]
) -> None:
    root = tmpfs(mount, "size=200m")
    stage.roots.append(root)
    stage.manifest(declared(root, "hardlink"))
    assert "one file system" in stage("sync", code=9).err
    stage.manifest(declared(root, "copy"))


@case(59)
def test_no_symbolic_links(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.locked(declared())
    with monkeypatch.context() as patch:
        for call in ("link", "symlink"):
            fail(patch, call, errno.EPERM)
        stage("sync")
        place = stage.path / CHECKPOINT
        assert not place.is_symlink() and place.stat().st_nlink == 1


# -- names -------------------------------------------------------------------------------------------


def named(first: str, second: str) -> str:
    one, two = (line.split(" = ")[1].strip() for line in MODELS)
    return (
        f"[models.a]\nsource = {one}\nfilename = '{first}'\nsubfolder = 'x'\ntype = 'lora'\n"
        f"[models.b]\nsource = {two}\nfilename = '{second}'\nsubfolder = 'x'\ntype = 'lora'\n"
    )


@case(60)
@pytest.mark.parametrize(
    ("first", "second"),
    [("A.safetensors", "a.safetensors"), ("ß.safetensors", "SS.safetensors"), ("ﬁ.safetensors", "fi.safetensors")],
)
def test_names_that_some_file_systems_take_for_one(stage: Stage, first: str, second: str) -> None:
    stage.manifest(named(first, second))
    stage("lock", code=None)
    said = stage("sync", code=2).err
    assert "`a`" in said and "`b`" in said
    assert stage.tree() == {}
    stage.excuse("I4", reason="the manifest has to be corrected")


@case(61)
@pytest.mark.parametrize(
    "name",
    ["a\u200d.safetensors", "a.safetensors.", "a.safetensors ", "NUL", "aux.safetensors", "COM¹.bin",
     "lpt3", "a\u202e.safetensors", "a:b.safetensors"],
)  # fmt: skip
def test_names_that_would_be_another_elsewhere(stage: Stage, name: str) -> None:
    stage.manifest(named(name, "b.safetensors"))
    said = stage("sync", code=2).err
    assert "\u202e" not in said and "\u200d" not in said
    assert stage.tree() == {}
    stage.excuse("I4", reason="the manifest has to be corrected")


@case(61)
def test_a_decomposed_name_is_composed(stage: Stage) -> None:
    stage.manifest(named("e\u0301.safetensors", "b.safetensors"))
    stage("sync")
    assert "models/loras/x/\u00e9.safetensors" in stage.tree()
    stage.manifest(named("e\u0301.safetensors", "\u00e9.safetensors"))
    assert "both want" in stage("sync", code=2).err
    stage.excuse("I4", reason="the manifest has to be corrected")


@case(62)
def test_names_that_are_too_long(stage: Stage) -> None:
    stage.manifest(named("a" * 181, "b.safetensors"))
    assert "180 bytes" in stage("sync", code=2).err
    stage.manifest(named("a" * 180, "b.safetensors"))
    assert "180 bytes" in stage("sync", code=2).err, "with the ending of the file it is too long"
    longest = f"{'a' * 168}.safetensors"
    assert len(longest) == 180
    stage.manifest(named(longest, "b.safetensors"))
    stage("sync")
    assert f"models/loras/x/{longest}" in stage.tree()


@case(62)
def test_a_path_that_is_too_long_for_the_system(stage: Stage) -> None:
    root = stage.path / "/".join(["d" * 200] * 20)
    stage.manifest(declared(os.path.relpath(root, stage.path)))
    said = stage("sync", code=None)
    assert said.code in (2, 9) and "too long" in said.err
    stage.excuse("I4", reason="the manifest has to be corrected")


# -- locks -------------------------------------------------------------------------------------------


@case(64)
@pytest.mark.parametrize(
    "number", [errno.ENOLCK, errno.EBADF, errno.EOPNOTSUPP], ids=["ENOLCK", "EBADF", "EOPNOTSUPP"]
)
def test_locks_that_fail_are_told_with_what_helps(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    fcntl = pytest.importorskip("fcntl")
    stage.locked(declared())

    def flock(handle: object, flags: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", flock)
        said = stage("sync", code=9).err
    assert "has no locks" in said and "SYNAPSE_STORE" in said
    assert stage.tree() == {}


# -- what changes at rest --------------------------------------------------------------------------------


def blob_of(stage: Stage, path: str) -> Path:
    found = (stage.path / path).stat()
    return next(p for p in (stage.store / "blobs").rglob("*") if p.is_file() and p.stat().st_size == found.st_size)


@case(65)
def test_a_blob_edited_through_its_hard_link(stage: Stage) -> None:
    stage.manifest(declared(mode="hardlink"))
    stage("sync")
    place = stage.path / EYES
    assert not place.stat().st_mode & 0o222, "nobody does that by accident"
    right = place.read_bytes()
    place.chmod(0o644)
    place.write_bytes(b"edited by a UI")
    said = stage("sync", code=7).err
    assert EYES in said and place.read_bytes() == b"edited by a UI", "kept: it is the user's now"
    stage.excuse("I1", reason="the edited file is kept until the user decides")
    stage("sync", "--force")
    assert place.read_bytes() == right
    assert place.with_name(f"{place.name}.set-aside-1").read_bytes() == b"edited by a UI"


@case(66)
def test_bit_rot_that_keeps_size_and_time(stage: Stage) -> None:
    stage.manifest(declared(mode="hardlink"))
    stage("sync")
    place = stage.path / EYES
    right, was = place.read_bytes(), place.stat()
    place.chmod(0o644)
    place.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
    place.chmod(0o444)
    os.utime(place, ns=(was.st_atime_ns, was.st_mtime_ns))
    stage("sync")
    said = stage("verify", code=6).err
    assert EYES in said and "--repair" in said
    assert blob_is_gone(stage, right), "set aside at once: the next link would spread it"
    stage("verify", "--repair")
    assert place.read_bytes() == right


def blob_is_gone(stage: Stage, content: bytes) -> bool:
    import hashlib

    return hashlib.sha256(content).hexdigest() not in stage.blobs()


@case(67)
@pytest.mark.parametrize("mode", ["hardlink", "symlink", "copy"])
def test_a_store_that_a_cleaner_emptied(stage: Stage, mode: str) -> None:
    stage.manifest(declared(mode=mode))
    stage("sync")
    right = stage.tree()
    shutil.rmtree(stage.store / "blobs")
    shutil.rmtree(stage.store / "meta")
    stage.hub.clear_log()
    stage("sync")
    assert {path: (stage.path / path).read_bytes() for path in right} == right
    assert len(stage.hub.requests("storage")) == (2 if mode == "symlink" else 0)


@case(68)
@pytest.mark.parametrize("mode", ["hardlink", "symlink", "copy"])
@pytest.mark.parametrize("sparse", [False, True])
def test_a_blob_that_was_truncated(stage: Stage, mode: str, sparse: bool) -> None:
    stage.manifest(declared(mode=mode))
    stage("sync")
    right = stage.tree()
    blob = blob_of(stage, EYES)
    blob.chmod(0o644)
    size = blob.stat().st_size
    with blob.open("r+b") as file:
        file.truncate(0)
        file.truncate(size if sparse else 0)
    stage.excuse("I1", reason="the damage is there until it is found")
    if mode != "symlink":
        (stage.path / EYES).unlink()
    code = stage("sync", code=None).code
    if code:  # a damaged file below a link is the user's until they say otherwise
        assert mode == "symlink" and code == 7
        stage("verify", "--repair", code=None)
    stage("sync")
    assert {path: (stage.path / path).read_bytes() for path in right} == right
    assert [path for path in (stage.store / "quarantine").iterdir() if path.suffix != ".why"]


@case(69)
def test_a_drive_that_is_not_mounted(stage: Stage, tmp_path: Path) -> None:
    """Its mount point is there, and empty."""
    root = tmp_path / "drive"
    root.mkdir()
    stage.roots.append(root)
    stage.manifest(declared(root, "copy"))
    stage("sync")
    root.rename(tmp_path / "the drive")
    root.mkdir()
    stage.hub.clear_log()
    shutil.rmtree(stage.store / "blobs")
    said = stage("sync", code=2).err
    assert "mounted" in said and str(root) in said
    assert [*root.iterdir()] == [] and stage.hub.requests("storage") == []
    root.rmdir()
    (tmp_path / "the drive").rename(root)
    assert "in sync" in stage("sync").out


@case(69)
def test_a_root_that_was_emptied_on_purpose(stage: Stage, tmp_path: Path) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    stage.roots.append(root)
    stage.manifest(declared(root, "copy"))
    stage("sync")
    shutil.rmtree(root)
    stage("sync")
    assert (root / CHECKPOINT).exists()


@case(70)
@pytest.mark.parametrize("umask", [0o077, 0o000, 0o022, 0o002])
def test_umask_and_setgid_directories(stage: Stage, tmp_path: Path, umask: int) -> None:
    root = tmp_path / "shared"
    models = root / "models" / "checkpoints"
    models.mkdir(parents=True)
    models.chmod(0o2775)
    stage.roots.append(root)
    stage.manifest(declared(root, "copy"))
    before = os.umask(umask)
    try:
        stage("sync")
    finally:
        os.umask(before)
    assert mode_of.S_IMODE(models.stat().st_mode) == 0o2775, "a directory of the user"
    assert mode_of.S_IMODE((root / CHECKPOINT).stat().st_mode) == 0o666 & ~umask
    for path in (*stage.store.rglob("*"), *(root / ".synapse").rglob("*"), stage.path / "synapse.lock"):
        wanted = 0o777 if path.is_dir() else 0o444 if "blobs" in path.parts else 0o666
        if path.name.startswith("receipt-key-"):
            wanted = 0o600  # the one secret in a store
        assert mode_of.S_IMODE(path.stat().st_mode) & 0o777 == wanted & ~umask, path


@case(71)
@pytest.mark.parametrize(
    ("call", "number", "where"),
    [
        ("replace", errno.EBUSY, "receipt-"),
        ("replace", errno.EBUSY, "partials"),
        ("link", errno.EBUSY, "blobs"),
        ("open", errno.ESTALE, "partials"),
        ("unlink", errno.EBUSY, "portrait"),
    ],
)
def test_oddities_of_overlays_and_network_file_systems(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, call: str, number: int, where: str
) -> None:
    stage.manifest(declared(models=MODELS[0]))
    if call == "unlink":
        stage("sync")
        stage.manifest(declared(models=MODELS[1]))
    with monkeypatch.context() as patch:
        fail(patch, call, number, where, times=1)
        assert stage("sync", code=None).code in (0, 9)
    stage.holds()
    stage("sync")


@case(71)
def test_a_clone_that_is_refused_for_now(stage: Stage) -> None:
    stage.manifest(declared())
    with placing_by("clone", refusing(errno.EAGAIN)):
        stage("sync")
    assert (stage.path / EYES).exists()
