"""Without consent, no generated manifest, lockfile, receipt, journal or answer of a site reaches outside."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import world
from cases import case
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from world import Project

from synapse_sync.core.manifest.read import parse_manifest
from synapse_sync.demo import catalogue
from synapse_sync.demo.civitai.things import File, Model, Version
from synapse_sync.demo.weights import safetensors_bytes
from synapse_sync.errors import SynapseError
from synapse_sync.store.project_note import project_key

#: Files of the user outside of the project, and in it: no sync has placed any of them.
OUTSIDE = {
    "home/.ssh/id_rsa": b"private",
    "home/.ssh/authorized_keys": b"",
    "home/.zshenv": b"PATH=1\n",
    "home/bin/tool": b"#!/bin/sh\n",
    "home/config.toml": b"",
    "taken/models/loras/theirs.safetensors": safetensors_bytes("theirs"),
    "taken/tool": b"",
}
INSIDE = {
    ".git/config": b"[core]\n",
    "ComfyUI/main.py": b"",
    "ComfyUI/models/loras/notes.dat": b"notes",
    "ComfyUI/models/loras/empty.dat": b"",
    "tool": b"tool",
    "config": b"[core]\n",
}
ADOPTABLE = {"ComfyUI/models/loras/mine.safetensors": safetensors_bytes("mine")}
OWN = {"own.safetensors": safetensors_bytes("own"), "notes.txt": b"notes", "nothing": b""}
DIGESTS = sorted(
    {hashlib.sha256(data).hexdigest() for data in (OUTSIDE | INSIDE | ADOPTABLE | OWN).values()} | {"ab" * 32}
)
#: New directories outside are never asked for with the layout of a UI: `../fresh` is the only one here.
ROOTS = [
    ".", "ComfyUI", "ComfyUI", "../fresh", "../taken", "../home", "~", "~/.ssh", "~/bin", "/", "..",
    ".git", ".git/hooks", ".synapse", "../store", "link", "../fresh/.git", "ComfyUI/../../taken",
]  # fmt: skip
REMOTE = [f"civitai:{catalogue.EYES}", f"civitai:{catalogue.DETAIL}"]
LOCAL = [
    "./own.safetensors", "./notes.txt", "./nothing", "~/.ssh/id_rsa", "../home/.ssh/id_rsa",
    "../taken/models/loras/theirs.safetensors", "./link/tool", "./.git/config",
]  # fmt: skip
WITHIN = [
    "{files}/a.safetensors", "http://127.0.0.1:{port}/a.dat", "http://[::1]:{port}/a", "http://0x7f.1:{port}/a",
    "https://nas.local/a.safetensors", "https://10.1.2.3/a.dat", "http://169.254.169.254/latest", "https://nas/a",
]  # fmt: skip
NAMES = [
    "mine.safetensors", "notes.dat", "empty.dat", "tool", "config", "id_rsa", "authorized_keys", ".zshenv",
    "../tool", "main.py", "theirs.safetensors",
]  # fmt: skip
TYPES = ["lora", "vae", "checkpoint", "embedding"]

places = st.sampled_from(REMOTE) | st.sampled_from(LOCAL) | st.sampled_from(WITHIN)
models = st.fixed_dictionaries(
    {"source": places, "type": st.sampled_from(TYPES)},
    optional={
        "filename": st.sampled_from(NAMES),
        "subfolder": st.sampled_from(["sub", "sub/a", "more", "..", ".config"]),
        "sha256": st.sampled_from(DIGESTS),
        "cover": st.sampled_from(WITHIN),
    },
)
targets = st.fixed_dictionaries(
    {
        "root": st.sampled_from(["ComfyUI", ".", "../fresh"]) | st.sampled_from(ROOTS),
        "layout": st.sampled_from(["comfyui", "comfyui", "flat", "forge"]),
    },
    optional={"link-mode": st.sampled_from(["copy", "hardlink", "symlink"])},
)
manifests = st.fixed_dictionaries(
    {
        "targets": st.dictionaries(st.sampled_from(["a", "b"]), targets, min_size=1, max_size=1)
        | st.dictionaries(st.sampled_from(["a", "b"]), targets, max_size=2),
        "models": st.dictionaries(st.sampled_from(["one", "two"]), models, max_size=1),
    }
)
artifacts = st.fixed_dictionaries(
    {
        "filename": st.sampled_from(NAMES),
        "sha256": st.sampled_from(DIGESTS),
        "size": st.sampled_from([0, 5, 7, 2246]),
        "url": places,
    }
)
#: For a model of the manifest: what its lockfile says; None for a model that it does not have.
locks = st.dictionaries(st.sampled_from(["one", "two"]), artifacts, max_size=2)
entries = st.fixed_dictionaries(
    {
        "path": st.sampled_from(
            [*(name.removeprefix("ComfyUI/") for name in INSIDE | ADOPTABLE), "tool", "../tool"]
        ),
        "how": st.sampled_from(["copy", "hardlink", "symlink", "adopted", "written", "merged"]),
        "inode": st.integers(0, 1 << 40),
        "time": st.booleans(),
        "right": st.booleans(),
    }
)
receipts = st.dictionaries(st.sampled_from(["a", "b"]), st.lists(entries, max_size=4), max_size=2)
#: The journal of a clone: lines as synapse writes them, damaged ones, none, or no plain file at all.
journals = st.one_of(
    st.none(),
    st.sampled_from(["link", "pipe", "directory"]),
    st.lists(
        st.fixed_dictionaries(
            {
                "verb": st.sampled_from(["place", "prune", "aside", "adopt", "write"]),
                "path": st.sampled_from([*(name.removeprefix("ComfyUI/") for name in INSIDE), "../tool", "/x"]),
                "sha256": st.sampled_from(DIGESTS), "why": st.text(max_size=5), "command": st.just("sync"),
            }
        )
        | st.binary(max_size=20).map(lambda data: data.decode("latin-1")),
        max_size=4,
    ),
)  # fmt: skip
commands = st.sampled_from(["sync", "sync", "sync --yes", "sync --frozen", "sync --force --yes"])


def _toml(manifest: dict[str, Any]) -> str:
    lines: list[str] = []
    for table, values in manifest.items():
        for name, keys in values.items():
            lines += [f"[{table}.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
    return "\n".join(lines) + "\n"


def _lock(manifest: str, lock: dict[str, dict[str, Any]]) -> str:
    """A lockfile that fits the manifest's requirements, with these artifacts."""
    try:
        texts = {entry.name: entry.text for entry in parse_manifest(manifest).entries()}
    except SynapseError:
        texts = {}
    lines = ["version = 1"]
    for name, artifact in sorted(lock.items()):
        model = {"name": name, "requirement": texts.get(name, "./own.safetensors"), "title": name, "type": "lora"}
        model["reference"] = artifact["url"]
        lines += ["[[model]]", *(f"{key} = {json.dumps(value)}" for key, value in model.items())]
        keys = {**artifact, "format": "other", "trust": "first-use"}
        lines += ["[[model.artifact]]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
    return "\n".join(lines) + "\n"


def _forge(studio: Path, root: str, target: str, listed: list[dict[str, Any]]) -> None:
    """A receipt as a clone may bring it: digests, sizes, even times are right, but no inode can be."""
    base = studio / root
    if not base.resolve().is_relative_to(studio):
        return
    found: dict[str, dict[str, Any]] = {}
    for entry in listed:
        place = base / entry["path"]
        looked = place.stat() if place.is_file() else None
        if looked is not None and looked.st_ino == entry["inode"]:
            continue
        right = looked is not None and entry["right"]
        found[entry["path"]] = {
            "path": entry["path"],
            "sha256": hashlib.sha256(place.read_bytes()).hexdigest() if right else DIGESTS[0],
            "size": looked.st_size if looked is not None else 0,
            "how": entry["how"],
            "mtime_ns": looked.st_mtime_ns if looked is not None and entry["time"] else 1,
            "inode": entry["inode"],
            "model": "one",
            "link": None,
            "made": None,
        }
    path = base / f".synapse/receipt-{project_key(studio)}-{target}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    data = {"version": 1, "target": target, "complete": None, "entries": list(found.values())}
    path.write_text(json.dumps(data), "utf-8")


def _write_journal(studio: Path, root: str, journal: Any) -> None:
    """A journal as a clone may bring it; as a link it leads to a file of the user."""
    base = studio / root
    if journal is None or not base.resolve().is_relative_to(studio):
        return
    path = base / ".synapse/journal.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    if journal == "link":
        path.symlink_to(studio.parent / "home/.zshenv")
    elif journal == "pipe":
        os.mkfifo(path)
    elif journal == "directory":
        path.mkdir()
    else:
        path.write_text("\n".join(map(json.dumps, journal)), "utf-8")


def _looks(base: Path) -> dict[str, tuple[Any, ...]]:
    """Everything outside of the project, of the store and of the new directory that a manifest may make."""
    found: dict[str, tuple[Any, ...]] = {}
    for path in sorted(base.rglob("*")):
        if path.relative_to(base).parts[0] in ("studio", "store", "fresh"):
            continue
        look = path.lstat()
        data = path.read_bytes() if stat.S_ISREG(look.st_mode) else b""
        found[str(path)] = (look.st_ino, look.st_mtime_ns, look.st_mode, look.st_nlink, data)
    return found


@contextmanager
def _connections() -> Iterator[list[object]]:
    """The hosts that are looked up, and the places that are connected to, meanwhile."""
    seen: list[object] = []

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.connect" and isinstance(arguments[1], tuple):
            seen.append(arguments[1][:2])
        elif event == "socket.getaddrinfo":
            seen.append((arguments[0], int(arguments[1] or 0)))

    world._listeners.append(note)
    try:
        yield seen
    finally:
        world._listeners.remove(note)


def _clone(base: Path) -> Path:
    """A fresh home, neighbours, and a clone with files of its user."""
    for name, data in [*OUTSIDE.items(), *((f"studio/{n}", d) for n, d in (INSIDE | ADOPTABLE | OWN).items())]:
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (base / "studio/.git/hooks").mkdir()
    # git's index cannot be read: each link counts as the repository's word.
    (base / "studio/.git/index").write_bytes(b"DIRC damaged")
    (base / "studio/link").symlink_to("../taken")
    os.environ |= {
        "HOME": str(base / "home"),
        "SYNAPSE_STORE": str(base / "store"),
        "SYNAPSE_CONFIG": str(base / "home/config.toml"),
        "HF_HOME": str(base / "store/huggingface"),
    }
    return base / "studio"


def _run(project: Project, studio: Path, words: str) -> int:
    """Run a command without consent; check that nothing outside changed, and that no request went inside."""
    hub, base = project.hub, studio.parent
    before, theirs = (
        _looks(base),
        {name: (studio / name).lstat().st_ino for name in INSIDE if (studio / name).exists()},
    )
    hub.clear_log()
    here = Project(path=studio, store=base / "store", hub=hub, _run=project._run)
    with _connections() as seen:
        code = here(*words.split(), code=None).code
    assert _looks(base) == before
    doors = {urlsplit(url).port for url in (hub.civitai_url, hub.huggingface.url, hub.storage.url)}
    assert {place for place in seen if not isinstance(place, tuple) or place[1] not in doors} == set()
    assert hub.requests("files") == []
    for name, inode in theirs.items():
        place = studio / name
        if "--force" not in words:
            assert place.lstat().st_ino == inode and place.read_bytes() == INSIDE[name], name
        else:  # it may move a file aside, and deletes none
            there = [path for path in place.parent.iterdir() if path.lstat().st_ino == inode]
            assert [path.read_bytes() for path in there] == [INSIDE[name]], name
    return code


@case(188, 189, 190)
def test_no_generated_clone_reaches_outside(project: Project, tmp_path: Path) -> None:
    """Two syncs of each clone, the second with another manifest: what the first adopted is still the user's."""
    del os.environ["SYNAPSE_TRUST_HOSTS"]
    files = project.hub.files.url
    project.hub.files.put("a.safetensors", safetensors_bytes("a"))
    count = iter(range(1_000_000))

    def words_of(value: Any) -> Any:
        return json.loads(json.dumps(value).replace("{files}", files).replace("{port}", files.rpartition(":")[2]))

    def attempt(
        first: dict[str, Any], second: dict[str, Any], lock: Any, listed: Any, command: str, journal: Any = None
    ) -> tuple[int, int, Path]:
        studio = _clone(tmp_path / str(next(count)))
        first, second, lock = words_of(first), words_of(second), words_of(lock)
        mine = studio / next(iter(ADOPTABLE))
        was = mine.stat().st_ino
        (studio / "synapse.toml").write_text(_toml(first), "utf-8")
        if lock:
            (studio / "synapse.lock").write_text(_lock(_toml(first), lock), "utf-8")
        for target, each in listed.items():
            if target in first["targets"]:
                _forge(studio, first["targets"][target]["root"], target, each)
        for keys in [*first["targets"].values()][:1]:
            _write_journal(studio, keys["root"], journal)
        one = _run(project, studio, command)
        if "--force" not in command:
            assert mine.stat().st_ino == was and mine.read_bytes() == ADOPTABLE[next(iter(ADOPTABLE))]
        (studio / "synapse.toml").write_text(_toml(second), "utf-8")
        return one, _run(project, studio, command), studio.parent

    # What is never asked for works here, and the rest is refused: so the property is not true of nothing.
    good = {"targets": {"a": {"root": "../fresh", "layout": "comfyui"}}, "models": {"one": {"source": REMOTE[0]}}}
    bad = {"targets": {"a": {"root": "~/bin", "layout": "flat"}}, "models": good["models"]}
    one, two, base = attempt(good, bad, {}, {}, "sync")
    assert (one, two) == (0, 2) and [*(base / "fresh").rglob("*.safetensors")]

    nothing = {"targets": {"a": {"root": "../taken", "layout": "comfyui"}}, "models": {}}
    assert attempt(nothing, nothing, {}, {}, "sync")[0] == 2  # a receipt is a file, too

    # A file of the tree promises the bytes of a locked model, and then is not fit for it: a download is next.
    notes = hashlib.sha256(INSIDE["ComfyUI/models/loras/notes.dat"]).hexdigest()
    for listed in (
        {},
        {"a": [{"path": "models/loras/notes.dat", "how": "copy", "inode": 1, "time": True, "right": True}]},
    ):
        model = {"source": "https://nas/a", "type": "lora", "filename": "mine.safetensors"}
        wants = {"targets": {"a": {"root": "ComfyUI", "layout": "comfyui"}}, "models": {"one": model}}
        locked = {"filename": "mine.safetensors", "sha256": notes, "size": 5, "url": "https://nas/a"}
        assert attempt(wants, wants, {"one": locked}, listed, "sync --force --yes")[:2] == (2, 2)

    @given(first=manifests, second=manifests, lock=locks, listed=receipts, command=commands, journal=journals)
    @settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def holds(first: Any, second: Any, lock: Any, listed: Any, command: str, journal: Any) -> None:
        attempt(first, second, lock, listed, command, journal)

    holds()


PICKLE, SCRIPT, GOOD = b"cos\nsystem\n(S'true'\ntR.", b"#!/bin/sh\n", safetensors_bytes("good")
FOLDERS = ["..", "unet", ".git", "custom_nodes", "web", "models", "C:", "", "con", "a\\b"]
FILES = ["config.json", "m.safetensors", "run.sh", "a.PY", ".zshenv", "m.pkl", "hook", "m.pth", "x.so.1"]
SAID = ["a.safetensors", "../../tool", "node.py", "a.pkl", ".zshenv", "/etc/x", "a\x1b[2J.bin"]
#: What a site may say: names of files, each with one of these contents. (The hub is inside itself, and such a host
#: may redirect to another one inside; `net/test_credentials.py` has the redirects of public hosts.)
answers = st.fixed_dictionaries(
    {
        "files": st.dictionaries(
            st.builds(
                "/".join,
                st.lists(
                    st.sampled_from(FOLDERS),
                    max_size=2,
                ).flatmap(
                    lambda folders: st.sampled_from(
                        FILES
                    ).map(lambda name: [*folders, name])
                ),
            ),
            st.sampled_from([PICKLE, SCRIPT, GOOD, b"{}", b"", b"MZ" + bytes(99)]),
            max_size=5,
        ),
        "name": st.sampled_from(SAID),
        "content": st.sampled_from([PICKLE, SCRIPT, GOOD]),
    }
)  # fmt: skip


@case(188, 190, 194)
def test_no_generated_answer_reaches_outside(project: Project, tmp_path: Path) -> None:
    """Names and contents that sites offer: no path outside, no request inside, no code and no pickle in a tree."""
    del os.environ["SYNAPSE_TRUST_HOSTS"]
    os.environ["SYNAPSE_RETRY_DELAY"] = "0"
    hub, count = project.hub, iter(range(1_000_000))
    models = '[models]\np = {source = "hf://evil/pipe", type = "diffusers"}\n'
    models += 'c = {source = "civitai:91", type = "lora"}\n'

    def attempt(answer: dict[str, Any], layout: str) -> dict[str, bytes]:
        studio = _clone(tmp_path / str(next(count)))
        hub.huggingface.repos.pop("evil/pipe", None)
        hub.huggingface.add_repo("evil/pipe", answer["files"])
        file = File(id=911, name=answer["name"], content=answer["content"], primary=True)
        hub.civitai.add(Model(id=91, name="c", versions=(Version(id=910, name="1", files=(file,)),), type="LORA"))
        (studio / "synapse.toml").write_text(f'[targets.a]\nlayout = "{layout}"\nroot = "tree"\n{models}', "utf-8")
        for words in ("sync --only c", "sync --yes"):
            _run(project, studio, words)
        tree = {
            str(path.relative_to(studio / "tree")): path.read_bytes()
            for path in (studio / "tree").rglob("*")
            if path.is_file() and ".synapse" not in path.parts
        }
        for name, data in tree.items():
            assert not name.casefold().endswith((".py", ".sh", ".pkl", ".so.1")), name
            # A repository's own folder (`p`, wherever the layout has it) may hold what the repository holds.
            parts = name.split("/")
            outside = parts[: parts.index("p")] if "p" in parts else parts
            assert not any(part.startswith(".") for part in outside), name
            assert data not in (PICKLE, SCRIPT) and not data.startswith(b"MZ"), name
        return tree

    # The rest of an answer is used, so the property is not true of nothing.
    good = {"unet/m.safetensors": GOOD, "config.json": b"{}", "run.sh": SCRIPT}
    answer = {"files": good, "name": "a.safetensors", "content": GOOD}
    assert len(attempt(answer, "comfyui")) == 3

    @given(answer=answers, layout=st.sampled_from(["comfyui", "flat"]))
    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def holds(answer: Any, layout: str) -> None:
        attempt(answer, layout)

    holds()
