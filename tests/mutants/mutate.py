"""The mutants of one module: each is one small change to its text, such as a programmer might make by mistake."""

from __future__ import annotations

import ast
import copy
from dataclasses import dataclass

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
# No division: it joins paths, and a path that is joined by anything else is an error at once.
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
_BOOLEAN: dict[type[ast.boolop], type[ast.boolop]] = {ast.And: ast.Or, ast.Or: ast.And}
# What Python or mypy enforces, and no behaviour of ours.
_DECLARED = {"frozen", "slots", "kw_only"}


@dataclass(frozen=True)
class Mutant:
    """One change: the bytes from `start` to `end` of the file become `new`."""

    path: str
    line: int
    last: int
    scope: tuple[int, int] | None  # the lines of the function around it; None: it runs on import
    kind: str
    start: int
    end: int
    old: str
    new: str

    def apply(self, source: bytes) -> bytes:
        """The module's text with the change; raises `SyntaxError` for the few changes that are no Python."""
        changed = source[: self.start] + self.new.encode() + source[self.end :]
        compile(changed, self.path, "exec", dont_inherit=True)
        return changed

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.kind}: {_short(self.old)} -> {_short(self.new)}"


def mutants(path: str, source: bytes) -> list[Mutant]:
    """All mutants of a module that are Python, in the order of its lines."""
    found = _Finder(path, source)
    found.body(ast.parse(source).body)
    return sorted(found.found, key=lambda m: (m.start, m.end, m.new))


class _Finder(ast.NodeVisitor):
    """Walks over what runs: no annotations, decorators, docstrings, f-strings, nor what only type checkers see."""

    def __init__(self, path: str, source: bytes) -> None:
        self.found: list[Mutant] = []
        self._path = path
        self._source = source
        self._starts = [0]
        for line in source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self._scope: tuple[int, int] | None = None

    def body(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            self.visit(statement)

    # -- what is left out -----------------------------------------------------------------------------

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        pass

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for keyword in node.keywords:
            if keyword.arg not in _DECLARED:
                self.visit(keyword.value)
        self.body(node.body)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        outer, self._scope = self._scope, (node.body[0].lineno, node.end_lineno or node.lineno)
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.visit(default)
        self.body(node.body)
        self._scope = outer

    # -- expressions ----------------------------------------------------------------------------------

    def visit_Compare(self, node: ast.Compare) -> None:
        for index, operator in enumerate(node.ops):
            for other in _COMPARISONS[type(operator)]:
                changed = copy.deepcopy(node)
                changed.ops[index] = other()
                self._replace("comparison", node, changed)
        for operand in (node.left, *node.comparators):
            for text in [operand, *(operand.elts if isinstance(operand, ast.Tuple | ast.Set) else ())]:
                self._key(text)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        self._replace("and/or", node, ast.BoolOp(_BOOLEAN[type(node.op)](), node.values))
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if not isinstance(node.op, ast.Invert):
            self._replace("not", node, node.operand)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if other := _ARITHMETIC.get(type(node.op)):
            self._replace("arithmetic", node, ast.BinOp(node.left, other(), node.right))
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self._replace("constant", node, ast.Constant(not node.value))
        elif isinstance(node.value, int | float):
            self._replace("constant", node, ast.Constant(node.value + 1))
            self._replace("constant", node, ast.Constant(node.value - 1))

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self._key(node.slice)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("get", "pop", "setdefault") and node.args:
            self._key(node.args[0])
        self.generic_visit(node)

    # -- conditions -----------------------------------------------------------------------------------

    def visit_If(self, node: ast.If) -> None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return
        self._condition(node.test)
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        self._condition(node.test)
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._condition(node.test)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self._condition(test)
        self.generic_visit(node)

    def visit_match_case(self, node: ast.match_case) -> None:
        if node.guard is None:
            self._note("case removed", node.pattern, f"{ast.unparse(node.pattern)} if False")
        else:
            self._condition(node.guard)
            self._note("case removed", node.guard, "False")
        self.generic_visit(node)

    # -- statements -----------------------------------------------------------------------------------

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is None:
            self._remove(node)
        elif not (isinstance(node.value, ast.Constant) and node.value.value is None):
            self._replace("return None", node.value, ast.Constant(None))
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant):
            return
        if not isinstance(node.value, ast.Yield | ast.YieldFrom):
            self._remove(node)
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        if not isinstance(node.targets[0], ast.Name | ast.Tuple):
            self._remove(node)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._remove(node)
        if other := _ARITHMETIC.get(type(node.op)):
            self._replace("arithmetic", node, ast.AugAssign(node.target, other(), node.value))
        self.generic_visit(node)

    def _removed(self, node: ast.Raise | ast.Delete | ast.Break | ast.Continue) -> None:
        self._remove(node)
        self.generic_visit(node)

    visit_Raise = visit_Delete = visit_Break = visit_Continue = _removed

    # -- noting ---------------------------------------------------------------------------------------

    def _condition(self, test: ast.expr) -> None:
        # A single comparison, `and`, `or` and `not` have mutants of their own that turn them round.
        turned = isinstance(test, ast.Compare) and len(test.ops) == 1
        if not turned and not isinstance(test, ast.UnaryOp | ast.Constant):
            self._replace("condition", test, ast.UnaryOp(ast.Not(), test))

    def _key(self, node: ast.expr) -> None:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            self._replace("key", node, ast.Constant(f"{node.value}~"))

    def _remove(self, node: ast.stmt) -> None:
        self._note("removed", node, "pass")

    def _replace(self, kind: str, node: ast.expr | ast.stmt, changed: ast.AST) -> None:
        text = ast.unparse(ast.fix_missing_locations(changed))
        self._note(kind, node, text if isinstance(changed, ast.Constant | ast.stmt) else f"({text})")

    def _note(self, kind: str, node: ast.expr | ast.stmt | ast.pattern, new: str) -> None:
        last = node.end_lineno or node.lineno
        start = self._starts[node.lineno - 1] + node.col_offset
        end = self._starts[last - 1] + (node.end_col_offset or 0)
        old = self._source[start:end].decode()
        self.found.append(
            Mutant(self._path, node.lineno, last, self._scope, kind, start, end, old, new),
        )


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 100 else f"{line[:99]}…"
