"""Train one network by several strategies and seeds at equal cost; print the table, draw the curves.

    python scripts/claims/compare.py --forwards 1e7 --seeds 5 --picture docs/curves.png

Each job is the same as `hybridopt strategy=<name> seed=<n>`; further overrides are given after `--`.
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from runs import Run, sweep

STRATEGIES = (
    "adam",
    "lottery_ticket",
    "openai_es",
    "nevergrad",
    "simulated_annealing",
    "random_search",
)


def jobs_of(strategies: list[str], seeds: int, forwards: float, overrides: list[str]) -> dict[str, list[Run]]:
    """Strategy -> its finished jobs."""
    command = [f"strategy={','.join(strategies)}", f"seed={','.join(map(str, range(seeds)))}"]
    jobs = defaultdict(list)
    for run in sweep([*command, f"budget.forwards={forwards}", *overrides], shown=True):
        jobs[run.strategy].append(run)
    return jobs


def table(jobs: dict[str, list[Run]]) -> str:
    """Medians over seeds, with the range of the test accuracy."""
    lines = ["| strategy | test accuracy | range | zero weights | seconds |", "|---|---|---|---|---|"]
    for name, runs in jobs.items():
        summaries = [run.summary for run in runs]
        test, zero, seconds = (
            [summary[key] for summary in summaries] for key in ("test/accuracy", "model/sparsity", "cost/wall_seconds")
        )
        lines.append(
            f"| {name} | {statistics.median(test):.3f} | {min(test):.3f}-{max(test):.3f} "
            f"| {statistics.median(zero):.0%} | {statistics.median(seconds):.1f} |"
        )
    return "\n".join(lines)


def draw(jobs: dict[str, list[Run]], path: Path) -> None:
    """Median and interquartile band of the validation accuracy over forwards."""
    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, runs in jobs.items():
        length = min(len(run.curve) for run in runs)
        forwards = [step for step, _ in runs[0].curve[:length]]
        values = np.array([[accuracy for _, accuracy in run.curve[:length]] for run in runs])
        low, median, high = np.quantile(values, [0.25, 0.5, 0.75], axis=0)
        (line,) = axes.plot(forwards, median, label=name)
        axes.fill_between(forwards, low, high, alpha=0.2, color=line.get_color())
    axes.set(xlabel="forwards", ylabel="validation accuracy", xscale="log", ylim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend(loc="center right", bbox_to_anchor=(1, 0.4))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strategies", default=",".join(STRATEGIES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--forwards", type=float, default=1e7)
    parser.add_argument("--picture", type=Path, help="where to draw the curves")
    parser.add_argument("overrides", nargs="*", help="further Hydra overrides")
    arguments = parser.parse_args()
    strategies = arguments.strategies.split(",")
    jobs = jobs_of(strategies, arguments.seeds, arguments.forwards, arguments.overrides)
    print(table(jobs))
    if arguments.picture:
        draw(jobs, arguments.picture)


if __name__ == "__main__":
    main()
