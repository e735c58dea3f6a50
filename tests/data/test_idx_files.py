"""IDX files by their paths, and the data sets whose files have names and types of their own."""

from __future__ import annotations

import gzip
import os
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fastvae import Dataset
from fastvae.commands.cli import main
from fastvae.data import DataUnavailable, IDXError, fetch, locate
from fastvae.data.idx import read_idx, read_labels
from fastvae.data.published import EMNIST_SPLITS, SOURCES, known_name

Array = npt.NDArray[Any]

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
IMAGES = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
TEST = IMAGES[:2] + np.uint8(100)
LABELS = np.array([3, 1, 2, 26], np.uint8)


def encode(values: Array) -> bytes:
    code = CODES[values.dtype.str[1:]]
    header = struct.pack(f">BBBB{values.ndim}I", 0, 0, code, values.ndim, *values.shape)
    return header + values.astype(values.dtype.newbyteorder(">")).tobytes()


def put(path: Path, values: Array) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = encode(values)
    path.write_bytes(gzip.compress(content) if path.suffix.lower() == ".gz" else content)
    return path


def pair(folder: Path, form: str, test: str = "t10k") -> Path:
    """The four files under names of a form; return that of the training images."""
    for part, n in (("train", 4), (test, 2)):
        put(folder / form.format(part=part, what="labels", n=1), LABELS[:n])
        images = IMAGES if part == "train" else TEST
        put(folder / form.format(part=part, what="images", n=3), images)
    return folder / form.format(part="train", what="images", n=3)


def check(data: Dataset) -> None:
    np.testing.assert_array_equal(data.train, IMAGES.reshape(4, 6))
    np.testing.assert_array_equal(data.test, TEST.reshape(2, 6))
    assert data.train.dtype == np.uint8
    assert data.train_labels is not None
    assert data.test_labels is not None
    assert data.train_labels.tolist() == [3, 1, 2, 26]
    assert data.test_labels.tolist() == [3, 1]


FORMS = [
    "{part}-{what}-idx{n}-ubyte",
    "{part}-{what}-idx{n}-ubyte.gz",
    "{part}-{what}.idx{n}-ubyte",
    "my_{part}_{what}_idx{n}_ubyte.gz",
    "cells-{part}-{what}.idx",
    "{part}{what}.idx{n}",
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("test", ["t10k", "test"])
@pytest.mark.parametrize("capitals", [False, True])
def test_a_file_of_images_finds_the_others(
    tmp_path: Path, form: str, test: str, capitals: bool
) -> None:
    path = pair(tmp_path, form, test)
    put(tmp_path / form.format(part="other-train", what="labels", n=1), LABELS + np.uint8(1))
    if capitals:
        for file in list(tmp_path.iterdir()):
            file.rename(file.with_name(file.name.upper()))
        path = path.with_name(path.name.upper())
    data = Dataset(str(path))
    check(data)
    assert data.name == str(path)
    if "my" in form or "cells" in form or capitals:
        return
    (tmp_path / form.format(part="other-train", what="labels", n=1)).unlink()
    check(Dataset(tmp_path))


def test_what_is_not_there_is_not_needed(tmp_path: Path) -> None:
    path = pair(tmp_path, FORMS[1])
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    data = Dataset(path)
    assert data.test.shape == (2, 6)
    assert data.test_labels is None
    (tmp_path / "t10k-images-idx3-ubyte.gz").rename(tmp_path / "t10k-images-idx3-ubyte.bak")
    (tmp_path / "train-labels-idx1-ubyte.gz").unlink()
    data = Dataset(path)
    assert data.test.shape == (0, 6)
    assert data.train_labels is None


def test_the_test_images_by_themselves(tmp_path: Path) -> None:
    pair(tmp_path, FORMS[1])
    data = Dataset(tmp_path / "t10k-images-idx3-ubyte.gz")
    np.testing.assert_array_equal(data.train, TEST.reshape(2, 6))
    assert data.train_labels is not None
    assert data.train_labels.tolist() == [3, 1]
    assert len(data.test) == 0


@pytest.mark.parametrize(
    "name", ["rows.idx", "x.idx3-ubyte", "rows-ubyte.gz", "no-name", "rows.dat"]
)
def test_a_file_of_any_name(tmp_path: Path, name: str) -> None:
    """Plain files are told by their content, compressed ones by their names."""
    data = Dataset(put(tmp_path / name, IMAGES))
    np.testing.assert_array_equal(data.train, IMAGES.reshape(4, 6))
    assert data.train_labels is None


def test_of_two_forms_that_of_the_named_file_is_taken(tmp_path: Path) -> None:
    for form in FORMS[:2]:
        pair(tmp_path, form)
    put(tmp_path / "train-labels-idx1-ubyte", LABELS[::-1])
    compressed, plain = (Dataset(tmp_path / form.format(part="train", what="images", n=3))
                         for form in (FORMS[1], FORMS[0]))  # fmt: skip
    assert compressed.train_labels is not None
    assert plain.train_labels is not None
    assert compressed.train_labels.tolist() == [3, 1, 2, 26]
    assert plain.train_labels.tolist() == [26, 2, 1, 3]


@pytest.mark.parametrize("dtype", CODES)
def test_numbers_of_all_types(tmp_path: Path, dtype: str) -> None:
    rows = np.linspace(0, 100, 12).reshape(3, 4).astype(dtype)
    for name in ("a-images.idx2", "a-images.idx2.gz"):
        found = Dataset(put(tmp_path / name, rows)).train
        np.testing.assert_array_equal(found, rows)
        assert found.dtype == rows.dtype
        assert found.dtype.isnative
    if dtype not in ("f4", "f8"):
        put(tmp_path / "a-labels.idx1", rows[:, 0])
        labels = Dataset(tmp_path / "a-images.idx2").train_labels
        assert labels is not None
        assert labels.dtype == np.int64
        assert labels.tolist() == rows[:, 0].tolist()


@pytest.mark.parametrize("width", [1, 8])
def test_labels_in_rows(tmp_path: Path, width: int) -> None:
    rows = np.arange(3 * width, dtype=np.int32).reshape(3, width) - 5
    assert read_labels(put(tmp_path / "labels", rows)).tolist() == rows[:, 0].tolist()
    with pytest.raises(IDXError, match="holds rows of 3 labels; expected one label, or the 8"):
        read_labels(put(tmp_path / "labels", rows.reshape(-1)[:3].reshape(1, 3)))


FAULTS: dict[str, tuple[str, Array, str]] = {
    "labels by themselves": (
        "train-labels-idx1-ubyte",
        LABELS,
        "named as labels are; give the file",
    ),
    "one axis": ("train-images-idx3-ubyte", LABELS, r"has 1 axes \(labels\); expected 2 or more"),
    "no images": (
        "train-images-idx3-ubyte",
        IMAGES[:0],
        r"must not be empty; got shape \(0, 2, 3\)",
    ),
    "no pixels": ("train-images-idx3-ubyte", IMAGES[:, :0], "must not be empty"),
    "fewer labels": (
        "train-labels-idx1-ubyte",
        LABELS[:3],
        "holds 4 images, but .* holds 3 labels",
    ),
    "images for labels": (
        "train-labels-idx1-ubyte",
        IMAGES,
        r"3 axes \(images\); expected 1 \(labels\)",
    ),
    "floats for labels": (
        "train-labels-idx1-ubyte",
        np.array([0.0, 1.0, 0.5, 2.0]),
        r"labels of .* must be whole numbers; got 0\.5 in row 2",
    ),
    "other pixels": (
        "t10k-images-idx3-ubyte",
        IMAGES[:2, :1],
        "must have the 6 pixels of .*; got 3",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named(tmp_path: Path, fault: str) -> None:
    name, values, message = FAULTS[fault]
    path = pair(tmp_path, FORMS[0])
    put(tmp_path / name, values)
    with pytest.raises(IDXError, match=message):
        Dataset(tmp_path / name if "by themselves" in fault else path)


@pytest.mark.parametrize("compressed", [False, True])
def test_cut_files_of_wide_values(tmp_path: Path, compressed: bool) -> None:
    path = put(tmp_path / "labels", LABELS.astype("i4"))
    content = path.read_bytes()
    for change, message in ((content[:-1], "truncated: .* 4 values of 4 bytes, found 15 bytes"),
                            (content + b"x", "left over: .* found (17 bytes|more)")):  # fmt: skip
        path.write_bytes(gzip.compress(change) if compressed else change)
        with pytest.raises(IDXError, match=message):
            read_idx(path, kind="integers")


def test_a_folder_of_several_data_sets(tmp_path: Path) -> None:
    pair(tmp_path, "a-" + FORMS[0])
    pair(tmp_path, "b-" + FORMS[0])
    with pytest.raises(IDXError, match="holds the images of several data sets, 'a-t10k-images"):
        Dataset(tmp_path)
    check(Dataset(tmp_path / "a-train-images-idx3-ubyte"))


# --- EMNIST and QMNIST ----------------------------------------------------------------------------


def put_emnist(folder: Path, split: str, suffix: str) -> None:
    for part, images in (("train", IMAGES), ("test", TEST)):
        name = f"emnist-{split}-{part}-{{}}{suffix}"
        put(folder / name.format("images-idx3-ubyte"), images.transpose(0, 2, 1).copy())
        put(folder / name.format("labels-idx1-ubyte"), LABELS[: len(images)])


@pytest.mark.parametrize(
    ("place", "suffix"),
    [
        (".", ".gz"),
        ("gzip", ".gz"),
        ("emnist", ""),
        ("emnist/gzip", ".gz"),
        ("EMNIST/raw", ""),
        ("emnist_letters", ".gz"),
        ("emnist_source_files", ""),
    ],
)
def test_emnist_as_people_have_it(tmp_path: Path, place: str, suffix: str) -> None:
    """All splits lie side by side; images are turned upright, labels of letters count from 1."""
    for split in EMNIST_SPLITS if place != "emnist_letters" else ("letters",):
        put_emnist(tmp_path / place, split, suffix)
    for name in ("emnist_letters", "EMNIST-letters", "emnist.letters"):
        data = Dataset(name, data_dir=tmp_path)
        check(data)
        assert data.name == "emnist_letters"
        assert data.label_names is not None
        assert [data.label_names[label] for label in (3, 1, 2, 26)] == ["C", "A", "B", "Z"]
    check(Dataset(tmp_path / place / f"emnist-letters-train-images-idx3-ubyte{suffix}"))


def test_names_of_the_characters() -> None:
    sizes = {"balanced": 47, "bymerge": 47, "byclass": 62, "letters": 26}
    for split in EMNIST_SPLITS:
        names = SOURCES[f"emnist_{split}"].label_names
        assert (None if names is None else len(names)) == sizes.get(split)
    names = SOURCES["emnist_balanced"].label_names
    assert names is not None
    assert [names[i] for i in (0, 10, 35, 36, 46)] == ["0", "A", "Z", "a", "t"]


def test_emnist_is_not_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FASTVAE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(
        DataUnavailable, match=r"(?s)emnist_mnist .*not downloaded.*gzip\.zip of NIST"
    ):
        fetch("emnist_mnist")
    assert locate("emnist_mnist") is None
    assert main(["data"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "emnist_letters" in line)
    assert "not downloaded" in line
    with pytest.raises(ValueError, match="unknown data set 'emnist'.*by its splits: balanced, byc"):
        Dataset("emnist")
    put_emnist(tmp_path, "mnist", ".gz")
    (tmp_path / "emnist-mnist-test-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match="missing: emnist-mnist-test-labels-idx1-ubyte"):
        Dataset("emnist_mnist", data_dir=tmp_path)


@pytest.mark.parametrize("place", [".", "qmnist", "QMNIST/raw"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_qmnist(tmp_path: Path, place: str, suffix: str) -> None:
    """Its labels are rows of eight, whose first is the class."""
    for part, images in (("train", IMAGES), ("test", TEST)):
        rows = np.arange(8 * len(images), dtype=np.int32).reshape(-1, 8) * 10**6
        rows[:, 0] = LABELS[: len(images)]
        put(tmp_path / place / f"qmnist-{part}-images-idx3-ubyte{suffix}", images)
        put(tmp_path / place / f"qmnist-{part}-labels-idx2-int{suffix}", rows)
    check(Dataset("qmnist", data_dir=tmp_path))
    check(Dataset(tmp_path / place / f"qmnist-train-images-idx3-ubyte{suffix}"))
    check(Dataset(tmp_path / place))


def test_names_of_many_spellings() -> None:
    for given, known in {
        "Fashion-MNIST": "fashion_mnist",
        "FashionMNIST": "fashion_mnist",
        "MNIST": "mnist",
        "QMNIST": "qmnist",
        "EMNIST/letters": None,
        "minst": None,
    }.items():
        assert known_name(given) == known


def test_a_folder_that_is_named_like_a_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name does not say that it is that data set: a card would be believed."""
    monkeypatch.chdir(tmp_path)
    for name in ("mnist", "EMNIST-letters", "synthetic_digits"):
        pair(tmp_path / name, FORMS[0])
        for given in (f"./{name}", Path(name)):
            data = Dataset(given)
            check(data)
            assert data.name == f"./{name}"
            check(Dataset(data.name))


def test_synthetic_digits_with_dashes() -> None:
    data = Dataset("Synthetic-digits", train_size=2, test_size=1)
    assert data.name == "synthetic_digits"
    assert data.train.shape == (2, 784)


# --- what the system has --------------------------------------------------------------------------


def test_debians_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has recompressed the files, whose checksums are others; it comes after the cache."""
    monkeypatch.delenv("FASTVAE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("fastvae.data.sources._INSTALLED", tmp_path / "datasets")
    assert locate("fashion_mnist") is None
    pair(tmp_path / "datasets" / "fashion-mnist", FORMS[1])
    check(Dataset("fashion_mnist"))
    check(Dataset("fashion_mnist", data_dir=tmp_path / "datasets"))
    check(Dataset("fashion_mnist", data_dir=tmp_path / "datasets" / "fashion-mnist"))
    check(Dataset(tmp_path / "datasets" / "fashion-mnist"))
    assert locate("mnist") is None
    (tmp_path / "datasets" / "fashion-mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    assert locate("fashion_mnist") is None


def test_labels_may_be_whole_floats(tmp_path: Path) -> None:
    path = pair(tmp_path, FORMS[0])
    put(tmp_path / "train-labels-idx1-ubyte", LABELS.astype(np.float64))
    check(Dataset(path))


def test_a_lie_about_compressed_values_is_found_without_reading_them(tmp_path: Path) -> None:
    header = struct.pack(">BBBBIII", 0, 0, 8, 3, 2**31, 2**10, 2**10)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(header + bytes(50_000_000), 9))
    tracemalloc.start()
    try:
        with pytest.raises(IDXError, match=r"is truncated: .*, found a gzip file of \d\d,\d{3}$"):
            Dataset(path)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["pipe", "pipe.png", "pipe.csv", "pipe-images-idx3-ubyte"])
def test_pipes_are_named(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(ValueError, match=f"{name} is a pipe; expected an ordinary file$"):
        Dataset(tmp_path / name)


@pytest.mark.parametrize("name", ["./nothing", "nothing/"])
def test_missing_folders_are_said_to_be_missing(name: str) -> None:
    with pytest.raises(ValueError, match="there is no such file or folder$"):
        Dataset(name)
