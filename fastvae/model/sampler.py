"""The sampler: the reparameterised latent between encoder and decoder.

Letters: B batch rows, H inputs, Z latents. Rows are samples.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastvae import checks, kernels
from fastvae.model.guards import DrawCounter
from fastvae.model.layers import Dense
from fastvae.model.value import Seeded, Value


@checks.public
class Sampler(Seeded, Value):
    """The reparameterised latent: z = mean + exp(log_var / 2) * noise, log_var within [-30, 20].

    Parameters
    ----------
    n_in, n_latent : int
        Number of inputs H and of latents Z.
    dtype : dtype
        float32 or float64.
    seed : int
        Seed of the initial weights and of the noise.

    Attributes
    ----------
    mean, log_var : Dense
        Identity layers that give the posterior's mean and log-variance; they cannot be replaced.
    sample : ndarray or None
        The latent drawn by the last pass, shape (B, Z) or (Z,).

    References
    ----------
    Kingma & Welling (2014), section 2.4 and appendix B; docs/theory.md, (5), (7) and (8).
    """

    _OWN = frozenset({"_mean", "_log_var", "_draws", "_pass", "_seed"})

    def __init__(
        self, n_in: int, n_latent: int, *, dtype: DTypeLike = np.float32, seed: int = 0
    ) -> None:
        n_latent = checks.size(n_latent, "n_latent")
        self._mean = Dense(n_in, n_latent, "identity", dtype=dtype, seed=seed)
        self._log_var = Dense(n_in, n_latent, "identity", dtype=dtype, seed=seed)
        self._log_var.initialise(self.log_var.seed, 1)
        self.seed = self.mean.seed
        self.sample: NDArray[Any] | None = None
        self._draws = DrawCounter()
        self._pass: tuple[NDArray[Any], NDArray[Any], NDArray[Any]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        kept = self._state_with("_mean", "_log_var", "_pass", "_seed")
        return kept | {"_draws": self._draws.taken}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state | {"_draws": DrawCounter(state["_draws"])})

    @property
    def mean(self) -> Dense:
        """The layer of the posterior's mean."""
        return self._mean

    @property
    def log_var(self) -> Dense:
        """The layer of the posterior's log-variance."""
        return self._log_var

    @property
    def n_in(self) -> int:
        """Number of inputs H."""
        return self.mean.n_in

    @property
    def n_latent(self) -> int:
        """Number of latents Z."""
        return self.mean.n_out

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the parameters: float32 or float64."""
        return self.mean.dtype

    @property
    def n_draws(self) -> int:
        """How many draws of noise were made."""
        return self._draws.taken

    @n_draws.setter
    def n_draws(self, value: int) -> None:
        self._draws.taken = value

    def feedforward(self, x: ArrayLike) -> NDArray[Any]:
        """Draw a latent for each row; it is kept as `sample` too.

        Parameters
        ----------
        x : array_like, shape (B, H) or (H,)

        Returns
        -------
        ndarray, shape (B, Z) or (Z,)

        Raises
        ------
        TypeError, ValueError
            If x is not a real array of that shape.
        """
        mean, log_var = self.mean.feedforward(x), self.log_var.feedforward(x)
        z, noise = self._draw(mean, log_var)
        self._pass = np.atleast_2d(mean), np.atleast_2d(log_var), noise
        return z

    def draw(self, mean: ArrayLike, log_var: ArrayLike) -> NDArray[Any]:
        """Draw a latent from N(mean, exp(log_var)); keep it as `sample`.

        The noise is a function of the seed and the number of draws so far. There is no
        `backward` through a latent drawn like this.

        Parameters
        ----------
        mean, log_var : array_like, equal shapes, (B, Z) or (Z,)

        Returns
        -------
        ndarray, shape (B, Z) or (Z,)

        Raises
        ------
        TypeError, ValueError
            If one of them is not a real array of that shape.
        """
        means = checks.layer_input(mean, "mean", self.n_latent, self.dtype, pixels=False)
        log_vars = checks.layer_input(log_var, "log_var", self.n_latent, self.dtype, pixels=False)
        if means.shape != log_vars.shape or checks.is_one_row(mean) != checks.is_one_row(log_var):
            raise ValueError(
                f"mean and log_var must have one shape; got {np.shape(mean)} and "
                f"{np.shape(log_var)}"
            )
        self._pass = None
        return self._draw(means[0] if checks.is_one_row(mean) else means, log_vars)[0]

    def noise(self, n_rows: int) -> NDArray[Any]:
        """The next draw of standard normal noise, shape (n_rows, Z)."""
        noise = np.empty((n_rows, self.n_latent), self.dtype)
        kernels.normal(noise, self.seed, kernels.STREAM_FORWARD, self._draws.take())
        return noise

    def backward(self, dz: ArrayLike, kl_weight: float = 0.0) -> NDArray[Any]:
        """Return dL/dx and set the gradients of `mean` and `log_var`, summed over the rows.

        Parameters
        ----------
        dz : array_like, shape (B, Z) or (Z,)
            dL/dz for the latents of the last `feedforward`.
        kl_weight : float
            Factor of the KL divergence to N(0, I) in L, summed over the rows.

        Returns
        -------
        ndarray, shape (B, H) or (H,)

        Raises
        ------
        RuntimeError
            If there was no `feedforward`.
        TypeError, ValueError
            If dz is not a real array of the last latents' shape, or kl_weight not a finite number
            of at least 0.
        """
        if self._pass is None:
            raise RuntimeError("backward needs the latents of a feedforward; call that first")
        mean, log_var, noise = self._pass
        kl_weight = checks.number(kl_weight, "kl_weight")
        given = checks.layer_input(dz, "dz", self.n_latent, self.dtype, pixels=False)
        if given.shape != noise.shape:
            raise ValueError(f"dz must have {len(noise)} rows; got {len(given)}")
        dmean, dlog_var = np.empty_like(given), np.empty_like(given)
        kernels.reparameterise_backward(dmean, dlog_var, given, log_var, noise)
        kernels.kl_divergence_backward(dmean, dlog_var, mean, log_var, kl_weight)
        dx = self.mean.backward(dmean) + self.log_var.backward(dlog_var)
        return dx[0] if checks.is_one_row(dz) else dx

    def __repr__(self) -> str:
        return f"Sampler({self.n_in}, {self.n_latent})"

    def _draw(self, mean: NDArray[Any], log_var: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """The latent, shaped like the mean, and the noise it was drawn with, shape (B, Z)."""
        rows = np.atleast_2d(mean)
        noise = self.noise(len(rows))
        z = np.empty_like(rows)
        kernels.reparameterise(z, rows, np.atleast_2d(log_var), noise)
        z = z.reshape(mean.shape)
        self.sample = z
        return z.copy(), noise
