"""Tasks of log p(x) by importance sampling: many latents of each row, and nothing kept of them.

They are compiled when log p(x) is first asked for. A step takes `repeat` latents of each row of the
batch, the next ones in each step. `latents_task` draws them; the decoder's hidden layers are
FORWARD regions; `output_sums_task` does the last layer and -log p(x | z), which ROW_LOSSES adds up
for each latent; `weights_task` adds the weights to each row's sums.
"""

import numpy as np
from numba.extending import register_jitable

from ..machine.compilation import device_function, kernel
from ..machine.isa import LINE_FLOATS
from ..machine.kinds import Pointer, Record, Word
from ..machine.memory import (
    advance,
    float64_at,
    get,
    int32_at,
    int64_at,
    lane_count,
    load,
    load_row,
    put,
    stack,
    store,
)
from ..machine.vectors import Vector, constant, numbers_from, select, sums_of_eight
from ..maths import functions
from ..maths.importance import add_bernoulli, add_gaussian, add_log_weight, row_log_ratio
from ..maths.latent import row_draw
from ..maths.likelihoods import BERNOULLI
from ..maths.lists import list_columns
from ..maths.philox import normal_range
from ..maths.tiles import MR, NR, TILE_FLOATS, listed_rows_product
from .dense_tasks import blocks, multiply, panel_columns
from .splitting import TASK_ROWS

SUMS = np.dtype(
    [
        ("key", np.uint64),
        ("largest", np.float64),
        ("total", np.float64),
        ("squares", np.float64),
    ]
)
"""What is known of a row: the number that its noise is drawn by, and the sums of its weights so
far (`maths.importance`)."""
_WORDS = SUMS.itemsize // 8

LANES = 32
"""Chains of sums of a row's columns: column c belongs to chain c % LANES, for every panel width."""
BLOCK_COLUMNS = 256
"""Columns of one set of chains."""
_TILES = 8
OUTPUT_ROWS = _TILES * MR
_TASK_FLOATS = _TILES * TILE_FLOATS
_CHAINS = OUTPUT_ROWS * LANES
GROUPS = LANES // 8
"""Sums of 8 chains that are left of each block."""
_SPARSE = 0.85
"""Share of listed inputs from which on listing saves nothing."""


def new_sums(keys: np.ndarray) -> np.ndarray:
    """Return the sums of rows, by their keys, before the first weight."""
    sums = np.zeros(len(keys), SUMS)
    sums["key"], sums["largest"] = keys, -np.inf
    return sums


def n_groups(n_out: int) -> int:
    """How many sums of a row's columns there are; a multiple of 8, what is beyond them is 0."""
    n = -(-n_out // BLOCK_COLUMNS) * GROUPS
    return -(-n // 8) * 8


def n_output_tasks(n_rows: int) -> int:
    """Tasks of the last layer: some rows each."""
    return -(-n_rows // OUTPUT_ROWS)


@register_jitable
def list_room(n_in: int) -> int:
    """Room for the list of one tile's inputs: how many, these, and a vector more."""
    return n_in + 1 + LINE_FLOATS


def new_lists(n_in: int, n_threads: int) -> np.ndarray:
    """Room for what the last layer lists of a thread's rows, for each thread."""
    return np.zeros(list_room(n_in) * _TILES * n_threads, np.int32)


@kernel
def latents_task(task: Word, region: Record, step: Record, memory: Record, thread: Word) -> None:
    """Some latents z = mean + exp(log_var / 2) noise, and log p(z) - log q(z | x) of each.

    The noise is that of the row's key; latent k of the row has the elements from k Z on.
    """
    work = memory.work
    n = region.n_out // region.parts
    last = min((task + 1) * TASK_ROWS, step.n_rows * region.repeat)
    b = task * TASK_ROWS
    while b < last:
        row = b // region.repeat
        end = min(last, (row + 1) * region.repeat)
        number = step.element + np.int64(step.draw) * region.repeat + b - row * region.repeat
        key = np.uint64(get(int64_at(region.sums), row * _WORDS))
        noise = advance(work, region.noise.offset + b * n)
        normal_range(
            advance(noise, -number * n), number * n, (number + end - b) * n, step.seed,
            step.stream, key,
        )  # fmt: skip
        mean = advance(work, region.source.offset + row * region.source.stride)
        log_var = advance(mean, n)
        for k in range(b, end):
            e = advance(noise, (k - b) * n)
            z = advance(work, region.target.offset + k * region.target.stride)
            row_draw(z, mean, log_var, e, n)
            put(memory.kl, k, row_log_ratio(memory.kl, z, log_var, e, n))
        b = end


@kernel
def output_sums_task(
    task: Word, region: Record, step: Record, memory: Record, thread: Word
) -> None:
    """Some rows of the last layer: what -log p(x | z) is a sum of, in LANES chains for each block
    of columns, of which sums of 8 are left. Outputs go no further than the first-level cache.

    Inputs that are 0 in all rows of a tile are left out, where weights are finite: these rows are
    latents of one row of data, so that many units with ReLU are off in all of them.
    """
    base = memory.parameters
    work = memory.work
    tiles = stack(base, _TASK_FLOATS)
    linear = stack(base, _CHAINS)
    factors = stack(base, _CHAINS)
    width = panel_columns(memory)
    n_rows = step.n_rows * region.repeat
    first = task * OUTPUT_ROWS
    rows = min(OUTPUT_ROWS, n_rows - first)
    h = advance(work, region.source.offset + first * region.source.stride)
    lists = int32_at(region.lists + thread * 4 * _TILES * list_room(region.n_in))
    sparse = step.skip_zeros != 0 and _list_inputs(lists, h, rows, region)
    for begin in range(0, region.n_out, BLOCK_COLUMNS):
        for c in range(0, rows * LANES, lane_count(base)):
            store(linear, c, constant(load(linear, c), 0.0))
            store(factors, c, constant(load(factors, c), 1.0))
        for column in range(begin, min(begin + BLOCK_COLUMNS, region.n_out), width):
            weights = advance(base, region.weight + column * region.n_in)
            if sparse:
                _multiply_listed(tiles, h, rows, weights, lists, region)
            else:
                multiply(tiles, h, region.source.stride, rows, weights, region.n_in)
            chain = (column - begin) % LANES
            _add_columns(
                tiles, advance(linear, chain), advance(factors, chain), (first, rows), column,
                region, step, memory,
            )  # fmt: skip
        place = region.groups.offset + first * region.groups.stride
        groups = advance(work, place + begin // BLOCK_COLUMNS * GROUPS)
        for r in range(rows):
            for c in range(0, LANES, width):
                total = load_row(linear, r * LANES + c)
                if step.likelihood == BERNOULLI:
                    total = total + functions.log(load_row(factors, r * LANES + c))
                store(groups, r * region.groups.stride + c // 8, sums_of_eight(total))


@device_function
def _list_inputs(lists: Pointer, h: Pointer, rows: Word, region: Record) -> Word:
    """List the inputs of each tile that are not all 0; return whether there are few enough."""
    stride = region.source.stride
    n_listed = 0
    n_tiles = blocks(rows, MR)
    for t in range(n_tiles):
        listed = advance(lists, t * list_room(region.n_in))
        n = min(MR, rows - t * MR)
        length = list_columns(
            advance(listed, 1), advance(h, t * MR * stride), stride, n, region.n_in
        )
        put(listed, 0, np.int32(length))
        n_listed += length
    return n_listed < _SPARSE * n_tiles * region.n_in


@device_function
def _multiply_listed(
    tiles: Pointer, h: Pointer, rows: Word, weights: Pointer, lists: Pointer, region: Record
) -> None:
    """As `multiply`, by each tile's list."""
    stride = region.source.stride
    width = NR * lane_count(tiles)
    for t in range(blocks(rows, MR)):
        listed = advance(lists, t * list_room(region.n_in))
        listed_rows_product(
            advance(tiles, t * MR * width), advance(h, t * MR * stride), stride,
            min(MR, rows - t * MR), weights, (advance(listed, 1), np.int64(get(listed, 0))),
        )  # fmt: skip


@device_function
def _add_columns(
    tiles: Pointer, linear: Pointer, factors: Pointer, part: Record, column: Word, region: Record,
    step: Record, memory: Record,
) -> None:  # fmt: skip
    """Add a panel of pre-activations without bias, whose first column is `column`, to the chains.

    `part` is the first row and their number.
    """
    first, rows = part
    width = panel_columns(memory)
    bias = load_row(memory.parameters, region.bias + column)
    n_valid = region.n_out - column
    r = 0
    while r < rows:
        row = (first + r) // region.repeat
        end = min(rows, (row + 1) * region.repeat - first)
        x = load_row(memory.work, region.data.offset + row * region.data.stride + column)
        if n_valid < width:  # labels may stand there
            x = _beyond(x, n_valid, constant(x, 0.0))
        if step.likelihood == BERNOULLI:
            for q in range(r, end):
                logit = load_row(tiles, q * width) + bias
                if n_valid < width:  # a certain 0, as which x counts there: log p = 0
                    logit = _beyond(logit, n_valid, constant(logit, -1e4))
                terms, products = add_bernoulli(
                    load_row(linear, q * LANES), load_row(factors, q * LANES), logit, x
                )
                store(linear, q * LANES, terms)
                store(factors, q * LANES, products)
        else:
            for q in range(r, end):
                before = load_row(linear, q * LANES)
                value = load_row(tiles, q * width) + bias
                terms = add_gaussian(before, value, x, region.activation)
                if n_valid < width:
                    terms = _beyond(terms, n_valid, before)
                store(linear, q * LANES, terms)
        r = end


@device_function
def _beyond(values: Vector, n: Word, others: Vector) -> Vector:
    """The first n lanes of one vector, and those after them of the other."""
    column = numbers_from(values, 0)
    return select(column < constant(column, n), values, others)


@kernel
def weights_task(task: Word, region: Record, step: Record, memory: Record, thread: Word) -> None:
    """Add the weights of a row's latents to its sums, in their order: a task for each row."""
    sums = advance(float64_at(region.sums), task * _WORDS + 1)
    for k in range(task * region.repeat, (task + 1) * region.repeat):
        log_p = -step.reconstruction_weight * get(memory.reconstruction, k)
        add_log_weight(sums, log_p + get(memory.kl, k))
