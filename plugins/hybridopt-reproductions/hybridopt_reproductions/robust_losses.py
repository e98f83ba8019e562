"""Losses without a gradient, and a smooth one in their place, where outliers mislead a convex loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from hybridopt import Profile, Results
from hybridopt.study.comparing import Compared, compare_values
from hybridopt.study.training import train
from hybridopt_reproductions.claims import Claim, ClaimsStudy, Finding, by_seed, dots_of, middle, p_of, rule_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SAMPLES, PASSES, D = 300, 5000, 10
CONVEX, SEARCHED, SMOOTH = "cross-entropy by adam", "zero-one by cem", "sigmoid of the margin by adam"
WAYS: Mapping[str, tuple[Mapping[str, Any], str]] = {  # strategy and objective
    CONVEX: ({"name": "adam"}, "cross_entropy"),
    "zero-one by snes": ({"name": "snes", "sigma": 0.3}, "zero_one"),
    SEARCHED: ({"name": "cem"}, "zero_one"),
    SMOOTH: ({"name": "adam", "lr": 0.03}, "sigmoid_zero_one"),
}
SHARE = 0.5  # of the errors of the convex loss
CLAIMS = {
    "misled": Claim(
        ("zero_one", "sigmoid_zero_one"),
        "where outliers mislead a convex loss, zero-one by a search (cem) and its smooth stand-in each have less than "
        "half of its test error, by medians, and are better (p < .05 each)",
    ),
}


class RobustLosses(ClaimsStudy):
    """A linear classifier where a tenth of the training labels are wrong and far out, by four losses and searches.

    Cross-entropy counts a sample the more, the further it lies on the wrong side (Nguyen and Sanner 2013,
    https://proceedings.mlr.press/v28/nguyen13a.html, for the zero-one loss). Two classes in ten dimensions, 300
    samples to train on and 5000 clean ones to test; all have as many forwards.
    """

    claim = "Where outliers mislead a convex loss, zero-one and its smooth stand-in err less."
    claims = CLAIMS
    rule = rule_of(CLAIMS)
    compared_by = "test error"
    profiles = {
        "smoke": Profile(seeds=1, minutes=0.05, sizes={"passes": 200}),
        "docs": Profile(seeds=10, minutes=0.3, sizes={"passes": PASSES}),
        "full": Profile(seeds=30, minutes=0.5, sizes={"passes": PASSES}),
    }

    def cells(self, profile: Profile) -> Mapping[str, Mapping[str, Any]]:
        sizes = {"passes": profile.sizes["passes"]}
        return {f"{way}, seed {seed}": {"way": way, "seed": seed, **sizes} for way in WAYS for seed in profile.fresh}

    def compute(self, **cell: Any) -> Mapping[str, Any]:
        """The test error of one classifier."""
        error, forwards = classified(cell["way"], cell["seed"], cell["passes"])
        return {"way": cell["way"], "seed": cell["seed"], "error": error, "forwards": forwards}

    def comparisons(self, results: Results) -> list[Compared]:
        values = by_seed(results, "way", list(WAYS), "error")
        return compare_values(values, [(way, CONVEX) for way in (SEARCHED, SMOOTH)])

    def findings(self, results: Results, compared: Sequence[Compared]) -> Iterator[Finding]:
        values = by_seed(results, "way", list(WAYS), "error")
        ends = {way: median(of.values()) for way, of in values.items()}
        said = "; ".join(f"{way} {middle(list(of.values()))}" for way, of in values.items())
        ps = ", ".join(f"{p_of(each)} for {each.a}" for each in compared)
        holds = all(each.better == each.a and ends[each.a] < SHARE * ends[CONVEX] for each in compared)
        cost = median(by_seed(results, "way", [SEARCHED], "forwards")[SEARCHED].values())
        yield Finding(CLAIMS["misled"], f"test error: {said}; {ps}", holds, cost)

    def draw(self, results: Results) -> Figure | None:
        values = by_seed(results, "way", list(WAYS), "error")
        return dots_of({way: list(of.values()) for way, of in values.items()}, "test error")


def outliers(seed: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Two classes in ten dimensions; a tenth of the training labels are wrong, far out. (training, test)."""
    generator = torch.Generator().manual_seed(seed)
    slope = torch.randn(D, generator=generator)
    x, clean = (torch.randn(count, D, generator=generator) for count in (SAMPLES, 5000))
    y, truth = ((values @ slope > 0).long() for values in (x, clean))
    flipped = torch.randperm(SAMPLES, generator=generator)[: SAMPLES // 10]
    x[flipped] = 30 * x[flipped]
    y[flipped] = 1 - (x[flipped] @ slope > 0).long()
    return (x, y), (clean, truth)


def classified(way: str, seed: int, passes: int) -> tuple[float, int]:
    """The share of clean test samples that a linear classifier gets wrong, and the forwards that it took."""
    strategy, objective = WAYS[way]
    batch, (inputs, targets) = outliers(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = nn.Linear(D, 2)
    ledger = train(strategy, module, objective, repeat(batch), seed, SAMPLES * passes)
    with torch.no_grad():
        return float((module(inputs).argmax(1) != targets).double().mean()), ledger.forwards
