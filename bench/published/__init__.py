"""Published tables as commands: `python -m bench.published TABLE`."""
