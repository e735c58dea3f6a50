"""The IDX reader accepts exactly what the format says and names the fault of all else."""

from __future__ import annotations

import gzip
import re
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from fastvae.data.idx import IDXError, read_idx, read_images, read_labelled

IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)


def encode(
    values: np.ndarray, type_code: int = 0x08, shape: tuple[int, ...] | None = None
) -> bytes:
    shape = values.shape if shape is None else shape
    header = struct.pack(f">BBBB{len(shape)}I", 0, 0, type_code, len(shape), *shape)
    return header + values.tobytes()


@pytest.mark.parametrize("name", ["images", "images.gz", "misnamed"])
def test_reads_plain_and_compressed(tmp_path: Path, name: str) -> None:
    """Compression is told by the content, not by the name."""
    path = tmp_path / name
    content = encode(IMAGES)
    path.write_bytes(content if name == "images" else gzip.compress(content))
    np.testing.assert_array_equal(read_idx(path, ndim=3), IMAGES)
    np.testing.assert_array_equal(read_images(str(path)), IMAGES.reshape(2, 12))


def test_values_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "images"
    path.write_bytes(encode(IMAGES))
    assert read_idx(path).flags.writeable


def test_no_items(tmp_path: Path) -> None:
    path = tmp_path / "images"
    path.write_bytes(encode(IMAGES[:0]))
    assert read_images(path).shape == (0, 12)


FAULTS = {
    "empty": (b"", "is truncated: 0 bytes"),
    "magic": (b"PK\x03\x04" + bytes(20), r"not an IDX file: it starts with 50 4b 03 04, expected"),
    "type code": (b"\0\0\x07\x01" + bytes(20), "not an IDX file"),
    "dtype": (encode(IMAGES, type_code=0x0D), r"type 0x0d \(float32\); expected 0x08"),
    "no axes": (b"\0\0\x08\x00", r"0 axes; expected 3 \(images\)"),
    "labels": (encode(IMAGES[:, 0, 0]), r"1 axes \(labels\); expected 3 \(images\)"),
    "sizes": (b"\0\0\x08\x03" + bytes(7), "truncated: 7 bytes of sizes, 3 axes need 12"),
    "short": (encode(IMAGES)[:-1], "truncated: .* 2 x 3 x 4 = 24 values, found 23"),
    "long": (encode(IMAGES) + b"\0\0", "left over: .* 2 x 3 x 4 = 24 values, found (26|more)"),
    "absurd": (encode(IMAGES, shape=(2**32 - 1,) * 3), "truncated: .* found 24"),
}


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named(tmp_path: Path, fault: str, compressed: bool) -> None:
    content, message = FAULTS[fault]
    path = tmp_path / "train-images"
    path.write_bytes(gzip.compress(content) if compressed else content)
    with pytest.raises(IDXError, match=f"{re.escape(str(path))}.*{message}"):
        read_idx(path, ndim=3)


def test_corrupt_compression(tmp_path: Path) -> None:
    content = gzip.compress(encode(np.zeros((50, 28, 28), np.uint8)))
    path = tmp_path / "images.gz"
    path.write_bytes(content[:-12])
    with pytest.raises(IDXError, match=r"images\.gz is truncated: the gzip data ends early"):
        read_idx(path)
    checksum_off = bytearray(content)
    checksum_off[-8] ^= 1
    path.write_bytes(checksum_off)
    with pytest.raises(IDXError, match=r"images\.gz is corrupt: .*incorrect data check"):
        read_idx(path)
    stream_off = bytearray(content)
    stream_off[10:14] = b"\xff\xff\xff\xff"
    path.write_bytes(stream_off)
    with pytest.raises(IDXError, match=r"images\.gz is corrupt"):
        read_idx(path)


@pytest.mark.parametrize("compressed", [False, True])
def test_absurd_header_costs_no_memory(tmp_path: Path, compressed: bool) -> None:
    """A header of 10 GB in front of 24 bytes: less than 4 MB may be allocated."""
    content = encode(IMAGES, shape=(10_000, 1_000, 1_000))
    path = tmp_path / "images"
    path.write_bytes(gzip.compress(content) if compressed else content)
    tracemalloc.start()
    try:
        with pytest.raises(IDXError):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_images_and_labels_must_match(tmp_path: Path) -> None:
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.write_bytes(encode(IMAGES))
    labels.write_bytes(encode(np.array([7, 9], np.uint8)))
    rows, targets = read_labelled(images, labels)
    assert rows.dtype == np.uint8
    assert targets.dtype == np.int64
    assert targets.tolist() == [7, 9]
    labels.write_bytes(encode(np.array([7], np.uint8)))
    with pytest.raises(IDXError, match=r"images holds 2 images, but .*labels holds 1 labels"):
        read_labelled(images, labels)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent"):
        read_idx(tmp_path / "absent")


def test_official_mnist(mnist_dir: Path) -> None:
    images, labels = (
        next(mnist_dir.glob(f"t10k-{kind}*")) for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
    )
    rows, targets = read_labelled(images, labels)
    assert rows.shape == (10_000, 784)
    assert np.bincount(targets).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
