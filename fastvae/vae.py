"""The variational autoencoder; it lives in `fastvae.model.vae`."""

from fastvae.model.gradients import Losses
from fastvae.model.importance import LogLikelihood
from fastvae.model.sampler import Sampler
from fastvae.model.vae import VAE
from fastvae.training.evaluation import Elbo

__all__ = ["VAE", "Elbo", "LogLikelihood", "Losses", "Sampler"]
