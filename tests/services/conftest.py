"""The servers of `make services`, which sets TESTS_SERVICES: without it, these tests are not collected."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

collect_ignore_glob = [] if os.environ.get("TESTS_SERVICES") else ["test_*.py"]

if os.environ.get("TESTS_SERVICES"):
    from s3_servers import Gateway, gateway

    from benchmarks.object_servers import Server, juicefs, seaweedfs

    @pytest.fixture(autouse=True)
    def threads() -> None:
        """Servers and their connections stay for the next test: nobody waits for their threads."""

    @pytest.fixture(scope="session")
    def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
        """One SeaweedFS for all tests."""
        server = seaweedfs(tmp_path_factory.mktemp("seaweedfs") / "server")
        server.start()
        yield server
        server.kill()

    @pytest.fixture(scope="session")
    def juice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
        """One gateway of JuiceFS for all tests."""
        server = juicefs(tmp_path_factory.mktemp("juicefs") / "server")
        server.start()
        yield server
        server.kill()

    @pytest.fixture
    def server(request: pytest.FixtureRequest) -> Server:
        """SeaweedFS, or the server that a test names: faults are played by the gateway, whatever is behind it."""
        found: Server = request.getfixturevalue(getattr(request, "param", "seaweed"))
        return found

    @pytest.fixture
    def front(server: Server) -> Iterator[Gateway]:
        """A gateway before the server, which plays no fault yet."""
        with gateway(server) as standing:
            yield standing
