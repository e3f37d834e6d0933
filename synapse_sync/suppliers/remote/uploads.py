"""Unfinished multipart uploads of an S3 bucket, which obstore does not list: a killed push leaves one.

Two requests of S3's own (ListMultipartUploads, AbortMultipartUpload), signed as Amazon documents it for queries:
docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from dataclasses import field
from datetime import datetime
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.instant import parse_instant
from synapse_sync.errors import NetworkError

_ALGORITHM = "AWS4-HMAC-SHA256"
#: How long such a request holds, in seconds.
_SECONDS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """The keys that sign requests to a bucket; `bucket` is its URL, which ends with a slash."""

    bucket: str
    region: str
    key_id: str
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)

    def url(
        self, method: str, key: str, query: Mapping[str, str], now: datetime, *, seconds: int = _SECONDS
    ) -> str:
        """The URL of a request for a key, empty for the bucket itself; its signature is valid for `seconds`."""
        parts = urlsplit(self.bucket)
        path = parts.path + quote(key, safe="/-_.~")
        day, moment = f"{now:%Y%m%d}", f"{now:%Y%m%dT%H%M%SZ}"
        scope = f"{day}/{self.region}/s3/aws4_request"
        values = {
            **query,
            "X-Amz-Algorithm": _ALGORITHM,
            "X-Amz-Credential": f"{self.key_id}/{scope}",
            "X-Amz-Date": moment,
            "X-Amz-Expires": str(seconds),
            "X-Amz-SignedHeaders": "host",
            **({"X-Amz-Security-Token": self.token} if self.token else {}),
        }
        pairs = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in values.items())
        text = "&".join(f"{name}={value}" for name, value in pairs)
        asked = "\n".join((method, path, text, f"host:{parts.netloc}\n", "host", "UNSIGNED-PAYLOAD"))
        hashed = hashlib.sha256(asked.encode()).hexdigest()
        key_bytes = f"AWS4{self.secret}".encode()
        for word in (day, self.region, "s3", "aws4_request"):
            key_bytes = _hmac(key_bytes, word)
        signature = _hmac(key_bytes, "\n".join((_ALGORITHM, moment, scope, hashed))).hex()
        return f"{parts.scheme}://{parts.netloc}{path}?{text}&X-Amz-Signature={signature}"


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An upload that did not end: its key, its id, and when it began, in seconds since 1970."""

    key: str
    id: str
    began: float


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of them; `following` is the query of the next page, empty for the last one."""

    uploads: tuple[Unfinished, ...]
    following: Mapping[str, str]


def parse_listing(body: bytes) -> Listing:
    """Read an answer to ListMultipartUploads; raises `NetworkError` for another document."""
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        raise NetworkError("the list of unfinished uploads cannot be read") from None
    found = {_name(child): (child.text or "") for child in root}
    following = {}
    if found.get("IsTruncated") == "true" and found.get("NextKeyMarker"):
        following = {"key-marker": found["NextKeyMarker"], "upload-id-marker": found.get("NextUploadIdMarker", "")}
    return Listing(tuple(_uploads(root)), following)


def _uploads(root: ElementTree.Element) -> Iterator[Unfinished]:
    for element in root:
        if _name(element) != "Upload":
            continue
        values = {_name(child): (child.text or "") for child in element}
        began = parse_instant(values.get("Initiated"))
        if began is not None and values.get("Key") and values.get("UploadId"):
            yield Unfinished(values["Key"], values["UploadId"], began.timestamp())


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
