"""The scenes of the snapshots: commands, by the state of the project in which they are run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from lists import node, workflow

from synapse_sync.demo import catalogue
from synapse_sync.demo.exchange import Fault
from synapse_sync.demo.hub import Hub
from synapse_sync.demo.weights import safetensors_bytes

COMFY = '[targets.comfy]\nlayout = "comfyui"\nroot = "ComfyUI"\n'
FORGE = '[targets.forge]\nlayout = "forge"\nroot = "forge"\ngroups = ["portrait"]\n'
MODELS = f"""
[models]
portrait = "civitai:{catalogue.PORTRAIT}"
eyes = "civitai:{catalogue.EYES}"
portrait-vae = "hf://{catalogue.VAE_REPO}/portrait_vae.safetensors"

[models.detail]
source = "civitai:{catalogue.DETAIL}"
groups = ["portrait"]
subfolder = "details"

[models.storybook]
source = "civitai:1231067"
"""
MANIFEST = f"{COMFY}{FORGE}{MODELS}"


@dataclass(frozen=True)
class Studio:
    """A project at a place whose path always has the same length; `run` runs a command in it and must succeed."""

    base: Path
    hub: Hub
    run: Callable[..., None]

    @property
    def project(self) -> Path:
        return self.base / "work"

    def manifest(self, text: str = MANIFEST) -> None:
        (self.project / "synapse.toml").write_text(text, "utf-8")

    def edit(self, old: str, new: str) -> None:
        text = (self.project / "synapse.toml").read_text("utf-8")
        assert old in text
        self.manifest(text.replace(old, new))

    def replace(self, path: str, content: bytes) -> None:
        place = self.project / path
        place.unlink(missing_ok=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


@dataclass(frozen=True)
class Scene:
    """One command; `file` is the name of its snapshot. One that `acts` gets the state anew for each width."""

    file: str
    words: str
    acts: bool = False


@dataclass(frozen=True)
class State:
    """A state of the project, and the commands that are run in it."""

    make: Callable[[Studio], None]
    scenes: tuple[Scene, ...]


def empty(studio: Studio) -> None:
    """A directory without a project."""


def declared(studio: Studio) -> None:
    studio.manifest()


def locked(studio: Studio) -> None:
    studio.manifest()
    studio.run("lock")


def synced(studio: Studio) -> None:
    studio.manifest()
    studio.run("sync")


def changed(studio: Studio) -> None:
    """Files changed, missing and in the way; models dropped, renamed and new; files of the user."""
    synced(studio)
    models = "ComfyUI/models"
    studio.replace(f"{models}/checkpoints/portrait_v1.safetensors", safetensors_bytes("mine", size=9_000))
    studio.replace(
        f"{models}/checkpoints/my-own-merge-of-three-models-for-portraits.safetensors", safetensors_bytes("own")
    )
    studio.replace(f"{models}/loras/pp-storybook_rank2_bf16.safetensors", b"")
    (studio.project / models / "loras/pp-storybook_rank2_bf16.safetensors").unlink()
    studio.edit(f'eyes = "civitai:{catalogue.EYES}"\n', f'sharpen = "civitai:{catalogue.SHARPEN}"\n')


def copied(studio: Studio) -> None:
    """Files in trees that are copies, some of which the user made; one blob that nobody uses any more."""
    studio.manifest(f'{COMFY}{FORGE}link-mode = "copy"\n{MODELS}')
    studio.run("sync")
    place = studio.project / "ComfyUI/models/vae/portrait_vae.safetensors"
    content = place.read_bytes()
    place.unlink()
    place.write_bytes(content)
    studio.run("sync")
    studio.run("remove eyes")
    studio.run("sync")


def in_another_region(studio: Studio) -> None:
    """Civitai refuses this region: one model is locked, two are not, and one is on another site."""
    studio.manifest(f'{COMFY}[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\n')
    studio.run("lock")
    studio.manifest(f"{COMFY}{MODELS}")
    studio.hub.civitai.region_blocked = True


def without_models(studio: Studio) -> None:
    studio.manifest(COMFY)


def long_names(studio: Studio) -> None:
    """A model with a long name, version and type; a file that was trusted on first use."""
    name = "a-very-long-name-of-a-lora-for-old-photographs-of-families-and-their-houses"
    url = f"{studio.hub.files.url}/files/{catalogue.PLAIN_LORA}"
    studio.manifest(
        f'{COMFY}[models]\n{name} = "civitai:{catalogue.PORTRAIT}"\n'
        f'[models.film-grain]\nsource = "{url}"\ntype = "lora"\n'
    )
    studio.run("lock", "--trust")


def with_previews(studio: Studio) -> None:
    os.environ["SYNAPSE_TRUST_HOSTS"] = "127.0.0.1"
    studio.manifest(f"[workspace]\npreviews = 2\nsidecars = true\n{MANIFEST}")
    studio.run("lock")


def untrusted(studio: Studio) -> None:
    """The lockfile names addresses of a host that nobody has agreed to."""
    os.environ["SYNAPSE_TRUST_HOSTS"] = urlsplit(studio.hub.files.url).netloc
    studio.manifest(f"[workspace]\npreviews = 2\n{COMFY}{MODELS}")
    studio.run("lock")


def without_tokens(studio: Studio) -> None:
    studio.manifest(f'{COMFY}{MODELS}\n[models.gated]\nsource = "hf://{catalogue.GATED_REPO}"\ntype = "vae"\n')
    studio.run("lock")
    for name in ("CIVITAI_API_KEY", "HF_TOKEN"):
        del os.environ[name]


def broken(studio: Studio) -> None:
    studio.manifest('[targets.comfy]\nlayout = "comfy"\n[models]\na = "civitai:x"\nb = "nonsense"\n[modles]\n')


def unreachable(studio: Studio) -> None:
    studio.manifest()
    studio.run("lock")
    studio.hub.faults.add("/", Fault(status=503))


def with_workflows(studio: Studio) -> None:
    """A synced project, and a workflow that somebody shared: one of its models is here, others are not."""
    synced(studio)
    vae = f"https://huggingface.co/{catalogue.VAE_REPO}/resolve/main/portrait_vae.safetensors"
    gone = "https://huggingface.co/nobody/nothing/resolve/main/gone.safetensors"
    flow = workflow(
        node(1, "CheckpointLoaderSimple", widgets=["portrait_v1.safetensors"]),
        node(2, "VAELoader", {"name": "studio_vae.safetensors", "url": vae, "directory": "vae"}),
        node(3, "LoraLoader", {"name": "gone.safetensors", "url": gone, "directory": "loras"}),
        node(4, "UpscaleModelLoader", widgets=["4x-nobody-knows-where.pth"]),
    )
    (studio.project / "workflows").mkdir()
    (studio.project / "workflows" / "portrait.json").write_text(json.dumps(flow), "utf-8")


def refused(studio: Studio) -> None:
    """Models that cannot be locked, each for another reason."""
    wanted = {
        "paid": f"civitai:{catalogue.EARLY}@{catalogue.EARLY_PAID}",
        "pickle": f"civitai:{catalogue.PICKLE}",
        "danger": f"civitai:{catalogue.DANGER}",
        "archived": f"civitai:{catalogue.ARCHIVED}",
        "two": f"civitai:{catalogue.AMBIGUOUS}",
        "gone": "civitai:1",
        "nobody": "hf://nobody/nothing",
    }
    studio.manifest(COMFY + "[models]\n" + "".join(f'{name} = "{ref}"\n' for name, ref in wanted.items()))


STATES = {
    "empty": State(
        empty,
        (
            Scene("no-command", ""),
            Scene("no-project", "status"),
            Scene("misspelt-command", "stauts"),
            Scene("other-tools-command", "install"),
            Scene("misspelt-option", "sync --froze"),
            Scene("init", "init", acts=True),
            Scene("completion-unknown", "completion tcsh"),
            Scene("search", "search detail"),
            Scene("search-both-sites", "search portrait"),
            Scene("search-mature", "search mature"),
            Scene("info-versions", "info civitai:4468"),
            Scene("info-early", f"info civitai:{catalogue.EARLY}"),
            Scene("info-repository", f"info hf://{catalogue.TREE_REPO}"),
            Scene("info-unknown", "info civitai:1"),
            Scene("images", f"images --model {catalogue.PORTRAIT}"),
            Scene("creators", "creators"),
            Scene("tags", "tags"),
            Scene("whoami", "whoami"),
            Scene("doctor-no-project", "doctor"),
            Scene("store-path", "store path"),
            Scene("store-size", "store size"),
            Scene("store-gc-empty", "store gc"),
            Scene("login-no-terminal", "login civitai"),
            Scene("logout", "logout civitai", acts=True),
        ),
    ),
    "declared": State(
        declared,
        (
            Scene("status-declared", "status"),
            Scene("list-declared", "list"),
            Scene("show-declared", "show portrait"),
            Scene("lock", "lock", acts=True),
            Scene("lock-check", "lock --check"),
            Scene("doctor-declared", "doctor --offline"),
            Scene("sync", "sync", acts=True),
            Scene("sync-locked", "sync --locked"),
            Scene("add", f"add civitai:{catalogue.SHARPEN}", acts=True),
            Scene("add-long-name", "add civitai:58390", acts=True),
            Scene("remove", "remove eyes", acts=True),
            Scene("remove-unknown", "remove eyse"),
            Scene("outdated-declared", "outdated"),
        ),
    ),
    "synced": State(
        synced,
        (
            Scene("status-in-sync", "status"),
            Scene("sync-nothing", "sync"),
            Scene("list", "list"),
            Scene("list-sizes", "list --sizes"),
            Scene("show", "show detail"),
            Scene("show-web", "show detail --web"),
            Scene("show-repository-file", "show portrait-vae"),
            Scene("show-unknown", "show detial"),
            Scene("verify", "verify"),
            Scene("doctor", "doctor"),
            Scene("doctor-without", "doctor --without civitai.com"),
            Scene("gallery-refused", "gallery -o synapse.toml"),
            Scene("licenses", "licenses"),
            Scene("outdated-none", "outdated"),
            Scene("store-gc-now", "store gc --now -n"),
            Scene("store-size-full", "store size"),
            Scene("store-gc-in-use", "store gc -n"),
            Scene("store-verify", "store verify"),
            Scene("info-name", "info detail"),
            Scene("search-marks", "search portrait"),
            Scene("info-file", "info ComfyUI/models/loras/details/detail_v2.safetensors"),
            Scene("detach-dry-run", "detach -n"),
            Scene("bundle", "bundle studio.tar", acts=True),
            Scene("push-no-tag", "push oci://registry.example/models"),
            Scene("unbundle-no-bundle", "unbundle synapse.lock"),
            Scene("export-unknown", "export sha256"),
            Scene("status-part", "status --group portrait --target forge"),
        ),
    ),
    "changed": State(
        changed,
        (
            Scene("status-changed", "status"),
            Scene("status-all", "status --all"),
            Scene("list-changed", "list"),
            Scene("list-sizes-changed", "list --sizes"),
            Scene("diff-no-git", "diff"),
            Scene("rollback-no-git", "rollback"),
            Scene("sync-dry-run", "sync --dry-run"),
            Scene("sync-conflict", "sync", acts=True),
            Scene("sync-force", "sync --force", acts=True),
            Scene("verify-changed", "verify", acts=True),
            Scene("import", "import ComfyUI", acts=True),
        ),
    ),
    "another region": State(
        in_another_region,
        (Scene("lock-region", "lock", acts=True), Scene("sync-region", "sync", acts=True)),
    ),
    "without models": State(
        without_models, (Scene("status-no-models", "status"), Scene("list-no-models", "list --sizes"))
    ),
    "copied": State(copied, (Scene("list-sizes-copied", "list --sizes"),)),
    "long names": State(long_names, (Scene("list-long", "list"), Scene("list-sizes-long", "list --sizes"))),
    "workflows": State(
        with_workflows,
        (
            Scene("import-list", "import workflows/portrait.json", acts=True),
            Scene("import-list-dry-run", "import -n workflows/portrait.json"),
            Scene("import-list-check", "import --check workflows/portrait.json"),
            Scene("import-no-list", "import synapse.lock"),
            Scene("why", "why portrait_v1.safetensors"),
            Scene("why-unknown", "why ComfyUI/models/vae/nothing.safetensors"),
            Scene("unused", "unused --workflows workflows"),
            Scene("tree", "tree"),
        ),
    ),
    "previews": State(
        with_previews,
        (
            Scene("status-previews", "status"),
            Scene("status-previews-all", "status --all"),
            Scene("sync-previews", "sync", acts=True),
        ),
    ),
    "untrusted": State(
        untrusted,
        (Scene("status-untrusted", "status"), Scene("sync-untrusted", "sync"), Scene("trust", "trust", acts=True)),
    ),
    "without tokens": State(
        without_tokens, (Scene("sync-no-token", "sync", acts=True), Scene("status-no-token", "status"))
    ),
    "broken": State(broken, (Scene("status-broken", "status"), Scene("lock-broken", "lock"))),
    "unreachable": State(
        unreachable,
        (
            Scene("sync-unreachable", "sync", acts=True),
            Scene("search-unreachable", "search x"),
            Scene("outdated-unreachable", "outdated"),
            Scene("whoami-unreachable", "whoami"),
            Scene("doctor-unreachable", "doctor"),
            Scene("doctor-lost", "doctor --without civitai"),
        ),
    ),
    "refused": State(refused, (Scene("lock-refused", "lock", acts=True),)),
}
