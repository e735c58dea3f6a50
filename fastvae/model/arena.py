"""Arena: the weights and biases of dense layers in one array, laid out as the kernels like them.

Copies and pickles of models never carry an arena: its layout depends on the instruction set.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastvae import kernels
from fastvae.model.guards import Gate


class Arena:
    """The parameters of dense layers.

    Parameters
    ----------
    layers : sequence of (n_in, n_out, activation name)
    dtype : float32 or float64

    Attributes
    ----------
    table : ndarray of int64
        The layer table, see `kernels.layer_table`.
    values : ndarray, one-dimensional
        Zeros at first.
    gate : Gate
        Passes over rows read through it; who changes `values` writes through it.
    """

    def __init__(self, layers: Sequence[tuple[int, int, str]], dtype: np.dtype[Any] | type) -> None:
        self.table = kernels.layer_table(layers, dtype)
        self.values: NDArray[Any] = kernels.new_arena(self.table, dtype)
        self.gate = Gate()

    def read(
        self, layer: int, first: int = 0, n_out: int | None = None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Copies of the weights (n_out, n_in) and biases (n_out,) of outputs from `first` on."""
        with self.gate.reading:
            return kernels.read_dense(self.table, self.values, layer, first, n_out)

    def write(
        self, layer: int, weight: NDArray[Any] | None, bias: NDArray[Any] | None, first: int = 0
    ) -> None:
        """Store weights and biases of outputs from `first` on; None leaves a part as it is."""
        with self.gate.writing:
            kernels.write_dense(self.table, self.values, layer, weight, bias, first)
