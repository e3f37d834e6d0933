"""Logins to registries, as `docker login`, `podman login` and their like keep them: in files, or in programs.

Facts: Docker's `docs/reference/commandline/login.md` and docker-credential-helpers' README; podman's
`containers-auth.json(5)`. Nothing is written here.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from synapse_sync.errors import AccessDenied, InputError, StorageError
from synapse_sync.net.credentials import Secret
from synapse_sync.net.registry_tokens import Login
from synapse_sync.user.places import expanded
from synapse_sync.user.small_files import UnfitFile, read_small, refusal

#: The host of Docker Hub as people write it, and the names under which its logins are kept.
DOCKER_HUB = "docker.io"
_HUB_KEYS = ("https://index.docker.io/v1/", "index.docker.io", "registry-1.docker.io")
_LARGEST, _MOST_OUTPUT = 1 << 20, 64 << 10
#: A helper may ask its user for the password of a keychain.
_PATIENCE = 120.0
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
#: The name by which helpers say that their secret is a token for the token service.
_TOKEN_USER = "<token>"
#: Says which program to run for a name, as `shutil.which` does.
Which = Callable[[str], str | None]


class DockerLogins:
    """The logins of this user. `environ` are the variables, `home` is the user's directory, or None.

    `which` finds the program of a name. Each file is read when the first registry asks for a login.
    """

    def __init__(self, environ: Mapping[str, str], home: Path | None, which: Which) -> None:
        self._places = tuple(_places(environ, home))
        self._which = which

    def of(self, host: str, name: str) -> Login | None:
        """The login for a repository of a registry (`host` with its port), or None.

        Raises `InputError` for a file with another content, `StorageError` for one that cannot be read, and
        `AccessDenied` for a helper that fails. None of them shows a secret.
        """
        for path in self._places:
            found = self._in_file(path, host, name)
            if found is not None:
                return found
        return None

    def _in_file(self, path: Path, host: str, name: str) -> Login | None:
        table = _read(path)
        keys = (*_keys(host, name),)
        helpers, entries = _table(table, "credHelpers"), _table(table, "auths")
        for key in keys:
            if isinstance(helper := helpers.get(key), str):
                return self._from_helper(helper, key, path)
        for key in keys:
            if isinstance(entry := entries.get(key), dict) and (found := _login(entry, path, key)) is not None:
                return found
        if isinstance(store := table.get("credsStore"), str) and store:
            return next(filter(None, (self._from_helper(store, key, path) for key in _servers(host))), None)
        return None

    def _from_helper(self, helper: str, server: str, path: Path) -> Login | None:
        """The login that a helper has for a server; None if it says that it has none."""
        program = f"docker-credential-{helper}"
        found = self._which(program) if _HELPER.fullmatch(helper) else None
        if found is None or not Path(found).is_absolute():
            raise AccessDenied(
                f"{path} names the helper `{helper[:64]}` for {server}, and `{program[:84]}` is not installed",
                hint=f"install it, or log in without it: `podman login {server}`",
            )
        try:
            done = subprocess.run(
                [found, "get"], input=server.encode(), capture_output=True, timeout=_PATIENCE, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            raise _failed(program, server) from None
        if done.returncode != 0:
            if b"not found" in done.stdout[:_MOST_OUTPUT]:
                return None
            raise _failed(program, server)  # its own words are not repeated: they may contain the secret
        return _from_output(done.stdout[:_MOST_OUTPUT], program, server)


def _places(environ: Mapping[str, str], home: Path | None) -> Iterator[Path]:
    """The files in which logins may be, the one that counts first; they need not exist."""
    if given := environ.get("REGISTRY_AUTH_FILE"):
        yield Path(expanded(given, "REGISTRY_AUTH_FILE"))
    if given := environ.get("DOCKER_CONFIG"):
        yield Path(expanded(given, "DOCKER_CONFIG")) / "config.json"
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime) / "containers/auth.json"
    if settings := environ.get("XDG_CONFIG_HOME"):
        yield Path(settings) / "containers/auth.json"
    elif home is not None:
        yield home / ".config/containers/auth.json"
    if home is not None and not environ.get("DOCKER_CONFIG"):
        yield home / ".docker/config.json"


def _read(path: Path) -> dict[str, Any]:
    """The table in a file; an empty one if the file does not exist."""
    try:
        data = read_small(path, _LARGEST)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except UnfitFile as error:
        raise refusal(error, "replace it, or log in again with `docker login` or `podman login`") from error
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    try:
        value = json.loads(data.decode("utf-8-sig")) if data.strip() else {}
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        # Without the cause, which shows what is in the file.
        raise InputError(
            f"{path} is not JSON as `docker login` writes it", hint="correct it, or remove it and log in again"
        ) from None
    return value


def _table(table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = table.get(key)
    return value if isinstance(value, dict) else {}


def _servers(host: str) -> tuple[str, ...]:
    """The names under which a login for a whole registry is kept."""
    return (_HUB_KEYS[0], host, *_HUB_KEYS[1:]) if host == DOCKER_HUB else (host, f"https://{host}")


def _keys(host: str, name: str) -> Iterator[str]:
    """The keys of a file that may be about a repository, the narrowest first (podman), then Docker's own."""
    parts = name.split("/")
    for count in range(len(parts), 0, -1):
        yield "/".join((host, *parts[:count]))
    yield from _servers(host)
    yield from (f"https://{host}/v1/", f"https://{host}/v2/", f"https://{host}/")


def _login(entry: Mapping[str, Any], path: Path, key: str) -> Login | None:
    """The login in an entry of `auths`; None for an empty one, which only says that a helper has it."""
    if isinstance(token := entry.get("registrytoken"), str) and token:
        return Login("", _secret(token, path, key))
    coded = entry.get("auth")
    user, password = entry.get("username"), entry.get("password")
    if isinstance(coded, str) and coded:
        try:
            user, _, password = base64.b64decode(coded, validate=True).decode().rstrip("\0").partition(":")
        except ValueError:
            raise _odd(path, key) from None
    if isinstance(token := entry.get("identitytoken"), str) and token:
        return Login(user if isinstance(user, str) else "", _secret(token, path, key), refresh=True)
    if not isinstance(user, str) or not isinstance(password, str) or not user or not password:
        return None
    return Login(user, Secret(password))


def _secret(token: str, path: Path, key: str) -> Secret:
    """A token that becomes part of a header; raises `InputError` for a character that none may have."""
    if not all("!" <= char <= "~" for char in token):
        raise _odd(path, key)
    return Secret(token)


def _from_output(data: bytes, program: str, server: str) -> Login | None:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise _failed(program, server) from None
    user, secret = (value.get("Username"), value.get("Secret")) if isinstance(value, dict) else (None, None)
    if not isinstance(user, str) or not isinstance(secret, str):
        raise _failed(program, server)
    if not secret:
        return None
    return Login("", Secret(secret), refresh=True) if user == _TOKEN_USER else Login(user, Secret(secret))


def _failed(program: str, server: str) -> AccessDenied:
    return AccessDenied(
        f"`{program}` did not return the login for {server}",
        hint=f"run `docker login {server}` again, and try once more",
    )


def _odd(path: Path, key: str) -> InputError:
    return InputError(f"{path}: the login for {key} cannot be read", hint=f"log in again: `docker login {key}`")
