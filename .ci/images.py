"""`make images`: builds images with models for real, by Buildah, from the hub of the demo; for root, on Debian.

It needs buildah and debootstrap, and uses the mirror of this machine's apt. It prints what it shows: two builds
with one digest, the layers that a changed model changes, and synapse at work in an image that nobody may write to.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
WORK = Path(os.environ.get("SYNAPSE_IMAGES", "/var/tmp/synapse-images"))
STORAGE = ["--root", f"{WORK}/storage", "--runroot", f"{WORK}/run", "--storage-driver", "vfs"]
BUILDER = "localhost/builder"
EPOCH = "1700000000"
LARGE = 17 << 20
#: The packages of development, which no command of synapse imports.
TOOLS = (
    "__pycache__",
    "mypy",  # not its compiler's output, which tomli is made of
    "mypyc",
    "*pytest*",
    "hypothesis*",
    "cryptography*",
    "zizmor*",
    "ruff*",
    "pip*",
    "keyring*",
)


def buildah(*words: str, quiet: bool = True, **more: str) -> str:
    """Run Buildah; returns what it prints, without the last line break."""
    done = subprocess.run(
        ["buildah", *STORAGE, *words], env=os.environ | more, text=True, check=False, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if quiet else None,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"buildah {' '.join(words)}: exit {done.returncode}\n{done.stdout}\n{done.stderr or ''}")
    return done.stdout.strip()


def mirror() -> str | None:
    """The Debian mirror of this machine's apt."""
    texts = [path.read_text() for path in Path("/etc/apt").rglob("*") if path.suffix in (".list", ".sources")]
    lines = [line for text in texts for line in text.splitlines() if not line.startswith("#")]
    found = re.search(r"(?:https?|file)://\S+/debian/?(?=\s|$)", "\n".join(lines))
    return found[0] if found else None


def base_image(source: str) -> None:
    """A Debian with Python and this synapse, as the image `BUILDER`; the Debian is made once."""
    root = WORK / "debian"
    if not (root / ".ready").exists():
        shutil.rmtree(root, ignore_errors=True)
        packages = "--include=python3-minimal,ca-certificates,libpython3-stdlib"
        subprocess.run(
            ["debootstrap", "--variant=minbase", packages, "bookworm", str(root), source],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        for place in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale"):
            shutil.rmtree(root / place, ignore_errors=True)
        (root / ".ready").touch()
    site = WORK / "site"
    shutil.rmtree(site, ignore_errors=True)
    parts = (path for path in map(Path, sys.path) if path.name == "site-packages" and path.is_dir())
    shutil.copytree(next(parts), site / "opt/synapse", symlinks=True, ignore=shutil.ignore_patterns(*TOOLS))
    shutil.copytree(HERE / "synapse_sync", site / "opt/synapse/synapse_sync", dirs_exist_ok=True)
    command = site / "usr/local/bin/synapse"
    command.parent.mkdir(parents=True)
    command.write_text('#!/bin/sh\nPYTHONPATH=/opt/synapse exec python3 -B -m synapse_sync "$@"\n')
    command.chmod(0o755)
    name = buildah("from", "scratch")
    buildah("add", "-q", name, str(root), "/")
    buildah("add", "-q", name, str(site), "/")
    buildah("commit", "-q", "--timestamp", "0", name, BUILDER)
    buildah("rm", name)


def build(context: Path, tag: str, *more: str, **variables: str) -> None:
    """Build the Dockerfile of a context from the beginning, with the hub's secrets."""
    buildah(
        "bud", "--isolation", "chroot", "--layers", "--no-cache", "--timestamp", EPOCH, "--build-arg",
        f"SOURCE_DATE_EPOCH={EPOCH}", "--build-arg", f"BUILDER={BUILDER}",
        "--secret", "id=huggingface,env=HF_TOKEN", "--secret", "id=civitai,env=CIVITAI_API_KEY",
        *more, "-f", str(context / "Dockerfile"), "-t", tag, str(context), **variables,
    )  # fmt: skip


def digest(tag: str) -> str:
    return buildah("images", "--format", "{{.Digest}}", tag).split("\n")[0]


def layers(tag: str) -> list[str]:
    """The digests of the layers of an image, uncompressed."""
    found: list[str] = json.loads(buildah("inspect", "--type", "image", tag))["OCIv1"]["rootfs"]["diff_ids"]
    return found


def expect(true: bool, words: str) -> None:
    """Print what is shown, or end with it."""
    print(f"  {'ok' if true else 'NOT SO'}: {words}", flush=True)
    if not true:
        raise SystemExit(1)


def synapse(project: Path, *words: str) -> None:
    subprocess.run([sys.executable, "-m", "synapse_sync", *words, "-C", str(project)], check=True)


def in_image(tag: str, project: Path) -> None:
    """Run synapse in an image, as a user that nobody knows, on a root that is mounted read-only."""
    name = buildah("from", tag)
    place = Path(buildah("mount", name))
    try:
        before = stats(place / project.relative_to("/"))
        for words in (["sync", "--frozen", "--offline"], ["status"], ["verify"]):
            trace = WORK / "trace"
            code = as_nobody(place, project, words, trace)
            expect(code == 0, f"`synapse {' '.join(words)}` ends with 0 as user 12345, all mounts read-only")
            read = bytes_read(trace, place)
            if words[0] != "verify":
                # One sample (store/sample.py) of each file.
                expect(read <= 16 * 4096, f"at most {read:,} bytes of any file of weights were read: no hashing")
        expect(stats(place / project.relative_to("/")) == before, "no file or directory of the project changed")
    finally:
        buildah("umount", name)
        buildah("rm", name)


def as_nobody(place: Path, project: Path, words: Sequence[str], trace: Path) -> int:
    """Run one command in a mounted image; `trace` gets its reads, if strace is here. Returns its exit code.

    HOME is the root, as runc sets it for a user that nobody knows.
    """
    script = (
        'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && place=$1 project=$2 trace=$3 && shift 3 && '
        'trace_it=""; command -v strace >/dev/null && '
        'trace_it="strace -f -y -qq -e trace=read,pread64,readv,preadv,mmap -o $trace"; '
        'exec $trace_it chroot --userspec=12345:12345 "$place" /usr/bin/env -i PATH=/usr/local/bin:/usr/bin:/bin '
        'HOME=/ SYNAPSE_OFFLINE=1 synapse "$@" -C "$project"'
    )
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]
    done = subprocess.run([*command, str(place), str(project), str(trace), *words], capture_output=True, text=True)
    print("    " + (done.stdout + done.stderr).strip().replace("\n", "\n    "))
    return done.returncode


def bytes_read(trace: Path, place: Path) -> int:
    """The most bytes that were read of one file of weights."""
    sums: dict[str, int] = {}
    for line in trace.read_text(errors="replace").splitlines() if trace.exists() else ():
        match = re.search(r"\b(?:read|pread64|readv|preadv)\(\d+<([^>]*\.safetensors)>.* = (\d+)$", line)
        if match:
            sums[match[1]] = sums.get(match[1], 0) + int(match[2])
    return max(sums.values(), default=0)


def stats(directory: Path) -> dict[str, tuple[int, int, int]]:
    found = {}
    for path in (directory, *directory.rglob("*")):
        look = path.lstat()
        found[str(path)] = (look.st_mtime_ns, look.st_ctime_ns, look.st_mode)
    return found


def main() -> None:
    """Build all images, and print what is true of them."""
    missing = [name for name in ("buildah", "debootstrap") if shutil.which(name) is None]
    source = mirror()
    if os.geteuid() != 0 or missing or source is None:
        print(
            f"make images: left out: it needs root, Debian's mirror in apt, {' and '.join(missing) or 'all tools'}"
        )
        return
    sys.path.insert(0, str(HERE))
    from synapse_sync.demo import catalogue
    from synapse_sync.demo.hub import Hub
    from synapse_sync.demo.weights import safetensors_bytes

    WORK.mkdir(parents=True, exist_ok=True)
    base_image(source)
    project = WORK / "project"
    shutil.rmtree(project, ignore_errors=True)
    project.mkdir()
    with Hub() as hub:
        catalogue.populate(hub)
        hub.huggingface.grant(catalogue.GATED_REPO)
        os.environ |= hub.environment() | {
            "SYNAPSE_STORE": f"{WORK}/store",
            "SYNAPSE_CONFIG": f"{WORK}/config.toml",
        }
        shutil.rmtree(WORK / "store", ignore_errors=True)
        large = {
            n: hub.files.put(f"big{n}.safetensors", safetensors_bytes(f"big {n}", size=LARGE)) for n in range(3)
        }
        lines = "".join(f'big{n} = {{ source = "{url}", type = "checkpoint" }}\n' for n, url in large.items())
        (project / "synapse.toml").write_text(
            '[workspace]\nname = "images"\nreproducible = true\nsidecars = true\n[targets.ui]\nroot = "ComfyUI"\n'
            f'[models]\n{lines}portrait = "civitai:{catalogue.PORTRAIT}"\n'
            f'gated = {{ source = "hf://{catalogue.GATED_REPO}", type = "vae", include = ["*.safetensors"] }}\n'
        )
        synapse(project, "lock", "-q")
        synapse(project, "export", "dockerfile", "-q", "-o", str(project / "Dockerfile"))
        # The builder reaches the hub by its variables; no token is among them.
        name = buildah("from", BUILDER)
        for variable, value in hub.environment(tokens=False).items():
            buildah("config", "--env", f"{variable}={value}", name)
        buildah("commit", "-q", "--timestamp", "0", name, BUILDER)
        buildah("rm", name)

        print("FROM scratch, with secret and cache mounts")
        build(project, "data:1")
        os.umask(0o077)
        build(project, "data:2", TZ="Asia/Tokyo")
        os.umask(0o022)
        expect(digest("data:1") == digest("data:2"), f"two builds, one digest: {digest('data:1')}")
        expect(no_token("data:1", hub.huggingface_token), "no token in any layer or in the configuration")

        print("FROM a debootstrap base")
        base = ("--build-arg", f"BASE={BUILDER}")
        build(project, "run:1", *base)
        build(project, "run:2", *base)
        expect(digest("run:1") == digest("run:2"), f"two builds, one digest: {digest('run:1')}")
        in_image("run:1", Path("/project"))

        print("one of three large models changes")
        hub.files.put("big1.safetensors", safetensors_bytes("big 1, anew", size=LARGE))
        synapse(project, "lock", "-q", "--upgrade-model", "big1")
        synapse(project, "export", "dockerfile", "-q", "-o", str(project / "Dockerfile"))
        build(project, "data:3")
        new = [each for each in layers("data:3") if each not in layers("data:1")]
        sizes = [size_of("data:3", each) for each in new]
        models = sum(size > 1 << 20 for size in sizes)
        expect(models == 1, f"layers to pull again: {models} with a model, of {len(layers('data:3'))} in all; "
                            f"new layers have {sizes} bytes")  # fmt: skip
        example(hub)


def size_of(tag: str, diff_id: str) -> int:
    """The size of a layer of an image in bytes, by the archive that a registry would get."""
    where = WORK / "oci"
    if not (where / tag.replace(":", "-")).exists():
        where.mkdir(exist_ok=True)
        buildah("push", "--disable-compression", tag, f"dir:{where / tag.replace(':', '-')}")
    return (where / tag.replace(":", "-") / diff_id.removeprefix("sha256:")).stat().st_size


def no_token(tag: str, token: str) -> bool:
    """Whether the files of an image, as a registry would get them, lack a text."""
    size_of(tag, layers(tag)[0])
    return all(token.encode() not in path.read_bytes() for path in (WORK / "oci" / tag.replace(":", "-")).iterdir())


def example(hub: object) -> None:
    """Build `examples/docker` as it is, but for the promise about bytes that only the real site has."""
    print("examples/docker")
    context = WORK / "example"
    shutil.rmtree(context, ignore_errors=True)
    shutil.copytree(HERE / "examples" / "docker", context)
    manifest = context / "synapse.toml"
    manifest.write_text(re.sub(r'sha256 = "\w+"', "", manifest.read_text()))
    synapse(context, "lock", "-q")
    build(context, "example:1", "--build-arg", f"BASE={BUILDER}")
    build(context, "example:2", "--build-arg", f"BASE={BUILDER}")
    expect(digest("example:1") == digest("example:2"), f"two builds, one digest: {digest('example:1')}")
    weights = sum(path.stat().st_size for path in files_of("example:1", "opt/ComfyUI"))
    own = [each for each in layers("example:1") if each not in layers(BUILDER)]
    layer = sum(size_of("example:1", each) for each in own)
    expect(weights <= layer < 2 * weights, f"{weights:,} bytes of models, {layer:,} bytes of layers: each once")


def files_of(tag: str, directory: str) -> list[Path]:
    """Copies of the weights below a directory of an image."""
    name = buildah("from", tag)
    place = Path(buildah("mount", name))
    found = [path for path in (place / directory).rglob("*.safetensors") if path.is_file()]
    copies = WORK / "copies"
    shutil.rmtree(copies, ignore_errors=True)
    copies.mkdir()
    kept = [Path(shutil.copy2(path, copies / path.name)) for path in found]
    buildah("umount", name)
    buildah("rm", name)
    return kept


if __name__ == "__main__":
    try:
        main()
    finally:
        shutil.rmtree(WORK / "oci", ignore_errors=True)
