"""Files that are damaged at random, and files that are made to do harm, given to every reader.

Readers work in processes of their own, with a limit of memory, so that a crash or a hang shows and
the input that did it is kept.
"""

from __future__ import annotations

import argparse
import copy
import gzip
import io
import json
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors.numpy import save as to_safetensors

import fastvae
from fastvae import VAE, Dataset, callbacks
from fastvae.commands import settings
from fastvae.data.idx import read_idx
from fastvae.files import checkpoints, storage

TITLE = "Files of strangers"
TEXT = """
Valid files of every kind that is read (IDX, plain and compressed, and pairs of them; .npy; .npz,
stored and compressed; tables, plain and compressed; folders of pictures; models; checkpoints, and
runs that go on from them; folders in the seed's format; the settings of a run) are changed at
random: bits, bytes, lengths, whole parts; numbers and texts in headers and in JSON, checksums made
good again; sizes up to 2^64, names with escape codes, nesting without end. Each is read. It must be
taken, or refused by one of the documented exceptions, whose message names the file, is short, and
holds no control characters. Readers may take 256 MB more memory than they had at the start, and 2
seconds; a crash would end the process that reads.
"""
COUNT = 200_000

TESTS = Path(__file__).resolve().parents[1]
BATCH = 10_000
LIMIT = 2.0
HANG = 30
ROOM = 256 << 20
MAX_MESSAGE = 3000
MOST = "most memory in MB that a read took"

NUMBERS = (0, 1, -1, 255, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**62, 2**63, 2**64 - 1)
VALUES: tuple[Any, ...] = (
    *NUMBERS, None, True, False, 0.5, -0.0, 1e308, 5e-324, 10**400, -(10**30), "", "abc", "mnist",
    "x" * 10_000, "\x1b[2J\x07", "\u202e\ud800", "../../etc/passwd", [], {}, [[]], [1], [1, 2],
    [10**12, 10**12], ["a", 10**9], [-1, -1], {"a": 1}, float("nan"), float("inf"),
    json.loads("[" * 90 + "]" * 90),
)  # fmt: skip
TOKENS = (
    b"\0" * 8, b"\xff" * 8, b"(" * 300, b"[" * 5000, b"{", b"'", b'"', b"\x1b[2J", b"PK\x01\x02",
    b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"\x1f\x8b\x08", b"\x93NUMPY\x01\0", b"|O",
    b"<f8", b"True", b"None", b"9" * 25, b"-1", b"1e999", b"99999999999", b"NaN", b"\xf0\x9f",
)  # fmt: skip
HEADERS = (
    "{'descr': %s, 'fortran_order': %s, 'shape': %s, }",
    "{'descr': %s, 'fortran_order': %s}",
    "{'descr': %s, 'fortran_order': %s, 'shape': %s, 'more': 1}",
    "((" * 200,
)
DESCRS = (
    "'<f4'", "'>f8'", "'|O'", "'|u1'", "'<U999999999'", "'<M8[ns]'", "'<M8[0s]'", "'|V8'", "'<f3'",
    "'a5'", "[('a', '<f4'), ('b', '|O')]", "[]", "''", "'(2,3)f4'", "'<c16'", "None", "'<f99999'",
)  # fmt: skip
SHAPES = (
    "(6, 5)", "(5, 6)", "()", "(30,)", "(-1, 5)", "(6, 5, 0)", "(10000000000000, 1)", "(6L, 5L)",
    "(2,) * 9", "(" + "1," * 60 + ")", "(" + "9" * 4400 + ",)", "((6, 5),)", "(6.0, 5)", "(6 5)",
    "(4611686018427387904, 4611686018427387904)", "(0, 4611686018427387904)",
)  # fmt: skip

PLACES = {
    "npy": "input.npy",
    "npz": "input.npz",
    "IDX pairs": "input-train-images-idx3-ubyte",
    "tables": "input.csv",
    "tables, compressed": "input.csv.gz",
    "tables of pixels": "input.tsv",
    "pictures": "pictures/fuzz-input.png",
}
"""The names of files that are told by their names."""
CELLS = (
    "", "0", "1", "255", "256", "-1", "1.5", "1e999", "nan", "inf", "NA", "x", "1_0", '"', '"1"',
    " 2 ", "9" * 400, "0x1F", "True", "label", "#", "\u0663", "\x1b[2J", "1,5", "a" * 3000,
    "\u202e", "\ud800",
)  # fmt: skip

Reader = tuple[Callable[[random.Random], bytes], Callable[[Path], object]]


class Inputs:
    """Valid files, and what is made of them.

    Parameters
    ----------
    folder : Path
        Where inputs are put.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows = np.random.default_rng(0).random((21, 6), dtype=np.float32)
        self.model, self.checkpoints = self._trained()
        self.plain_run = checkpoints.read(folder / "run.ckpt")
        self.seed = folder / "seed"
        fastvae.load(folder / "model").save(self.seed, format="seed")
        self.seed_files = sorted(path for path in self.seed.rglob("*") if path.is_file())
        self.run = folder / "run"
        self.run.mkdir()
        self.settings = self._settings()
        self.readers: dict[str, Reader] = {
            "IDX": (self._idx, read_idx),
            "IDX, compressed": (self._idx_compressed, read_idx),
            "npy": (self._npy, _take_rows),
            "npz": (self._npz, _take_rows),
            "IDX pairs": (self._idx_pair, _take_rows),
            "tables": (self._table, _take_rows),
            "tables, compressed": (self._table_compressed, _take_rows),
            "tables of pixels": (self._table_of_pixels, _take_rows),
            "pictures": (self._picture, lambda path: _take_rows(path.parent)),
            "models": (self._model, fastvae.load),
            "checkpoints": (self._checkpoint, checkpoints.read),
            "checkpoints, going on": (self._crafted, self._go_on),
            "seed folders": (self._seed_file, lambda _: fastvae.load(self.seed)),
            "settings": (self._settings_file, lambda _: settings.read(self.run)),
        }

    def put(
        self, name: str, chance: random.Random
    ) -> tuple[Callable[[Path], object], Path, bytes | None]:
        """Put an input where its reader looks for it.

        Returns
        -------
        read : callable
        path : Path
        before : bytes or None
            What is to be put there again.
        """
        make, read = self.readers[name]
        self.place = self.folder / "input"
        content, path = make(chance), self.place
        path = self.folder / PLACES[name] if name in PLACES else path
        before = path.read_bytes() if path.is_relative_to(self.seed) else None
        path.write_bytes(content)
        return read, path, before

    # --- valid files ---------------------------------------------------------------------------

    def _vae(self) -> VAE:
        return VAE.from_sizes(6, hidden=(5,), n_latent=2)

    def _fit(self, vae: VAE, **kept: Any) -> None:
        stopping = callbacks.EarlyStopping(patience=9)
        vae.fit(
            self.rows, epochs=3, batch_size=4, validation=self.rows[:5], verbose=False,
            n_threads=1, callbacks=[stopping, *kept.pop("more", ())], **kept,
        )  # fmt: skip

    def _trained(self) -> tuple[bytes, list[bytes]]:
        """A model, and checkpoints of its training, within epochs and after them."""
        path, vae, found = self.folder / "run.ckpt", self._vae(), []

        class Copying(callbacks.Callback):
            def on_epoch_begin(self, vae: VAE, epoch: int) -> None:
                if path.exists():
                    found.append(path.read_bytes())

            on_epoch_end = on_epoch_begin  # type: ignore[assignment]

        self._fit(vae, checkpoint=path, checkpoint_every=2)
        found.append(path.read_bytes())
        vae.card = {"dataset": "mnist", "numbers": [1, 2.5, None], "more": {"é": "text"}}
        vae.save(self.folder / "model")
        return (self.folder / "model").read_bytes(), found

    def _settings(self) -> bytes:
        from fastvae.commands.parser import build_parser

        args = build_parser().parse_args(["train", "--dataset", "mnist", "--epochs", "3"])
        return json.dumps(settings.recorded(args, "mnist", "grey"), indent=2).encode()

    def _array(self, chance: random.Random) -> np.ndarray:
        dtype = chance.choice(["<f4", ">f8", "|u1", "<i8", "<f2", "|b1"])
        array = np.arange(30).reshape(chance.choice([(6, 5), (3, 5, 2)])).astype(dtype)
        return chance.choice([array, np.asfortranarray(array)])

    # --- what is made of them ------------------------------------------------------------------

    def _idx(self, chance: random.Random) -> bytes:
        shape = chance.choice([(5, 3, 2), (30,), (2, 3, 5, 1)])
        content = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape) + bytes(30)
        if chance.random() < 0.3:
            n = chance.randrange(256)
            sizes = (chance.choice(NUMBERS) & 0xFFFFFFFF for _ in range(n))
            content = struct.pack(f">BBBB{n}I", 0, 0, 8, n, *sizes) + bytes(30)
        return damaged(content, chance)

    def _idx_compressed(self, chance: random.Random) -> bytes:
        content = self._idx(chance) * chance.choice([1, 1, 1, 5000])
        content = gzip.compress(content, chance.choice([1, 9]), mtime=0)
        if chance.random() < 0.2:
            content += chance.choice([content, gzip.compress(b"") * 200, bytes(1000)])
        return damaged(content, chance) if chance.random() < 0.7 else content

    def _npy(self, chance: random.Random) -> bytes:
        array = self._array(chance)
        file = io.BytesIO()
        np.save(file, array)
        content = file.getvalue()
        if chance.random() < 0.5:
            text = chance.choice(HEADERS)
            for mark, known in (("%s", DESCRS), ("%s", ("True", "False", "0")), ("%s", SHAPES)):
                text = text.replace(mark, chance.choice(known), 1)
            content = npy(text.encode(), array.tobytes(), chance.choice([1, 1, 1, 2, 3, 0]))
        return damaged(content, chance) if chance.random() < 0.7 else content

    def _npz(self, chance: random.Random) -> bytes:
        names = ["train", "test", "train_labels", "y_test", "x_train", "other", "\x1b[2J", "../a"]
        file = io.BytesIO()
        method = chance.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED])
        method = chance.choice([method] * 8 + [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
        with warnings.catch_warnings(), zipfile.ZipFile(file, "w", method) as archive:
            warnings.simplefilter("ignore")  # a name that is there twice
            for name in chance.choices(names, weights=[9, 3, 2, 1, 1, 1, 1, 1], k=3):
                content = self._npy(chance)
                if chance.random() < 0.7:
                    rows = io.BytesIO()
                    np.save(rows, self._array(chance))
                    content = rows.getvalue()
                if "labels" in name or "y_" in name:
                    labels = io.BytesIO()
                    np.save(labels, np.arange(chance.choice([6, 3]), dtype=np.uint64) << 60)
                    content = labels.getvalue()
                archive.writestr(f"{name}.npy", content * chance.choice([1, 1, 1, 2000]))
        content = file.getvalue()
        if chance.random() < 0.3:  # a field of an entry: flags, method, time, CRC, sizes, place
            start = content.rfind(chance.choice([b"PK\x01\x02", b"PK\x03\x04"]))
            place, width = chance.choice([(8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2)])
            return overwritten(content, start + place, width, "little", chance)
        return damaged(content, chance) if chance.random() < 0.5 else content

    def _idx_pair(self, chance: random.Random) -> bytes:
        """The images, or instead what is beside them: labels, or the test pair."""
        images = struct.pack(">BBBB3I", 0, 0, 8, 3, 5, 3, 2) + bytes(30)
        for part in ("train", "t10k"):
            of_images, of_labels = images, struct.pack(">BBBBI", 0, 0, 8, 1, 5) + bytes(5)
            if chance.random() < 0.3:
                code, width = chance.choice([(8, 1), (11, 2), (12, 4), (12, 4), (13, 4), (14, 8)])
                n = chance.choice([1, 1, 2, 8])
                of_labels = struct.pack(">BBBB2I", 0, 0, code, 2, 5, n) + bytes(5 * n * width)
                of_labels = damaged(of_labels, chance) if chance.random() < 0.5 else of_labels
            if part == "t10k" and chance.random() < 0.3:
                of_images = self._idx(chance)
            for kind, content in (("images-idx3", of_images), ("labels-idx1", of_labels)):
                (self.folder / f"input-{part}-{kind}-ubyte").write_bytes(content)
        return self._idx(chance) if chance.random() < 0.3 else images

    def _table(self, chance: random.Random) -> bytes:
        mark = chance.choice([",", ";", "\t", " "])
        end = chance.choice(["\n", "\n", "\r\n", "\r"])
        n = chance.choice([1, 2, 3, 64])
        lines = [mark.join(chance.choice(["a", "label", "b", "", "0"]) for _ in range(n))]
        odd = chance.choice([0, 0, 0.02, 0.5])
        for _ in range(chance.choice([1, 5, 40])):
            cells = (
                chance.choice(CELLS if chance.random() < odd else CELLS[1:4]) for _ in range(n)
            )
            lines.append(mark.join(cells))
        text = end.join(lines[chance.randrange(2) :]).encode("utf-8", "replace")
        text = text * chance.choice([1, 1, 1, 200])
        return damaged(text, chance) if chance.random() < 0.6 else text

    def _table_compressed(self, chance: random.Random) -> bytes:
        text = self._table(chance)
        if chance.random() < 0.1:
            text = chance.choice([b"0,1\n", b'"', b"\n", b"#\n", b"1", b","]) * 100_000
        content = gzip.compress(text, 1, mtime=0)
        return damaged(content, chance) if chance.random() < 0.7 else content

    def _table_of_pixels(self, chance: random.Random) -> bytes:
        rows = np.arange(640, dtype=np.uint8).reshape(10, 64)
        text = "\n".join("\t".join(map(str, row)) for row in rows).encode()
        return damaged(text, chance)

    def _picture(self, chance: random.Random) -> bytes:
        """One of two pictures of a folder; the other comes before it, and is whole."""
        mode = chance.choice(["L", "1", "P", "RGB", "RGBA", "LA", "I;16", "CMYK"])
        kind = "PPM" if mode in ("L", "RGB") else "PNG"
        if mode == "CMYK":
            kind = "JPEG"
        kind = chance.choice([kind, "JPEG" if mode in ("L", "RGB", "CMYK") else "PNG"])
        first, file = self.folder / "pictures" / "first.png", io.BytesIO()
        if not first.exists():
            first.parent.mkdir()
            Image.new("L", (9, 7)).save(first)
        Image.frombytes("L", (9, 7), chance.randbytes(63)).convert(mode).save(file, kind)
        content = file.getvalue()
        if kind == "PNG" and chance.random() < 0.7:
            return _png(content, chance)
        return damaged(content, chance) if chance.random() < 0.9 else content

    def _model(self, chance: random.Random) -> bytes:
        if chance.random() < 0.4:
            return damaged(self.model, chance)
        return safetensors(self.model, storage.MODEL_ENTRY, chance)

    def _checkpoint(self, chance: random.Random) -> bytes:
        content = chance.choice(self.checkpoints)
        if chance.random() < 0.5:
            return damaged(content, chance)
        return safetensors(content, storage.CHECKPOINT_ENTRY, chance)

    def _crafted(self, chance: random.Random) -> bytes:
        """A checkpoint whose checksum is right."""
        path = self.folder / "crafted"
        path.write_bytes(chance.choice(self.checkpoints))
        saved = checkpoints.read(path)
        facts, arrays = saved.facts, dict(saved.arrays)
        if chance.random() < 0.8:
            facts = changed(facts, chance)
        else:
            name = chance.choice(sorted(arrays))
            array = arrays[name]
            others = [array * np.nan, array.astype(np.int64), array.reshape(-1)[1:], -array]
            arrays[name] = chance.choice([*others, array[..., :1]]).copy()
        try:
            checksum = checkpoints._checksum(facts, arrays)
            entry = {"format_version": 1, "facts": facts, "checksum": checksum}
            return to_safetensors(arrays, {storage.CHECKPOINT_ENTRY: json.dumps(entry)})
        except (ValueError, TypeError):  # what JSON cannot hold
            return damaged(path.read_bytes(), chance)

    def _go_on(self, path: Path) -> None:
        with np.errstate(all="ignore"):
            self._fit(self._vae(), resume=path)

    def _seed_file(self, chance: random.Random) -> bytes:
        """What comes into the place of one of the folder's files, which is then `self.place`."""
        self.place = chance.choice(self.seed_files)
        content = self.place.read_bytes()
        if self.place.suffix == ".json" and chance.random() < 0.8:
            return dumped(changed(json.loads(content), chance), chance)
        if self.place.suffix == ".npy" and chance.random() < 0.4:
            return self._npy(chance)
        return damaged(content, chance)

    def _settings_file(self, chance: random.Random) -> bytes:
        self.place = self.run / settings.SETTINGS
        if chance.random() < 0.3:
            return damaged(self.settings, chance)
        return dumped(changed(json.loads(self.settings), chance), chance)


def _take_rows(path: Path) -> None:
    data = Dataset(path)
    with np.errstate(all="ignore"):  # values may be anything: infinities of both signs, for one
        np.asarray(data.train).sum(dtype=np.float64)
        np.asarray(data.test).sum(dtype=np.float64)


# --- changes ---------------------------------------------------------------------------------


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Bytes with one to four changes."""
    changed = bytearray(content)
    for _ in range(chance.choice([1, 1, 1, 2, 4])):
        n = len(changed)
        place = min(int(chance.random() ** chance.choice([1, 3]) * n), max(n - 1, 0))
        end = min(n, place + chance.choice([1, 2, 8, 40, n]))
        match chance.randrange(9):
            case 0:
                if n:
                    changed[place] ^= 1 << chance.randrange(8)
            case 1:
                if n:
                    changed[place] = chance.randrange(256)
            case 2:
                del changed[place:]
            case 3:
                del changed[place:end]
            case 4:
                changed[place:place] = changed[place:end] * chance.choice([1, 3])
            case 5:
                changed[place:place] = chance.choice(TOKENS)
            case 6:
                changed += chance.choice([b"\0", bytes(4096), bytes(changed[:end])])
            case 7:
                token = chance.choice(TOKENS)
                changed[place : place + len(token)] = token
            case 8:
                width, order = chance.choice([2, 4, 8]), chance.choice(["little", "big"])
                changed = bytearray(overwritten(bytes(changed), place, width, order, chance))
    return bytes(changed)


def overwritten(content: bytes, place: int, width: int, order: Any, chance: random.Random) -> bytes:
    """Bytes with an extreme number in a place."""
    number = chance.choice(NUMBERS) & (256**width - 1)
    return content[:place] + number.to_bytes(width, order) + content[place + width :]


def changed(value: Any, chance: random.Random) -> Any:
    """JSON data with one to three changes somewhere in it."""
    value = json.loads(json.dumps(value))
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        outer: Any = None
        inner: Any = value
        key: Any = None
        while isinstance(inner, (dict, list)) and inner:
            if outer is not None and chance.random() < 0.2:
                break
            outer = inner
            key = chance.choice(sorted(inner) if isinstance(inner, dict) else range(len(inner)))
            inner = outer[key]
        if outer is None:
            return copy.deepcopy(chance.choice(VALUES))
        match chance.randrange(6):
            case 0:
                del outer[key]
            case 1:
                if isinstance(outer, dict):
                    outer[chance.choice(["\x1b[2J", "x" * 5000, "new", ""])] = copy.deepcopy(inner)
            case 2:
                if type(inner) is int:
                    outer[key] = inner + chance.choice([-1, 1, 7, 10**9])
                elif isinstance(inner, list):
                    outer[key] = copy.deepcopy(inner * 3)
            case _:
                outer[key] = copy.deepcopy(chance.choice(VALUES))
    return value


def dumped(value: Any, chance: random.Random) -> bytes:
    """JSON as text, now and then with an entry twice or a number without end."""
    text = json.dumps(value)
    match chance.randrange(10):
        case 0:
            text = text.replace("{", '{"epochs": 1, "epochs": 2, ', 1)
        case 1:
            text = text.replace("1", "1" * 5000, 1)
        case 2:
            text = "[" * 100_000 + text
        case 3:
            return text.encode("utf-16")
    return text.encode()


def npy(header: bytes, values: bytes, version: int) -> bytes:
    """A .npy file of a header and values."""
    length = struct.pack("<H" if version < 2 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + values


def _png(content: bytes, chance: random.Random) -> bytes:
    """A PNG file with a change in one of its parts, whose checksum is right again."""
    place, parts = 8, []
    while place < len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        parts.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += 12 + length
    i = chance.randrange(len(parts))
    kind, inner = parts[i]
    if kind == b"IDAT" and chance.random() < 0.5:
        inner = zlib.compress(damaged(zlib.decompress(inner), chance))
    else:
        inner = damaged(inner, chance)
    if chance.random() < 0.2:
        kind = chance.choice(
            [b"tRNS", b"PLTE", b"zTXt", b"iTXt", b"acTL", b"fdAT", b"eXIf", b"iCCP"]
        )
        parts.insert(i, (kind, inner))
    else:
        parts[i] = (kind, inner)
    made = content[:8]
    for kind, inner in parts:
        checksum = zlib.crc32(kind + inner)
        made += struct.pack(">I", len(inner)) + kind + inner + struct.pack(">I", checksum)
    return made


def safetensors(content: bytes, entry: str, chance: random.Random) -> bytes:
    """A safetensors file with a changed header or a changed entry of its metadata."""
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    if chance.random() < 0.4:
        header = changed(header, chance)
    else:
        inner = json.loads(header["__metadata__"][entry])
        header["__metadata__"][entry] = dumped(changed(inner, chance), chance).decode("latin-1")
    text = dumped(header, chance)
    return struct.pack("<Q", len(text)) + text + content[8 + length :]


# --- the processes ---------------------------------------------------------------------------


def probe(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Give so many inputs to the readers, as many to each.

    Yields
    ------
    dict
        Inputs tried, refused and taken of each reader, the longest read, the most memory.

    Raises
    ------
    AssertionError
        If a reader crashed, took too long or too much, or raised what is not documented.
    """
    counted: dict[str, Any] = {}
    for first in range(0, count, BATCH):
        n = min(BATCH, count - first)
        for what, figure in one_batch(n, seed * 1_000_003 + first).items():
            is_most = what.startswith(("most", "longest"))
            before = counted.get(what, 0)
            counted[what] = max(before, figure) if is_most else before + figure
        yield counted


def one_batch(n: int, seed: int) -> dict[str, Any]:
    """Let a process of its own try `n` inputs; return what it counted."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    command = [sys.executable, "-m", "probes.fuzz", str(n), str(seed), str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=TESTS)
    assert done.returncode == 0, (
        f"the process that reads ended with {done.returncode}; what it read is in {folder}\n"
        f"{done.stdout[-4000:]}"
    )
    shutil.rmtree(folder)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def read_all(n: int, seed: int, folder: Path) -> Counter[str]:
    """Be the process that reads."""
    warnings.simplefilter("error")
    inputs, chance, counted = Inputs(folder), random.Random(seed), Counter[str]()
    names = list(inputs.readers)
    for i in range(20 * len(names)):  # what is done once, such as starting threads
        read, path, before = inputs.put(names[i % len(names)], chance)
        _one(read, path)
        if before is not None:
            path.write_bytes(before)
    _limit_memory()
    for i in range(n):
        name = names[i % len(names)]
        read, path, before = inputs.put(name, chance)
        (folder / "last").write_text(f"{name}, input {i}: {path}\n")
        Path("/proc/self/clear_refs").write_text("5")  # forgets the peak
        start = memory("VmRSS")
        outcome, seconds = _one(read, path)
        grown = (memory("VmHWM") - start) >> 10
        counted[MOST] = max(counted[MOST], grown)
        for _ in range(2):  # others may have had the processor
            if seconds > LIMIT:
                seconds = min(seconds, _one(read, path)[1])
        assert seconds < LIMIT, f"{name}, input {i}: {seconds:.1f} s"
        counted[f"{name}: {outcome}"] += 1
        counted["inputs"] += 1
        counted["longest read in ms"] = max(counted["longest read in ms"], round(seconds * 1000))
        if before is not None:
            path.write_bytes(before)
    return counted


def _one(read: Callable[[Path], object], path: Path) -> tuple[str, float]:
    """What came of a read, and how long it took."""
    signal.alarm(HANG)
    start = time.perf_counter()
    try:
        read(path)
        outcome = "taken"
    except (ValueError, TypeError, OSError, FloatingPointError) as error:
        outcome = "refused"
        _check_message(error)
    seconds = time.perf_counter() - start
    signal.alarm(0)
    return outcome, seconds


def _check_message(error: Exception) -> None:
    text = str(error)
    assert text.isprintable() or isinstance(error, OSError), f"control characters in {text!r}"
    assert len(text) < MAX_MESSAGE, f"a message of {len(text)} characters: {text[:200]}"
    names_it = "fuzz-" in text or text.startswith("the best weights, that the run kept, ")
    assert names_it or isinstance(error, FloatingPointError), f"no file named: {text}"


def _limit_memory() -> None:
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + ROOM, size + ROOM))


def memory(name: str) -> int:
    """A figure of /proc/self/status, in kB."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name))


def main() -> None:
    """Read, and print what was counted."""
    parser = argparse.ArgumentParser()
    parser.add_argument("n", type=int)
    parser.add_argument("seed", type=int)
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    try:
        counted = read_all(args.n, args.seed, args.folder)
    except BaseException:
        lines = traceback.format_exc().splitlines()[-25:]
        print(*(line[:300] for line in lines), (args.folder / "last").read_text(), sep="\n")
        raise SystemExit(1) from None
    print(json.dumps(counted))


if __name__ == "__main__":
    main()
