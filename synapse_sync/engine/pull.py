"""Pull: bring the locked files from the remotes into the store, and place nothing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.policy import permissions_for
from synapse_sync.engine.push_choice import named
from synapse_sync.engine.tools import Tools
from synapse_sync.errors import NotFound, SynapseError
from synapse_sync.project import Project
from synapse_sync.suppliers.remote.remotes import Remotes
from synapse_sync.transfer.want import Got, Want, want_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """The outcome of a pull: how many files were `there` already, those that came, and the failures."""

    there: int
    got: tuple[Got, ...]
    errors: tuple[SynapseError, ...]
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        return {
            "there": self.there,
            "pulled": [{"sha256": got.sha256, "size": got.size, "remote": got.remote} for got in self.got],
            "bytes": sum(got.size for got in self.got),
            "errors": [error.to_dict() for error in self.errors],
            "warnings": list(self.warnings),
        }


def pull(project: Project, names: Collection[str], tools: Tools, remotes: Remotes) -> Pulled:
    """Bring the files of the models called `names`, or of all, into the store; only remotes are asked.

    Raises `InputError` for an unknown name. A file that no remote has is a failure in the answer, and so is one
    whose copy in the store was changed.
    """
    entries = {entry.name: entry for entry in project.manifest.entries()}
    models = named(project.lockfile.models, names) if names else project.lockfile.models
    wants: dict[str, Want] = {}
    for model in models:
        for file in model.artifacts:
            allowed = permissions_for(entries.get(model.name), file.filename, tools.forbidden)
            want = want_of(file, f"{model.name} ({file.filename})", allowed=allowed)
            wants[file.sha256] = replace(want, places=(), archive=None)
    missing = {sha256: want for sha256, want in wants.items() if not tools.store.has(sha256)}
    transfers = tools.transfers()
    answers = transfers.fetch(list(missing.values())) if missing else ()
    pairs = zip(missing.values(), answers, strict=True)
    failed = (_in_words(want, answer, remotes) for want, answer in pairs if isinstance(answer, SynapseError))
    return Pulled(
        there=len(wants) - len(missing),
        got=tuple(got for got in answers if isinstance(got, Got)),
        errors=tuple(failed),
        warnings=tuple(transfers.heard()),
    )


def _in_words(want: Want, error: SynapseError, remotes: Remotes) -> SynapseError:
    """The error for a file that did not come: where no location was left, why the remotes had none."""
    return remotes.shortfall(want) if isinstance(error, NotFound) else error
