"""`fit`: against a loop written out, its history, its callbacks, and what it refuses."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from model_checks import (
    Recorder,
    assert_same_parameters,
    batches,
    parameters,
    pixel_rows,
    set_parameter,
    small_vae,
    training_noise,
)

from fastvae import SGD, VAE, Adam, Dataset, RMSprop, kernels
from fastvae.schedules import Cosine
from fastvae.training import loop
from fastvae.training.settings import Settings

X = pixel_rows(23, 37)


class Written:
    """The optimisers as their papers write them."""

    def __init__(self, optimizer):
        self.optimizer, self.first, self.second, self.step = optimizer, {}, {}, 0

    def update(self, values, gradients, rate):
        self.step += 1
        return {name: self.new(name, values[name], g, rate) for name, g in gradients.items()}

    def new(self, name, value, g, rate):
        settings, m, s = self.optimizer, self.first.get(name, 0), self.second.get(name, 0)
        if isinstance(settings, SGD):
            self.first[name] = m = settings.momentum * m + g
            return value - rate * m
        if isinstance(settings, RMSprop):
            self.second[name] = s = settings.decay * s + (1 - settings.decay) * g**2
            return value - rate * g / (np.sqrt(s) + settings.eps)
        self.first[name] = m = settings.beta1 * m + (1 - settings.beta1) * g
        self.second[name] = s = settings.beta2 * s + (1 - settings.beta2) * g**2
        m_hat = m / (1 - settings.beta1**self.step)
        s_hat = s / (1 - settings.beta2**self.step)
        return value - rate * m_hat / (np.sqrt(s_hat) + settings.eps)


def fit_written_out(vae, rows, epochs, batch_size, schedule, optimizer, clip_norm=np.inf):
    """What `fit` does, from the public gradients; the mean loss of each epoch."""
    n_rows = len(rows)
    total = epochs * -(-n_rows // batch_size)
    written, losses = Written(optimizer), []
    if vae.likelihood == "bernoulli" and not vae.decoder.layers[-1].bias.any():
        mean = np.clip((rows / 255).mean(axis=0), 0.001, 0.999)
        vae.decoder.layers[-1].bias = np.log(mean / (1 - mean))
    for _ in range(epochs):
        loss_sum = 0.0
        for index in batches(vae, n_rows, batch_size, vae.epochs):
            noise = training_noise(vae, len(index), vae.updates)
            loss, gradients = vae.gradients(rows[index], noise)
            norm = np.sqrt(sum(np.vdot(g, g) for g in gradients.values()))
            scale = min(1, clip_norm / norm)
            clipped = {name: scale * g for name, g in gradients.items()}
            rate = schedule(written.step, total)
            for name, value in written.update(parameters(vae), clipped, rate).items():
                set_parameter(vae, name, value)
            vae.updates += 1
            loss_sum += loss.loss * len(index)
        vae.epochs += 1
        losses.append(loss_sum / n_rows)
    return losses


@pytest.mark.parametrize("clip_norm", [None, 0.7])
@pytest.mark.parametrize("likelihood", kernels.LIKELIHOODS)
@pytest.mark.parametrize(
    "optimizer",
    [
        SGD(),
        SGD(momentum=0.8),
        RMSprop(decay=0.8, eps=1e-3),
        Adam(beta1=0.8, beta2=0.95, eps=1e-3),
    ],
)
def test_fit_is_the_loop_written_out(optimizer, likelihood, clip_norm):
    settings = {
        "likelihood": likelihood,
        "output_activation": "sigmoid",
        "dtype": np.float64,
        "beta": 0.7,
        "reconstruction_weight": 1.3,
    }
    vae, written = small_vae(**settings), small_vae(**settings)
    schedule = Cosine(0.02, 0.001)
    # Two fits: the second starts with fresh moments, but with orders and noise of its own.
    for epochs, batch_size in ((3, 10), (2, 7)):
        history = vae.fit(
            X,
            epochs=epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            learning_rate=schedule,
            clip_norm=clip_norm,
            verbose=False,
        )
        losses = fit_written_out(
            written, X, epochs, batch_size, schedule, optimizer, clip_norm or np.inf
        )
        # 17 updates of float64 sums in another order; eps = 1e-3 keeps rounding from growing.
        np.testing.assert_allclose(history["loss"], losses, rtol=1e-11)
        for name, array in parameters(vae).items():
            np.testing.assert_allclose(
                array, parameters(written)[name], rtol=1e-9, atol=1e-10, err_msg=name
            )
    assert (vae.epochs, vae.updates) == (written.epochs, written.updates) == (5, 17)
    if clip_norm:
        free = small_vae(**settings)
        free.fit(X, epochs=1, optimizer=optimizer, learning_rate=0.02, verbose=False)
        noise = np.zeros((23, 5))
        gradients = small_vae(**settings).gradients(X, noise)[1]
        assert sum(np.vdot(g, g) for g in gradients.values()) > clip_norm**2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adam"])
def test_every_optimizer_learns(optimizer, dtype):
    rows = pixel_rows(200, 37)
    vae = small_vae(dtype=dtype)
    rate = 0.1 if optimizer == "sgd" else 0.01
    history = vae.fit(
        rows, epochs=8, batch_size=20, optimizer=optimizer, learning_rate=rate, verbose=False
    )
    assert history["loss"][-1] < 0.98 * history["loss"][0]


def test_history_has_the_figures_of_each_epoch():
    vae = small_vae(beta=0.5, reconstruction_weight=2.0)
    history = vae.fit(X, epochs=3, batch_size=10, validation=X[:5], verbose=False)
    assert list(history) == [
        *("loss", "elbo", "reconstruction", "kl", "active_units", "seconds"),
        *("samples_per_second", "val_loss", "val_elbo", "val_reconstruction", "val_kl"),
    ]
    assert all(len(history[name]) == 3 for name in history)
    for prefix in ("", "val_"):
        loss, elbo, reconstruction, kl = (
            np.array(history[prefix + name]) for name in ("loss", "elbo", "reconstruction", "kl")
        )
        np.testing.assert_allclose(elbo, -(reconstruction + kl), rtol=1e-14)
        # The training loss is summed in float64 from terms of the working type.
        np.testing.assert_allclose(loss, 2 * reconstruction + 0.5 * kl, rtol=1e-6)
    seconds, speed = np.array(history["seconds"]), np.array(history["samples_per_second"])
    np.testing.assert_allclose(seconds * speed, 23)
    last = vae.elbo(X[:5], seed=vae.seed)
    assert history["val_elbo"][-1] == last.elbo
    assert history["val_kl"][-1] == last.kl


def test_history_without_validation_and_its_repr():
    history = small_vae().fit(X, epochs=1, verbose=False)
    assert len(history) == 7
    assert "val_loss" not in history
    assert repr(history).splitlines()[0].split()[:3] == ["epoch", "elbo", "reconstruction"]


def test_training_figures_come_from_the_epochs_own_passes():
    vae = small_vae(dtype=np.float64)
    vae.fit(X, epochs=2, batch_size=10, verbose=False)
    epoch, updates = vae.epochs, vae.updates
    history = vae.fit(X, epochs=1, batch_size=10, learning_rate=0.0, verbose=False)
    expected = np.zeros(2)
    for i, index in enumerate(batches(vae, 23, 10, epoch)):
        noise = training_noise(vae, len(index), updates + i)
        losses, _ = vae.gradients(X[index], noise)
        expected += np.array([losses.reconstruction, losses.kl]) * len(index) / 23
    # Float64 sums of 23 rows in another order.
    np.testing.assert_allclose(history["reconstruction"][0], expected[0], rtol=1e-13)
    np.testing.assert_allclose(history["kl"][0], expected[1], rtol=1e-13)
    variance = vae.encode(X)[0].var(axis=0)
    assert history["active_units"] == [np.count_nonzero(variance > 0.01)]


def test_output_bias_starts_at_the_means_logit():
    rows = np.vstack([np.zeros(37, np.uint8), np.full(37, 255, np.uint8), X])
    rows[:, 0], rows[:, 1] = 0, 255
    vae = small_vae(dtype=np.float64)
    vae.fit(rows, epochs=1, learning_rate=0.0, verbose=False)
    mean = (rows / 255).mean(axis=0)
    mean[0], mean[1] = 0.001, 0.999
    np.testing.assert_allclose(
        vae.decoder.layers[-1].bias, np.log(mean / (1 - mean)), rtol=1e-12, atol=1e-12
    )


def test_output_bias_has_the_bits_of_the_system_s_log():
    """NumPy's own has others on processors with AVX-512: 0.2 % of them."""
    vae = small_vae(n_features=5000, dtype=np.float64)
    rows = vae.check_rows(np.random.default_rng(0).random((3, 5000)))
    vae.start_output_bias(rows)
    mean = vae.network.column_means(rows)
    expected = [math.log(odds) for odds in (mean / (1 - mean)).tolist()]
    np.testing.assert_array_equal(vae.decoder.layers[-1].bias, expected)


def test_output_bias_is_left_alone_where_it_was_set():
    gaussian = small_vae(likelihood="gaussian")
    gaussian.fit(X, epochs=1, learning_rate=0.0, verbose=False)
    np.testing.assert_array_equal(gaussian.decoder.layers[-1].bias, 0)
    given = small_vae()
    given.decoder.layers[-1].bias = np.ones(37)
    given.fit(X, epochs=1, learning_rate=0.0, verbose=False)
    np.testing.assert_array_equal(given.decoder.layers[-1].bias, 1)
    trained = small_vae()
    trained.fit(X, epochs=1, verbose=False)
    trained.decoder.layers[-1].bias = np.zeros(37)
    trained.fit(X, epochs=1, learning_rate=0.0, verbose=False)
    np.testing.assert_array_equal(trained.decoder.layers[-1].bias, 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_rows", [1, 23, 511, 512, 513, 1500])
def test_column_means_are_those_of_what_the_network_sees(n_rows, dtype):
    """Sums of up to 1500 values in [0, 1] by trees over 512 of them: 12 roundings in float64."""
    rows = pixel_rows(n_rows, 37)
    means = small_vae(dtype=dtype).network.column_means(rows)
    seen = (rows.astype(dtype) / dtype(255)).astype(np.float64)
    expected = np.array([math.fsum(column) / n_rows for column in seen.T])
    np.testing.assert_allclose(means, expected, rtol=12 * np.finfo(np.float64).eps)


@pytest.mark.parametrize("n_features", [1, 37])
def test_column_means_do_not_depend_on_how_rows_are_stored(n_features):
    rows = pixel_rows(1100, n_features)
    single = rows.astype(np.float32) / np.float32(255)
    kinds = [single, rows / 255, np.asfortranarray(rows), np.asfortranarray(single)]
    kinds += [np.repeat(rows, 2, axis=1)[:, ::2], single[::-1][::-1], single.astype(">f4")]
    vae = VAE.from_sizes(n_features, (5,), 2)
    expected = vae.network.column_means(rows)
    for kind in kinds:
        found = vae.network.column_means(vae.check_rows(kind))
        assert found.tobytes() == expected.tobytes()


def test_rows_of_every_kind_train_the_same(tmp_path):
    pixels = (X / 255).astype(np.float32)
    wide = np.zeros((46, 74), np.float32)
    wide[::2, ::2] = pixels
    read_only = pixels.copy()
    read_only.flags.writeable = False
    mapped = np.memmap(tmp_path / "rows", np.float32, "w+", shape=pixels.shape)
    mapped[:] = pixels
    kinds = [np.asfortranarray(pixels), wide[::2, ::2], read_only, pixels.astype(float), mapped]
    kinds += [pixels.astype(">f4"), pixels[::-1][::-1]]
    expected = small_vae()
    expected.fit(pixels, epochs=2, batch_size=10, verbose=False)
    for rows in kinds:
        vae = small_vae()
        vae.fit(rows, epochs=2, batch_size=10, verbose=False)
        assert_same_parameters(vae, parameters(expected))


def test_a_data_set_stands_for_its_training_rows():
    vae, expected = small_vae(), small_vae()
    vae.fit(Dataset(X, train_size=20), epochs=2, batch_size=10, verbose=False)
    expected.fit(Dataset(X, train_size=20).train, epochs=2, batch_size=10, verbose=False)
    assert_same_parameters(vae, parameters(expected))


def test_a_data_set_to_validate_on_stands_for_its_test_rows(tmp_path):
    np.savez(tmp_path / "both.npz", train=X[:15], test=X[15:])
    both = Dataset(tmp_path / "both.npz")
    for held_out, rows in ((both, X[15:]), (Dataset(X[:15]), X[:15])):
        vae = small_vae()
        history = vae.fit(both, epochs=1, validation=held_out, verbose=False)
        assert history["val_elbo"] == [vae.elbo(rows, seed=vae.seed).elbo]
    with pytest.raises(ValueError, match="validation.test must have 36 columns"):
        small_vae(n_features=36).fit(X[:, :36], epochs=1, validation=both, verbose=False)


@pytest.mark.parametrize(
    ("model_dtype", "dtypes"),
    [(np.float32, (np.float32, np.float64)), (np.float64, (np.float64,))],
)
def test_uint8_trains_like_its_values_over_255(model_dtype, dtypes):
    """In the model's precision: float32 holds other values of x / 255 than float64."""
    pixels = small_vae(dtype=model_dtype)
    pixels.fit(X, epochs=2, batch_size=10, verbose=False)
    orders: tuple[Any, ...] = ("C", "F")
    for order in orders:
        for dtype in dtypes:
            fractions = small_vae(dtype=model_dtype)
            rows = np.asarray(X.astype(dtype) / dtype(255), order=order)
            fractions.fit(rows, epochs=2, batch_size=10, verbose=False)
            assert_same_parameters(fractions, parameters(pixels))
        other = small_vae(dtype=model_dtype)
        other.fit(np.asarray(X, order=order), epochs=2, batch_size=10, verbose=False)
        assert_same_parameters(other, parameters(pixels))


def test_a_batch_larger_than_the_data_is_all_of_it():
    one, other = small_vae(), small_vae()
    one.fit(X, epochs=2, batch_size=23, verbose=False)
    other.fit(X, epochs=2, batch_size=10**9, verbose=False)
    assert one.updates == 2
    assert_same_parameters(one, parameters(other))


def test_threads_are_restored():
    before = kernels.get_num_threads()
    seen = []
    small_vae().fit(
        X,
        epochs=1,
        n_threads=1,
        callbacks=[lambda *_: seen.append(kernels.get_num_threads())],
        verbose=False,
    )
    assert seen == [1]
    assert kernels.get_num_threads() == before


def test_threads_may_be_counted_by_integers_of_any_type():
    one: Any = np.int64(1)
    small_vae().fit(X, epochs=1, n_threads=one, verbose=False)
    not_counts: tuple[Any, ...] = (True, np.bool_(True), 1.0, "1", 0, -1, 2**40)
    for wrong in not_counts:
        with pytest.raises(ValueError, match="threads must be a whole number from 1 to"):
            small_vae().fit(X, epochs=1, n_threads=wrong, verbose=False)


DIVERGING = {
    "sgd": {"optimizer": "sgd", "learning_rate": 1e6, "likelihood": "gaussian"},
    "adam": {"optimizer": "adam", "learning_rate": 1e39},
    "rmsprop": {"optimizer": "rmsprop", "learning_rate": 1e30},
    "float64": {"optimizer": "adam", "learning_rate": 1e300, "dtype": np.float64},
    "clipped": {"optimizer": "sgd", "learning_rate": 1e38, "clip_norm": 1.0},
    "one step": {"optimizer": "adam", "learning_rate": 1e39, "batch_size": 100},
}


@pytest.mark.parametrize("settings", DIVERGING.values(), ids=DIVERGING)
def test_diverging_at_once_leaves_the_model_as_it_was(settings):
    settings = {"batch_size": 5, **settings}
    vae = small_vae(
        likelihood=settings.pop("likelihood", "bernoulli"), dtype=settings.pop("dtype", np.float32)
    )
    before = parameters(vae)
    with pytest.raises(FloatingPointError, match=r"epoch 1, step \d of \d; .* when `fit` began"):
        vae.fit(X, epochs=4, verbose=False, **settings)
    assert_same_parameters(vae, before)
    assert (vae.epochs, vae.updates, dict(vae.history or {})) == (0, 0, {})
    vae.fit(X, epochs=1, verbose=False)


def explode_from(step: int) -> Callable[[int, int], float]:
    return lambda i, total: 1e-3 if i < step else 1e39


@pytest.mark.parametrize("steps_per_call", [1, 2, 100])
@pytest.mark.parametrize("first_bad", [10, 11, 14])
def test_diverging_later_returns_to_the_last_good_epoch(first_bad, steps_per_call, monkeypatch):
    """Epochs have five steps; the update of step 10 is the first of the third epoch."""
    vae, expected = small_vae(), small_vae()
    for model, epochs, schedule in ((expected, 2, 1e-3), (vae, 9, explode_from(first_bad))):
        monkeypatch.setattr(model.network, "steps_per_call", lambda _: steps_per_call)
        recorder = Recorder()
        settings: dict[str, Any] = {"epochs": epochs, "batch_size": 5, "learning_rate": schedule}
        if model is expected:
            history = model.fit(X, callbacks=[recorder], verbose=False, **settings)
            continue
        with pytest.raises(FloatingPointError) as caught:
            model.fit(X, callbacks=[recorder], verbose=False, **settings)
    # A bad update shows in the weights at the end of a run of steps, else in the next step's loss.
    step = first_bad - 10 + 1
    if step % steps_per_call and step < 5:
        assert f"the loss became nan in epoch 3, step {step + 1} of 5" in str(caught.value)
    else:
        assert f"no longer finite in epoch 3, step {step} of 5" in str(caught.value)
    assert "when epoch 2 ended" in str(caught.value)
    assert_same_parameters(vae, parameters(expected))
    assert (vae.epochs, vae.updates) == (2, 10)
    assert vae.history is not None
    assert vae.history["loss"] == history["loss"]
    assert recorder.calls[-1][0] == "end"
    vae.fit(X, epochs=1, verbose=False)


def test_ctrl_c_within_a_diverging_run_of_updates_leaves_no_bad_weights(monkeypatch):
    """It is raised when the kernels have returned, before anybody has looked at the weights."""
    vae, expected = small_vae(), small_vae()
    expected.fit(X, epochs=1, batch_size=5, verbose=False)
    train = vae.network.train

    def train_and_interrupt(*arguments, **named):
        train(*arguments, **named)
        if arguments[2].updates_before > 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(vae.network, "train", train_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        vae.fit(X, epochs=2, batch_size=5, learning_rate=explode_from(7), verbose=False)
    assert (vae.epochs, vae.updates) == (1, 5)
    assert_same_parameters(vae, parameters(expected))


def test_moments_that_overflow_are_a_divergence():
    """Gradients of 1e25 have squares beyond float32: Adam would never move their weights again."""
    vae = small_vae(likelihood="gaussian", reconstruction_weight=1e25)
    with pytest.raises(FloatingPointError, match="moments are no longer finite in epoch 1"):
        vae.fit(X, epochs=2, batch_size=23, verbose=False)


@pytest.mark.parametrize("likelihood", kernels.LIKELIHOODS)
@pytest.mark.parametrize("skips", [False, True])
def test_nan_weights_show_in_the_loss(likelihood, skips, monkeypatch):
    vae = small_vae(likelihood=likelihood)
    monkeypatch.setattr(vae.network, "pays_to_skip", lambda *_: skips)
    weight, bias = vae.network.read_dense(0)
    weight[3, 4] = np.nan
    vae.network.write_dense(0, weight, bias)
    with pytest.raises(FloatingPointError, match="the loss became nan in epoch 1, step 1 of 1"):
        vae.fit(X, epochs=1, verbose=False)


def test_data_that_turn_bad_meanwhile_show():
    rows = X / 255

    def spoil(vae, epoch, figures):
        rows[3, 4] = np.nan

    vae = small_vae()
    with pytest.raises(FloatingPointError, match="in epoch 2, step"):
        vae.fit(rows, epochs=3, batch_size=5, callbacks=[spoil], verbose=False)
    assert (vae.epochs, vae.updates) == (1, 5)


def test_a_validation_loss_that_is_not_finite_is_a_divergence():
    X = np.random.default_rng(0).random((40, 6))
    model = VAE.from_sizes(6, (5,), 2, seed=0)
    good = []
    with pytest.raises(
        FloatingPointError, match="validation loss became nan in epoch 2, step 4 of 4; .* epoch 1"
    ):
        model.fit(
            X,
            epochs=2,
            batch_size=10,
            validation=X,
            learning_rate=lambda step, _: 1e-3 if step < 7 else 1e30,
            callbacks=[lambda vae, *_: good.append(vae.network.parameters.copy())],
            verbose=False,
        )
    np.testing.assert_array_equal(model.network.parameters, good[0])
    assert model.history is not None
    assert (model.epochs, model.updates, len(model.history["val_loss"])) == (1, 4, 1)


def test_large_finite_weights_are_no_divergence():
    """Their sum overflows, they do not."""
    assert loop._all_finite(np.full(100, 3e38, np.float32))
    for bad in (np.nan, np.inf, -np.inf):
        values = np.ones(100, np.float32)
        values[37] = bad
        assert not loop._all_finite(values)


BAD = [
    ({"epochs": 0}, ValueError, "epochs must be an integer between 1 and 2147483647; got 0"),
    ({"epochs": 1.5}, TypeError, "epochs must be an integer"),
    ({"batch_size": 0}, ValueError, "batch_size must be"),
    ({"batch_size": "8"}, TypeError, "batch_size must be"),
    ({"learning_rate": -1e-3}, ValueError, "learning_rate must be"),
    ({"learning_rate": float("nan")}, ValueError, "learning_rate must be"),
    ({"learning_rate": "fast"}, TypeError, "learning_rate must be"),
    ({"learning_rate": lambda step, total: -1.0}, ValueError, "learning_rate at step 0 of 1"),
    ({"optimizer": "adamw"}, ValueError, "'sgd', 'rmsprop', 'adam'; got 'adamw'"),
    ({"optimizer": 3}, TypeError, "optimizer must be"),
    ({"clip_norm": 0}, ValueError, "clip_norm must be a finite number above 0"),
    ({"clip_norm": float("inf")}, ValueError, "clip_norm must be"),
    ({"callbacks": [3]}, TypeError, "callbacks must be Callback objects or functions"),
    ({"callbacks": [Recorder]}, TypeError, "callbacks must be Callback objects or functions"),
    ({"callbacks": 3}, TypeError, "callbacks must be a list or tuple"),
    ({"n_threads": 0}, ValueError, "threads"),
    ({"n_threads": 10**6}, ValueError, "threads"),
    ({"validation": X[:, :5]}, ValueError, "validation must have 37 columns"),
    ({"validation": X[:0]}, ValueError, "validation must have at least one row"),
    ({"data": X[:, :5]}, ValueError, "data must have 37 columns; got shape"),
    ({"data": X[:0]}, ValueError, "data must have at least one row"),
    ({"data": np.full((3, 37), np.nan)}, ValueError, "data must be finite"),
    ({"data": X.astype(int)}, ValueError, r"divide by the maximum \(data / 255\)"),
    ({"data": np.full((3, 37), None)}, TypeError, "data must be an array of real numbers"),
    ({"data": X // 255}, ValueError, r"data is uint8, .* pass data.astype\(bool\)"),
    ({"validation": X // 255}, ValueError, "validation is uint8, .* its largest value is 1"),
    ({"data": Dataset(X // 255)}, ValueError, r"data.train is uint8, .* data.train.astype\(bool\)"),
    ({"data": X.astype(complex)}, TypeError, "data must be an array of real numbers"),
    ({"data": "mnist"}, TypeError, "data must be an array of real numbers .*; got str"),
    ({"data": object()}, TypeError, "data must be an array of real numbers .*; got object"),
]


@pytest.mark.parametrize(("change", "error", "message"), BAD)
def test_bad_arguments_change_nothing(change, error, message):
    vae, recorder = small_vae(), Recorder()
    before, threads = parameters(vae), kernels.get_num_threads()
    arguments = {"data": X, "epochs": 1, "callbacks": [recorder], "verbose": False} | change
    with pytest.raises(error, match=message):
        vae.fit(**arguments)
    assert_same_parameters(vae, before)
    assert (vae.epochs, vae.updates, recorder.calls) == (0, 0, [])
    assert kernels.get_num_threads() == threads


def test_weights_of_the_loss_may_change_while_training():
    plain, annealed = small_vae(), small_vae(beta=0.0)
    beta = itertools.count(1)

    def anneal(vae, epoch, figures):
        vae.beta = next(beta)

    annealed.fit(X, epochs=1, callbacks=[anneal], verbose=False)
    assert annealed.beta == 1
    history = annealed.fit(X, epochs=1, verbose=False)
    expected = -history["elbo"][0]
    # Weights of 1 leave the loss unchanged; it is rounded to the working type at most.
    assert history["loss"][0] == pytest.approx(expected, rel=1e-6)
    with pytest.raises(ValueError, match="beta must be"):
        plain.beta = -1


def test_settings_check_themselves_and_stay():
    given: dict[str, Any] = {
        "epochs": np.int64(2),
        "batch_size": 3,
        "learning_rate": 0.1,
        "optimizer": "sgd",
        "beta": None,
        "clip_norm": None,
        "binarize": None,
        "callbacks": (),
        "checkpoint": None,
        "checkpoint_every": "epoch",
        "resume": None,
        "verbose": False,
        "n_threads": None,
    }
    settings = Settings(**given)
    assert type(settings.epochs) is int
    assert settings.optimizer == SGD()
    assert settings.schedule(0, 1) == 0.1
    assert settings.clip_norm == 0.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.epochs = 3  # type: ignore[misc]
    with pytest.raises(ValueError, match="clip_norm must be"):
        Settings(**given | {"clip_norm": 0.0})
