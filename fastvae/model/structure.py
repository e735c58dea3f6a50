"""What a model is made of, apart from its passes: parts, sizes, settings, names, files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastvae import checks, kernels
from fastvae.checks import plain, scales
from fastvae.data import Dataset
from fastvae.files import seed_format, storage
from fastvae.files.storage import SavedLayer, SavedModel
from fastvae.model import assembly
from fastvae.model.guards import DrawCounter, Exclusive
from fastvae.model.layers import MLP, Dense
from fastvae.model.network import Network
from fastvae.model.sampler import Sampler
from fastvae.model.summary import vae_summary
from fastvae.model.value import Seeded, Value

if TYPE_CHECKING:
    from typing import Self

    from fastvae.training.loop import History

Rows: TypeAlias = ArrayLike | Dataset
"""What the passes take: rows as NumPy, pandas, polars, torch or lists hold them, or a data set."""

Use: TypeAlias = Literal["pass", "training", "validation"]

_BUILDING_SETTINGS = ("likelihood", "beta", "reconstruction_weight", "seed")
_SAVED_SETTINGS = (*_BUILDING_SETTINGS, "epochs", "updates", "card")
_BUSY = (
    "this model is being trained: meanwhile it cannot be trained a second time, replaced by `load` "
    "or copied by another thread; wait until `fit` has returned, or use another model"
)


def taken(X: Rows, name: str, use: Use = "pass") -> tuple[ArrayLike, str]:
    """The rows that `X` stands for, and what to call them in errors.

    A `Dataset` stands for its training rows; for validation for its test rows, where it has any.
    """
    if not isinstance(X, Dataset):
        return X, name
    part = "test" if use == "validation" and len(X.test) else "train"
    return getattr(X, part), f"{name}.{part}"


class Model(Seeded, Value):
    """The structure of a `VAE`, which documents the arguments and adds the passes over rows."""

    _OWN = frozenset(
        {
            "_likelihood",
            "_beta",
            "_reconstruction_weight",
            "_dtype",
            "_seed",
            "_epochs",
            "_update_count",
            "_card",
            "_prior_draws",
            "_in_fit",
            "_parts",
        }
    )

    def __init__(
        self,
        encoder: MLP | None = None,
        sampler: Sampler | None = None,
        decoder: MLP | None = None,
        *,
        likelihood: str = "bernoulli",
        beta: float = 1.0,
        reconstruction_weight: float = 1.0,
        dtype: DTypeLike = np.float32,
        seed: int = 0,
    ) -> None:
        self._likelihood = checks.choice(likelihood, kernels.LIKELIHOODS, "likelihood")
        self.beta = beta
        self.reconstruction_weight = reconstruction_weight
        self._dtype = checks.dtype(dtype)
        self.seed = seed
        self.epochs = 0
        self._update_count = np.zeros(1, np.int64)
        self.card = {}
        self.stop_training = False
        self.history: History | None = None
        self._prior_draws = DrawCounter()
        self._in_fit = Exclusive(_BUSY)
        self._parts: tuple[MLP, Sampler, MLP, Network] | None = None
        if encoder is None and sampler is None and decoder is None:
            return
        if (
            not isinstance(encoder, MLP)
            or not isinstance(sampler, Sampler)
            or not isinstance(decoder, MLP)
        ):
            given = ", ".join(type(part).__name__ for part in (encoder, sampler, decoder))
            raise TypeError(f"VAE takes an MLP, a Sampler and an MLP, or none; got {given}")
        self._join(encoder, sampler, decoder)
        assembly.initialise(encoder, sampler, decoder, self.seed)

    def _join(self, encoder: MLP, sampler: Sampler, decoder: MLP) -> None:
        network = assembly.join(
            encoder, sampler, decoder, likelihood=self.likelihood, dtype=self.dtype
        )
        self._parts = encoder, sampler, decoder, network

    def __getstate__(self) -> dict[str, Any]:
        if self._in_fit.is_taken_elsewhere:
            raise RuntimeError(_BUSY)
        return (
            self.others()
            | {name: getattr(self, name) for name in _SAVED_SETTINGS}
            | {
                "dtype": self.dtype.name,
                "prior_draws": self._prior_draws.taken,
                "parts": None if self._parts is None else self._parts[:3],
            }
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        settings = {name: state.pop(name) for name in (*_BUILDING_SETTINGS, "dtype")}
        Model.__init__(self, **settings)
        self._card = state.pop("card")  # may have been changed in place; `save` checks it
        self._prior_draws = DrawCounter(state.pop("prior_draws"))
        joined = state.pop("parts")
        if joined is not None:
            self._join(*joined)
        for name, value in state.items():
            setattr(self, name, value)

    @classmethod
    def from_sizes(
        cls,
        n_features: int = 784,
        hidden: Sequence[int] = (256,),
        n_latent: int = 32,
        activation: str = "relu",
        output_activation: str | None = None,
        *,
        likelihood: str = "bernoulli",
        beta: float = 1.0,
        reconstruction_weight: float = 1.0,
        dtype: DTypeLike = np.float32,
        seed: int = 0,
    ) -> Self:
        """Build a VAE from its sizes; the decoder mirrors the encoder.

        Parameters
        ----------
        n_features : int
            Number of features I.
        hidden : sequence of int
            Sizes of the encoder's layers, at least one.
        n_latent : int
            Number of latents Z.
        activation : str
            Activation of all layers but the sampler's and the last.
        output_activation : str, optional
            Activation of the last layer: sigmoid for the Bernoulli likelihood, identity for the
            Gaussian unless another is asked for.
        likelihood, beta, reconstruction_weight, dtype, seed
            See the class.

        Raises
        ------
        TypeError, ValueError
            If a size, a name or a number is not what it must be.
        """
        encoder, sampler, decoder = assembly.from_sizes(
            n_features, hidden, n_latent, activation, output_activation, likelihood, dtype
        )
        return cls(
            encoder,
            sampler,
            decoder,
            likelihood=likelihood,
            beta=beta,
            reconstruction_weight=reconstruction_weight,
            dtype=dtype,
            seed=seed,
        )

    @property
    def encoder(self) -> MLP:
        """The layers from the features to the sampler."""
        return self._filled()[0]

    @property
    def sampler(self) -> Sampler:
        """The sampler; its `sample` is the latent drawn by the last `feedforward`."""
        return self._filled()[1]

    @property
    def decoder(self) -> MLP:
        """The layers from the latent to the features."""
        return self._filled()[2]

    @property
    def network(self) -> Network:
        """The parameters and the passes over rows, on the kernels; validates nothing."""
        return self._filled()[3]

    @property
    def likelihood(self) -> str:
        """Name of the likelihood: "bernoulli" or "gaussian"."""
        return self._likelihood

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the parameters and of all results: float32 or float64."""
        return self._dtype

    @property
    def beta(self) -> float:
        """Weight of the KL divergence in the loss."""
        return self._beta

    @beta.setter
    def beta(self, value: float) -> None:
        self._beta = checks.number(value, "beta")

    @property
    def reconstruction_weight(self) -> float:
        """Weight of the reconstruction in the loss."""
        return self._reconstruction_weight

    @reconstruction_weight.setter
    def reconstruction_weight(self, value: float) -> None:
        self._reconstruction_weight = checks.number(value, "reconstruction_weight")

    @property
    def epochs(self) -> int:
        """How many epochs the model has been trained for."""
        return self._epochs

    @epochs.setter
    def epochs(self, value: int) -> None:
        self._epochs = checks.count(value, "epochs")

    @property
    def updates(self) -> int:
        """How many updates the model has been trained for, counted by the kernels themselves."""
        return int(self.update_count[0])

    @updates.setter
    def updates(self, value: int) -> None:
        self.update_count[0] = checks.count(value, "updates")

    @property
    def update_count(self) -> NDArray[np.int64]:
        """The number of updates where the kernels count it, shape (1,)."""
        return self._update_count

    @property
    def in_fit(self) -> Exclusive:
        """What `fit` is in while it trains the model."""
        return self._in_fit

    @property
    def card(self) -> dict[str, Any]:
        """The model card: plain JSON data, saved with the model. Assigning one copies it."""
        return self._card

    @card.setter
    def card(self, value: Mapping[str, Any]) -> None:
        self._card = plain.mapping(value, "card")

    @property
    def n_features(self) -> int:
        """Number of features I."""
        return self.encoder.layers[0].n_in

    @property
    def n_latent(self) -> int:
        """Number of latents Z."""
        return self.sampler.n_latent

    @property
    def n_parameters(self) -> int:
        """Number of weights and biases."""
        return sum(layer.n_parameters for layer in self.named_layers().values())

    def named_layers(self) -> dict[str, Dense]:
        """The layers by the names that gradients and model files use: encoder.0, sampler.mean."""
        named = {f"encoder.{i}": layer for i, layer in enumerate(self.encoder)}
        named |= {"sampler.mean": self.sampler.mean, "sampler.log_var": self.sampler.log_var}
        return named | {f"decoder.{i}": layer for i, layer in enumerate(self.decoder)}

    def save(self, path: str | os.PathLike[str], *, format: str = "safetensors") -> None:
        """Save the model, with its card, as one safetensors file or in the seed's format.

        What `load` would refuse is an error, and what was written is read once before it takes
        an old file's place. A symbolic link is followed; permissions stay.

        Parameters
        ----------
        path : path
            The file to write (an existing one is replaced whole), or a new folder for "seed".
        format : str
            "safetensors" or "seed".

        Raises
        ------
        TypeError, ValueError
            If the format is unknown, a weight is not finite, the card was changed to what is no
            plain JSON data, or it is larger than a file's header can be (100 MB); an old file
            stays.
        OSError
            If the file or folder cannot be written; an old file stays.
        """
        if format == "safetensors" and os.fspath(path).endswith(os.sep):
            raise IsADirectoryError(f"{path} is the name of a folder; name a file in it")
        with self.network.arena.gate.reading:
            settings = {name: getattr(self, name) for name in _SAVED_SETTINGS}
            values = self.network.parameters.copy()
        layers = {
            name: SavedLayer(*layer.read_from(values), layer.activation)
            for name, layer in self.named_layers().items()
        }
        model = SavedModel(layers, dtype=self.dtype.name, **settings)
        write = {"safetensors": storage.write, "seed": seed_format.write}
        write[checks.choice(format, write, "format")](Path(path), model)

    def load(self, name_or_path: str | os.PathLike[str]) -> None:
        """Become the model that a file holds; on failure nothing changes.

        Parameters
        ----------
        name_or_path : str or path
            A model file, a run folder, a folder in the seed's format, or the name of a
            pretrained model (see `fastvae.pretrained`).

        Raises
        ------
        FileNotFoundError
            If there is none; the known names are listed.
        ValueError
            If it is truncated, corrupt, mislabelled or no model.
        RuntimeError
            While `fit` trains this model: load into another, and assign its layers' weights.
        """
        with self._in_fit:
            path = storage.locate(name_or_path)
            saved = (seed_format if seed_format.is_seed_folder(path) else storage).read(path)
            with storage.explaining(path):
                settings = {name: getattr(saved, name) for name in _BUILDING_SETTINGS}
                loaded = type(self)(*assembly.from_saved(saved), dtype=saved.dtype, **settings)
            loaded.epochs, loaded.updates, loaded.card = saved.epochs, saved.updates, saved.card
            vars(self).update({k: v for k, v in vars(loaded).items() if k != "_in_fit"})

    def check_rows(self, X: Rows, name: str = "X", use: Use = "pass") -> NDArray[Any]:
        """Return rows as `Network` takes them, shape (B, I), or raise what is wrong with them.

        What is read otherwise than it may be meant is refused or warned of, see `scales`.
        """
        if isinstance(X, Dataset):
            X, name = taken(X, name, use)
        unit_interval = self.likelihood == "bernoulli"
        rows = checks.rows(X, name, self.n_features, self.dtype, unit_interval=unit_interval)
        if rows.dtype == checks.UINT8:
            look = scales.warn_if_binary if use == "pass" else scales.check_pixels
            look(rows, name)
        elif use == "training" and not unit_interval:
            scales.warn_of_scales(rows, X, name)
        return rows

    def __str__(self) -> str:
        return repr(self) if self._parts is None else vae_summary(self)

    def __repr__(self) -> str:
        if self._parts is None:
            return "VAE()"
        sizes = [self.n_features, *(layer.n_out for layer in self.encoder), self.n_latent]
        sizes += [layer.n_out for layer in self.decoder]
        return f"<VAE {'-'.join(map(str, sizes))}, likelihood {self.likelihood!r}>"

    def _filled(self) -> tuple[MLP, Sampler, MLP, Network]:
        if self._parts is None:
            raise ValueError(
                "this VAE is empty: load a model into it, or build one with VAE.from_sizes(...) "
                "or VAE(encoder, sampler, decoder)"
            )
        return self._parts
