"""``python -m fastvae``: the command line."""

import sys

from fastvae.cli import main

sys.exit(main())
