"""The rules of trust, on facts about paths that need not exist."""

from __future__ import annotations

from dataclasses import replace

import pytest

from synapse_sync.core.trust import (
    Capability,
    Kind,
    RootFacts,
    link_capability,
    not_trusted,
    refusal,
    root_capability,
    source_capability,
)

HOME, PROJECT = ("/", "home", "me"), ("/", "home", "me", "clone")
STORE = ("/", "home", "me", ".local", "share", "synapse", "store")
FOLDERS = ("models/loras", "models/vae")


def facts(*parts: str, names: tuple[str, ...] | None = (), markers: int = 0, link: str = "") -> RootFacts:
    real = ("/", *parts)
    return RootFacts(
        written=real, real=real, project=PROJECT, home=HOME, own={STORE: "the store"}, names=names, markers=markers,
        link=link,
    )  # fmt: skip


@pytest.mark.parametrize(
    "path",
    ["", "home", "home/me", "home/me/.ssh", "home/me/.SSH/x", "home/me/.gnupg", "home/me/clone/.git/hooks",
     "home/me/clone/sub/.Git", "home/me/clone/.synapse", "usr/lib/python3/site-packages/x",
     "home/me/.local/share/synapse/store", "home/me/.local/share/synapse/store/blobs/aa"],
)  # fmt: skip
def test_refused_whatever_the_user_says(path: str) -> None:
    found = facts(*filter(None, path.split("/")))
    assert refusal(found) is not None
    behind_a_link = replace(facts("home", "me", "clone", "out"), real=found.real)
    assert refusal(behind_a_link) is not None


@pytest.mark.parametrize(
    "path", ["home/me/clone", "home/me/clone/ui", "home/other", "opt/ComfyUI", "home/me/.sshx"]
)
def test_not_refused(path: str) -> None:
    assert refusal(facts(*path.split("/"))) is None


def test_the_place_of_the_project_is_the_users_choice() -> None:
    strange = ("/", "srv", "site-packages", "clone")
    assert refusal(replace(facts(), written=strange, real=strange, project=strange, home=())) is None
    assert refusal(replace(facts(), written=(*strange, ".git"), real=strange, project=strange, home=())) is not None


@pytest.mark.parametrize("project", [HOME, HOME[:-1]])
def test_a_home_that_is_the_project(project: tuple[str, ...]) -> None:
    """The folders of a UI can be placed there; a layout without folders could name a file that a shell reads."""
    found = replace(facts(), written=project, real=project, project=project)
    assert refusal(replace(found, has_folders=True)) is None
    assert refusal(found) is not None
    above = replace(found, has_folders=True, written=project[:-1], real=project[:-1])
    assert refusal(above) is not None
    behind_a_link = replace(above, written=project)
    assert refusal(behind_a_link) is not None
    assert refusal(replace(facts(), written=("/",), real=("/",), project=("/",), has_folders=True)) is not None


@pytest.mark.parametrize(
    ("found", "asked"),
    [
        (facts("home", "me", "clone", "deep", "ui", names=("letter.txt",)), False),
        (facts("opt", "ComfyUI"), False),
        (facts("opt", "ComfyUI", names=("models", ".synapse", "lost+found", ".Trash-1000")), False),
        (facts("home", "me", "Documents", names=("letter.txt",)), True),
        (facts("home", "me", "Documents", names=None), True),
        (facts("home", "me", ".local", "share", "x"), True),
        (facts("home", "me", ".local", "share", "x", names=("main.py", "models"), markers=2), False),
        (facts("home", "me", "x", names=("main.py", "models"), markers=1), True),
        (facts("home", "me", "Documents", "ComfyUI", names=("models", "user", "input", "x.log")), False),
        (facts("home", "me", "Documents", "ComfyUI", names=("models", "user", "x.log")), True),
        (facts("home", "me", "bin", link="own"), False),
        (facts("home", "me", "bin", names=("tool",), link="tracked"), True),
    ],
)
def test_a_root_is_asked_for(found: RootFacts, asked: bool) -> None:
    wanted = root_capability(found, folders=FOLDERS, markers=3, desktop=("models", "user", "input", "output"))
    assert (wanted is not None) is asked
    if wanted is not None:
        assert wanted == Capability(Kind.ROOT, "/" + "/".join(found.real[1:]))


@pytest.mark.parametrize("names", [(), ("models",), ("main.py",)])
def test_flat_elsewhere_is_always_asked_for(names: tuple[str, ...]) -> None:
    elsewhere = facts("opt", "x", names=names, markers=3)
    assert root_capability(elsewhere, folders=(), markers=0) == Capability(Kind.FLAT_ROOT, "/opt/x")
    inside = facts("home", "me", "clone", "x", names=names)
    assert root_capability(inside, folders=(), markers=0) is None


def test_a_link_below_a_root() -> None:
    assert link_capability(facts("mnt", "x", link="tracked")) == Capability(Kind.LINK, "/mnt/x")
    assert link_capability(facts("mnt", "x", link="own")) is None
    assert link_capability(facts("home", "me", "clone", "x", link="tracked")) is None


def test_a_local_file() -> None:
    elsewhere, inside = ("/", "etc", "passwd"), (*PROJECT, "m.safetensors")
    assert source_capability(elsewhere, PROJECT) == Capability(Kind.SOURCE, "/etc/passwd")
    assert source_capability(inside, PROJECT) is None
    assert source_capability(elsewhere, PROJECT, link="own") is None
    assert source_capability(inside, PROJECT, implied=False) == Capability(
        Kind.PLACE, "/home/me/clone/m.safetensors"
    )


def test_all_that_is_missing_is_one_error() -> None:
    error = not_trusted(
        [Capability(Kind.SOURCE, "/a"), Capability(Kind.FLAT_ROOT, "/b"), Capability(Kind.SOURCE, "/a")]
    )
    assert error.exit_code == 2
    assert error.message.count("/a") == 1 and "/b" in error.message
    assert error.hint is not None
    assert all(word in error.hint for word in ("`synapse trust`", "`--trust`", "SYNAPSE_TRUST=1"))
