"""What `VAE.from_sizes` and ``fastvae train`` build where nothing else is asked for.

Without an import, so that the command line's help need not wait for the modules that use it.
"""

HIDDEN = (256,)
N_LATENT = 32
ACTIVATION = "relu"
LIKELIHOOD = "bernoulli"
