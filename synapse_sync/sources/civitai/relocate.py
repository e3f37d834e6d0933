"""Other locations of a locked file whose locked location answers 404.

The site replaces files by pointers to equal ones, which have other ids and belong to other versions. Files that
were linked never had an address by id. And some of its 404s are temporary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from synapse_sync.core.civitai_forms import SELECTORS
from synapse_sync.core.reference import Reference
from synapse_sync.errors import StatusError
from synapse_sync.sources.civitai.client import Client
from synapse_sync.sources.civitai.schema import ModelFile, ModelVersion


def other_places(client: Client, reference: Reference, sha256: str | None) -> Iterator[Reference]:
    """Yield locations to try in order, the locked one again at the end; requests are sent as they are consumed.

    The digest decides which files are meant; without one, the file id does.
    """
    tried = {_place(reference)}
    for other in _candidates(client, reference, sha256):
        if _place(other) not in tried:
            tried.add(_place(other))
            yield other
    yield reference


def _candidates(client: Client, reference: Reference, sha256: str | None) -> Iterator[Reference]:
    version = _asked(lambda: client.model_version(int(reference.revision or 0)))
    if version is not None:
        for file in version.files:
            if file.hashes.sha256 == sha256 if sha256 is not None else str(file.id) == reference.file:
                yield from _forms(version, file)
    holder = _asked(lambda: client.by_hash(sha256)) if sha256 is not None else None
    if holder is not None:
        for file in holder.files:
            if file.hashes.sha256 == sha256:
                yield from _forms(holder, file)


def _forms(version: ModelVersion, file: ModelFile) -> Iterator[Reference]:
    """Yield references to a file: by its id, then by the selectors in the site's own URL."""
    bare = Reference("civitai", "" if version.model_id is None else str(version.model_id), str(version.id))
    if file.id is not None:
        yield replace(bare, file=str(file.id))
    if file.download_url is not None and "fileId=" not in file.download_url:
        yield replace(bare, query=tuple(sorted(pair for pair in file.selectors if pair[0] in SELECTORS)))


def _asked(ask: Callable[[], ModelVersion]) -> ModelVersion | None:
    try:
        return ask()
    except StatusError as error:
        if error.status == 404:
            return None
        raise


def _place(reference: Reference) -> tuple[object, ...]:
    return reference.revision, reference.file, reference.query
