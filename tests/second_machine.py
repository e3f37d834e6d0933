"""A second machine with the same two files: what the first one had, and what the site was asked for."""

from __future__ import annotations

import shutil

from world import Project

BLOBS = "blobs/sha256"


def emptied(project: Project) -> dict[str, bytes]:
    """Make this another machine with the same two files; returns what the first one had, by digest."""
    had = {path.name: path.read_bytes() for path in (project.store / BLOBS).rglob("*") if path.is_file()}
    shutil.rmtree(project.path / "models")
    shutil.rmtree(project.path / ".synapse")
    shutil.rmtree(project.store)
    project.hub.clear_log()
    return had


def path_of(digest: str) -> str:
    return f"{BLOBS}/{digest[:2]}/{digest}"


def from_the_site(project: Project) -> list[str]:
    """The files that the site was asked for."""
    return [seen.path for seen in project.hub.log if seen.origin == "civitai" and "/download/" in seen.path]
