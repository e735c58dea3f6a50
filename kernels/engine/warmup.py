"""Compiling ahead: what training and the passes over rows need."""

from collections.abc import Sequence

import numpy as np

from ..machine.compilation import cache_folder
from ..maths.optimizers import OPTIMIZERS
from ..maths.philox import STREAM_ORDER, shuffle
from .layout import layer_table, new_arena
from .loss_tasks import new_totals
from .pieces import Piece
from .records import new_schedule
from .steps import run_steps
from .workspace import Training, Workspace


def is_compiled() -> bool:
    """Tell whether training's machine code is in memory or in the cache on disk."""
    if run_steps.signatures:
        return True
    folder = cache_folder()
    return folder is not None and any(folder.glob("**/steps.run_steps-*.nbi"))


def warmup(dtypes: Sequence[np.dtype | type] = (np.float32,)) -> None:
    """Compile, or load from the cache, what training in these dtypes needs.

    One step of the smallest network goes through everything, since all networks run through
    the same machine code.
    """
    n_rows, n_latent = 2, 1
    order = np.empty(n_rows, np.int64)
    shuffle(order, np.uint64(0), np.uint64(STREAM_ORDER), np.uint64(0))
    layers = [(3, 2, "relu"), (2, 2 * n_latent, "identity"), (n_latent, 3, "sigmoid")]
    run = Training(
        batch_size=n_rows,
        totals=new_totals(n_latent),
        optimizer=OPTIMIZERS["adam"],
        hyper=np.array([0.9, 0.999, 1e-8]),
        schedule=new_schedule(1, 0.0),
    )
    for dtype in dtypes:
        table = layer_table(layers, dtype)
        arenas = tuple(new_arena(table, dtype) for _ in range(4))
        work = Workspace(
            table, 1, "bernoulli", n_rows, np.dtype(dtype), training=True, skip_zeros=False
        )
        work.take(np.zeros((n_rows, 3), np.uint8))
        work.train(arenas, order, run, Piece(work.passes.training))
