"""Requests for unfinished uploads: the signature of Amazon's own example, and lists as servers write them."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.errors import NetworkError
from synapse_sync.suppliers.remote.uploads import Signer, parse_listing

LIST = b"""<?xml version="1.0" encoding="UTF-8"?>
<ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Bucket>models</Bucket>
<IsTruncated>true</IsTruncated><NextKeyMarker>a/b</NextKeyMarker><NextUploadIdMarker>u2</NextUploadIdMarker>
<Upload><Key>a/b</Key><UploadId>u1</UploadId><Initiated>2026-11-30T12:00:00.000Z</Initiated></Upload>
<Upload><Key>a/c</Key><UploadId></UploadId><Initiated>2026-11-30T12:00:00Z</Initiated></Upload>
<Upload><Key>a/d</Key><UploadId>u3</UploadId><Initiated>yesterday</Initiated></Upload>
</ListMultipartUploadsResult>"""


def test_the_signature_is_the_one_of_the_documentation() -> None:
    """The example of docs.aws.amazon.com, "Authenticating Requests: Using Query Parameters", for five minutes."""
    signer = Signer(
        bucket="https://examplebucket.s3.amazonaws.com/",
        region="us-east-1",
        key_id="AKIAIOSFODNN7EXAMPLE",
        secret="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    )
    url = signer.url("GET", "test.txt", {}, datetime(2013, 5, 24, tzinfo=UTC), seconds=86400)
    assert url.endswith("X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404")
    assert "wJalr" not in repr(signer)


def test_a_page_and_the_next_one() -> None:
    found = parse_listing(LIST)
    moment = datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()
    assert [(each.key, each.id, each.began) for each in found.uploads] == [("a/b", "u1", moment)]
    assert found.following == {"key-marker": "a/b", "upload-id-marker": "u2"}
    assert not parse_listing(LIST.replace(b"true", b"false")).following


@given(st.binary(max_size=300))
def test_any_answer_is_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(NetworkError):
        assert parse_listing(body).uploads == ()
