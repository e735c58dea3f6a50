"""Learning-rate schedules and optimiser settings."""

from __future__ import annotations

import numpy as np
import pytest

from fastvae import SGD, Adam, RMSprop, optimizers, schedules
from fastvae.schedules import Constant, Cosine, Step, Warmup


def test_constant():
    assert Constant(0.1)(0, 10) == Constant(0.1)(9, 10) == 0.1


def test_step_multiplies_at_each_milestone():
    schedule = Step(1.0, factor=0.5, milestones=(0.5, 0.75))
    rates = [schedule(step, 8) for step in range(8)]
    assert rates == [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25]


def test_cosine_runs_from_start_to_end():
    schedule = Cosine(3.0, 1.0)
    assert schedule(0, 5) == 3.0
    assert schedule(2, 5) == pytest.approx(2.0, rel=1e-15)
    assert schedule(4, 5) == 1.0
    # a quarter of the way: end + (start - end) (1 + cos(pi / 4)) / 2
    assert schedule(1, 5) == pytest.approx(1 + (1 + np.sqrt(0.5)), rel=1e-15)
    assert Cosine(3.0)(0, 1) == 3.0


def test_warmup_rises_and_hands_over():
    schedule = Warmup(Cosine(2.0), steps=4)
    assert [schedule(step, 10) for step in range(4)] == [0.5, 1.0, 1.5, 2.0]
    assert [schedule(step, 10) for step in range(4, 10)] == [Cosine(2.0)(i, 6) for i in range(6)]
    assert Warmup(0.3, steps=2)(7, 10) == 0.3


def test_warmup_longer_than_the_run():
    assert [Warmup(1.0, steps=4)(step, 2) for step in range(2)] == [0.25, 0.5]


def test_rates_evaluates_each_step():
    rates = schedules.rates(lambda step, total: step / total, 3, 4, 10)
    np.testing.assert_array_equal(rates, [0.3, 0.4, 0.5, 0.6])


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), -0.1])
def test_rates_refuses_what_is_no_rate(rate):
    with pytest.raises(ValueError, match="learning_rate at step 2 of 5"):
        schedules.rates(lambda step, total: rate, 2, 1, 5)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Constant(-1.0),
        lambda: Constant(float("nan")),
        lambda: Step(1.0, milestones=(1.5,)),
        lambda: Cosine(1.0, float("inf")),
        lambda: Warmup(1.0, 0),
        lambda: Warmup(-1.0, 3),
        lambda: SGD(momentum=1.0),
        lambda: RMSprop(decay=-0.1),
        lambda: RMSprop(eps=0.0),
        lambda: Adam(beta1=1.0),
        lambda: Adam(beta2=2.0),
        lambda: Adam(eps=-1e-8),
    ],
)
def test_settings_out_of_range(make):
    with pytest.raises(ValueError, match="must be"):
        make()


def test_optimizers_by_name_and_hyperparameters():
    assert optimizers.resolve("adam") == Adam(0.9, 0.999, 1e-8)
    assert optimizers.resolve("rmsprop") == RMSprop(decay=0.9)
    assert optimizers.resolve("sgd") == SGD(momentum=0.0)
    assert optimizers.resolve(SGD(0.5)) == SGD(0.5)
    np.testing.assert_array_equal(SGD(0.5).hyper, [0.5, 0, 0, 0])
    np.testing.assert_array_equal(RMSprop(0.8, 1e-6).hyper, [0.8, 1e-6, 0, 0])
    np.testing.assert_array_equal(Adam(0.8, 0.9, 1e-6).hyper, [0.8, 0.9, 1e-6, 0])


def test_unknown_optimizer_lists_the_known():
    with pytest.raises(ValueError, match=r"'sgd', 'rmsprop', 'adam'; got 'adm'.*mean 'adam'"):
        optimizers.resolve("adm")
    with pytest.raises(TypeError, match="optimizer must be"):
        optimizers.resolve(Adam)
