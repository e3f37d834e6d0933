"""The sites under their real names, behind a proxy, with certificates of a CA that nobody else knows."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme
from relay import Relay, relay
from stand_ins import names
from world import Project

from synapse_sync.demo import catalogue

MANIFEST = f"""
[models]
portrait = "civitai:{catalogue.PORTRAIT}"
decoder = {{ source = "hf://{catalogue.VAE_REPO}/portrait_vae.safetensors", type = "vae" }}
plain = {{ source = "https://files.example/files/{catalogue.PLAIN_LORA}", type = "lora" }}
"""
PASSWORD = "c0mpany-pa55word"


@pytest.fixture
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def bundle(ca: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
def proxy(project: Project, ca: trustme.CA) -> Iterator[Callable[..., Relay]]:
    """Put a proxy between the project and the sites, which are reached in no other way."""
    del os.environ["CIVITAI_ENDPOINT"]
    del os.environ["HF_ENDPOINT"]
    hub = project.hub

    def port(url: str) -> int:
        return urlsplit(url).port or 0

    routes = {
        "civitai.com": port(hub.civitai_url),
        "huggingface.co": port(hub.huggingface.url),
        "files.example": port(hub.files.url),
        "storage.example": port(hub.storage.url),
    }
    hub.storage.url = "https://storage.example"
    with ExitStack() as stack:

        def make(**options: object) -> Relay:
            made = stack.enter_context(relay(routes, ca, **options))
            login = f"{made.login}@" if made.login else ""
            for name in ("HTTPS_PROXY", "HTTP_PROXY"):
                os.environ[name] = f"http://{login}127.0.0.1:{made.port}"
            return made

        yield make


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "ca-bundle"])
def test_everything_goes_through_the_proxy_and_trusts_the_ca(
    project: Project, proxy, bundle: Path, sandbox: Path, name: str
) -> None:
    if name == "ca-bundle":
        (sandbox / "config.toml").write_text(f'ca-bundle = "{bundle}"\n')
    else:
        os.environ[name] = str(bundle)
    through = proxy(login=f"ada:{PASSWORD}")
    project.manifest(MANIFEST)
    project("sync", "--json")
    assert len(project.tree()) == 3
    hosts = {line.split()[1] for line in through.asked}
    assert hosts == {f"{host}:443" for host in through.routes}
    assert all(line.startswith("CONNECT ") for line in through.asked)
    assert "example:443" not in project.lock_text and "127.0.0.1" not in project.lock_text
    assert PASSWORD not in project.lock_text


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "ca-bundle"])
def test_a_proxy_that_is_asked_over_https_is_trusted_by_the_same_ca(
    project: Project, proxy, ca: trustme.CA, bundle: Path, sandbox: Path, name: str
) -> None:
    if name == "ca-bundle":
        (sandbox / "config.toml").write_text(f'ca-bundle = "{bundle}"\n')
    else:
        os.environ[name] = str(bundle)
    through = proxy(login=f"ada:{PASSWORD}")
    project.manifest(MANIFEST)
    with relay({"127.0.0.1": through.port}, ca, direct=True) as front:
        os.environ["HTTPS_PROXY"] = f"https://ada:{PASSWORD}@127.0.0.1:{front.port}"
        project("sync")
    assert len(project.tree()) == 3
    assert {line.split()[1] for line in through.asked} == {f"{host}:443" for host in through.routes}


@pytest.mark.parametrize("client", ["httpx", "the hub's library", "urllib3"])
def test_a_proxy_over_https_that_nobody_vouches_for(project: Project, proxy, ca: trustme.CA, client: str) -> None:
    through = proxy()
    project.manifest(f"[models]\n{SITES[client]}\n")
    with relay({"127.0.0.1": through.port}, ca, direct=True) as front:
        os.environ["HTTPS_PROXY"] = f"https://127.0.0.1:{front.port}"
        said = " ".join(project("lock", code=5).err.split())
    assert "certificate cannot be trusted" in said
    assert through.asked == []


SITES = {
    "httpx": f'a = "civitai:{catalogue.PORTRAIT}"',
    "the hub's library": f'a = {{ source = "hf://{catalogue.VAE_REPO}/portrait_vae.safetensors", type = "vae" }}',
    "urllib3": f'a = {{ source = "https://files.example/files/{catalogue.PLAIN_LORA}", type = "lora" }}',
}


@pytest.mark.parametrize("client", SITES)
def test_a_certificate_that_nobody_vouches_for(project: Project, proxy, client: str) -> None:
    through = proxy()
    project.manifest(f"[models]\n{SITES[client]}\n")
    done = project("lock", code=5)
    said = " ".join(done.err.split())
    assert "certificate cannot be trusted" in said
    assert "`ca-bundle =" in said and "SSL_CERT_FILE" in said
    assert len(through.asked) == 1, "it is not tried again, and not in any other way"
    assert project.hub.log == []


@pytest.mark.parametrize("client", SITES)
def test_a_proxy_that_wants_a_login(project: Project, proxy, bundle: Path, client: str) -> None:
    os.environ["SSL_CERT_FILE"] = str(bundle)
    through = proxy(login=f"ada:{PASSWORD}")
    os.environ["HTTPS_PROXY"] = f"http://ada:wr0ng-pa55@127.0.0.1:{through.port}"
    project.manifest(f"[models]\n{SITES[client]}\n")
    done = project("lock", "--debug", code=5)
    said = " ".join(done.err.split())
    assert "the proxy wants a user name and a password (407)" in said
    assert "wr0ng" not in done.err + done.out and PASSWORD not in done.err + done.out
    assert len(through.asked) == 1


@pytest.mark.parametrize("client", SITES)
def test_a_proxy_that_forbids_the_host(project: Project, proxy, client: str) -> None:
    through = proxy(refuse=403)
    project.manifest(f"[models]\n{SITES[client]}\n")
    said = " ".join(project("lock", code=5).err.split())
    assert "the proxy refuses to connect (403)" in said and "NO_PROXY" in said
    assert len(through.asked) == 1


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("client", SITES)
def test_a_proxy_that_fails(project: Project, proxy, client: str) -> None:
    through = proxy(refuse=502)
    project.manifest(f"[models]\n{SITES[client]}\n")
    said = " ".join(project("lock", code=5).err.split())
    assert f"the proxy http://127.0.0.1:{through.port} cannot be used: it answered 502" in said
    assert len(through.asked) == 4, "this may pass"


@pytest.mark.parametrize("client", SITES)
def test_a_proxy_that_is_not_there(project: Project, client: str) -> None:
    os.environ["SYNAPSE_RETRY_DELAY"] = "0"
    for name in ("CIVITAI_ENDPOINT", "HF_ENDPOINT"):
        del os.environ[name]
    os.environ["HTTPS_PROXY"] = f"http://ada:{PASSWORD}@127.0.0.1:9"
    project.manifest(f"[models]\n{SITES[client]}\n")
    done = project("lock", code=5)
    assert PASSWORD not in done.err + done.out


@pytest.mark.parametrize("client", SITES)
def test_hosts_of_no_proxy_are_asked_directly(
    project: Project, proxy, ca: trustme.CA, bundle: Path, client: str
) -> None:
    through = proxy(refuse=403)
    os.environ["SSL_CERT_FILE"] = str(bundle)
    os.environ["NO_PROXY"] = ",".join(through.routes)
    with relay(through.routes, ca, direct=True) as direct:

        def found(real: Callable[..., object], host: str, port: int, *arguments: int, **named: int) -> object:
            known = host in through.routes and port == 443
            return real("127.0.0.1" if known else host, direct.port if known else port, *arguments, **named)

        project.manifest(f"[models]\n{SITES[client]}\n")
        with names(found):
            project("sync")
    assert len(project.tree()) == 1
    assert through.asked == []


def test_this_machine_is_asked_without_any_proxy(project: Project) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        os.environ[name] = "http://127.0.0.1:9"
    project.manifest(MANIFEST.replace("https://files.example", project.hub.files.url))
    project("sync")
    assert len(project.tree()) == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "does not exist"), ("no certificate\n", "cannot be read as certificates")],
)
@pytest.mark.parametrize("client", SITES)
def test_a_bundle_that_is_none(
    project: Project, sandbox: Path, tmp_path: Path, text: str | None, words: str, client: str
) -> None:
    path = tmp_path / "bad.pem"
    if text is not None:
        path.write_text(text)
    (sandbox / "config.toml").write_text(f'ca-bundle = "{path}"\n')
    project.manifest(f"[models]\n{SITES[client]}\n")
    done = project("lock", code=2)
    assert words in " ".join(done.err.split()) and "ca-bundle" in done.err
    assert project.hub.log == []


@pytest.mark.parametrize("words", [["lock"], ["lock", "--upgrade"], ["lock", "--heal"], ["sync"]])
def test_a_missing_bundle_is_one_finding_that_names_the_setting(
    project: Project, sandbox: Path, words: list[str]
) -> None:
    """It is no fault of a model, nor of a site."""
    models = {"vae": f"hf://{catalogue.VAE_REPO}/portrait_vae.safetensors", "eyes": f"civitai:{catalogue.EYES}"}
    project.manifest("[models]\n" + "".join(f'{name} = "{source}"\n' for name, source in models.items()))
    if words != ["lock"]:
        project("lock")
    if words[0] == "sync":
        path = project.path / "synapse.lock"
        path.write_text(
            re.sub(r"(?m)^url = .*$", 'url = "https://127.0.0.1:9/x"', path.read_text("utf-8")), "utf-8"
        )
        words = [*words, "--frozen"]
    config = sandbox / "config.toml"
    config.write_text('ca-bundle = "gone.pem"\n')
    done = project(*words, code=2)
    said = " ".join(done.err.split())
    assert f"error: {config}: ca-bundle names {sandbox / 'gone.pem'}, which does not exist" in said
    assert said.count("gone.pem") == 1


def test_plain_http_through_a_proxy_that_wants_a_login(project: Project, proxy, sandbox: Path) -> None:
    through = proxy(login=f"ada:{PASSWORD}")
    os.environ["HTTP_PROXY"] = f"http://127.0.0.1:{through.port}"
    (sandbox / "config.toml").write_text('allow-http = ["files.example"]\n')
    project.manifest(
        f'[models]\na = {{ source = "http://files.example/files/{catalogue.PLAIN_LORA}", type = "lora" }}\n'
    )
    said = " ".join(project("lock", code=5).err.split())
    assert "the proxy wants a user name and a password (407)" in said
