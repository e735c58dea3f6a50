"""What reading a large valid file takes of memory, for each megabyte of the file."""

from __future__ import annotations

import gzip
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from probes.fuzz import memory

import fastvae
from fastvae import VAE, Dataset
from fastvae.data.idx import read_idx
from fastvae.files import checkpoints

TITLE = "Memory of readers"
TEXT = """
A valid file of some 200 MB of every kind is read in a process of its own: how much the process grew
at most, above what it had before, for each megabyte of values. A model's network has its weights in
memory beside what was read of the file; a table's rows are put together from parts; a .npy file is
mapped and takes nothing until it is used.
"""
COUNT = 200

TESTS = Path(__file__).resolve().parents[1]


def _vae(n_bytes: int) -> VAE:
    """A model of about so many bytes of weights."""
    n = max(1, int((n_bytes / 8) ** 0.5))
    return VAE.from_sizes(n, hidden=(n,), n_latent=2)


def _values(n_bytes: int) -> np.ndarray:
    """Rows that are not all alike, and can be compressed."""
    return np.resize(np.arange(251, dtype=np.uint8), (max(1, n_bytes // 1000), 1000))


def _idx(n_bytes: int) -> bytes:
    values = _values(n_bytes)
    return struct.pack(">BBBBII", 0, 0, 8, 2, *values.shape) + values.tobytes()


def _write_checkpoint(path: Path, n_bytes: int) -> None:
    n = max(1, n_bytes // 16)
    arrays = {f"array.{i}": np.full(n, i, np.float32) for i in range(4)}
    checkpoints.write(path, checkpoints.SavedRun({"a": 1}, arrays))


def _write_gzip(path: Path, n_bytes: int) -> None:
    path.write_bytes(gzip.compress(_idx(n_bytes), 1))


def _write_table(path: Path, n_bytes: int) -> None:
    values = np.resize(np.arange(251, dtype=np.uint8), (max(1, n_bytes // 784), 784))
    with path.open("w") as file:
        file.writelines(",".join(map(str, row.tolist())) + "\n" for row in values)


Kind = tuple[str, Callable[[Path, int], object], Callable[[Path], object]]
KINDS: dict[str, Kind] = {
    "IDX": ("images", lambda path, n: path.write_bytes(_idx(n)), read_idx),
    "IDX, compressed": ("images.gz", _write_gzip, read_idx),
    "npy": ("rows.npy", lambda path, n: np.save(path, _values(n)), Dataset),
    "npz, stored": ("rows.npz", lambda path, n: np.savez(path, train=_values(n)), Dataset),
    "npz, compressed": (
        "rows.npz",
        lambda path, n: np.savez_compressed(path, train=_values(n)),
        Dataset,
    ),
    "tables of pixels": ("rows.csv", _write_table, Dataset),
    "models": ("model", lambda path, n: _vae(n).save(path), fastvae.load),
    "seed folders": ("seed", lambda path, n: _vae(n).save(path, format="seed"), fastvae.load),
    "checkpoints": ("run.ckpt", _write_checkpoint, checkpoints.read),
}


def probe(count: int, seed: int) -> Iterator[dict[str, float]]:
    """Read a file of `count` MB of each kind; nothing in it depends on `seed`."""
    figures: dict[str, float] = {}
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "probes.memory", kind, str(count), folder]
            done = subprocess.run(command, capture_output=True, text=True, cwd=TESTS)
        assert done.returncode == 0, done.stderr
        figures[f"most MB for each MB of values, {kind}"] = round(float(done.stdout) / count, 2)
        yield figures


def main() -> None:
    """Write a file in a process, and be the one that reads it."""
    kind, size, folder = sys.argv[1], int(sys.argv[2]) * 1_000_000, Path(sys.argv[3])
    name, write, read = KINDS[kind]
    if len(sys.argv) == 4:
        subprocess.run([sys.executable, "-m", "probes.memory", *sys.argv[1:], "write"], check=True)
        read(folder / "small" / name)  # what is done once
        Path("/proc/self/clear_refs").write_text("5")  # forgets the peak
        start = memory("VmRSS")
        kept = read(folder / name)
        print((memory("VmHWM") - start) * 1024 / 1e6)
        del kept
    else:
        (folder / "small").mkdir()
        write(folder / "small" / name, 1000)
        write(folder / name, size)


if __name__ == "__main__":
    main()
