"""Release files on GitHub: resolution, upgrades, and a sentence for everything that can be missing."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest
from world import Project

from synapse_sync.demo.exchange import Fault
from synapse_sync.demo.github import Release
from synapse_sync.demo.weights import safetensors_bytes
from synapse_sync.net.retries import asked_wait
from synapse_sync.user.settings import load_settings

OLD, NEW = safetensors_bytes("release 1", size=20_000), safetensors_bytes("release 2", size=21_000)
NOTES = b"notes\n"
REPO = "somebody/upscalers"


@pytest.fixture(autouse=True)
def releases(project: Project) -> None:
    project.hub.github.add(
        REPO,
        Release(tag="v1.0", files={"up.safetensors": OLD, "notes.txt": NOTES}, published="2026-01-01T00:00:00Z"),
        Release(
            tag="release/v2", files={"up.safetensors": NEW, "notes.txt": NOTES}, published="2026-02-01T00:00:00Z"
        ),
        Release(tag="v3-rc", files={"up.safetensors": OLD}, published="2026-03-01T00:00:00Z", prerelease=True),
    )


def declare(project: Project, reference: str, more: str = "") -> None:
    project.manifest(f'[models.up]\nsource = "{reference}"\ntype = "upscaler"\n{more}')


def api(project: Project) -> list[str]:
    """The paths that the API was asked for."""
    seen = [seen.path for seen in project.hub.requests("github")]
    return [path.removeprefix("/api/v3/repos/") for path in seen if path.startswith("/api/v3")]


# -- what works ------------------------------------------------------------------------------------------


def test_one_request_locks_a_file_with_its_digest(project: Project) -> None:
    declare(project, f"gh:{REPO}@v1.0/up.safetensors")
    assert "first use" not in project("lock").err
    assert api(project) == [f"{REPO}/releases/tags/v1.0"]
    assert project.hub.requests("storage") == []
    model = project.locked()[0]
    assert (model["reference"], model["version-name"]) == (f"gh:{REPO}@v1.0/up.safetensors", "v1.0")
    assert model["published"] == "2026-01-01T00:00:00Z"
    (artifact,) = model["artifact"]  # type: ignore[misc]
    assert artifact["sha256"] == hashlib.sha256(OLD).hexdigest()
    assert artifact["url"] == f"{project.hub.github.url}/{REPO}/releases/download/v1.0/up.safetensors"
    project("sync", "--locked")
    assert project.tree() == {"models/upscale_models/up.safetensors": OLD}
    project.hub.clear_log()
    project("sync", "--check")
    assert project.hub.log == []


def test_without_a_digest_it_is_trusted_on_first_use(project: Project) -> None:
    project.hub.github.add("somebody/old", Release(tag="1", files={"up.safetensors": OLD}, digests=False))
    declare(project, "gh:somebody/old@1/up.safetensors")
    assert "trusted on first use: `up`" in project("lock").err
    assert 'trust = "first-use"' in project.lock_text
    project("sync")
    assert list(project.tree().values()) == [OLD]


def test_the_newest_release_is_pinned_and_moves_when_told_to(project: Project) -> None:
    declare(project, f"gh:{REPO}/up.safetensors")
    project("sync")
    assert project.locked()[0]["reference"] == f"gh:{REPO}@release%2Fv2/up.safetensors"  # not the release candidate
    project.hub.github.add(REPO, Release(tag="v3", files={"up.safetensors": OLD}, published="2026-04-01T00:00:00Z"))
    project("sync", "--check")
    (standing,) = project("outdated", "--json").json["models"]
    assert (standing["outdated"], standing["allowed"]["version"]) == (True, "v3")
    project("outdated", "--check", code=8)
    project("lock", "--upgrade")
    assert project.locked()[0]["reference"] == f"gh:{REPO}@v3/up.safetensors"
    project("sync")
    assert list(project.tree().values()) == [OLD]
    assert project("outdated", "--json").json["outdated"] == 0


@pytest.mark.parametrize(
    ("reference", "more", "held"),
    [
        (f"gh:{REPO}@v1.0/up.safetensors", "", "pinned in synapse.toml"),
        (f"gh:{REPO}@v1.0/up.safetensors", 'policy = "pinned"', "policy is pinned"),
    ],
)
def test_a_tag_stays(project: Project, reference: str, more: str, held: str) -> None:
    declare(project, reference, more)
    project("lock")
    (standing,) = project("outdated", "--json").json["models"]
    assert (standing["outdated"], standing["held"], standing["newest"]["version"]) == (False, held, "release/v2")
    project("lock", "--upgrade")
    assert project.locked()[0]["reference"] == reference


def test_the_policy_pinned_keeps_a_release_that_was_the_newest(project: Project) -> None:
    declare(project, f"gh:{REPO}/up.safetensors", 'policy = "pinned"')
    project("lock")
    project.hub.github.add(REPO, Release(tag="v3", files={"up.safetensors": OLD}, published="2026-04-01T00:00:00Z"))
    project("lock", "--upgrade")
    assert project.locked()[0]["version-name"] == "release/v2"


def test_as_of_a_day(project: Project) -> None:
    declare(project, f"gh:{REPO}/up.safetensors", 'exclude-newer = "2026-01-15"')
    project("lock")
    assert project.locked()[0]["version-name"] == "v1.0"
    (project.path / "synapse.lock").unlink()
    declare(project, f"gh:{REPO}/up.safetensors", 'exclude-newer = "2025-01-15"')
    assert "had no release yet on 2025-01-16" in project("lock", code=4).err


def test_a_pattern_and_no_file_at_all(project: Project) -> None:
    declare(project, f"gh:{REPO}/*.safetensors")
    project("lock")
    assert project.locked()[0]["reference"] == f"gh:{REPO}@release%2Fv2/up.safetensors"
    declare(project, f"gh:{REPO}", 'file = { format = "safetensors" }')
    project("lock")
    assert project.locked()[0]["reference"] == f"gh:{REPO}@release%2Fv2/up.safetensors"


def test_several_files_of_one_release_are_one_request(project: Project) -> None:
    project.manifest(
        f'[models.a]\nsource = "gh:{REPO}/up.safetensors"\ntype = "upscaler"\n'
        f'[models.b]\nsource = "gh:{REPO}/notes.txt"\ntype = "upscaler"\n'
    )
    project("lock")
    assert api(project) == [f"{REPO}/releases/latest"]


def test_add_info_and_show(project: Project) -> None:
    project.manifest("")
    project("add", f"gh:{REPO}/up.safetensors", "--type", "upscaler")
    assert f"gh:{REPO}/up.safetensors" in (project.path / "synapse.toml").read_text()
    assert "release/v2" in project("show", "up").out
    value = project("info", f"gh:{REPO}@v1.0", "--json").json
    assert "up.safetensors" in str(value)
    assert "notes.txt" in str(value)


def test_as_a_mirror_no_api_is_asked(project: Project) -> None:
    url = project.hub.files.put("up.safetensors", OLD)
    digest = hashlib.sha256(OLD).hexdigest()
    declare(project, url, f'mirrors = ["gh:{REPO}@v1.0/up.safetensors"]\nsha256 = "{digest}"')
    project("lock")
    project.hub.files.remove("up.safetensors")
    project("sync", "--locked")
    assert list(project.tree().values()) == [OLD]
    assert api(project) == []


def test_a_renamed_repository_is_told(project: Project) -> None:
    project.hub.github.renamed["somebody/older"] = REPO
    declare(project, "gh:somebody/older@v1.0/up.safetensors")
    assert f"`somebody/older` is called `{REPO}` now" in project("lock").err
    project("sync")
    assert list(project.tree().values()) == [OLD]


# -- the token -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["GITHUB_TOKEN", "GH_TOKEN"])
def test_the_token_goes_to_the_api_alone(project: Project, variable: str) -> None:
    os.environ[variable] = project.hub.github_token
    declare(project, f"gh:{REPO}@v1.0/up.safetensors")
    project("sync")
    assert list(project.tree().values()) == [OLD]
    for seen in project.hub.requests():
        is_api = seen.origin == "github" and seen.path.startswith("/api/v3/")
        assert ("authorization" in seen.headers) is is_api, seen.path
    for path in (*project.path.rglob("*"), *project.store.rglob("*")):
        assert not path.is_file() or project.hub.github_token.encode() not in path.read_bytes()


def test_by_default_it_belongs_to_one_origin(sandbox: object) -> None:
    grants = load_settings({"GITHUB_TOKEN": "ghp_x", "SYNAPSE_CONFIG": "/nowhere"}, Path("/nowhere")).grants
    assert [(grant.origin, grant.path_prefix) for grant in grants] == [("https://api.github.com:443", "/")]


def test_a_refused_token(project: Project) -> None:
    os.environ["GITHUB_TOKEN"] = "ghp_expired"
    declare(project, f"gh:{REPO}@v1.0/up.safetensors")
    result = project("lock", code=3)
    assert "GitHub refuses the token" in result.err
    assert "ghp_expired" not in result.err


# -- what is missing -------------------------------------------------------------------------------------

MISSING = {
    f"gh:{REPO}@v1.1/up.safetensors": ("has no release with the tag `v1.1`", "available: `v1.0`"),
    f"gh:{REPO}@v1.0/upp.safetensors": ("has no file `upp.safetensors`", "available: `up.safetensors`"),
    f"gh:{REPO}/*.gguf": ("the release `release/v2`", "available: "),
    "gh:nobody/nothing/x.bin": ("GitHub has no repository `nobody/nothing`, or it is private", "check the name"),
    "gh:somebody/empty/x.bin": ("`gh:somebody/empty` has no releases", "raw.githubusercontent.com"),
    "gh:somebody/unready/x.bin": ("has only pre-releases", "name one: `gh:somebody/unready@rc/…`"),
    "gh:somebody/bare/x.bin": ("the release `1` of `gh:somebody/bare` has no file", "it has no files"),
}


@pytest.mark.parametrize("reference", MISSING)
def test_what_is_missing_is_told_exactly(project: Project, reference: str) -> None:
    github = project.hub.github
    github.repos["somebody/empty"] = []
    github.add("somebody/unready", Release(tag="rc", files={"x.bin": b"x"}, prerelease=True))
    github.add("somebody/bare", Release(tag="1", files={}))
    declare(project, reference)
    words, hint = MISSING[reference]
    result = project("lock", code=4)
    assert words in result.err
    assert hint in result.err


def test_a_pattern_that_fits_two(project: Project) -> None:
    declare(project, f"gh:{REPO}@v1.0/*")
    result = project("lock", code=2)
    assert "2 files match `*`" in result.err
    assert "`notes.txt`" in result.err


def test_a_private_repository(project: Project) -> None:
    project.hub.github.private.add(REPO)
    declare(project, f"gh:{REPO}@v1.0/up.safetensors")
    assert "or it is private" in project("lock", code=4).err
    os.environ["GITHUB_TOKEN"] = project.hub.github_token
    result = project("lock", code=3)
    assert "is a private repository" in result.err
    assert "gh release download" in result.err


def test_the_limit_of_requests_is_told_with_its_end(project: Project) -> None:
    github = project.hub.github
    github.quota, github.reset = 0, int(time.time()) + 1800
    declare(project, f"gh:{REPO}@v1.0/up.safetensors")
    result = project("lock", code=5)
    assert "GitHub's limit of requests is used up until " in result.err
    assert "(30 min from now)" in result.err
    assert "set GH_TOKEN" in result.err
    assert len(api(project)) == 1  # asking again would help nobody


@pytest.mark.parametrize("body", [b"[]", b'{"tag_name": 1}', b'{"tag_name": "x", "assets": [{"name": "y"}]}'])
def test_an_answer_that_makes_no_sense(project: Project, body: bytes) -> None:
    project.hub.faults.add("/api/v3/repos/", Fault(status=200, body=body))
    declare(project, f"gh:{REPO}@v1.0/up.safetensors")
    assert "cannot be read" in project("lock", code=5).err


def test_a_file_that_was_replaced_under_its_tag_is_refused(project: Project) -> None:
    declare(project, f"gh:{REPO}@v1.0/up.safetensors")
    project("lock")
    project.hub.github.repos[REPO][0].files["up.safetensors"] = NEW
    project("sync", "--locked", code=6)
    assert project.tree() == {}


def test_offline(project: Project) -> None:
    declare(project, f"gh:{REPO}@v1.0/up.safetensors")
    project("lock", "--offline", code=5)
    assert project.hub.log == []


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1100"}, 100.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "900"}, 0.0),
        ({"x-ratelimit-remaining": "5", "x-ratelimit-reset": "1100", "retry-after": "7"}, 7.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "soon"}, None),
    ],
)
def test_a_used_up_quota_asks_to_wait_until_it_begins_anew(headers: dict[str, str], seconds: float | None) -> None:
    assert asked_wait(headers, 1000.0) == seconds
