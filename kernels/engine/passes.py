"""Programs: the passes of a network as tables of parallel regions.

A row of a program is one region: its kind, the layer's numbers, and where the matrices that it
reads and writes lie in the workspace. `regions` executes it, so that every architecture and
every pass (training, encoding, decoding, evaluation) runs through the same machine code.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from .layout import (
    ACTIVATION,
    ACTIVE,
    BIAS,
    COLUMN_VALUES,
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
    PANELS,
    ROW_VALUES,
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
TO_OUT = 15
"""Whether a forward row writes to the caller's array, with the stride of its matrix Y."""
COLUMNS = 16


class Program:
    """The regions of a network's passes.

    Each is built once: building takes as long as decoding a row.

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
        row = self._row(GATHER, Y=place, AUX=ROW_VALUES)
        row[INPUTS] = n_columns
        row[FIRST_LAYER] = place == INPUT
        return row

    def forward(self, layer: int) -> np.ndarray:
        """A layer's output."""
        return self._row(FORWARD, layer, X=self._input_of(layer), Y=ACTIVE + layer, AUX=ROW_VALUES)

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
        packed, or a sparse one listed by column."""
        places = {"Y": PACKED, "EXTRA": COLUMN_VALUES}
        pack = self._row(PACK, layer, X=self._input_of(layer), **places)
        return [pack, self._row(BACKWARD_WEIGHT, layer, AUX=self._delta(layer), **places)]

    @cached_property
    def gathering(self) -> np.ndarray:
        """The data as the network sees it."""
        return np.array([self.gather(INPUT, int(self.table[0, N_IN]))])

    @cached_property
    def encoding(self) -> np.ndarray:
        """From the data to the head."""
        return np.array(self._encoder())

    @cached_property
    def encoding_to_out(self) -> np.ndarray:
        """From the data to heads in the caller's array."""
        *rows, head = self._encoder()
        return np.array([*rows, self._to_out(head)])

    @cached_property
    def decoding(self) -> np.ndarray:
        """From latents as data to means in the caller's array."""
        *hidden, last = self._decoder(LATENT)
        gather = self.gather(LATENT, int(self.table[self.n_encoder, N_OUT]) // 2)
        return np.array([gather, *hidden, self._to_out(last)])

    @cached_property
    def reconstruction(self) -> np.ndarray:
        """From the data through the posterior's mean to means in the caller's array."""
        *hidden, last = self._decoder(ACTIVE + self.n_encoder)
        return np.array([*self._encoder(), *hidden, self._to_out(last)])

    @cached_property
    def losses(self) -> np.ndarray:
        """From the head to each row's reconstruction and KL, by one draw of the latent."""
        return np.array([self.draw(), *self._decoder(LATENT)[:-1], *self.output()])

    @cached_property
    def training(self) -> np.ndarray:
        """One batch: forward, then backward with each layer's input before its weights.

        What follows is for a limit on the gradient's norm: each layer's squares, in the order of
        the layers, and the separate update of the whole arena.
        """
        rows = []
        for layer in range(len(self.table) - 1, -1, -1):
            if layer == self.n_encoder:
                rows.append(self.backward_latent())
            if layer > 0:
                rows.append(self.backward_input(layer))
            rows += self.backward_weight(layer)
        return np.concatenate([self.encoding, self.losses, np.array(rows), self._clipping()])

    def _clipping(self) -> np.ndarray:
        """The squares of each layer's gradient, an entry per output, then the update."""
        rows = [self._row(SQUARE_SUMS, layer) for layer in range(len(self.table))]
        panels = self.table[:, PANELS]
        for row, first_panel in zip(rows, np.cumsum(panels) - panels, strict=True):
            row[EXTRA] = first_panel
        return np.array([*rows, self._row(UPDATE)])

    @property
    def n_clipping(self) -> int:
        """How many rows at the end of `training` only a limit on the gradient's norm needs."""
        return len(self.table) + 1

    def _encoder(self) -> list[np.ndarray]:
        gather = self.gather(INPUT, int(self.table[0, N_IN]))
        return [gather] + [self.forward(layer) for layer in range(self.n_encoder + 1)]

    def _decoder(self, place: int) -> list[np.ndarray]:
        """The decoder's layers; the first reads the matrix at `place`."""
        rows = [self.forward(layer) for layer in range(self.n_encoder + 1, len(self.table))]
        rows[0][X : X + 2] = self.places[place]
        return rows

    @staticmethod
    def _to_out(row: np.ndarray) -> np.ndarray:
        row[[Y, Y + 1, TO_OUT]] = 0, row[OUTPUTS], 1
        return row

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
