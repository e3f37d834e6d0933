from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from asking import ask_one, refuse, resolve
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.digest import Digest
from synapse_sync.core.reference import Reference
from synapse_sync.errors import (
    AccessDenied,
    InputError,
    IntegrityError,
    InvalidReference,
    NetworkError,
    NotFound,
    Offline,
    RegionRefused,
    StatusError,
    UnsafeName,
)
from synapse_sync.net.credentials import Credentials, Secret
from synapse_sync.net.retries import Retry
from synapse_sync.sources.base import Ask, Resolved
from synapse_sync.sources.huggingface.source import HuggingFaceSource
from synapse_sync.sources.repository_files import matches

COMMIT, OLDER = "1" * 40, "2" * 40
SHA, BLOB = "ab" * 32, "cd" * 20
TOKEN = "hf_s3cret"


def lfs(path: str, size: int = 100, sha256: str = SHA) -> dict[str, object]:
    pointer = {"sha256": sha256, "size": size, "pointerSize": 130}
    return {"rfilename": path, "size": size, "blobId": "e" * 40, "lfs": pointer}


def small(path: str, size: int = 7) -> dict[str, object]:
    return {"rfilename": path, "size": size, "blobId": BLOB}


def info(*files: dict[str, object], **changes: object) -> dict[str, object]:
    base: dict[str, object] = {
        "id": "o/r",
        "sha": COMMIT,
        "lastModified": "2024-05-01T00:00:00.000Z",
        "gated": False,
        "private": False,
        "tags": [],
        "cardData": {"license": "apache-2.0"},
        "siblings": list(files),
    }
    return {**base, **changes}


@pytest.fixture
def source(site, monkeypatch: pytest.MonkeyPatch) -> Iterator[HuggingFaceSource]:
    from huggingface_hub import close_session, constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", False)
    yield HuggingFaceSource(site.url, retry=Retry(attempts=2), sleep=lambda seconds: None)
    close_session()


def hub(file: str | None = None, revision: str | None = None, id_: str = "o/r") -> Reference:
    return Reference("huggingface", id_, revision, file)


def test_one_file_is_pinned_to_the_commit(source, site) -> None:
    site.routes["/api/models/o/r/revision/main"] = info(lfs("vae/my vae-fp16.safetensors"), small("config.json"))
    answer = resolve(source, hub("vae/my vae-fp16.safetensors"))
    assert answer.reference.revision == COMMIT
    assert answer.reference.pinned
    assert not answer.take_all
    (candidate,) = answer.candidates
    assert candidate.url.text == f"https://huggingface.co/o/r/resolve/{COMMIT}/vae/my%20vae-fp16.safetensors"
    assert (candidate.filename, candidate.size, candidate.sha256) == ("my vae-fp16.safetensors", 100, SHA)
    assert (candidate.format, candidate.precision, candidate.git_sha1) == ("safetensors", "fp16", None)
    assert source.locate(candidate.url).url == (f"{site.url}/o/r/resolve/{COMMIT}/vae/my%20vae-fp16.safetensors")


def test_a_repository_costs_one_request_and_no_telemetry(source, site, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", site.url)  # where it would ask what it is to report
    site.routes["/api/models/o/r/revision/main"] = info(lfs("a.safetensors"), small("config.json"))
    asks = [Ask(key="a", reference=hub("a.safetensors")), Ask(key="all", reference=hub())]
    answers = source.resolve(asks)
    assert all(isinstance(answer, Resolved) for answer in answers.values())
    assert site.paths == ["/api/models/o/r/revision/main"]
    assert site.log[0].query["blobs"] == ["true"]


def test_a_whole_repository_keeps_its_paths(source, site) -> None:
    files = [lfs("unet/model.safetensors"), small("unet/config.json"), small("README.md"), small(".gitattributes")]
    site.routes["/api/models/o/r/revision/main"] = info(*files)
    answer = resolve(source, hub())
    assert answer.take_all
    assert [c.filename for c in answer.candidates] == ["unet/config.json", "unet/model.safetensors"]
    config = answer.candidates[0]
    assert (config.sha256, config.git_sha1, config.size, config.format) == (None, BLOB, 7, "config")


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (("*.safetensors",), (), ["a.safetensors", "sub/b.safetensors"]),
        (("sub/",), ("*.json",), ["sub/b.safetensors"]),
        ((), ("sub/*",), ["a.safetensors", "config.json"]),
        ((".gitattributes",), (), [".gitattributes"]),
        (("*.gguf",), (), []),
    ],
)
def test_include_and_exclude(source, site, include, exclude, expected) -> None:
    paths = ["a.safetensors", "config.json", "sub/b.safetensors", "sub/c.json", ".gitattributes"]
    site.routes["/api/models/o/r/revision/main"] = info(*(small(path) for path in paths))
    answer = resolve(source, hub(), include=include, exclude=exclude)
    assert [candidate.filename for candidate in answer.candidates] == expected
    assert answer.take_all


_PIECES = st.sampled_from(["a", "B", "*", "?", "/", "\\", "[ab]", "[!a]", "[", ".json", "-", "é"])


@given(
    paths=st.lists(st.text("aB-é.json/", min_size=1, max_size=8), max_size=6),
    include=st.lists(st.lists(_PIECES, min_size=1, max_size=5).map("".join), max_size=3),
    exclude=st.lists(st.lists(_PIECES, min_size=1, max_size=5).map("".join), max_size=3),
)
def test_patterns_mean_what_they_mean_to_the_hubs_library(paths, include, exclude) -> None:
    from huggingface_hub.utils import filter_repo_objects

    theirs = filter_repo_objects(paths, allow_patterns=include or None, ignore_patterns=exclude)
    ours = [p for p in paths if (not include or matches(p, include)) and not matches(p, exclude)]
    assert ours == list(theirs)


def test_a_folder_is_what_is_below_it(source, site) -> None:
    site.routes["/api/models/o/r/revision/main"] = info(lfs("unet/a.safetensors"), lfs("unet2/b.safetensors"))
    answer = resolve(source, hub("unet/"))
    assert [candidate.filename for candidate in answer.candidates] == ["unet/a.safetensors"]
    assert isinstance(refuse(source, hub("vae/")), NotFound)


def test_revisions_are_quoted_and_asked_for(source, site) -> None:
    site.routes["/api/models/o/r/revision/refs%2Fpr%2F1"] = info(lfs("a.safetensors"))
    assert resolve(source, hub("a.safetensors", "refs/pr/1")).reference.revision == COMMIT


def test_datasets_and_spaces_have_their_own_places(source, site) -> None:
    site.routes["/api/datasets/o/r/revision/main"] = info(lfs("a.safetensors"))
    answer = resolve(source, hub("a.safetensors", id_="datasets/o/r"))
    assert answer.reference.id == "datasets/o/r"
    assert answer.candidates[0].url.text == f"https://huggingface.co/datasets/o/r/resolve/{COMMIT}/a.safetensors"


def test_a_renamed_repository_is_locked_under_its_new_name(source, site) -> None:
    site.routes["/api/models/gpt2/revision/main"] = (307, {}, {"Location": "/api/models/openai/gpt2/revision/main"})
    site.routes["/api/models/openai/gpt2/revision/main"] = info(lfs("a.safetensors"), id="openai/gpt2")
    answer = resolve(source, hub("a.safetensors", id_="gpt2"))
    assert answer.reference.id == "openai/gpt2"
    assert "openai/gpt2" in answer.warnings[0]


def test_a_missing_file_is_refused_with_the_nearest(source, site) -> None:
    site.routes["/api/models/o/r/revision/main"] = info(lfs("model-fp16.safetensors"))
    error = refuse(source, hub("model_fp16.safetensors"))
    assert isinstance(error, NotFound)
    assert "model-fp16.safetensors" in (error.hint or "")


def test_an_unsafe_name_is_an_error_of_its_own(source, site) -> None:
    site.routes["/api/models/o/r/revision/main"] = info(lfs("a.safetensors"), lfs("../../evil.safetensors"))
    assert isinstance(refuse(source, hub()), UnsafeName)
    assert isinstance(ask_one(source, hub("a.safetensors")), Resolved)


def test_a_mirror_without_sizes_is_asked_for_the_tree(source, site) -> None:
    site.routes["/api/models/o/r/revision/main"] = info(
        {"rfilename": "a.safetensors"}, {"rfilename": "config.json"}
    )
    site.routes[f"/api/models/o/r/tree/{COMMIT}"] = [
        {"type": "directory", "oid": BLOB, "path": "sub", "size": 0},
        {"type": "file", "oid": "e" * 40, "path": "a.safetensors", "size": 100,
         "lfs": {"oid": SHA, "size": 100, "pointerSize": 130}},
        {"type": "file", "oid": BLOB, "path": "config.json", "size": 7},
    ]  # fmt: skip
    answer = resolve(source, hub())
    assert [(c.filename, c.sha256, c.git_sha1) for c in answer.candidates] == [
        ("a.safetensors", SHA, None),
        ("config.json", None, BLOB),
    ]


def test_exclude_newer_takes_the_last_commit_of_then(source, site) -> None:
    site.routes["/api/models/o/r/revision/main"] = info(lfs("a.safetensors"))
    site.routes[f"/api/models/o/r/revision/{OLDER}"] = info(lfs("a.safetensors", 50), sha=OLDER)
    commits = [(COMMIT, "2024-05-01T00:00:00.000Z"), (OLDER, "2024-03-01T00:00:00.000Z")]
    site.routes["/api/models/o/r/commits/main"] = [
        {"id": id_, "authors": [], "date": date, "title": "", "message": ""} for id_, date in commits
    ]
    site.routes[f"/api/models/o/r/revision/{COMMIT}"] = info(lfs("a.safetensors"))
    answer = resolve(source, hub("a.safetensors"), exclude_newer=datetime(2024, 4, 1, tzinfo=UTC))
    assert answer.reference.revision == OLDER
    assert answer.candidates[0].size == 50
    assert (
        resolve(source, hub("a.safetensors"), exclude_newer=datetime(2024, 6, 1, tzinfo=UTC)).reference.revision
        == COMMIT
    )
    assert isinstance(
        refuse(source, hub("a.safetensors"), exclude_newer=datetime(2023, 1, 1, tzinfo=UTC)), NotFound
    )
    pinned = resolve(source, hub("a.safetensors", COMMIT), exclude_newer=datetime(2024, 4, 1, tzinfo=UTC))
    assert pinned.reference.revision == COMMIT


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["split_files/diffusion_models/x_fp8.safetensors"], "diffusion_model"),
        (["split_files/text_encoders/clip_l.safetensors"], "text_encoder"),
        (["sdxl_vae.safetensors"], "vae"),
        (["my-lora-v2.safetensors"], "lora"),
        (["elaborate.safetensors"], None),
        (["vae/a.safetensors", "loras/b.safetensors"], None),
        (["loras/a.safetensors", "loras/b.safetensors", "README.md"], "lora"),
        (["model_index.json", "unet/model.safetensors", "vae/model.safetensors"], "diffusers"),
    ],
)
def test_types_are_guessed_only_where_all_files_agree(source, site, paths, expected) -> None:
    site.routes["/api/models/o/r/revision/main"] = info(*(lfs(path) for path in paths))
    assert resolve(source, hub()).card.type == expected


def test_the_card_has_the_words_of_the_repository(source, site) -> None:
    site.routes["/api/models/o/r/revision/main"] = info(lfs("a.safetensors"))
    card = resolve(source, hub("a.safetensors")).card
    assert (card.title, card.published) == ("o/r", "2024-05-01T00:00:00Z")
    assert card.license == (("license", "apache-2.0"),)


def test_a_gated_repository_can_be_locked_but_says_what_is_needed(source, site) -> None:
    site.routes["/api/models/o/r/revision/main"] = info(lfs("a.safetensors"), gated="auto")
    assert source.needs_token(hub("a.safetensors")) is None
    warning = resolve(source, hub("a.safetensors")).warnings[0]
    assert "https://huggingface.co/o/r" in warning
    assert "HF_TOKEN" in warning
    assert "HF_TOKEN" in (source.needs_token(hub("a.safetensors")) or "")


@pytest.mark.parametrize(
    ("status", "code", "kind", "word"),
    [
        (404, "RepoNotFound", NotFound, "does not exist or is private"),
        (401, "RepoNotFound", NotFound, "does not exist or is private"),
        (401, "", NotFound, "does not exist or is private"),
        (404, "RevisionNotFound", NotFound, "no revision `v9`"),
        (403, "GatedRepo", AccessDenied, "gated"),
        (401, "GatedRepo", AccessDenied, "gated"),
        (403, "", AccessDenied, "403"),
        (429, "", NetworkError, "429"),
        (503, "", NetworkError, "503"),
    ],
)
def test_errors_of_the_hub_in_words(source, site, status, code, kind, word) -> None:
    headers = {"X-Error-Code": code} if code else {}
    site.routes["/api/models/o/r/revision/v9"] = (status, {"error": "no"}, headers)
    error = refuse(source, hub("a.safetensors", "v9"))
    assert type(error) is kind
    assert word in error.message
    assert error.hint
    assert (error.__cause__, error.__context__) == (None, None)


def test_a_token_that_is_not_accepted_is_told(site) -> None:
    site.routes["/api/models/o/r/revision/main"] = (401, {"error": "Invalid credentials in Authorization header"})
    error = refuse(HuggingFaceSource(site.url, Secret(TOKEN)), hub())
    assert type(error) is AccessDenied
    assert "token" in error.message


def test_an_index_that_is_not_the_listed_file_is_refused(source, site) -> None:
    site.routes["/api/models/o/r/revision/main"] = info(
        lfs("m-00001-of-00001.safetensors"), small("m.safetensors.index.json")
    )
    index = {"weight_map": {"a": "m-00001-of-00001.safetensors"}}
    site.routes[f"/o/r/resolve/{COMMIT}/m.safetensors.index.json"] = index
    assert isinstance(refuse(source, hub()), IntegrityError)


def test_a_disabled_repository(source, site) -> None:
    message = "Access to this resource is disabled."
    site.routes["/api/models/o/r/revision/main"] = (403, {"error": message}, {"X-Error-Message": message})
    assert "disabled" in refuse(source, hub()).message


def test_a_passing_failure_is_tried_again(source, site) -> None:
    answers = [(503, {"error": "busy"}), info(lfs("a.safetensors"))]
    site.routes["/api/models/o/r/revision/main"] = lambda seen: answers.pop(0)
    assert resolve(source, hub("a.safetensors")).reference.revision == COMMIT
    assert len(site.log) == 2


def test_an_answer_that_makes_no_sense(source, site) -> None:
    site.routes["/api/models/o/r/revision/main"] = (200, b"<html>log in</html>", {"Content-Type": "text/html"})
    assert type(refuse(source, hub())) is NetworkError
    site.routes["/api/models/o/r/revision/main"] = info(lfs("a.safetensors"), sha="main")
    assert type(refuse(source, hub())) is NetworkError


def test_a_dead_endpoint_is_a_network_error(source) -> None:
    dead = HuggingFaceSource("http://127.0.0.1:9", retry=Retry(attempts=1))
    error = refuse(dead, hub())
    assert isinstance(error, NetworkError)
    assert "127.0.0.1:9" in error.message


def test_a_name_that_the_hub_cannot_have(source, site) -> None:
    assert isinstance(refuse(source, hub(id_="a/b/c")), InvalidReference)
    assert site.log == []


def test_the_token_goes_along_and_shows_nowhere(source, site) -> None:
    site.routes["/api/models/o/r/revision/main"] = (401, {"error": f"bad token {TOKEN}"})
    error = refuse(HuggingFaceSource(site.url, Secret(TOKEN)), hub())
    assert site.log[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in error.message + (error.hint or "")


def test_a_token_that_cannot_be_sent_shows_nowhere(site) -> None:
    broken = HuggingFaceSource(site.url, Secret("hf_first\nhf_second"), retry=Retry(attempts=1))
    error = refuse(broken, hub())
    assert "hf_" not in error.message + (error.hint or "").replace("HF_", "")
    assert site.log == []


def test_plain_http_to_another_machine_gets_no_token() -> None:
    assert HuggingFaceSource("http://hub.example", Secret(TOKEN))._client._connect("o/r").token is False
    assert HuggingFaceSource("https://hub.example", Secret(TOKEN))._client._connect("o/r").token == TOKEN


def test_no_token_is_taken_from_elsewhere(source, site) -> None:
    os.environ["HF_TOKEN"] = TOKEN
    site.routes["/api/models/o/r/revision/main"] = info(lfs("a.safetensors"))
    resolve(source, hub("a.safetensors"))
    assert "authorization" not in site.log[0].headers


def test_plain_http_to_another_machine_is_refused() -> None:
    source = HuggingFaceSource("http://hub.example", Secret(TOKEN), credentials=Credentials())
    assert "plain http" in refuse(source, hub()).message


def test_offline_asks_nothing(site) -> None:
    assert isinstance(refuse(HuggingFaceSource(site.url, offline=True), hub()), Offline)
    assert site.log == []


def test_repositories_are_independent(source, site) -> None:
    site.routes["/api/models/o/r/revision/main"] = info(lfs("a.safetensors"))
    answers = source.resolve(
        [Ask(key="good", reference=hub("a.safetensors")), Ask(key="bad", reference=hub(id_="o/x"))]
    )
    assert isinstance(answers["good"], Resolved)
    assert isinstance(answers["bad"], NotFound)


def test_locate_wants_one_file(source) -> None:
    for reference in (hub(), hub("folder/"), Reference("url", "https://example.org/x")):
        with pytest.raises(InputError):
            source.locate(reference)


@pytest.mark.parametrize(
    ("status", "body", "kind", "word"),
    [
        (401, "Access to model o/r is restricted. You must be authenticated to access it.", AccessDenied, "gated"),
        (403, "Access to model o/r is restricted and you are not in the authorized list.", AccessDenied, "gated"),
        (
            403,
            "Your request to access model o/r is awaiting a review from the repo authors.",
            AccessDenied,
            "pending",
        ),
        (
            403,
            "Your request to access model o/r has been rejected by the repo's authors.",
            AccessDenied,
            "rejected",
        ),
        (404, "Entry not found", NotFound, "the repository has no such file"),
        (404, "Repository not found", NotFound, "does not exist or is private"),
        (410, "", NotFound, "gone"),
        (451, "", RegionRefused, "legal"),
        (429, "", NetworkError, "429"),
        (500, "", NetworkError, "500"),
        (418, "", NetworkError, "418"),
    ],
)
def test_statuses_of_downloads_in_words(source, status, body, kind, word) -> None:
    error = StatusError("raw", status=status, url="https://huggingface.co/o/r/resolve/main/a", body=body)
    told = source.explain(hub("a"), error)
    assert type(told) is kind
    assert word in told.message


def test_a_refusal_of_the_storage_is_not_the_hubs(source) -> None:
    error = StatusError("raw", status=403, url="https://cdn.example/x", body="expired")
    assert type(source.explain(hub("a"), error)) is NetworkError


def test_nothing_is_identified(source) -> None:
    assert source.identify([Digest("sha256", SHA)]) == {}


def test_the_hubs_library_is_loaded_late() -> None:
    code = "import sys, synapse_sync.sources.huggingface.source; sys.exit('huggingface_hub' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
