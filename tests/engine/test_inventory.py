"""The inventory: the same answer whether the last sync is trusted or every file is looked at."""

from __future__ import annotations

from typing import Any

from world import Project, opened

from synapse_sync.demo import catalogue

MANIFEST = f"""\
[targets.one]
root = "one"
[targets.two]
root = "two"
layout = "forge"
[models]
portrait = "civitai:{catalogue.PORTRAIT}"
vae = {{ source = "hf://{catalogue.VAE_REPO}/portrait_vae.safetensors", type = "vae" }}
"""


def models(project: Project, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = project("list", "--json", *words).json["models"]
    return found


def test_after_a_complete_sync_neither_receipts_nor_files_are_read(project: Project) -> None:
    project.manifest(MANIFEST)
    project("sync")
    with opened() as paths:
        quick = models(project)
    assert not [path for path in paths if "receipt-" in path and path.endswith(".json")]
    with opened() as paths:
        thorough = models(project, "--target", "one", "--target", "two")
    assert [path for path in paths if "receipt-" in path and path.endswith(".json")]
    assert quick == thorough and len(quick) == 2
    assert all(place["placed"] for model in quick for place in model["places"])


def test_what_changed_since_is_seen(project: Project) -> None:
    project.manifest(MANIFEST)
    project("lock")
    assert not any(place["placed"] for model in models(project) for place in model["places"])
    project("sync")
    gone, changed = sorted((project.path / "one").rglob("*.safetensors"))[:2]
    gone.unlink()
    changed.unlink()
    changed.write_bytes(b"something else")
    places = [place for model in models(project) for place in model["places"]]
    assert sorted(place["path"] for place in places if not place["placed"]) == sorted(
        path.relative_to(project.path / "one").as_posix() for path in (gone, changed)
    )
    assert all(place["target"] == "one" for place in places if not place["placed"])
