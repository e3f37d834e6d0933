"""Cases 173 to 179 and 182: files as people write them by hand, paths of a shell, and the way out of a run."""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import nursery
import pytest
from cases import case
from stage import Stage
from world import Result

from synapse_sync.core.manifest.edit import add_model, remove_model
from synapse_sync.core.manifest.read import parse_manifest
from synapse_sync.demo import catalogue

ONE = f'[models]\neyes = "civitai:{catalogue.EYES}"\n'
TWO = f'{ONE}sharpen = "civitai:{catalogue.SHARPEN}"\n'


def run(stage: Stage, *words: str, out: IO[bytes] | int = subprocess.PIPE, **environ: str) -> Result:
    """Run a command as a process, whose stdout may go elsewhere."""
    command = [sys.executable, "-m", "synapse_sync", *words, "-C", str(stage.path)]
    done = subprocess.run(
        command, env={**os.environ, **environ}, stdout=out, stderr=subprocess.PIPE, check=False
    )  # fmt: skip
    said = (done.stdout or b"").decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    result = Result(done.returncode, *said)
    stage.heard(result, words)
    assert "Traceback" not in result.err and "Exception ignored" not in result.err
    return result


@case(175)
@pytest.mark.parametrize(
    ("line", "hint"),
    [
        (r'root = "C:\Users\me"', "single quotes or forward slashes"),
        ("root = “ui”", "straight quotes"),
        ("root ＝ 'ui'", "write a plain `=`"),
        ("root: 'ui'", "write `=` between key and value"),
        ("root = ui", "put quotes around it"),
        ("link-mode = True", "write `true`"),
    ],
)
@pytest.mark.parametrize("name", ["synapse.toml", "config.toml", "synapse.lock"])
def test_a_mistake_of_hands_in_toml(stage: Stage, name: str, line: str, hint: str) -> None:
    """Each of the three files shows the line, and all but the generated one says what was meant."""
    stage.manifest(ONE)
    stage("lock")
    if name == "synapse.lock":
        stage.excuse("I3", reason="the lockfile is damaged on purpose")
    path = Path(os.environ["SYNAPSE_CONFIG"]) if name == "config.toml" else stage.path / name
    before = path.read_text() if path.exists() else ""
    path.write_text(f"{line}\n{before}", encoding="utf-8")
    for words in (["status"], ["sync"], ["list"]):
        said = stage(*words, code=2)
        assert f"{name}:1:" in said.err
        assert line in said.err
        assert (hint in said.err) == (name != "synapse.lock")
    path.write_text(before)


@case(176)
@pytest.mark.parametrize("layout", ["confyui", "ComfyUI", "kohya"])
def test_a_layout_that_does_not_exist(stage: Stage, layout: str) -> None:
    stage.manifest(f'[targets.t]\nlayout = "{layout}"\n{ONE}')
    said = {
        stage(*words, code=2).err.partition("error: ")[2]
        for words in (["lock"], ["status"], ["sync"], ["list"], ["verify"], ["add", f"civitai:{catalogue.SHARPEN}"])
    }
    assert len(said) == 1, "one and the same error for every command"
    assert "unknown layout" in said.pop()
    assert not (stage.path / "synapse.lock").exists()
    stage.manifest(ONE)


@case(176)
@pytest.mark.parametrize(("word", "type"), [("TextualInversion", "embedding"), ("embeddings", "embedding")])
def test_a_type_in_the_words_of_a_site_or_a_ui(stage: Stage, word: str, type: str) -> None:
    text = f'[models.eyes]\nsource = "civitai:{catalogue.EYES}"\ntype = "{word}"\n'
    stage.manifest(text)
    assert f"did you mean `{type}`?" in stage("sync", code=2).err
    stage.manifest(text.replace(word, type))


@case(177)
@pytest.mark.parametrize(
    "text", ["$HOME/ui", "${HOME}/ui", "%USERPROFILE%/ui", "$NOBODY/ui", "file:///srv/ui", "D:\\ui", "a\\b", "'ui'"]
)  # fmt: skip
@pytest.mark.parametrize("where", ["root", "store", "variable"])
def test_a_path_that_only_a_shell_or_another_system_reads(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, where: str, text: str
) -> None:
    config = Path(os.environ["SYNAPSE_CONFIG"])
    stage.manifest(f"[targets.t]\nroot = {json.dumps(text)}\n{ONE}" if where == "root" else ONE)
    with monkeypatch.context() as patch:
        if where == "variable":
            patch.setenv("SYNAPSE_STORE", text)
        elif where == "store":
            patch.delenv("SYNAPSE_STORE")
            config.write_text(f"store = {json.dumps(text)}\n")
        before = sorted(path.name for path in stage.path.iterdir())
        for words in ("sync", "status"):
            said = stage(words, code=2)
            assert f"`{text}`" in said.err and "hint: " in said.err
        assert sorted(path.name for path in stage.path.iterdir()) == before, "no directory of that very name"
    config.unlink(missing_ok=True)
    stage.manifest(ONE)


@case(182)
@pytest.mark.parametrize("root", ["ui/models", "ui/models/embeddings"])
@pytest.mark.parametrize("filled", [True, False])
def test_a_root_that_is_a_folder_of_the_ui(stage: Stage, root: str, filled: bool) -> None:
    (stage.path / "ui/models").mkdir(parents=True)
    for name in ("checkpoints", "embeddings") if filled else ():
        (stage.path / "ui/models" / name).mkdir()
    stage.manifest(f'[targets.t]\nroot = "{root}"\n{ONE}')
    assert '`root = "ui"`' in stage("sync", code=2).err
    assert stage.tree() == {}
    stage.manifest(f'[targets.t]\nroot = "ui"\n{ONE}')


@case(174)
@pytest.mark.parametrize("style", ["tables", "dotted"])
def test_an_edit_of_thousands_of_models(stage: Stage, style: str) -> None:
    """`add` and `remove` take no longer than a few looks at the same file."""
    form = (
        '[models.m{0}]\nsource = "./a.safetensors"\ntype = "lora"\nfilename = "f{0}.bin"\n'
        if style == "tables"
        else 'models.m{0}.source = "./a.bin"\nmodels.m{0}.type = "lora"\nmodels.m{0}.filename = "f{0}.bin"\n'
    )
    text = "".join(form.format(number) for number in range(3_000))

    def edit() -> str:
        return remove_model(add_model(text, "new", {"source": "./a.safetensors", "type": "lora"}), "m1500")

    def seconds(do: Callable[[], object]) -> float:
        start = time.process_time()
        do()
        return time.process_time() - start

    add_model("", "warm-up", "./a")  # imports tomlkit
    gc.collect()
    gc.disable()  # it would go through all that earlier tests of this process left
    try:
        look = min(seconds(lambda: parse_manifest(text)) for _ in range(3))
        assert min(seconds(edit) for _ in range(2)) < 11 * look
    finally:
        gc.enable()
    assert len(parse_manifest(edit()).models) == len(parse_manifest(text).models) == 3_000
    stage.excuse("I4", reason="no command ran")


@case(173)
@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
def test_additions_on_two_branches(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> int:
        who = [f"{part}={value}" for part, value in (("user.name", "a"), ("user.email", "a@example.org"))]
        options = [word for pair in who for word in ("-c", pair)]
        command = ["git", *options, *words]
        return subprocess.run(command, cwd=stage.path, capture_output=True, check=False).returncode

    with monkeypatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
        patch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
        assert git("init", "-q", "-b", "main") == 0
        stage("init")
        git("add", "-A")
        git("commit", "-qm", "base")
        for branch, number in (("left", catalogue.EYES), ("right", catalogue.SHARPEN)):
            git("checkout", "-q", "-b", branch, "main")
            stage("add", f"civitai:{number}", "--group", "g")
            git("add", "-A")
            assert git("commit", "-qm", branch) == 0
        assert git("merge", "-q", "-m", "both", "left") == 0
    stage("lock", "--check")
    assert {model["name"] for model in stage("list", "--json").json["models"]} == {"clear-eyes", "4x-sharpen"}
    shutil.rmtree(stage.path / ".git")


@case(178)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("words", [["lock"], ["sync"], ["sync", "--json"], ["status", "--json"], ["list"]])
def test_an_answer_without_room_or_reader(stage: Stage, words: list[str]) -> None:
    stage.manifest(ONE)
    stage("lock")
    stage.manifest(TWO)
    with Path("/dev/full").open("wb") as full:
        assert run(stage, *words, out=full).code == 9
    assert ("sharpen" in stage.lock_text) == (words[0] in ("lock", "sync")), "the work was done"
    reader, writer = os.pipe()
    os.close(reader)
    assert run(stage, *words, out=writer).code == 0
    os.close(writer)


@case(179)
@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "shift_jis"])
def test_an_encoding_that_lacks_a_character(stage: Stage, encoding: str) -> None:
    stage.manifest('[models]\nd = "civitai:58390@62833"\n')
    said = []
    for words in (["lock"], ["status"], ["sync"], ["show", "d"], ["outdated"], ["show", "d", "--json"]):
        said.append(Result(*nursery.run(*words, "-C", str(stage.path), PYTHONIOENCODING=encoding)))
        stage.heard(said[-1], words)
        assert said[-1].code == 0, said[-1].err
    assert said[-1].json["models"][0]["title"] == "Detail Tweaker LoRA (细节调整LoRA)", "JSON is UTF-8 always"


@case(179)
@pytest.mark.skipif(sys.platform != "linux", reason="the locale decides about file names")
def test_a_locale_that_lacks_a_character_of_a_name(stage: Stage) -> None:
    stage.manifest(f'[models.eyes]\nsource = "civitai:{catalogue.EYES}"\nfilename = "目.safetensors"\n')
    said = run(stage, "sync", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert said.code == 9 and "the encoding of this locale is ascii" in said.err
    assert stage.tree() == {}
    stage("sync")
    assert list(stage.tree()) == ["models/embeddings/目.safetensors"]
