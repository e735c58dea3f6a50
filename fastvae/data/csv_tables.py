"""Tables of numbers as text: CSV and its relatives, plain or compressed with gzip.

A file is read a block of lines at a time, by `numpy.loadtxt`, and what that does not take (quotes,
words, damage) cell by cell, which also says what is wrong and where.
"""

import csv
import io
import math
import re
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from fastvae.checks.quoting import printable, quoted
from fastvae.checks.scales import DARK
from fastvae.data.gzipped import MAGIC, Decompressed, Stream
from fastvae.data.splits import Split, as_classes
from fastvae.files.kinds import START, kind_of
from fastvae.files.reading import open_file, size_of

Array = npt.NDArray[Any]

LABELS = ("label", "labels", "class", "target")
"""The names of columns, in capitals or not, that hold labels."""

MISSING = ("", "na", "n/a", "#n/a", "<na>", "nan", "null", "none", "?")
"""What stands for a missing value, in capitals or not."""

_TRUTH = {"true": 1.0, "false": 0.0}
_BLOCK = 1 << 20
_MAX_LINE = 16 << 20
_MAX_COLUMNS = 1_000_000
_MAX_COMMENTS = 10_000
_MAX_RATIO = 250  # how much larger than in the file a text of pixels is
_FREE = 16 << 20  # bytes of text that no ratio is asked of
_MIN_SIDE = 8  # of pictures
_MIN_NUMBERED = 4  # columns that are named 0, 1, 2, ... rather than being such a row
_DELIMITERS = "\t;,"  # with semicolons, commas are those of decimals
_DIGITS = re.compile(r"\d+", re.ASCII)
_EXCEL = re.compile(r"sep=.", re.IGNORECASE)  # a first line that Excel understands


@dataclass(frozen=True)
class _Layout:
    """How a table is written, and which of its columns are what."""

    delimiter: str
    names: list[str] | None
    n_columns: int
    columns: list[int]
    label: int | None

    def name(self, column: int) -> str:
        """What to call a column in messages."""
        return f"column {column + 1 if self.names is None else quoted(self.names[column])}"


class _Block(NamedTuple):
    """Some lines, without ends that differ, and the number of the first of them."""

    first: int
    text: str


class _Rows(NamedTuple):
    """Values of some rows, uint8 or float64, and their labels: numbers, or texts."""

    values: Array
    labels: Array | list[str] | None


def read_table(path: Path) -> Split:
    """Read a table of numbers as training rows; see `docs/data.md` for what is understood.

    Parameters
    ----------
    path : path of a .csv or .tsv file, which may be compressed with gzip

    Raises
    ------
    ValueError
        Where the file is no table of numbers; the message names line and column.
    OSError
        Where it cannot be opened or read.
    MemoryError
        Where there is no memory for what it holds.
    """
    with open_file(path) as file:
        start = file.read(START)
        file.seek(0)
        return _sound(file, start, printable(str(path)))


def _sound(file: BinaryIO, start: bytes, name: str) -> Split:
    """Read a table that begins with `start`; errors say its name, and what it is."""
    try:
        return _read(file, start)
    except (EOFError, zlib.error) as error:
        reason = str(error) or "the gzip data ends early"
        raise ValueError(f"{name} is corrupt: {printable(reason)}") from error
    except (ValueError, csv.Error) as error:
        kind = kind_of(start)
        but = f"; it is {kind}" if kind not in (None, "a text", "compressed with gzip") else ""
        raise ValueError(f"{name} is not a table of numbers: {error}{but}") from error
    except MemoryError as error:
        raise MemoryError(f"there is no memory for what {name} holds: {error}") from error


def _read(file: BinaryIO, start: bytes) -> Split:
    is_compressed = start.startswith(MAGIC)
    stream: Stream = Decompressed(file) if is_compressed else file
    limit = max(_FREE, _MAX_RATIO * size_of(file)) if is_compressed else None
    layout: _Layout | None = None
    is_blank, parts = False, deque[_Rows]()
    for block in _blocks(stream, limit):
        if layout is None:
            is_blank = _is_blank(block)
            block = _with_commas(block) if is_blank else block
            layout, block = _layout(block)
            if layout is None and block.first > _MAX_COMMENTS:
                raise ValueError(f"its first {_MAX_COMMENTS:,} lines hold no row")
        elif is_blank:
            block = _with_commas(block)
        if layout is not None and block.text.strip():
            parts.append(_parsed(block, layout))
    if layout is None or not any(len(part.values) for part in parts):
        raise ValueError("it holds no rows")
    if layout.names is None and _are_pixels(parts, 1):
        parts = deque(_Rows(part.values[:, 1:], part.values[:, 0] * 1.0) for part in parts)
    labels, label_names = None, None
    if parts[0].labels is not None:
        what = f"{layout.name(layout.label or 0)} (rename it where it holds none)"
        found, label_names = as_classes({"train": _labels(parts)}, what)
        labels = found["train"]
    rows = _without_empty_end(_joined(parts), layout)
    names = layout.names and [layout.names[i] for i in layout.columns[: rows.shape[1]]]
    return Split(rows, labels, rows[:0], None, label_names, names)


# --- lines ------------------------------------------------------------------------------------


def _blocks(stream: Stream, limit: int | None) -> Iterator[_Block]:
    """Yield whole lines, about a megabyte at a time, of a text of at most `limit` bytes."""
    rest, first, n_read = b"", 1, 0
    while chunk := stream.read(_BLOCK):
        if not n_read and chunk.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise ValueError("it is written in UTF-16; expected UTF-8")
        n_read += len(chunk)
        if limit is not None and n_read > limit:
            raise ValueError(f"its text is more than {_MAX_RATIO} times as large as the file")
        rest += chunk
        end = max(rest.rfind(b"\n"), rest.rfind(b"\r", 0, -1)) + 1
        if end:
            block, rest = _block(rest[:end], first), rest[end:]
            yield block
            first += block.text.count("\n")
        if len(rest) > _MAX_LINE:
            raise ValueError(f"line {first:,} is longer than {_MAX_LINE:,} bytes")
    if rest:
        yield _block(rest, first)


def _block(content: bytes, first: int) -> _Block:
    if b"\0" in content:
        raise ValueError(f"there are bytes of 0 in it, from line {first:,} on")
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return _Block(first, content.decode("utf-8-sig" if first == 1 else "utf-8", "replace"))


def _layout(block: _Block) -> tuple[_Layout | None, _Block]:
    """What the first line that is no comment says of the table, and the lines below the header.

    Comments stand at the beginning; the last of them names the columns where it has as many names,
    as `numpy.savetxt` writes it.
    """
    lines, comment = block.text.split("\n"), ""
    for number, line in enumerate(lines):
        stripped = line.strip()
        if stripped.startswith("#"):
            comment = stripped.lstrip("# ") or comment
        elif stripped and not _EXCEL.fullmatch(stripped):
            layout, has_header = _layout_of(line, comment, block.first + number)
            first = number + has_header
            return layout, _Block(block.first + first, "\n".join(lines[first:]))
    return None, _Block(block.first, "")


def _layout_of(line: str, comment: str, number: int) -> tuple[_Layout, bool]:
    """The layout, and whether the line, of which the number is given, is a header."""
    delimiter = _delimiter(line)
    if line.count(delimiter) >= _MAX_COLUMNS:
        raise ValueError(f"it has more than {_MAX_COLUMNS:,} columns")
    cells = [cell.strip() for cell in _cells(line, delimiter, number)]
    if _is_header(cells, delimiter):
        return _with_names(delimiter, cells, len(cells)), True
    reader = csv.reader([comment], delimiter=delimiter, skipinitialspace=True)
    names = [cell.strip() for cell in next(reader, [""])]
    return _with_names(delimiter, names if len(names) == len(cells) else None, len(cells)), False


def _with_names(delimiter: str, names: list[str] | None, n_columns: int) -> _Layout:
    columns, label = list(range(n_columns)), None
    if names is not None:
        if n_columns > 1 and (not names[0] or names[0].lower() == "unnamed: 0"):
            columns = columns[1:]  # the numbers of rows, as pandas and R write them
        labels = [column for column in columns if names[column].lower() in LABELS]
        if len(labels) > 1:
            listed = " and ".join(quoted(names[column]) for column in labels)
            raise ValueError(f"it has several columns of labels, {listed}; expected one")
        label = labels[0] if labels else None
    columns = [column for column in columns if column != label]
    if not columns:
        raise ValueError("it has no columns but that of labels")
    return _Layout(delimiter, names, n_columns, columns, label)


def _is_blank(block: _Block) -> bool:
    """Whether columns are divided by blanks, as `numpy.savetxt` does by default."""
    lines = (line for line in block.text.split("\n") if line.strip() and line.strip()[0] != "#")
    line = next(lines, "")
    return not any(mark in line for mark in _DELIMITERS + '"') and len(line.split()) > 1


def _with_commas(block: _Block) -> _Block:
    """A block whose blanks have become commas."""
    text = "\n".join(",".join(line.split()) for line in block.text.split("\n"))
    return block._replace(text=text)


def _delimiter(line: str) -> str:
    unquoted = re.sub(r'"[^"]*"', "", line)
    return next((mark for mark in _DELIMITERS if mark in unquoted), ",")


def _cells(line: str, delimiter: str, number: int = 1) -> list[str]:
    if '"' not in line:
        return line.split(delimiter)
    return next(_quoted_rows([line], delimiter, number)) or [""]


def _is_header(cells: Sequence[str], delimiter: str) -> bool:
    """Whether a first line holds names.

    Some cell is text, and others are at most counted upwards, as in `label,0,1,2`; or pandas has
    numbered the columns, 0, 1, 2, ...
    """
    if delimiter == ";":
        cells = [cell.replace(",", ".") for cell in cells]
    counted, has_text = [], False
    for cell in cells:
        if _DIGITS.fullmatch(cell) and len(cell) < 10:
            counted.append(int(cell))
        elif _is_number(cell):
            return False
        else:
            has_text |= cell.lower() not in MISSING
    if has_text:
        return all(a < b for a, b in pairwise(counted))
    n_columns = len(cells) - (not cells[0])  # without that of the rows' numbers
    return n_columns >= _MIN_NUMBERED - (not cells[0]) and counted == list(range(n_columns))


def _is_number(cell: str) -> bool:
    try:
        return not math.isnan(_number(cell))
    except ValueError:
        return False


# --- numbers ----------------------------------------------------------------------------------


def _parsed(block: _Block, layout: _Layout) -> _Rows:
    if '"' not in block.text:
        rows = _plain_numbers(block.text, layout)
        if rows is not None:
            return rows
    return _any_numbers(block, layout)


def _plain_numbers(text: str, layout: _Layout) -> _Rows | None:
    """Numbers that `numpy.loadtxt` understands; None where there is anything else."""
    delimiter = layout.delimiter
    text = (text.replace(",", ".") if delimiter == ";" else text).rstrip("\n")
    ends = (delimiter * 2, f"\n{delimiter}", f"{delimiter}\n")
    if any(end in f"\n{text}\n" for end in ends):
        text = re.sub(rf"(?m)(?:^|(?<={delimiter}))(?={delimiter}|$)", "nan", text)
    try:  # lines of different numbers of cells are an error, too
        table = np.loadtxt(
            io.StringIO(text), np.float64, delimiter=delimiter, comments=None, ndmin=2
        )
    except ValueError:
        return None
    if table.shape[1] != layout.n_columns:
        return None
    labels = None if layout.label is None else table[:, layout.label].copy()
    if labels is not None and np.isnan(labels).any():
        return None
    return _Rows(_smallest(table[:, layout.columns]), labels)


def _any_numbers(block: _Block, layout: _Layout) -> _Rows:
    """The rows of a block, cell by cell."""
    values: list[list[float]] = []
    labels: list[str] = []
    for number, cells in _rows_of_cells(block, layout.delimiter):
        if len(cells) != layout.n_columns:
            raise ValueError(
                f"line {number:,} has {len(cells):,} cells; expected {layout.n_columns:,}"
            )
        values.append(_numbers(cells, number, layout))
        if layout.label is not None:
            label = cells[layout.label].strip()
            if label.lower() in MISSING:
                raise ValueError(f"line {number:,} has no label in {layout.name(layout.label)}")
            labels.append(label)
    table = np.array(values, np.float64).reshape(-1, len(layout.columns))
    return _Rows(_smallest(table), None if layout.label is None else labels)


def _rows_of_cells(block: _Block, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield number and cells of each line that is not blank."""
    lines = block.text.rstrip("\n").split("\n")
    if '"' in block.text:
        rows = _quoted_rows(lines, delimiter, block.first)
    else:
        rows = (line.split(delimiter) for line in lines)
    numbered = enumerate(rows, block.first)
    return (row for row in numbered if len(row[1]) > 1 or "".join(row[1]).strip())


def _quoted_rows(lines: Sequence[str], delimiter: str, first: int) -> Iterator[list[str]]:
    """Yield the cells of each line, the first of which has a number; some of them are in quotes."""
    reader = csv.reader([*lines, ""], delimiter=delimiter, skipinitialspace=True)
    for number, cells in enumerate(reader, 1):
        if reader.line_num != number:
            raise ValueError(
                f"line {first + number - 1:,} has a quote that does not end in it; expected each "
                "row on a line of its own"
            )
        yield cells


def _numbers(cells: Sequence[str], line: int, layout: _Layout) -> list[float]:
    found = []
    for column in layout.columns:
        cell = cells[column]
        try:
            found.append(_number(cell.replace(",", ".") if layout.delimiter == ";" else cell))
        except ValueError:
            _refuse(cell, line, layout.name(column))
    return found


def _number(cell: str) -> float:
    try:
        if "_" not in cell:
            return float(cell)
    except ValueError:
        pass
    text = cell.strip().lower()
    if text in MISSING:
        return math.nan
    if text in _TRUTH:
        return _TRUTH[text]
    raise ValueError(cell)


def _refuse(cell: str, line: int, column: str) -> NoReturn:
    raise ValueError(
        f"line {line:,}, {printable(column, 100)} holds {quoted(cell)}, which is no number "
        f"(texts may be in a column named {', '.join(LABELS[:-1])} or {LABELS[-1]})"
    )


# --- what is made of them ---------------------------------------------------------------------


def _smallest(table: Array) -> Array:
    """Values as uint8 where they are whole numbers from 0 to 255, else as float64."""
    with np.errstate(invalid="ignore"):
        if table.min(initial=0) >= 0 and table.max(initial=0) <= 255:  # not where one is NaN
            small = table.astype(np.uint8)
            if (small == table).all():
                return small
    return table


def _labels(parts: Iterable[_Rows]) -> Array:
    """The labels of all rows: numbers where all are numbers, else texts."""
    found = [part.labels for part in parts if part.labels is not None]
    try:
        return np.concatenate([np.asarray(labels, np.float64) for labels in found])
    except ValueError:
        texts = [
            label if isinstance(label, str) else f"{label:.17g}"
            for labels in found
            for label in labels
        ]
        return np.array(texts, object)  # an array of texts takes for each what the longest does


def _joined(parts: deque[_Rows]) -> Array:
    """All rows: as pixels where they look like these, else as float64; takes the parts away."""
    dtype = np.uint8 if _are_pixels(parts) else np.float64
    shape = sum(len(part.values) for part in parts), parts[0].values.shape[1]
    rows = np.empty(shape, dtype)
    first = 0
    while parts:
        values = parts.popleft().values
        rows[first : first + len(values)] = values
        first += len(values)
    return rows


def _without_empty_end(rows: Array, layout: _Layout) -> Array:
    """The rows without last columns that have neither name nor values.

    Programs that end each line with a comma, and worksheets, make them.
    """
    n_columns = rows.shape[1]
    while (
        n_columns > 1
        and not (layout.names and layout.names[layout.columns[n_columns - 1]])
        and rows.dtype == np.float64
        and np.isnan(rows[:, n_columns - 1]).all()
    ):
        n_columns -= 1
    return rows if n_columns == rows.shape[1] else np.ascontiguousarray(rows[:, :n_columns])


def _are_pixels(parts: deque[_Rows], first: int = 0) -> bool:
    """Whether rows are square pictures, grey or of three colours, of values from 0 to 255.

    Some value must be so large as that of a picture which is not all dark.

    Parameters
    ----------
    parts : rows in their order
    first : the first column of the pictures
    """
    n_columns = parts[0].values.shape[1] - first
    is_square = any(
        side >= _MIN_SIDE and side * side * depth == n_columns
        for depth in (1, 3)
        for side in (math.isqrt(n_columns // depth),)
    )
    return (
        is_square
        and all(part.values.dtype == np.uint8 for part in parts)
        and max(int(part.values[:, first:].max(initial=0)) for part in parts) >= DARK
    )
