"""What public kernels refuse: whatever they cannot handle, before anything is written."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kernel_checks import Array, DType, call, each_dtype, eps

from bench.kernel_cases import NEVER_EMPTY, case_of
from fastvae import kernels
from fastvae.kernels import reference

SIZES = {"B": 3, "I": 5, "O": 4, "Z": 2, "K": 6, "N": 7, "T": 7, "P": 7}
KERNELS = {name: case_of(name) for name in reference.__all__}
ANY_SHAPE = {"uniform", "normal", "normal_from", "permutation"}  # their only array has any size
ELEMENT_BY_ELEMENT = [
    name for name, case in KERNELS.items() if not name.startswith("dense") and case.read
    and name not in ("gather", "gather_binary", "philox4x32", "kl_divergence", "bernoulli_loss",
                     "gaussian_loss", "importance_ratio", "importance_backward", "mean_kl")
    and not name.startswith("row_likelihood")  # which may, see test_row_likelihoods
]  # fmt: skip
FREE_AXES = {("dense_backward_bias", "dy"): 0, ("importance_weights", "shares"): 1,
             ("importance_weights", "log_var"): 1}  # fmt: skip
each_kernel = pytest.mark.parametrize("name", KERNELS)


def arguments(
    name: str, dtype: DType = np.float32, sizes: dict[str, int] = SIZES
) -> dict[str, Any]:
    """Arguments that the kernel takes; what is not written is read-only."""
    values = KERNELS[name].arguments(sizes, dtype)
    for key in KERNELS[name].read:
        values[key].flags.writeable = False
    return values


def function(name: str) -> Any:
    return getattr(kernels, name)


def refused(name: str, error: type[Exception], argument: str, values: dict[str, Any]) -> None:
    """The kernel raises an error that names the argument, and writes nothing."""
    arrays = [value for value in values.values() if isinstance(value, np.ndarray)]
    before = [array.tobytes() for array in arrays]
    with pytest.raises(error, match=rf"\b{argument}\b"):
        function(name)(**values)
    assert before == [array.tobytes() for array in arrays]


def wrong(array: Array) -> Iterator[tuple[type[Exception], Any]]:
    """What is no array, or has a dtype that no kernel takes."""
    for value in (array.tolist(), None, 1.0, np.ma.array(array), array.data):
        yield TypeError, value
    for other in ("f2", "c8", "O", "i4", "?", "M8[s]"):
        yield TypeError, np.zeros(array.shape, other)
    if array.itemsize > 1:
        yield TypeError, np.zeros(array.shape, array.dtype.newbyteorder())


def misshapen(array: Array, free: int | None) -> Iterator[tuple[type[Exception], Any]]:
    """Shapes that do not go with the other arguments'; the axis `free` may have any size."""
    yield ValueError, array[np.newaxis]
    yield ValueError, array[..., np.newaxis]
    yield ValueError, np.array(array.flat[0])
    for axis in range(array.ndim):
        if axis != free:
            yield ValueError, np.concatenate([array, array], axis)
            yield ValueError, np.ascontiguousarray(np.take(array, [0], axis))
            yield ValueError, np.take(array, np.arange(0), axis)


def scattered(array: Array) -> Iterator[tuple[type[Exception], Any]]:
    """The same numbers at places that compiled code does not look at."""
    yield ValueError, np.repeat(array, 2, axis=-1)[..., ::2]
    yield ValueError, array[::-1]
    yield ValueError, np.broadcast_to(array[:1], array.shape)
    if array.ndim == 2:
        yield ValueError, np.asfortranarray(array)
        yield ValueError, np.concatenate([array, array], axis=1)[:, : array.shape[1]]
    room = np.zeros(array.nbytes + 1, np.uint8)[1:]
    yield ValueError, room.view(array.dtype).reshape(array.shape)


@each_kernel
def test_arrays_that_a_kernel_cannot_handle_are_refused(name: str) -> None:
    case = KERNELS[name]
    for argument in case.operands:
        array = arguments(name)[argument]
        cases = list(wrong(array))
        if argument != "data":  # of any strides
            cases += scattered(array)
        if name not in ANY_SHAPE and argument not in ("data", "index"):
            cases += misshapen(array, FREE_AXES.get((name, argument)))
        if argument in case.written:
            frozen = array.copy()
            frozen.flags.writeable = False
            cases.append((ValueError, frozen))
        for error, value in cases:
            refused(name, error, argument, arguments(name) | {argument: value})


@each_kernel
def test_float_dtypes_do_not_mix(name: str) -> None:
    # Rows are converted; the others have one array, or one beside those of float64.
    alone = "uniform", "normal", "normal_from", "importance_weights"
    if name in ("gather", "gather_binary", *alone):
        return
    for dtype, other in ((np.float32, np.float64), (np.float64, np.float32)):
        values = arguments(name, dtype)
        for argument, value in values.items():
            if isinstance(value, np.ndarray):
                changed = value.astype(np.float64 if value.dtype == np.float32 else other)
                if changed.dtype != value.dtype:
                    with pytest.raises(TypeError, match="float|int|must be"):
                        function(name)(**values | {argument: changed})


class Child(np.ndarray):
    """A subclass without a meaning of its own."""


@each_kernel
def test_subclasses_without_a_mask_are_arrays(name: str, tmp_path: Path) -> None:
    plain = arguments(name)
    result = function(name)(**plain)

    def mapped(array: Array) -> Array:
        memory = np.memmap(tmp_path / f"{array.ctypes.data}", array.dtype, "w+", shape=array.shape)
        memory[...] = array
        return memory

    for convert in (lambda array: array.view(Child), mapped):
        values = {
            key: convert(value) if isinstance(value, np.ndarray) else value
            for key, value in arguments(name).items()
        }
        np.testing.assert_array_equal(function(name)(**values), result)
        for key in KERNELS[name].written:
            np.testing.assert_array_equal(values[key], plain[key])


@each_kernel
@each_dtype
def test_empty_arrays(name: str, dtype: DType) -> None:
    case = KERNELS[name]
    for axis in sorted(set("".join(operand.axes for operand in case.operands.values()))):
        if axis.isdigit() or (name.startswith("gather") and axis == "N"):
            continue
        values = arguments(name, dtype, SIZES | {axis: 0})
        if NEVER_EMPTY.get(name) == axis:  # there is no mean of nothing
            refused(name, ValueError, "shares|z|mean", values)
            continue
        written = [values.pop(key) for key in case.written]
        got = call(kernels, name, written, *values.values())
        wanted = call(reference, name, written, *values.values())
        for one, two in zip(got, wanted, strict=True):
            np.testing.assert_allclose(one, two, rtol=8 * eps(dtype))


@pytest.mark.parametrize("name", [name for name in KERNELS if name.startswith("dense")])
def test_outputs_of_products_overlap_no_input(name: str) -> None:
    """Not even as the same array: a product reads its inputs again after it has begun to write."""
    (output,) = KERNELS[name].written
    square = dict.fromkeys(SIZES, 4)
    for argument in KERNELS[name].read:
        values = arguments(name, np.float32, square)
        memory = np.zeros(64, np.float32)
        for shift in (0, 1, 3):
            one, two = values[output], values[argument]
            values[output] = memory[: one.size].reshape(one.shape)
            values[argument] = memory[shift : shift + two.size].reshape(two.shape)
            refused(name, ValueError, argument, values)


@pytest.mark.parametrize("name", ELEMENT_BY_ELEMENT)
def test_an_output_may_be_an_input_element_by_element(name: str) -> None:
    case = KERNELS[name]
    for output, argument in product(case.written, case.read):
        if case.operands[output].axes != case.operands[argument].axes:
            continue
        apart = arguments(name)
        apart[argument] = np.abs(apart[argument])  # it may be taken for a second moment
        apart[output] = apart[argument].copy()
        function(name)(**apart)
        together = arguments(name)
        together[output] = together[argument] = np.abs(together[argument])
        function(name)(**together)
        for key in case.written:
            np.testing.assert_array_equal(together[key], apart[key])
        values = arguments(name)
        memory = np.zeros(values[output].size + 1, np.float32)
        values[output] = memory[1:].reshape(values[output].shape)
        values[argument] = memory[:-1].reshape(values[argument].shape)
        refused(name, ValueError, argument, values)


@pytest.mark.parametrize("name", [name for name in KERNELS if len(KERNELS[name].written) > 1])
def test_outputs_do_not_overlap(name: str) -> None:
    outputs = KERNELS[name].written
    for i, one in enumerate(outputs):
        for two in outputs[:i]:
            values = arguments(name)
            if values[one].dtype == values[two].dtype:
                values[one] = values[two]
                refused(name, ValueError, two, values)


def test_losses_do_not_overlap_their_inputs() -> None:
    memory = np.zeros(15)
    for name, key in (("bernoulli_loss", "logits"), ("gaussian_loss", "x_hat")):
        values = {"loss": memory[:3], key: memory.reshape(3, 5), "x": np.zeros((3, 5))}
        refused(name, ValueError, "loss", values)


def test_gather_refuses_rows_that_do_not_exist() -> None:
    out, data = np.zeros((2, 3), np.float32), np.ones((4, 3), np.uint8)
    for index in ([0, -1], [0, 4], [-(2**63), 0], [2**63 - 1, 0]):
        values = {"out": out, "data": data, "index": np.array(index)}
        refused("gather", ValueError, "index", values)
    refused(
        "gather", ValueError, "index",
        {"out": out, "data": data[:0], "index": np.zeros(2, np.int64)},
    )  # fmt: skip


def test_gather_refuses_data_that_it_cannot_read() -> None:
    out, index = np.zeros((2, 3), np.float32), np.zeros(2, np.int64)
    for error, data in (
        (ValueError, np.ones(3, np.uint8)),
        (ValueError, np.ones((1, 4, 3), np.uint8)),
        (ValueError, np.ones((4, 2), np.uint8)),
        (ValueError, np.ones((4, 4), np.uint8)),
        (TypeError, np.ones((4, 3), np.int8)),
        (TypeError, np.ones((4, 3), np.dtype(np.float32).newbyteorder())),
        (TypeError, np.ma.ones((4, 3))),
    ):
        refused("gather", error, "data", {"out": out, "data": data, "index": index})
    refused("gather", ValueError, "data", {"out": out, "data": out, "index": index})
    refused("gather", ValueError, "data", {"out": out, "data": out[::-1], "index": index})


NOT_WHOLE = [(TypeError, value) for value in (1.0, True, "1", None, [1], np.float32(1))]
NOT_REAL = [
    *((TypeError, value) for value in ("1", None, True, 1j, [1.0], np.ones(2))),
    (ValueError, 10**400),
]
OF_DECAY = [*NOT_REAL, *((ValueError, value) for value in (-0.1, 1.0, 2, np.nan, np.inf))]
BAD_NUMBERS: dict[str, list[tuple[type[Exception], Any]]] = {
    "activation": [*NOT_WHOLE, (ValueError, -1), (ValueError, len(kernels.ACTIVATIONS))],
    "binarization": [*NOT_WHOLE, (ValueError, -1), (ValueError, len(kernels.BINARIZATIONS))],
    "seed": [*NOT_WHOLE, (ValueError, -1), (ValueError, 2**64)],
    "first": [*NOT_WHOLE, (ValueError, -1), (ValueError, 2**62 + 1)],
    "stream": [*NOT_WHOLE, (ValueError, -1), (ValueError, 2**32)],
    "step": [*NOT_WHOLE, (ValueError, -1), (ValueError, 2**64)],
    "objective": [*NOT_WHOLE, *((ValueError, code) for code in (-1, 0, len(kernels.OBJECTIVES)))],
    "scale": NOT_REAL,
    "weight_a": NOT_REAL,
    "weight_b": NOT_REAL,
    "sigma_min": [*NOT_REAL, *((ValueError, value) for value in (-0.1, np.nan, np.inf))],
    "learning_rate": [*NOT_REAL, *((ValueError, value) for value in (-1e-3, np.nan, np.inf))],
    "momentum": OF_DECAY,
    "decay": OF_DECAY,
    "beta1": OF_DECAY,
    "beta2": OF_DECAY,
    "eps": [
        *NOT_REAL,
        *((ValueError, value) for value in (0, -1e-8, 1e-39, 1.1754942e-38, np.nan, np.inf)),
    ],
}


@each_kernel
def test_numbers_that_make_no_sense_are_refused(name: str) -> None:
    numbers = KERNELS[name].numbers
    assert set(numbers) <= set(BAD_NUMBERS)
    for argument in numbers:
        for error, value in BAD_NUMBERS[argument]:
            refused(name, error, argument, arguments(name) | {argument: value})
    if name == "adam_update":
        refused(name, ValueError, "step", arguments(name) | {"step": 0})


@pytest.mark.parametrize("name", ["rmsprop_update", "adam_update"])
def test_the_least_eps_is_the_smallest_normal_number_of_the_dtype(name: str) -> None:
    """A smaller one may count as 0, and 0 / 0 makes a parameter NaN whose gradient is 0."""
    for dtype in (np.float32, np.float64):
        tiny = float(np.finfo(dtype).tiny)
        values = arguments(name, dtype) | {"eps": tiny}
        for key in ("square", "moment1", "moment2", "grad"):
            if key in values:
                values[key] = np.zeros_like(values[key])
        before = values["param"].copy()
        function(name)(**values)
        np.testing.assert_array_equal(values["param"], before)
        refused(name, ValueError, "eps", values | {"eps": np.nextafter(tiny, 0)})
        with pytest.raises(ValueError, match="eps") as caught:
            function(name)(**values | {"eps": 0.0})
        shown = str(caught.value).partition("[")[2].partition(",")[0]
        function(name)(**values | {"eps": float(shown)})


def test_numbers_of_other_types_are_taken() -> None:
    wanted = arguments("gaussian_loss_backward")
    kernels.gaussian_loss_backward(**wanted)
    for scale in (np.float32(0.5), np.float64(0.5), np.float16(0.5)):
        values = arguments("gaussian_loss_backward") | {"scale": scale}
        kernels.gaussian_loss_backward(**values)
        np.testing.assert_array_equal(values["dx_hat"], wanted["dx_hat"])
    wanted = arguments("activation_forward")
    kernels.activation_forward(**wanted)
    for code in (np.int8(1), np.uint64(1)):
        values = arguments("activation_forward") | {"activation": code}
        kernels.activation_forward(**values)
        np.testing.assert_array_equal(values["out"], wanted["out"])
