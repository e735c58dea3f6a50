"""The same jobs in many environments: threads, threading layers, instruction sets.

Each environment is a process of its own, which does the jobs of `digests` and prints a digest of
each result. All with fused multiply-add must agree with each other to the bit, and so must all
without. `PYTHONPATH=tests python -m probes.bits --seed 0` prints the digests of this environment;
`--record` writes those that tests compare with, on any processor, to tests/machine/bits.json.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import itertools
import json
import os
import random
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from kernel_checks import SMALLER
from model_checks import figures_of, parameters, pixel_rows
from numpy.typing import NDArray

from bench.kernel_cases import CASES as KERNEL_CASES
from bench.kernel_cases import Operand, kinds_of_columns, normal
from fastvae import VAE, kernels
from fastvae.kernels.machine.isa import INSTRUCTION_SETS

TITLE = "The same bits"
TEXT = """
Ten trainings a dtype (Adam, RMSprop, SGD; clipped or not; Bernoulli and Gaussian; all activations;
batches of 1 to 128 rows; sparse, dense and drawn rows; all objectives; labels), the encodings,
reconstructions, samples, likelihoods and gradients of what they trained, and all public kernels, in
processes of 1 to 8 threads on each threading layer and each instruction set that the machine has. A
result is equal if all its bytes are those of the first process: one for the instruction sets with
fused multiply-add, one for those without. Models and data are drawn anew for each seed.
"""
MOST_THREADS = 8
LAYERS = [
    name
    for name, module in {"tbb": "tbbpool", "omp": "omppool", "workqueue": "workqueue"}.items()
    if importlib.util.find_spec(f"numba.np.ufunc.{module}")
]
ENVIRONMENTS = list(
    itertools.product((kernels.isa(), *SMALLER[kernels.isa()]), LAYERS, range(1, MOST_THREADS + 1))
)
COUNT = len(ENVIRONMENTS)
TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
RECORD = TESTS / "machine" / "bits.json"
CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"hidden": (256,), "n_latent": 32}, {"batch_size": 128}),
    ({"likelihood": "gaussian", "activation": "tanh"}, {"batch_size": 20, "clip_norm": 0.5}),
    ({"hidden": (67, 33, 17), "activation": "softplus"}, {"optimizer": "rmsprop"}),
    ({"activation": "leaky_relu"}, {"batch_size": 1, "optimizer": "sgd", "epochs": 1}),
    (
        {"activation": "sigmoid", "output_activation": "identity", "likelihood": "gaussian"},
        {"batch_size": 33, "learning_rate": lambda update, epoch: 1e-3 / (1 + update)},
    ),
    ({}, {"binarize": "dynamic", "batch_size": 50}),
    ({}, {"objective": "iwae", "n_samples": 5, "epochs": 1}),
    (
        {"likelihood": "gaussian", "sigma": "learned", "activation": "tanh"},
        {"objective": "dreg", "n_samples": 3, "batch_size": 50, "epochs": 1},
    ),
    ({}, {"free_bits": 0.1, "n_samples": 2, "epochs": 1}),
    ({"n_classes": 4, "prior": "label"}, {"batch_size": 50, "epochs": 1}),
]


def digests(seed: int) -> dict[str, str]:
    """The digest of each result, by its name."""
    found: dict[str, str] = {}
    for dtype, (number, (model, settings)) in itertools.product(
        ("float32", "float64"), enumerate(CASES)
    ):
        small: dict[str, Any] = {"hidden": (40,), "n_latent": 5}
        n_features = 784 if number == 0 else 61
        rows: NDArray[Any] = pixel_rows(257, n_features, seed=seed)
        if number % 2:
            rows = np.random.default_rng(seed).random(rows.shape)
        vae = VAE.from_sizes(n_features, seed=seed, dtype=dtype, **(small | model))
        held_out: Any = (rows[:7], np.arange(7) % 4) if vae.n_classes else rows[:7]
        settings = {"epochs": 2} | _labels(vae, 257) | settings
        vae.fit(rows, validation=held_out, verbose=False, **settings)
        losses, gradients = vae.gradients(rows[:45], **_labels(vae, 45))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of few effective samples
            log_p = vae.log_likelihood(rows[:7], 70, per_sample=True, **_labels(vae, 7))
        everywhere, some = _labels(vae, 257), _labels(vae, 50)
        one: dict[str, Any] = {"labels": 1} if vae.n_classes else {}
        elbo = vae.elbo(rows, 3, per_sample=True, **everywhere)
        codes = vae.encode(rows[:50], **some)[0]
        results: dict[str, list[NDArray[Any]]] = {
            "weights": list(parameters(vae).values()),
            "history": [np.array(figures) for figures in figures_of(vae.history).values()],
            "encode": [*vae.encode(rows, **everywhere), *vae.encode(rows[3], **one)],
            "decode": [vae.decode(codes, **some)],
            "reconstruct": [vae.reconstruct(rows, **everywhere)],
            "sample": [vae.sample(65)],
            "elbo": [np.array(figure) for figure in elbo],
            "log_likelihood": [np.array(figure) for figure in log_p],
            "gradients": [np.array(losses), *gradients.values()],
        }
        found |= {f"{dtype} {number} {name}": _digest(*part) for name, part in results.items()}
    chance = random.Random(seed)
    sizes = {axis: chance.randrange(1, 150) for axis in "BIOZNT"} | {"P": 70_001, "K": 7}
    for dtype, case in itertools.product(("float32", "float64"), KERNEL_CASES):
        rng = np.random.default_rng(seed)
        arguments = {
            key: _drawn(value, sizes, dtype, rng) if isinstance(value, Operand) else value
            for key, value in case.parameters.items()
        }
        returned = getattr(kernels, case.name)(*arguments.values())
        written = [np.asarray(arguments[name]) for name in case.written] or [np.asarray(returned)]
        found[f"{dtype} {case.operation}"] = _digest(*written)
    return found


def _labels(vae: VAE, n: int) -> dict[str, Any]:
    """The argument of n rows' labels, of a conditional model."""
    return {"labels": np.arange(n) % vae.n_classes} if vae.n_classes else {}


def _drawn(
    operand: Operand, sizes: Mapping[str, int], dtype: str, rng: np.random.Generator
) -> NDArray[Any]:
    """An argument, made without functions that NumPy rounds as the processor likes it."""
    if operand.draw in (None, kinds_of_columns):  # which are not random
        return operand.array(sizes, dtype, 0)
    shape = tuple(int(axis) if axis.isdigit() else sizes[axis] for axis in operand.axes)
    if operand.dtype is not None and operand.dtype is not np.float64:
        return rng.integers(0, sizes["N"], shape).astype(operand.dtype)
    numbers = rng.random(shape, np.float32)
    values = 8 * numbers - 4 if operand.draw is normal else numbers
    return values.astype(operand.dtype or dtype)


def _digest(*arrays: NDArray[Any]) -> str:
    seen = hashlib.sha256()
    for array in arrays:
        seen.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
    return seen.hexdigest()[:16]


def numpy_without(isa: str) -> str:
    """The features that NumPy must not use either on a processor that has this set at most."""
    package = "core" if np.__version__.startswith("1.") else "_core"
    umath = importlib.import_module(f"numpy.{package}._multiarray_umath")
    present = [name for name in umath.__cpu_dispatch__ if umath.__cpu_features__[name]]
    marks = {"generic": ("",), "avx2": ("AVX512", "X86_V4")}.get(isa, ())
    return " ".join(name for name in present if name.startswith(marks))


def digests_in(
    isa: str, layer: str, n_threads: int, seed: int, python: Sequence[str] = (sys.executable,),
    limit: float = 900,
) -> dict[str, str]:  # fmt: skip
    """What a process with these settings finds, in `limit` seconds at most."""
    settings = {
        "FASTVAE_ISA": isa,
        "NPY_DISABLE_CPU_FEATURES": numpy_without(isa),
        "NUMBA_THREADING_LAYER": layer,
        "NUMBA_NUM_THREADS": str(n_threads),
        "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run(
        [*python, "-m", "probes.bits", "--seed", str(seed)],
        cwd=ROOT,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=limit,
    )
    assert done.returncode == 0, f"{settings} ended with {done.returncode}:\n{done.stderr[-3000:]}"
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["environment"] == [isa, layer, n_threads]
    return dict(told["digests"])


def differing(found: Mapping[str, str], expected: Mapping[str, str]) -> list[str]:
    """The names of results that are not equal."""
    assert found.keys() == expected.keys()
    return [name for name in found if found[name] != expected[name]]


def probe(count: int, seed: int) -> Iterator[Counter[str]]:
    """Do the jobs in so many environments, in a random order; with new jobs after the last one.

    Yields
    ------
    Counter
        processes, results, and those that are equal to the first process's.

    Raises
    ------
    AssertionError
        If a result differs.
    """
    counted, chance = Counter[str](), random.Random(seed)
    expected: dict[tuple[str, int], dict[str, str]] = {}
    for number in range(count):
        turn, place = divmod(number, len(ENVIRONMENTS))
        if place == 0:
            order = chance.sample(ENVIRONMENTS, len(ENVIRONMENTS))
        isa, layer, n_threads = order[place]
        jobs = 1000 * seed + turn
        found = digests_in(isa, layer, n_threads, jobs)
        wrong = differing(found, expected.setdefault((_kind(isa), jobs), found))
        assert not wrong, f"{isa}, {layer}, {n_threads} threads: {wrong} differ"
        counted["processes"] += 1
        counted[f"processes on {layer}"] += 1
        counted[f"processes with {isa}"] += 1
        counted["results"] += len(found)
        counted["results equal to the first process's"] += len(found)
        counted["most threads"] = max(counted["most threads"], n_threads)
        yield counted


def recorded(isa: str) -> dict[str, str]:
    """The digests of the jobs of seed 0 in float32, which no system's library has a part in."""
    return dict(json.loads(RECORD.read_text("utf-8"))[_kind(isa)])


def _kind(isa: str) -> str:
    return "with fused multiply-add" if INSTRUCTION_SETS[isa].fused else "without"


def main() -> None:
    """Be one of the environments, or write the record of seed 0."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    if args.record:
        record = {}
        for isa in (kernels.isa(), "generic"):
            found = digests_in(isa, LAYERS[0], 2, 0)
            record[_kind(isa)] = {key: found[key] for key in found if key.startswith("float32")}
        RECORD.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    else:
        environment = [kernels.isa(), kernels.threading_layer(), kernels.max_threads()]
        print(json.dumps({"environment": environment, "digests": digests(args.seed)}))


if __name__ == "__main__":
    main()
