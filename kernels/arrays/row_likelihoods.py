"""Likelihoods of rows made of blocks of columns. B rows, I columns, G Gaussian ones, K blocks."""

import numpy as np
from numba import prange

from ..machine.compilation import parallel_kernel
from ..machine.kinds import Real, Record
from ..machine.launching import launch
from ..machine.memory import advance, pointer
from ..maths.row_likelihoods import (
    BLOCK_KINDS,
    GAUSSIAN,
    Numbers,
    blocks_of,
    new_row_likelihood,
    row_likelihood,
    row_means,
)
from .arguments import checked, number_between, real_number


@parallel_kernel
def _loss(
    loss: Record, slopes: tuple[Record, Record], outputs: tuple[Record, Record], x: Record,
    models: Record, scale: Real,
) -> None:  # fmt: skip
    n = x.shape[1]
    for b in prange(x.shape[0]):
        at = np.int64(b) * n
        slope = Numbers(advance(pointer(slopes[0]), at), advance(pointer(slopes[1]), at))
        output = Numbers(advance(pointer(outputs[0]), at), advance(pointer(outputs[1]), at))
        loss[b] = row_likelihood(slope, output, advance(pointer(x), at), models[0], scale)


@parallel_kernel
def _mean(mean: Record, output: Record, models: Record) -> None:
    n = mean.shape[1]
    for b in prange(mean.shape[0]):
        at = np.int64(b) * n
        row_means(advance(pointer(mean), at), advance(pointer(output), at), models[0])


def row_likelihood_loss(
    loss: np.ndarray, doutput: np.ndarray, draw: np.ndarray, output: np.ndarray, raw: np.ndarray,
    x: np.ndarray, kinds: np.ndarray, sigma_min: float, scale: float,
) -> None:  # fmt: skip
    """-log p(x | output, raw) per row in nats, and scale times its gradients.

    A column costs, with its output l and x not NaN, which costs 0:

    - bernoulli: max(l, 0) - l x + log(1 + exp(-|l|)), as `bernoulli_loss`;
    - gaussian: log(2 pi sigma^2) / 2 + (x - l)^2 / (2 sigma^2), sigma = sigma_min + exp(raw)
      (Rybkin et al. 2021, "Simple and effective VAE training with calibrated decoders", section 3);
    - continuous_bernoulli: log((exp(l) - 1) / l) - l x (Loaiza-Ganem & Cunningham 2019, "The
      continuous Bernoulli", eq. 8, for logits);
    - poisson: exp(l) - l x + log(x!), from l = 30 on along its tangent there;
    - categorical: a block costs log(sum exp(l)) - sum x l, or 0 where any x of it is NaN.

    Parameters
    ----------
    loss : ndarray of float64, shape (B,)
        Written.
    doutput, draw : ndarray, shape (B, I)
        Written; draw is 0 where a column is not Gaussian.
    output : ndarray, shape (B, I)
    raw : ndarray, shape (B, I)
        Of Gaussian columns, others are not looked at; -inf for a sigma of sigma_min.
    x : ndarray, shape (B, I)
    kinds : ndarray of int64, shape (K, 2)
        Code of `BLOCK_KINDS` and columns of each block, in the order of the columns.
    sigma_min : float
    scale : float
    """
    *arrays, kinds = checked(
        "B:float64 BI BI BI BI BI K2:int64", 3, loss=loss, doutput=doutput, draw=draw,
        output=output, raw=raw, x=x, kinds=kinds,
    )  # fmt: skip
    loss, doutput, draw, output, raw, x = arrays
    blocks = _blocks(kinds, x.shape[1])
    sigma = np.array([number_between(sigma_min, "sigma_min", 0.0)])
    models = new_row_likelihood(blocks, x.shape[1], sigma)
    launch(_loss, loss, (doutput, draw), (output, raw), x, models, real_number(scale, "scale"))
    for kind, first, n, _ in blocks.tolist():
        if kind != GAUSSIAN:
            draw[:, first : first + n] = 0.0


def row_likelihood_mean(mean: np.ndarray, output: np.ndarray, kinds: np.ndarray) -> None:
    """The mean of x of each column, with its output l.

    bernoulli: sigmoid(l); gaussian: l; continuous_bernoulli: 1 / (1 - exp(-l)) - 1 / l, 1/2 for
    l = 0 (Loaiza-Ganem & Cunningham 2019, section 3); poisson: exp(min(l, 30)); categorical: the
    softmax of its block.

    Parameters
    ----------
    mean : ndarray, shape (B, I)
        Written.
    output : ndarray, shape (B, I)
    kinds : ndarray of int64, shape (K, 2)
        As for `row_likelihood_loss`.
    """
    mean, output, kinds = checked("BI BI K2:int64", 1, mean=mean, output=output, kinds=kinds)
    blocks = _blocks(kinds, mean.shape[1])
    launch(_mean, mean, output, new_row_likelihood(blocks, 0, np.zeros(1)))


def _blocks(kinds: np.ndarray, n_columns: int) -> np.ndarray:
    """Blocks that have a raw for every column; a ValueError unless they take all columns."""
    pairs = [(int(kind), int(n)) for kind, n in kinds.tolist()]
    whole = all(kind in BLOCK_KINDS.values() and n >= 0 for kind, n in pairs)
    if not whole or sum(n for _, n in pairs) != n_columns:
        raise ValueError(
            f"kinds must be codes of BLOCK_KINDS and columns that make {n_columns}; got {pairs}"
        )
    blocks = blocks_of([(kind, n) for kind, n in pairs if n > 0])
    blocks[:, 3] = blocks[:, 1]
    return blocks
