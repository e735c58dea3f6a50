"""The example `vae` of pytorch/examples: 784-400-20-400-784, grey pixels, ten epochs."""

from __future__ import annotations

from dataclasses import dataclass

from bench.published.settings import Deviation

SOURCE = "github.com/pytorch/examples, `vae/main.py`"
PUBLISHED = 105.6
"""-ELBO of the test set after ten epochs, nats per image; two public logs say 105.56 and 105.59."""
BOUND = 105.7
"""What must be reached."""


@dataclass(frozen=True)
class Settings:
    """The example's settings; `shortened` are those of a trial."""

    n_features: int = 784
    hidden: tuple[int, ...] = (400,)
    n_latent: int = 20
    activation: str = "relu"
    batch_size: int = 128
    epochs: int = 10
    learning_rate: float = 1e-3
    seeds: tuple[int, ...] = (0, 1, 2)

    def shortened(self) -> Settings:
        """One pass with one seed."""
        return Settings(epochs=1, seeds=(0,))


@dataclass(frozen=True)
class Start:
    """What of the start, and of Adam's epsilon, is as in the example and not as in fastvae."""

    weights: bool = False
    hidden_biases: bool = False
    output_bias: bool = False
    epsilon: bool = False


ABLATION = {
    "as fastvae starts": Start(),
    "weights as in the example": Start(weights=True),
    "biases of hidden layers and heads as in the example": Start(hidden_biases=True),
    "output bias as in the example": Start(output_bias=True),
    "Adam's epsilon as in the example": Start(epsilon=True),
    "all but the weights as in the example": Start(False, True, True, True),
    "all but the output bias as in the example": Start(True, True, False, True),
    "all as in the example": Start(True, True, True, True),
}
"""What is taken over from the example, by what the table calls it."""

DEVIATIONS = (
    Deviation(
        "weights at the start",
        "",
        "U(-b, b), b = 1 / sqrt(fan_in), for all layers: variance 1 / (3 fan_in)",
        "N(0, v), v = 2 / (fan_in + fan_out) (Glorot), or 1 / fan_in for the heads",
    ),
    Deviation("hidden biases and those of the heads", "", "U(-b, b)", "0"),
    Deviation("output bias", "", "U(-b, b)", "logit of the training mean, in [0.001, 0.999]"),
    Deviation(
        "Adam's epsilon (1e-8 in both)",
        "",
        "beside gradients of the batch's sum: 1e-8 / 128 beside those of its mean",
        "beside gradients of the batch's mean",
    ),
    Deviation(
        "last batch of an epoch, 96 rows",
        "",
        "its sum: three quarters of the others' weight in Adam's moments",
        "its mean: the same weight",
    ),
    Deviation(
        "seeds",
        "",
        "one: 1; test rows are drawn once each",
        "three; test rows are drawn once each",
    ),
)
