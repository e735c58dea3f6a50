"""``fastvae card``: a README.md as the Hugging Face Hub reads it, of what is known and no more."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_checks import small_vae

import fastvae
from fastvae import VAE
from fastvae.commands import model_card
from fastvae.commands.cli import main

EVIL = [
    'x"\n---\nlicense: evil\n---\n# Evil',
    "</code><script>alert(1)</script><!-- ",
    "``` ` ```\n```bash\nevil\n```",
    "a|b\\|c",
    "[x](http://evil.example) http://evil.example www.evil.example",
    "\x1b[31m\u202egnp\u2028.x\0\ud800",
    "![i](x) **b** __b__ $$x$$ &lt; :smile: ~~s~~",
    "- a\n# b\n> c",
    "'\\\"",
    "\u00e4\u2211\U0001f600" * 3,
    "`",
    " " * 5,
    "no",
]


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def of(*arguments: str) -> str:
    """The card that a command writes."""
    assert main(["card", *arguments, "--output", "card.md", "--force"]) == 0
    return Path("card.md").read_text(encoding="utf-8")


def split(text: str) -> tuple[str, str]:
    """Front matter and the rest."""
    match = re.fullmatch(r"---\n(.*?\n)---\n\n(.*)", text, re.DOTALL)
    assert match is not None
    return match[1], match[2]


def front_matter(text: str) -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    found: dict[str, Any] = yaml.safe_load(split(text)[0])
    return found


def saved(card: dict[str, Any] | None = None, **settings: Any) -> VAE:
    vae = small_vae(**settings)
    vae.card = card or {}
    vae.save("model.safetensors")
    return vae


@pytest.mark.parametrize("name", fastvae.pretrained())
def test_the_models_that_come_with_the_package(name: str) -> None:
    text = of(name)
    test = fastvae.load(name).card["test"]
    assert f"\n# {name.replace('_', chr(92) + '_')}\n" in text
    assert f'fastvae.load("{name}")' in text
    assert f"\n{model_card.INSTALL}\n" in text
    assert f"| {test['elbo']:.6g} |" in text
    assert "no probability of the data" in text
    assert "license" not in text
    found = front_matter(text)
    assert found["library_name"] == "fastvae"
    assert "variational-autoencoder" in found["tags"]
    (entry,) = found["model-index"]
    (result,) = entry["results"]
    assert entry["name"] == name
    assert result["dataset"]["name"] == fastvae.load(name).card["dataset"]
    assert result["dataset"]["split"] == "test"
    metrics = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert metrics["kl"] == pytest.approx(test["kl"], rel=1e-5)
    assert metrics["active_units"] == test["active_units"]


def test_what_is_not_known_is_not_written() -> None:
    saved()
    text = of("model.safetensors")
    assert front_matter(text).keys() == {"library_name", "tags"}
    assert "How long is not recorded" in text
    assert "\nNone are recorded.\n" in text
    assert "no probability" not in text
    for word in ("licen", "None\n", "null", "nan", "mnist"):
        assert word not in text, word


def test_what_the_card_says() -> None:
    saved(
        {
            "license": "MIT", "tags": ["digits", "vae", 7],
            "datasets": ["ylecun/mnist", "/root/x y"], "description": "Digits. 2 latents.",
            "name": "My model", "learning_rate": 1e-05, "dataset": "/home/me/private/rows.npz",
            "hidden": [3, 4], "note": None,
        }
    )  # fmt: skip
    text = of("model.safetensors")
    found = front_matter(text)
    assert found["license"] == "mit"
    assert found["tags"] == ["variational-autoencoder", "vae", "safetensors", "digits"]
    assert found["datasets"] == ["ylecun/mnist"]
    assert "\n# My model\n\nDigits. 2 latents.\n" in text
    assert "- licence: `MIT`" in text
    assert "- `hidden`: `[3, 4]`" in text
    assert "- `dataset`: `rows.npz`" in text
    assert "private" not in text
    assert "note" not in text


@pytest.mark.filterwarnings("default:left out:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:.*effective sample size:UserWarning")
def test_figures_of_a_run_folder(capsys: pytest.CaptureFixture[str]) -> None:
    rows = (np.random.default_rng(0).random((130, 16)) * 255).astype(np.uint8)
    np.savez("images.npz", train=rows[:100], test=rows[100:])
    run = ["train", "--dataset", "images.npz", "--output", "run", "--hidden", "8", "--latent", "2"]
    assert main([*run, "--epochs", "1", "--no-pictures", "--quiet", "--binarize", "dynamic"]) == 0
    test = json.loads(Path("run/test.json").read_text(encoding="utf-8"))
    text = of("run")
    assert f"| {test['elbo']:.6g} |" in text
    assert "Of 30 test rows of `images.npz`." in text
    assert "Data variant dynamic: values drawn as 0 or 1" in text
    assert "no probability" not in text
    assert "log p(x), nats" not in text
    assert "- `batch_size`: `128`" in text
    assert "1 epoch, 1 update of the weights" in text
    assert "# run\n" in text
    assert 'fastvae.load("model.safetensors")' in text
    evaluate = ["evaluate", "run", "--dataset", "images.npz", "--binarize", "dynamic"]
    evaluate += ["--nll", "200", "--output"]
    assert main([*evaluate, "run/evaluation.json"]) == 0
    found = json.loads(Path("run/evaluation.json").read_text(encoding="utf-8"))
    text = of("run/model.safetensors")
    assert f"| {found['log_likelihood']['value']:.6g} | estimated by importance sampling" in text
    assert "; 200 samples a row; standard error 0." in text
    metrics = front_matter(text)["model-index"][0]["results"][0]["metrics"]
    assert "log_likelihood" in [metric["type"] for metric in metrics]
    # More training: the old evaluation is not of this model.
    vae = fastvae.load("run")
    vae.fit(rows[:100], epochs=1, verbose=False)
    vae.save("run/model.safetensors")
    capsys.readouterr()
    assert "log p(x), nats" not in of("run")
    assert "its updates must be 2, as the model's" in capsys.readouterr().err
    vae.save("other")
    assert main(["card", "other", "--evaluation", "run/evaluation.json", "--output", "-"]) == 1
    assert "run/evaluation.json is not a valid evaluation of this" in capsys.readouterr().err
    assert main(["evaluate", "other", *evaluate[2:], "e.json"]) == 0
    assert "log p(x), nats" in of("other", "--evaluation", "e.json")
    assert main(["card", "other", "--evaluation", "none.json", "--force"]) == 1


@pytest.mark.filterwarnings("default:left out:RuntimeWarning")
def test_damaged_files_of_a_run_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    Path("run").mkdir()
    small_vae().save("run/model.safetensors")
    for name in ("settings.json", "test.json", "evaluation.json"):
        for content in ("{", "[1]", '{"a": NaN}'):
            Path("run", name).write_text(content, encoding="utf-8")
            expected = 0 if name == "evaluation.json" else 1
            assert main(["card", "run", "--output", "-"]) == expected
            assert f"run/{name} is not a valid file of settings" in capsys.readouterr().err
        Path("run", name).unlink()


def test_folders_of_the_seed() -> None:
    vae = small_vae()
    vae.save("folder", format="seed")
    text = of("folder")
    assert "\n# folder\n" in text
    assert 'fastvae.load("folder")' in text


@pytest.mark.parametrize("likelihood", ["gaussian", "poisson", "mixed", "continuous_bernoulli"])
def test_other_likelihoods(likelihood: str) -> None:
    settings: dict[str, Any] = {"likelihood": likelihood}
    if likelihood == "mixed":
        settings["blocks"] = [("gaussian", 30), ("categorical", 7)]
    if likelihood in ("gaussian", "mixed"):
        settings["sigma"] = "feature"
    saved({"test": {"elbo": -1.5}}, **settings)
    text = of("model.safetensors")
    assert ("is a density" in text) == (likelihood != "poisson")
    assert ("- sigma: 1" in text) == ("sigma" in settings)
    assert "Bernoulli likelihood gives" not in text


def test_a_file_is_replaced_only_by_force(capsys: pytest.CaptureFixture[str]) -> None:
    saved()
    assert main(["card", "model.safetensors"]) == 0
    assert capsys.readouterr().out == "written to README.md\n"
    Path("README.md").write_text("mine", encoding="utf-8")
    assert main(["card", "model.safetensors"]) == 1
    assert "README.md exists: --force replaces it" in capsys.readouterr().err
    assert Path("README.md").read_text(encoding="utf-8") == "mine"
    assert main(["card", "model.safetensors", "--force"]) == 0
    assert Path("README.md").read_text(encoding="utf-8").startswith("---\n")
    for place in (".", "none/README.md"):
        assert main(["card", "model.safetensors", "--output", place]) == 1


def test_the_card_is_printed_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["card", "--output", "-"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("---\n")
    assert printed.out == of("mnist_variational_autoencoder")
    assert printed.err == "fastvae: model: mnist_variational_autoencoder\n"
    assert not Path("-").exists()


@pytest.mark.parametrize("evil", EVIL)
def test_texts_of_strangers_stay_texts(evil: str) -> None:
    """Names, values and figures of a model file are in one line, quoted, whatever they hold."""
    keys = ("license", "description", "dataset", "variant", "optimizer", evil)
    card: dict[str, Any] = dict.fromkeys(keys, evil)
    card |= {"name": evil, "tags": [evil, evil], "datasets": [evil], "nested": {evil: [evil]}}
    card["test"] = {"elbo": -1.5, "kl": evil, "n_rows": [evil], "variant": evil, "n_latent": 1e308}
    saved(card)
    text = of("model.safetensors")
    assert all(line.isprintable() for line in text.splitlines())
    assert len(text.splitlines()) == len(text.split("\n")) - 1
    found = front_matter(text)
    assert found.keys() <= {"library_name", "license", "tags", "datasets", "model-index"}
    shown = model_card.printable(" ".join(evil.split()))
    assert found["tags"][3:] == ([shown] if shown else [])
    assert ("model-index" in found) == bool(shown)  # without a name of the data there is none
    if shown:
        (entry,) = found["model-index"]
        assert entry["name"] == shown
        assert [metric["type"] for metric in entry["results"][0]["metrics"]] == ["elbo"]
    body = re.sub(r"^```.*?^```$", "", split(text)[1], flags=re.MULTILINE | re.DOTALL)
    lines = body.splitlines()
    assert [line for line in lines if line.startswith("#")][1:] == [
        "## How it was trained", "## Figures", "## How to use it", "## Limits"
    ]  # fmt: skip
    ours = "[fastvae](https://github.com/fastvae/fastvae)"
    plain = re.sub(r"\\.|(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", body.replace(ours, ""))
    assert not re.search(r"[<\[`*]|http:|www\.|\$", plain), plain


def test_figures_that_are_none() -> None:
    for test in ([1], "x", {"elbo": True}, {"elbo": 10**400}, {"elbo": {"elbo": "1"}}, None, {}):
        saved({"test": test, "dataset": "mnist"})
        assert "None are recorded." in of("model.safetensors")
    saved({"test": {"elbo": -1e-7, "kl": 1e14, "active_units": 3}, "dataset": "mnist"})
    text = of("model.safetensors")
    metrics = front_matter(text)["model-index"][0]["results"][0]["metrics"]
    assert [metric["value"] for metric in metrics] == [-1e-7, 1e14, 3]


def test_long_cards_are_cut() -> None:
    saved({f"key{i}": "x" * 10_000 for i in range(300)})
    text = of("model.safetensors")
    assert "- and 240 more entries" in text
    assert len(text) < 20_000
