"""Quick: the sentence of the commands, without the commands; and every doubt is left to them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from workbench import EYES
from world import Project, meanwhile

from synapse_sync.cli import quick
from synapse_sync.cli.main import main
from synapse_sync.demo import catalogue
from synapse_sync.sites import endpoint_variables

MANIFEST = f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\neyes = "civitai:{catalogue.EYES}"\n'
SENTENCE = "in sync: 2 files, nothing to do\n"
#: The opening of the settings does not return.
SLOW_DISK = (
    "import sys, time; sys.addaudithook(lambda event, found: event == 'open' and 'config.toml' in str(found[0]) "
    "and (print('reading', flush=True), time.sleep(60)))"
)
ENTRY = "from synapse_sync.cli.main import entry; entry()"


@pytest.fixture
def settled(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project in sync, seen from within; the addresses of the hub are forgotten."""
    project.manifest(MANIFEST)
    project("sync")
    for name in endpoint_variables():
        del os.environ[name]
    monkeypatch.chdir(project.path)
    return project


def start(*words: str, **how: object) -> subprocess.Popen[str]:
    """The installed command in a process of its own."""
    return subprocess.Popen([sys.executable, "-c", ENTRY, *words], text=True, **how)  # type: ignore[call-overload]


def run(*words: str, **how: object) -> tuple[int, str]:
    with start(*words, stdout=subprocess.PIPE, **how) as process:
        said = process.communicate()[0]
    return process.returncode, said


# -- what it answers ---------------------------------------------------------------------------------


def test_it_says_what_the_commands_say(settled: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert settled("sync").out == SENTENCE  # with -C, which is left to the commands
    assert quick.answer(["sync"])
    assert capsys.readouterr() == (SENTENCE, "")
    assert run("sync") == (0, SENTENCE)


@pytest.mark.parametrize("option", ["--locked", "--frozen", "--offline", "-y", "--yes", "--no-progress"])
def test_options_that_make_no_difference(settled: Project, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert quick.answer(["sync", option])
    assert capsys.readouterr() == (SENTENCE, "")
    assert settled("sync", option).out == SENTENCE


@pytest.mark.parametrize("option", ["-q", "--quiet"])
def test_quiet(settled: Project, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert quick.answer(["sync", "--yes", option])
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SYNAPSE_RETRY_DELAY", "abc"),
        ("SYNAPSE_RETRY_DELAY", "1000"),
        ("SYNAPSE_RETRY_DELAY", ".5"),
        ("SYNAPSE_RETRY_DELAY", "5."),
        ("SYNAPSE_RETRY_DELAY", "0.1234567"),
        ("SOURCE_DATE_EPOCH", "abc"),
        ("SOURCE_DATE_EPOCH", "1" * 16),
        ("SOURCE_DATE_EPOCH", "\u0661"),
        ("SYNAPSE_TRUST", "yes"),
        ("CIVITAI_API_KEY", "a token"),
        ("HF_TOKEN", '"quoted"'),
        ("CIVITAI_API_KEY_FILE", "/nowhere/token"),
    ],
)
def test_a_variable_that_is_refused_is_refused_with_nothing_to_do(settled: Project, name: str, value: str) -> None:
    """Else a pod starts many times, and fails on the day on which it has to download."""
    for text in list({"CIVITAI_API_KEY", "CIVITAI_TOKEN", "CIVITAI_API_TOKEN"} - {name}):
        os.environ.pop(text, None)
    os.environ[name] = value
    assert not quick.answer(["sync"])
    assert name in settled("sync", code=2).err


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SYNAPSE_RETRY_DELAY", "0.25"),
        ("SYNAPSE_RETRY_DELAY", "7"),
        ("SOURCE_DATE_EPOCH", "1700000000"),
        ("SYNAPSE_TRUST", "1"),
        ("CIVITAI_API_KEY", "0123abc"),
        ("HF_TOKEN", "hf_abc"),
    ],
)
def test_a_variable_that_is_right_costs_no_command(settled: Project, name: str, value: str) -> None:
    os.environ[name] = value
    assert quick.answer(["sync"])
    settled("sync")


@pytest.mark.parametrize("name", ["LOCKED", "FROZEN", "OFFLINE", "NO_PROGRESS"])
def test_variables_that_make_no_difference(settled: Project, name: str) -> None:
    os.environ[f"SYNAPSE_{name}"] = "1"
    assert quick.answer(["sync"])


@pytest.mark.parametrize(
    "variables",
    [
        {"SYNAPSE_FROZEN": "maybe"},
        {"SYNAPSE_FROZEN": "1", "SYNAPSE_LOCKED": "1"},
        {"SYNAPSE_QUIET": "1"},
        {"SYNAPSE_COLOR": "red"},
        {"SYNAPSE_GROUP": "eyes"},
        {"SYNAPSE_LINK_MODE": "copy"},
        {"SYNAPSE_LIMIT_RATE": "fast"},
        {"SYNAPSE_NO_PRUNE": "1"},
    ],
)
def test_variables_that_the_commands_read(settled: Project, variables: dict[str, str]) -> None:
    os.environ |= variables
    assert not quick.answer(["sync"])


def test_from_further_down(settled: Project) -> None:
    with contextlib.chdir((settled.path / EYES).parent):
        assert quick.answer(["sync"])


@pytest.mark.parametrize("url", ["https://hf-mirror.com", "https://localhost"])
def test_a_plain_address_of_a_site_is_no_doubt(settled: Project, url: str) -> None:
    os.environ["HF_ENDPOINT"] = url
    assert quick.answer(["sync"])


def test_settings_that_do_not_place_the_store(settled: Project, sandbox: Path) -> None:
    """Nobody says where the store is, and what the settings say is the same as in the last sync."""
    del os.environ["SYNAPSE_STORE"]
    del os.environ["SYNAPSE_CONFIG"]
    os.environ["XDG_CONFIG_HOME"] = str(sandbox / "settings")
    (sandbox / "settings" / "synapse").mkdir(parents=True)
    text = f'downloads = 2\nstores = ["{(sandbox / "second-store").as_posix()}"]\n'
    (sandbox / "settings" / "synapse" / "config.toml").write_text(text)
    os.environ["XDG_DATA_HOME"] = str(sandbox)
    settled.store.rename(settled.store.parent / "synapse-store")
    (sandbox / "synapse").mkdir()
    (sandbox / "synapse-store").rename(sandbox / "synapse" / "store")
    assert not quick.answer(["sync"]), "other settings than those of the last sync"
    settled("sync", "--frozen")
    assert quick.answer(["sync"])


def imported(*words: str) -> set[str]:
    """What is imported for a command, besides what Python imports for itself."""

    def shown(*arguments: str) -> set[str]:
        command = [sys.executable, "-X", "importtime", "-c", *arguments]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()
        return {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}

    return shown(ENTRY, *words) - shown("pass")


def test_hardly_anything_is_imported(settled: Project) -> None:
    heavy = {"click", "contextlib", "dataclasses", "inspect", "pathlib", "tomli", "typing", "urllib.parse"}
    heavy |= {f"synapse_sync.{room}" for room in ("errors", "workspace", "project", "core.plan", "core.digest")}
    light = imported("sync")
    assert "synapse_sync.engine.unchanged" in light
    assert not light & heavy
    assert heavy <= imported("sync", "--no-prune"), "the test can tell"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere platformdirs knows the places")
def test_the_usual_places_are_known_without_platformdirs(settled: Project, sandbox: Path) -> None:
    del os.environ["SYNAPSE_STORE"]
    del os.environ["SYNAPSE_CONFIG"]
    settled("sync", "--frozen", "--offline", code=None)
    assert "platformdirs" not in imported("sync")


# -- what it leaves to the commands ------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        "",
        "status",
        "-q sync",
        "sync --json",
        "sync --locked --frozen",
        "sync --dry-run",
        "sync --check",
        "sync --no-prune",
        "sync --only eyes",
        "sync --force",
        "sync --link-mode copy",
        "sync -C .",
        "sync -qy",
        "sync --debug",
        "sync --help",
        "sync more",
        "sync -- -q",
    ],
)
def test_other_arguments(settled: Project, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert not quick.answer(words.split())
    assert capsys.readouterr() == ("", "")


def receipts(project: Project, ending: str) -> Path:
    return next((project.path / ".synapse").glob(f"receipt-*.{ending}"))


def note(project: Project) -> Path:
    return next((project.store / "projects").glob("*.json"))


def rewritten(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


DOUBTS: dict[str, Callable[[Project], object]] = {
    "manifest changed": lambda p: (p.path / "synapse.toml").open("a").write("# a comment\n"),
    "manifest gone": lambda p: (p.path / "synapse.toml").unlink(),
    "lockfile changed": lambda p: (p.path / "synapse.lock").open("a").write("# a comment\n"),
    "lockfile gone": lambda p: (p.path / "synapse.lock").unlink(),
    "file gone": lambda p: (p.path / EYES).unlink(),
    "file moved": lambda p: (p.path / EYES).rename(p.path / "moved"),
    "file touched": lambda p: os.utime(p.path / EYES, (1, 1)),
    "file replaced": lambda p: rewritten(p.path / EYES, b"other"),
    "store gone": lambda p: p.store.rename(p.store.parent / "away"),
    "note gone": lambda p: note(p).unlink(),
    "note damaged": lambda p: rewritten(note(p), b"{"),
    "note deep": lambda p: rewritten(note(p), b"[" * 100_000),
    "note without roots": lambda p: rewritten(note(p), b'{"complete": "x"}'),
    "note of numbers": lambda p: rewritten(note(p), b'{"complete": 1, "roots": {"a": 2}}'),
    "receipt gone": lambda p: receipts(p, "json").unlink(),
    "receipt rewritten": lambda p: rewritten(receipts(p, "json"), receipts(p, "json").read_bytes()),
    "index gone": lambda p: receipts(p, "index").unlink(),
    "index cut": lambda p: rewritten(receipts(p, "index"), receipts(p, "index").read_bytes()[:-1]),
    "index damaged": lambda p: rewritten(receipts(p, "index"), b"\xff"),
    "settings": lambda p: (p.store.parent / "config.toml").write_text("downloads = 2\n"),
    "settings a directory": lambda p: (p.store.parent / "config.toml").mkdir(),
}


@pytest.mark.parametrize("doubt", DOUBTS)
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_doubts(settled: Project, doubt: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert quick.answer(["sync", "-q"])
    DOUBTS[doubt](settled)
    assert not quick.answer(["sync"])
    assert capsys.readouterr() == ("", "")


VARIABLES = [
    ("HOME", "/elsewhere"),
    ("SYNAPSE_STORE", "/elsewhere"),
    ("SYNAPSE_STORE", "~nobody-has-this-name/store"),
    ("SYNAPSE_STORES", "a-relative/store"),
    ("SYNAPSE_CONFIG", "~nobody-has-this-name/config.toml"),
    ("HF_ENDPOINT", "hf-mirror.com"),
    ("HF_ENDPOINT", "https://"),
    ("HF_ENDPOINT", "https://me:secret@hf-mirror.com"),
    ("HF_ENDPOINT", "https://hf-mirror.com/hub"),
    ("CIVITAI_ENDPOINT", "ftp://civitai.com"),
    ("GITHUB_API_URL", "http://api.github.com"),
    ("GITHUB_SERVER_URL", "https://github.com:443x"),
]


@pytest.mark.parametrize(("name", "value"), VARIABLES, ids=[" ".join(pair) for pair in VARIABLES])
def test_variables_in_doubt(settled: Project, name: str, value: str) -> None:
    assert quick.answer(["sync", "-q"])
    os.environ[name] = value
    assert not quick.answer(["sync"])


def test_further_stores_have_no_say(settled: Project, sandbox: Path) -> None:
    """The notes that an answer needs are in the main store."""
    os.environ["SYNAPSE_STORES"] = str(sandbox / "second-store")
    assert quick.answer(["sync"])


@pytest.mark.parametrize("key", ["store", '"st\\u006Fre"', "  'store'\t", "stores = []\r\nstore", "\ufeffstore"])
def test_settings_that_place_the_store(settled: Project, sandbox: Path, key: str) -> None:
    """It takes TOML to read that; the commands do, and find nothing to do."""
    del os.environ["SYNAPSE_STORE"]
    (sandbox / "config.toml").write_text(f'{key} = "{settled.store.as_posix()}"\n', "utf-8", newline="")
    settled("sync", "--frozen")
    assert settled("sync").out == SENTENCE
    os.environ["XDG_DATA_HOME"] = str(sandbox)
    (sandbox / "synapse").mkdir()
    (sandbox / "synapse" / "store").symlink_to(settled.store)
    assert not quick.answer(["sync"])


def test_no_directory_at_all(settled: Project, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    with contextlib.chdir(tmp_path / "gone"):
        (tmp_path / "gone").rmdir()
        assert not quick.answer(["sync"])


# -- when it is stopped, or not listened to ----------------------------------------------------------


def test_ctrl_c(settled: Project, sandbox: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = sandbox / "config.toml"
    config.write_text("")
    with meanwhile("open", config, lambda: signal.raise_signal(signal.SIGINT)):
        assert main(["sync"]) == 130
    said = capsys.readouterr().err
    assert said == "interrupted; finished files are kept, and the next sync continues from here\n"


@pytest.fixture
def stuck(settled: Project, sandbox: Path) -> Iterator[subprocess.Popen[str]]:
    """A sync that waits for its settings, on a disk that does not answer."""
    (sandbox / "config.toml").write_text("")
    command = [sys.executable, "-c", f"{SLOW_DISK}; {ENTRY}", "sync"]
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == "reading\n"
        yield process
        process.kill()


HANG_UP = getattr(signal, "SIGHUP", 1)  # Windows has none


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (HANG_UP, 129)])
def test_signals(stuck: subprocess.Popen[str], number: int, code: int) -> None:
    stuck.send_signal(number)
    said = stuck.communicate()[1]
    assert (stuck.returncode, said) == (
        code,
        "interrupted; finished files are kept, and the next sync continues from here\n",
    )


@pytest.mark.parametrize("words", [["sync"], ["sync", "-C", "."]], ids=["quick", "the commands"])
@pytest.mark.parametrize("how", ["closed", "broken"])
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_nobody_reads_what_it_says(settled: Project, words: list[str], how: str, stream: str) -> None:
    if how == "closed":
        number = {"stdout": 1, "stderr": 2}[stream]
        command = ["sh", "-c", f'exec "$@" {number}>&-', "sh", sys.executable, "-c", ENTRY, *words]
        assert subprocess.run(command, check=False).returncode == 0
        return
    reader, writer = os.pipe()
    os.close(reader)
    with start(*words, **{stream: writer}) as process:
        os.close(writer)
        assert process.wait() == 0
