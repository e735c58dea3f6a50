"""Passes over more rows than memory holds: what they write to, read, and need meanwhile."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_checks import pixel_rows, small_vae

from fastvae import VAE
from fastvae.checks import arrays
from fastvae.kernels import engine
from fastvae.model import network, prior

N_ROWS = 1100  # two chunks and a part
X = pixel_rows(N_ROWS, 37)
Z = np.random.default_rng(0).normal(size=(N_ROWS, 5)).astype(np.float32)
EMPTY = -7.0

Output = np.ndarray[Any, Any]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk of rows a block, so that passes have several of them."""
    monkeypatch.setattr(network, "_BLOCK_ELEMENTS", 1)


# --- outputs ---------------------------------------------------------------------------------

CALLS: dict[str, Callable[..., Any]] = {
    "decode": lambda vae, **how: vae.decode(Z, **how),
    "reconstruct": lambda vae, **how: vae.reconstruct(X, **how),
    "sample": lambda vae, **how: vae.sample(N_ROWS, seed=4, **how),
}


def memory_map(path: Path, shape: tuple[int, ...], dtype: Any, offset: int = 0) -> Output:
    mapped = np.memmap(path / f"{offset}", dtype, "w+", offset=offset, shape=shape)
    mapped[...] = EMPTY
    return mapped


def unaligned(shape: tuple[int, ...], dtype: Any) -> Output:
    room = np.zeros(int(np.prod(shape)) * np.dtype(dtype).itemsize + 1, np.uint8)[1:]
    return room.view(dtype).reshape(shape)


class Child(np.ndarray[Any, Any]):
    """A subclass without a meaning of its own."""


KINDS: dict[str, Callable[[Path, int, int, Any], Output]] = {
    "contiguous": lambda _, n, m, dtype: np.full((n, m), EMPTY, dtype),
    "columns": lambda _, n, m, dtype: np.full((n, m + 9), EMPTY, dtype)[:, 3 : m + 3],
    "every other": lambda _, n, m, dtype: np.full((2 * n, 2 * m), EMPTY, dtype)[::2, 1::2],
    "reversed": lambda _, n, m, dtype: np.full((n, m), EMPTY, dtype)[::-1],
    "fortran": lambda _, n, m, dtype: np.full((n, m), EMPTY, dtype, "F"),
    "unaligned": lambda _, n, m, dtype: unaligned((n, m), dtype),
    "subclass": lambda _, n, m, dtype: np.full((n, m), EMPTY, dtype).view(Child),
    "mapped": lambda path, n, m, dtype: memory_map(path, (n, m), dtype),
    "mapped askew": lambda path, n, m, dtype: memory_map(path, (n, m), dtype, 3),
}


def assert_nothing_beside(out: Output) -> None:
    """The rest of the array that `out` shows a part of is as it was."""
    whole = out.base
    if isinstance(whole, np.ndarray) and whole.dtype == out.dtype and whole.size > out.size:
        rest = np.ones(whole.shape, bool)
        offset = (out.ctypes.data - whole.ctypes.data) // out.itemsize
        strides = tuple(step // out.itemsize for step in out.strides)
        flat = np.lib.stride_tricks.as_strided(
            rest.reshape(-1)[offset:], out.shape, tuple(step * rest.itemsize for step in strides)
        )
        flat[...] = False
        assert (whole[rest] == EMPTY).all()


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CALLS)
def test_means_are_written_to_out(name, kind, dtype, tmp_path):
    vae = small_vae(dtype=dtype)
    out, expected = KINDS[kind](tmp_path, N_ROWS, 37, dtype), CALLS[name](vae)
    assert CALLS[name](vae, out=out) is out
    np.testing.assert_array_equal(np.asarray(out), expected)
    assert_nothing_beside(out)


@pytest.mark.parametrize("kind", KINDS)
def test_kernels_write_to_aligned_memory(kind, tmp_path, monkeypatch):
    run, written = engine.Workspace.run_to, []

    def noted(
        work: engine.Workspace, program: Any, values: Any, order: Any, outs: Any, **rest: Any
    ):
        written.extend(outs)
        run(work, program, values, order, outs, **rest)

    monkeypatch.setattr(engine.Workspace, "run_to", noted)
    out = KINDS[kind](tmp_path, N_ROWS, 37, np.float32)
    small_vae().decode(Z, out=out)
    assert all(array.flags.aligned and array.flags.c_contiguous for array in written)
    direct = out.flags.aligned and out.flags.c_contiguous
    assert all(np.shares_memory(array, out) == direct for array in written)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_means_and_log_variances_are_written_to_out(kind, dtype, tmp_path):
    vae = small_vae(dtype=dtype)
    (tmp_path / "mean").mkdir()
    out = tuple(KINDS[kind](path, N_ROWS, 5, dtype) for path in (tmp_path / "mean", tmp_path))
    assert vae.encode(X, out=out) is out
    for given, expected in zip(out, vae.encode(X), strict=True):
        np.testing.assert_array_equal(np.asarray(given), expected)
        assert_nothing_beside(given)


@pytest.mark.usefixtures("small_blocks")
def test_one_array_may_hold_mean_and_log_variance(tmp_path):
    vae = small_vae()
    out = memory_map(tmp_path, (2, N_ROWS, 5), np.float32)
    assert vae.encode(X, out=out) is out
    np.testing.assert_array_equal(out, vae.encode(X))
    beside = np.full((N_ROWS, 10), EMPTY, np.float32)
    vae.encode(X, out=np.hsplit(beside, 2))
    np.testing.assert_array_equal(beside, np.hstack(vae.encode(X)))


def test_log_variances_in_out_are_within_their_bounds():
    vae = small_vae()
    vae.sampler.log_var.bias = np.array([-1e4, 1e4, 0, 2, 5])
    out = np.empty((2, N_ROWS, 5), np.float32)
    vae.encode(X, out=out)
    np.testing.assert_array_equal(out, vae.encode(X))
    assert set(out[1, :, :2].reshape(-1)) == {-30, 20}
    np.testing.assert_array_equal(out[:, 3], vae.encode(X[3]))


@pytest.mark.parametrize("shape", [lambda n: (n,), lambda n: (1, n)], ids=["vector", "one row"])
def test_the_output_of_one_row(shape):
    vae = small_vae()
    out = np.empty(shape(37), np.float32)
    for call, row in ((vae.reconstruct, X[3]), (vae.decode, Z[3])):
        assert call(row, out=out) is out
        np.testing.assert_array_equal(out.reshape(-1), call(row))
    pair = np.empty((2, *shape(5)), np.float32)
    assert vae.encode(X[3], out=pair) is pair
    np.testing.assert_array_equal(pair.reshape(2, 5), vae.encode(X[3]))
    gaps = np.empty((37, 2), np.float32)[:, 0]
    np.testing.assert_array_equal(vae.decode(Z[3], out=gaps), vae.decode(Z[3]))


def read_only(shape: tuple[int, ...]) -> Output:
    array = np.full(shape, EMPTY, np.float32)
    array.flags.writeable = False
    return array


WRONG: list[tuple[Any, type[Exception], str]] = [
    ([[0.0] * 37] * N_ROWS, TypeError, "out must be a numpy.ndarray; got list"),
    (np.ma.zeros((N_ROWS, 37), np.float32), TypeError, "numpy.ndarray; got MaskedArray"),
    (np.zeros((N_ROWS, 37)), TypeError, "of the model's dtype, float32; got float64"),
    (np.zeros((N_ROWS, 37), ">f4"), TypeError, "of the model's dtype, float32; got >f4"),
    (np.zeros((N_ROWS, 36), np.float32), ValueError, r"shape \(1100, 37\); got \(1100, 36\)"),
    (np.zeros((N_ROWS + 1, 37), np.float32), ValueError, r"shape \(1100, 37\); got \(1101, 37\)"),
    (np.zeros(N_ROWS * 37, np.float32), ValueError, r"shape \(1100, 37\); got \(40700,\)"),
    (read_only((N_ROWS, 37)), ValueError, "out must be writeable; got a read-only array"),
]


@pytest.mark.parametrize(("out", "error", "message"), WRONG, ids=[what for _, _, what in WRONG])
@pytest.mark.parametrize("name", CALLS)
def test_what_cannot_be_written_to_is_refused(name, out, error, message):
    before = np.array(out)
    with pytest.raises(error, match=message):
        CALLS[name](small_vae(), out=out)
    np.testing.assert_array_equal(out, before)


def test_pairs_that_cannot_be_written_to_are_refused():
    vae, good = small_vae(), np.full((N_ROWS, 5), EMPTY, np.float32)
    other = good.copy()
    wrong: list[tuple[Any, type[Exception], str]] = [
        (3, TypeError, r"out must be a pair of arrays \(mean, log_var\); got int"),
        ((good,), ValueError, r"out must be a pair of arrays \(mean, log_var\); got 1"),
        (np.zeros((N_ROWS, 5), np.float32), ValueError, "pair of arrays .* got 1100"),
        ({"mean": good, "log_var": other}, TypeError, r"out\[0\] must be a .*ndarray; got str"),
        ((good, other[1:]), ValueError, r"out\[1\] must have shape \(1100, 5\); got \(1099, 5\)"),
        ((good, other.astype(float)), TypeError, r"out\[1\] must be of .* got float64"),
        ((good, read_only((N_ROWS, 5))), ValueError, r"out\[1\] must be writeable"),
        ((good, good), ValueError, r"out\[0\] and out\[1\] must not overlap"),
    ]
    for out, error, message in wrong:
        with pytest.raises(error, match=message):
            vae.encode(X, out=out)
        assert (good == EMPTY).all()
    with pytest.raises(ValueError, match=r"out\[0\] must have shape \(5,\) or \(1, 5\)"):
        vae.encode(X[0], out=np.empty((2, 4), np.float32))


def test_results_must_not_be_written_over_what_they_are_computed_from():
    vae = small_vae(likelihood="gaussian")
    room = np.zeros((N_ROWS + 1, 74), np.float32)
    rows = room[1:, :37]
    rows[...] = X / 255
    for out in (rows, rows[::-1], room[:-1, :37], room[1:, 36:73]):
        with pytest.raises(ValueError, match="out must not overlap"):
            vae.reconstruct(rows, out=out)
    np.testing.assert_array_equal(rows, (X / 255).astype(np.float32))
    expected = vae.reconstruct(rows)
    np.testing.assert_array_equal(vae.reconstruct(rows, out=room[1:, 37:]), expected)
    codes = np.zeros((N_ROWS, 37), np.float32)
    with pytest.raises(ValueError, match="out must not overlap"):
        vae.decode(codes[:, :5], out=codes)
    whole = np.zeros((N_ROWS, 37), np.int32)  # converted, but not at once
    with pytest.raises(ValueError, match="out must not overlap"):
        vae.reconstruct(whole, out=whole.view(np.float32))


def test_a_refused_output_takes_no_number_of_the_stream():
    vae, expected = small_vae(), small_vae().sample(3)
    with pytest.raises(TypeError, match="out must be of the model's dtype"):
        vae.sample(3, out=np.zeros((3, 37)))
    with pytest.raises(ValueError, match="batch_size must be"):
        vae.iter_sample(3, batch_size=0)
    with pytest.raises(ValueError, match="n must be at most"):
        vae.iter_sample(10**10)
    np.testing.assert_array_equal(vae.sample(3), expected)


# --- inputs ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("dtype", [bool, "i2", "i8", "u4", "f2", ">f4", ">f8", "longdouble"])
def test_rows_converted_block_by_block_give_the_same(dtype):
    vae = small_vae()
    rows = X > 127 if dtype == "bool" else (X // 255).astype(dtype)
    whole = rows.astype(np.float32)
    np.testing.assert_array_equal(vae.encode(rows), vae.encode(whole))
    np.testing.assert_array_equal(vae.reconstruct(rows), vae.reconstruct(whole))
    np.testing.assert_array_equal(vae.elbo(rows, 2, 1, True), vae.elbo(whole, 2, 1, True))
    codes = (10 * Z).astype(np.int8)
    for kind in (codes, codes.view(np.uint8), codes.astype(">f8"), codes.astype("f2")):
        expected = vae.decode(kind.astype(np.float32))
        np.testing.assert_array_equal(vae.decode(kind), expected)


@pytest.mark.usefixtures("small_blocks")
def test_rows_that_leave_the_unit_interval_by_rounding_are_clipped_block_by_block():
    vae, rows = small_vae(dtype=np.float64), X / 255
    rows[[4, 1050]] = 0
    rows[1050, 3], rows[4, 4] = 1 + 2.3e-16, -2e-16
    np.testing.assert_array_equal(vae.encode(rows), vae.encode(rows.clip(0, 1)))
    assert rows.max() > 1


def test_the_elbo_of_many_rows_numbers_their_draws_through():
    vae = small_vae()
    whole = np.array(vae.elbo(X, 2, seed=3, per_sample=True))
    np.testing.assert_array_equal(whole[:, :700], vae.elbo(X[:700], 2, 3, per_sample=True))
    other = vae.elbo(X[512:700], 2, seed=3, per_sample=True)
    np.testing.assert_array_equal(whole[2, 512:700], other.kl)  # needs no draws
    assert not np.array_equal(whole[1, 512:700], other.reconstruction)


# --- memory ----------------------------------------------------------------------------------

MEBIBYTE = 2**20
SIZES: dict[str, Any] = {"n_features": 64, "hidden": (16,), "n_latent": 32}


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks and chunks of 2**16 elements: 256 kB of float32."""
    monkeypatch.setattr(network, "_BLOCK_ELEMENTS", 1 << 16)
    monkeypatch.setattr(arrays, "_CHUNK_ELEMENTS", 1 << 16)


def peak(call: Callable[[], object]) -> float:
    """The most memory, in MB, that a call had allocated; what is mapped does not count."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1] / MEBIBYTE
    finally:
        tracemalloc.stop()


N_MANY = 40_000  # 10 MB of float32 with 64 columns, 5 MB with 32


def mapped_rows(path: Path, dtype: Any, n_columns: int = 64, unit: float = 1.0) -> Output:
    name = path / f"{np.dtype(dtype).str}{n_columns}"
    rows = np.memmap(name, dtype, "w+", shape=(N_MANY, n_columns))
    rows[::3, ::5] = unit
    return np.memmap(name, dtype, "r", shape=(N_MANY, n_columns))


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("dtype", ["u1", "f4", "f8", "i2", "f2", ">f4", "bool"])
def test_mapped_rows_are_never_in_memory_as_a_whole(dtype, tmp_path):
    vae = VAE.from_sizes(**SIZES)
    rows = mapped_rows(tmp_path, dtype, unit=255 if dtype == "u1" else 1.0)
    codes = memory_map(tmp_path, (2, N_MANY, 32), np.float32)
    means = memory_map(tmp_path, (N_MANY, 64), np.float32, 1024)
    vae.elbo(rows[:600])  # the workspace is there
    # Some blocks and chunks; the copies and heads of all rows would be 5 MB at least.
    assert peak(lambda: vae.encode(rows, out=codes)) < 2
    assert peak(lambda: vae.reconstruct(rows, out=means)) < 2
    assert peak(lambda: vae.elbo(rows)) < 3.5  # with three figures of 8 bytes a row
    assert peak(lambda: vae.encode(rows, out=codes.transpose(1, 0, 2).swapaxes(0, 1))) < 2


@pytest.mark.usefixtures("small_pieces")
def test_rows_that_are_clipped_or_refused_are_looked_at_in_pieces(tmp_path):
    vae = VAE.from_sizes(**SIZES)
    codes = memory_map(tmp_path, (2, N_MANY, 32), np.float32)
    rows = mapped_rows(tmp_path, "f8", unit=1 + 2.3e-16)
    vae.encode(rows[:600])
    assert peak(lambda: vae.encode(rows, out=codes)) < 2.5
    for unit, message in ((2.0, "must lie in"), (np.nan, "must be finite")):
        wrong = mapped_rows(tmp_path, "f8", unit=unit)
        with pytest.raises(ValueError, match=message):
            vae.encode(wrong, out=codes)

        def refused(wrong: Output = wrong) -> None:
            with contextlib.suppress(ValueError):
                vae.encode(wrong, out=codes)

        assert peak(refused) < 2


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "u1"])
def test_mapped_latents_are_never_in_memory_as_a_whole(dtype, tmp_path):
    vae = VAE.from_sizes(**SIZES)
    codes = mapped_rows(tmp_path, dtype, 32)
    means = memory_map(tmp_path, (N_MANY, 64), np.float32)
    vae.decode(codes[:600])
    assert peak(lambda: vae.decode(codes, out=means)) < 2
    assert peak(lambda: vae.decode(codes, out=np.asarray(means)[::-1])) < 2
    assert peak(lambda: vae.sample(N_MANY, out=means)) < 2


@pytest.mark.filterwarnings("ignore:.*effective sample size")
def test_memory_does_not_grow_with_samples_of_log_p(tmp_path):
    vae = VAE.from_sizes(**SIZES)
    rows = mapped_rows(tmp_path, "u1", unit=255)
    vae.log_likelihood(rows[:3], 10)
    few = peak(lambda: vae.log_likelihood(rows[:2], 3_000))
    assert peak(lambda: vae.log_likelihood(rows[:2], 300_000)) < few + 0.5
    # Sums and figures of a row are 56 bytes; their exact means go over lists.
    assert peak(lambda: vae.log_likelihood(rows, 1)) < few + 100 * N_MANY / MEBIBYTE


# --- samples by batches ----------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 7, 512, 700, 1100, 5000])
@pytest.mark.parametrize("seed", [None, 0, 9])
def test_batches_of_samples_are_the_samples(batch_size, seed):
    n = 40 if batch_size == 1 else N_ROWS
    vae = small_vae()
    batches = list(vae.iter_sample(n, seed, batch_size=batch_size))
    assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    np.testing.assert_array_equal(np.concatenate(batches), small_vae().sample(n, seed))


def test_the_call_takes_the_number_of_the_stream_and_checks():
    vae, expected = small_vae(), small_vae()
    first = vae.iter_sample(600, batch_size=100)
    second = vae.sample(600)
    np.testing.assert_array_equal(np.concatenate(list(first)), expected.sample(600))
    np.testing.assert_array_equal(second, expected.sample(600))
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"n": 0}, "n must be an integer of at least 1"),
        ({"n": 1, "seed": -1}, "seed must be"),
        ({"n": 1, "batch_size": 0}, "batch_size must be an integer of at least 1"),
    ]
    for arguments, message in wrong:
        with pytest.raises(ValueError, match=message):
            vae.iter_sample(**arguments)
    with pytest.raises(ValueError, match="empty"):
        VAE().iter_sample(1)


def test_samples_end_before_they_repeat_themselves(monkeypatch):
    monkeypatch.setattr(prior, "_STREAM_LENGTH", 5 * 12 + 4)
    vae = small_vae()
    assert len(vae.sample(12)) == 12
    for call in (vae.sample, vae.iter_sample):
        with pytest.raises(ValueError, match="n must be at most 12 for 5 latents, .* got 13"):
            call(13)


def test_a_million_samples_take_the_memory_of_a_batch():
    vae = VAE.from_sizes(n_features=4, hidden=(3,), n_latent=2)
    vae.sample(600)

    def run() -> None:
        for batch in vae.iter_sample(1_000_000, batch_size=4096):
            assert len(batch) > 0

    assert peak(run) < 0.5  # all samples are 16 MB, all latents 8


# --- progress --------------------------------------------------------------------------------


PASSES: dict[str, Callable[..., Any]] = {
    "encode": lambda vae, **how: vae.encode(X, **how),
    "elbo": lambda vae, **how: vae.elbo(X, 2, per_sample=True, **how),
    "log_likelihood": lambda vae, **how: vae.log_likelihood(X, 2, per_sample=True, **how),
    **CALLS,
}


@pytest.mark.filterwarnings("ignore:.*effective sample size")
@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("name", PASSES)
def test_progress_is_shown_in_rows_and_changes_nothing(name, capsys, monkeypatch):
    vae = small_vae()
    expected = PASSES[name](vae)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "tqdm", None)
        PASSES[name](vae)
        with pytest.raises(ImportError):
            PASSES[name](vae, progress=True)
    assert capsys.readouterr().err == ""
    result = PASSES[name](vae, progress=True)
    np.testing.assert_array_equal(result, expected)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "| 1.10k/1.10k [" in shown.err
    assert "rows/s" in shown.err


# --- Ctrl-C ----------------------------------------------------------------------------------

# Arrays of a billion rows that are one row: no pass comes to their end.
INTERRUPTED = """
import os, signal, sys, threading, time
import numpy as np
from fastvae import VAE, checks

signal.signal(signal.SIGINT, signal.default_int_handler)  # which the suite's own start may ignore

def many(row):
    return np.lib.stride_tricks.as_strided(row, (10**9, len(row)), (0, row.itemsize))

vae, wide = VAE.from_sizes(784, (512,), 32), VAE.from_sizes(4, (3,), 512)
X = many(np.random.default_rng(0).random(784, np.float32))
bits = checks.LazyRows(many(X[0] > 0.5), vae.dtype, (), False)
halves = checks.LazyRows(many(X[0].astype(np.float16))[:10**6], vae.dtype, (), False)
codes, means = many(np.zeros(32, np.float32)), many(np.zeros(784, np.float32))
vae.encode(X[:600]), vae.elbo(X[:600]), wide.sample(600), vae.log_likelihood(X[:2], 200)
sent = []

def interrupt():
    sent.append(time.perf_counter())
    os.kill(os.getpid(), signal.SIGINT)

timer = threading.Timer(0.5, interrupt)
timer.start()
try:
    CALL
except KeyboardInterrupt:
    late = time.perf_counter() - sent[0]
    vae.encode(X[:600])  # free for the next
    sys.exit(0 if late < 1 else f"{late:.2f} s after the signal")
sys.exit("the call had ended before the signal")
"""
LONG_CALLS = {
    "checks": "vae.encode(X)",
    "conversion of the rows of a fit": "halves[:]",
    "encode": "vae.network.encode(X, (codes, codes))",
    "encode converted rows": "vae.network.encode(bits, (codes, codes))",
    "reconstruct": "vae.network.reconstruct(X, means)",
    "decode": "vae.network.decode(codes, means)",
    "elbo": "vae.elbo(X[:10_000], n_samples=1000)",
    "log_likelihood": "vae.log_likelihood(X[:10_000])",
    "log_likelihood of one row": "vae.log_likelihood(X[0], 10**8)",
    "sample": "wide.sample(30_000_000)",
    "iter_sample": "for batch in vae.iter_sample(500_000_000): pass",
}


@pytest.mark.slow
@pytest.mark.parametrize("call", LONG_CALLS.values(), ids=LONG_CALLS)
def test_ctrl_c_ends_a_pass_within_a_second(call):
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.replace("CALL", call)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
