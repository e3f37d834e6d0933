"""Facts of a site about a model that the lockfile does not keep: only sidecars have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from synapse_sync.core.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteFacts:
    """The facts about one model, as its site has them now.

    `type` is the site's own word, `description` is HTML. `autov3` and `sizes` are facts about files, by SHA-256 in
    lower case: the first 12 digits of AutoV3 in lower case, and "full" or "pruned".
    """

    type: str | None = None
    tags: tuple[str, ...] = ()
    description: str = ""
    autov3: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, str] = field(default_factory=dict)
