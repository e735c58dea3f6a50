"""How large the environments of fastvae and its peers are: ``python -m bench.environments FOLDER``.

Prints the table of docs/installing.md. Each requirement is downloaded into the folder with all
that it needs, if it is not there; then it is installed from these files into new virtual
environments, in turns. All are wheels, so that nothing is built. Seconds are those of a processor,
which other work on the machine does not change much.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = {
    "fastvae-cpu": str(ROOT),
    "jax": "jax",
    "torch, built for CPUs": "torch==2.13.0+cpu",
    "torch, as pip finds it": "torch",
}
ROUNDS = 3


def megabytes(folder: Path) -> float:
    """Space that files take."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def download(requirement: str, folder: Path) -> None:
    """Fetch the wheels of a requirement, and of all that it needs."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-cache-dir"]
    subprocess.run([*command, "--wheel-dir", str(folder), requirement], check=True)


def install(wheels: Path) -> tuple[float, float]:
    """Return the seconds that an installation takes, and its size in MB without pip itself."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        (packages,) = Path(folder).glob("lib/python*/site-packages")
        before = megabytes(packages)
        command = [f"{folder}/bin/python", "-m", "pip", "install", "--quiet", "--no-deps"]
        start = os.times()
        subprocess.run([*command, *map(str, wheels.glob("*.whl"))], check=True)
        end = os.times()
        seconds = (
            end.children_user - start.children_user + end.children_system - start.children_system
        )
        return seconds, megabytes(packages) - before


def main(base: Path) -> None:
    """Measure, and print the table."""
    folders = {name: base / str(i) for i, name in enumerate(REQUIREMENTS)}
    for name, folder in folders.items():
        if not folder.exists():
            download(REQUIREMENTS[name], folder)
    rounds = [{name: install(folders[name]) for name in folders} for _ in range(ROUNDS)]
    print("| environment | packages | download | on disk | seconds to install |")
    print("|---|---:|---:|---:|---:|")
    for name, folder in folders.items():
        seconds, sizes = zip(*(measured[name] for measured in rounds), strict=True)
        cells = (
            name,
            str(len(list(folder.glob("*.whl")))),
            f"{megabytes(folder):,.0f} MB",
            f"{sizes[0]:,.0f} MB",
            f"{statistics.median(seconds):.0f} ({min(seconds):.0f} to {max(seconds):.0f})",
        )
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
