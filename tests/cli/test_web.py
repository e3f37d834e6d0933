"""`--web`: the page of a model is opened where there is a browser, and its address is printed."""

from __future__ import annotations

import os
import webbrowser

import pytest
from world import Project

from synapse_sync.demo import catalogue

PAGE = f"https://civitai.com/models/{catalogue.PORTRAIT}?modelVersionId={catalogue.PORTRAIT_V1}"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that a browser is asked for; there is a screen."""
    addresses: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: addresses.append(url) or True)
    os.environ["DISPLAY"] = ":0"
    os.environ.pop("SSH_CONNECTION", None)
    return addresses


@pytest.mark.parametrize("words", [("info", f"civitai:{catalogue.PORTRAIT}"), ("show", "portrait")])
def test_the_page_of_a_model(project: Project, opened: list[str], words: tuple[str, ...]) -> None:
    project.manifest(f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\n')
    project("lock")
    said = project(*words, "--web")
    assert (said.out, said.err) == (f"{PAGE}\n", "opened in the browser\n")
    assert opened == [PAGE]


def test_without_a_screen_the_address_is_printed(
    project: Project, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    del os.environ["DISPLAY"]
    os.environ.pop("WAYLAND_DISPLAY", None)
    said = project("info", f"civitai:{catalogue.PORTRAIT}", "--web")
    assert (said.out, said.err) == (f"{PAGE}\n", "")
    assert opened == []


def test_no_other_address_is_opened(project: Project, opened: list[str]) -> None:
    address = f"{project.hub.files.url}/files/{catalogue.PLAIN_LORA}"
    project.manifest(f'[models.grain]\nsource = "{address}"\ntype = "lora"\n')
    project("lock")
    assert "has no page on a known site" in project("show", "grain", "--web", code=2).err
    assert "has no page on a known site" in project("info", address, "--web", code=2).err
    assert opened == []


def test_local_files_have_no_page(project: Project, opened: list[str]) -> None:
    project("info", "./x.safetensors", "--web", code=2)
    project("info", "./x.safetensors", "./y.safetensors", "--web", code=2)
    assert opened == []
