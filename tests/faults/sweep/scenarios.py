"""The scenarios of the sweeps: each a state of the stage, and the commands that are disturbed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sweep import arena
from sweep.arena import Golden, Scenario, Words
from sweep.zygote import Zygote

from synapse_sync.demo import catalogue
from synapse_sync.demo.hub import Hub
from synapse_sync.demo.weights import safetensors_bytes

MODES = ("hardlink", "copy", "symlink", "move")
EYES = "project/ui/models/embeddings/clear-eyes.safetensors"
PORTRAIT = "project/ui/models/checkpoints/portrait_v1.safetensors"
_SIZE = 9_000
_SYNC: Words = ("sync", "--yes")


@dataclass(frozen=True)
class Stage:
    """A hub, a zygote and the directory in which all happens."""

    base: Path
    hub: Hub
    zygote: Zygote
    grain: str
    inner: str = "stage"

    @property
    def path(self) -> Path:
        """Where the stage is."""
        return self.base / self.inner

    def manifest(self, mode: str, *names: str) -> str:
        """Two targets, and some of the three models."""
        models = {
            "portrait": f'portrait = "civitai:{catalogue.PORTRAIT}"\n',
            "eyes": f'eyes = "civitai:{catalogue.EYES}"\n',
            "grain": f'grain = {{ source = "{self.grain}", type = "lora" }}\n',
        }
        return (
            f'[targets.main]\nroot = "ui"\nlink-mode = "{mode}"\n'
            f'[targets.second]\nroot = "{self.path / "second"}"\nlink-mode = "copy"\n'
            + "[models]\n"
            + "".join(models[name] for name in names)
        )

    def keep(self, name: str) -> str:
        """Keep the stage as it is now as a template."""
        template = self.base / "templates" / name
        template.parent.mkdir(exist_ok=True)
        if not template.exists():
            shutil.copytree(self.path, template, symlinks=True) if not _has_links(self.path) else _keep(
                self, template
            )
        return str(template)

    def run(self, *words: Words, project: str = "project") -> None:
        """Commands on the stage, that must work."""
        codes, said = self.zygote("run", str(self.path), words, project)
        assert not any(codes), said


def _has_links(path: Path) -> bool:
    return any(p.is_file() and not p.is_symlink() and p.lstat().st_nlink > 1 for p in path.rglob("*"))


def _keep(stage: Stage, template: Path) -> None:
    arena._copy(str(stage.path), str(template), {})


@contextmanager
def stage(base: Path, inner: str = "stage") -> Iterator[Stage]:
    """A stage at this place below `base`."""
    with Hub() as hub:
        catalogue.populate(hub)
        catalogue.publish_upgrade(hub)
        for version in (catalogue.PORTRAIT_V1, catalogue.PORTRAIT_V2, 910_021):
            hub.civitai.replace_content(version, safetensors_bytes(f"small {version}", size=_SIZE))
        grain = hub.files.put("grain.safetensors", safetensors_bytes("grain", size=_SIZE))
        home = base / inner / "home"
        variables = {
            **hub.environment(),
            "HOME": str(home),
            "SYNAPSE_STORE": str(home / "store"),
            "SYNAPSE_CONFIG": str(home / "config.toml"),
            "HF_HOME": str(home / "huggingface"),
        }
        zygote = Zygote(variables)
        try:
            yield Stage(base, hub, zygote, grain, inner)
        finally:
            zygote.close()
        assert hub.crashes == []


def empty(on: Stage, mode: str = "hardlink", *names: str) -> None:
    """Nothing but a manifest and canaries."""
    if on.path.exists():
        arena._clear(on.path)
    for folder in ("project/ui/models/loras", "second", "home", "canary", "other"):
        (on.path / folder).mkdir(parents=True)
    (on.path / "canary" / "model.safetensors").write_bytes(b"mine")
    (on.path / "canary" / "half.part").write_bytes(b"not yours")
    os.link(on.path / "canary" / "model.safetensors", on.path / "canary" / "twice.safetensors")
    (on.path / "project/ui/models/loras/mine.safetensors").write_bytes(b"of the user")
    write(on, on.manifest(mode, *(names or ("portrait", "eyes", "grain"))))


def write(on: Stage, text: str, project: str = "project") -> None:
    """Write the manifest."""
    (on.path / project / "synapse.toml").write_text(text, encoding="utf-8")


def _synced(on: Stage, mode: str) -> None:
    """A stage with version 1 in place; a template of that is kept, too."""
    name = f"synced-{mode}"
    if (on.base / "templates" / name).exists():
        arena.put_back(on.base / "templates" / name, on.path)
        return
    empty(on, mode)
    text = on.manifest(mode, "portrait", "eyes", "grain")
    pinned = f'"civitai:{catalogue.PORTRAIT}@{catalogue.PORTRAIT_V1}"'
    write(on, text.replace(f'"civitai:{catalogue.PORTRAIT}"', pinned))
    on.run(("sync",))
    lock = on.path / "project" / "synapse.lock"
    requirement = f'requirement = "civitai:{catalogue.PORTRAIT}'
    old = lock.read_text("utf-8")
    assert f"{requirement}@{catalogue.PORTRAIT_V1}" in old
    lock.write_text(old.replace(f"{requirement}@{catalogue.PORTRAIT_V1}", requirement), encoding="utf-8")
    write(on, text)
    on.run(("sync",))
    on.keep(name)


def _scenario(on: Stage, name: str, *words: Words, **more: object) -> Scenario:
    found = Scenario(
        name=name,
        stage=str(on.path),
        template=on.keep(f"before-{name}"),
        commands=words,
        **more,  # type: ignore[arg-type]
    )
    return found


def first(on: Stage, mode: str) -> Scenario:
    """The first lock and sync."""
    empty(on, mode)
    return _scenario(on, f"first-{mode}", ("lock",), ("sync",))


def upgrade(on: Stage, mode: str) -> Scenario:
    """To another version."""
    _synced(on, mode)
    return _scenario(on, f"upgrade-{mode}", ("lock", "--upgrade"), ("sync",))


def prune(on: Stage, mode: str) -> Scenario:
    """Two of three models are no longer declared."""
    _synced(on, mode)
    write(on, on.manifest(mode, "portrait"))
    return _scenario(on, f"prune-{mode}", _SYNC)


def rescue(on: Stage, mode: str) -> Scenario:
    """Pruned, and the store has lost the bytes: they move into it."""
    _synced(on, mode)
    shutil.rmtree(on.path / "home/store/blobs")
    write(on, on.manifest(mode, "portrait"))
    return _scenario(on, f"rescue-{mode}", _SYNC)


def adopt(on: Stage, mode: str) -> Scenario:
    """The files are there already, and nobody knows where from."""
    _synced(on, mode)
    if mode != "symlink":  # or there would be nothing to adopt
        shutil.rmtree(on.path / "home/store")
    for root in ("project/ui", "second"):
        shutil.rmtree(on.path / root / ".synapse")
    return _scenario(on, f"adopt-{mode}", ("sync",))


def repair(on: Stage, mode: str) -> Scenario:
    """A placed file and a blob were changed."""
    _synced(on, mode)
    blobs = sorted((on.path / "home/store/blobs/sha256").rglob("*/*"))
    spare = next((blob for blob in blobs if not blob.samefile(on.path / EYES)), on.path / PORTRAIT)
    for path in (on.path / EYES, spare):
        real = path.resolve()
        real.chmod(0o644)
        with real.open("r+b") as file:
            file.seek(-1, 2)
            last = file.read(1)
            file.seek(-1, 2)
            file.write(bytes([last[0] ^ 1]))
    return _scenario(
        on, f"repair-{mode}", ("verify", "--repair", "--store"), again=frozenset({0, 6}), hurt=frozenset({7})
    )


def force(on: Stage, mode: str) -> Scenario:
    """Files of the user are in the way, and move aside."""
    empty(on, mode)
    for name in (EYES, PORTRAIT.replace("v1", "v2"), "second/models/loras/grain.safetensors"):
        (on.path / name).parent.mkdir(parents=True, exist_ok=True)
        (on.path / name).write_bytes(b"of the user, and in the way")
    return _scenario(on, f"force-{mode}", ("lock",), ("sync", "--force"))


def relink(on: Stage, mode: str) -> Scenario:
    """Placed in another way than before."""
    _synced(on, mode)
    write(on, on.manifest("copy" if mode != "copy" else "hardlink", "portrait", "eyes", "grain"))
    return _scenario(on, f"relink-{mode}", ("sync",))


def gc(on: Stage, mode: str) -> Scenario:
    """Blobs that nobody uses are dropped."""
    _synced(on, mode)
    write(on, on.manifest(mode, "portrait"))
    on.run(_SYNC)
    return _scenario(on, f"gc-{mode}", ("store", "gc", "--yes"), lossy=True)


def edit(on: Stage, mode: str) -> Scenario:
    """The manifest is edited by commands."""
    _synced(on, mode)
    words: tuple[Words, ...] = (
        ("add", f"civitai:{catalogue.SHARPEN}", "--name", "sharpen"),
        ("remove", "grain"),
        _SYNC,
    )
    return _scenario(on, f"edit-{mode}", *words, again=frozenset({0, 2}))


ALL: tuple[Callable[[Stage, str], Scenario], ...] = (
    first, upgrade, prune, rescue, adopt, repair, force, relink, gc, edit,
)  # fmt: skip


def scenarios(on: Stage, modes: tuple[str, ...] = MODES) -> Iterator[tuple[Scenario, Golden]]:
    """Every scenario in every mode, with its undisturbed run."""
    for make in ALL:
        for mode in modes:
            scenario = make(on, mode)
            known: Golden = on.zygote("golden", scenario)
            yield replace(scenario, codes=known.codes), known
