"""Profiles of the AWS tools: whose keys count, and what only those tools can do."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.errors import InputError
from synapse_sync.suppliers.remote.aws_profile import read_profile

KEYS = "aws_access_key_id = AK\naws_secret_access_key = S%K\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/credentials").write_text(f"[default]\n{KEYS}\n[team]\n{KEYS}aws_session_token = T\n")
    (tmp_path / ".aws/config").write_text(
        "[profile team]\nregion = eu-1\nendpoint_url = https://s3.example.org\n[profile sso]\nsso_session = x\n"
    )
    return tmp_path


def test_the_default_profile_needs_no_name(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    found = read_profile(None, {}, home)
    assert found is not None and found.keys == {"access_key_id": "AK", "secret_access_key": "S%K"}
    assert "S%K" not in repr(found)
    assert read_profile(None, {}, tmp_path_factory.mktemp("empty")) is None
    assert read_profile(None, {}, None) is None


def test_the_address_goes_before_the_variable(home: Path) -> None:
    found = read_profile("team", {"AWS_PROFILE": "nobody"}, home)
    assert found is not None and found.keys["session_token"] == "T"
    assert (found.region, found.endpoint) == ("eu-1", "https://s3.example.org")
    assert read_profile(None, {"AWS_PROFILE": "team"}, home) == found


def test_other_files(home: Path, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("[default]\naws_access_key_id = other\n")
    found = read_profile(None, {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "other")}, home)
    assert found is not None and found.keys["access_key_id"] == "other"


def test_what_cannot_be_used_says_what_to_do(home: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_profile("nobody", {}, home)
    with pytest.raises(InputError, match="has no keys of its own") as caught:
        read_profile("sso", {}, home)
    assert "export-credentials --profile sso" in str(caught.value.hint)


@given(st.binary(max_size=200))
def test_any_file_is_read_or_passed_over(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "credentials"
    path.write_bytes(data)
    with contextlib.suppress(InputError):
        read_profile(None, {"AWS_SHARED_CREDENTIALS_FILE": str(path)}, None)
