"""`dockerfile`: an image with the locked files, in which each large file is a layer of its own. Pure.

A layer with one file whose mode, time and directories are decided has the same digest on every machine. So an image
in which one model changed differs in one layer: registries and nodes have the others. The oldest models come first:
a new version goes to the end, and a builder keeps what is before a change.

Written for the Dockerfile frontend of BuildKit and for Buildah: secrets and caches are mounts of one RUN.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator

from synapse_sync.core.look import UNDATED
from synapse_sync.errors import InputError
from synapse_sync.interop.writers.values import Address, Export, ExportedFile, Written, below

#: A file of at least this many bytes is a layer of its own; the others are one layer together.
LARGE = 16 << 20
#: The number of layers with one file. An image may have 127 layers, and its base has some of them.
MOST = 100
#: The directory of the project, in the builder and in the image: receipts are known by it.
PROJECT = "/project"

_HEAD = """# syntax=docker/dockerfile:1
# Written by `synapse export dockerfile`. Build it where synapse.toml and synapse.lock are:
#   docker build -f THIS-FILE{secrets} -t models .
# Equal layers from every build: `reproducible = true` below [workspace]. Equal images, too: set SOURCE_DATE_EPOCH,
#   as a build argument, and use `rewrite-timestamp=true` (BuildKit) or `--layers --timestamp` (Buildah).
ARG BUILDER=python:3.12-slim
ARG BASE=scratch

FROM ${{BUILDER}} AS models
RUN command -v synapse >/dev/null || pip install --no-cache-dir synapse-sync=={version}
WORKDIR {project}
ARG SOURCE_DATE_EPOCH
COPY synapse.toml synapse.lock ./
"""

_FUNCTION = 'layer() { mkdir -p "/layers/$1${2%/*}" && mv -- "$2" "/layers/$1$2"; }'


def write(export: Export) -> Written:
    """Write the Dockerfile. A file outside the project that only this machine has is named in a warning.

    Raises `InputError` for a root that a line of a Dockerfile cannot contain.
    """
    for target in export.targets:
        if not target.root.isprintable():
            raise InputError(
                f"the root of target `{target.name}` has a character that a Dockerfile cannot contain",
                hint="give it another `root` in synapse.toml",
            )
    roots = {target.name: _absolute(target.root) for target in export.targets}
    sites = sorted({address.site for file in export.files for address in file.addresses if address.site})
    large = _large(export)
    secrets = "".join(f" --secret id={site},env={_variable(site)}" for site in sites)
    lines = [_HEAD.format(secrets=secrets, version=export.version, project=PROJECT)]
    own, notes, left_out = _own_sources(export)
    lines += (f"COPY {_copied(path)}\n" for path in (*export.included, *own))
    lines += _sync(sites, large, roots, ("synapse.toml", "synapse.lock", *export.included))
    lines.append("\nFROM ${BASE}\n")
    lines += (f"# {_comment(files[0])}\nCOPY --from=models /layers/{name}/ /\n" for name, files in large.items())
    lines.append(
        "# All smaller files; then the lockfile and the receipts, by which synapse knows its files there.\n"
    )
    trees = dict.fromkeys(roots.values())
    lines += (f"COPY --from=models {_copied(path)}\n" for path in trees)
    lines.append("COPY --from=models /layers/state/ /\n")
    notes += tuple(f"{name} is included: in the image, a sync downloads it again" for name in export.downloaded)
    return Written("".join(lines), notes, left_out)


def _absolute(root: str) -> str:
    """The root of a target in the image; the home directory there is that of root."""
    if root == "~" or root.startswith("~/"):
        return f"/root{root[1:]}"
    return root if root.startswith("/") else f"{PROJECT}/{root}" if root not in (".", "") else PROJECT


def _large(export: Export) -> dict[str, list[ExportedFile]]:
    """The large files, by the names of their layers: the same bytes are in one layer, under all their names."""
    found: dict[str, list[ExportedFile]] = {}
    order = sorted(export.files, key=lambda file: (file.model.card.published or "", file.model.name, file.path))
    for file in order:
        if not file.link and file.artifact.size >= LARGE:
            found.setdefault(file.artifact.sha256[:16], []).append(file)
    largest = sorted(found, key=lambda name: -found[name][0].artifact.size)[:MOST]
    return {name: files for name, files in found.items() if name in largest}


def _sync(
    sites: list[str], large: dict[str, list[ExportedFile]], roots: dict[str, str], project: Iterable[str]
) -> Iterator[str]:
    """The one RUN: the sync, with secrets and the store as mounts, and the large files apart.

    `project` are the files of the project that the image needs.
    """
    mounts = [f"--mount=type=secret,id={site}" for site in sites]
    mounts.append("--mount=type=cache,target=/var/cache/synapse,sharing=locked")
    yield f"RUN {' '.join(mounts)} set -e; \\\n"
    for site in sites:
        secret = f"/run/secrets/{site}"
        yield f'    if [ -s {secret} ]; then export {_variable(site)}="$(cat {secret})"; fi; \\\n'
    yield "    SYNAPSE_STORE=/var/cache/synapse synapse sync --locked --link-mode copy --no-progress; \\\n"
    yield f"    mkdir -p /layers; {_FUNCTION}; \\\n"
    for name, files in large.items():
        for file in files:
            yield f"    layer {name} {_word(below(roots[file.target], file.path))}; \\\n"
    yield "".join(f"    layer state {_word(f'{PROJECT}/{name}')}; \\\n" for name in project)
    for root in dict.fromkeys(roots.values()):
        yield f"    for each in {_word(root)}/.synapse {_word(root)}/.locks/.synapse; do \\\n"
        yield '        if [ -d "$each" ]; then layer state "$each"; fi; done; \\\n'
    trees = " ".join(map(_word, dict.fromkeys(roots.values())))
    # The directories from which files went, and those of the layers, have the time of this build.
    yield f'    find {trees} /layers -type d -exec touch -d "@${{SOURCE_DATE_EPOCH:-{UNDATED}}}" {{}} +\n'


def _copied(path: str) -> str:
    """The source and the destination of a COPY for one path, whatever its name contains.

    The source is a pattern of Go's `filepath.Match`. In both, the frontend expands variables and removes quotes, in
    the JSON form, too (BuildKit `frontend/dockerfile/shell/lex.go`).
    """
    pattern = re.sub(r"[\[*?]", r"[\g<0>]", path.replace("\\", "\\\\"))
    words = [re.sub(r"[\\$'\"]", r"\\\g<0>", text) for text in (pattern, path)]
    return json.dumps(words, ensure_ascii=False)


def _word(text: str) -> str:
    """A text as one word of the shell, on a line that a Dockerfile continues; it expands no variable there."""
    return shlex.quote(text)


def _comment(file: ExportedFile) -> str:
    """The name of a model in a comment, which it must not end."""
    return "".join(char if char.isprintable() else "?" for char in file.model.name)


def _variable(site: str) -> str:
    return Address("", site).variables[0]


def _own_sources(export: Export) -> tuple[list[str], tuple[str, ...], int]:
    """The files of the project itself that are models' sources; notes about other local files, and their number.

    A builder reads the project's directory only: not what is behind a link out of it.
    """
    found: dict[str, None] = {}
    notes: dict[str, None] = {}
    left_out = 0
    for _, file in export.placed():
        if file.addresses:
            continue
        path = file.artifact.url.id.removeprefix("./")
        inside = file.artifact.url.source == "path" and not path.startswith(("/", "~", "..")) and ":" not in path
        if inside and path not in export.linked:
            found[path] = None
            continue
        left_out += 1
        where = f"`{path}` is behind a link out of the project" if inside else "only a path of this machine"
        notes[f"`{file.model.name}`: its file has no URL, {where}: a build cannot read it"] = None
    return list(found), tuple(notes), left_out
