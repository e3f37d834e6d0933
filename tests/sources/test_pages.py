"""Pages that come instead of a file: recognised, refused, and told with the way out of that very host."""

from __future__ import annotations

import hashlib

import pytest
from world import Project

from synapse_sync.core.reference import Reference
from synapse_sync.demo.weights import safetensors_bytes
from synapse_sync.errors import WrongContent
from synapse_sync.sources.pages import recognise
from synapse_sync.sources.url import UrlSource

MODEL = safetensors_bytes("behind a page", size=20_000)
PAGE = "<!DOCTYPE html><html><head><title>Google Drive - {}</title></head><body>{}</body></html>"
SCAN = PAGE.format(
    "Virus scan warning",
    "<p>Google Drive can't scan this file for viruses.</p><form action='https://drive.example.com/download'></form>",
).encode()
QUOTA = PAGE.format(
    "Quota exceeded", "Too many users have viewed or downloaded this file recently. Please try again later."
).encode()

HOSTS = {
    "https://drive.google.com/file/d/abc/view": ("a page of Google Drive", "uc?export=download&id=ID"),
    "https://www.dropbox.com/scl/fi/abc/x.safetensors?rlkey=k&dl=0": ("Dropbox's preview page", "`dl=1`"),
    "https://1drv.ms/u/s!abc": ("OneDrive's page", "download=1"),
    "https://company.sharepoint.com/:u:/g/abc": ("OneDrive's page", "download=1"),
    "https://mega.nz/file/abc": ("Mega's page: its files are encrypted", "./…"),
    "https://www.mediafire.com/file/abc/x.zip/file": ("a page with a button", "in a browser"),
    "https://pixeldrain.com/u/abc": ("Pixeldrain's page", "/api/file/ID"),
    "https://github.com/o/r/blob/main/x.safetensors": ("a page of GitHub", "gh:OWNER/REPO@TAG/FILE"),
}


@pytest.mark.parametrize("url", HOSTS)
def test_the_peculiarity_of_the_host_is_named(url: str) -> None:
    reference = Reference.parse(url)
    told = UrlSource().recognise(reference, WrongContent("a page", url=url, body="<html>"))
    assert told is not None
    what, todo = HOSTS[url]
    assert what in told.message
    assert "?" not in told.message  # what is in a query is nobody's business
    assert todo in (told.hint or "")


def test_who_answered_counts_as_well() -> None:
    reference = Reference.parse("https://drive.google.com/uc?export=download&id=abc")
    login = WrongContent("a page", url="https://accounts.google.com/v3/signin", body="<html>")
    told = UrlSource().recognise(reference, login)
    assert told is not None
    assert "not shared with everybody" in told.message


@pytest.mark.parametrize("host", ["notdropbox.com", "dropbox.com.example.org", "example.org", ""])
def test_other_hosts_are_not_meant(host: str) -> None:
    assert recognise([host], "<html>please log in</html>") is None


# -- against the hub: Drive gives itself away by its words, whatever the host ---------------------------------

PAGES = {
    "scan": (SCAN, "Google Drive's question", "confirm=t"),
    "quota": (QUOTA, "downloaded too often", "try again in a day"),
}


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("name", ["uc", "x.safetensors"])
@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
def test_at_lock(project: Project, page: str, name: str, kind: str) -> None:
    body, what, todo = PAGES[page]
    url = project.hub.files.put(name, body, content_type=kind)
    project.manifest(f'[models.x]\nsource = "{url}"\ntype = "lora"\nfilename = "x.safetensors"\n')
    result = project("sync", code=6)
    assert what in result.err
    assert todo in result.err
    assert project.tree() == {}
    assert project.blobs() == []


def test_at_lock_with_a_promise(project: Project) -> None:
    url = project.hub.files.put("uc", SCAN, content_type="text/html")
    project.manifest(
        f'[models.x]\nsource = "{url}"\ntype = "lora"\nsha256 = "{hashlib.sha256(MODEL).hexdigest()}"\n'
    )
    assert "Google Drive's question" in project("lock", code=6).err


def test_at_sync_a_mirror_helps(project: Project) -> None:
    url = project.hub.files.put("uc", MODEL)
    mirror = project.hub.files.put("mirror.safetensors", MODEL)
    project.manifest(
        f'[models.x]\nsource = "{url}"\ntype = "lora"\nfilename = "x.safetensors"\nmirrors = ["{mirror}"]\n'
    )
    project("lock")
    for name in project.blobs():
        (project.store / "blobs" / "sha256" / name[:2] / name).unlink()
    project.hub.files.put("uc", QUOTA, content_type="text/html")
    result = project("sync", "--locked")
    assert "downloaded too often" in result.err
    assert project.tree() == {"models/loras/x.safetensors": MODEL}


def test_the_name_in_a_content_disposition_is_never_a_path(project: Project) -> None:
    url = project.hub.files.put("x.safetensors", MODEL, filename="../../../evil.safetensors")
    stored = project.hub.files.put("y.safetensors", MODEL, filename="/etc/evil", redirect_to_storage=True)
    project.manifest(
        f'[models.x]\nsource = "{url}"\ntype = "lora"\n[models.y]\nsource = "{stored}"\ntype = "vae"\n'
    )
    project("sync")
    assert project.tree() == {"models/loras/x.safetensors": MODEL, "models/vae/y.safetensors": MODEL}
    assert "evil" not in project.lock_text
    assert list(project.path.parent.rglob("*evil*")) == []
