"""The parts of the Hugging Face Hub's API that synapse (and `huggingface_hub` itself) uses."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

from synapse_sync.demo.exchange import Reply, Request, content_reply, json_reply, redirect
from synapse_sync.demo.storage import Storage, Stored

_LFS = (".safetensors", ".bin", ".gguf", ".pt", ".pth", ".ckpt", ".onnx")
_KINDS = {"models": "", "datasets": "datasets/", "spaces": "spaces/"}
_VERBS = ("revision", "tree", "commits", "refs", "paths-info")
_PAGE, _EXPANDED_PAGE = 1000, 50
_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n"


@dataclass(slots=True)
class Repo:
    """One repository: the files of each commit, the commits of its refs, and the accounts with access."""

    name: str
    gated: str | bool = False
    private: bool = False
    license: str | None = "apache-2.0"
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    dates: dict[str, str] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    card: dict[str, Any] = field(default_factory=dict)
    granted: bool = False
    pending: bool = False
    rejected: bool = False
    disabled: bool = False
    xet: bool = False

    def copy(self) -> Repo:
        """Return another repository with the same contents, which can be changed alone."""
        return replace(
            self,
            commits={commit: dict(files) for commit, files in self.commits.items()},
            dates=dict(self.dates),
            refs=dict(self.refs),
            tags=dict(self.tags),
            card=copy.deepcopy(self.card),
        )

    def tags_of(self) -> list[str]:
        """The tags that its card adds: its own, and the repository that it was made from."""
        base = self.card.get("base_model")
        return [*self.card.get("tags", ()), *([f"base_model:{base}"] if isinstance(base, str) else [])]


@dataclass(slots=True)
class HuggingFace:
    """The hub: repositories by name; those that are no models have the prefix `datasets/` or `spaces/`."""

    storage: Storage
    token: str
    url: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    #: Old names of repositories, with the new ones.
    moved: dict[str, str] = field(default_factory=dict)

    # -- filling it --------------------------------------------------------------------------------

    def add_repo(
        self,
        name: str,
        files: Mapping[str, bytes],
        *,
        gated: str | bool = False,
        private: bool = False,
        license: str | None = "apache-2.0",
        card: Mapping[str, Any] | None = None,
        commit: str | None = None,
        xet: bool = False,
    ) -> str:
        """Create a repository with a first commit on `main`; returns the commit.

        `gated` is False, "auto" or "manual"; `card` is the rest of the front matter of its README. With `xet`, the
        hub says that its weights are in Xet storage too, by hashes that are no SHA-256.
        """
        repo = Repo(name=name, gated=gated, private=private, license=license, card=dict(card or {}), xet=xet)
        self.repos[name] = repo
        return self.commit(name, files, date="2026-01-10T09:00:00.000Z", commit=commit)

    def commit(
        self,
        name: str,
        files: Mapping[str, bytes],
        *,
        date: str = "2026-06-01T09:00:00.000Z",
        commit: str | None = None,
        ref: str = "main",
    ) -> str:
        """Commit a new tree to `main` or another branch, in place of the old one; returns the commit.

        The content decides its name, which is the same in every run, unless `commit` is one.
        """
        repo = self.repos[name]
        if commit is None:
            tree = "\n".join(f"{path} {_blob_id(path, files[path])}" for path in sorted(files))
            seed = f"{name} {len(repo.commits)}\n{tree}"
            commit = hashlib.sha1(seed.encode(), usedforsecurity=False).hexdigest()
        repo.commits[commit] = dict(files)
        repo.dates[commit] = date
        repo.refs[ref] = commit
        return commit

    def tag(self, name: str, tag: str, commit: str | None = None) -> None:
        """Tag a commit, by default the one on `main`."""
        repo = self.repos[name]
        repo.tags[tag] = commit or repo.refs["main"]

    def propose(self, name: str, files: Mapping[str, bytes]) -> str:
        """Open a pull request with a new tree; returns its ref, like `refs/pr/1`."""
        number = 1 + sum(ref.startswith("refs/pr/") for ref in self.repos[name].refs)
        self.commit(name, files, ref=f"refs/pr/{number}")
        return f"refs/pr/{number}"

    def rename(self, old: str, new: str) -> None:
        """Rename a repository; the old name redirects from now on."""
        repo = self.repos[new] = self.repos.pop(old)
        repo.name = new
        self.moved[old] = new

    def disable(self, name: str) -> None:
        """Disable a repository, as the hub's staff can; the hub still knows its name."""
        self.repos[name].disabled = True

    def request_access(self, name: str) -> None:
        """Ask for access to a gated repository; its authors have not answered yet."""
        self.repos[name].pending = True

    def reject(self, name: str) -> None:
        """Reject the token's owner on behalf of a gated repository's authors."""
        self.repos[name].rejected = True

    def grant(self, name: str) -> None:
        """Grant the token's owner access to a gated repository, as after a click on its page."""
        self.repos[name].granted = True

    # -- answering ---------------------------------------------------------------------------------

    def answer(self, request: Request) -> Reply:
        """Answer one request."""
        parts = request.segments
        if parts[:2] == ("api", "whoami-v2"):
            if request.bearer != self.token:
                return json_reply({"error": "Invalid username or password."}, 401)
            return json_reply({"type": "user", "name": "newcomer", "auth": {"type": "access_token"}})
        if parts == ("api", "agent-harnesses"):  # the real client sends this once a day
            return json_reply({"standardEnvVars": [], "harnesses": {}})
        if parts == ("api", "models"):
            return self._search(request)
        if len(parts) >= 3 and parts[0] == "api" and parts[1] in _KINDS:
            return self._api(request, _KINDS[parts[1]], parts[2:])
        if request.method not in ("GET", "HEAD"):
            return _error(405, None, "Method not allowed")
        kind = ""
        if parts and f"{parts[0]}/" in _KINDS.values():
            kind, parts = f"{parts[0]}/", parts[1:]
        at = parts.index("resolve", 1) if "resolve" in parts[1:3] else len(parts)
        if len(parts) > at + 2:
            return self._resolve(request, kind + "/".join(parts[:at]), parts[at + 1], "/".join(parts[at + 2 :]))
        return _error(404, None, "Not found")

    def _search(self, request: Request) -> Reply:
        """Answer with the public models whose names contain the words, the most downloaded ones first."""
        words = (request.first("search") or "").casefold().split()
        wanted = {
            "author": request.first("author") or "",
            "filter": request.first("filter") or "",
        }
        rows = []
        for name, repo in self.repos.items():
            is_model = not name.startswith(("datasets/", "spaces/"))
            tags = [*repo.tags_of(), *([f"license:{repo.license}"] if repo.license else [])]
            fits = all(word in name.casefold() for word in words)
            fits = fits and wanted["author"] in ("", name.partition("/")[0]) and wanted["filter"] in ("", *tags)
            if is_model and fits and not repo.private and not repo.disabled:
                rows.append(self._found_row(repo, tags, request.all("expand")))
        rows.sort(key=lambda row: (-row.get("downloads", 0), row["id"]))
        return json_reply(rows[: request.number("limit", _PAGE)])

    def _found_row(self, repo: Repo, tags: list[str], expand: list[str]) -> dict[str, Any]:
        every = {
            "pipeline_tag": repo.card.get("pipeline_tag"),
            "library_name": repo.card.get("library_name"),
            "gated": repo.gated,
            "downloads": repo.card.get("downloads", 0),
            "likes": 0,
            "lastModified": repo.dates[repo.refs["main"]],
            "tags": tags,
        }
        return {"_id": "0", "id": repo.name, **{name: every[name] for name in expand if name in every}}

    def _find(self, request: Request, name: str) -> Repo | Reply:
        if name in self.moved:
            where = request.raw_path.replace(f"/{name}", f"/{self.moved[name]}", 1)
            return redirect(307, f"{where}?{request.query}" if request.query else where)
        repo = self.repos.get(name)
        allowed = request.bearer == self.token
        if repo is None or (repo.private and not allowed):
            status = 404 if request.bearer else 401  # the hub does not reveal its repositories to strangers
            return _error(
                status, "RepoNotFound", "Repository not found" if request.bearer else "Invalid credentials"
            )
        if repo.disabled:
            return _error(403, None, "Access to this resource is disabled.")
        return repo

    def _commit_of(self, repo: Repo, revision: str) -> str | Reply:
        commit = repo.refs.get(revision) or repo.tags.get(revision) or revision
        if commit not in repo.commits:
            return _error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    def _api(self, request: Request, kind: str, parts: tuple[str, ...]) -> Reply:
        at = next((n for n, part in enumerate(parts) if n and part in _VERBS), len(parts))
        repo = self._find(request, kind + "/".join(parts[:at]))
        if isinstance(repo, Reply):
            return repo
        verb = parts[at] if at < len(parts) else "revision"
        if request.method != ("POST" if verb == "paths-info" else "GET"):
            return _error(405, None, "Method not allowed")
        if verb == "refs":
            branches = {name: commit for name, commit in repo.refs.items() if not name.startswith("refs/")}
            pulls = [
                {"name": name, "ref": name, "targetCommit": commit}
                for name, commit in repo.refs.items()
                if name not in branches
            ]
            value = {"branches": _refs("heads", branches), "tags": _refs("tags", repo.tags), "converts": []}
            return json_reply({**value, "pullRequests": pulls} if request.first("include_prs") else value)
        commit = self._commit_of(repo, parts[at + 1] if at + 1 < len(parts) else "main")
        if isinstance(commit, Reply):
            return commit
        if verb == "tree":
            return self._tree(request, repo, commit, "/".join(parts[at + 2 :]))
        if verb == "paths-info":
            asked = parse_qs(request.body.decode("utf-8", "replace")).get("paths", [])
            tree = repo.commits[commit]
            return json_reply([_row(path, tree[path], xet=repo.xet) for path in asked if path in tree])
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
                    size = {"size": len(content), "pointerSize": len(_pointer(content))}
                    sibling["lfs"] = {"sha256": _sha256(content), **size}
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
            "cardData": {**({"license": repo.license} if repo.license else {}), **repo.card},
            "siblings": siblings,
            "downloads": 0,
            "likes": 0,
        }

    def _tree(self, request: Request, repo: Repo, commit: str, folder: str) -> Reply:
        """Answer with the files below a folder, page by page; folders only if one level is asked for."""
        below = f"{folder.rstrip('/')}/" if folder else ""
        tree = {path: content for path, content in repo.commits[commit].items() if path.startswith(below)}
        if not tree and folder:
            return _error(404, "EntryNotFound", f"{folder} does not exist on {commit}", X_Repo_Commit=commit)
        rows = {path: _row(path, content, xet=repo.xet) for path, content in tree.items()}
        if request.first("recursive") not in ("true", "True", "1"):
            rows = {path: row for path, row in rows.items() if "/" not in path.removeprefix(below)}
            for path in tree.keys() - rows.keys():
                inner = below + path.removeprefix(below).partition("/")[0]
                oid = hashlib.sha1(f"tree {inner}".encode(), usedforsecurity=False).hexdigest()
                rows[inner] = {"type": "directory", "path": inner, "size": 0, "oid": oid}
        size = _EXPANDED_PAGE if request.first("expand") in ("true", "True", "1") else _PAGE
        return self._page(request, [rows[path] for path in sorted(rows)], size)

    def _page(self, request: Request, rows: list[dict[str, Any]], size: int) -> Reply:
        """Answer with one page of rows, and a link to the next one if there is one."""
        cursor = request.first("cursor") or "0"
        start = int(cursor) if cursor.isascii() and cursor.isdigit() else 0
        if len(rows) <= start + size:
            return json_reply(rows[start:])
        kept = [(key, value) for key, value in request.pairs if key != "cursor"]
        query = urlencode([*kept, ("cursor", str(start + size))])
        return json_reply(rows[start : start + size], Link=f'<{self.url}{request.raw_path}?{query}>; rel="next"')

    def _resolve(self, request: Request, name: str, revision: str, path: str) -> Reply:
        repo = self._find(request, name)
        if isinstance(repo, Reply):
            return repo
        if repo.gated and request.bearer != self.token:
            message = f"Access to model {name} is restricted. You must have access to it and be authenticated."
            return _error(401, "GatedRepo", message)
        if repo.gated and repo.rejected:
            message = f"Your request to access model {name} has been rejected by the repo's authors."
            return _error(403, "GatedRepo", message)
        if repo.gated and repo.pending and not repo.granted:
            message = f"Your request to access model {name} is awaiting a review from the repo authors."
            return _error(403, "GatedRepo", message)
        if repo.gated and not repo.granted:
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
        if repo.xet:
            token = f"{self.url}/api/models/{name}/xet-read-token/{commit}"
            linked |= {"X_Xet_Hash": _xet_hash(content), "Link": f'<{token}>; rel="xet-auth"'}
        where = self.storage.sign(f"hf/{quote(name, safe='')}/{_sha256(content)}", stored)
        return redirect(302, where, X_Repo_Commit=commit, **linked)


def _refs(kind: str, named: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": commit} for name, commit in named.items()]


def _row(path: str, content: bytes, *, xet: bool) -> dict[str, Any]:
    """Return a file in the form of the tree."""
    row: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": _blob_id(path, content)}
    if _is_lfs(path):
        row["lfs"] = {"oid": _sha256(content), "size": len(content), "pointerSize": len(_pointer(content))}
        if xet:
            row["xetHash"] = _xet_hash(content)
    return row


def _is_lfs(path: str) -> bool:
    return path.endswith(_LFS)


def _pointer(content: bytes) -> bytes:
    """Return the pointer that git itself stores for an LFS file."""
    return _POINTER.format(_sha256(content), len(content)).encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _xet_hash(content: bytes) -> str:
    """Return a stand-in for a Xet hash: as long as a SHA-256, but different."""
    return hashlib.sha3_256(content).hexdigest()


def _blob_id(path: str, content: bytes) -> str:
    """Return git's own name for the blob; for an LFS file, that of its pointer."""
    if _is_lfs(path):
        content = _pointer(content)
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _error(status: int, code: str | None, message: str, **headers: str) -> Reply:
    named = {"X_Error_Message": message, **headers}
    if code is not None:
        named["X_Error_Code"] = code
    return json_reply({"error": message}, status, **named)
