"""Conditional models: labels in every pass, in training, in files; priors of classes."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_checks import parameters, pixel_rows, set_parameter
from numpy.typing import NDArray

import fastvae
from fastvae import VAE, Dataset, kernels
from fastvae.evaluation import diagnose, evaluate
from fastvae.typing import Prior

N, Z, K = 7, 2, 3
PRIORS = ("normal", "label")
ROWS = pixel_rows(700, N)  # more than a chunk
LABELS = np.random.default_rng(1).integers(0, K, len(ROWS))


def model(**changes: Any) -> VAE:
    """A small conditional model with biases, and where it has one, a prior, of random numbers."""
    settings: dict[str, Any] = {"hidden": (5,), "n_latent": Z, "n_classes": K, "seed": 3}
    vae = VAE.from_sizes(N, **(settings | changes))
    rng = np.random.default_rng(5)
    for layer in vae.named_layers().values():
        layer.bias = rng.normal(scale=0.3, size=layer.n_out)
    if vae.prior_layer is not None:
        vae.prior_layer.weight = rng.normal(scale=0.5, size=(2 * Z, K))
    return vae


def prior_of(vae: VAE, labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The mean and log-variance of each label's prior, float64."""
    if vae.prior_layer is None:
        return np.zeros((len(labels), Z)), np.zeros((len(labels), Z))
    both = vae.prior_layer.weight.astype(np.float64)[:, labels].T + vae.prior_layer.bias
    return both[:, :Z], both[:, Z:]


def plain_twin(vae: VAE) -> VAE:
    """A model without classes whose encoder takes the one-hot labels as features."""
    twin = VAE.from_sizes(N + K, (5,), Z)
    for name in ("encoder.0", "sampler.mean", "sampler.log_var"):
        theirs, ours = twin.named_layers()[name], vae.named_layers()[name]
        theirs.weight, theirs.bias = ours.weight, ours.bias
    return twin


@pytest.mark.parametrize("rows", [ROWS, ROWS / np.float32(255)], ids=["uint8", "float32"])
def test_labels_are_one_hot_inputs_of_the_encoder(rows: NDArray[Any]) -> None:
    """To the bit what a model without classes makes of features and one-hot labels."""
    vae = model()
    hot = np.eye(K, dtype=rows.dtype)[LABELS] * (255 if rows.dtype == np.uint8 else 1)
    expected = plain_twin(vae).encode(np.hstack([rows, hot]))
    for found, wanted in zip(vae.encode(rows, labels=LABELS), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("prior", PRIORS)
def test_labels_are_one_hot_inputs_of_the_decoder(prior: str) -> None:
    vae = model(prior=prior)
    z = np.random.default_rng(0).normal(size=(len(LABELS), Z)).astype(np.float32)
    h = np.hstack([z, np.eye(K, dtype=np.float32)[LABELS]])
    for layer in vae.decoder:
        h = layer.feedforward(h)
    np.testing.assert_array_equal(vae.decode(z, labels=LABELS), h)
    mean, _ = vae.encode(ROWS, labels=LABELS)
    reconstructed = vae.reconstruct(ROWS, labels=LABELS)
    np.testing.assert_array_equal(reconstructed, vae.decode(mean, labels=LABELS))


CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "elbo": ({}, {}),
    "linear": ({"hidden": ()}, {}),
    "deep": ({"hidden": (5, 4)}, {}),
    "gaussian": ({"likelihood": "gaussian"}, {}),
    "learned": ({"likelihood": "gaussian", "sigma": "learned"}, {}),
    "missing": ({"likelihood": "gaussian", "missing": "ignore"}, {}),
    "poisson": ({"likelihood": "poisson"}, {}),
    "iwae": ({}, {"objective": "iwae", "n_samples": 3}),
    "iwae of rows": ({"likelihood": "poisson"}, {"objective": "iwae", "n_samples": 2}),
    "samples": ({}, {"n_samples": 3}),
    "free bits": ({}, {"free_bits": 0.1}),
    "dreg": ({}, {"objective": "dreg", "n_samples": 3}),
}


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("case", CASES)
def test_gradients_are_those_of_finite_differences(case: str, prior: str) -> None:
    """Central differences in float64: h^2 of truncation, eps / h of rounding."""
    settings, objective = CASES[case]
    vae = model(prior=prior, dtype=np.float64, activation="tanh", **settings)
    rng = np.random.default_rng(2)
    rows, labels = rng.random((4, N)), np.array([0, 2, 1, 2])
    if case == "missing":
        rows[1, 2] = np.nan
    if "poisson" in settings.values():
        rows = np.floor(5 * rows)
    noise = rng.normal(size=(4, objective.get("n_samples", 1), Z))

    def loss() -> float:
        return vae.gradients(rows, noise, labels=labels, **objective)[0].loss

    _, gradients = vae.gradients(rows, noise, labels=labels, **objective)
    step = 1e-5
    for name, value in parameters(vae).items():
        if case == "dreg" and name.startswith(("encoder", "sampler")):
            continue  # it is no derivative of the loss there
        direction = rng.normal(size=value.shape)
        set_parameter(vae, name, value + step * direction)
        above = loss()
        set_parameter(vae, name, value - step * direction)
        slope = (above - loss()) / (2 * step)
        set_parameter(vae, name, value)
        assert slope == pytest.approx(np.vdot(gradients[name], direction), abs=1e-7), name
    assert (prior == "label") == any(name.startswith("prior") for name in gradients)


@pytest.mark.parametrize("prior", PRIORS)
def test_the_kl_is_that_of_the_posterior_from_its_prior(prior: str) -> None:
    """KL(N(m, s) || N(a, b)) of log-variances s, b: b - s + (exp(s) + (m - a)^2) / exp(b) - 1,
    halved and summed (Kingma & Welling 2014, appendix B, of two normal distributions)."""
    vae = model(prior=prior, dtype=np.float64)
    mean, log_var = vae.encode(ROWS, labels=LABELS)
    a, b = prior_of(vae, LABELS)
    terms = b - log_var + (np.exp(log_var) + (mean - a) ** 2) / np.exp(b) - 1
    found = vae.elbo(ROWS, per_sample=True, labels=LABELS).kl
    np.testing.assert_allclose(found, 0.5 * terms.sum(axis=1), rtol=1e-12)
    assert evaluate(vae, ROWS, labels=LABELS).kl == pytest.approx(found.mean(), rel=1e-12)
    assert diagnose(vae, ROWS, labels=LABELS).kl_per_unit.sum() == pytest.approx(found.mean())


@pytest.mark.parametrize("prior", PRIORS)
def test_samples_come_from_the_prior(prior: str) -> None:
    vae = model(prior=prior, dtype=np.float64)
    u = np.empty((6, Z))
    kernels.normal_from(u, 0, 4, kernels.STREAM_PRIOR, 0)
    labels = np.arange(6) % K
    a, b = prior_of(vae, labels)
    expected = vae.decode(a + np.exp(b / 2) * u, labels=labels)
    np.testing.assert_allclose(vae.sample(6, seed=4), expected, rtol=1e-12)
    batches = list(vae.iter_sample(6, 4, 4))
    np.testing.assert_array_equal(np.concatenate(batches), vae.sample(6, seed=4))
    of_one = vae.sample(6, seed=4, label=2)
    np.testing.assert_array_equal(of_one[labels == 2], vae.sample(6, seed=4)[labels == 2])
    np.testing.assert_array_equal(of_one, vae.sample(6, seed=4, label=[2] * 6))


@pytest.mark.slow
@pytest.mark.parametrize("prior", PRIORS)
def test_the_log_likelihood_is_that_of_the_label(prior: Prior) -> None:
    """With one latent unit the integral over the prior can be summed up on a grid."""
    vae = VAE.from_sizes(N, (5,), 1, n_classes=K, prior=prior, dtype=np.float64, seed=1)
    if vae.prior_layer is not None:
        vae.prior_layer.weight = np.array([[0.5, -1.0, 0.0], [0.2, -0.5, 0.0]])
    x = (ROWS[:1] > 99).astype(np.float64)
    u = np.linspace(-8, 8, 4001)
    for label in range(K):
        m, s = 0.0, 0.0
        if vae.prior_layer is not None:
            m, s = vae.prior_layer.weight[:, label]
        z = (m + np.exp(s / 2) * u)[:, None]
        p = vae.decode(z, labels=np.full(len(u), label))
        log_p = (x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1) - u**2 / 2
        exact = np.log(np.exp(log_p).sum() * (u[1] - u[0]) / np.sqrt(2 * np.pi))
        found = vae.log_likelihood(x, 20_000, labels=[label])
        assert abs(found.value - exact) < 5 * found.standard_error + 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize(("n", "k", "z"), [(20, 40, 3), (15, 1, 2), (16, 16, 16), (33, 5, 17)])
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.filterwarnings("ignore:.*effective sample size")
def test_float32_is_near_float64_whatever_stands_in_pads(
    likelihood: Any, n: int, k: int, z: int, prior: Prior
) -> None:
    """Labels stand where rows have pads otherwise: nothing may take them for features or latents.

    Figures of some 10 to 100 nats are sums of numbers with an error of 6e-8.
    """
    rng = np.random.default_rng(n)
    rows, labels = (rng.random((90, n)) > 0.6).astype(np.float32), rng.integers(0, k, 90)
    vaes = [
        VAE.from_sizes(
            n, (11,), z, n_classes=k, prior=prior, likelihood=likelihood, dtype=dtype, seed=3
        )
        for dtype in (np.float32, np.float64)
    ]
    for name, layer in vaes[0].named_layers().items():
        if name == "prior":
            layer.weight = rng.normal(scale=0.4, size=layer.weight.shape)
        set_parameter(vaes[1], f"{name}.weight", layer.weight)
    found = [
        (
            *vae.encode(rows, labels=labels),
            vae.sample(9, seed=1),
            vae.elbo(rows, labels=labels, per_sample=True).elbo,
            vae.log_likelihood(rows, 150, labels=labels, per_sample=True).value,
        )
        for vae in vaes
    ]
    for narrow, wide in zip(*found, strict=True):
        np.testing.assert_allclose(narrow, wide, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_a_row_has_the_same_noise_under_all_labels() -> None:
    """So that log p(x | y) of two labels differ by the label alone."""
    vae = model(n_latent=Z)
    for layer in (vae.encoder.layers[0], vae.decoder.layers[0]):
        weight = layer.weight.copy()
        weight[:, -K:] = 0.0
        layer.weight = weight
    values = [vae.log_likelihood(ROWS[:2], 300, labels=[y, y]).value for y in range(K)]
    assert values[0] == values[1] == values[2]


@pytest.mark.slow
@pytest.mark.parametrize("prior", PRIORS)
def test_training_is_the_same_for_all_threads_and_ways_to_read(prior: Prior) -> None:
    """Wide rows of mostly zeros, whose zeros are skipped, and the same of other types."""
    rows = pixel_rows(300, 90)
    rows[:, ::2] = 0
    labels = LABELS[:300]

    def trained(rows: Any, labels: Any, n_threads: int, **more: Any) -> VAE:
        vae = VAE.from_sizes(90, (40,), 3, n_classes=K, prior=prior, seed=2, **more)
        vae.fit(rows, labels=labels, epochs=2, batch_size=64, n_threads=n_threads, verbose=False)
        return vae

    one, two = trained(rows, labels, 1), trained(rows, labels.tolist(), 2)
    other = trained((rows / 255).astype(np.float32), labels.astype(np.uint8), 2)
    for name, value in parameters(one).items():
        np.testing.assert_array_equal(parameters(two)[name], value, err_msg=name)
        np.testing.assert_array_equal(parameters(other)[name], value, err_msg=name)
    if one.prior_layer is not None:
        assert one.prior_layer.weight.any()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "binarize"), [({}, None), ({}, "dynamic"), ({"likelihood": "poisson"}, None)]
)
def test_skipping_zeros_changes_no_bit(settings: dict[str, Any], binarize: Any) -> None:
    rows = ROWS > 99

    def trained(skips: bool) -> dict[str, NDArray[Any]]:
        vae = model(**settings)
        vae.network.pays_to_skip = lambda *_: skips  # type: ignore[method-assign]
        vae.fit(rows, labels=LABELS, epochs=1, batch_size=50, verbose=False, binarize=binarize)
        return parameters(vae) | {"mean": vae.encode(rows, labels=LABELS)[0]}

    plain, skipping = trained(False), trained(True)
    for name, value in plain.items():
        np.testing.assert_array_equal(skipping[name], value, err_msg=name)


def data_set() -> Dataset:
    dataset = Dataset(ROWS)
    dataset.train_labels = LABELS.astype(np.int64)
    dataset.label_names = {0: "none", 1: "one", 2: "two"}
    return dataset


def test_a_data_set_brings_labels_and_names() -> None:
    dataset = data_set()
    by_set, by_array = model(), model()
    history = by_set.fit(dataset, epochs=1, verbose=False, validation=dataset)
    same = by_array.fit(ROWS, labels=LABELS, epochs=1, verbose=False, validation=(ROWS, LABELS))
    assert history["val_elbo"] == same["val_elbo"]
    np.testing.assert_array_equal(by_set.sample(4, seed=0), by_array.sample(4, seed=0))
    assert by_set.class_names == ["none", "one", "two"]
    assert by_array.class_names is None
    np.testing.assert_array_equal(
        by_set.sample(3, seed=0, label=["two", 0, "one"]), by_set.sample(3, seed=0, label=[2, 0, 1])
    )
    named = model(class_names=["a", "b", "c"])
    named.fit(dataset, epochs=1, verbose=False)
    assert named.class_names == ["a", "b", "c"]
    for found, wanted in zip(
        by_set.encode(dataset), by_set.encode(ROWS, labels=LABELS), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)


def test_a_resumed_run_knows_its_labels(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    common: dict[str, Any] = {"verbose": False, "batch_size": 100}
    whole, part = model(prior="label"), model(prior="label")
    whole.fit(ROWS, labels=LABELS, epochs=2, **common)
    part.fit(ROWS, labels=LABELS, epochs=1, checkpoint=path, **common)
    with pytest.raises(ValueError, match="the rows are others"):
        model(prior="label").fit(ROWS, labels=(LABELS + 1) % K, epochs=2, resume=path, **common)
    with pytest.raises(ValueError, match="the number of classes was 3 and is 4"):
        VAE.from_sizes(N, (5,), Z, n_classes=4, seed=3).fit(
            ROWS, labels=LABELS, epochs=2, resume=path, **common
        )
    gone_on = model(prior="label")
    gone_on.fit(ROWS, labels=LABELS, epochs=2, resume=path, **common)
    for name, value in parameters(whole).items():
        np.testing.assert_array_equal(parameters(gone_on)[name], value, err_msg=name)


@pytest.mark.parametrize("prior", PRIORS)
def test_files_copies_and_states_keep_all(prior: str, tmp_path: Path) -> None:
    vae = model(prior=prior, class_names=["a", "b", "é"])
    path = tmp_path / "model.safetensors"
    vae.save(path)
    others = [fastvae.load(path), copy.deepcopy(vae), pickle.loads(pickle.dumps(vae))]
    state = model(prior=prior, seed=9)
    state.load_state_dict(vae.state_dict())
    for other in [*others, state]:
        np.testing.assert_array_equal(other.sample(5, seed=1), vae.sample(5, seed=1))
        assert (other.n_classes, other.prior) == (K, prior)
    assert all(other.class_names == ["a", "b", "é"] for other in others)
    again = tmp_path / "again.safetensors"
    others[0].save(again)
    assert again.read_bytes() == path.read_bytes()
    with pytest.raises(ValueError, match="no place for classes"):
        vae.save(tmp_path / "seed", format="seed")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_classes": 4}, "as many as the classes, 4; got 3"),
        ({"n_classes": 2, "class_names": None}, "as many as latents and classes, 4; got 5"),
        ({"n_classes": 0}, "n_classes must be an integer between 1"),
        ({"n_classes": 3.0}, "n_classes must be an integer"),
        ({"n_classes": True}, "n_classes must be an integer"),
        ({"n_classes": 10**9}, "n_classes must be an integer"),
        ({"prior": "normal"}, 'a layer "prior" is of models whose prior is "label"'),
        ({"prior": "labels"}, "prior must be one of"),
        ({"class_names": ["a", "a", "b"]}, "'a' is there twice"),
        ({"class_names": "abc"}, "must be a list of 3 texts"),
        ({"class_names": [1, 2, 3]}, "must be texts"),
        ({"format_version": 2}, "decoder inputs must be as many as latents, 2; got 5"),
    ],
)
def test_a_file_that_is_wrong_is_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    model(prior="label", class_names=["a", "b", "c"]).save(path)
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    settings = json.loads(header["__metadata__"]["fastvae"]) | changes
    header["__metadata__"]["fastvae"] = json.dumps(settings)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[end:])
    with pytest.raises(ValueError, match=message):
        fastvae.load(path)


def test_a_model_without_classes_is_written_as_before(tmp_path: Path) -> None:
    vae = VAE.from_sizes(N, (5,), Z, n_classes=0)
    assert (vae.n_classes, vae.prior, vae.class_names) == (0, "normal", None)
    vae.save(tmp_path / "model.safetensors")
    content = (tmp_path / "model.safetensors").read_bytes()
    assert b'format_version\\": 1' in content
    assert b"classes" not in content


def test_a_model_says_its_classes() -> None:
    text = model(prior="label", class_names=["a", "b", "c"]).summary()
    assert "classes                3: a, b, c\n" in text
    assert "prior                  of each class its own\n" in text
    assert "classes" not in VAE.from_sizes(N, (5,), Z).summary()


@pytest.mark.parametrize("call", ["encode", "reconstruct", "feedforward", "elbo", "gradients"])
def test_labels_must_be_there_and_right(call: str) -> None:
    vae, plain = model(), VAE.from_sizes(N, (5,), Z)
    method, other = getattr(vae, call), getattr(plain, call)
    with pytest.raises(ValueError, match=r"conditional, of 3 classes: it needs labels=.* 700 rows"):
        method(ROWS)
    with pytest.raises(ValueError, match="no labels|is not conditional"):
        other(ROWS, labels=LABELS)
    with pytest.raises(ValueError, match=r"labels must have shape \(700,\)"):
        method(ROWS, labels=LABELS[:-1])
    with pytest.raises(TypeError, match="labels must be integers"):
        method(ROWS, labels=LABELS / 1.0)
    with pytest.raises(ValueError, match="the data set array has none"):
        method(Dataset(ROWS))
    method(ROWS[0], labels=1)
    method(ROWS[:1], labels=[1])


def test_what_fit_and_the_others_refuse() -> None:
    vae, plain = model(), VAE.from_sizes(N, (5,), Z)
    quiet: dict[str, Any] = {"epochs": 1, "verbose": False}
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({}, ValueError, "it needs labels="), ({"labels": LABELS + 1}, ValueError, "of 3 classes"),
        ({"labels": LABELS, "validation": ROWS}, ValueError, r"a pair \(rows, labels\)"),
        ({"labels": LABELS, "validation": (ROWS, LABELS[1:])}, ValueError, r"validation\[1\] must"),
        ({"labels": LABELS, "validation": Dataset(ROWS)}, ValueError, "has none"),
    ]  # fmt: skip
    for given, error, message in cases:
        with pytest.raises(error, match=message):
            vae.fit(ROWS, **quiet, **given)
    assert vae.updates == 0
    with pytest.raises(ValueError, match="is not conditional"):
        plain.fit(ROWS, labels=LABELS, **quiet)
    with pytest.raises(ValueError, match="is not conditional and takes no label"):
        plain.sample(3, label=1)
    with pytest.raises(ValueError, match="label must be from 0 to 2"):
        vae.sample(3, label=3)
    with pytest.raises(ValueError, match=r"label must have shape \(3,\)"):
        vae.sample(3, label=[1, 2])
    with pytest.raises(ValueError, match="classes have no names"):
        vae.iter_sample(3, label="one")
    with pytest.raises(TypeError, match="got True"):
        vae.sample(3, label=True)
    with pytest.raises(ValueError, match="it needs labels="):
        vae.decode(np.zeros((2, Z)))
    with pytest.raises(ValueError, match="is not conditional"):
        plain.class_names = ["a"]


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"n_classes": -1}, ValueError, "n_classes must be an integer between 0"),
        ({"n_classes": True}, TypeError, "n_classes"),
        ({"n_classes": 2.0}, TypeError, "n_classes"),
        ({"n_classes": 0, "prior": "label"}, ValueError, "is of conditional models"),
        ({"prior": "labels"}, ValueError, "did you mean 'label'"),
        ({"class_names": ["a"]}, ValueError, "as many as the classes, 3; got 1"),
        ({"n_classes": None, "class_names": ["a"]}, ValueError, "is not conditional"),
    ],
)
def test_settings_that_are_none(settings: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        model(**settings)


def test_parts_have_inputs_for_the_classes() -> None:
    encoder = fastvae.MLP([fastvae.Dense(N + K, 4, "relu")])
    decoder = fastvae.MLP([fastvae.Dense(Z + K, N, "sigmoid")])
    vae = VAE(encoder, fastvae.Sampler(4, Z), decoder, n_classes=K)
    assert (vae.n_features, vae.n_latent) == (N, Z)
    for n_classes, message in ((K + 1, "as many as latents and classes, 6; got 5"), (99, "99")):
        parts = copy.deepcopy((vae.encoder, vae.sampler, vae.decoder))
        with pytest.raises(ValueError, match=message):
            VAE(*parts, n_classes=n_classes)
    linear = model(hidden=())
    assert linear.sampler.n_in == N + K
    assert linear.encode(ROWS, labels=LABELS)[0].shape == (len(ROWS), Z)


def test_onnx_takes_one_hot_labels(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    rows, hot = ROWS / np.float32(255), np.eye(K, dtype=np.float32)[LABELS]
    for prior in PRIORS:
        vae, path = model(prior=prior), tmp_path / "model.onnx"
        mean, log_var = vae.encode(ROWS, labels=LABELS)
        means = vae.reconstruct(ROWS, labels=LABELS)
        cases: list[tuple[Any, dict[str, Any], tuple[Any, ...]]] = [
            ("encoder", {"x": rows}, (mean, log_var)),
            ("decoder", {"z": mean}, (means,)),
            ("reconstruct", {"x": rows}, (means,)),
        ]
        for part, given, wanted in cases:
            vae.to_onnx(path, part)
            found = runtime.InferenceSession(path).run(None, given | {"y": hot})
            for ours, theirs in zip(wanted, found, strict=True):
                np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-5)


def test_nothing_is_compiled_for_models_without_classes() -> None:
    from fastvae.kernels.engine import label_tasks

    tasks = [
        label_tasks.columns_task, label_tasks.place_task, label_tasks.posterior_task,
        label_tasks.prior_gradient_task,
    ]  # fmt: skip
    before = [len(task.overloads) for task in tasks]
    plain = VAE.from_sizes(N, (5,), Z)
    plain.fit(ROWS, epochs=1, verbose=False)
    plain.sample(2), plain.reconstruct(ROWS), plain.elbo(ROWS)
    assert [len(task.overloads) for task in tasks] == before


@pytest.mark.slow
def test_samples_are_of_the_class_asked_for() -> None:
    """By the nearest of the rows that it was trained on: digits that differ in class alone."""
    digits = Dataset("synthetic_digits", 2000, 10)
    vae = VAE.from_sizes(784, (64,), 2, n_classes=10, seed=0)
    vae.fit(digits, epochs=20, batch_size=20, learning_rate=3e-3, verbose=False)
    samples, wanted = vae.sample(200, seed=0), np.arange(200) % 10
    rows = digits.train / np.float32(255)
    distances = (rows**2).sum(axis=1) - 2 * samples @ rows.T
    assert digits.train_labels is not None
    found = digits.train_labels[distances.argmin(axis=1)]
    assert (found == wanted).mean() > 0.9


def test_labels_are_heard_from_the_start() -> None:
    """In hidden layers their weights start from N(0, 1.5^2), all others as without classes."""
    n_hidden, n_classes = 400, 10
    vae = VAE.from_sizes(50, (n_hidden,), 4, n_classes=n_classes)
    for layer in (vae.encoder.layers[0], vae.decoder.layers[0]):
        others, labels = np.split(layer.weight, [layer.n_in - n_classes], axis=1)
        # A deviation of n normal numbers has the relative standard error 1 / sqrt(2 n).
        error = 5 / np.sqrt(2 * labels.size)
        assert labels.std() == pytest.approx(1.5, rel=error)
        usual = np.sqrt(2 / (layer.n_in + n_hidden))
        assert others.std() == pytest.approx(usual, rel=5 / np.sqrt(2 * others.size))


def test_labels_of_linear_models_start_like_all_inputs() -> None:
    """There the label goes straight to the posterior and to the outputs."""
    vae = VAE.from_sizes(50, (), 4, n_classes=10)
    for layer in (vae.sampler.mean, vae.decoder.layers[0]):
        assert np.abs(layer.weight).max() < 6 * layer.start_deviation
