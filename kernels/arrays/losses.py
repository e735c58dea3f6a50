"""Reconstruction losses per row, in nats, and their gradients. B rows, I features."""

import numpy as np
from numba import prange

from ..machine.compilation import parallel_kernel
from ..machine.kinds import Real, Record, Word
from ..machine.launching import launch
from ..machine.memory import advance, pointer
from ..maths.likelihoods import BERNOULLI, GAUSSIAN, row_loss, row_loss_backward
from .arguments import checked, real_number


@parallel_kernel
def _loss(loss: Record, output: Record, x: Record, likelihood: Word) -> None:
    n = x.shape[1]
    for b in prange(x.shape[0]):
        at = np.int64(b) * n
        loss[b] = row_loss(advance(pointer(output), at), advance(pointer(x), at), n, likelihood)


@parallel_kernel
def _loss_backward(slope: Record, output: Record, x: Record, scale: Real, likelihood: Word) -> None:
    n = x.shape[1]
    for b in prange(x.shape[0]):
        at = np.int64(b) * n
        outputs, wanted = advance(pointer(output), at), advance(pointer(x), at)
        row_loss_backward(advance(pointer(slope), at), outputs, wanted, n, likelihood, scale)


def bernoulli_loss(loss: np.ndarray, logits: np.ndarray, x: np.ndarray) -> None:
    """-log p(x | logits) per row in nats: sum of max(l, 0) - l x + log(1 + exp(-|l|)).

    Source: Kingma & Welling (2014), appendix C.1, written for logits so that nothing
    overflows and no probability is clipped.

    Parameters
    ----------
    loss : ndarray of float64, shape (B,)
        Written.
    logits, x : ndarray, shape (B, I), float32 or float64
        x in [0, 1]: grey pixels count as probabilities.
    """
    launch(_loss, *checked("B:float64 BI BI", 1, loss=loss, logits=logits, x=x), BERNOULLI)


def bernoulli_loss_backward(
    dlogits: np.ndarray, logits: np.ndarray, x: np.ndarray, scale: float
) -> None:
    """dlogits = scale (sigmoid(logits) - x).

    Parameters
    ----------
    dlogits : ndarray, shape (B, I)
        Written.
    logits, x : ndarray, shape (B, I)
    scale : float
    """
    arrays = checked("BI BI BI", 1, dlogits=dlogits, logits=logits, x=x)
    launch(_loss_backward, *arrays, real_number(scale, "scale"), BERNOULLI)


def gaussian_loss(loss: np.ndarray, x_hat: np.ndarray, x: np.ndarray) -> None:
    """||x - x_hat||^2 per row.

    -log N(x; x_hat, sigma^2 I) is this times 1 / (2 sigma^2), and a constant (Kingma & Welling
    2013, appendix C.2).

    Parameters
    ----------
    loss : ndarray of float64, shape (B,)
        Written.
    x_hat, x : ndarray, shape (B, I), float32 or float64
    """
    launch(_loss, *checked("B:float64 BI BI", 1, loss=loss, x_hat=x_hat, x=x), GAUSSIAN)


def gaussian_loss_backward(
    dx_hat: np.ndarray, x_hat: np.ndarray, x: np.ndarray, scale: float
) -> None:
    """dx_hat = 2 scale (x_hat - x).

    Parameters
    ----------
    dx_hat : ndarray, shape (B, I)
        Written.
    x_hat, x : ndarray, shape (B, I)
    scale : float
    """
    arrays = checked("BI BI BI", 1, dx_hat=dx_hat, x_hat=x_hat, x=x)
    launch(_loss_backward, *arrays, real_number(scale, "scale"), GAUSSIAN)
