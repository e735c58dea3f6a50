"""The whole job of a peer as a process: `python -m bench.job CONTESTANT ...`.

Reads MNIST's files, trains, evaluates the test set once, saves the model. The same job of
fastvae is its own command line, `fastvae train --no-pictures`.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.contestants import ENTRIES, build
from bench.workload import Sizes, initial_parameters

IDX_HEADER = 16


def read_images(folder: Path, name: str) -> NDArray[np.uint8]:
    """Read an IDX file of images, `.gz` or plain, as (n, 784) rows."""
    packed = folder / f"{name}.gz"
    content = (
        gzip.decompress(packed.read_bytes()) if packed.exists() else ((folder / name).read_bytes())
    )
    return np.frombuffer(content, np.uint8, offset=IDX_HEADER).reshape(-1, 784)


def main(arguments: list[str]) -> None:
    """Do the job and print the test figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.job", description=__doc__)
    parser.add_argument("contestant", choices=ENTRIES)
    parser.add_argument("--folder", type=Path, required=True, help="where MNIST's files are")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--output", type=Path, required=True, help="the model's file")
    parser.add_argument("--variant", type=json.loads, default={}, help="arguments as JSON")
    args = parser.parse_args(arguments)
    rows = read_images(args.folder, "train-images-idx3-ubyte")
    sizes = Sizes(n_features=rows.shape[1])
    model = build(args.contestant, sizes, **args.variant)
    model.set_parameters(initial_parameters(sizes, rows))
    losses = model.fit(model.prepare(rows), args.epochs, args.batch_size)
    test = model.prepare(read_images(args.folder, "t10k-images-idx3-ubyte"))
    reconstruction, kl = model.evaluate(test)
    model.save(args.output)
    print(f"loss {losses[-1]:.2f}  test ELBO {-(reconstruction + kl):.2f} nats")


if __name__ == "__main__":
    main(sys.argv[1:])
