"""`synapse info FILE…`: what local files of weights are, without a project."""

from __future__ import annotations

from pathlib import Path

import pytest
from model_headers import MODULES, autoencoder, flux, kohya, prefixed, unet, write_model
from world import Project

from synapse_sync.cli.local_files import local_file
from synapse_sync.cli.texts import end_text, text_width
from synapse_sync.demo.weights import pickle_bytes


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("./a", True), ("/x/a.safetensors", True), ("~/a", True), ("file:///x/a", True), ("a.safetensors", True),
        ("a.gguf", True), ("a.pth", True), ("a", False), ("a.txt", False), ("civitai:1", False),
        ("hf://o/r/a.safetensors", False), ("https://x.org/a.safetensors", False),
    ],
)  # fmt: skip
def test_which_words_name_a_file(text: str, local: bool) -> None:
    assert (local_file(text) is not None) is local


def test_one_file(project: Project) -> None:
    write_model(project.path / "f.safetensors", flux())
    said = project("info", "./f.safetensors").out
    assert "diffusion model" in said
    assert "Flux.1 dev, Flux.1 Kontext dev or Flux.1 Krea dev" in said
    assert "ComfyUI" in said
    assert sorted(path.name for path in project.path.iterdir()) == ["f.safetensors"], "nothing is written"


def test_one_file_for_machines(project: Project) -> None:
    path = write_model(project.path / "f.safetensors", flux())
    value = project("info", "--json", str(path)).json
    assert (value["kind"], value["family"], value["precision"]) == ("diffusion_model", "Flux.1", "bf16")
    assert value["base"] == ["Flux.1 dev", "Flux.1 Kontext dev", "Flux.1 Krea dev"]
    assert value["evidence"] and value["size"] == path.stat().st_size
    assert (value["type"], value["format"], value["damage"]) == ("diffusion_model", "safetensors", None)


def test_several_files(project: Project) -> None:
    names = ("a.safetensors", "b.safetensors", "c.safetensors", "d.safetensors", "e.safetensors")
    whole = prefixed("model.diffusion_model.", unet(768)) | prefixed("first_stage_model.", autoencoder(4))
    metadata = {"ss_base_model_version": "sd_v1", "ss_network_dim": "8"}
    write_model(project.path / "a.safetensors", whole)
    write_model(project.path / "b.safetensors", kohya(MODULES["SD1.x"]), metadata)
    write_model(project.path / "c.safetensors", autoencoder(4))
    (project.path / "d.safetensors").write_bytes(b"Too many requests")
    write_model(project.path / "e.safetensors", {"x": ("F32", (3,))})
    value = project("info", *names, "--json").json
    kinds = [one["kind"] for one in value["files"]]
    assert kinds == ["checkpoint", "lora", "vae", "unknown", "unknown"]
    assert value["files"][0]["parts"] == ["diffusion_model", "vae"]
    assert value["files"][1]["training"]["ss_network_dim"] == "8"
    assert value["errors"] == []
    table = project("info", *names).out
    assert "checkpoint" in table and "unknown: a text" in table
    shown = project("info", "b.safetensors", "d.safetensors").out
    assert "ss_network_dim" in shown and "unknown: a text" in shown


def test_damage_is_shown(project: Project) -> None:
    path = write_model(project.path / "f.safetensors", autoencoder(4))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)
    value = project("info", "f.safetensors", "--json").json
    assert value["kind"] == "vae" and "the file has" in value["damage"]
    assert "the file has" in project("info", "f.safetensors").out


def test_a_table_shows_damage_below_the_row_of_its_file(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    names = [f"{letter}.safetensors" for letter in "abcde"]
    for name in names:
        path = write_model(project.path / name, autoencoder(4))
    with (project.path / "b.safetensors").open("r+b") as short:
        short.truncate(path.stat().st_size - 1)
    with path.open("ab") as oversized:
        oversized.write(b"more")
    lines = project("info", *names).out.splitlines()
    named = {line.split()[0].rpartition("/")[2]: below for line, below in zip(lines, [*lines[1:], ""], strict=True)}
    assert {name for name in names if "damage" in named[name]} == {"b.safetensors", "e.safetensors"}
    assert "the file has" in named["b.safetensors"] and "the file has" in named["e.safetensors"]


def test_missing_files(project: Project) -> None:
    write_model(project.path / "a.safetensors", autoencoder(4))
    assert "does not exist" in project("info", "./b.safetensors", code=4).err
    said = project("info", "a.safetensors", "b.gguf", code=4)
    assert "vae" in said.out and "b.gguf" in said.err
    value = project("info", "a.safetensors", "b.gguf", "--json", code=4).json
    assert [one["kind"] for one in value["files"]] == ["vae"]
    assert value["errors"][0]["exit_code"] == 4
    assert project("info", "b.gguf", "--json", code=4).json["exit_code"] == 4
    (project.path / "d.safetensors").mkdir()
    assert "is a directory" in project("info", "./d.safetensors", code=2).err


def test_files_and_references_do_not_mix(project: Project) -> None:
    said = project("info", "civitai:1", "./a.safetensors", code=2).err
    assert "civitai:1" in said


def test_what_a_shell_makes_of_a_star_is_a_list_of_files(project: Project) -> None:
    write_model(project.path / "a.safetensors", autoencoder(4))
    (project.path / "real.zip").write_bytes(b"PK\x03\x04" + bytes(60))
    (project.path / "notes").write_text("hello")
    names = ("a.safetensors", "notes", "real.zip")
    value = project("info", *names, "--json").json
    assert [Path(one["file"]).name for one in value["files"]] == [*names]
    assert "a zip archive" in project("info", "real.zip").out
    assert "`gone.zip` names no file here" in project("info", *names, "gone.zip", code=2).err


def test_names_from_outside_move_no_cursor(project: Project) -> None:
    write_model(project.path / "a.safetensors", autoencoder(4), {"modelspec.title": "x\x1b[2Jy"})
    assert "\x1b" not in project("info", "a.safetensors").out


def test_a_table_of_files_keeps_the_ends_of_their_paths(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    folder = project.path / "a-directory-with-a-long-name-that-all-files-have-in-common"
    folder.mkdir()
    for number in range(4):
        write_model(folder / f"model-{number}.safetensors", flux())
    (folder / "model-4.ckpt").write_bytes(pickle_bytes("x"))
    lines = project("info", *map(str, sorted(folder.iterdir()))).out.splitlines()
    for number, line in enumerate(lines[1:]):
        name = line.split("  ")[0]
        assert name.startswith("…") and name.endswith(f"model-{number}.{'ckpt' if number == 4 else 'safetensors'}")
    assert all(text_width(line) <= 80 for line in lines)


@pytest.mark.parametrize(
    ("text", "width", "end"),
    [("abc", 3, "abc"), ("abcd", 3, "…cd"), ("模型文件", 5, "…文件"), ("模型文件", 4, "…件")],
)
def test_the_end_of_a_text(text: str, width: int, end: str) -> None:
    assert end_text(text, width) == end
