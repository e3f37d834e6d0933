"""Hugging Face: one request a repository. The hub's own library is loaded when it is first asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synapse_sync.net.api import Api
    from synapse_sync.sources.base import Means, Source


def make(means: Means) -> Source:
    """Make the source. The hub's library sends the requests, so it is given the endpoint after the rewrites."""
    from synapse_sync.sources.huggingface.source import HuggingFaceSource

    endpoint, token = means.asked("huggingface")
    return HuggingFaceSource(
        endpoint,
        token,
        means.offline,
        credentials=means.credentials(),
        tls=means.tls,
        tls_early=means.tls_early,
        retry=means.retry(),
        bounds=means.bounds(),
        at_close=means.at_close,
    )


def account(api: Api, endpoint: str) -> object:
    """Ask for the name of the account that the token of `api` belongs to."""
    answer = api.get_json(f"{endpoint}/api/whoami-v2")
    return answer.get("name") if isinstance(answer, dict) else None
