"""`synapse export`: what other programs make of the files, run for real where the program is here."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from world import Project

from synapse_sync.demo import catalogue
from synapse_sync.demo.exchange import Fault
from synapse_sync.demo.weights import safetensors_bytes
from synapse_sync.interop.writers import WRITERS

TARGETS = """
[targets.comfy]
layout = "comfyui"
root = "Comfy UI"
[targets.forge]
layout = "forge"
root = "forge's"
groups = ["portrait"]
"""
MODELS = f"""
[models]
portrait = {{ source = "civitai:{catalogue.PORTRAIT}", groups = ["portrait"] }}
vae = "hf://{catalogue.VAE_REPO}/portrait_vae.safetensors"
gated = {{ source = "hf://{catalogue.GATED_REPO}", type = "vae", include = ["*.safetensors"] }}
tree = "hf://{catalogue.TREE_REPO}"
"""
SHELLS = [
    pytest.param(shell, marks=pytest.mark.skipif(shutil.which(shell[0]) is None, reason=f"no {shell[0]} here"))
    for shell in (["dash"], ["busybox", "sh"], ["sh"])
]
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")


@pytest.fixture
def full(project: Project) -> Project:
    """Two targets, several kinds of models, one of them with a hostile name; locked, and not synced."""
    project.hub.huggingface.grant(catalogue.GATED_REPO)
    hostile = "it's a $(touch pwned) `x` -rf & ' ;.safetensors"
    place = project.hub.files.put("odd.safetensors", safetensors_bytes("odd"))
    odd = f'\n[models.odd]\nsource = {json.dumps(place)}\ntype = "lora"\nfilename = {json.dumps(hostile)}\n'
    project.manifest(TARGETS + MODELS + odd)
    project("lock")
    return project


def run(script: str, directory: Path, shell: list[str], **more: str) -> subprocess.CompletedProcess[str]:
    """Run a script in an empty directory, with nothing of synapse around."""
    directory.mkdir(exist_ok=True)
    path = directory.parent / "script.sh"
    path.write_text(script, "utf-8")
    names = ("PATH", "CIVITAI_API_KEY", "HF_TOKEN")
    environment = {name: os.environ[name] for name in names if name in os.environ} | more
    words = [*shell, str(path), str(directory)]
    return subprocess.run(words, cwd="/", env=environment, capture_output=True, text=True, timeout=60)


def files_of(directory: Path) -> dict[str, bytes]:
    found = (path for path in directory.rglob("*") if path.is_file() and ".synapse" not in path.parts)
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in found}


@needs_curl
@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_rebuilds_the_tree_without_synapse(full: Project, tmp_path: Path, shell: list[str]) -> None:
    script = full("export", "sh", "--endpoints").out
    there = tmp_path / "elsewhere"
    first = run(script, there, shell)
    assert first.returncode == 0, first.stderr
    full("sync")
    assert files_of(there) == full.tree()
    assert run(script, there, shell).stderr == "all files are in place\n"


@needs_curl
def test_the_script_keeps_other_files_and_reports_what_is_missing(full: Project, tmp_path: Path) -> None:
    there = tmp_path / "elsewhere"
    mine = there / "Comfy UI/models/vae/portrait_vae.safetensors"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    full.hub.faults.add("/api/download/", Fault(status=404))
    done = run(full("export", "sh", "--endpoints").out, there, ["sh"])
    assert done.returncode == 1
    assert "error: other content is in the way" in done.stderr and mine.read_bytes() == b"mine"
    assert "error: no address has it" in done.stderr
    assert not (there / "Comfy UI/models/checkpoints/portrait_v1.safetensors").exists()


@needs_curl
def test_the_script_goes_on_with_half_a_file_and_refuses_wrong_bytes(full: Project, tmp_path: Path) -> None:
    script = full("export", "sh", "--endpoints", "--only", "vae").out
    there = tmp_path / "elsewhere"
    place = there / "Comfy UI/models/vae/portrait_vae.safetensors"
    place.parent.mkdir(parents=True)
    part = place.with_name(f"{place.name}.part")
    full("sync")
    right = (full.path / "Comfy UI/models/vae/portrait_vae.safetensors").read_bytes()
    part.write_bytes(right[: len(right) // 2])
    assert run(script, there, ["sh"]).returncode == 0
    assert place.read_bytes() == right
    place.unlink()
    part.write_bytes(b"x" * (len(right) - 1))
    assert run(script, there, ["sh"]).returncode == 1  # the rest of it was fetched, and the whole is wrong
    assert not place.exists() and not part.exists()
    assert run(script, there, ["sh"]).returncode == 0


@needs_curl
def test_the_script_unpacks_archives(project: Project, tmp_path: Path) -> None:
    if shutil.which("unzip") is None:
        pytest.skip("no unzip here")
    names = {"a [1]x.safetensors": safetensors_bytes("one"), "-b/two.safetensors": safetensors_bytes("two")}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    url = project.hub.files.put("parcel.zip", packed.getvalue())
    project.manifest(f'[models.parcel]\nsource = "{url}"\ntype = "lora"\nextract = ["*.safetensors"]\n')
    project("lock")
    there = tmp_path / "elsewhere"
    done = run(project("export", "sh", "--endpoints").out, there, ["sh"])
    assert done.returncode == 0, done.stderr
    project("sync")
    assert files_of(there) == project.tree()


@needs_curl
def test_the_script_fills_a_cache_of_the_hub(project: Project, tmp_path: Path) -> None:
    project.manifest(
        f'[targets.hub]\nlayout = "hf-cache"\nroot = "hub"\n[models]\ntree = "hf://{catalogue.TREE_REPO}"\n'
    )
    project("lock")
    there = tmp_path / "elsewhere"
    done = run(project("export", "sh", "--endpoints").out, there, ["sh"])
    assert done.returncode == 0, done.stderr
    project("sync")
    assert files_of(there) == project.tree()
    links = {path.relative_to(there): path.readlink() for path in there.rglob("*") if path.is_symlink()}
    wanted = {p.relative_to(project.path): p.readlink() for p in project.path.rglob("*") if p.is_symlink()}
    assert links == wanted and links


def test_sha256sums_checks_the_tree(full: Project) -> None:
    full("sync")
    full("export", "sha256sums", "-o", "SUMS")
    lines = (full.path / "SUMS").read_text("utf-8").splitlines()
    named = dict(reversed(line.split("  ", 1)) for line in lines)
    tree = full.tree()
    del tree["SUMS"]
    assert named == {name: hashlib.sha256(content).hexdigest() for name, content in tree.items()}
    if shutil.which("sha256sum") is not None:
        subprocess.run(["sha256sum", "--strict", "--quiet", "-c", "SUMS"], cwd=full.path, check=True)


@pytest.mark.skipif(shutil.which("aria2c") is None, reason="no aria2c here")
def test_aria2_downloads_what_needs_no_token(full: Project, tmp_path: Path) -> None:
    found = full("export", "aria2", "--endpoints", "--only", "vae", "--only", "odd", "--only", "tree")
    there = tmp_path / "elsewhere"
    there.mkdir()
    (there / "input").write_text(found.out, "utf-8")
    subprocess.run(["aria2c", "-q", "--no-conf", "-i", "input"], cwd=there, check=True, timeout=60)
    (there / "input").unlink()
    full("sync", "--only", "vae", "--only", "odd", "--only", "tree")
    assert files_of(there) == full.tree()


@pytest.fixture
def exported(full: Project, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The text of each format that completes no file."""
    pytest.importorskip("cyclonedx")
    yield {name: full("export", name).out for name, writer in WRITERS.items() if not writer.completes}


def test_every_format_is_the_same_twice_and_holds_no_secret(full: Project, exported: dict[str, str]) -> None:
    for name, text in exported.items():
        assert text and text == full("export", name).out
        for variable in ("CIVITAI_API_KEY", "HF_TOKEN"):
            assert os.environ[variable] not in text
        assert "X-Amz" not in text and "token=" not in text.replace("token=$1", "") and str(full.path) not in text


def test_an_export_names_public_addresses_whatever_this_machine_asks(
    full: Project, exported: dict[str, str]
) -> None:
    """An endpoint of the environment may be a private mirror: an export is made to be shared."""
    flow = {"nodes": [{"id": 1, "type": "VAELoader", "widgets_values": ["portrait_vae.safetensors"]}]}
    (full.path / "flow.json").write_text(json.dumps(flow))
    texts = exported | {"workflow": full("export", "workflow", "flow.json").out}
    private = [os.environ["CIVITAI_ENDPOINT"], os.environ["HF_ENDPOINT"]]
    for name, text in texts.items():
        assert not any(url in text for url in private), name
    named = {
        name for name, text in texts.items() if f"https://huggingface.co/{catalogue.VAE_REPO}/resolve/" in text
    }
    assert named == {"aria2", "comfy-lock", "cyclonedx", "sh", "urls", "workflow"}
    said = full("export", "urls").err
    assert "`--endpoints` names CIVITAI_ENDPOINT, HF_ENDPOINT of this machine instead" in said
    own = full("export", "urls", "--endpoints")
    assert all(url in own.out for url in private) and "public" not in own.err


def test_a_rewritten_address_is_not_exported(full: Project) -> None:
    """The hub's library is told the address after the rewrites; a script for everybody is not."""
    del os.environ["HF_ENDPOINT"]
    config = Path(os.environ["SYNAPSE_CONFIG"])
    config.write_text('[rewrites]\n"huggingface.co" = "https://proxy.corp.example/hf"\n')
    assert "corp.example" not in full("export", "urls").out
    assert "https://proxy.corp.example/hf/" in full("export", "urls", "--endpoints").out


def test_a_mirror_of_the_settings_is_exported_only_when_asked_for(project: Project) -> None:
    """`lock --heal` writes it into the lockfile; one that the manifest declares is the project's own word."""
    files, content = project.hub.files, safetensors_bytes("both")
    source, declared = (files.put(f"{name}/both.safetensors", content) for name in ("one", "two"))
    files.put(f"blobs/{hashlib.sha256(content).hexdigest()}", content)
    Path(os.environ["SYNAPSE_CONFIG"]).write_text(f'mirrors = ["{files.url}/blobs/{{sha256}}"]\n')
    project.manifest(f'[models.both]\nsource = "{source}"\ntype = "lora"\nmirrors = ["{declared}"]\n')
    project("lock", "--heal")
    assert "/blobs/" in project.lock_text
    said = project("export", "sh")
    assert source in said.out and declared in said.out and "/blobs/" not in said.out
    assert "which only your settings name, are left out" in said.err
    assert "/blobs/" in project("export", "sh", "--endpoints").out


def test_a_model_that_is_not_locked_ends_the_export(full: Project) -> None:
    full.manifest(f'[models]\nlate = "civitai:{catalogue.EYES}"\n')
    said = full("export", "sh", code=8)
    assert "`late`" in said.err and "synapse lock" in said.err and not said.out


def test_a_refused_file_is_in_no_script_and_in_every_list(project: Project) -> None:
    project.manifest(f'[models.p]\nsource = "civitai:{catalogue.PICKLE}"\nallow-pickle = true\n')
    project("lock")
    project("export", "sh")
    (project.path.parent / "home").mkdir()
    config = Path(os.environ["SYNAPSE_CONFIG"])
    config.write_text("allow-pickle = false\n")
    assert "is a pickle" in project("export", "sh", code=2).err
    assert project("export", "sha256sums").out


def test_a_file_of_this_machine_has_no_address(project: Project) -> None:
    (project.path / "own.safetensors").write_bytes(safetensors_bytes("own"))
    project.manifest('[models]\nown = { source = "./own.safetensors", type = "lora" }\n')
    project("lock")
    found = project("export", "sh", "--json").json
    assert found["warnings"] == ["`own`: its file has no URL, only a path of this machine; left out"]
    assert "own.safetensors" not in found["text"]


@pytest.mark.parametrize("name", sorted(WRITERS.keys() - {"cyclonedx", "workflow"}))
def test_the_count_is_that_of_the_files_in_it(full: Project, name: str) -> None:
    """And the others are counted as left out: a list that lacks files must not look complete."""
    (full.path / "own.safetensors").write_bytes(safetensors_bytes("own"))
    text = (full.path / "synapse.toml").read_text("utf-8")
    (full.path / "synapse.toml").write_text(f'{text}\n[models.own]\nsource = "./own.safetensors"\ntype = "lora"\n')
    full("lock")
    before = full("export", "sha256sums", "--json").json
    assert (before["files"], before["left_out"]) == (before["text"].count("\n"), 0)
    local = {"comfyui-paths": 0, "dockerfile": 0, "k8s-image": 0, "sha256sums": 0}.get(name, 1)
    found = full("export", name, "-o", "F", "--json").json
    assert found["files"] + found["left_out"] == before["files"]
    assert found["left_out"] >= local
    made = (full.path / "F").read_text("utf-8")
    assert name != "aria2" or made.count("checksum=sha-256=") == found["files"]
    said = full("export", name, "-o", "F").err
    assert ("left out, as warned" in said) is bool(found["left_out"])


def test_a_file_below_a_linked_folder_is_not_copied_into_an_image(project: Project, tmp_path: Path) -> None:
    nas = tmp_path / "nas"
    nas.mkdir()
    (nas / "own.safetensors").write_bytes(safetensors_bytes("own"))
    (project.path / "loras").mkdir()
    (project.path / "loras" / "nas").symlink_to(nas)
    (project.path / "loras" / "[A] b.safetensors").write_bytes(safetensors_bytes("b"))
    project.manifest(
        '[models]\nown = { source = "./loras/nas/own.safetensors", type = "lora" }\n'
        'b = { source = "./loras/[A] b.safetensors", type = "lora" }\n'
    )
    project("lock")
    found = project("export", "dockerfile", "--json").json
    assert "nas/own" not in found["text"] and (found["files"], found["left_out"]) == (1, 1)
    assert "is behind a link out of the project" in found["warnings"][0]
    assert 'COPY ["loras/[[]A] b.safetensors", "loras/[A] b.safetensors"]' in found["text"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["shh"], "did you mean"),
        (["sh", "x.json"], "completes no file"),
        (["sh", "-o", "synapse.lock"], "a file of the project itself"),
        (["sh", "-o", "nowhere/x"], "is not a directory"),
    ],
)
def test_a_wrong_call_writes_nothing(full: Project, words: list[str], said: str) -> None:
    before = full.lock_text
    assert said in full("export", *words, code=2).err
    assert full.lock_text == before


def test_a_dash_is_stdout(full: Project) -> None:
    assert full("export", "urls", "-o", "-").out == full("export", "urls").out
    assert not (full.path / "-").exists()


@pytest.mark.parametrize("name", [name for name, writer in WRITERS.items() if not writer.merges])
def test_only_an_earlier_export_is_replaced(full: Project, name: str) -> None:
    if name == "cyclonedx":
        pytest.importorskip("cyclonedx")
    (full.path / "given.json").write_text('{"nodes": []}')
    words = ["export", name, *(["given.json"] if WRITERS[name].completes else []), "-o", "there"]
    for content in (b"\0\1\2", b"my own words\n"):
        (full.path / "there").write_bytes(content)
        assert "no earlier export" in full(*words, code=7).err
        assert (full.path / "there").read_bytes() == content
    (full.path / "there").unlink()
    full(*words)
    first = (full.path / "there").read_bytes()
    if not WRITERS[name].completes:
        full(*words)
    assert (full.path / "there").read_bytes() == first


def test_comfyui_finds_the_files_of_other_targets(full: Project) -> None:
    (full.path / "ui").mkdir()
    extra = full.path / "ui/extra_model_paths.yaml"
    extra.write_text("# mine\nother:\n  loras: /somewhere\n")
    full("export", "comfyui-paths", "-o", str(extra))
    full("export", "comfyui-paths", "-o", str(extra))
    assert extra.read_text().startswith("# mine\nother:\n  loras: /somewhere\n\nsynapse-comfy:\n")
    full("sync")
    found: dict[str, set[str]] = {}
    for section in yaml.safe_load(extra.read_text()).values():  # as ComfyUI's `load_extra_path_config` reads it
        base = extra.parent / section.pop("base_path", "/")
        for key, folders in section.items():
            names = {p.name for folder in folders.split("\n") if folder for p in (base / folder).glob("**/*.*")}
            found.setdefault(key, set()).update(names)
    assert "portrait_v1.safetensors" in found["checkpoints"] & found["diffusion_models"]
    assert {"portrait_vae.safetensors", "model.safetensors"} <= found["vae"]
    assert any(name.startswith("it's a $(touch pwned)") for name in found["loras"])


def test_a_comfy_lock_names_each_content_once_and_keeps_the_nodes(full: Project) -> None:
    lock = full.path / "comfy-lock.yaml"
    nodes = "custom_nodes:\n  comfyui: 8f40b43e\n"
    lock.write_text(nodes)
    full("export", "comfy-lock", "-o", "comfy-lock.yaml")
    assert lock.read_text().startswith(nodes)
    models = yaml.safe_load(lock.read_text())["models"]
    (portrait,) = [model for model in models if model["model"] == "portrait_v1.safetensors"]
    full("sync")
    content = full.tree()["Comfy UI/models/checkpoints/portrait_v1.safetensors"]
    assert portrait["hashes"] == [{"hash": hashlib.sha256(content).hexdigest(), "type": "SHA256"}]
    assert portrait["paths"] == [{"path": "models/checkpoints/portrait_v1.safetensors"}]
    assert portrait["size_bytes"] == len(content) and portrait["type"] == "checkpoints"
    assert f"/api/download/models/{catalogue.PORTRAIT_V1}" in portrait["url"]
    paths = {path["path"] for model in models for path in model["paths"]}
    assert {f"Comfy UI/{path}" for path in paths} == {name for name in full.tree() if name.startswith("Comfy")}


def test_a_workflow_learns_where_its_models_come_from(full: Project) -> None:
    flow = {
        "nodes": [{"id": 1, "type": "VAELoader", "widgets_values": ["portrait_vae.safetensors"]}],
        "version": 0.4,
    }
    (full.path / "flow.json").write_text(json.dumps(flow))
    full("export", "workflow", "flow.json", "-o", "flow.json")
    (node,) = json.loads((full.path / "flow.json").read_text())["nodes"]
    (entry,) = node["properties"]["models"]
    assert entry["directory"] == "vae" and entry["url"].endswith("/portrait_vae.safetensors")
    assert "completes a file" in full("export", "workflow", code=2).err
    assert "cannot read" in full("export", "workflow", "none.json", code=2).err


def test_a_bill_of_materials_is_valid_and_complete(full: Project) -> None:
    pytest.importorskip("cyclonedx")
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = full("export", "cyclonedx").out
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    names = {component["bom-ref"]: component for component in bill["components"]}
    locked = {f"model:{model['name']}": model for model in full.locked()}
    assert names.keys() == locked.keys()
    for name, model in locked.items():
        assert names[name]["type"] == "machine-learning-model"
        hashes = {
            h["content"] for file in names[name]["components"] for h in file["hashes"] if h["alg"] == "SHA-256"
        }
        assert hashes == {artifact["sha256"] for artifact in model["artifact"]}
    assert (
        names["model:portrait"]["modelCard"]["modelParameters"]["modelArchitecture"]
        == locked["model:portrait"]["base-model"]
    )
    assert names["model:vae"]["purl"].startswith(f"pkg:huggingface/{catalogue.VAE_REPO}@")
    assert "timestamp" not in bill["metadata"] and re.match(r"urn:uuid:[0-9a-f-]{36}\Z", bill["serialNumber"])


def test_a_bill_of_materials_without_its_library_names_the_mend(
    full: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "cyclonedx"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cyclonedx", None)
    assert "pip install 'synapse-sync[cyclonedx]'" in full("export", "cyclonedx", code=2).err
