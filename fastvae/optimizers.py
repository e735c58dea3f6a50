"""Optimisers that `VAE.fit` takes; they live in `fastvae.training.optimizers`."""

from fastvae.training.optimizers import SGD, Adam, Optimizer, RMSprop

__all__ = ["SGD", "Adam", "Optimizer", "RMSprop"]
