"""The command line: its options, and the way from an error to one line on stderr.

What the commands do stands in `fastvae.commands`; those modules are imported when their command
runs, so that ``fastvae --help`` waits neither for numba nor for matplotlib.
"""

import errno
import importlib
import re
import sys
import warnings
from argparse import Namespace
from collections.abc import Callable, Container, Mapping, Sequence

from fastvae.commands.interrupt import exit_code, interruptible
from fastvae.commands.launch import first_alone_speaks
from fastvae.commands.parser import build_parser
from fastvae.commands.streams import FAILURE, PIPE_CLOSED, complain

_MAX_LINE = 4000
_FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.

    Returns
    -------
    int
        Exit code: 0 for success, 1 for an error, 2 for wrong usage, 130 after Ctrl-C, 141 where
        nobody reads standard output any more (head, less), 143 after SIGTERM, 129 after SIGHUP.
    """
    options: dict[str, str] = {}
    given: frozenset[str] = frozenset()
    try:
        parser = build_parser()
        with first_alone_speaks():
            args = parser.parse_args(argv)
        # By name, what stands on the command line, be it the default value or not.
        args.given = given = frozenset(vars(build_parser(defaults=False).parse_args(argv)))
        flags = {name: f"--{name.replace('_', '-')}" for name in vars(args)}
        options = {name: flag for name, flag in flags.items() if flag in parser.of_commands}
        return _run(args)
    except SystemExit as stop:  # of the parser
        return int(stop.code or 0)
    except KeyboardInterrupt as interrupt:
        complain(str(interrupt) or "stopped")
        return exit_code(interrupt)
    except BrokenPipeError:
        return PIPE_CLOSED
    except (ArithmeticError, ValueError, ImportError, OSError, MemoryError) as error:
        complain(f"error: {_by_options(_message(error), options, given)}")
        return FAILURE
    except Exception as error:
        if not type(error).__module__.startswith("numba."):
            raise
        complain(f"error: the kernels cannot be compiled: {_message(error)}")
        return FAILURE


def _run(args: Namespace) -> int:
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        command = _load(args.run)
        with interruptible(lambda: "stopped"):
            return int(command(args) or 0)


def _load(place: str) -> Callable[[Namespace], int | None]:
    """The function of a command, given as module:function."""
    module, function = place.split(":")
    try:
        return getattr(importlib.import_module(f"fastvae.commands.{module}"), function)
    except Exception as error:  # of an environment variable, or a library that is not what it was
        raise ImportError(str(error) or type(error).__name__) from error


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Write a warning as one line, without the place in the code."""
    tqdm = sys.modules.get("tqdm")
    if tqdm is None:
        complain(f"warning: {_one_line(str(message))}")
    else:  # there may be a progress bar on the last line
        with tqdm.tqdm.external_write_mode(file=sys.stderr):
            complain(f"warning: {_one_line(str(message))}")


def _message(error: Exception) -> str:
    """The error in one line: OSErrors of Python itself without their number."""
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
        if error.filename is not None:
            text = f"{error.filename}: {text}"
        elif error.errno in _FULL:  # whatever writes a file names it
            text = f"standard output: {text}"
    else:
        text = str(error) or type(error).__name__
    return _one_line(text)


def _by_options(text: str, options: Mapping[str, str], given: Container[str]) -> str:
    """An error of the library with options in place of arguments of the same names.

    Of those that are given "beta must be" becomes "--beta must be", and data_dir --data-dir; of
    all, likelihood='gaussian' becomes --likelihood gaussian. Other single words, and parts of
    paths, stay.
    """

    def flag(found: re.Match[str]) -> str:
        return options.get(found[1], found[1]) if found[1] in given else found[1]

    text = re.sub(r"^(\w+)(?= must be | must have | is of )", flag, text)
    text = re.sub(r"(?<![\w/.'\"-])(\w+_\w+)(?![\w/.'\"=-])", flag, text)
    return re.sub(
        r"\b(\w+)=(['\"])(\w+)\2",
        lambda found: f"{options[found[1]]} {found[3]}" if found[1] in options else found[0],
        text,
    )


def _one_line(text: str) -> str:
    """A text that acts on no terminal, without the traceback that Numba puts into some."""
    from fastvae.checks.quoting import printable  # with NumPy, which --help does not wait for

    lines = text.splitlines()
    if any(line.startswith("Traceback ") for line in lines):
        lines = [line for line in lines if not line.startswith((" ", "Traceback "))]
    line = "; ".join(line.strip() for line in lines if line.strip()).replace(":; ", ": ")
    return printable(line, _MAX_LINE)
