"""ONNX files of models: what a runtime that knows nothing of fastvae makes of them."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from model_checks import pixel_rows, small_vae
from numpy.typing import NDArray

import fastvae
from fastvae import VAE, kernels
from fastvae.callbacks import Callback
from fastvae.files import onnx_format

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

Array = NDArray[Any]
Settings = dict[str, Any]
MIXED = [
    ("gaussian", 3), ("categorical", 3), ("poisson", 2), ("poisson", 1), ("gaussian", 1),
    ("categorical", 2), ("categorical", 1), ("bernoulli", 2), ("continuous_bernoulli", 2),
]  # fmt: skip
CASES: dict[str, Settings] = {
    "bernoulli": {"likelihood": "bernoulli"},
    "gaussian": {"likelihood": "gaussian", "reconstruction_weight": 3.0},
    "gaussian-number": {"likelihood": "gaussian", "sigma": 0.4},
    "gaussian-learned": {"likelihood": "gaussian", "sigma": "learned"},
    "gaussian-feature": {"likelihood": "gaussian", "sigma": "feature"},
    "gaussian-output": {"likelihood": "gaussian", "sigma": "output"},
    "continuous_bernoulli": {"likelihood": "continuous_bernoulli"},
    "poisson": {"likelihood": "poisson"},
    "categorical": {"likelihood": "categorical", "blocks": [3, 1, 5]},
    "mixed": {"likelihood": "mixed", "blocks": MIXED},
    "mixed-learned": {"likelihood": "mixed", "blocks": MIXED, "sigma": "learned"},
    "mixed-output": {"likelihood": "mixed", "blocks": MIXED, "sigma": "output"},
}
MISSING = {f"{name}-missing": settings | {"missing": "ignore"} for name, settings in CASES.items()}
ALL = CASES | MISSING
TOLERANCE = 1e-5
N_LATENT = 3


def kinds_of(settings: Settings) -> list[tuple[str, int]]:
    name = settings["likelihood"]
    return (
        settings["blocks"] if name == "mixed" else [(name, n) for n in settings.get("blocks", [9])]
    )


def data(settings: Settings, n_rows: int = 300) -> Array:
    """Rows of the model's kinds; some counts are large, a tenth is NaN where that is allowed."""
    rng = np.random.default_rng(0)
    columns = {
        "gaussian": lambda n: 2 * rng.standard_normal((n_rows, n)),
        "bernoulli": lambda n: rng.integers(0, 2, (n_rows, n)),
        "continuous_bernoulli": lambda n: rng.random((n_rows, n)),
        "poisson": lambda n: rng.poisson(np.exp(rng.uniform(-2, 12, (n_rows, n)))),
        "categorical": lambda n: np.eye(n)[rng.integers(0, n, n_rows)],
    }
    X = np.concatenate([columns[kind](n) for kind, n in kinds_of(settings)], axis=1)
    if settings.get("missing") == "ignore":
        X = np.where(rng.random(X.shape) < 0.1, np.nan, X)
    return X


def model(
    settings: Settings,
    activation: Any = "tanh",
    dtype: Any = np.float32,
    hidden: tuple[int, ...] = (16, 7),
) -> VAE:
    """A model whose weights and biases are all drawn, and none is 0."""
    output: Any = activation if settings["likelihood"] == "gaussian" else None
    n = sum(n for _, n in kinds_of(settings))
    vae = VAE.from_sizes(n, hidden, N_LATENT, activation, output, dtype=dtype, **settings)
    rng = np.random.default_rng(1)
    for layer in vae.named_layers().values():
        layer.weight = rng.standard_normal(layer.weight.shape) / np.sqrt(layer.n_in)
        layer.bias = 0.3 * rng.standard_normal(layer.bias.shape)
    return vae


def latents(vae: VAE, n_rows: int) -> Array:
    z = 2 * np.random.default_rng(2).standard_normal((n_rows, vae.n_latent))
    return z.astype(vae.dtype)


def run(path: Path, rows: Array) -> list[Array]:
    """What onnxruntime makes of rows."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    return list(session.run(None, {given.name: rows}))


def assert_equal(found: Array, wanted: Array) -> None:
    """Equal within the tolerance: absolute up to 1, relative above."""
    assert found.dtype == wanted.dtype
    assert found.shape == wanted.shape
    error = np.abs(found.astype(np.float64) - wanted) / np.maximum(1.0, np.abs(wanted))
    assert np.nanmax(error, initial=0.0) <= TOLERANCE
    assert not np.isnan(error).any()


def check_parts(vae: VAE, X: Array, Z: Array, folder: Path) -> None:
    """All parts, of all rows and of one."""
    X = X.astype(vae.dtype)
    for part in onnx_format.PARTS:
        vae.to_onnx(folder / f"{part}.onnx", part)
    for rows in (X, X[:1]):
        for found, wanted in zip(run(folder / "encoder.onnx", rows), vae.encode(rows), strict=True):
            assert_equal(found, wanted)
        (found,) = run(folder / "reconstruct.onnx", rows)
        assert_equal(found, vae.reconstruct(rows))
    for z in (Z, Z[:1]):
        (found,) = run(folder / "decoder.onnx", z)
        assert_equal(found, vae.decode(z))


@pytest.mark.parametrize(
    ("name", "activation"),
    [
        *((name, activation) for name in CASES for activation in kernels.ACTIVATIONS),
        *((name, "tanh") for name in MISSING),
    ],
)
def test_a_runtime_finds_what_the_model_finds(tmp_path: Path, name: str, activation: str) -> None:
    vae = model(ALL[name], activation)
    check_parts(vae, data(ALL[name]), latents(vae, 1000), tmp_path)


@pytest.mark.parametrize(
    ("name", "activation"),
    [
        *((name, "tanh") for name in CASES),
        *(("mixed-missing", name) for name in kernels.ACTIVATIONS),
    ],
)
def test_float64_models(tmp_path: Path, name: str, activation: str) -> None:
    vae = model(ALL[name], activation, np.float64)
    check_parts(vae, data(ALL[name]), latents(vae, 100), tmp_path)
    (given,) = onnx.load(tmp_path / "decoder.onnx").graph.input
    assert given.type.tensor_type.elem_type == onnx.TensorProto.DOUBLE


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", kernels.ACTIVATIONS)
def test_huge_inputs(tmp_path: Path, activation: str, dtype: Any) -> None:
    settings = {"likelihood": "gaussian", "sigma": "output"}
    vae = model(settings, activation, dtype, (32, 32))
    rng = np.random.default_rng(3)
    ends = [np.full((1, 9), -1e4), np.full((1, 9), 1e4)]
    X = np.concatenate([*ends, rng.choice([-1e4, 1e4], (50, 9))])
    check_parts(vae, X, 1e4 * latents(vae, 50), tmp_path)
    # What is outside its bounds is bounded; where nothing saturates log_var leaves both.
    log_var = run(tmp_path / "encoder.onnx", X.astype(dtype))[1]
    assert log_var.min() >= kernels.LOG_VAR_MIN
    assert log_var.max() <= kernels.LOG_VAR_MAX
    if activation in ("identity", "relu", "leaky_relu", "softplus"):
        assert log_var.min() == kernels.LOG_VAR_MIN
        assert log_var.max() == kernels.LOG_VAR_MAX


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["bernoulli", "continuous_bernoulli", "poisson", "categorical"])
def test_outputs_of_all_sizes(tmp_path: Path, name: str, dtype: Any) -> None:
    """From logits near 0, where formulas divide by them, to those at which exp overflows."""
    settings = CASES[name]
    vae = model(settings, "identity", dtype, (4,))
    for layer in vae.decoder:
        layer.bias = np.zeros(layer.n_out)
    vae.to_onnx(tmp_path / "decoder.onnx", "decoder")
    z = latents(vae, 30)
    Z = np.concatenate([z * dtype(s) for s in (0, 1e-20, 1e-6, 0.1, 0.5, 1, 10, 100, 1e4, 1e20)])
    with np.errstate(all="raise"):
        wanted = vae.decode(Z)
    assert np.isfinite(wanted).all()
    (found,) = run(tmp_path / "decoder.onnx", Z)
    assert_equal(found, wanted)


@pytest.mark.parametrize("name", ["gaussian-output", "mixed", "poisson-missing"])
@pytest.mark.parametrize("activation", ["softplus", "leaky_relu"])
def test_another_runtime(tmp_path: Path, name: str, activation: str) -> None:
    """The one of the package onnx, which takes each operator at its word."""
    from onnx.reference import ReferenceEvaluator

    vae, X = model(ALL[name], activation), data(ALL[name]).astype(np.float32)
    vae.to_onnx(tmp_path / "vae.onnx")
    with np.errstate(all="ignore"):
        (found,) = ReferenceEvaluator(str(tmp_path / "vae.onnx")).run(None, {"x": X})
    assert_equal(np.asarray(found), vae.reconstruct(X))


@pytest.mark.parametrize("hidden", [(1,), (5,) * 30])
@pytest.mark.parametrize("kind", kernels.BLOCK_KINDS)
def test_one_feature_and_many_layers(tmp_path: Path, kind: str, hidden: tuple[int, ...]) -> None:
    settings: Settings = {"likelihood": "mixed", "blocks": [(kind, 1)], "missing": "ignore"}
    vae = model(settings, "leaky_relu", hidden=hidden)
    check_parts(vae, np.array([[1.0], [np.nan]]), latents(vae, 2), tmp_path)
    vae = VAE.from_sizes(1, hidden, 1, likelihood="gaussian")
    check_parts(vae, np.array([[1.0], [-2.0]]), latents(vae, 2), tmp_path)


def test_an_encoder_without_layers(tmp_path: Path) -> None:
    vae = model(CASES["gaussian"], "identity", np.float64, (9,))
    (hidden,) = vae.encoder
    hidden.weight, hidden.bias = np.eye(9), np.zeros(9)
    layers = vae._layers_in(vae.network.parameters)
    del layers["encoder.0"]
    linear = onnx_format.Exported(layers, [("gaussian", 9)], False, {"fastvae": "0"})
    X = data(CASES["gaussian"])
    onnx_format.write(tmp_path / "linear.onnx", linear, "encoder")
    for found, wanted in zip(run(tmp_path / "linear.onnx", X), vae.encode(X), strict=True):
        assert_equal(found, wanted)


@pytest.mark.parametrize("name", fastvae.pretrained())
def test_pretrained_models(tmp_path: Path, name: str) -> None:
    vae = fastvae.load(name)
    X = pixel_rows(100, 784)
    check_parts(vae, X / np.float32(255), latents(vae, 100), tmp_path)
    # Pixels as bytes are divided by 255.
    (found,) = run(tmp_path / "reconstruct.onnx", X / np.float32(255))
    assert_equal(found, vae.reconstruct(X))


def test_what_a_file_says_of_itself(tmp_path: Path) -> None:
    path = tmp_path / "vae.onnx"
    blocks: Any = [("gaussian", 2), ("poisson", 1)]
    vae = VAE.from_sizes(3, (2,), 1, likelihood="mixed", blocks=blocks, sigma=0.5)
    ports = {
        "encoder": (["x"], ["mean", "log_var"]),
        "decoder": (["z"], ["x_mean"]),
        "reconstruct": (["x"], ["x_mean"]),
    }
    assert set(ports) == set(get_args(onnx_format.Part))
    columns = {"x": 3, "x_mean": 3, "z": 1, "mean": 1, "log_var": 1}
    for part in onnx_format.PARTS:
        vae.to_onnx(path, part)
        made = onnx.load(path)
        onnx.checker.check_model(made, full_check=True)
        assert (made.ir_version, [o.version for o in made.opset_import]) == (7, [13])
        assert (made.producer_name, made.producer_version) == ("fastvae", fastvae.__version__)
        for side, names in zip((made.graph.input, made.graph.output), ports[part], strict=True):
            assert [port.name for port in side] == names
            for port in side:
                batch, width = port.type.tensor_type.shape.dim
                assert (batch.dim_param, width.dim_value) == ("batch", columns[port.name])
                assert port.doc_string
        assert {p.key: p.value for p in made.metadata_props} == {
            "part": part,
            "fastvae": fastvae.__version__,
            "likelihood": "mixed",
            "blocks": '[["gaussian", 2], ["poisson", 1]]',
            "sigma": "0.5",
            "missing": "error",
        }
    held = {tensor.name for tensor in made.graph.initializer}
    assert {"encoder.0.weight", "sampler.mean.bias", "decoder.1.weight"} <= held


@pytest.mark.parametrize(
    ("settings", "sigma"),
    [
        ({"likelihood": "bernoulli"}, None),
        ({"likelihood": "gaussian", "reconstruction_weight": 2.0}, "0.5"),
        ({"likelihood": "gaussian", "sigma": "learned"}, "1.001"),
        ({"likelihood": "gaussian", "sigma": "feature"}, "[1.001, 1.001]"),
        ({"likelihood": "gaussian", "sigma": "output"}, "output"),
    ],
)
def test_sigma_in_a_file(tmp_path: Path, settings: Settings, sigma: str | None) -> None:
    VAE.from_sizes(2, (2,), 1, **settings).to_onnx(tmp_path / "vae.onnx", "decoder")
    props = {p.key: p.value for p in onnx.load(tmp_path / "vae.onnx").metadata_props}
    assert props.get("sigma") == sigma


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        model(CASES["mixed-output"]).to_onnx(tmp_path / name)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"a.onnx", "b.onnx"}


def test_the_package_is_loaded_where_a_file_is_written() -> None:
    program = "import sys, fastvae.model.vae; assert 'onnx' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'fastvae-cpu\[onnx\]'"):
        small_vae().to_onnx(tmp_path / "vae.onnx")
    assert not list(tmp_path.iterdir())


def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, vae = tmp_path / "vae.onnx", small_vae()
    path.write_bytes(b"old")
    part: Any
    for part in ("whole", None, "Decoder"):
        with pytest.raises(ValueError, match="'encoder', 'decoder', 'reconstruct'"):
            vae.to_onnx(path, part)
    with pytest.raises(ValueError, match="this VAE is empty"):
        VAE().to_onnx(path)
    for folder in (tmp_path, f"{tmp_path}/new/"):
        with pytest.raises(IsADirectoryError, match="name a file in it"):
            vae.to_onnx(folder)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        vae.to_onnx(tmp_path / "no" / "vae.onnx")
    for nowhere in ("", "a\0b"):
        with pytest.raises(ValueError, match="must not be empty"):
            vae.to_onnx(nowhere)
    for of_a_model in ("vae.safetensors", "vae.NPZ"):
        with pytest.raises(ValueError, match="the name of a model file"):
            vae.to_onnx(tmp_path / of_a_model)
    monkeypatch.setattr(onnx_format, "MAX_BYTES", 5000)
    with pytest.raises(ValueError, match="more than the 5,000 bytes"):
        vae.to_onnx(path)
    monkeypatch.undo()
    vae.network.parameters[3] = np.inf
    with pytest.raises(ValueError, match="infinity: a model that is not finite is not saved"):
        vae.to_onnx(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_followed_and_permissions_stay(tmp_path: Path) -> None:
    path, link = tmp_path / "vae.onnx", tmp_path / "link"
    path.write_bytes(b"old")
    path.chmod(0o600)
    link.symlink_to(path)
    small_vae().to_onnx(str(link), part="decoder")
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o600
    assert run(path, np.zeros((2, 5), np.float32))[0].shape == (2, 37)


def test_a_model_that_is_being_trained(tmp_path: Path) -> None:
    """A callback, and another thread meanwhile, write the model as it is between two updates."""
    X = pixel_rows(100, 37)

    class Writer(Callback):
        def on_epoch_end(self, vae: VAE, epoch: int, figures: Any) -> None:
            vae.to_onnx(tmp_path / f"{epoch}.onnx", "encoder")
            thread = threading.Thread(target=vae.to_onnx, args=(tmp_path / "thread.onnx",))
            thread.start()
            thread.join()

    vae = small_vae()
    vae.fit(X, epochs=2, verbose=False, callbacks=[Writer()])
    assert_equal(run(tmp_path / "2.onnx", X / np.float32(255))[0], vae.encode(X)[0])
    assert_equal(run(tmp_path / "thread.onnx", X / np.float32(255))[0], vae.reconstruct(X))
