"""The table of sites: every row is complete, and every part of synapse that concerns sites loops over it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from world import Project

from synapse_sync.core.reference import Reference
from synapse_sync.core.reference_text import refuse_secrets
from synapse_sync.errors import InvalidReference
from synapse_sync.sites import COMMIT, SITES, Site, host_site, named, site_of, variables
from synapse_sync.sources.base import Means, Source
from synapse_sync.sources.register import Register, site_module
from synapse_sync.user.settings import load_settings

EVERY = pytest.mark.parametrize("site", SITES, ids=lambda site: site.name)


@pytest.fixture
def register(project: Project) -> Register:
    from synapse_sync.core.reporter import Reporter
    from synapse_sync.project import Project as Files
    from synapse_sync.wiring import Wiring

    settings = load_settings(os.environ, Path.home())
    wiring = Wiring(Files(project.path, settings.store), settings, reporter=Reporter(), offline=False)
    assert isinstance(wiring.sources, Register)
    return wiring.sources


def test_no_two_rows_share_a_name_a_host_a_word_or_a_variable() -> None:
    for words in (
        [site.name for site in SITES],
        [host for site in SITES for host in site.hosts],
        [word for site in SITES for word in {site.name, site.token_host, *site.words}],
        [name for site in SITES for name in variables(site)],
        [site.repositories.scheme for site in SITES if site.repositories is not None],
    ):
        assert len(words) == len(set(words))


@EVERY
def test_a_row_is_found_by_each_of_its_words(site: Site) -> None:
    assert named(site.name) is site
    assert {site_of(word) for word in (site.name, site.token_host, *site.words)} == {site}
    assert {host_site(host) for host in site.hosts} == {site}


def test_an_unknown_word_is_no_site() -> None:
    assert site_of("models.example") is None and host_site("models.example") is None
    with pytest.raises(KeyError):
        named("models.example")


@EVERY
def test_its_source_is_in_the_register_and_answers_for_its_references(site: Site, register: Register) -> None:
    source: Source = register[site.name]
    assert source is register[site.name]
    assert source.identify([]) == {}
    assert callable(site_module(site.name).account) or not site.has_accounts


@EVERY
def test_its_token_goes_to_its_endpoint_and_its_hosts_alone(site: Site) -> None:
    for variable in site.token_variables:
        settings = load_settings({variable: "t", "SYNAPSE_CONFIG": "/nowhere"}, Path("/nowhere"))
        token = settings.token_for(site.token_host)
        assert token is not None and token.origin == f"the environment variable {variable}"
        origins = {grant.origin for grant in settings.grants}
        assert origins == {f"https://{host}:443" for host in (*site.token_hosts, _host(site.endpoints[0][1]))}


@EVERY
def test_its_endpoints_come_from_its_variables(site: Site) -> None:
    given = {variable: f"https://mirror-{n}.example/" for n, (variable, _) in enumerate(site.endpoints)}
    settings = load_settings({**given, "SYNAPSE_CONFIG": "/nowhere"}, Path("/nowhere"))
    assert settings.endpoints[site.name] == tuple(url.rstrip("/") for url in given.values())
    assert load_settings({"SYNAPSE_CONFIG": "/nowhere"}, Path("/nowhere")).endpoints[site.name] == tuple(
        default for _, default in site.endpoints
    )


@EVERY
def test_login_and_whoami_know_it(site: Site, project: Project) -> None:
    assert site.name in project("login", "--help").out
    assert f"{site.token_host}  " in project("whoami", code=None).out


@pytest.mark.parametrize("site", [s for s in SITES if s.repositories is not None], ids=lambda site: site.name)
def test_a_short_reference_is_read_by_its_row(site: Site) -> None:
    assert site.repositories is not None
    text = f"{site.repositories.scheme}:owner/repo@v1/file.safetensors"
    assert Reference.parse(text) == Reference(site.name, "owner/repo", "v1", "file.safetensors")
    assert str(Reference.parse(text)) == text


def test_a_site_without_accounts_has_no_words_about_tokens() -> None:
    site = Site(
        name="plain", title="Plain", hosts=("plain.example",), token_host="plain.example",
        endpoints=(("PLAIN_ENDPOINT", "https://plain.example"),),
    )  # fmt: skip
    assert not site.has_accounts and variables(site) == ("PLAIN_ENDPOINT",)
    with pytest.raises(InvalidReference) as caught:
        refuse_secrets("token=hunter2", "https://plain.example/x?token=hunter2", site)
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"
    assert site.pinned == COMMIT


def test_means_are_made_late(project: Project) -> None:
    """A register asks for connections when a source is first used, not before."""

    def never() -> None:
        raise AssertionError

    means = Means(
        project=project.path, api=never, wire=never, credentials=never, tls=never, endpoints={}, asked=never,  # type: ignore[arg-type]
    )  # fmt: skip
    assert set(Register(means)) == {*(site.name for site in SITES), "hash", "url", "path"}


def _host(url: str) -> str:
    return url.removeprefix("https://")
