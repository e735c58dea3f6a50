"""What the engine can do beyond the passes of today's networks, each by a small program.

Every program is run by one thread and by all, with equal bits, and compared with NumPy in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from kernel_checks import DTYPES, THREADS, assert_within, eps, generator

from fastvae import kernels
from fastvae.kernels import engine, reference
from fastvae.kernels.engine import data_tasks, objective_tasks, records
from fastvae.kernels.engine.data_tasks import CSR, LABELS
from fastvae.kernels.engine.data_tasks import DTYPES as SOURCE_DTYPES
from fastvae.kernels.engine.layout import (
    aligned_zeros,
    packed_size,
    place_matrices,
    row_stride,
)
from fastvae.kernels.engine.programs import new_region
from fastvae.kernels.engine.regions import task_address
from fastvae.kernels.engine.steps import member_address, run_program
from fastvae.kernels.engine.workspace import new_step
from fastvae.kernels.machine.isa import panel_width
from fastvae.kernels.maths.lists import list_size
from fastvae.kernels.maths.optimizers import SGD, rule_of

Array = npt.NDArray[Any]
B, I, Z, K = 21, 37, 5, 3  # noqa: E741  rows, features, latents, draws per row
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)


class Bench:
    """Matrices by name, layers, and a step to run programs with."""

    def __init__(self, dtype: type, layers: list[tuple[int, int, str]], **matrices: Any) -> None:
        """Each matrix is given by its rows and columns, or by (stride, elements)."""
        self.dtype = np.dtype(dtype)
        itemsize = self.dtype.itemsize
        strides, sizes = [], []
        for shape in matrices.values():
            plain = len(shape) == 2
            stride = row_stride(shape[1], itemsize) if plain else shape[0]
            strides.append(stride)
            sizes.append(stride * shape[0] if plain else shape[1])
        places, size = place_matrices(strides, sizes, itemsize)
        self.places = dict(zip(matrices, places, strict=True))
        self.work = aligned_zeros(size, dtype)
        # Each matrix by itself: there may be walls between them.
        self.matrices = {
            name: self.work[place["offset"] :][:n]
            for (name, place), n in zip(self.places.items(), sizes, strict=True)
        }
        self.table = engine.layer_table(layers or [(1, 1, "identity")], dtype)
        self.arenas = [engine.new_arena(self.table, dtype) for _ in range(4)]
        self.reconstruction, self.kl = np.zeros(B * K), np.zeros(B * K)
        self.partial = np.zeros(int(self.table["panels"].sum()) * panel_width(itemsize))
        self.schedule = engine.new_schedule(1, 0.1)
        self.step = new_step(self.dtype)
        self.step["reconstruction_weight"] = self.step["beta"] = 1.0
        by_row, by_column = B * K * list_size(I + 10), (I + 10) * list_size(B * K)
        self.lists = np.zeros(by_row, np.int32), np.zeros(by_column, np.int32)

    def matrix(self, name: str, n_rows: int, n_columns: int) -> Array:
        offset, stride = self.places[name].item()
        return self.work[offset : offset + n_rows * stride].reshape(n_rows, stride)[:, :n_columns]

    def region(self, kind: int, layer: int | None = None, **fields: Any) -> Array:
        fields = {n: self.places[v] if isinstance(v, str) else v for n, v in fields.items()}
        return new_region(kind, None if layer is None else self.table[layer], **fields)

    def run(self, program: list[Array], sources: Array) -> Array:
        """Run on B rows, in reversed order, with each number of threads; return the workspace."""
        order = np.arange(B)[::-1].copy()
        parameters, moment1, moment2, gradient = self.arenas
        by_row, by_column = self.lists
        arrays = [*self.matrices.values(), *self.arenas]
        before = [array.copy() for array in arrays]
        results = []
        for n_threads in THREADS:
            for array, value in zip(arrays, before, strict=True):
                array[:] = value
            self.step["n_members"], self.step["batch_size"] = n_threads, B
            memory = records.Memory(
                parameters, moment1, moment2, gradient, self.work, self.work, by_row, by_column,
                self.reconstruction, self.kl, self.partial, np.zeros(0), self.schedule,
                np.zeros(1, np.int64), order, sources,
            )  # fmt: skip
            run_program(member_address(self.dtype), np.concatenate(program), self.step, memory)
            if "panel" in self.matrices:  # each thread's own
                self.matrices["panel"][:] = 0
            results.append([array.copy() for array in arrays])
        for other in results[1:]:
            for one, two in zip(results[0], other, strict=True):
                np.testing.assert_array_equal(one, two)
        return self.work


def array_source(data: Array) -> Array:
    return np.array([data_tasks.array_source(data)], records.SOURCE)


def normals(dtype: Any, *shape: int) -> Array:
    return generator(*shape).normal(size=shape).astype(dtype)


@each_dtype
@pytest.mark.parametrize("objective", kernels.OBJECTIVES)
def test_k_latents_of_each_row_have_shares_that_are_known_after_their_losses(
    dtype: type, objective: str
) -> None:
    """The encoder's head once per row, k draws through the decoder, weights known after them."""
    n, code = B * K, kernels.OBJECTIVES[objective]
    layers = [(Z, I, "sigmoid")]
    bench = Bench(
        dtype, layers, data=(B, I), head=(B, 2 * Z), z=(n, Z), delta=(n, I), dz=(n, Z),
        dhead=(B, 2 * Z), noise=(Z, n * Z, 0), groups=(8, 8 * n, 0),
        panel=((I + 64) * 32, 4 * (I + 64) * 32, 0),
    )  # fmt: skip
    weight, bias = normals(dtype, I, Z), normals(dtype, I)
    engine.write_dense(bench.table, bench.arenas[0], 0, weight, bias)
    x = (generator(1).random((B, I)) * 255).astype(np.uint8)
    head = normals(dtype, B, 2 * Z)
    noise = normals(dtype, n, Z)
    bench.matrix("head", B, 2 * Z)[:] = head
    bench.matrix("noise", n, Z)[:] = noise
    known = objective_tasks.new_shares(B, K)
    latents: dict[str, Any] = {
        "n_out": 2 * Z, "parts": 2, "repeat": K, "source": "head", "noise": "noise",
        "mode": code, "sums": known.ctypes.data,
    }  # fmt: skip
    tasks = {
        task.__name__: task_address(bench.dtype, task)
        for task in (
            objective_tasks.shares_task,
            objective_tasks.scale_task,
            objective_tasks.bound_gradient_task,
        )
    }
    backward: dict[str, Any] = {}
    if objective != "elbo":
        backward["task_address"] = tasks["bound_gradient_task"]
    program = [
        bench.region(records.GATHER, n_in=I, target="data"),
        bench.region(
            records.DRAW, n_out=2 * Z, parts=2, repeat=K, source="head", target="z", noise="noise"
        ),
        bench.region(
            records.OUTPUT, 0, repeat=K, source="z", target="delta", data="data", groups="groups"
        ),
        bench.region(records.ROW_LOSSES, repeat=K, groups="groups"),
        bench.region(records.WEIGH, task_address=tasks["shares_task"], hidden="z", **latents),
        bench.region(
            records.ROWS, task_address=tasks["scale_task"], n_out=I, repeat=K, target="delta",
            sums=known.ctypes.data,
        ),
        bench.region(
            records.BACKWARD_INPUT, 0, repeat=K, activation=0, source="delta", target="dz",
            hidden="z", scratch="panel",
        ),
        bench.region(
            records.BACKWARD_LATENT, target="dhead", delta="dz", hidden="z", **backward, **latents
        ),
    ]  # fmt: skip
    bench.run(program, array_source(x))

    wide = np.float64
    mean, log_var = (part.astype(wide) for part in np.hsplit(head, 2))
    std = np.exp(log_var / 2)[:, None]
    wide_noise = noise.astype(wide).reshape(B, K, Z)
    z = mean[:, None] + std * wide_noise
    logits = (z @ weight.T.astype(wide) + bias).reshape(n, I)
    pixels = np.repeat(x[::-1] / 255, K, axis=0)
    losses = np.empty(n)
    reference.bernoulli_loss(losses, logits, pixels)
    assert_close(bench.reconstruction, losses, 200 * eps(dtype))
    by_row = losses.reshape(B, K)
    kl = np.empty(B)
    reference.kl_divergence(kl, mean, log_var)
    shares: Array = np.full((B, K), 1 / K)
    bound: Array = -by_row.mean(1) - kl
    if objective != "elbo":
        shares[:] = -by_row + ((wide_noise**2 - z**2 + log_var[:, None]) / 2).sum(2)
        reference.importance_weights(shares, bound, log_var)
    # A share moves by the error of its losses, which are sums of I terms.
    loose = 20 * I * eps(dtype)
    assert_close(known[:, objective_tasks.LOSS], -bound, loose)
    assert_close(known[:, objective_tasks.RECONSTRUCTION], by_row.mean(1), loose)
    assert_close(known[:, objective_tasks.SHARES :], shares, loose)
    delta = shares.reshape(n, 1) * (1 / (1 + np.exp(-logits)) - pixels) / B
    assert_close(bench.matrix("delta", n, I), delta, loose)
    dz = (delta @ weight.astype(wide)).reshape(B, K, Z)
    dmean, dlog_var = np.empty((B, Z)), np.empty((B, Z))
    if objective == "elbo":
        dmean[:] = dz.sum(1) + mean / B
        dlog_var[:] = (dz * std * wide_noise / 2).sum(1) + (np.exp(log_var) - 1) / 2 / B
    else:
        reference.importance_backward(
            dmean, dlog_var, dz, z, log_var, wide_noise, shares, code, 1 / B
        )
    assert_close(bench.matrix("dhead", B, 2 * Z), np.hstack([dmean, dlog_var]), loose)


def assert_close(actual: Array, wanted: Array, tolerance: float) -> None:
    """Within a tolerance relative to the largest value."""
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())


@each_dtype
def test_a_layer_of_two_parts_is_drawn_from_like_the_head(dtype: type) -> None:
    """Mean and log-variance of each output, as a decoder of learned variances has them."""
    bench = Bench(
        dtype, [(Z, 2 * I, "identity")], z=(B, Z), parts=(B, 2 * I), drawn=(B, I),
        noise=(I, B * I, 0),
    )  # fmt: skip
    weight, bias = normals(dtype, 2 * I, Z) / 4, normals(dtype, 2 * I)
    engine.write_dense(bench.table, bench.arenas[0], 0, weight, bias)
    z, noise = normals(dtype, B, Z), normals(dtype, B, I)
    bench.matrix("z", B, Z)[:] = z
    offset = bench.places["noise"]["offset"]
    bench.work[offset : offset + B * I] = noise.reshape(-1)
    program = [
        bench.region(records.FORWARD, 0, source="z", target="parts"),
        bench.region(records.DRAW, 0, parts=2, source="parts", target="drawn", noise="noise"),
    ]
    bench.run(program, array_source(z))
    outputs = z.astype(np.float64) @ weight.T + bias
    wanted = outputs[:, :I] + np.exp(outputs[:, I:] / 2) * noise
    assert_close(bench.matrix("drawn", B, I), wanted, 4 * (Z + 8) * eps(dtype))
    kl = np.empty(B)
    reference.kl_divergence(kl, *map(np.ascontiguousarray, np.hsplit(outputs, 2)))
    assert_close(bench.kl[:B], kl, 4 * (Z + 8) * eps(dtype))


def csr_source(dense: Array, index_dtype: Any) -> tuple[Array, list[Array]]:
    """A compressed sparse source of an array, and what it points to."""
    rows, columns = np.nonzero(dense)
    values = np.ascontiguousarray(dense[rows, columns])
    indptr = np.searchsorted(rows, np.arange(len(dense) + 1))
    indices = columns.astype(index_dtype)
    fields = (CSR, SOURCE_DTYPES[dense.dtype], values.ctypes.data, 0, 0)
    pointers = (indices.ctypes.data, indptr.ctypes.data, indices.itemsize)
    return np.array([(*fields, *pointers)], records.SOURCE), [values, indices, indptr]


@each_dtype
@pytest.mark.parametrize("data_dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
def test_sparse_rows_and_labels_side_by_side(
    dtype: type, data_dtype: Any, index_dtype: Any
) -> None:
    """Two sources fill one matrix; the zeros of both are skipped by the layer that reads it."""
    n = I + 10
    dense = generator(2).integers(0, 200, (B, I)) * (generator(3).random((B, I)) < 0.2)
    dense = dense.astype(data_dtype)
    labels = generator(4).integers(0, 10, B)
    sparse, kept = csr_source(dense, index_dtype)
    one_hot = np.array([(LABELS, 0, labels.ctypes.data, 0, 0, 0, 0, 0)], records.SOURCE)
    bench = Bench(dtype, [(n, 70, "tanh")], x=(B, n), values=(B, n), y=(B, 70))
    weight, bias = normals(dtype, 70, n), normals(dtype, 70)
    engine.write_dense(bench.table, bench.arenas[0], 0, weight, bias)
    beside = bench.places["x"].copy()
    beside["offset"] += I
    program = [
        bench.region(records.GATHER, n_in=I, target="x"),
        bench.region(
            records.GATHER, n_in=10, data_source=1, n_listed=n, target=beside, values="values"
        ),
        bench.region(records.FORWARD, 0, reads_data=1, source="x", target="y", values="values"),
    ]
    outputs = []
    for skip in (0, 1):
        bench.step["skip_zeros"] = skip
        bench.run(program, np.concatenate([sparse, one_hot]))
        outputs.append(bench.matrix("y", B, 70).copy())
    np.testing.assert_array_equal(outputs[0], outputs[1])
    pixels: Array = np.empty((B, I), dtype)
    kernels.gather(pixels, dense, np.arange(B)[::-1].copy())
    wanted = np.hstack([pixels, np.eye(10, dtype=dtype)[labels[::-1]]])
    np.testing.assert_array_equal(bench.matrix("x", B, n), wanted)
    y: Array = np.empty((B, 70), dtype)
    kernels.dense_forward(y, wanted, weight, bias, kernels.ACTIVATIONS["tanh"])
    np.testing.assert_array_equal(outputs[0], y)
    assert len(kept) == 3  # alive until here


@each_dtype
def test_a_gradient_is_stored_reduced_and_applied(dtype: type) -> None:
    """Two programs: one stores, and after a reduction elsewhere the other updates."""
    bench = Bench(
        dtype, [(I, 40, "identity")], x=(B, I), dy=(B, 40),
        packed=(*packed_size(B, I, np.dtype(dtype).itemsize), 0),
    )  # fmt: skip
    x, dy = normals(dtype, B, I), normals(dtype, B, 40)
    start = normals(dtype, 40, I), normals(dtype, 40)
    engine.write_dense(bench.table, bench.arenas[0], 0, *start)
    sources = np.concatenate([array_source(x), array_source(dy)])
    store = [
        bench.region(records.GATHER, n_in=I, target="x"),
        bench.region(records.GATHER, n_in=40, data_source=1, target="dy"),
        bench.region(records.PACK, 0, source="x", target="packed"),
        bench.region(
            records.BACKWARD_WEIGHT, 0, mode=records.STORE_MODE, source="packed", delta="dy"
        ),
    ]
    bench.run(store, sources)
    wanted: Array = np.empty((40, I), dtype)
    kernels.dense_backward_weight(wanted, dy[::-1].copy(), x[::-1].copy())
    stored, _ = engine.read_dense(bench.table, bench.arenas[3], 0)
    np.testing.assert_array_equal(stored, wanted)

    bench.arenas[3] *= np.dtype(dtype).type(0.5)  # as a sum with the gradients of others
    bench.step["rule"] = rule_of(SGD, [0.0, 0.0])
    bench.step["clip_norm"] = 1.0
    apply = [
        bench.region(records.SQUARE_SUMS, 0),
        bench.region(records.CLIP, n_in=bench.partial.size),
        bench.region(records.UPDATE, n_in=bench.arenas[0].size),
    ]
    gradient = [
        part.astype(np.float64) for part in engine.read_dense(bench.table, bench.arenas[3], 0)
    ]
    bench.run(apply, sources)
    norm = np.sqrt(sum(np.square(part).sum() for part in gradient))
    assert norm > 1.0
    applied, _ = engine.read_dense(bench.table, bench.arenas[0], 0)
    wanted64 = start[0] - 0.1 / norm * gradient[0]
    assert_within(applied, wanted64, 4 * eps(dtype) * (np.abs(start[0]) + 1))
