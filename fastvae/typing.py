"""Types for annotations: names, rows of data, callbacks, schedules; for type checkers only."""

from fastvae.data.rows import Rows
from fastvae.model.names import (
    Activation,
    BlockKind,
    Blocks,
    FileFormat,
    LikelihoodName,
    Missing,
    Prior,
    SampleSource,
    SigmaName,
)
from fastvae.training.evaluation import PerRow
from fastvae.training.history import Figures
from fastvae.training.hooks import CallbackLike, EpochHook
from fastvae.training.names import Binarization, FigureName, ObjectiveName, OptimizerName
from fastvae.training.schedules import Schedule

__all__ = [
    "Activation",
    "Binarization",
    "BlockKind",
    "Blocks",
    "CallbackLike",
    "EpochHook",
    "FigureName",
    "Figures",
    "FileFormat",
    "LikelihoodName",
    "Missing",
    "ObjectiveName",
    "OptimizerName",
    "PerRow",
    "Prior",
    "Rows",
    "SampleSource",
    "Schedule",
    "SigmaName",
]
