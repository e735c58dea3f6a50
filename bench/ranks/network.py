"""What messages between two ranks take: `mpiexec -n 2 python -m bench.ranks.network`."""

from __future__ import annotations

import json
import statistics
import time

import numpy as np
from mpi4py import MPI

SIZES = (8, 2**12, 2**16, 2**20, 2**24)
"""Bytes of a message."""
_TRIPS, _LEAST_TRIPS = 2000, 20


def seconds_of(size: int) -> float:
    """Seconds of a message of so many bytes, of the median of trips there and back."""
    comm = MPI.COMM_WORLD
    message = np.zeros(size, np.uint8)
    found = []
    for _ in range(max(_LEAST_TRIPS, min(_TRIPS, 2**28 // size))):
        begun = time.perf_counter()
        if comm.rank == 0:
            comm.Send(message, 1)
            comm.Recv(message, 1)
        else:
            comm.Recv(message, 0)
            comm.Send(message, 0)
        found.append((time.perf_counter() - begun) / 2)
    return statistics.median(found)


def main() -> None:
    """Print the seconds of each size as JSON."""
    found = {size: seconds_of(size) for size in SIZES}
    if MPI.COMM_WORLD.rank == 0:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
