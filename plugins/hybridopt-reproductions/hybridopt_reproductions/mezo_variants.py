"""Descendants of MeZO against MeZO, each where the mechanism that its paper claims can show."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from sklearn.datasets import load_wine
from torch import Tensor, nn

from hybridopt import Profile, Results
from hybridopt.study.comparing import Compared, compare_values
from hybridopt.study.functions import minimise
from hybridopt.study.training import train
from hybridopt_reproductions.claims import WORST, Claim, ClaimsStudy, Finding, finite, middle, p_of, rule_of
from hybridopt_reproductions.digit_images import Arrays, shuffled
from hybridopt_reproductions.transfer import changed, fine_tuned, loss, perceptron

RATES = [3.0**k for k in range(-8, 3)]  # of which the best counts
TUNING = range(1000, 1003)  # seeds that judge them
MEZO = "mezo"
UNEVEN, D, CURVED = "quadratic", 20, 30_000  # dimensions, and losses
LOWER = 10  # times


@dataclass(frozen=True)
class Problem:
    """Something to minimise.

    Args:
        says: where it is, for the claim.
        rival: the descendant, and its settings.
        losses: that a run may ask for.
        size: samples of a batch.
        schedule: of the step size.
        run: of the problem, settings, a seed and "val" or "test", to the loss at the end.
    """

    says: str
    rival: tuple[str, Mapping[str, Any]]
    losses: int
    size: int
    schedule: str
    run: Callable[[Problem, Mapping[str, Any], int, str], float]

    @property
    def forwards(self) -> int:
        """What a run costs."""
        return self.losses * self.size

    def end(self, name: str, rate: float, seed: int, held_out: str) -> float:
        """The loss at the end of a run with a step size."""
        own = self.rival[1] if name == self.rival[0] else {}
        rates = {"lr": rate, **({"anchor_lr": rate} if name == "mezo_svrg" else {})}
        given = {"name": name, "schedule": self.schedule, "probe": 0, **rates, **own}
        return finite(self.run(self, given, seed, held_out))


# -- the problems ------------------------------------------------------------------------------------------------------


def blurred(problem: Problem, settings: Mapping[str, Any], seed: int, held_out: str) -> float:
    """The network 64-128-10, trained on digits and fine-tuned on blurred ones."""
    module = fine_tuned(perceptron, "blurred", settings, problem.size, problem.forwards, seed)
    return loss(module, changed("blurred", False)[1][held_out])


def unscaled(problem: Problem, settings: Mapping[str, Any], seed: int, held_out: str) -> float:
    """Least squares on half of scikit-learn's wine, features of scales from 0.1 to 10; its excess training loss."""
    features, classes = (torch.as_tensor(part) for part in load_wine(return_X_y=True))
    features = (features - features.mean(0)) / features.std(0) * torch.logspace(-1, 1, features.shape[1])
    rows = torch.randperm(len(classes), generator=torch.Generator().manual_seed(seed))[:UNSCALED_ROWS]
    x, y = features.float()[rows], nn.functional.one_hot(classes.long()[rows]).float()
    return excess(problem, settings, seed, (x - x.mean(0), y - y.mean(0)))


UNSCALED_ROWS = 89


def ill_conditioned(problem: Problem, settings: Mapping[str, Any], seed: int, held_out: str) -> float:
    """A matrix 16 x 32 in linear regression on inputs of scales from 0.03 to 1; its training loss."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(64, 32, generator=generator) * torch.logspace(-1.5, 0, 32)
    y = x @ torch.randn(32, 16, generator=generator)
    return descended(problem, settings, seed, nn.Linear(32, 16, bias=False), (x, y))


def finite_set(problem: Problem, settings: Mapping[str, Any], seed: int, held_out: str) -> float:
    """Linear regression on 16 noisy samples in 8 dimensions; how far the training loss is above the lowest one."""
    generator = torch.Generator().manual_seed(seed)
    x, noise = torch.randn(16, 8, generator=generator), torch.randn(16, 1, generator=generator)
    return excess(problem, settings, seed, (x, x @ torch.randn(8, 1, generator=generator) / 8**0.5 + noise))


def excess(problem: Problem, settings: Mapping[str, Any], seed: int, data: Arrays) -> float:
    """How far the loss of a linear map is above the lowest one."""
    x, y = data
    lowest = float(nn.functional.mse_loss(x @ torch.linalg.lstsq(x, y).solution, y))
    module = nn.Linear(x.shape[1], y.shape[1], bias=False)
    return descended(problem, settings, seed, module, data) - lowest


def descended(problem: Problem, settings: Mapping[str, Any], seed: int, module: nn.Linear, data: Arrays) -> float:
    """The loss on all data after training from zero."""
    nn.init.zeros_(module.weight)
    batches = shuffled(data, problem.size, torch.Generator().manual_seed(seed))
    train(settings, module, "mse", batches, seed, problem.forwards)
    with torch.no_grad():
        return float(nn.functional.mse_loss(module(data[0]), data[1]))


EIGHT = "fine-tuned to blurred digits on batches of eight"
PROBLEMS: Mapping[str, Problem] = {
    "wine": Problem(
        "in least squares on features of scales from 0.1 to 10",
        ("hizoo", {"smoothing": 0.01}), 4000, UNSCALED_ROWS, "cosine", unscaled,
    ),
    "low rank": Problem(
        f"{EIGHT}, where a gradient has a rank of eight at most", ("lozo", {}), 2000, 8, "cosine", blurred
    ),
    "matrix": Problem(
        "on a matrix whose inputs have scales from 0.03 to 1", ("zo_muon", {}), 4000, 64, "cosine", ill_conditioned
    ),
    "slopes": Problem(
        f"{EIGHT}, whose slopes differ from step to step", ("adamezo", {}), 2000, 8, "cosine", blurred
    ),
    "finite set": Problem(
        "on batches of four of 16 samples, with an anchor on all of them every second pass",
        ("mezo_svrg", {}), 8000, 4, "constant", finite_set,
    ),
}  # fmt: skip
CLAIMS = {
    UNEVEN: Claim(
        ("hizoo",),
        f"on a quadratic of condition 1000 in {D} dimensions, it ends {LOWER} times below mezo after {CURVED:,} "
        "losses, by medians",
    ),
    **{
        name: Claim((problem.rival[0],), f"{problem.says}, it ends below mezo at equal forwards (p < .05)")
        for name, problem in PROBLEMS.items()
    },
}


class MezoVariants(ClaimsStudy):
    """HiZOO, LOZO, ZO-Muon, AdaMeZO and MeZO-SVRG against MeZO, by the loss at the end.

    Both sides are tuned alike: the step size is the best of eleven, each three times the one before, by the median of
    three seeds that are not among those that count; both have the same schedule, no bound by a probe, and as many
    losses. Losses are compared by their logarithms, paired by seed. Two problems have taken the place of others that
    could not tell, before: softmax regression on separable classes, where the longest step is the best for either
    (HiZOO), and an anchor for 16 steps, each of which goes along its one direction (MeZO-SVRG, which lost).
    """

    claim = "Descendants of MeZO are better than MeZO where their mechanism can show."
    claims = CLAIMS
    rule = rule_of(CLAIMS)
    compared_by = "the logarithm of the loss to base 10"
    profiles = {
        "smoke": Profile(seeds=1, minutes=0.1, sizes={"problems": [UNEVEN, "finite set"], "rates": 2, "share": 0.01}),
        "docs": Profile(seeds=10, minutes=4, sizes={"problems": list(CLAIMS), "rates": len(RATES), "share": 1.0}),
        "full": Profile(seeds=40, minutes=8, sizes={"problems": list(CLAIMS), "rates": len(RATES), "share": 1.0}),
    }

    def cells(self, profile: Profile) -> Mapping[str, Mapping[str, Any]]:
        sizes = {"seeds": list(profile.fresh), **{key: profile.sizes[key] for key in ("rates", "share")}}
        return {
            f"{problem}, {name}": {"problem": problem, "strategy": name, **sizes}
            for problem in profile.sizes["problems"]
            for name in (rival_of(problem), MEZO)
        }

    def compute(self, **cell: Any) -> Mapping[str, Any]:
        """A step size is chosen, and the losses of all seeds with it."""
        problem, name, seeds, share = cell["problem"], cell["strategy"], cell["seeds"], cell["share"]
        told = {"problem": problem, "strategy": name}
        if problem == UNEVEN:
            return told | {"rate": None, "ends": {str(seed): lowered(name, seed, share) for seed in seeds}}
        small = reduced(PROBLEMS[problem], share)
        first = (len(RATES) - cell["rates"]) // 2
        best = min(
            RATES[first : first + cell["rates"]],
            key=lambda rate: median(small.end(name, rate, seed, "val") for seed in TUNING),
        )
        return told | {"rate": best, "ends": {str(seed): small.end(name, best, seed, "test") for seed in seeds}}

    def comparisons(self, results: Results) -> list[Compared]:
        values: dict[str, dict[str, float]] = {}
        for cell in results.cells.values():
            ends = {seed: math.log10(max(end, 1 / WORST)) for seed, end in cell["ends"].items()}
            values[arm_of(cell["problem"], cell["strategy"])] = ends
        there = [problem for problem in PROBLEMS if arm_of(problem, MEZO) in values]
        return compare_values(values, [(arm_of(p, rival_of(p)), arm_of(p, MEZO)) for p in there])

    def findings(self, results: Results, compared: Sequence[Compared]) -> Iterator[Finding]:
        found = {each.a: each for each in compared}
        for problem, claim in CLAIMS.items():
            cells = {c["strategy"]: c for c in results.cells.values() if c["problem"] == problem}
            if not cells:
                continue
            own, mezo = (list(cells[name]["ends"].values()) for name in (rival_of(problem), MEZO))
            if problem == UNEVEN:
                said = f"loss {middle(own)}, mezo {middle(mezo)}"
                yield Finding(claim, said, LOWER * median(own) < median(mezo), CURVED)
            else:
                each = found[arm_of(problem, rival_of(problem))]
                rates = {name: cell["rate"] for name, cell in cells.items()}
                said = (
                    f"loss {middle(own)} at lr {rates[rival_of(problem)]:.2g}, mezo {middle(mezo)} at lr "
                    f"{rates[MEZO]:.2g}, {p_of(each)}"
                )
                yield Finding(claim, said, each.better == each.a, PROBLEMS[problem].forwards)


def arm_of(problem: str, strategy: str) -> str:
    """A strategy on a problem, in the comparisons."""
    return f"{problem}, {strategy}"


def rival_of(problem: str) -> str:
    """The descendant that a problem is for."""
    return "hizoo" if problem == UNEVEN else PROBLEMS[problem].rival[0]


def reduced(problem: Problem, share: float) -> Problem:
    """The same with a share of the losses."""
    losses = max(40, round(share * problem.losses))
    return Problem(problem.says, problem.rival, losses, problem.size, problem.schedule, problem.run)


def lowered(name: str, seed: int, share: float) -> float:
    """A quadratic in :data:`D` dimensions, curved from 0.1 to 100, after a share of the losses from a random place."""
    curvature = torch.logspace(-1, 2, D, dtype=torch.float64)

    def quadratic(x: Tensor) -> Tensor:
        return (curvature * x.square()).sum(dim=1) / 2

    settings = {"name": name, "schedule": "constant", **({"smoothing": 0.01} if name == "hizoo" else {})}
    x0 = torch.randn(D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return finite(minimise(settings, quadratic, x0, max(60, round(share * CURVED)), seed))
