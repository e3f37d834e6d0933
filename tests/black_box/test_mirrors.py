"""Several places for one file: the digest decides, and who let us down is asked last."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from workbench import content_of
from world import Project

from synapse_sync.demo import catalogue
from synapse_sync.demo.exchange import Fault
from synapse_sync.demo.storage import Stored
from synapse_sync.demo.weights import safetensors_bytes

COUNT = 6


@pytest.fixture(autouse=True)
def one_by_one(impatient: None, project: Project) -> None:
    """No waiting between attempts, and one file after the other."""
    (project.store.parent / "config.toml").write_text("downloads = 1\nconnections = 1\n")


def content(number: int) -> bytes:
    return safetensors_bytes(f"file {number}", size=9000)


def declared(project: Project, *, mirror: bytes | None = None) -> str:
    """A manifest of files at one host, each with a mirror at another; `mirror` is what that has instead."""
    lines = ["[models]"]
    for number in range(COUNT):
        data = content(number)
        name = f"file-{number}.safetensors"
        project.hub.files.put(name, data)
        other = project.hub.storage.publish(f"/mirror/{name}", Stored(content=mirror or data))
        digest, source = hashlib.sha256(data).hexdigest(), f"{project.hub.files.url}/files/{name}"
        lines.append(
            f'm{number} = {{ source = "{source}", mirrors = ["{other}"], type = "lora", sha256 = "{digest}" }}'
        )
    return "\n".join(lines) + "\n"


def asked(project: Project, origin: str) -> list[str]:
    return [seen.path for seen in project.hub.log if seen.origin == origin]


def test_a_dead_origin_is_left_alone_after_the_first_file(project: Project) -> None:
    project.manifest(declared(project))
    project("lock")
    project.hub.clear_log()
    project.hub.faults.add("/", Fault(drop=True, origin="files"))
    done = project("sync", "--json")
    assert len(project.tree()) == COUNT
    assert "warning:" in done.err and "trying http://127.0.0.1" in done.err
    origin = [path for path in asked(project, "files") if path.endswith(".safetensors")]
    assert len(set(origin)) == 1, "the other files are not even asked for there"
    assert len(asked(project, "storage")) == COUNT


@pytest.mark.parametrize("words", [(), ("-q",), ("--no-progress",)])
def test_what_was_warned_of_stands_in_the_report_and_is_said_once(project: Project, words: tuple[str, ...]) -> None:
    project.manifest(declared(project))
    project("lock")
    project.hub.faults.add("/", Fault(drop=True, origin="files"))
    done = project("sync", "--json", *words)
    (warning,) = done.json["warnings"]
    assert "trying http://127.0.0.1" in warning
    assert done.err.count("warning:") == 1


def test_what_is_warned_of_while_locking_stands_in_the_answer(project: Project) -> None:
    project.hub.files.put("a.safetensors", content(0))
    other = project.hub.storage.publish("/a.safetensors", Stored(content=content(0)))
    source = f"{project.hub.files.url}/files/a.safetensors"
    project.manifest(f'[models]\na = {{ source = "{source}", mirrors = ["{other}"], type = "lora" }}\n')
    project.hub.faults.add("/files/", Fault(status=500, origin="files"))
    assert any("trying http://127.0.0.1" in text for text in project("lock", "--json", "-q").json["warnings"])


def test_a_dead_origin_does_not_keep_the_lock_from_its_sizes(project: Project) -> None:
    project.hub.faults.add("/", Fault(status=503, origin="files"))
    project.manifest(declared(project))
    project("lock")
    project("sync")
    assert len(project.tree()) == COUNT


def test_a_mirror_with_other_bytes_is_never_taken(project: Project) -> None:
    bad = safetensors_bytes("not what was promised", size=9000)
    project.manifest(declared(project, mirror=bad[: len(content(0))].ljust(len(content(0)), b"x")))
    project("lock")
    project.hub.clear_log()
    project.hub.faults.add("/files/file-0", Fault(status=404, origin="files", times=2))
    done = project("sync", code=4)
    assert len(project.tree()) == COUNT - 1 and "(404)" in done.err
    project.hub.faults.clear()
    project("sync")
    assert len(project.tree()) == COUNT


def test_a_bad_mirror_before_a_good_one(project: Project) -> None:
    data = content(0)
    bad = project.hub.storage.publish("/bad.safetensors", Stored(content=b"x" * len(data)))
    good = project.hub.storage.publish("/good.safetensors", Stored(content=data))
    digest = hashlib.sha256(data).hexdigest()
    gone = f"{project.hub.files.url}/files/gone.safetensors"
    places = f'source = "{gone}", mirrors = ["{bad}", "{good}"]'
    project.manifest(f'[models]\na = {{ {places}, type = "lora", sha256 = "{digest}" }}\n')
    done = project("sync")
    assert list(project.tree().values()) == [data]
    assert done.err.count("warning:") == 2 and "sha256" in done.err


def test_when_all_fail_the_first_place_is_told_about(project: Project) -> None:
    project.manifest(declared(project))
    project("lock")
    project.hub.faults.add("/", Fault(status=500, origin="files"))
    project.hub.faults.add("/mirror/", Fault(status=404, origin="storage"))
    done = project("sync", code=5)
    errors = done.err[done.err.index("error:") :]
    assert f"{project.hub.files.url}/files/file-0.safetensors" in "".join(errors.split())
    assert "/mirror/" not in errors
    project.hub.faults.clear()
    project("sync")
    assert len(project.tree()) == COUNT


def test_first_use_keeps_to_the_order(project: Project, tmp_path: Path) -> None:
    """Without a digest the first bytes are believed, so the order is not ours to change."""
    lines = ["[models]"]
    for number in range(2):
        project.hub.files.put(f"file-{number}.safetensors", content(number))
        other = project.hub.storage.publish(f"/mirror/file-{number}", Stored(content=content(number)))
        source = f"{project.hub.files.url}/files/file-{number}.safetensors"
        lines.append(f'm{number} = {{ source = "{source}", mirrors = ["{other}"], type = "lora" }}')
    project.hub.faults.add("/files/file-", Fault(status=500, origin="files", times=4))
    project.manifest("\n".join(lines) + "\n")
    project("lock")
    assert {path for path in asked(project, "files") if "file-" in path} == {
        f"/files/file-{number}.safetensors" for number in range(2)
    }


BIG = 5 << 20


def declare_big(project: Project, name: str, *, bad: bool = False) -> None:
    """One file of five megabytes, at the origin and at a mirror."""
    data = safetensors_bytes(name, size=BIG)
    project.hub.files.put(f"{name}.safetensors", data)
    other = bytes(reversed(data)) if bad else data
    mirror = project.hub.storage.publish(f"/mirror/{name}.safetensors", Stored(content=other))
    places = f'source = "{project.hub.files.url}/files/{name}.safetensors", mirrors = ["{mirror}"]'
    digest = hashlib.sha256(data).hexdigest()
    project.manifest(f'[models]\n{name} = {{ {places}, type = "lora", sha256 = "{digest}" }}\n')
    project("lock")
    project.hub.clear_log()


def test_after_a_slow_origin_the_fast_mirror_is_asked_first(project: Project) -> None:
    """However busy the machine: a throttled origin gives no more than it is let."""
    project.hub.faults.add("/files/", Fault(drip=4_000_000, origin="files"))
    declare_big(project, "one")
    project("sync")
    assert asked(project, "files") and not asked(project, "storage"), "nothing is known yet: the user's order"
    declare_big(project, "two")
    done = project("sync")
    assert asked(project, "storage") == ["/mirror/two.safetensors"] and not asked(project, "files")
    assert "warning" not in done.err
    assert [name for name in project.tree() if name.endswith("two.safetensors")]


def test_a_fast_mirror_with_other_bytes_helps_nobody(project: Project) -> None:
    project.hub.faults.add("/files/", Fault(drip=4_000_000, origin="files"))
    declare_big(project, "one")
    project("sync")
    declare_big(project, "two", bad=True)
    done = project("sync")
    assert asked(project, "storage") and asked(project, "files")
    assert "sha256" in done.err
    assert list(project.tree().values()) == [safetensors_bytes("two", size=BIG)]


def test_a_refused_region_at_lock_lets_the_locked_models_go_on(project: Project) -> None:
    """451 while a sync locks first: models that are locked, or on another site, are synced; the exit code is 3."""
    hub = project.hub
    numbers = range(5_000_000, 5_000_004)
    hub.civitai.add_many(len(numbers), numbers[0])
    colleagues = f'[models]\na = {{ source = "civitai:{numbers[0]}", mirrors = ["URL"] }}\n'.replace(
        "URL", hub.storage.publish("/mirror/a.safetensors", Stored(content=content_of(hub, numbers[0] * 10)))
    )
    project.manifest(colleagues)
    project("lock")
    hub.civitai.region_blocked = True
    wanted = "".join(f'{name} = "civitai:{number}"\n' for name, number in zip("bc", numbers[1:3], strict=True))
    project.manifest(f'{colleagues}{wanted}vae = "hf://{catalogue.VAE_REPO}/portrait_vae.safetensors"\n')
    said = project("sync", code=3)
    talk = " ".join(said.err.split())
    assert talk.count("error: ") == 1 and "`b`, `c`: Civitai refuses requests from the region" in talk, said.err
    assert "a colleague elsewhere can run `synapse lock` and commit synapse.lock" in talk
    assert "2 placed" in said.out and "2 failed, exit code 3" in said.out.splitlines()[-1]
    assert [model["name"] for model in project.locked()] == ["a", "vae"]
    again = project("sync", "--json", code=3).json
    assert again["not_locked"] == ["b", "c"] and {each["kind"] for each in again["lock_errors"]} == {
        "RegionRefused"
    }
    assert not again["in_sync"] and again["unchanged"] == 2
    assert "nothing to do" not in project("sync", code=3).out
    # A colleague's lock is enough, though the site is still refused: their bytes come from elsewhere.
    hub.civitai.region_blocked = False
    project("lock")
    hub.civitai.region_blocked = True
    assert project("status", code=0).out.count("to download") == 1


def test_a_refused_region_at_the_first_lock_locks_nothing(project: Project) -> None:
    project.hub.civitai.region_blocked = True
    project.manifest(f'[models]\na = "civitai:{catalogue.PORTRAIT}"\n')
    assert "Civitai refuses requests from the region" in " ".join(project("sync", code=3).err.split())
    assert not (project.path / "synapse.lock").exists()


def test_our_own_limit_says_nothing_about_a_host(project: Project) -> None:
    declare_big(project, "one")
    project("sync", "--limit-rate", "4M")
    declare_big(project, "two")
    project("sync")
    assert not asked(project, "storage")


def test_a_refused_region_is_one_finding_and_the_rest_goes_on(project: Project) -> None:
    """451: mirrors and copies on this machine are used, and the other models share one finding."""
    hub = project.hub
    numbers = range(5_000_000, 5_000_004)
    hub.civitai.add_many(len(numbers), numbers[0])
    files = [content_of(hub, number * 10) for number in numbers]
    mirror = hub.storage.publish("/mirror/a.safetensors", Stored(content=files[0]))
    entries = [f'a = {{ source = "civitai:{numbers[0]}", mirrors = ["{mirror}"] }}']
    entries += [f'{name} = "civitai:{number}"' for name, number in zip("bcd", numbers[1:], strict=True)]
    project.manifest("[models]\n" + "\n".join(entries) + "\n")
    project("lock")
    (project.path / "models/loras").mkdir(parents=True)
    (project.path / "models/loras/here already.safetensors").write_bytes(files[1])
    hub.civitai.region_blocked = True
    said = project("sync", code=3)
    assert said.err.count("error: ") == 1, said.err
    assert "Civitai refuses requests from the region of this machine" in " ".join(said.err.split())
    assert "`mirrors` names other locations" in " ".join(said.err.split())
    assert "2 placed" in said.out and "exit code 3" in said.out.splitlines()[-1]
