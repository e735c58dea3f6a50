"""The names that a model's settings go by, as types: type checkers refuse a misspelt one.

What each name stands for is in the tables of those who read it; the tests compare them with these.
The command line's help is made from them, so that nothing here needs NumPy.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

Activation: TypeAlias = Literal["identity", "relu", "leaky_relu", "tanh", "sigmoid", "softplus"]
LikelihoodName: TypeAlias = Literal[
    "bernoulli", "gaussian", "continuous_bernoulli", "poisson", "categorical", "mixed"
]
BlockKind: TypeAlias = Literal[
    "bernoulli", "gaussian", "continuous_bernoulli", "poisson", "categorical"
]
Blocks: TypeAlias = Sequence[int | tuple[BlockKind, int]]
"""How many columns each block has; of mixed rows its kind, too."""
SigmaName: TypeAlias = Literal["learned", "feature", "output"]
Prior: TypeAlias = Literal["normal", "label"]
Missing: TypeAlias = Literal["error", "ignore"]
FileFormat: TypeAlias = Literal["safetensors", "seed"]
SampleSource: TypeAlias = Literal["prior", "posterior"]
