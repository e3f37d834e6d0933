"""File systems that refuse what most allow: each test mounts one, or skips with the reason."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from workbench import CHECKPOINT, EYES, MODELS, content_of, declare, leftovers, target
from world import Project

from synapse_sync.demo import catalogue
from synapse_sync.errors import StorageError
from synapse_sync.store.locks import hold

pytestmark = pytest.mark.usefixtures("impatient")
#: What the tests of real disks need; `apt-get install` brings them to a machine with FUSE and loop devices.
PACKAGES = "exfatprogs, exfat-fuse, ntfs-3g, xfsprogs, btrfs-progs, util-linux"


@pytest.fixture
def no_chmod(tmp_path: Path) -> Iterator[Path]:
    """A directory where one may write and chmod and chown are refused, as on many network shares."""
    if shutil.which("bindfs") is None or shutil.which("fusermount3") is None:
        pytest.skip("needs bindfs and FUSE (Debian: bindfs, fuse3)")
    real, share = tmp_path / "real", tmp_path / "share"
    real.mkdir()
    share.mkdir()
    words = ["bindfs", "--chmod-deny", "--chown-deny", str(real), str(share)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if not os.path.ismount(share):
        pytest.skip(f"bindfs cannot mount here: {done.stderr.strip()}")
    yield share
    subprocess.run(["fusermount3", "-u", "-z", str(share)], check=True)


@pytest.mark.parametrize("place", ["tree", "store", "both"])
@pytest.mark.parametrize("mode", ["auto", "copy", "symlink", "move"])
def test_where_modes_are_refused_everything_works(project: Project, no_chmod: Path, place: str, mode: str) -> None:
    if place != "tree":
        os.environ["SYNAPSE_STORE"] = str(no_chmod / "store")
    root = project.path / "ui" if place == "store" else no_chmod / "ui"
    head = target("ui", str(root), mode)
    project.manifest(declare("portrait", "eyes", head=head))
    project("sync")
    assert (root / CHECKPOINT).read_bytes() == content_of(project.hub, catalogue.PORTRAIT_V1)
    assert "nothing to do" in project("sync").out
    (root / EYES).unlink()
    project("sync")
    assert (root / EYES).is_file()
    project("verify")
    project.manifest(declare("eyes", head=head))
    project("sync", "--yes")
    assert not os.path.lexists(root / CHECKPOINT)
    assert leftovers(root) == []


def test_a_blob_where_modes_are_refused_is_still_found_changed(project: Project, no_chmod: Path) -> None:
    """The store cannot protect a blob by its mode there: a change is seen by its time and size."""
    os.environ["SYNAPSE_STORE"] = str(no_chmod / "store")
    project.manifest(declare("eyes", head=target("ui", "ui", "copy")))
    project("sync")
    (blob,) = (path for path in (no_chmod / "store" / "blobs").rglob("*") if path.is_file())
    blob.write_bytes(b"changed")
    (project.path / "ui" / EYES).unlink()
    project("sync")
    assert (project.path / "ui" / EYES).read_bytes() != b"changed"


# -- a store, or all of it, that can only be read ------------------------------------------------------


@pytest.fixture
def read_only() -> Iterator[Callable[[Path], None]]:
    """Mount a directory read-only over itself; root may write anywhere else."""
    places: list[Path] = []

    def do(place: Path) -> None:
        done = subprocess.run(
            ["mount", "--bind", str(place), str(place)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"mounting needs root: {done.stderr.strip()}")
        places.append(place)
        subprocess.run(["mount", "-o", "remount,ro,bind", str(place)], check=True)

    yield do
    for place in places:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


NOTHING_TO_DO = [
    "sync", "sync --locked", "sync --frozen --offline", "sync --check", "sync --no-prune", "sync --only eyes",
    "status", "lock", "lock --check", "verify", "verify --store", "verify --repair", "list", "store size",
]  # fmt: skip


@pytest.mark.parametrize("which", ["store", "tree", "project", "all"])
@pytest.mark.parametrize("elsewhere", [False, True], ids=["the same home", "another home"])
def test_with_nothing_to_do_nothing_is_written(
    project: Project,
    read_only: Callable[[Path], None],
    tmp_path: Path,
    which: str,
    elsewhere: bool,
) -> None:
    """In another home the last sync is not known to be complete, so that everything is compared."""
    root = tmp_path / "ui"
    project.manifest(declare("eyes", head=target("ui", str(root))))
    project("sync")
    places = {"store": [project.store], "tree": [root], "project": [project.path]}
    for place in places.get(which, [project.store, root, project.path]):
        read_only(place)
    if elsewhere:
        (tmp_path / "home").mkdir()
        os.environ["HOME"] = str(tmp_path / "home")
    for words in NOTHING_TO_DO:
        project(*words.split())


@pytest.mark.parametrize("lock_files", ["kept", "gone"])
@pytest.mark.parametrize("mode", ["auto", "copy", "symlink"])
def test_a_store_that_can_only_be_read_serves_links(
    project: Project, read_only: Callable[[Path], None], tmp_path: Path, mode: str, lock_files: str
) -> None:
    project.manifest(declare("portrait", "eyes", head=target("ui", "ui")))
    project("sync")
    if lock_files == "gone":
        shutil.rmtree(project.store / "locks")
        shutil.rmtree(project.store / "meta")
    read_only(project.store)
    project.hub.clear_log()
    head = target("second", str(tmp_path / "second"), mode)
    project.manifest(declare("portrait", "eyes", head=head))
    said = project("sync", "--offline", "--no-prune").err
    assert "cannot be written to" in said and "store gc" in said
    assert (tmp_path / "second" / EYES).is_file() and (tmp_path / "second" / CHECKPOINT).is_file()
    assert "in sync" in project("status", "--target", "second").out
    project.manifest(declare("eyes", head=head))
    project("sync", "--offline", "--locked", "--target", "second", code=8)
    project("sync", "--offline", "--target", "second")
    assert not os.path.lexists(tmp_path / "second" / CHECKPOINT)
    assert project.hub.requests() == []


def test_where_a_store_must_be_written_the_hint_says_how_to_have_another(
    project: Project, read_only: Callable[[Path], None], tmp_path: Path
) -> None:
    project.manifest(declare("eyes"))
    project("sync")
    read_only(project.store)
    project.manifest(declare("portrait", "eyes"))
    assert "SYNAPSE_STORE" in project("sync", code=9).err
    os.environ["SYNAPSE_STORE"] = str(tmp_path / "store")
    project("sync")
    assert (project.path / CHECKPOINT).is_file(), "the hint helps"


def test_a_lock_that_may_only_be_read_is_waited_for(project: Project, read_only: Callable[[Path], None]) -> None:
    """The owner of the store holds it: a reader waits like everybody."""
    project.manifest(declare("eyes"))
    project("sync")
    read_only(project.store)
    (path,) = (project.store / "locks").glob("target-*.lock")
    with (
        hold(path, "one"),
        pytest.raises(StorageError, match="in use"),
        hold(path, "two", timeout=0.1, optional=True),
    ):
        pytest.fail("two hold it")


def test_a_bad_blob_in_a_store_that_can_only_be_read_is_not_used(
    project: Project, read_only: Callable[[Path], None], tmp_path: Path
) -> None:
    project.manifest(declare("eyes", head=target("ui", "ui", "copy")))
    project("sync")
    (blob,) = (path for path in (project.store / "blobs").rglob("*") if path.is_file())
    blob.chmod(0o644)
    blob.write_bytes(bytes(blob.stat().st_size))
    read_only(project.store)
    project.manifest(declare("eyes", head=target("second", str(tmp_path / "second"), "copy")))
    project("sync", "--no-prune", code=9)
    assert not (tmp_path / "second" / EYES).exists()
    assert "does not have the content of its name" in project("verify", "--store", code=6).err


# -- a file system that ignores case -------------------------------------------------------------------


@contextmanager
def disk(tmp_path: Path, size: int, make: str, mount: str) -> Iterator[Path]:
    """A fresh file system of `size` bytes in a file; skips the test where it cannot be had.

    `make` and `mount` are the commands that make and mount it, before their device and directory.
    """
    for command in (make, mount):
        if shutil.which(command.split()[0]) is None:
            pytest.skip(f"needs {command.split()[0]} (Debian: {PACKAGES})")
    image, place = tmp_path / "image", tmp_path / "disk"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(size)
    subprocess.run([*make.split(), str(image)], capture_output=True, check=True)
    found = subprocess.run(["losetup", "-f", "--show", str(image)], capture_output=True, text=True, check=False)
    loop = found.stdout.strip()
    if not loop:
        pytest.skip(f"needs loop devices: {found.stderr.strip()}")
    try:
        done = subprocess.run([*mount.split(), loop, str(place)], capture_output=True, text=True, check=False)
        if not os.path.ismount(place):
            pytest.skip(f"it cannot be mounted here: {done.stderr.strip()}")
        yield place
        subprocess.run(["umount", str(place)], check=True)
    finally:
        subprocess.run(["losetup", "-d", loop], check=False)


@pytest.fixture
def exfat(tmp_path: Path) -> Iterator[Path]:
    """A fresh exFAT file system: case does not count, and there are no links, modes or owners."""
    with disk(tmp_path, 100 << 20, "mkfs.exfat", "mount.exfat-fuse") as place:
        yield place


@pytest.fixture
def ntfs(tmp_path: Path) -> Iterator[Path]:
    """A fresh NTFS file system with links, where case does not count and all names are listed in lower case."""
    with disk(tmp_path, 100 << 20, "mkfs.ntfs -Q -F", "lowntfs-3g -o ignore_case,windows_names") as place:
        yield place


@pytest.fixture(params=["mkfs.xfs -q -m reflink=1", "mkfs.btrfs -q"], ids=["xfs", "btrfs"])
def sharing(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system that shares blocks between files."""
    with disk(tmp_path, 400 << 20, request.param, "mount") as place:
        yield place


def named(name: str, *, folder: str = "", head: str, more: str = "", model: str = MODELS["portrait"]) -> str:
    below = f'subfolder = "{folder}"\n' if folder else ""
    return f'{head}[models.m]\nsource = "{model}"\nfilename = "{name}"\n{below}{more}'


def files(root: Path) -> list[str]:
    found = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in found if path.parts[0] != ".synapse")


@pytest.mark.parametrize("mode", ["auto", "copy", "move"])
@pytest.mark.parametrize("change", ["name", "folder", "both"])
def test_a_rename_by_case_renames(project: Project, exfat: Path, mode: str, change: str) -> None:
    root = exfat / "ui"
    head = target("ui", str(root), mode)
    project.manifest(named("Dream.safetensors", folder="Portraits", head=head))
    project("sync")
    project.hub.clear_log()
    name = "Dream.safetensors" if change == "folder" else "dream.safetensors"
    folder = "Portraits" if change == "name" else "portraits"
    project.manifest(named(name, folder=folder, head=head))
    assert "spelled" in project("status").out
    project("sync", "--offline")
    assert files(root) == [f"models/checkpoints/{folder}/{name}"]
    assert "in sync" in project("status").out
    assert "nothing to do" in project("sync").out
    project.manifest(declare("eyes", head=head))
    project("sync")
    assert files(root) == [EYES]


@pytest.mark.parametrize("mode", ["copy", "move"])
def test_an_upgrade_and_a_rename_by_case_at_once(project: Project, exfat: Path, mode: str) -> None:
    root = exfat / "ui"
    head = target("ui", str(root), mode)
    both = [f"civitai:{catalogue.PORTRAIT}@{catalogue.PORTRAIT_V1}", MODELS["sharpen"]]
    kind = 'type = "checkpoint"\n'
    project.manifest(named("Dream.safetensors", head=head, model=both[0], more=kind))
    project("sync")
    project.manifest(named("dream.safetensors", head=head, model=both[1], more=kind))
    project("sync")
    assert files(root) == ["models/checkpoints/dream.safetensors"]
    sharpen = next(v.files[0].content for m in project.hub.civitai.models.values()
                   for v in m.versions if f"civitai:{m.id}" == MODELS["sharpen"])  # fmt: skip
    assert (root / "models/checkpoints/dream.safetensors").read_bytes() == sharpen
    assert "in sync" in project("status").out


def test_companions_are_renamed_with_their_model(project: Project, exfat: Path) -> None:
    root = exfat / "ui"
    head = f'[workspace]\npreviews = true\nsidecars = true\n[targets.ui]\nlayout = "a1111"\nroot = "{root}"\n'
    project.manifest(named("Dream.safetensors", head=head))
    project("sync")
    before = files(root)
    assert len(before) == 3
    project.manifest(named("dream.safetensors", head=head))
    project("sync")
    assert files(root) == [path.replace("Dream", "dream") for path in before]
    assert "in sync" in project("status").out


@pytest.mark.parametrize("words", [["--no-prune"], ["--only", "m"]])
def test_a_rename_by_case_without_a_prune_is_whole_too(project: Project, exfat: Path, words: list[str]) -> None:
    root = exfat / "ui"
    head = target("ui", str(root))
    project.manifest(named("Dream.safetensors", head=head))
    project("sync")
    project.manifest(named("dream.safetensors", head=head))
    project("sync", *words)
    project("sync")
    assert files(root) == ["models/checkpoints/dream.safetensors"]


def test_a_file_of_the_users_in_another_case_keeps_its_name(project: Project, exfat: Path) -> None:
    root = exfat / "ui"
    place = root / "models/checkpoints/DREAM.safetensors"
    place.parent.mkdir(parents=True)
    place.write_bytes(content_of(project.hub, catalogue.PORTRAIT_V1))
    project.manifest(named("dream.safetensors", head=target("ui", str(root))))
    project("sync")
    assert files(root) == ["models/checkpoints/DREAM.safetensors"]
    project.manifest(declare("eyes", head=target("ui", str(root))))
    project("sync")
    assert "models/checkpoints/DREAM.safetensors" in files(root)


def test_a_root_in_another_case_is_the_same_root(project: Project, exfat: Path) -> None:
    project.manifest(declare("portrait", "eyes", head=target("t", str(exfat / "UI"))))
    project("sync")
    project.hub.clear_log()
    project.manifest(declare("portrait", "eyes", head=target("t", str(exfat / "ui"))))
    project("sync")
    assert files(exfat / "UI") == sorted([CHECKPOINT, EYES])
    project.manifest(declare("eyes", head=target("t", str(exfat / "ui"))))
    project("sync")
    assert files(exfat / "UI") == [EYES]
    assert project.hub.requests("storage") == []


def test_two_roots_that_differ_by_case_are_one_directory(project: Project, exfat: Path) -> None:
    two = target("a", str(exfat / "ui"), "copy") + target("b", str(exfat / "UI"), "copy")
    project.manifest(declare("portrait", "eyes", head=two))
    project("sync")
    only_b = f'[models.portrait]\nsource = "{MODELS["portrait"]}"\ntargets = ["b"]\n'
    project.manifest(declare("eyes", head=two) + only_b)
    project("sync")
    assert (exfat / "ui" / CHECKPOINT).is_file(), "the other target wants it"


# -- file systems that share blocks, and NTFS ------------------------------------------------------------


def shared_blocks(path: Path) -> int:
    """The number of pieces of a file that another file shares, by the file system's own word (FIEMAP)."""
    os.sync()
    told = subprocess.run(["filefrag", "-v", str(path)], capture_output=True, text=True, check=True).stdout
    return told.count("shared")


@pytest.mark.parametrize("mode", ["auto", "clone"])
def test_a_clone_is_a_file_of_its_own_that_costs_no_space(project: Project, sharing: Path, mode: str) -> None:
    os.environ["SYNAPSE_STORE"] = str(sharing / "store")
    root = sharing / "ui"
    project.manifest(declare("portrait", "eyes", head=target("ui", str(root), mode)))
    project("sync")
    assert "nothing to do" in project("sync").out
    place = root / CHECKPOINT
    (blob,) = (path for path in (sharing / "store" / "blobs").rglob("*") if path.is_file() and same(path, place))
    assert place.stat().st_nlink == 1 and not place.samefile(blob)
    assert shared_blocks(place) >= 1
    assert "all good" in project("verify", "--store").err
    place.write_bytes(b"mine")
    project("store", "verify")
    assert not same(blob, place), "a clone is a file of its own"
    place.unlink()
    project("sync", "--offline")
    assert same(blob, place) and shared_blocks(place) >= 1
    project.manifest(declare("eyes", head=target("ui", str(root), mode)))
    project("sync", "--yes")
    assert files(root) == [EYES]


def same(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()


def test_a_disk_that_lists_another_spelling_is_in_sync(project: Project, ntfs: Path) -> None:
    root = ntfs / "ui"
    head = target("ui", str(root))
    project.manifest(named("Dream.safetensors", folder="Portraits", head=head))
    project("sync")
    assert files(root) == ["models/checkpoints/portraits/dream.safetensors"], "so this disk lists it"
    said = project("status").out
    assert "in sync" in said and "unmanaged" not in said
    assert "nothing to do" in project("sync").out
    project.manifest(named("DREAM.safetensors", folder="portraits", head=head))
    project("sync", "--offline")
    assert "nothing to do" in project("sync").out and len(files(root)) == 1


@pytest.mark.parametrize(
    ("mode", "links"), [("auto", 2), ("hardlink", 2), ("symlink", 1), ("copy", 1), ("move", 1)]
)
def test_each_link_mode_on_ntfs(project: Project, ntfs: Path, mode: str, links: int) -> None:
    os.environ["SYNAPSE_STORE"] = str(ntfs / "store")
    root = ntfs / "ui"
    project.manifest(declare("portrait", "eyes", head=target("ui", str(root), mode)))
    project("sync")
    assert "nothing to do" in project("sync").out and "in sync" in project("status").out
    assert (root / CHECKPOINT).lstat().st_nlink == links
    assert (root / CHECKPOINT).is_symlink() == (mode == "symlink")
    (root / EYES).unlink()
    project("sync")
    project("verify")
    project.manifest(declare("eyes", head=target("ui", str(root), mode)))
    project("sync", "--yes")
    assert files(root) == [EYES] and leftovers(ntfs) == []
