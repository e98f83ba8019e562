"""What a generation costs here, in EvoTorch, EvoX and evosax, in nevergrad's own loop, and by hand in plain torch.

    python3 -m venv /tmp/peers
    /tmp/peers/bin/pip install -e . -e plugins/hybridopt-cma -r scripts/benchmarks/bench_peers.requirements.txt \
        -c scripts/constraints.txt
    /tmp/peers/bin/python scripts/benchmarks/bench_peers.py --json peers.json --picture peers.png

All train the same network from the same weights on the same batch with the same number of members, in turn, in one
process, with one thread and with all of them (the better counts; JAX keeps the number that it starts with, which is
all of them). Before that each must give the same loss for the same weights, and what is to be compiled is. Data loaders
are spared: each library gets the batch ready made, through the hook that it has for that.

A generation is what the library's own step does: noise, evaluation, update. The algorithms of a family do the same
work, up to details: PGPE adapts its widths, where openai_es and OpenES have one; nevergrad's strategy here evaluates
its incumbent besides. evosax has a row for each random generator of JAX, of which the fastest depends on the device.
The authors' own EGGROLL (hyperscalees, on JAX) is not among the peers, for PyPI does not have it. Rows that need
a package which is missing are left out, and said so.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import benchlib
import peers
import peers_by_hand
import torch
from benchlib import DENSE, EGGROLL, LOOP, SEEDED, Rows, Variant, interleaved, median_ratio
from peers import Contender, Task, here, searching
from peers_jax import evosax_openes

PACKAGES = ("hybridopt", "torch", "numpy", "evotorch", "evox", "evosax", "jax", "nevergrad")

CONTENDERS: dict[tuple[str, str], Callable[[Task], Contender]] = {  # (family, label); ours is the first of a family
    ("full noise", "hybridopt openai_es"): here(DENSE),
    ("full noise", "hybridopt openai_es, seeded"): here(SEEDED),
    ("full noise", "hybridopt openai_es, loop"): here(LOOP),
    ("full noise", "EvoTorch PGPE, SupervisedNE"): searching(peers.evotorch_pgpe),
    ("full noise", "EvoTorch SNES, SupervisedNE"): searching(peers.evotorch_snes),
    ("full noise", "EvoTorch PGPE, functional, vmap"): peers.evotorch_functional,
    ("full noise", "EvoX OpenES"): peers.evox_openes,
    ("full noise", "EvoX OpenES, compiled"): peers.evox_compiled,
    ("full noise", "evosax Open_ES, threefry"): evosax_openes("threefry2x32"),
    ("full noise", "evosax Open_ES, rbg"): evosax_openes("rbg"),
    ("full noise", "evosax Open_ES, unsafe_rbg"): evosax_openes("unsafe_rbg"),
    ("full noise", "OpenAI-ES by hand, plain torch"): peers_by_hand.openai_es,
    ("low rank", "hybridopt eggroll"): here(EGGROLL),
    ("low rank", "EvoX VirtualLoRAES"): peers.evox_lora,
    ("diagonal CMA", "hybridopt-cma sep_cma_es"): here(Variant("hybridopt-cma sep_cma_es", "sep_cma_es")),
    ("diagonal CMA", "hybridopt nevergrad DiagonalCMA"): here(Variant("nevergrad DiagonalCMA", "nevergrad")),
    ("diagonal CMA", "nevergrad DiagonalCMA, own loop"): peers.nevergrad_loop,
    ("diagonal CMA", "EvoTorch CMAES, separable"): searching(peers.evotorch_cmaes),
}


def entered(task: Task, without: list[str]) -> dict[tuple[str, str], Contender]:
    """Those whose packages are there, and who agree on the start's loss."""
    contenders = {}
    for (family, label), enter in CONTENDERS.items():
        if any(word in label for word in without):
            continue
        try:
            contender = enter(task)
        except ModuleNotFoundError as error:
            needed = "scripts/benchmarks/bench_peers.requirements.txt"
            print(f"{label} is left out: {error}. See {needed}.", file=sys.stderr)
            continue
        if abs(contender.loss() - task.loss) > 1e-4:
            sys.exit(f"{label} gives the start a loss of {contender.loss():.6f}, but it is {task.loss:.6f}.")
        contenders[family, label] = contender
    return contenders


def contest(task: Task, arguments: argparse.Namespace) -> Rows:
    """A row for each contender: milliseconds, and how many times the first of its family it takes."""
    contenders = entered(task, arguments.without)
    counts = [1] if arguments.device.startswith("cuda") else sorted({1, torch.get_num_threads()})
    samples = task.batch[0].repeat(task.popsize, 1)
    plain, _ = benchlib.best_plain_inference(task.model, samples, arguments.device)
    entries = {("", "plain inference"): Contender(plain, lambda: task.loss)} | contenders
    cases = {
        (key, count): benchlib.with_threads(entry.case, count)
        for key, entry in entries.items()
        for count in ([entry.threads] if entry.threads else counts)
    }
    seconds = interleaved(cases, arguments.repetitions, arguments.device, arguments.least)
    best: dict[tuple[str, str], tuple[list[float], int]] = {}  # seconds of a generation, and with how many threads
    for (key, count), times in seconds.items():
        times = [time / entries[key].generations for time in times]
        best[key] = min(best.get(key, (times, count)), (times, count), key=lambda found: statistics.median(found[0]))
    firsts = {family: key for key in reversed(entries) for family in [key[0]]}
    return [
        {
            "network": task.label,
            "family": key[0],
            "contender": key[1],
            "ms": 1e3 * statistics.median(times),
            "threads": count,
            "times ours": median_ratio(times, best[firsts[key[0]]][0]),
            "of plain inference": median_ratio(best["", "plain inference"][0], times),
        }
        for key, (times, count) in best.items()
    ]


def draw(rows: Rows, path: Path) -> None:
    """Milliseconds a generation as bars, a panel a network."""
    from matplotlib.figure import Figure

    networks = [*dict.fromkeys(row["network"] for row in rows)]
    figure = Figure(figsize=(6.5 * len(networks), 5), layout="constrained")
    for place, network in enumerate(networks):
        axes = figure.add_subplot(1, len(networks), place + 1)
        shown = [row for row in rows if row["network"] == network]
        colors = ["tab:blue" if row["contender"].startswith("hybridopt") else "tab:gray" for row in shown]
        bars = axes.barh([row["contender"] for row in shown], [row["ms"] for row in shown], color=colors)
        axes.bar_label(bars, [benchlib.shown(row["ms"]) for row in shown], padding=2)
        axes.set(xscale="log", xlabel="milliseconds a generation", title=network)
        axes.invert_yaxis()
        axes.set_xlim(right=2 * max(row["ms"] for row in shown))  # room for the numbers
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = benchlib.parser(__doc__)
    parser.add_argument("--without", nargs="+", default=[], metavar="WORD", help="leave out labels with these words")
    arguments = benchlib.parse(parser)
    arguments.without += ["compiled"] if arguments.quick else []  # the compiler alone takes longer
    warnings.filterwarnings("ignore", module="evotorch|evox|ray|nevergrad")
    logging.disable(logging.INFO)  # EvoTorch sets its own level when it is imported
    report: dict[str, Any] = {"machine": benchlib.machine(arguments.device, PACKAGES)}
    benchlib.say("machine", [report["machine"]])
    report["contest"] = []
    for task in peers.tasks(arguments.quick, arguments.device):
        rows = contest(task, arguments)
        report["contest"] += rows
        benchlib.say(f"{task.label}, n={task.popsize}, B={len(task.batch[0])}", rows)
    benchlib.save(arguments.json, report)
    if arguments.picture:
        draw(report["contest"], arguments.picture)


if __name__ == "__main__":
    main()
