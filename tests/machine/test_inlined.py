"""Device functions are built into kernels: compiled once, and no machine code of their own."""

from __future__ import annotations

import numpy as np
import pytest
from numba import types

from fastvae.kernels.machine import inlined
from fastvae.kernels.machine.compilation import device_function, kernel


@device_function
def _weighted(numbers, weights, resume):
    """numbers + first weight + 10 second weight, or nothing before with `resume` False."""
    first, second = weights
    return (numbers if resume else 0) + first + 10 * second


@device_function
def _twice(number, weights, resume):
    return 2 * _weighted(number, weights, resume)


@kernel
def _called_with_constants(out):
    for i in range(out.size):
        out[i] = _twice(i, (1, i), True) + _weighted(i, (2, 3), False) + _weighted(7, (i, i), i > 1)


@pytest.fixture(scope="module")
def results():
    out = np.zeros(4, np.int64)
    _called_with_constants(out)
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
def test_a_device_function_is_compiled_once_whatever_is_constant():
    pair = types.UniTuple(types.int64, 2)
    assert list(_weighted.overloads) == [(types.int64, pair, types.boolean)]
    assert list(_twice.overloads) == [(types.int64, pair, types.boolean)]


@pytest.mark.usefixtures("results")
def test_a_device_function_has_no_machine_code():
    (compiled,) = _twice.overloads.values()
    engine = compiled.library._codegen._engine
    (called,) = _called_with_constants.overloads.values()
    assert engine.is_symbol_defined(called.fndesc.llvm_func_name)
    assert not engine.is_symbol_defined(compiled.fndesc.llvm_func_name)
    assert compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name) == 0


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
