"""Part: the models and targets of a manifest that a scope names; an error names the nearest where none fits."""

from __future__ import annotations

from collections.abc import Collection

from synapse_sync.core.manifest.values import Manifest, Requirement, Target
from synapse_sync.core.nearest import suggestion
from synapse_sync.engine.scope import Scope
from synapse_sync.errors import InputError, raise_all


def unknown_model(name: str, known: Collection[str]) -> InputError:
    """The error for a name that is not declared, with the nearest that is."""
    hint = suggestion(name, sorted(known), "`synapse list` lists all")
    return InputError(f"no model `{name}` in synapse.toml", hint=hint)


def entries_in(manifest: Manifest, scope: Scope) -> tuple[Requirement, ...]:
    """The requirements in scope on this machine; raises `InputError` for names and groups that do not exist."""
    entries = manifest.here()
    if scope.only:
        names = {entry.name for entry in entries} | {entry.model for entry in entries}
        raise_all([unknown_model(name, names) for name in scope.only if name not in names])
        entries = tuple(e for e in entries if e.name in scope.only or e.model in scope.only)
    if scope.groups:
        groups = sorted({group for entry in entries for group in entry.groups})
        raise_all(
            [
                InputError(f"no model is in group `{g}`", hint=suggestion(g, groups) or "no model has `groups`")
                for g in scope.groups
                if g not in groups
            ]
        )
        entries = tuple(entry for entry in entries if set(entry.groups) & set(scope.groups))
    return entries


def targets_in(manifest: Manifest, scope: Scope) -> list[Target]:
    """The targets in scope; raises `InputError` for names that do not exist."""
    targets = {target.name: target for target in manifest.targets}
    raise_all(
        [
            InputError(f"no target `{name}` in synapse.toml", hint=suggestion(name, targets))
            for name in scope.targets
            if name not in targets
        ]
    )
    return [target for name, target in targets.items() if not scope.targets or name in scope.targets]
