"""Code: files that run, or that run something when a program loads them, by their names. Pure.

`core/content.py` knows those that their first bytes show, whatever they are called.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

#: Endings of programs, scripts, libraries, and of documents that may have a script in them.
_PROGRAMS = frozenset({
    "py", "pyc", "pyd", "pyw", "pyz", "sh", "bash", "zsh", "fish", "js", "mjs", "cjs", "bat", "cmd", "ps1", "psm1",
    "vbs", "wsf", "com", "scr", "msi", "hta", "lnk", "url", "reg", "exe", "dll", "so", "dylib", "jar", "php", "pl",
    "rb", "desktop", "ipynb", "html", "htm", "xhtml", "svg", "llamafile", "engine", "pb",
})  # fmt: skip
#: Endings of files that a program may load as a pickle, or with code in them, and that no UI takes for weights.
_PICKLES = frozenset({"keras", "h5", "npz", "pkl", "joblib", "dill", "nemo", "ptl", "pth.tar"})
#: Folders whose content a UI loads as code.
_FOLDERS = frozenset({"custom_nodes", "extensions", "scripts", "web"})
#: In those folders, weights are weights.
_WEIGHTS = (".safetensors", ".sft", ".gguf", ".onnx", ".bin", ".pt", ".pth", ".ckpt")
#: A library with its version.
_LIBRARY = re.compile(r"\.so(\.\d+)+\Z")


def is_program(path: str) -> bool:
    """Whether a name is that of code: by its ending, or as a file below a folder of code."""
    *folders, name = path.casefold().split("/")
    if _ending(name) in _PROGRAMS or _LIBRARY.search(name):
        return True
    return not _FOLDERS.isdisjoint(folders) and not name.endswith(_WEIGHTS)


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
