"""``fastvae card``: a README.md for a model, from what is known of it."""

import os
import warnings
from argparse import Namespace
from pathlib import Path
from typing import Any

from fastvae import VAE
from fastvae.checks.quoting import printable
from fastvae.commands import runs, settings
from fastvae.commands.inputs import load_model
from fastvae.commands.model_card import model_card
from fastvae.commands.models import RESULTS
from fastvae.commands.streams import complain
from fastvae.files.reading import read_json
from fastvae.files.storage import PRETRAINED, RUN_MODEL, explaining
from fastvae.files.writing import check_file, write_file

_PRINTED = "-"
_MAX_SIZE = 1 << 20


def card(args: Namespace) -> None:
    """Write the card of a model, or print it.

    Raises
    ------
    FileExistsError
        If the file exists, and is not to be replaced.
    ValueError, OSError
        If model, settings or figures cannot be read, or the card not be written.
    """
    if args.output != _PRINTED and check_file(args.output).is_file() and not args.force:
        raise FileExistsError(
            f"{args.output} exists: --force replaces it, and --output names another file "
            "(- prints the card)"
        )
    if args.model is None:
        args.model = str(runs.latest_model() or args.shipped)
        complain(f"model: {printable(args.model)}")  # standard output may be the card
    vae = load_model(args)
    path = Path(args.model)
    known, figures = _of_run(path, vae) if path.name == RUN_MODEL else ({}, None)
    known |= vae.card
    if args.evaluation is not None:
        figures = _evaluation(Path(args.evaluation), vae)
    is_shipped = path.parent == PRETRAINED
    text = model_card(
        vae,
        name_of_model(path),
        path.stem if is_shipped else _absolute(path).name,
        known,
        known.get("test") if figures is None else figures,
    )
    if args.output == _PRINTED:
        print(text, end="")
        return
    write_file(args.output, text.encode())
    print(f"written to {printable(args.output)}")


def name_of_model(path: Path) -> str:
    """What to call a model whose card does not say it."""
    place = _absolute(path)
    if path.name == RUN_MODEL:
        return place.parent.name or place.stem
    return place.name if path.is_dir() else place.stem


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # which has a name where "." has none, and keeps links


def _of_run(path: Path, vae: VAE) -> tuple[dict[str, Any], Any]:
    """The settings that a run folder holds, and its figures: those of `evaluate` come first."""
    folder = path.parent
    known = settings.card(_read(folder / settings.SETTINGS))
    if (folder / RESULTS).is_file():
        try:
            return known, _evaluation(folder / RESULTS, vae)
        except ValueError as error:
            warnings.warn(f"left out: {error}", RuntimeWarning, stacklevel=2)
    return known, _read(folder / runs.TEST) or None


def _evaluation(path: Path, vae: VAE) -> dict[str, Any]:
    """What `evaluate` wrote, if it is of this model."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    found = _read(path)
    with explaining(path, "evaluation of this model"):
        for name, ours in (("n_latent", vae.n_latent), ("updates", vae.updates)):
            if found.get(name, ours) != ours:
                raise ValueError(
                    f"its {name} must be {ours}, as the model's; evaluate the model again"
                )
    return found


def _read(path: Path) -> dict[str, Any]:
    """A file of JSON in a run folder; nothing where there is none."""
    if not path.is_file():
        return {}
    with explaining(path, "file of settings or figures"):
        found = read_json(path, _MAX_SIZE)
        if not isinstance(found, dict):
            raise ValueError("it holds no JSON object")
    return found
