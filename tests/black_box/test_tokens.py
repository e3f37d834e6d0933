"""Tokens: kept, used, told about and forgotten, and never shown to anybody but their site."""

from __future__ import annotations

import os
import pty
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import keyring
import keyring.backend
import keyring.errors
import pytest
from stand_ins import typed
from world import Project, Result

from synapse_sync.demo import catalogue
from synapse_sync.demo.weights import safetensors_bytes
from synapse_sync.sites import SITES

CANARY = "canary-7f3a-token"
PORTRAIT = f'[models]\na = "civitai:{catalogue.PORTRAIT}"\n'


@pytest.fixture
def kept(project: Project, sandbox: Path) -> Path:
    """The file of kept tokens, in a world without tokens."""
    for name in ("CIVITAI_API_KEY", "HF_TOKEN"):
        del os.environ[name]
    return sandbox / "tokens.toml"


def log_in(project: Project, site: str, token: str, *words: str, code: int | None = 0) -> Result:
    with typed(token):
        return project("login", site, "--token-stdin", *words, code=code)


def everything(root: Path, *, but: Path) -> bytes:
    """The bytes of all files below, but one."""
    return b"\0".join(path.read_bytes() for path in root.rglob("*") if path.is_file() and path != but)


# -- the file -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("site", ["civitai", "huggingface", "github"])
def test_the_whole_life_of_a_token(project: Project, kept: Path, tmp_path: Path, sandbox: Path, site: str) -> None:
    hub = project.hub
    token = {"civitai": hub.civitai_token, "huggingface": hub.huggingface_token, "github": hub.github_token}[site]
    host = {"civitai": "civitai.com", "huggingface": "huggingface.co", "github": "github.com"}[site]
    assert "no token" in project("whoami", site, code=3).out
    done = log_in(project, site, f"{token}\n")
    assert f"logged in to {host} as newcomer; the token is in the file {kept}" in done.err
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    who = project("whoami", site, "--json")
    assert who.json["identities"] == [
        {
            "host": host,
            "state": "valid",
            "account": "newcomer",
            "token_from": f"the file {kept}",
            "note": None,
            "error": None,
        }
    ]
    assert "newcomer" in project("whoami").out
    if site == "civitai":
        project.manifest(PORTRAIT)
        project("sync")
        assert project.tree()
    said = project("logout", site)
    assert f"logged out of {host}" in said.err
    assert token not in kept.read_text()
    assert "no token" in project("whoami", site, code=3).out
    assert "no token was kept" in project("logout", site).err
    shown = done.out + done.err + who.out + who.err + said.out + said.err
    assert token not in shown
    assert token.encode() not in everything(sandbox, but=kept) + everything(tmp_path, but=kept)
    assert all("authorization" not in seen.headers for seen in hub.requests("storage"))


def test_a_token_that_its_site_refuses_is_not_kept(project: Project, kept: Path) -> None:
    for site in ("civitai", "huggingface", "github"):
        done = log_in(project, site, CANARY, "--debug", code=3)
        assert "refuses this token" in done.err and CANARY not in done.err + done.out
    assert not kept.exists()
    assert {seen.path for seen in project.hub.log} == {"/api/v1/me", "/api/whoami-v2", "/api/v3/user"}


def test_a_site_that_is_down_is_no_verdict(project: Project, kept: Path) -> None:
    from synapse_sync.demo.exchange import Fault

    os.environ["SYNAPSE_RETRY_DELAY"] = "0"
    os.environ["CIVITAI_API_KEY"] = CANARY
    os.environ["HF_TOKEN"] = project.hub.huggingface_token
    project.hub.faults.add("/api/v1/me", Fault(status=503))
    done = project("whoami", "--json", code=5)
    states = {identity["host"]: identity["state"] for identity in done.json["identities"]}
    others = {site.token_host: "none" for site in SITES}
    assert states == {**others, "civitai.com": "unknown", "huggingface.co": "valid"}
    assert log_in(project, "civitai", CANARY, code=5) and not kept.exists()


def test_githubs_limit_is_no_verdict_and_an_app_has_no_name(project: Project, kept: Path) -> None:
    from synapse_sync.demo.exchange import Fault

    os.environ["SYNAPSE_RETRY_DELAY"] = "0"
    os.environ["GITHUB_TOKEN"] = "ghs_of-actions"
    assert "github.com  an app, such as GitHub Actions" in project("whoami", "github").out
    said = b'{"message": "API rate limit exceeded for user ID 1."}'
    project.hub.faults.add("/api/v3/user", Fault(status=403, body=said, origin="github"))
    done = project("whoami", "github.com", "--json", code=5)
    assert [identity["state"] for identity in done.json["identities"]] == ["unknown"]
    assert "refuse" not in done.err


def test_a_rewritten_github_does_not_see_the_token(project: Project, kept: Path, sandbox: Path) -> None:
    host = project.hub.github.url.removeprefix("http://")
    (sandbox / "config.toml").write_text(f'[rewrites]\n"{host}" = "{project.hub.files.url}"\n')
    os.environ["GITHUB_TOKEN"] = CANARY
    assert "`[rewrites]` sends its requests to another host" in project("whoami", "github").out
    assert project.hub.log == []


def test_a_refused_token_of_the_environment_is_named_by_its_variable(project: Project, kept: Path) -> None:
    os.environ["CIVITAI_TOKEN"] = CANARY
    done = project("whoami", "civitai", code=3)
    assert "refused  (token from the environment variable CIVITAI_TOKEN)" in done.out
    assert CANARY not in done.out + done.err


def test_the_environment_wins_and_login_says_so(project: Project, kept: Path) -> None:
    os.environ["CIVITAI_API_KEY"] = CANARY
    done = log_in(project, "civitai", project.hub.civitai_token)
    assert "the environment variable CIVITAI_API_KEY goes before it" in done.err
    assert "CIVITAI_API_KEY" in project("whoami", "civitai", code=3).out
    assert (
        "another token for it remains in the environment variable CIVITAI_API_KEY"
        in project("logout", "civitai").err
    )


def test_a_host_without_a_door_to_knock_at(project: Project, kept: Path) -> None:
    host = project.hub.files.url.removeprefix("http://")
    done = log_in(project, host, CANARY)
    assert "the first download will show" in done.err
    project.manifest(f'[models]\na = {{ source = "http://{host}/files/{catalogue.PLAIN_LORA}", type = "lora" }}\n')
    project("sync")
    sent = {seen.headers.get("authorization") for seen in project.hub.requests("files")}
    assert sent == {f"Bearer {CANARY}"}
    assert all("authorization" not in seen.headers for seen in project.hub.requests("storage"))
    listed = project("whoami").out
    assert f"{host}  not checked" in listed and CANARY not in listed
    assert CANARY not in project.lock_text


def test_others_can_not_read_it_whatever_was_there(project: Project, kept: Path) -> None:
    kept.write_text('"old.example" = "x"\n')
    kept.chmod(0o644)
    assert "others on this machine can read" in project("whoami").err
    log_in(project, "civitai", project.hub.civitai_token)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert '"old.example"' in kept.read_text()
    assert "others on this machine" not in project("whoami").err


def test_a_directory_of_its_own_is_for_nobody_else(project: Project, kept: Path, tmp_path: Path) -> None:
    os.environ["SYNAPSE_CONFIG"] = str(tmp_path / "new" / "synapse" / "config.toml")
    log_in(project, "civitai", project.hub.civitai_token)
    assert stat.S_IMODE((tmp_path / "new" / "synapse").stat().st_mode) == 0o700


def test_a_file_that_is_no_toml(project: Project, kept: Path) -> None:
    kept.write_text(f'"civitai.com" = "{CANARY}\n')
    done = project("whoami", code=2)
    assert "tokens.toml" in done.err and "log in again" in done.err and CANARY not in done.err


# -- giving one -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", [f"{CANARY}\x1b[31m", f"{CANARY} {CANARY}", f"{CANARY}\n{CANARY}", f"{CANARY}\udcff"]
)
def test_characters_that_no_token_has(project: Project, kept: Path, text: str) -> None:
    done = log_in(project, "civitai", text, code=2)
    assert "no token has" in done.err and CANARY not in done.err + done.out
    assert project.hub.log == []


def test_nothing_is_no_token(project: Project, kept: Path) -> None:
    assert "the input is empty" in log_in(project, "civitai", "\n", code=2).err


@pytest.mark.parametrize("name", ["CIVITAI_API_KEY", "HF_TOKEN", "CIVITAI_API_KEY_FILE", "config"])
def test_bad_tokens_from_elsewhere_are_refused_unseen(
    project: Project, kept: Path, sandbox: Path, name: str
) -> None:
    bad = f"{CANARY}\r\nX-Injected: 1"
    if name == "config":
        (sandbox / "config.toml").write_text('[tokens]\n"a.example" = "' + bad.replace("\r\n", "\\r\\n") + '"\n')
    elif name.endswith("_FILE"):
        (sandbox / "key").write_text(bad)
        os.environ[name] = str(sandbox / "key")
    else:
        os.environ[name] = bad
    project.manifest(PORTRAIT)
    done = project("lock", "--debug", code=2)
    assert "no token has" in done.err and CANARY not in done.err + done.out


def test_a_token_on_the_command_line_is_not_repeated(project: Project, kept: Path) -> None:
    for words in (("login", "civitai", CANARY), ("login", CANARY), ("logout", CANARY), ("whoami", CANARY)):
        done = project(*words, code=2)
        assert CANARY not in done.out + done.err


def test_without_a_terminal_nobody_is_asked(project: Project, kept: Path) -> None:
    with typed(""):
        assert "--token-stdin" in project("login", "civitai", code=2).err


def test_it_is_asked_for_without_echo(project: Project, kept: Path) -> None:
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "synapse_sync", "login", "civitai"]
    with subprocess.Popen(
        command, stdin=follower, stdout=follower, stderr=follower, cwd=project.path, start_new_session=True
    ) as running:
        os.close(follower)
        shown = b""
        while b"Token for Civitai" not in shown:
            shown += os.read(leader, 4096)
        os.write(leader, f"{project.hub.civitai_token}\n".encode())
        try:
            while data := os.read(leader, 4096):
                shown += data
        except OSError:  # how a terminal says that the other end has gone
            pass
        assert running.wait() == 0
    os.close(leader)
    assert b"logged in to civitai.com as newcomer" in shown
    assert project.hub.civitai_token.encode() not in shown


# -- the manifest ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        f'[tokens]\n"a.example" = "{CANARY}"\n',
        f'[models.a]\nsource = "https://a.example/f.safetensors"\ntoken = "{CANARY}"\n',
        f'[models.a]\nsource = "https://a.example/f.safetensors"\nheaders = {{ x = "{CANARY}" }}\n',
    ],
)
def test_the_manifest_takes_no_tokens(project: Project, kept: Path, text: str) -> None:
    project.manifest(text)
    done = project("lock", code=2)
    said = " ".join(done.err.split())
    assert "do not put tokens in the manifest, which is shared" in said
    assert "`synapse login HOST`" in said and CANARY not in said


# -- the keyring ----------------------------------------------------------------------------------------


class Memory(keyring.backend.KeyringBackend):
    """A keyring that forgets with the test."""

    priority = 1.0  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.content: dict[tuple[str, str], str] = {}
        self.opened = 0

    def set_password(self, service: str, username: str, password: str) -> None:
        self.content[service, username] = password

    def get_password(self, service: str, username: str) -> str | None:
        self.opened += 1
        return self.content.get((service, username))

    def delete_password(self, service: str, username: str) -> None:
        if self.content.pop((service, username), None) is None:
            raise keyring.errors.PasswordDeleteError("not there")


@pytest.fixture
def ring(kept: Path) -> Iterator[Memory]:
    """The real library, with a keyring of ours in place of the system's."""
    before, memory = keyring.get_keyring(), Memory()
    keyring.set_keyring(memory)
    yield memory
    keyring.set_keyring(before)


def test_where_there_is_a_keyring_the_token_goes_there(project: Project, kept: Path, ring: Memory) -> None:
    token = project.hub.civitai_token
    done = log_in(project, "civitai", token)
    assert "the token is in the system's keyring" in done.err
    assert ring.content == {("synapse-sync", "civitai.com"): token}
    assert "keyring = true" in kept.read_text() and token not in kept.read_text()
    assert "the system's keyring" in project("whoami", "civitai").out
    project.manifest(PORTRAIT)
    project("sync")
    assert project.tree()
    project("logout", "civitai")
    assert ring.content == {} and "civitai" not in kept.read_text().partition("\n")[2]


def test_the_keyring_is_opened_only_for_its_own_host(project: Project, kept: Path, ring: Memory) -> None:
    log_in(project, "civitai", project.hub.civitai_token)
    opened = ring.opened
    plain = f"{project.hub.files.url}/files/{catalogue.PLAIN_LORA}"
    project.manifest(f'[models]\na = {{ source = "{plain}", type = "lora" }}\n')
    project("sync")
    project("status")
    assert project.tree() and ring.opened == opened


def test_a_keyring_that_lost_it_is_told(project: Project, kept: Path, ring: Memory) -> None:
    log_in(project, "civitai", project.hub.civitai_token)
    ring.content.clear()
    project.manifest(PORTRAIT)
    done = project("sync", code=3)
    assert "keyring" in done.err and "synapse login civitai.com" in " ".join(done.err.split())
    assert "by hand" in project("logout", "civitai").err


def test_a_keyring_that_does_not_take_it_is_no_obstacle(project: Project, kept: Path, ring: Memory) -> None:
    ring.set_password = None  # type: ignore[assignment,method-assign]
    assert f"the token is in the file {kept}" in log_in(project, "civitai", project.hub.civitai_token).err
    assert "newcomer" in project("whoami", "civitai").out


def test_a_token_in_an_address_is_not_written_down(project: Project) -> None:
    url = project.hub.files.put("a.safetensors", safetensors_bytes("a"))
    project.manifest("[models]\n")
    before = (project.path / "synapse.toml").read_bytes()
    for query in (f"download_token={CANARY}", f"user=me&t=hf_{'a1' * 17}"):
        said = project("add", f"{url}?{query}", "--type", "lora", code=2)
        assert "holds a token" in said.err and CANARY not in said.err
    (project.path / "list.txt").write_text(f"{url}?pass={CANARY}\n")
    said = project("import", "list.txt", code=None)
    assert said.code and CANARY not in said.err + said.out
    assert (project.path / "synapse.toml").read_bytes() == before and not (project.path / "synapse.lock").exists()
    assert not any(
        CANARY in path.read_text("utf-8", "replace") for path in project.store.rglob("*") if path.is_file()
    )
    project("add", f"{url}?download=true", "--type", "lora")
    # One of an earlier version goes on working.
    project.manifest(f'[models]\na = {{ source = "{url}?download_token=x", type = "lora" }}\n')
    project("sync")
    project("sync", "--locked")
