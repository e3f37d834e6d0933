"""Cases 136 to 143: names from servers and sites, and settings as other programs and machines have them."""

from __future__ import annotations

import hashlib
import json
import os

import pytest
from cases import case
from stage import Stage

from synapse_sync.demo import catalogue
from synapse_sync.demo.civitai.things import File, Model, Version
from synapse_sync.demo.weights import safetensors_bytes

CONTENT = safetensors_bytes("a name from outside", size=20_000)
OTHER = safetensors_bytes("another one", size=21_000)


def publish(stage: Stage, *files: File) -> None:
    stage.hub.civitai.add(
        Model(id=71, name="Named", type="LORA", versions=(Version(id=711, name="v1", files=files),))
    )


@case(136)
@pytest.mark.parametrize(
    ("given", "name"),
    [("Fine Brush.safetensors", "Fine Brush.safetensors"), ("../../筆.safetensors", "筆.safetensors"),
     ("nul.safetensors", "_nul.safetensors"), (None, "4711.safetensors")],
)  # fmt: skip
def test_a_name_that_only_the_server_has(stage: Stage, given: str | None, name: str) -> None:
    url = stage.hub.files.put("4711", CONTENT, filename=given)
    stage.manifest(f'[models.m]\nsource = "{url}"\ntype = "lora"\n')
    stage("sync")
    assert stage.tree() == {f"models/loras/{name}": CONTENT}


@case(137)
@pytest.mark.parametrize(
    ("raw", "name"),
    [("Gl%C3%BChen%20%2B.safetensors", "Glühen +.safetensors"), ("90%25.safetensors", "90%.safetensors"),
     ("5%zig.safetensors", "5%zig.safetensors"), ("%2e%2e%2f%2e%2e%2fup.safetensors", "up.safetensors")],
)  # fmt: skip
def test_a_name_in_the_form_of_its_transport(stage: Stage, raw: str, name: str) -> None:
    publish(stage, File(id=1, name=raw, content=CONTENT))
    stage.manifest('[models]\nm = "civitai:71"\n')
    stage("sync")
    assert stage.tree() == {f"models/loras/{name}": CONTENT}


@case(138)
def test_a_name_that_no_program_shows(stage: Stage) -> None:
    publish(stage, File(id=1, name=".style.safetensors", content=CONTENT))
    stage.hub.huggingface.add_repo("own/hidden", {"w/.one.safetensors": OTHER, "w/b.txt": b"b"})
    (stage.path / ".local.safetensors").write_bytes(CONTENT)
    url = stage.hub.files.put(".plain.safetensors", CONTENT)
    sources = ["civitai:71", "hf://own/hidden/w/.one.safetensors", "./.local.safetensors", url]
    stage.manifest(
        "[models]\n" + "".join(f'm{n} = {{ source = "{s}", type = "lora" }}\n' for n, s in enumerate(sources))
        + '[models.flat]\nsource = "hf://own/hidden"\ntype = "vae"\nflatten = true\n'
    )  # fmt: skip
    stage("sync")
    names = {path.rpartition("/")[2] for path in stage.tree() if path.startswith("models/")}
    assert names == {
        "style.safetensors", "one.safetensors", "local.safetensors", "plain.safetensors", "b.txt",
    }  # fmt: skip


@case(139)
def test_one_name_of_a_repository_that_is_none_elsewhere(stage: Stage) -> None:
    files = {"why?.txt": b"odd", "AUX/x.txt": b"odd", "good.safetensors": CONTENT}
    stage.hub.huggingface.add_repo("own/odd", files)
    stage.manifest('[models.m]\nsource = "hf://own/odd"\ntype = "lora"\n')
    said = " ".join(stage("sync").err.split())
    assert '`exclude = ["why[?].txt"]`' in said and '`exclude = ["AUX/x.txt"]`' in said
    assert stage.tree() == {"models/loras/good.safetensors": CONTENT}


@case(140)
def test_the_id_of_a_file_that_belongs_to_another_version(stage: Stage) -> None:
    vae = File(id=99, name="shared.vae.safetensors", type="VAE", content=OTHER, linked=True)
    publish(stage, File(id=1, name="own.safetensors", content=CONTENT), vae)
    stage.manifest('[models]\nm = "civitai:71@711+99"\n')
    stage("sync")
    assert stage.tree() == {"models/vae/shared.vae.safetensors": OTHER}


@case(141)
def test_an_upgrade_of_a_repository_in_which_one_file_changed(stage: Stage) -> None:
    files = {f"{n}.txt": b"%d\n" % n for n in range(20)}
    stage.hub.huggingface.add_repo("own/texts", files)
    stage.manifest('[models.m]\nsource = "hf://own/texts"\ntype = "diffusers"\n')
    stage("sync")
    stage.hub.clear_log()
    stage.hub.huggingface.commit("own/texts", {**files, "3.txt": b"three\n"})
    stage("lock", "--upgrade")
    assert len([seen for seen in stage.hub.requests("huggingface") if "/resolve/" in seen.path]) == 1
    promised = hashlib.sha256(b"three\n").hexdigest()
    assert promised in stage.lock_text


@case(142)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_files_as_other_programs_save_them(
    stage: Stage, encoding: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A token file may be UTF-16; the settings may not, and the message says so."""
    place = tmp_path_factory.mktemp("by-hand")
    (place / "key.txt").write_bytes(f"{stage.hub.civitai_token}\r\n".encode(encoding))
    (place / "config.toml").write_bytes("downloads = 2\r\n".encode(encoding))
    stage.secrets.append(stage.hub.civitai_token)
    del os.environ["CIVITAI_API_KEY"]
    os.environ["CIVITAI_API_KEY_FILE"] = str(place / "key.txt")
    stage.manifest(f'[models]\nm = "civitai:{catalogue.EYES}"\n')
    stage("sync")
    os.environ["SYNAPSE_CONFIG"] = str(place / "config.toml")
    said = stage("status", code=2 if encoding == "utf-16" else 0)
    assert ("UTF-16" in said.err) is (encoding == "utf-16")
    del os.environ["SYNAPSE_CONFIG"]


@case(143)
def test_a_user_without_a_home_directory(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    pwd = pytest.importorskip("pwd")

    def nobody(uid: int) -> None:
        raise KeyError(uid)

    for name in ("HOME", "SYNAPSE_CONFIG", "HF_HOME"):
        del os.environ[name]
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    stage.manifest(f'[models]\nm = "civitai:{catalogue.EYES}"\n')
    stage("sync")
    assert len(stage.tree()) == 1
    store = stage("store", "path", "--json").json
    assert json.dumps(str(stage.store)) in json.dumps(store)
    del os.environ["SYNAPSE_STORE"]
    assert "SYNAPSE_STORE" in stage("status", code=2).err
    os.environ["SYNAPSE_STORE"] = "a/relative/store"
    assert "is not an absolute path" in stage("status", code=2).err
    os.environ["SYNAPSE_STORE"] = str(stage.store)
