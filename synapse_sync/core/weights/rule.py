"""Rules: a small language for signatures of tensor names and sizes, and the views of files they are tested on.

A rule's `when` lists conditions, separated by spaces; all of them must hold:

    name            a tensor of that name, or names that begin with it and a separator
    !name           no such tensor
    name[axis]=N    the size of a tensor along an axis, from 0; also >=N and <N, and N,M for one of several
    name[axis]?=N   the same, or that size is unknown, as in a part of a file
    name:axes=N     how many axes the tensor has
    n(name)=N       how many numbers follow that name: n(double_blocks)=19

`#` in a name is any number: `double_blocks.#.img_mlp.0.weight`. Names, or sizes, in alternatives are joined by `|`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.weights.header import Tensor

#: The most names, parts of a name and distinct patterns that a view keeps: a bound on hostile headers.
_MOST_PARTS, _MOST_PATTERNS = 14, 12_000
#: Types whose sizes are those of the model. Others pack several values into one.
_UNPACKED = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ"})
_CONDITION = re.compile(r"(?P<no>!?)(?P<left>[^=<>!?]+)(?:(?P<operator>=|>=|<|\?=)(?P<right>[\d,]+))?\Z")
_LEFT = re.compile(r"n\((?P<counted>[^)]+)\)|(?P<name>[^\[\]:]+)(?:\[(?P<axis>\d)\]|(?P<axes>:axes))?\Z")
_NUMBER_AT_END = re.compile(r"([a-z]+)\d+\Z")  # Cosmos numbers its blocks `block0`


class View:
    """The tensors of one part of a file, by their names and by the patterns of their names.

    `separator` is "." for names of tensors, "_" where trainers have joined the parts of a name by it.
    """

    def __init__(self, tensors: Iterable[tuple[str, Tensor]], separator: str = ".") -> None:
        self._separator = separator
        self._names: dict[str, Tensor] = {}
        self._patterns: dict[str, Tensor] = {}
        self._beginnings: set[str] = set()
        self._counts: dict[str, int] = {}
        for name, tensor in tensors:
            self._add(name, tensor)

    def _add(self, name: str, tensor: Tensor) -> None:
        self._names[name] = tensor
        parts = name.split(self._separator)
        last = None
        for index, part in enumerate(parts):
            number = part
            if not (part.isdigit() and part.isascii()):
                match = _NUMBER_AT_END.match(part) if index and parts[index - 1] == "blocks" else None
                if match is None:
                    continue
                number = part[len(match[1]) :]
                parts[index] = f"{match[1]}#"
                continue
            parts[index] = "#"
            if len(number) < 6 and index < _MOST_PARTS:
                before = self._separator.join(parts[:index])
                self._counts[before] = max(self._counts.get(before, 0), int(number) + 1)
            last = index, number
        pattern = self._separator.join(parts)
        if pattern not in self._patterns and len(self._patterns) < _MOST_PATTERNS:
            self._patterns[pattern] = tensor
            for end in range(1, min(len(parts), _MOST_PARTS)):
                self._beginnings.add(self._separator.join(parts[:end]))
        if last is not None:
            # The numbers of layers inside a block say much: `img_mlp.0` is the wide one.
            parts[last[0]] = last[1]
            pattern = self._separator.join(parts)
            if pattern not in self._patterns and len(self._patterns) < _MOST_PATTERNS:
                self._patterns[pattern] = tensor
                for end in range(last[0] + 1, min(len(parts), _MOST_PARTS)):
                    self._beginnings.add(self._separator.join(parts[:end]))

    def __len__(self) -> int:
        return len(self._names)

    @property
    def names(self) -> Iterable[str]:
        """The names of all tensors."""
        return self._names.keys()

    def has(self, name: str) -> bool:
        """Whether a tensor has this name or pattern, or one that begins with it and a separator."""
        if name in self._names or name in self._patterns or name in self._beginnings:
            return True
        if "#" in name or not any(char.isdigit() for char in name):
            return False
        # The number of a block says much now and then.
        if len(self._names) <= _MOST_PATTERNS:
            return name in self._literal_beginnings
        beginning = name + self._separator
        return any(one.startswith(beginning) for one in self._names)

    @cached_property
    def _literal_beginnings(self) -> set[str]:
        """The beginnings of all names, numbers as they are."""
        found: set[str] = set()
        for name in self._names:
            parts = name.split(self._separator, _MOST_PARTS)
            found.update(self._separator.join(parts[:end]) for end in range(1, len(parts)))
        return found

    @cached_property
    def everything(self) -> set[str] | None:
        """All names that `has` knows; None if they are too many."""
        if len(self._names) > _MOST_PATTERNS:
            return None
        return self._names.keys() | self._patterns.keys() | self._beginnings | self._literal_beginnings

    def tensor(self, name: str) -> Tensor | None:
        """The tensor of this name, or the first one of this pattern; None if missing."""
        return self._names.get(name) or self._patterns.get(name)

    def size(self, name: str, axis: int) -> int | None:
        """A size of a tensor; None if the tensor, the axis or its true size is unknown."""
        found = self.tensor(name)
        if found is None or axis >= len(found[1]) or (found[0] not in _UNPACKED and found[0][:1] not in "QIT"):
            return None
        if found[0] in ("I8", "I32", "I64"):
            return None
        return found[1][axis]

    def count(self, name: str) -> int:
        """How many numbers follow this name, counted from 0."""
        return self._counts.get(name, 0)


@dataclass(frozen=True, slots=True)
class _Condition:
    """One condition of a rule."""

    text: str
    negated: bool
    left: tuple[tuple[str, str, int], ...]  # a kind ("has", "size", "axes", "count"), a name, an axis
    operator: str
    right: frozenset[int]

    def holds(self, view: View) -> bool:
        if not self.operator:
            return any(view.has(name) for _, name, _ in self.left) != self.negated
        if self.operator == "?=":
            return all(number is None or number in self.right for number in self._numbers(view))
        return any(map(self._fits, self._numbers(view)))

    def _numbers(self, view: View) -> list[int | None]:
        return [_number(view, *left) for left in self.left]

    def seen(self, view: View) -> str:
        """The name that made the condition hold, with its size."""
        if not self.operator:
            return next((name for _, name, _ in self.left if view.has(name)), "")
        known = (left for left in self.left if self._fits(_number(view, *left)))
        if (left := next(known, None)) is None:
            return ""  # a size that is unknown, and may be
        kind, name, axis = left
        number = _number(view, kind, name, axis)
        if kind == "count":
            return f"{number} {name}"
        return f"{name} has {number} axes" if kind == "axes" else f"{name}[{axis}] = {number}"

    def _fits(self, number: int | None) -> bool:
        if number is None:
            return False
        if self.operator in ("=", "?="):
            return number in self.right
        (bound,) = self.right
        return number >= bound if self.operator == ">=" else number < bound


def _number(view: View, kind: str, name: str, axis: int) -> int | None:
    if kind == "count":
        return view.count(name)
    if kind == "axes":
        found = view.tensor(name)
        return None if found is None else len(found[1])
    return view.size(name, axis)


def _condition(text: str) -> _Condition:
    match = _CONDITION.match(text)
    assert match is not None, text
    left = []
    for one in match["left"].split("|"):
        found = _LEFT.match(one)
        assert found is not None, text
        if found["counted"] is not None:
            left.append(("count", found["counted"], 0))
        elif found["axis"] is not None:
            left.append(("size", found["name"], int(found["axis"])))
        else:
            left.append(("axes" if found["axes"] else "has", found["name"], 0))
    right = frozenset(int(number) for number in (match["right"] or "").split(",") if number)
    return _Condition(text, bool(match["no"]), tuple(left), match["operator"] or "", right)


@dataclass(frozen=True)
class Rule:
    """A row of a table: what a file is if the conditions hold.

    `kind` is empty where the place of the table says it. `family` is the architecture; `bases` are all models with
    this header; `variants` are words such as "inpainting". `source` names the program whose code was read.
    """

    family: str | None
    bases: tuple[str, ...]
    when: str
    source: str
    kind: str = ""
    variants: tuple[str, ...] = ()

    @cached_property
    def _conditions(self) -> tuple[_Condition, ...]:
        return tuple(_condition(text) for text in self.when.split())

    @cached_property
    def needed(self) -> frozenset[str]:
        """Names of which a file must have one, by the first condition that says so; empty if none does."""
        for condition in self._conditions:
            if (
                not condition.negated
                and condition.operator != "?="
                and all(kind != "count" for kind, _, _ in condition.left)
            ):
                return frozenset(name for _, name, _ in condition.left)
        return frozenset()

    def holds(self, view: View) -> bool:
        """Whether all conditions hold for a view."""
        return all(condition.holds(view) for condition in self._conditions)

    def evidence(self, view: View) -> tuple[str, ...]:
        """The names and sizes that made the conditions hold for a view, and the source."""
        seen = (condition.seen(view) for condition in self._conditions if not condition.negated)
        return (*filter(None, dict.fromkeys(seen)), self.source)


@dataclass(frozen=True, slots=True)
class Match:
    """A rule that holds for a file, and what was seen of the file."""

    rule: Rule
    evidence: tuple[str, ...]


#: Rules in the order in which they are tried.
Table = tuple[Rule, ...]


def first(rules: Sequence[Rule], view: View) -> Match | None:
    """The first rule that holds for a view; None if none does."""
    known = view.everything
    for rule in rules if known is None else _possible(rules, known):
        if rule.holds(view):
            return Match(rule, rule.evidence(view))
    return None


def _possible(rules: Sequence[Rule], known: set[str]) -> list[Rule]:
    """Those rules whose needed names are not all missing among the `known` ones, in their order.

    That spares most of the hundreds of rules; ten thousand files are identified in seconds.
    """
    indexed = _indexes.get(id(rules))
    if indexed is None or indexed[0] is not rules:
        if len(_indexes) >= _MOST_INDEXES:
            _indexes.clear()
        indexed = _indexes[id(rules)] = (rules, *_indexed(rules))
    _, always, by_name = indexed
    found = {number for name in by_name.keys() & known for number in by_name[name]}
    return [rules[number] for number in sorted(found.union(always))]


#: The index of each table, by its identity. The table is kept beside it, so that no other one gets its number.
_indexes: dict[int, tuple[Sequence[Rule], list[int], dict[str, list[int]]]] = {}
_MOST_INDEXES = 64


def _indexed(rules: Sequence[Rule]) -> tuple[list[int], dict[str, list[int]]]:
    """The numbers of the rules that need no name, and those of the others by each name that they may need."""
    always: list[int] = []
    by_name: dict[str, list[int]] = {}
    for number, rule in enumerate(rules):
        if not rule.needed:
            always.append(number)
        for name in rule.needed:
            by_name.setdefault(name, []).append(number)
    return always, by_name


def rows(
    source: str, *rules: tuple[str | None, str, str] | tuple[str | None, str, str, str], kind: str = ""
) -> Table:
    """Make a part of a table from rows of family, bases, conditions and perhaps variants, lists joined by " | "."""
    made = []
    for family, bases, when, *variants in rules:
        words = tuple(variants[0].split(" | ")) if variants else ()
        made.append(Rule(family, tuple(base for base in bases.split(" | ") if base), when, source, kind, words))
    return tuple(made)
