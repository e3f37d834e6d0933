"""Scope: the part of a project that a command is about. Import-light: loaded on the no-op path."""

from __future__ import annotations

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.link_mode import LinkMode


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The models, groups and targets of a command, and how it treats them. The default is the whole project."""

    only: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    link_mode: LinkMode | None = None
    prune: bool = True
    force: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether this is the whole project, with nothing overridden."""
        return self == Scope()
