"""Patches are few and on public names: the package could not change a patched name any more."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
#: Patches for each test function, at most.
MOST = 0.05
_CALL = re.compile(r"\.(?:set|del)(?:attr|item)\(")
_WAYS = {"setattr", "setitem", "delattr", "delitem"}
_PRIVATE = re.compile(r"(^|\.)_(?!_)")
#: An assignment to a private name of another object or module, and the library of mocks.
_BY_HAND = re.compile(r"^ *(?!self\.|cls\.)[\w.]+\._(?!_)\w+ = .*|^.*\bunittest\.mock\b.*", re.MULTILINE)


def patches(text: str) -> Iterator[str]:
    """The names that a file replaces by calls of a `MonkeyPatch`."""
    for node in ast.walk(ast.parse(text)) if _CALL.search(text) else ():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _WAYS:
            owner, name = (ast.unparse(argument).strip("'\"") for argument in node.args[:2])
            yield f"{owner}.{name}" if node.func.attr.endswith("attr") else owner


def test_patches_are_few_and_on_public_names() -> None:
    tests = 0
    found: list[str] = []
    by_hand: list[str] = []
    for path in sorted(HERE.rglob("*.py")):
        text = path.read_text("utf-8")
        tests += len(re.findall(r"^ *def test_", text, re.MULTILINE))
        found += patches(text)
        by_hand += _BY_HAND.findall(text) if path != Path(__file__) else ()
    assert [name for name in found if _PRIVATE.search(name)] == []
    assert by_hand == []
    assert len(found) / tests <= MOST, f"{len(found)} patches in {tests} tests"


def test_a_private_name_would_be_seen() -> None:
    private = ['p.setattr(links, "_link", x)', 'p.setattr("synapse_sync.a._b", x)', "p.setitem(a._B, 1, x)"]
    public = ['p.setattr(links, "link", x)', 'p.setitem(a.B, "_c", x)', 'p.setattr(a, "__call__", x)']
    seen = [
        [bool(_PRIVATE.search(name)) for line in lines for name in patches(line)] for lines in (private, public)
    ]
    assert seen == [[True] * 3, [False] * 3]
    assert [bool(_BY_HAND.search(line)) for line in ("  a.b._c = 1", "  self._b = 1", "a.b = 1")] == [
        True,
        False,
        False,
    ]
