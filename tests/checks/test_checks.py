"""Validation: what is accepted, what is not, and what the error says."""

from __future__ import annotations

import numpy as np
import pytest

from fastvae import checks
from fastvae.checks import arrays, lazy

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)


def rows(values, **kwargs):
    return checks.rows(values, "X", 4, F32, **({"unit_interval": True} | kwargs))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("change", ["none", "strided", "reversed", "read-only"])
def test_rows_that_the_gather_reads_are_not_copied(dtype, change):
    base = np.ones((6, 8), dtype)
    X = {
        "none": base[:, :4],
        "strided": base[::2, ::2],
        "reversed": base[::-1, 3::-1],
        "read-only": base[:, :4],
    }[change]
    X.flags.writeable = change != "read-only"
    assert np.shares_memory(rows(X), X)
    assert rows(X).dtype == dtype


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_rows_that_lie_column_by_column_are_copied(dtype):
    """Reading such a row takes up to a thousand times as long."""
    X = np.asfortranarray(np.arange(24).reshape(6, 4) % 2, dtype)
    for given in (X, X[::-1], X[:, ::-1]):
        checked = rows(given)
        assert checked.flags.c_contiguous
        assert checked.dtype == dtype
        np.testing.assert_array_equal(checked, given)
    single = X[:1]  # in which nothing is far apart that could be nearer
    assert np.shares_memory(rows(single), single)


def test_rows_of_a_memory_map_stay_on_disk(tmp_path):
    mapped = np.memmap(tmp_path / "rows", np.float32, "w+", shape=(5, 4))
    checked = rows(mapped)
    assert type(checked) is np.ndarray
    assert np.shares_memory(checked, mapped)


@pytest.mark.parametrize(
    "values",
    [
        np.array([[0, 1, 1, 0]]),
        np.array([[False, True, True, False]]),
        np.array([[0, 1, 1, 0]], np.float16),
        np.array([[0, 1, 1, 0]], ">f4"),
        [[0, 1, 1, 0]],
        [0.0, 1.0, 1.0, 0.0],
    ],
    ids=["int64", "bool", "float16", "big-endian", "list", "one row"],
)
def test_other_real_rows_are_converted(values):
    checked = rows(values)
    assert checked.dtype in (F32, F64)
    assert checked.dtype.isnative
    np.testing.assert_array_equal(checked, [[0, 1, 1, 0]])


def test_unaligned_rows_are_converted():
    record = np.zeros(3, np.dtype([("tag", np.uint8), ("row", np.float32, 4)]))
    record["row"] = 0.5
    assert not record["row"].flags.aligned
    checked = rows(record["row"])
    assert checked.flags.aligned
    np.testing.assert_array_equal(checked, np.full((3, 4), 0.5))


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (np.zeros((5, 3)), ValueError, r"X must have 4 columns; got shape \(5, 3\)"),
        (np.zeros((5, 2, 2)), ValueError, r"got shape \(5, 2, 2\) \(use X.reshape\(5, 4\)\)"),
        (np.zeros((0, 4)), ValueError, r"at least one row; got shape \(0, 4\)"),
        (np.zeros(0), ValueError, r"X must have 4 columns; got shape \(0,\)"),
        (3.0, ValueError, r"X must have 4 columns; got shape \(\)"),
        ([[0, 1, np.nan, 0]], ValueError, "X must be finite; 1 value is .* in row 0, column 2 "),
        ([[0, 1, np.inf, 0]], ValueError, "X must be finite; 1 value is .* in row 0, column 2 "),
        (
            [[0, 9, 0, 0], [0, np.nan, -np.inf, 0]],
            ValueError,
            "2 values are .* in row 1, column 1 ",
        ),
        (
            [[0, 1, -0.5, 0]],
            ValueError,
            r"\[0, 1\] for the Bernoulli .* from -0.5 to 1, .* column 2",
        ),
        ([[0, 1, 1.5, 0]], ValueError, r"from 0 to 1.5, .*: divide by the maximum \(X / 1.5\)"),
        (
            np.full((2, 4), 255),
            ValueError,
            r"from 255 to 255, .* divide by the maximum \(X / 255\)",
        ),
        (
            np.full((2, 4), 16.0),
            ValueError,
            r"MinMaxScaler\(clip=True\).* likelihood=\"gaussian\"$",
        ),
        (np.full((2, 4), None), TypeError, "real numbers .* got dtype object: row 0, column 0 "),
        (np.zeros((2, 4), complex), TypeError, "real numbers .* got dtype complex128"),
        (np.full((2, 4), "a"), TypeError, "real numbers .* got dtype <U1"),
        ([[0, 1], [1]], ValueError, "X must be an array of numbers"),
        (None, TypeError, "real numbers .* got NoneType"),
    ],
)
def test_bad_rows(values, error, message):
    with pytest.raises(error, match=message):
        rows(values)


def test_a_bad_value_is_found_in_every_chunk(monkeypatch):
    monkeypatch.setattr(arrays, "_CHUNK_ELEMENTS", 8)
    for position in range(7):
        X = np.zeros((7, 4), np.float32)
        X[position, 3] = np.nan
        with pytest.raises(ValueError, match="finite"):
            rows(X)


def test_the_range_is_that_of_all_rows(monkeypatch):
    monkeypatch.setattr(arrays, "_CHUNK_ELEMENTS", 8)
    X = np.zeros((7, 4))
    X[3, 1], X[5, 2], X[6, 0] = 3, -2, 16
    with pytest.raises(ValueError, match=r"from -2 to 16, the first outside in row 3, column 1 "):
        rows(X)
    with pytest.raises(ValueError, match=r"from 0 to 16, [^8]*$"):  # uint8 is no remedy
        rows(np.abs(X))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_what_rounding_puts_outside_the_interval_is_clipped(dtype, monkeypatch):
    monkeypatch.setattr(arrays, "_CHUNK_ELEMENTS", 8)
    eps = np.finfo(dtype).eps
    X = np.full((5, 4), 0.5, dtype)
    X[3, 2], X[4, 0], X[1, 1] = 1 + 4 * eps, -4 * eps, 1 + eps
    before = X.copy()
    checked = rows(X)
    assert checked[3, 2] == checked[1, 1] == 1
    assert checked[4, 0] == 0
    assert np.count_nonzero(checked != 0.5) == 3
    np.testing.assert_array_equal(X, before)
    for value in (1 + 6 * eps, -5 * eps):
        X[2, 2] = value
        with pytest.raises(ValueError, match="the first outside in row"):
            rows(X)


def test_what_float64_rounds_outside_is_clipped_in_a_longdouble_too():
    eps = np.finfo(np.float64).eps
    X = np.array([[0, 1 + eps, -eps, 0.5]], np.longdouble)
    np.testing.assert_array_equal(rows(X), [[0, 1, 0, 0.5]])


def test_a_value_just_outside_is_shown_in_full():
    with pytest.raises(ValueError, match="from 0 to 1.0000012, the first outside"):
        rows(np.array([[0, 1, 1.0000012, 0]], np.float32))


def test_gaussian_rows_may_be_any_finite_number():
    np.testing.assert_array_equal(rows([[-5, 300, 2, 0]], unit_interval=False), [[-5, 300, 2, 0]])
    with pytest.raises(ValueError, match="must fit float32; .* too large in row 0, column 0 "):
        rows(np.full((1, 4), 1e300), unit_interval=False)


def test_layer_input_lets_nan_through_and_reads_uint8_as_pixels():
    given = np.array([[np.nan, np.inf, 1, 2]])
    np.testing.assert_array_equal(checks.layer_input(given, "x", 4, F64), given)
    pixels = checks.layer_input(np.array([0, 51, 102, 255], np.uint8), "x", 4, F64)
    np.testing.assert_array_equal(pixels, [[0, 51 / 255, 102 / 255, 1]])
    with pytest.raises(ValueError, match=r"x must have shape \(4,\) or \(n, 4\); got \(3,\)"):
        checks.layer_input(np.zeros(3), "x", 4, F64)


@pytest.mark.parametrize("value", [0, -1, 2**70])
def test_integer_out_of_bounds(value):
    with pytest.raises(ValueError, match=f"n must be an integer between 1 and 9; got {value}"):
        checks.integer(value, "n", maximum=9)


@pytest.mark.parametrize("value", [1.0, "1", None, True, [1]])
def test_integer_of_another_type(value):
    with pytest.raises(TypeError, match="n must be an integer of at least 1; got"):
        checks.integer(value, "n")


def test_integer_takes_numpy_integers():
    assert type(checks.integer(np.int32(3), "n")) is int
    assert checks.seed(np.uint64(2**64 - 1)) == 2**64 - 1
    with pytest.raises(ValueError, match="seed"):
        checks.seed(2**64)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 1.0])
def test_number_out_of_bounds(value):
    with pytest.raises(ValueError, match="p must be a finite number of at least 0 and below 1"):
        checks.number(value, "p", below=1.0)


@pytest.mark.parametrize("value", ["1", None, True, 1j, [1.0, 2.0]])
def test_number_of_another_type(value):
    with pytest.raises(TypeError, match="p must be a finite number"):
        checks.number(value, "p")


def test_unknown_name_lists_the_known_and_suggests():
    known = "likelihood must be one of 'bernoulli', 'gaussian'; got "
    with pytest.raises(ValueError, match=known + "'gausian'.*did you mean 'gaussian'"):
        checks.choice("gausian", ["bernoulli", "gaussian"], "likelihood")
    with pytest.raises(ValueError, match=known + "3"):
        checks.choice(3, ["bernoulli", "gaussian"], "likelihood")


@pytest.mark.parametrize("value", [np.float16, int, "nonsense", object])
def test_dtype_must_be_a_working_type(value):
    with pytest.raises(ValueError, match="dtype must be float32 or float64"):
        checks.dtype(value)


def test_sizes_are_whole_numbers_that_arrays_can_have():
    assert checks.size(np.int64(2**31 - 1), "n_in") == 2**31 - 1
    for value, message in (
        (0, "n_in must be an integer of at least 1; got 0"),
        (2**31, "n_in must be an integer between 1 and 2147483647; got 2147483648"),
        (10**9999, "between 1 and 2147483647; got an integer of 33,216 bits"),
    ):
        with pytest.raises(ValueError, match=message):
            checks.size(value, "n_in")


class OfAnotherLibrary:
    def __repr__(self) -> str:
        return "torch.float32"


def test_the_name_of_a_dtype_of_another_library_is_asked_for():
    for value, meant in ((OfAnotherLibrary(), "float32"), ("torch.float64", "float64")):
        with pytest.raises(ValueError, match=rf"got .*{meant}'? \(did you mean '{meant}'\?\)"):
            checks.dtype(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("clipped", [False, True])
@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int32, np.longdouble])
def test_many_rows_are_converted_in_blocks(dtype, clipped, monkeypatch):
    given = (np.random.default_rng(0).random((23, 5)) * 2).astype(dtype)
    rows = lazy.LazyRows(given, np.dtype(np.float32), (np.dtype(np.float64),), clipped)
    expected = rows[:]
    monkeypatch.setattr(lazy, "_BLOCK_ELEMENTS", 40)
    for found in (rows[:], rows[np.arange(23)]):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
