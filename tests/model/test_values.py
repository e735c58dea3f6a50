"""A model is one value: equal bits wherever it goes, and nothing shared with what it came from."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import pickletools
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from model_checks import assert_same_parameters, parameters, pixel_rows, small_vae

import fastvae
from fastvae import MLP, VAE, Dense, Sampler
from fastvae.callbacks import Callback

ROWS = pixel_rows(40, 37)


def used_vae(**settings: Any) -> VAE:
    """A model that has been trained, has encoded and has drawn."""
    vae = small_vae(**settings)
    vae.fit(ROWS, epochs=2, batch_size=7, verbose=False)
    vae.encode(ROWS)
    vae.elbo(ROWS)
    vae.sample(2)
    vae.feedforward(ROWS[:3])
    vae.card = {"name": "used"}
    return vae


def outcome(vae: VAE) -> list[bytes]:
    """Everything a model says, and what it becomes: passes, figures, unseeded draws, training."""
    found = [*vae.encode(ROWS), vae.reconstruct(ROWS), vae.decode(np.ones((3, 5))), vae.sample(3)]
    found += [vae.feedforward(ROWS), *vae.elbo(ROWS, per_sample=True)]
    history = vae.fit(ROWS, epochs=2, batch_size=11, verbose=False)
    found += [np.array(history["loss"]), np.array([vae.epochs, vae.updates])]
    found += parameters(vae).values()
    return [np.asarray(array).tobytes() for array in found]


def through_joblib(mmap_mode: str | None) -> Callable[[Any, Path], Any]:
    def dump_and_load(value: Any, folder: Path) -> Any:
        joblib.dump(value, folder / "value.joblib")
        return joblib.load(folder / "value.joblib", mmap_mode=mmap_mode)

    return dump_and_load


def through_memory(value: Any, folder: Path) -> Any:
    """What `joblib.Memory` gives on the second call, from disk."""
    calls = []

    def function(x: int) -> Any:
        calls.append(x)
        return value

    cached = joblib.Memory(tempfile.mkdtemp(dir=folder), verbose=0).cache(function)
    cached(1)
    again = cached(1)
    assert calls == [1]
    return again


def through_pickle(protocol):
    return lambda value, _: pickle.loads(pickle.dumps(value, protocol))


WAYS: dict[str, Callable[[Any, Path], Any]] = {
    "copy": lambda value, _: copy.copy(value),
    "deepcopy": lambda value, _: copy.deepcopy(value),
    **{
        f"pickle-{protocol}": through_pickle(protocol)
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
    "joblib": through_joblib(None),
    "joblib-mapped": through_joblib("r"),
    "memory": through_memory,
}
each_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


@each_way
@pytest.mark.parametrize(
    "settings",
    [{}, {"likelihood": "gaussian", "dtype": np.float64}, {"hidden": (19, 11), "beta": 0.5}],
    ids=["bernoulli", "float64", "deep"],
)
def test_a_model_is_the_same_after_every_way(way, settings, tmp_path):
    vae, expected = used_vae(**settings), outcome(used_vae(**settings))
    other = way(vae, tmp_path)
    assert type(other) is VAE
    assert (other.card, other.beta, other.likelihood) == (vae.card, vae.beta, vae.likelihood)
    assert other.history is not None
    assert vae.history is not None
    assert other.history["loss"] == vae.history["loss"]
    np.testing.assert_array_equal(other.sampler.sample, vae.sampler.sample)
    before = parameters(vae)
    assert outcome(other) == expected
    assert_same_parameters(vae, before)  # nothing is shared
    assert outcome(vae) == expected


@each_way
def test_layers_show_what_is_trained_saved_and_assigned(way, tmp_path):
    other = way(used_vae(), tmp_path)
    before = parameters(other)
    other.fit(ROWS, epochs=1, verbose=False)
    assert any((array != before[name]).any() for name, array in parameters(other).items())
    other.save(tmp_path / "model.safetensors")
    assert_same_parameters(fastvae.load(tmp_path / "model.safetensors"), parameters(other))
    encoded = other.encode(ROWS)[0]
    other.encoder.layers[0].weight = np.zeros((19, 37))
    assert (other.encode(ROWS)[0] != encoded).any()
    with pytest.raises(ValueError, match="each layer can be used once"):
        VAE(other.encoder, other.sampler, other.decoder)


@each_way
def test_layers_that_travel_with_their_model_stay_its_layers(way, tmp_path):
    vae = used_vae()
    if way is WAYS["copy"]:
        return  # a shallow copy of a list copies no model
    other, decoder, layer = way([vae, vae.decoder, vae.encoder.layers[0]], tmp_path)
    assert other.decoder is decoder
    assert other.encoder.layers[0] is layer
    layer.weight = np.zeros((19, 37))
    np.testing.assert_array_equal(other.network.read_dense(0)[0], 0)


@each_way
def test_an_empty_model_travels(way, tmp_path):
    assert repr(way(VAE(), tmp_path)) == "VAE()"


@each_way
@pytest.mark.parametrize("kind", ["Dense", "MLP", "Sampler"])
def test_parts_are_the_same_after_every_way(way, kind, tmp_path):
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(2, 6, 5))
    parts: dict[str, Any] = {
        "Dense": Dense(5, 5, "tanh", seed=1),
        "MLP": MLP([Dense(5, 4, "tanh"), Dense(4, 5)]),
        "Sampler": Sampler(5, 5, seed=2),
    }
    part = parts[kind]
    part.feedforward(x)
    other = way(part, tmp_path)
    for _ in range(2):
        np.testing.assert_array_equal(other.backward(dy), part.backward(dy))
        np.testing.assert_array_equal(other.feedforward(x), part.feedforward(x))


@each_way
def test_a_network_is_the_same_after_every_way(way, tmp_path):
    network = used_vae().network
    other = way(network, tmp_path)
    np.testing.assert_array_equal(other.encode(ROWS)[0], network.encode(ROWS)[0])
    other.parameters[:] = 0
    assert network.parameters.any()


@each_way
def test_a_layer_alone_leaves_its_model(way, tmp_path):
    """A copy of one layer of a VAE is free: it can be used in another model, with its weights."""
    vae = used_vae()
    layers = [way(layer, tmp_path) for layer in vae.encoder]
    assert not layers[0].in_vae
    other = VAE(MLP(layers), Sampler(19, 5), MLP([Dense(5, 37, "sigmoid")]))
    np.testing.assert_array_equal(other.encoder.layers[0].weight, vae.encoder.layers[0].weight)


@each_way
def test_an_untouched_layer_stays_untouched(way, tmp_path):
    """Layers that nobody assigned weights to draw them in the model they join, copies too."""
    plain = VAE(MLP([Dense(7, 5)]), Sampler(5, 2), MLP([Dense(2, 7, "sigmoid")]), seed=4)
    parts = MLP([Dense(7, 5)]), Sampler(5, 2), MLP([Dense(2, 7, "sigmoid")])
    copied = VAE(*(way(part, tmp_path) for part in parts), seed=4)
    assert_same_parameters(copied, parameters(plain))


@each_way
def test_what_others_put_on_a_model_travels(way, tmp_path):
    vae: Any = used_vae()
    vae.note = ["mine"]
    assert way(vae, tmp_path).note == ["mine"]


@each_way
def test_private_attributes_of_subclasses_travel(way, tmp_path):
    values: list[Any] = [used_vae(), Dense(3, 2), MLP([Dense(3, 2)]), Sampler(3, 2)]
    for value in values:
        value._scale = [2.0]
        assert way(value, tmp_path)._scale == [2.0]


@pytest.mark.parametrize("value", [VAE(), Dense(3, 2), MLP(), Sampler(3, 2)], ids=type)
def test_the_private_attributes_of_a_class_are_listed(value):
    """So that its state never carries one as it is, a lock or a network."""
    assert {name for name in vars(value) if name.startswith("_")} == type(value)._OWN


class Copies(Callback):
    """Pickles the model while it is trained."""

    def __init__(self) -> None:
        self.copies: list[bytes] = []

    def on_epoch_end(self, vae: VAE, epoch: int, figures: Any) -> None:
        self.copies.append(pickle.dumps(vae))


def test_a_copy_made_in_a_callback_is_the_model_of_that_moment():
    vae, copies = small_vae(), Copies()
    vae.fit(ROWS, epochs=2, batch_size=7, callbacks=[copies], verbose=False)
    first, last = (pickle.loads(content) for content in copies.copies)
    assert (first.epochs, last.epochs) == (1, 2)
    assert_same_parameters(last, parameters(vae))
    assert outcome(last) == outcome(vae)  # it can be trained, too


def test_pickles_name_the_package_only():
    """So that they can be read when the files have moved."""
    content = pickle.dumps(
        [used_vae(), fastvae.Adam(), fastvae.Dataset(ROWS), used_vae().elbo(ROWS)], protocol=2
    )
    names = {
        str(argument).split()[0]
        for code, argument, _ in pickletools.genops(content)
        if code.name == "GLOBAL"
    }
    assert {name for name in names if name.startswith("fastvae")} == {"fastvae"}
    for name in fastvae.__all__:
        value = getattr(fastvae, name)
        if isinstance(value, type):
            assert value.__module__ == "fastvae", name


def test_two_equal_models_have_one_pickle():
    """What is not their state (workspaces, addresses) is not in it."""
    fresh = small_vae()
    used = small_vae()
    used.encode(ROWS)
    used.elbo(ROWS)
    assert pickle.dumps(fresh) == pickle.dumps(used)
    assert joblib.hash(fresh) == joblib.hash(used)


def encoded(vae: VAE) -> list[bytes]:
    return outcome(vae)


@pytest.mark.slow
def test_loky_workers_use_and_train_models():
    """Arrays over 1 MB reach them memory-mapped and read-only."""
    rows = np.random.default_rng(0).random((50, 784), np.float32)
    new = VAE.from_sizes()
    expected = copy.deepcopy(new).fit(rows, epochs=1, verbose=False)["loss"]
    assert sum(array.nbytes for array in parameters(new).values()) > 1 << 20
    used = used_vae()
    with joblib.parallel_config("loky", n_jobs=2):
        results = joblib.Parallel()(joblib.delayed(_train_in_worker)(new, rows) for _ in range(2))
        others = joblib.Parallel()(joblib.delayed(encoded)(used) for _ in range(2))
    assert [losses for losses, _ in results] == [expected, expected]
    assert others == [outcome(used_vae())] * 2
    for _, model in results:  # came back by pickle, too
        assert_same_parameters(model, parameters(results[0][1]))


def _train_in_worker(vae: VAE, rows: Any) -> tuple[list[float], VAE]:
    return vae.fit(rows, epochs=1, verbose=False)["loss"], vae


PROGRAM = """
import multiprocessing, sys
import test_values

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    vae = test_values.used_vae()
    with context.Pool(2) as pool:
        others = pool.map_async(test_values.encoded, [vae, vae]).get(timeout=240)
    assert others == [test_values.outcome(test_values.used_vae())] * 2
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_processes_of_every_kind(method, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, str(program), method],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, Path(__file__).parents[:2]))},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["data", "optimizers", "evaluation", "animation", "schedules"])
def test_modules_are_there_after_importing_the_package(name):
    done = subprocess.run(
        [sys.executable, "-c", f"import fastvae; print(fastvae.{name}.__name__)"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"fastvae.{name}\n", done.stderr


@pytest.mark.parametrize("kind", [Dense, MLP])  # every model has some: they are restored first
def test_the_state_of_another_version_is_refused(kind):
    with pytest.raises(ValueError, match=f"this {kind.__name__} was pickled by another version"):
        kind.__new__(kind).__setstate__({"sizes": (3, 2), "activation": "relu"})
