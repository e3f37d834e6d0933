"""The guard itself: a test that reaches for the real machine must fail."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from world import REAL, Trespass


@pytest.mark.parametrize("directory", REAL)
def test_the_real_store_settings_and_cache_cannot_be_touched(directory: str) -> None:
    with pytest.raises(Trespass):
        Path(directory, "canary").write_bytes(b"")
    with pytest.raises(Trespass):
        list(Path(directory).iterdir())


def test_the_internet_cannot_be_reached() -> None:
    with pytest.raises(Trespass):
        socket.getaddrinfo("civitai.com", 443)
    with socket.socket() as connection, pytest.raises(Trespass):
        connection.connect(("192.0.2.1", 80))


def test_every_test_has_a_home_of_its_own(sandbox: Path) -> None:
    assert Path.home() == sandbox
