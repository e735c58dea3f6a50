"""Checks in environments of their own: `nox -l` lists them, `nox` runs the quick ones.

What comes after `--` goes to pytest (or to the benchmarks): `nox -s fast -- -k latent`.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["lint", "types", "docs", "fast"]
nox.options.error_on_missing_interpreters = False

PYTHONS = ["3.10", "3.11", "3.12", "3.13", "3.14"]
LOWEST, NEWEST = PYTHONS[0], PYTHONS[-2]
"""The ends of the range that the README names; what is after it is tried, not promised."""
SITE = "docs/_build/html"


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The whole suite."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(python=False)
def fast(session: nox.Session) -> None:
    """The quick part of the suite, in the present environment (machine code stays cached)."""
    session.run("python", "-m", "pytest", "-m", "not slow", *session.posargs)


@nox.session(python=LOWEST)
def lowest(session: nox.Session) -> None:
    """The whole suite with the lowest versions that pyproject.toml allows."""
    session.install("uv")
    session.run("uv", "pip", "install", "--resolution", "lowest-direct", "-e", ".[test]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(python=NEWEST)
def newest(session: nox.Session) -> None:
    """The whole suite with the newest versions that pyproject.toml allows."""
    session.install("--upgrade", "--upgrade-strategy", "eager", "-e", ".[test]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session
def strict(session: nox.Session) -> None:
    """The quick part of the suite in ways that show what a plain run hides: `probes/suites.py`."""
    session.install("-e", ".[test]")
    session.chdir("tests")
    session.run("python", "-m", "probes.suites")


@nox.session
def coverage(session: nox.Session) -> None:
    """How much of the Python layer the suite runs: kernels are machine code, which is not seen."""
    session.install("-e", ".[test]", "pytest-cov>=5")
    options = ["--cov=fastvae", "--cov-branch", "--cov-report=", *session.posargs]
    session.run("python", "-m", "pytest", *options)
    left_out = "--omit=*/kernels/*"
    session.run("coverage", "report", "--skip-covered", left_out)
    session.run("coverage", "xml", left_out)


@nox.session
def lint(session: nox.Session) -> None:
    """Rules and format."""
    session.install("ruff>=0.9,<1")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Type hints."""
    session.install("-e", ".[test]")
    session.run("mypy")


@nox.session(python=False)
def docs(session: nox.Session) -> None:
    """Whether what the documentation names is there; nothing is built."""
    session.run("python", "docs/check.py")


@nox.session
def site(session: nox.Session) -> None:
    """The documentation site, in docs/_build/html; its tutorials train on MNIST."""
    session.install("-e", ".[docs]")
    session.run("python", "-m", "sphinx", "-W", "--keep-going", "-b", "html", "docs", SITE)


@nox.session
def package(session: nox.Session) -> None:
    """Both distributions, built and looked at; the fast tests with the wheel, away from here."""
    session.install("build>=1.2,<2", "twine>=6.1,<7")
    folder = Path(session.create_tmp()).resolve()
    shutil.rmtree(folder)
    session.run("python", "tests/distributions.py", str(folder / "dist"))
    (wheel,) = (folder / "dist").glob("*.whl")
    session.install(f"{wheel}[test]")
    for name in ("tests", "bench", "docs", "examples"):
        shutil.copytree(name, folder / name)
    for name in ("README.md", "CITATION.cff", "pyproject.toml"):
        shutil.copy(name, folder)
    session.chdir(folder)
    session.run("python", "-m", "pytest", "-m", "not slow", *session.posargs)


@nox.session(python=PYTHONS)
def empty(session: nox.Session) -> None:
    """An installation in an empty environment: it is imported, trains and draws."""
    session.install(".")
    session.chdir(session.create_tmp())
    session.run("python", "-c", "import fastvae; fastvae.load('mnist_two_dimensional')")
    session.run("fastvae", "--version")
    session.run("fastvae", "train", "--dataset", "synthetic_digits", "--epochs", "1")
    session.run("fastvae", "manifold", "mnist_two_dimensional")


@nox.session(name="bench-quick")
def bench_quick(session: nox.Session) -> None:
    """A trial of the benchmarks: that everything runs, on little data; no figures to quote."""
    session.install("-e", ".[bench]")
    session.run("python", "-m", "bench", "--quick", *session.posargs)
