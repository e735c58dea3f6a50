"""What is installed and how it is called; what the look at both distributions refuses."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import distributions
import dockerfile
import pytest

import fastvae
import fastvae.kernels

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(fastvae.__file__).resolve().parent
HERE = (ROOT / "setup.py").is_file()
WRITTEN = {".py", ".md", ".toml", ".cff", ".yml", ".yaml", ".sh", ".ipynb", ".json", ".in", ""}
SKIPPED = {".git", ".venv", ".nox", "build", "dist", "runs", "__pycache__", "node_modules"}


def test_what_is_tested_is_this_checkout_or_what_is_installed() -> None:
    """Away from the checkout nothing else than the installed package may have been imported."""
    places = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}
    assert PACKAGE in ({ROOT / "fastvae"} if HERE else {place / "fastvae" for place in places})
    kernels = PACKAGE / "kernels" if not HERE else ROOT / "kernels"
    for name, module in list(sys.modules.items()):
        if name.startswith("fastvae.") and getattr(module, "__file__", None):
            path = Path(str(module.__file__)).resolve()
            assert path.is_relative_to(PACKAGE) or path.is_relative_to(kernels), name


def texts() -> Iterator[tuple[Path, str]]:
    """Every text of the repository, or of what of it is here, and those of the package."""
    for base in {ROOT, PACKAGE}:
        for path in sorted(base.rglob("*")):
            inside = path.relative_to(base).parts
            if path.suffix in WRITTEN and path.is_file() and not SKIPPED & set(inside):
                if any(part.endswith(".egg-info") for part in inside):
                    continue
                yield path, path.read_text(encoding="utf-8", errors="replace")


INSTALL = r"\b(?:pip3?|pipx|uv|conda)\s+(?:pip\s+|-\S+\s+)*(?:install|add|download)"
# Behind options, on the next line, too; behind other names, on the same line.
WRONG_NAME = re.compile(
    INSTALL
    + r"(?:(?:\s+-\S+)*\s+|(?:[ \t]+(?!&)[-\w./'\"=\[\],<>~*$:]+)+[ \t]+)['\"]?fastvae(?![-\w./])"
)
WRONG_EXTRA = re.compile(r"\bfastvae\[[a-z][a-z,-]*\]")


@pytest.mark.parametrize(
    ("text", "is_wrong"),
    [
        ("pip install {}", True),
        ("pip install --upgrade '{}'", True),
        ("python -m pip install -U\n{} numpy", True),
        ("uv pip install '{}==0.1'", True),
        ("pip install numpy {}", True),
        ("{}[sklearn]", True),
        ("pip install {}-cpu", False),
        ("pip install '{}-cpu[sklearn]'", False),
        ("pip install . && .venv/bin/{} train", False),
        ("RUN pip install /src && {} warmup", False),
        ("pip install numpy\n{} train", False),
        ("install -d /home/{} /work", False),
    ],
)
def test_the_other_project_s_name_is_seen(text: str, is_wrong: bool) -> None:
    text = text.format("fastvae")
    assert bool(WRONG_NAME.search(text) or WRONG_EXTRA.search(text)) == is_wrong


def test_no_text_tells_to_install_another_project() -> None:
    """On the index, `fastvae` is not this package."""
    n_texts = 0
    for path, text in texts():
        n_texts += 1
        for pattern in (WRONG_NAME, WRONG_EXTRA):
            found = pattern.search(text)
            assert not found, f"{path}: {found.group()}"
    assert n_texts > 100


def test_extras_that_texts_name_exist() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = project.partition("[project.optional-dependencies]\n")[2].partition("\n[")[0]
    extras = set(re.findall(r"^([\w-]+) = ", section, re.MULTILINE))
    named = {
        (path, extra.strip())
        for path, text in texts()
        for list_of in re.findall(r"fastvae-cpu\[([\w,\- ]+)\]", text)
        for extra in list_of.split(",")
    }
    assert {extra for _, extra in named} >= {"sklearn", "tensorboard"}
    assert not {(path, extra) for path, extra in named if extra not in extras}


@pytest.fixture(scope="module")
def absolute_links() -> Callable[[str, str], str]:
    pytest.importorskip("setuptools")
    if not HERE:
        pytest.skip("setup.py is not beside the tests")
    spec = importlib.util.spec_from_file_location("fastvae_setup", ROOT / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    links: Callable[[str, str], str] = module.absolute_links
    return links


TREE = "https://github.com/fastvae/fastvae"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a](docs/x.md)", f"[a]({TREE}/blob/v1/docs/x.md)"),
        ("[`a`](./docs/x.md#b)", f"[`a`]({TREE}/blob/v1/docs/x.md#b)"),
        ("[a](#b)", f"[a]({TREE}/tree/v1#b)"),
        ("![a](docs/x.png)", f"![a]({TREE}/raw/v1/docs/x.png)"),
        ("[![a](x.SVG)](y)", f"[![a]({TREE}/raw/v1/x.SVG)]({TREE}/blob/v1/y)"),
        ('[a](x.md "b (c)")', f'[a]({TREE}/blob/v1/x.md "b (c)")'),
        ("[a](<x.md>)", f"[a](<{TREE}/blob/v1/x.md>)"),
        ("text\n[a]: x.md\n", f"text\n[a]: {TREE}/blob/v1/x.md\n"),
        ('<img src="x.png" alt="">', f'<img src="{TREE}/raw/v1/x.png" alt="">'),
        ("<a href='x.md'>", f"<a href='{TREE}/blob/v1/x.md'>"),
        ("[a](https://example.org/x)", "[a](https://example.org/x)"),
        ("[a](mailto:a@example.org)", "[a](mailto:a@example.org)"),
        ("`[a](x.md)` and `x[i](y)`", "`[a](x.md)` and `x[i](y)`"),
        ("```python\nf[a](x)\n```\n[a](x)", f"```python\nf[a](x)\n```\n[a]({TREE}/blob/v1/x)"),
    ],
)
def test_links_of_the_readme_become_absolute(
    absolute_links: Callable[[str, str], str], text: str, expected: str
) -> None:
    assert absolute_links(text, "v1") == expected
    assert distributions.relative_links(expected) == []


def test_no_link_of_the_readme_stays_relative(
    absolute_links: Callable[[str, str], str],
) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert distributions.relative_links(readme)
    made = absolute_links(readme, "v1")
    assert distributions.relative_links(made) == []
    assert len(made.splitlines()) == len(readme.splitlines())


def test_what_is_installed_says_what_an_index_asks() -> None:
    try:
        installed = importlib.metadata.distribution("fastvae-cpu")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("fastvae-cpu is not installed: its sources are tested as they are")
    # The second is what a build leaves in a checkout.
    text = installed.read_text("METADATA") or installed.read_text("PKG-INFO")
    assert text
    assert list(distributions.problems_of_metadata(text)) == []


METADATA = """Metadata-Version: 2.4
Name: {name}
Summary: s
Keywords: k
License-Expression: MIT
License-File: LICENSE
Requires-Python: >=3.10
Classifier: Programming Language :: Python :: 3.10
{urls}
Requires-Dist: {requires}
Description-Content-Type: text/markdown

{description}
"""


def metadata(name: str = "fastvae-cpu", requires: str = "numpy", link: str = TREE) -> str:
    urls = "\n".join(f"Project-URL: {url}, {TREE}" for url in sorted(distributions.URLS))
    description = f"[a]({link}) " + "words " * 300
    return METADATA.format(name=name, urls=urls, requires=requires, description=description)


def test_bad_metadata_is_refused() -> None:
    def problems(text: str) -> list[str]:
        return list(distributions.problems_of_metadata(text))

    assert problems(metadata()) == []
    assert problems(metadata(name="fastvae")) == ["its name is fastvae"]
    assert problems(metadata(link="docs/x.md")) == ["its description links to docs/x.md"]
    assert problems(metadata(requires="fastvae>=1")) == ["it requires fastvae>=1"]
    assert problems(metadata().replace("Keywords: k\n", "")) == ["it has no Keywords"]
    missing = metadata().replace("Project-URL: Source,", "Project-URL: Sauce,")
    assert problems(missing) == ["Project-URL lacks Source", "Project-URL holds Sauce"]


@pytest.mark.skipif(not HERE, reason="the sources are not beside the tests")
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_a_wheel_with_too_much_or_too_little_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "fastvae_cpu-1-py3-none-any.whl"
    files = {name: path.read_bytes() for name, path in distributions.package_files().items()}
    for name in ("WHEEL", "RECORD", "entry_points.txt", "top_level.txt", "licenses/LICENSE"):
        files[f"fastvae_cpu-1.dist-info/{name}"] = b""
    files["fastvae_cpu-1.dist-info/METADATA"] = metadata().encode()

    def problems(*more: str) -> list[str]:
        with zipfile.ZipFile(wheel, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
            for name in more:
                archive.writestr(name, "x")
        return list(distributions.problems_of_wheel(wheel))

    assert {"fastvae/py.typed", "fastvae/kernels/maths/tiles.py"} < files.keys()
    assert problems() == []
    assert problems("tests/a.py") == [f"{wheel.name} holds tests/a.py"]
    assert "fastvae/cli.py is there 2 times" in problems("fastvae/cli.py")
    files["fastvae/cli.py"] = b"another"
    assert problems() == ["fastvae/cli.py is not that of the checkout"]
    del files["fastvae/cli.py"]
    assert problems() == [f"{wheel.name} lacks fastvae/cli.py"]


def test_a_source_distribution_with_too_much_or_too_little_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "x.tar.gz"

    def problems(*names: str, link: str = "../kernels") -> list[str]:
        with tarfile.open(source, "w:gz") as archive:
            for name in ("PKG-INFO", "setup.cfg", *names):
                archive.addfile(tarfile.TarInfo(f"x-1/{name}"), BytesIO())
            linked = tarfile.TarInfo("x-1/fastvae/kernels")
            linked.type, linked.linkname = tarfile.SYMTYPE, link
            archive.addfile(linked)
        return list(distributions.problems_of_source(source, {"setup.py", "fastvae/kernels"}))

    assert problems("setup.py") == []
    assert problems() == ["x.tar.gz lacks setup.py"]
    assert problems("setup.py", "notes") == ["x.tar.gz holds notes"]
    assert problems("setup.py", "setup.py") == ["setup.py is there 2 times"]
    assert problems("setup.py", link="/etc") == ["fastvae/kernels is a link to /etc"]


def test_lines_of_a_dockerfile_are_read() -> None:
    text = '# note\nFROM a AS b\nRUN one && \\\n    two\n\nENTRYPOINT ["c"]\n'
    expected = [("FROM", "a AS b"), ("RUN", "one && two"), ("ENTRYPOINT", '["c"]')]
    assert dockerfile.instructions(text) == expected


@pytest.mark.skipif(not HERE, reason="the sources are not beside the tests")
def test_an_image_is_built_from_what_the_wheel_needs() -> None:
    taken = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert taken[1] == "*"
    names = {line[1:] for line in taken if line.startswith("!")}
    assert {"fastvae", "kernels", "setup.py", "pyproject.toml", "README.md", "LICENSE"} <= names
    assert all((ROOT / name).exists() for name in names)
