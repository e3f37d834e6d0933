"""Local files of weights, by their headers."""

from __future__ import annotations

from pathlib import Path

from model_headers import autoencoder, write_model

from synapse_sync.core.reference import Reference
from synapse_sync.engine.recognise import Recognised, recognise
from synapse_sync.errors import NotFound


def test_each_file_has_an_answer(tmp_path: Path) -> None:
    write_model(tmp_path / "a.safetensors", autoencoder(4))
    (tmp_path / "b.bin").write_bytes(b"\x80\x02}q\x00.")
    vae, pickle, missing = recognise(
        tmp_path, [Reference.parse(f"./{name}") for name in ("a.safetensors", "b.bin", "c.safetensors")]
    )
    assert isinstance(vae, Recognised) and (vae.weights.kind, vae.content.kind) == ("vae", "safetensors")
    assert isinstance(pickle, Recognised) and (pickle.weights.kind, pickle.content.kind) == (None, "pickle")
    assert isinstance(missing, NotFound)
