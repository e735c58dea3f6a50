"""A process that trains one batch of 128 rows and says so: `python -m bench.start CONTESTANT`."""

from __future__ import annotations

import argparse
import sys

from bench.contestants import ENTRIES, build
from bench.measure import READY
from bench.workload import Sizes, initial_parameters, mnist_like_rows

BATCH_SIZE = 128


def main(arguments: list[str]) -> None:
    """Build the contestant, train one batch, print the ready line."""
    parser = argparse.ArgumentParser(prog="python -m bench.start", description=__doc__)
    parser.add_argument("contestant", choices=ENTRIES)
    args = parser.parse_args(arguments)
    sizes = Sizes()
    rows = mnist_like_rows(BATCH_SIZE, sizes.n_features)
    model = build(args.contestant, sizes)
    model.set_parameters(initial_parameters(sizes, rows))
    model.fit(model.prepare(rows), 1, BATCH_SIZE)
    print(READY, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
