"""Scope: which part of a project a command is about. Light: it is there even when there is nothing to do."""

from __future__ import annotations

from dataclasses import dataclass

from synapse_sync.core.link_mode import LinkMode


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which part of the project, and how. The default is all of it, as the files say."""

    only: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    link_mode: LinkMode | None = None
    prune: bool = True
    force: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether this is the whole project with nothing overridden."""
        return self == Scope()
