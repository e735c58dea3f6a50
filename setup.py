"""Where the packages stand; metadata and tool settings are in pyproject.toml."""

from setuptools import setup

ROOMS = ["checks", "data", "files", "training", "model", "estimators", "plots", "commands"]
KERNELS = ["fastvae.kernels"]
KERNELS += [f"fastvae.kernels.{room}" for room in ("machine", "maths", "engine", "arrays")]

setup(
    packages=["fastvae", *(f"fastvae.{room}" for room in ROOMS), *KERNELS],
    # `kernels` stands at the top of the repository and is imported as fastvae.kernels: the
    # top-level name belongs to another package.
    package_dir={name: name.removeprefix("fastvae.").replace(".", "/") for name in KERNELS},
    package_data={"fastvae": ["py.typed"], "fastvae.files": ["pretrained/*.safetensors"]},
    zip_safe=False,
)
