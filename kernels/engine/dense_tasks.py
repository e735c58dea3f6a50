"""Tasks of one packed dense layer: forward, loss, backward to the input, weight gradient.

A task owns tiles of the output and runs over the contracted index in ascending order, so
results do not depend on the number of threads. It reads its layer and its matrices from a row
of a program; weights are packed as `layout` says. MR rows and W columns make a tile.
"""

from ..machine.compilation import device_function
from ..machine.isa import LINE_FLOATS
from ..machine.kinds import Pointer, Record, Word
from ..machine.memory import (
    advance,
    lane_count,
    load,
    load_row,
    pointer_at,
    prefetch,
    stack,
    store,
    store_some,
    stream,
)
from ..machine.sizes import ASKS, BLOCK
from ..machine.vectors import constant, numbers_from, select, sums_of_eight
from ..maths.activations import activate, activation_slope
from ..maths.likelihoods import loss_terms
from ..maths.optimizers import store_span, update_span
from ..maths.packing import pack_transposed
from ..maths.tiles import (
    CHUNK_ROWS,
    CHUNK_TILES,
    MR,
    NR,
    TILE_FLOATS,
    columns_product,
    rows_product,
    tile_start,
)
from .records import STORE_MODE
from .row_blocks import goes_by_rows
from .splitting import MANY_MEMBERS, SMALL_TASKS_EACH, part_size, wanted_tasks

TASK_TILES, LEAST_TILES = 16, 2
"""Tiles of inputs in one task of the weight gradient, at most, and where there are many members."""
LEAST_ROWS, FEW_ROWS = 32, 16
"""Rows that a part of a product keeps, and where there are many members."""
PACK_TILES, PACK_ROWS = 8, 64
"""Tiles of inputs packed by one task, and rows at a time: their lines stay in the cache."""
ROW_FLOATS = TILE_FLOATS // MR
_CHUNK_FLOATS = CHUNK_TILES * TILE_FLOATS
_TASK_FLOATS = TASK_TILES * TILE_FLOATS
_BLOCK_FLOATS = BLOCK * ROW_FLOATS


@device_function
def blocks(n: Word, size: Word) -> Word:
    """How many blocks of `size` hold n."""
    return (n + size - 1) // size


@device_function
def panel_columns(memory: Record) -> Word:
    """Columns of a panel of weights."""
    return NR * lane_count(memory.parameters)


@device_function
def batch_row(b: Word, region: Record) -> Word:
    """The row of the batch that a region's row is of; a division would cost 2 % of the loss."""
    return b if region.repeat == 1 else b // region.repeat


@device_function
def target_of(region: Record, step: Record, memory: Record) -> Pointer:
    """The first element of a region's target: in the workspace, or rows of `out`."""
    if region.to_out != 0:
        return advance(memory.out, step.first_row * region.repeat * region.target.stride)
    return advance(memory.work, region.target.offset)


@device_function
def second_target(n: Word, step: Record, memory: Record) -> Pointer:
    """The first row of the batch in the caller's second array, of rows of n."""
    return advance(pointer_at(memory.out, step.second_out), step.first_row * n)


@device_function
def apply_span(
    tile: Pointer, place: Word, n: Word, region: Record, step: Record, memory: Record
) -> None:
    """Store a gradient, or update the parameters that it is of, as the region's mode says."""
    if region.mode == STORE_MODE:
        store_span(memory.gradient, tile, place, n)
    else:
        update_span(tile, place, n, step.rule, memory)


@device_function
def multiply(
    tiles: Pointer, x: Pointer, stride: Word, n_rows: Word, weights: Pointer, n_in: Word
) -> None:
    """Products of n_rows rows of x with a panel of weights, left in `tiles`, MR rows each.

    The contracted index is taken in blocks whose part of the panel stays in the first-level
    cache; the next block, or the next panel, which follows in memory, is asked for meanwhile.
    """
    width = NR * lane_count(tiles)
    for start in range(0, n_in, BLOCK):
        block = advance(weights, start * width)
        length = min(BLOCK, n_in - start)
        following = (advance(block, length * width), width * width)
        part = advance(x, start)
        _multiply_block(tiles, part, stride, n_rows, block, length, start > 0, following)


@device_function
def _multiply_block(
    tiles: Pointer, x: Pointer, stride: Word, n_rows: Word, block: Pointer, length: Word,
    resume: Word, following: Record,
) -> None:  # fmt: skip
    """A part of `multiply`, whose weights are `block`; with `resume` the sums go on.

    Meanwhile the weights of the next block are asked for: `following` is a pointer to squares of
    width * width, and how far they lie apart.
    """
    next_block, next_stride = following
    width = NR * lane_count(tiles)
    n_tiles = (n_rows + MR - 1) // MR
    each = (width + n_tiles - 1) // n_tiles
    for t in range(n_tiles):
        place = t * each * BLOCK
        square = place // (width * width)
        ahead = advance(next_block, square * (next_stride - width * width) + place)
        b = tile_start(t, n_rows)
        rows_product(
            advance(tiles, b * width), advance(x, b * stride), stride,
            tile_start(t + 1, n_rows) - b, block, length, resume, (ahead, each),
        )  # fmt: skip


@device_function
def _rows_per_task(n_rows: Word, n_panels: Word, most: Word, region: Record, step: Record) -> Word:
    """How many rows, `most` at most, a task of a product with a panel of weights takes.

    A layer of few panels is split by rows, so that all threads have a part of it.
    """
    if goes_by_rows(region, step):
        return step.block_rows
    least = LEAST_ROWS if step.split_for < MANY_MEMBERS else FEW_ROWS
    rows = part_size(n_rows, most, least, n_panels, wanted_tasks(step.split_for))
    return (rows + MR - 1) // MR * MR


@device_function
def _part_of(
    task: Word, n_rows: Word, n_panels: Word, most: Word, region: Record, step: Record
) -> Word:
    """A task's panel, its first row and its number of rows."""
    part = _rows_per_task(n_rows, n_panels, most, region, step)
    parts = (n_rows + part - 1) // part
    first = task % parts * part
    return task // parts, first, min(part, n_rows - first)


@device_function
def _tiles_per_task(region: Record, width: Word, n_members: Word) -> Word:
    """How many tiles of inputs a task of the weight gradient takes."""
    n_panels = blocks(region.n_out, width)
    wanted = SMALL_TASKS_EACH * n_members
    return part_size(blocks(region.n_in, MR), TASK_TILES, LEAST_TILES, n_panels, wanted)


@device_function
def forward_count(region: Record, n_rows: Word, width: Word, step: Record) -> Word:
    """Tasks of a layer's output or loss: some rows of one panel each."""
    n_panels = blocks(region.n_out, width)
    return n_panels * blocks(n_rows, _rows_per_task(n_rows, n_panels, CHUNK_ROWS, region, step))


@device_function
def forward_task(task: Word, region: Record, step: Record, memory: Record) -> None:
    """y = activation(x W^T + b), some rows of one panel of y."""
    base = memory.parameters
    tiles = stack(base, _CHUNK_FLOATS)
    width = panel_columns(memory)
    panel, first, rows = _part_of(
        task, step.n_rows * region.repeat, blocks(region.n_out, width), CHUNK_ROWS, region, step
    )
    n_valid = region.n_out - panel * width
    weights = advance(base, region.weight + panel * region.n_in * width)
    bias = advance(base, region.bias + panel * width)
    x = advance(memory.work, region.source.offset + first * region.source.stride)
    multiply(tiles, x, region.source.stride, rows, weights, region.n_in)
    target = target_of(region, step, memory)
    streams = region.to_out != 0 and step.streams != 0 and n_valid >= width
    for r in range(rows):
        y = advance(target, (first + r) * region.target.stride + panel * width)
        value = activate(load_row(tiles, r * width) + load_row(bias, 0), region.activation)
        if streams:
            stream(y, 0, value)
        else:
            store_some(y, 0, value, n_valid)


@device_function
def output_task(task: Word, region: Record, step: Record, memory: Record) -> None:
    """Some rows of one panel of the last layer: loss against the data, and its gradient with
    respect to the pre-activations, as the batch mean has it.

    Losses are left as sums over groups of 8 columns. Tasks are counted by `forward_count`.
    """
    base = memory.parameters
    work = memory.work
    tiles = stack(base, _CHUNK_FLOATS)
    width = panel_columns(memory)
    scale = step.reconstruction_weight / step.n_rows
    panel, first, rows = _part_of(
        task, step.n_rows * region.repeat, blocks(region.n_out, width), CHUNK_ROWS, region, step
    )
    n_valid = region.n_out - panel * width
    weights = advance(base, region.weight + panel * region.n_in * width)
    bias = advance(base, region.bias + panel * width)
    h = advance(work, region.source.offset + first * region.source.stride)
    multiply(tiles, h, region.source.stride, rows, weights, region.n_in)
    for r in range(rows):
        b = first + r
        x = advance(work, region.data.offset + batch_row(b, region) * region.data.stride)
        delta = advance(work, region.target.offset + b * region.target.stride + panel * width)
        value = load_row(tiles, r * width) + load_row(bias, 0)
        loss, slope = loss_terms(
            value, load_row(x, panel * width), step.likelihood, region.activation, scale
        )
        store_some(delta, 0, slope, n_valid)
        if n_valid < width:  # nothing past the last column counts as loss
            column = numbers_from(loss, 0)
            loss = select(column < constant(column, n_valid), loss, constant(loss, 0.0))
        groups = region.groups.offset + b * region.groups.stride + panel * (width // 8)
        store(work, groups, sums_of_eight(loss))


@device_function
def backward_input_count(region: Record, n_rows: Word, width: Word, step: Record) -> Word:
    """Tasks of an input gradient: some rows of one panel of inputs each."""
    n_panels = blocks(region.n_in, width)
    return n_panels * blocks(n_rows, _rows_per_task(n_rows, n_panels, n_rows, region, step))


@device_function
def backward_input_task(
    task: Word, region: Record, step: Record, memory: Record, thread: Word
) -> None:
    """dx = (dy W) * activation'(h), W columns of dx; h is the output of the layer below.

    Lanes are inputs, so the weights are wanted with inputs side by side: the task transposes
    its part of them into a buffer of its thread, where all rows find it in the cache.
    """
    base = memory.parameters
    work = memory.work
    tiles = stack(base, _CHUNK_FLOATS)
    width = panel_columns(memory)
    n_rows = step.n_rows * region.repeat
    n_panels = blocks(region.n_in, width)
    panel, top, n_part = _part_of(task, n_rows, n_panels, n_rows, region, step)
    begin = panel * width
    weights = advance(base, region.weight + begin * width)
    n_valid = min(width, region.n_in - begin)
    packed = advance(work, region.scratch.offset + thread * region.scratch.stride)
    square_stride = region.n_in * width
    target = advance(target_of(region, step, memory), begin)
    for first in range(top, top + n_part, CHUNK_ROWS):
        rows = min(CHUNK_ROWS, top + n_part - first)
        dy = advance(work, region.source.offset + first * region.source.stride)
        for start in range(0, region.n_out, BLOCK):
            end = min(start + BLOCK, region.n_out)
            if first == top:
                for o in range(start, end, width):
                    pack_transposed(
                        advance(packed, o * width),
                        advance(weights, o // width * square_stride), width,
                        min(width, region.n_out - o), n_valid,
                    )  # fmt: skip
            # What is transposed next: of this panel, or at its end the beginning of the next.
            following = advance(weights, end // width * square_stride)
            if end == region.n_out:
                following = advance(weights, width * width)
            _multiply_block(
                tiles, advance(dy, start), region.source.stride, rows,
                advance(packed, start * width), end - start, start > 0, (following, square_stride),
            )  # fmt: skip
        for r in range(rows):
            h = advance(work, region.hidden.offset + (first + r) * region.hidden.stride + begin)
            dx = advance(target, (first + r) * region.target.stride)
            value = load_row(tiles, r * width) * activation_slope(load_row(h, 0), region.activation)
            store_some(dx, 0, value, n_valid)


@device_function
def pack_count(region: Record) -> Word:
    """Tasks of packing: some tiles of inputs each."""
    return blocks(region.n_in, PACK_TILES * MR)


@device_function
def pack_task(task: Word, region: Record, step: Record, memory: Record) -> None:
    """MR columns of x side by side, row after row, for each tile of the weight gradient.

    A task takes neighbouring tiles, since they share cache lines of x.
    """
    begin = task * PACK_TILES
    end = min(begin + PACK_TILES, blocks(region.n_in, MR))
    work = memory.work
    stride = region.source.stride
    n_rows = step.n_rows * region.repeat
    for first in range(0, n_rows, PACK_ROWS):
        last = min(first + PACK_ROWS, n_rows)
        for tile in range(begin, end):
            x = advance(work, region.source.offset + tile * MR)
            packed = advance(work, region.target.offset + tile * region.target.stride)
            for b in range(first, last):
                # What lies past MR is written over by the next row, or stays in the tile's pad.
                for c in range(0, MR, lane_count(x)):
                    store(packed, b * MR + c, load(x, b * stride + c))


@device_function
def backward_weight_count(region: Record, width: Word, n_members: Word) -> Word:
    """Tasks of a weight gradient: some tiles of one panel of outputs each."""
    n_inputs = _tiles_per_task(region, width, n_members) * MR
    return blocks(region.n_out, width) * blocks(region.n_in, n_inputs)


@device_function
def backward_weight_task(task: Word, region: Record, step: Record, memory: Record) -> None:
    """dW = dy^T x and db, some tiles of one panel of outputs.

    The rows are taken in blocks whose part of dy stays in the first-level cache. Each finished
    tile is stored, or its parameters and moments are updated while they are in the cache.
    """
    base = memory.parameters
    work = memory.work
    tiles = stack(base, _TASK_FLOATS)
    block = stack(base, _BLOCK_FLOATS)
    sums = stack(base, ROW_FLOATS)
    width = panel_columns(memory)
    n_rows = step.n_rows * region.repeat
    n_inputs = _tiles_per_task(region, width, step.split_for) * MR
    chunks = blocks(region.n_in, n_inputs)
    panel = task // chunks
    first = (task % chunks) * n_inputs
    last = min(first + n_inputs, region.n_in)
    stride = region.delta.stride
    dy = advance(work, region.delta.offset + panel * width)
    for start in range(0, n_rows, BLOCK):
        end = min(start + BLOCK, n_rows)
        for b in range(start, end):
            store(block, (b - start) * width, load_row(dy, b * stride))
        for i in range(first, last, MR):
            _prefetch_next_rows(dy, stride, start, n_rows, (i - first) // MR)
            if ASKS and region.mode != STORE_MODE and end == n_rows:
                place = region.weight + (panel * region.n_in + i) * width
                prefetch_state(memory, place, min(MR, last - i) * width)
            packed = advance(work, region.source.offset + (i // MR) * region.source.stride)
            columns_product(
                advance(tiles, (i - first) * width), advance(packed, start * MR), block, width,
                end - start, start > 0,
            )  # fmt: skip
        if first == 0:
            add_rows(sums, block, width, end - start, start > 0)
    place = region.weight + (panel * region.n_in + first) * width
    apply_span(tiles, place, (last - first) * width, region, step, memory)
    if first == 0:
        apply_bias(panel, sums, region, step, memory)


@device_function
def add_rows(sums: Pointer, dy: Pointer, stride: Word, n_rows: Word, resume: Word) -> None:
    """The sums over the rows of a panel of dy; with `resume` they go on."""
    for v in range(0, NR * lane_count(dy), lane_count(dy)):
        total = load(sums, v)
        if not resume:
            total = constant(total, 0.0)
        for b in range(n_rows):
            total = total + load(dy, b * stride + v)
        store(sums, v, total)


@device_function
def backward_bias(panel: Word, dy: Pointer, region: Record, step: Record, memory: Record) -> None:
    """db = the sum of a panel of dy over the rows, stored or applied."""
    sums = stack(dy, ROW_FLOATS)
    add_rows(sums, dy, region.delta.stride, step.n_rows * region.repeat, False)
    apply_bias(panel, sums, region, step, memory)


@device_function
def apply_bias(panel: Word, sums: Pointer, region: Record, step: Record, memory: Record) -> None:
    """Store or apply the gradient of a panel of biases."""
    width = panel_columns(memory)
    apply_span(sums, region.bias + panel * width, width, region, step, memory)


@device_function
def _prefetch_next_rows(dy: Pointer, stride: Word, start: Word, n_rows: Word, part: Word) -> None:
    """Ask for a part of the rows of dy that come next: the next block's, else the next panel's."""
    share = BLOCK // TASK_TILES
    first = start + BLOCK + part * share
    column = 0
    if start + BLOCK >= n_rows:
        first = part * share
        column = NR * lane_count(dy)
    for b in range(first, min(first + share, n_rows)):
        prefetch(dy, b * stride + column)


@device_function
def prefetch_state(memory: Record, place: Word, n: Word) -> None:
    """Ask for n parameters and their moments, so that they are there when their gradient is done,
    where that is not left to the processor (`sizes`)."""
    for line in range(place, place + n, LINE_FLOATS):
        prefetch(memory.parameters, line)
        prefetch(memory.moment1, line)
        prefetch(memory.moment2, line)
