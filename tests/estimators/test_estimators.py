"""What the estimators compute: standardised columns, log p(x), draws, thresholds, partial fits."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn")

from fastvae.estimators import workers
from fastvae.sklearn import VAEOutlierDetector, VAETransformer


def transformer(**settings):
    return VAETransformer(**{"epochs": 3, "random_state": 0, **settings})


@pytest.fixture(scope="module")
def X():
    rng = np.random.RandomState(0)
    return rng.standard_normal((300, 4)) @ rng.standard_normal((4, 4))


@pytest.fixture(scope="module")
def fitted(X):
    return transformer(epochs=30).fit(X)


def test_scores_of_a_row_depend_on_nothing_but_the_row(fitted, X):
    scores = fitted.score_samples(X)
    order = np.random.RandomState(1).permutation(len(X))
    assert np.array_equal(fitted.score_samples(X[order]), scores[order])
    single = [fitted.score_samples(X[i : i + 1])[0] for i in range(20)]
    assert np.array_equal(single, scores[:20])
    assert fitted.score(X) == pytest.approx(scores.mean())


def test_scores_have_no_jumps(fitted, X):
    """All rows have the same noise: what is a rounding error apart has nearly the same score."""
    as_float32 = fitted.score_samples(X.astype(np.float32))
    np.testing.assert_allclose(as_float32, fitted.score_samples(X), atol=1e-4)
    line = np.linspace(X[0], X[1], 200)
    steps = np.diff(fitted.score_samples(line))
    assert np.abs(np.diff(steps)).max() < 0.01


def test_log_p_is_a_density_in_the_units_of_the_data(X):
    scales = np.array([1.0, 10.0, 0.01, 100.0])
    plain, scaled = transformer().fit(X), transformer().fit(X * scales + 3.0)
    expected = plain.score_samples(X) - np.log(scales).sum()
    np.testing.assert_allclose(scaled.score_samples(X * scales + 3.0), expected, atol=1e-3)


def test_a_density_integrates_to_one():
    X = np.random.RandomState(0).standard_normal((500, 1)) * 3.0 + 5.0
    model = transformer(epochs=20, n_samples=200).fit(X)
    grid = np.linspace(-30, 40, 701)
    total = np.exp(model.score_samples(grid[:, None])).sum() * (grid[1] - grid[0])
    assert total == pytest.approx(1.0, abs=0.02)


def test_inverse_transform_undoes_the_standardisation(X):
    data = X * [1.0, 10.0, 100.0, 1000.0] + 100.0
    model = transformer(epochs=400, early_stopping=False).fit(data)
    means = model.inverse_transform(model.transform(data))
    errors = np.sqrt(np.square(means - data).mean(axis=0))
    assert (errors < 0.6 * data.std(axis=0)).all()
    with pytest.raises(ValueError, match="X has 3 columns, .* 8 components"):
        model.inverse_transform(np.zeros((2, 3)))


def test_constant_columns_leave_no_trace(X):
    more = np.insert(X, [0, 2, 4], [7.0, 0.0, -1e9], axis=1)
    plain, wide = transformer().fit(X), transformer().fit(more)
    assert np.array_equal(wide.transform(more), plain.transform(X))
    shift = wide.score_samples(more) - plain.score_samples(X)
    assert np.ptp(shift) < 1e-9
    means = wide.inverse_transform(wide.transform(more))
    assert np.array_equal(means[:, [0, 3, 6]], more[:, [0, 3, 6]])
    assert np.array_equal(wide.scale_[[0, 3, 6]], [7.0, 1.0, 1e9])


@pytest.mark.parametrize("value", [0.0, 7.0, -1e9, 1e-12])
def test_a_constant_column_that_deviates_is_unlikely(value, X):
    more = np.c_[X, np.full(len(X), value)]
    model = transformer().fit(more)
    other = more.copy()
    other[:, 4] = np.where(value == 0.0, 0.1, value * 1.1)
    fall = model.score_samples(more) - model.score_samples(other)
    assert (fall > 100).all()
    other[:, 4] = np.nextafter(value, 1)
    np.testing.assert_allclose(model.score_samples(other), model.score_samples(more))


def test_rounding_errors_are_no_variation(X):
    noise = 1e6 + np.random.RandomState(1).choice([0.0, 2.0**-33], 300)
    model = transformer().fit(np.c_[X, noise])
    assert model.vae_.n_features == 4


@pytest.mark.parametrize("X", [np.ones((50, 3)), np.zeros((1, 3)), np.arange(3.0)[None]])
def test_rows_that_are_all_the_same(X):
    model = VAEOutlierDetector(epochs=3, random_state=0).fit(X)
    far = X[:1] + 1000.0
    assert model.score_samples(far)[0] < model.score_samples(X).min()
    assert np.isfinite(model.score_samples(far)).all()


def test_large_offsets_and_extreme_scales_are_standardised(X):
    moved = X * [1e-3, 1e200, 1e-200, 1.0] + [1e6, 0.0, 0.0, 0.0]
    expected = transformer().fit_transform(X)
    np.testing.assert_allclose(transformer().fit_transform(moved), expected, atol=1e-4)


def test_rows_that_are_far_off_have_finite_scores(fitted):
    far = np.array([[1e3] * 4, [1e12] * 4, [-1e300] * 4])
    scores = fitted.score_samples(far)
    assert np.isfinite(scores).all()
    assert (scores < -1000).all()


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli", "continuous_bernoulli", "poisson"])
def test_draws_have_the_moments_of_the_data(likelihood, X):
    uniform = np.random.RandomState(1).random_sample((300, 4))
    slopes = np.array([-6.0, -2.0, 2.0, 6.0])
    data = {
        "gaussian": X,
        "bernoulli": X > 0,
        "continuous_bernoulli": np.log1p(uniform * np.expm1(slopes)) / slopes,
        "poisson": np.random.RandomState(1).poisson([0.5, 2.0, 5.0, 9.0], (300, 4)),
    }[likelihood]
    model = transformer(likelihood=likelihood, epochs=40, early_stopping=False).fit(data)
    drawn = model.sample(3000)
    assert drawn.shape == (3000, 4)
    assert np.array_equal(drawn, model.sample(3000))
    assert not np.array_equal(drawn, model.set_params(random_state=1).sample(3000))
    np.testing.assert_allclose(drawn.mean(axis=0), data.mean(axis=0), atol=0.25 * data.std())
    np.testing.assert_allclose(drawn.std(axis=0), data.std(axis=0), rtol=0.3)
    assert model.sample().shape == (1, 4)


@pytest.mark.parametrize("sigma", ["learned", "output", 0.5, None])
def test_every_sigma_has_scores_and_draws(sigma, X):
    model = transformer(sigma=sigma).fit(X)
    assert np.isfinite(model.score(X))
    assert np.isfinite(model.sample(10)).all()


def test_likelihoods_without_sigma_take_columns_as_they_are():
    X = np.random.RandomState(0).poisson(4.0, (100, 3))
    model = transformer(likelihood="poisson", sigma="feature").fit(X)
    assert np.array_equal(model.mean_, np.zeros(3))
    assert np.array_equal(model.scale_, np.ones(3))
    plain = model.vae_.log_likelihood(X.astype(float), 2000, per_sample=True).value
    assert model.score(X) == pytest.approx(plain.mean(), abs=0.1)


@pytest.mark.parametrize("likelihood", ["categorical", "mixed"])
def test_likelihoods_of_blocks_are_refused(likelihood, X):
    with pytest.raises(ValueError, match=r"blocks.*fastvae\.VAE"):
        transformer(likelihood=likelihood).fit(X)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_components", 0),
        ("epochs", 0),
        ("batch_size", 0),
        ("learning_rate", -1.0),
        ("validation_fraction", 0.0),
        ("validation_fraction", 1.0),
        ("n_samples", 0),
        ("n_threads", 0),
        ("likelihood", "gausian"),
        ("activation", "rleu"),
        ("sigma", "each"),
        ("contamination", 0.0),
        ("contamination", 0.6),
        ("contamination", "auto"),
    ],
)
def test_errors_name_the_parameter(name, value, X):
    with pytest.raises((TypeError, ValueError), match=name):
        VAEOutlierDetector(**{"epochs": 1, "random_state": 0, name: value}).fit(X)


def test_held_out_rows_stop_the_training_and_the_best_weights_stay(X):
    model = transformer(epochs=1000, batch_size=16).fit(X)
    assert model.n_iter_ < 1000
    elbos = model.history_["val_elbo"]
    assert model.n_iter_ == len(elbos)
    rng = np.random.RandomState(0)
    rng.randint(np.iinfo(np.int32).max)  # the model's seed
    held_out = model._scaling.apply(X)[rng.permutation(300)[:30]]
    kept = model.vae_.elbo(held_out, seed=model.vae_.seed).elbo
    assert min(abs(kept - elbo) for elbo in elbos) < 1e-4
    assert kept > max(elbos) - 0.01 * 4 - 1e-4
    longer = transformer(epochs=200, early_stopping=False).fit(X[:20])
    assert longer.n_iter_ == 200
    assert "val_elbo" not in longer.history_


@pytest.mark.parametrize(("n", "is_held_out"), [(1, False), (2, False), (9, False), (10, True)])
def test_of_few_rows_none_is_held_out(n, is_held_out, X):
    model = transformer(epochs=2).fit(X[:n])
    assert ("val_elbo" in model.history_) == is_held_out
    assert np.isfinite(model.score(X[:n]))


def test_partial_fit_keeps_the_first_scaling_and_goes_on(X):
    model = transformer().partial_fit(X[:100])
    mean, updates = model.mean_.copy(), model.vae_.updates
    model.partial_fit(X[100:] * 5.0)
    assert np.array_equal(model.mean_, mean)
    assert model.vae_.updates == updates + 2
    assert model.n_iter_ == 1
    with pytest.raises(ValueError, match="3 features"):
        model.partial_fit(X[:, :3])


def test_partial_fit_goes_on_with_adam(X):
    """Two passes are two epochs: the same orders, noise and moments."""
    parts = transformer().partial_fit(X)
    scaled = parts._scaling.apply(X)
    whole = type(parts.vae_).from_sizes(
        4, (64,), 8, "relu", likelihood="gaussian", sigma="feature", seed=parts.vae_.seed
    )
    whole.fit(scaled, epochs=2, verbose=False)
    parts.partial_fit(X)
    assert np.array_equal(parts.vae_.network.parameters, whole.network.parameters)


def test_rows_that_are_refused_are_not_the_first():
    model = transformer(likelihood="poisson")
    with pytest.raises(ValueError, match="whole numbers"):
        model.partial_fit(np.full((5, 3), 0.5))
    assert not hasattr(model, "vae_")


def test_partial_fit_learns_columns_that_vary_later(X):
    first = np.where([True, False, False, False], 5.0, X[:50])
    for rows in (first, X[:1]):
        model = transformer().partial_fit(rows)
        assert model.vae_.n_features == 4
        model.partial_fit(X)
        assert np.isfinite(model.score(X))


def test_outliers_are_found(X):
    rows = np.r_[X, np.full((10, 4), 12.0) * [1, -1, 1, -1]]
    model = VAEOutlierDetector(contamination=10 / 310, random_state=0)
    found = model.fit_predict(rows)
    assert np.array_equal(np.flatnonzero(found == -1), np.arange(300, 310))
    difference = model.score_samples(rows) - model.decision_function(rows)
    np.testing.assert_allclose(difference, model.offset_)
    assert (model.decision_function(rows)[300:] < 0).all()


def test_threads_are_those_that_are_asked_for():
    from fastvae.kernels import get_num_threads

    before = get_num_threads()
    with workers.threads(1):
        assert get_num_threads() == 1
    with workers.threads(None):
        assert get_num_threads() == before


@pytest.mark.parametrize("name", ["early_stopping", "standardize"])
@pytest.mark.parametrize("value", ["no", 0, 1, None])
def test_switches_are_true_or_false(name, value, X):
    with pytest.raises(TypeError, match=f"^{name} must be True or False; got "):
        transformer(**{name: value}).fit(X)
    transformer(**{name: np.bool_(False)}).fit(X)


@pytest.mark.parametrize("kind", [VAETransformer, VAEOutlierDetector])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_after_a_fit_that_fails_an_estimator_is_what_it_was(kind, method, X):
    pd = pytest.importorskip("pandas")
    refused = pd.DataFrame({"a": [1.0, np.nan], "b": [0.0, 1.0]})
    new = kind(learning_rate=1e6, random_state=0)
    before = set(vars(new))
    for rows, error in ((refused, ValueError), (X, FloatingPointError)):
        with pytest.raises(error):
            getattr(new, method)(rows)
        assert set(vars(new)) == before

    fitted = kind(epochs=3, random_state=0).fit(X)
    expected = fitted.score_samples(X)
    fitted.set_params(learning_rate=1e6)
    if method == "partial_fit":
        refused = X * np.nan
    for rows, error in ((refused, ValueError), (X, FloatingPointError)):
        with pytest.raises(error):
            getattr(fitted, method)(rows)
        assert np.array_equal(fitted.score_samples(X), expected)


def test_a_detector_that_is_stopped_while_it_scores_is_what_it_was(X, monkeypatch):
    fitted = VAEOutlierDetector(epochs=3, random_state=0).fit(X)
    expected = fitted.decision_function(X)

    def stopped(self, X):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(VAEOutlierDetector, "score_samples", stopped)
        with pytest.raises(KeyboardInterrupt):
            fitted.set_params(random_state=1).fit(X)
    assert np.array_equal(fitted.decision_function(X), expected)


@pytest.mark.parametrize("kind", [VAETransformer, VAEOutlierDetector])
def test_first_rows_unlike_the_others_are_warned_of_in_one_sentence(kind, X):
    model = kind(n_components=2, random_state=0).partial_fit(X)
    model.partial_fit(X * 2)  # the suite turns warnings into errors
    model = kind(n_components=2, random_state=0).partial_fit(X[:20] / 1000)
    said = set()
    for rows in (X[:100], X[100:200] * 3):
        with pytest.warns(UserWarning, match="first that partial_fit was given") as caught:
            model.partial_fit(rows)
        said |= {str(warning.message) for warning in caught}
        assert {warning.filename for warning in caught} == {__file__}
    assert len(said) == 1


@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_of_the_model_lie_in_one_piece(order, X):
    """Reading a row whose columns are far apart takes up to a thousand times as long."""
    given = np.asarray(np.c_[X, np.ones(len(X))], order=order)
    for settings in ({}, {"standardize": False}):
        model = transformer(**settings).fit(given)
        assert model._model_rows(given, given).flags.c_contiguous
