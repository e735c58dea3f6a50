"""Model files: one safetensors file per model. Loading never executes anything from a file.

The file holds the tensors under the names of `VAE.gradients` (`encoder.0.weight`, (out, in)) and
one metadata entry, a JSON text with everything else; one entry, because the order of several is
not fixed and files would differ from run to run. The seed's folder format is in `seed_format`.
"""

import json
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_safetensors

from fastvae import checks, kernels
from fastvae.checks import plain
from fastvae.files.writing import write_file

FORMAT_VERSION = 1
MODEL_ENTRY, CHECKPOINT_ENTRY = "fastvae", "fastvae_checkpoint"
"""Entries of a file's metadata that hold its settings, and tell what it is."""
RUN_MODEL = "model.safetensors"
PRETRAINED = Path(__file__).resolve().parent / "pretrained"
MAX_HEADER = 100_000_000  # the format's own limit


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

    def settings(self) -> dict[str, Any]:
        """Everything but the arrays, as JSON takes it."""
        return {
            "format_version": FORMAT_VERSION,
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
        raise TypeError(f"a model is loaded by its name or path; got {name_or_path!r}")
    text = os.fspath(name_or_path)
    if text and os.path.exists(text):
        path = Path(text)
        return path / RUN_MODEL if (path / RUN_MODEL).is_file() else path
    known = pretrained()
    if text in known:
        return PRETRAINED / f"{text}.safetensors"
    shown = text if len(text) <= 200 else text[:200] + "..."
    raise FileNotFoundError(
        f"{shown!r} is not a model file, a folder with a model or the name of a pretrained model; "
        f"pretrained models are: {', '.join(known) or 'none'}"
    )


@contextmanager
def explaining(path: Path, kind: str = "model") -> Iterator[None]:
    """Turn whatever a bad file makes fail inside into a ValueError that names file and reason."""
    try:
        yield
    except KeyError as error:
        raise ValueError(f"{path} is not a valid {kind}: it has no {error}") from error
    except (
        ArithmeticError,
        AttributeError,
        EOFError,
        IndexError,
        MemoryError,
        RecursionError,
        SafetensorError,
        SyntaxError,
        TypeError,
        ValueError,
    ) as error:
        raise ValueError(f"{path} is not a valid {kind}: {error}") from error


def read(path: Path) -> SavedModel:
    """Read a safetensors model file; sizes, names, dtypes and values are checked.

    Raises
    ------
    ValueError
        If the file is truncated, corrupt, or no model of this package.
    OSError
        If it cannot be read.
    """
    with explaining(path):
        if not path.is_file():
            raise ValueError("it is neither a model file nor a folder with a model")
        check_header_length(path)
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if CHECKPOINT_ENTRY in metadata:
                raise ValueError("it is a checkpoint of a training; fit(..., resume=path) goes on")
            if MODEL_ENTRY not in metadata:
                raise ValueError("the safetensors file was not written by fastvae")
            settings = json.loads(metadata[MODEL_ENTRY])
            return _model(settings, _tensors(file, settings))


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
    for name, array in named_arrays(model.layers).items():
        if not np.isfinite(array).all():
            found = "NaN" if np.isnan(array).any() else "infinity"
            raise ValueError(f"{name} holds {found}: a model that is not finite is not saved")
    return apply_settings(model.layers, model.settings())


def verify(path: Path, read: Callable[[Path], SavedModel], model: SavedModel) -> None:
    """Raise an OSError unless what was written to `path` reads back as what it was to be."""
    try:
        found = read(path)
    except ValueError as error:
        raise OSError(f"what was written cannot be read back: {error}") from error
    read_back = named_arrays(found.layers)
    same = found.settings() == model.settings() and all(
        read_back[name].tobytes() == array.tobytes()
        for name, array in named_arrays(model.layers).items()
    )
    if not same:
        raise OSError("what was written reads back otherwise: the disk or the memory is at fault")


def named_arrays(layers: dict[str, SavedLayer]) -> dict[str, NDArray[Any]]:
    """Weights and biases by the names that files and gradients use."""
    return {
        f"{name}.{part}": getattr(layer, part)
        for name, layer in layers.items()
        for part in ("weight", "bias")
    }


def to_json(settings: dict[str, Any]) -> str:
    """JSON with sorted keys: the same settings give the same text."""
    return json.dumps(settings, sort_keys=True, allow_nan=False)


def refuse_size(model: SavedModel, holder: str) -> NoReturn:
    """Raise the ValueError for settings that are longer than MAX_HEADER bytes in `holder`."""
    raise ValueError(
        f"settings, the names of {len(model.layers):,} layers and a model card of "
        f"{len(to_json(model.card)):,} bytes of JSON do not fit into {holder}, which has at most "
        f"{MAX_HEADER:,} bytes"
    )


def check_version(settings: dict[str, Any]) -> None:
    """Raise a ValueError unless the settings are of the version that this module reads."""
    version = settings["format_version"]
    if version != FORMAT_VERSION:
        raise ValueError(f"format version must be {FORMAT_VERSION}; got {version!r}")


def apply_settings(layers: dict[str, SavedLayer], settings: dict[str, Any]) -> SavedModel:
    """Return the model that checked layers and a file's settings make.

    Raises
    ------
    KeyError, TypeError, ValueError
        If a setting is missing or not what it must be.
    """
    return SavedModel(
        layers,
        likelihood=checks.choice(settings["likelihood"], kernels.LIKELIHOODS, "likelihood"),
        beta=checks.number(settings["beta"], "beta"),
        reconstruction_weight=checks.number(
            settings["reconstruction_weight"], "reconstruction_weight"
        ),
        dtype=checks.dtype(settings["dtype"]).name,
        seed=checks.seed(settings["seed"]),
        epochs=checks.count(settings["epochs"], "epochs"),
        updates=checks.count(settings["updates"], "updates"),
        card=plain.mapping(settings["card"], "card"),
    )


def _content(model: SavedModel) -> bytes:
    """The bytes of a model's file."""
    holder = "the header of a safetensors file"
    try:
        content = to_safetensors(
            named_arrays(model.layers), {MODEL_ENTRY: to_json(model.settings())}
        )
    except SafetensorError as error:
        if "header too large" not in str(error):
            raise
        refuse_size(model, holder)
    if struct.unpack_from("<Q", content)[0] > MAX_HEADER:  # older safetensors write it
        refuse_size(model, holder)
    return content


def check_header_length(path: Path) -> None:
    """Raise a ValueError if the header that the file announces cannot be one."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
    if len(start) < 8:
        raise ValueError(f"a safetensors file has at least 8 bytes; it has {size}")
    length = struct.unpack("<Q", start)[0]
    if not 2 <= length <= min(MAX_HEADER, size - 8):
        raise ValueError(
            f"it is truncated or no safetensors file (header of {length} bytes, file of {size})"
        )


def _tensors(file: Any, settings: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """The file's tensors, their names, shapes and dtypes checked before any is read."""
    check_version(settings)
    dtype = {"float32": "F32", "float64": "F64"}[checks.dtype(settings["dtype"]).name]
    expected = {
        f"{name}.{part}": shape
        for name, (n_out, n_in) in settings["sizes"].items()
        for part, shape in (("weight", [n_out, n_in]), ("bias", [n_out]))
    }
    if set(file.keys()) != set(expected):
        raise ValueError(
            f"tensors must be {', '.join(sorted(expected))}; got {', '.join(sorted(file.keys()))}"
        )
    for name, shape in expected.items():
        entry = file.get_slice(name)
        if entry.get_dtype() != dtype or entry.get_shape() != shape:
            raise ValueError(
                f"tensor {name} must be {dtype} of shape {shape}; "
                f"got {entry.get_dtype()} of shape {entry.get_shape()}"
            )
    return {name: file.get_tensor(name) for name in expected}


def _model(settings: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> SavedModel:
    activations = settings["activations"]
    layers = {
        name: SavedLayer(
            checks.finite(tensors[f"{name}.weight"], f"tensor {name}.weight"),
            checks.finite(tensors[f"{name}.bias"], f"tensor {name}.bias"),
            checks.choice(activations[name], kernels.ACTIVATIONS, f"activation of {name}"),
        )
        for name in settings["sizes"]
    }
    return apply_settings(layers, settings)
