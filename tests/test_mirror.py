"""The tests mirror the package: the tests of a file are where its name says."""

from __future__ import annotations

from pathlib import Path

import synapse_sync

HERE = Path(__file__).parent
PACKAGE = Path(synapse_sync.__file__).parent
#: Rooms of the tests that no room of the package has, with what their files have in common.
OWN_ROOMS = {
    "browser": "pages in a real browser: `make browser`",
    "black_box": "whole commands against the demo hub, by the story that a user would tell",
    "faults": "the catalogue of faults, by kind",
    "hints": "the command that each hint names, run in the state in which the hint is given",
    "mutants": "the tool behind `make mutants`",
    "services": "real servers of other people, for `make services`",
}
#: Files that are about more than one file of the package.
ABOUT_MANY = {
    "cli/test_discovery.py": "search, info, images, creators and tags are one story",
    "cli/test_errors.py": "the error boundary, whatever the verb",
    "cli/test_help.py": "the help of every verb",
    "cli/test_json.py": "the one JSON document of every verb",
    "cli/test_snapshots.py": "every command on a terminal",
    "engine/test_absent.py": "absent input, in every verb",
    "engine/test_moved.py": "a project that moved, in every verb",
    "engine/test_odd_file_systems.py": "file systems that refuse something, in every verb",
    "layouts/test_layouts.py": "each layout, by the same rules",
    "sources/civitai/test_documents.py": "the documents about the API, row by row, through client and commands",
    "sources/civitai/test_documents_basics.py": "the rest of these rows",
    "sources/civitai/test_eras.py": "answers of earlier years, through the whole source",
    "sources/civitai/test_facts.py": "the numbered facts about the site, through the whole source",
    "test_benchmarks.py": "the reckoning of the benchmarks",
    "test_docs.py": "the documentation",
    "test_english.py": "the words of messages and documentation",
    "test_examples.py": "the examples",
    "test_extending.py": "the pages about a new source and a new layout",
    "test_floors.py": "the imports of all files",
    "test_guard.py": "the guard of these tests",
    "test_imports.py": "what a command imports",
    "test_mirror.py": "this rule",
    "test_needs.py": "what the tests need of a system",
    "test_order.py": "the order of the tests",
    "test_patches.py": "the patches of the tests",
    "test_requirements.py": "the pinned tools of development",
    "test_public.py": "the names of the package itself",
    "test_real_lists.py": "genuine workflows and lists, through every reader",
    "test_real_weights.py": "genuine weights, through every reader",
    "test_shown.py": "what the pages show",
    "transfer/test_crashes.py": "killed transfers, whole commands",
}


def strays(tests: Path, package: Path) -> list[str]:
    """Test files with a room of the package but no file of it."""
    found = []
    for path in sorted(tests.rglob("test_*.py")):
        shown = path.relative_to(tests)
        subject = package / shown.parent / path.stem.removeprefix("test_")
        if shown.parts[0] not in OWN_ROOMS and not subject.is_dir() and not subject.with_suffix(".py").exists():
            found.append(str(shown))
    return found


def test_the_tests_of_a_file_have_its_name() -> None:
    assert [stray for stray in strays(HERE, PACKAGE) if stray not in ABOUT_MANY] == []


def test_no_exemption_is_left_over() -> None:
    assert [name for name in ABOUT_MANY if not (HERE / name).exists()] == []
    assert [name for name in OWN_ROOMS if not (HERE / name).is_dir() or (PACKAGE / name).is_dir()] == []
    assert set(ABOUT_MANY) <= set(strays(HERE, PACKAGE))


def test_a_stray_is_noticed(tmp_path: Path) -> None:
    for name in ("tests/store/test_blobs.py", "tests/store/test_lost.py", "tests/layouts/test_rooms.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "package/store").mkdir(parents=True)
    (tmp_path / "package/store/blobs.py").touch()
    (tmp_path / "package/layouts/rooms").mkdir(parents=True)
    assert strays(tmp_path / "tests", tmp_path / "package") == ["store/test_lost.py"]
