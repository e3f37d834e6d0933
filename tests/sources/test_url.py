from __future__ import annotations

import pytest
from world import Project

from synapse_sync.core.digest import Digest
from synapse_sync.core.reference import Reference
from synapse_sync.demo.exchange import Fault
from synapse_sync.demo.weights import safetensors_bytes
from synapse_sync.errors import AccessDenied, NetworkError, NotFound, StatusError
from synapse_sync.net.credentials import Credentials, Grant, Secret
from synapse_sync.sources.base import Ask, Resolved
from synapse_sync.sources.url import UrlSource


class Knowing:
    """A wire that makes no request, and knows tokens."""

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials


def resolve(url: str):
    return UrlSource().resolve([Ask(key="it", reference=Reference.parse(url))])["it"]


@pytest.mark.parametrize(
    ("url", "filename", "format"),
    [
        ("https://example.org/files/My%20Model.safetensors", "My Model.safetensors", "safetensors"),
        ("https://example.org/files/x.ckpt?download=true", "x.ckpt", "pickle"),
        ("https://example.org/a/..%2F..%2Fetc%2Fpasswd", "passwd", "other"),
        ("https://example.org/", "model", "other"),
        ("https://example.org/con", "_con", "other"),
    ],
)
def test_the_file_is_named_by_the_end_of_the_path(url, filename, format) -> None:
    answer = resolve(url)
    assert isinstance(answer, Resolved)
    (candidate,) = answer.candidates
    assert (candidate.filename, candidate.format) == (filename, format)
    assert (candidate.size, candidate.sha256) == (None, None)
    assert not answer.take_all


def test_the_locked_url_is_the_reference_and_is_located_as_itself() -> None:
    url = "https://example.org/files/x.gguf?v=2"
    answer = resolve(url)
    assert answer.candidates[0].url == answer.reference
    assert UrlSource().locate(answer.candidates[0].url).url == url


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, AccessDenied), (403, AccessDenied), (404, NotFound), (410, NotFound), (429, NetworkError),
     (500, NetworkError), (416, NetworkError)],
)  # fmt: skip
def test_statuses_in_words(status, kind) -> None:
    error = StatusError("raw", status=status, url="https://example.org/x.gguf")
    told = UrlSource().explain(Reference("url", "https://example.org/x.gguf"), error)
    assert type(told) is kind
    assert "https://example.org/x.gguf" in told.message
    assert told.hint


def test_a_refusal_says_where_a_token_would_go() -> None:
    error = StatusError("raw", status=401, url="https://example.org/x.gguf")
    told = UrlSource().explain(Reference("url", "https://example.org/x.gguf"), error)
    assert told.hint is not None and "`synapse login example.org`" in told.hint


def test_the_way_in_after_a_redirect_is_a_token_that_would_be_sent() -> None:
    """A login at the host to which an address redirects changes nothing: its token is not sent there."""
    first = Reference("url", "https://example.org/x.gguf")
    error = StatusError("raw", status=401, url="https://elsewhere.example/x.gguf")

    def hint(url: str | None = None) -> str:
        grants = [] if url is None else [Grant(url, Secret("t"))]
        return UrlSource(lambda: Knowing(Credentials(grants))).explain(first, error).hint or ""  # type: ignore[return-value]

    for told in (hint(), hint("https://elsewhere.example")):
        assert "redirects to elsewhere.example" in told and "`synapse login example.org`" in told
    told = hint("https://example.org")
    assert "synapse login" not in told and "name the address there" in told
    error = StatusError("raw", status=403, url=first.id)
    assert "`synapse login example.org` replaces it" in hint("https://example.org")
    assert hint() == "if it wants a token: `synapse login example.org`"


def test_nothing_is_known_beforehand() -> None:
    source = UrlSource()
    assert source.identify([Digest("sha256", "ab" * 32)]) == {}
    assert source.needs_token(Reference("url", "https://example.org/x")) is None


# -- names that a server gives ---------------------------------------------------------------------------


WEIGHTS = safetensors_bytes("named by its server", size=20_000)


def placed(project: Project, url: str, more: str = "") -> list[str]:
    """Lock and sync one LoRA; returns the names in its folder."""
    project.manifest(f'[models.m]\nsource = "{url}"\ntype = "lora"\n{more}')
    project("sync")
    return [path.removeprefix("models/loras/") for path in project.tree()]


@pytest.mark.parametrize(
    ("path", "given", "name"),
    [
        ("1234", "oil paint.safetensors", "oil paint.safetensors"),
        ("get.php", "油.safetensors", "油.safetensors"),
        ("uc", "..\\..\\.up.safetensors", "up.safetensors"),
        ("own.safetensors", "theirs.safetensors", "own.safetensors"),
        ("odd.v2", "no-ending", "odd.v2"),
        ("nameless", None, "nameless.safetensors"),
    ],
)
def test_an_address_without_a_name_has_that_of_its_server(
    project: Project, path: str, given: str | None, name: str
) -> None:
    url = project.hub.files.put(path, WEIGHTS, filename=given)
    assert placed(project, url) == [name]


def test_every_command_knows_the_name_of_the_server(project: Project) -> None:
    url = project.hub.files.put("1234", WEIGHTS, filename="oil paint.safetensors")
    assert "oil paint.safetensors" in project("info", url).out
    project("init")
    project("add", url, "--type", "lora")
    assert "oil-paint = " in (project.path / "synapse.toml").read_text()
    project("sync")
    assert list(project.tree()) == ["models/loras/oil paint.safetensors"]


def test_the_name_behind_a_redirect_counts(project: Project) -> None:
    url = project.hub.files.put("9", WEIGHTS, filename="stored.safetensors", redirect_to_storage=True)
    assert placed(project, url) == ["stored.safetensors"]


def test_one_byte_is_asked_for_and_only_where_the_name_is_missing(project: Project) -> None:
    placed(project, project.hub.files.put("own.safetensors", WEIGHTS, filename="other.safetensors"))
    assert [seen.headers.get("range") for seen in project.hub.requests("files")] == [None]
    project.hub.clear_log()
    url = project.hub.files.put("9", WEIGHTS, filename="nine.safetensors")
    assert placed(project, url, 'filename = "mine.safetensors"\n') == ["mine.safetensors"]
    assert placed(project, url) == ["nine.safetensors"]
    assert [seen.headers.get("range") for seen in project.hub.requests("files")] == ["bytes=0-0", None]
    project.hub.clear_log()
    project("lock")
    assert project.hub.log == []


def test_the_format_in_the_servers_name_is_what_policy_judges(project: Project) -> None:
    url = project.hub.files.put("9", b"\x80\x02.", filename="evil.pt")
    project.manifest(f'[models.m]\nsource = "{url}"\ntype = "lora"\n')
    assert "allow-pickle" in project("lock", code=2).err
    assert [seen.headers.get("range") for seen in project.hub.requests("files")] == ["bytes=0-0"]


def test_a_server_that_stumbles_is_asked_again(project: Project) -> None:
    url = project.hub.files.put("9", WEIGHTS, filename="nine.safetensors")
    project.hub.faults.add("/files/9", Fault(status=503, times=2))
    assert placed(project, url) == ["nine.safetensors"]


def test_a_server_that_does_not_answer_leaves_the_name_of_the_address(project: Project) -> None:
    dead = project.hub.files.put("9", WEIGHTS, status=404)
    mirror = project.hub.files.put("mirror.safetensors", WEIGHTS)
    project.manifest(f'[models.m]\nsource = "{dead}"\ntype = "lora"\nmirrors = ["{mirror}"]\n')
    assert "the file is called `9` (name it with `filename`)" in " ".join(project("sync").err.split())
    assert list(project.tree()) == ["models/loras/9.safetensors"]  # by its content
