"""``settings.json``: what a run was begun with, as it is recorded and read back."""

import platform
from argparse import ArgumentTypeError, Namespace
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from fastvae import __version__, checks, kernels
from fastvae.checks.quoting import printable, quoted
from fastvae.commands.arguments import likelihood, path_name, sigma, units
from fastvae.commands.train_options import TRAIN
from fastvae.data.variants import VARIANTS
from fastvae.files.reading import read_json
from fastvae.files.storage import explaining

SETTINGS = "settings.json"
KIND = "settings file"
_VARIANT = "variant"
_MAX_SIZE = 1 << 20
# What says nothing about the training: where it leaves what, and how fast it is.
_NOT_RECORDED = ("resume", "output", "quiet", "no_pictures", "threads")
# What says nothing about the model.
_NOT_IN_CARD = ("data_dir", "save_best", "csv", "json", "tensorboard", "sample_grid", "animation")
_MOST_NAMES = 64  # of features, in a card
# What the model says itself.
_IN_MODEL = ("conditional", "prior")
# Their defaults are settled when a run begins.
_NEVER_NONE = ("dataset", "epochs")
_BESIDE_RESUME = ("resume", "epochs", "dataset", "data_dir", "threads", "quiet", "no_pictures")
_OPTIONS: dict[str, Mapping[str, Any]] = {
    names[0].lstrip("-").replace("-", "_"): settings
    for options in TRAIN.groups.values()
    for names, settings in options
}
_KINDS: dict[Any, tuple[tuple[type, ...], str]] = {
    str: ((str,), "a text"),
    path_name: ((str,), "a text"),
    likelihood: ((str,), "a text"),
    float: ((int, float), "a number"),
    sigma: ((int, float, str), "a number or a text"),
    units: ((int, str), "a whole number or a text"),
}
# Options that runs of earlier versions did not have: they did what are the defaults now.
_ADDED = ("missing", "conditional", "prior", "objective", "n_samples", "free_bits", "blocks")
_RECORDED = [name for name in _OPTIONS if name not in _NOT_RECORDED]


def recorded(args: Namespace, dataset_name: str, variant: str) -> dict[str, Any]:
    """Everything that a new run depends on, and the versions it is begun with.

    Parameters
    ----------
    args : Namespace
    dataset_name, variant : str
        The data, and which variant of them its figures are of (`VARIANTS`).
    """
    options = {name: getattr(args, name) for name in _RECORDED}
    return options | {"dataset": dataset_name, _VARIANT: variant} | _versions()


def card(settings: Mapping[str, Any], feature_names: Sequence[str] | None = None) -> dict[str, Any]:
    """What of a run's settings its model carries, and what a few features are called."""
    kept = {name: value for name, value in settings.items() if name not in _NOT_IN_CARD + _IN_MODEL}
    is_few = feature_names is not None and len(feature_names) <= _MOST_NAMES
    return kept | ({"feature_names": list(feature_names or ())} if is_few else {})


def read(folder: Path) -> dict[str, Any]:
    """The settings of a run, each checked as the command line would check it.

    Raises
    ------
    OSError
        If there are none, or they cannot be read.
    ValueError
        If the file is damaged or was edited; file and setting are named.
    """
    path = folder / SETTINGS
    with explaining(path, KIND):
        settings = read_json(path, _MAX_SIZE)
        if not isinstance(settings, dict):
            raise ValueError("it holds no JSON object")
        lacking = [name for name in _ADDED if name not in settings]
        settings |= {name: _OPTIONS[name].get("default", False) for name in lacking}
        for name in (*_RECORDED, _VARIANT, *_versions()):
            if name not in settings:
                raise ValueError(
                    f'it has no "{name}"; it was edited, or written by another version of fastvae'
                )
        for name, value in settings.items():
            _check(name, value)
    return settings


def resumed(args: Namespace, settings: Mapping[str, Any]) -> Namespace:
    """The arguments of a run that is gone on with: its settings, and what may be given anew.

    Raises
    ------
    ValueError
        If another option stands beside --resume, or --epochs is lower than it was.
    """
    wrong = [_flag(name) for name in _OPTIONS if name in args.given and name not in _BESIDE_RESUME]
    if wrong:
        belong = "belongs" if len(wrong) == 1 else "belong"
        *others, last = (_flag(name) for name in _BESIDE_RESUME[1:])
        raise ValueError(
            f"{', '.join(wrong)} {belong} to the run that is gone on with: beside --resume only "
            f"{', '.join(others)} and {last} may be given"
        )
    if args.epochs is not None and args.epochs < settings["epochs"]:
        raise ValueError(
            f"--epochs is the total of the run, which may be raised above {settings['epochs']}; "
            f"got {args.epochs}"
        )
    anew = {name: getattr(args, name) for name in _BESIDE_RESUME if name in args.given}
    return Namespace(**(vars(args) | {name: settings[name] for name in _RECORDED} | anew))


def _versions() -> dict[str, str]:
    return {
        "fastvae": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": version("numba"),
        "instruction_set": kernels.isa(),
    }


def _check(name: str, value: Any) -> None:
    """Raise a ValueError unless a setting is what its option would have made of it."""
    if name in _versions():
        if not isinstance(value, str):
            raise ValueError(f'"{name}" must be a text; got {quoted(value)}')
        return
    if name == _VARIANT:
        checks.choice(value, VARIANTS, f'"{name}"')
        return
    if name not in _RECORDED:
        raise ValueError(f'"{printable(name, 80)}" is no setting of a run')
    option = _OPTIONS[name]
    if option.get("action") == "store_true":
        if not isinstance(value, bool):
            raise ValueError(f'"{name}" must be true or false; got {quoted(value)}')
    elif option.get("nargs") == "+":
        if not isinstance(value, list) or not value:
            raise ValueError(f'"{name}" must be a list of at least one value; got {quoted(value)}')
        for item in value:
            _check_value(name, option, item)
    elif value is not None or option.get("default") is not None or name in _NEVER_NONE:
        _check_value(name, option, value)


def _check_value(name: str, option: Mapping[str, Any], value: Any) -> None:
    parse = option.get("type", str)
    kinds, wanted = _KINDS.get(parse, ((int,), "a whole number"))
    if type(value) not in kinds:
        raise ValueError(f'"{name}" must be {wanted}; got {quoted(value)}')
    if type(value) is int and abs(value) > checks.MAX_SEED:
        raise ValueError(f'"{name}" must be a number of at most 64 bits; got {quoted(value)}')
    try:
        parse(str(value))
    except ArgumentTypeError as error:
        raise ValueError(f'"{name}" {printable(str(error), 200)}') from error
    known = option.get("choices", [value])
    if value not in known:
        raise ValueError(
            f'"{name}" must be one of {", ".join(known)}; got {quoted(value)}'
            f"{checks.did_you_mean(value, known)}"
        )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
