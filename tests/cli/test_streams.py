"""The way out of a run: printing stops no work and loses no lockfile, whatever becomes of the two streams."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import pytest
from cases import case
from stand_ins import breaking
from world import Project

from synapse_sync.cli.main import main
from synapse_sync.cli.streams import Guard
from synapse_sync.demo import catalogue
from synapse_sync.demo.civitai.things import File, Model, Version
from synapse_sync.demo.weights import safetensors_bytes

EYES = f'[models]\neyes = "civitai:{catalogue.EYES}"\n'
MORE = f'{EYES}portrait = "civitai:{catalogue.PORTRAIT}"\n'
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")


def run(
    project: Project, *words: str, environ: dict[str, str] | None = None, **how: object
) -> tuple[int, bytes, bytes]:
    """Run the command as a process; returns its code and both outputs, empty where they went elsewhere."""
    command = [sys.executable, "-m", "synapse_sync", *words, "-C", str(project.path)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **how}
    done = subprocess.run(command, env={**os.environ, **(environ or {})}, check=False, **streams)  # type: ignore
    assert b"Traceback" not in (done.stderr or b"")
    assert b"Exception ignored" not in (done.stderr or b"")
    end = os.linesep.encode()
    return done.returncode, done.stdout or b"", (done.stderr or b"").replace(end, b"\n")


def broken_pipe() -> int:
    """The end for writing of a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@case(178)
@full
@pytest.mark.parametrize("words", [["lock"], ["lock", "--json"], ["add", "civitai:900003", "--json"], ["--help"]])
def test_an_answer_that_does_not_fit_the_disk_is_an_error_and_the_work_is_done(
    project: Project, words: list[str]
) -> None:
    project.manifest(EYES if words[0] == "lock" else "")
    with Path("/dev/full").open("w") as disk:
        code, _, said = run(project, *words, stdout=disk)
    assert code == 9
    assert said.endswith(b"error: cannot write the answer to standard output: No space left on device\n")
    assert words == ["--help"] or b"eyes" in project.lock_text.encode()


@full
@pytest.mark.parametrize("words", [["sync"], ["sync", "--json"], ["sync", "-v"]])
def test_talk_that_is_lost_stops_nothing(project: Project, words: list[str]) -> None:
    project.manifest(MORE)
    with Path("/dev/full").open("w") as disk:
        code, _, _ = run(project, *words, stderr=disk)
    assert code == 0
    assert len(project.tree()) == 2
    writer = broken_pipe()
    assert run(project, "status", "--only", "nobody", stderr=writer)[0] == 2
    os.close(writer)


def test_the_code_is_that_of_the_work_when_the_reader_has_gone(project: Project) -> None:
    project.manifest(EYES)
    for words, code in ((["sync", "--json"], 0), (["lock", "--check", "--json"], 8), (["--help"], 0)):
        writer = broken_pipe()
        assert run(project, *words, stdout=writer)[0] == code
        os.close(writer)
        project.manifest(MORE)
    assert len(project.tree()) == 1


@full
def test_a_failure_keeps_its_own_code(project: Project) -> None:
    project.manifest(EYES)
    with Path("/dev/full").open("w") as disk:
        code, _, said = run(project, "show", "nobody", "--json", stdout=disk)
    assert code == 2
    assert b"no model `nobody`" in said


@case(179)
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "shift_jis"])
def test_a_sign_that_the_encoding_lacks_stops_nothing(project: Project, encoding: str) -> None:
    old = {"PYTHONIOENCODING": encoding}
    project.manifest(EYES)
    assert run(project, "lock", environ=old)[0] == 0
    project.hub.civitai.add(
        Model(
            id=77, name="水彩 → 画",
            versions=(Version(id=770, name="…", files=(
                File(id=7700, name="水彩.safetensors", content=safetensors_bytes("w"), primary=True),)),),
        )
    )  # fmt: skip
    code, out, _ = run(project, "add", "civitai:77", "--name", "water", environ=old)
    assert code == 0
    assert b"water" in out
    out.decode(encoding)
    project.manifest(MORE)
    code, out, _ = run(project, "lock", environ=old)
    assert (code, b"portrait" in out) == (0, True)
    assert run(project, "status", environ=old)[0] == 0
    code, out, _ = run(project, "--help", environ=old)
    assert code == 0
    assert out.decode(encoding).startswith("Usage: synapse")


@pytest.mark.parametrize("encoding", ["cp1252", "cp850", "latin-1"])
def test_signs_of_ours_are_plain_in_every_legacy_encoding(project: Project, encoding: str) -> None:
    """Windows writes into a pipe with one code page, and PowerShell reads it with another."""
    project.manifest("")
    code, out, _ = run(project, "add", f"civitai:{catalogue.EYES}", environ={"PYTHONIOENCODING": encoding})
    assert (code, b"sha256 " in out) == (0, True)
    assert out.isascii() and b"..." in out
    assert "…".encode() in run(project, "add", f"civitai:{catalogue.PORTRAIT}", environ={"PYTHONUTF8": "1"})[1]


def test_signs_of_ours_become_plain_ones_and_others_escapes(project: Project) -> None:
    project.manifest(f'[models]\nd = "civitai:{catalogue.DETAIL}@{catalogue.DETAIL_V1}"\n')
    project("lock")
    project.manifest(f'[models]\nd = "civitai:{catalogue.DETAIL}@{catalogue.DETAIL_V2}"\n')
    assert b" -> " in run(project, "lock", environ={"PYTHONIOENCODING": "ascii"})[1]
    project.manifest('[models]\nd = "civitai:58390@62833"\n')
    project("lock")
    assert rb"\u7ec6\u8282" in run(project, "show", "d", environ={"PYTHONIOENCODING": "ascii"})[1]


@pytest.mark.parametrize("environ", [{"PYTHONIOENCODING": "cp1252"}, {"PYTHONIOENCODING": "utf-16"}, ASCII])
def test_json_is_utf8_always(project: Project, environ: dict[str, str]) -> None:
    project.manifest('[models]\nd = "civitai:58390@62833"\n')
    project("lock")
    code, out, _ = run(project, "show", "d", "--json", environ=environ)
    assert code == 0
    assert json.loads(out.decode("utf-8"))["models"][0]["title"] == "Detail Tweaker LoRA (细节调整LoRA)"


@pytest.mark.skipif(sys.platform != "linux", reason="paths are bytes")
def test_a_path_that_is_no_text_is_printed_as_its_bytes(project: Project, tmp_path: Path) -> None:
    store = os.fsencode(tmp_path) + b"/st\xffore"
    code, out, _ = run(project, "store", "path", environ={"SYNAPSE_STORE": os.fsdecode(store)})
    assert (code, out) == (0, store + b"\n")


@case(179)
@pytest.mark.skipif(sys.platform != "linux", reason="the locale decides about file names")
def test_a_name_that_the_locale_cannot_write_is_refused_before_the_first_byte(project: Project) -> None:
    project.manifest(f'[models.d]\nsource = "civitai:{catalogue.EYES}"\nfilename = "水彩.safetensors"\n')
    project("lock")
    project.hub.clear_log()
    code, _, said = run(project, "sync", environ=ASCII)
    assert code == 9
    assert b"cannot be a file name here: the encoding of this locale is ascii" in said
    assert b"hint: set `PYTHONUTF8=1`" in said
    assert project.hub.requests("storage") == []
    assert run(project, "sync", environ={**ASCII, "PYTHONUTF8": "1"})[0] == 0
    assert any("水彩.safetensors" in path for path in project.tree())


def test_nothing_that_was_printed_is_kept(project: Project) -> None:
    """click keeps a reference to each stream that it prints to; a program that calls us often would grow."""
    printed = io.StringIO()
    kept = weakref.ref(printed)
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        assert main(["store", "path"]) == 0
        assert main(["status", "-C", str(project.path)]) == 2
    assert "synapse.toml" in printed.getvalue()
    del printed
    gc.collect()
    assert kept() is None


def test_an_error_that_somebody_keeps_does_not_keep_what_was_printed(project: Project) -> None:
    """Its traceback has the frame of `main`, with the two streams that were there before."""
    error, printed = ValueError("a bug"), io.StringIO()
    kept = weakref.ref(printed)
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed), breaking(error):
        assert main(["status", "-C", str(project.path)]) == 70
    assert "a bug" in printed.getvalue() and error.__traceback__ is not None
    del printed
    gc.collect()
    assert kept() is None


@pytest.mark.skipif(os.name == "nt", reason="pipes of Windows have no such mode")
@pytest.mark.parametrize("blocking", [True, False])
def test_an_unbuffered_stream_with_a_slow_reader_gets_all(blocking: bool) -> None:
    """What `PYTHONUNBUFFERED` makes of stdout: one write of it may accept a part, or nothing."""
    reader, writer = os.pipe()
    os.set_blocking(writer, blocking)
    text = "é\n" * 100_000
    got = bytearray()

    def read() -> None:
        while part := os.read(reader, 4096):
            got.extend(part)

    thread = threading.Thread(target=read)
    with io.TextIOWrapper(io.FileIO(writer, "w"), "utf-8", write_through=True) as stream:  # type: ignore[arg-type]
        guard = Guard(stream)
        timer = threading.Timer(0.1, thread.start)
        timer.start()
        guard.write(text)
        guard.flush()
        timer.join()
    thread.join()
    os.close(reader)
    assert guard.lost is None and got.decode() == text
