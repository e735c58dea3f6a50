"""The variational autoencoder; it lives in `fastvae.model.vae`."""

from fastvae.model.vae import VAE, Elbo, LogLikelihood, Losses, Sampler

__all__ = ["VAE", "Elbo", "LogLikelihood", "Losses", "Sampler"]
