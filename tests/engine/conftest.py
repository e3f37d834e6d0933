"""What the tests of the engine share: no waiting between attempts, and the hub's tokens for canaries."""

from __future__ import annotations

import pytest

from synapse_sync.engine import transfer
from synapse_sync.net import api
from synapse_sync.net.retries import Retry


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come at once, unless a server asks for patience."""
    for module in (transfer, api):
        monkeypatch.setattr(module, "Retry", lambda: Retry(first_delay=0.001, longest=0.01))
