"""Checkpoints: files with all that a training needs to go on. Reading executes nothing.

One safetensors file holds the arrays under their names and one metadata entry, a JSON text with
the format's version, the facts (plain JSON data) and a checksum of both. The checkpoint before
stays beside it, see `previous_of`.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save as to_safetensors

from fastvae.checks import plain
from fastvae.checks.quoting import printable
from fastvae.files import tensors
from fastvae.files.reading import open_file, parse_json
from fastvae.files.storage import (
    CHECKPOINT_ENTRY,
    MODEL_ENTRY,
    check_version,
    explaining,
    to_json,
)
from fastvae.files.writing import write_file

FORMAT_VERSION = 1


@dataclass(frozen=True)
class SavedRun:
    """What a checkpoint holds: arrays by their names, and facts, which are plain JSON data."""

    facts: dict[str, Any]
    arrays: dict[str, NDArray[Any]]


def previous_of(path: str | os.PathLike[str]) -> Path:
    """Where the checkpoint before is kept: run.previous.ckpt beside run.ckpt."""
    path = Path(path)
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def write(path: str | os.PathLike[str], saved: SavedRun, *, is_first: bool = False) -> None:
    """Write a checkpoint; a reader sees the old one or the new one, whole and on the disk.

    Parameters
    ----------
    path : path
        The file.
    saved : SavedRun
        What it is to hold.
    is_first : bool
        Whether the file that is there may be damaged: it does not take the place of a whole one.

    Raises
    ------
    TypeError, ValueError
        If the facts are not plain JSON data.
    OSError
        If the file cannot be written; the old ones stay.
    """
    facts = plain.mapping(saved.facts, "the state of a training")
    arrays = {
        name: np.asarray(array, array.dtype.newbyteorder("="), order="C")
        for name, array in saved.arrays.items()
    }
    entry = {
        "format_version": FORMAT_VERSION,
        "facts": facts,
        "checksum": _checksum(facts, arrays),
    }
    content = to_safetensors(arrays, {CHECKPOINT_ENTRY: to_json(entry)})
    previous = previous_of(path)
    is_kept = not is_first or _is_whole(path) or not _is_whole(previous)
    write_file(path, content, previous=previous if is_kept else None)


def read(path: str | os.PathLike[str]) -> SavedRun:
    """Read a checkpoint.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If the file is damaged or no checkpoint; where the checkpoint before is, if there is one.
    OSError
        If it cannot be read.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no checkpoint {printable(str(path))}")
    previous = previous_of(path)
    kind = "checkpoint"
    if previous.is_file():
        kind += f" (the one before it is {printable(str(previous))})"
    with explaining(path, kind):
        if path.is_dir():
            raise ValueError("it is no file")
        with open_file(path) as file:
            metadata, held = tensors.read_header(file)
            entry = _entry(metadata)
            arrays = {name: tensors.read_tensor(file, tensor) for name, tensor in held.items()}
        facts = plain.mapping(entry["facts"], "facts")
        if entry["checksum"] != _checksum(facts, arrays):
            raise ValueError("it is damaged: what it holds does not have its checksum")
        return SavedRun(facts, arrays)


def _is_whole(path: str | os.PathLike[str]) -> bool:
    try:
        read(path)
    except (OSError, ValueError):
        return False
    return True


def _entry(metadata: Mapping[str, str]) -> dict[str, Any]:
    """What the metadata say, of a version that is known."""
    if MODEL_ENTRY in metadata:
        raise ValueError("it is a model, without what its training needs to go on")
    if CHECKPOINT_ENTRY not in metadata:
        raise ValueError("the safetensors file was not written by fastvae")
    entry: dict[str, Any] = parse_json(metadata[CHECKPOINT_ENTRY])
    check_version(entry, FORMAT_VERSION)
    return entry


def _checksum(facts: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 of the facts and of each array's name, type, shape and bytes."""
    digest = hashlib.sha256(to_json(facts).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(to_json({"array": [name, array.dtype.str, list(array.shape)]}).encode())
        digest.update(array.data if array.size else b"")
    return digest.hexdigest()
