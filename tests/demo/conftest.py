"""The tests of the demo ask it with the hub's own client, whatever an earlier test put in its place."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def own_client(sandbox: object) -> None:
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    set_client_factory(default_client_factory)
