"""A real Dask scheduler with two workers: everything is done once, also if one of them is killed in the middle."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from world import Project, wait_for

if not os.environ.get("TESTS_SERVICES"):
    pytest.skip("`make services` runs these", allow_module_level=True)

from slow_work import doubled, fatal

from synapse_sync.demo import catalogue
from synapse_sync.demo.weights import safetensors_bytes
from synapse_sync.engine.cluster import cluster
from synapse_sync.errors import InputError, NetworkError

HERE = Path(__file__).parent
MANIFEST = f"""
[targets.comfy]
layout = "comfyui"
root = "ComfyUI"
[models]
portrait = "civitai:{catalogue.PORTRAIT}"
eyes = "civitai:{catalogue.EYES}"
vae = "hf://{catalogue.VAE_REPO}/portrait_vae.safetensors"
"""


class Cluster:
    """A scheduler and its workers, each a process."""

    def __init__(self, directory: Path, **environ: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as found:
            port = found.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{port}"
        self._directory = directory
        self._environ = environ
        self._scheduler = self._start("scheduler", "--port", str(port))
        self.workers: list[subprocess.Popen[bytes]] = []

    def _start(self, kind: str, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *words, "--host", "127.0.0.1"]
        search = os.pathsep.join((str(HERE), str(HERE.parents[1])))
        with (self._directory / f"{kind}.log").open("ab") as out:
            return subprocess.Popen(
                [*command, "--no-dashboard"],
                cwd=self._directory, env={**os.environ, "PYTHONPATH": search, **self._environ},
                stdout=out, stderr=out,
            )  # fmt: skip

    def add_worker(self) -> subprocess.Popen[bytes]:
        words = ("--nthreads", "1", "--no-nanny", "--local-directory", str(self._directory))
        self.workers.append(self._start("worker", self.address, *words))
        return self.workers[-1]

    def count(self) -> int:
        from distributed import Client

        with Client(self.address, timeout=30, set_as_default=False) as client:
            return len(client.scheduler_info()["workers"])

    def stop(self) -> None:
        for process in (*self.workers, self._scheduler):
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    found = Cluster(tmp_path_factory.mktemp("dask"))
    try:
        found.add_worker()
        found.add_worker()
        wait_for(lambda: found.count() == 2)
        yield found
    finally:
        found.stop()


def test_all_is_done_once_although_a_worker_is_killed(dask: Cluster, tmp_path: Path) -> None:
    items = [(str(tmp_path / "log"), number) for number in range(600)]
    results = []
    for item, result in cluster(dask.address)(doubled, items):
        if len(results) == 100:
            dask.workers[0].kill()
        results.append((item[1], result))
    assert sorted(results) == [(number, 2 * number) for number in range(600)]
    done = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    assert len({pid for _, pid in done}) == 2, "both worked"
    assert {int(number) for number, _ in done} == set(range(600))
    wait_for(lambda: dask.count() == 1)
    dask.add_worker()
    wait_for(lambda: dask.count() == 2)


def test_a_verification_says_the_same(project: Project, dask: Cluster) -> None:
    project.manifest(MANIFEST)
    project("sync", "--link-mode", "copy")
    blob = next(path for path in (project.store / "blobs").rglob("*") if path.is_file())
    whole = project("verify", "--store", "--json").json
    spread = project("verify", "--store", "--dask", dask.address, "--json").json
    assert spread == whole and whole["files"] == 6
    found = blob.stat()
    blob.chmod(0o600)
    blob.write_bytes(bytes(found.st_size))
    os.utime(blob, ns=(found.st_atime_ns, found.st_mtime_ns))
    said = project("store", "verify", "--dask", dask.address, "--json", code=6).json
    assert (len(said["set_aside"]) == 1 and blob.name in said["set_aside"][0].replace("…", "")) or blob.name[:16]


def test_an_import_reads_nothing_again(project: Project, dask: Cluster) -> None:
    folder = project.path / "ComfyUI/models/loras"
    folder.mkdir(parents=True)
    for name in "abc":
        (folder / f"{name}.safetensors").write_bytes(safetensors_bytes(name, size=17 << 20))
    project.manifest('[targets.comfy]\nlayout = "comfyui"\nroot = "ComfyUI"\n')
    parts = [
        project("import", "ComfyUI", "--shard", f"{number}/2", "--dask", dask.address, "--json").json
        for number in (1, 2)
    ]
    assert sum(part["files"] for part in parts) == 3 and sum(part["bytes"] for part in parts) >= 3 * (17 << 20)
    project("import", "ComfyUI", "--dask", dask.address)
    assert len(project.locked()) == 3


@pytest.fixture
def drive(project: Project) -> Path:
    """An empty directory that is the remote of the project, and that the workers see as well."""
    place = project.path.parent / "drive"
    place.mkdir()
    os.environ["SYNAPSE_REMOTE"] = str(place)
    return place


def wrong_in(drive: Path) -> list[str]:
    """The files of a remote that have other bytes than their names say."""
    files = (path for path in (drive / "blobs").rglob("*") if path.is_file())
    return [path.name for path in files if hashlib.sha256(path.read_bytes()).hexdigest() != path.name]


def test_workers_upload_what_a_push_uploads(project: Project, dask: Cluster, drive: Path) -> None:
    project.manifest(MANIFEST)
    project("sync")
    push = ("store", "push", "--all", "--dask", dask.address)
    done = project(*push, "--json").json
    assert {each["state"] for each in done["files"]} == {"pushed"} and done["bytes"] > 0
    assert not wrong_in(drive) and project("store", "status").out.rstrip().endswith(": all")
    assert "3 there already" in project(*push).out
    bad = next(path for path in (drive / "blobs").rglob("*") if path.is_file())
    bad.chmod(0o600)
    bad.write_bytes(b"other bytes")
    assert "--repair` replaces them" in " ".join(project(*push, code=6).err.split())
    assert "1 of them replaced" in project(*push, "--repair").out and not wrong_in(drive)
    assert "1 file uploaded" not in project(*push[:2], "eyes", *push[3:]).out


def test_a_worker_that_is_killed_leaves_no_half_file(project: Project, drive: Path, tmp_path: Path) -> None:
    """Another one uploads its files. The workers have settings of their own: a limit that makes them slow."""
    lines = ["[models]"]
    for number in range(12):
        content = safetensors_bytes(f"large {number}", size=2 << 20)
        url = project.hub.files.put(f"large-{number}.safetensors", content)
        digest = hashlib.sha256(content).hexdigest()
        lines.append(f'large-{number} = {{ source = "{url}", type = "lora", sha256 = "{digest}" }}')
    project.manifest("\n".join(lines) + "\n")
    project("sync")
    config = tmp_path / "config.toml"
    config.write_text('limit-rate = "4MB"\n')
    slow = Cluster(tmp_path, SYNAPSE_CONFIG=str(config))
    try:
        slow.add_worker()
        slow.add_worker()
        wait_for(lambda: slow.count() == 2)
        killing = Thread(target=lambda: (wait_for(lambda: list(drive.glob("tmp/*"))), slow.workers[0].kill()))
        killing.start()
        done = project("store", "push", "--all", "--dask", slow.address).out
        killing.join()
        assert slow.count() == 1 and "there already" in done
    finally:
        slow.stop()
    assert not wrong_in(drive) and project("store", "status").out.rstrip().endswith(": all")


def test_work_that_ends_every_worker_is_said(tmp_path: Path) -> None:
    """Dask gives a task up after some workers: here after the first one."""
    dask = Cluster(tmp_path, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0")
    try:
        dask.add_worker()
        wait_for(lambda: dask.count() == 1)
        with pytest.raises(NetworkError, match="each that tried it was gone"):
            list(cluster(dask.address)(fatal, [("x", 1)]))
    finally:
        dask.stop()


def test_no_scheduler_and_no_worker_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synapse_sync.engine.cluster.PATIENCE", 1.0)
    with pytest.raises(NetworkError, match="no Dask scheduler answers"):
        list(cluster("tcp://127.0.0.1:1")(doubled, [("x", 1)]))
    empty = Cluster(tmp_path)
    try:
        wait_for(lambda: empty.count() == 0)
        with pytest.raises(InputError, match="has no worker"):
            list(cluster(empty.address)(doubled, [("x", 1)]))
    finally:
        empty.stop()
