"""Looking around on the sites: search, info, images, creators, tags."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from world import Project

from synapse_sync.cli.civitai_options import short_count
from synapse_sync.cli.texts import cell_text, fit_text, text_width
from synapse_sync.core.nearest import meant
from synapse_sync.demo import catalogue
from synapse_sync.demo.civitai.things import File, Model, Version
from synapse_sync.demo.exchange import Fault
from synapse_sync.demo.weights import safetensors_bytes
from synapse_sync.sources.civitai.filters import BASE_MODELS, TYPES, spelled

DISCOVERY = ("search", "info", "images", "creators", "tags")
ESCAPES = "\x1b[31mred\x1b[0m \u202eevil\u202c \x9b2J\r\nline two\u2028three\u200b"


def rename(project: Project, name: str, **more: object) -> None:
    model = project.hub.civitai.models[catalogue.PORTRAIT]
    project.hub.civitai.add(replace(model, name=name, **more))  # type: ignore[arg-type]


def queries(project: Project) -> list[str]:
    return [seen.query for seen in project.hub.requests("civitai")]


def is_clean(text: str) -> bool:
    """No control, formatting or separating characters but line ends."""
    return not any(unicodedata.category(char) in {"Cc", "Cf", "Zl", "Zp"} for char in text if char != "\n")


# -- search -----------------------------------------------------------------------------------------


def test_search_needs_no_project(project: Project) -> None:
    said = project("search", "portrait")
    assert "Portrait Studio" in said.out and f"civitai:{catalogue.PORTRAIT}" in said.out
    assert not list(project.path.iterdir())


def test_search_is_one_document(project: Project) -> None:
    value = project("search", "detail", "slider", "--json").json
    assert value["query"] == "detail slider"
    (found,) = value["results"]
    assert (found["number"], found["reference"], found["type"]) == (1, f"civitai:{catalogue.DETAIL}", "LORA")
    assert [version["name"] for version in found["versions"]] == ["v2", "v1"]


def test_search_passes_the_filters_on(project: Project) -> None:
    project(
        "search", "x", "--type", "lora", "--type", "embedding", "--base-model", "sdxl 1.0", "--base-model", "New 1",
        "--sort", "most downloaded", "--period", "alltime", "--creator", "ada", "--tag", "photo", "--nsfw",
        "--limit", "7",
    )  # fmt: skip
    (query,) = queries(project)
    for part in (
        "query=x", "types=LORA", "types=TextualInversion", "baseModels=SDXL+1.0", "baseModels=New+1",
        "sort=Most+Downloaded", "period=AllTime", "username=ada", "tag=photo", "nsfw=true", "limit=7",
    ):  # fmt: skip
        assert part in query.split("&")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("--type", "lorra"), "LORA"),
        (("--type", "embeding"), "embedding"),
        (("--sort", "newst"), "Newest"),
        (("--sort", "zzz"), "Highest Rated"),
        (("--period", "weak"), "Week"),
    ],
)
def test_a_word_that_is_not_known_is_refused_with_the_nearest(
    project: Project, words: tuple[str, ...], hint: str
) -> None:
    said = project("search", "x", *words, code=2)
    assert hint in said.err and queries(project) == []


def test_a_type_that_resembles_none_is_passed_on(project: Project) -> None:
    project("search", "--type", "Quux9")
    assert "types=Quux9" in queries(project)[0]


def test_search_that_finds_nothing_says_what_may_be_wrong(project: Project) -> None:
    said = project("search", "xyz", "--base-model", "sdxl")
    assert said.out == ""
    assert "SDXL 1.0" in said.err and "--nsfw" in said.err


def test_search_shows_what_is_not_for_all_ages_only_when_asked(project: Project) -> None:
    assert project("search", "mature", "--json").json["results"] == []
    assert len(project("search", "mature", "--nsfw", "--json").json["results"]) == 1


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_tables_fit_the_terminal(project: Project, columns: int) -> None:
    os.environ["COLUMNS"] = str(columns)
    rename(project, "Ein sehr langer Name 细节调整 " * 8)
    lines = project("search", "--nsfw").out.splitlines()
    # Below some width the other columns need all there is; the name is never shorter than a few letters.
    assert all(text_width(line) <= max(columns, 73) for line in lines)
    assert any("…" in line for line in lines)


@pytest.mark.parametrize("verb", [("search",), ("info", f"civitai:{catalogue.PORTRAIT}")])
def test_what_the_site_says_cannot_move_the_cursor(project: Project, verb: tuple[str, ...]) -> None:
    version = replace(
        project.hub.civitai.models[catalogue.PORTRAIT].versions[0], base_model=ESCAPES, trained_words=(ESCAPES,)
    )
    rename(project, ESCAPES, versions=(version,), tags=(ESCAPES,))
    said = project(*verb)
    assert "red" in said.out and is_clean(said.out) and is_clean(said.err)


def test_the_limit_is_kept_beyond_a_page(project: Project) -> None:
    project.hub.civitai.add_many(130, 700_000)
    assert len(project("search", "many", "--limit", "120", "--json").json["results"]) == 120
    numbers = [found["number"] for found in project("search", "many", "--limit", "3", "--json").json["results"]]
    assert numbers == [1, 2, 3]


def test_search_add_puts_a_result_into_the_manifest(project: Project) -> None:
    project.manifest("# mine\n")
    said = project("search", "detail", "--add", "2")
    assert "detail-tweaker" in said.out
    text = (project.path / "synapse.toml").read_text()
    assert text.startswith("# mine\n") and '= "civitai:58390"' in text
    assert "Detail Tweaker" in project.lock_text
    value = project("search", "portrait", "--site", "civitai", "--add", "1", "--json").json
    assert [added["name"] for added in value["added"]] == ["portrait-studio"]
    assert len(value["results"]) == 1
    project("sync")
    assert len(project.tree()) == 2


def test_search_add_needs_a_project_and_a_result(project: Project) -> None:
    assert "synapse init" in project("search", "detail", "--add", "1", code=2).err
    assert queries(project) == []
    project.manifest("")
    assert "2 results" in project("search", "detail", "--add", "3", code=2).err
    assert project("search", "detail", "--add", "3", "--json", code=2).json["exit_code"] == 2
    project("search", "detail", "--add", "0", code=2)
    assert (project.path / "synapse.toml").read_text() == ""


def test_search_add_writes_nothing_that_cannot_be_locked(project: Project) -> None:
    project.manifest("")
    said = project("search", "pickle", "--add", "1", code=2).err
    assert f"synapse add civitai:{catalogue.PICKLE}" in said and "--allow-pickle" in said
    assert (project.path / "synapse.toml").read_text() == ""


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (Fault(status=400, body=b'{"error": "bad words"}'), 2, "bad words"),
        (Fault(status=451, body=b"{}"), 3, "region"),
        (Fault(status=429, retry_after=900), 5, "rate-limiting requests"),
    ],
)
def test_refusals_of_the_site_come_out_in_words(project: Project, fault: Fault, code: int, words: str) -> None:
    project.hub.faults.add("/api/v1/models", fault)
    assert words in project("search", "x", code=code).err


def test_searching_outside_a_project_with_a_broken_one_above(project: Project) -> None:
    project.manifest("this is not TOML")
    project("search", "portrait")
    project("info", f"civitai:{catalogue.PORTRAIT}")
    project("search", "portrait", "--add", "1", code=2)


# -- search on both sites ----------------------------------------------------------------------------


def asked(project: Project) -> list[str]:
    return sorted({seen.origin for seen in project.hub.requests()})


def test_both_sites_are_searched_side_by_side(project: Project) -> None:
    said = project("search", "portrait").out
    titles = [line for line in said.splitlines() if line in ("Civitai", "Hugging Face")]
    assert titles == ["Civitai", "Hugging Face"]
    assert f"hf://{catalogue.VAE_REPO}" in said and "Portrait Studio" in said
    results = project("search", "portrait", "--json").json["results"]
    assert [(found["number"], found["site"]) for found in results] == [
        (1, "civitai"), (2, "huggingface"), (3, "huggingface"),
    ]  # fmt: skip
    assert results[2]["page"] == f"https://huggingface.co/{catalogue.VAE_REPO}"


@pytest.mark.parametrize("site", ["civitai", "huggingface"])
def test_one_site_is_searched(project: Project, site: str) -> None:
    said = project("search", "portrait", "--site", site).out
    assert asked(project) == [site]
    assert "Hugging Face\n" not in said, "one table needs no heading"


@pytest.mark.parametrize(
    ("words", "sites"),
    [
        (("--creator", "studio"), ["civitai", "huggingface"]),
        (("--tag", "license:mit"), ["civitai", "huggingface"]),
        (("--sort", "newest"), ["civitai", "huggingface"]),
        (("--nsfw",), ["civitai", "huggingface"]),
        (("--type", "lora"), ["civitai"]),
        (("--base-model", "sdxl 1.0"), ["civitai"]),
        (("--period", "week"), ["civitai"]),
        (("--sort", "oldest"), ["civitai"]),
        (("--no-allow-derivatives",), ["civitai"]),
        (("--page", "1"), ["civitai"]),
    ],
)
def test_a_filter_of_civitai_alone_asks_only_civitai(
    project: Project, words: tuple[str, ...], sites: list[str]
) -> None:
    project("search", *words)
    assert asked(project) == sites
    if sites == ["civitai"]:
        assert "only Civitai has these filters" in project("search", *words, "--site", "huggingface", code=2).err


def test_filters_of_hugging_face(project: Project) -> None:
    project(
        "search",
        "vae",
        "--site",
        "huggingface",
        "--creator",
        "madebyollin",
        "--tag",
        "x",
        "--sort",
        "newest",
        "--limit",
        "3",
    )
    (query,) = (seen.query for seen in project.hub.requests("huggingface"))
    for part in ("search=vae", "author=madebyollin", "filter=x", "sort=createdAt", "limit=3", "expand=gated"):
        assert part in query.split("&")
    found = project("search", "vae", "--site", "huggingface", "--creator", "madebyollin", "--json").json["results"]
    assert [each["id"] for each in found] == ["madebyollin/sdxl-vae-fp16-fix"]


def test_the_limit_counts_for_both_sites_together(project: Project) -> None:
    project.hub.civitai.add_many(30, 700_000)
    for number in range(30):
        project.hub.huggingface.add_repo(f"studio/many-{number}", {"README.md": b"x"})
    for limit, sites in ((20, (10, 10)), (5, (3, 2)), (1, (1, 0))):
        results = project("search", "many", "--limit", str(limit), "--json").json["results"]
        counts = tuple(sum(found["site"] == site for found in results) for site in ("civitai", "huggingface"))
        assert counts == sites
    project.hub.civitai.models.clear()
    assert len(project("search", "many", "--json").json["results"]) == 20


def test_a_repository_of_the_results_is_added(project: Project) -> None:
    project.manifest("")
    project("search", "portrait-vae", "--add", "1")
    assert f'"hf://{catalogue.VAE_REPO}"' in (project.path / "synapse.toml").read_text()
    project("sync")


def test_what_is_here_is_marked(project: Project) -> None:
    project.manifest(f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\n')
    project("sync")
    said = project("search", "portrait")
    assert re.search(r"^L +1 +Portrait Studio", said.out, re.MULTILINE)
    assert "L = locked in this project, S = in the store" in said.err
    assert [found["here"] for found in project("search", "portrait", "--json").json["results"]] == [
        "locked",
        None,
        None,
    ]
    project.manifest("[models]\n")
    project("lock")
    assert project("search", "portrait", "--json").json["results"][0]["here"] == "stored"
    assert "locked in this project" not in project("search", "sharpen").err


@pytest.mark.parametrize("origin", ["civitai", "huggingface"])
def test_a_site_that_fails_leaves_the_results_of_the_other(project: Project, origin: str, impatient: None) -> None:
    project.hub.faults.add("/", Fault(status=503, origin=origin))  # type: ignore[arg-type]
    said = project("search", "portrait", code=5)
    assert ("Portrait Studio" in said.out) is (origin == "huggingface")
    assert (f"hf://{catalogue.VAE_REPO}" in said.out) is (origin == "civitai")
    assert said.err.count("error: ") == 1
    value = project("search", "portrait", "--json", code=5).json
    assert len(value["errors"]) == 1 and value["results"]
    project.hub.faults.add("/", Fault(status=503))
    assert project("search", "portrait", code=5).out == ""
    assert project("search", "portrait", "--json", code=5).json["exit_code"] == 5


# -- info -------------------------------------------------------------------------------------------


def test_info_tells_versions_files_hashes_words_and_permissions(project: Project) -> None:
    said = project("info", f"civitai:{catalogue.DETAIL}").out
    version = project.hub.civitai.models[catalogue.DETAIL].versions[0]
    hashes = version.files[0].hashes
    for word in (
        "Detail Slider", "lora", "ada", "commercial use: Image + RentCivit", "derivatives: yes", "detailed",
        "SD 1.5", "detail_v2.safetensors", hashes["SHA256"].lower(), hashes["AutoV3"].lower(), "scan success",
        "can be downloaded", str(catalogue.DETAIL_V1), "urn:air:sd1:lora:",
    ):  # fmt: skip
        assert word in said
    assert all(text_width(line) <= 80 for line in said.splitlines())


def test_info_for_machines(project: Project) -> None:
    value = project("info", f"civitai:{catalogue.EARLY}", "--json").json
    first, second = value["versions"]
    assert not first["available"] and "2099" in first["refusal"]
    assert second["available"] and value["chosen"] == second["reference"]
    (file,) = second["files"]
    assert set(file["hashes"]) >= {"sha256", "blake3", "autov2", "autov3", "crc32"}
    assert file["size"] == len(project.hub.civitai.models[catalogue.EARLY].versions[1].files[0].content)
    assert value["needs_token"] is False


def test_every_form_of_a_reference_leads_to_the_same_model(project: Project) -> None:
    version = project.hub.civitai.models[catalogue.DETAIL].versions[1]
    hashes = version.files[0].hashes
    for form in (
        f"civitai:{catalogue.DETAIL}@{catalogue.DETAIL_V1}",
        f"civitai:@{catalogue.DETAIL_V1}",
        f"urn:air:sd1:lora:civitai:{catalogue.DETAIL}@{catalogue.DETAIL_V1}",
        f"https://civitai.com/models/{catalogue.DETAIL}?modelVersionId={catalogue.DETAIL_V1}",
        f"https://civitai.com/api/download/models/{catalogue.DETAIL_V1}",
        f"sha256:{hashes['SHA256'].lower()}",
        f"autov2:{hashes['AutoV2'].lower()}",
    ):
        value = project("info", form, "--json").json
        assert value["chosen"] == f"civitai:{catalogue.DETAIL}@{catalogue.DETAIL_V1}", form
        assert len(value["versions"]) == 2


def test_info_asks_for_the_model_the_version_and_the_ids_of_its_previews(project: Project) -> None:
    project("info", f"civitai:{catalogue.DETAIL}")
    assert len(project.hub.requests()) == 3


def test_info_tells_what_cannot_be_had_and_why(project: Project) -> None:
    file = File(id=930_001, name="only.safetensors", content=safetensors_bytes("only"), primary=True)
    version = Version(id=931_001, name="1", files=(file,), usage_control="Generation")
    project.hub.civitai.add(Model(id=932_001, name="On Site", versions=(version,)))
    assert "Civitai only" in project("info", "civitai:932001").out
    assert "archived" in project("info", f"civitai:{catalogue.ARCHIVED}").out
    assert "danger" in project("info", f"civitai:{catalogue.DANGER}").out
    assert "2099" in project("info", f"civitai:{catalogue.EARLY}@{catalogue.EARLY_PAID}").out


def test_info_names_the_token_that_a_download_needs(project: Project) -> None:
    del os.environ["CIVITAI_API_KEY"]
    assert "CIVITAI_API_KEY" in project("info", f"civitai:{catalogue.PORTRAIT}").out
    assert project("info", f"civitai:{catalogue.PORTRAIT}", "--json").json["needs_token"] is True


def test_info_of_a_version_whose_model_is_hidden(project: Project) -> None:
    project.hub.faults.add(f"/api/v1/models/{catalogue.PORTRAIT}", Fault(status=404))
    said = project("info", f"civitai:{catalogue.PORTRAIT}@{catalogue.PORTRAIT_V1}")
    assert "portrait_v1.safetensors" in said.out and "does not show the model" in said.err
    project("info", f"civitai:{catalogue.PORTRAIT}", code=4)


@pytest.mark.parametrize(
    ("ref", "code"),
    [
        ("civitai:1", 4),
        ("civitai:@1", 4),
        ("sha256:" + "0" * 64, 4),
        (f"civitai:{catalogue.DETAIL}@{catalogue.PORTRAIT_V1}", 2),
        ("hf://nobody/nothing", 4),
        ("./nothing.safetensors", 4),
        ("nothing", 2),
    ],
)
def test_info_of_what_is_not_there(project: Project, ref: str, code: int) -> None:
    said = project("info", ref, code=code)
    assert said.out == "" and "error:" in said.err
    assert project("info", ref, "--json", code=code).json["exit_code"] == code


def test_info_of_a_repository_and_of_one_file(project: Project) -> None:
    value = project("info", f"hf://{catalogue.TREE_REPO}", "--json").json
    assert value["title"] == catalogue.TREE_REPO and value["page"].endswith(catalogue.TREE_REPO)
    files = {file["filename"]: file for file in value["versions"][0]["files"]}
    assert "git-sha1" in files["unet/config.json"]["hashes"]
    assert "sha256" in files["unet/model.safetensors"]["hashes"]
    assert "unet/model.safetensors" in project("info", f"hf://{catalogue.TREE_REPO}").out
    one = project("info", f"hf://{catalogue.VAE_REPO}/portrait_vae.safetensors", "--json").json
    assert [file["filename"] for file in one["versions"][0]["files"]] == ["portrait_vae.safetensors"]


def test_info_of_a_gated_repository(project: Project) -> None:
    (version,) = project("info", f"hf://{catalogue.GATED_REPO}", "--json").json["versions"]
    assert not version["available"] and "has no access yet" in version["refusal"]
    project.hub.huggingface.grant(catalogue.GATED_REPO)
    assert "gated" in project("info", f"hf://{catalogue.GATED_REPO}").err
    del os.environ["HF_TOKEN"]
    value = project("info", f"hf://{catalogue.GATED_REPO}", "--json").json
    (version,) = value["versions"]
    assert not version["available"] and "gated" in version["refusal"] and "HF_TOKEN" in version["hint"]


def test_info_of_an_address_and_of_a_path(project: Project) -> None:
    address = f"{project.hub.files.url}/files/{catalogue.PLAIN_LORA}"
    assert "film-grain.safetensors" in project("info", address).out
    path = project.path / "x.safetensors"
    path.write_bytes(safetensors_bytes("x"))
    assert str(path.stat().st_size) in project("info", str(path), "--json").out


def test_info_of_a_name_of_the_manifest(project: Project) -> None:
    project.manifest(
        f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\n'
        f'[models.detail]\nsource = "civitai:{catalogue.DETAIL}"\n'
        f"versions = [{catalogue.DETAIL_V1}, {catalogue.DETAIL_V2}]\n"
    )
    assert "Portrait Studio" in project("info", "portrait").out, "also before it is locked"
    project("lock")
    catalogue.publish_upgrade(project.hub)
    value = project("info", "portrait", "--json").json
    assert value["chosen"].endswith(str(catalogue.PORTRAIT_V1)), "what is locked is told about"
    assert [version["locked"] for version in value["versions"]] == [False, True]
    both = project("info", "detail", "--json").json["versions"]
    assert [version["locked"] for version in both] == [True, True]
    assert "L = locked" in project("info", "detail").err
    assert "synapse.toml" in project("info", "nothing", code=2).err


# -- images, creators, tags -------------------------------------------------------------------------


def test_images_have_their_addresses(project: Project) -> None:
    said = project("images", "--model", str(catalogue.PORTRAIT)).out
    value = project("images", "--model", f"civitai:{catalogue.PORTRAIT}", "--json").json
    assert value["images"]
    for image in value["images"]:
        assert image["url"] in said and image["username"] == "ada"
    page = f"https://civitai.com/models/{catalogue.PORTRAIT}?modelVersionId={catalogue.PORTRAIT_V1}"
    project.hub.clear_log()
    project("images", "--model", page)
    assert f"modelVersionId={catalogue.PORTRAIT_V1}" in queries(project)[0]


def test_images_pass_the_filters_on(project: Project) -> None:
    project(
        "images", "--version", str(catalogue.PORTRAIT_V1), "--username", "ada", "--nsfw", "soft", "--sort",
        "newest", "--period", "week", "--limit", "3", "--post", "5",
    )  # fmt: skip
    (query,) = queries(project)
    for part in (
        f"modelVersionId={catalogue.PORTRAIT_V1}", "username=ada", "nsfw=Soft", "sort=Newest", "period=Week",
        "limit=3", "postId=5",
    ):  # fmt: skip
        assert part in query.split("&")


def test_images_of_something_else(project: Project) -> None:
    project("images", "--model", "hf://a/b", code=2)
    project("images", "--model", "4384:1", code=2)
    project("images", "--model", "civitai:4384@1", "--version", "2", code=2)
    project("images", "--sort", "Newst", code=2)
    assert queries(project) == []
    assert project("images", "--model", "1").err == "nothing found\n"


def test_creators_and_tags(project: Project) -> None:
    assert "ada" in project("creators").out
    value = project("creators", "ada", "--json").json["creators"]
    assert [creator["username"] for creator in value] == ["ada"]
    assert "portrait" in project("tags").out
    assert [tag["name"] for tag in project("tags", "port", "--json").json["tags"]] == ["portrait"]
    assert project("creators", "nobody").err == "nothing found\n"
    assert project("tags", "nothing").err == "nothing found\n"


def test_offline_is_told(project: Project) -> None:
    Path(os.environ["SYNAPSE_CONFIG"]).write_text("offline = true\n")
    for verb in (["search", "x"], ["info", "civitai:1"], ["images"], ["creators"], ["tags"]):
        assert "the network is switched off" in project(*verb, code=5).err
    assert project.hub.requests() == []


def test_a_status_imports_none_of_this(project: Project) -> None:
    project.manifest(f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\n')
    project("sync")
    code = (
        "import sys; from synapse_sync.cli.main import main; main(['status']);"
        "print(*sorted(name for name in sys.modules if name.startswith('synapse_sync')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project.path, capture_output=True, text=True, check=True
    )
    names = done.stdout.splitlines()[-1].split()
    verbs = {f"synapse_sync.cli.{verb}" for verb in (*DISCOVERY, "outdated", "discover")}
    assert "synapse_sync.cli.status" in names
    assert not verbs & set(names)
    # `core` reads references to Civitai; its client and its source stay out.
    assert not [name for name in names if "outdated" in name or ".sources.civitai" in name or "civitai_o" in name]


# -- words and widths -------------------------------------------------------------------------------


def test_words_of_the_site() -> None:
    assert spelled("sdxl1.0", BASE_MODELS) == "SDXL 1.0"
    assert spelled("textual inversion", TYPES) == "TextualInversion"
    assert spelled("sdxl", BASE_MODELS) is None
    assert (meant("flux1", BASE_MODELS) or "").startswith("Flux.1")
    assert meant("qqqqqq", BASE_MODELS) is None


def test_numbers_for_narrow_columns() -> None:
    counted = [short_count(number) for number in (None, 0, 999, 1000, 1234, 99_950, 1_250_000, 3 * 10**12)]
    assert counted == ["", "0", "999", "1.0k", "1.2k", "100k", "1.2M", "3000G"]


def test_cells() -> None:
    assert fit_text("abc", 5) == "abc  "
    assert fit_text("abcdef", 4) == "abc…"
    assert text_width("细节") == 4 and text_width("e\u0301") == 1
    assert fit_text("细节调整", 4) == "细… " and text_width(fit_text("细节调整", 4)) == 4
    assert cell_text("a\tb\r\n c\x00\u202e") == "a b c??"
