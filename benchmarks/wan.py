"""The WAN: downloads over an emulated long line, with TLS and a redirect to a second host.

Two network namespaces, between them `line.c`, at the far end nginx: one address answers every request with a
redirect to the other, as Civitai and Hugging Face do. The kernel's own TCP runs at both ends, and no traffic leaves
the machine.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import ours, peers
from benchmarks.measure import Command, Contender, compare
from benchmarks.peers import Job
from benchmarks.report import Table, Target
from benchmarks.servers import Server, make_certificates, make_files, quietly, read_all

_HERE = Path(__file__).parent
_NET, _CLIENT, _FRONT, _STORAGE = "10.77.0.0/24", "10.77.0.1", "10.77.0.2", "10.77.0.3"
_TOOLS = {"gcc": "gcc", "ip": "iproute2", "nginx": "nginx-light", "openssl": "openssl", "sysctl": "procps"}
#: Linux's usual limits, whatever this machine has; and no run inherits what the kernel learned in the run before.
_SYSCTLS = (
    "net.ipv4.tcp_rmem=4096 131072 6291456",
    "net.ipv4.tcp_wmem=4096 16384 4194304",
    "net.ipv4.tcp_no_metrics_save=1",
)
_CONFIG = """
user root; daemon off; worker_processes 2; pid {work}/pid; error_log {work}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; default_type application/octet-stream;
  client_body_temp_path {work}/body; proxy_temp_path {work}/proxy; fastcgi_temp_path {work}/fastcgi;
  uwsgi_temp_path {work}/uwsgi; scgi_temp_path {work}/scgi;
  ssl_certificate {work}/server.pem; ssl_certificate_key {work}/server.key; ssl_session_cache shared:wan:10m;
  server {{ listen {front}:443 ssl; location / {{ return 302 https://{storage}$uri?signature=abcdef; }} }}
  server {{ listen {storage}:443 ssl; root {files}; }}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line: the link in Mbit/s, the round trip and the queue in ms, the loss in percent.

    `pace` is the most that the server sends on one connection, in MB/s; 0 is no limit.
    """

    link: float = 1000
    rtt: float = 100
    loss: float = 0
    pace: float = 10
    queue: float = 50

    def __str__(self) -> str:
        paced = f"{self.pace:g} MB/s a connection" if self.pace else "no limit a connection"
        lost = f", {self.loss:g} % of the packets lost" if self.loss else ""
        return f"{self.link:g} Mbit/s, {self.rtt:g} ms there and back, {paced}{lost}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Files, the line, and the most that synapse may need beside aria2c with its checksum and without."""

    line: Line
    count: int = 1
    size: int = 400_000_000
    checked: float = 0.90
    bare: float | None = 1.10


SCENARIOS = {
    "rtt20": Scenario(line=Line(rtt=20)),
    "rtt50": Scenario(line=Line(rtt=50)),
    "rtt100": Scenario(line=Line()),
    "loss": Scenario(line=Line(loss=0.1, pace=0), checked=1.0, bare=None),
    "ten": Scenario(line=Line(), count=10, size=100_000_000, checked=0.85, bare=None),
    "many": Scenario(line=Line(link=500), count=200, size=1_000_000, checked=1.0, bare=None),
}


def missing() -> str | None:
    """Why the line cannot be emulated on this machine; None where it can."""
    if platform.system() != "Linux":
        return "it needs network namespaces of Linux"
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    if not Path("/dev/net/tun").exists():
        return "/dev/net/tun is missing"
    if absent := [package for tool, package in _TOOLS.items() if shutil.which(tool, path=_path()) is None]:
        return f"apt-get install {' '.join(absent)}"
    done = subprocess.run(["unshare", "--net", "true"], capture_output=True, text=True)
    return None if done.returncode == 0 else f"no network namespace: {done.stderr.strip()}"


def _path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"


def measure(work: Path, runs: int, share: float = 1.0) -> Iterator[Table]:
    """The tables of all scenarios; `share` makes the files smaller or fewer."""
    program = work / "line"
    quietly("gcc", "-O2", "-o", program, _HERE / "line.c")
    for name, scenario in SCENARIOS.items():
        print(f"wan {name}", flush=True)
        few = replace(scenario, count=max(1, int(scenario.count * min(1.0, share))))
        if scenario.count == 1:
            few = replace(few, size=max(40_000_000, int(scenario.size * min(1.0, share))))
        yield _table(name, few, program, work, runs)


def _table(name: str, scenario: Scenario, program: Path, work: Path, runs: int) -> Table:
    files = work / "files"
    made = make_files(files, f"wan-{scenario.count}x{scenario.size}", count=scenario.count, size=scenario.size)
    read_all(files, made)
    with _running(scenario.line, program, files) as (server, client, far):
        job = Job(server=server, base=server.tls, repository="", files=made)
        at_once = "-x16 -s16 -k1M -j4" if scenario.size >= 16_000_000 else "-j16"
        others = (
            peers.aria2c(job, options=at_once, checked=True),
            peers.aria2c(job, options=at_once, checked=False),
            peers.curl(job),
        )
        contenders = (_synapse(job, work / "locked" / f"wan-{name}", far), *peers.installed(others))
        inside = tuple(_inside(contender, client) for contender in contenders)
        targets = [Target(of="seconds", most=scenario.checked, peer=f"aria2c {at_once} --checksum")]
        if scenario.bare is not None:
            targets.append(Target(of="seconds", most=scenario.bare, peer=f"aria2c {at_once}, unverified"))
        what = f"{scenario.count} x {scenario.size / 1e6:g} MB"
        return Table(
            title=f"{what} over a long line ({name})",
            ours=ours.NAME,
            runs=compare(inside, runs=runs, folder=work / "run"),
            targets=tuple(targets),
            size=job.size,
            notes=(str(scenario.line),),
        )


def _synapse(job: Job, project: Path, far: str) -> Contender:
    """Our command, with a lockfile that is made at the server's end, where no line is in the way."""
    text = ours.manifest((job.url(file), file.sha256) for file in job.files)
    ours.lock(project, text, ours.environment(project, job.server.authority), ("ip", "netns", "exec", far))
    return Contender(
        name=ours.NAME,
        command=lambda folder: ours.sync(project, folder, job.server.authority),
        check=lambda folder: job.check(folder / "models"),
    )


def _inside(contender: Contender, namespace: str) -> Contender:
    """The same contender at one end of the line."""

    def command(folder: Path) -> Command:
        plain = contender.command(folder)
        return replace(plain, argv=("ip", "netns", "exec", namespace, *plain.argv))

    return replace(contender, command=command)


@contextlib.contextmanager
def _running(line: Line, program: Path, files: Path) -> Iterator[tuple[Server, str, str]]:
    """The line with nginx at its far end, and the namespaces of the client and of the server."""
    client, far = (f"synapse-bench-{os.getpid()}-{end}" for end in ("client", "server"))
    with contextlib.ExitStack() as undo:
        work = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="synapse-bench-")))
        for name in (client, far):
            quietly("ip", "netns", "add", name)
            undo.callback(quietly, "ip", "netns", "delete", name)
        figures = (line.link, line.rtt / 2, line.loss, line.pace, line.queue)
        emulator = subprocess.Popen(
            [program, client, far, *map(str, figures)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        undo.callback(_end, emulator)
        assert emulator.stdout is not None
        if emulator.stdout.readline() != "ready\n":
            raise SystemExit("the emulated line does not start")
        for name, addresses in ((client, (_CLIENT,)), (far, (_FRONT, _STORAGE))):
            _join(name, addresses)
        authority = make_certificates(work, f"IP:{_FRONT},IP:{_STORAGE}")
        config = work / "nginx.conf"
        config.write_text(_CONFIG.format(work=work, files=files, front=_FRONT, storage=_STORAGE))
        nginx = shutil.which("nginx", path=_path()) or "nginx"
        words = [nginx, "-p", str(work), "-e", str(work / "error.log"), "-c", str(config)]
        undo.callback(_end, subprocess.Popen(["ip", "netns", "exec", far, *words]))
        _wait_for(work / "pid")
        yield Server(plain="", tls=f"https://{_FRONT}", authority=authority), client, far


def _join(namespace: str, addresses: tuple[str, ...]) -> None:
    """Bring an end of the line up, with its addresses."""
    ip = ("ip", "-n", namespace)
    quietly(*ip, "link", "set", "lo", "up")
    for address in addresses:
        quietly(*ip, "address", "add", f"{address}/32", "dev", "line0")
    quietly(*ip, "link", "set", "line0", "txqueuelen", "10000", "up")
    quietly("ip", "netns", "exec", namespace, "sysctl", "-qw", *_SYSCTLS)
    quietly(*ip, "route", "add", _NET, "dev", "line0", "src", addresses[0])


def _wait_for(path: Path) -> None:
    for _ in range(200):
        if path.exists() and path.stat().st_size:
            return
        time.sleep(0.02)
    raise SystemExit("nginx does not start")


def _end(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
