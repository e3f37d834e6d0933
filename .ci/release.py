"""Build a release and try it as strangers would: `make release-check`, `make onefile`, `make zipapp`.

    .ci/release.py check [--comfyui FILE]   # install into bare environments, run the demo, resolve beside others
    .ci/release.py onefile                  # build/release/synapse: for this kind of system, without any Python
    .ci/release.py zipapp [--windows]       # build/release/synapse.pyz: for one Python, without an installation

It runs with the Python of build/tools, which has the tools of .ci/requirements/release.txt.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "build" / "release"
TOOLS = Path(sys.executable).parent
#: What people have in the environment into which they might install synapse; the newest versions are resolved.
BESIDE = {"transformers": ["transformers"], "diffusers": ["diffusers", "accelerate", "peft", "safetensors"]}
#: ComfyUI is in no package index; its list is read from its repository, or from a clone that is named.
COMFYUI = "https://raw.githubusercontent.com/Comfy-Org/ComfyUI/master/requirements.txt"
#: Files without which an installed synapse does not work, or tells type checkers and editors nothing.
NEEDED = ("synapse_sync/py.typed", "synapse_sync/synapse.schema.json", "synapse_sync/api/workspace.py")
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)


class Failed(Exception):
    """A check failed; the reason."""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Build a release and try it.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("check").add_argument("--comfyui", type=Path, help="requirements.txt of a clone of ComfyUI")
    verbs.add_parser("onefile")
    verbs.add_parser("zipapp").add_argument("--windows", action="store_true", help="for Python 3.13 on Windows")
    given = parser.parse_args(arguments)
    try:
        wheel, sdist = build()
        if given.verb == "check":
            check(wheel, sdist, given.comfyui)
        elif given.verb == "onefile":
            try_demo([onefile(wheel)])
        else:
            zipapp(wheel, windows=given.windows)
    except (Failed, subprocess.CalledProcessError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return 0


def run(*command: str | Path, **how: object) -> str:
    """Run a command and return what it prints on stdout; raises `CalledProcessError`."""
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True, check=True, **how)  # type: ignore
    return str(done.stdout)


# -- building --------------------------------------------------------------------------------------


def build() -> tuple[Path, Path]:
    """Build the sdist, and the wheel from the sdist; the parts of the build are those with hashes."""
    dist = OUT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", dist, ROOT)
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    names = set(zipfile.ZipFile(wheel).namelist())
    if missing := [name for name in NEEDED if name not in names]:
        raise Failed(f"the wheel lacks {', '.join(missing)}")
    if strays := {name.split("/")[0] for name in names if not name.startswith("synapse_sync")}:
        raise Failed(f"the wheel would install {', '.join(sorted(strays))}")
    print(f"built {wheel.name} ({wheel.stat().st_size:,} bytes) and {sdist.name}")
    return wheel, sdist


def onefile(wheel: Path) -> Path:
    """Build one executable that needs no Python; it runs on systems like this one."""
    venv, work = OUT / "onefile-venv", OUT / "work"
    shutil.rmtree(venv, ignore_errors=True)
    run(TOOLS / "uv", "venv", "--quiet", "--python", sys.executable, venv)
    pinned = ROOT / ".ci" / "requirements" / "release.txt"
    run(TOOLS / "uv", "pip", "install", "--quiet", "--python", python_of(venv), "--require-hashes", "-r", pinned)
    run(TOOLS / "uv", "pip", "install", "--quiet", "--python", python_of(venv), wheel)
    site = Path(run(python_of(venv), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    # Parts that mypyc compiled are modules beside their package, under a name that nothing imports in plain sight.
    compiled = sorted({path.name.split(".")[0] for path in site.glob("*__mypyc*")})
    hidden = [word for name in compiled for word in ("--hidden-import", name)]
    entry = OUT / "entry.py"
    entry.write_text("from synapse_sync.cli.main import entry\n\nentry()\n", "utf-8")
    # The commands, the sites and the API are imported by name, when they are needed.
    run(
        python_of(venv), "-m", "PyInstaller", "--onefile", "--name", "synapse",
        "--noconfirm", "--log-level", "ERROR",
        "--collect-submodules", "synapse_sync", "--collect-data", "synapse_sync", *hidden,
        "--distpath", OUT, "--workpath", work, "--specpath", work, entry,
    )  # fmt: skip
    made = OUT / ("synapse.exe" if os.name == "nt" else "synapse")
    print(f"built {made.relative_to(ROOT)} ({made.stat().st_size:,} bytes)")
    return made


def zipapp(wheel: Path, *, windows: bool) -> Path:
    """Build one file for a Python that is there: this one, or 3.13 on Windows. It unpacks itself once."""
    made = OUT / ("synapse-windows.pyz" if windows else "synapse.pyz")
    with tempfile.TemporaryDirectory(dir=OUT) as site:
        if windows:  # the markers of this machine count for pip: what only Windows needs is named
            run(
                sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", site,
                "--only-binary", ":all:", "--platform", "win_amd64", "--implementation", "cp",
                "--python-version", "3.13", wheel, "colorama", "filelock>=3.20.3",
            )  # fmt: skip
        else:
            run(TOOLS / "uv", "pip", "install", "--quiet", "--python", sys.executable, "--target", site, wheel)
        run(
            TOOLS / "shiv", "--site-packages", site, "--console-script", "synapse", "--compressed",
            "--python", "/usr/bin/env python3", "--output-file", made,
        )  # fmt: skip
    print(f"built {made.relative_to(ROOT)} ({made.stat().st_size:,} bytes)")
    if not windows:
        try_demo([Path(sys.executable), made])
    return made


# -- trying ----------------------------------------------------------------------------------------


def check(wheel: Path, sdist: Path, comfyui: Path | None) -> None:
    """Install both files into bare environments and run the demo there; then resolve beside other programs."""
    for file in (wheel, sdist):
        with tempfile.TemporaryDirectory(dir=OUT) as place:
            venv = Path(place) / "venv"
            run(sys.executable, "-m", "venv", "--without-pip", venv)
            constraints = ROOT / ".ci" / "requirements" / "build.txt"
            run(
                TOOLS / "uv", "pip", "install", "--quiet", "--python", python_of(venv),
                "--build-constraints", constraints, file,
            )  # fmt: skip
            run(python_of(venv), "-I", "-W", "error", "-c", "from synapse_sync import *; Workspace, CivitaiClient")
            try_demo([python_of(venv).with_name("synapse.exe" if os.name == "nt" else "synapse")])
        print(f"installed {file.name} into a bare environment, and ran the demo there")
    lists = {name: "\n".join(wanted) for name, wanted in BESIDE.items()}
    if (text := comfyui_list(comfyui)) is not None:
        lists["ComfyUI"] = text
    for name, wanted in lists.items():
        beside(name, wanted)


def try_demo(command: Sequence[Path]) -> None:
    """Run the demo in an empty home, without variables and without any other program on the path."""
    with tempfile.TemporaryDirectory() as home:
        environment = {"HOME": home, "PATH": os.defpath if len(command) > 1 else home, "LC_ALL": "C.UTF-8"}
        kept = {name: os.environ[name] for name in ("SYSTEMROOT", "TEMP", "TMP") if name in os.environ}
        done = subprocess.run(
            [*map(str, command), "demo"],
            cwd=home,
            env=environment | kept,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Failed(
                f"{command[-1].name} demo ended with {done.returncode}:\n{done.stdout[-600:]}{done.stderr}"
            )
        if left := sorted(path.name for path in Path(home).iterdir() if not path.name.startswith(".")):
            raise Failed(f"the demo left {', '.join(left)} behind")


def python_of(venv: Path) -> Path:
    """The Python of an environment."""
    return venv / "Scripts" / "python.exe" if os.name == "nt" else venv / "bin" / "python"


def comfyui_list(path: Path | None) -> str | None:
    """The requirements of ComfyUI; None where its repository is out of reach and no clone is named."""
    if path is not None:
        return path.read_text("utf-8")
    try:
        with urllib.request.urlopen(COMFYUI, timeout=20) as answer:
            return str(answer.read().decode("utf-8"))
    except (urllib.error.URLError, OSError) as error:
        print(f"beside ComfyUI: left out, its list cannot be read ({error}); name a file: COMFYUI=FILE")
        return None


def beside(name: str, wanted: str) -> None:
    """Resolve a list alone, then with synapse: the same versions must come out. Raises `Failed`."""
    with tempfile.TemporaryDirectory() as place:
        asked, alone = Path(place) / "wanted.in", Path(place) / "alone.txt"
        asked.write_text(wanted, "utf-8")
        command = [TOOLS / "uv", "pip", "compile", "--quiet", "--no-annotate", "--no-header", asked]
        run(*command, "--output-file", alone)
        before = pins(alone.read_text("utf-8"))
        if not before:
            raise Failed(f"beside {name}: nothing was resolved")
        try:
            after = pins(run(*command, ROOT / "pyproject.toml", "--constraints", alone, stderr=subprocess.PIPE))
        except subprocess.CalledProcessError as error:
            raise Failed(f"beside {name}: the versions do not fit together\n{error.stderr}") from error
    if moved := {package for package, version in before.items() if after.get(package) != version}:
        raise Failed(f"beside {name}: synapse would move {', '.join(sorted(moved))}")
    more = sorted(after.keys() - before.keys())
    print(f"beside {name}: none of its {len(before)} versions moves; synapse adds {len(more)}: {', '.join(more)}")


def pins(text: str) -> dict[str, str]:
    """The pinned versions of a resolution, by name."""
    return {match[1].lower(): match[2] for match in _PIN.finditer(text)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
