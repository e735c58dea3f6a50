"""What a type checker says of a user's script: nothing of a right one, and each wrong line."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

import fastvae
from fastvae import kernels
from fastvae.evaluation import diagnose, evaluate
from fastvae.model.kinds import LIKELIHOODS
from fastvae.typing import (
    Activation,
    Binarization,
    BlockKind,
    FigureName,
    FileFormat,
    LikelihoodName,
    Missing,
    ObjectiveName,
    OptimizerName,
    SigmaName,
)

PACKAGE = Path(fastvae.__file__).parent

RIGHT = """
from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

import fastvae
from fastvae import MLP, VAE, Adam, Dataset, Dense, Elbo, History, LogLikelihood, Losses, Sampler
from fastvae import PosteriorMixture
from fastvae.callbacks import Callback, Checkpoint, CSVLogger, EarlyStopping, Figures
from fastvae.evaluation import diagnose, evaluate
from fastvae.schedules import Cosine
from fastvae.typing import Activation, ObjectiveName, PerRow, SampleSource


class Recorder(Callback):
    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_train_begin(self, vae: VAE, n_epochs: int, n_rows: int) -> None:
        print(vae.n_latent, n_epochs, n_rows)

    def on_epoch_end(self, vae: VAE, epoch: int, figures: Figures) -> None:
        self.seen.append(figures["elbo"])
        vae.stop_training = epoch > 1


class OfItsOwn:
    def on_train_begin(self, vae: VAE, n_epochs: int, n_rows: int) -> None: ...
    def on_epoch_begin(self, vae: VAE, epoch: int) -> None: ...
    def on_batch(self, vae: VAE, epoch: int, n_done: int) -> None: ...
    def on_epoch_end(self, vae: VAE, epoch: int, figures: Figures) -> None: ...
    def on_train_end(self, vae: VAE, history: History) -> None: ...
    def state_dict(self) -> dict[str, Any]:
        return {}
    def load_state_dict(self, state: Any) -> None: ...


class OfDicts(Callback):
    def on_epoch_end(self, vae: VAE, epoch: int, figures: dict[str, float]) -> None: ...


def of_dicts(model: VAE, epoch: int, logs: dict[str, float]) -> bool:
    return logs["elbo"] > -100


def of_mappings(vae: VAE, epoch: int, figures: Mapping[str, float], more: int = 1) -> None: ...
def of_more(name: str, vae: VAE, epoch: int, figures: Mapping[str, float]) -> None: ...


def after(vae: VAE, epoch: int, figures: Figures) -> None:
    print(epoch, figures["kl"])


rows: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (30, 6), dtype=np.uint8)
floats = rows / 255
listed: list[list[float]] = floats.tolist()
table = pl.DataFrame(floats)
dataset = Dataset(rows, batch_size=4)
relu: Activation = "relu"
vae = VAE.from_sizes(6, (4,), 2, relu, likelihood="bernoulli", missing="ignore", dtype=np.float64)
VAE.from_sizes(6, [4, 3], 2, "tanh", likelihood="gaussian", sigma="learned", dtype="float32")
other = VAE.from_sizes(6, (4,), likelihood=vae.likelihood, missing=vae.missing, sigma=vae.sigma)
VAE.from_sizes(6, (4,), likelihood="mixed", blocks=[("gaussian", 4), ("categorical", 2)])
VAE.from_sizes(6, (4,), likelihood="categorical", blocks=[4, 2])
VAE(MLP([Dense(6, 4, "softplus")]), Sampler(4, 2), MLP([Dense(2, 6, "sigmoid")]))
history: History = vae.fit(
    rows,
    epochs=2,
    batch_size=10,
    learning_rate=Cosine(1e-3),
    optimizer="rmsprop",
    beta=lambda step, total: step / total,
    validation=dataset,
    binarize="dynamic",
    callbacks=[Recorder(), OfItsOwn(), after, EarlyStopping("val_elbo", patience=2),
               lambda vae, epoch, figures: print(epoch)],
    checkpoint=Path("run.safetensors"),
    checkpoint_every=("epoch", "30s"),
    verbose=False,
)
watchers = [Checkpoint("best.safetensors", best_only=True), CSVLogger("log.csv")]
vae.fit(listed, epochs=1, optimizer=Adam(beta1=0.8), callbacks=watchers, verbose=False)
vae.fit(table, epochs=1, validation=floats, callbacks=(after,), verbose=False)
vae.fit(dataset, epochs=1, resume=None, verbose=False)
vae.fit(rows, epochs=1, callbacks=[OfDicts(), of_dicts, of_mappings, partial(of_more, "x")])
last: float = history["elbo"][-1]
for X in (rows, floats, listed, table, dataset):
    mean, log_var = vae.encode(X)
    shape: tuple[int, ...] = vae.reconstruct(X).shape
bound: Elbo = vae.elbo(rows, binarize="threshold")
nats: float = bound.elbo + bound.kl - vae.elbo(listed, 2, 7).reconstruction
each: PerRow = vae.elbo(rows, per_sample=True).elbo
of_rows: NDArray[np.float64] = vae.elbo(rows, 1, 0, True, progress=False).kl
print(f"{bound.elbo:.2f}", each.mean(), of_rows.sum())
estimate: LogLikelihood = vae.log_likelihood(rows, 100, binarize="fixed")
low: float = estimate.value - 2 * estimate.standard_error
values: NDArray[np.float64] = vae.log_likelihood(table, 100, per_sample=True).value
elbo, reconstruction, kl = vae.elbo(rows)
total: float = elbo + reconstruction + kl
losses, gradients = vae.gradients(rows, objective="dreg", n_samples=3)
objective: ObjectiveName = "iwae"
vae.fit(rows, epochs=1, objective=objective, n_samples=5, free_bits=0.0, verbose=False)
loss: Losses = losses
loss_value: float = loss.loss
report = evaluate(vae, dataset, binarize="fixed")
reported: float = report.elbo + report.mean_squared_error
units: int = diagnose(vae, floats).active_units
mixture: PosteriorMixture = vae.fit_posterior(dataset, 2, seed=1)
source: SampleSource = "posterior"
new: NDArray[Any] = vae.sample(3, source=source, data=table)
means: NDArray[np.float64] = mixture.means
kept: PosteriorMixture | None = vae.posterior_mixture
vae.save("model.safetensors", format="safetensors")
loaded: VAE = fastvae.load(Path("model.safetensors"))
kind: str = loaded.likelihood
"""

WRONG = """
import numpy as np

import fastvae
from fastvae import VAE, Dataset, Dense
from fastvae.callbacks import Callback, Checkpoint, EarlyStopping, Figures
from fastvae.evaluation import diagnose, evaluate

X = np.zeros((4, 3))
vae = VAE.from_sizes(3)


def of_two(vae: VAE, epoch: int) -> None: ...
def of_text(vae: VAE, epoch: str, figures: Figures) -> None: ...
def right(vae: VAE, epoch: int, figures: Figures) -> None: ...


class Stranger:
    def on_epoch_ends(self, vae: VAE, epoch: int, figures: Figures) -> None: ...


class TooFew(Callback):
    def on_epoch_end(self, vae: VAE, epoch: int) -> None: ...  # wrong


class OtherType(Callback):
    def on_batch(self, vae: VAE, epoch: str, n_done: int) -> None: ...  # wrong


VAE.from_sizes(activation="rleu")  # wrong
VAE.from_sizes(3, (2,), 2, "relu", "sigmod")  # wrong
VAE.from_sizes(likelihood="gausian")  # wrong
VAE.from_sizes(likelihood="gaussian", sigma="lerned")  # wrong
VAE.from_sizes(missing="ignored")  # wrong
VAE.from_sizes(likelihood="mixed", blocks=[("gausian", 4)])  # wrong
VAE(likelihood="bernouli")  # wrong
Dense(3, 2, "reul")  # wrong
Dense(3, 2, activation="leaky-relu")  # wrong
vae.fit(X, epochs=1, optimizer="adamm")  # wrong
vae.fit(X, epochs=1, binarize="dinamic")  # wrong
vae.fit(X, epochs=1, objective="iwea")  # wrong
vae.fit(X, epochs=1, n_samples="5")  # wrong
vae.gradients(X, free_bits="a")  # wrong
vae.fit(X, epochs=1, callbacks=[of_two])  # wrong
vae.fit(X, epochs=1, callbacks=[right, of_text])  # wrong
vae.fit(X, epochs=1, callbacks=[Stranger()])  # wrong
vae.fit(X, epochs=1, callbacks=[EarlyStopping])  # wrong
vae.fit(X, epochs=1, callbacks=[3])  # wrong
vae.fit(X, epochs=1, callbacks=EarlyStopping())  # wrong
vae.fit(X, epochs=1, callbacks=[lambda vae, epoch: None])  # wrong
vae.fit(X, epoch=1)  # wrong
EarlyStopping("val_elbow")  # wrong
Checkpoint("m", monitor="elob")  # wrong
vae.elbo(X, binarize="treshold")  # wrong
vae.log_likelihood(X, binarize="fix")  # wrong
evaluate(vae, X, binarize="dynamically")  # wrong
diagnose(vae, X, binarize="dynamo")  # wrong
vae.save("m", format="pickle")  # wrong
vae.elbo(X).elbo.mean()  # wrong
per_row: float = vae.elbo(X, per_sample=True).elbo  # wrong
vae.log_likelihood(X).value.shape  # wrong
vae.log_likelihood(X).valeu  # wrong
vae.sample(3, source="posterier")  # wrong
vae.posterior_mixture.means  # wrong
vae.encode(Dataset)  # wrong
fastvae.VAE.from_size(3)  # wrong
fastvae.lode("m")  # wrong
"""


@pytest.mark.slow
def test_scripts_of_users(tmp_path: Path) -> None:
    """The package lies where one installs it, so that the checker takes its types by `py.typed`."""
    pytest.importorskip("mypy")
    pytest.importorskip("polars")
    site = tmp_path / "site"
    skip = shutil.ignore_patterns("__pycache__", "pretrained")
    shutil.copytree(PACKAGE, site / "fastvae", ignore=skip)
    env = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", env], check=True)
    packages = next((env / "lib").glob("python*/site-packages"))
    libraries = {sysconfig.get_path("purelib"), str(Path(pytest.__file__).parents[1])}
    (packages / "users.pth").write_text("\n".join([str(site), *libraries]))
    for name, text in (("right", RIGHT), ("wrong", WRONG)):
        (tmp_path / f"{name}.py").write_text(text)
    python = str(env / "bin" / "python")
    options = ["--strict", "--hide-error-context", "--python-executable", python]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "right.py", "wrong.py"],
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if k not in ("MYPYPATH", "PYTHONPATH")},
        capture_output=True,
        text=True,
    )
    found = re.findall(r"^(right|wrong)\.py:(\d+): error: (.*)$", done.stdout, re.M)
    assert not [error for error in found if error[0] == "right"], done.stdout + done.stderr
    lines = WRONG.splitlines()
    expected = {i for i, line in enumerate(lines, 1) if line.endswith("# wrong")}
    assert {int(line) for _, line, _ in found} == expected, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("names", "known"),
    [
        (Activation, kernels.ACTIVATIONS),
        (LikelihoodName, LIKELIHOODS),
        (BlockKind, kernels.BLOCK_KINDS),
        (OptimizerName, kernels.OPTIMIZERS),
        (ObjectiveName, kernels.OBJECTIVES),
        (Binarization, kernels.BINARIZATIONS),
    ],
)
def test_names_are_those_of_the_tables(names: object, known: object) -> None:
    assert set(get_args(names)) == set(known)  # type: ignore[call-overload]


@pytest.mark.parametrize("function", [evaluate, diagnose])
def test_what_functions_ask_of_a_model_is_not_to_be_set(function: object) -> None:
    """Pyright takes no property for an attribute that can be set, where mypy does."""
    asked = get_type_hints(function)["vae"]
    assert not any(vars(kind).get("__annotations__") for kind in asked.__mro__)


def test_all_names_are_taken_and_no_other() -> None:
    for sigma in get_args(SigmaName):
        assert fastvae.VAE.from_sizes(2, (2,), 1, likelihood="gaussian", sigma=sigma).sigma == sigma
    for missing in get_args(Missing):
        assert fastvae.VAE.from_sizes(2, (2,), 1, missing=missing).missing == missing


def test_figures_and_formats_are_those_that_there_are(tmp_path: Path) -> None:
    rows = [[0.0, 1.0], [1.0, 0.0]]
    vae = fastvae.VAE.from_sizes(2, (2,), 1)
    history = vae.fit(rows, epochs=1, validation=rows, verbose=False)
    bounds = vae.fit(rows, epochs=1, validation=rows, objective="iwae", verbose=False)
    assert set(get_args(FigureName)) == set(history) | set(bounds)
    assert set(bounds) - set(history) == {"bound", "val_bound"}
    for name in get_args(FileFormat):
        vae.save(tmp_path / name, format=name)
        assert fastvae.load(tmp_path / name).n_features == 2


def test_figures_of_all_rows_are_floats_and_those_of_each_arrays() -> None:
    rows = [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    vae = fastvae.VAE.from_sizes(2, (2,), 1)
    found = (*vae.elbo(rows), *vae.log_likelihood(rows, 200), *vae.gradients(rows)[0])
    assert {type(figure) for figure in found} == {float}
    report = evaluate(vae, rows)
    assert type(report.elbo) is type(report.loss) is type(report.mean_squared_error) is float
    each = (*vae.elbo(rows, per_sample=True), *vae.log_likelihood(rows, 200, per_sample=True))
    assert {figure.shape for figure in each} == {(3,)}
    assert {figure.dtype.name for figure in each} == {"float64"}
    assert type(vae.elbo(rows, per_sample=True)) is fastvae.Elbo
