"""The system's keyring: the keychain of macOS, the credential store of Windows, a desktop's secret service."""

from __future__ import annotations

from typing import Any

from synapse_sync.errors import AccessDenied

_SERVICE = "synapse-sync"
_EXTRA = "install `synapse-sync[keyring]` and unlock it, or run `synapse login {}` again"


def _keyring() -> Any | None:
    """Return the library `keyring`, or None if it is missing or has found no keyring that keeps passwords."""
    try:
        import keyring
        from keyring.backends import fail, null
    except ImportError:
        return None
    if isinstance(keyring.get_keyring(), fail.Keyring | null.Keyring):
        return None
    return keyring


def keep(host: str, token: str) -> bool:
    """Put the token for `host` into the keyring; returns whether it is in there now."""
    library = _keyring()
    if library is None:
        return False
    try:
        library.set_password(_SERVICE, host, token)
        return bool(library.get_password(_SERVICE, host) == token)
    except Exception:  # each backend raises its own exceptions; the caller writes a file instead
        return False


def fetch(host: str) -> str:
    """Return the token for `host` from the keyring; raises `AccessDenied` if it cannot be read."""
    library = _keyring()
    token = None
    if library is not None:
        try:
            token = library.get_password(_SERVICE, host)
        except Exception:  # the message is not repeated: it may contain the token
            token = None
    if not isinstance(token, str) or not token:
        raise AccessDenied(
            f"the token for {host} is in the system's keyring but could not be read",
            hint=_EXTRA.format(host),
        )
    return token


def forget(host: str) -> bool:
    """Remove the token for `host` from the keyring; returns whether that worked."""
    library = _keyring()
    if library is None:
        return False
    try:
        library.delete_password(_SERVICE, host)
    except Exception:  # the user may have removed it
        return False
    return True
