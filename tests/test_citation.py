"""How to cite: docs/cite.md says what CITATION.cff says, and its entries are whole."""

import re
from pathlib import Path

import pytest

import fastvae

ROOT = Path(__file__).resolve().parents[1]
CITATION = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "cite.md").read_text(encoding="utf-8")
ENTRIES = re.findall(r"^@(\w+)\{(\w+),\n(.*?)^\}$", PAGE, re.MULTILINE | re.DOTALL)
FIELD = re.compile(r"^  (\w+)\s*= \{(.*)\},?$", re.MULTILINE)
AT = {
    "inproceedings": "booktitle",
    "incollection": "booktitle",
    "article": "journal",
    "techreport": "institution",
    "misc": "howpublished",
}


def of_file(key: str) -> str:
    """A value at the top level of CITATION.cff."""
    found = re.search(rf'^{key}: "?(.*?)"?$', CITATION, re.MULTILINE)
    assert found, key
    return found.group(1)


def test_the_software_is_cited_as_the_file_says() -> None:
    kind, name, text = ENTRIES[0]
    fields = dict(FIELD.findall(text))
    assert (kind, name) == ("software", "fastvae")
    assert fields["title"] == of_file("title")
    assert fields["version"] == of_file("version") == fastvae.__version__
    assert fields["date"] == of_file("date-released")
    assert fields["url"] == of_file("repository-code")
    assert fields["license"] == of_file("license")
    author = re.search(r"^authors:\n  - name: (.*)$", CITATION, re.MULTILINE)
    assert author
    assert fields["author"] == f"{{{author.group(1)}}}"


@pytest.mark.parametrize(("kind", "key", "text"), ENTRIES[1:])
def test_an_entry_is_whole(kind: str, key: str, text: str) -> None:
    fields = dict(FIELD.findall(text))
    lines = text.rstrip("\n").split("\n")
    assert len(fields) == len(lines), "a line is no field, or a field stands twice"
    assert all(line.endswith("},") for line in lines[:-1])
    assert lines[-1].endswith("}")
    assert {"title", "author", "year", AT[kind]} <= set(fields)
    assert text.count("{") == text.count("}")
    family = fields["author"].split(",")[0].lower()
    assert key.startswith(re.sub(r"\W", "", family) + fields["year"])


def test_keys_differ() -> None:
    keys = [key for _, key, _ in ENTRIES]
    assert len(set(keys)) == len(keys) == PAGE.count("\n@")
