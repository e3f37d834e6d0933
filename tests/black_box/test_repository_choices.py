"""Repositories of Hugging Face: branches with a slash, papers, second entries, and what a lock downloads."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from world import Project

from synapse_sync.demo.weights import safetensors_bytes
from synapse_sync.suppliers.git_files import git_hash

REPO = "studio/large"


def serve(project: Project, files: Mapping[str, bytes]) -> None:
    project.hub.huggingface.add_repo(REPO, files)


def manifest(project: Project, source: str = f"hf://{REPO}", **patterns: list[str]) -> None:
    """One model of the repository, in a flat tree."""
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in patterns.items())
    project.manifest(f'[targets.t]\nlayout = "flat"\n[models.it]\nsource = "{source}"\n{lines}')


def placed(project: Project) -> set[str]:
    project("sync")
    return set(project.tree())


def many(extra: Mapping[str, bytes]) -> dict[str, bytes]:
    return {f"texts/{n:02}.txt": b"text %d\n" % n for n in range(30)} | dict(extra)


def downloads(project: Project) -> list[str]:
    return [seen.path for seen in project.hub.requests("huggingface") if "/resolve/" in seen.path]


@pytest.mark.parametrize(
    ("form", "tree"),
    [
        ("resolve/feature/x/a.safetensors", {"a.safetensors"}),
        ("blob/feature/x/deep/b.safetensors?download=true", {"b.safetensors"}),
        ("tree/feature/x/deep", {"b.safetensors"}),
        ("tree/feature/x", {"x/a.safetensors", "x/deep/b.safetensors"}),
    ],
)
def test_the_address_of_a_page_has_the_branch_with_a_slash_as_it_is(
    project: Project, form: str, tree: set[str]
) -> None:
    serve(project, {"x/a.safetensors": safetensors_bytes("main")})
    files = {"a.safetensors": safetensors_bytes("a"), "deep/b.safetensors": safetensors_bytes("b")}
    project.hub.huggingface.commit(REPO, files, ref="feature/x")
    project.hub.huggingface.commit(REPO, {"c.safetensors": safetensors_bytes("c")}, ref="feat")
    url = f"https://huggingface.co/{REPO}/{form}"
    assert "feature%2Fx" not in url and project("info", url).code == 0
    project.manifest('[targets.t]\nlayout = "flat"\n')
    project("add", url, "--name", "x", "--type", "lora")
    project("sync")
    assert set(project.tree()) == tree
    again = (project.path / "synapse.toml").read_text()
    assert project("lock", "--upgrade").code == 0 and project("sync", "--check").code == 0
    project.manifest('[targets.t]\nlayout = "flat"\n')
    project("add", url, "--type", "lora")
    written = (project.path / "synapse.toml").read_text()
    assert f"hf://{REPO}@feature%2Fx" in written and "feature%2Fx" not in again, "a name costs no question"


def test_a_branch_that_is_nowhere_is_still_called_missing(project: Project) -> None:
    serve(project, {"a.safetensors": safetensors_bytes("a")})
    project.hub.huggingface.commit(REPO, {"a.safetensors": safetensors_bytes("b")}, ref="feature/x")
    manifest(project, source=f"hf://{REPO}@feature/y/a.safetensors")
    assert "no revision `feature`" in project("lock", code=4).err


# -- papers, and what is declared twice ----------------------------------------------------------------

PAPERS = {
    "README.md": b"# Words\n", "LICENSE.txt": b"Be kind.\n", ".gitattributes": b"* filter=lfs\n",
    "docs/how.md": b"# How\n",
}  # fmt: skip


def test_papers_are_not_placed_among_weights_unless_they_are_asked_for(project: Project) -> None:
    config = {"config.json": b"{}\n", "merges.txt": b"a b\n"}
    serve(project, {**PAPERS, **config, "a.safetensors": safetensors_bytes("a")})
    manifest(project)
    assert placed(project) == {"it/a.safetensors", "it/config.json", "it/merges.txt"}
    manifest(project, include=["*.safetensors", "README*"])
    assert placed(project) == {"it/README.md", "it/a.safetensors"}
    manifest(project, include=["*"], exclude=[".git*"])
    assert len(placed(project)) == 6
    manifest(project, source=f"hf://{REPO}/README.md")
    assert placed(project) == {"README.md"}
    manifest(project, source=f"hf://{REPO}/docs/")
    assert placed(project) == {"how.md"}, "nothing else is there"


def test_the_papers_of_an_earlier_lock_stay_until_an_upgrade(project: Project) -> None:
    """A lockfile of an earlier version has them; nothing moves, and nothing is asked."""
    serve(project, {**PAPERS, "a.safetensors": safetensors_bytes("a")})
    manifest(project, include=["*"], exclude=[".git*"])
    project("sync")
    (locked,) = re.findall(r'requirement = "(.*)"', project.lock_text)
    manifest(project)
    plain = locked.partition("; include=")[0]
    (project.path / "synapse.lock").write_text(project.lock_text.replace(locked, plain))
    project.hub.clear_log()
    assert project("sync", "--check").code == 0 and project.hub.log == []
    project("lock", "--upgrade")
    assert placed(project) == {"it/a.safetensors"}, "it keeps its folder"


def test_a_second_entry_for_the_same_repository_is_noticed(project: Project) -> None:
    serve(project, {"a.safetensors": safetensors_bytes("a"), "b.safetensors": safetensors_bytes("b")})
    text = f'[targets.t]\nlayout = "flat"\n[models]\nwhole = {{ source = "hf://{REPO}", type = "lora" }}\n'
    project.manifest(text)
    assert project("lock", "--json").json["warnings"] == []
    project.manifest(text + f'one = {{ source = "hf://{REPO}@main/b.safetensors", type = "lora" }}\n')
    (said,) = project("lock", "--json").json["warnings"]
    assert said == "`whole` and `one` both have `b.safetensors`: remove one of them, unless you want it twice"
    assert project("lock", "--upgrade", "--json").json["warnings"] == [], "it is said once"


def test_an_upgrade_of_200_small_files_costs_a_handful_of_requests(project: Project) -> None:
    files = {f"texts/{n:03}.txt": b"text %d\n" % n for n in range(200)}
    serve(project, files)
    manifest(project)
    project("sync")
    project.hub.huggingface.commit(REPO, {**files, "README.md": b"# Hi\n"})
    project.hub.clear_log()
    project("lock", "--upgrade")
    assert len(project.hub.requests()) == 1
    project("sync")
    assert len(project.hub.requests()) == 1 and len(project.tree()) == 200


def test_what_is_here_already_is_hashed_here(project: Project, sandbox: Path) -> None:
    """The listing has git's hash of small files: the bytes may be in the store, in a tree or in the hub's cache."""
    serve(project, many({}))
    project.manifest(f'[models]\nit = {{ source = "hf://{REPO}", type = "diffusers" }}\n')
    project("sync")
    before = project.lock_text
    for gone in ("synapse.lock", "store"):
        path = project.path / gone if gone == "synapse.lock" else project.store / "blobs"
        path.unlink() if path.is_file() else shutil.rmtree(path)
        project.hub.clear_log()
        (project.path / "synapse.lock").unlink(missing_ok=True)
        project("lock")
        assert downloads(project) == [] and project.lock_text == before, f"without the {gone}"
    cached = sandbox / "huggingface" / "hub" / "models--studio--large" / "blobs"
    cached.mkdir(parents=True)
    new = b"text 7 again\n"
    (cached / git_hash(new)).write_bytes(new)
    project.hub.huggingface.commit(REPO, many({"texts/07.txt": new}))
    project.hub.clear_log()
    project("lock", "--upgrade")
    assert downloads(project) == [] and hashlib.sha256(new).hexdigest() in project.lock_text


def test_files_with_the_same_git_hash_are_downloaded_once(project: Project) -> None:
    serve(project, {f"texts/{n}.txt": b"the same\n" for n in range(20)} | {"other.txt": b"other\n"})
    manifest(project)
    project("lock")
    assert len(downloads(project)) == 2
    project("sync")
    assert len(project.tree()) == 21
