"""Places: where things are when somebody says it, and when nobody does."""

from __future__ import annotations

import os
import sys
from hashlib import sha256
from pathlib import Path

import platformdirs
import pytest
from world import Project

from synapse_sync.demo import catalogue
from synapse_sync.errors import InputError
from synapse_sync.user.places import (
    config_path,
    content,
    content_digest,
    expanded,
    find_project,
    settings_digest,
    store_path,
)


@pytest.mark.parametrize("config", [None, "", "relative", "/etc/mine", "/etc/mine/"])
@pytest.mark.parametrize("data", [None, "", "relative", "/srv/mine"])
@pytest.mark.parametrize("home", [None, "", "relative", "/home/me", "/home/me/"])
def test_the_usual_places_are_those_of_platformdirs(config: str | None, data: str | None, home: str | None) -> None:
    for name, value in (("XDG_CONFIG_HOME", config), ("XDG_DATA_HOME", data), ("HOME", home)):
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SYNAPSE_")}
    settings, things = (
        directory("synapse", appauthor=False)
        for directory in (platformdirs.user_config_dir, platformdirs.user_data_dir)
    )
    assert config_path(environ) == str(Path(settings) / "config.toml").replace("//", "/")
    assert store_path(None, environ) == store_path("", environ) == str(Path(things) / "store")


def test_what_somebody_says_counts(sandbox: Path) -> None:
    environ = {"SYNAPSE_CONFIG": "~/mine.toml", "HOME": "/home/me"}
    assert config_path(environ) == f"{sandbox}/mine.toml"
    assert store_path("~/models", environ) == f"{sandbox}/models"
    assert store_path("/models", environ) == expanded("/models") == "/models"


def test_the_home_of_nobody() -> None:
    with pytest.raises(InputError, match="`~nobody-has-this-name/store`: no such home directory"):
        expanded("~nobody-has-this-name/store")


def test_the_nearest_project(tmp_path: Path) -> None:
    inner = tmp_path / "outer" / "inner"
    (inner / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(inner / "deep")
    assert find_project(str(inner)) is None
    (tmp_path / "outer" / "synapse.toml").touch()
    assert find_project(str(inner / "deep")) == str(tmp_path / "outer")
    (inner / "synapse.toml").symlink_to("nowhere")
    assert find_project(str(inner)) == str(tmp_path / "outer")
    (inner / "nowhere").touch()
    assert find_project(str(tmp_path / "link")) == str(inner)
    (inner / "nowhere").unlink()
    (inner / "nowhere").mkdir()
    assert find_project(str(inner)) == str(inner), "the commands say that it is a directory"


def test_content(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\xff\n")
    assert content(str(tmp_path / "file")) == b"\xff\n"
    assert content(str(tmp_path / "none")) == content(str(tmp_path / "file" / "below")) == b""
    for name in ("file", "none", "file/below"):
        path = str(tmp_path / name)
        assert content_digest(path) == sha256(content(path)).digest()
    for look in (content, content_digest):
        with pytest.raises(IsADirectoryError):
            look(str(tmp_path))


@pytest.mark.skipif(sys.platform != "linux", reason="other file systems have only names in Unicode")
def test_a_store_whose_path_is_not_utf_8(project: Project, tmp_path: Path) -> None:
    store = tmp_path / os.fsdecode(b"st\xffore")
    os.environ["SYNAPSE_STORE"] = str(store)
    project.manifest(f'[models]\neyes = "civitai:{catalogue.EYES}"\n')
    project("sync", code=0)
    assert "nothing to do" in project("sync", code=0).err
    assert (store / "blobs").is_dir()


def test_settings_with_another_store_are_others() -> None:
    digests = {settings_digest(b"", None), settings_digest(b"", "/s"), settings_digest(b"x", None)}
    assert len(digests) == 3
    assert settings_digest(b"", "") == settings_digest(b"", None)
