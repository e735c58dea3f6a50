"""Model files: round trips, and clear errors for whatever else a file may hold."""

from __future__ import annotations

import json
import os
import pickle
import struct
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from model_checks import (
    SMALL_ROWS,
    assert_same_model,
    assert_same_parameters,
    check_refused,
    parameters,
    set_parameter,
    small_vae,
    trained,
)
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import fastvae
from fastvae import VAE, checks
from fastvae.files import storage, writing

X = SMALL_ROWS


@pytest.mark.parametrize("format", ["safetensors", "seed"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"dtype": np.float64, "activation": "leaky_relu", "seed": 2**64 - 1},
        {"likelihood": "gaussian", "reconstruction_weight": 1 / 3, "beta": 0.1},
        {"likelihood": "gaussian", "output_activation": "softplus", "activation": "tanh"},
    ],
)
def test_round_trip(tmp_path, format, settings):
    vae = trained(**settings)
    vae.save(tmp_path / "model", format=format)
    assert_same_model(fastvae.load(tmp_path / "model"), vae)
    empty = VAE()
    empty.load(str(tmp_path / "model"))
    assert_same_model(empty, vae)
    assert os.listdir(tmp_path) == ["model"]


def test_loaded_model_trains_on(tmp_path):
    vae = trained()
    vae.save(tmp_path / "model")
    loaded = fastvae.load(tmp_path / "model")
    vae.fit(X, epochs=1, batch_size=4, verbose=False)
    loaded.fit(X, epochs=1, batch_size=4, verbose=False)
    assert_same_model(loaded, vae)


def test_file_holds_canonical_arrays_by_the_names_of_the_gradients(tmp_path):
    vae = trained()
    vae.save(tmp_path / "model")
    arrays = load_file(tmp_path / "model")
    assert arrays.keys() == vae.gradients(X)[1].keys()
    assert arrays["encoder.0.weight"].shape == (19, 37)
    for name, array in parameters(vae).items():
        np.testing.assert_array_equal(arrays[name], array)


def test_same_model_same_bytes(tmp_path):
    for name in ("one", "two"):
        trained().save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_saving_replaces_the_file_whole(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"old")
    trained().save(path)
    assert fastvae.load(path).n_features == 37
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_run_folder_stands_for_its_model(tmp_path):
    vae = trained()
    vae.save(tmp_path / "model.safetensors")
    assert_same_model(fastvae.load(tmp_path), vae)


def test_pretrained_models_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "PRETRAINED", tmp_path)
    vae = trained()
    for name in ("two", "one"):
        vae.save(tmp_path / f"{name}.safetensors")
    assert fastvae.pretrained() == ["one", "two"]
    assert_same_model(fastvae.load("one"), vae)
    monkeypatch.chdir(tmp_path)
    small_vae(n_latent=2).save("two")
    assert fastvae.load("two").n_latent == 2


@pytest.mark.parametrize(
    "name", ["three", "", "../two", "/no/such/file", "a" * 10_000, "nul\0byte", "two.safetensors"]
)
def test_unknown_names_list_the_known(tmp_path, monkeypatch, name):
    (tmp_path / "inner").mkdir()
    monkeypatch.setattr(storage, "PRETRAINED", tmp_path / "inner")
    monkeypatch.chdir(tmp_path / "inner")
    small_vae().save(tmp_path / "inner" / "one.safetensors")
    with pytest.raises(FileNotFoundError, match=r"pretrained models are: one$") as error:
        fastvae.load(name)
    assert len(str(error.value)) < 400


def test_load_wants_a_name():
    with pytest.raises(TypeError, match="by its name or path; got 3"):
        fastvae.load(3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("missing/model", FileNotFoundError, "there is no folder"),
        ("", IsADirectoryError, "is a folder; name a file in it"),
        ("file/model", FileNotFoundError, "there is no folder"),
    ],
)
def test_saving_where_it_cannot_be(tmp_path, path, error, message):
    (tmp_path / "file").write_text("")
    with pytest.raises(error, match=message):
        small_vae().save(tmp_path / path)
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("format", ["safetensors", "seed"])
def test_saving_to_a_read_only_folder(tmp_path, monkeypatch, format):
    monkeypatch.setattr(os, "access", lambda *_, **__: False)  # root may write anywhere
    with pytest.raises(PermissionError, match="is not writable"):
        small_vae().save(tmp_path / "model", format=format)


def test_bad_save_arguments(tmp_path):
    vae = small_vae()
    with pytest.raises(ValueError, match="'safetensors', 'seed'; got 'pickle'"):
        vae.save(tmp_path / "model", format="pickle")  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == []


def over_an_old_file(tmp_path, format):
    """Where a model is to be saved, and what must stay there if it is refused."""
    if format == "seed":
        return tmp_path / "model", {}
    small_vae().save(tmp_path / "model")
    return tmp_path / "model", {"model": (tmp_path / "model").read_bytes()}


def assert_refused_save(vae, tmp_path, format, error, message):
    """Saving says what is wrong, and leaves what was there, byte for byte."""
    path, before = over_an_old_file(tmp_path, format)
    with pytest.raises(error, match=message):
        vae.save(path, format=format)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("format", ["safetensors", "seed"])
@pytest.mark.parametrize(
    ("value", "found"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")]
)
@pytest.mark.parametrize("name", ["encoder.1.weight", "sampler.log_var.bias", "decoder.2.weight"])
def test_a_model_that_is_not_finite_is_not_saved(tmp_path, monkeypatch, format, value, found, name):
    vae = trained()
    changed = parameters(vae)[name].copy()
    changed.flat[-1] = value
    with monkeypatch.context() as patch:  # as a training leaves it: assigning NaN is refused
        patch.setattr(checks, "parameter", lambda value, *_: value)
        set_parameter(vae, name, changed)
    message = rf"{name} holds {found}: a model that is not finite is not saved"
    assert_refused_save(vae, tmp_path, format, ValueError, message)


@pytest.mark.parametrize("format", ["safetensors", "seed"])
@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (object(), TypeError, r"card\['x'\] must be plain JSON data"),
        (np.float32(1), TypeError, r"card\['x'\] must be plain JSON data"),
        (float("nan"), ValueError, r"card\['x'\] must be finite"),
        ([10**5000], ValueError, r"card\['x'\]\[0\] must have at most 4300 digits"),
    ],
)
def test_a_card_that_was_changed_in_place_is_checked(tmp_path, format, value, error, message):
    vae = small_vae()
    vae.card["x"] = value
    assert_refused_save(vae, tmp_path, format, error, message)


@pytest.mark.parametrize("format", ["safetensors", "seed"])
def test_a_card_larger_than_a_header_is_refused_and_the_sizes_named(tmp_path, format):
    vae = small_vae()
    vae.card = {"notes": "x" * 16_000_000}
    message = "a model card of 16,000,013 bytes of JSON do not fit .* at most 16,000,000 bytes"
    assert_refused_save(vae, tmp_path, format, ValueError, message)


@pytest.mark.parametrize("format", ["safetensors", "seed"])
def test_large_cards(tmp_path, format):
    vae = small_vae()
    vae.card = {"notes": "x" * 3_000_000, "quotes": ['"'] * 1000}
    vae.save(tmp_path / "model", format=format)
    assert fastvae.load(tmp_path / "model").card == vae.card


def test_older_safetensors_write_headers_that_they_do_not_read(tmp_path, monkeypatch):
    vae = small_vae()
    vae.card = {"notes": "x" * 1000}
    path, before = over_an_old_file(tmp_path, "safetensors")
    monkeypatch.setattr(storage, "MAX_HEADER", 1000)
    message = "a model card of 1,013 bytes of JSON do not fit .* at most 1,000 bytes"
    with pytest.raises(ValueError, match=message):
        vae.save(path)
    assert path.read_bytes() == before["model"]


@pytest.mark.slow
def test_thousands_of_layers(tmp_path):
    vae = VAE.from_sizes(3, (2,) * 3500, 1, activation="tanh")
    vae.save(tmp_path / "model")
    assert_same_parameters(fastvae.load(tmp_path / "model"), parameters(vae))


@pytest.mark.parametrize("format", ["safetensors", "seed"])
def test_what_reads_back_otherwise_is_not_saved(tmp_path, monkeypatch, format):
    """A disk that changes a byte of a weight, or of the settings."""
    write_out = writing._write_out
    for old, new in ((b"nine rows", b"nine cows"), (trained().decoder.layers[0].bias.data, b"")):
        old = bytes(old)
        new = new or bytes([old[0] ^ 1]) + old[1:]

        def faulty(descriptor, content, like, old=old, new=new):
            write_out(descriptor, content.replace(old, new), like)

        monkeypatch.setattr(writing, "_write_out", faulty)
        with pytest.raises(OSError, match="what was written reads back otherwise"):
            trained().save(tmp_path / "model", format=format)
        assert os.listdir(tmp_path) == []


def test_what_cannot_be_read_back_is_not_saved(tmp_path, monkeypatch):
    write_out = writing._write_out
    path, _ = over_an_old_file(tmp_path, "safetensors")
    before = path.read_bytes()
    monkeypatch.setattr(
        writing, "_write_out", lambda file, content, like: write_out(file, content[:-1], like)
    )
    with pytest.raises(OSError, match="cannot be read back: .*truncated|cannot be read back"):
        trained().save(path)
    assert (path.read_bytes(), os.listdir(tmp_path)) == (before, ["model"])


def test_saving_follows_links_and_keeps_permissions(tmp_path):
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "target").chmod(0o640)
    (tmp_path / "link").symlink_to("target")
    vae = trained()
    vae.save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").stat().st_mode & 0o777 == 0o640
    assert_same_model(fastvae.load(tmp_path / "target"), vae)
    (tmp_path / "folder").symlink_to("seed")
    vae.save(tmp_path / "folder", format="seed")
    assert_same_model(fastvae.load(tmp_path / "seed"), vae)


def test_threads_save_to_one_path_while_others_load(tmp_path):
    path = tmp_path / "model"
    models = [small_vae(seed=seed) for seed in range(4)]
    models[0].save(path)

    def save(vae):
        for _ in range(10):
            vae.save(path)

    def load(_):
        return [fastvae.load(path).seed for _ in range(10)]

    with ThreadPoolExecutor(6) as pool:
        saving = [pool.submit(save, vae) for vae in models]
        loading = [pool.submit(load, i) for i in range(2)]
        for future in saving:
            future.result()
        assert {seed for future in loading for seed in future.result()} <= {0, 1, 2, 3}
    assert os.listdir(tmp_path) == ["model"]


@pytest.fixture
def model_file(tmp_path):
    path = tmp_path / "model.safetensors"
    trained().save(path)
    return path


def test_truncated_files(model_file):
    content = model_file.read_bytes()
    header = 8 + struct.unpack("<Q", content[:8])[0]
    for length in (0, 1, 7, 8, 9, header // 2, header - 1, header, header + 1, len(content) - 1):
        model_file.write_bytes(content[:length])
        check_refused(model_file, "not a valid model")
    model_file.write_bytes(content + b"\0")
    check_refused(model_file, "not a valid model")


@pytest.mark.parametrize("length", [0, 1, 2**31, 2**62, 2**64 - 1])
def test_absurd_header_lengths(model_file, length):
    model_file.write_bytes(struct.pack("<Q", length) + model_file.read_bytes()[8:])
    check_refused(model_file, "truncated or no safetensors file")


def test_corrupt_headers(model_file):
    content = model_file.read_bytes()
    rng = np.random.default_rng(0)
    header = struct.unpack("<Q", content[:8])[0]
    refused = 0
    for _ in range(300):
        damaged = bytearray(content)
        damaged[8 + rng.integers(header)] = rng.integers(256)
        model_file.write_bytes(damaged)
        try:  # a byte of a number or of the card may make another valid model
            assert fastvae.load(model_file).n_features == 37
        except ValueError:
            check_refused(model_file, "not a valid model")
            refused += 1
    assert refused > 200


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_is_not_run(model_file, tmp_path, protocol):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    model_file.write_bytes(pickle.dumps(Bomb(), protocol))
    check_refused(model_file, "not a valid model")
    assert not (tmp_path / "exploded").exists()


def rewrite(path, change_settings=None, change_arrays=None, metadata=None):
    arrays = {name: array.copy() for name, array in load_file(path).items()}
    with safe_open(path, framework="numpy") as file:
        settings = json.loads(file.metadata()["fastvae"])
    if change_settings:
        change_settings(settings)
    if change_arrays:
        change_arrays(arrays)
    save_file(arrays, path, metadata or {"fastvae": json.dumps(settings)})


def put(name, value):
    return lambda mapping: mapping.__setitem__(name, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("format_version", 4), "format version must be 1 or 2 or 3; got 4"),
        (put("likelihood", "poisson"), "likelihood must be one of 'bernoulli', 'gaussian'"),
        (put("beta", -1), "beta must be"),
        (put("beta", "1"), "beta must be"),
        (put("dtype", "float64"), "must be F64 of shape"),
        (put("dtype", "object"), "dtype must be one of 'float32', 'float64'; got 'object'"),
        (put("seed", -1), "seed must be"),
        (put("seed", 1.5), "seed must be"),
        (put("epochs", -1), "epochs must be"),
        (put("updates", 2**62), "updates must be"),
        (put("card", {"x": float("nan")}), "it holds NaN"),
        (put("card", {"x": [[] for _ in range(3)] + [json.loads("[" * 200 + "]" * 200)]}), "deep"),
        (put("card", [1]), "card must be a mapping of plain JSON data; got list"),
        (put("sizes", {}), "tensors must be"),
        (put("sizes", [1]), "not a valid model"),
        (put("sizes", None), "not a valid model"),
        (put("activations", {}), "it has no 'decoder.0'"),
        (lambda s: s.clear(), "it has no 'format_version'"),
        (lambda s: s["sizes"].__setitem__("encoder.0", [10**12, 37]), "must be F32 of shape"),
        (lambda s: s["sizes"].__setitem__("encoder.0", [19]), "not a valid model"),
        (lambda s: s["activations"].__setitem__("encoder.0", "swish"), "must be one of"),
        (lambda s: s["activations"].__setitem__("decoder.2", "relu"), "needs sigmoid"),
        (lambda s: s["activations"].__setitem__("sampler.mean", "relu"), "must be identity"),
    ],
)
def test_mislabelled_files(model_file, change, message):
    rewrite(model_file, change_settings=change)
    check_refused(model_file, message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("decoder.1.bias"), "tensors must be"),
        (put("extra", np.zeros(3, np.float32)), "tensors must be .*; got .*extra"),
        (put("encoder.0.weight", np.zeros((37, 19), np.float32)), r"got F32 of shape \[37, 19\]"),
        (put("encoder.0.bias", np.zeros(19, np.int32)), "got I32"),
        (put("encoder.0.bias", np.full(19, np.nan, np.float32)), "encoder.0.bias must be finite"),
    ],
)
def test_wrong_tensors(model_file, change, message):
    rewrite(model_file, change_arrays=change)
    check_refused(model_file, message)


def test_layers_that_do_not_chain_or_are_unknown(model_file):
    def both(name, size, new_name=None):
        def change_settings(settings):
            for key in ("sizes", "activations"):
                settings[key][new_name or name] = settings[key].pop(name)
            settings["sizes"][new_name or name] = list(size)

        def change_arrays(arrays):
            del arrays[f"{name}.weight"], arrays[f"{name}.bias"]
            arrays[f"{new_name or name}.weight"] = np.zeros(size, np.float32)
            arrays[f"{new_name or name}.bias"] = np.zeros(size[0], np.float32)

        return change_settings, change_arrays

    content = model_file.read_bytes()
    for changes, message in [
        (both("encoder.1", (11, 18)), "layer 1 must have 19 inputs"),
        (both("sampler.log_var", (4, 11)), r"weight must have shape \(5, 11\); got \(4, 11\)"),
        (both("decoder.2", (36, 19)), "decoder outputs must be as many as features, 37; got 36"),
        (both("decoder.2", (37, 19), "decoder.3"), "it has no 'decoder.2'"),
        (both("decoder.2", (37, 19), "dekoder.2"), "unknown layers among"),
        (both("sampler.mean", (5, 11), "sampler.mode"), "it has no 'sampler.mean'"),
        (both("encoder.0", (19, 0)), "n_in must be an integer of at least 1; got 0"),
    ]:
        model_file.write_bytes(content)
        rewrite(model_file, *changes)
        check_refused(model_file, message)


def test_the_metadata_tell_other_programs_what_the_file_is(tmp_path):
    vae = small_vae()
    vae.card = {"name": "a\ud800b\n", "license": "mit", "description": ["no text"], "more": "x"}
    contents = set()
    for name in ("one", "two"):
        vae.save(tmp_path / name)
        contents.add((tmp_path / name).read_bytes())
    assert len(contents) == 1
    with safe_open(tmp_path / "one", "np") as file:  # which refuses what is not Unicode
        metadata = file.metadata()
        assert len(list(file.keys())) == 10
    assert json.loads(metadata.pop("fastvae"))["card"] == vae.card
    assert metadata == {
        "format": "np", "library_name": "fastvae", "name": "a\\ud800b\\n", "license": "mit"
    }  # fmt: skip
    assert fastvae.load(tmp_path / "one").card == vae.card
    header_length = int.from_bytes(contents.pop()[:8], "little")
    assert header_length % 8 == 0


def test_safetensors_of_somebody_else(model_file):
    rewrite(model_file, metadata={"format": "pt"})
    check_refused(model_file, "not written by fastvae")
    for text in ("", "{", "[1, 2]", "3", "[" * 100_000):
        rewrite_text(model_file, text)
        check_refused(model_file, "not a valid model")


def rewrite_text(path, text):
    save_file(load_file(path), path, {"fastvae": text})


def test_a_path_that_ends_like_a_folder_is_no_file(tmp_path):
    """Without the slash it would name a file, which `load` does not find with it."""
    vae = small_vae()
    vae.save(tmp_path / "good")
    before = (tmp_path / "good").read_bytes()
    for name in ("good", "new"):
        with pytest.raises(IsADirectoryError, match="name of a folder; name a file in it"):
            small_vae(seed=9).save(f"{tmp_path}/{name}/")
    assert (tmp_path / "good").read_bytes() == before
    assert not (tmp_path / "new").exists()


def test_a_folder_without_a_model(tmp_path):
    check_refused(tmp_path, "neither a model file nor a folder with a model")
