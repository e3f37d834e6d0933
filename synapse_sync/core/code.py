"""Code: files that run, or that run something when a program loads them, by their names. Pure.

`core/content.py` knows those that their first bytes show, whatever they are called. Configurations that name code
are data; `named_code` says what they name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

#: Endings of programs, scripts, libraries, and of documents that may have a script in them.
_PROGRAMS = frozenset({
    "py", "pyc", "pyd", "pyw", "pyz", "sh", "bash", "zsh", "fish", "js", "mjs", "cjs", "bat", "cmd", "ps1", "psm1",
    "vbs", "wsf", "com", "scr", "msi", "hta", "lnk", "url", "reg", "exe", "dll", "so", "dylib", "jar", "php", "pl",
    "rb", "lua", "desktop", "command", "ipynb", "html", "htm", "xhtml", "mhtml", "svg", "svgz", "llamafile",
    "engine", "pb", "whl", "egg", "appimage", "deb", "rpm", "msix", "pif", "cpl", "ahk", "wasm", "node",
})  # fmt: skip
#: Endings of files that a program may load as a pickle, or with code in them, and that no UI takes for weights.
_PICKLES = frozenset({"keras", "h5", "hdf5", "npz", "pkl", "pickle", "joblib", "dill", "nemo", "ptl", "pth.tar"})
#: Folders whose content a UI loads as code.
_FOLDERS = frozenset({"custom_nodes", "extensions", "scripts", "web"})
#: In those folders, weights are weights.
_WEIGHTS = (".safetensors", ".sft", ".gguf", ".onnx", ".bin", ".pt", ".pth", ".ckpt")
#: Folders of weights, in which `.pth` is the ending of a pickle. Elsewhere Python may run the file when it starts
#: (docs.python.org, `site`: lines that begin with `import`).
_MODELS = frozenset({"models", "embeddings", "checkpoints", "ckpts", "weights"})
#: A library with its version.
_LIBRARY = re.compile(r"\.so(\.\d+)+\Z")


def is_program(path: str) -> bool:
    """Whether a name is that of code: by its ending, or as a file below a folder of code."""
    *folders, name = path.casefold().split("/")
    if _ending(name) in _PROGRAMS or _LIBRARY.search(name):
        return True
    return not _FOLDERS.isdisjoint(folders) and not name.endswith(_WEIGHTS)


def is_path_file(path: str) -> bool:
    """Whether the path of a file in a tree is that of a `.pth` outside of every folder of weights."""
    *folders, name = path.casefold().split("/")
    if not name.endswith(".pth"):
        return False
    return not any(folder in _MODELS or folder.startswith("models--") for folder in folders)


def is_pickle_like(path: str) -> bool:
    """Whether a name is that of a pickle in a format that no UI lists as weights."""
    name = path.casefold().rpartition("/")[2]
    return _ending(name) in _PICKLES or name.endswith(".pth.tar")


def is_outright(path: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns of `include` that match a path means it outright: `*.py` does, `*` does not.

    A pattern does so if it is itself a name of code, and ends with the ending of the file or is its path.
    """
    name = path.casefold().rpartition("/")[2]
    ending = f".{_ending(name)}" if "." in name else ""
    return any(
        pattern == path or (ending and pattern.casefold().endswith(ending))
        for pattern in patterns
        if is_program(pattern) or is_pickle_like(pattern)
    )


def _ending(name: str) -> str:
    return name.rpartition(".")[2] if "." in name else ""


#: The packages of the UIs themselves, in which they look for the classes that a configuration names.
_PACKAGES = ("ldm.", "sgm.", "cldm.", "lvdm.", "modules.", "backend.", "comfy.", "torch.nn.")
#: A class of a package, as `target` (ldm's configurations) or `_target_` (Hydra's) names it.
_TARGET = re.compile(
    r"""(?:^|[\s,{-])["']?_?target_?["']?\s*:\s*["']?([^\W\d]\w*(?:\.\w+)+)["']?\s*(?:[,}#]|$)""", re.M
)
_CLASS = re.compile(r"[^\W\d]\w*(\.\w+)+\Z")
#: The keys of JSON that name the files and classes of a repository's own code (transformers, `auto_map`).
_MAPS = ("auto_map", "custom_pipelines")


def named_code(text: str) -> tuple[str, ...]:
    """The code that a configuration in JSON or YAML names, and that is not part of a UI, each once."""
    try:
        found = list(_in_json(json.loads(text.removeprefix("\ufeff"))))  # a byte order mark hides nothing
    except (ValueError, RecursionError):
        found = _TARGET.findall(text)
    return tuple(dict.fromkeys(name for name in found if not name.startswith(_PACKAGES)))


def _in_json(value: object) -> Iterator[str]:
    open_ones = [value]
    while open_ones:
        value = open_ones.pop()
        if isinstance(value, list):
            open_ones += reversed(value)
        if not isinstance(value, dict):
            continue
        yield from (key for key in _MAPS if value.get(key))
        for key in ("target", "_target_"):
            if isinstance(name := value.get(key), str) and _CLASS.match(name):
                yield name
        open_ones += reversed(value.values())
