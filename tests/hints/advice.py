"""Advice: every text of the package that names a command of synapse or one of its options as the next step."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import synapse_sync

PACKAGE = Path(synapse_sync.__file__).parent
_COMMAND = re.compile(r"`synapse ((?:store )?[a-z]+)([^`]*)`")
_OPTION = re.compile(r"(?<![\w-])(--[a-z][a-z-]+)")
_KEY = re.compile(r"(?:`|\{ )([a-z][a-z-]*) = ")
#: Rooms whose texts are no advice to a user: the demo talks about itself.
_SILENT = {"demo"}

#: A room of the package and what is named there, as `engine: synapse lock`.
Key = str
Scenario = Callable[..., None]
SCENARIOS: dict[Key, list[Scenario]] = {}


def helps(*keys: Key) -> Callable[[Scenario], Scenario]:
    """Register a scenario: it reaches the state of the advice, follows it, and sees that it helps."""

    def register(scenario: Scenario) -> Scenario:
        for key in keys:
            SCENARIOS.setdefault(key, []).append(scenario)
        return scenario

    return register


@cache
def advice() -> Counter[Key]:
    """How many texts there are for each key."""
    found: Counter[Key] = Counter()
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text("utf-8")
        if path.relative_to(PACKAGE).parts[0] not in _SILENT and ("`synapse" in text or "--" in text):
            room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
            found.update(f"{room}: {label}" for label in labels(ast.parse(text)))
    return found


def labels(tree: ast.Module) -> Iterator[str]:
    """What the advice of a file names: commands in any text, options alone in hints."""
    nodes = list(ast.walk(tree))
    silent = set(_documentation(nodes))
    hints = {inner for node in nodes for hint in _hints(node) for inner in ast.walk(hint)}
    for node, text in _texts(tree):
        if node in silent:
            continue
        commands = [f"synapse {verb}" for verb, _ in _COMMAND.findall(text)]
        options = _OPTION.findall(text) if commands or node in hints else []
        if named := sorted({*commands, *options}, key=lambda word: (word.startswith("-"), word)):
            yield " ".join(named)


def _texts(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    left = [tree]
    while left:
        node = left.pop()
        if isinstance(node, ast.JoinedStr):
            yield node, "".join(str(v.value) if isinstance(v, ast.Constant) else "…" for v in node.values)
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                yield node, node.value
        else:
            left += ast.iter_child_nodes(node)


def _hints(node: ast.AST) -> Iterator[ast.AST]:
    """The expressions that become a hint."""
    if isinstance(node, ast.keyword) and node.arg == "hint":
        yield node.value
    elif isinstance(node, ast.Assign):
        names = {getattr(target, "id", getattr(target, "attr", "")).lower() for target in node.targets}
        if any("hint" in name for name in names):
            yield node.value
    elif isinstance(node, ast.FunctionDef) and "hint" in node.name:
        yield from (inner.value for inner in ast.walk(node) if isinstance(inner, ast.Return) and inner.value)


def _documentation(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Docstrings, help texts of click, comments in files that are written: texts that are no next step."""
    for node in nodes:
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            yield body[0].value
        if isinstance(node, ast.keyword) and node.arg in ("help", "short_help", "epilog"):
            yield from ast.walk(node.value)
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if {getattr(target, "id", "") for target in targets} & {"VERBS", "_TEMPLATE", "_HEADER"} and node.value:
                yield from ast.walk(node.value)


def keys() -> set[tuple[str, str]]:
    """The keys of a file that hints write, as `key = value`, each with the file of the package."""
    found: set[tuple[str, str]] = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text("utf-8")
        if "hint" not in text:
            continue
        tree = ast.parse(text)
        hints = {inner for node in ast.walk(tree) for hint in _hints(node) for inner in ast.walk(hint)}
        for node, text in _texts(tree):
            if node in hints:
                name = path.relative_to(PACKAGE).as_posix()
                found |= {(name, key) for key in _KEY.findall(text)}
    return found
