"""`k8s` and `k8s-image`: a Pod of Kubernetes with the locked files in a volume. Pure.

The first one syncs in an init container, into a claim that keeps the files between starts. The second one mounts an
image that `synapse export dockerfile` described (Kubernetes 1.35, or 1.33 with the feature gate `ImageVolume`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from synapse_sync.interop.writers.dockerfile import PROJECT
from synapse_sync.interop.writers.values import Address, Export, Written, local_notes, without_address

_GIB = 1 << 30

_SYNCED = """# Written by `synapse export k8s`. The two files of the project, and the tokens that the sites want:
#   kubectl create configmap {name} --from-file=synapse.toml --from-file=synapse.lock
#   kubectl create secret generic {name}-tokens{literals}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {name}
spec:
  accessModes: [ReadWriteOnce]
  resources:
    requests:
      storage: {gib}Gi
---
apiVersion: v1
kind: Pod
metadata:
  name: {name}
spec:
  securityContext:
    runAsNonRoot: true
    runAsUser: 1000
    runAsGroup: 1000
    fsGroup: 1000
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  initContainers:
    - name: models
      image: {name}-synapse  # any image with Python and synapse-sync=={version}
      command: [synapse, sync, --frozen, --no-progress]
      workingDir: {project}
      env:
        # The store is beside the trees, so that they are links into it: each file is there once.
        - {{name: SYNAPSE_STORE, value: {project}/.store}}
        - {{name: HOME, value: {project}}}
{tokens}{security}
      volumeMounts: &models
        - {{name: models, mountPath: {project}}}
        - {{name: project, mountPath: {project}/synapse.toml, subPath: synapse.toml, readOnly: true}}
        - {{name: project, mountPath: {project}/synapse.lock, subPath: synapse.lock, readOnly: true}}
  containers:
    - name: ui
      image: {name}-ui  # your UI; its models are in {where}
{security}
      volumeMounts: *models
  volumes:
    - name: models
      persistentVolumeClaim:
        claimName: {name}
    - name: project
      configMap:
        name: {name}
"""

_MOUNTED = """# Written by `synapse export k8s-image`, for the image that `synapse export dockerfile` describes.
apiVersion: v1
kind: Pod
metadata:
  name: {name}
spec:
  securityContext:
    runAsNonRoot: true
    runAsUser: 1000
    runAsGroup: 1000
    seccompProfile:
      type: RuntimeDefault
  containers:
    - name: ui
      image: {name}-ui  # your UI; its models are in {where}
{security}
      volumeMounts:
        - {{name: models, mountPath: {project}, subPath: {sub}, readOnly: true}}
  volumes:
    - name: models
      image:
        reference: {name}-models
        pullPolicy: IfNotPresent
"""

_SECURITY = """      securityContext:
        allowPrivilegeEscalation: false
        capabilities:
          drop: [ALL]"""


def write(export: Export) -> Written:
    """Write a claim and a Pod that syncs into it. A model without a URL is named in a warning."""
    sites = sorted({address.site for file in export.files for address in file.addresses if address.site})
    variables = [Address("", site).variables[0] for site in sites]
    text = _SYNCED.format(
        **_common(export),
        gib=_size(export),
        version=export.version,
        literals="".join(f" --from-literal={name}=…" for name in variables),
        tokens="".join(_tokens(variables, _name(export))),
    )
    local = without_address(export)
    return Written(text, (*local_notes(local), *_outside(export), *_not_mounted(export)), len(local))


def write_image(export: Export) -> Written:
    """Write a Pod that mounts an image with the files."""
    text = _MOUNTED.format(**_common(export), sub=PROJECT.strip("/"))
    return Written(text, tuple(_outside(export)))


def _common(export: Export) -> dict[str, str]:
    inside = [target.root for target in export.targets if not target.root.startswith(("/", "~"))]
    where = ", ".join(PROJECT if root in (".", "") else f"{PROJECT}/{root}" for root in inside) or PROJECT
    return {"name": _name(export), "project": PROJECT, "where": _plain(where), "security": _SECURITY}


def _name(export: Export) -> str:
    """The workspace's name as that of an object: lower-case letters, digits and hyphens (RFC 1123)."""
    text = re.sub(r"[^a-z0-9]+", "-", (export.name or "").lower()).strip("-")[:40].strip("-")
    return text if text and text[0].isalpha() else f"models-{text}".strip("-")


def _size(export: Export) -> int:
    """The size of the claim in GiB: every file once, an eighth more, and one for the rest."""
    sizes = {file.artifact.sha256: file.artifact.size for _, file in export.placed()}
    return sum(sizes.values()) * 9 // 8 // _GIB + 1


def _tokens(variables: list[str], name: str) -> Iterator[str]:
    for variable in variables:
        source = {"secretKeyRef": {"name": f"{name}-tokens", "key": variable, "optional": True}}
        yield f"        - {json.dumps({'name': variable, 'valueFrom': source})}\n"


def _outside(export: Export) -> Iterator[str]:
    for target in export.targets:
        if target.root.startswith(("/", "~", "..")):
            yield f"target `{target.name}`: its root is outside the project, which is all that the volume has"


def _not_mounted(export: Export) -> Iterator[str]:
    for name in export.included:
        yield f"{name} is included: add it to the ConfigMap, and mount it at {PROJECT}/{name} as well"


def _plain(text: str) -> str:
    """A text in a comment, which it must not end."""
    return "".join(char if char.isprintable() else "?" for char in text)
