"""synapse: declare model files in a manifest, lock them, sync the same bytes everywhere.

    from synapse_sync import Workspace

    with Workspace("path/to/project") as workspace:
        print(workspace.sync().summary())

The names in `__all__` are the Python API. `docs/python.md` describes them, and says which parts stay as they are.
"""

TYPE_CHECKING = False  # see `user/places.py`
if TYPE_CHECKING:
    from synapse_sync.api.civitai import CivitaiClient
    from synapse_sync.api.results import Added, Status
    from synapse_sync.api.workspace import Workspace
    from synapse_sync.core.artifact import Artifact, ModelCard, Preview
    from synapse_sync.core.digest import Digest
    from synapse_sync.core.freshness import Change
    from synapse_sync.core.link_mode import LinkMode
    from synapse_sync.core.lock_diff import LockDiff, ModelDiff
    from synapse_sync.core.lockfile import LockedModel, Lockfile
    from synapse_sync.core.manifest.values import Manifest, Requirement, Target
    from synapse_sync.core.plan import Action, Plan, Verb
    from synapse_sync.core.reference import Reference
    from synapse_sync.core.report import Outcome, Report
    from synapse_sync.core.reporter import Reporter
    from synapse_sync.engine.lock import Locked
    from synapse_sync.engine.outdated import Pin, Standing
    from synapse_sync.engine.verify import Verification
    from synapse_sync.errors import (
        AccessDenied,
        AmbiguousFile,
        Blocked,
        Conflict,
        InputError,
        IntegrityError,
        InvalidLockfile,
        InvalidManifest,
        InvalidReference,
        InvalidSettings,
        MissingType,
        NameClash,
        NetworkError,
        NotFound,
        NotTrusted,
        Offline,
        OutOfDate,
        RefusedFormat,
        RegionRefused,
        Several,
        StorageError,
        SynapseError,
        UnsafeName,
        WrongContent,
    )
    from synapse_sync.sources.base import Description, Edition
    from synapse_sync.version import __version__

__all__ = [
    "AccessDenied", "Action", "Added", "AmbiguousFile", "Artifact", "Blocked", "Change", "CivitaiClient",
    "Conflict", "Description", "Digest", "Edition", "InputError", "IntegrityError", "InvalidLockfile",
    "InvalidManifest", "InvalidReference", "InvalidSettings", "LinkMode", "LockDiff", "Locked", "LockedModel",
    "Lockfile", "Manifest", "MissingType", "ModelCard", "ModelDiff", "NameClash", "NetworkError", "NotFound",
    "NotTrusted", "Offline", "OutOfDate", "Outcome", "Pin", "Plan", "Preview", "Reference", "RefusedFormat",
    "RegionRefused", "Report", "Reporter", "Requirement", "Several", "Standing", "Status", "StorageError",
    "SynapseError", "Target", "UnsafeName", "Verb", "Verification", "Workspace", "WrongContent", "__version__",
]  # fmt: skip
#: The module of each name that is no error.
_HOMES = {
    "api.civitai": ("CivitaiClient",),
    "api.results": ("Added", "Status"),
    "api.workspace": ("Workspace",),
    "core.artifact": ("Artifact", "ModelCard", "Preview"),
    "core.digest": ("Digest",),
    "core.freshness": ("Change",),
    "core.link_mode": ("LinkMode",),
    "core.lock_diff": ("LockDiff", "ModelDiff"),
    "core.lockfile": ("LockedModel", "Lockfile"),
    "core.manifest.values": ("Manifest", "Requirement", "Target"),
    "core.plan": ("Action", "Plan", "Verb"),
    "core.reference": ("Reference",),
    "core.report": ("Outcome", "Report"),
    "core.reporter": ("Reporter",),
    "engine.lock": ("Locked",),
    "engine.outdated": ("Pin", "Standing"),
    "engine.verify": ("Verification",),
    "sources.base": ("Description", "Edition"),
    "version": ("__version__",),
}


def __getattr__(name: str) -> object:
    # Loaded when it is asked for: a command imports this package, and needs none of them.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    home = next((home for home, names in _HOMES.items() if name in names), "errors")
    value: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *(name for name in __all__ if name not in globals())]
