"""What `VAE.from_sizes` and ``fastvae train`` build where nothing else is asked for.

Nothing here needs NumPy, so that the command line's help need not wait for it.
"""

from typing import Final

HIDDEN = (256,)
N_LATENT = 32
ACTIVATION: Final = "relu"
LIKELIHOOD: Final = "bernoulli"
N_COMPONENTS = 10
"""Gaussians of a posterior mixture, as in Ghosh et al. (2020)."""
