"""What the cases share: a stage that is checked at the end, a server that lies, and no waiting."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from authority import Authority
from invariants import plant
from liar import Liar
from stage import Stage
from world import Project


@pytest.fixture(autouse=True)
def at_once(impatient: None) -> None:
    """No case waits between two attempts."""


@pytest.fixture
def stage(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A project whose commands are watched, with canaries around it; at its end all invariants are checked.

    `monkeypatch` is asked for so that the patches of other fixtures outlast that check. The user trusts the
    manifests: cases put roots and sources wherever a fault can be made. `black_box/test_trust.py` is about consent.
    """
    os.environ["SYNAPSE_TRUST"] = "1"
    stage = Stage(
        path=project.path,
        store=project.store,
        hub=project.hub,
        _run=project._run,
        roots=[project.path],
        secrets=[project.hub.civitai_token, project.hub.huggingface_token],
    )
    stage.guard(plant(project.path.parent), plant(project.path), plant(project.store.parent))
    stage.foreign("models/checkpoints/mine.safetensors", b"a model that the user put there")
    with stage.cleanup:
        yield stage
        stage.ends_well()


@pytest.fixture
def liar(stage: Stage) -> Liar:
    """A server that can break every rule of HTTP, and repents at the end of the case."""
    liar = stage.cleanup.enter_context(Liar())
    stage.healers.append(liar.repent)
    stage.counters.append(liar.count)
    return liar


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority that nobody trusts unless told so by SSL_CERT_FILE."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command")
    return Authority(tmp_path_factory.mktemp("authority"))
