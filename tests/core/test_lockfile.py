"""The lockfile: stable bytes, clean merges with real git, and clear refusals."""

from __future__ import annotations

import hashlib
import random
import subprocess
import tomllib
from dataclasses import replace
from pathlib import Path

import lockfile_values as values
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.artifact import Archive, Artifact, ModelCard, Preview
from synapse_sync.core.lockfile import LockedModel, Lockfile, parse_lockfile
from synapse_sync.core.lockfile_text import format_lockfile
from synapse_sync.core.names import SafePath
from synapse_sync.core.reference import Reference
from synapse_sync.errors import InvalidLockfile, UnsafeName


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def locked(name: str, *, bytes_of: str | None = None, previews: int = 1) -> LockedModel:
    """A model that has all words in common with every other; `bytes_of` lets it share the file, too."""
    content = bytes_of or name
    return LockedModel(
        name=name,
        requirement=f"civitai:1; sha256={sha(content)}",
        reference=Reference.parse("civitai:1@2+3"),
        card=ModelCard(
            title="Same title",
            version_name="v1.0",
            type="lora",
            base_model="SDXL 1.0",
            published="2024-01-01T00:00:00Z",
            trained_words=("same", "words"),
            license=(("allow-derivatives", True), ("creator", "somebody")),
            nsfw=1,
            previews=tuple(
                Preview(url=Reference.parse("https://image.example.com/x.jpeg"), nsfw=1, width=512, height=768)
                for _ in range(previews)
            ),
        ),
        artifacts=(
            Artifact(
                filename="same.safetensors",
                size=1000,
                sha256=sha(content),
                url=Reference.parse("https://example.com/same.safetensors"),
                blake3=sha("blake3"),
                format="safetensors",
                precision="fp16",
                role="vae",
                mirrors=(Reference.parse("https://mirror.example.com/same.safetensors"),),
                scan="success",
                trust="first-use",
                archive=Archive(member="a/same.safetensors", sha256=sha("archive"), size=2000),
            ),
        ),
    )


def lockfile(*names: str, **options: object) -> Lockfile:
    return Lockfile(models=tuple(locked(name, **options) for name in sorted(names)))  # type: ignore[arg-type]


# -- round trips -----------------------------------------------------------------------------------

texts = st.text(st.characters(codec="utf-8"), max_size=12)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


def _is_safe(path: str) -> bool:
    try:
        return bool(SafePath(path))
    except UnsafeName:  # a device of Windows, such as `con.bin`
        return False


filenames = st.from_regex(r"[a-z0-9]{1,6}(/[a-z0-9]{1,6})?\.(safetensors|bin)", fullmatch=True).filter(_is_safe)
scalars = st.one_of(
    texts, st.integers(-(2**63), 2**63 - 1), st.booleans(), st.floats(allow_nan=False), st.datetimes()
)
toml_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
extras = st.dictionaries(texts.map(lambda text: f"x-{text}"), toml_values, max_size=2).map(
    lambda d: tuple(d.items())
)
#: Forms of one reference, of which only the first is canonical: a lockfile keeps the one that it has.
FORMS = ("civitai:{0}", "https://civitai.com/models/{0}/name", "urn:air:sd1:lora:civitai:{0}", " civitai:0{0} ")
references = st.builds(
    lambda form, number: Reference.verbatim(form.format(number)), st.sampled_from(FORMS), st.integers(1, 10**9)
)
artifacts = values.artifacts(
    texts, st.none() | texts, filenames, references, archive=values.archives(names), extra=extras
)
models = values.models(
    names,
    references,
    values.cards(texts, st.none() | texts, previews=values.previews(texts, references)),
    st.lists(artifacts, min_size=1, max_size=3, unique_by=lambda a: a.filename).map(tuple),
    extras,
)
lockfiles = st.builds(
    Lockfile, models=st.lists(models, max_size=3, unique_by=lambda m: m.name.casefold()).map(tuple), extra=extras
)


def ordered(value: Lockfile) -> Lockfile:
    inner = (replace(m, artifacts=tuple(sorted(m.artifacts, key=lambda a: a.filename))) for m in value.models)
    return replace(value, models=tuple(sorted(inner, key=lambda model: model.name)))


def readable(value: Lockfile) -> str:
    """The text, unless two names clash in a way that only `clash_key` knows."""
    text = format_lockfile(value)
    try:
        parse_lockfile(text)
    except InvalidLockfile as error:
        if "is defined twice" not in error.message:
            raise
        return format_lockfile(Lockfile())
    return text


@given(lockfiles)
def test_what_is_written_is_read_and_written_the_same(value: Lockfile) -> None:
    text = readable(value)
    assert format_lockfile(parse_lockfile(text)) == text


@given(names, names, st.lists(texts, max_size=3))
def test_any_text_survives(name: str, title: str, words: list[str]) -> None:
    model = replace(locked(name), card=ModelCard(title=title, trained_words=tuple(words)))
    assert parse_lockfile(format_lockfile(Lockfile(models=(model,)))).models == (model,)


def test_everything_there_is_survives() -> None:
    value = lockfile("a", "b")
    assert parse_lockfile(format_lockfile(value)) == value


def test_unknown_keys_survive_on_every_level_and_can_be_hashed() -> None:
    model = replace(locked("a"), extra=(("later", ("x", 1)),))
    model = replace(model, artifacts=(replace(model.artifacts[0], extra=(("chunks", ("x", "y")),)),))
    value = Lockfile(models=(model,), extra=(("generator", "synapse 9"),))
    again = parse_lockfile(format_lockfile(value))
    assert again == value
    assert hash(again) == hash(value)


def test_the_order_of_the_input_does_not_matter() -> None:
    forth = lockfile("a", "b", "c")
    assert format_lockfile(Lockfile(models=forth.models[::-1])) == format_lockfile(forth)


def test_the_first_line_is_the_version_and_nothing_absent_is_written() -> None:
    bare = LockedModel(
        name="a",
        requirement="civitai:1",
        reference=Reference.parse("civitai:1@2"),
        card=ModelCard(),
        artifacts=(Artifact(filename="a.bin", size=0, sha256=sha("a"), url=Reference.parse("civitai:@2")),),
    )
    text = format_lockfile(Lockfile(models=(bare,)))
    assert text.startswith("version = 1\n# ")
    data = tomllib.loads(text)["model"][0]
    assert set(data) == {"name", "requirement", "reference", "artifact"}
    assert set(data["artifact"][0]) == {"filename", "size", "format", "url", "sha256"}


def test_a_new_model_adds_one_block_and_touches_no_other_line() -> None:
    before = format_lockfile(lockfile("a", "c")).splitlines()
    after = format_lockfile(lockfile("a", "b", "c")).splitlines()
    start = after.index("[[model]] # b") - 1
    added = len(after) - len(before)
    assert after[:start] + after[start + added :] == before


# -- merges ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shared", [None, "the same file"])
def test_no_run_of_lines_is_long_enough_for_git_to_splice(shared: str | None) -> None:
    """Four equal lines between two blocks would be taken for common ground."""
    one, two = (
        format_lockfile(lockfile(name, bytes_of=shared, previews=3)).splitlines()[3:] for name in ("one", "two")
    )
    assert one[0] not in two
    assert one[-1] not in two
    for start in range(len(one) - 3):
        window = one[start : start + 4]
        assert window not in [two[at : at + 4] for at in range(len(two))], window


class Repository:
    """A git repository with one lockfile."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(exist_ok=True)
        self.git("init", "-q", "-b", "trunk")
        self.git("config", "user.name", "t")
        self.git("config", "user.email", "t@example.com")
        self.git("config", "commit.gpgsign", "false")

    def git(self, *words: str, check: bool = True) -> int:
        done = subprocess.run(["git", *words], cwd=self.path, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, done.stderr + done.stdout
        return done.returncode

    def commit(self, text: str) -> None:
        (self.path / "synapse.lock").write_bytes(text.encode())
        self.git("add", "-A")
        self.git("commit", "-qm", "x", "--allow-empty")

    def merge(self, base: str, ours: str, theirs: str) -> tuple[int, str]:
        """The exit code of `git merge`, and the file it left."""
        self.git("checkout", "-q", "--orphan", f"base-{random.random()}")
        self.commit(base)
        self.git("branch", "-f", "theirs")
        self.commit(ours)
        self.git("branch", "-f", "ours")
        self.git("checkout", "-q", "theirs")
        self.commit(theirs)
        self.git("checkout", "-q", "ours")
        code = self.git("merge", "-q", "--no-edit", "theirs", check=False)
        text = (self.path / "synapse.lock").read_bytes().decode()
        if code:
            self.git("merge", "--abort")
        return code, text


def branches(common: list[str], ours: list[str], theirs: list[str], **options: object) -> tuple[str, str, str]:
    return (
        format_lockfile(lockfile(*common, **options)),
        format_lockfile(lockfile(*common, *ours, **options)),
        format_lockfile(lockfile(*common, *theirs, **options)),
    )


def test_additions_that_are_apart_merge_without_help(tmp_path: Path) -> None:
    code, text = Repository(tmp_path).merge(*branches(["b", "d"], ["a"], ["c"]))
    assert code == 0
    assert text == format_lockfile(lockfile("a", "b", "c", "d"))


def test_adjacent_additions_conflict_without_the_merge_rule_and_the_error_says_what_to_do(tmp_path: Path) -> None:
    code, text = Repository(tmp_path).merge(*branches(["a", "d"], ["b"], ["c"]))
    assert code == 1
    with pytest.raises(InvalidLockfile, match=r"synapse\.lock:\d+: merge conflict") as caught:
        parse_lockfile(text)
    assert "run `synapse lock`" in (caught.value.hint or "")
    assert "merge=union" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("common", "ours", "theirs"),
    [
        (["a", "d"], ["b"], ["c"]),
        (["a", "d"], ["c"], ["b"]),
        (["a"], ["b"], ["c"]),
        (["d"], ["b"], ["c"]),
        ([], ["b"], ["c"]),
        (["a", "z"], ["b", "d", "f"], ["c", "e"]),
    ],
)
@pytest.mark.parametrize("shared", [None, "the same file"])
def test_the_union_of_adjacent_additions_is_both(
    tmp_path: Path, common: list[str], ours: list[str], theirs: list[str], shared: str | None
) -> None:
    repository = Repository(tmp_path)
    (tmp_path / ".gitattributes").write_text("synapse.lock merge=union\n")
    code, text = repository.merge(*branches(common, ours, theirs, bytes_of=shared, previews=2))
    assert code == 0
    assert parse_lockfile(text) == lockfile(*common, *ours, *theirs, bytes_of=shared, previews=2)


def test_the_union_of_many_random_additions_is_both(tmp_path: Path) -> None:
    chance = random.Random(7)
    repository = Repository(tmp_path)
    (tmp_path / ".gitattributes").write_text("synapse.lock merge=union\n")
    for _ in range(12):
        pool = chance.sample([f"{word}{n}" for word in ("lora-", "vae", "a@", "é") for n in range(30)], 9)
        common, ours, theirs = pool[: chance.randrange(4)], pool[4 : 5 + chance.randrange(3)], pool[7:]
        options = {"bytes_of": chance.choice([None, "shared"]), "previews": chance.randrange(4)}
        code, text = repository.merge(*branches(common, ours, theirs, **options))
        assert code == 0
        assert parse_lockfile(text) == lockfile(*common, *ours, *theirs, **options), (common, ours, theirs)


# -- refusals --------------------------------------------------------------------------------------

GOOD = format_lockfile(lockfile("alpha", "beta"))
SHA = sha("beta")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (f'sha256 = "{SHA}"', f'sha256 = "{SHA[:-1]}"', "`sha256` is not 64"),
        (f'sha256 = "{SHA}"', f'sha256 = "{SHA.upper()}"', "`sha256` is not 64"),
        (f'sha256 = "{SHA}"', "sha256 = 1", "`sha256` is not a string"),
        (f'sha256 = "{SHA}"', "", "`sha256` is missing"),
        ("size = 1000", "size = -1", "`size` is not a whole number"),
        ("size = 1000", "size = true", "`size` is not a whole number"),
        ("size = 1000", "size = 1.5", "`size` is not a whole number"),
        ("size = 1000", "", "`size` is missing"),
        ('"same.safetensors"', '"../same.safetensors"', "unsafe path"),
        ('"same.safetensors"', '"/etc/passwd"', "unsafe path"),
        ('"same.safetensors"', '"a\\u0000b"', "unsafe path"),
        ('"same.safetensors"', '"con.safetensors"', "unsafe path"),
        ('"https://example.com/same.safetensors"', '"ftp://example.com/x"', "ftp"),
        ('"https://mirror.example.com/same.safetensors"', '"12345"', "12345"),
        ('reference = "civitai:1@2+3"', 'reference = "civitai:x"', "civitai:x"),
        ('"https://image.example.com/x.jpeg"', '"gopher://x"', "gopher"),
        ('name = "beta"', 'name = ""', "`name` is missing"),
        ('trained-words = ["same", "words"]', 'trained-words = ["same", 1]', "`trained-words` is not a list"),
        ('title = "Same title"', "title = 7", "`title` is not a string"),
        ("nsfw = 1", 'nsfw = "x"', "`nsfw` is not a whole number"),
        ("license = { allow-derivatives = true", "license = true # {", "`license` is not a table"),
    ],
)
def test_what_makes_no_sense_is_refused_with_model_and_line(old: str, new: str, says: str) -> None:
    start = GOOD.index("[[model]] # beta")
    assert old in GOOD[start:]
    damaged = GOOD[:start] + GOOD[start:].replace(old, new, 1)
    line = GOOD.count("\n", 0, start) + 1
    with pytest.raises(InvalidLockfile) as caught:
        parse_lockfile(damaged, "some/synapse.lock")
    assert caught.value.message.startswith(f"some/synapse.lock:{line}: model ")
    assert ("`beta`" in caught.value.message) == (new != 'name = ""')
    assert says in caught.value.message
    assert "run `synapse lock`, which resolves damaged blocks again" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "`version = 1` is missing"),
        ("version = true\n", "`version = 1` is missing"),
        ('version = "1"\n', "`version = 1` is missing"),
        ("version = 0\n", "has a wrong value"),
        ("version = 1\nmodel = 3\n", "has a wrong value"),
        ("version = 1\nmodel = [3]\n", "is not a table"),
        ("version = 1\n[[model]]\nname = 'x'\n", "model `x`: it has no artifact"),
        ("version = 1\nx = \n", "not valid TOML"),
        ("version = " + "1" * 5000, "not valid TOML"),
        ("version = 1\nx = " + "[" * 5000, "not valid TOML"),
    ],
)
def test_other_files_are_refused(text: str, says: str) -> None:
    with pytest.raises(InvalidLockfile) as caught:
        parse_lockfile(text)
    assert says in caught.value.message
    assert caught.value.message.startswith("synapse.lock")
    assert "synapse lock" in (caught.value.hint or "")


def test_a_newer_format_asks_for_a_newer_synapse_whatever_else_it_holds() -> None:
    with pytest.raises(InvalidLockfile, match="format 2, written by a newer synapse") as caught:
        parse_lockfile("version = 2\nmodel = 'something else'\n")
    assert "upgrade synapse" in (caught.value.hint or "")


@pytest.mark.parametrize("other", ["beta", "BETA", "ｂeta"])
def test_one_name_twice_is_refused(other: str) -> None:
    text = format_lockfile(Lockfile(models=(locked("beta"), locked(other))))
    with pytest.raises(InvalidLockfile, match="is defined twice"):
        parse_lockfile(text)


def test_one_file_twice_in_a_model_is_refused_but_not_in_two_models() -> None:
    model = locked("alpha")
    other = replace(model.artifacts[0], filename="Same.safetensors")
    with pytest.raises(InvalidLockfile, match=r"model `alpha`.*`.ame\.safetensors` is defined twice"):
        parse_lockfile(format_lockfile(Lockfile(models=(replace(model, artifacts=(*model.artifacts, other)),))))
    assert len(parse_lockfile(GOOD).models) == 2


def test_lines_ending_in_crlf_are_read_alike() -> None:
    assert parse_lockfile(GOOD.replace("\n", "\r\n")) == parse_lockfile(GOOD)
