"""No kernel reads or writes past an array: arrays stand against memory that cannot be touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from wall_cases import INSTRUCTION_SETS, run

TESTS = Path(__file__).resolve().parents[1]
# What is done within an array, and what is done to the wall.
TOUCHED = {
    "end": ("walled((3,), 'f4')", "p[2] = 0.0", "p[3]"),
    "end, written": ("walled((3,), 'f4')", "p[2] = 0.0", "p[3] = 0.0"),
    "start": ("walled((3,), 'f4', at_end=False)", "p[0] = 0.0", "p[-1]"),
    "frozen": ("freeze(walled((3,), 'f4'))", "p[2]", "p[2] = 0.0"),
    "file": ("walled((3,), 'f4', in_file=True)", "p[2] = 0.0", "p[3]"),
    "end, strided": ("walled((2, 3), 'f4', (4, 8))", "p[5] = 0.0", "p[6]"),
    "start, backwards": ("walled((3,), 'f4', (-4,), at_end=False)", "p[-2] = 0.0", "p[-3]"),
}
COUNTS = {"kernels": 2000, "gather": 600, "sources": 200, "models": 20}


@pytest.mark.parametrize("case", TOUCHED)
def test_walls_end_a_process(case: str) -> None:
    array, within, beyond = TOUCHED[case]
    lines = ["import ctypes", "from walls import *", f"array = {array}"]
    lines += ["p = array.ctypes.data_as(ctypes.POINTER(ctypes.c_float))", within]
    lines += ["print('within', flush=True)", beyond]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], cwd=TESTS, capture_output=True, check=False
    )
    assert done.stdout == b"within\n"
    assert done.returncode == -signal.SIGSEGV


@pytest.mark.slow
def test_programs_of_all_regions_keep_within_their_matrices() -> None:
    """Those, too, that no model uses so far."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "engine_walls"]
    done = subprocess.run(
        [*command, "engine/test_programs.py"], cwd=TESTS, capture_output=True, check=False,
        env=os.environ | {"PYTHONPATH": str(TESTS)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:]


@pytest.mark.slow
@pytest.mark.parametrize("kind", COUNTS)
def test_nothing_is_touched_past_arrays(kind: str) -> None:
    assert run(kind, COUNTS[kind], seed=1, isa=INSTRUCTION_SETS[0]) == COUNTS[kind]


@pytest.mark.slow
@pytest.mark.parametrize("kind", COUNTS)
@pytest.mark.parametrize("isa", INSTRUCTION_SETS[1:])
def test_nothing_is_touched_past_arrays_by_smaller_instruction_sets(isa: str, kind: str) -> None:
    assert run(kind, COUNTS[kind], seed=2, isa=isa) == COUNTS[kind]
