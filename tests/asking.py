"""One question to a source, and its answer, of the kind that the test expects."""

from __future__ import annotations

from typing import Any

from synapse_sync.core.reference import Reference
from synapse_sync.errors import SynapseError
from synapse_sync.sources.base import Ask, Resolved, Source


def ask_one(source: Source, reference: Reference, **more: Any) -> Resolved | SynapseError:
    return source.resolve([Ask(key="it", reference=reference, **more)])["it"]


def resolve(source: Source, reference: Reference, **more: Any) -> Resolved:
    answer = ask_one(source, reference, **more)
    assert isinstance(answer, Resolved), answer
    return answer


def refuse(source: Source, reference: Reference, **more: Any) -> SynapseError:
    answer = ask_one(source, reference, **more)
    assert isinstance(answer, SynapseError), answer
    return answer
