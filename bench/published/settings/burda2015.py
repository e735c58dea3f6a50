"""Burda, Grosse & Salakhutdinov 2015, table 1, one stochastic layer, MNIST binarised anew."""

from __future__ import annotations

from dataclasses import dataclass

from bench.published.settings import Deviation

SOURCE = (
    'Burda, Grosse & Salakhutdinov 2015, "Importance Weighted Autoencoders", arXiv:1509.00519, '
    "table 1; code: github.com/yburda/iwae"
)
PUBLISHED = {1: (86.76, 19), 5: (85.54, 22), 50: (84.78, 25)}
"""By k: test NLL in nats, and active units; of the VAE for k = 1, of the IWAE for more."""
BOUNDS = {1: 87.0, 5: 85.8}
"""What must be reached with the full schedule."""
FULL, SHORT = 3280, 364
"""Passes of stages 0 to 7, and of stages 0 to 5."""


@dataclass(frozen=True)
class Settings:
    """The paper's settings; what differs from them stands in `DEVIATIONS`."""

    k: int = 1
    """Latents drawn for each row in training."""
    passes: int = FULL
    n_features: int = 784
    hidden: tuple[int, ...] = (200, 200)
    n_latent: int = 50
    activation: str = "tanh"
    batch_size: int = 20
    learning_rate: float = 1e-3
    """Of the first stage; the others follow `Stages`."""
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-4 / 20
    binarize: str = "dynamic"
    seed: int = 0
    n_samples: int = 5000
    """Latents for each estimate of log p(x)."""
    nll_seeds: tuple[int, ...] = (0, 1, 2)
    """A binarisation of the test rows, and noise, for each."""

    def shortened(self) -> Settings:
        """Two passes at most, with little to evaluate."""
        return Settings(self.k, min(self.passes, 2), n_samples=50, nll_seeds=(0, 1))


@dataclass(frozen=True)
class Stages:
    """Stage i has 3^i passes at `rate` * 10^(-i / 7): a function of the number of the update.

    It depends on no total, so that a short run is the beginning of a long one.

    Parameters
    ----------
    rate : of stage 0
    steps_per_pass : updates of a pass over the rows
    """

    rate: float
    steps_per_pass: int

    def __call__(self, step: int, total: int) -> float:
        """The learning rate at update `step`."""
        passes, stage = step // self.steps_per_pass, 0
        while passes >= (3 ** (stage + 1) - 1) // 2:  # all passes of stages 0 to `stage`
            stage += 1
        return float(self.rate * 10.0 ** (-stage / 7))


DEVIATIONS = (
    Deviation(
        "epsilon of Adam",
        "1e-4",
        "1e-4, beside gradients summed over the 20 rows of a batch",
        "5e-6 = 1e-4 / 20, beside means: the same quotient",
    ),
    Deviation("beta1 of Adam", "0.9", "0.99", "0.9"),
    Deviation(
        "second moments of Adam",
        "from 0",
        "from 1, so that the first thousands of updates are small; corrected as if from 0",
        "from 0, corrected before epsilon is added",
    ),
    Deviation(
        "rates",
        "0.001 * 10^(-i / 7)",
        "rounded: 10, 7.2, 5.2, 3.7, 2.7, 1.9, 1.4, 1 times 1e-4",
        "as the paper",
    ),
    Deviation(
        "training rows",
        "60,000",
        "the first 59,600, in their order in each pass",
        "60,000 in a new order in each pass",
    ),
    Deviation(
        "KL term where k = 1",
        "not said",
        "of the drawn latent: log q(z | x) - log p(z)",
        "integrated",
    ),
    Deviation(
        "spread of q(z | x)",
        "",
        "sigma = exp(linear)",
        "sigma = exp(linear / 2), with bounds of log_var that are not met",
    ),
    Deviation(
        "start of the weights",
        "Glorot & Bengio",
        "Glorot & Bengio, uniform; layers of equal shape start with equal weights, the heads too",
        "Glorot, normal; heads and output 1 / fan_in; no two layers alike",
    ),
    Deviation(
        "output bias",
        "not said",
        "",
        "logit of the training mean, in [0.001, 0.999]",
    ),
    Deviation(
        "test rows",
        "binarised",
        "binarised once (seed 123)",
        "three binarisations; the mean of the three estimates",
    ),
    Deviation(
        "active units: variance of E[z] above 0.01",
        "not said of which rows",
        "over the first 500 training rows",
        "over the 10,000 test rows",
    ),
)
