"""Installation of fastvae; tool settings stand in pyproject.toml."""

import re
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "(.+)"$', (ROOT / "fastvae" / "__init__.py").read_text(), re.MULTILINE
).group(1)

ROOMS = ["fastvae"]
ROOMS += [
    f"fastvae.{room}"
    for room in ("checks", "data", "files", "training", "model", "plots", "commands")
]
KERNELS = ["fastvae.kernels"]
KERNELS += [f"fastvae.kernels.{room}" for room in ("machine", "maths", "engine", "arrays")]

TEST = ["pytest>=8,<10", "pytest-benchmark>=5,<6", "threadpoolctl>=3.5,<4"]
# What users give beside arrays; pandas and the like are recognised, and never imported.
TABLES = ["pandas>=2.2,<4"]
NOTEBOOK = ["nbclient>=0.10,<1", "nbformat>=5.10,<6", "ipykernel>=6.29,<8"]

setup(
    name="fastvae",
    version=VERSION,
    description="Variational autoencoders on multicore CPUs, without a deep-learning framework",
    long_description=(ROOT / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    # `kernels` stands at the top of the repository and is imported as fastvae.kernels: the
    # top-level name belongs to another package.
    packages=[*ROOMS, *KERNELS],
    package_dir={
        package: package.removeprefix("fastvae.").replace(".", "/") for package in KERNELS
    },
    package_data={"fastvae": ["py.typed"], "fastvae.files": ["pretrained/*.safetensors"]},
    # Both ends of these ranges were run: the lowest on Python 3.10, the highest on 3.11.
    install_requires=[
        "numpy>=1.26,<2.5",
        "numba>=0.63,<0.69",
        "matplotlib>=3.10,<4",
        "pillow>=10,<14",
        "safetensors>=0.4,<1",
        "pooch>=1.8,<2",
        "requests>=2.32,<3",
        "tqdm>=4.64,<5",
        # The threading layer that is safe to fork and to call from several threads.
        'tbb>=2021.13; platform_machine == "x86_64" or platform_machine == "AMD64"',
    ],
    extras_require={
        "test": [
            *TEST,
            *TABLES,
            *NOTEBOOK,
            "hypothesis>=6.100,<7",
            "joblib>=1.4,<2",
            "ruff>=0.9,<1",
            "mypy>=1.14,<3",
        ],
        "bench": TEST,
        "peers-torch": ["torch>=2.13"],
        "peers-jax": ["jax>=0.10"],
    },
    entry_points={"console_scripts": ["fastvae = fastvae.cli:main"]},
    classifiers=[
        "Programming Language :: Python :: 3",
        "Operating System :: POSIX :: Linux",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    zip_safe=False,
)
