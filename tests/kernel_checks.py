"""What the kernel tests share: calling a kernel the hard way, and comparing what it wrote.

`call` runs a kernel on read-only inputs and poisoned outputs, once for each number of threads, and
insists on equal bits. `expected` is the NumPy reference in float64. Tolerances are counted in units
of `eps`, the spacing of the dtype at 1, which is twice the largest relative error of one rounding:
the factor 2 leaves room for second-order terms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pytest

from bench.kernel_cases import case_of
from fastvae import kernels
from fastvae.kernels import reference
from fastvae.kernels.machine.compilation import FLAGS

Array = npt.NDArray[Any]
DType = type[np.floating[Any]]

SMALLER = {"avx512": ["avx2", "generic"], "avx2": ["generic"], "neon": ["generic"], "generic": []}
"""The instruction sets that a processor runs besides its own."""
THREADS = sorted({1, min(2, numba.config.NUMBA_NUM_THREADS)})
DTYPES = [np.float32, np.float64]

compiled = numba.njit(**FLAGS)  # for functions of the tests themselves; nothing is cached

each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
each_implementation = pytest.mark.parametrize(
    "module", [kernels, reference], ids=["kernels", "reference"]
)


def generator(*key: int) -> np.random.Generator:
    """Random numbers that depend on nothing but ``key``."""
    return np.random.default_rng(list(key))


def eps(dtype: npt.DTypeLike) -> float:
    """Spacing of ``dtype`` at 1."""
    return float(np.finfo(dtype).eps)


def nans(dtype: npt.DTypeLike) -> Array:
    """NaN of both signs: NumPy's own, and others with the payloads of each single bit and more.

    Those without the highest bit of the fraction are signalling.
    """
    kind = np.dtype(dtype)
    n_bits, word = np.finfo(kind).nmant, np.dtype(f"u{kind.itemsize}").type
    fraction = [1 << bit for bit in range(n_bits)] + [(1 << n_bits) - 1, (1 << n_bits - 1) | 1]
    exponent = int(np.array(np.inf, kind).view(word))
    bits = [exponent | payload for payload in fraction]
    sign = 1 << (8 * kind.itemsize - 1)
    return np.array(bits + [sign | value for value in bits], word).view(kind)


def call(module: ModuleType, name: str, outputs: Sequence[Array], *inputs: Any) -> list[Array]:
    """Return what the kernel makes of copies of ``outputs``; its inputs are read-only.

    Kernels run with one and with two threads, and must write the same bits. All that is written
    comes first, whatever the order of the kernel's arguments.
    """
    function = getattr(module, name)
    frozen = [_read_only(value) for value in inputs]
    before = [value.tobytes() for value in frozen if isinstance(value, np.ndarray)]
    restore = kernels.get_num_threads()
    results = []
    try:
        for n_threads in THREADS if module is kernels else [1]:
            kernels.set_num_threads(n_threads)
            written = [output.copy() for output in outputs]
            assert function(*_arranged(name, written, frozen)) is None
            results.append(written)
    finally:
        kernels.set_num_threads(restore)
    after = [value.tobytes() for value in frozen if isinstance(value, np.ndarray)]
    assert before == after, f"{name} changed an input"
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            assert one.tobytes() == two.tobytes(), f"{name} depends on the number of threads"
    return results[0]


def expected(name: str, outputs: Sequence[Array], *inputs: Any) -> list[Array]:
    """Return what the reference makes of copies of ``outputs``, all in float64."""
    written = [_wide(output) for output in outputs]
    getattr(reference, name)(*_arranged(name, written, [_wide(value) for value in inputs]))
    return written


def assert_within(actual: Array, wanted: Array, bound: Array | float) -> None:
    """Assert ``|actual - wanted| <= bound``; ``wanted`` may be off by its own float64 rounding.

    A float64 result is compared with another float64 result, so there both may be off by ``bound``.
    """
    error = np.abs(actual.astype(np.float64) - wanted)
    allowed = np.broadcast_to(2.0 * bound if actual.dtype == np.float64 else bound, error.shape)
    wrong = ~(error <= allowed)
    if wrong.any():
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise AssertionError(
            f"{int(wrong.sum())} of {error.size} elements are off; the first at {where}: got "
            f"{actual[where]!r}, expected {wanted[where]!r} within {allowed[where]:.3g}"
        )


def assert_vjp(
    function: Callable[..., Array],
    inputs: Sequence[Array],
    gradients: Sequence[Array],
    cotangent: Array,
    seed: int,
) -> None:
    """Check a vector-Jacobian product against central differences along a random direction.

    With step h = 1e-5 the truncation error is about h^2 = 1e-10 and the rounding error about
    1e-16 / h = 1e-11, relative to terms of order 1; 1e-8 leaves room for their sizes.
    """
    rng, h = generator(seed), 1e-5
    directions = [rng.standard_normal(value.shape) for value in inputs]
    ahead = function(*(x + h * v for x, v in zip(inputs, directions, strict=True)))
    behind = function(*(x - h * v for x, v in zip(inputs, directions, strict=True)))
    numeric = float(np.sum(cotangent * (ahead - behind)) / (2 * h))
    products = [g * v for g, v in zip(gradients, directions, strict=True)]
    analytic = float(sum(np.sum(product) for product in products))
    size = float(sum(np.sum(np.abs(product)) for product in products))
    assert size > 0
    assert abs(analytic - numeric) <= 1e-8 * size, f"analytic {analytic}, numeric {numeric}"


def _arranged(name: str, outputs: Sequence[Array], inputs: Sequence[Any]) -> list[Any]:
    case = case_of(name)
    assert len(outputs) == len(case.written)
    assert len(outputs) + len(inputs) == len(case.parameters)
    written, rest = iter(outputs), iter(inputs)
    return [next(written if key in case.written else rest) for key in case.parameters]


def _read_only(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    view = value.view()
    view.flags.writeable = False
    return view


def _wide(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.dtype == np.float32:
        return value.astype(np.float64)
    return value.copy() if isinstance(value, np.ndarray) else value
