"""`python -m bench.published TABLE`: train what a published table or figure reports.

`page` writes docs/published.md and the README's table from what was recorded.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.published import pytorch_vae
from bench.published.records import QUICK, Call, Places, Refused


def main(arguments: list[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.published", description=__doc__)
    commands = parser.add_subparsers(dest="table", required=True, metavar="TABLE")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--data-dir", type=Path, help="where MNIST's files are sought first")
    shared.add_argument("--threads", type=int, help="number of threads; no bit depends on it")
    shared.add_argument(
        "--quick", action="store_true", help="one pass over a few drawn digits: a trial"
    )
    shared.add_argument("--folder", type=Path, help="where everything is written instead")
    commands.add_parser(
        "pytorch_vae", parents=[shared], help="the example `vae` of pytorch/examples"
    )
    args = parser.parse_args(arguments)
    folder = args.folder or (QUICK if args.quick else None)
    places = Places() if folder is None else Places.under(folder)
    call = Call(places, args.data_dir, args.quick, args.threads)
    try:
        if args.table == "pytorch_vae":
            pytorch_vae.run(call)
    except Refused as reason:
        parser.error(str(reason))


if __name__ == "__main__":
    main()
