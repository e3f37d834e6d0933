"""The language of rules: names, patterns, sizes, counts."""

from __future__ import annotations

import pytest

from synapse_sync.core.weights import adapter, autoencoder, diffusion, encoder, extension, unet
from synapse_sync.core.weights.rule import Rule, View, first, rows

VIEW = View(
    {
        "blocks.0.attn.q.weight": ("F16", (64, 32)),
        "blocks.7.attn.q.weight": ("F16", (64, 32)),
        "blocks.7.mlp.2.weight": ("F16", (32, 128)),
        "blocks.7.mlp.0.weight": ("F16", (128, 32)),
        "head.bias": ("F32", (5,)),
        "packed.weight": ("U8", (16, 1)),
        "blocks.block3.blocks.1.x": ("F16", (1,)),
    }.items()
)


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ("head", True), ("head.bias", True), ("hea", False), ("!head", False), ("!tail", True), ("tail|head", True),
        ("blocks.#.attn", True), ("blocks.#.attn.q.weight", True), ("blocks.7.mlp", True), ("blocks.6.mlp", False),
        ("blocks.#.attn.q.weight[1]=32", True), ("blocks.#.attn.q.weight[1]=31,32", True),
        ("blocks.#.attn.q.weight[1]=31", False), ("blocks.#.attn.q.weight[1]>=32", True),
        ("blocks.#.attn.q.weight[1]<32", False), ("blocks.#.attn.q.weight[2]=1", False),
        ("blocks.#.mlp.0.weight[0]=128", True), ("blocks.#.mlp.2.weight[0]=32", True),
        ("tail[0]|head.bias[0]=5", True), ("head.bias:axes=1", True), ("head.bias:axes=2", False),
        ("n(blocks)=8", True), ("n(blocks)>=9", False), ("n(tail)|n(blocks)=8", True), ("n(tail)=0", True),
        ("packed.weight", True), ("packed.weight[0]=16", False), ("blocks.block#.blocks.#", True),
        ("head.bias[0]?=5", True), ("head.bias[0]?=4", False), ("head.bias[0]?=4,5", True), ("tail[0]?=4", True),
        ("packed.weight[0]?=4", True), ("tail[0]|head.bias[0]?=4", False),
        ("head tail", False), ("head !tail", True),
    ],
)  # fmt: skip
def test_conditions(when: str, holds: bool) -> None:
    assert Rule(None, (), when, "").holds(VIEW) is holds


def test_the_first_rule_that_holds() -> None:
    table = rows(
        "source", ("A", "a1 | a2", "tail"), ("B", "b", "head !tail", "v1 | v2"), ("C", "", "head"), kind="k"
    )
    found = first(table, VIEW)
    assert found is not None
    assert found.rule == Rule("B", ("b",), "head !tail", "source", "k", ("v1", "v2"))
    assert found.evidence == ("head", "source")
    assert first(table[:1], VIEW) is None


@pytest.mark.parametrize("name", ["blocks.7.mlp", "blocks.block3", "blocks.block3.blocks.1", "blocks.7"])
def test_a_beginning_with_numbers_is_found(name: str) -> None:
    assert VIEW.has(name)
    assert not VIEW.has(f"{name}9")
    assert first(rows("s", ("A", "a", name), kind="k"), VIEW) is not None


def test_no_rule_that_holds_is_passed_over() -> None:
    modules = (adapter, autoencoder, diffusion, encoder, extension, unet)
    tables = [value for module in modules for value in vars(module).values() if isinstance(value, tuple)]
    rules = [rule for table in tables for rule in table if isinstance(rule, Rule)]
    assert len(rules) > 300
    known = VIEW.everything
    assert known is not None
    for rule in rules:
        names = [name for condition in rule._conditions for _, name, _ in condition.left]
        for chosen in names:
            view = View([(chosen.replace("#", "3"), ("F16", (64, 64)))])
            if rule.holds(view):
                assert first([rule], view) is not None, rule


def test_the_evidence_is_what_was_seen() -> None:
    when = "tail|head.bias !tail tail[0]|head.bias[0]=4,5 n(blocks)>=2 head.bias:axes=1"
    seen = Rule("A", (), when, "source").evidence(VIEW)
    assert seen == ("head.bias", "head.bias[0] = 5", "8 blocks", "head.bias has 1 axes", "source")


def test_joined_names() -> None:
    view = View(
        [("double_blocks_3_img_mlp_0", ("F32", (4, 2))), ("double_blocks_3_img_mlp_2", ("F32", (2, 4)))], "_"
    )
    assert view.size("double_blocks_#_img_mlp_0", 0) == 4
    assert view.size("double_blocks_#_img_mlp_2", 0) == 2
    assert view.has("double_blocks_#_img_mlp")
    assert view.count("double_blocks") == 4


@pytest.mark.parametrize(
    "table",
    [
        diffusion.DIFFUSION, unet.UNETS, autoencoder.AUTOENCODERS, encoder.TEXT_ENCODERS, encoder.IMAGE_ENCODERS,
        extension.CONTROLNETS, extension.BESIDE, extension.UPSCALERS, adapter.ADAPTERS,
    ],
)  # fmt: skip
def test_every_row_can_be_read_and_names_its_source(table: tuple[Rule, ...]) -> None:
    for rule in table:
        assert rule.source
        assert rule.when
        assert rule.holds(VIEW) is False, rule
