"""What the user may give as an array: each kind is converted, or refused where it is at fault."""

from __future__ import annotations

import re
import subprocess
import sys
import types
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from model_checks import SMALL_ROWS, small_vae

from fastvae import Dataset, Dense, animation, checks, plots
from fastvae.checks import foreign

F32 = np.dtype(np.float32)
TABLE = np.array([[0.0, 1.0], [0.5, 0.25], [1.0, 0.0]])


def rows(values, *, unit_interval=True):
    return checks.rows(values, "X", 2, F32, unit_interval=unit_interval)


def masked(*places, values=TABLE):
    array = np.ma.array(values, copy=True)
    for place in places:
        array[place] = np.ma.masked
    return array


# --- masks -----------------------------------------------------------------------------------


def test_a_masked_array_without_masked_values_is_its_data():
    pixels = np.ma.array([[0, 255]], mask=False, dtype=np.uint8)
    assert rows(pixels).dtype == np.uint8
    assert np.shares_memory(rows(pixels), pixels.data)
    np.testing.assert_array_equal(rows(masked()), TABLE)
    np.testing.assert_array_equal(rows([masked()[0], TABLE[1], masked()[2]]), TABLE)


class Handing:
    """An object of another library that gives a masked array when asked for an array."""

    def __array__(self, dtype=None, copy=None):
        return masked((1, 1))


MASKED = [
    (masked((1, 1), (2, 0)), "2 are masked, the first in row 1, column 1 "),
    (masked((1, 1), values=TABLE.astype(np.uint8)), "1 is masked, the first in row 1, column 1 "),
    (masked((1, 1), values=TABLE.astype(object)), "1 is masked, the first in row 1, column 1 "),
    (masked((1, 1))[1], r"1 is masked, the first in position 1 \(counted from 0\)"),
    ([TABLE[0], masked((1, 1))[1]], r"X\[1\] must have no masked values; 1 is masked, the first"),
    ((0.5, np.ma.masked), r"X\[1\] must have no masked values; 1 is masked"),
    ([[0.5, 1.0], [np.ma.masked, 1.0]], r"X\[1\]\[0\] must have no masked values; 1 is masked"),
    (np.ma.masked, "X must have no masked values; 1 is masked"),
    (Handing(), "1 is masked, the first in row 1, column 1 "),
]


@pytest.mark.parametrize(("values", "message"), MASKED)
def test_a_masked_value_is_an_error_that_says_where(values, message):
    with pytest.raises(ValueError, match=message):
        rows(values)


def whole(shape, place):
    return masked(place, values=np.ones(shape))


def assign(layer, name, value):
    setattr(layer, name, value)


@pytest.mark.parametrize(
    ("use", "name"),
    [
        (lambda: assign(Dense(3, 2), "weight", whole((2, 3), (0, 2))), "weight"),
        (lambda: assign(Dense(3, 2), "bias", whole(2, 1)), "bias"),
        (lambda: Dense(3, 2).feedforward(whole((2, 3), (0, 2))), "x"),
        (lambda: small_vae().fit(whole((2, 37), (0, 2)), epochs=1), "data"),
        (lambda: small_vae().fit(SMALL_ROWS, epochs=1, validation=whole((2, 37), (0, 2))), "valid"),
        (lambda: small_vae().encode(whole((2, 37), (0, 2))), "X"),
        (lambda: small_vae().decode(whole((2, 5), (0, 2))), "Z"),
        (lambda: small_vae().gradients(SMALL_ROWS, whole((9, 5), (0, 2))), "noise"),
        (lambda: Dataset(whole((2, 3), (0, 2))), "array"),
        (lambda: plots.tile_images(whole((2, 4), (0, 2))), "rows"),
        (lambda: plots.reconstructions(small_vae(), whole((2, 37), (0, 2))), "X"),
        (lambda: plots.interpolation(small_vae(), whole(37, 2), SMALL_ROWS[0]), "X"),
        (lambda: plots.interpolate(whole((2, 3), (0, 2)), np.ones((2, 3)), 3), "start"),
        (lambda: plots.latent_space(small_vae(), SMALL_ROWS, whole(9, 2)), "labels"),
        (lambda: animation.latent_walk(small_vae(), whole((2, 5), (0, 2)), "walk.gif"), "stops"),
        (lambda: animation.save_gif([whole((2, 2), (0, 1))], "walk.gif"), "frames"),
    ],
)
def test_masks_are_seen_wherever_an_array_enters(use, name):
    with pytest.raises(ValueError, match=rf"{name}\w* must have no masked values; 1 is masked, th"):
        use()


# --- lists and objects -----------------------------------------------------------------------


def test_objects_that_are_numbers_are_converted():
    given = np.array([[1, 0.5], [True, np.float32(0.25)], [np.bool_(False), np.int8(1)]], object)
    checked = rows(given)
    assert checked.dtype == np.float64
    np.testing.assert_array_equal(checked, [[1, 0.5], [1, 0.25], [0, 1]])
    np.testing.assert_array_equal(rows([[10**30, 0]], unit_interval=False), [[1e30, 0]])


@pytest.mark.parametrize(
    ("bad", "shown"),
    [
        (None, "None"),
        ("0.5", "'0.5'"),
        (1j, "1j"),
        (Decimal("0.5"), r"Decimal\('0.5'\)"),
        (Fraction(1, 2), r"Fraction\(1, 2\)"),
        (np.datetime64("2020-01-01"), "2020"),
        ({}, "{}"),
    ],
)
@pytest.mark.parametrize("make", [list, tuple, lambda lines: np.array(lines, dtype=object)])
def test_a_cell_that_is_no_number_is_named(make, bad, shown):
    values = make([[0.5, 1], [1, 0], [0, bad]])
    with pytest.raises(
        TypeError, match=rf"X must .*: row 2, column 1 \(counted .* holds .*{shown}"
    ):
        rows(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[0, 1], [1]], "row 0 has 2 values, row 1 has 1 value$"),
        ([[0, 1], [1, 0], 1], "row 0 has 2 values, row 2 has a single value"),
        ([np.ones(2), np.ones(3)], "row 0 has 2 values, row 1 has 3 values"),
        ([[10**400, 1]], "too large to convert"),
    ],
)
def test_lists_that_are_no_rows(values, message):
    with pytest.raises(ValueError, match=f"X must be an array of numbers; got .*{message}"):
        rows(values)


def test_a_list_that_holds_itself_is_refused():
    values: list[Any] = []
    values.append(values)
    with pytest.raises(ValueError, match="X must be an array of numbers"):
        rows(values)


def test_an_array_of_arrays_is_refused_with_what_to_write():
    values = np.empty(2, object)
    values[:] = [np.ones(2), np.ones(2)]
    with pytest.raises(TypeError, match=r"position 0 .* holds array.* \(use np.stack\)"):
        rows(values)


class Raising:
    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("not today")


class Training:
    """Has what a Dataset has, and is none."""

    train = test = TABLE


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (Raising(), "got test_foreign.Raising, which does not become an array: not today"),
        (Training(), "got Training"),
        (types.SimpleNamespace(train=TABLE, test=TABLE), "got SimpleNamespace"),
        ({"a": [0, 1], "b": [1, 0]}, "got dict"),
        ({0, 1}, "got set"),
        ((x for x in [0, 1]), "got generator"),
        (b"01", "got bytes"),
        (np.zeros((2, 2), "M8[s]"), "got dtype datetime64"),
        (np.zeros((2, 2), "m8[s]"), "got dtype timedelta64"),
        (
            np.zeros(2, [("a", "f4"), ("b", "f4")]),
            "got a structured array with the fields 'a', 'b' ",
        ),
        (np.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f4")]), "got a structured array with"),
    ],
)
def test_what_is_no_array_is_refused_by_its_type(values, message):
    with pytest.raises(TypeError, match=f"X must be an array of real numbers.*; {message}"):
        rows(values)


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # np.matrix, by NumPy
def test_other_kinds_of_arrays_are_taken():
    np.testing.assert_array_equal(rows(np.matrix([[0, 1]])), [[0, 1]])
    assert type(rows(np.matrix([[0.0, 1.0]]))) is np.ndarray
    assert rows(memoryview(bytearray(b"\x00\xff"))).dtype == np.uint8
    np.testing.assert_array_equal(rows(np.array([[0, 1]], np.longdouble)), [[0, 1]])


@pytest.mark.parametrize("method", ["fit", "encode", "reconstruct", "feedforward", "elbo"])
def test_only_a_dataset_is_a_dataset(method):
    stranger = types.SimpleNamespace(train=SMALL_ROWS, test=SMALL_ROWS)
    options = {"epochs": 1} if method == "fit" else {}
    with pytest.raises(TypeError, match="must be an array of real numbers .*; got SimpleNamespace"):
        getattr(small_vae(), method)(stranger, **options)


# --- pandas ----------------------------------------------------------------------------------


@pytest.fixture
def pd():
    return pytest.importorskip("pandas")


def frames(pd):
    """DataFrames that hold the table, by what is special about them."""
    plain = pd.DataFrame(TABLE, columns=["a", "b"])
    flags = pd.DataFrame({"a": [False, True, True], "b": TABLE[:, 1]})
    return {
        "float64": (plain, TABLE, np.float64),
        "float32": (plain.astype("f4"), TABLE, np.float32),
        "nullable": (plain.astype("Float64"), TABLE, np.float64),
        "nullable and plain": (plain.astype({"a": "Float32"}), TABLE, np.float64),
        "bool and float": (flags, [[0, 1], [1, 0.25], [1, 0]], np.float64),
        "boolean and Float64": (flags.convert_dtypes(), [[0, 1], [1, 0.25], [1, 0]], np.float64),
        "Int64 and boolean": (
            pd.DataFrame({"a": [1, 0], "b": [True, False]}).convert_dtypes(),
            [[1, 1], [0, 0]],
            np.float64,
        ),
        "sparse": (plain.astype(pd.SparseDtype("float64", 0.0)), TABLE, np.float64),
        "uint8": (pd.DataFrame(np.array([[0, 255]], np.uint8)), [[0, 255]], np.uint8),
        "UInt8": (pd.DataFrame([[0, 255]], dtype="UInt8"), [[0, 255]], np.uint8),
        "uint8 and bool": (
            pd.DataFrame({"a": np.array([1, 0], np.uint8), "b": [True, False]}),
            [[1, 1], [0, 0]],
            np.float32,
        ),
        "equal names": (plain.set_axis(["a", "a"], axis=1), TABLE, np.float64),
    }


def test_data_frames_of_numbers_are_rows(pd):
    for kind, (frame, expected, dtype) in frames(pd).items():
        checked = rows(frame)
        assert checked.dtype == dtype, kind
        np.testing.assert_array_equal(checked, expected, err_msg=kind)
        np.testing.assert_array_equal(Dataset(frame).train, expected, err_msg=kind)


def test_arrow_columns_are_rows(pd):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"a": [False, True, True], "b": TABLE[:, 1]})
    arrow = frame.convert_dtypes(dtype_backend="pyarrow")
    np.testing.assert_array_equal(rows(arrow), [[0, 1], [1, 0.25], [1, 0]])
    arrow.loc[1, "a"] = None
    with pytest.raises(ValueError, match=r"1 is missing, the first in row 1 .*, column 'a'"):
        rows(arrow)


@pytest.mark.parametrize("dtype", ["f4", "f8", "u1"])
def test_a_frame_of_one_block_is_not_copied(pd, dtype):
    block = np.ones((5, 2), dtype)
    assert np.shares_memory(rows(pd.DataFrame(block, copy=False)), block)


@pytest.mark.parametrize(
    ("column", "dtype"),
    [
        (["0.5", "1"], "str|object|string"),
        ([0.5, "1"], "object"),
        ([1, 0], "category"),
        (["2020-01-01", "2021-01-01"], "datetime64"),
        ([1j, 0], "complex128"),
        ([Decimal(1), Decimal(0)], "object"),
    ],
)
def test_a_column_of_anything_else_is_refused_by_name(pd, column, dtype):
    frame = pd.DataFrame({"age": [0.5, 1.0], "what": column})
    if dtype == "category":
        frame["what"] = frame["what"].astype("category")
    if dtype == "datetime64":
        frame["what"] = pd.to_datetime(frame["what"])
    with pytest.raises(TypeError, match=f"columns of numbers; column 'what' is of dtype ({dtype})"):
        rows(frame)


@pytest.mark.parametrize("dtype", ["Int64", "Float64", "boolean"])
def test_what_is_missing_in_a_nullable_column_is_named(pd, dtype):
    missing = pd.array([1, None, None], dtype=dtype)
    frame = pd.DataFrame({"a": [0.5, 1.0, 0.0], "b": missing}, index=["p", "q", "r"])
    with pytest.raises(
        ValueError, match=r"2 are missing, the first in row 1 \(.*; index 'q'\), column 'b'"
    ):
        rows(frame)
    with pytest.raises(ValueError, match="x must have no missing values"):
        Dense(2, 3).feedforward(frame)


def test_nan_and_range_name_the_column_of_a_frame(pd):
    frame = pd.DataFrame({"a": [0.5, 1.0, 0.0], "b": [1.0, np.nan, np.inf]})
    with pytest.raises(
        ValueError,
        match=r"2 values are .* the first in row 1 \(counted from 0\), column 'b'; missing values",
    ):
        rows(frame)
    with pytest.raises(ValueError, match=r"first outside in row 2 .*index 7\), column 'b'"):
        rows(pd.DataFrame({"a": [0, 0, 0], "b": [1, 0, 3]}, index=[5, 6, 7]))


def test_a_series_is_one_row(pd):
    frame = pd.DataFrame({"a": [True, False], "b": [0.5, 0.25]})
    np.testing.assert_array_equal(rows(frame.iloc[0]), [[1, 0.5]])
    np.testing.assert_array_equal(rows([frame.iloc[0], frame.iloc[1]]), [[1, 0.5], [0, 0.25]])
    np.testing.assert_array_equal(rows(pd.array([1, 0], dtype="Int64")), [[1, 0]])
    np.testing.assert_array_equal(rows(pd.Index([1.0, 0.0])), [[1, 0]])
    with pytest.raises(ValueError, match=r"1 is missing, the first in position 1 .*index 'b'"):
        rows(pd.Series([1, None], index=["a", "b"], dtype="Int64"))
    with pytest.raises(ValueError, match="first outside in row 0, column 'b'"):
        rows(pd.Series([1, 3], index=["a", "b"]))
    for categories in (pd.Series([1, 0], dtype="category"), pd.Categorical([1, 0])):
        with pytest.raises(TypeError, match="got dtype category"):
            rows(categories)


def test_a_frame_goes_through_every_pass(pd):
    vae, fractions = small_vae(), (SMALL_ROWS / 255).astype(np.float32)
    frame = pd.DataFrame(fractions)
    np.testing.assert_array_equal(vae.encode(frame)[0], vae.encode(fractions)[0])
    np.testing.assert_array_equal(vae.encode(frame.iloc[0])[0], vae.encode(fractions[0])[0])
    assert vae.elbo(frame) == vae.elbo(fractions)
    history = vae.fit(frame, epochs=1, validation=frame, verbose=False)
    assert history["val_elbo"] == [vae.elbo(fractions, seed=vae.seed).elbo]


def test_missing_labels_are_named(pd):
    for labels in (pd.Series(["a", None]), pd.Series([1, None], dtype="Int64"), [1.0, np.nan]):
        with pytest.raises(ValueError, match="labels must have no missing values; 1 is missing, t"):
            foreign.as_labels(labels, "labels")
    categories = pd.Series(["a", "b"], dtype="category")
    np.testing.assert_array_equal(foreign.as_labels(categories, "labels"), ["a", "b"])


# --- other libraries -------------------------------------------------------------------------


def test_polars_columns_that_numpy_cannot_hold_as_numbers_are_named():
    pl = pytest.importorskip("polars")
    pairs = pl.Series("b", [[0.1, 0.2]] * 2, dtype=pl.Array(pl.Float64, 2))
    long = pl.Series("b", [1, 2], dtype=pl.Int128)
    for column in (pairs, long):
        with pytest.raises(TypeError, match="columns of numbers; column 'b' is of dtype"):
            foreign.as_array(pl.DataFrame({"a": [0.5, 0.5]}).with_columns(column), "X")


def test_a_polars_series_without_a_value_is_an_error():
    pl = pytest.importorskip("polars")
    series = pl.Series([0.5, None])
    for values, place in ((series, "position 1 "), ([series, series], "position 1 ")):
        with pytest.raises(ValueError, match=f"1 is missing, the first in {place}"):
            foreign.as_array(values, "X")


def test_a_lazy_frame_of_polars_has_to_be_collected():
    pl = pytest.importorskip("polars")
    with pytest.raises(TypeError, match=r"^X must be an array; got a LazyFrame \(call \.collect"):
        rows(pl.LazyFrame({"a": [0.0, 1.0]}))


def test_polars_frames():
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"a": [False, True, True], "b": TABLE[:, 1]})
    np.testing.assert_array_equal(rows(frame), [[0, 1], [1, 0.25], [1, 0]])
    pixels = frame.select(a=pl.lit(255, pl.UInt8), b=pl.lit(0, pl.UInt8))
    assert rows(pixels).dtype == np.uint8
    with pytest.raises(ValueError, match="1 is missing, the first in row 1 .*, column 'a'"):
        rows(pl.DataFrame({"a": [1, None], "b": [0.5, 0.5]}))
    with pytest.raises(TypeError, match="column 'b' is of dtype String"):
        rows(pl.DataFrame({"a": [1, 0], "b": ["1", "0"]}))
    with pytest.raises(ValueError, match="first outside in row 1 .*, column 'a'"):
        rows(pl.DataFrame({"a": [1, 3], "b": [0, 0]}))


def test_torch_tensors():
    torch = pytest.importorskip("torch")
    tensor = torch.tensor(TABLE, requires_grad=True)
    np.testing.assert_array_equal(rows(tensor), TABLE)
    np.testing.assert_array_equal(rows(list(tensor)), TABLE)
    np.testing.assert_array_equal(rows(torch.nn.Parameter(tensor.half())), TABLE)
    assert rows(torch.tensor([[0, 255]], dtype=torch.uint8)).dtype == np.uint8
    for bad, message in [
        (tensor.bfloat16(), r"of dtype torch.bfloat16 \(call .float\(\)\)"),
        (tensor.to_sparse(), r"of layout torch.sparse_coo \(call .to_dense\(\)\)"),
        (tensor.to("meta"), r"on the device meta \(call .cpu\(\)\)"),
        (tensor * 1j, "got dtype complex128"),
    ]:
        with pytest.raises(TypeError, match=message):
            rows(bad)


def test_data_sets_of_torch_are_refused_before_they_are_read(monkeypatch):
    class Images:
        def __len__(self):
            return 60_000

        def __getitem__(self, i):
            raise AssertionError("a row was read")

    class Batches(Images): ...

    own = type("Own", (Images,), {})
    module = types.SimpleNamespace(Dataset=own, DataLoader=Batches)
    monkeypatch.setitem(sys.modules, "torch.utils.data", module)
    for given, joined in ((own(), "stack"), (Batches(), "cat")):
        with pytest.raises(TypeError, match=rf"of PyTorch; .* torch.{joined}\(.*flatten\(1\)"):
            rows(given)


def test_what_is_said_of_data_sets_of_torch_is_right():
    torch = pytest.importorskip("torch")
    table = np.array(TABLE, np.float32)
    tensors = torch.tensor(table).reshape(len(table), 1, -1)
    data = torch.utils.data.TensorDataset(tensors, torch.arange(len(table)))
    for it in (data, torch.utils.data.DataLoader(data, 1), torch.utils.data.Subset(data, [0])):
        with pytest.raises(TypeError, match="of PyTorch; where it gives tuples") as error:
            rows(it)
        advice = re.search(r"torch\.\w+\(.*?\)\.flatten\(1\)", str(error.value))
        assert advice is not None
        found = rows(eval(advice[0], {"torch": torch, "it": it}))
        np.testing.assert_array_equal(found, table[: len(it)])


def test_a_list_of_tensors_is_encoded_like_their_stack():
    torch = pytest.importorskip("torch")
    vae, fractions = small_vae(), (SMALL_ROWS / 255).astype(np.float32)
    tensors = list(torch.tensor(fractions, requires_grad=True))
    np.testing.assert_array_equal(vae.encode(tensors)[0], vae.encode(fractions)[0])
    assert vae.encode(tensors[0])[0].shape == (5,)


def test_sparse_matrices_are_refused_with_what_to_write():
    sparse = pytest.importorskip("scipy.sparse")
    for matrix in (sparse.csr_matrix(TABLE), sparse.coo_matrix(TABLE), sparse.csr_array(TABLE)):
        with pytest.raises(TypeError, match=r"X must be a dense array; .* \(call .toarray\(\)\)"):
            rows(matrix)
    with pytest.raises(ValueError, match=r"array must be a dense array"):
        Dataset(sparse.csr_matrix(TABLE))


def test_a_stand_in_for_a_library_is_not_taken_for_it(monkeypatch):
    for name in ("pandas", "polars", "torch", "scipy.sparse"):
        monkeypatch.setitem(sys.modules, name, types.SimpleNamespace())
    np.testing.assert_array_equal(rows(TABLE.tolist()), TABLE)
    np.testing.assert_array_equal(rows([*TABLE]), TABLE)
    assert foreign.as_labels(["a", "b"], "labels").tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="1 is missing, the first in position 1 "):
        foreign.as_labels(["a", None], "labels")


@pytest.mark.slow
def test_no_foreign_library_is_imported():
    code = """
import sys, fastvae, numpy as np
vae = fastvae.VAE.from_sizes(4, (3,), 2)
vae.encode([[0, 1, 0.5, 1]])
fastvae.Dataset(np.ma.array([[0.0, 1.0]]))
print(*sorted({"pandas", "polars", "torch", "pyarrow", "sklearn"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
