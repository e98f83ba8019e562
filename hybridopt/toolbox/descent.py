"""Descent along an estimated gradient: what stands for the losses, and the step."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from hybridopt.engine.buffers import LateBuffers
from hybridopt.toolbox.fitness import bounded, mean_ranks

Shaping = Literal["centered_rank", "none"]


class AdamDescent(LateBuffers):
    """Adam (Kingma & Ba 2015, https://arxiv.org/abs/1412.6980) on a vector whose gradient somebody else estimates.

    Args:
        betas: decay of the first and the second moment.
        epsilon: added to the denominator.
    """

    m: Tensor  # in the shape of x, the first moment
    v: Tensor  # in the shape of x, the second moment
    t: Tensor  # a whole number, steps so far

    def __init__(self, betas: tuple[float, float] = (0.9, 0.999), epsilon: float = 1e-8):
        super().__init__()
        self.betas, self.epsilon = betas, epsilon

    def start(self, x: Tensor) -> None:
        """Zero moments in the shape of x, which may be a vector or one for each member of a population."""
        self.register_buffer("m", torch.zeros_like(x))
        self.register_buffer("v", torch.zeros_like(x))
        self.register_buffer("t", torch.zeros((), dtype=torch.int64))

    def step(self, gradient: Tensor, learning_rate: float | Tensor) -> Tensor:
        """What to add to x.

        Args:
            gradient: an estimate of the loss's gradient, in the shape of x.
            learning_rate: the step size now; for a population (n, d) also one for each member (n, 1), or each number.
        """
        self.begin()
        return self.part_of_step(slice(None), gradient, learning_rate)

    def select(self, members: Tensor) -> None:
        """Let row i of a population's moments be what row ``members[i]`` was; rows may be repeated or left out."""
        self.m, self.v = self.m[members], self.v[members]

    def begin(self) -> None:
        """Begin a step that is made part by part, so that no whole gradient is needed."""
        self.t += 1

    def part_of_step(self, part: slice, gradient: Tensor, learning_rate: float | Tensor) -> Tensor:
        """What to add to ``x[part]``, from the gradient there."""
        beta1, beta2 = self.betas
        t, m, v = int(self.t), self.m[part], self.v[part]
        m.lerp_(gradient, 1 - beta1)
        v.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        denominator = (v / (1 - beta2**t)).sqrt_().add_(self.epsilon)
        return -learning_rate / (1 - beta1**t) * m / denominator


class MomentumDescent(LateBuffers):
    """Gradient descent with momentum (Polyak 1964, https://doi.org/10.1016/0041-5553(64)90137-5), also of a population.

    Momentum, and whether it looks ahead (Nesterov, as in Sutskever et al. 2013,
    https://proceedings.mlr.press/v28/sutskever13.html), may differ from member to member; in torch's convention:
    v <- mu v + g, and the step is -lr v or, with Nesterov, -lr (g + mu v).
    """

    velocity: Tensor  # in the shape of x

    def start(self, x: Tensor) -> None:
        """Zero velocity in the shape of x, such as (n, d)."""
        self.register_buffer("velocity", torch.zeros_like(x))

    def step(
        self,
        gradient: Tensor,
        learning_rate: float | Tensor,
        momentum: float | Tensor = 0.0,
        nesterov: bool | Tensor = False,
    ) -> Tensor:
        """What to add to x.

        Args:
            gradient: in the shape of x.
            learning_rate: the step size now, for all, for each member (n, 1) or for each number (n, d).
            momentum: mu, for all or for each member (n, 1).
            nesterov: whether a step looks ahead, for all or for each member (n, 1).
        """
        self.velocity = momentum * self.velocity + gradient
        ahead = gradient + momentum * self.velocity
        chosen = torch.as_tensor(nesterov, device=gradient.device)
        return -learning_rate * torch.where(chosen, ahead, self.velocity)

    def select(self, members: Tensor) -> None:
        """Let row i of a population's velocities be what row ``members[i]`` was."""
        self.velocity = self.velocity[members]


def shaped(losses: Tensor, shaping: Shaping, sigma: float) -> Tensor:
    """What stands for the losses (n,) in an estimate of the gradient from samples at distance ``sigma``."""
    return centered_ranks(losses) if shaping == "centered_rank" else bounded(losses) / sigma


def centered_ranks(losses: Tensor) -> Tensor:
    """Ranks scaled to [-1/2, 1/2]; equal losses share their mean rank. (n,) -> (n,)."""
    return mean_ranks(losses) / max(1, len(losses) - 1) - 0.5
