"""Where the packages stand; everything else of the installation is in pyproject.toml."""

from setuptools import setup

setup(
    # `kernels` stands at the top of the repository and is imported as fastvae.kernels: the
    # top-level name belongs to another package.
    packages=["fastvae", "fastvae.commands", "fastvae.data", "fastvae.kernels"],
    package_dir={"fastvae.kernels": "kernels"},
    package_data={"fastvae": ["py.typed", "pretrained/*.safetensors"]},
    zip_safe=False,
)
