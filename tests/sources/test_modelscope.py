"""Repositories on ModelScope: references, resolution, downloads, tokens, and a sentence for what is missing."""

from __future__ import annotations

import hashlib
import json
import os

import pytest
from world import Project

from synapse_sync.core.reference import Reference
from synapse_sync.demo.exchange import Fault
from synapse_sync.demo.weights import safetensors_bytes
from synapse_sync.errors import InvalidReference

OLD, NEW = safetensors_bytes("scope 1", size=20_000), safetensors_bytes("scope 2", size=21_000)
ENCODER = safetensors_bytes("scope encoder", size=22_000)
REPO = "somebody/painter.v2"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def commits(project: Project) -> tuple[str, str]:
    """Two commits, the first of them with the tag `v1.0`."""
    site = project.hub.modelscope
    first = site.add(REPO, {"README.md": b"one\n", "vae/paint.safetensors": OLD}, time=1_767_225_600, tag="v1.0")
    files = {"README.md": b"one\n", "vae/paint.safetensors": NEW, "text_encoders/a b.safetensors": ENCODER}
    return first, site.add(REPO, files, time=1_772_323_200)


def declare(project: Project, reference: str, more: str = "") -> None:
    project.manifest(f'[models.paint]\nsource = "{reference}"\ntype = "vae"\n{more}')


def asked(project: Project) -> list[str]:
    """The requests that the site had, each as path and query."""
    return [f"{seen.path}?{seen.query}" for seen in project.hub.requests("modelscope")]


# -- references ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("modelscope:o/r", "modelscope:o/r"),
        ("modelscope:o/r@v1.0/dir/x.safetensors", "modelscope:o/r@v1.0/dir/x.safetensors"),
        ("modelscope:o/r@feature%2Fx/y.bin", "modelscope:o/r@feature%2Fx/y.bin"),
        ("modelscope:o/r/dir/", "modelscope:o/r/dir/"),
        ("https://modelscope.cn/models/o/r.v2", "modelscope:o/r.v2"),
        ("https://www.modelscope.cn/models/o/r/summary", "modelscope:o/r"),
        ("https://modelscope.cn/models/o/r/files?version=26_Q1", "modelscope:o/r@26_Q1"),
        ("https://modelscope.cn/models/o/r/resolve/v1.2.0/dir/x.onnx", "modelscope:o/r@v1.2.0/dir/x.onnx"),
        (
            "https://modelscope.cn/models/o/r/file/view/master/dir%2Fx.onnx?status=2",
            "modelscope:o/r@master/dir/x.onnx",
        ),
        (
            "https://modelscope.cn/models/o/r/file/view/master?fileName=x.onnx&status=1",
            "modelscope:o/r@master/x.onnx",
        ),
        (
            "https://modelscope.cn/api/v1/models/o/r/repo?Revision=master&FilePath=dir%2Fx.onnx",
            "modelscope:o/r@master/dir/x.onnx",
        ),
    ],
)
def test_every_form_has_one_canonical_text(text: str, canonical: str) -> None:
    found = Reference.parse(text)
    assert (found.source, str(found)) == ("modelscope", canonical)
    assert Reference.parse(canonical) == found


@pytest.mark.parametrize(
    "text",
    [
        "modelscope:", "modelscope:o", "modelscope:o/r@", "modelscope:o/../x", "modelscope:o/r/../x",
        "modelscope:o/r@v1//x", "modelscope:o/r@a b/x", "modelscope:./r", "modelscope:o/r/a\\b",
        "https://modelscope.cn/", "https://modelscope.cn/datasets/o/r", "https://modelscope.cn/models/o",
        "https://modelscope.cn/models/o/r/resolve/master/..%2F..%2Fx", "https://modelscope.cn/models/o/r/other",
    ],
)  # fmt: skip
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(InvalidReference):
        Reference.parse(text)


def test_a_token_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(InvalidReference) as caught:
        Reference.parse("https://modelscope.cn/models/o/r/resolve/master/x?token=hunter2")
    assert "hunter2" not in str(caught.value) + str(caught.value.hint)
    assert "MODELSCOPE_API_TOKEN" in str(caught.value.hint)


def test_only_a_commit_is_pinned() -> None:
    assert Reference.parse(f"modelscope:o/r@{COMMIT}/x").pinned
    assert not Reference.parse("modelscope:o/r@v1.0/x").pinned
    assert not Reference.parse("modelscope:o/r/x").pinned


# -- what works ------------------------------------------------------------------------------------------


def test_one_request_locks_a_file_with_its_digest(project: Project, commits: tuple[str, str]) -> None:
    declare(project, f"modelscope:{REPO}/vae/paint.safetensors")
    assert "first use" not in project("lock").err
    assert asked(project) == [f"/api/v1/models/{REPO}/repo/files?Revision=master&Recursive=True"]
    assert project.hub.requests("storage") == []
    model = project.locked()[0]
    assert model["reference"] == f"modelscope:{REPO}@{commits[1]}/vae/paint.safetensors"
    assert (model["title"], model["published"]) == (REPO, "2026-03-01T00:00:00Z")
    (artifact,) = model["artifact"]  # type: ignore[misc]
    assert artifact["sha256"] == hashlib.sha256(NEW).hexdigest()
    assert artifact["url"] == model["reference"]
    project("sync", "--locked")
    assert project.tree() == {"models/vae/paint.safetensors": NEW}
    project.hub.clear_log()
    project("sync", "--check")
    assert project.hub.log == []


def test_a_whole_repository_keeps_its_folders(project: Project, commits: tuple[str, str]) -> None:
    project.manifest(f'[models.all]\nsource = "modelscope:{REPO}"\ntype = "diffusers"\nexclude = ["*.md"]\n')
    project("sync")
    assert set(project.tree()) == {
        "models/diffusers/all/text_encoders/a b.safetensors",
        "models/diffusers/all/vae/paint.safetensors",
    }


def test_a_tag_means_its_commit_and_a_branch_moves_when_told_to(project: Project, commits: tuple[str, str]) -> None:
    declare(project, f"modelscope:{REPO}@v1.0/vae/paint.safetensors")
    project("sync")
    assert str(project.locked()[0]["reference"]).startswith(f"modelscope:{REPO}@{commits[0]}/")
    assert list(project.tree().values()) == [OLD]
    declare(project, f"modelscope:{REPO}/vae/paint.safetensors")
    project("sync")
    third = project.hub.modelscope.add(REPO, {"vae/paint.safetensors": OLD}, time=1_775_000_000)
    project("sync", "--check")
    project("lock", "--upgrade")
    assert str(project.locked()[0]["reference"]).startswith(f"modelscope:{REPO}@{third}/")


def test_without_the_id_of_the_last_commit_that_of_the_newest_file_is_pinned(
    project: Project, commits: tuple[str, str]
) -> None:
    project.hub.modelscope.anonymous = True
    declare(project, f"modelscope:{REPO}/vae/paint.safetensors")
    project("sync")
    assert str(project.locked()[0]["reference"]).startswith(f"modelscope:{REPO}@{commits[1]}/")


def test_a_repository_without_any_commit_id_is_refused(project: Project, commits: tuple[str, str]) -> None:
    body = {"Code": 200, "Success": True, "Data": {"Files": [{"Path": "x.safetensors", "Type": "blob", "Size": 1}]}}
    project.hub.faults.add("/api/", Fault(status=200, body=json.dumps(body).encode(), origin="modelscope"))
    declare(project, f"modelscope:{REPO}/x.safetensors")
    assert "does not say which commit" in project("lock", code=5).err


def test_shards_come_together(project: Project) -> None:
    names = [f"w-0000{n}-of-00002.safetensors" for n in (1, 2)]
    index = json.dumps({"weight_map": {"a": names[0], "b": names[1]}}).encode()
    files = {names[0]: OLD, names[1]: NEW, "w.safetensors.index.json": index}
    project.hub.modelscope.add("somebody/big", files)
    declare(project, f"modelscope:somebody/big/{names[0]}")
    project("lock")
    assert {artifact["filename"] for artifact in project.locked()[0]["artifact"]} == set(files)  # type: ignore[attr-defined]


def test_as_of_a_day(project: Project, commits: tuple[str, str]) -> None:
    declare(project, f"modelscope:{REPO}/vae/paint.safetensors", 'exclude-newer = "2026-01-15"\n')
    assert "has changed since 2026-01-1" in project("lock", code=4).err
    declare(project, f"modelscope:{REPO}@{commits[0]}/vae/paint.safetensors", 'exclude-newer = "2026-01-15"\n')
    project("lock")


def test_info_shows_its_files(project: Project, commits: tuple[str, str]) -> None:
    shown = project("info", f"modelscope:{REPO}").out
    assert "paint.safetensors" in shown and hashlib.sha256(NEW).hexdigest()[:8] in shown


def test_a_further_place_is_found_in_its_repository(project: Project, commits: tuple[str, str]) -> None:
    declare(project, f"modelscope:{REPO}@v1.0/README.md")
    project("lock", "--heal")
    (artifact,) = project.locked()[0]["artifact"]  # type: ignore[misc]
    assert artifact["mirrors"] == [f"modelscope:{REPO}@{commits[1]}/README.md"]


# -- tokens ----------------------------------------------------------------------------------------------


def test_a_private_repository_needs_the_token_and_the_storage_never_sees_it(
    project: Project, commits: tuple[str, str]
) -> None:
    project.hub.modelscope.repos[REPO].private = True
    declare(project, f"modelscope:{REPO}/vae/paint.safetensors")
    assert "or it is private" in project("lock", code=4).err
    os.environ["MODELSCOPE_API_TOKEN"] = project.hub.modelscope_token
    project("sync")
    assert list(project.tree().values()) == [NEW]
    for seen in project.hub.log:
        expected = f"Bearer {project.hub.modelscope_token}" if seen.origin == "modelscope" else None
        assert seen.status == 404 or seen.headers.get("authorization") == expected
    assert "modelscope.cn  newcomer" in project("whoami", "modelscope").out
    assert project.hub.modelscope_token not in project.lock_text


def test_a_wrong_token_is_refused(project: Project, commits: tuple[str, str]) -> None:
    os.environ["MODELSCOPE_API_TOKEN"] = "wrong"
    declare(project, f"modelscope:{REPO}/vae/paint.safetensors")
    assert "does not accept the token" in project("lock", code=3).err
    assert "ModelScope refuses this token" in project("whoami", "modelscope", code=3).err


# -- what is missing -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("modelscope:nobody/nothing/x.safetensors", "has no `modelscope:nobody/nothing`"),
        (f"modelscope:{REPO}@v9/vae/paint.safetensors", f"has no `modelscope:{REPO}@v9`"),
        (f"modelscope:{REPO}/vae/pain.safetensors", "has no file `vae/pain.safetensors`"),
        (f"modelscope:{REPO}/unet/", "has no folder `unet/`"),
    ],
)
def test_what_is_not_there(project: Project, commits: tuple[str, str], reference: str, words: str) -> None:
    declare(project, reference)
    assert words in " ".join(project("lock", code=4).err.split())


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (Fault(status=403), 3, "ModelScope refuses"),
        (Fault(status=503), 5, "503"),
        (Fault(status=200, body=b'{"Code": 1, "Success": false, "Message": "not now"}'), 4, "not now"),
        (Fault(status=200, body=b'{"Code": 200, "Success": true, "Data": {"Files": 3}}'), 5, "cannot be read"),
        (Fault(status=200, body=b"[]"), 5, "cannot be read"),
    ],
)
@pytest.mark.usefixtures("impatient")
def test_what_can_go_wrong(project: Project, commits: tuple[str, str], fault: Fault, code: int, words: str) -> None:
    project.hub.faults.add("/api/", fault)
    declare(project, f"modelscope:{REPO}/vae/paint.safetensors")
    assert words in project("lock", code=code).err


def test_a_listing_that_the_site_cut_off_is_refused(project: Project) -> None:
    project.hub.modelscope.add("somebody/many", {f"{n:04}.txt": b"" for n in range(3001)})
    declare(project, "modelscope:somebody/many/0001.txt")
    assert "lists no more than 3,000 entries" in project("lock", code=5).err


def test_one_odd_name_costs_that_file_alone(project: Project) -> None:
    project.hub.modelscope.add("somebody/odd", {"what?.txt": b"odd", "fine.txt": b"fine"})
    project.manifest('[models.m]\nsource = "modelscope:somebody/odd"\ntype = "diffusers"\n')
    assert "exclude" in project("sync").err
    assert [path.rpartition("/")[2] for path in project.tree()] == ["fine.txt"]
