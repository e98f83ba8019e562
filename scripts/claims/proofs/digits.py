"""How far each method comes on scikit-learn's digits, by the network 64-32-10 and at most 1e7 forwards.

The claim on ensemble Kalman inversion is from runs with all but the test samples in training, and is repeated so.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from proofs import Finding, accuracies, proves
from proofs.jobs import command, jobs

REACH = {  # method -> (test accuracy that is claimed, overrides)
    "adam": (0.955, ["budget.forwards=2e5", "dataset.batch_size=64"]),
    "ensemble_kalman_inversion": (0.965, ["dataset.batch_size=64", "dataset.val_fraction=0.02"]),
    "ensemble_kalman_filter": (0.92, ["dataset.batch_size=64", "strategy.ensemble=500"]),
    "mezo": (0.955, []),
    "openai_es": (0.955, []),
    "forward_gradient": (0.955, []),
    "genetic_algorithm": (0.95, []),
    "deep_ga": (0.92, []),
    "particle_swarm": (0.88, []),
    "simulated_annealing": (0.87, []),
    "extreme_learning_machine": (0.975, ["model=random_features", "budget.forwards=1200"]),
    "cool_momentum": (0.95, ["model.hidden=[64]", "budget.forwards=6.5e4", "dataset.batch_size=32"]),
    "edge_popup": (0.95, ["model.hidden=[256,256]", "budget.forwards=1.3e5", "dataset.batch_size=64"]),
    "learned_supermask": (0.93, ["model.hidden=[256,256]", "budget.forwards=1.3e5", "dataset.batch_size=64"]),
}


def reaches(method: str) -> None:
    """Register the claim on one method."""
    wanted, overrides = REACH[method]

    @proves(method)
    def proof(seeds: int) -> Iterator[Finding]:
        given = [f"strategy={method}", *overrides]
        summaries = [run.summary for run in jobs(given, seeds)]
        found = [summary["test/accuracy"] for summary in summaries]
        cost = statistics.median(summary["cost/forwards"] for summary in summaries)
        seconds = statistics.median(summary["cost/seconds"] for summary in summaries)
        holds = statistics.median(found) >= wanted
        said = f"{accuracies(found)} in {seconds:.2g} s"
        yield Finding(f"test accuracy on digits of at least {wanted:g}", said, holds, cost, command(given, seeds))


for name in REACH:
    reaches(name)
