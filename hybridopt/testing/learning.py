"""Whether a strategy learns: asked of several seeds, since what one seed comes to may hang on rounding."""

from __future__ import annotations

from hybridopt.composition.registry import Plugin
from hybridopt.core.ledger import Budget
from hybridopt.testing.kit import check, fail_if, finite
from hybridopt.testing.problems import Problem, noisy_quadratic, problem_of, sphere
from hybridopt.testing.runs import Run, short_budget

SEEDS = 5  # of runs that must all improve
MORE_SEEDS = 4  # that must, if one of those did not
IMPROVING = 1000  # losses that such a run may ask for


def improves(plugin: Plugin, problem: Problem, what: str) -> None:
    """On each of five seeds the final loss is lower than the first one, or else on eight of nine.

    A single seed may hang on how a processor rounds, so it may fail, and four further seeds then decide. The level:
    what learns nothing improves by luck with probability 1/2 at most, so that it passes with probability
    1/32 + 5/32 · 1/16, 4 %, at most. Seeds are fixed: on the same processor, who passes once passes always.
    """
    budget = short_budget(plugin, problem, steps=4, losses=IMPROVING)
    worse: list[str] = []
    for seed in range(SEEDS + MORE_SEEDS):
        if seed == SEEDS and not worse:
            return
        first, last = first_and_last_loss(plugin, problem, seed, budget)
        if not last < first:
            worse.append(f"from a loss of {first:.4g} to {last:.4g} with seed {seed}")
        fail_if(len(worse) > 1, f"on {what} it comes {' and '.join(worse)}, in {budget.forwards:.0f} forwards.")


def first_and_last_loss(plugin: Plugin, problem: Problem, seed: int, budget: Budget) -> tuple[float, float]:
    """The losses on held-out data before and after a run, whose end must be finite."""
    run = Run(plugin, problem, seed=seed, budget=budget)
    first = run.loss()
    finite(run.finish().answer(), "it ends at parameters")
    return first, run.loss()


@check("strategy")
def improves_on_sphere(plugin: Plugin) -> None:
    """The final loss on a sphere in 12 dimensions is below the first on five seeds, or eight of nine (level 4 %)."""
    improves(plugin, sphere(), "a sphere")


@check("strategy")
def improves_on_noisy_quadratic(plugin: Plugin) -> None:
    """The same on a quadratic of condition 10 whose targets are noisy, by the loss without noise (level 4 %)."""
    improves(plugin, noisy_quadratic(), "a noisy quadratic")


@check("strategy")
def improves_on_network(plugin: Plugin) -> None:
    """The same on a small network, or the plugin's own problem, by the loss on validation data (level 4 %)."""
    improves(plugin, problem_of(plugin), "a small network")
