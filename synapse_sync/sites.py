"""Sites: one row for each site that models come from.

A row has the site's hosts, endpoint and token variables, the forms of its references and the words for messages.
No other file names a host or a variable of a site, except the site's own package in `sources/`. Pure and
import-light: `cli/quick.py` reads the endpoint variables before anything else is imported.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing `typing` would take longer than a sync with nothing to do
if TYPE_CHECKING:
    from collections.abc import Iterator

#: A whole commit of git, the only revision that cannot move.
COMMIT = r"[0-9a-f]{40}\Z"


class Library:
    """The places of a site's own library, which synapse shares with it.

    `home` is the variable of its directory, `usual` that directory below the user's cache directory. `cache` are
    the variables of its download cache. `token` is the file of its token in `home`, and `no_token` the variable
    that keeps other programs from reading that file.
    """

    __slots__ = ("cache", "home", "no_token", "token", "usual")

    def __init__(self, *, home: str, usual: str, cache: tuple[str, ...], token: str, no_token: str) -> None:
        self.home: str = home
        self.usual: str = usual
        self.cache: tuple[str, ...] = cache
        self.token: str = token
        self.no_token: str = no_token


class Repositories:
    """How the references of a site with plain repositories are written.

    `form` is the pattern of the text after `scheme:`, `pages` are patterns of the paths of its web pages; both have
    the groups `id`, `revision` and `file`. `query` names the group for each query key of a page that carries one.
    `what` and `example` are for the message about a text that does not fit.
    """

    __slots__ = ("example", "form", "pages", "query", "scheme", "what")

    def __init__(
        self,
        *,
        scheme: str,
        form: str,
        what: str,
        example: str,
        pages: tuple[str, ...] = (),
        query: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.scheme: str = scheme
        self.form: str = form
        self.what: str = what
        self.example: str = example
        self.pages: tuple[str, ...] = pages
        self.query: tuple[tuple[str, str], ...] = query


class Site:
    """One site.

    `name` is the `source` of its references and its module in `sources/`; `title` is for messages. `hosts` are the
    exact hosts of its pages. `endpoints` are pairs of a variable and its default: the API's comes first.
    `token_host` is the host under which its token is kept; `words` are other words for the site at `synapse login`.

    Its token comes from the first of `token_variables` that is set, else from the file that the variable
    `token_file` names. It is sent to the first endpoint and to `token_hosts`, below `token_paths`: one with a slash
    at its beginning counts from the root of the host, another one from the endpoint. A token is made at
    `token_page`. The statuses in `token_refused` mean that the token itself is wrong. A site without accounts has
    no `token_variables`.

    `pinned` is the pattern of a revision that cannot move.
    """

    __slots__ = (
        "endpoints", "hosts", "library", "name", "pinned", "repositories", "title", "token_file", "token_host",
        "token_hosts", "token_page", "token_paths", "token_refused", "token_variables", "words",
    )  # fmt: skip

    def __init__(
        self,
        *,
        name: str,
        title: str,
        hosts: tuple[str, ...],
        endpoints: tuple[tuple[str, str], ...],
        token_host: str,
        token_variables: tuple[str, ...] = (),
        token_file: str = "",
        token_page: str = "",
        token_hosts: tuple[str, ...] = (),
        token_paths: tuple[str, ...] = ("/",),
        token_refused: tuple[int, ...] = (401, 403),
        words: tuple[str, ...] = (),
        pinned: str = COMMIT,
        repositories: Repositories | None = None,
        library: Library | None = None,
    ) -> None:
        self.name: str = name
        self.title: str = title
        self.hosts: tuple[str, ...] = hosts
        self.endpoints: tuple[tuple[str, str], ...] = endpoints
        self.token_host: str = token_host
        self.token_variables: tuple[str, ...] = token_variables
        self.token_file: str = token_file
        self.token_page: str = token_page
        self.token_hosts: tuple[str, ...] = token_hosts
        self.token_paths: tuple[str, ...] = token_paths
        self.token_refused: tuple[int, ...] = token_refused
        self.words: tuple[str, ...] = words
        self.pinned: str = pinned
        self.repositories: Repositories | None = repositories
        self.library: Library | None = library

    @property
    def home(self) -> str:
        """The address of its pages, for people."""
        return f"https://{self.token_host}"

    @property
    def has_accounts(self) -> bool:
        """Whether the site has tokens at all."""
        return bool(self.token_variables)

    @property
    def token_hint(self) -> str:
        """How to provide a token, as a sentence without a capital and a full stop."""
        variable, file = self.token_variables[0], self.token_file
        return f"run `synapse login {self.name}`, or set {variable} (or {file}); make a token at {self.token_page}"


SITES = (
    Site(
        name="civitai",
        title="Civitai",
        hosts=tuple(
            f"{prefix}civitai.{ending}" for ending in ("com", "red", "green") for prefix in ("", "www.", "api.")
        ),
        endpoints=(("CIVITAI_ENDPOINT", "https://civitai.com"),),
        token_host="civitai.com",
        token_variables=("CIVITAI_API_KEY", "CIVITAI_TOKEN", "CIVITAI_API_TOKEN"),
        token_file="CIVITAI_API_KEY_FILE",
        token_page="https://civitai.com/user/account",
        # Storage lives on other subdomains and must never see the key.
        token_hosts=("civitai.com", "www.civitai.com", "api.civitai.com", "civitai.red"),
        token_paths=("/api/",),
        words=("www.civitai.com", "civitai.red"),
        pinned="",
    ),
    Site(
        name="huggingface",
        title="Hugging Face",
        hosts=("huggingface.co", "www.huggingface.co", "hf.co"),
        endpoints=(("HF_ENDPOINT", "https://huggingface.co"),),
        token_host="huggingface.co",
        token_variables=("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"),
        token_file="HF_TOKEN_PATH",
        token_page="https://huggingface.co/settings/tokens",
        token_hosts=("huggingface.co", "hf.co"),
        words=("hf", "hf.co"),
        library=Library(
            home="HF_HOME",
            usual="huggingface",
            cache=("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"),
            token="token",
            no_token="HF_HUB_DISABLE_IMPLICIT_TOKEN",
        ),
    ),
    Site(
        name="github",
        title="GitHub",
        hosts=("github.com",),
        endpoints=(("GITHUB_API_URL", "https://api.github.com"), ("GITHUB_SERVER_URL", "https://github.com")),
        token_host="github.com",
        token_variables=("GH_TOKEN", "GITHUB_TOKEN"),
        token_file="GITHUB_TOKEN_FILE",
        token_page="https://github.com/settings/tokens",
        token_paths=("",),  # for the API alone: downloads are public and come from other hosts
        token_refused=(401,),  # with 403 it limits the requests of good tokens, too
        words=("gh", "api.github.com"),
        pinned="",
        repositories=Repositories(
            scheme="gh",
            # Names by GitHub's rules; the files of a release have no directories.
            form=(
                r"(?a)(?P<id>[A-Za-z0-9][A-Za-z0-9\-_]{0,38}/(?!\.{1,2}(?:[@/]|\Z))[\w.\-]{1,100})"
                r"(?:@(?P<revision>[^/]+))?(?:/(?P<file>[^/\s][^/]{0,254}(?<!\s)))?\Z"
            ),
            what="a file of a release on GitHub",
            example=(
                "`gh:owner/repo@tag/file`, or `gh:owner/repo/file` for the newest release; in a tag, `/` is `%2F`"
            ),
        ),
    ),
    Site(
        name="modelscope",
        title="ModelScope",
        hosts=("modelscope.cn", "www.modelscope.cn"),
        endpoints=(("MODELSCOPE_ENDPOINT", "https://modelscope.cn"),),
        token_host="modelscope.cn",
        token_variables=("MODELSCOPE_API_TOKEN",),
        token_file="MODELSCOPE_API_TOKEN_FILE",
        token_page="https://modelscope.cn/my/myaccesstoken",
        token_hosts=("modelscope.cn", "www.modelscope.cn"),
        token_paths=("api/", "openapi/"),
        words=("www.modelscope.cn",),
        repositories=Repositories(
            scheme="modelscope",
            form=(
                r"(?a)(?P<id>[\w\-][\w.\-]{0,99}/[\w\-][\w.\-]{0,99})"
                r"(?:@(?P<revision>[^/]+))?(?:/(?P<file>.+))?\Z"
            ),
            what="a repository or a file on ModelScope",
            example="`modelscope:owner/repo` or `modelscope:owner/repo@revision/file.safetensors`",
            # A page may have the slashes of a path encoded. `file/view` is the page of a file, `resolve` its bytes.
            pages=tuple(
                rf"(?a)(?:api/v1/)?models/(?P<id>[\w\-][\w.\-]{{0,99}}/[\w\-][\w.\-]{{0,99}}){rest}\Z"
                for rest in (
                    r"(?:/(?:summary|files|feedback|repo|repo/files))?",
                    r"/(?:resolve|file/view)/(?P<revision>[^/]+)(?:/(?P<file>.+))?",
                )
            ),
            query=(
                ("Revision", "revision"),
                ("version", "revision"),
                ("FilePath", "file"),
                ("fileName", "file"),
            ),
        ),
    ),
)


def named(name: str) -> Site:
    """Return the row of the site `name`; raises `KeyError`."""
    for site in SITES:
        if site.name == name:
            return site
    raise KeyError(name)


def site_of(word: str) -> Site | None:
    """Return the site that a name, an alias or a host means; None for a host of which nothing is known."""
    for site in SITES:
        if word in (site.name, site.token_host, *site.words):
            return site
    return None


def host_site(host: str) -> Site | None:
    """Return the site with pages on the exact host `host` (lower case, without a port), or None."""
    for site in SITES:
        if host in site.hosts:
            return site
    return None


def variables(site: Site) -> tuple[str, ...]:
    """Return every environment variable that belongs to a site."""
    library = site.library
    own = () if library is None else (library.home, *library.cache, library.no_token)
    token = (*site.token_variables, site.token_file) if site.has_accounts else ()
    return (*(name for name, _ in site.endpoints), *token, *own)


def public_endpoints() -> dict[str, tuple[str, ...]]:
    """Return the sites' own endpoints by the names of the sites, whatever the environment says."""
    return {site.name: tuple(url for _, url in site.endpoints) for site in SITES}


def endpoint_variables() -> Iterator[str]:
    """Yield every environment variable that names an endpoint."""
    for site in SITES:
        for variable, _ in site.endpoints:
            yield variable
