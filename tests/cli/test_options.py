"""Options that environment variables set: as if they were typed, and reported by the variable's name."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest
from world import Project

from synapse_sync.cli.commands import VERBS, cli
from synapse_sync.cli.main import main
from synapse_sync.cli.options import EnvironmentOption
from synapse_sync.demo import catalogue

ONE = f'[models]\none = "civitai:{catalogue.PORTRAIT}"\n'
RED = "\x1b[31m"


def every_option() -> dict[str, list[tuple[str, EnvironmentOption]]]:
    """The options with a variable by its name, each with its verb."""
    found: dict[str, list[tuple[str, EnvironmentOption]]] = {}
    for verb in VERBS:
        command = cli.get_command(click.Context(cli), verb)
        assert command is not None
        for option in command.params:
            if isinstance(option, EnvironmentOption):
                found.setdefault(str(option.envvar), []).append((verb, option))
    return found


def test_a_variable_has_the_name_of_its_option() -> None:
    found = every_option()
    assert {"SYNAPSE_FROZEN", "SYNAPSE_OFFLINE", "SYNAPSE_LINK_MODE", "SYNAPSE_COLOR"} <= set(found)
    for name, options in found.items():
        for _, option in options:
            assert name == "SYNAPSE_" + option.opts[-1].lstrip("-").replace("-", "_").upper()


def test_no_option_that_agrees_to_a_loss_has_a_variable() -> None:
    """A variable is set once for all commands, and nobody sees it when it counts."""
    assert not every_option().keys() & {"SYNAPSE_YES", "SYNAPSE_FORCE", "SYNAPSE_IRREPLACEABLE", "SYNAPSE_NOW"}


@pytest.mark.parametrize("name", every_option())
def test_the_help_names_the_variable(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for verb, _ in every_option()[name]:
        assert main([verb, "--help"]) == 0
        assert f"[{name}]" in capsys.readouterr().out


SWITCHES = [name for name, options in every_option().items() if options[0][1].is_flag]


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_that_is_neither_on_nor_off_is_refused(project: Project, name: str) -> None:
    project.manifest(ONE)
    os.environ[name] = "maybe"
    said = project("sync", code=2).err
    what = f"error: invalid value for {name}: `maybe` is neither 1 nor 0"
    assert said == f"{what}\n  hint: unset {name}, or set it to 1\n"
    assert project.hub.requests() == []
    assert main(["sync", "--help"]) == 0
    os.environ[name] = "0"
    project("sync", "-n")


@pytest.mark.parametrize(
    ("name", "value", "verb"),
    [("SYNAPSE_LINK_MODE", "hard", "sync"), ("SYNAPSE_LIMIT_RATE", "fast", "sync"),
     ("SYNAPSE_COLOR", "red", "list"),
     ("SYNAPSE_EXCLUDE_NEWER", "soon", "lock"), ("SYNAPSE_EXCLUDE_NEWER", "soon", "outdated")],
)  # fmt: skip
def test_a_value_that_cannot_be_is_reported_by_the_variable(
    project: Project, name: str, value: str, verb: str
) -> None:
    project.manifest(ONE)
    os.environ[name] = value
    said = project(verb, code=2).err
    assert name in said.splitlines()[0] and value in said.splitlines()[0]
    assert "--" not in said.splitlines()[0]


def test_the_option_is_named_where_it_was_typed(project: Project) -> None:
    os.environ["SYNAPSE_LINK_MODE"] = "copy"
    os.environ["SYNAPSE_LIMIT_RATE"] = "1MB"
    assert "'--link-mode'" in project("sync", "--link-mode", "hard", code=2).err
    assert "--limit-rate: `fast`" in project("sync", "--limit-rate", "fast", code=2).err


def test_a_dockerfile_sets_how_files_are_placed(project: Project) -> None:
    project.manifest(ONE)
    project("lock")
    os.environ |= {"SYNAPSE_FROZEN": "1", "SYNAPSE_LINK_MODE": "copy"}
    project("sync")
    (path,) = (project.path / "models/checkpoints").iterdir()
    assert path.stat().st_nlink == 1 and not path.is_symlink()
    assert project("show", "one", "--json").json["models"][0]["places"][0]["how"] == "copy"


def test_the_command_line_goes_before_the_environment(project: Project) -> None:
    project.manifest(ONE)
    os.environ["SYNAPSE_FROZEN"] = "1"
    assert "--frozen" in project("sync", code=8).err
    assert "--locked" in project("sync", "--locked", code=8).err
    os.environ["SYNAPSE_LOCKED"] = "1"
    assert "cannot be combined" in project("sync", code=2).err


@pytest.mark.parametrize("verb", [("search", "x"), ("info", "civitai:1"), ("lock",), ("sync",)])
def test_offline_counts_for_every_verb(project: Project, verb: tuple[str, ...]) -> None:
    project.manifest(ONE)
    os.environ["SYNAPSE_OFFLINE"] = "yes"
    project(*verb, code=5)
    assert project.hub.requests() == []


def test_groups_and_targets(project: Project) -> None:
    project.manifest(
        f"{ONE}[models.two]\nsource = 'civitai:{catalogue.EYES}'\ngroups = ['faces']\n"
        f"[models.three]\nsource = 'civitai:{catalogue.SHARPEN}'\ngroups = ['big']\n"
    )
    os.environ["SYNAPSE_GROUP"] = "faces big"
    project("lock")
    assert [model["name"] for model in project("list", "--json").json["models"]] == ["three", "two"]


# -- colours ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "words", "colored"),
    [
        ({}, (), False),
        ({}, ("--color", "always"), True),
        ({}, ("--color=always",), True),
        ({"SYNAPSE_COLOR": "always"}, (), True),
        ({"SYNAPSE_COLOR": "always"}, ("--color=never",), False),
        ({"FORCE_COLOR": "1"}, (), True),
        ({"FORCE_COLOR": "0"}, (), False),
        ({"FORCE_COLOR": "1"}, ("--color", "never"), False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, (), False),
        ({"NO_COLOR": "1"}, ("--color", "always"), True),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, (), True),
    ],
)
def test_colors(project: Project, variables: dict[str, str], words: tuple[str, ...], colored: bool) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        os.environ.pop(name, None)
    os.environ |= variables
    said = project("show", "nothing", *words, code=2).err
    assert (RED in said) is colored
    assert (RED in project("sync", "--misspelt", *words, code=2).err) is colored, "click's own errors, too"


def test_a_document_has_no_colors(project: Project) -> None:
    project.manifest(ONE)
    assert "\x1b" not in project("list", "--json", "--color", "always").out


def test_completion_survives_a_bad_variable(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    os.environ |= {
        "SYNAPSE_FROZEN": "maybe", "_SYNAPSE_COMPLETE": "bash_complete", "COMP_WORDS": "synapse sync --froz",
        "COMP_CWORD": "2",
    }  # fmt: skip
    assert main([]) == 0
    assert capsys.readouterr() == ("plain,--frozen\n", "")


def test_settings_may_be_offline_too(project: Project) -> None:
    Path(os.environ["SYNAPSE_CONFIG"]).write_text("offline = true\n")
    os.environ["SYNAPSE_OFFLINE"] = "0"
    project.manifest(ONE)
    project("lock", code=5)
