"""A network: its parameters in one arena, its layer table, and the passes over rows.

What a VAE is made of, without names, files or checks (callers validate). Rows are samples; all
passes work in chunks of rows, so that a million rows need no million rows of workspace.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from . import kernels as k

_CHUNK_ROWS = 512
_FLOP_PER_CALL = 1e10  # 50 to 100 ms on two cores at 100 to 200 GFLOP/s, half a second at 20
_SAMPLE_ROWS = 512
_LEAST_ROWS = 64  # fewer are not worth a look at their zeros
_PAYS_BELOW = 0.4  # share of non-zero inputs: at 0.5, batch 128 is no faster, batch 20 is slower


class Network:
    """Parameters, layer table and passes of one VAE.

    Parameters
    ----------
    layers : sequence of (n_in, n_out, activation name)
        The encoder's layers, one head of 2 Z outputs (mean, then log_var), the decoder's.
    n_encoder : int
        Number of layers before the head.
    likelihood : str
        A name of `kernels.LIKELIHOODS`.
    dtype : float32 or float64
    """

    def __init__(
        self,
        layers: Sequence[tuple[int, int, str]],
        n_encoder: int,
        likelihood: str,
        dtype: np.dtype | type,
    ) -> None:
        self.dtype = np.dtype(dtype)
        self.layers = tuple(layers)
        self.n_encoder = n_encoder
        self.likelihood = likelihood
        self.table = k.layer_table(layers, dtype)
        self.parameters = k.new_arena(self.table, dtype)
        self.n_features = int(self.table[0, k.N_IN])
        self.n_latent = int(self.table[n_encoder, k.N_OUT]) // 2
        self._training: k.Workspace | None = None
        self._passes: k.Workspace | None = None
        self._gradient: np.ndarray | None = None

    # --- parameters ---------------------------------------------------------------------

    def read_dense(
        self, layer: int, first: int = 0, n_out: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Copy weights (n_out, n_in) and biases (n_out,) of a layer's outputs from `first`."""
        return k.read_dense(self.table, self.parameters, layer, first, n_out)

    def write_dense(
        self, layer: int, weight: np.ndarray | None, bias: np.ndarray | None, first: int = 0
    ) -> None:
        """Store weights and biases of a layer's outputs from `first`; None leaves a part."""
        k.write_dense(self.table, self.parameters, layer, weight, bias, first)

    def new_arena(self) -> np.ndarray:
        """Return a zeroed arena of the parameters' layout, for moments or gradients."""
        return k.new_arena(self.table, self.dtype)

    # --- passes over rows, in chunks --------------------------------------------------------

    def encode(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the posterior's mean and log_var, each of shape (n, Z)."""
        work = self._workspace()
        program = work.program.encoding_to_out
        heads = self._pass(program, X, 2 * self.n_latent, self._skips(X))
        return heads[:, : self.n_latent].copy(), heads[:, self.n_latent :].copy()

    def decode(self, Z: np.ndarray) -> np.ndarray:
        """Return the means of the likelihood, shape (n, n_features), of latents (n, Z)."""
        return self._pass(self._workspace().program.decoding, Z, self.n_features, False)

    def reconstruct(self, X: np.ndarray) -> np.ndarray:
        """Return the decoded posterior means, shape (n, n_features)."""
        program = self._workspace().program.reconstruction
        return self._pass(program, X, self.n_features, self._skips(X))

    def evaluate(self, X: np.ndarray, n_samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return reconstruction and KL per row in nats, float64 of shape (n,).

        The reconstruction is averaged over `n_samples` draws of the latent; the noise of a row
        depends on its number and the seed only.
        """
        reconstruction = np.zeros(len(X))
        kl = np.zeros(len(X))
        work = self._workspace()
        encoding, losses = work.program.encoding, work.program.losses
        work.take(X, seed)
        work.whole[k.SKIP] = self._skips(X)
        work.whole[k.DRAWS] = True
        work.whole[k.STREAM] = k.STREAM_EVALUATION
        order = np.arange(len(X))
        for chunk, first in enumerate(range(0, len(X), work.n_rows)):
            n = min(work.n_rows, len(X) - first)
            work.whole[k.ELEMENT] = first * self.n_latent
            work.run(encoding, self.parameters, order, work.matrices, chunk)
            for sample in range(n_samples):
                work.run(losses, self.parameters, order, work.matrices, chunk, first_draw=sample)
                reconstruction[first : first + n] += work.sums[k.RECONSTRUCTION, :n]
            kl[first : first + n] = work.sums[k.KL, :n]
        return reconstruction / n_samples, kl

    def _workspace(self) -> k.Workspace:
        if self._passes is None:
            self._passes = self._new_workspace(_CHUNK_ROWS)
        return self._passes

    def _new_workspace(self, n_rows: int) -> k.Workspace:
        return k.Workspace(self.table, self.n_encoder, self.likelihood, n_rows, self.dtype)

    def _pass(
        self, program: np.ndarray, data: np.ndarray, n_columns: int, skip_zeros: bool
    ) -> np.ndarray:
        """Run a program over all rows of `data`; return what it writes, shape (n, n_columns)."""
        out = np.empty((len(data), n_columns), self.dtype)
        work = self._workspace()
        work.take(data)
        work.whole[k.SKIP] = skip_zeros
        order = np.arange(len(data))
        n_chunks = -(-len(data) // work.n_rows)
        run_length = self.steps_per_call(work.n_rows)
        for first in range(0, n_chunks, run_length):
            n_steps = min(run_length, n_chunks - first)
            work.run(program, self.parameters, order, out.reshape(-1), first, n_steps)
        return out

    def _skips(self, X: np.ndarray) -> bool:
        """Whether a pass leaves zeros out, which pays from some rows on."""
        return len(X) >= _LEAST_ROWS and self.pays_to_skip(X)

    # --- training ----------------------------------------------------------------------------

    def train(
        self,
        X: np.ndarray,
        order: np.ndarray,
        first_step: int,
        n_steps: int,
        batch_size: int,
        *,
        optimizer: int,
        hyper: np.ndarray,
        learning_rates: np.ndarray,
        moments: tuple[np.ndarray, np.ndarray],
        update: int,
        first_draw: int,
        seed: int,
        reconstruction_weight: float,
        beta: float,
        clip_norm: float,
        skip_zeros: bool,
        totals: np.ndarray,
    ) -> None:
        """Run steps first_step .. first_step + n_steps - 1 of a pass over order (int64 rows).

        Step s takes rows order[s * batch_size : (s + 1) * batch_size]; the last may be short.
        `update` counts the updates done with these moments, `first_draw` the batches that noise
        was drawn for in the model's life; `learning_rates` has one rate per step. See
        `run_steps` in `kernels` for the rest.
        """
        if self._training is None or self._training.n_rows != batch_size:
            self._training = self._new_workspace(batch_size)
        if clip_norm > 0.0 and self._gradient is None:
            self._gradient = self.new_arena()
        gradient = moments[0] if self._gradient is None else self._gradient
        work = self._training
        work.take(X, seed)
        work.whole[k.DRAWS] = True
        work.whole[k.SKIP] = skip_zeros
        work.train(
            self.parameters, moments, gradient, order, first_step, n_steps, batch_size,
            optimizer, hyper, learning_rates, update, first_draw, float(reconstruction_weight),
            float(beta), float(clip_norm), totals,
        )  # fmt: skip

    def gradients(
        self, X: np.ndarray, noise: np.ndarray, reconstruction_weight: float, beta: float
    ) -> tuple[float, float, float, np.ndarray]:
        """Return loss, reconstruction and KL (batch means) and the gradient's arena.

        Parameters
        ----------
        X : ndarray, shape (B, n_features)
        noise : ndarray, shape (B, Z)
            What the latent's deviation is multiplied by.
        """
        n = len(X)
        work = self._new_workspace(n)
        work.take(X)
        work.matrix(k.NOISE, n, self.n_latent)[:] = noise
        gradient = self.new_arena()
        totals = np.zeros(4 + 2 * self.n_latent)
        work.train(
            self.parameters, (gradient, gradient), gradient, np.arange(n), 0, 1, n, -1,
            np.zeros(4), np.zeros(1), 0, 0, float(reconstruction_weight), float(beta), 0.0, totals,
        )  # fmt: skip
        loss, reconstruction, kl = (float(total) / n for total in totals[:3])
        return loss, reconstruction, kl, gradient

    def steps_per_call(self, batch_size: int) -> int:
        """Return a number of steps that keeps one call well under a second."""
        weights = int((self.table[:, k.N_IN] * self.table[:, k.N_OUT]).sum())
        flop = 6 * weights * batch_size + 50 * weights  # products, and the update's memory traffic
        return max(1, int(_FLOP_PER_CALL // flop))

    def pays_to_skip(self, X: np.ndarray) -> bool:
        """Tell whether X has so many exact zeros that leaving them out is faster.

        A sample of rows is read.
        """
        rows = np.linspace(0, len(X) - 1, min(len(X), _SAMPLE_ROWS)).astype(np.int64)
        return bool(np.count_nonzero(X[rows]) < _PAYS_BELOW * rows.size * X.shape[1])
