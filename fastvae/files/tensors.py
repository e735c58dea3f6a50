"""Safetensors files: what they hold is known, and checked, before anything of it is read.

The file is read and not mapped: one that is cut short meanwhile is an error, and no crash.
"""

import math
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fastvae.checks.quoting import quoted
from fastvae.files.kinds import SAFETENSORS, START, kind_of
from fastvae.files.reading import MAX_MARKS, parse_json, read_values, size_of

MAX_HEADER = 16_000_000  # the format allows six times as much, which costs seconds
_MAX_MARKS = 5 * MAX_MARKS  # a checkpoint has 100 for each layer
_DTYPES = {
    "BOOL": "?",
    "U8": "u1",
    "I8": "i1",
    "U16": "<u2",
    "I16": "<i2",
    "F16": "<f2",
    "U32": "<u4",
    "I32": "<i4",
    "F32": "<f4",
    "U64": "<u8",
    "I64": "<i8",
    "F64": "<f8",
    "BF16": "<u2",  # the upper half of float32, which NumPy has no type for
}
_MAX_AXES = 32


@dataclass(frozen=True)
class Tensor:
    """Type, by the format's name, shape and place (first byte, byte behind) of a tensor."""

    dtype: str
    shape: tuple[int, ...]
    place: tuple[int, int]


def read_header(file: BinaryIO) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Read what an open safetensors file holds.

    Returns
    -------
    metadata : dict of str
    tensors : dict of Tensor
        They take all of the file, without holes; the place of each has the size of its values.

    Raises
    ------
    ValueError
        If it is no safetensors file, or header and file do not fit.
    """
    size = size_of(file)
    start = file.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or not 2 <= length <= min(MAX_HEADER, size - 8):
        kind = kind_of(start + file.read(START))
        if kind is not None and kind != SAFETENSORS:
            raise ValueError(f"it is {kind}; expected a safetensors file")
        if MAX_HEADER < length <= size - 8:
            raise ValueError(f"its header must have at most {MAX_HEADER:,} bytes; got {length:,}")
        raise ValueError(
            f"it is truncated or no safetensors file (header of {length} bytes, file of {size})"
        )
    header = parse_json(file.read(length), _MAX_MARKS)
    if not isinstance(header, dict):
        raise ValueError("the header of a safetensors file must be a JSON object")
    metadata = header.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict) or not all(type(v) is str for v in metadata.values()):
        raise ValueError("__metadata__ must hold texts")
    tensors = {name: _tensor(name, entry, 8 + length) for name, entry in header.items()}
    end = 8 + length
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1].place):
        if tensor.place[0] != end:
            raise ValueError(f"the values of {quoted(name)} must begin at byte {end:,}")
        end = tensor.place[1]
    if end != size:
        raise ValueError(f"it is truncated or too long: {end:,} bytes expected, {size:,} found")
    return metadata, tensors


def read_tensor(file: BinaryIO, tensor: Tensor) -> NDArray[Any]:
    """Read the values of a tensor; those of bfloat16 as the float32 that they are.

    Raises
    ------
    ValueError
        If NumPy has no such type, or the file has become shorter.
    MemoryError
        If there is no memory for them; the message says the size.
    """
    if tensor.dtype not in _DTYPES:
        raise ValueError(f"a tensor must hold numbers of NumPy; got {quoted(tensor.dtype)}")
    dtype = np.dtype(_DTYPES[tensor.dtype])
    file.seek(tensor.place[0])
    values = read_values(file, tensor.shape, dtype).astype(dtype.newbyteorder("="), copy=False)
    if tensor.dtype == "BF16":
        return (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return values


def _tensor(name: str, entry: Any, data_start: int) -> Tensor:
    """One entry of a header, its size compared with its place."""
    try:
        dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (KeyError, TypeError, ValueError):
        dtype, shape, begin, end = None, None, 0, 0
    is_good = (
        type(dtype) is str
        and type(shape) is list
        and len(shape) <= _MAX_AXES
        and all(type(n) is int and 0 <= n < 2**62 for n in (*shape, begin, end))
        and begin <= end
    )
    if is_good and dtype in _DTYPES:  # others are for others, and not read
        is_good = math.prod(shape) * np.dtype(_DTYPES[dtype]).itemsize == end - begin
    if not is_good:
        raise ValueError(
            f"the entry of the tensor {quoted(name)} must hold dtype, shape and data_offsets that "
            f"fit each other; got {quoted(entry)}"
        )
    return Tensor(dtype, tuple(shape), (data_start + begin, data_start + end))
