"""Ensemble Kalman methods: how many members, networks of steps, and what a filter is compared with."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from statistics import median
from typing import Any

import torch
from torch import nn

from hybridopt import Arm, Profile, Results
from hybridopt.study.comparing import Compared, compare_values
from hybridopt.study.training import train
from hybridopt_reproductions.claims import (
    Claim,
    ClaimsStudy,
    Finding,
    accuracies,
    by_seed,
    forwards_of,
    p_of,
    rule_of,
    shown,
)
from hybridopt_reproductions.digit_images import accuracy, digits, shuffled

INVERSION, FILTER = "ensemble_kalman_inversion", "ensemble_kalman_filter"
FEW, MANY = 50, 500  # members
STEPS = 20_000  # forwards for each member
GAIN, REACHED = 0.08, 0.95
BATCH = 64
FILTERED, SHORT, LONG = "filter, 1 epoch", "SGD, 1 epoch", "SGD, 60 epochs"
WAYS = {FILTERED: (FILTER, 1), SHORT: ("sgd", 1), "SGD, 10 epochs": ("sgd", 10), LONG: ("sgd", 60)}
HEAVISIDE = "network of steps"
CLAIMS = {
    "members": Claim(
        (INVERSION,),
        f"without redraws, in the span of its ensemble and in as many steps, {MANY} members end more than "
        f"{100 * GAIN:.0f} points above {FEW}, by median test accuracies on digits",
    ),
    "steps": Claim(
        (INVERSION,),
        f"a network of 64 steps, which has no gradient, is trained to a median test accuracy of {REACHED:g} on digits",
    ),
    "bad start": Claim(
        (FILTER,),
        "from weights N(0, 1) the filter is better than gradient descent after one epoch of both, and worse than after "
        "sixty (validation accuracy, p < .05 each)",
    ),
}


def members(count: int) -> str:
    """The name of an arm."""
    return f"{count} members"


class KalmanMethods(ClaimsStudy):
    """How many members an ensemble needs, a network of steps, and the filter where gradient descent starts badly.

    Without redraws an ensemble stays in its span (Iglesias et al. 2013), so that members should count; the larger one
    takes as many steps, and costs ten times as much. The filter (Yegenoglu et al. 2020) is held against SGD in a
    network 64-32-32-10 of sigmoids whose weights are drawn from N(0, 1), as in the authors' code: one epoch of
    gradient descent says little there, sixty say more. ``cited_papers`` goes on from that with fairer controls.
    """

    claim = "Ensemble Kalman methods need members, train networks of steps, and win where descent starts badly."
    claims = CLAIMS
    rule = rule_of(CLAIMS)
    compared_by = "validation accuracy"
    profiles = {
        "smoke": Profile(seeds=1, minutes=0.1, sizes={"jobs": False, "ensemble": 20, "share": 0.05}),
        "docs": Profile(seeds=5, minutes=2, sizes={"jobs": True, "ensemble": 1000, "share": 1.0}),
        "full": Profile(seeds=20, minutes=8, sizes={"jobs": True, "ensemble": 1000, "share": 1.0}),
    }

    def arms(self, profile: Profile) -> Mapping[str, Arm]:
        if not profile.sizes["jobs"]:
            return {}
        still = (f"strategy={INVERSION}", "strategy.redraw_every=0")
        sizes = {
            members(n): Arm((*still, f"strategy.ensemble={n}", f"budget.forwards={n * STEPS}")) for n in (FEW, MANY)
        }
        data = ("dataset.batch_size=64", "dataset.val_fraction=0.02")  # as many samples as the claim was found with
        return sizes | {HEAVISIDE: Arm((f"strategy={INVERSION}", "model=heaviside_mlp", *data))}

    def cells(self, profile: Profile) -> Mapping[str, Mapping[str, Any]]:
        sizes = {"ensemble": profile.sizes["ensemble"], "share": profile.sizes["share"]}
        return {f"{way}, seed {seed}": {"way": way, "seed": seed, **sizes} for way in WAYS for seed in profile.fresh}

    def compute(self, **cell: Any) -> Mapping[str, Any]:
        """The validation accuracy of one network that begins at N(0, 1)."""
        found = from_bad_start(cell["way"], cell["seed"], cell["ensemble"], cell["share"])
        return {"way": cell["way"], "seed": cell["seed"], "accuracy": found}

    def comparisons(self, results: Results) -> list[Compared]:
        values = by_seed(results, "way", list(WAYS), "accuracy")
        return compare_values(values, [(FILTERED, other) for other in (SHORT, LONG)], higher=True)

    def findings(self, results: Results, compared: Sequence[Compared]) -> Iterator[Finding]:
        few, many = accuracies(results, members(FEW)), accuracies(results, members(MANY))
        if few and many:
            said = f"{shown(few)} with {FEW} members, {shown(many)} with {MANY}"
            yield Finding(
                CLAIMS["members"], said, median(many) - median(few) > GAIN, forwards_of(results, members(MANY))
            )
        if steps := accuracies(results, HEAVISIDE):
            yield Finding(CLAIMS["steps"], shown(steps), median(steps) >= REACHED, forwards_of(results, HEAVISIDE))
        values = by_seed(results, "way", list(WAYS), "accuracy")
        said = "; ".join(f"{way} {shown(list(of.values()))}" for way, of in values.items())
        ps = ", ".join(f"{p_of(each)} against {each.b}" for each in compared)
        better = {each.b: each.better for each in compared}
        holds = better[SHORT] == FILTERED and better[LONG] == LONG
        yield Finding(CLAIMS["bad start"], f"{said}; {ps}", holds)


def from_bad_start(way: str, seed: int, ensemble: int, share: float) -> float:
    """Validation accuracy of a network 64-32-32-10 of sigmoids, all of whose weights were drawn from N(0, 1).

    Args:
        way: one of :data:`WAYS`.
        seed: of weights and batches.
        ensemble: members of the filter.
        share: of the epochs.
    """
    name, epochs = WAYS[way]
    settings = {
        "sgd": {"schedule": "constant"},
        FILTER: {"sigma": 1.0, "ensemble": ensemble, "repetitions": 4, "gamma": 0.1},
    }[name]
    data = digits()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [nn.Flatten(), nn.Linear(64, 32), nn.Sigmoid(), nn.Linear(32, 32), nn.Sigmoid(), nn.Linear(32, 10)]
        module = nn.Sequential(*layers)
        with torch.no_grad():
            for value in module.parameters():
                value.normal_()
    steps = max(1, round(share * epochs * math.ceil(len(data["train"][1]) / BATCH)))
    batches = islice(shuffled(data["train"], BATCH, torch.Generator().manual_seed(seed)), steps)
    train({"name": name, **settings}, module, "cross_entropy", batches, seed)
    return accuracy(module, data["val"])
