"""The page in a browser: headless Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import fastvae
from fastvae import VAE, PosteriorMixture
from fastvae.explore import write_page

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("there is no chromium on this machine", allow_module_level=True)
pytestmark = pytest.mark.slow

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
SEED_MODEL = "mnist_variational_autoencoder"
TOLERANCE = 2e-3
Array = NDArray[Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@dataclass
class Opened:
    """A page, and what went wrong on it or left it."""

    page: Any
    problems: list[str] = field(default_factory=list)

    def __call__(self, script: str, argument: Any = None) -> Any:
        """The value of a script."""
        return self.page.evaluate(script, argument)

    def settled(self) -> None:
        """Wait until what has changed is drawn."""
        self(
            "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )

    def picture(self, canvas: str) -> str:
        self.settled()
        return str(self("(id) => document.getElementById(id).toDataURL()", canvas))

    def focus(self, element: str) -> None:
        self.page.locator(element).scroll_into_view_if_needed()
        self.page.locator(element).focus()

    def drag(self, canvas: str, points: list[tuple[float, float]]) -> None:
        """Press the mouse at the first point, in parts of the canvas, and move to the others."""
        place = self.page.locator(canvas)
        place.scroll_into_view_if_needed()
        box = place.bounding_box()
        where = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
        self.page.mouse.move(*where[0])
        self.page.mouse.down()
        for x, y in where[1:]:
            self.page.mouse.move(x, y, steps=8)
        self.page.mouse.up()


@pytest.fixture
def opened(browser: Any) -> Iterator[Any]:
    """Opens a file; at the end there must be no error, and no request but that of the file."""
    contexts = []

    def open_file(path: Path, **settings: Any) -> Opened:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | settings)
        found = Opened(context.new_page())
        contexts.append((context, found))
        found.page.on("console", lambda message: found.problems.append(f"said: {message.text}"))
        found.page.on("pageerror", lambda error: found.problems.append(f"failed: {error}"))
        found.page.on("dialog", lambda dialog: found.problems.append(f"asked: {dialog.message}"))
        found.page.on("request", lambda request: found.problems.append(f"asked for {request.url}"))
        found.page.goto(path.as_uri())
        assert found.problems == [f"asked for {path.as_uri()}"]
        found.problems.clear()
        found.settled()
        return found

    yield open_file
    for context, found in contexts:
        assert found.problems == []
        context.close()


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the seed's model."""
    path = tmp_path_factory.mktemp("explore") / "digits.html"
    write_page(fastvae.load(SEED_MODEL), path)
    return path


def drawn(vae: VAE, scale: float = 1.0) -> VAE:
    """The model with weights and biases that are all drawn."""
    rng = np.random.default_rng(1)
    for layer in vae.named_layers().values():
        layer.weight = scale * rng.standard_normal(layer.weight.shape) / np.sqrt(layer.n_in)
        layer.bias = 0.3 * rng.standard_normal(layer.bias.shape)
    return vae


BLOCKS = [
    *(("gaussian", 3), ("categorical", 3), ("poisson", 2), ("bernoulli", 2), ("categorical", 1)),
    ("continuous_bernoulli", 2),
]
MODELS: dict[str, dict[str, Any]] = {
    **{
        f"bernoulli-{name}": {"activation": name}
        for name in ("relu", "leaky_relu", "tanh", "sigmoid", "softplus", "identity")
    },
    "gaussian": {"likelihood": "gaussian"},
    "gaussian-softplus": {"likelihood": "gaussian", "output_activation": "softplus"},
    "gaussian-sigma-output": {"likelihood": "gaussian", "sigma": "output"},
    "gaussian-missing": {"likelihood": "gaussian", "missing": "ignore"},
    "continuous_bernoulli": {"likelihood": "continuous_bernoulli"},
    "poisson": {"likelihood": "poisson"},
    "categorical": {"likelihood": "categorical", "blocks": [4, 1, 8]},
    "mixed": {"likelihood": "mixed", "blocks": BLOCKS, "missing": "ignore", "sigma": "output"},
    "classes": {"n_classes": 3},
    "priors-of-classes": {"n_classes": 3, "prior": "label", "likelihood": "gaussian"},
    "linear": {"hidden": (), "likelihood": "gaussian"},
    "deep": {"hidden": (50, 40, 30, 20), "dtype": "float64"},
    "wide": {"hidden": (700,)},
    "one-latent": {"n_latent": 1},
}


def rows_of(vae: VAE, n_rows: int = 20) -> tuple[Array, Array | None]:
    """Rows that the model takes, with labels where it needs them."""
    rng = np.random.default_rng(2)
    columns = {
        "gaussian": lambda n: 2 * rng.standard_normal((n_rows, n)),
        "bernoulli": lambda n: rng.integers(0, 2, (n_rows, n)),
        "continuous_bernoulli": lambda n: rng.random((n_rows, n)),
        "poisson": lambda n: rng.poisson(np.exp(rng.uniform(-2, 6, (n_rows, n)))),
        "categorical": lambda n: np.eye(n)[rng.integers(0, n, n_rows)],
    }
    kinds = vae.blocks or [(vae.likelihood, vae.n_features)]
    kinds = [("categorical", kind) if isinstance(kind, int) else kind for kind in kinds]
    X = np.concatenate([columns[kind](n) for kind, n in kinds], axis=1)
    if vae.missing == "ignore":
        X = np.where(rng.random(X.shape) < 0.1, np.nan, X)
    return X.astype(vae.dtype), rng.integers(0, 3, n_rows) if vae.n_classes else None


@pytest.mark.parametrize("name", MODELS)
def test_encoder_and_decoder_are_those_of_python(tmp_path: Path, opened: Any, name: str) -> None:
    settings: dict[str, Any] = {"hidden": (24,), "n_latent": 4} | MODELS[name]
    vae = drawn(VAE.from_sizes(13, **settings), 1.5)
    X, labels = rows_of(vae)
    write_page(vae, tmp_path / "page.html", data=X, labels=labels)
    page = opened(tmp_path / "page.html")
    Z = 2 * np.random.default_rng(3).standard_normal((len(X), vae.n_latent))
    wanted_labels: Any = labels if labels is not None else np.zeros(len(X), int)
    rows = [[None if np.isnan(v) else float(v) for v in row] for row in X]
    found = page(
        "([rows, Z, labels]) => rows.map((row, i) => ["
        "window.fastvae.encode(row.map((v) => v ?? NaN), labels[i]),"
        "window.fastvae.decode(Z[i], labels[i])])",
        [rows, Z.tolist(), wanted_labels.tolist()],
    )
    mean, log_var = vae.encode(X, labels=labels)
    decoded = vae.decode(Z, labels=labels)
    for i, (code, means) in enumerate(found):
        close(code["mean"], mean[i])
        close(code["logVar"], log_var[i], 5 * TOLERANCE)
        close(means, decoded[i])


def close(found: Any, wanted: Array, tolerance: float = TOLERANCE) -> None:
    """Equal within the tolerance: absolute up to 1, relative above."""
    error = np.abs(np.asarray(found) - wanted) / np.maximum(1.0, np.abs(wanted))
    assert error.max() < tolerance


def test_the_model_of_digits_is_that_of_python(digits: Path, opened: Any) -> None:
    page, vae = opened(digits), fastvae.load(SEED_MODEL)
    Z = 1.5 * np.random.default_rng(4).standard_normal((100, vae.n_latent))
    found = np.array(page("(Z) => Z.map((z) => window.fastvae.decode(z))", Z.tolist()))
    assert np.abs(found - vae.decode(Z)).max() < TOLERANCE
    rows, means = page(
        "() => [0, 1, 2, 3].map((r) => window.fastvae.storedRow(r)).reduce((all, row) => "
        "[[...all[0], row], [...all[1], window.fastvae.encode(row).mean]], [[], []])"
    )
    close(means, vae.encode(np.array(rows))[0])


def test_sliders_and_the_pad_change_the_picture(digits: Path, opened: Any) -> None:
    page = opened(digits)
    first = page.picture("decoded")
    page.focus("#sliders input >> nth=0")
    for _ in range(20):
        page.page.keyboard.press("ArrowRight")
    by_slider = page.picture("decoded")
    assert by_slider != first
    page.drag("#pad", [(0.5, 0.5), (0.8, 0.3)])
    by_pad = page.picture("decoded")
    assert by_pad not in (first, by_slider)
    assert np.abs(page("() => window.fastvae.latents()")).max() > 1
    page.focus("#pad")
    before = page.page.get_attribute("#pad", "aria-valuetext")
    page.page.keyboard.press("ArrowLeft")
    page.page.keyboard.press("Shift+ArrowUp")
    assert page.picture("decoded") != by_pad
    assert page.page.get_attribute("#pad", "aria-valuetext") != before
    page.page.click("#reset")
    assert page.picture("decoded") == first
    assert np.abs(page("() => window.fastvae.latents()")).max() == 0
    page.page.click("#random")
    assert page.picture("decoded") != first
    page.page.select_option("#across", index=5)
    assert page.page.locator("#sliders .slider").count() == 20


def test_the_pad_takes_touch(digits: Path, opened: Any) -> None:
    page = opened(digits, has_touch=True, viewport={"width": 390, "height": 800})
    first = page.picture("decoded")
    page.page.locator("#pad").scroll_into_view_if_needed()
    box = page.page.locator("#pad").bounding_box()
    page.page.touchscreen.tap(box["x"] + 0.2 * box["width"], box["y"] + 0.3 * box["height"])
    assert page.picture("decoded") != first


def encoding(page: Opened) -> str:
    return page.picture("draw-code")


def test_what_is_drawn_is_encoded(digits: Path, opened: Any) -> None:
    page = opened(digits)
    empty = encoding(page)
    page.drag("#ink", [(0.3, 0.25), (0.7, 0.25), (0.45, 0.85)])
    seven = encoding(page)
    assert seven != empty
    nearest = page.page.locator("#draw-near figcaption").all_inner_texts()
    assert sum(text.startswith("7") for text in nearest) >= 4, nearest
    centred = page.picture("seen")
    page.page.uncheck("#centre")
    assert page.picture("seen") != centred
    page.page.check("#centre")
    page.page.click("#draw-take")
    assert np.abs(page("() => window.fastvae.latents()")).max() > 0
    page.page.click("#clear")
    assert encoding(page) == empty


def test_a_stored_row_is_stamped_and_encoded_as_it_is(digits: Path, opened: Any) -> None:
    page = opened(digits)
    page.focus("#draw-strip button >> nth=0")
    page.page.keyboard.press("ArrowRight")
    page.page.keyboard.press("Enter")
    page.settled()
    page.page.click("#draw-take")
    found = page("() => [window.fastvae.latents(), window.fastvae.storedMean(1)]")
    np.testing.assert_allclose(found[0], found[1], atol=5 * TOLERANCE)
    assert page.page.locator("#draw-near figcaption >> nth=0").inner_text().endswith("0.00")


def test_the_keyboard_draws(digits: Path, opened: Any) -> None:
    page = opened(digits)
    empty = encoding(page)
    page.focus("#ink")
    assert page.page.locator("#cursor").is_visible()
    for key in ("Space", *["ArrowDown"] * 9, "Space", "ArrowLeft"):
        page.page.keyboard.press(key)
    line = encoding(page)
    assert line != empty
    page.page.keyboard.press("ArrowLeft")  # lifted, it draws nothing
    assert encoding(page) == line
    page.page.keyboard.press("Delete")
    assert encoding(page) == empty


def test_the_way_between_two_rows(digits: Path, opened: Any) -> None:
    page = opened(digits)
    middle = page.picture("walk-between")
    page.focus("#way")
    page.page.keyboard.press("Home")
    start = page.picture("walk-between")
    assert start != middle
    page.page.click("#choose-a")
    page.page.click("#walk-strip button >> nth=7")
    assert page.picture("walk-between") != start
    assert page.page.get_attribute("#choose-b", "aria-pressed") == "true"
    page.page.click("#play")
    page.page.wait_for_function("() => Number(document.getElementById('way').value) > 0.02")
    page.page.click("#play")
    assert page.page.inner_text("#play") == "Play"


def test_play_goes_in_steps_where_less_motion_is_wanted(digits: Path, opened: Any) -> None:
    page = opened(digits, reduced_motion="reduce")
    page.focus("#way")
    page.page.keyboard.press("Home")
    page.page.click("#play")
    page.page.wait_for_function("() => Number(document.getElementById('way').value) > 0")
    assert page("() => Number(document.getElementById('way').value)") == pytest.approx(0.1)


def test_a_dozen_samples(digits: Path, opened: Any) -> None:
    page = opened(digits)
    assert page.page.locator("#dozen button").count() == 12
    pictures = "() => [...document.querySelectorAll('#dozen canvas')].map((c) => c.toDataURL())"
    first = page(pictures)
    page.page.click("#again")
    page.settled()
    second = page(pictures)
    assert len(set(first) | set(second)) == 24
    page.page.click("#dozen button >> nth=3")
    assert page.picture("decoded") == second[3]


def test_a_model_of_classes(tmp_path: Path, opened: Any) -> None:
    names = ["round", "straight", "</script>"]
    vae = drawn(VAE.from_sizes(64, (16,), 2, n_classes=3, class_names=names), 2.0)
    write_page(vae, tmp_path / "page.html")
    page = opened(tmp_path / "page.html")
    first, samples = page.picture("decoded"), page.picture("walk-between")
    assert page.page.locator("#class option").all_inner_texts() == names
    page.page.select_option("#class", "1")
    assert page.picture("decoded") != first
    assert page.picture("walk-between") == samples  # of the rows' own classes


def test_latents_of_a_prior_and_of_a_mixture(tmp_path: Path, opened: Any) -> None:
    vae = drawn(VAE.from_sizes(64, (16,), 2, n_classes=2, prior="label"))
    assert vae.prior_layer is not None
    vae.prior_layer.weight = np.array([[1, -2], [2, 0.5], [-12, -12], [-12, -12]])  # narrow
    vae.prior_layer.bias = np.zeros(4)
    means = np.array([[5.0, 5.0], [-4.0, 3.0]])
    factors = 0.01 * np.array([[[1.0, 0.0], [0.5, 1.0]]] * 2)
    vae._take_mixture(PosteriorMixture([0.3, 0.7], means, factors))  # type: ignore[arg-type]
    write_page(vae, tmp_path / "page.html")
    page = opened(tmp_path / "page.html")
    latents = "() => window.fastvae.latents()"
    for label, mean in (("1", [-2, 0.5]), ("0", [1, 2])):
        page.page.select_option("#class", label)
        page.page.click("#random")
        np.testing.assert_allclose(page(latents), mean, atol=0.02)
        assert page(latents) != mean
        page.page.click("#reset")
        np.testing.assert_allclose(page(latents), mean, atol=1e-6)
    found = []
    for _ in range(40):
        page.page.click("#random-mixture")
        found.append(page(latents))
    distance = np.abs(np.array(found)[:, None] - means).max(axis=2)
    assert distance.min(axis=1).max() < 0.06
    chosen = np.bincount(distance.argmin(axis=1), minlength=2)
    assert 3 <= chosen[0] <= 22  # 12 of 40 are expected, with a deviation of 2.9
    page.page.select_option("#source", "mixture")
    page.page.click("#dozen button >> nth=1")
    assert np.abs(np.array(page(latents)) - means).max(axis=1).min() < 0.06


def test_rows_that_are_no_images(tmp_path: Path, opened: Any) -> None:
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(5)
    table = pandas.DataFrame(rng.normal(size=(50, 5)), columns=[*"abcd", "<b>e</b>"])
    vae = drawn(VAE.from_sizes(5, (8,), 2, likelihood="gaussian"))
    write_page(vae, tmp_path / "page.html", data=table, labels=["x", "y"] * 25)
    page = opened(tmp_path / "page.html")
    assert not page.page.locator("#ink").is_visible()
    names = page.page.locator("#features .slider span").all_inner_texts()
    assert names == [*"abcd", "<b>e</b>"]
    code, rebuilt = page.picture("edit-code"), page.picture("rebuilt")
    page.focus("#features input >> nth=2")
    page.page.keyboard.press("Home")
    assert page.picture("edit-code") != code
    assert page.picture("rebuilt") != rebuilt
    page.page.click("#edit-reset")
    assert page.picture("edit-code") == code


def test_missing_values_and_categories_are_edited(tmp_path: Path, opened: Any) -> None:
    vae = drawn(VAE.from_sizes(13, (8,), 2, **MODELS["mixed"]))
    X, _ = rows_of(vae)
    X = np.nan_to_num(X)
    X[:, 3:6] = [1, 0, 0]
    X[:, 10] = 1
    write_page(vae, tmp_path / "page.html", data=X)
    page = opened(tmp_path / "page.html")
    code = page.picture("edit-code")
    page.page.check("#features input[type=checkbox] >> nth=0")
    missing = page.picture("edit-code")
    assert missing != code
    said = page.page.locator("#features output >> nth=0")
    assert said.inner_text() == "missing"
    page.page.select_option("#features select >> nth=0", index=2)
    assert page.picture("edit-code") not in (code, missing)
    page.page.uncheck("#features input[type=checkbox] >> nth=0")
    assert said.inner_text() != "missing"
    page.page.select_option("#features select >> nth=0", index=0)
    assert page.picture("edit-code") == code


def test_names_of_strangers_are_texts(tmp_path: Path, opened: Any) -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)><!--"
    vae = VAE.from_sizes(784, (4,), 2)
    vae.card = {"name": evil}
    write_page(vae, tmp_path / "page.html")
    page = opened(tmp_path / "page.html")
    assert page.page.inner_text("h1") == evil
    assert page.page.title() == evil
    assert page.page.locator("img").count() == 0


def test_light_and_dark(digits: Path, opened: Any) -> None:
    background = "() => getComputedStyle(document.body).backgroundColor"
    light, dark = opened(digits, color_scheme="light"), opened(digits, color_scheme="dark")
    assert light(background) != dark(background)
    pad = light.picture("pad")
    light.page.click("#theme")
    assert light(background) == dark(background)
    assert light.picture("pad") != pad
    light.page.click("#theme")
    assert light.picture("pad") == pad


def test_tall_images_are_no_higher_than_their_place_is_wide(tmp_path: Path, opened: Any) -> None:
    vae = drawn(VAE.from_sizes(120, (4,), 2), 3.0)
    write_page(vae, tmp_path / "page.html", image_shape=(60, 2))
    page = opened(tmp_path / "page.html")
    for canvas in ("#decoded", "#ink", "#walk-a"):
        box = page.page.locator(canvas).bounding_box()
        assert box["height"] < 500
        assert box["width"] == pytest.approx(box["height"] / 30, abs=1)
    before = page.picture("draw-code")
    page.drag("#ink", [(0.5, 0.2), (0.5, 0.7)])
    assert page.picture("draw-code") != before


@pytest.mark.parametrize("width", [320, 390, 640, 1280])
def test_nothing_is_wider_than_the_screen(digits: Path, opened: Any, width: int) -> None:
    """640 pixels are also what is left of 1280 at a zoom of 200 %."""
    page = opened(digits, viewport={"width": width, "height": 800})
    assert page("() => document.documentElement.scrollWidth") <= width


def test_everything_that_is_used_has_a_name(digits: Path, opened: Any) -> None:
    nameless = """() => [...document.querySelectorAll(
        'button, input, select, canvas[role], canvas[tabindex], [role=listbox]')].filter((e) =>
        !(e.getAttribute('aria-label') || e.textContent.trim() ||
          (e.labels && [...e.labels].some((label) => label.textContent.trim()))))
        .map((e) => e.outerHTML)"""
    assert opened(digits)(nameless) == []


def test_frames_are_drawn_as_a_slider_moves(digits: Path, opened: Any) -> None:
    found = opened(digits)("() => window.fastvae.measureFrames(0.5)")
    assert found["frames"] > 1
    assert found["milliseconds"] > 0
