"""A small GitHub: repositories with releases, the API about them, and their downloads."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from synapse_sync.demo.exchange import Reply, Request, html_reply, json_reply, redirect
from synapse_sync.demo.storage import Storage, Stored

_API = "/api/v3"
_NOT_FOUND = {"message": "Not Found", "documentation_url": "https://docs.github.com/rest", "status": "404"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One release; without `digests`, as for old releases, the API has no digests of its files."""

    tag: str
    files: dict[str, bytes]
    published: str = "2026-01-01T00:00:00Z"
    prerelease: bool = False
    digests: bool = True


@dataclass(slots=True)
class GitHub:
    """The API below `/api/v3`, as on GitHub's servers for companies, and the downloads beside it."""

    storage: Storage
    token: str
    url: str = ""
    repos: dict[str, list[Release]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    renamed: dict[str, str] = field(default_factory=dict)
    #: Free requests that are left without a token, and the time of new ones in seconds since 1970.
    quota: int | None = None
    reset: int = 0

    @property
    def api_url(self) -> str:
        """The address of the API."""
        return self.url + _API

    def add(self, repo: str, *releases: Release) -> None:
        """Publish releases; the last one is the newest."""
        self.repos.setdefault(repo, []).extend(releases)

    def answer(self, request: Request) -> Reply:
        """Answer one request."""
        if request.method == "HEAD" and len(request.segments) == 2:
            name = "/".join(request.segments)
            return html_reply(200 if name in self.repos and name not in self.private else 404)
        if request.method != "GET":
            return json_reply({"message": "Method not allowed"}, 405)
        if request.raw_path == f"{_API}/user":
            return self._user(request.bearer)
        if request.raw_path.startswith(f"{_API}/repos/"):
            return self._api(request, request.segments[3:])
        if "authorization" in request.headers:
            return html_reply(404)
        return self._download(request.segments)

    def _user(self, bearer: str | None) -> Reply:
        """Answer with the user of a token; a token of an app (`ghs_…`) belongs to no user."""
        if bearer == self.token:
            return json_reply({"login": "newcomer", "id": 1, "type": "User"})
        if bearer is not None and bearer.startswith("ghs_"):
            return json_reply({"message": "Resource not accessible by integration", "status": "403"}, 403)
        message = "Requires authentication" if bearer is None else "Bad credentials"
        return json_reply({"message": message, "status": "401"}, 401)

    def _api(self, request: Request, parts: tuple[str, ...]) -> Reply:
        if request.bearer is not None and request.bearer != self.token:
            return json_reply({"message": "Bad credentials", "status": "401"}, 401)
        if request.bearer is None and self.quota is not None:
            self.quota -= 1
            if self.quota < 0:
                return json_reply(
                    {"message": "API rate limit exceeded for 127.0.0.1."}, 403,
                    X_RateLimit_Limit="60", X_RateLimit_Remaining="0", X_RateLimit_Reset=str(self.reset),
                )  # fmt: skip
        name = "/".join(parts[:2])
        if name in self.renamed:
            rest = "/".join(quote(part, safe="") for part in parts[2:])
            return redirect(301, f"{self.api_url}/repos/{self.renamed[name]}/{rest}".rstrip("/"))
        releases = self.repos.get(name)
        if releases is None or (name in self.private and request.bearer is None):
            return json_reply(_NOT_FOUND, 404)
        match parts[2:]:
            case ():
                return json_reply({"full_name": name, "private": name in self.private})
            case ("releases",):
                size, page = int(request.first("per_page") or 30), int(request.first("page") or 1)
                newest = list(reversed(releases))[size * (page - 1) : size * page]
                return json_reply([self._value(name, release) for release in newest])
            case ("releases", "latest"):
                found = [release for release in releases if not release.prerelease][-1:]
            case ("releases", "tags", tag):
                found = [release for release in releases if release.tag == tag]
            case _:
                found = []
        return json_reply(self._value(name, found[0])) if found else json_reply(_NOT_FOUND, 404)

    def _value(self, name: str, release: Release) -> dict[str, Any]:
        where = f"{self.url}/{name}/releases/download/{quote(release.tag, safe='')}"
        return {
            "tag_name": release.tag, "name": release.tag, "draft": False, "prerelease": release.prerelease,
            "published_at": release.published,
            "assets": [
                {
                    "id": number, "name": file, "size": len(content), "state": "uploaded",
                    "digest": f"sha256:{hashlib.sha256(content).hexdigest()}" if release.digests else None,
                    "browser_download_url": f"{where}/{quote(file)}",
                }
                for number, (file, content) in enumerate(release.files.items(), start=1)
            ],
        }  # fmt: skip

    def _download(self, parts: tuple[str, ...]) -> Reply:
        match parts:
            case (owner, repo, "releases", "download", tag, file):
                releases = self.repos.get(f"{owner}/{repo}", [])
                found = [release for release in releases if release.tag == tag]
            case (owner, repo, "releases", "latest", "download", file):
                releases = self.repos.get(f"{owner}/{repo}", [])
                found = [release for release in releases if not release.prerelease][-1:]
            case _:
                return html_reply(404)
        if f"{owner}/{repo}" in self.private or not found or file not in found[0].files:
            return html_reply(404)
        stored = Stored(content=found[0].files[file], filename=file)
        return redirect(302, self.storage.sign(f"github/{owner}/{repo}/{found[0].tag}/{file}", stored))
