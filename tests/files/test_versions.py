"""Model files of every version load, for ever: these were written when the version was new."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from model_checks import SMALL_ROWS, parameters

import fastvae
from fastvae.files import storage

FOLDER = Path(__file__).parent / "version_1"
EXPECTED: dict[str, dict[str, Any]] = json.loads((FOLDER / "expected.json").read_text())


@pytest.mark.parametrize("name", EXPECTED)
def test_a_file_of_version_1_loads_as_it_was_written(name: str) -> None:
    expected = EXPECTED[name]
    vae = fastvae.load(FOLDER / f"{name}.safetensors")
    digests = {
        key: hashlib.sha256(array.tobytes()).hexdigest()[:16]
        for key, array in parameters(vae).items()
    }
    assert digests == expected["digests"]
    for key in ("updates", "epochs", "seed", "likelihood", "beta", "reconstruction_weight", "card"):
        assert getattr(vae, key) == expected[key], key
    assert vae.dtype == expected["dtype"]
    assert [layer.activation for layer in vae.named_layers().values()] == expected["activations"]
    # Sums of 37 terms; exp and log have a few ulps, on every instruction set.
    precision = 1e-5 if vae.dtype == "float32" else 1e-12
    assert list(vae.elbo(SMALL_ROWS)) == pytest.approx(expected["elbo"], rel=precision)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_file_of_version_1_is_written_again(tmp_path: Path, name: str) -> None:
    """Byte for byte, but for what its metadata tell other programs since.

    A later version is only of what version 1 cannot express.
    """
    old = FOLDER / f"{name}.safetensors"
    fastvae.load(old).save(tmp_path / "again")
    header, values = parts_of(tmp_path / "again")
    metadata = header["__metadata__"]
    assert {metadata.pop("format"), metadata.pop("library_name")} == {"np", "fastvae"}
    assert (header, values) == parts_of(old)


def parts_of(path: Path) -> tuple[dict[str, Any], bytes]:
    """A safetensors file's header, and the bytes of its tensors."""
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:start]), content[start:]


def test_the_models_that_come_with_the_package_are_of_version_1() -> None:
    for name in fastvae.pretrained():
        content = (storage.PRETRAINED / f"{name}.safetensors").read_bytes()
        assert b'\\"format_version\\": 1' in content[:10_000], name
        fastvae.load(name)


def test_a_later_version_is_refused_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "later"
    shutil.copyfile(FOLDER / "bernoulli.safetensors", path)
    content = path.read_bytes().replace(b'"format_version\\": 1', b'"format_version\\": 4')
    path.write_bytes(content)
    with pytest.raises(ValueError, match="format version must be 1 or 2 or 3; got 4"):
        fastvae.load(path)
    assert os.path.getsize(path) == os.path.getsize(FOLDER / "bernoulli.safetensors")
