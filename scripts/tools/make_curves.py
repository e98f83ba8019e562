"""Draw docs/curves.png, the first picture of the README: one network by several strategies at equal cost.

    python scripts/tools/make_curves.py
    python scripts/tools/make_curves.py --strategies adam,cem --seeds 3 --forwards 1e6 --picture curves.png

Each job is the same as `hybridopt strategy=<name> seed=<n>`; further overrides are given after `--`.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

from matplotlib.figure import Figure
from runs import sweep

from hybridopt import Outcome
from hybridopt.study.drawing import curves

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "curves.png"
STRATEGIES = ("adam", "lottery_ticket", "openai_es", "nevergrad", "simulated_annealing", "random_search")


def outcomes(strategies: str, seeds: int, forwards: float, overrides: list[str]) -> dict[str, list[Outcome]]:
    """Strategy -> its finished runs, with the validation accuracy at each mark."""
    found = defaultdict(list)
    job = [f"strategy={strategies}", f"seeds={seeds}", f"budget.forwards={forwards}", *overrides]
    for run in sweep(job, shown=True):
        found[run.strategy].append(Outcome(run.seed, run.summary, run.curve))
    return {name: found[name] for name in strategies.split(",")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strategies", default=",".join(STRATEGIES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--forwards", type=float, default=1e7)
    parser.add_argument("--picture", type=Path, default=PICTURE, help="where to draw the curves")
    parser.add_argument("overrides", nargs="*", help="further Hydra overrides")
    chosen = parser.parse_args()
    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    axes = figure.subplots()
    curves(axes, outcomes(chosen.strategies, chosen.seeds, chosen.forwards, chosen.overrides), "validation accuracy")
    axes.set_ylim(0, 1)
    axes.grid(alpha=0.3)
    chosen.picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(chosen.picture, dpi=120)


if __name__ == "__main__":
    main()
