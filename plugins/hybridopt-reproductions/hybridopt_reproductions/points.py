"""Problems of papers, in which a network is a point: what searches come to on them."""

from __future__ import annotations

from itertools import repeat
from typing import Any, cast

import torch
from torch import Tensor, nn
from torchmetrics import MetricCollection

from hybridopt import Batch, Budget, DataSpec, Forward, Ledger, Objective, Oracle
from hybridopt.study.functions import BATCH, Place, Value
from hybridopt.study.training import built, train

GUIDED_LOSSES = 15_000
RATE = 0.2 * 1000  # of guided steps: rows are a thousandth of the authors', who sum them
ASKED, TARGET = 100_000, 0.05  # the most losses of ASEBO, and the loss where it ends
WALKS, NEAR = 30_000, 0.3
STEPS, SPEED = 60, 0.1  # of a robot
WIDTH, DEPTH = 0.75, 0.25  # of the cup: half its width, and how far its sides reach back
SAFE_LOSSES = 4000


class Point(nn.Module):
    """A network that is its weights (d, 1), whatever the input."""

    def __init__(self, start: Tensor):
        super().__init__()
        self.weight = nn.Parameter(start.clone().reshape(-1, 1))

    def forward(self, inputs: Tensor) -> Tensor:
        return (1.0 * self.weight.flatten()).expand(len(inputs), -1)


def point(d: int) -> Batch:
    """One sample that nothing depends on."""
    return torch.zeros(1, 1), torch.zeros(1, d)


class Unmeasured(Objective):
    """An objective without metrics."""

    differentiable = True

    def metrics(self, spec: DataSpec) -> MetricCollection:
        return MetricCollection({})


# -- a gradient with a bias -------------------------------------------------------------------------------------------


class Rows(Unmeasured):
    """|A x - b|^2 / rows, whose gradient is lent a bias and noise, each as large as itself or half as large again.

    Args:
        a, b: the least-squares problem.
        wrong: whether the gradient is the biased one.
        seed: of bias and noise.
    """

    def __init__(self, a: Tensor, b: Tensor, wrong: bool, seed: int):
        super().__init__()
        self.a, self.b, self.wrong = a, b, wrong
        self.generator = torch.Generator().manual_seed(seed)
        self.bias = nn.functional.normalize(torch.randn(a.shape[1], generator=self.generator), dim=0)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        x = outputs[0]
        value = (self.a @ x - self.b).square().mean()
        if not (self.wrong and outputs.requires_grad):
            return value
        size = (2 * self.a.T @ (self.a @ x - self.b) / len(self.b)).norm().detach()
        noise = nn.functional.normalize(torch.randn(len(x), generator=self.generator), dim=0)
        return value + (x * size * (self.bias + 1.5 * noise)).sum()


def excess(way: str, seed: int, share: float) -> float:
    """How far above the lowest loss a strategy ends; n = 1000, m = 2000.

    Args:
        way: "guided", "unguided" or "biased gradient".
        seed: of the problem and all draws.
        share: of the losses.
    """
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(2000, 1000, generator=generator) / 1000**0.5
    b = torch.randn(2000, generator=generator)
    best = float((a @ torch.linalg.lstsq(a, b[:, None]).solution[:, 0] - b).square().mean())
    wrong, module = Rows(a, b, True, seed), Point(torch.zeros(1000))
    if way == "biased gradient":
        strategy: dict[str, Any] = {"name": "sgd", "lr": 5.0, "momentum": 0.0, "schedule": "constant"}
    else:
        alpha, beta = (0.5, 2.0) if way == "guided" else (1.0, 1.0)
        strategy = {"name": "guided_es", "surrogate": wrong, "alpha": alpha, "beta": beta, "lr": RATE, "sigma": 0.1}
        strategy |= {"pairs": 1, "directions": 1, "descent": "sgd", "schedule": "constant"}
    objective = wrong if way == "biased gradient" else Rows(a, b, False, seed)
    train(strategy, module, objective, repeat(point(1000)), seed, max(20, share * GUIDED_LOSSES))
    x = module.weight.detach().flatten()
    return float((a @ x - b).square().mean()) - best


# -- few directions ---------------------------------------------------------------------------------------------------


def needed(learns: bool, seed: int, share: float) -> float:
    """The losses that ASEBO asks for until a bowl in three directions of 200 is below :data:`TARGET`.

    Args:
        learns: whether it finds the subspace; else it samples in all dimensions as long as it runs.
        seed: of the directions and all draws.
        share: of the most losses.
    """
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(200, 3, generator=generator, dtype=torch.float64)).Q

    def bowl(x: Tensor) -> Tensor:
        return (x @ basis).square().sum(dim=1)

    settings = {"warmup": 5 if learns else 10**9, "fewest": 3, "lr": 0.05, "schedule": "constant"}
    search = built({"name": "asebo", **settings})
    ledger = Ledger(Budget(evaluations=share * ASKED))
    oracle = Oracle(Place(20 * basis.sum(dim=1)), Value(bowl), ledger, torch.Generator().manual_seed(seed))
    oracle.feed.unchanged = True
    search.attach(oracle)
    search.begin(oracle, BATCH)
    while not oracle.exhausted and float(bowl(cast(Tensor, search.recommend())[None])) > TARGET:
        search.step(oracle, BATCH)
    return float(ledger.evaluations)


# -- a trap -----------------------------------------------------------------------------------------------------------


class Trap(Unmeasured):
    """How far from the goal a robot ends that walks into a cup, which opens towards its start; it must go around.

    The outputs are its headings, two numbers for each of :data:`STEPS` steps; a behaviour is where it ends.
    """

    differentiable = False

    def outputs(self, forward: Forward, batch: Batch) -> Tensor:
        headings = forward(batch[0]).unflatten(2, (STEPS, 2)).tanh() * SPEED
        place = torch.zeros(*headings.shape[:2], 2)
        for step in range(STEPS):
            place = walked(place, headings[:, :, step])
        return place

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - outputs.new_tensor([2.0, 0.0])).norm(dim=-1).mean()


def walked(place: Tensor, step: Tensor) -> Tensor:
    """A step that ends before the walls: one across the way at x = 1, two along it, from x = 1 - DEPTH on."""
    new = place + step
    x, y, nx, ny = place[..., 0], place[..., 1], new[..., 0], new[..., 1]
    across = ((x < 1) != (nx < 1)) & (y.abs() < WIDTH)
    along = ((y.abs() < WIDTH) != (ny.abs() < WIDTH)) & (nx > 1 - DEPTH) & (nx < 1)
    return torch.where((across | along)[..., None], place, new)


CLIMB = {"popsize": 20, "sigma": 0.2, "lr": 0.1}
WALKERS: dict[str, dict[str, Any]] = dict.fromkeys(("ns_es", "nsr_es", "nsra_es", "openai_es"), CLIMB)
WALKERS |= {"random_search": {"sigma": 1.0}, "genetic_algorithm": {"sigma": 0.2}}


def distance(name: str, seed: int, share: float) -> float:
    """How far from the goal the robot of a strategy ends.

    Args:
        name: of the strategy, in :data:`WALKERS`.
        seed: of the first headings and all draws.
        share: of the walks.
    """
    start = 0.1 * torch.randn(2 * STEPS, generator=torch.Generator().manual_seed(seed))
    module, batch = Point(start), point(2 * STEPS)
    train({"name": name, **WALKERS[name]}, module, Trap(), repeat(batch), seed, max(200, share * WALKS))
    with torch.no_grad():
        end = Trap().outputs(lambda inputs: module(inputs)[None], batch)
        return float(Trap().loss(end[0], end))


# -- two weights ------------------------------------------------------------------------------------------------------


class Uneven(nn.Module):
    """y = (100 w0 x0, 0.1 w1 x1)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight * x.new_tensor([100.0, 0.1])


def error(name: str, seed: int, share: float) -> float:
    """The mean squared error of y = x after a share of the losses.

    Args:
        name: "safe_mutation" or "genetic_algorithm".
        seed: of all draws.
        share: of the losses.
    """
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    plain = {"name": "genetic_algorithm", "sigma": 0.1}
    chosen = plain if name == plain["name"] else {"name": name, "search": plain, "refreshes": 1}
    module = Uneven()
    train(chosen, module, "mse", repeat((x, x)), seed, max(400, share * SAFE_LOSSES) * len(x))
    with torch.no_grad():
        return float((module(x) - x).square().mean())
