"""What runs against walls: public kernels, models and layers, in a process that a fault may end.

`python -m wall_cases kernels --count 100 --seed 1 --note FILE` runs cases and prints how many; FILE
says which one is running. `run` starts such a process and tells what it died of. The engine's own
memory stands between walls, too.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import engine_walls
import numpy as np
from model_checks import parameters
from walls import Array, beside, freeze, walled, walled_copy

from bench.kernel_cases import CASES, NEVER_EMPTY, Case, poisoned
from fastvae import VAE, kernels
from fastvae.kernels.engine import layout, new_schedule, records, steps
from fastvae.kernels.engine.data_tasks import CSR, DTYPES, LABELS
from fastvae.kernels.engine.programs import new_region
from fastvae.kernels.engine.workspace import new_step
from fastvae.kernels.machine.isa import INSTRUCTION_SETS as SETS
from fastvae.model import network

TESTS = Path(__file__).resolve().parent
EDGES = [0, *range(1, 18), 31, 32, 33, 63, 64, 65, 127, 128, 129, 130]
"""Sizes around the ends of vectors, tiles and panels of every instruction set."""
SIZES = EDGES[1:]
LAYOUTS = (
    "C",
    "Fortran",
    "every other column",
    "a slice of columns",
    "every other row",
    "rows backwards",
    "columns backwards",
    "backwards",
    "field of records",
    "field of rows",
    "file",
    "one row for all",
)
INSTRUCTION_SETS = [
    name
    for name in list(SETS)[list(SETS).index(kernels.isa()) :]
    if name != "neon" or kernels.isa() == "neon"
]
"""Those that the processor runs, the one in use first."""
SOURCES = ("uint8", "float32", "float64")

Check = tuple[str, Callable[[], None]]


def laid_out(shape: tuple[int, int], dtype: Any, layout: str, at_end: bool) -> Array:
    """An array of some strides against a wall."""
    n, m, size = *shape, np.dtype(dtype).itemsize
    strides = {
        "Fortran": (size, n * size),
        "every other column": (2 * m * size, 2 * size),
        "a slice of columns": ((m + 3) * size, size),
        "every other row": (2 * m * size, size),
        "rows backwards": (-m * size, size),
        "columns backwards": (m * size, -size),
        "backwards": (-m * size, -size),
        "field of records": (m * (size + 1), size + 1),
        "field of rows": (m * size + 1, size),
        "one row for all": (0, size),
    }
    return walled(shape, dtype, strides.get(layout), at_end=at_end, in_file=layout == "file")


def rows_of(
    rng: np.random.Generator, shape: tuple[int, int], dtype: str, layout: str, at_end: bool
) -> Array:
    """Pixels, half the time mostly zeros, in read-only memory against a wall."""
    rows = laid_out(shape, dtype, layout, at_end)
    values = rng.integers(0, 256, shape) * (rng.random(shape) < rng.choice([0.15, 1.0]))
    values[:, 0] = 255  # bytes that are all 0 and 1 are refused
    rows[...] = values if dtype == "uint8" else values / 255 if dtype != "bool" else values > 99
    return freeze(rows)


def kernel_checks(rng: np.random.Generator) -> Iterator[Check]:
    """Every public kernel with all sizes, in a random order."""
    choices: list[tuple[Any, ...]] = []
    for case in CASES:
        axes = {axis for operand in case.operands.values() for axis in operand.axes}
        letters = [axis for axis in sorted(axes) if not axis.isdigit() and axis != "N"]
        sizes = itertools.product(EDGES, repeat=len(letters))
        kinds = itertools.product(("float32", "float64"), (True, False))
        choices += [
            (case, dict(zip(letters, some, strict=True)), *kind)
            for some, kind in itertools.product(sizes, list(kinds))
            if all(some[letters.index(axis)] for axis in NEVER_EMPTY.get(case.name, ""))
        ]
    for i in rng.permutation(len(choices)):
        case, sizes, dtype, at_end = choices[i]
        name = f"{case.operation} {sizes} {dtype} {'end' if at_end else 'start'}"
        yield name, partial(_check_kernel, *choices[i])


def _check_kernel(case: Case, sizes: dict[str, int], dtype: str, at_end: bool) -> None:
    function = getattr(kernels, case.name)
    arguments = case.arguments({"N": 7} | sizes, dtype)
    if "first" in arguments:  # it falls on all places of a block of random numbers
        arguments["first"] = sum(sizes.values())
    placed = {
        key: walled_copy(value, at_end=at_end) if isinstance(value, np.ndarray) else value
        for key, value in arguments.items()
    }
    for key in case.read:
        freeze(placed[key])
    around = [beside(placed[key]) for key in case.written]
    function(*placed.values())
    assert around == [beside(placed[key]) for key in case.written]
    function(*arguments.values())
    for key in case.written:
        np.testing.assert_array_equal(placed[key], arguments[key])


def gather_checks(rng: np.random.Generator) -> Iterator[Check]:
    """The kernel that alone reads users' data, with all widths, dtypes and layouts."""
    kinds = (EDGES, SOURCES, LAYOUTS, ("float32", "float64"), (True, False))
    choices = list(itertools.product(*kinds))
    for i in rng.permutation(len(choices)):
        yield f"gather {choices[i]}", partial(_check_gather, rng, *choices[i])


def _check_gather(
    rng: np.random.Generator, n_columns: int, source: str, layout: str, dtype: str, at_end: bool
) -> None:
    n_rows = int(rng.choice(SIZES))
    data = laid_out((n_rows, n_columns), source, layout, at_end)
    data[...] = rng.integers(0, 256, data.shape)
    freeze(data)
    index = walled((int(rng.choice(EDGES)),), np.int64, at_end=at_end)
    index[...] = rng.integers(0, n_rows, index.shape)
    out, wanted = (
        walled((len(index), n_columns), dtype, at_end=at_end),
        poisoned((len(index), n_columns), dtype),
    )
    around = beside(out)
    kernels.gather(out, data, freeze(index))
    assert around == beside(out)
    kernels.gather(wanted, np.array(data), index)
    np.testing.assert_array_equal(out, wanted)


def source_checks(rng: np.random.Generator) -> Iterator[Check]:
    """Sparse rows and labels, which programs of the engine read, with all widths and dtypes."""
    kinds = (SIZES, (*SOURCES, "labels"), ("int32", "int64"), ("float32", "float64"), (True, False))
    choices = list(itertools.product(*kinds))
    for i in rng.permutation(len(choices)):
        yield f"source {choices[i]}", partial(_check_source, rng, *choices[i])


def _check_source(
    rng: np.random.Generator, n_columns: int, source: str, index: str, dtype: str, at_end: bool
) -> None:
    def placed(values: Any, kind: Any = np.int64) -> Array:
        return freeze(walled_copy(np.asarray(values, kind), at_end=at_end))

    n_rows = int(rng.choice(SIZES))
    shape = n_rows, n_columns
    dense: Array = rng.integers(0, 256, shape) * (rng.random(shape) < 0.3)
    order = placed(rng.integers(0, n_rows, rng.choice(SIZES)))
    if source == "labels":
        labels = rng.integers(0, n_columns, n_rows)
        dense = np.eye(n_columns)[labels]
        parts = [placed(labels)]
        fields = (LABELS, 0, parts[0].ctypes.data, 0, 0, 0, 0, 0)
    else:
        dense = dense.astype(source)
        rows, columns = np.nonzero(dense)
        indptr = np.searchsorted(rows, np.arange(n_rows + 1))
        parts = [placed(dense[rows, columns], source), placed(columns, index), placed(indptr)]
        values, indices, starts = (part.ctypes.data for part in parts)
        fields = CSR, DTYPES[dense.dtype], values, 0, 0, indices, starts, parts[1].itemsize
    stride = layout.row_stride(n_columns, np.dtype(dtype).itemsize)
    places, size = layout.place_matrices([stride], [stride * len(order)], np.dtype(dtype).itemsize)
    work, step = layout.aligned_zeros(size, np.dtype(dtype)), new_step(np.dtype(dtype))
    step["n_members"], step["batch_size"] = rng.choice([1, 3]), len(order)
    reals, doubles, numbers = np.zeros(1, dtype), np.zeros(1), np.zeros(1, np.int32)
    memory = records.Memory(
        reals, reals, reals, reals, work, work, numbers, numbers, doubles, doubles, reals, doubles,
        new_schedule(1, 0.1), np.zeros(1, np.int64), order, np.array([fields], records.SOURCE),
    )  # fmt: skip
    program = new_region(records.GATHER, None, n_in=n_columns, target=places[0])
    steps.run_program(steps.member_address(np.dtype(dtype)), program, step, memory)
    found = work[places[0]["offset"] :][: len(order) * stride].reshape(-1, stride)
    wanted = poisoned((len(order), n_columns), dtype)
    kernels.gather(wanted, np.ascontiguousarray(dense), order)
    np.testing.assert_array_equal(found[:, :n_columns], wanted)
    assert not found[:, n_columns:].any()
    assert all(len(part.shape) == 1 for part in parts)  # alive until here


def model_checks(rng: np.random.Generator) -> Iterator[Check]:
    """Models of random sizes, trained and used on data and outputs of all kinds."""
    while True:
        seed = int(rng.integers(2**31))
        yield f"model {seed}", partial(_check_model, np.random.default_rng(seed))


def _check_model(rng: np.random.Generator) -> None:
    def one_of(*values: Any) -> Any:
        return values[rng.integers(len(values))]

    def size() -> int:
        return int(rng.choice(SIZES))

    n_features, n_latent, dtype = size(), size(), one_of("float32", "float64")
    likelihood = one_of("bernoulli", "gaussian", "continuous_bernoulli", "mixed")
    parts = [n for n in (n_features // 3, n_features // 4) if n]
    kinds = [(one_of("gaussian", "bernoulli", "continuous_bernoulli"), n) for n in parts]
    blocks = [("gaussian", n_features - sum(parts)), *kinds]
    has_sigma = likelihood in ("gaussian", "mixed")
    vae = VAE.from_sizes(
        n_features, [size() for _ in range(rng.integers(1, 3))], n_latent,
        activation=one_of(*kernels.ACTIVATIONS), likelihood=likelihood,
        sigma=one_of(None, 0.5, "learned", "feature", "output") if has_sigma else None,
        blocks=blocks if likelihood == "mixed" else None, missing=one_of("error", "ignore"),
        dtype=dtype, seed=int(rng.integers(100)),
    )  # fmt: skip
    binarize = one_of(None, "dynamic", "fixed", "threshold") if likelihood == "bernoulli" else None
    # Short calls divide steps into pieces, and few elements divide passes into blocks.
    network._FLOP_PER_CALL, network._BLOCK_ELEMENTS = one_of(1.5e10, 1e7), one_of(1 << 21, 1)
    at_end = bool(one_of(True, False))

    def rows(n: int) -> Array:
        source = one_of(*SOURCES, "bool")
        return rows_of(rng, (n, n_features), source, one_of(*LAYOUTS), at_end)

    twin = copy.deepcopy(vae)
    X, held_out = rows(one_of(size(), 513 + size())), one_of(None, rows(size()))
    settings: dict[str, Any] = {
        "epochs": 1, "batch_size": max(size(), len(X) // 4), "clip_norm": one_of(None, 0.5),
        "optimizer": one_of(*kernels.OPTIMIZERS), "n_threads": one_of(1, 2, 3), "verbose": False,
        "learning_rate": 1e-4, "binarize": binarize,
    }  # fmt: skip
    vae.fit(X, validation=held_out, **settings)
    twin.fit(np.array(X), validation=None if held_out is None else np.array(held_out), **settings)
    for name, array in parameters(vae).items():
        np.testing.assert_array_equal(array, parameters(twin)[name], err_msg=name)

    def out(*shape: int) -> Array:
        layouts = [layout for layout in LAYOUTS if layout != "one row for all"]
        return laid_out(shape, dtype, one_of(*layouts), at_end)  # type: ignore[arg-type]

    def same(call: Callable[..., Any], twin_call: Callable[..., Any], data: Any, n: int) -> None:
        """A pass that writes n columns, on walled arrays and on others."""
        written = out(len(data) if isinstance(data, np.ndarray) else data, n)
        around = beside(written)
        assert call(data, out=written) is written
        assert around == beside(written)
        np.testing.assert_array_equal(
            written, twin_call(np.array(data) if isinstance(data, np.ndarray) else data)
        )

    Z = laid_out((size(), n_latent), dtype, one_of(*LAYOUTS), at_end)
    Z[...] = rng.standard_normal(Z.shape)
    freeze(Z)
    same(vae.decode, twin.decode, Z, n_features)
    same(vae.reconstruct, twin.reconstruct, X, n_features)
    same(vae.reconstruct, twin.reconstruct, X[:1], n_features)
    same(vae.sample, twin.sample, size(), n_features)
    mean, log_var = out(len(X), n_latent), out(len(X), n_latent)
    around = beside(mean), beside(log_var)
    vae.encode(X, out=(mean, log_var))
    assert around == (beside(mean), beside(log_var))
    np.testing.assert_array_equal(np.stack([mean, log_var]), np.stack(twin.encode(np.array(X))))
    np.testing.assert_array_equal(vae.encode(X[-1])[0], twin.encode(np.array(X[-1]))[0])
    np.testing.assert_array_equal(vae.decode(Z[-1]), twin.decode(np.array(Z[-1])))
    assert vae.elbo(X, 2, binarize=binarize) == twin.elbo(np.array(X), 2, binarize=binarize)
    n_samples = int(rng.integers(2, 70))
    found = vae.log_likelihood(X, n_samples, binarize=binarize)
    assert found == twin.log_likelihood(np.array(X), n_samples, binarize=binarize)
    few = X[: size()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of few effective samples
        n = size()
        log_p = [each.log_likelihood(few, n, per_sample=True) for each in (vae, twin)]
    np.testing.assert_array_equal(log_p[0], log_p[1])
    noise = laid_out((len(few), n_latent), dtype, one_of(*LAYOUTS), at_end)
    noise[...] = rng.standard_normal(noise.shape)
    losses, gradients = vae.gradients(few, freeze(noise))
    expected_losses, expected = twin.gradients(np.array(few), np.array(noise))
    assert losses == expected_losses
    for name, array in gradients.items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)
    np.testing.assert_array_equal(vae.feedforward(few), twin.feedforward(np.array(few)))
    _check_layers(vae, twin, rng.random((size(), n_features)).astype(dtype))


def _check_layers(vae: VAE, twin: VAE, X: Array) -> None:
    """Layers on their own, forward and backward."""
    results = []
    for model, place in ((vae, True), (twin, False)):

        def given(array: Array, place: bool = place) -> Array:
            return freeze(walled_copy(array)) if place else array

        encoder, sampler = copy.deepcopy(model.encoder), copy.deepcopy(model.sampler)
        decoder = copy.deepcopy(model.decoder)
        x = given(X)
        h = encoder.feedforward(x)
        z = sampler.feedforward(given(h))
        y = decoder.feedforward(given(z))
        dz = decoder.backward(given(y))
        dh = sampler.backward(given(dz), kl_weight=0.5)
        results.append([h, z, y, dz, dh, encoder.backward(given(dh))])
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


KINDS: dict[str, Callable[[np.random.Generator], Iterator[Check]]] = {
    "kernels": kernel_checks,
    "gather": gather_checks,
    "sources": source_checks,
    "models": model_checks,
}


def run(kind: str, count: int, seed: int, isa: str) -> int:
    """Run so many cases, or all there are, in a process of their own; return how many.

    Raises
    ------
    AssertionError
        If the process ends otherwise than it should: it names the case.
    """
    with tempfile.TemporaryDirectory() as folder:
        note = Path(folder, "case")
        command = [sys.executable, "-X", "faulthandler", "-m", "wall_cases", kind]
        command += ["--count", str(count), "--seed", str(seed), "--note", str(note)]
        changes = {"NUMBA_NUM_THREADS": "3", "FASTVAE_ISA": isa, "PYTHONPATH": str(TESTS.parent)}
        done = subprocess.run(
            command, cwd=TESTS, env=os.environ | changes,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        case = note.read_text().strip("\0") if note.exists() else "none"
        assert done.returncode == 0, f"{done.returncode} in {case}:\n{done.stderr[-5000:]}"
        return int(done.stdout)


def main() -> None:
    """Be the process that a fault ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--count", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--note", type=Path)
    args = parser.parse_args()
    engine_walls.install()
    note = os.open(args.note, os.O_CREAT | os.O_WRONLY)
    n_done = 0
    checks = KINDS[args.kind](np.random.default_rng(args.seed))
    for name, check in itertools.islice(checks, args.count):
        os.pwrite(note, name.encode().ljust(300, b"\0"), 0)
        check()
        n_done += 1
    print(n_done)


if __name__ == "__main__":
    main()
