"""Numba kernels of a variational autoencoder: arrays in, arrays out.

Outputs come first and are written in place; arrays are C-contiguous and of one dtype, float32
or float64. Each kernel has a NumPy reference of the same name and signature in `arrays.reference`.

Arguments are checked before anything is written: a TypeError or ValueError names the argument, what
it must be and what was given. An output may be an input, as the same array, where a kernel works
element by element; it may not in dense layers and `gather`.
"""

from . import machine as _machine  # noqa: F401  first: it sees to what Numba is told at its import
from .arrays import reference
from .arrays.activations import activation_backward, activation_forward
from .arrays.binary import gather_binary
from .arrays.dense import (
    dense_backward_bias,
    dense_backward_input,
    dense_backward_weight,
    dense_forward,
)
from .arrays.gather import gather
from .arrays.importance import importance_ratio
from .arrays.latent import (
    kl_divergence,
    kl_divergence_backward,
    reparameterise,
    reparameterise_backward,
)
from .arrays.losses import (
    bernoulli_loss,
    bernoulli_loss_backward,
    gaussian_loss,
    gaussian_loss_backward,
)
from .arrays.objectives import (
    free_kl_backward,
    importance_backward,
    importance_weights,
    mean_kl,
)
from .arrays.optimizers import adam_update, rmsprop_update, sgd_update
from .arrays.random import normal, normal_from, permutation, philox4x32, uniform
from .arrays.row_likelihoods import row_likelihood_loss, row_likelihood_mean
from .arrays.sums import weighted_sum
from .arrays.warmup import is_compiled, warmup
from .machine.compilation import cache_folder
from .machine.isa import isa
from .machine.layers import threading_layer
from .machine.threads import get_num_threads, max_threads, set_num_threads
from .maths.activations import ACTIVATIONS
from .maths.binary import BINARIZATIONS
from .maths.latent import LOG_VAR_MAX, LOG_VAR_MIN
from .maths.likelihoods import LIKELIHOODS
from .maths.objectives import OBJECTIVES
from .maths.optimizers import OPTIMIZERS
from .maths.philox import (
    STREAM_BLOCKS,
    STREAM_DATASET,
    STREAM_DIGITS,
    STREAM_EVALUATION,
    STREAM_FORWARD,
    STREAM_IMPORTANCE,
    STREAM_NOISE,
    STREAM_ORDER,
    STREAM_POSTERIOR,
    STREAM_PRIOR,
    STREAM_WEIGHTS,
)
from .maths.row_likelihoods import BLOCK_KINDS, SIGMA_MIN

__all__ = [
    "ACTIVATIONS",
    "BINARIZATIONS",
    "BLOCK_KINDS",
    "LIKELIHOODS",
    "LOG_VAR_MAX",
    "LOG_VAR_MIN",
    "OBJECTIVES",
    "OPTIMIZERS",
    "SIGMA_MIN",
    "STREAM_BLOCKS",
    "STREAM_DATASET",
    "STREAM_DIGITS",
    "STREAM_EVALUATION",
    "STREAM_FORWARD",
    "STREAM_IMPORTANCE",
    "STREAM_NOISE",
    "STREAM_ORDER",
    "STREAM_POSTERIOR",
    "STREAM_PRIOR",
    "STREAM_WEIGHTS",
    "activation_backward",
    "activation_forward",
    "adam_update",
    "bernoulli_loss",
    "bernoulli_loss_backward",
    "cache_folder",
    "dense_backward_bias",
    "dense_backward_input",
    "dense_backward_weight",
    "dense_forward",
    "free_kl_backward",
    "gather",
    "gather_binary",
    "gaussian_loss",
    "gaussian_loss_backward",
    "get_num_threads",
    "importance_backward",
    "importance_ratio",
    "importance_weights",
    "is_compiled",
    "isa",
    "kl_divergence",
    "kl_divergence_backward",
    "max_threads",
    "mean_kl",
    "normal",
    "normal_from",
    "permutation",
    "philox4x32",
    "reference",
    "reparameterise",
    "reparameterise_backward",
    "rmsprop_update",
    "row_likelihood_loss",
    "row_likelihood_mean",
    "set_num_threads",
    "sgd_update",
    "threading_layer",
    "uniform",
    "warmup",
    "weighted_sum",
]


def __dir__() -> list[str]:
    return sorted(__all__)
