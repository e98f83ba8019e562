"""OpenAI-ES (Salimans et al. 2017, https://arxiv.org/abs/1703.03864) by hand in plain torch, for `bench_peers.py`.

As one writes it for multi-layer perceptrons alone: mirrored samples, centred ranks and Adam, one product a layer for
all members, and memory that is made once. The batch is the last dimension, which makes a layer's products fastest.
"""

from __future__ import annotations

import torch
from peers import LR, SIGMA, Contender, Task
from torch import Tensor
from torch.nn import functional as F


def openai_es(task: Task) -> Contender:
    """OpenAI-ES on a network of linear layers with ReLU between them."""
    x, n, half = task.start, task.popsize, task.popsize // 2
    noise, members = x.new_empty(half, len(x)), x.new_empty(n, len(x))
    layers = layers_of(members, [value.shape for value in task.model.parameters()])
    values, ranks = torch.linspace(-0.5, 0.5, n, device=x.device), x.new_empty(n)
    first, second = torch.zeros_like(x), torch.zeros_like(x)
    t = 0

    @torch.no_grad()
    def generation() -> None:
        nonlocal t
        t += 1
        noise.normal_()
        torch.add(x, noise, alpha=SIGMA, out=members[:half])
        torch.sub(x, noise, alpha=SIGMA, out=members[half:])
        ranks[losses(layers, *task.batch).argsort()] = values
        gradient = (ranks[:half] - ranks[half:]) @ noise / n
        first.lerp_(gradient, 0.1)
        second.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        scale = (second / (1 - 0.999**t)).sqrt_().add_(1e-8)
        x.addcdiv_(first, scale, value=-LR / (1 - 0.9**t))

    def loss() -> float:
        members[:] = x
        return losses(layers, *task.batch)[0].item()

    return Contender(generation, loss)


def layers_of(members: Tensor, shapes: list[torch.Size]) -> list[tuple[Tensor, Tensor]]:
    """Members (n, d) as views: weights (n, outputs, inputs) and biases (n, outputs, 1) of each layer."""
    parts = members.split([shape.numel() for shape in shapes], 1)
    views = [part.unflatten(1, shape) for part, shape in zip(parts, shapes, strict=True)]
    return [(weight, bias[..., None]) for weight, bias in zip(views[::2], views[1::2], strict=True)]


def losses(layers: list[tuple[Tensor, Tensor]], inputs: Tensor, targets: Tensor) -> Tensor:
    """The members' losses (n,) on inputs (B, features) and classes (B,)."""
    n, (*hidden, (weight, bias)) = len(layers[0][0]), layers
    values = inputs.flatten(1).mT.expand(n, -1, -1)
    for w, b in hidden:
        values = torch.baddbmm(b, w, values).relu_()
    outputs = torch.baddbmm(bias, weight, values)
    return F.cross_entropy(outputs, targets.expand(n, -1), reduction="none").mean(1)
