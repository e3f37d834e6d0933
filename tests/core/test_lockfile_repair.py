"""A damaged lockfile: sound blocks keep their pins, damaged ones are named."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synapse_sync.core.lockfile import LockedModel, Lockfile, parse_lockfile
from synapse_sync.core.lockfile_repair import repair_lockfile, with_true_hint
from synapse_sync.core.lockfile_text import format_lockfile
from synapse_sync.errors import InvalidLockfile

NAMES = ("alpha", "beta", "gamma", "delta", "epsilon")


def model(name: str, version: int = 2, previews: int = 1) -> LockedModel:
    """A locked model that shares most of its lines with every other."""
    text = (
        f'version = 1\n[[model]]\nname = "{name}"\nrequirement = "civitai:1@{version}"\ntitle = "{version}"\n'
        f'reference = "civitai:1@{version}+3"\ntype = "lora"\ntrained-words = ["a", "b"]\nnsfw = 1\n'
        f'[[model.artifact]]\nfilename = "same.safetensors"\nsize = {version}\nurl = "https://host.example/x"\n'
        f'sha256 = "{version:064x}"\n'
        + '[[model.preview]]\nurl = "https://host.example/x.jpeg"\nwidth = 5\nheight = 7\nnsfw = 1\n'
        * previews
    )
    return parse_lockfile(text).models[0]


def lockfile(*names: str, previews: int = 1) -> Lockfile:
    return Lockfile(models=tuple(model(name, previews=previews) for name in sorted(names)))


def with_model(value: Lockfile, pin: LockedModel) -> Lockfile:
    return Lockfile(models=tuple(pin if other.name == pin.name else other for other in value.models))


def union(tmp_path: Path, ours: str, base: str, theirs: str, *options: str) -> str:
    for name, text in (("ours", ours), ("base", base), ("theirs", theirs)):
        (tmp_path / name).write_text(text)
    command = ["git", "merge-file", *options, "-p", "ours", "base", "theirs"]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("options", [("--union",), (), ("--diff3",), ("--zdiff3",)], ids=" ".join)
@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_two_branches_that_pin_one_model_anew(tmp_path: Path, options: tuple[str, ...], newline: str) -> None:
    base = lockfile(*NAMES)
    ours, theirs = (with_model(base, model("beta", number)) for number in (7, 8))
    merged = union(tmp_path, *map(format_lockfile, (ours, base, theirs)), *options).replace("\n", newline)
    with pytest.raises(InvalidLockfile):
        parse_lockfile(merged)
    repaired = repair_lockfile(merged)
    assert repaired.damaged == ("beta",)
    assert repaired.lockfile.models == tuple(pin for pin in base.models if pin.name != "beta")


def test_a_conflict_of_whole_blocks_costs_none_of_them(tmp_path: Path) -> None:
    base = lockfile("alpha", "zeta")
    ours, theirs = (lockfile("alpha", name, "zeta") for name in ("beta", "gamma"))
    merged = union(tmp_path, *map(format_lockfile, (ours, base, theirs)))
    assert "<<<<<<<" in merged
    repaired = repair_lockfile(merged)
    assert repaired.lockfile == lockfile("alpha", "beta", "gamma", "zeta") and repaired.damaged == ()


def double(lines: list[str], at: int) -> list[str]:
    key = lines[at].partition(" = ")[0]
    return [*lines[: at + 1], f'{key} = "another"', *lines[at + 1 :]]


def cut(lines: list[str], at: int) -> list[str]:
    return lines[:at]


def marked(lines: list[str], at: int) -> list[str]:
    return [*lines[:at], "<<<<<<< HEAD", lines[at], "=======", lines[at], ">>>>>>> branch", *lines[at + 1 :]]


def garbled(lines: list[str], at: int) -> list[str]:
    return [*lines[:at], "= = =", *lines[at + 1 :]]


@settings(max_examples=200)
@given(
    chosen=st.sampled_from(NAMES),
    damage=st.sampled_from([double, cut, marked, garbled]),
    where=st.floats(min_value=0, max_value=1, exclude_max=True),
)
def test_damage_to_one_block_moves_no_other_pin(chosen: str, damage: object, where: float) -> None:
    value = lockfile(*NAMES, previews=2)
    head, *blocks = format_lockfile(value).split("\n\n")
    index = sorted(NAMES).index(chosen)
    lines = blocks[index].rstrip("\n").split("\n")
    fields = [number for number, line in enumerate(lines) if number and " = " in line]
    blocks[index] = "\n".join(damage(lines, fields[int(where * len(fields))])) + "\n"  # type: ignore[operator]
    repaired = repair_lockfile("\n\n".join([head, *blocks]))
    assert repaired.damaged == (chosen,)
    assert repaired.lockfile.models == tuple(pin for pin in value.models if pin.name != chosen)


def test_the_end_of_another_block_is_seen() -> None:
    """Half of one block and half of the next are valid TOML together, and no model at all."""
    alpha, beta = (format_lockfile(lockfile(name)).split("\n\n")[1] for name in ("alpha", "beta"))
    start = alpha[: alpha.index("[[model.preview]]")]
    end = beta[beta.index("[[model.preview]]") :]
    text = f"version = 1\n\n{start}{end}\n\n{format_lockfile(lockfile('gamma')).split(chr(10) * 2)[1]}"
    assert len(parse_lockfile(text).models) == 2
    assert repair_lockfile(text).damaged == ("alpha",)


def test_two_blocks_of_one_name_are_both_in_doubt_unless_they_are_equal() -> None:
    alpha = format_lockfile(lockfile("alpha"))
    block = alpha.split("\n\n")[1]
    other = format_lockfile(Lockfile(models=(model("alpha", 9),))).split("\n\n")[1]
    assert repair_lockfile(f"{alpha}\n{block}").lockfile == lockfile("alpha")
    assert repair_lockfile(f"{alpha}\n{other}").damaged == ("alpha",)
    assert repair_lockfile(f"{alpha}\n{other}\n{block}").lockfile.models == ()


def test_a_preamble_that_was_damaged_costs_no_pin() -> None:
    text = format_lockfile(lockfile(*NAMES))
    for changed in (text.replace("version = 1\n", ""), f"version = 1\n{text}", f"x = = 1\n{text}"):
        assert repair_lockfile(changed).lockfile.models == lockfile(*NAMES).models
    extra = Lockfile(models=lockfile("alpha").models, extra=(("x-key", 7),))
    assert repair_lockfile(format_lockfile(extra)).lockfile == extra


@pytest.mark.parametrize("text", ["version = 1\nx = \n", "hello", "[models]\na = 'civitai:1'\n"])
def test_a_file_without_blocks_is_refused(text: str) -> None:
    with pytest.raises(InvalidLockfile, match="holds no block") as caught:
        repair_lockfile(text)
    assert "delete it and run `synapse lock`" in (caught.value.hint or "")


def test_the_file_of_a_newer_synapse_is_refused() -> None:
    with pytest.raises(InvalidLockfile, match="newer synapse"):
        repair_lockfile(format_lockfile(lockfile("alpha")).replace("version = 1", "version = 2") + "= =")


@pytest.mark.parametrize("table", ["artifact", "preview"])
@pytest.mark.parametrize("key", ["name", "requirement", "reference", "title", "version-name", "base-model"])
def test_keys_of_a_model_in_a_table_below_it_are_damage(table: str, key: str) -> None:
    text = format_lockfile(lockfile("alpha", "beta"))
    head = f"[[model.{table}]] # beta"
    line = next(line for line in text.splitlines() if line.startswith(head))
    newer = text.replace(line, f'{line}\nkey-of-a-newer-synapse = "x"')
    assert len(parse_lockfile(newer).models) == 2
    damaged = text.replace(line, f'{line}\n{key} = "x"')
    with pytest.raises(InvalidLockfile, match=f"`{key}` belongs to a model"):
        parse_lockfile(damaged)
    assert repair_lockfile(damaged).damaged == ("beta",)


def test_the_hint_is_one_that_works() -> None:
    """`synapse lock` mends single blocks: where there is none, it would only fail."""
    for text, hint in (
        ("garbage = = [[[", "restore it from git, or delete it and run `synapse lock`"),
        (
            f"{format_lockfile(lockfile('alpha'))}\nbroken",
            "run `synapse lock`, which resolves damaged blocks again",
        ),
    ):
        with pytest.raises(InvalidLockfile) as caught:
            parse_lockfile(text)
        assert hint in (with_true_hint(caught.value, text).hint or "")
