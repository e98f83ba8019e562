"""What the study on double descent computes: perceptrons and fixed features that learn from noisy labels."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from hybridopt.study.tickets import Data, Network
from hybridopt_mnist1d.mnist1d import mnist1d

NOISE = 0.15  # the share of training labels that are resampled
CLASSES = 10
FIXED = 1000  # samples that fixed features learn from, at most: what they cost grows as the cube
SHARES = (0.25, 0.5, 0.75, 1.0, 1.25, 2.0, 3.0)  # of fixed features, in samples
ROWS = 1000  # of the test whose features are held at a time
RIDGE = 0.1  # times the samples
DECAY = 3e-3  # of the weights, by Adam's L2 penalty
ERRORS = ("error", "fitted", "decayed", "ticket", "redrawn")  # of the test but for "fitted", which is of training


class Perceptron(Network):
    """The published network of two equal hidden layers, as one that can be pruned and begun again."""

    def __init__(self, data: Data, width: int, seed: int):
        super().__init__(data, width, CLASSES, seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            sizes = (data.inputs.shape[1], width, width, CLASSES)
            layers = [part for pair in itertools.pairwise(sizes) for part in (nn.Linear(*pair), nn.ReLU())]
            self.module = nn.Sequential(*layers[:-1])
        self.first = [value.detach().clone() for value in self.module.parameters()]
        self.mask = [torch.ones_like(value) for value in self.first]

    def training_error(self) -> float:
        """The share of training samples, by their noisy labels, that are put into the wrong class."""
        with torch.no_grad():
            return float((self.module(self.data.inputs).argmax(1) != self.data.targets).double().mean())


def noisy(seed: int, samples: int) -> Data:
    """So many samples of training, some of whose labels are resampled, and 1.25 times as many of the test."""
    sets = mnist1d(num_samples=5 * samples // 2, train_split=0.5, val_fraction=0.2, generator_seed=seed).sets
    (inputs, targets), (test_inputs, test_targets) = sets["train"], sets["test"]
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(CLASSES, targets.shape, generator=generator)
    resampled = torch.rand(len(targets), generator=generator) < NOISE
    return Data(inputs, torch.where(resampled, drawn, targets), test_inputs, test_targets)


def by_networks(
    data: Data, widths: Sequence[int], fits: int, first: int, steps: int, seed: int
) -> dict[str, dict[str, float]]:
    """Errors by width, which JSON has as text.

    Args:
        data: to learn.
        widths: of networks.
        fits: the width of which tickets have as many weights.
        first: the narrowest network of which there are tickets.
        steps: of training.
        seed: of weights.
    """
    found: dict[str, dict[str, float]] = {name: {} for name in ERRORS}
    kept = Perceptron(data, fits, seed).size
    for width in widths:
        network, name = Perceptron(data, width, seed), str(width)
        found["error"][name], found["fitted"][name] = network.trained(steps), network.training_error()
        if width >= first:
            found["ticket"][name] = network.ticket(kept, steps)
            found["redrawn"][name] = network.redrawn(steps)
        found["decayed"][name] = Perceptron(data, width, seed).trained(steps, DECAY)
    return found


def by_features(data: Data, seed: int) -> dict[str, list[float]]:
    """Test errors of random ReLU features over their number: least squares of the smallest norm, and with a ridge."""
    inputs, targets = data.inputs[:FIXED].double(), data.targets[:FIXED]
    (samples, values), generator = inputs.shape, torch.Generator().manual_seed(seed)
    signed = 2.0 * one_hot(targets, CLASSES).double() - 1
    found: dict[str, list[float]] = {"least squares": [], "ridge": []}
    for share in SHARES:
        weight = torch.randn(values, round(share * samples), generator=generator).double() / values**0.5
        features = (inputs @ weight).relu()
        solutions = torch.linalg.lstsq(features, signed, driver="gels").solution, ridge_solution(features, signed)
        for name, solution in zip(found, solutions, strict=True):
            parts = [(part @ weight).relu() @ solution for part in data.test_inputs.double().split(ROWS)]
            found[name].append(data.error(torch.cat(parts)))
    return found


def ridge_solution(inputs: Tensor, targets: Tensor) -> Tensor:
    """Of (n, f) inputs and (n, c) targets, (f, c); by the smaller of the two systems of equations."""
    n, f = inputs.shape
    gram = inputs.T @ inputs if f <= n else inputs @ inputs.T
    factor = torch.linalg.cholesky(gram + RIDGE * n * torch.eye(len(gram), dtype=gram.dtype))
    if f <= n:
        return torch.cholesky_solve(inputs.T @ targets, factor)
    return inputs.T @ torch.cholesky_solve(targets, factor)
