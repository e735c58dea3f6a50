"""What installed scripts start; the command line lives in `fastvae.commands.cli`."""

from fastvae.commands.cli import main

__all__ = ["main"]
