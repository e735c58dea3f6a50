"""The engine's own memory between walls: each matrix of a workspace, each arena, list and table.

As a plugin, `python -m pytest -p engine_walls`, it holds for all tests of that run.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from walls import NOTHING, PAGE, Array, protect, walled, walled_bytes, walled_copy

from fastvae.kernels.engine import blocks_of, layout, new_lists, new_sums, steps, workspace
from fastvae.kernels.engine.records import MATRIX, Memory
from fastvae.kernels.machine.isa import CACHE_LINE

_run_program = steps.run_program
_placed = threading.local()


def _round_up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple


def place_matrices(
    strides: Sequence[int], sizes: Sequence[int], itemsize: int
) -> tuple[Array, int]:
    """As that of `layout`, with a wall after the pad of each matrix."""
    places = np.empty(len(strides), MATRIX)
    line, page = CACHE_LINE // itemsize, PAGE // itemsize
    end, walls = 0, []
    for i, (stride, size) in enumerate(zip(strides, sizes, strict=True)):
        room = _round_up(size + line, line)
        end = _round_up(end + room, page)
        places[i] = end - room, stride
        walls.append(end * itemsize)
        end += page
    _placed.walls = walls
    return places, end


def aligned_zeros(size: int, dtype: npt.DTypeLike) -> Array:
    """As that of `layout`, for the matrices that were just placed, or for an arena."""
    walls = vars(_placed).pop("walls", None)
    if walls is None:
        array = walled((size,), dtype)
        array[...] = 0
        assert array.ctypes.data % CACHE_LINE == 0
        return array
    memory = walled_bytes(walls[-1] + PAGE)
    for wall in walls:
        protect(memory[wall : wall + PAGE], NOTHING)
    return memory.view(dtype)


def run_program(address: int, program: Array, numbers: Array, memory: Memory) -> None:
    """As that of `steps`, on copies that end at walls of what does not already."""
    copies: dict[int, tuple[Array, Array]] = {}

    def moved(array: Array) -> Array:
        root: Any = array
        while isinstance(root, np.ndarray):
            root = root.base
        if root is not None:  # mapped, not allocated by NumPy
            return array
        return copies.setdefault(id(array), (array, walled_copy(array)))[1]

    _run_program(address, moved(program), moved(numbers), Memory(*map(moved, memory)))
    for array, copy in copies.values():
        if array.flags.writeable:
            array[...] = copy


def _at_wall(make: Callable[..., Array]) -> Callable[..., Array]:
    """A function whose arrays, which regions hold by their addresses, end at walls."""
    return lambda *arguments: walled_copy(make(*arguments))


def _touch_nothing(values: Array) -> None:
    """There are walls between matrices."""


def install() -> None:
    """Put walls around what is allocated from now on, in this process."""
    changed: dict[Any, Any] = {
        layout.place_matrices: place_matrices,
        layout.aligned_zeros: aligned_zeros,
        steps.run_program: run_program,
        workspace._touch: _touch_nothing,
    }
    changed |= {make: _at_wall(make) for make in (blocks_of, new_lists, new_sums)}
    for name, module in list(sys.modules.items()):
        if name.startswith("fastvae"):
            for attribute, value in list(vars(module).items()):
                if callable(value) and value.__hash__ is not None and value in changed:
                    setattr(module, attribute, changed[value])


def pytest_configure() -> None:
    """Be a plugin."""
    install()
