"""Likelihoods of rows whose columns are of several kinds: -log p(x | z) in nats, and its gradient.

A row is a list of blocks, columns that stand side by side and are of one kind: code, first column,
columns, and the first of their dispersions. What the decoder says of a column is a number l, before
any activation: a logit, a mean, the logarithm of a rate. A pure likelihood is one block. What is
NaN in the data is left out: it costs nothing and has the slope 0.

A Gaussian column has sigma = sigma_min + exp(raw): no raw makes it smaller than sigma_min, loss and
gradient agree everywhere, and the slope with respect to raw is never exactly 0 where it should not
be. Without raws sigma is sigma_min itself.

Slopes are computed in the arena's dtype by the polynomials of `functions`. Losses of counts and
categories, in which large numbers cancel, are computed in float64 by the system's mathematical
library, column after column; all others are summed as in `likelihoods`, block after block.

References
----------
Kingma & Welling (2014), "Auto-Encoding Variational Bayes", appendix C.
Loaiza-Ganem & Cunningham (2019), "The continuous Bernoulli: fixing a pervasive error in variational
autoencoders", section 3 and equation 8.
Rybkin, Daniilidis & Levine (2021), "Simple and effective VAE training with calibrated decoders",
section 3.
Nazabal et al. (2020), "Handling incomplete heterogeneous data using VAEs", sections 2 and 3.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..machine.compilation import device_function
from ..machine.kinds import Pointer, Real, Record, Vectors, Word
from ..machine.memory import (
    advance,
    cast,
    float64_at,
    get,
    int64_at,
    lane_count,
    load_some,
    put,
    stack,
    store,
    store_some,
    sum_eight,
)
from ..machine.vectors import Vector, absolute, constant, fma, select, splat
from . import functions
from .activations import IDENTITY, SIGMOID, activate, activation_slope
from .likelihoods import BERNOULLI, GAUSSIAN, bernoulli_terms, sum_groups

CONTINUOUS_BERNOULLI, POISSON, CATEGORICAL = range(GAUSSIAN + 1, GAUSSIAN + 4)
BLOCK_KINDS = {
    "bernoulli": BERNOULLI,
    "gaussian": GAUSSIAN,
    "continuous_bernoulli": CONTINUOUS_BERNOULLI,
    "poisson": POISSON,
    "categorical": CATEGORICAL,
}
BLOCK_FIELDS = 4
"""Whole numbers of a block: code, first column, columns, first dispersion."""

SIGMA_MIN = 1e-3
"""What sigma = SIGMA_MIN + exp(raw) of a trained Gaussian is always above."""
LOG_RATE_MAX = 30.0
"""Beyond it the rate of counts is its exp, and the loss goes on along its tangent there."""

ROW_LIKELIHOOD = np.dtype(
    [
        ("blocks", np.int64),
        ("n_blocks", np.int64),
        ("activation", np.int64),
        ("n_raws", np.int64),
        ("sigma_min", np.int64),
    ],
    align=True,
)
"""The likelihood of a row.

blocks, n_blocks
    Address of the blocks' int64 numbers; how many blocks.
activation
    Of the means of Gaussian columns.
n_raws
    Raws of sigma: 0 where it is given, 1 for all Gaussian columns, or one for each.
sigma_min
    Address of a float64.
"""


def blocks_of(kinds: Sequence[tuple[int, int]]) -> np.ndarray:
    """Return the blocks of a row from the code and the columns of each, in their order.

    Raws of sigma are numbered over the Gaussian columns.
    """
    blocks = np.empty((len(kinds), BLOCK_FIELDS), np.int64)
    first, first_raw = 0, 0
    for k, (kind, n_columns) in enumerate(kinds):
        blocks[k] = kind, first, n_columns, first_raw
        first += n_columns
        first_raw += n_columns if kind == GAUSSIAN else 0
    return blocks


def new_row_likelihood(
    blocks: np.ndarray, n_raws: int, sigma_min: np.ndarray, activation: int = IDENTITY
) -> np.ndarray:
    """Return a record of ROW_LIKELIHOOD; whoever uses it keeps the two arrays.

    Parameters
    ----------
    blocks : ndarray of int64
        What `blocks_of` returned.
    n_raws : int
    sigma_min : ndarray of float64, shape (1,)
    activation : int
        A code of `ACTIVATIONS`.
    """
    addresses = blocks.ctypes.data, sigma_min.ctypes.data
    fields = addresses[0], len(blocks), activation, n_raws, addresses[1]
    return np.array([fields], ROW_LIKELIHOOD)


_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
_SMALL_LOGIT = 0.5
# log(sinh(l / 2) / (l / 2)) = sum over n >= 1 of B_2n l^2n / (2n (2n)!), by Bernoulli numbers.
_LOG_SINHC = (
    1 / 24, -1 / 2880, 1 / 181440, -1 / 9676800, 1 / 479001600, -691 / 15692092416000,
    1 / 1046139494400,
)  # fmt: skip


class Numbers(NamedTuple):
    """What is said of one row, or the slopes with respect to it: pointers.

    Attributes
    ----------
    output : pointer
        A number of each column.
    raw : pointer
        Raws of sigma, `n_raws` of them.
    """

    output: Pointer
    raw: Pointer


@device_function
def _log_sinhc(logit: Vector) -> Vectors:
    """log(sinh(l / 2) / (l / 2)) of small l, and its derivative."""
    square = logit * logit
    value, slope = constant(logit, 0.0), constant(logit, 0.0)
    for n in range(len(_LOG_SINHC), 0, -1):
        value = fma(value, square, constant(logit, _LOG_SINHC[n - 1]))
        slope = fma(slope, square, constant(logit, 2 * n * _LOG_SINHC[n - 1]))
    return value * square, slope * logit


@device_function
def continuous_bernoulli_mean(logit: Vector) -> Vector:
    """The mean of x: 1 / (1 - exp(-l)) - 1 / l, which is 1/2 for l = 0.

    Source: Loaiza-Ganem & Cunningham (2019), section 3, for logits.
    """
    one, zero = constant(logit, 1.0), constant(logit, 0.0)
    size = absolute(logit)
    small = size < constant(logit, _SMALL_LOGIT)
    # 1 - m(|l|) = 1 / |l| - e / (1 - e) with e = exp(-|l|): no difference of large numbers.
    a = select(small, one, size)
    e = functions.exp_of_negative(functions.negative(a))
    rest = one / a - e / (one - e)
    large = select(logit < zero, rest, one - rest)
    return select(small, constant(logit, 0.5) + _log_sinhc(logit)[1], large)


@device_function
def continuous_bernoulli_terms(logit: Vector, x: Vector) -> Vectors:
    """-log p(x | l), and the mean of x less x.

    With lambda = sigmoid(l), p(x) = C lambda^x (1 - lambda)^(1 - x) with
    C = 2 artanh(1 - 2 lambda) / (1 - 2 lambda) = l / tanh(l / 2), 2 for l = 0.
    So p(x) = exp(l x) l / (exp(l) - 1) and

        -log p(x) = max(l, 0) - l x + log((1 - exp(-|l|)) / |l|)
                  = l (1/2 - x) + log(sinh(l / 2) / (l / 2)),

    the second for small l, by its series. Source: Loaiza-Ganem & Cunningham (2019), equation 8.
    """
    one = constant(logit, 1.0)
    size = absolute(logit)
    small = size < constant(logit, _SMALL_LOGIT)
    a = select(small, one, size)
    e = functions.exp_of_negative(functions.negative(a))
    large = fma(functions.negative(logit), x, functions.rectify(logit)) - functions.log(
        a / (one - e)
    )
    near = fma(logit, constant(logit, 0.5) - x, _log_sinhc(logit)[0])
    return select(small, near, large), continuous_bernoulli_mean(logit) - x


@device_function
def gaussian_density_terms(mean: Vector, raw: Vector, x: Vector, sigma_min: Real) -> Vectors:
    """-log N(x; mean, sigma^2) with sigma = sigma_min + exp(raw), and its derivatives with respect
    to mean and raw: (mean - x) / sigma^2 and (1 - (x - mean)^2 / sigma^2) exp(raw) / sigma.

    Source: Rybkin et al. (2021), section 3, with another parameter for sigma.
    """
    one = constant(x, 1.0)
    above = functions.exp(raw)
    sigma = constant(x, sigma_min) + above
    inverse = one / sigma
    r = (mean - x) * inverse
    half = constant(x, 0.5)
    loss = fma(r * r, half, functions.log(sigma) + constant(x, _HALF_LOG_2PI))
    return loss, r * inverse, (one - r * r) * (above * inverse)


@device_function
def bounded_rate(log_rate: Vector) -> Vector:
    """exp(l), the mean of counts; the same from LOG_RATE_MAX on. NaN passes."""
    high = constant(log_rate, LOG_RATE_MAX)
    return functions.exp(select(log_rate > high, high, log_rate))


@device_function
def poisson_loss(log_rate: Real, x: Real) -> Real:
    """-log p(x | l) = exp(l) - l x + log(x!) of counts with the rate exp(l).

    From b = LOG_RATE_MAX on exp(l) is exp(b) (1 + l - b), whose slope is that of the last rate.
    """
    if log_rate > LOG_RATE_MAX:
        rate = math.exp(LOG_RATE_MAX) * (1.0 + (log_rate - LOG_RATE_MAX))
    else:
        rate = math.exp(log_rate)
    # 0! = 1! = 1, which most counts are
    return rate - log_rate * x + (math.lgamma(x + 1.0) if x > 1.0 else 0.0)


@device_function
def _sum_of_chunk(terms: Pointer, n: Word) -> Real:
    """The sum of n terms, 64 at most, in the fixed shape of `likelihoods`; the others are lost."""
    groups = stack(terms, 8)
    for j in range(n, 64):
        put(terms, j, cast(terms, 0.0))
    for g in range(8):
        put(groups, g, sum_eight(terms, 8 * g))
    return sum_groups(groups, 8)


@device_function
def _unit_interval(
    slope: Pointer, output: Pointer, x: Pointer, n: Word, kind: Word, scale: Real
) -> Real:
    """A block of columns in [0, 1] with logits: Bernoulli, or continuous Bernoulli."""
    terms = stack(output, 64)
    total = 0.0
    for start in range(0, n, 64):
        n_terms = min(64, n - start)
        for c in range(0, n_terms, lane_count(output)):
            logit = load_some(output, start + c, n_terms - c)
            wanted = load_some(x, start + c, n_terms - c)
            if kind == BERNOULLI:
                loss, difference = bernoulli_terms(logit, wanted)
            else:
                loss, difference = continuous_bernoulli_terms(logit, wanted)
            there, zero = wanted == wanted, constant(logit, 0.0)
            difference = select(there, difference * constant(logit, scale), zero)
            store(terms, c, select(there, loss, zero))
            store_some(slope, start + c, difference, n_terms - c)
        total += _sum_of_chunk(terms, n_terms)
    return total


@device_function
def _gaussian(
    slopes: Record, outputs: Record, x: Pointer, n: Word, model: Record, scale: Real
) -> tuple[Real, Real]:
    """A block of Gaussian columns; also the sum of the slopes with respect to one raw for all."""
    terms, raw_terms = stack(x, 64), stack(x, 64)
    sigma_min = get(float64_at(model.sigma_min), 0)
    total, raw_total = 0.0, 0.0
    for start in range(0, n, 64):
        n_terms = min(64, n - start)
        for c in range(0, n_terms, lane_count(x)):
            left = n_terms - c
            wanted = load_some(x, start + c, left)
            raw = constant(wanted, -np.inf)
            if model.n_raws == 1:
                raw = splat(get(outputs.raw, 0))
            elif model.n_raws > 1:
                raw = load_some(outputs.raw, start + c, left)
            mean = activate(load_some(outputs.output, start + c, left), model.activation)
            loss, to_mean, to_raw = gaussian_density_terms(mean, raw, wanted, sigma_min)
            there, zero = wanted == wanted, constant(wanted, 0.0)
            to_mean = to_mean * constant(wanted, scale) * activation_slope(mean, model.activation)
            to_raw = select(there, to_raw * constant(wanted, scale), zero)
            store(terms, c, select(there, loss, zero))
            store(raw_terms, c, to_raw)
            store_some(slopes.output, start + c, select(there, to_mean, zero), left)
            if model.n_raws > 1:
                store_some(slopes.raw, start + c, to_raw, left)
        total += _sum_of_chunk(terms, n_terms)
        raw_total += _sum_of_chunk(raw_terms, n_terms)
    return total, raw_total


@device_function
def _poisson(slope: Pointer, output: Pointer, x: Pointer, n: Word, scale: Real) -> Real:
    """A block of counts."""
    total = 0.0
    for c in range(n):
        count = np.float64(get(x, c))
        if count == count:
            total += poisson_loss(np.float64(get(output, c)), count)
    for c in range(0, n, lane_count(output)):
        wanted = load_some(x, c, n - c)
        difference = (bounded_rate(load_some(output, c, n - c)) - wanted) * constant(wanted, scale)
        zero = constant(wanted, 0.0)
        store_some(slope, c, select(wanted == wanted, difference, zero), n - c)
    return total


@device_function
def _softmax(out: Pointer, output: Pointer, n: Word) -> Real:
    """out = softmax(output), which may be the same place; returns the largest output.

    NaN among the outputs makes all of it NaN.
    """
    terms = stack(output, 64)
    highest = get(output, 0)
    for c in range(1, n):
        highest = max(highest, get(output, c))
    total = 0.0
    for start in range(0, n, 64):
        n_terms = min(64, n - start)
        for c in range(0, n_terms, lane_count(output)):
            logit = load_some(output, start + c, n_terms - c)
            e = functions.exp_of_negative(logit - splat(highest))
            store(terms, c, e)
            store_some(out, start + c, e, n_terms - c)
        total += _sum_of_chunk(terms, n_terms)
    inverse = splat(cast(out, 1.0 / total))
    for c in range(0, n, lane_count(out)):
        store_some(out, c, load_some(out, c, n - c) * inverse, n - c)
    return highest


@device_function
def _categorical(slope: Pointer, output: Pointer, x: Pointer, n: Word, scale: Real) -> Real:
    """A block that is one choice among n: -log p(x | l) = log sum exp(l) - sum x l, and its slope
    softmax(l) - x, for the x of which one is 1 and the others are 0.

    It is left out where any of its columns is.

    Source: Bishop (2006), "Pattern Recognition and Machine Learning", equations 4.104 to 4.109.
    """
    n_there = 0
    for c in range(n):
        n_there += get(x, c) == get(x, c)
    if n_there < n:
        for c in range(n):
            put(slope, c, cast(slope, 0.0))
        return 0.0
    highest = get(output, 0)
    for c in range(1, n):
        highest = max(highest, get(output, c))
    total, chosen = 0.0, 0.0
    for c in range(n):
        below = np.float64(get(output, c)) - np.float64(highest)
        total += math.exp(below)
        if get(x, c) != 0.0:
            chosen += np.float64(get(x, c)) * below
    _softmax(slope, output, n)
    for c in range(0, n, lane_count(slope)):
        difference = load_some(slope, c, n - c) - load_some(x, c, n - c)
        store_some(slope, c, difference * constant(difference, scale), n - c)
    return math.log(total) - chosen


@device_function
def row_likelihood(slopes: Record, outputs: Record, x: Pointer, model: Record, scale: Real) -> Real:
    """-log p(x | z) of one row in nats; slopes = scale times its derivatives.

    The slopes may be written over the outputs.

    Parameters
    ----------
    slopes, outputs : Numbers
    x : pointer
        The row of the data.
    model : ROW_LIKELIHOOD
    scale : float
    """
    total, raw_total = 0.0, 0.0
    for k in range(model.n_blocks):
        block = advance(int64_at(model.blocks), k * BLOCK_FIELDS)
        kind, first, n, first_raw = get(block, 0), get(block, 1), get(block, 2), get(block, 3)
        slope, output = advance(slopes.output, first), advance(outputs.output, first)
        wanted = advance(x, first)
        if kind == GAUSSIAN:
            raw_slope, raw = slopes.raw, outputs.raw
            if model.n_raws > 1:
                raw_slope, raw = advance(raw_slope, first_raw), advance(raw, first_raw)
            sums = _gaussian(
                Numbers(slope, raw_slope), Numbers(output, raw), wanted, n, model, scale
            )
            total += sums[0]
            raw_total += sums[1]
        elif kind == POISSON:
            total += _poisson(slope, output, wanted, n, scale)
        elif kind == CATEGORICAL:
            total += _categorical(slope, output, wanted, n, scale)
        else:
            total += _unit_interval(slope, output, wanted, n, kind, scale)
    if model.n_raws == 1:
        put(slopes.raw, 0, cast(slopes.raw, raw_total))
    return total


@device_function
def row_inputs(inputs: Pointer, x: Pointer, model: Record) -> None:
    """What the encoder takes for one row of the data: 0 for NaN, log(1 + x) for a count x.

    The former: Nazabal et al. (2020), section 3.2. The latter, since counts of thousands beside
    ones of 0 would make the first layer's outputs as unlike: Lopez, Regier, Cole, Jordan & Yosef
    (2018), "Deep generative modeling for single-cell transcriptomics", Methods.

    Parameters
    ----------
    inputs, x : pointer
    model : ROW_LIKELIHOOD
    """
    for k in range(model.n_blocks):
        block = advance(int64_at(model.blocks), k * BLOCK_FIELDS)
        kind, first, n = get(block, 0), get(block, 1), get(block, 2)
        for c in range(0, n, lane_count(x)):
            value = load_some(x, first + c, n - c)
            value = select(value == value, value, constant(value, 0.0))
            if kind == POISSON:
                value = functions.log(value + constant(value, 1.0))
            store_some(inputs, first + c, value, n - c)


@device_function
def row_means(out: Pointer, output: Pointer, model: Record) -> None:
    """out = the mean of x given z of one row; it may be written over the outputs.

    Parameters
    ----------
    out, output : pointer
    model : ROW_LIKELIHOOD
    """
    for k in range(model.n_blocks):
        block = advance(int64_at(model.blocks), k * BLOCK_FIELDS)
        kind, first, n = get(block, 0), get(block, 1), get(block, 2)
        mean, said = advance(out, first), advance(output, first)
        if kind == CATEGORICAL:
            _softmax(mean, said, n)
            continue
        for c in range(0, n, lane_count(said)):
            number = load_some(said, c, n - c)
            if kind == GAUSSIAN:
                value = activate(number, model.activation)
            elif kind == POISSON:
                value = bounded_rate(number)
            elif kind == BERNOULLI:
                value = activate(number, SIGMOID)
            else:
                value = continuous_bernoulli_mean(number)
            store_some(mean, c, value, n - c)
