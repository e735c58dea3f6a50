"""Labels: whole numbers of classes, whatever holds them, and what is said of all else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastvae.checks.labels import class_labels, class_names, class_number


def checked(given: Any, n_rows: int = 3) -> Any:
    return class_labels(given, "labels", n_rows, 4)


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "i8", ">i4", "u1", "u2", "u8"])
def test_integers_of_every_type(dtype: str) -> None:
    found = checked(np.array([0, 3, 1], dtype))
    assert found.dtype == np.int64
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, [0, 3, 1])


def test_what_holds_integers() -> None:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    holders = [
        [0, 3, 1], (0, 3, 1), np.array([9, 0, 9, 3, 9, 1])[1::2], pandas.Series([0, 3, 1]),
        pandas.Series([0, 3, 1], dtype="Int64"), polars.Series([0, 3, 1]),
        [np.int8(0), 3, np.uint16(1)], range(3),
    ]  # fmt: skip
    for given in holders[:-1]:
        np.testing.assert_array_equal(checked(given), [0, 3, 1])
    np.testing.assert_array_equal(checked(holders[-1]), [0, 1, 2])


def test_tensors() -> None:
    torch = pytest.importorskip("torch")
    np.testing.assert_array_equal(checked(torch.tensor([0, 3, 1])), [0, 3, 1])


def test_a_number_for_one_row() -> None:
    np.testing.assert_array_equal(checked(2, 1), [2])
    np.testing.assert_array_equal(checked(np.int8(2), 1), [2])
    with pytest.raises(ValueError, match=r"labels must have shape \(3,\)"):
        checked(2)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([0.0, 3.0, 1.0], TypeError, r"integers from 0 to 3; got dtype float64 \(labels.astype"),
        ([0, 0.5, 1], TypeError, "integers from 0 to 3; got 0.5 in position 1"),
        ([0, np.nan, 1], TypeError, "got nan in position 1"),
        ([0, np.inf, 1], TypeError, "got inf in position 1"),
        ([True, False, True], TypeError, "got dtype bool, as of np.True_"),
        (["0", "1", "2"], TypeError, "holds '0'"),
        ([0, None, 1], TypeError, "holds None"),
        ([0, 1], ValueError, r"must have shape \(3,\), one for each row; got \(2,\)"),
        ([], ValueError, r"got \(0,\)"),
        (2, ValueError, r"got \(\)"),
        (np.zeros((3, 1), int), ValueError, r"got \(3, 1\)"),
        (np.eye(4, dtype=int)[:3], ValueError, r"of one-hot rows, give labels.argmax\(axis=1\)"),
        ([0, 4, 1], ValueError, "from 0 to 3, of 4 classes; got 4 in position 1"),
        ([0, 1, -1], ValueError, "got -1 in position 2"),
        (np.array([0, 2**63, 1], np.uint64), ValueError, "got 9223372036854775808 in position 1"),
        (np.ma.masked_equal([0, 1, 2], 1), ValueError, "no masked values"),
        ({"a": 1}, ValueError, r"got \(\)"),
        (np.array(["2020-01-01"] * 3, "M8[D]"), TypeError, "labels"),
        ([1j, 0, 0], TypeError, "labels"),
    ],
)
def test_what_are_no_labels(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        checked(given)


def test_a_row_s_name_is_told() -> None:
    pandas = pytest.importorskip("pandas")
    with pytest.raises(ValueError, match="got 7 in position 1 "):
        checked(pandas.Series([0, 7, 1], index=["a", "b", "c"]))
    with pytest.raises(ValueError, match="missing"):
        checked(pandas.Series([0, None, 1], dtype="Int64"))


def test_names_of_classes() -> None:
    assert class_names(None, 3) is None
    assert class_names(("a", "b", "c"), 3) == ["a", "b", "c"]
    for given, error, message in [
        ("abc", TypeError, "must be a list of 3 texts"), (5, TypeError, "must be a list"),
        (["a", 1, "c"], TypeError, "must be texts"), (["a", "", "c"], TypeError, "one character"),
        (["a", "b"], ValueError, "as many as the classes, 3; got 2"),
        (["a", "b", "a"], ValueError, "'a' is there twice"),
    ]:  # fmt: skip
        with pytest.raises(error, match=message):
            class_names(given, 3)


def test_the_number_of_a_class() -> None:
    names = ["zero", "one", "two"]
    assert class_number("one", 3, names, "label") == 1
    assert class_number(np.uint8(2), 3, names, "label") == 2
    for given, known, error, message in [
        ("one", None, ValueError, "label must be a number from 0 to 2, as this model's classes"),
        ("on", names, ValueError, r"one of the classes 'zero', .*did you mean 'one'"),
        (3, names, ValueError, "label must be from 0 to 2, of 3 classes; got 3"),
        (-1, names, ValueError, "got -1"), (True, names, TypeError, "or a class's name; got True"),
        (1.0, None, TypeError, "an integer from 0 to 2; got 1.0"), (None, None, TypeError, "None"),
    ]:  # fmt: skip
        with pytest.raises(error, match=message):
            class_number(given, 3, known, "label")
