"""The places in which Docker and Podman keep logins."""

from __future__ import annotations

import base64
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from synapse_sync.errors import AccessDenied, InputError
from synapse_sync.net.registry_tokens import Login
from synapse_sync.user.docker_logins import DockerLogins

HOST = "registry.example:5000"


def auth(user: str, password: str = "pass") -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def keep(path: Path, table: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(table if isinstance(table, str) else json.dumps(table))


def found(home: Path, host: str = HOST, name: str = "team/models", **environ: str) -> Login | None:
    return DockerLogins(environ, home, lambda name: None).of(host, name)


def user(login: Login | None) -> str | None:
    return None if login is None else login.user


def test_docker_s_file(tmp_path: Path) -> None:
    assert found(tmp_path) is None
    keep(tmp_path / ".docker/config.json", {"auths": {HOST: auth("ada", "a:b")}})
    login = found(tmp_path)
    assert login is not None and (login.user, login.secret.reveal()) == ("ada", "a:b")
    assert found(tmp_path, "registry.example") is None and found(tmp_path, f"evil.{HOST}") is None


def test_the_order_of_the_places(tmp_path: Path) -> None:
    places = {
        "home": tmp_path / ".docker/config.json",
        "podman": tmp_path / ".config/containers/auth.json",
        "runtime": tmp_path / "run/containers/auth.json",
        "named": tmp_path / "named/config.json",
        "file": tmp_path / "auth.json",
    }
    for name, path in places.items():
        keep(path, {"auths": {HOST: auth(name)}})
    assert user(found(tmp_path)) == "podman"
    assert user(found(tmp_path, XDG_CONFIG_HOME=str(tmp_path / "other"))) == "home"
    runtime = {"XDG_RUNTIME_DIR": str(tmp_path / "run")}
    assert user(found(tmp_path, **runtime)) == "runtime"
    named = {**runtime, "DOCKER_CONFIG": str(tmp_path / "named")}
    assert user(found(tmp_path, **named)) == "named"
    assert user(found(tmp_path, **named, REGISTRY_AUTH_FILE=str(places["file"]))) == "file"


def test_the_narrowest_entry_counts(tmp_path: Path) -> None:
    entries = {HOST: auth("all"), f"{HOST}/team": auth("team"), f"{HOST}/team/models": auth("models")}
    keep(tmp_path / ".docker/config.json", {"auths": entries})
    names = ("team/models", "team/other", "teams/models")
    assert [user(found(tmp_path, name=name)) for name in names] == ["models", "team", "all"]


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "docker.io", "index.docker.io"])
def test_docker_hub(tmp_path: Path, key: str) -> None:
    keep(tmp_path / ".docker/config.json", {"auths": {key: auth("ada")}})
    assert user(found(tmp_path, "docker.io", "ada/models")) == "ada"
    assert found(tmp_path) is None


@pytest.mark.parametrize("key", [f"https://{HOST}", f"https://{HOST}/v1/", f"https://{HOST}/v2/"])
def test_keys_that_are_addresses(tmp_path: Path, key: str) -> None:
    keep(tmp_path / ".docker/config.json", {"auths": {key: auth("ada")}})
    assert user(found(tmp_path)) == "ada"


def test_tokens_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / ".docker/config.json"
    keep(path, {"auths": {HOST: {**auth("<token>", ""), "identitytoken": "refresh"}}})
    login = found(tmp_path)
    assert login is not None and login.refresh and login.secret.reveal() == "refresh"
    keep(path, {"auths": {HOST: {"registrytoken": "whole"}}})
    login = found(tmp_path)
    assert login is not None and (login.user, login.refresh, login.secret.reveal()) == ("", False, "whole")
    keep(path, {"auths": {HOST: {"username": "ada", "password": "pass"}}})
    assert user(found(tmp_path)) == "ada"
    keep(path, {"auths": {HOST: {}}})
    assert found(tmp_path) is None


@pytest.mark.parametrize("text", ["[]", "{", f'{{"auths": {{"{HOST}": {{"auth": "*canary*"}}}}}}', "5", "\0"])
def test_a_file_that_is_none(tmp_path: Path, text: str) -> None:
    keep(tmp_path / ".docker/config.json", text)
    with pytest.raises(InputError) as caught:
        found(tmp_path)
    assert "canary" not in f"{caught.value} {caught.value.hint} {caught.value.__cause__}"


@pytest.mark.parametrize("text", ["", "{}", '{"auths": []}', '{"auths": {"x": 5}}', '{"credHelpers": {"x": 5}}'])
def test_a_file_without_logins(tmp_path: Path, text: str) -> None:
    keep(tmp_path / ".docker/config.json", text)
    assert found(tmp_path) is None


# -- helpers -----------------------------------------------------------------------------------------

posix = pytest.mark.skipif(os.name == "nt", reason="the helper is a script of a shell")


def helper(directory: Path, body: str) -> Path:
    path = directory / "docker-credential-test"
    path.write_text(f"#!{sys.executable}\nimport sys\nserver = sys.stdin.read()\n{body}\n")
    path.chmod(0o755)
    return path


@posix
@pytest.mark.parametrize("table", [{"credHelpers": {HOST: "test"}}, {"credsStore": "test", "auths": {HOST: {}}}])
def test_a_helper(tmp_path: Path, table: dict[str, Any]) -> None:
    body = 'assert sys.argv[1:] == ["get"]\nprint(\'{"Username": "\' + server + \'", "Secret": "s"}\')'
    path = helper(tmp_path, body)
    keep(tmp_path / ".docker/config.json", table)
    login = DockerLogins({}, tmp_path, lambda name: str(path) if name == path.name else None).of(HOST, "m")
    assert login is not None and (login.user, login.secret.reveal(), login.refresh) == (HOST, "s", False)


@posix
def test_a_helper_with_a_token(tmp_path: Path) -> None:
    path = helper(tmp_path, 'print(\'{"Username": "<token>", "Secret": "s"}\')')
    keep(tmp_path / ".docker/config.json", {"credHelpers": {HOST: "test"}})
    login = DockerLogins({}, tmp_path, lambda name: str(path)).of(HOST, "m")
    assert login is not None and login.refresh


@posix
@pytest.mark.parametrize(
    ("body", "fails"),
    [
        ("print('credentials not found in native keychain'); sys.exit(1)", False),
        ("print('canary'); sys.exit(1)", True),
        ("print('canary')", True),
        ("print('{\"Username\": 5}')", True),
    ],
)
def test_a_helper_that_has_none_or_fails(tmp_path: Path, body: str, fails: bool) -> None:
    path = helper(tmp_path, body)
    keep(tmp_path / ".docker/config.json", {"credsStore": "test"})
    logins = DockerLogins({}, tmp_path, lambda name: str(path))
    if not fails:
        assert logins.of(HOST, "m") is None
        return
    with pytest.raises(AccessDenied) as caught:
        logins.of(HOST, "m")
    assert "canary" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize("name", ["absent", "../evil", "-x", "a b", ""])
def test_a_helper_that_is_not_there(tmp_path: Path, name: str) -> None:
    keep(tmp_path / ".docker/config.json", {"credHelpers": {HOST: name}})
    with pytest.raises(AccessDenied, match="not installed"):
        DockerLogins({}, tmp_path, lambda name: "docker-credential-x").of(HOST, "m")
