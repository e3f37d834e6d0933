"""Cases 108 to 119: names, lockfiles and manifests that were written by somebody who means harm."""

from __future__ import annotations

import hashlib
import os
import random
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from cases import case
from hypothesis import given
from hypothesis import strategies as st
from invariants import differences, snapshot
from parsers import READERS, mutants
from stage import Stage
from world import surroundings

from synapse_sync.core.lockfile import parse_lockfile
from synapse_sync.core.lockfile_text import format_lockfile
from synapse_sync.core.manifest.edit import add_model
from synapse_sync.core.manifest.read import parse_manifest
from synapse_sync.core.names import SafePath, clash_key, safe_filename, safe_path
from synapse_sync.core.unseen import is_plain_line
from synapse_sync.demo import catalogue
from synapse_sync.demo.civitai.things import File, Image, Model, Version
from synapse_sync.demo.weights import png_bytes, safetensors_bytes
from synapse_sync.errors import InputError, SynapseError, UnsafeName

REMARKS = {
    110: "the sha256 decides alone; a blake3 beside it is a note for hashing again, not a promise",
    108: "what a site calls a file is made safe, what a manifest, a lockfile or a repository says is refused",
    111: "a lockfile is trusted like the code beside it in git: another host with another hash is what a mirror or "
    "an upgrade looks like, too; no token goes there, and formats are judged anew",
    114: "32 million characters and 200 parts of a name are the limits",
}
NOT_APPLICABLE = {118: "there is no include, and no variable of the environment is put into a manifest"}
EYES = f"civitai:{catalogue.EYES}"
CONTENT = safetensors_bytes("content", size=5_000)
UNSAFE = [
    "../x.safetensors", "a/../../x", "/etc/x", "//x", "C:x", "C:\\x", "\\\\server\\share\\x", "\\\\?\\C:\\x",
    "..\\x", "a\\..\\b", "a\0b", "a\nb", "x:ads", "NUL", "aux.c", "COM1.txt", "com¹", "x.", "x ", " x", "a\u202eb",
    "a\u200db", ".git/config", ".GIT/hooks/x", ".synapse/receipt-x.json", ".g\u200cit/config", "a/./b", "a//b", "",
    ".", "..", "e\u0301", "n" * 300, "．．/x", "a/．．/b", "con.safetensors", "x\x1b[2J", "lpt9",
]  # fmt: skip
#: Odd, but names like any other.
HARMLESS = ["-rf", "~", "$HOME", "%2e%2e%2fx", "a..%5cx", "`id`", "$(id)", ";id", "&", "'", "GIT~1"]


@pytest.fixture
def eyes(stage: Stage) -> str:
    """A synced project with one model; the value is its lockfile."""
    stage.manifest(f'[models.m]\nsource = "{EYES}"\n')
    stage("sync")
    return stage.lock_text


def damage(stage: Stage, text: str) -> None:
    """Put this in the place of the lockfile."""
    stage.excuse("I3", reason="the lockfile is damaged on purpose")
    (stage.path / "synapse.lock").write_text(text, encoding="utf-8")


def toml(text: str) -> str:
    """A TOML string of any text."""
    return '"' + "".join(f"\\U{ord(char):08x}" for char in text) + '"'


# -- names -------------------------------------------------------------------------------------------


@case(108)
@pytest.mark.parametrize("key", ["filename", "subfolder"])
def test_unsafe_names_in_a_manifest(stage: Stage, eyes: str, key: str) -> None:
    before = stage.tree()
    for name in UNSAFE:
        if name in ("", "e\u0301"):
            continue  # nothing was said; a decomposed name is composed
        stage.manifest(f'[models.m]\nsource = "{EYES}"\n{key} = {toml(name)}\n')
        said = stage("status", code=2)
        assert not [char for char in said.err if unicodedata.category(char) in ("Cc", "Cf") and char != "\n"]
    stage.manifest("".join(f'[models.{toml(name)}]\nsource = "{EYES}"\n' for name in UNSAFE))
    assert stage("sync", code=2).err.count("models.") >= len(UNSAFE) - 2
    assert stage.tree() == before
    stage.manifest(f'[models.m]\nsource = "{EYES}"\n')


@case(108)
def test_unsafe_names_in_a_lockfile(stage: Stage, eyes: str) -> None:
    before = stage.tree()
    for name in UNSAFE:
        text = eyes.replace('filename = "clear-eyes.safetensors"', f"filename = {toml(name)}")
        assert text != eyes
        damage(stage, text)
        stage("status", code=2)
    stage("sync", "--force", "--yes", code=2)
    assert stage.tree() == before
    (stage.path / "synapse.lock").write_text(eyes)


@case(108, 109)
def test_unsafe_names_from_a_site(stage: Stage) -> None:
    """Each becomes one safe name in the folder of its type; words about the model become no path at all."""
    models = []
    for number, name in enumerate(UNSAFE + HARMLESS):
        # The hub makes addresses of names, in which dots between slashes would mean something.
        plain = "".join(char if char.isprintable() else "_" for char in name).replace("/", "\\")
        plain = f"{plain}\\" if plain in (".", "..") else plain
        file = File(id=70_000 + number, name=f"{plain}", content=safetensors_bytes(str(number)), primary=True)
        version = Version(id=71_000 + number, name=name, files=(file,), base_model="../../base")
        stage.hub.civitai.add(Model(id=72_000 + number, name="../../" + name, type="LORA", versions=(version,)))
        models.append(f'm{number} = {{ source = "civitai:{72_000 + number}", subfolder = "s{number}" }}\n')
    stage.manifest("[models]\n" + "".join(models))
    stage("sync")
    tree = stage.tree()
    assert len(tree) == len(models)
    for path in tree:
        parts = path.split("/")
        assert parts[:2] == ["models", "loras"] and len(parts) == 4, path
        SafePath(path)


@case(108)
@pytest.mark.parametrize("name", ["../evil", "..\\evil", "/evil", "C:evil", "a/../../evil", "%2e%2e/evil"])
def test_unsafe_names_in_a_header(stage: Stage, name: str) -> None:
    """Content-Disposition names nothing."""
    url = stage.hub.files.put("good.safetensors", CONTENT, filename=f"{name}.safetensors")
    stage.manifest(f'[models.m]\nsource = "{url}"\ntype = "lora"\n')
    stage("sync")
    assert stage.tree() == {"models/loras/good.safetensors": CONTENT}


@case(108)
def test_unsafe_names_in_a_repository(stage: Stage) -> None:
    before = snapshot(stage.path.parent, content=False)
    for number, name in enumerate(
        ["../x.bin", "a/../../x.bin", "/etc/x.bin", "a\\..\\b.bin", "NUL", ".git/config", "a/./b.json"]
    ):
        stage.hub.huggingface.add_repo(f"evil/r{number}", {name: CONTENT, "ok.safetensors": CONTENT})
        stage.manifest(f'[models.m]\nsource = "hf://evil/r{number}"\ntype = "lora"\n')
        said = stage("sync", code=None)
        assert said.code in (0, 2), said.err
        assert all(path.startswith("models/") for path in stage.tree()), stage.tree().keys()
        (stage.path / "synapse.lock").unlink(missing_ok=True)
    assert not [
        path for path in differences(before, snapshot(stage.path.parent, content=False)) if "studio" not in path
    ]
    stage.manifest(f'[models.m]\nsource = "{EYES}"\n')


@case(108)
def test_no_name_escapes() -> None:
    """A hundred thousand names that are nearly unsafe; `fuzz.py names` tries a million and more."""
    rng, root = random.Random(1), Path("/r/t")
    pieces = [
        "..",
        ".",
        "/",
        "\\",
        "a",
        "C:",
        "\0",
        "．",
        "／",
        "∕",
        "\u202e",
        " ",
        "~",
        "%2e",
        "nul",
        "é",
        "e\u0301",
        "\ud800",
        "con",
        ".",
    ]
    names = {"".join(rng.choices(pieces, k=rng.randrange(1, 7))) for _ in range(100_000)}  # half come again
    for text in names:
        name = safe_filename(text)
        assert SafePath(name).parts == (name,) and (root / name).parent == root
        try:
            path = safe_path(text).under(root)
        except UnsafeName:
            continue
        assert os.path.normpath(path) == str(path) and path.is_relative_to(root) and path != root


@case(105, 108)
def test_names_that_some_file_system_takes_for_one(stage: Stage) -> None:
    """Clashes are found when locking, on every system, in one repository as well as between models."""
    stage.hub.huggingface.add_repo("evil/twins", {"A.safetensors": CONTENT, "a.safetensors": CONTENT[:-1]})
    stage.manifest('[models.m]\nsource = "hf://evil/twins"\ntype = "lora"\n')
    said = stage("sync", code=2).err
    assert "A.safetensors" in said or "a.safetensors" in said
    assert stage.tree() == {}
    stage.manifest(f'[models.m]\nsource = "{EYES}"\n')


@case(105)
@given(st.text(min_size=1, max_size=20))
def test_twins_have_one_key(text: str) -> None:
    forms = {unicodedata.normalize(form, text) for form in ("NFC", "NFD")} | {text.upper().lower(), text.lower()}
    assert len({clash_key(form) for form in forms | {clash_key(text)} if form.casefold() == text.casefold()}) <= 1
    assert clash_key(clash_key(text)) == clash_key(text)


# -- lockfiles ---------------------------------------------------------------------------------------


@case(110)
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("sha256 = ", "sha257 = "),
        ('sha256 = "', 'sha256 = "00'),
        ('sha256 = "', 'sha256 = "sha256:'),
        ('sha256 = "', 'md5 = "d41d8cd98f00b204e9800998ecf8427e"\nno = "'),
        ("size = ", "size = -"),
        ("size = ", "size = 0."),
        ("size = ", "sice = "),
        ("version = 1", "version = 2"),
        ("version = 1", "version = true"),
        ("version = 1", ""),
    ],
)
def test_a_lockfile_with_wrong_digests(stage: Stage, eyes: str, old: str, new: str) -> None:
    assert old in eyes
    damage(stage, eyes.replace(old, new))
    before = stage.tree()
    for words in (["sync"], ["sync", "--frozen", "--offline"], ["status"], ["verify"]):
        stage(*words, code=2)
    assert stage.tree() == before
    (stage.path / "synapse.lock").write_text(eyes)


def _digest(text: str) -> str:
    return next(line for line in text.split("\n") if line.startswith("sha256 = ")).split('"')[1]


@case(111)
def test_a_lockfile_with_another_host_and_hash(stage: Stage, eyes: str) -> None:
    """An attack that a review has to see. What can be promised: no token goes there, no pickle comes from there."""
    evil = safetensors_bytes("evil", size=3_000)
    url = stage.hub.files.put("evil.safetensors", evil)
    lines = [line for line in eyes.split("\n") if not line.startswith("blake3")]
    text = "\n".join(lines).replace(_digest(eyes), hashlib.sha256(evil).hexdigest())
    text = "\n".join(f"size = {len(evil)}" if line.startswith("size") else line for line in text.split("\n"))
    old = next(line for line in text.split("\n") if line.startswith("url = "))
    (stage.path / "synapse.lock").write_text(text.replace(old, f'url = "{url}"'))
    stage("sync")
    asked = stage.hub.requests("files")
    assert asked and not [seen for seen in asked if "authorization" in seen.headers]


@case(112)
def test_a_lockfile_with_another_hash_only(stage: Stage, eyes: str) -> None:
    (stage.path / "synapse.lock").write_text(eyes.replace(_digest(eyes), "1" * 64))
    before = stage.tree()
    stage("sync", code=6)
    assert stage.tree() == before
    (stage.path / "synapse.lock").write_text(eyes)


@case(113)
def test_a_stale_lockfile_under_locked(stage: Stage, eyes: str) -> None:
    stage.manifest(f'[models.m]\nsource = "{EYES}"\n[models.n]\nsource = "civitai:{catalogue.SHARPEN}"\n')
    before = snapshot(stage.path)
    stage.hub.clear_log()
    for words in (["sync", "--locked"], ["sync", "--check"], ["lock", "--check"]):
        said = stage(*words, code=8)
        assert "n" in said.out + said.err
    after = snapshot(stage.path)
    assert [path for path in differences(before, after) if ".synapse" not in path] == []
    assert stage.hub.requests() == []


@case(114)
@pytest.mark.parametrize(
    ("harm", "line"),
    [
        (lambda text: text.replace("[[model]]", "<<<<<<< ours\n[[model]]", 1), True),
        (lambda text: text[: len(text) // 2], False),
        (lambda text: text + text.partition("\n\n")[2], False),
        (lambda text: text + "\0", True),
        (lambda text: text + "[" * 100_000, False),
        (lambda text: text + "x" * (33 << 20), False),
        (lambda text: text.replace("[[model]]", "[model]", 1), False),
        (lambda text: "", None),
    ],
    ids=["conflict", "cut", "doubled", "nul", "deep", "huge", "one-table", "empty"],
)
def test_a_lockfile_that_was_damaged(stage: Stage, eyes: str, harm: Any, line: bool | None) -> None:
    damage(stage, harm(eyes))
    before = stage.tree()
    said = stage("sync", "--locked", code=8 if line is None else 2)
    assert "synapse.lock" in said.err and ("line" in said.err or "synapse.lock:" in said.err or not line)
    assert stage.tree() == before
    (stage.path / "synapse.lock").write_text(eyes)


@case(114, 116)
@pytest.mark.parametrize("how", ["crlf", "bom", "both"])
def test_a_lockfile_from_a_windows_checkout(stage: Stage, eyes: str, how: str) -> None:
    data = eyes.encode()
    data = data.replace(b"\n", b"\r\n") if how != "bom" else data
    data = b"\xef\xbb\xbf" + data if how != "crlf" else data
    damage(stage, data.decode())
    (stage.path / "synapse.lock").write_bytes(data)
    stage("sync", "--locked")
    stage("lock", "--check")
    (stage.path / "synapse.lock").write_text(eyes)


@case(114)
def test_a_lockfile_of_many_models_is_read() -> None:
    block = (
        '[[model]]\nname = "m{0}"\nrequirement = "civitai:{1}"\nreference = "civitai:{1}@{1}"\n[[model.artifact]]\n'
        'filename = "m.safetensors"\nsize = 1\nurl = "civitai:{1}@{1}"\nsha256 = "{2}"\n'
    )
    text = "version = 1\n" + "".join(block.format(n, n + 1, f"{n:064x}") for n in range(3_000))
    assert len(parse_lockfile(text).models) == 3_000


@case(115)
@pytest.mark.parametrize(
    "text",
    [
        "a." * 20_000 + "b = 1\n", "[" + ".".join(["models"] * 5_000) + "]\n", "a = " + "[" * 50_000,
        "a = " + "9" * 10_000, "a = 9999-99-99", "a = " + "{b=" * 50_000, 'a = """' + "\\\n" * 50_000,
        "\n" * 100_000 + "x", "[models]\n" + "".join(f"m{n} = {n}\n" for n in range(3_000)),
        "".join(f"k{n} = 1\n" for n in range(3_000)),
    ],
    ids=range(10),
)  # fmt: skip
def test_toml_bombs(stage: Stage, text: str) -> None:
    stage.manifest(text)
    assert stage("lock", code=2).err
    stage.manifest("[models]\n")


@case(116)
def test_the_same_lockfile_on_every_machine(stage: Stage, eyes: str, tmp_path: Path) -> None:
    elsewhere = tmp_path / "Another Machine"
    elsewhere.mkdir()
    (elsewhere / "synapse.toml").write_bytes(f'[models.m]\r\nsource = "{EYES}"\r\n'.encode())
    with surroundings():
        os.environ["SYNAPSE_STORE"] = str(tmp_path / "another store")
        os.environ["LC_ALL"] = "C"
        os.environ["TZ"] = "Pacific/Auckland"
        result = stage._run(["lock", "-C", str(elsewhere)])
    assert result.code == 0
    assert (elsewhere / "synapse.lock").read_bytes() == eyes.encode()
    assert format_lockfile(parse_lockfile(eyes)) == eyes


@case(117)
@pytest.mark.parametrize("name", ["synapse.lock", "synapse.toml"])
def test_a_file_of_ours_that_is_a_link_elsewhere(stage: Stage, eyes: str, tmp_path: Path, name: str) -> None:
    """Nothing is written through a link to a file of another name."""
    target = tmp_path / "diary.txt"
    target.write_bytes((stage.path / name).read_bytes())
    (stage.path / name).unlink()
    (stage.path / name).symlink_to(target)
    before = target.read_bytes()
    said = stage("add", f"civitai:{catalogue.SHARPEN}", code=7)
    assert "symbolic link" in said.err
    assert target.read_bytes() == before
    (stage.path / name).unlink()
    (stage.path / name).write_bytes(before)
    stage.manifest(f'[models.m]\nsource = "{EYES}"\n')


@case(117)
def test_a_state_directory_that_is_a_link(stage: Stage, tmp_path: Path) -> None:
    treasure = tmp_path / "treasure"
    treasure.mkdir()
    (stage.path / ".synapse").symlink_to(treasure)
    stage.manifest(f'[models.m]\nsource = "{EYES}"\n')
    assert "symbolic link" in stage("sync", code=None).err
    assert list(treasure.iterdir()) == []
    (stage.path / ".synapse").unlink()


@case(119)
@given(st.text(max_size=30), st.text(max_size=30))
def test_whatever_we_write_into_a_manifest_is_read_again(one: str, two: str) -> None:
    value = {"source": "civitai:5", "groups": [one, two], "type": two}
    try:
        text = add_model("# a comment\n[models]\n", "m", value)
    except (SynapseError, ValueError):
        return
    if not is_plain_line(one + two):  # written as a string all the same, and refused by name
        with pytest.raises(SynapseError, match="invisible character"):
            parse_manifest(text)
        return
    (model,) = parse_manifest(text).models
    assert model.groups == (one, two) and model.type == two


@case(119)
def test_whatever_we_write_into_a_lockfile_is_read_again() -> None:
    reader = READERS["lockfile"]
    accepted = 0
    for _, data in zip(range(1_500), mutants(reader, seed=119), strict=False):
        try:
            lockfile = parse_lockfile(data.decode("utf-8", "replace"))
        except InputError:
            continue
        assert parse_lockfile(format_lockfile(lockfile)) == lockfile or "nan" in str(lockfile)
        accepted += 1
    assert accepted > 20


@case(119)
def test_words_of_a_site_cannot_leave_their_line(stage: Stage) -> None:
    words = 'x"\n[[model]]\nname = "evil"\r\n\u2028\x1b[2J\\'
    file = File(id=77_001, name="ok.safetensors", content=CONTENT, primary=True)
    image = Image(id=1, content=png_bytes("x"))
    version = Version(
        id=77_010, name=words, files=(file,), trained_words=(words,), base_model=words, images=(image,)
    )
    stage.hub.civitai.add(Model(id=77, name=words, versions=(version,)))
    stage.manifest('[models]\nit = "civitai:77"\n')
    stage("sync")
    assert [model.name for model in parse_lockfile(stage.lock_text).models] == ["it"]
    assert not [c for c in stage.lock_text if unicodedata.category(c) in ("Cc", "Zl", "Zp") and c != "\n"]
