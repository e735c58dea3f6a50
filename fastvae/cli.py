"""What installed scripts and ``python -m fastvae`` start: the command line as a process.

Nothing is imported here before Ctrl-C is seen to.
"""


def main() -> int:
    """Run the command line with the arguments of the process; return its exit code."""
    try:
        from fastvae.commands.process import run

        return run()
    except KeyboardInterrupt:
        return 130
