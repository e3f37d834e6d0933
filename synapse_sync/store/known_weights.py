"""The kinds of files whose headers were read, by SHA-256, so that no header is requested twice. A hint only."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path

from synapse_sync.core.weights.identify import Weights
from synapse_sync.store.durable import where_writable, write_note
from synapse_sync.user.small_files import read_small

_NAME = "weights.json"
#: Raised where the rules change what they say: older answers are asked for again then.
_RULES = 2
MOST_FILES = 5_000


def read_known(store: Path) -> dict[str, Weights]:
    """The remembered answers by SHA-256; empty if they cannot be read."""
    with contextlib.suppress(OSError, ValueError, TypeError, AttributeError, RecursionError):
        data = json.loads(read_small(store / _NAME))
        if data.get("rules") == _RULES:
            return {
                str(sha256): Weights(
                    kind=_text(kind),
                    family=_text(family),
                    precision=_text(precision),
                    bases=tuple(str(base) for base in bases),
                )
                for sha256, (kind, family, precision, bases) in data.get("files").items()
            }
    return {}


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def remember_weights(store: Path, found: Mapping[str, Weights]) -> None:
    """Add answers to those that other processes remembered meanwhile; the oldest are dropped.

    Nothing is written into a store that does not exist or cannot be written to. Raises `StorageError`.
    """
    if not found or not store.is_dir():
        return
    files = {sha256: weights for sha256, weights in read_known(store).items() if sha256 not in found} | dict(found)
    kept = list(files.items())[-MOST_FILES:]
    answers = {sha256: [w.kind, w.family, w.precision, w.bases] for sha256, w in kept}
    value = {"rules": _RULES, "files": answers}
    with where_writable():
        # Not durable: without it a header is only requested once more.
        write_note(store / _NAME, json.dumps(value).encode("ascii"))
