"""The file of kept tokens, and the texts that tokens come in."""

from __future__ import annotations

from pathlib import Path

import pytest

from synapse_sync.errors import InputError
from synapse_sync.store.durable import write_private
from synapse_sync.user.kept_tokens import forget, format_kept, keep, read_kept
from synapse_sync.user.tokens import clean_token, from_file, token_text

TOKEN = "abcDEF0123456789"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "synapse" / "tokens.toml"


def test_a_token_is_kept_and_forgotten(path: Path) -> None:
    assert keep(path, "a.example", TOKEN, write=write_private) == f"the file {path}"
    keep(path, "b.example", "other", write=write_private)
    assert read_kept(path) == {"a.example": TOKEN, "b.example": "other"}
    assert path.stat().st_mode & 0o777 == 0o600
    assert forget(path, "a.example", write=write_private) == (True, ())
    assert forget(path, "a.example", write=write_private) == (False, ())
    assert read_kept(path) == {"b.example": "other"}


@pytest.mark.parametrize("raw", [b"\xef\xbb\xbf" + format_kept({"a.example": TOKEN}).encode(),
                                 format_kept({"a.example": TOKEN}).replace("\n", "\r\n").encode()])  # fmt: skip
def test_the_file_is_read_as_any_editor_saves_it(path: Path, raw: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(raw)
    assert read_kept(path) == {"a.example": TOKEN}


@pytest.mark.parametrize("raw", [f'"a.example" = "{TOKEN}'.encode(), f'"a.example" = "{TOKEN}"'.encode("utf-16")])
def test_a_damaged_file_is_refused_and_its_token_is_not_shown(path: Path, raw: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(raw)
    with pytest.raises(InputError) as caught:
        read_kept(path)
    assert TOKEN not in f"{caught.value} {caught.value.hint} {caught.value.__cause__}"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b" \r\n\r\n"])
def test_a_token_file_in_utf8(tmp_path: Path, mark: bytes, end: bytes) -> None:
    file = tmp_path / "key.txt"
    file.write_bytes(mark + TOKEN.encode() + end)
    token = from_file(file, "key.txt")
    assert token is not None and token.secret.reveal() == TOKEN


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_token_file_in_utf16(tmp_path: Path, encoding: str) -> None:
    mark = "" if encoding == "utf-16" else "\ufeff"
    file = tmp_path / "key.txt"
    file.write_bytes(f"{mark}{TOKEN}\r\n".encode(encoding))
    token = from_file(file, "key.txt")
    assert token is not None and token.secret.reveal() == TOKEN


@pytest.mark.parametrize("quote", ["'", '"'])
def test_quotes_of_an_env_file_are_no_part_of_a_token(quote: str) -> None:
    with pytest.raises(InputError, match="has quotes around it"):
        clean_token(f"{quote}{TOKEN}{quote}\n", "the environment variable X")


def test_a_file_that_holds_nothing_but_a_mark_is_empty(tmp_path: Path) -> None:
    file = tmp_path / "key.txt"
    file.write_bytes(b"\xef\xbb\xbf\r\n")
    assert from_file(file, "key.txt") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("abc\u200bdef", "U+200B (zero width space)"),
        ("abc def", "a space"),
        ("abc\r\ndef", "a carriage return"),
        ("abc\u00adef", "U+00AD (soft hyphen)"),
        ("abc\ufeffdef", "a byte order mark"),
        ("abcücde", "a letter that is not English"),
        (token_text(TOKEN.encode("utf-16-le")), "a null character"),  # without its mark nobody can know
        (token_text(b"\xff\xff" + TOKEN.encode()), "bytes that are not UTF-8"),
    ],
)
def test_a_character_that_no_token_has_is_named(text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        clean_token(text, "the file key.txt")
    assert caught.value.message == f"the file key.txt: the token has a character that no token has: {words}" or (
        words == "a byte order mark" and words in caught.value.message
    )
    assert "abc" not in caught.value.message
