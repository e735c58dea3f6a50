"""Early stopping and learning rates that fall on plateaus."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from model_checks import assert_same_parameters, parameters, pixel_rows, small_vae

from fastvae import VAE, History
from fastvae.callbacks import Callback, EarlyStopping, ReduceOnPlateau

ROWS = pixel_rows(23, 37)
UNSEEN = pixel_rows(11, 37, seed=5)


class Scripted:
    """A training whose figures are given; the weights of epoch n are all n."""

    def __init__(self, callback: Callback, n_epochs: int = 100) -> None:
        self.callback, self.n_epochs = callback, n_epochs
        vae: Any = small_vae()
        vae.learning_rate_factor = 1.0
        self.vae = vae
        self.vae.stop_training = False
        n_before = callback.state_dict()["epoch"]
        self.vae.history = History({"loss": [1.0] * n_before} if n_before else {})
        callback.on_train_begin(self.vae, n_epochs, 9)
        self.epoch = 0
        self.factors: list[float] = []

    def run(self, name: str, values: list[float], first: int = 1) -> Scripted:
        """Epoch after epoch, until the training is stopped."""
        for epoch, value in enumerate(values, start=first):
            if self.vae.stop_training:
                break
            set_all(self.vae, epoch)
            self.epoch = epoch
            self.callback.on_epoch_end(self.vae, epoch, {"loss": 1.0, "elbo": -1.0} | {name: value})
            self.factors.append(self.vae.learning_rate_factor)
        return self

    def end(self) -> None:
        self.callback.on_train_end(self.vae, self.vae.history)


def set_all(vae: Any, value: float) -> None:
    for layer in vae.named_layers().values():
        layer.weight = np.full_like(layer.weight, value)
        layer.bias = np.full_like(layer.bias, value)


def weights_are(vae: Any, value: float) -> bool:
    return all((array == value).all() for array in parameters(vae).values())


@pytest.mark.parametrize(
    ("name", "values", "stopped_at", "best_at"),
    [
        ("elbo", [-9.0, -8.0, -8.5, -8.0, -7.0], 4, 2),
        ("val_elbo", [-9.0, -8.0, -8.5, -7.0, -7.5, -7.5, 0.0], 6, 4),
        ("active_units", [3, 4, 4, 4, 5], 4, 2),
        ("samples_per_second", [3.0, 2.0, 1.0, 9.0], 3, 1),
        ("loss", [9.0, 8.0, 8.5, 8.0, 7.0], 4, 2),
        ("val_loss", [9.0, 8.0, 8.5, 7.0, 7.5, 7.5, 0.0], 6, 4),
        ("reconstruction", [1.0, 2.0, 3.0, 0.0], 3, 1),
        ("val_reconstruction", [1.0, 2.0, 3.0, 0.0], 3, 1),
        ("kl", [1.0, 2.0, 3.0, 0.0], 3, 1),
        ("val_kl", [1.0, 2.0, 3.0, 0.0], 3, 1),
        ("seconds", [1.0, 2.0, 3.0, 0.0], 3, 1),
    ],
)
def test_it_stops_when_a_figure_no_longer_improves(name, values, stopped_at, best_at):
    stopping = EarlyStopping(name, patience=2)
    training = Scripted(stopping).run(name, values)
    assert training.epoch == stopped_at
    assert (stopping.best_epoch, stopping.best) == (best_at, values[best_at - 1])
    training.end()
    assert weights_are(training.vae, best_at)


def test_what_is_not_better_by_more_than_min_delta_is_no_improvement():
    values = [-8.0, -7.75, -7.5, -7.25, -7.0]
    assert Scripted(EarlyStopping("elbo", 2, min_delta=0.5)).run("elbo", values[:3]).epoch == 3
    stopping = EarlyStopping("elbo", 3, min_delta=0.5)
    Scripted(stopping).run("elbo", values)  # -7.25 is better than -8 by 0.75
    assert (stopping.best_epoch, stopping.best) == (4, -7.25)


@pytest.mark.parametrize("values", [[-3.0, -1.0, -2.0], [-1.0, -2.0, -3.0, -4.0, -5.0]])
def test_the_best_weights_are_restored_at_every_normal_end(values):
    best = values.index(-1.0) + 1
    training = Scripted(EarlyStopping("elbo", patience=9), n_epochs=len(values))
    training.run("elbo", values).end()
    assert weights_are(training.vae, best)
    stopped_by_another = Scripted(EarlyStopping("elbo", patience=9), n_epochs=50)
    stopped_by_another.run("elbo", values)
    stopped_by_another.vae.stop_training = True
    stopped_by_another.end()
    assert weights_are(stopped_by_another.vae, best)
    kept = Scripted(EarlyStopping("elbo", patience=9, restore_best=False), n_epochs=len(values))
    kept.run("elbo", values).end()
    assert weights_are(kept.vae, len(values))


@pytest.mark.parametrize("sigma", ["learned", "feature", "output"])
def test_the_sigma_of_the_best_epoch_is_restored(sigma, tmp_path):
    """Also where the run is gone on with after its best epoch, the first."""
    rows, path = np.random.default_rng(3).normal(size=(60, 5)), tmp_path / "run.ckpt"

    def trained(n_epochs: int, *callbacks: Callback, **options: Any) -> np.ndarray:
        vae = VAE.from_sizes(5, (4,), 2, likelihood="gaussian", sigma=sigma, seed=1)
        vae.fit(rows, epochs=n_epochs, batch_size=20, callbacks=callbacks, verbose=False, **options)
        return vae.network.parameters.copy()

    best = trained(1)
    assert (trained(3) != best).any()
    np.testing.assert_array_equal(trained(3, EarlyStopping("active_units")), best)
    trained(2, EarlyStopping("active_units"), checkpoint=path)
    np.testing.assert_array_equal(trained(3, EarlyStopping("active_units"), resume=path), best)


@pytest.mark.parametrize("is_last", [True, False])
def test_an_exception_leaves_the_weights_of_the_last_update(is_last):
    training = Scripted(EarlyStopping("elbo", 9), n_epochs=2 if is_last else 3)
    training.run("elbo", [-1.0, -2.0])

    def interrupted() -> None:
        try:
            raise KeyboardInterrupt
        finally:
            training.end()

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert weights_are(training.vae, 2)


def test_an_end_within_an_epoch_that_nobody_asked_for_restores_nothing():
    training = Scripted(EarlyStopping("elbo", 9), n_epochs=3).run("elbo", [-1.0, -2.0])
    training.end()
    assert weights_are(training.vae, 2)


def kept(callback: Callback) -> dict[str, Any]:
    """A state as a checkpoint keeps it: plain JSON values and arrays."""
    state = callback.state_dict()
    arrays = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
    plain = {name: value for name, value in state.items() if name not in arrays}
    return json.loads(json.dumps(plain, allow_nan=False)) | {k: v.copy() for k, v in arrays.items()}


VALUES = [-9.0, -5.0, -6.0, -4.0, -8.0, -7.0, -7.0, -3.0]


@pytest.mark.parametrize("cut", range(len(VALUES)))
@pytest.mark.parametrize("restore_best", [True, False])
def test_a_resumed_run_stops_as_the_whole_one(cut, restore_best):
    def stopping(patience=3):
        return EarlyStopping("elbo", patience, restore_best=restore_best)

    whole = Scripted(stopping())
    whole.run("elbo", VALUES).end()
    assert whole.epoch == 7
    first = Scripted(stopping()).run("elbo", VALUES[:cut])
    second = stopping()
    second.load_state_dict(kept(first.callback))
    resumed = Scripted(second)
    set_all(resumed.vae, first.epoch)
    resumed.run("elbo", VALUES[cut:], first=cut + 1)
    resumed.end()
    assert_same_parameters(resumed.vae, parameters(whole.vae))
    assert second.best_epoch == 4
    assert kept(second).keys() == kept(whole.callback).keys()


def test_a_resumed_run_that_had_stopped_stops_at_once_or_goes_on_with_more_patience():
    first = Scripted(EarlyStopping("elbo", 3)).run("elbo", VALUES)
    state = kept(first.callback)
    same, longer = EarlyStopping("elbo", 3), EarlyStopping("elbo", 4)
    for stopping in (same, longer):
        stopping.load_state_dict(state)
    assert Scripted(same).vae.stop_training
    going_on = Scripted(longer)
    assert not going_on.vae.stop_training
    going_on.run("elbo", VALUES[7:], first=8).end()
    assert weights_are(going_on.vae, 8)


def test_a_run_that_is_resumed_after_its_last_epoch_gets_the_best_weights():
    first = Scripted(EarlyStopping("elbo", 9), n_epochs=2).run("elbo", [-1.0, -2.0])
    second = EarlyStopping("elbo", 9)
    second.load_state_dict(kept(first.callback))
    resumed = Scripted(second, n_epochs=2)
    resumed.end()
    assert weights_are(resumed.vae, 1)


def test_a_new_training_begins_anew():
    stopping = EarlyStopping("elbo", 2)
    Scripted(stopping).run("elbo", [-1.0, -2.0, -3.0]).end()
    again = Scripted(stopping).run("elbo", [-9.0, -8.0, -8.5])
    assert (again.epoch, stopping.best_epoch, again.vae.stop_training) == (3, 2, False)
    again.run("elbo", [-8.5], first=4).end()
    assert weights_are(again.vae, 2)
    unfinished = Scripted(stopping)
    set_all(unfinished.vae, 77)
    unfinished.vae.stop_training = True
    unfinished.end()
    assert weights_are(unfinished.vae, 77)


def test_a_new_training_after_a_resumed_one_begins_anew():
    stopping = EarlyStopping("elbo", 3)
    stopping.load_state_dict(kept(Scripted(EarlyStopping("elbo", 3)).run("elbo", VALUES).callback))
    assert Scripted(stopping).vae.stop_training
    again = Scripted(stopping)
    assert (again.vae.stop_training, stopping.best, stopping.best_epoch) == (False, None, 0)


def test_arrays_of_a_state_are_not_changed_in_place():
    training = Scripted(EarlyStopping("elbo", 9)).run("elbo", [-2.0])
    state = training.callback.state_dict()
    copies = {k: v.copy() for k, v in state.items() if isinstance(v, np.ndarray)}
    assert copies.keys() == {f"best.{name}" for name in parameters(training.vae)}
    assert copies["best.encoder.0.weight"].shape == (19, 37)
    training.run("elbo", [-1.0], first=2).end()
    for name, array in copies.items():
        np.testing.assert_array_equal(state[name], array)


@pytest.mark.parametrize("make", [EarlyStopping, ReduceOnPlateau])
def test_a_figure_that_is_not_there_is_named_with_those_that_are(make):
    vae: Any = small_vae()
    vae.learning_rate_factor = 1.0
    with pytest.raises(ValueError, match=r"monitor must be one of 'loss', 'elbo', .*'val_elb'"):
        vae.fit(ROWS, epochs=2, callbacks=[make("val_elb")], verbose=False)
    assert vae.epochs == 1
    with pytest.raises(ValueError, match=r"'kl'.*; got 'val_elbo'.* need fit\(.*validation="):
        vae.fit(ROWS, epochs=2, callbacks=[make()], verbose=False)
    with pytest.raises(ValueError, match="did you mean 'elbo'"):
        vae.fit(ROWS, epochs=2, validation=UNSEEN, callbacks=[make("elbow")], verbose=False)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: EarlyStopping(b"kl"), TypeError, "monitor must be a key of the history"),  # type: ignore[arg-type]
        (lambda: EarlyStopping(patience=0), ValueError, "patience must be"),
        (lambda: EarlyStopping(patience=2.0), TypeError, "patience must be"),  # type: ignore[arg-type]
        (lambda: EarlyStopping(min_delta=-1), ValueError, "min_delta must be"),
        (lambda: ReduceOnPlateau(factor=1.0), ValueError, "factor must be"),
        (lambda: ReduceOnPlateau(factor=0.0), ValueError, "factor must be"),
        (lambda: ReduceOnPlateau(patience=0), ValueError, "patience must be"),
        (lambda: ReduceOnPlateau(min_delta=float("nan")), ValueError, "min_delta must be"),
    ],
)
def test_arguments_are_checked(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_early_stopping_of_a_real_training():
    """It learns by heart what it is shown, and is no better for others at last."""
    vae, straight = small_vae(hidden=(90,)), small_vae(hidden=(90,))
    settings: dict[str, Any] = {"validation": UNSEEN, "batch_size": 5, "learning_rate": 1e-2}
    stopping = EarlyStopping(patience=3)
    history = vae.fit(ROWS, epochs=500, callbacks=[stopping], verbose=False, **settings)
    assert 3 < history.n_epochs < 500
    assert stopping.best_epoch == history.n_epochs - 3
    assert stopping.best == max(history["val_elbo"])
    assert vae.elbo(UNSEEN, seed=vae.seed).elbo == stopping.best
    straight.fit(ROWS, epochs=stopping.best_epoch, verbose=False, **settings)
    assert_same_parameters(vae, parameters(straight))


def test_plateaus_lower_the_rate_again_and_again():
    values = [-9.0, -8.0, -8.0, -8.0, -8.0, -8.0, -7.0, -7.0, -7.0]
    training = Scripted(ReduceOnPlateau("elbo", 0.5, 2)).run("elbo", values)
    assert training.factors == [1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125]


@pytest.mark.parametrize("cut", range(9))
def test_a_resumed_run_lowers_the_rate_as_the_whole_one(cut):
    values = [9.0, 8.0, 8.0, 8.0, 8.0, 8.0, 7.0, 7.0, 7.0]
    whole = Scripted(ReduceOnPlateau("loss", 0.5, 2)).run("loss", values)
    first = Scripted(ReduceOnPlateau("loss", 0.5, 2)).run("loss", values[:cut])
    second = ReduceOnPlateau("loss", 0.5, 2)
    second.load_state_dict(kept(first.callback))
    resumed = Scripted(second)
    resumed.vae.learning_rate_factor = first.vae.learning_rate_factor
    resumed.run("loss", values[cut:], first=cut + 1)
    assert first.factors + resumed.factors == whole.factors


def test_they_print_what_they_were_made_with():
    assert repr(EarlyStopping("kl", 3)) == (
        "EarlyStopping('kl', patience=3, min_delta=0.0, restore_best=True)"
    )
    assert repr(ReduceOnPlateau("kl", 0.5, 3)) == (
        "ReduceOnPlateau('kl', factor=0.5, patience=3, min_delta=0.0)"
    )
