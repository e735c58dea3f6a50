"""The figures of docs/scaling.md: two ranks measured, and the model of cost for many."""

from __future__ import annotations

import statistics
from pathlib import Path

from bench import machine
from bench.ranks.cost import Cost, Network, Point
from bench.ranks.results import Results, Times, read
from bench.report import table

PAGE = machine.ROOT / "docs" / "scaling.md"
START, END = "<!-- ranks:start -->", "<!-- ranks:end -->"
RANKS = (2, 8, 32, 128, 1024)
SPEEDS = {"one thread": 1.0, "16 threads": 12.0}
"""How many times as fast as one thread a rank is; that of 16 threads was not measured."""
NETWORKS = (
    Network("100 Gbit/s, 2 and 0.5 us", 2e-6, 0.5e-6, 12.5e9),
    Network("10 Gbit/s, 20 and 5 us", 20e-6, 5e-6, 1.25e9),
)
GOAL = 0.9
TITLES = {"fastvae": "fastvae", "torch": "PyTorch, DistributedDataParallel over gloo"}


def here(results: Results) -> Network:
    """The network between two ranks of the machine that was measured."""
    largest = max(results.network)
    smallest = min(results.network)
    message = results.network[smallest]
    return Network("one machine", message, message, largest / results.network[largest])


def costs(results: Results) -> dict[str, Cost]:
    """The cost of each model's steps, fitted to those of one process."""
    return {
        model: Cost.fitted(
            n_parameters,
            [
                Point(times.batch_size, times.n_blocks, times.median)
                for times in results.times
                if times.model == model and times.n_ranks == 1
            ],
            results.elements["add"],
            results.elements["update"],
        )
        for model, n_parameters in results.n_parameters.items()
    }


def text(results: Results) -> str:
    """What stands between the markers."""
    return "\n\n".join([_where(results), *_match(results), *_model(results), *_batches(results)])


def update(path: Path = PAGE) -> None:
    """Write the figures to the page."""
    page = path.read_text(encoding="utf-8")
    before, rest = page.split(START)
    _, after = rest.split(END)
    path.write_text(f"{before}{START}\n{text(read())}\n{END}{after}", encoding="utf-8")


def _where(results: Results) -> str:
    facts = results.machine
    used = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    network = here(results)
    return (
        f"Measured by `python -m bench.ranks` on two cores of {facts['cpu']}, "
        f"{facts['instruction_set']}, commit {results.commit}, {used}. Messages between two ranks "
        f"go through the machine's memory: {1e6 * network.latency:.1f} us, "
        f"{network.bandwidth / 1e9:.1f} GB/s."
    )


def _match(results: Results) -> list[str]:
    lines = []
    for name, title in TITLES.items():
        ratio = results.ratio(name)
        if ratio is None:
            continue
        seconds = {m.n_ranks: statistics.median(m.seconds) for m in results.matches
                   if m.contestant == name}  # fmt: skip
        lines.append(
            [title, f"{1e3 * seconds[1]:.0f}", f"{1e3 * seconds[2]:.0f}", f"{100 * ratio:.0f} %"]
        )
    rounds = len(results.matches[0].seconds)
    head = ["ms a step", "1 process of 2 threads", "2 ranks of 1 thread", "speed of ranks"]
    return [
        f"The 1024-wide model, batch 2048, medians of {rounds} rounds in turn (PyTorch with the "
        "fastest of its variants for each):",
        table(head, lines),
    ]


def _model(results: Results) -> list[str]:
    """Steps of ranks of one thread: those of one process, to which it is fitted, and of two."""
    fitted, network = costs(results), here(results)
    lines = [
        [
            times.model,
            f"{times.batch_size}",
            f"{times.n_ranks}",
            "none" if times.n_blocks == 1 else f"{times.n_blocks}",
            f"{1e3 * times.median:.2f}",
            _predicted(fitted[times.model], times, network),
        ]
        for times in results.times
    ]
    head = ["model", "batch", "ranks", "blocks", "ms a step", "model of cost"]
    return [table(head, lines)]


def _predicted(cost: Cost, times: Times, network: Network) -> str:
    if times.n_blocks == 1:
        return "-"
    found = cost.on_ranks(times.batch_size, times.n_ranks, times.n_blocks, network)
    return f"{1e3 * found:.2f}"


def _batches(results: Results) -> list[str]:
    lines = [
        [
            model,
            network.name,
            rank,
            *(_batch(cost.batch_for(GOAL, n_ranks, network, speed)) for n_ranks in RANKS),
        ]
        for model, cost in costs(results).items()
        for network in NETWORKS
        for rank, speed in SPEEDS.items()
    ]
    head = ["model", "network", "a rank has", *(f"{n} ranks" for n in RANKS)]
    return [
        "The least batch (a power of two up to 16 million, of all ranks together) with which ranks "
        f"have {100 * GOAL:.0f} % of as many times the speed of one, that is with the batch of 512 "
        "and 2,048 that is better for one. Networks are named by their bandwidth, their latency, "
        "and what a message costs a rank; neither they nor ranks of 16 threads, taken to be 12 "
        "times as fast as one thread, were there to be measured:",
        table(head, lines),
    ]


def _batch(size: int | None) -> str:
    return "never" if size is None else f"{size:,}"
