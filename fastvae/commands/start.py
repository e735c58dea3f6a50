"""The command line as a process: what installed scripts and ``python -m fastvae`` start.

Nothing is imported here before Ctrl-C is seen to.
"""


def main() -> int:
    """Run the command line with the arguments of the process, and return its exit code."""
    # Signals are left as they are where the process is about to end: see `end_at_once_on_signals`.
    try:
        from fastvae.commands.interrupt import end_at_once_on_signals

        end_at_once_on_signals()  # before the slower imports
        from fastvae.commands.cli import main as run
        from fastvae.commands.streams import flushed, mend_streams

        mend_streams()
        return flushed(run())
    except KeyboardInterrupt:
        return 130
