"""What plugins are tried on: problems that take milliseconds."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from hybridopt.composition import building
from hybridopt.composition.registry import Plugin
from hybridopt.core.data import replayable
from hybridopt.core.objective import Batch, Objective
from hybridopt.core.spec import DataSpec
from hybridopt.engine import trees
from hybridopt.engine.randomness import derived_seed
from hybridopt.testing.plugins import USUAL, conformance, filled

PARTS = ("dataset", "model", "objective")
HELD_OUT = 512  # samples at most by which a network is judged
ELSEWHERE = 20_260_101  # a seed that no run has, whose network would begin at the minimum
ROWS = 4  # samples in a batch of an analytic problem

Config = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Problem:
    """Data, a network and a loss.

    Args:
        spec: the shape of the data.
        model: makes the network; its weights are drawn from torch's global generator.
        objective: makes the loss.
        batches: seed -> endless training batches.
        held_out: what the network is judged by.
    """

    spec: DataSpec
    model: Callable[[], nn.Module]
    objective: Callable[[], Objective]
    batches: Callable[[int], Iterator[Batch]]
    held_out: Batch


# -- of plugins -------------------------------------------------------------------------------------------------------


def problem_of(plugin: Plugin) -> Problem:
    """The problem that a plugin names, completed by the usual one: three kinds of iris, by a network of 35 weights."""
    return composed(config_of(plugin))


def config_of(plugin: Plugin) -> Config:
    """The same as plain configs."""
    named = conformance(plugin).problem
    return {part: filled(part, dict(named.get(part, USUAL[part]))) for part in PARTS}


def composed(config: Config) -> Problem:
    """A problem made of plugins, from the configs of a dataset, a model and an objective."""
    return _composed(json.dumps(config, sort_keys=True))


@cache
def _composed(text: str) -> Problem:
    config = json.loads(text)
    data = ready(building.build("dataset", config["dataset"]))
    build = {part: partial(building.build, part, config[part], spec=data.spec) for part in ("model", "objective")}
    return Problem(data.spec, build["model"], build["objective"], lambda seed: iter(stream(data, seed)), held_out(data))


def ready(data: Any) -> Any:
    """A data module after its own preparations."""
    data.prepare_data()
    data.setup("fit")
    return data


def stream(data: Any, seed: int) -> Any:
    """Its endless training batches in the order of this seed; the module itself stays as it is."""
    return replayable(copy.copy(data), seed).train_dataloader()


def held_out(data: Any) -> Batch:
    """Some of its validation data, in one batch."""
    taken, size = [], 0
    for batch in data.val_dataloader():
        taken.append(batch)
        size += len(batch[1])
        if size >= HELD_OUT:
            break
    inputs, targets = trees.rows(trees.joined(taken), slice(HELD_OUT))
    return inputs, targets


# -- analytic ---------------------------------------------------------------------------------------------------------


class Point(nn.Module):
    """A network that is nothing but its weights: the outputs are the weights, whatever the inputs.

    Args:
        weight: (rows, columns) the first weights.
        bias: further ones; none if None.
        scale: (d,) what stands for 1 in the outputs; ones if None.
    """

    scale: Tensor  # (d,)

    def __init__(self, weight: Tensor, bias: Tensor | None = None, scale: Tensor | None = None):
        super().__init__()
        self.weight = nn.Parameter(weight.clone())
        self.bias = None if bias is None else nn.Parameter(bias.clone())
        count = weight.numel() + (0 if bias is None else bias.numel())
        self.register_buffer("scale", torch.ones(count).to(weight) if scale is None else scale)

    def forward(self, inputs: Tensor) -> Tensor:
        parts = [self.weight.flatten()] if self.bias is None else [self.weight.flatten(), self.bias]
        return (self.scale * torch.cat(parts)).expand(len(inputs), -1)


def drawn_point(rows: int, columns: int, bias: int, curvature: Tensor) -> Point:
    """A point near the origin, drawn from torch's global generator.

    Args:
        rows: of the weight matrix.
        columns: of the weight matrix.
        bias: the number of further weights.
        curvature: (d,) the second derivative of half the loss in each weight.
    """
    weight = 0.3 * torch.randn(rows, columns)
    further = 0.3 * torch.randn(bias) if bias else None
    return Point(weight, further, (len(curvature) * curvature).sqrt())


def quadratic(rows: int, columns: int, bias: int, condition: float = 1.0, noise: float = 0.0) -> Problem:
    """The loss sum_i c_i (x_i - x*_i)^2, its minimum about as far away as the start is from the origin.

    Args:
        rows: of the weight matrix.
        columns: of the weight matrix.
        bias: the number of further weights.
        condition: the ratio of the largest curvature c_i to the smallest; their geometric mean is 1.
        noise: standard deviation of what is added to the targets of each training sample.
    """
    d = rows * columns + bias
    curvature = condition ** torch.linspace(-0.5, 0.5, d)
    model = partial(drawn_point, rows, columns, bias, curvature)
    optimum = 0.3 * torch.randn(d, generator=torch.Generator().manual_seed(ELSEWHERE))
    target = (optimum * (d * curvature).sqrt()).repeat(ROWS, 1)
    inputs = torch.zeros(ROWS, 1)

    def batches(seed: int) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(derived_seed(seed, 1))
        while True:
            yield inputs, target + noise * torch.randn(ROWS, d, generator=generator)

    spec = DataSpec((1,), d, "regression")
    objective = partial(building.build, "objective", {"name": "hybridopt:mse"})
    return Problem(spec, model, objective, batches, (inputs, target))


sphere = partial(quadratic, 4, 2, 4)
noisy_quadratic = partial(quadratic, 4, 2, 4, condition=10.0, noise=0.5)
line = partial(quadratic, 1, 1, 0)  # one weight


def few(batches: Iterator[Batch], count: int) -> list[Batch]:
    """The first batches of a stream."""
    return list(islice(batches, count))
