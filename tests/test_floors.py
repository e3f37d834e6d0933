"""The house keeps its floors: imports point downwards, no two files import each other, and pure rooms are pure."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

import synapse_sync
from synapse_sync.core.link_mode import LinkMode
from synapse_sync.sites import SITES, variables

PACKAGE = Path(synapse_sync.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

#: The floors, from the roof down. A room imports lower floors only, and of its own floor what `BELOW` names.
FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"cli", "api"}),
    frozenset({"workspace", "demo"}),
    frozenset({"sharing"}),
    frozenset({"questions"}),
    frozenset({"machine"}),
    frozenset({"wiring"}),
    frozenset({"connections"}),
    frozenset({"engine"}),
    frozenset({"project"}),
    frozenset({"transfer", "suppliers", "layouts", "interop", "gallery", "store"}),
    frozenset({"sources"}),
    frozenset({"core", "net", "user"}),
    frozenset({"sites"}),
    frozenset({"threads"}),
    frozenset({"errors", "version", "blocks"}),
)
#: Which rooms of the package each room may import, besides itself: never more than its floor allows.
BELOW: dict[str, set[str]] = {
    "errors": set(),
    "version": set(),
    "blocks": set(),
    "threads": {"errors"},
    "sites": {"errors"},
    "core": {"sites", "errors"},
    "net": {"sites", "threads", "blocks", "errors"},
    "user": {"net", "core", "sites", "errors"},
    "layouts": {"core", "errors"},
    "interop": {"core", "sites", "errors"},
    "gallery": {"core", "errors"},
    "store": {"core", "user", "threads", "blocks", "errors"},
    "sources": {"core", "net", "sites", "blocks", "errors"},
    "suppliers": {"transfer", "store", "sources", "core", "net", "sites", "threads", "blocks", "errors"},
    "transfer": {"sources", "store", "core", "net", "sites", "threads", "blocks", "errors"},
    "project": {"layouts", "store", "core", "user", "errors"},
    "engine": {"project", "transfer", "suppliers", "sources", "layouts", "interop", "gallery", "store", "user",
               "core", "net", "sites", "blocks", "errors"},
    "connections": {"sources", "core", "net", "user", "sites", "errors"},
    "wiring": {"connections", "engine", "project", "transfer", "suppliers", "sources", "layouts", "interop",
               "gallery", "store", "core", "net", "user", "sites", "errors"},
    "machine": {"wiring", "connections", "engine", "project", "transfer", "suppliers", "sources", "layouts",
                "interop", "gallery", "store", "core", "net", "user", "sites", "errors"},
    "questions": {"machine", "wiring", "connections", "engine", "project", "transfer", "suppliers", "sources",
                  "layouts", "interop", "gallery", "store", "core", "net", "user", "sites", "errors"},
    "sharing": {"questions", "machine", "wiring", "connections", "engine", "project", "transfer", "suppliers",
                "sources", "layouts", "interop", "gallery", "store", "core", "net", "user", "sites", "errors"},
    "workspace": {"sharing", "questions", "machine", "wiring", "connections", "engine", "project", "transfer",
                  "suppliers", "sources", "layouts", "interop", "gallery", "store", "core", "net", "user", "sites",
                  "errors"},
    "demo": {"errors"},
    "api": {"workspace", "connections", "engine", "project", "transfer", "suppliers", "sources", "layouts",
            "interop", "gallery", "store", "core", "net", "user", "sites", "errors"},
    "cli": {"workspace", "connections", "engine", "project", "transfer", "suppliers", "sources", "layouts",
            "interop", "gallery", "store", "core", "net", "user", "sites", "threads", "errors", "demo"},
}  # fmt: skip
#: The files that alone may import a library.
ONLY = {
    "httpx": {"net/api.py"},
    "urllib3": {"net/wire.py", "net/pools.py", "net/stream.py", "net/failures.py"},
    "huggingface_hub": {"sources/huggingface/client.py", "sources/huggingface/connection.py"},
    "certifi": {"net/trust.py"},
    "cyclonedx": {"interop/writers/cyclonedx.py"},
    "packageurl": {"interop/writers/cyclonedx.py"},
    "keyring": {"user/keychain.py"},
    "PIL": {"engine/thumbnails.py"},
    "tomlkit": {"core/manifest/edit.py"},
    "rich": {"cli/progress.py"},
    "filelock": {"store/locks.py"},
    "platformdirs": {"user/places.py"},
    "yaml": {"interop/readers/yaml_text.py"},
    "obstore": {"suppliers/remote/objects.py"},
    "distributed": {"engine/cluster.py"},
}
#: The rooms that are pure from end to end: values in, values out.
PURE_ROOMS = {"core", "layouts", "interop", "gallery", "sites", "errors"}
#: The modules that a pure file does not import.
IMPURE = {
    "builtins", "click", "concurrent", "fcntl", "getpass", "glob", "httpx", "io", "locale", "logging",
    "multiprocessing", "os", "pathlib", "platform", "random", "secrets", "select", "shutil", "signal", "socket",
    "sqlite3", "ssl", "subprocess", "sys", "tempfile", "threading", "time", "urllib3", "uuid",
}  # fmt: skip
#: The names that a pure file does not call: files, the terminal, the clock.
IMPURE_CALLS = {"open", "input", "print", "now", "today", "utcnow"}
#: What a pure file may use all the same. `core/names.py` joins a root and a safe name, and opens nothing.
ALLOWED = {"core/names.py": {"pathlib"}, "core/frozen.py": {"sys"}}  # to find the module of a class


@cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text("utf-8"))


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """Every node of the syntax tree of a file: to walk a tree takes much longer than to look at its nodes."""
    return tuple(ast.walk(parsed(path)))


@cache
def imports(path: Path) -> tuple[tuple[str, bool], ...]:
    """Each name that a file imports, as `imported` says it."""
    return tuple(imported(parsed(path)))


def imported(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Each name that a tree imports, with its module, and whether that happens as soon as the file is imported."""
    todo: list[tuple[ast.AST, bool]] = [(tree, True)]
    while todo:
        node, early = todo.pop()
        if isinstance(node, ast.Import):
            yield from ((alias.name, early) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written with the whole name of the module"
            yield from ((f"{node.module}.{alias.name}", early) for alias in node.names)
        early = early and not (isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or _is_type_checking(node))
        todo += [(inner, early) for inner in _statements_in(node)]


def _statements_in(node: ast.AST) -> Iterator[ast.AST]:
    """The blocks of a statement: an import is in no expression, and those are most of a tree."""
    for name in ("body", "orelse", "handlers", "finalbody", "cases"):
        inner = getattr(node, name, None)
        if isinstance(inner, list):  # the parts of a lambda and of `x if y else z` are expressions
            yield from inner


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def module_name(path: Path, package: Path = PACKAGE) -> str:
    """`engine/lock.py` is `engine.lock`, and `layouts/__init__.py` is `layouts`."""
    parts = path.relative_to(package).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def graph(package: Path = PACKAGE) -> dict[str, set[str]]:
    """For each file of a package the files that it names in an import: at once, late, or for types alone."""
    files = {module_name(path, package): path for path in sorted(package.rglob("*.py"))}
    edges: dict[str, set[str]] = {}
    for name, path in files.items():
        edges[name] = set()
        for target, _ in imports(path):
            inside = target.removeprefix("synapse_sync.")
            if inside != target:
                found = inside if inside in files else inside.rpartition(".")[0]
                assert found in files, f"{name} imports {target}, which is no file"
                # `from package import file` names the package's own `__init__.py`, too: that of the whole package
                # (an empty name) imports all that is public, so an import from it closes a circle.
                edges[name] |= ({found, inside.rpartition(".")[0]} & files.keys()) - {name}
    return edges


def circles(edges: dict[str, set[str]]) -> set[frozenset[str]]:
    """The sets of files each of which reaches every other one by imports."""
    reached: dict[str, set[str]] = {}
    for start in edges:
        seen: set[str] = set()
        todo = [start]
        while todo:
            for name in edges[todo.pop()] - seen:
                seen.add(name)
                todo.append(name)
        reached[start] = seen
    return {
        frozenset(other for other in seen if name in reached[other])
        for name, seen in reached.items()
        if name in seen
    }


def room(module: str) -> str:
    """`synapse_sync.engine.lock` and `engine.lock` belong to the room `engine`."""
    return module.removeprefix("synapse_sync.").split(".")[0]


def file_id(path: Path) -> str:
    """A file of the package by its path in it."""
    return path.relative_to(PACKAGE).as_posix()


def pure_parts(path: Path) -> list[ast.AST]:
    """The parts of a file that must be pure: all of it in a pure room, or whatever calls itself pure."""
    tree = parsed(path)
    if room(module_name(path)) in PURE_ROOMS or _is_said_to_be_pure(tree):
        return [tree]
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [node for node in ast.walk(tree) if isinstance(node, kinds) and _is_said_to_be_pure(node)]


def _is_said_to_be_pure(node: ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    return re.search(r"\b[Pp]ure(ly)?\b", ast.get_docstring(node) or "") is not None


def impurities(part: ast.AST, allowed: set[str]) -> set[str]:
    """Whatever a part of a file uses that a pure one must not use."""
    found = {name.split(".")[0] for name, _ in imported(part)} & IMPURE - allowed
    found |= {
        name for name, _ in imported(part) if room(name) in set(BELOW) - PURE_ROOMS and "synapse_sync" in name
    }
    for node in ast.walk(part):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
            found |= {name} & IMPURE_CALLS
        elif isinstance(node, ast.Name) and isinstance(part, ast.FunctionDef | ast.ClassDef):
            found |= {node.id} & IMPURE - allowed
    return found


def test_imports_point_down() -> None:
    wrong = []
    for path in MODULES:
        here = room(module_name(path))
        if here in ("", "__main__"):  # they start the command, and nobody imports them
            continue
        assert here in BELOW, f"{here} is a room without a floor"
        for name, _ in imports(path):
            if name.startswith("synapse_sync.") and room(name) not in BELOW[here] | {here, "version"}:
                wrong.append(f"{file_id(path)} must not import {name}")
    assert not wrong, "\n".join(wrong)


def test_every_room_has_one_floor_and_looks_down() -> None:
    """The table above agrees with the floors, so no two rooms import each other."""
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    assert set(floor) == set(BELOW)
    assert all(not above & below for above, below in pairwise(FLOORS))
    for name, rooms in BELOW.items():
        assert all(floor[other] >= floor[name] for other in rooms), name
    assert circles({name: set(rooms) for name, rooms in BELOW.items()}) == set()


def test_no_two_files_import_each_other() -> None:
    """Imports for types alone and late imports count: a file can be read without those that use it."""
    assert circles(graph()) == set()


def test_a_circle_would_be_seen(tmp_path: Path) -> None:
    """Three files in a circle, by an import for types, a late one and an ordinary one; the fourth is outside.

    And one file that asks the package itself, which names that file among what is public.
    """
    sources = {
        "a.py": "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from synapse_sync.b import thing\n",
        "b.py": "def late():\n    from synapse_sync.c import other\n",
        "c.py": "from synapse_sync import a, d\n",
        "d.py": "import os\n",
        "__init__.py": "VERSION = 1\nif TYPE_CHECKING:\n    from synapse_sync.e import thing\n",
        "e.py": "from synapse_sync import VERSION\n",
    }
    for name, text in sources.items():
        (tmp_path / name).write_text(text)
    assert circles(graph(tmp_path)) == {frozenset("abc"), frozenset({"", "e"})}


def test_only_the_command_line_knows_the_demo() -> None:
    users = {name for name, targets in graph().items() if any(room(t) == "demo" for t in targets)}
    assert {name for name in users if room(name) != "demo"} == {"cli.demo"}


@pytest.mark.parametrize("library", ONLY)
def test_a_library_has_one_door(library: str) -> None:
    users = {file_id(path) for path in MODULES for name, _ in imports(path) if name.split(".")[0] == library}
    assert users <= ONLY[library]


def test_heavy_libraries_are_imported_late() -> None:
    heavy = {
        "httpx",
        "urllib3",
        "huggingface_hub",
        "rich",
        "keyring",
        "certifi",
        "tomlkit",
        "cyclonedx",
        "packageurl",
        "yaml",
        "obstore",
        "distributed",
    }
    for path in MODULES:
        for name, early in imports(path):
            assert not (early and name.split(".")[0] in heavy), f"{file_id(path)} imports {name} at once"


def test_pure_parts_are_pure() -> None:
    wrong = [
        f"{file_id(path)}:{getattr(part, 'lineno', 1)} uses {sorted(found)}"
        for path in MODULES
        for part in pure_parts(path)
        if (found := impurities(part, ALLOWED.get(file_id(path), set())))
    ]
    assert not wrong, "\n".join(wrong)


def test_core_and_layouts_are_among_the_pure() -> None:
    assert {room(module_name(path)) for path in MODULES if pure_parts(path)} >= {"core", "layouts", "errors"}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('"""A pure module."""\nimport os\n', {"os"}),
        ('"""A pure module."""\ndef f(p):\n    from pathlib import Path\n    return Path(p).open()\n',
         {"pathlib", "open"}),
        ("def f():\n    '''Pure: no clock.'''\n    return datetime.now(UTC)\n", {"now"}),
        ("import os\ndef f():\n    '''A pure function.'''\n    return os.environ\n", {"os"}),
        ('"""A pure module."""\nfrom synapse_sync.net.api import Api\n', {"synapse_sync.net.api.Api"}),
    ],
)  # fmt: skip
def test_an_impure_part_would_be_seen(source: str, found: set[str], tmp_path: Path) -> None:
    tree = ast.parse(textwrap.dedent(source))
    parts = [n for n in ast.walk(tree) if isinstance(n, ast.Module | ast.FunctionDef) and _is_said_to_be_pure(n)]
    assert [impurities(part, set()) for part in parts] == [found]


def test_no_command_reaches_around_the_workspace() -> None:
    """Commands use its methods: not its parts, and nothing of it is changed but who draws progress."""
    wrong = []
    for path in (PACKAGE / "cli").glob("*.py"):
        for node in nodes(path):
            if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)):
                continue
            if node.value.id != "workspace":
                continue
            changed = isinstance(node.ctx, ast.Store) and node.attr != "reporter"
            if changed or node.attr in ("connections", "sources", "project") or node.attr.startswith("_"):
                wrong.append(f"{file_id(path)}:{node.lineno} uses workspace.{node.attr}")
    assert not wrong, "\n".join(wrong)


def test_a_layout_and_a_source_are_named_in_their_register_only() -> None:
    """Engine and core have no branch for a site or a UI."""
    sites = {"civitai", "huggingface"}
    for name in ("engine", "core/plan.py", "core/lockfile.py", "layouts/arrange.py"):
        place = PACKAGE / name
        for path in [place] if place.is_file() else place.rglob("*.py"):
            for node in nodes(path):
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
        for node in nodes(path):
            if isinstance(node, ast.Compare):
                asked = {inner.attr for inner in ast.walk(node) if isinstance(inner, ast.Attribute)}
                assert not asked & modes, f"{path.name}:{node.lineno} has a branch for a link mode"
            if isinstance(node, ast.Tuple | ast.List | ast.Set | ast.Dict):
                words = {inner.value for inner in ast.walk(node) if isinstance(inner, ast.Constant)}
                assert not {"hardlink", "clone"} <= words, f"{path.name}:{node.lineno} lists the link modes again"


def test_dates_are_read_in_one_place() -> None:
    """A day, a zone and a placeholder mean the same everywhere; the demo hub plays the sites and is its own."""
    readers = {
        str(path.relative_to(PACKAGE))
        for path in MODULES
        for node in nodes(path)
        if isinstance(node, ast.Attribute) and node.attr in ("fromisoformat", "strptime")
    }
    assert {place for place in readers if not place.startswith("demo/")} == {"core/instant.py"}


def test_a_host_and_a_variable_of_a_site_are_named_in_its_row_only() -> None:
    """Or in the site's own package; the demo is a site itself. Docstrings may name examples."""
    wrong = []
    for path in MODULES:
        room, *rest = path.relative_to(PACKAGE).with_suffix("").parts
        if room in ("sites", "demo"):
            continue
        others = [site for site in SITES if room != "sources" or rest[0] != site.name]
        names = {name for site in others for name in (*variables(site), *site.hosts)}
        prose = {id(node.value) for node in nodes(path) if isinstance(node, ast.Expr)}
        for node in nodes(path):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
                found = sorted(name for name in names if _names(node.value, name))
                wrong += [f"{file_id(path)}:{node.lineno} names {found}"] if found else []
    assert not wrong, "\n".join(wrong)


def _names(text: str, name: str) -> bool:
    """As a whole word: `raw.githubusercontent.com` is no host of a row, `HF_TOKEN_PATH` is not `HF_TOKEN`."""
    return name in text and re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", text) is not None


def test_policy_has_one_home() -> None:
    """Which formats are pickles or documents, and which scans are bad, is asked of `core/policy.py` alone."""
    askers = {
        str(path.relative_to(PACKAGE))
        for path in MODULES
        for node in nodes(path)
        if (isinstance(node, ast.Name) and node.id in ("PICKLE_FORMATS", "DOCUMENT_FORMATS"))
        or (isinstance(node, ast.Compare) and any(_is_word(inner, "danger") for inner in ast.walk(node)))
    }
    assert askers == {"core/artifact.py", "core/policy.py"}


def test_errors_are_asked_not_searched() -> None:
    """The command line decides by an error's class and fields: its words are for people, and change."""
    for path in (PACKAGE / "cli").rglob("*.py"):
        for node in nodes(path):
            if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], ast.In | ast.NotIn):
                continue
            fields = {inner.attr for inner in ast.walk(node.comparators[0]) if isinstance(inner, ast.Attribute)}
            asked_for_subject = isinstance(node.left, ast.Attribute) and node.left.attr == "subject"
            assert asked_for_subject or not fields & {"message", "hint"}, f"{path.name}:{node.lineno}"


def _is_word(node: ast.AST, word: str) -> bool:
    return isinstance(node, ast.Constant) and node.value == word


#: Where text from outside becomes references; everywhere else they are values already.
DOORS = {
    "api/arguments.py",
    "api/civitai.py",
    "core/lockfile.py",
    "core/lockfile_blocks.py",
    "core/manifest/alike.py",
    "core/manifest/include.py",
    "core/manifest/read.py",
    "cli/add.py",
    "cli/local_files.py",
    "cli/images.py",
    "engine/describe.py",  # its text is an argument of the command line: a reference, or a name in the manifest
    "interop/readers/listed.py",  # locations in other programs' files
    "engine/heal.py",  # templates of the settings are filled in with a digest there
    "sources/civitai/files.py",
    "sources/github.py",
    "sources/huggingface/describe.py",
    "sources/modelscope.py",
}


def test_references_are_read_at_doors_only() -> None:
    readers = {
        str(path.relative_to(PACKAGE))
        for path in MODULES
        for node in nodes(path)
        if isinstance(node, ast.Attribute) and node.attr in ("parse", "parse_new", "verbatim")
        and isinstance(node.value, ast.Name) and node.value.id == "Reference"
    }  # fmt: skip
    assert readers == DOORS


def test_how_explicit_an_image_is_has_one_judge() -> None:
    """A rating is compared in `core/rating.py` only; a missing one is never taken for a harmless one."""
    for path in MODULES:
        if path.relative_to(PACKAGE).parts[0] == "demo" or path == PACKAGE / "core/rating.py":
            continue
        for node in nodes(path):
            if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Lt | ast.LtE | ast.Gt | ast.GtE):
                names = {inner.attr for inner in ast.walk(node) if isinstance(inner, ast.Attribute)}
                names |= {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
                assert not names & {"nsfw", "nsfw_level", "RATINGS"}, f"{path.name}:{node.lineno} judges an image"


def test_commands_go_through_the_workspace() -> None:
    """A command uses only values of the rooms below the workspace, and changes no settings."""
    below = {"engine", "store", "transfer", "suppliers", "wiring", "connections", "project"}
    for path in (PACKAGE / "cli").glob("*.py"):
        for node in nodes(path):
            if isinstance(node, ast.ImportFrom) and node.module and path.name != "quick.py":
                names = [alias.name for alias in node.names if not alias.name[0].isupper()]
                room = node.module.split(".")[1] if node.module.startswith("synapse_sync.") else ""
                assert room not in below or not names, f"cli/{path.name} imports {names} of {node.module}"
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                assert node.attr != "settings", f"cli/{path.name}:{node.lineno} changes the settings"


def test_functions_and_files_can_be_read() -> None:
    """A function fits on a screen of 60 lines, a file has at most 450."""
    long = [
        f"{file_id(path)}:{node.lineno} {node.name}"
        for path in MODULES
        for node in nodes(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno >= 60
    ]
    assert long == []
    assert [file_id(path) for path in MODULES if len(path.read_text("utf-8").splitlines()) > 450] == []
