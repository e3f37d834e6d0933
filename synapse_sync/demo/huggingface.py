"""The parts of the Hugging Face Hub's API that synapse (and `huggingface_hub` itself) uses."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from synapse_sync.demo.exchange import Reply, Request, content_reply, json_reply, redirect
from synapse_sync.demo.storage import Storage, Stored

_LFS = (".safetensors", ".bin", ".gguf", ".pt", ".pth", ".ckpt", ".onnx")
_KINDS = {"models": "", "datasets": "datasets/", "spaces": "spaces/"}


@dataclass(slots=True)
class Repo:
    """One repository: the files of each commit, and where the branches stand."""

    name: str
    gated: str | bool = False
    private: bool = False
    license: str | None = "apache-2.0"
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    dates: dict[str, str] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class HuggingFace:
    """The hub: repositories by name, with the prefix `datasets/` or `spaces/` where they are no models."""

    storage: Storage
    token: str
    url: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)

    # -- filling it --------------------------------------------------------------------------------

    def add_repo(
        self,
        name: str,
        files: Mapping[str, bytes],
        *,
        gated: str | bool = False,
        private: bool = False,
        license: str | None = "apache-2.0",
    ) -> str:
        """Create a repository with a first commit on `main`; returns the commit."""
        self.repos[name] = Repo(name=name, gated=gated, private=private, license=license)
        return self.commit(name, files, date="2026-01-10T09:00:00.000Z")

    def commit(self, name: str, files: Mapping[str, bytes], *, date: str = "2026-06-01T09:00:00.000Z") -> str:
        """Commit a new tree to `main`, in place of what was there; returns the commit."""
        repo = self.repos[name]
        seed = f"{name} {len(repo.commits)} " + " ".join(sorted(files))
        commit = hashlib.sha1(seed.encode(), usedforsecurity=False).hexdigest()
        repo.commits[commit] = dict(files)
        repo.dates[commit] = date
        repo.refs["main"] = commit
        return commit

    # -- answering ---------------------------------------------------------------------------------

    def answer(self, request: Request) -> Reply:
        """Answer one request."""
        parts = request.segments
        if parts[:2] == ("api", "whoami-v2"):
            if request.bearer != self.token:
                return json_reply({"error": "Invalid username or password."}, 401)
            return json_reply({"type": "user", "name": "newcomer", "auth": {"type": "access_token"}})
        if len(parts) >= 3 and parts[0] == "api" and parts[1] in _KINDS:
            return self._api(request, _KINDS[parts[1]], parts[2:])
        kind = ""
        if parts and f"{parts[0]}/" in _KINDS.values():
            kind, parts = f"{parts[0]}/", parts[1:]
        if "resolve" in parts[1:3]:
            at = parts.index("resolve", 1)
            return self._resolve(request, kind + "/".join(parts[:at]), parts[at + 1], "/".join(parts[at + 2 :]))
        return _error(404, None, "Not found")

    def _find(self, request: Request, name: str) -> Repo | Reply:
        repo = self.repos.get(name)
        allowed = request.bearer == self.token
        if repo is None or (repo.private and not allowed):
            status = 404 if request.bearer else 401  # the hub does not tell strangers what is there
            return _error(
                status, "RepoNotFound", "Repository not found" if request.bearer else "Invalid credentials"
            )
        return repo

    def _commit_of(self, repo: Repo, revision: str) -> str | Reply:
        commit = repo.refs.get(revision, revision)
        if commit not in repo.commits:
            return _error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    def _api(self, request: Request, kind: str, parts: tuple[str, ...]) -> Reply:
        words = ("revision", "tree", "commits", "refs")
        at = next((n for n, part in enumerate(parts) if n and part in words), len(parts))
        repo = self._find(request, kind + "/".join(parts[:at]))
        if isinstance(repo, Reply):
            return repo
        verb = parts[at] if at < len(parts) else "revision"
        if verb == "refs":
            branches = [{"name": n, "ref": f"refs/heads/{n}", "targetCommit": c} for n, c in repo.refs.items()]
            return json_reply({"branches": branches, "tags": [], "converts": []})
        commit = self._commit_of(repo, parts[at + 1] if at + 1 < len(parts) else "main")
        if isinstance(commit, Reply):
            return commit
        if verb == "tree":
            return self._tree(repo, commit, "/".join(parts[at + 2 :]))
        if verb == "commits":
            rows = [
                {"id": c, "title": "commit", "message": "", "authors": [{"user": "ada"}], "date": repo.dates[c]}
                for c in reversed(list(repo.commits)[: list(repo.commits).index(commit) + 1])
            ]
            return json_reply(rows)
        return json_reply(self._info(repo, commit, blobs=request.first("blobs") in ("true", "True", "1")))

    def _info(self, repo: Repo, commit: str, *, blobs: bool) -> dict[str, Any]:
        siblings: list[dict[str, Any]] = []
        for path, content in sorted(repo.commits[commit].items()):
            sibling: dict[str, Any] = {"rfilename": path}
            if blobs:
                sibling |= {"size": len(content), "blobId": _blob_id(path, content)}
                if _is_lfs(path):
                    sibling["lfs"] = {"sha256": _sha256(content), "size": len(content), "pointerSize": 134}
            siblings.append(sibling)
        name = repo.name.removeprefix("datasets/").removeprefix("spaces/")
        return {
            "_id": "0",
            "id": name,
            "modelId": name,
            "sha": commit,
            "private": repo.private,
            "gated": repo.gated,
            "disabled": False,
            "lastModified": repo.dates[commit],
            "createdAt": "2026-01-01T00:00:00.000Z",
            "tags": [f"license:{repo.license}"] if repo.license else [],
            "cardData": {"license": repo.license} if repo.license else {},
            "siblings": siblings,
            "downloads": 0,
            "likes": 0,
        }

    def _tree(self, repo: Repo, commit: str, below: str) -> Reply:
        rows: list[dict[str, Any]] = []
        for path, content in sorted(repo.commits[commit].items()):
            if below and not path.startswith(below.rstrip("/") + "/"):
                continue
            row: dict[str, Any] = {
                "type": "file",
                "path": path,
                "size": len(content),
                "oid": _blob_id(path, content),
            }
            if _is_lfs(path):
                row["lfs"] = {"oid": _sha256(content), "size": len(content), "pointerSize": 134}
            rows.append(row)
        return json_reply(rows)

    def _resolve(self, request: Request, name: str, revision: str, path: str) -> Reply:
        repo = self._find(request, name)
        if isinstance(repo, Reply):
            return repo
        if repo.gated and request.bearer != self.token:
            message = f"Access to model {name} is restricted. You must have access to it and be authenticated."
            return _error(401, "GatedRepo", message)
        if repo.gated:
            message = f"Access to model {name} is restricted and you are not in the authorized list."
            return _error(403, "GatedRepo", message)
        commit = self._commit_of(repo, revision)
        if isinstance(commit, Reply):
            return commit
        content = repo.commits[commit].get(path)
        if content is None:
            return _error(404, "EntryNotFound", "Entry not found", X_Repo_Commit=commit)
        headers = {"X-Repo-Commit": commit}
        if not _is_lfs(path):
            return content_reply(request, content, headers, etag=_blob_id(path, content))
        stored = Stored(content=content, filename=path.rpartition("/")[2])
        linked = {"X_Linked_Size": str(len(content)), "X_Linked_Etag": f'"{_sha256(content)}"'}
        where = self.storage.sign(f"hf/{quote(name, safe='')}/{_sha256(content)}", stored)
        return redirect(302, where, X_Repo_Commit=commit, **linked)


def _is_lfs(path: str) -> bool:
    return path.endswith(_LFS)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _blob_id(path: str, content: bytes) -> str:
    """Git's own name for the blob: of an LFS file, that of its pointer."""
    if _is_lfs(path):
        pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n"
        content = pointer.format(_sha256(content), len(content)).encode()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _error(status: int, code: str | None, message: str, **headers: str) -> Reply:
    named = {"X_Error_Message": message, **headers}
    if code is not None:
        named["X_Error_Code"] = code
    return json_reply({"error": message}, status, **named)
