"""KL by unit, active units and mutual information of a model on rows."""

from __future__ import annotations

import numpy as np
import pytest

from fastvae import VAE
from fastvae.evaluation import active_units, diagnose

D, Z = 6, 3
X = np.random.default_rng(3).normal(size=(400, D))


def build(log_var=-4.0, scale=1.0):
    """A float64 model whose posterior is N(scale * x[:2], exp(log_var)); the third unit sleeps."""
    vae = VAE.from_sizes(
        D, (D,), Z, "identity", likelihood="gaussian", sigma=1.0, dtype="float64", seed=1
    )
    vae.encoder.layers[0].weight = np.eye(D)
    vae.encoder.layers[0].bias = np.zeros(D)
    vae.sampler.mean.weight = scale * np.eye(Z, D) * np.array([[1.0], [1.0], [0.0]])
    vae.sampler.mean.bias = np.zeros(Z)
    vae.sampler.log_var.weight = np.zeros((Z, D))
    vae.sampler.log_var.bias = np.array([log_var, log_var, 0.0])
    return vae


def log_normal(z, mean, log_var):
    terms = -0.5 * (np.log(2 * np.pi) + log_var + (z - mean) ** 2 / np.exp(log_var))
    return terms.sum(axis=-1)


def test_kl_by_unit_adds_up_to_the_kl_of_the_elbo():
    vae = build()
    found = diagnose(vae, X, n_samples=3, seed=5)
    elbo = vae.elbo(X, 3, seed=5)
    assert (found.elbo, found.reconstruction, found.kl) == elbo
    assert found.kl_per_unit.sum() == pytest.approx(elbo.kl, rel=1e-12)
    of_unit = 0.5 * (np.exp(-4.0) + (X[:, 0] ** 2).mean() - 1 + 4.0)
    assert found.kl_per_unit[0] == pytest.approx(of_unit, rel=1e-12)
    assert found.kl_per_unit[2] == pytest.approx(0.0, abs=1e-15)


@pytest.mark.parametrize("log_var", [-40.0, 25.0])
def test_out_of_bounds_the_marginal_kl_is_that_of_the_bounded_posterior(log_var):
    """The KL of the ELBO goes on there along its tangent."""
    found = diagnose(build(log_var), X)
    bounded = diagnose(build(min(max(log_var, -30.0), 20.0)), X)
    assert found.kl > bounded.kl * 1.1
    for name in ("marginal_kl", "mutual_information"):
        assert getattr(found, name) == getattr(bounded, name)
    np.testing.assert_array_equal(found.kl_per_unit, bounded.kl_per_unit)


def test_units_that_vary_are_active():
    found = diagnose(build(), X)
    np.testing.assert_allclose(found.variance[:2], X[:, :2].var(axis=0), rtol=1e-12)
    assert found.active.tolist() == [True, True, False]
    assert found.active_units == active_units(found.variance) == 2


def test_mutual_information_against_its_definition():
    """By other latents, of every row, in NumPy: five errors of the difference."""
    vae = build(log_var=-1.0)
    mean, log_var = vae.encode(X)
    noise = np.random.default_rng(8).normal(size=(20, len(X), Z))
    information = []
    for z in mean + np.exp(log_var / 2) * noise:
        each = log_normal(z[:, None], mean[None], log_var[None])
        aggregate = np.log(np.exp(each).mean(axis=1))
        information.append(np.diag(each) - aggregate)
    found = diagnose(vae, X)
    assert abs(found.mutual_information - np.mean(information)) < (
        5 * found.mutual_information_error * np.sqrt(1 + 1 / 20)
    )
    assert found.mutual_information_error == pytest.approx(
        np.std(information) / np.sqrt(len(X)), rel=0.2
    )
    assert found.mutual_information + found.marginal_kl == pytest.approx(found.kl, rel=1e-12)


def test_mutual_information_of_posteriors_that_do_not_overlap_is_log_n():
    found = diagnose(build(log_var=-25.0), X[:50])
    assert found.mutual_information == pytest.approx(np.log(50), abs=1e-3)


def test_mutual_information_of_a_collapsed_model_is_0():
    found = diagnose(build(log_var=0.0, scale=0.0), X)
    assert found.mutual_information == pytest.approx(0.0, abs=1e-12)
    assert found.active_units == 0


def test_more_rows_than_latents_are_drawn_for():
    rows = np.random.default_rng(4).normal(size=(2500, D))
    few, many = diagnose(build(), rows[:500]), diagnose(build(), rows)
    assert (few.n_rows, many.n_rows) == (500, 2500)
    assert few.mutual_information <= np.log(500)
    # More rows are harder to tell apart, and may be told apart better.
    assert few.mutual_information < many.mutual_information < few.kl + 1.0


def test_it_prints_as_a_table():
    found = diagnose(build(), X)
    lines = str(found).splitlines()
    assert lines[0].split() == ["rows", "400"]
    assert f"{found.mutual_information:.3f} nats" in str(found)
    assert lines[-Z - 1].split() == ["unit", "KL", "variance", "active"]
    assert [line.split()[-1] for line in lines[-Z:]] == ["yes", "yes", "no"]
    assert lines[-Z].split()[1] == f"{found.kl_per_unit[0]:.4f}"


@pytest.mark.parametrize("wrong", [{"n_samples": 0}, {"seed": -1}])
def test_wrong_arguments_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        diagnose(build(), X, **wrong)


def test_it_takes_pixels_and_float32():
    vae = VAE.from_sizes(D, (5,), 2, seed=2)
    rows = np.random.default_rng(1).integers(0, 256, size=(30, D), dtype=np.uint8)
    found = diagnose(vae, rows)
    assert found.kl_per_unit.dtype == np.float64
    # Sums of float32 latents.
    assert found.kl_per_unit.sum() == pytest.approx(vae.elbo(rows).kl, rel=1e-5)
