"""Searches against other packages' on test functions, at equal losses from the same places.

The peers are no dependencies, since one of them pins an old numpy: pip install --no-deps mealpy opfunu pyswarms future
"""

from __future__ import annotations

import logging
import statistics
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from scipy.optimize import dual_annealing
from scipy.stats import mannwhitneyu

from hybridopt.study.functions import FUNCTIONS, Function, minimise, start
from proofs import Finding, proves, spread

D, LOSSES, SIGMA = 10, 20_000, 1.0
Peer = Callable[[Function, int], float]


def values(function: Function) -> Callable[[np.ndarray], np.ndarray]:
    """The function of arrays (n, d)."""
    return lambda x: function(torch.from_numpy(np.atleast_2d(x))).numpy()


def first_places(seed: int, count: int) -> np.ndarray:
    """The start, and others around it, (count, d)."""
    center = start(D, seed).numpy()
    places = center + SIGMA * np.random.default_rng(seed).normal(size=(count, D))
    places[0] = center
    return places


def lshade(function: Function, seed: int) -> float:
    """Mealpy's L-SHADE; it wants bounds, which are far away."""
    from mealpy import SHADE, FloatVar

    problem = {
        "obj_func": lambda x: float(values(function)(x)[0]),
        "bounds": FloatVar(lb=[-50.0] * D, ub=[50.0] * D),
        "minmax": "min",
        "log_to": None,
    }
    model: Any = SHADE.L_SHADE(epoch=10_000, pop_size=100)
    found = model.solve(problem, seed=seed, termination={"max_fe": LOSSES}, starting_solutions=first_places(seed, 100))
    return float(found.target.fitness)


def swarm(function: Function, seed: int) -> float:
    """Pyswarms' global-best swarm, by the same inertia and pulls."""
    import pyswarms

    logging.disable(logging.INFO)
    np.random.seed(seed)
    pull = 0.5 + np.log(2)
    options = {"c1": pull, "c2": pull, "w": 0.8}
    places = first_places(seed, 100)
    clamp = (-10 * SIGMA, 10 * SIGMA)
    model = pyswarms.single.GlobalBestPSO(100, D, options, init_pos=places, velocity_clamp=clamp)
    cost, _ = model.optimize(values(function), LOSSES // 100, verbose=False)
    return float(cost)


def annealing(function: Function, seed: int) -> float:
    """Scipy's generalised annealing, without and then with its local search; it wants bounds."""
    f = values(function)
    bounds = [(-5.12, 5.12)] * D
    found: Any = dual_annealing(lambda x: float(f(x)[0]), bounds, maxfun=LOSSES, rng=seed, no_local_search=True)
    return float(found.fun)


@proves("differential_evolution", "particle_swarm", "simulated_annealing")
def peers(seeds: int) -> Iterator[Finding]:
    seeds = max(seeds, 15)
    one = {"coordinates": 1, "tails": "cauchy"}
    cases: list[tuple[str, str, Peer, dict[str, Any], tuple[str, ...]]] = [
        ("mealpy", "L-SHADE", lshade, {"name": "differential_evolution", "final_popsize": 4}, tuple(FUNCTIONS)),
        ("pyswarms", "global-best swarm", swarm, {"name": "particle_swarm"}, tuple(FUNCTIONS)),
        ("scipy", "dual_annealing", annealing, {"name": "simulated_annealing", **one}, ("rastrigin", "ackley")),
    ]
    for package, title, peer, settings, names in cases:
        if find_spec(package) is None:
            print(f"{package} is not installed: pip install --no-deps mealpy opfunu pyswarms future\n")
            continue
        told, worse = [], []
        for name in names:
            config = {"sigma": SIGMA, **settings}
            ours = [minimise(config, FUNCTIONS[name], start(D, seed), LOSSES, seed) for seed in range(seeds)]
            theirs = [peer(FUNCTIONS[name], seed) for seed in range(seeds)]
            p = float(mannwhitneyu(ours, theirs).pvalue)
            told.append(f"{name} {spread(ours, 2)}, theirs {spread(theirs, 2)}, p = {p:.2g}")
            if p < 0.05 and statistics.median(ours) > statistics.median(theirs) > 1e-12:
                worse.append(name)
        claim = f"{settings['name']} is not behind {package}'s {title} in {D} dimensions, {LOSSES:,} losses"
        yield Finding(claim, "; ".join(told), not worse)
