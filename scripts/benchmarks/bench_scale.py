"""How hybridopt grows: with the parameters, with the processes, with the jobs of a sweep, with the plugins installed.

    python scripts/benchmarks/bench_scale.py --json scale.json --picture scale.png
    python scripts/benchmarks/bench_scale.py --parts processes --repetitions 11
    python scripts/benchmarks/bench_scale.py --quick

- **dimension**: the processor's seconds and the peak memory of a generation of mezo, seeded openai_es and eggroll for
  1e3 to 2e8 parameters, per 256 forwards, against plain inference of as many samples, with the exponents of a log-log
  fit. Each is a process of its own, with one thread; what would take more than ``--memory`` GB is not run.
- **processes**: a population shared out over 1, 2 and 4 processes that talk over gloo: speed-up, bytes sent, and
  whether the same numbers come out, bit for bit. On a machine that others use too the speed-up by the clock says
  little; "of its own work" compares what the processor did for each process.
- **sweep**: ``--jobs`` tiny jobs in one process: when the first one starts, what each further one takes, how the memory
  grows, and the same command again.
- **paper**: the constants of a generation, measured, and what they make of 1e9 parameters and 1e4 workers.
- **start**: ``hybridopt --help`` with 300 plugins more than are installed, against a program of bare Hydra.

``docs/scale.md`` has the figures, and the formulas behind those on paper.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import benchlib
import scale_dimension
import scale_paper
import scale_processes
import scale_sweeps

PARTS = ("dimension", "processes", "paper", "sweep", "start")
PLUGINS = 300


def draw(report: dict[str, Any], path: Path) -> None:
    """Seconds and memory over the number of parameters, and speed-up over processes."""
    from matplotlib.figure import Figure

    panels = [("dimension", "seconds"), ("dimension", "peak MB"), ("processes", "of its own work")]
    panels = [panel for panel in panels if report.get(panel[0])]
    if not panels:
        return
    figure = Figure(figsize=(5 * len(panels), 4), layout="constrained")
    for place, (part, key) in enumerate(panels, 1):
        axes = figure.add_subplot(1, len(panels), place)
        over = "d" if part == "dimension" else "processes"
        for label, points in lines(report[part], over, key).items():
            axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=label)
        if part == "dimension":
            axes.set(xscale="log", yscale="log")
        axes.set(xlabel="parameters d" if part == "dimension" else "processes", ylabel=WORDS[key])
        axes.grid(alpha=0.3)
        axes.legend(fontsize="x-small")
    figure.savefig(path, dpi=150)


WORDS = {"seconds": "seconds of 256 forwards", "peak MB": "peak memory, MB", "of its own work": "speed-up"}


def lines(rows: benchlib.Rows, over: str, key: str) -> dict[str, list[tuple[float, float]]]:
    """The points of each curve; what was not run, and memory too small to be seen, is left out."""
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        label = f"{row['network']}, {row['variant']}" if "network" in row else row["variant"]
        if row[key]:
            found.setdefault(label, []).append((row[over], row[key]))
    return found


def main() -> None:
    """Measure the parts that are asked for, and show them."""
    parser = benchlib.parser(__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure (default: all)")
    parser.add_argument("--memory", type=float, default=6.0, help="GB that a process may take (default: 6)")
    parser.add_argument("--processes", nargs="+", type=int, default=[2, 4], help="besides one (default: 2 4)")
    parser.add_argument("--networks", nargs="+", default=[""], metavar="WORD", help="of the processes: labels with one")
    parser.add_argument("--jobs", type=int, default=500, help="of a sweep (default: 500)")
    arguments = benchlib.parse(parser)
    if arguments.device != "cpu":
        parser.error("these figures are of the CPU: leave --device out")
    if arguments.quick:
        arguments.jobs, arguments.processes = 10, [2]
    report: dict[str, Any] = {"machine": benchlib.machine("cpu")}
    benchlib.say("machine", [report["machine"]])
    if "dimension" in arguments.parts:
        report["dimension"] = scale_dimension.measure(arguments.quick, arguments.memory)
        report["exponents"] = scale_dimension.exponents(report["dimension"])
        benchlib.say("parameters", report["dimension"])
        benchlib.say("exponents over the upper half", report["exponents"])
    if "processes" in arguments.parts:
        sizes = [1, *arguments.processes]
        rounds, words = arguments.repetitions, arguments.networks
        report["processes"] = scale_processes.measure(sizes, rounds, arguments.quick, words)
        benchlib.say("processes", report["processes"], scale_processes.NOTE)
    if "paper" in arguments.parts:
        found = scale_paper.constants(scale_dimension.BATCH)
        report["constants"], report["paper"] = (
            scale_paper.shown(found),
            scale_paper.on_paper(found, scale_dimension.BATCH),
        )
        benchlib.say("constants", report["constants"])
        benchlib.say("on paper", report["paper"])
    if "sweep" in arguments.parts:
        report["sweep"] = scale_sweeps.sweeps(arguments.jobs)
        benchlib.say(f"sweeps of {arguments.jobs} jobs", report["sweep"])
    if "start" in arguments.parts:
        report["start"] = scale_sweeps.start_up(PLUGINS, arguments.repetitions)
        benchlib.say("start", report["start"])
    report["load average at the end"] = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    benchlib.save(arguments.json, report)
    if arguments.picture:
        draw(report, arguments.picture)


if __name__ == "__main__":
    main()
