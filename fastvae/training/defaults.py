"""What `VAE.fit` and ``fastvae train`` take where nothing else is asked for.

Without an import, so that the command line's help need not wait for the modules that use it.
"""

BATCH_SIZE = 128
LEARNING_RATE = 1e-3
OPTIMIZER = "adam"
