"""What a cloned manifest may do: what is refused, what is asked once, and what needs no question."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from cases import case
from world import Project

from synapse_sync.demo import catalogue
from synapse_sync.demo.weights import safetensors_bytes

ONE = f'[models]\none = "civitai:{catalogue.PORTRAIT}"\n'
LOOKS = ("status", "list", "sync --dry-run", "sync --check", "outdated")
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git makes the repository")
as_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="files of another user")


def target(root: Path | str, layout: str = "flat") -> str:
    return f'[targets.ui]\nlayout = "{layout}"\nroot = "{root if isinstance(root, str) else root.as_posix()}"\n'


@pytest.fixture
def bin(sandbox: Path) -> Path:
    """A directory of the user's, with a program."""
    (sandbox / "bin").mkdir()
    (sandbox / "bin/tool").write_text("mine")
    return sandbox / "bin"


def placed(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.rglob("*.safetensors"))


@case(188)
@pytest.mark.parametrize("root", ["~", "/", "~/.ssh", "~/.ssh/deep", ".git/hooks", ".synapse", "~/x/site-packages"])
def test_some_roots_are_refused_whatever_the_user_says(project: Project, root: str) -> None:
    project.manifest(target(root) + ONE)
    os.environ["SYNAPSE_TRUST"] = "1"
    for words in (("sync",), ("sync", "--trust"), ("trust",)):
        assert "refused" in project(*words, code=2).err
    assert "sync will refuse this" in project("status").err


@case(188)
def test_a_home_that_is_the_project(project: Project) -> None:
    """As in containers: a UI's folders are placed without a question, `flat` and a home elsewhere are refused."""
    os.environ["HOME"] = os.environ["USERPROFILE"] = str(project.path)
    project.manifest(ONE)
    project("sync")
    assert "nothing to do" in project("sync").out
    project.manifest(target(".") + ONE)
    assert "refused" in project("sync", code=2).err
    os.environ["HOME"] = os.environ["USERPROFILE"] = str(project.path / "deep")
    project.manifest(target(".", "comfyui") + ONE)
    project("sync")
    project.manifest(target("..", "comfyui") + ONE)
    assert "refused" in project("sync", code=2).err


@case(188)
@pytest.mark.parametrize("keys", ['filename = ".zshenv"', 'subfolder = ".config"', 'subfolder = "a/.b"'])
def test_hidden_names_are_refused(project: Project, keys: str) -> None:
    project.manifest(f'[models.one]\nsource = "civitai:{catalogue.PORTRAIT}"\n{keys}\n')
    assert "begin with a dot" in project("sync", code=2).err


@case(188)
def test_asked_once(project: Project, bin: Path) -> None:
    project.manifest(target(bin) + ONE)
    for words in (("sync",), ("sync", "--yes"), ("sync", "--force", "--yes")):
        said = project(*words, code=2).err
        assert str(bin) in said and "synapse trust" in said
    assert not project.blobs() and not (project.path / "synapse.lock").exists()  # asked before the lock
    for look in LOOKS:
        assert project(*look.split(), code=None).code in (0, 8)
    asks = [{"kind": "flat-root", "value": str(bin)}]
    assert project("status", "--json").json["asks"] == asks
    assert project("trust", "--json").json == {"agreed": asks}
    project("sync")
    assert placed(bin)
    assert project("status", "--json").json["asks"] == []
    assert str(bin) in project("trust", "--list").out
    assert project("trust", "--list", "--json").json == {str(project.path): asks}


def test_a_later_root_is_asked_for_by_itself(project: Project, bin: Path, sandbox: Path) -> None:
    project.manifest(target(bin) + ONE)
    project("sync", "--trust")
    project.manifest(target(bin) + f'[targets.more]\nlayout = "flat"\nroot = "{sandbox.as_posix()}/more"\n' + ONE)
    said = project("sync", code=2).err
    assert "more" in said and str(bin) not in said


def test_the_variable_is_for_one_run_and_the_option_is_kept(project: Project, bin: Path) -> None:
    project.manifest(target(bin) + ONE)
    os.environ["SYNAPSE_TRUST"] = "1"
    project("sync")
    del os.environ["SYNAPSE_TRUST"]
    for path in bin.glob("*.safetensors"):
        path.unlink()
    project("sync", code=2)
    project("sync", "--trust")
    for path in bin.glob("*.safetensors"):
        path.unlink()
    project("sync")
    assert project("trust", "--revoke", "--json").json["revoked"]
    for path in bin.glob("*.safetensors"):
        path.unlink()
    project("sync", code=2)
    os.environ["SYNAPSE_TRUST"] = "yes"
    assert "SYNAPSE_TRUST" in project("sync", code=2).err


def test_a_copied_project_asks_again(project: Project, bin: Path) -> None:
    project.manifest(target(bin) + ONE)
    project("sync", "--trust")
    copy = project.path.with_name("copy")
    shutil.copytree(project.path, copy)
    again = Project(path=copy, store=project.store, hub=project.hub, _run=project._run)
    again.manifest(target(bin / "deeper") + ONE)
    assert str(bin) in again("sync", code=2).err


@pytest.mark.parametrize("key", ["projects", "roots"])
def test_settings_grant(project: Project, bin: Path, sandbox: Path, key: str) -> None:
    value = f"{project.path.parent.as_posix()}/*" if key == "projects" else "~/bin"
    (sandbox / "config.toml").write_text(f'[trust]\n{key} = ["{value}"]\n')
    project.manifest(target(bin) + ONE)
    project("sync")
    assert placed(bin)


@pytest.mark.parametrize("text", ['hosts = "a"', 'host = ["a"]', "roots = [1]"])
def test_settings_of_trust_are_checked(project: Project, sandbox: Path, text: str) -> None:
    (sandbox / "config.toml").write_text(f"[trust]\n{text}\n")
    assert "trust" in project("status", code=2).err


def test_a_project_of_an_earlier_version_goes_on(project: Project, bin: Path) -> None:
    """Its record in the store does not say that the user was asked."""
    project.manifest(target(bin) + ONE)
    os.environ["SYNAPSE_TRUST"] = "1"
    project("sync")
    del os.environ["SYNAPSE_TRUST"]
    (note,) = (project.store / "projects").glob("*.json")
    note.write_text(note.read_text().replace('"asked": true', '"asked": false'))
    project.manifest(target(bin) + ONE + f'two = "civitai:{catalogue.EYES}"\n')
    project("sync")
    assert len(placed(bin)) == 2
    project.manifest(target(bin) + ONE)
    project("sync")
    assert len(placed(bin)) == 1  # its roots are kept as consent


@case(188)
@needs_git
@pytest.mark.parametrize("place", [".", "ui", "ui/models"])
def test_a_tracked_link_is_the_repositorys_word(project: Project, bin: Path, place: str) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", "-C", str(project.path), *words], check=True, capture_output=True)

    link = project.path / ("link" if place == "." else place)
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(bin)
    project.manifest(target("link" if place == "." else "ui", "comfyui") + ONE)
    project("lock")
    git("init")
    git("add", str(link))
    assert str(bin) in project("sync", code=2).err
    assert placed(bin) == []
    git("rm", "--cached", str(link))
    project("sync")
    assert placed(bin)


@case(190)
def test_a_local_file_elsewhere_is_not_read(project: Project, sandbox: Path) -> None:
    own = sandbox / "keys.safetensors"
    own.write_bytes(safetensors_bytes("own"))
    inside = project.path / "in.safetensors"
    inside.write_bytes(safetensors_bytes("in"))
    text = '[models]\nin = {{ source = "./in.safetensors", type = "lora" }}\n'
    text += 'out = {{ source = "{}", type = "lora" }}\n'
    for source in ("~/keys.safetensors", own.as_posix(), os.path.relpath(own, project.path), f"file://{own}"):
        project.manifest(text.format(source))
        for words in (("lock",), ("sync",)):
            assert str(own) in project(*words, code=2).err
    assert not project.blobs() and not (project.path / "synapse.lock").exists()
    project("lock", "--trust")
    project("sync")
    assert len(project.blobs()) == 2


@case(190)
def test_a_file_that_only_the_lockfile_names(project: Project, sandbox: Path) -> None:
    own = sandbox / "keys.safetensors"
    own.write_bytes(safetensors_bytes("own"))
    inside = project.path / "in.safetensors"
    inside.write_bytes(own.read_bytes())
    project.manifest('[models]\nin = { source = "./in.safetensors", type = "lora" }\n')
    project("lock")
    shutil.rmtree(project.store)
    inside.unlink()
    lock = project.path / "synapse.lock"
    lock.write_text(lock.read_text().replace('url = "./in.safetensors"', f'url = "{own.as_posix()}"'))
    assert str(own) in project("sync", code=2).err


def test_what_init_and_add_write_needs_no_question(project: Project, bin: Path, sandbox: Path) -> None:
    own = sandbox / "mine/own.safetensors"
    own.parent.mkdir()
    own.write_bytes(safetensors_bytes("own"))
    project("init", "--layout", "flat", "--root", str(bin))
    project("add", str(own), "--type", "lora")
    project("sync")
    assert placed(bin) == ["own.safetensors"]


@case(189)
@as_root
@pytest.mark.parametrize("verb", ["status", "lock", "sync"])
def test_a_manifest_above_must_be_mine(project: Project, verb: str) -> None:
    project.manifest(ONE)
    work = project.path / "work"
    work.mkdir()
    below = Project(path=work, store=project.store, hub=project.hub, _run=project._run)
    for path in (project.path, project.path / "synapse.toml"):
        os.chown(path, 12345, -1)
        assert str(project.path / "synapse.toml") in below(verb, code=2).err
        os.environ["SUDO_UID"] = "12345"
        assert below(verb, code=None).code != 2
        del os.environ["SUDO_UID"]
        os.chown(path, 0, -1)
    os.chown(project.path / "synapse.toml", 12345, -1)
    assert project(verb, code=None).code != 2  # named by -C
    os.chown(work, 12345, -1)  # as in a container, where root works on somebody's checkout
    assert below(verb, code=None).code != 2


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")
@pytest.mark.parametrize("answer", ["n", "y"])
def test_the_question_on_a_terminal(project: Project, bin: Path, answer: str) -> None:
    import pty

    project.manifest(target(bin) + ONE)
    mine, its = pty.openpty()
    command = [sys.executable, "-m", "synapse_sync", "sync", "-C", str(project.path)]
    child = subprocess.Popen(command, env={**os.environ, "TERM": "xterm"}, stdin=its, stdout=its, stderr=its)
    os.close(its)
    said, typed, limit = b"", False, time.monotonic() + 60
    while time.monotonic() < limit and select.select([mine], [], [], 60)[0]:
        try:
            part = os.read(mine, 4096)
        except OSError:  # Linux: the other side is closed
            break
        said += part
        if not part:
            break
        if not typed and b"Do you agree?" in said:
            os.write(mine, f"{answer}\n".encode())
            typed = True
    code = child.wait(60)
    os.close(mine)
    assert typed and str(bin).encode() in said
    assert (code, bool(placed(bin))) == ((0, True) if answer == "y" else (2, False))


def test_a_lock_that_fails_leaves_no_copy_of_a_local_file(project: Project) -> None:
    (project.path / "a.safetensors").write_bytes(safetensors_bytes("a"))
    kept = project.path / "kept.safetensors"
    kept.write_bytes(safetensors_bytes("kept"))
    project.manifest('[models]\nkept = { source = "./kept.safetensors", type = "lora" }\n')
    project("lock")
    before = project.blobs()
    page = project.hub.files.put(
        "page.safetensors", b"<!DOCTYPE html><html>log in</html>", content_type="text/html"
    )
    project.manifest(
        '[models]\nkept = { source = "./kept.safetensors", type = "lora" }\n'
        'a = { source = "./a.safetensors", type = "lora" }\n'
        f'page = {{ source = "{page}", type = "lora" }}\n'
    )
    assert project("lock", code=None).code != 0
    assert project.blobs() == before


@pytest.mark.parametrize("second", ["b.safetensors", "b.json"])
def test_a_lock_that_fails_leaves_no_file_of_a_local_archive(project: Project, second: str) -> None:
    """Also where the archive itself fails, behind its first file."""
    with zipfile.ZipFile(project.path / "a.zip", "w") as archive:
        archive.writestr("a.safetensors", safetensors_bytes("a"))
        archive.writestr(second, b"no weights")
    entry = '[models.a]\nsource = "./a.zip"\ntype = "lora"\nextract = ["*"]\n'
    page = project.hub.files.put("page.safetensors", b"<!DOCTYPE html>", content_type="text/html")
    project.manifest(f'{entry}[models.page]\nsource = "{page}"\ntype = "lora"\n')
    assert project("lock", code=None).code != 0
    assert project.blobs() == []


def test_an_add_that_fails_leaves_no_copy(project: Project) -> None:
    """The file can be locked, and no target has a place for it."""
    (project.path / "a.safetensors").write_bytes(safetensors_bytes("a"))
    project.manifest('[targets.here]\nlayout = "comfyui"\nroot = "here"\n')
    project("add", "./a.safetensors", "--type", "no such type", code=2)
    assert project.blobs() == []
    project("add", "./a.safetensors", "--type", "lora")
    assert len(project.blobs()) == 1


@case(190)
@pytest.mark.parametrize(
    "form",
    ["http://127.0.0.1:{}/f", "http://localhost:{}/f", "http://[::1]:{}/f", "https://nas.local/f",
     "https://10.1.2.3/f", "https://169.254.169.254/f", "https://[fd00::1]/f"],
)  # fmt: skip
def test_an_address_inside_is_asked_for(project: Project, form: str) -> None:
    """No request is sent before; the guard of the tests would fail for the hosts that are not this one."""
    del os.environ["SYNAPSE_TRUST_HOSTS"]
    port = project.hub.files.url.rpartition(":")[2]
    project.hub.clear_log()
    project.manifest(f'[models]\nit = {{ source = "{form.format(port)}.safetensors", type = "lora" }}\n')
    for words in (("lock",), ("sync",), ("info", "it")):
        assert "synapse trust" in project(*words, code=2).err
    for looks in ("status", "outdated", "list"):
        project(looks, code=None)
    assert project.hub.requests() == []


def test_a_name_is_described_as_the_lockfile_says_only_with_consent(project: Project) -> None:
    """The manifest names a public place, the lockfile one inside. A reference that a user types is no question."""
    del os.environ["SYNAPSE_TRUST_HOSTS"]
    url = project.hub.files.put("a.safetensors", safetensors_bytes("a"))
    project.manifest(f'[models]\nit = {{ source = "{url}", type = "lora" }}\n')
    project("trust")
    project("lock")
    assert "a.safetensors" in project("info", "it").out
    project("trust", "--revoke")
    project.manifest('[models]\nit = { source = "https://example.org/a.safetensors", type = "lora" }\n')
    project.hub.clear_log()
    project("info", "it", code=2)
    project("outdated", code=None)
    assert project.hub.requests() == []
    assert "a.safetensors" in project("info", url).out


@pytest.mark.parametrize("how", ["trust", "variable", "allow-http", "hosts", "SYNAPSE_TRUST_HOSTS"])
def test_the_user_may_allow_an_address_inside(project: Project, sandbox: Path, how: str) -> None:
    del os.environ["SYNAPSE_TRUST_HOSTS"]
    url = project.hub.files.put("a.safetensors", safetensors_bytes("a"))
    port = url.split(":")[2].partition("/")[0]
    project.manifest(f'[models]\nit = {{ source = "{url}", type = "lora" }}\n')
    if how == "trust":
        project("trust")
    elif how == "variable":
        os.environ["SYNAPSE_TRUST"] = "1"
    elif how == "allow-http":
        (sandbox / "config.toml").write_text('allow-http = ["127.0.0.1"]\n')
    elif how == "hosts":
        (sandbox / "config.toml").write_text(f'[trust]\nhosts = ["127.0.0.1:{port}"]\n')
    else:
        os.environ["SYNAPSE_TRUST_HOSTS"] = f"example.org, 127.0.0.1:{port}"
    project("sync")
    assert len(project.blobs()) == 1


@case(190)
def test_a_cover_and_a_place_that_only_the_lockfile_names(project: Project) -> None:
    cover = f"{project.hub.files.url}/cover.jpg"
    named = project.hub.files.put("a.safetensors", safetensors_bytes("a"))
    project.manifest(f'[models]\nit = {{ source = "{named}", type = "lora" }}\n')
    project("lock")
    shutil.rmtree(project.store)
    del os.environ["SYNAPSE_TRUST_HOSTS"]
    lock = project.path / "synapse.lock"
    lock.write_text(lock.read_text().replace(f'url = "{named}"', f'url = "{project.hub.files.url}/api/kill"'))
    project.hub.clear_log()
    assert "only synapse.lock names" in project("sync", code=2).err
    project.manifest(f'[models]\nit = {{ source = "civitai:{catalogue.PORTRAIT}", cover = "{cover}" }}\n')
    assert "inside your own network" in project("sync", code=2).err
    assert project.hub.requests() == []


def test_outdated_asks_a_host_inside_for_a_length_only_with_consent(project: Project) -> None:
    del os.environ["SYNAPSE_TRUST_HOSTS"]
    url = project.hub.files.put("a.safetensors", safetensors_bytes("a"))
    project.manifest(f'[models]\nit = {{ source = "{url}", type = "lora" }}\n')
    project("trust")
    project("lock")
    project("trust", "--revoke")
    project.hub.clear_log()
    (value,) = project("outdated", "--json").json["models"]
    assert value["unsure"] and project.hub.requests() == []
    project("trust")
    project("outdated")
    assert len(project.hub.requests("files")) == 1
