"""What the estimators take: arrays of any numbers and tables, and errors that name a column."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn")

from fastvae.sklearn import VAEOutlierDetector, VAETransformer

pd = pytest.importorskip("pandas")


def transformer(**settings):
    return VAETransformer(**{"epochs": 2, "n_components": 2, "random_state": 0, **settings})


@pytest.fixture
def table():
    values = np.random.RandomState(0).standard_normal((30, 3))
    return pd.DataFrame(values, columns=["age", "height", "weight"])


@pytest.mark.parametrize("dtype", ["f4", "f2", "i8", "i2", "u1", "?"])
def test_other_numbers_are_what_they_are_as_floats(dtype):
    X = (np.random.RandomState(0).standard_normal((50, 3)) * 2).clip(0, 200).astype(dtype)
    working = X.dtype if dtype == "f4" else np.float64
    found = transformer().fit_transform(X)
    assert found.dtype == working
    assert np.array_equal(found, transformer().fit_transform(X.astype(working)))


def test_how_arrays_lie_in_memory_does_not_show():
    X = np.random.RandomState(0).standard_normal((50, 3))
    expected = transformer().fit_transform(X)
    fixed = X.copy()
    fixed.flags.writeable = False
    for given in (np.asfortranarray(X), fixed, np.repeat(X, 2, axis=1)[:, ::2]):
        assert np.array_equal(transformer().fit_transform(given), expected)


def test_nullable_columns_of_pandas_are_numbers(table):
    plain = table.assign(height=range(30), weight=[True, False] * 15)
    nullable = plain.astype({"age": "Float64", "height": "Int64", "weight": "boolean"})
    expected = transformer().fit_transform(plain.astype(np.float64))
    assert np.array_equal(transformer().fit_transform(nullable), expected)


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (pd.array([None, *range(29)], dtype="Int64"), "<NA>"),
        (pd.array([None] + [0.5] * 29, dtype="Float64"), "<NA>"),
        (pd.array([None] + [True] * 29, dtype="boolean"), "<NA>"),
        ([np.nan] + [0.5] * 29, "nan"),
        ([-np.inf] + [0.5] * 29, "-inf"),
        (["tall"] * 30, "'tall'"),
        (pd.Categorical(["tall"] * 30), "'tall'"),
        (pd.date_range("2020-01-01", periods=30), "Timestamp"),
        (np.full(30, 1 + 2j), r"\(1\+2j\)"),
        ([10**400] * 30, "an integer of 1,329 bits"),
    ],
)
@pytest.mark.parametrize("kind", [VAETransformer, VAEOutlierDetector])
def test_a_column_that_holds_no_numbers_is_named(kind, values, shown, table):
    fitted = kind(epochs=1, random_state=0).fit(table)
    table["height"] = values
    for call in (fitted.fit, fitted.partial_fit, fitted.score_samples):
        with pytest.raises((TypeError, ValueError), match=rf"column 'height' holds {shown}"):
            call(table)


def test_a_column_that_is_not_of_the_likelihood_is_named(table):
    table[["age", "weight"]] = 1.0
    for likelihood in ("bernoulli", "continuous_bernoulli", "poisson"):
        with pytest.raises(ValueError, match=r"X must .*'height'"):
            transformer(likelihood=likelihood).fit(table)
        with pytest.raises(ValueError, match=r"X must .*column 1 "):
            transformer(likelihood=likelihood).fit(table.to_numpy())


def test_columns_in_another_order_are_refused(table):
    fitted = transformer().fit(table)
    assert list(fitted.feature_names_in_) == ["age", "height", "weight"]
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.transform(table[["height", "age", "weight"]])


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_tables_come_out(library, table):
    module = pytest.importorskip(library)
    X = module.DataFrame({name: table[name].to_numpy() for name in table})
    found = transformer().set_output(transform=library).fit_transform(X)
    assert isinstance(found, module.DataFrame)
    assert list(found.columns) == ["vaetransformer0", "vaetransformer1"]


def test_a_column_of_polars_is_named():
    pl = pytest.importorskip("polars")
    for column, shown in (([1.0, None, 2.0], "None in row 1"), (["x", "y", "z"], "'x' in row 0")):
        with pytest.raises((TypeError, ValueError), match=f"column 'b' holds {shown}"):
            transformer().fit(pl.DataFrame({"a": [1, 2, 3], "b": column}))
    with pytest.raises(ValueError, match=r"X must .*'b'"):
        transformer(likelihood="poisson").fit(pl.DataFrame({"a": [1, 2, 3], "b": [0, 1, -1]}))


@pytest.mark.parametrize(
    ("value", "shown"), [(np.nan, "nan"), (np.inf, "inf"), ("tall", "'tall'"), (None, "None")]
)
def test_a_cell_of_an_array_is_named(value, shown):
    X = np.zeros((5, 3), object if value is None or value == "tall" else np.float64)
    X[3, 1] = value
    with pytest.raises((TypeError, ValueError), match=rf"column 1 holds {shown} in row 3"):
        transformer().fit(X)


def test_a_complex_cell_of_an_array_is_named():
    with pytest.raises(ValueError, match=r"^column 0 holds np.complex128\(1j\) in row 0"):
        transformer().fit(np.full((5, 3), 1j))


def test_masked_values_are_refused():
    X = np.ma.masked_array(np.eye(4), np.eye(4) == 1)
    with pytest.raises(ValueError, match="masked.*row 0, column 0"):
        transformer().fit(X)
    assert np.array_equal(
        transformer().fit_transform(np.ma.masked_array(np.eye(4))),
        transformer().fit_transform(np.eye(4)),
    )


def test_sparse_rows_are_refused():
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(TypeError, match="toarray"):
        transformer().fit(sparse.csr_array(np.eye(4)))


def test_an_error_and_the_cell_that_it_names_are_of_one_kind(table):
    table["age"] = pd.array([None, *range(29)], dtype="Int64")
    with pytest.raises(ValueError, match=r"^column 'age' holds <NA> in row 0 .*contains NaN"):
        transformer().fit(table)
    for values in (["tall"] * 30, pd.date_range("2020-01-01", periods=30)):
        with pytest.raises((TypeError, ValueError), match=r"^column 'height' holds "):
            transformer().fit(table.assign(height=values))


def test_what_is_wrong_with_the_columns_is_not_laid_on_a_cell(table):
    fitted = transformer().fit(table)
    table.loc[3, "weight"] = np.nan
    for columns in (["weight", "age"], ["weight", "height", "age"]):
        with pytest.raises(ValueError, match="^The feature names should match"):
            fitted.transform(table[columns])
    with pytest.raises(TypeError, match="^Feature names are only supported"):
        transformer().fit(table.rename(columns={"age": 1}))
    with pytest.raises(TypeError, match=r"^np\.matrix is not supported"):
        transformer().fit(np.eye(3).view(np.matrix))


def test_a_lazy_table_has_to_be_collected():
    pl = pytest.importorskip("polars")
    with pytest.raises(TypeError, match=r"^X must be an array; got a LazyFrame \(call \.collect"):
        transformer().fit(pl.DataFrame({"a": [1.0, 2.0]}).lazy())


def test_sparse_columns_of_a_pipeline_are_made_dense(table):
    encode = pytest.importorskip("sklearn.preprocessing").OneHotEncoder()
    with pytest.raises(TypeError, match="sparse_output=False.*sparse_threshold=0"):
        transformer().fit(encode.fit_transform(table))


@pytest.mark.parametrize(
    ("value", "said"), [(1.7e308, "too far apart for float64"), (np.nan, "not finite")]
)
@pytest.mark.filterwarnings("ignore:invalid value encountered in reduce")  # of scikit-learn
def test_a_column_that_cannot_be_scaled_is_named(value, said, table):
    sklearn = pytest.importorskip("sklearn")
    table["height"] = [value, -1.7e308] * 15
    with sklearn.config_context(assume_finite=True):
        for X, name in ((table, "'height'"), (table.to_numpy(), "1")):
            with pytest.raises(ValueError, match=f"^values of column {name} of X are {said}"):
                transformer().fit(X)
