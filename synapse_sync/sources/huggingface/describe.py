"""The files of a repository as candidates, and the repository as a card."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from synapse_sync.core.artifact import Candidate, ModelCard
from synapse_sync.core.instant import instant_text
from synapse_sync.core.names import safe_filename, safe_path
from synapse_sync.core.reference import Reference
from synapse_sync.core.repository_selection import precision_of, quant_of
from synapse_sync.sources.huggingface.client import Repository
from synapse_sync.sources.huggingface.statuses import ENDPOINT
from synapse_sync.sources.repository_files import RepoFile, format_in, type_of


def candidate_of(repository: Repository, file: RepoFile, *, whole_path: bool) -> Candidate:
    """Return a file as a candidate; raises `UnsafeName` for a path that some file system does not accept."""
    last = file.path.rpartition("/")[2]
    return Candidate(
        filename=safe_path(file.path).text if whole_path else safe_filename(last),
        url=Reference.verbatim(f"{ENDPOINT}/{repository.id}/resolve/{repository.commit}/{quote(file.path)}"),
        size=file.size,
        sha256=file.sha256,
        git_sha1=file.git_sha1,
        format=format_in(file.path, whole=whole_path),
        precision=precision_of(last),
        quant=quant_of(last),
    )


def card_of(repository: Repository, files: Sequence[RepoFile]) -> ModelCard:
    title = repository.id
    facts = (("license", repository.license),) if repository.license else ()
    modified = repository.modified
    return ModelCard(
        title=title,
        version_name=repository.commit[:12],
        type=type_of(files),
        base_model=repository.base_model,
        published=instant_text(modified) if modified else None,
        license=facts,
        gated=repository.gated or ("private" if repository.private else None),
    )
