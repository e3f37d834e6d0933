"""Repositories of Hugging Face through the command: what is locked, placed and refused."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from world import Project

from synapse_sync.demo import catalogue
from synapse_sync.demo.exchange import Fault
from synapse_sync.demo.weights import gguf_bytes, safetensors_bytes
from synapse_sync.store.blobs import BlobStore
from synapse_sync.user.settings import load_settings

REPO = "studio/large"


def sharded(stem: str, count: int = 3, folder: str = "") -> dict[str, bytes]:
    """Shards of one model, and the index that names them."""
    names = [f"{stem}-{number:05}-of-{count:05}.safetensors" for number in range(1, count + 1)]
    index = {"metadata": {}, "weight_map": {f"layer.{n}.weight": name for n, name in enumerate(names)}}
    files = {folder + name: safetensors_bytes(folder + name, size=20_000) for name in names}
    return files | {f"{folder}{stem}.safetensors.index.json": json.dumps(index).encode()}


def serve(project: Project, files: Mapping[str, bytes], name: str = REPO, **more: object) -> None:
    project.hub.huggingface.add_repo(name, files, **more)  # type: ignore[arg-type]


def manifest(project: Project, **keys: object) -> None:
    """One model of the repository, in a flat tree."""
    keys = {"source": f"hf://{REPO}", **keys}
    lines = [f"{key.replace('_', '-')} = {toml(value)}" for key, value in keys.items()]
    project.manifest('[targets.t]\nlayout = "flat"\n[models.it]\n' + "\n".join(lines) + "\n")


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {json.dumps(inner)}" for key, inner in value.items()) + " }"
    return json.dumps(value)


def placed(project: Project) -> set[str]:
    project("sync")
    return set(project.tree())


@pytest.mark.parametrize("kept", [True, False], ids=["in the store", "to download"])
def test_a_document_without_an_ending_that_an_earlier_version_locked_is_placed(
    project: Project, kept: bool
) -> None:
    """It called such a file `other`; by now that is the word for weights of an unknown kind."""
    policy = b"Use this model for good.\n" * 20
    serve(
        project,
        {"USE_POLICY": policy, "vae/NOTES": policy + b"x", "a.safetensors": safetensors_bytes("a", size=9_000)},
    )
    manifest(project, type="diffusers")
    project("lock" if not kept else "sync")
    text = project.lock_text
    assert text.count('format = "text"') == 2
    (project.path / "synapse.lock").write_text(text.replace('format = "text"', 'format = "other"'), "utf-8")
    for path in project.tree():
        (project.path / path).unlink()
    project("sync")
    assert sorted(path.rpartition("/")[2] for path in project.tree()) == ["NOTES", "USE_POLICY", "a.safetensors"]
    assert "in sync" in project("status").out and project("lock", "--check").code == 0


def apis(project: Project) -> list[str]:
    return [seen.path for seen in project.hub.requests("huggingface") if seen.path.startswith("/api/")]


# -- shards -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", ["model-00002-of-00003.safetensors", "model.safetensors.index.json"])
def test_one_of_a_set_brings_the_set(project: Project, named: str) -> None:
    serve(project, {**sharded("model"), "config.json": b"{}"})
    manifest(project, source=f"hf://{REPO}/{named}")
    assert placed(project) == {f"it/{path}" for path in sharded("model")}
    assert len(apis(project)) == 1


def test_patterns_that_match_one_shard_bring_the_set_of_its_folder_only(project: Project) -> None:
    serve(project, {**sharded("model", folder="a/"), **sharded("model", folder="b/"), "README.md": b"# Hi"})
    manifest(project, include=["a/*-00001-*"])
    assert placed(project) == {f"it/{path}" for path in sharded("model", folder="a/")}


def test_an_index_whose_shards_are_all_excluded_is_only_a_file(project: Project) -> None:
    serve(project, {**sharded("model"), "config.json": b"{}"})
    manifest(project, include=["*.json"], exclude=["*.safetensors"])
    assert placed(project) == {"it/config.json", "it/model.safetensors.index.json"}


def test_a_shard_that_is_missing_upstream_is_an_error_at_lock(project: Project) -> None:
    files = sharded("model")
    del files["model-00002-of-00003.safetensors"]
    serve(project, files)
    manifest(project)
    said = project("lock", code=4).err
    assert "`model-00002-of-00003.safetensors`" in said
    assert "model.safetensors.index.json" in said


def test_an_index_decides_also_where_names_have_no_numbers(project: Project) -> None:
    index = json.dumps({"weight_map": {"a": "first.safetensors", "b": "second.safetensors"}}).encode()
    names = ("first", "second", "other")
    files = {f"{name}.safetensors": safetensors_bytes(name) for name in names}
    serve(project, {**files, "x.safetensors.index.json": index})
    manifest(project, source=f"hf://{REPO}/first.safetensors")
    assert placed(project) == {"it/first.safetensors", "it/second.safetensors", "it/x.safetensors.index.json"}
    manifest(project, source=f"hf://{REPO}/other.safetensors")
    assert placed(project) == {"other.safetensors"}


def test_gguf_splits_have_no_index_and_belong_together_all_the_same(project: Project) -> None:
    files = {f"q/m-q8_0-{n:05}-of-00002.gguf": gguf_bytes(str(n)) for n in (1, 2)}
    serve(project, files)
    manifest(project, source=f"hf://{REPO}/q/m-q8_0-00001-of-00002.gguf")
    assert placed(project) == {f"it/{path}" for path in files}
    project.hub.huggingface.commit(REPO, {path: files[path] for path in list(files)[:1]})
    assert "m-q8_0-00002-of-00002.gguf" in project("lock", "--upgrade", code=4).err


def test_an_index_that_is_none_is_refused(project: Project) -> None:
    serve(project, {**sharded("model"), "model.safetensors.index.json": b'{"weight_map": []}'})
    manifest(project)
    assert "is not an index" in project("lock", code=6).err


# -- variants ---------------------------------------------------------------------------------------

PIPELINE = {
    "model_index.json": b'{"_class_name": "Pipeline"}',
    "unet/config.json": b"{}",
    "unet/diffusion_pytorch_model.safetensors": safetensors_bytes("unet"),
    "unet/diffusion_pytorch_model.fp16.safetensors": safetensors_bytes("unet-fp16"),
    "unet/diffusion_pytorch_model.bin": b"\x80\x02.",
    "vae/config.json": b"{ }",
    "vae/diffusion_pytorch_model.safetensors": safetensors_bytes("vae"),
}


def test_a_precision_takes_its_variant_and_plain_weights_where_there_is_none(project: Project) -> None:
    serve(project, PIPELINE)
    manifest(project, file={"precision": "fp16", "format": "safetensors"}, type="diffusers")
    assert placed(project) == {
        "it/model_index.json",
        "it/unet/config.json",
        "it/unet/diffusion_pytorch_model.fp16.safetensors",
        "it/vae/config.json",
        "it/vae/diffusion_pytorch_model.safetensors",
    }


def test_a_preference_leaves_out_only_what_has_a_better_neighbour(project: Project) -> None:
    serve(project, PIPELINE)
    manifest(project, prefer={"precision": "bf16", "format": "safetensors"}, type="diffusers")
    assert placed(project) == {f"it/{path}" for path in PIPELINE if not path.endswith(".bin")}


def test_a_precision_that_is_nowhere_is_refused(project: Project) -> None:
    serve(project, PIPELINE)
    manifest(project, file={"precision": "bf16"}, type="diffusers")
    said = project("lock", code=4).err
    assert 'precision = "bf16"' in said
    assert "unet/diffusion_pytorch_model.fp16.safetensors" in said


def test_the_pickle_beside_safetensors_is_refused_with_the_way_out(project: Project) -> None:
    serve(project, PIPELINE)
    manifest(project, type="diffusers")
    assert 'file = { format = "safetensors" }' in project("lock", code=2).err


def test_a_pipeline_is_one_directory_where_the_layout_has_a_place_for_it(project: Project) -> None:
    project.manifest(f'[models.pipe]\nsource = "hf://{catalogue.TREE_REPO}"\nexclude = ["*.gguf"]\n')
    assert {path for path in placed(project) if path.endswith(".safetensors")} == {
        "models/diffusers/pipe/unet/model.safetensors",
        "models/diffusers/pipe/vae/model.safetensors",
    }
    assert "models/diffusers/pipe/model_index.json" in project.tree()


# -- flatten ----------------------------------------------------------------------------------------


def test_flatten_drops_the_folders_and_needs_no_new_lock(project: Project) -> None:
    serve(project, {"loras/a.safetensors": safetensors_bytes("a"), "loras/x/b.safetensors": safetensors_bytes("b")})
    manifest(project, type="lora")
    assert placed(project) == {"it/loras/a.safetensors", "it/loras/x/b.safetensors"}
    locked = project.lock_text
    manifest(project, type="lora", flatten=True)
    assert placed(project) == {"a.safetensors", "b.safetensors"}
    manifest(project, type="lora", flatten=True, subfolder="mine")
    assert placed(project) == {"mine/a.safetensors", "mine/b.safetensors"}
    assert project.lock_text == locked


def test_a_clash_that_comes_with_a_later_flatten_is_told_before_anything_is_done(project: Project) -> None:
    serve(project, {"a/x.safetensors": safetensors_bytes("a"), "b/x.safetensors": safetensors_bytes("b")})
    manifest(project)
    before = placed(project)
    manifest(project, flatten=True)
    assert "flatten" in project("sync", code=2).err
    assert set(project.tree()) == before


def test_two_files_of_one_name_cannot_be_flattened(project: Project) -> None:
    serve(project, {"a/x.safetensors": safetensors_bytes("a"), "b/X.safetensors": safetensors_bytes("b")})
    manifest(project, flatten=True)
    said = project("lock", code=2).err
    assert "`a/x.safetensors`" in said
    assert "`b/X.safetensors`" in said
    assert not (project.path / "synapse.lock").exists()


# -- kinds, revisions, names --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["datasets", "spaces"])
def test_datasets_and_spaces(project: Project, kind: str) -> None:
    serve(project, {"x/words.safetensors": safetensors_bytes(kind)}, name=f"{kind}/studio/words")
    manifest(project, source=f"hf://{kind}/studio/words/x/words.safetensors")
    assert project.tree() == {} and placed(project) == {"words.safetensors"}
    assert f"hf://{kind}/studio/words@" in project.lock_text


@pytest.mark.parametrize(
    "form", ["hf://{}@refs/pr/1/a.safetensors", "https://huggingface.co/{}/blob/refs%2Fpr%2F1/a.safetensors"]
)
def test_a_pull_request_is_locked_to_its_commit(project: Project, form: str) -> None:
    serve(project, {"a.safetensors": safetensors_bytes("main")})
    proposed = safetensors_bytes("proposed")
    ref = project.hub.huggingface.propose(REPO, {"a.safetensors": proposed})
    manifest(project, source=form.format(REPO))
    project("sync")
    assert project.tree() == {"a.safetensors": proposed}
    assert project.hub.huggingface.repos[REPO].refs[ref] in project.lock_text


@pytest.mark.parametrize("revision", ["v1", "dev"])
def test_tags_and_branches(project: Project, revision: str) -> None:
    old, new = safetensors_bytes("old"), safetensors_bytes("new")
    serve(project, {"a.safetensors": old})
    project.hub.huggingface.tag(REPO, "v1")
    project.hub.huggingface.commit(REPO, {"a.safetensors": old, "b.txt": b"b"}, ref="dev")
    project.hub.huggingface.commit(REPO, {"a.safetensors": new})
    manifest(project, source=f"hf://{REPO}@{revision}/a.safetensors")
    project("sync")
    assert project.tree() == {"a.safetensors": old}


def test_a_renamed_repository_locks_with_a_word_and_old_locks_go_on_working(project: Project) -> None:
    content = safetensors_bytes("a")
    serve(project, {"a.safetensors": content})
    manifest(project, source=f"hf://{REPO}/a.safetensors")
    project("lock")
    project.hub.huggingface.rename(REPO, "studio/grand")
    project("sync", "--locked")
    assert project.tree() == {"a.safetensors": content}
    said = project("lock", "--upgrade").err
    assert "is called `studio/grand` now" in said
    assert "hf://studio/grand@" in project.lock_text


def test_a_file_in_xet_storage_is_locked_by_its_sha256(project: Project) -> None:
    content = safetensors_bytes("a", size=70_000)
    serve(project, {"a.safetensors": content, "b.txt": b"b"}, xet=True)
    manifest(project)
    project("sync")
    assert f'sha256 = "{hashlib.sha256(content).hexdigest()}"' in project.lock_text
    assert project.tree() == {"it/a.safetensors": content, "it/b.txt": b"b"}
    assert not [seen for seen in project.hub.log if "xet" in seen.path]


def test_a_mirror_that_tells_no_sizes_costs_the_tree_as_well(project: Project) -> None:
    """And the hash of Xet that stands in the tree beside the SHA-256 is not taken for it."""
    content = safetensors_bytes("a")
    serve(project, {"a.safetensors": content}, xet=True)
    commit = project.hub.huggingface.repos[REPO].refs["main"]
    bare = {"id": REPO, "sha": commit, "siblings": [{"rfilename": "a.safetensors"}]}
    fault = Fault(status=200, body=json.dumps(bare).encode())
    project.hub.faults.add(f"/api/models/{REPO}/revision/", fault)
    manifest(project)
    project("sync")
    assert project.tree() == {"a.safetensors": content}
    assert len(apis(project)) == 2


def test_many_entries_of_one_repository_are_one_request(project: Project) -> None:
    serve(project, {f"{name}.safetensors": safetensors_bytes(name) for name in "abc"})
    entries = "".join(f'{name} = "hf://{REPO}/{name}.safetensors"\n' for name in "abc")
    project.manifest(f'[targets.t]\nlayout = "flat"\n[models]\n{entries}')
    project("lock")
    assert apis(project) == [f"/api/models/{REPO}/revision/main"]
    assert len(project.hub.log) == 1


# -- refusals -----------------------------------------------------------------------------------------


def test_each_refusal_has_its_own_sentence_and_code(project: Project) -> None:
    content = {"a.safetensors": safetensors_bytes("a"), "config.json": b"{}"}
    hub = project.hub.huggingface
    said: dict[str, tuple[int, str]] = {}

    def attempt(what: str, name: str = REPO, revision: str = "") -> None:
        manifest(project, source=f"hf://{name}{revision}")
        result = project("lock", code=None)
        said[what] = (result.code, result.err)

    serve(project, content)
    attempt("revision", revision="@nowhere")
    attempt("missing", "nobody/nothing")
    hub.disable(REPO)
    attempt("disabled")
    serve(project, content, gated="manual")
    attempt("gated")
    hub.request_access(REPO)
    attempt("pending")
    words = {
        "revision": (4, "has no revision `nowhere`"),
        "missing": (4, "does not exist or is private"),
        "disabled": (3, "is disabled by Hugging Face"),
        "gated": (3, "is gated"),
        "pending": (3, "is pending"),
    }
    for what, (code, word) in words.items():
        assert said[what][0] == code, what
        assert word in said[what][1], said[what][1]
    assert f"https://huggingface.co/{REPO}" in " ".join(said["gated"][1].split())
    hub.grant(REPO)
    project("lock")


GATE = {
    "nothing": (None, "has no access yet"),
    "asked": ("request_access", "your request for access is pending"),
    "turned down": ("reject", "have rejected your request"),
    "let in": ("grant", None),
}


@pytest.mark.parametrize("gated", ["auto", "manual"])
@pytest.mark.parametrize("state", GATE)
def test_a_gate_is_told_at_lock_and_closed_at_sync(project: Project, gated: str, state: str) -> None:
    """A lock needs no bytes where the hub lists their SHA-256: it is made, with a warning."""
    act, words = GATE[state]
    content = safetensors_bytes("a")
    serve(project, {"a.safetensors": content, "b.safetensors": content}, gated=gated)
    if act is not None:
        getattr(project.hub.huggingface, act)(REPO)
    entries = "".join(f'{name} = "hf://{REPO}/{name}.safetensors"\n' for name in "ab")
    project.manifest(f'[targets.t]\nlayout = "flat"\n[models]\n{entries}')
    said = " ".join(project("lock").err.split())
    assert [seen.method for seen in project.hub.log] == ["GET", "HEAD"], "one request more, however many ask"
    if words is None:
        assert "warning" not in said
        project("sync")
        assert set(project.tree()) == {"a.safetensors", "b.safetensors"}
        return
    assert words in said and f"https://huggingface.co/{REPO}" in said
    assert ("ask its authors for access" in said) == (gated == "manual" and act is None)
    assert project("lock", "--upgrade", "--json").json["warnings"][0].startswith("`a`: ")
    refused = " ".join(project("sync", code=3).err.split())
    assert words in refused and f"https://huggingface.co/{REPO}" in refused
    project.hub.clear_log()
    project("lock")
    assert project.hub.log == [], "nothing is stale"


def test_without_a_token_a_gate_costs_no_question(project: Project) -> None:
    del os.environ["HF_TOKEN"]
    serve(project, {"a.safetensors": safetensors_bytes("a")}, gated="manual")
    manifest(project)
    said = " ".join(project("lock").err.split())
    assert len(project.hub.log) == 1
    assert "ask its authors for access" in said and "synapse login huggingface" in said


@pytest.mark.parametrize("fault", [Fault(status=503), Fault(status=404), Fault(drop=True), Fault(status=429)])
def test_a_hub_that_does_not_tell_about_its_gate_is_asked_once(project: Project, fault: Fault) -> None:
    serve(project, {"a.safetensors": safetensors_bytes("a")}, gated="auto")
    project.hub.faults.add(f"/{REPO}/resolve/", fault)
    manifest(project)
    assert "warning" not in project("lock").err
    assert len(project.hub.log) == 2


@pytest.mark.parametrize("kind", ["datasets", "spaces"])
def test_what_is_no_model_is_refused_in_the_same_words(project: Project, kind: str) -> None:
    name, hub = f"{kind}/studio/words", project.hub.huggingface
    files = {"a.safetensors": safetensors_bytes("a")}
    serve(project, files, name=name)
    hub.rename(name, f"{kind}/studio/letters")
    manifest(project, source=f"hf://{name}")
    assert f"is called `{kind}/studio/letters` now" in " ".join(project("lock").err.split())
    assert f"hf://{kind}/studio/letters@" in project.lock_text
    name = f"{kind}/studio/letters"
    manifest(project, source=f"hf://{name}@nowhere")
    assert "has no revision `nowhere`" in project("lock", code=4).err
    manifest(project, source=f"hf://{name}", include=["*.safetensors"])
    hub.disable(name)
    said = " ".join(project("lock", code=3).err.split())
    assert "is disabled by Hugging Face" in said and f"https://huggingface.co/{name}" in said
    serve(project, files, name=name, gated="auto")
    assert "has no access yet" in project("lock", "--json").json["warnings"][0]
    serve(project, files, name=name, private=True)
    project("lock", "--upgrade")
    del os.environ["HF_TOKEN"]
    said = " ".join(project("lock", "--upgrade", code=4).err.split())
    assert "does not exist or is private" in said and "HF_TOKEN" in said


@pytest.mark.parametrize(
    ("what", "code", "words"),
    [
        ("disabled", 3, "is disabled by Hugging Face"),
        ("deleted", 4, "does not exist or is private"),
        ("made private", 4, "synapse login huggingface"),
        ("rewritten", 4, "if its history was rewritten, `synapse lock --upgrade-model NAME`"),
    ],
)
def test_what_happened_to_a_repository_since_the_lock_is_told(
    project: Project, what: str, code: int, words: str
) -> None:
    serve(project, {"a.safetensors": safetensors_bytes("a")})
    manifest(project)
    project("lock")
    repo = project.hub.huggingface.repos[REPO]
    if what == "disabled":
        repo.disabled = True
    elif what == "deleted":
        del project.hub.huggingface.repos[REPO]
    elif what == "made private":
        repo.private = True
        del os.environ["HF_TOKEN"]
    else:
        repo.commits.clear()
        project.hub.huggingface.commit(REPO, {"a.safetensors": safetensors_bytes("b")})
    assert words in " ".join(project("sync", code=code).err.split())
    if what == "rewritten":
        project("lock", "--upgrade-model", "it")
        project("sync")
        assert project.tree() == {"a.safetensors": safetensors_bytes("b")}


def test_a_branch_with_a_slash_is_written_encoded(project: Project) -> None:
    serve(project, {"a.safetensors": safetensors_bytes("a")})
    project.hub.huggingface.commit(REPO, {"a.safetensors": safetensors_bytes("b")}, ref="feature/x")
    manifest(project, source=f"hf://{REPO}@feature%2Fx/a.safetensors")
    project("sync")
    assert project.tree() == {"a.safetensors": safetensors_bytes("b")}


def test_a_private_repository_needs_the_token(project: Project) -> None:
    serve(project, {"a.safetensors": safetensors_bytes("a")}, private=True)
    manifest(project)
    project("sync")
    (project.path / "synapse.lock").unlink()
    del os.environ["HF_TOKEN"]
    assert "HF_TOKEN" in project("lock", code=4).err


# -- the libraries' own cache -------------------------------------------------------------------------


def download(project: Project, *words: str) -> None:
    """Fill the cache as any user of the real client does."""
    quiet = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1"}
    command = [str(Path(sys.executable).with_name("hf")), "download", *words]
    done = subprocess.run(command, env={**os.environ, **quiet}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def look(root: Path) -> dict[str, tuple[object, ...]]:
    """Everything about every file below a directory but when it was last read."""
    found = {}
    for path in sorted(root.rglob("*")):
        info = path.lstat()
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path)] = (info.st_mode, info.st_mtime_ns, info.st_ctime_ns, info.st_ino, info.st_nlink, digest)
    return found


def cache_of(sandbox: Path) -> Path:
    return sandbox / "huggingface" / "hub"


@pytest.mark.parametrize(
    ("environ", "directory"),
    [
        ({}, "/me/.cache/huggingface/hub"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
        ({"HF_HOME": "~/hf", "XDG_CACHE_HOME": "/c"}, "~/hf/hub"),
        ({"HF_HUB_CACHE": "/h", "HUGGINGFACE_HUB_CACHE": "/g", "HF_HOME": "/f"}, "/h"),
        ({"HUGGINGFACE_HUB_CACHE": "/g", "HF_HOME": "/f"}, "/g"),
    ],
)
def test_the_cache_is_looked_for_where_the_library_has_it(environ: dict[str, str], directory: str) -> None:
    settings = load_settings({"SYNAPSE_CONFIG": "/none", "SYNAPSE_STORE": "/s", **environ}, Path("/me"))
    assert settings.hub_cache == Path(directory).expanduser()


def test_what_the_real_client_downloaded_is_taken_from_its_cache(project: Project, sandbox: Path) -> None:
    serve(project, PIPELINE)
    manifest(project, type="diffusers", exclude="*.bin")
    project("lock")
    download(project, REPO, "--exclude", "*.bin")
    for blob in project.blobs():  # what lock had to hash
        (project.store / "blobs" / "sha256" / blob[:2] / blob).unlink()
    before = look(cache_of(sandbox))
    project.hub.clear_log()
    plan = project("status", "--json").json
    assert plan["fetch_bytes"] == 0
    assert {a["reason"] for a in plan["actions"] if a["verb"] == "salvage"} == {
        "the same bytes are on this machine"
    }
    report = project("sync", "--offline", "--json").json
    assert report["fetched_bytes"] == 0
    assert any(str(cache_of(sandbox)) in (o["detail"] or "") for o in report["outcomes"])
    assert project.hub.log == []
    assert {path.removeprefix("it/"): text for path, text in project.tree().items()} == {
        path: text for path, text in PIPELINE.items() if not path.endswith(".bin")
    }
    assert look(cache_of(sandbox)) == before
    project("verify")
    store = BlobStore(project.store)
    assert all(str(store.origin(sha256)).startswith("hf://") for sha256 in project.blobs()), "or gc keeps them"


def test_weights_are_found_whatever_site_they_were_locked_from(project: Project, sandbox: Path) -> None:
    content = safetensors_bytes("everywhere", size=70_000)
    serve(project, {"a.safetensors": content}, name="datasets/studio/weights")
    url = project.hub.files.put("other/name.safetensors", content)
    sha256 = hashlib.sha256(content).hexdigest()
    manifest(project, source=url, sha256=sha256)
    project("lock")
    download(project, "studio/weights", "--repo-type", "dataset")
    project.hub.clear_log()
    project("sync")
    assert project.hub.log == []
    assert project.tree() == {"name.safetensors": content}


def test_a_damaged_file_of_the_cache_is_not_used(project: Project, sandbox: Path) -> None:
    content = safetensors_bytes("a", size=70_000)
    serve(project, {"a.safetensors": content})
    manifest(project)
    project("lock")
    download(project, REPO)
    (blob,) = (path for path in cache_of(sandbox).rglob("blobs/*") if path.stat().st_size == len(content))
    blob.resolve().write_bytes(content[:-1] + b"!")
    before = look(cache_of(sandbox))
    result = project("sync")
    assert "does not have the content that was noted for it; left as it is" in result.err
    assert project.tree() == {"a.safetensors": content}
    assert look(cache_of(sandbox)) == before


def test_a_store_of_blobs_shared_by_repositories_is_followed(project: Project, sandbox: Path) -> None:
    """As `huggingface_hub` 2 lays it out: the blob of a repository is a link into a store of the whole cache."""
    content = safetensors_bytes("shared", size=70_000)
    serve(project, {"a.safetensors": content})
    manifest(project)
    project("lock")
    hub, sha256 = cache_of(sandbox), hashlib.sha256(content).hexdigest()
    real = hub / "blobs" / "ab" / ("ab" * 32)
    link = hub / "models--studio--large" / "blobs" / sha256
    for path in (real, link):
        path.parent.mkdir(parents=True)
    real.write_bytes(content)
    link.symlink_to(os.path.relpath(real, link.parent))
    project.hub.clear_log()
    project("sync")
    assert project.hub.log == []
    assert project.tree() == {"a.safetensors": content}


# -- what the lockfile knows already ----------------------------------------------------------------------


def many(extra: Mapping[str, bytes]) -> dict[str, bytes]:
    return {f"texts/{n:02}.txt": b"text %d\n" % n for n in range(30)} | dict(extra)


def downloads(project: Project) -> list[str]:
    return [seen.path for seen in project.hub.requests("huggingface") if "/resolve/" in seen.path]


def test_an_upgrade_downloads_only_files_that_changed(project: Project) -> None:
    serve(project, many({}))
    manifest(project)
    project("lock")
    assert len(downloads(project)) == 30
    project.hub.clear_log()
    project.hub.huggingface.commit(REPO, many({"texts/07.txt": b"changed\n", "moved/00.txt": b"text 0\n"}))
    project("lock", "--upgrade")
    assert [path.rpartition("/")[2] for path in downloads(project)] == ["07.txt"]
    project("sync")
    after = many({"texts/07.txt": b"changed\n", "moved/00.txt": b"text 0\n"})
    assert project.tree() == {f"it/{path}": content for path, content in after.items()}


def test_an_archive_in_git_is_unpacked_once(project: Project) -> None:
    weights = safetensors_bytes("in a zip")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("style.safetensors", weights)
    files = {"pack.zip": packed.getvalue(), "README.md": b"one\n"}
    serve(project, files)
    manifest(project, source=f"hf://{REPO}/pack.zip", extract="*.safetensors")
    project("sync")
    before = project.lock_text
    assert before.count("git-sha1") == 1
    project.hub.clear_log()
    project.hub.huggingface.commit(REPO, {**files, "README.md": b"two\n"})
    project("lock", "--upgrade")
    assert downloads(project) == []
    project.hub.huggingface.commit(REPO, {**files, "pack.zip": packed.getvalue() + b" "})
    project("lock", "--upgrade")
    assert len(downloads(project)) == 1
    project("sync", "--check", code=None)
    assert list(project.tree().values()) == [weights]


def test_another_model_of_the_same_lockfile_has_the_file(project: Project) -> None:
    serve(project, many({}))
    serve(project, {"a.txt": b"text 3\n", "b.txt": b"new\n"}, "studio/other")
    manifest(project)
    project("lock")
    project.hub.clear_log()
    text = (project.path / "synapse.toml").read_text()
    project.manifest(f'{text}[models.more]\nsource = "hf://studio/other"\n')
    project("lock")
    assert [path.rpartition("/")[2] for path in downloads(project)] == ["b.txt"]


def test_the_git_hash_is_locked_for_files_without_a_promised_digest_alone(project: Project) -> None:
    serve(project, {"config.json": b"{}\n", "w.safetensors": safetensors_bytes("w", size=70_000)})
    manifest(project)
    project("lock")
    (model,) = tomllib.loads(project.lock_text)["model"]
    hashes = {artifact["filename"]: artifact.get("git-sha1") for artifact in model["artifact"]}
    blob = hashlib.sha1(b"blob 3\0{}\n", usedforsecurity=False).hexdigest()
    assert hashes == {"config.json": blob, "w.safetensors": None}
    lockfile = project.path / "synapse.lock"
    lockfile.write_text(project.lock_text.replace(blob, "not-a-hash"))
    assert "`git-sha1` is not 40" in project("sync", "--frozen", code=2).err


# -- names that are no names everywhere -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("notes/what now?.txt", "notes/what now[?].txt"),
        ("notes/[1]*.txt", "notes/[[]1][*].txt"),
        ("logs/run:2.txt", "logs/run:2.txt"),
        ("aux/x.txt", "aux/x.txt"),
        ("back\\slash.txt", "back?slash.txt"),
        ("n" * 190 + ".txt", "n" * 190 + ".txt"),
    ],
)
def test_one_odd_name_costs_that_file_alone_and_the_pattern_in_the_warning_works(
    project: Project, path: str, pattern: str
) -> None:
    serve(project, {path: b"odd", "fine.txt": b"fine"})
    manifest(project)
    said = project("lock", "--json").json
    assert any(f"`exclude = [{json.dumps(pattern)}]`" in warning for warning in said["warnings"])
    assert any("`it`" in warning for warning in said["warnings"])
    project("sync")
    assert project.tree() == {"fine.txt": b"fine"}
    manifest(project, exclude=[pattern])
    assert project("lock", "--json").json["warnings"] == []


def test_weights_with_an_odd_name_are_refused_and_the_hint_works(project: Project) -> None:
    serve(project, {"which?.safetensors": safetensors_bytes("odd"), "fine.txt": b"fine"})
    manifest(project)
    done = project("lock", code=2)
    assert "`it`" in done.err and 'exclude = ["which[?].safetensors"]' in " ".join(done.err.split())
    manifest(project, exclude=["which[?].safetensors"])
    project("sync")
    assert list(project.tree()) == ["fine.txt"]


def test_an_odd_name_alone_is_made_safe(project: Project) -> None:
    serve(project, {"a/.which?.safetensors": safetensors_bytes("odd")})
    manifest(project, source=f"hf://{REPO}/a/.which?.safetensors")
    assert placed(project) == {"which_.safetensors"}


# -- the rest of several files -------------------------------------------------------------------------


def test_the_last_file_of_several_stays_in_their_folder(project: Project) -> None:
    serve(project, {"a.safetensors": safetensors_bytes("a"), "b/b.safetensors": safetensors_bytes("b")})
    manifest(project, type="lora")
    assert placed(project) == {"it/a.safetensors", "it/b/b.safetensors"}
    manifest(project, type="lora", exclude=["a.*"])
    assert placed(project) == {"it/b/b.safetensors"}
    assert "tree = true" in project.lock_text
    manifest(project, type="lora", exclude=["a.*"], subfolder="s")
    assert placed(project) == {"s/it/b/b.safetensors"}
    manifest(project, type="lora", exclude=["a.*"], flatten=True)
    assert placed(project) == {"b.safetensors"}
    manifest(project, type="lora")
    assert placed(project) == {"it/a.safetensors", "it/b/b.safetensors"}
    assert "tree = true" not in project.lock_text
    manifest(project, type="lora", source=f"hf://{REPO}/a.safetensors")
    assert placed(project) == {"a.safetensors"}, "the manifest names one file now"


def test_a_file_that_was_always_alone_has_no_folder(project: Project) -> None:
    serve(project, {"a.safetensors": safetensors_bytes("a")})
    manifest(project, type="lora")
    assert placed(project) == {"a.safetensors"}
    assert "tree" not in project.lock_text
