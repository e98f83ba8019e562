"""Training loops as one writes them by hand for one experiment: plain torch, nothing kept, nothing reported.

Each does the arithmetic of a strategy with its default settings on the network of the default job (64-32-10): the same
batches' size, losses and updates, and validation (loss and accuracy) at the marks of the budget. A vector's weights are
views of it, so that a candidate is written once and never copied; candidates are evaluated one after the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BATCH, MARKS = 256, 50
SIZES, SHAPES = (2048, 32, 320, 10), ((32, 64), (32,), (10, 32), (10,))
WEIGHTS = (0, 2)  # which of them have two dimensions

Batch = tuple[Tensor, Tensor]
Data = dict[str, Batch]


class Run:
    """Batches until the budget is spent, and validation at its marks.

    Args:
        data: "train" and "val", inputs (N, ...) and classes (N,).
        forwards: the budget.
    """

    def __init__(self, data: Data, forwards: float):
        self.train, self.val = (((inputs.flatten(1), targets)) for inputs, targets in (data["train"], data["val"]))
        self.budget, self.spent, self.marks = forwards, 0, 0
        self.curve: list[tuple[float, float]] = []

    @property
    def progress(self) -> float:
        return self.spent / self.budget

    @property
    def losses(self) -> int:
        """How many losses the budget buys."""
        return int(self.budget / BATCH)

    def batches(self, outputs: Callable[[Tensor], Tensor]) -> Iterator[Batch]:
        """Batches in a new order each epoch; ``outputs`` is what is validated."""
        inputs, targets = self.train
        count = len(targets) // BATCH
        while True:
            order = torch.randperm(len(targets))[: count * BATCH]
            for batch in zip(inputs[order].chunk(count), targets[order].chunk(count), strict=True):
                if self.spent >= self.budget:
                    return
                yield batch
                if self.progress * MARKS >= self.marks + 1:
                    self.marks += 1
                    self.validate(outputs)

    @torch.no_grad()
    def validate(self, outputs: Callable[[Tensor], Tensor]) -> None:
        inputs, targets = self.val
        found = outputs(inputs)
        loss, right = F.cross_entropy(found, targets), (found.argmax(1) == targets).float().mean()
        self.curve.append((loss.item(), right.item()))


class Network:
    """The network whose weights are views of one vector (d,)."""

    def __init__(self, vector: Tensor):
        self.vector = vector
        self.weights = [part.view(shape) for part, shape in zip(vector.split(SIZES), SHAPES, strict=True)]

    def __call__(self, inputs: Tensor) -> Tensor:
        w1, b1, w2, b2 = self.weights
        return F.linear(F.relu(F.linear(inputs, w1, b1)), w2, b2)

    def loss(self, batch: Batch) -> Tensor:
        return F.cross_entropy(self(batch[0]), batch[1])


def module() -> nn.Sequential:
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def start() -> Tensor:
    """First weights (d,), as torch draws them."""
    return torch.cat([value.detach().flatten() for value in module().parameters()])


def cosine(progress: float, final: float) -> float:
    return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2


# -- gradients ---------------------------------------------------------------------------------------------------------


def descend(run: Run, model: nn.Module, masks: list[Tensor] | None, since: float, until: float) -> None:
    """Adam over a part of the budget, on the weights that masks leave."""
    values = list(model.parameters())
    optimizer = torch.optim.Adam(values, lr=3e-3, weight_decay=1e-3, fused=True)
    group = optimizer.param_groups[0]
    gone = [] if masks is None else [~mask for mask in masks]
    for inputs, targets in run.batches(model):
        group["lr"] = 3e-3 * cosine((run.progress - since) / (until - since), 0.01)
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), targets).backward()
        for value, place in zip(values, gone, strict=False):
            value.grad.masked_fill_(place, 0.0)
        optimizer.step()
        with torch.no_grad():
            for value, place in zip(values, gone, strict=False):
                value.masked_fill_(place, 0.0)
        run.spent += 3 * len(targets)
        if run.progress >= until:
            return


def adam(run: Run) -> None:
    descend(run, module(), None, 0.0, 1.0)


def iterative_pruning(run: Run, rounds: int = 5, sparsity: float = 0.8) -> None:
    model = module()
    first = [value.detach().clone() for value in model.parameters()]
    masks = [torch.ones_like(value, dtype=torch.bool) for value in first]
    for k in range(rounds):
        descend(run, model, masks, k / rounds, (k + 1) / rounds)
        if k == rounds - 1:
            return
        with torch.no_grad():
            values = list(model.parameters())
            sizes = torch.cat([values[i].abs().masked_fill(~masks[i], -1.0).flatten() for i in WEIGHTS])
            kept = torch.zeros_like(sizes, dtype=torch.bool)
            kept[sizes.topk(round(len(sizes) * (1 - sparsity) ** ((k + 1) / (rounds - 1)))).indices] = True
            for i, part in zip(WEIGHTS, kept.split([SIZES[i] for i in WEIGHTS]), strict=True):
                masks[i] = part.view(SHAPES[i])
            for value, initial, mask in zip(values, first, masks, strict=True):
                value.copy_(initial * mask)


def lottery_ticket(run: Run, search: float = 0.3) -> None:
    """The default job: OpenAI-ES over scores of the first weights, then Adam on the better half of each layer."""
    model = module()
    values = list(model.parameters())
    initial, candidate = start(), Network(start())
    frozen = [initial.split(SIZES)[i] for i in WEIGHTS]
    sizes = [len(part) for part in frozen]
    scores = 0.1 * torch.cat([part.abs() / part.square().mean().sqrt() for part in frozen])

    def kept(vector: Tensor) -> list[Tensor]:
        parts = vector.split(sizes)
        return [torch.zeros_like(part).index_fill_(0, part.topk(len(part) // 2).indices, 1.0) for part in parts]

    def evaluate(members: Tensor, batch: Batch) -> Tensor:
        losses = []
        for member in members:
            for i, part, mask in zip(WEIGHTS, frozen, kept(member), strict=True):
                torch.mul(part, mask, out=candidate.weights[i].view(-1))
            losses.append(candidate.loss(batch))
        return torch.stack(losses)

    evolve(run, scores, candidate, evaluate, search)
    masks = [torch.ones_like(value, dtype=torch.bool) for value in values]
    for i, mask in zip(WEIGHTS, kept(scores), strict=True):
        masks[i] = mask.bool().view(SHAPES[i])
    with torch.no_grad():
        for value, part, mask in zip(values, initial.split(SIZES), masks, strict=True):
            value.copy_(part.view_as(value) * mask)
    descend(run, model, masks, search, 1.0)


# -- two losses a step -------------------------------------------------------------------------------------------------


@torch.no_grad()
def mezo(run: Run, epsilon: float = 1e-3, lr: float = 5e-3) -> None:
    net = Network(start())
    theta = net.vector
    for batch in run.batches(net):
        noise = torch.randn(len(theta))
        theta.add_(noise, alpha=epsilon)
        above = net.loss(batch)
        theta.add_(noise, alpha=-2 * epsilon)
        below = net.loss(batch)
        slope = (above - below).item() / (2 * epsilon)
        theta.add_(noise, alpha=epsilon - lr * cosine(run.progress, 0.01) * slope)
        run.spent += 2 * BATCH


@torch.no_grad()
def spsa(run: Run, c: float = 0.01, a: float = 0.01) -> None:
    theta, net = start(), Network(start())
    stability = 0.1 * run.losses / 2
    for k, batch in enumerate(run.batches(Network(theta))):
        distance = c / (k + 1) ** 0.101
        signs = torch.rand(len(theta)).lt_(0.5).mul_(-2).add_(1)
        torch.add(theta, signs, alpha=distance, out=net.vector)
        above = net.loss(batch)
        torch.add(theta, signs, alpha=-distance, out=net.vector)
        slope = (above - net.loss(batch)).item() / (2 * distance)
        theta.add_(signs, alpha=-a / (k + 1 + stability) ** 0.602 * slope)
        run.spent += 2 * BATCH


# -- one candidate after the other -------------------------------------------------------------------------------------


@torch.no_grad()
def simulated_annealing(run: Run, sigma: float = 0.003, hot: float = 0.01, moves: int = 200) -> None:
    nets = [Network(start()), Network(start())]  # the current point, and where a candidate is written
    for batch in run.batches(lambda inputs: nets[0](inputs)):
        temperature, scale = hot * 1e-3**run.progress, sigma * 0.1**run.progress
        noise = torch.randn(moves, len(nets[0].vector))
        loss = nets[0].loss(batch).item()
        for step in noise:
            torch.add(nets[0].vector, step, alpha=scale, out=nets[1].vector)
            new = nets[1].loss(batch).item()
            if new <= loss or torch.rand(()).item() < math.exp((loss - new) / temperature):
                nets.reverse()
                loss = new
        run.spent += (moves + 1) * BATCH


@torch.no_grad()
def evolve(
    run: Run,
    x: Tensor,
    net: Network,
    evaluate: Callable[[Tensor, Batch], Tensor],
    until: float,
    popsize: int = 100,
) -> None:
    """OpenAI-ES over a part of the budget; x (d,) is moved in place, ``evaluate`` gives members' losses."""
    first, second = torch.zeros_like(x), torch.zeros_like(x)
    half, ranks = popsize // 2, torch.empty(popsize)
    for t, batch in enumerate(run.batches(net), 1):
        noise = torch.randn(half, len(x))
        members = torch.cat([x + 0.05 * noise, x - 0.05 * noise])
        losses = evaluate(members, batch)
        ranks[losses.argsort()] = torch.arange(popsize) / (popsize - 1) - 0.5
        gradient = (ranks[:half] - ranks[half:]) @ noise / popsize
        first.lerp_(gradient, 0.1)
        second.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        rate = 0.02 * cosine(run.progress / until, 0.05) / (1 - 0.9**t)
        x.addcdiv_(first, (second / (1 - 0.999**t)).sqrt_().add_(1e-8), value=-rate)
        run.spent += popsize * BATCH
        if run.progress >= until:
            return


def openai_es(run: Run) -> None:
    x = start()
    evolve(run, x, Network(x), one_by_one(Network(start())), 1.0)


def one_by_one(net: Network) -> Callable[[Tensor, Batch], Tensor]:
    def evaluate(members: Tensor, batch: Batch) -> Tensor:
        losses = []
        for member in members:
            net.vector.copy_(member)
            losses.append(net.loss(batch))
        return torch.stack(losses)

    return evaluate


def openai_es_batched(run: Run) -> None:
    """The same with all members in one product a layer."""
    x = start()
    evolve(run, x, Network(x), all_at_once, 1.0)


def all_at_once(members: Tensor, batch: Batch) -> Tensor:
    (inputs, targets), n = batch, len(members)
    w1, b1, w2, b2 = (part.reshape(n, *shape) for part, shape in zip(members.split(SIZES, 1), SHAPES, strict=True))
    hidden = torch.baddbmm(b1[:, None], inputs.expand(n, -1, -1), w1.mT).relu_()
    outputs = torch.baddbmm(b2[:, None], hidden, w2.mT)
    return F.cross_entropy(outputs.mT, targets.expand(n, -1), reduction="none").mean(1)


@torch.no_grad()
def genetic_algorithm(run: Run, popsize: int = 100, parents: int = 20, elite: int = 5) -> None:
    best, evaluate = Network(start()), one_by_one(Network(start()))
    members = best.vector + 0.03 * torch.randn(popsize, len(best.vector))
    for batch in run.batches(best):
        order = evaluate(members, batch).argsort()
        best.vector.copy_(members[order[0]])
        mothers, fathers = members[order[torch.randint(parents, (2, popsize - elite))]]
        children = torch.where(torch.rand(mothers.shape) < 0.5, mothers, fathers)
        children.add_(torch.randn(children.shape), alpha=0.03 * 0.1**run.progress)
        members = torch.cat([members[order[:elite]], children])
        run.spent += popsize * BATCH
