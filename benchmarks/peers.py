"""Peers: the command lines that fetch the same files, each at its best settings."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Command, Contender, Failed
from benchmarks.ours import BIN
from benchmarks.servers import File, Server

_ARIA = "aria2c --no-conf -q --file-allocation=none --console-log-level=error"
#: Programs that may be missing, and the packages that have them.
_DEBIAN = {
    "aria2c": "aria2", "b3sum": "b3sum", "curl": "curl", "git": "git", "rclone": "rclone", "wget": "wget",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Files to have, from which address, for which repository of the hub's API they stand."""

    server: Server
    base: str
    repository: str
    files: tuple[File, ...]

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(file.size for file in self.files)

    def url(self, file: File) -> str:
        """Where a file is."""
        return f"{self.base}/{file.name}"

    def check(self, where: Path) -> None:
        """Raise `Failed` unless every file is in `where` with the right bytes."""
        for file in self.files:
            path = where / _name(file)
            if not path.is_file():
                raise Failed(f"{path.name} is missing")
            with path.open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != file.sha256:
                    raise Failed(f"{path.name} has the wrong content")


def _name(file: File) -> str:
    return file.name.rpartition("/")[2]


def _sums(job: Job) -> str:
    return "".join(f"{file.sha256}  {_name(file)}\n" for file in job.files)


def _shell(job: Job, name: str, script: str) -> Contender:
    """A contender that is a line of shell; it finds `sums`, `urls`, `curlrc` and `aria` beside it."""

    def command(folder: Path) -> Command:
        (folder / "sums").write_text(_sums(job))
        (folder / "urls").write_text("".join(f"{job.url(file)}\n" for file in job.files))
        (folder / "curlrc").write_text(
            "".join(f'url = "{job.url(file)}"\noutput = "{_name(file)}"\n' for file in job.files)
        )
        (folder / "aria").write_text("".join(f"{job.url(file)}\n  out={_name(file)}\n" for file in job.files))
        (folder / "aria-checked").write_text(
            "".join(
                f"{job.url(file)}\n  out={_name(file)}\n  checksum=sha-256={file.sha256}\n" for file in job.files
            )
        )
        return Command(argv=("sh", "-ec", script), folder=folder, env={"CA": str(job.server.authority)})

    return Contender(name=name, command=command, check=job.check)


_CURL = 'curl -q -sSfL --no-progress-meter --cacert "$CA" -Z --parallel-max 16 -K curlrc'
_WGET = 'wget --no-config -q --ca-certificate="$CA" -i urls'
_OPENSSL = "openssl dgst -sha256 -r *.safetensors | sed 's/ \\*/  /' | cmp - sums"


def curl_openssl(job: Job) -> Contender:
    """curl (16 at once for several files), then `openssl dgst -sha256`."""
    return _shell(job, "curl, openssl dgst", f"{_CURL}; {_OPENSSL}")


def curl(job: Job) -> Contender:
    """curl alone, 16 files at once."""
    return _shell(job, "curl, unverified", _CURL)


def curl_openssl_durable(job: Job) -> Contender:
    """The same, and the bytes on the disk at the end, as ours are."""
    return _shell(job, "curl, openssl dgst, sync", f"{_CURL}; {_OPENSSL}; sync *.safetensors")


def curl_sha256sum(job: Job) -> Contender:
    """curl, then `sha256sum -c`."""
    return _shell(job, "curl, sha256sum", f"{_CURL}; sha256sum -c --quiet sums")


def wget_sha256sum(job: Job) -> Contender:
    """wget, then `sha256sum -c`."""
    return _shell(job, "wget, sha256sum", f"{_WGET}; sha256sum -c --quiet sums")


def aria2c(job: Job, *, options: str, checked: bool) -> Contender:
    """aria2c, with its own checksum or with none."""
    name = f"aria2c {options}" + (" --checksum" if checked else ", unverified")
    source = "aria-checked" if checked else "aria"
    return _shell(job, name, f'{_ARIA} --ca-certificate="$CA" {options} -i {source}')


def hf_download(job: Job) -> Contender:
    """`hf download` from an endpoint that this nginx plays, over plain HTTP requests; it verifies nothing."""

    def command(folder: Path) -> Command:
        (folder / "to").mkdir()
        env = {
            "HF_ENDPOINT": job.base,
            "HF_HOME": str(folder / "cache"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "SSL_CERT_FILE": str(job.server.authority),
        }
        argv = (str(BIN / "hf"), "download", f"bench/{job.repository}", "--local-dir", "to")
        return Command(argv=argv, folder=folder, env=env)

    return Contender(name="hf download, unverified", command=command, check=lambda folder: job.check(folder / "to"))


def build_limit(folder: Path) -> Path | None:
    """Compile `limit.c`; None where there is no compiler or no OpenSSL to compile with."""
    program = folder / "limit"
    source = Path(__file__).with_name("limit.c")
    if shutil.which("gcc") is None:
        return None
    words = ["gcc", "-O2", "-o", str(program), str(source), "-lcrypto", "-lpthread"]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode != 0:
        print(done.stderr[-500:], file=sys.stderr)
        return None
    return program


def limit(job: Job, program: Path, *, durable: bool = False) -> Contender:
    """The C program: one file, one connection, plain HTTP. With `durable` the file is on the disk at the end."""
    (file,) = job.files

    def command(folder: Path) -> Command:
        port, _, prefix = job.base.removeprefix("http://127.0.0.1:").partition("/")
        path = f"/{prefix}/{file.name}" if prefix else f"/{file.name}"
        script = 'test "$("$@")" = "$SHA256"' + ("; sync *.safetensors" if durable else "")
        argv = ("sh", "-ec", script, "limit", str(program), port, path, str(file.size), _name(file))
        return Command(argv=argv, folder=folder, env={"SHA256": file.sha256})

    return Contender(name="limit.c, sync" if durable else "limit.c", command=command, check=job.check)


def installed(contenders: Sequence[Contender]) -> tuple[Contender, ...]:
    """Those contenders whose program is here; says which are not."""
    here = []
    for contender in contenders:
        program = contender.name.split()[0].rstrip(",")
        if program in _DEBIAN and shutil.which(program) is None:
            print(f"  {contender.name}: left out (apt-get install {_DEBIAN[program]})", flush=True)
        else:
            here.append(contender)
    return tuple(here)
