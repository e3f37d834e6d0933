"""How a bucket is asked, by the variables of the clouds' own tools."""

from __future__ import annotations

import pytest

from synapse_sync.core.remote import RemoteKind
from synapse_sync.suppliers.remote.cloud_variables import Reading, endpoint_of, reading_of, skips_signatures

S3, GOOGLE, AZURE = RemoteKind.S3, RemoteKind.GOOGLE, RemoteKind.AZURE
SIGNED, STREAMED = Reading.SIGNED, Reading.STREAMED


@pytest.mark.parametrize(
    ("kind", "environ", "failed", "reading"),
    [
        (S3, {}, False, SIGNED),
        (S3, {}, True, SIGNED),  # without any credentials, a request would fail in the same way
        (S3, {"AWS_SKIP_SIGNATURE": "true"}, False, STREAMED),
        (S3, {"AWS_SKIP_SIGNATURE": "false"}, False, SIGNED),
        (S3, {"GOOGLE_SKIP_SIGNATURE": "true"}, False, SIGNED),
        (GOOGLE, {}, False, SIGNED),
        (GOOGLE, {}, True, STREAMED),
        (GOOGLE, {"GOOGLE_SKIP_SIGNATURE": "1"}, False, STREAMED),
        (GOOGLE, {"STORAGE_EMULATOR_HOST": "localhost:4443"}, False, STREAMED),
        (GOOGLE, {"GOOGLE_BEARER_TOKEN": "t"}, False, STREAMED),
        (GOOGLE, {"GOOGLE_BEARER_TOKEN": "t", "GOOGLE_SERVICE_ACCOUNT": "f"}, False, SIGNED),
        (AZURE, {}, True, STREAMED),
        (AZURE, {"AZURE_STORAGE_SAS_TOKEN": "sv=1"}, False, STREAMED),
        (AZURE, {"AZURE_STORAGE_TOKEN": "t"}, False, STREAMED),
        (AZURE, {"AZURE_STORAGE_SAS_KEY": "sv=1", "AZURE_STORAGE_ACCOUNT_KEY": "k"}, False, SIGNED),
        (AZURE, {"AZURE_SKIP_SIGNATURE": "on"}, False, STREAMED),
    ],
)
def test_how_bytes_are_read(kind: RemoteKind, environ: dict[str, str], failed: bool, reading: Reading) -> None:
    assert reading_of(kind, environ, signing_failed=failed) is reading


@pytest.mark.parametrize(
    ("kind", "environ", "endpoint"),
    [
        (S3, {}, None),
        (S3, {"AWS_ENDPOINT_URL": "https://a", "AWS_ENDPOINT_URL_S3": "https://b"}, "https://b"),
        (S3, {"STORAGE_EMULATOR_HOST": "a:1"}, None),
        (GOOGLE, {"STORAGE_EMULATOR_HOST": "a:1"}, "http://a:1"),
        (GOOGLE, {"STORAGE_EMULATOR_HOST": "https://a:1"}, "https://a:1"),
        (GOOGLE, {"STORAGE_EMULATOR_HOST": "a:1", "GOOGLE_BASE_URL": "https://b"}, "https://b"),
        (AZURE, {}, None),
        (AZURE, {"AZURE_STORAGE_USE_EMULATOR": "true"}, "http://127.0.0.1:10000"),
        (AZURE, {"AZURE_STORAGE_USE_EMULATOR": "1", "AZURITE_BLOB_STORAGE_URL": "http://x:1"}, "http://x:1"),
        (AZURE, {"AZURITE_BLOB_STORAGE_URL": "http://x:1"}, None),
        (AZURE, {"AZURE_STORAGE_ENDPOINT": "https://e"}, "https://e"),
    ],
)
def test_where_a_bucket_is_asked(kind: RemoteKind, environ: dict[str, str], endpoint: str | None) -> None:
    assert endpoint_of(kind, environ) == endpoint


def test_an_emulator_of_google_needs_no_credentials_unless_its_address_is_named_for_them() -> None:
    assert skips_signatures(GOOGLE, {"STORAGE_EMULATOR_HOST": "a:1"})
    assert not skips_signatures(GOOGLE, {"STORAGE_EMULATOR_HOST": "a:1", "GOOGLE_BASE_URL": "http://a:1"})
