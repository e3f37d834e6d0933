"""Tokens: the places where each is looked for, and the text of a token."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Iterator, Mapping
from pathlib import Path

from synapse_sync.core.characters import named_character
from synapse_sync.core.frozen import dataclass
from synapse_sync.errors import InputError, StorageError
from synapse_sync.net.credentials import Secret
from synapse_sync.user.places import expanded
from synapse_sync.user.small_files import UnfitFile, read_small, refusal

#: Bytes of a token that comes through a pipe, at most.
_MOST_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Token:
    """A token, and words for its origin that may be shown. `kept` says that `synapse login` keeps it."""

    secret: Secret
    origin: str
    kept: bool = False


def clean_token(text: str, where: str) -> str | None:
    """Return a token without spaces, line breaks and byte order marks around it; None if nothing is left.

    Raises `InputError` for a character that no token has. It names `where` and the character, never the token.
    """
    token = text.strip().strip("\ufeff").strip()
    if len(token) > 1 and token[0] == token[-1] and token[0] in "\"'":
        raise InputError(f"{where}: the token has quotes around it", hint="write it without them")
    odd = next((char for char in token if not "!" <= char <= "~"), None)
    if odd is not None:
        words = "a letter that is not English" if odd.isalnum() else named_character(odd)
        raise InputError(
            f"{where}: the token has a character that no token has: {words}",
            hint="copy it again; nothing but the token itself should be there",
        )
    return token or None


def token_text(raw: bytes) -> str:
    """Return the text of a file with a token, as editors and shells write it: UTF-8 or, with its mark, UTF-16.

    Notepad begins UTF-8 with a byte order mark, and `>` of PowerShell 5 writes UTF-16. Bytes that are no text
    become characters that `clean_token` refuses.
    """
    encoding = "utf-16" if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    return raw.decode(encoding, "replace")


def first(candidates: Iterator[Token | None]) -> Token | None:
    """Return the first token; later places are not looked at."""
    return next((token for token in candidates if token is not None), None)


def from_environment(environ: Mapping[str, str], names: tuple[str, ...], file_name: str) -> Iterator[Token | None]:
    """Yield the token of each variable in `names`, then that of the file which the variable `file_name` names.

    None stands for an empty place. Raises `InputError` for a file that does not exist.
    """
    for name in names:
        value = clean_token(environ.get(name, ""), f"the environment variable {name}")
        yield None if value is None else Token(Secret(value), f"the environment variable {name}")
    if given := environ.get(file_name):
        path = Path(expanded(given, file_name))
        token = from_file(path, f"the file {path} ({file_name})")
        if token is None and not path.exists():
            raise InputError(f"{file_name} names {path}, which does not exist")
        yield token


def from_file(path: Path, origin: str) -> Token | None:
    """Return the token that is the whole content of the file `path`; None for an empty or absent file.

    `origin` are the words for it. Raises `InputError` or `StorageError`.
    """
    try:
        value = clean_token(token_text(_content(path)), origin)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnfitFile as error:
        raise refusal(error) from error
    except OSError as error:
        raise StorageError(f"cannot read {origin}: {error.strerror}") from error
    return None if value is None else Token(Secret(value), origin)


def _content(path: Path) -> bytes:
    """Return the bytes of a token file; raises like `read_small`.

    It may be a pipe, as in `CIVITAI_API_KEY_FILE=<(pass show civitai)`: only the user names it, no project.
    """
    if not path.is_fifo():
        return read_small(path)
    # Not blocking: a pipe that nobody writes into would hang the command; it ends at once instead.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        data = b""
        while len(data) <= _MOST_BYTES:
            try:
                piece = os.read(handle, _MOST_BYTES)
            except (
                BlockingIOError
            ):  # its writer is there and takes its time; without a writer, the end comes at once
                select.select([handle], [], [])
                continue
            if not piece:
                break
            data += piece
    finally:
        os.close(handle)
    if not data:
        raise UnfitFile(errno.EINVAL, "it is a pipe into which nothing is written", str(path))
    if len(data) > _MOST_BYTES:
        raise UnfitFile(errno.EFBIG, f"it has more than {_MOST_BYTES >> 10} kB", str(path))
    return data
