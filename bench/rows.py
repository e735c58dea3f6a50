"""The rows of the alternating measurement: what is done, with which sizes, by whom."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bench.contestants import ENTRIES
from bench.workload import Sizes

SEED_MODEL = Sizes()
DEEP_MODEL = Sizes(784, (1024, 1024), 64)
ALL = tuple(ENTRIES)
PEAK = "peak"
"""In a row's contestants: the machine's FMA peak, measured in turn with the others."""
EPOCH = 60_000
LIKELIHOOD = "log-p"
"""The work, and the row, of log p(x): binarised test rows, the model a trained one."""
IWAE = "iwae"
"""The work of training on the importance-weighted bound."""
TEST_ROWS = 10_000
"""MNIST's test rows, to which the time of that row is extrapolated."""

COLD, WARM = "fastvae-cold", "fastvae-warm"
"""The contestants of `start-cold`: a training process with an empty cache, and with a full one."""

BATCH_ROWS = {1: 3_000, 20: 20_000, 128: EPOCH, 512: EPOCH, 2048: EPOCH}
"""Batch sizes of the training rows, and how many rows of data each takes: seconds per run."""

IWAE_ROWS = {5: 20_000, 50: 3_000}
"""Latents a row, and how many rows of data."""

PASSES = 100
"""Calls of encode or decode in a run, which so takes half a second even on a machine three times as
fast as that of RESULTS.md. One call, 16 ms there, mostly shows how cores wake up after a rest."""


@dataclass(frozen=True)
class Row:
    """One row: all its contestants do the same work in turn."""

    name: str
    title: str
    work: str
    """fit, iwae, steps, encode, decode, log-p: in a worker process; cold, first-batch, job: new."""
    contestants: tuple[str, ...]
    sizes: Sizes = SEED_MODEL
    batch_size: int = 0
    n_rows: int = 0
    n_samples: int = 0
    """Latents drawn per row, for log p(x) and for training on its importance-weighted bound."""
    dense: bool = False
    """Whether the rows hold no zero; else they are MNIST's."""
    n_threads: int = 0
    """0: all."""
    repeats: int = 1
    """How often a contestant in a worker process does the work in a run."""

    @property
    def flops(self) -> int:
        """Floating-point operations per row of the work's matrix products."""
        if self.work in ("fit", "steps"):
            return self.sizes.training_flops
        if self.work == IWAE:
            return self.sizes.iwae_flops(self.n_samples)
        if self.work == LIKELIHOOD:
            return self.sizes.encoding_flops + self.n_samples * self.sizes.decoding_flops
        return self.sizes.encoding_flops if self.work == "encode" else self.sizes.decoding_flops

    def shortened(self) -> Row:
        """The same row with a tenth of the data, to try whether everything runs."""
        return replace(self, n_rows=max(self.n_rows // 10, 2 * self.batch_size + 1))


def _training(batch_size: int) -> Row:
    contestants = (*ALL, PEAK) if batch_size in (128, 512) else ALL
    return Row(
        f"train-b{batch_size}",
        f"training, batch {batch_size}",
        "fit",
        contestants,
        batch_size=batch_size,
        n_rows=BATCH_ROWS[batch_size],
    )


def _importance_weighted(n_samples: int, batch_size: int) -> Row:
    """A row of training with `n_samples` latents for each row of data: seconds per run."""
    return Row(
        f"iwae-k{n_samples}-b{batch_size}",
        f"training on the importance-weighted bound, k = {n_samples}, batch {batch_size}",
        IWAE,
        ("fastvae", "jax", PEAK),
        batch_size=batch_size,
        n_rows=IWAE_ROWS[n_samples],
        n_samples=n_samples,
    )


def _passes(work: str, title: str) -> Row:
    """A row of encoding or decoding as many rows as MNIST's test set has, again and again."""
    return Row(work, f"{title} {PASSES} times", work, ALL, n_rows=TEST_ROWS, repeats=PASSES)


def threads_row(n_threads: int) -> Row:
    """The row of training with a number of threads."""
    return Row(
        f"threads-{n_threads}",
        f"training, batch 128, {n_threads} thread{'s' if n_threads > 1 else ''}",
        "fit",
        ALL,
        batch_size=128,
        n_rows=20_000,
        n_threads=n_threads,
    )


FIXED = (
    *(_training(batch_size) for batch_size in BATCH_ROWS),
    Row(
        "train-deep",
        f"training, {DEEP_MODEL.title}, batch 256",
        "fit",
        (*ALL, PEAK),
        sizes=DEEP_MODEL,
        batch_size=256,
        n_rows=10_240,
    ),
    Row(
        "train-dense",
        "training steps, batch 512, input without zeros",
        "steps",
        ("fastvae", PEAK),
        batch_size=512,
        n_rows=40 * 512,
        dense=True,
    ),
    *(_importance_weighted(k, batch_size) for k in IWAE_ROWS for batch_size in (20, 128)),
    _passes("encode", "encoding 10,000 rows"),
    _passes("decode", "decoding 10,000 latents"),
    Row(
        LIKELIHOOD,
        "log p(x) of 200 binarised test rows, 5,000 samples each",
        LIKELIHOOD,
        (*ALL, PEAK),
        n_rows=200,
        n_samples=5_000,
    ),
    Row("start-cold", "a first training process, nothing compiled", "cold", (COLD, WARM)),
    Row("start-warm", "process start to first batch", "first-batch", ("fastvae", "torch", "jax")),
    Row("job", "the whole job as a process", "job", ("fastvae", "torch", "jax")),
)


def all_rows(n_threads: int) -> list[Row]:
    """Return every row for a machine that runs `n_threads` threads."""
    counts = sorted({1, n_threads, *(2**i for i in range(n_threads.bit_length() - 1))})
    return [*FIXED, *(threads_row(count) for count in counts)]


def row_named(name: str) -> Row:
    """Return a row by its name.

    Raises
    ------
    ValueError
        For a name that is no row's.
    """
    for row in FIXED:
        if row.name == name:
            return row
    prefix, _, count = name.partition("threads-")
    if not prefix and count.isdecimal() and int(count) > 0:
        return threads_row(int(count))
    known = ", ".join(row.name for row in FIXED)
    raise ValueError(f"unknown row {name!r}; known: {known}, threads-N")


def title_of(contestant: str) -> str:
    """Return a contestant's name in tables.

    Raises
    ------
    ValueError
        For a contestant that nobody knows.
    """
    extra = {PEAK: "FMA peak", COLD: "fastvae, cold", WARM: "fastvae, warm"}
    if contestant in extra:
        return extra[contestant]
    if contestant not in ENTRIES:
        raise ValueError(f"unknown contestant {contestant!r}; known: {', '.join((*ALL, *extra))}")
    return ENTRIES[contestant].title
