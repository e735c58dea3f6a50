"""Programs: the passes of a network as tables of parallel regions.

A row of a program is one region: its kind, the layer's numbers, and where the matrices that it
reads and writes lie in the workspace. `run_region` executes a row, so that every architecture
and every pass (training, encoding, decoding, evaluation) runs through the same machine code.
"""

from __future__ import annotations

import numpy as np

from .layout import (
    ACTIVATION,
    ACTIVE,
    BIAS,
    INPUT,
    LATENT,
    LATENT_GRADIENT,
    LOSS,
    N_IN,
    N_OUT,
    NOISE,
    OFFSET,
    PACKED,
    PANEL,
    STRIDE,
    WEIGHT,
)

# Kinds of regions.
(
    GATHER,
    FORWARD,
    DRAW,
    OUTPUT,
    ROW_LOSSES,
    BACKWARD_INPUT,
    BACKWARD_LATENT,
    PACK,
    BACKWARD_WEIGHT,
    SQUARE_SUMS,
    UPDATE,
) = range(11)

# Columns of a program. A matrix has two: its offset, and its row stride in the next column.
KIND, ROW_WEIGHT, ROW_BIAS, INPUTS, OUTPUTS, FUNCTION, FIRST_LAYER = range(7)
X, Y, AUX, EXTRA = 7, 9, 11, 13
COLUMNS = 15
OUT_PLACE = slice(Y, Y + 2)
"""Where a forward row says where its output goes."""


class Program:
    """Builds the regions of a network's passes.

    Parameters
    ----------
    table : ndarray of int64, shape (n_layers, 6)
        The layer table.
    n_encoder : int
        Layers before the head.
    places : ndarray of int64, shape (n_places, 2)
        Offset and row stride of each workspace matrix.
    """

    def __init__(self, table: np.ndarray, n_encoder: int, places: np.ndarray) -> None:
        self.table = table
        self.n_encoder = n_encoder
        self.places = places

    def gather(self, place: int, n_columns: int) -> np.ndarray:
        """Rows of the data into a matrix."""
        row = self._row(GATHER, Y=place)
        row[INPUTS] = n_columns
        row[FIRST_LAYER] = place == INPUT
        return row

    def forward(self, layer: int) -> np.ndarray:
        """A layer's output."""
        return self._row(FORWARD, layer, X=self._input_of(layer), Y=ACTIVE + layer)

    def draw(self) -> np.ndarray:
        """The latent from the head, and each row's KL."""
        head = self.n_encoder
        return self._row(DRAW, head, X=ACTIVE + head, Y=LATENT, AUX=NOISE)

    def output(self) -> list[np.ndarray]:
        """The last layer, its loss and the gradient of its pre-activations; each row's loss."""
        last = len(self.table) - 1
        places = {"X": self._input_of(last), "Y": self._delta(last), "AUX": INPUT, "EXTRA": LOSS}
        return [self._row(OUTPUT, last, **places), self._row(ROW_LOSSES, EXTRA=LOSS)]

    def backward_input(self, layer: int) -> np.ndarray:
        """The gradient of a layer's input, through the activation of the layer below."""
        below = layer - 1
        to_latent = layer == self.n_encoder + 1
        row = self._row(
            BACKWARD_INPUT,
            layer,
            X=self._delta(layer),
            Y=LATENT_GRADIENT if to_latent else self._delta(below),
            AUX=self._input_of(layer),
            EXTRA=PANEL,
        )
        row[FUNCTION] = 0 if to_latent else self.table[below, ACTIVATION]
        return row

    def backward_latent(self) -> np.ndarray:
        """The gradient of the head from that of the latent and from the KL."""
        head = self.n_encoder
        return self._row(
            BACKWARD_LATENT,
            head,
            X=ACTIVE + head,
            Y=self._delta(head),
            AUX=NOISE,
            EXTRA=LATENT_GRADIENT,
        )

    def backward_weight(self, layer: int) -> list[np.ndarray]:
        """The gradient of a layer's weights and biases, stored or applied; first its input is
        packed."""
        pack = self._row(PACK, layer, X=self._input_of(layer), Y=PACKED)
        return [pack, self._row(BACKWARD_WEIGHT, layer, Y=PACKED, AUX=self._delta(layer))]

    def encoding(self) -> np.ndarray:
        """From the data to the head."""
        rows = [self.gather(INPUT, int(self.table[0, N_IN]))]
        return np.array(rows + [self.forward(layer) for layer in range(self.n_encoder + 1)])

    def decoding(self) -> np.ndarray:
        """From the latent to the means."""
        return np.array([self.forward(i) for i in range(self.n_encoder + 1, len(self.table))])

    def losses(self) -> np.ndarray:
        """From the head to each row's reconstruction and KL, by one draw of the latent."""
        hidden = [self.forward(i) for i in range(self.n_encoder + 1, len(self.table) - 1)]
        return np.array([self.draw(), *hidden, *self.output()])

    def training(self) -> np.ndarray:
        """One batch: forward, then backward with each layer's input before its weights."""
        rows = []
        for layer in range(len(self.table) - 1, -1, -1):
            if layer == self.n_encoder:
                rows.append(self.backward_latent())
            if layer > 0:
                rows.append(self.backward_input(layer))
            rows += self.backward_weight(layer)
        return np.concatenate([self.encoding(), self.losses(), np.array(rows)])

    def _input_of(self, layer: int) -> int:
        if layer == 0:
            return INPUT
        return LATENT if layer == self.n_encoder + 1 else ACTIVE + layer - 1

    def _delta(self, layer: int) -> int:
        return ACTIVE + len(self.table) + layer

    def _row(self, kind: int, layer: int | None = None, **matrices: int) -> np.ndarray:
        row = np.zeros(COLUMNS, np.int64)
        row[KIND] = kind
        if layer is not None:
            row[[ROW_WEIGHT, ROW_BIAS, INPUTS, OUTPUTS, FUNCTION]] = self.table[
                layer, [WEIGHT, BIAS, N_IN, N_OUT, ACTIVATION]
            ]
            row[FIRST_LAYER] = layer == 0
        for name, place in matrices.items():
            column = {"X": X, "Y": Y, "AUX": AUX, "EXTRA": EXTRA}[name]
            row[column] = self.places[place, OFFSET]
            row[column + 1] = self.places[place, STRIDE]
        return row


def arena_row(kind: int) -> np.ndarray:
    """A region over a whole arena: SQUARE_SUMS or UPDATE."""
    row = np.zeros(COLUMNS, np.int64)
    row[KIND] = kind
    return row
