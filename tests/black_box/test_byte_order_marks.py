"""A byte order mark, as editors of Windows write it, makes no difference in any file that synapse reads.

Sidecars of others have it in `test_import.py`, tokens in `tests/user`.
"""

from __future__ import annotations

import codecs
import os
from pathlib import Path

import pytest
from workbench import declare, downloads
from world import Project

from synapse_sync.core.code import named_code
from synapse_sync.user.places import config_path

pytestmark = pytest.mark.usefixtures("impatient")
MARK = codecs.BOM_UTF8


def mark(path: Path) -> None:
    """Write a file again with the mark before it; its times stay, so that nothing else says that it changed."""
    found = path.stat()
    path.chmod(0o644)
    path.write_bytes(MARK + path.read_bytes())
    path.chmod(found.st_mode & 0o777)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def texts(directory: Path) -> list[Path]:
    """Every file of text below a directory: neither weights nor what is locked or empty."""
    found = []
    for path in sorted(directory.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.suffix != ".lock" and path.stat().st_size:
            try:
                path.read_bytes().decode()
            except UnicodeDecodeError:
                continue
            found.append(path)
    return found


def test_the_files_of_a_project(project: Project) -> None:
    project.manifest(declare("portrait", "eyes"))
    project("sync")
    project.hub.clear_log()
    for name in ("synapse.toml", "synapse.lock"):
        mark(project.path / name)
    assert "nothing to do" in project("sync", "--locked").out
    assert "in sync" in project("status").out
    mark(project.path / "synapse.toml")  # two of them are a mistake, and are said to be one
    assert "synapse.toml" in project("status", code=2).err
    assert project.hub.requests() == []


def test_the_notes_of_the_store_and_of_the_tree(project: Project) -> None:
    """They are synapse's own, and a careful user has no reason to edit them: none is lost by it all the same."""
    project.manifest(declare("portrait", "eyes", head="[workspace]\nsidecars = true\n"))
    project("sync")
    before = project.tree()
    project.hub.clear_log()
    marked = [path for place in (project.path / ".synapse", project.store) for path in texts(place)]
    assert len(marked) > 5
    for path in marked:
        mark(path)
    assert "in sync" in project("status").out
    project("sync", "--offline")
    assert project.tree() == before and downloads(project.hub) == []
    project.manifest(declare("portrait", head="[workspace]\nsidecars = true\n"))
    project("sync", "--offline")
    assert len(project.tree()) < len(before), "the receipt is believed: what it lists is pruned"


def test_the_settings_and_a_token(project: Project) -> None:
    settings = Path(config_path(os.environ) or "")
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_bytes(MARK + b"downloads = 99\n")
    assert "downloads: 99 is not between" in project("status", code=2).err
    settings.write_bytes(MARK + b"downloads = 2\n[tokens]\n")
    project.manifest(declare("portrait"))
    project("sync")


def test_the_merge_rules_of_git_are_known_behind_a_mark(project: Project) -> None:
    rules = project.path / ".gitattributes"
    (project.path / ".git").mkdir()
    project("init", "--root", "ui")
    mark(rules)
    before = rules.read_bytes()
    (project.path / "synapse.toml").unlink()
    project("init", "--root", "ui")
    assert rules.read_bytes() == before


def test_code_that_a_configuration_names_is_not_hidden_by_a_mark() -> None:
    assert named_code('\ufeff{"auto_map": {"AutoModel": "own.Model"}}') == ("auto_map",)
