"""Training by each objective: equal bits, runs that go on, what the history says."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_checks import (
    InterruptAt,
    assert_same_parameters,
    assert_same_run,
    batches,
    figures_of,
    parameters,
    pixel_rows,
    small_vae,
    training_noise,
)
from run_checks import HELD_OUT, ROWS, fit, new_vae

from fastvae import SGD, VAE, callbacks, kernels
from fastvae.model import network as networks
from fastvae.training import loop
from fastvae.training.callbacks import epoch_line
from fastvae.training.objectives import Objective

OBJECTIVES: dict[str, dict[str, Any]] = {
    "elbo 3": {"n_samples": 3},
    "free bits": {"free_bits": 0.1, "n_samples": 2},
    "iwae 1": {"objective": "iwae"},
    "iwae 5": {"objective": "iwae", "n_samples": 5},
    "dreg 3": {"objective": "dreg", "n_samples": 3},
}
MODELS: dict[str, dict[str, Any]] = {
    "bernoulli": {},
    "learned": {"likelihood": "gaussian", "sigma": "learned", "missing": "ignore"},
    "output": {"likelihood": "gaussian", "sigma": "output", "hidden": (19, 11)},
    "linear float64": {"hidden": (), "dtype": "float64"},
}
each_objective = pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)


@each_objective
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training_is_gradients_one_after_the_other(objective: dict[str, Any], dtype: Any) -> None:
    """By plain SGD, the noise being that of each update: n rows times k latents."""
    X = pixel_rows(23, 37)
    vae, twin = small_vae(dtype=dtype), small_vae(dtype=dtype)
    vae.fit(
        X, epochs=2, batch_size=8, optimizer=SGD(momentum=0.0), learning_rate=0.05, verbose=False,
        **objective,
    )  # fmt: skip
    twin.start_output_bias(X)
    k, update = objective.get("n_samples", 1), 0
    for epoch in range(2):
        losses = []
        for rows in batches(twin, len(X), 8, epoch):
            noise = training_noise(twin, len(rows) * k, update).reshape(len(rows), k, -1)
            found, gradients = twin.gradients(X[rows], noise, **objective)
            losses.append(found.loss * len(rows))
            layers = twin.named_layers()
            for name, layer in layers.items():
                layer.weight = layer.weight - 0.05 * gradients[f"{name}.weight"]
                layer.bias = layer.bias - 0.05 * gradients[f"{name}.bias"]
            update += 1
        assert vae.history is not None
        tolerance = 1e-5 if dtype == "float32" else 1e-13
        assert vae.history["loss"][epoch] == pytest.approx(sum(losses) / len(X), rel=tolerance)
    for name, value in parameters(vae).items():
        # Six updates, each rounded twice more than the kernels do.
        size = np.abs(value).max()
        bound = 40 * np.finfo(dtype).eps * size
        np.testing.assert_allclose(parameters(twin)[name], value, rtol=0, atol=bound, err_msg=name)


@pytest.mark.slow
@each_objective
@pytest.mark.parametrize("model", MODELS)
def test_bits_depend_neither_on_threads_nor_on_how_rows_are_stored(
    model: str, objective: dict[str, Any], tmp_path: Path
) -> None:
    pixels, held_out = pixel_rows(131, 37), pixel_rows(20, 37, seed=1)
    np.save(tmp_path / "rows.npy", pixels)
    dtype = MODELS[model].get("dtype", "float32")
    ways: list[tuple[Any, int]] = [(pixels, n) for n in range(1, min(3, kernels.max_threads()) + 1)]
    ways += [
        (pixels.astype(dtype) / np.asarray(255, dtype), 2),
        (np.load(tmp_path / "rows.npy", mmap_mode="r"), 1),
        (np.asfortranarray(pixels), 2),
    ]
    first: VAE | None = None
    for rows, n_threads in ways:
        vae = small_vae(**MODELS[model])
        vae.fit(
            rows, epochs=2, batch_size=50, validation=held_out, verbose=False, clip_norm=3.0,
            n_threads=min(n_threads, kernels.max_threads()), **objective,
        )  # fmt: skip
        if first is None:
            first = vae
        assert_same_run(vae, first)


@each_objective
def test_long_steps_are_done_in_pieces(
    objective: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    X, done = pixel_rows(300, 37), []
    for flop in (networks._FLOP_PER_CALL, 2e5):
        monkeypatch.setattr(networks, "_FLOP_PER_CALL", flop)
        vae = small_vae()
        vae.fit(X, epochs=1, batch_size=150, verbose=False, **objective)
        done.append(vae)
    assert_same_run(*done)


@each_objective
@pytest.mark.parametrize("n", [1, 5])
def test_a_run_goes_on_to_the_bit(objective: dict[str, Any], n: int, tmp_path: Path) -> None:
    expected, path = fit(new_vae(), **objective), tmp_path / "run.ckpt"
    with pytest.raises(KeyboardInterrupt):
        fit(new_vae(), checkpoint=path, callbacks=[InterruptAt("batch", n)], **objective)
    vae = fit(new_vae(), resume=path, **objective)
    assert_same_run(vae, expected)
    assert vae.history is not None
    assert expected.history is not None
    assert vae.history.objective == expected.history.objective


def test_a_run_goes_on_by_its_own_objective_alone(tmp_path: Path) -> None:
    ways = {"elbo": {}, "iwae, 5 samples": OBJECTIVES["iwae 5"]}
    ways |= {"iwae, 1 sample": OBJECTIVES["iwae 1"], "elbo, 3 samples": OBJECTIVES["elbo 3"]}
    ways |= {"dreg, 5 samples": {"objective": "dreg", "n_samples": 5}}
    ways |= {"elbo, 0.25 free nats a latent": {"free_bits": 0.25}}
    path, checked = tmp_path / "run.ckpt", 0
    for begun, given in ways.items():
        vae = fit(new_vae(), epochs=1, checkpoint=path, **given)
        before = parameters(vae)
        for name, other in ways.items():
            if name == begun:
                continue
            message = f"objective was {begun} and is {name}$"
            with pytest.raises(ValueError, match=message):
                fit(vae, resume=True, **other)
            with pytest.raises(ValueError, match=message):
                fit(new_vae(), resume=path, **other)
            checked += 1
        assert_same_parameters(vae, before)
        fit(vae, epochs=2, resume=True, **given)
    assert checked == 30


def test_a_run_of_the_plain_elbo_records_what_it_always_did() -> None:
    """So that runs of versions without objectives go on: they recorded none."""
    vae = fit(new_vae(), epochs=1, objective="elbo", n_samples=1, free_bits=0.0)
    assert vae.last_run is not None
    assert "objective" not in vae.last_run.identity.plain()["facts"]
    assert_same_run(vae, fit(new_vae(), epochs=1))


class SetAt(callbacks.Callback):
    """Sets an attribute of the model at the end of the first epoch."""

    def __init__(self, name: str, value: float) -> None:
        self.name, self.value = name, value

    def on_epoch_end(self, vae: Any, epoch: int, figures: Any) -> None:
        setattr(vae, self.name, self.value)


@pytest.mark.parametrize(("name", "shown"), [("beta", "0.5"), ("reconstruction_weight", "0.5")])
def test_a_callback_gives_a_bound_no_weights(name: str, shown: str) -> None:
    vae, straight = new_vae(), fit(new_vae(), epochs=1, **OBJECTIVES["iwae 5"])
    with pytest.raises(ValueError, match=f"{name} must be 1; got {shown}"):
        fit(vae, callbacks=[SetAt(name, 0.5)], **OBJECTIVES["iwae 5"])
    assert vae.epochs == 1
    assert_same_parameters(vae, parameters(straight))


@pytest.mark.parametrize("name", ["iwae 1", "iwae 5", "dreg 3"])
def test_the_history_has_the_bound_beside_the_elbo(name: str) -> None:
    objective = OBJECTIVES[name]
    vae = fit(new_vae(), **objective)
    history, k = vae.history, objective.get("n_samples", 1)
    assert history is not None
    assert history.objective == f"{objective['objective']}, {k} sample{'s' * (k > 1)}"
    keys = list(history)
    assert keys.index("bound") == keys.index("elbo") - 1
    assert keys.index("val_bound") == keys.index("val_elbo") - 1
    np.testing.assert_array_equal(history["loss"], [-value for value in history["bound"]])
    np.testing.assert_array_equal(history["val_loss"], [-value for value in history["val_bound"]])
    np.testing.assert_allclose(
        history["elbo"], -np.add(history["reconstruction"], history["kl"]), rtol=1e-14
    )
    if k > 1:  # Jensen's inequality, which holds for the mean of rows, not by luck
        assert (np.array(history["bound"]) > history["elbo"]).all()
        assert (np.array(history["val_bound"]) > history["val_elbo"]).all()
    with pytest.warns(UserWarning, match="effective sample size"):  # of k
        estimate = vae.log_likelihood(HELD_OUT, k, seed=vae.seed)
    assert history["val_bound"][-1] == estimate.value
    assert vae.elbo(HELD_OUT, k, seed=vae.seed).elbo == history["val_elbo"][-1]


def test_a_bound_of_a_gaussian_is_in_nats() -> None:
    """With a sigma, and with the one that the weight says."""
    rows, held_out = ROWS / 255, HELD_OUT / 255
    for model in ({"sigma": 0.5}, {"sigma": "learned"}, {"reconstruction_weight": 2.0}):
        vae = new_vae(likelihood="gaussian", **model)
        fit(vae, rows, validation=held_out, learning_rate=1e-9, **OBJECTIVES["iwae 5"])
        history = vae.history
        assert history is not None
        with pytest.warns(UserWarning, match="effective sample size"):
            estimate = vae.log_likelihood(held_out, 5, seed=vae.seed)
        assert history["val_bound"][-1] == estimate.value
        with pytest.warns(UserWarning, match="effective sample size"):
            train = vae.log_likelihood(rows, 500)
        # The weights stood still: more samples give a little more.
        assert 0 < train.value - history["bound"][-1] < 20, model
        assert history["bound"][-1] > history["elbo"][-1]


def test_free_bits_charge_what_is_not_used() -> None:
    vae = fit(new_vae(), free_bits=0.5)
    history = vae.history
    assert history is not None
    assert history.objective == "elbo, 0.5 free nats a latent"
    assert "bound" not in history
    mean, log_var = (part.astype(float) for part in vae.encode(HELD_OUT))
    kl = 0.5 * (np.exp(log_var) + mean**2 - 1 - log_var).mean(axis=0)
    charged = np.maximum(kl, 0.5).sum()
    assert charged > kl.sum() + 0.1
    wanted = history["val_reconstruction"][-1] + charged
    assert history["val_loss"][-1] == pytest.approx(wanted, rel=1e-6)
    assert history["val_kl"][-1] == pytest.approx(kl.sum(), rel=1e-6)
    assert history["loss"][-1] > -history["elbo"][-1] + 0.1


def test_free_bits_keep_units_in_use() -> None:
    """Strong KL weights switch units off; free nats keep all of them at about what is free."""
    kls = {}
    for free_bits in (0.0, 0.3):
        vae = small_vae(beta=8.0)
        vae.fit(
            pixel_rows(200, 37), epochs=60, batch_size=20, learning_rate=5e-3, verbose=False,
            free_bits=free_bits,
        )  # fmt: skip
        mean, log_var = vae.encode(pixel_rows(200, 37))
        kls[free_bits] = 0.5 * (np.exp(log_var) + mean**2 - 1 - log_var).mean(axis=0)
    assert (kls[0.0] < 0.05).sum() >= 3
    assert (kls[0.3] > 0.15).all(), kls


@each_objective
def test_the_table_and_the_lines_of_epochs_are_short(
    objective: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    vae = new_vae()
    vae.fit(ROWS, epochs=3, batch_size=5, validation=HELD_OUT, **objective)
    lines = [*str(vae.history).splitlines(), *capsys.readouterr().out.splitlines()]
    assert max(map(len, lines)) <= 80
    is_bound = "objective" in objective
    assert vae.history is not None
    assert f"objective: {vae.history.objective}" in lines
    assert any(line.startswith("epoch 1/3  bound ") for line in lines) == is_bound
    assert (" bound " in lines[0]) == is_bound
    figures = dict.fromkeys(vae.history, -9999.99) | {"active_units": 128, "seconds": 123456.0}
    if not is_bound:
        figures["kl"] = 999.99
    line = epoch_line(100, 100, 128, figures)
    assert len(line) <= 80, line


def test_monitors_and_logs_know_the_bound(tmp_path: Path) -> None:
    stopping = callbacks.EarlyStopping(patience=1, monitor="val_bound")
    kept = callbacks.Checkpoint(tmp_path / "best", monitor="val_bound")
    log = callbacks.CSVLogger(tmp_path / "log.csv")
    plateau = callbacks.ReduceOnPlateau(monitor="bound")
    watchers = [stopping, kept, log, plateau]
    vae = fit(new_vae(), epochs=4, callbacks=watchers, **OBJECTIVES["dreg 3"])
    history = vae.history
    assert history is not None
    assert stopping.best == max(history["val_bound"])
    with (tmp_path / "log.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["bound"]) for row in rows] == history["bound"]
    assert [float(row["val_bound"]) for row in rows] == history["val_bound"]
    with pytest.raises((KeyError, ValueError), match="val_bound"):
        fit(new_vae(), callbacks=[callbacks.EarlyStopping(monitor="val_bound")])


def test_fit_says_that_it_compiles_an_objective(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "objective_is_compiled", lambda *_: False)
    small_vae().fit(ROWS, epochs=1, objective="dreg", n_samples=2)
    assert capsys.readouterr().out.startswith("compiling the kernels of dreg (once, some seconds)")
    small_vae().fit(ROWS, epochs=1, objective="dreg", n_samples=2, verbose=False)
    assert capsys.readouterr().out == ""
    monkeypatch.undo()
    small_vae().fit(ROWS, epochs=1, objective="dreg", n_samples=2)
    assert "compiling" not in capsys.readouterr().out


@pytest.mark.slow
def test_objectives_go_with_all_ways_to_train() -> None:
    """Optimisers, limits of the norm, drawn rows, schedules; a model that was trained otherwise."""
    for changes in (
        {"optimizer": "rmsprop", "clip_norm": 0.5},
        {"binarize": "dynamic"},
        {"learning_rate": lambda step, total: 1e-3 / (1 + step), "batch_size": 7},
        {"batch_size": 1000},
    ):
        one, two = new_vae(), new_vae()
        for vae, n_threads in ((one, 1), (two, 2)):
            fit(vae, epochs=1, n_threads=min(n_threads, kernels.max_threads()))
            for objective in OBJECTIVES.values():
                fit(vae, epochs=1, **changes, **objective)
        assert figures_of(one.history) == figures_of(two.history)
        assert_same_parameters(one, parameters(two))


def test_objectives_that_differ_little_are_told_apart() -> None:
    """A run is known by the text of its objective."""
    texts = [str(Objective.of("elbo", 1, bits)) for bits in (0.1, 0.1 + 1e-9)]
    assert texts[0] == "elbo, 0.1 free nats a latent"
    assert texts[0] != texts[1]
