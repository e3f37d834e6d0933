"""The table of `docs/faults.md`: for each case the tests that carry its number, or why there is none.

`python tests/faults/table.py` writes it; it is read off the sources, so nothing has to run. Besides the mark
`@case(…)` it reads three dictionaries, number → reason, that a test module may have at its top level: SKIPPED,
NOT_APPLICABLE, and REMARKS for what is passed in another way than the catalogue says.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cases import CASES

HERE = Path(__file__).parent
PAGE = HERE.parent.parent / "docs" / "faults.md"
BEGIN, END = "<!-- cases: written by tests/faults/table.py -->\n", "<!-- end of cases -->\n"
_HEAD = f"# Faults\n\n{BEGIN}{END}"


@dataclass(frozen=True)
class Found:
    """What the test modules say about the cases."""

    tests: dict[int, list[str]] = field(default_factory=dict)
    skipped: dict[int, str] = field(default_factory=dict)
    not_applicable: dict[int, str] = field(default_factory=dict)
    remarks: dict[int, str] = field(default_factory=dict)

    @property
    def numbers(self) -> set[int]:
        return {*self.tests, *self.skipped, *self.not_applicable, *self.remarks}


def find(directory: Path = HERE.parent) -> Found:
    """Read the test modules; those outside the fault suite are named with their room."""
    found = Found()
    registers = {
        "SKIPPED": found.skipped,
        "NOT_APPLICABLE": found.not_applicable,
        "REMARKS": found.remarks,
    }
    for path in sorted(directory.rglob("test_*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            for test in _functions(node):
                for number in _marks(test):
                    names = found.tests.setdefault(number, [])
                    if (name := f"`{_shown(path)}.{test.name}`") not in names:
                        names.append(name)
            name = _assigned(node)
            if name in registers:
                assert isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
                registers[name].update(ast.literal_eval(node.value))
    return found


def _shown(path: Path) -> str:
    return path.stem if path.is_relative_to(HERE) else path.relative_to(HERE.parent).with_suffix("").as_posix()


def _functions(node: ast.stmt) -> Iterator[ast.FunctionDef]:
    if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
        yield node
    elif isinstance(node, ast.ClassDef):
        for inner in node.body:
            yield from _functions(inner)


def _marks(test: ast.FunctionDef) -> Iterator[int]:
    for decorator in test.decorator_list:
        for node in ast.walk(decorator):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "case":
                yield from (ast.literal_eval(argument) for argument in node.args)


def _assigned(node: ast.stmt) -> str | None:
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return node.target.id
    return None


def render(found: Found) -> str:
    """The table, and a line that counts."""
    skipped = len(found.skipped.keys() - found.tests.keys())
    none = len(found.not_applicable.keys() - found.tests.keys())
    lines = [
        f"Of {len(CASES)} cases {len(found.tests)} have tests, {skipped} are skipped, {none} do not apply.\n",
    ]
    group = None
    for case in CASES:
        if case.group != group:
            group = case.group
            lines.append(f"\n## {group}\n\n| # | case | |\n|---|---|---|\n")
        lines.append(f"| {case.number} | {case.title} | {_verdict(case.number, found)} |\n")
    return "".join(lines) + "\n"


def _verdict(number: int, found: Found) -> str:
    parts = [f"passes: {', '.join(found.tests[number])}"] if number in found.tests else []
    for word, reasons in (
        ("skipped", found.skipped),
        ("does not apply", found.not_applicable),
        ("remark", found.remarks),
    ):
        parts += [f"{word}: {reasons[number]}"] if number in reasons else []
    return "; ".join(parts).replace("|", "\\|") or "**missing**"


def page(old: str, found: Found) -> str:
    """The page with its table replaced; the rest is written by hand."""
    before, _, rest = (old if BEGIN in old else _HEAD).partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{render(found)}{END}{after}"


if __name__ == "__main__":
    old = PAGE.read_text("utf-8") if PAGE.exists() else _HEAD
    PAGE.write_text(page(old, find()), encoding="utf-8")
