"""`--json`: exactly one document on stdout, with the keys that are documented, whatever happens."""

from __future__ import annotations

import json

import pytest
from world import Project

from synapse_sync.demo import catalogue

PLAN = {
    "in_sync",
    "unchanged",
    "fetch_bytes",
    "not_locked",
    "renamed",
    "not_declared",
    "asks",
    "withheld",
    "actions",
    "warnings",
}
STATUS = PLAN | {"unmanaged"}
REPORT = PLAN | {
    "fetched_bytes",
    "copied_bytes",
    "remote_files",
    "remote_bytes",
    "outcomes",
    "lock_errors",
    "exit_code",
}
LOCK = {"changes", "diff", "healed", "models", "warnings"}
MODEL = {
    "name",
    "reference",
    "title",
    "version",
    "type",
    "base_model",
    "trained_words",
    "size",
    "first_use",
    "places",
}
ERROR = {"kind", "message", "hint", "model", "exit_code"}
VERIFIED = {"files", "bytes", "bad", "set_aside", "warnings", "repair"}
IMPORTED = {"dry_run", "targets", "models", "left", "known", "duplicates", "spare_bytes", "warnings"}
COLLECTED = {"drop", "refused_downloads", "kept_irreplaceable", "bytes", "in_use", "warnings", "freed_bytes"}

VERBS: list[tuple[list[str], int, set[str]]] = [
    (["lock", "--check"], 0, LOCK),
    (["lock"], 0, LOCK),
    (["lock", "--upgrade"], 0, LOCK),
    (["status"], 0, STATUS),
    (["sync", "--dry-run"], 0, PLAN),
    (["sync", "--check"], 8, PLAN),
    (["sync"], 0, REPORT),
    (["whoami"], 0, {"identities", "exit_code"}),
    (["logout", "civitai"], 0, {"host", "forgotten", "left_in"}),
    (["list"], 0, {"models", "not_locked", "elsewhere"}),
    (["show", "portrait"], 0, {"models"}),
    (["tree"], 0, {"targets", "not_locked", "warnings"}),
    (["why", "portrait_v1.safetensors"], 0, {"answers"}),
    (["verify"], 6, VERIFIED),
    (["verify", "--store"], 6, VERIFIED),
    (["verify", "--repair"], 0, VERIFIED),
    (["store", "path"], 0, {"path"}),
    (["store", "size"], 0, {"blobs", "bytes", "set_aside_bytes"}),
    (["store", "gc", "--dry-run"], 0, COLLECTED),
    (["store", "gc"], 0, COLLECTED),
    (["store", "verify"], 0, {"blobs", "bytes", "set_aside"}),
    (["add", f"civitai:{catalogue.EYES}"], 0, {"added", "warnings"}),
    (["import", ".", "--dry-run", "--offline"], 0, IMPORTED),
    (["remove", "portrait"], 0, {"removed"}),
]


@pytest.fixture
def locked(project: Project) -> Project:
    project.manifest(f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\n')
    project("lock")
    return project


@pytest.mark.parametrize("words, code, keys", VERBS, ids=[" ".join(row[0]) for row in VERBS])
def test_one_document_with_its_keys(locked: Project, words: list[str], code: int, keys: set[str]) -> None:
    before, after = locked("--json", *words, code=None), locked(*words, "--json", "-q", code=None)
    assert before.code == code
    assert set(before.json) == keys
    if words[0] not in ("add", "remove"):
        assert after.code == code and isinstance(after.json, dict)


def test_sync_with_nothing_to_do_says_so(locked: Project) -> None:
    locked("sync")
    for words in (["status"], ["sync"], ["sync", "--check"]):
        value = locked(*words, "--json").json
        assert set(value) == {"sync": REPORT, "status": STATUS}.get(" ".join(words), PLAN)
        assert value["in_sync"] and value["actions"] == [] and value["unchanged"] == 1
        # A part of the project is always looked at whole: nothing was compared by the fingerprint alone.
        assert locked(*words, "--target", "default", "--json").json == value


def test_the_inner_values_have_their_keys(locked: Project) -> None:
    value = locked("sync", "--json").json
    assert {"fetch", "place"} == {action["verb"] for action in value["actions"]}
    for action in value["actions"]:
        assert set(action) == {"verb", "model", "target", "path", "sha256", "size", "reason"}
    for outcome in value["outcomes"]:
        assert outcome["done"] and outcome["error"] is None
    (model,) = locked("list", "--json").json["models"]
    assert set(model) == MODEL
    assert model["places"] == [
        {"target": "default", "path": "models/checkpoints/portrait_v1.safetensors", "placed": True}
    ]
    (told,) = locked("show", "portrait", "--json").json["models"]
    assert told["files"][0]["sha256"] and told["places"][0]["state"] == "placed"


def test_init(project: Project) -> None:
    assert set(project("init", "--json").json) == {"manifest", "layout", "root", "models", "others", "warnings"}
    assert set(project("init", "--json", code=2).json) == {"errors", "exit_code"}


ERRORS: list[tuple[list[str], int]] = [
    (["nope"], 2),
    ([], 2),
    (["store"], 2),
    (["sync", "--lokced"], 2),
    (["sync", "--locked", "--frozen"], 2),
    (["lock", "--exclude-newer", "x"], 2),
    (["add", "4384"], 2),
    (["add", "civitai:1"], 4),
    (["add", f"civitai:{catalogue.EARLY}@{catalogue.EARLY_PAID}"], 3),
    (["show", "nope"], 2),
    (["remove", "nope"], 2),
    (["status", "--only", "nope"], 2),
    (["sync", "--offline"], 5),
    (["init"], 2),
    (["demo"], 2),
]


@pytest.mark.parametrize("words, code", ERRORS, ids=[" ".join(row[0]) or "nothing" for row in ERRORS])
def test_errors_are_one_document_too(locked: Project, words: list[str], code: int) -> None:
    said = locked("--json", *words, code=code) if words else locked("--json", code=code)
    value = json.loads(said.out)
    assert set(value) == {"errors", "exit_code"}
    assert value["exit_code"] == code
    for error in value["errors"]:
        assert set(error) == ERROR
        assert error["message"] and "\x1b" not in error["message"]
    assert said.err


def test_a_failed_action_is_in_the_document(locked: Project) -> None:
    place = locked.path / "models/checkpoints/portrait_v1.safetensors"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"mine")
    value = locked("sync", "--json", code=7).json
    assert value["exit_code"] == 7 and not value["in_sync"]
    (error,) = [outcome["error"] for outcome in value["outcomes"] if outcome["error"]]
    assert set(error) == ERROR and error["kind"] == "Conflict"
    assert place.read_bytes() == b"mine"
