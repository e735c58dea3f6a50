"""Models as the project's seed keeps them: a folder of `.npy` and `.json` files.

`encoder_layer0/`, `encoder_layer1/`, ..., `sampler_mean/`, `sampler_logvar/`,
`decoder_layer0/`, ... each hold `weight.npy` (out, in), `bias.npy` (out,) and `dense.json`
(`inputDim`, `outputDim`, `activation`: the printed name); `sampler.json` (`inputDim`,
`outputDim`) stands beside them. The format knows no likelihood: `fastvae.json`, which the seed's
own reader passes over, keeps the rest. A folder without it is a model of the seed's objective,
C ||x - x_hat||^2 + KL with C unknown: Gaussian, with reconstruction weight 1, in float32.
"""

import io
import json
import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastvae import checks
from fastvae.checks.quoting import printable, quoted
from fastvae.files import npy
from fastvae.files.kinds import but_found
from fastvae.files.reading import open_file, read_json, read_values, size_of
from fastvae.files.storage import (
    FORMAT_VERSION,
    LIKELIHOOD_VERSION,
    MAX_HEADER,
    SavedLayer,
    SavedModel,
    apply_settings,
    check_version,
    checked,
    explaining,
    refuse_size,
    to_json,
    verify,
)
from fastvae.files.writing import create_file, write_folder

PRINTED_ACTIVATIONS = {
    "identity": "Identity",
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "softplus": "Softplus",
}
_ACTIVATION_NAMES = {printed: name for name, printed in PRINTED_ACTIVATIONS.items()}
_SAMPLER_FOLDERS = {"sampler_mean": "sampler.mean", "sampler_logvar": "sampler.log_var"}
_SETTINGS = "fastvae.json"
_MAX_SIZES_JSON = 1 << 20


def is_seed_folder(path: Path) -> bool:
    """Whether `path` is a folder that holds a model in the seed's format."""
    return (path / "sampler.json").is_file() or (path / "sampler_mean").is_dir()


def read(path: Path) -> SavedModel:
    """Read a folder in the seed's format.

    Raises
    ------
    ValueError
        If a file is missing, corrupt, no plain array, or does not fit the others.
    OSError
        If a file cannot be read.
    """
    with explaining(path):
        layers = {}
        for part in ("encoder", "decoder"):
            number = 0
            while (path / f"{part}_layer{number}").is_dir():
                layers[f"{part}.{number}"] = _read_layer(path, f"{part}_layer{number}")
                number += 1
            if number == 0:
                raise ValueError(f"{part}_layer0 is missing")
        for folder, name in _SAMPLER_FOLDERS.items():
            layers[name] = _read_layer(path, folder)
        sizes = _read_json(path, "sampler.json")
        for name in _SAMPLER_FOLDERS.values():
            given = layers[name].weight.shape
            if given != (sizes["outputDim"], sizes["inputDim"]):
                raise ValueError(
                    f"sampler.json says {quoted(sizes)}, but {name} has weights {given}"
                )
        if not (path / _SETTINGS).exists():
            return SavedModel(layers, "gaussian", 1.0, 1.0, "float32", seed=0)
        settings = _read_json(path, _SETTINGS)
        check_version(settings, FORMAT_VERSION, LIKELIHOOD_VERSION)
        return apply_settings(layers, settings)


def write(path: Path, model: SavedModel) -> None:
    """Write a model as a new folder in the seed's format.

    What `read` would refuse is not written.

    Raises
    ------
    TypeError, ValueError
        As for a safetensors file: see `storage.write`.
    FileExistsError
        If `path` exists.
    OSError
        If the folder cannot be written.
    """
    model = checked(model)
    if model.raw_sigma is not None:
        raise ValueError(
            'the seed\'s format has no place for a trained sigma; save as "safetensors"'
        )
    if model.n_classes:
        raise ValueError('the seed\'s format has no place for classes; save as "safetensors"')
    if "encoder.0" not in model.layers:
        raise ValueError(
            'the seed\'s format has no place for an encoder without layers; save as "safetensors"'
        )
    if model.posterior is not None:
        warnings.warn(
            "the seed's format has no place for a posterior mixture, which is left out; a file "
            'saved as "safetensors" keeps it',
            stacklevel=3,
        )
        model = replace(model, posterior=None)
    settings = model.settings()
    del settings["sizes"], settings["activations"]
    text = to_json(settings)
    if len(text) > MAX_HEADER:
        refuse_size(model, _SETTINGS)

    def fill(root: Path) -> None:
        create_file(root / _SETTINGS, text.encode())
        folders = {name: folder for folder, name in _SAMPLER_FOLDERS.items()}
        for name, layer in model.layers.items():
            _write_layer(root / folders.get(name, name.replace(".", "_layer")), layer)
        create_file(root / "sampler.json", _sizes_json(model.layers["sampler.mean"]))
        verify(root, read, model)

    write_folder(path, fill)


def _sizes_json(layer: SavedLayer, **more: str) -> bytes:
    n_out, n_in = layer.weight.shape
    return json.dumps({"inputDim": n_in, "outputDim": n_out, **more}).encode()


def _write_layer(folder: Path, layer: SavedLayer) -> None:
    folder.mkdir()
    for name, array in (("weight", layer.weight), ("bias", layer.bias)):
        content = io.BytesIO()
        np.save(content, array, allow_pickle=False)
        create_file(folder / f"{name}.npy", content.getvalue())
    printed = PRINTED_ACTIVATIONS[layer.activation]
    create_file(folder / "dense.json", _sizes_json(layer, activation=printed))


def _read_layer(root: Path, folder: str) -> SavedLayer:
    """One layer, its arrays checked against the sizes that `dense.json` gives."""
    described = _read_json(root, f"{folder}/dense.json")
    printed = checks.choice(
        described["activation"], _ACTIVATION_NAMES, f"activation in {folder}/dense.json"
    )
    n_in = checks.integer(described["inputDim"], f"inputDim in {folder}/dense.json")
    n_out = checks.integer(described["outputDim"], f"outputDim in {folder}/dense.json")
    weight = _read_array(root, f"{folder}/weight.npy", (n_out, n_in), (n_out, n_in))
    bias = _read_array(root, f"{folder}/bias.npy", (n_out,), (n_out, 1))
    return SavedLayer(weight, bias.reshape(n_out), _ACTIVATION_NAMES[printed])


def _read_json(root: Path, name: str) -> dict[str, Any]:
    file = _inside(root, name)
    try:
        content = read_json(file, MAX_HEADER if name == _SETTINGS else _MAX_SIZES_JSON)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{name} must hold a mapping; got {type(content).__name__}")
    return content


def _read_array(root: Path, name: str, *shapes: tuple[int, ...]) -> NDArray[Any]:
    """One array of floats that has one of two shapes; that is checked before it is read."""
    with open_file(_inside(root, name)) as file:
        try:
            header = npy.read_header(file, size_of(file))
        except ValueError as error:
            raise ValueError(
                f"{name} is not a plain NumPy array file: {error}{but_found(file, '.npy')}"
            ) from error
        if header.dtype.kind != "f":
            raise ValueError(f"{name} must hold one array of floats; got dtype {header.dtype}")
        if header.shape not in shapes:
            raise ValueError(f"{name} must be {shapes[0]}; got {header.shape}")
        shape = header.shape[::-1] if header.is_fortran else header.shape
        array = read_values(file, shape, header.dtype)
    return checks.finite(array.T if header.is_fortran else array, name)


def _inside(root: Path, name: str) -> Path:
    """The file `name` below `root`; one that is missing or leads out of `root` is an error."""
    # realpath, unlike Path.resolve before Python 3.13, does not fail on links that go in circles.
    file = Path(os.path.realpath(root / name))
    if not file.is_relative_to(os.path.realpath(root)):
        raise ValueError(f"{name} leads out of the folder, to {printable(str(file))}")
    if not file.is_file():
        raise ValueError(f"{name} is missing")
    return file
