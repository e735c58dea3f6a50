"""Rows of a scale that says they are meant otherwise: uint8 of 0 and 1, columns unlike others."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from model_checks import assert_same_parameters, parameters, pixel_rows, small_vae

from fastvae import VAE, Dataset, Dense, evaluation, kernels, plots
from fastvae.checks import scales

X = pixel_rows(23, 37)
BITS = (X > 127).astype(np.uint8)


def train(data, likelihood="gaussian", **options):
    vae = small_vae(n_features=np.shape(data)[1], likelihood=likelihood)
    vae.fit(data, epochs=1, learning_rate=0.0, verbose=False, **options)


def shared_message(name):
    return (
        rf"^{name} is uint8, which is read as pixels, value / 255, but its largest value is 1: "
        rf'pass {name}.astype\(bool\) or {name}.astype\("f4"\) .*, or {name} \* 255 for pixels$'
    )


# --- uint8 -----------------------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", kernels.LIKELIHOODS)
@pytest.mark.parametrize(
    "bits", [BITS, np.eye(37, dtype=np.uint8), BITS[:1] | 1, np.asfortranarray(BITS), BITS[::-2]]
)
def test_fit_refuses_uint8_rows_of_zeros_and_ones(bits, likelihood):
    vae = small_vae(likelihood=likelihood)
    before = parameters(vae)
    with pytest.raises(ValueError, match=shared_message("data")):
        vae.fit(bits, epochs=1, verbose=False)
    with pytest.raises(ValueError, match=shared_message("validation")):
        vae.fit(X, epochs=1, validation=bits, verbose=False)
    assert_same_parameters(vae, before)


def test_what_the_message_says_to_write_trains_the_same():
    expected = small_vae()
    expected.fit(BITS.astype(float), epochs=1, verbose=False)
    for rows in (BITS.astype(bool), BITS.astype("f4")):
        vae = small_vae()
        vae.fit(rows, epochs=1, verbose=False)
        assert_same_parameters(vae, parameters(expected))


@pytest.mark.parametrize("largest", [2, 16, 63])
@pytest.mark.parametrize("likelihood", kernels.LIKELIHOODS)
def test_fit_warns_of_dark_pixels(largest, likelihood):
    rows = np.zeros((200, 37), np.uint8)
    rows[150, 3] = largest
    message = f"largest value is {largest}: .* if {largest} means white, pass data / {largest}$"
    with pytest.warns(UserWarning, match=message) as caught:
        train(rows, likelihood)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match=f"pass validation / {largest}$"):
        train(X, likelihood, validation=rows)


def test_fit_warns_of_pixels_that_are_all_black():
    with pytest.warns(UserWarning, match="all values of data are 0: .* black images"):
        train(np.zeros((3, 37), np.uint8))


@pytest.mark.parametrize("brightest", [0, 16])
def test_validation_rows_are_not_said_to_be_learned(brightest):
    model = VAE.from_sizes(4, (3,), 2, seed=0)
    X = np.full((6, 4), 200, np.uint8)
    with pytest.warns(UserWarning, match="validation.* these are (black|dark) images") as warned:
        model.fit(X, epochs=1, validation=np.full_like(X, brightest), verbose=False)
    assert len(warned) == 1


def test_one_bright_pixel_is_enough():
    rows = np.zeros((9000, 37), np.uint8)
    rows[8999, 36] = 64
    train(rows)


PASSES = {
    "encode": lambda vae, rows: vae.encode(rows),
    "reconstruct": lambda vae, rows: vae.reconstruct(rows),
    "feedforward": lambda vae, rows: vae.feedforward(rows),
    "elbo": lambda vae, rows: vae.elbo(rows),
    "gradients": lambda vae, rows: vae.gradients(rows),
    "evaluate": evaluation.evaluate,
    "activity": plots.activity,
    "latent_space": plots.latent_space,
    "reconstructions": plots.reconstructions,
    "layer": lambda vae, rows: vae.encoder.layers[0].feedforward(rows),
    "layers": lambda vae, rows: vae.encoder.feedforward(rows),
    "batches": lambda vae, rows: Dataset(rows).batches(),
}


@pytest.mark.parametrize("name", PASSES)
def test_passes_warn_once_of_several_uint8_rows_of_zeros_and_ones(name):
    vae, use = small_vae(), PASSES[name]
    with pytest.warns(UserWarning, match=shared_message(r"(X|x|train)")) as caught:
        use(vae, BITS)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    for rows in (X, BITS.astype(bool), BITS.astype("f4"), BITS * 2):
        use(vae, rows)


def test_rows_of_zeros_pass_without_a_word():
    small_vae().encode(BITS * 0)


@pytest.mark.parametrize("name", ["encode", "reconstruct", "feedforward", "elbo", "layer"])
def test_a_single_row_is_not_looked_at(name):
    vae, use = small_vae(), PASSES[name]
    use(vae, BITS[0])
    use(vae, BITS[:1])


def test_gradients_of_uint8_are_no_pixels():
    layer = Dense(3, 2)
    layer.feedforward(np.ones((4, 3)))
    dy = np.ones((4, 2), np.uint8)
    np.testing.assert_array_equal(layer.backward(dy), layer.backward(dy.astype("f4")))
    sampler = small_vae().sampler
    sampler.feedforward(np.ones((4, 19)))
    dz = np.full((4, 5), 2, np.uint8)
    np.testing.assert_array_equal(sampler.backward(dz), sampler.backward(dz.astype("f4")))


# --- columns of the Gaussian likelihood ------------------------------------------------------


def normal(n_rows=300, n_columns=12, seed=0):
    return np.random.default_rng(seed).standard_normal((n_rows, n_columns))


@pytest.mark.parametrize(
    ("factors", "worst"),
    [
        ({3: 1000}, r"3: [\d.e+]+;"),
        ({3: 40}, r"3: [\d.e+]+;"),
        ({0: 1e-3, 1: 1e-3, 2: 1e-3, 4: 1e-3, 5: 1e-3, 6: 1e-3, 7: 3}, r"7: [\d.]+, \d+: "),
        ({1: 50, 5: 2e5, 7: 100, 9: 3e9}, r"9: [\d.e+]+, 5: [\d.e+]+, 7: [\d.e+]+;"),
        (dict.fromkeys(range(12), 1000), r"\d+: "),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fit_warns_once_of_huge_or_unlike_scales(factors, worst, dtype):
    rows = normal()
    for column, factor in factors.items():
        rows[:, column] *= factor
    with pytest.warns(UserWarning, match=f"the columns of data .*worst: {worst}.*standardise") as w:
        train(rows.astype(dtype))
    assert len(w) == 1
    assert w[0].filename == __file__


def test_the_warning_names_the_columns_of_a_frame():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(normal() * [1, 1, 500, *[1] * 9], columns=list("abcdefghijkl"))
    with pytest.warns(UserWarning, match=r"worst: 'c': \d+; .*standardise"):
        train(frame)


def test_a_raw_table_warns_and_a_standardised_one_does_not():
    datasets = pytest.importorskip("sklearn.datasets")
    table = datasets.load_breast_cancer().data
    with pytest.warns(
        UserWarning, match=r"worst: 23: [\d.e+]+, 3: [\d.e+]+, 22: [\d.e+]+; .*stand"
    ):
        train(table)
    train((table - table.mean(axis=0)) / table.std(axis=0))


@pytest.mark.parametrize(
    "rows",
    [
        normal(),
        np.hstack([normal(), np.zeros((300, 3))]),
        np.eye(500)[np.random.default_rng(0).zipf(2.0, 3000).clip(max=500) - 1],
        (X / 255).astype("f4"),
        (X / 255.0) ** 4,
        np.where(np.arange(37) == 5, X / 255, X / 255e4),
        X,
        X > 0,
        np.zeros((4, 37)),
    ],
    ids=[
        *("standardised", "with columns of 0", "one-hot", "images", "dark images", "faint images"),
        *("pixels", "bits", "zeros"),
    ],
)
def test_rows_of_fair_scales_do_not_warn(rows):
    train(rows)


def test_only_the_gaussian_likelihood_looks_at_scales():
    train(np.where(np.arange(12) == 5, 1.0, 1e-6) * np.abs(normal()).clip(max=1), "bernoulli")


@pytest.mark.parametrize(
    ("sigma", "reason"),
    [
        (0.5, "adds up their squared errors"),
        ("learned", "adds up their squared errors"),
        ("feature", "the encoder, .*, takes them as they are"),
        ("output", "the encoder, .*, takes them as they are"),
    ],
)
def test_scales_matter_whatever_sigma_is(sigma, reason):
    """With a sigma of its own for each column such training diverges, too."""
    data = np.random.default_rng(0).normal(size=(50, 4)) * [1, 10, 100, 1e4]
    vae = VAE.from_sizes(4, (8,), 2, likelihood="gaussian", sigma=sigma)
    with pytest.warns(UserWarning, match=f"different scales .*{reason}"):
        vae.fit(data, epochs=1, learning_rate=0.0, verbose=False)


def test_scales_are_those_of_a_sample_of_evenly_spaced_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(scales, "_CHUNK_ELEMENTS", 64)
    mapped = np.memmap(tmp_path / "rows", np.float32, "w+", shape=(9000, 3))
    mapped[:] = normal(9000, 3)
    mapped[1::3] = mapped[2::3] = 1e9  # every third row is looked at, the first among them
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scales.warn_of_scales(mapped, mapped, "data")
    found, _ = scales._column_scales(np.asarray(mapped))
    # Sums of 3,000 squares in float64, in another order.
    np.testing.assert_allclose(
        found, np.sqrt(np.square(mapped[::3], dtype=float).mean(axis=0)), 1e-12
    )
