"""Code by its name, and the patterns that name it outright."""

from __future__ import annotations

import pytest

from synapse_sync.core.code import is_outright, is_path_file, is_pickle_like, is_program, named_code


@pytest.mark.parametrize(
    "name",
    [
        "pipeline.py", "a/b/SETUP.SH", "x.Exe", "lib.so", "lib.so.1.2", "m.llamafile", "m.engine", "m.pb",
        "page.html", "pic.svg", "n.ipynb", "custom_nodes/x/config.json", "web/style.css", "Extensions/readme",
        "scripts/a.txt",
    ],
)  # fmt: skip
def test_programs(name: str) -> None:
    assert is_program(name)


@pytest.mark.parametrize(
    "name",
    [
        "config.json", "merges.txt", "unet/model.safetensors", "readme.md", "m.gguf", "m.bin", "m.pt", "py", "sh",
        "web/m.safetensors", "website/a.json", "a.py.json", "spiece.model", "m.so.safetensors.json", "LICENSE",
    ],
)  # fmt: skip
def test_data(name: str) -> None:
    assert not is_program(name)
    assert not is_pickle_like(name)


def test_pickles_that_are_no_weights() -> None:
    for name in ("m.keras", "m.H5", "m.npz", "a/m.pkl", "m.joblib", "m.dill", "m.nemo", "m.ptl", "m.pth.tar"):
        assert is_pickle_like(name) and not is_program(name)


@pytest.mark.parametrize(
    ("pattern", "path", "outright"),
    [
        ("*.py", "unet/a.py", True), ("unet/*.py", "unet/a.py", True), ("unet/a.py", "unet/a.py", True),
        ("*", "a.py", False), ("unet/", "unet/a.py", False), ("a.*", "a.py", False), ("*py", "a.py", False),
        ("*.css", "web/a.css", False), ("web/*.css", "web/a.css", True), ("web/*", "web/a.css", False),
        ("*.PKL", "a.pkl", True), ("*.json", "a.py", False), ("scripts/run", "scripts/run", True),
    ],
)  # fmt: skip
def test_outright(pattern: str, path: str, outright: bool) -> None:
    assert is_outright(path, ["*.safetensors", pattern]) is outright


@pytest.mark.parametrize("path", ["a.pth", "lib/python3/a.PTH", "web/a.pth", "p/unet/a.pth"])
def test_a_path_file_of_python_is_code(path: str) -> None:
    assert is_path_file(path)


@pytest.mark.parametrize(
    "path", ["models/upscale_models/a.pth", "Models/x/a.pth", "custom_nodes/x/ckpts/a.pth", "a.pt"]
)
def test_a_pickle_among_weights_is_none(path: str) -> None:
    assert not is_path_file(path)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('{"auto_map": {"AutoModel": "modeling.X"}}', ["auto_map"]),
        ('{"a": [{"auto\\u005fmap": ["x"]}], "target": "evil.Thing", "b": {"_target_": "os.system"}}',
         ["target", "auto_map", "_target_"]),
        ('{"auto_map": {}, "auto_map2": 1, "target": "cpu", "x": {"target": "ldm.x.Y"}}', []),
        ("model:\n  target: ldm.models.X\n  params:\n    - target: sgm.a.B\n    - target: torch.nn.Identity\n", []),
        ("model:\n  target: evil.models.X # ldm\n", ["evil.models.X"]),
        ("- {target: 'a.B', params: {_target_: \"c.D\"}}\n", ["a.B", "c.D"]),
        ("target: torch.hub.load\ntarget: cldm.cldm.ControlLDM\n\"target\": sgmx.A", ["torch.hub.load", "sgmx.A"]),
        ("a target: none of this.\nmy_target: a.b\n", []),
        ("[" * 100_000, []),
    ],
)  # fmt: skip
def test_code_that_a_configuration_names(text: str, names: list[str]) -> None:
    values = {"target": "evil.Thing", "_target_": "os.system"}
    assert list(named_code(text)) == [values.get(name, name) for name in names]
