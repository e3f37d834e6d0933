"""Cases 120 to 124, 127 and 128: who may be asked, who sees a token, and hostile surroundings."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from authority import Authority
from cases import case
from liar import Asked, Liar
from registry_double import RegistryDouble
from stage import Stage
from world import Result, surroundings

from synapse_sync.demo import catalogue
from synapse_sync.demo.civitai.things import File, Model, Version
from synapse_sync.demo.exchange import Fault
from synapse_sync.demo.weights import safetensors_bytes

REMARKS = {
    120: "a redirect from outside to a host written as an address or name of the own network is refused unless "
    "`allow-http` or a token names it; what a public name resolves to is not judged, since behind VPNs and some "
    "proxies every name resolves to an address inside; a manifest may name a host inside directly",
    122: "`allow-http` in the user's settings lifts it for single hosts",
    123: "first and last characters of a token are not looked for alone",
}
MODEL = safetensors_bytes("a model", size=60_000)
PATH, PLACE = "/m.safetensors", "models/checkpoints/m.safetensors"
CANARY = "canary-7f3a9c51d2e84b60-canary"
HOST = "models.example"
_SERVED = (
    HOST, "cdn.example", f"a.{HOST}", f"evil{HOST}", f"{HOST}.evil.example", "civitai.com", "evilcivitai.com",
    "civitai.com.evil.example",
)  # fmt: skip


def declared(url: str) -> str:
    """A manifest of one plain URL."""
    return f'[models.m]\nsource = "{url}"\ntype = "checkpoint"\n'


def config(text: str) -> None:
    Path(os.environ["SYNAPSE_CONFIG"]).write_text(text, encoding="utf-8")


def to(location: str, status: int = 302) -> bytes:
    """A redirect."""
    return f"HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


def bearers(asked: list[Asked]) -> list[str]:
    return [one.headers["authorization"] for one in asked if "authorization" in one.headers]


@pytest.fixture
def internet(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """Public names that all lead to this machine, and certificates for them."""
    real = socket.getaddrinfo

    def resolve(host: Any, *rest: Any, **named: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        return real("127.0.0.1" if name in _SERVED else host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    os.environ["SSL_CERT_FILE"] = str(authority.bundle)
    return authority


@pytest.fixture
def public(internet: Authority, liar: Liar) -> Liar:
    """A server out there, with a certificate for all the names."""
    liar.tls = internet.context(name=",".join(["IP:127.0.0.1", *(f"DNS:{name}" for name in _SERVED)]))
    liar.offer(PATH, MODEL)
    return liar


@pytest.fixture
def stranger(stage: Stage, public: Liar) -> Liar:
    """Another server out there, on another port."""
    other = stage.cleanup.enter_context(Liar(public.tls))
    other.offer(PATH, MODEL)
    stage.counters.append(other.count)
    return other


# -- the own network ---------------------------------------------------------------------------------


@case(120)
@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "127.0.0.1.", "[::1]",
        "[::ffff:127.0.0.1]", "169.254.169.254", "10.0.0.1", "192.168.0.1", "100.64.0.1", "router", "nas.local",
    ],
)  # fmt: skip
def test_a_redirect_into_our_network_is_not_followed(stage: Stage, public: Liar, host: str) -> None:
    stage.manifest(declared(f"https://{HOST}:{public.port}{PATH}"))
    public.always(PATH, to(f"https://{host}:{public.port}/inside?secret=1"))
    said = stage("lock", code=5)
    assert "inside your own network" in said.err and "secret" not in said.err and "allow-http" in said.err
    assert public.count("/inside") == 0 and stage.blobs() == []


@case(120)
def test_an_api_that_redirects_into_our_network(stage: Stage, public: Liar) -> None:
    stage.manifest(f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\n')
    public.always("/api/v1/models", to(f"https://127.0.0.1:{public.port}/inside"))
    with surroundings():
        os.environ["CIVITAI_ENDPOINT"] = f"https://{HOST}:{public.port}"
        assert "inside your own network" in stage("lock", code=5).err
    assert public.count("/inside") == 0


@case(120)
def test_a_host_inside_that_the_user_named(stage: Stage, public: Liar) -> None:
    config('allow-http = ["127.0.0.1"]\n')
    stage.manifest(declared(f"https://{HOST}:{public.port}/moved"))
    public.always("/moved", to(f"https://127.0.0.1:{public.port}{PATH}"))
    stage.healers.append(lambda: public.always("/moved", to(f"https://127.0.0.1:{public.port}{PATH}")))
    stage("sync")
    assert list(stage.tree().values()) == [MODEL]


# -- tokens and origins ------------------------------------------------------------------------------


@case(121)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("host", [HOST, f"a.{HOST}", f"evil{HOST}", f"{HOST}.evil.example", "cdn.example"])
def test_a_token_stays_with_its_origin(stage: Stage, public: Liar, stranger: Liar, status: int, host: str) -> None:
    stage.secrets.append(CANARY)
    config(f'tokens = {{ "{HOST}:{public.port}" = "{CANARY}" }}\n')
    stage.manifest(declared(f"https://{HOST}:{public.port}{PATH}"))
    public.lie(PATH, to(f"https://{host}:{stranger.port}{PATH}?sig=1", status))
    stage("sync")
    assert stage.tree() == {PLACE: MODEL}
    assert bearers(public.asked) == [f"Bearer {CANARY}"], "its own host does get it"
    assert stranger.asked and bearers(stranger.asked) == []
    assert not [one for one in (*public.asked, *stranger.asked) if {"referer", "cookie"} & one.headers.keys()]


@case(121)
def test_a_token_does_not_come_back_after_a_stranger(stage: Stage, public: Liar, stranger: Liar) -> None:
    config(f'tokens = {{ "{HOST}:{public.port}" = "{CANARY}" }}\n')
    stage.secrets.append(CANARY)
    stage.manifest(declared(f"https://{HOST}:{public.port}{PATH}"))
    public.lie(PATH, to(f"https://cdn.example:{stranger.port}/there"))
    stranger.lie("/there", to(f"https://{HOST}:{public.port}/home"))
    public.offer("/home", MODEL)
    stage("sync")
    assert [(one.path, "authorization" in one.headers) for one in public.asked] == [(PATH, True), ("/home", False)]


@case(121)
@pytest.mark.parametrize("host", ["evilcivitai.com", "civitai.com.evil.example", "a.models.example"])
def test_who_only_looks_like_civitai(stage: Stage, public: Liar, host: str) -> None:
    os.environ["CIVITAI_API_KEY"] = CANARY
    stage.secrets.append(CANARY)
    public.offer("/api/download/models/5", MODEL)
    stage.manifest(declared(f"https://{host}:{public.port}/api/download/models/5"))
    stage("sync")
    assert public.asked and bearers(public.asked) == []


@case(121)
@pytest.mark.parametrize("url", ["https://civitai.com:{}@models.example:{}/x", "https://user:{}@civitai.com/x"])
def test_userinfo_is_refused_and_not_repeated(stage: Stage, public: Liar, url: str) -> None:
    stage.secrets.append(CANARY)
    stage.manifest(declared(url.format(CANARY, public.port)))
    stage("lock", code=2)
    assert public.asked == []
    stage.manifest("[models]\n")


@case(122)
def test_no_token_and_no_request_over_http_unless_the_host_is_named_for_both(
    stage: Stage, liar: Liar, internet: Authority
) -> None:
    stage.secrets.append(CANARY)
    liar.offer(PATH, MODEL)
    config(f'tokens = {{ "{HOST}:{liar.port}" = "{CANARY}" }}\n')
    stage.manifest(declared(f"http://{HOST}:{liar.port}{PATH}"))
    assert "plain http" in stage("lock", code=5).err
    assert liar.asked == []
    config(f'allow-http = ["{HOST}"]\ntokens = {{ "{HOST}:{liar.port}" = "{CANARY}" }}\n')
    stage("sync")
    assert bearers(liar.asked) == [f"Bearer {CANARY}"], "the user has named this very host twice"


@case(122)
def test_no_token_for_an_endpoint_over_http(stage: Stage, liar: Liar, internet: Authority) -> None:
    stage.manifest(f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\n')
    with surroundings():
        os.environ["CIVITAI_ENDPOINT"] = f"http://{HOST}:{liar.port}"
        assert "plain http" in stage("lock", code=5).err
    assert liar.asked == []


# -- canaries ----------------------------------------------------------------------------------------

TALK = ([], ["--debug"], ["-v"], ["--json"])
COMMANDS = (
    ["lock"], ["lock", "--upgrade"], ["sync"], ["status"], ["verify"], ["verify", "--repair"], ["list"],
    ["show", "portrait"], ["show", "vae"], ["outdated"], ["search", "portrait"], ["info", "civitai:900001"],
    ["info", f"hf://{catalogue.GATED_REPO}"], ["images", "--model-id", "900001"], ["creators"], ["tags"],
    ["add", "civitai:1"], ["add", f"hf://{catalogue.GATED_REPO}/nothing.bin"], ["remove", "nobody"],
)  # fmt: skip
WANTED = (
    f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}@{catalogue.PORTRAIT_V1}"\n'
    f'vae = "hf://{catalogue.VAE_REPO}/portrait_vae.safetensors"\n'
)


def everything(stage: Stage) -> None:
    """Every command, each in another way of talking."""
    for number, words in enumerate(COMMANDS):
        stage(*words, *TALK[number % len(TALK)], code=None)


@case(123)
@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=401, body=b'{"error": "bad token %s"}' % CANARY.encode()),
        Fault(status=403, body=b"<html>%s</html>" % CANARY.encode(), html=False),
        Fault(status=500, body=b"%s" % CANARY.encode(), times=500),
        Fault(drop=True),
        Fault(html=True),
        Fault(body=b"not json at all", status=200),
        Fault(headers={"WWW-Authenticate": f"Bearer {CANARY}"}, status=401),
        None,
    ],
)
def test_a_canary_goes_through_everything(stage: Stage, fault: Fault | None) -> None:
    stage.secrets.append(CANARY)
    stage.manifest(WANTED)
    stage("sync", code=None)
    os.environ["CIVITAI_API_KEY"] = CANARY
    os.environ["HF_TOKEN"] = CANARY
    if fault is not None:
        stage.hub.faults.add("/", fault)
    everything(stage)
    sent = [seen for seen in stage.hub.requests() if CANARY in seen.headers.get("authorization", "")]
    assert sent, "it was used, or this tests nothing"
    assert {seen.origin for seen in sent} <= {"civitai", "huggingface"}
    assert not [seen for seen in stage.hub.requests() if CANARY in seen.path + seen.query]
    os.environ["CIVITAI_API_KEY"] = stage.hub.civitai_token
    os.environ["HF_TOKEN"] = stage.hub.huggingface_token


@case(123)
@pytest.mark.parametrize("scheme", ["bearer", "basic"])
@pytest.mark.parametrize("right", [True, False])
def test_a_login_of_docker_goes_through_push_and_sync(stage: Stage, scheme: str, right: bool) -> None:
    """Neither the password nor a token is in an output or a file of ours, nor at a host to which a blob moved."""
    registry = stage.cleanup.enter_context(RegistryDouble({"ada": CANARY if right else "another"}, scheme))
    elsewhere = stage.cleanup.enter_context(RegistryDouble())
    coded = base64.b64encode(f"ada:{CANARY}".encode()).decode()
    stage.secrets.extend([CANARY, coded, "token-", "s3cret"])
    config = Path.home() / ".docker/config.json"
    config.parent.mkdir()
    config.write_text(json.dumps({"auths": {registry.host: {"auth": coded}}}))
    stage.manifest(WANTED)
    stage("sync")
    for words in (["--debug"], ["-v"], ["--json"], ["--format", "image"]):
        stage("push", registry.address("m:v1"), *words, code=0 if right else 3)
    elsewhere.files = {f"/{digest[7:]}": data for digest, data in registry.content.items()}
    registry.elsewhere = elsewhere.url
    registry.revoke()
    with surroundings():
        os.environ |= {"SYNAPSE_STORE": str(config.parent / "store"), "SYNAPSE_REMOTE": registry.address("m")}
        for path in stage.tree():
            if "mine" not in path:
                (stage.path / path).unlink()
        stage("sync", "--debug", code=None)
    assert bool(elsewhere.asked) == right and not [one for one in elsewhere.asked if one.authorization]
    shutil.rmtree(config.parent)


@case(123)
@pytest.mark.parametrize("shape", ["{}\n", " {} ", "{}\r\nX-Evil: 1", "{}\x00", "{}é", "{}\u202e", "{}\"'\\"])
def test_tokens_of_odd_shapes(stage: Stage, tmp_path: Path, shape: str) -> None:
    stage.secrets.append(CANARY)
    stage.manifest(WANTED)
    secret = shape.format(CANARY)
    with surroundings():
        if "\0" in secret:
            key = tmp_path / "key"
            key.write_text(secret)
            del os.environ["CIVITAI_API_KEY"]
            os.environ["CIVITAI_API_KEY_FILE"] = str(key)
        else:
            os.environ["CIVITAI_API_KEY"] = secret
            os.environ["HF_TOKEN"] = secret
        for words in (["sync", "--debug"], ["lock", "--upgrade", "--json"]):
            assert stage(*words, code=None).code in (0, 2, 3, 5)
        (tmp_path / "key").unlink(missing_ok=True)
    assert not [seen for seen in stage.hub.requests() if "x-evil" in seen.headers]


@case(123)
@pytest.mark.parametrize(
    "url",
    [
        "https://models.example/x?token={}", "https://u:{}@models.example/x", "https://u:{}@[::1",
        "https://civitai.com/api/download/models/5?token={}", "https://models.example/x?X-Amz-Signature={}",
    ],
)  # fmt: skip
def test_secrets_in_a_manifest_are_not_repeated(stage: Stage, url: str) -> None:
    stage.secrets.append(CANARY)
    text = f'[models]\nm = "{url.format(CANARY)}"\n'
    for words in (
        ["lock", "--debug"],
        ["status", "--json"],
        ["add", url.format(CANARY)],
        ["info", url.format(CANARY)],
    ):
        stage.manifest(text)
        said = stage(*words, code=2)
        assert CANARY not in said.out + said.err, words
    stage.manifest("[models]\n")


@case(123)
def test_a_proxy_with_a_password(stage: Stage, liar: Liar, internet: Authority) -> None:
    stage.secrets.append(CANARY)
    config(f'allow-http = ["{HOST}"]\n')
    stage.manifest(declared(f"http://{HOST}{PATH}"))
    with surroundings():
        os.environ["http_proxy"] = f"http://me:{CANARY}@127.0.0.1:{liar.port}"
        liar.always(f"http://{HOST}{PATH}", b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")
        for how in TALK:
            stage("lock", *how, code=5)
        os.environ["http_proxy"] = f"http://me:{CANARY}@127.0.0.1:1"
        for how in TALK:
            stage("lock", *how, code=5)
    stage.manifest("[models]\n")


@case(123)
def test_no_file_holds_a_secret_or_a_signature(stage: Stage) -> None:
    """So none of ours has to be kept from others."""
    stage.secrets.extend([CANARY, "sig="])
    stage.manifest(WANTED)
    stage("sync", code=None)


@case(124)
def test_a_netrc_is_not_read(stage: Stage, public: Liar, tmp_path: Path) -> None:
    stage.secrets.append(CANARY)
    netrc = tmp_path / "netrc"
    hosts = (HOST, "127.0.0.1", "localhost")
    netrc.write_text("".join(f"machine {host} login me password {CANARY}\n" for host in hosts))
    netrc.chmod(0o600)
    (Path.home() / ".netrc").write_text(netrc.read_text())
    os.environ["NETRC"] = str(netrc)
    stage.manifest(
        declared(f"https://{HOST}:{public.port}{PATH}") + WANTED.replace("[models]\n", "[models.x]\n", 0)
    )
    stage.manifest(WANTED + declared(f"https://{HOST}:{public.port}{PATH}"))
    stage("sync", code=None)
    assert public.asked and bearers(public.asked) == []
    said = {seen.headers["authorization"] for seen in stage.hub.requests() if "authorization" in seen.headers}
    assert said == {f"Bearer {stage.hub.civitai_token}", f"Bearer {stage.hub.huggingface_token}"}
    netrc.unlink()
    (Path.home() / ".netrc").unlink()


# -- what a terminal makes of words ------------------------------------------------------------------

_EVIL = "\x1b]8;;http://evil\x07Nice\x1b[2J\x9b31m\r[bold red]x[/] \u202egnp.\u2066\x00\x08{}%s"


def clean(text: str) -> bool:
    """Whether a terminal shows this text as it is."""
    return not [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") and c not in "\n"]


@case(127)
def test_sequences_and_markup_in_names(stage: Stage) -> None:
    os.environ["FORCE_COLOR"] = "1"
    file = File(id=77_001, name="Nice\x1b[2J[bold red]x[/]\u202egnp.safetensors", content=MODEL, primary=True)
    version = Version(id=77_010, name=_EVIL, files=(file,), trained_words=(_EVIL,), base_model=_EVIL)
    stage.hub.civitai.add(Model(id=77, name=_EVIL, versions=(version,), tags=(_EVIL,)))
    stage.manifest('[models]\nit = "civitai:77"\n')
    shown = 0
    for words in (
        ["lock"], ["sync", "--dry-run"], ["sync"], ["status"], ["list"], ["show", "it"], ["info", "civitai:77"],
        ["search", "Nice"], ["outdated"], ["verify"], ["images", "--model-id", "77"], ["tags"],
    ):  # fmt: skip
        said = stage(*words, code=None)
        assert clean(_plain(said.err)), words
        assert clean(_plain(said.out)), words
        shown += "Nice" in said.out + said.err
        document = stage(*words, "--json", code=None)
        assert document.json is not None, "one document, and nothing else"
    assert shown >= 3, "the name was shown, or this tests nothing"
    assert all(clean(path) for path in stage.tree()) and len(stage.tree()) == 1
    assert clean(stage.lock_text)


@case(127)
@pytest.mark.parametrize(
    "words", [["sync"], ["lock"], ["add", "civitai:999"], ["status", "--nonsense"], ["nonsense"]]
)
def test_json_is_one_document_also_when_it_fails(stage: Stage, words: list[str]) -> None:
    stage.manifest('[models]\nm = "civitai:999999"\n')
    said = stage(*words, "--json", code=None)
    assert said.code != 0
    assert said.out == "" or said.json is not None
    stage.manifest("[models]\n")


def _plain(text: str) -> str:
    """The text without the colours that are ours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


# -- the surroundings --------------------------------------------------------------------------------


@case(128)
def test_hostile_surroundings(stage: Stage, tmp_path: Path) -> None:
    """What lies in the working directory, in TMPDIR or first on PATH is neither run nor written through."""
    ran = tmp_path / "ran"
    evil = f"open({str(ran)!r}, 'a').write(__file__)\nraise SystemExit(99)\n"
    here, planted = tmp_path / "here", tmp_path / "bin"
    here.mkdir()
    planted.mkdir()
    for name in ("json", "tomllib", "httpx", "urllib3", "click", "synapse_sync", "sitecustomize"):
        (here / f"{name}.py").write_text(evil)
    for place in (here, planted):
        for name in ("python", "python3", "git", "sh", "df", "nvidia-smi", "openssl"):
            (place / name).write_text(f"#!/bin/sh\necho {name} >> {ran}\n")
            (place / name).chmod(0o755)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    (temporary / "synapse").symlink_to(stage.path / "precious" / "model.safetensors")
    stage.manifest(WANTED)
    surroundings = os.environ | {
        "PATH": f".:{planted}:{os.environ['PATH']}", "TMPDIR": str(temporary), "PWD": "/nowhere", "EDITOR": "git",
    }  # fmt: skip
    command = Path(sys.executable).with_name("synapse")
    for words in (["sync"], ["lock", "--upgrade"]):
        run = [sys.executable, str(command), *words, "--no-progress", "-C", str(stage.path)]
        done = subprocess.run(run, cwd=here, env=surroundings, capture_output=True, text=True, check=False)
        stage.heard(Result(done.returncode, done.stdout, done.stderr), words)
        assert done.returncode == 0, done.stderr
    assert not ran.exists(), ran.read_text()
    assert len(list(temporary.iterdir())) == 1


@case(128)
def test_a_home_that_cannot_be_written(stage: Stage, tmp_path: Path) -> None:
    stage.manifest(WANTED)
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    with surroundings():
        os.environ["HOME"] = str(blocked)
        os.environ["HF_HOME"] = str(blocked / "huggingface")
        os.environ["XDG_CONFIG_HOME"] = "/proc/nowhere"
        stage("sync")
        os.environ["SYNAPSE_STORE"] = str(blocked / "store")
        assert stage("sync", code=9).err.strip()
    blocked.unlink()
