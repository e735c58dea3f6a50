"""Dense layers and the multi-layer perceptron; they live in `fastvae.model.layers`."""

from fastvae.model.layers import MLP, Dense

__all__ = ["MLP", "Dense"]
