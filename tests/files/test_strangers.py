"""Files of strangers: no files, files of another kind, sizes that lie, and messages that harm."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import re
import resource
import socket
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_checks import small_vae
from safetensors.numpy import save as to_safetensors

import fastvae
from fastvae import Dataset
from fastvae.checks.quoting import printable, quoted
from fastvae.commands import settings
from fastvae.data.idx import read_idx
from fastvae.files import checkpoints, npy, reading
from fastvae.files.kinds import kind_of
from fastvae.files.storage import CHECKPOINT_ENTRY, MODEL_ENTRY

READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "npy": ("rows.npy", Dataset),
    "npz": ("rows.npz", Dataset),
    "idx": ("images.gz", read_idx),
    "model": ("model.safetensors", fastvae.load),
    "checkpoint": ("run.ckpt", checkpoints.read),
    "resumed": (
        "run.ckpt",
        lambda path: small_vae().fit(np.zeros((3, 37)), epochs=1, resume=path, verbose=False),
    ),
    "settings": ("settings.json", lambda path: settings.read(path.parent)),
    "seed folder": ("sampler.json", lambda path: fastvae.load(path.parent)),
}


# --- what is no ordinary file -------------------------------------------------------------------


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.fspath(path))


def make_folder(path: Path) -> None:
    path.mkdir()


def make_link(to: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(to)


@pytest.mark.parametrize(
    "make",
    [
        make_pipe, make_socket, make_folder, make_link("/dev/zero"), make_link("/dev/null"),
        make_link("/proc/self/maps"), make_link("/proc/self/mem"), make_link("nowhere"),
    ],
    ids=["pipe", "socket", "folder", "zeros", "null", "proc", "memory", "nowhere"],
)  # fmt: skip
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_file_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: str, make: Callable[[Path], None]
) -> None:
    """Also without the time limit that the suite has: nothing waits for a writer."""
    name, read = READERS[reader]
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    make(Path(name))
    with pytest.raises((ValueError, OSError)) as caught:
        read(tmp_path / name)
    assert name in str(caught.value) or tmp_path.name in str(caught.value)


# --- what a file is -----------------------------------------------------------------------------


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model"))
    return file.getvalue()


def saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


IDX = struct.pack(">BBBBI", 0, 0, 8, 1, 3) + b"abc"
KINDS: dict[str, tuple[bytes, str]] = {
    "pth": (zipped("archive/data.pkl", "archive/data/0"), "a PyTorch file"),
    "old pth": (pickle.dumps(0x1950A86A20F9469CFC6C, 2), "a pickle"),
    "joblib": (pickle.dumps({"a": np.zeros(3)}, 4), "a pickle"),
    "h5": (b"\x89HDF\r\n\x1a\n" + bytes(500), "an HDF5 file"),
    "keras": (zipped("metadata.json", "config.json"), "a Keras model"),
    "npz": (zipped("train.npy"), "NumPy arrays (.npz)"),
    "npy": (saved(np.zeros(3)), "a NumPy array (.npy)"),
    "zip": (zipped("photos/1.jpg"), "a zip archive"),
    "empty zip": (zipped(), "a zip archive"),
    "onnx": (b"\x08\x07\x12\x07pytorch\x1a\x05" + bytes(50), "an ONNX model"),
    "gzip": (gzip.compress(b"text"), "compressed with gzip"),
    "tar": (tarred(), "a tar archive"),
    "JSON": (b' {"layers": []}', "a text of JSON"),
    "page": (b"<!DOCTYPE html>\n<html><body>404</body></html>", "a web page"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "of Git LFS"),
    "text": ("Zeilen, auch mit Umlauten: ä\n".encode() * 40, "a text"),
    "CSV": (b"1,2,3\n4,5,6\n", "a text"),
    "empty": (b"", "an empty file"),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(99), "a PNG picture"),
    "idx": (IDX, "an IDX file"),
    "safetensors": (to_safetensors({"a": np.zeros(3)}), "a safetensors file"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_another_kind_is_named(tmp_path: Path, kind: str) -> None:
    content, said = KINDS[kind]
    for reader, (name, read) in READERS.items():
        own = {"npy": "npy", "npz": "npz", "idx": "idx"}.get(reader, "safetensors")
        is_its_own = kind == own or (reader, kind) in {("idx", "gzip"), ("idx", "empty")}
        if is_its_own or reader in ("settings", "seed folder"):
            continue
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=re.escape(said)) as caught:
            read(tmp_path / name)
        assert "727905341903489161" not in str(caught.value)


def test_what_is_in_a_compressed_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(tarred()))
    with pytest.raises(ValueError, match="it is a tar archive"):
        read_idx(path)


@pytest.mark.parametrize("seed", range(20))
def test_no_start_of_a_file_is_too_odd(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for content, _ in KINDS.values():
        for length in (1, 2, 3, 4, 5, 8, 9, 26, 30, 40):
            kind_of(content[:length])
            kind_of(content[:length] + rng.bytes(40))


def test_models_are_no_data_and_data_no_models(tmp_path: Path) -> None:
    small_vae().save(tmp_path / "model.npz")
    with pytest.raises(ValueError, match="it is a safetensors file, as models and checkpoints are"):
        Dataset(tmp_path / "model.npz")
    small_vae().save(tmp_path / "model.safetensors")
    for name, kind in [("model.safetensors", "a safetensors"), ("rows.txt", "a text")]:
        (tmp_path / "rows.txt").write_text("1,2\n")
        with pytest.raises(ValueError, match=f"unknown data set .*, or an array; it is {kind}"):
            Dataset(tmp_path / name)


# --- what a message holds -----------------------------------------------------------------------

NASTY = "\x1b[2J\x1b]0;owned\x07\x9b\u202e\u2066\r\n\0\ud800"


@pytest.mark.parametrize(
    "value", [NASTY, NASTY.encode("utf-8", "replace"), [NASTY], {NASTY: {NASTY: NASTY}}]
)
def test_what_is_quoted_is_short_and_harmless(value: Any) -> None:
    long = value * 10**5 if isinstance(value, (str, bytes)) else [value] * 1000
    for text in (quoted(value), quoted(long)):
        assert text.isprintable()
        assert len(text) < 100


@pytest.mark.parametrize(
    "value",
    [10**5000, -(10**9999), [10**5000], np.zeros((99, 99)), 10**60],
    ids=["long", "negative", "listed", "array", "short"],
)
def test_long_numbers_and_arrays_are_quoted_too(value: Any) -> None:
    assert len(quoted(value)) < 200


@pytest.mark.parametrize(
    ("value", "expected"),
    [("x", "'x'"), ("x" * 80, "'" + "x" * 80 + "'"), (7, "7"), (1.5, "1.5"), (None, "None"),
     ("it's", '"it\'s"'), ([1, "a"], "[1, 'a']"), (b"ab", "b'ab'"),
     (np.zeros(2), "array([0., 0.])")],
)  # fmt: skip
def test_what_is_short_is_quoted_as_it_is(value: Any, expected: str) -> None:
    assert quoted(value) == expected


def test_printable_text_stays_and_is_cut() -> None:
    assert printable("Größe 東京 é") == "Größe 東京 é"
    assert printable("a\nb\x1b") == "a\\nb\\x1b"
    assert printable("x" * 50, 10) == "x" * 10 + "..."


def model_with(tmp_path: Path, **changes: Any) -> Path:
    """A model file with other settings."""
    path = tmp_path / "model.safetensors"
    small_vae().save(path)
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    entry = json.loads(header["__metadata__"][MODEL_ENTRY]) | changes
    header["__metadata__"][MODEL_ENTRY] = json.dumps(entry)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])
    return path


NUMBERS: list[Any] = [
    2**64, -1, 1.5, float("nan"), float("inf"), "abc", NASTY * 1000, "1" * 10**6, None, True, [],
    {},
    10**4000, [NASTY] * 1000, {NASTY: 1}, json.loads("[" * 400 + "]" * 400),
]  # fmt: skip


@pytest.mark.parametrize("name", ["epochs", "updates", "seed", "format_version"])
def test_numbers_of_a_model_are_checked(tmp_path: Path, name: str) -> None:
    for number in NUMBERS:
        path = model_with(tmp_path, **{name: number})
        with pytest.raises(ValueError, match="model.safetensors is not a valid model: ") as caught:
            fastvae.load(path)
        message = str(caught.value)
        assert message.isprintable()
        assert len(message) < 1000


@pytest.mark.parametrize("name", ["likelihood", "dtype", "activations", "sizes", "beta"])
def test_other_settings_of_a_model_are_quoted_harmlessly(tmp_path: Path, name: str) -> None:
    values = [NASTY * 1000, [NASTY], {NASTY * 100: NASTY}, {"encoder.0": NASTY * 99}, -1, "<i4,O"]
    for value in values:
        path = model_with(tmp_path, **{name: value})
        with pytest.raises(ValueError, match="model.safetensors is not a valid model: ") as caught:
            fastvae.load(path)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 1200


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "a": 2}', "it holds the entry 'a' more than once"),
        ('[{"b": {"\\u001b": 1, "\\u001b": 2}}]', r"it holds the entry '\\x1b' more than once"),
        ("[" * 10**5, "nested too deep"),
        ('{"a":' * 10**5, "nested too deep"),
        ("NaN", "it holds NaN"),
        ("[-Infinity]", "it holds -Infinity"),
        ("1" * 5000, "4300"),
        ("\ufeff{}", "BOM"),
        ("{", "line 1"),
        ("", "line 1"),
    ],
)
def test_json_that_is_not_taken(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text, "utf-8")
    with pytest.raises(ValueError, match=message):
        reading.read_json(path, 10**7)
    with pytest.raises(ValueError, match=message):
        reading.parse_json(text)


def test_json_in_another_encoding_or_too_long_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes("{}".encode("utf-16"))
    with pytest.raises(ValueError, match="utf-8"):
        reading.read_json(path, 100)
    path.write_bytes(b" " * 101)
    with pytest.raises(ValueError, match="too large for a file of settings: more than 100 bytes"):
        reading.read_json(path, 100)


def test_json_of_very_many_values_is_not_taken() -> None:
    for text in (
        "[" + "0," * 200_001 + "0]",
        "[" + ('{"":' * 9 + "0" + "}" * 9 + ",") * 22_222 + "]",
    ):
        with pytest.raises(ValueError, match="more than 200,000 commas and brackets"):
            reading.parse_json(text)


def test_a_header_that_is_far_longer_than_a_model_needs_is_not_read(tmp_path: Path) -> None:
    """Numbers of 4,299 digits: a header of 100 MB, which the format allows, took 8 s."""
    path = tmp_path / "model.safetensors"
    header = json.dumps({"__metadata__": {"fastvae": f"[{'9' * 4299}{',' + '9' * 4299}]" * 2000}})
    path.write_bytes(struct.pack("<Q", len(header)) + header.encode())
    with pytest.raises(ValueError, match="header must have at most 16,000,000 bytes; got 17,"):
        fastvae.load(path)


def test_a_card_of_very_many_values_is_not_written(tmp_path: Path) -> None:
    vae = small_vae()
    vae.card = {"values": list(range(100_001))}
    with pytest.raises(ValueError, match="more than 100,000 commas and brackets"):
        vae.save(tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


# --- headers of arrays --------------------------------------------------------------------------


def npy_file(header: str, values: bytes = b"", version: int = 1) -> bytes:
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header.encode("latin-1") + values


def header_of(content: bytes) -> npy.Header:
    return npy.read_header(io.BytesIO(content), len(content))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((3, 4)), np.zeros((3, 4), np.float32, order="F"), np.zeros(0), np.zeros(()),
        np.zeros((2, 0, 3), np.uint8), np.zeros(5, ">i2"), np.zeros(3, bool), np.zeros(3, "<U7"),
        np.zeros(3, "M8[ns]"), np.zeros(2, np.complex64), np.zeros(2, np.longdouble),
        np.zeros(2, "V3"),
        np.zeros((1,) * 32, np.float16),
    ],
    ids=lambda array: f"{array.dtype}-{array.shape}"[:30],
)  # fmt: skip
@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_numpys_own_headers_are_read(array: np.ndarray, version: tuple[int, int]) -> None:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version)
    header = header_of(file.getvalue())
    assert (header.dtype, header.shape) == (array.dtype, array.shape)
    assert header.is_fortran == (not array.flags.c_contiguous)
    assert file.getvalue()[header.end :] == array.tobytes("A")


@pytest.mark.parametrize(
    "header",
    [
        "{'shape': (2, 3), 'fortran_order': False, 'descr': '<f4'}",
        '{"descr":"<f4","fortran_order":False,"shape":(2,3,)}   \n',
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 3L), }\n",
    ],
)
def test_headers_of_other_writers_are_read(header: str) -> None:
    assert header_of(npy_file(header, bytes(24))).shape == (2, 3)


GOOD = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"


@pytest.mark.parametrize(
    "header",
    [
        "", "{", "}", "{}", "(" * 9000, "[" * 9000, "{" * 9000, "-" * 9000, "'" * 9000, "1e" * 4000,
        "'''", '"\\', "lambda: 0", "9" * 9000, "{'descr': '<f4'}", GOOD + GOOD, GOOD[:-1], GOOD[1:],
        GOOD + "#", "0" + GOOD, GOOD.replace("False", "0"), GOOD.replace("False", "'False'"),
        GOOD.replace("(2, 3)", "[2, 3]"), GOOD.replace("(2, 3)", "(2, -3)"),
        GOOD.replace("(2, 3)", "(6)"), GOOD.replace("(2, 3)", "((2, 3),)"),
        GOOD.replace("(2, 3)", "(2, 3.0)"), GOOD.replace("(2, 3)", "(True, 6)"),
        GOOD.replace("(2, 3)", "(" + "9" * 4500 + ",)"), GOOD.replace("(2, 3)", "(2,) * 6"),
        GOOD.replace("(2, 3)", "(4611686018427387904, 4)"), GOOD.replace("(2, 3)", "(1,) * 40"),
        GOOD.replace("(2, 3)", "(" + "1, " * 40 + "6)"), GOOD.replace("'<f4'", "'<f3'"),
        GOOD.replace("'<f4'", "'|O'"), GOOD.replace("'<f4'", "'O'"),
        GOOD.replace("'<f4'", "'<f4,O'"),
        GOOD.replace("'<f4'", "[('a', '<f4')]"), GOOD.replace("'<f4'", "[('a', '|O')]"),
        GOOD.replace("'<f4'", "{'names': ['a']}"), GOOD.replace("'<f4'", "('<f4', (1,))"),
        GOOD.replace("'<f4'", "float"), GOOD.replace("'<f4'", "None"), GOOD.replace("'<f4'", "''"),
        GOOD.replace("'<f4'", "'<M8[0s]'"), GOOD.replace("'<f4'", "'<U99999999999'"),
        GOOD.replace("'descr'", "'descr': '<f4', 'descr'"), GOOD.replace("}", "'more': 1}"),
    ],
)  # fmt: skip
def test_other_headers_are_no_headers(tmp_path: Path, header: str) -> None:
    path = tmp_path / "rows.npy"
    path.write_bytes(npy_file(header, bytes(24)))
    with pytest.raises(ValueError, match=r"rows.npy is not a sound .npy file: .") as caught:
        Dataset(path)
    assert len(str(caught.value)) < 600
    with zipfile.ZipFile(tmp_path / "rows.npz", "w") as archive:
        archive.writestr("train.npy", npy_file(header, bytes(24)))
    with pytest.raises(ValueError, match=r"rows.npz is not a sound .npz file: 'train.npy': ."):
        Dataset(tmp_path / "rows.npz")


@pytest.mark.parametrize("version", [0, 4, 255])
def test_other_versions_and_long_headers_are_refused(version: int) -> None:
    with pytest.raises(ValueError, match=r"format version must be 1.0, 2.0 or 3.0"):
        header_of(npy_file(GOOD, bytes(24), version))
    with pytest.raises(ValueError, match=r"at most 10,000 bytes; got 4,294,967,295"):
        header_of(b"\x93NUMPY\x02\0" + b"\xff" * 4 + GOOD.encode())
    with pytest.raises(ValueError, match="header ends early: 59 of 9,000 bytes"):
        header_of(b"\x93NUMPY\x01\0" + struct.pack("<H", 9000) + GOOD.encode())


# --- sizes --------------------------------------------------------------------------------------


def sparse(path: Path, start: bytes, size: int) -> Path:
    with path.open("wb") as file:
        file.write(start)
        file.truncate(size)
    return path


def refused_in_little_memory(read: Callable[[], object], message: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message):
            read()
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_sparse_array_of_a_seed_folder_is_not_read(tmp_path: Path) -> None:
    """4 GB that cost nothing on the disk: the shape is compared with the layer's before."""
    small_vae().save(tmp_path / "seed", format="seed")
    for shape, message in [("(1073741824,)", r"must be \(19, 37\)"), ("(19, 37)", "holds 4,294,")]:
        header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
        start = npy_file(header)
        sparse(tmp_path / "seed/encoder_layer0/weight.npy", start, len(start) + 2**32)
        refused_in_little_memory(lambda: fastvae.load(tmp_path / "seed"), message)


def test_ten_terabytes_are_mapped_and_not_allocated(tmp_path: Path) -> None:
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (10, 1099511627776), }"
    path = tmp_path / "rows.npy"
    path.write_bytes(npy_file(header, bytes(99)))
    refused_in_little_memory(lambda: Dataset(path), "announces 10,995,116,277,760")
    model = tmp_path / "model"
    entry = {"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}
    text = json.dumps(entry).encode()
    model.write_bytes(struct.pack("<Q", len(text)) + text)
    refused_in_little_memory(lambda: fastvae.load(model), "4,398,046,51.*bytes expected")


def test_what_is_too_large_for_memory_is_a_memory_error_that_says_so(tmp_path: Path) -> None:
    """Two terabytes that are really there, as far as the file system knows."""
    facts = {"format_version": 1, "facts": {}, "checksum": ""}
    header = {
        "__metadata__": {CHECKPOINT_ENTRY: json.dumps(facts)},
        "a": {"dtype": "F32", "shape": [2**39], "data_offsets": [0, 2**41]},
    }
    text = json.dumps(header).encode()
    start = struct.pack("<Q", len(text)) + text
    path = sparse(tmp_path / "run.ckpt", start, len(start) + 2**41)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (2**40, limits[1]))
    try:
        with pytest.raises(MemoryError, match=r"no memory for what .*run\.ckpt holds: .* 2.00 TiB"):
            checkpoints.read(path)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": ["a", 10**12], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [2.0], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [True, 2], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": {"a": 1}, "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [-1, -2], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [1] * 99, "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]},
        {"dtype": "F32", "shape": [2], "data_offsets": [-8, 0]},
        {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]},
        {"dtype": "F32", "shape": [2], "data_offsets": [0, 8, 8]},
        {"dtype": "F32", "shape": [2]},
        {"dtype": ["F32"], "shape": [2], "data_offsets": [0, 8]},
        {"dtype": NASTY, "shape": NASTY * 1000, "data_offsets": [0, 8]},
        [], 7, None, NASTY,
    ],
)  # fmt: skip
def test_entries_of_tensors_must_fit(tmp_path: Path, entry: Any) -> None:
    text = json.dumps({"__metadata__": {MODEL_ENTRY: "{}"}, "a": entry}).encode()
    path = tmp_path / "model"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(8))
    with pytest.raises(ValueError, match="model is not a valid model: ") as caught:
        fastvae.load(path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 700


def test_tensors_that_overlap_or_leave_holes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model"
    for second in ([0, 8], [4, 12], [9, 17]):
        entries = {
            "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
            "b": {"dtype": "F32", "shape": [2], "data_offsets": second},
        }
        text = json.dumps(entries).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(second[1]))
        with pytest.raises(ValueError, match="the values of 'b' must begin at byte"):
            fastvae.load(path)


def test_models_of_others_with_types_that_numpy_lacks_are_told_from_damaged_ones(
    tmp_path: Path,
) -> None:
    text = json.dumps({"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}).encode()
    path = tmp_path / "model"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))
    with pytest.raises(ValueError, match="the safetensors file was not written by fastvae"):
        fastvae.load(path)
