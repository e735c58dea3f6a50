"""Whatever model is saved is loaded again, bit for bit; what is refused leaves an old file alone.

Models, cards, names and settings are drawn by hypothesis, the same ones each time.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_checks import parameters, set_parameter, small_vae

import fastvae
from fastvae import MLP, VAE, Dense, Sampler, kernels
from fastvae.checks import MAX_COUNT, MAX_SEED

FORMATS = st.sampled_from(["safetensors", "seed"])
OBJECTIVE = ("likelihood", "beta", "reconstruction_weight", "dtype", "seed")
SETTINGS = (*OBJECTIVE, "epochs", "updates", "card")


@pytest.fixture(autouse=True, scope="module")
def no_waiting_for_the_disk():
    """Flushing takes most of the time, and these files are read back at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


examples = settings(derandomize=True, database=None, deadline=None, max_examples=50)


@st.composite
def weights(draw, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Finite numbers of any exponent, and the special ones among them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    info = np.finfo(dtype)
    values = np.frombuffer(rng.bytes(int(np.prod(shape)) * dtype.itemsize), dtype).copy()
    special = [0.0, -0.0, info.max, -info.max, info.tiny, info.smallest_subnormal, -info.tiny / 8]
    chosen = rng.choice(np.array(special, dtype), values.size)
    values = np.where(np.isfinite(values) & (rng.random(values.size) < 0.8), values, chosen)
    return values.reshape(shape)


@st.composite
def models(draw) -> VAE:
    """A model of 1 to 4 layers on each side, with any weights and settings."""
    dtype = np.dtype(draw(st.sampled_from(["float32", "float64"])))
    likelihood = draw(st.sampled_from(["bernoulli", "gaussian"]))
    activation = st.sampled_from(list(kernels.ACTIVATIONS))
    sizes = st.integers(1, 19)
    n_features, n_latent = draw(sizes), draw(sizes)
    up = [n_features, *draw(st.lists(sizes, min_size=1, max_size=4))]
    down = [n_latent, *draw(st.lists(sizes, max_size=3)), n_features]

    def mlp(chain: list[int], last: str | None) -> MLP:
        activations = [draw(activation) for _ in chain[1:]]
        activations[-1] = last or activations[-1]
        pairs = zip(itertools.pairwise(chain), activations, strict=True)
        return MLP(Dense(*pair, chosen, dtype=dtype) for pair, chosen in pairs)

    vae = VAE(
        mlp(up, None),
        Sampler(up[-1], n_latent, dtype=dtype),
        mlp(down, "sigmoid" if likelihood == "bernoulli" else None),
        likelihood=likelihood,
        dtype=dtype,
        seed=draw(st.integers(0, MAX_SEED)),
    )
    vae.beta = draw(st.floats(0, 1e308))
    # Of a Gaussian it says sigma, which is finite.
    vae.reconstruction_weight = draw(st.floats(0, 1e308, exclude_min=likelihood == "gaussian"))
    vae.epochs, vae.updates = draw(st.integers(0, MAX_COUNT)), draw(st.integers(0, MAX_COUNT))
    for name, array in parameters(vae).items():
        set_parameter(vae, name, draw(weights(array.shape, dtype)))
    return vae


def data(scalars: st.SearchStrategy[Any], keys: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Nested lists, tuples and mappings."""
    return st.recursive(
        scalars,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.lists(inner, max_size=3).map(tuple),
            st.dictionaries(keys, inner, max_size=4),
        ),
        max_leaves=12,
    )


FINITE = st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), FINITE, st.text())
SURROGATES = st.text(st.characters(categories=["Cs", "Lu"]), max_size=6)
ODD = st.one_of(
    st.floats(),
    st.integers(14_000, 15_000).map(lambda bits: -(1 << bits)),  # about 4300 digits
    FINITE.map(np.float64),
    st.integers(0, 9).map(np.int32),
    st.binary(max_size=3),
    st.sets(st.integers(), max_size=2),
    st.complex_numbers(),
    SURROGATES,
)
CARDS = st.dictionaries(st.text(), data(PLAIN, st.text()), max_size=5)
ODD_KEYS = st.one_of(st.text(), SURROGATES, st.integers(), st.none(), st.text().map(np.str_))
ANYTHING = st.one_of(
    st.dictionaries(ODD_KEYS, data(st.one_of(PLAIN, ODD), ODD_KEYS), max_size=4),
    data(st.one_of(PLAIN, ODD), ODD_KEYS),
)


@st.composite
def names(draw) -> str:
    """File names of up to 255 bytes, as Linux takes them: not all of them are text."""
    letters = st.one_of(
        st.sampled_from(" .\n\t*?~-\\'\"%éß漢\U0001f600"),
        st.characters(blacklist_categories=["Cs"], blacklist_characters="/\0"),
        st.integers(0xDC80, 0xDCFF).map(chr),
    )
    start = draw(st.sampled_from(["", ".", "..", "-", " ", "\n", "x" * 240, "é" * 120]))
    name = os.fsencode(start + "".join(draw(st.lists(letters, max_size=20))))[:255]
    decoded = os.fsdecode(name)
    return f"{decoded}x"[-100:] if decoded in ("", ".", "..") else decoded


def content(path: Path) -> dict[str, bytes]:
    """All bytes of a file, or of the files of a folder."""
    if path.is_file():
        return {"": path.read_bytes()}
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def typed(value: Any) -> Any:
    """A value in a form that compares types too: 1, 1.0 and True differ, and so do 0.0 and -0.0."""
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [typed(item) for item in value]
    return type(value), hex(value) if type(value) is int else repr(value)


def assert_same(loaded: VAE, vae: VAE) -> None:
    """Assert equal bits, settings and card."""
    expected = parameters(vae)
    found = parameters(loaded)
    assert found.keys() == expected.keys()
    for name, array in found.items():
        assert (array.dtype, array.shape) == (expected[name].dtype, expected[name].shape)
        assert array.tobytes() == expected[name].tobytes(), name
    for name in SETTINGS:
        assert typed(getattr(loaded, name)) == typed(getattr(vae, name)), name
    assert str(loaded) == str(vae)


@pytest.mark.slow
@examples
@given(models(), CARDS, names(), FORMATS)
def test_what_is_saved_is_loaded(vae, card, name, format):
    vae.card = card
    with tempfile.TemporaryDirectory() as folder:
        path, again = Path(folder, name), Path(folder, "again", name)
        again.parent.mkdir()
        vae.save(path, format=format)
        loaded = fastvae.load(path)
        assert_same(loaded, vae)
        loaded.save(again, format=format)
        assert content(again) == content(path)
        assert set(os.listdir(folder)) == {name, "again"}
        assert os.listdir(again.parent) == [name]


@examples
@given(ANYTHING, FORMATS)
def test_a_card_is_refused_when_it_is_set_or_comes_back(card, format):
    vae = small_vae()
    vae.card = before = {"old": 1}
    try:
        vae.card = card
    except (TypeError, ValueError):
        assert vae.card == before
    with tempfile.TemporaryDirectory() as folder:
        vae.save(Path(folder, "model"), format=format)
        assert typed(fastvae.load(Path(folder, "model")).card) == typed(vae.card)


@examples
@given(ANYTHING, FORMATS)
def test_a_card_changed_in_place_is_refused_or_comes_back(item, format):
    vae = small_vae()
    vae.card["item"] = item
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model")
        if format == "safetensors":
            small_vae().save(path)
        before = content(path)
        try:
            vae.save(path, format=format)
        except (TypeError, ValueError):
            assert content(path) == before
            assert os.listdir(folder) == (["model"] if before else [])
        else:
            expected = small_vae()
            expected.card = vae.card
            assert typed(fastvae.load(path).card) == typed(expected.card)


ODD_NUMBERS = st.one_of(
    st.integers(-(2**65), 2**65),
    st.floats(),
    st.sampled_from([None, True, "1", 1j, [], np.nan, np.array([1, 2]), 10**400]),
    st.integers(-3, 3).map(np.int64),
    st.floats(width=32).map(np.float32),
)


@pytest.mark.parametrize(
    "name", ["seed", "epochs", "updates", "beta", "reconstruction_weight", "sampler.seed"]
)
@examples
@given(ODD_NUMBERS)
def test_a_setting_is_refused_when_it_is_set_or_comes_back(name, value):
    vae = small_vae()
    owner, attribute = (vae.sampler, "seed") if "." in name else (vae, name)
    before = getattr(owner, attribute)
    try:
        setattr(owner, attribute, value)
    except (TypeError, ValueError):
        assert getattr(owner, attribute) == before
    assert type(getattr(owner, attribute)) is type(before)
    with tempfile.TemporaryDirectory() as folder:
        vae.save(Path(folder, "model"))
        assert_same(fastvae.load(Path(folder, "model")), vae)
