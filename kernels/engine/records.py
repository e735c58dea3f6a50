"""The records that the engine runs on: regions, steps, sources, and the arrays they work in.

Python fills them, compiled code reads them by name (`region.target.stride`) and passes them on by
reference. What the passes of a network are made of stands in `passes`; what runs them in `steps`.
"""

from typing import Any, NamedTuple

import numpy as np

from ..maths.optimizers import RULE
from ..maths.row_likelihoods import ROW_LIKELIHOOD

# Kinds of regions.
(
    GATHER,
    FORWARD,
    DRAW,
    OUTPUT,
    ROW_LOSSES,
    WEIGH,
    BACKWARD_INPUT,
    BACKWARD_LATENT,
    PACK,
    BACKWARD_WEIGHT,
    SQUARE_SUMS,
    CLIP,
    UPDATE,
    TOTALS,
    ROWS,
    BACKWARD_BIAS,
) = range(16)

UPDATE_MODE, STORE_MODE = range(2)
"""Whether the gradient of a layer is applied where it arises, or stored."""

MATRIX = np.dtype([("offset", np.int64), ("stride", np.int64)], align=True)
"""A matrix in the workspace: its first element, and elements from row to row."""

REGION = np.dtype(
    [
        ("kind", np.int64),
        ("task_address", np.int64),
        ("n_tasks", np.int64),
        ("joins", np.int64),
        ("mode", np.int64),
        ("repeat", np.int64),
        ("n_in", np.int64),
        ("n_out", np.int64),
        ("parts", np.int64),
        ("activation", np.int64),
        ("weight", np.int64),
        ("bias", np.int64),
        ("reads_data", np.int64),
        ("n_listed", np.int64),
        ("data_source", np.int64),
        ("row_keys", np.int64),
        ("to_out", np.int64),
        ("first_panel", np.int64),
        ("sums", np.int64),
        ("lists", np.int64),
        ("likelihood", ROW_LIKELIHOOD),
        *[
            (name, MATRIX)
            for name in (
                "source",
                "target",
                "values",
                "noise",
                "data",
                "groups",
                "hidden",
                "scratch",
                "delta",
            )
        ],
    ],
    align=True,
)
"""One region of a program: work that is split into tasks, all of which may run at the same time.

kind, mode
    Which tasks; whether gradients are applied (`UPDATE_MODE`) or stored; of a gather that
    binarises, how (`maths.binary`).
task_address
    Machine code of its tasks, as `regions.task_address` returns it; 0 for the step's, which has
    what every training needs. What only some need is compiled when a program with it is built.
    ROWS (a few rows a task), WEIGH (a row of the batch a task) and BACKWARD_BIAS (a panel of a
    layer's outputs) have no other.
n_tasks
    How many these are, where they are not as many as the kind has; else 0.
joins
    Whether it needs nothing that the region before it makes, so that they may run together.
repeat
    Rows of the region per row of the batch: k where k latents are drawn for each data row.
n_in, n_out, activation, weight, bias
    The layer: sizes, code of the activation, first elements of its packed weights and biases.
parts
    Quantities per output of the layer that stand side by side, as mean and log_var in the head.
reads_data
    Whether zeros of what the region reads may be skipped.
n_listed
    Columns whose non-zeros are listed by the last gather into a matrix; 0 for none.
data_source
    Which of the sources a gather reads.
row_keys
    Address of an int64 for each row of the source, which the draws of a gather go by; 0 for none.
to_out
    Whether the target is the caller's array (with the stride of `target`), not the workspace.
first_panel
    The panel of all layers' outputs that the layer's first one is.
sums
    Address of what is summed up of each row of the batch (`importance_tasks.SUMS`), or of what is
    known of its latents (`objective_tasks`).
lists
    Address of room for lists of int32, which a thread makes for itself.
likelihood
    Of whole rows (`likelihood_tasks`).
source, target
    What is read, what is written. For a weight gradient the source is the packed input.
values
    What is not zero in the input, in the order of its lists.
noise, data, groups, hidden, scratch, delta
    Noise of the draws; the data that a loss compares with; sums of the loss over 8 columns; outputs
    of the layer below; room for a panel per thread; a gradient that comes in from above.
"""

SOURCE = np.dtype(
    [
        ("kind", np.int64),
        ("dtype", np.int64),
        ("address", np.int64),
        ("row_step", np.int64),
        ("column_step", np.int64),
        ("indices", np.int64),
        ("indptr", np.int64),
        ("index_size", np.int64),
    ],
    align=True,
)
"""Where a gather reads rows from: see `data_tasks` for the kinds. Steps are in bytes."""

STEP = np.dtype(
    [
        ("task_address", np.int64),
        ("yield_address", np.int64),
        ("n_members", np.int64),
        ("first_step", np.int64),
        ("n_steps", np.int64),
        ("batch_size", np.int64),
        ("updates_before", np.int64),
        ("part", np.int64),
        ("n_parts", np.int64),
        ("split_for", np.int64),
        ("block_rows", np.int64),
        ("n_rows", np.int64),
        ("first_row", np.int64),
        ("first_place", np.int64),
        ("skip_zeros", np.int64),
        ("weights_finite", np.int64),
        ("draws_noise", np.int64),
        ("second_out", np.int64),
        ("streams", np.int64),
        ("likelihood", np.int64),
        ("seed", np.uint64),
        ("stream", np.uint64),
        ("draw", np.uint64),
        ("element", np.int64),
        ("reconstruction_weight", np.float64),
        ("beta", np.float64),
        ("clip_norm", np.float64),
        ("free_bits", np.float64),
        ("rule", RULE),
    ],
    align=True,
)
"""The numbers of a run of steps and, filled in by its leader, those of the present step.

n_members, first_step, n_steps, batch_size, updates_before
    The run: threads that take part, steps of the pass, rows of a step, updates done before with
    these moments (they set Adam's bias corrections).
part, n_parts
    Which part of each region's tasks is done; 0 of 1 for all.
split_for
    The members that regions are split into tasks for: the same in all parts of a step, whatever
    their number is by then.
block_rows
    Rows that go through a program together, as far as rows do not need each other, a multiple of
    `splitting.TASK_ROWS`; 0 where each region is split for itself.
n_rows, first_row, draw
    The step: its rows, the first of them in `order`, the number of its noise.
first_place
    Where the step's rows are a part of a batch, the place of the first of them in it: draws that
    make the data binary go by it. Its noise has `element`.
skip_zeros, weights_finite, draws_noise
    Whether zeros of the data are left out; whether all weights are known to be finite, which is
    looked at otherwise; whether noise is drawn or taken as it stands.
second_out, streams
    Address of the second array of a pass that has two; whether results go past the caches
    (`results`).
seed, stream, element
    Of the noise (`maths.philox`), and its element that the first row's noise starts at.
reconstruction_weight, beta, clip_norm, free_bits
    What is minimised: the batch mean of reconstruction_weight * reconstruction + beta * KL; the
    largest norm of its gradient that is not scaled down; nats of each latent's mean KL that cost
    what they cost whether they are used or not.
rule
    The update; its optimizer is NO_UPDATE where nothing is updated.
"""


SCHEDULE = np.dtype([("learning_rate", np.float64), ("beta", np.float64)], align=True)
"""What changes from one step of training to the next."""


def new_schedule(
    n_steps: int, learning_rate: float | np.ndarray, beta: float | np.ndarray = 1.0
) -> np.ndarray:
    """Return an array of SCHEDULE, from a number for all steps or an array of one for each."""
    schedule = np.empty(n_steps, SCHEDULE)
    schedule["learning_rate"], schedule["beta"] = learning_rate, beta
    return schedule


class Memory(NamedTuple):
    """The arrays of a run; in tasks, pointers to their first elements (but for `sources`).

    Attributes
    ----------
    parameters, moment1, moment2, gradient : ndarray
        Arenas of one layout; `gradient` is written in `STORE_MODE` only.
    work, out : ndarray
        The workspace; what regions with `to_out` write to, at the row of `order` that the batch
        starts at.
    by_row, by_column : ndarray of int32
        Lists of each row's non-zero columns, and of each column's non-zero rows (`maths.lists`).
    reconstruction, kl : ndarray of float64, shape (rows,)
        Losses per row of the last batch.
    partial : ndarray of float64
        Sums of the gradient's squares, an entry per output of each layer.
    totals : ndarray of float64, shape (4 + 2 Z,)
        Of the epoch, added to by TOTALS: see `loss_tasks`.
    schedule : ndarray of SCHEDULE, shape (n_steps,)
    draws : ndarray of int64, shape (1,)
        Number of the next batch's noise. Each finished step adds 1, so that it counts what was done
        wherever a run of steps ends.
    order : ndarray of int64
        Rows of the data, in the order that steps take them.
    sources : ndarray of SOURCE
        Where the data is.
    """

    parameters: Any
    moment1: Any
    moment2: Any
    gradient: Any
    work: Any
    out: Any
    by_row: Any
    by_column: Any
    reconstruction: Any
    kl: Any
    partial: Any
    totals: Any
    schedule: Any
    draws: Any
    order: Any
    sources: Any
