"""A small ModelScope: repositories with commits and tags, listings of their files, and downloads."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from synapse_sync.demo.exchange import Reply, Request, content_reply, html_reply, json_reply, redirect
from synapse_sync.demo.storage import Storage, Stored

#: Larger files are in the storage, smaller ones in git.
_LFS = 4096
#: The site ends each listing after that many entries, without a sign of it.
_MOST = 3000


@dataclass(slots=True)
class Repo:
    """One repository: its commits, oldest first, each with all files and its time, and its tags."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    private: bool = False

    def commit_of(self, revision: str) -> str | None:
        """Return the commit that a branch, a tag or a commit names."""
        if revision == "master":
            return next(reversed(self.commits), None)
        return self.tags.get(revision) or (revision if revision in self.commits else None)


@dataclass(slots=True)
class ModelScope:
    """The API below `/api/v1` and `/openapi/v1`, and downloads beside it; `anonymous` leaves ids of commits out."""

    storage: Storage
    token: str
    url: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    anonymous: bool = False

    def add(self, id_: str, files: dict[str, bytes], *, time: int = 1_767_225_600, tag: str | None = None) -> str:
        """Commit a repository's files (all of them) at a time in seconds since 1970; returns the commit."""
        repo = self.repos.setdefault(id_, Repo())
        seed = f"{id_} {len(repo.commits)}".encode()
        commit = hashlib.sha1(seed, usedforsecurity=False).hexdigest()
        repo.commits[commit], repo.times[commit] = files, time
        if tag is not None:
            repo.tags[tag] = commit
        return commit

    def answer(self, request: Request) -> Reply:
        """Answer one request."""
        if request.method not in ("GET", "HEAD"):
            return _failure(405, "method not allowed")
        if request.bearer not in (None, self.token):
            return _failure(401, "the token is not valid")
        match request.segments:
            case ("openapi", "v1", "users", "me"):
                if request.bearer is None:
                    return _failure(401, "login required")
                return json_reply({"success": True, "data": {"username": "newcomer", "email": ""}})
            case ("api", "v1", "models", owner, name, "repo", "files"):
                return self._listing(request, f"{owner}/{name}")
            case ("api", "v1", "models", owner, name, "repo"):
                path, revision = request.first("FilePath") or "", request.first("Revision") or "master"
                return self._file(request, f"{owner}/{name}", revision, path)
            case ("models", owner, name, "resolve", revision, *parts):
                return self._file(request, f"{owner}/{name}", revision, "/".join(parts))
        return html_reply(404)

    def _find(self, request: Request, id_: str, revision: str) -> tuple[Repo, str] | None:
        repo = self.repos.get(id_)
        if repo is None or (repo.private and request.bearer is None):
            return None
        commit = repo.commit_of(revision)
        return None if commit is None else (repo, commit)

    def _listing(self, request: Request, id_: str) -> Reply:
        found = self._find(request, id_, request.first("Revision") or "master")
        if found is None:
            return _failure(404, "record not found")
        repo, commit = found
        files = repo.commits[commit]
        folders = {path[:at] for path in files for at, char in enumerate(path) if char == "/"}
        rows = [self._row(repo, commit, path, None) for path in sorted(folders)]
        rows += [self._row(repo, commit, path, content) for path, content in sorted(files.items())]
        if request.first("Recursive") != "True":  # any other spelling silently means no
            rows = [row for row in rows if "/" not in row["Path"]]
        last = {
            "Id": "" if self.anonymous else commit, "ShortId": "" if self.anonymous else commit[:8],
            "CommittedDate": repo.times[commit], "CommitterName": "somebody", "Message": "",
        }  # fmt: skip
        return _success({"Files": rows[:_MOST], "IsVisual": 0, "LatestCommitter": last})

    def _row(self, repo: Repo, commit: str, path: str, content: bytes | None) -> dict[str, Any]:
        """Return an entry: a file or, without content, a folder; `Revision` is the last commit that changed it."""
        changed = commit
        for earlier in reversed(list(repo.commits)[: list(repo.commits).index(commit)]):
            if content is None or repo.commits[earlier].get(path) != content:
                break
            changed = earlier
        return {
            "Name": path.rpartition("/")[2], "Path": path, "Type": "tree" if content is None else "blob",
            "Size": len(content or b""), "Sha256": "" if content is None else hashlib.sha256(content).hexdigest(),
            "IsLFS": len(content or b"") > _LFS, "Mode": "40000" if content is None else "33188",
            "Revision": changed, "CommittedDate": repo.times[changed], "CommitterName": "somebody",
        }  # fmt: skip

    def _file(self, request: Request, id_: str, revision: str, path: str) -> Reply:
        found = self._find(request, id_, revision)
        content = None if found is None else found[0].commits[found[1]].get(path)
        if found is None or content is None:
            return _failure(404, "the file does not exist")
        if len(content) <= _LFS:
            return content_reply(request, content, {"Content-Type": "text/plain"})
        stored = Stored(content=content, filename=path.rpartition("/")[2])
        return redirect(302, self.storage.sign(f"modelscope/{id_}/{found[1]}/{path}", stored))


def _success(data: dict[str, Any]) -> Reply:
    return json_reply({"Code": 200, "Data": data, "Message": "success", "RequestId": "1", "Success": True})


def _failure(status: int, message: str) -> Reply:
    body = {"Code": 10_010_205_001, "Data": None, "Message": message, "RequestId": "1", "Success": False}
    return json_reply(body, status)
