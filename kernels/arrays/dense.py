"""Dense layers on plain arrays: forward, backward to the input, to the weights, to the bias.

Each is a program of one layer, run by the engine as the passes of a network are. B rows, I inputs,
O outputs; weights are (O, I).
"""

import numpy as np

from ..engine.layout import layer_table, new_arena, packed_size, read_dense, row_stride, write_dense
from ..engine.programs import new_region
from ..engine.records import (
    BACKWARD_INPUT,
    BACKWARD_WEIGHT,
    FORWARD,
    GATHER,
    PACK,
    STORE_MODE,
)
from ..machine.isa import panel_width
from ..machine.threads import max_threads
from .activations import activation_code
from .arguments import checked
from .programs import new_work, run


def _packed(weight: np.ndarray, bias: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The table and the arena of one layer."""
    n_out, n_in = weight.shape
    table = layer_table([(n_in, n_out, "identity")], weight.dtype)
    arena = new_arena(table, weight.dtype)
    write_dense(table, arena, 0, weight, bias)
    return table, arena


def dense_forward(
    out: np.ndarray, x: np.ndarray, weight: np.ndarray, bias: np.ndarray, activation: int
) -> None:
    """out = activation(x weight^T + bias).

    Parameters
    ----------
    out : ndarray, shape (B, O)
        Written.
    x : ndarray, shape (B, I)
    weight : ndarray, shape (O, I)
    bias : ndarray, shape (O,)
    activation : int
        A code of `ACTIVATIONS`.
    """
    code = activation_code(activation)
    arrays = checked("BO BI OI O", 1, in_place=False, out=out, x=x, weight=weight, bias=bias)
    out, x, weight, bias = arrays
    if x.shape[1] == 0:  # the engine's sums have a term at least
        x, weight = np.zeros((len(x), 1), x.dtype), np.zeros((len(bias), 1), x.dtype)
    (n_rows, n_in), n_out = x.shape, len(bias)
    table, arena = _packed(weight, bias)
    stride = row_stride(n_in, x.itemsize)
    places, work = new_work([(stride, stride * n_rows)], x.dtype)
    gather = new_region(GATHER, n_in=n_in, target=places[0])
    forward = new_region(FORWARD, table[0], source=places[0], to_out=1)
    forward["activation"], forward["target"]["stride"] = code, n_out
    run([gather, forward], [arena] * 4, work, out.reshape(-1), [x], np.arange(n_rows))


def dense_backward_input(dx: np.ndarray, dy: np.ndarray, weight: np.ndarray) -> None:
    """dx = dy weight.

    Parameters
    ----------
    dx : ndarray, shape (B, I)
        Written.
    dy : ndarray, shape (B, O)
        Gradient of the loss with respect to the pre-activations.
    weight : ndarray, shape (O, I)
    """
    dx, dy, weight = checked("BI BO OI", 1, in_place=False, dx=dx, dy=dy, weight=weight)
    if dy.shape[1] == 0:  # the engine's sums have a term at least
        dy, weight = np.zeros((len(dy), 1), dy.dtype), np.zeros((1, dx.shape[1]), dy.dtype)
    (n_rows, n_out), n_in = dy.shape, weight.shape[1]
    table, arena = _packed(weight, None)
    deltas, inputs = row_stride(n_out, dy.itemsize), row_stride(n_in, dy.itemsize)
    panel = (n_out + panel_width(dy.itemsize)) * panel_width(dy.itemsize)
    sizes = [(deltas, deltas * n_rows), (0, inputs), (panel, panel * max_threads())]
    places, work = new_work(sizes, dy.dtype)
    gather = new_region(GATHER, n_in=n_out, target=places[0])
    fields = {"source": places[0], "hidden": places[1], "scratch": places[2], "to_out": 1}
    backward = new_region(BACKWARD_INPUT, table[0], **fields)
    backward["target"]["stride"] = n_in
    run([gather, backward], [arena] * 4, work, dx.reshape(-1), [dy], np.arange(n_rows))


def _backward_weight(dy: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """dy^T x and the sums of dy."""
    (n_rows, n_out), n_in = dy.shape, x.shape[1]
    table = layer_table([(n_in, n_out, "identity")], dy.dtype)
    gradient = new_arena(table, dy.dtype)
    deltas, inputs = row_stride(n_out, dy.itemsize), row_stride(n_in, dy.itemsize)
    sizes = [(deltas, deltas * n_rows), (inputs, inputs * n_rows)]
    places, work = new_work([*sizes, packed_size(n_rows, n_in, dy.itemsize)], dy.dtype)
    program = [
        new_region(GATHER, n_in=n_out, target=places[0]),
        new_region(GATHER, n_in=n_in, data_source=1, target=places[1]),
        new_region(PACK, table[0], source=places[1], target=places[2]),
        new_region(BACKWARD_WEIGHT, table[0], mode=STORE_MODE, source=places[2], delta=places[0]),
    ]
    run(program, [gradient] * 4, work, work, [dy, x], np.arange(n_rows))
    return read_dense(table, gradient, 0)


def dense_backward_weight(dweight: np.ndarray, dy: np.ndarray, x: np.ndarray) -> None:
    """dweight = dy^T x, summed over rows.

    Parameters
    ----------
    dweight : ndarray, shape (O, I)
        Written.
    dy : ndarray, shape (B, O)
        Gradient of the loss with respect to the pre-activations.
    x : ndarray, shape (B, I)
    """
    dweight, dy, x = checked("OI BO BI", 1, in_place=False, dweight=dweight, dy=dy, x=x)
    dweight[...] = _backward_weight(dy, x)[0]


def dense_backward_bias(dbias: np.ndarray, dy: np.ndarray) -> None:
    """dbias = sum of dy over rows.

    Parameters
    ----------
    dbias : ndarray, shape (O,)
        Written.
    dy : ndarray, shape (B, O)
        Gradient of the loss with respect to the pre-activations.
    """
    dbias, dy = checked("O BO", 1, in_place=False, dbias=dbias, dy=dy)
    dbias[...] = _backward_weight(dy, np.zeros((len(dy), 1), dy.dtype))[1]
