"""Hints are true: each is reached, what it names is run in that state, and it helps.

A text that names a command or an option without a scenario here, and without a reason in `UNREACHED`, fails.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import click
import msgspec
import pytest
import remote_scenarios  # noqa: F401 - its scenarios are registered
from advice import SCENARIOS, Scenario, advice, helps, keys
from lists import node, workflow
from registry_hints import UNREACHED as UNREACHED_BY_PUSH
from stand_ins import free_space, nothing_is_recent, placing_by, refusing, space, typed
from workbench import another_device, content_of
from world import Project, Result

from synapse_sync.cli.commands import VERBS, cli
from synapse_sync.core.manifest.shape import (
    FileTable,
    ManifestTable,
    ModelTable,
    RootTable,
    TargetTable,
    WorkspaceTable,
)
from synapse_sync.demo import catalogue
from synapse_sync.demo.civitai.things import File, Model, Version
from synapse_sync.demo.exchange import Fault
from synapse_sync.demo.weights import pickle_bytes, safetensors_bytes
from synapse_sync.engine import import_bytes
from synapse_sync.store import links
from synapse_sync.store.durable import RESERVE
from synapse_sync.user.settings import _KEYS

#: Advice without a scenario, and why: what it names cannot be run here, or the state cannot be reached by commands.
UNREACHED = UNREACHED_BY_PUSH | {
    "core: --name": "the command refuses a taken name before the text is edited",
    "core: synapse list": "the command looks for the name before the text is edited",
    "engine: synapse store gc": "a warning about what another user's command would do",
    "engine: synapse verify": "names the command for another user, the owner of the store",
    "interop: synapse export": "the first line of a file that it writes, about itself",
    "interop: synapse export --from-file --frozen --no-progress": "the comment of a Pod, for kubectl",
    "interop: synapse export --layers --no-cache-dir --timestamp": "the comment of a Dockerfile",
    "sources: --repo": "a command of GitHub's own tool",
    "suppliers: --format --profile": "a command of Amazon's own tool",
    "threads: --pids-limit": "an option of Docker",
    "user: --pretty": "an option of git",
    "user: synapse login": "the keyring of the system is not there in tests; see test_tokens.py",
}
ONE = f'[models]\none = "civitai:{catalogue.PORTRAIT}"\n'
TWO = f'{ONE}two = "civitai:{catalogue.EYES}"\n'


class Bench(NamedTuple):
    """What a scenario works with."""

    project: Project
    patch: pytest.MonkeyPatch
    stack: ExitStack

    def __call__(self, *words: str, code: int | None = 0) -> Result:
        return self.project(*words, code=code)

    def advised(self, advice: str, *words: str, code: int) -> Result:
        """Run a command that ends with a code, and see that it names the advice."""
        result = self.project(*words, code=code)
        said = f"{result.out}{result.err}"
        assert f"`{advice}" in said or re.search(rf"hint: .*{re.escape(advice)}", said), said
        return result

    def log_in(self, site: str, token: str) -> None:
        with typed(token):
            self.project("login", site, "--token-stdin")

    def leave_out(self, model: str) -> None:
        """Remove the block of a model from the lockfile, by hand."""
        path = self.project.path / "synapse.lock"
        head, *blocks = path.read_text().split("[[model]]")
        path.write_text(head + "".join(f"[[model]]{block}" for block in blocks if f'name = "{model}"' not in block))

    def edit(self, name: str, pattern: str, text: str | Callable[[re.Match[str]], str]) -> None:
        """Change one of the two files by hand."""
        path = self.project.path / name
        before = path.read_text()
        after = re.sub(pattern, text, before, count=1, flags=re.DOTALL)
        assert after != before
        path.write_text(after)


@pytest.fixture
def bench(project: Project, monkeypatch: pytest.MonkeyPatch, impatient: None) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(project, monkeypatch, stack)


def _all() -> list[Any]:
    return [
        pytest.param(scenario, id=f"{key} {number}")
        for key, scenarios in sorted(SCENARIOS.items())
        for number, scenario in enumerate(scenarios, start=1)
    ]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "scenario" in metafunc.fixturenames:
        metafunc.parametrize("scenario", _all())


def test_the_advice_helps(scenario: Scenario, bench: Bench) -> None:
    scenario(bench)


def test_all_advice_has_a_scenario() -> None:
    covered = Counter({key: len(scenarios) for key, scenarios in SCENARIOS.items()}) + Counter(
        dict.fromkeys(UNREACHED, 1)
    )
    assert advice() - covered == Counter(), "advice without a scenario"
    assert set(covered) <= set(advice()), "scenarios of advice that is gone"


def test_what_advice_names_exists() -> None:
    """Every command is one of ours, and every option belongs to it or, where none is named, to some command."""
    everywhere = {option for verb in VERBS for option in _options(verb)}
    for key in advice():
        named = key.partition(": ")[2]
        verbs = re.findall(r"synapse ((?:store )?[a-z]+)", named)
        own = {option for verb in verbs for option in _options(verb.split()[0])} or everywhere
        if key not in UNREACHED:
            assert set(re.findall(r"--[a-z-]+", named)) <= own | {"--help", "--debug"}, key


def _options(verb: str) -> set[str]:
    top = cli.get_command(click.Context(cli), verb)
    assert top is not None, f"`synapse {verb}` does not exist"
    parts = [top, *(top.commands.values() if isinstance(top, click.Group) else ())]
    return {name for part in parts for parameter in part.params for name in parameter.opts}


def test_keys_that_hints_write_are_read() -> None:
    """`filename = "…"` in a hint is a key of the manifest, or one of the settings."""
    tables = (ManifestTable, WorkspaceTable, TargetTable, RootTable, ModelTable, FileTable)
    known = {field.encode_name for table in tables for field in msgspec.structs.fields(table)} | set(_KEYS)
    words = {"key"}  # `key = value`: how a line of TOML looks
    assert {(place, key) for place, key in keys() if key not in known | words} == set()
    assert len(keys()) > 5


@pytest.mark.parametrize("words", [["sync", "x"], ["add"], ["store", "gc", "x"], ["show"]], ids=" ".join)
def test_the_help_that_a_mistake_on_the_command_line_names_exists(bench: Bench, words: list[str]) -> None:
    named = re.search(r"`synapse (.*--help)`", bench(*words, code=2).err)
    assert named is not None
    assert bench(*named[1].split()).out.startswith("Usage: synapse")


# -- add, search, remove -----------------------------------------------------------------------------


@helps("cli: --file")
def _(bench: Bench) -> None:
    bench.project.manifest("")
    said = bench.advised("--file ID", "add", f"civitai:{catalogue.AMBIGUOUS}", code=2).err
    number = re.search(r"id = (\d+)", said)
    assert number is not None
    bench("add", f"civitai:{catalogue.AMBIGUOUS}", "--file", number[1])


@helps("cli: --allow-pickle --file --include")
def _(bench: Bench) -> None:
    content = safetensors_bytes("both")
    files = (
        File(id=1, name="both.ckpt", content=pickle_bytes("both"), format="PickleTensor", primary=True),
        File(id=2, name="both.safetensors", content=content),
    )
    bench.project.hub.civitai.add(Model(id=70, name="Both", versions=(Version(id=700, name="1", files=files),)))
    files_of = {"pytorch_model.bin": pickle_bytes("repo"), "model.safetensors": content}
    bench.project.hub.huggingface.add_repo("both/files", files_of)
    bench.project.manifest("")
    bench.advised("--allow-pickle", "add", "civitai:900008", code=2)
    bench("add", "civitai:900008", "--allow-pickle")
    bench.advised("--file format=safetensors", "add", "hf://both/files/pytorch_model.bin", code=2)
    bench("add", "civitai:70", "--file", "format=safetensors")
    bench("add", "hf://both/files", "--type", "diffusers", "--include", "*.safetensors")


@helps("cli: --allow-code")
def _(bench: Bench) -> None:
    url = bench.project.hub.files.put("node.py", b"import os\n")
    bench.project.manifest('[targets.here]\nlayout = "flat"\nroot = "here"\n')
    bench.advised("--allow-code", "add", url, "--type", "other", code=2)
    bench("add", url, "--type", "other", "--allow-code")
    bench("sync")


@helps("cli: --type")
def _(bench: Bench) -> None:
    url = bench.project.hub.files.put("thing.safetensors", safetensors_bytes("thing"))
    bench.project.manifest("")
    bench.advised("--type lora", "add", url, code=2)
    bench("add", url, "--type", "lora")


@helps("cli: synapse sync")
def _(bench: Bench) -> None:
    url = bench.project.hub.files.put("thing.safetensors", safetensors_bytes("thing"))
    bench.project.manifest("")
    bench.advised("synapse sync", "add", url, "--type", "lora", code=0)
    bench("sync")
    assert (bench.project.path / "models/loras/thing.safetensors").exists()


@helps("cli: synapse lock --heal")
def _(bench: Bench) -> None:
    data = safetensors_bytes("thing", size=9000)
    url = bench.project.hub.files.put("thing.safetensors", data)
    bench.project.manifest(f'[models]\na = {{ source = "{url}", type = "lora" }}\n')
    bench("lock")
    file = File(id=77_001, name="thing.safetensors", content=data, primary=True)
    version = Version(id=7700, name="v1", files=(file,))
    bench.project.hub.civitai.add(Model(id=770, name="Thing", type="LORA", versions=(version,)))
    bench.advised("synapse lock --heal", "lock", "--check", "--min-places", "2", code=8)
    bench("lock", "--heal")
    bench("lock", "--check", "--min-places", "2")


@helps("engine: synapse sync --at")
def _(bench: Bench) -> None:
    def git(*words: str) -> None:
        who = [word for name in ("name", "email") for word in ("-c", f"user.{name}=x@example.org")]
        subprocess.run(["git", "-C", str(bench.project.path), *who, *words], check=True, capture_output=True)

    git("init", "-q")
    for manifest in (ONE, TWO):
        bench.project.manifest(manifest)
        bench("lock")
        git("add", "-A")
        git("commit", "-q", "-m", "x")
    bench.project.manifest(f"{TWO}# an edit\n")
    bench.advised("synapse sync --at HEAD~1", "rollback", code=7)
    bench("sync", "--at", "HEAD~1")
    assert (bench.project.path / "synapse.toml").read_text().endswith("# an edit\n")


@helps("cli: --extract --type")
def _(bench: Bench) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("a.safetensors", safetensors_bytes("a"))
    url = bench.project.hub.files.put("parcel.zip", data.getvalue())
    bench.project.manifest("")
    bench.advised('--extract "*.safetensors"', "add", url, code=2)
    bench.advised("--type lora", "add", url, code=2)
    bench("add", url, "--extract", "*.safetensors", "--type", "lora")


@helps("cli: synapse sync", "cli: synapse add synapse sync")
def _(bench: Bench) -> None:
    bench.advised("synapse add REFERENCE", "init", code=0)
    bench.advised("synapse sync", "add", f"civitai:{catalogue.EYES}", code=0)
    bench("sync")
    assert len(bench.project.tree()) == 1


@helps("engine: synapse add")
def _(bench: Bench) -> None:
    bench.project.manifest(ONE)
    bench.advised("synapse add", "init", code=2)
    bench("add", f"civitai:{catalogue.EYES}")


@helps("workspace: synapse init")
def _(bench: Bench) -> None:
    bench.advised("synapse init", "sync", code=2)
    bench("init")
    bench("sync")


@helps("engine: --name")
def _(bench: Bench) -> None:
    bench.project.manifest(ONE)
    bench.advised("--name", "add", f"civitai:{catalogue.PORTRAIT}", code=2)
    bench("add", f"civitai:{catalogue.PORTRAIT}", "--name", "again")


@helps("engine: --name")
def _(bench: Bench) -> None:
    bench.project.manifest(ONE)
    bench.advised("--name", "add", f"civitai:{catalogue.EYES}", "--name", "one", code=2)
    bench("add", f"civitai:{catalogue.EYES}", "--name", "other")


@helps("sources: --cursor")
def _(bench: Bench) -> None:
    """A page of a search, and one beyond the last page that the site counts: the cursor leads on from both."""
    for words in (["search", "portrait", "--page", "2"], ["search", "--page", "11", "--limit", "100"]):
        bench.advised("--cursor", *words, code=2)
    first = bench("search", "detail", "--limit", "1", "--json").json
    more = bench("search", "detail", "--limit", "1", "--cursor", first["metadata"]["next_cursor"], "--json").json
    assert more["results"] and more["results"] != first["results"]


@helps("cli: --add")
def _(bench: Bench) -> None:
    bench.project.manifest("")
    bench.advised("--add", "search", "Portrait Studio", "--add", "99", code=2)
    assert "Portrait Studio" in bench("search", "Portrait Studio").out


@helps("cli: synapse add --allow-pickle --file")
def _(bench: Bench) -> None:
    bench.project.manifest("")
    said = bench.advised("synapse add", "search", "Two Of A Kind", "--add", "1", code=2).err
    reference = re.search(r"`synapse add (\S+)`", said)
    assert reference is not None
    bench("add", reference[1], "--file", "920062")
    said = bench.advised("--allow-pickle", "search", "Old Pickle", "--add", "1", code=2).err
    reference = re.search(r"`synapse add (\S+)`", said)
    assert reference is not None
    bench("add", reference[1], "--allow-pickle")


@helps("cli: synapse sync")
def _(bench: Bench) -> None:
    bench.project.manifest(TWO)
    bench("sync")
    bench.advised("synapse sync", "remove", "one", code=0)
    bench("sync")
    assert len(bench.project.tree()) == 1


@helps("cli: synapse add synapse import")
def _(bench: Bench) -> None:
    bench.project.manifest("")
    bench.advised("synapse add REFERENCE", "list", code=0)
    bench.advised("synapse import DIR", "status", code=0)
    (bench.project.path / "found").mkdir()
    (bench.project.path / "found/mine.safetensors").write_bytes(safetensors_bytes("mine"))
    bench("import", "found")
    bench("add", f"civitai:{catalogue.EYES}")
    listed = bench("list").out
    assert "clear-eyes" in listed and "mine" in listed
    assert "no models" not in bench("status").err


# -- lock and its file -------------------------------------------------------------------------------


@helps("cli: synapse lock")
def _(bench: Bench) -> None:
    bench.project.manifest(ONE)
    bench.advised("synapse lock", "lock", "--check", code=8)
    bench("lock")
    bench("lock", "--check")


@helps("engine: synapse lock", "engine: synapse lock")
def _(bench: Bench) -> None:
    """No lockfile at all."""
    bench.project.manifest(ONE)
    for words in (["sync", "--locked"], ["sync", "--frozen"]):
        bench.advised("synapse lock", *words, code=8)
    bench("lock")
    bench("sync", "--locked")
    bench("sync", "--frozen")


@helps("engine: synapse lock", "engine: synapse lock", "engine: synapse lock", "engine: synapse lock")
def _(bench: Bench) -> None:
    """One model is not locked."""
    bench.project.manifest(ONE)
    bench("sync")
    bench.project.manifest(TWO)
    commands = (["sync", "--locked"], ["sync", "--frozen"], ["verify"], ["export", "sh"])
    for words in commands:
        bench.advised("synapse lock", *words, code=8)
    bench("lock")
    for words in commands:
        bench(*words)


@helps("engine: synapse lock")
def _(bench: Bench) -> None:
    """The manifest declares nothing any more."""
    bench.project.manifest(ONE)
    bench("lock")
    bench.project.manifest("")
    bench.advised("synapse lock", "sync", code=0)
    bench("lock")
    assert "synapse lock" not in bench("sync").err


@helps("cli: synapse lock")
def _(bench: Bench) -> None:
    bench.project.manifest(ONE)
    bench.advised("synapse lock", "status", code=0)
    bench("lock")
    assert "synapse lock" not in bench("status").out


@helps("cli: synapse lock")
def _(bench: Bench) -> None:
    bench.project.manifest(TWO)
    bench("sync")
    bench.project.manifest(ONE)
    bench.advised("synapse lock", "status", code=0)
    bench("lock")
    assert "synapse lock" not in bench("status").out


@helps("cli: synapse lock")
def _(bench: Bench) -> None:
    bench.project.manifest(ONE)
    bench.advised("synapse lock", "show", "one", code=2)
    bench("lock")
    bench("show", "one")


@helps("cli: synapse list", "engine: synapse list")
def _(bench: Bench) -> None:
    bench.project.manifest(ONE)
    bench("lock")
    for words in (["show", "zzzz"], ["sync", "--only", "zzzz"]):
        bench.advised("synapse list", *words, code=2)
    assert "one" in bench("list").out


@helps("cli: synapse status")
def _(bench: Bench) -> None:
    bench.project.manifest(TWO)
    bench("sync")
    next(bench.project.path.rglob("*.safetensors")).unlink()
    (other,) = [name for name in ("one", "two") if "in sync" in bench("status", "--only", name).out]
    bench.advised("synapse status", "sync", "--only", other, code=0)
    assert "in sync" not in bench("status").out


@helps("engine: synapse sync")
def _(bench: Bench) -> None:
    bench.project.manifest(TWO)
    bench("sync")
    bench.project.manifest(TWO.replace("two =", "three ="))
    bench.leave_out("two")
    bench.advised("synapse sync", "status", code=0)
    bench("sync")
    assert "synapse sync" not in bench("status").out


@helps("core: synapse lock")
def _(bench: Bench) -> None:
    """A block that makes no sense."""
    bench.project.manifest(ONE)
    bench("lock")
    bench.edit("synapse.lock", r'sha256 = "\w+"', 'sha256 = "12"')
    bench.advised("synapse lock", "status", code=2)
    bench("lock")
    bench("status")


@helps("core: synapse lock")
def _(bench: Bench) -> None:
    """An included manifest that is not here yet."""
    text = ONE.encode()
    url = bench.project.hub.files.put("/starter.toml", text)
    bench.project.manifest(f'include = ["{url}@sha256:{hashlib.sha256(text).hexdigest()}"]\n')
    bench.advised("synapse lock", "status", code=2)
    bench("lock")
    bench("status")


@helps("core: synapse lock")
def _(bench: Bench) -> None:
    """Markers of a merge."""
    bench.project.manifest(ONE)
    bench("lock")
    text = bench.project.lock_text
    path = bench.project.path / "synapse.lock"
    path.write_text(text.replace("[[model]]", "<<<<<<< HEAD\n[[model]]", 1) + "=======\n>>>>>>> other\n")
    bench.advised("synapse lock", "status", code=2)
    bench("lock")
    bench("status")


@helps("core: synapse lock")
def _(bench: Bench) -> None:
    """The first line is missing."""
    bench.project.manifest(ONE)
    bench("lock")
    path = bench.project.path / "synapse.lock"
    path.write_text(path.read_text().partition("\n")[2])
    bench.advised("synapse lock", "status", code=2)
    path.unlink()
    bench("lock")
    bench("status")


@helps("project: synapse lock")
def _(bench: Bench) -> None:
    bench.project.manifest(ONE)
    path = bench.project.path / "synapse.lock"
    path.write_bytes(b"\xff\xfe\x00")
    bench.advised("synapse lock", "status", code=2)
    path.unlink()
    bench("lock")
    bench("status")


@helps("transfer: synapse lock")
def _(bench: Bench) -> None:
    """The size of a file was changed in the lockfile."""
    bench.project.manifest(ONE)
    bench("lock")
    right = bench.project.lock_text
    bench.edit("synapse.lock", r"size = (\d+)", r"size = 1\1")
    bench.advised("synapse lock", "sync", code=0)
    bench("lock")
    assert bench.project.lock_text == right


# -- outdated and upgrades ---------------------------------------------------------------------------


@helps("cli: synapse lock --upgrade", "cli: synapse lock --upgrade")
def _(bench: Bench) -> None:
    bench.project.manifest(ONE)
    bench("lock")
    catalogue.publish_upgrade(bench.project.hub)
    bench.advised("synapse lock --upgrade", "outdated", code=0)
    bench("lock", "--upgrade")
    said = bench.advised("synapse lock --upgrade", "outdated", code=0)
    assert "nothing" in said.err
    bench("outdated", "--check")


@helps("sources: synapse lock --upgrade-model")
def _(bench: Bench) -> None:
    bench.project.manifest(ONE)
    bench("lock")
    catalogue.publish_upgrade(bench.project.hub)
    model = bench.project.hub.civitai.models[catalogue.PORTRAIT]
    bench.project.hub.civitai.add(Model(id=model.id, name=model.name, versions=model.versions[:1]))
    bench.advised("synapse lock --upgrade-model NAME", "sync", code=4)
    bench("lock", "--upgrade-model", "one")
    bench("sync")


@helps("sources: synapse lock --upgrade-model")
def _(bench: Bench) -> None:
    hub = bench.project.hub.huggingface
    hub.add_repo("a/b", {"a.safetensors": safetensors_bytes("a")})
    bench.project.manifest('[models]\nit = { source = "hf://a/b/a.safetensors", type = "lora" }\n')
    bench("lock")
    hub.repos["a/b"].commits.clear()
    hub.commit("a/b", {"a.safetensors": safetensors_bytes("b")})
    bench.advised("synapse lock --upgrade-model NAME", "sync", code=4)
    bench("lock", "--upgrade-model", "it")
    bench("sync")


@helps("engine: synapse lock --upgrade-model")
def _(bench: Bench) -> None:
    """An earlier version locked the code of a repository."""
    files = {"a.safetensors": safetensors_bytes("a"), "b.json": b"{}", "c.py": b"import os\n"}
    bench.project.hub.huggingface.add_repo("a/b", files)
    bench.project.manifest('[models]\nit = { source = "hf://a/b", type = "diffusers", allow-code = true }\n')
    bench("lock", "--trust")
    for name, key in (("synapse.toml", ", allow-code = true"), ("synapse.lock", "; allow-code")):
        bench.edit(name, key, "")
    bench.advised("synapse lock --upgrade-model it", "sync", code=0)
    bench("lock", "--upgrade-model", "it")
    assert "left out" not in bench("sync").err


@helps("transfer: synapse lock --upgrade-model")
def _(bench: Bench) -> None:
    url = bench.project.hub.files.put("a.safetensors", safetensors_bytes("a", size=10_000))
    bench.project.manifest(f'[models]\nit = {{ source = "{url}", type = "lora" }}\n')
    bench("lock")
    shutil.rmtree(bench.project.store)
    bench.project.hub.files.put("a.safetensors", safetensors_bytes("b", size=20_000))
    bench.advised("synapse lock --upgrade-model NAME", "sync", code=6)
    bench("lock", "--upgrade-model", "it")
    bench("sync")


class Unmeasured(BaseHTTPRequestHandler):
    """A server that ends its answer by hanging up, and does not say how long it is."""

    content = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(type(self).content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@helps("transfer: synapse lock --upgrade-model")
def _(bench: Bench) -> None:
    server = HTTPServer(("127.0.0.1", 0), Unmeasured)
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        Unmeasured.content = safetensors_bytes("a", size=10_000)
        url = f"http://127.0.0.1:{server.server_address[1]}/a.safetensors"
        bench.project.manifest(f'[models]\nit = {{ source = "{url}", type = "lora" }}\n')
        bench("lock")
        shutil.rmtree(bench.project.store)
        Unmeasured.content = safetensors_bytes("b", size=20_000)
        bench.advised("synapse lock --upgrade-model NAME", "sync", code=6)
        bench("lock", "--upgrade-model", "it")
        bench("sync")
    finally:
        server.shutdown()
        server.server_close()


@helps("transfer: synapse lock")
def _(bench: Bench) -> None:
    """The digest of a member of an archive was changed in the lockfile."""
    declare_archive(bench)
    bench("lock")
    shutil.rmtree(bench.project.store)
    bench.edit("synapse.lock", r'\nsha256 = "(\w)(\w+)"', lambda m: f'\nsha256 = "{int(m[1], 16) ^ 1:x}{m[2]}"')
    bench.advised("synapse lock", "sync", code=6)
    bench.leave_out("it")
    bench("lock")
    bench("sync")


@helps("core: synapse lock")
def _(bench: Bench) -> None:
    """A lockfile without a single block."""
    bench.project.manifest(ONE)
    path = bench.project.path / "synapse.lock"
    path.write_text("version = 1\nmodel = 3\n")
    bench.advised("synapse lock", "lock", code=2)
    path.unlink()
    bench("lock")
    bench("sync")


# -- sync --------------------------------------------------------------------------------------------


@helps("engine: --force")
def _(bench: Bench) -> None:
    """The file to write is somebody else's."""
    bench.project.manifest(ONE)
    bench("lock")
    (bench.project.path / "gallery.html").write_text("mine")
    bench.advised("--force", "gallery", code=7)
    bench("gallery", "--force")


@helps("core: --force")
def _(bench: Bench) -> None:
    bench.project.manifest(ONE)
    path = bench.project.path / "models/checkpoints/portrait_v1.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"my own")
    bench.advised("--force", "sync", code=7)
    bench("sync", "--force")
    assert path.read_bytes() == content_of(bench.project.hub, catalogue.PORTRAIT_V1)


@helps("engine: --no-prune --yes")
def _(bench: Bench) -> None:
    names = "".join(f'm{n} = {{ source = "./{n}.safetensors", type = "lora" }}\n' for n in range(12))
    for number in range(12):
        (bench.project.path / f"{number}.safetensors").write_bytes(safetensors_bytes(str(number)))
    bench.project.manifest(f'[targets.t]\nroot = "ui"\n[models]\n{names}')
    bench("sync")
    bench.project.manifest(f'[targets.t]\nroot = "ui"\n{ONE}')
    bench.advised("--yes", "sync", code=2)
    bench("sync", "--no-prune")
    assert len(bench.project.tree(root="ui")) == 13
    bench("sync", "--yes")
    assert len(bench.project.tree(root="ui")) == 1


@helps("engine: synapse store gc")
def _(bench: Bench) -> None:
    """A disk that is full of blobs which nobody uses any more."""
    bench.project.manifest(TWO)
    bench("sync")
    bench.project.manifest(TWO.replace(ONE, "[models]\n"))
    bench("sync")
    fill_the_disk(bench)
    bench.project.manifest(TWO.replace(ONE, f'[models]\nthree = "civitai:{catalogue.SHARPEN}"\n'))
    bench.advised("synapse store gc", "sync", code=9)
    bench("store", "gc", "--yes")
    bench("sync")


@helps("engine: synapse store gc --now")
def _(bench: Bench) -> None:
    """A download with wrong bytes is in quarantine."""
    bench.project.manifest(ONE)
    bench("lock")
    data = content_of(bench.project.hub, catalogue.PORTRAIT_V1)
    bench.project.hub.civitai.replace_content(catalogue.PORTRAIT_V1, data[:-1] + bytes([data[-1] ^ 1]))
    bench("sync", code=6)
    assert "`synapse store gc --now`" in " ".join(bench("doctor").out.split())
    bench("store", "gc", "--now", "--yes")
    assert "quarantine" not in bench("doctor").out


@helps("engine: synapse store forget", "cli: synapse store gc")
def _(bench: Bench) -> None:
    """A project is deleted: its note is forgotten, and its files are dropped."""
    bench.stack.enter_context(nothing_is_recent())
    bench.project.manifest(ONE)
    bench("sync")
    shutil.rmtree(bench.project.path)
    bench.project.path.mkdir()
    gone = bench.project.path.parent / "gone"
    (note,) = (bench.project.store / "projects").glob("*.json")
    note.write_text(note.read_text("utf-8").replace(str(bench.project.path), str(gone)), "utf-8")
    bench.advised("synapse store forget", "store", "gc", "--yes", code=0)
    bench.advised("synapse store gc", "store", "forget", str(gone), code=0)
    bench("store", "gc", "--yes")
    assert bench.project.blobs() == []


@helps("transfer: synapse store gc")
def _(bench: Bench) -> None:
    """The same, for an archive whose files find no room."""
    bench.project.manifest(TWO)
    bench("sync")
    bench.project.manifest(TWO.replace(ONE, "[models]\n"))
    bench("sync")
    fill_the_disk(bench)
    declare_archive(bench)
    bench.advised("synapse store gc", "lock", code=9)
    bench("store", "gc", "--yes")
    bench("lock")


def fill_the_disk(bench: Bench) -> None:
    """From now on there is only room for what becomes free in the store."""
    blobs = bench.project.store / "blobs"
    used = sum(path.stat().st_size for path in blobs.rglob("*") if path.is_file())

    def free() -> int:
        now = sum(each.stat().st_size for each in blobs.rglob("*") if each.is_file())
        return RESERVE + max(0, used - now)

    bench.stack.enter_context(space(free))
    bench.stack.enter_context(nothing_is_recent())


def declare_archive(bench: Bench) -> None:
    """A manifest with a model that comes out of an archive."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.safetensors", safetensors_bytes("a", size=30_000))
    url = bench.project.hub.files.put("a.zip", packed.getvalue())
    entry = f'{{ source = "{url}", type = "lora", extract = "*.safetensors" }}'
    bench.project.manifest(f"[models]\nit = {entry}\n")


@helps("net: --offline")
def _(bench: Bench) -> None:
    """Each of the clients, and both ways to forbid the network."""
    url = bench.project.hub.files.put("a.safetensors", safetensors_bytes("a"))
    settings = Path(os.environ["SYNAPSE_CONFIG"])
    for reference in (f"civitai:{catalogue.EYES}", f"hf://{catalogue.VAE_REPO}/portrait_vae.safetensors", url):
        bench.project.manifest(f'[models]\nit = {{ source = "{reference}", type = "vae" }}\n')
        bench.advised("--offline", "lock", "--offline", code=5)
        settings.write_text("offline = true\n")
        bench.advised("offline = true", "lock", code=5)
        settings.unlink()
        bench("lock")


# -- verify and the store ----------------------------------------------------------------------------


@helps("engine: synapse sync synapse verify --repair")
def _(bench: Bench) -> None:
    bench.project.manifest(TWO)
    bench("sync")
    for words in (["sync"], ["verify", "--repair"]):
        path = next(bench.project.path.rglob("*.safetensors"))
        path.unlink()
        bench.advised("synapse sync", "verify", code=6)
        bench(*words, code=None)
        assert path.exists()
        bench("verify")


def damage(path: Path) -> None:
    """Change a byte in place, as a bad disk does: size and times stay."""
    before = path.stat()
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(before.st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 0xFF]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@helps("engine: synapse verify --repair")
def _(bench: Bench) -> None:
    bench.project.manifest(ONE)
    bench("sync", "--link-mode", "hardlink")
    damage(next(bench.project.path.rglob("*.safetensors")))
    bench.advised("synapse verify --repair", "verify", code=6)
    bench("verify", "--repair")
    bench("verify")


@helps("engine: synapse verify --repair")
def _(bench: Bench) -> None:
    """Somebody changed the store's copy through a link of one target; another one has a file of its own."""
    targets = "".join(f'[targets.{mode}]\nroot = "{mode}"\nlink-mode = "{mode}"\n' for mode in ("symlink", "copy"))
    bench.project.manifest(targets + ONE)
    bench("sync")
    place = next(path for path in (bench.project.path / "symlink").rglob("*.safetensors"))
    place.resolve().chmod(0o644)
    place.write_bytes(b"mine")
    bench.advised("synapse verify --repair", "verify", code=6)
    assert place.read_bytes() == b"mine"
    bench("verify", "--repair")
    bench("verify")


@helps("engine: synapse sync")
def _(bench: Bench) -> None:
    bench.project.manifest(ONE)
    bench("sync", "--link-mode", "copy")
    damage(next(path for path in (bench.project.store / "blobs").rglob("*") if path.is_file()))
    bench.advised("synapse sync", "verify", code=6)
    next(bench.project.path.rglob("*.safetensors")).unlink()
    bench("sync")
    bench("verify")


@helps("store: synapse store verify")
def _(bench: Bench) -> None:
    bench.project.manifest(ONE)
    bench("sync", "--link-mode", "copy")
    damage(next(path for path in (bench.project.store / "blobs").rglob("*") if path.is_file()))
    next(bench.project.path.rglob("*.safetensors")).unlink()
    bench.advised("synapse store verify", "sync", "--link-mode", "copy", code=6)
    bench("store", "verify", code=6)
    bench("sync", "--link-mode", "copy")
    bench("verify")


@helps("cli: --dry-run --yes")
def _(bench: Bench) -> None:
    bench.project.manifest(ONE)
    bench("sync")
    shutil.rmtree(bench.project.path / "models")
    for name in ("synapse.toml", "synapse.lock"):
        (bench.project.path / name).unlink()
    shutil.rmtree(bench.project.path / ".synapse")
    (bench.project.path / "notes.txt").write_text("an empty directory might be a drive that is not mounted")
    bench.stack.enter_context(nothing_is_recent())
    bench.advised("--yes", "store", "gc", code=2)
    bench("store", "gc", "--dry-run")
    assert bench.project.blobs()
    bench("store", "gc", "--yes")
    assert not bench.project.blobs()


# -- tokens ------------------------------------------------------------------------------------------


@helps("sites: synapse login")
def _(bench: Bench) -> None:
    del os.environ["CIVITAI_API_KEY"]
    bench.project.manifest(ONE)
    said = bench.advised("synapse login", "sync", code=3).err
    site = re.search(r"`synapse login (\S+)`", said)
    assert site is not None
    bench.log_in(site[1], bench.project.hub.civitai_token)
    bench("sync")


@helps("cli: synapse login")
def _(bench: Bench) -> None:
    del os.environ["CIVITAI_API_KEY"]
    said = bench.advised("synapse login", "whoami", "civitai", code=3).out
    site = re.search(r"`synapse login (\S+)`", said)
    assert site is not None
    bench.log_in(site[1], bench.project.hub.civitai_token)
    bench("whoami", "civitai")


@helps("cli: --token-stdin")
def _(bench: Bench) -> None:
    bench.advised("--token-stdin", "login", "civitai", code=2)
    bench.log_in("civitai", bench.project.hub.civitai_token)


@helps("sources: synapse login")
def _(bench: Bench) -> None:
    """A token that a host refuses is replaced by the right one."""
    url = bench.project.hub.files.put("a.safetensors", safetensors_bytes("a"))
    bench.project.hub.faults.add("/", Fault(status=401, origin="files"))
    bench.project.manifest(f'[models]\nit = {{ source = "{url}", type = "lora" }}\n')
    bench.log_in(url.split("/")[2], "an-old-token")
    said = bench.advised("synapse login", "lock", code=3).err
    assert "replaces it" in " ".join(said.split())
    bench.log_in(url.split("/")[2], "the-right-token")
    bench.project.hub.faults.clear()
    bench("lock")
    assert bench.project.hub.requests("files")[-1].headers["authorization"] == "Bearer the-right-token"


@helps("sources: synapse login")
def _(bench: Bench) -> None:
    """A host that redirects to a page of another host may want a token itself."""
    hub = bench.project.hub
    url = hub.files.put("a.safetensors", safetensors_bytes("a"))
    first, there = url.split("/")[2], f"{hub.huggingface.url}/closed"
    hub.faults.add("/files/a", Fault(status=302, headers={"Location": there}))
    hub.faults.add("/closed", Fault(status=401))
    bench.project.manifest(f'[models]\nit = {{ source = "{url}", type = "lora" }}\n')
    bench.advised(f"synapse login {first}", "lock", code=3)
    bench.log_in(first, "a-token")
    hub.faults.clear()
    bench("lock")
    assert hub.requests("files")[-1].headers["authorization"] == "Bearer a-token"


@helps("core: synapse login")
def _(bench: Bench) -> None:
    del os.environ["CIVITAI_API_KEY"]
    bench.project.manifest(f'[models.one]\nsource = "civitai:{catalogue.PORTRAIT}"\ntoken = "x"\n')
    bench.advised("synapse login HOST", "sync", code=2)
    bench.log_in("civitai.com", bench.project.hub.civitai_token)
    bench.project.manifest(ONE)
    bench("sync")


@helps("sources: synapse login")
def _(bench: Bench) -> None:
    url = bench.project.hub.files.put("a.safetensors", safetensors_bytes("a"))
    bench.project.hub.faults.add("/", Fault(status=401, origin="files"))
    bench.project.manifest(f'[models]\nit = {{ source = "{url}", type = "lora" }}\n')
    said = bench.advised("synapse login", "lock", code=3).err
    host = re.search(r"`synapse login (\S+)`", said)
    assert host is not None
    bench.log_in(host[1], "a-token-for-that-host")
    bench.project.hub.faults.clear()
    bench.project.hub.clear_log()
    bench("lock")
    assert {seen.headers.get("authorization") for seen in bench.project.hub.requests("files")} == {
        "Bearer a-token-for-that-host"
    }


@helps("sources: synapse whoami")
def _(bench: Bench) -> None:
    bench.project.manifest(f'[models]\ngated = {{ source = "hf://{catalogue.GATED_REPO}", type = "lora" }}\n')
    bench("lock", code=None)
    said = bench("sync", code=3)
    assert "`synapse whoami`" in said.err
    assert "newcomer" in bench("whoami", "huggingface").out


# -- the command line itself -------------------------------------------------------------------------


@helps("cli: --help")
def _(bench: Bench) -> None:
    bench.advised("synapse --help", "zzzzzz", code=2)
    assert "sync" in bench("--help").out


@helps("cli: --debug")
def _(bench: Bench) -> None:
    bench.project.manifest(ONE)
    bench.patch.setattr("synapse_sync.workspace.Workspace.status", lambda *a, **k: 1 / 0)
    bench.advised("--debug", "status", code=70)
    assert "ZeroDivisionError: division by zero" in bench("status", "--debug", code=70).err


# -- consent -----------------------------------------------------------------------------------------


def _wants_more(bench: Bench) -> Path:
    """A manifest with a root that its user has not agreed to; returns the file that it would place there."""
    elsewhere = bench.project.path.parent / "elsewhere"
    bench.project.manifest(f'[targets.out]\nlayout = "flat"\nroot = "{elsewhere.as_posix()}"\n{ONE}')
    return elsewhere


@helps("core: synapse trust")
def _(bench: Bench) -> None:
    elsewhere = _wants_more(bench)
    bench.advised("synapse trust", "sync", code=2)
    assert not elsewhere.exists()
    bench("trust")
    bench("sync")
    assert list(elsewhere.glob("*.safetensors"))


@helps("core: --trust")
def _(bench: Bench) -> None:
    elsewhere = _wants_more(bench)
    bench.advised("--trust", "sync", code=2)
    bench("sync", "--trust")
    assert list(elsewhere.glob("*.safetensors"))


# -- adopted files -----------------------------------------------------------------------------------


def _adopts_a_note(bench: Bench) -> Path:
    """A note of the user that was adopted, since it has the bytes of a source; returns its place."""
    (bench.project.path / "source.txt").write_text("a note")
    bench.project.manifest('[models.m]\nsource = "./source.txt"\nfilename = "note.txt"\ntype = "lora"\n')
    place = bench.project.path / "models/loras/note.txt"
    place.parent.mkdir(parents=True)
    place.write_text("a note")
    bench("sync")
    return place


@helps("core: synapse lock --upgrade-model")
def _(bench: Bench) -> None:
    place = bench.project.path / "models/loras/own.safetensors"
    place.parent.mkdir(parents=True)
    place.write_bytes(safetensors_bytes("before"))
    bench.project.manifest("[models]\n")
    bench("import", str(place.parent), "--offline")
    place.write_bytes(safetensors_bytes("after"))
    bench.advised("synapse lock --upgrade-model own", "sync", code=7)
    bench("lock", "--upgrade-model", "own")
    bench("sync")
    bench("verify")


@helps("core: synapse trust --take")
def _(bench: Bench) -> None:
    place = _adopts_a_note(bench)
    (bench.project.path / "source.txt").write_text("another text")
    bench("lock", "--upgrade")
    bench.advised("synapse trust --take m", "sync", code=7)
    bench("trust", "--take", "m")
    bench("sync")
    assert place.read_text() == "another text"


@helps("engine: synapse sync")
def _(bench: Bench) -> None:
    place = _adopts_a_note(bench)
    place.write_text("edited")
    bench.advised("synapse sync", "verify", code=6)
    place.rename(place.with_name("kept.txt"))
    bench("sync")
    assert place.read_text() == "a note"
    bench("verify")


# -- the last model ----------------------------------------------------------------------------------


@helps("cli: synapse sync --yes")
def _(bench: Bench) -> None:
    bench.project.manifest(ONE)
    bench("sync")
    bench.advised("synapse sync --yes", "remove", "one", code=0)
    bench("sync", "--yes")
    assert bench.project.tree() == {}


@helps("engine: synapse lock synapse sync --yes")
def _(bench: Bench) -> None:
    bench.project.manifest(ONE)
    bench("sync")
    bench.project.manifest("")
    bench.advised("synapse sync --yes", "status", code=0)
    bench.project.manifest("[models]\n")
    bench("lock")
    bench("sync", "--yes")
    assert bench.project.tree() == {}


# -- import ------------------------------------------------------------------------------------------------


def _tree(bench: Bench, *names: str) -> None:
    for name in names:
        place = bench.project.path / "ui/models/loras" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(safetensors_bytes("one"))
    bench.project.manifest('[targets.c]\nroot = "ui"\n[models]\n')


@helps("engine: synapse store add --yes")
def _(bench: Bench) -> None:
    _tree(bench, "a.safetensors")
    bench.patch.setattr(import_bytes, "is_away", lambda file, tools: not file.place.is_symlink())
    bench.advised("--yes", "import", "--move", "ui", code=2)
    assert "1 brought into the store" in bench("import", "--move", "--yes", "ui").err


@helps("engine: --trust", "engine: --allow-pickle", "engine: synapse add synapse import --help")
def _(bench: Bench) -> None:
    url = bench.project.hub.files.put("old.ckpt", pickle_bytes("old"))
    flow = workflow(node(1, "UNETLoader", {"name": "old.ckpt", "url": url, "directory": "diffusion_models"}))
    place = bench.project.path / "wf.json"
    place.write_text(json.dumps(flow), "utf-8")
    os.environ["SYNAPSE_TRUST_HOSTS"] = ""
    bench.advised("--trust", "import", str(place), code=2)
    bench.advised("--allow-pickle", "import", str(place), "--trust", code=2)
    bench("import", str(place), "--trust", "--allow-pickle")
    place.write_text("{}", "utf-8")
    bench.advised("synapse import --help", "import", str(place), code=2)
    assert "a list of addresses" in bench("import", "--help").out
    bench("add", f"civitai:{catalogue.EYES}")


@helps("engine: --type")
def _(bench: Bench) -> None:
    place = bench.project.path / "list.txt"
    place.write_text(f"{bench.project.hub.files.url}/{catalogue.PLAIN_LORA}\n", "utf-8")
    bench.advised("--type lora", "import", str(place), code=2)
    bench("import", str(place), "--type", "lora")


@helps("engine: synapse tree")
def _(bench: Bench) -> None:
    bench.project.manifest(ONE)
    bench("lock")
    bench.advised("synapse tree", "why", "models/checkpoints/other.safetensors", code=2)
    assert "models/checkpoints" in bench("tree").out


@helps("engine: synapse show")
def _(bench: Bench) -> None:
    bench.project.manifest(ONE)
    bench("lock")
    (name,) = (model["name"] for model in bench.project.locked())
    bench.advised(f"synapse show {name}", "why", name, code=2)
    assert name in bench("show", name).out


@helps("engine: synapse import --identify")
def _(bench: Bench) -> None:
    _tree(bench, "a.safetensors")
    with bench.patch.context() as away:
        away.setenv("CIVITAI_ENDPOINT", "http://127.0.0.1:9")
        bench.advised("synapse import --identify", "import", "ui", code=0)
    assert "identified 0 models" in bench("import", "--identify").err


@helps("cli: synapse outdated synapse status", "cli: synapse import --dedupe")
def _(bench: Bench) -> None:
    _tree(bench, "a.safetensors", "b.safetensors")
    bench.advised("synapse outdated", "import", "ui", code=0)
    bench("status")
    bench("outdated", code=None)
    bench.advised("synapse import --dedupe ui", "import", "ui", code=0)
    assert "2 brought into the store" in bench("import", "--dedupe", "ui").err
    assert len(bench.project.blobs()) == 1
    assert "--dedupe" not in bench("import", "ui").err
    assert "nothing to do" in bench("sync").out


@helps("engine: synapse store add")
def _(bench: Bench) -> None:
    """Files on another volume than the store are not moved there; a store beside them takes them in."""
    with another_device(bench.project.path) as volume:
        place = volume / "ui" / "models" / "loras" / "own.safetensors"
        place.parent.mkdir(parents=True)
        place.write_bytes(safetensors_bytes("own"))
        bench("init", "--layout", "comfyui", "--root", str(volume / "ui"))
        bench.advised("synapse store add DIR", "import", "--move", str(volume / "ui"), code=2)
        bench("store", "add", str(volume / "store"))
        assert "1 brought into the store" in bench("import", "--move", str(volume / "ui")).err
        assert place.stat().st_nlink == 2 and bench.project.blobs() == []


@helps("cli: synapse store gc synapse sync --link-mode")
def _(bench: Bench) -> None:
    """A store is added beside a tree that was placed from another volume: it is placed from there, once asked."""
    bench.stack.enter_context(nothing_is_recent())
    with another_device(bench.project.path) as volume:
        bench.project.manifest(f'[targets.t]\nroot = "{volume / "ui"}"\n{ONE}')
        bench("sync", "--yes")
        bench.advised("synapse sync --link-mode hardlink", "store", "add", str(volume / "store"), code=0)
        bench("sync", "--link-mode", "hardlink")
        bench("store", "gc", "--yes")
        assert bench.project.blobs() == []
        assert [path.stat().st_nlink for path in (volume / "ui").rglob("*.safetensors")] == [2]


@helps("engine: synapse store add", "engine: synapse store list")
def _(bench: Bench) -> None:
    """The first sync into another volume names the store to add; the next one costs the volume nothing more."""
    with another_device(bench.project.path) as volume:
        head = f'[targets.t]\nroot = "{volume / "ui"}"\n'
        bench.project.manifest(head + ONE)
        bench.advised(f"synapse store add {volume / 'synapse-store'}", "sync", "--yes", code=0)
        bench("store", "add", str(volume / "synapse-store"))
        bench.advised("synapse store list", "store", "add", str(volume / "synapse-store"), code=2)
        assert str(volume / "synapse-store") in bench("store", "list").out
        bench.project.manifest(head + TWO)
        bench("sync")
        placed = [path for path in (volume / "ui").rglob("*.safetensors") if path.stat().st_nlink == 2]
        assert len(placed) == 1


@helps("engine: synapse remove")
def _(bench: Bench) -> None:
    """A renamed file is a new model only when nothing else has its bytes."""
    _tree(bench, "a.safetensors")
    bench("import", "ui")
    (file,) = (bench.project.path / "ui").rglob("a.safetensors")
    file.rename(file.with_name("renamed.safetensors"))
    bench.advised("synapse remove a", "status", code=0)
    bench("remove", "a")
    bench("import", "ui")
    assert "renamed" in (bench.project.path / "synapse.toml").read_text()


@helps("cli: synapse remove")
def _(bench: Bench) -> None:
    _tree(bench, "a.safetensors", "b.safetensors")
    bench.advised("synapse remove NAME", "import", "ui", code=0)
    bench("remove", "a")
    assert "a.safetensors  no longer wanted; its bytes are in the store" in bench("sync").out
    assert len(bench.project.blobs()) == 1


@helps("cli: synapse status --all", "cli: synapse import")
def _(bench: Bench) -> None:
    _tree(bench, "first.safetensors")
    bench("import", "ui")
    _tree_text = (bench.project.path / "synapse.toml").read_text()
    _tree(bench, *(f"{number:02}.safetensors" for number in range(12)))
    (bench.project.path / "synapse.toml").write_text(_tree_text)
    bench.advised("synapse import ui", "status", code=0)
    bench.advised("synapse status --all", "status", code=0)
    assert "11.safetensors" in bench("status", "--all").out
    bench("import", "ui")
    assert "unmanaged" not in bench("status").out


def _ui(place: Path) -> None:
    """A ComfyUI with one LoRA."""
    for folder in ("comfy", "models/checkpoints", "models/loras"):
        (place / folder).mkdir(parents=True)
    (place / "folder_paths.py").touch()
    (place / "models/loras/a.safetensors").write_bytes(safetensors_bytes(place.name))


@helps("cli: synapse import")
def _(bench: Bench) -> None:
    _ui(bench.project.path / "ui")
    bench.advised("synapse import ui", "init", code=0)
    bench("import", str(bench.project.path / "ui"))
    assert "nothing to do" in bench("sync").out


@helps("cli: synapse import")
def _(bench: Bench) -> None:
    _ui(bench.project.path.parent / "its ui")
    bench.advised("synapse import '../its ui'", "init", code=0)
    bench("import", str(bench.project.path.parent / "its ui"))
    assert "nothing to do" in bench("sync").out


@helps("engine: synapse add")
def _(bench: Bench) -> None:
    _tree(bench, "a.safetensors")
    (bench.project.path / "ui/models/loras/model_index.json").write_text("{}")
    bench.advised("synapse add hf://OWNER/REPO", "import", "ui", code=0)
    bench("add", f"hf://{catalogue.VAE_REPO}", "--type", "vae")


@helps("core: synapse lock")
def _(bench: Bench) -> None:
    bench.project.manifest(ONE)
    bench("sync")
    before = bench.project.lock_text
    bench.edit("synapse.lock", r"\nsize = \d+", "\nsize = 7")
    for place in bench.project.tree():
        (bench.project.path / place).unlink()
    said = bench("sync", "--locked")
    assert "`synapse lock` corrects synapse.lock" in " ".join(said.err.split())
    bench("lock")
    assert bench.project.lock_text == before


@helps("engine: --root")
def _(bench: Bench) -> None:
    _ui(bench.project.path / "ui")
    bench.advised("--root ui", "init", "--root", "ui/models", code=2)
    bench("init", "--root", "ui")
    bench("import", str(bench.project.path / "ui"))
    assert "nothing to do" in bench("sync").out


def _own_copy(bench: Bench) -> None:
    """Follow the advice to a user who has the file: it is declared where it is."""
    (bench.project.path / "mine.safetensors").write_bytes(safetensors_bytes("mine"))
    bench.project.manifest("[models]\n")
    bench("add", "./mine.safetensors", "--type", "lora")
    bench("sync")
    assert list(bench.project.tree(root="models")) == ["loras/mine.safetensors"]


@helps("errors: synapse add synapse bundle synapse lock synapse unbundle")
def _(bench: Bench) -> None:
    bench.project.manifest(TWO)
    bench("lock")
    colleagues = bench.project.lock_text
    (bench.project.path / "synapse.lock").unlink()
    bench.project.hub.civitai.region_blocked = True
    said = bench.advised("synapse add ./FILE", "lock", code=3)
    assert said.err.count("error: ") == 1, "one finding for all models"
    (bench.project.path / "synapse.lock").write_text(colleagues)
    bench("lock")
    _own_copy(bench)


@helps("errors: synapse add synapse bundle synapse lock synapse unbundle")
def _(bench: Bench) -> None:
    bench.project.manifest(f'[models]\nvae = "hf://{catalogue.VAE_REPO}/portrait_vae.safetensors"\n')
    bench.project.hub.faults.add("/", Fault(status=451, origin="huggingface"))
    bench.advised("synapse add ./FILE", "lock", code=3)
    _own_copy(bench)


# -- bundles ----------------------------------------------------------------------------------------


def _bundled(bench: Bench) -> Path:
    """A bundle of a synced project, and a store without its files."""
    bench.project.manifest(ONE)
    bench("sync")
    out = bench.project.path.parent / "one.tar"
    bench("bundle", str(out))
    return out


@helps("core: synapse bundle")
def _(bench: Bench) -> None:
    out = _bundled(bench)
    out.write_bytes(out.read_bytes()[:-20_000])
    bench.advised("synapse bundle", "unbundle", str(out), "new", code=6)
    bench("bundle", str(out))
    bench("unbundle", str(out), "new")


@helps("cli: synapse sync --frozen --offline")
def _(bench: Bench) -> None:
    out = _bundled(bench)
    shutil.rmtree(bench.project.store)
    bench.advised("synapse sync --frozen --offline", "unbundle", str(out), "new", code=0)
    replace(bench.project, path=bench.project.path / "new")("sync", "--frozen", "--offline")
    assert [*(bench.project.path / "new").rglob("portrait_v1.safetensors")]


@helps("engine: synapse lock")
def _(bench: Bench) -> None:
    out = _bundled(bench)
    bench.project.manifest(ONE.replace(f"{catalogue.PORTRAIT}", f"{catalogue.EYES}"))
    bench.advised("synapse lock", "bundle", str(out), code=8)
    bench("lock")
    bench("sync")
    bench("bundle", str(out))


@helps("engine: --since")
def _(bench: Bench) -> None:
    out = _bundled(bench)
    bench("bundle", str(second := out.with_name("two.tar")), "--since", "synapse.lock")
    shutil.rmtree(bench.project.store)
    bench.advised("--since", "unbundle", str(second), "new", code=8)
    bench("unbundle", str(out), "earlier")
    bench("unbundle", str(second), "new")


@helps("engine: synapse verify --repair")
def _(bench: Bench) -> None:
    out = _bundled(bench)
    blob = next(path for path in (bench.project.store / "blobs").rglob("*") if path.is_file())
    found = blob.stat()
    blob.chmod(0o600)
    blob.write_bytes(bytes(found.st_size))
    os.utime(blob, ns=(found.st_atime_ns, found.st_mtime_ns))
    bench.advised("synapse verify --repair", "bundle", str(out), code=6)
    bench("verify", "--repair")
    bench("bundle", str(out))


@helps("engine: synapse sync", "engine: synapse sync")
def _(bench: Bench) -> None:
    bench.project.manifest(f"[workspace]\npreviews = true\n{ONE}")
    bench("lock")
    out = str(bench.project.path / "one.tar")
    bench.advised("synapse sync", "bundle", out, code=8)
    bench("sync")
    bench("bundle", out)
    shutil.rmtree(bench.project.store / "pictures")
    preview = next(bench.project.path.rglob("portrait_v1.*.jpeg"), None) or next(
        path for path in bench.project.path.rglob("portrait_v1.*") if path.suffix != ".safetensors"
    )
    preview.unlink()
    bench.advised("synapse sync", "bundle", out, code=0)
    bench("sync")
    assert "warning" not in bench("bundle", out).err


@helps("store: synapse bundle")
def _(bench: Bench) -> None:
    bench.project.manifest(ONE)
    bench("sync")
    with space(lambda: RESERVE):
        bench.advised("synapse bundle - | ssh HOST synapse unbundle -", "bundle", "one.tar", code=9)
    command = [sys.executable, "-m", "synapse_sync", "-C", str(bench.project.path)]
    with subprocess.Popen([*command, "bundle", "-"], stdout=subprocess.PIPE) as sender:
        subprocess.run([*command, "unbundle", "-", "new"], stdin=sender.stdout, check=True)


@helps("cli: synapse import --shard")
def _(bench: Bench) -> None:
    folder = bench.project.path / "ComfyUI/models/loras"
    folder.mkdir(parents=True)
    (folder / "mine.safetensors").write_bytes(safetensors_bytes("mine"))
    bench.project.manifest('[targets.ui]\nlayout = "comfyui"\nroot = "ComfyUI"\n')
    for part in ("1/2", "2/2"):
        bench.advised("synapse import", "import", "ComfyUI", "--offline", "--shard", part, code=0)
    bench("import", "ComfyUI", "--offline")
    assert [model["name"] for model in bench.project.locked()] == ["mine"]


# -- the doctor -------------------------------------------------------------------------------------


def diagnosed(bench: Bench, advice: str, code: int = 0) -> str:
    """Run the doctor, which must name the advice; returns what it says."""
    said = bench("doctor", code=code).out
    assert f"`{advice}" in said, said
    return said


@helps("engine: synapse status", "engine: synapse login")
def _(bench: Bench) -> None:
    del os.environ["CIVITAI_API_KEY"]
    bench.project.manifest(ONE)
    diagnosed(bench, "synapse status")
    assert "one" in bench("status").out
    site = re.search(r"`synapse login (civitai\S*)`", diagnosed(bench, "synapse login civitai"))
    assert site is not None
    bench.log_in(site[1], bench.project.hub.civitai_token)
    assert "civitai.com: newcomer" in bench("doctor").out


@helps("engine: synapse store forget")
def _(bench: Bench) -> None:
    """A project whose directory was deleted keeps files in the store."""
    bench.project.manifest(ONE)
    bench("sync")
    (note,) = (bench.project.store / "projects").glob("*.json")
    here = str(bench.project.path)
    note.write_text(note.read_text("utf-8").replace(here, f"{here}-gone"), "utf-8")
    shutil.rmtree(here)
    bench.project.path.mkdir()
    command = re.search(r"`synapse (store forget \S+)`", bench("doctor").out.replace("\n", ""))
    assert command is not None
    bench(*command[1].split())
    assert "is gone" not in bench("doctor").out


@helps("engine: synapse store gc")
def _(bench: Bench) -> None:
    bench.project.manifest(TWO)
    bench("sync")
    bench.project.manifest(TWO.replace(ONE, "[models]\n"))
    bench("sync")
    fill_the_disk(bench)
    diagnosed(bench, "synapse store gc -n")
    assert "to drop" in bench("store", "gc", "-n").err
    bench("store", "gc", "--yes")
    assert len(bench.project.blobs()) == 1


@helps("engine: synapse doctor --without", "cli: synapse lock synapse sync --heal")
def _(bench: Bench) -> None:
    bench.project.manifest(ONE)
    bench("lock")
    bench.project.hub.faults.add("/", Fault(status=503, origin="civitai"))
    diagnosed(bench, "synapse doctor --without civitai.com", code=5)
    assert "`synapse sync`" in bench("doctor", "--without", "civitai.com", code=4).err
    bench.project.hub.faults.clear()
    bench("sync")
    bench("doctor", "--without", "civitai.com")


@helps("engine: synapse store add")
def _(bench: Bench) -> None:
    """A target on a volume without a store, where links do not work."""
    bench.stack.enter_context(placing_by("symlink", refusing(errno.EOPNOTSUPP)))
    with another_device(bench.project.path) as volume:
        bench.project.manifest(f'[targets.t]\nroot = "{volume / "ui"}"\n{ONE}')
        links.way_there.cache_clear()
        diagnosed(bench, f"synapse store add {volume / 'synapse-store'}")
        bench("store", "add", str(volume / "synapse-store"))
        assert "placed by hardlink" in bench("doctor").out


@helps(
    "cli: synapse remove synapse store gc synapse sync --now", "cli: synapse store gc --now",
    "cli: synapse store gc --irreplaceable --now", "cli: synapse status --all",
)  # fmt: skip
def _(bench: Bench) -> None:
    bench.project.manifest(TWO)
    bench("sync")
    for number in range(7):
        (bench.project.path / f"models/checkpoints/{number}.safetensors").write_bytes(
            safetensors_bytes(str(number))
        )
    said = bench("list", "--sizes").out
    assert "`synapse remove NAME`, then `synapse sync` and `synapse store gc --now`" in said
    assert "`synapse status --all` lists them" in said and "6.safetensors" in bench("status", "--all").out
    bench("remove", "two")
    bench("sync")
    assert "`synapse store gc --now` drops them" in bench("list", "--sizes").out
    bench("store", "gc", "--now", "--yes")
    assert len(bench.project.blobs()) == 1
    (bench.project.path / "mine.safetensors").write_bytes(safetensors_bytes("mine"))
    bench("add", "./mine.safetensors", "--type", "lora")
    bench("sync")
    bench("remove", "mine")
    bench("sync")
    (bench.project.path / "mine.safetensors").unlink()
    assert "`synapse store gc --now --irreplaceable`" in bench("list", "--sizes").out
    bench("store", "gc", "--now", "--irreplaceable", "--yes")
    assert len(bench.project.blobs()) == 1


@helps("cli: synapse sync --link-mode", "cli: synapse import --move", "cli: synapse list --json --sizes")
def _(bench: Bench) -> None:
    bench.project.manifest(TWO)
    bench("sync", "--link-mode", "copy")
    assert "`synapse sync --link-mode symlink`" in bench("list", "--sizes").out
    assert len(bench("list", "--sizes", "--json").json["deletable"]["duplicates"]) == 2
    bench("sync", "--link-mode", "symlink")
    assert "duplicates" not in bench("list", "--sizes").out
    # The other two are tested, each in its state, in `tests/engine/test_disk_use.py`.


@helps("cli: synapse store gc --now")
def _(bench: Bench) -> None:
    bench.project.manifest(TWO)
    bench("sync")
    bench.project.manifest(ONE)
    bench.advised("synapse store gc --now", "sync", code=0)
    bench("store", "gc", "--now", "--yes")
    assert len(bench.project.blobs()) == 1


# -- detach --------------------------------------------------------------------------------------------


@helps("engine: synapse sync")
def _(bench: Bench) -> None:
    """A link leads to nothing."""
    bench.project.manifest(ONE)
    bench("sync", "--link-mode", "symlink")
    (link,) = (path for path in bench.project.path.rglob("*") if path.is_symlink())
    link.resolve().chmod(0o600)
    link.resolve().unlink()
    bench.advised("synapse sync", "detach", code=9)
    bench("sync", "--link-mode", "symlink")
    bench("detach")
    assert not link.is_symlink()


@helps("engine: synapse verify --repair")
def _(bench: Bench) -> None:
    """The bytes behind a hard link changed, and its stat does not show it."""
    bench.project.manifest(ONE)
    bench("sync", "--link-mode", "hardlink")
    (place,) = bench.project.path.rglob("*.safetensors")
    before = place.stat()
    place.chmod(0o600)
    place.write_bytes(b"x" * before.st_size)
    os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))
    bench.advised("synapse verify --repair", "detach", "--copy", code=6)
    bench("verify", "--repair", code=None)
    bench("detach", "--copy")


@helps("engine: --target")
def _(bench: Bench) -> None:
    """There is no room for all copies at once."""
    bench.project.manifest(f'[targets.a]\nroot = "a"\n[targets.b]\nroot = "b"\n{ONE}')
    bench("sync", "--link-mode", "symlink")
    with free_space(RESERVE + 500_000):
        bench.advised("--target", "detach", code=9)
        bench("detach", "--target", "a")
        bench("detach", "--target", "b")
