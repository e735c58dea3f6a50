"""Signals that come while ranks exchange values; the second rank is played by its communicator."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fastvae.distributed.interrupts import Interrupts
from fastvae.distributed.ranks import Ranks


class Twin:
    """Two ranks, of which the other says what it is told to say, or what this one says."""

    def __init__(self) -> None:
        self.says: list[Any] = []
        self.meanwhile: Callable[[], object] = lambda: None

    def Get_rank(self) -> int:
        """The first."""
        return 0

    def Get_size(self) -> int:
        """Two."""
        return 2

    def allgather(self, value: Any) -> list[Any]:
        """Both values; a signal may come once this one is on its way."""
        self.meanwhile()
        return [value, self.says.pop(0) if self.says else value]


@pytest.fixture
def twin() -> Twin:
    """A second rank."""
    return Twin()


@pytest.fixture
def interrupts(twin: Twin) -> Interrupts:
    """The signals of both."""
    return Interrupts(Ranks(twin))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def ctrl_c() -> Iterator[None]:
    """Ctrl-C is raised, whatever shell has started the tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def send() -> None:
    """Send Ctrl-C to this process."""
    os.kill(os.getpid(), signal.SIGINT)


def test_a_signal_during_the_exchange_is_taken_up_next_time(
    twin: Twin, interrupts: Interrupts
) -> None:
    with interrupts.deferred():
        twin.meanwhile = send
        interrupts.take_up()  # this rank has said already that there is none
        twin.meanwhile = lambda: None
        with pytest.raises(KeyboardInterrupt):
            interrupts.take_up()


@pytest.mark.parametrize("when", ["during the exchange", "on the way out"])
def test_a_signal_to_all_ranks_is_raised_once(
    twin: Twin, interrupts: Interrupts, when: str
) -> None:
    raised: list[KeyboardInterrupt] = []

    def training() -> None:
        with interrupts.deferred():
            if when == "during the exchange":
                twin.meanwhile = send
            try:
                interrupts.take_up()
            except KeyboardInterrupt as interrupt:
                raised.append(interrupt)
                if when == "on the way out":
                    send()
                raise

    twin.says = [signal.SIGINT]  # it has reached the other rank before
    with pytest.raises(KeyboardInterrupt) as caught:
        training()
    assert raised == [caught.value]


def test_a_signal_that_a_handler_takes_ends_nothing(twin: Twin, interrupts: Interrupts) -> None:
    taken: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: taken.append(number))
    with interrupts.deferred():
        send()
        interrupts.take_up()
        assert taken == [signal.SIGINT]
        interrupts.take_up()
        assert taken == [signal.SIGINT]
        send()  # after the last time that all could take it up
    assert taken == [signal.SIGINT] * 2


def test_a_signal_to_another_rank_reaches_a_training_in_a_thread(
    twin: Twin, interrupts: Interrupts
) -> None:
    twin.says = [signal.SIGTERM]
    with pytest.raises(KeyboardInterrupt, match="stopped by SIGTERM"):
        interrupts.take_up()
