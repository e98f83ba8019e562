"""What a generation costs: against plain inference, against its size, and in memory.

    python scripts/benchmarks/bench_population.py --json figures.json --picture figures.png
    python scripts/benchmarks/bench_population.py --parts throughput --repetitions 11
    python scripts/benchmarks/bench_population.py --quick

- **throughput**: a whole generation (noise, evaluation, update) as a fraction of plain inference of as many samples
  with one set of weights, whichever chunk and number of threads suits each best. 1 means: the population is free.
  Both run in one process, so that plain inference profits from the allocator's settings too; it is in float32, also
  where a population is in bfloat16 (``oracle.precision=bf16``).
- **growth**: seconds a generation over the number of parameters d, the population n and the batch, with the exponents
  of a log-log fit, over all sizes and over the upper half, where fixed costs no longer show. One thread.
- **memory**: the peak of a child process, above plain inference, in copies of the parameters.

What the installed strategies do not offer is left out, and said so.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import benchlib
import numpy as np
import torch
from benchlib import (
    DENSE,
    EGGROLL,
    EGGROLL_BF16,
    LOOP,
    MEZO,
    SEEDED,
    TABLE,
    TABLE_BF16,
    Rows,
    Variant,
    Work,
    interleaved,
    median_ratio,
    mlp,
)
from torch import Tensor, nn

from hybridopt import DataSpec
from hybridopt.composition import building

PARTS = ("throughput", "growth", "memory")
VARIANTS = (DENSE, TABLE, TABLE_BF16, SEEDED, EGGROLL, EGGROLL_BF16, LOOP)
GROWING = (DENSE, SEEDED, EGGROLL)
FRUGAL = (MEZO, SEEDED, EGGROLL, DENSE)


# -- workloads ---------------------------------------------------------------------------------------------------------


class Transformer(nn.Module):
    """Torch's own encoder over a sequence of vectors; the mean over time gives the output."""

    def __init__(self, width: int = 128, layers: int = 2, heads: int = 4):
        super().__init__()
        layer = nn.TransformerEncoderLayer(width, heads, 2 * width, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers)
        self.output = nn.Linear(width, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.output(self.encoder(inputs).mean(1))


@dataclass(frozen=True)
class Workload:
    """A network, a batch and a population.

    Args:
        label: what tables call it.
        build: makes the network.
        shape: of one input.
        popsize: members n.
        batch: samples B.
    """

    label: str
    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    popsize: int
    batch: int


def plugin(name: str, shape: tuple[int, ...], **settings: Any) -> Callable[[], nn.Module]:
    """A model plugin, to be built."""
    return lambda: building.build("model", {"name": name, **settings}, spec=DataSpec(shape, 10, "classification"))


WORKLOADS = (
    Workload("MLP 64-32-10", plugin("mlp", (64,), hidden=[32]), (64,), 128, 256),
    Workload("MLP 784-300-100-10", plugin("mlp", (784,), hidden=[300, 100]), (784,), 64, 128),
    Workload("LeNet 28x28", plugin("cnn", (1, 28, 28)), (1, 28, 28), 64, 128),
    Workload("GRU 64, 32 steps", plugin("rnn", (32, 16), cell="gru", hidden=64), (32, 16), 64, 64),
    Workload("Transformer 128, 16 steps", Transformer, (16, 128), 32, 32),
    Workload(
        "MLP 784-1024-1024-10", plugin("mlp", (784,), hidden=[1024, 1024]), (784,), 256, 32
    ),  # last: it takes minutes
)


def offered(variants: Sequence[Variant]) -> list[Variant]:
    """The variants that what is installed can do; the others are named."""
    missing = [variant.label for variant in variants if not variant.offered]
    if missing:
        print(f"Left out, since the installed strategies do not offer it: {'; '.join(missing)}.")
    return [variant for variant in variants if variant.offered]


# -- (a) throughput ----------------------------------------------------------------------------------------------------


def throughput(arguments: argparse.Namespace) -> Rows:
    """A row for each workload and variant."""
    variants, rows = offered(VARIANTS), []
    chosen = [load for load in WORKLOADS if any(word in load.label for word in arguments.workloads)]
    for workload in sized(chosen, arguments.quick):
        found = compare(workload, variants, arguments)
        benchlib.say(f"throughput: {workload.label}", found)  # at once, since a whole run takes long
        rows += found
    return rows


def sized(workloads: Sequence[Workload], quick: bool) -> Sequence[Workload]:
    """The workloads, or for a smoke run their networks with hardly any work."""
    return [replace(workload, popsize=4, batch=8) for workload in workloads] if quick else workloads


def compare(workload: Workload, variants: Sequence[Variant], arguments: argparse.Namespace) -> Rows:
    """Plain inference and every variant in turn, each with one thread and with all."""
    device, counts = arguments.device, thread_counts(arguments.device)
    torch.manual_seed(0)
    model = workload.build().to(device)
    batch = benchlib.random_batch(workload.shape, workload.batch, device)
    works = {variant.label: Work(variant, workload.build().to(device), batch, workload.popsize) for variant in variants}
    forwards = {label: work.forwards() for label, work in works.items()}
    samples = batch[0].repeat(workload.popsize, *[1] * len(workload.shape))
    chunks, cases = {}, {}
    for count in counts:
        with benchlib.threads(count):
            plain, chunks[count] = benchlib.best_plain_inference(model, samples, device)
        cases |= {("plain", count): benchlib.with_threads(plain, count)}
        cases |= {(label, count): benchlib.with_threads(work, count) for label, work in works.items()}
    seconds = interleaved(cases, arguments.repetitions, device, arguments.least)
    best = {label: fastest(seconds, label, counts) for label in ("plain", *works)}
    return [
        {
            "workload": workload.label,
            "d": benchlib.dimension(model),
            "n": workload.popsize,
            "B": workload.batch,
            "variant": label,
            "ms": 1e3 * statistics.median(seconds[label, best[label]]),
            "threads": best[label],
            "plain ms": 1e3 * statistics.median(seconds["plain", best["plain"]]),
            "plain threads": best["plain"],
            "plain chunk": chunks[best["plain"]],
            "of plain inference": median_ratio(seconds["plain", best["plain"]], seconds[label, best[label]])
            * (forwards[label] / len(samples)),
        }
        for label in works
    ]


def thread_counts(device: str) -> list[int]:
    """One thread and all of them; on an accelerator it makes no difference."""
    return [1] if device.startswith("cuda") else sorted({1, torch.get_num_threads()})


def fastest(seconds: dict[tuple[str, int], list[float]], label: str, counts: Sequence[int]) -> int:
    """The number of threads with the lowest median."""
    return min(counts, key=lambda count: statistics.median(seconds[label, count]))


# -- (b) growth --------------------------------------------------------------------------------------------------------


def growth(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """A curve for each variant and axis: sizes, median seconds and exponents."""
    variants = offered(GROWING)
    axes = {
        "d": (powers(1e3, 1e7, 9), lambda d: (square_mlp(d), 16, 32)),
        "n": (powers(8, 4096, 10), lambda n: ((64, [32]), n, 64)),
        "batch": (powers(8, 4096, 10), lambda batch: ((64, [32]), 32, batch)),
    }
    with benchlib.threads(1):
        return [
            curve
            for axis, (sizes, point) in axes.items()
            for curve in curves(axis, sizes[:3] if arguments.quick else sizes, point, variants, arguments)
        ]


def powers(first: float, last: float, count: int) -> list[int]:
    """Sizes at equal ratios; even, since populations come in mirrored pairs."""
    return [2 * round(size / 2) for size in np.geomspace(first, last, count)]


def square_mlp(parameters: int) -> tuple[int, list[int]]:
    """Widths of an MLP with two equal hidden layers and about this many parameters, half of them between the two."""
    inputs = max(8, round((parameters / 2) ** 0.5))
    linear = inputs + 12  # h² + h (inputs + 10 + 2) + 10 parameters for h hidden units
    return inputs, [round((-linear + (linear**2 + 4 * parameters) ** 0.5) / 2)] * 2


def curves(
    axis: str, sizes: list[int], point: Callable[[int], Any], variants: Sequence[Variant], arguments: argparse.Namespace
) -> list[dict[str, Any]]:
    """The variants in turn at each size."""
    medians: dict[str, list[float]] = {variant.label: [] for variant in variants}
    actual = []
    for size in sizes:
        widths, popsize, batch_size = point(size)
        batch = benchlib.random_batch(widths[:1], batch_size, arguments.device)
        works = {v.label: Work(v, mlp(*widths, arguments.device), batch, popsize) for v in variants}
        seconds = interleaved(works, arguments.repetitions, arguments.device, arguments.least)
        actual.append(benchlib.dimension(mlp(*widths)) if axis == "d" else size)
        for label, values in seconds.items():
            medians[label].append(statistics.median(values))
    print(f"growth over {axis}: done", file=sys.stderr)
    upper = len(sizes) // 2
    return [
        {
            "axis": axis,
            "variant": label,
            "sizes": actual,
            "seconds": values,
            "exponent": exponent(actual, values),
            "upper half": exponent(actual[upper:], values[upper:]),
        }
        for label, values in medians.items()
    ]


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """The slope of a least-squares line through the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


# -- (c) memory --------------------------------------------------------------------------------------------------------

MEMORY_NOTE = """\
Each row is a process of its own. Its peak is the high-water mark of its resident memory (on Linux VmHWM, which a new
program starts from zero; ru_maxrss, the same figure elsewhere, inherits the parent's peak there; on CUDA: the peak
that torch allocated). Subtracted is the same mark after all imports and two generations of the same strategy on a
network of 138 parameters: interpreter, libraries, whatever is loaded late. What is left is parameters, activations,
noise and state. A copy is 4 d bytes; "copies" counts what is above plain inference, which holds the parameters
themselves."""


def memory(arguments: argparse.Namespace) -> Rows:
    """A row for plain inference, gradient descent for comparison, and each frugal variant."""
    variants = [Variant("adam", "adam"), *offered(FRUGAL)]
    size = {"inputs": 784, "hidden": [64] * 2 if arguments.quick else [1760] * 7, "popsize": 8, "batch": 32}
    labels = ["plain inference", *(variant.label for variant in variants)]
    peaks = {label: in_child({"label": label, "device": arguments.device, **size}) for label in labels}
    d = benchlib.dimension(mlp(size["inputs"], size["hidden"]))
    plain = peaks["plain inference"]
    return [
        {"variant": label, "d": d, "peak MB": peak / 1e6, "copies": (peak - plain) / (4 * d)}
        for label, peak in peaks.items()
    ]


def in_child(job: dict[str, Any]) -> int:
    """The bytes that a child process reports."""
    command = [sys.executable, str(Path(__file__).resolve()), "--child", json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"The measurement of {job['label']} failed:\n{done.stderr[-2000:]}")
    return int(done.stdout.splitlines()[-1])


def child(job: dict[str, Any]) -> int:
    """Bytes of the peak above the baseline, for one variant."""
    torch.set_num_threads(1)
    work_on(job, mlp(8, [7], job["device"]), 8)
    baseline = peak_bytes(job["device"])
    work_on(job, mlp(job["inputs"], job["hidden"], job["device"]), job["inputs"])
    return peak_bytes(job["device"]) - baseline


def work_on(job: dict[str, Any], model: nn.Module, inputs: int) -> None:
    """Two generations, or inference of as many samples."""
    batch = benchlib.random_batch((inputs,), job["batch"], job["device"])
    variants = {variant.label: variant for variant in (Variant("adam", "adam"), *FRUGAL)}
    if job["label"] in variants:
        work = Work(variants[job["label"]], model, batch, job["popsize"])
        work(), work()  # the second one finds all state made
    else:
        run = benchlib.plain_inference(model, batch[0], job["batch"])
        for _ in range(job["popsize"]):
            run()


def peak_bytes(device: str) -> int:
    """The high-water mark of this process's memory so far."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * next(int(line.split()[1]) for line in status.read_text().splitlines() if "VmHWM" in line)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


# -- showing -----------------------------------------------------------------------------------------------------------


def draw(report: dict[str, Any], path: Path) -> None:
    """Growth on log-log axes, and throughput as bars."""
    from matplotlib.figure import Figure

    panels = [axis for axis in ("d", "n", "batch") if report.get("growth")]
    panels += ["throughput"] if report.get("throughput") else []
    if not panels:
        return
    figure = Figure(figsize=(5.5 * min(2, len(panels)), 4 * -(-len(panels) // 2)), layout="constrained")
    for place, panel in enumerate(panels):
        axes = figure.add_subplot(-(-len(panels) // 2), min(2, len(panels)), place + 1)
        draw_bars(axes, report["throughput"]) if panel == "throughput" else draw_curves(axes, panel, report["growth"])
    figure.savefig(path, dpi=150)


def draw_curves(axes: Any, axis: str, curves: list[dict[str, Any]]) -> None:
    """Seconds a generation over one size."""
    for curve in curves:
        if curve["axis"] == axis:
            label = f"{curve['variant']} (slope {curve['upper half']:.2f})"
            axes.loglog(curve["sizes"], curve["seconds"], marker="o", markersize=3, label=label)
    names = {"d": "parameters d", "n": "population n", "batch": "batch B"}
    axes.set(xlabel=names[axis], ylabel="seconds a generation")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")


def draw_bars(axes: Any, rows: Rows) -> None:
    """The fraction of plain inference, by workload."""
    workloads, variants = ([*dict.fromkeys(row[key] for row in rows)] for key in ("workload", "variant"))
    height = 0.8 / len(variants)
    for place, variant in enumerate(variants):
        values = [row["of plain inference"] for row in rows if row["variant"] == variant]
        axes.barh(np.arange(len(workloads)) + place * height, values, height, label=variant)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set(xlabel="throughput / plain inference", yticks=np.arange(len(workloads)) + 0.4 - height / 2)
    axes.set_yticklabels(workloads, fontsize="small")
    axes.invert_yaxis()
    axes.legend(fontsize="small")


def main() -> None:
    parser = benchlib.parser(__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure (default: all)")
    parser.add_argument("--workloads", nargs="+", default=[""], metavar="WORD", help="only labels with these words")
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    arguments = benchlib.parse(parser)
    if arguments.child:
        print(child(arguments.child))
        return
    report: dict[str, Any] = {"machine": benchlib.machine(arguments.device)}
    benchlib.say("machine", [report["machine"]])
    if "memory" in arguments.parts:
        report["memory"] = memory(arguments)
        benchlib.say("peak memory", report["memory"], MEMORY_NOTE)
    if "throughput" in arguments.parts:
        report["throughput"] = throughput(arguments)
    if "growth" in arguments.parts:
        report["growth"] = growth(arguments)
        keys = ("axis", "variant", "exponent", "upper half")
        benchlib.say("growth", [{key: curve[key] for key in keys} for curve in report["growth"]])
    report["load average at the end"] = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    benchlib.save(arguments.json, report)
    if arguments.picture:
        draw(report, arguments.picture)


if __name__ == "__main__":
    main()
