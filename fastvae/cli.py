"""What installed scripts start; the command line lives in `fastvae.commands`."""

from fastvae.commands.start import main

__all__ = ["main"]
