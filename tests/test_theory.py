"""docs/theory.md: its numbers, the docstrings that name them, and its formulas beside the code.

Formulas are written out as on the page, in NumPy, and compared with what the package computes.
"""

import importlib
import math
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import fastvae
from fastvae import VAE, kernels
from fastvae.schedules import Cosine

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "theory.md").read_text(encoding="utf-8")
NUMBERED = re.compile(r"^\$\$ \((\d+)\)$", re.MULTILINE)
NUMBERS = [int(number) for number in NUMBERED.findall(PAGE)]
DOCSTRINGS = re.compile(r"^Docstrings: (.+?)\.$", re.MULTILINE | re.DOTALL)
REFERENCE = re.compile(r"theory\.md,\s+(\(\d+\)(?:(?:,| and| to|, and)\s+\(\d+\))*)")
TOLERANCE = 1e-12
"""Relative, in float64: some hundred roundings of 1.1e-16, and polynomials of a few more."""
BLOCKS = kernels.BLOCK_KINDS


def numbers_of(text: str) -> set[int]:
    """The formulas that a docstring names; of "(1) to (4)" all four."""
    found = set()
    for reference in REFERENCE.findall(text):
        found |= {int(number) for number in re.findall(r"\d+", reference)}
        for first, last in re.findall(r"\((\d+)\) to\s+\((\d+)\)", reference):
            found |= set(range(int(first), int(last) + 1))
    return found


def sections() -> list[tuple[str, set[int]]]:
    """Each name in a line "Docstrings:", with the formulas between it and the line before."""
    found = []
    start = 0
    for line in DOCSTRINGS.finditer(PAGE):
        numbers = {int(number) for number in NUMBERED.findall(PAGE[start : line.start()])}
        found += [(name, numbers) for name in re.findall(r"`([\w.]+)`", line.group(1))]
        start = line.end()
    return found


def documentation(name: str) -> str:
    """The docstring of what a full name stands for."""
    parts = name.split(".")
    for n in range(len(parts), 0, -1):
        try:
            thing = importlib.import_module(".".join(parts[:n]))
        except ModuleNotFoundError:
            continue
        for part in parts[n:]:
            thing = getattr(thing, part)
        return thing.__doc__ or ""
    raise AssertionError(name)


def test_formulas_are_numbered_in_their_order() -> None:
    assert list(range(1, len(NUMBERS) + 1)) == NUMBERS
    assert PAGE.count("\n$$\n") == len(NUMBERS), "a formula without a number"


def test_what_the_text_refers_to_is_there() -> None:
    referred = {int(number) for number in re.findall(r"\{eq\}`(\d+)`", PAGE)}
    assert referred
    assert referred <= set(NUMBERS)
    table = PAGE[PAGE.index("## References") :]
    assert {int(number) for number in re.findall(r"\((\d{1,2})\)", table)} <= set(NUMBERS)


def test_formulas_that_docstrings_name_are_on_the_page() -> None:
    folders = [Path(str(module.__file__)).parent for module in (fastvae, kernels)]
    sources = {path.resolve() for folder in folders for path in folder.rglob("*.py")}
    named = {path.name: numbers_of(path.read_text(encoding="utf-8")) for path in sources}
    assert any(named.values())
    assert not {name: n - set(NUMBERS) for name, n in named.items() if n - set(NUMBERS)}


@pytest.mark.parametrize(("name", "numbers"), sections())
def test_docstrings_and_page_name_each_other(name: str, numbers: set[int]) -> None:
    text = documentation(name)
    assert text
    if not name.startswith("fastvae.kernels."):
        assert numbers & numbers_of(text), f"{name} names none of {sorted(numbers)}"


# Formulas ----------------------------------------------------------------------------------------


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(17)


def test_draw_and_divergence(rng: np.random.Generator) -> None:
    """(5), (7) and (8)."""
    mean, noise = rng.normal(size=(2, 5, 3))
    log_var = rng.normal(size=(5, 3))
    log_var[0] = -40.0, 25.0, 0.0
    b = np.clip(log_var, -30, 20)
    z, kl = np.empty((5, 3)), np.empty(5)
    kernels.reparameterise(z, mean, log_var, noise)
    np.testing.assert_allclose(z, mean + np.exp(b / 2) * noise, rtol=TOLERANCE)
    kernels.kl_divergence(kl, mean, log_var)
    inside = np.exp(log_var) + mean**2 - 1 - log_var
    np.testing.assert_allclose(kl[1:], inside[1:].sum(axis=1) / 2, rtol=TOLERANCE)
    beyond = np.exp(b) + mean**2 - 1 - b + (np.exp(b) - 1) * (log_var - b)
    np.testing.assert_allclose(kl, beyond.sum(axis=1) / 2, rtol=TOLERANCE)


def loss_of(kind: str, outputs: np.ndarray, x: np.ndarray, raw: float = 0.0) -> np.ndarray:
    """-log p(x | l) of each row, all columns of one kind, by the package."""
    loss, shape = np.empty(len(x)), x.shape
    kinds = np.array([[BLOCKS[kind], shape[1]]])
    kernels.row_likelihood_loss(
        loss, np.empty(shape), np.empty(shape), outputs, np.full(shape, raw), x, kinds,
        kernels.SIGMA_MIN, 1.0,
    )  # fmt: skip
    return loss


def test_likelihoods(rng: np.random.Generator) -> None:
    """(10), (11) with (14), (15), (16), (17) and (18)."""
    outputs = 2 * rng.normal(size=(6, 4))
    binary, grey = (rng.random((6, 4)) < 0.5).astype(float), rng.random((6, 4))
    counts = rng.poisson(3.0, (6, 4)).astype(float)
    one_hot = np.eye(4)[rng.integers(4, size=6)]
    sigma = 0.001 + np.exp(-0.5)
    of_page = {
        "bernoulli": np.maximum(outputs, 0) - outputs * binary + np.log1p(np.exp(-abs(outputs))),
        "continuous_bernoulli": np.log(np.expm1(outputs) / outputs) - outputs * grey,
        "poisson": np.exp(outputs) - outputs * counts + np.vectorize(math.lgamma)(counts + 1),
    }
    rows = {"bernoulli": binary, "continuous_bernoulli": grey, "poisson": counts}
    for kind, terms in of_page.items():
        found = loss_of(kind, outputs, rows[kind])
        np.testing.assert_allclose(found, terms.sum(axis=1), rtol=1e-9)  # 1 - e cancels
        holed = rows[kind].copy()
        holed[:, 1] = np.nan
        found = loss_of(kind, outputs, holed)
        np.testing.assert_allclose(found, terms[:, [0, 2, 3]].sum(axis=1), rtol=1e-9)
    squares = ((grey - outputs) ** 2).sum(axis=1)
    gaussian = 4 / 2 * math.log(2 * math.pi * sigma**2) + squares / (2 * sigma**2)
    np.testing.assert_allclose(loss_of("gaussian", outputs, grey, -0.5), gaussian, rtol=TOLERANCE)
    chosen = np.log(np.exp(outputs).sum(axis=1)) - outputs[one_hot == 1]
    np.testing.assert_allclose(loss_of("categorical", outputs, one_hot), chosen, rtol=TOLERANCE)


def test_a_continuous_bernoulli_is_a_density() -> None:
    """(15): its integral is 1 and its mean is the one of the formula, by the trapezoidal rule."""
    x = np.linspace(0, 1, 10_001)[:, None]
    logit = np.full_like(x, 3.0)
    density = np.exp(-loss_of("continuous_bernoulli", logit, x))
    mean = np.empty_like(x)
    kernels.row_likelihood_mean(
        mean, logit, np.array([[BLOCKS["continuous_bernoulli"], 1]], np.int64)
    )
    # The rule is off by at most h^2 / 12 max |f''|, here 1e-8 / 12 * 9 * 3.2 and thrice that
    share = np.full(len(x), 1e-4)
    share[[0, -1]] /= 2
    assert share @ density == pytest.approx(1, abs=1e-7)
    assert share @ (density * x[:, 0]) == pytest.approx(mean[0, 0], abs=1e-7)
    assert mean[0, 0] == pytest.approx(1 / (1 - math.exp(-3)) - 1 / 3, rel=1e-9)


def test_the_weight_of_a_gaussian_says_sigma(rng: np.random.Generator) -> None:
    """(9), (11) and (12)."""
    rows, noise = rng.normal(size=(8, 5)), rng.normal(size=(8, 2))
    of_kind = partial(VAE.from_sizes, 5, (4,), 2, likelihood="gaussian", beta=0.5, dtype=np.float64)
    by_weight, by_sigma = of_kind(reconstruction_weight=2.0), of_kind(sigma=0.5)
    assert by_weight.sigma_value == pytest.approx(1 / math.sqrt(2 * 2.0), rel=1e-15)
    losses, gradients = by_weight.gradients(rows, noise)
    others, same = by_sigma.gradients(rows, noise)
    constant = 5 / 2 * math.log(2 * math.pi * 0.5**2)
    squares = (losses.reconstruction - constant) * 2 * 0.5**2
    assert losses.loss == pytest.approx(2.0 * squares + 0.5 * losses.kl, rel=TOLERANCE)
    assert others.loss == pytest.approx(losses.loss + constant, rel=TOLERANCE)
    assert others.loss == pytest.approx(others.reconstruction + 0.5 * others.kl, rel=TOLERANCE)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, same[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("weight", "n_axes"), [(0.5, 0), (2.0, 1), (20.0, 2)])
def test_an_axis_is_told_where_it_varies_more_than_the_noise(weight: float, n_axes: int) -> None:
    """(13), of a linear model that is trained to its end: variances 0.5, 0.1 and 0.01."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2000, 3))
    rows = (rows - rows.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(rows.T)).T)
    rows *= np.sqrt([0.5, 0.1, 0.01])  # exactly these, and no covariance
    vae = VAE.from_sizes(3, (), 3, likelihood="gaussian", reconstruction_weight=weight)
    vae.fit(rows, epochs=60, batch_size=100, learning_rate=Cosine(0.02), verbose=False)
    ratios = np.array([0.5, 0.1, 0.01]) * 2 * weight
    assert np.count_nonzero(ratios > 1) == n_axes
    # Noise of the draws is left in the weights, and the bound is flat at its top.
    by_formula = 0.5 * np.log(ratios[ratios > 1]).sum()
    assert vae.elbo(rows).kl == pytest.approx(by_formula, abs=0.05 * (1 + by_formula))


def test_free_bits(rng: np.random.Generator) -> None:
    """(19), of units below and above what is free."""
    rows, noise = (rng.random((16, 6)) < 0.5).astype(float), rng.normal(size=(16, 3))
    vae = VAE.from_sizes(6, (5,), 3, beta=0.5, dtype=np.float64)
    mean, log_var = vae.encode(rows)
    kl = 0.5 * (np.exp(log_var) + mean**2 - 1 - log_var).mean(axis=0)
    free = float(np.median(kl))
    losses, _ = vae.gradients(rows, noise, free_bits=free)
    charged = np.maximum(kl, free).sum()
    assert losses.loss == pytest.approx(losses.reconstruction + 0.5 * charged, rel=TOLERANCE)


def test_the_prior_of_a_class(rng: np.random.Generator) -> None:
    """(27): the divergence on the prior's scale is the one between the two distributions."""
    rows, labels = (rng.random((8, 6)) < 0.5).astype(float), rng.integers(3, size=8)
    vae = VAE.from_sizes(6, (5,), 2, n_classes=3, prior="label", dtype=np.float64)
    assert vae.prior_layer is not None
    vae.prior_layer.weight = rng.normal(size=(4, 3))
    prior = vae.prior_layer.weight[:, labels].T + vae.prior_layer.bias
    m, s = prior[:, :2], prior[:, 2:]
    mean, log_var = vae.encode(rows, labels=labels)
    terms = np.exp(log_var - s) + (mean - m) ** 2 / np.exp(s) - 1 - (log_var - s)
    found = vae.elbo(rows, labels=labels, per_sample=True).kl
    np.testing.assert_allclose(found, 0.5 * terms.sum(axis=1), rtol=1e-9)


def test_importance_weights(rng: np.random.Generator) -> None:
    """(20), (21) and (22): log w, the bound, and the shares."""
    mean, log_var = rng.normal(size=(2, 4, 3))
    noise = rng.normal(size=(4, 3))
    z, ratio = np.empty((4, 3)), np.empty(4)
    kernels.reparameterise(z, mean, log_var, noise)
    kernels.importance_ratio(ratio, z, log_var, noise)

    def log_normal(at: np.ndarray, mean: np.ndarray, log_var: np.ndarray) -> np.ndarray:
        terms = math.log(2 * math.pi) + log_var + (at - mean) ** 2 / np.exp(log_var)
        return -0.5 * terms.sum(axis=1)

    zeros = np.zeros_like(z)
    by_densities = log_normal(z, zeros, zeros) - log_normal(z, mean, log_var)
    np.testing.assert_allclose(ratio, by_densities, rtol=1e-9)
    np.testing.assert_allclose(ratio, (noise**2 + log_var - z**2).sum(axis=1) / 2, rtol=TOLERANCE)
    log_weights = rng.normal(size=(4, 6))
    shares, bound = log_weights.copy(), np.empty(4)
    kernels.importance_weights(shares, bound, log_var)
    weights = np.exp(log_weights)
    np.testing.assert_allclose(bound, np.log(weights.mean(axis=1)), rtol=1e-9)
    np.testing.assert_allclose(shares, weights / weights.sum(axis=1, keepdims=True), rtol=1e-9)


def test_the_error_and_the_effective_size_of_an_estimate(rng: np.random.Generator) -> None:
    """(25): the one follows from the other."""
    rows = (rng.random((6, 5)) < 0.5).astype(float)
    vae = VAE.from_sizes(5, (4,), 2, dtype=np.float64, seed=1)
    with pytest.warns(UserWarning, match="effective sample size"):
        found = vae.log_likelihood(rows, 8, per_sample=True)
    np.testing.assert_allclose(
        found.standard_error, np.sqrt((8 / found.ess - 1) / 7), rtol=1e-9, atol=1e-12
    )
    assert (found.ess >= 1).all()
    assert (found.ess <= 8).all()


def test_optimisers(rng: np.random.Generator) -> None:
    """(32) and (33), three updates each."""
    gradients = rng.normal(size=(3, 7))
    theta = rng.normal(size=7)
    found, m, s = theta.copy(), np.zeros(7), np.zeros(7)
    expected, first, second = theta.copy(), np.zeros(7), np.zeros(7)
    for t, g in enumerate(gradients, 1):
        kernels.adam_update(found, g, m, s, t, 0.01, 0.9, 0.999, 1e-8)
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g**2
        corrected = np.sqrt(second / (1 - 0.999**t)) + 1e-8
        expected -= 0.01 * first / (1 - 0.9**t) / corrected
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE)
    found, s, expected, second = theta.copy(), np.zeros(7), theta.copy(), np.zeros(7)
    for g in gradients:
        kernels.rmsprop_update(found, g, s, 0.01, 0.9, 1e-8)
        second = 0.9 * second + 0.1 * g**2
        expected -= 0.01 * g / (np.sqrt(second) + 1e-8)
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE)
    found, h, expected, velocity = theta.copy(), np.zeros(7), theta.copy(), np.zeros(7)
    for g in gradients:
        kernels.sgd_update(found, g, h, 0.01, 0.9)
        velocity = 0.9 * velocity + g
        expected -= 0.01 * velocity
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE)


def test_starts() -> None:
    """(34) and (35): variances of some 10^5 weights are within 3 % (6 deviations of 0.5 %)."""
    vae = VAE.from_sizes(784, (256,), 128, seed=0)
    (hidden,), output = vae.encoder.layers, vae.decoder.layers[-1]
    assert hidden.weight.var() == pytest.approx(2 / (784 + 256), rel=0.03)
    assert vae.sampler.mean.weight.var() == pytest.approx(1 / 256, rel=0.03)
    assert not hidden.bias.any()
    rows = np.repeat(np.eye(784, dtype=np.float32) / 4, 2, axis=0)
    vae.fit(rows, epochs=1, batch_size=2000, learning_rate=0.0, verbose=False)
    mean = max(1 / 4 / 784, 0.001)
    np.testing.assert_allclose(output.bias, math.log(mean / (1 - mean)), rtol=1e-6)


def test_random_numbers_are_functions_of_their_place() -> None:
    """(37): element e is word e % 4 of block e // 4; in float64 it is (word + 1/2) 2^-32."""
    seed, stream, step = 2**40 + 3, 5, 7
    drawn = np.empty(10)
    kernels.uniform(drawn, seed, stream, step)
    key = np.array([seed % 2**32, seed // 2**32], np.uint32)
    for element, value in enumerate(drawn):
        counter = np.array([element // 4, stream, step, 0], np.uint32)
        word = int(kernels.philox4x32(counter, key)[element % 4])
        assert value == (word + 0.5) / 2**32
