"""What training and evaluation ask of a model and of its network; a `VAE` has it all."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastvae.data.labelled import Checked
from fastvae.data.rows import Rows, Use
from fastvae.distributed.parts import WHOLE, Parts
from fastvae.distributed.ranks import ALONE, Ranks
from fastvae.training.history import History
from fastvae.training.nats import Nats
from fastvae.training.progress import Progress


class Likelihood(Protocol):
    """The likelihood; as text it names all its settings."""

    def kinds(self, n_features: int) -> list[tuple[str, int]]:
        """The kind and the columns of each block of rows."""


class Network(Protocol):
    """Parameters in one array, and the passes over rows that were checked."""

    layers: tuple[tuple[int, int, str], ...]
    n_encoder: int
    n_classes: int
    n_latent: int

    @property
    def likelihood(self) -> Likelihood:
        """The likelihood."""

    @property
    def parameters(self) -> NDArray[Any]:
        """All weights and biases, one-dimensional."""

    @property
    def train(self) -> Callable[..., None]:
        """Run steps of training: see `model.network.Network.train`."""

    @property
    def table(self) -> NDArray[Any]:
        """The layer table, see `kernels.engine.layout`."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the parameters."""

    @property
    def gate(self) -> Any:
        """Who reads the parameters, and who changes them, takes turns; counts changes."""

    @property
    def flop_per_piece(self) -> float:
        """Operations of one call at most."""

    @property
    def new_workspace(self) -> Callable[..., Any]:
        """A workspace of one caller's own: see `model.network.Network.new_workspace`."""

    @property
    def hand_over(self) -> Callable[..., None]:
        """Set a workspace to work on rows."""

    def release_training(self) -> None:
        """Let go of what training works in, where it is large."""

    def overwrite(self, values: NDArray[Any]) -> None:
        """Replace all parameters, between two passes."""

    def new_arena(self) -> NDArray[Any]:
        """Zeros laid out like the parameters."""

    def to_arrays(self, values: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """What an array laid out like the parameters holds, as all instruction sets read it."""

    def from_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """The opposite of `to_arrays`."""

    def fingerprint(self, X: Checked, n_sampled: int | None = None, parts: Parts = WHOLE) -> str:
        """A digest of rows, or of some of them."""

    def steps_per_call(self, batch_size: int) -> int:
        """A number of steps that keeps one call well under a second."""

    def pays_to_skip(self, X: Checked, binarize: str | None = None) -> bool:
        """Whether leaving zeros out is faster."""

    def encode(self, X: Checked, *, standard: bool = False) -> tuple[NDArray[Any], NDArray[Any]]:
        """Mean and log_var of the posterior, each of shape (n, Z); with `standard` on the scale of
        the prior, which is N(0, I) there."""

    def decode(self, Z: Checked, *, standard: bool = False) -> NDArray[Any]:
        """Means of the likelihood, shape (n, n_features)."""

    def evaluate(
        self,
        X: Checked,
        n_samples: int,
        seed: int,
        binarize: str | None = None,
        *,
        first_row: int = 0,
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """What the reconstruction is made of (see `Nats`), and KL in nats, of each row."""


class Evaluable(Protocol):
    """What evaluation reads of a model; what its attributes mean stands in `VAE`.

    Nothing of it is to be set: to some type checkers a property is no attribute that can be set.
    """

    @property
    def beta(self) -> float:
        """Weight of the KL divergence in the loss."""

    @property
    def network(self) -> Network:
        """The parameters and the passes over rows."""

    @property
    def likelihood(self) -> str:
        """Name of the likelihood."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the parameters."""

    @property
    def n_latent(self) -> int:
        """Number of latents Z."""

    @property
    def nats(self) -> Nats:
        """How the engine's sums become nats, by the present reconstruction weight."""

    def check_rows(
        self, X: Rows, name: str = "X", use: Use = "pass", labels: ArrayLike | None = None
    ) -> Checked:
        """Rows as the network takes them, or an error that says what is wrong with them."""


class Trainable(Evaluable, Protocol):
    """A model that can be trained; what its attributes mean stands in `VAE`."""

    seed: int
    epochs: int
    updates: int
    beta: float
    reconstruction_weight: float
    history: History | None
    stop_training: bool
    learning_rate_factor: float
    draw_counts: tuple[int, int]
    last_run: Progress | None

    @property
    def update_count(self) -> NDArray[np.int64]:
        """The number of updates where the kernels count it, shape (1,)."""

    @property
    def in_fit(self) -> AbstractContextManager[None]:
        """What one `fit` at a time is in."""

    def take_names(self, X: Rows) -> None:
        """Keep what a data set calls its labels, where the model is conditional."""

    def mean_bound(
        self,
        rows: Checked,
        n_samples: int,
        seed: int,
        binarize: str | None = None,
        ranks: Ranks = ALONE,
    ) -> float:
        """The importance-weighted bound of checked rows, their mean in nats."""

    def start_output_bias(
        self, rows: Checked, binarize: str | None = None, parts: Parts = WHOLE
    ) -> None:
        """Set the output bias by the rows, before the first update."""
