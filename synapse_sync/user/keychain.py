"""The system's keyring, where there is one: macOS's keychain, Windows's, a desktop's secret service."""

from __future__ import annotations

from typing import Any

from synapse_sync.errors import AccessDenied

_SERVICE = "synapse-sync"
_EXTRA = "install `synapse-sync[keyring]` and unlock it, or run `synapse login {}` again"


def _keyring() -> Any | None:
    """The library, if it is installed and has found a keyring that keeps what it is given."""
    try:
        import keyring
        from keyring.backends import fail, null
    except ImportError:
        return None
    if isinstance(keyring.get_keyring(), fail.Keyring | null.Keyring):
        return None
    return keyring


def keep(host: str, token: str) -> bool:
    """Put the token for a host into the keyring; False if there is none or it does not take it."""
    library = _keyring()
    if library is None:
        return False
    try:
        library.set_password(_SERVICE, host, token)
        return bool(library.get_password(_SERVICE, host) == token)
    except Exception:  # every backend fails in its own way, and another place is at hand
        return False


def fetch(host: str) -> str:
    """The token for a host; raises `AccessDenied` if it cannot be had any more."""
    library = _keyring()
    token = None
    if library is not None:
        try:
            token = library.get_password(_SERVICE, host)
        except Exception:  # what a backend says might hold anything
            token = None
    if not isinstance(token, str) or not token:
        raise AccessDenied(
            f"the token for {host} was put into the system's keyring, which does not give it",
            hint=_EXTRA.format(host),
        )
    return token


def forget(host: str) -> bool:
    """Take the token for a host out of the keyring; False if that could not be done."""
    library = _keyring()
    if library is None:
        return False
    try:
        library.delete_password(_SERVICE, host)
    except Exception:  # it may have been taken out by hand
        return False
    return True
