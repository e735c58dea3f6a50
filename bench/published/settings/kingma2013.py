"""Kingma & Welling 2013, figures 4b and 5: the manifold and samples of MNIST."""

from __future__ import annotations

from dataclasses import dataclass

from bench.published.settings import Deviation

SOURCE = 'Kingma & Welling 2013, "Auto-Encoding Variational Bayes", arXiv:1312.6114, appendix A'


@dataclass(frozen=True)
class Settings:
    """The paper's settings where it says them (section 5), and what stands for the others."""

    n_features: int = 784
    hidden: tuple[int, ...] = (500,)
    n_latents: tuple[int, ...] = (2, 5, 10, 20)
    activation: str = "tanh"
    batch_size: int = 100
    epochs: int = 25
    learning_rate: float = 1e-3
    start_deviation: float = 0.1
    """Standard deviation of all weights and biases at the start."""
    seed: int = 0
    manifold_side: int = 20
    n_samples: int = 100

    def shortened(self) -> Settings:
        """One pass, few hidden units and images."""
        return Settings(hidden=(16,), epochs=1, manifold_side=4, n_samples=9)


DEVIATIONS = (
    Deviation(
        "optimiser",
        "Adagrad, step size 0.01, 0.02 or 0.1 by the first iterations",
        "",
        "Adam, 1e-3: fastvae has no Adagrad",
    ),
    Deviation(
        "weight decay",
        "small, from the prior N(0, I) of the parameters (MAP)",
        "",
        "none",
    ),
    Deviation(
        "start of all weights and biases",
        "N(0, 0.01)",
        "",
        "the same, 0.01 read as the variance",
    ),
    Deviation(
        "pixels",
        "not said",
        "",
        "grey pixels, as they are; pictures show the means of the pixels",
    ),
    Deviation(
        "length of the training",
        "not said for these figures; 1e5 to 1e8 images in figure 2",
        "",
        "25 passes, 1.5e6 images",
    ),
    Deviation("figure 4a, Frey faces", "560 pixels, Gaussian decoder", "", "left out"),
)
