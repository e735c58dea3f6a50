"""The command line as a process, from its first import to its exit code."""

from fastvae.commands.interrupt import end_at_once_on_signals

end_at_once_on_signals()  # before the slower imports

from fastvae.commands.cli import main  # noqa: E402
from fastvae.commands.streams import flushed, mend_streams  # noqa: E402


def run() -> int:
    """Run the command line with the arguments of the process; return its exit code."""
    mend_streams()
    return flushed(main())
