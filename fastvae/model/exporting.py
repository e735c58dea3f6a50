"""Models for other programs: parts of them as ONNX files."""

from __future__ import annotations

import os
import sys
from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastvae import checks
from fastvae.files import onnx_format
from fastvae.files.storage import SavedLayer
from fastvae.model.likelihood import IGNORE, Likelihood
from fastvae.model.passes import Passes


class Exporting(Passes):
    """Base of a model that can be written for other programs; nothing of it changes."""

    _observed: Likelihood
    _reconstruction_weight: float

    @abstractmethod
    def _layers_in(self, values: NDArray[Any]) -> dict[str, SavedLayer]:
        """The layers by name, with the parameters that an array like the network's holds."""

    def to_onnx(self, path: str | os.PathLike[str], part: onnx_format.Part = "reconstruct") -> None:
        """Write a part of the model as an ONNX file, which runs without fastvae.

        All that the model does with its input is in it; what it takes are floats of the model's
        dtype, any number of rows at a time: pixels must be divided by 255 before. See docs/onnx.md.

        Parameters
        ----------
        path : path
            The file to write; an existing one is replaced whole.
        part : "encoder", "decoder" or "reconstruct"
            What it computes, by the names of its inputs and outputs: "encoder" is what `encode`
            does, x to mean and log_var; "decoder" what `decode` does, z to x_mean; "reconstruct",
            the whole model, what `reconstruct` does, x to x_mean. A conditional model also takes
            y, the labels, as one-hot rows of floats.

        Raises
        ------
        ImportError
            If onnx is not installed, the extra "onnx".
        TypeError, ValueError
            If the part is unknown, the name ends in .safetensors or .npz, as those of models do,
            the model is empty, a weight is not finite, or there are more weights than an ONNX file
            can hold (2 GB).
        OSError
            If the file cannot be written; an old file stays.
        """
        checks.choice(part, onnx_format.PARTS, "part")
        with self.network.gate.reading:
            values = self.network.parameters.copy()
            weight = self._reconstruction_weight
        sigma = self._observed.present_sigma(weight, self.network.read_raws(values))
        classes = {"n_classes": self.n_classes or None, "class_names": self.class_names}
        facts = self._observed.settings | classes | {"fastvae": sys.modules["fastvae"].__version__}
        if sigma is not None:
            facts["sigma"] = np.asarray(sigma).tolist()
        kinds = self._observed.kinds(self.n_features)
        missing = self._observed.missing == IGNORE
        layers = self._layers_in(values)
        model = onnx_format.Exported(layers, kinds, missing, facts, self.n_classes)
        onnx_format.write(path, model, part)
