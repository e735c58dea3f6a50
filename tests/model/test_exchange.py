"""Parameters to and from other programs: `state_dict`, `load_state_dict`."""

from __future__ import annotations

import io
import json
import re
import struct
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_checks import SMALL_ROWS, assert_same_parameters, parameters, small_vae
from safetensors.numpy import save_file

from fastvae import VAE
from fastvae.callbacks import Callback
from fastvae.files import tensors

KINDS: dict[str, dict[str, Any]] = {
    "bernoulli": {},
    "deep": {"hidden": (19, 11, 7)},
    "float64": {"dtype": "float64"},
    "learned": {"likelihood": "gaussian", "sigma": "learned"},
    "feature": {"likelihood": "gaussian", "sigma": "feature", "dtype": "float64"},
    "output": {"likelihood": "gaussian", "sigma": "output"},
    "mixed": {
        "likelihood": "mixed",
        "blocks": [("gaussian", 30), ("categorical", 7)],
        "sigma": "feature",
        "missing": "ignore",
    },
}
FEATURES = {"learned": 1, "feature": 37, "mixed": 30}


def drawn(vae: VAE, seed: int = 0) -> dict[str, np.ndarray]:
    """Arrays of random numbers, by the names of the model."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(0, 0.3, array.shape).astype(vae.dtype)
        for name, array in vae.state_dict().items()
    }


def assert_state(vae: VAE, expected: Mapping[str, Any]) -> None:
    state = vae.state_dict()
    assert state.keys() == expected.keys()
    for name, array in state.items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_names_are_those_of_sequentials(kind: str) -> None:
    vae = small_vae(**KINDS[kind])
    state = vae.state_dict()
    n_encoder = len(vae.encoder)
    expected = [f"encoder.{2 * i}" for i in range(n_encoder)] + ["mean", "log_var"]
    expected += [f"decoder.{2 * i}" for i in range(n_encoder + 1)]
    listed = [f"{name}.{part}" for name in expected for part in ("weight", "bias")]
    assert list(state) == listed + ["raw_sigma"] * (kind in FEATURES)
    assert all(array.dtype == vae.dtype for array in state.values())
    layers = vae.named_layers()
    for i in range(n_encoder):
        np.testing.assert_array_equal(
            state[f"encoder.{2 * i}.weight"], layers[f"encoder.{i}"].weight
        )
    np.testing.assert_array_equal(state["log_var.weight"], vae.sampler.log_var.weight)
    np.testing.assert_array_equal(state["decoder.0.weight"], layers["decoder.0"].weight)
    if kind in FEATURES:
        assert state["raw_sigma"].shape == (FEATURES[kind],)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_takes_what_another_one_gives(kind: str) -> None:
    one, other = small_vae(**KINDS[kind]), small_vae(**KINDS[kind], seed=9)
    given = drawn(one)
    one.load_state_dict(given)
    assert_state(one, given)
    other.load_state_dict(OrderedDict(reversed(one.state_dict().items())))
    assert_same_parameters(other, parameters(one))
    if kind == "learned":
        sigma = 0.001 + np.exp(float(given["raw_sigma"][0]))
        assert other.sigma_value == pytest.approx(sigma, rel=1e-6)


def test_arrays_are_copies_both_ways() -> None:
    vae = small_vae()
    given = drawn(vae)
    vae.load_state_dict(given)
    expected = {name: array.copy() for name, array in given.items()}
    # Tensors that share memory are refused by safetensors of PyTorch.
    assert all(array.base is None for array in vae.state_dict().values())
    for arrays in (given, vae.state_dict()):
        for array in arrays.values():
            array += 1
    assert_state(vae, expected)


def test_only_parameters_are_set() -> None:
    vae = small_vae()
    vae.epochs, vae.updates, vae.card = 3, 7, {"name": "x"}
    vae.load_state_dict(drawn(vae))
    assert (vae.epochs, vae.updates, vae.card) == (3, 7, {"name": "x"})


def test_an_empty_model_says_so() -> None:
    for call in (VAE().state_dict, lambda: VAE().load_state_dict({})):
        with pytest.raises(ValueError, match="this VAE is empty"):
            call()


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4", np.longdouble, np.int8])
def test_arrays_of_other_types(dtype: Any) -> None:
    vae = small_vae()
    given = {name: (8 * array).astype(dtype)[...] for name, array in drawn(vae).items()}
    vae.load_state_dict(given)
    assert_state(vae, {name: array.astype(np.float32) for name, array in given.items()})


def test_lists_and_strided_arrays() -> None:
    vae = small_vae()
    given = drawn(vae)
    mixed: dict[str, Any] = {name: np.asfortranarray(array) for name, array in given.items()}
    mixed["mean.bias"] = given["mean.bias"].tolist()
    mixed["mean.weight"] = given["mean.weight"].T.copy().T
    vae.load_state_dict(mixed)
    assert_state(vae, given)


def bad(vae: VAE, **changes: Any) -> dict[str, Any]:
    """A state with changes; None takes an array away."""
    state: dict[str, Any] = drawn(vae, 5) | {k.replace("__", "."): v for k, v in changes.items()}
    return {name: array for name, array in state.items() if array is not None}


@pytest.mark.parametrize(
    ("changes", "error", "messages"),
    [
        ({"mean__bias": None}, ValueError, [r"missing mean.bias \(5,\)$"]),
        (
            {"fc.\x1b": 1, "fc": 2},
            ValueError,
            [r"unexpected 'fc.\\x1b', 'fc'; names=\{'fc.\\x1b': None\} leaves one out$"],
        ),
        (
            {"mean__bias": None, "other": 1, "log_var__bias": np.ones(4)},
            ValueError,
            ["missing mean.bias", "unexpected 'other'", "names={theirs: ours}", r"got \(4,\)"],
        ),
        (
            {"decoder__2__weight": np.ones((19, 37))},
            ValueError,
            [r"decoder.2.weight must have shape \(37, 19\); got \(19, 37\) \(transpose it"],
        ),
        ({"mean__bias": np.ones((5, 1))}, ValueError, [r"shape \(5,\); got \(5, 1\)$"]),
        ({"mean__bias": np.full(5, np.nan)}, ValueError, ["mean.bias must be finite"]),
        ({"mean__bias": [0, 1, 2, np.inf, 4]}, ValueError, ["mean.bias must be finite"]),
        ({"mean__bias": np.full(5, 1e300)}, ValueError, ["mean.bias"]),
        ({"mean__bias": list("abcde")}, TypeError, ["mean.bias must be an array of real numbers"]),
        ({"mean__bias": np.ones(5) * 1j}, TypeError, ["mean.bias .* complex128"]),
        (
            {"mean__bias": None, "log_var__bias": list("abcde")},
            ValueError,
            ["missing", "holds 'a'"],
        ),
        ({"mean__bias": [[1], [2, 3]]}, ValueError, ["mean.bias"]),
    ],
)  # fmt: skip
def test_all_that_does_not_fit_is_in_one_error(
    changes: dict[str, Any], error: type[Exception], messages: list[str]
) -> None:
    vae = small_vae()
    before = parameters(vae)
    for message in messages:
        with pytest.raises(error, match=message):
            vae.load_state_dict(bad(vae, **changes))
    assert_same_parameters(vae, before)


def test_what_is_no_mapping() -> None:
    vae = small_vae()
    with pytest.raises(TypeError, match=r"got <VAE .*; give its state_dict\(\)"):
        vae.load_state_dict(vae)  # type: ignore[arg-type]
    for given in (None, 7, [("mean.bias", 1)]):
        with pytest.raises(TypeError, match="a mapping of arrays or the path of a safetensors"):
            vae.load_state_dict(given)  # type: ignore[arg-type]


def test_a_map_of_names() -> None:
    vae = small_vae()
    given = drawn(vae)
    theirs = {f"module.{name}" if "bias" in name else name: a for name, a in given.items()}
    theirs["epoch"] = np.ones(3)
    names: dict[str, str | None] = {their: their.removeprefix("module.") for their in theirs}
    del names["mean.weight"]  # stays as it is
    with pytest.raises(ValueError, match=r"unexpected 'epoch'; names=\{'epoch': None\}"):
        vae.load_state_dict(theirs, names)
    names["epoch"] = None
    vae.load_state_dict(theirs, names=names)
    assert_state(vae, given)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "it's ", "m"])
def test_what_names_have_before_them_is_found(prefix: str, tmp_path: Path) -> None:
    vae, other = small_vae(), small_vae(seed=4)
    given = drawn(vae)
    theirs = {prefix + name: array for name, array in given.items()} | {"step": np.ones(1)}
    save_file(theirs, tmp_path / "a.safetensors")
    for source in (theirs, tmp_path / "a.safetensors"):
        with pytest.raises(ValueError, match="they are there after") as error:
            other.load_state_dict(source)
        advice = re.search(r"names=(\{.*\})", str(error.value))
        assert advice is not None
        names = eval(advice[1], {"vae": vae})
        with pytest.raises(ValueError, match=r"unexpected 'step'; names=\{'step': None\} leaves"):
            other.load_state_dict(source, names)
        other.load_state_dict(source, names | {"step": None})
        assert_state(other, given)


def test_no_names_are_advised_that_would_not_do() -> None:
    vae = small_vae()
    given = drawn(vae)
    first, *others = given
    incomplete = {f"module.{name}": given[name] for name in others}
    too_long = {"m" * 100 + name: array for name, array in given.items()}
    numbered = dict(enumerate(given.values()))
    renamed = {f"a.{name}": array for name, array in given.items()}
    for mapping, names in (
        (incomplete | {f"model.{first}": given[first]}, None),
        (too_long, None),
        (numbered, None),
        (renamed, {f"a.{name}": f"b.{name}" for name in given}),
    ):
        with pytest.raises(ValueError, match=r"names=\{theirs: ours\} says which"):
            vae.load_state_dict(mapping, names)  # type: ignore[arg-type]


def test_a_mapping_in_a_checkpoint_is_pointed_to() -> None:
    vae = small_vae()
    given = drawn(vae)
    with pytest.raises(ValueError, match="; 'model' holds a mapping: give that$"):
        vae.load_state_dict({"optimizer": {"state": {}}, "model": OrderedDict(given), "epoch": 3})
    with pytest.raises(ValueError, match=r"unexpected 'optimizer'; .* leaves one out$"):
        vae.load_state_dict(given | {"optimizer": {"state": {}}})


def test_maps_of_names_that_are_wrong() -> None:
    vae = small_vae()
    given, before = drawn(vae), parameters(vae)
    twice = given | {"other": given["mean.bias"]}
    for mapping, names, message in (
        (given, {"fc": "mean.bias"}, "names holds 'fc', which is not there"),
        (twice, {"other": "mean.bias"}, "'mean.bias' and 'other' both stand for 'mean.bias'"),
        (given, {"mean.bias": "means.bias"}, "unexpected 'mean.bias' as 'means.bias'"),
        (given, {"mean.bias": None}, r"missing mean.bias \(5,\)"),
        (
            {"a": given["mean.weight"].T} | given,
            {"a": "mean.weight", "mean.weight": None},
            r"'a': mean.weight must have shape \(5, 19\)",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            vae.load_state_dict(mapping, names)
    for wrong in ([("a", "b")], {"mean.bias": 7}, {"mean.bias": ["b"]}, "mean"):
        with pytest.raises(TypeError, match="names must"):
            vae.load_state_dict(given, wrong)  # type: ignore[arg-type]
    assert_same_parameters(vae, before)


def test_arrays_of_a_file_of_numpy(tmp_path: Path) -> None:
    vae = small_vae()
    given = drawn(vae)
    np.savez(tmp_path / "a.npz", **given)  # type: ignore[arg-type]
    with np.load(tmp_path / "a.npz") as arrays:
        vae.load_state_dict(arrays)
    assert_state(vae, given)


def test_other_threads_see_all_old_or_all_new() -> None:
    vae = small_vae(hidden=(200, 200))
    states = [drawn(vae, seed) for seed in (1, 2)]
    vae.load_state_dict(states[0])
    seen: list[dict[str, np.ndarray]] = []
    is_over = threading.Event()

    def look() -> None:
        while not is_over.is_set():
            seen.append(vae.state_dict())

    with ThreadPoolExecutor() as pool:
        looking = pool.submit(look)
        for i in range(50):
            vae.load_state_dict(states[i % 2])
        is_over.set()
        looking.result()
    assert seen
    for found in seen:
        first = int(not np.array_equal(found["mean.bias"], states[0]["mean.bias"]))
        for name, array in found.items():
            np.testing.assert_array_equal(array, states[first][name], err_msg=name)


class Loading(Callback):
    """Loads parameters at the end of an epoch."""

    def __init__(self, state: Mapping[str, Any], epoch: int) -> None:
        self.state, self.epoch = state, epoch

    def on_epoch_end(self, vae: VAE, epoch: int, figures: Mapping[str, float]) -> None:
        if epoch == self.epoch:
            vae.load_state_dict(self.state)


def test_a_callback_may_load() -> None:
    vae, by_hand = small_vae(), small_vae()
    given = drawn(vae)
    vae.fit(SMALL_ROWS, epochs=2, batch_size=4, callbacks=[Loading(given, 1)], verbose=False)

    def assign(model: VAE, epoch: int, _: Any) -> None:
        if epoch == 1:
            layers = [*model.encoder, model.sampler.mean, model.sampler.log_var, *model.decoder]
            for layer, (weight, bias) in zip(
                layers, zip(*[iter(given.values())] * 2, strict=True), strict=True
            ):
                layer.weight, layer.bias = weight, bias

    by_hand.fit(SMALL_ROWS, epochs=2, batch_size=4, callbacks=[assign], verbose=False)
    assert_same_parameters(vae, parameters(by_hand))
    vae.fit(SMALL_ROWS, epochs=1, batch_size=4, callbacks=[Loading(given, 1)], verbose=False)
    assert_state(vae, given)


# --- files -----------------------------------------------------------------------------------


def write(path: Path, tensors: Mapping[str, tuple[str, tuple[int, ...], bytes]]) -> Path:
    """A safetensors file of tensors given as type, shape and bytes."""
    header, data = {}, b""
    for name, (dtype, shape, content) in tensors.items():
        place = [len(data), len(data) + len(content)]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": place}
        data += content
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_a_file_is_read_by_its_path(tmp_path: Path) -> None:
    vae = small_vae()
    given = drawn(vae)
    path = tmp_path / "weights.safetensors"
    save_file(given, path)
    vae.load_state_dict(path)
    assert_state(vae, given)
    save_file({f"net.{name}": array.astype(np.float16) for name, array in given.items()}, path)
    other = small_vae(seed=4)
    other.load_state_dict(str(path), {f"net.{name}": name for name in given})
    assert_state(other, {name: array.astype(np.float16) for name, array in given.items()})


def test_bfloat16_in_files_is_the_upper_half_of_float32(tmp_path: Path) -> None:
    vae = small_vae()
    bits = {name: array.view(np.uint32) >> 16 for name, array in drawn(vae).items()}
    path = write(
        tmp_path / "a.safetensors",
        {name: ("BF16", b.shape, b.astype("<u2").tobytes()) for name, b in bits.items()},
    )
    vae.load_state_dict(path)
    assert_state(vae, {name: (b << 16).view(np.float32) for name, b in bits.items()})


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    vae = small_vae()
    given, before = drawn(vae), parameters(vae)
    path = tmp_path / "weights.safetensors"
    infinite = given | {"mean.bias": np.full(5, np.inf, np.float32)}
    transposed = given | {"mean.weight": given["mean.weight"].T.copy()}
    for state, message in (
        (infinite, r"weights.safetensors: .* mean.bias must be finite"),
        (transposed, r"weights.safetensors: .* got \(19, 5\) \(transpose it"),
        ({"fc.weight": given["mean.weight"]}, "missing encoder.0.weight .* unexpected 'fc.weight'"),
        (given | {"more": np.ones(9)}, "unexpected 'more'"),
    ):
        save_file(state, path)
        with pytest.raises(ValueError, match=message):
            vae.load_state_dict(path)
    raw = {name: ("F32", a.shape, a.tobytes()) for name, a in given.items()}
    write(path, raw | {"mean.bias": ("F8_E4M3", (5,), bytes(5))})
    with pytest.raises(ValueError, match="model: mean.bias: a tensor .* NumPy; got 'F8_E4M3'"):
        vae.load_state_dict(path)
    write(path, raw | {"mean.bias": ("BF16", (5,), bytes(9))})
    with pytest.raises(ValueError, match="not a valid safetensors file: the entry of the tensor"):
        vae.load_state_dict(path)
    vae.save(path)
    with pytest.raises(ValueError, match="; fastvae.load reads it"):
        vae.load_state_dict(path)
    assert_same_parameters(vae, before)


def test_what_the_model_does_not_need_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vae = small_vae()
    given = drawn(vae)
    path = tmp_path / "weights.safetensors"
    save_file(given | {"optimizer": np.ones(1000)}, path)
    read: list[tuple[int, ...]] = []
    original = tensors.read_tensor

    def noted(file: Any, tensor: tensors.Tensor) -> np.ndarray:
        read.append(tensor.shape)
        return original(file, tensor)

    monkeypatch.setattr(tensors, "read_tensor", noted)
    vae.load_state_dict(path, {"optimizer": None})
    assert (1000,) not in read
    assert len(read) == len(given)
    save_file(given | {"mean.bias": np.ones(1000)}, path)
    with pytest.raises(ValueError, match=r"got \(1000,\)"):
        vae.load_state_dict(path)
    assert (1000,) not in read


def zipped(member: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(member, bytes(100))
    return content.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pt", zipped("archive/data.pkl"), "a PyTorch file .*safetensors.torch.save_file"),
        ("weights", zipped("a/data.pkl"), "a PyTorch file .*safetensors.torch.save_file"),
        ("a.pth", b"\x80\x02}q\x00." + bytes(99), "a pickle .*safetensors.torch.save_file"),
        ("a.PT", b"\x07" * 99, "safetensors.torch.save_file"),
        ("a.npz", zipped("mean.bias.npy"), r"numpy.load\(path\) gives a mapping"),
        ("a.h5", b"\x89HDF\r\n\x1a\n" + bytes(99), "load it in Keras"),
        ("a.keras", zipped("metadata.json"), "load it in Keras"),
        ("a.safetensors", b"", "an empty file"),
        ("a.safetensors", b"version https://git-lfs.github.com", "a pointer of Git LFS"),
    ],
)
def test_other_files_are_told(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} is not a valid safetensors file: .*{message}"):
        small_vae().load_state_dict(path)


def test_files_that_are_none(tmp_path: Path) -> None:
    vae = small_vae()
    with pytest.raises(FileNotFoundError):
        vae.load_state_dict(tmp_path / "none.safetensors")
    with pytest.raises(IsADirectoryError):
        vae.load_state_dict(tmp_path)


# --- PyTorch and JAX -----------------------------------------------------------------------


def torch_module(torch: Any, vae: VAE) -> Any:
    """A module as docs/exchange.md has it, of the sizes of a model."""
    nn = torch.nn

    def sequential(layers: Any) -> Any:
        return nn.Sequential(
            *[m for layer in layers for m in (nn.Linear(layer.n_in, layer.n_out), nn.ReLU())]
        )

    class Module(nn.Module):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.encoder = sequential(vae.encoder)
            self.mean = nn.Linear(vae.sampler.n_in, vae.n_latent)
            self.log_var = nn.Linear(vae.sampler.n_in, vae.n_latent)
            self.decoder = sequential(vae.decoder)
            if vae.network.n_raws:
                self.raw_sigma = nn.Parameter(torch.zeros(vae.network.n_raws))

    return Module().to(torch.float64 if vae.dtype == "float64" else torch.float32)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "mixed"])
def test_a_module_of_pytorch_takes_and_gives(kind: str) -> None:
    torch = pytest.importorskip("torch")
    vae = small_vae(**KINDS[kind])
    module = torch_module(torch, vae)
    given = drawn(vae)
    vae.load_state_dict(given)
    tensors = {name: torch.from_numpy(array) for name, array in vae.state_dict().items()}
    module.load_state_dict(tensors, strict=True)
    other = small_vae(**KINDS[kind], seed=8)
    other.load_state_dict(module.state_dict())
    assert_state(other, given)
    vae.load_state_dict(dict(module.named_parameters()))  # which require gradients
    assert_state(vae, given)
    rows = torch.rand(4, 37, dtype=module.mean.weight.dtype)
    mean = module.mean(module.encoder(rows)).detach().numpy()
    np.testing.assert_allclose(vae.encode(rows)[0], mean, rtol=1e-4, atol=1e-5)


def test_tensors_of_pytorch_of_every_kind(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    vae = small_vae()
    given = {name: torch.from_numpy(array) for name, array in drawn(vae).items()}
    for half in (torch.bfloat16, torch.float16):
        halves = {name: tensor.to(half).requires_grad_() for name, tensor in given.items()}
        vae.load_state_dict(halves)
        assert_state(vae, {name: t.detach().float().numpy() for name, t in halves.items()})
        path = tmp_path / "half.safetensors"
        other = small_vae(seed=9)
        pytest.importorskip("safetensors.torch").save_file(halves, path)
        other.load_state_dict(path)
        assert_same_parameters(other, parameters(vae))
    before = parameters(vae)
    for tensor, message in (
        (given["mean.bias"].to("meta"), r"mean.bias .* on the device meta \(call .cpu"),
        (given["mean.bias"].to(torch.float8_e4m3fn), r"float8_e4m3fn \(call .float"),
        (given["mean.bias"].to_sparse(), r"call .to_dense"),
    ):
        with pytest.raises(TypeError, match=message):
            vae.load_state_dict(given | {"mean.bias": tensor})
    with pytest.raises(TypeError, match=r"give its state_dict\(\)"):
        vae.load_state_dict(torch_module(torch, vae))
    torch.save(given, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"it is a PyTorch file .*safetensors.torch.save_file"):
        vae.load_state_dict(tmp_path / "a.pt")
    torch.save(given, tmp_path / "b", _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match=r"pickle .*safetensors.torch.save_file"):
        vae.load_state_dict(tmp_path / "b")
    assert_same_parameters(vae, before)


def test_arrays_of_bfloat16_as_jax_has_them() -> None:
    types = pytest.importorskip("ml_dtypes")
    vae = small_vae()
    given = {name: array.astype(types.bfloat16) for name, array in drawn(vae).items()}
    vae.load_state_dict(given)
    assert_state(vae, {name: array.astype(np.float32) for name, array in given.items()})
    with pytest.raises(TypeError, match="mean.bias must be an array of real numbers"):
        vae.load_state_dict(given | {"mean.bias": given["mean.bias"].astype(types.float8_e4m3fn)})
