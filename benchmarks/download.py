"""Downloads: one large file and many small ones, plain, over TLS and throttled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import ours, peers
from benchmarks.measure import Contender, compare
from benchmarks.peers import Job
from benchmarks.report import Table, Target
from benchmarks.servers import Server, make_files, read_all, serving, write_hub

_CHECKED = "aria2c -x16 -s16 --checksum"
_UNCHECKED = "aria2c -x16 -s16, unverified"
_MANY_CHECKED, _MANY_UNCHECKED = "aria2c -j16 --checksum", "aria2c -j16, unverified"
_MEMORY = Target(of="memory", most=100)
_CPU = Target(of="cpu", most=1.3, peer="curl, openssl dgst")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How large the one file is, how many of a megabyte there are, and how many of 20 KB."""

    one: int = 2_000_000_000
    many: int = 500
    small: int = 1_000_000
    most: int = 5_000
    tiny: int = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One table: which files, from where, beside whom, and what is to be reached."""

    title: str
    folder: str
    base: Callable[[Server], str]
    peers: Callable[[Job], tuple[Contender, ...]]
    targets: tuple[Target, ...]


def _one(job: Job) -> tuple[Contender, ...]:
    return (
        peers.curl_openssl(job),
        peers.curl_openssl_durable(job),
        peers.curl_sha256sum(job),
        peers.wget_sha256sum(job),
        peers.aria2c(job, options="-x16 -s16", checked=True),
        peers.aria2c(job, options="-x16 -s16", checked=False),
        peers.hf_download(job),
    )


def _throttled(job: Job) -> tuple[Contender, ...]:
    return (
        peers.aria2c(job, options="-x16 -s16", checked=False),
        peers.aria2c(job, options="-x16 -s16", checked=True),
    )


def _many(job: Job) -> tuple[Contender, ...]:
    return (
        peers.curl_openssl(job),
        peers.curl_sha256sum(job),
        peers.wget_sha256sum(job),
        peers.aria2c(job, options="-j16", checked=False),
        peers.aria2c(job, options="-j16", checked=True),
        peers.hf_download(job),
    )


def _seconds(peer: str, most: float) -> Target:
    return Target(of="seconds", most=most, peer=peer)


SUBJECTS = {
    "one-http": Subject(
        title="One file of {size} over HTTP",
        folder="one",
        base=lambda server: server.plain,
        peers=_one,
        targets=(
            _seconds("limit.c", 1.15),
            _CPU,
            _MEMORY,
        ),
    ),
    "one-tls": Subject(
        title="One file of {size} over TLS",
        folder="one",
        base=lambda server: server.tls,
        peers=_one,
        targets=(
            _seconds("curl, openssl dgst", 0.95),
            _CPU,
            _MEMORY,
        ),
    ),
    "one-throttled": Subject(
        title="One file of {size} over HTTP, 20 MiB/s per connection",
        folder="one",
        base=lambda server: f"{server.plain}/slow",
        peers=_throttled,
        targets=(_seconds(_UNCHECKED, 0.75), _MEMORY),
    ),
    "many-http": Subject(
        title="{count} files of {size} over HTTP",
        folder="many",
        base=lambda server: server.plain,
        peers=_many,
        targets=(_MEMORY,),
    ),
    "many-tls": Subject(
        title="{count} files of {size} over TLS",
        folder="many",
        base=lambda server: server.tls,
        peers=_many,
        targets=(_seconds(_MANY_CHECKED, 1.0), _seconds(_MANY_UNCHECKED, 1.6), _MEMORY),
    ),
    "most-tls": Subject(
        title="{count} files of {size} over TLS",
        folder="most",
        base=lambda server: server.tls,
        peers=_many,
        targets=(_seconds(_MANY_UNCHECKED, 5.0), _MEMORY),
    ),
}


def measure(
    names: list[str], work: Path, sizes: Sizes, runs: int, builds: Sequence[ours.Build] = (ours.OWN,)
) -> Iterator[Table]:
    """The tables of these subjects, one after the other; `builds` are synapse on several Pythons, ours first."""
    files, hub = work / "files", work / "hub"
    jobs = {}
    folders = (("one", 1, sizes.one), ("many", sizes.many, sizes.small), ("most", sizes.most, sizes.tiny))
    for folder, count, size in folders:
        if any(SUBJECTS[name].folder == folder for name in names):
            jobs[folder] = make_files(files, f"{folder}", count=count, size=size)
            read_all(files, jobs[folder])
            write_hub(hub, folder, jobs[folder])
    limit = peers.build_limit(work)
    with serving(files, hub) as server:
        for name in names:
            subject = SUBJECTS[name]
            print(name, flush=True)
            job = Job(
                server=server, base=subject.base(server), repository=subject.folder, files=jobs[subject.folder]
            )
            contenders = (*_synapse(job, work / "locked" / name, builds), *subject.peers(job))
            if name == "one-http" and limit is not None:
                contenders += (peers.limit(job, limit), peers.limit(job, limit, durable=True))
            yield Table(
                title=subject.title.format(count=len(job.files), size=_size(job.files[0].size)),
                ours=ours.NAME,
                runs=compare(peers.installed(contenders), runs=runs, folder=work / "run"),
                targets=subject.targets,
                size=job.size,
            )


def _synapse(job: Job, project: Path, builds: Sequence[ours.Build]) -> Iterator[Contender]:
    """Our command on each Python, with a lockfile made now."""
    text = ours.manifest((job.url(file), file.sha256) for file in job.files)
    ours.lock(project, text, ours.environment(project, job.server.authority))

    def contender(build: ours.Build) -> Contender:
        return Contender(
            name=build.name,
            command=lambda folder: ours.sync(project, folder, job.server.authority, build),
            check=lambda folder: job.check(folder / "models"),
        )

    yield from map(contender, builds)


def _size(size: int) -> str:
    if size < 1e6:
        return f"{size / 1e3:g} KB"
    return f"{size / 1e9:g} GB" if size >= 1e9 else f"{size / 1e6:g} MB"
