"""The client of a registry: uploads that break, registries that forget, and what is said about them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import cast

import pytest
from registry_double import RegistryDouble, Trouble, digest_of

from synapse_sync.core.names import SafePath
from synapse_sync.core.oci import PackedFile, model_package
from synapse_sync.errors import AccessDenied, IntegrityError, NetworkError, NotFound, StatusError, SynapseError
from synapse_sync.net.api import Answer, Api
from synapse_sync.net.credentials import Credentials
from synapse_sync.net.retries import Retry
from synapse_sync.suppliers.registry import Registry, repository_of

#: Large enough to be sent before the request that completes it.
DATA = random.Random(7).randbytes((8 << 20) + 12_345)
SMALL = b"a small file"


@pytest.fixture
def double() -> Iterator[RegistryDouble]:
    with RegistryDouble() as running:
        yield running


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def registry(double: RegistryDouble, waits: list[float]) -> Iterator[Registry]:
    with Api(Credentials()) as api:
        retry = Retry(attempts=3, first_delay=0.001)
        yield Registry(repository_of(double.host, "m"), api, retry=retry, sleep=waits.append)


def pieces(data: bytes, sent: list[int] | None = None) -> object:
    def from_byte(start: int) -> Iterator[bytes]:
        for at in range(start, len(data), 1 << 20):
            if sent is not None:
                sent.append(at)
            yield data[at : at + (1 << 20)]

    return from_byte


def send(registry: Registry, data: bytes, sent: list[int] | None = None) -> str:
    digest = digest_of(data)
    registry.upload(digest[7:], len(data), pieces(data, sent))  # type: ignore[arg-type]
    return digest


@pytest.mark.parametrize("data", [DATA, SMALL, b""], ids=["large", "small", "empty"])
def test_a_blob_arrives(double: RegistryDouble, registry: Registry, data: bytes) -> None:
    digest = digest_of(data)
    assert not registry.has(digest[7:])
    send(registry, data)
    assert double.content[digest] == data and registry.has(digest[7:])
    assert ("PATCH" in double.methods()) == (data is DATA)


def test_an_upload_that_breaks_goes_on_where_it_was(double: RegistryDouble, registry: Registry) -> None:
    double.troubles.append(Trouble("PATCH", "/uploads/", after=5 << 20))
    sent: list[int] = []
    assert double.content[send(registry, DATA, sent)] == DATA
    received = [one.received for one in double.asked if one.method in ("PATCH", "PUT")]
    assert received == [5 << 20, len(DATA) - (5 << 20)], "a short rest goes with the request that completes it"
    assert sent.count(0) == 1 and 5 << 20 in sent


def test_progress_is_no_failure(double: RegistryDouble, registry: Registry) -> None:
    """More interruptions than attempts, each after some bytes."""
    double.troubles += [Trouble("PATCH", "/uploads/", after=1 << 20) for _ in range(6)]
    assert double.content[send(registry, DATA)] == DATA


def test_without_progress_it_is_given_up(double: RegistryDouble, registry: Registry) -> None:
    double.troubles.append(Trouble("PATCH", "/uploads/", status=503, times=99))
    with pytest.raises(StatusError, match="503"):
        send(registry, DATA)
    assert double.methods().count("PATCH") == 3 and double.content == {}


def test_the_same_bytes_once_more_are_no_progress(double: RegistryDouble, registry: Registry) -> None:
    """A registry that forgets each upload in its middle, again and again, is given up."""
    for _ in range(30):
        double.troubles += [
            Trouble("PATCH", "/uploads/", after=1 << 20), Trouble("PUT", "/uploads/", status=404),
        ]  # fmt: skip
    with pytest.raises(NetworkError):
        send(registry, DATA)
    assert double.methods().count("PATCH") < 4 and double.content == {}


class Outside:
    """The client of a registry on the internet, which names an address of this network for each upload."""

    credentials = Credentials()

    def __init__(self) -> None:
        self.asked: list[str] = []

    def exchange(self, method: str, url: str, **more: object) -> Answer:
        self.asked.append(f"{method} {url}")
        where = {"location": "https://10.0.0.1/v2/m/blobs/uploads/1"}
        return Answer(url=url, status=202, body=b"", headers=where, retry_after=None)


def test_an_upload_is_not_sent_into_the_own_network() -> None:
    api = Outside()
    registry = Registry(
        repository_of("registry.example", "m"), cast(Api, api), retry=Retry(), sleep=lambda seconds: None
    )
    with pytest.raises(NetworkError, match="inside your own network"):
        send(registry, SMALL)
    assert api.asked == ["POST https://registry.example/v2/m/blobs/uploads/"]


@pytest.mark.parametrize(("method", "status"), [("PATCH", 404), ("PUT", 404), ("PATCH", 416)])
def test_an_upload_that_is_lost_begins_again(
    double: RegistryDouble, registry: Registry, method: str, status: int
) -> None:
    double.troubles.append(Trouble(method, "/uploads/", status=status))
    assert double.content[send(registry, DATA)] == DATA
    assert double.methods().count("POST") == 2


def test_a_registry_that_says_when_to_come_back(
    double: RegistryDouble, registry: Registry, waits: list[float]
) -> None:
    double.troubles.append(Trouble("POST", "/uploads/", status=429, headers={"Retry-After": "7"}))
    send(registry, SMALL)
    assert len(waits) == 1 and 7 <= waits[0] <= 7 * 1.25, (
        "a quarter of the wait at most, so that not all come at once"
    )


def test_a_wait_beyond_patience_is_given_up(double: RegistryDouble, registry: Registry) -> None:
    double.troubles.append(Trouble("HEAD", "/blobs/", status=503, headers={"Retry-After": "900"}))
    with pytest.raises(StatusError) as caught:
        registry.has("a" * 64)
    assert "900" in (caught.value.hint or "")


def test_other_bytes_than_the_digest_says(double: RegistryDouble, registry: Registry) -> None:
    with pytest.raises(IntegrityError, match="other bytes"):
        registry.upload("a" * 64, len(SMALL), pieces(SMALL))  # type: ignore[arg-type]
    assert double.content == {}


def test_a_failure_of_the_reader_is_reported_as_it_is(double: RegistryDouble, registry: Registry) -> None:
    def broken(start: int) -> Iterator[bytes]:
        yield SMALL[:3]
        raise IntegrityError("the disk is damaged")

    with pytest.raises(IntegrityError, match="the disk is damaged"):
        registry.upload(digest_of(SMALL)[7:], len(SMALL), broken)
    assert double.content == {}


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (401, AccessDenied, "docker login"),
        (403, AccessDenied, "docker login"),
        (404, NotFound, "made first"),
        (413, StatusError, "limits the size"),
        (405, StatusError, ""),
    ],
)
def test_refusals(
    double: RegistryDouble, registry: Registry, status: int, error: type[SynapseError], words: str
) -> None:
    double.troubles.append(Trouble("POST", "/uploads/", status=status, times=9))
    with pytest.raises(error) as caught:
        registry.upload(digest_of(SMALL)[7:], len(SMALL), pieces(SMALL))  # type: ignore[arg-type]
    assert words in (caught.value.hint or "") and registry.repository.host in caught.value.message


def test_a_server_that_is_no_registry(double: RegistryDouble, registry: Registry) -> None:
    double.troubles.append(Trouble("POST", "/uploads/", status=200, body=b"welcome"))
    with pytest.raises(NetworkError, match="not with the address of an upload"):
        send(registry, SMALL)


def test_documents_and_tags(double: RegistryDouble, registry: Registry) -> None:
    package = model_package([PackedFile(path=SafePath("a"), sha256=digest_of(SMALL)[7:], size=len(SMALL))])
    assert registry.digest("v1") is None
    with pytest.raises(StatusError, match="MANIFEST_BLOB_UNKNOWN"):
        registry.put(package.top, "v1")
    send(registry, SMALL)
    send(registry, package.configs[0].data)
    registry.put(package.top, "v1")
    assert registry.digest("v1") == package.top.descriptor.digest


def test_a_registry_that_changes_documents(double: RegistryDouble, registry: Registry) -> None:
    package = model_package([PackedFile(path=SafePath("a"), sha256="a" * 64, size=1)])
    headers = {"Docker-Content-Digest": "sha256:" + "b" * 64}
    double.troubles.append(Trouble("PUT", "/manifests/", status=201, headers=headers))
    with pytest.raises(NetworkError, match="changes documents that are pushed"):
        try:
            registry.put(package.top, "v1")
        except NetworkError as error:
            raise NetworkError(f"{error.message} {error.hint}") from error


@pytest.mark.parametrize(
    ("host", "name", "base"),
    [
        ("registry.example", "m", "https://registry.example/v2/m"),
        ("registry.example:5000", "a/b", "https://registry.example:5000/v2/a/b"),
        ("localhost:5000", "m", "http://localhost:5000/v2/m"),
        ("[::1]:5000", "m", "http://[::1]:5000/v2/m"),
        ("nas.example:5000", "m", "http://nas.example:5000/v2/m"),
        ("docker.io", "ada/m", "https://registry-1.docker.io/v2/ada/m"),
        ("docker.io", "m", "https://registry-1.docker.io/v2/library/m"),
    ],
)
def test_addresses(host: str, name: str, base: str) -> None:
    assert repository_of(host, name, frozenset({"nas.example"})).url == base
