"""log p(x) by importance sampling.

References
----------
Burda, Grosse & Salakhutdinov (2016), "Importance Weighted Autoencoders", ICLR, eq. 8.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from typing import TYPE_CHECKING, Any, Generic, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastvae import checks, kernels
from fastvae.data import labelled
from fastvae.data.labelled import Checked, RowSource
from fastvae.data.variants import binarized
from fastvae.kernels import engine
from fastvae.kernels.machine.threads import max_threads, team_size
from fastvae.model.network import Advance, Network, flop_per_piece, ignore
from fastvae.training.evaluation import PerRow
from fastvae.training.nats import Nats

DYNAMIC = "dynamic"
LEAST_ESS = 100
"""Below so many effective samples an estimate, and its error, are not to be trusted."""
MAX_ELEMENTS = 2**34
"""Numbers of the noise of one row: as many as its counter has."""
_STEP_LATENTS = 2048
_LEAST_LATENTS = 64
_THREAD_LATENTS = 256  # in a step for each thread, if there are many
_STEP_ELEMENTS = 2**23  # of a layer's outputs
_FLOP_PER_ELEMENT = 300  # of a product that take as long as a number of noise or of an output
_FLOP_PER_LATENT = 5000  # or as adding a weight


if TYPE_CHECKING:
    from fastvae.training.evaluation import Figure

    class LogLikelihood(NamedTuple, Generic[Figure]):
        """`LogLikelihood` has floats, `LogLikelihood[PerRow]` arrays."""

        value: Figure
        standard_error: Figure
        ess: Figure

else:

    @checks.public
    class LogLikelihood(NamedTuple):
        """log p(x) in nats: means over rows, or arrays of a value per row.

        Attributes
        ----------
        value : float or ndarray
            The estimate.
        standard_error : float or ndarray
            Its standard error.
        ess : float or ndarray
            The effective sample size.
        """

        value: Any
        standard_error: Any
        ess: Any


def log_likelihood(
    network: Network,
    X: RowSource,
    n_samples: int,
    seed: int,
    nats: Nats,
    binarize: str | None = None,
    advance: Advance = ignore,
    *,
    common_noise: bool = False,
    first_row: int = 0,
) -> LogLikelihood[PerRow]:
    """Return the estimate for each row, float64 of shape (n,).

    log p(x) is estimated by log(sum of w / k), w = p(x | z) p(z) / q(z | x) of k latents z drawn
    from q(z | x). With r = sum of w^2 / (sum of w)^2, its standard error is
    sqrt((k r - 1) / (k - 1)), by the delta method, and the effective sample size 1 / r (Kong 1992,
    "A note on importance sampling using standardized weights").

    The noise of a row depends on what it holds and the seed only, so that it does not matter which
    rows it stands among; its label is none of it, so that all labels of a row have the same noise.
    So do dynamic draws that make it binary; fixed ones go by its number, the first one's being
    `first_row`.
    With `common_noise` all rows have the same noise, so that the estimate is smooth in x.
    Memory does not grow with `n_samples`.
    """
    sums = engine.new_sums(np.zeros(len(X), np.uint64))
    run = _Run(network, len(X), n_samples, seed, nats.factor, common_noise)
    with network.gate.reading:
        for first in range(0, len(X), run.chunk_rows):
            rows = slice(first, min(first + run.chunk_rows, len(X)))
            chunk = _binary(network, X[rows], binarize, seed, first_row + first)
            run.add(chunk, sums[rows], advance)
    return _estimates(sums, n_samples, nats.offset)


class _Run:
    """The sizes of an estimate's steps, and the workspace that they are done in."""

    def __init__(
        self,
        network: Network,
        n_rows: int,
        n_samples: int,
        seed: int,
        factor: float,
        common_noise: bool,
    ) -> None:
        self.network = network
        self.n_samples = n_samples
        self.common_noise = common_noise
        decoder = network.layers[network.n_encoder + 1 :][: -1 if network.has_prior else None]
        flop = _FLOP_PER_LATENT + _FLOP_PER_ELEMENT * network.n_latent
        flop += sum((2 * n_in + _FLOP_PER_ELEMENT) * n_out for n_in, n_out, _ in decoder)
        most = max(_STEP_LATENTS, _THREAD_LATENTS * team_size())
        most = min(most, _STEP_ELEMENTS // max(n_out for _, n_out, _ in network.layers))
        n_latents = max(_LEAST_LATENTS, min(most, int(flop_per_piece() / flop)))
        n_steps = -(-n_samples // max(_LEAST_LATENTS, n_latents // n_rows))
        self.repeat = -(-n_samples // n_steps)
        self.n_rows = min(n_rows, max(1, n_latents // self.repeat))
        self.n_steps = max(1, int(flop_per_piece() / (flop * self.n_rows * self.repeat)))
        self.work = network.new_workspace(
            max(n_latents, self.repeat), training=False, skip_zeros=False
        )
        self.lists = engine.new_lists(decoder[-1][0], max_threads())
        self.chunk_rows = self.work.n_rows // self.n_rows * self.n_rows
        self.work.set(
            draws_noise=True, seed=seed, stream=kernels.STREAM_IMPORTANCE,
            reconstruction_weight=factor,
        )  # fmt: skip

    def add(self, rows: Checked, sums: NDArray[Any], advance: Advance) -> None:
        """Add all weights of some rows to their sums."""
        work, parameters = self.work, self.network.parameters
        self.network.hand_over(rows, work)
        try:
            work.run(work.passes.encoding, parameters, np.arange(len(rows)), work.matrices)
            # Of hidden layers.
            work.set(skip_zeros=True, weights_finite=self.network.weights_are_finite())
            if not self.common_noise:
                sums["key"] = _keys(work.matrix(engine.INPUT, len(rows), self.network.n_features))
            for first in range(0, len(rows), self.n_rows):
                part = sums[first : first + self.n_rows]
                self._add_samples(first, part)
                advance(len(part))
        finally:
            work.release()

    def _add_samples(self, first: int, sums: NDArray[Any]) -> None:
        """Add all weights of the rows from `first` on of those that were encoded."""
        work, parameters, n_rows = self.work, self.network.parameters, len(sums)
        addresses = sums.ctypes.data, self.lists.ctypes.data
        n_whole, n_left = divmod(self.n_samples, self.repeat)
        program = work.passes.importance(n_rows, self.repeat, first, *addresses)
        work.set(element=0)
        for step in range(0, n_whole, self.n_steps):
            n_steps = min(self.n_steps, n_whole - step)
            work.run_blocks(program, parameters, n_rows, step, n_steps)
        if n_left:
            program = work.passes.importance(n_rows, n_left, first, *addresses)
            work.set(element=n_whole * self.repeat)
            work.run_blocks(program, parameters, n_rows, 0, 1)


def _binary(
    network: Network, rows: Checked, binarize: str | None, seed: int, first: int
) -> Checked:
    """Rows, the first of them number `first`, made binary."""
    keys = np.arange(first, first + len(rows))
    if binarize == DYNAMIC:
        given = np.empty(rows.shape, network.dtype)
        kernels.gather(given, labelled.values(rows), np.arange(len(rows)))
        keys = _keys(given).view(np.int64)
    return binarized(rows, network.dtype, binarize, seed, keys)


def _keys(rows: NDArray[Any]) -> NDArray[np.uint64]:
    """A number for each row by what it holds, the same for float32 and float64.

    It is the same for 0 and -0, and for each of the many bit patterns that are NaN.
    """
    plain = rows.astype("<f4") + np.float32(0.0)
    plain[np.isnan(plain)] = np.nan
    digests = [hashlib.blake2b(row.data, digest_size=8).digest() for row in plain]
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)


def _estimates(sums: NDArray[Any], n_samples: int, offset: float) -> LogLikelihood[PerRow]:
    total, k = sums["total"], n_samples
    # NumPy's own log has other bits on processors with AVX-512.
    logs = np.array([math.log(value) if value > 0 else value for value in total.tolist()])
    value = np.where(total == 0, -np.inf, sums["largest"] + (logs - math.log(k))) - offset
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = sums["squares"] / (total * total)
        error = np.sqrt(np.maximum(k * ratio - 1.0, 0.0) / (k - 1)) if k > 1 else ratio * np.nan
        return LogLikelihood(value, error, np.where(total == 0, 0.0, 1.0 / ratio))


def mean(rows: LogLikelihood[PerRow]) -> LogLikelihood:
    """The means over rows; the error is that of the mean of these rows, each estimated by itself.

    Sums are exact, so that the order of the rows does not show.
    """
    n = len(rows.value)
    error = math.sqrt(math.fsum(np.square(rows.standard_error).tolist())) / n
    return LogLikelihood(_sum(rows.value) / n, error, _sum(rows.ess) / n)


def _sum(values: NDArray[np.float64]) -> float:
    return math.fsum(values.tolist()) if np.isfinite(values).all() else float(values.sum())


def warn_of_few(ess: NDArray[np.float64], n_samples: int) -> None:
    """Warn where a row has fewer than `LEAST_ESS` effective samples."""
    few = ess < LEAST_ESS
    if few.any():
        of = "the row has" if len(ess) == 1 else f"{few.sum():,} of {len(ess):,} rows have"
        warnings.warn(
            f"{of} an effective sample size below {LEAST_ESS} (the least is {ess.min():.1f} of "
            f"{n_samples:,}): log p(x) is likely too low there, and its standard error too small; "
            "take more samples (n_samples), or train the encoder to come closer to the posterior",
            stacklevel=3,
        )
