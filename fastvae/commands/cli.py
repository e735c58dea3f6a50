"""The command line: its options, and the way from an error to one line on stderr.

What the commands do stands in `fastvae.commands`; those modules are imported when their command
runs, so that ``fastvae --help`` waits neither for numba nor for matplotlib.
"""

import importlib
import os
import sys
import warnings
from collections.abc import Sequence

from fastvae.commands.interrupt import exit_code, interruptible
from fastvae.commands.parser import build_parser

FAILURE = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.

    Returns
    -------
    int
        Exit code: 0 for success, 1 for an error, 2 for wrong usage, 130 after Ctrl-C,
        143 after SIGTERM.
    """
    try:
        args = build_parser().parse_args(argv)
        # By name, what stands on the command line, be it the default value or not.
        args.given = frozenset(vars(build_parser(defaults=False).parse_args(argv)))
    except SystemExit as stop:
        return int(stop.code or 0)
    module, function = args.run.split(":")
    try:
        with interruptible(lambda: "stopped"), warnings.catch_warnings():
            warnings.showwarning = _show_warning
            command = importlib.import_module(f"fastvae.commands.{module}")
            return int(getattr(command, function)(args) or 0)
    except KeyboardInterrupt as interrupt:
        print(f"fastvae: {str(interrupt) or 'stopped'}", file=sys.stderr)
        return exit_code(interrupt)
    except BrokenPipeError:
        # The reader of a pipe (head, less) has gone. Python would complain once more when it
        # flushes standard output at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except (ArithmeticError, ValueError, OSError, MemoryError) as error:
        print(f"fastvae: error: {_message(error)}", file=sys.stderr)
        return FAILURE


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Write a warning as one line, without the place in the code."""
    line = f"fastvae: warning: {message}"
    tqdm = sys.modules.get("tqdm")
    if tqdm is None:
        print(line, file=sys.stderr)
    else:  # there may be a progress bar on the last line
        tqdm.tqdm.write(line, file=sys.stderr)


def _message(error: Exception) -> str:
    """The error in one line: OSErrors of Python itself without their number."""
    from fastvae.checks.quoting import printable  # with NumPy, which --help does not wait for

    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
        if error.filename is not None:
            text = f"{error.filename}: {text}"
    else:
        text = str(error) or type(error).__name__
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return printable("; ".join(lines).replace(":; ", ": "), 4000)
