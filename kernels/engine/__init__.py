"""The engine: networks in memory, their passes as programs of regions, and who runs them.

Imports `machine` and `maths`. Slots and records are its own; a network on it is built with what
stands here.
"""

from ..maths.row_likelihoods import blocks_of
from .batch_kl import BatchKL
from .bounds import PLAIN, Objective
from .importance_tasks import new_lists, new_sums
from .layout import (
    INPUT,
    NOISE,
    OBSERVED,
    Architecture,
    aligned_zeros,
    layer_table,
    new_arena,
    read_dense,
    write_dense,
)
from .likelihood_tasks import RowLikelihood
from .loss_tasks import Totals, new_totals, read_totals
from .pieces import divide, divide_by_layers, large_layers
from .records import new_schedule
from .results import go_past_caches, new_results
from .slices import Slice, cut_panels, panels
from .workspace import Training, Workspace

__all__ = [
    "INPUT",
    "NOISE",
    "OBSERVED",
    "PLAIN",
    "Architecture",
    "BatchKL",
    "Objective",
    "RowLikelihood",
    "Slice",
    "Totals",
    "Training",
    "Workspace",
    "aligned_zeros",
    "blocks_of",
    "cut_panels",
    "divide",
    "divide_by_layers",
    "go_past_caches",
    "large_layers",
    "layer_table",
    "new_arena",
    "new_lists",
    "new_results",
    "new_schedule",
    "new_sums",
    "new_totals",
    "panels",
    "read_dense",
    "read_totals",
    "write_dense",
]
