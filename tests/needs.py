"""What a test needs and not every system has: such a test is skipped, by name and with the reason.

A test that makes a symbolic link or a pipe says so by making it: where that is not possible, it is skipped at that
moment. The others are in `CANNOT`, one row for each reason. `docs/windows.md` has the same reasons in words.
"""

from __future__ import annotations

import functools
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
LINKS = "symbolic links are not to be had here (Wine has none, Windows needs Developer Mode)"
PIPES = "named pipes in directories exist on POSIX only"
#: For each reason the tests that cannot run on Windows or under Wine: a file, or one test of it, below tests/.
CANNOT: dict[str, tuple[str, ...]] = {
    "Windows has no modes but the mark of a read-only file, and no umask": (
        "store/test_durable.py::test_mode_of_new_and_existing",
        "store/test_durable.py::test_modes_follow_the_umask",
        "store/test_durable.py::test_the_umask_is_known_without_proc",
        "store/test_durable.py::test_a_copy_is_for_those_who_may_read_the_source",
        "store/test_durable.py::test_a_private_store_is_walked_to_a_blob_and_not_listed",
        "store/test_journal.py::test_its_mode_follows_the_umask",
        "store/test_licence.py::test_the_key_is_private_and_stays",
        "engine/test_execute.py::test_a_target_that_cannot_be_written_is_reported",
        "store/test_links.py::test_copies_obey_the_umask",
        "store/test_links.py::test_move_of_a_blob_that_another_tree_uses",
        "store/test_links.py::test_each_mode",
    ),
    LINKS: (
        "store/test_links.py::test_what_is_there_is_kept[directory-symlink]",
        "store/test_links.py::test_what_is_there_is_kept[file-symlink]",
        "store/test_links.py::test_directory_is_not_replaced[symlink]",
        "store/test_links.py::test_interrupt_leaves_nothing_half_done[symlink]",
        "store/test_links.py::test_no_file_stays_open[symlink]",
        "store/test_links.py::test_auto_falls_back[2-symlink",
        "store/test_links.py::test_across_file_systems",
        "store/test_links.py::test_relative_blob_gives_an_absolute_link",
        "store/test_links.py::test_replacing_a_link_leaves_its_target[symlink]",
        "store/test_licence.py::test_a_sync_of_a_copied_volume_hashes_and_writes_nothing[symlink]",
    ),
    "the test renames, replaces or removes a file that it holds open: Windows does not": (
        "store/test_links.py::test_replaced_file_stays_for_its_readers",
        "store/test_partials.py::test_what_another_process_published_is_not_truncated",
        "store/test_partials.py::test_what_was_published_is_not_remembered",
        "store/test_durable.py::test_old_content_survives_a_failure[write]",
        "cli/test_quick.py::test_no_directory_at_all",
    ),
    "the test counts open files below /proc": (
        "store/test_links.py::test_no_file_stays_open",
        "store/test_partials.py::test_a_closed_partial_holds_no_file_open",
    ),
    "the test sends a signal, which ends a process of Windows at once": (
        "store/test_locks.py::test_interrupt_while_waiting",
        "cli/test_quick.py::test_signals",
    ),
    "the test runs git, which is not installed there": (
        "core/test_lockfile.py::test_additions_that_are_apart_merge_without_help",
        "core/test_lockfile.py::test_adjacent_additions_conflict_without_the_merge_rule_and_the_error_says_what_to_do",
        "core/test_lockfile.py::test_the_union_of_adjacent_additions_is_both",
        "core/test_lockfile.py::test_the_union_of_many_random_additions_is_both",
        "core/test_lockfile_repair.py::test_two_branches_that_pin_one_model_anew",
        "core/test_lockfile_repair.py::test_a_conflict_of_whole_blocks_costs_none_of_them",
    ),
    "the test runs the shell of POSIX": (
        "cli/test_main.py::test_streams_that_are_closed_from_the_start",
        "cli/test_quick.py::test_nobody_reads_what_it_says[stdout-closed",
        "cli/test_quick.py::test_nobody_reads_what_it_says[stderr-closed",
    ),
    "the test sets variables that place nothing on Windows (`HOME`, `XDG_CONFIG_HOME`)": (
        "cli/test_quick.py::test_variables_in_doubt[HOME",
        "cli/test_quick.py::test_settings_that_do_not_place_the_store",
    ),
    "Windows guesses the home directory of another user": (
        "cli/test_quick.py::test_variables_in_doubt[SYNAPSE_CONFIG ~nobody",
    ),
    "Wine does not wake a reader whose connection is shut down, and says reset for the end of a connection": (
        "net/test_wire.py::test_abort_wakes_a_reader",
        "net/test_lane.py::test_a_body_that_breaks_off",
    ),
    "Wine makes no name with a decomposed letter, or with bytes that are no text": (
        "store/test_receipt_index.py::test_it_sees_what_is_there",
        "store/test_spelling.py::test_a_unicode_form_is_a_spelling",
    ),
    "the test mounts a directory read-only": (
        "engine/test_odd_file_systems.py::test_with_nothing_to_do_nothing_is_written",
        "engine/test_odd_file_systems.py::test_a_store_that_can_only_be_read_serves_links",
        "engine/test_odd_file_systems.py::test_where_a_store_must_be_written_the_hint_says_how_to_have_another",
        "engine/test_odd_file_systems.py::test_a_lock_that_may_only_be_read_is_waited_for",
        "engine/test_odd_file_systems.py::test_a_bad_blob_in_a_store_that_can_only_be_read_is_not_used",
    ),
    "the test has a call of POSIX refused, in whose place Windows has others": (
        "engine/test_execute.py::test_one_file_that_cannot_be_unlinked_does_not_stop_the_others",
        "engine/test_execute.py::test_a_disk_that_fills_up_while_downloading_leaves_nothing_half",
        "engine/test_execute.py::test_a_disk_that_fills_up_while_copying_leaves_nothing_half",
    ),
    "a directory cannot be opened for its flush on Windows, where it is flushed in another way": (
        "store/test_durable.py::test_fsync_dir_takes_file_systems_as_they_are",
    ),
}


@functools.cache
def has_symlinks() -> bool:
    """Whether this user can make symbolic links here; Wine says yes, and makes none."""
    with tempfile.TemporaryDirectory() as directory:
        link = Path(directory) / "link"
        try:
            link.symlink_to(directory, target_is_directory=True)
        except (OSError, NotImplementedError):
            return False
        return link.is_symlink()


def other_volume(path: Path) -> Path | None:
    """A directory on another file system than this path's, where files can be made; None if there is none.

    `TESTS_VOLUME` names one first: Windows has no usual directory that is on another volume.
    """
    usual = ("/dev/shm", "/tmp", "/var/tmp", str(Path.home()))
    for place in map(Path, filter(None, (os.environ.get("TESTS_VOLUME"), *usual))):
        if place.is_dir() and os.access(place, os.W_OK) and place.stat().st_dev != path.stat().st_dev:
            return place
    return None


def reason_for(nodeid: str) -> str | None:
    """The reason why a test cannot run here, or None; `nodeid` is its name for pytest, parameters included."""
    name = nodeid.removeprefix("tests/")
    for reason, rows in CANNOT.items():
        for row in rows:
            if name == row or name.startswith((f"{row}::", f"{row}[", f"{row}-", f"{row} ")):
                return reason
    return None


def _is_below(directory: Path) -> bool:
    """Whether the function that called the one that calls this is in a file below a directory."""
    return Path(sys._getframe(2).f_code.co_filename).is_relative_to(directory)


@contextmanager
def made_where_possible(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Skip a test when it makes a symbolic link, or a pipe, that this system does not have."""
    if not has_symlinks():
        for owner, name in ((os, "symlink"), (Path, "symlink_to")):
            patch.setattr(owner, name, _or_skip(getattr(owner, name)))
    if not hasattr(os, "mkfifo"):
        patch.setattr(os, "mkfifo", lambda *_: pytest.skip(PIPES), raising=False)
    # A test removes a blob as it does on Linux; synapse has to find its own way, and gets the plain calls.
    patch.setattr(Path, "unlink", _first_writable(Path.unlink))
    patch.setattr(shutil, "rmtree", functools.partial(shutil.rmtree, onexc=_again_writable))
    yield


def _or_skip(make: Callable[..., None]) -> Callable[..., None]:
    def made(*arguments: object, **more: object) -> None:
        # pytest tries to make links beside its directories, too, and can do without them.
        if _is_below(TESTS.parent):
            pytest.skip(LINKS)
        make(*arguments, **more)

    return made


def _first_writable(unlink: Callable[..., None]) -> Callable[..., None]:
    def removed(path: Path, missing_ok: bool = False) -> None:
        if _is_below(TESTS) and path.is_file():
            path.chmod(0o666)
        unlink(path, missing_ok=missing_ok)

    return removed


def _again_writable(step: Callable[[str], None], path: str, error: BaseException) -> None:
    if not isinstance(error, PermissionError):
        raise error
    Path(path).chmod(0o666)
    step(path)
