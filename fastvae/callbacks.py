"""Callbacks of `VAE.fit`; they live in `fastvae.training.callbacks`."""

from fastvae.training.callbacks import Callback, EpochFunction, PrintEpochs, ProgressBar
from fastvae.training.history import Figures

__all__ = ["Callback", "EpochFunction", "Figures", "PrintEpochs", "ProgressBar"]
