"""The workspace of the Python API, against the hub: arguments, results, and the places where it is called."""

from __future__ import annotations

import asyncio
import os
import threading
from datetime import date
from pathlib import Path

import pytest
from world import Project

import synapse_sync
from synapse_sync import (
    AccessDenied,
    AmbiguousFile,
    InputError,
    InvalidReference,
    LinkMode,
    NotFound,
    OutOfDate,
    Reference,
    Reporter,
    Several,
    Workspace,
)
from synapse_sync.demo import catalogue

PORTRAIT = f"civitai:{catalogue.PORTRAIT}"
EYES = f"civitai:{catalogue.EYES}"
BOTH = f'[models]\nportrait = "{PORTRAIT}"\neyes = "{EYES}"\n'


@pytest.fixture
def declared(project: Project) -> Project:
    """A project with two models; the working directory is another one."""
    project.manifest(BOTH)
    return project


# -- opening ---------------------------------------------------------------------------------------


def test_a_project_is_opened_by_text_by_path_and_by_its_manifest(declared: Project) -> None:
    for place in (str(declared.path), declared.path, declared.path / "synapse.toml"):
        with Workspace(place) as workspace:
            assert workspace.directory == declared.path.resolve()
            assert [model.name for model in workspace.manifest.models] == ["portrait", "eyes"]
            assert workspace.store == declared.store
            assert repr(workspace) == f"Workspace({str(declared.path.resolve())!r})"


def test_the_class_looks_at_one_directory_and_find_above_it(declared: Project) -> None:
    below = declared.path / "notebooks"
    below.mkdir()
    with pytest.raises(InputError, match=r"no synapse\.toml in .*notebooks") as caught:
        Workspace(below)
    assert caught.value.hint is not None and "Workspace.find" in caught.value.hint
    assert Workspace.find(below).directory == declared.path.resolve()
    with pytest.raises(InputError, match="or above it"):
        Workspace.find(declared.path.parent)


def test_a_project_is_created(project: Project) -> None:
    with Workspace.create(project.path, layout="forge", root="ui") as workspace:
        (target,) = workspace.manifest.targets
        assert (target.layout, target.root) == ("forge", "ui")
    with pytest.raises(InputError):
        Workspace.create(project.path)


# -- the verbs -------------------------------------------------------------------------------------


def test_the_whole_job(project: Project) -> None:
    project.manifest("")
    with Workspace(project.path) as workspace:
        added = workspace.add(PORTRAIT, Reference.parse(EYES), groups="faces")
        assert added.ok and len(added.names) == len(added.models) == 2
        assert {model.groups for model in workspace.manifest.models} == {("faces",)}
        assert added.to_dict()["added"][0]["files"][0]["sha256"]
        status = workspace.status()
        assert not status.ok and status.plan.fetch_bytes > 0
        report = workspace.sync()
        assert report.ok and report.exit_code == 0 and report.raise_for_errors() is report
        paths = [path for name in added.names for path in workspace.paths(name)]
        assert len(paths) == 2 and all(path.is_absolute() and path.is_file() for path in paths)
        assert workspace.status().ok and workspace.verify().ok and workspace.lock(check=True).ok
        assert workspace.remove(added.names[0]) == (added.names[0],)
        assert [model.name for model in workspace.lockfile.models] == [added.names[1]]
        assert workspace.sync().ok and not paths[0].exists() and paths[1].exists()


def test_one_name_or_several(declared: Project) -> None:
    with Workspace(declared.path) as workspace:
        workspace.sync(only="eyes")
        assert list(declared.tree()) == [workspace.paths("eyes")[0].relative_to(declared.path.resolve()).as_posix()]
        workspace.sync(only=["eyes", "portrait"])
        assert len(declared.tree()) == 2
        assert len(workspace.status(only="eyes").to_dict()["actions"]) == 0
        with pytest.raises(InputError, match="no model `eye`") as caught:
            workspace.sync(only="eye")
        assert caught.value.hint == "did you mean `eyes`?"


def test_a_link_mode_by_its_name(declared: Project) -> None:
    with Workspace(declared.path) as workspace:
        workspace.sync(link_mode="copy", only="eyes")
        assert workspace.paths("eyes")[0].stat().st_nlink == 1
        workspace.sync(link_mode=LinkMode.SYMLINK, only="portrait")
        assert workspace.paths("portrait")[0].is_symlink()
        with pytest.raises(InputError, match="`simlink`") as caught:
            workspace.sync(link_mode="simlink")
        assert caught.value.hint == "did you mean `symlink`?"


def test_a_date_in_any_form(declared: Project) -> None:
    with Workspace(declared.path) as workspace:
        workspace.lock()
        for value in ("2026-01-31", date(2026, 1, 31)):
            assert [each.name for each in workspace.outdated(exclude_newer=value)] == ["portrait", "eyes"]
        with pytest.raises(InputError, match="`yesterday` is not a date"):
            workspace.outdated(exclude_newer="yesterday")


def test_a_path_object_is_a_local_file(declared: Project, tmp_path: Path) -> None:
    declared("sync")
    (weights,) = Workspace(declared.path).paths("eyes")
    own = tmp_path / "own.safetensors"
    own.write_bytes(weights.read_bytes())
    inside = declared.path / "incoming" / "mine.safetensors"
    inside.parent.mkdir()
    inside.write_bytes(weights.read_bytes())
    with Workspace(declared.path, trust=True) as workspace:
        names = workspace.add(own, inside, type="embedding").names
        declared_now = {model.name: str(model.reference) for model in workspace.manifest.models}
    assert [declared_now[name] for name in names] == [own.as_posix(), "./incoming/mine.safetensors"]


def test_one_file_of_several(project: Project) -> None:
    project.manifest("")
    with Workspace(project.path) as workspace:
        with pytest.raises(InputError, match="`colour` is not one of"):
            workspace.add(PORTRAIT, file={"colour": "red"})
        workspace.add(PORTRAIT, file={"format": "safetensors"}, name="mine")
        (model,) = workspace.manifest.models
        assert (model.name, model.wish.format) == ("mine", "safetensors")
        with pytest.raises(InputError, match="at least one reference"):
            workspace.add()


def test_all_upgrades_or_one(declared: Project) -> None:
    with Workspace(declared.path) as workspace:
        locked = workspace.lock()
        assert locked.ok and {change.kind for change in locked.changes} == {"added"}
        assert not workspace.lock(upgrade="eyes").changes
        assert not workspace.lock(upgrade=True).changes
        with pytest.raises(InputError, match="`eye`"):
            workspace.lock(upgrade=["eye"])
        declared.manifest(BOTH + f'more = "{PORTRAIT}"\n')
        check = workspace.lock(check=True)
        assert not check.ok and [change.name for change in check.changes] == ["more"]
        with pytest.raises(InputError, match="combined"):
            workspace.lock(check=True, upgrade=True)
        with pytest.raises(OutOfDate):
            workspace.sync(locked=True)
        with pytest.raises(InputError, match="combined"):
            workspace.sync(locked=True, frozen=True)


def test_what_a_site_says(declared: Project) -> None:
    with Workspace(declared.path) as workspace:
        by_name, by_text = workspace.info("portrait"), workspace.info(Reference.parse(PORTRAIT))
        assert by_name == by_text and by_name.title
        with pytest.raises(InvalidReference):
            workspace.info("protrait")
        with pytest.raises(NotFound):
            workspace.info("civitai:999999999")


def test_edits_of_others_count(declared: Project) -> None:
    with Workspace(declared.path) as workspace:
        assert len(workspace.manifest.models) == 2
        declared.manifest("[models]\n")
        assert workspace.manifest.models == ()


# -- results and failures --------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["sync", "status", "verify", "lock"])
def test_a_result_is_the_document_of_the_command(declared: Project, verb: str) -> None:
    declared("sync")
    with Workspace(declared.path) as workspace:
        result = getattr(workspace, verb)()
    assert result.to_dict() == declared(verb, "--json").json
    assert result.ok and result.summary() and "\n" not in result.summary()
    assert len(repr(result)) < 200


def test_reprs_are_short(declared: Project) -> None:
    with Workspace(declared.path) as workspace:
        report = workspace.sync()
        shown = [report, report.plan, report.outcomes[0], report.plan.actions[0], workspace.manifest]
        shown += [workspace.lockfile, workspace.lockfile.models[0], workspace.status(), workspace.lock()]
        shown += [workspace.outdated()[0], workspace.info("eyes"), workspace.verify()]
    for value in shown:
        assert len(repr(value)) < 200, repr(value)
        assert type(value).__name__ in repr(value)


def test_a_failure_of_one_file_is_in_the_report(declared: Project) -> None:
    with Workspace(declared.path) as workspace:
        workspace.lock()
        eyes = workspace.paths("eyes")[0]
        eyes.parent.mkdir(parents=True)
        eyes.write_bytes(b"mine")
        report = workspace.sync()
        assert not report.ok and report.exit_code == 7
        (error,) = report.errors
        assert isinstance(error, synapse_sync.Conflict) and error.to_dict()["model"] == "eyes"
        with pytest.raises(synapse_sync.Conflict):
            report.raise_for_errors()
        assert "1 failed" in report.summary() and len(declared.tree()) == 2
        assert eyes.read_bytes() == b"mine"


def test_failures_before_the_first_byte_are_raised_together(declared: Project) -> None:
    declared.manifest(f'[models]\na = "civitai:999999998"\nb = "civitai:999999999"\nc = "{EYES}"\n')
    with Workspace(declared.path) as workspace:
        with pytest.raises(Several) as caught:
            workspace.sync()
        assert [type(error) for error in caught.value.errors] == [NotFound, NotFound]
        assert declared.tree() == {}


def test_ambiguous_files_come_with_the_lines_that_choose_one() -> None:
    error = AmbiguousFile("several", candidates=["file = { id = 1 }"])
    assert isinstance(error, InputError) and error.to_dict()["kind"] == "AmbiguousFile"
    assert issubclass(AccessDenied, synapse_sync.SynapseError)


def test_offline_opens_no_connection(declared: Project) -> None:
    with Workspace(declared.path, offline=True) as workspace, pytest.raises(synapse_sync.SynapseError) as caught:
        workspace.lock()
    errors = caught.value.errors if isinstance(caught.value, Several) else (caught.value,)
    assert {type(error) for error in errors} == {synapse_sync.Offline}
    assert declared.hub.requests() == []


# -- where it is called ----------------------------------------------------------------------------


def test_progress_reaches_a_reporter(declared: Project) -> None:
    seen: dict[str, int] = {}

    class Counter(Reporter):
        def transfer_advanced(self, key: str, count: int) -> None:
            seen[key] = seen.get(key, 0) + count

    with Workspace(declared.path, reporter=Counter(), limit_rate="500MB") as workspace:
        report = workspace.sync()
    assert sum(seen.values()) == report.fetched_bytes > 0


def test_in_a_running_event_loop_as_in_a_notebook(declared: Project) -> None:
    async def cell() -> bool:
        with Workspace(declared.path) as workspace:
            first = workspace.sync(only="eyes")  # as a notebook does, whose cells run inside a loop
            second = await asyncio.to_thread(workspace.sync)
            return first.ok and second.ok and workspace.status().ok

    assert asyncio.run(cell())
    assert len(declared.tree()) == 2


def test_threads_share_a_workspace_and_projects(declared: Project) -> None:
    failures: list[BaseException] = []

    def work(workspace: Workspace, name: str) -> None:
        try:
            assert workspace.sync(only=name).ok
        except BaseException as error:
            failures.append(error)

    with Workspace(declared.path) as shared, Workspace(declared.path) as other:
        threads = [
            threading.Thread(target=work, args=(workspace, name))
            for workspace in (shared, shared, other)
            for name in ("eyes", "portrait")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert shared.status().ok and len(declared.tree()) == 2


def test_only_the_verbs_are_public() -> None:
    public = {name for name in dir(Workspace) if not name.startswith("_")}
    assert public == {
        "add", "close", "create", "diff", "directory", "find", "info", "lock", "lockfile", "manifest", "outdated",
        "paths", "remove", "status", "store", "sync", "verify",
    }  # fmt: skip
    assert os.fspath(Workspace.__module__).startswith("synapse_sync")
