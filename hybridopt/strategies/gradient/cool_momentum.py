"""CoolMomentum (Borysenko & Byshkin 2021), https://doi.org/10.1038/s41598-021-90144-3.

Momentum whose coefficient falls over training as simulated annealing cools, seen as Langevin dynamics. It needs the
gradient as any momentum does, whatever is said of it. In the authors' PyTorch code the first step has no effect; here
it has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from hybridopt.core.oracle import Oracle
from hybridopt.toolbox.gradient import GradientDescent
from hybridopt.toolbox.ranges import at_least, share
from hybridopt.toolbox.schedule import Schedule


class CoolMomentum(GradientDescent):
    """Momentum that cools from ``rho0`` to 0 over the budget, with no schedule of the learning rate.

    Good for momentum without a schedule of the learning rate.

    Args:
        lr: the learning rate.
        rho0: the momentum at the start.
        weight_decay: coefficient of the L2 penalty.
        schedule: how the learning rate goes to ``final_lr`` times itself over the budget; constant in the paper.
        final_lr: the last learning rate as a share of the first.

    Raises:
        ConfigError: a number is out of range.
    """

    search_space: ClassVar[dict[str, str]] = {
        "lr": "tag(log, interval(1e-3, 0.1))",
        "rho0": "interval(0.9, 0.999)",
    }

    def __init__(
        self,
        lr: float = 0.01,
        rho0: float = 0.99,
        weight_decay: float = 0.0,
        schedule: Schedule = "constant",
        final_lr: float = 0.01,
    ):
        super().__init__(lr, schedule, final_lr)
        share("strategy", "[0, 1)", rho0=rho0)
        at_least("strategy", 0, weight_decay=weight_decay)
        self.rho0, self.weight_decay = rho0, weight_decay

    def build(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return Cooling(parameters, self.lr, self.rho0, self.weight_decay)

    def adjust(self, oracle: Oracle, progress: float) -> None:
        for group in self.optimizer.param_groups:
            group["rho"] = momentum(self.rho0, progress)


def momentum(rho0: float, progress: float) -> float:
    """Equation 14, rho = max(0, 1 - (1 - rho0) / alpha^t), for the alpha that ends at 0: alpha^S = 1 - rho0."""
    return max(0.0, 1 - (1 - rho0) ** (1 - progress))


class Cooling(torch.optim.Optimizer):
    """v <- rho v - lr (1 + rho) / 2 g, theta <- theta + v; ``rho`` is set from outside.

    Args:
        parameters: what is optimised.
        lr: the learning rate.
        rho: the momentum.
        weight_decay: coefficient of the L2 penalty.
    """

    def __init__(self, parameters: list[nn.Parameter], lr: float, rho: float, weight_decay: float):
        super().__init__(parameters, {"lr": lr, "rho": rho, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad, group)
        return loss

    def _move(self, parameter: nn.Parameter, slope: Tensor, group: dict[str, float]) -> None:
        rho = group["rho"]
        velocity = self.state[parameter].setdefault("velocity", torch.zeros_like(parameter))
        gradient = slope.add(parameter, alpha=group["weight_decay"])
        velocity.mul_(rho).add_(gradient, alpha=-group["lr"] * (1 + rho) / 2)
        parameter.add_(velocity)
