"""What `VAE.fit` and ``fastvae train`` take where nothing else is asked for.

Nothing here needs NumPy, so that the command line's help need not wait for it.
"""

from typing import Final

BATCH_SIZE = 128
LEARNING_RATE = 1e-3
OPTIMIZER: Final = "adam"
