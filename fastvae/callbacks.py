"""Callbacks of `VAE.fit`; they live in `fastvae.training` and `fastvae.plots`."""

from fastvae.plots.sample_grid import SampleGrid
from fastvae.training.callbacks import Callback, EpochFunction, Figures, PrintEpochs, ProgressBar
from fastvae.training.loggers import CSVLogger, JSONLogger
from fastvae.training.model_saving import Checkpoint
from fastvae.training.monitoring import EarlyStopping, ReduceOnPlateau
from fastvae.training.tensorboard import TensorBoard

__all__ = [
    "CSVLogger",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "EpochFunction",
    "Figures",
    "JSONLogger",
    "PrintEpochs",
    "ProgressBar",
    "ReduceOnPlateau",
    "SampleGrid",
    "TensorBoard",
]
