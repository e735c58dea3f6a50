"""Tables from the JSON of pytest-benchmark: one per operation, batch sizes down, times across.

Every benchmark of the suite says in its `extra_info` what it is (`operation`, `batch_size`,
`contestant`) and, for products, `gflops` and `percent_of_peak`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.contestants import SUITE
from bench.machine import blas_text
from bench.rows import title_of

Cell = dict[str, Any]


def tables(path: Path) -> str:
    """Return the suite's part of DETAILS.md.

    Raises
    ------
    ValueError
        If a benchmark or a contestant is not one of the suite's.
    """
    content = json.loads(path.read_text())
    operations: dict[str, dict[int, dict[str, Cell]]] = {}
    for benchmark in content["benchmarks"]:
        operation, batch_size, contestant = _identity(benchmark)
        lines = operations.setdefault(operation, {})
        lines.setdefault(batch_size, {})[contestant] = benchmark
    parts = [
        "## Kernels and operations one by one",
        "Median microseconds of a call; in brackets percent of the FMA peak where it is a "
        "product (more than 100 where zeros are left out). Columns are measured one after the "
        "other, not in turn.",
        _where(content),
    ]
    for operation, lines in operations.items():
        parts += [f"### {operation}", _table(lines)]
    return "\n\n".join(parts)


def _where(content: dict[str, Any]) -> str:
    """Where and when the suite was run, which may be elsewhere than the rows above."""
    facts = content.get("machine_info", {})
    place = ""
    if "cpu" in facts:
        place = f"On {facts['cpu']}, {facts['threads']} threads, {facts['instruction_set']}"
        place += f", {content['datetime'][:10]}. "
    return f"{place}NumPy's BLAS kernel: {blas_text(facts.get('blas_kernels'))}."


def _identity(benchmark: Cell) -> tuple[str, int, str]:
    info = benchmark["extra_info"]
    try:
        identity = str(info["operation"]), int(info["batch_size"]), str(info["contestant"])
    except KeyError as error:
        raise ValueError(f"unrecognised benchmark {benchmark['name']!r}: no {error}") from None
    if identity[2] not in SUITE:
        raise ValueError(f"the suite has no contestant {identity[2]!r}, but {', '.join(SUITE)}")
    return identity


def _table(lines: dict[int, dict[str, Cell]]) -> str:
    present = [name for name in SUITE if any(name in cells for cells in lines.values())]
    head = ["batch", *map(title_of, present)]
    if "fastvae" in present and "numpy" in present:
        head.append("times NumPy")
    rows = [head, ["---:"] * len(head)]
    for batch_size, cells in sorted(lines.items()):
        row = [str(batch_size) if batch_size else "", *(_cell(cells.get(name)) for name in present)]
        if len(head) > len(row):
            row.append(_ratio(cells))
        rows.append(row)
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _cell(benchmark: Cell | None) -> str:
    if benchmark is None:
        return ""
    microseconds = 1e6 * benchmark["stats"]["median"]
    percent = benchmark["extra_info"].get("percent_of_peak")
    share = "" if percent is None else f" ({percent:.0f} %)"
    rounded = float(f"{microseconds:.3g}")
    return f"{rounded:,.0f}{share}" if rounded >= 100 else f"{rounded:g}{share}"


def _ratio(cells: dict[str, Cell]) -> str:
    if "fastvae" not in cells or "numpy" not in cells:
        return ""
    return f"{cells['numpy']['stats']['median'] / cells['fastvae']['stats']['median']:.1f}"
