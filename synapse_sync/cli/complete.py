"""Completions: the words that a shell offers for an argument, from the manifest at hand. Never an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    import click


def model_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The names of models in the manifest."""
    return _beginning(_table(ctx, "models"), incomplete)


def target_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The names of targets in the manifest."""
    return _beginning(_table(ctx, "targets"), incomplete)


def group_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The groups that models of the manifest are in."""
    tables = (value for value in _table(ctx, "models").values() if isinstance(value, dict))
    return _beginning({str(group) for table in tables for group in table.get("groups", ())}, incomplete)


def layout_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The names of all layouts."""
    from synapse_sync.layouts import LAYOUTS

    return _beginning(LAYOUTS, incomplete)


def type_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The known types of models."""
    from synapse_sync.core.artifact import MODEL_TYPES

    return _beginning(MODEL_TYPES, incomplete)


def format_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The names of the formats of `synapse export`."""
    from synapse_sync.interop.writers import WRITERS

    return _beginning(WRITERS, incomplete)


def site_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The sites that have tokens."""
    from synapse_sync.sites import SITES

    return _beginning([site.name for site in SITES], incomplete)


def _beginning(words: Iterable[str], incomplete: str) -> list[str]:
    return sorted(word for word in words if word.startswith(incomplete))


def _table(ctx: click.Context, name: str) -> dict[str, Any]:
    """A table of the manifest; empty if it cannot be read: a shell has no place for a message."""
    from synapse_sync.cli.console import Console
    from synapse_sync.core.toml import read_toml, toml_text
    from synapse_sync.core.toml_error import TomlError
    from synapse_sync.errors import SynapseError
    from synapse_sync.user.places import MANIFEST, find_project
    from synapse_sync.user.small_files import content

    try:
        project = find_project(str(ctx.find_root().ensure_object(Console).directory))
        found = {} if project is None else read_toml(toml_text(content(f"{project}/{MANIFEST}")))
    except (OSError, TomlError, SynapseError):
        return {}
    table = found.get(name, {})
    return table if isinstance(table, dict) else {}
