"""Animated GIFs; they live in `fastvae.plots.animation`."""

from fastvae.plots.animation import TrainingFilm, latent_walk, prior_walk, save_gif

__all__ = ["TrainingFilm", "latent_walk", "prior_walk", "save_gif"]
