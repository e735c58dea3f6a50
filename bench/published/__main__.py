"""`python -m bench.published TABLE`: train what a published table or figure reports.

`page` writes docs/published.md and the README's table from what was recorded.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from bench.published import burda2015, kingma2013, numpy_vae, page, pytorch_vae
from bench.published.records import QUICK, Call, Places, Refused

TABLES: dict[str, tuple[Callable[[Call], None], str]] = {
    "pytorch_vae": (pytorch_vae.run, "the example `vae` of pytorch/examples, and its start"),
    "kingma2013": (kingma2013.run, "Kingma & Welling 2013, figures 4 and 5"),
    "numpy_vae": (numpy_vae.run, "the NumPy system that the seed cites"),
}


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
    for table, (_, text) in TABLES.items():
        commands.add_parser(table, parents=[shared], help=text)
    burda = commands.add_parser(
        "burda2015",
        parents=[shared],
        help="Burda et al. 2015, table 1, one stochastic layer: long, and goes on by itself",
    )
    burda2015.add_arguments(burda)
    commands.add_parser("page", help="docs/published.md and the README's table")
    args = parser.parse_args(arguments)
    if args.table == "page":
        page.write()
        return
    folder = args.folder or (QUICK if args.quick else None)
    places = Places() if folder is None else Places.under(folder)
    call = Call(places, args.data_dir, args.quick, args.threads)
    try:
        if args.table == "burda2015":
            burda2015.run(call, args)
        else:
            TABLES[args.table][0](call)
    except Refused as reason:
        parser.error(str(reason))
    except KeyboardInterrupt:
        print("stopped; burda2015 goes on where it was when it is started again", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
