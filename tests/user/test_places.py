"""Places: absolute whatever the directory, and a user without a home."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

import pytest
from world import Project

from synapse_sync.demo import catalogue
from synapse_sync.errors import InputError
from synapse_sync.store.durable import storage_error
from synapse_sync.user import places
from synapse_sync.user.settings import Settings, load_settings


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without HOME and without an entry in the system's list of users."""
    del os.environ["HOME"]
    for name in ("SYNAPSE_STORE", "SYNAPSE_CONFIG", "HF_HOME"):
        del os.environ[name]
    pwd = pytest.importorskip("pwd")

    def nobody(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", nobody)


def load(**environ: str) -> Settings:
    return load_settings(environ, places.home_directory())


# -- paths of the settings ------------------------------------------------------------------------------


@pytest.mark.parametrize(("written", "store"), [("mine", "mine"), ("../up/mine", "../up/mine")])
def test_a_store_in_the_settings_begins_at_their_directory(tmp_path: Path, written: str, store: str) -> None:
    (tmp_path / "settings").mkdir()
    config = tmp_path / "settings" / "config.toml"
    config.write_bytes(b"\xef\xbb\xbf" + f'store = "{written}"\r\n'.encode())
    seen = set()
    for directory in (tmp_path, tmp_path / "settings"):
        with contextlib.chdir(directory):
            seen.add(load(SYNAPSE_CONFIG=str(config)).store)
    assert seen == {tmp_path / "settings" / store}


def test_an_absolute_store_and_one_in_the_home_directory_stay(tmp_path: Path, sandbox: Path) -> None:
    config = tmp_path / "config.toml"
    for written, store in ((f"{tmp_path}/abs", tmp_path / "abs"), ("~/models", sandbox / "models")):
        config.write_text(f'store = "{written}"\n')
        assert load(SYNAPSE_CONFIG=str(config)).store == store


@pytest.mark.parametrize("written", ["settings", "settings/", "new/"])
def test_the_settings_may_be_named_by_their_directory(tmp_path: Path, written: str) -> None:
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings" / "config.toml").write_text('store = "mine"\n')
    found = load(SYNAPSE_CONFIG=f"{tmp_path}/{written}", SYNAPSE_STORE="" if "set" in written else f"{tmp_path}/s")
    name = written.rstrip("/")
    assert found.config == tmp_path / name / "config.toml"
    assert found.tokens_file.parent == tmp_path / name
    assert found.store == (tmp_path / "settings/mine" if name == "settings" else tmp_path / "s")


@pytest.mark.parametrize("variable", ["SYNAPSE_STORE", "SYNAPSE_CONFIG"])
def test_a_relative_path_in_a_variable_is_refused(variable: str, tmp_path: Path) -> None:
    with contextlib.chdir(tmp_path), pytest.raises(InputError) as caught:
        load(**{"SYNAPSE_CONFIG": "/nowhere", variable: "cache/mine"})
    assert f"{variable}: `cache/mine` is not an absolute path" in caught.value.message
    assert caught.value.hint == f"write the whole path: `{tmp_path}/cache/mine`"


def test_the_quick_answer_leaves_a_relative_path_to_the_commands(project: Project) -> None:
    from synapse_sync.cli import quick

    os.environ["SYNAPSE_STORE"] = "store"
    with contextlib.chdir(project.path):
        assert not quick.answer(["sync"])
    assert "SYNAPSE_STORE" in project("sync", code=2).err


# -- without a home directory ---------------------------------------------------------------------------


def test_whatever_would_be_below_home_is_absent(homeless: None) -> None:
    settings = load(SYNAPSE_STORE="/srv/store")
    assert (settings.config, settings.hub_cache, settings.store) == (None, None, Path("/srv/store"))
    assert settings.tokens == ()
    with pytest.raises(InputError, match="no home directory") as caught:
        _ = settings.tokens_file
    assert "SYNAPSE_CONFIG" in str(caught.value.hint)


def test_without_a_store_its_variable_is_named(homeless: None) -> None:
    with pytest.raises(InputError, match="no home directory") as caught:
        load()
    assert "SYNAPSE_STORE" in str(caught.value.hint)


def test_the_xdg_variables_are_enough(homeless: None, tmp_path: Path) -> None:
    given = {f"XDG_{kind}_HOME": str(tmp_path / kind) for kind in ("CONFIG", "DATA", "CACHE")}
    for name, value in given.items():
        os.environ[name] = value
    settings = load(**given)
    assert settings.store == tmp_path / "DATA" / "synapse" / "store"
    assert settings.config == tmp_path / "CONFIG" / "synapse" / "config.toml"
    assert settings.hub_cache == tmp_path / "CACHE" / "huggingface" / "hub"


def test_every_command_works_where_the_paths_are_set(homeless: None, project: Project, tmp_path: Path) -> None:
    os.environ["SYNAPSE_STORE"] = str(tmp_path / "store")
    project.manifest(f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\n')
    for words in (["lock"], ["status"], ["sync"], ["lock", "--check"], ["store", "path"], ["verify"]):
        project(*words)
    project("whoami", code=None)
    done = project("logout", "civitai", code=2)
    assert "SYNAPSE_CONFIG" in done.err


def test_a_path_in_a_home_that_does_not_exist_is_a_mistake_of_its_file(homeless: None, project: Project) -> None:
    os.environ["SYNAPSE_STORE"] = str(project.store)
    project.manifest('[targets.t]\nlayout = "flat"\nroot = "~/x"\n[models]\nm = "~/y.safetensors"\n')
    assert "no such home directory" in project("lock", code=2).err


def test_a_home_that_cannot_be_written_is_no_dead_end() -> None:
    for number in (errno.EACCES, errno.EPERM, errno.EROFS):
        said = storage_error(OSError(number, "no", "/.local"), "making /.local")
        assert "SYNAPSE_STORE" in str(said.hint)
