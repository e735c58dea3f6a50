"""Both distributions, built and looked at: ``python tests/distributions.py FOLDER``.

The wheel is built twice, from the source distribution as an index does it and from the checkout:
both must be the same bytes. Packages needed: build and twine, the extra `package`.
"""

from __future__ import annotations

import email
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAME = "fastvae-cpu"
LARGEST_WHEEL = 8_000_000
"""Bytes: three trained models of 1.7 MB, the code, and room to grow."""
SHIPPED = {".py", ".typed", ".safetensors", ".html", ".css", ".js"}
"""Suffixes of what a wheel installs."""
UNFINISHED = "runs/"
"""Checkpoints of published runs that are not at their end: in the repository, and nowhere else."""
URLS = {"Homepage", "Documentation", "Source", "Issues", "Changelog"}

FENCE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
LINK = re.compile(
    r"""\]\(<?([^\s)>]+)|^\[[^\]]+\]:\s+(\S+)|(?:src|href)=["']([^"']+)""", re.MULTILINE
)


def relative_links(text: str) -> list[str]:
    """The targets of links and pictures in Markdown that only hold beside its file."""
    targets = ["".join(found) for found in LINK.findall(FENCE.sub("", text))]
    return [target for target in targets if not re.match(r"https?://|mailto:", target)]


def twice(names: Iterable[str]) -> Iterator[str]:
    """Yield a sentence for each name that is there more than once."""
    for name, count in Counter(names).items():
        if count > 1:
            yield f"{name} is there {count} times"


def different(what: str, found: Iterable[str], expected: Iterable[str]) -> Iterator[str]:
    """Yield a sentence for each name that is missing or not expected."""
    found, expected = set(found), set(expected)
    yield from (f"{what} lacks {name}" for name in sorted(expected - found))
    yield from (f"{what} holds {name}" for name in sorted(found - expected))


def package_files() -> dict[str, Path]:
    """What the wheel is to install, by its name there: code, types' marker, models, pages."""
    found = {}
    for base, place in ((ROOT / "fastvae", "fastvae"), (ROOT / "kernels", "fastvae/kernels")):
        for path in base.rglob("*"):
            parts = path.relative_to(base).parts
            linked = base.name == "fastvae" and parts[0] == "kernels"
            if path.suffix in SHIPPED and not linked:
                found["/".join((place, *parts))] = path
    return found


def problems_of_metadata(text: str) -> Iterator[str]:
    """Yield what is wrong with the metadata of a distribution."""
    data = email.message_from_string(text)
    if data["Name"] != NAME:
        yield f"its name is {data['Name']}"
    urls = {entry.partition(",")[0] for entry in data.get_all("Project-URL", [])}
    yield from different("Project-URL", urls, URLS)
    classifiers = data.get_all("Classifier", [])
    if not any(re.search(r":: 3\.\d+$", classifier) for classifier in classifiers):
        yield "no classifier names a version of Python"
    for field in ("Summary", "Keywords", "License-Expression", "License-File", "Requires-Python"):
        if not data[field]:
            yield f"it has no {field}"
    description = str(data.get_payload())
    if data["Description-Content-Type"] != "text/markdown" or len(description) < 1000:
        yield "its description is not the README"
    yield from (f"its description links to {link}" for link in relative_links(description))
    # What reads it as one's own name would install another project.
    for extra in re.findall(r"Requires-Dist: (fastvae\b(?!-cpu)\S*)", text):
        yield f"it requires {extra}"


def problems_of_wheel(wheel: Path) -> Iterator[str]:
    """Yield what is wrong with a wheel that was built from this checkout."""
    expected = package_files()
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        information = next(name.partition("/")[0] for name in names if ".dist-info/" in name)
        rest = {f"{information}/{name}" for name in ("METADATA", "WHEEL", "RECORD")}
        rest |= {f"{information}/{name}" for name in ("entry_points.txt", "top_level.txt")}
        rest |= {f"{information}/licenses/LICENSE"}
        yield from twice(names)
        yield from different(wheel.name, names, expected.keys() | rest)
        for name in expected.keys() & set(names):
            if archive.read(name) != expected[name].read_bytes():
                yield f"{name} is not that of the checkout"
        yield from problems_of_metadata(archive.read(f"{information}/METADATA").decode())
    if wheel.stat().st_size > LARGEST_WHEEL:
        yield f"it has {wheel.stat().st_size:,} bytes, more than {LARGEST_WHEEL:,}"


def tracked() -> set[str]:
    """What belongs to the repository, with files that are new and not ignored."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    names = {name for name in done.stdout.split("\0") if name and os.path.lexists(ROOT / name)}
    return {name for name in names if not name.startswith(UNFINISHED)}


def problems_of_source(source: Path, belongs: set[str]) -> Iterator[str]:
    """Yield what is wrong with a source distribution of these files."""
    with tarfile.open(source) as archive:
        members = [member for member in archive.getmembers() if not member.isdir()]
        names = [member.name.partition("/")[2] for member in members]
        made = {name for name in names if ".egg-info/" in name} | {"PKG-INFO", "setup.cfg"}
        yield from twice(names)
        yield from different(source.name, names, belongs | made)
        for name, member in zip(names, members, strict=True):
            if member.issym() and (name, member.linkname) != ("fastvae/kernels", "../kernels"):
                yield f"{name} is a link to {member.linkname}"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def build(folder: Path) -> tuple[Path, Path, Path]:
    """Return the source distribution, the wheel made from it, and the wheel of the checkout."""
    # Files in a wheel carry a date: the same sources make the same bytes.
    environment = {"SOURCE_DATE_EPOCH": "1767225600"} | os.environ
    command = [sys.executable, "-m", "build", str(ROOT), "--outdir"]
    for kind in ([str(folder)], [str(folder / "direct"), "--wheel"]):
        done = subprocess.run([*command, *kind], env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
    (source,) = folder.glob("*.tar.gz")
    (wheel,) = folder.glob("*.whl")
    (direct,) = (folder / "direct").glob("*.whl")
    return source, wheel, direct


def main(folder: Path) -> int:
    """Build both into an empty folder; print their sizes, and what is wrong. Return 1 if any is."""
    with tempfile.TemporaryDirectory() as aside:
        source, wheel, direct = build(Path(aside))
        problems = [] if digest(wheel) == digest(direct) else ["the two wheels are not the same"]
        problems += [*problems_of_wheel(wheel), *problems_of_source(source, tracked())]
        folder.mkdir(parents=True, exist_ok=True)
        kept = [Path(shutil.copy(path, folder)) for path in (source, wheel)]
    for path in kept:
        print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *kept], check=True)
    print("\n".join(problems) or "both hold what they should")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
