"""Digests read and print, in any case, and refuse what is not one."""

import pytest

from synapse_sync.core.digest import LENGTHS, Digest, is_sha256
from synapse_sync.errors import InvalidReference


@pytest.mark.parametrize(("algorithm", "length"), sorted(LENGTHS.items()))
def test_round_trip(algorithm: str, length: int) -> None:
    text = f"{algorithm}:{'aB' * (length // 2)}"
    digest = Digest.parse(text)
    assert str(digest) == text.lower()
    assert Digest.parse(str(digest)) == digest


@pytest.mark.parametrize("text", ["", "sha256:", "sha256:zz", "md5:" + "0" * 32, "sha256:" + "0" * 63, "0" * 64])
def test_refused(text: str) -> None:
    with pytest.raises(InvalidReference):
        Digest.parse(text)


def test_is_sha256_wants_lower_case_hexadecimal() -> None:
    assert is_sha256("0" * 64)
    assert not is_sha256("A" * 64)
    assert not is_sha256(None)
