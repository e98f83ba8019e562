"""Sparse networks: tickets against their controls, and masks of networks that are never trained."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from scipy.stats import binomtest

from proofs import Finding, accuracies, proves
from proofs.jobs import command, test_accuracies

LARGE = ["model.hidden=[300,100]", "dataset.batch_size=64"]


@proves("iterative_magnitude_pruning")
def tickets(seeds: int) -> Iterator[Finding]:
    """At 2 % of the weights of a network 64-300-100-10, by a sign test over paired seeds."""
    seeds = max(seeds, 10)
    base = ["strategy=iterative_magnitude_pruning", *LARGE, "strategy.rounds=12", "strategy.sparsity=0.98"]
    base += ["budget.forwards=1e6", "strategy.train.lr=1e-3", "strategy.train.schedule=constant"]
    found = {
        "ticket": test_accuracies(base, seeds),
        "redrawn": test_accuracies([*base, "strategy.survivors=redraw"], seeds),
        "random mask": test_accuracies([*base, "strategy.mask=random"], seeds),
    }
    won = sum(one > other for one, other in zip(found["ticket"], found["redrawn"], strict=True))
    p = binomtest(won, seeds, alternative="greater").pvalue
    said = "; ".join(f"{name} {accuracies(values)}" for name, values in found.items())
    claim = "at 2 % of the weights a ticket beats the same mask with its weights redrawn on 9 of 10 seeds"
    yield Finding(claim, f"{won} of {seeds} (p = {p:.2g}); {said}", won >= 0.9 * seeds, 1e6, command(base, seeds))


@proves("edge_popup")
def popup(seeds: int) -> Iterator[Finding]:
    def at(width: int, keep: float) -> float:
        size = [f"model.hidden=[{width},{width}]", f"strategy.keep={keep}"]
        given = ["strategy=edge_popup", *size, "budget.forwards=1.3e5", "dataset.batch_size=64"]
        return statistics.median(test_accuracies(given, seeds))

    widths = {width: at(width, 0.5) for width in (16, 64, 256)}
    said = ", ".join(f"{width}: {value:.3f}" for width, value in widths.items())
    rising = list(widths.values()) == sorted(widths.values())
    yield Finding("wider random networks hold better masks", said, rising, 1.3e5)
    kept = {keep: at(256, keep) for keep in (0.05, 0.5, 1.0)}
    said = ", ".join(f"{keep:g}: {value:.3f}" for keep, value in kept.items())
    yield Finding("neither few nor all weights make the best mask", said, max(kept, key=kept.get) == 0.5, 1.3e5)


@proves("pbil", "genetic_algorithm", "nevergrad")
def bits(seeds: int) -> Iterator[Finding]:
    """Masks of a random network by searches without a gradient, against edge-popup at the same cost."""
    mask = ["model.hidden=[64]", "encoding=supermask"]
    searches = {
        "pbil": ["strategy=pbil", "encoding.rule=sign"],
        "genetic_algorithm": ["strategy=genetic_algorithm"],
        "nevergrad": ["strategy=nevergrad", "strategy.optimizer=DiscreteOnePlusOne"],
    }
    found = {name: test_accuracies([*given, *mask], seeds) for name, given in searches.items()}
    found["edge_popup"] = test_accuracies(["strategy=edge_popup", "model.hidden=[64]"], seeds)
    medians = {name: statistics.median(values) for name, values in found.items()}
    said = "; ".join(f"{name} {accuracies(values)}" for name, values in found.items())
    holds = 0.5 < max(medians[name] for name in searches) < medians["edge_popup"]
    claim = "masks found without a gradient are far above chance (0.1), and below edge-popup's at equal cost"
    how = command([*searches["pbil"], *mask], seeds)
    yield Finding(claim, said, holds, 1e7, how)
