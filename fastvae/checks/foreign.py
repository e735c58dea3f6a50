"""What the user gave, as a plain NumPy array: lists, masked arrays, tables, tensors, objects.

Types of other libraries are recognised by `isinstance`, the class taken from `sys.modules`:
nothing is imported for it, and an object that only has an attribute of some name is not taken
for what it is not. Nothing is dropped on the way: a mask, a missing value, a string or a date is
an error that says where it stands.
"""

import reprlib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

REAL_KINDS = "buif"
_NUMBERS = (int, float, np.bool_, np.integer, np.floating)
_TABLES = (("pandas", "DataFrame"), ("polars", "DataFrame"))
_OF_TORCH_DATA = (("Dataset", "stack"), ("DataLoader", "cat"))
_PANDAS_COLUMNS = ("Series", "Index", "api.extensions.ExtensionArray")


def as_array(values: Any, name: str) -> NDArray[Any]:
    """Return `values` as an array: of a real dtype, or of one that the caller has to refuse.

    Arrays of real numbers pass through without a copy, and so does a pandas DataFrame of one
    NumPy type. Tables of several types become float32 or float64, whichever holds them all: only
    what is uint8 throughout stays uint8.

    Raises
    ------
    TypeError
        If the values are of a kind that is never converted, or a cell is not a real number.
    ValueError
        If a value is masked or missing, or rows differ in length.
    """
    if type(values) is np.ndarray and values.dtype.kind in REAL_KINDS:
        return values
    if _is_a(values, "pandas", "DataFrame"):
        return _from_pandas(values, name)
    if _is_a(values, "polars", "DataFrame"):
        return _from_polars(values, name)
    return _checked(_converted(values, name), values, name)


def with_nan(values: Any) -> Any:
    """Values with NaN for what is masked or missing; those without such marks as they are."""
    if isinstance(values, np.ma.MaskedArray):
        return np.ma.filled(values.astype(np.result_type(values.dtype, np.float32)), np.nan)
    if any(_is_a(values, "pandas", kind) for kind in ("DataFrame", "Series")):
        own = [dtype for dtype in _dtypes(values) if not isinstance(dtype, np.dtype)]
        if own and all(dtype.kind in REAL_KINDS for dtype in _dtypes(values)):
            return values.to_numpy(dtype=np.float64, na_value=np.nan)
        return values
    if any(_is_a(values, "polars", kind) for kind in ("DataFrame", "Series")):
        if all(dtype.is_numeric() for dtype in _dtypes(values)):
            wide = values.cast(sys.modules["polars"].Float64)
            return wide.fill_null(np.nan).to_numpy()
        return values
    if isinstance(values, (list, tuple)) or (
        isinstance(values, np.ndarray) and values.dtype.kind == "O"
    ):
        return _objects_with_nan(values)
    return values


def without_bfloat16(values: Any) -> Any:
    """Values of bfloat16, which NumPy lacks, as the float32 that they are; others as they are."""
    if _is_a(values, "torch", "Tensor"):
        return values.float() if values.dtype is sys.modules["torch"].bfloat16 else values
    if getattr(getattr(values, "dtype", None), "name", None) == "bfloat16":  # as JAX has them
        return np.asarray(values).astype(np.float32)
    return values


def _dtypes(values: Any) -> list[Any]:
    """The dtypes of a table's columns, or that of one column."""
    is_table = any(_is_a(values, *table) for table in _TABLES)
    return list(values.dtypes) if is_table else [values.dtype]


def _objects_with_nan(values: Any) -> Any:
    """Lists, or an array of objects, with NaN for None and the like; others as they are."""
    try:
        objects = np.array(values, dtype=object)
    except ValueError:  # rows of unequal length
        return values
    missing = [_is_missing(value) for value in objects.flat]
    if not any(missing):
        return values
    objects[np.reshape(missing, objects.shape)] = np.nan
    return objects


def as_labels(values: Any, name: str) -> NDArray[Any]:
    """Return labels, which may be of any type, as an array.

    Raises
    ------
    ValueError
        If one is masked or missing.
    """
    if isinstance(values, (list, tuple)):
        values = _listed(values, name)
    array = _without_mask(np.asanyarray(values), name)
    if array.dtype.kind in "fO":
        missing = [i for i, label in enumerate(array.flat) if _is_missing(label)]
        if missing:
            first = np.unravel_index(missing[0], array.shape)
            raise _missing(len(missing), cell(values, first), name)
    return array


def known_labels(values: Any, name: str) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The labels that there are, as an array, and for each row whether it has one.

    Raises
    ------
    ValueError
        If one is masked.
    """
    if isinstance(values, (list, tuple)):
        values = _listed(values, name)
    labels = _without_mask(np.asanyarray(values), name)
    if labels.dtype.kind not in "fO":
        return labels, np.ones(labels.shape, dtype=np.bool_)
    known = np.array([not _is_missing(label) for label in labels.flat], dtype=np.bool_)
    known = known.reshape(labels.shape)
    there = labels[known]
    return (np.array(there.tolist()) if labels.dtype.kind == "O" else there), known


def is_one_row(values: Any) -> bool:
    """Whether values that `as_array` takes are a vector, told without converting them."""
    if isinstance(values, (list, tuple)) and values:
        return not isinstance(values[0], (list, tuple)) and np.ndim(values[0]) == 0
    return np.ndim(values) == 1


def cell(values: Any, place: Sequence[Any]) -> str:
    """Where an element stands in what the user gave: row, and column or the column's name.

    Parameters
    ----------
    values : object
        What was given: its names of columns and rows are used where it has them.
    place : sequence of int
        Row and column; one number for a vector.
    """
    numbers = [int(i) for i in place]
    if len(numbers) == 1:
        label = column_name(values, numbers[0])
        index = "" if label == str(numbers[0]) else f"; index {label}"
        return f"position {numbers[0]} (counted from 0{index})"
    if len(numbers) != 2:
        return f"place {tuple(numbers)} (counted from 0)"
    row, column = numbers
    if not any(_is_a(values, *table) for table in _TABLES):
        return f"row {row}, column {column_name(values, column)} (counted from 0)"
    label = ""
    if _is_a(values, "pandas", "DataFrame") and not _is_default(values.index):
        label = f"; index {_shown(values.index[row])}"
    return f"row {row} (counted from 0{label}), column {column_name(values, column)}"


def column_name(values: Any, column: int) -> str:
    """The name of a column in quotes, or its number where columns have no names."""
    if any(_is_a(values, *table) for table in _TABLES):
        return _shown(values.columns[column])
    if _is_a(values, "pandas", "Series"):  # one row
        return _shown(values.index[column])
    return str(column)


def _is_a(values: Any, module: str, path: str) -> bool:
    """Whether `values` is an instance of a class of another library, if that is loaded."""
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    return isinstance(found, type) and isinstance(values, found)


def _converted(values: Any, name: str) -> NDArray[Any]:
    """`values` as an array of whatever dtype, without mask."""
    if _is_sparse(values):
        raise TypeError(
            f"{name} must be a dense array; got {_type_name(values)} of shape {values.shape} "
            "(call .toarray())"
        )
    for kind, joined in _OF_TORCH_DATA:
        if _is_a(values, "torch.utils.data", kind):
            raise TypeError(
                f"{name} must be an array of real numbers; got {_type_name(values)} of PyTorch; "
                f"where it gives tuples, torch.{joined}([rows for rows, *_ in it]).flatten(1) has "
                "the rows"
            )
    if _is_a(values, "polars", "LazyFrame"):
        raise TypeError(f"{name} must be an array; got a LazyFrame (call .collect())")
    if _is_a(values, "torch", "Tensor"):
        values = _from_torch(values, name)
    elif any(_is_a(values, "pandas", path) for path in _PANDAS_COLUMNS):
        values = _from_pandas_column(values, name)
    elif _is_a(values, "polars", "Series") and values.null_count():
        first = int(values.is_null().to_numpy().argmax())
        raise _missing(values.null_count(), cell(values, (first,)), name)
    elif isinstance(values, (list, tuple)):
        values = _listed(values, name)
    try:
        array = np.asanyarray(values)
    except ValueError as error:
        reason = _ragged(values) or str(error)
        raise ValueError(f"{name} must be an array of numbers; got {reason}") from None
    except MemoryError:
        raise
    except Exception as error:  # whatever the __array__ of a foreign object raises
        raise TypeError(
            f"{name} must be an array of real numbers; got {_type_name(values)}, "
            f"which does not become an array: {error}"
        ) from error
    array = _without_mask(array, name)
    if isinstance(values, (list, tuple)) and array.dtype.kind not in REAL_KINDS:
        # One string among numbers makes strings of all: only the objects show which it was.
        array = np.array(values, dtype=object)
    return array


def _checked(array: NDArray[Any], values: Any, name: str) -> NDArray[Any]:
    """An array of objects as one of numbers; refuses structured arrays."""
    if array.dtype.names:
        fields = ", ".join(map(repr, array.dtype.names))
        raise TypeError(
            f"{name} must be an array of real numbers; got a structured array with the fields "
            f"{fields} (numpy.lib.recfunctions.structured_to_unstructured makes columns of them)"
        )
    if array.dtype.kind != "O" or array.ndim == 0:
        return array
    if not all(issubclass(kind, _NUMBERS) for kind in set(map(type, array.flat))):
        for index, value in np.ndenumerate(array):
            if not isinstance(value, _NUMBERS):
                hint = " (use np.stack)" if isinstance(value, (list, tuple, np.ndarray)) else ""
                raise TypeError(
                    f"{name} must be an array of real numbers (uint8, integers or floats); got "
                    f"dtype object: {cell(values, index)} holds {reprlib.repr(value)}{hint}"
                )
    try:
        return array.astype(np.float64)
    except OverflowError as error:
        raise ValueError(f"{name} must be an array of numbers; got {error}") from None


def _without_mask(array: NDArray[Any], name: str) -> NDArray[Any]:
    """The data of a masked array without masked values; other arrays as they are."""
    if isinstance(array, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(array)
        if mask.dtype == np.bool_ and mask.any():
            first = np.unravel_index(mask.argmax(), mask.shape)
            where = f", the first in {cell(array, first)}" if array.ndim else ""
            raise ValueError(
                f"{name} must have no masked values; "
                f"{_counted(int(np.count_nonzero(mask)), 'masked')}{where}: "
                "fill them (.filled(value)), or leave out those rows or columns"
            )
    return np.asarray(array)


def _listed(values: Sequence[Any], name: str, depth: int = 0) -> Sequence[Any]:
    """A list, with what NumPy would misread inside (a mask, a tensor, a column) made arrays."""
    types = set(map(type, values))
    if depth > 3 or all(issubclass(kind, (*_NUMBERS, str)) for kind in types):
        return values
    return [_element(value, f"{name}[{i}]", depth) for i, value in enumerate(values)]


def _element(value: Any, name: str, depth: int) -> Any:
    if isinstance(value, (list, tuple)):
        return _listed(value, name, depth + 1)
    foreign = (
        isinstance(value, np.ma.MaskedArray)
        or _is_a(value, "torch", "Tensor")
        or _is_sparse(value)
        or any(_is_a(value, *table) for table in (*_TABLES, ("polars", "Series")))
        or any(_is_a(value, "pandas", path) for path in _PANDAS_COLUMNS)
    )
    return as_array(value, name) if foreign else value


def _ragged(values: Any) -> str:
    """In what two rows of a list differ; empty where something else is wrong."""
    if not isinstance(values, (list, tuple)):
        return ""
    for i, row in enumerate(values):
        size = _size(row)
        if size != _size(values[0]):
            return f"rows of unequal length: row 0 has {_size(values[0])}, row {i} has {size}"
    return ""


def _size(row: Any) -> str:
    if isinstance(row, (list, tuple)) or (isinstance(row, np.ndarray) and row.ndim):
        return "1 value" if len(row) == 1 else f"{len(row)} values"
    return "a single value"


def _from_torch(tensor: Any, name: str) -> Any:
    wanted = f"{name} must be an array of real numbers; got a tensor"
    if tensor.device.type != "cpu":
        raise TypeError(f"{wanted} on the device {tensor.device} (call .cpu())")
    if tensor.layout is not sys.modules["torch"].strided:
        raise TypeError(f"{wanted} of layout {tensor.layout} (call .to_dense())")
    try:
        return tensor.detach().resolve_neg().numpy()
    except Exception as error:  # NumPy has no such type
        raise TypeError(f"{wanted} of dtype {tensor.dtype} (call .float())") from error


def _from_pandas(frame: Any, name: str) -> NDArray[Any]:
    """A DataFrame as rows of numbers; without a copy where pandas has them in one array."""
    dtypes = list(frame.dtypes)
    for j, dtype in enumerate(dtypes):
        if dtype.kind not in REAL_KINDS:
            raise _no_numbers(dtype, column_name(frame, j), name)
    if len(set(dtypes)) == 1 and isinstance(dtypes[0], np.dtype):
        return np.asarray(frame.to_numpy())
    own = [j for j, dtype in enumerate(dtypes) if not isinstance(dtype, np.dtype)]
    missing = frame.iloc[:, own].isna().to_numpy()
    if missing.any():
        row, k = np.unravel_index(missing.argmax(), missing.shape)
        raise _missing(int(np.count_nonzero(missing)), cell(frame, (row, own[k])), name)
    columns = [frame.iloc[:, j].to_numpy(_numpy_dtype(d)) for j, d in enumerate(dtypes)]
    return _joined(columns, len(frame))


def _from_pandas_column(values: Any, name: str) -> NDArray[Any]:
    """A Series, an Index or what they hold, as a vector: numbers, or objects to look into."""
    series = sys.modules["pandas"].Series(values)
    if series.dtype == object:
        return series.to_numpy()
    if series.dtype.kind not in REAL_KINDS:
        raise TypeError(f"{name} must be an array of real numbers; got dtype {series.dtype}")
    if not isinstance(series.dtype, np.dtype) and series.isna().any():
        n_missing, first = int(series.isna().sum()), int(series.isna().to_numpy().argmax())
        raise _missing(n_missing, cell(values, (first,)), name)
    return np.asarray(series.to_numpy(_numpy_dtype(series.dtype)))


def _from_polars(frame: Any, name: str) -> NDArray[Any]:
    columns = []
    for j, series in enumerate(frame.get_columns()):
        if series.null_count():
            first = int(series.is_null().to_numpy().argmax())
            raise _missing(series.null_count(), cell(frame, (first, j)), name)
        try:
            column = series.to_numpy()
        except Exception as error:  # NumPy has no such type, as 128-bit integers
            raise _no_numbers(series.dtype, column_name(frame, j), name) from error
        if column.dtype.kind not in REAL_KINDS or column.ndim != 1:
            raise _no_numbers(series.dtype, column_name(frame, j), name)
        columns.append(column)
    return _joined(columns, len(frame))


def _numpy_dtype(dtype: Any) -> np.dtype[Any]:
    """The NumPy dtype behind one of pandas': nullable and Arrow types, and sparse ones."""
    if isinstance(dtype, np.dtype):
        return dtype
    return np.dtype(getattr(dtype, "numpy_dtype", None) or getattr(dtype, "subtype", np.float64))


def _joined(columns: Sequence[NDArray[Any]], n_rows: int) -> NDArray[Any]:
    """Columns side by side: in their dtype if they share it, else in the float that holds all."""
    dtypes = {column.dtype for column in columns}
    shared = dtypes.pop() if len(dtypes) == 1 else np.result_type(np.float32, *dtypes)
    table = np.empty((n_rows, len(columns)), shared)
    for j, column in enumerate(columns):
        table[:, j] = column
    return table


def _no_numbers(dtype: Any, column: str, name: str) -> TypeError:
    return TypeError(
        f"{name} must have columns of numbers; column {column} is of dtype {dtype} "
        "(convert it to numbers, or leave it out)"
    )


def _missing(count: int, where: str, name: str) -> ValueError:
    return ValueError(
        f"{name} must have no missing values; {_counted(count, 'missing')}, the first in {where}"
    )


def _is_sparse(values: Any) -> bool:
    return any(_is_a(values, "scipy.sparse", kind) for kind in ("spmatrix", "sparray"))


def _is_missing(label: Any) -> bool:
    """Whether a label is None, or one of pandas' and NumPy's values for what is not there."""
    if isinstance(label, (float, np.floating)):
        return bool(np.isnan(label))
    pandas = sys.modules.get("pandas")
    return label is None or any(label is getattr(pandas, kind, None) for kind in ("NA", "NaT"))


def _is_default(index: Any) -> bool:
    """Whether row labels are only the rows' numbers."""
    return _is_a(index, "pandas", "RangeIndex") and index.start == 0 and index.step == 1


def _shown(label: Any) -> str:
    """A row's or column's name as it would be written in Python."""
    return reprlib.repr(label.item() if isinstance(label, np.generic) else label)


def _counted(count: int, what: str) -> str:
    return f"{count:,} {'is' if count == 1 else 'are'} {what}"


def _type_name(values: Any) -> str:
    return f"{type(values).__module__}.{type(values).__qualname__}".removeprefix("builtins.")
