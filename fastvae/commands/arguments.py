"""Building blocks of the command line's parser: commands, argument types, and shared options."""

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn, TypeAlias, get_args

from fastvae.model.kinds import WITH_BLOCKS
from fastvae.model.names import SigmaName

Option: TypeAlias = tuple[tuple[str, ...], Mapping[str, Any]]

DATASETS = (
    "mnist",
    "fashion_mnist",
    "kmnist",
    "qmnist",
    "emnist_balanced",
    "emnist_byclass",
    "emnist_bymerge",
    "emnist_digits",
    "emnist_letters",
    "emnist_mnist",
    "synthetic_digits",
)
PRIOR, BOTH = "prior", "both"
SHIPPED = "mnist_variational_autoencoder"
USAGE_ERROR = 2


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, and name what is nearest.

    Attributes
    ----------
    of_commands : mapping
        The commands that know an option, by the option; filled by who makes the parsers.
    """

    of_commands: Mapping[str, Sequence[str]] = {}

    def error(self, message: str) -> NoReturn:
        """End the process with exit code 2 and the message."""
        from fastvae.checks.quoting import printable  # with NumPy, which --help does not wait for

        self.exit(USAGE_ERROR, f"fastvae: error: {printable(message)} (see {self.prog} --help)\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse arguments; what is not known is an error of the command that it was given to."""
        given = list(sys.argv[1:] if args is None else args)
        if self._subparsers is not None:  # what stands before the command
            first = given[0].partition("=")[0] if given else "--"
            if first.startswith("-") and first not in ("--", *self._option_string_actions):
                self._refuse([first])
        found, left = super().parse_known_args(given, namespace)
        if left:
            self._refuse(left)
        return found, left

    def _refuse(self, unknown: Sequence[str]) -> NoReturn:
        """End the process with an error about arguments that are not known."""
        options = [text.partition("=")[0] for text in unknown if text.startswith("-")]
        if options:
            self.error("; ".join(map(self._no_option, dict.fromkeys(options))))
        takes_data = "--dataset" in self._option_string_actions
        advice = " (the data are named with --dataset)" if takes_data else ""
        self.error(f"unexpected argument {unknown[0]!r}{advice}")

    def _no_option(self, name: str) -> str:
        """That there is no option of a name, and which there is."""
        from fastvae.checks import did_you_mean

        owners = self.of_commands.get(name, ())
        is_begun = any(own.startswith(name) for own in self._option_string_actions)
        if owners and not is_begun:
            return f"{name} is an option of {', '.join(owners)}"
        return f"there is no option {name}{did_you_mean(name, self._option_string_actions, '')}"

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse what is no choice of an option, and no command."""
        if action.choices is None or value in action.choices:
            return
        from fastvae.checks import did_you_mean

        names = list(action.choices)
        known, meant = ", ".join(names), did_you_mean(value, names, "")
        if action.option_strings:
            self.error(f"{action.option_strings[0]} must be one of {known}; got {value!r}{meant}")
        self.error(f"there is no command {value!r}{meant}; the commands are {known}")

    def _print_message(self, message: str, file: Any = None) -> None:
        """Write the help or an error; argparse itself drops what cannot be written."""
        print(message, end="", file=file or sys.stderr)


class Command(NamedTuple):
    """A command with its options.

    Attributes
    ----------
    name : what to call it by
    run : its function, as module:function of `fastvae.commands`
    summary, description : what the help says of it, among the others and alone
    groups : options that the help shows under a title
    options : the others
    shipped : the model that is taken without MODEL, and without a run; None: it takes no model
    """

    name: str
    run: str
    summary: str
    description: str
    groups: Mapping[str, Sequence[Option]] = {}
    options: Sequence[Option] = ()
    shipped: str | None = None


def option(*names: str, **settings: Any) -> Option:
    """An option, or an argument, as `ArgumentParser.add_argument` takes it."""
    return names, settings


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


def units(text: str) -> int | str:
    """An argument type: the units of a layer, or that there is none."""
    try:
        return text if text == "none" else count(text)
    except argparse.ArgumentTypeError:
        sizes = re.findall(r"\d+", text[:80])
        hint = f" (spaces stand between sizes: {' '.join(sizes)})" if len(sizes) > 1 else ""
        raise argparse.ArgumentTypeError(
            f"must be a whole number of at least 1, or none; got {text!r}{hint}"
        ) from None


def shape(text: str) -> tuple[int, int]:
    """An argument type: height and width, as in 28x28."""
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text, re.ASCII)
    if match is None:
        raise argparse.ArgumentTypeError(f"must be like 28x28 (height x width); got {text!r}")
    return int(match[1]), int(match[2])


def sigma(text: str) -> float | str:
    """An argument type: a positive number, or how sigma is trained."""
    if text in get_args(SigmaName):
        return text
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0.0 < number < float("inf"):
        raise argparse.ArgumentTypeError(
            f"must be a number above 0, learned, feature or output; got {text!r}"
        )
    return number


def likelihood(text: str) -> str:
    """An argument type: a likelihood that needs no blocks of columns."""
    if text in WITH_BLOCKS:
        raise argparse.ArgumentTypeError(
            f"{text} needs blocks of columns, which only VAE.from_sizes takes: see "
            "docs/likelihoods.md"
        )
    return text


def path_name(text: str) -> str:
    """An argument type: the name of something, a path in most cases."""
    if not text.strip() or "\0" in text:
        raise argparse.ArgumentTypeError(f"must be a name, not empty; got {text!r}")
    return text


def model(default: str = f"the last in runs/, else {SHIPPED}") -> Option:
    """The positional MODEL, and what is taken without it."""
    return option(
        "model",
        metavar="MODEL",
        nargs="?",
        type=path_name,
        help=f"a model file, a run folder or the name of a pre-trained model (default: {default})",
    )


def data_options(
    default: str = "the named one that the model was trained on, else mnist",
) -> list[Option]:
    """The options that choose a data set."""
    return [
        option(
            "--dataset",
            metavar="NAME",
            type=path_name,
            help=f"{', '.join(DATASETS)}, or the path of a .npy, .npz, .csv, .tsv or IDX file, or "
            f"of a folder of pictures (default: {default})",
        ),
        DATA_DIR,
        option(
            "--test-size",
            metavar="ROWS",
            type=count,
            help="take the first ROWS test rows (default: all)",
        ),
    ]


def seed(what: str) -> Option:
    """--seed, with what it decides."""
    return option(
        "--seed", metavar="N", type=index, default=0, help=f"seed of {what} (default: %(default)s)"
    )


def output(default: str, kinds: str = ".png or .pdf") -> Option:
    """The file of a picture."""
    return option(
        "--output",
        metavar="FILE",
        type=path_name,
        default=default,
        help=f"picture to write, {kinds} (default: %(default)s)",
    )


DATA_DIR = option(
    "--data-dir",
    metavar="FOLDER",
    type=path_name,
    help="folder that holds the data set; no other place is searched then (default: the folder in "
    "the environment variable FASTVAE_DATA, else the user's cache or a download)",
)
THREADS = option(
    "--threads",
    metavar="N",
    type=count,
    help="threads to compute with; results do not depend on it (default: all cores that the "
    "process may use)",
)
IMAGE_SHAPE = option(
    "--image-shape",
    metavar="HxW",
    type=shape,
    help="height and width of an image in pixels; 1xW draws rows as lines (default: a square where "
    "the number of features is one, else lines)",
)
