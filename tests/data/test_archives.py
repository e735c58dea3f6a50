"""Archives and compressed files that are damaged or made to do harm."""

from __future__ import annotations

import gzip
import io
import struct
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastvae import Dataset
from fastvae.commands.cli import main
from fastvae.data.idx import IDXError, read_idx

ROWS = np.arange(12.0).reshape(4, 3)
LABELS = np.arange(4)


def saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def archived(members: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", method) as archive:
        warnings.simplefilter("ignore")  # of names that are there twice
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def changed(content: bytes, field: int, value: int, width: int = 4) -> bytes:
    """An archive of one member, in both of whose headers a field (of the local one) is changed."""
    found = bytearray(content)
    number = value.to_bytes(width, "little")
    found[field : field + width] = number
    central = content.rindex(b"PK\x01\x02") + field + 2
    found[central : central + width] = number
    return bytes(found)


ONE = archived([("train.npy", saved(ROWS))])
STORED = archived([("train.npy", saved(ROWS))], zipfile.ZIP_STORED)
FLAGS, METHOD, CRC, PACKED, SIZE = 6, 8, 14, 18, 22
FAULTS: dict[str, tuple[bytes, str]] = {
    "encrypted": (changed(ONE, FLAGS, 1, 2), "'train.npy' is encrypted"),
    "bzip2": (
        archived([("train.npy", saved(ROWS))], zipfile.ZIP_BZIP2),
        "'train.npy' is compressed by method 12 of zip; expected .*savez",
    ),
    "lzma": (archived([("train.npy", saved(ROWS))], zipfile.ZIP_LZMA), "by method 14 of zip"),
    "unknown method": (changed(ONE, METHOD, 77, 2), "by method 77 of zip"),
    "checksum": (changed(ONE, CRC, 7), "CRC"),
    "nested": (archived([("train.npy", ONE)]), "'train.npy': it must start with"),
    "patch": (changed(ONE, FLAGS, 1 << 5, 2), "."),
    "a size that cannot be": (changed(ONE, SIZE, 2**31), "cannot have the 2,147,483,648 bytes"),
    "a stored size that cannot be": (changed(STORED, SIZE, 2**31), "cannot have the 2,147,483,6"),
    "more than announced": (changed(ONE, SIZE, 220), "CRC"),
    "fewer than announced": (changed(ONE, SIZE, 300), "holds 172 bytes of values"),
    "a packed size beyond the file": (changed(ONE, PACKED, 2**31), "cannot have the"),
    "a stream that is no deflate": (changed(STORED, METHOD, 8, 2), "."),
    "a member twice": (
        archived([("train.npy", saved(ROWS)), ("train.npy", saved(ROWS))]),
        "holds 2 arrays for train; expected one",
    ),
    "a member with and without ending": (
        archived([("train.npy", saved(ROWS)), ("train", saved(ROWS))]),
        "holds 2 arrays for train; expected one",
    ),
    "a single one twice": (
        archived([("x.npy", saved(ROWS)), ("x.npy", saved(ROWS))]),
        "holds 2 arrays for train; expected one",
    ),
    "names that lead out": (
        archived([("../train.npy", saved(ROWS)), ("/x_train.npy", saved(ROWS))]),
        "it holds '../train', '/x_train'",
    ),
    "names with escape codes": (
        archived([("\x1b[2J\u202e" + "x" * 999, b""), ("b", b"")]),
        r"it holds '\\x1b\[2J",
    ),
    "many names": (archived([(f"{i}.npy", b"") for i in range(2000)]), r"'19', \.\.\.$"),
    "labels that are too large": (
        archived([("train.npy", saved(ROWS)), ("y_train.npy", saved(np.full(4, 2**63, "u8")))]),
        "must be at most 9223372036854775807; got 9223372036854775808",
    ),
    "labels of one row": (
        archived([("train.npy", saved(ROWS)), ("y_train.npy", saved(LABELS[:1]))]),
        r"must be 4 integers, one for each row; got int64 of shape \(1,\)",
    ),
    "records": (archived([("train.npy", saved(np.zeros(3, "f4,i2")))]), "it holds records"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_archives_that_are_not_taken(tmp_path: Path, fault: str, capsys: Any) -> None:
    content, message = FAULTS[fault]
    path = tmp_path / "rows.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"(?s)rows.npz.*{message}") as caught:
        Dataset(path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 3000
    assert main(["train", "--dataset", str(path), "--output", str(tmp_path / "run")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("fastvae: error: ")


@pytest.mark.parametrize("place", range(0, len(ONE), 3))
def test_every_cut_and_every_flip_is_noticed_or_harmless(tmp_path: Path, place: int) -> None:
    path = tmp_path / "rows.npz"
    path.write_bytes(ONE[:place])
    with pytest.raises(ValueError, match=r"rows\.npz"):
        Dataset(path)
    for bit in range(8):
        content = bytearray(ONE)
        content[place] ^= 1 << bit
        path.write_bytes(content)
        with suppress(ValueError):
            np.testing.assert_array_equal(Dataset(path).train, ROWS)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["u1", "<f4", ">f8", "<i2", "?", "<f2"])
@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 2)])
def test_arrays_of_all_kinds_are_what_they_were(
    tmp_path: Path, order: Any, dtype: str, shape: tuple[int, ...]
) -> None:
    rows = np.asarray(np.random.default_rng(0).integers(0, 2, shape), dtype, order=order)
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "rows.npz", train=rows, y_train=np.arange(4, dtype=">u2"))
        found = Dataset(tmp_path / "rows.npz")
        np.testing.assert_array_equal(found.train, rows.reshape(4, -1))
        assert found.train.dtype == rows.dtype
        assert found.train_labels is not None
        assert found.train_labels.tolist() == [0, 1, 2, 3]
    np.save(tmp_path / "rows.npy", rows)
    np.testing.assert_array_equal(Dataset(tmp_path / "rows.npy").train, rows.reshape(4, -1))


def most_memory(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_members_that_nobody_asked_for_are_not_decompressed(tmp_path: Path) -> None:
    path = tmp_path / "rows.npz"
    bomb = bytes(30 << 20)
    path.write_bytes(archived([("bomb.npy", bomb), ("train.npy", saved(ROWS)), ("other", bomb)]))
    assert path.stat().st_size < 1 << 20
    assert most_memory(lambda: Dataset(path)) < 2 << 20


def test_a_directory_of_very_many_members_is_not_read(tmp_path: Path) -> None:
    """350,000 members that nobody asked for took 6 s; they share one entry of the directory."""
    path = tmp_path / "rows.npz"
    place = ONE.rindex(b"PK\x01\x02")
    end = ONE.rindex(b"PK\x05\x06")
    directory = ONE[place:end] * 350_000
    path.write_bytes(
        ONE[:place] + directory + ONE[end : end + 12] + struct.pack("<I", len(directory)) + ONE[-6:]
    )
    with pytest.raises(ValueError, match="directory must have at most 4,194,304 bytes; got 19,"):
        Dataset(path)
    arrays = {f"array_{i}": ROWS[0] for i in range(3000)}
    np.savez(path, train=ROWS, **arrays)
    np.testing.assert_array_equal(Dataset(path).train, ROWS)


def test_headers_are_compared_before_values_are_decompressed(tmp_path: Path) -> None:
    """30 MB of zeros in 30 kB, whose shapes do not fit what else is there."""
    path = tmp_path / "rows.npz"
    large = saved(np.zeros((1 << 10, 30 << 10), np.uint8))
    cases = {
        "test must have the 3 columns of train": [("train", saved(ROWS)), ("test", large)],
        "must be 1,024 integers": [("train", large), ("y_train", saved(LABELS))],
        "not be empty": [("train", large), ("test", saved(ROWS[:0]))],
    }
    for message, members in cases.items():
        path.write_bytes(archived(members))

        def refused(message: str = message) -> None:
            with pytest.raises(ValueError, match=message):
                Dataset(path)

        assert most_memory(refused) < 2 << 20


def test_a_member_that_goes_on_behind_its_size_is_not_read_on(tmp_path: Path) -> None:
    """The announced size is that of the array; the stream holds 30 MB more."""
    array = saved(ROWS)
    path = tmp_path / "rows.npz"
    content = archived([("train.npy", array + bytes(30 << 20))])
    content = changed(content, SIZE, len(array))
    path.write_bytes(changed(content, CRC, zlib.crc32(array)))

    def read() -> None:
        np.testing.assert_array_equal(Dataset(path).train, ROWS)

    assert most_memory(read) < 4 << 20


# --- gzip ----------------------------------------------------------------------------------------


NAMED = b"\x1f\x8b\x08\x08" + bytes(6) + b"n" * 10**6 + b"\0"


def idx(values: bytes, n: int) -> bytes:
    return struct.pack(">BBBBI", 0, 0, 8, 1, n) + values


def test_no_more_is_decompressed_than_the_header_says(tmp_path: Path) -> None:
    path = tmp_path / "labels.gz"
    path.write_bytes(gzip.compress(idx(b"abc" + bytes(30 << 20), 3), 9))

    def refused() -> None:
        with pytest.raises(IDXError, match="bytes left over: .* 3 = 3 values, found more"):
            read_idx(path)

    assert most_memory(refused) < 4 << 20


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (idx(b"abc", 3), None),
        (idx(b"abc", 2**32 - 1), "truncated"),
        (idx(b"abcd", 3), "left over"),
        (struct.pack(">BBBB99I", 0, 0, 8, 99, *[1] * 99) + b"a", "99 axes; expected 1 to 32"),
        (struct.pack(">BBBB3I", 0, 0, 8, 3, 0, 2**32 - 1, 2**32 - 1), "holds nothing, of a shape"),
        (struct.pack(">BBBB255I", 0, 0, 8, 255, *[2**32 - 1] * 255), "255 axes"),
    ],
)
@pytest.mark.parametrize(
    "form",
    ["plain", "gzip", "in members", "with a name", "a byte at a time", "padded", "padded members"],
)
def test_compressed_files_of_all_forms(
    tmp_path: Path, content: bytes, message: str | None, form: str
) -> None:
    path = tmp_path / "labels"
    forms = {
        "plain": content,
        "gzip": gzip.compress(content),
        "with a name": NAMED + gzip.compress(content)[10:],
        "in members": gzip.compress(content[:5]) + gzip.compress(b"") + gzip.compress(content[5:]),
        "a byte at a time": b"".join(gzip.compress(bytes([byte])) for byte in content),
        "padded": gzip.compress(content) + bytes(10**5),
        "padded members": gzip.compress(content[:5])
        + bytes(3)
        + gzip.compress(content[5:])
        + b"\0",
    }
    path.write_bytes(forms[form])
    if message is None:
        assert read_idx(path).tobytes() == content[8:]
    else:
        with pytest.raises(IDXError, match=message):
            read_idx(path)


@pytest.mark.parametrize("cut", range(1, 30))
def test_cut_gzip_files(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "labels"
    path.write_bytes(gzip.compress(idx(b"abc", 3))[:-cut])
    with pytest.raises(IDXError, match="labels is (truncated|not an IDX file)"):
        read_idx(path)


@pytest.mark.parametrize("tail", [b"x", bytes(4) + b"x", bytes(10**6) + b"x", b"\x1f\x8b"])
def test_what_stands_behind_a_gzip_file_is_no_part_of_it(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "labels"
    path.write_bytes(gzip.compress(idx(b"abc", 3)) + tail)
    with pytest.raises(IDXError, match="labels is (corrupt|truncated)"):
        read_idx(path)


def test_large_compressed_files_are_what_they_were(tmp_path: Path) -> None:
    """Runs of zeros, which zlib gives out in more pieces than it takes in."""
    values = np.zeros(5 << 20, np.uint8)
    values[:: 1 << 19] = 7
    path = tmp_path / "labels"
    path.write_bytes(gzip.compress(idx(values.tobytes(), values.size), 9))
    np.testing.assert_array_equal(read_idx(path), values)
