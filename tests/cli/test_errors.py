"""Bad input and bad weather: the exit code, and a message that says what, where and what next."""

from __future__ import annotations

import os

import pytest
from stand_ins import breaking
from world import Project

from synapse_sync.cli.main import main
from synapse_sync.demo import catalogue
from synapse_sync.demo.exchange import Fault
from synapse_sync.demo.weights import safetensors_bytes

# -- the command line -------------------------------------------------------------------------------

USAGE = [
    (["stauts"], ["no such command `stauts`", "did you mean `status`?"]),
    (["zzzz"], ["no such command `zzzz`", "`synapse --help`"]),
    (["store", "siez"], ["siez", "did you mean `size`?"]),
    (["sync", "--lokced"], ["no such option", "--lokced", "did you mean `--locked`?"]),
    (["sync", "--link-mode", "soft"], ["--link-mode", "soft", "hardlink"]),
    (["sync", "--locked", "--frozen"], ["--locked cannot be combined with --frozen"]),
    (["sync", "more"], ["unexpected extra argument", "more"]),
    (["lock", "--exclude-newer", "2026-13-01"], ["--exclude-newer", "2026-13-01", "2026-01-31"]),
    (["lock", "--check", "--upgrade"], ["--check cannot be combined with --upgrade"]),
    (["completion"], ["Choose from: bash, zsh, fish, powershell"]),
    (["verify", "--only", "x"], ["no such option", "--only", "`synapse verify --help`"]),
    (["lock", "--up"], ["did you mean `--upgrade`?"]),
    (["show"], ["missing argument", "NAME", "`synapse show --help`"]),
    (["init", "--layout", "comfui"], ["unknown layout `comfui`", "did you mean `comfyui`?"]),
    (["demo", "--json"], ["no --json"]),
]


@pytest.mark.parametrize("words, parts", USAGE, ids=[" ".join(words) for words, _ in USAGE])
def test_wrong_usage_is_told_with_a_next_step(project: Project, words: list[str], parts: list[str]) -> None:
    said = project(*words, code=2)
    assert said.err.startswith("error: ")
    assert "  hint: " in said.err
    for part in parts:
        assert part in said.err


# -- references -------------------------------------------------------------------------------------

REFERENCES = [
    ("4384", 2, ["`4384` is not a reference", "`civitai:4384` (model)", "`civitai:@4384` (version)"]),
    ("xyz", 2, ["`xyz` is not a reference", "hf://owner/repo"]),
    ("civitai:abc", 2, ["not a Civitai reference", "`civitai:MODEL@VERSION`"]),
    ("owner/repo", 2, ["on Hugging Face: `hf://owner/repo`"]),
    ("https://civitai.com/user/somebody", 2, ["not that of a model", "open the model's page"]),
    ("civitai:1", 4, ["Civitai has no model 1"]),
    ("civitai:4384@5", 4, ["no version 5", "civitai:4384@128713"]),
    ("hf://studio/nope", 4, ["does not exist or is private", "HF_TOKEN"]),
    ("hf://studio/portrait-vae/nope.safetensors", 4, ["no file `nope.safetensors`", "portrait_vae.safetensors"]),
    ("./nope.safetensors", 4, ["the file does not exist", "looked for"]),
    (f"civitai:{catalogue.AMBIGUOUS}", 2, ["2 files fit", "`--file ID`", "file = { id = 920061 }"]),
    (f"civitai:{catalogue.PICKLE}", 2, ["is a pickle", "`--allow-pickle`"]),
    (f"civitai:{catalogue.DANGER}", 2, ["dangerous", "allow-dangerous"]),
    (f"civitai:{catalogue.EARLY}@{catalogue.EARLY_PAID}", 3, ["early access until 2099-01-01"]),
    (f"civitai:{catalogue.PORTRAIT}", 2, ["in synapse.toml already, as `portrait`", "`--name`"]),
]


@pytest.mark.parametrize("reference, code, parts", REFERENCES, ids=[row[0] for row in REFERENCES])
def test_a_reference_that_cannot_be_added(project: Project, reference: str, code: int, parts: list[str]) -> None:
    text = f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\n'
    project.manifest(text)
    said = project("add", reference, code=code)
    for part in parts:
        assert part in said.err
    assert (project.path / "synapse.toml").read_text() == text


def test_an_option_without_its_value(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sync", "--only"]) == 2
    said = capsys.readouterr().err
    assert "--only" in said and "requires an argument" in said and "`synapse sync --help`" in said


def test_a_file_that_does_not_tell_its_type(project: Project) -> None:
    project.manifest("")
    url = project.hub.files.put("x.safetensors", safetensors_bytes("x"))
    said = project("add", url, code=2)
    assert "`x`: neither the site nor the file says" in said.err and "`--type lora`" in said.err


def test_a_secret_in_a_reference_is_not_repeated(project: Project) -> None:
    project.manifest("")
    said = project("add", "https://example.org/x.safetensors?token=SECRET123", code=2)
    assert "SECRET123" not in said.err + said.out
    assert "token or a signature" in said.err


def test_the_line_of_an_ambiguous_file_can_be_pasted(project: Project) -> None:
    project.manifest(f'[models]\ntwo = "civitai:{catalogue.AMBIGUOUS}"\n')
    said = project("lock", code=2).err
    line = next(line.strip() for line in said.splitlines() if "fp16" in line)
    project.manifest(f'[models.two]\nsource = "civitai:{catalogue.AMBIGUOUS}"\n{line}\n')
    project("lock")
    assert "920062" in project.lock_text


# -- the manifest -----------------------------------------------------------------------------------

A = 'source = "civitai:4384"\n'
MANIFESTS: list[tuple[str, list[str]]] = [
    (
        "[models]\na = civitai:4384\n",
        ["synapse.toml:2:5: not valid TOML", 'put quotes around it: `a = "civitai:4384"`'],
    ),
    (f'[models.a]\n{A}filname = "x"\n', ["synapse.toml:3: models.a.filname: unknown key", "`filename`?"]),
    ('[model]\na = "civitai:1"\n', ["synapse.toml:1: model: unknown key", "`models`?"]),
    ('[targets.a]\nlayot = "flat"\n', ["synapse.toml:2: targets.a.layot: unknown key", "`layout`?"]),
    ('[targets.a]\nlink-mode = "hardlnk"\n', ["targets.a.link-mode: expected auto", "`hardlink`?"]),
    ("[models.a]\nsource = 4384\n", ["synapse.toml:2: models.a.source: expected a string, got a whole number"]),
    ("[models]\na = 4384\n", ["synapse.toml:2: models.a: expected a reference or a table", "civitai:4384"]),
    (
        '[workspace]\npreviews = "yes"\n',
        ["workspace.previews: expected true, false or a whole number, got a string"],
    ),
    (
        f"[models.a]\n{A}previews = 1e400\n",
        ["previews: expected true, false or a whole number, got a decimal number"],
    ),
    (f"[models.a]\n{A}versions = [99999999999999999999]\n", ["expected version ids, whole numbers from 1 to 2^53"]),
    (f"[models.a]\n{A}previews = {'9' * 5000}\n", ["synapse.toml:3:12: not valid TOML: a number of 5,000 digits"]),
    ('[models.a]\ntype = "lora"\n', ["synapse.toml:1: models.a: `source` is missing"]),
    ('[models]\na = "4384"\n', ["synapse.toml:2: models.a.source: `4384` is not a reference", "civitai:@4384"]),
    ('[models]\na = "civitai:1"\na = "civitai:2"\n', ["synapse.toml:3:1", "`a` is defined twice, first on line 2"]),
    ('[models]\na = "civitai:1"\nA = "civitai:2"\n', ["models.A: the same name as `a`, apart from case"]),
    (f'[models.a]\n{A}filename = "../x"\n', ["synapse.toml:3: models.a.filename: unsafe path"]),
    (f'[models.a]\n{A}filename = "CON.ckpt"\n', ["models.a.filename: unsafe path", "device name"]),
    (f'[models.a]\n{A}subfolder = "/etc"\n', ["models.a.subfolder: unsafe path '/etc': absolute"]),
    (f'[models.a]\n{A}cover = "nonsense"\n', ["models.a.cover: `nonsense` is not a reference"]),
    (f'[models.a]\n{A}cover = "civitai:4384"\n', ["models.a.cover: expected the address of an image"]),
    (f'[models.a]\n{A}sha256 = "abc"\n', ["models.a.sha256: expected 64 hexadecimal digits"]),
    (f'[models.a]\n{A}targets = ["defalt"]\n', ["models.a.targets: no target `defalt`", "`default`?"]),
    ('[models]\n<<<<<<< HEAD\na = "civitai:1"\n', ["synapse.toml:2: merge conflict markers", "resolve"]),
]


@pytest.mark.parametrize("text, parts", MANIFESTS, ids=[parts[-1] for _, parts in MANIFESTS])
def test_a_manifest_with_a_mistake(project: Project, text: str, parts: list[str]) -> None:
    project.manifest(text)
    said = project("status", code=2)
    assert said.out == ""
    for part in parts:
        assert part in said.err


def test_all_mistakes_of_a_manifest_are_told_at_once(project: Project) -> None:
    project.manifest(f"[models.a]\n{A}filname = 1\ntype = 3\n[models.b]\nversions = [1]\n[targets.x]\nroot = 5\n")
    assert project("lock", code=2).err.count("error: ") == 4


@pytest.mark.parametrize("data, part", [(b"\xff\xfe\x00", "not UTF-8"), (b"a\x00b", "synapse.toml:1:2")])
def test_a_manifest_that_is_no_text(project: Project, data: bytes, part: str) -> None:
    (project.path / "synapse.toml").write_bytes(data)
    assert part in project("sync", code=2).err


def test_a_directory_where_the_manifest_should_be(project: Project) -> None:
    (project.path / "synapse.toml").mkdir()
    assert "is a directory" in project("sync", code=2).err


def test_a_byte_order_mark_is_accepted_and_kept_once(project: Project) -> None:
    project.manifest('\ufeff[models]\nportrait = "civitai:900001"\n')
    project("add", f"civitai:{catalogue.EYES}")
    text = (project.path / "synapse.toml").read_text("utf-8")
    assert (text.count("\ufeff"), text.startswith("\ufeff[models]\n")) == (1, True)


def test_what_no_sync_will_take_is_told_by_lock(project: Project) -> None:
    project.manifest(
        '[targets.a]\ngroups = ["x"]\n[models.a]\nsource = "civitai:900001"\nfilename = "x.safetensors"\n'
        'groups = ["x"]\n[models.b]\nsource = "civitai:4384"\nfilename = "x.safetensors"\ngroups = ["x"]\n'
    )
    said = project("lock").err
    assert "sync will refuse this" in said and "`a` and `b` both want" in said
    assert "`filename" in project("sync", code=2).err
    project.manifest('[targets.a]\ngroups = ["x"]\n[models]\na = "civitai:900001"\n')
    assert "`a` is placed nowhere" in project("lock").err


def test_names_that_are_not_there_come_with_those_that_are(project: Project) -> None:
    project.manifest(f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\n')
    assert "did you mean `portrait`?" in project("remove", "potrait", code=2).err
    assert "did you mean `portrait`?" in project("sync", "--only", "potrait", code=2).err
    assert "available: default" in project("sync", "--target", "x", code=2).err
    assert "no model has `groups`" in project("sync", "--group", "x", code=2).err


# -- the lockfile -----------------------------------------------------------------------------------

LOCKFILES: list[tuple[str, str, int, list[str]]] = [
    ("version = 1", "version = 2", 2, ["written by a newer synapse", "upgrade synapse"]),
    ("version = 1", "", 2, ["the line `version = 1` is missing", "delete it"]),
    ("sha256 = ", 'sha256 = "abc"', 2, ["synapse.lock:4: model `a`: artifact 1: `sha256`", "synapse lock"]),
    ("sha256 = ", "", 2, ["model `a`: artifact 1: `sha256` is missing"]),
    ("size = ", "size = -1", 2, ["model `a`: artifact 1: `size`"]),
    ("filename = ", 'filename = "../x"', 2, ["model `a`: artifact 1: unsafe path"]),
    ("reference = ", 'reference = "bah"', 2, ["model `a`: `bah` is not a reference"]),
    ("name = ", "", 2, ["model 1: `name` is missing"]),
    ("name = ", '<<<<<<< HEAD\nname = "a"', 2, ["merge conflict markers", "run `synapse lock`"]),
    ("sha256 = ", f'sha256 = "{"1" * 64}"', 6, ["`a (portrait_v1.safetensors)`", "instead of 111111111111…"]),
]


@pytest.mark.parametrize("start, instead, code, parts", LOCKFILES, ids=[f"{r[0]} {r[1]}" for r in LOCKFILES])
def test_a_lockfile_that_was_edited(
    project: Project, start: str, instead: str, code: int, parts: list[str]
) -> None:
    project.manifest(f'[models]\na = "civitai:{catalogue.PORTRAIT}"\n')
    project("lock")
    lines = project.lock_text.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith(start))
    lines[at : at + 1] = [instead] if instead else []
    (project.path / "synapse.lock").write_text("\n".join(lines) + "\n")
    said = project("sync", code=code).err
    for part in parts:
        assert part in said
    assert project.tree() == {}


def test_a_lockfile_that_is_no_text(project: Project) -> None:
    project.manifest("")
    (project.path / "synapse.lock").write_bytes(b"\xff\xfe")
    assert "delete it and run `synapse lock`" in project("sync", code=2).err


# -- the sites --------------------------------------------------------------------------------------

WEATHER: list[tuple[str, Fault, int, list[str]]] = [
    ("/api/", Fault(status=401), 3, ["refuses the API key", "CIVITAI_API_KEY"]),
    ("/api/", Fault(status=403), 3, ["refuses `civitai:900001`"]),
    ("/api/", Fault(status=404), 4, ["no file for `civitai:900001`"]),
    ("/api/", Fault(html=True), 5, ["answered with a web page", "login page"]),
    ("/api/", Fault(status=200, body=b"not json"), 5, ["not JSON"]),
    ("/api/", Fault(status=429, retry_after=99999), 5, ["is rate-limiting requests", "wait"]),
]


@pytest.mark.parametrize("prefix, fault, code, parts", WEATHER, ids=[row[3][0] for row in WEATHER])
def test_a_site_that_refuses(project: Project, prefix: str, fault: Fault, code: int, parts: list[str]) -> None:
    project.manifest(f'[models]\na = "civitai:{catalogue.PORTRAIT}"\n')
    project.hub.faults.add(prefix, fault)
    said = project("lock", "-v", code=code)
    for part in parts:
        assert part in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    "fault, code, part",
    [
        (Fault(status=401), 5, "its links expire within"),
        (Fault(status=410), 4, "is archived"),
        (Fault(html=True), 6, "a web page instead of the file"),
        (Fault(corrupt=True), 6, "instead of"),
    ],
)
def test_a_download_that_fails(project: Project, fault: Fault, code: int, part: str) -> None:
    project.manifest(f'[models]\na = "civitai:{catalogue.PORTRAIT}"\n')
    project("lock")
    project.hub.faults.add("/signed/", fault)
    said = project("sync", code=code)
    assert part in said.err and "`a" in said.err
    assert project.tree() == {}
    secrets(project, said.out + said.err)


def test_what_is_the_same_for_many_models_is_said_once(project: Project) -> None:
    project.manifest('[models]\na = "civitai:900001"\nb = "civitai:900003"\n')
    project.hub.faults.add("/api/", Fault(html=True))
    said = project("lock", code=5)
    assert said.err.count("error: ") == 1 and "`a`, `b`: " in said.err


def test_a_gated_repository_says_where_to_click(project: Project) -> None:
    project.manifest(f'[models.g]\nsource = "hf://{catalogue.GATED_REPO}/model.safetensors"\ntype = "vae"\n')
    project("lock")
    assert "https://huggingface.co/studio/gated" in project("sync", code=3).err
    del os.environ["HF_TOKEN"]
    said = project("sync", code=3).err
    assert "HF_TOKEN" in said


def test_no_network_and_no_address(project: Project) -> None:
    project.manifest(f'[models]\na = "civitai:{catalogue.PORTRAIT}"\n')
    assert "the network is switched off" in project("lock", "--offline", code=5).err
    os.environ["CIVITAI_ENDPOINT"] = "nonsense"
    assert "CIVITAI_ENDPOINT must be" in project("lock", code=2).err


def test_a_drive_that_is_not_there(project: Project) -> None:
    project.manifest(f'[targets.x]\nroot = "/nowhere/at/all"\n[models]\na = "civitai:{catalogue.PORTRAIT}"\n')
    project("lock")
    assert "is the drive mounted?" in project("sync", code=2).err


def secrets(project: Project, said: str) -> None:
    """No token, and no signed URL, in what was said or in any file."""
    files = [path for root in (project.path, project.store) for path in root.rglob("*") if path.is_file()]
    texts = [said, *(path.read_bytes().decode("latin-1") for path in files if path.stat().st_size < 50_000)]
    for text in texts:
        assert project.hub.civitai_token not in text
        assert project.hub.huggingface_token not in text
        assert "/signed/model/910001/920001/portrait_v1.safetensors?" not in text


def test_an_unexpected_error_is_short(project: Project) -> None:
    with breaking(RuntimeError("words that may hold a secret")):
        said = project("status", "-v", code=70)
        assert "Traceback" in project("status", "--debug", code=70).err
    assert said.err == (
        "error: unexpected RuntimeError; this is a bug\n"
        "  hint: run it again with --debug and report what it prints\n"
    )


def test_an_interrupt_is_calm(project: Project) -> None:
    with breaking(KeyboardInterrupt()):
        said = project("sync", code=130)
        assert said.err.strip().count("\n") == 0 and "interrupted" in said.err
        assert project("sync", "--json", code=130).json["exit_code"] == 130
        for verb in ("lock", "sync", "verify"):
            assert "finished files are kept" in project(verb, code=130).err
        assert project("status", code=130).err.strip() == "interrupted", "it downloads nothing"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("can't start new thread"),
        ImportError("x.so: failed to map segment from shared object"),
        ValueError("no reason supplied"),
    ],
)
def test_no_memory_is_not_a_bug(project: Project, error: Exception) -> None:
    with breaking(error):
        assert "no memory left" in project("sync", code=9).err


def test_an_option_that_is_only_alike_by_its_dashes_is_not_proposed(project: Project) -> None:
    assert "did you mean" not in project("verify", "--only", "x", code=2).err


def test_a_lock_counts_what_changed(project: Project) -> None:
    first, second = (f"civitai:{number}" for number in (catalogue.PORTRAIT, catalogue.EYES))
    project.manifest(f'[models]\na = "{first}"\n')
    assert "synapse.lock changed: 1 model\n" in project("lock").err
    project.manifest(f'[models]\na = "{first}"\nb = "{second}"\n')
    assert "synapse.lock changed: 1 model; it has 2 models\n" in project("lock").err
    assert "synapse.lock up to date: 2 models\n" in project("lock").err


def test_a_locked_model_that_is_no_longer_declared_is_called_that(project: Project) -> None:
    first, second = (f"civitai:{number}" for number in (catalogue.PORTRAIT, catalogue.EYES))
    project.manifest(f'[models]\na = "{first}"\nb = "{second}"\n')
    project("lock")
    project.manifest(f'[models]\na = "{first}"\n')
    said = project("lock", "--check", code=8).err
    assert "placed nowhere" not in said and "no longer declared: `b`" in said
    project.manifest(f'[models]\na = "{first}"\nc = "{second}"\ntwo = "civitai:1"\n')
    said = project("lock", "--check", code=8).err
    assert "does not answer synapse.toml for `c`, `two`; no longer declared: `b`" in said


def test_a_mistake_in_the_manifest_is_reported_before_a_damaged_lockfile(project: Project) -> None:
    """A lock cannot mend the lockfile while one name is in synapse.toml twice."""
    project.manifest('[models]\na = "civitai:1"\na = "civitai:2"\n')
    (project.path / "synapse.lock").write_text("<<<<<<< left\n")
    for verb in ("status", "lock", "sync", "list"):
        said = project(verb, code=2).err
        assert "synapse.toml" in said and "synapse.lock" not in said, verb


@pytest.mark.parametrize("root", ["~", "/", "..", ".ssh/x"])
def test_a_root_that_every_sync_refuses_is_refused_by_init(
    project: Project, monkeypatch: pytest.MonkeyPatch, root: str
) -> None:
    monkeypatch.setenv("HOME", str(project.path.parent))
    monkeypatch.setenv("USERPROFILE", str(project.path.parent))
    said = project("init", "--layout", "comfyui", "--root", root, code=2).err
    assert f"target `comfyui`: `{root}` is refused: a root is never" in said
    assert not (project.path / "synapse.toml").exists()
    project.manifest(f'[targets.comfyui]\nroot = "{root}"\n[models]\na = "civitai:{catalogue.PORTRAIT}"\n')
    assert said.splitlines()[0] in project("sync", code=None).err, "the same words"


def test_the_next_step_after_add_downloads_only_what_is_not_in_the_store(project: Project) -> None:
    url = project.hub.files.put("thing.safetensors", safetensors_bytes("thing"))
    project.manifest("")
    assert "`synapse sync` places it" in project("add", url, "--type", "lora").err
    assert "`synapse sync` downloads and places it" in project("add", f"civitai:{catalogue.PORTRAIT}").err
