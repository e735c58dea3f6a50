"""The estimators are what scikit-learn's own tools and checks expect."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("sklearn")

import joblib
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastvae.sklearn import VAEOutlierDetector, VAETransformer

ESTIMATORS = (VAETransformer, VAEOutlierDetector)


CHECKS = parametrize_with_checks([kind() for kind in ESTIMATORS]).mark


@pytest.mark.slow
# As a list: of scikit-learn 1.6 it is a generator, which the newest pytest warns of.
@pytest.mark.parametrize(CHECKS.args[0], list(CHECKS.args[1]), ids=CHECKS.kwargs["ids"])
def test_checks_of_scikit_learn(estimator, check, monkeypatch):
    """None is expected to fail; what is skipped names a library that is missing."""
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    check(estimator)


@pytest.fixture(scope="module")
def X():
    rng = np.random.RandomState(0)
    return rng.standard_normal((200, 5)) @ rng.standard_normal((5, 5))


def small(kind, **settings):
    return kind(**{"epochs": 3, "n_samples": 10, "random_state": 0, **settings})


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_a_clone_of_the_same_seed_has_the_same_bits(kind, X):
    first = small(kind).fit(X)
    again = clone(first).fit(X)
    assert np.array_equal(first.score_samples(X), again.score_samples(X))
    other = clone(first).set_params(random_state=1).fit(X)
    assert not np.array_equal(first.score_samples(X), other.score_samples(X))


def test_random_states_are_those_of_scikit_learn(X):
    def scores(state):
        return small(VAETransformer, random_state=state).fit(X).score_samples(X)

    assert np.array_equal(scores(np.random.RandomState(3)), scores(3))
    assert not np.array_equal(scores(None), scores(None))


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_copies_on_disk_go_on_as_the_original_does(kind, X):
    estimator = small(kind).partial_fit(X)
    file = io.BytesIO()
    joblib.dump(estimator, file)
    file.seek(0)
    for copy in (pickle.loads(pickle.dumps(estimator)), joblib.load(file)):
        assert type(copy).__module__ == "fastvae.sklearn"
        assert np.array_equal(copy.score_samples(X), estimator.score_samples(X))
        copy.partial_fit(X)
        further = pickle.loads(pickle.dumps(estimator)).partial_fit(X)
        assert np.array_equal(copy.score_samples(X), further.score_samples(X))


def test_parts_of_pipelines_and_searches():
    X, y = load_digits(return_X_y=True)
    X, y = X[:400], y[:400]
    model = make_pipeline(small(VAETransformer, epochs=20), LogisticRegression(solver="newton-cg"))
    assert cross_val_score(model, X, y, cv=2, error_score="raise").mean() > 0.3  # by chance 0.1
    search = GridSearchCV(
        small(VAETransformer), {"n_components": [1, 4]}, cv=2, error_score="raise"
    )
    assert search.fit(X).best_params_ in ({"n_components": 1}, {"n_components": 4})


def test_columns_are_composed(X):
    vae = small(VAETransformer, n_components=2)
    union = FeatureUnion([("vae", vae), ("scaled", StandardScaler())])
    assert union.fit_transform(X).shape == (200, 2 + 5)
    chosen = ColumnTransformer([("vae", vae, [0, 1, 2])], remainder="passthrough")
    assert chosen.fit_transform(X).shape == (200, 2 + 2)
    names = chosen.get_feature_names_out()
    assert list(names) == ["vae__vaetransformer0", "vae__vaetransformer1", *names[2:]]


@pytest.mark.slow
def test_a_search_in_worker_processes_finds_the_same(X):
    grid = {"n_components": [1, 4], "hidden": [(8,), (16,)]}
    results = []
    for n_jobs in (1, 2):
        search = GridSearchCV(small(VAETransformer), grid, cv=3, n_jobs=n_jobs, error_score="raise")
        results.append(search.fit(X).cv_results_["mean_test_score"])
    assert np.array_equal(*results)


def n_threads_inside():
    from fastvae.estimators.workers import threads
    from fastvae.kernels import get_num_threads

    with threads(None):
        return get_num_threads()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # that it is forked
@pytest.mark.parametrize("backend", ["loky", "multiprocessing", "threading"])
def test_workers_use_one_thread_each(backend):
    before = n_threads_inside()
    with joblib.parallel_config(backend=backend):
        found = joblib.Parallel(n_jobs=2)(joblib.delayed(n_threads_inside)() for _ in range(4))
    assert found == [1] * 4
    assert n_threads_inside() == before


def test_more_threads_than_there_are_count_as_all(X):
    one, many = (small(VAETransformer, n_threads=n).fit(X).transform(X) for n in (1, 1000))
    assert np.array_equal(one, many)


@pytest.mark.slow
def test_without_scikit_learn_the_extra_is_named():
    program = """
import sys
import fastvae
assert "sklearn" not in sys.modules and "joblib" not in sys.modules
sys.modules["sklearn"] = None  # as if it were not installed
import fastvae.sklearn
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert "ImportError: fastvae.sklearn needs scikit-learn" in done.stderr
    assert "pip install 'fastvae-cpu[sklearn]'" in done.stderr
