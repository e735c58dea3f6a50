"""Dataset: what can be loaded, what is refused, and what its batches yield."""

from __future__ import annotations

import gzip
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fastvae.data import Dataset, DataUnavailable, synthetic_digits
from fastvae.data.sources import FILES
from fastvae.data.synthetic import TEST_FIRST

Array = npt.NDArray[Any]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A .npz of 23 training and 5 test rows whose first column is the row's number."""
    path = tmp_path / "own.npz"
    np.savez(
        path,
        train=numbered(23),
        train_labels=np.arange(23, dtype=np.uint8),
        test=numbered(5) + np.float32(100),
        test_labels=np.arange(5) + 100,
    )
    return path


def numbered(n: int) -> npt.NDArray[np.float32]:
    return np.repeat(np.arange(n, dtype=np.float32)[:, None], 3, axis=1)


def write_idx_folder(folder: Path, n_train: int = 4, n_test: int = 2) -> None:
    folder.mkdir(parents=True)
    for role, file in FILES.items():
        n = n_train if role.startswith("train") else n_test
        shape = (n, 2, 2) if role.endswith("images") else (n,)
        header = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)
        values = np.arange(np.prod(shape), dtype=np.uint8)
        (folder / f"{file}.gz").write_bytes(gzip.compress(header + values.tobytes()))


def test_mnist(mnist_dir: Path) -> None:
    data = Dataset(name="mnist", train_size=60000, test_size=10000, data_dir=mnist_dir)
    assert data.name == "mnist"
    assert data.train.shape == (60000, 784)
    assert data.test.shape == (10000, 784)
    assert data.train.dtype == data.test.dtype == np.uint8
    assert data.train_labels is not None
    assert data.test_labels is not None
    assert data.train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert data.test_labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert data.train.mean() == pytest.approx(33.318, abs=1e-3)
    with pytest.raises(ValueError, match=r"train_size must be at most 60,000, .* got 60,001"):
        Dataset(train_size=60001, data_dir=mnist_dir)


def test_known_name_from_a_folder(tmp_path: Path) -> None:
    write_idx_folder(tmp_path / "kmnist")
    data = Dataset("kmnist", data_dir=tmp_path, test_size=1)
    np.testing.assert_array_equal(data.train, np.arange(16).reshape(4, 4))
    np.testing.assert_array_equal(data.test, [[0, 1, 2, 3]])
    assert data.train_labels is not None
    assert data.train_labels.tolist() == [0, 1, 2, 3]
    assert data.train_labels.dtype == np.int64
    assert repr(data) == ("Dataset('kmnist': 4 training and 1 test rows of 4 uint8, batch_size=1)")


def test_nothing_is_downloaded_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FASTVAE_DATA", raising=False)
    monkeypatch.setattr("fastvae.data.sources.cache_folder", lambda name: tmp_path / name)
    monkeypatch.setattr("fastvae.data.dataset.fetch", None)
    with pytest.raises(DataUnavailable, match=r"(?s)kmnist is not on disk:\n.*put the four"):
        Dataset("kmnist", download=False)


def test_synthetic_digits() -> None:
    data = Dataset("synthetic_digits", train_size=50, test_size=20, seed=3)
    train, test = synthetic_digits(50, 3), synthetic_digits(20, 3, first=TEST_FIRST)
    np.testing.assert_array_equal(data.train, train.images)
    np.testing.assert_array_equal(data.test, test.images)
    np.testing.assert_array_equal(data.train_labels, train.labels)
    np.testing.assert_array_equal(data.test_labels, test.labels)


@pytest.mark.slow
def test_synthetic_digits_default_sizes() -> None:
    data = Dataset("synthetic_digits")
    assert data.train.shape == (60_000, 784)
    assert data.test.shape == (10_000, 784)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32, np.float64, np.bool_])
def test_array(dtype: npt.DTypeLike) -> None:
    """The rows are the user's own: not copied, not converted."""
    rows = numbered(6).astype(dtype)
    data = Dataset(rows)
    assert data.name == "array"
    assert data.train.dtype == dtype
    assert np.shares_memory(data.train, rows)
    assert data.test.shape == (0, 3)
    assert data.train_labels is None
    assert data.test_labels is None


def test_further_axes_are_flattened() -> None:
    images = np.arange(24).reshape(2, 3, 4)
    np.testing.assert_array_equal(Dataset(images).train, images.reshape(2, 12))
    np.testing.assert_array_equal(Dataset(images.tolist()).train, images.reshape(2, 12))


def test_npy_is_mapped(tmp_path: Path) -> None:
    path = tmp_path / "rows.npy"
    np.save(path, numbered(6).reshape(6, 3, 1))
    for name in (path, str(path)):
        data = Dataset(name)
        assert data.name == str(path)
        assert not data.train.flags.writeable
        assert isinstance(data.train, np.memmap)
        np.testing.assert_array_equal(data.train, numbered(6))
        assert sum(b for *_, b in data.batches()) == 6


def test_npz(archive: Path) -> None:
    data = Dataset(archive, train_size=20)
    np.testing.assert_array_equal(data.train, numbered(20))
    np.testing.assert_array_equal(data.train_labels, np.arange(20))
    np.testing.assert_array_equal(data.test, numbered(5) + 100)
    np.testing.assert_array_equal(data.test_labels, np.arange(5) + 100)


def test_npz_other_names(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "keras.npz", x_train=numbered(4), y_train=np.arange(4))
    data = Dataset(tmp_path / "keras.npz")
    np.testing.assert_array_equal(data.train_labels, np.arange(4))
    assert data.test.shape == (0, 3)
    assert data.test_labels is None
    np.savez(tmp_path / "single.npz", numbered(7))
    assert Dataset(tmp_path / "single.npz").train.shape == (7, 3)


BAD_ARCHIVES: dict[str, tuple[dict[str, Any], str]] = {
    "nameless": (
        {"a": numbered(2), "b": numbered(2)},
        r"own\.npz must hold an array named train, x_train, train_images or X,",
    ),
    "both names": (
        {"train": numbered(2), "x_train": numbered(2)},
        "holds both train and x_train; expected one",
    ),
    "columns": (
        {"train": numbered(2), "test": np.ones((4, 5))},
        r"test must have the 3 columns of train; got shape \(4, 5\)",
    ),
    "number of labels": (
        {"train": numbered(2), "train_labels": np.arange(3)},
        r"train_labels of .* must be 2 integers, one for each row; got int64 of shape \(3,\)",
    ),
    "type of labels": (
        {"train": numbered(2), "y_train": np.ones(2, complex)},
        "must be 2 integers, one for each row; got complex128",
    ),
    "fractions for labels": (
        {"train": numbered(2), "y_train": np.array([1, 0.5])},
        r"labels of .*own\.npz must be whole numbers; got 0.5 in row 1",
    ),
    "a missing label": (
        {"train": numbered(2), "y_train": np.array([np.nan, 1])},
        "must be whole numbers; got nan in row 0",
    ),
    "labels without end": (
        {"train": numbered(2), "y_train": np.array([1e300, 1])},
        "must be at most 9223372036854775807; got 1e",
    ),
    "labels of three axes": (
        {"train": numbered(2), "y_train": np.ones((2, 1, 1))},
        r"must be 2 integers, one for each row; got float64 of shape \(2, 1, 1\)",
    ),
    "texts and numbers": (
        {
            "train": numbered(2),
            "y_train": np.array(["a", "b"]),
            "test": numbered(1),
            "y_test": np.array([1]),
        },
        "must be numbers in all parts, or texts in all",
    ),
    "names in capitals and not": (
        {"x_train": numbered(2), "X_train": numbered(2)},
        "holds both x_train and X_train; expected one",
    ),
    "objects": (
        {"train": np.array([[None]])},
        "'train.npy': it holds Python objects; expected numbers",
    ),
}


@pytest.mark.parametrize("fault", BAD_ARCHIVES)
def test_bad_archives(tmp_path: Path, fault: str) -> None:
    arrays, message = BAD_ARCHIVES[fault]
    path = tmp_path / "own.npz"
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=message):
        Dataset(path)


LABELS: dict[str, tuple[Any, list[int]]] = {
    "bytes": (np.array([3, 1, 2], np.uint8), [3, 1, 2]),
    "floats": (np.array([3.0, -1, 2]), [3, -1, 2]),
    "half floats": (np.array([3, 1, 2], np.float16), [3, 1, 2]),
    "truth": (np.array([True, False, True]), [1, 0, 1]),
    "one a row": (np.array([[3], [1], [2]], np.uint8), [3, 1, 2]),
    "one float a row": (np.array([[3.0], [1], [2]]), [3, 1, 2]),
    "one-hot": (np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]]), [2, 0, 1]),
    "one-hot floats": (np.eye(3)[[2, 0, 1]], [2, 0, 1]),
    "texts": (np.array(["dog", "cat", "dog"]), [1, 0, 1]),
    "bytes of texts": (np.array([[b"dog"], [b"cat"], [b"dog"]]), [1, 0, 1]),
    "big ends": (np.array([3, 1, 2], ">i8"), [3, 1, 2]),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_all_kinds(tmp_path: Path, kind: str) -> None:
    labels, expected = LABELS[kind]
    np.savez(tmp_path / "own.npz", x_train=numbered(3), y_train=labels)
    data = Dataset(tmp_path / "own.npz")
    assert data.train_labels is not None
    assert data.train_labels.dtype == np.int64
    assert data.train_labels.tolist() == expected
    assert data.label_names == ({0: "cat", 1: "dog"} if "texts" in kind else None)


def test_several_labels_a_row_are_left_out(tmp_path: Path) -> None:
    """As those of ChestMNIST: rows can be learnt without them."""
    np.savez(tmp_path / "chest.npz", train_images=numbered(3), train_labels=np.ones((3, 14)))
    with pytest.warns(UserWarning, match=r"train_labels of .*chest.npz are left out: .* \(3, 14\)"):
        data = Dataset(tmp_path / "chest.npz")
    assert data.train_labels is None


def test_names_of_keras_and_medmnist(tmp_path: Path) -> None:
    images = np.arange(4 * 12, dtype=np.uint8).reshape(4, 2, 2, 3)
    keras = {"x_train": images, "y_train": np.arange(4), "x_test": images[:2], "y_test": [5, 6]}
    labels = np.arange(4, dtype=np.uint8)[:, None]
    med = {
        "train_images": images,
        "train_labels": labels,
        "val_images": images[:1],
        "val_labels": labels[:1],
        "test_images": images[:2],
        "test_labels": labels[:2] + 5,
    }
    capitals = {name.upper(): values for name, values in med.items()}
    for path, arrays in (("a.npz", keras), ("B.NPZ", med), ("c.Npz", capitals)):
        with (tmp_path / path).open("wb") as file:
            np.savez(file, **arrays)
        data = Dataset(tmp_path / path)
        np.testing.assert_array_equal(data.train, images.reshape(4, 12))
        np.testing.assert_array_equal(data.test, images[:2].reshape(2, 12))
        assert data.train_labels is not None
        assert data.test_labels is not None
        assert data.train_labels.tolist() == [0, 1, 2, 3]
        assert data.test_labels.tolist() == [5, 6]


def test_a_table_with_its_labels(tmp_path: Path) -> None:
    """`X` and `y`, unless the archive has training rows by a name that says so."""
    np.savez(tmp_path / "own.npz", X=numbered(3), y=np.array([0.0, 1, 1]), other=numbered(9))
    data = Dataset(tmp_path / "own.npz")
    np.testing.assert_array_equal(data.train, numbered(3))
    assert data.train_labels is not None
    assert data.train_labels.tolist() == [0, 1, 1]
    np.savez(tmp_path / "own.npz", X=numbered(3), y=np.arange(3), train=numbered(4))
    data = Dataset(tmp_path / "own.npz")
    assert len(data.train) == 4
    assert data.train_labels is None


def test_endings_in_capitals(tmp_path: Path) -> None:
    with (tmp_path / "ROWS.NPY").open("wb") as file:
        np.save(file, numbered(3))
    data = Dataset(tmp_path / "ROWS.NPY")
    assert isinstance(data.train, np.memmap)
    np.testing.assert_array_equal(data.train, numbered(3))


class Explosive:
    """Unpickling it is what must not happen."""

    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("a pickle was loaded",)


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_files_that_are_something_else(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows.{suffix}"
    if suffix == "npy":
        np.save(path, numbered(100))
    else:
        np.savez(path, train=numbered(100))
    sound = path.read_bytes()
    contents = [b"", b"text", sound[:-40], sound[: len(sound) // 2], pickle.dumps(Explosive())]
    if suffix == "npy":
        contents.append(sound + b"\0")
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"rows\.{suffix} is not a sound \.{suffix} file: ."):
            Dataset(path)


def test_absurd_header_in_an_archive(tmp_path: Path) -> None:
    """A header that announces a terabyte is refused by the file's size, before memory is asked."""
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 262144), }"
    header += b" " * (117 - len(header)) + b"\n"
    member = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(64)
    with zipfile.ZipFile(tmp_path / "own.npz", "w") as file:
        file.writestr("train.npy", member)
    with pytest.raises(ValueError, match=r"holds 64 bytes of values; its header announces 1,048,5"):
        Dataset(tmp_path / "own.npz")
    (tmp_path / "own.npy").write_bytes(member)
    with pytest.raises(ValueError, match=r"holds 64 bytes of values; its header announces 1,048,5"):
        Dataset(tmp_path / "own.npy")


def test_missing_file(tmp_path: Path) -> None:
    for name in ("rows.npy", "rows.npz"):
        with pytest.raises(FileNotFoundError, match="rows"):
            Dataset(tmp_path / name)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.ones((3, 2), complex), "array must hold real numbers; got dtype complex128"),
        (np.array([["a"]]), "array must hold real numbers; got dtype <U1"),
        (None, "array must hold real numbers; got dtype object"),
        (np.ones(5), r"must have shape \(n, n_features\) or \(n, ...\) .*; got shape \(5,\)"),
        (np.ones((0, 4)), r"not be empty; got shape \(0, 4\)"),
        (np.ones((4, 0)), r"not be empty; got shape \(4, 0\)"),
    ],
)
def test_bad_arrays(rows: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Dataset(rows)


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(
        ValueError,
        match="unknown data set 'minst'; known: .*, kmnist, mnist, qmnist, synthetic_digits, or",
    ):
        Dataset("minst")
    with pytest.raises(ValueError, match="unknown data set '';"):
        Dataset("")
    with pytest.raises(
        ValueError, match=r"'pictures/cats'; .* an array; there is no such file or folder$"
    ):
        Dataset("pictures/cats")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_size": 0}, "train_size must be at least 1; got 0"),
        ({"test_size": -2}, "test_size must be at least 1; got -2"),
        ({"batch_size": 0}, "batch_size must be at least 1; got 0"),
        ({"train_size": 24}, "train_size must be at most 23, all rows of .*own.npz; got 24"),
        ({"test_size": 6}, "test_size must be at most 5, all rows of .*own.npz; got 6"),
        ({"seed": -1}, "seed must be an integer between .*; got -1"),
    ],
)
def test_bad_options(archive: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Dataset(archive, **options)


def test_sizes_are_integers(archive: Path) -> None:
    with pytest.raises(TypeError):
        Dataset(archive, batch_size=1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("batch_size", [1, 4, 23, 50])
def test_a_pass_yields_every_row_once(archive: Path, batch_size: int) -> None:
    data = Dataset(archive, batch_size=batch_size)
    sizes, rows = [], []
    for (inputs, labels), (test_inputs, test_labels), b in data.batches():
        assert inputs.dtype == test_inputs.dtype == np.float32
        assert labels is not None
        assert test_labels is not None
        assert inputs.shape == test_inputs.shape == (b, 3)
        assert labels.shape == test_labels.shape == (b,)
        np.testing.assert_array_equal(inputs[:, 0], labels)
        np.testing.assert_array_equal(test_inputs[:, 0], test_labels)
        assert set(test_labels.tolist()) <= {100, 101, 102, 103, 104}
        sizes.append(b)
        rows += labels.tolist()
    assert sorted(rows) == list(range(23))
    assert rows != list(range(23))
    assert sizes[:-1] == [batch_size] * (len(sizes) - 1)
    assert 1 <= sizes[-1] <= batch_size


def test_calls_continue_the_random_stream(archive: Path) -> None:
    """Other rows with each call, the same sequence of calls for the same seed."""

    def orders(data: Dataset, calls: int) -> list[tuple[list[int], list[int]]]:
        passes = []
        for _ in range(calls):
            train: list[int] = []
            test: list[int] = []
            for (_, labels), (_, test_labels), _ in data.batches():
                assert labels is not None
                assert test_labels is not None
                train += labels.tolist()
                test += test_labels.tolist()
            passes.append((train, test))
        return passes

    first, second, third = orders(Dataset(archive, batch_size=7), 3)
    assert first[0] != second[0] != third[0]
    assert first[1] != second[1] != third[1]
    assert orders(Dataset(archive, batch_size=7), 3) == [first, second, third]
    assert orders(Dataset(archive, batch_size=2), 1) == [first]
    assert orders(Dataset(archive, batch_size=7, seed=1), 1) != [first]


def test_the_call_takes_its_place_in_the_stream(archive: Path) -> None:
    """Iterators that run side by side are different passes, however they are interleaved."""
    data = Dataset(archive, batch_size=23)
    earlier, later = data.batches(), data.batches()
    (_, second), *_ = next(later)
    (_, first), *_ = next(earlier)
    again = Dataset(archive, batch_size=23)
    np.testing.assert_array_equal(next(again.batches())[0][1], first)
    np.testing.assert_array_equal(next(again.batches())[0][1], second)


def test_pixels_become_fractions() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    data = Dataset(pixels, batch_size=16)
    (inputs, labels), (test_inputs, test_labels), b = next(data.batches())
    assert labels is None
    assert test_labels is None
    assert test_inputs.shape == (0, 16)
    assert b == 16
    order = np.argsort(inputs[:, 0])
    expected = pixels.astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(inputs[order], expected)


def test_numbers_of_other_types_keep_their_value() -> None:
    rows = np.array([[0.25, -3.0]])
    for dtype in (np.float64, np.float32, np.float16):
        inputs = next(Dataset(rows.astype(dtype)).batches())[0][0]
        np.testing.assert_array_equal(inputs, rows.astype(np.float32))


def test_the_seeds_demo(synthetic_rows: Array) -> None:
    """`next(dataset.batches())[1][0]` is one random test image, another with each call."""
    data = Dataset("synthetic_digits", train_size=100, test_size=100, batch_size=1)
    drawn = [next(data.batches())[1][0] for _ in range(8)]
    assert all(image.reshape(28, 28).max() > 0.9 for image in drawn)
    assert all(image.shape == (1, 784) for image in drawn)
    assert len({image.tobytes() for image in drawn}) > 4
    assert synthetic_rows.shape == (300, 784)
