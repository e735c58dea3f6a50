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
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastvae import checks
from fastvae.files.storage import (
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
        for folder, name in _SAMPLER_FOLDERS.items():
            layers[name] = _read_layer(path, folder)
        sizes = _read_json(path, "sampler.json")
        for name in _SAMPLER_FOLDERS.values():
            given = layers[name].weight.shape
            if given != (sizes["outputDim"], sizes["inputDim"]):
                raise ValueError(f"sampler.json says {sizes}, but {name} has weights {given}")
        if not (path / _SETTINGS).exists():
            return SavedModel(layers, "gaussian", 1.0, 1.0, "float32", seed=0)
        settings = _read_json(path, _SETTINGS)
        check_version(settings)
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
    weight = _read_array(root, f"{folder}/weight.npy")
    bias = _read_array(root, f"{folder}/bias.npy")
    if weight.shape != (n_out, n_in):
        raise ValueError(f"{folder}/weight.npy must be {(n_out, n_in)}; got {weight.shape}")
    if bias.shape not in ((n_out,), (n_out, 1)):
        raise ValueError(f"{folder}/bias.npy must be {(n_out,)}; got {bias.shape}")
    return SavedLayer(weight, bias.reshape(n_out), _ACTIVATION_NAMES[printed])


def _read_json(root: Path, name: str) -> dict[str, Any]:
    file = _inside(root, name)
    if file.stat().st_size > (MAX_HEADER if name == _SETTINGS else _MAX_SIZES_JSON):
        raise ValueError(f"{name} is too large for a settings file")
    content = json.loads(file.read_text("utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"{name} must hold a mapping; got {type(content).__name__}")
    return content


def _read_array(root: Path, name: str) -> NDArray[Any]:
    """One array: mapped first, so that a header's absurd size meets the file's and fails."""
    file = _inside(root, name)
    try:
        mapped = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, OverflowError, EOFError, SyntaxError, TokenError) as error:
        raise ValueError(f"{name} is not a plain NumPy array file: {error}") from error
    if not isinstance(mapped, np.ndarray) or mapped.dtype.kind != "f":
        raise ValueError(f"{name} must hold one array of floats")
    return checks.finite(np.array(mapped), name)


def _inside(root: Path, name: str) -> Path:
    """The file `name` below `root`; one that is missing or leads out of `root` is an error."""
    # realpath, unlike Path.resolve before Python 3.13, does not fail on links that go in circles.
    file = Path(os.path.realpath(root / name))
    if not file.is_relative_to(os.path.realpath(root)):
        raise ValueError(f"{name} leads out of the folder, to {file}")
    if not file.is_file():
        raise ValueError(f"{name} is missing")
    return file
