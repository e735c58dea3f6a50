"""What a file is by its first bytes, for the errors of readers that expected another one."""

import codecs
import re
from collections.abc import Callable
from typing import BinaryIO

START = 512
"""How many bytes tell it."""
SAFETENSORS = "a safetensors file, as models and checkpoints are"

_BY_START = (
    (b"\x93NUMPY", "a NumPy array (.npy)"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (.h5, .hdf5; of Keras, for one)"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"BZh", "compressed with bzip2"),
    (b"\xfd7zXZ\0", "compressed with xz"),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard"),
    (b"\x04\x22\x4d\x18", "compressed with LZ4"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"version https://git-lfs", "a pointer of Git LFS: the file itself was not fetched"),
    (b"GGUF", "a GGUF file"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"MATLAB 5.0 MAT-file", "a MATLAB file"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"%PDF-", "a PDF document"),
    (b"\x7fELF", "a program"),
)
# A zip archive tells what it is by the name of its first member.
_MEMBERS = (
    (r".*\.npy", "a zip archive of NumPy arrays (.npz)"),
    (r"(.*/)?(data\.pkl|\.format_version|\.data/.*|version|byteorder)", "a PyTorch file (.pt)"),
    (r"(metadata|config)\.json|model\.weights\.h5", "a Keras model (.keras)"),
    (r"", "a zip archive, or its beginning"),
)


def kind_of(start: bytes) -> str | None:
    """Say in a few words what a file is, by its first `START` bytes, if they tell."""
    if not start:
        return "an empty file"
    for magic, kind in _BY_START:
        if start.startswith(magic):
            return kind
    return next((kind for is_one, kind in _BY_LOOK if is_one(start)), None) or _zip(start)


def but_found(file: BinaryIO, suffix: str | None = None) -> str:
    """Say what an open file is, to be added to an error; nothing where it is what is expected.

    Parameters
    ----------
    file : the file
    suffix : of the kind that is expected, if there is one, as the name of that kind has it
    """
    file.seek(0)
    kind = kind_of(file.read(START))
    is_expected = suffix is not None and kind is not None and f"({suffix}" in kind
    return "" if kind is None or is_expected else f"; it is {kind}"


def _zip(start: bytes) -> str | None:
    if not start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return None
    length = int.from_bytes(start[26:28], "little")
    name = start[30 : 30 + length].decode("latin-1")
    return next(kind for pattern, kind in _MEMBERS if re.fullmatch(pattern or ".*", name, re.S))


def _is_pickle(start: bytes) -> bool:
    return start[0] == 0x80 and 2 <= start[1:2][0] <= 5 if len(start) > 1 else False


def _is_onnx(start: bytes) -> bool:
    """The version of the format, then the producer's name: fields 1 and 2 of a message."""
    return re.match(rb"\x08[\x01-\x20]\x12[\x01-\x7f][ -~]", start) is not None


def _is_text(start: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)  # the last character may be cut off
    except UnicodeDecodeError:
        return False
    return re.search(rb"[\x00-\x08\x0e-\x1f\x7f]", start) is None


_BY_LOOK: tuple[tuple[Callable[[bytes], bool], str], ...] = (
    (lambda start: start[257:262] == b"ustar", "a tar archive"),
    (lambda start: start[8:9] == b"{" and not any(start[4:8]), SAFETENSORS),
    (
        lambda start: re.match(rb"\0\0[\x08\x09\x0b-\x0e][\x01-\x04]", start) is not None,
        "an IDX file, as the images and labels of MNIST are",
    ),
    (_is_pickle, "a pickle (of PyTorch, joblib or Python itself), which could run any code"),
    (_is_onnx, "an ONNX model"),
    (lambda start: re.match(rb"\s*<(!doctype|html)", start, re.I) is not None, "a web page"),
    (lambda start: _is_text(start) and start.lstrip()[:1] in (b"{", b"["), "a text of JSON"),
    (_is_text, "a text"),
)
