"""``fastvae explore``: a page to play with a model."""

import os
from argparse import Namespace
from pathlib import Path

from fastvae import checks
from fastvae.checks.quoting import printable
from fastvae.commands.card import name_of_model
from fastvae.commands.inputs import labels_for, load_data_if_there, load_model, rows_to_show
from fastvae.explore.page import check_page, write_page
from fastvae.explore.rows import MOST_ROWS


def explore(args: Namespace) -> None:
    """Write the page of a model, and print what is in it."""
    path = check_page(args.out, "--out")
    checks.integer(args.rows, "--rows", maximum=MOST_ROWS)
    vae = load_model(args)
    if path.exists() and os.path.samefile(path, args.model):
        raise ValueError(f"--out {args.out} is the model itself; name another file")
    dataset = load_data_if_there(vae, args)
    if dataset is not None:
        labels_for(vae, dataset, rows_to_show(dataset)[1])
    written = write_page(
        vae,
        path,
        data=dataset,
        title=args.title or vae.card.get("name") or name_of_model(Path(args.model)),
        n_rows=args.rows,
        image_shape=args.image_shape,
        seed=args.seed,
    )
    print(f"wrote {printable(str(path))}, {written.n_bytes / 1e6:.2f} MB; open it in a browser")
    print(f"rows in it  {written.rows}{'' if dataset else ' (--data names others)'}")
    wide = " and ".join(written.float32_layers)
    print(f"weights     float16{f', but float32 in {wide}' if wide else ''}")
    error = max(written.error, 1e-6)  # of float32 itself
    print(f"precision   decoded means differ from Python's by {error:.1e} at most, as measured")
