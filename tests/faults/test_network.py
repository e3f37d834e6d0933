"""Cases 1 to 19: the network fails."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import pytest
from authority import Authority
from cases import case
from invariants import leftovers
from liar import Liar, Lie, Talk
from stage import Stage
from stand_ins import bounded, limited, names
from world import surroundings

from synapse_sync.demo import catalogue
from synapse_sync.demo.exchange import Fault
from synapse_sync.demo.weights import safetensors_bytes

REMARKS = {
    3: "the API client and the downloads both give up after 10 s; here after less",
    8: "below 1 KiB/s for 60 s; here for less",
    14: "a redirect to a login page is a matter of access (3), a web page that just comes one of integrity (6)",
    18: "addresses are tried one after the other, so one that swallows packets costs the 10 s of the time limit",
}
MODEL = safetensors_bytes("a model", size=200_000)
OTHER = safetensors_bytes("another", size=3_000)
PATH, PLACE = "/m.safetensors", "models/checkpoints/m.safetensors"
DOWNLOAD = "/api/download/"


def declared(**urls: str) -> str:
    """A manifest of plain URLs."""
    return "".join(f'[models.{name}]\nsource = "{url}"\ntype = "checkpoint"\n' for name, url in urls.items())


@pytest.fixture
def url(stage: Stage, liar: Liar) -> str:
    """A locked model whose bytes are not here yet."""
    url = liar.offer(PATH, MODEL)
    stage.locked(declared(m=url))
    liar.asked.clear()
    return url


@pytest.fixture
def portrait(stage: Stage) -> str:
    """A locked model of Civitai whose bytes are not here yet; the value is its place."""
    stage.locked(f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}@{catalogue.PORTRAIT_V1}"\n')
    return "models/checkpoints/portrait_v1.safetensors"


def hasty() -> AbstractContextManager[None]:
    """Time limits of a fraction of a second, for the command that runs into them alone."""
    return bounded(connect=0.2, read=0.2)


# -- no connection -----------------------------------------------------------------------------------


@case(1)
def test_nobody_listens(stage: Stage, liar: Liar, url: str) -> None:
    liar.stop()
    said = stage("sync", code=5)
    assert f"127.0.0.1:{liar.port}" in said.err and "refused" in said.err
    assert stage.tree() == {} and leftovers(stage.store, [stage.path]) == [
        f"{stage.path}/precious/.synapse-tmp-notes"
    ]


@case(2)
@pytest.mark.parametrize("words", [("sync",), ("lock", "--upgrade")])
def test_host_name_is_not_found(stage: Stage, portrait: str, words: tuple[str]) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    before = stage.lock_text
    with names(unknown):
        said = stage(*words, code=5)
    shown = said.out + said.err
    assert "name" in shown.lower() and "check the connection" in shown
    assert stage.tree() == {} and stage.lock_text == before


@case(3)
def test_packets_are_swallowed(stage: Stage, liar: Liar, url: str) -> None:
    liar.stop()
    with socket.socket() as door, socket.socket() as first, socket.socket() as second:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind(("127.0.0.1", liar.port))
        door.listen(0)  # the queue has room for one; who comes later hears nothing
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", liar.port))
        with hasty():
            said = stage("sync", code=5)
    assert "no connection in time" in said.err
    assert stage.tree() == {}


@case(18)
@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
def test_ipv6_is_named_and_only_ipv4_works(stage: Stage, liar: Liar, url: str) -> None:
    def both(real: Callable[..., Any], host: str, port: int, *rest: Any, **named: Any) -> list[Any]:
        sixth = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0))
        return [sixth, *real("127.0.0.1", port, *rest, **named)]

    with names(both):
        stage("sync")
    assert stage.tree() == {PLACE: MODEL} and liar.count() == 1


# -- certificates, the clock -------------------------------------------------------------------------


@pytest.fixture
def secure(stage: Stage, liar: Liar, authority: Authority) -> Liar:
    """The liar behind TLS, and trusted: a model is locked there."""
    os.environ["SSL_CERT_FILE"] = str(authority.bundle)
    liar.tls = authority.context()
    stage.locked(declared(m=liar.offer(PATH, MODEL)))
    liar.asked.clear()
    return liar


@case(4, 19)
@pytest.mark.parametrize(
    "certificate, word, hint",
    [
        ({"name": "DNS:elsewhere.example"}, "127.0.0.1", "SSL_CERT_FILE"),
        ({"days": -1}, "expired", "clock"),
        (None, "issuer", "SSL_CERT_FILE"),
    ],
    ids=["another name", "expired", "unknown authority"],
)
@pytest.mark.parametrize("verb", ["sync", "lock"])
def test_certificate_that_cannot_be_trusted(
    stage: Stage,
    secure: Liar,
    authority: Authority,
    certificate: dict[str, Any] | None,
    word: str,
    hint: str,
    verb: str,
) -> None:
    """It is not asked again, not without checking, and not over http."""
    good = secure.tls
    stage.healers.append(lambda: setattr(secure, "tls", good))
    with surroundings():
        if certificate is None:
            del os.environ["SSL_CERT_FILE"]
        else:
            secure.tls = authority.context(**certificate)
        os.environ["CIVITAI_ENDPOINT"] = secure.url
        if verb == "lock":
            stage.manifest(declared(m=f"{secure.url}{PATH}", eyes=f"civitai:{catalogue.EYES}"))
        said = stage(verb, code=5)
    shown = said.out + said.err
    assert "certificate" in shown and word in shown and hint in shown
    assert secure.asked == [] and stage.tree() == {}


@case(19)
def test_times_decide_nothing(stage: Stage, liar: Liar, url: str) -> None:
    stage("sync")
    future = 4_000_000_000
    for path in (*stage.store.rglob("*"), *(stage.path / "models").rglob("m.*")):
        os.utime(path, (future, future), follow_symlinks=False)
    liar.asked.clear()
    stage("sync")
    stage("verify", "--store")
    assert stage.tree() == {PLACE: MODEL} and liar.asked == []


# -- the connection breaks ---------------------------------------------------------------------------


def torn(liar: Liar, after: int) -> Lie:
    """The honest answer up to a byte, then a reset."""

    def lie(talk: Talk) -> None:
        talk.serve(liar.files[PATH], limit=after)
        talk.reset()

    return lie


def ended(liar: Liar, after: int) -> Lie:
    """The honest answer up to a byte, then a polite end."""
    return lambda talk: talk.serve(liar.files[PATH], limit=after)


@case(5, 6)
@pytest.mark.parametrize("after", [0, 100_000, len(MODEL) - 1])
@pytest.mark.parametrize("kind", [torn, ended])
def test_broken_connection_is_gone_on_with(
    stage: Stage, liar: Liar, url: str, kind: Callable[[Liar, int], Lie], after: int
) -> None:
    liar.lie(PATH, kind(liar, after))
    stage("sync")
    assert stage.tree() == {PLACE: MODEL} and liar.count() == 2
    if kind is ended and after:
        assert liar.asked[1].headers["range"] == f"bytes={after}-"


@case(5, 6)
@pytest.mark.parametrize("kind", [torn, ended])
def test_connection_that_always_breaks_leaves_a_part_to_go_on_with(
    stage: Stage, liar: Liar, url: str, kind: Callable[[Liar, int], Lie]
) -> None:
    liar.always(PATH, lambda talk: kind(liar, 50_000 if talk.part() == (0, None) else 0)(talk))
    stage("sync", code=5)
    assert stage.tree() == {} and stage.blobs() == []
    liar.repent()
    liar.asked.clear()
    stage("sync")
    assert stage.tree() == {PLACE: MODEL}
    assert liar.count() == 1 and liar.asked[0].headers["range"].startswith("bytes=")


@case(7)
@pytest.mark.parametrize("always", [False, True])
def test_body_that_stalls(stage: Stage, liar: Liar, url: str, always: bool) -> None:
    def stall(talk: Talk) -> None:
        talk.serve(liar.files[PATH], limit=1000)
        talk.wait(20)

    (liar.always if always else liar.lie)(PATH, stall)
    with hasty():
        said = stage("sync", code=5 if always else 0)
    if always:
        assert "no answer in time" in said.err
    else:
        assert stage.tree() == {PLACE: MODEL}


@case(8)
def test_body_that_drips(stage: Stage, liar: Liar, url: str) -> None:
    def drip(talk: Talk) -> None:
        talk.serve(liar.files[PATH], limit=1000)
        for byte in MODEL[1000:1200]:
            talk.send(bytes([byte]))
            if talk.wait(0.02):
                return

    liar.lie(PATH, drip)
    with limited(slowest=5000.0, patience=0.2, watch_every=0.05):
        stage("sync")
    assert stage.tree() == {PLACE: MODEL} and liar.count() == 2


@case(8)
@pytest.mark.parametrize("sent", [b"X-Y: z\r\n", b"z", b"HTTP/1.1 100 Continue\r\n\r\n"])
@pytest.mark.parametrize("always", [True, False])
def test_headers_that_drip(stage: Stage, liar: Liar, url: str, sent: bytes, always: bool) -> None:
    def drip(talk: Talk) -> None:
        talk.send(b"" if sent.startswith(b"HTTP") else b"HTTP/1.1 200 OK\r\n")
        for _ in range(400):
            talk.send(sent)
            if talk.wait(0.05):
                return

    (liar.always if always else liar.lie)(PATH, drip)
    with bounded(head=0.2):
        said = stage("sync", code=5 if always else 0)
    if always:
        assert "no answer in time" in said.err
    else:
        assert stage.tree() == {PLACE: MODEL} and liar.count() == 2


@case(7, 8)
@pytest.mark.parametrize("pause", [20.0, 0.05])
def test_api_that_stalls_or_drips(stage: Stage, liar: Liar, pause: float) -> None:
    def slow(talk: Talk) -> None:
        talk.head(200, Content_Type="application/json", Content_Length=1000)
        for _ in range(1000):
            talk.send(b" ")
            if talk.wait(pause):
                return

    liar.always("/api/v1/models", slow)
    liar.always("/api/v1/model-versions/910011", slow)
    stage.manifest(f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}@{catalogue.PORTRAIT_V1}"\n')
    with surroundings(), bounded(connect=0.2, read=0.2, answer=0.4):
        os.environ["CIVITAI_ENDPOINT"] = liar.url
        said = stage("lock", code=5)
    assert "in time" in said.err and not (stage.path / "synapse.lock").exists()


# -- statuses ----------------------------------------------------------------------------------------


@case(9)
@pytest.mark.parametrize("status", [408, 429, 503])
def test_server_that_works_at_the_last_attempt(stage: Stage, portrait: str, status: int) -> None:
    stage.hub.faults.add(DOWNLOAD, Fault(status=status, times=3))
    stage("sync")
    assert [*stage.tree()] == [portrait]
    assert sum(seen.path.startswith(DOWNLOAD) for seen in stage.hub.requests()) == 4


@case(10)
@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_server_in_trouble_is_not_asked_for_ever(stage: Stage, portrait: str, status: int) -> None:
    stage.hub.faults.add(DOWNLOAD, Fault(status=status))
    said = stage("sync", code=5)
    assert str(status) in said.err
    assert sum(seen.path.startswith(DOWNLOAD) for seen in stage.hub.requests()) == 4
    assert stage.tree() == {}


@case(11)
@pytest.mark.parametrize(
    "value, requests, code",
    [
        ("0", 2, 0),
        ("1", 2, 0),
        ("3600", 1, 5),
        ("9" * 40, 1, 5),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 2, 0),
        ("Wed, 21 Oct 2199 07:28:00 GMT", 1, 5),
        ("-5", 2, 0),
        ("soon", 2, 0),
        ("1e9", 2, 0),
        ("٣", 2, 0),
    ],
)
def test_retry_after(stage: Stage, portrait: str, value: str, requests: int, code: int) -> None:
    header = {"Retry-After": value.encode().decode("latin-1")}
    stage.hub.faults.add(DOWNLOAD, Fault(status=429, headers=header, times=1))
    said = stage("sync", code=code)
    assert sum(seen.path.startswith(DOWNLOAD) for seen in stage.hub.requests()) == requests
    if code:
        assert "asks to wait" in said.err


@case(12)
@pytest.mark.parametrize("status", [404, 410])
def test_gone_for_one_and_there_for_the_others(stage: Stage, liar: Liar, status: int) -> None:
    m, other = liar.offer(PATH, MODEL), liar.offer("/other.safetensors", OTHER)
    stage.locked(declared(m=m, other=other))
    before = stage.lock_text
    liar.asked.clear()
    liar.always(PATH, lambda talk: talk.head(status, Content_Length=0))
    said = stage("sync", code=4)
    assert f"({status})" in said.err and stage.lock_text == before
    assert stage.tree() == {"models/checkpoints/other.safetensors": OTHER} and liar.count(PATH) == 1


@case(13)
@pytest.mark.parametrize("status", [401, 403])
def test_refused_without_a_storm(stage: Stage, portrait: str, status: int) -> None:
    stage.hub.faults.add(DOWNLOAD, Fault(status=status))
    said = stage("sync", code=3)
    assert "Civitai" in said.err and ("API key" in said.err or "account" in said.err)
    assert sum(seen.path.startswith(DOWNLOAD) for seen in stage.hub.requests()) == 1


@case(13)
@pytest.mark.parametrize("status", [401, 403])
def test_refusal_of_any_other_host_says_where_a_token_goes(stage: Stage, liar: Liar, url: str, status: int) -> None:
    liar.always(PATH, lambda talk: talk.head(status, Content_Length=0))
    said = stage("sync", code=3)
    assert f"127.0.0.1:{liar.port}" in said.err and "synapse login" in said.err and liar.count() == 1


@case(13)
def test_early_access_since_the_lock(stage: Stage, portrait: str) -> None:
    civitai = stage.hub.civitai
    model = civitai.models[catalogue.PORTRAIT]
    stage.healers.append(lambda: civitai.add(model))
    paid = tuple(replace(version, early_access="2099-01-01T00:00:00.000Z") for version in model.versions)
    civitai.add(replace(model, versions=paid))
    assert "early access" in stage("sync", code=3).err.lower()
    assert sum(seen.path.startswith(DOWNLOAD) for seen in stage.hub.requests()) == 1


@case(13, 14)
@pytest.mark.parametrize("times", [None, 1])
def test_redirect_to_the_login_page(stage: Stage, portrait: str, times: int | None) -> None:
    login = {"Location": "/login?returnUrl=/models/1&reason=download-auth"}
    stage.hub.faults.add(DOWNLOAD, Fault(status=307, headers=login, times=times))
    stage.hub.faults.add("/login", Fault(html=True))
    said = stage("sync", code=3)
    assert "API key" in said.err and stage.tree() == {}


@case(14)
def test_redirect_of_any_other_host_to_its_login_page(stage: Stage, liar: Liar, url: str) -> None:
    liar.always(PATH, lambda talk: talk.head(302, Location="/users/login?next=/m", Content_Length=0))
    said = stage("sync", code=3)
    assert f"127.0.0.1:{liar.port}" in said.err and "synapse login" in said.err
    assert liar.count("/users/login") == 0 and liar.count() == 1


@case(14)
@pytest.mark.parametrize("status, code, word", [(200, 6, "token"), (451, 3, "legal reasons (451)")])
def test_web_page_of_a_host_that_nobody_knows(
    stage: Stage, liar: Liar, url: str, status: int, code: int, word: str
) -> None:
    page = b"<!doctype html><title>Welcome</title>"
    liar.always(
        "/welcome",
        lambda talk: talk.head(status, Content_Type="text/html", Content_Length=len(page)) or talk.send(page),
    )
    liar.always(PATH, lambda talk: talk.head(302, Location="/welcome", Content_Length=0))
    said = stage("sync", code=code)
    assert "/welcome" in said.err and word in said.err and stage.tree() == {}


# -- proxies -----------------------------------------------------------------------------------------

_PASSWORD = "pr0xy-pa55-word"


@pytest.fixture
def behind(stage: Stage, liar: Liar, sandbox: Any) -> str:
    """A model of a host that only the proxy can reach; the liar is the proxy."""
    (sandbox / "config.toml").write_text('allow-http = ["model.example"]\n')
    os.environ["HTTP_PROXY"] = f"http://user:{_PASSWORD}@127.0.0.1:{liar.port}"
    os.environ["http_proxy"] = f"http://user:{_PASSWORD}@127.0.0.1:{liar.port}"
    stage.secrets.append(_PASSWORD)
    url = "http://model.example/m.safetensors"
    liar.offer(url, MODEL)
    stage.locked(declared(m=url))
    return url


@case(15)
def test_proxy_is_used(stage: Stage, liar: Liar, behind: str) -> None:
    stage("sync")
    assert stage.tree() == {PLACE: MODEL}
    assert all("proxy-authorization" in asked.headers for asked in liar.asked)


@case(15)
@pytest.mark.parametrize("kind", ["refuses", 407, 502])
def test_proxy_that_does_not_help(stage: Stage, liar: Liar, behind: str, kind: str | int) -> None:
    if kind == "refuses":
        liar.stop()
    else:
        liar.always(behind, lambda talk: talk.head(int(kind), Content_Length=0))
    said = stage("sync", code=5)
    assert ("502" if kind == 502 else "proxy") in said.err
    assert stage.tree() == {}


@case(15)
def test_proxy_that_wants_a_password_for_a_tunnel(stage: Stage, liar: Liar) -> None:
    liar.always("model.example:443", lambda talk: talk.head(407, Content_Length=0))
    stage.manifest(declared(m="https://model.example/m.safetensors"))
    stage.excuse("I4", reason="there is no such host")
    with surroundings():
        os.environ["https_proxy"] = liar.url
        said = stage("lock", code=5)
    assert "407" in said.err and "password" in said.err and liar.count() == 1


# -- no network at all -------------------------------------------------------------------------------


@case(16)
@pytest.mark.parametrize("words", [(), ("--offline",), ("--locked",), ("--frozen",)])
def test_what_is_in_the_store_needs_no_network(stage: Stage, liar: Liar, url: str, words: tuple[str, ...]) -> None:
    stage("sync")
    (stage.path / PLACE).unlink()
    liar.stop()
    stage("sync", *words)
    assert stage.tree() == {PLACE: MODEL}


@case(17)
def test_offline_with_something_missing(stage: Stage, liar: Liar, url: str, portrait: str) -> None:
    liar.asked.clear()
    said = stage("sync", "--offline", code=5)
    assert "--offline" in said.err and "`portrait`" in said.err
    assert liar.asked == [] and stage.hub.requests() == [] and stage.tree() == {}
