"""A network: its parameters in one array, its layer table, and the passes over rows.

What a VAE is made of, without names, files or checks (callers validate). Rows are samples; all
passes work in chunks of rows, so that a million rows need no million rows of workspace. Rows are
read, and results written, in blocks of several chunks: no pass needs memory for all of them.

Any number of threads may call the passes. Each call in progress has a workspace of its own, taken
from those that earlier calls left, and sees the parameters of one moment: passes and training take
turns, a whole pass against one run of training steps.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from fastvae import kernels
from fastvae.data import labelled
from fastvae.data.labelled import RowSource
from fastvae.data.variants import binarized
from fastvae.kernels import engine
from fastvae.kernels.machine.threads import team_size
from fastvae.model.guards import Gate
from fastvae.model.likelihood import Likelihood
from fastvae.model.row_statistics import CHUNK_ROWS, RowStatistics
from fastvae.model.value import Value

_BLOCK_ELEMENTS = 1 << 22  # read or written at a time: 16 MB of float32
_FLOP_PER_CALL = 1.5e10  # 75 to 150 ms on two cores at 100 to 200 GFLOP/s, 0.75 s at 20
_SAMPLE_ROWS = 128
_LEAST_ROWS = 64  # fewer are not worth a look at their zeros
_MAX_WEIGHTS = 2**50
_KEPT_WORKSPACES = 4
_KEPT_BYTES = 2**26  # of a workspace between two trainings
_PAYS_BELOW = 0.4  # share of non-zero inputs: at 0.5, batch 128 is no faster, batch 20 is slower


Advance = Callable[[int], object]
"""What a pass calls with the number of rows that it has just done."""


def ignore(n_rows: int) -> None:
    """Advance without a word."""


class Network(RowStatistics, Value):
    """Parameters, layer table and passes of one VAE.

    Parameters
    ----------
    layers : sequence of (n_in, n_out, activation name)
        The encoder's layers, one head of 2 Z outputs (mean, then log_var), the decoder's.
    n_encoder : int
        Number of layers before the head.
    likelihood : Likelihood
    dtype : float32 or float64
    n_classes : int
        Of a conditional network K, else 0. Then the last K inputs of the encoder and of the decoder
        are the one-hot label, and all rows and latents are `Labelled`.
    has_prior : bool
        Whether the latents' prior goes by the class: its mean and log_var are a layer of K inputs.

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
        likelihood: Likelihood,
        dtype: np.dtype | type,
        n_classes: int = 0,
        has_prior: bool = False,
    ) -> None:
        self.dtype = np.dtype(dtype)
        self.n_encoder = n_encoder
        self.likelihood = likelihood
        self.n_classes, self.has_prior = n_classes, has_prior
        self.n_features = layers[0][0] - n_classes
        self.n_raws = likelihood.n_raws(self.n_features)
        raws = [(0, self.n_raws, "identity")] if self.n_raws else []
        prior = [(n_classes, layers[n_encoder][1], "identity")] if has_prior else []
        self.n_dense = len(layers)
        self.layers = (*layers, *raws, *prior)
        self._n_weights = sum(n_in * n_out for n_in, n_out, _ in self.layers)
        if self._n_weights > _MAX_WEIGHTS:  # places in the table, and bytes, are of 64 bits
            raise MemoryError(f"{self._n_weights:,} weights are more than any memory holds")
        self.table = engine.layer_table(self.layers, dtype)
        self._architecture = engine.Architecture(self.table, n_encoder, n_classes, has_prior)
        self.parameters = engine.new_arena(self.table, dtype)
        self.gate = Gate()
        self._finite = -1, False  # after how many writes they were looked at, and what was seen
        self._sigma = np.ones(1)
        self._for_engine = likelihood.for_engine(self.n_features, layers[-1][2], self._sigma)
        self.n_latent = int(self.table["n_out"][n_encoder]) // 2
        self._training: engine.Workspace | None = None
        # For passes over rows: the first without room for lists, the second with it.
        self._spare = [deque[engine.Workspace](maxlen=_KEPT_WORKSPACES) for _ in range(2)]
        self._gradient: np.ndarray | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {
            "layers": self.layers[: self.n_dense],
            "n_encoder": self.n_encoder,
            "likelihood": asdict(self.likelihood),
            "dtype": self.dtype.name,
            "n_classes": self.n_classes,
            "has_prior": self.has_prior,
            "parameters": [self.read_dense(layer) for layer in range(len(self.layers))],
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        parameters = state["parameters"]
        arguments = {name: value for name, value in state.items() if name != "parameters"}
        arguments["likelihood"] = Likelihood(**state["likelihood"])
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

    @property
    def raws(self) -> np.ndarray | None:
        """What sigma is trained as, where it has parameters of its own: a copy, shape (n_raws,)."""
        return self.read_raws()

    @raws.setter
    def raws(self, values: np.ndarray) -> None:
        self.write_dense(self.n_dense, None, values)

    def read_raws(self, values: np.ndarray | None = None) -> np.ndarray | None:
        """The raws of sigma in an array laid out like the parameters, in these if it is missing."""
        if self.n_raws == 0:
            return None
        return self.read_dense(self.n_dense, values=values)[1]

    def take_raws(self, values: np.ndarray | None) -> None:
        """Set the raws of sigma to those of a file, None where it has none.

        Raises
        ------
        ValueError
            If they are not as many as the network has.
        """
        n_given = 0 if values is None else len(values)
        if n_given != self.n_raws:
            raise ValueError(f"likelihood.raw_sigma must have {self.n_raws} values; got {n_given}")
        if values is not None:
            self.raws = values

    def set_weight(self, reconstruction_weight: float) -> None:
        """Tell the engine what sigma is, where the reconstruction weight says it."""
        self._sigma[0] = self.likelihood.given_sigma(reconstruction_weight)

    # --- passes over rows, in chunks --------------------------------------------------------

    def encode(
        self,
        X: RowSource,
        out: tuple[np.ndarray, np.ndarray] | None = None,
        advance: Advance = ignore,
        *,
        standard: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the posterior's mean and log_var, each of shape (n, Z), in `out` if it is given.

        log_var is what is used of it: within its bounds (`kernels.LOG_VAR_MIN`, `LOG_VAR_MAX`).
        With `standard` they are those on the scale of the prior, which is N(0, I) there.
        """
        is_scaled = self.has_prior and not standard
        shape = len(X), self.n_latent
        mean, log_var = out or (np.empty(shape, self.dtype), np.empty(shape, self.dtype))
        name = "posterior_to_out" if is_scaled else "encoding_to_out"
        self._pass(name, X, self.n_features, self._skips(X), (mean, log_var), advance)
        return mean, log_var

    def decode(
        self,
        Z: RowSource,
        out: np.ndarray | None = None,
        advance: Advance = ignore,
        *,
        standard: bool = False,
    ) -> np.ndarray:
        """Return the means of the likelihood, shape (n, n_features), of latents (n, Z).

        With `standard` these are on the scale of the prior, which is N(0, I) there.
        """
        name = "sampling" if standard else "decoding"
        return self._means(name, Z, self.n_latent, False, out, advance)

    def reconstruct(
        self, X: RowSource, out: np.ndarray | None = None, advance: Advance = ignore
    ) -> np.ndarray:
        """Return the decoded posterior means, shape (n, n_features)."""
        return self._means("reconstruction", X, self.n_features, self._skips(X), out, advance)

    def evaluate(
        self,
        X: RowSource,
        n_samples: int,
        seed: int,
        binarize: str | None = None,
        advance: Advance = ignore,
        *,
        first_row: int = 0,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what the reconstruction is made of (see `Nats`), and the KL in nats, of each row.

        Both are float64 of shape (n,). The former is averaged over `n_samples` draws of the
        latent; the noise of a row depends on its number, the first one's being `first_row`, and
        the seed only, as do the draws that make it binary.
        """
        reconstruction = np.zeros(len(X))
        kl = np.zeros(len(X))
        skip_zeros = self._skips(X, binarize)
        work = self.borrow(X[:CHUNK_ROWS], self.n_features, skip_zeros)
        try:
            encoding, losses = work.passes.encoding, work.passes.losses
            work.set(draws_noise=True, seed=seed, stream=kernels.STREAM_EVALUATION)
            order = np.arange(min(len(X), CHUNK_ROWS))
            values = self.parameters
            with self.gate.reading:
                for first in range(0, len(X), CHUNK_ROWS):
                    chunk = X[first : first + CHUNK_ROWS]
                    rows = order[: len(chunk)]
                    numbers = first_row + first + rows
                    chunk = binarized(chunk, self.dtype, binarize, seed, numbers)
                    self.hand_over(chunk, work)
                    work.set(
                        element=(first_row + first) * self.n_latent,
                        weights_finite=skip_zeros and self.weights_are_finite(),
                    )
                    work.run(encoding, values, rows, work.matrices)
                    done = reconstruction[first : first + len(chunk)]
                    for sample in range(n_samples):
                        work.run(losses, values, rows, work.matrices, first_draw=sample)
                        done += work.reconstruction[: len(chunk)]
                    kl[first : first + len(chunk)] = work.kl[: len(chunk)]
                    advance(len(chunk))
        finally:
            self.give_back(work)
        return reconstruction / n_samples, kl

    def borrow(self, data: RowSource, n_columns: int, skip_zeros: bool) -> engine.Workspace:
        """A workspace that no other call uses, set to work on `data`, rows of `n_columns`."""
        _check_columns(data, n_columns)
        try:
            work = self._spare[skip_zeros].pop()
        except IndexError:
            work = self.new_workspace(CHUNK_ROWS, training=False, skip_zeros=skip_zeros)
        self.hand_over(data, work)
        return work

    def hand_over(self, data: RowSource, work: engine.Workspace, first_row: int = 0) -> None:
        """Set a workspace of this network to work on rows, or latents, with their labels.

        Passes call the first of them `first_row`.

        Raises
        ------
        ValueError
            If there are labels and no classes, or the other way round, or a label is of no class:
            as where a model was replaced after its rows were checked.
        """
        labels = labelled.labels(data)
        if (labels is not None) != (self.n_classes > 0) or (
            labels is not None and not 0 <= labels.min() <= labels.max() < self.n_classes
        ):
            raise ValueError(f"rows must have labels of {self.n_classes} classes, or none of 0")
        work.take(labelled.values(data), labels, first_row)

    def give_back(self, work: engine.Workspace) -> None:
        work.release()
        self._spare[work.skip_zeros].append(work)

    def new_workspace(
        self,
        n_rows: int,
        *,
        training: bool,
        skip_zeros: bool,
        objective: engine.Objective = engine.PLAIN,
    ) -> engine.Workspace:
        """Return a workspace of one caller's own, for up to `n_rows` rows at a time."""
        return engine.Workspace(
            self._architecture, self._for_engine, n_rows, self.dtype,
            training=training, skip_zeros=skip_zeros, objective=objective,
        )  # fmt: skip

    def _means(
        self,
        name: str,
        data: RowSource,
        n_inputs: int,
        skip_zeros: bool,
        out: np.ndarray | None,
        advance: Advance,
    ) -> np.ndarray:
        """Return what a program that ends with the last layer writes, shape (n, n_features)."""
        if out is None:
            out = engine.new_results((len(data), self.n_features), self.dtype)
        self._pass(name, data, n_inputs, skip_zeros, (out,), advance)
        return out

    def _pass(
        self,
        name: str,
        data: RowSource,
        n_inputs: int,
        skip_zeros: bool,
        outs: tuple[np.ndarray, ...],
        advance: Advance,
    ) -> None:
        """Run a program over all rows of `data`, block by block, and write what it finds to `outs`.

        `data` has rows of `n_inputs`.
        """
        n_rows = len(data)
        # What is done before and after a block shows where a pass takes microseconds.
        step = n_rows if n_rows <= CHUNK_ROWS else self._block_rows(max(n_inputs, outs[0].shape[1]))
        block = data[:step]
        order = np.arange(len(block))
        buffers = [_buffer(out, len(block)) for out in outs]
        streams = buffers[0] is None and engine.go_past_caches(outs[0])
        work = self.borrow(block, n_inputs, skip_zeros)
        try:
            program = getattr(work.passes, name)
            with self.gate.reading:
                for first in range(0, n_rows, step):
                    last = min(first + step, n_rows)
                    if first > 0:
                        block = data[first:last]
                        order = order[: last - first]
                        self.hand_over(block, work)
                    found = [
                        out[first:last] if buffer is None else buffer[: last - first]
                        for out, buffer in zip(outs, buffers, strict=True)
                    ]
                    work.set(weights_finite=skip_zeros and self.weights_are_finite())
                    work.run_to(program, self.parameters, order, found, streams=streams)
                    for out, buffer, rows in zip(outs, buffers, found, strict=True):
                        if buffer is not None:
                            out[first:last] = rows
                    advance(last - first)
        finally:
            self.give_back(work)

    def weights_are_finite(self) -> bool:
        """Whether no weight is infinite, for who reads them: they are looked at once after a write.

        Kernels would look at all of them in every run that leaves out zeros, on one thread.
        """
        n_written = self.gate.n_written
        if self._finite[0] != n_written or self.gate.writer:
            self._finite = n_written, bool(np.isfinite(self.parameters).all())
        return self._finite[1]

    def _block_rows(self, n_columns: int) -> int:
        """How many rows a pass reads or writes at a time: whole chunks, of well under a second."""
        n_chunks = min(self.steps_per_call(CHUNK_ROWS), _BLOCK_ELEMENTS // (n_columns * CHUNK_ROWS))
        return max(1, n_chunks) * CHUNK_ROWS

    def _skips(self, X: RowSource, binarize: str | None = None) -> bool:
        """Whether a pass leaves zeros out, which pays from some rows on."""
        return len(X) >= _LEAST_ROWS and self.pays_to_skip(X, binarize)

    # --- training ----------------------------------------------------------------------------

    def train(
        self,
        X: RowSource,
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
        work = self._training_workspace(run.batch_size, skip_zeros, run.objective)
        *pieces, last = work.pieces(run, flop_per_piece())
        if (run.clip_norm > 0.0 or pieces) and self._gradient is None:
            self._gradient = self.new_arena()
        gradient = moments[0] if self._gradient is None else self._gradient
        arenas = self.parameters, *moments, gradient
        self.hand_over(X, work)
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

    def _training_workspace(
        self, n_rows: int, skip_zeros: bool, objective: engine.Objective
    ) -> engine.Workspace:
        """The workspace of the last training, if it is of this kind, or a new one."""
        if self._training is not None:
            kind = self._training.n_rows, self._training.skip_zeros, self._training.objective
            if kind != (n_rows, skip_zeros, objective):
                self._training = None  # its memory is free before more is taken
        if self._training is None:
            self._training = self.new_workspace(
                n_rows, training=True, skip_zeros=skip_zeros, objective=objective
            )
        return self._training

    def release_training(self) -> None:
        """Let go of what training works in, where it is large; for the end of a training."""
        if self._training is not None and self._training.nbytes > _KEPT_BYTES:
            self._training = self._gradient = None

    def gradients(
        self,
        X: RowSource,
        noise: np.ndarray,
        weight: float,
        beta: float,
        objective: engine.Objective = engine.PLAIN,
    ) -> tuple[float, float, float, np.ndarray]:
        """Return the loss, what the reconstruction is made of (see `Nats`) and the KL (batch
        means), and the gradient's arena.

        The loss of the plain objective is weight * the second + beta * KL.

        Parameters
        ----------
        X : ndarray, shape (B, n_features)
        noise : ndarray, shape (B, k, Z)
            What the latents' deviation is multiplied by.
        """
        _check_columns(X, self.n_features)
        n = len(X)
        work = self.new_workspace(n, training=True, skip_zeros=False, objective=objective)
        self.hand_over(X, work)
        n_latents = n * objective.n_samples
        work.matrix(engine.NOISE, n_latents, self.n_latent)[:] = noise.reshape(n_latents, -1)
        gradient = self.new_arena()
        run = engine.Training(
            batch_size=n,
            totals=engine.new_totals(self.n_latent),
            reconstruction_weight=weight,
            beta=beta,
            objective=objective,
        )
        with self.gate.reading:
            for piece in work.pieces(run, flop_per_piece()):
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

    @property
    def flop_per_piece(self) -> float:
        """Operations of one call at most, where a long step is done in pieces."""
        return flop_per_piece()

    def pays_to_skip(self, X: RowSource, binarize: str | None = None) -> bool:
        """Tell whether X, made binary, has so many exact zeros that leaving them out is faster.

        A sample of rows is read.
        """
        rows = np.linspace(0, len(X) - 1, min(len(X), _SAMPLE_ROWS)).astype(np.int64)
        sample = labelled.values(binarized(X[rows], self.dtype, binarize, 0, rows))
        return bool(np.count_nonzero(sample) < _PAYS_BELOW * rows.size * X.shape[1])


def flop_per_piece() -> float:
    """What one call does of a long step; more threads do more in the same time."""
    return _FLOP_PER_CALL * max(1.0, team_size() / 2)


def _buffer(out: np.ndarray, n_rows: int) -> np.ndarray | None:
    """Where rows of results are to be written; None where that is the array itself."""
    if out.flags.c_contiguous and out.flags.aligned:
        return None
    return np.empty((n_rows, out.shape[1]), out.dtype)


def _check_columns(data: RowSource, n_columns: int) -> None:
    """Refuse rows of another width, e.g. of a model that was replaced after its rows were checked.

    Raises
    ------
    ValueError
    """
    if len(data.shape) != 2 or data.shape[1] != n_columns:
        raise ValueError(f"rows must have {n_columns} columns; got shape {data.shape}")
