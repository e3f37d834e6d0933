"""`extract`: an archive at a plain URL, and what of it comes into the tree. Malicious ones, too."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import signal
import stat
import struct
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from stand_ins import free_space
from workbench import sha256
from world import Project

from synapse_sync.demo.github import Release
from synapse_sync.demo.storage import Stored
from synapse_sync.demo.weights import png_bytes, safetensors_bytes
from synapse_sync.engine.collect import plan_collection
from synapse_sync.store.durable import RESERVE

LORA = safetensors_bytes("lora in a zip", size=40_000)
OTHER = safetensors_bytes("another in a zip", size=30_000)
PREVIEW = b"\x89PNG\r\n\x1a\n" + random.Random(1).randbytes(2_000)
PARCEL = {"Parcel/style.safetensors": LORA, "Parcel/preview.png": PREVIEW, "Parcel/read me.txt": b"hello\n"}
STYLE = "models/loras/style.safetensors"


def zipped(members: dict[str, bytes] | Iterable[tuple[str | zipfile.ZipInfo, bytes]], method: int = 8) -> bytes:
    pairs = members.items() if isinstance(members, dict) else members
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in pairs:
            archive.writestr(name, content)
    return out.getvalue()


def tarred(members: dict[str, bytes], *more: tarfile.TarInfo) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info in more:
            archive.addfile(info)
    return out.getvalue()


def entry(url: str, more: str = "", extract: str = '["*.safetensors"]') -> str:
    return f'[models.style]\nsource = "{url}"\ntype = "lora"\nextract = {extract}\n{more}'


def declare(project: Project, content: bytes, more: str = "", name: str = "parcel.zip", **options: str) -> str:
    url = project.hub.files.put(name, content)
    project.manifest(entry(url, more, **options))
    return url


def gets(project: Project) -> int:
    return sum(seen.method == "GET" for seen in project.hub.requests("files"))


def test_a_changed_copy_of_an_archive_is_set_aside_by_the_sync_that_needs_it(project: Project) -> None:
    content = zipped(PARCEL)
    declare(project, content)
    project("sync")
    for data in (LORA, content):
        (blob,) = (project.store / "blobs").rglob(sha256(data))
        blob.chmod(0o644)
        blob.write_bytes(b"mine")
    (project.path / STYLE).unlink()
    said = " ".join(project("sync").err.split())
    assert said.count("the store's copy was changed by somebody") == 2
    assert (project.path / STYLE).read_bytes() == LORA


def forget_blobs(project: Project) -> None:
    for name in project.blobs():
        (project.store / "blobs" / "sha256" / name[:2] / name).unlink()


# -- what works ---------------------------------------------------------------------------------------


def test_a_member_is_placed_and_nothing_else_of_the_archive(project: Project) -> None:
    archive = zipped(PARCEL)
    url = declare(project, archive)
    project("sync")
    assert project.tree() == {STYLE: LORA}
    (artifact,) = project.locked()[0]["artifact"]
    assert artifact["filename"] == "Parcel/style.safetensors"
    assert (artifact["sha256"], artifact["size"], artifact["url"]) == (sha256(LORA), len(LORA), url)
    assert artifact["archive"] == {
        "member": "Parcel/style.safetensors", "sha256": sha256(archive), "size": len(archive)
    }  # fmt: skip
    assert artifact["trust"] == "first-use"
    requests = len(project.hub.log)
    assert project("sync", "--check").out.startswith("in sync: ")
    assert "in sync" in project("status").out
    assert project("lock", "--json").json["changes"] == []
    assert len(project.hub.log) == requests


def test_the_only_weights_of_an_archive_have_their_companions(project: Project) -> None:
    cover = project.hub.storage.publish("/cover.png", Stored(content=png_bytes("cover"), content_type="image/png"))
    url = project.hub.files.put("parcel.zip", zipped(PARCEL))
    head = '[workspace]\npreviews = true\nsidecars = ["a1111"]\n'
    wished = '["*.safetensors", "*.txt"]'
    project.manifest(head + entry(url, f'cover = "{cover}"\n', extract=wished))
    project("sync")
    tree = project.tree()
    folder = "models/loras/style/Parcel"
    assert tree[f"{folder}/style.safetensors"] == LORA
    assert tree[f"{folder}/style.preview.png"] == png_bytes("cover")
    assert json.loads(tree[f"{folder}/style.json"])["sha256"] == sha256(LORA).upper(), "the member's, not the zip's"
    assert len(tree) == 4 and f"{folder}/read me.txt" in tree
    assert project("sync", "--check").out.startswith("in sync: ")


def test_members_that_would_have_one_name_without_their_folders_are_refused_at_lock(project: Project) -> None:
    declare(project, zipped({"a/style.safetensors": LORA, "b/style.safetensors": OTHER}), "flatten = true\n")
    refused = project("lock", code=2)
    assert "`a/style.safetensors` and `b/style.safetensors` would have one name" in refused.err
    assert "narrower `extract`" in refused.err
    assert not (project.path / "synapse.lock").exists()


def test_an_archive_in_the_cache_of_the_hub_needs_no_network(project: Project, sandbox: Path) -> None:
    archive = zipped(PARCEL)
    declare(project, archive)
    project("lock")
    forget_blobs(project)
    cached = sandbox / "huggingface" / "hub" / "models--ada--parcel" / "blobs" / sha256(archive)
    cached.parent.mkdir(parents=True)
    cached.write_bytes(archive)
    project.hub.clear_log()
    report = project("sync", "--offline", "--json").json
    assert project.tree() == {STYLE: LORA} and project.hub.log == []
    assert report["fetched_bytes"] == 0
    assert [o["detail"] for o in report["outcomes"] if o["verb"] == "salvage"] == [f"from {cached}"]


def test_another_machine_gets_the_archive_once_for_all_its_members(project: Project) -> None:
    declare(project, zipped({**PARCEL, "Parcel/other.safetensors": OTHER}))
    project("lock")
    forget_blobs(project)
    project.hub.clear_log()
    report = project("sync", "--locked", "--json").json
    assert gets(project) == 1
    assert project.tree() == {
        "models/loras/style/Parcel/style.safetensors": LORA,
        "models/loras/style/Parcel/other.safetensors": OTHER,
    }
    assert sum(outcome["error"] is None for outcome in report["outcomes"]) == 4
    assert project("sync").code == 0
    assert gets(project) == 1


def test_two_models_out_of_one_archive_download_it_once(project: Project) -> None:
    url = project.hub.files.put("two.zip", zipped({"a.safetensors": LORA, "b.safetensors": OTHER}))
    project.manifest(
        "".join(f'[models.{n}]\nsource = "{url}"\ntype = "lora"\nextract = "{n}.*"\n' for n in ("a", "b"))
    )
    project("lock")
    assert gets(project) == 1
    forget_blobs(project)
    project("sync", "--locked")
    assert gets(project) == 2
    assert project.tree() == {"models/loras/a.safetensors": LORA, "models/loras/b.safetensors": OTHER}


def test_without_extract_an_archive_is_kept_as_it_is(project: Project) -> None:
    archive = zipped(PARCEL)
    url = project.hub.files.put("parcel.zip", archive)
    project.manifest(f'[models.parcel]\nsource = "{url}"\ntype = "other"\n[targets.flat]\nlayout = "flat"\n')
    project("sync")
    assert list(project.tree().values()) == [archive]


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "tar": bytes,
    "tar.gz": gzip.compress,
    "tar.bz2": bz2.compress,
    "tar.xz": lzma.compress,
}


@pytest.mark.parametrize("kind", PACKED)
def test_tar_archives_too(project: Project, kind: str) -> None:
    content = PACKED[kind](tarred({"x/other.safetensors": OTHER, "x/preview.png": PREVIEW, **PARCEL}))
    declare(project, content, name=f"parcel.{kind}")
    project("lock")
    forget_blobs(project)
    project("sync")
    assert sorted(project.tree().values()) == sorted([LORA, OTHER])


def test_a_promised_archive_is_checked_and_then_nothing_is_on_first_use(project: Project) -> None:
    archive = zipped(PARCEL)
    declare(project, archive, f'sha256 = "{sha256(archive)}"')
    assert "first use" not in project("lock").err
    assert "trust" not in project.lock_text
    declare(project, archive, f'sha256 = "{"0" * 64}"')
    project("lock", code=6)


def test_other_patterns_need_no_second_download(project: Project) -> None:
    archive = zipped({**PARCEL, "Parcel/other.safetensors": OTHER})
    declare(project, archive, extract='"*/style.*"')
    project("sync")
    assert gets(project) == 1
    declare(project, archive, extract='"*/other.*"')
    project("sync")
    assert gets(project) == 1
    assert project.tree() == {"models/loras/other.safetensors": OTHER}


def test_extracting_or_not_may_change_and_what_was_seen_first_stays_trusted(project: Project) -> None:
    archive = zipped(PARCEL)
    url = declare(project, archive)
    flat = '[targets.flat]\nlayout = "flat"\n'
    for extract, content in (("", archive), ('extract = "*.safetensors"', LORA), ("", archive)):
        project.manifest(f'{flat}[models.parcel]\nsource = "{url}"\ntype = "other"\n{extract}\n')
        project("sync")
        assert list(project.tree().values()) == [content]
        assert project.lock_text.count('trust = "first-use"') == 1
    assert gets(project) == 1
    project.hub.files.put("parcel.zip", zipped({"Parcel/style.safetensors": OTHER}))
    forget_blobs(project)
    for path in project.tree():  # the archive in the tree would be used, whatever the server has now
        (project.path / path).unlink()
    project.manifest(f'{flat}[models.parcel]\nsource = "{url}"\ntype = "other"\nextract = "*.safetensors"\n')
    project("lock", code=6)
    project("lock", "--upgrade-model", "parcel")


def test_what_macos_puts_beside_a_file_is_passed_over(project: Project) -> None:
    declare(project, zipped({**PARCEL, "__MACOSX/Parcel/._style.safetensors": b"Mac OS X" * 20}))
    project("sync")
    assert project.tree() == {STYLE: LORA}


def test_show_and_list_tell_where_it_comes_from(project: Project) -> None:
    archive = zipped(PARCEL)
    declare(project, archive)
    assert project("lock").err.count("trusted on first use: `style`") == 1
    assert "trusted" not in project("lock").err
    (model,) = project("show", "style", "--json").json["models"]
    assert model["files"][0]["archive"]["member"] == "Parcel/style.safetensors"
    assert f"Parcel/style.safetensors of archive sha256:{sha256(archive)}" in project("show", "style").out
    (row,) = project("list", "--json").json["models"]
    assert row["first_use"] == ["Parcel/style.safetensors"]
    assert "on first use" in project("list").out


# -- later ---------------------------------------------------------------------------------------------


def test_a_damaged_member_is_had_again_through_its_archive(project: Project) -> None:
    declare(project, zipped(PARCEL), "\n[targets.here]\nlink-mode = 'hardlink'\n")
    project("sync")
    place = project.path / STYLE
    place.chmod(0o644)
    place.write_bytes(b"spoilt")
    project("verify", code=6)
    project("verify", "--repair", code=None)
    assert project.tree() == {STYLE: LORA}
    project("verify")


def test_gc_drops_the_archive_and_keeps_its_members(project: Project) -> None:
    archive = zipped(PARCEL)
    declare(project, archive)
    project("sync")
    assert set(project.blobs()) == {sha256(archive), sha256(LORA)}
    later = time.time() + 7200
    plan = plan_collection(project.store, now=later)
    assert [blob.sha256 for blob in plan.drop] == [sha256(archive)]
    assert plan.irreplaceable == ()
    project.manifest(f'[models.other]\nsource = "{project.hub.files.put("a.safetensors", OTHER)}"\ntype = "lora"\n')
    project("sync")
    plan = plan_collection(project.store, now=later)
    assert {blob.sha256 for blob in plan.drop} == {sha256(archive), sha256(LORA)}  # both can be had again


def test_the_plan_counts_the_archive_not_what_is_in_it(project: Project) -> None:
    archive = zipped({**PARCEL, "Parcel/other.safetensors": OTHER})
    declare(project, archive)
    project("lock")
    forget_blobs(project)
    assert project("status", "--json").json["fetch_bytes"] == len(archive)


def test_while_the_archive_is_here_no_network_is_needed(project: Project) -> None:
    archive = zipped(PARCEL)
    declare(project, archive)
    project("lock")
    (project.store / "blobs" / "sha256" / sha256(LORA)[:2] / sha256(LORA)).unlink()
    project.hub.clear_log()
    project("sync", "--offline")
    assert project.tree() == {STYLE: LORA}
    assert project.hub.log == []
    forget_blobs(project)
    (project.path / STYLE).unlink()
    assert "--offline prevents" in project("sync", "--offline", code=5).err


def test_what_comes_out_of_an_archive_that_is_here_is_no_download(project: Project) -> None:
    declare(project, zipped(PARCEL))
    project("lock")
    (project.store / "blobs" / "sha256" / sha256(LORA)[:2] / sha256(LORA)).unlink()
    plan = project("status", "--json").json
    assert plan["fetch_bytes"] == 0
    reasons = {action["verb"]: action["reason"] for action in plan["actions"]}
    assert reasons == {"salvage": "in an archive that the store has", "place": None}
    assert "to download" not in project("status").out
    report = project("sync", "--json").json
    assert report["fetched_bytes"] == 0 and project.tree() == {STYLE: LORA}


def test_what_the_scan_calls_dangerous_is_allowed_by_the_digest_of_the_archive(project: Project) -> None:
    archive = zipped(PARCEL)
    declare(project, archive)
    project("lock")
    forget_blobs(project)
    text = project.lock_text.replace('trust = "first-use"', 'scan = "danger"')
    (project.path / "synapse.lock").write_text(text)
    assert "dangerous" in project("sync", "--locked", code=2).err
    declare(project, archive, f'[workspace]\nallow-dangerous = ["{sha256(archive)}"]\n')
    project("sync", "--locked")
    assert project.tree() == {STYLE: LORA}


def test_preflight_wants_room_for_the_archive_and_for_what_is_in_it(project: Project) -> None:
    archive = zipped(PARCEL)
    declare(project, archive)
    project("lock")
    forget_blobs(project)
    project.hub.clear_log()
    free = RESERVE + len(archive) + len(LORA)
    with free_space(free - 1):
        assert "not enough space" in project("sync", code=9).err
    assert project.hub.log == []
    with free_space(free):
        project("sync")
    assert project.tree() == {STYLE: LORA}


def test_lock_unpacks_only_where_there_is_room(project: Project) -> None:
    declare(project, zipped(PARCEL))
    with free_space(RESERVE):
        assert "needed to unpack it" in project("lock", code=9).err


def test_an_upgrade_to_the_same_release_downloads_nothing(project: Project) -> None:
    release = Release(tag="v1", files={"parcel.zip": zipped(PARCEL)})
    project.hub.github.add("somebody/parcels", release)
    project.manifest(entry("gh:somebody/parcels/parcel.zip"))
    project("sync")
    assert "trust" not in project.lock_text  # GitHub told the digest of the archive
    before = project.lock_text
    for name in project.blobs():
        if name != sha256(LORA):
            (project.store / "blobs" / "sha256" / name[:2] / name).unlink()
    project.hub.clear_log()
    project("lock", "--upgrade")
    assert project.lock_text == before
    assert [seen.origin for seen in project.hub.log] == ["github"]
    assert project("outdated", "--json").json["outdated"] == 0


def test_add_with_extract(project: Project) -> None:
    url = project.hub.files.put("parcel.zip", zipped(PARCEL))
    project.manifest("")
    project("add", url, "--type", "lora", "--extract", "*.safetensors")
    project("sync")
    assert project.tree() == {STYLE: LORA}


def test_upgrade_takes_a_new_archive_and_outdated_tells_the_same(project: Project) -> None:
    declare(project, zipped(PARCEL))
    project("sync")
    assert project("outdated", "--json").json["outdated"] == 0
    declare(project, zipped({"Parcel/style.safetensors": OTHER}))
    project("sync", "--check")
    project("lock", "--upgrade")
    project("sync")
    assert project.tree() == {STYLE: OTHER}


def test_an_archive_that_changed_upstream_is_refused_at_sync(project: Project) -> None:
    declare(project, zipped(PARCEL))
    project("lock")
    forget_blobs(project)
    project.hub.files.put("parcel.zip", zipped({"Parcel/style.safetensors": OTHER}))
    project("sync", code=6)
    assert project.tree() == {}


def test_a_reader_that_knows_no_archives_places_nothing_wrong(project: Project) -> None:
    """What an older version makes of the lockfile: it asks the place for the member's bytes, and they differ."""
    declare(project, zipped(PARCEL))
    project("lock")
    forget_blobs(project)
    lines = [line for line in project.lock_text.splitlines() if not line.startswith("archive = ")]
    (project.path / "synapse.lock").write_text("\n".join(lines) + "\n")
    project("sync", "--frozen", code=6)
    assert project.tree() == {}


def test_a_lockfile_that_promises_another_member_is_refused(project: Project) -> None:
    declare(project, zipped({**PARCEL, "Parcel/other.safetensors": OTHER}), extract='"*/style.*"')
    project("lock")
    forget_blobs(project)
    whole = project.lock_text
    for name in ("Parcel/other.safetensors", "Parcel/nothing.safetensors"):
        text = whole.replace('member = "Parcel/style.safetensors"', f'member = "{name}"')
        (project.path / "synapse.lock").write_text(text)
        project("sync", "--frozen", code=6)
        assert project.tree() == {}


#: Runs a command, and is killed right before it publishes its fourth blob.
KILLED = """
import os, signal, sys
from synapse_sync.cli.main import main

left = 3

def publishes(event, arguments):
    global left
    if event in ("os.rename", "os.link") and "/blobs/" in str(arguments[1]):
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

sys.addaudithook(publishes)
main(sys.argv[1:])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_killed_while_unpacking(project: Project) -> None:
    """Killed when the first members lie in the store; the next run goes on from there."""
    big = random.Random(2).randbytes(100_000)
    members = {f"{n}.png": big + bytes([n]) for n in range(40)}
    declare(project, zipped(members, zipfile.ZIP_STORED), extract='"*.png"')
    project("lock")
    forget_blobs(project)
    command = [sys.executable, "-c", KILLED, "sync", "-C", str(project.path)]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, f"it was over before it could be killed: {done}"
    assert len(project.blobs()) == 3  # the archive and its first two members
    assert project.tree() == {}
    for name in project.blobs():
        assert sha256((project.store / "blobs" / "sha256" / name[:2] / name).read_bytes()) == name
    project.hub.clear_log()
    project("sync")
    assert len(project.tree()) == 40
    assert gets(project) == 0
    project("verify", "--store")


# -- malicious and broken archives -----------------------------------------------------------------------


def info(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    found = zipfile.ZipInfo(name)
    found.create_system = 3
    found.external_attr = mode << 16
    return found


def encrypted() -> bytes:
    """A zip whose only entry says that it is encrypted, in both of its headers."""
    data = bytearray(zipped({"style.safetensors": LORA}))
    data[6] |= 1
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def link(kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    found = tarfile.TarInfo("style.safetensors")
    found.type, found.linkname = kind, "/etc/passwd"
    return found


def corrupt() -> bytes:
    data = bytearray(zipped({"style.safetensors": LORA}, zipfile.ZIP_STORED))
    data[len(data) // 2] ^= 0xFF
    return bytes(data)


def elsewhere() -> bytes:
    """A zip64 whose directory says that its only entry begins at 4 EB."""
    name, more = b"a.safetensors", struct.pack("<HHQ", 1, 8, 1 << 62)
    entry = struct.pack(
        "<IHHHHHHIIIHHHHHII",
        0x02014B50, 45, 45, 0, 0, 0, 0, 0, len(LORA), len(LORA), len(name), len(more), 0, 0, 0, 0, 0xFFFFFFFF,
    )  # fmt: skip
    local = struct.pack("<IHHHHHIIIHH", 0x04034B50, 45, 0, 0, 0, 0, 0, len(LORA), len(LORA), len(name), 0)
    parts = local + name + LORA, entry + name + more
    return b"".join(parts) + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 1, 1, len(parts[1]), len(parts[0]), 0)


def negative(size: int = -512) -> bytes:
    """A tar file with a member of a negative size, as numbers beyond 8 GB are written."""
    data = bytearray(tarred({"a.safetensors": LORA}))
    data[124:136] = b"\xff" + size.to_bytes(11, "big", signed=True)
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    return bytes(data)


REFUSED: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "climbs": (lambda: zipped({"../../style.safetensors": LORA}), 2, "`..` is not a name"),
    "climbs in a tar": (lambda: tarred({"a/../../style.safetensors": LORA}), 2, "`..` is not a name"),
    "absolute": (lambda: zipped({"/tmp/style.safetensors": LORA}), 2, "absolute"),
    "drive": (lambda: zipped({"C:/style.safetensors": LORA}), 2, "absolute"),
    "backslashes": (lambda: zipped({"..\\style.safetensors": LORA}), 2, "not allowed in names"),
    "control": (lambda: zipped({"sty\x1b[2Jle.safetensors": LORA}), 2, "not allowed in names"),
    "device": (lambda: zipped({"con.safetensors": LORA}), 2, "a device name"),
    "ours": (lambda: zipped({".synapse/style.safetensors": LORA}), 2, "a reserved directory"),
    "link": (lambda: zipped([(info("a.safetensors", stat.S_IFLNK | 0o777), b"/etc/passwd")]), 2, "a symbolic link"),
    "device node": (lambda: zipped([(info("a.safetensors", stat.S_IFCHR), b"")]), 2, "not a regular file"),
    "link in a tar": (lambda: tarred({}, link()), 2, "a link"),
    "hard link in a tar": (lambda: tarred({}, link(tarfile.LNKTYPE)), 2, "a link"),
    "fifo in a tar": (lambda: tarred({}, link(tarfile.FIFOTYPE)), 2, "not a regular file"),
    "encrypted": (encrypted, 2, "is encrypted"),
    "rare method": (lambda: zipped({"a.safetensors": LORA}, zipfile.ZIP_LZMA), 2, "a rare method (14)"),
    "case clash": (lambda: zipped({"a.safetensors": LORA, "A.safetensors": OTHER}), 2, "are one name"),
    "bomb": (lambda: zipped({"a.safetensors": bytes(40 << 20)}), 2, "archives of models are never like that"),
    "bomb in a tar": (
        lambda: gzip.compress(tarred({"a.safetensors": bytes(40 << 20)})), 2, "has more than 100 times its size",
    ),
    "many": (lambda: zipped((f"{n}.txt", b"") for n in range(10_001)), 2, "more than 10,000 entries"),
    "many in a tar": (
        lambda: tarred({f"{n}.txt": b"" for n in range(10_001)}), 2, "more than 10,000 entries",
    ),
    "nothing": (lambda: zipped({"preview.png": PREVIEW}), 4, "nothing in the archive matches `*.safetensors`"),
    "empty": (lambda: zipped({}), 4, "it is empty"),
    "7-Zip": (lambda: b"7z\xbc\xaf\x27\x1c" + bytes(200), 2, "a 7-Zip archive, which synapse cannot unpack"),
    "not one": (lambda: LORA, 2, "no archive that can be unpacked"),
    "elsewhere": (elsewhere, 6, "the archive is damaged: a part of it would begin at byte"),
    "negative": (negative, 6, "the archive is damaged: it has a file of negative size"),
    "negative block": (lambda: negative(-1536), 6, "the archive is damaged: it has a file of negative size"),
    "cut": (lambda: zipped(PARCEL)[:-30], 6, "the archive is damaged"),
    "cut tar": (lambda: gzip.compress(tarred(PARCEL))[:-5000], 6, "the archive is damaged"),
    "corrupt": (corrupt, 6, "the archive is damaged: Bad CRC-32"),
    "pickle": (lambda: zipped({"a.safetensors": b"\x80\x04\x95" + bytes(40) + b"."}), 2, "is a pickle"),
    "broken header": (lambda: zipped({"a.safetensors": LORA[:-1]}), 6, "not a valid safetensors file"),
    "web page": (lambda: b"<!DOCTYPE html><html>log in</html>", 6, "a web page"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_and_nothing_is_written(project: Project, name: str) -> None:
    make, code, words = REFUSED[name]
    content = make()
    declare(project, content)
    result = project("sync", code=code)
    assert words in result.err, result.err
    assert "\x1b" not in result.err
    assert project.tree() == {}
    assert set(project.blobs()) <= {sha256(content)}
    assert not (project.path / "synapse.lock").exists()
    assert list((project.store / "tmp").glob("*")) == []
    assert not any(path.is_symlink() for path in project.path.rglob("*"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice_is_refused(project: Project) -> None:
    declare(project, zipped([("a.safetensors", LORA), ("a.safetensors", OTHER)]))
    assert "are one name" in project("sync", code=2).err


def test_pickles_in_an_archive_need_to_be_allowed(project: Project) -> None:
    declare(project, zipped({"a.pt": b"\x80\x04\x95" + bytes(40) + b"."}), extract='"*.pt"')
    assert "allow-pickle" in project("lock", code=2).err
    declare(project, zipped({"a.pt": b"\x80\x04\x95" + bytes(40) + b"."}), "allow-pickle = true", extract='"*.pt"')
    project("sync")
    assert list(project.tree()) == ["models/loras/a.pt"]


def test_a_malicious_neighbour_is_no_harm_if_it_is_not_chosen(project: Project) -> None:
    declare(project, zipped({"../../evil.sh": b"echo\n", **PARCEL}))
    project("sync")
    assert project.tree() == {STYLE: LORA}


def test_a_directory_that_claims_to_be_huge_is_not_read(project: Project) -> None:
    declare(project, zipped((f"{n:0>60000}.txt", b"") for n in range(300)))  # more than 16 MiB
    assert "its file list is implausibly long" in project("lock", code=2).err


def test_a_tar_header_that_claims_to_be_huge_is_not_read(project: Project) -> None:
    head = tarfile.TarInfo("pax")
    head.type, head.size = tarfile.XHDTYPE, 1 << 30
    declare(project, head.tobuf() + bytes(1024), name="pax.tar")
    assert "its file list is implausibly long" in project("lock", code=2).err


def test_extract_is_about_one_archive(project: Project) -> None:
    project.hub.huggingface.add_repo("somebody/parcels", {"a.zip": zipped(PARCEL), "b.zip": zipped(PARCEL)})
    project.manifest('[models.p]\nsource = "hf://somebody/parcels"\ntype = "lora"\nextract = "*.safetensors"\n')
    assert "choose the archive with `include`" in project("lock", code=2).err
    project.manifest(
        '[models.p]\nsource = "hf://somebody/parcels/a.zip"\ntype = "lora"\nextract = "*.safetensors"\n'
    )
    project("sync")
    assert project.tree() == {"models/loras/style.safetensors": LORA}
    assert "trust" not in project.lock_text  # the hub told the archive's digest
