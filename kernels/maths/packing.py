"""Packing: parts of a matrix laid out as the register tiles read them."""

from ..machine.compilation import device_function
from ..machine.kinds import Pointer, Word
from ..machine.memory import advance, cast, get, lane_count, put, transpose_square
from .tiles import NR


@device_function
def pack_transposed(
    out: Pointer, source: Pointer, stride: Word, n_columns: Word, n_rows: Word
) -> None:
    """out[c * W + r] = source[r * stride + c] for r < n_rows <= W; other columns of out: 0."""
    count = lane_count(out)
    width = NR * count
    whole_rows = n_rows - n_rows % count
    whole_columns = n_columns - n_columns % count
    for r in range(0, whole_rows, count):
        for c in range(0, whole_columns, count):
            transpose_square(
                advance(out, c * width + r), width, advance(source, r * stride + c), stride
            )
        for c in range(whole_columns, n_columns):
            for j in range(r, r + count):
                put(out, c * width + j, get(source, j * stride + c))
    for c in range(n_columns):
        for r in range(whole_rows, n_rows):
            put(out, c * width + r, get(source, r * stride + c))
        for r in range(n_rows, width):
            put(out, c * width + r, cast(out, 0.0))
