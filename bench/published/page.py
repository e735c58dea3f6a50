"""docs/published.md, and the README's table, from the recorded runs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.published import kingma2013, numpy_vae, pytorch_vae
from bench.published.records import RESULTS, ROOT, read_all
from bench.published.settings import Deviation
from bench.published.settings import burda2015 as burda_settings
from bench.published.settings import kingma2013 as kingma_settings
from bench.published.settings import numpy_vae as numpy_settings
from bench.published.settings import pytorch_vae as pytorch_settings
from bench.report import table

PAGE = ROOT / "docs" / "published.md"
README = ROOT / "README.md"
BETWEEN = "none of this stage"
"""In place of a published figure, after the passes of the everyday check."""
START, END = "<!-- published:start -->", "<!-- published:end -->"
OURS = "as fastvae starts"
Records = dict[str, dict[str, Any]]

INTRODUCTION = """# Published tables, trained again

<!-- Written by `python -m bench.published page` from `bench/published/results/`; do not edit. -->

Each table or figure is one command. What it is trained with stands in one file of
`bench/published/settings/`, with all that differs from the paper and from its authors' code.

```bash
python -m bench.published pytorch_vae            # minutes each
python -m bench.published kingma2013
python -m bench.published numpy_vae
python -m bench.published burda2015 --k 1 --passes 364   # half an hour; k = 5 and 50: longer
python -m bench.published burda2015 --k 1        # all 3280 passes; stop and start it at will
python -m bench.published pytorch_vae --quick    # a trial of a minute on drawn digits
```

A run is the same to the bit wherever it was stopped and however many threads it had. Its seconds
are those of the machine that is named, which was at work on other things too, or paused: see the
load average (of the last 15 minutes). Machine, threads and versions are those of its last part, the
evaluation; a long training may have had others."""


def text(records: Records) -> str:
    """Return the page."""
    sections = [burda_section(records)]
    for name, section in (
        (pytorch_vae.NAME, pytorch_section),
        (kingma2013.NAME, kingma_section),
        (numpy_vae.NAME, numpy_section),
    ):
        if name in records:
            sections.append(section(records[name]))
    return "\n\n".join([INTRODUCTION, *sections]) + "\n"


def readme_text(records: Records) -> str:
    """Return what stands between the README's markers."""
    lines = [
        [
            f"Burda et al. 2015, table 1: {'VAE' if k == 1 else 'IWAE'}, k = {k}, {passes} passes",
            f"{burda_settings.PUBLISHED[k][0]:.2f}" if passes == burda_settings.FULL else BETWEEN,
            f"{_nll(record):.2f}",
        ]
        for k, passes, record in _burda_runs(records)
    ]
    if pytorch_vae.NAME in records:
        lines += [
            [
                f"pytorch/examples `vae`, test -ELBO of grey pixels, {start}",
                f"{pytorch_settings.PUBLISHED:.1f}",
                f"{_mean_of(records[pytorch_vae.NAME], title):.2f}",
            ]
            for title, start in (
                (OURS, "started as fastvae does"),
                ("all as in the example", "started as the example does"),
            )
        ]
    head = ["table, nats per test image", "published", "here"]
    return "\n\n".join(
        [
            table(head, lines),
            "Each is one command; what differs from the papers, pictures and more tables: "
            "[docs/published.md](docs/published.md).",
        ]
    )


def burda_section(records: Records) -> str:
    """Return table 1 of Burda et al., as far as it was run."""
    lines = []
    for k, passes, record in _burda_runs(records):
        figures = record["figures"]
        full = passes == burda_settings.FULL
        nll, active = burda_settings.PUBLISHED[k]
        each = ", ".join(f"{one['nll']:.2f}" for one in figures["nll"].values())
        few = max(one["rows_with_few_effective_samples"] for one in figures["nll"].values())
        lines.append(
            [
                "VAE, k = 1" if k == 1 else f"IWAE, k = {k}",
                f"{passes:,}",
                f"{_nll(record):.2f} ({each})",
                f"{nll:.2f}" if full else BETWEEN,
                str(figures["active_units"]),
                str(active) if full else BETWEEN,
                f"{figures['minus_elbo']:.2f}",
                str(few),
                f"{record['seconds'] / 3600:.1f} h",
            ]
        )
    head = [
        *("model", "passes", "test NLL (each binarisation)", "published", "active units"),
        *("published", "test -ELBO", "ess < 100", "training"),
    ]
    runs = [record for _, _, record in _burda_runs(records)]
    return _section(
        "Burda, Grosse & Salakhutdinov 2015, table 1, one stochastic layer",
        burda_settings.SOURCE,
        "784-200-200-50-200-200-784, tanh, MNIST binarised anew at each visit, batches of 20. "
        "Stage i, i = 0 to 7, has 3^i passes at the rate 0.001 * 10^(-i / 7): 3280 passes. The "
        "364 passes of stages 0 to 5 are the beginning of the same run, and the everyday check; "
        "nothing is published of them. NLL: nats per test image, 5,000 importance samples a row, "
        "the mean of three binarisations. Rows of the 10,000 whose effective sample size (ess) is "
        "below 100 make it too high, if anything. Why k = 1 is half a nat better than published "
        "was not examined; all that is known to differ stands below. What is not in the table "
        "was not run to its end.",
        table(head, lines) if lines else "No run has come to its end yet.",
        burda_settings.DEVIATIONS,
        runs,
    )


def _burda_runs(records: Records) -> list[tuple[int, int, dict[str, Any]]]:
    """k, passes and record of all runs that are complete, by k and then by passes."""
    found = []
    for name, record in records.items():
        settings = record["settings"]
        is_whole = name.startswith("burda2015-") and len(record["figures"]["nll"]) == len(
            settings["nll_seeds"]
        )
        if is_whole and settings["k"] in burda_settings.PUBLISHED:
            found.append((settings["k"], settings["passes"], record))
    return sorted(found, key=lambda run: run[:2])


def _nll(record: dict[str, Any]) -> float:
    """The mean over the binarisations of the test rows."""
    return statistics.fmean(one["nll"] for one in record["figures"]["nll"].values())


def pytorch_section(record: dict[str, Any]) -> str:
    """Return the figures of PyTorch's example, by what of its start is taken over."""
    lines = []
    for title, figures in record["figures"].items():
        found = figures["minus_elbo"]
        spread = f"{min(found):.2f} to {max(found):.2f}"
        lines.append([title, f"{statistics.fmean(found):.2f}", spread, f"{figures['seconds']:.0f}"])
    n_seeds = len(record["settings"]["seeds"])
    half_nat = _mean_of(record, "output bias as in the example") - _mean_of(record, OURS)
    head = ["start", "test -ELBO, nats", f"of {n_seeds} seeds", "seconds of a training"]
    return _section(
        "pytorch/examples, `vae`",
        pytorch_settings.SOURCE,
        "784-400-20-400-784, ReLU, grey pixels as they are (so these nats are no probability of "
        "the data), Adam 1e-3, batches of 128, ten passes. Published: "
        f"{pytorch_settings.PUBLISHED} (two public logs: 105.56 and 105.59). Each line takes one "
        "thing, or several, over from the example; all else is fastvae's.\n\n"
        "What fastvae gains is its output bias, which starts at the logit of each pixel's training "
        f"mean: without it the test figure is {half_nat:.2f} nats more. Starting weights, the "
        "other biases and Adam's epsilon make no difference that is larger than that of seeds.",
        table(head, lines),
        pytorch_settings.DEVIATIONS,
        [record],
    )


def _mean_of(record: dict[str, Any], start: str) -> float:
    return statistics.fmean(record["figures"][start]["minus_elbo"])


def kingma_section(record: dict[str, Any]) -> str:
    """Return both pictures of Kingma & Welling, and the figures of their models."""
    lines = [
        [
            n_latent,
            f"{figures['minus_elbo']:.2f}",
            f"{figures['reconstruction']:.2f}",
            f"{figures['kl']:.2f}",
            f"{figures['train_minus_elbo']:.2f}",
            f"{figures['seconds']:.0f}",
        ]
        for n_latent, figures in record["figures"].items()
    ]
    head = [
        *("latents", "test -ELBO", "reconstruction", "KL"),
        *("training -ELBO, last pass", "seconds of the training"),
    ]
    folder = PAGE.parent / "published"
    return _section(
        "Kingma & Welling 2013, figures 4 and 5",
        kingma_settings.SOURCE,
        "784-500-Z-500-784, tanh, batches of 100. The paper prints no figures for these pictures, "
        "and its code is not published; our figures are nats of grey pixels.\n\n"
        f"![The decoded grid of two latents]({folder.name}/{kingma2013.MANIFOLD})\n\n"
        f"![Samples of models with 2, 5, 10 and 20 latents]({folder.name}/{kingma2013.SAMPLES})",
        table(head, lines),
        kingma_settings.DEVIATIONS,
        [record],
    )


def numpy_section(record: dict[str, Any]) -> str:
    """Return the curves of the NumPy system beside ours."""
    lines = []
    for name, runs in record["figures"].items():
        cells = [name]
        for key, digits in (("squared_error", 4), ("kl_per_latent", 3), ("sigma", 2)):
            cells.append(", ".join(f"{one[key][-1]:.{digits}f}" for one in runs))
        lines.append(cells)
    head = [
        *("after two passes, each seed", "squared error of a pixel", "KL of a latent, nats"),
        "mean sigma",
    ]
    return _section(
        "The NumPy system that the seed cites",
        numpy_settings.SOURCE,
        "784-512-32-512-784, ReLU, RMSprop 1e-3 with decay 0.9, batches of 64, two passes. Per row "
        "its gradients are those of ||x - x_hat||^2 + KL / 32: the squared error summed over the "
        "pixels, the KL averaged over the latents. (What it prints is the mean over the pixels, "
        '784 times less.) In fastvae this is `VAE.from_sizes(784, 512, 32, likelihood="gaussian", '
        'output_activation="identity", reconstruction_weight=1, beta=1 / 32)` with '
        "`RMSprop(decay=0.9, eps=1e-7)`: the very same objective, so that epsilon meets the same "
        "gradients; any other multiple of it would differ by epsilon alone.\n\n"
        "Its encoder runs a second time before its backward pass and draws new noise, which meets "
        "the gradient that the decoder sent for the first. The mean of that product is 0: nothing "
        "but the KL moves log_var, sigma stays near 1, and the means spread instead, at some 100 "
        "nats an image. The notebook's own log ends near a squared error of 0.02 and a KL of 3.1 "
        "for each latent, as this loss, written anew in NumPy, does here. With the draw's own "
        "noise, it and fastvae go the same way.\n\n"
        f"![Squared error, KL and sigma of all three](published/{numpy_vae.PICTURE})",
        table(head, lines),
        numpy_settings.DEVIATIONS,
        [record],
    )


def _section(
    title: str,
    source: str,
    explanation: str,
    figures: str,
    deviations: Sequence[Deviation],
    records: Sequence[dict[str, Any]],
) -> str:
    """One table with its source, what differs from it, and where and when it was run."""
    head = ["what", "paper", "authors' code", "here"]
    columns = list(zip(*deviations, strict=True))
    said = [number for number, column in enumerate(columns) if any(column)]
    cells = [[deviation[number] or "as here" for number in said] for deviation in deviations]
    head = [head[number] for number in said]
    parts = [f"## {title}", source + ".", explanation, figures]
    return "\n\n".join([*parts, _texts(head, cells), *map(_conditions, records)])


def _texts(head: list[str], lines: list[list[str]]) -> str:
    """A Markdown table of texts, which may hold bars."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |" for cells in rows
    )


def _conditions(record: dict[str, Any]) -> str:
    """Where and when a record was made."""
    facts = record["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    threads = "thread" if facts["threads"] == 1 else "threads"
    return (
        f"`{record['name']}`: {record['date'][:10]}, {record['seconds']:,.0f} s in all, "
        f"{facts['cpu']}, {facts['cpus']} CPUs, {facts['threads']} {threads}, "
        f"{facts['instruction_set']}, load average {record['load_average']}; {versions}; commit "
        f"{record['commit']}."
    )


def write(results: Path = RESULTS, page: Path = PAGE, readme: Path = README) -> None:
    """Write the page and what stands between the README's markers."""
    records = read_all(results)
    whole = readme.read_text(encoding="utf-8")
    before, _, rest = whole.partition(START)
    after = rest.partition(END)[2]
    if not rest or END not in rest:
        raise ValueError(f"the README must hold {START} and then {END}")
    page.write_text(text(records), encoding="utf-8")
    between = readme_text(records)
    readme.write_text(f"{before}{START}\n{between}\n{END}{after}", encoding="utf-8")
