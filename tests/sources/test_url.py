from __future__ import annotations

import pytest

from synapse_sync.core.digest import Digest
from synapse_sync.core.reference import Reference
from synapse_sync.errors import AccessDenied, NetworkError, NotFound, StatusError
from synapse_sync.sources.base import Ask, Resolved
from synapse_sync.sources.url import UrlSource


def resolve(url: str):
    return UrlSource().resolve([Ask(key="it", reference=Reference.parse(url))])["it"]


@pytest.mark.parametrize(
    ("url", "filename", "format"),
    [
        ("https://example.org/files/My%20Model.safetensors", "My Model.safetensors", "safetensors"),
        ("https://example.org/files/x.ckpt?download=true", "x.ckpt", "pickle"),
        ("https://example.org/a/..%2F..%2Fetc%2Fpasswd", "passwd", "other"),
        ("https://example.org/", "model", "other"),
        ("https://example.org/con", "_con", "other"),
    ],
)
def test_the_file_is_named_by_the_end_of_the_path(url, filename, format) -> None:
    answer = resolve(url)
    assert isinstance(answer, Resolved)
    (candidate,) = answer.candidates
    assert (candidate.filename, candidate.format) == (filename, format)
    assert (candidate.size, candidate.sha256) == (None, None)
    assert not answer.take_all


def test_the_locked_url_is_the_reference_and_is_located_as_itself() -> None:
    url = "https://example.org/files/x.gguf?v=2"
    answer = resolve(url)
    assert answer.candidates[0].url == answer.reference
    assert UrlSource().locate(answer.candidates[0].url).url == url


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, AccessDenied), (403, AccessDenied), (404, NotFound), (410, NotFound), (429, NetworkError),
     (500, NetworkError), (416, NetworkError)],
)  # fmt: skip
def test_statuses_in_words(status, kind) -> None:
    error = StatusError("raw", status=status, url="https://example.org/x.gguf")
    told = UrlSource().explain(Reference("url", "https://example.org/x.gguf"), error)
    assert type(told) is kind
    assert "https://example.org/x.gguf" in told.message
    assert told.hint


def test_a_refusal_says_where_a_token_would_go() -> None:
    error = StatusError("raw", status=401, url="https://example.org/x.gguf")
    told = UrlSource().explain(Reference("url", "https://example.org/x.gguf"), error)
    assert told.hint is not None and "`synapse login example.org`" in told.hint


def test_nothing_is_known_beforehand() -> None:
    source = UrlSource()
    assert source.identify([Digest("sha256", "ab" * 32)]) == {}
    assert source.needs_token(Reference("url", "https://example.org/x")) is None
