"""The house keeps its floors: imports only ever point downwards."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import synapse_sync
from synapse_sync.core.link_mode import LinkMode

PACKAGE = Path(synapse_sync.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

#: What each floor may import of our own, besides itself.
BELOW = {
    "errors": set(),
    "core": {"errors"},
    "net": {"errors"},
    "user": {"net", "core", "errors"},
    "layouts": {"core", "errors"},
    "store": {"core", "errors"},
    "sources": {"core", "net", "errors"},
    "suppliers": {"core", "errors"},
    "transfer": {"sources", "store", "core", "net", "errors"},
    "engine": {"transfer", "suppliers", "sources", "layouts", "store", "user", "core", "net", "errors"},
    "connections": {"sources", "core", "net", "user", "errors"},
    "workspace": {"connections", "engine", "transfer", "suppliers", "sources", "layouts", "store", "core", "net",
                  "user", "errors"},
    "demo": {"errors"},
    "cli": {"workspace", "connections", "engine", "transfer", "suppliers", "sources", "layouts", "store", "core",
            "net", "user", "errors", "demo"},
}  # fmt: skip
#: Who alone may import a library.
ONLY = {
    "httpx": {"net/api.py"},
    "urllib3": {"net/wire.py"},
    "huggingface_hub": {"sources/huggingface/client.py", "sources/huggingface/connection.py"},
    "certifi": {"net/trust.py"},
    "keyring": {"user/keychain.py"},
    "tomlkit": {"core/manifest/edit.py"},
    "rich": {"cli/progress.py"},
    "filelock": {"store/locks.py"},
    "platformdirs": {"user/places.py"},
}
#: What a pure floor does not touch. `pathlib` joins names in one place, `core/names.py`, and opens nothing there.
IMPURE = {"os", "pathlib", "socket", "time", "random", "subprocess", "shutil", "tempfile", "click", "io"}


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """The modules that a file imports, and whether it does so as soon as it is imported itself."""
    tree = ast.parse(path.read_text("utf-8"))
    late = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or _is_type_checking(node)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node not in late
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                name = f"{node.module}.{alias.name}" if node.module == "synapse_sync" else node.module
                yield name, node not in late


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def floor(module: str) -> str:
    """`synapse_sync.engine.lock` stands on `engine`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    here = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if here in ("__init__", "__main__"):
        return
    for module, _ in imports(path):
        if module.startswith("synapse_sync.") and floor(module) not in ("__version__", here):
            assert floor(module) in BELOW[here], f"{here} must not import {module}"


def test_only_the_command_line_knows_the_demo() -> None:
    users = {
        str(path.relative_to(PACKAGE))
        for path in MODULES
        for module, _ in imports(path)
        if module.startswith("synapse_sync.demo") and path.relative_to(PACKAGE).parts[0] != "demo"
    }
    assert users == {"cli/demo.py"}


@pytest.mark.parametrize("library", ONLY)
def test_a_library_has_one_door(library: str) -> None:
    users = {
        str(path.relative_to(PACKAGE))
        for path in MODULES
        for module, _ in imports(path)
        if module.split(".")[0] == library
    }
    assert users <= ONLY[library]


def test_heavy_libraries_are_imported_late() -> None:
    for path in MODULES:
        for module, early in imports(path):
            if module.split(".")[0] in {"httpx", "urllib3", "huggingface_hub", "rich", "keyring", "certifi"}:
                assert not early, f"{path.name} imports {module} at once"


def test_core_is_pure() -> None:
    for path in (PACKAGE / "core").rglob("*.py"):
        used = {module.split(".")[0] for module, _ in imports(path)}
        allowed = {"pathlib"} if path.name == "names.py" else set()
        assert not used & IMPURE - allowed, f"core/{path.name} imports {used & IMPURE}"
        calls = {node.func.id for node in ast.walk(ast.parse(path.read_text("utf-8")))
                 if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}  # fmt: skip
        assert "open" not in calls


def test_a_layout_and_a_source_are_named_in_their_register_only() -> None:
    """Engine and core have no branch for a site or a UI."""
    sites = {"civitai", "huggingface"}
    for name in ("engine", "core/plan.py", "core/lockfile.py", "layouts/arrange.py"):
        place = PACKAGE / name
        for path in [place] if place.is_file() else place.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Compare):
                    words = {c.value for c in ast.walk(node) if isinstance(c, ast.Constant)}
                    assert not words & sites, f"{path.name}:{node.lineno} has a branch for a site"


def test_a_link_mode_is_named_in_two_files_only() -> None:
    """Another mode is a member of `LinkMode` and a function in `store/links.py`; the others ask the member."""
    homes = {"core/link_mode.py", "store/links.py"}
    modes = {mode.name for mode in LinkMode if mode is not LinkMode.AUTO}
    for path in MODULES:
        if str(path.relative_to(PACKAGE)) in homes:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Compare):
                asked = {inner.attr for inner in ast.walk(node) if isinstance(inner, ast.Attribute)}
                assert not asked & modes, f"{path.name}:{node.lineno} has a branch for a link mode"
            if isinstance(node, ast.Tuple | ast.List | ast.Set | ast.Dict):
                words = {inner.value for inner in ast.walk(node) if isinstance(inner, ast.Constant)}
                assert not {"hardlink", "clone"} <= words, f"{path.name}:{node.lineno} lists the link modes again"
