"""A network: its parameters in one array, its layer table, and the passes over rows.

What a VAE is made of, without names, files or checks (callers validate). Rows are samples; all
passes work in chunks of rows, so that a million rows need no million rows of workspace.

Any number of threads may call the passes. Each call in progress has a workspace of its own, taken
from those that earlier calls left, and sees the parameters of one moment: passes and training take
turns, a whole pass against one run of training steps.
"""

import hashlib
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastvae import kernels
from fastvae.kernels import engine
from fastvae.model.guards import Gate
from fastvae.model.value import Value

_CHUNK_ROWS = 512
_FLOP_PER_CALL = 1.5e10  # 75 to 150 ms on two cores at 100 to 200 GFLOP/s, 0.75 s at 20
_SAMPLE_ROWS = 512
_LEAST_ROWS = 64  # fewer are not worth a look at their zeros
_KEPT_WORKSPACES = 4
_KEPT_BYTES = 2**26  # of a workspace between two trainings
_PAYS_BELOW = 0.4  # share of non-zero inputs: at 0.5, batch 128 is no faster, batch 20 is slower


class Network(Value):
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

    Attributes
    ----------
    table : ndarray of int64
        The layer table, see `kernels.layer_table`.
    parameters : ndarray, one-dimensional
        All weights and biases, as the kernels lay them out; zeros at first.
    gate : Gate
        Passes over rows read through it; who changes `parameters` writes through it.
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
        self.table = engine.layer_table(layers, dtype)
        self.parameters = engine.new_arena(self.table, dtype)
        self.gate = Gate()
        self.n_features = int(self.table["n_in"][0])
        self.n_latent = int(self.table["n_out"][n_encoder]) // 2
        self._n_weights = sum(n_in * n_out for n_in, n_out, _ in self.layers)
        self._training: engine.Workspace | None = None
        # For passes over rows: the first without room for lists, the second with it.
        self._spare = [deque[engine.Workspace](maxlen=_KEPT_WORKSPACES) for _ in range(2)]
        self._gradient: np.ndarray | None = None
        number = self.dtype.type
        self._log_var_bounds = number(kernels.LOG_VAR_MIN), number(kernels.LOG_VAR_MAX)

    def __getstate__(self) -> dict[str, Any]:
        return {
            "layers": self.layers,
            "n_encoder": self.n_encoder,
            "likelihood": self.likelihood,
            "dtype": self.dtype.name,
            "parameters": [self.read_dense(layer) for layer in range(len(self.layers))],
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        parameters = state["parameters"]
        arguments = {name: value for name, value in state.items() if name != "parameters"}
        Network.__init__(self, **arguments)
        for layer, (weight, bias) in enumerate(parameters):
            self.write_dense(layer, weight, bias)

    # --- parameters ---------------------------------------------------------------------

    def read_dense(
        self,
        layer: int,
        first: int = 0,
        n_out: int | None = None,
        values: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Copy weights (n_out, n_in) and biases (n_out,) of a layer's outputs from `first`.

        Those of `values`, an array laid out like the parameters, if it is given.
        """
        with self.gate.reading:
            values = self.parameters if values is None else values
            return engine.read_dense(self.table, values, layer, first, n_out)

    def write_dense(
        self, layer: int, weight: np.ndarray | None, bias: np.ndarray | None, first: int = 0
    ) -> None:
        """Store weights and biases of a layer's outputs from `first`; None leaves a part."""
        with self.gate.writing:
            engine.write_dense(self.table, self.parameters, layer, weight, bias, first)

    def overwrite(self, values: np.ndarray) -> None:
        """Replace all parameters by those of an array laid out like them."""
        with self.gate.writing:
            np.copyto(self.parameters, values)

    def new_arena(self) -> np.ndarray:
        """Return a zeroed arena of the parameters' layout, for moments or gradients."""
        return engine.new_arena(self.table, self.dtype)

    def to_arrays(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Weights (n_out, n_in) and biases (n_out,) by layer, as every instruction set reads them.

        Parameters
        ----------
        values : ndarray
            An array laid out like the parameters, which nobody else writes to meanwhile.
        """
        arrays: dict[str, np.ndarray] = {}
        for layer in range(len(self.layers)):
            weight, bias = engine.read_dense(self.table, values, layer)
            arrays |= {f"{layer}.weight": weight, f"{layer}.bias": bias}
        return arrays

    def from_arrays(self, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        """An array laid out like the parameters, of what `to_arrays` returned.

        Raises
        ------
        KeyError, ValueError
            If an array is missing, or has another shape or dtype than the layer.
        """
        values = self.new_arena()
        for layer, (n_in, n_out, _) in enumerate(self.layers):
            weight, bias = arrays[f"{layer}.weight"], arrays[f"{layer}.bias"]
            for array, shape in ((weight, (n_out, n_in)), (bias, (n_out,))):
                if array.shape != shape or array.dtype != self.dtype:
                    raise ValueError(
                        f"layer {layer} needs {self.dtype} of shape {shape}; got {array.dtype} of "
                        f"shape {array.shape}"
                    )
            engine.write_dense(self.table, values, layer, weight, bias)
        return values

    # --- passes over rows, in chunks --------------------------------------------------------

    def encode(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the posterior's mean and log_var, each of shape (n, Z).

        log_var is what is used of it: within its bounds (`kernels.LOG_VAR_MIN`, `LOG_VAR_MAX`).
        """
        heads = self._pass("encoding_to_out", X, self.n_features, 2 * self.n_latent, self._skips(X))
        # One row is a matter of microseconds: `np.clip` and `np.hsplit` would take a fifth more.
        low, high = self._log_var_bounds
        log_var = np.maximum(heads[:, self.n_latent :], low)
        return heads[:, : self.n_latent].copy(), np.minimum(log_var, high, out=log_var)

    def decode(self, Z: np.ndarray) -> np.ndarray:
        """Return the means of the likelihood, shape (n, n_features), of latents (n, Z)."""
        return self._pass("decoding", Z, self.n_latent, self.n_features, False)

    def reconstruct(self, X: np.ndarray) -> np.ndarray:
        """Return the decoded posterior means, shape (n, n_features)."""
        return self._pass("reconstruction", X, self.n_features, self.n_features, self._skips(X))

    def evaluate(self, X: np.ndarray, n_samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return reconstruction and KL per row in nats, float64 of shape (n,).

        The reconstruction is averaged over `n_samples` draws of the latent; the noise of a row
        depends on its number and the seed only.
        """
        reconstruction = np.zeros(len(X))
        kl = np.zeros(len(X))
        work = self._borrow(X, self.n_features, self._skips(X))
        try:
            encoding, losses = work.passes.encoding, work.passes.losses
            work.set(draws_noise=True, seed=seed, stream=kernels.STREAM_EVALUATION)
            order = np.arange(len(X))
            values = self.parameters
            with self.gate.reading:
                for chunk, first in enumerate(range(0, len(X), work.n_rows)):
                    n = min(work.n_rows, len(X) - first)
                    work.set(element=first * self.n_latent)
                    work.run(encoding, values, order, work.matrices, chunk)
                    for sample in range(n_samples):
                        work.run(losses, values, order, work.matrices, chunk, first_draw=sample)
                        reconstruction[first : first + n] += work.reconstruction[:n]
                    kl[first : first + n] = work.kl[:n]
        finally:
            self._give_back(work)
        return reconstruction / n_samples, kl

    def column_means(self, X: np.ndarray) -> np.ndarray:
        """Return the mean of each feature as the network sees it, float64 of shape (n_features,).

        Rows are gathered into the working dtype and summed pairwise in float64, by a tree of fixed
        shape over each chunk, so that neither the dtype of X, nor its strides, nor how NumPy sums
        shows in the result.
        """
        total = np.zeros(self.n_features)
        half = _CHUNK_ROWS // 2
        sums = np.empty((half, self.n_features))
        work = self._borrow(X, self.n_features, False)
        try:
            order = np.arange(len(X))
            rows = work.matrix(engine.INPUT, _CHUNK_ROWS, self.n_features)
            for chunk, first in enumerate(range(0, len(X), _CHUNK_ROWS)):
                work.run(work.passes.gathering, self.parameters, order, work.matrices, chunk)
                rows[len(X) - first :] = 0.0
                np.add(rows[:half], rows[half:], out=sums, dtype=np.float64)
                n = half // 2
                while n:
                    sums[:n] += sums[n : 2 * n]
                    n //= 2
                total += sums[0]
        finally:
            self._give_back(work)
        return total / len(X)

    def fingerprint(self, X: np.ndarray, n_sampled: int | None = None) -> str:
        """A digest of rows as the network sees them: their values count, not how they are stored.

        Parameters
        ----------
        X : ndarray, shape (n, n_features)
        n_sampled : int, optional
            Look at so many rows only, evenly spaced.
        """
        order = np.arange(len(X))
        if n_sampled is not None and n_sampled < len(X):
            order = np.linspace(0, len(X) - 1, n_sampled).astype(np.int64)
        digest = hashlib.sha256(str(X.shape).encode())
        work = self._borrow(X, self.n_features, False)
        try:
            rows = work.matrix(engine.INPUT, work.n_rows, self.n_features)
            for chunk, first in enumerate(range(0, len(order), work.n_rows)):
                work.run(work.passes.gathering, self.parameters, order, work.matrices, chunk)
                digest.update(np.ascontiguousarray(rows[: len(order) - first]).data)
        finally:
            self._give_back(work)
        return digest.hexdigest()

    def _borrow(self, data: np.ndarray, n_columns: int, skip_zeros: bool) -> engine.Workspace:
        """A workspace that no other call uses, set to work on `data`, rows of `n_columns`."""
        _check_columns(data, n_columns)
        try:
            work = self._spare[skip_zeros].pop()
        except IndexError:
            work = self._new_workspace(_CHUNK_ROWS, training=False, skip_zeros=skip_zeros)
        work.take(data)
        return work

    def _give_back(self, work: engine.Workspace) -> None:
        work.release()
        self._spare[work.skip_zeros].append(work)

    def _new_workspace(self, n_rows: int, *, training: bool, skip_zeros: bool) -> engine.Workspace:
        return engine.Workspace(
            self.table, self.n_encoder, self.likelihood, n_rows, self.dtype,
            training=training, skip_zeros=skip_zeros,
        )  # fmt: skip

    def _pass(
        self, name: str, data: np.ndarray, n_inputs: int, n_columns: int, skip_zeros: bool
    ) -> np.ndarray:
        """Run a program over all rows of `data`; return what it writes, shape (n, n_columns)."""
        out = np.empty((len(data), n_columns), self.dtype)
        order = np.arange(len(data))
        work = self._borrow(data, n_inputs, skip_zeros)
        try:
            program = getattr(work.passes, name)
            n_chunks = -(-len(data) // work.n_rows)
            run_length = self.steps_per_call(work.n_rows)
            with self.gate.reading:
                for first in range(0, n_chunks, run_length):
                    n_steps = min(run_length, n_chunks - first)
                    work.run(program, self.parameters, order, out.reshape(-1), first, n_steps)
        finally:
            self._give_back(work)
        return out

    def _skips(self, X: np.ndarray) -> bool:
        """Whether a pass leaves zeros out, which pays from some rows on."""
        return len(X) >= _LEAST_ROWS and self.pays_to_skip(X)

    # --- training ----------------------------------------------------------------------------

    def train(
        self,
        X: np.ndarray,
        order: np.ndarray,
        run: engine.Training,
        *,
        moments: tuple[np.ndarray, np.ndarray],
        seed: int,
        skip_zeros: bool,
    ) -> None:
        """Run steps of training on a pass over order (int64 rows of X), see `engine.Training`.

        The run ends after a step that makes the loss infinite or NaN. A step of many rows is done
        in pieces: an exception between them, as by Ctrl-C, leaves all as it was before the step.
        """
        _check_columns(X, self.n_features)
        # Skipping zeros would hide an infinite weight behind a zero pixel.
        if skip_zeros and not run.weights_finite:
            skip_zeros = bool(np.isfinite(self.parameters).all())
        work = self._training_workspace(run.batch_size, skip_zeros)
        *pieces, last = work.pieces(run, _flop_per_piece())
        if (run.clip_norm > 0.0 or pieces) and self._gradient is None:
            self._gradient = self.new_arena()
        gradient = moments[0] if self._gradient is None else self._gradient
        arenas = self.parameters, *moments, gradient
        work.take(X)
        work.set(draws_noise=True, seed=seed)
        try:
            for step in map(run.step, range(run.n_steps)) if pieces else [run]:
                with self.gate.reading:
                    for piece in pieces:
                        work.train(arenas, order, step, piece)
                with self.gate.writing:
                    work.train(arenas, order, step, last)
                if not np.isfinite(engine.read_totals(run.totals).loss):
                    break
        finally:
            work.release()

    def _training_workspace(self, n_rows: int, skip_zeros: bool) -> engine.Workspace:
        """The workspace of the last training, if it is of this kind, or a new one."""
        if self._training is not None and (
            self._training.n_rows != n_rows or self._training.skip_zeros != skip_zeros
        ):
            self._training = None  # its memory is free before more is taken
        if self._training is None:
            self._training = self._new_workspace(n_rows, training=True, skip_zeros=skip_zeros)
        return self._training

    def release_training(self) -> None:
        """Let go of what training works in, where it is large; for the end of a training."""
        if self._training is not None and self._training.nbytes > _KEPT_BYTES:
            self._training = self._gradient = None

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
        _check_columns(X, self.n_features)
        n = len(X)
        work = self._new_workspace(n, training=True, skip_zeros=False)
        work.take(X)
        work.matrix(engine.NOISE, n, self.n_latent)[:] = noise
        gradient = self.new_arena()
        run = engine.Training(
            batch_size=n,
            totals=engine.new_totals(self.n_latent),
            reconstruction_weight=reconstruction_weight,
            beta=beta,
        )
        with self.gate.reading:
            for piece in work.pieces(run, _flop_per_piece()):
                work.train((self.parameters, *[gradient] * 3), np.arange(n), run, piece)
        totals = engine.read_totals(run.totals)
        return totals.loss / n, totals.reconstruction / n, totals.kl / n, gradient

    def steps_per_call(self, batch_size: int) -> int:
        """Return a number of steps, at least 1, that takes well under a second.

        One step may take longer; it is then done in pieces, see `train`.
        """
        # Products, and the update's memory traffic.
        flop = (6 * batch_size + 50) * self._n_weights
        return max(1, int(_FLOP_PER_CALL // flop))

    def pays_to_skip(self, X: np.ndarray) -> bool:
        """Tell whether X has so many exact zeros that leaving them out is faster.

        A sample of rows is read.
        """
        rows = np.linspace(0, len(X) - 1, min(len(X), _SAMPLE_ROWS)).astype(np.int64)
        return bool(np.count_nonzero(X[rows]) < _PAYS_BELOW * rows.size * X.shape[1])


def _flop_per_piece() -> float:
    """What one call does of a long step; more threads do more in the same time."""
    return _FLOP_PER_CALL * max(1.0, kernels.get_num_threads() / 2)


def _check_columns(data: np.ndarray, n_columns: int) -> None:
    """Refuse rows of another width, e.g. of a model that was replaced after its rows were checked.

    Raises
    ------
    ValueError
    """
    if data.ndim != 2 or data.shape[1] != n_columns:
        raise ValueError(f"rows must have {n_columns} columns; got shape {data.shape}")
