"""Where the packages stand, and the README as an index shows it; the rest is in pyproject.toml."""

import os
import re
from pathlib import Path

from setuptools import setup
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parent
REPOSITORY = "https://github.com/fastvae/fastvae"
ROOMS = [
    "checks",
    "data",
    "files",
    "distributed",
    "training",
    "model",
    "estimators",
    "plots",
    "explore",
    "commands",
]
KERNELS = ["fastvae.kernels"]
KERNELS += [f"fastvae.kernels.{room}" for room in ("machine", "maths", "engine", "arrays")]

CODE = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
# [text](target), ![picture](target), [name]: target, and the attributes of HTML.
TARGET = re.compile(
    r"""(\]\(<?|^\[[^\]\n]+\]:[ ]+<?|\b(?:src|href)=["'])([^\s<>"')]+)""", re.MULTILINE
)
PICTURES = (".png", ".svg", ".gif", ".jpg", ".jpeg", ".webp")


def absolute_links(text: str, tag: str) -> str:
    """Return Markdown of the repository's top folder with links that hold anywhere.

    They lead to the files as they are under this tag; headings of the text itself, to those that
    the repository shows.
    """

    def absolute(found: re.Match[str]) -> str:
        before, target = found.groups()
        if re.match(r"[a-z][a-z0-9+.-]*:|//", target, re.IGNORECASE):
            return found.group()
        target = target.removeprefix("./")
        if target.startswith("#"):
            return f"{before}{REPOSITORY}/tree/{tag}{target}"
        kind = "raw" if target.lower().endswith(PICTURES) else "blob"
        return f"{before}{REPOSITORY}/{kind}/{tag}/{target.lstrip('/')}"

    parts = CODE.split(text)
    parts[::2] = [TARGET.sub(absolute, part) for part in parts[::2]]
    return "".join(parts)


def version() -> str:
    """Return the version, read from the source: the package is not imported to be built."""
    source = (ROOT / "fastvae" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "(.+)"$', source, re.MULTILINE)
    assert found
    return found.group(1)


class SourceDistribution(sdist):
    """One that has the link to the kernels, too, so that tests run in it as in a checkout."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        os.symlink("../kernels", os.path.join(base_dir, "fastvae", "kernels"))


if __name__ == "__main__":
    setup(
        packages=["fastvae", *(f"fastvae.{room}" for room in ROOMS), *KERNELS],
        # `kernels` stands at the top of the repository and is imported as fastvae.kernels: the
        # top-level name belongs to another package.
        package_dir={name: name.removeprefix("fastvae.").replace(".", "/") for name in KERNELS},
        package_data={
            "fastvae": ["py.typed"],
            "fastvae.files": ["pretrained/*.safetensors"],
            "fastvae.explore": ["assets/*"],
        },
        cmdclass={"sdist": SourceDistribution},
        long_description=absolute_links(
            (ROOT / "README.md").read_text(encoding="utf-8"), f"v{version()}"
        ),
        long_description_content_type="text/markdown",
        zip_safe=False,
    )
