from __future__ import annotations

import pytest

from synapse_sync.core.findings import MOST, grouped, grouped_texts, listed
from synapse_sync.errors import AccessDenied, Conflict, NetworkError, NotFound, SynapseError

LOGIN = "run `synapse login civitai`"


def denied(reference: str, model: str) -> SynapseError:
    return AccessDenied(f"Civitai requires an API key for `{reference}`", hint=LOGIN, subject=model)


def test_one_kind_with_one_mend_is_one_finding() -> None:
    (found,) = grouped([denied(f"civitai:{number}", name) for number, name in enumerate("abcd")])
    assert found.message == "Civitai requires an API key for 4 models (`a`, `b`, `c`, `d`)"
    assert found.hint == LOGIN and len(found.errors) == 4


def test_one_error_keeps_its_words_and_names_its_model() -> None:
    (found,) = grouped([denied("civitai:1", "a")])
    assert found.message == "`a`: Civitai requires an API key for `civitai:1`"
    (found,) = grouped([NotFound("`a` is gone", subject="a")])
    assert found.message == "`a` is gone"


def test_the_same_message_about_many_models() -> None:
    (found,) = grouped([NetworkError("civitai.com cannot be reached", subject=name) for name in "ab"])
    assert found.message == "`a`, `b`: civitai.com cannot be reached"
    (found,) = grouped([NetworkError("civitai.com cannot be reached") for _ in "ab"])
    assert found.message == "civitai.com cannot be reached"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (AccessDenied("`a` is gated", hint="x"), NotFound("`b` is gated", hint="x")),
        (NotFound("`a` is gone", hint="x"), NotFound("`b` is gone", hint="y")),
        (NotFound("`a` is gone"), NotFound("`b` is lost")),
        (NotFound("`a` has no file `x`"), NotFound("`b` has no file `y`")),
        (NotFound("`a` has 3 files"), NotFound("`b` has 4 files")),
    ],
)
def test_another_kind_or_mend_is_another_finding(first: SynapseError, second: SynapseError) -> None:
    assert [found.message for found in grouped([first, second])] == [first.message, second.message]


def test_several_things_need_another_verb() -> None:
    (found,) = grouped([NotFound(f"`{name}` is gone, and was never here") for name in "ab"])
    assert found.message == "`a`, `b` are gone, and was never here"
    (found,) = grouped([NotFound(f"no `{name}` is here") for name in "ab"])
    assert found.message == "no `a`, `b` are here"


def test_files_of_one_target_are_listed_and_those_of_another_are_not() -> None:
    def conflict(path: str, target: str) -> Conflict:
        return Conflict(f"`{path}` in target `{target}`: not placed by synapse; left as it is", subject="m")

    found = grouped([conflict("x", "comfy"), conflict("y", "comfy"), conflict("x", "forge")])
    assert [each.message for each in found] == [
        "`m`: `x`, `y` in target `comfy`: not placed by synapse; left as it is",
        "`m`: `x` in target `forge`: not placed by synapse; left as it is",
    ]


def test_a_hint_that_names_one_names_all() -> None:
    errors = [
        Conflict(f"`{name}.pt` changed", hint=f"`synapse lock --upgrade-model {name}` locks it", subject=name)
        for name in ("one", "two")
    ]
    (found,) = grouped(errors)
    assert found.message == "`one.pt`, `two.pt` changed"
    assert found.hint == "`synapse lock --upgrade-model one --upgrade-model two` locks it"
    (found,) = grouped([NotFound(f"`{n}` is gone", hint=f"`synapse remove {n}`", subject=n) for n in ("a-b", "a")])
    assert found.hint == "`synapse remove a-b a`"


def test_addresses_of_one_message_are_put_together() -> None:
    (found,) = grouped([NetworkError(f"https://x.example/{n} answered 500") for n in "ab"])
    assert found.message == "https://x.example/a, https://x.example/b answered 500"


def test_the_order_is_that_of_the_first_of_each_kind() -> None:
    errors = [NotFound("z"), denied("r1", "a"), NotFound("y"), denied("r2", "b")]
    assert [len(found.errors) for found in grouped(errors)] == [1, 2, 1]
    assert [found.message for found in grouped(errors)][::2] == ["z", "y"]


def test_warnings_are_grouped_too() -> None:
    texts = [f"`{name}` is placed nowhere: no target accepts it" for name in "aab"]
    assert grouped_texts([*texts, "else"]) == ("`a`, `b` are placed nowhere: no target accepts it", "else")


def test_a_list_has_an_end() -> None:
    names = [str(number) for number in range(MOST + 3)]
    assert listed(names).endswith("`19` and 3 more")
    assert listed(["a", "a"]) == "`a`"


@pytest.mark.parametrize(
    ("rest", "several"),
    [
        ("refuses the file (403)", "refuse the file"),
        ("redirects more than 10 times", "redirect more than 10 times"),
    ],
)
def test_a_verb_follows_its_names(rest: str, several: str) -> None:
    (found,) = grouped(NetworkError(f"http://a.example/{name} {rest}") for name in ("m1", "m2"))
    assert found.message.startswith(f"http://a.example/m1, http://a.example/m2 {several}")
