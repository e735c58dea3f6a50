"""The contestants: what each must offer, and how each is loaded."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

from numpy.typing import NDArray

from bench.workload import Array, Estimate, Sizes

Parameters = dict[str, Array]


class Contestant(Protocol):
    """A VAE with Bernoulli likelihood, trained with Adam (learning rate 1e-3) in float32.

    `data` is what `prepare` made of uint8 rows: the form that the contestant likes best, in
    memory, made once and outside of all timing.
    """

    training_variants: ClassVar[list[dict[str, Any]]]
    """Settings of equal meaning, each keyword arguments of the class; the fastest is measured."""
    pass_variants: ClassVar[list[dict[str, Any]]]
    """The same for encode, decode and sample."""
    likelihood_variants: ClassVar[list[dict[str, Any]]]
    """The same for log_likelihood."""

    def set_parameters(self, named: Parameters) -> None:
        """Take parameters by the names of the model files."""

    def get_parameters(self) -> Parameters:
        """Return copies of the parameters by the names of the model files."""

    def prepare(self, rows: NDArray[Any]) -> Any:
        """Return uint8 rows in the contestant's own form."""

    def fit(self, data: Any, epochs: int, batch_size: int) -> list[float]:
        """Train from the present weights with fresh moments, in a new order per epoch.

        The last, smaller batch is trained too. Returns the mean loss per row of each epoch.
        """

    def gradients(self, rows: NDArray[Any], noise: Array) -> tuple[float, float, Parameters]:
        """Return mean reconstruction, mean KL and the gradients of their sum for one batch."""

    def step(self, rows: NDArray[Any], noise: Array) -> None:
        """Do one update with one batch."""

    def encode(self, data: Any) -> Any:
        """Return mean and log_var, computed."""

    def decode(self, latents: Array) -> Any:
        """Return the means of the pixels, computed."""

    def sample(self, n: int) -> Any:
        """Return the means of n draws from the prior, computed."""

    def evaluate(self, data: Any) -> tuple[float, float]:
        """Return mean reconstruction and mean KL with one draw per row."""

    def log_likelihood(self, data: Any, n_samples: int) -> Estimate:
        """Return log p(x) of each row, estimated by importance sampling from the posterior.

        Of its own noise, anew in each call; see `bench.workload.importance_estimate`.
        """

    def save(self, path: Path) -> None:
        """Write the parameters as safetensors."""


class ImportanceWeighted(Contestant, Protocol):
    """A contestant that trains on the importance-weighted bound, too.

    Burda, Grosse & Salakhutdinov (2016), eq. 8, with k latents z of q(z | x) for each row.
    """

    iwae_variants: ClassVar[list[dict[str, Any]]]
    """The same as `training_variants`, for `fit_iwae`."""

    def fit_iwae(self, data: Any, epochs: int, batch_size: int, n_samples: int) -> list[float]:
        """As `fit`, on the bound with k = `n_samples`; returns the mean of -bound of each epoch."""

    def iwae_gradients(self, rows: NDArray[Any], noise: Array) -> tuple[float, Parameters]:
        """Return the mean bound, and the gradients of its negative, with noise (B, k, Z)."""


class Entry(NamedTuple):
    """Where a contestant is found."""

    title: str
    module: str
    class_name: str
    requires: str
    """The package without which it cannot run."""


ENTRIES = {
    "fastvae": Entry("fastvae", "bench.ours", "FastVAE", "fastvae"),
    "numpy": Entry("NumPy", "bench.numpy_vae", "NumpyVAE", "numpy"),
    "torch": Entry("PyTorch", "bench.torch_vae", "TorchVAE", "torch"),
    "torch-compiled": Entry("PyTorch compiled", "bench.torch_vae", "CompiledTorchVAE", "torch"),
    "jax": Entry("JAX", "bench.jax_iwae", "JaxIWAE", "jax"),
}
PEERS = ("torch", "torch-compiled", "jax")
"""The contestants that the targets are set against."""
SUITE = ("fastvae", "numpy")
"""Those of the pytest-benchmark suite: it has them in one process, which peers would disturb."""


def why_not(name: str) -> str | None:
    """Return why a contestant cannot run here, or None where it can."""
    package = ENTRIES[name].requires
    if importlib.util.find_spec(package) is None:
        return f"{package} is not installed"
    return None


def load(name: str) -> Any:
    """Return the class of a contestant; it is called with `Sizes` and a variant's arguments."""
    entry = ENTRIES[name]
    return getattr(importlib.import_module(entry.module), entry.class_name)


def build(name: str, sizes: Sizes, **variant: Any) -> Contestant:
    """Return a contestant of the given sizes."""
    contestant: Contestant = load(name)(sizes, **variant)
    return contestant
