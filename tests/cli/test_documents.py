"""The documents of `--json` have the shapes that are described, and every command has one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import pytest
from jsonschema import Draft202012Validator
from registry_double import RegistryDouble
from world import Project, check_document

import synapse_sync
from synapse_sync.cli.commands import VERBS, cli
from synapse_sync.cli.documents import DOCUMENTS, WITHOUT, documents_schema
from synapse_sync.cli.documents.shape import Errors
from synapse_sync.demo import catalogue

#: Every command with the row of its document, in an order in which each has something to say.
COMMANDS: list[tuple[str, str, int | None]] = [
    ("init", "init", 0),
    (f"add civitai:{catalogue.PORTRAIT} civitai:{catalogue.DETAIL}@{catalogue.DETAIL_V1}", "add", 0),
    ("lock", "lock", 0),
    ("lock --check --remote", "lock", 0),
    ("lock --upgrade --dry-run", "lock", 0),
    ("status", "status", 0),
    ("sync --dry-run", "sync --dry-run", 0),
    ("sync", "sync", 0),
    ("sync", "sync", 0),
    ("status", "status", 0),
    ("verify", "verify", 0),
    ("verify --repair", "verify", 0),
    ("list", "list", 0),
    ("list --sizes", "list", 0),
    ("show portrait-studio", "show", 0),
    ("why models/checkpoints/portrait_v1.safetensors", "why", 0),
    ("tree", "tree", 0),
    ("licenses", "licenses", 0),
    ("outdated", "outdated", 0),
    ("export sha256sums", "export", 0),
    ("gallery", "gallery", 0),
    ("search portrait", "search", 0),
    (f"info civitai:{catalogue.PORTRAIT}", "info", 0),
    ("info models/checkpoints/portrait_v1.safetensors", "info FILE", 0),
    (
        "info models/checkpoints/portrait_v1.safetensors models/checkpoints/portrait_v1.safetensors",
        "info FILE FILE",
        0,
    ),
    ("images --limit 2", "images", 0),
    ("creators", "creators", 0),
    ("tags", "tags", 0),
    ("trust", "trust", 0),
    ("trust --list", "trust --list", 0),
    ("trust --revoke", "trust", 0),
    ("whoami", "whoami", None),
    ("logout civitai", "logout", 0),
    ("doctor", "doctor", None),
    ("doctor --without civitai.com", "doctor --without", None),
    ("completion bash", "completion", 0),
    ("store path", "store path", 0),
    ("store size", "store size", 0),
    ("store gc --dry-run", "store gc", 0),
    ("store gc --yes", "store gc", 0),
    ("store verify", "store verify", 0),
    ("store list", "store list", 0),
    ("import --identify", "import --identify", 0),
    ("import -n models", "import DIR", 0),
    ("import models --shard 1/2", "import DIR --shard I/N", 0),
    ("verify --shard 1/2", "verify", 0),
    ("import --check list.txt", "import --check FILE", 8),
    ("import list.txt", "import FILE", 0),
    ("sync", "sync", 0),
    ("bundle studio.tar", "bundle", 0),
    ("unbundle studio.tar elsewhere", "unbundle", 0),
    ("push oci://REGISTRY/models:v1", "push", 0),
    ("store publish", "store publish", 0),
    ("store push --all", "store push", 0),
    ("store status", "store status", 0),
    ("store pull", "store pull", 0),
    ("store gc --remote -n", "store gc --remote", 0),
    ("sync --backfill", "sync", 0),
    ("detach -n", "detach", 0),
    ("remove portrait-studio", "remove", 0),
]
#: Rows that another test sees, or that need a second machine, a repository or a token.
ELSEWHERE = {"diff", "rollback", "unused", "login", "store forget", "store add", "store remove"}


@pytest.fixture
def registry() -> Iterator[RegistryDouble]:
    with RegistryDouble() as running:
        yield running


def test_each_command_prints_its_document(project: Project, registry: RegistryDouble) -> None:
    (project.path / "list.txt").write_text("https://civitai.com/models/4384\n", "utf-8")
    (project.path / "remote").mkdir()
    os.environ["SYNAPSE_REMOTE"] = str(project.path / "remote")
    schema = documents_schema()
    Draft202012Validator.check_schema(schema)
    wrong = []
    for words, row, code in COMMANDS:
        value = project(*words.replace("REGISTRY", registry.host).split(), "--json", code=code).json
        try:
            msgspec.convert(value, DOCUMENTS[row])  # which allows no key that is not described
        except msgspec.ValidationError as error:
            wrong.append(f"`synapse {words} --json`: {error}\n{json.dumps(value, indent=1)[:2000]}")
            continue
        Draft202012Validator({**schema, **schema["commands"][row]}).validate(value)
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)
    assert {row for _, row, _ in COMMANDS} == DOCUMENTS.keys() - ELSEWHERE


def test_a_failed_command_prints_errors(project: Project) -> None:
    msgspec.convert(project("status", "--json", code=2).json, Errors)


def test_consents_are_described(project: Project, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    project.manifest(f'[targets.a]\nlayout = "flat"\nroot = "{other.as_posix()}"\n[models]\n')
    project("trust")
    value = project("trust", "--list", "--json").json
    ((path, (consent,)),) = value.items()
    assert path == str(project.path) and consent["value"] == str(other)
    schema = documents_schema()
    wanted = Draft202012Validator({**schema, **schema["commands"]["trust --list"]})
    wanted.validate(value)
    assert not wanted.is_valid({path: [{**consent, "kind": 1}]}) and not wanted.is_valid({path: consent})


def test_a_document_that_is_not_described_is_noticed() -> None:
    """`Project` looks at each document that a test of this suite has printed."""
    check_document(["--json", "store", "path"], '{"path": "/x"}')
    check_document(["store", "path", "--json"], '{"errors": [], "exit_code": 2}')
    for text in ('{"path": "/x", "new": 1}', "{}", "[]", '{"blobs": 1, "bytes": 2}'):
        with pytest.raises(AssertionError, match="not described"):
            check_document(["store", "path", "--json"], text)


def test_commands_without_a_document_refuse_to_print_one(project: Project) -> None:
    for words in WITHOUT:
        assert "--json" in project(*words.split(), "--json", code=2).json["errors"][0]["message"]


def test_every_command_has_a_row() -> None:
    store = cli.get_command(click.Context(cli), "store")
    assert isinstance(store, click.Group)
    known = {words.split(" -")[0] for words in (*DOCUMENTS, *WITHOUT)}
    for verb in {*VERBS, *(f"store {name}" for name in store.commands)} - {"store"}:
        assert verb in known or any(words.startswith(f"{verb} ") for words in DOCUMENTS), verb


def test_the_shipped_schema_is_the_generated_one() -> None:
    shipped = Path(synapse_sync.__file__).parent / "documents.schema.json"
    assert json.loads(shipped.read_text("utf-8")) == documents_schema()
