"""The names that training and evaluation go by, as types: type checkers refuse a misspelt one.

The tests compare them with the tables of those who read them. The command line's help is made from
them, so that nothing here needs NumPy.
"""

from typing import Literal, TypeAlias

OptimizerName: TypeAlias = Literal["adam", "rmsprop", "sgd"]
ObjectiveName: TypeAlias = Literal["elbo", "iwae", "dreg"]
Binarization: TypeAlias = Literal["dynamic", "threshold", "fixed"]
FigureName: TypeAlias = Literal[
    "loss",
    "bound",
    "elbo",
    "reconstruction",
    "kl",
    "active_units",
    "seconds",
    "samples_per_second",
    "val_loss",
    "val_bound",
    "val_elbo",
    "val_reconstruction",
    "val_kl",
]
