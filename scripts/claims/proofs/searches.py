"""Searches against their ablations: crossover, subspaces, surrogates, novelty, safe steps."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

import torch
from scipy.stats import mannwhitneyu
from torch import Tensor, nn

from hybridopt import Budget, Oracle
from hybridopt.composition import building, registry
from hybridopt.core.ledger import Ledger
from hybridopt.core.strategy import Strategy
from hybridopt.objectives.mse import MeanSquaredError
from hybridopt.testing.by_hand import begin, deploy
from proofs import Finding, accuracies, proves, spread
from proofs.jobs import command, test_accuracies


@proves("genetic_algorithm")
def crossover(seeds: int) -> Iterator[Finding]:
    seeds = max(seeds, 10)
    base = ["strategy=genetic_algorithm"]
    found = {share: test_accuracies([*base, f"strategy.crossover={share}"], seeds) for share in (1.0, 0.0)}
    p = mannwhitneyu(found[1.0], found[0.0], alternative="greater").pvalue
    said = f"{accuracies(found[1.0])} with, {accuracies(found[0.0])} without, p = {p:.2g} (Mann-Whitney)"
    yield Finding("crossover beats mutation alone at equal cost", said, p < 0.05, 1e7, command(base, seeds))


@proves("sgd_proxy")
def proxy(seeds: int) -> Iterator[Finding]:
    gaps, said = [], []
    for pairs in (16, 64, 256):
        steps = int(1e7 / (2 * pairs * 256))
        es = test_accuracies(["strategy=openai_es", f"strategy.popsize={2 * pairs}"], seeds)
        budget = f"budget.forwards={steps * 3 * 256}"
        stand_in = test_accuracies(["strategy=sgd_proxy", f"strategy.pairs={pairs}", budget], seeds)
        gaps.append(abs(statistics.median(es) - statistics.median(stand_in)))
        said.append(f"{pairs} pairs: {accuracies(es)} and {accuracies(stand_in)}")
    claim = "in as many steps it ends within two points of the evolution strategy that it stands for"
    yield Finding(claim, "; ".join(said), max(gaps) < 0.02)


@proves("cool_momentum")
def cooling(seeds: int) -> Iterator[Finding]:
    base = ["model.hidden=[64]", "budget.forwards=6.5e4", "dataset.batch_size=32"]
    cool = test_accuracies(["strategy=cool_momentum", *base], seeds)
    sgd = test_accuracies(["strategy=sgd", "strategy.lr=0.05", *base], seeds)
    claim = "without a schedule it is within a point of momentum with a cosine"
    said = f"{accuracies(cool)} against {accuracies(sgd)}"
    how = command(["strategy=cool_momentum", *base], seeds)
    yield Finding(claim, said, statistics.median(cool) > statistics.median(sgd) - 0.01, 6.5e4, how)


@proves("simulated_annealing_head")
def head(seeds: int) -> Iterator[Finding]:
    """One epoch of gradient descent, then as many forwards again, three hundred times, for either."""
    epoch = 3 * 1078
    short = ["strategy=adam", f"budget.forwards={epoch}", "strategy.lr=1e-3", "strategy.schedule=constant"]
    total, share = 1e6, epoch / 1e6
    annealed = ["strategy=simulated_annealing_head", f"budget.forwards={total:g}", f"strategy.pretrain_share={share}"]
    annealed += ["strategy.pretrain.lr=1e-3", "strategy.pretrain.schedule=constant"]
    more = ["strategy=adam", f"budget.forwards={total:g}", "strategy.lr=1e-3", "strategy.schedule=constant"]
    base, after, instead = (test_accuracies(given, seeds) for given in (short, annealed, more))
    said = f"{accuracies(base)} after an epoch, {accuracies(after)} annealed, {accuracies(instead)} by gradient instead"
    medians = [statistics.median(found) for found in (base, after, instead)]
    claim = "annealing the head improves a network of one epoch; more gradient descent improves it more"
    yield Finding(claim, said, medians[0] < medians[1] < medians[2], total, command(annealed, seeds))


# -- problems of a point ----------------------------------------------------------------------------------------------


class Point(nn.Module):
    """A network that is its weights (d, 1), whatever the input."""

    def __init__(self, start: Tensor):
        super().__init__()
        self.weight = nn.Parameter(start.clone().reshape(-1, 1))

    def forward(self, inputs: Tensor) -> Tensor:
        return (1.0 * self.weight.flatten()).expand(len(inputs), -1)


def run(
    strategy: Strategy, model: nn.Module, objective: nn.Module, batch: tuple[Tensor, Tensor], losses: int, seed: int
):
    """Train until so many losses of one sample are asked for; the weights then."""
    budget = Budget(forwards=losses * len(batch[0]))
    oracle = Oracle(model, objective, Ledger(budget), torch.Generator().manual_seed(seed))
    begin(strategy, oracle, batch)
    while not oracle.exhausted:
        strategy.step(oracle, batch)
    deploy(strategy, oracle)
    return model.weight.detach().flatten()


class Rows(MeanSquaredError):
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


SCALE = 1000.0  # of step sizes: the rows are that much smaller than the authors'


@proves("guided_es")
def surrogate(seeds: int) -> Iterator[Finding]:
    """The authors' problem: n = 1000, m = 2000, a gradient with a bias of its own size and noise of one and a half."""
    ends: dict[str, list[float]] = {"guided": [], "plain": [], "biased gradient": []}
    for seed in range(seeds):
        generator = torch.Generator().manual_seed(seed)
        a = torch.randn(2000, 1000, generator=generator) / 1000**0.5
        b = torch.randn(2000, generator=generator)
        best = float((a @ torch.linalg.lstsq(a, b[:, None]).solution[:, 0] - b).square().mean())
        wrong = Rows(a, b, True, seed)
        for name, alpha in {"guided": 0.5, "plain": 1.0}.items():
            settings = {"pairs": 1, "directions": 1, "sigma": 0.1, "beta": 2.0 if name == "guided" else 1.0}
            guided = registry.find("strategy", "guided_es").load()
            strategy = guided(wrong, alpha=alpha, lr=0.2 * SCALE, descent="sgd", schedule="constant", **settings)
            x = run(strategy, Point(torch.zeros(1000)), Rows(a, b, False, seed), point(1000), 3000 * 5, seed)
            ends[name].append(float((a @ x - b).square().mean()) - best)
        sgd = building.build("strategy", {"name": "sgd", "lr": 5.0, "momentum": 0.0, "schedule": "constant"})
        x = run(sgd, Point(torch.zeros(1000)), wrong, point(1000), 3000 * 5, seed)
        ends["biased gradient"].append(float((a @ x - b).square().mean()) - best)
    said = "; ".join(f"{name} {spread(values)}" for name, values in ends.items())
    medians = {name: statistics.median(values) for name, values in ends.items()}
    claim = "on the authors' problem it ends below the plateau of the biased gradient, and below an unguided strategy"
    yield Finding(claim, f"excess loss: {said}", medians["guided"] < min(medians["plain"], medians["biased gradient"]))


def point(d: int) -> tuple[Tensor, Tensor]:
    """One sample that nothing depends on."""
    return torch.zeros(1, 1), torch.zeros(1, d)


@proves("asebo")
def subspace(seeds: int) -> Iterator[Finding]:
    needed: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(seeds):
        basis = torch.linalg.qr(torch.randn(200, 3, generator=torch.Generator().manual_seed(seed))).Q
        for learns in needed:
            settings = {"warmup": 5 if learns else 10**9, "fewest": 3, "lr": 0.05, "schedule": "constant"}
            search = building.build("strategy", {"name": "asebo", **settings})
            search.generator = torch.Generator().manual_seed(seed)
            search.start(20 * basis.sum(1))
            asked = 0
            while float(((search.recommend() @ basis) ** 2).sum()) > 0.05 and asked < 100_000:
                population = search.ask()
                search.tell(population, ((population @ basis) ** 2).sum(1))
                asked += len(population)
            needed[learns].append(asked)
    said = f"{spread(needed[True], 4)} losses, {spread(needed[False], 4)} without the subspace"
    holds = 3 * statistics.median(needed[True]) <= statistics.median(needed[False])
    yield Finding("three active directions of 200 are found, and save two losses of three", said, holds)


# -- a trap -----------------------------------------------------------------------------------------------------------

STEPS, SPEED = 60, 0.1
WIDTH, DEPTH = 0.75, 0.25  # of the cup: half its width, and how far its sides reach back


class Trap(MeanSquaredError):
    """How far from the goal a robot ends that walks into a cup, which opens towards its start; it must go around.

    The outputs are its headings, two numbers for each of :data:`STEPS` steps; a behaviour is where it ends.
    """

    differentiable = False

    def outputs(self, forward, batch):
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


@proves("ns_es", "nsr_es", "nsra_es")
def trap(seeds: int) -> Iterator[Finding]:
    """Solved where the robot ends within 0.3 of the goal, after 30,000 walks."""
    seeds = max(seeds, 10)
    climb = {"popsize": 20, "sigma": 0.2, "lr": 0.1}
    settings = dict.fromkeys(("ns_es", "nsr_es", "nsra_es", "openai_es"), climb)
    settings |= {"random_search": {"sigma": 1.0}, "genetic_algorithm": {"sigma": 0.2}}
    solved = {}
    for name, given in settings.items():
        solved[name] = 0
        for seed in range(seeds):
            torch.manual_seed(seed)
            strategy = building.build("strategy", {"name": name, **given})
            model = Point(0.1 * torch.randn(2 * STEPS))
            run(strategy, model, Trap(), point(2 * STEPS), 30_000, seed)
            with torch.no_grad():
                end = Trap().outputs(lambda inputs, model=model: model(inputs)[None], point(2 * STEPS))
                solved[name] += float(Trap().loss(end[0], end)) < 0.3
    said = ", ".join(f"{name} {count}" for name, count in solved.items())
    holds = solved["nsr_es"] > solved["openai_es"] and solved["random_search"] <= seeds / 10
    claim = "novelty and reward together escape a trap that reward alone does not, nor random search"
    yield Finding(claim, f"of {seeds} seeds: {said}", holds, 30_000)


class Uneven(nn.Module):
    """y = (100 w0 x0, 0.1 w1 x1)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight * x.new_tensor([100.0, 0.1])


@proves("safe_mutation")
def safe(seeds: int) -> Iterator[Finding]:
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    ends: dict[str, list[float]] = {"safe_mutation": [], "genetic_algorithm": []}
    for name, values in ends.items():
        for seed in range(seeds):
            model = Uneven()
            plain = {"name": "genetic_algorithm", "sigma": 0.1}
            chosen = plain if name == plain["name"] else {"name": name, "search": plain, "refreshes": 1}
            run(building.build("strategy", chosen), model, MeanSquaredError(), (x, x), 4000, seed)
            values.append(float((model(x) - x).square().mean().detach()))
    said = "; ".join(f"{name} {spread(values)}" for name, values in ends.items())
    claim = "on the authors' two weights of unequal weight, safe steps end a hundred times closer in as many losses"
    holds = 100 * statistics.median(ends["safe_mutation"]) < statistics.median(ends["genetic_algorithm"])
    yield Finding(claim, f"error {said}", holds)
