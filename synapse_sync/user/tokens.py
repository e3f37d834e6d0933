"""Tokens: where each is looked for, which one counts, and the file in which `synapse login` keeps them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import tomli

from synapse_sync.errors import InputError, StorageError
from synapse_sync.net.credentials import Secret
from synapse_sync.user.keychain import fetch
from synapse_sync.user.places import expanded

FILE = "tokens.toml"
_HEADER = "# Written by `synapse login`; `synapse logout` takes tokens away. Do not share it.\n"


@dataclass(frozen=True, slots=True)
class Token:
    """A token and where it came from, as words that may be shown. `kept` is one that `synapse login` keeps."""

    secret: Secret
    origin: str
    kept: bool = False


def clean_token(text: str, where: str) -> str | None:
    """A token without what surrounds it; None if nothing is left. Raises `InputError` that never shows it."""
    token = text.strip()
    if any(not "!" <= char <= "~" for char in token):
        raise InputError(
            f"{where}: the token has a character that no token has (a space, a line break, a control character …)",
            hint="copy it again; nothing but the token itself should be there",
        )
    return token or None


def first(candidates: Iterator[Token | None]) -> Token | None:
    """The first token there is; the places after it are not looked at."""
    return next((token for token in candidates if token is not None), None)


def from_environment(environ: Mapping[str, str], names: tuple[str, ...], file_name: str) -> Iterator[Token | None]:
    """The token from the first variable that is set, then from the file that another one names."""
    for name in names:
        value = clean_token(environ.get(name, ""), f"the environment variable {name}")
        yield None if value is None else Token(Secret(value), f"the environment variable {name}")
    if given := environ.get(file_name):
        path = Path(expanded(given))
        token = from_file(path, f"the file {path} ({file_name})")
        if token is None and not path.exists():
            raise InputError(f"{file_name} names {path}, which does not exist")
        yield token


def from_file(path: Path, origin: str) -> Token | None:
    """The token that is all there is in a file; None if there is no file."""
    try:
        value = clean_token(path.read_text(encoding="utf-8", errors="replace"), origin)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StorageError(f"cannot read {origin}: {error.strerror}") from error
    return None if value is None else Token(Secret(value), origin)


def read_kept(path: Path) -> dict[str, str | None]:
    """What `synapse login` keeps: the token by host, or None where it lies in the keyring."""
    try:
        table = tomli.loads(path.read_bytes().decode())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    except (tomli.TOMLDecodeError, UnicodeDecodeError, RecursionError):
        raise InputError(f"{path}: not valid TOML", hint="delete it and log in again") from None
    kept: dict[str, str | None] = {}
    for host, value in table.items():
        if isinstance(value, str):
            kept[host] = value
        elif value == {"keyring": True}:
            kept[host] = None
        else:
            raise InputError(f"{path}: `{host}` makes no sense", hint="delete the line and log in again")
    return kept


def format_kept(kept: Mapping[str, str | None]) -> str:
    """The text of that file. Hosts and tokens are plain ASCII without quotes' enemies, see `clean_token`."""

    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    lines = (
        f"{quoted(host)} = {'{ keyring = true }' if token is None else quoted(token)}\n"
        for host, token in sorted(kept.items())
    )
    return _HEADER + "".join(lines)


def kept_token(host: str, kept: Mapping[str, str | None], path: Path) -> Token | None:
    """A kept token; the keyring is opened when somebody wants to see it, not before."""
    if host not in kept:
        return None
    token = kept[host]
    if token is not None:
        value = clean_token(token, f"{path}: {host}")
        return None if value is None else Token(Secret(value), f"the file {path}", kept=True)
    return Token(Secret(_from_keyring(host)), "the system's keyring", kept=True)


def _from_keyring(host: str) -> Callable[[], str]:
    return lambda: clean_token(fetch(host), f"the keyring: {host}") or ""
