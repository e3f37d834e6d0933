"""Lock and sync against a hub that we did not write: olah, serving a git repository with LFS pointers.

`make independent`, or `python benchmarks/independent.py [OLAH-CLI]`. Without an olah-cli it installs one into an
environment of its own; where that cannot be done, it says so and ends well. It needs git.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from synapse_sync.demo.weights import safetensors_bytes

OLAH = "olah==0.5.4"
REPO = "studio/large"
SHARDS = [f"unet/m-{number:05}-of-00002.safetensors" for number in (1, 2)]


def contents(mark: str) -> dict[str, bytes]:
    """The files of one revision."""
    index = {"weight_map": {str(n): path.rpartition("/")[2] for n, path in enumerate(SHARDS)}}
    return {
        "README.md": b"---\nlicense: mit\n---\n# Large\n",
        "config.json": json.dumps({"mark": mark}).encode(),
        "model.safetensors": safetensors_bytes(mark, size=40_000_000),
        "unet/m.safetensors.index.json": json.dumps(index).encode(),
        **{path: safetensors_bytes(mark + path, size=2_000_000) for path in SHARDS},
    }


def commit(repo: Path, files: dict[str, bytes], tag: str) -> None:
    """Commit files as git-lfs would: weights as pointers, their bytes below `.git/lfs`."""
    for path, content in files.items():
        place = repo / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.endswith(".safetensors"):
            sha256 = hashlib.sha256(content).hexdigest()
            blob = repo / ".git" / "lfs" / "objects" / sha256[:2] / sha256[2:4] / sha256
            blob.parent.mkdir(parents=True, exist_ok=True)
            blob.write_bytes(content)
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(content)}\n"
            content = pointer.encode()
        place.write_bytes(content)
    who = ["-c", "user.name=ada", "-c", "user.email=ada@example.org"]
    for words in (["add", "-A"], [*who, "commit", "-qm", tag], ["tag", tag]):
        subprocess.run(["git", "-C", str(repo), *words], check=True)


def find_olah(given: str | None, work: Path) -> Path | None:
    """The olah-cli that is given, installed or can be installed; None where none can be had."""
    if given or (given := shutil.which("olah-cli")):
        return Path(given)
    venv.create(work / "olah", with_pip=True)
    pip = [str(work / "olah" / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", OLAH]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    return work / "olah" / "bin" / "olah-cli" if done.returncode == 0 else None


def start(olah: Path, work: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Run olah for the repositories below `work`, cut off from the real hub; wait until it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = work / "olah.toml"
    config.write_text(
        f'[basic]\nhost = "127.0.0.1"\nport = {port}\nrepos-path = "{work}/cache"\n'
        'hf-scheme = "http"\n'
        'hf-netloc = "127.0.0.1:9"\nhf-lfs-netloc = "127.0.0.1:9"\n'
        f'mirror-netloc = "127.0.0.1:{port}"\n'
        f'mirror-lfs-netloc = "127.0.0.1:{port}"\nmirrors-path = ["{work}/mirror"]\n'
        "[accessibility]\noffline = true\n"
    )
    command = [str(olah), "-c", str(config), "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(command, cwd=work, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    for _ in range(300):
        try:
            with urlopen(f"{url}/api/models/{REPO}/revision/main", timeout=5):
                return server, url
        except (URLError, OSError):
            time.sleep(0.2)
    server.terminate()
    raise SystemExit("olah does not answer")


def check(url: str, work: Path, first: dict[str, bytes], second: dict[str, bytes]) -> None:
    """Do the steps of a user, and check the bytes."""
    project = work / "project"
    project.mkdir()
    environ = {**os.environ, "HF_ENDPOINT": url, "HF_HOME": str(work / "hf"),
               "SYNAPSE_STORE": str(work / "store"), "SYNAPSE_CONFIG": str(work / "none")}  # fmt: skip

    def synapse(*words: str, code: int = 0) -> str:
        command = [str(Path(sys.executable).with_name("synapse")), *words, "-C", str(project)]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def tree() -> dict[str, bytes]:
        root = project / "tree"
        return {
            str(p.relative_to(root)): p.read_bytes()
            for p in root.rglob("*")
            if p.is_file() and ".synapse" not in p.parts
        }

    (project / "tree").mkdir()
    head = '[targets.t]\nlayout = "flat"\nroot = "tree"\n[models]\n'
    manifest = project / "synapse.toml"
    manifest.write_text(f'{head}whole = "hf://{REPO}"\nold = "hf://{REPO}@v1/model.safetensors"\n')
    synapse("lock")
    print("locked:", (project / "synapse.lock").read_text().count("sha256 ="), "files")
    synapse("sync", "--locked")
    expected = {f"whole/{path}": content for path, content in second.items()}
    assert tree() == {**expected, "model.safetensors": first["model.safetensors"]}
    print("synced:", len(tree()), "files,", sum(map(len, tree().values())), "bytes, all as they were committed")
    assert "nothing to do" in synapse("sync")
    manifest.write_text(f'{head}shard = "hf://{REPO}@v1/{SHARDS[0]}"\n')
    synapse("sync", "--yes")
    assert tree() == {f"shard/{path}": first[path] for path in (*SHARDS, "unet/m.safetensors.index.json")}
    print("one shard of v1 brought its set")
    for reference in (f"{REPO}@nowhere", "nobody/nothing"):
        manifest.write_text(f'{head}none = "hf://{reference}"\n')
        print(f"{reference}:", synapse("lock", code=4).strip().splitlines()[0])


def main(given: str | None) -> None:
    """Build the repository, run olah, and check."""
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        olah = find_olah(given, work)
        if olah is None:
            print(f"skipped: {OLAH} cannot be installed here")
            return
        repo = work / "mirror" / "models" / REPO
        repo.mkdir(parents=True)
        subprocess.run(["git", "init", "-q", "-b", "main", str(repo)], check=True)
        first, second = contents("first"), contents("second")
        commit(repo, first, "v1")
        commit(repo, second, "v2")
        server, url = start(olah, work)
        try:
            check(url, work, first, second)
        finally:
            server.terminate()
            server.wait()
        print("right")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
