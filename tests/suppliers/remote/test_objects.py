"""Errors of buckets in our words: nothing of an address or a header is repeated. The rest is `make services`."""

from __future__ import annotations

import pytest

from synapse_sync.core.remote import parse_remote
from synapse_sync.errors import AccessDenied, NetworkError, NotFound
from synapse_sync.net.failures import may_pass
from synapse_sync.suppliers.remote.objects import translated

REMOTE = parse_remote("s3://models/team", "remote")
URL = "https://models.example/x?X-Amz-Signature=hidden"


class GenericError(Exception):
    """As obstore's own."""


class PermissionDeniedError(Exception):
    """As obstore's own."""


def said(code: str, status: str = "") -> GenericError:
    return GenericError(f"Generic S3 error: {URL} {status}: <Error><Code>{code}</Code></Error> hidden")


@pytest.mark.parametrize(
    ("error", "kind", "again", "words"),
    [
        (said("SlowDown", "503 Service Unavailable"), NetworkError, True, "503 SlowDown"),
        (said("TooManyRequests", "429 Too Many Requests"), NetworkError, True, "429"),
        (GenericError(f"error sending request for url ({URL})"), NetworkError, True, "no answer"),
        (said("ExpiredToken", "400 Bad Request"), AccessDenied, False, "credentials have expired"),
        (said("SignatureDoesNotMatch", "403 Forbidden"), AccessDenied, False, "refuses access"),
        (PermissionDeniedError(URL), AccessDenied, False, "refuses access"),
        (FileNotFoundError(f"{URL} <Code>NoSuchBucket</Code>"), NotFound, False, "not found"),
        (said("MalformedXML", "400 Bad Request"), NetworkError, False, "400 MalformedXML"),
    ],
)
def test_each_failure(error: Exception, kind: type[Exception], again: bool, words: str) -> None:
    found = translated(error, REMOTE, "uploading a file")
    assert isinstance(found, kind) and may_pass(found) == again
    assert words in found.message and "s3://models/team" in found.message
    assert "hidden" not in f"{found.message} {found.hint}"
