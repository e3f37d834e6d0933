"""Writers: one row for each format of `synapse export`, and one module for each row. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from synapse_sync.core.frozen import dataclass
from synapse_sync.interop.writers import (
    aria2,
    comfy_lock,
    comfyui_paths,
    cyclonedx,
    dockerfile,
    k8s,
    sh,
    sha256sums,
    urls,
    workflow,
)
from synapse_sync.interop.writers.values import Export, Written


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """One format: `about` is its line in the help, and `write` makes the text.

    With `fetches`, the text downloads files, so that policy is asked about each of them first. With `completes`,
    the user names a file of that format, whose text is `Export.given`. With `merges`, that is the present text of
    the file that is written. `ours` says whether a text is an earlier export, which may be replaced. With `beside`,
    relative roots begin at the directory of that file.
    """

    about: str
    write: Callable[[Export], Written]
    ours: Callable[[str], bool] = lambda text: "Written by `synapse export" in text[:1000]
    fetches: bool = False
    completes: bool = False
    merges: bool = False
    beside: bool = False


WRITERS: Mapping[str, Writer] = {
    "aria2": Writer(about="an input file of aria2c", write=aria2.write, fetches=True),
    "comfy-lock": Writer(
        about="the models of comfy-lock.yaml; other sections of an existing FILE stay",
        write=comfy_lock.write,
        fetches=True,
        merges=True,
    ),
    "comfyui-paths": Writer(
        about="extra_model_paths.yaml: ComfyUI reads the targets; other sections of an existing FILE stay",
        write=comfyui_paths.write,
        merges=True,
        beside=True,
    ),
    "cyclonedx": Writer(
        about="a bill of materials (CycloneDX 1.6); needs synapse-sync[cyclonedx]",
        write=cyclonedx.write,
        ours=cyclonedx.is_one,
    ),
    "dockerfile": Writer(about="an image in which each large file is one layer", write=dockerfile.write),
    "k8s": Writer(about="a Pod of Kubernetes that syncs before it starts", write=k8s.write),
    "k8s-image": Writer(about="a Pod of Kubernetes that mounts that image", write=k8s.write_image),
    "sh": Writer(about="a script that rebuilds the tree with curl and sha256sum", write=sh.write, fetches=True),
    "sha256sums": Writer(about="a list that `sha256sum -c` checks", write=sha256sums.write, ours=sha256sums.is_one),
    "urls": Writer(about="one URL a line", write=urls.write, fetches=True, ours=urls.is_one),
    "workflow": Writer(
        about="a workflow of ComfyUI whose nodes name the origins of their models",
        write=workflow.write,
        completes=True,
    ),
}
