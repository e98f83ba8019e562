"""Searches against other packages' on test functions, at equal losses from the same places."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from hybridopt import ConfigError, Profile, Results
from hybridopt.study.comparing import Compared, compare_values
from hybridopt.study.functions import FUNCTIONS, Function, minimise, start
from hybridopt_reproductions.claims import Claim, ClaimsStudy, Finding, finite, middle, p_of, rule_of

D, LOSSES, SIGMA = 10, 20_000, 1.0
POPSIZE = 100
SIDES = ("ours", "theirs")
SOLVED = 1e-12  # a value that nobody needs to go below
INSTALL = "pip install --no-deps mealpy opfunu pyswarms future"
CASES: Mapping[str, tuple[str, Mapping[str, Any], Sequence[str]]] = {  # strategy -> its peer, settings, functions
    "differential_evolution": ("mealpy's L-SHADE", {"final_popsize": 4}, tuple(FUNCTIONS)),
    "particle_swarm": ("pyswarms' global-best swarm", {}, tuple(FUNCTIONS)),
    "simulated_annealing": ("scipy's dual_annealing", {"coordinates": 1, "tails": "cauchy"}, ("rastrigin", "ackley")),
}
CLAIMS = {
    name: Claim(
        (name,),
        f"it is not behind {peer} in {D} dimensions after {LOSSES:,} losses: on none of {', '.join(functions)} is the "
        "other one better (p < .05)",
    )
    for name, (peer, _, functions) in CASES.items()
}


class Peers(ClaimsStudy):
    """L-SHADE, a particle swarm and annealing, each against another package's, on functions of ten dimensions.

    Both sides begin at the same places and ask for as many losses, by the settings that the other package recommends.
    Values are compared by their logarithms, paired by start, and those below 1e-12 count as that: a difference of
    means is a ratio then. That one is not behind is not that it is as good; the tables say how large a difference could
    have been seen. Annealing is held against scipy's generalised annealing without its local search.

    Mealpy and pyswarms are no dependencies, since mealpy pins an old numpy: ``pip install --no-deps mealpy opfunu
    pyswarms future``. The smallest profile does without.
    """

    claim = "Searches are not behind those of other packages."
    claims = CLAIMS
    rule = rule_of(CLAIMS)
    compared_by = "the logarithm of the value to base 10"
    profiles = {
        "smoke": Profile(seeds=2, minutes=0.05, sizes={"strategies": ["simulated_annealing"], "losses": 400}),
        "docs": Profile(seeds=15, minutes=3, sizes={"strategies": list(CASES), "losses": LOSSES}),
        "full": Profile(seeds=50, minutes=10, sizes={"strategies": list(CASES), "losses": LOSSES}),
    }

    def cells(self, profile: Profile) -> Mapping[str, Mapping[str, Any]]:
        return {
            f"{name}, {function}, seed {seed}": {
                "strategy": name, "function": function, "seed": seed, "losses": profile.sizes["losses"]
            }
            for name in profile.sizes["strategies"]
            for function in CASES[name][2]
            for seed in profile.fresh
        }  # fmt: skip

    def compute(self, **cell: Any) -> Mapping[str, Any]:
        """The values that both sides end at."""
        name, seed, losses = cell["strategy"], cell["seed"], cell["losses"]
        function, settings = FUNCTIONS[cell["function"]], {"name": name, "sigma": SIGMA, **CASES[name][1]}
        theirs = PEERS[name](function, seed, losses)
        ours = minimise(settings, function, start(D, seed), losses, seed)
        told = {"strategy": name, "function": cell["function"], "seed": seed}
        return told | {"ours": finite(ours), "theirs": finite(theirs)}

    def comparisons(self, results: Results) -> list[Compared]:
        values: dict[str, dict[str, float]] = {}
        for cell in results.cells.values():
            for side in SIDES:
                arm = arm_of(cell["strategy"], cell["function"], side)
                values.setdefault(arm, {})[str(cell["seed"])] = math.log10(max(float(cell[side]), SOLVED))
        arms = list(values)  # ours and theirs, in turn
        return compare_values(values, list(zip(arms[::2], arms[1::2], strict=True)))

    def findings(self, results: Results, compared: Sequence[Compared]) -> Iterator[Finding]:
        found = {each.a: each for each in compared}
        for name, (_, _, functions) in CASES.items():
            arms = {function: arm_of(name, function, SIDES[0]) for function in functions}
            mine = {function: found[arm] for function, arm in arms.items() if arm in found}
            if not mine:
                continue
            said = [
                f"{function} {middle(ends(results, name, function, 'ours'), '.2g')}, theirs "
                f"{middle(ends(results, name, function, 'theirs'), '.2g')}, {p_of(each)}"
                for function, each in mine.items()
            ]
            behind = any(each.better == each.b for each in mine.values())
            yield Finding(CLAIMS[name], "; ".join(said), not behind)


def ends(results: Results, name: str, function: str, side: str) -> list[float]:
    """The values of one side, one for each seed."""
    cells = results.cells.values()
    return [float(c[side]) for c in cells if (c["strategy"], c["function"]) == (name, function)]


def arm_of(name: str, function: str, side: str) -> str:
    """One side, in the comparisons."""
    return f"{name}, {function}, {side}"


# -- the others -------------------------------------------------------------------------------------------------------


def arrays(function: Function) -> Callable[[np.ndarray], np.ndarray]:
    """The function of arrays, (n, d) -> (n,)."""
    return lambda x: function(torch.from_numpy(np.atleast_2d(x))).numpy()


def first_places(seed: int, count: int) -> np.ndarray:
    """The start, and others around it, (count, d)."""
    center = start(D, seed).numpy()
    places = center + SIGMA * np.random.default_rng(seed).normal(size=(count, D))
    places[0] = center
    return places


def lshade(function: Function, seed: int, losses: int) -> float:
    """Mealpy's L-SHADE; it wants bounds, which are far away."""
    try:
        from mealpy import SHADE, FloatVar
    except ImportError as error:
        raise missing("mealpy", error) from error
    values = arrays(function)
    problem = {
        "obj_func": lambda x: float(values(x)[0]),
        "bounds": FloatVar(lb=[-50.0] * D, ub=[50.0] * D),
        "minmax": "min",
        "log_to": None,
    }
    model = SHADE.L_SHADE(epoch=10_000, pop_size=POPSIZE)
    places = first_places(seed, POPSIZE)
    found = model.solve(problem, seed=seed, termination={"max_fe": losses}, starting_solutions=places)
    return float(found.target.fitness)


def swarm(function: Function, seed: int, losses: int) -> float:
    """Pyswarms' global-best swarm, by the same inertia and pulls."""
    pull = 0.5 + math.log(2)
    options = {"c1": pull, "c2": pull, "w": 0.8}
    places, clamp = first_places(seed, POPSIZE), (-10 * SIGMA, 10 * SIGMA)
    state = np.random.get_state()  # it draws from numpy's own generator
    np.random.seed(seed)
    try:
        with TemporaryDirectory() as folder, chdir(folder):  # it leaves a report.log where it is
            from pyswarms.single import GlobalBestPSO

            model = GlobalBestPSO(POPSIZE, D, options, init_pos=places, velocity_clamp=clamp)
            cost, _ = model.optimize(arrays(function), losses // POPSIZE, verbose=False)
    except ImportError as error:
        raise missing("pyswarms", error) from error
    finally:
        np.random.set_state(state)
    return float(cost)


def annealing(function: Function, seed: int, losses: int) -> float:
    """Scipy's generalised annealing, without its local search; it wants bounds."""
    from scipy.optimize import dual_annealing

    values = arrays(function)
    found = dual_annealing(
        lambda x: float(values(x)[0]), [(-5.12, 5.12)] * D, maxfun=losses, rng=seed, no_local_search=True
    )
    return float(found.fun)


def missing(package: str, error: ImportError) -> ConfigError:
    """What to type where a peer is not there."""
    return ConfigError(f"{package} cannot be imported ({error}): type {INSTALL}")


PEERS: Mapping[str, Callable[[Function, int, int], float]] = {
    "differential_evolution": lshade,
    "particle_swarm": swarm,
    "simulated_annealing": annealing,
}
