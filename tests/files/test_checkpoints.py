"""Checkpoints as files: what is read is what was written, or an error that says why not."""

from __future__ import annotations

import errno
import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save as to_safetensors

import fastvae
from fastvae.files import checkpoints, storage
from fastvae.files.writing import clear_left, write_file

SAVED = checkpoints.SavedRun(
    {"numbers": [1, 2**64 - 1, 0.1], "name": "é", "nested": {"none": None, "yes": True}},
    {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "nothing": np.zeros((0, 3)),
        "number": np.array(7, np.int64),
        "odd": np.array([np.nan, -0.0, 5e-324, np.inf]),
    },
)


def assert_same(found: checkpoints.SavedRun, expected: checkpoints.SavedRun) -> None:
    assert found.facts == expected.facts
    assert found.arrays.keys() == expected.arrays.keys()
    for name, array in expected.arrays.items():
        assert found.arrays[name].dtype == array.dtype
        assert found.arrays[name].shape == array.shape
        assert found.arrays[name].tobytes() == array.tobytes(), name


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    checkpoints.write(path, SAVED)
    assert_same(checkpoints.read(path), SAVED)
    assert os.listdir(tmp_path) == ["run.ckpt"]


@pytest.mark.slow
def test_a_checkpoint_of_thousands_of_layers_is_read(tmp_path: Path) -> None:
    vae = fastvae.VAE.from_sizes(3, (2,) * 2500, 1, activation="tanh")
    path = tmp_path / "run.ckpt"
    X = np.random.default_rng(0).random((4, 3), np.float32)
    vae.fit(X, epochs=1, checkpoint=path, verbose=False)
    assert checkpoints.read(path).facts["counts"]["n_epochs"] == 1


def test_the_one_before_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    for i in range(3):
        checkpoints.write(path, checkpoints.SavedRun({"i": i}, SAVED.arrays))
    assert checkpoints.read(path).facts == {"i": 2}
    assert checkpoints.read(tmp_path / "run.previous.ckpt").facts == {"i": 1}
    assert sorted(os.listdir(tmp_path)) == ["run.ckpt", "run.previous.ckpt"]


def test_the_one_before_is_kept_without_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    path = tmp_path / "run"
    checkpoints.write(path, SAVED)
    monkeypatch.setattr(os, "link", refuse)
    checkpoints.write(path, checkpoints.SavedRun({"i": 1}, {}))
    assert_same(checkpoints.read(tmp_path / "run.previous"), SAVED)


def test_there_is_a_checkpoint_at_every_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever call of the system is the last one, a whole checkpoint stands at its place."""
    path = tmp_path / "run.ckpt"
    checkpoints.write(path, SAVED)
    seen = []

    def watched(name: str) -> Any:
        call = getattr(os, name)

        def watch(*args: Any, **settings: Any) -> Any:
            seen.append(name)
            checkpoints.read(path)
            result = call(*args, **settings)
            checkpoints.read(path)
            return result

        return watch

    for name in ("link", "replace", "fsync"):
        monkeypatch.setattr(os, name, watched(name))
    checkpoints.write(path, checkpoints.SavedRun({"i": 1}, {}))
    assert seen == ["fsync", "link", "replace", "replace", "fsync"]


def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    checkpoints.write(path, SAVED)
    content = path.read_bytes()
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        try:
            found = checkpoints.read(path)
        except ValueError as error:
            message = str(error)
        else:  # a name or a blank in the header that means the same
            assert_same(found, SAVED)
            message = str(path)
        assert str(path) in message


@pytest.mark.parametrize("length", [0, 7, 8, 100, -1])
def test_a_truncated_checkpoint_is_refused_and_the_one_before_named(
    tmp_path: Path, length: int
) -> None:
    path = tmp_path / "run.ckpt"
    checkpoints.write(path, SAVED)
    checkpoints.write(path, SAVED)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match="run.ckpt is not a valid checkpoint") as error:
        checkpoints.read(path)
    assert str(tmp_path / "run.previous.ckpt") in str(error.value)


def test_other_files_are_refused_by_what_they_are(tmp_path: Path) -> None:
    model = storage.PRETRAINED / f"{fastvae.pretrained()[0]}.safetensors"
    with pytest.raises(ValueError, match="it is a model, without what its training needs"):
        checkpoints.read(model)
    with pytest.raises(FileNotFoundError, match="there is no checkpoint"):
        checkpoints.read(tmp_path / "absent")
    with pytest.raises(ValueError, match="it is no file"):
        checkpoints.read(tmp_path)
    other = tmp_path / "other"
    other.write_bytes(to_safetensors({"a": np.zeros(3)}))
    with pytest.raises(ValueError, match="was not written by fastvae"):
        checkpoints.read(other)


def test_a_checkpoint_is_no_model(tmp_path: Path) -> None:
    checkpoints.write(tmp_path / "run.ckpt", SAVED)
    with pytest.raises(ValueError, match=r"it is a checkpoint of a training; fit\(..., resume="):
        fastvae.load(tmp_path / "run.ckpt")


def test_a_later_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    entry = json.dumps({"format_version": 2, "facts": {}, "checksum": ""})
    path.write_bytes(to_safetensors({}, {storage.CHECKPOINT_ENTRY: entry}))
    with pytest.raises(ValueError, match="format version must be 1; got 2"):
        checkpoints.read(path)


def test_facts_are_plain_data(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    checkpoints.write(path, SAVED)
    with pytest.raises(ValueError, match="must be finite"):
        checkpoints.write(path, checkpoints.SavedRun({"x": float("nan")}, {}))
    assert_same(checkpoints.read(path), SAVED)


def test_what_killed_writers_left_is_taken_away(tmp_path: Path) -> None:
    path, other = tmp_path / "run.ckpt", tmp_path / "other.ckpt"

    def leave(temporary: Path) -> None:
        temporary.with_name(f"{temporary.name[:-8]}dead.tmp").write_bytes(b"half")

    write_file(path, b"1", leave)
    write_file(other, b"2", leave)
    assert len(list(tmp_path.glob(".*.tmp"))) == 2
    clear_left(path)
    assert len(list(tmp_path.glob(".*.tmp"))) == 1
    clear_left(other)
    assert sorted(os.listdir(tmp_path)) == ["other.ckpt", "run.ckpt"]
    assert (path.read_bytes(), other.read_bytes()) == (b"1", b"2")


def test_the_header_may_not_announce_more_than_there_is(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    path.write_bytes(struct.pack("<Q", 10**15) + b"{}")
    with pytest.raises(ValueError, match="truncated"):
        checkpoints.read(path)
