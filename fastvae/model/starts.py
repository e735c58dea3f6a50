"""How a model's outputs start: at what the data are in the mean, on the scale of the likelihood.

Only what nobody assigned, loaded or trained: an output bias of 0, raws of sigma of 0.
"""

import math

import numpy as np
from numpy.typing import NDArray

from fastvae import kernels
from fastvae.data.labelled import Checked
from fastvae.distributed.parts import WHOLE, Parts
from fastvae.model.kinds import KINDS
from fastvae.model.layers import Dense
from fastvae.model.likelihood import BERNOULLI
from fastvae.model.network import Network

_OUTPUT_MEANS = (0.001, 0.999)


def start(
    output: Dense,
    network: Network,
    rows: Checked,
    binarize: str | None,
    parts: Parts = WHOLE,
) -> None:
    """Start the last layer, and sigma, as the likelihood has it; a purely Gaussian one stays."""
    if network.likelihood.by_rows:
        start_rows(output, network, rows, binarize, parts)
    elif network.likelihood.name == BERNOULLI:
        start_bernoulli(output, network, rows, binarize, parts)


def start_bernoulli(
    output: Dense,
    network: Network,
    rows: Checked,
    binarize: str | None,
    parts: Parts = WHOLE,
) -> None:
    """Set the output bias to the logit of the rows' mean, which is clipped to [0.001, 0.999]."""
    if not output.bias.any():
        mean = np.clip(network.column_means(rows, binarize, parts), *_OUTPUT_MEANS)
        # NumPy's own log has other bits on processors with AVX-512.
        output.bias = [math.log(odds) for odds in (mean / (1 - mean)).tolist()]


def start_rows(
    output: Dense,
    network: Network,
    rows: Checked,
    binarize: str | None,
    parts: Parts = WHOLE,
) -> None:
    """Set the output bias to what has the mean of the rows, and sigma to their deviation.

    A column without any value keeps 0. Raws of sigma in the last layer are among its biases. The
    bias of Gaussian columns with another output activation than identity stays 0.
    """
    raws = network.raws
    if output.bias.any() or (raws is not None and raws.any()):
        return
    means, variances = network.column_moments(rows, binarize, parts)
    kinds = [kind for kind, n in network.likelihood.kinds(network.n_features) for _ in range(n)]
    bias = np.zeros(output.n_out)
    for column, (kind, mean) in enumerate(zip(kinds, means.tolist(), strict=True)):
        linear = kind != "gaussian" or output.activation == "identity"
        if linear and not math.isnan(mean):
            bias[column] = KINDS[kind].start(mean)
    common, each = _raws(variances[np.array(kinds) == "gaussian"])
    bias[network.n_features :] = each[: output.n_out - network.n_features]
    output.bias = bias
    if raws is not None:
        network.raws = np.array([common] if len(raws) == 1 else each, network.dtype)


def _raws(variances: NDArray[np.float64]) -> tuple[float, list[float]]:
    """The raw whose sigma is the deviation of all Gaussian columns together, and that of each.

    A column's sigma starts at a tenth of the common one at least: where a column is constant, the
    decoder, which is random at first, is not. Where all are constant, raws stay 0.
    """
    known = variances[np.isfinite(variances)]
    together = math.sqrt(known.mean()) if known.size else 0.0
    if together == 0.0:
        return 0.0, [0.0] * len(variances)
    deviations = np.sqrt(np.where(np.isfinite(variances), variances, together**2))
    return _raw(together), [_raw(deviation) for deviation in np.maximum(deviations, together / 10)]


def _raw(deviation: float) -> float:
    """The raw whose sigma is a deviation, or twice the least sigma where that is larger."""
    return math.log(max(deviation - kernels.SIGMA_MIN, kernels.SIGMA_MIN))
