"""The Dockerfile and the Pods of an export; `make images` builds the former for real."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import shutil
import subprocess
from dataclasses import replace

import pytest
import yaml

from synapse_sync.core.artifact import Artifact, ModelCard
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.names import SafePath
from synapse_sync.core.reference import Reference
from synapse_sync.errors import InputError
from synapse_sync.interop.writers import dockerfile, k8s
from synapse_sync.interop.writers.dockerfile import LARGE, MOST
from synapse_sync.interop.writers.values import Address, Export, ExportedFile, ExportedTarget

HOSTILE = "it's $(touch pwned) `x` & ' ;#.safetensors"


def file(
    name: str, size: int, published: str | None = None, *, path: str | None = None, own: str = ""
) -> ExportedFile:
    """One file of a model of the site that wants `CIVITAI_API_KEY`; with `own`, a file of this machine."""
    sha256 = hashlib.sha256(name.encode()).hexdigest()
    url = f"https://files.example/{name}.safetensors"
    artifact = Artifact(filename=f"{name}.safetensors", size=size, sha256=sha256, url=Reference.parse(own or url))
    card = ModelCard(published=published)
    model = LockedModel(name=name, requirement=url, reference=artifact.url, card=card, artifacts=(artifact,))
    where = SafePath(f"models/loras/{path or artifact.filename}")
    addresses = () if own else (Address(url, "civitai"),)
    return ExportedFile(target="ui", path=where, model=model, kind="lora", artifact=artifact, addresses=addresses)


def export(*files: ExportedFile, root: str = "ComfyUI", name: str | None = "My Studio!") -> Export:
    target = ExportedTarget(name="ui", layout="comfyui", root=root)
    return Export(name=name, targets=(target,), files=files, version="1.2.3")


def layers(text: str) -> list[str]:
    return re.findall(r"^COPY --from=models /layers/(\w+)/ /$", text, re.MULTILINE)


def test_the_oldest_model_comes_first_and_small_files_share_a_layer() -> None:
    new, old = file("a-new", LARGE, "2026-01-01T00:00:00Z"), file("z-old", LARGE, "2024-01-01T00:00:00Z")
    small = file("small", LARGE - 1)
    text = dockerfile.write(export(new, old, small)).text
    assert layers(text) == [old.artifact.sha256[:16], new.artifact.sha256[:16], "state"]
    assert text == dockerfile.write(export(small, old, new)).text


def test_an_image_has_room_for_the_layers_of_its_base() -> None:
    text = dockerfile.write(export(*(file(f"m{number}", LARGE + number) for number in range(130)))).text
    assert len(layers(text)) == MOST + 1


def test_a_secret_is_a_mount_and_no_argument() -> None:
    text = dockerfile.write(export(file("a", 5))).text
    assert "--secret id=civitai,env=CIVITAI_API_KEY" in text and "--mount=type=secret,id=civitai" in text
    assert not re.search(r"^(ARG|ENV).*(TOKEN|KEY)", text, re.MULTILINE)


@pytest.mark.skipif(shutil.which("sh") is None, reason="no shell here")
def test_the_shell_moves_a_hostile_name_and_nothing_else() -> None:
    text = dockerfile.write(export(file("a", LARGE, path=HOSTILE))).text
    (line,) = (line for line in text.splitlines() if line.strip().startswith("layer ") and "state" not in line)
    words = shlex.split(line.strip().removesuffix("\\").rstrip().removesuffix(";"))
    assert words[2] == f"/project/ComfyUI/models/loras/{HOSTILE}"
    (run,) = re.findall(r"^RUN --mount.*?set -e; \\\n(.*?)\n\n", text, re.DOTALL | re.MULTILINE)
    assert subprocess.run(["sh", "-n"], input=run, text=True, check=False).returncode == 0


def test_files_of_the_project_are_in_the_context_and_others_are_named() -> None:
    inside, outside = file("in", 5, own="./models/x.safetensors"), file("out", 5, own="/data/y.safetensors")
    found = dockerfile.write(export(inside, outside))
    assert 'COPY ["models/x.safetensors", "models/x.safetensors"]' in found.text
    assert [note.partition(":")[0] for note in found.notes] == ["`out`"]


@pytest.mark.parametrize(
    ("path", "source", "destination"),
    [
        ("[SDXL] foo.bin", "[[]SDXL] foo.bin", "[SDXL] foo.bin"),
        ("a*b?.bin", "a[*]b[?].bin", "a*b?.bin"),
        ("$HOME.bin", r"\$HOME.bin", r"\$HOME.bin"),
        ("it's.bin", r"it\'s.bin", r"it\'s.bin"),
        ('a"b.bin', r"a\"b.bin", r"a\"b.bin"),
        ("a\\b.bin", r"a\\\\b.bin", r"a\\b.bin"),
    ],
)
def test_a_copy_names_one_file_whatever_its_name_contains(path: str, source: str, destination: str) -> None:
    """A source is a pattern, and both words have their variables expanded and their quotes removed."""
    text = dockerfile.write(export(file("in", 5, own=f"./{path}"))).text
    (line,) = (line for line in text.splitlines() if line.startswith("COPY ["))
    assert json.loads(line.removeprefix("COPY ")) == [source, destination]


def test_a_file_behind_a_link_out_of_the_project_is_named_and_not_copied() -> None:
    inside, behind = file("in", 5, own="./models/x.safetensors"), file("nas", 5, own="./models/nas/y.safetensors")
    found = dockerfile.write(replace(export(inside, behind), linked=frozenset({"models/nas/y.safetensors"})))
    assert "y.safetensors" not in found.text and found.left_out == 1
    assert found.notes == (
        "`nas`: its file has no URL, `models/nas/y.safetensors` is behind a link out of the project: "
        "a build cannot read it",
    )


@pytest.mark.parametrize(
    ("root", "place"),
    [("ComfyUI", "/project/ComfyUI"), (".", "/project"), ("~/ui", "/root/ui"), ("/opt/ui", "/opt/ui")],
)
def test_the_image_has_the_paths_of_the_builder(root: str, place: str) -> None:
    assert f'COPY --from=models ["{place}", "{place}"]' in dockerfile.write(export(file("a", 5), root=root)).text


def test_a_root_that_would_begin_a_line_is_refused() -> None:
    with pytest.raises(InputError, match="`ui`"):
        dockerfile.write(export(file("a", 5), root="x\nRUN touch pwned"))


@pytest.mark.parametrize("write", [k8s.write, k8s.write_image])
def test_a_pod_is_valid_yaml_and_runs_as_nobody_in_particular(write: object) -> None:
    assert callable(write)
    documents = list(yaml.safe_load_all(write(export(file("a", 3 << 30))).text))
    pod = documents[-1]
    assert pod["kind"] == "Pod" and pod["metadata"]["name"] == "my-studio"
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    for container in (*pod["spec"]["containers"], *pod["spec"].get("initContainers", ())):
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert {mount["name"] for mount in container["volumeMounts"]} <= {v["name"] for v in pod["spec"]["volumes"]}


def test_the_claim_has_room_and_tokens_come_from_a_secret() -> None:
    claim, pod = yaml.safe_load_all(k8s.write(export(file("a", 3 << 30), file("b", 5 << 30))).text)
    assert claim["spec"]["resources"]["requests"]["storage"] == "10Gi"
    (models,) = pod["spec"]["initContainers"]
    (token,) = (each for each in models["env"] if "valueFrom" in each)
    assert token["name"] == "CIVITAI_API_KEY" and "value" not in token
    assert token["valueFrom"]["secretKeyRef"]["optional"] is True


@pytest.mark.parametrize(
    ("name", "shown"), [(None, "models"), ("7 UIs", "models-7-uis"), ("日本", "models"), ("--a--", "a")]
)
def test_names_of_objects(name: str | None, shown: str) -> None:
    pod = yaml.safe_load(k8s.write_image(export(file("a", 5), name=name)).text)
    assert pod["metadata"]["name"] == shown


def test_a_root_outside_the_project_is_named() -> None:
    assert "outside the project" in k8s.write_image(export(file("a", 5), root="/opt/ui")).notes[0]


def test_included_manifests_are_in_the_image() -> None:
    written = dockerfile.write(
        replace(export(file("a", 5)), included=("lists/a b.toml",), downloaded=("https://e/x",))
    )
    assert 'COPY ["lists/a b.toml", "lists/a b.toml"]' in written.text
    assert "layer state '/project/lists/a b.toml'" in written.text
    assert written.notes == ("https://e/x is included: in the image, a sync downloads it again",)
    (note,) = k8s.write(replace(export(file("a", 5)), included=("lists/a b.toml",))).notes
    assert "lists/a b.toml is included" in note and "/project/lists/a b.toml" in note
