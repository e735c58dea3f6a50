"""Schedules of the learning rate and of beta, and optimiser settings."""

from __future__ import annotations

import copy
import pickle
import re

import numpy as np
import pytest

from fastvae import SGD, Adam, RMSprop
from fastvae.schedules import Constant, Cosine, Cyclical, LinearWarmup, Step, Warmup
from fastvae.training import optimizers, schedules


def test_constant():
    assert Constant(0.1)(0, 10) == Constant(0.1)(9, 10) == 0.1


def test_step_multiplies_at_each_milestone():
    schedule = Step(1.0, factor=0.5, milestones=(0.5, 0.75))
    rates = [schedule(step, 8) for step in range(8)]
    assert rates == [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25]


def test_a_milestone_is_the_nearest_step():
    """k / n of n steps is step k, whatever the rounding of the quotient and the product."""
    for n in range(2, 301):
        for k in range(1, n):
            schedule = Step(1.0, 0.5, (k / n,))
            assert (schedule(k - 1, n), schedule(k, n)) == (1.0, 0.5), (k, n)
    for percent in range(1, 100):
        assert schedules.step_at(float(f"0.{percent:02}"), 100) == percent
    assert schedules.step_at(0.24, 10) == 2
    assert schedules.step_at(0.26, 10) == 3


def test_the_first_step_has_the_first_rate():
    assert [Step(1.0, 0.5, (0.01,))(step, 10) for step in range(3)] == [1.0, 0.5, 0.5]
    assert Step(1.0, 0.5, (0.3, 0.7))(0, 1) == 1.0


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


def test_linear_warmup_reaches_its_end_at_an_update():
    schedule = LinearWarmup(steps=4)
    assert [schedule(step, 10) for step in range(7)] == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    falling = LinearWarmup(0.5, steps=2, start=2.5)
    assert [falling(step, 3) for step in range(4)] == [2.5, 1.5, 0.5, 0.5]
    assert [LinearWarmup(3, steps=1, start=1)(step, 3) for step in range(2)] == [1.0, 3.0]
    odd = LinearWarmup(0.3, steps=7, start=0.1)
    assert odd(7, 9) == odd(8, 9) == 0.3  # itself, however the line rounds
    with pytest.raises(TypeError):
        LinearWarmup(1.0)  # type: ignore[call-arg]


def fu_et_al(t, total, n_cycles, share):
    """Equations 6 and 7, t from 1 on, f(tau) = tau / R."""
    tau = (t - 1) % np.ceil(total / n_cycles) / (total / n_cycles)
    return tau / share if tau <= share else 1.0


@pytest.mark.parametrize(("total", "n_cycles", "share"), [(20, 4, 0.5), (23, 3, 0.7), (9, 1, 1.0)])
def test_cycles_are_those_of_the_paper(total, n_cycles, share):
    schedule = Cyclical(n_cycles=n_cycles, rising=share)
    wanted = [fu_et_al(t, total, n_cycles, share) for t in range(1, total + 1)]
    np.testing.assert_allclose([schedule(step, total) for step in range(total)], wanted, rtol=1e-15)


def test_cycles_go_from_start_to_end():
    schedule = Cyclical(2.0, n_cycles=2, rising=0.5, start=1.0)
    assert [schedule(step, 8) for step in range(8)] == [1.0, 1.5, 2.0, 2.0] * 2
    assert Cyclical() == Cyclical(1.0, 4, 0.5, 0.0)
    assert [Cyclical()(step, 2) for step in range(2)] == [0.0, 0.0]  # fewer updates than cycles


def test_schedules_of_beta_are_evaluated_like_rates():
    values = schedules.rates(LinearWarmup(steps=4), range(2, 6), 10, "beta")
    np.testing.assert_array_equal(values, [0.5, 0.75, 1.0, 1.0])
    with pytest.raises(ValueError, match="beta at step 2 of 5 must be .* at least 0; got -0.1"):
        schedules.rates(lambda step, total: -0.1, range(2, 3), 5, "beta")
    with pytest.raises(TypeError, match="beta must be a finite number of at least 0; got 'high'"):
        schedules.resolve("high", "beta")  # type: ignore[arg-type]
    assert schedules.resolve(0.5, "beta")(0, 1) == 0.5


@pytest.mark.parametrize("schedule", [LinearWarmup(steps=3), Cyclical(n_cycles=2)])
def test_schedules_of_beta_can_be_copied_and_compared(schedule):
    assert pickle.loads(pickle.dumps(schedule)) == copy.deepcopy(schedule) == schedule
    assert repr(schedule).startswith(type(schedule).__name__)


def test_rates_evaluates_each_step():
    rates = schedules.rates(lambda step, total: step / total, range(3, 7), 10)
    np.testing.assert_array_equal(rates, [0.3, 0.4, 0.5, 0.6])


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), -0.1])
def test_rates_refuses_what_is_no_rate(rate):
    with pytest.raises(ValueError, match="learning_rate at step 2 of 5"):
        schedules.rates(lambda step, total: rate, range(2, 3), 5)


@pytest.mark.parametrize("rate", ["fast", None, True, [0.1], 1j])
def test_rates_names_the_step_that_gives_no_number(rate):
    message = re.escape(
        f"learning_rate at step 3 of 5 must be a finite number of at least 0; got {rate!r}"
    )
    with pytest.raises(TypeError, match=message):
        schedules.rates(lambda step, total: rate if step == 3 else 0.1, range(2, 5), 5)


@pytest.mark.parametrize("milestones", [0.5, None])
def test_milestones_are_several(milestones):
    with pytest.raises(TypeError, match=f"milestones must be .* got {milestones}"):
        Step(1.0, 0.1, milestones)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Constant(-1.0),
        lambda: Constant(float("nan")),
        lambda: Step(1.0, milestones=(1.5,)),
        lambda: Cosine(1.0, float("inf")),
        lambda: Warmup(1.0, 0),
        lambda: Warmup(-1.0, 3),
        lambda: LinearWarmup(-1.0, steps=3),
        lambda: LinearWarmup(steps=0),
        lambda: LinearWarmup(steps=3, start=float("nan")),
        lambda: Cyclical(-1.0),
        lambda: Cyclical(n_cycles=0),
        lambda: Cyclical(rising=0.0),
        lambda: Cyclical(rising=1.5),
        lambda: Cyclical(start=-1.0),
        lambda: SGD(momentum=1.0),
        lambda: RMSprop(decay=-0.1),
        lambda: RMSprop(eps=0.0),
        lambda: RMSprop(eps=1e-39),
        lambda: RMSprop(eps=float("inf")),
        lambda: Adam(beta1=1.0),
        lambda: Adam(beta2=2.0),
        lambda: Adam(eps=-1e-8),
        lambda: Adam(eps=1.175494e-38),
        lambda: Adam(eps=5e-324),
        lambda: Adam(eps=float("nan")),
        lambda: Cosine(float("nan")),
        lambda: Step(float("inf")),
        lambda: Step(1.0, float("nan")),
        lambda: SGD(momentum=float("nan")),
    ],
)
def test_settings_out_of_range(make):
    with pytest.raises(ValueError, match="must be"):
        make()


def test_optimizers_by_name_and_hyperparameters():
    assert optimizers.resolve("adam") == Adam(beta1=0.9, beta2=0.999, eps=1e-8)
    assert optimizers.resolve("rmsprop") == RMSprop(decay=0.9)
    assert optimizers.resolve("sgd") == SGD(momentum=0.0)
    assert optimizers.resolve(SGD(momentum=0.5)) == SGD(momentum=0.5)
    np.testing.assert_array_equal(SGD(momentum=0.5).hyper, [0.5, 0, 0, 0])
    np.testing.assert_array_equal(RMSprop(decay=0.8, eps=1e-6).hyper, [0.8, 1e-6, 0, 0])
    adam = Adam(beta1=0.8, beta2=0.9, eps=1e-6)
    np.testing.assert_array_equal(adam.hyper, [0.8, 0.9, 1e-6, 0])


def test_the_smallest_eps_is_the_smallest_normal_float32():
    tiny = float(np.finfo(np.float32).tiny)
    assert Adam(eps=tiny).eps == RMSprop(eps=tiny).eps == tiny


@pytest.mark.parametrize("kind", [RMSprop, Adam])
def test_the_bound_that_a_message_shows_is_allowed(kind):
    with pytest.raises(ValueError, match="eps") as caught:
        kind(eps=0.0)
    shown = re.search(r"at least (\S+);", str(caught.value))
    assert shown is not None
    kind(eps=float(shown.group(1)))


@pytest.mark.parametrize("kind", [SGD, RMSprop, Adam])
def test_hyperparameters_are_given_by_name(kind):
    for make in (lambda: kind(1e-3), lambda: kind(lr=1e-3), lambda: kind(learning_rate=1e-3)):
        with pytest.raises(TypeError, match=rf"{kind.__name__} .*0.001.* argument of fit"):
            make()
    assert copy.deepcopy(kind()) == pickle.loads(pickle.dumps(kind())) == kind()


def test_unknown_optimizer_lists_the_known():
    with pytest.raises(ValueError, match=r"'sgd', 'rmsprop', 'adam'; got 'adm'.*mean 'adam'"):
        optimizers.resolve("adm")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="optimizer must be"):
        optimizers.resolve(Adam)  # type: ignore[arg-type]


def test_a_class_in_the_place_of_its_object_is_said_to_be_one():
    with pytest.raises(
        TypeError, match="got <class 'fastvae.Adam'>: it is a class, give an object"
    ):
        optimizers.resolve(Adam)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"RMSprop or SGD; got \[1\]$"):
        optimizers.resolve([1])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="beta is a class, LinearWarmup: give an object of it"):
        schedules.resolve(LinearWarmup, "beta")  # type: ignore[arg-type]
