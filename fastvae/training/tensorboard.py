"""The callback that writes what TensorBoard shows: event files.

An event file is a row of records (the TFRecord format): length, its checksum, an `Event` message,
its checksum. TensorBoard holds the file open and reads on as it grows, so it is added to and not
replaced.
"""

import os
import socket
import struct
import time
from typing import Any

from fastvae.files.writing import append_file
from fastvae.training.history import Figures
from fastvae.training.patience import WritingCallback, checked_folder

_VALIDATION = "val_"


class TensorBoard(WritingCallback):
    """Writes the figures of each epoch for TensorBoard: ``tensorboard --logdir FOLDER``.

    The step is the epoch. Figures of the training are ``loss/train``, ``elbo/train`` and so on,
    those of validation rows ``loss/validation`` and so on. Each training has an event file of its
    own; what earlier ones in the same folder say of its epochs is hidden, as when a run is resumed
    from a checkpoint before its last epoch.

    A write that fails is a RuntimeWarning, and the next epoch writes what is missing; only if the
    last one has failed, too, the training ends with its OSError.

    Parameters
    ----------
    folder : path
        Is made when the training begins, if it does not exist.

    Raises
    ------
    ImportError
        If tensorboardX is not installed.
    OSError
        If the folder that it is to be made in does not exist, or something cannot be written.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        super().__init__()
        try:
            import tensorboardX  # noqa: F401
        except ImportError as error:
            raise ImportError(
                "TensorBoard needs tensorboardX: pip install 'fastvae-cpu[tensorboard]' "
                "(in a clone: pip install '.[tensorboard]')"
            ) from error
        self.folder = checked_folder(folder)
        self._path = self.folder
        self._content = b""

    def __repr__(self) -> str:
        return f"TensorBoard({os.fspath(self.folder)!r})"

    def on_train_begin(self, vae: Any, n_epochs: int, n_rows: int) -> None:
        """Make the folder, and name the event file."""
        super().on_train_begin(vae, n_epochs, n_rows)
        self.folder.mkdir(exist_ok=True)
        # TensorBoard reads the files of a folder in the order of their names.
        name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}"
        self._path, self._content = self.folder / name, b""

    def on_epoch_end(self, vae: Any, epoch: int, figures: Figures) -> None:
        """Add the figures to the event file."""
        if not self._content:
            self._content = _beginning(epoch)
        self._content += _scalars(epoch, figures)
        self.writer.write(self._path, lambda: append_file(self._path, self._content))


def tag_of(name: str) -> str:
    """What TensorBoard calls a figure: its charts are grouped by what stands before the stroke."""
    if name.startswith(_VALIDATION):
        return f"{name.removeprefix(_VALIDATION)}/validation"
    return f"{name}/train"


def _beginning(epoch: int) -> bytes:
    """The records that a file begins with: its version; and that what earlier files say of this
    epoch and the later ones does not count."""
    from tensorboardX.proto.event_pb2 import SessionLog

    start = SessionLog(status=SessionLog.START)
    return _record(file_version="brain.Event:2") + _record(step=epoch, session_log=start)


def _scalars(epoch: int, figures: Figures) -> bytes:
    """The record of an epoch's figures."""
    from tensorboardX.proto.summary_pb2 import Summary

    values = [
        Summary.Value(tag=tag_of(name), simple_value=value) for name, value in figures.items()
    ]
    return _record(step=epoch, summary=Summary(value=values))


def _record(**fields: Any) -> bytes:
    """An `Event` of now as the bytes of a file."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import masked_crc32c

    message = Event(wall_time=time.time(), **fields).SerializeToString()
    length = struct.pack("<Q", len(message))
    return b"".join(part + struct.pack("<I", masked_crc32c(part)) for part in (length, message))
