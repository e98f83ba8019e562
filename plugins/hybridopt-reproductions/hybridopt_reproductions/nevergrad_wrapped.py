"""Optimisers of nevergrad by name, against nevergrad's own loop: same function, start, budget and seeds."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hybridopt import Profile, Results
from hybridopt.study.comparing import Compared, compare_values
from hybridopt.study.functions import FUNCTIONS, Function, minimise, start
from hybridopt_reproductions.claims import Claim, ClaimsStudy, Finding, finite, middle, p_of, rule_of

D, LOSSES, SIGMA = 10, 600, 1.0  # NGOpt's rules change at 600 losses in ten dimensions: here it is told 599
SOLVED = 1e-12  # a value that nobody needs to go below
ON = ("sphere", "rosenbrock")
SIDES = ("wrapped", "alone")
NAMES = (
    "NGOpt", "NgIohTuned", "Shiwa", "CMA", "DiagonalCMA", "ChainCMAwithLHSsqrt", "TwoPointsDE", "DE", "RealSpacePSO",
    "OnePlusOne", "DiscreteOnePlusOne", "TBPSA", "RandomSearch", "ScrHammersleySearch", "NelderMead", "EDA",
    "MetaModelOnePlusOne", "OptimisticNoisyOnePlusOne", "CauchyOnePlusOne", "QORandomSearch",
)  # fmt: skip
CLAIMS = {
    name: Claim(
        ("nevergrad",),
        f"on {name} in {D} dimensions, {LOSSES} losses, none of {len(NAMES)} names is worse than in nevergrad's own "
        "loop (p < .05)",
    )
    for name in ON
}


class NevergradWrapped(ClaimsStudy):
    """Twenty of nevergrad's optimisers as ``strategy=nevergrad`` runs them, and as nevergrad's own loop does.

    A wrapper may lose something: in what an optimiser is told of budget and start, in when it is asked and told, and
    in what it recommends. Values are compared by their logarithms, paired by start, and those below 1e-12 count as
    that. That none is worse is not that all are equal; the table says how large a difference could have been seen.
    """

    claim = "Nevergrad's optimisers lose nothing by being wrapped."
    claims = CLAIMS
    rule = rule_of(CLAIMS)
    compared_by = "the logarithm of the value to base 10"
    profiles = {
        "smoke": Profile(seeds=2, minutes=0.05, sizes={"names": ["OnePlusOne", "DE"], "losses": 60}),
        "docs": Profile(seeds=9, minutes=4, sizes={"names": list(NAMES), "losses": LOSSES}),
        "full": Profile(seeds=30, minutes=13, sizes={"names": list(NAMES), "losses": LOSSES}),
    }

    def cells(self, profile: Profile) -> Mapping[str, Mapping[str, Any]]:
        sizes = {"seeds": list(profile.fresh), "losses": profile.sizes["losses"]}
        return {f"{f}, {name}": {"function": f, "name": name, **sizes} for f in ON for name in profile.sizes["names"]}

    def compute(self, **cell: Any) -> Mapping[str, Any]:
        """The values at the ends of both loops, by seed."""
        function, losses, name = FUNCTIONS[cell["function"]], cell["losses"], cell["name"]
        settings = {"name": "nevergrad", "popsize": 1, "moves_per_step": 20, "sigma": SIGMA, "allow_recast": True}
        settings["optimizer"] = name
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nevergrad's own
            ends = {
                str(seed): [
                    finite(minimise(settings, function, start(D, seed), losses, seed)),
                    finite(alone(name, function, start(D, seed), losses, seed)),
                ]
                for seed in cell["seeds"]
            }
        return {"function": cell["function"], "name": name, "ends": ends}

    def comparisons(self, results: Results) -> list[Compared]:
        values = {
            arm_of(cell, side): {seed: math.log10(max(ends[n], SOLVED)) for seed, ends in cell["ends"].items()}
            for cell in results.cells.values()
            for n, side in enumerate(SIDES)
        }
        pairs = [(arm_of(cell, SIDES[0]), arm_of(cell, SIDES[1])) for cell in results.cells.values()]
        return compare_values(values, pairs)

    def findings(self, results: Results, compared: Sequence[Compared]) -> Iterator[Finding]:
        found = {each.a: each for each in compared}
        for function in ON:
            cells = [cell for cell in results.cells.values() if cell["function"] == function]
            mine = {cell["name"]: found[arm_of(cell, SIDES[0])] for cell in cells}
            if mine:
                ends = {cell["name"]: cell["ends"] for cell in cells}
                said = [
                    f"{name} {middle([a for a, _ in ends[name].values()], '.2g')}, alone "
                    f"{middle([b for _, b in ends[name].values()], '.2g')}, {p_of(each)}"
                    for name, each in mine.items()
                ]
                yield Finding(CLAIMS[function], "; ".join(said), all(each.better != each.b for each in mine.values()))


def arm_of(cell: Mapping[str, Any], side: str) -> str:
    """One side of a cell, in the comparisons."""
    return f"{cell['function']}, {cell['name']}, {side}"


def alone(name: str, function: Function, x0: Tensor, losses: int, seed: int) -> float:
    """Nevergrad's own loop, and its own recommendation."""
    import nevergrad as ng

    def value(x: np.ndarray) -> float:
        return float(function(torch.from_numpy(x)[None])[0])

    parametrization = ng.p.Array(init=x0.numpy()).set_mutation(sigma=SIGMA)
    parametrization.random_state = np.random.RandomState(seed)
    optimizer = ng.optimizers.registry[name](parametrization, budget=losses, num_workers=1)
    return value(optimizer.minimize(value).value)
