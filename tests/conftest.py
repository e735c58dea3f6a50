"""Fixtures that more than one test module needs."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fastvae.data import locate, synthetic_digits

# Their assertions show values, as those of test modules do.
pytest.register_assert_rewrite(
    "failing_writes", "kernel_checks", "model_checks", "network_checks", "probes"
)

# What chooses among these tests is not for those that tests start in processes of their own.
os.environ.pop("PYTEST_ADDOPTS", None)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--order SEED` shuffles the tests: none may lean on one before it."""
    parser.addoption("--order", type=int, help="run the tests in an order drawn with this seed")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Shuffle the tests where that is asked for."""
    if config.getoption("order") is not None:
        random.Random(config.getoption("order")).shuffle(items)


@pytest.fixture(autouse=True)
def subnormals_are_back() -> Iterator[None]:
    """Undo what the benchmarks' PyTorch sets for its process: other tests look at subnormals."""
    yield
    if "bench.torch_vae" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def mnist_if_there() -> Path | None:
    """Folder with the four official MNIST files, or None where there are none."""
    for base in (os.environ.get("FASTVAE_DATA"), BESIDE):
        if base:
            with suppress(FileNotFoundError, NotADirectoryError):
                files = locate("mnist", base)
                return None if files is None else files["train_images"].parent
    return None


@pytest.fixture(scope="session")
def mnist_dir(mnist_if_there: Path | None) -> Path:
    """Folder with the four official MNIST files; tests that need it are skipped without it."""
    if mnist_if_there is None:
        pytest.skip(f"real MNIST found neither in $FASTVAE_DATA nor in {BESIDE}")
    return mnist_if_there


@pytest.fixture(scope="session")
def synthetic_rows() -> npt.NDArray[Any]:
    """(300, 784) uint8 rows of synthetic digits, read-only."""
    rows = synthetic_digits(300, seed=11).images
    rows.flags.writeable = False
    assert rows.dtype == np.uint8
    return rows
