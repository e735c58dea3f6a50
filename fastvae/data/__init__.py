"""Data sets: published ones by name, the user's own files and arrays, and synthetic digits."""

from .dataset import NAMES, Dataset
from .download import fetch
from .idx import IDXError
from .sources import DataUnavailable, MislabelledData, cache_folder, locate
from .synthetic import FACTORS, SyntheticDigits, synthetic_digits

__all__ = [
    "FACTORS",
    "NAMES",
    "DataUnavailable",
    "Dataset",
    "IDXError",
    "MislabelledData",
    "SyntheticDigits",
    "cache_folder",
    "fetch",
    "locate",
    "synthetic_digits",
]
