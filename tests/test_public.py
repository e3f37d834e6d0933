"""The package's own names: importing it is cheap, and each name of its API is there when it is asked for."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import synapse_sync

ROOT = Path(__file__).parents[1]


def test_importing_the_package_loads_nothing_else() -> None:
    show = (
        "import sys; before = set(sys.modules); import synapse_sync; "
        "print(*sorted(set(sys.modules) - before - {'synapse_sync'}))"
    )
    done = subprocess.run([sys.executable, "-S", "-c", show], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_name_loads_what_it_needs_and_no_more() -> None:
    show = "import sys; from synapse_sync import Reference, Report, NotFound; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", show], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"httpx", "click", "huggingface_hub", "synapse_sync.workspace", "tomlkit"}


@pytest.mark.parametrize("name", synapse_sync.__all__)
def test_every_name_is_there_and_says_what_it_is(name: str) -> None:
    value = getattr(synapse_sync, name)
    assert name in dir(synapse_sync)
    if name == "__version__":
        return
    assert (inspect.isclass(value) and value.__name__ == name.removeprefix("Civitai")) or name == "CivitaiClient"
    assert value.__doc__ and value.__doc__[0].upper() == value.__doc__[0]
    for attribute, member in vars(value).items():
        if attribute.startswith("_"):
            continue
        function = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if inspect.isfunction(function) or isinstance(function, property):
            assert function.__doc__, f"{name}.{attribute} has no docstring"


def test_a_star_import_and_an_unknown_name() -> None:
    names: dict[str, object] = {}
    exec("from synapse_sync import *", names)
    assert set(synapse_sync.__all__) <= set(names)
    with pytest.raises(AttributeError, match="has no attribute 'Workspaces'"):
        synapse_sync.Workspaces  # noqa: B018


def test_the_page_names_the_api() -> None:
    page = (ROOT / "docs/python.md").read_text("utf-8")
    for name in ("Workspace", "Reporter", "Reference", "Report", "CivitaiClient", "NotFound", "AccessDenied"):
        assert name in synapse_sync.__all__ and name in page
    for name in vars(synapse_sync.Workspace):
        if not name.startswith("_"):
            assert name in page, name


@pytest.mark.parametrize(
    "path", sorted((ROOT / "synapse_sync" / "sources" / "civitai").glob("*.py")), ids=lambda path: path.stem
)
def test_every_public_name_of_the_civitai_client_has_a_docstring(path: Path) -> None:
    """Others build on the client: 185 classes, functions and methods at the time of writing."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    tree = ast.parse(path.read_text("utf-8"))
    inner = [member for node in tree.body if isinstance(node, ast.ClassDef) for member in node.body]
    public = [node for node in (*tree.body, *inner) if isinstance(node, kinds) and not node.name.startswith("_")]
    assert [node.name for node in public if not ast.get_docstring(node)] == []
