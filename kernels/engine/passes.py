"""Passes: what a network does with a batch, as programs of parallel regions.

A program is an array of `records.REGION`; `steps` executes it, so that every architecture and every
pass (training, encoding, decoding, evaluation) runs through the same machine code.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..maths.activations import IDENTITY
from ..maths.binary import BINARIZATIONS
from .binary_tasks import run_binary_task
from .bounds import Bound
from .importance_tasks import (
    latents_task,
    n_groups,
    n_output_tasks,
    output_sums_task,
    weights_task,
)
from .labels import Labels
from .latent_tasks import head_task
from .layout import (
    ACTIVE,
    COLUMN_VALUES,
    INPUT,
    LATENT,
    LATENT_GRADIENT,
    LOSS,
    NOISE,
    OBSERVED,
    PANEL,
    ROW_VALUES,
    SCALED,
    Architecture,
    arena_size,
    is_large,
    n_partial_sums,
)
from .likelihood_tasks import (
    RowLikelihood,
    bias_task,
    row_inputs_task,
    row_likelihood_task,
    row_means_task,
)
from .programs import from_row, new_program, new_region, to_out
from .records import (
    BACKWARD_BIAS,
    BACKWARD_INPUT,
    BACKWARD_LATENT,
    BACKWARD_WEIGHT,
    CLIP,
    DRAW,
    FORWARD,
    GATHER,
    OUTPUT,
    PACK,
    ROW_LOSSES,
    ROWS,
    SQUARE_SUMS,
    STORE_MODE,
    TOTALS,
    UPDATE,
    UPDATE_MODE,
)
from .regions import task_address


class _Once:
    """A property that is computed when it is first asked for, and kept.

    `functools.cached_property` holds a lock meanwhile, before Python 3.12, which a child that is
    forked then would find held for ever.
    """

    def __init__(self, compute: Callable[[Any], np.ndarray]) -> None:
        self.compute, self.__doc__ = compute, compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> np.ndarray:
        value = instance.__dict__[self.name] = self.compute(instance)
        return value


class Passes:
    """The programs of a network.

    Each is built once: building takes longer than decoding a row.

    Parameters
    ----------
    network : Architecture
    places : ndarray of MATRIX
        The workspace's matrices.
    dtype : dtype
        Of the arenas.
    rows : RowLikelihood, optional
        The likelihood, where it takes whole rows.
    binarization : str, optional
        A name of `BINARIZATIONS`: how the data are made binary.
    bound : Bound, optional
        What training maximises, where it is not the ELBO by one latent.
    """

    def __init__(
        self, network: Architecture, places: np.ndarray, dtype: np.dtype,
        rows: RowLikelihood | None = None, binarization: str | None = None,
        bound: Bound | None = None,
    ) -> None:  # fmt: skip
        self.dtype = dtype
        self.network = network
        self.table = network.table
        self.n_encoder = network.n_encoder
        self.places = places
        self.rows = rows
        self.last = network.last
        self.binarization = binarization
        self.bound = bound
        self.labels = Labels(network, places, dtype)
        self._binarizing: dict[str, Passes] = {}

    def binarizing(self, binarization: str | None) -> "Passes":
        """The programs that make the data binary, these ones if None."""
        if binarization is None:
            return self
        if binarization not in self._binarizing:
            self._binarizing[binarization] = Passes(
                self.network, self.places, self.dtype, self.rows, binarization, self.bound
            )  # fmt: skip
        return self._binarizing[binarization]

    @property
    def data_place(self) -> int:
        """The matrix that has the data, which the encoder may take otherwise."""
        return OBSERVED if self.rows is not None and self.rows.observes else INPUT

    @_Once
    def gathering(self) -> np.ndarray:
        """The data as the network sees it."""
        return self._gather()

    @_Once
    def encoding(self) -> np.ndarray:
        """From the data to the head."""
        layers = self._layers(0, self.n_encoder + 1)
        prior = [self.labels.prior_layer()] if self.network.has_prior else []
        return new_program([self._gather(), *prior, *layers])

    @_Once
    def encoding_to_out(self) -> np.ndarray:
        """From the data to the posterior's mean and log_var in the caller's two arrays."""
        source = self.places[ACTIVE + self.n_encoder]
        head = self._rows(head_task, n_out=self.network.n_latent, source=source)
        return to_out(new_program([self.encoding, head]))

    @_Once
    def decoding(self) -> np.ndarray:
        """From latents as data to means in the caller's array."""
        return to_out(
            new_program([*self.labels.gather_latents(), *self._means(self.labels.decoded)])
        )

    @_Once
    def sampling(self) -> np.ndarray:
        """As `decoding`, from latents on the scale of their prior, where it goes by the class."""
        if not self.network.has_prior:
            return self.decoding
        label = self.labels.gather(INPUT, self.network.n_features)
        u = new_region(GATHER, n_in=self.network.n_latent, target=self.places[LATENT])
        latents = self.labels.latents(self.places[LATENT])
        return to_out(
            new_program([u, label, self.labels.prior_layer(), *latents, *self._means(SCALED)])
        )

    @_Once
    def posterior_to_out(self) -> np.ndarray:
        """As `encoding_to_out`, on the scale of the latents, not of their prior."""
        posterior = self.labels.posterior(self.places[ACTIVE + self.n_encoder])
        return to_out(new_program([self.encoding, posterior]))

    @_Once
    def reconstruction(self) -> np.ndarray:
        """From the data through the posterior's mean to means in the caller's array."""
        head = ACTIVE + self.n_encoder
        if not self.network.n_classes:
            return to_out(new_program([self.encoding, *self._means(head)]))
        latents = self.labels.latents(self.places[head], is_copied=True)
        return to_out(new_program([self.encoding, *latents, *self._means(self.labels.decoded)]))

    @_Once
    def losses(self) -> np.ndarray:
        """From the head to each row's reconstruction and KL, by one draw of the latent."""
        head, places = self.n_encoder, self.places
        draw = new_region(
            DRAW,
            self.table[head],
            parts=2,
            source=places[ACTIVE + head],
            target=places[LATENT],
            noise=places[NOISE],
        )
        latents = [draw, *self.labels.latents(places[LATENT])]
        if self.rows is not None:
            return new_program(
                [*latents, *self._outputs(self.labels.decoded), self._row_losses(self.rows)]
            )
        output = new_region(
            OUTPUT,
            self.table[self.last],
            source=places[self._input_of(self.last)],
            target=places[self._delta(self.last)],
            data=places[INPUT],
            groups=places[LOSS],
        )
        row_losses = new_region(ROW_LOSSES, groups=places[LOSS])
        return new_program([*latents, *self._decoder(self.labels.decoded)[:-1], output, row_losses])

    def importance(
        self, n_rows: int, repeat: int, first_row: int, sums: int, lists: int
    ) -> np.ndarray:
        """`repeat` latents for each of `n_rows` rows, from the first of those that `encoding` has
        left, to sums of their weights: see `importance_tasks`.

        Parameters
        ----------
        n_rows, repeat, first_row : int
        sums : int
            Address of an array of `importance_tasks.SUMS`, one for each row.
        lists : int
            Address of what `importance_tasks.new_lists` returned.
        """
        head, places = self.n_encoder, self.places
        draw = self._rows(
            latents_task,
            self.table[head],
            parts=2,
            source=from_row(places[ACTIVE + head], first_row),
            target=places[LATENT],
            noise=places[NOISE],
            sums=sums,
        )
        if self.rows is not None:
            row_losses = self._row_losses(self.rows)
            row_losses["data"] = from_row(row_losses["data"][0], first_row)
            losses = [*self._outputs(self.labels.decoded), row_losses]
        else:
            losses = [
                *self._decoder(self.labels.decoded)[:-1],
                *self._fused_losses(n_rows * repeat, lists),
            ]
            losses[-2]["data"] = from_row(places[INPUT], first_row)
        weights = self._rows(weights_task, n_tasks=n_rows, sums=sums)
        latents = self.labels.latents(places[LATENT], first_row)
        program = new_program([draw, *latents, *losses, weights])
        program["repeat"] = repeat
        return program

    def _fused_losses(self, n_rows: int, lists: int) -> list[np.ndarray]:
        """Each row's loss, of outputs that are stored nowhere."""
        groups = self.places[LOSS].copy()
        groups["stride"] = n_groups(int(self.table["n_out"][self.last]))
        output = self._rows(
            output_sums_task,
            self.table[self.last],
            n_tasks=n_output_tasks(n_rows),
            reads_data=1,
            lists=lists,
            source=self.places[self._input_of(self.last)],
            groups=groups,
        )
        return [output, new_region(ROW_LOSSES, groups=groups)]

    @_Once
    def training(self) -> np.ndarray:
        """One batch, whose gradient is applied as it arises."""
        return self._training(UPDATE_MODE)

    @_Once
    def gradient(self) -> np.ndarray:
        """One batch, whose gradient is stored."""
        return self._training(STORE_MODE)

    @_Once
    def stored_training(self) -> np.ndarray:
        """One batch, whose gradient is stored and then applied."""
        return new_program([self.gradient, self._update()])

    @_Once
    def clipped_training(self) -> np.ndarray:
        """One batch, whose gradient is stored, limited in its norm, and applied.

        The norm is that of each layer's squares, in the order of the layers.
        """
        panels = self.table["panels"]
        squares = [
            new_region(SQUARE_SUMS, layer, first_panel=first)
            for layer, first in zip(self.table, np.cumsum(panels) - panels, strict=True)
        ]
        clip = new_region(CLIP, n_in=n_partial_sums(self.table, self.dtype))
        return new_program([self.gradient, *squares, clip, self._update()])

    def _update(self) -> np.ndarray:
        return new_region(UPDATE, n_in=arena_size(self.table, self.dtype))

    def _training(self, mode: int) -> np.ndarray:
        """One batch: forward, then backward to each layer's input and weights, totals.

        Weights come last, but for those of large layers: what is before them, rows may go through
        by themselves (`row_blocks`).
        """
        head, n_samples = self.n_encoder, 1
        totals = new_region(TOTALS, self.table[head], parts=2, source=self.places[ACTIVE + head])
        decoder, late = [self.losses], []
        if self.bound is not None:
            n_samples = self.bound.objective.n_samples
            totals = self.bound.totals(totals)
            decoder += self.bound.weighing(self._slopes_of_losses())
        if self._has_raw_layer:
            late.append(self._backward_bias(mode, n_samples))
        for layer in range(self.last, head, -1):
            decoder.append(self._backward_input(layer))
            self._add_weights(layer, mode, n_samples, decoder, late)
        if self.network.has_prior:
            decoder.append(self.labels.backward_prior(self._delta(self.network.prior)))
        decoder += self._backward_latent()
        encoder: list[np.ndarray] = []
        for layer in range(head, -1, -1):
            if layer > 0:
                encoder.append(self._backward_input(layer))
            self._add_weights(layer, mode, 1, encoder, late)
        if self.network.has_prior:
            self._add_weights(self.network.prior, mode, 1, encoder, late)
        through = new_program(decoder)
        through["repeat"] = n_samples
        late.sort(key=lambda region: region["kind"][0] != PACK)
        program = new_program([self.encoding, through, *encoder, *late, totals])
        kinds = program["kind"]
        gradients = (kinds == BACKWARD_WEIGHT) | (kinds == BACKWARD_BIAS)
        program["joins"] = (kinds == PACK) | (kinds == TOTALS)
        program["joins"][1:] |= gradients[1:] & gradients[:-1]
        return program

    def _add_weights(
        self, layer: int, mode: int, repeat: int, now: list[np.ndarray], late: list[np.ndarray]
    ) -> None:
        """Add the gradient of a layer's weights: at once, while what it reads is in the cache, or
        where the layer is small, with others, which need not wait for each other then."""
        regions = self._backward_weight(layer, mode, repeat)
        (now if is_large(self.table[layer]) else late).extend(regions)

    def _slopes_of_losses(self) -> list[tuple[int, int]]:
        """The matrices that the losses' slopes stand in, with their columns."""
        layers = [self.last]
        if self._has_raw_layer:
            layers.append(self.last + 1)
        return [(self._delta(layer), int(self.table["n_out"][layer])) for layer in layers]

    def _gather(self) -> np.ndarray:
        place = self.data_place
        is_last = place == INPUT and not self.network.n_classes
        region = new_region(
            GATHER,
            n_in=self.network.n_features,
            target=self.places[place],
            **(self._listed() if is_last else {}),
        )
        if self.binarization is not None:
            region["task_address"] = task_address(self.dtype, run_binary_task)
            region["mode"] = BINARIZATIONS[self.binarization]
        regions = [region] if place == INPUT else [region, self._row_inputs()]
        if self.network.n_classes:
            labels = self.labels.gather(INPUT, self.network.n_features)
            for name, value in self._listed().items():
                labels[name] = value
            regions.append(labels)
        return new_program(regions)

    def _rows(self, tasks: Any, layer: np.void | None = None, **fields: object) -> np.ndarray:
        """A region of rows whose tasks are compiled when the program that has it is built."""
        return new_region(ROWS, layer, task_address=task_address(self.dtype, tasks), **fields)

    def _listed(self) -> dict[str, Any]:
        """What the last region that fills the input has for the lists of what is not zero."""
        n_columns = self.table["n_in"][0]
        return {"n_listed": n_columns, "reads_data": 1, "values": self.places[ROW_VALUES]}

    def _row_inputs(self) -> np.ndarray:
        """The data as the encoder takes them."""
        assert self.rows is not None
        return self._rows(
            row_inputs_task,
            n_in=self.network.n_features,
            source=self.places[OBSERVED],
            target=self.places[INPUT],
            likelihood=self.rows.record,
            **({} if self.network.n_classes else self._listed()),
        )

    def _layers(self, first: int, last: int) -> list[np.ndarray]:
        """The outputs of layers first .. last - 1."""
        return [
            new_region(
                FORWARD,
                self.table[layer],
                reads_data=layer == 0,
                source=self.places[self._input_of(layer)],
                target=self.places[ACTIVE + layer],
                values=self.places[ROW_VALUES],
            )
            for layer in range(first, last)
        ]

    def _decoder(self, place: int) -> list[np.ndarray]:
        """The decoder's layers; the first reads the matrix at `place`."""
        regions = self._layers(self.n_encoder + 1, self.last + 1)
        regions[0]["source"] = self.places[place]
        return regions

    def _outputs(self, place: int) -> list[np.ndarray]:
        """The decoder's layers, the last without its activation, for a likelihood of whole rows."""
        regions = self._decoder(place)
        regions[-1]["activation"] = IDENTITY
        regions[-1]["target"] = self.places[self._delta(self.last)]
        return regions

    def _row_losses(self, rows: RowLikelihood) -> np.ndarray:
        """Each row's loss, and its gradients."""
        region = self._rows(
            row_likelihood_task,
            n_out=self.network.n_features,
            parts=2 if rows.raws_in_row else 1,
            source=self.places[self._delta(self.last)],
            data=self.places[self.data_place],
            likelihood=rows.record,
        )
        if rows.has_raw_layer:
            region["bias"] = self.table["bias"][self.last + 1]
            region["delta"] = self.places[self._delta(self.last + 1)]
        return region

    @property
    def _has_raw_layer(self) -> bool:
        """Whether sigma has parameters of its own, in the layer behind the decoder's."""
        return self.rows is not None and self.rows.has_raw_layer

    def _means(self, place: int) -> list[np.ndarray]:
        """From the matrix at `place` to the mean of x given z, which goes to the caller's array."""
        if self.rows is None:
            return self._decoder(place)
        means = self._rows(
            row_means_task,
            n_out=self.network.n_features,
            source=self.places[self._delta(self.last)],
            likelihood=self.rows.record,
        )
        return [*self._outputs(place), means]

    def _backward_bias(self, mode: int, repeat: int) -> np.ndarray:
        """The gradient of what sigma is made of, which is a layer without inputs."""
        return new_region(
            BACKWARD_BIAS,
            self.table[self.last + 1],
            task_address=task_address(self.dtype, bias_task),
            mode=mode,
            repeat=repeat,
            delta=self.places[self._delta(self.last + 1)],
        )

    def _backward_input(self, layer: int) -> np.ndarray:
        """The gradient of a layer's input, through the activation of the layer below."""
        to_latent = layer == self.n_encoder + 1
        below = LATENT_GRADIENT if to_latent else self._delta(layer - 1)
        region = new_region(
            BACKWARD_INPUT,
            self.table[layer],
            source=self.places[self._delta(layer)],
            target=self.places[below],
            hidden=self.places[self._input_of(layer)],
            scratch=self.places[PANEL],
        )
        region["activation"] = 0 if to_latent else self.table["activation"][layer - 1]
        return region

    def _backward_latent(self) -> list[np.ndarray]:
        """The gradient of the head from that of the latent and from the KL."""
        head = self.n_encoder
        region = new_region(
            BACKWARD_LATENT,
            self.table[head],
            parts=2,
            source=self.places[ACTIVE + head],
            target=self.places[self._delta(head)],
            noise=self.places[NOISE],
            delta=self.places[LATENT_GRADIENT],
        )
        return [region] if self.bound is None else self.bound.backward_latent(region)

    def _backward_weight(self, layer: int, mode: int, repeat: int) -> list[np.ndarray]:
        """The gradient of a layer's weights and biases; first its input is packed, or a sparse one
        listed by column."""
        packed = self.places[ACTIVE + 2 * len(self.table) + layer]
        common = {
            "layer": self.table[layer], "reads_data": layer == 0, "repeat": repeat,
            "values": self.places[COLUMN_VALUES],
        }  # fmt: skip
        source = self.places[self._input_of(layer)]
        if self.network.has_prior and layer == self.network.prior:
            source = self.labels.one_hot
        pack = new_region(PACK, **common, source=source, target=packed)
        delta = self.places[self._delta(layer)]
        return [pack, new_region(BACKWARD_WEIGHT, **common, mode=mode, source=packed, delta=delta)]

    def _input_of(self, layer: int) -> int:
        if layer == 0:
            return INPUT
        return self.labels.decoded if layer == self.n_encoder + 1 else ACTIVE + layer - 1

    def _delta(self, layer: int) -> int:
        return ACTIVE + len(self.table) + layer
