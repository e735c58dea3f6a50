"""The import paths that users know stay, wherever the files lie."""

from __future__ import annotations

import importlib

import pytest

import fastvae

PATHS = {
    "animation": {"TrainingFilm", "latent_walk", "prior_walk", "save_gif"},
    "callbacks": {
        *(
            "Callback",
            "PrintEpochs",
            "ProgressBar",
            "EarlyStopping",
            "ReduceOnPlateau",
            "Checkpoint",
        ),
        *("CSVLogger", "JSONLogger", "TensorBoard", "SampleGrid"),
    },
    "data": {"Dataset", "fetch", "locate", "synthetic_digits"},
    "distributed": {"rows_of"},
    "evaluation": {"Evaluation", "evaluate"},
    "explore": {"Written", "write_page"},
    "kernels": {"dense_forward", "get_num_threads", "set_num_threads", "warmup"},
    "nn": {"MLP", "Dense"},
    "optimizers": {"SGD", "Adam", "RMSprop"},
    "plots": {"interpolate", "losses", "manifold", "samples", "save_figure", "tile_images"},
    "schedules": {"Constant", "Cosine", "Cyclical", "LinearWarmup", "Step", "Warmup"},
    "vae": {"VAE", "Elbo", "Losses", "Sampler"},
}


@pytest.mark.parametrize("name", PATHS)
def test_documented_paths_can_be_imported(name):
    module = importlib.import_module(f"fastvae.{name}")
    assert PATHS[name] <= set(module.__all__)
    assert all(hasattr(module, public) for public in module.__all__)


def test_the_package_has_what_it_lists():
    assert all(hasattr(fastvae, name) for name in fastvae.__all__)
