"""``fastvae export``: models as files of other programs."""

import os
from argparse import Namespace

from fastvae.checks.quoting import printable
from fastvae.commands.inputs import load_model
from fastvae.files import onnx_format
from fastvae.files.writing import check_file


def export(args: Namespace) -> None:
    """Write a part of a model as an ONNX file, and print what it takes and gives."""
    check_file(args.onnx)
    vae = load_model(args)
    if os.path.exists(args.onnx) and os.path.samefile(args.onnx, args.model):
        raise ValueError(f"--onnx {args.onnx} is the model itself; name another file")
    vae.to_onnx(args.onnx, args.part)
    print(f"{args.part} of {printable(args.model)}, written to {printable(args.onnx)}")
    inputs, outputs = onnx_format.ports(args.part, vae.n_features, vae.n_latent, vae.n_classes)
    for side, ports in (("input", inputs), ("output", outputs)):
        for port in ports:
            shape = f"{vae.dtype.name} (batch, {port.n_columns})"
            print(f"{side:<6}  {port.name:<7}  {shape:<20}  {port.text}")
