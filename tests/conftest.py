"""Fixtures that more than one test module needs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fastvae.data import locate, synthetic_digits

# Their assertions show values, as those of test modules do.
pytest.register_assert_rewrite("kernel_checks", "model_checks")


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """Folder with the four official MNIST files; tests that need it are skipped without it."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    for base in (os.environ.get("FASTVAE_DATA"), beside):
        if base and Path(base).is_dir():
            files = locate("mnist", base)
            if files is not None:
                return files["train_images"].parent
    pytest.skip(f"real MNIST found neither in $FASTVAE_DATA nor in {beside}")


@pytest.fixture(scope="session")
def synthetic_rows() -> npt.NDArray[Any]:
    """(300, 784) uint8 rows of synthetic digits, read-only."""
    rows = synthetic_digits(300, seed=11).images
    rows.flags.writeable = False
    assert rows.dtype == np.uint8
    return rows
