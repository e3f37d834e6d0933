"""What the pages show works: commands are run against one hub, manifests are read, links lead somewhere."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from jsonschema import Draft202012Validator
from shown import Block, Shell, blocks, fits

from synapse_sync.cli.commands import VERBS
from synapse_sync.core.manifest.read import parse_manifest
from synapse_sync.core.manifest.schema import KEYS, manifest_schema
from synapse_sync.core.toml import read_toml
from synapse_sync.demo.catalogue import populate
from synapse_sync.demo.hub import Hub
from synapse_sync.demo.weights import safetensors_bytes
from synapse_sync.layouts import LAYOUTS
from synapse_sync.user.settings import load_settings

ROOT = Path(__file__).parents[1]
RENEW = "RENEW_SHOWN" in os.environ
PAGES = {
    str(path.relative_to(ROOT)): path
    for path in (
        ROOT / "README.md",
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted((ROOT / "examples").rglob("*.md")),
    )
}
TEXTS = {name: path.read_text("utf-8") for name, path in PAGES.items()}
BLOCKS = {name: blocks(text) for name, text in TEXTS.items()}
RUN = [
    name
    for name, found in BLOCKS.items()
    if any(block.language == "console" and block.reason is None for block in found)
]
#: Programs that pages use and that some machines lack.
TOOLS = ("git", "sha256sum", "tar")
#: At most this many blocks are not run; each says why.
NOT_RUN = 14

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the pages show the shell of POSIX")


@pytest.fixture(scope="module")
def shown_hub() -> Iterator[Hub]:
    """One hub for all pages: no page changes it."""
    with Hub() as hub:
        populate(hub)
        hub.huggingface.add_repo(
            "black-forest-labs/FLUX.1-dev",
            {"flux1-dev.safetensors": safetensors_bytes("flux", size=9_000)},
            gated="auto",
        )
        yield hub
    assert hub.crashes == []


@pytest.fixture
def shell(tmp_path: Path, shown_hub: Hub) -> Iterator[Shell]:
    with contextlib.chdir(tmp_path):  # back at the end
        yield Shell(tmp_path, shown_hub)


@pytest.mark.parametrize("name", RUN)
def test_the_commands_of_a_page_do_what_it_shows(name: str, shell: Shell) -> None:
    consoles = [block for block in BLOCKS[name] if block.language == "console" and block.reason is None]
    commands = " ".join(line for block in consoles for line, _ in block.steps())
    if lacking := [tool for tool in TOOLS if re.search(rf"\b{tool}\b", commands) and shutil.which(tool) is None]:
        pytest.skip(f"the page uses {', '.join(lacking)}")
    shell.scene("ui")
    text = TEXTS[name]
    wrong = []
    for block in BLOCKS[name]:
        if block.language == "scene":
            shell.scene(block.words[0])
        elif block.file is not None:
            shell.put(block.file, block.text.encode())
        elif block.language == "console" and block.reason is None:
            for found, better in _differences(block, shell):
                wrong.append(f"{name}, line {block.line}: {found}")
                text = text.replace(block.text, better)
    if wrong and RENEW:
        PAGES[name].write_text(text, "utf-8")
    assert not wrong, "\n\n".join(wrong)


def _differences(block: Block, shell: Shell) -> Iterator[tuple[str, str]]:
    """Run a block; yield what differs from the page, and the text of the block as it should be."""
    steps = block.steps()
    lines, wrong = [], []
    for at, (command, shown) in enumerate(steps):
        printed = shell.run(command)
        code = shell.code
        if code and (at + 1 == len(steps) or steps[at + 1][0] != "echo $?"):
            wrong.append(f"`{command}` ended with {code}:\n{printed}")
        if shown and not fits(shown, printed):
            wrong.append(f"`{command}` printed:\n{printed}")
            shown = printed.splitlines()
        lines += [f"$ {command}", *shown]
    if wrong:
        yield "\n".join(wrong), "\n".join(lines) + "\n"


def test_what_is_not_run_says_why_and_is_little() -> None:
    left = [(name, block) for name, found in BLOCKS.items() for block in found if block.reason is not None]
    assert all(block.reason for _, block in left), left
    assert len(left) <= NOT_RUN
    run = sum(len(block.steps()) for found in BLOCKS.values() for block in found if block.language == "console")
    assert run > 4 * sum(len(block.steps()) for _, block in left)


@pytest.mark.parametrize(
    "name", [name for name, found in BLOCKS.items() if any(b.language == "toml" for b in found)]
)
def test_the_manifests_of_a_page_are_read_and_valid(name: str) -> None:
    schema = Draft202012Validator(manifest_schema())
    for block in BLOCKS[name]:
        if block.language != "toml":
            continue
        if "config.toml" in block.words:
            path = Path(os.environ["SYNAPSE_CONFIG"])
            path.write_text(block.text, "utf-8")
            load_settings(os.environ, path.parent)
            continue
        parse_manifest(block.text, name, layouts=LAYOUTS, load=lambda include: "[models]\n")
        schema.validate(read_toml(block.text))


@pytest.mark.parametrize("name", TEXTS)
def test_a_command_on_a_line_of_its_own_is_in_a_console(name: str) -> None:
    """Only a block of that language is run."""
    bare = re.sub(r"^```.*?^```$", "", TEXTS[name], flags=re.MULTILINE | re.DOTALL)
    assert re.findall(r"^ {4,}(?:\$ )?synapse .*", bare, re.MULTILINE) == []
    for block in BLOCKS[name]:
        if block.language not in ("console", "scene", "python", "yaml", "dockerfile"):
            assert not re.search(r"^(?:\$ )?synapse ", block.text, re.MULTILINE), block


@pytest.mark.parametrize("name", TEXTS)
def test_the_other_blocks_are_what_they_say(name: str) -> None:
    for block in BLOCKS[name]:
        assert block.language, f"{name}, line {block.line}: the block names no language"
        if block.language == "python":
            compile(block.text, f"{name}:{block.line}", "exec")
        elif block.language == "json":
            json.loads(block.text)


# -- links, as GitHub follows them ---------------------------------------------------------------------


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    bare = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", bare, re.MULTILINE)
    }


@pytest.mark.parametrize("name", TEXTS)
def test_every_link_leads_somewhere(name: str) -> None:
    bare = re.sub(r"^```.*?^```$|`[^`\n]*`", "", TEXTS[name], flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)", bare) + re.findall(r'(?:src|srcset|href)="([^"]+)"', bare)
    for link in links:
        path, _, anchor = link.partition("#")
        if "://" in path:
            assert path.startswith("https://"), link
            continue
        place = (PAGES[name].parent / path).resolve() if path else PAGES[name]
        assert place.exists(), f"{name}: {link}"
        if anchor:
            assert anchor in anchors(place.read_text("utf-8")), f"{name}: {link}"


def test_shown_output_may_be_shortened() -> None:
    assert fits(["a", "b"], "a\nb\n") and not fits(["a"], "a\nb\n")
    assert fits(["a", "…"], "a\nb\nc\n") and fits(["…", "c"], "a\nb\nc\n") and not fits(["…", "b"], "a\nb\nc\n")
    assert fits(["a … c"], "a b c\n") and not fits(["a … c"], "a b d\n")
    assert not fits(["a"], "")


def test_blocks_are_found() -> None:
    text = (
        "x\n```console not-run docker\n$ a \\\n> b\nout\n$ c\n```\n<!-- scene: models -->\n```toml\n[models]\n```\n"
    )
    first, scene, last = blocks(text)
    assert first.reason == "docker" and first.steps() == [("a b", ["out"]), ("c", [])]
    assert (scene.language, scene.words) == ("scene", ("models",)) and last.text == "[models]\n"


# -- parts of the pages that come from the code --------------------------------------------------------


@pytest.fixture(scope="module")
def generated() -> ModuleType:
    """`docs/generated.py`, which Sphinx's build imports."""
    spec = importlib.util.spec_from_file_location("generated", ROOT / "docs" / "generated.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_part_is_on_one_page_and_every_mark_has_a_part(generated: ModuleType) -> None:
    marks = [mark for text in TEXTS.values() for mark in generated.MARK.findall(text)]
    assert sorted(marks) == sorted(generated.parts())


def test_generated_tables_are_whole(generated: ModuleType) -> None:
    commands = generated.commands()
    for verb in VERBS:
        assert f"### `synapse {verb}`" in commands
    assert "| `--frozen` |" in commands and "`SYNAPSE_FROZEN`" in commands and "#### `synapse store gc`" in commands
    keys = generated.manifest_keys()
    for table in KEYS.values():
        assert all(f"| `{key}` |" in keys for key in table)
    folders = generated.folders()
    assert all(f"(`{name}`)" in folders for name in LAYOUTS)
    assert "| `lora` | `models/Lora` | `models/LyCORIS` |" in folders
    assert "| `synapse sync --json` | [SyncDocument](#syncdocument) |" in generated.documents()
    for part in (commands, keys, folders, generated.documents()):
        for table in re.findall(r"(?:^\|.*\|\n?)+", part, re.MULTILINE):
            widths = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
            assert len(widths) == 1, table
