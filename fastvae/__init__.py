"""fastvae: variational autoencoders on multicore CPUs.

Importing the package compiles nothing and loads nothing heavy: names are loaded on first use.
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # typing itself would be loaded for it
if TYPE_CHECKING:
    import os
    from typing import Any

    from fastvae import (
        animation,
        callbacks,
        data,
        distributed,
        evaluation,
        explore,
        kernels,
        optimizers,
        plots,
        schedules,
    )
    from fastvae import sklearn as sklearn
    from fastvae import typing as typing
    from fastvae.data import Dataset
    from fastvae.files.mixtures import PosteriorMixture
    from fastvae.files.storage import pretrained
    from fastvae.kernels import get_num_threads, set_num_threads, warmup
    from fastvae.model.gradients import Losses
    from fastvae.model.importance import LogLikelihood
    from fastvae.model.layers import MLP, Dense
    from fastvae.model.sampler import Sampler
    from fastvae.model.vae import VAE
    from fastvae.training.evaluation import Elbo
    from fastvae.training.history import History
    from fastvae.training.optimizers import SGD, Adam, RMSprop

__version__ = "0.1.0"

__all__ = [
    "MLP",
    "SGD",
    "VAE",
    "Adam",
    "Dataset",
    "Dense",
    "Elbo",
    "History",
    "LogLikelihood",
    "Losses",
    "PosteriorMixture",
    "RMSprop",
    "Sampler",
    "__version__",
    "animation",
    "callbacks",
    "data",
    "distributed",
    "evaluation",
    "explore",
    "get_num_threads",
    "kernels",
    "load",
    "optimizers",
    "plots",
    "pretrained",
    "schedules",
    "set_num_threads",
    "warmup",
]

_ASIDE = ("sklearn", "typing")
"""Modules that `import *` leaves out: of an extra, and for type checkers."""

_HOMES = {
    "Adam": "training.optimizers",
    "Dataset": "data",
    "Dense": "model.layers",
    "Elbo": "training.evaluation",
    "History": "training.history",
    "LogLikelihood": "model.importance",
    "Losses": "model.gradients",
    "MLP": "model.layers",
    "PosteriorMixture": "files.mixtures",
    "RMSprop": "training.optimizers",
    "SGD": "training.optimizers",
    "Sampler": "model.sampler",
    "VAE": "model.vae",
    "get_num_threads": "kernels",
    "pretrained": "files.storage",
    "set_num_threads": "kernels",
    "warmup": "kernels",
}


def load(name_or_path: str | os.PathLike[str]) -> VAE:
    """Return the model that a file, a run folder or a pretrained model's name stands for.

    See `VAE.load`.
    """
    from fastvae.model.vae import VAE

    vae = VAE()
    vae.load(name_or_path)
    return vae


if not TYPE_CHECKING:  # to a type checker every name would be one that there is

    def __getattr__(name: str) -> Any:
        if name in __all__ or name in _ASIDE:
            module = f"fastvae.{_HOMES.get(name, name)}"
            try:
                home = importlib.import_module(module)
            except (
                AttributeError
            ) as error:  # `from fastvae import` would say that there is no such name
                raise ImportError(f"{module} cannot be loaded: {error}") from error
            except ImportError as error:
                if name not in _ASIDE:
                    raise
                raise AttributeError(error) from error  # help and inspect ask for all names
            globals()[name] = value = getattr(home, name) if name in _HOMES else home
            return value
        raise AttributeError(f"module 'fastvae' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_ASIDE})
