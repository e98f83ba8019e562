"""What a candidate costs in the presets of hybridopt-combinatorial, where evaluating it costs next to nothing.

    python scripts/benchmarks/bench_presets.py
    python scripts/benchmarks/bench_presets.py knapsack cluster_zeros --forwards 1e4

Milliseconds inside of `Trainer.fit` (CPU and by the clock) over the evaluations of the budget: asking, decoding, the
objective, telling, and the validation at its marks; tracking to MLflow (SQLite), one thread. A second row has the same
preset with an optimiser of nevergrad, whose own asking and telling is nearly all of it.
"""

from __future__ import annotations

import statistics
import sys
from typing import Any

import benchlib
from bench_by_hand import by_program, parse
from benchlib import Rows

PRESETS = ("tsp", "knapsack", "flow_shop", "set_partitioning", "cluster_zeros")
FORWARDS, QUICK = 1e5, 1e3


def measure(preset: str, overrides: tuple[str, ...], forwards: float, repetitions: int) -> dict[str, Any]:
    """A row of the table."""
    job = (f"experiment={preset}", *overrides)
    by_program(job, QUICK)  # what is made once, such as the optimum, is made before
    times = [by_program(job, forwards) for _ in range(repetitions)]
    return {
        "preset": " ".join([preset, *overrides]),
        "CPU ms a candidate": 1e3 * statistics.median(one.cpu for one in times) / forwards,
        "wall ms a candidate": 1e3 * statistics.median(one.wall for one in times) / forwards,
    }


def main() -> None:
    parser = benchlib.parser(__doc__)
    parser.add_argument("presets", nargs="*", metavar="PRESET", help=f"which ones, of {', '.join(PRESETS)}; or all")
    parser.add_argument("--forwards", type=float, default=FORWARDS, help="the budget of a run (default: 1e5)")
    arguments = parse(parser, "preset", PRESETS)
    forwards = QUICK if arguments.quick else arguments.forwards
    rows: Rows = []
    with benchlib.threads(1):
        report: dict[str, Any] = {"machine": benchlib.machine("cpu"), "forwards": forwards}
        benchlib.say("machine", [report["machine"]])
        for preset in arguments.presets or PRESETS:
            for overrides in ((), ("strategy=nevergrad",)):
                rows.append(measure(preset, overrides, forwards, arguments.repetitions))
            print(f"{preset}: done", file=sys.stderr)
    report["presets"] = rows
    benchlib.say(f"presets, {forwards:g} evaluations", rows)
    benchlib.save(arguments.json, report)


if __name__ == "__main__":
    main()
