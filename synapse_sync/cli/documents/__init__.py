"""The documents of `--json`: one shape for each command, for the JSON Schema and for the tests.

No command loads this room: a command prints what its result says. `tests/cli/test_documents.py` holds both
together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from synapse_sync.cli.documents import declare, house, lock, look, plan, remote, sites
from synapse_sync.cli.documents.shape import Errors

#: The version of all documents. Within it, no key goes or changes its meaning; new keys may come.
VERSION = 1

#: The document of each command by its words; a command with several forms has one row for each.
DOCUMENTS: Mapping[str, Any] = {
    "init": declare.InitDocument,
    "add": lock.AddDocument,
    "import DIR": declare.ImportDocument,
    "import DIR --shard I/N": declare.ImportPartDocument,
    "import FILE": declare.ImportListDocument,
    "import --check FILE": declare.ImportCheckDocument,
    "import --identify": declare.IdentifyDocument,
    "remove": lock.RemoveDocument,
    "lock": lock.LockDocument,
    "sync": plan.SyncDocument,
    "sync --dry-run": plan.PlanDocument,
    "rollback": plan.SyncDocument,
    "status": plan.StatusDocument,
    "verify": look.VerifyDocument,
    "list": look.ListDocument,
    "show": look.ShowDocument,
    "why": look.WhyDocument,
    "tree": look.TreeDocument,
    "unused": look.UnusedDocument,
    "diff": lock.DiffDocument,
    "licenses": look.LicensesDocument,
    "outdated": look.OutdatedDocument,
    "export": look.ExportDocument,
    "gallery": look.GalleryDocument,
    "push": remote.RegistryPushDocument,
    "detach": look.DetachDocument,
    "bundle": look.BundleDocument,
    "unbundle": look.UnbundleDocument,
    "search": sites.SearchDocument,
    "info": sites.InfoDocument,
    "info FILE": sites.InfoFileDocument,
    "info FILE FILE": sites.InfoFilesDocument,
    "images": sites.ImagesDocument,
    "creators": sites.CreatorsDocument,
    "tags": sites.TagsDocument,
    "trust": house.TrustDocument,
    "trust --list": house.ConsentsDocument,
    "login": house.LoginDocument,
    "logout": house.LogoutDocument,
    "whoami": house.WhoamiDocument,
    "doctor": house.DoctorDocument,
    "doctor --without": house.WithoutDocument,
    "store path": house.StorePathDocument,
    "store size": house.StoreSizeDocument,
    "store gc": house.CollectDocument,
    "store forget": house.StoreForgetDocument,
    "store verify": house.StoreVerifyDocument,
    "store list": house.StoreListDocument,
    "store add": house.StoreAddDocument,
    "store remove": house.StoreRemoveDocument,
    "store push": remote.PushDocument,
    "store pull": remote.PullDocument,
    "store status": remote.RemoteStatesDocument,
    "store publish": remote.PublishDocument,
    "store gc --remote": remote.RemoteCollectDocument,
    "completion": house.CompletionDocument,
}
#: Commands without a document, with the reason: they refuse `--json`.
WITHOUT = {"demo": "it shows a tour"}


def documents_schema() -> dict[str, Any]:
    """Return the JSON Schema of all documents; shipped as `documents.schema.json`.

    `$defs` has the shapes, and `commands` says which one is that of a command. A command that fails as a whole
    prints `Errors` instead.
    """
    kinds = [Errors, *DOCUMENTS.values()]
    (_, *commands), defs = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    for shape in defs.values():
        shape.pop("additionalProperties", None)  # a program has to accept the keys of a later version
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The documents of synapse --json",
        "version": VERSION,
        "commands": dict(zip(DOCUMENTS, commands, strict=True)),
        "$defs": defs,
    }
