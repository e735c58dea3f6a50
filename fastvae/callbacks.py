"""Callbacks of `VAE.fit`; they live in `fastvae.training.callbacks`."""

from fastvae.training.callbacks import Callback, EpochFunction, Figures, PrintEpochs, ProgressBar

__all__ = ["Callback", "EpochFunction", "Figures", "PrintEpochs", "ProgressBar"]
