"""The seed's folder format: what it holds, and clear errors for whatever else it may hold."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from model_checks import (
    SMALL_ROWS,
    assert_same_parameters,
    check_refused,
    parameters,
    small_vae,
    trained,
)

import fastvae


def write_seed_folder(path, dtype=np.float64, bias_shape=lambda n: (n,)):
    """A folder as the seed's system writes it: no `fastvae.json`, float64 arrays."""
    rng = np.random.default_rng(0)
    layers = {
        "encoder_layer0": (37, 19, "ReLU"),
        "encoder_layer1": (19, 11, "LeakyReLU"),
        "sampler_mean": (11, 5, "Identity"),
        "sampler_logvar": (11, 5, "Identity"),
        "decoder_layer0": (5, 19, "Tanh"),
        "decoder_layer1": (19, 37, "Sigmoid"),
    }
    arrays = {}
    for name, (n_in, n_out, activation) in layers.items():
        (path / name).mkdir(parents=True)
        arrays[name] = rng.normal(size=(n_out, n_in)) / 8, rng.normal(size=n_out) / 8
        np.save(path / name / "weight.npy", arrays[name][0].astype(dtype))
        np.save(path / name / "bias.npy", arrays[name][1].astype(dtype).reshape(bias_shape(n_out)))
        text = json.dumps({"inputDim": n_in, "outputDim": n_out, "activation": activation})
        (path / name / "dense.json").write_text(text)
    (path / "sampler.json").write_text(json.dumps({"inputDim": 11, "outputDim": 5}))
    return arrays


@pytest.fixture
def seed_folder(tmp_path):
    path = tmp_path / "mnist_variational_autoencoder"
    write_seed_folder(path)
    return path


@pytest.mark.parametrize("bias_shape", [lambda n: (n,), lambda n: (n, 1)])
def test_the_seeds_own_folder(tmp_path, bias_shape):
    arrays = write_seed_folder(tmp_path / "model", bias_shape=bias_shape)
    vae = fastvae.load(tmp_path / "model")
    names = {"sampler.mean": "sampler_mean", "sampler.log_var": "sampler_logvar"}
    for name, layer in vae.named_layers().items():
        weight, bias = arrays[names.get(name, name.replace(".", "_layer"))]
        np.testing.assert_array_equal(layer.weight, weight.astype(np.float32))
        np.testing.assert_array_equal(layer.bias, bias.astype(np.float32))
    activations = [layer.activation for layer in vae.named_layers().values()]
    assert activations == ["relu", "leaky_relu", "identity", "identity", "tanh", "sigmoid"]
    assert vae.likelihood == "gaussian"
    assert vae.reconstruction_weight == 1
    assert vae.feedforward(SMALL_ROWS[0]).shape == (37,)


def test_a_name_in_the_working_folder_is_that_folder(seed_folder, monkeypatch):
    monkeypatch.chdir(seed_folder.parent)
    assert fastvae.load("mnist_variational_autoencoder").n_features == 37


def test_written_seed_folder_has_the_seeds_files(tmp_path):
    vae = trained()
    vae.save(tmp_path / "model", format="seed")
    path = tmp_path / "model"
    folders = sorted(entry.name for entry in path.iterdir() if entry.is_dir())
    assert folders == [
        *("decoder_layer0", "decoder_layer1", "decoder_layer2"),
        *("encoder_layer0", "encoder_layer1", "sampler_logvar", "sampler_mean"),
    ]
    assert json.loads((path / "sampler.json").read_text()) == {"inputDim": 11, "outputDim": 5}
    described = json.loads((path / "encoder_layer0" / "dense.json").read_text())
    assert described == {"inputDim": 37, "outputDim": 19, "activation": "ReLU"}
    weight = np.load(path / "encoder_layer0" / "weight.npy")
    np.testing.assert_array_equal(weight, vae.encoder.layers[0].weight)
    (path / "fastvae.json").unlink()
    assert_same_parameters(fastvae.load(path), parameters(vae))


def test_seed_folder_is_not_overwritten(seed_folder):
    with pytest.raises(FileExistsError, match="exists; name a new folder"):
        small_vae().save(seed_folder, format="seed")
    assert fastvae.load(seed_folder).n_latent == 5


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("encoder_layer0/weight.npy", None, "encoder_layer0/weight.npy is missing"),
        ("encoder_layer0/dense.json", None, "encoder_layer0/dense.json is missing"),
        ("sampler.json", None, "sampler.json is missing"),
        ("sampler.json", "{}", "it has no 'outputDim'"),
        ("sampler.json", "[1]", "sampler.json must hold a mapping; got list"),
        ("sampler.json", '{"inputDim": 11, "outputDim": 6}', "sampler.json says"),
        ("encoder_layer0/dense.json", "{", "not a valid model"),
        ("encoder_layer0/dense.json", "[" * 100_000, "not a valid model"),
        ("encoder_layer0/dense.json", " " * (1 << 21), "too large for a file of settings"),
        (
            "encoder_layer0/dense.json",
            '{"inputDim": 37, "outputDim": 19, "activation": "Softmax"}',
            "activation in encoder_layer0/dense.json must be one of 'Identity', 'ReLU'",
        ),
        (
            "encoder_layer0/dense.json",
            '{"inputDim": -37, "outputDim": 19, "activation": "ReLU"}',
            "inputDim in encoder_layer0/dense.json must be",
        ),
        (
            "encoder_layer0/dense.json",
            '{"inputDim": 36, "outputDim": 19, "activation": "ReLU"}',
            r"encoder_layer0/weight.npy must be \(19, 36\); got \(19, 37\)",
        ),
        ("encoder_layer0/weight.npy", "not an array", "weight.npy is not a plain NumPy array file"),
        ("encoder_layer0/weight.npy", "", "weight.npy is not a plain NumPy array file"),
        ("fastvae.json", "{}", "it has no 'format_version'"),
    ],
)
def test_bad_seed_folders(seed_folder, file, content, message):
    if content is None:
        (seed_folder / file).unlink()
    else:
        (seed_folder / file).write_text(content)
    check_refused(seed_folder, message)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((37, 19)), r"weight.npy must be \(19, 37\); got \(37, 19\)"),
        (np.full((19, 37), np.nan), "weight.npy must be finite"),
        (np.zeros((19, 37), complex), "weight.npy must hold one array of floats"),
        (np.zeros((19, 37), int), "weight.npy must hold one array of floats"),
        (np.zeros((19, 37), object), "weight.npy is not a plain NumPy array file"),
    ],
)
def test_bad_seed_arrays(seed_folder, array, message):
    # Pickling is for making the bad file only; reading must refuse it.
    np.save(seed_folder / "encoder_layer0" / "weight.npy", array, allow_pickle=True)
    check_refused(seed_folder, message)


def npy_header(text):
    header = text.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 1000000)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000000000000000,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-19, -37)}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (19, 37)}",
        "__import__('os').mkdir('exploded')",
        "(" * 200,
    ],
)
def test_absurd_array_headers(seed_folder, monkeypatch, header):
    monkeypatch.chdir(seed_folder.parent)
    file = seed_folder / "encoder_layer0" / "weight.npy"
    file.write_bytes(npy_header(header) + bytes(64))
    check_refused(seed_folder, "encoder_layer0/weight.npy")
    assert not (seed_folder.parent / "exploded").exists()


def test_a_pickle_in_place_of_an_array_is_not_run(seed_folder, tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    file = seed_folder / "sampler_mean" / "weight.npy"
    file.write_bytes(pickle.dumps(Bomb()))
    check_refused(seed_folder, "sampler_mean/weight.npy is not a plain NumPy array file")
    # The same within an array file, which only writing with pickles can make.
    np.save(file, np.array([[Bomb()]], object), allow_pickle=True)
    check_refused(seed_folder, "sampler_mean/weight.npy is not a plain NumPy array file")
    assert not (tmp_path / "exploded").exists()


def test_truncated_seed_arrays(seed_folder):
    file = seed_folder / "decoder_layer1" / "weight.npy"
    content = file.read_bytes()
    for length in (1, 6, 9, 40, 127, 128, 129, len(content) - 1):
        file.write_bytes(content[:length])
        check_refused(seed_folder, "decoder_layer1/weight.npy")


def test_links_out_of_the_seed_folder_are_not_followed(seed_folder, tmp_path):
    outside = tmp_path / "outside"
    shutil.copytree(seed_folder / "sampler_mean", outside)
    shutil.rmtree(seed_folder / "sampler_mean")
    (seed_folder / "sampler_mean").symlink_to(outside)
    check_refused(seed_folder, "sampler_mean/dense.json leads out of the folder")


@pytest.mark.parametrize("link", ["sampler.json", "encoder_layer0/weight.npy"])
def test_a_link_to_a_file_outside_and_one_to_itself(seed_folder, tmp_path, link):
    os.replace(seed_folder / link, tmp_path / "outside")
    (seed_folder / link).symlink_to(tmp_path / "outside")
    check_refused(seed_folder, f"model: {link} leads out of the folder")
    (seed_folder / link).unlink()
    (seed_folder / link).symlink_to(Path(link).name)
    check_refused(seed_folder, f"model: {link} is missing")
