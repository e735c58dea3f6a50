"""Model files: one safetensors file per model. Loading never executes anything from a file.

The file holds the tensors under the names of `VAE.gradients` (`encoder.0.weight`, (out, in)) and
metadata: one entry is a JSON text with everything else, and all that is read. The others are for
other programs and people. The seed's folder format is in `seed_format`.
"""

import json
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save as to_safetensors

from fastvae import checks, kernels
from fastvae.checks import plain
from fastvae.checks.labels import class_names
from fastvae.checks.quoting import printable, quoted
from fastvae.files import mixtures, tensors
from fastvae.files.mixtures import PosteriorMixture
from fastvae.files.reading import MAX_MARKS, check_marks, open_file, parse_json
from fastvae.files.tensors import MAX_HEADER, Tensor
from fastvae.files.writing import write_file

FORMAT_VERSION = 1
LIKELIHOOD_VERSION = 2
"""Of models whose likelihood has further settings."""
EXTENDED_VERSION = 3
"""Of conditional models, and of those with a posterior mixture; all others are written as version
1."""
MODEL_ENTRY, CHECKPOINT_ENTRY = "fastvae", "fastvae_checkpoint"
"""Entries of a file's metadata that hold its settings, and tell what it is."""
RUN_MODEL = "model.safetensors"
_FORMAT = {"format": "np", "library_name": "fastvae"}
_FROM_CARD = ("name", "description", "license")
"""Texts of a model's card that the file's metadata say once more, for other programs."""
PRETRAINED = Path(__file__).resolve().parent / "pretrained"


_FURTHER = {"sigma": None, "blocks": None, "missing": "error"}
"""Settings of likelihoods that version 1 does not know, and what they are where none is written."""
_CONDITIONAL = {"n_classes": 0, "prior": "normal", "class_names": None}
"""Settings of conditional models, which version 2 does not know, and what they are of others."""
_PRIORS = ("normal", "label")
_VERSION_1 = tuple(kernels.LIKELIHOODS)
_LIKELIHOODS = (*kernels.BLOCK_KINDS, "mixed")
_N_COMPONENTS = "posterior_components"
RAW_SIGMA = "likelihood.raw_sigma"
"""The tensor of a trained sigma, which is 0.001 + exp(raw)."""


@dataclass
class SavedLayer:
    """One layer: weight (out, in), bias (out,) and the activation's name."""

    weight: NDArray[Any]
    bias: NDArray[Any]
    activation: str


@dataclass
class SavedModel:
    """A model as a file holds it; layers by the names encoder.0, ..., sampler.mean, ..."""

    layers: dict[str, SavedLayer]
    likelihood: str
    beta: float
    reconstruction_weight: float
    dtype: str
    seed: int
    epochs: int = 0
    updates: int = 0
    card: dict[str, Any] = field(default_factory=dict)
    sigma: float | str | None = None
    blocks: list[Any] | None = None
    missing: str = "error"
    raw_sigma: NDArray[Any] | None = None
    n_classes: int = 0
    prior: str = "normal"
    class_names: list[str] | None = None
    posterior: PosteriorMixture | None = None

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """All arrays, by their names in a file."""
        named = named_arrays(self.layers, self.raw_sigma)
        return named | mixtures.to_arrays(self.posterior)

    def settings(self) -> dict[str, Any]:
        """Everything but the arrays, as JSON takes it."""
        further = {
            name: getattr(self, name)
            for name, usual in (_FURTHER | _CONDITIONAL).items()
            if getattr(self, name) != usual
        }
        version = FORMAT_VERSION
        if further.keys() & _CONDITIONAL.keys() or self.posterior is not None:
            version = EXTENDED_VERSION
        elif further or self.likelihood not in _VERSION_1:
            version = LIKELIHOOD_VERSION
        if self.posterior is not None:
            further[_N_COMPONENTS] = self.posterior.n_components
        return further | {
            "format_version": version,
            "sizes": {name: list(layer.weight.shape) for name, layer in self.layers.items()},
            "activations": {name: layer.activation for name, layer in self.layers.items()},
            "likelihood": self.likelihood,
            "beta": self.beta,
            "reconstruction_weight": self.reconstruction_weight,
            "dtype": self.dtype,
            "seed": self.seed,
            "epochs": self.epochs,
            "updates": self.updates,
            "card": self.card,
        }


def pretrained() -> list[str]:
    """Names of the models that come with the package, for `fastvae.load`."""
    return sorted(path.stem for path in PRETRAINED.glob("*.safetensors"))


def locate(name_or_path: str | os.PathLike[str]) -> Path:
    """Return the model file or folder that a path or a pretrained model's name stands for.

    A path that exists comes first; a folder with `model.safetensors` in it (a run folder) stands
    for that file.

    Raises
    ------
    TypeError
        If it is neither a string nor a path.
    FileNotFoundError
        If there is no such file, folder or pretrained model; the known names are listed.
    """
    if not isinstance(name_or_path, (str, os.PathLike)):
        raise TypeError(f"a model is loaded by its name or path; got {quoted(name_or_path)}")
    text = os.fspath(name_or_path)
    if text and os.path.exists(text):
        path = Path(text)
        return path / RUN_MODEL if (path / RUN_MODEL).is_file() else path
    known = pretrained()
    if text in known:
        return PRETRAINED / f"{text}.safetensors"
    raise FileNotFoundError(
        f"{quoted(text, 200)} is not a model file, a folder with a model or the name of a "
        f"pretrained model; pretrained models are: {', '.join(known) or 'none'}"
        f"{checks.did_you_mean(text, known)}"
    )


@contextmanager
def explaining(path: Path, kind: str = "model") -> Iterator[None]:
    """Turn whatever a bad file makes fail inside into a ValueError that names file and reason."""
    name = printable(os.fspath(path))
    try:
        yield
    except KeyError as error:
        raise ValueError(
            f"{name} is not a valid {kind}: it has no {printable(str(error), 100)}"
        ) from error
    except (
        ArithmeticError,
        AttributeError,
        EOFError,
        IndexError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise ValueError(f"{name} is not a valid {kind}: {printable(str(error))}") from error
    except MemoryError as error:
        raise MemoryError(f"there is no memory for what {name} holds: {error}") from error


def read(path: Path) -> SavedModel:
    """Read a safetensors model file; sizes, names, dtypes and values are checked.

    Raises
    ------
    ValueError
        If the file is truncated, corrupt, or no model of this package.
    OSError
        If it cannot be read.
    MemoryError
        If there is no memory for what it holds; the message says the size.
    """
    with explaining(path):
        if path.is_dir():
            raise ValueError("it is neither a model file nor a folder with a model")
        with open_file(path) as file:
            metadata, held = tensors.read_header(file)
            if CHECKPOINT_ENTRY in metadata:
                raise ValueError("it is a checkpoint of a training; fit(..., resume=path) goes on")
            if MODEL_ENTRY not in metadata:
                raise ValueError(
                    "the safetensors file was not written by fastvae; weights of other programs "
                    "are read by load_state_dict(path) of a model of their sizes"
                )
            settings = parse_json(metadata[MODEL_ENTRY])
            names = _checked_names(held, settings)
            return _model(settings, {name: tensors.read_tensor(file, held[name]) for name in names})


def write(path: Path, model: SavedModel) -> None:
    """Write a model to a safetensors file; a reader sees the old file or the new one, whole.

    What `read` would refuse is not written, and the old file goes when the new one was read.

    Raises
    ------
    TypeError, ValueError
        If a weight is not finite, a setting is not what it must be, the model card holds what
        JSON cannot express, or settings and card are too large for the file's header.
    OSError
        If the folder is missing or not writable, or the file is not.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name a file in it, e.g. {path / RUN_MODEL}")
    model = checked(model)
    write_file(path, _content(model), lambda temporary: verify(temporary, read, model))


def checked(model: SavedModel) -> SavedModel:
    """Return the model as a reader will see it.

    Raises
    ------
    TypeError, ValueError
        If a reader would refuse it.
    """
    check_finite(model.layers, model.raw_sigma)
    return apply_settings(model.layers, model.settings(), model.raw_sigma, model.posterior)


def check_finite(layers: dict[str, SavedLayer], raw_sigma: NDArray[Any] | None = None) -> None:
    """Raise a ValueError that names the first array that holds NaN or infinity."""
    for name, array in named_arrays(layers, raw_sigma).items():
        if not np.isfinite(array).all():
            found = "NaN" if np.isnan(array).any() else "infinity"
            raise ValueError(f"{name} holds {found}: a model that is not finite is not saved")


def verify(path: Path, read: Callable[[Path], SavedModel], model: SavedModel) -> None:
    """Raise an OSError unless what was written to `path` reads back as what it was to be."""
    try:
        found = read(path)
    except ValueError as error:
        raise OSError(f"what was written cannot be read back: {error}") from error
    read_back = found.arrays
    same = found.settings() == model.settings() and all(
        read_back[name].tobytes() == array.tobytes() for name, array in model.arrays.items()
    )
    if not same:
        raise OSError("what was written reads back otherwise: the disk or the memory is at fault")


def named_arrays(
    layers: dict[str, SavedLayer], raw_sigma: NDArray[Any] | None = None
) -> dict[str, NDArray[Any]]:
    """Weights, biases and what is trained of sigma, by the names that files and gradients use."""
    named = {
        f"{name}.{part}": getattr(layer, part)
        for name, layer in layers.items()
        for part in ("weight", "bias")
    }
    return named if raw_sigma is None else named | {RAW_SIGMA: raw_sigma}


def to_json(settings: dict[str, Any]) -> str:
    """JSON with sorted keys: the same settings give the same text.

    Raises
    ------
    ValueError
        If it holds so much that a reader would refuse it, or the file's header with it.
    """
    text = json.dumps(settings, sort_keys=True, allow_nan=False)
    check_marks(text, MAX_MARKS // 2)
    return text


def refuse_size(model: SavedModel, holder: str) -> NoReturn:
    """Raise the ValueError for settings that are longer than MAX_HEADER bytes in `holder`."""
    raise ValueError(
        f"settings, the names of {len(model.layers):,} layers and a model card of "
        f"{len(to_json(model.card)):,} bytes of JSON do not fit into {holder}, which has at most "
        f"{MAX_HEADER:,} bytes"
    )


def check_version(settings: Any, *known: int) -> None:
    """Raise a ValueError unless a file's settings are of a version that is known."""
    if not isinstance(settings, dict):
        raise ValueError(f"its settings must be a mapping; got {quoted(settings)}")
    version = settings["format_version"]
    if type(version) is not int or version not in known:
        versions = " or ".join(map(str, known))
        raise ValueError(f"format version must be {versions}; got {quoted(version)}")


def apply_settings(
    layers: dict[str, SavedLayer],
    settings: dict[str, Any],
    raw_sigma: NDArray[Any] | None = None,
    posterior: PosteriorMixture | None = None,
) -> SavedModel:
    """Return the model that checked layers and a file's settings make.

    Raises
    ------
    KeyError, TypeError, ValueError
        If a setting is missing or not what it must be.
    """
    return SavedModel(
        layers,
        likelihood=checks.choice(settings["likelihood"], _LIKELIHOODS, "likelihood"),
        beta=checks.number(settings["beta"], "beta"),
        reconstruction_weight=checks.number(
            settings["reconstruction_weight"], "reconstruction_weight"
        ),
        dtype=_dtype(settings),
        seed=checks.seed(settings["seed"]),
        epochs=checks.count(settings["epochs"], "epochs"),
        updates=checks.count(settings["updates"], "updates"),
        card=plain.mapping(settings["card"], "card"),
        raw_sigma=raw_sigma,
        posterior=posterior,
        **_further(settings),
    )


def _further(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of later versions than the first; whether they fit each other says the model."""
    if settings["format_version"] == FORMAT_VERSION:
        checks.choice(settings["likelihood"], _VERSION_1, "likelihood")
        return {}
    is_extended = settings["format_version"] == EXTENDED_VERSION
    known = _FURTHER | _CONDITIONAL if is_extended else _FURTHER
    further = {name: settings.get(name, usual) for name, usual in known.items()}
    if is_extended:
        if "n_classes" in settings:
            checks.integer(further["n_classes"], "n_classes", maximum=checks.MAX_CLASSES)
        checks.choice(further["prior"], _PRIORS, "prior")
        further["class_names"] = class_names(further["class_names"], further["n_classes"])
    sigma, blocks = further["sigma"], further["blocks"]
    if sigma is not None and not isinstance(sigma, str):
        further["sigma"] = checks.number(sigma, "sigma")
    if blocks is not None and type(blocks) is not list:
        raise ValueError(f"blocks must be a list; got {quoted(blocks)}")
    return further


def _content(model: SavedModel) -> bytes:
    """The bytes of a model's file."""
    tensors_alone = to_safetensors(model.arrays)
    content = _with_metadata(tensors_alone, _metadata(model))
    if struct.unpack_from("<Q", content)[0] > MAX_HEADER:
        refuse_size(model, "the header of a safetensors file")
    return content


def _metadata(model: SavedModel) -> dict[str, str]:
    """The metadata of a model's file: texts, in the order in which they stand there."""
    texts = {name: model.card.get(name) for name in _FROM_CARD}
    told = {name: printable(text) for name, text in texts.items() if isinstance(text, str)}
    return _FORMAT | told | {MODEL_ENTRY: to_json(model.settings())}


def _with_metadata(content: bytes, metadata: dict[str, str]) -> bytes:
    """A safetensors file with metadata in an order that is always the same.

    The library has several entries in another order from run to run.
    """
    start = 8 + struct.unpack_from("<Q", content)[0]
    entries = {"__metadata__": metadata} | json.loads(content[8:start])
    header = json.dumps(entries, separators=(",", ":"))
    header += " " * (-len(header) % 8)  # tensors begin at a multiple of 8
    return b"".join([struct.pack("<Q", len(header)), header.encode(), memoryview(content)[start:]])


def _checked_names(held: dict[str, Tensor], settings: Any) -> list[str]:
    """The names of a model's tensors, their number, shapes and dtypes checked."""
    check_version(settings, FORMAT_VERSION, LIKELIHOOD_VERSION, EXTENDED_VERSION)
    dtype = {"float32": "F32", "float64": "F64"}[_dtype(settings)]
    expected = {}
    for layer, size in _entries(settings, "sizes").items():
        if type(size) is not list or len(size) != 2:
            raise ValueError(f"sizes of {quoted(layer)} must be two integers; got {quoted(size)}")
        expected[f"{layer}.weight"], expected[f"{layer}.bias"] = tuple(size), tuple(size[:1])
    if settings.get("sigma") in ("learned", "feature"):
        found = held.get(RAW_SIGMA)
        expected[RAW_SIGMA] = found.shape[:1] if found is not None else (1,)
    mixture = _mixture_shapes(settings, expected)
    expected |= mixture
    if held.keys() != expected.keys():
        raise ValueError(f"tensors must be {_listed(expected)}; got {_listed(held)}")
    for name, shape in expected.items():
        found, wanted = held[name], "F64" if name in mixture else dtype
        if found.dtype != wanted or found.shape != shape:
            raise ValueError(
                f"tensor {quoted(name)} must be {wanted} of shape {quoted(list(shape))}; "
                f"got {printable(found.dtype, 20)} of shape {list(found.shape)}"
            )
    return list(expected)


def _mixture_shapes(
    settings: dict[str, Any], layers: dict[str, tuple[int, ...]]
) -> dict[str, tuple[int, ...]]:
    """The shapes of the posterior mixture's tensors by name, if the settings say that it is there.

    How many latents it has is known of `layers`, the shapes of the layers' arrays.
    """
    if settings["format_version"] != EXTENDED_VERSION or _N_COMPONENTS not in settings:
        return {}
    n_components = checks.integer(settings[_N_COMPONENTS], _N_COMPONENTS)
    return mixtures.shapes(n_components, *layers["sampler.mean.bias"])


def _entries(settings: dict[str, Any], name: str) -> dict[str, Any]:
    """A setting that must be a mapping."""
    found = settings[name]
    if not isinstance(found, dict):
        raise ValueError(f"{name} must be a mapping; got {quoted(found)}")
    return found


def _dtype(settings: dict[str, Any]) -> str:
    return checks.choice(settings["dtype"], ("float32", "float64"), "dtype")


def _listed(names: Iterable[str]) -> str:
    return printable(", ".join(sorted(names)), 400)


def _model(settings: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> SavedModel:
    activations = _entries(settings, "activations")
    layers = {
        name: SavedLayer(
            checks.finite(arrays[f"{name}.weight"], f"tensor {name}.weight"),
            checks.finite(arrays[f"{name}.bias"], f"tensor {name}.bias"),
            checks.choice(activations[name], kernels.ACTIVATIONS, f"activation of {name}"),
        )
        for name in settings["sizes"]
    }
    raw_sigma = arrays.get(RAW_SIGMA)
    if raw_sigma is not None:
        checks.finite(raw_sigma, f"tensor {RAW_SIGMA}")
    return apply_settings(layers, settings, raw_sigma, mixtures.from_arrays(arrays))
