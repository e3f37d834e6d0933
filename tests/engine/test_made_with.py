"""The models that made an image, as references."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from synapse_sync.core.image_meta import Resource
from synapse_sync.demo import catalogue
from synapse_sync.demo.civitai.things import Image, Model, Version
from synapse_sync.demo.exchange import Fault
from synapse_sync.demo.hub import Hub
from synapse_sync.demo.weights import png_bytes
from synapse_sync.engine.made_with import looked_up, made_with
from synapse_sync.errors import NotFound, StatusError
from synapse_sync.net.api import Api
from synapse_sync.net.credentials import Credentials
from synapse_sync.sources.civitai.client import Client

V2 = catalogue.DETAIL_V2


@pytest.fixture
def client(hub: Hub) -> Iterator[Client]:
    with Api(Credentials(), sleep=lambda seconds: None) as api:
        yield Client(api, hub.civitai_url)


def test_versions_hashes_and_names(client: Client, hub: Hub) -> None:
    file = hub.civitai.models[catalogue.PORTRAIT].versions[0].files[0]
    resources = [
        Resource(kind="lora", version_id=V2),
        Resource(kind="lora", version_id=V2, weight=0.3),
        Resource(kind="model", hash=file.hashes["AutoV2"].lower()),
        Resource(kind="model", version_id=catalogue.PORTRAIT_V1),
        Resource(kind="lora", name="gone", version_id=5),
        Resource(kind="lora", name="nobody", hash="0" * 12),
        Resource(kind="embed", name="word"),
    ]
    found = looked_up(resources, client)
    assert [str(reference) for reference in found.references] == [
        f"civitai:{catalogue.DETAIL}@{V2}", f"civitai:{catalogue.PORTRAIT}@{catalogue.PORTRAIT_V1}",
    ]  # fmt: skip
    assert [resource.name for resource in found.unknown] == ["gone", "nobody", "word"]
    assert looked_up([], client).references == () and len(hub.requests()) == 4


def test_a_version_that_no_list_has_is_asked_for_by_itself(client: Client, hub: Hub) -> None:
    version = hub.civitai.models[catalogue.DETAIL].versions[0]
    hub.civitai.add(
        Model(id=100, name="M", versions=(Version(id=1000, name="v", files=version.files),), hidden=True)
    )
    found = looked_up([Resource(version_id=1000)], client)
    assert [str(reference) for reference in found.references] == ["civitai:100@1000"]


def test_images_by_their_numbers(client: Client, hub: Hub) -> None:
    version = hub.civitai.models[catalogue.DETAIL].versions[0]
    images = tuple(Image(id=n, content=png_bytes(str(n)), meta={"resources": [{"name": f"n{n}"}]}) for n in (7, 8))
    only = Version(id=1000, name="v", files=version.files, images=images)
    hub.civitai.add(Model(id=100, name="M", versions=(only,)))
    found = made_with([7, 8], client)
    assert [str(reference) for reference in found.references] == ["civitai:100@1000"]
    assert [resource.name for resource in found.unknown] == ["n7", "n8"]
    with pytest.raises(NotFound, match="no image 9"):
        made_with([7, 9], client)


def test_a_refused_look_up_is_no_unknown_model(client: Client, hub: Hub) -> None:
    hub.faults.add("/api/v1/model-versions", Fault(status=403, body=b"{}"))
    for resource in (Resource(hash="0" * 12), Resource(version_id=5)):
        with pytest.raises(StatusError):
            looked_up([resource], client)
