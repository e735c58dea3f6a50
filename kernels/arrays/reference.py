"""Plain NumPy references of the kernels: same names, same signatures, same results up to rounding.

They are what the tests compare the kernels with, and the baseline of the benchmarks, so they are
written as a careful NumPy user would: everything stays in the dtype of its arguments (only the
losses per row are float64), results go straight to their outputs, scratch arrays are reused.

Letters: B batch rows, I inputs, O outputs, Z latent, N rows of a data set. Unless said otherwise
arrays are C-contiguous and share one dtype, float32 or float64. Outputs come first and are written
in place; losses are in nats. An output may be the array that it is computed from element by element
(``activation_forward(y, y, code)``).

References
----------
.. [1] D. P. Kingma and M. Welling, "Auto-Encoding Variational Bayes", arXiv:1312.6114, 2013.
.. [2] D. P. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", arXiv:1412.6980, 2015.
.. [3] T. Tieleman and G. Hinton, "Lecture 6.5: rmsprop", Coursera, 2012.
.. [4] I. Sutskever et al., "On the importance of initialization and momentum in deep learning",
       ICML 2013.
.. [5] I. Goodfellow, Y. Bengio and A. Courville, "Deep Learning", MIT Press, 2016.
.. [6] Y. Burda, R. Grosse and R. Salakhutdinov, "Importance Weighted Autoencoders", ICLR 2016.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from ..maths.activations import ACTIVATIONS, LEAKY_SLOPE
from ..maths.latent import LOG_VAR_MAX, LOG_VAR_MIN
from .reference_likelihoods import row_likelihood_loss, row_likelihood_mean
from .reference_objectives import (
    free_kl_backward,
    importance_backward,
    importance_weights,
    mean_kl,
)
from .reference_random import gather_binary, normal, normal_from, permutation, philox4x32, uniform

__all__ = [
    "activation_backward",
    "activation_forward",
    "adam_update",
    "bernoulli_loss",
    "bernoulli_loss_backward",
    "dense_backward_bias",
    "dense_backward_input",
    "dense_backward_weight",
    "dense_forward",
    "free_kl_backward",
    "gather",
    "gather_binary",
    "gaussian_loss",
    "gaussian_loss_backward",
    "importance_backward",
    "importance_ratio",
    "importance_weights",
    "kl_divergence",
    "kl_divergence_backward",
    "mean_kl",
    "normal",
    "normal_from",
    "permutation",
    "philox4x32",
    "reparameterise",
    "reparameterise_backward",
    "rmsprop_update",
    "row_likelihood_loss",
    "row_likelihood_mean",
    "sgd_update",
    "uniform",
    "weighted_sum",
]

Array = npt.NDArray[Any]

# Dense layers ------------------------------------------------------------------------------------


def dense_forward(out: Array, x: Array, weight: Array, bias: Array, activation: int) -> None:
    """Dense layer: ``out = act(x weight^T + bias)`` ([5]_ eq. 6.40 for rows).

    Parameters
    ----------
    out : (B, O)
    x : (B, I)
    weight : (O, I)
    bias : (O,)
    activation : code from `ACTIVATIONS`
    """
    np.matmul(x, weight.T, out=out)
    out += bias
    if activation != ACTIVATIONS["identity"]:
        activation_forward(out, out, activation)


def dense_backward_input(dx: Array, dy: Array, weight: Array) -> None:
    """Gradient of a dense layer to its input: ``dx = dy weight`` ([5]_ algorithm 6.4).

    Parameters
    ----------
    dx : (B, I)
    dy : (B, O), gradient to the pre-activation
    weight : (O, I)
    """
    np.matmul(dy, weight, out=dx)


def dense_backward_weight(dweight: Array, dy: Array, x: Array) -> None:
    """Gradient of a dense layer to its weight, summed over rows: ``dweight = dy^T x``.

    Parameters
    ----------
    dweight : (O, I)
    dy : (B, O), gradient to the pre-activation
    x : (B, I)
    """
    np.matmul(dy.T, x, out=dweight)


def dense_backward_bias(dbias: Array, dy: Array) -> None:
    """Gradient of a dense layer to its bias: the sum of ``dy`` over rows.

    Parameters
    ----------
    dbias : (O,)
    dy : (B, O), gradient to the pre-activation
    """
    np.sum(dy, axis=0, out=dbias)


# Activations -------------------------------------------------------------------------------------


def activation_forward(out: Array, x: Array, activation: int) -> None:
    """Element-wise activation ([5]_ sections 6.3.1 to 6.3.3); leaky ReLU has slope 0.01.

    Parameters
    ----------
    out, x : two arrays of one shape
    activation : code from `ACTIVATIONS`
    """
    if activation == ACTIVATIONS["identity"]:
        np.copyto(out, x)
    elif activation == ACTIVATIONS["relu"]:
        np.maximum(x, 0, out=out)
    elif activation == ACTIVATIONS["leaky_relu"]:
        np.maximum(x, x * LEAKY_SLOPE, out=out)
    elif activation == ACTIVATIONS["tanh"]:
        np.tanh(x, out=out)
    elif activation == ACTIVATIONS["sigmoid"]:
        np.negative(x, out=out)
        with np.errstate(over="ignore"):  # exp(-x) = inf gives the right limit, 0
            np.exp(out, out=out)
        out += 1
        np.reciprocal(out, out=out)
    else:
        positive_part = np.maximum(x, 0)
        _log1p_exp_minus_abs(out, x)
        out += positive_part


def activation_backward(dx: Array, dy: Array, y: Array, activation: int) -> None:
    """Gradient through an activation, from the activation's output ``y``: ``dx = dy act'``.

    ReLU and leaky ReLU take the left derivative at 0 ([5]_ section 6.3).

    Parameters
    ----------
    dx, dy, y : three arrays of one shape
    activation : code from `ACTIVATIONS`
    """
    if activation == ACTIVATIONS["identity"]:
        np.copyto(dx, dy)
        return
    if activation == ACTIVATIONS["relu"]:
        slope = np.sign(y)  # unlike y > 0 it passes NaN on
    elif activation == ACTIVATIONS["leaky_relu"]:
        slope = np.sign(y)
        np.maximum(slope, LEAKY_SLOPE, out=slope)
    elif activation == ACTIVATIONS["tanh"]:
        slope = np.square(y)
        np.subtract(1, slope, out=slope)
    elif activation == ACTIVATIONS["sigmoid"]:
        slope = 1 - y
        slope *= y
    else:  # softplus: its derivative is sigmoid(x) = 1 - exp(-y)
        slope = -y
        np.expm1(slope, out=slope)
        np.negative(slope, out=slope)
    np.multiply(dy, slope, out=dx)


def _log1p_exp_minus_abs(out: Array, x: Array) -> None:
    """``out = log(1 + exp(-|x|))``, the part of softplus that never overflows."""
    np.abs(x, out=out)
    np.negative(out, out=out)
    np.exp(out, out=out)
    np.log1p(out, out=out)


# Latent ------------------------------------------------------------------------------------------


def reparameterise(z: Array, mean: Array, log_var: Array, noise: Array) -> None:
    """Draw a latent: ``z = mean + exp(log_var / 2) noise`` ([1]_ section 2.4, eq. 10).

    ``log_var`` is clipped to [`LOG_VAR_MIN`, `LOG_VAR_MAX`] first.

    Parameters
    ----------
    z, mean, log_var, noise : (B, Z); noise from N(0, I)
    """
    std = _standard_deviation(log_var)
    std *= noise
    np.add(mean, std, out=z)


def reparameterise_backward(
    dmean: Array, dlog_var: Array, dz: Array, log_var: Array, noise: Array
) -> None:
    """Gradient of `reparameterise`: ``dmean = dz``, ``dlog_var = dz noise exp(log_var / 2) / 2``.

    ``dlog_var`` is 0 where ``log_var`` was clipped. Both are stored, not added.

    Parameters
    ----------
    dmean, dlog_var, dz, log_var, noise : (B, Z)
    """
    std = _standard_deviation(log_var)
    std *= noise
    std *= 0.5
    np.multiply(dz, std, out=dlog_var)
    np.copyto(dlog_var, 0, where=_is_clipped(log_var))
    np.copyto(dmean, dz)


def kl_divergence(kl: Array, mean: Array, log_var: Array) -> None:
    """KL divergence of N(mean, exp(log_var)) from N(0, I), per row, in nats.

    ``kl = sum(exp(v) + mean^2 - 1 - v) / 2``, v = ``log_var`` ([1]_ appendix B). Beyond a bound b
    a latent's term goes on along its tangent: ``exp(b) + mean^2 - 1 - b + (exp(b) - 1) (v - b)``.

    Parameters
    ----------
    kl : (B,) float64
    mean, log_var : (B, Z)
    """
    clipped = np.clip(log_var, LOG_VAR_MIN, LOG_VAR_MAX)
    terms = np.exp(clipped)
    slope = terms - 1
    terms -= clipped
    terms -= 1
    np.subtract(log_var, clipped, out=clipped)
    clipped *= slope
    terms += clipped
    np.square(mean, out=clipped)
    terms += clipped
    np.sum(terms, axis=1, dtype=np.float64, out=kl)
    kl *= 0.5


def kl_divergence_backward(
    dmean: Array, dlog_var: Array, mean: Array, log_var: Array, scale: float
) -> None:
    """Add ``scale`` times the gradient of `kl_divergence` to ``dmean`` and ``dlog_var``.

    The gradients are ``mean`` and ``(exp(v) - 1) / 2``, v the clipped ``log_var`` (derivative of
    [1]_ appendix B): constant beyond the bounds, where it pushes ``log_var`` back.

    Parameters
    ----------
    dmean, dlog_var, mean, log_var : (B, Z)
    scale : float
    """
    terms = np.multiply(mean, float(scale))
    dmean += terms
    np.clip(log_var, LOG_VAR_MIN, LOG_VAR_MAX, out=terms)
    np.exp(terms, out=terms)
    terms -= 1
    terms *= 0.5 * float(scale)
    dlog_var += terms


def importance_ratio(ratio: Array, z: Array, log_var: Array, noise: Array) -> None:
    """``log p(z) - log q(z | x)`` per row, of ``z = mean + exp(log_var / 2) noise`` ([6]_ eq. 8).

    ``ratio = sum(noise^2 + v - z^2) / 2``, v the clipped ``log_var``, in float64.

    Parameters
    ----------
    ratio : (B,) float64
    z, log_var, noise : (B, Z)
    """
    terms = np.clip(log_var, LOG_VAR_MIN, LOG_VAR_MAX).astype(np.float64)
    terms += np.square(noise, dtype=np.float64)
    terms -= np.square(z, dtype=np.float64)
    np.sum(terms, axis=1, out=ratio)
    ratio *= 0.5


def _standard_deviation(log_var: Array) -> Array:
    """``exp(log_var / 2)`` of the clipped ``log_var``, in a new array."""
    std = np.clip(log_var, LOG_VAR_MIN, LOG_VAR_MAX)
    std *= 0.5
    np.exp(std, out=std)
    return std


def _is_clipped(log_var: Array) -> npt.NDArray[np.bool_]:
    """Where ``log_var`` lies outside its bounds; NaN does not, so that it shows in the result."""
    return (log_var < LOG_VAR_MIN) | (log_var > LOG_VAR_MAX)


# Reconstruction losses ---------------------------------------------------------------------------


def bernoulli_loss(loss: Array, logits: Array, x: Array) -> None:
    """Negative Bernoulli log likelihood per row, in nats, from logits ([1]_ appendix C.1).

    ``loss = sum(max(l, 0) - l x + log(1 + exp(-|l|)))``: no overflow, no ``log(0)``.

    Parameters
    ----------
    loss : (B,) float64
    logits : (B, I)
    x : (B, I), in [0, 1]
    """
    terms = np.empty_like(logits)
    _log1p_exp_minus_abs(terms, logits)
    scratch = np.maximum(logits, 0)
    terms += scratch
    np.multiply(logits, x, out=scratch)
    terms -= scratch
    np.sum(terms, axis=1, dtype=np.float64, out=loss)


def bernoulli_loss_backward(dlogits: Array, logits: Array, x: Array, scale: float) -> None:
    """Gradient of `bernoulli_loss`: ``dlogits = scale (sigmoid(logits) - x)``.

    Parameters
    ----------
    dlogits, logits, x : (B, I)
    scale : float
    """
    activation_forward(dlogits, logits, ACTIVATIONS["sigmoid"])
    dlogits -= x
    dlogits *= float(scale)


def gaussian_loss(loss: Array, x_hat: Array, x: Array) -> None:
    """Squared error per row, ``loss = ||x - x_hat||^2``.

    With factor 1 / (2 sigma^2) it is the Gaussian negative log likelihood ([1]_ appendix C.2)
    without its constants, in nats.

    Parameters
    ----------
    loss : (B,) float64
    x_hat, x : (B, I)
    """
    terms = np.subtract(x_hat, x)
    np.square(terms, out=terms)
    np.sum(terms, axis=1, dtype=np.float64, out=loss)


def gaussian_loss_backward(dx_hat: Array, x_hat: Array, x: Array, scale: float) -> None:
    """Gradient of `gaussian_loss`: ``dx_hat = 2 scale (x_hat - x)``.

    Parameters
    ----------
    dx_hat, x_hat, x : (B, I)
    scale : float
    """
    np.subtract(x_hat, x, out=dx_hat)
    dx_hat *= 2 * float(scale)


# Optimisers --------------------------------------------------------------------------------------


def sgd_update(
    param: Array, grad: Array, velocity: Array, learning_rate: float, momentum: float
) -> None:
    """Gradient descent with momentum ([4]_ section 2, with the rate outside the velocity).

    ``velocity = momentum velocity + grad``, ``param -= learning_rate velocity``.

    Parameters
    ----------
    param, grad, velocity : (n,)
    learning_rate, momentum : float
    """
    velocity *= float(momentum)
    velocity += grad
    param -= velocity * float(learning_rate)


def rmsprop_update(
    param: Array, grad: Array, square: Array, learning_rate: float, decay: float, eps: float
) -> None:
    """RMSprop [3]_: ``param -= learning_rate grad / (sqrt(square) + eps)``.

    ``square = decay square + (1 - decay) grad^2`` comes first.

    Parameters
    ----------
    param, grad, square : (n,)
    learning_rate, decay, eps : float
    """
    scratch = np.square(grad)
    scratch *= 1 - float(decay)
    square *= float(decay)
    square += scratch
    np.sqrt(square, out=scratch)
    scratch += float(eps)
    np.divide(grad, scratch, out=scratch)
    scratch *= float(learning_rate)
    param -= scratch


def adam_update(
    param: Array,
    grad: Array,
    moment1: Array,
    moment2: Array,
    step: int,
    learning_rate: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> None:
    """Adam ([2]_ algorithm 1), bias correction and the place of ``eps`` as there.

    Parameters
    ----------
    param, grad, moment1, moment2 : (n,)
    step : int, counts from 1
    learning_rate, beta1, beta2, eps : float
    """
    scratch = np.multiply(grad, 1 - float(beta1))
    moment1 *= float(beta1)
    moment1 += scratch
    np.square(grad, out=scratch)
    scratch *= 1 - float(beta2)
    moment2 *= float(beta2)
    moment2 += scratch
    np.multiply(moment2, 1 / (1 - float(beta2) ** step), out=scratch)
    np.sqrt(scratch, out=scratch)
    scratch += float(eps)
    np.divide(moment1, scratch, out=scratch)
    scratch *= float(learning_rate) / (1 - float(beta1) ** step)
    param -= scratch


def weighted_sum(out: Array, a: Array, b: Array, weight_a: float, weight_b: float) -> None:
    """``out = weight_a a + weight_b b``.

    Parameters
    ----------
    out, a, b : (n,)
    weight_a, weight_b : float
    """
    np.add(a * a.dtype.type(weight_a), b * b.dtype.type(weight_b), out=out)


# Rows of a data set ------------------------------------------------------------------------------


def gather(out: Array, data: Array, index: Array) -> None:
    """Copy the rows ``data[index]``; ``uint8`` means pixels, read as value / 255.

    Parameters
    ----------
    out : (B, I) float32 or float64
    data : (N, I) uint8, float32 or float64, any strides
    index : (B,) int64
    """
    out[...] = data[index]
    if data.dtype == np.uint8:
        out /= 255
