"""The NumPy system that the seed cites: 784-512-32-512-784, squared error, RMSprop, two passes."""

from __future__ import annotations

from dataclasses import dataclass

from bench.published.settings import Deviation

SOURCE = "github.com/pometa0507/Variational-Autoencoder-Numpy, `VAE_Numpy.ipynb`"


@dataclass(frozen=True)
class Settings:
    """The notebook's settings.

    What it minimises, per row: ||x - x_hat||^2 + KL / 32. Its gradient of the squared error is that
    of the sum over the pixels, though the loss that it prints is the mean over them.
    """

    n_features: int = 784
    hidden: tuple[int, ...] = (512,)
    n_latent: int = 32
    activation: str = "relu"
    batch_size: int = 64
    epochs: int = 2
    learning_rate: float = 1e-3
    decay: float = 0.9
    eps: float = 1e-7
    reconstruction_weight: float = 1.0
    beta: float = 1 / 32
    train_share: float = 0.8
    """Of all images, training and test set together."""
    n_watched: int = 1000
    """Held-out images that the curves are of."""
    every: int = 40
    """Updates between two points of the notebook's curves; 875 updates are a pass."""
    seeds: tuple[int, ...] = (0, 1)

    def shortened(self) -> Settings:
        """One pass with one seed."""
        return Settings(epochs=1, n_watched=20, every=2, seeds=(0,))


DEVIATIONS = (
    Deviation(
        "noise in the gradient of log_var",
        "",
        "drawn anew: the encoder runs a second time before its backward pass, so that the gradient "
        "that the decoder sent for one draw meets another, and the mean of the product is 0",
        "that of the draw",
    ),
    Deviation(
        "order of the rows",
        "",
        "shuffled once, before the first pass",
        "shuffled before each pass (our NumPy code: as the notebook)",
    ),
    Deviation("arithmetic", "", "float64", "float32 (our NumPy code: float64)"),
    Deviation(
        "split",
        "",
        "80 % of the 70,000 images at random, another split in each run",
        "the same, by a seed",
    ),
    Deviation(
        "loss",
        "",
        "printed for each batch: the mean squared error of a pixel and the KL of a latent, means "
        "over the batch, while the weights change",
        "the same two means, of 1,000 held-out images, every few dozen updates",
    ),
)
