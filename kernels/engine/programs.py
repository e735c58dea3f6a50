"""Programs: arrays of regions, from which `passes` builds what a network does with a batch."""

from collections.abc import Sequence

import numpy as np

from .records import REGION


def new_region(kind: int, layer: np.void | None = None, **fields: object) -> np.ndarray:
    """Return a program of one region, of a layer's record if it has one; the rest is 0.

    Fields that are matrices take a record of `MATRIX`.
    """
    region = np.zeros(1, REGION)
    region["kind"], region["repeat"], region["parts"] = kind, 1, 1
    if layer is not None:
        for name in ("n_in", "n_out", "activation", "weight", "bias"):
            region[name] = layer[name]
    for name, value in fields.items():
        region[name] = value
    return region


def new_program(regions: Sequence[np.ndarray]) -> np.ndarray:
    """Return regions, or programs, as one program (`np.concatenate` looks at every field)."""
    ends = np.cumsum([len(region) for region in regions])
    program = np.empty(ends[-1], REGION)
    for region, end in zip(regions, ends, strict=True):
        program[end - len(region) : end] = region
    return program


def from_row(place: np.ndarray, row: int) -> np.ndarray:
    """A matrix from one of its rows on."""
    place = place.copy()
    place["offset"] += row * place["stride"]
    return place


def from_column(place: np.ndarray, column: int) -> np.ndarray:
    """A matrix from one of its columns on."""
    place = place.copy()
    place["offset"] += column
    return place


def to_out(program: np.ndarray) -> np.ndarray:
    """The same program, whose last region writes to the caller's array."""
    program = program.copy()
    program["to_out"][-1] = 1
    program["target"]["stride"][-1] = program["n_out"][-1]
    return program
