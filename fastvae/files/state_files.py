"""Safetensors files of weights that other programs wrote, which are read tensor by tensor.

A file that could run code when it is read (a pickle, as `torch.save` writes it) never is.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple

from numpy.typing import NDArray

from fastvae.checks.quoting import printable
from fastvae.files import tensors
from fastvae.files.kinds import START, kind_of
from fastvae.files.reading import open_file
from fastvae.files.storage import MODEL_ENTRY
from fastvae.files.tensors import Tensor

_ADVICE = (
    (
        ("PyTorch", "pickle"),
        "; in PyTorch, safetensors.torch.save_file(module.state_dict(), 'weights.safetensors') "
        "writes one",
    ),
    ((".npz",), "; numpy.load(path) gives a mapping, which is taken as it is"),
    (("HDF5", "Keras"), "; load it in Keras and give its arrays, transposed"),
)
_OF_PYTORCH = (".pt", ".pth", ".ckpt", ".bin")


class StateFile(NamedTuple):
    """An open file, and the tensors that it holds, by their names.

    Attributes
    ----------
    is_model : bool
        Whether it is a model file of fastvae.
    """

    file: BinaryIO
    held: dict[str, Tensor]
    is_model: bool

    def read(self, name: str) -> NDArray[Any]:
        """Read a tensor: see `tensors.read_tensor`."""
        return tensors.read_tensor(self.file, self.held[name])


@contextmanager
def open_state(path: str | os.PathLike[str]) -> Iterator[StateFile]:
    """Open a safetensors file, for a `with` statement; of its tensors nothing is read yet.

    Raises
    ------
    ValueError
        If it is no safetensors file, or damaged; the error says what it is.
    OSError
        If it is missing, a folder, or cannot be read.
    """
    name = printable(os.fspath(path))
    with open_file(path) as file:
        try:
            metadata, held = tensors.read_header(file)
        except ValueError as error:
            raise ValueError(
                f"{name} is not a valid safetensors file: {printable(str(error))}"
                f"{_advice(file, os.fspath(path))}"
            ) from error
        yield StateFile(file, held, MODEL_ENTRY in metadata)


def _advice(file: BinaryIO, path: str) -> str:
    """How to come to a file that is read, for some others."""
    file.seek(0)
    kind = kind_of(file.read(START)) or ""
    if path.lower().endswith(_OF_PYTORCH):
        kind += " PyTorch"
    return next((advice for words, advice in _ADVICE if any(w in kind for w in words)), "")
