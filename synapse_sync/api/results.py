"""Results of the Python API that no verb has by itself; each has `ok`, `summary()` and `to_dict()`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.lock_facts import model_value
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.plan import Plan
from synapse_sync.core.size_text import count_text
from synapse_sync.engine.lock import Locked
from synapse_sync.engine.survey import Survey
from synapse_sync.engine.unmanaged import Unmanaged


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The plan of a sync, and the state around it.

    `unmanaged` are the models in managed folders that synapse did not place. `left_out` are those of them that an
    import would leave as they are, each with the reason.
    """

    survey: Survey
    unmanaged: tuple[Unmanaged, ...] = ()
    left_out: Mapping[Unmanaged, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether a sync would change nothing: no file, and not the lockfile."""
        return self.survey.in_sync

    @property
    def plan(self) -> Plan:
        """The actions of a sync, in their order."""
        return self.survey.plan

    @property
    def not_locked(self) -> tuple[str, ...]:
        """The names of models that the lockfile does not answer; a sync locks them first."""
        return self.survey.not_locked

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about what is worth knowing, for example why a sync would be refused."""
        return self.survey.warnings

    def summary(self) -> str:
        """Return one line that says it all."""
        return self.survey.summary()

    def to_dict(self) -> dict[str, Any]:
        """Return the document that `synapse status --json` prints."""
        listed = [each.to_dict() | {"reason": self.left_out.get(each)} for each in self.unmanaged]
        return self.survey.to_dict() | {"unmanaged": listed}

    def __repr__(self) -> str:
        return f"<Status: {self.summary()}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """The models that were added: their names, and the lock that has them."""

    names: tuple[str, ...]
    locked: Locked

    @property
    def ok(self) -> bool:
        """True: models that cannot be added raise."""
        return True

    @property
    def models(self) -> tuple[LockedModel, ...]:
        """The added models as they are locked; one with several versions comes once for each."""
        return tuple(model for model in self.locked.lockfile.models if model.model in self.names)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about what is worth knowing."""
        return self.locked.warnings

    def summary(self) -> str:
        """Return one line that says it all."""
        return f"added {count_text(len(self.names), 'model')}: {', '.join(self.names)}"

    def to_dict(self) -> dict[str, Any]:
        """Return the document that `synapse add --json` prints."""
        return {"added": [model_value(model) for model in self.models], "warnings": list(self.warnings)}

    def __repr__(self) -> str:
        return f"<Added: {', '.join(self.names)}>"
