"""What completion offers: public names, each of which is documented, and no other."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import pytest

import fastvae
from fastvae import VAE, checks

MODULES = (
    *("animation", "callbacks", "data", "evaluation", "explore", "kernels", "nn", "optimizers"),
    *("plots", "schedules", "sklearn", "typing", "vae"),
)


@pytest.mark.parametrize("name", MODULES)
def test_modules_offer_what_is_public(name: str) -> None:
    module = importlib.import_module(f"fastvae.{name}")
    assert [one for one in dir(module) if not one.startswith("__")] == sorted(module.__all__)


def test_the_package_offers_what_is_public_whatever_was_imported() -> None:
    code = (
        "import fastvae; before = dir(fastvae)\n"
        "import fastvae.commands.cli, fastvae.plots, fastvae.model.vae\n"
        "assert dir(fastvae) == before, before\n"
        "assert set(before) - set(fastvae.__all__) == {'sklearn', 'typing'}, before\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_does_not_need_what_an_extra_brings() -> None:
    code = (
        "import sys; sys.modules['sklearn'] = None\n"
        "import inspect, pydoc, fastvae\n"
        "assert 'VAE' in pydoc.render_doc(fastvae)\n"
        "assert 'Dataset' in dict(inspect.getmembers(fastvae))\n"
        "assert not hasattr(fastvae, 'sklearn')\n"
        "try: fastvae.sklearn\n"
        "except AttributeError as error: assert \"'fastvae-cpu[sklearn]'\" in str(error)\n"
        "from fastvae import sklearn\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    message = "ImportError: fastvae.sklearn needs scikit-learn"
    assert message in done.stderr.splitlines()[-1], done.stderr
    assert "line 8" in done.stderr


def public_classes() -> list[type]:
    modules = [fastvae, *(importlib.import_module(f"fastvae.{name}") for name in MODULES)]
    found = [getattr(module, name) for module in modules for name in module.__all__]
    kinds = {kind.__name__: kind for kind in found if inspect.isclass(kind)}
    return [kinds[name] for name in sorted(kinds)]


@pytest.mark.parametrize("kind", public_classes(), ids=lambda kind: kind.__name__)
def test_what_a_class_offers_is_documented(kind: type) -> None:
    foreign = [base for base in kind.__mro__ if not base.__module__.startswith("fastvae")]
    inherited = {name for base in foreign for name in dir(base)}
    text = "".join(base.__doc__ or "" for base in kind.__mro__)
    for name in dir(kind):
        if name.startswith("_") or name in inherited:
            continue
        member = inspect.getattr_static(kind, name)
        is_documented = name in text
        if inspect.isroutine(member) or isinstance(member, (property, classmethod)):
            own = getattr(kind, name).__doc__ if inspect.isroutine(member) else member.__doc__
            is_documented = bool(own)
        assert is_documented, f"{kind.__name__}.{name}"


def test_a_model_has_no_attributes_beside_those_of_its_class() -> None:
    vae = VAE.from_sizes(4, (3,), 2)
    vae.fit([[0.0, 1.0, 0.0, 1.0]], epochs=1, verbose=False)
    own = {name for name in vars(vae) if not name.startswith("_")}
    assert own == {"history", "stop_training"}
    assert all(f"{name} :" in (VAE.__doc__ or "") for name in own)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("gausian", "gaussian"),
        ("Gaussian", "gaussian"),
        ("POISSON", "poisson"),
        ("continuous-bernoulli", "continuous_bernoulli"),
        ("bernouli", "bernoulli"),
        ("--Poison", "poisson"),
        ("xyz", None),
        ("", None),
        ("b" * 10**7, None),
        (3, None),
        (None, None),
    ],
)
def test_the_nearest_name_is_asked_for(given: object, meant: str | None) -> None:
    known = ("bernoulli", "gaussian", "continuous_bernoulli", "poisson")
    asked = "" if meant is None else f" (did you mean '{meant}'?)"
    assert checks.did_you_mean(given, known) == asked
    with pytest.raises(ValueError, match="likelihood must be one of") as raised:
        checks.choice(given, known, "likelihood")
    assert str(raised.value).endswith(asked)
