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
    n, n_raws = x.shape[1], outputs[1].shape[1]
    for b in prange(x.shape[0]):
        row, raws = np.int64(b), np.int64(b if len(outputs[1]) > 1 else 0)
        slope, raw_slope = pointer(slopes[0]), pointer(slopes[1])
        loss[b] = row_likelihood(
            Numbers(advance(slope, row * n), advance(raw_slope, row * n_raws)),
            Numbers(
                advance(pointer(outputs[0]), row * n), advance(pointer(outputs[1]), raws * n_raws)
            ),
            advance(pointer(x), row * n), models[0], scale,
        )  # fmt: skip


@parallel_kernel
def _mean(mean: Record, output: Record, models: Record) -> None:
    n = mean.shape[1]
    for b in prange(mean.shape[0]):
        at = np.int64(b) * n
        row_means(advance(pointer(mean), at), advance(pointer(output), at), models[0])


def row_likelihood_loss(
    loss: np.ndarray, doutput: np.ndarray, draw: np.ndarray, output: np.ndarray, raw: np.ndarray,
    x: np.ndarray, blocks: np.ndarray, sigma_min: float, scale: float,
) -> None:  # fmt: skip
    """-log p(x | output, raw) per row in nats, and scale times its gradients.

    A column costs, with its output l and x not NaN, which costs 0:

    - bernoulli: max(l, 0) - l x + log(1 + exp(-|l|)), as `bernoulli_loss`;
    - gaussian: log(2 pi sigma^2) / 2 + (x - l)^2 / (2 sigma^2), sigma = sigma_min + exp(raw)
      (Rybkin et al. 2021, "Simple and effective VAE training with calibrated decoders", eq. 3);
    - continuous_bernoulli: log((exp(l) - 1) / l) - l x (Loaiza-Ganem & Cunningham 2019, "The
      continuous Bernoulli", eq. 7 to 9, for logits);
    - poisson: exp(l) - l x + log(x!), from l = 30 on along its tangent there;
    - categorical: a block costs log(sum exp(l)) - sum x l, or 0 where any x of it is NaN.

    Parameters
    ----------
    loss : ndarray of float64, shape (B,)
        Written.
    doutput : ndarray, shape (B, I)
        Written.
    draw : ndarray, shape (B, 0), (B, 1) or (B, G)
        Written.
    output : ndarray, shape (B, I)
    raw : ndarray, shape (1 or B, 0), (1 or B, 1) or (1 or B, G)
        For all Gaussian columns or for each, for all rows or for each; none where sigma is
        sigma_min.
    x : ndarray, shape (B, I)
    blocks : ndarray of int64, shape (K, 4)
        Code of `BLOCK_KINDS`, first column, columns, and Gaussian columns before it, of each block.
    sigma_min : float
    scale : float
    """
    *arrays, blocks = checked(
        "B:float64 BI BG BI RG BI K4:int64", 3, loss=loss, doutput=doutput, draw=draw,
        output=output, raw=raw, x=x, blocks=blocks,
    )  # fmt: skip
    loss, doutput, draw, output, raw, x = arrays
    _check_blocks(blocks, x.shape[1])
    n_gaussian = int(blocks[blocks[:, 0] == GAUSSIAN, 2].sum())
    if raw.shape[1] not in (0, 1, n_gaussian):
        raise ValueError(f"raw must have 0, 1 or {n_gaussian} columns; got {raw.shape[1]}")
    if len(raw) not in (1, len(x)):
        raise ValueError(f"raw must have 1 or {len(x)} rows; got {len(raw)}")
    least = np.array([number_between(sigma_min, "sigma_min", 0.0)])
    models = new_row_likelihood(blocks, raw.shape[1], least)
    launch(_loss, loss, (doutput, draw), (output, raw), x, models, real_number(scale, "scale"))


def row_likelihood_mean(mean: np.ndarray, output: np.ndarray, blocks: np.ndarray) -> None:
    """The mean of x of each column, with its output l.

    bernoulli: sigmoid(l); gaussian: l; continuous_bernoulli: 1 / (1 - exp(-l)) - 1 / l, 1/2 for
    l = 0 (Loaiza-Ganem & Cunningham 2019, eq. 8); poisson: exp(min(l, 30)); categorical: the
    softmax of its block.

    Parameters
    ----------
    mean : ndarray, shape (B, I)
        Written.
    output : ndarray, shape (B, I)
    blocks : ndarray of int64, shape (K, 4)
        As for `row_likelihood_loss`.
    """
    mean, output, blocks = checked("BI BI K4:int64", 1, mean=mean, output=output, blocks=blocks)
    _check_blocks(blocks, mean.shape[1])
    launch(_mean, mean, output, new_row_likelihood(blocks, 0, np.zeros(1)))


def _check_blocks(blocks: np.ndarray, n_columns: int) -> None:
    """Raise a ValueError unless blocks take all columns, one after the other."""
    kinds = [(int(kind), int(n)) for kind, _, n, _ in blocks.tolist()]
    whole = all(kind in BLOCK_KINDS.values() and n > 0 for kind, n in kinds)
    if not whole or sum(n for _, n in kinds) != n_columns or (blocks != blocks_of(kinds)).any():
        raise ValueError(
            f"blocks must be known kinds of columns that make {n_columns}, one block after the "
            f"other; got {blocks.tolist()}"
        )
