"""What README, the examples and the decisions say is checked against what the code does."""

from __future__ import annotations

import inspect
import json
import re
import tomllib
from pathlib import Path

import click
import pytest

from synapse_sync import errors
from synapse_sync.cli.commands import VERBS, cli
from synapse_sync.core.link_mode import LinkMode
from synapse_sync.core.manifest.read import parse_manifest
from synapse_sync.core.manifest.schema import manifest_schema
from synapse_sync.layouts import LAYOUTS
from synapse_sync.sites import SITES, variables
from synapse_sync.user import settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
MANIFEST = (ROOT / "docs" / "manifest.md").read_text("utf-8")
COMMANDS = (ROOT / "docs" / "commands.md").read_text("utf-8")
DECISIONS = (ROOT / "docs" / "decisions.md").read_text("utf-8")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text("utf-8")
SETTINGS = (ROOT / "docs" / "settings.md").read_text("utf-8")
EXIT_CODES = (ROOT / "docs" / "exit-codes.md").read_text("utf-8")
PAGES = ("README.md", "CHANGELOG.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))))
#: Everything a reader may copy a command from.
TEXTS = {
    str(path.relative_to(ROOT)): path.read_text("utf-8")
    for path in (
        *(ROOT / name for name in (*PAGES, "CONTRIBUTING.md")),
        *sorted(path for path in (ROOT / "examples").rglob("*") if path.is_file()),
    )
}
_CALL = r"synapse ([a-z]+)((?: [^\n`#(]+)?)"
#: In prose a command is in backticks, or on a line of its own that is code. `synapse.lock` is a file.
_IN_PROSE = re.compile(rf"(?:`|^(?: {{4}}|\$ )(?:[^`\n]*\s)?){_CALL}", re.MULTILINE)
#: In a file of another kind it is also at a prompt, in a comment, or in a RUN or run: line.
_IN_A_FILE = re.compile(rf"(?:^|[`\s:$]){_CALL}", re.MULTILINE)


def commands(text: str, *, prose: bool = False) -> list[tuple[str, str]]:
    """The verbs of `synapse VERB …`, and what follows each."""
    return (_IN_PROSE if prose else _IN_A_FILE).findall(text)


def test_commands_are_told_from_prose() -> None:
    text = "synapse places `synapse sync --yes` x\nsynapse lies\n    RUN y synapse lock --check\n$ synapse status\n"
    assert [verb for verb, _ in commands(text, prose=True)] == ["sync", "lock", "status"]
    assert [verb for verb, _ in commands("run: synapse sync\n# synapse lock")] == ["sync", "lock"]


def command(verb: str) -> click.Command:
    found = cli.get_command(click.Context(cli), verb)
    assert found is not None, f"`synapse {verb}` does not exist"
    return found


def options(verb: str) -> set[str]:
    """Every option of a verb and of its own verbs."""
    top = command(verb)
    parts = [top, *(top.commands.values() if isinstance(top, click.Group) else ())]
    return {
        name for part in parts for parameter in part.params for name in (*parameter.opts, *parameter.secondary_opts)
    }


@pytest.mark.parametrize("name", TEXTS)
def test_every_command_exists_with_its_options(name: str) -> None:
    for verb, rest in commands(TEXTS[name], prose=name.endswith(".md")):
        assert verb in VERBS, f"{name} names `synapse {verb}`"
        for option in re.findall(r"(?<!\S)--[a-z-]+", rest):
            assert option in options(verb), f"{name}: `synapse {verb}` has no {option}"


def test_the_table_of_commands_is_whole_and_right() -> None:
    rows = [line for line in COMMANDS.splitlines() if line.startswith("| `synapse ")]
    named = {verb for row in rows for verb, _ in commands(row)}
    assert named == set(VERBS)
    for row in rows:
        first, _, says = row.strip("| ").partition(" | ")
        verbs = [verb for verb, _ in commands(f"{first} ")]
        for option in re.findall(r"`(--[a-z-]+)", says):
            assert any(option in options(verb) for verb in verbs), f"{verbs}: {option}"
    store = command("store")
    assert isinstance(store, click.Group)
    (says,) = (row for row in rows if "`synapse store`" in row)
    assert set(re.findall(r"`([a-z]+)`", says)) == set(store.commands)
    common = re.search(r"^All take (.+)$", COMMANDS, re.MULTILINE)
    assert common is not None
    for option in re.findall(r"`(-[-\w]+)", common[1]):
        assert all(option in options(verb) for verb in VERBS), option


@pytest.mark.parametrize("page", ["README.md", "docs/manifest.md"])
def test_shown_manifests_are_some(page: str) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", TEXTS[page], re.DOTALL)
    assert blocks
    for block in blocks:
        manifest = parse_manifest(block, page, load=lambda include: "[models]\n")
        assert manifest.models
        assert {target.layout for target in manifest.targets} <= set(LAYOUTS)


def test_exit_codes_are_those_of_the_errors() -> None:
    table = {int(code): text for code, text in re.findall(r"^\| (\d+) \| (.+) \|$", EXIT_CODES, re.MULTILINE)}
    kinds = [
        kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.SynapseError)
    ]
    assert set(table) == {kind.exit_code for kind in kinds} | {0, 1, 130}
    assert errors.Several([errors.NotFound("a"), errors.Offline("b")]).exit_code == 1
    words = {
        errors.InputError: "bad input",
        errors.AccessDenied: "access denied",
        errors.NotFound: "not found",
        errors.NetworkError: "network",
        errors.IntegrityError: "integrity",
        errors.Conflict: "conflict",
        errors.OutOfDate: "out of date",
        errors.StorageError: "local storage",
    }
    for kind, word in words.items():
        assert table[kind.exit_code].startswith(word)


def test_lists_are_whole() -> None:
    layouts = re.search(r"^Layouts: (.+)\.$", MANIFEST, re.MULTILINE)
    assert layouts is not None
    assert re.findall(r"`([\w-]+)`", layouts[1]) == sorted(LAYOUTS)
    modes = re.search(r"^Link modes: (.+)$", MANIFEST, re.MULTILINE)
    assert modes is not None
    assert set(re.findall(r"`([\w-]+)`", modes[1])) == set(LinkMode)


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = {target for text in TEXTS.values() for target in re.findall(r"`make ([a-z-]+)`", text)}
    assert {"demo", "test"} <= named <= targets


def test_names_and_versions_agree_with_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for line in ("pip install", "uv tool install", "pipx install"):
        assert f"    {line} {project['name']}\n" in README
    assert project["requires-python"] == ">=3.11"
    assert "Python 3.11 or later" in README
    assert {"synapse", "synapse-sync"} == set(project["scripts"])
    assert project["license"] in README


def test_environment_variables_are_read() -> None:
    code = "".join(path.read_text("utf-8") for path in (ROOT / "synapse_sync").rglob("*.py"))
    named = {n for text in TEXTS.values() for n in re.findall(r"\b(?:SYNAPSE|CIVITAI|HF)_[A-Z_]+\b", text)}
    assert {"CIVITAI_API_KEY", "HF_TOKEN", "SYNAPSE_STORE"} <= named
    for name in named:
        assert f'"{name}"' in code, name


@pytest.mark.parametrize("name", [*PAGES, "CONTRIBUTING.md"])
def test_paths_lead_somewhere(name: str) -> None:
    for path in re.findall(r"`((?:\w+/)+\w+\.(?:py|json|toml))`", TEXTS[name]):
        assert any((ROOT / above / path).exists() for above in ("", "synapse_sync", "docs")), path


def test_every_page_is_in_the_contents_once() -> None:
    contents = (ROOT / "docs" / "index.md").read_text("utf-8")
    listed = list(re.findall(r"\]\(([\w-]+\.md)\)", contents))
    assert sorted(listed) == sorted(path.name for path in (ROOT / "docs").glob("*.md") if path.name != "index.md")


def test_every_variable_and_every_setting_is_described() -> None:
    code = "".join(path.read_text("utf-8") for path in (ROOT / "synapse_sync").rglob("*.py"))
    options = {str(option.envvar) for verb in VERBS for option in command(verb).params if option.envvar}
    own = set(re.findall(r'"(SYNAPSE_[A-Z_]+)"', code)) - {"SYNAPSE_DEMO_DEBUG"}
    sites = {name for site in SITES for name in variables(site) if name}
    for name in (own | sites) - options:
        assert f"`{name}`" in SETTINGS, name
    table = {
        name
        for row in re.findall(r"^\| (`.+?) \|", SETTINGS, re.MULTILINE)
        for name in re.findall(r"`\[?([\w-]+)\]?`", row)
    }
    keys = re.search(r"^_KEYS: .*?^\}", inspect.getsource(settings), re.MULTILINE | re.DOTALL)
    assert keys is not None
    assert set(re.findall(r'"([\w-]+)":', keys[0])) <= table


def test_the_schema_that_the_page_names_is_the_generated_one() -> None:
    (path,) = re.findall(r"`(synapse_sync/[\w.]+\.json)`", MANIFEST)
    assert json.loads((ROOT / path).read_text("utf-8")) == manifest_schema()


def test_short_enough_to_be_read() -> None:
    assert len(README.splitlines()) <= 90
    assert "shared/" not in "".join(TEXTS.values())
