"""The registry of kernels is complete, and each of its cases agrees with the reference."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from kernel_checks import DType, call, each_dtype, eps

from bench.kernel_cases import CASES, SEED_SIZES, Case
from bench.test_kernels import CASES_AND_BATCHES
from fastvae import kernels
from fastvae.kernels import reference

SIZES = {"B": 7, "I": 37, "O": 19, "Z": 5, "K": 3, "N": 11, "T": 41, "P": 131}
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.operation)


def test_every_kernel_has_a_case() -> None:
    assert {case.name for case in CASES} == set(reference.__all__)
    operations = [case.operation for case in CASES]
    assert len(operations) == len(set(operations))


@each_case
def test_a_case_names_all_parameters_in_their_order(case: Case) -> None:
    assert list(case.parameters) == list(inspect.signature(getattr(kernels, case.name)).parameters)


@each_case
@each_dtype
def test_a_case_agrees_with_the_reference(case: Case, dtype: DType) -> None:
    """To the few roundings of each term; the tests of each kernel say how many exactly."""
    values = case.arguments(SIZES, dtype)
    if not case.written:
        words = [getattr(module, case.name)(**values) for module in (kernels, reference)]
        np.testing.assert_array_equal(*words)
        return
    outputs = [values.pop(key) for key in case.written]
    got = call(kernels, case.name, outputs, *values.values())
    wanted = call(reference, case.name, outputs, *values.values())
    n_terms = max(SIZES.values())
    for actual, exact in zip(got, wanted, strict=True):
        assert np.isfinite(actual).all()
        tolerance = 4 * n_terms * eps(dtype)
        np.testing.assert_allclose(actual, exact, rtol=tolerance, atol=tolerance)


def test_every_case_is_benchmarked() -> None:
    assert {case.operation for case, _ in CASES_AND_BATCHES} == {case.operation for case in CASES}
    for case, batch_size in CASES_AND_BATCHES:
        assert (batch_size > 0) == case.has_batch
        assert set(case.product) <= {*SEED_SIZES, "B"}


def test_a_product_s_work_is_two_operations_a_multiply_add() -> None:
    work = {case.name: case.flops(SIZES) for case in CASES if case.product}
    assert set(work.values()) == {2 * SIZES["B"] * SIZES["I"] * SIZES["O"]}
    assert set(work) == {"dense_forward", "dense_backward_input", "dense_backward_weight"}
