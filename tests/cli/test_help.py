"""The help, as it looks on a terminal of 80 columns."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import click
import pytest

from synapse_sync.cli.commands import VERBS, cli, module_of
from synapse_sync.cli.main import main

STORE_VERBS = ("path", "size", "gc", "verify")
ALL = [[verb] for verb in VERBS] + [["store", verb] for verb in STORE_VERBS]


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 0
    said = capsys.readouterr()
    assert said.err == ""
    return said.out


def test_the_help_lists_every_verb_once(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, "--help").splitlines()
    listed = [line.split()[0] for line in lines if line.startswith("  ") and line.split()[0] in VERBS]
    assert listed == list(VERBS)
    assert max(map(len, lines)) <= 80
    for section in {section for section, _ in VERBS.values()}:
        assert f"{section}:" in lines


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_verb_has_a_help_that_fits(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, *words, "--help")
    assert text.startswith(f"Usage: synapse {' '.join(words)} ")
    assert max(map(len, text.splitlines())) <= 80
    assert "..." not in text.partition("\n\n")[2], "nothing is cut short"
    for option in ("-C, --directory DIR", "--json", "--quiet", "--verbose", "--debug"):
        assert option in text
    assert text == shown(capsys, *words, "-h")


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_of_the_list_is_a_command_of_that_name(verb: str) -> None:
    command = cli.get_command(click.Context(cli), verb)
    assert command is not None and command.name == verb
    assert command.get_short_help_str(limit=200) == VERBS[verb][1], "shells show it when they complete a verb"


def test_a_verb_that_is_a_word_of_python_has_a_file_that_can_be_imported() -> None:
    assert module_of("import") == "synapse_sync.cli.import_"
    assert module_of("sync") == "synapse_sync.cli.sync"


@pytest.mark.parametrize("words", [[], ["store"]])
def test_without_a_command_the_help_is_shown(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("Usage: synapse ")


def test_the_package_can_be_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["synapse", "--version"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_module("synapse_sync", run_name="__main__")
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("synapse ")


def test_a_reader_that_has_gone_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "synapse.toml").write_text("[models]\n")
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "synapse_sync", "store", "path"],
            stdout=write, stderr=subprocess.PIPE, cwd=tmp_path, check=False, text=True,
        )  # fmt: skip
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("words", [["-C", "{}", "list"], ["list", "-C", "{}"], ["-qC", "{}", "list"]])
def test_common_options_stand_before_or_after_the_verb(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "synapse.toml").write_text('[models]\na = "civitai:1"\n')
    assert main([word.format(tmp_path) for word in words]) == 0
    assert capsys.readouterr().out == "a  not locked yet\n"
