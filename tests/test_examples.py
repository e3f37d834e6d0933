"""The examples, run as their readers would run them, against the hub that offers the same ids."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from world import places_below

from synapse_sync.cli.main import main
from synapse_sync.core.lockfile import parse_lockfile
from synapse_sync.core.manifest.read import parse_manifest
from synapse_sync.demo.catalogue import SDXL_VAE_COMMIT, populate
from synapse_sync.demo.exchange import Fault
from synapse_sync.demo.hub import Hub

EXAMPLES = Path(__file__).parents[1] / "examples"
MANIFESTS = sorted(EXAMPLES.rglob("synapse.toml"))
NAMES = [path.parent.name for path in MANIFESTS]

#: Every file that a sync must leave in the project, and nothing else.
TREES = {
    "ci": {
        "ComfyUI/models/loras/add_detail.safetensors",
        "ComfyUI/models/vae/sdxl_vae.safetensors",
    },
    "comfy-portrait": {
        "ComfyUI/models/checkpoints/counterfeit-v3-fp16.safetensors",
        "ComfyUI/models/checkpoints/dreamshaper_8.safetensors",
        "ComfyUI/models/loras/details/add_detail.safetensors",
        "ComfyUI/models/loras/details/add_detail_slider.safetensors",
        "ComfyUI/models/loras/pp-storybook_rank2_bf16.safetensors",
        "ComfyUI/models/text_encoders/flux-text-encoders/clip_l.safetensors",
        "ComfyUI/models/text_encoders/flux-text-encoders/t5xxl_fp8_e4m3fn.safetensors",
    },
    "docker": {
        "image/ComfyUI/models/checkpoints/dreamshaper_8.safetensors",
        "image/ComfyUI/models/loras/pp-storybook_rank2_bf16.safetensors",
        "image/ComfyUI/models/vae/sdxl_vae.safetensors",
    },
    "python": {
        "ComfyUI/models/loras/pp-storybook_rank2_bf16.safetensors",
        "ComfyUI/models/vae/sdxl_vae.safetensors",
    },
    "several-uis": {
        "ComfyUI/models/checkpoints/counterfeitV30_v30.safetensors",
        "ComfyUI/models/checkpoints/dreamshaper_8.safetensors",
        "ComfyUI/models/loras/details/add_detail.safetensors",
        "ComfyUI/models/loras/details/add_detail_slider.safetensors",
        "ComfyUI/models/loras/pp-storybook_rank2_bf16.safetensors",
        "ComfyUI/models/text_encoders/t5xxl_fp8_e4m3fn.safetensors",
        "ComfyUI/models/vae/sdxl_vae.safetensors",
        "forge/models/Lora/details/add_detail.safetensors",
        "forge/models/Lora/details/add_detail_slider.safetensors",
        "forge/models/Lora/pp-storybook_rank2_bf16.safetensors",
        "forge/models/Stable-diffusion/counterfeitV30_v30.safetensors",
        "forge/models/Stable-diffusion/dreamshaper_8.safetensors",
        "forge/models/text_encoder/t5xxl_fp8_e4m3fn.safetensors",
        "sdnext/models/Lora/details/add_detail.safetensors",
        "sdnext/models/Lora/details/add_detail_slider.safetensors",
        "sdnext/models/Stable-diffusion/counterfeitV30_v30.safetensors",
        "stable-diffusion-webui/models/Lora/details/add_detail.safetensors",
        "stable-diffusion-webui/models/Lora/details/add_detail_slider.safetensors",
        "stable-diffusion-webui/models/Stable-diffusion/counterfeitV30_v30.safetensors",
        "stable-diffusion-webui/models/Stable-diffusion/dreamshaper_8.safetensors",
    },
}


@dataclass(frozen=True)
class Copy:
    """An example, copied to where the tests may write."""

    path: Path
    hub: Hub

    def run(self, *words: str) -> int:
        return main([*words, "-C", str(self.path)])

    def files(self) -> dict[str, Path]:
        """What a sync placed: everything but the example's own files and our hidden ones."""
        own = {"synapse.toml", "synapse.lock", "README.md", "Dockerfile"}
        return {
            str(path.relative_to(self.path)): path
            for path in sorted(self.path.rglob("*"))
            if path.is_file()
            and path.name not in own
            and path.suffix != ".py"
            and not any(part.startswith(".") for part in path.relative_to(self.path).parts)
        }


@pytest.fixture
def example_hub(tmp_path: Path) -> Iterator[Hub]:
    home = tmp_path / "home"
    home.mkdir()
    with Hub() as hub:
        populate(hub)
        os.environ |= hub.environment() | places_below(home)
        yield hub
    assert hub.crashes == []


@pytest.fixture
def copy_of(tmp_path: Path, example_hub: Hub) -> Callable[[str], Copy]:
    """Copies an example, with what only a container has put right."""

    def make(name: str) -> Copy:
        project = tmp_path / name
        shutil.copytree(EXAMPLES / name, project)
        manifest = project / "synapse.toml"
        text = manifest.read_text("utf-8").replace('"/opt/ComfyUI"', '"image/ComfyUI"')
        manifest.write_text(text, "utf-8")
        return Copy(project, example_hub)

    return make


def test_every_example_is_known_here() -> None:
    assert sorted(TREES) == NAMES
    assert {path.name for path in EXAMPLES.iterdir() if path.is_dir()} == set(NAMES)
    table = (EXAMPLES / "README.md").read_text("utf-8")
    assert set(re.findall(r"^\| `([\w-]+)/`", table, re.MULTILINE)) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_locks_syncs_and_then_rests(
    name: str, copy_of: Callable[[str], Copy], capsys: pytest.CaptureFixture[str]
) -> None:
    example = copy_of(name)
    assert example.run("lock") == 0
    assert example.run("lock", "--check") == 0
    assert example.run("sync", "--locked") == 0
    assert set(example.files()) == TREES[name]

    locked = parse_lockfile((example.path / "synapse.lock").read_text("utf-8"))
    digests = {artifact.sha256 for model in locked.models for artifact in model.artifacts}
    assert {hashlib.sha256(path.read_bytes()).hexdigest() for path in example.files().values()} == digests

    example.hub.clear_log()
    capsys.readouterr()
    assert example.run("sync") == 0
    shown = capsys.readouterr()
    assert "nothing to do" in shown.out + shown.err
    assert example.run("status") == 0
    assert f"in sync: {len(TREES[name])} files" in capsys.readouterr().out
    assert example.run("verify") == 0
    assert example.hub.requests() == []


@pytest.mark.parametrize("name", NAMES)
def test_no_question_is_met(
    name: str, copy_of: Callable[[str], Copy], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the first sync nothing is to be asked, also where the root is the image's own directory."""
    assert "SYNAPSE_TRUST" not in os.environ
    example = copy_of(name)
    manifest = example.path / "synapse.toml"
    (tmp_path / "opt").mkdir()
    elsewhere = f'"{(tmp_path / "opt/ComfyUI").as_posix()}"'
    manifest.write_text(manifest.read_text("utf-8").replace('"image/ComfyUI"', elsewhere), "utf-8")
    for verb in ("lock", "sync"):
        capsys.readouterr()
        assert example.run("status", "--json") in (0, 8)
        assert json.loads(capsys.readouterr().out)["asks"] == []
        assert example.run(verb) == 0
        assert "agree" not in capsys.readouterr().err
    assert not list((tmp_path / "home").rglob("trust-*"))


@pytest.mark.parametrize("way", ["manifest", "commands"])
def test_no_question_is_met_in_the_quick_start(
    way: str, example_hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The README's first manifest, with its second UI in the user's home; and the same by commands."""
    project = Copy(tmp_path / "quick", example_hub)
    project.path.mkdir()
    found = re.search(r"```toml\n(.*?)```", (EXAMPLES.parent / "README.md").read_text("utf-8"), re.DOTALL)
    assert found is not None
    if way == "manifest":
        (project.path / "synapse.toml").write_text(found[1], "utf-8")
    else:
        sources = re.findall(r'"((?:civitai:|hf://|https://)[^"]+)"', found[1])
        assert len(sources) == 3 and project.run("init") == 0 and project.run("add", *sources) == 0
    capsys.readouterr()
    assert project.run("status", "--json") in (0, 8)
    assert json.loads(capsys.readouterr().out)["asks"] == []
    assert project.run("sync") == 0
    assert "agree" not in capsys.readouterr().err
    assert not list((tmp_path / "home").rglob("trust-*"))
    assert (tmp_path / "home/forge/models").is_dir() == (way == "manifest")


@pytest.fixture
def script(copy_of: Callable[[str], Copy]) -> Callable[..., tuple[int, str]]:
    """Runs a script of the Python example in a process of its own; its project is a copy."""
    example = copy_of("python")

    def run(name: str, *words: str) -> tuple[int, str]:
        command = [sys.executable, "-W", "error", str(example.path / name), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    return run


def test_python_syncs_and_says_where(script: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    code, said = script("sync.py")
    assert code == 0, said
    first, *places = said.splitlines()
    assert first.startswith("2 downloaded") and len(places) == 2
    assert all(Path(line.partition(": ")[2]).is_file() for line in places)
    manifest = tmp_path / "python" / "synapse.toml"
    manifest.write_text(manifest.read_text("utf-8").replace("@1387174", "@999999999"), "utf-8")
    code, said = script("sync.py")
    assert code == 4 and "Traceback" not in said and "has no version 999999999" in said


def test_python_searches_and_adds(script: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    code, said = script("search.py", "detail", "tweaker")
    assert code == 0, said
    assert "civitai:58390@" in said and "added 1 model" in said
    assert 'groups = ["found"]' in (tmp_path / "python" / "synapse.toml").read_text("utf-8")
    assert script("search.py", "no such thing at all")[0] == 4


def test_python_shows_a_progress_of_its_own(script: Callable[..., tuple[int, str]]) -> None:
    code, said = script("progress.py")
    assert code == 0, said
    assert "bytes so far" in said and said.splitlines()[-1].endswith(": all good")


def test_python_crawls_into_a_database_and_goes_on(
    script: Callable[..., tuple[int, str]], tmp_path: Path, example_hub: Hub
) -> None:
    path = tmp_path / "civitai.db"
    words = (str(path), "--lists", "creators", "tags", "models", "--galleries", "9", "--nsfw", "--pause", "0")
    example_hub.faults.add("/api/v1/images", Fault(status=404, skip=3))
    code, said = script("crawl_to_sqlite.py", *words)
    assert code == 1 and "the same command goes on" in said and "Traceback" not in said
    example_hub.faults.clear()
    example_hub.clear_log()
    code, said = script("crawl_to_sqlite.py", *words)
    assert code == 0, said
    assert not any(seen.path.endswith(("/creators", "/tags")) for seen in example_hub.requests())
    models = example_hub.civitai.models.values()
    with closing(sqlite3.connect(path)) as database:
        things = set(database.execute("SELECT kind, id FROM thing"))
        kinds = [kind for kind, _ in things]
        assert {("model", str(model.id)) for model in models} <= things
        assert kinds.count("version") == sum(len(model.versions) for model in models)
        assert kinds.count("file") >= kinds.count("version")
        assert {("tag", tag) for model in models for tag in model.tags} <= things
        linked = database.execute("SELECT count(*) FROM relation WHERE link = 'has-version'").fetchone()
        assert linked == (kinds.count("version"),)
    again = script("crawl_to_sqlite.py", *words)
    assert again == (0, said), "nothing is left to read"


def test_every_script_is_run_here() -> None:
    tests = Path(__file__).read_text("utf-8")
    scripts = {path.name for path in EXAMPLES.rglob("*.py")}
    assert scripts and all(f'script("{name}"' in tests for name in scripts)


def test_portrait_takes_the_half_precision_file(copy_of: Callable[[str], Copy]) -> None:
    example = copy_of("comfy-portrait")
    assert example.run("sync") == 0
    fp32, fp16 = example.hub.civitai.models[4468].versions[0].files
    placed = example.files()["ComfyUI/models/checkpoints/counterfeit-v3-fp16.safetensors"].read_bytes()
    assert placed == fp16.content != fp32.content
    lock = (example.path / "synapse.lock").read_text("utf-8")
    assert 'reference = "civitai:4468@57618+41079"' in lock
    assert {"detail-tweaker@62833", "detail-tweaker@62834"} <= {m.name for m in parse_lockfile(lock).models}


def test_several_uis_place_as_they_are_told(copy_of: Callable[[str], Copy], tmp_path: Path) -> None:
    example = copy_of("several-uis")
    assert example.run("sync") == 0
    files = example.files()
    store = tmp_path / "home" / "store" / "blobs"
    for path in (file for name, file in files.items() if name.startswith("stable-diffusion-webui/")):
        assert path.is_symlink()
        assert path.readlink().is_relative_to(store)
    blobs = {blob.stat().st_ino for blob in store.rglob("*") if blob.is_file()}
    assert len(blobs) == 7, "each file is there once, whatever number of trees has it"
    for path in (file for name, file in files.items() if name.startswith("sdnext/")):
        assert not path.is_symlink()
        assert path.stat().st_ino not in blobs


def test_docker_builds_with_secrets_and_keeps_none(copy_of: Callable[[str], Copy], tmp_path: Path) -> None:
    example = copy_of("docker")
    assert example.run("lock") == 0

    text = (example.path / "Dockerfile").read_text("utf-8")
    code = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    step = next(part for part in re.split(r"\n(?=[A-Z]+ )", code) if "synapse sync" in part)
    words = shlex.split(step.replace("\\\n", " "))
    secrets = {"civitai": example.hub.civitai_token, "huggingface": example.hub.huggingface_token}
    for name, token in secrets.items():
        assert f"--mount=type=secret,id={name}" in words
        (tmp_path / name).write_text(token + "\n", "utf-8")
    for name in ("CIVITAI_API_KEY", "HF_TOKEN"):
        del os.environ[name]
    for name, value in (word.split("=", 1) for word in words if re.match(r"[A-Z_]+=", word)):
        if name != "SYNAPSE_STORE":
            os.environ[name] = value.replace("/run/secrets", str(tmp_path))
    assert not re.search(r"^(ARG|ENV)\b.*(TOKEN|KEY)", text, re.MULTILINE)

    assert example.run(*words[words.index("synapse") + 1 :]) == 0
    assert set(example.files()) == TREES["docker"]
    assert all(path.stat().st_nlink == 1 and not path.is_symlink() for path in example.files().values())
    for path in (path for path in tmp_path.rglob("*") if path.is_file() and path.parent != tmp_path):
        content = path.read_bytes()
        assert not any(token.encode() in content for token in secrets.values()), path


def test_docker_pins_the_commit_and_promises_the_bytes(
    copy_of: Callable[[str], Copy], capsys: pytest.CaptureFixture[str]
) -> None:
    example = copy_of("docker")
    text = (example.path / "synapse.toml").read_text("utf-8")
    (example.path / "synapse.toml").write_text(text.replace("# sha256 =", "sha256 ="), "utf-8")
    assert example.run("lock") == 6, "the hub's bytes are not the real ones, and the manifest promises those"
    assert "promises sha256 9753338ab693" in capsys.readouterr().err
    assert not (example.path / "synapse.lock").exists()

    (example.path / "synapse.toml").write_text(text, "utf-8")
    assert example.run("lock") == 0, "as it is shipped, the demo's hub can lock it"
    assert f"@{SDXL_VAE_COMMIT}/sdxl_vae.safetensors" in (example.path / "synapse.lock").read_text("utf-8")


def test_ci_workflow_runs_and_notices_a_stale_lockfile(copy_of: Callable[[str], Copy]) -> None:
    example = copy_of("ci")
    workflow = (EXAMPLES / "ci" / ".github" / "workflows" / "models.yml").read_text("utf-8")
    commands = [shlex.split(line) for line in re.findall(r"- run: synapse (.+)", workflow)]
    assert [words[0] for words in commands] == ["lock", "sync", "sync", "verify"]

    assert example.run(*commands[0]) == 8, "nothing is locked yet"
    assert example.run("lock") == 0
    example.hub.clear_log()
    assert example.run(*commands[0]) == 0
    assert example.run(*commands[1]) == 0
    assert example.hub.requests() == [], "the guard's job needs neither network nor token"
    assert example.files() == {}
    for words in commands[2:]:
        assert example.run(*words) == 0
    assert set(example.files()) == TREES["ci"]

    manifest = example.path / "synapse.toml"
    manifest.write_text(manifest.read_text("utf-8").replace("@62833", "@62834"), "utf-8")
    assert example.run(*commands[0]) == 8
    assert example.run(*commands[2]) == 8


@pytest.mark.parametrize("path", MANIFESTS, ids=NAMES)
def test_says_what_it_is_for_and_names_known_ids(path: Path) -> None:
    text = path.read_text("utf-8")
    manifest = parse_manifest(text)
    assert text.startswith("# "), "the first lines say what the example is for"
    assert "../shared" not in text
    known = {4384, 4468, 58_390, 1_231_067}
    for entry in manifest.entries():
        assert entry.reference.source != "civitai" or int(entry.reference.id) in known
    assert tomllib.loads(text)["workspace"]["name"] == path.parent.name
