"""Tables of numbers as text: what is understood, what is refused, and what it may cost."""

from __future__ import annotations

import gzip
import time
import tracemalloc
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from fastvae import Dataset
from fastvae.commands.cli import main
from fastvae.data import csv_tables

NAN = np.nan
TABLE: list[list[float]] = [[1, 2], [3, 4]]


def loaded(folder: Path, content: str | bytes, name: str = "rows.csv") -> Dataset:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return Dataset(path)


FORMS: dict[str, tuple[str | bytes, list[list[float]]]] = {
    "no header": ("1,2\n3,4\n", TABLE),
    "header": ("a,b\n1,2\n3,4\n", TABLE),
    "no end": ("a,b\n1,2\n3,4", TABLE),
    "Windows": ("a,b\r\n1,2\r\n3,4\r\n", TABLE),
    "old Mac": ("a,b\r1,2\r3,4\r", TABLE),
    "byte order mark": (b"\xef\xbb\xbfa,b\n1,2\n3,4\n", TABLE),
    "other encoding": ("\u00b5m,b\n1,2\n3,4\n".encode("latin-1"), TABLE),
    "semicolons": ("a;b\n1,0;2\n3;4,0\n", TABLE),
    "tabs": ("a\tb\n1\t2\n3\t4\n", TABLE),
    "Excel": ("sep=;\na;b\n1;2\n3;4\n", TABLE),
    "blanks": ("1.0e+00 2\n3  4\n", TABLE),
    "numpy.savetxt": ("# a b\n1 2\n3 4\n", TABLE),
    "names in a comment": ("# made today\n# a,b\n1,2\n3,4\n", TABLE),
    "empty lines": ("\na,b\n\n1,2\n\n3,4\n\n", TABLE),
    "spaces": (" a , b \n 1 , 2\n3 ,4 \n", TABLE),
    "quotes": ('"a","b, c"\n"1","2"\n3,"4"\n', TABLE),
    "one column": ("1\n2\n\n3\n", [[1], [2], [3]]),
    "pandas": (",a,b\n0,1,2\n1,3,4\n", TABLE),
    "pandas, unnamed": ("Unnamed: 0,a,b\n0,1,2\n1,3,4\n", TABLE),
    "pandas, numbered": ("0,1,2,3\n5,6,7,8\n", [[5, 6, 7, 8]]),
    "pandas, both": (",0,1,2\n0,5,6,7\n", [[5, 6, 7]]),
    "R": ('"","a","b"\n"Mazda RX4",1,2\n"Merc, 240D",3,4\n', TABLE),
    "numbers that count are rows in narrow tables": ("0,1\n5,6\n", [[0, 1], [5, 6]]),
    "missing": ("a,b,c\n1,,3\n,2,\nNA,null,?\n", [[1, NAN, 3], [NAN, 2, NAN], [NAN] * 3]),
    "missing at ends": ("a,b\n1,\n,2\n", [[1, NAN], [NAN, 2]]),
    "truth": ("a,b\ntrue,False\nTrue,1\n", [[1, 0], [1, 1]]),
    "many digits": ("1.25,-3e5\n1234567.5,.5\n", [[1.25, -3e5], [1234567.5, 0.5]]),
    "beyond a byte": ("256,0\n255,1\n", [[256, 0], [255, 1]]),
    "infinity": ("inf,1\n-inf,2\n", [[np.inf, 1], [-np.inf, 2]]),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("compressed", [False, True])
def test_forms(tmp_path: Path, form: str, compressed: bool) -> None:
    content, expected = FORMS[form]
    raw = content.encode() if isinstance(content, str) else content
    name = "ROWS.CSV.GZ" if compressed else "rows.csv"
    data = loaded(tmp_path, gzip.compress(raw) if compressed else raw, name)
    np.testing.assert_array_equal(data.train, expected)
    assert data.train.dtype == np.float64
    assert data.train_labels is None
    assert data.label_names is None
    assert data.test.shape == (0, len(expected[0]))
    assert data.name == str(tmp_path / name)


@pytest.mark.parametrize("form", FORMS)
def test_both_ways_of_reading_agree(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, expected = FORMS[form]
    monkeypatch.setattr(csv_tables, "_plain_numbers", lambda text, layout: None)
    np.testing.assert_array_equal(loaded(tmp_path, content).train, expected)


@pytest.mark.parametrize("block", [1, 2, 5, 17])
@pytest.mark.parametrize("form", [form for form in FORMS if form != "Windows"])
def test_blocks_of_any_size_are_the_same_table(
    tmp_path: Path, form: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, expected = FORMS[form]
    monkeypatch.setattr(csv_tables, "_BLOCK", block)
    np.testing.assert_array_equal(loaded(tmp_path, content).train, expected)


LABELS: dict[str, tuple[str, list[int], dict[int, str] | None]] = {
    "label": ("label,a\n7,1\n3,2\n", [7, 3], None),
    "last": ("a,Class\n1,7\n2,3\n", [7, 3], None),
    "floats": ("a,target\n1.5,7.0\n2,3e0\n", [7, 3], None),
    "with missing data": ("a,label\n,7\n2,-3\n", [7, -3], None),
    "texts": ('a,labels\n1,virginica\n2,"setosa, w"\n', [1, 0], {0: "setosa, w", 1: "virginica"}),
    "mixed": ("a,label\n1,2\n2,b\n", [0, 1], {0: "2", 1: "b"}),
    "pandas' index": (",label,0,1\n0,7,1,2\n1,3,4,5\n", [7, 3], None),
    "in a comment": ("# a,label\n1,7\n2,3\n", [7, 3], None),
}  # fmt: skip


@pytest.mark.parametrize("form", LABELS)
def test_labels(tmp_path: Path, form: str) -> None:
    content, expected, names = LABELS[form]
    data = loaded(tmp_path, content)
    assert data.train_labels is not None
    assert data.train_labels.dtype == np.int64
    assert data.train_labels.tolist() == expected
    assert data.label_names == names
    assert data.train.shape == (2, 2 if "index" in form else 1)


@pytest.mark.parametrize("content", ["a,b,\n1,2,\n3,4,\n", "a,b,,\n1,2,,\n3,4,,\n", "1,2,\n3,4,\n"])
def test_columns_of_nothing_at_the_end_are_left_out(tmp_path: Path, content: str) -> None:
    np.testing.assert_array_equal(loaded(tmp_path, content).train, [[1, 2], [3, 4]])


def test_empty_columns_that_may_mean_something_stay(tmp_path: Path) -> None:
    for content in ("a,b,c\n1,2,\n", "a,b,\n1,,3\n", "a,,c\n1,,3\n"):
        assert loaded(tmp_path, content).train.shape == (1, 3)


def test_texts_in_a_later_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_tables, "_BLOCK", 4)
    data = loaded(tmp_path, "a,label\n1,10\n2,9\n3,x\n4,9\n")
    assert data.label_names == {0: "10", 1: "9", 2: "x"}
    assert data.train_labels is not None
    assert data.train_labels.tolist() == [0, 1, 2, 1]


FAULTS: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "holds no rows; it is an empty file"),
    "only a header": ("a,b\n", "it holds no rows"),
    "only comments": ("# a\n# b\n", "it holds no rows"),
    "text": ("a,b\n1,2\n3,x\n", "line 3, column 'b' holds 'x', which is no number"),
    "text far down": ("a,b\n" + "1,2\n" * 5000 + "1,zwei\n", "line 5,002, column 'b' holds 'zwei'"),
    "text without header": ("5.1,setosa\n4.9,setosa\n", "line 1, column 2 holds 'setosa'"),
    "more cells": ("a,b\n1,2\n1,2,3\n", "line 3 has 3 cells; expected 2"),
    "fewer cells": ("a,b\n\n1,2\n1\n", "line 4 has 1 cells; expected 2"),
    "two columns of labels": ("label,Class,a\n1,2,3\n", "of labels, 'label' and 'Class'; expected"),
    "labels alone": ("label\n1\n", "no columns but that of labels"),
    "no whole labels": ("a,label\n1,1.5\n", "column 'label' .* must be whole numbers; got 1.5"),
    "labels without end": ("a,label\n1,1e300\n", "must be at most 9223372036854775807"),
    "a missing label": ("a,label\n1,2\n1,\n", "line 3 has no label in column 'label'"),
    "UTF-16": ("a,b\n1,2\n".encode("utf-16"), "written in UTF-16; expected UTF-8"),
    "NumPy": (b"\x93NUMPY\x01\0" + bytes(99), "bytes of 0 in it.*; it is a NumPy array"),
    "a web page": ("<html>\n<body>1</body></html>\n", "; it is a web page"),
    "escape codes": ("a,\x1b[2J\n1,\x07\n", r"column '\\x1b\[2J' holds '\\x07'"),
    "digits that are divided": ("a,b\n1_000,2\n", "holds '1_000'"),
    "thousands": ('a,b\n"1,000",2\n', "holds '1,000'"),
    "a quote without end": ('a,b\n"1,2\n3,4\n', "line 2 has a quote that does not end in it"),
    "a label of two lines": ('a,label\n1,x\n2,"y\nz"\n', "line 3 has a quote that does not end"),
    "a name of two lines": ('# c\n"a\nb",c\n1,2\n', "line 2 has a quote that does not end in it"),
    "a long name": ("x" * 10**6 + ",b\ny,2\n", "column 'xxx.*xxx'... holds 'y'"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named(tmp_path: Path, fault: str) -> None:
    content, message = FAULTS[fault]
    with pytest.raises(ValueError, match=rf"rows\.csv is not a table of numbers: .*{message}") as e:
        loaded(tmp_path, content)
    assert str(e.value).isprintable()
    assert len(str(e.value)) < 1000


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("block", [1, 4, 6, 1000])
def test_lines_are_counted_through_all_blocks(
    tmp_path: Path, end: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_tables, "_BLOCK", block)
    lines = ["# a,b", "", "a,b", "1,2", "", "3,4", '5,"6"', "7,x", "8,9"]
    with pytest.raises(ValueError, match="line 8, column 'b' holds 'x'"):
        loaded(tmp_path, end.join(lines))


def test_corrupt_compression(tmp_path: Path) -> None:
    content = gzip.compress(b"a,b\n" + b"1,2\n" * 100)
    for cut in (len(content) - 3, 20):
        with pytest.raises(ValueError, match=r"rows\.csv\.gz is (corrupt|not a table)"):
            loaded(tmp_path, content[:cut], "rows.csv.gz")
    with pytest.raises(FileNotFoundError, match=r"none\.csv"):
        Dataset(tmp_path / "none.csv")


def most_memory(path: Path) -> int:
    tracemalloc.start()
    try:
        with suppress(ValueError):
            Dataset(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(b"1,2\n" * 25_000_000),
        gzip.compress(b'"' * 100_000_000),
        gzip.compress(b"#\n" * 10_000_000),
        b"1," * 2_000_000,
        b"x" * 17_000_000,
        b"\n" * 500_000,
        b'"\n' * 100_000,
        b'"""\n' * 100_000,
        b'"1"\n' * 100_000,
        b"a" + b",b" * 300_000 + b"\n" + b"1," * 100,
        b"label,a\n" + b"x" * 1_000_000 + b",1\n" + b"y,1\n" * 1_000,
    ],
    ids=[
        "rows",
        "quotes",
        "comments",
        "columns",
        "name",
        "ends",
        "open",
        "odd",
        "quoted",
        "header",
        "one long label",
    ],
)
def test_what_is_made_to_do_harm(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    start = time.monotonic()
    with suppress(ValueError):
        Dataset(path)
    assert time.monotonic() - start < 15  # against hangs; tracing memory takes ten times as long
    assert most_memory(path) < 200 << 20


def pictures(n: int, side: int, largest: int, depth: int = 1) -> str:
    values = np.random.default_rng(0).integers(0, largest + 1, (n, side * side * depth))
    values[0, 0] = largest
    return "\n".join(",".join(map(str, row)) for row in values) + "\n"


@pytest.mark.parametrize(
    ("content", "dtype"),
    [
        (pictures(3, 8, 255), "u1"),
        (pictures(3, 28, 64), "u1"),
        (pictures(3, 8, 200, depth=3), "u1"),
        (pictures(3, 8, 63), "f8"),  # as counts, or grey values of 0 to 16
        (pictures(3, 8, 256), "f8"),
        (pictures(3, 7, 255), "f8"),
        (pictures(3, 8, 255, depth=2), "f8"),
        (pictures(3, 8, 255) + ".5" + ",1" * 63, "f8"),
        (pictures(3, 8, 255) + ",1" * 63, "f8"),
    ],
)
def test_what_is_taken_for_pixels(tmp_path: Path, content: str, dtype: str) -> None:
    assert loaded(tmp_path, content).train.dtype == dtype


@pytest.mark.parametrize("header", ["", "a" + ",b" * 64 + "\n"])
@pytest.mark.parametrize("largest", [63, 64, 255])
@pytest.mark.parametrize("n_more", [1, 2])
def test_a_label_before_pictures_without_a_header(
    tmp_path: Path, header: str, largest: int, n_more: int
) -> None:
    """As in the copies of MNIST that have none; with a header the label's column is named."""
    lines = pictures(5, 8, largest).splitlines()
    header = header and header.strip() + ",c" * (n_more - 1) + "\n"
    content = "\n".join(f"{i}{',200' * (n_more - 1)},{line}" for i, line in enumerate(lines))
    data = loaded(tmp_path, header + content)
    if header or largest < 64 or n_more > 1:
        assert data.train.shape == (5, 64 + n_more)
        assert data.train.dtype == np.float64
        assert data.train_labels is None
    else:
        assert data.train.dtype == np.uint8
        assert data.train.shape == (5, 64)
        assert data.train.max() == largest
        assert data.train_labels is not None
        assert data.train_labels.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.slow
def test_training_on_a_table(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.csv").write_text("label," + ",".join("abcd") + "\n" + "3,0,1,0.5,1\n" * 40)
    options = ["--hidden", "8", "--latent", "2", "--epochs", "1", "--no-pictures", "--quiet"]
    assert main(["train", "--dataset", "own.csv", *options, "--output", "out"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["evaluate", "out"]) == 1
    assert "the card of out/model.safetensors names the data 'own.csv'" in capsys.readouterr().err
    assert main(["evaluate", "out", "--dataset", "own.csv"]) == 0


@pytest.mark.slow
def test_mnist_as_a_table(tmp_path: Path, mnist_dir: Path) -> None:
    mnist = Dataset("mnist", data_dir=mnist_dir, train_size=20_000)
    assert mnist.train_labels is not None
    lines = ["label," + ",".join(f"{i}x{j}" for i in range(1, 29) for j in range(1, 29))]
    for label, row in zip(mnist.train_labels.tolist(), mnist.train, strict=True):
        lines.append(f"{label}," + ",".join(map(str, row.tolist())))
    data = loaded(tmp_path, "\n".join(lines))
    assert data.train.dtype == np.uint8
    np.testing.assert_array_equal(data.train, mnist.train)
    np.testing.assert_array_equal(data.train_labels, mnist.train_labels)
