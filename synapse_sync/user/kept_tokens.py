"""Kept tokens: the file, and the keyring, in which `synapse login` keeps tokens; `synapse logout` removes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from synapse_sync.core.toml import read_toml, toml_text
from synapse_sync.core.toml_error import TomlError
from synapse_sync.errors import InputError, StorageError
from synapse_sync.net.credentials import Secret
from synapse_sync.user import keychain
from synapse_sync.user.small_files import UnfitFile, read_small, refusal
from synapse_sync.user.tokens import Token, clean_token

FILE = "tokens.toml"
_HEADER = "# Written by `synapse login`; `synapse logout` removes tokens. Do not share it.\n"
#: Writes a file that only its owner can read: path and content. It is handed in, since the store's room is above.
Write = Callable[[Path, bytes], None]


def keep(path: Path, host: str, token: str, *, write: Write) -> str:
    """Keep the token for `host`, in the keyring if possible, else in the file `path`.

    Returns the place in words. Raises `StorageError`.
    """
    kept = read_kept(path)
    in_keyring = keychain.keep(host, token)
    write(path, format_kept({**kept, host: None if in_keyring else token}).encode())
    return "the system's keyring" if in_keyring else f"the file {path}"


def forget(path: Path, host: str, *, write: Write) -> tuple[bool, tuple[str, ...]]:
    """Remove the token for `host`; returns whether one was kept, and warnings. Raises `StorageError`."""
    kept = read_kept(path)
    if host not in kept:
        return False, ()
    warnings: tuple[str, ...] = ()
    if kept[host] is None and not keychain.forget(host):
        warnings = (f"the token for {host} could not be removed from the keyring; remove `synapse-sync` by hand",)
    write(path, format_kept({name: token for name, token in kept.items() if name != host}).encode())
    return True, warnings


def read_kept(path: Path) -> dict[str, str | None]:
    """Read the kept tokens by host; None stands for a token in the keyring. An absent file has none.

    Raises `StorageError` if the file cannot be read, and `InputError`, which never shows a token, if it is damaged.
    """
    try:
        table = read_toml(toml_text(read_small(path)))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except UnfitFile as error:
        raise refusal(error) from error
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    except TomlError:  # without the cause, which shows the line with the token
        raise InputError(f"{path}: not valid TOML", hint="delete it and log in again") from None
    kept: dict[str, str | None] = {}
    for host, value in table.items():
        if isinstance(value, str):
            kept[host] = value
        elif value == {"keyring": True}:
            kept[host] = None
        else:
            raise InputError(f"{path}: the value of `{host}` is no token", hint="delete the line and log in again")
    return kept


def format_kept(kept: Mapping[str, str | None]) -> str:
    """Return the content of the file of kept tokens.

    Hosts and tokens are printable ASCII (see `clean_token`), so that quotes and backslashes are all to be escaped.
    """

    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    lines = (
        f"{quoted(host)} = {'{ keyring = true }' if token is None else quoted(token)}\n"
        for host, token in sorted(kept.items())
    )
    return _HEADER + "".join(lines)


def kept_token(host: str, kept: Mapping[str, str | None], path: Path) -> Token | None:
    """Return the kept token for `host`, or None. The keyring is opened when the token is used, not before."""
    if host not in kept:
        return None
    token = kept[host]
    if token is not None:
        value = clean_token(token, f"{path}: {host}")
        return None if value is None else Token(Secret(value), f"the file {path}", kept=True)
    return Token(Secret(_from_keyring(host)), "the system's keyring", kept=True)


def _from_keyring(host: str) -> Callable[[], str]:
    return lambda: clean_token(keychain.fetch(host), f"the keyring: {host}") or ""
