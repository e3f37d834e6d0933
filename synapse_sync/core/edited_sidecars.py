"""Edited sidecars: those among unwanted files, each found by its model and by the name of its weights. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from synapse_sync.core.artifact import stem_of

_Key = tuple[str, str]


class EditedSidecars:
    """The edited files among unwanted ones, which may be sidecars of weights that are unwanted as well.

    `unwanted` are the target and the path of each unwanted file, `edited` those of edited ones with their models.
    """

    def __init__(self, unwanted: Collection[_Key], edited: Mapping[_Key, str | None]) -> None:
        self._paths: dict[tuple[str, str | None], list[str]] = {}
        for (target, path), model in edited.items():
            self._paths.setdefault((target, model), []).append(path)
        # Thousands may be unwanted: none is compared with each other one.
        self._stems = Counter((target, stem_of(path)) for target, path in unwanted) if self._paths else Counter()

    def of(self, target: str, model: str, suffix: str) -> str | None:
        """The path of an edited sidecar of a model that is beside unwanted weights; None if there is none.

        `suffix` is the end of its name, behind that of the weights.
        """
        for path in self._paths.get((target, model), ()):
            weights = path.removesuffix(suffix)
            others = self._stems[target, weights] - (stem_of(path) == weights)
            if path.endswith(suffix) and others:
                return path
        return None
