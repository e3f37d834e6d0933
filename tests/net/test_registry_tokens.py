"""Which login is shown to whom, and which token is sent where: through the two clients, against a registry."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from registry_double import RegistryDouble, Trouble, digest_of

from synapse_sync.errors import NetworkError, StatusError
from synapse_sync.net.api import Api
from synapse_sync.net.credentials import Credentials, Grant, Secret
from synapse_sync.net.registry_tokens import Login, RegistryTokens
from synapse_sync.net.wire import Wire

PASSWORD = "canary-0b7d-password"
ADA = Login("ada", Secret(PASSWORD))
DATA = b"0123456789" * 1000
DIGEST = digest_of(DATA)


@pytest.fixture
def registry() -> Iterator[RegistryDouble]:
    with RegistryDouble({"ada": PASSWORD}) as running:
        running.content[DIGEST] = DATA
        running.blobs["m"] = running.blobs["n"] = {DIGEST}
        yield running


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def credentials(
    registry: RegistryDouble, login: Login | None = ADA, clock: Clock | None = None, name: str = "m"
) -> Credentials:
    """Credentials that know one repository of the registry."""

    def client(grants: Sequence[Grant]) -> Api:
        return Api(Credentials(grants))

    tokens = RegistryTokens(
        login=lambda host, name: login if host == registry.host else None,
        client=client,
        check=Credentials().check_realm,
        clock=clock or Clock(),
    )
    found = Credentials(renewing=tokens)
    found.expect(registry.host, name, registry.url)
    return found


def read(wire: Wire, url: str, **how: Any) -> bytes:
    with wire.open(url, verified=True, **how) as stream:
        buffer = bytearray(20_000)
        filled = 0
        while count := stream.readinto(memoryview(buffer)[filled:]):
            filled += count
        return bytes(buffer[:filled])


def blob(registry: RegistryDouble, name: str = "m") -> str:
    return f"{registry.url}/v2/{name}/blobs/{DIGEST}"


def shown(registry: RegistryDouble) -> list[tuple[str, str]]:
    """The paths and the schemes of `Authorization`, in order."""
    return [(one.path.partition("?")[0], one.authorization.partition(" ")[0]) for one in registry.asked]


def test_a_challenge_is_answered_once_for_many_requests(registry: RegistryDouble) -> None:
    with Wire(credentials(registry)) as wire:
        assert read(wire, blob(registry)) == DATA
        assert read(wire, blob(registry), start=10, end=20) == DATA[10:20]
        wire.check(blob(registry))
    path = f"/v2/m/blobs/{DIGEST}"
    assert shown(registry) == [(path, ""), ("/token", "Basic"), *[(path, "Bearer")] * 3]


@pytest.mark.parametrize("scheme", ["bearer", "basic"])
def test_the_api_client_answers_alike(registry: RegistryDouble, scheme: str) -> None:
    registry.scheme = scheme
    with Api(credentials(registry)) as api:
        assert api.exchange("GET", blob(registry)).body == DATA
        assert api.exchange("HEAD", blob(registry)).status == 200


def test_another_repository_is_nobody_s_business(registry: RegistryDouble) -> None:
    """Its challenge is not answered: the user has not named it."""
    with Wire(credentials(registry)) as wire, pytest.raises(StatusError, match="401"):
        read(wire, blob(registry, "n"))
    assert len(registry.asked) == 1


def test_a_token_that_the_registry_forgot_is_renewed(registry: RegistryDouble) -> None:
    with Wire(credentials(registry)) as wire:
        read(wire, blob(registry))
        registry.revoke()
        assert read(wire, blob(registry)) == DATA
    assert [path for path, _ in shown(registry)].count("/token") == 2


def test_a_token_is_not_sent_after_its_time(registry: RegistryDouble) -> None:
    clock = Clock()
    with Wire(credentials(registry, clock=clock)) as wire:
        read(wire, blob(registry))
        clock.now = 1000.0
        read(wire, blob(registry))
    assert [scheme for path, scheme in shown(registry) if path != "/token"] == ["", "Bearer", "", "Bearer"]


def test_threads_share_one_token(registry: RegistryDouble) -> None:
    with Wire(credentials(registry)) as wire:
        threads = [threading.Thread(target=read, args=(wire, blob(registry))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [path for path, _ in shown(registry)].count("/token") == 1


def test_a_token_stays_behind_when_blobs_are_elsewhere(registry: RegistryDouble) -> None:
    with RegistryDouble() as elsewhere:
        registry.elsewhere = elsewhere.url
        with Wire(credentials(registry)) as wire, pytest.raises(StatusError, match="404"):
            read(wire, blob(registry))
        assert len(elsewhere.asked) == 1 and elsewhere.asked[0].authorization == ""


def test_a_wrong_login_ends_at_the_registry_s_own_answer(registry: RegistryDouble) -> None:
    wrong = Login("ada", Secret("canary-wrong"))
    for scheme in ("bearer", "basic"):
        registry.scheme = scheme
        registry.asked.clear()
        with Wire(credentials(registry, wrong)) as wire, pytest.raises(StatusError, match="401") as caught:
            read(wire, blob(registry))
        assert "canary" not in str(caught.value) and len(registry.asked) <= 4


def test_without_a_login_a_public_token_is_asked_for(registry: RegistryDouble) -> None:
    with Wire(credentials(registry, None)) as wire, pytest.raises(StatusError, match="401"):
        read(wire, blob(registry))
    assert ("/token", "") in shown(registry)


def test_a_refresh_token_is_shown_to_the_service_alone(registry: RegistryDouble) -> None:
    registry.refresh["canary-refresh"] = "ada"
    login = Login("", Secret("canary-refresh"), refresh=True)
    with Wire(credentials(registry, login)) as wire:
        assert read(wire, blob(registry)) == DATA
    assert [one.method for one in registry.asked] == ["GET", "POST", "GET"]
    assert not [one for one in registry.asked if "canary" in one.path + str(one.headers)]


def test_a_token_of_the_registry_itself_is_sent_as_it_is(registry: RegistryDouble) -> None:
    login = Login("", Secret(registry.token({"m:pull"})))
    with Wire(credentials(registry, login)) as wire:
        assert read(wire, blob(registry)) == DATA
    assert "/token" not in [path for path, _ in shown(registry)]


@pytest.mark.parametrize(
    "realm", ["http://auth.example/token", "ftp://auth.example/", "https://u:p@auth.example/", "nonsense", ""]
)
def test_a_service_to_which_no_login_is_shown(registry: RegistryDouble, realm: str) -> None:
    registry.realm = realm or " "
    with Wire(credentials(registry)) as wire, pytest.raises(NetworkError):
        read(wire, blob(registry))
    assert [path for path, _ in shown(registry)] == [f"/v2/m/blobs/{DIGEST}"]


def test_a_registry_outside_names_no_service_inside() -> None:
    check = Credentials().check_realm
    for realm in ("https://10.0.0.1/token", "https://localhost/token", "http://127.0.0.1/token"):
        with pytest.raises(NetworkError):
            check("https://registry.example/v2/m/", realm)
    check("https://registry.example/v2/m/", "https://auth.example/token")
    check("http://127.0.0.1:5000/v2/m/", "http://127.0.0.1:5001/token")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"token": 5}', b'{"token": "a\\nb"}', b'{"token": ""}'])
def test_an_answer_without_a_token(registry: RegistryDouble, body: bytes) -> None:
    registry.troubles.append(Trouble("GET", "/token", status=200, body=body))
    with Wire(credentials(registry)) as wire, pytest.raises(NetworkError, match="no token"):
        read(wire, blob(registry))


@pytest.mark.parametrize("seconds", ["1" + "0" * 400, "1e400", "NaN", "-1", "null", '"60"', "[]"])
def test_an_odd_time_to_live_is_no_error(registry: RegistryDouble, seconds: str) -> None:
    token = registry.token({"m:pull"})
    body = f'{{"token": "{token}", "expires_in": {seconds}}}'.encode()
    registry.troubles.append(Trouble("GET", "/token", status=200, body=body))
    with Wire(credentials(registry)) as wire:
        assert read(wire, blob(registry)) == DATA


def test_no_secret_is_shown(registry: RegistryDouble) -> None:
    own = credentials(registry)
    with Wire(own) as wire:
        read(wire, blob(registry))
    token = next(iter(registry.tokens))
    assert own.scrub(f"{PASSWORD} {token} {ADA.basic.reveal()}") == "*** *** ***"
    assert PASSWORD not in repr(ADA)
