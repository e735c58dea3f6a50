"""What is in the file of a page, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_checks import pixel_rows

import fastvae
from fastvae import VAE, Dataset
from fastvae.explore import write_page
from fastvae.explore.page import json_in_html, page_text
from fastvae.explore.rows import choose, image_shape, observed
from fastvae.explore.weights import MEANS_TOLERANCE, packed

SEED_MODEL = "mnist_variational_autoencoder"


def small(n_features: int) -> VAE:
    return VAE.from_sizes(n_features, (8,), 2, seed=1)


def contents_of(path: Path) -> Any:
    (text,) = re.findall(r'id="contents">(.*?)</script>', path.read_text("utf-8"), re.S)
    return json.loads(text)


def unpacked(array: dict[str, str]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(array["data"]), np.dtype(array["type"]).newbyteorder("<"))


def test_the_page_of_the_seed_s_model_is_small_and_asks_for_nothing(tmp_path: Path) -> None:
    written = write_page(fastvae.load(SEED_MODEL), tmp_path / "page.html")
    text = written.path.read_text("utf-8")
    assert written.n_bytes == written.path.stat().st_size < 2_500_000
    assert "://" not in text
    assert not re.search(r"\b(src|href)=[\"'](?!#)", text)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy
    assert policy.group(1).startswith("default-src 'none'; ")
    contents = contents_of(written.path)
    assert contents["rows"]["n"] == 300
    assert contents["rows"]["source"] == written.rows
    assert "drawn digits (synthetic_digits)" in written.rows
    assert {"float16"} == {contents["model"][name]["weight"]["type"] for name in ("mean", "logVar")}


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    X = pixel_rows(40, 36)
    for name in ("a.html", "b.html"):
        write_page(small(36), tmp_path / name, data=X, seed=3)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    write_page(small(36), tmp_path / "b.html", data=X, seed=4)
    a, b = (contents_of(tmp_path / name)["rows"]["values"] for name in ("a.html", "b.html"))
    assert a != b


@pytest.mark.parametrize("kind", ["float16", "float32", "uint8"])
def test_arrays_are_kept_row_by_row(kind: Any) -> None:
    array = np.arange(12).reshape(3, 4)[:, ::2]
    found = unpacked(packed(array, kind))
    assert found.tolist() == array.ravel().tolist()


def test_weights_that_float16_is_too_coarse_for_are_float32(tmp_path: Path) -> None:
    vae = small(36)
    write_page(vae, tmp_path / "page.html")
    assert write_page(vae, tmp_path / "page.html").float32_layers == []
    last = vae.decoder.layers[-1]
    last.weight = 100 * np.asarray(last.weight)  # logits of some hundred: rounding shows
    coarse = write_page(vae, tmp_path / "page.html")
    assert coarse.float32_layers[-1] == "decoder.1"
    assert coarse.error <= MEANS_TOLERANCE
    found = contents_of(tmp_path / "page.html")["model"]["decoder"][-1]["weight"]
    assert unpacked(found).tolist() == last.weight.ravel().tolist()
    vae = small(36)
    vae.encoder.layers[0].weight = np.full_like(vae.encoder.layers[0].weight, 70_000.0)
    assert "encoder.0" in write_page(vae, tmp_path / "page.html").float32_layers


def test_rows_are_stored_as_they_are(tmp_path: Path) -> None:
    X = pixel_rows(40, 36)
    assert write_page(small(36), tmp_path / "page.html", data=X, n_rows=5).rows.startswith(
        "5 of 40"
    )
    for data in (X, X / np.float32(255)):
        write_page(small(36), tmp_path / "page.html", data=data, n_rows=50)
        rows = contents_of(tmp_path / "page.html")["rows"]
        assert (rows["n"], rows["values"]["type"]) == (40, "uint8")
        found = unpacked(rows["values"]).reshape(40, 36)
        assert sorted(map(bytes, found)) == sorted(map(bytes, X))
        assert rows["scale"] == 1 / 255
    vae = VAE.from_sizes(3, (4,), 2, likelihood="gaussian", missing="ignore")
    table = np.array([[0.5, np.nan, -1e3], [2.0, 0.1, 0.0]])
    write_page(vae, tmp_path / "page.html", data=table)
    rows = contents_of(tmp_path / "page.html")["rows"]
    stored = unpacked(rows["values"]).reshape(2, 3)
    np.testing.assert_array_equal(np.sort(stored, 0), np.sort(table.astype(np.float32), 0))


def test_labels_and_latents_belong_to_their_rows(tmp_path: Path) -> None:
    data, vae = Dataset("synthetic_digits", 500, 400), fastvae.load("synthetic_digits")
    write_page(vae, tmp_path / "page.html", data=data)
    contents = contents_of(tmp_path / "page.html")
    X = unpacked(contents["rows"]["values"]).reshape(300, 784)
    assert data.test_labels is not None
    known = {row.tobytes(): label for row, label in zip(data.test, data.test_labels, strict=True)}
    assert [known[row.tobytes()] for row in X] == contents["rows"]["labels"]
    means = unpacked(contents["rows"]["means"]).reshape(300, 32)
    np.testing.assert_allclose(means, vae.encode(X)[0], atol=1e-5)
    variance = vae.encode(data.test)[0].var(axis=0)
    np.testing.assert_allclose(contents["latents"]["variance"], variance, rtol=1e-4)


def test_labels_may_be_names(tmp_path: Path) -> None:
    X = pixel_rows(4, 36)
    write_page(small(36), tmp_path / "page.html", data=X, labels=["b", "a", "b", "a"])
    contents = contents_of(tmp_path / "page.html")
    assert contents["labelNames"] == {"0": "a", "1": "b"}
    assert sorted(contents["rows"]["labels"]) == [0, 0, 1, 1]


def test_labels_of_classes_are_their_numbers(tmp_path: Path) -> None:
    vae = VAE.from_sizes(36, (4,), 2, n_classes=2, class_names=["b", "a"])
    X = pixel_rows(4, 36)
    with pytest.raises(TypeError, match="labels must be an array of real numbers"):
        write_page(vae, tmp_path / "page.html", data=X, labels=["b", "a", "b", "a"])
    write_page(vae, tmp_path / "page.html", data=X, labels=[1, 1, 1, 0])
    contents = contents_of(tmp_path / "page.html")
    assert contents["labelNames"] == {"0": "b", "1": "a"}
    assert sorted(contents["rows"]["labels"]) == [0, 1, 1, 1]


def test_an_error_names_the_row_that_was_given(tmp_path: Path) -> None:
    table = np.zeros((30, 4))
    table[17, 2] = np.nan
    vae = VAE.from_sizes(4, (4,), 2, likelihood="gaussian")
    with pytest.raises(ValueError, match="row 17"):
        write_page(vae, tmp_path / "page.html", data=table)


def test_one_row_is_enough(tmp_path: Path) -> None:
    write_page(small(36), tmp_path / "page.html", data=pixel_rows(1, 36)[0], n_rows=1)
    assert contents_of(tmp_path / "page.html")["rows"]["n"] == 1


def test_a_table_brings_the_names_of_its_columns(tmp_path: Path) -> None:
    lines = ["weight,label,</script>,height,size"]
    lines += [f"{i / 7},{i % 2},0.5,{-i},1" for i in range(20)]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    data = Dataset(tmp_path / "rows.csv")
    assert data.feature_names == ["weight", "</script>", "height", "size"]
    vae = VAE.from_sizes(4, (4,), 2, likelihood="gaussian")
    written = write_page(vae, tmp_path / "page.html", data=data)
    contents = contents_of(tmp_path / "page.html")
    assert contents["featureNames"] == data.feature_names
    assert contents["image"] is None  # though 4 is a square
    assert written.rows == "20 training rows of rows.csv"
    assert str(tmp_path) not in written.path.read_text("utf-8")


def test_what_is_an_image() -> None:
    def shape(vae: VAE, data: Any = None, wanted: Any = None) -> Any:
        return image_shape(vae, choose(vae, data, None, 0), wanted)

    assert shape(small(36)) == (6, 6)
    assert shape(small(35)) is None
    assert shape(small(36), wanted=(4, 9)) == (4, 9)
    assert shape(small(36), wanted=(1, 36)) is None
    assert shape(VAE.from_sizes(36, (4,), 2, likelihood="poisson")) is None
    pandas = pytest.importorskip("pandas")
    pixels = pandas.DataFrame(np.zeros((2, 64)), columns=[f"pixel{i}" for i in range(64)])
    assert shape(VAE.from_sizes(64, (4,), 2, likelihood="gaussian"), pixels) == (8, 8)
    few = VAE.from_sizes(9, (4,), 2, likelihood="gaussian")
    assert shape(few, np.zeros((2, 9))) is None  # as in pictures: a row of a table
    with pytest.raises(ValueError, match=r"image_shape must have 36 pixels.*4 x 4"):
        shape(small(36), wanted=(4, 4))


def test_without_data_the_model_draws_rows_that_it_takes() -> None:
    blocks: Any = [("categorical", 3), ("poisson", 2), ("gaussian", 1)]
    vae = VAE.from_sizes(6, (4,), 2, likelihood="mixed", blocks=blocks, n_classes=4)
    chosen = choose(vae, None, None, 0, 20)
    assert chosen.source == "20 rows that the model drew itself, as no data were named"
    assert chosen.labels is not None
    assert set(chosen.labels) == {0, 1, 2, 3}
    rows = observed(vae, np.array([[0.2, 0.5, 0.3, 1.6, 0.2, -1.5]], np.float32))
    assert rows.tolist() == [[0, 1, 0, 2, 0, -1.5]]


def test_wide_rows_are_fewer(tmp_path: Path) -> None:
    vae = VAE.from_sizes(20_000, (2,), 2)
    X = np.zeros((120, 20_000), np.uint8)
    X[0, 0] = 255
    assert write_page(vae, tmp_path / "page.html", data=X).rows.startswith("100 of 120 rows")


@pytest.mark.parametrize(
    "text",
    [
        "</script>",
        "<!--",
        "]]>",
        "&lt;",
        "\u2028",
        '"',
        "\\",
        "<script",
        "'; alert(1)",
        "{{script}}",
    ],
)
def test_no_text_ends_its_element(text: str) -> None:
    inner = json_in_html({text: [text]})
    assert json.loads(inner) == {text: [text]}
    assert not re.search("[<>&]", inner)
    page = page_text(text, {"title": text})
    assert page.count("</script>") == 2
    assert page.count("<title>") == 1
    (found,) = re.findall(r'id="contents">(.*?)</script>', page, re.S)
    assert json.loads(found) == {"title": text}


def test_the_scripts_are_those_that_the_policy_names() -> None:
    page = page_text("x", {})
    for element, name in (("script", "script-src"), ("style", "style-src")):
        (inner,) = re.findall(rf"<{element}>(.*?)</{element}>", page, re.S)
        digest = base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()
        assert f"{name} 'sha256-{digest}'" in page


def infinite() -> VAE:
    vae = small(36)
    bias = np.zeros(vae.encoder.layers[0].n_out)
    bias[0] = np.inf
    vae.encoder.layers[0]._write(None, bias.astype(np.float32))
    return vae


@pytest.mark.parametrize(
    ("vae", "settings", "message"),
    [
        (VAE(), {}, "this VAE is empty"),
        (small(36), {"data": np.zeros((3, 4))}, r"X must have 36 columns"),
        (small(36), {"data": np.zeros((0, 36))}, "X must have at least one row"),
        (small(36), {"data": np.full((3, 36), np.nan)}, "NaN"),
        (
            small(36),
            {"data": np.zeros((3, 36)), "labels": [1]},
            r"labels must have shape \(3,\)",
        ),
        (small(36), {"labels": [1]}, "labels belong to data"),
        (small(36), {"n_rows": 0}, "n_rows must be"),
        (small(36), {"n_rows": 2001}, "n_rows must be"),
        (small(36), {"seed": -1}, "seed must be"),
        (small(36), {"image_shape": (5, 5)}, "image_shape must have 36 pixels"),
        (
            VAE.from_sizes(36, (4,), 2, n_classes=3),
            {"data": pixel_rows(1, 36), "labels": [3]},
            "got 3",
        ),
        (VAE.from_sizes(36, (4,), 2, n_classes=3), {"data": np.zeros((3, 36))}, "it needs"),
    ],
)
def test_what_is_refused(tmp_path: Path, vae: VAE, settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_page(vae, tmp_path / "page.html", **settings)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["page", "page.png", "page.safetensors", ".html"])
def test_a_page_has_the_name_of_a_page(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"path must end in \.html or \.htm"):
        write_page(small(36), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"encoder\.0 holds a number that is not finite as float32"
    ):
        write_page(infinite(), tmp_path / "page.html")


def test_an_old_page_stays_where_a_new_one_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("old")
    with pytest.raises(ValueError, match="columns"):
        write_page(small(36), path, data=np.zeros((3, 4)))
    assert path.read_text() == "old"
    with pytest.raises(OSError, match="none"):
        write_page(small(36), tmp_path / "none" / "page.html")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(IsADirectoryError, match="folder"):
        write_page(small(36), tmp_path / "folder.html")


def test_a_copy_is_rounded_and_never_the_model(tmp_path: Path) -> None:
    vae = fastvae.load("synthetic_digits")
    before = vae.network.parameters.copy()
    write_page(vae, tmp_path / "page.html")
    np.testing.assert_array_equal(vae.network.parameters, before)


@pytest.mark.slow
def test_the_python_of_the_documentation_runs(tmp_path: Path) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "explore.md"
    (block,) = re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
    done = subprocess.run(
        [sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    said = re.search(r"# (300 of .*)", block)
    assert said
    assert done.stdout == f"{said.group(1)}\n"
