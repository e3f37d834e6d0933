"""Addresses of remotes: every form is read, none holds a secret, and each is written as it is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.remote import RemoteKind, blob_path, lockfile_path, parse_remote, parse_remotes
from synapse_sync.errors import InputError

DIGEST = "ab" * 32


@pytest.mark.parametrize(
    ("text", "kind", "container", "prefix"),
    [
        ("s3://models", RemoteKind.S3, "models", ""),
        ("s3://models/team/a/", RemoteKind.S3, "models", "team/a"),
        ("gs://models/team", RemoteKind.GOOGLE, "models", "team"),
        ("az://models/team", RemoteKind.AZURE, "models", "team"),
        ("https://Models.Example.org:8443/store", RemoteKind.HTTP, "models.example.org:8443", "store"),
        ("http://127.0.0.1:8000", RemoteKind.HTTP, "127.0.0.1:8000", ""),
        ("oci://Registry.example/team/models", RemoteKind.OCI, "registry.example", "team/models"),
        ("/mnt/nfs/store", RemoteKind.DIRECTORY, "", ""),
        ("file:///mnt/nfs/store", RemoteKind.DIRECTORY, "", ""),
        ("C:\\store", RemoteKind.DIRECTORY, "", ""),
    ],
)
def test_each_form(text: str, kind: RemoteKind, container: str, prefix: str) -> None:
    found = parse_remote(text, "remote")
    assert (found.kind, found.container, found.prefix) == (kind, container, prefix)
    assert parse_remote(found.address, "remote") == found
    assert found.is_writable == (kind not in (RemoteKind.HTTP, RemoteKind.OCI)), "`push oci://` writes a registry"


def test_options_of_s3() -> None:
    found = parse_remote("s3://b/p?region=eu-1&endpoint=https://s3.example.org:9000", "remote")
    assert (found.option("region"), found.option("endpoint")) == ("eu-1", "https://s3.example.org:9000")
    assert found.option("profile") is None
    assert found.key(blob_path(DIGEST)) == f"p/blobs/sha256/ab/{DIGEST}"
    assert parse_remote(found.address, "remote") == found


def test_a_tag_of_a_registry() -> None:
    found = parse_remote("oci://registry.example:5000/team/models:v1", "remote")
    assert (found.container, found.prefix, found.option("tag")) == ("registry.example:5000", "team/models", "v1")


def test_keys_without_a_prefix() -> None:
    assert parse_remote("s3://b", "").key(lockfile_path(DIGEST)) == f"lockfiles/sha256/ab/{DIGEST}"


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "s3:models", "s3://", "s3:///x", "ftp://host/x", "s3://a b/x", "s3://b/../x", "s3://b/a//x", "s3://b/./x",
        "https://user:hidden@host/x", "https://host/x?sig=hidden", "https://host/x#hidden", "s3://b?key=hidden",
        "s3://b?region=", "s3://b?endpoint=ftp://x", "s3://b?endpoint=https://u:hidden@x", "gs://b?region=x",
        "https://[::1/x", "https://host:0/x", "https://host:99999/x", "oci://registry", "oci://registry/UPPER",
        "oci://registry/a:", "file://host/x", "s3://b/\u202e", "x" * 2000, "https://user:hidden@host:99999/x",
        "https://user:hidden/x", "https://u:hidden?@h/x", "https://host:99999/?sig=hidden", "s3:key:hidden@b",
        "s3s://key:hidden@b/x", "s3s://key:hidden/x", "azure://host/c?sig=hidden", "x+s3://b?token=hidden",
        "s3://b/../x?profile=hidden", "https://user:hidden@h/" + "x" * 2000, "https://u:hidden@h/\u202e",
    ],
)  # fmt: skip
def test_what_cannot_be_meant(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_remote(text, "remote")
    assert caught.value.hint
    assert "hidden" not in f"{caught.value.message} {caught.value.hint}"


def test_a_list_is_read_in_its_order() -> None:
    found = parse_remotes(["s3://b", "/mnt/x", "s3://b"], "remote")
    assert [remote.address for remote in found] == ["s3://b", "/mnt/x"]
    for value in (3, [3], {"a": 1}):
        with pytest.raises(InputError):
            parse_remotes(value, "remote")


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse_remote(text, "remote")
    except InputError:
        return
    assert parse_remote(found.address, "remote").address == found.address
