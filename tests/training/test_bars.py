"""What shows progress ends nothing, whatever standard error and standard output are."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest

from fastvae import VAE
from fastvae.training.bars import ForgivingStream, is_terminal

ROWS = np.random.default_rng(0).integers(0, 256, (60, 9)).astype(np.uint8)


class Failing(io.StringIO):
    """A terminal that takes the first few writes and flushes, and then fails."""

    encoding = "utf-8"

    def __init__(self, error: Exception, n_good: int = 0) -> None:
        super().__init__()
        self.error, self.n_good = error, n_good

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.n_good -= 1
        if self.n_good < 0:
            raise self.error
        return super().write(text)

    def flush(self) -> None:
        if self.n_good <= 0:
            raise self.error


class Bare:
    """As little of a stream as `print` needs."""

    def write(self, text: str) -> None:
        pass


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


STREAMS = {
    "none": lambda: None,
    "closed": closed,
    "bare": Bare,
    "full": lambda: Failing(OSError(28, "full")),
    "full later": lambda: Failing(OSError(28, "full"), 3),
    "no reader": lambda: Failing(BrokenPipeError(32, "gone"), 1),
    "window closed": lambda: Failing(RuntimeError("the widget is deleted"), 2),
    "ascii": lambda: Failing(UnicodeEncodeError("ascii", "█", 0, 1, "not in range"), 4),
}


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("output", [True, False])
def test_fits_and_passes_report_to_any_standard_error(monkeypatch, stream, output):
    vae = VAE.from_sizes(9, (4,), 2, seed=3)
    text = io.StringIO() if output else None
    monkeypatch.setattr(sys, "stdout", text)
    monkeypatch.setattr(sys, "stderr", STREAMS[stream]())
    vae.fit(ROWS, epochs=3, batch_size=20)
    vae.encode(ROWS, progress=True)
    vae.sample(20, progress=True)
    assert vae.epochs == 3
    if text is not None:
        lines = [line for line in text.getvalue().splitlines() if not line.startswith("compiling")]
        assert [line[:9] for line in lines] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]


def test_a_standard_output_that_fails_is_an_error(monkeypatch):
    """What was asked for and cannot be had is said: the caller decides."""
    vae = VAE.from_sizes(9, (4,), 2, seed=3)
    monkeypatch.setattr(sys, "stdout", Failing(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        vae.fit(ROWS, epochs=2, batch_size=20)


@pytest.mark.parametrize("stream", STREAMS)
def test_a_forgiving_stream_takes_everything(stream):
    forgiving = ForgivingStream(STREAMS[stream]())
    print("a line", file=forgiving, flush=True)
    assert forgiving.write("text") == 4


def test_a_terminal_is_what_says_so(monkeypatch):
    for stream, wanted in (
        (None, False),
        (closed(), False),
        (Bare(), False),
        (io.StringIO(), False),
    ):
        monkeypatch.setattr(sys, "stderr", stream)
        assert is_terminal() == wanted
    monkeypatch.setattr(sys, "stderr", Failing(OSError()))
    assert is_terminal()
