"""Data sets: published ones by name, the user's own files and arrays, and synthetic digits."""

from fastvae.data.dataset import NAMES, Dataset
from fastvae.data.download import fetch
from fastvae.data.idx import IDXError
from fastvae.data.sources import DataUnavailable, MislabelledData, cache_folder, locate
from fastvae.data.synthetic import FACTORS, SyntheticDigits, synthetic_digits

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


def __dir__() -> list[str]:
    return sorted(__all__)
