"""Device functions are built into kernels: compiled once, and no machine code of their own."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from numba import types

from fastvae.kernels.machine import inlined
from fastvae.kernels.machine.compilation import device_function, kernel


class Compiled(NamedTuple):
    """Two device functions, one in the other, and a kernel that is built of them."""

    weighted: Any
    twice: Any
    kernel: Any


@pytest.fixture(scope="module")
def compiled():
    """Functions with cells, whose machine code is on no disk: all are compiled here."""

    @device_function
    def weighted(numbers, weights, resume):
        first, second = weights
        return (numbers if resume else 0) + first + 10 * second

    @device_function
    def twice(number, weights, resume):
        return 2 * weighted(number, weights, resume)

    @kernel
    def called_with_constants(out):
        for i in range(out.size):
            first, second = twice(i, (1, i), True), weighted(i, (2, 3), False)
            out[i] = first + second + weighted(7, (i, i), i > 1)

    return Compiled(weighted, twice, called_with_constants)


@pytest.fixture(scope="module")
def results(compiled):
    out = np.zeros(4, np.int64)
    compiled.kernel(out)
    return out


def _plainly(number, weights, resume):
    return (number if resume else 0) + weights[0] + 10 * weights[1]


def test_constants_are_seen_where_they_stand(results):
    expected = [
        2 * _plainly(i, (1, i), True) + _plainly(i, (2, 3), False) + _plainly(7, (i, i), i > 1)
        for i in range(4)
    ]
    np.testing.assert_array_equal(results, expected)


@pytest.mark.usefixtures("results")
def test_a_device_function_is_compiled_once_whatever_is_constant(compiled):
    pair = types.UniTuple(types.int64, 2)
    assert list(compiled.weighted.overloads) == [(types.int64, pair, types.boolean)]
    assert list(compiled.twice.overloads) == [(types.int64, pair, types.boolean)]


@pytest.mark.usefixtures("results")
def test_a_device_function_has_no_machine_code(compiled):
    (inner,) = compiled.twice.overloads.values()
    (called,) = compiled.kernel.overloads.values()
    engine = inner.library._codegen._engine
    assert engine.is_symbol_defined(called.fndesc.llvm_func_name)
    assert not engine.is_symbol_defined(inner.fndesc.llvm_func_name)
    assert inner.library.get_pointer_to_function(inner.fndesc.llvm_func_name) == 0


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        (types.literal(3), types.int64),
        (types.literal(True), types.boolean),
        (types.float32, types.float32),
        (types.Tuple([types.literal(3), types.int64]), types.UniTuple(types.int64, 2)),
        (
            types.Tuple([types.literal(3), types.float64]),
            types.Tuple([types.int64, types.float64]),
        ),
    ],
)
def test_a_constant_has_the_type_of_its_value(given, plain):
    assert inlined._plain(given) == plain
