"""Building blocks of the command line's parser: argument types, and options that commands share."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import NoReturn, TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"
Group = argparse._ActionsContainer

DATASETS = ("mnist", "fashion_mnist", "kmnist", "synthetic_digits")
USAGE_ERROR = 2


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """End the process with exit code 2 and the message."""
        self.exit(USAGE_ERROR, f"fastvae: error: {message} (see {self.prog} --help)\n")


def add_command(commands: Commands, name: str, run: str, summary: str, description: str) -> Parser:
    """Add a command; `run` names its function, as module:function of `fastvae.commands`."""
    parser: Parser = commands.add_parser(
        name, help=summary, description=description, allow_abbrev=False
    )
    parser.set_defaults(run=run)
    return parser


def add_model(
    parser: Parser, shipped: str = "mnist_variational_autoencoder", default: str | None = None
) -> None:
    """Add the positional MODEL; without it, and without a run, `shipped` is taken."""
    parser.set_defaults(shipped=shipped)
    default = default or f"the last in runs/, else {shipped}"
    parser.add_argument(
        "model",
        metavar="MODEL",
        nargs="?",
        help=f"a model file, a run folder or the name of a pre-trained model (default: {default})",
    )


def add_data_options(
    parser: Parser, default: str = "what the model was trained on, else mnist"
) -> Group:
    """Add the options that choose a data set; return their group, for more of them."""
    data = parser.add_argument_group("data")
    data.add_argument(
        "--dataset",
        metavar="NAME",
        help=f"{', '.join(DATASETS)}, or the path of a .npy or .npz file (default: {default})",
    )
    add_data_dir(data)
    data.add_argument(
        "--test-size",
        metavar="ROWS",
        type=count,
        help="take the first ROWS test rows (default: all)",
    )
    return data


def add_data_dir(parser: Group) -> None:
    """Add --data-dir."""
    parser.add_argument(
        "--data-dir",
        metavar="FOLDER",
        help="where to look for data sets first (default: the folder in the environment variable "
        "FASTVAE_DATA, then the user's cache)",
    )


def add_threads(parser: Group) -> None:
    """Add --threads."""
    parser.add_argument(
        "--threads",
        metavar="N",
        type=count,
        help="threads to compute with; results do not depend on it (default: all cores that the "
        "process may use)",
    )


def add_seed(parser: Group, what: str) -> None:
    """Add --seed, with what it decides."""
    parser.add_argument(
        "--seed", metavar="N", type=index, default=0, help=f"seed of {what} (default: %(default)s)"
    )


def add_picture_options(
    parser: Parser, output: str, *, animated: bool = False, images: bool = True
) -> None:
    """Add the picture's file and, where it shows images, their shape."""
    kinds = ".png, .pdf or .gif" if animated else ".png or .pdf"
    parser.add_argument(
        "--output",
        metavar="FILE",
        default=output,
        help=f"picture to write, {kinds} (default: %(default)s)",
    )
    if images:
        parser.add_argument(
            "--image-shape",
            metavar="HxW",
            type=shape,
            help="height and width of an image in pixels (default: a square where the number of "
            "features is one, else a strip)",
        )


def _whole_number(minimum: int) -> Callable[[str], int]:
    """An argument type: whole numbers from `minimum` on."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = minimum - 1
        if number < minimum:
            raise argparse.ArgumentTypeError(
                f"must be a whole number of at least {minimum}; got {text!r}"
            )
        return number

    return parse


index, count, steps = _whole_number(0), _whole_number(1), _whole_number(2)


def shape(text: str) -> tuple[int, int]:
    """An argument type: height and width, as in 28x28."""
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text, re.ASCII)
    if match is None:
        raise argparse.ArgumentTypeError(f"must be like 28x28 (height x width); got {text!r}")
    return int(match[1]), int(match[2])
