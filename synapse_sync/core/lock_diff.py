"""Lock diff: what changed between two lockfiles, in the words by which a person judges it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.lock_facts import facts, model_value
from synapse_sync.core.lockfile import LockedModel, Lockfile
from synapse_sync.core.markdown import code_span
from synapse_sync.core.size_text import count_text

#: The kinds of differences, in the order in which they are listed.
KINDS = ("added", "removed", "moved", "renamed", "changed")
#: Facts of which a model has any number; the others have one value each.
_LISTS = frozenset({"licence", "trigger words", "files"})
#: Facts of which only the number is worth a line.
_COUNTED = frozenset({"mirrors", "previews"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """One fact about a model that changed: its values before and after, as texts."""

    fact: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The change on one line: `a → b`; for a list, the values that it lost and got."""
        if self.fact in _COUNTED:
            return f"{len(self.before)} → {len(self.after)}" if len(self.before) != len(self.after) else "others"
        if self.fact not in _LISTS:
            return f"{', '.join(self.before) or 'unknown'} → {', '.join(self.after) or 'unknown'}"
        lost = [f"− {value}" for value in self.before if value not in self.after]
        got = [f"+ {value}" for value in self.after if value not in self.before]
        return ", ".join((*lost, *got)) or "in another order"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDiff:
    """The difference of one model; `before` is None for an added one, `after` for a removed one.

    `kind` is one of `KINDS`. Moved means another version or other bytes, changed that only facts about it differ.
    """

    before: LockedModel | None
    after: LockedModel | None
    kind: str

    @property
    def name(self) -> str:
        """The name of the model, the new one of a renamed one."""
        return self._either.name

    @property
    def _either(self) -> LockedModel:
        model = self.after or self.before
        assert model is not None
        return model

    @property
    def shifts(self) -> tuple[Shift, ...]:
        """The facts that differ; for an added or a removed model, all that are known."""
        before = {} if self.before is None else facts(self.before)
        after = {} if self.after is None else facts(self.after)
        return tuple(
            Shift(fact=fact, before=before.get(fact, ()), after=after.get(fact, ()))
            for fact in {**before, **after}
            if before.get(fact, ()) != after.get(fact, ())
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the difference as JSON has it."""
        return {
            "name": self.name,
            "kind": self.kind,
            "old_name": None if self.before is None else self.before.name,
            "from": None if self.before is None else model_value(self.before),
            "to": None if self.after is None else model_value(self.after),
            "facts": [shift.fact for shift in self.shifts],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LockDiff:
    """The differences between two lockfiles, by kind and name. An equal pair has none."""

    models: tuple[ModelDiff, ...] = ()

    def of(self, kind: str) -> tuple[ModelDiff, ...]:
        """The differences of one kind."""
        return tuple(model for model in self.models if model.kind == kind)

    def summary(self) -> str:
        """Return one line: `1 model added, 2 moved`, or that none differs."""
        counts = [(len(self.of(kind)), kind) for kind in KINDS if self.of(kind)]
        if not counts:
            return "no model differs"
        (first, kind), *others = counts
        return ", ".join((f"{count_text(first, 'model')} {kind}", *(f"{count:,} {kind}" for count, kind in others)))

    def to_dict(self) -> dict[str, Any]:
        """Return the differences as JSON has them: a list for each kind."""
        return {kind: [model.to_dict() for model in self.of(kind)] for kind in KINDS}

    def __repr__(self) -> str:
        return f"<LockDiff: {self.summary()}>"


def diff_lockfiles(before: Lockfile, after: Lockfile) -> LockDiff:
    """Compare two lockfiles. A model that went away and came back under another name counts as renamed."""
    old = {model.name: model for model in before.models}
    new = {model.name: model for model in after.models}
    gone = {_identity(model): model for name, model in sorted(old.items()) if name not in new}
    found: list[ModelDiff] = []
    for name, model in sorted(new.items()):
        was = old[name] if name in old else gone.pop(_identity(model), None)
        if was is not model and was != model:  # nearly all are the same objects
            found.append(ModelDiff(before=was, after=model, kind=_kind(was, model)))
    kept = {each.before.name for each in found if each.before is not None} | new.keys()
    found += [
        ModelDiff(before=model, after=None, kind="removed") for name, model in old.items() if name not in kept
    ]
    return LockDiff(models=tuple(sorted(found, key=lambda model: (KINDS.index(model.kind), model.name))))


def _kind(before: LockedModel | None, after: LockedModel) -> str:
    """The kind of the difference of a model that is locked now."""
    if before is None:
        return "added"
    if before.reference != after.reference or _digests(before) != _digests(after):
        return "moved"
    return "renamed" if before.name != after.name else "changed"


def _digests(model: LockedModel) -> tuple[tuple[str, str], ...]:
    return tuple((artifact.filename, artifact.sha256) for artifact in model.artifacts)


def _identity(model: LockedModel) -> tuple[str, tuple[tuple[str, str], ...]]:
    return str(model.reference), _digests(model)


# -- markdown --------------------------------------------------------------------------------------

#: The columns of the table, each a fact, and its heading.
_COLUMNS = {
    "version": "version", "size": "size", "base model": "base model", "licence": "licence",
    "trigger words": "trigger words",
}  # fmt: skip


def markdown(diff: LockDiff) -> str:
    """Write the differences for a pull request: a line that counts them, and a table.

    Texts of sites are in code spans, so that none becomes a link, a mention or a cell of its own.
    """
    lines = [f"**synapse.lock**: {diff.summary()}"]
    if diff.models:
        lines += ["", f"| | model | {' | '.join(_COLUMNS.values())} | other |", "|" + "---|" * (len(_COLUMNS) + 3)]
        lines += [_row(model) for model in diff.models]
    return "\n".join(lines) + "\n"


def _row(model: ModelDiff) -> str:
    name = code_span(model.name)
    if model.before is not None and model.before.name != model.name:
        name = f"{code_span(model.before.name)} → {name}"
    cells = [model.kind, name, *(_cell(model, fact) for fact in _COLUMNS), ", ".join(_others(model))]
    return "| " + " | ".join(cells) + " |"


def _cell(model: ModelDiff, fact: str) -> str:
    """One fact before and after; once where it did not change."""
    nothing: tuple[str, ...] = ()
    before = nothing if model.before is None else facts(model.before).get(fact, nothing)
    after = nothing if model.after is None else facts(model.after).get(fact, nothing)
    if model.before is None or model.after is None or before == after:
        return "<br>".join(map(code_span, after or before))
    if fact in _LISTS:
        kept = [code_span(value) for value in after if value in before]
        lost = [f"− {code_span(value)}" for value in before if value not in after]
        got = [f"+ {code_span(value)}" for value in after if value not in before]
        return "<br>".join((*lost, *got, *kept))
    return f"{code_span(', '.join(before) or 'unknown')} → {code_span(', '.join(after) or 'unknown')}"


def _others(model: ModelDiff) -> Iterator[str]:
    """The facts without a column that changed."""
    if model.kind not in ("added", "removed"):
        yield from (shift.fact for shift in model.shifts if shift.fact not in {*_COLUMNS, "reference"})
